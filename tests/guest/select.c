/* Waiting for descriptors: poll(2), select(2), epoll(7), eventfd(2), signalfd(2). */
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>

#define MS 1000000LL

static void make_pipe(int ends[2])
{
	MUST(pipe2(ends, O_NONBLOCK));
}

static void write_after_ms(int fd, long delay)
{
	if (MUST(fork()) == 0) {
		sleep_ms(delay);
		write_all(fd, "x", 1);
		_exit(0);
	}
}

TEST(poll_reports_events)
{
	int ends[2];
	struct pollfd polled[21] = {0};

	make_pipe(ends);
	polled[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
	polled[1] = (struct pollfd){.fd = -1, .events = POLLIN, .revents = 77};
	polled[2] = (struct pollfd){.fd = ends[1], .events = POLLOUT | POLLIN};
	CHECK_EQ(poll(polled, 1, 0), 0);
	CHECK_EQ(polled[0].revents, 0);
	CHECK_EQ(poll(polled, 3, 0), 1);
	CHECK_EQ(polled[1].revents, 0);
	CHECK_EQ(polled[2].revents, POLLOUT);
	write_all(ends[1], "x", 1);
	CHECK_EQ(poll(polled, 3, -1), 2);
	CHECK_EQ(polled[0].revents, POLLIN);
	polled[1].fd = 5000;
	CHECK_EQ(poll(polled, 3, 0), 3);
	CHECK_EQ(polled[1].revents, POLLNVAL);
	CHECK_EQ(poll(NULL, 0, 0), 0);
	CHECK_ERRNO(poll(bad_address(), 1, 0), EFAULT);
	MUST(setrlimit(RLIMIT_NOFILE, &(struct rlimit){20, 20}));
	CHECK_ERRNO(poll(polled, 21, 0), EINVAL);
}

TEST(poll_sleeps)
{
	int ends[2];
	struct pollfd polled = {.events = POLLIN};
	int64_t start;

	make_pipe(ends);
	polled.fd = ends[0];
	start = now_ns(CLOCK_MONOTONIC);
	CHECK_EQ(poll(&polled, 1, 20), 0);
	CHECK(now_ns(CLOCK_MONOTONIC) - start >= 20 * MS);
	CHECK_EQ(poll(NULL, 0, 10), 0);
	CHECK(now_ns(CLOCK_MONOTONIC) - start >= 30 * MS);
	write_after_ms(ends[1], 10);
	CHECK_EQ(poll(&polled, 1, -1), 1);
	CHECK_EQ(polled.revents, POLLIN);
	CHECK(wait(NULL) > 0);
	CHECK_EQ(poll(&polled, 1, 1000000), 1);
}

TEST(regular_files_are_always_ready)
{
	struct pollfd polled = {.events = POLLIN | POLLOUT};
	int epoll = (int)MUST(epoll_create1(0));

	enter_scratch();
	write_file("file", "", 0644);
	polled.fd = (int)MUST(open("file", O_RDWR));
	CHECK_EQ(poll(&polled, 1, -1), 1);
	CHECK_EQ(polled.revents, POLLIN | POLLOUT);
	CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, polled.fd, &(struct epoll_event){.events = EPOLLIN}), EPERM);
}

static volatile int signals;

static void count_signal(int signal)
{
	(void)signal;
	signals++;
}

