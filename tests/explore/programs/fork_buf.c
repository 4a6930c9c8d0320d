/* fork() N times with an output buffer that each child inherits, as stdio has one. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	char buffer[256] = "";
	int length = 0, times = argc > 1 ? atoi(argv[1]) : 1;
	for (int i = 0; i < times; i++) {
		pid_t pid = fork();
		length += sprintf(buffer + length, "%d\n", pid);
	}
	if (write(1, buffer, length) != length)
		return 2;
	while (wait(NULL) > 0)
		;
	return 0;
}
