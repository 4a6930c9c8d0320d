/* Asynchronous input and output: io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2). */
#include "check.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/uio.h>

static aio_context_t context;

static long submit(struct iocb *request)
{
	return syscall(SYS_io_submit, context, 1L, &request);
}

static long events_of(long least, long most, struct io_event *events, long milliseconds)
{
	struct timespec timeout = {milliseconds / 1000, milliseconds % 1000 * 1000000};

	return syscall(SYS_io_getevents, context, least, most, events, milliseconds < 0 ? NULL : &timeout);
}

static void set_up(unsigned int count)
{
	context = 0;
	MUST(syscall(SYS_io_setup, count, &context));
}

static struct iocb request_of(int operation, int file, void *buffer, size_t length, off_t offset)
{
	struct iocb request = {0};

	request.aio_data = 0x1234;
	request.aio_lio_opcode = (uint16_t)operation;
	request.aio_fildes = (uint32_t)file;
	request.aio_buf = (uintptr_t)buffer;
	request.aio_nbytes = length;
	request.aio_offset = offset;
	return request;
}

static int scratch_file(void)
{
	enter_scratch();
	return (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
}

TEST(contexts)
{
	aio_context_t made = 1;

	CHECK_ERRNO(syscall(SYS_io_setup, 1, &made), EINVAL);
	made = 0;
	CHECK_ERRNO(syscall(SYS_io_setup, 0, &made), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_setup, 1, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_io_setup, -1, &made), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_setup, 4000000, &made), EAGAIN);
	CHECK_OK(syscall(SYS_io_setup, 4, &made));
	CHECK(made != 0);
	CHECK_EQ(*((unsigned int *)made + 4), 0xa10a10a1);
	CHECK_OK(syscall(SYS_io_destroy, made));
	CHECK_ERRNO(syscall(SYS_io_destroy, made), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_destroy, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_submit, made, 1L, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_getevents, made, 0L, 0L, NULL, NULL), EINVAL);
}

