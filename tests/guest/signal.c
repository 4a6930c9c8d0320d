/* Handlers, masks and interrupted calls: sigaction(2), sigprocmask(2), sigsuspend(2), signal(7). */
#include "check.h"

#include <poll.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>

static volatile int calls, last_signal, depth, deepest;

static void record(int signal)
{
	calls++;
	last_signal = signal;
}

TEST(handler_runs_and_returns)
{
	handle(SIGUSR1, record, 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(calls, 1);
	CHECK_EQ(last_signal, SIGUSR1);
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	CHECK_EQ(calls, 2);
	handle(SIGUSR2, record, 0);
	CHECK_EQ(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2), 0);
	CHECK_EQ(calls, 3);
	CHECK_EQ(last_signal, SIGUSR2);
	CHECK_EQ(syscall(SYS_tkill, gettid(), SIGUSR1), 0);
	CHECK_EQ(calls, 4);
	CHECK(signal(SIGUSR1, SIG_IGN) == record);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(calls, 4);
	CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
}

TEST(sigaction_gives_the_old_action)
{
	struct sigaction action = {.sa_handler = record, .sa_flags = SA_RESTART | SA_NODEFER}, old;

	sigaddset(&action.sa_mask, SIGINT);
	CHECK_EQ(sigaction(SIGUSR1, NULL, &old), 0);
	CHECK(old.sa_handler == SIG_DFL);
	CHECK_EQ(sigaction(SIGUSR1, &action, &old), 0);
	CHECK(old.sa_handler == SIG_DFL);
	action.sa_handler = SIG_IGN;
	CHECK_EQ(sigaction(SIGUSR1, &action, &old), 0);
	CHECK(old.sa_handler == record);
	CHECK_EQ(old.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO | SA_RESETHAND | SA_ONSTACK), SA_RESTART | SA_NODEFER);
	CHECK_EQ(sigismember(&old.sa_mask, SIGINT), 1);
	CHECK_EQ(sigismember(&old.sa_mask, SIGTERM), 0);
}

TEST(sigaction_errnos)
{
	struct sigaction action = {.sa_handler = record}, old;

	CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
	CHECK_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
	action.sa_handler = SIG_IGN;
	CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
	CHECK_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
	action.sa_handler = SIG_DFL;
	CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
	CHECK_EQ(sigaction(SIGKILL, NULL, &old), 0);
	CHECK(old.sa_handler == SIG_DFL);
	CHECK_ERRNO(sigaction(0, &action, NULL), EINVAL);
	CHECK_ERRNO(sigaction(65, &action, NULL), EINVAL);
	CHECK_ERRNO(sigaction(-1, NULL, &old), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, bad_address(), NULL, 8), EFAULT);
}

TEST(blocked_signal_stays_pending)
{
	sigset_t set, old;

	handle(SIGUSR1, record, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	CHECK_EQ(sigprocmask(SIG_BLOCK, &set, &old), 0);
	CHECK_EQ(sigismember(&old, SIGUSR1), 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(calls, 0);
	CHECK_EQ(is_pending(SIGUSR1), 1);
	CHECK_EQ(is_pending(SIGTERM), 0);
	set = set_of(SIGUSR1);
	CHECK_EQ(sigprocmask(SIG_UNBLOCK, &set, &old), 0);
	CHECK_EQ(calls, 1);
	CHECK_EQ(sigismember(&old, SIGUSR1), 1);
	CHECK_EQ(is_pending(SIGUSR1), 0);
	CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &old), 0);
	CHECK_EQ(sigismember(&old, SIGTERM), 1);
	CHECK_EQ(sigismember(&old, SIGUSR1), 0);
	sigemptyset(&set);
	CHECK_EQ(sigprocmask(SIG_SETMASK, &set, NULL), 0);
	CHECK_EQ(sigprocmask(99, NULL, &old), 0);
	CHECK_EQ(sigismember(&old, SIGTERM), 0);
	CHECK_ERRNO(sigprocmask(99, &set, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 16), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad_address(), NULL, 8), EFAULT);
	CHECK_ERRNO(syscall(SYS_rt_sigpending, &set, 16), EINVAL);
}

