/* A call that sleeps keeps its open files, whatever another thread does to the descriptors: close(2), select(2). */
#include "check.h"

#include <arpa/inet.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* A call that a thread is to make: what it gets, and what comes of it. */
struct call {
	long (*make)(struct call *call);
	int fd;
	long result;
	int error;
	char data[4096];
	pthread_t thread;
	volatile pid_t tid;
};

static void *make_call(void *argument)
{
	struct call *call = argument;

	call->tid = (pid_t)syscall(SYS_gettid);
	call->result = call->make(call);
	call->error = call->result == -1 ? errno : 0;
	return NULL;
}

static char state_of(pid_t tid)
{
	char path[64], text[200] = "", *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = '\0';
	close(fd);
	end = strrchr(text, ')');
	return end != NULL ? end[2] : 0;
}

/* Lets a thread make the call, and waits until it sleeps in it. */
static void begin(struct call *call, long (*make)(struct call *), int fd)
{
	memset(call, 0, sizeof(*call));
	call->make = make;
	call->fd = fd;
	MUST(pthread_create(&call->thread, NULL, make_call, call) == 0 ? 0 : -1);
	while (call->tid == 0)
		sleep_ms(1);
	do
		sleep_ms(5);
	while (state_of(call->tid) != 'S');
}

static long end(struct call *call)
{
	MUST(pthread_join(call->thread, NULL) == 0 ? 0 : -1);
	return call->result;
}

static long do_read(struct call *call)
{
	return read(call->fd, call->data, sizeof(call->data));
}

static long do_write(struct call *call)
{
	static char much[300000];

	return write(call->fd, much, sizeof(much));
}

/* Makes `fd` lead to a pipe that holds "wrong", as a thread that opens the next file does. */
static void replace(int fd)
{
	int wrong[2];

	MUST(close(fd));
	MUST(pipe(wrong));
	write_all(wrong[1], "wrong", 5);
	if (wrong[0] != fd) {
		MUST(dup2(wrong[0], fd));
		MUST(close(wrong[0]));
	}
}

TEST(reading_from_a_pipe)
{
	struct call call;
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	MUST(pipe(ends));
	begin(&call, do_read, ends[0]);
	replace(ends[0]);
	CHECK_EQ(write(ends[1], "right", 5), 5);
	CHECK_EQ(end(&call), 5);
	CHECK_STRING(call.data, "right");
	/* Nobody reads any more. */
	CHECK_ERRNO(write(ends[1], "more", 4), EPIPE);
	CHECK_EQ(read(ends[0], call.data, 5), 5);
	CHECK_EQ(memcmp(call.data, "wrong", 5), 0);
}

TEST(reading_until_the_writer_closes)
{
	struct call call;
	int ends[2];

	MUST(pipe(ends));
	begin(&call, do_read, ends[0]);
	MUST(close(ends[0]));
	CHECK_ERRNO(fcntl(ends[0], F_GETFD), EBADF);
	MUST(close(ends[1]));
	CHECK_EQ(end(&call), 0);
}

TEST(duplicating_over_the_descriptor)
{
	struct call call;
	int ends[2], zero = (int)MUST(open("/dev/zero", O_RDONLY));

	MUST(pipe(ends));
	begin(&call, do_read, ends[0]);
	CHECK_EQ(dup2(zero, ends[0]), ends[0]);
	CHECK_EQ(state_of(call.tid), 'S');
	CHECK_EQ(write(ends[1], "right", 5), 5);
	CHECK_EQ(end(&call), 5);
	CHECK_STRING(call.data, "right");
}

TEST(writing_to_a_pipe)
{
	static char data[100000];
	struct call call;
	ssize_t count, total = 0;
	int ends[2];

	MUST(pipe(ends));
	begin(&call, do_write, ends[1]);
	MUST(close(ends[1]));
	/* All of it arrives, and only then the end. */
	while ((count = read(ends[0], data, sizeof(data))) > 0)
		total += count;
	CHECK_EQ(count, 0);
	CHECK_EQ(total, 300000);
	CHECK_EQ(end(&call), 300000);
}

TEST(writing_to_a_pipe_that_nobody_reads)
{
	struct call call;
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	MUST(pipe(ends));
	begin(&call, do_write, ends[1]);
	MUST(close(ends[1]));
	MUST(close(ends[0]));
	CHECK(end(&call) >= 4096);
	CHECK(call.result < 300000);
}

static long do_receive(struct call *call)
{
	return recv(call->fd, call->data, sizeof(call->data), 0);
}

