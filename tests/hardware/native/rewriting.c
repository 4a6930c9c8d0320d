/* Programs that write their own code: each line says what the code returned that was written last. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef int function(void);

static void put(unsigned char *at, int value)
{
	unsigned char code[] = {0xb8, value, 0, 0, 0, 0xc3}; /* mov eax, value; ret */

	memcpy(at, code, sizeof(code));
}

int main(void)
{
	int fd = memfd_create("code", 0), sum = 0;
	unsigned char *both = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *writable, *executable;
	/* mov byte [rip + 1], 7; mov eax, 1; ret: the next instruction's operand is what it writes. */
	static const unsigned char next[] = {0xc6, 5, 1, 0, 0, 0, 7, 0xb8, 1, 0, 0, 0, 0xc3};
	/* inc dword [rip - 10 + 4]: a loop that counts in its own immediate, ten times. */
	static const unsigned char loop[] = {
		0xb9, 10, 0, 0, 0, 0xff, 5, 1, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf1, 0xc3,
	};

	for (int value = 0; value < 5; value++) {
		put(both, value);
		sum = sum * 10 + ((function *)both)();
	}
	printf("%d\n", sum);
	memcpy(both, next, sizeof(next));
	printf("%d\n", ((function *)both)());
	memcpy(both + 64, loop, sizeof(loop));
	printf("%d\n", ((function *)(both + 64))());
	memcpy(both + 4096 - 3, next + 7, 6);
	sum = ((function *)(both + 4096 - 3))();
	both[4097 - 3] = 9;
	printf("%d %d\n", sum, ((function *)(both + 4096 - 3))());
	ftruncate(fd, 4096);
	writable = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	executable = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	put(writable, 3);
	sum = ((function *)executable)();
	put(writable, 4);
	sum = sum * 10 + ((function *)executable)();
	lseek(fd, 1, SEEK_SET);
	write(fd, "\5", 1);
	printf("%d\n", sum * 10 + ((function *)executable)());
	for (int round = 0; round < 3; round++) {
		mprotect(both, 4096, PROT_READ | PROT_WRITE);
		put(both, round);
		mprotect(both, 4096, PROT_READ | PROT_EXEC);
		printf("%d", ((function *)both)());
	}
	puts("");
	return 0;
}
