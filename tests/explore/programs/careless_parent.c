/* A parent that does something else until its end, and never waits for its child; with an argument it does. */

#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	(void)argv;
	if (fork() == 0)
		_exit(1);
	sleep(1);
	if (argc > 1)
		wait(NULL);
	return 0;
}
