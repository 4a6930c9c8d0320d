/* Private memory that has only been read: the page of zeros is there, which is nobody's until somebody writes. */
#include "fault.h"

#include <linux/fs.h>
#include <linux/kernel-page-flags.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define PAGES 16
#define PRESENT (1UL << 63)
#define OF_FILE (1UL << 61)
#define EXCLUSIVE (1UL << 56)
#define FRAME_BITS ((1UL << 55) - 1)
#define FLAG(number) (1UL << (number))

static volatile char taken;

static char *pages_of(int protection, int flags)
{
	char *memory = mmap(NULL, PAGES * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	MUST(madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE));
	return memory;
}

static char *fresh_pages(void)
{
	return pages_of(PROT_READ | PROT_WRITE, 0);
}

static void read_pages(const char *memory, int first, int count)
{
	for (int at = first; at < first + count; at++)
		taken = *(const volatile char *)(memory + at * PAGE);
}

/* The entries of /proc/PID/pagemap of the first `count` pages. */
static void look(pid_t process, const char *memory, uint64_t *entries, int count)
{
	char path[64];
	int file;

	snprintf(path, sizeof path, "/proc/%d/pagemap", process);
	file = (int)MUST(open(path, O_RDONLY));
	MUST(pread(file, entries, (size_t)count * 8, (off_t)((uintptr_t)memory / PAGE * 8)));
	MUST(close(file));
}

static uint64_t entry_of(const char *memory)
{
	uint64_t entry;

	look(getpid(), memory, &entry, 1);
	return entry;
}

/* A figure of smaps, in kB, of the area that begins at `memory`. */
static long figure_of(const char *memory, const char *name)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	char line[512];
	long value = -1;
	int is_there = 0;
	size_t length = strlen(name);

	MUST(file == NULL ? -1 : 0);
	while (fgets(line, sizeof line, file) != NULL) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_there = start <= (unsigned long)memory && (unsigned long)memory < end;
		else if (is_there && strncmp(line, name, length) == 0 && line[length] == ':')
			value = atol(line + length + 1);
	}
	fclose(file);
	return value;
}

static int count_in_core(const char *memory)
{
	unsigned char present[PAGES];
	int count = 0;

	MUST(mincore((void *)(uintptr_t)memory, PAGES * PAGE, present));
	for (int at = 0; at < PAGES; at++)
		count += present[at] & 1;
	return count;
}

static long resident(void)
{
	char text[128] = "";
	long size, pages = -1;
	int file = (int)MUST(open("/proc/self/statm", O_RDONLY));

	MUST(read(file, text, sizeof text - 1));
	MUST(close(file));
	sscanf(text, "%ld %ld", &size, &pages);
	return pages;
}

static long minor_faults(void)
{
	struct rusage usage;

	MUST(getrusage(RUSAGE_SELF, &usage));
	return usage.ru_minflt;
}

TEST(what_is_read_is_not_resident)
{
	char *memory = fresh_pages();

	CHECK_EQ(count_in_core(memory), 0);
	read_pages(memory, 0, PAGES);
	CHECK_EQ(taken, 0);
	CHECK_EQ(count_in_core(memory), PAGES);
	CHECK_EQ(figure_of(memory, "Size"), PAGES * 4);
	CHECK_EQ(figure_of(memory, "Rss"), 0);
	CHECK_EQ(figure_of(memory, "Pss"), 0);
	CHECK_EQ(figure_of(memory, "Anonymous"), 0);
	CHECK_EQ(figure_of(memory, "Referenced"), 0);
	CHECK_EQ(figure_of(memory, "Private_Dirty"), 0);
	memory[3 * PAGE] = 1;
	CHECK_EQ(figure_of(memory, "Rss"), 4);
	CHECK_EQ(figure_of(memory, "Private_Dirty"), 4);
	CHECK_EQ(figure_of(memory, "Anonymous"), 4);
	CHECK_EQ(count_in_core(memory), PAGES);
	MUST(madvise(memory, PAGES * PAGE, MADV_DONTNEED));
	CHECK_EQ(count_in_core(memory), 0);
	CHECK_EQ(figure_of(memory, "Rss"), 0);
}

