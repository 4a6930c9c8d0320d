/* SECCOMP_RET_USER_NOTIF: a supervisor answers for the kernel. */
#include "seccomp_filter.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ANY_ADDFD(size) _IOC(_IOC_WRITE, '!', 3, (size))

static int pass_channel[2];

static void send_fd(int fd)
{
	char byte = 'f', control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	MUST(sendmsg(pass_channel[1], &message, 0));
}

static int receive_fd(void)
{
	char byte, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd = -1;

	MUST(recvmsg(pass_channel[0], &message, 0));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

/* A child with a filter that notifies of `number`; its listener is the parent's, who gets it. */
static pid_t supervised(long number, unsigned int flags, int *listener, void (*body)(void))
{
	pid_t child;

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pass_channel));
	no_new_privs();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		long fd = attach_for(SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, number, SECCOMP_RET_USER_NOTIF);

		MUST(fd);
		send_fd((int)fd);
		close((int)fd);
		body();
		_exit(98);
	}
	*listener = receive_fd();
	close(pass_channel[0]);
	close(pass_channel[1]);
	return child;
}

static int receive(int listener, struct seccomp_notif *notice)
{
	memset(notice, 0, sizeof(*notice));
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notice);
}

static int answer(int listener, uint64_t id, int error, int64_t value, unsigned int flags)
{
	struct seccomp_notif_resp response = {.id = id, .val = value, .error = error, .flags = flags};

	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static int events(int listener)
{
	struct pollfd entry = {listener, POLLIN | POLLOUT, 0};

	MUST(poll(&entry, 1, 0));
	return entry.revents;
}

static void calls_getppid(void)
{
	long result = syscall(SYS_getppid, 11, 22, 33, 44, 55, 0x6666777788889999);

	_exit(result == -1 ? 200 : (int)result & 0x7f);
}

static void shows_errno(void)
{
	_exit(syscall(SYS_getppid) == -1 ? errno : 0);
}

TEST(value)
{
	struct seccomp_notif notice;
	char link[64], text[128];
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, calls_getppid);
	ssize_t length;

	CHECK_EQ(receive(listener, &notice), 0);
	CHECK_EQ(notice.pid, child);
	CHECK_EQ(notice.flags, 0);
	CHECK_EQ(notice.data.nr, SYS_getppid);
	CHECK_EQ(notice.data.arch, AUDIT_ARCH_X86_64);
	CHECK(notice.data.instruction_pointer != 0);
	CHECK_EQ(notice.data.args[0], 11);
	CHECK_EQ(notice.data.args[1], 22);
	CHECK_EQ(notice.data.args[2], 33);
	CHECK_EQ(notice.data.args[3], 44);
	CHECK_EQ(notice.data.args[4], 55);
	CHECK_EQ(notice.data.args[5], 0x6666777788889999);
	CHECK_EQ(answer(listener, notice.id, 0, 42, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(42));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", listener);
	length = readlink(link, text, sizeof(text) - 1);
	text[length > 0 ? length : 0] = '\0';
	CHECK_STRING(text, "anon_inode:seccomp notify");
	CHECK_EQ(fcntl(listener, F_GETFL) & O_ACCMODE, O_RDWR);
	CHECK_ERRNO(read(listener, text, 8), EINVAL);
	CHECK_ERRNO(write(listener, text, 8), EINVAL);
}

TEST(error)
{
	struct seccomp_notif notice;
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, shows_errno);

	MUST(receive(listener, &notice));
	CHECK_EQ(answer(listener, notice.id, -EXDEV, 0, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(EXDEV));
}

TEST(error_before_value)
{
	struct seccomp_notif notice;
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, shows_errno);

	MUST(receive(listener, &notice));
	CHECK_EQ(answer(listener, notice.id, -EDOM, 99, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(EDOM));
}

static void shows_parent(void)
{
	pid_t parent = (pid_t)syscall(SYS_getppid);

	_exit(parent > 0 && parent != getpid() ? 7 : 8);
}

TEST(go_on)
{
	struct seccomp_notif notice;
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, shows_parent);

	MUST(receive(listener, &notice));
	CHECK_ERRNO(answer(listener, notice.id, -1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
	CHECK_ERRNO(answer(listener, notice.id, 0, 1, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
	CHECK_ERRNO(answer(listener, notice.id, 0, 0, 2), EINVAL);
	CHECK_EQ(answer(listener, notice.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), 0);
	CHECK_EQ(wait_for(child), EXITED(7));
}

static void sleeps(void)
{
	struct timespec time = {0, 50000000};
	int64_t before = now_ns(CLOCK_MONOTONIC);
	int result = (int)syscall(SYS_nanosleep, &time, NULL);

	_exit(result == 0 && now_ns(CLOCK_MONOTONIC) - before >= 50000000 ? 9 : 10);
}

/* The call that goes on sleeps as it would have, and isn't notified of again. */
TEST(go_on_and_sleep)
{
	struct seccomp_notif notice;
	int listener;
	pid_t child = supervised(SYS_nanosleep, 0, &listener, sleeps);

	MUST(receive(listener, &notice));
	CHECK_EQ(answer(listener, notice.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), 0);
	CHECK_EQ(wait_for(child), EXITED(9));
	CHECK_EQ(events(listener), POLLHUP);
}

static void opens_nothing(void)
{
	_exit(syscall(SYS_openat, AT_FDCWD, bad_address(), O_RDONLY) == -1 ? errno : 0);
}

TEST(go_on_and_fail)
{
	struct seccomp_notif notice;
	int listener;
	pid_t child = supervised(SYS_openat, 0, &listener, opens_nothing);

	MUST(receive(listener, &notice));
	CHECK_EQ(notice.data.args[1], 8);
	CHECK_EQ(answer(listener, notice.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), 0);
	CHECK_EQ(wait_for(child), EXITED(EFAULT));
}

static void calls_unknown(void)
{
	long first = syscall(0x7ffffff0), second = syscall(0x7ffffff0) == -1 ? errno : 0;

	_exit(first == 5 && second == ENOSYS ? 6 : 7);
}

TEST(a_call_that_there_is_not)
{
	struct seccomp_notif notice;
	int listener;
	pid_t child = supervised(0x7ffffff0, 0, &listener, calls_unknown);

	MUST(receive(listener, &notice));
	CHECK_EQ(notice.data.nr, 0x7ffffff0);
	CHECK_EQ(answer(listener, notice.id, 0, 5, 0), 0);
	MUST(receive(listener, &notice));
	CHECK_EQ(answer(listener, notice.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), 0);
	CHECK_EQ(wait_for(child), EXITED(6));
}

TEST(requests_and_their_errors)
{
	struct seccomp_notif notice;
	uint64_t id;
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, calls_getppid);

	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, bad_address()), EFAULT);
	memset(&notice, 0, sizeof(notice));
	notice.flags = 1;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notice), EINVAL);
	MUST(receive(listener, &notice));
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, bad_address()), EFAULT);
	CHECK_ERRNO(answer(listener, notice.id + 1, 0, 0, 0), ENOENT);
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, bad_address()), EFAULT);
	id = notice.id;
	CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id), 0);
	id++;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id), ENOENT);
	CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1), 0);
	CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 0), 0);
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 2), EINVAL);
	CHECK_ERRNO(ioctl(listener, 0x1234, 0), EINVAL);
	CHECK_ERRNO(ioctl(listener, _IO('!', 9), 0), EINVAL);
	MUST(answer(listener, notice.id, 0, 1, 0));
	CHECK_EQ(wait_for(child), EXITED(1));
	CHECK_ERRNO(answer(listener, notice.id, 0, 1, 0), ENOENT);
	id = notice.id;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id), ENOENT);
	/* Nobody has the filter any more. */
	CHECK_ERRNO(receive(listener, &notice), ENOENT);
	CHECK_EQ(events(listener), POLLHUP);
}