static long long nanoseconds_of_set_up(void)
{
	struct timespec before, after;
	aio_context_t made = 0;

	MUST(clock_gettime(CLOCK_MONOTONIC, &before));
	MUST(syscall(SYS_io_setup, 1, &made));
	MUST(clock_gettime(CLOCK_MONOTONIC, &after));
	return (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
}

TEST(the_lowest_number_is_given_again_and_many_take_no_longer)
{
	enum { COUNT = 2000 };
	static aio_context_t made[COUNT];
	long long least = -1;

	for (int i = 0; i < COUNT; i++)
		MUST(syscall(SYS_io_setup, 1, &made[i]));
	CHECK_EQ(*(unsigned int *)made[0], 0);
	CHECK_EQ(*(unsigned int *)made[COUNT - 1], COUNT - 1);
	MUST(syscall(SYS_io_destroy, made[9]));
	MUST(syscall(SYS_io_destroy, made[5]));
	MUST(syscall(SYS_io_destroy, made[7]));
	made[0] = 0;
	MUST(syscall(SYS_io_setup, 1, &made[0]));
	CHECK_EQ(*(unsigned int *)made[0], 5);
	made[0] = 0;
	MUST(syscall(SYS_io_setup, 1, &made[0]));
	CHECK_EQ(*(unsigned int *)made[0], 7);
	/* The quickest of some: natively others may run in between. */
	for (int i = 0; i < 20; i++) {
		long long taken = nanoseconds_of_set_up();

		least = least < 0 || taken < least ? taken : least;
	}
	CHECK(least < 100000);
}

TEST(reads_and_writes)
{
	int file = scratch_file();
	char text[] = "some text", got[20] = {0};
	struct io_event event;
	struct iocb request = request_of(IOCB_CMD_PWRITE, file, text, 9, 3);
	struct iovec pieces[2] = {{got, 4}, {got + 10, 5}};

	set_up(8);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(events_of(1, 1, &event, -1), 1);
	CHECK_EQ(event.data, 0x1234);
	CHECK_EQ(event.obj, (uintptr_t)&request);
	CHECK_EQ(event.res, 9);
	CHECK_EQ(event.res2, 0);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
	request = request_of(IOCB_CMD_PREAD, file, got, 20, 3);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(events_of(1, 5, &event, -1), 1);
	CHECK_EQ(event.res, 9);
	CHECK_STRING(got, "some text");
	memset(got, 0, sizeof got);
	request = request_of(IOCB_CMD_PREADV, file, pieces, 2, 3);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(events_of(1, 1, &event, -1), 1);
	CHECK_EQ(event.res, 9);
	CHECK_STRING(got + 10, " text");
	request = request_of(IOCB_CMD_FSYNC, file, NULL, 0, 0);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(events_of(1, 1, &event, -1), 1);
	CHECK_EQ(event.res, 0);
	CHECK_EQ(events_of(0, 1, &event, 0), 0);
	CHECK_EQ(events_of(1, 1, &event, 10), 0);
}

TEST(requests_that_make_no_sense)
{
	int file = scratch_file(), reader = (int)MUST(open("file", O_RDONLY)), writer = (int)MUST(open("file", O_WRONLY));
	char buffer[16];
	struct io_event event;
	struct iocb request = request_of(IOCB_CMD_PREAD, writer, buffer, 16, 0), *pointers[2];

	set_up(4);
	CHECK_ERRNO(submit(&request), EBADF);
	request.aio_fildes = 99;
	CHECK_ERRNO(submit(&request), EBADF);
	request = request_of(IOCB_CMD_PWRITE, reader, buffer, 16, 0);
	CHECK_ERRNO(submit(&request), EBADF);
	request = request_of(99, file, buffer, 16, 0);
	CHECK_ERRNO(submit(&request), EINVAL);
	request = request_of(IOCB_CMD_PREAD, file, buffer, 16, -1);
	CHECK_ERRNO(submit(&request), EINVAL);
	request = request_of(IOCB_CMD_PREAD, file, buffer, 16, 0);
	request.aio_reserved2 = 1;
	CHECK_ERRNO(submit(&request), EINVAL);
	request = request_of(IOCB_CMD_PREAD, file, buffer, (size_t)-1, 0);
	CHECK_ERRNO(submit(&request), EINVAL);
	request = request_of(IOCB_CMD_PREAD, file, buffer, 16, 0);
	request.aio_flags = IOCB_FLAG_RESFD;
	request.aio_resfd = (uint32_t)file;
	CHECK_ERRNO(submit(&request), EINVAL);
	request.aio_resfd = 99;
	CHECK_ERRNO(submit(&request), EBADF);
	request.aio_resfd = (uint32_t)MUST(open("file", O_PATH));
	CHECK_ERRNO(submit(&request), EBADF);
	/* A file with no operation that could be told not to wait is refused before how it was opened is looked at. */
	for (int at = 0; at < 3; at++) {
		int without[] = {epoll_create1(0), inotify_init(), (int)syscall(SYS_pidfd_open, getpid(), 0)};

		request = request_of(IOCB_CMD_PWRITE, without[at], buffer, 16, 0);
		request.aio_rw_flags = RWF_NOWAIT;
		CHECK_ERRNO(submit(&request), EOPNOTSUPP);
		request.aio_lio_opcode = IOCB_CMD_PREAD;
		CHECK_ERRNO(submit(&request), EOPNOTSUPP);
	}
	CHECK_ERRNO(submit(bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_io_submit, context, 1L, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_io_submit, context, -1L, bad_address()), EINVAL);
	CHECK_EQ(syscall(SYS_io_submit, context, 0L, bad_address()), 0);
	CHECK_ERRNO(events_of(2, 1, &event, 0), EINVAL);
	CHECK_ERRNO(events_of(-1, 1, &event, 0), EINVAL);
	/* What comes before the first that fails has been begun. */
	MUST(write(file, "0123", 4));
	request = request_of(IOCB_CMD_PREAD, file, buffer, 16, 0);
	pointers[0] = &request;
	pointers[1] = bad_address();
	CHECK_EQ(syscall(SYS_io_submit, context, 2L, pointers), 1);
	CHECK_EQ(events_of(1, 2, &event, -1), 1);
	CHECK_EQ(event.res, 4);
}

TEST(an_eventfd_is_told)
{
	int file = scratch_file(), counter = (int)MUST(eventfd(0, EFD_NONBLOCK));
	uint64_t count;
	char byte = 'x';
	struct io_event events[3];
	struct iocb request = request_of(IOCB_CMD_PWRITE, file, &byte, 1, 0);

	set_up(8);
	request.aio_flags = IOCB_FLAG_RESFD;
	request.aio_resfd = (uint32_t)counter;
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(read(counter, &count, 8), 8);
	CHECK_EQ(count, 2);
	CHECK_EQ(events_of(2, 3, events, -1), 2);
}

TEST(a_streams_offset_is_looked_at)
{
	int ends[2];
	char byte = 'x';
	struct iocb request;

	MUST(pipe(ends));
	set_up(8);
	request = request_of(IOCB_CMD_PWRITE, ends[1], &byte, 1, -1);
	CHECK_ERRNO(submit(&request), EINVAL);
	request = request_of(IOCB_CMD_PWRITE, ends[1], &byte, 1, INT64_MAX);
	CHECK_ERRNO(submit(&request), EINVAL);
	request = request_of(IOCB_CMD_PREAD, ends[0], &byte, 20, -1);
	CHECK_ERRNO(submit(&request), EINVAL);
	request = request_of(IOCB_CMD_PWRITE, ends[1], &byte, 1, 5);
	CHECK_EQ(submit(&request), 1);
}

TEST(waiting_for_a_file)
{
	int ends[2];
	char byte = 'x';
	struct io_event event;
	struct iocb request;
	pid_t child;

	MUST(pipe(ends));
	set_up(8);
	request = request_of(IOCB_CMD_POLL, ends[0], (void *)POLLIN, 0, 0);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(events_of(0, 1, &event, 0), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(20);
		write_all(ends[1], &byte, 1);
		_exit(0);
	}
	CHECK_EQ(events_of(1, 1, &event, -1), 1);
	CHECK_EQ(event.res & POLLIN, POLLIN);
	CHECK_EQ(wait_for(child), EXITED(0));
	/* It's ready at once now. */
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(events_of(1, 1, &event, -1), 1);
	CHECK_EQ(event.res, POLLIN);
	MUST(read(ends[0], &byte, 1));
	CHECK_EQ(submit(&request), 1);
	CHECK_ERRNO(syscall(SYS_io_cancel, context, &request, &event), EINPROGRESS);
	CHECK_EQ(events_of(1, 1, &event, 1000), 1);
	CHECK_ERRNO(syscall(SYS_io_cancel, context, &request, &event), EINVAL);
	CHECK_ERRNO(syscall(SYS_io_cancel, context, bad_address(), &event), EFAULT);
	CHECK_ERRNO(syscall(SYS_io_cancel, 0L, &request, &event), EINVAL);
	request.aio_nbytes = 1;
	CHECK_ERRNO(submit(&request), EINVAL);
	request = request_of(IOCB_CMD_POLL, ends[0], (void *)POLLIN, 0, 0);
	CHECK_EQ(submit(&request), 1);
	CHECK_OK(syscall(SYS_io_destroy, context));
}

/* Each time that a structure is submitted is a request of its own. */
TEST(a_request_that_waits_twice)
{
	int ends[2], file = (int)MUST(open("/proc/self/exe", O_RDONLY));
	struct io_event events[4];
	struct iocb request;

	MUST(pipe(ends));
	set_up(8);
	request = request_of(IOCB_CMD_POLL, ends[0], (void *)POLLIN, 0, 0);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(submit(&request), 1);
	CHECK_ERRNO(syscall(SYS_io_cancel, context, &request, events), EINPROGRESS);
	CHECK_EQ(events_of(1, 4, events, 1000), 1);
	write_all(ends[1], "x", 1);
	CHECK_EQ(events_of(2, 4, events, 1000), 2);
	CHECK_EQ(events[0].obj, (uintptr_t)&request);
	CHECK_EQ(events[1].res & POLLIN, POLLIN);
	CHECK_ERRNO(syscall(SYS_io_cancel, context, &request, events), EINVAL);
	/* A file that tells nothing is ready at once, or never. */
	request = request_of(IOCB_CMD_POLL, file, (void *)POLLIN, 0, 0);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(events_of(1, 4, events, 1000), 1);
	CHECK_EQ(events[0].res, POLLIN);
	request = request_of(IOCB_CMD_POLL, file, (void *)POLLPRI, 0, 0);
	CHECK_ERRNO(submit(&request), EINVAL);
}

static struct iocb signalling(int watched, int signalled)
{
	struct iocb request = request_of(IOCB_CMD_POLL, watched, (void *)POLLIN, 0, 0);

	request.aio_flags = IOCB_FLAG_RESFD;
	request.aio_resfd = (uint32_t)signalled;
	return request;
}

static int readable(int file)
{
	struct pollfd polled = {file, POLLIN, 0};

	return (int)MUST(poll(&polled, 1, 0));
}

static void read_number(int file, uint64_t wanted)
{
	uint64_t number;

	CHECK_EQ(read(file, &number, 8), 8);
	CHECK_EQ(number, wanted);
}

TEST(an_end_signals_what_is_waited_for_itself)
{
	int file = (int)MUST(eventfd(0, EFD_SEMAPHORE));
	uint64_t one = 1;
	struct io_event event;
	struct iocb request = signalling(file, file);

	set_up(8);
	CHECK_EQ(submit(&request), 1);
	write_all(file, &one, 8);
	CHECK_EQ(events_of(1, 1, &event, -1), 1);
	CHECK_EQ(event.res & POLLIN, POLLIN);
	read_number(file, 1);
	read_number(file, 1);
	CHECK_EQ(readable(file), 0);
	CHECK_EQ(events_of(0, 1, &event, 0), 0);
}

TEST(two_ends_signal_each_other)
{
	int files[2] = {(int)MUST(eventfd(0, EFD_SEMAPHORE)), (int)MUST(eventfd(0, EFD_SEMAPHORE))};
	uint64_t one = 1;
	struct io_event events[2];
	struct iocb first = signalling(files[0], files[1]), second = signalling(files[1], files[0]);

	set_up(8);
	CHECK_EQ(submit(&first), 1);
	CHECK_EQ(submit(&second), 1);
	write_all(files[1], &one, 8);
	CHECK_EQ(events_of(2, 2, events, -1), 2);
	CHECK_EQ(events[0].obj, (uintptr_t)&second);
	CHECK_EQ(events[1].obj, (uintptr_t)&first);
	read_number(files[0], 1);
	read_number(files[1], 1);
	read_number(files[1], 1);
	CHECK_EQ(readable(files[0]) + readable(files[1]), 0);
}

TEST(several_wait_for_what_one_of_them_signals)
{
	int file = (int)MUST(eventfd(0, EFD_SEMAPHORE)), k;
	uint64_t one = 1;
	struct io_event events[3];
	struct iocb requests[3];

	set_up(8);
	for (k = 0; k < 3; k++) {
		requests[k] = signalling(file, file);
		CHECK_EQ(submit(&requests[k]), 1);
	}
	write_all(file, &one, 8);
	CHECK_EQ(events_of(3, 3, events, -1), 3);
	for (k = 0; k < 4; k++)
		read_number(file, 1);
	CHECK_EQ(readable(file), 0);
}

#define CHAIN 500

TEST(a_chain_of_ends)
{
	static struct iocb requests[CHAIN];
	static struct io_event events[CHAIN];
	int files[CHAIN + 1], k;
	uint64_t one = 1;

	set_up(CHAIN);
	for (k = 0; k <= CHAIN; k++)
		files[k] = (int)MUST(eventfd(0, 0));
	for (k = 0; k < CHAIN; k++) {
		requests[k] = signalling(files[k], files[k + 1]);
		CHECK_EQ(submit(&requests[k]), 1);
	}
	write_all(files[0], &one, 8);
	CHECK_EQ(events_of(CHAIN, CHAIN, events, -1), CHAIN);
	for (k = 0; k < CHAIN; k++)
		CHECK_EQ(events[k].obj, (uintptr_t)&requests[k]);
	for (k = 0; k <= CHAIN; k++)
		read_number(files[k], 1);
}

TEST(a_child_has_no_contexts)
{
	pid_t child;

	set_up(4);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(syscall(SYS_io_destroy, context) == -1 && errno == EINVAL ? 0 : 1);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_OK(syscall(SYS_io_destroy, context));
}

#define LONG_WRITE (2 * 65536)

static char sent[LONG_WRITE];

/* Reads all that comes through the pipe: how much is it, as long as it's what was sent over and over? */
static long drain(int end)
{
	static char got[LONG_WRITE];
	long total = 0, count;

	while ((count = MUST(read(end, got, sizeof got))) > 0)
		for (long i = 0; i < count; i++, total++)
			if (got[i] != sent[total % LONG_WRITE])
				return -1;
	return total;
}

static void fill(void)
{
	for (size_t i = 0; i < sizeof sent; i++)
		sent[i] = (char)(i * 7 + i / 256);
}

TEST(writes_that_wait_for_room)
{
	int ends[2];
	struct io_event events[3];
	struct iovec pieces[2] = {{sent, 1000}, {sent + 1000, LONG_WRITE - 1000}};
	struct iocb first, second, *pointers[2] = {&first, &second};
	pid_t child;

	fill();
	MUST(pipe(ends));
	set_up(4);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		close(ends[1]);
		sleep_ms(20);
		_exit(drain(ends[0]) == 2 * LONG_WRITE ? 0 : 1);
	}
	close(ends[0]);
	first = request_of(IOCB_CMD_PWRITE, ends[1], sent, LONG_WRITE, 0);
	second = request_of(IOCB_CMD_PWRITEV, ends[1], pieces, 2, 0);
	CHECK_EQ(syscall(SYS_io_submit, context, 2L, pointers), 2);
	close(ends[1]);
	CHECK_EQ(events_of(2, 3, events, 0), 2);
	CHECK_EQ(events[0].obj, (uintptr_t)&first);
	CHECK_EQ(events[0].res, LONG_WRITE);
	CHECK_EQ(events[1].obj, (uintptr_t)&second);
	CHECK_EQ(events[1].res, LONG_WRITE);
	CHECK_EQ(wait_for(child), EXITED(0));
}