static void receive_after_close(int type)
{
	struct call call;
	int ends[2];

	MUST(socketpair(AF_UNIX, type, 0, ends));
	begin(&call, do_receive, ends[0]);
	replace(ends[0]);
	CHECK_EQ(poll(&(struct pollfd){ends[1], POLLHUP | POLLRDHUP, 0}, 1, 0), 0);
	CHECK_EQ(send(ends[1], "right", 5, MSG_NOSIGNAL), 5);
	CHECK_EQ(end(&call), 5);
	CHECK_STRING(call.data, "right");
	CHECK_EQ(ERRNO_OF(send(ends[1], "more", 4, MSG_NOSIGNAL)), type == SOCK_DGRAM ? ECONNREFUSED : EPIPE);
}

TEST(receiving_from_unix_sockets)
{
	receive_after_close(SOCK_STREAM);
	receive_after_close(SOCK_DGRAM);
	receive_after_close(SOCK_SEQPACKET);
}

TEST(receiving_all)
{
	struct call call;
	int ends[2];

	/* The call goes on sleeping after a part has come. */
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	begin(&call, do_receive, ends[0]);
	MUST(close(ends[0]));
	CHECK_EQ(write(ends[1], "one", 3), 3);
	CHECK_EQ(end(&call), 3);
}

static long do_accept(struct call *call)
{
	return accept(call->fd, NULL, NULL);
}

TEST(accepting)
{
	struct sockaddr_un local = {AF_UNIX, "socket"};
	struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(loopback);
	struct call call;
	int listener, client;
	char byte = 0;

	enter_scratch();
	listener = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	MUST(bind(listener, (struct sockaddr *)&local, sizeof(local)));
	MUST(listen(listener, 5));
	begin(&call, do_accept, listener);
	MUST(close(listener));
	client = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_EQ(connect(client, (struct sockaddr *)&local, sizeof(local)), 0);
	CHECK(end(&call) >= 0);
	CHECK_EQ(write(client, "x", 1), 1);
	CHECK_EQ(read((int)call.result, &byte, 1), 1);
	CHECK_EQ(byte, 'x');
	client = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_ERRNO(connect(client, (struct sockaddr *)&local, sizeof(local)), ECONNREFUSED);

	listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(listener, (struct sockaddr *)&loopback, sizeof(loopback)));
	MUST(listen(listener, 5));
	MUST(getsockname(listener, (struct sockaddr *)&loopback, &length));
	begin(&call, do_accept, listener);
	replace(listener);
	client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_EQ(connect(client, (struct sockaddr *)&loopback, sizeof(loopback)), 0);
	CHECK(end(&call) >= 0);
	CHECK_EQ(write(client, "y", 1), 1);
	CHECK_EQ(read((int)call.result, &byte, 1), 1);
	CHECK_EQ(byte, 'y');
	client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(connect(client, (struct sockaddr *)&loopback, sizeof(loopback)), ECONNREFUSED);
}

