/* fork() while another thread is in an allocator of one's own, which has a lock: the child may find it taken for
   ever. With an argument handlers of pthread_atfork take and release it. */

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void allocate(void) {
	pthread_mutex_lock(&lock);
	getppid();
	pthread_mutex_unlock(&lock);
}

static void take(void) {
	pthread_mutex_lock(&lock);
}

static void release(void) {
	pthread_mutex_unlock(&lock);
}

static void *run(void *nothing) {
	allocate();
	return nothing;
}

int main(int argc, char **argv) {
	pthread_t thread;
	(void)argv;
	if (argc > 1)
		pthread_atfork(take, release, release);
	pthread_create(&thread, NULL, run, NULL);
	pid_t child = fork();
	if (child == 0) {
		allocate();
		_exit(0);
	}
	waitpid(child, NULL, 0);
	pthread_join(thread, NULL);
	puts("all have allocated");
	return 0;
}