TEST(statm_does_not_count_it)
{
	size_t length = 2048 * PAGE;
	char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long before = resident();

	MUST(madvise(memory, length, MADV_NOHUGEPAGE));
	read_pages(memory, 0, 2048);
	CHECK(resident() - before < 1024);
	memset(memory, 1, length);
	CHECK(resident() - before > 1024);
}

TEST(what_pagemap_tells)
{
	char *memory = fresh_pages();
	uint64_t entry;

	CHECK_EQ(entry_of(memory), 0);
	read_pages(memory, 0, 1);
	entry = entry_of(memory);
	CHECK_EQ(entry & ~FRAME_BITS, PRESENT);
	memory[0] = 1;
	entry = entry_of(memory);
	CHECK_EQ(entry & (PRESENT | OF_FILE | EXCLUSIVE), PRESENT | EXCLUSIVE);
}

TEST(all_are_the_same_page)
{
	char *memory = fresh_pages();
	uint64_t entries[PAGES];

	read_pages(memory, 0, PAGES);
	look(getpid(), memory, entries, PAGES);
	for (int at = 1; at < PAGES; at++)
		CHECK_EQ(entries[at], entries[0]);
}

TEST(a_fault_for_each_access)
{
	long first = 0, second = 0, third = 0;
	char *memory = NULL;

	/* The second time no page of the program's own is new. */
	for (int times = 0; times < 2; times++) {
		if (times > 0)
			MUST(munmap(memory, PAGES * PAGE));
		memory = fresh_pages();
		first = minor_faults();
		read_pages(memory, 0, PAGES);
		second = minor_faults();
		for (int at = 0; at < PAGES; at++)
			memory[at * PAGE] = 1;
		third = minor_faults();
	}
	CHECK_EQ(second - first, PAGES);
	CHECK_EQ(third - second, PAGES);
	CHECK_EQ(figure_of(memory, "Rss"), PAGES * 4);
}

TEST(what_reads_to_write_writes_at_once)
{
	long first = 0, second = 0;
	char *memory = NULL;

	for (int times = 0; times < 2; times++) {
		if (times > 0)
			MUST(munmap(memory, PAGES * PAGE));
		memory = fresh_pages();
		first = minor_faults();
		for (int at = 0; at < PAGES; at++)
			__asm__ volatile("lock incl (%0)" : : "r"(memory + at * PAGE) : "memory");
		second = minor_faults();
	}
	CHECK_EQ(second - first, PAGES);
	CHECK_EQ(figure_of(memory, "Rss"), PAGES * 4);
}

TEST(what_is_written_is_seen_alone)
{
	char *memory = fresh_pages();

	read_pages(memory, 0, PAGES);
	memory[PAGE + 7] = 9;
	for (int at = 0; at < PAGES; at++)
		CHECK_EQ(memory[at * PAGE + 7], at == 1 ? 9 : 0);
}

TEST(the_kernel_reads_and_writes)
{
	char *memory = fresh_pages(), *other = fresh_pages();
	int ends[2];

	MUST(pipe(ends));
	MUST(write(ends[1], memory, 3 * PAGE));
	CHECK_EQ(count_in_core(memory), 3);
	CHECK_EQ(figure_of(memory, "Rss"), 0);
	memset(other, 1, PAGE);
	MUST(read(ends[0], other, PAGE));
	CHECK_EQ(other[0], 0);
	read_pages(other, 0, 4);
	MUST(read(ends[0], other + 2 * PAGE, PAGE));
	CHECK_EQ(figure_of(other, "Rss"), 8);
	CHECK_EQ(entry_of(other + 2 * PAGE) & EXCLUSIVE, EXCLUSIVE);
	CHECK_EQ(entry_of(other + 3 * PAGE) & EXCLUSIVE, 0);
}