TEST(shutting_down_ends_the_sleep)
{
	struct call call;
	int ends[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	begin(&call, do_receive, ends[0]);
	MUST(shutdown(ends[0], SHUT_RD));
	MUST(close(ends[0]));
	CHECK_EQ(end(&call), 0);
	CHECK_EQ(read(ends[1], call.data, 1), 0);
}

/* revents of the one that is watched. */
static long do_poll(struct call *call)
{
	struct pollfd watched = {call->fd, POLLIN, 0};
	int count = poll(&watched, 1, -1);

	return count == 1 ? watched.revents : -1;
}

static long do_select(struct call *call)
{
	fd_set readable, writable;
	int count;

	FD_ZERO(&readable);
	FD_ZERO(&writable);
	FD_SET(call->fd, &readable);
	count = select(call->fd + 1, &readable, &writable, NULL, NULL);
	return count == 1 ? FD_ISSET(call->fd, &readable) : -1;
}

TEST(polling)
{
	struct call call;
	int ends[2];

	/* It looks by descriptor again, but is woken by the file that it had. */
	MUST(pipe(ends));
	begin(&call, do_poll, ends[0]);
	MUST(close(ends[0]));
	sleep_ms(10);
	CHECK_EQ(state_of(call.tid), 'S');
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(end(&call), POLLNVAL);

	MUST(pipe(ends));
	begin(&call, do_poll, ends[0]);
	replace(ends[0]);
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(end(&call), POLLIN);

	MUST(pipe(ends));
	begin(&call, do_select, ends[0]);
	MUST(close(ends[0]));
	sleep_ms(10);
	CHECK_EQ(state_of(call.tid), 'S');
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(end(&call), 1);

	/* The other side sees no end while somebody polls. */
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	begin(&call, do_poll, ends[0]);
	MUST(close(ends[0]));
	CHECK_EQ(poll(&(struct pollfd){ends[1], POLLIN | POLLRDHUP, 0}, 1, 0), 0);
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(end(&call), POLLNVAL);
	CHECK_EQ(poll(&(struct pollfd){ends[1], POLLRDHUP, 0}, 1, 0), 1);
}

static long do_epoll_wait(struct call *call)
{
	struct epoll_event event;
	int count = epoll_wait(call->fd, &event, 1, -1);

	return count == 1 ? (long)event.data.u32 : -1;
}

TEST(waiting_with_epoll)
{
	struct epoll_event event = {EPOLLIN, {.u32 = 77}};
	struct call call;
	int ends[2], instance = (int)MUST(epoll_create1(0));

	MUST(pipe(ends));
	MUST(epoll_ctl(instance, EPOLL_CTL_ADD, ends[0], &event));
	begin(&call, do_epoll_wait, instance);
	replace(instance);
	sleep_ms(10);
	CHECK_EQ(state_of(call.tid), 'S');
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(end(&call), 77);
}

static long do_lock_whole(struct call *call)
{
	return flock(call->fd, LOCK_EX);
}

static long do_lock_record(struct call *call)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};

	return fcntl(call->fd, F_SETLKW, &lock);
}

TEST(locking)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
	struct call call;
	int one, other, go[2];
	pid_t child;
	char byte;

	enter_scratch();
	write_file("lock", "", 0600);
	one = (int)MUST(open("lock", O_RDWR));
	other = (int)MUST(open("lock", O_RDWR));
	MUST(flock(one, LOCK_EX));
	begin(&call, do_lock_whole, other);
	MUST(close(other));
	CHECK_EQ(state_of(call.tid), 'S');
	MUST(flock(one, LOCK_UN));
	CHECK_EQ(end(&call), 0);
	/* The file was closed with the call, and its lock given up. */
	CHECK_EQ(flock(one, LOCK_EX | LOCK_NB), 0);
	MUST(close(one));

	/* A record's lock isn't kept when the descriptor has gone. */
	MUST(pipe(go));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		one = (int)MUST(open("lock", O_RDWR));
		MUST(fcntl(one, F_SETLK, &lock));
		MUST(close(go[1]));
		sleep_ms(100);
		MUST(fcntl(one, F_SETLK, &(struct flock){.l_type = F_UNLCK}));
		_exit(0);
	}
	MUST(close(go[1]));
	MUST(read(go[0], &byte, 1));
	other = (int)MUST(open("lock", O_RDWR));
	begin(&call, do_lock_record, other);
	MUST(close(other));
	CHECK_ERRNO(end(&call) == -1 ? (errno = call.error, -1) : 0, EBADF);
	CHECK_EQ(wait_for(child), EXITED(0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		one = (int)MUST(open("lock", O_RDWR));
		CHECK_EQ(fcntl(one, F_SETLK, &lock), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(counters_and_timers)
{
	struct call call;
	uint64_t one = 1;
	int counter = (int)MUST(eventfd(0, 0)), same = (int)MUST(dup(counter));
	int timer = (int)MUST(timerfd_create(CLOCK_MONOTONIC, 0));

	begin(&call, do_read, counter);
	replace(counter);
	CHECK_EQ(write(same, &one, 8), 8);
	CHECK_EQ(end(&call), 8);
	CHECK_EQ(memcmp(call.data, &one, 8), 0);
	MUST(timerfd_settime(timer, 0, &(struct itimerspec){{0, 0}, {0, 50000000}}, NULL));
	begin(&call, do_read, timer);
	replace(timer);
	CHECK_EQ(end(&call), 8);
	CHECK_EQ(memcmp(call.data, &one, 8), 0);
}

static long do_receive_from_queue(struct call *call)
{
	return mq_receive((mqd_t)call->fd, call->data, sizeof(call->data), NULL);
}

TEST(message_queues)
{
	struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 64};
	struct call call;
	char name[64];
	mqd_t one, other;

	snprintf(name, sizeof(name), "/closed-by-thread-%d", getpid());
	one = (mqd_t)MUST(mq_open(name, O_CREAT | O_RDWR, 0600, &attributes));
	other = (mqd_t)MUST(mq_open(name, O_RDWR));
	MUST(mq_unlink(name));
	begin(&call, do_receive_from_queue, one);
	replace(one);
	CHECK_EQ(mq_send(other, "right", 5, 0), 0);
	CHECK_EQ(end(&call), 5);
	CHECK_STRING(call.data, "right");
}

static long do_wait_for(struct call *call)
{
	siginfo_t info;

	return waitid((idtype_t)P_PIDFD, (id_t)call->fd, &info, WEXITED) == 0 ? info.si_status : -1;
}

TEST(waiting_by_pidfd)
{
	struct call call;
	int go[2], pidfd;
	pid_t child;
	char byte;

	MUST(pipe(go));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(close(go[1]));
		MUST(read(go[0], &byte, 1));
		_exit(9);
	}
	pidfd = (int)MUST(syscall(SYS_pidfd_open, child, 0));
	begin(&call, do_wait_for, pidfd);
	replace(pidfd);
	MUST(close(go[1]));
	CHECK_EQ(end(&call), 9);
}

static int passed;

static long do_pass(struct call *call)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec vector = {"descriptor", 10};
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &passed, sizeof(passed));
	return sendmsg(call->fd, &message, 0);
}