TEST(ignoring_discards_what_is_pending)
{
	handle(SIGUSR1, record, 0);
	block(SIGUSR1);
	MUST(raise(SIGUSR1));
	CHECK_EQ(is_pending(SIGUSR1), 1);
	handle(SIGUSR1, SIG_IGN, 0);
	CHECK_EQ(is_pending(SIGUSR1), 0);
	handle(SIGUSR1, record, 0);
	unblock(SIGUSR1);
	CHECK_EQ(calls, 0);
	block(SIGCHLD);
	MUST(raise(SIGCHLD));
	CHECK_EQ(is_pending(SIGCHLD), 1);
	handle(SIGCHLD, SIG_DFL, 0);
	CHECK_EQ(is_pending(SIGCHLD), 0);
}

TEST(kill_and_stop_are_never_blocked)
{
	sigset_t all, mask;
	pid_t child;

	sigfillset(&all);
	CHECK_EQ(sigprocmask(SIG_SETMASK, &all, NULL), 0);
	CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
	CHECK_EQ(sigismember(&mask, SIGKILL), 0);
	CHECK_EQ(sigismember(&mask, SIGSTOP), 0);
	CHECK_EQ(sigismember(&mask, SIGTERM), 1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		raise(SIGKILL);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

static void nest(int signal)
{
	depth++;
	calls++;
	if (depth > deepest)
		deepest = depth;
	if (calls < 3)
		raise(signal);
	depth--;
}

TEST(signal_is_blocked_in_its_handler)
{
	handle(SIGUSR1, nest, 0);
	MUST(raise(SIGUSR1));
	CHECK_EQ(calls, 3);
	CHECK_EQ(deepest, 1);
}

TEST(sa_nodefer)
{
	handle(SIGUSR1, nest, SA_NODEFER);
	MUST(raise(SIGUSR1));
	CHECK_EQ(calls, 3);
	CHECK_EQ(deepest, 3);
}

static volatile int second_ran_inside;

static void first_handler(int signal)
{
	depth++;
	(void)signal;
	raise(SIGUSR2);
	depth--;
}

static void second_handler(int signal)
{
	(void)signal;
	calls++;
	second_ran_inside = depth;
}

TEST(sa_mask)
{
	struct sigaction action = {.sa_handler = first_handler};
	sigset_t mask;

	handle(SIGUSR2, second_handler, 0);
	MUST(sigaction(SIGUSR1, &action, NULL));
	MUST(raise(SIGUSR1));
	CHECK_EQ(calls, 1);
	CHECK_EQ(second_ran_inside, 1);
	sigaddset(&action.sa_mask, SIGUSR2);
	MUST(sigaction(SIGUSR1, &action, NULL));
	MUST(raise(SIGUSR1));
	CHECK_EQ(calls, 2);
	CHECK_EQ(second_ran_inside, 0);
	MUST(sigprocmask(SIG_BLOCK, NULL, &mask));
	CHECK_EQ(sigismember(&mask, SIGUSR1), 0);
	CHECK_EQ(sigismember(&mask, SIGUSR2), 0);
}

TEST(sa_resethand)
{
	struct sigaction action;
	pid_t child;

	handle(SIGUSR1, record, SA_RESETHAND);
	MUST(raise(SIGUSR1));
	CHECK_EQ(calls, 1);
	CHECK_EQ(sigaction(SIGUSR1, NULL, &action), 0);
	CHECK(action.sa_handler == SIG_DFL);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		raise(SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGUSR1));
}

TEST(handlers_of_two_signals_that_are_unblocked_at_once)
{
	sigset_t set;

	handle(SIGUSR1, record, 0);
	handle(SIGUSR2, record, 0);
	handle(SIGTERM, record, 0);
	block(SIGUSR1);
	block(SIGUSR2);
	block(SIGTERM);
	MUST(raise(SIGUSR1));
	MUST(raise(SIGUSR2));
	MUST(raise(SIGTERM));
	sigemptyset(&set);
	CHECK_EQ(sigprocmask(SIG_SETMASK, &set, NULL), 0);
	CHECK_EQ(calls, 3);
}

TEST(sigsuspend_waits_with_another_mask)
{
	sigset_t mask, now;

	handle(SIGUSR1, record, SA_RESTART);
	handle(SIGALRM, record, SA_RESTART);
	block(SIGUSR1);
	MUST(raise(SIGUSR1));
	sigemptyset(&mask);
	CHECK_ERRNO(sigsuspend(&mask), EINTR);
	CHECK_EQ(calls, 1);
	CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &now), 0);
	CHECK_EQ(sigismember(&now, SIGUSR1), 1);
	block(SIGALRM);
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 10000}}, NULL));
	sigaddset(&mask, SIGUSR1);
	CHECK_ERRNO(sigsuspend(&mask), EINTR);
	CHECK_EQ(last_signal, SIGALRM);
	CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &now), 0);
	CHECK_EQ(sigismember(&now, SIGALRM), 1);
	CHECK_ERRNO(syscall(SYS_rt_sigsuspend, &mask, 4), EINVAL);
	CHECK_ERRNO(syscall(SYS_rt_sigsuspend, bad_address(), 8), EFAULT);
}

