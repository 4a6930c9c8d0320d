/* Who a process is and what it may use: getpid(2), setpgid(2), setsid(2), credentials(7), prctl(2), getrlimit(2). */
#include "check.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

TEST(process_ids)
{
	pid_t self = getpid(), child;

	CHECK(self > 1);
	CHECK_EQ(syscall(SYS_getpid), self);
	CHECK_EQ(gettid(), self);
	CHECK(getppid() > 0);
	CHECK_EQ(getpgrp(), self);
	CHECK_EQ(getpgid(0), self);
	CHECK_EQ(getpgid(self), self);
	CHECK_EQ(getsid(0), getsid(self));
	/* 0 when the session's leader lies outside the caller's pid namespace. */
	CHECK(getsid(0) >= 0);
	CHECK_EQ(getsid(getppid()), getsid(0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(getppid(), self);
		CHECK_EQ(gettid(), getpid());
		CHECK_EQ(getpgrp(), self);
		CHECK_EQ(getpgid(getppid()), self);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(getpgid(child), ESRCH);
	CHECK_ERRNO(getsid(child), ESRCH);
	CHECK_ERRNO(getpgid(-1), ESRCH);
}

TEST(process_groups)
{
	pid_t first = child_that_pauses(), second = child_that_pauses(), dead = child_that_exits(0);

	MUST(wait_for(dead));
	CHECK_EQ(setpgid(first, first), 0);
	CHECK_EQ(getpgid(first), first);
	CHECK_EQ(setpgid(second, first), 0);
	CHECK_EQ(getpgid(second), first);
	CHECK_EQ(setpgid(second, 0), 0);
	CHECK_EQ(getpgid(second), second);
	CHECK_EQ(setpgid(second, getpgrp()), 0);
	CHECK_EQ(getpgid(second), getpgrp());
	CHECK_EQ(setpgid(0, 0), 0);
	CHECK_ERRNO(setpgid(first, -1), EINVAL);
	CHECK_ERRNO(setpgid(dead, 0), ESRCH);
	CHECK_ERRNO(setpgid(getppid(), 0), ESRCH);
	CHECK_ERRNO(setpgid(first, dead), EPERM);
	CHECK_ERRNO(setpgid(first, second), EPERM);
	MUST(kill(first, SIGKILL));
	MUST(kill(second, SIGKILL));
	CHECK_EQ(wait_for(first), KILLED(SIGKILL));
	CHECK_EQ(wait_for(second), KILLED(SIGKILL));
}

ROLE(waits)
{
	char byte;

	write_all(STDOUT_FILENO, "x", 1);
	return read(STDIN_FILENO, &byte, 1) == 1;
}

TEST(child_that_executed_keeps_its_group)
{
	int in[2], out[2];
	char byte;
	pid_t child;

	MUST(pipe(in));
	MUST(pipe(out));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(dup2(in[0], STDIN_FILENO));
		MUST(dup2(out[1], STDOUT_FILENO));
		execl(check_self, check_self, "waits", NULL);
		_exit(99);
	}
	MUST(read(out[0], &byte, 1));
	CHECK_ERRNO(setpgid(child, child), EACCES);
	CHECK_EQ(getpgid(child), getpgrp());
	write_all(in[1], "x", 1);
	CHECK_EQ(wait_for(child), EXITED(1));
}

TEST(sessions)
{
	int ends[2], back[2];
	char byte;
	pid_t child;

	MUST(pipe(ends));
	MUST(pipe(back));
	CHECK_ERRNO(setsid(), EPERM);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pid_t inner;

		CHECK_EQ(setsid(), getpid());
		CHECK_EQ(getsid(0), getpid());
		CHECK_EQ(getpgrp(), getpid());
		CHECK_ERRNO(setsid(), EPERM);
		CHECK_ERRNO(setpgid(0, 0), EPERM);
		CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
		inner = (pid_t)MUST(fork());
		if (inner == 0) {
			CHECK_EQ(getsid(0), getppid());
			CHECK_EQ(getpgrp(), getppid());
			CHECK_EQ(setpgid(0, 0), 0);
			CHECK_EQ(getsid(0), getppid());
			_exit(0);
		}
		CHECK_EQ(wait_for(inner), EXITED(0));
		write_all(ends[1], "x", 1);
		MUST(read(back[0], &byte, 1));
		_exit(0);
	}
	MUST(read(ends[0], &byte, 1));
	CHECK_EQ(getsid(child), child);
	CHECK_ERRNO(setpgid(child, child), EPERM);
	CHECK_ERRNO(setpgid(child, 0), EPERM);
	write_all(back[1], "x", 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(a_group_of_another_session_can_not_be_joined)
{
	int ends[2], back[2];
	char byte;
	pid_t child;

	MUST(pipe(ends));
	MUST(pipe(back));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setsid());
		write_all(ends[1], "x", 1);
		MUST(read(back[0], &byte, 1));
		_exit(0);
	}
	MUST(read(ends[0], &byte, 1));
	CHECK_ERRNO(setpgid(0, child), EPERM);
	write_all(back[1], "x", 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* Forks for what changes ids: true in the child, which exits; the parent waits for it. */
static int is_other_process(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		return 1;
	CHECK_EQ(wait_for(child), EXITED(0));
	return 0;
}

TEST(user_ids_of_the_superuser)
{
	int is_root = geteuid() == 0;
	uid_t own = geteuid(), real, effective, saved;

	if (!is_other_process())
		return;
	CHECK_EQ(ERRNO_OF(setresuid(1000, 2000, 3000)), is_root ? 0 : EPERM);
	CHECK_EQ(getresuid(&real, &effective, &saved), 0);
	CHECK_EQ(real, is_root ? 1000 : own);
	CHECK_EQ(effective, is_root ? 2000 : own);
	CHECK_EQ(saved, is_root ? 3000 : own);
	CHECK_EQ(getuid(), real);
	CHECK_EQ(geteuid(), effective);
	CHECK_EQ(setresuid((uid_t)-1, saved, (uid_t)-1), 0);
	CHECK_EQ(geteuid(), saved);
	CHECK_EQ(getuid(), real);
	CHECK_EQ(seteuid(real), 0);
	CHECK_EQ(geteuid(), real);
	CHECK_ERRNO(seteuid(54321), EPERM);
	CHECK_ERRNO(setuid(54321), EPERM);
	CHECK_EQ(setuid(saved), 0);
	CHECK_EQ(getresuid(&real, &effective, &saved), 0);
	CHECK_EQ(effective, saved);
	CHECK_EQ(real, is_root ? 1000 : own);
	_exit(0);
}

TEST(setuid_of_the_superuser_sets_all)
{
	int is_root = geteuid() == 0;
	uid_t own = geteuid(), real, effective, saved;

	if (!is_other_process())
		return;
	CHECK_EQ(ERRNO_OF(setuid(1234)), is_root ? 0 : EPERM);
	CHECK_EQ(getresuid(&real, &effective, &saved), 0);
	CHECK_EQ(real, is_root ? 1234 : own);
	CHECK_EQ(effective, is_root ? 1234 : own);
	CHECK_EQ(saved, is_root ? 1234 : own);
	CHECK_ERRNO(setuid(0), EPERM);
	CHECK_ERRNO(setreuid(0, 0), EPERM);
	CHECK_ERRNO(setresuid(0, (uid_t)-1, (uid_t)-1), EPERM);
	_exit(0);
}

TEST(superuser_steps_down_and_up_again)
{
	int is_root = geteuid() == 0;

	if (!is_other_process())
		return;
	enter_scratch();
	write_file("secret", "", 0);
	CHECK_EQ(ERRNO_OF(seteuid(NOBODY)), is_root ? 0 : EPERM);
	CHECK_ERRNO(open("secret", O_RDONLY), EACCES);
	CHECK_EQ(ERRNO_OF(seteuid(0)), is_root ? 0 : EPERM);
	CHECK_EQ(ERRNO_OF(open("secret", O_RDONLY)), is_root ? 0 : EACCES);
	_exit(0);
}

TEST(access_uses_the_real_ids)
{
	int is_root = geteuid() == 0;

	if (!is_other_process())
		return;
	enter_scratch();
	write_file("secret", "", 0600);
	MUST(ERRNO_OF(setresuid(is_root ? NOBODY : (uid_t)-1, (uid_t)-1, (uid_t)-1)) != 0 ? -1 : 0);
	CHECK_EQ(ERRNO_OF(access("secret", R_OK)), is_root ? EACCES : 0);
	CHECK_EQ(faccessat(AT_FDCWD, "secret", R_OK, AT_EACCESS), 0);
	CHECK_OK(open("secret", O_RDONLY));
	_exit(0);
}

TEST(setreuid_sets_the_saved_id)
{
	int is_root = geteuid() == 0;
	uid_t own = geteuid(), real, effective, saved;

	if (!is_other_process())
		return;
	CHECK_EQ(ERRNO_OF(setreuid(1000, 2000)), is_root ? 0 : EPERM);
	CHECK_EQ(getresuid(&real, &effective, &saved), 0);
	CHECK_EQ(real, is_root ? 1000 : own);
	CHECK_EQ(saved, is_root ? 2000 : own);
	CHECK_EQ(setreuid(effective, real), 0);
	CHECK_EQ(getresuid(&real, &effective, &saved), 0);
	CHECK_EQ(real, is_root ? 2000 : own);
	CHECK_EQ(effective, is_root ? 1000 : own);
	CHECK_EQ(saved, is_root ? 1000 : own);
	_exit(0);
}

TEST(group_ids)
{
	int is_root = geteuid() == 0;
	gid_t own = getegid(), real, effective, saved, groups[4] = {11, 22, 33, 44}, seen[4] = {0};

	if (!is_other_process())
		return;
	CHECK(getgroups(0, NULL) >= 0);
	CHECK_ERRNO(syscall(SYS_getgroups, -1, seen), EINVAL);
	CHECK_EQ(ERRNO_OF(setgroups(3, groups)), is_root ? 0 : EPERM);
	CHECK_EQ(getgroups(0, NULL) == 3 || !is_root, 1);
	CHECK_EQ(getgroups(4, seen) == 3 || !is_root, 1);
	CHECK_EQ((seen[0] == 11 && seen[1] == 22 && seen[2] == 33) || !is_root, 1);
	CHECK_EQ(ERRNO_OF(getgroups(2, seen)) == EINVAL || !is_root, 1);
	CHECK_EQ(ERRNO_OF(setgroups(70000, groups)), is_root ? EINVAL : EPERM);
	CHECK_EQ(ERRNO_OF(setresgid(100, 200, 300)), is_root ? 0 : EPERM);
	CHECK_EQ(getresgid(&real, &effective, &saved), 0);
	CHECK_EQ(real, is_root ? 100 : own);
	CHECK_EQ(effective, is_root ? 200 : own);
	CHECK_EQ(saved, is_root ? 300 : own);
	CHECK_EQ(getgid(), real);
	CHECK_EQ(getegid(), effective);
	CHECK_EQ(setegid(saved), 0);
	CHECK_EQ(getegid(), saved);
	CHECK_EQ(ERRNO_OF(setgid(5000)), is_root ? 0 : EPERM);
	CHECK_EQ(getgid(), is_root ? 5000 : own);
	CHECK_EQ(ERRNO_OF(setregid(600, 700)), is_root ? 0 : EPERM);
	CHECK_EQ(getegid(), is_root ? 700 : own);
	drop_root();
	CHECK_ERRNO(setgroups(1, groups), EPERM);
	CHECK_ERRNO(setgid(77777), EPERM);
	CHECK_EQ(setgid(getgid()), 0);
	_exit(0);
}

TEST(file_system_ids)
{
	if (!is_other_process())
		return;
	drop_root();
	CHECK_EQ(setfsuid(geteuid()), geteuid());
	CHECK_EQ(setfsuid(54321), geteuid());
	CHECK_EQ(setfsuid((uid_t)-1), geteuid());
	CHECK_EQ(setfsgid(getegid()), getegid());
	CHECK_EQ(setfsgid((gid_t)-1), getegid());
	if (geteuid() != 0)
		return;
	/* They stay with what changes nothing else, and follow the effective ones otherwise. */
	CHECK_EQ(setfsgid(54321), getegid());
	CHECK_EQ(setresgid(-1, -1, getegid()), 0);
	CHECK_EQ(setfsgid((gid_t)-1), 54321);
	CHECK_EQ(setresgid(getgid(), -1, -1), 0);
	CHECK_EQ(setfsgid((gid_t)-1), 54321);
	CHECK_EQ(setresgid(-1, getegid(), -1), 0);
	CHECK_EQ(setfsgid(54321), getegid());
	CHECK_EQ(setregid(-1, -1), 0);
	CHECK_EQ(setfsgid((gid_t)-1), getegid());
	CHECK_EQ(setfsuid(54321), geteuid());
	CHECK_EQ(setresuid(-1, -1, -1), 0);
	CHECK_EQ(setfsuid((uid_t)-1), 54321);
	CHECK_EQ(setresuid(-1, -1, 4321), 0);
	CHECK_EQ(setfsuid((uid_t)-1), geteuid());
	_exit(0);
}

TEST(names_of_processes)
{
	char name[32];
	pid_t child;

	memset(name, 'x', sizeof(name));
	CHECK_EQ(prctl(PR_SET_NAME, "short"), 0);
	CHECK_EQ(prctl(PR_GET_NAME, name), 0);
	CHECK_STRING(name, "short");
	CHECK_EQ(prctl(PR_SET_NAME, "a name that is too long"), 0);
	memset(name, 'x', sizeof(name));
	CHECK_EQ(prctl(PR_GET_NAME, name), 0);
	CHECK_STRING(name, "a name that is ");
	CHECK_EQ(name[16], 'x');
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(prctl(PR_SET_NAME, "child"), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(prctl(PR_GET_NAME, name), 0);
	CHECK_STRING(name, "a name that is ");
	CHECK_ERRNO(prctl(PR_SET_NAME, bad_address()), EFAULT);
	CHECK_ERRNO(prctl(99999, 0, 0, 0, 0), EINVAL);
}

TEST(death_of_the_parent)
{
	int signal = 99, ends[2], out[2];
	char byte = 0;
	pid_t child;

	CHECK_EQ(prctl(PR_GET_PDEATHSIG, &signal), 0);
	CHECK_EQ(signal, 0);
	CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
	CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGUSR1), 0);
	CHECK_EQ(prctl(PR_GET_PDEATHSIG, &signal), 0);
	CHECK_EQ(signal, SIGUSR1);
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	MUST(pipe(ends));
	MUST(pipe(out));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pid_t inner;

		CHECK_EQ(prctl(PR_GET_PDEATHSIG, &signal), 0);
		CHECK_EQ(signal, 0);
		inner = (pid_t)MUST(fork());
		if (inner == 0) {
			CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGTERM), 0);
			write_all(ends[1], "x", 1);
			for (;;)
				pause();
		}
		MUST(read(ends[0], &byte, 1));
		write_all(out[1], &inner, sizeof(inner));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(read(out[0], &child, sizeof(child)), sizeof(child));
	CHECK_EQ(wait_for(child), KILLED(SIGTERM));
}

