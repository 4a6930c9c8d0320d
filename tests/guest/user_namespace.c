/* User namespaces: ids inside and outside, and what capabilities over them are worth. */
#include "check.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define OVERFLOW 65534
#define NO_ID 0xffffffffU

static const char *read_text(const char *path)
{
	static char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[length > 0 ? length : 0] = '\0';
	return text;
}

static int write_for(pid_t pid, const char *name, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return write_text(path, text);
}

static uint64_t effective(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	MUST(syscall(SYS_capget, &header, data));
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

static uint64_t every_capability(void)
{
	return (1ULL << (atoi(read_text("/proc/sys/kernel/cap_last_cap")) + 1)) - 1;
}

/* A child in a new user namespace; the parent writes its maps and lets it go. */
static int gate[2], back[2];

static pid_t child_in_namespace(void (*body)(void))
{
	pid_t child;
	char byte = 'x';

	MUST(pipe(gate));
	MUST(pipe(back));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(unshare(CLONE_NEWUSER));
		write_all(back[1], &byte, 1);
		MUST(read(gate[0], &byte, 1));
		body();
		_exit(0);
	}
	MUST(read(back[0], &byte, 1));
	return child;
}

static void let_go(pid_t child)
{
	write_all(gate[1], "x", 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* Be root of a namespace where nobody else has an id. */
static void become_inner_root(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char text[64];

	MUST(prctl(PR_SET_DUMPABLE, 1));
	MUST(unshare(CLONE_NEWUSER));
	MUST(write_text("/proc/self/setgroups", "deny"));
	snprintf(text, sizeof(text), "0 %u 1\n", uid);
	MUST(write_text("/proc/self/uid_map", text));
	snprintf(text, sizeof(text), "0 %u 1\n", gid);
	MUST(write_text("/proc/self/gid_map", text));
}

TEST(fresh)
{
	uid_t real, effective_id, saved;

	drop_root();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	CHECK_EQ(unshare(CLONE_NEWUSER), 0);
	CHECK_EQ(getuid(), OVERFLOW);
	CHECK_EQ(geteuid(), OVERFLOW);
	CHECK_EQ(getgid(), OVERFLOW);
	CHECK_EQ(getegid(), OVERFLOW);
	CHECK_EQ(getresuid(&real, &effective_id, &saved), 0);
	CHECK_EQ(saved, OVERFLOW);
	CHECK_EQ(effective(), every_capability());
	CHECK_STRING(read_text("/proc/self/uid_map"), "");
	CHECK_STRING(read_text("/proc/self/gid_map"), "");
	CHECK_STRING(read_text("/proc/self/setgroups"), "allow\n");
	CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_ERRNO(setuid(0), EINVAL);
	CHECK_ERRNO(setgid(0), EINVAL);
	CHECK_ERRNO(setresuid(0, -1, -1), EINVAL);
	CHECK_EQ(setresuid(-1, -1, -1), 0);
	CHECK_ERRNO(setgroups(0, NULL), EPERM);
	CHECK_EQ(setfsuid(0), OVERFLOW);
	/* What has no id can't make another namespace. */
	CHECK_ERRNO(unshare(CLONE_NEWUSER), EPERM);
}

TEST(queues_without_an_id)
{
	uid_t uid;
	gid_t gid;
	char text[64];
	long queue;

	drop_root();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	uid = geteuid();
	gid = getegid();
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWIPC));
	CHECK_ERRNO(syscall(SYS_mq_open, "q", O_CREAT | O_RDWR, 0600, NULL), EOVERFLOW);
	CHECK_ERRNO(syscall(SYS_mq_open, "q", O_RDWR, 0600, NULL), ENOENT);
	MUST(write_text("/proc/self/setgroups", "deny"));
	snprintf(text, sizeof(text), "0 %u 1\n", uid);
	MUST(write_text("/proc/self/uid_map", text));
	CHECK_ERRNO(syscall(SYS_mq_open, "q", O_CREAT | O_RDWR, 0600, NULL), EOVERFLOW);
	snprintf(text, sizeof(text), "0 %u 1\n", gid);
	MUST(write_text("/proc/self/gid_map", text));
	queue = CHECK_OK(syscall(SYS_mq_open, "q", O_CREAT | O_RDWR, 0600, NULL));
	CHECK_ERRNO(syscall(SYS_mq_open, "q", O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
	CHECK_EQ(close((int)queue), 0);
}

TEST(one_id_without_privilege)
{
	uid_t uid;
	gid_t gid;
	char text[64];

	drop_root();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	uid = geteuid();
	gid = getegid();
	CHECK_EQ(unshare(CLONE_NEWUSER), 0);
	snprintf(text, sizeof(text), "0 %u 1\n", uid + 1);
	CHECK_ERRNO(write_text("/proc/self/uid_map", text), EPERM);
	snprintf(text, sizeof(text), "0 %u 2\n", uid);
	CHECK_ERRNO(write_text("/proc/self/uid_map", text), EPERM);
	snprintf(text, sizeof(text), "7 %u 1\n", uid);
	CHECK_EQ(write_text("/proc/self/uid_map", text), 0);
	CHECK_ERRNO(write_text("/proc/self/uid_map", text), EPERM);
	snprintf(text, sizeof(text), "%10u %10u %10u\n", 7, uid, 1);
	CHECK_STRING(read_text("/proc/self/uid_map"), text);
	CHECK_EQ(getuid(), 7);
	snprintf(text, sizeof(text), "8 %u 1\n", gid);
	CHECK_ERRNO(write_text("/proc/self/gid_map", text), EPERM);
	CHECK_EQ(write_text("/proc/self/setgroups", "deny"), 0);
	CHECK_EQ(write_text("/proc/self/gid_map", text), 0);
	CHECK_EQ(getgid(), 8);
	CHECK_STRING(read_text("/proc/self/setgroups"), "deny\n");
	CHECK_ERRNO(write_text("/proc/self/setgroups", "allow"), EPERM);
	CHECK_ERRNO(write_text("/proc/self/setgroups", "deny"), EPERM);
	CHECK_ERRNO(setgroups(0, NULL), EPERM);
	CHECK_EQ(setuid(7), 0);
	CHECK_ERRNO(setuid(0), EINVAL);
	CHECK_EQ(setfsuid(7), 7);
}

static void see_map(void)
{
	gid_t groups[2] = {3, 5}, got[8];

	CHECK_EQ(getuid(), OVERFLOW);
	CHECK_EQ(setgid(0), 0);
	CHECK_EQ(setgroups(2, groups), 0);
	CHECK_EQ(getgroups(8, got), 2);
	CHECK_EQ(got[0], 3);
	CHECK_EQ(got[1], 5);
	groups[0] = 2000;
	CHECK_ERRNO(setgroups(1, groups), EINVAL);
	CHECK_EQ(setuid(0), 0);
	CHECK_EQ(getuid(), 0);
	CHECK_EQ(effective(), every_capability());
	CHECK_EQ(setresuid(1, 2, 3), 0);
	CHECK_EQ(effective(), 0);
	CHECK_ERRNO(setuid(1000), EINVAL);
	CHECK_EQ(setreuid(2, 3), 0);
}

/* What only who has CAP_SETUID around may write. */
TEST(ranges)
{
	pid_t child = child_in_namespace(see_map);

	CHECK_EQ(write_for(child, "uid_map", "0 100000 1000\n"), 0);
	CHECK_EQ(write_for(child, "gid_map", "0 200000 1000"), 0);
	CHECK_EQ(write_for(child, "projid_map", "0 0 10"), 0);
	let_go(child);
}

static void do_nothing(void)
{
}

static int answer_of(pid_t child, const char *text)
{
	return ERRNO_OF(write_for(child, "projid_map", text));
}

/* The form of a map. */
TEST(form)
{
	pid_t child = child_in_namespace(do_nothing);
	char *many = malloc(20000), path[64];
	size_t length = 0;
	int fd;

	CHECK_EQ(answer_of(child, "0"), EINVAL);
	CHECK_EQ(answer_of(child, "0 0"), EINVAL);
	CHECK_EQ(answer_of(child, "0 0 0"), EINVAL);
	CHECK_EQ(answer_of(child, "0 0 1 1"), EINVAL);
	CHECK_EQ(answer_of(child, "0 0 1x"), EINVAL);
	CHECK_EQ(answer_of(child, "x 0 1"), EINVAL);
	CHECK_EQ(answer_of(child, "-1 0 1"), EINVAL);
	CHECK_EQ(answer_of(child, "0,0,1"), EINVAL);
	CHECK_EQ(answer_of(child, "\n"), EINVAL);
	CHECK_EQ(answer_of(child, "0 0 1\n\n"), EINVAL);
	CHECK_EQ(answer_of(child, "4294967295 0 1"), EINVAL);
	CHECK_EQ(answer_of(child, "0 4294967295 1"), EINVAL);
	CHECK_EQ(answer_of(child, "1 0 4294967295"), EINVAL);
	CHECK_EQ(answer_of(child, "0 1 4294967295"), EINVAL);
	CHECK_EQ(answer_of(child, "0 0 10\n5 100 10\n"), EINVAL);
	CHECK_EQ(answer_of(child, "0 0 10\n100 5 10\n"), EINVAL);
	CHECK_EQ(answer_of(child, "0 0 10\n9 100 1\n"), EINVAL);
	snprintf(path, sizeof(path), "/proc/%d/projid_map", child);
	fd = (int)MUST(open(path, O_RDWR));
	MUST(lseek(fd, 1, SEEK_SET));
	CHECK_ERRNO(write(fd, "0 0 1", 5), EINVAL);
	close(fd);
	for (int at = 0; at < 341; at++)
		length += (size_t)sprintf(many + length, "%d %d 1\n", at, at);
	CHECK_EQ(answer_of(child, many), EINVAL);
	memset(many, ' ', 4096);
	memcpy(many, "0 0 1", 5);
	many[4096] = '\0';
	CHECK_EQ(answer_of(child, many), EINVAL);
	many[4095] = '\0';
	CHECK_EQ(answer_of(child, "  3\t4  5 \n 20 30 2\n1 1 1"), 0);
	CHECK_STRING(read_text(path), "         3          4          5\n        20         30          2\n"
				      "         1          1          1\n");
	CHECK_EQ(answer_of(child, "0 0 1"), EPERM);
	let_go(child);
}

TEST(as_many_lines_as_can_be)
{
	pid_t child = child_in_namespace(do_nothing);
	char *many = malloc(20000);
	size_t length = 0;
	char path[64];

	for (int at = 339; at >= 0; at--)
		length += (size_t)sprintf(many + length, "%d %d 1\n", at, at + 1000);
	CHECK_EQ(length < 4096, 1);
	CHECK_EQ(answer_of(child, many), 0);
	snprintf(path, sizeof(path), "/proc/%d/projid_map", child);
	/* Many lines are kept in order. */
	CHECK_EQ(strncmp(read_text(path), "         0       1000          1\n", 33), 0);
	let_go(child);
}

TEST(words_of_setgroups)
{
	pid_t child = child_in_namespace(do_nothing);

	CHECK_ERRNO(write_for(child, "setgroups", "maybe"), EINVAL);
	CHECK_ERRNO(write_for(child, "setgroups", "deny x"), EINVAL);
	CHECK_ERRNO(write_for(child, "setgroups", "deny    "), EINVAL);
	CHECK_ERRNO(write_for(child, "setgroups", "allowed"), EINVAL);
	CHECK_EQ(write_for(child, "setgroups", "allow\n"), 0);
	CHECK_EQ(write_for(child, "setgroups", "deny\n"), 0);
	CHECK_ERRNO(write_for(child, "setgroups", "allow\n"), EPERM);
	let_go(child);
}

TEST(of_the_first_namespace)
{
	CHECK_STRING(read_text("/proc/self/uid_map"), "         0          0 4294967295\n");
	CHECK_STRING(read_text("/proc/self/projid_map"), "         0          0 4294967295\n");
	CHECK_STRING(read_text("/proc/self/setgroups"), "allow\n");
	CHECK_ERRNO(write_text("/proc/self/uid_map", "0 0 1"), EPERM);
	CHECK_ERRNO(write_text("/proc/self/setgroups", "deny"), EPERM);
	drop_root();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	CHECK_ERRNO(write_text("/proc/self/setgroups", "deny"), EACCES);
}

/* Files: whose they seem, and who may do what with them. */
TEST(files)
{
	struct stat status;
	int fd;

	enter_scratch();
	write_file("mine", "m", 0600);
	MUST(chown("mine", NOBODY, NOBODY));
	write_file("half", "h", 0600);
	MUST(chown("half", NOBODY, 4444));
	MUST(mkdir("shared", 0777));
	MUST(chmod("shared", 0777));
	drop_root();
	become_inner_root();
	CHECK_EQ(getuid(), 0);
	CHECK_EQ(stat("mine", &status), 0);
	CHECK_EQ(status.st_uid, 0);
	CHECK_EQ(stat("/", &status), 0);
	CHECK_EQ(status.st_uid, OVERFLOW);
	CHECK_EQ(status.st_gid, OVERFLOW);
	CHECK_EQ(chmod("mine", 0640), 0);
	CHECK_EQ(chown("mine", 0, 0), 0);
	CHECK_ERRNO(chown("mine", 1, 0), EINVAL);
	CHECK_ERRNO(chown("mine", 0, 77), EINVAL);
	/* To own it the group needs no id. */
	CHECK_EQ(chmod("half", 0644), 0);
	CHECK_EQ(stat("half", &status), 0);
	CHECK_EQ(status.st_gid, OVERFLOW);
	CHECK_ERRNO(chmod("/", 0755), EPERM);
	CHECK_ERRNO(chown("/", 0, 0), EPERM);
	CHECK_ERRNO(open("/etc/shadow", O_RDONLY), EACCES);
	CHECK_ERRNO(open("/etc/passwd", O_WRONLY), EACCES);
	CHECK_ERRNO(mkdir("/no", 0777), EACCES);
	fd = (int)CHECK_OK(open("shared/new", O_CREAT | O_RDWR, 0644));
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_uid, 0);
	CHECK_EQ(status.st_gid, 0);
	/* Over one's own files there are capabilities. */
	CHECK_EQ(chmod("shared/new", 0), 0);
	CHECK_OK(open("shared/new", O_RDWR));
	CHECK_ERRNO(mknod("shared/null", S_IFCHR | 0666, 0x103), EPERM);
	CHECK_EQ(mknod("shared/fifo", S_IFIFO | 0666, 0), 0);
	CHECK_ERRNO(setxattr("shared/new", "trusted.x", "y", 1, 0), EPERM);
}

TEST(others_files)
{
	struct stat status;

	enter_scratch();
	write_file("other", "o", 0600);
	MUST(chown("other", 4321, 1234));
	become_inner_root();
	MUST(stat("other", &status));
	CHECK_EQ(status.st_uid, OVERFLOW);
	CHECK_ERRNO(open("other", O_RDONLY), EACCES);
	CHECK_ERRNO(chmod("other", 0644), EPERM);
	CHECK_ERRNO(chown("other", 0, 0), EPERM);
}

/* Other processes: those inside are one's own, those outside aren't. */
TEST(processes)
{
	struct rlimit limit;
	pid_t outside = child_that_pauses(), own, inside;

	drop_root();
	own = child_that_pauses();
	become_inner_root();
	inside = (pid_t)MUST(fork());
	if (inside == 0) {
		MUST(prctl(PR_SET_NAME, "inside"));
		for (;;)
			pause();
	}
	CHECK_ERRNO(kill(outside, SIGTERM), EPERM);
	CHECK_EQ(kill(own, 0), 0);
	CHECK_EQ(kill(inside, 0), 0);
	CHECK_ERRNO(setpriority(PRIO_PROCESS, (id_t)outside, 19), EPERM);
	CHECK_EQ(setpriority(PRIO_PROCESS, (id_t)inside, 19), 0);
	CHECK_ERRNO(setpriority(PRIO_PROCESS, (id_t)inside, -5), EACCES);
	CHECK_ERRNO(prlimit(outside, RLIMIT_NOFILE, NULL, &limit), EPERM);
	CHECK_EQ(prlimit(inside, RLIMIT_NOFILE, NULL, &limit), 0);
	CHECK_EQ(getpriority(PRIO_USER, 0) <= getpriority(PRIO_PROCESS, 0), 1);
	MUST(kill(inside, SIGKILL));
	CHECK_EQ(wait_for(inside), KILLED(SIGKILL));
	CHECK_EQ(kill(own, SIGKILL), 0);
}

/* What only counts over the whole machine. */
TEST(not_over_the_machine)
{
	struct timespec time = {0, 0};
	struct sched_param priority = {.sched_priority = 1};
	int fd;

	drop_root();
	become_inner_root();
	CHECK_EQ(effective(), every_capability());
	CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &time), EPERM);
	CHECK_ERRNO(sethostname("inner", 5), EPERM);
	CHECK_ERRNO(mount("none", "/tmp", "tmpfs", 0, NULL), EPERM);
	CHECK_ERRNO(sched_setscheduler(0, SCHED_FIFO, &priority), EPERM);
	CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, -1), EACCES);
	CHECK_EQ(chroot("/"), 0);
	/* In a chroot there are no more user namespaces. */
	fd = (int)CHECK_OK(open("/proc/self/uid_map", O_RDONLY));
	CHECK_EQ(close(fd), 0);
	MUST(chdir("/tmp"));
	CHECK_EQ(chroot("/tmp"), 0);
	CHECK_ERRNO(unshare(CLONE_NEWUSER), EPERM);
}

