/* Sending signals, what they carry and what they do by default: kill(2), sigqueue(3), sigtimedwait(2), signal(7). */
#include "check.h"

#include <sys/prctl.h>
#include <sys/resource.h>

static volatile int calls;
static siginfo_t seen;

static void keep_info(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	calls++;
	seen = *info;
}

/* How a child ends, or that it stops, when it sends itself the signal with the default action. */
static int status_after(int signal)
{
	struct rlimit none = {0, 0};
	int status;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(setrlimit(RLIMIT_CORE, &none));
		kill(getpid(), signal);
		_exit(77);
	}
	MUST(waitpid(child, &status, WUNTRACED));
	if (WIFSTOPPED(status)) {
		MUST(kill(child, SIGKILL));
		MUST(wait_for(child));
	}
	return status;
}

static pid_t dead_pid(void)
{
	pid_t child = child_that_exits(0);

	MUST(wait_for(child));
	return child;
}

TEST(signals_that_end_a_process)
{
	CHECK_EQ(status_after(SIGHUP), KILLED(SIGHUP));
	CHECK_EQ(status_after(SIGINT), KILLED(SIGINT));
	CHECK_EQ(status_after(SIGKILL), KILLED(SIGKILL));
	CHECK_EQ(status_after(SIGUSR1), KILLED(SIGUSR1));
	CHECK_EQ(status_after(SIGUSR2), KILLED(SIGUSR2));
	CHECK_EQ(status_after(SIGPIPE), KILLED(SIGPIPE));
	CHECK_EQ(status_after(SIGALRM), KILLED(SIGALRM));
	CHECK_EQ(status_after(SIGTERM), KILLED(SIGTERM));
	CHECK_EQ(status_after(SIGSTKFLT), KILLED(SIGSTKFLT));
	CHECK_EQ(status_after(SIGVTALRM), KILLED(SIGVTALRM));
	CHECK_EQ(status_after(SIGPROF), KILLED(SIGPROF));
	CHECK_EQ(status_after(SIGIO), KILLED(SIGIO));
	CHECK_EQ(status_after(SIGPWR), KILLED(SIGPWR));
	CHECK_EQ(status_after(SIGRTMIN), KILLED(SIGRTMIN));
	CHECK_EQ(status_after(SIGRTMAX), KILLED(SIGRTMAX));
}

TEST(signals_that_end_with_a_core)
{
	CHECK_EQ(WTERMSIG(status_after(SIGQUIT)), SIGQUIT);
	CHECK_EQ(WTERMSIG(status_after(SIGILL)), SIGILL);
	CHECK_EQ(WTERMSIG(status_after(SIGTRAP)), SIGTRAP);
	CHECK_EQ(WTERMSIG(status_after(SIGABRT)), SIGABRT);
	CHECK_EQ(WTERMSIG(status_after(SIGFPE)), SIGFPE);
	CHECK_EQ(WTERMSIG(status_after(SIGSEGV)), SIGSEGV);
	CHECK_EQ(WTERMSIG(status_after(SIGBUS)), SIGBUS);
	CHECK_EQ(WTERMSIG(status_after(SIGSYS)), SIGSYS);
	CHECK_EQ(WTERMSIG(status_after(SIGXCPU)), SIGXCPU);
	CHECK_EQ(WTERMSIG(status_after(SIGXFSZ)), SIGXFSZ);
}

TEST(signals_that_are_ignored)
{
	CHECK_EQ(status_after(SIGCHLD), EXITED(77));
	CHECK_EQ(status_after(SIGURG), EXITED(77));
	CHECK_EQ(status_after(SIGWINCH), EXITED(77));
	CHECK_EQ(status_after(SIGCONT), EXITED(77));
	CHECK_EQ(status_after(0), EXITED(77));
}

TEST(signals_that_stop)
{
	CHECK_EQ(status_after(SIGSTOP), W_STOPCODE(SIGSTOP));
	CHECK_EQ(status_after(SIGTSTP), W_STOPCODE(SIGTSTP));
	CHECK_EQ(status_after(SIGTTIN), W_STOPCODE(SIGTTIN));
	CHECK_EQ(status_after(SIGTTOU), W_STOPCODE(SIGTTOU));
}

