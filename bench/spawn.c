/* COUNT times /bin/true by posix_spawn, and waiting for it. */
#include "bench.h"

#include <spawn.h>

int main(int argc, char **argv)
{
	char *arguments[] = {"true", NULL};

	for (long left = count_of(argc, argv); left > 0; left--) {
		pid_t child;

		errno = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ);
		must(errno == 0 ? 0 : -1);
		reap(child);
	}
	return 0;
}
