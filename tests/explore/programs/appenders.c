/* Two processes that append to one file by lseek and write; with an argument, by O_APPEND. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void append(int is_safe, char letter) {
	int fd = open("/tmp/appenders.out", O_CREAT | O_WRONLY | (is_safe ? O_APPEND : 0), 0644);
	if (!is_safe)
		lseek(fd, 0, SEEK_END);
	if (write(fd, &letter, 1) != 1)
		_exit(2);
	close(fd);
}

int main(int argc, char **argv) {
	char found[8];
	(void)argv;
	unlink("/tmp/appenders.out");
	if (fork() == 0) {
		append(argc > 1, 'b');
		_exit(0);
	}
	append(argc > 1, 'a');
	wait(NULL);
	int fd = open("/tmp/appenders.out", O_RDONLY);
	int length = read(fd, found, sizeof found);
	printf("%d\n", length);
	return length == 2 ? 0 : 1;
}
