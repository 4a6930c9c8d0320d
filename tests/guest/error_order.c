/* Which of several errors a call tells, and what calls on files do at the edges: found by tests/differential. */
#include "check.h"

#include <linux/fs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define NOT_OPEN 900
#define PAGE 4096
#define FARTHEST INT64_MAX

static char too_long[2 * PATH_MAX];

static int opened(const char *path, int flags)
{
	return (int)MUST(open(path, flags, 0644));
}

/* A file in memory without a name. */
static int new_memory_file(void)
{
	char name[] = "/dev/shm/check-XXXXXX";
	int fd = (int)MUST(mkstemp(name));

	MUST(unlink(name));
	return fd;
}

TEST(names_before_descriptors)
{
	memset(too_long, 'a', sizeof(too_long) - 1);
	enter_scratch();
	CHECK_ERRNO(openat(NOT_OPEN, "", O_RDONLY), ENOENT);
	CHECK_ERRNO(openat(NOT_OPEN, too_long, O_RDONLY), ENAMETOOLONG);
	CHECK_ERRNO(openat(NOT_OPEN, "file", O_TMPFILE | O_RDONLY), EINVAL);
	CHECK_ERRNO(symlinkat("", NOT_OPEN, "link"), ENOENT);
	CHECK_ERRNO(symlinkat(too_long, NOT_OPEN, "link"), ENAMETOOLONG);
	CHECK_ERRNO(mknodat(NOT_OPEN, "directory", S_IFDIR | 0700, 0), EPERM);
	CHECK_ERRNO(renameat2(NOT_OPEN, "a", NOT_OPEN, "b", 1U << 20), EINVAL);
}

TEST(the_first_of_two_names)
{
	memset(too_long, 'a', sizeof(too_long) - 1);
	enter_scratch();
	CHECK_ERRNO(rename("nothing/a", too_long), ENOENT);
	CHECK_ERRNO(renameat(AT_FDCWD, "nothing/a", NOT_OPEN, "b"), ENOENT);
	CHECK_ERRNO(link("nothing", too_long), ENOENT);
	CHECK_ERRNO(linkat(AT_FDCWD, "nothing", NOT_OPEN, "b", 0), ENOENT);
	CHECK_ERRNO(renameat(AT_FDCWD, "nothing", NOT_OPEN, "b"), EBADF);
}

TEST(arguments_before_long_names)
{
	char buffer[10];
	struct timespec times[2] = {{0, 0}, {0, 0}};

	memset(too_long, 'a', sizeof(too_long) - 1);
	CHECK_ERRNO(readlink(too_long, buffer, 0), EINVAL);
	CHECK_ERRNO(truncate(too_long, -1), EINVAL);
	CHECK_ERRNO(syscall(SYS_utimensat, AT_FDCWD, too_long, times, 1), EINVAL);
}

TEST(arguments_before_names_that_cannot_be_read)
{
	const char *bad = bad_address();
	char buffer[64] = {0};
	struct timespec times[2] = {{0, 0}, {0, 0}};
	struct timeval no_times[2] = {{0, -1}, {0, 0}};
	struct stat status;

	enter_scratch();
	CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, bad, O_TMPFILE), EINVAL);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, bad, buffer, 3), EINVAL);
	CHECK_ERRNO(syscall(SYS_openat, NOT_OPEN, bad, O_RDONLY), EFAULT);
	CHECK_ERRNO(unlinkat(AT_FDCWD, bad, 77), EINVAL);
	CHECK_ERRNO(unlinkat(NOT_OPEN, bad, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, bad, &status, 1 << 30), EINVAL);
	CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, bad, 0x6000, 0, buffer), EINVAL);
	CHECK_ERRNO(fchownat(AT_FDCWD, bad, 0, 0, 1 << 30), EINVAL);
	CHECK_ERRNO(syscall(SYS_faccessat, AT_FDCWD, bad, 99), EINVAL);
	CHECK_ERRNO(syscall(SYS_utimensat, AT_FDCWD, bad, times, 1 << 30), EINVAL);
	CHECK_ERRNO(syscall(SYS_utimes, bad, no_times), EINVAL);
	CHECK_ERRNO(syscall(SYS_mknod, bad, S_IFDIR, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_mknod, bad, 0170000, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_readlink, bad, buffer, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_truncate, bad, -1L), EINVAL);
	CHECK_ERRNO(syscall(SYS_inotify_add_watch, NOT_OPEN, bad, 1), EBADF);
	CHECK_ERRNO(syscall(SYS_setxattr, bad, "user.x", "y", 1, 99), EINVAL);
	CHECK_ERRNO(syscall(SYS_getxattr, bad, "", buffer, 1), ERANGE);
	CHECK_ERRNO(syscall(SYS_name_to_handle_at, AT_FDCWD, bad, buffer, buffer + 32, 1 << 30), EINVAL);
	CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, bad, NULL, NULL, 1 << 30), EFAULT);
	CHECK_ERRNO(syscall(SYS_execveat, NOT_OPEN, bad, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_unlink, bad), EFAULT);
}

