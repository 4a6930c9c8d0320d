/* Addresses of IPv6 that count at one interface, which goes with them: sin6_scope_id of ipv6(7); those that several
 * machines have (IPV6_JOIN_ANYCAST), and what else options of IPv6 tell. */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <poll.h>

#define NO_INTERFACE 77
#define PROTOCOL 200
#define OLD_OPTIONS 6
#define ORIGINAL_DESTINATION 80
#define PORT 7000

static const int kinds[] = {SOCK_DGRAM, SOCK_STREAM, SOCK_RAW};
static const char *const scoped_groups[] = {"ff01::1", "ff02::1", "ff11::1", "ff12::9"};
static const char *const wide_groups[] = {"ff00::1", "ff03::1", "ff05::1", "ff0e::1"};

static struct sockaddr_in6 at(const char *text, int port, unsigned scope)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope};

	MUST(inet_pton(AF_INET6, text, &address.sin6_addr) == 1 ? 0 : -1);
	return address;
}

static int new_socket(int kind)
{
	return (int)MUST(socket(AF_INET6, kind | SOCK_NONBLOCK, kind == SOCK_RAW ? PROTOCOL : 0));
}

/* To which interface a socket is bound. */
static int bound_to(int fd)
{
	int index = -1;
	socklen_t length = sizeof(index);

	MUST(getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, &length));
	return index;
}

static unsigned own_scope(int fd)
{
	struct sockaddr_in6 address;
	socklen_t length = sizeof(address);

	MUST(getsockname(fd, (void *)&address, &length));
	return address.sin6_scope_id;
}

static int bind_to(int fd, const char *text, unsigned scope)
{
	struct sockaddr_in6 address = at(text, 0, scope);

	return bind(fd, (void *)&address, sizeof(address));
}

static int connect_to(int fd, const char *text, unsigned scope)
{
	struct sockaddr_in6 address = at(text, 9, scope);

	return connect(fd, (void *)&address, sizeof(address));
}

TEST(binding_to_groups)
{
	enter();
	for (unsigned kind = 0; kind < 3; kind++) {
		int expected = kinds[kind] == SOCK_STREAM ? -EINVAL : 0, fd;

		for (unsigned group = 0; group < 4; group++) {
			fd = new_socket(kinds[kind]);
			CHECK_ERRNO(bind_to(fd, scoped_groups[group], 0), EINVAL);
			CHECK_EQ(bound_to(fd), 0);
			close(fd);
			fd = new_socket(kinds[kind]);
			CHECK_EQ(bind_to(fd, scoped_groups[group], 1) ? -errno : 0, expected);
			CHECK_EQ(bound_to(fd), expected ? 0 : 1);
			CHECK_EQ(own_scope(fd), expected ? 0 : 1);
			close(fd);
			/* Whatever comes of it, the socket is bound to that interface now. */
			fd = new_socket(kinds[kind]);
			CHECK_ERRNO(bind_to(fd, scoped_groups[group], NO_INTERFACE), expected ? EINVAL : ENODEV);
			CHECK_EQ(bound_to(fd), expected ? 0 : NO_INTERFACE);
			close(fd);
			fd = new_socket(kinds[kind]);
			CHECK_EQ(bind_to(fd, wide_groups[group], NO_INTERFACE) ? -errno : 0, expected);
			CHECK_EQ(bound_to(fd), 0);
			CHECK_EQ(own_scope(fd), 0);
			close(fd);
		}
	}
}

