/* Works hard, and uses addresses where a translating engine may have things of its own. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static const uintptr_t places[] = {0x555550000000, 0x555552345000, 0x7ffff8000000, 0x7ffffc000000, 0x7ffffc020000};
enum { PLACES = sizeof places / sizeof *places };

static unsigned work(void)
{
	volatile unsigned sum = 0;

	for (unsigned i = 0; i < 300000; i++)
		sum += i ^ sum;
	return sum;
}

static void *map(uintptr_t place)
{
	void *got = mmap((void *)place, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	return got == (void *)place ? got : NULL;
}

static void use(unsigned char *page, int number)
{
	int before = page[5] | page[4097];
	int (*function)(void) = (int (*)(void))(page + 4096 - 2);

	memcpy(page, "0123456789", 10);
	/* mov eax, number; ret, over two pages */
	memcpy(page + 4096 - 2, (unsigned char[]){0xb8, number, 0, 0, 0, 0xc3}, 6);
	printf("%d: %d, %.10s, %d\n", number, before, page, function());
}

int main(int argc, char **argv)
{
	if (argc > 1 && *argv[1] == 'w')
		printf("worked: %u\n", work());
	for (int i = 0; i < PLACES; i++) {
		unsigned char *page = map(places[i]);

		if (page == NULL) {
			printf("%d: taken\n", i);
			continue;
		}
		use(page, i);
		printf("worked: %u\n", work());
		printf("%d: still %.10s\n", i, page);
		fflush(stdout);
		if (fork() == 0) {
			printf("child: %u, %.10s\n", work(), page);
			fflush(stdout);
			_exit(0);
		}
		wait(NULL);
		munmap(page, 8192);
	}
	unsigned char *grows = mmap((void *)(0x555550000000 - 4096), 4096, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (grows != MAP_FAILED && mremap(grows, 4096, 8192, 0) == grows) {
		printf("grown: %d\n", grows[4096]);
		grows[4100] = 7;
		printf("grown: %d, %u\n", grows[4100], work());
	}
	return 0;
}