TEST(pause_ends_only_when_a_handler_returned)
{
	pid_t parent = getpid(), child;

	handle(SIGUSR1, record, SA_RESTART);
	handle(SIGUSR2, SIG_IGN, 0);
	block(SIGUSR1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		for (int time = 0; time < 3; time++) {
			kill(parent, SIGUSR2);
			kill(parent, SIGWINCH);
			sleep_ms(5);
		}
		kill(parent, SIGUSR1);
		for (;;) {
			sleep_ms(20);
			kill(parent, SIGUSR1);
		}
	}
	unblock(SIGUSR1);
	if (calls == 0)
		pause();
	CHECK(calls > 0);
	CHECK_ERRNO(pause(), EINTR);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

static sigjmp_buf jump;

static void jump_out(int signal)
{
	siglongjmp(jump, signal);
}

TEST(jump_out_of_a_handler)
{
	volatile int times = 0;
	int signal;
	sigset_t mask;

	handle(SIGUSR1, jump_out, 0);
	signal = sigsetjmp(jump, 1);
	times++;
	if (times <= 3)
		raise(SIGUSR1);
	CHECK_EQ(signal, SIGUSR1);
	CHECK_EQ(times, 4);
	MUST(sigprocmask(SIG_BLOCK, NULL, &mask));
	CHECK_EQ(sigismember(&mask, SIGUSR1), 0);
	if (sigsetjmp(jump, 0) == 0)
		raise(SIGUSR1);
	MUST(sigprocmask(SIG_BLOCK, NULL, &mask));
	CHECK_EQ(sigismember(&mask, SIGUSR1), 1);
}

/* Sends SIGALRM again and again, for a call that is interrupted may not have begun at the first one. */
static void start_ticks(void (*handler)(int), int flags)
{
	calls = 0;
	handle(SIGALRM, handler, flags);
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 20000}, {0, 20000}}, NULL));
}

static void stop_ticks(void)
{
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL));
}

static int pipe_ends[2];
static pid_t helper;

static void feed_at_third(int signal)
{
	(void)signal;
	if (++calls == 3)
		write_all(pipe_ends[1], "x", 1);
}

static void drain_at_third(int signal)
{
	char page[4096];

	(void)signal;
	if (++calls == 3)
		(void)!read(pipe_ends[0], page, sizeof(page));
}

static void end_helper_at_third(int signal)
{
	(void)signal;
	if (++calls == 3)
		kill(helper, SIGKILL);
}

