/* A process is made while another thread is in malloc(3), which holds its lock where the heap grows. _Fork(3)
   leaves the lock as it is: the child finds it taken for ever. With an argument it's fork(2) as the C library has
   it, which takes the lock first. */

#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* More than a thread keeps for itself, and less than what is mapped on its own. */
enum { SIZE = 100000 };

static void allocate(void) {
	char *memory = malloc(SIZE);
	if (!memory)
		abort();
	memory[SIZE - 1] = 1;
	free(memory);
}

static void *run(void *nothing) {
	allocate();
	return nothing;
}

int main(int argc, char **argv) {
	pthread_t thread;
	(void)argv;
	mallopt(M_ARENA_MAX, 1);
	/* The heap grows each time. */
	mallopt(M_TOP_PAD, 0);
	mallopt(M_TRIM_THRESHOLD, 0);
	pthread_create(&thread, NULL, run, NULL);
	pid_t child = argc > 1 ? fork() : _Fork();
	if (child == 0) {
		allocate();
		_exit(0);
	}
	waitpid(child, NULL, 0);
	pthread_join(thread, NULL);
	puts("all have allocated");
	return 0;
}
