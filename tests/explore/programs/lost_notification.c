/* Two helper threads wait on one condition variable, each for a task of its own. Whoever adds a task tells of it only
   if there was none waiting: the second, added before the first is taken, nobody is told of, and a helper waits for
   ever. With an argument it's told of each. */

#include <pthread.h>

enum { HELPERS = 2 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_added = PTHREAD_COND_INITIALIZER;
static int waiting_tasks;

static void *help(void *nothing) {
	pthread_mutex_lock(&lock);
	while (waiting_tasks == 0)
		pthread_cond_wait(&is_added, &lock);
	waiting_tasks--;
	pthread_mutex_unlock(&lock);
	return nothing;
}

int main(int argc, char **argv) {
	pthread_t helpers[HELPERS];
	(void)argv;
	for (int i = 0; i < HELPERS; i++)
		if (pthread_create(&helpers[i], NULL, help, NULL) != 0)
			return 2;
	for (int i = 0; i < HELPERS; i++) {
		pthread_mutex_lock(&lock);
		if (waiting_tasks++ == 0 || argc > 1)
			pthread_cond_signal(&is_added);
		pthread_mutex_unlock(&lock);
	}
	for (int i = 0; i < HELPERS; i++)
		pthread_join(helpers[i], NULL);
	return 0;
}