TEST(other_prctl_options)
{
	pid_t child;

	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
	CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 9), EINVAL);
	CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
	CHECK_EQ(prctl(PR_GET_KEEPCAPS), 0);
	CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
	CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
	CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 3 : 4);
	CHECK_EQ(wait_for(child), EXITED(3));
	CHECK_OK(prctl(PR_CAPBSET_READ, 0, 0, 0, 0));
	CHECK_ERRNO(prctl(PR_CAPBSET_READ, 999, 0, 0, 0), EINVAL);
}

static int has_capability(int capability)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	MUST(syscall(SYS_capget, &header, data));
	return data[capability / 32].effective >> capability % 32 & 1;
}

TEST(resource_limits)
{
	struct rlimit limit, old, seen;
	int was_root = geteuid() == 0;
	pid_t child;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK(limit.rlim_cur <= limit.rlim_max);
	limit.rlim_cur = 60;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &seen), 0);
	CHECK_EQ(seen.rlim_cur, 60);
	CHECK_EQ(seen.rlim_max, limit.rlim_max);
	limit = (struct rlimit){100, 90};
	CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
	CHECK_ERRNO(getrlimit((__rlimit_resource_t)99, &limit), EINVAL);
	CHECK_ERRNO(setrlimit((__rlimit_resource_t)99, &limit), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrlimit, RLIMIT_NOFILE, bad_address()), EFAULT);
	limit = (struct rlimit){80, 80};
	CHECK_EQ(prlimit(0, RLIMIT_NOFILE, &limit, &old), 0);
	CHECK_EQ(old.rlim_cur, 60);
	limit = (struct rlimit){80, 200};
	CHECK_EQ(ERRNO_OF(setrlimit(RLIMIT_NOFILE, &limit)), has_capability(CAP_SYS_RESOURCE) ? 0 : EPERM);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
		limit.rlim_max++;
		CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
		limit.rlim_max -= 2;
		limit.rlim_cur = 10;
		CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
		CHECK_ERRNO(dup2(0, 10), EBADF);
		CHECK_EQ(ERRNO_OF(prlimit(getppid(), RLIMIT_NOFILE, NULL, &seen)), was_root ? EPERM : 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &seen), 0);
	CHECK_EQ(seen.rlim_cur, 80);
	child = child_that_pauses();
	limit = (struct rlimit){33, 44};
	CHECK_EQ(prlimit(child, RLIMIT_NOFILE, &limit, NULL), 0);
	CHECK_EQ(prlimit(child, RLIMIT_NOFILE, NULL, &seen), 0);
	CHECK_EQ(seen.rlim_cur, 33);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_ERRNO(prlimit(child, RLIMIT_NOFILE, NULL, &seen), ESRCH);
}

