/* Joining user namespaces, and the namespaces that they own. */
#include "check.h"

#include <linux/capability.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

static uint64_t effective(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	MUST(syscall(SYS_capget, &header, data));
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

static int open_namespace(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* A child of nobody that is root of a namespace of its own, and stays there. */
static pid_t keeper(int extra)
{
	int ready[2];
	char byte = 'r';
	pid_t child;

	MUST(pipe(ready));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		MUST(prctl(PR_SET_DUMPABLE, 1));
		MUST(unshare(CLONE_NEWUSER | extra));
		MUST(write_text("/proc/self/setgroups", "deny"));
		MUST(write_text("/proc/self/uid_map", "0 65534 1"));
		MUST(write_text("/proc/self/gid_map", "0 65534 1"));
		write_all(ready[1], &byte, 1);
		for (;;)
			pause();
	}
	MUST(read(ready[0], &byte, 1));
	close(ready[0]);
	close(ready[1]);
	return child;
}

static ino_t inode_of(int fd)
{
	struct stat status;

	MUST(fstat(fd, &status));
	return status.st_ino;
}

TEST(rules_of_joining)
{
	int own = (int)MUST(open_namespace(getpid(), "user")), other;
	pid_t child = keeper(0);

	other = (int)MUST(open_namespace(child, "user"));
	CHECK_ERRNO(setns(own, 0), EINVAL);
	CHECK_ERRNO(setns(own, CLONE_NEWUSER), EINVAL);
	CHECK_ERRNO(setns(other, CLONE_NEWUTS), EINVAL);
	CHECK_EQ(inode_of(own) == inode_of(other), 0);
	CHECK_EQ(setns(other, CLONE_NEWUSER), 0);
	/* Root around has no id inside. */
	CHECK_EQ(getuid(), 65534);
	CHECK_EQ(effective() != 0, 1);
	CHECK_EQ(inode_of((int)MUST(open_namespace(getpid(), "user"))), inode_of(other));
	/* There is no way back. */
	CHECK_ERRNO(setns(own, 0), EPERM);
	CHECK_ERRNO(setns(other, 0), EINVAL);
	kill(child, SIGKILL);
}

TEST(by_its_maker)
{
	pid_t child = keeper(0);
	int other = (int)MUST(open_namespace(child, "user"));

	drop_root();
	CHECK_EQ(effective(), 0);
	CHECK_EQ(setns(other, 0), 0);
	CHECK_EQ(getuid(), 0);
	CHECK_EQ(getgid(), 0);
	CHECK_EQ(effective() != 0, 1);
	CHECK_EQ(kill(child, SIGKILL), 0);
}

TEST(by_others)
{
	pid_t child = keeper(0);
	int other = (int)MUST(open_namespace(child, "user"));

	MUST(setresgid(1234, 1234, 1234));
	MUST(setresuid(1234, 1234, 1234));
	CHECK_ERRNO(setns(other, 0), EPERM);
	CHECK_ERRNO(open_namespace(child, "user"), EACCES);
	CHECK_ERRNO(kill(child, 0), EPERM);
}

static void *idle(void *argument)
{
	(void)argument;
	pause();
	return NULL;
}

TEST(with_threads)
{
	pid_t child = keeper(0);
	int other = (int)MUST(open_namespace(child, "user"));
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, idle, NULL) == 0 ? 0 : -1);
	CHECK_ERRNO(setns(other, 0), EINVAL);
	kill(child, SIGKILL);
}

TEST(by_pidfd)
{
	pid_t child = keeper(CLONE_NEWUTS);
	int pidfd = (int)MUST(syscall(SYS_pidfd_open, child, 0));

	CHECK_ERRNO(setns(pidfd, 0), EINVAL);
	CHECK_EQ(setns(pidfd, CLONE_NEWUSER | CLONE_NEWUTS), 0);
	CHECK_EQ(sethostname("joined", 6), 0);
	CHECK_EQ(inode_of((int)MUST(open_namespace(getpid(), "uts"))), inode_of((int)MUST(open_namespace(child, "uts"))));
	kill(child, SIGKILL);
}

TEST(asking)
{
	pid_t child = keeper(CLONE_NEWUTS);
	int space = (int)MUST(open_namespace(child, "user")), own = (int)MUST(open_namespace(getpid(), "user")), found;
	uid_t owner = 0;

	CHECK_EQ(ioctl(space, NS_GET_NSTYPE), CLONE_NEWUSER);
	CHECK_EQ(ioctl(space, NS_GET_OWNER_UID, &owner), 0);
	CHECK_EQ(owner, NOBODY);
	found = (int)CHECK_OK(ioctl(space, NS_GET_PARENT));
	CHECK_EQ(inode_of(found), inode_of(own));
	found = (int)CHECK_OK(ioctl(space, NS_GET_USERNS));
	CHECK_EQ(inode_of(found), inode_of(own));
	CHECK_ERRNO(ioctl(own, NS_GET_PARENT), EPERM);
	found = (int)CHECK_OK(ioctl((int)MUST(open_namespace(child, "uts")), NS_GET_USERNS));
	CHECK_EQ(inode_of(found), inode_of(space));
	CHECK_ERRNO(ioctl((int)MUST(open_namespace(child, "uts")), NS_GET_OWNER_UID, &owner), EINVAL);
	MUST(setns(space, 0));
	/* What is around can't be seen from inside. */
	CHECK_ERRNO(ioctl(space, NS_GET_PARENT), EPERM);
	CHECK_ERRNO(ioctl(space, NS_GET_USERNS), EPERM);
	CHECK_EQ(ioctl(space, NS_GET_OWNER_UID, &owner), 0);
	CHECK_EQ(owner, 0);
	kill(child, SIGKILL);
}