TEST(poll_of_a_listener)
{
	struct seccomp_notif notice;
	struct pollfd entry;
	struct epoll_event event = {.events = EPOLLIN};
	int listener, epoll = (int)MUST(epoll_create1(EPOLL_CLOEXEC));
	pid_t child = supervised(SYS_getppid, 0, &listener, calls_getppid);

	MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event));
	entry = (struct pollfd){listener, POLLIN, 0};
	CHECK_EQ(poll(&entry, 1, 10000), 1);
	CHECK_EQ(entry.revents, POLLIN);
	CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 1);
	CHECK_EQ(event.events, EPOLLIN);
	MUST(receive(listener, &notice));
	CHECK_EQ(events(listener), POLLOUT);
	CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
	MUST(answer(listener, notice.id, 0, 3, 0));
	entry = (struct pollfd){listener, 0, 0};
	CHECK_EQ(poll(&entry, 1, 10000), 1);
	CHECK_EQ(entry.revents, POLLHUP);
	CHECK_EQ(wait_for(child), EXITED(3));
}

static void waits_twice(void)
{
	long first = syscall(SYS_getppid) == -1 ? errno : 0, second = syscall(SYS_getppid) == -1 ? errno : 0;

	_exit(first == ENOSYS && second == ENOSYS ? 13 : 14);
}