/* The errno is that of who joined the group first. */
TEST(priorities_of_a_group)
{
	pid_t leader, member;

	if (geteuid() != 0)
		return;
	leader = (pid_t)MUST(fork());
	if (leader == 0) {
		MUST(setpgid(0, 0));
		member = (pid_t)MUST(fork());
		if (member == 0) {
			MUST(setreuid((uid_t)-1, NOBODY));
			CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, -5), EACCES);
			CHECK_ERRNO(setpriority(PRIO_PGRP, 0, -5), EPERM);
			_exit(0);
		}
		CHECK_EQ(wait_for(member), EXITED(0));
		member = child_that_pauses();
		MUST(setreuid((uid_t)-1, NOBODY));
		CHECK_ERRNO(setpriority(PRIO_PGRP, 0, -5), EACCES);
		_exit(0);
	}
	CHECK_EQ(wait_for(leader), EXITED(0));
	MUST(kill(-leader, SIGKILL));
}

TEST(priorities)
{
	int own = getpriority(PRIO_PROCESS, 0);
	pid_t child = child_that_exits(0);

	MUST(wait_for(child));
	CHECK_EQ(setpriority(PRIO_PROCESS, 0, own + 1), 0);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), own + 1);
	CHECK_EQ(nice(1), own + 2);
	CHECK_EQ(getpriority(PRIO_PROCESS, getpid()), own + 2);
	CHECK_EQ(getpriority(PRIO_PGRP, 0), own + 2);
	CHECK_EQ(setpriority(PRIO_PROCESS, 0, 1000), 0);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
	CHECK_ERRNO(setpriority(9, 0, 0), EINVAL);
	CHECK_ERRNO(setpriority(PRIO_PROCESS, (id_t)child, 0), ESRCH);
	if (!is_other_process())
		return;
	drop_root();
	MUST(setrlimit(RLIMIT_NICE, &(struct rlimit){0, 0}));
	CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 5), EACCES);
	_exit(0);
}

