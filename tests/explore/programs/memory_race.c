/* A child looks at memory that its parent changes: it ends with 1 if that had been changed, else with 0. How they
 * share it is the argument: "view", pages that the child may only read; "late", the same, and the parent maps
 * them only when it writes; "space", an address space, though they aren't threads of one process; "file", a file
 * that the parent writes and the child maps; "copy", the same with a private mapping; "read", a file that the
 * parent maps and the child reads. */

#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile char *changed, *seen;
static char global, stack[1 << 16] __attribute__((aligned(16)));
static int file;

static int look(void *unused) {
	char byte = 0;
	(void)unused;
	getppid();
	if (!seen)
		pread(file, &byte, 1, 0);
	_exit(seen ? *seen : byte);
}

static void *map(int protection, int flags) {
	return mmap(NULL, 4096, protection, flags, file, 0);
}

int main(int argc, char **argv) {
	const char *how = argc > 1 ? argv[1] : "view";
	int is_space = !strcmp(how, "space"), status;
	pid_t child;
	file = memfd_create("page", 0);
	ftruncate(file, 4096);
	if (is_space)
		changed = seen = &global;
	else if (strcmp(how, "read"))
		seen = map(PROT_READ, strcmp(how, "copy") ? MAP_SHARED : MAP_PRIVATE);
	if (!strcmp(how, "view") || !strcmp(how, "read")) {
		changed = map(PROT_READ | PROT_WRITE, MAP_SHARED);
		madvise((void *)changed, 4096, MADV_DONTFORK);
	}
	/* Not fork(), which blocks signals: that races with the child's end, and leads to the other orders by itself. */
	child = is_space ? clone(look, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL) : syscall(SYS_fork);
	if (!child)
		look(NULL);
	getppid();
	if (!strcmp(how, "late"))
		changed = map(PROT_READ | PROT_WRITE, MAP_SHARED);
	if (changed)
		*changed = 1;
	else
		pwrite(file, "\1", 1, 0);
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}
