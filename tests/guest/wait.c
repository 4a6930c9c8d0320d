/* Waiting for children, zombies, orphans and their new parents: wait(2), wait4(2), prctl(2). */
#include "check.h"

#include <sys/prctl.h>
#include <sys/resource.h>

static volatile int signals_seen;

static void count_signal(int signal)
{
	(void)signal;
	signals_seen++;
}

TEST(status_macros)
{
	int status = wait_for(child_that_exits(9));
	pid_t child;

	CHECK(WIFEXITED(status));
	CHECK(!WIFSIGNALED(status));
	CHECK(!WIFSTOPPED(status));
	CHECK(!WIFCONTINUED(status));
	CHECK_EQ(WEXITSTATUS(status), 9);

	child = child_that_pauses();
	CHECK_OK(kill(child, SIGTERM));
	status = wait_for(child);
	CHECK(WIFSIGNALED(status));
	CHECK(!WIFEXITED(status));
	CHECK(!WCOREDUMP(status));
	CHECK_EQ(WTERMSIG(status), SIGTERM);
	CHECK_EQ(status, KILLED(SIGTERM));
}

TEST(stop_and_continue_are_reported)
{
	pid_t child = child_that_pauses();
	int status;

	CHECK_OK(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(WSTOPSIG(status), SIGSTOP);
	CHECK(!WIFEXITED(status) && !WIFSIGNALED(status));
	CHECK_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
	CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
	CHECK_OK(kill(child, SIGCONT));
	CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
	CHECK(WIFCONTINUED(status));
	CHECK_EQ(status, 0xffff);
	CHECK_EQ(waitpid(child, &status, WCONTINUED | WNOHANG), 0);
	CHECK_OK(kill(child, SIGTSTP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED | WCONTINUED), child);
	CHECK_EQ(status, W_STOPCODE(SIGTSTP));
	CHECK_OK(kill(child, SIGKILL));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK_EQ(status, KILLED(SIGKILL));
}

TEST(wait_errnos)
{
	int status = 77;
	pid_t child;

	CHECK_ERRNO(wait(&status), ECHILD);
	CHECK_ERRNO(waitpid(-1, &status, WNOHANG), ECHILD);
	CHECK_ERRNO(waitpid(getpid(), &status, 0), ECHILD);
	CHECK_ERRNO(waitpid(getppid(), &status, 0), ECHILD);
	CHECK_ERRNO(waitpid(0, &status, 0), ECHILD);
	CHECK_ERRNO(waitpid(-getpid(), &status, 0), ECHILD);
	CHECK_ERRNO(waitpid(-1, &status, 0x10000), EINVAL);
	CHECK_ERRNO(waitpid(-1, &status, WNOWAIT), EINVAL);
	CHECK_ERRNO(waitpid(INT_MIN, &status, 0), ESRCH);
	CHECK_EQ(status, 77);

	child = child_that_exits(0);
	CHECK_ERRNO(waitpid(child + 1, &status, WNOHANG), ECHILD);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	CHECK_ERRNO(waitpid(child, NULL, 0), ECHILD);
}

TEST(grandchildren_are_not_waited_for)
{
	int ends[2];
	pid_t grandchild = 0, child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		grandchild = child_that_pauses();
		write_all(ends[1], &grandchild, sizeof(grandchild));
		for (;;)
			pause();
	}
	CHECK_EQ(read(ends[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	CHECK_OK(kill(grandchild, 0));
	CHECK_ERRNO(waitpid(grandchild, NULL, WNOHANG), ECHILD);
	CHECK_OK(kill(grandchild, SIGKILL));
	CHECK_OK(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(wnohang)
{
	int ends[2], status = 55;
	char byte;
	pid_t child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(read(ends[0], &byte, 1));
		_exit(11);
	}
	CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
	CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
	CHECK_EQ(wait4(0, &status, WNOHANG, NULL), 0);
	CHECK_EQ(status, 55);
	write_all(ends[1], "x", 1);
	await_zombie(child);
	CHECK_EQ(waitpid(child, &status, WNOHANG), child);
	CHECK_EQ(status, EXITED(11));
	CHECK_ERRNO(waitpid(child, &status, WNOHANG), ECHILD);
}

TEST(wait_chooses_by_process_group)
{
	pid_t first = (pid_t)MUST(fork()), second;
	int status;

	if (first == 0) {
		MUST(setpgid(0, 0));
		_exit(1);
	}
	second = child_that_exits(2);
	await_zombie(first);
	await_zombie(second);
	CHECK_EQ(getpgid(first), first);
	CHECK_EQ(getpgid(second), getpgrp());
	CHECK_EQ(waitpid(0, &status, 0), second);
	CHECK_EQ(status, EXITED(2));
	CHECK_ERRNO(waitpid(0, &status, 0), ECHILD);
	CHECK_EQ(waitpid(-first, &status, 0), first);
	CHECK_EQ(status, EXITED(1));
	CHECK_ERRNO(waitpid(-first, &status, 0), ECHILD);
}

TEST(each_child_is_reaped_once)
{
	enum { CHILDREN = 60 };
	pid_t children[CHILDREN];
	int code_sum = 0, reaped_twice = 0, strangers = 0, same_pids = 0;
	char was_reaped[CHILDREN] = {0};

	for (int at = 0; at < CHILDREN; at++)
		children[at] = child_that_exits(at);
	for (int at = 0; at < CHILDREN; at++) {
		for (int other = 0; other < at; other++)
			same_pids += children[at] == children[other];
	}
	CHECK_EQ(same_pids, 0);
	for (int at = 0; at < CHILDREN; at++) {
		int status, which = 0;
		pid_t child = wait(&status);

		while (which < CHILDREN && children[which] != child)
			which++;
		strangers += which == CHILDREN;
		if (which < CHILDREN) {
			reaped_twice += was_reaped[which]++;
			code_sum += WEXITSTATUS(status) == which ? which : 10000;
		}
	}
	CHECK_EQ(strangers, 0);
	CHECK_EQ(reaped_twice, 0);
	CHECK_EQ(code_sum, CHILDREN * (CHILDREN - 1) / 2);
	CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(zombie_keeps_its_pid)
{
	pid_t child = child_that_exits(3);

	await_zombie(child);
	CHECK_OK(kill(child, 0));
	CHECK_OK(kill(child, SIGTERM));
	CHECK_OK(kill(child, SIGKILL));
	CHECK_EQ(getpgid(child), getpgrp());
	CHECK_EQ(getsid(child), getsid(0));
	await_zombie(child);
	CHECK_EQ(wait_for(child), EXITED(3));
	CHECK_ERRNO(kill(child, 0), ESRCH);
	CHECK_ERRNO(getpgid(child), ESRCH);
	CHECK_ERRNO(getsid(child), ESRCH);
}

TEST(waitid_fields)
{
	siginfo_t info;
	pid_t child = child_that_exits(0x181);

	memset(&info, 0x5a, sizeof(info));
	CHECK_OK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
	CHECK_EQ(info.si_signo, SIGCHLD);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(info.si_uid, getuid());
	CHECK_EQ(info.si_status, 0x81);
	CHECK_EQ(info.si_errno, 0);
	memset(&info, 0x5a, sizeof(info));
	CHECK_EQ(waitid(P_ALL, 0, &info, WEXITED), 0);
	CHECK_EQ(info.si_pid, child);
	CHECK_ERRNO(waitid(P_PID, (id_t)child, &info, WEXITED), ECHILD);
	/* A zombie will never stop or continue. */
	child = child_that_exits(0);
	await_zombie(child);
	memset(&info, 0, sizeof(info));
	CHECK_ERRNO(waitid(P_PID, (id_t)child, &info, WSTOPPED), ECHILD);
	CHECK_ERRNO(waitid(P_PID, (id_t)child, &info, WCONTINUED | WNOHANG), ECHILD);
	CHECK_ERRNO(waitid(P_ALL, 0, &info, WSTOPPED | WCONTINUED), ECHILD);
	CHECK_EQ(wait_for(child), EXITED(0));

	child = child_that_pauses();
	memset(&info, 0x5a, sizeof(info));
	CHECK_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG), 0);
	CHECK_EQ(info.si_pid, 0);
	CHECK_EQ(info.si_signo, 0);
	CHECK_OK(kill(child, SIGSTOP));
	CHECK_OK(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT));
	CHECK_EQ(info.si_code, CLD_STOPPED);
	CHECK_EQ(info.si_status, SIGSTOP);
	CHECK_OK(waitid(P_PID, (id_t)child, &info, WSTOPPED));
	CHECK_EQ(info.si_code, CLD_STOPPED);
	info.si_pid = 1;
	CHECK_OK(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG));
	CHECK_EQ(info.si_pid, 0);
	CHECK_OK(kill(child, SIGCONT));
	CHECK_OK(waitid(P_PGID, (id_t)getpgrp(), &info, WCONTINUED));
	CHECK_EQ(info.si_code, CLD_CONTINUED);
	CHECK_EQ(info.si_status, SIGCONT);
	CHECK_EQ(info.si_pid, child);
	CHECK_OK(kill(child, SIGINT));
	CHECK_OK(waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED));
	CHECK_EQ(info.si_code, CLD_KILLED);
	CHECK_EQ(info.si_status, SIGINT);
	CHECK_EQ(info.si_pid, child);
}

