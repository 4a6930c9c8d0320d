/* Options of sockets, filters, groups, urgent bytes and what is held back: socket(7), ip(7), tcp(7), bpf. */
#include "check.h"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef TCP_INQ
#define TCP_INQ 36
#endif
#define EVENTS (POLLIN | POLLPRI | POLLRDHUP)

static volatile sig_atomic_t urgent_fd = -1;
static volatile sig_atomic_t urgent_byte;

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int bound_udp(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	*address = loopback(0);
	MUST(bind(fd, (struct sockaddr *)address, length));
	MUST(getsockname(fd, (struct sockaddr *)address, &length));
	return fd;
}

static int listen_tcp(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	*address = loopback(0);
	MUST(bind(fd, (struct sockaddr *)address, length));
	MUST(listen(fd, 4));
	MUST(getsockname(fd, (struct sockaddr *)address, &length));
	return fd;
}

static void tcp_pair(int ends[2])
{
	struct sockaddr_in address;
	int listener = listen_tcp(&address);

	ends[0] = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(ends[0], (struct sockaddr *)&address, sizeof(address)));
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	MUST(close(listener));
}

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int get(int fd, int level, int name)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, name, &value, &length) == -1 ? -errno : value;
}

static void bring_up_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	request.ifr_flags = IFF_UP;
	MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	MUST(close(fd));
}

static int waiting(int fd)
{
	int count = -1;

	MUST(ioctl(fd, FIONREAD, &count));
	return count;
}

static int at_mark(int fd)
{
	int mark = -1;

	return ioctl(fd, SIOCATMARK, &mark) == -1 ? -errno : mark;
}

static void make_non_blocking(int fd)
{
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
}

static int events_of(int fd)
{
	struct pollfd polled = {.fd = fd, .events = EVENTS};

	MUST(poll(&polled, 1, 0));
	return polled.revents;
}

/* Receives without waiting; the text, or the errno's name. */
static const char *got(int fd, size_t length, int flags)
{
	static char text[128];
	ssize_t count = recv(fd, text, length, flags | MSG_DONTWAIT);

	if (count == -1)
		return check_errno_name(errno);
	text[count] = '\0';
	return text;
}

TEST(levels_that_a_socket_has_not)
{
	int tcp = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), tcp6 = socket(AF_INET6, SOCK_STREAM, 0);
	int local = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0)), netlink = (int)MUST(socket(AF_NETLINK, SOCK_RAW, 0));
	int value = 0;
	socklen_t length = sizeof(value), negative = (socklen_t)-1;

	CHECK_ERRNO(getsockopt(tcp, 999, 1, &value, &length), EOPNOTSUPP);
	CHECK_ERRNO(getsockopt(tcp, IPPROTO_UDP, 1, &value, &negative), EOPNOTSUPP);
	CHECK_ERRNO(set(tcp, 999, 1, 1), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(tcp, 999, 1, bad_address(), 4), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(tcp6, 999, 1, &value, &length), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(local, IPPROTO_IP, IP_TOS, &value, &length), EOPNOTSUPP);
	CHECK_ERRNO(set(local, IPPROTO_IP, IP_TOS, 1), EOPNOTSUPP);
	CHECK_ERRNO(getsockopt(netlink, IPPROTO_IP, IP_TOS, &value, &length), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(tcp, IPPROTO_IP, IP_TOS, &value, &negative), EINVAL);
	CHECK_EQ(get(tcp6, IPPROTO_IPV6, IPV6_V6ONLY), 0);
}

TEST(values_of_ip)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), tcp = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	CHECK_EQ(set(fd, IPPROTO_IP, IP_TOS, 0x1ff), 0);
	CHECK_EQ(get(fd, IPPROTO_IP, IP_TOS), 0xff);
	CHECK_EQ(set(tcp, IPPROTO_IP, IP_TOS, 0xff), 0);
	CHECK_EQ(get(tcp, IPPROTO_IP, IP_TOS), 0xfc);
	CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_TOS, NULL, 0), 0);
	CHECK_EQ(get(fd, IPPROTO_IP, IP_TOS), 0);
	CHECK_ERRNO(set(fd, IPPROTO_IP, IP_TTL, 0), EINVAL);
	CHECK_ERRNO(set(fd, IPPROTO_IP, IP_TTL, 256), EINVAL);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_TTL, NULL, 0), EINVAL);
	CHECK_EQ(set(fd, IPPROTO_IP, IP_TTL, 7), 0);
	CHECK_EQ(set(fd, IPPROTO_IP, IP_TTL, -1), 0);
	CHECK_EQ(get(fd, IPPROTO_IP, IP_TTL), 64);
	CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, NULL, 0), 0);
	CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_RECVTOS, "\1", 1), 0);
	CHECK_EQ(get(fd, IPPROTO_IP, IP_RECVTOS), 1);
	CHECK_EQ(set(fd, IPPROTO_IP, IP_ORIGDSTADDR, 5), 0);
	CHECK_EQ(get(fd, IPPROTO_IP, IP_ORIGDSTADDR), 1);
	CHECK_ERRNO(set(fd, IPPROTO_IP, IP_MULTICAST_TTL, 256), EINVAL);
	CHECK_ERRNO(set(tcp, IPPROTO_IP, IP_MULTICAST_TTL, 1), EINVAL);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, NULL, 0), EINVAL);
	CHECK_ERRNO(set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 2), EINVAL);
	CHECK_EQ(get(tcp, IPPROTO_IPV6, IPV6_TCLASS), -EOPNOTSUPP);
}

TEST(values_of_tcp)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_LINGER2), 60);
	CHECK_EQ(set(fd, IPPROTO_TCP, TCP_LINGER2, 200), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_LINGER2), 120);
	CHECK_EQ(set(fd, IPPROTO_TCP, TCP_LINGER2, -7), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_LINGER2), -1);
	CHECK_EQ(set(fd, IPPROTO_TCP, TCP_LINGER2, 0), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_LINGER2), 60);
	CHECK_EQ(set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 2), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 3);
	CHECK_EQ(set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 64), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 127);
	CHECK_EQ(set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, -1), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
	CHECK_EQ(set(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 1), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP), 1152);
	CHECK_EQ(set(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 0), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 0);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_TIMESTAMP, 1), EPERM);
	CHECK_ERRNO(set(fd, IPPROTO_TCP, TCP_INQ, 2), EINVAL);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "none", 4), ENOENT);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "", 0), EINVAL);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, "\1", 1), EINVAL);
}

TEST(values_of_all_sockets)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), local = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
	struct linger linger = {1, 5};
	socklen_t length = sizeof(linger);

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	linger = (struct linger){0, 9};
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length), 0);
	CHECK_EQ(linger.l_onoff, 0);
	CHECK_EQ(linger.l_linger, 5);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_PASSCRED), -EOPNOTSUPP);
	CHECK_EQ(get(local, SOL_SOCKET, SO_PASSCRED), 0);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_PASSSEC), -EOPNOTSUPP);
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_PASSSEC, 1), EOPNOTSUPP);
	CHECK_EQ(get(local, SOL_SOCKET, SO_PASSSEC), 0);
	CHECK_EQ(set(local, SOL_SOCKET, SO_PASSSEC, 7), 0);
	CHECK_EQ(get(local, SOL_SOCKET, SO_PASSSEC), 1);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_BPF_EXTENSIONS), 64);
	CHECK_EQ(set(fd, SOL_SOCKET, SO_BSDCOMPAT, 1), 0);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_BSDCOMPAT), 0);
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_BUSY_POLL, -1), EINVAL);
	CHECK_EQ(set(fd, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
	CHECK_ERRNO(set(local, SOL_SOCKET, SO_ZEROCOPY, 1), EOPNOTSUPP);
	CHECK_EQ(set(fd, SOL_SOCKET, SO_SNDBUF, 1 << 20), 0);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_SNDBUF), 2 << 20);
	CHECK_EQ(set(local, SOL_SOCKET, SO_TIMESTAMP, 1), 0);
	CHECK_EQ(set(local, SOL_SOCKET, SO_TIMESTAMPNS, 1), 0);
	CHECK_EQ(get(local, SOL_SOCKET, SO_TIMESTAMP), 0);
	CHECK_EQ(get(local, SOL_SOCKET, SO_TIMESTAMPNS), 1);
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_BINDTOIFINDEX, -1), EINVAL);
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_TIMESTAMPING, 1 << 20), EINVAL);
}

