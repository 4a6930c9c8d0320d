/* Odd arguments of the calls on memory, and which of several errors they tell: found by tests/differential. */
#include "fault.h"

#include <linux/mempolicy.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif
#define RW (PROT_READ | PROT_WRITE)
#define AREAS_END (1UL << 47)

/* The VmFlags of the area of /proc/self/smaps in which an address is. */
static const char *flags_of(const void *address)
{
	static char line[300];
	unsigned long start, end;
	int is_wanted = 0;
	FILE *file = fopen("/proc/self/smaps", "re");

	MUST(file == NULL ? -1 : 0);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_wanted = start <= (uintptr_t)address && (uintptr_t)address < end;
		else if (is_wanted && strncmp(line, "VmFlags:", 8) == 0)
			break;
	}
	fclose(file);
	return line;
}

static long length_of_area(const void *address)
{
	char line[300];
	unsigned long start, end, length = 0;
	FILE *file = fopen("/proc/self/maps", "re");

	MUST(file == NULL ? -1 : 0);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && start <= (uintptr_t)address && (uintptr_t)address < end)
			length = end - start;
	fclose(file);
	return (long)length;
}

static int has_flag(const void *address, const char *flag)
{
	return strstr(flags_of(address), flag) != NULL;
}

static int new_file(off_t size)
{
	char name[] = "/tmp/check-XXXXXX";
	int fd = (int)MUST(mkstemp(name));

	MUST(unlink(name));
	MUST(ftruncate(fd, size));
	return fd;
}

static void *remap(void *address, size_t old, size_t new, int flags, void *where)
{
	return (void *)syscall(SYS_mremap, address, old, new, flags, where);
}

TEST(a_file_ends_at_the_last_offset)
{
	int fd = new_file(PAGE);
	off_t last = INT64_MAX - PAGE + 1;

	CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, last), EOVERFLOW);
	CHECK_OK((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, last - PAGE));
}

TEST(what_has_no_contents_is_not_mapped)
{
	int fd = (int)MUST(eventfd(0, EFD_CLOEXEC));

	CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), ENODEV);
	/* No number of a page goes so far, whatever the file. */
	CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, -(off_t)PAGE), EOVERFLOW);
	CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, -3 * (off_t)PAGE), ENODEV);
	/* A socket is asked itself, and what may grow before that. */
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), ENODEV);
	CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, fd, 0), EINVAL);
	fd = (int)MUST(eventfd(0, EFD_CLOEXEC));
	/* Nothing of anonymous inodes is executed. */
	CHECK_ERRNO((long)mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), EPERM);
}

TEST(flags_that_are_to_be_known)
{
	int fd = new_file(PAGE);
	char *place = map_pages(1);

	MUST(munmap(place, PAGE));
	CHECK_ERRNO((long)mmap(place, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE, fd, 0), EOPNOTSUPP);
	CHECK_OK((long)mmap(place, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_FIXED, fd, 0));
}

TEST(what_grows_must_be_there)
{
	char *memory = map_pages(1);

	CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_GROWSDOWN), EINVAL);
	CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_GROWSUP), EINVAL);
	MUST(munmap(memory, PAGE));
	CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_GROWSDOWN), ENOMEM);
	CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_GROWSUP), ENOMEM);
}

TEST(what_is_locked_must_be_accessible)
{
	char *memory = map_pages(3), *beyond = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, new_file(PAGE), PAGE);

	CHECK_ERRNO(mlock(beyond, PAGE), ENOMEM);
	MUST(mprotect(memory, PAGE, PROT_NONE));
	CHECK_ERRNO(mlock(memory, PAGE), ENOMEM);
	CHECK_EQ(syscall(SYS_mlock2, memory, PAGE, MLOCK_ONFAULT), 0);
	CHECK(has_flag(memory, " lo lf "));
	MUST(munmap(memory + 2 * PAGE, PAGE));
	CHECK_ERRNO(mlock(memory + PAGE, 2 * PAGE), ENOMEM);
	CHECK(has_flag(memory + PAGE, " lo "));
	CHECK_EQ(munlock(memory, (size_t)-1), 0);
	CHECK(has_flag(memory + PAGE, " lo "));
}

