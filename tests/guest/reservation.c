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
