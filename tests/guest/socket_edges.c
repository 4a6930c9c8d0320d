/* Edges of sockets' calls: what a peek leaves, what is told before a bad pointer, what a connection has of its
 * listener, and what wakes edge-triggered epoll(7). */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int listening(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	*address = loopback(0);
	MUST(bind(fd, (void *)address, length));
	MUST(listen(fd, 8));
	MUST(getsockname(fd, (void *)address, &length));
	return fd;
}

static int connected(const struct sockaddr_in *address)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(connect(fd, (const void *)address, sizeof(*address)));
	return fd;
}

static void make_pair(int ends[2])
{
	struct sockaddr_in address;
	int listener = listening(&address);

	ends[0] = connected(&address);
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	close(listener);
}

/* Both are bound and connected to one another. */
static void make_datagram_pair(int ends[2])
{
	struct sockaddr_in address[2];
	socklen_t length = sizeof(address[0]);

	for (int at = 0; at < 2; at++) {
		address[at] = loopback(0);
		ends[at] = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
		MUST(bind(ends[at], (void *)&address[at], length));
		MUST(getsockname(ends[at], (void *)&address[at], &length));
	}
	for (int at = 0; at < 2; at++)
		MUST(connect(ends[at], (void *)&address[!at], length));
}

static int polled(int fd)
{
	struct pollfd question = {fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP, 0};

	MUST(poll(&question, 1, 0));
	return question.revents;
}

TEST(peek_leaves_urgent_byte)
{
	int ends[2];
	char byte = 0;

	make_pair(ends);
	MUST(send(ends[0], "x", 1, MSG_OOB));
	CHECK_EQ(polled(ends[1]), POLLPRI | POLLOUT);
	CHECK_ERRNO(recv(ends[1], &byte, 1, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(polled(ends[1]), POLLPRI | POLLOUT);
	CHECK_EQ(recv(ends[1], &byte, 1, MSG_OOB), 1);
	CHECK_EQ(byte, 'x');
}

TEST(peek_leaves_urgent_byte_before_the_end)
{
	int ends[2];
	char byte = 0;

	make_pair(ends);
	MUST(send(ends[0], "x", 1, MSG_OOB));
	MUST(shutdown(ends[0], SHUT_WR));
	CHECK_EQ(recv(ends[1], &byte, 1, MSG_PEEK), 0);
	CHECK_EQ(recv(ends[1], &byte, 1, MSG_OOB), 1);
	CHECK_EQ(recv(ends[1], &byte, 1, 0), 0);
}

TEST(length_is_told_before_the_address)
{
	struct sockaddr_in address;
	struct iovec part = {&(char){0}, 1};
	struct msghdr message = {.msg_name = bad_address(), .msg_namelen = 100, .msg_iov = &part, .msg_iovlen = 1};
	int ends[2], listener = listening(&address), client = connected(&address);
	socklen_t length = 100;

	CHECK_ERRNO(accept(listener, bad_address(), &length), EFAULT);
	CHECK_EQ(length, sizeof(address));
	length = 100;
	CHECK_ERRNO(getsockname(listener, bad_address(), &length), EFAULT);
	CHECK_EQ(length, sizeof(address));
	length = 0;
	CHECK_OK(getpeername(client, bad_address(), &length));
	CHECK_EQ(length, sizeof(address));
	length = -1;
	CHECK_ERRNO(getpeername(client, (void *)&address, &length), EINVAL);
	CHECK_EQ((int)length, -1);
	make_datagram_pair(ends);
	MUST(send(ends[0], "a", 1, 0));
	CHECK_ERRNO(recvmsg(ends[1], &message, 0), EFAULT);
	CHECK_EQ(message.msg_namelen, sizeof(address));
	MUST(send(ends[0], "a", 1, 0));
	length = 100;
	CHECK_ERRNO(recvfrom(ends[1], part.iov_base, 1, 0, bad_address(), &length), EFAULT);
	CHECK_EQ(length, sizeof(address));
}

static int number_of(int fd, int level, int name)
{
	int number = -9;
	socklen_t length = sizeof(number);

	MUST(getsockopt(fd, level, name, &number, &length));
	return number;
}

TEST(connection_has_of_its_listener)
{
	struct sockaddr_in address;
	int listener = listening(&address), client, connection, number;

	number = 3;
	MUST(setsockopt(listener, SOL_SOCKET, SO_PRIORITY, &number, sizeof(number)));
	MUST(setsockopt(listener, SOL_SOCKET, SO_PEEK_OFF, &number, sizeof(number)));
	MUST(setsockopt(listener, SOL_TCP, TCP_FASTOPEN, &number, sizeof(number)));
	MUST(setsockopt(listener, SOL_SOCKET, SO_RCVLOWAT, &number, sizeof(number)));
	client = connected(&address);
	connection = (int)MUST(accept(listener, NULL, NULL));
	CHECK_EQ(number_of(listener, SOL_SOCKET, SO_PRIORITY), 3);
	CHECK_EQ(number_of(connection, SOL_SOCKET, SO_PRIORITY), 0);
	CHECK_EQ(number_of(connection, SOL_SOCKET, SO_PEEK_OFF), 3);
	CHECK_EQ(number_of(connection, SOL_SOCKET, SO_RCVLOWAT), 3);
	CHECK_EQ(number_of(listener, SOL_TCP, TCP_FASTOPEN), 3);
	CHECK_EQ(number_of(connection, SOL_TCP, TCP_FASTOPEN), 0);
	close(client);
	close(connection);
	number = IPTOS_LOWDELAY;
	MUST(setsockopt(listener, SOL_IP, IP_TOS, &number, sizeof(number)));
	CHECK_EQ(number_of(listener, SOL_SOCKET, SO_PRIORITY), 6);
	client = connected(&address);
	connection = (int)MUST(accept(listener, NULL, NULL));
	CHECK_EQ(number_of(connection, SOL_IP, IP_TOS), IPTOS_LOWDELAY);
	CHECK_EQ(number_of(connection, SOL_SOCKET, SO_PRIORITY), 0);
}

static char much[1 << 20];

/* One end of a connection, which doesn't wait, with so much room for sending and, at the other end, receiving. */
static int sending_end(int send_room, int receive_room, int *other)
{
	struct sockaddr_in address;
	int listener = listening(&address), fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	if (receive_room != 0)
		MUST(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &receive_room, sizeof(receive_room)));
	MUST(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_room, sizeof(send_room)));
	MUST(connect(fd, (void *)&address, sizeof(address)));
	*other = (int)MUST(accept(listener, NULL, NULL));
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
	close(listener);
	return fd;
}

