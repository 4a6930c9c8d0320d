/* What becomes of a timer's signal that is pending when the timer is set anew, deleted, or a program executed. */
#include "check.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <time.h>

static const struct itimerspec soon = {.it_value = {.tv_nsec = 1}}, never;

static void block_all(void)
{
	sigset_t all;

	sigfillset(&all);
	MUST(sigprocmask(SIG_BLOCK, &all, NULL));
}

static int make(int signal)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
	int timer = -1;

	MUST(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer));
	return timer;
}

static void set(int timer, const struct itimerspec *when)
{
	struct timespec pause = {.tv_nsec = 1000000};

	MUST(syscall(SYS_timer_settime, timer, 0, when, NULL));
	if (when == &soon)
		nanosleep(&pause, NULL);
}

/* The code of the next one, 99 if there's none. */
static int take(int signal)
{
	struct timespec none = {0};
	siginfo_t info;
	sigset_t wanted;

	sigemptyset(&wanted);
	sigaddset(&wanted, signal);
	return sigtimedwait(&wanted, &info, &none) == signal ? info.si_code : 99;
}

TEST(a_timer_that_is_set_anew_takes_its_signal_back_when_it_is_taken)
{
	int timer = make(SIGALRM);

	block_all();
	set(timer, &soon);
	set(timer, &never);
	CHECK(is_pending(SIGALRM));
	CHECK_EQ(take(SIGALRM), 99);
	CHECK(!is_pending(SIGALRM));
	set(timer, &soon);
	set(timer, &never);
	set(timer, &soon);
	CHECK_EQ(take(SIGALRM), SI_TIMER);
	CHECK_EQ(take(SIGALRM), 99);
}

TEST(another_of_the_same_number_is_lost_with_it)
{
	int timer = make(SIGALRM);

	block_all();
	set(timer, &soon);
	set(timer, &never);
	MUST(kill(getpid(), SIGALRM));
	CHECK_EQ(take(SIGALRM), 99);
}

TEST(a_deleted_timer_leaves_the_others_in_the_queue)
{
	union sigval value = {.sival_int = 7};
	int timer = make(40);

	block_all();
	set(timer, &soon);
	MUST(sigqueue(getpid(), 40, value));
	MUST(syscall(SYS_timer_delete, timer));
	CHECK(is_pending(40));
	CHECK_EQ(take(40), SI_QUEUE);
	CHECK(!is_pending(40));
}

TEST(ignoring_drops_that_of_a_deleted_timer)
{
	int timer = make(40);

	block_all();
	set(timer, &soon);
	MUST(syscall(SYS_timer_delete, timer));
	MUST(signal(40, SIG_IGN) == SIG_ERR ? -1 : 0);
	CHECK(!is_pending(40));
}

TEST(a_program_that_is_executed_has_none_of_them)
{
	int timer = make(SIGALRM), status;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		block_all();
		timer = make(SIGALRM);
		set(make(40), &soon);
		set(timer, &soon);
		MUST(syscall(SYS_timer_delete, timer));
		MUST(kill(getpid(), SIGUSR1));
		/* Nor what says to be a timer's. */
		MUST(syscall(SYS_rt_sigqueueinfo, getpid(), 41, &(siginfo_t){.si_code = SI_TIMER}));
		MUST(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &(siginfo_t){.si_code = SI_TIMER}));
		execl("/bin/grep", "grep", "-q", "^ShdPnd:.*0000000000000200$", "/proc/self/status", NULL);
		_exit(9);
	}
	MUST(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
}

static volatile sig_atomic_t came;

static void note(int signal)
{
	(void)signal;
	came++;
}

/* What is due when it's set, or all but, interrupts the call that sets it. */
TEST(a_timer_that_is_due_fires_before_the_call_is_back)
{
	static const struct itimerspec past = {.it_value = {.tv_nsec = 1}};
	const int flags[] = {0, TIMER_ABSTIME};
	struct itimerspec now;
	int timer = make(SIGUSR1);

	handle(SIGUSR1, note, 0);
	for (size_t at = 0; at < LENGTH(flags); at++) {
		came = 0;
		MUST(syscall(SYS_timer_settime, timer, flags[at], &past, NULL));
		CHECK_EQ(came, 1);
		MUST(syscall(SYS_timer_gettime, timer, &now));
		CHECK_EQ(now.it_value.tv_sec + now.it_value.tv_nsec, 0);
	}
	block(SIGUSR1);
	MUST(syscall(SYS_timer_settime, timer, TIMER_ABSTIME, &past, NULL));
	CHECK(is_pending(SIGUSR1));
	CHECK_EQ(take(SIGUSR1), SI_TIMER);
}

/* Who traces it sees the call. */
TEST(a_tracer_sees_the_call_that_set_the_timer)
{
	for (int way = 0; way < 2; way++) {
		struct user_regs_struct registers;
		int status;
		pid_t child = (pid_t)MUST(fork());

		if (child == 0) {
			const struct itimerval at_once = {.it_value = {.tv_usec = 1}};
			int timer = make(SIGUSR1);

			MUST(ptrace(PTRACE_TRACEME, 0, 0, 0));
			if (way == 0)
				syscall(SYS_timer_settime, timer, 0, &soon, NULL);
			else
				syscall(SYS_setitimer, ITIMER_REAL, &at_once, NULL);
			for (;;)
				continue;
		}
		MUST(waitpid(child, &status, 0));
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == (way == 0 ? SIGUSR1 : SIGALRM));
		MUST(ptrace(PTRACE_GETREGS, child, 0, &registers));
		CHECK_EQ(registers.orig_rax, way == 0 ? SYS_timer_settime : SYS_setitimer);
		CHECK_EQ(registers.rax, 0);
		MUST(kill(child, SIGKILL));
		MUST(waitpid(child, &status, 0));
	}
}
