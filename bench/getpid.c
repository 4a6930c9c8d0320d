/* The cheapest system call, COUNT times. */
#include "bench.h"

int main(int argc, char **argv)
{
	for (long left = count_of(argc, argv); left > 0; left--)
		syscall(SYS_getpid);
	return 0;
}
