/* The first write to each of COUNT pages of anonymous memory. */
#include "bench.h"

int main(int argc, char **argv)
{
	long count = count_of(argc, argv);
	char *memory = map_pages(count);

	for (long page = 0; page < count; page++)
		*(volatile char *)(memory + page * 4096) = 1;
	return 0;
}
