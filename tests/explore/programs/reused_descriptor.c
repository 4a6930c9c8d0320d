/* A thread writes twice to a descriptor that the first thread closes meanwhile, and opens anew for something else,
 * with "dup2" as its argument by that alone; with "safe" it waits for the other to be done with it. It ends with 1 if
 * the second write has gone to the other file. */

#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int file;

static void *write_twice(void *unused) {
	(void)unused;
	if (write(file, "1", 1) != 1 || write(file, "2", 1) != 1) {
		/* Closed, and not open again yet. */
	}
	return NULL;
}

int main(int argc, char **argv) {
	pthread_t thread;
	char byte;
	int is_safe = argc > 1 && strcmp(argv[1], "safe") == 0, replaces = argc > 1 && !is_safe;
	file = memfd_create("first", 0);
	pthread_create(&thread, NULL, write_twice, NULL);
	if (is_safe)
		pthread_join(thread, NULL);
	if (!replaces)
		close(file);
	int other = memfd_create("second", 0);
	if (replaces && dup2(other, file) != file)
		return 2;
	if (!is_safe)
		pthread_join(thread, NULL);
	return pread(other, &byte, 1, 0) == 1 && byte == '2';
}