TEST(the_first_of_two_names_though_the_second_cannot_be_read)
{
	const char *bad = bad_address();
	pid_t child;

	memset(too_long, 'a', sizeof(too_long) - 1);
	enter_scratch();
	opened("file", O_RDWR | O_CREAT);
	CHECK_ERRNO(rename("nothing/a", bad), ENOENT);
	CHECK_ERRNO(rename("file/a", bad), ENOTDIR);
	CHECK_ERRNO(rename("", bad), ENOENT);
	CHECK_ERRNO(rename(too_long, bad), ENAMETOOLONG);
	/* Whether it's there at all is asked behind both. */
	CHECK_ERRNO(rename("nothing", bad), EFAULT);
	CHECK_ERRNO(rename("file", bad), EFAULT);
	CHECK_ERRNO(rename(bad, "file"), EFAULT);
	CHECK_ERRNO(renameat2(NOT_OPEN, "file", AT_FDCWD, bad, 0), EBADF);
	CHECK_ERRNO(renameat2(AT_FDCWD, bad, NOT_OPEN, bad, 7), EINVAL);
	CHECK_ERRNO(link("nothing", bad), ENOENT);
	CHECK_ERRNO(link("file", bad), EFAULT);
	CHECK_ERRNO(linkat(NOT_OPEN, "file", AT_FDCWD, bad, 0), EBADF);
	CHECK_ERRNO(linkat(AT_FDCWD, bad, AT_FDCWD, bad, 99), EINVAL);
	CHECK_ERRNO(symlink("", bad), ENOENT);
	CHECK_ERRNO(symlink(bad, ""), EFAULT);
	CHECK_ERRNO(symlink("target", bad), EFAULT);
	if (geteuid() != 0)
		return;
	MUST(mkdir("locked", 0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(chmod(".", 0777));
		MUST(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(rename("locked/a", bad), EACCES);
		CHECK_ERRNO(link("locked/a", bad), EACCES);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(rmdir("locked"));
}

/* Whose descriptor it is counts though there is a name below it. */
TEST(links_by_another_s_descriptor)
{
	pid_t child;
	int file, directory;

	memset(too_long, 'a', sizeof(too_long) - 1);
	enter_scratch();
	file = opened("file", O_RDWR | O_CREAT);
	directory = opened(".", O_RDONLY);
	CHECK_ERRNO(linkat(file, "name", AT_FDCWD, "link", AT_EMPTY_PATH), ENOTDIR);
	CHECK_ERRNO(linkat(directory, "nothing", AT_FDCWD, "link", AT_EMPTY_PATH), ENOENT);
	if (geteuid() != 0)
		return;
	MUST(chmod(".", 0777));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(linkat(file, "name", AT_FDCWD, "link", AT_EMPTY_PATH), ENOENT);
		CHECK_ERRNO(linkat(directory, "file", AT_FDCWD, "link", AT_EMPTY_PATH), ENOENT);
		CHECK_ERRNO(linkat(NOT_OPEN, "file", AT_FDCWD, "link", AT_EMPTY_PATH), EBADF);
		CHECK_ERRNO(linkat(NOT_OPEN, "", AT_FDCWD, "link", AT_EMPTY_PATH), EBADF);
		CHECK_ERRNO(linkat(NOT_OPEN, too_long, AT_FDCWD, "link", AT_EMPTY_PATH), ENAMETOOLONG);
		CHECK_ERRNO(linkat(file, too_long, AT_FDCWD, "link", AT_EMPTY_PATH), ENAMETOOLONG);
		CHECK_ERRNO(linkat(file, bad_address(), AT_FDCWD, "link", AT_EMPTY_PATH), EFAULT);
		CHECK_ERRNO(linkat(file, "/nothing", AT_FDCWD, "link", AT_EMPTY_PATH), ENOENT);
		CHECK_ERRNO(linkat(file, "name", AT_FDCWD, "link", 0), ENOTDIR);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(unnamed_files_of_links)
{
	enter_scratch();
	MUST(symlink(".", "link"));
	CHECK_ERRNO(open("link", O_TMPFILE | O_NOFOLLOW | O_RDWR, 0600), ENOTDIR);
}

TEST(attributes_of_special_files)
{
	int fd = new_memory_file();

	enter_scratch();
	MUST(mkfifo("fifo", 0600));
	CHECK_ERRNO(setxattr("fifo", "user.", "", 0, 0), EPERM);
	CHECK_ERRNO(fsetxattr(fd, "security.", "", 0, 0), geteuid() == 0 ? EINVAL : EPERM);
	CHECK_ERRNO(fsetxattr(fd, "no.family", "", 0, 0), EOPNOTSUPP);
}

TEST(files_without_read_or_write)
{
	int epoll = (int)MUST(epoll_create1(0)), timer = (int)MUST(timerfd_create(CLOCK_MONOTONIC, 0));
	int namespace = (int)MUST(open("/proc/self/ns/uts", O_RDONLY));
	struct iovec nothing = {NULL, 0};
	volatile size_t too_much = SIZE_MAX;

	CHECK_ERRNO(read(epoll, bad_address(), too_much), EINVAL);
	CHECK_ERRNO(write(epoll, bad_address(), too_much), EINVAL);
	CHECK_ERRNO(pread(namespace, bad_address(), too_much, 5), EINVAL);
	CHECK_ERRNO(write(timer, bad_address(), too_much), EINVAL);
	CHECK_ERRNO(readv(epoll, &nothing, 1), EINVAL);
	CHECK_ERRNO(pwritev2(timer, &nothing, 1, -1, 1 << 30), EINVAL);
}

TEST(buffers_one_after_the_other)
{
	int counter = (int)MUST(eventfd(0, EFD_NONBLOCK)), instance = (int)MUST(inotify_init1(IN_NONBLOCK));
	uint64_t one = 1, two = 2, most = UINT64_MAX - 1, got;
	char events[64];
	struct iovec both[2] = {{&one, 8}, {&two, 8}}, halves[2] = {{&one, 4}, {(char *)&one + 4, 4}};
	struct iovec then_bad[2] = {{&one, 8}, {bad_address(), 8}}, first_bad[2] = {{bad_address(), 8}, {&one, 8}};
	struct iovec then_short[2] = {{&one, 8}, {&two, 4}}, first_empty[2] = {{NULL, 0}, {&one, 8}};
	struct iovec too_many[2] = {{&most, 8}, {&one, 8}};
	struct iovec short_first[2] = {{events, 4}, {events, 60}}, two_events[2] = {{events, 32}, {events + 32, 32}};
	struct iovec lost[2] = {{events, 32}, {bad_address(), 32}};

	CHECK_EQ(writev(counter, both, 2), 16);
	CHECK_EQ(read(counter, &got, 8), 8);
	CHECK_EQ(got, 3);
	CHECK_ERRNO(writev(counter, halves, 2), EINVAL);
	CHECK_EQ(writev(counter, then_bad, 2), 8);
	CHECK_ERRNO(writev(counter, first_bad, 2), EFAULT);
	CHECK_EQ(writev(counter, then_short, 2), 8);
	CHECK_ERRNO(writev(counter, first_empty, 2), EINVAL);
	CHECK_EQ(read(counter, &got, 8), 8);
	CHECK_EQ(got, 2);
	CHECK_EQ(writev(counter, too_many, 2), 8);
	CHECK_EQ(pwritev2(counter, both, 1, -1, 0), -1);
	CHECK_EQ(read(counter, &got, 8), 8);
	enter_scratch();
	MUST(inotify_add_watch(instance, ".", IN_CREATE));
	for (const char *name = "abcd"; *name != '\0'; name++) {
		const char file[2] = {*name, '\0'};

		MUST(close(opened(file, O_RDWR | O_CREAT)));
		MUST(unlink(file));
	}
	CHECK_ERRNO(readv(instance, short_first, 2), EINVAL);
	CHECK_EQ(readv(instance, lost, 2), 32);
	CHECK_EQ(readv(instance, two_events, 2), 64);
}

TEST(a_buffer_that_waits_after_another)
{
	int counter = (int)MUST(eventfd(0, 0));
	uint64_t most = UINT64_MAX - 1, one = 1, got;
	struct iovec both[2] = {{&most, 8}, {&one, 8}};
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		sleep_ms(20);
		MUST(read(counter, &got, 8));
		_exit(got == most ? 0 : 1);
	}
	CHECK_EQ(writev(counter, both, 2), 16);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(read(counter, &got, 8), 8);
	CHECK_EQ(got, 1);
}

TEST(nothing_is_read_from_anything)
{
	int counter = (int)MUST(eventfd(0, EFD_NONBLOCK)), pipe_ends[2];
	struct iovec nothing = {NULL, 0};

	MUST(pipe(pipe_ends));
	CHECK_EQ(readv(counter, &nothing, 1), 0);
	CHECK_EQ(readv(counter, NULL, 0), 0);
	CHECK_EQ(preadv2(counter, &nothing, 1, -1, 1 << 30), 0);
	CHECK_EQ(readv(pipe_ends[0], &nothing, 1), 0);
	CHECK_EQ(vmsplice(counter, NULL, 0, 0), 0);
	CHECK_EQ(sendfile(counter, counter, NULL, 0), 0);
}

TEST(past_the_last_offset)
{
	char byte = 0;
	int fd = new_memory_file();
	struct iovec one = {&byte, 1};

	CHECK_EQ(lseek(fd, FARTHEST, SEEK_SET), FARTHEST);
	CHECK_ERRNO(read(fd, &byte, 1), EINVAL);
	CHECK_ERRNO(write(fd, &byte, 1), EINVAL);
	CHECK_ERRNO(pread(fd, &byte, 1, FARTHEST), EINVAL);
	CHECK_ERRNO(pwrite(fd, &byte, 1, FARTHEST), EINVAL);
	CHECK_ERRNO(preadv(fd, &one, 1, FARTHEST), EINVAL);
	CHECK_EQ(pread(fd, &byte, 1, FARTHEST - 1), 0);
}

TEST(writing_nothing_moves_nothing)
{
	int fd = new_memory_file();

	MUST(ftruncate(fd, 100));
	MUST(fcntl(fd, F_SETFL, O_APPEND));
	CHECK_EQ(write(fd, "", 0), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(write(fd, "a", 1), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 101);
}

TEST(not_waiting_is_nothing_that_memory_knows)
{
	char byte;
	struct iovec one = {&byte, 1};

	CHECK_ERRNO(preadv2(new_memory_file(), &one, 1, 0, RWF_NOWAIT), EOPNOTSUPP);
}

TEST(space_past_the_end)
{
	int fd = new_memory_file();
	struct stat status;

	CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4 * PAGE), 0);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_size, 0);
	CHECK_EQ(status.st_blocks, 4 * PAGE / 512);
	CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE), 0);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_blocks, 2 * PAGE / 512);
	CHECK_EQ(ftruncate(fd, 0), 0);
}

