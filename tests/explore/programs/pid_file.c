/* A killer takes the id of a server from where it has written it, and kills that; the server may have ended and been
   reaped by then, and the id be another's. With an argument its parent kills it before it waits for it. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	int ends[2], status;
	char text[16] = "";
	(void)argv;
	if (pipe(ends) != 0)
		return 2;
	pid_t server = fork();
	if (server == 0) {
		sprintf(text, "%d", getpid());
		if (write(ends[1], text, 15) != 15)
			_exit(2);
		_exit(0);
	}
	if (argc > 1) {
		if (read(ends[0], text, 15) != 15)
			return 2;
		kill(atoi(text), SIGTERM);
		waitpid(server, &status, 0);
		return 0;
	}
	pid_t killer = fork();
	if (killer == 0) {
		if (read(ends[0], text, 15) != 15)
			_exit(2);
		kill(atoi(text), SIGTERM);
		_exit(0);
	}
	waitpid(server, &status, 0);
	waitpid(killer, &status, 0);
	return 0;
}
