/* Leases on files, and signals of what happens in a directory: F_SETLEASE, F_GETLEASE, F_NOTIFY of fcntl(2). */
#include "check.h"

#include <poll.h>
#include <sys/file.h>

static volatile int calls, seen_code, seen_fd;
static volatile long seen_band;

static void note(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	calls++;
	seen_code = info->si_code;
	seen_fd = info->si_fd;
	seen_band = info->si_band;
}

static int file_of(const char *name, int flags)
{
	return (int)MUST(open(name, flags, 0600));
}

TEST(leases_and_openers)
{
	int writer, reader, other;

	enter_scratch();
	writer = file_of("file", O_RDWR | O_CREAT);
	CHECK_EQ(fcntl(writer, F_GETLEASE), F_UNLCK);
	CHECK_ERRNO(fcntl(writer, F_SETLEASE, F_RDLCK), EAGAIN);
	CHECK_OK(fcntl(writer, F_SETLEASE, F_WRLCK));
	CHECK_EQ(fcntl(writer, F_GETLEASE), F_WRLCK);
	CHECK_OK(fcntl(writer, F_SETLEASE, F_UNLCK));
	CHECK_EQ(fcntl(writer, F_GETLEASE), F_UNLCK);
	CHECK_ERRNO(fcntl(writer, F_SETLEASE, F_UNLCK), EAGAIN);
	CHECK_ERRNO(fcntl(writer, F_SETLEASE, 3), EINVAL);
	MUST(close(writer));
	reader = file_of("file", O_RDONLY);
	CHECK_OK(fcntl(reader, F_SETLEASE, F_RDLCK));
	CHECK_OK(fcntl(reader, F_SETLEASE, F_WRLCK));
	CHECK_OK(fcntl(reader, F_SETLEASE, F_RDLCK));
	other = file_of("file", O_RDONLY);
	CHECK_OK(fcntl(other, F_SETLEASE, F_RDLCK));
	CHECK_EQ(fcntl(other, F_GETLEASE), F_RDLCK);
	CHECK_ERRNO(fcntl(other, F_SETLEASE, F_WRLCK), EAGAIN);
	MUST(close(other));
	CHECK_OK(fcntl(reader, F_SETLEASE, F_WRLCK));
	other = file_of("file", O_PATH);
	CHECK_ERRNO(fcntl(other, F_GETLEASE), EBADF);
	CHECK_ERRNO(fcntl(file_of(".", O_RDONLY), F_SETLEASE, F_RDLCK), EINVAL);
}

/* An open for neither counts for nothing, as a mount of the file does. */
TEST(who_opens_for_nothing_is_no_opener)
{
	int neither, other;

	enter_scratch();
	MUST(close(file_of("file", O_RDWR | O_CREAT)));
	neither = file_of("file", O_ACCMODE);
	CHECK_OK(fcntl(neither, F_SETLEASE, F_WRLCK));
	CHECK_OK(fcntl(neither, F_SETLEASE, F_RDLCK));
	CHECK_OK(fcntl(neither, F_SETLEASE, F_UNLCK));
	other = file_of("file", O_RDWR);
	CHECK_OK(fcntl(other, F_SETLEASE, F_WRLCK));
	CHECK_OK(fcntl(other, F_SETLEASE, F_UNLCK));
	CHECK_ERRNO(fcntl(neither, F_SETLEASE, F_WRLCK), EAGAIN);
	CHECK_ERRNO(fcntl(neither, F_SETLEASE, F_RDLCK), EAGAIN);
	MUST(close(other));
	other = file_of("file", O_RDONLY);
	CHECK_OK(fcntl(other, F_SETLEASE, F_WRLCK));
	CHECK_OK(fcntl(other, F_SETLEASE, F_UNLCK));
	CHECK_ERRNO(fcntl(neither, F_SETLEASE, F_WRLCK), EAGAIN);
	CHECK_OK(fcntl(neither, F_SETLEASE, F_RDLCK));
	MUST(close(neither));
	MUST(close(file_of("file", O_PATH)));
	CHECK_OK(fcntl(other, F_SETLEASE, F_WRLCK));
}