TEST(bytes_that_are_held_back)
{
	int ends[2];

	tcp_pair(ends);
	CHECK_EQ(send(ends[0], "abc", 3, MSG_MORE), 3);
	CHECK_EQ(waiting(ends[1]), 0);
	CHECK_EQ(send(ends[0], "def", 3, 0), 3);
	sleep_ms(2);
	CHECK_EQ(waiting(ends[1]), 6);
	CHECK_EQ(set(ends[0], IPPROTO_TCP, TCP_CORK, 1), 0);
	CHECK_EQ(send(ends[0], "ghi", 3, 0), 3);
	CHECK_EQ(waiting(ends[1]), 6);
	CHECK_EQ(set(ends[0], IPPROTO_TCP, TCP_CORK, 0), 0);
	sleep_ms(2);
	CHECK_EQ(waiting(ends[1]), 9);
	CHECK_EQ(set(ends[0], IPPROTO_TCP, TCP_CORK, 1), 0);
	CHECK_EQ(send(ends[0], "jkl", 3, 0), 3);
	CHECK_EQ(set(ends[0], IPPROTO_TCP, TCP_NODELAY, 1), 0);
	sleep_ms(2);
	CHECK_EQ(waiting(ends[1]), 12);
	CHECK_EQ(send(ends[0], "mno", 3, 0), 3);
	sleep_ms(500);
	CHECK_EQ(waiting(ends[1]), 15);
	CHECK_EQ(send(ends[0], "pqr", 3, 0), 3);
	CHECK_EQ(shutdown(ends[0], SHUT_WR), 0);
	sleep_ms(2);
	CHECK_EQ(waiting(ends[1]), 18);
	CHECK_STRING(got(ends[1], 40, 0), "abcdefghijklmnopqr");
}

TEST(how_much_is_left_to_receive)
{
	char data[3], control[64];
	struct iovec vector = {data, sizeof(data)};
	struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				.msg_controllen = sizeof(control)};
	struct cmsghdr *message;
	int ends[2];

	tcp_pair(ends);
	CHECK_EQ(set(ends[1], IPPROTO_TCP, TCP_INQ, 1), 0);
	MUST(send(ends[0], "hello", 5, 0));
	sleep_ms(2);
	CHECK_EQ(recvmsg(ends[1], &header, 0), 3);
	message = CMSG_FIRSTHDR(&header);
	CHECK(message != NULL && message->cmsg_level == IPPROTO_TCP && message->cmsg_type == TCP_INQ);
	CHECK_EQ(message != NULL ? *(int *)CMSG_DATA(message) : -1, 2);
	MUST(close(ends[0]));
	sleep_ms(2);
	header.msg_controllen = sizeof(control);
	CHECK_EQ(recvmsg(ends[1], &header, 0), 2);
	message = CMSG_FIRSTHDR(&header);
	CHECK_EQ(message != NULL ? *(int *)CMSG_DATA(message) : -1, 1);
}