TEST(locked_pages_are_kept)
{
	char *memory = map_pages(2), *moved;

	MUST(mlock(memory, PAGE));
	CHECK_ERRNO(msync(memory, PAGE, MS_ASYNC | MS_INVALIDATE), EBUSY);
	CHECK_EQ(msync(memory, PAGE, MS_ASYNC), 0);
	CHECK_EQ(msync(memory + 1, 0, 0), -1);
	CHECK_EQ(msync(memory, (size_t)-1, MS_INVALIDATE), 0);
	CHECK_ERRNO(madvise(memory, PAGE, MADV_COLD), EINVAL);
	CHECK_ERRNO(madvise(memory, PAGE, MADV_PAGEOUT), EINVAL);
	moved = remap(memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	CHECK(moved != MAP_FAILED);
	CHECK(has_flag(moved, " lo "));
	CHECK(!has_flag(memory, " lo "));
}

TEST(advice_that_is_remembered)
{
	char *memory = map_pages(2);

	CHECK_EQ(madvise(memory, PAGE, MADV_RANDOM), 0);
	CHECK(has_flag(memory, " rr "));
	CHECK(!has_flag(memory + PAGE, " rr "));
	CHECK_EQ(madvise(memory, PAGE, MADV_SEQUENTIAL), 0);
	CHECK(has_flag(memory, " sr "));
	CHECK(!has_flag(memory, " rr "));
	CHECK_EQ(madvise(memory, PAGE, MADV_NORMAL), 0);
	CHECK(!has_flag(memory, " sr "));
	memory = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(has_flag(memory, " nr "));
}

TEST(sizes_that_are_equal_in_pages)
{
	char *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	area[0] = 1;
	CHECK(*(char *)remap(area, PAGE, PAGE - 1, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == 1);
	CHECK_ERRNO((long)remap(area, PAGE, PAGE + 1, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL), EINVAL);
}

TEST(shrinking_over_several_areas)
{
	char *memory = map_pages(4), *target = map_pages(2);

	MUST(mprotect(memory + 2 * PAGE, 2 * PAGE, PROT_READ));
	memory[0] = 'a';
	CHECK(remap(memory, 4 * PAGE, 2 * PAGE, 0, NULL) == memory);
	CHECK_ERRNO(msync(memory + 2 * PAGE, PAGE, MS_ASYNC), ENOMEM);
	MUST(munmap(memory, 2 * PAGE));
	memory = map_pages(4);
	MUST(mprotect(memory + 2 * PAGE, 2 * PAGE, PROT_READ));
	memory[0] = 'a';
	CHECK(remap(memory, 4 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
	CHECK_EQ(target[0], 'a');
	CHECK_ERRNO(msync(memory, PAGE, MS_ASYNC), ENOMEM);
	CHECK_ERRNO((long)remap(target, AREAS_END, PAGE, 0, NULL), EINVAL);
}

TEST(a_process_s_memory_that_is_not_readable)
{
	char *memory = map_pages(2), byte;
	struct iovec local = {&byte, 1}, remote = {memory, 1};

	memory[0] = 'a';
	CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), 1);
	MUST(mprotect(memory, PAGE, PROT_WRITE));
	CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), EFAULT);
	CHECK_EQ(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), 1);
	CHECK_ERRNO(madvise(memory, PAGE, 22), EINVAL);
}

TEST(the_last_page_of_all)
{
	CHECK_ERRNO(mprotect((void *)-PAGE, PAGE, 0x10), ENOMEM);
	CHECK_ERRNO(msync((void *)-PAGE, PAGE, MS_SYNC), ENOMEM);
}

