/* Transparent huge pages as a program may ask for them or not: prctl(2), PR_SET_THP_DISABLE; madvise(2). */
#include "fault.h"

#include <sys/prctl.h>
#include <sys/uio.h>

#define EXCEPT_ADVISED 2
#define MIB (1UL << 20)

/* The number behind `name` in a file of /proc, of smaps in the part about `page`; -1 if it isn't there. */
static int number_of(const char *path, const char *name, const char *page)
{
	FILE *file = fopen(path, "r");
	unsigned long start, end, place = (unsigned long)page;
	int number = -1, is_there = page == NULL;
	char line[512], rights[5];

	while (fgets(line, sizeof(line), file)) {
		if (page && sscanf(line, "%lx-%lx %4[rwxps-]", &start, &end, rights) == 3)
			is_there = start <= place && place < end;
		else if (is_there && strncmp(line, name, strlen(name)) == 0)
			sscanf(line + strlen(name), ": %d", &number);
	}
	fclose(file);
	return number;
}

static int is_eligible(const char *page)
{
	return number_of("/proc/self/smaps", "THPeligible", page);
}

static int disable(long is_disabled, long flags, long unused)
{
	return prctl(PR_SET_THP_DISABLE, is_disabled, flags, unused, 0);
}

static int is_disabled(void)
{
	return prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
}

TEST(a_program_does_without_huge_pages)
{
	CHECK_EQ(is_disabled(), 0);
	CHECK_EQ(number_of("/proc/self/status", "THP_enabled", NULL), 1);
	CHECK_ERRNO(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_GET_THP_DISABLE, 0, 1, 0, 0), EINVAL);
	CHECK_EQ(disable(1, 0, 0), 0);
	CHECK_EQ(is_disabled(), 1);
	CHECK_EQ(number_of("/proc/self/status", "THP_enabled", NULL), 0);
	CHECK_EQ(disable(7, EXCEPT_ADVISED, 0), 0);
	CHECK_EQ(is_disabled(), 3);
	CHECK_EQ(number_of("/proc/self/status", "THP_enabled", NULL), 1);
	CHECK_ERRNO(disable(1, 1, 0), EINVAL);
	CHECK_ERRNO(disable(1, 4, 0), EINVAL);
	CHECK_ERRNO(disable(1, 0, 1), EINVAL);
	CHECK_ERRNO(disable(0, EXCEPT_ADVISED, 0), EINVAL);
	CHECK_EQ(is_disabled(), 3);
	CHECK_EQ(disable(0, 0, 0), 0);
	CHECK_EQ(is_disabled(), 0);
}

ROLE(tell_whether_disabled)
{
	(void)argc;
	(void)argv;
	return is_disabled();
}

TEST(children_and_programs_do_without_too)
{
	pid_t child;

	CHECK_EQ(disable(1, EXCEPT_ADVISED, 0), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(is_disabled(), 3);
		execl(check_self, check_self, "tell_whether_disabled", NULL);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(3));
}

TEST(smaps_tell_which_areas_may_have_them)
{
	char *pages = map_pages(8 * MIB / PAGE) + 4 * MIB, *few = map_pages(8), *first = pages - 4 * MIB;
	char *shared = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK_EQ(number_of("/proc/self/smaps", "AnonHugePages", pages), 0);
	CHECK_EQ(madvise(first, 8 * MIB, MADV_HUGEPAGE), 0);
	CHECK_EQ(is_eligible(pages), 1);
	CHECK_EQ(madvise(few, 8 * PAGE, MADV_HUGEPAGE), 0);
	CHECK_EQ(is_eligible(few), 0);
	CHECK_EQ(is_eligible(shared), 0);
	CHECK_EQ(disable(1, 0, 0), 0);
	CHECK_EQ(is_eligible(pages), 0);
	CHECK_EQ(disable(1, EXCEPT_ADVISED, 0), 0);
	CHECK_EQ(is_eligible(pages), 1);
	CHECK_EQ(madvise(first, 8 * MIB, MADV_NOHUGEPAGE), 0);
	CHECK_EQ(is_eligible(pages), 0);
	CHECK_EQ(disable(0, 0, 0), 0);
	CHECK_EQ(is_eligible(pages), 0);
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static long collapse_of(int process, void *start, size_t length)
{
	struct iovec part = {start, length};

	return syscall(SYS_process_madvise, process, &part, 1L, MADV_COLLAPSE, 0L);
}

/* Where there is nothing to collapse, or no page of that size. */
TEST(what_cannot_be_collapsed)
{
	char *room = mmap(NULL, 6 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *area = (char *)(((unsigned long)room + 2 * MIB - 1) & ~(2 * MIB - 1));
	int self, other;
	pid_t child;

	CHECK_EQ(madvise(area, 0, MADV_COLLAPSE), 0);
	CHECK_ERRNO(madvise(area + 1, 4096, MADV_COLLAPSE), EINVAL);
	CHECK_ERRNO(madvise(area, 2 * MIB, MADV_COLLAPSE), EINVAL);
	CHECK_EQ(madvise(area, 2 * MIB, MADV_NOHUGEPAGE), 0);
	memset(area, 1, 2 * MIB);
	CHECK_ERRNO(madvise(area, 2 * MIB, MADV_COLLAPSE), EINVAL);
	CHECK_EQ(mprotect(area, 2 * MIB, PROT_NONE), 0);
	CHECK_ERRNO(madvise(area, 2 * MIB, MADV_COLLAPSE), EINVAL);
	self = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0));
	CHECK_ERRNO(collapse_of(self, area, 2 * MIB), EINVAL);
	/* Nor are others' memory's, which takes CAP_SYS_NICE. */
	child = child_that_pauses();
	other = (int)MUST(syscall(SYS_pidfd_open, child, 0));
	CHECK_ERRNO(collapse_of(other, area, 2 * MIB), geteuid() == 0 ? EINVAL : EPERM);
	CHECK_ERRNO(collapse_of(other, area, 100), geteuid() == 0 ? EINVAL : EPERM);
	CHECK_EQ(collapse_of(other, area, 0) == 0 || errno == EPERM, 1);
	MUST(kill(child, SIGKILL));
	MUST(wait_for(child));
	CHECK_EQ(munmap(area, 2 * MIB), 0);
	CHECK_ERRNO(madvise(area, 2 * MIB, MADV_COLLAPSE), ENOMEM);
	CHECK_ERRNO(collapse_of(self, area, 2 * MIB), ENOMEM);
}