TEST(connecting_to_groups_and_links)
{
	enter();
	for (unsigned kind = 0; kind < 3; kind++) {
		int is_stream = kinds[kind] == SOCK_STREAM, fd;

		for (unsigned group = 0; group < 4; group++) {
			fd = new_socket(kinds[kind]);
			CHECK_ERRNO(connect_to(fd, scoped_groups[group], 0), is_stream ? ENETUNREACH : EINVAL);
			CHECK_ERRNO(connect_to(fd, scoped_groups[group], NO_INTERFACE), ENETUNREACH);
			CHECK_EQ(bound_to(fd), is_stream ? 0 : NO_INTERFACE);
			CHECK_ERRNO(connect_to(fd, scoped_groups[group], 1), is_stream ? ENETUNREACH : EINVAL);
			close(fd);
			fd = new_socket(kinds[kind]);
			CHECK_ERRNO(connect_to(fd, wide_groups[group], NO_INTERFACE), ENETUNREACH);
			CHECK_EQ(bound_to(fd), 0);
			close(fd);
		}
		fd = new_socket(kinds[kind]);
		CHECK_ERRNO(bind_to(fd, "fe80::1", 1), EADDRNOTAVAIL);
		CHECK_EQ(bound_to(fd), 1);
		CHECK_ERRNO(bind_to(fd, "fe80::1", NO_INTERFACE), ENODEV);
		CHECK_ERRNO(connect_to(fd, "fe80::1", NO_INTERFACE), ENETUNREACH);
		close(fd);
	}
}

/* The interface that a group is sent out of serves for a connection too. */
TEST(the_interface_for_groups)
{
	int fd, index = 1;

	enter();
	fd = new_socket(SOCK_DGRAM);
	MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index)));
	CHECK_ERRNO(connect_to(fd, "ff02::1", 0), ENETUNREACH);
	CHECK_EQ(bound_to(fd), 1);
}

/* Whether somebody else has it, is looked into a moment later: so long it's tentative. */
static void await_address(const char *text, unsigned index)
{
	for (int tries = 0, result = -1; tries < 1000 && result == -1; tries++) {
		int fd = new_socket(SOCK_DGRAM);

		result = bind_to(fd, text, index);
		close(fd);
		if (result == -1)
			usleep(1000);
	}
}

static void give_link_local_address(void)
{
	struct in6_ifreq request = {.ifr6_prefixlen = 64, .ifr6_ifindex = 1};
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	MUST(inet_pton(AF_INET6, "fe80::1", &request.ifr6_addr) == 1 ? 0 : -1);
	MUST(ioctl(fd, SIOCSIFADDR, &request));
	close(fd);
	await_address("fe80::1", 1);
}

TEST(datagrams_tell_the_interface)
{
	struct sockaddr_in6 address, sender;
	socklen_t length = sizeof(address);
	int receiver, fd;
	char byte;

	enter();
	give_link_local_address();
	receiver = new_socket(SOCK_DGRAM);
	CHECK_OK(bind_to(receiver, "fe80::1", 1));
	CHECK_OK(getsockname(receiver, (void *)&address, &length));
	CHECK_EQ(address.sin6_scope_id, 1);
	fd = new_socket(SOCK_DGRAM);
	CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&address, sizeof(address)), 1);
	length = sizeof(sender);
	CHECK_EQ(recvfrom(receiver, &byte, 1, 0, (void *)&sender, &length), 1);
	CHECK_EQ(sender.sin6_scope_id, 1);
	CHECK_EQ(sender.sin6_addr.s6_addr[0], 0xfe);
	CHECK_EQ(bound_to(fd), 0);
	CHECK_OK(connect(fd, (void *)&address, sizeof(address)));
	CHECK_EQ(bound_to(fd), 1);
	CHECK_EQ(own_scope(fd), 1);
	CHECK_OK(getpeername(fd, (void *)&sender, &length));
	CHECK_EQ(sender.sin6_scope_id, 1);
	CHECK_EQ(send(fd, "y", 1, 0), 1);
	/* One that counts everywhere has no scope. */
	CHECK_EQ(recvfrom(receiver, &byte, 1, 0, NULL, NULL), 1);
	close(fd);
	fd = new_socket(SOCK_DGRAM);
	CHECK_OK(bind_to(fd, "::1", 1));
	CHECK_EQ(own_scope(fd), 0);
	CHECK_EQ(bound_to(fd), 0);
}

