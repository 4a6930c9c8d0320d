/* pause() after a look at a flag that a handler sets: the signal may come between. With an argument, sigsuspend. */

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t is_set;

static void set(int signal) {
	(void)signal;
	is_set = 1;
}

int main(int argc, char **argv) {
	sigset_t user, old;
	(void)argv;
	signal(SIGUSR1, set);
	sigemptyset(&user);
	sigaddset(&user, SIGUSR1);
	if (argc > 1)
		sigprocmask(SIG_BLOCK, &user, &old);
	if (fork() == 0) {
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	while (!is_set) {
		if (argc > 1)
			sigsuspend(&old);
		else
			pause();
	}
	wait(NULL);
	puts("it has come");
	return 0;
}