TEST(connections_that_say_nothing)
{
	struct sockaddr_in address;
	int listener = listen_tcp(&address), client, other;

	CHECK_EQ(set(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 3), 0);
	client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_EQ(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	sleep_ms(2);
	CHECK_EQ(events_of(listener), 0);
	CHECK_EQ(send(client, "x", 1, 0), 1);
	sleep_ms(2);
	CHECK_EQ(events_of(listener), POLLIN);
	CHECK_OK(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
	other = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_EQ(connect(other, (struct sockaddr *)&address, sizeof(address)), 0);
	sleep_ms(2);
	CHECK_EQ(events_of(listener), 0);
	MUST(close(other));
	sleep_ms(2);
	CHECK_EQ(events_of(listener), POLLIN);
	MUST(close(listener));
}

TEST(connections_that_say_nothing_have_a_backlog)
{
	struct sockaddr_in address;
	struct linger at_once = {1, 0};
	int listener = listen_tcp(&address), clients[4];

	MUST(listen(listener, 1));
	make_non_blocking(listener);
	CHECK_EQ(set(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 60), 0);
	for (size_t i = 0; i < LENGTH(clients); i++) {
		clients[i] = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
		CHECK_EQ(connect(clients[i], (struct sockaddr *)&address, sizeof(address)), 0);
	}
	sleep_ms(2);
	/* Two find a place where they may be silent; the others are acceptable at once. */
	CHECK_OK(accept(listener, NULL, NULL));
	CHECK_OK(accept(listener, NULL, NULL));
	CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
	/* One that is reset gives up its place, and nobody hears of it. */
	MUST(setsockopt(clients[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
	MUST(close(clients[0]));
	clients[0] = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_EQ(connect(clients[0], (struct sockaddr *)&address, sizeof(address)), 0);
	sleep_ms(2);
	CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
	MUST(send(clients[1], "x", 1, 0));
	sleep_ms(2);
	CHECK_OK(accept(listener, NULL, NULL));
	CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
}

TEST(bytes_held_back_from_nobody)
{
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	tcp_pair(ends);
	CHECK_EQ(send(ends[0], "abc", 3, MSG_MORE), 3);
	MUST(close(ends[1]));
	sleep_ms(2);
	CHECK_EQ(set(ends[0], IPPROTO_TCP, TCP_NODELAY, 1), 0);
	sleep_ms(2);
	CHECK_ERRNO(send(ends[0], "def", 3, 0), EPIPE);
	MUST(close(ends[0]));
}

TEST(an_orphan_that_does_not_linger)
{
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	tcp_pair(ends);
	CHECK_EQ(set(ends[0], IPPROTO_TCP, TCP_LINGER2, -1), 0);
	MUST(close(ends[0]));
	sleep_ms(2);
	CHECK_STRING(got(ends[1], 4, 0), "");
	send(ends[1], "x", 1, 0);
	sleep_ms(2);
	CHECK_ERRNO(send(ends[1], "x", 1, 0), EPIPE);
}

/* How many times one byte can be sent before there is no more room. */
static int fill(int fd, int flags, int most)
{
	int count = 0;

	while (count < most && send(fd, "x", 1, flags | MSG_DONTWAIT) == 1)
		count++;
	return count;
}

TEST(urgent_bytes_take_room)
{
	int ends[2], most;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	most = fill(ends[0], 0, 10000);
	CHECK_ERRNO(send(ends[0], "x", 1, MSG_OOB | MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(events_of(ends[1]), POLLIN);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CHECK_EQ(fill(ends[0], MSG_OOB, 10000), most);
	CHECK_ERRNO(send(ends[0], "x", 1, MSG_OOB | MSG_DONTWAIT), EAGAIN);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CHECK_EQ(fill(ends[0], 0, most - 1), most - 1);
	CHECK_EQ(send(ends[0], "ab", 2, MSG_OOB | MSG_DONTWAIT), 1);
	CHECK_EQ(events_of(ends[1]), POLLIN);
	CHECK_EQ(waiting(ends[1]), most);
}

TEST(urgent_bytes_of_local_streams)
{
	int ends[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CHECK_EQ(events_of(ends[1]), 0);
	CHECK_EQ(at_mark(ends[1]), 0);
	CHECK_STRING(got(ends[1], 4, MSG_OOB), "EINVAL");
	CHECK_EQ(send(ends[0], "abc", 3, MSG_OOB), 3);
	CHECK_EQ(events_of(ends[1]), POLLIN | POLLPRI);
	CHECK_STRING(got(ends[1], 4, MSG_OOB | MSG_PEEK), "c");
	CHECK_STRING(got(ends[1], 4, 0), "ab");
	CHECK_EQ(at_mark(ends[1]), 1);
	CHECK_STRING(got(ends[1], 4, MSG_OOB), "c");
	CHECK_STRING(got(ends[1], 4, MSG_OOB), "EINVAL");
	CHECK_EQ(events_of(ends[1]), POLLIN);
	CHECK_STRING(got(ends[1], 4, 0), "EAGAIN");
	/* A second one makes the first one like others. */
	CHECK_EQ(send(ends[0], "a", 1, MSG_OOB), 1);
	CHECK_EQ(send(ends[0], "b", 1, MSG_OOB), 1);
	CHECK_STRING(got(ends[1], 4, 0), "a");
	CHECK_STRING(got(ends[1], 4, MSG_OOB), "b");
	/* What isn't asked for is passed by. */
	MUST(send(ends[0], "x", 1, 0));
	MUST(send(ends[0], "y", 1, MSG_OOB));
	MUST(send(ends[0], "z", 1, 0));
	CHECK_STRING(got(ends[1], 4, MSG_PEEK), "x");
	CHECK_STRING(got(ends[1], 4, 0), "x");
	CHECK_EQ(at_mark(ends[1]), 1);
	CHECK_STRING(got(ends[1], 4, 0), "z");
	CHECK_STRING(got(ends[1], 4, MSG_OOB), "EINVAL");
	/* SO_OOBINLINE: it stays in its place. */
	CHECK_EQ(set(ends[1], SOL_SOCKET, SO_OOBINLINE, 1), 0);
	MUST(send(ends[0], "x", 1, 0));
	MUST(send(ends[0], "y", 1, MSG_OOB));
	MUST(send(ends[0], "z", 1, 0));
	CHECK_STRING(got(ends[1], 4, MSG_OOB), "EINVAL");
	CHECK_STRING(got(ends[1], 4, 0), "x");
	CHECK_EQ(at_mark(ends[1]), 1);
	CHECK_STRING(got(ends[1], 4, 0), "yz");
	CHECK_EQ(at_mark(ends[1]), 0);
	CHECK_ERRNO(send(ends[0], "", 0, MSG_OOB), EOPNOTSUPP);
	MUST(send(ends[0], "o", 1, MSG_OOB));
	MUST(close(ends[1]));
	CHECK_STRING(got(ends[0], 4, 0), "ECONNRESET");
	CHECK_STRING(got(ends[0], 4, 0), "");
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	CHECK_ERRNO(send(ends[0], "x", 1, MSG_OOB), EOPNOTSUPP);
	CHECK_EQ(at_mark(ends[1]), -EOPNOTSUPP);
}

static void take_urgent_byte(int signal)
{
	char byte = 0;

	(void)signal;
	if (recv(urgent_fd, &byte, 1, MSG_OOB | MSG_DONTWAIT) == 1)
		urgent_byte = byte;
}

TEST(the_handler_of_sigurg_finds_the_byte)
{
	char text[8] = "";
	int ends[2];
	pid_t child;

	tcp_pair(ends);
	urgent_fd = ends[1];
	handle(SIGURG, take_urgent_byte, SA_RESTART);
	MUST(fcntl(ends[1], F_SETOWN, getpid()));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(50);
		send(ends[0], "U", 1, MSG_OOB);
		sleep_ms(50);
		send(ends[0], "rest", 4, 0);
		_exit(0);
	}
	CHECK_EQ(recv(ends[1], text, 7, 0), 4);
	CHECK_STRING(text, "rest");
	CHECK_EQ(urgent_byte, 'U');
	CHECK_EQ(wait_for(child), 0);
}

TEST(where_datagrams_were_sent_to)
{
	struct sockaddr_in address, *told;
	char control[200], data[4];
	struct iovec vector = {data, sizeof(data)};
	struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				.msg_controllen = sizeof(control)};
	struct cmsghdr *message;
	int fd = bound_udp(&address);

	CHECK_EQ(set(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, 1), 0);
	CHECK_EQ(set(fd, IPPROTO_IP, IP_RECVTTL, 1), 0);
	MUST(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	CHECK_EQ(recvmsg(fd, &header, 0), 1);
	message = CMSG_FIRSTHDR(&header);
	CHECK(message != NULL && message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_TTL);
	message = message == NULL ? NULL : CMSG_NXTHDR(&header, message);
	CHECK(message != NULL && message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_ORIGDSTADDR);
	if (message != NULL) {
		told = (void *)CMSG_DATA(message);
		CHECK_EQ(message->cmsg_len, CMSG_LEN(sizeof(*told)));
		CHECK_EQ(told->sin_port, address.sin_port);
		CHECK_EQ(told->sin_addr.s_addr, address.sin_addr.s_addr);
	}
}

TEST(udp_connected_to_port_0)
{
	struct sockaddr_in any = {.sin_family = AF_INET}, name;
	socklen_t length = sizeof(name);
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	CHECK_EQ(connect(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	CHECK_ERRNO(getpeername(fd, (struct sockaddr *)&name, &length), ENOTCONN);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&name, &length), 0);
	CHECK_EQ(name.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(send(fd, "x", 1, 0), 1);
}

TEST(addresses_of_ipv4_written_as_ipv6)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
	struct sockaddr_in6 plain = {.sin6_family = AF_INET6, .sin6_port = htons(7), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in6 bound;
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	MUST(inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr) == 1 ? 0 : -1);
	bound = mapped;
	bound.sin6_port = 0;
	CHECK_EQ(bind(fd, (struct sockaddr *)&bound, sizeof(bound)), 0);
	CHECK_ERRNO(connect(fd, (struct sockaddr *)&plain, sizeof(plain)), EAFNOSUPPORT);
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (struct sockaddr *)&plain, sizeof(plain)), EAFNOSUPPORT);
	fd = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	CHECK_EQ(bind(fd, (struct sockaddr *)&bound, sizeof(bound)), 0);
	CHECK_ERRNO(connect(fd, (struct sockaddr *)&plain, sizeof(plain)), EAFNOSUPPORT);
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	bound = plain;
	bound.sin6_port = 0;
	CHECK_EQ(bind(fd, (struct sockaddr *)&bound, sizeof(bound)), 0);
	CHECK_ERRNO(connect(fd, (struct sockaddr *)&mapped, sizeof(mapped)), ENETUNREACH);
}

TEST(when_the_last_datagram_came)
{
	struct sockaddr_in address;
	struct timeval time_of_day = {0};
	struct timespec precise = {0};
	int fd = bound_udp(&address), ends[2];

	CHECK_ERRNO(ioctl(fd, SIOCGSTAMP_OLD, &time_of_day), ENOENT);
	MUST(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	CHECK_STRING(got(fd, 4, 0), "x");
	CHECK_EQ(ioctl(fd, SIOCGSTAMP_OLD, &time_of_day), 0);
	CHECK(labs(time_of_day.tv_sec - time(NULL)) < 5);
	CHECK_EQ(ioctl(fd, SIOCGSTAMPNS_OLD, &precise), 0);
	CHECK(labs(precise.tv_sec - time(NULL)) < 5 && precise.tv_nsec < 1000000000);
	CHECK_ERRNO(ioctl(fd, SIOCGSTAMP_OLD, bad_address()), EFAULT);
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	CHECK_ERRNO(ioctl(ends[0], SIOCGSTAMP_OLD, &time_of_day), ENOTTY);
}

/* A local datagram that was sent before that was asked for has the time of who asks first, peeking or not. */
TEST(when_a_local_datagram_came)
{
	char control[128], data[4];
	struct iovec vector = {data, sizeof(data)};
	struct timeval times[3] = {0};
	struct timeval before, after;
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	MUST(send(pair[0], "a", 1, 0));
	MUST(send(pair[0], "b", 1, 0));
	usleep(2000);
	gettimeofday(&before, NULL);
	CHECK_EQ(set(pair[1], SOL_SOCKET, SO_TIMESTAMP, 1), 0);
	for (int i = 0; i < 3; i++) {
		struct msghdr header = {NULL, 0, &vector, 1, control, sizeof(control), 0};
		struct cmsghdr *item;

		usleep(2000);
		CHECK_EQ(recvmsg(pair[1], &header, i == 0 ? MSG_PEEK : 0), 1);
		CHECK_EQ(data[0], i == 2 ? 'b' : 'a');
		item = CMSG_FIRSTHDR(&header);
		CHECK(item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMP);
		if (item)
			memcpy(&times[i], CMSG_DATA(item), sizeof(times[i]));
	}
	gettimeofday(&after, NULL);
	CHECK(timercmp(&times[0], &before, >=) && timercmp(&times[2], &after, <=));
	CHECK(timercmp(&times[0], &times[1], ==));
	CHECK(timercmp(&times[1], &times[2], <));
	MUST(close(pair[0]));
	MUST(close(pair[1]));
}

TEST(buffers_that_end_too_soon)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ends[2], local[2];

	MUST(page == MAP_FAILED ? -1 : 0);
	MUST(munmap(page + 4096, 4096));
	struct iovec vectors[2] = {{page, 10}, {page + 4096, 10}};
	struct msghdr header = {.msg_iov = vectors, .msg_iovlen = 2};

	tcp_pair(ends);
	CHECK_ERRNO(send(ends[0], page + 4090, 20, 0), EFAULT);
	CHECK_ERRNO(sendmsg(ends[0], &header, 0), EFAULT);
	CHECK_ERRNO(write(ends[0], page + 4090, 20), EFAULT);
	CHECK_EQ(waiting(ends[1]), 0);
	MUST(send(ends[0], "0123456789", 10, 0));
	sleep_ms(2);
	CHECK_ERRNO(recv(ends[1], page + 4090, 20, MSG_DONTWAIT), EFAULT);
	CHECK_EQ(waiting(ends[1]), 10);
	CHECK_EQ(recv(ends[1], page + 4000, 200, MSG_DONTWAIT), 10);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, local));
	CHECK_ERRNO(send(local[0], page + 4090, 20, 0), EFAULT);
	CHECK_ERRNO(sendmsg(local[0], &header, 0), EFAULT);
	CHECK_EQ(waiting(local[1]), 0);
	MUST(send(local[0], "01234", 5, 0));
	MUST(send(local[0], "56789", 5, 0));
	CHECK_EQ(recv(local[1], page + 4090, 20, MSG_DONTWAIT), 5);
	CHECK_EQ(waiting(local[1]), 5);
}

TEST(filters_of_datagrams)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'a', 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 10),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_filter told[8];
	struct sock_fprog filter = {LENGTH(program), program};
	struct sockaddr_in address;
	socklen_t length = 0;
	int fd = bound_udp(&address), ends[2];

	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0), ENOENT);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
	CHECK_EQ(sendto(fd, "bcdefg", 6, 0, (struct sockaddr *)&address, sizeof(address)), 6);
	CHECK_STRING(got(fd, 9, 0), "EAGAIN");
	CHECK_EQ(sendto(fd, "abcdefg", 7, 0, (struct sockaddr *)&address, sizeof(address)), 7);
	CHECK_STRING(got(fd, 9, 0), "ab");
	CHECK_EQ(sendto(fd, "", 0, 0, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_STRING(got(fd, 9, 0), "EAGAIN");
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, told, &length), 0);
	CHECK_EQ(length, LENGTH(program));
	length = 3;
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, told, &length), EINVAL);
	length = LENGTH(told);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, told, &length), 0);
	CHECK_EQ(memcmp(told, program, sizeof(program)), 0);
	/* Bytes of IP's header, the interface, and what isn't there. */
	program[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (unsigned int)SKF_NET_OFF + 9);
	program[1].k = IPPROTO_UDP;
	program[2].k = 9;
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
	MUST(sendto(fd, "abc", 3, 0, (struct sockaddr *)&address, sizeof(address)));
	CHECK_STRING(got(fd, 9, 0), "a");
	program[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned int)SKF_AD_OFF + SKF_AD_PROTOCOL);
	program[1].k = 0x0800;
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
	MUST(sendto(fd, "abc", 3, 0, (struct sockaddr *)&address, sizeof(address)));
	CHECK_STRING(got(fd, 9, 0), "a");
	program[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0);
	program[1].k = 11;
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
	MUST(sendto(fd, "abc", 3, 0, (struct sockaddr *)&address, sizeof(address)));
	CHECK_STRING(got(fd, 9, 0), "a");
	program[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned int)SKF_AD_OFF + 64);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), EINVAL);
	filter.len = 0;
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), EINVAL);
	filter.len = 1;
	filter.filter = bad_address();
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), EFAULT);
	filter.filter = NULL;
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, 15), EINVAL);
	CHECK_EQ(set(fd, SOL_SOCKET, SO_LOCK_FILTER, 1), 0);
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_LOCK_FILTER, 0), EPERM);
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0), EPERM);
	/* A local datagram that isn't let in is nobody's error. */
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	program[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0);
	program[1].k = 'a';
	program[2].k = 2;
	filter = (struct sock_fprog){LENGTH(program), program};
	CHECK_EQ(setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
	CHECK_EQ(send(ends[0], "bbb", 3, 0), 3);
	CHECK_STRING(got(ends[1], 9, 0), "EAGAIN");
	CHECK_EQ(send(ends[0], "abcd", 4, 0), 4);
	CHECK_STRING(got(ends[1], 9, 0), "ab");
	CHECK_EQ(set(ends[1], SOL_SOCKET, SO_DETACH_FILTER, 0), 0);
	CHECK_EQ(send(ends[0], "bbb", 3, 0), 3);
	CHECK_STRING(got(ends[1], 9, 0), "bbb");
}