TEST(a_long_read_of_the_kernel_maps_it_too)
{
	size_t length = 256 * PAGE;
	unsigned char present[256];
	char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file, count = 0;

	MUST(madvise(memory, length, MADV_NOHUGEPAGE));
	enter_scratch();
	file = (int)MUST(open("f", O_CREAT | O_RDWR, 0600));
	CHECK_EQ(write(file, memory, length), length);
	MUST(mincore(memory, length, present));
	for (int at = 0; at < 256; at++)
		count += present[at] & 1;
	CHECK_EQ(count, 256);
	CHECK_EQ(figure_of(memory, "Rss"), 0);
}

TEST(a_child_has_zeros_of_its_own)
{
	char *memory = fresh_pages();
	int status;
	pid_t child;

	memory[0] = 1;
	read_pages(memory, 1, 4);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(figure_of(memory, "Rss"), 4);
		CHECK_EQ(count_in_core(memory), 5);
		memory[2 * PAGE] = 7;
		CHECK_EQ(figure_of(memory, "Rss"), 8);
		CHECK_EQ(memory[3 * PAGE], 0);
		_exit(0);
	}
	status = wait_for(child);
	CHECK_EQ(status, 0);
	CHECK_EQ(memory[2 * PAGE], 0);
	CHECK_EQ(figure_of(memory, "Rss"), 4);
	memory[PAGE] = 3;
	CHECK_EQ(figure_of(memory, "Rss"), 8);
}

TEST(protection_and_moves_keep_it)
{
	char *memory = fresh_pages(), *moved;

	read_pages(memory, 0, 6);
	MUST(mprotect(memory, PAGES * PAGE, PROT_READ));
	CHECK_EQ(count_in_core(memory), 6);
	MUST(mprotect(memory, PAGES * PAGE, PROT_READ | PROT_WRITE));
	memory[0] = 1;
	CHECK_EQ(memory[PAGE], 0);
	moved = mremap(memory, PAGES * PAGE, 2 * PAGES * PAGE, MREMAP_MAYMOVE);
	MUST(moved == MAP_FAILED ? -1 : 0);
	CHECK_EQ(count_in_core(moved), 6);
	CHECK_EQ(figure_of(moved, "Rss"), 4);
	CHECK_EQ(entry_of(moved + 2 * PAGE) & ~FRAME_BITS, PRESENT);
	moved[2 * PAGE] = 1;
	CHECK_EQ(figure_of(moved, "Rss"), 8);
	MUST(munmap(moved, 2 * PAGES * PAGE));
}

TEST(advice_about_it)
{
	char *memory = fresh_pages();

	CHECK_OK(madvise(memory, PAGES * PAGE, MADV_POPULATE_READ));
	CHECK_EQ(count_in_core(memory), PAGES);
	CHECK_EQ(figure_of(memory, "Rss"), 0);
	CHECK_OK(madvise(memory, PAGES * PAGE, MADV_FREE));
	CHECK_EQ(figure_of(memory, "LazyFree"), 0);
	CHECK_EQ(count_in_core(memory), PAGES);
	CHECK_OK(madvise(memory, PAGES * PAGE, MADV_COLD));
	CHECK_OK(madvise(memory, PAGES * PAGE, MADV_PAGEOUT));
	CHECK_EQ(count_in_core(memory), PAGES);
	CHECK_OK(madvise(memory, 4 * PAGE, MADV_POPULATE_WRITE));
	CHECK_EQ(figure_of(memory, "Rss"), 16);
	CHECK_OK(madvise(memory, PAGES * PAGE, MADV_DONTNEED));
	CHECK_EQ(count_in_core(memory), 0);
}

TEST(what_can_only_be_read_is_populated_with_it)
{
	char *memory = pages_of(PROT_READ, MAP_POPULATE), *written;

	MUST(madvise(memory, PAGES * PAGE, MADV_POPULATE_READ));
	CHECK_EQ(count_in_core(memory), PAGES);
	CHECK_EQ(figure_of(memory, "Rss"), 0);
	written = pages_of(PROT_READ | PROT_WRITE, MAP_POPULATE);
	CHECK_EQ(count_in_core(written), PAGES);
	CHECK_EQ(figure_of(written, "Rss"), PAGES * 4);
}

