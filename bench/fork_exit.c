/* COUNT times a child that exits at once, and waiting for it. */
#include "bench.h"

int main(int argc, char **argv)
{
	for (long left = count_of(argc, argv); left > 0; left--) {
		pid_t child = (pid_t)must(fork());

		if (child == 0)
			_exit(0);
		reap(child);
	}
	return 0;
}
