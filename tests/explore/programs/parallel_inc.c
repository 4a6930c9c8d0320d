/* T threads that add 1 to a sum N times each, by loading, giving way and storing. */

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int sum;
static int times;

static void *worker(void *nothing) {
	for (int i = 0; i < times; i++) {
		int before = sum;
		sched_yield();
		sum = before + 1;
	}
	return nothing;
}

int main(int argc, char **argv) {
	pthread_t threads[4];
	int count = argc > 2 ? atoi(argv[2]) : 2;
	times = argc > 1 ? atoi(argv[1]) : 1;
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, worker, NULL);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%d\n", sum);
	return 0;
}
