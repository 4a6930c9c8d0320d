/* An address space of anonymous memory: mmap(2), munmap(2), mprotect(2), mremap(2), brk(2), madvise(2), mincore(2). */
#include "fault.h"

#include <sys/resource.h>

#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

TEST(anonymous_memory_is_zero)
{
	char *memory = mmap(NULL, 3 * PAGE + 1, RW, ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	CHECK_EQ((uintptr_t)memory % PAGE, 0);
	CHECK(is_zero(memory, 4 * PAGE));
	memset(memory, 'x', 4 * PAGE);
	CHECK_EQ(memory[4 * PAGE - 1], 'x');
	CHECK_EQ(munmap(memory, 3 * PAGE + 1), 0);
	CHECK_EQ(touch(memory + 3 * PAGE, READ), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_MAPERR);
}

TEST(mmap_errnos)
{
	int ends[2];
	char *memory = map_pages(2);

	MUST(pipe(ends));
	CHECK_ERRNO(mmap(NULL, 0, RW, ANONYMOUS, -1, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
	CHECK_ERRNO(mmap(memory + 1, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, 1UL << 47, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(NULL, SIZE_MAX - PAGE, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap((void *)0xffff800000000000, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0), EBADF);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 5000, 0), EBADF);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0), ENODEV);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, ANONYMOUS, -1, 1), EINVAL);
}