TEST(abort_can_not_be_prevented)
{
	struct rlimit none = {0, 0};
	pid_t child;

	MUST(setrlimit(RLIMIT_CORE, &none));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle(SIGABRT, SIG_IGN, 0);
		block(SIGABRT);
		abort();
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGABRT);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle_info(SIGABRT, keep_info, 0);
		abort();
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGABRT);
}

TEST(kill_errnos)
{
	pid_t dead = dead_pid();

	CHECK_EQ(kill(getpid(), 0), 0);
	CHECK_EQ(kill(0, 0), 0);
	CHECK_EQ(kill(-getpgrp(), 0), 0);
	CHECK_ERRNO(kill(getpid(), 65), EINVAL);
	CHECK_ERRNO(kill(getpid(), -1), EINVAL);
	CHECK_ERRNO(kill(dead, 0), ESRCH);
	CHECK_ERRNO(kill(dead, SIGTERM), ESRCH);
	CHECK_ERRNO(kill(-dead, SIGTERM), ESRCH);
	CHECK_ERRNO(kill(INT_MIN, SIGTERM), ESRCH);
	CHECK_ERRNO(kill(0x7ffffff0, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), dead, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_tgkill, dead, gettid(), 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_tgkill, 0, gettid(), 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), -1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tkill, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_tkill, dead, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_tkill, gettid(), 65), EINVAL);
}

TEST(kill_needs_permission)
{
	int was_root = geteuid() == 0;
	pid_t parent = getpid(), child = (pid_t)MUST(fork());

	if (child == 0) {
		drop_root();
		CHECK_EQ(ERRNO_OF(kill(parent, 0)), was_root ? EPERM : 0);
		CHECK_EQ(ERRNO_OF(kill(parent, SIGWINCH)), was_root ? EPERM : 0);
		CHECK_EQ(ERRNO_OF(sigqueue(parent, SIGWINCH, (union sigval){0})), was_root ? EPERM : 0);
		CHECK_EQ(ERRNO_OF(syscall(SYS_tgkill, parent, parent, SIGWINCH)), was_root ? EPERM : 0);
		CHECK_EQ(ERRNO_OF(kill(parent, SIGCONT)), 0);
		CHECK_EQ(kill(getpid(), SIGWINCH), 0);
		CHECK_EQ(kill(0, SIGWINCH), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(kill_a_process_group)
{
	int ends[2];
	char byte;
	pid_t leader = 0, members[3];

	MUST(pipe(ends));
	for (int at = 0; at < 3; at++) {
		members[at] = (pid_t)MUST(fork());
		if (members[at] == 0) {
			MUST(setpgid(0, leader));
			write_all(ends[1], "x", 1);
			for (;;)
				pause();
		}
		if (leader == 0)
			leader = members[0];
		MUST(read(ends[0], &byte, 1));
	}
	CHECK_EQ(kill(-leader, 0), 0);
	CHECK_EQ(kill(members[2], SIGKILL), 0);
	CHECK_EQ(wait_for(members[2]), KILLED(SIGKILL));
	CHECK_EQ(kill(-leader, SIGTERM), 0);
	CHECK_EQ(wait_for(members[0]), KILLED(SIGTERM));
	CHECK_EQ(wait_for(members[1]), KILLED(SIGTERM));
	CHECK_ERRNO(kill(-leader, 0), ESRCH);
}

TEST(kill_own_process_group)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		pid_t other;

		MUST(setpgid(0, 0));
		other = child_that_pauses();
		handle(SIGTERM, SIG_IGN, 0);
		CHECK_EQ(kill(0, SIGTERM), 0);
		CHECK_EQ(wait_for(other), KILLED(SIGTERM));
		_exit(4);
	}
	CHECK_EQ(wait_for(child), EXITED(4));
}

TEST(info_of_sent_signals)
{
	union sigval value = {.sival_ptr = (void *)0x123456789abcdef0};
	pid_t child;

	handle_info(SIGUSR1, keep_info, 0);
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	CHECK_EQ(seen.si_signo, SIGUSR1);
	CHECK_EQ(seen.si_code, SI_USER);
	CHECK_EQ(seen.si_pid, getpid());
	CHECK_EQ(seen.si_uid, getuid());
	CHECK_EQ(seen.si_errno, 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(seen.si_code, SI_TKILL);
	CHECK_EQ(seen.si_pid, getpid());
	CHECK_EQ(sigqueue(getpid(), SIGUSR1, value), 0);
	CHECK_EQ(seen.si_code, SI_QUEUE);
	CHECK_EQ(seen.si_pid, getpid());
	CHECK_EQ(seen.si_uid, getuid());
	CHECK(seen.si_value.sival_ptr == value.sival_ptr);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(seen.si_code, SI_USER);
	CHECK_EQ(seen.si_pid, child);
	handle_info(SIGALRM, keep_info, 0);
	calls = 0;
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 1000}}, NULL));
	while (calls == 0)
		sleep_ms(1);
	CHECK_EQ(seen.si_signo, SIGALRM);
	CHECK_EQ(seen.si_code, SI_KERNEL);
}

