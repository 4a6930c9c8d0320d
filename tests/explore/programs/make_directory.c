/* mkdir -p by stat and mkdir, by two at once; with an argument EEXIST is no failure. */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY "/tmp/explored.directory"

static int make(int is_safe) {
	struct stat found;
	if (stat(DIRECTORY, &found) == 0)
		return 0;
	if (mkdir(DIRECTORY, 0755) == 0)
		return 0;
	return is_safe && errno == EEXIST ? 0 : 1;
}

int main(int argc, char **argv) {
	int status, failed = 0;
	(void)argv;
	rmdir(DIRECTORY);
	for (int i = 0; i < 2; i++)
		if (fork() == 0)
			_exit(make(argc > 1));
	for (int i = 0; i < 2; i++) {
		wait(&status);
		failed += WEXITSTATUS(status);
	}
	printf("%d failed\n", failed);
	return failed;
}