TEST(addresses_that_are_asked_for)
{
	char *range = free_range(8), *got;

	got = mmap(range, 4 * PAGE, RW, ANONYMOUS, -1, 0);
	CHECK(got == range);
	memset(got, 'a', 4 * PAGE);
	got = mmap(range, PAGE, RW, ANONYMOUS, -1, 0);
	CHECK(got != MAP_FAILED && (got + PAGE <= range || got >= range + 4 * PAGE));
	CHECK_ERRNO(mmap(range, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	CHECK_ERRNO(mmap(range + 3 * PAGE, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	CHECK_EQ(range[0], 'a');
	CHECK_EQ(munmap(range + 3 * PAGE, PAGE), 0);
	got = mmap(range + 3 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(got == range + 3 * PAGE);
	CHECK_EQ(*got, 0);
	got = mmap(range + PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(got == range + PAGE);
	CHECK_EQ(range[PAGE - 1], 'a');
	CHECK(is_zero(range + PAGE, PAGE));
	CHECK_EQ(range[2 * PAGE], 'a');
}

TEST(other_flags)
{
	unsigned char resident[4];
	char *memory = mmap(NULL, PAGE, RW, ANONYMOUS | MAP_32BIT, -1, 0);

	CHECK(memory != MAP_FAILED && (uintptr_t)memory + PAGE <= 1UL << 31);
	memory = mmap(NULL, 4 * PAGE, RW, ANONYMOUS | MAP_POPULATE, -1, 0);
	CHECK(memory != MAP_FAILED);
	CHECK_EQ(mincore(memory, 4 * PAGE, resident), 0);
	CHECK_EQ((resident[0] & 1) + (resident[1] & 1) + (resident[2] & 1) + (resident[3] & 1), 4);
	memory = mmap(NULL, PAGE, RW, ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	CHECK(memory != MAP_FAILED && *memory == 0);
	memory = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED && *memory == 0);
}

TEST(munmap_splits)
{
	char *memory = map_pages(5);

	memset(memory, 'm', 5 * PAGE);
	CHECK_EQ(munmap(memory + 2 * PAGE, PAGE), 0);
	CHECK_EQ(touch(memory + 2 * PAGE, READ), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_MAPERR);
	CHECK_EQ(touch(memory + 3 * PAGE - 1, WRITE), SIGSEGV);
	CHECK(fault_address == memory + 3 * PAGE - 1);
	CHECK_EQ(memory[2 * PAGE - 1], 'm');
	CHECK_EQ(memory[3 * PAGE], 'm');
	CHECK_EQ(munmap(memory + 2 * PAGE, PAGE), 0);
	CHECK_EQ(munmap(memory, PAGE), 0);
	CHECK_EQ(munmap(memory + 4 * PAGE, PAGE), 0);
	CHECK_EQ(touch(memory, READ), SIGSEGV);
	CHECK_EQ(touch(memory + PAGE, WRITE), 0);
	CHECK_EQ(touch(memory + 3 * PAGE, WRITE), 0);
	CHECK_EQ(touch(memory + 4 * PAGE, READ), SIGSEGV);
	CHECK_EQ(munmap(memory, 5 * PAGE), 0);
	CHECK_EQ(touch(memory + PAGE, READ), SIGSEGV);
	CHECK_ERRNO(munmap(memory + 1, PAGE), EINVAL);
	CHECK_ERRNO(munmap(memory, 0), EINVAL);
	CHECK_ERRNO(munmap((void *)0xffff800000000000, PAGE), EINVAL);
}

TEST(mprotect_takes_and_gives_rights)
{
	char *memory = map_pages(4);

	memset(memory, 'p', 4 * PAGE);
	CHECK_EQ(mprotect(memory + PAGE, PAGE, PROT_READ), 0);
	CHECK_EQ(touch(memory + PAGE + 5, READ), 0);
	CHECK_EQ(touch(memory + PAGE + 5, WRITE), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_ACCERR);
	CHECK(fault_address == memory + PAGE + 5);
	CHECK_EQ(touch(memory, WRITE), 0);
	CHECK_EQ(touch(memory + 2 * PAGE, WRITE), 0);
	CHECK_EQ(mprotect(memory + 2 * PAGE, PAGE, PROT_NONE), 0);
	CHECK_EQ(touch(memory + 2 * PAGE, READ), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_ACCERR);
	CHECK_EQ(mprotect(memory, 4 * PAGE, RW), 0);
	CHECK_EQ(touch(memory + PAGE, WRITE), 0);
	CHECK_EQ(memory[2 * PAGE], 'p');
	CHECK_EQ(touch(memory, EXECUTE), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_ACCERR);
	CHECK(fault_address == memory);
	CHECK_EQ(mprotect(memory, 0, PROT_READ), 0);
	CHECK_EQ(touch(memory, WRITE), 0);
}

TEST(mprotect_errnos)
{
	char *memory = map_pages(4);

	CHECK_EQ(munmap(memory + 2 * PAGE, PAGE), 0);
	CHECK_ERRNO(mprotect(memory + 1, PAGE, PROT_READ), EINVAL);
	CHECK_ERRNO(mprotect(memory, PAGE, 0x100), EINVAL);
	CHECK_ERRNO(mprotect(memory + 2 * PAGE, PAGE, PROT_READ), ENOMEM);
	CHECK_ERRNO(mprotect(memory, 4 * PAGE, PROT_READ), ENOMEM);
	CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
}

static char *page_to_open;
static volatile int repairs;

static void repair(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	repairs++;
	if (info->si_addr != page_to_open + 7 || mprotect(page_to_open, PAGE, RW) == -1)
		_exit(1);
}

TEST(faulting_instruction_runs_again)
{
	page_to_open = map_pages(1);
	MUST(mprotect(page_to_open, PAGE, PROT_NONE));
	handle_info(SIGSEGV, repair, 0);
	*(volatile char *)(page_to_open + 7) = 'r';
	CHECK_EQ(repairs, 1);
	CHECK_EQ(page_to_open[7], 'r');
	MUST(mprotect(page_to_open, PAGE, PROT_READ));
	*(volatile char *)(page_to_open + 7) += 1;
	CHECK_EQ(repairs, 2);
	CHECK_EQ(page_to_open[7], 's');
}

TEST(fault_without_a_handler_kills)
{
	struct rlimit none = {0, 0};
	pid_t child;

	MUST(setrlimit(RLIMIT_CORE, &none));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(*(volatile char *)bad_address());
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGSEGV);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle(SIGSEGV, SIG_IGN, 0);
		block(SIGSEGV);
		_exit(*(volatile char *)bad_address());
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGSEGV);
}

TEST(null_pointer)
{
	CHECK_EQ(touch((char *)bad_address() - 8, READ), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_MAPERR);
	CHECK(fault_address == NULL);
	CHECK_EQ(touch(bad_address(), WRITE), SIGSEGV);
	CHECK(fault_address == bad_address());
	CHECK_EQ(touch(bad_address(), EXECUTE), SIGSEGV);
	CHECK(fault_address == bad_address());
	CHECK_EQ(touch((void *)0xffff800000000000, READ), SIGSEGV);
	CHECK_EQ(touch((void *)0x1234567890abcdef, READ), SIGSEGV);
}

static char *remap(void *old, size_t old_pages, size_t new_pages, int flags, void *target)
{
	return mremap(old, old_pages * PAGE, new_pages * PAGE, flags, target);
}

TEST(mremap_moves_and_resizes)
{
	char *range = free_range(16), *memory, *moved;

	memory = mmap(range, 4 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	for (size_t page = 0; page < 4; page++)
		memset(memory + page * PAGE, 'A' + (int)page, PAGE);
	CHECK(remap(memory, 4, 3, 0, NULL) == memory);
	CHECK_EQ(touch(memory + 3 * PAGE, READ), SIGSEGV);
	CHECK_EQ(memory[3 * PAGE - 1], 'C');
	CHECK(remap(memory, 3, 5, 0, NULL) == memory);
	CHECK(is_zero(memory + 3 * PAGE, 2 * PAGE));
	CHECK_EQ(memory[0], 'A');
	memset(memory + 4 * PAGE, 'E', PAGE);
	MUST(mmap(range + 5 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0);
	CHECK_ERRNO(remap(memory, 5, 6, 0, NULL), ENOMEM);
	moved = remap(memory, 5, 7, MREMAP_MAYMOVE, NULL);
	CHECK(moved != MAP_FAILED && moved != memory);
	CHECK_EQ(moved[0], 'A');
	CHECK_EQ(moved[2 * PAGE], 'C');
	CHECK_EQ(moved[4 * PAGE], 'E');
	CHECK(is_zero(moved + 5 * PAGE, 2 * PAGE));
	CHECK_EQ(touch(memory, READ), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_MAPERR);
	CHECK(remap(moved, 7, 7, 0, NULL) == moved);
}

TEST(mremap_to_a_fixed_address)
{
	char *range = free_range(12), *memory;

	memory = mmap(range, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	memset(memory, 'f', 2 * PAGE);
	MUST(mmap(range + 8 * PAGE, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0);
	range[8 * PAGE] = 'o';
	CHECK(remap(memory, 2, 3, MREMAP_MAYMOVE | MREMAP_FIXED, range + 8 * PAGE) == range + 8 * PAGE);
	CHECK_EQ(range[8 * PAGE], 'f');
	CHECK_EQ(range[10 * PAGE - 1], 'f');
	CHECK_EQ(range[10 * PAGE], 0);
	CHECK_EQ(touch(memory, READ), SIGSEGV);
	CHECK_EQ(touch(memory + PAGE, READ), SIGSEGV);
	memory = range + 8 * PAGE;
	CHECK(remap(memory + PAGE, 1, 1, MREMAP_MAYMOVE | MREMAP_FIXED, range) == range);
	CHECK_EQ(range[0], 'f');
	CHECK_EQ(memory[0], 'f');
	CHECK_EQ(touch(memory + PAGE, READ), SIGSEGV);
	CHECK_EQ(touch(memory + 2 * PAGE, READ), 0);
}

TEST(mremap_dontunmap)
{
	char *memory = map_pages(2), *moved;

	memset(memory, 'd', 2 * PAGE);
	moved = remap(memory, 2, 2, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	CHECK(moved != MAP_FAILED && moved != memory);
	CHECK_EQ(moved[PAGE], 'd');
	CHECK(is_zero(memory, 2 * PAGE));
	CHECK_EQ(touch(memory, WRITE), 0);
}

TEST(mremap_of_shared_memory)
{
	char *memory = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *second;

	strcpy(memory, "shared");
	second = remap(memory, 0, 2, MREMAP_MAYMOVE, NULL);
	CHECK(second != MAP_FAILED && second != memory);
	CHECK_STRING(second, "shared");
	strcpy(second, "both");
	CHECK_STRING(memory, "both");
}

TEST(mremap_errnos)
{
	char *memory = map_pages(4), *hole = map_pages(4), *target = free_range(4);

	MUST(munmap(hole + PAGE, PAGE));
	CHECK_ERRNO(mremap(memory + 1, PAGE, PAGE, MREMAP_MAYMOVE), EINVAL);
	CHECK_ERRNO(remap(memory, 1, 0, MREMAP_MAYMOVE, NULL), EINVAL);
	CHECK_ERRNO(remap(memory, 1, 1, 0x80, NULL), EINVAL);
	CHECK_ERRNO(remap(memory, 1, 1, MREMAP_FIXED, target), EINVAL);
	CHECK_ERRNO(remap(memory, 1, 1, MREMAP_MAYMOVE | MREMAP_FIXED, target + 1), EINVAL);
	CHECK_ERRNO(remap(memory, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED, memory + PAGE), EINVAL);
	CHECK_ERRNO(remap(memory, 1, 2, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL), EINVAL);
	CHECK_ERRNO(remap(memory, 0, 1, MREMAP_MAYMOVE, NULL), EINVAL);
	CHECK_ERRNO(remap(hole + PAGE, 1, 2, MREMAP_MAYMOVE, NULL), EFAULT);
	CHECK_ERRNO(remap(hole, 4, 5, MREMAP_MAYMOVE, NULL), EFAULT);
}

static char *raw_brk(char *end)
{
	return (char *)syscall(SYS_brk, end);
}

TEST(heap_end)
{
	char *start = raw_brk(NULL), *first;

	CHECK(start != NULL);
	CHECK(sbrk(0) == start);
	CHECK(raw_brk(start + 3 * PAGE) == start + 3 * PAGE);
	first = (char *)(((uintptr_t)start + PAGE - 1) & ~(PAGE - 1));
	CHECK(is_zero(first, 2 * PAGE));
	memset(start, 'h', 3 * PAGE);
	CHECK(raw_brk(start) == start);
	CHECK_EQ(touch(first + PAGE, READ), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_MAPERR);
	CHECK(raw_brk(start + 2 * PAGE + 100) == start + 2 * PAGE + 100);
	CHECK(is_zero(first, 2 * PAGE));
	CHECK(raw_brk((char *)PAGE) == start + 2 * PAGE + 100);
	CHECK(raw_brk((char *)-PAGE) == start + 2 * PAGE + 100);
	CHECK(raw_brk(start) == start);
	CHECK(sbrk(8192) == start);
	CHECK(sbrk(0) == start + 8192);
	CHECK(sbrk(-8192) == start + 8192);
	CHECK(sbrk(0) == start);
}

TEST(heap_end_is_copied_by_fork)
{
	char *start = sbrk(PAGE);
	pid_t child;

	*start = 'p';
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK(sbrk(0) == start + PAGE);
		CHECK_EQ(*start, 'p');
		CHECK(sbrk(PAGE) == start + PAGE);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK(sbrk(0) == start + PAGE);
}

TEST(madvise_dontneed)
{
	char *memory = map_pages(4), *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned char resident[4];

	memset(memory, 'n', 4 * PAGE);
	CHECK_EQ(madvise(memory + PAGE, 2 * PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(mincore(memory, 4 * PAGE, resident), 0);
	CHECK_EQ((resident[0] & 1) << 3 | (resident[1] & 1) << 2 | (resident[2] & 1) << 1 | (resident[3] & 1), 9);
	CHECK_EQ(memory[PAGE - 1], 'n');
	CHECK(is_zero(memory + PAGE, 2 * PAGE));
	CHECK_EQ(memory[3 * PAGE], 'n');
	strcpy(shared, "stays");
	CHECK_EQ(madvise(shared, PAGE, MADV_DONTNEED), 0);
	CHECK_STRING(shared, "stays");
	CHECK_EQ(madvise(memory, 0, MADV_DONTNEED), 0);
	CHECK_EQ(madvise(memory, PAGE, MADV_NORMAL), 0);
	CHECK_EQ(madvise(memory, PAGE, MADV_RANDOM), 0);
	CHECK_EQ(madvise(memory, PAGE, MADV_SEQUENTIAL), 0);
	CHECK_EQ(madvise(memory, PAGE, MADV_WILLNEED), 0);
	CHECK_ERRNO(madvise(memory + 1, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(madvise(memory, PAGE, 12345), EINVAL);
	CHECK_ERRNO(madvise(free_range(2), PAGE, MADV_DONTNEED), ENOMEM);
}

TEST(madvise_dontneed_is_private_to_the_caller)
{
	char *memory = map_pages(1);
	pid_t child;

	strcpy(memory, "parent");
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(madvise(memory, PAGE, MADV_DONTNEED), 0);
		CHECK(is_zero(memory, PAGE));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_STRING(memory, "parent");
}

TEST(madvise_about_fork)
{
	char *memory = map_pages(6), *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;

	memset(memory, 'w', 6 * PAGE);
	CHECK_EQ(madvise(memory + PAGE, PAGE, MADV_WIPEONFORK), 0);
	CHECK_EQ(madvise(memory + 2 * PAGE, PAGE, MADV_DONTFORK), 0);
	CHECK_EQ(madvise(memory + 3 * PAGE, 2 * PAGE, MADV_WIPEONFORK), 0);
	CHECK_EQ(madvise(memory + 3 * PAGE, PAGE, MADV_KEEPONFORK), 0);
	CHECK_EQ(madvise(memory + 5 * PAGE, PAGE, MADV_DONTFORK), 0);
	CHECK_EQ(madvise(memory + 5 * PAGE, PAGE, MADV_DOFORK), 0);
	CHECK_ERRNO(madvise(shared, PAGE, MADV_WIPEONFORK), EINVAL);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(memory[0], 'w');
		CHECK(is_zero(memory + PAGE, PAGE));
		CHECK_EQ(touch(memory + 2 * PAGE, READ), SIGSEGV);
		CHECK_EQ(fault_code, SEGV_MAPERR);
		CHECK_EQ(memory[3 * PAGE], 'w');
		CHECK(is_zero(memory + 4 * PAGE, PAGE));
		CHECK_EQ(memory[5 * PAGE], 'w');
		memory[PAGE] = 'x';
		child = (pid_t)MUST(fork());
		if (child == 0) {
			CHECK_EQ(memory[PAGE], 0);
			_exit(0);
		}
		CHECK_EQ(wait_for(child), EXITED(0));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(memory[PAGE], 'w');
	CHECK_EQ(memory[2 * PAGE], 'w');
	CHECK_EQ(memory[4 * PAGE], 'w');
}

TEST(mincore_and_mlock)
{
	char *memory = map_pages(4);
	unsigned char resident[4] = {9, 9, 9, 9};
	struct rlimit none = {0, 0};
	pid_t child;

	memory[PAGE] = 1;
	CHECK_EQ(mincore(memory, 3 * PAGE + 1, resident), 0);
	CHECK_EQ(resident[0] & 1, 0);
	CHECK_EQ(resident[1] & 1, 1);
	CHECK_EQ(resident[2] & 1, 0);
	CHECK_EQ(resident[3] & 1, 0);
	CHECK_ERRNO(mincore(memory + 1, PAGE, resident), EINVAL);
	CHECK_ERRNO(mincore(memory, PAGE, bad_address()), EFAULT);
	CHECK_EQ(mlock(memory + 2 * PAGE, PAGE), 0);
	CHECK_EQ(mincore(memory, 4 * PAGE, resident), 0);
	CHECK_EQ(resident[2] & 1, 1);
	CHECK_EQ(munlock(memory + 2 * PAGE, PAGE), 0);
	MUST(munmap(memory + 3 * PAGE, PAGE));
	CHECK_ERRNO(mincore(memory, 4 * PAGE, resident), ENOMEM);
	CHECK_ERRNO(mlock(memory, 4 * PAGE), ENOMEM);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &none));
		CHECK_ERRNO(mlock(memory, PAGE), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static volatile uintptr_t deepest;

static __attribute__((noinline)) void use_stack(size_t bytes)
{
	volatile char local[16384];

	for (size_t at = 0; at < sizeof(local); at += 1024)
		local[at] = (char)at;
	deepest = (uintptr_t)local;
	if (bytes > sizeof(local))
		use_stack(bytes - sizeof(local));
	local[0] = 1;
}

TEST(stack_grows_up_to_its_limit)
{
	static char alternate[65536];
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct rlimit limit;
	volatile char here = 0;
	int signal;

	MUST(getrlimit(RLIMIT_STACK, &limit));
	limit.rlim_cur = 2 << 20;
	CHECK_OK(setrlimit(RLIMIT_STACK, &limit));
	use_stack(1 << 20);
	CHECK((uintptr_t)&here - deepest >= 1 << 20);
	MUST(sigaltstack(&stack, NULL));
	MUST(sigaction(SIGSEGV, &action, NULL));
	signal = sigsetjmp(fault_return, 1);
	if (signal == 0)
		use_stack(16 << 20);
	CHECK_EQ(signal, SIGSEGV);
	CHECK((uintptr_t)&here - (uintptr_t)fault_address > 3 << 19);
	CHECK((uintptr_t)&here - (uintptr_t)fault_address < 5 << 19);
}

TEST(stack_overflow_without_an_alternate_stack_kills)
{
	struct rlimit limit = {0, 0};
	pid_t child;

	MUST(setrlimit(RLIMIT_CORE, &limit));
	MUST(getrlimit(RLIMIT_STACK, &limit));
	limit.rlim_cur = 1 << 20;
	MUST(setrlimit(RLIMIT_STACK, &limit));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle(SIGSEGV, check_tick, 0);
		use_stack(16 << 20);
		_exit(0);
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGSEGV);
}

TEST(rlimit_as)
{
	struct rlimit limit = {1 << 30, 1 << 30};
	char *memory;

	CHECK(mmap(NULL, 2UL << 30, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED);
	memory = map_pages(1);
	CHECK_OK(setrlimit(RLIMIT_AS, &limit));
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_NONE, ANONYMOUS, -1, 0), ENOMEM);
	CHECK_ERRNO(remap(memory, 1, 2, MREMAP_MAYMOVE, NULL), ENOMEM);
	CHECK_ERRNO(sbrk(1 << 20), ENOMEM);
	CHECK_EQ(touch(memory, WRITE), 0);
	CHECK_EQ(munmap(memory, PAGE), 0);
}

TEST(rlimit_as_counts_whole_mappings)
{
	struct rlimit limit = {1 << 30, 1 << 30};

	CHECK_OK(setrlimit(RLIMIT_AS, &limit));
	CHECK_ERRNO(mmap(NULL, 1UL << 30, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0), ENOMEM);
	CHECK(mmap(NULL, 1UL << 29, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED);
	CHECK_ERRNO(mmap(NULL, 1UL << 29, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0), ENOMEM);
}

TEST(rlimit_data)
{
	struct rlimit none = {0, 0};

	CHECK_OK(setrlimit(RLIMIT_DATA, &none));
	CHECK_ERRNO(mmap(NULL, PAGE, RW, ANONYMOUS, -1, 0), ENOMEM);
	CHECK_ERRNO(sbrk(1 << 20), ENOMEM);
	CHECK(mmap(NULL, PAGE, PROT_READ, ANONYMOUS, -1, 0) != MAP_FAILED);
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

TEST(what_becomes_data)
{
	struct rlimit limit = {1 << 20, RLIM_INFINITY};
	char *large = mmap(NULL, 1 << 22, PROT_READ, ANONYMOUS, -1, 0);
	char *none = mmap(NULL, 1 << 22, PROT_NONE, ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, 1 << 22, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *before = mmap(NULL, 1 << 22, RW, ANONYMOUS, -1, 0);

	CHECK_OK(setrlimit(RLIMIT_DATA, &limit));
	CHECK_ERRNO(mprotect(large, 1 << 22, RW), ENOMEM);
	CHECK_ERRNO(mprotect(large, PAGE, RW | PROT_EXEC), ENOMEM);
	CHECK_OK(mprotect(large, 1 << 22, PROT_READ | PROT_EXEC));
	CHECK_ERRNO(mprotect(none, PAGE, PROT_WRITE), ENOMEM);
	CHECK_OK(mprotect(shared, 1 << 22, RW));
	CHECK_OK(mprotect(before, 1 << 22, PROT_READ));
	CHECK_OK(mprotect(before, PAGE, RW));
	CHECK_ERRNO(mprotect(before, 1 << 22, RW), ENOMEM);
	/* Who has more mapped than RLIMIT_AS says isn't asked. */
	CHECK_OK(setrlimit(RLIMIT_AS, &limit));
	CHECK_OK(mprotect(before, 1 << 22, RW));
}

/* Each is held against what those before it have left. */
TEST(areas_that_become_data_together)
{
	const size_t size = 24 << 20;
	struct rlimit limit = {64 << 20, RLIM_INFINITY};
	int zero = open("/dev/zero", O_RDONLY);
	char *memory = mmap(NULL, 3 * size, PROT_READ, ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK_OK(mprotect(memory + size, size, PROT_NONE));
	CHECK_OK(setrlimit(RLIMIT_DATA, &limit));
	CHECK_ERRNO(mprotect(memory, 3 * size, RW), ENOMEM);
	CHECK(read(zero, memory, 1) == 1);
	CHECK(read(zero, memory + size, 1) == 1);
	CHECK_ERRNO(read(zero, memory + 2 * size, 1), EFAULT);
}

TEST(a_soft_limit_of_no_data_is_the_hard_one)
{
	struct rlimit limit = {0, RLIM_INFINITY};

	CHECK_OK(setrlimit(RLIMIT_DATA, &limit));
	CHECK(mmap(NULL, 1 << 22, RW, ANONYMOUS, -1, 0) != MAP_FAILED);
	CHECK_ERRNO(sbrk(1 << 20), ENOMEM);
	limit.rlim_max = 1 << 22;
	CHECK_OK(setrlimit(RLIMIT_DATA, &limit));
	CHECK_ERRNO(mmap(NULL, 1 << 22, RW, ANONYMOUS, -1, 0), ENOMEM);
}

TEST(bad_pointers_in_calls)
{
	int ends[2];
	char *memory = map_pages(4);

	MUST(pipe(ends));
	write_all(ends[1], "0123456789", 10);
	MUST(mprotect(memory + PAGE, PAGE, PROT_READ));
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_NONE));
	MUST(munmap(memory + 3 * PAGE, PAGE));
	CHECK_ERRNO(read(ends[0], bad_address(), 1), EFAULT);
	CHECK_ERRNO(read(ends[0], memory + PAGE, 1), EFAULT);
	CHECK_ERRNO(read(ends[0], memory + 2 * PAGE, 1), EFAULT);
	CHECK_ERRNO(read(ends[0], memory + 3 * PAGE, 1), EFAULT);
	CHECK_ERRNO(read(ends[0], (void *)0xffff888000000000, 1), EFAULT);
	CHECK_ERRNO(write(ends[1], bad_address(), 1), EFAULT);
	CHECK_ERRNO(write(ends[1], memory + 2 * PAGE, 1), EFAULT);
	CHECK_ERRNO(write(ends[1], (void *)0xffff888000000000, 1), EFAULT);
	CHECK_EQ(write(ends[1], memory + PAGE, 1), 1);
	CHECK_EQ(read(ends[0], memory, 20), 11);
	CHECK_STRING(memory, "0123456789");
	CHECK_ERRNO(pipe(bad_address()), EFAULT);
	CHECK_ERRNO(open(bad_address(), O_RDONLY), EFAULT);
	CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, memory + PAGE), EFAULT);
}

/* What is removed of a large mapping costs by what is there, not by how long it is. */
TEST(remove_from_a_large_shared_mapping)
{
	size_t length = (size_t)1 << 42;
	char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	memory[PAGE] = memory[length - 1] = 'x';
	CHECK_EQ(madvise(memory + 2 * PAGE, length - 2 * PAGE, MADV_REMOVE), 0);
	CHECK_EQ(memory[PAGE], 'x');
	CHECK_EQ(memory[length - 1], 0);
	CHECK_EQ(madvise(memory, length, MADV_REMOVE), 0);
	CHECK_EQ(memory[PAGE], 0);
	MUST(munmap(memory, length));
}

/* Whole areas may go however many there are, but not parts, which would make one more. */
TEST(as_many_areas_as_there_may_be)
{
	char text[20] = "", *memory;
	int fd = (int)MUST(open("/proc/sys/vm/max_map_count", O_RDONLY));
	size_t pages, made = 0;

	MUST(read(fd, text, sizeof(text) - 1));
	pages = 2 * (size_t)atol(text) + 20;
	memory = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	while (made + 4 < pages && mprotect(memory + made * PAGE, PAGE, PROT_READ) == 0)
		made += 2;
	CHECK_EQ(errno, ENOMEM);
	CHECK(made + 100 > pages / 2);
	CHECK_ERRNO(munmap(memory + (made + 3) * PAGE, PAGE), ENOMEM);
	CHECK_EQ(munmap(memory + 10 * PAGE, PAGE), 0);
	CHECK_EQ(munmap(memory + 20 * PAGE, 5 * PAGE), 0);
	CHECK_EQ(munmap(memory + (made + 3) * PAGE, PAGE), 0);
}
