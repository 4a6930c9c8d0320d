/* A lock file made by a test and then by creating it; with an argument by O_EXCL alone. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK "/tmp/explored.lock"

static int try_lock(int is_safe) {
	if (is_safe)
		return open(LOCK, O_CREAT | O_EXCL | O_WRONLY, 0600) >= 0;
	if (access(LOCK, F_OK) == 0)
		return 0;
	return open(LOCK, O_CREAT | O_WRONLY, 0600) >= 0;
}

int main(int argc, char **argv) {
	int status, holders = 0;
	(void)argv;
	unlink(LOCK);
	for (int i = 0; i < 2; i++)
		if (fork() == 0)
			_exit(try_lock(argc > 1));
	for (int i = 0; i < 2; i++) {
		wait(&status);
		holders += WEXITSTATUS(status);
	}
	printf("%d hold the lock\n", holders);
	return holders == 1 ? 0 : 1;
}