static int join_or_leave(int fd, int name, const char *group, const char *interface)
{
	struct ip_mreq request;

	MUST(inet_pton(AF_INET, group, &request.imr_multiaddr) == 1 ? 0 : -1);
	MUST(inet_pton(AF_INET, interface, &request.imr_interface) == 1 ? 0 : -1);
	return setsockopt(fd, IPPROTO_IP, name, &request, sizeof(request));
}

TEST(groups_on_the_loopback)
{
	struct sockaddr_in address = {.sin_family = AF_INET}, group = {.sin_family = AF_INET};
	struct in_addr chosen = {htonl(INADDR_LOOPBACK)};
	struct ip_mreq_source source = {.imr_interface = chosen, .imr_sourceaddr = chosen};
	struct group_req request = {.gr_interface = 1};
	socklen_t length = sizeof(address);
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), sender = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	int tcp = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	MUST(getsockname(fd, (struct sockaddr *)&address, &length));
	MUST(inet_pton(AF_INET, "224.5.6.7", &group.sin_addr) == 1 ? 0 : -1);
	group.sin_port = address.sin_port;
	source.imr_multiaddr = group.sin_addr;
	CHECK_EQ(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &chosen, sizeof(chosen)), 0);
	CHECK_EQ(sendto(sender, "0", 1, 0, (struct sockaddr *)&group, sizeof(group)), 1);
	CHECK_STRING(got(fd, 9, 0), "EAGAIN");
	CHECK_EQ(join_or_leave(fd, IP_ADD_MEMBERSHIP, "224.5.6.7", "127.0.0.1"), 0);
	CHECK_ERRNO(join_or_leave(fd, IP_ADD_MEMBERSHIP, "224.5.6.7", "127.0.0.1"), EADDRINUSE);
	CHECK_ERRNO(join_or_leave(fd, IP_ADD_MEMBERSHIP, "224.5.6.7", "1.2.3.4"), ENODEV);
	CHECK_ERRNO(join_or_leave(fd, IP_ADD_MEMBERSHIP, "1.2.3.4", "127.0.0.1"), EINVAL);
	CHECK_ERRNO(join_or_leave(fd, IP_DROP_MEMBERSHIP, "224.5.6.8", "127.0.0.1"), EADDRNOTAVAIL);
	CHECK_ERRNO(join_or_leave(tcp, IP_ADD_MEMBERSHIP, "224.5.6.7", "127.0.0.1"), EPROTO);
	CHECK_EQ(sendto(sender, "1", 1, 0, (struct sockaddr *)&group, sizeof(group)), 1);
	CHECK_STRING(got(fd, 9, 0), "1");
	CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_BLOCK_SOURCE, &source, sizeof(source)), 0);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_BLOCK_SOURCE, &source, sizeof(source)), EADDRNOTAVAIL);
	CHECK_EQ(sendto(sender, "2", 1, 0, (struct sockaddr *)&group, sizeof(group)), 1);
	CHECK_STRING(got(fd, 9, 0), "EAGAIN");
	CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_UNBLOCK_SOURCE, &source, sizeof(source)), 0);
	CHECK_EQ(sendto(sender, "3", 1, 0, (struct sockaddr *)&group, sizeof(group)), 1);
	CHECK_STRING(got(fd, 9, 0), "3");
	CHECK_EQ(join_or_leave(fd, IP_DROP_MEMBERSHIP, "224.5.6.7", "127.0.0.1"), 0);
	CHECK_ERRNO(join_or_leave(fd, IP_DROP_MEMBERSHIP, "224.5.6.7", "127.0.0.1"), EADDRNOTAVAIL);
	CHECK_EQ(sendto(sender, "4", 1, 0, (struct sockaddr *)&group, sizeof(group)), 1);
	CHECK_STRING(got(fd, 9, 0), "EAGAIN");
	memcpy(&request.gr_group, &group, sizeof(group));
	CHECK_EQ(setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof(request)), 0);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof(request)), EADDRINUSE);
	CHECK_EQ(sendto(sender, "5", 1, 0, (struct sockaddr *)&group, sizeof(group)), 1);
	CHECK_STRING(got(fd, 9, 0), "5");
	CHECK_EQ(setsockopt(fd, IPPROTO_IP, MCAST_LEAVE_GROUP, &request, sizeof(request)), 0);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, MCAST_LEAVE_GROUP, &request, sizeof(request)), EADDRNOTAVAIL);
	request.gr_group.ss_family = AF_UNIX;
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof(request)), EINVAL);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof(request) - 1), EINVAL);
}

