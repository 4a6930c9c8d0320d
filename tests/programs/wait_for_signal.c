/* Waits until a child's signal has come, in a loop that works between looking and sleeping. usage: pause|sigsuspend */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t has_come;

static void note(int signal)
{
	(void)signal;
	has_come = 1;
}

static void work(int steps)
{
	for (volatile int step = 0; step < steps; step++)
		continue;
}

int main(int argc, char **argv)
{
	int with_pause = argc > 1 && strcmp(argv[1], "pause") == 0;
	struct sigaction action = {.sa_handler = note};
	sigset_t set, before;
	pid_t child;

	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (!with_pause)
		sigprocmask(SIG_BLOCK, &set, &before);
	child = fork();
	if (child == 0) {
		work(2000000);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	work(1000000);
	while (!has_come) {
		work(1000000);
		if (with_pause)
			pause();
		else
			sigsuspend(&before);
	}
	return waitpid(child, NULL, 0) == child ? 0 : 1;
}
