/* What the debugger's tests debug: calls, a child, a signal, and the time at the end. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int counter;

static int square(int number)
{
	int result = number * number;

	counter += result;
	return result;
}

static void child(void)
{
	_exit(square(3));
}

int main(void)
{
	struct timespec now;
	int status = 0, sum = 0;
	pid_t pid;

	signal(SIGUSR1, SIG_IGN);
	for (int number = 2; number < 5; number++)
		sum += square(number);
	pid = fork();
	if (pid == 0)
		child();
	waitpid(pid, &status, 0);
	signal(SIGUSR2, SIG_DFL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%d %d %d %lld.%09ld\n", sum, counter, WEXITSTATUS(status), (long long)now.tv_sec, now.tv_nsec);
	fflush(stdout);
	raise(SIGUSR2);
	return 7;
}
