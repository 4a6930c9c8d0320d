/* Bytes that are moved without passing through the program: splice(2), tee(2), vmsplice(2). */
#include "check.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PAGE 4096

static char data[PAGE * 40];

static void new_pipe(int ends[2])
{
	MUST(pipe(ends));
}

static int file_with(const char *text)
{
	int fd = (int)MUST(open("file", O_RDWR | O_CREAT | O_TRUNC, 0600));

	write_all(fd, text, strlen(text));
	MUST(lseek(fd, 0, SEEK_SET));
	return fd;
}

static int queued(int fd)
{
	int count = -1;

	MUST(ioctl(fd, FIONREAD, &count));
	return count;
}

TEST(from_a_file)
{
	off64_t offset = 2;
	int ends[2], file;

	enter_scratch();
	file = file_with("0123456789");
	new_pipe(ends);
	CHECK_EQ(splice(file, NULL, ends[1], NULL, 4, 0), 4);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 4);
	CHECK_EQ(splice(file, &offset, ends[1], NULL, 3, 0), 3);
	CHECK_EQ(offset, 5);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 4);
	CHECK_EQ(read(ends[0], data, 100), 7);
	CHECK_EQ(memcmp(data, "0123234", 7), 0);
	/* At its end and after it. */
	offset = 10;
	CHECK_EQ(splice(file, &offset, ends[1], NULL, 3, 0), 0);
	offset = 100;
	CHECK_EQ(splice(file, &offset, ends[1], NULL, 3, 0), 0);
	CHECK_EQ(offset, 100);
	offset = -1;
	CHECK_ERRNO(splice(file, &offset, ends[1], NULL, 3, 0), EINVAL);
	CHECK_ERRNO(splice(file, bad_address(), ends[1], NULL, 3, 0), EFAULT);
	CHECK_EQ(splice(file, NULL, ends[1], NULL, 100, 0), 6);
	CHECK_EQ(splice(file, NULL, ends[1], NULL, 0, 0), 0);
}

TEST(to_a_file)
{
	off64_t offset = 1;
	int ends[2], file, append;

	enter_scratch();
	file = file_with("0123456789");
	new_pipe(ends);
	write_all(ends[1], "abcdef", 6);
	CHECK_EQ(splice(ends[0], NULL, file, &offset, 2, 0), 2);
	CHECK_EQ(offset, 3);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
	CHECK_EQ(splice(ends[0], NULL, file, NULL, 100, 0), 4);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 4);
	CHECK_EQ(pread(file, data, 100, 0), 10);
	CHECK_EQ(memcmp(data, "cdef456789", 10), 0);
	write_all(ends[1], "gh", 2);
	append = (int)MUST(open("file", O_WRONLY | O_APPEND));
	CHECK_ERRNO(splice(ends[0], NULL, append, NULL, 2, 0), EINVAL);
	offset = 12;
	CHECK_EQ(splice(ends[0], NULL, file, &offset, 2, 0), 2);
	CHECK_EQ(lseek(file, 0, SEEK_END), 14);
	offset = 0;
	CHECK_ERRNO(splice(ends[0], &offset, file, NULL, 2, 0), ESPIPE);
	MUST(close(ends[1]));
	CHECK_EQ(splice(ends[0], NULL, file, NULL, 2, 0), 0);
}

