/* By how many page frames are mapped, what they are, and the files of a process that tell little. */
#include "fault.h"

#include <linux/kernel-page-flags.h>
#include <sys/fsuid.h>

#define FRAME_BITS ((1UL << 55) - 1)
#define FLAG(number) (1UL << (number))

/* The frame that holds the page at `address`. */
static uint64_t frame_of(const void *address)
{
	int file = (int)MUST(open("/proc/self/pagemap", O_RDONLY));
	uint64_t entry;

	MUST(pread(file, &entry, sizeof entry, (off_t)((uintptr_t)address / PAGE * 8)));
	MUST(close(file));
	return entry & FRAME_BITS;
}

static uint64_t told_of(const char *path, uint64_t frame)
{
	int file = (int)MUST(open(path, O_RDONLY));
	uint64_t entry;

	CHECK_EQ(pread(file, &entry, sizeof entry, (off_t)(frame * 8)), 8);
	MUST(close(file));
	return entry;
}

static uint64_t count_of(const void *address)
{
	return told_of("/proc/kpagecount", frame_of(address));
}

static uint64_t flags_of(const void *address)
{
	return told_of("/proc/kpageflags", frame_of(address));
}

static char *own_pages(int count)
{
	char *memory = map_pages(count);

	MUST(madvise(memory, (size_t)count * PAGE, MADV_NOHUGEPAGE));
	return memory;
}

TEST(who_maps_a_page_of_its_own)
{
	char *memory = own_pages(2);
	uint64_t flags;
	int before[2], after[2];
	char byte;
	pid_t child;

	memory[0] = 1;
	MUST(pipe(before));
	MUST(pipe(after));
	CHECK_EQ(count_of(memory), 1);
	flags = flags_of(memory);
	CHECK_EQ(flags & FLAG(KPF_MMAP), FLAG(KPF_MMAP));
	CHECK_EQ(flags & FLAG(KPF_ANON), FLAG(KPF_ANON));
	CHECK_EQ(flags & FLAG(KPF_SWAPBACKED), FLAG(KPF_SWAPBACKED));
	CHECK_EQ(flags & FLAG(KPF_UPTODATE), FLAG(KPF_UPTODATE));
	CHECK_EQ(flags & (FLAG(KPF_BUDDY) | FLAG(KPF_SLAB) | FLAG(KPF_PGTABLE) | FLAG(KPF_NOPAGE)), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		read(before[0], &byte, 1);
		memory[0] = 2;
		CHECK_EQ(count_of(memory), 1);
		write(after[1], "x", 1);
		pause();
	}
	CHECK_EQ(count_of(memory), 2);
	MUST(write(before[1], "x", 1));
	MUST(read(after[0], &byte, 1));
	CHECK_EQ(count_of(memory), 1);
	MUST(kill(child, SIGKILL));
	MUST(waitpid(child, NULL, 0));
	MUST(mlock(memory, PAGE));
	CHECK_EQ(flags_of(memory) & FLAG(KPF_ANON), FLAG(KPF_ANON));
}

TEST(who_maps_a_page_of_a_file)
{
	int file = (int)MUST(memfd_create("pages", 0));
	char *first, *second, *copy;
	uint64_t flags;

	MUST(ftruncate(file, PAGE));
	first = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	second = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
	copy = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	first[0] = 'a';
	CHECK_EQ(count_of(first), 1);
	CHECK_EQ(second[0], 'a');
	CHECK_EQ(frame_of(first), frame_of(second));
	CHECK_EQ(count_of(first), 2);
	CHECK_EQ(copy[0], 'a');
	CHECK_EQ(count_of(first), 3);
	flags = flags_of(first);
	CHECK_EQ(flags & FLAG(KPF_MMAP), FLAG(KPF_MMAP));
	CHECK_EQ(flags & FLAG(KPF_ANON), 0);
	CHECK_EQ(flags & FLAG(KPF_SWAPBACKED), FLAG(KPF_SWAPBACKED));
	copy[0] = 'b';
	CHECK_EQ(count_of(first), 2);
	CHECK_EQ(count_of(copy), 1);
	CHECK_EQ(flags_of(copy) & FLAG(KPF_ANON), FLAG(KPF_ANON));
	MUST(munmap(second, PAGE));
	CHECK_EQ(count_of(first), 1);
}

static void check_whole_entries(const char *path)
{
	int file = (int)MUST(open(path, O_RDONLY));
	uint64_t entries[2];

	CHECK_ERRNO(pread(file, entries, 7, 8), EINVAL);
	CHECK_ERRNO(pread(file, entries, 8, 4), EINVAL);
	CHECK_EQ(pread(file, entries, 16, 8), 16);
	CHECK_EQ(pread(file, entries, 0, 0), 0);
	CHECK_EQ(pread(file, entries, 8, 1L << 50), 0);
	MUST(close(file));
	setfsuid(NOBODY);
	CHECK_ERRNO(open(path, O_RDONLY), EACCES);
	setfsuid(0);
}

TEST(frames_are_shown_by_whole_entries)
{
	check_whole_entries("/proc/kpagecount");
	check_whole_entries("/proc/kpageflags");
}

