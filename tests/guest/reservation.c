/* SCHED_DEADLINE's reservations: what is told of them, and of those that are used up. */
#include "scheduling.h"

#include <sched.h>

#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

static volatile sig_atomic_t overruns;

static void note_overrun(int signal)
{
	(void)signal;
	overruns++;
}

/* What a reservation was made with is told, and who has used one up is signalled if it wants to know. */
TEST(reservations_that_are_used_up)
{
	static struct attributes attributes = {.size = ATTRIBUTES_V0, .policy = SCHED_DEADLINE, .runtime = 1000000}, told;
	int64_t begin;

	attributes.deadline = attributes.period = 10000000;
	handle(SIGXCPU, note_overrun, SA_RESTART);
	attributes.flags = 2;
	CHECK_EQ(set_attributes(0, &attributes, 0), 0);
	CHECK_EQ(get_attributes(0, &told, ATTRIBUTES_V0, 0), 0);
	CHECK_EQ(told.flags, 2);
	for (begin = now_ns(CLOCK_MONOTONIC); now_ns(CLOCK_MONOTONIC) - begin < 30000000;)
		continue;
	CHECK_EQ(overruns, 0);
	/* Whoever runs has a whole new one from the call on. */
	attributes.flags = 4;
	attributes.runtime = 5000000;
	block(SIGXCPU);
	CHECK_EQ(set_attributes(0, &attributes, 0), 0);
	CHECK(!is_pending(SIGXCPU));
	unblock(SIGXCPU);
	CHECK_EQ(get_attributes(0, &told, ATTRIBUTES_V0, 0), 0);
	CHECK_EQ(told.flags, 4);
	for (begin = now_ns(CLOCK_MONOTONIC); now_ns(CLOCK_MONOTONIC) - begin < 2000000000 && !overruns;)
		continue;
	CHECK(overruns > 0);
	attributes = (struct attributes){.size = ATTRIBUTES_V0};
	CHECK_EQ(set_attributes(0, &attributes, 0), 0);
	CHECK_EQ(get_attributes(0, &told, ATTRIBUTES_V0, 0), 0);
	CHECK_EQ(told.flags, 0);
}

/* A twentieth of each processor is kept for those without a reservation: beside what real-time tasks leave them. */
TEST(a_part_of_the_processors_is_kept_for_all)
{
	struct attributes attributes = {.size = ATTRIBUTES_V0, .policy = SCHED_DEADLINE, .runtime = 93000000};
	cpu_set_t all;
	int count, refused = 0;
	pid_t children[64];
	int ends[2], told[2];

	attributes.deadline = attributes.period = 100000000;
	MUST(pipe(ends));
	MUST(pipe(told));
	MUST(sched_getaffinity(0, sizeof all, &all));
	count = CPU_COUNT(&all) < 64 ? CPU_COUNT(&all) : 64;
	for (int i = 0; i < count; i++) {
		children[i] = (pid_t)MUST(fork());
		if (children[i] == 0) {
			char answer = set_attributes(0, &attributes, 0) < 0 && errno == EBUSY;

			close(ends[1]);
			MUST(write(told[1], &answer, 1));
			read(ends[0], &answer, 1);
			_exit(0);
		}
	}
	for (int i = 0; i < count; i++) {
		char answer = 0;

		MUST(read(told[0], &answer, 1));
		refused += answer;
	}
	close(ends[1]);
	for (int i = 0; i < count; i++)
		MUST(waitpid(children[i], NULL, 0));
	CHECK(refused >= 1);
}