TEST(groups_of_ipv6)
{
	struct ipv6_mreq request = {.ipv6mr_interface = 1}, wrong = {.ipv6mr_multiaddr = in6addr_loopback};
	struct group_req group = {.gr_interface = 1};
	struct sockaddr_in6 address = {.sin6_family = AF_INET6};
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), tcp = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));

	MUST(inet_pton(AF_INET6, "ff02::123", &request.ipv6mr_multiaddr) == 1 ? 0 : -1);
	address.sin6_addr = request.ipv6mr_multiaddr;
	CHECK_EQ(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request)), 0);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request)), EADDRINUSE);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &wrong, sizeof(wrong)), EINVAL);
	CHECK_ERRNO(setsockopt(tcp, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request)), EPROTO);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request) - 1), EINVAL);
	CHECK_EQ(setsockopt(fd, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &request, sizeof(request)), 0);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &request, sizeof(request)), EADDRNOTAVAIL);
	request.ipv6mr_interface = 9999;
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request)), ENODEV);
	memcpy(&group.gr_group, &address, sizeof(address));
	CHECK_EQ(setsockopt(fd, IPPROTO_IPV6, MCAST_JOIN_GROUP, &group, sizeof(group)), 0);
	CHECK_EQ(setsockopt(fd, IPPROTO_IPV6, MCAST_LEAVE_GROUP, &group, sizeof(group)), 0);
	group.gr_group.ss_family = AF_INET;
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, MCAST_JOIN_GROUP, &group, sizeof(group)), EADDRNOTAVAIL);
	CHECK_ERRNO(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, 9999), ENODEV);
	CHECK_ERRNO(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 2), EINVAL);
}

/* Listen to a source of a group, both by their numbers. */
static int hear(int fd, int group, int source, int option)
{
	struct group_source_req request = {.gsr_interface = 1};
	struct sockaddr_in6 *to = (void *)&request.gsr_group, *from = (void *)&request.gsr_source;

	to->sin6_family = from->sin6_family = AF_INET6;
	MUST(inet_pton(AF_INET6, "ff02::1:0", &to->sin6_addr) == 1 ? 0 : -1);
	MUST(inet_pton(AF_INET6, "2001:db8::1:0", &from->sin6_addr) == 1 ? 0 : -1);
	to->sin6_addr.s6_addr16[7] = htons(group);
	from->sin6_addr.s6_addr16[7] = htons(source);
	return setsockopt(fd, IPPROTO_IPV6, option, &request, sizeof(request));
}

TEST(groups_have_an_end)
{
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), count = 0;
	struct ipv6_mreq request = {.ipv6mr_interface = 1};

	while (count < 100 && hear(fd, 1, count, MCAST_JOIN_SOURCE_GROUP) == 0)
		count++;
	CHECK_EQ(errno, ENOBUFS);
	CHECK_EQ(count, 64);
	for (count = 0; count < 64; count++)
		MUST(hear(fd, 1, count, MCAST_LEAVE_SOURCE_GROUP));
	while (count < 1000 && hear(fd, count, 1, MCAST_JOIN_SOURCE_GROUP) == 0)
		count++;
	CHECK_EQ(errno, ENOMEM);
	CHECK_EQ(count, 64 + 546);
	/* There is room for ten sources each, not for more. */
	for (count = 2; count < 20 && hear(fd, 100, count, MCAST_JOIN_SOURCE_GROUP) == 0;)
		count++;
	CHECK_EQ(errno, ENOBUFS);
	CHECK_EQ(count, 11);
	MUST(close(fd));
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(inet_pton(AF_INET6, "ff02::2:0", &request.ipv6mr_multiaddr) == 1 ? 0 : -1);
	for (count = 0; count < 4000; count++) {
		request.ipv6mr_multiaddr.s6_addr16[7] = htons(count);
		if (setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request)))
			break;
	}
	CHECK_EQ(errno, ENOMEM);
	CHECK_EQ(count, 2340);
	MUST(close(fd));
}

/* Receive from the queue of errors: how many bytes, and what is told with them, "" for nothing. */
static const char *stamp(int fd)
{
	static char text[256], data[256];
	char control[512];
	struct iovec vector = {data, sizeof(data)};
	struct sockaddr_storage name;
	struct msghdr header = {&name, sizeof(name), &vector, 1, control, sizeof(control), 0};
	ssize_t count = recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);

	if (count == -1)
		return check_errno_name(errno);
	sprintf(text, "%zd%s%s", count, header.msg_flags == MSG_ERRQUEUE ? "" : " flags", header.msg_namelen ? " name" : "");
	for (struct cmsghdr *each = CMSG_FIRSTHDR(&header); each; each = CMSG_NXTHDR(&header, each)) {
		char *end = text + strlen(text);

		if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SO_TIMESTAMPING) {
			struct timespec *times = (void *)CMSG_DATA(each);

			sprintf(end, " time%s", times[0].tv_sec && !times[1].tv_sec && !times[2].tv_sec ? "" : "?");
		} else {
			struct sock_extended_err *error = (void *)CMSG_DATA(each);

			sprintf(end, " errno %u origin %u info %u data %u from %u", error->ee_errno, error->ee_origin, error->ee_info,
				error->ee_data, SO_EE_OFFENDER(error)->sa_family);
		}
	}
	return text;
}

static int stamping(int flags, struct sockaddr_in *address)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	CHECK_EQ(set(fd, SOL_SOCKET, SO_TIMESTAMPING, flags), 0);
	for (int i = 0; i < 2; i++)
		MUST(sendto(fd, "abc", 3, 0, (struct sockaddr *)address, sizeof(*address)));
	return fd;
}