TEST(ppoll_changes_the_mask_while_it_waits)
{
	int ends[2];
	struct pollfd polled = {.events = POLLIN};
	struct timespec none = {0, 0}, wrong = {0, -1}, moment = {0, 5 * MS};
	sigset_t empty, now;

	make_pipe(ends);
	polled.fd = ends[0];
	sigemptyset(&empty);
	handle(SIGUSR1, count_signal, 0);
	block(SIGUSR1);
	MUST(raise(SIGUSR1));
	CHECK_EQ(ppoll(&polled, 1, &moment, NULL), 0);
	CHECK_EQ(signals, 0);
	CHECK_ERRNO(ppoll(&polled, 1, NULL, &empty), EINTR);
	CHECK_EQ(signals, 1);
	MUST(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK_EQ(sigismember(&now, SIGUSR1), 1);
	CHECK_EQ(ppoll(&polled, 1, &none, &empty), 0);
	CHECK_ERRNO(ppoll(&polled, 1, &wrong, NULL), EINVAL);
	CHECK_ERRNO(syscall(SYS_ppoll, &polled, 1, NULL, &empty, 4), EINVAL);
}

TEST(select_reports_sets)
{
	int ends[2], broken[2];
	fd_set readable, writable, except;
	struct timeval none = {0, 0}, wrong = {0, -1}, soon = {0, 20000}, start_again;

	make_pipe(ends);
	make_pipe(broken);
	MUST(close(broken[1]));
	FD_ZERO(&readable);
	FD_ZERO(&writable);
	FD_ZERO(&except);
	FD_SET(ends[0], &readable);
	FD_SET(ends[1], &writable);
	FD_SET(ends[0], &except);
	CHECK_EQ(select(100, &readable, &writable, &except, NULL), 1);
	CHECK(!FD_ISSET(ends[0], &readable));
	CHECK(FD_ISSET(ends[1], &writable));
	CHECK(!FD_ISSET(ends[0], &except));
	write_all(ends[1], "x", 1);
	FD_SET(ends[0], &readable);
	FD_SET(broken[0], &readable);
	CHECK_EQ(select(100, &readable, NULL, NULL, &none), 2);
	CHECK(FD_ISSET(ends[0], &readable) && FD_ISSET(broken[0], &readable));
	CHECK_EQ(select(0, NULL, NULL, NULL, &none), 0);
	FD_ZERO(&readable);
	MUST(read(ends[0], &wrong, 1));
	wrong = (struct timeval){0, -1};
	FD_SET(ends[0], &readable);
	CHECK_EQ(select(ends[0], &readable, NULL, NULL, &none), 0);
	FD_ZERO(&readable);
	FD_SET(ends[0], &readable);
	start_again = soon;
	CHECK_EQ(select(100, &readable, NULL, NULL, &start_again), 0);
	CHECK_EQ(start_again.tv_sec + start_again.tv_usec, 0);
	CHECK(!FD_ISSET(ends[0], &readable));
	FD_ZERO(&readable);
	FD_SET(99, &readable);
	CHECK_ERRNO(select(100, &readable, NULL, NULL, &none), EBADF);
	CHECK_ERRNO(select(-1, NULL, NULL, NULL, &none), EINVAL);
	CHECK_ERRNO(select(0, NULL, NULL, NULL, &wrong), EINVAL);
	CHECK_ERRNO(select(10, bad_address(), NULL, NULL, &none), EFAULT);
}

/* The C library's function does the carrying itself. */
static long raw_select(int count, fd_set *readable, struct timeval *timeout)
{
	return syscall(SYS_select, count, readable, NULL, NULL, timeout);
}

/* Microseconds beyond a second are carried over, and the sum may wrap. */
TEST(select_with_the_longest_times)
{
	struct timeval wraps = {LONG_MAX, 1000000}, longest = {LONG_MAX, 999999}, carried = {-1, 1000000};
	struct timeval negative = {LONG_MIN, -1000000}, back = {1, -1000000};
	struct timespec wrong = {LONG_MAX, 1000000000}, seconds = {LONG_MAX, 999999999};
	int ends[2];
	fd_set readable;

	make_pipe(ends);
	write_all(ends[1], "x", 1);
	FD_ZERO(&readable);
	FD_SET(ends[0], &readable);
	CHECK_ERRNO(raw_select(ends[0] + 1, &readable, &wraps), EINVAL);
	CHECK_EQ(raw_select(ends[0] + 1, &readable, &longest), 1);
	CHECK(longest.tv_sec > LONG_MAX - 1000000000);
	CHECK_EQ(raw_select(0, NULL, &carried), 0);
	CHECK_EQ(raw_select(0, NULL, &back), 0);
	CHECK_EQ(raw_select(ends[0] + 1, &readable, &negative), 1);
	CHECK_ERRNO(syscall(SYS_pselect6, ends[0] + 1, &readable, NULL, NULL, &wrong, NULL), EINVAL);
	CHECK_EQ(syscall(SYS_pselect6, ends[0] + 1, &readable, NULL, NULL, &seconds, NULL), 1);
	CHECK(seconds.tv_sec > LONG_MAX - 1000000000);
}

TEST(select_is_woken)
{
	int ends[2];
	fd_set readable;
	struct timeval long_time = {1000, 0};

	make_pipe(ends);
	write_after_ms(ends[1], 10);
	FD_ZERO(&readable);
	FD_SET(ends[0], &readable);
	CHECK_EQ(select(ends[0] + 1, &readable, NULL, NULL, &long_time), 1);
	CHECK(FD_ISSET(ends[0], &readable));
	CHECK(long_time.tv_sec < 1000);
	CHECK(wait(NULL) > 0);
}

TEST(pselect_changes_the_mask_and_not_the_timeout)
{
	int ends[2];
	fd_set readable;
	struct timespec moment = {0, 10 * MS};
	sigset_t empty;

	make_pipe(ends);
	FD_ZERO(&readable);
	FD_SET(ends[0], &readable);
	CHECK_EQ(pselect(ends[0] + 1, &readable, NULL, NULL, &moment, NULL), 0);
	CHECK_EQ(moment.tv_nsec, 10 * MS);
	sigemptyset(&empty);
	handle(SIGUSR1, count_signal, 0);
	block(SIGUSR1);
	MUST(raise(SIGUSR1));
	FD_SET(ends[0], &readable);
	CHECK_ERRNO(pselect(ends[0] + 1, &readable, NULL, NULL, NULL, &empty), EINTR);
	CHECK_EQ(signals, 1);
}

static int add(int epoll, int fd, unsigned events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

TEST(epoll_is_level_triggered)
{
	int ends[2], epoll = (int)CHECK_OK(epoll_create1(EPOLL_CLOEXEC));
	struct epoll_event events[4];
	char byte;

	CHECK_EQ(fcntl(epoll, F_GETFD), FD_CLOEXEC);
	make_pipe(ends);
	CHECK_EQ(add(epoll, ends[0], EPOLLIN, 0x123456789abcdef0), 0);
	CHECK_EQ(epoll_wait(epoll, events, 4, 0), 0);
	write_all(ends[1], "xy", 2);
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 1);
	CHECK_EQ(events[0].events, EPOLLIN);
	CHECK_EQ(events[0].data.u64, 0x123456789abcdef0);
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 1);
	MUST(read(ends[0], &byte, 1));
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 1);
	MUST(read(ends[0], &byte, 1));
	CHECK_EQ(epoll_wait(epoll, events, 4, 0), 0);
	CHECK_EQ(add(epoll, ends[1], EPOLLOUT, 2), 0);
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 1);
	CHECK_EQ(events[0].data.u64, 2);
	CHECK_EQ(events[0].events, EPOLLOUT);
	write_all(ends[1], "x", 1);
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 2);
	CHECK_EQ(epoll_wait(epoll, events, 1, -1), 1);
	MUST(close(ends[1]));
	MUST(read(ends[0], &byte, 1));
	CHECK_EQ(epoll_wait(epoll, events, 4, -1), 1);
	CHECK_EQ(events[0].events, EPOLLHUP);
	MUST(close(ends[0]));
	CHECK_EQ(epoll_wait(epoll, events, 4, 0), 0);
}

