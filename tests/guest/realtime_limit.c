/* RLIMIT_RTTIME: getrlimit(2). What needs a real-time policy is let pass where the user may have none. */
#include "check.h"

#include <sched.h>
#include <sys/resource.h>

static volatile int calls;

static void count_call(int signal)
{
	(void)signal;
	calls++;
}

static int become_realtime(int policy)
{
	struct sched_param parameters = {.sched_priority = 5};

	return sched_setscheduler(0, policy, &parameters) == 0;
}

/* The limit counts ticks, of which a loaded host misses some: what waits for it waits for the call. */
static void spin_until_called(int64_t milliseconds)
{
	int64_t end = now_ns(CLOCK_THREAD_CPUTIME_ID) + milliseconds * 1000000;
	int before = calls;

	while (calls == before && now_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		continue;
}

static void spin_ms(int64_t milliseconds)
{
	int64_t end = now_ns(CLOCK_THREAD_CPUTIME_ID) + milliseconds * 1000000;

	while (now_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		continue;
}

static void limit_time(rlim_t soft_us, rlim_t hard_us)
{
	struct rlimit limit = {soft_us, hard_us};

	MUST(setrlimit(RLIMIT_RTTIME, &limit));
}

TEST(soft_limit)
{
	int may = become_realtime(SCHED_FIFO);
	struct rlimit limit;

	handle(SIGXCPU, count_call, 0);
	limit_time(100000, RLIM_INFINITY);
	for (int round = 0; round < 4; round++) {
		spin_ms(50);
		sleep_ms(2);
	}
	CHECK_EQ(calls, 0);
	spin_until_called(900);
	CHECK(!may || calls == 1);
	MUST(getrlimit(RLIMIT_RTTIME, &limit));
	CHECK(!may || limit.rlim_cur == 1100000);
	CHECK_EQ(limit.rlim_max, RLIM_INFINITY);
}

TEST(hard_limit)
{
	pid_t child = (pid_t)MUST(fork());
	int may;

	if (child == 0) {
		may = become_realtime(SCHED_RR);
		limit_time(50000, 100000);
		handle(SIGXCPU, SIG_IGN, 0);
		spin_ms(200);
		_exit(may);
	}
	CHECK(wait_for(child) == KILLED(SIGKILL) || !become_realtime(SCHED_RR));
}

TEST(without_a_handler_and_other_policies)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		become_realtime(SCHED_FIFO);
		limit_time(50000, RLIM_INFINITY);
		spin_ms(200);
		_exit(0);
	}
	CHECK(WTERMSIG(wait_for(child)) == SIGXCPU || !become_realtime(SCHED_FIFO));
	become_realtime(SCHED_OTHER);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		struct sched_param none = {.sched_priority = 0};

		MUST(sched_setscheduler(0, SCHED_OTHER, &none));
		limit_time(50000, 100000);
		spin_ms(200);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}
