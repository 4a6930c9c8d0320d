/* The shell lab's race: a child may end, and its handler delete the job, before the job has been added. With an
   argument SIGCHLD is blocked from before the fork until the job is there. */

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t jobs[4];
static volatile int has_ended;

static void add_job(pid_t pid) {
	for (int i = 0; i < 4; i++)
		if (!jobs[i]) {
			jobs[i] = pid;
			return;
		}
}

static void delete_job(pid_t pid) {
	for (int i = 0; i < 4; i++)
		if (jobs[i] == pid)
			jobs[i] = 0;
}

static void reap(int signal) {
	pid_t pid;
	(void)signal;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		delete_job(pid);
		has_ended = 1;
	}
}

int main(int argc, char **argv) {
	sigset_t child, old;
	(void)argv;
	signal(SIGCHLD, reap);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (argc > 1)
		sigprocmask(SIG_BLOCK, &child, &old);
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	add_job(pid);
	if (argc > 1)
		sigprocmask(SIG_SETMASK, &old, NULL);
	sigprocmask(SIG_BLOCK, &child, &old);
	while (!has_ended)
		sigsuspend(&old);
	for (int i = 0; i < 4; i++)
		if (jobs[i]) {
			puts("a job is left that has ended");
			return 1;
		}
	puts("no job is left");
	return 0;
}