TEST(reserved_space_is_a_hole)
{
	int fd = new_memory_file();

	MUST(fallocate(fd, 0, 0, 4 * PAGE));
	CHECK_ERRNO(lseek(fd, 0, SEEK_DATA), ENXIO);
	CHECK_EQ(lseek(fd, 5, SEEK_HOLE), 5);
	CHECK_EQ(pwrite(fd, "a", 1, 2 * PAGE + 1), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 2 * PAGE);
	CHECK_EQ(lseek(fd, 2 * PAGE, SEEK_HOLE), 3 * PAGE);
}

TEST(space_that_is_not_a_file_s)
{
	int ends[2], fd;

	MUST(pipe(ends));
	CHECK_ERRNO(fallocate(ends[1], FALLOC_FL_COLLAPSE_RANGE, 0, PAGE), ESPIPE);
	CHECK_ERRNO(fallocate(ends[1], FALLOC_FL_PUNCH_HOLE, 0, PAGE), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(ends[0], FALLOC_FL_ZERO_RANGE, 0, PAGE), EBADF);
	CHECK_ERRNO(fallocate(new_memory_file(), FALLOC_FL_ZERO_RANGE, 0, PAGE), EOPNOTSUPP);
	/* /proc says nothing of how large its files may be, so that it's 2 GiB, and has no such call. */
	fd = (int)MUST(open("/proc/self/comm", O_RDWR));
	CHECK_ERRNO(fallocate(fd, 0, 0, 0x7FFFFFFF), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0x80000000L), EFBIG);
	fd = new_memory_file();
	CHECK_ERRNO(ioctl(fd, FICLONE, fd), EOPNOTSUPP);
	MUST(fcntl(fd, F_SETFL, O_APPEND));
	CHECK_ERRNO(ioctl(fd, FICLONE, fd), EBADF);
}