TEST(nested)
{
	pid_t child;
	char text[64];

	drop_root();
	become_inner_root();
	MUST(unshare(CLONE_NEWUSER));
	CHECK_EQ(getuid(), OVERFLOW);
	CHECK_STRING(read_text("/proc/self/setgroups"), "deny\n");
	CHECK_ERRNO(write_text("/proc/self/uid_map", "0 1 1"), EPERM);
	CHECK_EQ(write_text("/proc/self/uid_map", "5 0 1"), 0);
	CHECK_EQ(write_text("/proc/self/gid_map", "6 0 1"), 0);
	CHECK_EQ(getuid(), 5);
	CHECK_EQ(getgid(), 6);
	CHECK_STRING(read_text("/proc/self/uid_map"), "         5          0          1\n");
	/* A child deeper still is seen by both. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(unshare(CLONE_NEWUSER));
		MUST(write_text("/proc/self/uid_map", "9 5 1"));
		_exit(getuid() == 9 ? 0 : 1);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	child = child_in_namespace(do_nothing);
	CHECK_EQ(write_for(child, "uid_map", "9 5 1"), 0);
	snprintf(text, sizeof(text), "/proc/%d/uid_map", child);
	CHECK_STRING(read_text(text), "         9          5          1\n");
	let_go(child);
}

TEST(levels)
{
	int level = 0;
	char text[64];

	drop_root();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	for (;;) {
		uid_t uid = geteuid();

		if (unshare(CLONE_NEWUSER) == -1)
			break;
		snprintf(text, sizeof(text), "0 %u 1", uid);
		MUST(write_text("/proc/self/uid_map", text));
		write_text("/proc/self/setgroups", "deny");
		snprintf(text, sizeof(text), "0 %u 1", level == 0 ? NOBODY : 0);
		MUST(write_text("/proc/self/gid_map", text));
		level++;
	}
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(level, 33);
}

TEST(as_many_as_may_be)
{
	drop_root();
	become_inner_root();
	CHECK_EQ(write_text("/proc/sys/user/max_user_namespaces", "1"), 0);
	CHECK_STRING(read_text("/proc/sys/user/max_user_namespaces"), "1\n");
	{
		pid_t child = (pid_t)MUST(fork());

		if (child == 0) {
			MUST(unshare(CLONE_NEWUSER));
			_exit(access("/proc/sys/user/max_user_namespaces", W_OK) != 0);
		}
		CHECK_EQ(wait_for(child), EXITED(1));
	}
	CHECK_EQ(write_text("/proc/sys/user/max_user_namespaces", "0"), 0);
	CHECK_ERRNO(unshare(CLONE_NEWUSER), ENOSPC);
	CHECK_ERRNO(write_text("/proc/sys/user/max_user_namespaces", "-1"), EINVAL);
}

TEST(not_for_everybody_to_set)
{
	drop_root();
	CHECK_ERRNO(open("/proc/sys/user/max_user_namespaces", O_WRONLY), EACCES);
	CHECK_OK(open("/proc/sys/user/max_user_namespaces", O_RDONLY));
}

static void *idle(void *argument)
{
	(void)argument;
	pause();
	return NULL;
}

TEST(of_a_thread)
{
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, idle, NULL) == 0 ? 0 : -1);
	CHECK_ERRNO(unshare(CLONE_NEWUSER), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0, 0, 0, 0), EINVAL);
}

TEST(by_clone)
{
	char text[64];
	pid_t child;

	drop_root();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	child = (pid_t)CHECK_OK(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	if (child == 0) {
		if (getuid() != OVERFLOW || effective() != every_capability())
			_exit(1);
		snprintf(text, sizeof(text), "0 %d 1", NOBODY);
		_exit(write_text("/proc/self/uid_map", text) == 0 && getuid() == 0 ? 0 : 2);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(getuid(), NOBODY);
	CHECK_EQ(effective(), 0);
}

static int seen_uid = -1;

static void note_uid(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	seen_uid = (int)info->si_uid;
}

/* Who sends is named as the receiver knows him. */
TEST(senders)
{
	siginfo_t info;
	pid_t child;

	drop_root();
	handle_info(SIGUSR1, note_uid, SA_RESTART);
	MUST(prctl(PR_SET_DUMPABLE, 1));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		become_inner_root();
		MUST(kill(getppid(), SIGUSR1));
		MUST(kill(getpid(), SIGUSR1));
		_exit(seen_uid == 0 ? 0 : 1);
	}
	MUST(waitid(P_PID, (id_t)child, &info, WEXITED));
	CHECK_EQ(info.si_status, 0);
	CHECK_EQ(info.si_uid, NOBODY);
	CHECK_EQ(seen_uid, NOBODY);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int ready[2];
		pid_t inner;
		char byte;

		become_inner_root();
		MUST(pipe(ready));
		inner = (pid_t)MUST(fork());
		if (inner == 0) {
			MUST(unshare(CLONE_NEWUSER));
			write_all(ready[1], "x", 1);
			pause();
			_exit(seen_uid == OVERFLOW ? 44 : 45);
		}
		MUST(read(ready[0], &byte, 1));
		sleep_ms(30);
		MUST(kill(inner, SIGUSR1));
		_exit(WEXITSTATUS(wait_for(inner)));
	}
	CHECK_EQ(wait_for(child), EXITED(44));
}