TEST(standard_signals_merge_and_real_time_signals_queue)
{
	handle_info(SIGUSR1, keep_info, 0);
	handle_info(SIGRTMIN + 1, keep_info, 0);
	block(SIGUSR1);
	block(SIGRTMIN + 1);
	for (int time = 0; time < 4; time++) {
		CHECK_EQ(kill(getpid(), SIGUSR1), 0);
		CHECK_EQ(kill(getpid(), SIGRTMIN + 1), 0);
	}
	unblock(SIGUSR1);
	CHECK_EQ(calls, 1);
	unblock(SIGRTMIN + 1);
	CHECK_EQ(calls, 5);
	unblock(SIGRTMIN + 1);
	CHECK_EQ(calls, 5);
}

TEST(queued_signals_come_in_order)
{
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	for (int signal = SIGRTMIN; signal <= SIGRTMIN + 3; signal++)
		sigaddset(&set, signal);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 30}), 0);
	CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 10}), 0);
	CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 31}), 0);
	CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 11}), 0);
	CHECK_EQ(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 0}), 0);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
	CHECK_EQ(info.si_value.sival_int, 10);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
	CHECK_EQ(info.si_value.sival_int, 11);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 3);
	CHECK_EQ(info.si_value.sival_int, 30);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 3);
	CHECK_EQ(info.si_value.sival_int, 31);
	CHECK_EQ(info.si_signo, SIGRTMIN + 3);
	CHECK_ERRNO(sigtimedwait(&set, &info, &(struct timespec){0, 0}), EAGAIN);
}

TEST(what_is_queued_is_kept_to_the_byte)
{
	unsigned char given[sizeof(siginfo_t)], got[sizeof(siginfo_t)];
	siginfo_t info = {0};
	sigset_t set;

	/* Of 128 bytes Linux keeps 48, those between the code and the union among them. */
	for (size_t at = 0; at < sizeof(given); at++)
		given[at] = at < 48 ? at + 1 : 0;
	memcpy(&info, given, sizeof(info));
	info.si_signo = SIGUSR1;
	info.si_code = -77;
	block(SIGUSR1);
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
	memcpy(given, &info, sizeof(info));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
	memcpy(got, &info, sizeof(info));
	CHECK_EQ(memcmp(got, given, sizeof(got)), 0);
	memset(given + 48, 1, sizeof(given) - 48);
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, given), E2BIG);
}

TEST(sigqueue_errnos)
{
	struct rlimit none = {0, 0};
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
	pid_t child = child_that_pauses(), dead = dead_pid();

	CHECK_EQ(sigqueue(getpid(), 0, (union sigval){0}), 0);
	CHECK_ERRNO(sigqueue(getpid(), 65, (union sigval){0}), EINVAL);
	CHECK_ERRNO(sigqueue(dead, SIGUSR1, (union sigval){0}), ESRCH);
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &info), EPERM);
	info.si_code = SI_TKILL;
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &info), EPERM);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	block(SIGRTMIN);
	block(SIGUSR1);
	CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &none));
	CHECK_ERRNO(sigqueue(getpid(), SIGRTMIN, (union sigval){0}), EAGAIN);
	/* Who says to be the kernel isn't believed; a kill isn't lost. */
	info.si_code = SI_KERNEL;
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGRTMIN, &info), EAGAIN);
	CHECK_EQ(is_pending(SIGRTMIN), 0);
	info.si_code = SI_USER;
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGRTMIN, &info));
	CHECK_EQ(is_pending(SIGRTMIN), 1);
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	CHECK_EQ(is_pending(SIGUSR1), 1);
}