TEST(pipes_that_are_spliced_wrongly)
{
	int ends[2], unread[2];
	off_t offset = 0;

	MUST(pipe(ends));
	MUST(pipe(unread));
	MUST(close(unread[0]));
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERRNO(splice(ends[1], &offset, ends[0], NULL, 1, 0), ESPIPE);
	CHECK_ERRNO(splice(ends[1], NULL, ends[0], NULL, 1, 0), EBADF);
	CHECK_ERRNO(splice(new_memory_file(), bad_address(), new_memory_file(), NULL, 1, 0), EFAULT);
	CHECK_ERRNO(splice(new_memory_file(), NULL, ends[0], bad_address(), 1, 0), ESPIPE);
	CHECK_ERRNO(splice((int)MUST(eventfd(0, 0)), NULL, unread[1], NULL, 1, 0), EPIPE);
	CHECK_ERRNO(sendfile(unread[1], new_memory_file(), NULL, 1), EPIPE);
	MUST(fcntl(ends[1], F_SETFL, O_NONBLOCK));
	MUST(fcntl(unread[1], F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(splice(ends[0], NULL, unread[1], NULL, 1, 0), EAGAIN);
}

TEST(the_position_of_a_place_alone)
{
	CHECK_ERRNO(lseek((int)MUST(open("/", O_PATH)), 0, 77), EBADF);
}

TEST(how_long_what_is_written_lives)
{
	uint64_t hint = RWH_WRITE_LIFE_LONG;
	int fd = new_memory_file();

	CHECK_EQ(fcntl(fd, F_SET_RW_HINT, &hint), 0);
	hint = 99;
	CHECK_EQ(fcntl(fd, F_GET_RW_HINT, &hint), 0);
	CHECK_EQ(hint, RWH_WRITE_LIFE_LONG);
	hint = RWH_WRITE_LIFE_EXTREME + 1;
	CHECK_ERRNO(fcntl(fd, F_SET_RW_HINT, &hint), EINVAL);
}

TEST(locks_of_descriptions_name_nobody)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_pid = 1};
	int fd;

	enter_scratch();
	fd = opened("lock", O_WRONLY | O_CREAT);
	CHECK_ERRNO(fcntl(fd, F_OFD_SETLK, &lock), EBADF);
	lock.l_type = F_WRLCK;
	CHECK_ERRNO(fcntl(fd, F_OFD_SETLK, &lock), EINVAL);
	lock.l_type = 77;
	CHECK_ERRNO(fcntl(fd, F_OFD_SETLK, &lock), EINVAL);
}

