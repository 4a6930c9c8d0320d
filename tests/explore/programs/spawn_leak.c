/* posix_spawn() beside a thread that opens a file and sets close-on-exec afterwards; with an argument by O_CLOEXEC. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_safe;

static void *run(void *nothing) {
	int fd = open("/", O_RDONLY | (is_safe ? O_CLOEXEC : 0));
	if (!is_safe)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return nothing;
}

int main(int argc, char **argv) {
	pthread_t thread;
	pid_t pid;
	char *spawned[] = {argv[0], "spawned", "it", NULL};
	char *nothing[] = {NULL};
	if (argc > 2)
		return 0;
	is_safe = argc > 1;
	pthread_create(&thread, NULL, run, NULL);
	if (posix_spawn(&pid, argv[0], NULL, NULL, spawned, nothing) != 0)
		return 2;
	waitpid(pid, NULL, 0);
	pthread_join(thread, NULL);
	return 0;
}
