/* Sending with MSG_ZEROCOPY: who said SO_ZEROCOPY is told when its memory is free again, and that what came to a
 * socket of the same machine was copied. */
#include "check.h"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

static char bytes[100000];

static void make_ends(int kind, int ends[2])
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(name);
	int first = (int)MUST(socket(AF_INET, kind, 0));

	MUST(bind(first, (void *)&name, sizeof(name)));
	MUST(getsockname(first, (void *)&name, &size));
	if (kind == SOCK_STREAM)
		MUST(listen(first, 1));
	ends[0] = (int)MUST(socket(AF_INET, kind, 0));
	MUST(connect(ends[0], (void *)&name, sizeof(name)));
	ends[1] = kind == SOCK_STREAM ? (int)MUST(accept(first, NULL, NULL)) : first;
}

/* The numbers of the calls that a notice is about, the first in the upper half; -1 for no notice. */
static long notice(int fd, int code)
{
	char control[128], data[8];
	struct iovec part = {data, sizeof(data)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
	struct sock_extended_err *told;
	struct cmsghdr *item;

	message.msg_controllen = sizeof(control);
	if (recvmsg(fd, &message, MSG_ERRQUEUE) == -1)
		return -1;
	item = CMSG_FIRSTHDR(&message);
	told = (void *)CMSG_DATA(item);
	CHECK_EQ(message.msg_flags, MSG_ERRQUEUE);
	CHECK_EQ(item->cmsg_level, SOL_IP);
	CHECK_EQ(item->cmsg_type, IP_RECVERR);
	CHECK_EQ(item->cmsg_len, CMSG_LEN(sizeof(*told) + sizeof(struct sockaddr_in)));
	CHECK_EQ(told->ee_errno, 0);
	CHECK_EQ(told->ee_origin, SO_EE_ORIGIN_ZEROCOPY);
	CHECK_EQ(told->ee_code, code);
	return (long)told->ee_info << 32 | told->ee_data;
}

static void check_kind(int kind, size_t length)
{
	struct pollfd wanted = {0};
	int ends[2], on = 1, off = 0;

	make_ends(kind, ends);
	wanted.fd = ends[0];
	/* Nobody asked for it. */
	CHECK_EQ(send(ends[0], bytes, length, MSG_ZEROCOPY), length);
	CHECK_EQ(recv(ends[1], bytes, sizeof(bytes), MSG_WAITALL * (kind == SOCK_STREAM && length == sizeof(bytes))),
		 length);
	CHECK_EQ(poll(&wanted, 1, 20), 0);
	CHECK_ERRNO(recv(ends[0], bytes, 1, MSG_ERRQUEUE), EAGAIN);
	CHECK_EQ(setsockopt(ends[0], SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)), 0);
	CHECK_EQ(send(ends[0], bytes, length, 0), length);
	CHECK_EQ(recv(ends[1], bytes, length, MSG_WAITALL), length);
	CHECK_EQ(poll(&wanted, 1, 20), 0);
	CHECK_EQ(send(ends[0], bytes, length, MSG_ZEROCOPY), length);
	CHECK_EQ(recv(ends[1], bytes, length, MSG_WAITALL), length);
	CHECK_EQ(poll(&wanted, 1, 5000), 1);
	CHECK_EQ(wanted.revents, POLLERR);
	CHECK_EQ(notice(ends[0], SO_EE_CODE_ZEROCOPY_COPIED), 0);
	CHECK_EQ(notice(ends[0], SO_EE_CODE_ZEROCOPY_COPIED), -1);
	CHECK_EQ(poll(&wanted, 1, 0), 0);
	/* What nobody has read yet becomes one notice. */
	for (int at = 0; at < 3; at++) {
		CHECK_EQ(send(ends[0], bytes, length, MSG_ZEROCOPY), length);
		CHECK_EQ(recv(ends[1], bytes, length, MSG_WAITALL), length);
	}
	sleep_ms(300);
	CHECK_EQ(poll(&wanted, 1, 5000), 1);
	CHECK_EQ(notice(ends[0], SO_EE_CODE_ZEROCOPY_COPIED), 1L << 32 | 3);
	CHECK_EQ(poll(&wanted, 1, 0), 0);
	CHECK_EQ(setsockopt(ends[0], SOL_SOCKET, SO_ZEROCOPY, &off, sizeof(off)), 0);
	CHECK_EQ(send(ends[0], bytes, length, MSG_ZEROCOPY), length);
	CHECK_EQ(poll(&wanted, 1, 20), 0);
	close(ends[0]);
	close(ends[1]);
}

TEST(streams)
{
	check_kind(SOCK_STREAM, 10000);
}

TEST(long_streams)
{
	check_kind(SOCK_STREAM, sizeof(bytes));
}

TEST(datagrams)
{
	check_kind(SOCK_DGRAM, 5000);
}

TEST(a_socket_that_was_shut_down)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = 9, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	MUST(connect(fd, (void *)&name, sizeof(name)));
	MUST(shutdown(fd, SHUT_WR));
	/* That it's too long is found out first. */
	CHECK_ERRNO(send(fd, bytes, 65508, MSG_NOSIGNAL), EMSGSIZE);
	CHECK_ERRNO(send(fd, bytes, 65507, MSG_NOSIGNAL), EPIPE);
}