TEST(epoll_edges_and_one_shots)
{
	int ends[2], epoll = (int)MUST(epoll_create1(0));
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT}, events[2];

	make_pipe(ends);
	CHECK_EQ(add(epoll, ends[0], EPOLLIN | EPOLLET, 1), 0);
	write_all(ends[1], "x", 1);
	CHECK_EQ(epoll_wait(epoll, events, 2, 0), 1);
	CHECK_EQ(epoll_wait(epoll, events, 2, 0), 0);
	write_all(ends[1], "x", 1);
	CHECK_EQ(epoll_wait(epoll, events, 2, 0), 1);
	CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event), 0);
	CHECK_EQ(epoll_wait(epoll, events, 2, 0), 1);
	CHECK_EQ(epoll_wait(epoll, events, 2, 0), 0);
	write_all(ends[1], "x", 1);
	CHECK_EQ(epoll_wait(epoll, events, 2, 0), 0);
	CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event), 0);
	CHECK_EQ(epoll_wait(epoll, events, 2, 0), 1);
	CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[0], NULL), 0);
	CHECK_EQ(epoll_wait(epoll, events, 2, 0), 0);
}

TEST(epoll_sleeps_and_is_woken)
{
	int ends[2], epoll = (int)MUST(epoll_create1(0));
	struct epoll_event event;
	int64_t start;
	sigset_t empty;

	make_pipe(ends);
	MUST(add(epoll, ends[0], EPOLLIN, 5));
	start = now_ns(CLOCK_MONOTONIC);
	CHECK_EQ(epoll_wait(epoll, &event, 1, 20), 0);
	CHECK(now_ns(CLOCK_MONOTONIC) - start >= 20 * MS);
	write_after_ms(ends[1], 10);
	CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
	CHECK_EQ(event.data.u64, 5);
	CHECK(wait(NULL) > 0);
	MUST(read(ends[0], &event, 1));
	sigemptyset(&empty);
	handle(SIGUSR1, count_signal, 0);
	block(SIGUSR1);
	MUST(raise(SIGUSR1));
	CHECK_ERRNO(epoll_pwait(epoll, &event, 1, -1, &empty), EINTR);
	CHECK_EQ(signals, 1);
}