TEST(sealed_memory)
{
	char *memory = map_pages(4), *target = map_pages(1), *constant;

	CHECK_OK(syscall(SYS_mseal, memory + PAGE, PAGE, 0));
	CHECK_ERRNO(munmap(memory, 4 * PAGE), EPERM);
	CHECK_EQ(touch(memory, WRITE), 0);
	CHECK_ERRNO(mprotect(memory + PAGE, PAGE, PROT_READ), EPERM);
	CHECK_ERRNO((long)remap(memory + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE, NULL), EPERM);
	CHECK_ERRNO((long)remap(target, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory + PAGE), EPERM);
	CHECK_ERRNO((long)mmap(memory, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EPERM);
	memory[PAGE] = 1;
	/* Who may write there may also throw it away. */
	CHECK_OK(madvise(memory + PAGE, PAGE, MADV_DONTNEED));
	CHECK_EQ(memory[PAGE], 0);
	CHECK_OK(munmap(memory + 2 * PAGE, 2 * PAGE));
	constant = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(constant == MAP_FAILED ? -1 : 0);
	CHECK_OK(syscall(SYS_mseal, constant, PAGE, 0));
	CHECK_ERRNO(madvise(constant, PAGE, MADV_DONTNEED), EPERM);
	CHECK_ERRNO(madvise(constant, PAGE, MADV_WIPEONFORK), EPERM);
	CHECK_OK(madvise(constant, PAGE, MADV_WILLNEED));
	CHECK_OK(madvise(constant, PAGE, MADV_DONTDUMP));
	CHECK_OK(syscall(SYS_mseal, memory, 0, 0));
	CHECK_ERRNO(syscall(SYS_mseal, memory + 1, PAGE, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_mseal, memory, PAGE, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_mseal, memory, 4 * PAGE, 0), ENOMEM);
}

TEST(remapped_file_pages)
{
	int file = (int)MUST(syscall(SYS_memfd_create, "pages", 0));
	char *memory, *private_memory = map_pages(1);
	unsigned long node = 1;

	MUST(ftruncate(file, 8 * PAGE));
	for (int at = 0; at < 8; at++)
		MUST(pwrite(file, &"abcdefgh"[at], 1, at * (off_t)PAGE));
	memory = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	CHECK_OK(syscall(SYS_remap_file_pages, memory + PAGE, PAGE, 0, 5, 0));
	CHECK_EQ(memory[0], 'a');
	CHECK_EQ(memory[PAGE], 'f');
	CHECK_EQ(memory[2 * PAGE], 'c');
	memory[PAGE] = 'F';
	CHECK_EQ(pread(file, memory, 1, 5 * PAGE), 1);
	CHECK_EQ(memory[0], 'F');
	CHECK_OK(syscall(SYS_remap_file_pages, memory, 3 * PAGE, 0, 3, 0));
	CHECK_EQ(memory[0], 'd');
	/* Areas that differ in the policy of their memory are alike. */
	CHECK_OK(syscall(SYS_mbind, memory + PAGE, PAGE, MPOL_PREFERRED, &node, 64, 0));
	CHECK_OK(syscall(SYS_remap_file_pages, memory, 3 * PAGE, 0, 2, 0));
	CHECK_EQ(memory[0], 'c');
	CHECK_ERRNO(syscall(SYS_remap_file_pages, memory, PAGE, PROT_READ, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_remap_file_pages, memory, 0, 0, 0, 0), EINVAL);
	/* Its areas must be alike, in what was advised too; that is asked before how far files go. */
	CHECK_OK(madvise(memory, PAGE, MADV_DONTDUMP));
	CHECK_ERRNO(syscall(SYS_remap_file_pages, memory, 2 * PAGE, 0, 1UL << 60, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_remap_file_pages, memory, PAGE, 0, 1UL << 60, 0), EOVERFLOW);
	MUST(munmap(memory, 3 * PAGE));
	memory = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, (int)MUST(open("/proc/self/exe", O_RDONLY)), 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	CHECK_ERRNO(syscall(SYS_remap_file_pages, memory, PAGE, 0, 1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_remap_file_pages, private_memory, PAGE, 0, 0, 0), EINVAL);
}

static int grow_locked(void)
{
	struct rlimit limit = {16 * PAGE, 16 * PAGE};
	char *memory = map_pages(16);

	MUST(setrlimit(RLIMIT_MEMLOCK, &limit));
	if (geteuid() == 0)
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_OK(mlock(memory, 16 * PAGE));
	CHECK_ERRNO((long)remap(memory, 16 * PAGE, 17 * PAGE, MREMAP_MAYMOVE, NULL), EAGAIN);
	CHECK_OK(munlock(memory + 8 * PAGE, 8 * PAGE));
	memory = remap(memory, 8 * PAGE, 12 * PAGE, MREMAP_MAYMOVE, NULL);
	CHECK(memory != MAP_FAILED);
	CHECK_EQ(touch(memory + 11 * PAGE, WRITE), 0);
	return 0;
}

TEST(a_locked_mapping_grows_within_its_limit)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit(grow_locked());
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(flags_that_are_validated)
{
	int file = (int)MUST(syscall(SYS_memfd_create, "pages", 0));

	MUST(ftruncate(file, PAGE));
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | MAP_NORESERVE | MAP_STACK, file, 0) != MAP_FAILED);
	CHECK_ERRNO((long)mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | 0x200, file, 0), EOPNOTSUPP);
	CHECK_ERRNO((long)mmap((void *)0x10000000, PAGE, RW, MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE, file, 0),
		    EOPNOTSUPP);
	CHECK_ERRNO((long)mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | MAP_SYNC, file, 0), EOPNOTSUPP);
	CHECK_ERRNO((long)mmap(NULL, PAGE, RW, MAP_SHARED | MAP_HUGETLB, file, 0), EINVAL);
	CHECK_ERRNO((long)mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0), EINVAL);
}

