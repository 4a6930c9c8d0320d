/* What the tests of going back debug: a pointer is overwritten, and used much later. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int value = 3;
static int *pointer;
static volatile int total;
static char line[100];

static void clobber(int round)
{
	if (round == 7)
		pointer = (int *)8;
	total += round;
}

static void *add(void *argument)
{
	for (int k = 0; k < 100; k++)
		total += k;
	return argument;
}

int main(void)
{
	pthread_t thread;
	pid_t child;

	pointer = &value;
	while (fgets(line, sizeof(line), stdin)) {
		usleep(20000);
		total += atoi(line);
		printf("%d\n", total);
		fflush(stdout);
	}
	pthread_create(&thread, NULL, add, NULL);
	pthread_join(thread, NULL);
	child = fork();
	if (child == 0)
		_exit(3);
	waitpid(child, NULL, 0);
	for (int round = 0; round < 10; round++)
		clobber(round);
	for (int k = 0; k < 30000; k++)
		total ^= k;
	return *pointer;
}