TEST(whiteouts)
{
	char name[] = "/dev/shm/check-XXXXXX";
	struct stat status;

	MUST(mkdtemp(name) == NULL ? -1 : 0);
	MUST(chdir(name));
	write_file("old", "text", 0600);
	CHECK_EQ(renameat2(AT_FDCWD, "old", AT_FDCWD, "new", RENAME_WHITEOUT), 0);
	CHECK_EQ(lstat("new", &status), 0);
	CHECK_EQ(status.st_size, 4);
	CHECK_EQ(lstat("old", &status), 0);
	CHECK_EQ(status.st_mode, S_IFCHR);
	CHECK_EQ(status.st_rdev, 0);
	MUST(unlink("old"));
	MUST(unlink("new"));
	MUST(rmdir(name));
}

TEST(long_links_take_a_page)
{
	char name[] = "/dev/shm/check-XXXXXX";
	struct stat status;

	memset(too_long, 'a', 200);
	too_long[200] = '\0';
	MUST(mkdtemp(name) == NULL ? -1 : 0);
	MUST(chdir(name));
	MUST(symlink(too_long, "long"));
	MUST(symlink("a", "short"));
	CHECK_EQ(lstat("long", &status), 0);
	CHECK_EQ(status.st_blocks, 8);
	CHECK_EQ(lstat("short", &status), 0);
	CHECK_EQ(status.st_blocks, 0);
	MUST(unlink("long"));
	MUST(unlink("short"));
	MUST(rmdir(name));
}

