/* A handler of SIGCHLD prints with puts(3), as the program that it interrupts does; with "safe" as its argument it
 * calls write(2). */

#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_safe;

static void handle(int signo) {
	(void)signo;
	if (!is_safe)
		puts("a child has ended");
	else if (write(1, "ended\n", 6) < 0)
		_exit(2);
}

int main(int argc, char **argv) {
	(void)argv;
	is_safe = argc > 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGCHLD, handle);
	if (!syscall(SYS_fork))
		_exit(0);
	puts("working");
	while (waitpid(-1, NULL, 0) < 0) {
	}
	return 0;
}