static void note_alarm(int signal)
{
	(void)signal;
}

TEST(a_signal_ends_what_waits)
{
	int file = scratch_file(), ends[2], others[2];
	struct io_event events[5];
	struct iocb requests[4], *pointers[4] = {&requests[0], &requests[1], &requests[2], &requests[3]};
	struct itimerval soon = {{0, 20000}, {0, 20000}};
	char byte;

	fill();
	MUST(pipe(ends));
	MUST(pipe(others));
	set_up(4);
	handle(SIGALRM, note_alarm, SA_RESTART);
	requests[0] = request_of(IOCB_CMD_PWRITE, ends[1], sent, LONG_WRITE, 0);
	requests[1] = request_of(IOCB_CMD_PWRITE, ends[1], sent, 1, 0);
	requests[2] = request_of(IOCB_CMD_PREAD, others[0], &byte, 1, 0);
	requests[3] = request_of(IOCB_CMD_PWRITE, file, sent, 5, 0);
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_EQ(syscall(SYS_io_submit, context, 4L, pointers), 4);
	soon = (struct itimerval){0};
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_EQ(events_of(4, 5, events, 0), 4);
	CHECK_EQ(events[0].res, 65536);
	CHECK_EQ(events[1].res, -EINTR);
	CHECK_EQ(events[2].res, -EINTR);
	CHECK_EQ(events[3].res, 5);
	close(ends[1]);
	CHECK_EQ(drain(ends[0]), 65536);
}