TEST(waitid_errnos)
{
	siginfo_t info;
	pid_t child = child_that_exits(0);

	CHECK_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
	CHECK_ERRNO(waitid(P_ALL, 0, &info, WNOHANG), EINVAL);
	CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED | 0x10000), EINVAL);
	CHECK_ERRNO(waitid((idtype_t)9, 0, &info, WEXITED), EINVAL);
	CHECK_ERRNO(waitid(P_PID, 0, &info, WEXITED), EINVAL);
	CHECK_ERRNO(waitid(P_PIDFD, 5000, &info, WEXITED), EBADF);
	CHECK_ERRNO(waitid(P_PID, (id_t)getpid(), &info, WEXITED), ECHILD);
	CHECK_OK(waitid(P_PID, (id_t)child, NULL, WEXITED));
	CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
}

TEST(rusage_of_children)
{
	struct rusage usage, before, after;
	int status;
	pid_t child;

	CHECK_OK(getrusage(RUSAGE_CHILDREN, &before));
	CHECK_EQ(before.ru_utime.tv_sec + before.ru_utime.tv_usec + before.ru_stime.tv_usec, 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		while (now_ns(CLOCK_PROCESS_CPUTIME_ID) < 30000000)
			continue;
		_exit(0);
	}
	memset(&usage, 0xff, sizeof(usage));
	CHECK_EQ(wait4(child, &status, 0, &usage), child);
	CHECK_EQ(status, EXITED(0));
	CHECK(usage.ru_utime.tv_sec >= 0 && usage.ru_utime.tv_usec >= 0 && usage.ru_utime.tv_usec < 1000000);
	CHECK(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_sec * 1000000 +
		      usage.ru_stime.tv_usec >= 20000);
	CHECK(usage.ru_maxrss > 0);
	CHECK(usage.ru_minflt > 0);
	CHECK_OK(getrusage(RUSAGE_CHILDREN, &after));
	CHECK_EQ(after.ru_utime.tv_sec * 1000000 + after.ru_utime.tv_usec,
		 usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec);
	CHECK_EQ(after.ru_minflt, usage.ru_minflt);
	CHECK_EQ(after.ru_maxrss, usage.ru_maxrss);
	CHECK_OK(getrusage(RUSAGE_SELF, &after));
	CHECK(after.ru_maxrss > 0);
	CHECK(after.ru_minflt > 0);
	CHECK_OK(getrusage(RUSAGE_THREAD, &after));
	CHECK_ERRNO(getrusage(42, &after), EINVAL);
	CHECK_ERRNO(getrusage(RUSAGE_SELF, bad_address()), EFAULT);
}

