/* Two threads that send each other a byte COUNT times beside a process that spins: nanoseconds of a round trip. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int to[2], back[2];

static void *answer(void *unused)
{
	char byte;

	while (read(to[0], &byte, 1) == 1)
		(void)!write(back[1], &byte, 1);
	return unused;
}

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0, start;
	pid_t spinner = fork();
	pthread_t thread;
	char byte = 0;

	if (spinner == 0)
		for (;;)
			continue;
	if (pipe(to) || pipe(back) || pthread_create(&thread, NULL, answer, NULL))
		return 1;
	start = now_ns();
	for (long left = count; left > 0; left--)
		if (write(to[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			return 2;
	printf("%ld\n", (now_ns() - start) / count);
	kill(spinner, SIGKILL);
	return 0;
}