TEST(streams_tell_the_interface)
{
	struct sockaddr_in6 address, peer;
	socklen_t length = sizeof(address);
	int listener, fd, connection;

	enter();
	give_link_local_address();
	listener = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	MUST(listen(listener, 5));
	MUST(getsockname(listener, (void *)&address, &length));
	CHECK_EQ(address.sin6_scope_id, 0);
	address.sin6_addr = at("fe80::1", 0, 0).sin6_addr;
	fd = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	CHECK_ERRNO(connect(fd, (void *)&address, sizeof(address)), EINVAL);
	address.sin6_scope_id = 1;
	CHECK_OK(connect(fd, (void *)&address, sizeof(address)));
	CHECK_EQ(bound_to(fd), 1);
	CHECK_EQ(own_scope(fd), 1);
	length = sizeof(peer);
	CHECK_OK(connection = accept(listener, (void *)&peer, &length));
	CHECK_EQ(peer.sin6_scope_id, 1);
	CHECK_EQ(own_scope(connection), 1);
	CHECK_EQ(bound_to(connection), 1);
	CHECK_EQ(bound_to(listener), 0);
}

struct wanted {
	struct in6_addr address;
	int index;
};

static struct in6_addr address_of(const char *text)
{
	struct in6_addr address;

	CHECK_EQ(inet_pton(AF_INET6, text, &address), 1);
	return address;
}

static int want(int fd, int option, const char *text, int index)
{
	struct wanted wanted = {address_of(text), index};

	return setsockopt(fd, SOL_IPV6, option, &wanted, sizeof(wanted));
}

/* What /proc/net/anycast6 says, without its end of the line. */
static const char *listed(void)
{
	static char text[4096];
	int fd = (int)MUST(open("/proc/thread-self/net/anycast6", O_RDONLY));
	ssize_t length = MUST(read(fd, text, sizeof(text) - 1));

	close(fd);
	text[length > 0 ? length - 1 : 0] = 0;
	return text;
}

/* A network whose loopback has an address of a net. */
static void enter_with_net(void)
{
	struct {
		struct in6_addr address;
		uint32_t length;
		int index;
	} request = {address_of("2001:db8::1"), 64, 1};
	int fd;

	enter();
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(ioctl(fd, SIOCSIFADDR, &request));
	close(fd);
	await_address("2001:db8::1", 0);
}

TEST(whose_they_may_be)
{
	int fd, stream;

	enter_with_net();
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	stream = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	CHECK_STRING(listed(), "");
	CHECK_ERRNO(want(fd, IPV6_JOIN_ANYCAST, "ff02::5", 1), EINVAL);
	CHECK_ERRNO(want(fd, IPV6_JOIN_ANYCAST, "2001:db8::1", 1), EINVAL);
	CHECK_ERRNO(want(fd, IPV6_JOIN_ANYCAST, "2001:db8::99", 77), ENODEV);
	CHECK_ERRNO(want(fd, IPV6_JOIN_ANYCAST, "2001:db9::99", 1), EADDRNOTAVAIL);
	CHECK_ERRNO(want(fd, IPV6_JOIN_ANYCAST, "::", 0), EADDRNOTAVAIL);
	CHECK_ERRNO(want(fd, IPV6_LEAVE_ANYCAST, "2001:db8::99", 1), ENOENT);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_JOIN_ANYCAST, "x", 19), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_JOIN_ANYCAST, bad_address(), 20), EFAULT);
	CHECK_EQ(want(fd, IPV6_JOIN_ANYCAST, "2001:db8::99", 1), 0);
	CHECK_STRING(listed(), "1    lo              20010db8000000000000000000000099     1");
	CHECK_EQ(want(stream, IPV6_JOIN_ANYCAST, "2001:db8::99", 1), 0);
	CHECK_EQ(want(stream, IPV6_JOIN_ANYCAST, "2001:db8::98", 1), 0);
	CHECK_STRING(listed(), "1    lo              20010db8000000000000000000000098     1\n"
			       "1    lo              20010db8000000000000000000000099     2");
	CHECK_EQ(want(stream, IPV6_LEAVE_ANYCAST, "2001:db8::98", 0), 0);
	CHECK_ERRNO(want(stream, IPV6_LEAVE_ANYCAST, "2001:db8::98", 0), ENOENT);
	close(stream);
	CHECK_STRING(listed(), "1    lo              20010db8000000000000000000000099     1");
	CHECK_EQ(want(fd, IPV6_LEAVE_ANYCAST, "2001:db8::99", 1), 0);
	CHECK_STRING(listed(), "");
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(want(fd, IPV6_JOIN_ANYCAST, "2001:db8::99", 1), EPERM);
}

