/* COUNT round trips of a byte between two processes over two pipes. */
#include "bench.h"

int main(int argc, char **argv)
{
	long count = count_of(argc, argv);
	int there[2], back[2];
	char byte = 'x';
	pid_t child;

	use_one_cpu();
	must(pipe(there));
	must(pipe(back));
	child = (pid_t)must(fork());
	if (child == 0) {
		must(close(there[1]));
		while (read(there[0], &byte, 1) == 1)
			must(write(back[1], &byte, 1));
		_exit(0);
	}
	for (long left = count; left > 0; left--) {
		must(write(there[1], &byte, 1));
		must(read(back[0], &byte, 1));
	}
	must(close(there[1]));
	reap(child);
	return 0;
}