TEST(a_ring_is_unmapped_by_its_size)
{
	size_t page = 4096, size;
	unsigned char resident;
	char *ring;

	set_up(300);
	ring = (char *)context;
	size = (32 + ((unsigned int *)ring)[1] * sizeof(struct io_event) + page - 1) / page * page;
	CHECK(size >= 4 * page);
	/* Its second page is gone, and instead of the third there is something of the program's. */
	MUST(munmap(ring + page, page));
	MUST(mmap(ring + 2 * page, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	CHECK_OK(syscall(SYS_io_destroy, context));
	for (size_t at = 0; at < size; at += page)
		CHECK_ERRNO(mincore(ring + at, page, &resident), ENOMEM);
	/* Of an area that begins before it, what is there is left. */
	set_up(300);
	ring = (char *)context;
	MUST(munmap(ring, size));
	MUST(mmap(ring - page, size + page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK_OK(syscall(SYS_io_destroy, context));
	CHECK_OK(mincore(ring - page, page, &resident));
	for (size_t at = 0; at < size; at += page)
		CHECK_ERRNO(mincore(ring + at, page, &resident), ENOMEM);
}

static void do_nothing(int signal)
{
	(void)signal;
}

static long wait_for_seconds(long least, struct timespec timeout)
{
	struct io_event event;

	return syscall(SYS_io_getevents, context, least, 1L, &event, &timeout);
}

TEST(times_are_not_looked_at)
{
	struct sigaction action = {.sa_handler = do_nothing};

	set_up(4);
	MUST(sigaction(SIGALRM, &action, NULL));
	CHECK_EQ(wait_for_seconds(0, (struct timespec){-1, 0}), 0);
	CHECK_EQ(wait_for_seconds(1, (struct timespec){0, 0}), 0);
	/* What is below zero never ends, and nanoseconds may be more than a second. */
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 50000}, {0, 50000}}, NULL));
	CHECK_ERRNO(wait_for_seconds(1, (struct timespec){-1, 0}), EINTR);
	CHECK_ERRNO(wait_for_seconds(1, (struct timespec){0, -1}), EINTR);
	CHECK_ERRNO(wait_for_seconds(1, (struct timespec){0, 100000000000}), EINTR);
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL));
}