TEST(a_lease_is_broken)
{
	int reader, queries;
	pid_t child;

	enter_scratch();
	MUST(close(file_of("file", O_RDWR | O_CREAT)));
	reader = file_of("file", O_RDONLY);
	handle_info(SIGIO, note, SA_RESTART);
	MUST(fcntl(reader, F_SETSIG, SIGIO));
	MUST(fcntl(reader, F_SETLEASE, F_RDLCK));
	CHECK_ERRNO(open("file", O_WRONLY | O_NONBLOCK), EAGAIN);
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen_code, POLL_MSG);
	CHECK_EQ(seen_fd, reader);
	CHECK_EQ(seen_band, POLLIN | POLLRDNORM | POLLMSG);
	CHECK_EQ(fcntl(reader, F_GETLEASE), F_UNLCK);
	/* It's told once only. */
	CHECK_ERRNO(open("file", O_WRONLY | O_NONBLOCK), EAGAIN);
	CHECK_EQ(calls, 1);
	queries = open("file", O_RDONLY | O_NONBLOCK);
	CHECK_OK(queries);
	MUST(close(queries));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(close(reader));
		_exit(open("file", O_WRONLY) == -1 ? 1 : 0);
	}
	sleep_ms(50);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK_OK(fcntl(reader, F_SETLEASE, F_UNLCK));
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(a_write_lease_is_broken_by_a_reader)
{
	int holder;
	pid_t child;

	enter_scratch();
	holder = file_of("file", O_RDWR | O_CREAT);
	handle_info(SIGIO, note, SA_RESTART);
	MUST(fcntl(holder, F_SETSIG, SIGIO));
	MUST(fcntl(holder, F_SETLEASE, F_WRLCK));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(open("file", O_RDONLY) == -1 ? 1 : 0);
	while (calls == 0)
		sleep_ms(1);
	CHECK_EQ(fcntl(holder, F_GETLEASE), F_RDLCK);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK_OK(fcntl(holder, F_SETLEASE, F_UNLCK));
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* O_TRUNC makes no writer of who opens to read: it takes a read lease from nobody, and a write lease in two steps. */
TEST(opening_to_read_and_empty_breaks_as_reading)
{
	int reader, holder;

	enter_scratch();
	MUST(close(file_of("file", O_RDWR | O_CREAT)));
	handle_info(SIGIO, note, SA_RESTART);
	reader = file_of("file", O_RDONLY);
	MUST(fcntl(reader, F_SETLEASE, F_RDLCK));
	MUST(close(file_of("file", O_RDONLY | O_TRUNC | O_NONBLOCK)));
	CHECK_EQ(fcntl(reader, F_GETLEASE), F_RDLCK);
	CHECK_EQ(calls, 0);
	MUST(close(reader));
	holder = file_of("file", O_RDWR);
	MUST(fcntl(holder, F_SETLEASE, F_WRLCK));
	CHECK_ERRNO(open("file", O_RDONLY | O_TRUNC | O_NONBLOCK), EAGAIN);
	CHECK_EQ(calls, 1);
	CHECK_EQ(fcntl(holder, F_GETLEASE), F_RDLCK);
	CHECK_ERRNO(open("file", O_RDONLY | O_NONBLOCK), EAGAIN);
	CHECK_EQ(calls, 1);
	CHECK_ERRNO(open("file", O_WRONLY | O_NONBLOCK), EAGAIN);
	CHECK_EQ(calls, 2);
	CHECK_EQ(fcntl(holder, F_GETLEASE), F_UNLCK);
	CHECK_ERRNO(open("file", O_ACCMODE | O_NONBLOCK), EAGAIN);
	CHECK_EQ(calls, 2);
}

TEST(truncate_breaks_leases)
{
	int reader;
	pid_t child;

	enter_scratch();
	MUST(close(file_of("file", O_RDWR | O_CREAT)));
	reader = file_of("file", O_RDONLY);
	handle_info(SIGIO, note, 0);
	MUST(fcntl(reader, F_SETLEASE, F_RDLCK));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(close(reader));
		_exit(truncate("file", 10) == -1 ? 1 : 0);
	}
	while (calls == 0)
		sleep_ms(1);
	MUST(close(reader));
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(another_s_file)
{
	pid_t child;

	enter_scratch();
	if (geteuid() != 0)
		return;
	MUST(close(file_of("file", O_RDWR | O_CREAT)));
	MUST(chmod("file", 0644));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int reader = file_of("file", O_RDONLY);

		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_ERRNO(fcntl(reader, F_SETLEASE, F_RDLCK), EACCES);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(what_happens_in_a_directory)
{
	int directory, file;

	enter_scratch();
	directory = file_of(".", O_RDONLY | O_DIRECTORY);
	handle_info(SIGIO, note, SA_RESTART);
	MUST(fcntl(directory, F_SETSIG, SIGIO));
	CHECK_OK(fcntl(directory, F_NOTIFY, DN_CREATE | DN_DELETE));
	file = file_of("one", O_RDWR | O_CREAT);
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen_code, POLL_MSG);
	CHECK_EQ(seen_fd, directory);
	/* Once is all unless more was asked for. */
	MUST(unlink("one"));
	CHECK_EQ(calls, 1);
	CHECK_OK(fcntl(directory, F_NOTIFY, DN_MULTISHOT | DN_CREATE));
	CHECK_OK(fcntl(directory, F_NOTIFY, DN_MULTISHOT | DN_RENAME | DN_MODIFY | DN_ATTRIB));
	calls = 0;
	MUST(close(file));
	file = file_of("two", O_RDWR | O_CREAT);
	CHECK_EQ(calls, 1);
	MUST(write(file, "x", 1));
	CHECK_EQ(calls, 2);
	MUST(fchmod(file, 0640));
	CHECK_EQ(calls, 3);
	MUST(rename("two", "three"));
	CHECK(calls >= 4);
	calls = 0;
	MUST(unlink("three"));
	CHECK_OK(fcntl(directory, F_NOTIFY, 0));
	MUST(close(file_of("four", O_RDWR | O_CREAT)));
	CHECK(calls <= 1);
	MUST(unlink("four"));
	CHECK_ERRNO(fcntl(file, F_NOTIFY, DN_CREATE), ENOTDIR);
	CHECK_OK(fcntl(file, F_NOTIFY, 0));
}

TEST(a_directory_tells_of_each_side_of_a_rename)
{
	int directory;

	enter_scratch();
	MUST(mkdir("below", 0700));
	directory = file_of(".", O_RDONLY | O_DIRECTORY);
	handle_info(SIGRTMIN, note, SA_RESTART);
	MUST(fcntl(directory, F_SETSIG, SIGRTMIN));
	MUST(close(file_of("one", O_RDWR | O_CREAT)));
	/* DN_RENAME is of what stays in the directory; what leaves it is deleted, what comes is created. */
	CHECK_OK(fcntl(directory, F_NOTIFY, DN_MULTISHOT | DN_RENAME));
	MUST(rename("one", "two"));
	CHECK_EQ(calls, 1);
	MUST(rename("two", "below/two"));
	MUST(rename("below/two", "one"));
	CHECK_EQ(calls, 1);
	CHECK_OK(fcntl(directory, F_NOTIFY, DN_MULTISHOT | DN_DELETE));
	MUST(rename("one", "two"));
	CHECK_EQ(calls, 3);
	MUST(rename("two", "below/two"));
	CHECK_EQ(calls, 4);
	CHECK_OK(fcntl(directory, F_NOTIFY, DN_MULTISHOT | DN_CREATE));
	MUST(rename("below/two", "one"));
	CHECK_EQ(calls, 5);
	MUST(rename("one", "two"));
	CHECK_EQ(calls, 8);
	MUST(unlink("two"));
	MUST(rmdir("below"));
}

TEST(a_directory_tells_until_a_descriptor_is_closed)
{
	int directory, other;
	pid_t child;

	enter_scratch();
	directory = file_of(".", O_RDONLY | O_DIRECTORY);
	handle_info(SIGIO, note, SA_RESTART);
	MUST(fcntl(directory, F_SETSIG, SIGIO));
	/* It's the open file and the table that count, not which descriptor asked. */
	other = (int)MUST(dup(directory));
	CHECK_OK(fcntl(directory, F_NOTIFY, DN_MULTISHOT | DN_CREATE));
	MUST(close(file_of("one", O_RDWR | O_CREAT)));
	CHECK_EQ(calls, 1);
	MUST(close(other));
	MUST(close(file_of("two", O_RDWR | O_CREAT)));
	CHECK_EQ(calls, 1);
	CHECK_OK(fcntl(directory, F_NOTIFY, DN_MULTISHOT | DN_CREATE));
	/* Another process's descriptors are in another table. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		close(directory);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(close(file_of("three", O_RDWR | O_CREAT)));
	CHECK_EQ(calls, 2);
	/* A child's wish ends with it, though its parent has the directory open. */
	CHECK_OK(fcntl(directory, F_NOTIFY, 0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(fcntl(directory, F_SETOWN, getppid()));
		MUST(fcntl(directory, F_NOTIFY, DN_MULTISHOT | DN_CREATE));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(close(file_of("four", O_RDWR | O_CREAT)));
	CHECK_EQ(calls, 2);
	MUST(unlink("one"));
	MUST(unlink("two"));
	MUST(unlink("three"));
	MUST(unlink("four"));
}

TEST(what_a_lease_makes_of_its_file)
{
	int file;

	enter_scratch();
	MUST(close(file_of("file", O_RDWR | O_CREAT)));
	file = file_of("file", O_RDONLY);
	CHECK_EQ(fcntl(file, F_GETFL) & O_ASYNC, 0);
	MUST(fcntl(file, F_SETSIG, SIGUSR1));
	CHECK_EQ(fcntl(file, F_SETLEASE, F_RDLCK), 0);
	CHECK_EQ(fcntl(file, F_GETFL) & O_ASYNC, O_ASYNC);
	CHECK_EQ(fcntl(file, F_GETOWN), getpid());
	CHECK_EQ(fcntl(file, F_GETSIG), SIGUSR1);
	/* A file of this kind isn't told to say so or not. */
	CHECK_EQ(fcntl(file, F_SETFL, 0), 0);
	CHECK_EQ(fcntl(file, F_GETFL) & O_ASYNC, O_ASYNC);
	CHECK_EQ(fcntl(file, F_SETLEASE, F_UNLCK), 0);
	CHECK_EQ(fcntl(file, F_GETFL) & O_ASYNC, 0);
	CHECK_EQ(fcntl(file, F_GETOWN), 0);
	CHECK_EQ(fcntl(file, F_GETSIG), 0);
	CHECK_EQ(fcntl(file, F_SETFL, O_ASYNC), 0);
	CHECK_EQ(fcntl(file, F_GETFL) & O_ASYNC, 0);
}

TEST(what_an_open_tells_later)
{
	int file;

	enter_scratch();
	file = file_of("file", O_RDWR | O_CREAT);
	CHECK_EQ(fcntl(file, 1024 + 4), 1);
	file = file_of("file", O_RDWR | O_CREAT);
	CHECK_EQ(fcntl(file, 1024 + 4), 0);
	file = (int)MUST(open(".", O_TMPFILE | O_RDWR, 0600));
	CHECK_EQ(fcntl(file, F_GETFL) & O_TMPFILE, O_TMPFILE);
	CHECK_ERRNO(open(".", O_DIRECT | O_DIRECTORY), EINVAL);
	CHECK_ERRNO(open(".", O_DIRECT | O_RDONLY), EINVAL);
}

/* Whether /proc/self/fdinfo/FD tells of a lock with these words. */
static int fdinfo_tells(int fd, const char *words)
{
	char path[40], text[600];
	int file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = (int)MUST(open(path, O_RDONLY));
	text[MUST(read(file, text, sizeof(text) - 1))] = 0;
	MUST(close(file));
	return strstr(text, words) != NULL;
}

TEST(fdinfo_tells_of_leases)
{
	int file, other;

	enter_scratch();
	write_file("file", "", 0644);
	file = file_of("file", O_RDONLY);
	other = file_of("file", O_RDONLY);
	MUST(flock(file, LOCK_SH));
	MUST(fcntl(file, F_SETLEASE, F_RDLCK));
	CHECK(fdinfo_tells(file, "lock:\t1: FLOCK  ADVISORY  READ "));
	CHECK(fdinfo_tells(file, "lock:\t2: LEASE  ACTIVE    READ "));
	CHECK(!fdinfo_tells(other, "LEASE"));
	MUST(close(other));
	MUST(fcntl(file, F_SETLEASE, F_UNLCK));
	CHECK(!fdinfo_tells(file, "LEASE"));
}

/* Who waits to open a file has it open already, as far as leases are asked for. */
TEST(a_lease_is_not_taken_back_from_who_waits)
{
	int writer;
	pid_t child;

	enter_scratch();
	writer = file_of("file", O_RDWR | O_CREAT);
	handle_info(SIGIO, note, 0);
	CHECK_OK(fcntl(writer, F_SETLEASE, F_WRLCK));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(close(writer));
		_exit(open("file", O_RDONLY) < 0);
	}
	while (fcntl(writer, F_GETLEASE) == F_WRLCK)
		sleep_ms(10);
	sleep_ms(50);
	CHECK_EQ(fcntl(writer, F_GETLEASE), F_RDLCK);
	CHECK_ERRNO(fcntl(writer, F_SETLEASE, F_WRLCK), EAGAIN);
	CHECK_ERRNO(fcntl(writer, F_SETLEASE, F_RDLCK), EAGAIN);
	CHECK_OK(fcntl(writer, F_SETLEASE, F_UNLCK));
	CHECK_EQ(wait_for(child), EXITED(0));
	/* An open that doesn't wait leaves nobody. */
	CHECK_OK(fcntl(writer, F_SETLEASE, F_WRLCK));
	CHECK_ERRNO(open("file", O_WRONLY | O_NONBLOCK), EAGAIN);
	CHECK_EQ(fcntl(writer, F_GETLEASE), F_UNLCK);
	CHECK_OK(fcntl(writer, F_SETLEASE, F_WRLCK));
}
