/* COUNT times a child that makes a pid namespace, the namespace's init, and waiting for both. */
#include "bench.h"

int main(int argc, char **argv)
{
	for (long left = count_of(argc, argv); left > 0; left--) {
		pid_t child = (pid_t)must(fork());

		if (child == 0) {
			pid_t init;

			must(unshare(CLONE_NEWPID));
			init = (pid_t)must(fork());
			if (init == 0)
				_exit(0);
			reap(init);
			_exit(0);
		}
		reap(child);
	}
	return 0;
}