TEST(what_is_read_of_an_info)
{
	char *end = (char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096;
	siginfo_t *info = (siginfo_t *)(end - 48);

	MUST(munmap(end, 4096));
	signal(SIGUSR1, SIG_IGN);
	info->si_code = SI_QUEUE;
	/* What the kernel keeps of a known kind is enough. */
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, info));
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, (char *)info + 4), EFAULT);
	/* Of an unknown one there may be more, which must be 0. */
	info->si_code = -61;
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, info), EFAULT);
	info = (siginfo_t *)(end - 128);
	memset(info, 0, 128);
	info->si_code = -61;
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, info));
	((char *)info)[48] = 1;
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, info), E2BIG);
}

TEST(waiting_for_signals)
{
	sigset_t set;
	siginfo_t info;
	struct timespec soon = {0, 20000000}, wrong = {0, 1000000000};
	int signal = 0;
	int64_t start;
	pid_t child;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	start = now_ns(CLOCK_MONOTONIC);
	CHECK_ERRNO(sigtimedwait(&set, &info, &soon), EAGAIN);
	CHECK(now_ns(CLOCK_MONOTONIC) - start >= 20000000);
	CHECK_ERRNO(sigtimedwait(&set, &info, &wrong), EINVAL);
	MUST(raise(SIGUSR2));
	CHECK_EQ(sigtimedwait(&set, &info, &soon), SIGUSR2);
	CHECK_EQ(info.si_signo, SIGUSR2);
	CHECK_EQ(info.si_pid, getpid());
	CHECK_EQ(is_pending(SIGUSR2), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(10);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(info.si_code, SI_USER);
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(raise(SIGUSR1));
	CHECK_EQ(sigwait(&set, &signal), 0);
	CHECK_EQ(signal, SIGUSR1);
	CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &set, NULL, &soon, 4), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, bad_address(), NULL, &soon, 8), EFAULT);
}

TEST(waiting_for_children_as_signals)
{
	sigset_t set = set_of(SIGCHLD);
	siginfo_t info;
	pid_t child;

	block(SIGCHLD);
	child = child_that_exits(19);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(info.si_status, 19);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), child);
}

/* Waits for the next SIGCHLD, which is blocked, for the test of what it carries. */
static void next_sigchld(void)
{
	sigset_t set = set_of(SIGCHLD);

	while (sigwaitinfo(&set, &seen) == -1 && errno == EINTR)
		continue;
}

TEST(sigchld_carries)
{
	pid_t child;

	block(SIGCHLD);
	child = child_that_pauses();
	MUST(kill(child, SIGSTOP));
	next_sigchld();
	CHECK_EQ(seen.si_signo, SIGCHLD);
	CHECK_EQ(seen.si_code, CLD_STOPPED);
	CHECK_EQ(seen.si_pid, child);
	CHECK_EQ(seen.si_uid, getuid());
	CHECK_EQ(seen.si_status, SIGSTOP);
	MUST(kill(child, SIGCONT));
	next_sigchld();
	CHECK_EQ(seen.si_code, CLD_CONTINUED);
	CHECK_EQ(seen.si_status, SIGCONT);
	MUST(kill(child, SIGKILL));
	next_sigchld();
	CHECK_EQ(seen.si_code, CLD_KILLED);
	CHECK_EQ(seen.si_status, SIGKILL);
	CHECK_EQ(seen.si_pid, child);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	child = child_that_exits(0x135);
	next_sigchld();
	CHECK_EQ(seen.si_code, CLD_EXITED);
	CHECK_EQ(seen.si_status, 0x35);
	CHECK_EQ(wait_for(child), EXITED(0x35));
}

TEST(sigchld_handler_reaps)
{
	pid_t child;
	int status;

	handle_info(SIGCHLD, keep_info, SA_RESTART);
	child = child_that_exits(6);
	while (calls == 0)
		sleep_ms(1);
	CHECK_EQ(seen.si_pid, child);
	CHECK_EQ(seen.si_code, CLD_EXITED);
	CHECK_EQ(seen.si_status, 6);
	CHECK_EQ(waitpid(child, &status, WNOHANG), child);
	CHECK_EQ(status, EXITED(6));
	CHECK_EQ(calls, 1);
}

