/* COUNT times a child that executes /bin/true, and waiting for it. */
#include "bench.h"

int main(int argc, char **argv)
{
	char *arguments[] = {"true", NULL};

	for (long left = count_of(argc, argv); left > 0; left--) {
		pid_t child = (pid_t)must(fork());

		if (child == 0) {
			execve("/bin/true", arguments, environ);
			_exit(127);
		}
		reap(child);
	}
	return 0;
}
