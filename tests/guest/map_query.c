/* PROCMAP_QUERY of /proc/PID/maps; memory that may be dropped; and addresses that only root maps. */
#include "check.h"

#include <sys/ioctl.h>
#include <sys/shm.h>

#define DROPPABLE 8

struct query {
	uint64_t size, flags, address, start, end, what, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};

#define QUERY _IOWR('f', 17, struct query)

static int ask(int fd, uint64_t flags, const void *address, struct query *query, char *name, uint32_t size)
{
	*query = (struct query){.size = sizeof(*query), .flags = flags, .address = (uint64_t)address,
				.name_size = size, .name = (uint64_t)name};
	return ioctl(fd, QUERY, query);
}

static char *pages_of(int protection, int flags, int count)
{
	char *pages = mmap(NULL, (size_t)count * 4096, protection, flags, -1, 0);

	MUST(pages == MAP_FAILED ? -1 : 0);
	return pages;
}

TEST(areas_are_asked_for)
{
	int fd = (int)MUST(open("/proc/self/maps", O_RDONLY));
	struct query query;
	struct stat status;
	char name[PATH_MAX], small[2];
	char *pages = pages_of(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, 3), *file;
	int opened;

	MUST(munmap(pages + 4096, 4096));
	CHECK_OK(ask(fd, 0, pages + 8192 + 5, &query, NULL, 0));
	CHECK_EQ(query.start, pages + 8192);
	CHECK_EQ(query.end, pages + 3 * 4096);
	CHECK_EQ(query.what, 1 | 2 | 8);
	CHECK_EQ(query.page_size, 4096);
	CHECK_ERRNO(ask(fd, 0, pages + 4096, &query, NULL, 0), ENOENT);
	CHECK_OK(ask(fd, 0x10, pages + 4096, &query, NULL, 0));
	CHECK_EQ(query.start, pages + 8192);
	CHECK_ERRNO(ask(fd, 4, pages, &query, NULL, 0), ENOENT);
	CHECK_OK(ask(fd, 0x10 | 4, pages, &query, NULL, 0));
	CHECK(query.start > (uint64_t)pages && query.what & 4);
	CHECK_OK(ask(fd, 0x10 | 0x20, NULL, &query, name, sizeof(name)));
	CHECK_STRING(name, check_self);
	CHECK_EQ(query.name_size, strlen(name) + 1);
	MUST(stat(check_self, &status));
	CHECK_EQ(query.inode, status.st_ino);
	CHECK_ERRNO(ask(fd, 0x10 | 0x20, NULL, &query, small, sizeof(small)), ENAMETOOLONG);
	enter_scratch();
	opened = (int)MUST(open("a file", O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(opened, 8192));
	file = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, opened, 4096);
	CHECK_OK(ask(fd, 0, file, &query, name, sizeof(name)));
	CHECK_EQ(query.offset, 4096);
	CHECK_EQ(query.what, 1);
	CHECK(strstr(name, "/a file") != NULL);
	CHECK_ERRNO(ask(fd, 0x10, (void *)-4096, &query, NULL, 0), ENOENT);
	/* Shared memory without a name counts as a file's. */
	CHECK_OK(ask(fd, 0x20, pages, &query, name, sizeof(name)));
	CHECK_STRING(name, "/dev/zero (deleted)");
	CHECK_ERRNO(ask(fd, 0x20, pages_of(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 1), &query, NULL, 0), ENOENT);
}

