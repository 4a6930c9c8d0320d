/* A pool whose worker may be killed while it holds a mutex that processes share: the other waits for ever. With an
   argument the mutex is robust. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t *mutex;

static void work(void) {
	if (pthread_mutex_lock(mutex) == EOWNERDEAD)
		pthread_mutex_consistent(mutex);
	getppid();
	pthread_mutex_unlock(mutex);
	_exit(0);
}

int main(int argc, char **argv) {
	pthread_mutexattr_t attributes;
	(void)argv;
	mutex = mmap(NULL, sizeof *mutex, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (argc > 1)
		pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attributes);
	pid_t first = fork();
	if (first == 0)
		work();
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	pid_t second = fork();
	if (second == 0)
		work();
	waitpid(second, NULL, 0);
	puts("the work is done");
	return 0;
}
