/* What the tests of watchpoints debug: a variable that is read and written in several ways. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile int watched = 5;
static char text[16] = "some text";
int other;

static void only_read(void)
{
	other = watched;
}

static void write_the_same(void)
{
	watched = 5;
}

static void change(void)
{
	watched++;
}

static void change_at_once(void)
{
	__atomic_fetch_add(&watched, 2, __ATOMIC_SEQ_CST);
}

int main(void)
{
	struct timespec now;

	only_read();
	write_the_same();
	change();
	change_at_once();
	memcpy(text + 8, text, 4);
	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%d %s %lld.%09ld\n", watched, text, (long long)now.tv_sec, now.tv_nsec);
	return 0;
}