TEST(attributes_of_no_file)
{
	int ends[2], counter = (int)MUST(eventfd(0, 0));
	char value[10];

	MUST(pipe(ends));
	CHECK_ERRNO(fgetxattr(ends[0], "security.a", value, sizeof(value)), EOPNOTSUPP);
	CHECK_ERRNO(fsetxattr(ends[0], "security.a", value, 1, 0), geteuid() == 0 ? EOPNOTSUPP : EPERM);
	CHECK_ERRNO(fgetxattr(counter, "trusted.a", value, sizeof(value)), geteuid() == 0 ? EOPNOTSUPP : ENODATA);
}

TEST(flags_that_openat2_adds)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY};
	int fd = (int)MUST(syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)));
	char byte;
	struct iovec one = {&byte, 1};

	CHECK_EQ(fcntl(fd, F_GETFL), O_RDONLY | O_DIRECTORY | 0100000);
	CHECK_ERRNO(preadv2(fd, &one, 1, 0, RWF_HIPRI), EISDIR);
	CHECK_ERRNO(preadv2(fd, &one, 1, 0, RWF_DSYNC), EOPNOTSUPP);
	how.flags = O_PATH;
	fd = (int)MUST(syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)));
	CHECK_EQ(fcntl(fd, F_GETFL), O_PATH);
}

TEST(asking_for_a_lock_of_no_kind)
{
	struct flock lock = {.l_type = 77, .l_whence = SEEK_END, .l_start = 5, .l_len = INT64_MAX};
	int fd;

	enter_scratch();
	fd = opened("lock", O_RDWR | O_CREAT);
	CHECK_ERRNO(fcntl(fd, F_OFD_GETLK, &lock), EOVERFLOW);
	CHECK_ERRNO(fcntl(fd, F_GETLK, &lock), EINVAL);
	lock.l_len = 0;
	CHECK_ERRNO(fcntl(fd, F_OFD_GETLK, &lock), EINVAL);
}

/* In a directory that all may write to, O_CREAT opens nobody else's sockets, whatever sysctls say. */
TEST(sockets_of_others)
{
	int is_root = geteuid() == 0;

	enter_scratch();
	MUST(mknod("socket", S_IFSOCK | 0777, 0));
	MUST(chmod(".", 01777));
	CHECK_ERRNO(open("socket", O_RDWR | O_CREAT, 0600), ENXIO);
	MUST(is_root ? chown("socket", NOBODY, NOBODY) : 0);
	CHECK_EQ(ERRNO_OF(open("socket", O_RDWR | O_CREAT, 0600)), is_root ? EACCES : ENXIO);
	CHECK_ERRNO(open("socket", O_RDWR), ENXIO);
}

