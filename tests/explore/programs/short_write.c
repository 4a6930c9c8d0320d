/* write() whose result isn't looked at; with an argument the rest is written too, and fork is tried again. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	const char *text = "abcdefgh";
	int fd = open("/tmp/short_write.out", O_CREAT | O_TRUNC | O_WRONLY, 0600);
	struct stat found;
	(void)argv;
	if (argc > 1) {
		for (int done = 0; done < 8;) {
			int now = write(fd, text + done, 8 - done);
			if (now > 0)
				done += now;
		}
	} else if (write(fd, text, 8) < 0) {
		return 2;
	}
	fstat(fd, &found);
	printf("%d bytes\n", (int)found.st_size);
	return found.st_size == 8 ? 0 : 1;
}
