/* Processors and the time on them: sched_setaffinity(2), getcpu(2), timers and limits of processor time. */
#include "check.h"

#include <sched.h>
#include <sys/resource.h>

#define MS 1000000LL
/* A loaded host gives ticks late, on which these timers depend. */
#define MOST_TRIES 20
/* A step of spinning takes some microseconds. */
#define LONGEST_STEP_MS 2

static volatile sig_atomic_t calls;

static void count_call(int signal)
{
	(void)signal;
	calls++;
}

static void pin_to(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	MUST(sched_setaffinity(0, sizeof(set), &set));
}

static int processor_now(void)
{
	unsigned processor = 9999;

	MUST(syscall(SYS_getcpu, &processor, NULL, NULL));
	return (int)processor;
}

/* A task that has been sent to a processor is there when the call returns; so are its children. */
TEST(pinned_tasks_are_where_they_were_sent)
{
	cpu_set_t allowed;
	int wrong = 0, wrong_children = 0;

	MUST(sched_getaffinity(0, sizeof(allowed), &allowed));
	for (int round = 0; round < 4; round++) {
		for (int processor = 0; processor < CPU_SETSIZE; processor++) {
			pid_t child;

			if (!CPU_ISSET(processor, &allowed))
				continue;
			pin_to(processor);
			wrong += processor_now() != processor;
			child = (pid_t)MUST(fork());
			if (child == 0)
				_exit(processor_now() != processor);
			wrong_children += wait_for(child) != EXITED(0);
		}
	}
	CHECK_EQ(wrong, 0);
	CHECK_EQ(wrong_children, 0);
}

/* Sending another there moves that one. */
TEST(a_running_child_is_sent_elsewhere)
{
	cpu_set_t allowed, set;
	int last = 0, ends[2];
	char byte;
	pid_t child;

	MUST(sched_getaffinity(0, sizeof(allowed), &allowed));
	for (int processor = 0; processor < CPU_SETSIZE; processor++)
		if (CPU_ISSET(processor, &allowed))
			last = processor;
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(read(ends[0], &byte, 1));
		_exit(processor_now());
	}
	CPU_ZERO(&set);
	CPU_SET(last, &set);
	MUST(sched_setaffinity(child, sizeof(set), &set));
	MUST(write(ends[1], "x", 1));
	CHECK_EQ(wait_for(child), EXITED(last));
}

static void become(int policy)
{
	struct sched_param parameters = {.sched_priority = 5};

	/* Where nobody may have a real-time policy, the assertions hold for an ordinary one. */
	(void)sched_setscheduler(0, policy, &parameters);
}

/*
 * Processor time until the signal came, in milliseconds. `ticking` is that less what a virtual processor was
 * taken away for: a process on it takes that for its own time, but no tick comes.
 */
static int64_t spin_until_called(int64_t most_ms, int64_t *ticking)
{
	int64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID), now = start, last = start, taken_away = 0;

	while (calls == 0 && now - start < most_ms * MS) {
		/* Time of its own, as ITIMER_VIRTUAL counts: of calls alone it would take millions. */
		for (volatile int step = 0; step < 1000; step++)
			;
		last = now;
		now = now_ns(CLOCK_PROCESS_CPUTIME_ID);
		if (now - last > LONGEST_STEP_MS * MS)
			taken_away += now - last;
	}
	*ticking = (now - start - taken_away) / MS;
	return (now - start) / MS;
}

static const int policies[] = {SCHED_OTHER, SCHED_FIFO, SCHED_RR};

/*
 * An interval timer of processor time is on time, to some ticks, whoever else doesn't run. It may come a tick
 * early: what the process has used is known as of the last one.
 */
