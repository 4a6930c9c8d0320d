/* What sending to sockets looks at first, where datagrams go that two protocols could carry (cmsg(3), ipv6(7)), and
 * which requests and options sockets refuse (netdevice(7)). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>

#define PORT 7001
/* MSG_CMSG_COMPAT: the headers of 32 bits. */
#define COMPAT (int)0x80000000

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

/* Some protocols ask whether there is an address, others how long it is; sendmsg(2) forgets one without a length. */
TEST(an_address_without_a_length)
{
	struct sockaddr_in target;
	struct sockaddr_in6 target_6;
	struct iovec part = {"x", 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_ifindex = 1, .sll_protocol = htons(0x88b5)};
	int pair[2], fd;

	enter();
	target = to("127.0.0.1");
	target_6 = to_6("::1");
	message.msg_name = &target;
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&target, 0), EINVAL);
	CHECK_ERRNO(sendto(fd, "x", 1, 0, bad_address(), 0), EINVAL);
	CHECK_ERRNO(sendmsg(fd, &message, 0), EDESTADDRREQ);
	MUST(connect(fd, (void *)&target, sizeof(target)));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&target, 0), EINVAL);
	CHECK_EQ(sendmsg(fd, &message, 0), 1);
	close(fd);
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&target_6, 0), EINVAL);
	MUST(connect(fd, (void *)&target_6, sizeof(target_6)));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&target_6, 0), EINVAL);
	CHECK_EQ(sendmsg(fd, &message, 0), 1);
	close(fd);
	fd = (int)MUST(socket(AF_INET6, SOCK_RAW, 253));
	MUST(connect(fd, (void *)&target_6, sizeof(target_6)));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&target_6, 0), EINVAL);
	close(fd);
	fd = (int)MUST(socket(AF_INET, SOCK_RAW, 253));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&target, 0), EDESTADDRREQ);
	target.sin_port = 0;
	MUST(connect(fd, (void *)&target, sizeof(target)));
	CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&target, 0), 1);
	close(fd);
	fd = (int)MUST(socket(AF_PACKET, SOCK_DGRAM, htons(0x88b5)));
	MUST(bind(fd, (void *)&place, sizeof(place)));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&place, 0), EINVAL);
	CHECK_EQ(sendmsg(fd, &message, 0), 1);
	/* The layout of 32 bits is refused where there is a header alone. */
	CHECK_EQ(recv(fd, &place, sizeof(place), COMPAT | MSG_DONTWAIT), 1);
	CHECK_ERRNO(recvmsg(fd, &message, COMPAT | MSG_DONTWAIT), EINVAL);
	close(fd);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CHECK_EQ(sendto(pair[0], "x", 1, 0, (void *)&target, 0), 1);
	CHECK_ERRNO(sendto(pair[0], "x", 1, 0, (void *)&target, 1), EISCONN);
	close(pair[0]);
	close(pair[1]);
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	CHECK_EQ(sendto(pair[0], "x", 1, 0, (void *)&target, 0), 1);
	CHECK_ERRNO(sendto(pair[0], "x", 1, 0, (void *)&target, 1), EINVAL);
	close(pair[0]);
	close(pair[1]);
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

static int window_clamp(int fd)
{
	int value = -1;

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &value, &(socklen_t){sizeof(value)}));
	return value;
}

TEST(the_window_that_nobody_has_chosen)
{
	enter();

	struct sockaddr_in theirs = to("127.0.0.1"), nobody = to("127.0.0.1");
	int server = MUST(socket(AF_INET, SOCK_STREAM, 0)), fd = MUST(socket(AF_INET, SOCK_STREAM, 0)), value = 5000;

	nobody.sin_port = htons(PORT + 1);
	MUST(bind(server, (void *)&theirs, sizeof(theirs)));
	MUST(listen(server, 1));
	CHECK_EQ(window_clamp(fd), 0);
	MUST(setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &value, sizeof(value)));
	CHECK_ERRNO(connect(fd, (void *)&nobody, sizeof(nobody)), ECONNREFUSED);
	CHECK_EQ(window_clamp(fd), 0);
	MUST(connect(fd, (void *)&theirs, sizeof(theirs)));
	CHECK_EQ(window_clamp(fd), 65536);
	CHECK_EQ(window_clamp((int)MUST(accept(server, NULL, NULL))), 65536);
	fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	CHECK_ERRNO(connect(fd, (void *)&nobody, sizeof(nobody)), EINPROGRESS);
	CHECK_EQ(window_clamp(fd), 65535 << 10);
}

