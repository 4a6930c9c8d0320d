/* Of two processes one counts in memory that they share and tells of each number, the other looks at the counter once
   and fails if it's 30 by then, as it may be only in between two calls. With an argument it looks when the first has
   ended. */

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAST = 50, WRONG = 30 };

static volatile int *counter;

static void count(void) {
	for (int i = 0; i < LAST; i++) {
		(*counter)++;
		if (write(1, ".", 1) != 1)
			_exit(2);
	}
	_exit(0);
}

static void look(void) {
	if (write(1, "?", 1) != 1)
		_exit(2);
	_exit(*counter == WRONG);
}

int main(int argc, char **argv) {
	int status, failed = 0;
	(void)argv;
	counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counter == MAP_FAILED)
		return 2;
	if (fork() == 0)
		count();
	if (argc > 1 && (wait(&status) < 0 || status != 0))
		return 2;
	if (fork() == 0)
		look();
	while (wait(&status) > 0)
		failed |= WEXITSTATUS(status);
	return failed;
}
