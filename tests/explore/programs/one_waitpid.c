/* A handler that waits once for each SIGCHLD, of which two may be one; with an argument it waits for all. */

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int reaped;
static int is_safe;

static void reap(int signal) {
	(void)signal;
	do {
		if (waitpid(-1, NULL, WNOHANG) <= 0)
			break;
		reaped++;
	} while (is_safe);
}

int main(int argc, char **argv) {
	sigset_t child, old;
	(void)argv;
	is_safe = argc > 1;
	signal(SIGCHLD, reap);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &old);
	for (int i = 0; i < 2; i++)
		if (fork() == 0)
			_exit(0);
	while (reaped < 2)
		sigsuspend(&old);
	puts("both are reaped");
	return 0;
}
