/* Local sockets: unix(7), socketpair(2), sendmsg(2), recvmsg(2), SCM_RIGHTS, SCM_CREDENTIALS. */
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

/* linux/un.h, which the C library's header excludes. */
#define SIOCUNIXFILE 0x89E0

#define POLL_ALL (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLWRBAND)
#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM | POLLWRBAND)
#define HUNG_UP (READABLE | WRITABLE | POLLHUP | POLLRDHUP)
#define MSG_FOR_32_BITS ((int)0x80000000)

static char block_of_data[300000];
static volatile sig_atomic_t signals_seen;

static void count_signal(int signal)
{
	(void)signal;
	signals_seen++;
}

static int events_of(int fd)
{
	struct pollfd polled = {.fd = fd, .events = POLL_ALL};

	MUST(poll(&polled, 1, 0));
	return polled.revents & 0xffff;
}

static void make_non_blocking(int fd)
{
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
}

static int new_socket(int type)
{
	return (int)MUST(socket(AF_UNIX, type, 0));
}

static void make_pair(int type, int ends[2])
{
	MUST(socketpair(AF_UNIX, type, 0, ends));
}

/* Fills in an address and returns its length; a name that begins with '@' is abstract. */
static socklen_t address_of(struct sockaddr_un *address, const char *name)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, name, strlen(name));
	if (name[0] == '@') {
		address->sun_path[0] = '\0';
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	}
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
}

static int bind_to(int fd, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = address_of(&address, name);

	return bind(fd, (struct sockaddr *)&address, length);
}

static int connect_to(int fd, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = address_of(&address, name);

	return connect(fd, (struct sockaddr *)&address, length);
}

static long send_to(int fd, const char *text, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = address_of(&address, name);

	return sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, length);
}

/* An abstract name that no other process has. */
static const char *own_name(const char *suffix)
{
	static char name[60];

	snprintf(name, sizeof(name), "@procession-%d-%s", getpid(), suffix);
	return name;
}

static int listener_at(int type, const char *name, int backlog)
{
	int fd = new_socket(type);

	MUST(bind_to(fd, name));
	MUST(listen(fd, backlog));
	return fd;
}

static long send_descriptors(int fd, const char *text, const int *fds, size_t count)
{
	char control[CMSG_SPACE(260 * sizeof(int))] = {0};
	struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
	struct cmsghdr *header;

	message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	return sendmsg(fd, &message, 0);
}

struct receipt {
	char text[64];
	long length;
	int flags;
	int fds[8];
	size_t fd_count;
	struct ucred credentials;
	int has_credentials;
	size_t control_length;
};

static struct receipt receive_all(int fd, size_t control_room, int flags)
{
	struct receipt receipt = {.text = ""};
	char control[256];
	struct iovec part = {receipt.text, sizeof(receipt.text) - 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = control_room};

	receipt.length = recvmsg(fd, &message, flags);
	receipt.flags = message.msg_flags;
	receipt.control_length = message.msg_controllen;
	if (receipt.length < 0)
		return receipt;
	receipt.text[receipt.length] = '\0';
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_type == SCM_RIGHTS) {
			receipt.fd_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(receipt.fds, CMSG_DATA(header), receipt.fd_count * sizeof(int));
		} else if (header->cmsg_type == SCM_CREDENTIALS) {
			receipt.has_credentials = 1;
			memcpy(&receipt.credentials, CMSG_DATA(header), sizeof(struct ucred));
		}
	}
	return receipt;
}

static int option_of(int fd, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	MUST(getsockopt(fd, SOL_SOCKET, name, &value, &length));
	return value;
}

static void set_option(int fd, int name, int value)
{
	MUST(setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value)));
}

TEST(kinds_of_socket)
{
	int ends[2];

	CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, AF_UNIX));
	CHECK_OK(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	CHECK_OK(socket(AF_UNIX, SOCK_RAW, 0));
	CHECK_ERRNO(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_UNIX, 11, 0), EINVAL);
	CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 2), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM | 0x100, 0), EINVAL);
	CHECK_ERRNO(socket(1000, SOCK_STREAM, 0), EAFNOSUPPORT);
	CHECK_ERRNO(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
	CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, bad_address()), EFAULT);
	CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 3, ends), EPROTONOSUPPORT);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(ends[1], F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR | O_NONBLOCK);
	CHECK_EQ(option_of(ends[0], SO_DOMAIN), AF_UNIX);
	CHECK_EQ(option_of(ends[0], SO_TYPE), SOCK_STREAM);
	CHECK_EQ(option_of(ends[0], SO_PROTOCOL), 0);
	CHECK_EQ(option_of(ends[0], SO_ACCEPTCONN), 0);
}

TEST(descriptors_that_are_no_sockets)
{
	int file = (int)MUST(open("/dev/null", O_RDWR)), path = (int)MUST(open("/", O_PATH));
	char byte;

	CHECK_ERRNO(send(file, "x", 1, 0), ENOTSOCK);
	CHECK_ERRNO(recv(file, &byte, 1, 0), ENOTSOCK);
	CHECK_ERRNO(listen(file, 1), ENOTSOCK);
	CHECK_ERRNO(listen(path, 1), EBADF);
	CHECK_ERRNO(listen(999, 1), EBADF);
	CHECK_ERRNO(shutdown(-1, SHUT_RD), EBADF);
}

