/* A thread marks its work as done before it stores what came out, and tells whoever sleeps for it after that. Whoever
   looks first takes the result as soon as it's marked: the program exits with 1 if it wasn't stored yet. With an
   argument the two stores come in the other order. */

#include <pthread.h>
#include <unistd.h>

enum { RUNNABLE, DONE, RESULT = 42 };

static volatile int state = RUNNABLE, result;
static int is_safe, ends[2];

static void *work(void *nothing) {
	if (is_safe)
		result = RESULT;
	state = DONE;
	if (!is_safe)
		result = RESULT;
	if (write(ends[1], "", 1) != 1)
		_exit(2);
	return nothing;
}

static int wait_for_result(void) {
	char byte;
	if (state != DONE && read(ends[0], &byte, 1) != 1)
		_exit(2);
	return result;
}

int main(int argc, char **argv) {
	pthread_t worker;
	(void)argv;
	is_safe = argc > 1;
	if (pipe(ends) != 0 || pthread_create(&worker, NULL, work, NULL) != 0)
		return 2;
	_exit(wait_for_result() != RESULT);
}
