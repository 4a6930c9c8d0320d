/* Locks on files: flock(2), fcntl(2). */
#include "check.h"

#include <sys/file.h>

static int opened(const char *path, int flags)
{
	return (int)MUST(open(path, flags));
}

TEST(whole_file_locks)
{
	int fd, again, apart;
	pid_t child;

	enter_scratch();
	write_file("lock", "", 0644);
	fd = opened("lock", O_RDONLY);
	again = (int)MUST(dup(fd));
	apart = opened("lock", O_RDONLY);
	CHECK_EQ(flock(fd, LOCK_SH), 0);
	CHECK_EQ(flock(apart, LOCK_SH | LOCK_NB), 0);
	CHECK_ERRNO(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_EQ(flock(apart, LOCK_UN), 0);
	CHECK_EQ(flock(again, LOCK_EX | LOCK_NB), 0);
	CHECK_ERRNO(flock(apart, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
		CHECK_ERRNO(flock(apart, LOCK_EX | LOCK_NB), EWOULDBLOCK);
		MUST(close(fd));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(flock(apart, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	MUST(close(fd));
	CHECK_ERRNO(flock(apart, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	MUST(close(again));
	CHECK_EQ(flock(apart, LOCK_EX | LOCK_NB), 0);
	CHECK_ERRNO(flock(apart, 0), EINVAL);
	CHECK_ERRNO(flock(5000, LOCK_SH), EBADF);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		apart = opened("lock", O_RDONLY);
		CHECK_EQ(flock(apart, LOCK_EX), 0);
		_exit(0);
	}
	sleep_ms(10);
	CHECK_EQ(flock(apart, LOCK_UN), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

static int lock_record(int fd, int command, short type, off_t start, off_t length)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

	return fcntl(fd, command, &lock);
}

TEST(record_locks)
{
	struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 12, .l_len = 1};
	int fd, readable;
	pid_t parent = getpid(), child;

	enter_scratch();
	write_file("lock", "0123456789", 0644);
	fd = opened("lock", O_RDWR);
	readable = opened("lock", O_RDONLY);
	CHECK_EQ(lock_record(fd, F_SETLK, F_WRLCK, 10, 10), 0);
	CHECK_EQ(lock_record(fd, F_SETLK, F_RDLCK, 100, 0), 0);
	CHECK_EQ(lock_record(fd, F_SETLK, F_WRLCK, 12, 2), 0);
	CHECK_EQ(fcntl(fd, F_GETLK, &asked), 0);
	CHECK_EQ(asked.l_type, F_UNLCK);
	CHECK_ERRNO(lock_record(readable, F_SETLK, F_WRLCK, 0, 1), EBADF);
	CHECK_ERRNO(lock_record(fd, F_SETLK, 77, 0, 1), EINVAL);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int own = opened("lock", O_RDWR);

		asked.l_type = F_WRLCK;
		CHECK_EQ(fcntl(own, F_GETLK, &asked), 0);
		CHECK_EQ(asked.l_type, F_WRLCK);
		CHECK_EQ(asked.l_pid, parent);
		CHECK_EQ(asked.l_start, 10);
		CHECK_EQ(asked.l_len, 10);
		CHECK_ERRNO(lock_record(own, F_SETLK, F_RDLCK, 19, 1), EAGAIN);
		CHECK_EQ(lock_record(own, F_SETLK, F_WRLCK, 20, 5), 0);
		CHECK_EQ(lock_record(own, F_SETLK, F_RDLCK, 1000, 1), 0);
		CHECK_ERRNO(lock_record(own, F_SETLK, F_WRLCK, 1001, 1), EAGAIN);
		CHECK_EQ(lock_record(own, F_SETLKW, F_WRLCK, 10, 1), 0);
		_exit(0);
	}
	sleep_ms(10);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK_EQ(lock_record(fd, F_SETLK, F_UNLCK, 10, 1), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(close(readable));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(lock_record(opened("lock", O_RDWR), F_SETLK, F_WRLCK, 0, 0), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(deadlock_of_record_locks)
{
	int fd, ends[2], failures = 0, status;
	char byte;
	pid_t child;

	enter_scratch();
	write_file("lock", "", 0644);
	MUST(pipe(ends));
	fd = opened("lock", O_RDWR);
	MUST(lock_record(fd, F_SETLK, F_WRLCK, 0, 1));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		fd = opened("lock", O_RDWR);
		MUST(lock_record(fd, F_SETLK, F_WRLCK, 1, 1));
		write_all(ends[1], "x", 1);
		_exit(lock_record(fd, F_SETLKW, F_WRLCK, 0, 1) == -1 ? errno : 0);
	}
	MUST(read(ends[0], &byte, 1));
	failures += ERRNO_OF(lock_record(fd, F_SETLKW, F_WRLCK, 1, 1));
	MUST(lock_record(fd, F_SETLK, F_UNLCK, 0, 0));
	status = wait_for(child);
	CHECK_EQ(failures + WEXITSTATUS(status), EDEADLK);
}

TEST(locks_of_descriptions)
{
	int fd, apart;

	enter_scratch();
	write_file("lock", "", 0644);
	fd = opened("lock", O_RDWR);
	apart = opened("lock", O_RDWR);
	CHECK_EQ(lock_record(fd, F_OFD_SETLK, F_WRLCK, 0, 10), 0);
	CHECK_ERRNO(lock_record(apart, F_OFD_SETLK, F_RDLCK, 5, 1), EAGAIN);
	CHECK_EQ(lock_record(apart, F_OFD_SETLK, F_WRLCK, 10, 1), 0);
	MUST(close(fd));
	CHECK_EQ(lock_record(apart, F_OFD_SETLK, F_RDLCK, 5, 1), 0);
}

TEST(closing_a_place_keeps_the_locks_of_its_file)
{
	struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd;
	pid_t child;

	enter_scratch();
	write_file("lock", "", 0644);
	fd = opened("lock", O_RDWR);
	MUST(lock_record(fd, F_SETLK, F_WRLCK, 0, 0));
	MUST(close(opened("lock", O_PATH)));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(fcntl(fd, F_GETLK, &asked));
		_exit(asked.l_type == F_WRLCK ? 0 : 1);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(close(opened("lock", O_RDONLY)));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(fcntl(fd, F_GETLK, &asked));
		_exit(asked.l_type == F_UNLCK ? 0 : 1);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}
