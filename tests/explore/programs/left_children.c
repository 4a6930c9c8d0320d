/* A process that ends without waiting for its children, each of which writes a byte: argv[1] of them, which
   sleep first if there is another argument. */

#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
	int count = argc > 1 ? atoi(argv[1]) : 1;
	/* By itself: the C library's fork makes calls that are of no interest here. */
	for (int i = 0; i < count; i++)
		if (syscall(SYS_fork) == 0) {
			struct timespec second = {1, 0};
			if (argc > 2)
				syscall(SYS_nanosleep, &second, 0);
			syscall(SYS_write, 1, "x", 1);
			syscall(SYS_exit_group, 0);
		}
	syscall(SYS_exit_group, 0);
	return 0;
}