TEST(errnos)
{
	off64_t offset = 0;
	int ends[2], other[2], file, path, directory;

	signal(SIGPIPE, SIG_IGN);
	enter_scratch();
	file = file_with("0123456789");
	path = (int)MUST(open("file", O_PATH));
	directory = (int)MUST(open(".", O_RDONLY));
	new_pipe(ends);
	new_pipe(other);
	CHECK_ERRNO(splice(-1, NULL, ends[1], NULL, 1, 0), EBADF);
	CHECK_ERRNO(splice(file, NULL, 999, NULL, 1, 0), EBADF);
	CHECK_ERRNO(splice(path, NULL, ends[1], NULL, 1, 0), EBADF);
	CHECK_ERRNO(splice(ends[1], NULL, other[1], NULL, 1, 0), EBADF);
	CHECK_ERRNO(splice(ends[0], NULL, other[0], NULL, 1, 0), EBADF);
	CHECK_ERRNO(splice(file, NULL, ends[0], NULL, 1, 0), EBADF);
	CHECK_ERRNO(splice(file, NULL, ends[1], NULL, 1, 0x10), EINVAL);
	CHECK_ERRNO(splice(file, NULL, file, NULL, 1, 0), EINVAL);
	CHECK_ERRNO(splice(directory, NULL, ends[1], NULL, 1, 0), EINVAL);
	CHECK_ERRNO(splice(file, NULL, ends[1], &offset, 1, 0), ESPIPE);
	CHECK_ERRNO(splice(ends[0], &offset, file, NULL, 1, 0), ESPIPE);
	write_all(ends[1], "x", 1);
	CHECK_ERRNO(splice(ends[0], NULL, ends[1], NULL, 1, 0), EINVAL);
	CHECK_EQ(splice(-1, NULL, -1, NULL, 0, 0), 0);
	CHECK_EQ(splice(-1, NULL, -1, NULL, 0, 0x10), 0);
	MUST(close(other[0]));
	CHECK_ERRNO(splice(ends[0], NULL, other[1], NULL, 1, 0), EPIPE);
	CHECK_ERRNO(splice(file, NULL, other[1], NULL, 1, 0), EPIPE);
	CHECK_EQ(queued(ends[0]), 1);

	CHECK_ERRNO(tee(file, ends[1], 1, 0), EINVAL);
	CHECK_ERRNO(tee(ends[0], file, 1, 0), EINVAL);
	CHECK_ERRNO(tee(ends[0], ends[1], 1, 0), EINVAL);
	CHECK_ERRNO(tee(-1, ends[1], 1, 0), EBADF);
	CHECK_ERRNO(tee(ends[1], ends[1], 1, 0), EBADF);
	CHECK_ERRNO(tee(ends[0], other[1], 1, 0x10), EINVAL);
	CHECK_ERRNO(tee(ends[0], other[1], 0, 0x10), EINVAL);
	CHECK_EQ(tee(-1, -1, 0, 0), 0);
	CHECK_ERRNO(tee(ends[0], other[1], 1, 0), EPIPE);
}

static ssize_t read_at_once(int fd)
{
	char byte;
	struct iovec buffer = {&byte, 1};

	return preadv2(fd, &buffer, 1, -1, RWF_NOWAIT);
}

static ssize_t write_at_once(int fd)
{
	char byte = 'x';
	struct iovec buffer = {&byte, 1};

	return pwritev2(fd, &buffer, 1, -1, RWF_NOWAIT);
}

/* What may hold pages of other files may have to wait for them. */
TEST(an_end_that_was_spliced_can_wait)
{
	int ends[2], file;
	struct iovec some = {data, 5};
	off64_t offset = 0;

	enter_scratch();
	file = file_with("0123456789");
	new_pipe(ends);
	CHECK_EQ(write_at_once(ends[1]), 1);
	CHECK_EQ(read_at_once(ends[0]), 1);
	CHECK_EQ(sendfile(ends[1], file, NULL, 3), 3);
	CHECK_ERRNO(splice(ends[0], &offset, file, NULL, 1, 0), ESPIPE);
	CHECK_EQ(splice(ends[0], NULL, file, NULL, 0, 0), 0);
	CHECK_EQ(write_at_once(ends[1]), 1);
	CHECK_EQ(read_at_once(ends[0]), 1);
	CHECK_EQ(splice(file, NULL, ends[1], NULL, 2, 0), 2);
	CHECK_ERRNO(write_at_once(ends[1]), EOPNOTSUPP);
	CHECK_EQ(read_at_once(ends[0]), 1);
	CHECK_EQ(splice(ends[0], NULL, file, NULL, 1, 0), 1);
	CHECK_ERRNO(read_at_once(ends[0]), EOPNOTSUPP);
	new_pipe(ends);
	CHECK_EQ(vmsplice(ends[1], &some, 1, 0), 5);
	CHECK_ERRNO(write_at_once(ends[1]), EOPNOTSUPP);
	CHECK_EQ(read_at_once(ends[0]), 1);
	CHECK_EQ(vmsplice(ends[0], &some, 1, 0), 4);
	CHECK_ERRNO(read_at_once(ends[0]), EOPNOTSUPP);
	/* Even where the call is refused later. */
	new_pipe(ends);
	CHECK_ERRNO(splice(ends[0], NULL, ends[1], NULL, 1, 0), EINVAL);
	CHECK_ERRNO(write_at_once(ends[1]), EOPNOTSUPP);
}

