/* COUNT round trips of a signal between two processes that wait in sigsuspend. */
#include "bench.h"

static volatile sig_atomic_t caught;

static void on_signal(int signal)
{
	(void)signal;
	caught++;
}

int main(int argc, char **argv)
{
	long count = count_of(argc, argv);
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t blocked, none;
	pid_t child, other;

	use_one_cpu();
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	must(sigprocmask(SIG_BLOCK, &blocked, NULL));
	must(sigaction(SIGUSR1, &action, NULL));
	child = (pid_t)must(fork());
	other = child == 0 ? getppid() : child;
	for (long round = 1; round <= count; round++) {
		if (child != 0)
			must(kill(other, SIGUSR1));
		while (caught < round)
			sigsuspend(&none);
		if (child == 0)
			must(kill(other, SIGUSR1));
	}
	if (child == 0)
		_exit(0);
	reap(child);
	return 0;
}
