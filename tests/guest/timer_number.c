/* What timers are called by, and the longest that an interval timer can be. */
#include "check.h"

/* What is refused late has taken a number, and been told it. */
TEST(numbers_of_posix_timers)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 77};
	int number = -1, first;

	CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &first), 0);
	CHECK_ERRNO(syscall(SYS_timer_create, 99, NULL, &number), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC_RAW, &event, &number), EOPNOTSUPP);
	CHECK_EQ(number, -1);
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &number), EINVAL);
	CHECK_EQ(number, -1);
	CHECK_ERRNO(syscall(SYS_timer_create, -1, NULL, &number), EINVAL);
	CHECK_EQ(number, first + 2);
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, bad_address()), EFAULT);
	CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &number), 0);
	CHECK_EQ(number, first + 4);
}

/* The longest time and a tick is more than a number of nanoseconds takes. */
TEST(the_longest_interval_timer)
{
	struct itimerval value = {.it_value = {.tv_sec = 1LL << 60}}, left;

	CHECK_EQ(setitimer(ITIMER_VIRTUAL, &value, NULL), 0);
	CHECK_EQ(getitimer(ITIMER_VIRTUAL, &left), 0);
	CHECK(left.it_value.tv_sec < -9000000000LL);
}