TEST(advice_of_huge_and_equal_pages)
{
	char *memory = map_pages(2);

	CHECK_OK(madvise(memory, PAGE, MADV_HUGEPAGE));
	CHECK(has_flag(memory, " hg "));
	CHECK_OK(madvise(memory, PAGE, MADV_NOHUGEPAGE));
	CHECK(has_flag(memory, " nh "));
	CHECK(!has_flag(memory, " hg "));
	CHECK_OK(madvise(memory, 2 * PAGE, MADV_MERGEABLE));
	CHECK_OK(madvise(memory, 2 * PAGE, MADV_UNMERGEABLE));
}

ROLE(has_mergeable_memory)
{
	return prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) == 1 && has_flag(map_pages(1), " mg ") ? 7 : 8;
}

TEST(all_equal_pages)
{
	static const char *const files[] = {
		"ksm/run",
		"ksm/advisor_mode",
		"ksm/advisor_target_scan_time",
		"transparent_hugepage/enabled",
		"transparent_hugepage/shmem_enabled",
		"transparent_hugepage/shrink_underused",
		"transparent_hugepage/khugepaged/max_ptes_none",
		"transparent_hugepage/khugepaged/pages_collapsed",
	};
	static char variable;
	char *memory = map_pages(2), *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *later, text[300];
	int fd;
	pid_t child;

	/* Before anything may be merged: afterwards the host's ksmd may have looked at it. */
	fd = (int)MUST(open("/proc/self/ksm_stat", O_RDONLY));
	text[MUST(read(fd, text, sizeof(text) - 1))] = '\0';
	CHECK(strncmp(text, "ksm_rmap_items 0\nksm_zero_pages 0\nksm_merging_pages 0\n", 54) == 0);
	CHECK_OK(madvise(memory, PAGE, MADV_MERGEABLE));
	CHECK(has_flag(memory, " mg "));
	CHECK(!has_flag(memory + PAGE, " mg "));
	/* Shared memory isn't merged, but may be advised so. */
	CHECK_OK(madvise(shared, PAGE, MADV_MERGEABLE));
	CHECK(!has_flag(shared, " mg "));
	CHECK_OK(madvise(memory, PAGE, MADV_UNMERGEABLE));
	CHECK(!has_flag(memory, " mg "));
	CHECK_ERRNO(prctl(PR_SET_MEMORY_MERGE, 1, 1, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_GET_MEMORY_MERGE, 1, 0, 0, 0), EINVAL);
	CHECK_EQ(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_SET_MEMORY_MERGE, 7, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), 1);
	CHECK(has_flag(memory, " mg "));
	CHECK(has_flag(&variable, " mg "));
	CHECK(!has_flag(shared, " mg "));
	later = map_pages(1);
	CHECK(has_flag(later, " mg "));
	CHECK_OK(madvise(later, PAGE, MADV_UNMERGEABLE));
	CHECK(!has_flag(later, " mg "));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK(has_flag(memory, " mg "));
		execl(check_self, check_self, "has_mergeable_memory", NULL);
		_exit(1);
	}
	CHECK_EQ(wait_for(child), EXITED(7));
	CHECK_EQ(prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), 0);
	CHECK(!has_flag(memory, " mg "));
	for (size_t at = 0; at < LENGTH(files); at++) {
		snprintf(text, sizeof text, "/sys/kernel/mm/%s", files[at]);
		CHECK_EQ(access(text, R_OK), 0);
	}
}

/* A number of /proc/self/smaps about the area that begins at an address. */
static long smaps_of(const void *address, const char *name)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long start, end;
	int is_wanted = 0;
	char line[300];
	long found = -1;

	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_wanted = start == (uintptr_t)address;
		else if (is_wanted && strncmp(line, name, strlen(name)) == 0)
			found = atol(line + strlen(name));
	fclose(file);
	return found;
}

