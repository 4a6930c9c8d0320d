/* Where mmap(2) and mremap(2) put what has no fixed address: at a hint, below the stack, or upwards. */
#include "check.h"

#include <sys/personality.h>
#include <sys/resource.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define GUARD_GAP (1UL << 20)
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static uintptr_t map_at(uintptr_t hint, size_t length, int flags)
{
	void *got = mmap((void *)hint, length, RW, ANONYMOUS | flags, -1, 0);

	return got == MAP_FAILED ? 0 : (uintptr_t)got;
}

TEST(a_hint_is_rounded_down)
{
	CHECK_EQ(map_at(0x51000801, PAGE, 0), 0x51000000);
	CHECK_EQ(map_at(0x52000fff, PAGE, 0), 0x52000000);
	/* What is mapped there already isn't touched, nor is what follows. */
	CHECK(map_at(0x51000000, PAGE, 0) > 0x52001000);
	CHECK(map_at(0x50fff000, 2 * PAGE, 0) > 0x52001000);
}

ROOTS_TEST(a_hint_is_as_high_as_any_mapping_may_be)
{
	CHECK_EQ(map_at(PAGE, PAGE, 0), 0x10000);
	CHECK(map_at(1, PAGE, 0) > 0x20000);
}

TEST(a_hint_counts_in_the_second_gigabyte_too)
{
	CHECK_EQ(map_at(0x50000000, PAGE, MAP_32BIT), 0x50000000);
	CHECK_EQ(map_at(0x20000000, PAGE, MAP_32BIT), 0x20000000);
	CHECK_EQ(map_at(0x7ffff000, PAGE, MAP_32BIT), 0x7ffff000);
}

TEST(the_second_gigabyte_is_filled_upwards)
{
	uintptr_t first = map_at(0, PAGE, MAP_32BIT), second = map_at(0x7ffff000, 2 * PAGE, MAP_32BIT);

	/* Each begins to look at random, within 32 MiB. */
	CHECK(first >= 1UL << 30 && first < (1UL << 30) + (33UL << 20));
	CHECK(second >= 1UL << 30 && second < (1UL << 30) + (33UL << 20));
	CHECK_EQ(map_at(0, 1UL << 30, MAP_32BIT), 0);
	CHECK_EQ(errno, ENOMEM);
}

TEST(below_a_stack_there_is_room_to_grow)
{
	uintptr_t stack = map_at(0, 16 * PAGE, MAP_GROWSDOWN), below;

	CHECK(stack != 0);
	CHECK(map_at(stack - PAGE, PAGE, 0) != stack - PAGE);
	CHECK_EQ(map_at(stack - GUARD_GAP - 8 * PAGE, PAGE, 0), stack - GUARD_GAP - 8 * PAGE);
	below = map_at(0, PAGE, 0);
	CHECK(below + PAGE <= stack - GUARD_GAP || below > stack);
}

TEST(mremap_looks_at_an_address_only_where_it_leaves_the_old_one)
{
	char *memory = mmap(NULL, 2 * PAGE, RW, ANONYMOUS, -1, 0), *moved;
	void *wished = (void *)0x53000000;

	*memory = 'x';
	CHECK(mmap(memory + PAGE, PAGE, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0) == memory + PAGE);
	moved = mremap(memory, PAGE, 4 * PAGE, MREMAP_MAYMOVE, wished);
	CHECK(moved != MAP_FAILED && moved != wished && *moved == 'x');
	memory = mmap(NULL, PAGE, RW, ANONYMOUS, -1, 0);
	*memory = 'y';
	moved = mremap(memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, wished);
	CHECK(moved == wished && *moved == 'y' && *memory == 0);
}

TEST(a_fixed_place_past_the_end_is_no_memory)
{
	CHECK_ERRNO((intptr_t)mmap((void *)0x7fffffff0001, 1 << 20, RW, ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_ERRNO((intptr_t)mmap((void *)0x51000001, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
}

/* Two pages one after the other in a program that was executed with the personality: the difference. */
ROLE(map_twice)
{
	uintptr_t first = map_at(0, PAGE, 0), second;

	mprotect((void *)first, PAGE, PROT_NONE);
	second = map_at(0, PAGE, 0);
	return second == first + PAGE ? 1 : second == first - PAGE ? 2 : 3;
}

static int run_role(const char *role, int persona, rlim_t stack)
{
	struct rlimit limit;
	pid_t child = fork();
	int status;

	if (child == 0) {
		personality((unsigned long)persona);
		getrlimit(RLIMIT_STACK, &limit);
		limit.rlim_cur = stack;
		if (stack && setrlimit(RLIMIT_STACK, &limit) != 0)
			_exit(100);
		setenv("CHECK_ROLE", role, 1);
		execl(check_self, "unmapped_area", (char *)NULL);
		_exit(101);
	}
	waitpid(child, &status, 0);
	return status;
}

TEST(mappings_go_downwards_or_as_they_once_did)
{
	CHECK_EQ(run_role("map_twice", ADDR_NO_RANDOMIZE, 0), EXITED(2));
	CHECK_EQ(run_role("map_twice", ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT, 0), EXITED(1));
}

static int sink;

static void descend(size_t frames)
{
	volatile char frame[1 << 16];

	frame[0] = (char)frames;
	if (frames > 0)
		descend(frames - 1);
	sink += frame[0];
}

/* 192 MiB of stack, touched each 64 KiB. */
ROLE(recurse)
{
	descend(3072);
	return 0;
}

/* Mappings begin so far down that a stack can be as long as its limit. */
TEST(a_stack_is_as_long_as_its_limit)
{
	struct rlimit limit;

	MUST(getrlimit(RLIMIT_STACK, &limit));
	if (limit.rlim_max < 256UL << 20)
		return;
	CHECK_EQ(run_role("recurse", ADDR_NO_RANDOMIZE, 256UL << 20), EXITED(0));
	CHECK_EQ(run_role("recurse", ADDR_NO_RANDOMIZE, 128UL << 20) & 0x7f, SIGSEGV);
}