TEST(the_file_of_a_socket)
{
	int ends[2], number = 0;
	struct stat status;
	char link[64], path[64];
	long length;

	make_pair(SOCK_STREAM, ends);
	CHECK_EQ(fstat(ends[0], &status), 0);
	CHECK_EQ(status.st_mode, S_IFSOCK | 0777);
	CHECK_EQ(status.st_uid, geteuid());
	CHECK_EQ(status.st_size, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
	length = MUST(readlink(path, link, sizeof(link) - 1));
	link[length] = '\0';
	CHECK_EQ(sscanf(link, "socket:[%d]", &number), 1);
	CHECK_EQ(number, status.st_ino);
	CHECK_ERRNO(open(path, O_RDWR), ENXIO);
	CHECK_ERRNO(lseek(ends[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERRNO(pread(ends[0], link, 1, 0), ESPIPE);
	CHECK_ERRNO(ftruncate(ends[0], 0), EINVAL);
	CHECK_ERRNO(fsync(ends[0]), EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, ends[0], 0) == MAP_FAILED);
	CHECK_EQ(errno, ENODEV);
	CHECK_EQ(fchmod(ends[0], 0700), 0);
	MUST(fstat(ends[0], &status));
	CHECK_EQ(status.st_mode, S_IFSOCK | 0700);
}

TEST(a_stream_has_no_boundaries)
{
	int ends[2], bytes = -1;
	char text[20] = "";

	make_pair(SOCK_STREAM, ends);
	CHECK_EQ(events_of(ends[0]), WRITABLE);
	CHECK_EQ(write(ends[0], "hello ", 6), 6);
	CHECK_EQ(send(ends[0], "world", 5, 0), 5);
	CHECK_EQ(events_of(ends[1]), READABLE | WRITABLE);
	CHECK_EQ(ioctl(ends[1], FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 11);
	CHECK_EQ(read(ends[1], text, 3), 3);
	CHECK_EQ(ioctl(ends[1], FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 8);
	CHECK_EQ(recv(ends[1], text, sizeof(text), MSG_PEEK), 8);
	CHECK_STRING(text, "lo world");
	memset(text, 0, sizeof(text));
	CHECK_EQ(recv(ends[1], text, sizeof(text), 0), 8);
	CHECK_STRING(text, "lo world");
	CHECK_ERRNO(recv(ends[1], text, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(ends[0], "", 0, 0), 0);
	CHECK_ERRNO(recv(ends[1], text, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(read(ends[1], text, 0), 0);
	CHECK_ERRNO(send(ends[0], bad_address(), 10, 0), EFAULT);
	MUST(write(ends[0], "kept", 4));
	CHECK_ERRNO(recv(ends[1], bad_address(), 10, 0), EFAULT);
	CHECK_EQ(recv(ends[1], text, sizeof(text), 0), 4);
}

TEST(vectors)
{
	int ends[2];
	char one[4] = "", two[8] = "";
	struct iovec out[3] = {{(char *)"ab", 2}, {(char *)"", 0}, {(char *)"cdef", 4}};
	struct iovec in[2] = {{one, 3}, {two, 7}};

	make_pair(SOCK_STREAM, ends);
	CHECK_EQ(writev(ends[0], out, 3), 6);
	CHECK_EQ(readv(ends[1], in, 2), 6);
	CHECK_STRING(one, "abc");
	CHECK_STRING(two, "def");
	make_pair(SOCK_DGRAM, ends);
	CHECK_EQ(writev(ends[0], out, 3), 6);
	CHECK_EQ(writev(ends[0], out, 1), 2);
	CHECK_EQ(readv(ends[1], in, 2), 6);
	CHECK_EQ(readv(ends[1], in, 2), 2);
}

TEST(datagrams_keep_boundaries)
{
	int ends[2], bytes = -1;
	char text[20] = "";

	make_pair(SOCK_DGRAM, ends);
	CHECK_EQ(send(ends[0], "first", 5, 0), 5);
	CHECK_EQ(write(ends[0], "", 0), 0);
	CHECK_EQ(send(ends[0], "third!", 6, 0), 6);
	CHECK_EQ(ioctl(ends[1], FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 5);
	CHECK_EQ(recv(ends[1], text, 2, MSG_PEEK), 2);
	CHECK_EQ(recv(ends[1], text, 2, MSG_PEEK | MSG_TRUNC), 5);
	CHECK_EQ(recv(ends[1], text, sizeof(text), 0), 5);
	CHECK_EQ(recv(ends[1], text, sizeof(text), 0), 0);
	CHECK_EQ(recv(ends[1], text, 2, 0), 2);
	CHECK_ERRNO(recv(ends[1], text, 2, MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(send(ends[0], block_of_data, sizeof(block_of_data), 0), EMSGSIZE);
	CHECK_EQ(read(ends[1], text, 0), 0);
}

TEST(sequenced_packets)
{
	int ends[2];
	char text[20] = "";
	struct receipt receipt;

	make_pair(SOCK_SEQPACKET, ends);
	CHECK_EQ(send(ends[0], "first", 5, MSG_EOR), 5);
	CHECK_EQ(send(ends[0], "second", 6, 0), 6);
	CHECK_EQ(recv(ends[1], text, sizeof(text), 0), 5);
	receipt = receive_all(ends[1], 0, 0);
	CHECK_STRING(receipt.text, "second");
	CHECK_EQ(receipt.flags, 0);
	CHECK_EQ(send(ends[0], block_of_data, 100, 0), 100);
	receipt = receive_all(ends[1], 0, 0);
	CHECK_EQ(receipt.length, 63);
	CHECK_EQ(receipt.flags, MSG_TRUNC);
	CHECK_EQ(close(ends[0]), 0);
	CHECK_EQ(recv(ends[1], text, 1, 0), 0);
	handle(SIGPIPE, count_signal, 0);
	CHECK_ERRNO(send(ends[1], "x", 1, 0), EPIPE);
	CHECK_EQ(signals_seen, 0);
}

TEST(broken_pipe)
{
	int ends[2];
	char byte;

	handle(SIGPIPE, count_signal, 0);
	make_pair(SOCK_STREAM, ends);
	MUST(write(ends[0], "ab", 2));
	MUST(close(ends[0]));
	CHECK_EQ(events_of(ends[1]), HUNG_UP);
	CHECK_ERRNO(send(ends[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(signals_seen, 0);
	CHECK_ERRNO(send(ends[1], "x", 1, 0), EPIPE);
	CHECK_EQ(signals_seen, 1);
	CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
	CHECK_EQ(signals_seen, 2);
	CHECK_EQ(read(ends[1], &byte, 1), 1);
	CHECK_EQ(read(ends[1], &byte, 1), 1);
	CHECK_EQ(read(ends[1], &byte, 1), 0);
	CHECK_EQ(read(ends[1], &byte, 1), 0);
}

TEST(closing_with_unread_bytes_resets)
{
	int ends[2];
	char byte;

	make_pair(SOCK_STREAM, ends);
	MUST(write(ends[1], "ab", 2));
	MUST(close(ends[0]));
	CHECK_EQ(events_of(ends[1]), HUNG_UP | POLLERR);
	CHECK_ERRNO(read(ends[1], &byte, 1), ECONNRESET);
	CHECK_EQ(read(ends[1], &byte, 1), 0);
	CHECK_EQ(events_of(ends[1]), HUNG_UP);
	make_pair(SOCK_STREAM, ends);
	MUST(write(ends[1], "ab", 2));
	MUST(close(ends[0]));
	CHECK_EQ(option_of(ends[1], SO_ERROR), ECONNRESET);
	CHECK_EQ(option_of(ends[1], SO_ERROR), 0);
	CHECK_EQ(read(ends[1], &byte, 1), 0);
}

TEST(shutdown_of_one_way)
{
	int ends[2];
	char byte;

	handle(SIGPIPE, SIG_IGN, 0);
	make_pair(SOCK_STREAM, ends);
	CHECK_ERRNO(shutdown(ends[0], 3), EINVAL);
	CHECK_ERRNO(shutdown(ends[0], -1), EINVAL);
	MUST(write(ends[0], "a", 1));
	CHECK_EQ(shutdown(ends[0], SHUT_WR), 0);
	CHECK_EQ(events_of(ends[0]), WRITABLE);
	CHECK_EQ(events_of(ends[1]), READABLE | WRITABLE | POLLRDHUP);
	CHECK_ERRNO(write(ends[0], "b", 1), EPIPE);
	CHECK_EQ(read(ends[1], &byte, 1), 1);
	CHECK_EQ(read(ends[1], &byte, 1), 0);
	CHECK_EQ(write(ends[1], "c", 1), 1);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	CHECK_EQ(shutdown(ends[0], SHUT_RD), 0);
	CHECK_ERRNO(write(ends[1], "d", 1), EPIPE);
	CHECK_EQ(read(ends[0], &byte, 1), 0);
	CHECK_EQ(events_of(ends[0]), HUNG_UP);
	make_pair(SOCK_DGRAM, ends);
	CHECK_EQ(shutdown(ends[1], SHUT_RD), 0);
	CHECK_ERRNO(send(ends[0], "x", 1, 0), EPIPE);
	CHECK_EQ(recv(ends[1], &byte, 1, 0), 0);
	CHECK_ERRNO(recv(ends[1], &byte, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(buffers_are_bounded)
{
	int ends[2], queued;
	long total = 0, got, freed = 0;

	make_pair(SOCK_STREAM, ends);
	CHECK_EQ(option_of(ends[0], SO_SNDBUF), 212992);
	make_non_blocking(ends[0]);
	while ((got = write(ends[0], block_of_data, 4096)) > 0)
		total += got;
	CHECK_EQ(got, -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK(total > 100000 && total < 300000);
	CHECK_EQ(events_of(ends[0]), 0);
	CHECK_EQ(ioctl(ends[0], TIOCOUTQ, &queued), 0);
	CHECK(queued >= total);
	while (events_of(ends[0]) == 0)
		freed += MUST(read(ends[1], block_of_data, 4096));
	CHECK(freed >= total / 2);
	set_option(ends[0], SO_SNDBUF, 10000);
	CHECK_EQ(option_of(ends[0], SO_SNDBUF), 20000);
	set_option(ends[0], SO_SNDBUF, 1);
	CHECK_EQ(option_of(ends[0], SO_SNDBUF), 4608);
	set_option(ends[0], SO_RCVBUF, 1);
	CHECK_EQ(option_of(ends[0], SO_RCVBUF), 2304);
}

TEST(a_writer_waits_for_its_reader)
{
	int ends[2], status;
	long total = 0, got;
	pid_t child;

	make_pair(SOCK_STREAM, ends);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		close(ends[0]);
		_exit(write(ends[1], block_of_data, sizeof(block_of_data)) != sizeof(block_of_data));
	}
	MUST(close(ends[1]));
	while ((got = MUST(read(ends[0], block_of_data, 10000))) > 0)
		total += got;
	status = wait_for(child);
	CHECK_EQ(status, EXITED(0));
	CHECK_EQ(total, sizeof(block_of_data));
}

TEST(waiting_for_all_bytes)
{
	int ends[2];
	char text[20] = "";
	pid_t child;

	make_pair(SOCK_STREAM, ends);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		for (int part = 0; part < 5; part++) {
			write_all(ends[1], "ab", 2);
			sleep_ms(20);
		}
		_exit(0);
	}
	CHECK_EQ(recv(ends[0], text, 8, MSG_WAITALL), 8);
	CHECK_STRING(text, "abababab");
	wait_for(child);
	MUST(close(ends[1]));
	CHECK_EQ(recv(ends[0], text, 8, MSG_WAITALL), 2);
	CHECK_EQ(recv(ends[0], text, 8, MSG_WAITALL), 0);
}

TEST(timeouts)
{
	int ends[2];
	char byte;
	struct timeval timeout = {0, 50000}, bad = {0, 2000000}, got;
	socklen_t length = sizeof(got);
	int64_t start;

	make_pair(SOCK_STREAM, ends);
	CHECK_ERRNO(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, 8), EINVAL);
	CHECK_ERRNO(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof(bad)), EDOM);
	CHECK_EQ(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	CHECK_EQ(getsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &got, &length), 0);
	CHECK(got.tv_sec == 0 && got.tv_usec >= 50000 && got.tv_usec < 70000);
	start = now_ns(CLOCK_MONOTONIC);
	CHECK_ERRNO(recv(ends[0], &byte, 1, 0), EAGAIN);
	CHECK(now_ns(CLOCK_MONOTONIC) - start >= 49000000);
	CHECK_ERRNO(read(ends[0], &byte, 1), EAGAIN);
	CHECK_EQ(setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	CHECK(write(ends[0], block_of_data, sizeof(block_of_data)) > 100000);
	CHECK_ERRNO(write(ends[0], block_of_data, 1), EAGAIN);
}

static void alarm_in_50_ms(void)
{
	struct itimerval soon = {{0, 0}, {0, 50000}};

	MUST(setitimer(ITIMER_REAL, &soon, NULL));
}

TEST(interruptions)
{
	int ends[2], listener;
	char byte;
	struct timeval timeout = {5, 0};
	pid_t child;

	make_pair(SOCK_STREAM, ends);
	handle(SIGALRM, count_signal, 0);
	alarm_in_50_ms();
	CHECK_ERRNO(recv(ends[0], &byte, 1, 0), EINTR);
	CHECK_EQ(signals_seen, 1);
	/* With a timeout a call isn't restarted, whatever the handler's flags. */
	handle(SIGALRM, count_signal, SA_RESTART);
	MUST(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)));
	alarm_in_50_ms();
	CHECK_ERRNO(recv(ends[0], &byte, 1, 0), EINTR);
	CHECK_EQ(signals_seen, 2);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(150);
		write_all(ends[0], "x", 1);
		_exit(0);
	}
	alarm_in_50_ms();
	CHECK_EQ(recv(ends[1], &byte, 1, 0), 1);
	CHECK_EQ(signals_seen, 3);
	wait_for(child);
	listener = listener_at(SOCK_STREAM, own_name("interrupted"), 1);
	handle(SIGALRM, count_signal, 0);
	alarm_in_50_ms();
	CHECK_ERRNO(accept(listener, NULL, NULL), EINTR);
	/* What has been written when the signal comes is the result. */
	alarm_in_50_ms();
	CHECK(write(ends[1], block_of_data, sizeof(block_of_data)) > 100000);
}

TEST(names_in_the_file_system)
{
	struct sockaddr_un address;
	socklen_t length = sizeof(address);
	struct stat status;
	int fd = new_socket(SOCK_STREAM), other = new_socket(SOCK_STREAM), client = new_socket(SOCK_STREAM);

	enter_scratch();
	umask(022);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, 2);
	CHECK_EQ(address.sun_family, AF_UNIX);
	CHECK_EQ(bind_to(fd, "name"), 0);
	CHECK_EQ(lstat("name", &status), 0);
	CHECK_EQ(status.st_mode, S_IFSOCK | 0755);
	length = sizeof(address);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, 2 + 5);
	CHECK_STRING(address.sun_path, "name");
	length = 4;
	memset(&address, 'x', sizeof(address));
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, 2 + 5);
	CHECK_EQ(address.sun_path[2], 'x');
	length = (socklen_t)-1;
	CHECK_ERRNO(getsockname(fd, (struct sockaddr *)&address, &length), EINVAL);
	CHECK_ERRNO(bind_to(fd, "again"), EINVAL);
	CHECK_ERRNO(lstat("again", &status), ENOENT);
	CHECK_ERRNO(bind_to(other, "name"), EADDRINUSE);
	CHECK_ERRNO(bind_to(other, "none/name"), ENOENT);
	CHECK_ERRNO(bind_to(other, "name/name"), ENOTDIR);
	CHECK_ERRNO(connect_to(client, "name"), ECONNREFUSED);
	CHECK_ERRNO(connect_to(client, "none"), ENOENT);
	write_file("file", "", 0644);
	CHECK_ERRNO(connect_to(client, "file"), ECONNREFUSED);
	CHECK_EQ(listen(fd, 5), 0);
	CHECK_EQ(option_of(fd, SO_ACCEPTCONN), 1);
	CHECK_ERRNO(connect_to(new_socket(SOCK_DGRAM), "name"), EPROTOTYPE);
	MUST(symlink("name", "link"));
	CHECK_EQ(connect_to(client, "link"), 0);
	length = sizeof(address);
	CHECK_EQ(getpeername(client, (struct sockaddr *)&address, &length), 0);
	CHECK_STRING(address.sun_path, "name");
	CHECK_ERRNO(open("name", O_RDWR), ENXIO);
	MUST(close(fd));
	CHECK_EQ(lstat("name", &status), 0);
	CHECK_ERRNO(connect_to(new_socket(SOCK_STREAM), "name"), ECONNREFUSED);
	CHECK_ERRNO(bind_to(other, "name"), EADDRINUSE);
	CHECK_EQ(unlink("name"), 0);
	CHECK_EQ(bind_to(other, "name"), 0);
}

TEST(lengths_of_addresses)
{
	struct sockaddr_un address;
	char long_name[sizeof(address) + 10];
	socklen_t length = sizeof(long_name);
	int fd = new_socket(SOCK_STREAM);
	struct sockaddr *plain = (struct sockaddr *)&address;

	enter_scratch();
	address_of(&address, "name");
	CHECK_ERRNO(bind(fd, plain, 1), EINVAL);
	CHECK_ERRNO(bind(fd, plain, sizeof(address) + 1), EINVAL);
	CHECK_ERRNO(bind(fd, plain, 200), EINVAL);
	CHECK_ERRNO(bind(fd, plain, (socklen_t)-1), EINVAL);
	CHECK_ERRNO(bind(fd, bad_address(), 20), EFAULT);
	CHECK_ERRNO(connect(fd, plain, 2), EINVAL);
	address.sun_family = AF_INET;
	CHECK_ERRNO(bind(fd, plain, sizeof(address)), EINVAL);
	address.sun_family = AF_UNIX;
	/* A name may fill all of sun_path, without a NUL. */
	memset(address.sun_path, 'n', sizeof(address.sun_path));
	CHECK_EQ(bind(fd, plain, sizeof(address)), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)long_name, &length), 0);
	CHECK_EQ(length, sizeof(address) + 1);
	CHECK_EQ(long_name[sizeof(address)], 0);
	/* A NUL ends it wherever it is. */
	address_of(&address, "short");
	fd = new_socket(SOCK_STREAM);
	CHECK_EQ(bind(fd, plain, sizeof(address)), 0);
	length = sizeof(address);
	CHECK_EQ(getsockname(fd, plain, &length), 0);
	CHECK_EQ(length, 2 + 6);
}

TEST(abstract_names)
{
	struct sockaddr_un address;
	socklen_t length = sizeof(address);
	int fd = new_socket(SOCK_STREAM), other = new_socket(SOCK_STREAM), client = new_socket(SOCK_STREAM);
	const char *name = own_name("abstract");

	CHECK_EQ(bind_to(fd, name), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, 2 + strlen(name));
	CHECK_EQ(address.sun_path[0], 0);
	CHECK_ERRNO(bind_to(fd, own_name("other")), EINVAL);
	name = own_name("abstract");
	CHECK_ERRNO(bind_to(other, name), EADDRINUSE);
	CHECK_ERRNO(connect_to(client, own_name("nobody")), ECONNREFUSED);
	MUST(listen(fd, 1));
	CHECK_EQ(connect_to(client, own_name("abstract")), 0);
	MUST(close(fd));
	CHECK_EQ(bind_to(other, own_name("abstract")), 0);
	/* Without a name the kernel chooses one of five digits. */
	fd = new_socket(SOCK_DGRAM);
	address.sun_family = AF_UNIX;
	CHECK_EQ(bind(fd, (struct sockaddr *)&address, 2), 0);
	length = sizeof(address);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, 2 + 6);
	CHECK_EQ(address.sun_path[0], 0);
	CHECK_EQ(strspn(address.sun_path + 1, "0123456789abcdef") >= 5, 1);
}

TEST(connections)
{
	const char *name = own_name("connections");
	struct sockaddr_un address;
	socklen_t length = sizeof(address);
	int listener = new_socket(SOCK_STREAM), client = new_socket(SOCK_STREAM), accepted;
	char text[10] = "";

	CHECK_ERRNO(listen(listener, 1), EINVAL);
	MUST(bind_to(listener, name));
	CHECK_ERRNO(accept(listener, NULL, NULL), EINVAL);
	CHECK_ERRNO(connect_to(client, name), ECONNREFUSED);
	CHECK_EQ(listen(listener, 5), 0);
	CHECK_EQ(events_of(listener), 0);
	CHECK_EQ(events_of(client), WRITABLE | POLLHUP);
	CHECK_ERRNO(getpeername(client, (struct sockaddr *)&address, &length), ENOTCONN);
	CHECK_ERRNO(send(client, "x", 1, 0), ENOTCONN);
	CHECK_ERRNO(recv(client, text, 1, 0), EINVAL);
	CHECK_EQ(connect_to(client, name), 0);
	CHECK_ERRNO(connect_to(client, name), EISCONN);
	CHECK_ERRNO(send_to(client, "x", name), EISCONN);
	CHECK_EQ(events_of(listener), READABLE);
	CHECK_EQ(write(client, "early", 5), 5);
	CHECK_ERRNO(accept4(listener, NULL, NULL, 1), EINVAL);
	length = sizeof(address);
	accepted = (int)CHECK_OK(accept4(listener, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
	CHECK_EQ(length, 2);
	CHECK_EQ(fcntl(accepted, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_EQ(fcntl(accepted, F_GETFD), FD_CLOEXEC);
	length = sizeof(address);
	CHECK_EQ(getsockname(accepted, (struct sockaddr *)&address, &length), 0);
	CHECK_EQ(length, 2 + strlen(name));
	CHECK_EQ(read(accepted, text, sizeof(text)), 5);
	CHECK_STRING(text, "early");
	make_non_blocking(listener);
	CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
	CHECK_ERRNO(listen(client, 1), EINVAL);
	CHECK_ERRNO(accept(client, NULL, NULL), EINVAL);
	CHECK_ERRNO(recv(listener, text, 1, 0), EINVAL);
}

TEST(a_full_backlog)
{
	const char *name = own_name("backlog");
	int listener = listener_at(SOCK_STREAM, name, 1), third = new_socket(SOCK_STREAM);
	struct timeval timeout = {0, 50000};
	pid_t child;

	CHECK_EQ(connect_to(new_socket(SOCK_STREAM), name), 0);
	CHECK_EQ(connect_to(new_socket(SOCK_STREAM), name), 0);
	make_non_blocking(third);
	CHECK_ERRNO(connect_to(third, name), EAGAIN);
	MUST(fcntl(third, F_SETFL, 0));
	MUST(setsockopt(third, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)));
	CHECK_ERRNO(connect_to(third, name), EAGAIN);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(connect_to(new_socket(SOCK_STREAM), name) == -1);
	sleep_ms(50);
	CHECK_OK(accept(listener, NULL, NULL));
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(listen(listener, 5), 0);
	CHECK_EQ(connect_to(third, name), 0);
}

TEST(closing_a_listener)
{
	const char *name = own_name("closing");
	int listener = listener_at(SOCK_STREAM, name, 5), client = new_socket(SOCK_STREAM);
	char byte;

	MUST(connect_to(client, name));
	CHECK_EQ(close(listener), 0);
	CHECK_EQ(events_of(client), HUNG_UP | POLLERR);
	CHECK_ERRNO(read(client, &byte, 1), ECONNRESET);
	CHECK_EQ(read(client, &byte, 1), 0);
	listener = listener_at(SOCK_STREAM, own_name("closing"), 5);
	CHECK_EQ(shutdown(listener, SHUT_RD), 0);
	CHECK_ERRNO(connect_to(new_socket(SOCK_STREAM), own_name("closing")), ECONNREFUSED);
	CHECK_ERRNO(accept(listener, NULL, NULL), EINVAL);
}

TEST(datagrams_between_names)
{
	struct sockaddr_un address;
	socklen_t length = sizeof(address);
	int server = new_socket(SOCK_DGRAM), client = new_socket(SOCK_DGRAM), other = new_socket(SOCK_DGRAM);
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	char text[20] = "", name[60], client_name[60];

	strcpy(name, own_name("server"));
	strcpy(client_name, own_name("client"));
	MUST(bind_to(server, name));
	CHECK_EQ(events_of(server), WRITABLE);
	CHECK_ERRNO(send(client, "x", 1, 0), ENOTCONN);
	CHECK_ERRNO(send_to(client, "x", own_name("none")), ECONNREFUSED);
	CHECK_EQ(send_to(client, "unnamed", name), 7);
	CHECK_EQ(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&address, &length), 7);
	CHECK_EQ(length, 0);
	MUST(bind_to(client, client_name));
	CHECK_EQ(send_to(client, "named", name), 5);
	length = sizeof(address);
	CHECK_EQ(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&address, &length), 5);
	CHECK_EQ(length, 2 + strlen(client_name));
	CHECK(memcmp(address.sun_path + 1, client_name + 1, strlen(client_name) - 1) == 0);
	CHECK_EQ(connect_to(client, name), 0);
	CHECK_EQ(send(client, "x", 1, 0), 1);
	CHECK_EQ(recv(server, text, 1, 0), 1);
	/* Only the socket that one is connected to may send to it. */
	CHECK_EQ(connect_to(server, client_name), 0);
	CHECK_ERRNO(send_to(other, "x", name), EPERM);
	CHECK_ERRNO(connect_to(other, name), EPERM);
	CHECK_EQ(connect(server, &nobody, sizeof(nobody)), 0);
	CHECK_EQ(connect_to(other, name), 0);
	MUST(close(server));
	CHECK_ERRNO(send(other, "x", 1, 0), ECONNREFUSED);
	CHECK_ERRNO(send(other, "x", 1, 0), ENOTCONN);
	CHECK_ERRNO(listen(client, 1), EOPNOTSUPP);
	CHECK_ERRNO(accept(client, NULL, NULL), EOPNOTSUPP);
}

TEST(a_full_queue_of_datagrams)
{
	int server = new_socket(SOCK_DGRAM), client = new_socket(SOCK_DGRAM), count = 0;
	const char *name = own_name("queue");
	char byte;
	pid_t child;

	MUST(bind_to(server, name));
	MUST(connect_to(client, name));
	while (send(client, "x", 1, MSG_DONTWAIT) == 1)
		count++;
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(count, 11);
	CHECK_EQ(events_of(client), 0);
	CHECK_EQ(recv(server, &byte, 1, 0), 1);
	CHECK_EQ(events_of(client), WRITABLE);
	MUST(send(client, "x", 1, 0));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(send(client, "x", 1, 0) != 1);
	sleep_ms(50);
	CHECK_EQ(recv(server, &byte, 1, 0), 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(passing_descriptors)
{
	int ends[2], pipe_ends[2], fds[2];
	struct receipt receipt;
	char byte;

	make_pair(SOCK_STREAM, ends);
	MUST(pipe(pipe_ends));
	CHECK_EQ(send_descriptors(ends[0], "take", pipe_ends, 2), 4);
	MUST(close(pipe_ends[1]));
	receipt = receive_all(ends[1], 256, MSG_CMSG_CLOEXEC);
	CHECK_STRING(receipt.text, "take");
	CHECK_EQ(receipt.fd_count, 2);
	CHECK_EQ(receipt.control_length, CMSG_SPACE(2 * sizeof(int)));
	CHECK_EQ(receipt.flags, MSG_CMSG_CLOEXEC);
	CHECK_EQ(fcntl(receipt.fds[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(receipt.fds[1], "x", 1), 1);
	CHECK_EQ(read(receipt.fds[0], &byte, 1), 1);
	MUST(close(receipt.fds[1]));
	CHECK_EQ(read(pipe_ends[0], &byte, 1), 0);
	/* In flight, the file stays open; unreceived, it's closed with the message. */
	MUST(pipe(pipe_ends));
	CHECK_EQ(send_descriptors(ends[0], "x", &pipe_ends[1], 1), 1);
	MUST(close(pipe_ends[1]));
	make_non_blocking(pipe_ends[0]);
	CHECK_ERRNO(read(pipe_ends[0], &byte, 1), EAGAIN);
	CHECK_EQ(recv(ends[1], &byte, 1, 0), 1);
	CHECK_EQ(read(pipe_ends[0], &byte, 1), 0);
	/* There is room for one of two. */
	fds[0] = fds[1] = ends[0];
	MUST(send_descriptors(ends[0], "x", fds, 2));
	receipt = receive_all(ends[1], CMSG_LEN(sizeof(int)), 0);
	CHECK_EQ(receipt.fd_count, 1);
	CHECK_EQ(receipt.flags, MSG_CTRUNC);
	MUST(send_descriptors(ends[0], "x", fds, 1));
	receipt = receive_all(ends[1], 0, 0);
	CHECK_EQ(receipt.flags, MSG_CTRUNC);
	/* Peeking gives descriptors too. */
	MUST(send_descriptors(ends[0], "x", fds, 1));
	CHECK_EQ(receive_all(ends[1], 256, MSG_PEEK).fd_count, 1);
	CHECK_EQ(receive_all(ends[1], 256, 0).fd_count, 1);
}

TEST(descriptors_and_boundaries)
{
	int ends[2], fd = STDIN_FILENO, bad = 900, many[254];
	struct receipt receipt;

	make_pair(SOCK_STREAM, ends);
	MUST(write(ends[0], "plain", 5));
	MUST(send_descriptors(ends[0], "with", &fd, 1));
	MUST(write(ends[0], "after", 5));
	/* A read goes on into the message with descriptors, and not beyond it. */
	receipt = receive_all(ends[1], 256, 0);
	CHECK_STRING(receipt.text, "plainwith");
	CHECK_EQ(receipt.fd_count, 1);
	receipt = receive_all(ends[1], 256, 0);
	CHECK_STRING(receipt.text, "after");
	CHECK_EQ(receipt.fd_count, 0);
	CHECK_ERRNO(send_descriptors(ends[0], "x", &bad, 1), EBADF);
	for (size_t at = 0; at < LENGTH(many); at++)
		many[at] = fd;
	CHECK_ERRNO(send_descriptors(ends[0], "x", many, 254), EINVAL);
	CHECK_EQ(send_descriptors(ends[0], "x", many, 253), 1);
	receipt = receive_all(ends[1], CMSG_SPACE(4 * sizeof(int)), 0);
	CHECK_EQ(receipt.fd_count, 4);
	CHECK_EQ(receipt.flags, MSG_CTRUNC);
}

TEST(malformed_control_messages)
{
	int ends[2];
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {(char *)"x", 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	make_pair(SOCK_STREAM, ends);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = 8;
	CHECK_ERRNO(sendmsg(ends[0], &message, 0), EINVAL);
	header->cmsg_len = 1000;
	CHECK_ERRNO(sendmsg(ends[0], &message, 0), EINVAL);
	header->cmsg_len = CMSG_LEN(sizeof(int));
	header->cmsg_type = 77;
	CHECK_ERRNO(sendmsg(ends[0], &message, 0), EINVAL);
	header->cmsg_level = 1000;
	CHECK_EQ(sendmsg(ends[0], &message, 0), 1);
	message.msg_controllen = 10;
	CHECK_EQ(sendmsg(ends[0], &message, 0), 1);
	message.msg_controllen = sizeof(control);
	message.msg_control = bad_address();
	CHECK_ERRNO(sendmsg(ends[0], &message, 0), EFAULT);
	message.msg_controllen = 0;
	message.msg_iovlen = 1025;
	CHECK_ERRNO(sendmsg(ends[0], &message, 0), EMSGSIZE);
	message.msg_iovlen = 1;
	message.msg_iov = bad_address();
	CHECK_ERRNO(sendmsg(ends[0], &message, 0), EFAULT);
	CHECK_ERRNO(sendmsg(ends[0], bad_address(), 0), EFAULT);
	CHECK_ERRNO(recvmsg(ends[0], bad_address(), 0), EFAULT);
}

/* Reads the pipe until its end has come; collecting garbage may take the kernel a moment. */
static int has_ended(int fd)
{
	char byte;

	make_non_blocking(fd);
	for (int tries = 0; tries < 200; tries++) {
		if (read(fd, &byte, 1) == 0)
			return 1;
		sleep_ms(10);
	}
	return 0;
}

TEST(sockets_that_hold_each_other_are_collected)
{
	int ends[2], others[2], pipe_ends[2], more[2];

	/* A socket in its own queue. */
	make_pair(SOCK_STREAM, ends);
	MUST(pipe(pipe_ends));
	MUST(send_descriptors(ends[0], "x", &ends[1], 1));
	MUST(send_descriptors(ends[0], "x", &pipe_ends[1], 1));
	MUST(close(pipe_ends[1]));
	MUST(close(ends[1]));
	MUST(close(ends[0]));
	CHECK(has_ended(pipe_ends[0]));
	/* Two that hold each other. */
	make_pair(SOCK_DGRAM, ends);
	make_pair(SOCK_DGRAM, others);
	MUST(pipe(more));
	MUST(send_descriptors(ends[0], "x", &others[1], 1));
	MUST(send_descriptors(others[0], "x", &ends[1], 1));
	MUST(send_descriptors(others[0], "x", &more[1], 1));
	MUST(close(more[1]));
	MUST(close(ends[1]));
	MUST(close(others[1]));
	MUST(close(ends[0]));
	MUST(close(others[0]));
	/* Something else closes a local socket, or sends one. */
	make_pair(SOCK_STREAM, ends);
	MUST(close(ends[0]));
	CHECK(has_ended(more[0]));
}

/* Each is held by the message to the next one alone: the last takes all with it. */
TEST(sockets_in_messages_of_sockets_in_messages)
{
	int ends[2], witness[2], held;

	make_pair(SOCK_DGRAM, witness);
	held = witness[1];
	for (int depth = 0; depth < 900; depth++) {
		make_pair(SOCK_DGRAM, ends);
		if (send_descriptors(ends[0], "n", &held, 1) != 1)
			break;
		MUST(close(held));
		MUST(close(ends[0]));
		held = ends[1];
	}
	CHECK_EQ(send(witness[0], "x", 1, MSG_DONTWAIT), 1);
	MUST(close(held));
	/* It may be later that they end. */
	for (int tries = 0; tries < 100 && send(witness[0], "x", 1, MSG_DONTWAIT) == 1; tries++)
		usleep(1000);
	CHECK_EQ(send(witness[0], "x", 1, MSG_DONTWAIT), -1);
	MUST(close(witness[0]));
}

TEST(one_message_is_looked_at_many_times)
{
	static struct mmsghdr messages[6000];
	static char byte;
	static struct iovec buffer = {&byte, 1};
	struct itimerval soon = {.it_value = {.tv_usec = 1000}};
	int ends[2];

	signal(SIGALRM, count_signal);
	make_pair(SOCK_DGRAM, ends);
	MUST(send(ends[0], "m", 1, 0));
	for (size_t at = 0; at < LENGTH(messages); at++)
		messages[at].msg_hdr = (struct msghdr){.msg_iov = &buffer, .msg_iovlen = 1};
	/* While there are messages no signal ends it. */
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_EQ(recvmmsg(ends[1], messages, LENGTH(messages), MSG_PEEK | MSG_WAITFORONE, NULL), LENGTH(messages));
	CHECK_EQ(messages[0].msg_len, 1);
	CHECK_EQ(messages[LENGTH(messages) - 1].msg_len, 1);
	CHECK_EQ(recv(ends[1], &byte, 1, MSG_DONTWAIT), 1);
	CHECK_ERRNO(recv(ends[1], &byte, 1, MSG_DONTWAIT), EAGAIN);
	MUST(close(ends[0]));
	MUST(close(ends[1]));
}

TEST(sockets_in_flight_that_are_held_stay)
{
	int ends[2], others[2], received;
	char text[10] = "";
	struct receipt receipt;

	make_pair(SOCK_STREAM, ends);
	make_pair(SOCK_STREAM, others);
	MUST(write(others[0], "kept", 4));
	MUST(send_descriptors(ends[0], "x", &others[1], 1));
	MUST(close(others[1]));
	MUST(close(others[0]));
	receipt = receive_all(ends[1], 256, 0);
	CHECK_EQ(receipt.fd_count, 1);
	received = receipt.fds[0];
	CHECK_EQ(read(received, text, sizeof(text)), 4);
	CHECK_STRING(text, "kept");
	CHECK_EQ(read(received, text, sizeof(text)), 0);
}

static long send_credentials(int fd, pid_t pid, uid_t uid, gid_t gid)
{
	char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
	struct iovec part = {(char *)"x", 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	struct ucred credentials = {pid, uid, gid};

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_CREDENTIALS;
	header->cmsg_len = CMSG_LEN(sizeof(credentials));
	memcpy(CMSG_DATA(header), &credentials, sizeof(credentials));
	return sendmsg(fd, &message, 0);
}

TEST(credentials_of_messages)
{
	int ends[2];
	struct receipt receipt;

	make_pair(SOCK_DGRAM, ends);
	CHECK_EQ(option_of(ends[1], SO_PASSCRED), 0);
	MUST(write(ends[0], "before", 6));
	set_option(ends[1], SO_PASSCRED, 5);
	CHECK_EQ(option_of(ends[1], SO_PASSCRED), 1);
	receipt = receive_all(ends[1], 256, 0);
	CHECK_EQ(receipt.has_credentials, 1);
	CHECK_EQ(receipt.credentials.pid, 0);
	CHECK_EQ(receipt.credentials.uid, 65534);
	MUST(write(ends[0], "after", 5));
	receipt = receive_all(ends[1], 256, 0);
	CHECK_EQ(receipt.credentials.pid, getpid());
	CHECK_EQ(receipt.credentials.uid, getuid());
	CHECK_EQ(receipt.credentials.gid, getgid());
	CHECK_EQ(send_credentials(ends[0], getpid(), getuid(), getgid()), 1);
	receipt = receive_all(ends[1], 256, 0);
	CHECK_EQ(receipt.credentials.pid, getpid());
	drop_root();
	CHECK_ERRNO(send_credentials(ends[0], 1, getuid(), getgid()), EPERM);
	CHECK_ERRNO(send_credentials(ends[0], getpid(), 0, getgid()), EPERM);
	CHECK_ERRNO(send_credentials(ends[0], getpid(), getuid(), 0), EPERM);
	MUST(write(ends[0], "x", 1));
	receipt = receive_all(ends[1], 4, 0);
	CHECK_EQ(receipt.flags, MSG_CTRUNC);
	CHECK_EQ(receipt.has_credentials, 0);
}

/* There are no labels, but who wants them learns that there is no room for them; and an accepted socket too. */
TEST(labels_of_messages)
{
	const char *name = own_name("labels");
	char text[8];
	struct iovec part = {text, sizeof(text)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	int listener = new_socket(SOCK_STREAM), client = new_socket(SOCK_STREAM), accepted;
	struct receipt receipt;

	set_option(listener, SO_PASSSEC, 1);
	bind_to(listener, name);
	MUST(listen(listener, 1));
	connect_to(client, name);
	accepted = (int)MUST(accept(listener, NULL, NULL));
	CHECK_EQ(option_of(accepted, SO_PASSSEC), 1);
	CHECK_EQ(option_of(client, SO_PASSSEC), 0);
	MUST(write(client, "one", 3));
	CHECK_EQ(recvmsg(accepted, &message, 0), 3);
	CHECK_EQ(message.msg_flags, MSG_CTRUNC);
	MUST(write(client, "two", 3));
	receipt = receive_all(accepted, 256, 0);
	CHECK_EQ(receipt.flags, 0);
	CHECK_EQ(receipt.has_credentials, 0);
}

TEST(bytes_of_two_senders_are_kept_apart)
{
	int ends[2];
	struct receipt receipt;
	pid_t child;

	make_pair(SOCK_STREAM, ends);
	set_option(ends[1], SO_PASSCRED, 1);
	MUST(write(ends[0], "mine", 4));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		write_all(ends[0], "theirs", 6);
		_exit(0);
	}
	wait_for(child);
	receipt = receive_all(ends[1], 256, 0);
	CHECK_STRING(receipt.text, "mine");
	CHECK_EQ(receipt.credentials.pid, getpid());
	receipt = receive_all(ends[1], 256, 0);
	CHECK_STRING(receipt.text, "theirs");
	CHECK_EQ(receipt.credentials.pid, child);
}

TEST(credentials_of_peers)
{
	const char *name = own_name("peers");
	int ends[2], listener, client = new_socket(SOCK_STREAM), accepted;
	struct ucred peer = {1, 1, 1};
	socklen_t length = sizeof(peer);
	pid_t child;

	CHECK_EQ(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length), 0);
	CHECK_EQ(peer.pid, 0);
	CHECK_EQ(peer.uid, (uid_t)-1);
	make_pair(SOCK_STREAM, ends);
	CHECK_EQ(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, &length), 0);
	CHECK_EQ(peer.pid, getpid());
	CHECK_EQ(peer.uid, geteuid());
	CHECK_EQ(peer.gid, getegid());
	CHECK_ERRNO(setsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, sizeof(peer)), ENOPROTOOPT);
	listener = listener_at(SOCK_STREAM, name, 1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		if (connect_to(client, name) == -1)
			_exit(1);
		MUST(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length));
		_exit(peer.pid != getppid());
	}
	accepted = (int)MUST(accept(listener, NULL, NULL));
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &length), 0);
	CHECK_EQ(peer.pid, child);
}

TEST(permission_to_connect)
{
	int client = new_socket(SOCK_STREAM);
	mode_t open_to_others = geteuid() == 0 ? 0002 : 0200;

	enter_scratch();
	listener_at(SOCK_STREAM, "closed", 5);
	MUST(chmod("closed", 0600));
	listener_at(SOCK_STREAM, "open", 5);
	MUST(chmod("open", open_to_others));
	MUST(mkdir("hidden", 0700));
	listener_at(SOCK_STREAM, "hidden/open", 5);
	MUST(chmod("hidden/open", 0777));
	if (geteuid() != 0)
		MUST(chmod("closed", 0) | chmod("hidden", 0));
	drop_root();
	CHECK_ERRNO(connect_to(client, "closed"), EACCES);
	CHECK_ERRNO(connect_to(client, "hidden/open"), EACCES);
	CHECK_EQ(connect_to(client, "open"), 0);
	MUST(chdir("/"));
	CHECK_ERRNO(bind_to(new_socket(SOCK_STREAM), "/name-of-a-socket"), EACCES);
}

TEST(many_messages_at_once)
{
	int ends[2];
	char texts[3][8] = {"", "", ""};
	struct iovec parts[3] = {{(char *)"one", 3}, {(char *)"two", 3}, {(char *)"three", 5}};
	struct mmsghdr messages[3] = {0};
	struct timespec timeout = {0, 0};

	make_pair(SOCK_DGRAM, ends);
	for (int at = 0; at < 3; at++)
		messages[at].msg_hdr = (struct msghdr){.msg_iov = &parts[at], .msg_iovlen = 1};
	CHECK_EQ(sendmmsg(ends[0], messages, 3, 0), 3);
	CHECK_EQ(messages[2].msg_len, 5);
	for (int at = 0; at < 3; at++) {
		parts[at] = (struct iovec){texts[at], 7};
		messages[at] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[at], .msg_iovlen = 1}};
	}
	CHECK_EQ(recvmmsg(ends[1], messages, 2, 0, NULL), 2);
	CHECK_STRING(texts[1], "two");
	CHECK_EQ(messages[1].msg_len, 3);
	CHECK_EQ(recvmmsg(ends[1], messages, 3, MSG_WAITFORONE, NULL), 1);
	CHECK_STRING(texts[0], "three");
	CHECK_ERRNO(recvmmsg(ends[1], messages, 3, MSG_DONTWAIT, NULL), EAGAIN);
	MUST(write(ends[0], "x", 1));
	MUST(write(ends[0], "y", 1));
	CHECK_EQ(recvmmsg(ends[1], messages, 3, 0, &timeout), 1);
	/* The timeout is looked at after a message, which takes longer than this. */
	MUST(recv(ends[1], texts[0], 7, 0));
	MUST(write(ends[0], "z", 1));
	timeout = (struct timespec){0, 1};
	CHECK_EQ(recvmmsg(ends[1], messages, 3, 0, &timeout), 1);
	timeout.tv_nsec = -1;
	CHECK_ERRNO(recvmmsg(ends[1], messages, 3, 0, &timeout), EINVAL);
	CHECK_EQ(sendmmsg(ends[0], messages, 0, 0), 0);
	messages[1].msg_hdr.msg_iov = bad_address();
	CHECK_EQ(sendmmsg(ends[0], messages, 2, 0), 1);
	CHECK_ERRNO(sendmmsg(ends[0], messages + 1, 1, 0), EFAULT);
}

TEST(options)
{
	int fd = new_socket(SOCK_STREAM), value = -1;
	struct linger linger = {1, 5};
	socklen_t length = sizeof(linger);

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	linger.l_linger = 0;
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length), 0);
	CHECK_EQ(linger.l_linger, 5);
	set_option(fd, SO_REUSEADDR, 7);
	CHECK_EQ(option_of(fd, SO_REUSEADDR), 1);
	set_option(fd, SO_KEEPALIVE, 1);
	CHECK_EQ(option_of(fd, SO_KEEPALIVE), 1);
	set_option(fd, SO_PRIORITY, 6);
	CHECK_EQ(option_of(fd, SO_PRIORITY), 6);
	CHECK_EQ(option_of(fd, SO_RCVLOWAT), 1);
	CHECK_EQ(option_of(fd, SO_ERROR), 0);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_TYPE, &value, sizeof(value)), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, 9999, &value, sizeof(value)), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 3), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, bad_address(), 4), EFAULT);
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, 9999, &value, &length), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(fd, 77, 1, &value, &length), EOPNOTSUPP);
	length = 2;
	value = -1;
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length), 0);
	CHECK_EQ(length, 2);
	CHECK_EQ(value & 0xffff, SOCK_STREAM);
	CHECK_EQ((value >> 16) & 0xffff, 0xffff);
	length = (socklen_t)-1;
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length), EINVAL);
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, bad_address()), EFAULT);
}

