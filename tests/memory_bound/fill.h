/* What programs that fill a machine have in common: `PROGRAM WAY [COUNT]` makes objects of one kind until there are no
 * more or COUNT have been made, says how many, and ends all its processes. */
#ifndef FILL_H
#define FILL_H

#define _GNU_SOURCE

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static char data[1 << 20];
/* How often the step has run. */
static long number;

struct way {
	const char *name;
	/* Makes one more; -1 with errno if it was refused. */
	int (*step)(void);
};

static int fill(const struct way *ways, size_t way_count, int count, char **arguments)
{
	long limit = count > 2 ? atol(arguments[2]) : 1L << 40;
	struct rlimit files = {1 << 20, 1 << 20};

	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < way_count; i++) {
		long made = 0;
		int refused = 0, error = 0;

		if (strcmp(ways[i].name, arguments[1]))
			continue;
		/* Being refused isn't the end: one may ask again, for a while. */
		for (number = 0; made < limit && refused < 200; number++) {
			if (ways[i].step() < 0) {
				refused++;
				error = errno;
			} else {
				made++;
			}
		}
		dprintf(2, "%ld made, %s\n", made, error ? strerrorname_np(error) : "no error");
		kill(0, SIGKILL);
	}
	return 2;
}

#endif
