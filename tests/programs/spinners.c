/* COUNT processes that spin for MILLISECONDS, on processor PROCESSOR if it's given: which part of it each was
 * given, in the order in which they end. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

int main(int argc, char **argv)
{
	int count = atoi(argv[1]);
	long lasts_ns = atol(argv[2]) * 1000000, start_ns = now_ns(CLOCK_MONOTONIC) + 5000000;

	if (argc > 3) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(atoi(argv[3]), &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			return 1;
	}
	for (; count > 0; count--) {
		if (fork() == 0) {
			long used_ns;

			while (now_ns(CLOCK_MONOTONIC) < start_ns)
				continue;
			used_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
			while (now_ns(CLOCK_MONOTONIC) < start_ns + lasts_ns)
				for (volatile int at = 0; at < 2000; at++)
					continue;
			used_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - used_ns;
			printf("%.3f\n", (double)used_ns / (double)lasts_ns);
			fflush(stdout);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		continue;
	return 0;
}