/* They're counted with the socket's options, and asked for before the interface is. */
TEST(how_many_they_may_be)
{
	int fd, result = 0, count = 0;

	enter_with_net();
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	while (count < 5000 && result == 0) {
		result = want(fd, IPV6_JOIN_ANYCAST, "2001:db8::99", 1);
		count += result == 0;
	}
	CHECK_EQ(errno, ENOMEM);
	CHECK_EQ(count, 4095);
	CHECK_ERRNO(want(fd, IPV6_JOIN_ANYCAST, "2001:db8::99", 77), ENOMEM);
	CHECK_STRING(listed(), "1    lo              20010db8000000000000000000000099  4095");
	CHECK_EQ(want(fd, IPV6_LEAVE_ANYCAST, "2001:db8::99", 1), 0);
	CHECK_EQ(want(fd, IPV6_JOIN_ANYCAST, "2001:db8::98", 1), 0);
	close(fd);
	CHECK_STRING(listed(), "");
}

TEST(what_comes_there)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)}, from;
	socklen_t size = sizeof(from);
	int receiver, sender, listener, caller, on = 1;
	char room[128], byte;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	struct pollfd wait;

	enter_with_net();
	receiver = (int)MUST(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	sender = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(bind(receiver, (void *)&name, sizeof(name)));
	MUST(setsockopt(receiver, SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)));
	CHECK_EQ(want(receiver, IPV6_JOIN_ANYCAST, "2001:db8::99", 0), 0);
	name.sin6_addr = address_of("2001:db8::99");
	CHECK_EQ(sendto(sender, "x", 1, 0, (void *)&name, sizeof(name)), 1);
	CHECK_EQ(recvmsg(receiver, &message, 0), 1);
	CHECK_EQ(memcmp(CMSG_DATA(CMSG_FIRSTHDR(&message)), &name.sin6_addr, 16), 0);
	/* It's nobody's to send from. */
	name.sin6_port = 0;
	sender = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_ERRNO(bind(sender, (void *)&name, sizeof(name)), EADDRNOTAVAIL);
	/* And no connection is made to it. */
	listener = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	from = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	MUST(bind(listener, (void *)&from, size));
	MUST(listen(listener, 1));
	caller = (int)MUST(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0));
	name.sin6_port = htons(PORT);
	CHECK_ERRNO(connect(caller, (void *)&name, sizeof(name)), EINPROGRESS);
	wait = (struct pollfd){caller, POLLOUT, 0};
	CHECK_EQ(poll(&wait, 1, 100), 0);
	CHECK_EQ(want(receiver, IPV6_LEAVE_ANYCAST, "2001:db8::99", 0), 0);
}

/* How much IPV6_2292PKTOPTIONS tells, with room for `length` bytes. */
static int told(int fd, unsigned char *buffer, int length)
{
	socklen_t size = (socklen_t)length;

	MUST(getsockopt(fd, SOL_IPV6, OLD_OPTIONS, buffer, &size));
	return (int)size;
}

TEST(what_packets_of_a_connection_bring)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t size = sizeof(name);
	int listener, ends[2], on = 1, service = 0x20;
	struct in6_pktinfo *where;
	unsigned char buffer[256] __attribute__((aligned(8)));

	enter();
	listener = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	ends[0] = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	CHECK_EQ(told(ends[0], buffer, 100), 0);
	CHECK_EQ(told(ends[0], buffer, -1), 0);
	MUST(setsockopt(ends[0], SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)));
	MUST(setsockopt(ends[0], SOL_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)));
	MUST(setsockopt(ends[0], SOL_IPV6, IPV6_TCLASS, &service, sizeof(service)));
	CHECK_EQ(told(ends[0], buffer, 100), 64);
	where = (struct in6_pktinfo *)(buffer + sizeof(struct cmsghdr));
	CHECK_EQ(((struct cmsghdr *)buffer)->cmsg_type, IPV6_PKTINFO);
	CHECK_EQ(((struct cmsghdr *)buffer)->cmsg_len, 36);
	CHECK_EQ(where->ipi6_ifindex, 0);
	CHECK_EQ(buffer[56], 1);
	CHECK_EQ(told(ends[0], buffer, 39), 39);
	CHECK_EQ(told(ends[0], buffer, 50), 40);
	CHECK_EQ(told(ends[0], buffer, 15), 0);
	MUST(bind(listener, (void *)&name, size));
	MUST(getsockname(listener, (void *)&name, &size));
	MUST(listen(listener, 1));
	MUST(connect(ends[0], (void *)&name, size));
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	MUST(setsockopt(ends[1], SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)));
	MUST(setsockopt(ends[1], SOL_IPV6, IPV6_RECVTCLASS, &on, sizeof(on)));
	CHECK_EQ(told(ends[1], buffer, 100), 64);
	CHECK_EQ(where->ipi6_ifindex, 1);
	CHECK_EQ(memcmp(&where->ipi6_addr, &in6addr_loopback, 16), 0);
	CHECK_EQ(((struct cmsghdr *)(buffer + 40))->cmsg_type, IPV6_TCLASS);
	CHECK_EQ(buffer[56], 0x20);
	size = sizeof(buffer);
	listener = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_ERRNO(getsockopt(listener, SOL_IPV6, OLD_OPTIONS, buffer, &size), ENOPROTOOPT);
}