TEST(locked_memory_that_can_be_written_has_pages_of_its_own)
{
	char *memory = fresh_pages(), *unwritable = pages_of(PROT_READ, 0);

	read_pages(memory, 0, 4);
	MUST(mlock(memory, 8 * PAGE));
	CHECK_EQ(figure_of(memory, "Rss"), 32);
	MUST(mlock(unwritable, 8 * PAGE));
	CHECK_EQ(figure_of(unwritable, "Rss"), 0);
	CHECK_EQ(count_in_core(unwritable), 8);
}

TEST(a_tracer_writes_a_copy)
{
	char *memory = fresh_pages();
	char byte = 5, got = 1;
	struct iovec local = {&byte, 1}, remote = {memory + PAGE, 1};
	int file;

	read_pages(memory, 0, 3);
	CHECK_EQ(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), 1);
	CHECK_EQ(memory[PAGE], 5);
	CHECK_EQ(figure_of(memory, "Rss"), 4);
	MUST(mprotect(memory, PAGES * PAGE, PROT_READ));
	file = (int)MUST(open("/proc/self/mem", O_RDWR));
	CHECK_EQ(pwrite(file, &byte, 1, (off_t)(uintptr_t)(memory + 2 * PAGE)), 1);
	CHECK_EQ(memory[2 * PAGE], 5);
	CHECK_EQ(memory[0], 0);
	CHECK_EQ(pread(file, &got, 1, (off_t)(uintptr_t)memory), 1);
	CHECK_EQ(got, 0);
	CHECK_EQ(figure_of(memory, "Rss"), 8);
}

TEST(code_of_zeros)
{
	/* `add %al, (%rax)`, again and again, of memory that becomes other code then. */
	char *memory = pages_of(PROT_READ | PROT_WRITE | PROT_EXEC, 0);

	read_pages(memory, 0, 2);
	CHECK_EQ(figure_of(memory, "Rss"), 0);
	memory[0] = (char)0xb8, memory[1] = 7, memory[5] = (char)0xc3;
	CHECK_EQ(((int (*)(void))(uintptr_t)memory)(), 7);
	memory[PAGE] = (char)0xb8, memory[PAGE + 1] = 8, memory[PAGE + 5] = (char)0xc3;
	CHECK_EQ(((int (*)(void))(uintptr_t)(memory + PAGE))(), 8);
	CHECK_EQ(figure_of(memory, "Rss"), 8);
}

static int runs_zeros(const char *memory)
{
	static char place;
	char *at = &place;
	void (*code)(void) = (void (*)(void))(uintptr_t)memory;

	/* Each instruction adds to `place` what al is; behind the page there is nothing, and rip tells how far it came. */
	__asm__ volatile("call *%1" : : "a"(at), "r"(code) : "memory");
	return 0;
}

TEST(code_of_zeros_runs_to_its_end)
{
	char *memory = pages_of(PROT_READ | PROT_WRITE | PROT_EXEC, 0);
	pid_t child;
	int status;

	read_pages(memory, 0, PAGES);
	/* The last bytes return. */
	memory[2 * PAGE] = (char)0xc3;
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(munmap(memory + 3 * PAGE, PAGE));
		_exit(runs_zeros(memory));
	}
	status = wait_for(child);
	CHECK_EQ(status, 0);
	memory[PAGE] = (char)0xc3;
	CHECK_EQ(runs_zeros(memory), 0);
}

TEST(move_pages_knows_no_such_page)
{
	char *memory = fresh_pages();
	void *places[3] = {memory, memory + PAGE, memory + 2 * PAGE};
	int status[3] = {1, 1, 1};

	read_pages(memory, 0, 1);
	memory[PAGE] = 0;
	CHECK_EQ(syscall(SYS_move_pages, 0, 3L, places, NULL, status, 0), 0);
	CHECK_EQ(status[0], -EFAULT);
	CHECK_EQ(status[1], 0);
	CHECK_EQ(status[2], -ENOENT);
}

