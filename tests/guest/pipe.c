/* Pipes and FIFOs: pipe(2), pipe(7), fifo(7), readv(2), splice(2), tee(2). */
#include "check.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

static char block_of_data[200000];

static int bytes_in(int fd)
{
	int bytes = -1;

	MUST(ioctl(fd, FIONREAD, &bytes));
	return bytes;
}

static int events_of(int fd, short wanted)
{
	struct pollfd polled = {.fd = fd, .events = wanted};

	MUST(poll(&polled, 1, 0));
	return polled.revents;
}

static void make_non_blocking(int fd)
{
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
}

TEST(bytes_come_out_in_order)
{
	int ends[2];
	char text[20] = "";

	CHECK_EQ(pipe(ends), 0);
	CHECK(ends[0] >= 0 && ends[1] > ends[0]);
	CHECK_EQ(write(ends[1], "hello ", 6), 6);
	CHECK_EQ(write(ends[1], "world", 5), 5);
	CHECK_EQ(bytes_in(ends[0]), 11);
	CHECK_EQ(bytes_in(ends[1]), 11);
	CHECK_EQ(read(ends[0], text, 3), 3);
	CHECK_STRING(text, "hel");
	CHECK_EQ(read(ends[0], text, sizeof(text)), 8);
	CHECK_STRING(text, "lo world");
	CHECK_EQ(bytes_in(ends[0]), 0);
	CHECK_EQ(write(ends[1], "", 0), 0);
	CHECK_EQ(bytes_in(ends[0]), 0);
	CHECK_EQ(read(ends[0], text, 0), 0);
}

