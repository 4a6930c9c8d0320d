/* Guard regions: madvise(2), MADV_GUARD_INSTALL and MADV_GUARD_REMOVE (Linux 6.13; of files, 6.15). */
#include "userfault.h"

#include <linux/fs.h>
#include <sys/uio.h>

#define GUARD_INSTALL 102
#define GUARD_REMOVE 103
#define SHOWN_GUARD (1UL << 62 | 1UL << 58)

static int guard(char *pages, size_t count)
{
	return madvise(pages, count * PAGE, GUARD_INSTALL);
}

static int unguard(char *pages, size_t count)
{
	return madvise(pages, count * PAGE, GUARD_REMOVE);
}

static uint64_t shown_of(const char *page)
{
	int fd = (int)MUST(open("/proc/self/pagemap", O_RDONLY));
	uint64_t shown;

	MUST(pread(fd, &shown, sizeof(shown), (off_t)((uintptr_t)page / PAGE * sizeof(shown))));
	close(fd);
	return shown;
}

/* How long the area of a page is, in pages, and whether its flags in smaps have `flag`. */
static int area_of(const char *page, const char *flag, int *has_flag)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	unsigned long start, end, place = (unsigned long)page;
	int length = 0;
	char line[512], rights[5];

	*has_flag = 0;
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx %4[rwxps-]", &start, &end, rights) == 3) {
			if (length)
				break;
			length = start <= place && place < end ? (int)((end - start) / PAGE) : 0;
		} else if (length && strncmp(line, "VmFlags:", 8) == 0) {
			*has_flag = strstr(line, flag) != NULL;
		}
	}
	fclose(smaps);
	return length;
}

TEST(who_touches_a_guard_gets_a_signal)
{
	char *pages = map_pages(6);
	int has_flag;

	memset(pages, 7, 6 * PAGE);
	CHECK_EQ(guard(pages + PAGE, 2), 0);
	CHECK_EQ(touch(pages + PAGE, READ), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_MAPERR);
	CHECK(fault_address == pages + PAGE);
	CHECK_EQ(touch(pages + 3 * PAGE - 1, WRITE), SIGSEGV);
	CHECK_EQ(touch(pages, WRITE), 0);
	CHECK_EQ(touch(pages + 3 * PAGE, WRITE), 0);
	CHECK_EQ(shown_of(pages + PAGE) & 0xffUL << 55, SHOWN_GUARD);
	CHECK_EQ(shown_of(pages) & SHOWN_GUARD, 0);
	CHECK_EQ(area_of(pages, " gu ", &has_flag), 6);
	CHECK(has_flag);
	CHECK_EQ(guard(pages + PAGE, 2), 0);
	CHECK_EQ(unguard(pages, 2), 0);
	CHECK_EQ(touch(pages + PAGE, READ), 0);
	CHECK_EQ(touch(pages + 2 * PAGE, READ), SIGSEGV);
	CHECK_EQ(unguard(pages, 6), 0);
	CHECK(pages[0] == 7 && pages[PAGE] == 0 && pages[2 * PAGE] == 0 && pages[3 * PAGE] == 7);
	area_of(pages, " gu ", &has_flag);
	CHECK(has_flag);
}

