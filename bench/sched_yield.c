/* Two processes that give each other the CPU, COUNT calls of sched_yield in all. */
#include "bench.h"

int main(int argc, char **argv)
{
	long each = count_of(argc, argv) / 2;
	int ends[2];
	char byte = 'x';
	pid_t child;

	use_one_cpu();
	must(pipe(ends));
	child = (pid_t)must(fork());
	if (child == 0)
		must(write(ends[1], &byte, 1));
	else
		must(read(ends[0], &byte, 1));
	for (long left = each; left > 0; left--)
		must(sched_yield());
	if (child == 0)
		_exit(0);
	reap(child);
	return 0;
}
