/* A child reads a pipe that its parent has put a page into by reference, and ends with what is there by then. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
	int ends[2], status;
	volatile char *page =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec part = {(void *)page, 1};
	char byte;

	if (page == MAP_FAILED || pipe(ends) != 0)
		return 2;
	if (fork() == 0)
		_exit(read(ends[0], &byte, 1) == 1 ? byte : 2);
	page[0] = 0;
	if (vmsplice(ends[1], &part, 1, 0) != 1)
		return 2;
	page[0] = 1;
	return wait(&status) < 0;
}