TEST(guards_outlive_what_is_said_of_the_memory)
{
	static const int advices[] = {MADV_DONTNEED, MADV_FREE,	     MADV_COLD,	   MADV_PAGEOUT,
				      MADV_NORMAL,   MADV_HUGEPAGE, MADV_WILLNEED, 24 /* MADV_DONTNEED_LOCKED */};
	char *pages = map_pages(4);

	CHECK_EQ(guard(pages + PAGE, 1), 0);
	for (size_t at = 0; at < LENGTH(advices); at++) {
		CHECK_EQ(madvise(pages, 4 * PAGE, advices[at]), 0);
		CHECK_EQ(touch(pages + PAGE, READ), SIGSEGV);
	}
	MUST(mprotect(pages, 4 * PAGE, PROT_READ));
	CHECK_EQ(touch(pages + PAGE, READ), SIGSEGV);
	MUST(mprotect(pages, 4 * PAGE, PROT_READ | PROT_WRITE));
	CHECK_EQ(touch(pages + PAGE, WRITE), SIGSEGV);
	CHECK_ERRNO(madvise(pages, 4 * PAGE, 22 /* MADV_POPULATE_READ */), EFAULT);
	CHECK_ERRNO(madvise(pages, 4 * PAGE, 23 /* MADV_POPULATE_WRITE */), EFAULT);
	MUST(munmap(pages + PAGE, PAGE));
	MUST(mmap(pages + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0);
	CHECK_EQ(touch(pages + PAGE, READ), 0);
}

TEST(locked_memory_is_not_guarded)
{
	char *pages = map_pages(4);

	MUST(mlock(pages, PAGE));
	CHECK_ERRNO(guard(pages, 1), EINVAL);
	CHECK_EQ(unguard(pages, 1), 0);
	MUST(munlock(pages, PAGE));
	CHECK_EQ(guard(pages, 1), 0);
	CHECK_ERRNO(mlock(pages, 4 * PAGE), ENOMEM);
	CHECK_ERRNO(madvise(pages, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(guard(pages + PAGE, 1), EINVAL);
	CHECK_EQ(touch(pages, READ), SIGSEGV);
	CHECK_EQ(unguard(pages, 1), 0);
	CHECK_EQ(touch(pages, READ), 0);
}

TEST(guards_have_errors)
{
	char *pages = free_range(4), *sealed;

	CHECK_ERRNO(guard(pages, 1), ENOMEM);
	pages = map_pages(3);
	CHECK_ERRNO(guard(pages + 1, 1), EINVAL);
	CHECK_EQ(madvise(pages, 0, GUARD_INSTALL), 0);
	CHECK_EQ(madvise(pages, 100, GUARD_INSTALL), 0);
	CHECK_EQ(touch(pages, READ), SIGSEGV);
	CHECK_EQ(touch(pages + PAGE, READ), 0);
	CHECK_ERRNO(madvise(pages, PAGE, 104), EINVAL);
	/* What comes behind a hole is guarded all the same. */
	MUST(munmap(pages + PAGE, PAGE));
	CHECK_ERRNO(guard(pages, 3), ENOMEM);
	CHECK_EQ(touch(pages + 2 * PAGE, READ), SIGSEGV);
	CHECK_ERRNO(unguard(pages, 3), ENOMEM);
	CHECK_EQ(touch(pages, READ), 0);
	CHECK_EQ(touch(pages + 2 * PAGE, READ), 0);
	/* Who may write to sealed memory could make zeros of it. */
	sealed = map_pages(2);
	MUST(mprotect(sealed, PAGE, PROT_READ));
	MUST(syscall(462 /* mseal */, sealed, 2 * PAGE, 0));
	CHECK_ERRNO(guard(sealed, 1), EPERM);
	CHECK_EQ(guard(sealed + PAGE, 1), 0);
	CHECK_EQ(unguard(sealed, 2), 0);
}

static int touched_by_child(char *page)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit(touch(page, READ));
	return wait_for(child);
}

TEST(a_child_has_the_guards)
{
	char *pages = map_pages(2);
	char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK_EQ(guard(pages, 1), 0);
	CHECK_EQ(guard(shared, 1), 0);
	CHECK_EQ(touched_by_child(pages), EXITED(SIGSEGV));
	CHECK_EQ(touched_by_child(pages + PAGE), EXITED(0));
	CHECK_EQ(touched_by_child(shared), EXITED(SIGSEGV));
	MUST(madvise(pages, PAGE, MADV_WIPEONFORK));
	CHECK_EQ(touched_by_child(pages), EXITED(0));
	CHECK_EQ(touch(pages, READ), SIGSEGV);
}

TEST(guards_move_with_their_memory)
{
	char *pages = map_pages(4), *moved, *target = free_range(8);

	CHECK_EQ(guard(pages, 1), 0);
	moved = mremap(pages, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	CHECK(moved == target);
	CHECK_EQ(touch(moved, READ), SIGSEGV);
	CHECK_EQ(touch(moved + PAGE, READ), 0);
	MUST(mremap(moved, 8 * PAGE, PAGE, 0) == MAP_FAILED ? -1 : 0);
	CHECK_EQ(touch(moved, READ), SIGSEGV);
	pages = map_pages(2);
	CHECK_EQ(guard(pages, 1), 0);
	moved = mremap(pages, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | 4 /* MREMAP_DONTUNMAP */, 0);
	CHECK_EQ(touch(pages, READ), 0);
	CHECK_EQ(touch(moved, READ), SIGSEGV);
}

/* Areas become one though only one of them was ever guarded. */
TEST(guarded_areas_merge)
{
	char *pages = free_range(6);
	int has_flag, prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	MUST(mmap(pages + 2 * PAGE, 2 * PAGE, prot, flags, -1, 0) == MAP_FAILED ? -1 : 0);
	CHECK_EQ(guard(pages + 2 * PAGE, 1), 0);
	MUST(mmap(pages + 4 * PAGE, PAGE, prot, flags, -1, 0) == MAP_FAILED ? -1 : 0);
	MUST(mmap(pages + PAGE, PAGE, prot, flags, -1, 0) == MAP_FAILED ? -1 : 0);
	CHECK_EQ(area_of(pages + PAGE, " gu ", &has_flag), 4);
	CHECK(has_flag);
	MUST(mprotect(pages + 4 * PAGE, PAGE, PROT_READ));
	CHECK_EQ(area_of(pages + PAGE, " gu ", &has_flag), 3);
	MUST(mprotect(pages + 4 * PAGE, PAGE, prot));
	CHECK_EQ(area_of(pages + PAGE, " gu ", &has_flag), 4);
}

/* Calls find that a guard is no memory; tracers do, too. */
TEST(calls_stop_at_guards)
{
	char *pages = map_pages(3), *only_read = map_pages(1);
	static char copy[3 * PAGE];
	int ends[2], memory = (int)MUST(open("/proc/self/mem", O_RDWR));
	struct iovec local = {copy, sizeof(copy)}, remote = {pages, sizeof(copy)};
	unsigned char there[3];

	memset(pages, 5, 3 * PAGE);
	CHECK_EQ(guard(pages + PAGE, 1), 0);
	CHECK_EQ(guard(only_read, 1), 0);
	MUST(mprotect(only_read, PAGE, PROT_READ));
	MUST(pipe(ends));
	CHECK_ERRNO(write(ends[1], pages + PAGE, 10), EFAULT);
	CHECK_EQ(write(ends[1], pages, 2 * PAGE), PAGE);
	CHECK_ERRNO(read(ends[0], pages + PAGE, 10), EFAULT);
	CHECK_ERRNO(pread(memory, copy, 100, (off_t)(pages + PAGE)), EIO);
	CHECK_EQ(pread(memory, copy, sizeof(copy), (off_t)pages), PAGE);
	CHECK_ERRNO(pwrite(memory, "abc", 3, (off_t)(pages + PAGE)), EIO);
	CHECK_ERRNO(pwrite(memory, "abc", 3, (off_t)only_read), EIO);
	CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), PAGE);
	CHECK_EQ(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), PAGE);
	CHECK_EQ(mincore(pages, 3 * PAGE, there), 0);
	CHECK(there[0] == 1 && there[1] == 0 && there[2] == 1);
}

