/* Large objects with little in them, for programs that make system calls at random. */
#ifndef LARGE_OBJECTS_H
#define LARGE_OBJECTS_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define LARGE_SIZE (1ULL << 44)
#define LARGE_COUNT 4
#define SPARSE_SIZE (1LL << 62)

static const uint64_t LARGE_STARTS[LARGE_COUNT] = {1ULL << 44, 2ULL << 44, 3ULL << 44, 4ULL << 44};
static int large_memory = -1, large_file = -1;

/* Private memory, shared memory, a memory file's and a file's, with some pages each. */
static void map_large_objects(void)
{
	const int files[LARGE_COUNT] = {-1, -1, large_memory, large_file};
	const int flags[LARGE_COUNT] = {MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS, MAP_SHARED, MAP_PRIVATE};

	for (int i = 0; i < LARGE_COUNT; i++) {
		char *start = mmap((void *)LARGE_STARTS[i], LARGE_SIZE, PROT_READ | PROT_WRITE,
				   flags[i] | MAP_FIXED | MAP_NORESERVE, files[i], 0);

		for (uint64_t page = 0; start != MAP_FAILED && page < 4; page++)
			start[page * (LARGE_SIZE / 4)] = 1;
	}
}

static void open_sparse(int fd)
{
	if (ftruncate(fd, SPARSE_SIZE))
		return;
	for (int bit = 12; bit < 62; bit += 10) {
		if (pwrite(fd, "x", 1, 1LL << bit) != 1)
			return;
	}
}

static void open_large_objects(void)
{
	struct itimerspec often = {{0, 1}, {0, 1}};

	large_memory = memfd_create("large", MFD_ALLOW_SEALING);
	open_sparse(large_memory);
	large_file = open("/tmp/sparse", O_RDWR | O_CREAT, 0666);
	open_sparse(large_file);
	open_sparse(open("/dev/shm/sparse", O_RDWR | O_CREAT, 0666));
	timerfd_settime(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), 0, &often, NULL);
	open("/proc/self/mem", O_RDWR);
	open("/proc/self/pagemap", O_RDWR);
	open("/dev/zero", O_RDWR);
	map_large_objects();
}

#endif
