/* Reads files through mappings that are larger than memory, beside others that do, and checks every word.
 *
 * Each word of FILE holds its own offset. Private and shared mappings are read in several orders by several
 * processes, some of their pages are written, some are locked, and all must hold what was put there.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

static size_t size;
static int failures;

static void expect(int is_true, const char *what, size_t at)
{
	if (!is_true) {
		printf("%s at page %zu\n", what, at);
		failures++;
	}
}

static uint64_t *map(const char *path, int protection, int flags)
{
	int fd = open(path, protection & PROT_WRITE && flags & MAP_SHARED ? O_RDWR : O_RDONLY);
	struct stat status;
	void *memory;

	if (fd == -1 || fstat(fd, &status) == -1)
		exit(2);
	size = (size_t)status.st_size;
	memory = mmap(NULL, size, protection, flags, fd, 0);
	if (memory == MAP_FAILED)
		exit(3);
	close(fd);
	return memory;
}

static uint64_t *page_of(uint64_t *memory, size_t page)
{
	return memory + page * (PAGE / 8);
}

/* Reads all pages, `step` apart, beginning anew at the next one when the end is reached. */
static void read_all(uint64_t *memory, size_t step, const char *what)
{
	size_t pages = size / PAGE;

	for (size_t first = 0; first < step; first++)
		for (size_t page = first; page < pages; page += step)
			expect(page_of(memory, page)[page % 512] == page * PAGE + page % 512 * 8, what, page);
}

static void write_some(uint64_t *memory, size_t step)
{
	for (size_t page = 0; page < size / PAGE; page += step)
		page_of(memory, page)[1] = ~(uint64_t)page;
}

static void expect_written(uint64_t *memory, size_t step, const char *what)
{
	for (size_t page = 0; page < size / PAGE; page += step)
		expect(page_of(memory, page)[1] == ~(uint64_t)page, what, page);
}

int main(int argc, char **argv)
{
	uint64_t *private, *shared, *other;
	unsigned char present[8];
	struct rusage usage;

	if (argc != 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	private = map(argv[1], PROT_READ, MAP_PRIVATE);
	shared = map(argv[1], PROT_READ | PROT_WRITE, MAP_SHARED);
	if (mprotect(page_of(private, 64), 512 * PAGE, PROT_READ | PROT_WRITE) == -1 || mlock(shared, 8 * PAGE) == -1)
		return 4;
	for (size_t page = 64; page < 576; page += 3)
		page_of(private, page)[1] = ~(uint64_t)page;
	write_some(shared, 100);
	for (int child = 0; child < 3; child++) {
		if (fork() == 0) {
			read_all(child == 1 ? shared : private, child == 2 ? 7 : 1, "a child read something else");
			for (size_t page = 64; page < 576; page += 3)
				expect(page_of(private, page)[1] == ~(uint64_t)page, "a child lost a private write", page);
			expect_written(shared, 100, "a child lost a shared write");
			_exit(failures != 0);
		}
	}
	read_all(private, 1, "read something else");
	read_all(shared, 13, "read something else through the shared mapping");
	expect(mincore(shared, 8 * PAGE, present) == 0, "mincore", 0);
	for (size_t page = 0; page < 8; page++)
		expect(present[page] & 1, "a locked page went", page);
	for (int child = 0; child < 3; child++) {
		int status;

		expect(wait(&status) > 0 && status == 0, "a child failed", 0);
	}
	for (size_t page = 64; page < 576; page += 3)
		expect(page_of(private, page)[1] == ~(uint64_t)page, "a private write was lost", page);
	expect_written(shared, 100, "a shared write was lost");
	/* What is mapped anew, or read, is the same; and rights that come and go change nothing. */
	other = map(argv[1], PROT_READ, MAP_SHARED);
	expect_written(other, 100, "another mapping doesn't see a write");
	if (mprotect(shared, size, PROT_READ) == -1 || mprotect(shared, size, PROT_READ | PROT_WRITE) == -1)
		return 5;
	for (size_t page = 50; page < size / PAGE; page += 100)
		page_of(shared, page)[1] = ~(uint64_t)page;
	read_all(other, 1, "read something else at last");
	for (size_t page = 50; page < size / PAGE; page += 100)
		expect(page_of(other, page)[1] == ~(uint64_t)page, "a write after mprotect was lost", page);
	getrusage(RUSAGE_SELF, &usage);
	printf("%d failures, major faults: %s\n", failures, usage.ru_majflt > 100 ? "many" : "few");
	return failures != 0;
}
