/* What timers are called by, and the longest that an interval timer can be. */
#include "check.h"

#include <sys/prctl.h>

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

/* Whoever restores a process chooses them. */
TEST(numbers_that_are_chosen)
{
	const int restore = 77;
	timer_t *nowhere = (timer_t *)bad_address();
	int number = 50, status;
	pid_t child;

	if (prctl(restore, 2, 0, 0, 0) == -1)
		return;
	CHECK_EQ(prctl(restore, 2, 0, 0, 0), 0);
	CHECK_ERRNO(prctl(restore, 3, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(restore, 1, 0, 0, 1), EINVAL);
	CHECK_ERRNO(prctl(restore, 1, 1, 0, 0), EINVAL);
	CHECK_OK(prctl(restore, 1, 0, 0, 0));
	CHECK_EQ(prctl(restore, 2, 0, 0, 0), 1);
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &number));
	CHECK_EQ(number, 50);
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &number), EBUSY);
	number = -1;
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &number), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, nowhere), EFAULT);
	CHECK_ERRNO(syscall(SYS_timer_create, 99, NULL, nowhere), EINVAL);
	number = 7;
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &number));
	CHECK_EQ(number, 7);
	CHECK_OK(timer_delete((timer_t)50L));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(prctl(restore, 2, 0, 0, 0));
	MUST(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
	CHECK_OK(prctl(restore, 0, 0, 0, 0));
	/* The next is behind the last that was chosen. */
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &number));
	CHECK_EQ(number, 8);
	CHECK_OK(prctl(restore, 1, 0, 0, 0));
	number = 0x7fffffff;
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &number));
	CHECK_OK(prctl(restore, 0, 0, 0, 0));
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &number));
	CHECK(number >= 0 && number < 7);
}

ROLE(chooses)
{
	return prctl(77, 2, 0, 0, 0);
}

/* A program chooses none until it says so, even if the one before it had no timers. */
TEST(numbers_of_the_next_program)
{
	pid_t child;
	int status;

	if (prctl(77, 2, 0, 0, 0) == -1)
		return;
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(prctl(77, 1, 0, 0, 0));
		execl(check_self, check_self, "chooses", NULL);
		_exit(99);
	}
	MUST(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
}

/* The longest time and a tick is more than a number of nanoseconds takes. */
TEST(the_longest_interval_timer)
{
	struct itimerval value = {.it_value = {.tv_sec = 1LL << 60}}, left;

	CHECK_EQ(setitimer(ITIMER_VIRTUAL, &value, NULL), 0);
	CHECK_EQ(getitimer(ITIMER_VIRTUAL, &left), 0);
	CHECK(left.it_value.tv_sec < -9000000000LL);
}