ROOTS_TEST(the_first_frame_is_nobodys)
{
	CHECK_EQ(told_of("/proc/kpageflags", 0), 1UL << 32 /* KPF_RESERVED */);
	CHECK_EQ(told_of("/proc/kpagecount", 0), 0);
	CHECK(told_of("/proc/kpageflags", 1) != 0);
}

static mode_t mode_of(const char *path)
{
	struct stat status;

	MUST(stat(path, &status));
	return status.st_mode;
}

TEST(files_that_tell_little)
{
	char text[256] = "";
	int file = (int)MUST(open("/proc/thread-self/cpuset", O_RDONLY));

	CHECK(MUST(read(file, text, sizeof text - 1)) >= 2);
	CHECK_EQ(text[0], '/');
	CHECK_EQ(text[strlen(text) - 1], '\n');
	CHECK_EQ(mode_of("/proc/self/cpuset"), S_IFREG | 0444);
	CHECK_EQ(mode_of("/proc/self/arch_status"), S_IFREG | 0444);
	CHECK_EQ(mode_of("/proc/thread-self/arch_status"), S_IFREG | 0444);
	CHECK_EQ(mode_of("/proc/consoles"), S_IFREG | 0444);
	CHECK_EQ(mode_of("/proc/bus"), S_IFDIR | 0555);
	CHECK_EQ(mode_of("/proc/driver"), S_IFDIR | 0555);
	CHECK_EQ(mode_of("/proc/fs"), S_IFDIR | 0555);
	CHECK_ERRNO(mkdir("/proc/driver/x", 0755), ENOENT);
}

/* A figure of the smaps of this process for the area that begins at `start`, in kB. */
static long figure_of(const char *start, const char *name)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long first, past;
	char line[512], key[64];
	long value, found = -1;
	int is_wanted = 0;

	while (fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "%lx-%lx ", &first, &past) == 2)
			is_wanted = first == (unsigned long)start;
		else if (is_wanted && sscanf(line, "%63[^:]: %ld kB", key, &value) == 2 && strcmp(key, name) == 0)
			found = value;
	fclose(file);
	return found;
}

static int is_exclusive(const char *address)
{
	int file = (int)MUST(open("/proc/self/pagemap", O_RDONLY));
	uint64_t entry;

	MUST(pread(file, &entry, sizeof entry, (off_t)((uintptr_t)address / PAGE * 8)));
	MUST(close(file));
	return entry >> 56 & 1;
}

/* The greatest count in numa_maps, 1 if none is told. */
static long greatest_count_of(const char *start)
{
	FILE *file = fopen("/proc/self/numa_maps", "r");
	char line[512], *told;
	long found = 0;

	if (file == NULL)
		return -1;
	while (fgets(line, sizeof line, file) != NULL)
		if (strtoul(line, NULL, 16) == (unsigned long)start) {
			told = strstr(line, "mapmax=");
			found = told == NULL ? 1 : strtol(told + 7, NULL, 10);
		}
	fclose(file);
	return found;
}

TEST(pages_of_files_that_others_map_too)
{
	char name[] = "/tmp/check-XXXXXX", byte = 0;
	int file = (int)MUST(mkstemp(name)), ready[2], done[2];
	char *memory, *other;
	pid_t child;

	MUST(unlink(name));
	MUST(ftruncate(file, 2 * PAGE));
	MUST(pwrite(file, "a", 1, 0));
	MUST(pwrite(file, "b", 1, PAGE));
	MUST(fsync(file));
	MUST(pipe(ready));
	MUST(pipe(done));
	memory = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
	CHECK_EQ(memory[0] + memory[PAGE], 'a' + 'b');
	CHECK_EQ(figure_of(memory, "Pss"), 8);
	CHECK_EQ(figure_of(memory, "Private_Clean") + figure_of(memory, "Private_Dirty"), 8);
	CHECK_EQ(is_exclusive(memory), 1);
	CHECK_EQ(greatest_count_of(memory), 1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		/* What it has from its parent is gone, and it maps the second page by itself. */
		MUST(munmap(memory, 2 * PAGE));
		other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, PAGE);
		byte = other[0];
		MUST(write(ready[1], &byte, 1));
		read(done[0], &byte, 1);
		_exit(0);
	}
	MUST(read(ready[0], &byte, 1));
	CHECK_EQ(figure_of(memory, "Rss"), 8);
	CHECK_EQ(figure_of(memory, "Pss"), 6);
	CHECK_EQ(figure_of(memory, "Private_Clean") + figure_of(memory, "Private_Dirty"), 4);
	CHECK_EQ(figure_of(memory, "Shared_Clean") + figure_of(memory, "Shared_Dirty"), 4);
	CHECK_EQ(is_exclusive(memory), 1);
	CHECK_EQ(is_exclusive(memory + PAGE), 0);
	CHECK_EQ(greatest_count_of(memory), 2);
	MUST(write(done[1], "x", 1));
	MUST(waitpid(child, NULL, 0));
	CHECK_EQ(figure_of(memory, "Pss"), 8);
	CHECK_EQ(is_exclusive(memory + PAGE), 1);
	CHECK_EQ(greatest_count_of(memory), 1);
}