TEST(mappings_of_files_have_guards)
{
	char path[] = "/tmp/guarded-XXXXXX", *mine, *shared, *other, data[2 * PAGE];
	int fd = (int)MUST(mkstemp(path));

	unlink(path);
	memset(data, 'x', sizeof(data));
	MUST(write(fd, data, sizeof(data)));
	mine = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	shared = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	other = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	mine[0] = 'y';
	CHECK_EQ(guard(mine, 1), 0);
	CHECK_EQ(touch(mine + PAGE, READ), 0);
	CHECK_EQ(touch(mine, READ), SIGSEGV);
	CHECK_EQ(touched_by_child(mine), EXITED(SIGSEGV));
	CHECK_EQ(unguard(mine, 1), 0);
	CHECK_EQ(mine[0], 'x');
	CHECK_EQ(guard(mine + 2 * PAGE, 1), 0);
	CHECK_EQ(touch(mine + 2 * PAGE, READ), SIGSEGV);
	CHECK_EQ(unguard(mine + 2 * PAGE, 1), 0);
	CHECK_EQ(touch(mine + 2 * PAGE, READ), SIGBUS);
	CHECK_EQ(guard(shared, 1), 0);
	CHECK_EQ(touch(shared + PAGE, READ), 0);
	CHECK_EQ(touch(other, WRITE), 0);
	MUST(ftruncate(fd, 0));
	CHECK_EQ(touch(shared, READ), SIGSEGV);
	CHECK_EQ(touch(shared + PAGE, READ), SIGBUS);
	MUST(ftruncate(fd, 2 * PAGE));
	CHECK_EQ(touch(shared, READ), SIGSEGV);
	CHECK_EQ(touch(shared + PAGE, READ), 0);
	CHECK_EQ(unguard(shared, 1), 0);
	CHECK_EQ(touch(shared, READ), 0);
}