static size_t ring_bytes(void)
{
	return (32 + ((unsigned int *)context)[1] * sizeof(struct io_event) + 4095) / 4096 * 4096;
}

static long move_ring(char *target)
{
	return (long)mremap((void *)context, ring_bytes(), ring_bytes(), MREMAP_MAYMOVE | MREMAP_FIXED, target);
}

TEST(a_ring_that_moves_is_the_context_from_there_on)
{
	char buffer[8] = "", *place = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iocb request = request_of(IOCB_CMD_PREAD, scratch_file(), buffer, sizeof(buffer), 0);
	aio_context_t old, other = 0;
	struct io_event event;
	size_t size;

	MUST(pwrite((int)request.aio_fildes, "12345678", 8, 0));
	set_up(16);
	MUST(syscall(SYS_io_setup, 16, &other));
	CHECK_EQ(*(unsigned int *)context, 0);
	CHECK_EQ(*(unsigned int *)other, 1);
	size = ring_bytes();
	/* It becomes neither longer nor two. */
	CHECK_ERRNO((long)mremap((void *)context, size, size + 4096, MREMAP_MAYMOVE), EFAULT);
	CHECK_ERRNO((long)mremap((void *)context, 0, size, MREMAP_MAYMOVE), EFAULT);
	CHECK_ERRNO(
		(long)mremap((void *)context, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, place), EINVAL);
	CHECK_EQ(submit(&request), 1);
	old = context;
	CHECK_EQ(move_ring(place), (long)place);
	CHECK_ERRNO(events_of(0, 1, &event, 0), EINVAL);
	context = (aio_context_t)place;
	CHECK_EQ(events_of(1, 1, &event, 0), 1);
	CHECK_EQ(event.res, 8);
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(((unsigned int *)context)[3], 2);
	/* There a child has the ring, but not the context. */
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		CHECK_EQ(((unsigned int *)context)[3], 2);
		CHECK_ERRNO(events_of(0, 1, &event, 0), EINVAL);
		CHECK_ERRNO(move_ring(place + 0x10000), EINVAL);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), 0);
	/* What is mapped where the ring was isn't the context's. */
	CHECK_EQ(mmap((void *)old, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
		 (void *)old);
	CHECK_ERRNO(syscall(SYS_io_destroy, old), EINVAL);
	CHECK_OK(syscall(SYS_io_destroy, context));
	CHECK_ERRNO(syscall(SYS_io_destroy, context), EINVAL);
	/* One whose ring isn't mapped can't be named. */
	MUST(munmap((void *)other, size));
	CHECK_ERRNO(syscall(SYS_io_destroy, other), EINVAL);
	context = 0;
	CHECK_OK(syscall(SYS_io_setup, 16, &context));
	CHECK_EQ(*(unsigned int *)context, 0);
}