TEST(flags_and_modes)
{
	int ends[2];
	struct stat status;

	CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(ends[0], F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	CHECK_EQ(fcntl(ends[1], F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY | O_NONBLOCK);
	CHECK_EQ(fstat(ends[0], &status), 0);
	CHECK(S_ISFIFO(status.st_mode));
	CHECK_EQ(status.st_uid, geteuid());
	CHECK_EQ(pipe2(ends, 0), 0);
	CHECK_EQ(fcntl(ends[0], F_GETFD), 0);
	CHECK_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
	CHECK_ERRNO(pipe2(ends, O_APPEND), EINVAL);
	CHECK_ERRNO(pipe2(ends, 0x40000000), EINVAL);
	CHECK_ERRNO(pipe(bad_address()), EFAULT);
}

TEST(errnos)
{
	int ends[2], more[2];
	char byte;
	struct rlimit limit;

	MUST(pipe(ends));
	CHECK_ERRNO(write(ends[0], "x", 1), EBADF);
	CHECK_ERRNO(read(ends[1], &byte, 1), EBADF);
	CHECK_ERRNO(lseek(ends[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERRNO(pread(ends[0], &byte, 1, 0), ESPIPE);
	CHECK_ERRNO(pwrite(ends[1], "x", 1, 0), ESPIPE);
	CHECK_ERRNO(ftruncate(ends[1], 0), EINVAL);
	CHECK_ERRNO(fsync(ends[1]), EINVAL);
	CHECK_EQ(read(ends[0], bad_address(), 0), 0);
	CHECK_ERRNO(write(ends[1], bad_address(), 5), EFAULT);
	MUST(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = (rlim_t)ends[1] + 2;
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_ERRNO(pipe(more), EMFILE);
	limit.rlim_cur += 1;
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(pipe(more), 0);
}

TEST(end_of_file)
{
	int ends[2], again;
	char byte;
	pid_t child;

	MUST(pipe(ends));
	again = (int)MUST(dup(ends[1]));
	write_all(ends[1], "x", 1);
	MUST(close(ends[1]));
	make_non_blocking(ends[0]);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	CHECK_ERRNO(read(ends[0], &byte, 1), EAGAIN);
	CHECK_EQ(events_of(ends[0], POLLIN), 0);
	MUST(close(again));
	CHECK_EQ(read(ends[0], &byte, 1), 0);
	CHECK_EQ(read(ends[0], &byte, 1), 0);
	CHECK_EQ(events_of(ends[0], POLLIN), POLLHUP);

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(close(ends[0]));
		sleep_ms(10);
		write_all(ends[1], "y", 1);
		_exit(0);
	}
	MUST(close(ends[1]));
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	CHECK_EQ(byte, 'y');
	CHECK_EQ(read(ends[0], &byte, 1), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

static volatile int sigpipes;

static void count_sigpipe(int signal)
{
	sigpipes += signal == SIGPIPE;
}

TEST(broken_pipe)
{
	int ends[2], other;
	pid_t child;

	MUST(pipe(ends));
	other = (int)MUST(dup(ends[0]));
	MUST(close(ends[0]));
	CHECK_EQ(write(ends[1], "x", 1), 1);
	MUST(close(other));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		write_all(ends[1], "x", 1);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGPIPE));
	handle(SIGPIPE, SIG_IGN, 0);
	CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
	CHECK_EQ(write(ends[1], "", 0), 0);
	handle(SIGPIPE, count_sigpipe, 0);
	CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
	CHECK_EQ(sigpipes, 1);
	CHECK_EQ(events_of(ends[1], POLLOUT) & POLLERR, POLLERR);
}

TEST(reader_that_leaves_wakes_a_blocked_writer)
{
	int ends[2];
	pid_t child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(close(ends[0]));
		handle(SIGPIPE, SIG_IGN, 0);
		CHECK_EQ(write(ends[1], block_of_data, 65536 + 4096), 65536);
		CHECK_ERRNO(write(ends[1], block_of_data, 1), EPIPE);
		_exit(0);
	}
	MUST(close(ends[1]));
	while (bytes_in(ends[0]) < 65536)
		sleep_ms(1);
	sleep_ms(5);
	MUST(close(ends[0]));
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(capacity)
{
	int ends[2];

	MUST(pipe2(ends, O_NONBLOCK));
	CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(fcntl(ends[1], F_GETPIPE_SZ), 65536);
	CHECK_EQ(write(ends[1], block_of_data, 65536), 65536);
	CHECK_ERRNO(write(ends[1], "x", 1), EAGAIN);
	CHECK_EQ(bytes_in(ends[0]), 65536);
	CHECK_EQ(events_of(ends[1], POLLOUT), 0);
	CHECK_EQ(read(ends[0], block_of_data, 4096), 4096);
	CHECK_EQ(events_of(ends[1], POLLOUT), POLLOUT);
	CHECK_EQ(write(ends[1], block_of_data, 5000), 4096);
	CHECK_ERRNO(write(ends[1], block_of_data, PIPE_BUF), EAGAIN);
	CHECK_EQ(read(ends[0], block_of_data, 200000), 65536);
	CHECK_ERRNO(read(ends[0], block_of_data, 1), EAGAIN);
	CHECK_EQ(write(ends[1], block_of_data, 200000), 65536);
}

TEST(small_writes_share_a_page)
{
	int ends[2], written = 0;

	MUST(pipe2(ends, O_NONBLOCK));
	for (int time = 0; time < 3000; time++)
		written += (int)write(ends[1], "abc", 3) == 3;
	CHECK_EQ(written, 3000);
	CHECK_EQ(bytes_in(ends[0]), 9000);
	CHECK_EQ(read(ends[0], block_of_data, 10000), 9000);
	CHECK_EQ(memcmp(block_of_data, "abcabc", 6), 0);
	CHECK_EQ(memcmp(block_of_data + 8994, "abcabc", 6), 0);
	CHECK_EQ(memcmp(block_of_data + 4095, "abcabc", 6), 0);
}

TEST(capacity_can_be_set)
{
	int ends[2];
	pid_t child;

	MUST(pipe2(ends, O_NONBLOCK));
	CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
	CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 4096);
	CHECK_EQ(write(ends[1], block_of_data, 10000), 4096);
	CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 100000), 131072);
	CHECK_EQ(write(ends[1], block_of_data, 50000), 50000);
	CHECK_ERRNO(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY);
	CHECK_EQ(read(ends[0], block_of_data, 200000), 54096);
	CHECK_EQ(fcntl(ends[0], F_SETPIPE_SZ, 1), 4096);
	CHECK_ERRNO(fcntl((int)MUST(open("/", O_RDONLY)), F_GETPIPE_SZ), EBADF);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_ERRNO(fcntl(ends[0], F_SETPIPE_SZ, 1 << 30), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(small_writes_are_atomic)
{
	enum { WRITERS = 4, BLOCKS = 12 };
	int ends[2], torn = 0, blocks[WRITERS] = {0};
	char page[PIPE_BUF];
	size_t filled = 0;
	ssize_t got;

	MUST(pipe(ends));
	for (int writer = 0; writer < WRITERS; writer++) {
		if (MUST(fork()) == 0) {
			memset(page, writer, sizeof(page));
			for (int time = 0; time < BLOCKS; time++) {
				if (write(ends[1], page, sizeof(page)) != sizeof(page))
					_exit(1);
			}
			_exit(0);
		}
	}
	MUST(close(ends[1]));
	while ((got = read(ends[0], page + filled, sizeof(page) - filled > 1000 ? 1000 : sizeof(page) - filled)) > 0) {
		filled += (size_t)got;
		if (filled == sizeof(page)) {
			torn += memcmp(page, page + 1, sizeof(page) - 1) != 0;
			blocks[page[0] & 3]++;
			filled = 0;
		}
	}
	CHECK_EQ(got, 0);
	CHECK_EQ(filled, 0);
	CHECK_EQ(torn, 0);
	CHECK_EQ(blocks[0], BLOCKS);
	CHECK_EQ(blocks[1], BLOCKS);
	CHECK_EQ(blocks[2], BLOCKS);
	CHECK_EQ(blocks[3], BLOCKS);
	while (wait(NULL) > 0)
		continue;
}

TEST(non_blocking_writes_of_pipe_buf_are_all_or_nothing)
{
	int ends[2];

	MUST(pipe2(ends, O_NONBLOCK));
	CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 8192), 8192);
	CHECK_EQ(write(ends[1], block_of_data, 6000), 6000);
	CHECK_ERRNO(write(ends[1], block_of_data, PIPE_BUF), EAGAIN);
	CHECK_EQ(bytes_in(ends[0]), 6000);
	CHECK_EQ(write(ends[1], block_of_data, 2192), 2192);
	CHECK_ERRNO(write(ends[1], block_of_data, 1), EAGAIN);
}

TEST(large_transfer)
{
	enum { TOTAL = 300000 };
	int ends[2];
	unsigned sum = 0, expected = 0;
	size_t total = 0;
	ssize_t got;
	pid_t child;

	for (unsigned at = 0; at < TOTAL; at++)
		expected += (at * 31 % 251) * (at % 7 + 1);
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		char *all = malloc(TOTAL);

		for (unsigned at = 0; at < TOTAL; at++)
			all[at] = (char)(at * 31 % 251);
		CHECK_EQ(write(ends[1], all, TOTAL), TOTAL);
		_exit(0);
	}
	MUST(close(ends[1]));
	while ((got = read(ends[0], block_of_data, 7777)) > 0) {
		for (ssize_t at = 0; at < got; at++, total++)
			sum += (unsigned char)block_of_data[at] * (unsigned)(total % 7 + 1);
	}
	CHECK_EQ(total, TOTAL);
	CHECK_EQ(sum, expected);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(blocked_reader_is_woken)
{
	int ends[2];
	char text[10] = "";
	pid_t child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(read(ends[0], text, sizeof(text)), 4);
		CHECK_STRING(text, "wake");
		_exit(0);
	}
	sleep_ms(10);
	write_all(ends[1], "wake", 4);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(blocked_writer_is_woken)
{
	int ends[2];
	pid_t child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(write(ends[1], block_of_data, 65536 + 100), 65536 + 100);
		_exit(0);
	}
	MUST(close(ends[1]));
	while (bytes_in(ends[0]) < 65536)
		sleep_ms(1);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK_EQ(read(ends[0], block_of_data, 4096), 4096);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(bytes_in(ends[0]), 65536 - 4096 + 100);
}

TEST(ping_pong)
{
	int there[2], back[2], number = 0;
	pid_t child;

	MUST(pipe(there));
	MUST(pipe(back));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		while (read(there[0], &number, sizeof(number)) == sizeof(number) && number < 200) {
			number++;
			write_all(back[1], &number, sizeof(number));
		}
		_exit(number == 200 ? 0 : 1);
	}
	while (number < 200) {
		write_all(there[1], &number, sizeof(number));
		if (read(back[0], &number, sizeof(number)) != sizeof(number))
			break;
	}
	CHECK_EQ(number, 200);
	write_all(there[1], &number, sizeof(number));
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(polling)
{
	int ends[2];
	struct pollfd both[2];

	MUST(pipe(ends));
	both[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
	both[1] = (struct pollfd){.fd = ends[1], .events = POLLOUT};
	CHECK_EQ(poll(both, 2, 0), 1);
	CHECK_EQ(both[0].revents, 0);
	CHECK_EQ(both[1].revents, POLLOUT);
	write_all(ends[1], "x", 1);
	CHECK_EQ(poll(both, 2, -1), 2);
	CHECK_EQ(both[0].revents, POLLIN);
	MUST(close(ends[1]));
	CHECK_EQ(events_of(ends[0], POLLIN), POLLIN | POLLHUP);
	CHECK_EQ(events_of(ends[0], 0), POLLHUP);
	CHECK_EQ(events_of(ends[1], POLLIN), POLLNVAL);
}

TEST(vectors)
{
	int ends[2];
	char first[4] = "", second[4] = "", third[10] = "";
	struct iovec out[] = {{"ab", 2}, {NULL, 0}, {"cdefg", 5}, {"hi", 2}};
	struct iovec in[] = {{first, 3}, {second, 3}, {third, sizeof(third) - 1}};
	struct iovec many[1025], wrong[] = {{first, 1}, {bad_address(), 1}}, huge[] = {{first, 3}, {second, (size_t)-1}};

	for (size_t at = 0; at < LENGTH(many); at++)
		many[at] = (struct iovec){first, 0};
	MUST(pipe(ends));
	CHECK_EQ(writev(ends[1], out, 4), 9);
	CHECK_EQ(readv(ends[0], in, 3), 9);
	CHECK_STRING(first, "abc");
	CHECK_STRING(second, "def");
	CHECK_STRING(third, "ghi");
	CHECK_EQ(writev(ends[1], out, 1), 2);
	CHECK_EQ(readv(ends[0], in, 3), 2);
	CHECK_EQ(writev(ends[1], out, 0), 0);
	CHECK_ERRNO(syscall(SYS_writev, ends[1], out, -1), EINVAL);
	CHECK_ERRNO(writev(ends[1], many, 1025), EINVAL);
	CHECK_EQ(writev(ends[1], many, 1024), 0);
	CHECK_ERRNO(writev(ends[1], huge, 2), EINVAL);
	CHECK_ERRNO(readv(ends[1], in, 1), EBADF);
	CHECK_ERRNO(writev(ends[1], bad_address(), 1), EFAULT);
	CHECK_ERRNO(writev(ends[1], wrong + 1, 1), EFAULT);
}

TEST(packets)
{
	int ends[2];
	char text[10] = "";

	MUST(pipe2(ends, O_DIRECT | O_NONBLOCK));
	CHECK_EQ(write(ends[1], "first", 5), 5);
	CHECK_EQ(write(ends[1], "second", 6), 6);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 5);
	CHECK_STRING(text, "first");
	CHECK_EQ(read(ends[0], text, 3), 3);
	CHECK_ERRNO(read(ends[0], text, 3), EAGAIN);
	/* One that couldn't be handed over stays as it is. */
	CHECK_EQ(write(ends[1], "third", 5), 5);
	CHECK_EQ(write(ends[1], "fourth", 6), 6);
	CHECK_ERRNO(read(ends[0], bad_address(), 1), EFAULT);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 5);
	CHECK_ERRNO(read(ends[0], bad_address(), 10), EFAULT);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 6);
}

