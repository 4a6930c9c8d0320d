/* What sending to sockets looks at first, and where datagrams go that two protocols could carry (cmsg(3), ipv6(7)). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>

#define PORT 7001

/* One control message with a number in it, perhaps with a length that can't be. */
static int send_with(int fd, int level, int type, size_t length, int flags)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {.header = {.cmsg_len = length, .cmsg_level = level, .cmsg_type = type}};
	struct iovec part = {"x", 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	return sendmsg(fd, &message, flags | MSG_NOSIGNAL) == -1 ? -errno : 0;
}

static int bad_length(int fd)
{
	return send_with(fd, SOL_SOCKET, SCM_RIGHTS, 3, 0);
}

static struct sockaddr_in to(const char *address)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = {inet_addr(address)}};
}

static struct sockaddr_in6 to_6(const char *address)
{
	struct sockaddr_in6 found = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};

	MUST(inet_pton(AF_INET6, address, &found.sin6_addr) - 1);
	return found;
}

TEST(accept_looks_at_descriptors_first)
{
	int ends[2];

	CHECK_ERRNO(accept4(-1, NULL, NULL, 1), EBADF);
	MUST(pipe(ends));
	CHECK_ERRNO(accept4(ends[0], NULL, NULL, 1), EINVAL);
	CHECK_ERRNO(accept4(ends[0], NULL, NULL, 0), ENOTSOCK);
	close(ends[0]);
	close(ends[1]);
}

TEST(connections_come_before_control_messages)
{
	enter();

	int datagrams = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	int stream = MUST(socket(AF_INET, SOCK_STREAM, 0));
	int packets = MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	int local = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	struct sockaddr_in target = to("127.0.0.1");

	CHECK_EQ(bad_length(datagrams), -EDESTADDRREQ);
	CHECK_EQ(bad_length(stream), -EPIPE);
	CHECK_EQ(bad_length(packets), -ENOTCONN);
	/* A local stream's are read at once. */
	CHECK_EQ(bad_length(local), -EINVAL);
	MUST(connect(datagrams, (void *)&target, sizeof(target)));
	CHECK_EQ(bad_length(datagrams), -EINVAL);
	close(datagrams);
	close(stream);
	close(packets);
	close(local);
}

TEST(what_belongs_to_others_is_passed_over)
{
	enter();

	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), fd_6 = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	struct sockaddr_in target = to("127.0.0.1");
	struct sockaddr_in6 target_6 = to_6("::1");

	/* Somebody hears them, so that none is refused. */
	int hearer = MUST(socket(AF_INET, SOCK_DGRAM, 0)), hearer_6 = MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	MUST(bind(hearer, (void *)&target, sizeof(target)));
	MUST(bind(hearer_6, (void *)&target_6, sizeof(target_6)));
	MUST(connect(fd, (void *)&target, sizeof(target)));
	MUST(connect(fd_6, (void *)&target_6, sizeof(target_6)));
	CHECK_EQ(send_with(fd, SOL_SOCKET, SCM_RIGHTS, CMSG_LEN(4), 0), 0);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SCM_CREDENTIALS, CMSG_LEN(4), 0), 0);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_TYPE, CMSG_LEN(4), 0), -EINVAL);
	CHECK_EQ(send_with(fd, SOL_IP, 67, CMSG_LEN(4), 0), -EINVAL);
	CHECK_EQ(send_with(fd, SOL_IPV6, 3, CMSG_LEN(4), 0), 0);
	CHECK_EQ(send_with(fd_6, SOL_IPV6, 3, CMSG_LEN(4), 0), -EINVAL);
	CHECK_EQ(send_with(fd_6, SOL_IP, 67, CMSG_LEN(4), 0), 0);
	close(fd);
	close(fd_6);
	close(hearer);
	close(hearer_6);
}

static int connected(int type, const char *own, const char *target)
{
	struct sockaddr_in6 ours = to_6(own), theirs = to_6(target);
	int fd = MUST(socket(AF_INET6, type | SOCK_NONBLOCK, 0)), result;

	ours.sin6_port = 0;
	MUST(bind(fd, (void *)&ours, sizeof(ours)));
	result = connect(fd, (void *)&theirs, sizeof(theirs)) == -1 ? -errno : 0;
	close(fd);
	return result == -EINPROGRESS ? 0 : result;
}

static int sent(const char *own, const char *target)
{
	struct sockaddr_in6 ours = to_6(own), theirs = to_6(target);
	int fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0)), result;

	ours.sin6_port = 0;
	MUST(bind(fd, (void *)&ours, sizeof(ours)));
	result = sendto(fd, "x", 1, 0, (void *)&theirs, sizeof(theirs)) == -1 ? -errno : 0;
	close(fd);
	return result;
}

TEST(addresses_of_both_protocols)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};

	enter();
	for (size_t at = 0; at < 2; at++) {
		int type = types[at];

		/* There is no way at all, before it matters from where. */
		CHECK_EQ(connected(type, "::ffff:127.0.0.1", "2001:db8::1"), -ENETUNREACH);
		CHECK_EQ(connected(type, "::ffff:127.0.0.1", "::1"), -EAFNOSUPPORT);
		CHECK_EQ(connected(type, "::ffff:0.0.0.0", "::1"), -EAFNOSUPPORT);
		CHECK_EQ(connected(type, "::ffff:127.0.0.1", "::"), 0);
		CHECK_EQ(connected(type, "::ffff:0.0.0.0", "::"), 0);
		CHECK_EQ(connected(type, "::1", "::ffff:127.0.0.1"), -ENETUNREACH);
		CHECK_EQ(connected(type, "::", "fe80::1"), -EINVAL);
		CHECK_EQ(connected(type, "::", "ff02::1"), type == SOCK_STREAM ? -ENETUNREACH : -EINVAL);
	}
	CHECK_EQ(sent("::ffff:127.0.0.1", "2001:db8::1"), -ENETUNREACH);
	CHECK_EQ(sent("::ffff:127.0.0.1", "::1"), -EAFNOSUPPORT);
	CHECK_EQ(sent("::", "fe80::1"), -ENETUNREACH);
	CHECK_EQ(sent("::", "ff02::1"), -ENETUNREACH);
}

