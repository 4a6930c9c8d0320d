/* Touches more pages than the host lets a process have areas, each in a frame that doesn't follow the last. */
#include <stdio.h>
#include <sys/mman.h>

#define PAGES 70000L

int main(void)
{
	char *memory = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long sum = 0;

	for (long page = PAGES - 1; page >= 0; page--)
		memory[page * 4096] = page;
	for (long page = 0; page < PAGES; page++)
		sum += (unsigned char)memory[page * 4096];
	printf("%ld\n", sum);
	return 0;
}
