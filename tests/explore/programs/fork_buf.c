/* fork() N times with an output buffer that each child inherits, as stdio has one. Nobody waits for children, but the
   first process for the end of all, which closes the pipe; with a second argument it stays for ever. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
	char buffer[256] = "";
	int ends[2], length = 0, times = argc > 1 ? atoi(argv[1]) : 1;
	pid_t first = getpid();
	if (pipe(ends) != 0)
		return 2;
	for (int i = 0; i < times; i++) {
		// Without what the C library does around it.
		pid_t pid = syscall(SYS_fork);
		length += sprintf(buffer + length, "%d\n", pid);
	}
	if (write(1, buffer, length) != length)
		return 2;
	if (getpid() != first)
		return 0;
	if (argc > 2)
		pause();
	close(ends[1]);
	return read(ends[0], buffer, 1);
}
