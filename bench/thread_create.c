/* COUNT times a thread that returns at once, and joining it. */
#include "bench.h"

#include <pthread.h>

static void *run(void *argument)
{
	return argument;
}

int main(int argc, char **argv)
{
	for (long left = count_of(argc, argv); left > 0; left--) {
		pthread_t thread;

		errno = pthread_create(&thread, NULL, run, NULL);
		must(errno == 0 ? 0 : -1);
		errno = pthread_join(thread, NULL);
		must(errno == 0 ? 0 : -1);
	}
	return 0;
}
