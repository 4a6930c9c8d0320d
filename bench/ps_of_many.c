/* `ps axf` COUNT times beside 1,000 processes that sleep. */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>

#define SLEEPERS 1000

int main(int argc, char **argv)
{
	static pid_t sleepers[SLEEPERS];
	long count = count_of(argc, argv);

	for (int number = 0; number < SLEEPERS; number++) {
		sleepers[number] = (pid_t)must(fork());
		if (sleepers[number] == 0) {
			pause();
			_exit(0);
		}
	}
	for (long left = count; left > 0; left--) {
		pid_t child = (pid_t)must(fork());

		if (child == 0) {
			dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
			execl("/usr/bin/ps", "ps", "axf", NULL);
			_exit(127);
		}
		must(waitpid(child, NULL, 0));
	}
	for (int number = 0; number < SLEEPERS; number++)
		kill(sleepers[number], SIGKILL);
	while (wait(NULL) > 0)
		;
	return 0;
}