/* A packet is begun while less than SO_SNDBUF is queued, and filled; nothing is acknowledged within the call. */
TEST(call_that_does_not_wait_takes_whole_packets)
{
	int other, fd = sending_end(1, 0, &other), segment = number_of(fd, SOL_TCP, TCP_MAXSEG);

	CHECK_EQ(send(fd, much, sizeof(much), 0), segment);
	fd = sending_end(1, 0, &other);
	CHECK_EQ(write(fd, much, sizeof(much)), segment);
	/* Twice that, which is less than a segment takes with its head. */
	fd = sending_end(16384, 0, &other);
	CHECK_EQ(write(fd, much, sizeof(much)), segment);
	fd = sending_end(20000, 0, &other);
	CHECK_EQ(write(fd, much, sizeof(much)), 2 * segment);
	fd = sending_end(16384, 20000, &other);
	CHECK_EQ(write(fd, much, sizeof(much)), 4 * 10000);
	fd = sending_end(40000, 0, &other);
	CHECK_EQ(send(fd, much, sizeof(much), 0), 3 * segment);
	fd = sending_end(40000, 0, &other);
	CHECK_EQ(send(fd, much, 2 * segment + 1, 0), 2 * segment + 1);
}

TEST(segments_are_bound_to_half_the_window)
{
	int number = 1, other, fd = sending_end(1, 20000, &other);

	CHECK_EQ(number_of(other, SOL_SOCKET, SO_RCVBUF), 40000);
	CHECK_EQ(number_of(fd, SOL_TCP, TCP_MAXSEG), 10000);
	CHECK_EQ(write(fd, much, sizeof(much)), 10000);
	MUST(setsockopt(other, SOL_SOCKET, SO_RCVBUF, &number, sizeof(number)));
	CHECK_EQ(number_of(fd, SOL_TCP, TCP_MAXSEG), 10000);
}

static int watched(int fd, uint32_t wanted)
{
	struct epoll_event event = {.events = wanted | EPOLLET};
	int epoll = (int)MUST(epoll_create1(EPOLL_CLOEXEC));

	MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

static int next_events(int epoll)
{
	struct epoll_event event = {.events = 0};

	return MUST(epoll_wait(epoll, &event, 1, 0)) == 1 ? (int)event.events : 0;
}

/* What was sent is freed at once, which is told as room, though there was some all along. */
TEST(each_datagram_sent_is_an_edge)
{
	int ends[2], epoll;

	make_datagram_pair(ends);
	epoll = watched(ends[0], EPOLLIN | EPOLLOUT);
	CHECK_EQ(next_events(epoll), EPOLLOUT);
	CHECK_EQ(next_events(epoll), 0);
	for (int at = 0; at < 2; at++) {
		MUST(send(ends[0], "a", 1, 0));
		CHECK_EQ(next_events(epoll), EPOLLOUT);
		CHECK_EQ(next_events(epoll), 0);
	}
	MUST(send(ends[0], "a", 1, MSG_MORE));
	CHECK_EQ(next_events(epoll), 0);
	MUST(send(ends[0], "b", 1, 0));
	CHECK_EQ(next_events(epoll), EPOLLOUT);
	MUST(send(ends[1], "a", 1, 0));
	CHECK_EQ(next_events(epoll), EPOLLIN | EPOLLOUT);
	epoll = watched(ends[0], EPOLLIN);
	CHECK_EQ(next_events(epoll), EPOLLIN);
	MUST(send(ends[0], "a", 1, 0));
	CHECK_EQ(next_events(epoll), 0);
}

TEST(each_local_datagram_refused_is_an_edge)
{
	struct sockaddr_un nobody = {AF_UNIX, "\0nobody has this name"};
	int ends[2], epoll;

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	close(ends[1]);
	epoll = watched(ends[0], EPOLLOUT);
	CHECK_EQ(next_events(epoll), EPOLLOUT);
	CHECK_EQ(next_events(epoll), 0);
	CHECK_ERRNO(send(ends[0], "a", 1, 0), ECONNREFUSED);
	CHECK_EQ(next_events(epoll), EPOLLOUT);
	CHECK_EQ(next_events(epoll), 0);
	CHECK_ERRNO(send(ends[0], "a", 1, 0), ENOTCONN);
	CHECK_EQ(next_events(epoll), EPOLLOUT);
	CHECK_ERRNO(sendto(ends[0], "a", 1, 0, (void *)&nobody, sizeof(nobody)), ECONNREFUSED);
	CHECK_EQ(next_events(epoll), EPOLLOUT);
	/* These are refused before there's a message. */
	CHECK_ERRNO(send(ends[0], "a", 1, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(sendto(ends[0], "a", 1, 0, (void *)&nobody, 1), EINVAL);
	CHECK_EQ(next_events(epoll), 0);
}