static int tell(int family, int kind, int level, int option, void *value, int length)
{
	int fd = (int)MUST(socket(family, kind, 0));
	socklen_t size = (socklen_t)length;
	int result = getsockopt(fd, level, option, value, &size), why = errno;

	close(fd);
	errno = why;
	return result;
}

TEST(what_is_not_there)
{
	struct ip_mreqn nowhere = {0};
	unsigned char value[32] = {0};
	int fd, number = -1;

	enter();
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_DROP_MEMBERSHIP, &nowhere, sizeof(nowhere)), EADDRNOTAVAIL);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_HDRINCL, bad_address(), 1), EFAULT);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_NODEFRAG, bad_address(), 4), EFAULT);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_HDRINCL, &number, 4), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_NODEFRAG, NULL, 0), ENOPROTOOPT);
	fd = (int)MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_RAW));
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_ROUTER_ALERT, &number, 4), ENOBUFS);
	number = 0;
	CHECK_EQ(setsockopt(fd, SOL_IPV6, IPV6_ROUTER_ALERT, &number, 4), 0);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_ROUTER_ALERT, &number, 4), EADDRINUSE);
	number = -1;
	CHECK_EQ(setsockopt(fd, SOL_IPV6, IPV6_ROUTER_ALERT, &number, 4), 0);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_ROUTER_ALERT, &number, 4), ENOBUFS);
	/* Of a connection that nobody tracks. */
	CHECK_ERRNO(tell(AF_INET, SOCK_STREAM, SOL_IP, ORIGINAL_DESTINATION, value, 15), EINVAL);
	CHECK_ERRNO(tell(AF_INET, SOCK_STREAM, SOL_IP, ORIGINAL_DESTINATION, value, 16), ENOENT);
	CHECK_ERRNO(tell(AF_INET, SOCK_DGRAM, SOL_IP, ORIGINAL_DESTINATION, value, 16), ENOPROTOOPT);
	CHECK_ERRNO(tell(AF_INET6, SOCK_STREAM, SOL_IPV6, ORIGINAL_DESTINATION, value, 27), EINVAL);
	CHECK_ERRNO(tell(AF_INET6, SOCK_STREAM, SOL_IPV6, ORIGINAL_DESTINATION, value, 28), ENOENT);
	/* Of no label. */
	CHECK_ERRNO(tell(AF_INET6, SOCK_DGRAM, SOL_IPV6, 32, value, 31), EINVAL);
	CHECK_ERRNO(tell(AF_INET6, SOCK_DGRAM, SOL_IPV6, 32, value, 32), ENOENT);
	CHECK_ERRNO(tell(AF_INET6, SOCK_DGRAM, SOL_IPV6, 32, bad_address(), 32), EFAULT);
	value[22] = 8;
	CHECK_EQ(tell(AF_INET6, SOCK_DGRAM, SOL_IPV6, 32, value, 32), 0);
	value[20] = 1;
	CHECK_ERRNO(tell(AF_INET6, SOCK_DGRAM, SOL_IPV6, 32, value, 32), EINVAL);
}