TEST(what_it_owns)
{
	struct utsname before, after;

	MUST(uname(&before));
	drop_root();
	CHECK_ERRNO(unshare(CLONE_NEWUTS), EPERM);
	CHECK_ERRNO(unshare(CLONE_NEWIPC), EPERM);
	CHECK_ERRNO(unshare(CLONE_NEWPID), EPERM);
	CHECK_EQ(unshare(CLONE_NEWUSER | CLONE_NEWUTS), 0);
	CHECK_EQ(sethostname("inner", 5), 0);
	MUST(uname(&after));
	CHECK_STRING(after.nodename, "inner");
	CHECK_EQ(unshare(CLONE_NEWIPC), 0);
	CHECK_EQ(unshare(CLONE_NEWUTS), 0);
	CHECK_EQ(sethostname("third", 5), 0);
}

TEST(a_namespace_of_others)
{
	drop_root();
	MUST(unshare(CLONE_NEWUSER));
	/* The names belong to the machine's user namespace still. */
	CHECK_ERRNO(sethostname("inner", 5), EPERM);
	CHECK_ERRNO(setdomainname("inner", 5), EPERM);
}

TEST(first_process_inside)
{
	pid_t child;

	drop_root();
	child = (pid_t)MUST(syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0));
	if (child == 0)
		_exit(getpid() == 1 && getppid() == 0 && effective() != 0 ? 0 : 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* It lives as long as it is open. */
TEST(after_its_processes)
{
	pid_t child = keeper(0);
	int space = (int)MUST(open_namespace(child, "user"));

	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	drop_root();
	CHECK_EQ(setns(space, 0), 0);
	CHECK_EQ(getuid(), 0);
}

/* One of two in a user namespace that neither was executed in, whom nobody may dump. */
static pid_t silent_child(int ends, int is_dumpable)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(prctl(PR_SET_DUMPABLE, is_dumpable));
		if (ends)
			_exit(0);
		for (;;)
			pause();
	}
	if (ends)
		MUST(waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT));
	else
		sleep_ms(20);
	return child;
}

static void enter_own_namespace(void)
{
	MUST(prctl(PR_SET_DUMPABLE, 1));
	MUST(unshare(CLONE_NEWUSER));
	MUST(write_text("/proc/self/setgroups", "deny"));
	MUST(write_text("/proc/self/uid_map", "0 65534 1"));
	MUST(write_text("/proc/self/gid_map", "0 65534 1"));
}

static int may_enter(pid_t pid)
{
	int pidfd = (int)MUST(syscall(SYS_pidfd_open, pid, 0));
	int result = setns(pidfd, CLONE_NEWUTS) == 0 ? 0 : errno;

	close(pidfd);
	return result;
}

static void expect_of_child(int ends, int is_dumpable, int wanted)
{
	pid_t child = silent_child(ends, is_dumpable);

	CHECK_EQ(may_enter(child), wanted);
	kill(child, SIGKILL);
	MUST(waitpid(child, NULL, 0));
}

ROLE(rests)
{
	MUST(prctl(PR_SET_DUMPABLE, 0));
	write_all(STDOUT_FILENO, "x", 1);
	return pause();
}

/* To look into who may not be dumped takes a right where its program was executed, not where it is by now. */
TEST(who_may_not_be_dumped)
{
	int program = (int)MUST(open(check_self, O_RDONLY | O_CLOEXEC));
	char *arguments[] = {"program", "rests", NULL}, *environment[] = {NULL};
	pid_t child;

	expect_of_child(0, 0, 0);
	expect_of_child(1, 0, ESRCH);
	drop_root();
	enter_own_namespace();
	/* The uts namespace that it's in is another's. */
	expect_of_child(0, 1, EPERM);
	MUST(unshare(CLONE_NEWUTS));
	expect_of_child(0, 1, 0);
	expect_of_child(0, 0, EPERM);
	expect_of_child(1, 1, ESRCH);
	expect_of_child(1, 0, EPERM);
	/* One that was executed there is its root's. */
	{
		int ends[2];
		char byte;

		MUST(pipe(ends));
		child = (pid_t)MUST(fork());
		if (child == 0) {
			MUST(dup2(ends[1], STDOUT_FILENO));
			syscall(SYS_execveat, program, "", arguments, environment, AT_EMPTY_PATH);
			_exit(1);
		}
		MUST(read(ends[0], &byte, 1));
	}
	CHECK_EQ(may_enter(child), 0);
	MUST(kill(child, SIGKILL));
	MUST(waitpid(child, NULL, 0));
}