TEST(when_datagrams_were_sent)
{
	const int sent = SOF_TIMESTAMPING_TX_SOFTWARE, told = SOF_TIMESTAMPING_SOFTWARE;
	struct sockaddr_in address;
	struct pollfd polled = {.events = POLLIN | POLLOUT};
	int receiver = bound_udp(&address), fd = stamping(sent | told, &address), count = 0;

	polled.fd = fd;
	MUST(poll(&polled, 1, 0));
	CHECK_EQ(polled.revents, POLLERR | POLLOUT);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_ERROR), 0);
	CHECK_STRING(got(fd, 9, 0), "EAGAIN");
	CHECK_STRING(stamp(fd), "45 time errno 42 origin 4 info 0 data 0 from 0");
	CHECK_STRING(stamp(fd), "45 time errno 42 origin 4 info 0 data 0 from 0");
	CHECK_STRING(stamp(fd), "EAGAIN");
	MUST(poll(&polled, 1, 0));
	CHECK_EQ(polled.revents, POLLOUT);
	CHECK_STRING(stamp(stamping(sent, &address)), "45 errno 42 origin 4 info 0 data 0 from 0");
	CHECK_STRING(stamp(stamping(told, &address)), "EAGAIN");
	fd = stamping(sent | told | SOF_TIMESTAMPING_OPT_TSONLY | SOF_TIMESTAMPING_OPT_ID, &address);
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 0 data 0 from 0");
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 0 data 1 from 0");
	MUST(sendto(fd, "abc", 3, 0, (struct sockaddr *)&address, sizeof(address)));
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 0 data 2 from 0");
	fd = stamping(sent | told | SOF_TIMESTAMPING_TX_SCHED, &address);
	CHECK_STRING(stamp(fd), "45 time errno 42 origin 4 info 1 data 0 from 0");
	CHECK_STRING(stamp(fd), "45 time errno 42 origin 4 info 0 data 0 from 0");
	CHECK_STRING(stamp(fd), "45 time errno 42 origin 4 info 1 data 0 from 0");
	CHECK_STRING(stamp(stamping(sent | told | SOF_TIMESTAMPING_OPT_CMSG, &address)),
		     "45 time errno 42 origin 4 info 0 data 0 from 2");
	/* The queue has as much room as the buffer. */
	fd = stamping(sent, &address);
	CHECK_EQ(set(fd, SOL_SOCKET, SO_RCVBUF, 4096), 0);
	for (int i = 0; i < 50; i++)
		MUST(sendto(fd, "abc", 3, 0, (struct sockaddr *)&address, sizeof(address)));
	while (strcmp(stamp(fd), "EAGAIN"))
		count++;
	CHECK(count > 5 && count < 15);
	MUST(close(receiver));
}

/* Sends `text` with a control message of SO_TIMESTAMPING: how many bytes, or -1. */
static ssize_t send_stamped(int fd, const char *text, int flags, size_t length)
{
	char control[CMSG_SPACE(8)] = {0};
	struct iovec vector = {(void *)(uintptr_t)text, strlen(text)};
	struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(length)};
	struct cmsghdr *message = CMSG_FIRSTHDR(&header);

	message->cmsg_level = SOL_SOCKET;
	message->cmsg_type = SO_TIMESTAMPING;
	message->cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(message), &flags, sizeof(flags));
	return sendmsg(fd, &header, 0);
}

TEST(stamps_of_one_message)
{
	const int sent = SOF_TIMESTAMPING_TX_SOFTWARE, told = SOF_TIMESTAMPING_SOFTWARE;
	struct sockaddr_in address;
	int receiver = bound_udp(&address), fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), ends[2];

	MUST(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	CHECK_EQ(set(fd, SOL_SOCKET, SO_TIMESTAMPING, told), 0);
	CHECK_ERRNO(send_stamped(fd, "abc", told, 4), EINVAL);
	CHECK_ERRNO(send_stamped(fd, "abc", SOF_TIMESTAMPING_RX_SOFTWARE, 4), EINVAL);
	CHECK_ERRNO(send_stamped(fd, "abc", sent, 8), EINVAL);
	CHECK_EQ(send_stamped(fd, "abc", sent, 4), 3);
	CHECK_STRING(stamp(fd), "45 time errno 42 origin 4 info 0 data 0 from 0");
	CHECK_STRING(stamp(fd), "EAGAIN");
	MUST(send(fd, "abc", 3, 0));
	CHECK_STRING(stamp(fd), "EAGAIN");
	CHECK_EQ(send_stamped(fd, "abc", sent | SOF_TIMESTAMPING_TX_SCHED, 4), 3);
	CHECK_STRING(stamp(fd), "45 time errno 42 origin 4 info 1 data 0 from 0");
	CHECK_STRING(stamp(fd), "45 time errno 42 origin 4 info 0 data 0 from 0");
	/* It takes the place of what the socket wants of all. */
	CHECK_EQ(set(fd, SOL_SOCKET, SO_TIMESTAMPING, sent | told | SOF_TIMESTAMPING_OPT_ID), 0);
	CHECK_EQ(send_stamped(fd, "abc", 0, 4), 3);
	CHECK_STRING(stamp(fd), "EAGAIN");
	MUST(send(fd, "abc", 3, 0));
	CHECK_STRING(stamp(fd), "45 time errno 42 origin 4 info 0 data 0 from 0");
	MUST(close(receiver));
	tcp_pair(ends);
	CHECK_EQ(set(ends[0], SOL_SOCKET, SO_TIMESTAMPING, told | SOF_TIMESTAMPING_OPT_TSONLY), 0);
	CHECK_ERRNO(send_stamped(ends[0], "abc", told, 4), EINVAL);
	CHECK_EQ(send_stamped(ends[0], "abc", sent, 4), 3);
	sleep_ms(2);
	CHECK_STRING(stamp(ends[0]), "0 time errno 42 origin 4 info 0 data 0 from 0");
	MUST(send(ends[0], "abc", 3, 0));
	sleep_ms(2);
	CHECK_STRING(stamp(ends[0]), "EAGAIN");
	CHECK_EQ(send_stamped(ends[0], "abc", SOF_TIMESTAMPING_TX_ACK, 4), 3);
	sleep_ms(50);
	CHECK_STRING(stamp(ends[0]), "0 time errno 42 origin 4 info 2 data 0 from 0");
}

/* Turns stamps on, sends after something that isn't stamped, and gives what is told to be read one by one. */
static int stamped_stream(int flags, const char *text, int ends[2])
{
	tcp_pair(ends);
	MUST(send(ends[0], "before", 6, 0));
	sleep_ms(2);
	CHECK_EQ(set(ends[0], SOL_SOCKET, SO_TIMESTAMPING, flags), 0);
	MUST(send(ends[0], text, strlen(text), 0));
	sleep_ms(2);
	return ends[0];
}