/* What a program may advise of itself by process_madvise(2) is more than what it may of others. */
TEST(process_madvise_guards_oneself)
{
	char *pages = map_pages(4);
	struct iovec parts[] = {{pages, PAGE}, {pages + 2 * PAGE, PAGE}};
	int fd = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0));
	pid_t child;

	CHECK_EQ(syscall(SYS_process_madvise, fd, parts, 2, GUARD_INSTALL, 0), 2 * PAGE);
	CHECK_EQ(touch(pages, READ), SIGSEGV);
	CHECK_EQ(touch(pages + PAGE, READ), 0);
	CHECK_EQ(touch(pages + 2 * PAGE, READ), SIGSEGV);
	CHECK_EQ(syscall(SYS_process_madvise, fd, parts, 2, GUARD_REMOVE, 0), 2 * PAGE);
	CHECK_EQ(syscall(SYS_process_madvise, fd, parts, 2, MADV_DONTNEED, 0), 2 * PAGE);
	CHECK_EQ(syscall(SYS_process_madvise, fd, parts, 2, MADV_DONTFORK, 0), 2 * PAGE);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, parts, 2, 104, 0), EINVAL);
	/* Of no bytes at all the advice isn't looked at. */
	CHECK_EQ(syscall(SYS_process_madvise, fd, parts, 0, 104, 0), 0);
	close(fd);
	pages = parts[0].iov_base = map_pages(1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pause();
		_exit(0);
	}
	fd = (int)MUST(syscall(SYS_pidfd_open, child, 0));
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, parts, 1, GUARD_INSTALL, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_process_madvise, fd, parts, 1, MADV_NORMAL, 0), EINVAL);
	kill(child, SIGKILL);
	wait_for(child);
}

/* PAGEMAP_SCAN tells of guards; of pages that were never there it says that they were written. */
TEST(the_scan_of_pages_finds_guards)
{
	char *pages = map_pages(4);
	struct page_region found[4];
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)pages,
		.end = (uintptr_t)pages + 4 * PAGE,
		.vec = (uintptr_t)found,
		.vec_len = LENGTH(found),
		.category_anyof_mask = 0x1ff,
		.return_mask = 0x1ff,
	};
	int fd = (int)MUST(open("/proc/self/pagemap", O_RDONLY));

	pages[0] = 1;
	CHECK_EQ(guard(pages + PAGE, 1), 0);
	CHECK_EQ(ioctl(fd, PAGEMAP_SCAN, &scan), 3);
	CHECK(found[0].categories == 0xa && found[1].categories == 0x112 && found[2].categories == 2);
	scan.category_mask = 0x100;
	CHECK_EQ(ioctl(fd, PAGEMAP_SCAN, &scan), 1);
	CHECK_EQ(found[0].start, (uintptr_t)pages + PAGE);
	CHECK_EQ(found[0].end, (uintptr_t)pages + 2 * PAGE);
	scan.category_mask = 0x200;
	CHECK_ERRNO(ioctl(fd, PAGEMAP_SCAN, &scan), EINVAL);
}

/* userfaultfd(2) fills a guarded page, but marks none. */
TEST(guards_are_filled_by_userfaultfd)
{
	char *pages = map_pages(3), source[2 * PAGE];
	int fd = new_uffd(O_CLOEXEC | O_NONBLOCK, 0);
	struct uffdio_copy copy = {
		.dst = (uintptr_t)pages + PAGE,
		.src = ((uintptr_t)source + PAGE - 1) & -PAGE,
		.len = PAGE,
	};
	struct uffdio_zeropage zero = {.range = {(uintptr_t)pages + PAGE, PAGE}};

	CHECK_EQ(guard(pages + PAGE, 2), 0);
	CHECK_EQ(enroll(fd, pages, 3, UFFDIO_REGISTER_MODE_MISSING), 0);
	CHECK_EQ(touch(pages + 2 * PAGE, READ), SIGSEGV);
	CHECK_ERRNO(ioctl(fd, UFFDIO_ZEROPAGE, &zero), EEXIST);
	CHECK_EQ(ioctl(fd, UFFDIO_COPY, &copy), 0);
	CHECK_EQ(touch(pages + PAGE, READ), 0);
}