TEST(questions_that_are_refused)
{
	int fd = (int)MUST(open("/proc/self/maps", O_RDONLY)), gone;
	struct {
		struct query query;
		char more[5000];
	} large = {{.size = sizeof(struct query)}, {0}};
	struct query *query = &large.query;
	char path[64];
	pid_t child;

	query->flags = 0x40;
	CHECK_ERRNO(ioctl(fd, QUERY, query), EINVAL);
	query->flags = 0x10;
	query->name_size = 5;
	CHECK_ERRNO(ioctl(fd, QUERY, query), EINVAL);
	query->name_size = 0;
	query->build_id = 8;
	CHECK_ERRNO(ioctl(fd, QUERY, query), EINVAL);
	query->build_id = 0;
	query->size = 23;
	CHECK_ERRNO(ioctl(fd, QUERY, query), EINVAL);
	query->size = 24;
	CHECK_OK(ioctl(fd, QUERY, query));
	CHECK_EQ(query->start, 0);
	query->size = 4096;
	CHECK_OK(ioctl(fd, QUERY, query));
	query->size = 4097;
	CHECK_ERRNO(ioctl(fd, QUERY, query), E2BIG);
	large.more[10] = 1;
	query->size = 4096;
	CHECK_ERRNO(ioctl(fd, QUERY, query), E2BIG);
	CHECK_ERRNO(ioctl(fd, QUERY, bad_address()), EFAULT);
	query->size = sizeof(*query);
	CHECK_ERRNO(ioctl(fd, _IOWR('f', 18, struct query), query), ENOTTY);
	CHECK_ERRNO(ioctl((int)MUST(open("/proc/self/smaps", O_RDONLY)), QUERY, query), ENOTTY);
	child = child_that_pauses();
	snprintf(path, sizeof(path), "/proc/%d/maps", child);
	gone = (int)MUST(open(path, O_RDONLY));
	query->flags = 0x10;
	query->address = 0;
	CHECK_OK(ioctl(gone, QUERY, query));
	MUST(kill(child, SIGKILL));
	MUST(wait_for(child));
	CHECK_ERRNO(ioctl(gone, QUERY, query), ESRCH);
}

TEST(pages_that_may_be_dropped)
{
	char *pages = pages_of(PROT_READ | PROT_WRITE, DROPPABLE | MAP_ANONYMOUS, 2);
	char present;
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char line[512];
	int is_here = 0, is_marked = 0;
	pid_t child;

	pages[0] = 7;
	CHECK_OK(mincore(pages, 4096, (void *)&present));
	CHECK_EQ(present & 1, 1);
	CHECK_OK(mlock(pages, 4096));
	CHECK_ERRNO(madvise(pages, 4096, MADV_DODUMP), EINVAL);
	CHECK_ERRNO(madvise(pages, 4096, MADV_KEEPONFORK), EINVAL);
	CHECK_OK(madvise(pages, 4096, MADV_DONTNEED));
	pages[0] = 7;
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(pages[0]);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(pages[0], 7);
	while (smaps != NULL && fgets(line, sizeof(line), smaps) != NULL) {
		unsigned long start;

		if (sscanf(line, "%lx-", &start) == 1 && strchr(line, '-') != NULL && strstr(line, "Flags") == NULL)
			is_here = start == (unsigned long)pages;
		if (is_here && strncmp(line, "VmFlags:", 8) == 0)
			is_marked = strstr(line, " dp") != NULL && strstr(line, " wf") != NULL && strstr(line, " lo") == NULL;
	}
	CHECK(is_marked);
	/* It may go for the asking. */
	for (int round = 0; round < 200 && pages[0]; round++) {
		MUST(madvise(pages, 8192, MADV_PAGEOUT));
		sleep_ms(1);
	}
	CHECK_EQ(pages[0], 0);
	CHECK(mmap(NULL, 4096, PROT_READ, DROPPABLE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, DROPPABLE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, DROPPABLE, open("/dev/zero", O_RDWR), 0) == MAP_FAILED && errno == EINVAL);
}

TEST(the_first_page_is_root_s)
{
	char *page = pages_of(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 1);
	const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	drop_root();
	CHECK(mmap(NULL, 4096, PROT_READ, fixed, -1, 0) == MAP_FAILED && errno == EPERM);
	CHECK(mmap(NULL, 4096, PROT_READ, fixed | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EPERM);
	CHECK(mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, NULL) == MAP_FAILED && errno == EPERM);
	CHECK((uintptr_t)mmap((void *)1024, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) >= 4096);
}