TEST(sa_nocldstop)
{
	int status;
	pid_t child;

	handle_info(SIGCHLD, keep_info, SA_NOCLDSTOP | SA_RESTART);
	child = child_that_pauses();
	MUST(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
	CHECK_EQ(calls, 0);
	MUST(kill(child, SIGTERM));
	CHECK_EQ(wait_for(child), KILLED(SIGTERM));
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_code, CLD_KILLED);
}

TEST(stopped_process)
{
	int *page = make_shared_page(), status, ends[2];
	char byte;
	pid_t child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle_info(SIGUSR1, keep_info, 0);
		handle_info(SIGCONT, keep_info, 0);
		write_all(ends[1], "x", 1);
		while (calls < 2) {
			page[0] = calls;
			sleep_ms(1);
		}
		_exit(calls);
	}
	MUST(read(ends[0], &byte, 1));
	MUST(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK_EQ(status, W_STOPCODE(SIGSTOP));
	MUST(kill(child, SIGUSR1));
	sleep_ms(10);
	CHECK_EQ(waitpid(child, &status, WNOHANG | WUNTRACED), 0);
	CHECK_EQ(page[0], 0);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), EXITED(2));
}

TEST(stopped_process_can_be_killed)
{
	int status;
	pid_t child = child_that_pauses();

	MUST(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	MUST(kill(child, SIGTERM));
	sleep_ms(5);
	CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	child = child_that_pauses();
	MUST(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	MUST(kill(child, SIGTERM));
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), KILLED(SIGTERM));
}

TEST(continue_resumes_even_when_ignored_or_blocked)
{
	int status;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		handle(SIGCONT, SIG_IGN, 0);
		raise(SIGSTOP);
		block(SIGCONT);
		raise(SIGSTOP);
		_exit(8);
	}
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK_EQ(status, W_STOPCODE(SIGSTOP));
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), EXITED(8));
}

TEST(stop_and_continue_discard_each_other)
{
	block(SIGTSTP);
	block(SIGCONT);
	MUST(raise(SIGTSTP));
	CHECK_EQ(is_pending(SIGTSTP), 1);
	MUST(raise(SIGCONT));
	CHECK_EQ(is_pending(SIGTSTP), 0);
	CHECK_EQ(is_pending(SIGCONT), 1);
	MUST(raise(SIGTSTP));
	CHECK_EQ(is_pending(SIGCONT), 0);
	CHECK_EQ(is_pending(SIGTSTP), 1);
	MUST(raise(SIGCONT));
	CHECK_EQ(is_pending(SIGTSTP), 0);
}

TEST(orphaned_process_group_does_not_stop_by_the_terminal_s_signals)
{
	int status;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(setsid());
		raise(SIGTSTP);
		raise(SIGTTIN);
		raise(SIGTTOU);
		raise(SIGSTOP);
		_exit(5);
	}
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK_EQ(status, W_STOPCODE(SIGSTOP));
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), EXITED(5));
}

TEST(newly_orphaned_stopped_group_gets_hangup_and_continue)
{
	int ends[2];
	pid_t child, stopped = 0;

	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int status;

		MUST(setsid());
		stopped = (pid_t)MUST(fork());
		if (stopped == 0) {
			MUST(setpgid(0, 0));
			raise(SIGTSTP);
			_exit(1);
		}
		MUST(waitpid(stopped, &status, WUNTRACED));
		CHECK_EQ(status, W_STOPCODE(SIGTSTP));
		write_all(ends[1], &stopped, sizeof(stopped));
		_exit(0);
	}
	CHECK_EQ(read(ends[0], &stopped, sizeof(stopped)), sizeof(stopped));
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(wait_for(stopped), KILLED(SIGHUP));
}

TEST(signal_for_a_process_that_just_began)
{
	int survivors = 0;

	for (int time = 0; time < 20; time++) {
		pid_t child = child_that_pauses();

		MUST(kill(child, SIGTERM));
		survivors += wait_for(child) != KILLED(SIGTERM);
	}
	CHECK_EQ(survivors, 0);
}
