/* The textbook's races: children that end together, and a signal that comes just before it is waited for. */
#include "check.h"

#include <poll.h>
#include <sys/select.h>

#define CHILDREN 6

static volatile int calls, reaped, has_come, alarms;

static void count(int signal)
{
	(void)signal;
	calls++;
}

static void reap_one(int signal)
{
	int saved_errno = errno;

	count(signal);
	if (waitpid(-1, NULL, WNOHANG) > 0)
		reaped++;
	errno = saved_errno;
}

static void reap_all(int signal)
{
	int saved_errno = errno;

	count(signal);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		reaped++;
	errno = saved_errno;
}

/* Lets children end while SIGCHLD is blocked. */
static void let_children_end(void)
{
	pid_t children[CHILDREN];

	block(SIGCHLD);
	for (int at = 0; at < CHILDREN; at++)
		children[at] = child_that_exits(at);
	for (int at = 0; at < CHILDREN; at++)
		await_zombie(children[at]);
	CHECK_EQ(is_pending(SIGCHLD), 1);
	unblock(SIGCHLD);
}

static int zombies_left(void)
{
	int count = 0;

	while (waitpid(-1, NULL, WNOHANG) > 0)
		count++;
	return count;
}

TEST(counting_signals_does_not_count_children)
{
	handle(SIGCHLD, count, 0);
	let_children_end();
	CHECK_EQ(calls, 1);
	CHECK_EQ(zombies_left(), CHILDREN);
}

TEST(a_handler_that_reaps_one_child_leaves_the_others)
{
	handle(SIGCHLD, reap_one, 0);
	let_children_end();
	CHECK_EQ(calls, 1);
	CHECK_EQ(reaped, 1);
	CHECK_EQ(zombies_left(), CHILDREN - 1);
}

TEST(a_handler_that_loops_reaps_every_child)
{
	handle(SIGCHLD, reap_all, 0);
	let_children_end();
	CHECK_EQ(calls, 1);
	CHECK_EQ(reaped, CHILDREN);
	CHECK_EQ(zombies_left(), 0);
	for (int at = 0; at < CHILDREN; at++)
		child_that_exits(at);
	while (reaped < 2 * CHILDREN)
		sleep_ms(1);
	CHECK_EQ(zombies_left(), 0);
}

TEST(a_child_that_ends_while_the_handler_reaps_is_announced_again)
{
	sigset_t set = set_of(SIGCHLD);
	int signal;

	block(SIGCHLD);
	await_zombie(child_that_exits(1));
	CHECK_EQ(sigwait(&set, &signal), 0);
	CHECK_EQ(is_pending(SIGCHLD), 0);
	await_zombie(child_that_exits(2));
	CHECK_EQ(is_pending(SIGCHLD), 1);
	CHECK_EQ(zombies_left(), 2);
	/* Reaping takes nothing back: the handler finds no child then. */
	CHECK_EQ(is_pending(SIGCHLD), 1);
}

static void note(int signal)
{
	if (signal == SIGALRM)
		alarms++;
	else
		has_come = 1;
}

/* Handlers for the signal that is waited for, and for the one that ends a wait that has missed it. */
static void prepare_to_wait(time_t seconds, long microseconds)
{
	struct timeval time = {seconds, microseconds};

	handle(SIGUSR1, note, 0);
	handle(SIGALRM, note, 0);
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){time, time}, NULL));
}

TEST(pause_sleeps_over_a_signal_that_came_just_before)
{
	prepare_to_wait(0, 20000);
	if (!has_come) {
		raise(SIGUSR1);
		CHECK_ERRNO(pause(), EINTR);
	}
	CHECK_EQ(has_come, 1);
	CHECK(alarms > 0);
}

TEST(unblocking_before_pause_sleeps_over_it_too)
{
	prepare_to_wait(0, 20000);
	block(SIGUSR1);
	if (!has_come) {
		raise(SIGUSR1);
		unblock(SIGUSR1);
		CHECK_ERRNO(pause(), EINTR);
	}
	CHECK_EQ(has_come, 1);
	CHECK(alarms > 0);
}

TEST(sigsuspend_does_not_sleep_over_it)
{
	sigset_t before;

	prepare_to_wait(30, 0);
	MUST(sigprocmask(SIG_BLOCK, NULL, &before));
	block(SIGUSR1);
	if (!has_come) {
		raise(SIGUSR1);
		CHECK_EQ(has_come, 0);
		CHECK_ERRNO(sigsuspend(&before), EINTR);
	}
	CHECK_EQ(has_come, 1);
	CHECK_EQ(alarms, 0);
}

TEST(calls_with_a_mask_do_not_sleep_over_it)
{
	sigset_t before;

	prepare_to_wait(30, 0);
	MUST(sigprocmask(SIG_BLOCK, NULL, &before));
	block(SIGUSR1);
	raise(SIGUSR1);
	CHECK_ERRNO(ppoll(NULL, 0, NULL, &before), EINTR);
	CHECK_EQ(has_come, 1);
	has_come = 0;
	raise(SIGUSR1);
	CHECK_ERRNO(pselect(0, NULL, NULL, NULL, NULL, &before), EINTR);
	CHECK_EQ(has_come, 1);
	CHECK_EQ(alarms, 0);
}