#define BEYOND ((void *)(1UL << 63))

/* A single buffer is cut before it's looked at, several are looked at first; and some counts are ints. */
TEST(sizes_beyond_user_space)
{
	/* Not on the stack, above which user space ends. */
	static char byte;
	char *hole = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec vector[2] = {{&byte, 1UL << 47}, {&byte, 1}};
	struct timeval none = {0, 0};
	int ends[2], pair[2], directory, event;
	struct msghdr header = {.msg_namelen = -1U};

	MUST(pipe2(ends, O_NONBLOCK));
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	MUST(munmap(hole + PAGE, PAGE));
	directory = opened("/", O_RDONLY | O_DIRECTORY);
	event = eventfd(0, EFD_NONBLOCK);
	CHECK_ERRNO(syscall(SYS_read, ends[0], &byte, SIZE_MAX), EFAULT);
	CHECK_ERRNO(readv(ends[0], vector, 1), EAGAIN);
	CHECK_ERRNO(readv(ends[0], vector, 2), EFAULT);
	CHECK_EQ(syscall(SYS_readv, ends[0], NULL, 1UL << 32), 0);
	CHECK_ERRNO(syscall(SYS_recvfrom, ends[0], &byte, 1UL << 62, 0, NULL, NULL), ENOTSOCK);
	CHECK_ERRNO(syscall(SYS_recvfrom, pair[0], &byte, SIZE_MAX, 0, NULL, NULL), EAGAIN);
	CHECK_ERRNO(recvmsg(pair[0], &header, 0), EAGAIN);
	header.msg_name = &byte;
	CHECK_ERRNO(recvmsg(pair[0], &header, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_setsockopt, ends[0], SOL_SOCKET, SO_SNDBUF, NULL, -1), ENOTSOCK);
	CHECK_ERRNO(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, bad_address(), 1), EINVAL);
	CHECK_ERRNO(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, bad_address(), 4), EFAULT);
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 0x80000000U, &none), EINVAL);
	CHECK_ERRNO(syscall(SYS_getdents64, directory, bad_address(), 0x80000000U), EINVAL);
	CHECK_ERRNO(syscall(SYS_getdents64, directory, bad_address(), 0x7fffffffU), EFAULT);
	CHECK_ERRNO(syscall(SYS_poll, BEYOND, 0, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_getrandom, BEYOND, 0, 0), EFAULT);
	CHECK_ERRNO(mincore(hole + PAGE, PAGE, bad_address()), ENOMEM);
	CHECK_ERRNO(mincore(hole, PAGE, bad_address()), EFAULT);
	CHECK_ERRNO(mincore(hole + PAGE, PAGE, BEYOND), EFAULT);
	byte = 77;
	CHECK_ERRNO(mincore(hole, 2 * PAGE, (unsigned char *)&byte), ENOMEM);
	CHECK_EQ(byte, 0);
	CHECK_ERRNO(write(event, bad_address(), 1), EINVAL);
	CHECK_ERRNO(write(event, bad_address(), PAGE), EINVAL);
	CHECK_ERRNO(write(event, bad_address(), 8), EFAULT);
}

