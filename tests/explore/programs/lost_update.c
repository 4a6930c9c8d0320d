/* Two tasks add to a counter in memory that they share, with no system call between the load and the store: it ends
 * with 1 if an update was lost, else with 0. "threads": in one address space; "processes": in a shared mapping;
 * a second argument: "plain", one load and one store; "atomic", one locked instruction; "flag", each takes a lock of
 * its own making, which looks at a flag and then sets it. */

#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
	volatile int counter, is_locked;
};

static struct shared global;
static char stack[1 << 16] __attribute__((aligned(16)));
static struct shared *shared;
static const char *how;

static void add(void) {
	if (!strcmp(how, "atomic")) {
		__atomic_fetch_add(&shared->counter, 1, __ATOMIC_SEQ_CST);
		return;
	}
	if (!strcmp(how, "flag")) {
		if (shared->is_locked) {
			/* Somebody else adds for both. */
			return;
		}
		shared->is_locked = 1;
	}
	int value = shared->counter;
	__asm__ volatile("" ::: "memory");
	shared->counter = value + 1;
}

static int child_main(void *unused) {
	(void)unused;
	add();
	_exit(0);
}

int main(int argc, char **argv) {
	const char *kind = argc > 1 ? argv[1] : "threads";
	pid_t child;
	how = argc > 2 ? argv[2] : "plain";
	if (!strcmp(kind, "threads")) {
		shared = &global;
		child = clone(child_main, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	} else {
		shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		child = syscall(SYS_fork);
		if (!child)
			child_main(NULL);
	}
	add();
	waitpid(child, NULL, 0);
	if (!strcmp(how, "flag"))
		return shared->counter != 1;
	return shared->counter != 2;
}