TEST(when_bytes_were_sent_and_acknowledged)
{
	const int sent = SOF_TIMESTAMPING_TX_SOFTWARE, told = SOF_TIMESTAMPING_SOFTWARE;
	const int others = SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_ACK;
	const int numbered = sent | told | SOF_TIMESTAMPING_OPT_ID, time_only = SOF_TIMESTAMPING_OPT_TSONLY;
	struct pollfd polled = {.events = POLLIN | POLLOUT};
	int ends[2], fd = stamped_stream(sent | told, "abc", ends);
	static char much[200000];
	char byte;

	polled.fd = fd;
	MUST(poll(&polled, 1, 0));
	CHECK_EQ(polled.revents, POLLERR | POLLOUT);
	CHECK_STRING(stamp(fd), "69 time errno 42 origin 4 info 0 data 0 from 0");
	CHECK_STRING(stamp(fd), "EAGAIN");
	MUST(poll(&polled, 1, 0));
	CHECK_EQ(polled.revents, POLLOUT);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_ERROR), 0);
	/* Who isn't to be told the time is told the rest; what is acknowledged has no headers any more. */
	fd = stamped_stream(sent | others, "abcd", ends);
	CHECK_STRING(stamp(fd), "70 errno 42 origin 4 info 1 data 0 from 0");
	CHECK_STRING(stamp(fd), "70 errno 42 origin 4 info 0 data 0 from 0");
	CHECK_STRING(stamp(fd), "4 errno 42 origin 4 info 2 data 0 from 0");
	CHECK_STRING(stamp(fd), "EAGAIN");
	/* The number is that of the last byte, from where the stream was. */
	fd = stamped_stream(numbered | others | time_only, "abc", ends);
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 1 data 2 from 0");
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 0 data 2 from 0");
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 2 data 2 from 0");
	MUST(send(fd, "defg", 4, 0));
	MUST(recv(ends[1], &byte, 1, 0));
	sleep_ms(2);
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 1 data 6 from 0");
	fd = stamped_stream(numbered | SOF_TIMESTAMPING_OPT_ID_TCP | SOF_TIMESTAMPING_OPT_CMSG, "abc", ends);
	CHECK_STRING(stamp(fd), "69 time errno 42 origin 4 info 0 data 2 from 2");
	/* What is held back goes in one segment, which has one stamp. */
	MUST(send(fd, "x", 1, MSG_MORE));
	MUST(send(fd, "y", 1, MSG_MORE));
	sleep_ms(2);
	CHECK_STRING(stamp(fd), "EAGAIN");
	MUST(send(fd, "z", 1, 0));
	sleep_ms(2);
	CHECK_STRING(stamp(fd), "69 time errno 42 origin 4 info 0 data 5 from 2");
	CHECK_STRING(stamp(fd), "EAGAIN");
	/* One call has one, however long: its last byte's, which waits until there is room. */
	fd = stamped_stream(numbered | time_only, "abc", ends);
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 0 data 2 from 0");
	CHECK_EQ(send(fd, much, sizeof(much), MSG_DONTWAIT), (ssize_t)sizeof(much));
	sleep_ms(2);
	CHECK_STRING(stamp(fd), "EAGAIN");
	for (size_t count = 0; count < sizeof(much) + 9; count += (size_t)MUST(recv(ends[1], much, sizeof(much), 0)))
		continue;
	sleep_ms(2);
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 0 data 200002 from 0");
	CHECK_STRING(stamp(fd), "EAGAIN");
	/* What finds no room at the other end waits, and becomes one segment meanwhile. */
	tcp_pair(ends);
	CHECK_EQ(set(ends[1], SOL_SOCKET, SO_RCVBUF, 4096), 0);
	while (send(ends[0], much, sizeof(much), MSG_DONTWAIT) > 0)
		sleep_ms(2);
	CHECK_EQ(set(ends[0], SOL_SOCKET, SO_TIMESTAMPING, sent | told | time_only), 0);
	while (send(ends[0], "x", 1, MSG_DONTWAIT) != 1)
		MUST(recv(ends[1], much, sizeof(much), MSG_DONTWAIT));
	for (int count = 0; count < 9; count++)
		MUST(send(ends[0], "x", 1, MSG_DONTWAIT));
	CHECK_STRING(stamp(ends[0]), "EAGAIN");
	make_non_blocking(ends[1]);
	for (int count = 0; count < 20000 && strcmp(stamp(ends[0]), "EAGAIN") == 0; count++) {
		if (recv(ends[1], much, sizeof(much), 0) == -1)
			sleep_ms(1);
	}
	sleep_ms(2);
	CHECK_STRING(stamp(ends[0]), "EAGAIN");
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_OPT_ID_TCP), EINVAL);
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_TIMESTAMPING, told | SOF_TIMESTAMPING_OPT_STATS), EINVAL);
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_TIMESTAMPING, numbered), EINVAL);
	CHECK_EQ(set(fd, SOL_SOCKET, SO_TIMESTAMPING, sent | told), 0);
	CHECK_STRING(stamp(fd), "EAGAIN");
	MUST(bind(fd, (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET}, sizeof(struct sockaddr_in)));
	MUST(listen(fd, 1));
	CHECK_STRING(stamp(fd), "EAGAIN");
}

TEST(figures_that_go_with_a_stamp)
{
	const int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY |
			  SOF_TIMESTAMPING_OPT_STATS;
	char data[1024], control[1024];
	struct iovec vector = {data, sizeof(data)};
	struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				.msg_controllen = sizeof(control)};
	struct cmsghdr *message;
	int ends[2], fd = stamped_stream(flags, "abc", ends);
	ssize_t count = recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
	uint64_t sent = 0;

	CHECK(count > 200);
	message = CMSG_FIRSTHDR(&header);
	CHECK(message != NULL && message->cmsg_type == SO_TIMESTAMPING);
	message = message == NULL ? NULL : CMSG_NXTHDR(&header, message);
	CHECK(message != NULL && message->cmsg_level == SOL_SOCKET && message->cmsg_type == SCM_TIMESTAMPING_OPT_STATS);
	CHECK(message != NULL && message->cmsg_len == CMSG_LEN((size_t)count) &&
	      memcmp(CMSG_DATA(message), data, (size_t)count) == 0);
	for (ssize_t at = 0; at + 4 <= count && ((uint16_t *)(data + at))[0] >= 4;
	     at += (((uint16_t *)(data + at))[0] + 3) & ~3) {
		if (((uint16_t *)(data + at))[1] == 18 /* TCP_NLA_BYTES_SENT */)
			memcpy(&sent, data + at + 4, 8);
	}
	CHECK_EQ(sent, 9);
}

/* With tstamp_allow_data off, a stamp tells bytes only to who may see all packets. */
static void send_and_look(int is_root)
{
	const int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
	struct sockaddr_in address;
	int receiver = bound_udp(&address), ends[2], fd;

	CHECK_STRING(stamp(stamping(flags, &address)), is_root ? "45 time errno 42 origin 4 info 0 data 0 from 0" : "EAGAIN");
	CHECK_STRING(stamp(stamping(flags | SOF_TIMESTAMPING_OPT_TSONLY, &address)),
		     "0 time errno 42 origin 4 info 0 data 0 from 0");
	fd = stamped_stream(flags, "abc", ends);
	CHECK_STRING(stamp(fd), is_root ? "69 time errno 42 origin 4 info 0 data 0 from 0" : "EAGAIN");
	fd = stamped_stream(flags | SOF_TIMESTAMPING_OPT_TSONLY, "abc", ends);
	CHECK_STRING(stamp(fd), "0 time errno 42 origin 4 info 0 data 0 from 0");
	MUST(close(receiver));
}

