/* Two tasks copy a string out of memory that they share, by one instruction, to where no page is yet; one of them
 * changes it. It ends with what the child has seen: 0 for the old, 1 for the new, 2 if it's neither. */

#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile char *shared;
static char fresh[1 << 16];

static void copy(void) {
	const volatile char *from = shared;
	/* Across two pages, neither of which was written to before. */
	char *to = fresh + 8192 - ((unsigned long)fresh & 4095) + 4092;
	unsigned long count = 8;
	__asm__ volatile("cld; rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
}

int main(void) {
	int status;
	pid_t child;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memcpy((char *)shared, "aaaaaaaa", 8);
	child = syscall(SYS_fork);
	if (!child) {
		copy();
		char *copied = fresh + 8192 - ((unsigned long)fresh & 4095) + 4092;
		_exit(!memcmp(copied, "aaaaaaaa", 8) ? 0 : !memcmp(copied, "bbbbbbbb", 8) ? 1 : 2);
	}
	*(volatile unsigned long *)shared = 0x6262626262626262;
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}
