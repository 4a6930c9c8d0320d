/* Open files: open(2), read(2), write(2), lseek(2), dup(2), fcntl(2), sendfile(2) and the devices of null(4). */
#include "check.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static int opened(const char *path, int flags)
{
	return (int)MUST(open(path, flags, 0644));
}

static off_t size_of(int fd)
{
	struct stat status;

	MUST(fstat(fd, &status));
	return status.st_size;
}

/* Reads a whole small file by its name. */
static const char *contents(const char *path)
{
	static char text[200];
	int fd = opened(path, O_RDONLY);
	ssize_t got = MUST(read(fd, text, sizeof(text) - 1));

	text[got] = '\0';
	MUST(close(fd));
	return text;
}

TEST(open_and_create)
{
	struct stat status;
	int fd;

	enter_scratch();
	umask(027);
	CHECK_ERRNO(open("file", O_RDWR), ENOENT);
	fd = (int)CHECK_OK(open("file", O_RDWR | O_CREAT, 0666));
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_mode, S_IFREG | 0640);
	CHECK_EQ(status.st_size, 0);
	CHECK_EQ(status.st_nlink, 1);
	CHECK_EQ(status.st_uid, geteuid());
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	CHECK_ERRNO(open("file", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
	fd = (int)CHECK_OK(open("file", O_RDWR | O_CREAT, 0777));
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_mode, S_IFREG | 0640);
	fd = (int)CHECK_OK(open("other", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
	CHECK_EQ(write(fd, "abc", 3), 3);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	fd = (int)CHECK_OK(creat("third", 0600));
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
}

TEST(open_errnos)
{
	pid_t child;

	enter_scratch();
	write_file("file", "abc", 0644);
	write_file("secret", "abc", 0600);
	MUST(mkdir("directory", 0755));
	MUST(symlink("file", "link"));
	MUST(symlink("nowhere", "dangling"));
	MUST(symlink("loop", "loop"));
	CHECK_ERRNO(open("missing", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("missing/file", O_RDONLY | O_CREAT, 0644), ENOENT);
	CHECK_ERRNO(open("file/file", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("file/", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open("new/", O_RDWR | O_CREAT, 0644), EISDIR);
	CHECK_ERRNO(open("directory", O_WRONLY), EISDIR);
	CHECK_ERRNO(open("directory", O_RDWR), EISDIR);
	CHECK_ERRNO(open("directory", O_RDONLY | O_CREAT, 0644), EISDIR);
	CHECK_ERRNO(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_ERRNO(open("loop", O_RDONLY), ELOOP);
	CHECK_ERRNO(open("dangling", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK_ERRNO(open("loop", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK_OK(open("dangling", O_RDWR | O_CREAT, 0644));
	CHECK_EQ(access("nowhere", F_OK), 0);
	CHECK_ERRNO(open(bad_address(), O_RDONLY), EFAULT);
	CHECK_EQ(ERRNO_OF(open(check_self, O_WRONLY)), access(check_self, W_OK) == 0 ? ETXTBSY : EACCES);
	CHECK_OK(open("directory", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(chmod("secret", 0400));
		drop_root();
		CHECK_ERRNO(open("secret", O_WRONLY), EACCES);
		CHECK_ERRNO(open("/root-only-by-name", O_WRONLY | O_CREAT, 0644), EACCES);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(descriptors_are_the_lowest_free)
{
	int first, second, third;
	struct rlimit limit;

	enter_scratch();
	write_file("file", "abc", 0644);
	first = opened("file", O_RDONLY);
	second = opened("file", O_RDONLY);
	third = opened("file", O_RDONLY);
	CHECK(first < second && second < third);
	CHECK_EQ(close(second), 0);
	CHECK_EQ(close(first), 0);
	CHECK_EQ(open("file", O_RDONLY), first);
	CHECK_EQ(dup(third), second);
	CHECK_EQ(fcntl(third, F_DUPFD, 0), third + 1);
	CHECK_EQ(fcntl(third, F_DUPFD, 100), 100);
	CHECK_EQ(fcntl(third, F_DUPFD, 100), 101);
	CHECK_ERRNO(close(99), EBADF);
	CHECK_ERRNO(close(-1), EBADF);
	CHECK_EQ(close(101), 0);
	CHECK_ERRNO(close(101), EBADF);
	CHECK_ERRNO(read(101, &first, 1), EBADF);
	MUST(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 50;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (open("file", O_RDONLY) != -1)
		continue;
	CHECK_ERRNO(open("file", O_RDONLY), EMFILE);
	CHECK_ERRNO(dup(third), EMFILE);
	CHECK_ERRNO(fcntl(third, F_DUPFD, 0), EMFILE);
	CHECK_ERRNO(fcntl(third, F_DUPFD, 50), EINVAL);
	CHECK_ERRNO(dup2(third, 50), EBADF);
	CHECK_EQ(dup2(third, 49), 49);
	CHECK_EQ(lseek(100, 0, SEEK_CUR), 0);
}

TEST(append_and_truncate)
{
	int fd;

	enter_scratch();
	write_file("file", "hello", 0644);
	fd = opened("file", O_WRONLY | O_APPEND);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(write(fd, "-one", 4), 4);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 9);
	CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
	CHECK_EQ(write(fd, "-two", 4), 4);
	CHECK_STRING(contents("file"), "hello-one-two");
	CHECK_EQ(pwrite(fd, "!", 1, 0), 1);
	CHECK_STRING(contents("file"), "hello-one-two!");
	CHECK_EQ(fcntl(fd, F_GETFL) & O_APPEND, O_APPEND);
	CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_APPEND | O_ACCMODE), O_WRONLY);
	CHECK_EQ(pwrite(fd, "J", 1, 0), 1);
	CHECK_STRING(contents("file"), "Jello-one-two!");
	CHECK_EQ(close(open("file", O_WRONLY | O_TRUNC)), 0);
	CHECK_STRING(contents("file"), "");
}

TEST(path_descriptors)
{
	struct stat status;
	char text[10] = "";
	int fd, directory, found;

	enter_scratch();
	write_file("file", "abc", 0644);
	MUST(symlink("file", "link"));
	fd = opened("file", O_PATH);
	CHECK_ERRNO(read(fd, text, 1), EBADF);
	CHECK_ERRNO(write(fd, text, 1), EBADF);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), EBADF);
	CHECK_ERRNO(fchmod(fd, 0600), EBADF);
	CHECK_ERRNO(ftruncate(fd, 0), EBADF);
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_size, 3);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
	CHECK_OK(dup(fd));
	fd = opened("link", O_PATH | O_NOFOLLOW);
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK(S_ISLNK(status.st_mode));
	CHECK_EQ(readlinkat(fd, "", text, sizeof(text)), 4);
	CHECK_STRING(text, "file");
	directory = opened(".", O_PATH | O_DIRECTORY);
	found = (int)CHECK_OK(openat(directory, "file", O_RDONLY));
	CHECK_EQ(read(found, text, 3), 3);
	CHECK_EQ(fchdir(directory), 0);
}

TEST(files_without_a_name)
{
	struct stat status;
	char path[40];
	int fd;

	enter_scratch();
	fd = (int)CHECK_OK(open(".", O_TMPFILE | O_RDWR, 0600));
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_nlink, 0);
	CHECK_EQ(status.st_mode, S_IFREG | 0600);
	CHECK_EQ(write(fd, "named later", 11), 11);
	sprintf(path, "/proc/self/fd/%d", fd);
	CHECK_EQ(linkat(AT_FDCWD, path, AT_FDCWD, "name", AT_SYMLINK_FOLLOW), 0);
	CHECK_STRING(contents("name"), "named later");
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_nlink, 1);
	fd = (int)CHECK_OK(open(".", O_TMPFILE | O_WRONLY | O_EXCL, 0600));
	sprintf(path, "/proc/self/fd/%d", fd);
	CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "other", AT_SYMLINK_FOLLOW), ENOENT);
	CHECK_ERRNO(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	CHECK_ERRNO(open("name", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
}

TEST(offsets)
{
	char text[10] = "";
	int fd;

	enter_scratch();
	write_file("file", "0123456789", 0644);
	fd = opened("file", O_RDWR);
	CHECK_EQ(read(fd, text, 3), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
	CHECK_EQ(lseek(fd, 2, SEEK_CUR), 5);
	CHECK_EQ(lseek(fd, -1, SEEK_END), 9);
	CHECK_EQ(read(fd, text, 5), 1);
	CHECK_EQ(text[0], '9');
	CHECK_EQ(read(fd, text, 5), 0);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, -11, SEEK_CUR), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, 77), EINVAL);
	CHECK_ERRNO(lseek(5000, 0, SEEK_SET), EBADF);
	CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
	CHECK_EQ(pread(fd, text, 2, 8), 2);
	CHECK_EQ(memcmp(text, "89", 2), 0);
	CHECK_EQ(pread(fd, text, 2, 100), 0);
	CHECK_EQ(pwrite(fd, "AB", 2, 0), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
	CHECK_ERRNO(pread(fd, text, 2, -1), EINVAL);
	CHECK_ERRNO(pwrite(fd, text, 2, -1), EINVAL);
	CHECK_EQ(lseek(fd, 20, SEEK_SET), 20);
	CHECK_EQ(size_of(fd), 10);
	CHECK_EQ(read(fd, text, 1), 0);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(size_of(fd), 21);
	memset(text, 'q', sizeof(text));
	CHECK_EQ(pread(fd, text, 10, 10), 10);
	CHECK_EQ(memcmp(text, "\0\0\0\0\0\0\0\0\0\0", 10), 0);
	CHECK_ERRNO(pread(fd, bad_address(), 2, 0), EFAULT);
}

static int is_access(int fd, const struct timespec *times, ssize_t got, ssize_t wanted)
{
	struct stat status;

	CHECK_EQ(got, wanted);
	MUST(fstat(fd, &status));
	MUST(futimens(fd, times));
	return status.st_atime != times[0].tv_sec;
}

TEST(reading_nothing_is_an_access)
{
	struct timespec times[2] = {{5, 0}, {6, 0}};
	struct iovec none = {NULL, 0};
	int memory = (int)MUST(memfd_create("read", 0));
	char byte;

	MUST(futimens(memory, times));
	CHECK_EQ(is_access(memory, times, read(memory, &byte, 1), 0), 1);
	CHECK_EQ(is_access(memory, times, pread(memory, &byte, 0, 0), 0), 1);
	CHECK_EQ(is_access(memory, times, preadv(memory, &none, 1, 0), 0), 0);
	close(memory);
}

TEST(sparse_files)
{
	char page[4096];
	int fd, is_zero = 1;
	off_t data;

	enter_scratch();
	fd = opened("sparse", O_RDWR | O_CREAT);
	CHECK_EQ(ftruncate(fd, 1 << 20), 0);
	CHECK_EQ(size_of(fd), 1 << 20);
	memset(page, 'd', sizeof(page));
	CHECK_EQ(pwrite(fd, page, sizeof(page), 1 << 16), sizeof(page));
	data = lseek(fd, 0, SEEK_DATA);
	CHECK(data >= 0 && data <= 1 << 16);
	CHECK_EQ(lseek(fd, 1 << 16, SEEK_DATA), 1 << 16);
	CHECK(lseek(fd, 1 << 16, SEEK_HOLE) >= (1 << 16) + 4096);
	CHECK(lseek(fd, 1 << 16, SEEK_HOLE) <= 1 << 20);
	CHECK_ERRNO(lseek(fd, 1 << 20, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 1 << 20, SEEK_HOLE), ENXIO);
	CHECK_EQ(pread(fd, page, sizeof(page), 1 << 12), sizeof(page));
	for (size_t at = 0; at < sizeof(page); at++)
		is_zero &= page[at] == 0;
	CHECK(is_zero);
	fd = opened("full", O_RDWR | O_CREAT);
	write_all(fd, "0123456789", 10);
	CHECK_EQ(lseek(fd, 3, SEEK_DATA), 3);
	CHECK_EQ(lseek(fd, 3, SEEK_HOLE), 10);
	CHECK_ERRNO(lseek(fd, 10, SEEK_DATA), ENXIO);
}

TEST(changing_the_length)
{
	char text[20];
	int fd, readable;

	enter_scratch();
	write_file("file", "0123456789", 0644);
	MUST(mkdir("directory", 0755));
	fd = opened("file", O_RDWR);
	readable = opened("file", O_RDONLY);
	CHECK_EQ(ftruncate(fd, 4), 0);
	CHECK_STRING(contents("file"), "0123");
	CHECK_EQ(ftruncate(fd, 8), 0);
	CHECK_EQ(pread(fd, text, sizeof(text), 0), 8);
	CHECK_EQ(memcmp(text, "0123\0\0\0\0", 8), 0);
	CHECK_EQ(truncate("file", 2), 0);
	CHECK_EQ(size_of(fd), 2);
	CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
	CHECK_ERRNO(truncate("file", -1), EINVAL);
	CHECK_ERRNO(ftruncate(readable, 1), EINVAL);
	CHECK_ERRNO(ftruncate(5000, 1), EBADF);
	CHECK_ERRNO(truncate("directory", 1), EISDIR);
	CHECK_ERRNO(truncate("missing", 1), ENOENT);
	CHECK_EQ(fallocate(fd, 0, 0, 6), 0);
	CHECK_EQ(size_of(fd), 6);
	CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100), 0);
	CHECK_EQ(size_of(fd), 6);
	CHECK_EQ(pwrite(fd, "abcdef", 6, 0), 6);
	CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 3), 0);
	CHECK_EQ(pread(fd, text, sizeof(text), 0), 6);
	CHECK_EQ(memcmp(text, "a\0\0\0ef", 6), 0);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERRNO(fallocate(readable, 0, 0, 10), EBADF);
}

TEST(descriptions_are_shared)
{
	char text[4] = "";
	int fd, again, apart;
	pid_t child;

	enter_scratch();
	write_file("file", "0123456789", 0644);
	fd = opened("file", O_RDONLY);
	again = (int)CHECK_OK(dup(fd));
	apart = opened("file", O_RDONLY);
	CHECK_EQ(read(fd, text, 2), 2);
	CHECK_EQ(read(again, text, 2), 2);
	CHECK_EQ(memcmp(text, "23", 2), 0);
	CHECK_EQ(lseek(apart, 0, SEEK_CUR), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(read(fd, text, 2), 2);
		CHECK_EQ(memcmp(text, "45", 2), 0);
		CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
		CHECK_EQ(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
		MUST(close(fd));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6);
	CHECK_EQ(fcntl(again, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_EQ(fcntl(apart, F_GETFL) & O_NONBLOCK, 0);
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(read(again, text, 2), 2);
	CHECK_EQ(memcmp(text, "67", 2), 0);
}

TEST(duplicating)
{
	int fd, other;

	enter_scratch();
	write_file("file", "abc", 0644);
	write_file("other", "xyz", 0644);
	fd = opened("file", O_RDONLY | O_CLOEXEC);
	other = opened("other", O_RDONLY);
	CHECK_EQ(dup2(fd, fd), fd);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(dup2(fd, 30), 30);
	CHECK_EQ(fcntl(30, F_GETFD), 0);
	CHECK_EQ(dup2(other, 30), 30);
	CHECK_EQ(lseek(30, 1, SEEK_SET), 1);
	CHECK_EQ(lseek(other, 0, SEEK_CUR), 1);
	CHECK_ERRNO(dup2(5000, 30), EBADF);
	CHECK_EQ(lseek(30, 0, SEEK_CUR), 1);
	CHECK_ERRNO(dup2(5000, 5000), EBADF);
	CHECK_ERRNO(dup2(fd, -1), EBADF);
	CHECK_ERRNO(dup(5000), EBADF);
	CHECK_EQ(dup3(fd, 31, O_CLOEXEC), 31);
	CHECK_EQ(fcntl(31, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(dup3(fd, 31, 0), 31);
	CHECK_EQ(fcntl(31, F_GETFD), 0);
	CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
	CHECK_ERRNO(dup3(fd, 32, O_APPEND), EINVAL);
	CHECK_EQ(fcntl(other, F_DUPFD_CLOEXEC, 40), 40);
	CHECK_EQ(fcntl(40, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
	CHECK_ERRNO(fcntl(fd, 9999, 0), EINVAL);
	CHECK_ERRNO(fcntl(5000, F_GETFD), EBADF);
}

TEST(closing_a_range)
{
	int fd = opened("/", O_RDONLY);

	for (int at = 60; at < 66; at++)
		MUST(dup2(fd, at));
	CHECK_EQ(close_range(61, 62, 0), 0);
	CHECK_EQ(fcntl(60, F_GETFD), 0);
	CHECK_ERRNO(fcntl(61, F_GETFD), EBADF);
	CHECK_ERRNO(fcntl(62, F_GETFD), EBADF);
	CHECK_EQ(fcntl(63, F_GETFD), 0);
	CHECK_EQ(close_range(63, 64, CLOSE_RANGE_CLOEXEC), 0);
	CHECK_EQ(fcntl(63, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(65, F_GETFD), 0);
	CHECK_ERRNO(close_range(64, 63, 0), EINVAL);
	CHECK_ERRNO(close_range(63, 64, 0x100), EINVAL);
	CHECK_EQ(close_range(100, 150, 0), 0);
}

TEST(reading_and_writing_errnos)
{
	struct iovec parts[2] = {{"ab", 2}, {"cd", 2}};
	int fd, directory, readable, writable;
	char byte;

	enter_scratch();
	fd = opened("file", O_RDWR | O_CREAT);
	readable = opened("file", O_RDONLY);
	writable = opened("file", O_WRONLY);
	directory = opened(".", O_RDONLY);
	CHECK_ERRNO(read(directory, &byte, 1), EISDIR);
	CHECK_ERRNO(write(directory, "x", 1), EBADF);
	CHECK_ERRNO(write(readable, "x", 1), EBADF);
	CHECK_ERRNO(read(writable, &byte, 1), EBADF);
	CHECK_ERRNO(write(fd, bad_address(), 1), EFAULT);
	CHECK_EQ(write(fd, "x", 0), 0);
	CHECK_EQ(pwritev(fd, parts, 2, 1), 4);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(preadv(fd, (struct iovec[]){{&byte, 1}}, 1, 3), 1);
	CHECK_EQ(byte, 'c');
	CHECK_EQ(fsync(fd), 0);
	CHECK_EQ(fdatasync(fd), 0);
	CHECK_ERRNO(fsync(5000), EBADF);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, 77), EINVAL);
	CHECK_EQ(posix_fadvise(5000, 0, 0, 0), EBADF);
}

static volatile int limit_signals;

static void count_limit(int signal)
{
	limit_signals += signal == SIGXFSZ;
}

TEST(rlimit_fsize)
{
	struct rlimit limit, old;
	char data[200] = "";
	ssize_t written;
	int fd, signals_of_a_part, errno_at_the_limit, errno_of_growing, errno_of_shrinking;
	pid_t child;

	enter_scratch();
	fd = opened("file", O_RDWR | O_CREAT);
	MUST(getrlimit(RLIMIT_FSIZE, &old));
	limit = (struct rlimit){100, old.rlim_max};
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
		MUST(setrlimit(RLIMIT_FSIZE, &limit));
		MUST(pwrite(fd, data, 1, 100));
		_exit(0);
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGXFSZ);
	handle(SIGXFSZ, count_limit, 0);
	MUST(setrlimit(RLIMIT_FSIZE, &limit));
	/* The lines that report these may go to a file too. */
	written = write(fd, data, 200);
	signals_of_a_part = limit_signals;
	errno_at_the_limit = ERRNO_OF(write(fd, data, 1));
	errno_of_growing = ERRNO_OF(ftruncate(fd, 101));
	errno_of_shrinking = ERRNO_OF(ftruncate(fd, 50));
	MUST(setrlimit(RLIMIT_FSIZE, &old));
	CHECK_EQ(written, 100);
	CHECK_EQ(signals_of_a_part, 0);
	CHECK_EQ(errno_at_the_limit, EFBIG);
	CHECK_EQ(errno_of_growing, EFBIG);
	CHECK_EQ(limit_signals, 2);
	CHECK_EQ(errno_of_shrinking, 0);
}

/* What has ended is sent past any limit, for nothing is written then. */
TEST(rlimit_fsize_of_what_is_sent)
{
	struct rlimit limit, old;
	int in, out, ends[2], sent_nothing, errno_of_sending, signals_of_sending, signals_of_a_part;
	ssize_t sent, spliced;

	enter_scratch();
	in = opened("in", O_RDWR | O_CREAT);
	out = opened("out", O_RDWR | O_CREAT);
	MUST(getrlimit(RLIMIT_FSIZE, &old));
	limit = (struct rlimit){100, old.rlim_max};
	handle(SIGXFSZ, count_limit, 0);
	MUST(lseek(out, 200, SEEK_SET));
	MUST(setrlimit(RLIMIT_FSIZE, &limit));
	sent_nothing = (int)sendfile(out, in, NULL, 50);
	MUST(pwrite(in, "0123456789", 10, 0));
	errno_of_sending = ERRNO_OF(sendfile(out, in, NULL, 50));
	signals_of_sending = limit_signals;
	MUST(lseek(out, 95, SEEK_SET));
	MUST(lseek(in, 0, SEEK_SET));
	sent = sendfile(out, in, NULL, 50);
	signals_of_a_part = limit_signals;
	MUST(pipe(ends));
	MUST(write(ends[1], "0123456789", 10));
	MUST(lseek(out, 95, SEEK_SET));
	spliced = splice(ends[0], NULL, out, NULL, 50, 0);
	MUST(setrlimit(RLIMIT_FSIZE, &old));
	CHECK_EQ(sent_nothing, 0);
	CHECK_EQ(errno_of_sending, EFBIG);
	CHECK_EQ(signals_of_sending, 1);
	CHECK_EQ(sent, 5);
	CHECK_EQ(signals_of_a_part, 2);
	CHECK_EQ(spliced, 5);
	CHECK_EQ(limit_signals, 3);
}

TEST(sendfile_and_copy_file_range)
{
	int in, out, ends[2];
	char text[20] = "";
	off_t offset = 3, out_offset = 1;

	enter_scratch();
	write_file("in", "0123456789", 0644);
	in = opened("in", O_RDONLY);
	out = opened("out", O_RDWR | O_CREAT);
	CHECK_EQ(sendfile(out, in, &offset, 4), 4);
	CHECK_EQ(offset, 7);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
	CHECK_STRING(contents("out"), "3456");
	CHECK_EQ(sendfile(out, in, NULL, 100), 10);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 10);
	CHECK_EQ(sendfile(out, in, NULL, 100), 0);
	MUST(pipe(ends));
	offset = 8;
	CHECK_EQ(sendfile(ends[1], in, &offset, 100), 2);
	CHECK_EQ(read(ends[0], text, 20), 2);
	CHECK_ERRNO(sendfile(in, out, NULL, 1), EBADF);
	CHECK_ERRNO(sendfile(5000, in, NULL, 1), EBADF);
	offset = 2;
	CHECK_EQ(copy_file_range(in, &offset, out, &out_offset, 3, 0), 3);
	CHECK_EQ(offset, 5);
	CHECK_EQ(out_offset, 4);
	CHECK_STRING(contents("out"), "32340123456789");
	CHECK_EQ(copy_file_range(in, NULL, out, NULL, 3, 0), 0);
	CHECK_ERRNO(copy_file_range(in, &offset, out, &out_offset, 3, 1), EINVAL);
	CHECK_ERRNO(copy_file_range(in, NULL, in, NULL, 3, 0), EBADF);
	CHECK_ERRNO(copy_file_range(ends[0], NULL, out, NULL, 3, 0), EINVAL);
}

TEST(devices)
{
	char data[64], other[64], nothing[64] = "";
	struct stat status;
	int null = (int)CHECK_OK(open("/dev/null", O_RDWR)), zero = (int)CHECK_OK(open("/dev/zero", O_RDWR));
	int full = (int)CHECK_OK(open("/dev/full", O_RDWR)), random = (int)CHECK_OK(open("/dev/urandom", O_RDONLY));

	CHECK_EQ(fstat(null, &status), 0);
	CHECK(S_ISCHR(status.st_mode));
	CHECK_EQ(status.st_rdev, 0x103);
	CHECK_EQ(read(null, data, 10), 0);
	CHECK_EQ(write(null, data, 10), 10);
	CHECK_EQ(lseek(null, 100, SEEK_SET), 0);
	memset(data, 'x', sizeof(data));
	CHECK_EQ(read(zero, data, sizeof(data)), sizeof(data));
	CHECK_EQ(memcmp(data, nothing, sizeof(data)), 0);
	CHECK_EQ(write(zero, data, 10), 10);
	memset(data, 'x', sizeof(data));
	CHECK_EQ(read(full, data, sizeof(data)), sizeof(data));
	CHECK_EQ(memcmp(data, nothing, sizeof(data)), 0);
	CHECK_ERRNO(write(full, data, 1), ENOSPC);
	CHECK_EQ(read(random, data, sizeof(data)), sizeof(data));
	CHECK_EQ(read(random, other, sizeof(other)), sizeof(other));
	CHECK(memcmp(data, other, sizeof(data)) != 0);
	random = (int)CHECK_OK(open("/dev/random", O_RDONLY | O_NONBLOCK));
	CHECK(read(random, data, sizeof(data)) > 0);
	CHECK_EQ(poll(&(struct pollfd){.fd = null, .events = POLLIN | POLLOUT}, 1, 0), 1);
}