static struct ucred ucred_of(int ends[2], int passes)
{
	struct ucred sent = {getpid(), getuid(), getgid()}, got = {-1, NO_ID, NO_ID};
	char byte = 'u', control[CMSG_SPACE(sizeof(sent))] = {0};
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	if (passes) {
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);

		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_CREDENTIALS;
		header->cmsg_len = CMSG_LEN(sizeof(sent));
		memcpy(CMSG_DATA(header), &sent, sizeof(sent));
		MUST(sendmsg(ends[1], &message, 0));
		return sent;
	}
	MUST(recvmsg(ends[0], &message, 0));
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(got));
	return got;
}

TEST(credentials_by_socket)
{
	int ends[2], on = 1;
	struct ucred peer, got;
	socklen_t size = sizeof(peer);
	pid_t child;

	drop_root();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	MUST(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		become_inner_root();
		got = ucred_of(ends, 1);
		MUST(getsockopt(ends[1], SOL_SOCKET, SO_PEERCRED, &peer, &size));
		_exit(got.uid == 0 && peer.uid == 0 && peer.gid == 0 ? 0 : 1);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	got = ucred_of(ends, 0);
	CHECK_EQ(got.pid, child);
	CHECK_EQ(got.uid, NOBODY);
	CHECK_EQ(got.gid, NOBODY);
	MUST(unshare(CLONE_NEWUSER));
	MUST(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
	CHECK_EQ(peer.uid, OVERFLOW);
}

static void status_has(const char *name, char *value, size_t size)
{
	const char *line = strstr(read_text("/proc/self/status"), name);

	value[0] = '\0';
	if (line != NULL)
		snprintf(value, size, "%.*s", (int)strcspn(line, "\n"), line);
}

TEST(shown_in_status)
{
	char line[128];

	drop_root();
	become_inner_root();
	status_has("Uid:", line, sizeof(line));
	CHECK_STRING(line, "Uid:\t0\t0\t0\t0");
	status_has("Gid:", line, sizeof(line));
	CHECK_STRING(line, "Gid:\t0\t0\t0\t0");
	CHECK_EQ(strtoull(strstr(read_text("/proc/self/status"), "CapEff:") + 7, NULL, 16), every_capability());
	CHECK_EQ(strtoull(strstr(read_text("/proc/self/status"), "CapBnd:") + 7, NULL, 16), every_capability());
}

ROLE(shows)
{
	return (getuid() == 0) | (geteuid() == 0) << 1 | (effective() != 0) << 2 | (geteuid() == OVERFLOW) << 3;
}

/* A set-user-id program of somebody who has no id inside changes nothing; of one who has, it does. */
TEST(programs_of_others)
{
	char *arguments[] = {"program", "shows", NULL};
	pid_t child;

	enter_scratch();
	{
		int in = (int)MUST(open(check_self, O_RDONLY)), out = (int)MUST(open("program", O_CREAT | O_WRONLY, 0755));
		static char buffer[65536];
		ssize_t length;

		while ((length = read(in, buffer, sizeof(buffer))) > 0)
			write_all(out, buffer, (size_t)length);
		close(out);
	}
	MUST(chmod("program", 04755));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		MUST(prctl(PR_SET_DUMPABLE, 1));
		MUST(unshare(CLONE_NEWUSER));
		execv("program", arguments);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(8));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		become_inner_root();
		execv("program", arguments);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(7));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		execv("program", arguments);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(6));
}

