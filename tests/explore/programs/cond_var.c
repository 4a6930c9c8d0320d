/* So many producers and consumers of one place wait on one condition variable, and each wakes one of those who wait,
   who may be of the wrong kind: then nobody goes on. With a further argument all are woken. */

#include <pthread.h>
#include <stdlib.h>

enum { MOST = 4 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int filled, wakes_all;

static void *work(void *delta) {
	int change = *(int *)delta;
	pthread_mutex_lock(&lock);
	while (filled + change < 0 || filled + change > 1)
		pthread_cond_wait(&changed, &lock);
	if (wakes_all)
		pthread_cond_broadcast(&changed);
	else
		pthread_cond_signal(&changed);
	filled += change;
	pthread_mutex_unlock(&lock);
	return NULL;
}

int main(int argc, char **argv) {
	static int produce = 1, consume = -1;
	pthread_t threads[2 * MOST];
	int count = argc > 1 ? atoi(argv[1]) : 1;
	wakes_all = argc > 2;
	if (count > MOST)
		return 2;
	for (int i = 0; i < 2 * count; i++)
		if (pthread_create(&threads[i], NULL, work, i < count ? &consume : &produce) != 0)
			return 2;
	for (int i = 0; i < 2 * count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
