/* A process reads a file that it has mapped while its child makes the file longer; with an argument it waits for
   the child first. */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	(void)argv;
	int fd = open("/tmp/explored.page", O_RDWR | O_CREAT | O_TRUNC, 0600);
	volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (fork() == 0)
		_exit(ftruncate(fd, 4096));
	if (argc > 1)
		wait(NULL);
	/* A call, in front of which the child may come. */
	getppid();
	return page[0];
}
