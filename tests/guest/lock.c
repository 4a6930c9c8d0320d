/* Locks on files: flock(2), fcntl(2). */
#include "check.h"

#include <sched.h>
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

static void ignore_signal(int signal)
{
	(void)signal;
}

/* A wait that a signal ends doesn't touch what was locked by the same description meanwhile. */
TEST(interrupted_wait_for_a_whole_file)
{
	int fd, apart;
	pid_t child;

	enter_scratch();
	write_file("lock", "", 0644);
	fd = opened("lock", O_RDONLY);
	apart = opened("lock", O_RDONLY);
	MUST(flock(apart, LOCK_SH));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle(SIGUSR1, ignore_signal, 0);
		CHECK_ERRNO(flock(fd, LOCK_EX), EINTR);
		_exit(0);
	}
	sleep_ms(50);
	CHECK_EQ(flock(fd, LOCK_SH), 0);
	MUST(kill(child, SIGUSR1));
	CHECK_EQ(wait_for(child), EXITED(0));
	/* What it was taken by is still there. */
	CHECK_ERRNO(flock(apart, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_EQ(flock(apart, LOCK_UN), 0);
	CHECK_ERRNO(flock(apart, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_EQ(flock(fd, LOCK_UN), 0);
	CHECK_EQ(flock(apart, LOCK_EX | LOCK_NB), 0);
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

static void on_alarm(int signal __attribute__((unused)))
{
}

/* Each of `length` processes has a byte locked and waits for the next one's: what the last is told. */
static int told_the_last_of(int length)
{
	struct itimerval soon = {.it_value = {0, 100000}};
	int fd = opened("lock", O_RDWR), ends[2], told;
	pid_t children[16];
	char byte;

	MUST(pipe(ends));
	MUST(lock_record(fd, F_SETLK, F_WRLCK, length - 1, 1));
	for (int at = length - 2; at >= 0; at--) {
		children[at] = (pid_t)MUST(fork());
		if (children[at] == 0) {
			MUST(lock_record(fd, F_SETLK, F_WRLCK, at, 1));
			write_all(ends[1], "x", 1);
			_exit(lock_record(fd, F_SETLKW, F_WRLCK, at + 1, 1) == -1);
		}
		MUST(read(ends[0], &byte, 1));
	}
	sleep_ms(50);
	handle(SIGALRM, on_alarm, 0);
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	told = ERRNO_OF(lock_record(fd, F_SETLKW, F_WRLCK, 0, 1));
	for (int at = 0; at < length - 1; at++) {
		kill(children[at], SIGKILL);
		wait_for(children[at]);
	}
	MUST(close(fd));
	return told;
}

TEST(how_far_a_deadlock_is_looked_for)
{
	enter_scratch();
	write_file("lock", "", 0644);
	CHECK_EQ(told_the_last_of(2), EDEADLK);
	CHECK_EQ(told_the_last_of(12), EDEADLK);
	CHECK_EQ(told_the_last_of(13), EINTR);
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

static off_t first_in_the_way(int fd)
{
	struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	MUST(fcntl(fd, F_OFD_GETLK, &asked));
	return asked.l_type == F_UNLCK ? -1 : asked.l_start;
}

/* Whose locks came first is asked before where they begin, as long as an owner has any. */
TEST(which_of_many_is_in_the_way)
{
	int first, second, asking;

	enter_scratch();
	write_file("lock", "", 0644);
	first = opened("lock", O_RDWR);
	second = opened("lock", O_RDWR);
	asking = opened("lock", O_RDWR);
	MUST(lock_record(first, F_OFD_SETLK, F_RDLCK, 100, 10));
	MUST(lock_record(second, F_OFD_SETLK, F_RDLCK, 0, 10));
	MUST(lock_record(first, F_OFD_SETLK, F_RDLCK, 200, 5));
	CHECK_EQ(first_in_the_way(asking), 100);
	MUST(lock_record(first, F_OFD_SETLK, F_UNLCK, 100, 10));
	CHECK_EQ(first_in_the_way(asking), 200);
	MUST(lock_record(first, F_OFD_SETLK, F_WRLCK, 200, 5));
	CHECK_EQ(first_in_the_way(asking), 200);
	MUST(lock_record(first, F_OFD_SETLK, F_WRLCK, 190, 30));
	CHECK_EQ(first_in_the_way(asking), 190);
	MUST(lock_record(first, F_OFD_SETLK, F_UNLCK, 0, 0));
	MUST(lock_record(first, F_OFD_SETLK, F_RDLCK, 200, 5));
	CHECK_EQ(first_in_the_way(asking), 0);
	MUST(close(first));
	MUST(close(second));
	MUST(close(asking));
}

/* The locks on a file in /proc/locks, such as "WRITE 0 99, READ 5 EOF". */
static const char *listed(int fd)
{
	static char all[1 << 16], found[512];
	char ending[32], kind[8], file[64], end[24];
	struct stat status;
	unsigned long start;
	int list = opened("/proc/locks", O_RDONLY), length, put = 0;

	MUST(fstat(fd, &status));
	snprintf(ending, sizeof(ending), ":%lu", (unsigned long)status.st_ino);
	length = (int)MUST(read(list, all, sizeof(all) - 1));
	all[length] = found[0] = 0;
	MUST(close(list));
	for (char *line = strtok(all, "\n"); line != NULL; line = strtok(NULL, "\n"))
		if (sscanf(line, "%*s %*s %*s %7s %*s %63s %lu %23s", kind, file, &start, end) == 4 &&
		    strlen(file) > strlen(ending) && strcmp(file + strlen(file) - strlen(ending), ending) == 0)
			put += snprintf(found + put, sizeof(found) - put, "%s%s %lu %s", put ? ", " : "", kind, start, end);
	return found;
}

TEST(the_newest_is_listed_first)
{
	cpu_set_t one;
	int fd, apart;

	/* Each processor has a list. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	MUST(sched_setaffinity(0, sizeof(one), &one));
	enter_scratch();
	write_file("lock", "", 0644);
	fd = opened("lock", O_RDWR);
	apart = opened("lock", O_RDWR);
	MUST(lock_record(fd, F_SETLK, F_RDLCK, 0, 1));
	MUST(lock_record(fd, F_SETLK, F_WRLCK, 2, 1));
	MUST(lock_record(apart, F_OFD_SETLK, F_RDLCK, 10, 5));
	CHECK_STRING(listed(fd), "READ 10 14, WRITE 2 2, READ 0 0");
	/* One that grows keeps its place, one of the other kind takes a new one, and the first part of two does. */
	MUST(lock_record(fd, F_SETLK, F_RDLCK, 1, 1));
	CHECK_STRING(listed(fd), "READ 10 14, WRITE 2 2, READ 0 1");
	MUST(lock_record(fd, F_SETLK, F_WRLCK, 0, 10));
	CHECK_STRING(listed(fd), "WRITE 0 9, READ 10 14");
	MUST(lock_record(fd, F_SETLK, F_UNLCK, 4, 2));
	CHECK_STRING(listed(fd), "WRITE 0 3, WRITE 6 9, READ 10 14");
	MUST(lock_record(apart, F_OFD_SETLK, F_UNLCK, 12, 0));
	CHECK_STRING(listed(fd), "WRITE 0 3, WRITE 6 9, READ 10 11");
	MUST(flock(fd, LOCK_SH));
	MUST(lock_record(fd, F_SETLK, F_RDLCK, 7, 1));
	CHECK_STRING(listed(fd), "WRITE 6 6, READ 7 7, READ 0 EOF, WRITE 0 3, WRITE 8 9, READ 10 11");
	MUST(flock(fd, LOCK_EX));
	CHECK_STRING(listed(fd), "WRITE 0 EOF, WRITE 6 6, READ 7 7, WRITE 0 3, WRITE 8 9, READ 10 11");
	MUST(close(fd));
	MUST(close(apart));
}

TEST(of_one_file_the_first_owner_is_listed_first)
{
	char path[40], text[600];
	int fd, info;

	enter_scratch();
	write_file("lock", "", 0644);
	fd = opened("lock", O_RDWR);
	MUST(lock_record(fd, F_OFD_SETLK, F_RDLCK, 10, 5));
	MUST(lock_record(fd, F_SETLK, F_RDLCK, 20, 5));
	MUST(lock_record(fd, F_SETLK, F_RDLCK, 0, 5));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = opened(path, O_RDONLY);
	text[MUST(read(info, text, sizeof(text) - 1))] = 0;
	CHECK(strstr(text, "1: OFDLCK ") != NULL);
	CHECK(strstr(text, " 10 14\nlock:\t2: POSIX ") != NULL);
	CHECK(strstr(text, " 0 4\nlock:\t3: POSIX ") != NULL);
	MUST(close(info));
	MUST(close(fd));
}