TEST(who_was_shut_down_and_has_no_peer)
{
	int fd = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));

	CHECK_ERRNO(send(fd, "x", 1, 0), ENOTCONN);
	MUST(shutdown(fd, SHUT_WR));
	CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
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

struct address_request {
	struct in6_addr address;
	uint32_t prefix_length;
	int interface;
};

static int new_socket(int family, int kind, int protocol)
{
	return (int)MUST(socket(family, kind, protocol));
}

static int request_refused(int family, int kind, unsigned long request, void *argument)
{
	int fd = new_socket(family, kind, 0), error = ERRNO_OF(ioctl(fd, request, argument));

	MUST(close(fd));
	return error;
}

TEST(only_internet_has_addresses)
{
	struct ifreq request = {.ifr_name = "lo"};

	enter();
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCGIFADDR, &request), 0);
	CHECK_EQ(request_refused(AF_PACKET, SOCK_RAW, SIOCGIFADDR, &request), 0);
	CHECK_EQ(request_refused(AF_UNIX, SOCK_STREAM, SIOCGIFADDR, &request), ENOTTY);
	CHECK_EQ(request_refused(AF_INET6, SOCK_DGRAM, SIOCGIFADDR, &request), ENOTTY);
	CHECK_EQ(request_refused(AF_NETLINK, SOCK_RAW, SIOCGIFNETMASK, &request), ENOTTY);
	CHECK_EQ(request_refused(AF_UNIX, SOCK_STREAM, SIOCGIFMTU, &request), 0);
	CHECK_EQ(request.ifr_mtu, 65536);
	/* The structure is fetched whatever the request. */
	CHECK_EQ(request_refused(AF_UNIX, SOCK_STREAM, SIOCGIFADDR, bad_address()), EFAULT);
	CHECK_EQ(request_refused(AF_UNIX, SOCK_STREAM, 0x8999, bad_address()), EFAULT);
	CHECK_EQ(request_refused(AF_UNIX, SOCK_STREAM, 0x8999, &request), ENOTTY);
}

TEST(what_the_loopback_does_not_do)
{
	struct ifreq request = {.ifr_name = "lo"};

	enter();
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCGIFMAP, &request), 0);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCGIFSLAVE, &request), EINVAL);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFSLAVE, &request), EINVAL);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFMETRIC, &request), EOPNOTSUPP);
	request.ifr_hwaddr.sa_family = AF_INET;
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCADDMULTI, &request), EINVAL);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFHWBROADCAST, &request), EINVAL);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFMAP, &request), EOPNOTSUPP);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCDEVPRIVATE, &request), EOPNOTSUPP);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCGIFMEM, &request), ENOTTY);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCGIFPFLAGS, &request), EINVAL);
	CHECK_EQ(request_refused(AF_UNIX, SOCK_DGRAM, SIOCGIFPFLAGS, &request), ENOTTY);
	strcpy(request.ifr_name, "nothing");
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFMETRIC, &request), ENODEV);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCDEVPRIVATE, &request), ENODEV);
	drop_root();
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFMETRIC, &request), EPERM);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCDEVPRIVATE, &request), ENODEV);
}

TEST(hardware_addresses_of_the_loopback)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_hwaddr = {.sa_family = ARPHRD_LOOPBACK}};

	enter();
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFHWBROADCAST, &request), 0);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFHWADDR, &request), 0);
	request.ifr_hwaddr.sa_data[5] = 7;
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFHWADDR, &request), 0);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFHWBROADCAST, &request), 0);
	request.ifr_hwaddr.sa_data[0] = 1;
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFHWADDR, &request), EADDRNOTAVAIL);
	request.ifr_hwaddr = (struct sockaddr){.sa_family = ARPHRD_ETHER};
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCSIFHWBROADCAST, &request), EINVAL);
	CHECK_EQ(request_refused(AF_INET, SOCK_DGRAM, SIOCGIFHWADDR, &request), 0);
	CHECK_EQ(request.ifr_hwaddr.sa_family, ARPHRD_LOOPBACK);
	CHECK_EQ(request.ifr_hwaddr.sa_data[5], 7);
}

