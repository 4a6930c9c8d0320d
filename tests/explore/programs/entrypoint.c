/* A container's entrypoint: it runs the rest of its arguments, forwards SIGTERM to it, reaps orphans, and ends as
   its child did. Its first argument may leave one of these out: "deaf", "careless", "forgetful"; "good" none. */

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void forward(int number) {
	kill(child, number);
}

int main(int argc, char **argv) {
	struct sigaction action = {.sa_handler = forward};
	int status;
	pid_t pid;
	if (argc < 3)
		return 2;
	child = fork();
	if (child == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (strcmp(argv[1], "deaf") != 0)
		sigaction(SIGTERM, &action, NULL);
	do
		pid = waitpid(strcmp(argv[1], "careless") == 0 ? child : -1, &status, 0);
	while (pid != child);
	if (strcmp(argv[1], "forgetful") == 0)
		return 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