/* What comes behind the most that one call moves isn't looked at, but for what no iovec may be. */
TEST(vectors_beyond_the_most_that_is_moved)
{
	char *memory = mmap((void *)0x10000000, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	struct iovec vector[2] = {{memory, 0x7ffff000}, {bad_address(), 10}};
	int ends[2], null = opened("/dev/null", O_WRONLY);

	MUST(memory == MAP_FAILED ? -1 : 0);
	MUST(pipe2(ends, O_NONBLOCK));
	CHECK_ERRNO(readv(ends[0], vector, 2), EAGAIN);
	CHECK_EQ(writev(null, vector, 2), 0x7ffff000);
	vector[1].iov_base = memory;
	vector[1].iov_len = 1UL << 40;
	CHECK_EQ(writev(null, vector, 2), 0x7ffff000);
	vector[1].iov_len = SIZE_MAX;
	CHECK_ERRNO(writev(null, vector, 2), EINVAL);
	vector[1].iov_len = SSIZE_MAX;
	CHECK_ERRNO(writev(null, vector, 2), EFAULT);
	vector[1] = (struct iovec){BEYOND, 10};
	CHECK_ERRNO(writev(null, vector, 2), EFAULT);
	vector[0].iov_len = 1UL << 47;
	CHECK_ERRNO(readv(ends[0], vector, 2), EFAULT);
}

TEST(names_before_a_full_table)
{
	struct rlimit limit = {.rlim_cur = 0, .rlim_max = 0};

	enter_scratch();
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_ERRNO(open(bad_address(), O_RDONLY), EFAULT);
	CHECK_ERRNO(open("", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("absent", O_RDONLY), EMFILE);
	CHECK_ERRNO(open("absent", O_RDONLY | O_CREAT, 0600), EMFILE);
	CHECK_ERRNO(access("absent", F_OK), ENOENT);
}

TEST(later_versions_before_what_cannot_be_read)
{
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct open_how *how = (struct open_how *)(pages + PAGE - 64);

	MUST(munmap(pages + PAGE, PAGE));
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "/", how, 128), EFAULT);
	pages[PAGE - 1] = 1;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "/", how, 128), E2BIG);
	CHECK_ERRNO(syscall(SYS_clone3, how, 128), EFAULT);
	CHECK_ERRNO(syscall(SYS_clone3, pages + PAGE - 96, 128), E2BIG);
}

/* An offset is fetched, and an address copied, before it's asked what the descriptors are good for. */
TEST(offsets_and_addresses_come_first)
{
	int file = new_memory_file(), ends[2];
	loff_t offset = 0;

	MUST(pipe(ends));
	CHECK_ERRNO(sendfile(NOT_OPEN, NOT_OPEN, bad_address(), 1), EFAULT);
	CHECK_ERRNO(sendfile(NOT_OPEN, NOT_OPEN, &offset, 1), EBADF);
	CHECK_ERRNO(splice(NOT_OPEN, bad_address(), ends[1], NULL, 1, 0), EBADF);
	CHECK_ERRNO(splice(file, bad_address(), ends[0], NULL, 1, 0), EFAULT);
	CHECK_ERRNO(splice(ends[1], NULL, file, bad_address(), 1, 0), EFAULT);
	CHECK_ERRNO(splice(file, &offset, ends[0], &offset, 1, 0), ESPIPE);
	CHECK_ERRNO(splice(file, &offset, ends[0], NULL, 1, 0), EBADF);
	CHECK_ERRNO(connect(NOT_OPEN, bad_address(), 8), EBADF);
	CHECK_ERRNO(connect(file, bad_address(), 8), EFAULT);
	CHECK_ERRNO(connect(file, bad_address(), -1), EINVAL);
	CHECK_ERRNO(connect(file, (void *)"", 0), ENOTSOCK);
}

/* Flags and rights are longs: bits above 32 aren't nothing. */
TEST(wide_flags)
{
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
	const long wide = 1L << 32;

	CHECK_ERRNO(syscall(SYS_mprotect, pages, PAGE, wide | PROT_READ), EINVAL);
	CHECK_ERRNO(syscall(SYS_mprotect, 1L << 63, PAGE, wide), EINVAL);
	CHECK_ERRNO(syscall(SYS_mremap, pages, PAGE, PAGE, wide | MREMAP_MAYMOVE, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, wide), EINVAL);
	CHECK_ERRNO(syscall(SYS_remap_file_pages, pages, PAGE, wide, 0, 0), EINVAL);
	/* Sockets have an end, as if they were regular files. */
	CHECK_ERRNO(syscall(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 1L << 63), EOVERFLOW);
	CHECK_ERRNO(syscall(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), ENODEV);
}
