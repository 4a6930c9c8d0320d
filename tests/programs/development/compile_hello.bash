cat >hello.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	for (int at = 1; at < argc; at++) {
		pid_t child = fork();
		int status;

		if (child == 0)
			_exit(atoi(argv[at]));
		waitpid(child, &status, 0);
		printf("child %d of %d exited with %d\n", at, argc - 1, WEXITSTATUS(status));
	}
	return argc;
}
END
gcc -O2 -Wall -o hello hello.c && ./hello 3 0 255
echo "status $?"
gcc -pipe -static -O0 -g -o hello-static hello.c && ./hello-static 7
echo "status $?"
gcc -save-temps -c hello.c && ls hello.[a-z]
gcc -c broken.c 2>/dev/null || echo "status $?"
echo 'int missing(void); int main(void) { return missing(); }' >undefined.c
gcc -o undefined undefined.c 2>&1 | grep -o 'undefined reference.*'
gcc -E -dM - </dev/null | grep -c __x86_64__