/* What is freed lazily stays until memory is short, or somebody asks; and for good if it's written to. */
TEST(pages_are_freed_lazily)
{
	char *room = map_pages(66), *memory = room + PAGE;
	struct rusage before, after;
	pid_t child;

	MUST(mprotect(room, PAGE, PROT_NONE));
	MUST(mprotect(room + 65 * PAGE, PAGE, PROT_NONE));
	MUST(madvise(memory, 64 * PAGE, MADV_NOHUGEPAGE));
	memset(memory, 'f', 64 * PAGE);
	CHECK_EQ(smaps_of(memory, "LazyFree:"), 0);
	CHECK_OK(madvise(memory, 64 * PAGE, MADV_FREE));
	/* Linux hands them on in batches. */
	for (int patience = 100; patience > 0 && smaps_of(memory, "LazyFree:") < 256; patience--) {
		madvise(memory, 64 * PAGE, MADV_COLD);
		sleep_ms(10);
	}
	CHECK_EQ(memory[0], 'f');
	CHECK_EQ(memory[63 * PAGE], 'f');
	CHECK_EQ(smaps_of(memory, "Rss:"), 256);
	CHECK_EQ(smaps_of(memory, "Anonymous:"), 256);
	CHECK_EQ(smaps_of(memory, "LazyFree:"), 256);
	CHECK_EQ(smaps_of(memory, "Private_Clean:"), 256);
	getrusage(RUSAGE_SELF, &before);
	memory[PAGE] = 'k';
	getrusage(RUSAGE_SELF, &after);
	/* The processor notes that by itself. */
	CHECK_EQ(after.ru_minflt, before.ru_minflt);
	CHECK_EQ(smaps_of(memory, "LazyFree:"), 252);
	CHECK_EQ(smaps_of(memory, "Private_Dirty:"), 4);
	/* Another protection changes nothing about that, and to have it again is no write. */
	MUST(mprotect(memory, 64 * PAGE, PROT_READ));
	MUST(mprotect(memory, 64 * PAGE, RW));
	CHECK_EQ(smaps_of(memory, "LazyFree:"), 252);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(smaps_of(memory, "LazyFree:"), 252);
		CHECK_EQ(smaps_of(memory, "Shared_Clean:"), 252);
		memory[2 * PAGE] = 'c';
		CHECK_EQ(smaps_of(memory, "LazyFree:"), 248);
		CHECK_EQ(smaps_of(memory, "Private_Dirty:"), 4);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(smaps_of(memory, "LazyFree:"), 252);
	CHECK_OK(madvise(memory, 64 * PAGE, MADV_PAGEOUT));
	CHECK_EQ(smaps_of(memory, "Rss:"), 4);
	CHECK_EQ(smaps_of(memory, "LazyFree:"), 0);
	CHECK_EQ(memory[PAGE], 'k');
	CHECK_EQ(memory[0], 0);
	CHECK_EQ(memory[63 * PAGE], 0);
}

/* How many areas there are from `start` on, in `length` bytes. */
static int areas_within(const char *start, size_t length)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned long first, past;
	char line[512];
	int count = 0;

	while (fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "%lx-%lx ", &first, &past) == 2 && past > (unsigned long)start &&
		    first < (unsigned long)start + length)
			count++;
	fclose(file);
	return count;
}

/* The offset that /proc/self/maps tells of the area that begins at an address. */
static long offset_told(const char *start)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned long first, past, offset;
	char line[512];
	long found = -1;

	while (fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "%lx-%lx %*s %lx", &first, &past, &offset) == 3 && first == (unsigned long)start)
			found = (long)offset;
	fclose(file);
	return found;
}

/* Until something is written there, its offset follows the address, as that of memory without a file does. */
TEST(private_memory_of_the_zero_device_moves)
{
	int zero = (int)MUST(open("/dev/zero", O_RDWR));
	char *place = map_pages(16), *memory, *moved;

	for (int is_touched = 0; is_touched < 2; is_touched++) {
		memory = mmap(place, 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, zero, 3 * PAGE);
		CHECK_EQ(offset_told(memory), 3 * PAGE);
		if (is_touched)
			memory[3 * PAGE] = 'z';
		MUST(mprotect(memory, PAGE, PROT_READ));
		moved = mremap(memory + PAGE, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place + 8 * PAGE);
		CHECK_EQ(moved, place + 8 * PAGE);
		CHECK_EQ(offset_told(memory), 3 * PAGE);
		CHECK_EQ(offset_told(moved), is_touched ? 4 * (long)PAGE : (long)moved);
		CHECK_EQ(moved[2 * PAGE], is_touched ? 'z' : 0);
		MUST(munmap(place, 16 * PAGE));
	}
	close(zero);
}

