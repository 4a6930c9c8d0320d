/* Odd arguments of the calls on memory, and which of several errors they tell: found by tests/differential. */
#include "fault.h"

#include <sys/uio.h>

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