TEST(descriptors_share_the_pipe)
{
	int ends[2], again;
	char text[4] = "";
	pid_t child;

	MUST(pipe(ends));
	again = (int)MUST(dup(ends[0]));
	CHECK_EQ(fcntl(again, F_SETFL, O_NONBLOCK), 0);
	CHECK_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	write_all(ends[1], "abc", 3);
	CHECK_EQ(read(ends[0], text, 1), 1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(read(again, text, 1), 1);
		CHECK_EQ(text[0], 'b');
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(read(again, text, 3), 1);
	CHECK_EQ(text[0], 'c');
}

TEST(fifo)
{
	char text[10] = "";
	struct stat status;
	int reader, writer;
	pid_t child;

	enter_scratch();
	umask(022);
	CHECK_EQ(mkfifo("fifo", 0666), 0);
	CHECK_ERRNO(mkfifo("fifo", 0666), EEXIST);
	CHECK_EQ(stat("fifo", &status), 0);
	CHECK_EQ(status.st_mode, S_IFIFO | 0644);
	CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		writer = (int)CHECK_OK(open("fifo", O_WRONLY));
		write_all(writer, "through", 7);
		_exit(0);
	}
	reader = (int)CHECK_OK(open("fifo", O_RDONLY));
	CHECK_EQ(read(reader, text, sizeof(text)), 7);
	CHECK_STRING(text, "through");
	CHECK_EQ(read(reader, text, sizeof(text)), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
	writer = (int)CHECK_OK(open("fifo", O_WRONLY | O_NONBLOCK));
	MUST(close(reader));
	MUST(close(writer));
	reader = (int)CHECK_OK(open("fifo", O_RDONLY | O_NONBLOCK));
	CHECK_EQ(read(reader, text, 1), 0);
	writer = (int)CHECK_OK(open("fifo", O_WRONLY));
	CHECK_ERRNO(read(reader, text, 1), EAGAIN);
	MUST(close(reader));
	MUST(close(writer));
	writer = (int)CHECK_OK(open("fifo", O_RDWR));
	CHECK_EQ(write(writer, "self", 4), 4);
	CHECK_EQ(read(writer, text, 4), 4);
	CHECK_ERRNO(lseek(writer, 0, SEEK_SET), ESPIPE);
}

TEST(splice_and_tee)
{
	int first[2], second[2], file;
	char text[10] = "";
	off_t offset = 2;

	enter_scratch();
	write_file("file", "0123456789", 0644);
	file = (int)MUST(open("file", O_RDWR));
	MUST(pipe2(first, O_NONBLOCK));
	MUST(pipe2(second, O_NONBLOCK));
	CHECK_EQ(splice(file, &offset, first[1], NULL, 5, 0), 5);
	CHECK_EQ(offset, 7);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
	CHECK_EQ(tee(first[0], second[1], 4, 0), 4);
	CHECK_EQ(bytes_in(first[0]), 5);
	CHECK_EQ(read(second[0], text, 10), 4);
	CHECK_STRING(text, "2345");
	CHECK_EQ(splice(first[0], NULL, second[1], NULL, 100, 0), 5);
	CHECK_EQ(read(second[0], text, 10), 5);
	CHECK_STRING(text, "23456");
	CHECK_ERRNO(splice(file, NULL, file, NULL, 5, 0), EINVAL);
	CHECK_ERRNO(splice(first[0], &offset, second[1], NULL, 5, 0), ESPIPE);
	CHECK_ERRNO(tee(file, second[1], 4, 0), EINVAL);
	CHECK_ERRNO(splice(first[0], NULL, second[1], NULL, 5, SPLICE_F_NONBLOCK), EAGAIN);
	MUST(close(first[1]));
	CHECK_EQ(splice(first[0], NULL, second[1], NULL, 5, 0), 0);
}

/* Two pages of which the second is missing. */
static char *page_before_a_hole(void)
{
	char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	MUST(munmap(memory + 4096, 4096));
	return memory;
}

TEST(a_buffer_whose_later_page_is_missing)
{
	char *memory = page_before_a_hole(), data[16384] = {0};
	int ends[2];

	MUST(pipe2(ends, O_NONBLOCK));
	/* Whole pages go, the page in which memory ends doesn't. */
	CHECK_EQ(write(ends[1], memory, 8192), 4096);
	CHECK_EQ(read(ends[0], data, sizeof data), 4096);
	CHECK_ERRNO(write(ends[1], memory + 1, 8191), EFAULT);
	CHECK_ERRNO(read(ends[0], data, sizeof data), EAGAIN);
	MUST(write(ends[1], data, 8192));
	CHECK_EQ(read(ends[0], memory, 8192), 4096);
	CHECK_EQ(read(ends[0], data, sizeof data), 4096);
	MUST(write(ends[1], data, 8192));
	CHECK_EQ(vmsplice(ends[0], &(struct iovec){memory, 8192}, 1, 0), 4096);
	CHECK_ERRNO(vmsplice(ends[0], &(struct iovec){memory + 1, 8192}, 1, 0), EFAULT);
	CHECK_EQ(read(ends[0], data, sizeof data), 4096);
	MUST(write(ends[1], data, 100));
	MUST(write(ends[1], data, 5000));
	CHECK_EQ(read(ends[0], memory, 8192), 1004);
	CHECK_EQ(read(ends[0], data, sizeof data), 4096);
	MUST(write(ends[1], data, 5100));
	memset(memory + 3000, 'm', 1096);
	CHECK_ERRNO(read(ends[0], memory + 3000, 5000), EFAULT);
	/* It got what there was room for, and the pipe keeps it. */
	CHECK_EQ(memory[3000], 0);
	CHECK_EQ(memory[4095], 0);
	CHECK_EQ(read(ends[0], data, sizeof data), 5100);
	CHECK_ERRNO(read(ends[0], memory, 8192), EAGAIN);
	MUST(write(ends[1], "abcdef", 6));
	CHECK_ERRNO(readv(ends[0], (struct iovec[]){{memory, 2}, {memory + 10, 3}, {memory + 4096, 1}}, 3), EFAULT);
	CHECK(memcmp(memory, "ab", 2) == 0 && memcmp(memory + 10, "cde", 3) == 0);
	CHECK_EQ(read(ends[0], data, sizeof data), 6);
	while (write(ends[1], data, 4096) > 0)
		continue;
	CHECK_ERRNO(write(ends[1], memory, 8192), EAGAIN);
	MUST(close(ends[0]));
	handle(SIGPIPE, SIG_IGN, 0);
	CHECK_ERRNO(write(ends[1], memory, 8192), EPIPE);
}

TEST(a_stream_read_into_a_page_before_a_hole)
{
	char *memory = page_before_a_hole(), data[16384] = {0};
	int ends[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
	MUST(write(ends[1], data, 8192));
	CHECK_ERRNO(read(ends[0], memory, 8192), EFAULT);
	CHECK_EQ(read(ends[0], data, sizeof data), 8192);
	MUST(write(ends[1], data, 1000));
	MUST(write(ends[1], data, 2000));
	MUST(write(ends[1], data, 3000));
	CHECK_EQ(read(ends[0], memory, 8192), 3000);
	CHECK_EQ(read(ends[0], data, sizeof data), 3000);
}

static volatile sig_atomic_t told_count;

static void note_told(int signo)
{
	(void)signo;
	told_count++;
}

/* Whether the other side's owner was signalled since the last look. */
static int was_told(void)
{
	int was = told_count > 0;

	told_count = 0;
	return was;
}

/* Each read and write that has anything to do signals who asked for that at the other end. */
TEST(signals_for_the_other_side)
{
	struct sigaction action = {.sa_handler = note_told};
	static char many[4096];
	int ends[2];
	char byte;

	MUST(pipe2(ends, O_NONBLOCK));
	MUST(sigaction(SIGIO, &action, NULL));
	MUST(fcntl(ends[1], F_SETOWN, getpid()));
	MUST(fcntl(ends[1], F_SETFL, O_NONBLOCK | O_ASYNC));
	CHECK_EQ(write(ends[1], "ab", 2), 2);
	CHECK_EQ(was_told(), 0);
	CHECK_EQ(read(ends[0], &byte, 0), 0);
	CHECK_EQ(was_told(), 0);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	CHECK_EQ(was_told(), 1);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	CHECK_EQ(was_told(), 1);
	CHECK_ERRNO(read(ends[0], &byte, 1), EAGAIN);
	CHECK_EQ(was_told(), 1);
	MUST(fcntl(ends[1], F_SETFL, O_NONBLOCK));
	MUST(fcntl(ends[0], F_SETOWN, getpid()));
	MUST(fcntl(ends[0], F_SETFL, O_NONBLOCK | O_ASYNC));
	CHECK_EQ(write(ends[1], "ab", 2), 2);
	CHECK_EQ(was_told(), 1);
	CHECK_EQ(write(ends[1], "ab", 0), 0);
	CHECK_EQ(was_told(), 0);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	CHECK_EQ(was_told(), 0);
	while (write(ends[1], many, sizeof(many)) > 0)
		;
	was_told();
	CHECK_ERRNO(write(ends[1], many, sizeof(many)), EAGAIN);
	CHECK_EQ(was_told(), 1);
}

TEST(a_vector_is_cut_before_it_is_looked_at)
{
	/* One that is alone is cut to what a call moves; of several each must lie in user space, however long. */
	char *buffer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct iovec alone = {buffer, 1UL << 48}, several[2] = {{buffer, 1}, {buffer, 1UL << 46}};
	int pipes[2];

	MUST(buffer == MAP_FAILED ? -1 : 0);
	MUST(pipe2(pipes, O_CLOEXEC));
	MUST(write(pipes[1], "hello", 5));
	CHECK_EQ(readv(pipes[0], &alone, 1), 5);
	MUST(write(pipes[1], "hello", 5));
	CHECK_EQ(readv(pipes[0], several, 2), 5);
	several[1].iov_len = 1UL << 48;
	CHECK_ERRNO(readv(pipes[0], several, 2), EFAULT);
	several[1].iov_len = 1UL << 63;
	CHECK_ERRNO(readv(pipes[0], several, 2), EINVAL);
	alone.iov_len = 1UL << 63;
	CHECK_ERRNO(readv(pipes[0], &alone, 1), EINVAL);
}