static char *map_of(int file, int flags)
{
	char *memory = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | flags, file, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	/* Its neighbours aren't like it. */
	MUST(mprotect(memory, PAGE, PROT_NONE));
	MUST(mprotect(memory + 3 * PAGE, PAGE, PROT_NONE));
	return memory;
}

TEST(what_could_be_written_once_stays_apart)
{
	char name[] = "/tmp/check-XXXXXX";
	int file = (int)MUST(mkstemp(name));
	char *memory;

	MUST(unlink(name));
	MUST(ftruncate(file, 4 * PAGE));
	memory = map_of(file, 0);
	CHECK_EQ(areas_within(memory + PAGE, 2 * PAGE), 1);
	CHECK_EQ(has_flag(memory + PAGE, "ac"), 0);
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	CHECK_EQ(has_flag(memory + 2 * PAGE, "ac"), 1);
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_READ));
	CHECK_EQ(areas_within(memory + PAGE, 2 * PAGE), 2);
	CHECK_EQ(has_flag(memory + PAGE, "ac"), 0);
	CHECK_EQ(has_flag(memory + 2 * PAGE, "ac"), 1);
	/* Of anonymous memory, what was never touched is as it was. */
	memory = map_of(-1, MAP_ANONYMOUS);
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_READ));
	CHECK_EQ(areas_within(memory + PAGE, 2 * PAGE), 1);
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	memory[2 * PAGE] = 1;
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_READ));
	CHECK_EQ(areas_within(memory + PAGE, 2 * PAGE), 2);
	CHECK_EQ(has_flag(memory + 2 * PAGE, "ac"), 1);
	/* Nothing is set aside for what is mapped without reserve, or shared. */
	memory = map_of(-1, MAP_ANONYMOUS | MAP_NORESERVE);
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	memory[2 * PAGE] = 1;
	CHECK_EQ(has_flag(memory + 2 * PAGE, "ac"), 0);
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_READ));
	CHECK_EQ(areas_within(memory + PAGE, 2 * PAGE), 1);
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK_EQ(has_flag(memory, "ac"), 0);
}