TEST(contexts_of_one_address_are_told_apart_by_number)
{
	aio_context_t second = 0;
	unsigned int number;

	set_up(4);
	number = *(unsigned int *)context;
	MUST(munmap((void *)context, ring_bytes()));
	MUST(syscall(SYS_io_setup, 4, &second));
	CHECK_EQ(second, context);
	CHECK_EQ(*(unsigned int *)second, number + 1);
	*(unsigned int *)second = number;
	CHECK_OK(syscall(SYS_io_destroy, context));
	CHECK_ERRNO(syscall(SYS_io_destroy, second), EINVAL);
	MUST(mmap((void *)second, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		  0));
	*(unsigned int *)second = number;
	CHECK_ERRNO(syscall(SYS_io_destroy, second), EINVAL);
	*(unsigned int *)second = number + 1;
	CHECK_OK(syscall(SYS_io_destroy, second));
}

TEST(a_ring_is_a_file_that_can_not_be_opened)
{
	char link[64], target[64] = "";
	struct stat status;

	set_up(16);
	snprintf(link, sizeof(link), "/proc/self/map_files/%lx-%lx", (long)context, (long)context + (long)ring_bytes());
	MUST(readlink(link, target, sizeof(target) - 1));
	CHECK_STRING(target, "/[aio] (deleted)");
	if (geteuid())
		return;
	CHECK_ERRNO(open(link, O_RDWR), ENXIO);
	MUST(stat(link, &status));
	CHECK_EQ(status.st_mode, 0600);
	CHECK(status.st_dev != 0 && status.st_ino != 0);
}