TEST(scheduling)
{
	struct sched_param parameters;
	cpu_set_t cpus;
	unsigned cpu = 12345, node = 12345;

	CHECK_EQ(sched_yield(), 0);
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	CHECK_EQ(sched_getparam(0, &parameters), 0);
	CHECK_EQ(parameters.sched_priority, 0);
	CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
	CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
	CHECK_ERRNO(sched_get_priority_max(99), EINVAL);
	CHECK_EQ(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	CHECK(CPU_COUNT(&cpus) >= 1);
	CHECK_EQ(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
	CHECK_EQ(getcpu(&cpu, &node), 0);
	CHECK(CPU_ISSET(cpu, &cpus));
	CHECK_ERRNO(sched_getaffinity(0x7ffffff0, sizeof(cpus), &cpus), ESRCH);
	CPU_ZERO(&cpus);
	CHECK_ERRNO(sched_setaffinity(0, sizeof(cpus), &cpus), EINVAL);
}

TEST(the_system_s_name)
{
	struct utsname name;
	struct sysinfo info;
	char host[65] = "";

	/* The host may have no name, or be given another meanwhile. */
	if (unshare(CLONE_NEWUTS) == 0)
		MUST(sethostname("some-name", 9));
	CHECK_EQ(uname(&name), 0);
	CHECK_STRING(name.sysname, "Linux");
	CHECK_STRING(name.machine, "x86_64");
	CHECK(name.release[0] >= '3' && name.release[0] <= '9');
	CHECK(name.nodename[0] != '\0' || geteuid() != 0);
	CHECK_EQ(gethostname(host, sizeof(host)), 0);
	CHECK_STRING(host, name.nodename);
	CHECK_ERRNO(uname(bad_address()), EFAULT);
	CHECK_EQ(sysinfo(&info), 0);
	CHECK(info.uptime >= 0);
	CHECK(info.totalram > 0 && info.freeram <= info.totalram);
	CHECK(info.procs > 0);
	if (!is_other_process())
		return;
	drop_root();
	CHECK_ERRNO(sethostname("x", 1), EPERM);
	CHECK_ERRNO(setdomainname("x", 1), EPERM);
	_exit(0);
}

TEST(random_bytes)
{
	unsigned char first[300], second[300];
	int ones = 0;

	memset(first, 0, sizeof(first));
	memset(second, 0, sizeof(second));
	CHECK_EQ(getrandom(first, sizeof(first), 0), sizeof(first));
	CHECK_EQ(getrandom(second, sizeof(second), GRND_NONBLOCK), sizeof(second));
	CHECK(memcmp(first, second, sizeof(first)) != 0);
	for (size_t at = 0; at < sizeof(first); at++)
		ones += __builtin_popcount(first[at]);
	CHECK(ones > 900 && ones < 1500);
	CHECK_EQ(getrandom(first, 1, GRND_RANDOM), 1);
	CHECK_EQ(getrandom(first, 0, 0), 0);
	CHECK_ERRNO(getrandom(first, 1, 0x100), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrandom, bad_address(), 1, 0), EFAULT);
}

TEST(unknown_calls)
{
	CHECK_ERRNO(syscall(5000), ENOSYS);
	CHECK_ERRNO(syscall(-1), ENOSYS);
	CHECK_ERRNO(syscall(0x7fffffff), ENOSYS);
}