TEST(itimers_of_processor_time_are_on_time)
{
	static const int timers[] = {ITIMER_PROF, ITIMER_VIRTUAL};

	signal(SIGPROF, count_call);
	signal(SIGVTALRM, count_call);
	for (size_t at = 0; at < LENGTH(policies); at++) {
		become(policies[at]);
		for (size_t which = 0; which < LENGTH(timers); which++) {
			struct itimerval soon = {{0, 0}, {0, 30000}};
			int64_t took = 0, ticking = 0;

			for (int try = 0; try < MOST_TRIES; try++) {
				calls = 0;
				MUST(setitimer(timers[which], &soon, NULL));
				took = spin_until_called(10000, &ticking);
				if (calls != 1 || took < 20 || ticking < 200 || timers[which] == ITIMER_VIRTUAL)
					break;
			}
			CHECK_EQ(calls, 1);
			CHECK(took >= 20 && (ticking < 200 || timers[which] == ITIMER_VIRTUAL));
		}
	}
}

/* Under SCHED_RR a timer fires after the slice of 100 ms as before it. */
TEST(posix_timers_of_processor_time_are_on_time)
{
	signal(SIGUSR1, count_call);
	for (size_t at = 0; at < LENGTH(policies); at++) {
		struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
		int64_t due_ms = policies[at] == SCHED_RR ? 130 : 50;
		struct itimerspec soon = {{0, 0}, {0, due_ms * MS}};
		timer_t timer;
		int64_t took = 0, ticking = 0;

		become(policies[at]);
		MUST(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
		for (int try = 0; try < MOST_TRIES; try++) {
			calls = 0;
			MUST(timer_settime(timer, 0, &soon, NULL));
			took = spin_until_called(10000, &ticking);
			if (calls != 1 || ticking < due_ms + 70)
				break;
		}
		CHECK_EQ(calls, 1);
		CHECK(took >= due_ms - 5 && ticking < due_ms + 70);
		MUST(timer_delete(timer));
	}
}

/* How often the signal came in 200 ms of processor time. */
static int calls_of_a_while(void)
{
	int64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);

	calls = 0;
	while (now_ns(CLOCK_PROCESS_CPUTIME_ID) - start < 200 * MS)
		for (volatile int step = 0; step < 1000; step++)
			;
	return calls;
}

/* Timers that expire each microsecond: the tick looks at them, a thousand times a second at the most. */
TEST(timers_of_processor_time_leave_time_for_others)
{
	struct itimerval often = {{0, 1}, {0, 1}}, never = {{0, 0}, {0, 0}};
	struct itimerspec often_ns = {{0, 1000}, {0, 1000}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	timer_t timer;
	int count;

	signal(SIGPROF, count_call);
	signal(SIGUSR1, count_call);
	MUST(setitimer(ITIMER_PROF, &often, NULL));
	count = calls_of_a_while();
	CHECK(count >= 10 && count <= 220);
	MUST(setitimer(ITIMER_PROF, &never, NULL));
	MUST(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
	MUST(timer_settime(timer, 0, &often_ns, NULL));
	count = calls_of_a_while();
	CHECK(count >= 10 && count <= 220);
	MUST(timer_delete(timer));
}

/* Comes back when a tick has just been: the next one is as far away as it can be. */
static void await_tick(void)
{
	struct timespec before, now;

	MUST(clock_gettime(CLOCK_MONOTONIC_COARSE, &before));
	do
		MUST(clock_gettime(CLOCK_MONOTONIC_COARSE, &now));
	while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec);
}

/* RLIMIT_CPU of no seconds: the tick looks at it, and who sleeps then isn't signalled. A tick before it was set
   doesn't count. */
TEST(a_limit_of_no_processor_time)
{
	struct rlimit none = {0, RLIM_INFINITY};
	struct timespec moment = {0, 20 * MS};

	signal(SIGXCPU, count_call);
	await_tick();
	MUST(setrlimit(RLIMIT_CPU, &none));
	MUST(nanosleep(&moment, NULL));
	MUST(nanosleep(&moment, NULL));
	CHECK_EQ(calls, 0);
	spin_until_called(3000, &(int64_t){0});
	CHECK_EQ(calls, 1);
}
