/* What programs of loops have in common: `PROGRAM KIND MILLISECONDS` runs one loop for a time of the clock, prints
 * how often its body ran and the nanoseconds that it took by the clock; `PROGRAM` alone lists the kinds. */
#ifndef LOOPS_H
#define LOOPS_H

#include "bench.h"

#include <time.h>

/* How often a body runs before the clock is looked at: once where it takes long. */
#ifndef BODIES_AT_ONCE
#define BODIES_AT_ONCE 16
#endif

struct kind {
	const char *name;
	void (*prepare)(void);
	void (*body)(void);
};

static long nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

/* Runs what the command line says; the kind that ran, NULL if none was to. */
static const struct kind *run_loops(const struct kind *kinds, size_t kind_count, int argc, char **argv)
{
	const struct kind *kind = NULL;
	long start, now, end, count = 0;

	for (size_t at = 0; at < kind_count; at++) {
		if (argc == 1)
			puts(kinds[at].name);
		else if (strcmp(argv[1], kinds[at].name) == 0)
			kind = &kinds[at];
	}
	if (argc == 1)
		return NULL;
	if (argc != 3 || kind == NULL)
		exit(2);
	if (kind->prepare != NULL)
		kind->prepare();
	if (atol(argv[2]) == 0)
		return NULL;
	now = start = nanoseconds();
	end = start + atol(argv[2]) * 1000000;
	while (now < end) {
		for (int at = 0; at < BODIES_AT_ONCE; at++)
			kind->body();
		count += BODIES_AT_ONCE;
		now = nanoseconds();
	}
	printf("%ld %ld\n", count, now - start);
	fflush(stdout);
	return kind;
}

#endif