TEST(whom_stamps_tell_bytes)
{
	const char *name = "/proc/sys/net/core/tstamp_allow_data";
	pid_t child;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) == -1)
		return;
	/* Before Linux 6.13 there is one for all networks. */
	if (access(name, W_OK) == -1)
		return;
	bring_up_loopback();
	CHECK_ERRNO(write_text(name, "2"), EINVAL);
	CHECK_EQ(write_text(name, "0"), 0);
	send_and_look(1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		send_and_look(0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(write_text(name, "1"), 0);
}

TEST(bytes_for_who_was_shut_down)
{
	struct pollfd polled = {.events = POLLIN | POLLOUT};
	int ends[2];
	char byte;

	tcp_pair(ends);
	CHECK_EQ(shutdown(ends[0], SHUT_RDWR), 0);
	CHECK_EQ(recv(ends[1], &byte, 1, 0), 0);
	CHECK_EQ(send(ends[1], "x", 1, MSG_NOSIGNAL), 1);
	sleep_ms(2);
	polled.fd = ends[0];
	MUST(poll(&polled, 1, 0));
	CHECK_EQ(polled.revents, POLLIN | POLLOUT | POLLERR | POLLHUP);
	CHECK_ERRNO(send(ends[0], "x", 1, MSG_NOSIGNAL), ECONNRESET);
	CHECK_ERRNO(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(recv(ends[0], &byte, 1, MSG_DONTWAIT), 0);
	CHECK_ERRNO(send(ends[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	/* Who only doesn't want to read gets all the same. */
	tcp_pair(ends);
	CHECK_EQ(shutdown(ends[0], SHUT_RD), 0);
	CHECK_EQ(send(ends[1], "x", 1, MSG_NOSIGNAL), 1);
	sleep_ms(2);
	CHECK_EQ(recv(ends[0], &byte, 1, MSG_DONTWAIT), 1);
	CHECK_EQ(send(ends[0], "x", 1, MSG_NOSIGNAL), 1);
	CHECK_EQ(recv(ends[1], &byte, 1, 0), 1);
}

TEST(lengths_of_what_is_peeked_at)
{
	struct sockaddr_in address;
	int fd = bound_udp(&address);
	char text[16];

	MUST(sendto(fd, "0123456789", 10, 0, (struct sockaddr *)&address, sizeof(address)));
	CHECK_EQ(set(fd, SOL_SOCKET, SO_PEEK_OFF, 1), 0);
	CHECK_EQ(recv(fd, text, 3, MSG_PEEK), 3);
	CHECK_EQ(text[0], '1');
	CHECK_EQ(get(fd, SOL_SOCKET, SO_PEEK_OFF), 4);
	CHECK_EQ(recv(fd, text, 16, MSG_PEEK | MSG_TRUNC), 10);
	CHECK_EQ(text[0], '4');
	/* All of it counts, once more. */
	CHECK_EQ(get(fd, SOL_SOCKET, SO_PEEK_OFF), 14);
	CHECK_EQ(recv(fd, text, 16, 0), 10);
	CHECK_EQ(get(fd, SOL_SOCKET, SO_PEEK_OFF), 4);
}

TEST(repair_is_not_for_everybody)
{
	int options[] = {TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_REPAIR_OPTIONS, TCP_REPAIR_WINDOW};
	int refusals[] = {EPERM, EINVAL, EINVAL, EPERM};
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), value = 1;
		struct tcp_repair_window window = {0};
		socklen_t length = sizeof(value);

		if (geteuid() == 0)
			MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_ERRNO(setsockopt(fd, SOL_TCP, TCP_REPAIR, &value, sizeof(value)), EPERM);
		value = 3;
		CHECK_ERRNO(setsockopt(fd, SOL_TCP, TCP_REPAIR, &value, sizeof(value)), EPERM);
		CHECK_OK(getsockopt(fd, SOL_TCP, TCP_REPAIR, &value, &length));
		CHECK_EQ(value, 0);
		for (size_t at = 0; at < LENGTH(options); at++)
			CHECK_EQ(ERRNO_OF(setsockopt(fd, SOL_TCP, options[at], &value, sizeof(value))), refusals[at]);
		CHECK_ERRNO(getsockopt(fd, SOL_TCP, TCP_REPAIR_QUEUE, &value, &length), EINVAL);
		CHECK_ERRNO(getsockopt(fd, SOL_TCP, TCP_QUEUE_SEQ, &value, &length), EINVAL);
		CHECK_ERRNO(getsockopt(fd, SOL_TCP, TCP_REPAIR_WINDOW, &value, &length), EINVAL);
		length = sizeof(window);
		CHECK_ERRNO(getsockopt(fd, SOL_TCP, TCP_REPAIR_WINDOW, &window, &length), EPERM);
		MUST(listen(fd, 1));
		CHECK_ERRNO(setsockopt(fd, SOL_TCP, TCP_QUEUE_SEQ, &value, sizeof(value)), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(programs_that_are_not_for_packets)
{
	int udp = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), local = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	int file = (int)MUST(open("/dev/null", O_RDONLY)), pair[2] = {1, 0};
	int stream = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), packet = socket(AF_PACKET, SOCK_DGRAM, 0);
	char buffer[512];
	socklen_t length = sizeof(buffer);

	CHECK_ERRNO(set(udp, SOL_SOCKET, SO_ATTACH_BPF, -1), EBADF);
	CHECK_ERRNO(set(local, SOL_SOCKET, SO_ATTACH_BPF, file), EINVAL);
	CHECK_ERRNO(set(udp, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, 99), EBADF);
	CHECK_ERRNO(setsockopt(udp, SOL_SOCKET, SO_ATTACH_BPF, pair, sizeof(pair)), EINVAL);
	CHECK_EQ(set(udp, SOL_SOCKET, SO_LOCK_FILTER, 1), 0);
	CHECK_ERRNO(set(udp, SOL_SOCKET, SO_ATTACH_BPF, 99), EPERM);
	/* SO_INQ of local streams takes an int, and nothing else. */
	CHECK_EQ(setsockopt(local, SOL_SOCKET, 84, pair, sizeof(int)), 0);
	CHECK_ERRNO(setsockopt(local, SOL_SOCKET, 84, pair, sizeof(pair)), EINVAL);
	CHECK_EQ(getsockopt(stream, IPPROTO_TCP, TCP_INFO, buffer, &length), 0);
	CHECK_EQ(length, 280);
	if (packet != -1) {
		/* What has no peers isn't connected. */
		length = sizeof(buffer);
		CHECK_ERRNO(getsockopt(packet, SOL_SOCKET, SO_PEERNAME, buffer, &length), ENOTCONN);
	}
}

TEST(options_of_other_kinds_of_socket)
{
	struct sockaddr_in address;
	int ends[2], stream = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), six = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	int udp = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), other = bound_udp(&address);

	bring_up_loopback();
	/* The kernel computes any socket's checksums, but fragments are a datagram's. */
	CHECK_EQ(set(stream, SOL_IP, 23, 1), 0);
	CHECK_ERRNO(set(stream, SOL_IP, 25, 1), EINVAL);
	CHECK_EQ(set(udp, SOL_IP, 25, 1), 0);
	/* IPv6 takes no value for 0. */
	CHECK_EQ(set(six, SOL_IPV6, IPV6_RECVTCLASS, 1), 0);
	CHECK_OK(setsockopt(six, SOL_IPV6, IPV6_RECVTCLASS, NULL, 4));
	CHECK_EQ(get(six, SOL_IPV6, IPV6_RECVTCLASS), 0);
	CHECK_ERRNO(setsockopt(udp, SOL_IP, IP_RECVTTL, NULL, 4), EFAULT);
	/* What isn't said again isn't preferred any more. */
	CHECK_EQ(get(six, SOL_IPV6, 72), 0x500);
	CHECK_EQ(set(six, SOL_IPV6, 72, 2), 0);
	CHECK_EQ(get(six, SOL_IPV6, 72), 0x402);
	CHECK_EQ(set(six, SOL_IPV6, 72, 4), 0);
	CHECK_EQ(get(six, SOL_IPV6, 72), 0x104);
	CHECK_EQ(set(six, SOL_IPV6, 72, 0), 0);
	CHECK_EQ(get(six, SOL_IPV6, 72), 0x500);
	CHECK_ERRNO(set(six, SOL_IPV6, 72, 3), EINVAL);
	/* No packet is longer than its length can say. */
	MUST(connect(udp, (struct sockaddr *)&address, sizeof(address)));
	CHECK_EQ(get(udp, SOL_IP, IP_MTU), 65535);
	MUST(close(other));
	/* A buffer that was chosen bounds what is waited for. */
	tcp_pair(ends);
	MUST(set(ends[0], SOL_SOCKET, SO_RCVBUF, 8192));
	CHECK_EQ(set(ends[0], SOL_SOCKET, SO_RCVLOWAT, 1 << 20), 0);
	CHECK_EQ(get(ends[0], SOL_SOCKET, SO_RCVLOWAT), 8192);
	CHECK_ERRNO(set(ends[0], IPPROTO_TCP, 34, 1), EINVAL);
	CHECK_EQ(set(stream, IPPROTO_TCP, 34, 1), 0);
}
