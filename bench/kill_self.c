/* COUNT signals that a process sends itself, each with a handler that returns. */
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
	pid_t self = getpid();

	must(sigaction(SIGUSR1, &action, NULL));
	for (long left = count; left > 0; left--)
		must(kill(self, SIGUSR1));
	return caught != count;
}
