/* A middle process that starts the worker and passes on its status if it has it by then; with an argument it waits. */

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	int status = 0;
	(void)argv;
	pid_t middle = fork();
	if (middle == 0) {
		pid_t worker = fork();
		if (worker == 0)
			_exit(7);
		if (waitpid(worker, &status, argc > 1 ? 0 : WNOHANG) == worker)
			_exit(WEXITSTATUS(status));
		_exit(0);
	}
	waitpid(middle, &status, 0);
	printf("%d\n", WEXITSTATUS(status));
	return WEXITSTATUS(status) == 7 ? 0 : 1;
}
