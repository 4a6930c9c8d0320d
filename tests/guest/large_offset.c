/* Offsets as large as there are, in files that are made up and in those that have no size (lseek(2)). */
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>

#define LARGEST_OF_OLD 0x7FFFFFFFLL

static int open_to_read(const char *path)
{
	return (int)MUST(open(path, O_RDONLY | O_CLOEXEC));
}

ROOTS_TEST(addresses_are_offsets_without_a_sign)
{
	int fd = open_to_read("/proc/self/mem");
	char bytes[8];

	CHECK_EQ(lseek(fd, INT64_MAX, SEEK_SET), INT64_MAX);
	CHECK_ERRNO(read(fd, bytes, 4), EIO);
	CHECK_ERRNO(pread(fd, bytes, 4, INT64_MAX), EIO);
	CHECK_ERRNO(pread(fd, bytes, 4, -8), EINVAL);
	/* What lseek returns is the address, which looks like an error. */
	CHECK_ERRNO(lseek(fd, -8, SEEK_SET), 8);
	CHECK_ERRNO(read(fd, bytes, 4), EIO);
	CHECK_ERRNO(read(fd, bytes, 8), EOVERFLOW);
	CHECK_ERRNO(lseek(fd, 1, SEEK_CUR), 7);
	CHECK_EQ(lseek(fd, 1L << 62, SEEK_SET), 1L << 62);
	CHECK_EQ(lseek(fd, 1L << 62, SEEK_CUR), INT64_MIN);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), INT64_MIN);
	CHECK_ERRNO(lseek(fd, 0, SEEK_END), EINVAL);
	fd = open_to_read("/proc/self/pagemap");
	CHECK_ERRNO(lseek(fd, -8, SEEK_SET), 8);
	CHECK_ERRNO(read(fd, bytes, 8), EINVAL);
}

static void check_directory(const char *path)
{
	int fd = (int)MUST(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	CHECK_EQ(lseek(fd, LARGEST_OF_OLD, SEEK_SET), LARGEST_OF_OLD);
	CHECK_ERRNO(lseek(fd, 1, SEEK_CUR), EINVAL);
	CHECK_ERRNO(lseek(fd, LARGEST_OF_OLD + 1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, INT64_MAX, SEEK_SET), EINVAL);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), LARGEST_OF_OLD);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
	CHECK_ERRNO(lseek(fd, 0, SEEK_DATA), ENXIO);
	close(fd);
}

ROOTS_TEST(directories_of_what_is_made_up)
{
	check_directory("/proc");
	check_directory("/proc/self");
	check_directory("/proc/self/fd");
	check_directory("/proc/sys/kernel");
	check_directory("/sys");
	check_directory("/sys/kernel");
}

ROOTS_TEST(beyond_the_end_of_a_list_it_begins_anew)
{
	char entries[512];
	int fd;

	MUST(chdir("/dev/shm"));
	MUST(mkdir("large_offset", 0700));
	MUST(mkdir("large_offset/inside", 0700));
	fd = (int)MUST(open("large_offset", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	CHECK_EQ(lseek(fd, LARGEST_OF_OLD, SEEK_SET), LARGEST_OF_OLD);
	CHECK_EQ(syscall(SYS_getdents64, fd, entries, sizeof(entries)), 0);
	CHECK_EQ(lseek(fd, INT64_MAX, SEEK_SET), INT64_MAX);
	CHECK_EQ(syscall(SYS_getdents64, fd, entries, sizeof(entries)), 32);
	CHECK_EQ(syscall(SYS_getdents64, fd, entries, sizeof(entries)), 0);
	MUST(rmdir("large_offset/inside"));
	MUST(rmdir("large_offset"));
}

ROOTS_TEST(sizes_of_what_is_made_up)
{
	static const char *const names[] = {"/proc/self/comm", "/proc/self/mem", "/proc/version", "/proc/self/oom_score_adj",
					    "/proc/self/clear_refs"};

	for (size_t at = 0; at < LENGTH(names); at++) {
		int fd;

		CHECK_OK(truncate(names[at], LARGEST_OF_OLD));
		CHECK_ERRNO(truncate(names[at], LARGEST_OF_OLD + 1), EFBIG);
		fd = open(names[at], O_WRONLY | O_CLOEXEC);
		if (fd == -1)
			continue;
		CHECK_OK(ftruncate(fd, 3));
		CHECK_ERRNO(ftruncate(fd, INT64_MAX), EFBIG);
		close(fd);
	}
}

ROOTS_TEST(who_looks_at_nothing_but_the_sign)
{
	int fd = open_to_read("/proc/self/oom_score_adj");
	char bytes[8];

	CHECK_EQ(lseek(fd, INT64_MAX, SEEK_SET), INT64_MAX);
	CHECK_ERRNO(read(fd, bytes, 1), EINVAL);
	CHECK_EQ(lseek(fd, -1, SEEK_HOLE), 0);
	CHECK_ERRNO(lseek(fd, -1, SEEK_DATA), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, SEEK_DATA), ENXIO);
	fd = (int)MUST(open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC));
	CHECK_EQ(lseek(fd, 5, SEEK_SET), 0);
	CHECK_EQ(lseek(fd, -5, SEEK_DATA), 0);
}

/* A file of sysfs that nobody has read yet has changed. */
ROOTS_TEST(files_of_sysfs_can_be_waited_for)
{
	int fd = open_to_read("/sys/class/net/lo/ifindex"), watch = (int)MUST(epoll_create1(0));
	struct pollfd asked = {fd, POLLIN | POLLPRI, 0};
	struct epoll_event event = {.events = EPOLLPRI};
	char bytes[8];

	CHECK_EQ(poll(&asked, 1, 0), 1);
	CHECK_EQ(asked.revents, POLLIN | POLLPRI | POLLERR);
	CHECK_OK(epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event));
	CHECK_EQ(epoll_wait(watch, &event, 1, 0), 1);
	CHECK_EQ(event.events, EPOLLPRI | EPOLLERR);
	CHECK_EQ(pread(fd, bytes, 1, 100), 0);
	CHECK_EQ(poll(&asked, 1, 0), 1);
	CHECK_EQ(asked.revents, POLLIN);
	CHECK_EQ(epoll_wait(watch, &event, 1, 0), 0);
	CHECK_ERRNO(epoll_ctl(watch, EPOLL_CTL_ADD, open_to_read("/sys/kernel"), &event), EPERM);
}