TEST(epoll_of_a_duplicate_and_after_fork)
{
	int ends[2], again, epoll = (int)MUST(epoll_create1(0));
	struct epoll_event event;
	pid_t child;

	make_pipe(ends);
	again = (int)MUST(dup(ends[0]));
	CHECK_EQ(add(epoll, ends[0], EPOLLIN, 1), 0);
	CHECK_ERRNO(add(epoll, ends[0], EPOLLIN, 1), EEXIST);
	CHECK_EQ(add(epoll, again, EPOLLIN, 2), 0);
	write_all(ends[1], "x", 1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		struct epoll_event both[2];

		CHECK_EQ(epoll_wait(epoll, both, 2, 0), 2);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(epoll_ctl(epoll, EPOLL_CTL_DEL, again, NULL));
	MUST(close(ends[0]));
	CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 1);
	MUST(close(again));
	CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
}

TEST(epoll_in_an_epoll)
{
	int ends[2], inner = (int)MUST(epoll_create1(0)), outer = (int)MUST(epoll_create1(0));
	struct epoll_event event;
	struct pollfd polled = {.fd = outer, .events = POLLIN};

	make_pipe(ends);
	CHECK_EQ(add(inner, ends[0], EPOLLIN, 1), 0);
	CHECK_EQ(add(outer, inner, EPOLLIN, 2), 0);
	CHECK_ERRNO(add(inner, outer, EPOLLIN, 3), ELOOP);
	CHECK_ERRNO(add(inner, inner, EPOLLIN, 3), EINVAL);
	CHECK_EQ(poll(&polled, 1, 0), 0);
	write_all(ends[1], "x", 1);
	CHECK_EQ(epoll_wait(outer, &event, 1, 0), 1);
	CHECK_EQ(event.data.u64, 2);
	CHECK_EQ(poll(&polled, 1, 0), 1);
}

TEST(epoll_errnos)
{
	int ends[2], epoll = (int)MUST(epoll_create1(0));
	struct epoll_event event = {.events = EPOLLIN};

	make_pipe(ends);
	CHECK_ERRNO(epoll_create1(0x100), EINVAL);
	CHECK_ERRNO(epoll_create(0), EINVAL);
	CHECK_OK(epoll_create(1));
	CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event), ENOENT);
	CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[0], &event), ENOENT);
	CHECK_ERRNO(epoll_ctl(epoll, 99, ends[0], &event), EINVAL);
	CHECK_ERRNO(epoll_ctl(5000, EPOLL_CTL_ADD, ends[0], &event), EBADF);
	CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, 5000, &event), EBADF);
	CHECK_ERRNO(epoll_ctl(ends[0], EPOLL_CTL_ADD, ends[1], &event), EINVAL);
	CHECK_ERRNO(epoll_wait(epoll, &event, 0, 0), EINVAL);
	CHECK_ERRNO(epoll_wait(ends[0], &event, 1, 0), EINVAL);
	CHECK_ERRNO(epoll_wait(5000, &event, 1, 0), EBADF);
	CHECK_ERRNO(read(epoll, &event, 1), EINVAL);
}

struct polling {
	uint32_t microseconds;
	uint16_t packets;
	uint8_t is_preferred;
	uint8_t padding;
};

#define SET_POLLING _IOW(0x8A, 1, struct polling)
#define GET_POLLING _IOR(0x8A, 2, struct polling)