/* Without its supervisor a call answers ENOSYS, the one that waits too. */
TEST(a_dying_supervisor)
{
	struct seccomp_notif notice;
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, waits_twice);

	MUST(receive(listener, &notice));
	CHECK_EQ(close(listener), 0);
	CHECK_EQ(wait_for(child), EXITED(13));
}

TEST(a_supervisor_that_never_receives)
{
	struct pollfd entry;
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, waits_twice);

	entry = (struct pollfd){listener, POLLIN, 0};
	MUST(poll(&entry, 1, 10000));
	CHECK_EQ(close(listener), 0);
	CHECK_EQ(wait_for(child), EXITED(13));
}

/* A task that is killed waits no more; what was to be received is counted still. */
TEST(a_dying_task)
{
	struct seccomp_notif notice;
	struct pollfd entry;
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, calls_getppid);

	MUST(receive(listener, &notice));
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_ERRNO(answer(listener, notice.id, 0, 1, 0), ENOENT);
	close(listener);
	child = supervised(SYS_getppid, 0, &listener, calls_getppid);
	entry = (struct pollfd){listener, POLLIN, 0};
	MUST(poll(&entry, 1, 10000));
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_ERRNO(receive(listener, &notice), ENOENT);
}

static volatile sig_atomic_t handled;

static void on_signal(int signal)
{
	(void)signal;
	handled++;
}

static void is_interrupted(void)
{
	long result;

	handle(SIGUSR1, on_signal, 0);
	result = syscall(SYS_getppid);
	_exit(result == -1 && errno == EINTR && handled == 1 ? 21 : 22);
}

static void is_restarted(void)
{
	handle(SIGUSR1, on_signal, SA_RESTART);
	_exit(syscall(SYS_getppid) == 5 && handled == 1 ? 23 : 24);
}

static void await_sleep(pid_t child)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	for (int tries = 0; tries < 1000; tries++) {
		int fd = open(path, O_RDONLY);
		ssize_t length = read(fd, line, sizeof(line) - 1);

		close(fd);
		line[length > 0 ? length : 0] = '\0';
		if (strstr(line, ") S ") != NULL || strstr(line, ") D ") != NULL)
			return;
		sleep_ms(2);
	}
}

TEST(a_signal_ends_the_wait)
{
	struct seccomp_notif notice;
	int listener;
	uint64_t id;
	pid_t child = supervised(SYS_getppid, 0, &listener, is_interrupted);

	MUST(receive(listener, &notice));
	id = notice.id;
	await_sleep(child);
	MUST(kill(child, SIGUSR1));
	CHECK_EQ(wait_for(child), EXITED(21));
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id), ENOENT);
}

TEST(a_signal_and_a_new_notice)
{
	struct seccomp_notif notice, again;
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, is_restarted);

	MUST(receive(listener, &notice));
	await_sleep(child);
	MUST(kill(child, SIGUSR1));
	MUST(receive(listener, &again));
	CHECK_EQ(again.id, notice.id + 1);
	CHECK_ERRNO(answer(listener, notice.id, 0, 5, 0), ENOENT);
	CHECK_EQ(answer(listener, again.id, 0, 5, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(23));
}

static void is_not_interrupted(void)
{
	handle(SIGUSR1, on_signal, 0);
	_exit(syscall(SYS_getppid) == 6 && handled == 1 ? 25 : 26);
}