/* Who isn't root inside keeps no capabilities over an exec. */
TEST(capabilities_after_exec)
{
	char *arguments[] = {check_self, "shows", NULL};
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		drop_root();
		MUST(prctl(PR_SET_DUMPABLE, 1));
		MUST(unshare(CLONE_NEWUSER));
		MUST(write_text("/proc/self/uid_map", "1000 65534 1"));
		if (getuid() != 1000 || effective() != every_capability())
			_exit(98);
		execv("/proc/self/exe", arguments);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

struct kept {
	uint32_t magic, permitted, inheritable, permitted_high, inheritable_high, root;
};

/* Capabilities that a file has inside are for that namespace alone. */
TEST(capabilities_of_files)
{
	struct kept second = {0x02000001, 1 << CAP_KILL, 0, 0, 0, 0}, got;
	pid_t child;

	enter_scratch();
	write_file("program", "x", 0755);
	MUST(chown("program", NOBODY, NOBODY));
	MUST(chown(".", NOBODY, NOBODY));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		become_inner_root();
		CHECK_EQ(setxattr("program", "security.capability", &second, 20, 0), 0);
		memset(&got, 0, sizeof(got));
		CHECK_EQ(getxattr("program", "security.capability", &got, sizeof(got)), 20);
		CHECK_EQ(got.magic, 0x02000001);
		CHECK_EQ(got.permitted, 1 << CAP_KILL);
		second.magic = 0x03000001;
		second.root = 5;
		CHECK_ERRNO(setxattr("program", "security.capability", &second, 24, 0), EINVAL);
		second.root = 0;
		CHECK_EQ(setxattr("program", "security.capability", &second, 24, 0), 0);
		CHECK_ERRNO(setxattr("/bin/true", "security.capability", &second, 24, 0), EPERM);
		/* The form is looked at first, then the right, then who it's for, and last what there is. */
		second.root = 5;
		CHECK_ERRNO(setxattr("/bin/true", "security.capability", &second, 24, 0), EPERM);
		CHECK_ERRNO(setxattr("program", "security.capability", &second, 24, XATTR_CREATE), EINVAL);
		second.magic = 0x03000003;
		CHECK_ERRNO(setxattr("/bin/true", "security.capability", &second, 24, 0), EINVAL);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	memset(&got, 0, sizeof(got));
	CHECK_EQ(getxattr("program", "security.capability", &got, sizeof(got)), 24);
	CHECK_EQ(got.magic, 0x03000001);
	CHECK_EQ(got.root, NOBODY);
	CHECK_EQ(got.permitted, 1 << CAP_KILL);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		MUST(unshare(CLONE_NEWUSER));
		CHECK_ERRNO(getxattr("program", "security.capability", &got, sizeof(got)), EOVERFLOW);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(objects_of_ipc)
{
	struct msqid_ds state;
	int queue = (int)MUST(msgget(IPC_PRIVATE, 0600)), own;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		drop_root();
		become_inner_root();
		CHECK_ERRNO(msgctl(queue, IPC_STAT, &state), EACCES);
		CHECK_ERRNO(msgctl(queue, IPC_RMID, NULL), EPERM);
		own = (int)MUST(msgget(IPC_PRIVATE, 0600));
		CHECK_EQ(msgctl(own, IPC_STAT, &state), 0);
		CHECK_EQ(state.msg_perm.uid, 0);
		CHECK_EQ(state.msg_perm.cgid, 0);
		state.msg_perm.uid = 33;
		CHECK_ERRNO(msgctl(own, IPC_SET, &state), EINVAL);
		CHECK_EQ(msgctl(own, IPC_RMID, NULL), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(msgctl(queue, IPC_RMID, NULL), 0);
}
