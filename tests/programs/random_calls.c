/* System calls at random, by several processes at once: random_calls SEED CHILDREN CALLS [NUMBER...]
 *
 * Arguments are descriptors of all kinds, addresses in an arena that holds more of the same, paths, and
 * numbers near the borders. Without NUMBERs all calls are made, but for those that end or suspend a process
 * for good. Prints how many children it has waited for.
 */
#define _GNU_SOURCE
#include "every_descriptor.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA ((unsigned char *)0x10000000)
#define ARENA_SIZE 0x10000
#define NUMBERS_SIZE 0x8000
#define LAST_CALL 470
#define DESCRIPTORS 32

static const char *const paths[] = {
	"/tmp/a", "/tmp/b", "/tmp/d", "/tmp/d/e", "/", "/proc/self/mem", "/proc/self/fd/3", "/dev/ptmx", "/dev/null",
	"/dev/zero", "/dev/tty", "", "/tmp/fifo", "/proc/self/status", "/dev/shm/x", "/tmp/link", ".", "/queue",
	"/proc/sys/kernel/pid_max", "/proc/self/exe", "/bin/true", "user.name", "lo",
};
static uint64_t state;
static uint64_t last_result;

static uint64_t chance(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return ((state * 0x2545F4914F6CDD1DULL) >> 20) % below;
}

static uint64_t argument(void)
{
	char *place;

	switch (chance(16)) {
	case 0:
		return 0;
	case 1:
		return chance(8);
	case 2:
		return chance(64);
	case 3:
		return 1ULL << chance(64);
	case 4:
		return (uint64_t)-1;
	case 5:
	case 6:
		return chance(DESCRIPTORS);
	case 7:
		return chance(2) ? last_result : -chance(200);
	case 8:
	case 9:
	case 10:
		return (uint64_t)ARENA + (chance(NUMBERS_SIZE) & (chance(2) ? ~7ULL : ~0ULL));
	case 11:
		place = (char *)ARENA + NUMBERS_SIZE + chance(0x1000);
		strcpy(place, paths[chance(sizeof(paths) / sizeof(*paths))]);
		return (uint64_t)place;
	case 12:
		return chance(4096);
	case 13:
		return (uint64_t)ARENA + (chance(20) << 12);
	case 14:
		return chance(0x10000) << chance(32);
	default:
		return chance(1ULL << 44) << chance(21);
	}
}

/* What addresses point to: lengths, descriptors, addresses and flags, as words and as halves of them. */
static void fill_arena(void)
{
	mmap(ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (int count = 0; count < 200; count++) {
		uint64_t *word = (uint64_t *)(ARENA + chance(chance(2) ? 0x200 : NUMBERS_SIZE) / 8 * 8);

		*word = chance(2) ? argument() : (argument() & 0xffffffff) | argument() << 32;
	}
}

static int is_left_out(long number)
{
	return number == SYS_exit || number == SYS_exit_group || number == SYS_rt_sigreturn || number == SYS_vfork;
}

static void make_calls(long count, char **numbers, uint64_t number_count)
{
	pid_t self = getpid();

	open_everything();
	for (long index = 0; index < count; index++) {
		long number = number_count ? atol(numbers[chance(number_count)]) : (long)chance(LAST_CALL);
		uint64_t first = chance(3) ? argument() : chance(DESCRIPTORS);

		if (is_left_out(number))
			continue;
		if (index % 32 == 0) {
			fill_arena();
			alarm(2);
		}
		if (number == SYS_clone)
			first &= ~(uint64_t)(0x4000 | 0x100);
		last_result = (uint64_t)syscall(number, first, argument(), argument(), argument(), argument(), argument());
		if (getpid() != self) {
			if (chance(2))
				_exit(0);
			self = getpid();
			count -= count / 2;
		}
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t seed = strtoull(argv[1], NULL, 10);
	int reaped = 0, children = atoi(argv[2]);

	for (int child = 0; child < children; child++) {
		if (fork() == 0) {
			state = seed * 1000003 + (uint64_t)child * 7919 + 1;
			for (int round = 0; round < 16; round++)
				chance(2);
			make_calls(atol(argv[3]), argv + 4, (uint64_t)argc - 4);
		}
	}
	while (wait(NULL) > 0)
		reaped++;
	printf("%d\n", reaped);
	return 0;
}
