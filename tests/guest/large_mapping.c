/* Large mappings and files with little in them: what a call costs follows from what is there, not from lengths. */
#include "core_file.h"

#include <sys/resource.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)

static char *map_large(size_t length, int flags, int fd)
{
	char *memory = mmap(NULL, length, RW, flags | MAP_NORESERVE, fd, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	return memory;
}

/* The number in kB on the line of /proc/self/FILE that begins with `name`, in the area that begins at `start`. */
static long kilobytes(const char *path, const char *name, const void *start)
{
	static char line[300];
	unsigned long first, end;
	int is_wanted = start == NULL;
	long number = -1;
	FILE *file = fopen(path, "re");

	MUST(file == NULL ? -1 : 0);
	while (number == -1 && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%lx-%lx ", &first, &end) == 2)
			is_wanted = start == NULL || first == (uintptr_t)start;
		else if (is_wanted && strncmp(line, name, strlen(name)) == 0)
			number = atol(line + strlen(name));
	}
	fclose(file);
	return number;
}

TEST(resident_pages_of_large_areas_are_counted)
{
	size_t length = (size_t)1 << 45;
	char *private = map_large(length, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *shared = map_large(length, MAP_SHARED | MAP_ANONYMOUS, -1);
	long before = kilobytes("/proc/self/status", "RssAnon:", NULL);
	int fd;

	for (int part = 0; part < 4; part++)
		private[part * (length / 4)] = shared[part * (length / 4)] = 1;
	CHECK(kilobytes("/proc/self/status", "RssAnon:", NULL) >= before + 16);
	CHECK_EQ(kilobytes("/proc/self/smaps", "Rss:", private), 16);
	CHECK_EQ(kilobytes("/proc/self/smaps", "Rss:", shared), 16);
	CHECK_EQ(kilobytes("/proc/self/smaps", "Size:", private), (long)(length >> 10));
	fd = (int)MUST(open("/proc/self/clear_refs", O_WRONLY));
	CHECK_EQ(write(fd, "1", 1), 1);
	close(fd);
	CHECK_EQ(kilobytes("/proc/self/smaps", "Referenced:", private), 0);
	MUST(munmap(private, length));
	MUST(munmap(shared, length));
}

TEST(mincore_tells_of_each_page)
{
	size_t length = (size_t)1 << 36, count = length / PAGE, found = 0;
	int fd = (int)MUST(memfd_create("large", 0));
	unsigned char *told = (unsigned char *)map_large(count, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *private = map_large(length, MAP_PRIVATE | MAP_ANONYMOUS, -1), *shared;

	MUST(ftruncate(fd, (off_t)1 << 62));
	shared = map_large(length, MAP_SHARED, fd);
	private[5 * PAGE] = private[length - 1] = 1;
	CHECK_EQ(mincore(private, length, told), 0);
	for (size_t page = 0; page < count; page++)
		found += told[page] & 1;
	CHECK_EQ(found, 2);
	CHECK_EQ(told[5] & 1, 1);
	CHECK_EQ(told[count - 1] & 1, 1);
	/* What the file has counts, mapped or not. */
	MUST(pwrite(fd, "x", 1, 7 * PAGE));
	shared[9 * PAGE] = 1;
	found = 0;
	CHECK_EQ(mincore(shared + PAGE, length - PAGE, told), 0);
	for (size_t page = 0; page < count - 1; page++)
		found += told[page] & 1;
	CHECK_EQ(found, 2);
	CHECK_EQ(told[6] & 1, 1);
	CHECK_EQ(told[8] & 1, 1);
	MUST(munmap(private, length));
	MUST(munmap(shared, length));
	MUST(munmap(told, count));
	close(fd);
}

/* Whether cores go to files called core in the current directory. */
static int is_usual(void)
{
	char value[200] = "";
	int fd = (int)MUST(open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC));

	MUST(read(fd, value, sizeof(value) - 1));
	MUST(close(fd));
	return strcmp(value, "core\n") == 0;
}

TEST(a_core_of_a_large_area_has_holes)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	size_t length = (size_t)1 << 34;
	struct stat file = {0};
	int status, has_core;
	pid_t child;

	enter_scratch();
	MUST(setrlimit(RLIMIT_CORE, &limit));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		char *memory = map_large(length, MAP_PRIVATE | MAP_ANONYMOUS, -1);

		memory[3 * PAGE] = memory[length / 2] = 'c';
		abort();
	}
	status = wait_for(child);
	CHECK_EQ(WTERMSIG(status), SIGABRT);
	has_core = stat("core", &file) == 0;
	if (is_usual()) {
		CHECK(WCOREDUMP(status) && has_core);
		CHECK((size_t)file.st_size > length);
		CHECK(file.st_blocks * 512 < 16 << 20);
	}
	if (has_core)
		unlink("core");
}

TEST(a_file_that_is_mapped_in_many_areas_is_synced_once)
{
	size_t count = 3000;
	int fd, all = 1;
	char *start = map_large(2 * count * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	enter_scratch();
	fd = (int)MUST(open("file", O_CREAT | O_RDWR, 0600));
	MUST(ftruncate(fd, (off_t)(count * PAGE)));
	for (size_t page = 0; page < count; page++) {
		char *memory = mmap(start + 2 * page * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, (off_t)(page * PAGE));

		MUST(memory == MAP_FAILED ? -1 : 0);
		memory[0] = 's';
		all &= memory[0] == 's';
	}
	CHECK(all);
	CHECK_EQ(msync(start, 2 * count * PAGE, MS_SYNC), 0);
	start[0] = 't';
	CHECK_EQ(start[0], 't');
	MUST(munmap(start, 2 * count * PAGE));
	close(fd);
}

static int begins_with_a_huge_page(const void *memory)
{
	return memory != MAP_FAILED && ((uintptr_t)memory & ((2UL << 20) - 1)) == 0;
}

TEST(whole_huge_pages_begin_where_one_could)
{
	size_t huge = 2UL << 20;
	char *page, *first, *second, *taken;

	/* Whatever was where the next mapping would go. */
	for (int i = 0; i < 3; i++) {
		page = map_large(PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		first = map_large(huge, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		second = map_large(2 * huge, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		CHECK(begins_with_a_huge_page(first));
		CHECK(begins_with_a_huge_page(second));
	}
	CHECK(begins_with_a_huge_page(mremap(page, PAGE, 4 * huge, MREMAP_MAYMOVE)));
	CHECK(begins_with_a_huge_page(mmap(NULL, huge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)));
	/* A place that was asked for and that is free is taken as it is. */
	MUST(munmap(second, 2 * huge));
	taken = mmap(second + PAGE, huge, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(taken == second + PAGE);
}

TEST(pages_that_no_large_folio_could_hold_come_one_by_one)
{
	char *memory = map_large(64 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *two = (char *)(((uintptr_t)memory + 16 * PAGE - 1) & ~(16 * PAGE - 1));

	MUST(mprotect(two, PAGE, PROT_READ));
	MUST(mprotect(two + 3 * PAGE, PAGE, PROT_READ));
	MUST(mlock2(two + PAGE, 2 * PAGE, MLOCK_ONFAULT));
	two[PAGE] = 1;
	CHECK_EQ(kilobytes("/proc/self/smaps", "Rss:", two + PAGE), 4);
	two[2 * PAGE] = 1;
	CHECK_EQ(kilobytes("/proc/self/smaps", "Rss:", two + PAGE), 8);
}
