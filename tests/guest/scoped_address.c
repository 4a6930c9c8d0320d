/* Addresses of IPv6 that count at one interface, which goes with them: sin6_scope_id of ipv6(7). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/ipv6.h>

#define NO_INTERFACE 77
#define PROTOCOL 200

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

static void give_link_local_address(void)
{
	struct in6_ifreq request = {.ifr6_prefixlen = 64, .ifr6_ifindex = 1};
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	MUST(inet_pton(AF_INET6, "fe80::1", &request.ifr6_addr) == 1 ? 0 : -1);
	MUST(ioctl(fd, SIOCSIFADDR, &request));
	close(fd);
	/* Whether somebody else has it, is looked into a moment later. */
	for (int tries = 0, result = -1; tries < 1000 && result == -1; tries++) {
		fd = new_socket(SOCK_DGRAM);
		result = bind_to(fd, "fe80::1", 1);
		close(fd);
		if (result == -1)
			usleep(1000);
	}
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