TEST(peeking_from_an_offset)
{
	int ends[2];
	char text[10] = "";

	make_pair(SOCK_STREAM, ends);
	CHECK_EQ(option_of(ends[1], SO_PEEK_OFF), -1);
	set_option(ends[1], SO_PEEK_OFF, 2);
	MUST(write(ends[0], "abc", 3));
	MUST(write(ends[0], "def", 3));
	CHECK_EQ(recv(ends[1], text, 2, MSG_PEEK), 2);
	CHECK_STRING(text, "cd");
	CHECK_EQ(option_of(ends[1], SO_PEEK_OFF), 4);
	CHECK_EQ(recv(ends[1], text, 3, 0), 3);
	CHECK_STRING(text, "abc");
	CHECK_EQ(option_of(ends[1], SO_PEEK_OFF), 1);
	/* Past all that has come there is nothing yet, which isn't the end. */
	set_option(ends[1], SO_PEEK_OFF, 3);
	CHECK_ERRNO(recv(ends[1], text, 2, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
	MUST(write(ends[0], "g", 1));
	CHECK_EQ(recv(ends[1], text, 2, MSG_PEEK | MSG_DONTWAIT), 1);
	CHECK_EQ(text[0], 'g');
	MUST(close(ends[0]));
	CHECK_EQ(recv(ends[1], text, 2, MSG_PEEK), 0);
	CHECK_EQ(recv(ends[1], text, 9, 0), 4);
	make_pair(SOCK_SEQPACKET, ends);
	set_option(ends[1], SO_PEEK_OFF, 1);
	MUST(send(ends[0], "abc", 3, 0));
	CHECK_EQ(recv(ends[1], text, 1, MSG_PEEK), 1);
	CHECK_EQ(text[0], 'b');
	CHECK_EQ(recv(ends[1], text, 9, MSG_PEEK), 1);
	CHECK_ERRNO(recv(ends[1], text, 9, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(recv(ends[1], text, 9, 0), 3);
	CHECK_EQ(option_of(ends[1], SO_PEEK_OFF), 0);
}

TEST(peeking_at_empty_messages_from_an_offset)
{
	int ends[2];
	char text[10] = "";

	make_pair(SOCK_DGRAM, ends);
	for (int at = 0; at < 5; at++)
		MUST(send(ends[0], "abcd", at % 2 == 0 ? 0 : 4, 0));
	set_option(ends[1], SO_PEEK_OFF, 0);
	CHECK_EQ(recv(ends[1], text, 2, MSG_PEEK), 0);
	CHECK_EQ(recv(ends[1], text, 2, MSG_PEEK), 2);
	CHECK_EQ(recv(ends[1], text, 2, MSG_PEEK), 2);
	CHECK_STRING(text, "cd");
	CHECK_EQ(recv(ends[1], text, 2, MSG_PEEK), 0);
	CHECK_EQ(recv(ends[1], text, 9, MSG_PEEK), 4);
	CHECK_EQ(recv(ends[1], text, 9, MSG_PEEK), 0);
	CHECK_ERRNO(recv(ends[1], text, 9, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
	/* Each counts once: they aren't seen from the beginning again, but received. */
	set_option(ends[1], SO_PEEK_OFF, 0);
	CHECK_EQ(recv(ends[1], text, 9, MSG_PEEK), 4);
	CHECK_EQ(recv(ends[1], text, 9, 0), 0);
	CHECK_EQ(recv(ends[1], text, 9, 0), 4);
}

TEST(what_waits_in_sequenced_packets)
{
	int ends[2], waiting = -1;

	make_pair(SOCK_SEQPACKET, ends);
	MUST(send(ends[0], "abc", 3, 0));
	MUST(send(ends[0], "de", 2, 0));
	CHECK_OK(ioctl(ends[1], FIONREAD, &waiting));
	CHECK_EQ(waiting, 5);
	make_pair(SOCK_DGRAM, ends);
	MUST(send(ends[0], "abc", 3, 0));
	MUST(send(ends[0], "de", 2, 0));
	CHECK_OK(ioctl(ends[1], FIONREAD, &waiting));
	CHECK_EQ(waiting, 3);
}

TEST(abstract_names_of_each_kind)
{
	const char *name = own_name("kinds");
	int datagram = new_socket(SOCK_DGRAM), stream = new_socket(SOCK_STREAM), other = new_socket(SOCK_DGRAM);

	CHECK_OK(bind_to(datagram, name));
	CHECK_OK(bind_to(stream, name));
	CHECK_ERRNO(bind_to(other, name), EADDRINUSE);
	CHECK_ERRNO(connect_to(new_socket(SOCK_SEQPACKET), name), ECONNREFUSED);
	CHECK_OK(connect_to(other, name));
	MUST(close(datagram));
	CHECK_ERRNO(send_to(other, "x", name), ECONNREFUSED);
	CHECK_ERRNO(bind_to(new_socket(SOCK_STREAM), name), EADDRINUSE);
	CHECK_OK(bind_to(new_socket(SOCK_DGRAM), name));
}

TEST(messages_in_the_layout_of_32_bits)
{
	struct msghdr header = {0};
	int ends[2];

	make_pair(SOCK_STREAM, ends);
	CHECK_ERRNO(sendmsg(ends[0], &header, MSG_FOR_32_BITS), EINVAL);
	CHECK_ERRNO(recvmsg(ends[1], &header, MSG_FOR_32_BITS), EINVAL);
	CHECK_ERRNO(sendmsg(-1, &header, MSG_FOR_32_BITS), EINVAL);
	CHECK_ERRNO(syscall(SYS_sendmmsg, -1, NULL, 1, MSG_FOR_32_BITS), EINVAL);
	CHECK_ERRNO(syscall(SYS_recvmmsg, -1, NULL, 1, MSG_FOR_32_BITS, NULL), EINVAL);
	CHECK_EQ(send(ends[0], "x", 1, MSG_FOR_32_BITS), 1);
}

TEST(claimed_ids_that_nobody_has)
{
	char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
	struct iovec part = {"x", 1};
	struct msghdr header = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *record = CMSG_FIRSTHDR(&header);
	struct ucred claim = {getpid(), (uid_t)-1, getegid()};
	int ends[2];

	make_pair(SOCK_STREAM, ends);
	record->cmsg_level = SOL_SOCKET;
	record->cmsg_type = SCM_CREDENTIALS;
	record->cmsg_len = CMSG_LEN(sizeof(claim));
	memcpy(CMSG_DATA(record), &claim, sizeof(claim));
	CHECK_ERRNO(sendmsg(ends[0], &header, 0), EINVAL);
	claim = (struct ucred){getpid(), geteuid(), (gid_t)-1};
	memcpy(CMSG_DATA(record), &claim, sizeof(claim));
	CHECK_ERRNO(sendmsg(ends[0], &header, 0), EINVAL);
}

TEST(edges_of_epoll)
{
	int ends[2], instance = (int)MUST(epoll_create1(0));
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, got[4];
	char byte;

	make_pair(SOCK_STREAM, ends);
	MUST(epoll_ctl(instance, EPOLL_CTL_ADD, ends[0], &event));
	CHECK_EQ(epoll_wait(instance, got, 4, 0), 0);
	MUST(write(ends[1], "a", 1));
	CHECK_EQ(epoll_wait(instance, got, 4, 0), 1);
	CHECK_EQ(got[0].events, EPOLLIN);
	CHECK_EQ(epoll_wait(instance, got, 4, 0), 0);
	MUST(write(ends[1], "b", 1));
	CHECK_EQ(epoll_wait(instance, got, 4, 0), 1);
	MUST(read(ends[0], &byte, 1));
	CHECK_EQ(epoll_wait(instance, got, 4, 0), 0);
	MUST(close(ends[1]));
	CHECK_EQ(epoll_wait(instance, got, 4, 0), 1);
	CHECK_EQ(got[0].events, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
}

TEST(too_many_descriptors)
{
	int ends[2], fd = STDIN_FILENO, listener = listener_at(SOCK_STREAM, own_name("limit"), 5);
	int client = new_socket(SOCK_STREAM);
	struct rlimit limit;
	struct receipt receipt;

	make_pair(SOCK_STREAM, ends);
	MUST(connect_to(client, own_name("limit")));
	MUST(send_descriptors(ends[0], "x", &fd, 1));
	MUST(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = (rlim_t)client + 3;
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	while (dup(fd) != -1)
		continue;
	CHECK_EQ(errno, EMFILE);
	CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
	CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), EMFILE);
	CHECK_ERRNO(accept(listener, NULL, NULL), EMFILE);
	receipt = receive_all(ends[1], 256, 0);
	CHECK_EQ(receipt.length, 1);
	CHECK_EQ(receipt.fd_count, 0);
	CHECK_EQ(receipt.flags, MSG_CTRUNC);
	MUST(close(ends[1]));
	CHECK_OK(accept(listener, NULL, NULL));
}

TEST(errors_go_before_messages_and_receivers)
{
	int ends[2], fd = new_socket(SOCK_DGRAM), other, listener;
	char text[10];

	/* A pending error is reported though there are messages. */
	make_pair(SOCK_SEQPACKET, ends);
	MUST(send(ends[0], "abc", 3, 0));
	MUST(send(ends[1], "def", 3, 0));
	MUST(close(ends[0]));
	CHECK_ERRNO(recv(ends[1], text, 9, MSG_PEEK), ECONNRESET);
	CHECK_EQ(recv(ends[1], text, 9, 0), 3);
	CHECK_EQ(recv(ends[1], text, 9, 0), 0);
	/* Who may not send isn't told that nobody is there. */
	MUST(shutdown(fd, SHUT_WR));
	CHECK_ERRNO(send_to(fd, "x", own_name("nobody")), EPIPE);
	/* A stream without another end isn't connected, whatever was shut down. */
	other = new_socket(SOCK_STREAM);
	listener = listener_at(SOCK_STREAM, own_name("listener"), 1);
	MUST(shutdown(listener, SHUT_RDWR));
	MUST(shutdown(other, SHUT_RDWR));
	CHECK_ERRNO(send(listener, "x", 1, MSG_NOSIGNAL), ENOTCONN);
	CHECK_ERRNO(send(other, "x", 1, MSG_NOSIGNAL), ENOTCONN);
}

TEST(a_name_that_comes_after_the_message)
{
	struct sockaddr_un from;
	socklen_t length = sizeof(from);
	char text[10];
	int ends[2];

	make_pair(SOCK_DGRAM, ends);
	MUST(send(ends[0], "abc", 3, 0));
	CHECK_EQ(bind_to(ends[0], own_name("late")), 0);
	CHECK_EQ(recvfrom(ends[1], text, 9, 0, (struct sockaddr *)&from, &length), 3);
	CHECK(length > sizeof(from.sun_family));
}

TEST(a_name_for_who_wants_credentials)
{
	struct sockaddr_un own;
	socklen_t length = sizeof(own);
	int ends[2];

	make_pair(SOCK_SEQPACKET, ends);
	set_option(ends[0], SO_PASSCRED, 1);
	CHECK_EQ(send(ends[0], "abc", 3, 0), 3);
	CHECK_EQ(getsockname(ends[0], (struct sockaddr *)&own, &length), 0);
	CHECK_EQ(length, sizeof(own.sun_family) + 6);
	/* Nobody has sent the end of the messages. */
	MUST(shutdown(ends[1], SHUT_WR));
	CHECK_EQ(receive_all(ends[0], 100, 0).control_length, 0);
}

TEST(receiving_no_bytes_waits_for_some)
{
	char text[4];
	int ends[2];

	make_pair(SOCK_STREAM, ends);
	CHECK_ERRNO(recv(ends[1], text, 0, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(read(ends[1], text, 0), 0);
	MUST(write(ends[0], "abc", 3));
	CHECK_EQ(recv(ends[1], text, 0, MSG_DONTWAIT), 0);
	CHECK_EQ(recv(ends[1], text, 4, 0), 3);
}

TEST(empty_packets_nobody_has_received)
{
	int ends[2];
	char byte;

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
	CHECK_EQ(send(ends[0], "", 0, 0), 0);
	MUST(close(ends[1]));
	CHECK_EQ(recv(ends[0], &byte, 1, 0), 0);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
	CHECK_EQ(send(ends[0], "", 0, 0), 0);
	CHECK_EQ(send(ends[0], "", 0, 0), 0);
	MUST(close(ends[1]));
	CHECK_ERRNO(recv(ends[0], &byte, 1, 0), ECONNRESET);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
	CHECK_EQ(send(ends[0], "x", 1, 0), 1);
	MUST(close(ends[1]));
	CHECK_ERRNO(recv(ends[0], &byte, 1, 0), ECONNRESET);
}

TEST(the_file_of_a_bound_socket)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "bound"};
	int fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0)), file;
	struct stat status, own;

	enter_scratch();
	CHECK_ERRNO(ioctl(fd, SIOCUNIXFILE), geteuid() == 0 ? ENOENT : EPERM);
	MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	if (geteuid() == 0) {
		file = (int)CHECK_OK(ioctl(fd, SIOCUNIXFILE));
		MUST(fstat(file, &status));
		MUST(stat("bound", &own));
		CHECK_EQ(status.st_ino, own.st_ino);
		CHECK_EQ(status.st_mode & S_IFMT, S_IFSOCK);
		CHECK_EQ(fcntl(file, F_GETFL) & O_PATH, O_PATH);
		CHECK_EQ(fcntl(file, F_GETFD), FD_CLOEXEC);
		MUST(unlink("bound"));
		CHECK_OK(ioctl(fd, SIOCUNIXFILE));
	}
	drop_root();
	CHECK_ERRNO(ioctl(fd, SIOCUNIXFILE), EPERM);
	CHECK_ERRNO(ioctl((int)MUST(socket(AF_INET, SOCK_STREAM, 0)), SIOCUNIXFILE), ENOTTY);
}

TEST(refusals_before_bytes_are_read)
{
	static char much[300000];
	int ends[2], offset = 2;
	char bytes[8];

	make_pair(SOCK_STREAM, ends);
	MUST(shutdown(ends[0], SHUT_WR));
	CHECK_ERRNO(send(ends[0], bad_address(), 2, MSG_NOSIGNAL), EPIPE);
	make_pair(SOCK_STREAM, ends);
	MUST(close(ends[1]));
	CHECK_ERRNO(send(ends[0], bad_address(), 2, MSG_NOSIGNAL), EPIPE);
	/* Whether there is anybody comes before how much it is. */
	CHECK_ERRNO(send(new_socket(SOCK_SEQPACKET), much, sizeof(much), MSG_NOSIGNAL), ENOTCONN);
	make_pair(SOCK_SEQPACKET, ends);
	MUST(send(ends[0], "x", 1, 0));
	MUST(close(ends[1]));
	CHECK_ERRNO(send(ends[0], much, sizeof(much), MSG_NOSIGNAL), ECONNRESET);
	CHECK_ERRNO(send(ends[0], much, sizeof(much), MSG_NOSIGNAL), EMSGSIZE);
	/* Beyond the last packet is the end. */
	make_pair(SOCK_SEQPACKET, ends);
	MUST(setsockopt(ends[0], SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)));
	MUST(send(ends[1], "hello", 5, 0));
	MUST(close(ends[1]));
	CHECK_EQ(recv(ends[0], bytes, 8, MSG_PEEK | MSG_DONTWAIT), 3);
	CHECK_EQ(recv(ends[0], bytes, 8, MSG_PEEK | MSG_DONTWAIT), 0);
	CHECK_EQ(recv(ends[0], bytes, 8, MSG_DONTWAIT), 5);
}

TEST(pieces_of_half_a_buffer)
{
	static char much[100000];
	int ends[2], room = 5000;

	make_pair(SOCK_STREAM, ends);
	MUST(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)));
	CHECK_EQ(send(ends[0], much, sizeof(much), MSG_DONTWAIT), 2 * (room - 64));
	CHECK_ERRNO(send(ends[0], much, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(recv(ends[1], much, sizeof(much), 0), 2 * (room - 64));
	CHECK_EQ(send(ends[0], much, 3000, MSG_DONTWAIT), 3000);
}

static volatile long async_band;

static void note_band(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	async_band = info->si_band;
}

/* What O_ASYNC's signal tells, if F_SETSIG has chosen one: input, room, and that the other end is gone. */
TEST(signals_tell_what_has_become_of_a_stream)
{
	struct sigaction action = {.sa_sigaction = note_band, .sa_flags = SA_SIGINFO};
	static char many[100000];
	int pair[2];

	MUST(sigaction(SIGUSR1, &action, NULL));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	MUST(fcntl(pair[0], F_SETOWN, getpid()));
	MUST(fcntl(pair[0], F_SETSIG, SIGUSR1));
	MUST(fcntl(pair[0], F_SETFL, O_ASYNC | O_NONBLOCK));
	MUST(fcntl(pair[1], F_SETFL, O_NONBLOCK));
	MUST(write(pair[1], "a", 1));
	CHECK_EQ(async_band, POLLIN | POLLRDNORM);
	async_band = 0;
	while (write(pair[0], many, sizeof(many)) > 0)
		;
	CHECK_EQ(async_band, 0);
	while (read(pair[1], many, sizeof(many)) > 0)
		;
	CHECK_EQ(async_band, POLLOUT | POLLWRNORM | POLLWRBAND);
	async_band = 0;
	MUST(shutdown(pair[1], SHUT_WR));
	CHECK_EQ(async_band, POLLIN | POLLRDNORM);
	async_band = 0;
	MUST(close(pair[1]));
	CHECK_EQ(async_band, POLLHUP | POLLERR);
	MUST(close(pair[0]));
}

/* Where it's told who sends, a read ends where others begin, even one that waits for all. */
TEST(all_that_one_sender_sent)
{
	for (int delay_ms = 0; delay_ms < 100; delay_ms += 50) {
		char text[8];
		int ends[2], on = 1;
		pid_t child;

		MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
		CHECK_EQ(send(ends[1], "ab", 2, 0), 2);
		CHECK_EQ(send(ends[1], "cd", 2, 0), 2);
		MUST(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
		child = (pid_t)MUST(fork());
		if (child == 0) {
			sleep_ms(delay_ms);
			_exit(send(ends[1], "ef", 2, 0) == 2 ? 0 : 1);
		}
		if (delay_ms == 0)
			CHECK_EQ(wait_for(child), 0);
		CHECK_EQ(recv(ends[0], text, 8, MSG_WAITALL), 4);
		CHECK_EQ(recv(ends[0], text, 2, MSG_WAITALL), 2);
		CHECK_EQ(memcmp(text, "ef", 2), 0);
		if (delay_ms > 0)
			CHECK_EQ(wait_for(child), 0);
		close(ends[0]);
		close(ends[1]);
	}
}

/* Which descriptors a pair would have had is told though there is none. */
TEST(numbers_of_no_pair)
{
	int ends[2] = {-1, -1}, free_one = (int)MUST(dup(0));

	MUST(close(free_one));
	CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 99, ends), EPROTONOSUPPORT);
	CHECK_EQ(ends[0], free_one);
	CHECK_EQ(ends[1], free_one + 1);
	CHECK_ERRNO(socketpair(AF_INET, SOCK_STREAM, 0, ends), EOPNOTSUPP);
	CHECK_ERRNO(socketpair(99, SOCK_STREAM, 0, bad_address()), EFAULT);
	ends[0] = -1;
	CHECK_ERRNO(socketpair(AF_UNIX, 0x100 | SOCK_STREAM, 0, ends), EINVAL);
	CHECK_EQ(ends[0], -1);
	CHECK_ERRNO(fcntl(free_one, F_GETFD), EBADF);
}