TEST(read_is_interrupted_or_restarted)
{
	char byte = 0;

	MUST(pipe(pipe_ends));
	start_ticks(record, 0);
	CHECK_ERRNO(read(pipe_ends[0], &byte, 1), EINTR);
	stop_ticks();
	CHECK(calls > 0);
	start_ticks(feed_at_third, SA_RESTART);
	CHECK_EQ(read(pipe_ends[0], &byte, 1), 1);
	stop_ticks();
	CHECK_EQ(byte, 'x');
	CHECK(calls >= 3);
}

TEST(write_is_interrupted_or_restarted)
{
	char block[65536] = "";

	MUST(pipe(pipe_ends));
	CHECK_EQ(write(pipe_ends[1], block, sizeof(block)), sizeof(block));
	start_ticks(record, 0);
	CHECK_ERRNO(write(pipe_ends[1], block, 4096), EINTR);
	stop_ticks();
	start_ticks(drain_at_third, SA_RESTART);
	CHECK_EQ(write(pipe_ends[1], block, 4096), 4096);
	stop_ticks();
	CHECK(calls >= 3);
	CHECK_EQ(read(pipe_ends[0], block, 20000), 20000);
	start_ticks(record, SA_RESTART);
	CHECK_EQ(write(pipe_ends[1], block, 60000), 20000 / 4096 * 4096);
	stop_ticks();
}

TEST(lock_is_interrupted_or_restarted)
{
	int fd, go[2];
	char byte;

	enter_scratch();
	write_file("lock", "", 0644);
	MUST(pipe(go));
	helper = (pid_t)MUST(fork());
	if (helper == 0) {
		MUST(flock((int)MUST(open("lock", O_RDWR)), LOCK_EX));
		write_all(go[1], "x", 1);
		for (;;)
			pause();
	}
	MUST(read(go[0], &byte, 1));
	fd = (int)MUST(open("lock", O_RDWR));
	CHECK_ERRNO(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	start_ticks(record, 0);
	CHECK_ERRNO(flock(fd, LOCK_EX), EINTR);
	stop_ticks();
	start_ticks(end_helper_at_third, SA_RESTART);
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	stop_ticks();
	CHECK_EQ(wait_for(helper), KILLED(SIGKILL));
}

TEST(opening_a_fifo_is_interrupted)
{
	enter_scratch();
	MUST(mkfifo("fifo", 0600));
	start_ticks(record, 0);
	CHECK_ERRNO(open("fifo", O_RDONLY), EINTR);
	CHECK_ERRNO(open("fifo", O_WRONLY), EINTR);
	stop_ticks();
}

TEST(calls_that_are_never_restarted)
{
	struct timespec long_time = {1000, 0}, left = {0, 0};
	struct pollfd polled = {.events = POLLIN};
	struct epoll_event event;
	sigset_t other = set_of(SIGUSR2), mask;
	int epoll = (int)MUST(epoll_create1(0));
	fd_set readable;

	MUST(pipe(pipe_ends));
	polled.fd = pipe_ends[0];
	sigemptyset(&mask);
	start_ticks(record, SA_RESTART);
	CHECK_ERRNO(nanosleep(&long_time, &left), EINTR);
	CHECK(left.tv_sec > 0 && left.tv_sec < 1000);
	CHECK_ERRNO(pause(), EINTR);
	CHECK_ERRNO(poll(&polled, 1, -1), EINTR);
	CHECK_ERRNO(ppoll(&polled, 1, NULL, &mask), EINTR);
	FD_ZERO(&readable);
	FD_SET(pipe_ends[0], &readable);
	CHECK_ERRNO(select(pipe_ends[0] + 1, &readable, NULL, NULL, NULL), EINTR);
	CHECK_ERRNO(epoll_wait(epoll, &event, 1, -1), EINTR);
	CHECK_ERRNO(sigsuspend(&mask), EINTR);
	block(SIGUSR2);
	CHECK_ERRNO(sigtimedwait(&other, NULL, &long_time), EINTR);
	stop_ticks();
}

/* How a child ends that waits for a signal and blocks it or not: 100 and the signal that it got, or the errno. */
static int end_of_waiter(int signal, void (*handler)(int), int blocks)
{
	int *is_ready = make_shared_page();
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		struct timespec limit = {0, 200000000};
		sigset_t wanted = set_of(signal);
		int got;

		handle(signal, handler, 0);
		if (blocks)
			block(signal);
		*is_ready = 1;
		got = sigtimedwait(&wanted, NULL, &limit);
		_exit(got == -1 ? errno : 100 + got);
	}
	while (!*(volatile int *)is_ready)
		sleep_ms(1);
	sleep_ms(50);
	MUST(kill(child, signal));
	return wait_for(child);
}