/* Since Linux 6.17: all that is mapped in the range, with its gaps; who handles faults is moved alone. */
TEST(mremap_moves_several_areas)
{
	enum { PAGES = 8 };
	char *from = mmap(NULL, PAGES * 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to = mmap(NULL, PAGES * 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
	unsigned char there[PAGES];

	memset(from, 1, PAGES * 4096);
	memset(to, 2, PAGES * 4096);
	MUST(mprotect(from + 4096, 4096, PROT_READ));
	MUST(munmap(from + 3 * 4096, 4096));
	/* Not where it isn't moved to another place of the same length. */
	CHECK_ERRNO(mremap(from, 2 * 4096, 2 * 4096 + 4096, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0, EFAULT);
	CHECK_ERRNO(mremap(from, 3 * 4096, 2 * 4096, fixed, to) == MAP_FAILED ? -1 : 0, EFAULT);
	MUST(mmap(to, PAGES * 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0);
	memset(to, 2, PAGES * 4096);
	/* The first page must be there. */
	CHECK_ERRNO(mremap(from + 3 * 4096, 3 * 4096, 3 * 4096, fixed, to) == MAP_FAILED ? -1 : 0, EFAULT);
	CHECK(mremap(from, 6 * 4096, 6 * 4096, fixed, to) == to);
	CHECK_EQ(to[0] + to[4096] + to[2 * 4096] + to[4 * 4096] + to[5 * 4096], 5);
	/* A gap has no effect on what was there. */
	CHECK_EQ(to[3 * 4096], 2);
	CHECK_EQ(to[6 * 4096], 2);
	CHECK_ERRNO(mincore(from, 4096, there), ENOMEM);
	CHECK_ERRNO(mincore(from + 5 * 4096, 4096, there), ENOMEM);
	CHECK_EQ(mincore(from + 6 * 4096, 2 * 4096, there), 0);
	CHECK_EQ(madvise(to + 4096, 4096, MADV_POPULATE_WRITE), -1);
	CHECK_EQ(mprotect(to + 4096, 4096, RW), 0);
	/* What is left behind is empty. */
	MUST(mprotect(to + 4096, 4096, PROT_READ));
	CHECK(mremap(to, 3 * 4096, 3 * 4096, fixed | MREMAP_DONTUNMAP, from) == from);
	CHECK_EQ(from[0] + from[4096] + from[2 * 4096], 3);
	CHECK_EQ(to[0] + to[4096] + to[2 * 4096], 0);
	/* What comes before an area that can't be moved has been moved. */
	if (syscall(SYS_mseal, from + 4096, 4096, 0) == 0) {
		CHECK_ERRNO(mremap(from, 3 * 4096, 3 * 4096, fixed, to) == MAP_FAILED ? -1 : 0, EPERM);
		CHECK_EQ(to[0], 1);
		CHECK_EQ(to[2 * 4096], 0);
		CHECK_EQ(from[2 * 4096], 1);
	}
}

/* What is shown of kinds of areas, and what each refuses: found by a table of calls and areas. */
TEST(kinds_of_areas)
{
	int fd, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	char *plain, *unreserved, *droppable, *zeros, *sealed;

	plain = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
	unreserved = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, -1, 0);
	CHECK(has_flag(plain, " ac "));
	CHECK(!has_flag(unreserved, " ac "));
	MUST(mprotect(unreserved, 2 * PAGE, PROT_READ));
	MUST(mprotect(unreserved, 2 * PAGE, PROT_READ | PROT_WRITE));
	CHECK(!has_flag(unreserved, " ac "));
	CHECK(has_flag(unreserved, " nr "));
	droppable = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_DROPPABLE, -1, 0);
	CHECK(!has_flag(droppable, " ac "));
	MUST(madvise(droppable, 2 * PAGE, MADV_MERGEABLE));
	CHECK(!has_flag(droppable, " mg "));
	fd = (int)MUST(open("/dev/zero", O_RDWR));
	zeros = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK_ERRNO(madvise(zeros, PAGE, MADV_REMOVE), EACCES);
	CHECK_ERRNO(madvise(plain, PAGE, MADV_REMOVE), EINVAL);
	fd = (int)MUST(memfd_create("sealed", MFD_ALLOW_SEALING));
	MUST(ftruncate(fd, PAGE));
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	sealed = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(has_flag(sealed, " sh "));
	CHECK(!has_flag(sealed, " mw "));
}

/* Room for 16 pages, with a page of another kind on either side. */
static char *room_of_pages(void)
{
	char *room = MAP_FAILED;

	room = mmap(NULL, 18 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(room == MAP_FAILED ? -1 : 0);
	MUST(mprotect(room, PAGE, PROT_NONE));
	MUST(munmap(room + PAGE, 16 * PAGE));
	return room + PAGE;
}

static void map_at(char *room, int page, int count)
{
	void *got = mmap(room + page * PAGE, (size_t)count * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	MUST(got == MAP_FAILED ? -1 : 0);
}

/* The areas in a room: where each begins and ends, in pages. */
static const char *pieces(const char *room)
{
	static char text[200];
	unsigned long start, end, base = (uintptr_t)room;
	char line[300], *at = text;
	FILE *file = fopen("/proc/self/maps", "re");

	MUST(file == NULL ? -1 : 0);
	*at = 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && start >= base && end <= base + 16 * PAGE)
			at += sprintf(at, "%s%lu-%lu", at == text ? "" : " ", (start - base) / PAGE, (end - base) / PAGE);
	fclose(file);
	return text;
}

/* Areas that have pages of their own are one again only if they were one when the first of these came. */
TEST(areas_that_were_one)
{
	char *room = room_of_pages();

	map_at(room, 0, 2);
	room[0] = 1;
	map_at(room, 4, 2);
	room[4 * PAGE] = 1;
	map_at(room, 2, 2);
	CHECK_STRING(pieces(room), "0-4 4-6");
	room = room_of_pages();
	map_at(room, 0, 6);
	room[0] = 1;
	MUST(mprotect(room + 2 * PAGE, 2 * PAGE, PROT_READ));
	CHECK_STRING(pieces(room), "0-2 2-4 4-6");
	room[4 * PAGE] = 1;
	MUST(mprotect(room + 2 * PAGE, 2 * PAGE, RW));
	CHECK_STRING(pieces(room), "0-6");
	/* Those that touch and could be one but for their rights share what they belong to. */
	room = room_of_pages();
	map_at(room, 0, 4);
	MUST(mprotect(room + 2 * PAGE, 2 * PAGE, RW | PROT_EXEC));
	room[0] = 1;
	room[2 * PAGE] = 1;
	MUST(mprotect(room + 2 * PAGE, 2 * PAGE, RW));
	CHECK_STRING(pieces(room), "0-4");
	/* What was moved remembers where it was. */
	room = room_of_pages();
	map_at(room, 0, 4);
	memset(room, 1, 4 * PAGE);
	MUST(remap(room + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 8 * PAGE) == MAP_FAILED ? -1 : 0);
	CHECK_STRING(pieces(room), "0-2 8-10");
	MUST(remap(room + 8 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 2 * PAGE) == MAP_FAILED ? -1 : 0);
	CHECK_STRING(pieces(room), "0-4");
	MUST(remap(room + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 4 * PAGE) == MAP_FAILED ? -1 : 0);
	map_at(room, 2, 2);
	CHECK_STRING(pieces(room), "0-4 4-6");
	/* One whose pages have all gone elsewhere has forgotten that. */
	room = room_of_pages();
	map_at(room, 0, 2);
	room[0] = 1;
	map_at(room, 4, 2);
	room[4 * PAGE] = 1;
	MUST(remap(room, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, room + 8 * PAGE) == MAP_FAILED ? -1 : 0);
	map_at(room, 2, 2);
	CHECK_STRING(pieces(room), "0-6 8-10");
	/* One without pages has nothing to remember. */
	room = room_of_pages();
	map_at(room, 0, 2);
	room[0] = 1;
	map_at(room, 8, 2);
	MUST(remap(room + 8 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 2 * PAGE) == MAP_FAILED ? -1 : 0);
	CHECK_STRING(pieces(room), "0-4");
}

/* A child's areas are each of their own, and new ones beside those with a parent's pages stay apart. */
TEST(areas_of_a_child)
{
	char *room = room_of_pages();
	pid_t child;

	map_at(room, 0, 6);
	memset(room, 1, 6 * PAGE);
	MUST(mprotect(room + 2 * PAGE, 2 * PAGE, PROT_READ));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(mprotect(room + 2 * PAGE, 2 * PAGE, RW));
		CHECK_STRING(pieces(room), "0-2 2-4 4-6");
		map_at(room, 6, 2);
		CHECK_STRING(pieces(room), "0-2 2-4 4-6 6-8");
		/* A border of its own goes again. */
		MUST(mprotect(room, PAGE, PROT_READ));
		CHECK_STRING(pieces(room), "0-1 1-2 2-4 4-6 6-8");
		MUST(mprotect(room, PAGE, RW));
		CHECK_STRING(pieces(room), "0-2 2-4 4-6 6-8");
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(mprotect(room + 2 * PAGE, 2 * PAGE, RW));
	map_at(room, 6, 2);
	CHECK_STRING(pieces(room), "0-8");
}

/* The kernel's own pages aren't locked with all others, and what was locked apart is one area again afterwards. */
TEST(all_is_locked_and_one_again)
{
	char *memory = map_pages(8);
	unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
	int pieces, locked, vdso_is_locked, pieces_then;

	MUST(mprotect(memory, PAGE, PROT_NONE));
	MUST(mprotect(memory + 7 * PAGE, PAGE, PROT_NONE));
	MUST(mlock(memory + PAGE, PAGE));
	MUST(mlock2(memory + 3 * PAGE, PAGE, MLOCK_ONFAULT));
	pieces = length_of_area(memory + PAGE) / PAGE;
	if (mlockall(MCL_CURRENT) != 0)
		return;
	locked = has_flag(memory + 3 * PAGE, " lo");
	vdso_is_locked = vdso != 0 && has_flag((void *)vdso, " lo");
	pieces_then = length_of_area(memory + PAGE) / PAGE;
	MUST(munlockall());
	CHECK_EQ(pieces, 1);
	CHECK(locked);
	CHECK(!vdso_is_locked);
	CHECK_EQ(pieces_then, 6);
	MUST(mlock(memory + 2 * PAGE, PAGE));
	MUST(munlockall());
	CHECK_EQ(length_of_area(memory + PAGE), 6 * PAGE);
}

/* Threads' stacks have no huge pages, and so stay apart from other memory beside them. */
TEST(stacks_have_no_huge_pages)
{
	char *memory = map_pages(4);

	CHECK(mmap(memory + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_FIXED, -1, 0) == memory + PAGE);
	CHECK(has_flag(memory + PAGE, " nh"));
	CHECK(!has_flag(memory, " nh"));
	CHECK_EQ(length_of_area(memory + PAGE), PAGE);
}