TEST(pagemap_scan_finds_it)
{
	char *memory = fresh_pages();
	struct page_region found[4];
	struct pm_scan_arg scan = {
		.size = sizeof scan,
		.start = (uintptr_t)memory,
		.end = (uintptr_t)(memory + PAGES * PAGE),
		.vec = (uintptr_t)found,
		.vec_len = LENGTH(found),
		.category_mask = PAGE_IS_PFNZERO,
		.return_mask = PAGE_IS_PFNZERO | PAGE_IS_PRESENT | PAGE_IS_FILE,
	};
	int file = (int)MUST(open("/proc/self/pagemap", O_RDONLY));

	read_pages(memory, 2, 3);
	memory[6 * PAGE] = 1;
	CHECK_EQ(ioctl(file, PAGEMAP_SCAN, &scan), 1);
	CHECK_EQ(found[0].start, (uintptr_t)memory + 2 * PAGE);
	CHECK_EQ(found[0].end, (uintptr_t)memory + 5 * PAGE);
	CHECK_EQ(found[0].categories, PAGE_IS_PFNZERO | PAGE_IS_PRESENT);
}

TEST(areas_that_were_only_read_are_merged)
{
	char *memory = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), line[256];
	FILE *file;
	int areas = 0;

	/* Each would have a first page of its own else, and they would stay apart. */
	MUST(mmap(memory, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0);
	read_pages(memory, 0, 1);
	MUST(mmap(memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
			     MAP_FAILED
		     ? -1
		     : 0);
	read_pages(memory, 2, 1);
	MUST(mprotect(memory + PAGE, PAGE, PROT_READ | PROT_WRITE));
	file = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, file) != NULL) {
		unsigned long start, end;

		sscanf(line, "%lx-%lx", &start, &end);
		areas += start < (unsigned long)memory + 3 * PAGE && end > (unsigned long)memory;
	}
	fclose(file);
	CHECK_EQ(areas, 1);
}

ROOTS_TEST(what_it_is_to_who_may_know)
{
	char *memory = fresh_pages();
	uint64_t frame, flags, count;
	int file;

	read_pages(memory, 0, 1);
	frame = entry_of(memory) & FRAME_BITS;
	/* Tools take 0 for a frame that they mayn't know. */
	CHECK(frame != 0);
	file = (int)MUST(open("/proc/kpageflags", O_RDONLY));
	CHECK_EQ(pread(file, &flags, 8, (off_t)(frame * 8)), 8);
	CHECK_EQ(flags & FLAG(KPF_ZERO_PAGE), FLAG(KPF_ZERO_PAGE));
	CHECK_EQ(flags & (FLAG(KPF_ANON) | FLAG(KPF_LRU) | FLAG(KPF_BUDDY) | FLAG(KPF_THP)), 0);
	MUST(close(file));
	file = (int)MUST(open("/proc/kpagecount", O_RDONLY));
	CHECK_EQ(pread(file, &count, 8, (off_t)(frame * 8)), 8);
	CHECK_EQ(count, 0);
	MUST(close(file));
}

TEST(a_program_fills_with_it)
{
	char *memory = fresh_pages();
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register area = {
		.range = {(uintptr_t)memory, PAGES * PAGE},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_zeropage zeros = {.range = {(uintptr_t)memory, 4 * PAGE}};
	int file = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (file == -1) {
		CHECK(errno == EPERM);
		return;
	}
	MUST(ioctl(file, UFFDIO_API, &api));
	MUST(ioctl(file, UFFDIO_REGISTER, &area));
	CHECK_OK(ioctl(file, UFFDIO_ZEROPAGE, &zeros));
	CHECK_EQ(zeros.zeropage, 4 * PAGE);
	CHECK_EQ(count_in_core(memory), 4);
	CHECK_EQ(figure_of(memory, "Rss"), 0);
	memory[PAGE] = 1;
	CHECK_EQ(figure_of(memory, "Rss"), 4);
	CHECK_EQ(memory[0], 0);
}