TEST(flags_of_reads_and_writes)
{
	char text[8] = "text";
	int file = scratch_file(), memory = (int)MUST(syscall(SYS_memfd_create, "memory", 0));
	struct iocb request = request_of(IOCB_CMD_PWRITE, file, text, 4, 0);
	struct io_event event;

	set_up(4);
	request.aio_flags = IOCB_FLAG_IOPRIO;
	request.aio_reqprio = 5 << 13;
	CHECK_ERRNO(submit(&request), EINVAL);
	request.aio_reqprio = 1;
	CHECK_ERRNO(submit(&request), EINVAL);
	request.aio_reqprio = 2 << 13;
	CHECK_EQ(submit(&request), 1);
	request.aio_flags = 0;
	request.aio_rw_flags = RWF_APPEND;
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(events_of(2, 2, (struct io_event[2]){0}, 1000), 2);
	CHECK_EQ(lseek(file, 0, SEEK_END), 8);
	request.aio_rw_flags = 1 << 20;
	CHECK_ERRNO(submit(&request), EOPNOTSUPP);
	/* Memory knows nothing of not waiting. */
	request = request_of(IOCB_CMD_PREAD, memory, text, 4, 0);
	request.aio_rw_flags = RWF_NOWAIT;
	CHECK_ERRNO(submit(&request), EOPNOTSUPP);
	request.aio_rw_flags = 0;
	CHECK_EQ(submit(&request), 1);
	CHECK_EQ(events_of(1, 1, &event, 1000), 1);
	CHECK_EQ(event.res, 0);
}