TEST(passing_a_descriptor)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control;
	struct call call;
	struct iovec vector = {call.data, sizeof(call.data)};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	int ends[2], data[2], got = -1, count = 0;
	char text[8] = "";

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	MUST(pipe(data));
	write_all(data[1], "right", 5);
	passed = data[0];
	while (send(ends[0], "fill", 4, MSG_DONTWAIT) == 4)
		count++;
	begin(&call, do_pass, ends[0]);
	replace(passed);
	for (; count > 0; count--)
		MUST(recv(ends[1], text, sizeof(text), 0));
	CHECK_EQ(end(&call), 10);
	message.msg_control = &control;
	message.msg_controllen = sizeof(control);
	CHECK_EQ(recvmsg(ends[1], &message, 0), 10);
	CHECK_EQ(message.msg_controllen, CMSG_SPACE(sizeof(int)));
	memcpy(&got, CMSG_DATA(&control.header), sizeof(got));
	memset(text, 0, sizeof(text));
	CHECK_EQ(read(got, text, sizeof(text)), 5);
	CHECK_STRING(text, "right");
}

static long do_pass_much(struct call *call)
{
	static char much[1000000];
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec vector = {much, sizeof(much)};
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &passed, sizeof(passed));
	return sendmsg(call->fd, &message, 0);
}

/* The descriptor goes with the first bytes, once, however often the sender sleeps. */
TEST(passing_a_descriptor_with_much)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr header;
	} control;
	struct call call;
	struct iovec vector = {call.data, sizeof(call.data)};
	int ends[2], data[2], count = 0;
	long total = 0;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	MUST(pipe(data));
	passed = data[0];
	begin(&call, do_pass_much, ends[0]);
	MUST(close(passed));
	while (total < 1000000) {
		struct msghdr message = {
			.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
		ssize_t size = recvmsg(ends[1], &message, 0);

		MUST(size);
		total += size;
		count += message.msg_controllen > 0;
	}
	CHECK_EQ(count, 1);
	CHECK_EQ(end(&call), 1000000);
}

static void do_nothing(int signal)
{
	(void)signal;
}

/* A call that begins again after a signal looks for the descriptor again. */
TEST(restarting)
{
	struct call call;
	int ends[2];

	handle(SIGUSR1, do_nothing, SA_RESTART);
	MUST(pipe(ends));
	begin(&call, do_read, ends[0]);
	replace(ends[0]);
	MUST(pthread_kill(call.thread, SIGUSR1));
	CHECK_EQ(end(&call), 5);
	CHECK_STRING(call.data, "wrong");

	MUST(pipe(ends));
	begin(&call, do_read, ends[0]);
	MUST(close(ends[0]));
	MUST(pthread_kill(call.thread, SIGUSR1));
	CHECK_EQ(end(&call), -1);
	CHECK_EQ(call.error, EBADF);
}

TEST(ending_in_the_middle)
{
	struct call call;
	int ends[2];
	pid_t child;

	/* What a killed thread's call held is closed. */
	signal(SIGPIPE, SIG_IGN);
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(close(ends[1]));
		begin(&call, do_read, ends[0]);
		MUST(close(ends[0]));
		kill(getppid(), 0);
		_exit(0);
	}
	MUST(close(ends[0]));
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
}
