/* Crashes in a known place, three calls deep, with one thread asleep and one at work. */
#include <pthread.h>
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

int main(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, sleeping_thread, NULL);
	pthread_create(&thread, NULL, working_thread, NULL);
	while (at_work < 1000)
		continue;
	return first((int *)16, 40);
}