TEST(killable_once_received)
{
	struct seccomp_notif notice;
	int listener;
	uint64_t id;
	pid_t child = supervised(SYS_getppid, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &listener, is_not_interrupted);

	MUST(receive(listener, &notice));
	id = notice.id;
	await_sleep(child);
	MUST(kill(child, SIGUSR1));
	sleep_ms(20);
	CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id), 0);
	CHECK_EQ(answer(listener, notice.id, 0, 6, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(25));
	close(listener);
	child = supervised(SYS_getppid, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &listener, is_interrupted);
	await_sleep(child);
	sleep_ms(20);
	MUST(kill(child, SIGUSR1));
	CHECK_EQ(wait_for(child), EXITED(21));
	close(listener);
	child = supervised(SYS_getppid, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &listener, calls_getppid);
	MUST(receive(listener, &notice));
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

static void reads_what_it_gets(void)
{
	char byte = 0;
	int fd = (int)syscall(SYS_getppid);

	if (read(fd, &byte, 1) != 1 || byte != 'q')
		_exit(31);
	_exit(fcntl(fd, F_GETFD) == FD_CLOEXEC ? 32 : 33);
}

TEST(descriptor_is_added)
{
	struct seccomp_notif notice;
	struct seccomp_notif_addfd added = {0};
	int listener, ends[2], fd;
	pid_t child = supervised(SYS_getppid, 0, &listener, reads_what_it_gets);

	MUST(pipe2(ends, O_CLOEXEC));
	write_all(ends[1], "q", 1);
	MUST(receive(listener, &notice));
	added.id = notice.id;
	added.srcfd = (uint32_t)ends[0];
	added.newfd_flags = O_CLOEXEC;
	added.flags = 4;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), EINVAL);
	added.flags = 0;
	added.newfd = 5;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), EINVAL);
	added.newfd = 0;
	added.newfd_flags = O_NONBLOCK;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), EINVAL);
	added.newfd_flags = O_CLOEXEC;
	added.srcfd = 999;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), EBADF);
	added.srcfd = (uint32_t)ends[0];
	added.id++;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), ENOENT);
	added.id--;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(listener, ANY_ADDFD(16), &added), EINVAL);
	CHECK_ERRNO(ioctl(listener, _IOC(_IOC_READ | _IOC_WRITE, '!', 3, sizeof added), bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(listener, _IOC(_IOC_NONE, '!', 3, sizeof added), bad_address()), EFAULT);
	fd = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added);
	CHECK(fd >= 0);
	CHECK_EQ(answer(listener, notice.id, 0, fd, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(32));
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), ENOENT);
}

TEST(larger_structures)
{
	struct seccomp_notif notice;
	struct {
		struct seccomp_notif_addfd known;
		uint64_t more;
	} added = {0};
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, calls_getppid);

	MUST(receive(listener, &notice));
	added.known.id = notice.id;
	added.known.srcfd = 1;
	added.more = 1;
	CHECK_ERRNO(ioctl(listener, ANY_ADDFD(sizeof(added)), &added), E2BIG);
	added.more = 0;
	CHECK(ioctl(listener, ANY_ADDFD(sizeof(added)), &added) >= 0);
	CHECK_ERRNO(ioctl(listener, ANY_ADDFD(4096), &added), EINVAL);
	MUST(answer(listener, notice.id, 0, 3, 0));
	CHECK_EQ(wait_for(child), EXITED(3));
}

static void reads_90(void)
{
	char byte = 0;
	long result = syscall(SYS_getppid);

	if (read(90, &byte, 1) != 1 || byte != 'r')
		_exit(41);
	_exit(fcntl(90, F_GETFD) == 0 ? (int)result : 43);
}

TEST(descriptor_of_a_number)
{
	struct seccomp_notif notice;
	struct seccomp_notif_addfd added = {0};
	struct rlimit limit;
	int listener, ends[2];
	pid_t child = supervised(SYS_getppid, 0, &listener, reads_90);

	MUST(getrlimit(RLIMIT_NOFILE, &limit));
	MUST(pipe2(ends, O_CLOEXEC));
	write_all(ends[1], "r", 1);
	MUST(receive(listener, &notice));
	added.id = notice.id;
	added.srcfd = (uint32_t)ends[0];
	added.flags = SECCOMP_ADDFD_FLAG_SETFD;
	added.newfd = (uint32_t)limit.rlim_cur;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), EBADF);
	added.newfd = 90;
	CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), 90);
	CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), 90);
	CHECK_EQ(answer(listener, notice.id, 0, 44, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(44));
}

