/* Crashes in a known place, three calls deep, with one thread asleep and one at work. usage: [thread|abort] */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int at_work;

static void *sleeping_thread(void *argument)
{
	for (;;)
		pause();
	return argument;
}

static void *working_thread(void *argument)
{
	for (;;)
		at_work++;
	return argument;
}

static int __attribute__((noinline)) third(int *where, int value)
{
	__asm__ volatile("mov $0x5eed, %%r12d" ::: "r12");
	*where = value;
	return value;
}

static int __attribute__((noinline)) second(int *where, int value)
{
	return third(where, value + 1) + 1;
}

static int __attribute__((noinline)) first(int *where, int value)
{
	return second(where, value + 1) + 1;
}

static void *crashing_thread(void *argument)
{
	first((int *)16, 40);
	return argument;
}

static void __attribute__((noinline)) give_up(int why)
{
	if (why == 7)
		abort();
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "";
	pthread_t thread;

	pthread_create(&thread, NULL, sleeping_thread, NULL);
	pthread_create(&thread, NULL, working_thread, NULL);
	while (at_work < 1000)
		continue;
	if (strcmp(way, "thread") == 0) {
		pthread_create(&thread, NULL, crashing_thread, NULL);
		pthread_join(thread, NULL);
	}
	if (strcmp(way, "abort") == 0)
		give_up(7);
	return first((int *)16, 40);
}
