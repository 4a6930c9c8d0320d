/* What the benchmark programs have in common: counts from the command line and calls that must succeed. */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ends the program unless the call succeeded; returns its result. */
static inline long must(long result)
{
	if (result == -1) {
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, strerror(errno));
		_exit(1);
	}
	return result;
}

/* How often the program does what it measures. */
static inline long count_of(int argc, char **argv)
{
	if (argc != 2 || atol(argv[1]) < 0) {
		fprintf(stderr, "usage: %s COUNT\n", program_invocation_short_name);
		_exit(2);
	}
	return atol(argv[1]);
}

static inline void reap(pid_t child)
{
	int status;

	if (must(waitpid(child, &status, 0)) != child || status != 0) {
		fprintf(stderr, "%s: a child failed\n", program_invocation_short_name);
		_exit(3);
	}
}

/* Keeps two processes that take turns on one CPU, where a system has several: less noise. */
static inline void use_one_cpu(void)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) == -1)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed)) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			(void)!sched_setaffinity(0, sizeof(one), &one);
			return;
		}
	}
}

/* Anonymous memory in pages of the usual size. */
static inline char *map_pages(long pages)
{
	char *memory = mmap(NULL, (size_t)pages * 4096 + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(memory == MAP_FAILED ? -1 : 0);
	(void)!madvise(memory, (size_t)pages * 4096 + 4096, MADV_NOHUGEPAGE);
	return memory;
}

#endif