TEST(nothing_is_sent_from_a_pipe_to_a_pipe)
{
	int ends[2], other[2];

	new_pipe(ends);
	new_pipe(other);
	CHECK_EQ(sendfile(other[1], ends[0], NULL, 0), 0);
	CHECK_ERRNO(sendfile(other[1], ends[0], NULL, 1), EINVAL);
	CHECK_ERRNO(sendfile(other[1], ends[1], NULL, 0), EBADF);
}

TEST(a_broken_pipe_kills)
{
	int ends[2], file;
	pid_t child;

	enter_scratch();
	file = file_with("x");
	new_pipe(ends);
	MUST(close(ends[0]));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		splice(file, NULL, ends[1], NULL, 1, 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGPIPE));
}

TEST(waiting)
{
	int ends[2], other[2], file;
	pid_t child;

	enter_scratch();
	file = file_with("0123456789");
	new_pipe(ends);
	new_pipe(other);
	CHECK_ERRNO(splice(ends[0], NULL, other[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_ERRNO(tee(ends[0], other[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
	MUST(fcntl(ends[0], F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(splice(ends[0], NULL, file, NULL, 1, 0), EAGAIN);
	CHECK_ERRNO(tee(ends[0], other[1], 1, 0), EAGAIN);
	MUST(fcntl(ends[0], F_SETFL, 0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(20);
		write_all(ends[1], "late", 4);
		_exit(0);
	}
	CHECK_EQ(splice(ends[0], NULL, other[1], NULL, 100, 0), 4);
	CHECK_EQ(wait_for(child), EXITED(0));
	/* A pipe is full when it has no free page, however little is in each. */
	MUST(fcntl(ends[1], F_SETPIPE_SZ, PAGE));
	CHECK_EQ(splice(file, NULL, ends[1], NULL, 3, 0), 3);
	CHECK_ERRNO(splice(file, NULL, ends[1], NULL, 3, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_EQ(poll(&(struct pollfd){ends[1], POLLOUT, 0}, 1, 0), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(20);
		_exit(read(ends[0], data, 3) == 3 ? 0 : 1);
	}
	CHECK_EQ(splice(file, NULL, ends[1], NULL, 3, 0), 3);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(read(ends[0], data, 10), 3);
	CHECK_EQ(memcmp(data, "345", 3), 0);
	/* The end. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(20);
		_exit(0);
	}
	MUST(close(ends[1]));
	CHECK_EQ(splice(ends[0], NULL, file, NULL, 3, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(copying_a_pipe)
{
	char text[16];
	int ends[2], other[2];

	new_pipe(ends);
	new_pipe(other);
	write_all(ends[1], "0123456789", 10);
	CHECK_EQ(tee(ends[0], other[1], 4, 0), 4);
	CHECK_EQ(queued(ends[0]), 10);
	CHECK_EQ(queued(other[0]), 4);
	CHECK_EQ(tee(ends[0], other[1], 100, 0), 10);
	CHECK_EQ(read(other[0], text, sizeof(text)), 14);
	CHECK_EQ(memcmp(text, "01230123456789", 14), 0);
	/* What is written later doesn't change the copy. */
	CHECK_EQ(tee(ends[0], other[1], 100, 0), 10);
	CHECK_EQ(read(ends[0], text, 10), 10);
	write_all(ends[1], "abc", 3);
	CHECK_EQ(read(other[0], text, sizeof(text)), 10);
	CHECK_EQ(memcmp(text, "0123456789", 10), 0);
	MUST(close(ends[1]));
	CHECK_EQ(read(ends[0], text, sizeof(text)), 3);
	CHECK_EQ(tee(ends[0], other[1], 100, 0), 0);
}

TEST(between_pipes)
{
	int ends[2], other[2];

	new_pipe(ends);
	new_pipe(other);
	MUST(fcntl(ends[1], F_SETPIPE_SZ, 16 * PAGE));
	memset(data, 'x', sizeof(data));
	CHECK_EQ(write(ends[1], data, 16 * PAGE), 16 * PAGE);
	CHECK_EQ(splice(ends[0], NULL, other[1], NULL, 3 * PAGE + 5, 0), 3 * PAGE + 5);
	CHECK_EQ(queued(ends[0]), 13 * PAGE - 5);
	CHECK_EQ(queued(other[0]), 3 * PAGE + 5);
	/* As much as there's room for. */
	CHECK_EQ(splice(ends[0], NULL, other[1], NULL, 16 * PAGE, 0), 12 * PAGE - 5);
	CHECK_EQ(queued(ends[0]), PAGE);
	CHECK_ERRNO(splice(ends[0], NULL, other[1], NULL, PAGE, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_EQ(read(other[0], data, sizeof(data)), 15 * PAGE);
}

TEST(packets_between_pipes)
{
	char text[16] = "";
	int ends[2], other[2];

	MUST(pipe2(ends, O_DIRECT));
	new_pipe(other);
	write_all(ends[1], "one", 3);
	write_all(ends[1], "second", 6);
	write_all(ends[1], "third", 5);
	CHECK_EQ(tee(ends[0], other[1], 5, 0), 5);
	CHECK_EQ(splice(ends[0], NULL, other[1], NULL, 5, 0), 5);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 4);
	CHECK_STRING(text, "cond");
	CHECK_EQ(read(other[0], text, sizeof(text)), 3);
	CHECK_EQ(read(other[0], text, sizeof(text)), 2);
	CHECK_EQ(read(other[0], text, 1), 1);
	CHECK_EQ(text[0], 'o');
	CHECK_EQ(read(other[0], text, sizeof(text)), 2);
	CHECK_EQ(memcmp(text, "se", 2), 0);
	CHECK_EQ(queued(other[0]), 0);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 5);
}

TEST(packets_are_bytes_to_who_splices)
{
	char bytes[200];
	int ends[2], file = (int)MUST(memfd_create("file", 0));
	struct iovec part = {bytes, 150};

	for (int at = 0; at < 200; at++)
		data[at] = (char)at;
	MUST(pipe2(ends, O_DIRECT | O_NONBLOCK));
	MUST(write(ends[1], data, 100));
	MUST(write(ends[1], data + 100, 100));
	CHECK_EQ(splice(ends[0], NULL, file, NULL, 20, 0), 20);
	/* The rest of a packet stays one. */
	CHECK_EQ(vmsplice(ends[0], &part, 1, 0), 150);
	CHECK_EQ(bytes[0], 20);
	CHECK_EQ(read(ends[0], bytes, 5), 5);
	CHECK_EQ((unsigned char)bytes[0], 170);
	CHECK_ERRNO(read(ends[0], bytes, 5), EAGAIN);
	MUST(write(ends[1], data, 100));
	MUST(write(ends[1], data, 50));
	CHECK_EQ(splice(ends[0], NULL, file, NULL, 120, 0), 120);
	CHECK_EQ(read(ends[0], bytes, sizeof(bytes)), 30);
}

TEST(sockets)
{
	int ends[2], local[2], datagrams[2], file;

	enter_scratch();
	file = file_with("0123456789");
	new_pipe(ends);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, local));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
	CHECK_EQ(splice(file, NULL, ends[1], NULL, 10, 0), 10);
	CHECK_EQ(splice(ends[0], NULL, local[0], NULL, 6, SPLICE_F_MORE), 6);
	CHECK_EQ(splice(local[1], NULL, ends[1], NULL, 4, 0), 4);
	CHECK_EQ(read(ends[0], data, 100), 8);
	CHECK_EQ(memcmp(data, "67890123", 8), 0);
	CHECK_EQ(read(local[1], data, 100), 2);
	CHECK_ERRNO(splice(local[1], NULL, ends[1], NULL, 4, SPLICE_F_NONBLOCK), EAGAIN);
	MUST(close(local[0]));
	CHECK_EQ(splice(local[1], NULL, ends[1], NULL, 4, 0), 0);
	write_all(ends[1], "packet", 6);
	CHECK_EQ(splice(ends[0], NULL, datagrams[0], NULL, 100, 0), 6);
	CHECK_EQ(recv(datagrams[1], data, 100, 0), 6);
	CHECK_EQ(memcmp(data, "packet", 6), 0);
}

TEST(devices)
{
	int ends[2], zero = (int)MUST(open("/dev/zero", O_RDONLY)), null = (int)MUST(open("/dev/null", O_RDWR));
	off_t offset = 7;

	new_pipe(ends);
	CHECK_EQ(splice(zero, NULL, ends[1], NULL, 100, 0), 100);
	CHECK_EQ(read(ends[0], data, 200), 100);
	CHECK_EQ(data[0] | data[99], 0);
	write_all(ends[1], "gone", 4);
	CHECK_EQ(splice(ends[0], NULL, null, NULL, 100, 0), 4);
	CHECK_EQ(queued(ends[0]), 0);
	CHECK_ERRNO(splice(null, NULL, ends[1], NULL, 100, 0), EINVAL);
	/* Who reads them comes no further. */
	CHECK_EQ(splice(zero, &offset, ends[1], NULL, 100, 0), 100);
	CHECK_EQ(offset, 7);
	CHECK_EQ(sendfile(ends[1], zero, &offset, 100), 100);
	CHECK_EQ(offset, 7);
	CHECK_EQ(sendfile(null, zero, &offset, 100), 100);
	CHECK_EQ(offset, 7);
	/* The offset is read before the descriptors are looked at. */
	CHECK_ERRNO(sendfile(null, ends[1], bad_address(), 1), EFAULT);
	CHECK_ERRNO(sendfile(-1, -1, bad_address(), 1), EFAULT);
}

TEST(from_memory)
{
	struct iovec vector[3] = {{data, 3}, {NULL, 0}, {data + 10, 4}};
	char text[32] = "";
	int ends[2], file;

	signal(SIGPIPE, SIG_IGN);
	enter_scratch();
	file = file_with("x");
	new_pipe(ends);
	memcpy(data, "abcdefghijklmnop", 16);
	CHECK_EQ(vmsplice(ends[1], vector, 3, 0), 7);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 7);
	CHECK_STRING(text, "abcklmn");
	CHECK_EQ(vmsplice(ends[1], vector, 0, 0), 0);
	CHECK_EQ(vmsplice(ends[1], &(struct iovec){data, 0}, 1, 0), 0);
	/* Out of the pipe. */
	write_all(ends[1], "0123456", 7);
	CHECK_EQ(vmsplice(ends[0], &(struct iovec){text, 4}, 1, 0), 4);
	CHECK_EQ(memcmp(text, "0123", 4), 0);
	CHECK_EQ(queued(ends[0]), 3);
	CHECK_EQ(vmsplice(ends[0], (struct iovec[]){{text, 1}, {text + 8, 10}}, 2, 0), 3);
	CHECK_EQ(memcmp(text + 8, "56", 2), 0);
	CHECK_ERRNO(vmsplice(ends[0], vector, 3, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_ERRNO(vmsplice(file, vector, 3, 0), EBADF);
	CHECK_ERRNO(vmsplice(-1, vector, 3, 0), EBADF);
	CHECK_ERRNO(vmsplice(ends[1], vector, 1025, 0), EINVAL);
	CHECK_ERRNO(vmsplice(ends[1], vector, 3, 0x10), EINVAL);
	CHECK_ERRNO(vmsplice(ends[1], bad_address(), 1, 0), EFAULT);
	CHECK_ERRNO(vmsplice(ends[1], &(struct iovec){bad_address(), 4}, 1, 0), EFAULT);
	CHECK_EQ(queued(ends[0]), 0);
	/* Each piece takes a page at least, and nothing is added to it. */
	MUST(fcntl(ends[1], F_SETPIPE_SZ, 4 * PAGE));
	CHECK_EQ(vmsplice(ends[1], vector, 3, 0), 7);
	CHECK_EQ(vmsplice(ends[1], &(struct iovec){(void *)((((uintptr_t)data + PAGE * 2) & -PAGE) - 2), 4}, 1, 0), 4);
	CHECK_ERRNO(vmsplice(ends[1], vector, 1, SPLICE_F_NONBLOCK), EAGAIN);
	MUST(fcntl(ends[1], F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(write(ends[1], "x", 1), EAGAIN);
	MUST(fcntl(ends[1], F_SETFL, 0));
	CHECK_EQ(read(ends[0], text, 3), 3);
	CHECK_EQ(vmsplice(ends[1], (struct iovec[]){{data, 2}, {data, 2}}, 2, 0), 2);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 10);
	MUST(fcntl(ends[1], F_SETPIPE_SZ, 16 * PAGE));
	/* No more than fits. */
	CHECK_EQ(vmsplice(ends[1], &(struct iovec){data, sizeof(data)}, 1, SPLICE_F_NONBLOCK) > 0, 1);
	CHECK(queued(ends[0]) <= 16 * PAGE);
	CHECK_ERRNO(vmsplice(ends[1], vector, 1, SPLICE_F_NONBLOCK), EAGAIN);
	MUST(close(ends[0]));
	CHECK_ERRNO(vmsplice(ends[1], vector, 3, 0), EPIPE);
}

static char *new_memory(void)
{
	void *memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	return memory;
}

/* The pages in a pipe are the program's still. */
TEST(memory_is_written_after_it_was_spliced)
{
	int ends[2], others[2];
	char *memory = new_memory();
	struct iovec parts[2] = {{memory + 100, PAGE}, {memory + 2 * PAGE, 10}};
	pid_t child;

	new_pipe(ends);
	new_pipe(others);
	memset(memory, 'a', 3 * PAGE);
	MUST(vmsplice(ends[1], parts, 2, SPLICE_F_GIFT));
	memory[100] = 'b';
	memory[PAGE] = 'c';
	memory[2 * PAGE + 9] = 'd';
	CHECK_EQ(read(ends[0], data, 1), 1);
	CHECK_EQ(data[0], 'b');
	/* What is read is read; of the same page, more may be written. */
	memory[101] = 'e';
	CHECK_EQ(read(ends[0], data, sizeof(data)), PAGE + 9);
	CHECK_EQ(data[0], 'e');
	CHECK_EQ(data[1], 'a');
	CHECK_EQ(data[PAGE - 101], 'c');
	CHECK_EQ(data[PAGE + 8], 'd');
	/* A page that was never written to is the page of zeros, and another from the first write on. */
	parts[0] = (struct iovec){memory + 8 * PAGE, 1};
	munmap(memory, 16 * PAGE);
	parts[0].iov_base = memory = new_memory();
	MUST(vmsplice(ends[1], parts, 1, 0));
	memory[0] = 'f';
	CHECK_EQ(read(ends[0], data, 1), 1);
	CHECK_EQ(data[0], 0);
	/* A child has copies. What is unmapped stays. */
	parts[0].iov_len = 3;
	MUST(vmsplice(ends[1], parts, 1, 0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		memory[0] = 'g';
		_exit(0);
	}
	MUST(wait_for(child));
	CHECK_EQ(read(ends[0], data, 1), 1);
	CHECK_EQ(data[0], 'f');
	munmap(memory, PAGE);
	CHECK_EQ(read(ends[0], data, 1), 1);
	CHECK_EQ(data[0], 0);
	CHECK_EQ(read(ends[0], data, 1), 1);
	/* Other pipes have the same pages. */
	parts[0] = (struct iovec){memory + PAGE, 8};
	memset(memory + PAGE, '0', 8);
	MUST(vmsplice(ends[1], parts, 1, 0));
	CHECK_EQ(tee(ends[0], others[1], 8, 0), 8);
	memory[PAGE] = '1';
	CHECK_EQ(read(others[0], data, 8), 8);
	CHECK_EQ(data[0], '1');
	CHECK_EQ(splice(ends[0], NULL, others[1], NULL, 4, 0), 4);
	memory[PAGE] = '2';
	memory[PAGE + 4] = '3';
	CHECK_EQ(read(others[0], data, 8), 4);
	CHECK_EQ(data[0], '2');
	CHECK_EQ(read(ends[0], data, 8), 4);
	CHECK_EQ(data[0], '3');
}

TEST(files_are_written_after_they_were_spliced)
{
	int file, ends[2], others[2];
	struct iovec part = {data, 4};
	loff_t offset = 100;

	enter_scratch();
	file = file_with("");
	memset(data, 'a', 3 * PAGE);
	write_all(file, data, 3 * PAGE);
	new_pipe(ends);
	new_pipe(others);
	CHECK_EQ(splice(file, &offset, ends[1], NULL, 2 * PAGE, 0), 2 * PAGE);
	MUST(pwrite(file, "b", 1, 100));
	MUST(pwrite(file, "c", 1, PAGE));
	CHECK_EQ(read(ends[0], data, sizeof(data)), 2 * PAGE);
	CHECK_EQ(data[0], 'b');
	CHECK_EQ(data[1], 'a');
	CHECK_EQ(data[PAGE - 100], 'c');
	/* Who sends to a pipe splices. */
	offset = 0;
	CHECK_EQ(sendfile(ends[1], file, &offset, 4), 4);
	MUST(pwrite(file, "d", 1, 3));
	CHECK_EQ(read(ends[0], data, 4), 4);
	CHECK_EQ(data[3], 'd');
	/* On its way on it's the file's, until it's read, or written to another. */
	offset = 0;
	CHECK_EQ(splice(file, &offset, ends[1], NULL, 4, 0), 4);
	write_all(ends[1], "more", 4);
	CHECK_EQ(splice(ends[0], NULL, others[1], NULL, 8, 0), 8);
	MUST(pwrite(file, "efgh", 4, 0));
	CHECK_EQ(vmsplice(others[0], &part, 1, 0), 4);
	CHECK_EQ(memcmp(data, "efgh", 4), 0);
	CHECK_EQ(read(others[0], data, 8), 4);
	CHECK_EQ(memcmp(data, "more", 4), 0);
	/* What is cut off stays in the pipe. */
	offset = PAGE;
	CHECK_EQ(splice(file, &offset, ends[1], NULL, 4, 0), 4);
	MUST(unlink("file"));
	MUST(ftruncate(file, 0));
	CHECK_EQ(read(ends[0], data, 4), 4);
	CHECK_EQ(data[0], 'c');
}

TEST(a_chain)
{
	int first[2], second[2], file, copy;
	long done = 0;
	pid_t child;

	/* What a program like tee(1) does: a file, by way of two pipes, to another file, 160 KiB. */
	enter_scratch();
	for (size_t at = 0; at < sizeof(data); at++)
		data[at] = (char)(at * 7 + at / 256);
	file = file_with("");
	write_all(file, data, sizeof(data));
	MUST(lseek(file, 0, SEEK_SET));
	copy = (int)MUST(open("copy", O_RDWR | O_CREAT, 0600));
	new_pipe(first);
	new_pipe(second);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		ssize_t count;

		MUST(close(first[0]));
		while ((count = splice(file, NULL, first[1], NULL, 50000, 0)) > 0)
			continue;
		_exit(count == 0 ? 0 : 1);
	}
	MUST(close(first[1]));
	for (;;) {
		ssize_t count = tee(first[0], second[1], 30000, 0), left = count;

		if (count == 0)
			break;
		MUST(count);
		while (left > 0)
			left -= MUST(splice(first[0], NULL, copy, NULL, (size_t)left, SPLICE_F_MOVE));
		for (left = count; left > 0;) {
			ssize_t got = MUST(read(second[0], data, (size_t)left));

			for (ssize_t at = 0; at < got; at++) {
				if (data[at] != (char)((size_t)(done + at) * 7 + (size_t)(done + at) / 256))
					_exit(3);
			}
			done += got;
			left -= got;
		}
	}
	CHECK_EQ(done, sizeof(data));
	CHECK_EQ(lseek(copy, 0, SEEK_END), sizeof(data));
	CHECK_EQ(wait_for(child), EXITED(0));
}