TEST(addresses_of_ipv6_by_request)
{
	struct address_request request = {{{{0xfd, [15] = 1}}}, 64, 1};
	int fd;

	enter();
	fd = new_socket(AF_INET6, SOCK_DGRAM, 0);
	CHECK_EQ(ioctl(fd, SIOCSIFADDR, &request), 0);
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &request), EEXIST);
	request.prefix_length = 60;
	CHECK_ERRNO(ioctl(fd, SIOCDIFADDR, &request), EADDRNOTAVAIL);
	request.prefix_length = 129;
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &request), EINVAL);
	CHECK_ERRNO(ioctl(fd, SIOCDIFADDR, &request), EINVAL);
	request.prefix_length = 64;
	CHECK_EQ(ioctl(fd, SIOCDIFADDR, &request), 0);
	CHECK_ERRNO(ioctl(fd, SIOCDIFADDR, &request), EADDRNOTAVAIL);
	CHECK_ERRNO(ioctl(fd, SIOCSIFDSTADDR, &request), ENODEV);
	request.interface = 77;
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &request), ENODEV);
	CHECK_ERRNO(ioctl(fd, SIOCDIFADDR, &request), ENODEV);
	drop_root();
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &request), EPERM);
}

TEST(bytes_that_wait_in_raw_sockets)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9)};
	int raw, packet, sender, value = -1;
	char buffer[100];

	enter();
	raw = new_socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
	packet = new_socket(AF_PACKET, SOCK_DGRAM, htons(0x800));
	sender = new_socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_EQ(ioctl(raw, FIONREAD, &value), 0);
	CHECK_EQ(value, 0);
	CHECK_EQ(ioctl(packet, FIONREAD, &value), 0);
	CHECK_EQ(value, 0);
	CHECK_ERRNO(ioctl(packet, SIOCGSTAMP_OLD, buffer), ENOENT);
	CHECK_EQ(sendto(sender, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
	CHECK_EQ(ioctl(raw, FIONREAD, &value), 0);
	CHECK_EQ(value, 33);
	CHECK_EQ(recv(raw, buffer, sizeof(buffer), 0), 33);
	CHECK_EQ(ioctl(raw, FIONREAD, &value), 0);
	CHECK_EQ(value, 0);
	CHECK_EQ(ioctl(packet, FIONREAD, &value), 0);
	CHECK_EQ(value, 33);
	CHECK_EQ(ioctl(raw, TIOCOUTQ, &value), 0);
	CHECK_EQ(value, 0);
	CHECK_EQ(ioctl(packet, TIOCOUTQ, &value), 0);
	CHECK_EQ(value, 0);
}

static int told_to_set(int fd, int level, int name, const void *value, socklen_t length)
{
	return ERRNO_OF(setsockopt(fd, level, name, value, length));
}

TEST(lengths_of_options)
{
	static const char zeros[64];
	int packet, six;
	char cookie[16];
	socklen_t length = 16;

	enter();
	packet = new_socket(AF_PACKET, SOCK_RAW, 0);
	six = new_socket(AF_INET6, SOCK_DGRAM, 0);
	CHECK_EQ(told_to_set(packet, SOL_PACKET, PACKET_AUXDATA, zeros, 8), 0);
	CHECK_EQ(told_to_set(packet, SOL_PACKET, PACKET_COPY_THRESH, zeros, 8), EINVAL);
	CHECK_EQ(told_to_set(packet, SOL_PACKET, PACKET_QDISC_BYPASS, zeros, 8), EINVAL);
	CHECK_EQ(told_to_set(packet, SOL_PACKET, PACKET_IGNORE_OUTGOING, zeros, 8), EINVAL);
	CHECK_EQ(told_to_set(packet, SOL_PACKET, PACKET_AUXDATA, zeros, 4), 0);
	CHECK_EQ(told_to_set(packet, SOL_PACKET, 99, bad_address(), 4), ENOPROTOOPT);
	for (int name = 54; name <= 59; name++) {
		if (name != IPV6_HOPOPTS && name != IPV6_RTHDRDSTOPTS && name != IPV6_RTHDR && name != IPV6_DSTOPTS)
			continue;
		CHECK_EQ(told_to_set(six, IPPROTO_IPV6, name, zeros, 0), 0);
		CHECK_EQ(told_to_set(six, IPPROTO_IPV6, name, zeros, 4), EINVAL);
		CHECK_EQ(told_to_set(six, IPPROTO_IPV6, name, zeros, 12), EINVAL);
	}
	CHECK_EQ(told_to_set(six, IPPROTO_IPV6, IPV6_RTHDR, zeros, 8), EINVAL);
	CHECK_EQ(told_to_set(six, IPPROTO_IPV6, IPV6_JOIN_ANYCAST, zeros, 16), EINVAL);
	CHECK_EQ(told_to_set(six, IPPROTO_IPV6, IPV6_LEAVE_ANYCAST, zeros, 16), EINVAL);
	CHECK_ERRNO(getsockopt(six, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &length), EINVAL);
	length = 8;
	CHECK_EQ(getsockopt(six, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &length), 0);
	drop_root();
	CHECK_EQ(told_to_set(six, IPPROTO_IPV6, IPV6_HOPOPTS, zeros, 8), EPERM);
	CHECK_EQ(told_to_set(six, IPPROTO_IPV6, IPV6_RTHDR, zeros, 8), EINVAL);
}

TEST(flags_of_receiving)
{
	char buffer[8];

	enter();
	CHECK_ERRNO(recv(new_socket(AF_INET, SOCK_RAW, IPPROTO_UDP), buffer, 8, MSG_OOB | MSG_DONTWAIT), EOPNOTSUPP);
	CHECK_ERRNO(recv(new_socket(AF_INET6, SOCK_RAW, IPPROTO_UDP), buffer, 8, MSG_OOB | MSG_DONTWAIT), EOPNOTSUPP);
	CHECK_ERRNO(recv(new_socket(AF_PACKET, SOCK_RAW, 0), buffer, 8, MSG_OOB | MSG_DONTWAIT), EINVAL);
	CHECK_ERRNO(recv(new_socket(AF_PACKET, SOCK_RAW, 0), buffer, 8, MSG_WAITALL | MSG_DONTWAIT), EINVAL);
	CHECK_ERRNO(recv(new_socket(AF_PACKET, SOCK_RAW, 0), buffer, 8, MSG_DONTWAIT), EAGAIN);
}

/* Bytes that can't be read don't matter to who has nowhere to send them. */
TEST(nowhere_before_bad_bytes)
{
	const char *bad = bad_address();
	int fd;

	enter();
	handle(SIGPIPE, SIG_IGN, 0);
	fd = new_socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_ERRNO(write(fd, bad, 3), ENOTCONN);
	CHECK_ERRNO(send(fd, bad, 3, 0), ENOTCONN);
	fd = new_socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
	CHECK_ERRNO(write(fd, bad, 3), EDESTADDRREQ);
	CHECK_ERRNO(send(fd, bad, 3, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(send(fd, bad, 70000, 0), EMSGSIZE);
	CHECK_ERRNO(write(new_socket(AF_INET6, SOCK_RAW, IPPROTO_UDP), bad, 3), EDESTADDRREQ);
	CHECK_ERRNO(write(new_socket(AF_PACKET, SOCK_RAW, 0), bad, 3), ENXIO);
	CHECK_ERRNO(send(new_socket(AF_PACKET, SOCK_DGRAM, 0), bad, 3, 0), ENXIO);
	fd = new_socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERRNO(write(fd, bad, 3), EPIPE);
	CHECK_ERRNO(send(fd, bad, 3, 0), EPIPE);
	MUST(listen(fd, 1));
	CHECK_ERRNO(send(fd, bad, 3, 0), EPIPE);
	CHECK_ERRNO(write((int)MUST(open("/dev/full", O_WRONLY)), bad, 3), ENOSPC);
}
