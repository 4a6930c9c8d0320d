/* What gdb's tests debug: functions, a signal, a thread, a fork and an exec. With an argument it runs for ever. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int watched, counter;

__attribute__((noinline)) int add(int left, int right)
{
	counter += left;
	return left + right;
}

__attribute__((noinline)) void work_of_child(void)
{
	watched = 5;
}

static void *thread_body(void *argument)
{
	add(1, *(int *)argument);
	return NULL;
}

static void handle(int signal)
{
	watched = signal;
}

int main(int argc, char **argv)
{
	int number = 3, status;
	pthread_t thread;
	pid_t child;

	(void)argv;
	signal(SIGUSR1, handle);
	while (argc > 1) {
		usleep(1000);
		add(1, 1);
	}
	add(1, 2);
	watched = 1;
	raise(SIGUSR1);
	pthread_create(&thread, NULL, thread_body, &number);
	pthread_join(thread, NULL);
	child = fork();
	if (child == 0) {
		work_of_child();
		execl("/bin/true", "true", NULL);
		_exit(9);
	}
	waitpid(child, &status, 0);
	printf("done %d\n", watched);
	return 0;
}
