/* A child's first write to COUNT of the pages that its parent has written; how many those are doesn't vary. */
#include "bench.h"

#define PARENT_PAGES 16384L

int main(int argc, char **argv)
{
	long count = count_of(argc, argv);
	char *memory = map_pages(PARENT_PAGES);
	pid_t child;

	if (count > PARENT_PAGES)
		return 2;
	for (long page = 0; page < PARENT_PAGES; page++)
		*(volatile char *)(memory + page * 4096) = 1;
	child = (pid_t)must(fork());
	if (child == 0) {
		for (long page = 0; page < count; page++)
			*(volatile char *)(memory + page * 4096) = 2;
		_exit(0);
	}
	reap(child);
	return 0;
}