TEST(a_connection_by_ipv6_may_send_by_ipv4)
{
	enter();

	struct sockaddr_in6 theirs = to_6("::1"), other = to_6("::ffff:127.0.0.1");
	int fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	MUST(connect(fd, (void *)&theirs, sizeof(theirs)));
	CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&other, sizeof(other)), 1);
	/* IPv4 knows no urgent datagrams, and IPv6 doesn't look. */
	CHECK_ERRNO(sendto(fd, "x", 1, MSG_OOB, (void *)&other, sizeof(other)), EOPNOTSUPP);
	MUST(connect(fd, (void *)&other, sizeof(other)));
	CHECK_ERRNO(send(fd, "x", 1, MSG_OOB), EOPNOTSUPP);
	close(fd);
}

TEST(who_is_bound_to_a_group_hears_of_no_refusal)
{
	enter();

	struct sockaddr_in group = to("224.0.0.1"), theirs = to("127.0.0.1");
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	char byte;

	group.sin_port = htons(PORT + 1);
	MUST(bind(fd, (void *)&group, sizeof(group)));
	MUST(connect(fd, (void *)&theirs, sizeof(theirs)));
	CHECK_EQ(send(fd, "x", 1, 0), 1);
	CHECK_EQ(poll(&(struct pollfd){fd, POLLIN, 0}, 1, 50), 0);
	CHECK_ERRNO(recv(fd, &byte, 1, 0), EAGAIN);
	close(fd);
}

TEST(a_connection_to_no_port_hears_of_any)
{
	enter();

	struct sockaddr_in nobody = to("127.0.0.1"), theirs = to("127.0.0.1");
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));

	nobody.sin_port = 0;
	MUST(connect(fd, (void *)&nobody, sizeof(nobody)));
	CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&theirs, sizeof(theirs)), 1);
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&theirs, sizeof(theirs)), ECONNREFUSED);
	close(fd);
}

TEST(a_connection_by_one_protocol_stays_with_it)
{
	enter();

	struct sockaddr_in6 mapped = to_6("::ffff:127.0.0.1"), ours = to_6("::1"), found;
	struct sockaddr_in nobody = {.sin_family = AF_UNSPEC};
	socklen_t length = sizeof(found);
	int fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	/* An address of no family is none for IPv6. */
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&nobody, sizeof(nobody)), EDESTADDRREQ);
	MUST(connect(fd, (void *)&mapped, sizeof(mapped)));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&nobody, sizeof(nobody)), ENETUNREACH);
	CHECK_ERRNO(connect(fd, (void *)&ours, sizeof(ours)), EAFNOSUPPORT);
	close(fd);
	fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(connect(fd, (void *)&ours, sizeof(ours)));
	CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&nobody, sizeof(nobody)), 1);
	MUST(connect(fd, (void *)&mapped, sizeof(mapped)));
	MUST(getsockname(fd, (void *)&found, &length));
	CHECK(memcmp(&found.sin6_addr, &in6addr_loopback, sizeof(found.sin6_addr)) == 0);
	close(fd);
}

TEST(who_has_not_answered_yet_has_a_name)
{
	enter();

	struct sockaddr_in theirs = to("127.0.0.1"), found = {0};
	socklen_t length = sizeof(found);
	int server = MUST(socket(AF_INET, SOCK_STREAM, 0)), fd;

	/* With a queue that is full, nobody answers. */
	MUST(bind(server, (void *)&theirs, sizeof(theirs)));
	MUST(listen(server, 0));
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(fd, (void *)&theirs, sizeof(theirs)));
	fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	CHECK_ERRNO(connect(fd, (void *)&theirs, sizeof(theirs)), EINPROGRESS);
	CHECK_ERRNO(getpeername(fd, (void *)&found, &length), ENOTCONN);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &found, &length));
	CHECK_EQ(found.sin_port, theirs.sin_port);
	close(fd);
	close(server);
}

TEST(what_is_left_of_a_connection_that_was_refused)
{
	enter();

	struct sockaddr_in theirs = to("127.0.0.1");
	socklen_t length = sizeof(int);
	int fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), value = 0;

	CHECK_OK(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &value, &length));
	CHECK_EQ(value, 536);
	CHECK_ERRNO(connect(fd, (void *)&theirs, sizeof(theirs)), EINPROGRESS);
	CHECK_EQ(poll(&(struct pollfd){fd, POLLIN, 0}, 1, 1000), 1);
	/* There was room for time stamps, and the SYN never arrived. */
	CHECK_OK(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &value, &length));
	CHECK_EQ(value, 536 - 12);
	CHECK_OK(ioctl(fd, SIOCOUTQ, &value));
	CHECK_EQ(value, 1);
	close(fd);
}

TEST(who_may_have_devices_polled)
{
	int fd = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), on = 1, off = 0;

	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)), EPERM);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &off, sizeof(off)));
	close(fd);
}