TEST(what_is_waited_for_should_be_blocked)
{
	CHECK_EQ(end_of_waiter(SIGTERM, SIG_DFL, 1), EXITED(100 + SIGTERM));
	CHECK_EQ(end_of_waiter(SIGTERM, SIG_IGN, 1), EXITED(100 + SIGTERM));
	CHECK_EQ(end_of_waiter(SIGCHLD, SIG_DFL, 1), EXITED(100 + SIGCHLD));
	/* If it isn't, it's ignored or deadly as ever, but no handler runs. */
	CHECK_EQ(end_of_waiter(SIGTERM, SIG_DFL, 0), KILLED(SIGTERM));
	CHECK_EQ(end_of_waiter(SIGTERM, SIG_IGN, 0), EXITED(EAGAIN));
	CHECK_EQ(end_of_waiter(SIGCHLD, SIG_DFL, 0), EXITED(EAGAIN));
	CHECK_EQ(end_of_waiter(SIGTERM, record, 0), EXITED(100 + SIGTERM));
	CHECK_EQ(end_of_waiter(SIGTSTP, SIG_DFL, 0), EXITED(100 + SIGTSTP));
	CHECK_EQ(calls, 0);
}

TEST(ignored_signals_interrupt_nothing)
{
	struct timespec start, end, time = {0, 100000000}, left = {7, 7};

	handle(SIGALRM, SIG_IGN, 0);
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 10000}, {0, 10000}}, NULL));
	MUST(clock_gettime(CLOCK_MONOTONIC, &start));
	CHECK_EQ(nanosleep(&time, &left), 0);
	MUST(clock_gettime(CLOCK_MONOTONIC, &end));
	stop_ticks();
	CHECK((end.tv_sec - start.tv_sec) * 1000000000L + end.tv_nsec - start.tv_nsec >= 100000000);
	CHECK_EQ(left.tv_sec, 7);
}

TEST(handler_may_fork)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		handle(SIGUSR1, jump_out, 0);
		if (sigsetjmp(jump, 1) == 0) {
			raise(SIGUSR1);
			_exit(1);
		}
		child = (pid_t)MUST(fork());
		if (child == 0)
			_exit(3);
		_exit(WEXITSTATUS(wait_for(child)) + 1);
	}
	CHECK_EQ(wait_for(child), EXITED(4));
}

static void ping(int signal)
{
	(void)signal;
	calls++;
	kill(helper, SIGUSR2);
}

TEST(ping_pong_of_signals)
{
	enum { ROUNDS = 50 };
	sigset_t mask;
	pid_t parent = getpid();

	block(SIGUSR1);
	block(SIGUSR2);
	sigfillset(&mask);
	helper = (pid_t)MUST(fork());
	if (helper == 0) {
		sigset_t wanted = set_of(SIGUSR2);
		int signal;

		for (int round = 0; round < ROUNDS; round++) {
			kill(parent, SIGUSR1);
			if (sigwait(&wanted, &signal) != 0)
				_exit(1);
		}
		_exit(0);
	}
	handle(SIGUSR1, ping, 0);
	sigdelset(&mask, SIGUSR1);
	while (calls < ROUNDS)
		sigsuspend(&mask);
	CHECK_EQ(wait_for(helper), EXITED(0));
	CHECK_EQ(calls, ROUNDS);
}