TEST(epoll_polls_network_devices)
{
	int epoll = (int)MUST(epoll_create1(0));
	struct polling told = {1, 1, 1, 1}, asked = {50, 16, 1, 0};

	CHECK_EQ(ioctl(epoll, GET_POLLING, &told), 0);
	CHECK(told.microseconds == 0 && told.packets == 0 && told.is_preferred == 0 && told.padding == 0);
	CHECK_EQ(ioctl(epoll, SET_POLLING, &asked), 0);
	CHECK_EQ(ioctl(epoll, GET_POLLING, &told), 0);
	CHECK(memcmp(&told, &asked, sizeof(told)) == 0);
	asked.padding = 1;
	CHECK_ERRNO(ioctl(epoll, SET_POLLING, &asked), EINVAL);
	asked = (struct polling){1, 1, 2, 0};
	CHECK_ERRNO(ioctl(epoll, SET_POLLING, &asked), EINVAL);
	asked = (struct polling){0x80000000, 1, 0, 0};
	CHECK_ERRNO(ioctl(epoll, SET_POLLING, &asked), EINVAL);
	CHECK_ERRNO(ioctl(epoll, SET_POLLING, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(epoll, FIONREAD, &asked), EINVAL);
	drop_root();
	asked = (struct polling){1, 65, 0, 0};
	CHECK_ERRNO(ioctl(epoll, SET_POLLING, &asked), EPERM);
	asked.packets = 64;
	CHECK_EQ(ioctl(epoll, SET_POLLING, &asked), 0);
}

TEST(event_descriptors)
{
	int fd = (int)CHECK_OK(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
	uint64_t value = 4, most = UINT64_MAX - 1, too_much = UINT64_MAX;
	struct pollfd polled = {.fd = fd, .events = POLLIN | POLLOUT};
	pid_t child;

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(fd, &value, 8), 8);
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLIN | POLLOUT);
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 7);
	CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLOUT);
	CHECK_EQ(write(fd, &most, 8), 8);
	value = 1;
	CHECK_ERRNO(write(fd, &value, 8), EAGAIN);
	CHECK_ERRNO(write(fd, &too_much, 8), EINVAL);
	CHECK_ERRNO(write(fd, &value, 4), EINVAL);
	CHECK_ERRNO(read(fd, &value, 4), EINVAL);
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLIN);
	CHECK_ERRNO(eventfd(0, 0x100), EINVAL);
	fd = (int)CHECK_OK(eventfd(2, EFD_SEMAPHORE));
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 1);
	CHECK_EQ(read(fd, &value, 8), 8);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(10);
		MUST(write(fd, &value, 8));
		_exit(0);
	}
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(signal_descriptors)
{
	sigset_t set = set_of(SIGUSR1), other = set_of(SIGUSR2);
	struct signalfd_siginfo info;
	struct pollfd polled = {.events = POLLIN};
	pid_t child;
	int fd;

	block(SIGUSR1);
	block(SIGUSR2);
	block(SIGCHLD);
	fd = (int)CHECK_OK(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	polled.fd = fd;
	CHECK_ERRNO(read(fd, &info, sizeof(info)), EAGAIN);
	CHECK_EQ(poll(&polled, 1, 0), 0);
	MUST(raise(SIGUSR2));
	CHECK_EQ(poll(&polled, 1, 0), 0);
	MUST(kill(getpid(), SIGUSR1));
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
	CHECK_EQ(info.ssi_signo, SIGUSR1);
	CHECK_EQ(info.ssi_code, SI_USER);
	CHECK_EQ(info.ssi_pid, getpid());
	CHECK_EQ(is_pending(SIGUSR1), 0);
	CHECK_EQ(signalfd(fd, &other, 0), fd);
	CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
	CHECK_EQ(info.ssi_signo, SIGUSR2);
	MUST(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 99}));
	CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
	CHECK_EQ(info.ssi_int, 99);
	set = set_of(SIGCHLD);
	fd = (int)CHECK_OK(signalfd(-1, &set, 0));
	child = child_that_exits(17);
	CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
	CHECK_EQ(info.ssi_pid, child);
	CHECK_EQ(info.ssi_status, 17);
	CHECK_EQ(wait_for(child), EXITED(17));
	CHECK_ERRNO(read(fd, &info, 10), EINVAL);
	CHECK_ERRNO(signalfd(-1, &set, 0x100), EINVAL);
	CHECK_ERRNO(signalfd(5000, &set, 0), EBADF);
	CHECK_ERRNO(signalfd((int)MUST(open("/", O_RDONLY)), &set, 0), EINVAL);
}