TEST(ignored_sigchld_leaves_no_zombies)
{
	pid_t early = child_that_exits(1), child;

	await_zombie(early);
	handle(SIGCHLD, SIG_IGN, 0);
	child = child_that_exits(2);
	CHECK_ERRNO(waitpid(child, NULL, 0), ECHILD);
	CHECK_ERRNO(kill(child, 0), ESRCH);
	CHECK_EQ(wait_for(early), EXITED(1));
	child_that_exits(3);
	child_that_exits(4);
	CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(sa_nocldwait_leaves_no_zombies)
{
		pid_t child;

	handle(SIGCHLD, count_signal, SA_NOCLDWAIT | SA_RESTART);
	child = child_that_exits(2);
	CHECK_ERRNO(waitpid(child, NULL, 0), ECHILD);
	CHECK_ERRNO(kill(child, 0), ESRCH);
	CHECK_EQ(signals_seen, 1);
}

TEST(orphan_gets_another_parent)
{
	int ends[2];
	pid_t seen[2] = {0, 0}, child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int go[2];
		pid_t parent = getpid();

		MUST(pipe(go));
		if (MUST(fork()) == 0) {
			char byte;

			MUST(close(go[1]));
			MUST(read(go[0], &byte, 1));
			while (getppid() == parent)
				sleep_ms(1);
			seen[0] = getpid();
			seen[1] = getppid();
			write_all(ends[1], seen, sizeof(seen));
			_exit(0);
		}
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(close(ends[1]));
	CHECK_EQ(read(ends[0], seen, sizeof(seen)), sizeof(seen));
	CHECK(seen[1] != child);
	CHECK(seen[1] != getpid());
	CHECK(seen[1] > 0);
	CHECK_ERRNO(waitpid(seen[0], NULL, 0), ECHILD);
}

TEST(subreaper_adopts_orphans)
{
	int ends[2], is_subreaper = 9, status;
	char byte;
	pid_t child, grandchild = 0;

	CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper, 0, 0, 0));
	CHECK_EQ(is_subreaper, 0);
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper, 0, 0, 0));
	CHECK_EQ(is_subreaper, 1);
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int inherited = 9, go[2];

		MUST(prctl(PR_GET_CHILD_SUBREAPER, &inherited, 0, 0, 0));
		CHECK_EQ(inherited, 0);
		MUST(pipe(go));
		grandchild = (pid_t)MUST(fork());
		if (grandchild == 0) {
			MUST(close(go[1]));
			MUST(read(go[0], &byte, 1));
			while (getppid() == child)
				sleep_ms(1);
			_exit(44);
		}
		write_all(ends[1], &grandchild, sizeof(grandchild));
		_exit(33);
	}
	CHECK_EQ(read(ends[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, EXITED(33));
	CHECK_EQ(waitpid(grandchild, &status, 0), grandchild);
	CHECK_EQ(status, EXITED(44));
	CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(subreaper_sees_the_new_parent)
{
	int ends[2];
	pid_t child, seen = 0;

	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pid_t middle = getpid();

		if (MUST(fork()) == 0) {
			while (getppid() == middle)
				sleep_ms(1);
			seen = getppid();
			write_all(ends[1], &seen, sizeof(seen));
			_exit(0);
		}
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(read(ends[0], &seen, sizeof(seen)), sizeof(seen));
	CHECK_EQ(seen, getpid());
	CHECK(wait(NULL) > 0);
	CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(zombie_of_a_dead_parent_moves_to_the_subreaper)
{
	int ends[2];
	pid_t child, grandchild = 0;

	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		grandchild = child_that_exits(21);
		await_zombie(grandchild);
		write_all(ends[1], &grandchild, sizeof(grandchild));
		_exit(0);
	}
	CHECK_EQ(read(ends[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(wait_for(grandchild), EXITED(21));
}

TEST(signal_interrupts_wait)
{
	struct itimerval often = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
		pid_t child = child_that_pauses();

	handle(SIGALRM, count_signal, 0);
	MUST(setitimer(ITIMER_REAL, &often, NULL));
	CHECK_ERRNO(waitpid(child, NULL, 0), EINTR);
	MUST(setitimer(ITIMER_REAL, &off, NULL));
	CHECK(signals_seen > 0);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

static pid_t victim;

static void kill_victim_at_third(int signal)
{
	(void)signal;
	if (++signals_seen == 3)
		kill(victim, SIGKILL);
}

TEST(sa_restart_restarts_wait)
{
	struct itimerval often = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
	int status;

	victim = child_that_pauses();
	handle(SIGALRM, kill_victim_at_third, SA_RESTART);
	MUST(setitimer(ITIMER_REAL, &often, NULL));
	CHECK_EQ(waitpid(victim, &status, 0), victim);
	MUST(setitimer(ITIMER_REAL, &off, NULL));
	CHECK_EQ(status, KILLED(SIGKILL));
	CHECK(signals_seen >= 3);
}

TEST(what_waitid_tells_when_it_fails)
{
	unsigned char raw[sizeof(siginfo_t)];
	siginfo_t info;
	pid_t child;

	memset(raw, 0x55, sizeof(raw));
	CHECK_ERRNO(syscall(SYS_waitid, P_ALL, 0, raw, WEXITED, NULL), ECHILD);
	memcpy(&info, raw, sizeof(info));
	CHECK_EQ(info.si_signo, 0);
	CHECK_EQ(info.si_pid, 0);
	CHECK_EQ(info.si_status, 0);
	CHECK_EQ(raw[12], 0x55);
	CHECK_EQ(raw[28], 0x55);
	child = child_that_exits(3);
	await_zombie(child);
	memset(raw, 0x55, sizeof(raw));
	CHECK_EQ(syscall(SYS_waitid, P_ALL, 0, raw, WEXITED, NULL), 0);
	memcpy(&info, raw, sizeof(info));
	CHECK_EQ(info.si_status, 3);
	CHECK_EQ(raw[28], 0x55);
}

TEST(nothing_but_its_end_comes_of_a_zombie)
{
	pid_t child = child_that_exits(0);
	siginfo_t info;

	await_zombie(child);
	CHECK_ERRNO(waitid(P_PID, (id_t)child, &info, WCONTINUED), ECHILD);
	CHECK_ERRNO(waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG), ECHILD);
	CHECK_EQ(wait_for(child), EXITED(0));
}

static void nothing(int signal)
{
	(void)signal;
}

/* What waitid(2) fills in when it finds nothing, and when it can't tell all. */
TEST(what_waitid_leaves)
{
	siginfo_t info;
	pid_t child;

	memset(&info, 0x55, sizeof info);
	CHECK_ERRNO(syscall(SYS_waitid, P_ALL, 0, &info, WEXITED, NULL), ECHILD);
	CHECK_EQ(info.si_signo, 0);
	CHECK_EQ(info.si_pid, 0);
	child = child_that_exits(3);
	await_zombie(child);
	memset(&info, 0x55, sizeof info);
	CHECK_ERRNO(syscall(SYS_waitid, P_PID, child, &info, WEXITED, bad_address()), EFAULT);
	CHECK_EQ(info.si_signo, 0x55555555);
	CHECK_EQ(info.si_pid, 0x55555555);
	CHECK_ERRNO(syscall(SYS_waitid, P_PID, child, &info, WEXITED, NULL), ECHILD);
	child = child_that_pauses();
	handle(SIGALRM, nothing, 0);
	ualarm(20000, 20000);
	memset(&info, 0x55, sizeof info);
	CHECK_ERRNO(syscall(SYS_waitid, P_PID, child, &info, WEXITED, NULL), EINTR);
	CHECK_EQ(info.si_signo, 0);
	CHECK_EQ(info.si_pid, 0);
	ualarm(0, 0);
	memset(&info, 0x55, sizeof info);
	CHECK_OK(syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOHANG, bad_address()));
	CHECK_EQ(info.si_signo, 0);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}
