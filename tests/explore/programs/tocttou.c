/* A mailer checks that a file is no symbolic link, and then writes to it; P - 1 attackers make it one. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	int attackers = (argc > 1 ? atoi(argv[1]) : 2) - 1;
	struct stat found;
	mkdir("/tmp/tocttou", 0755);
	chdir("/tmp/tocttou");
	close(open("secret", O_CREAT | O_WRONLY, 0600));
	close(open("file", O_CREAT | O_WRONLY, 0600));
	for (int i = 0; i < attackers; i++) {
		if (fork() == 0) {
			char name[16];
			sprintf(name, "link%d", i);
			if (symlink("secret", name) == 0)
				rename(name, "file");
			_exit(0);
		}
	}
	if (lstat("file", &found) == 0 && S_ISREG(found.st_mode)) {
		int fd = open("file", O_WRONLY);
		if (write(fd, "mail", 4) != 4)
			return 2;
		stat("secret", &found);
		puts(found.st_size ? "/etc/passwd written" : "file written");
	} else {
		puts("rejected");
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