static void is_sent(void)
{
	char byte = 0;
	int fd = (int)syscall(SYS_getppid);

	_exit(fd > 2 && read(fd, &byte, 1) == 1 && byte == 's' ? 51 : 52);
}

static void has_no_room(void)
{
	struct rlimit none = {0, 0};

	MUST(setrlimit(RLIMIT_NOFILE, &none));
	_exit(syscall(SYS_getppid) == 8 ? 53 : 54);
}

TEST(descriptor_is_sent)
{
	struct seccomp_notif notice;
	struct seccomp_notif_addfd added = {0};
	int listener, ends[2];
	pid_t child = supervised(SYS_getppid, 0, &listener, is_sent);

	MUST(pipe2(ends, O_CLOEXEC));
	write_all(ends[1], "s", 1);
	added.srcfd = (uint32_t)ends[0];
	added.flags = SECCOMP_ADDFD_FLAG_SEND;
	MUST(receive(listener, &notice));
	added.id = notice.id;
	CHECK(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added) >= 3);
	CHECK_EQ(wait_for(child), EXITED(51));
	close(listener);
	child = supervised(SYS_getppid, 0, &listener, has_no_room);
	MUST(receive(listener, &notice));
	added.id = notice.id;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), EMFILE);
	added.flags = 0;
	CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added), EMFILE);
	CHECK_EQ(answer(listener, notice.id, 0, 8, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(53));
}

TEST(one_listener)
{
	int listener;

	no_new_privs();
	listener = (int)CHECK_OK(attach_for(SECCOMP_FILTER_FLAG_NEW_LISTENER, SYS_getppid, SECCOMP_RET_USER_NOTIF));
	CHECK_EQ(fcntl(listener, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(attach_for(SECCOMP_FILTER_FLAG_NEW_LISTENER, SYS_getpgrp, SECCOMP_RET_USER_NOTIF), EBUSY);
	CHECK_EQ(attach_for(0, SYS_getpgrp, SECCOMP_RET_USER_NOTIF), 0);
	/* The filter that has answered has no listener. */
	CHECK_ERRNO(syscall(SYS_getpgrp), ENOSYS);
	CHECK_EQ(close(listener), 0);
	CHECK_ERRNO(syscall(SYS_getppid), ENOSYS);
	listener = (int)CHECK_OK(attach_for(SECCOMP_FILTER_FLAG_NEW_LISTENER, SYS_getuid, SECCOMP_RET_USER_NOTIF));
	CHECK_EQ(events(listener), 0);
}

TEST(no_room_for_a_listener)
{
	struct rlimit limit;

	no_new_privs();
	MUST(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 0;
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_ERRNO(attach_for(SECCOMP_FILTER_FLAG_NEW_LISTENER, SYS_getppid, SECCOMP_RET_USER_NOTIF), EMFILE);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
}

static void has_a_child(void)
{
	pid_t child = fork();

	if (child == 0)
		calls_getppid();
	_exit(WEXITSTATUS(wait_for(child)) + 1);
}

/* A child of the supervised is supervised by the same. */
TEST(of_a_grandchild)
{
	struct seccomp_notif notice;
	int listener;
	pid_t child = supervised(SYS_getppid, 0, &listener, has_a_child);

	MUST(receive(listener, &notice));
	CHECK(notice.pid != (uint32_t)child);
	CHECK_EQ(answer(listener, notice.id, 0, 60, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(61));
}

static int listener_of_thread;

static void *supervise(void *argument)
{
	struct seccomp_notif notice;

	(void)argument;
	if (receive(listener_of_thread, &notice) == 0)
		answer(listener_of_thread, notice.id, 0, (int)notice.pid, 0);
	return NULL;
}

/* A thread answers for another of its process. */
TEST(by_a_thread)
{
	pthread_t thread;
	pid_t self = (pid_t)syscall(SYS_gettid);

	no_new_privs();
	listener_of_thread =
		(int)MUST(attach_for(SECCOMP_FILTER_FLAG_NEW_LISTENER, SYS_getppid, SECCOMP_RET_USER_NOTIF));
	MUST(pthread_create(&thread, NULL, supervise, NULL) == 0 ? 0 : -1);
	CHECK_EQ(syscall(SYS_getppid), self);
	pthread_join(thread, NULL);
}
