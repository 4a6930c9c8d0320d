/* Datagrams that are sent in pieces and received together (UDP_SEGMENT, UDP_GRO); what IPV6_PKTINFO keeps. */
#include "number_option.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_NO_CHECK6_TX
#define UDP_NO_CHECK6_TX 101
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static char data[70000];
static int from, to;

static void make_sockets(void)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof where;

	to = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	MUST(bind(to, (struct sockaddr *)&where, sizeof where));
	MUST(getsockname(to, (struct sockaddr *)&where, &length));
	from = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(connect(from, (struct sockaddr *)&where, sizeof where));
}

/* Sends with a control message of SOL_UDP. */
static ssize_t send_with(size_t length, int kind, const void *value, size_t size)
{
	char control[64] = "";
	struct iovec vector = {data, length};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control};
	struct cmsghdr *header = (struct cmsghdr *)control;

	header->cmsg_level = IPPROTO_UDP;
	header->cmsg_type = kind;
	header->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(header), value, size);
	message.msg_controllen = CMSG_SPACE(size);
	return sendmsg(from, &message, 0);
}

/* How long the next datagram is, and what UDP_GRO says of its pieces; -1 for no message. */
static ssize_t received(int *pieces)
{
	char control[64];
	struct iovec vector = {data, sizeof data};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	ssize_t length = recvmsg(to, &message, 0);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	*pieces = -1;
	if (length >= 0 && header != NULL && header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO)
		memcpy(pieces, CMSG_DATA(header), sizeof *pieces);
	return length;
}

TEST(options)
{
	make_sockets();
	CHECK_EQ(get_option(from, IPPROTO_UDP, UDP_SEGMENT), 0);
	CHECK_EQ(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 65535), 0);
	CHECK_EQ(get_option(from, IPPROTO_UDP, UDP_SEGMENT), 65535);
	CHECK_ERRNO(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 65536), EINVAL);
	CHECK_ERRNO(set_option(from, IPPROTO_UDP, UDP_SEGMENT, -1), EINVAL);
	CHECK_EQ(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 0), 0);
	CHECK_EQ(get_option(to, IPPROTO_UDP, UDP_GRO), 0);
	CHECK_EQ(set_option(to, IPPROTO_UDP, UDP_GRO, 7), 0);
	CHECK_EQ(get_option(to, IPPROTO_UDP, UDP_GRO), 1);
}

TEST(pieces)
{
	uint16_t size = 300;
	int wrong = 300, pieces;

	make_sockets();
	MUST(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 1000));
	for (size_t at = 0; at < sizeof data; at++)
		data[at] = (char)(at / 1000);
	CHECK_EQ(send(from, data, 2500, 0), 2500);
	CHECK_EQ(received(&pieces), 1000);
	CHECK_EQ(received(&pieces), 1000);
	CHECK_EQ(data[0], 1);
	CHECK_EQ(received(&pieces), 500);
	CHECK_EQ(data[0], 2);
	CHECK_ERRNO(received(&pieces), EAGAIN);
	CHECK_EQ(send(from, data, 1000, 0), 1000);
	CHECK_EQ(received(&pieces), 1000);
	CHECK_EQ(send(from, data, 0, 0), 0);
	CHECK_EQ(received(&pieces), 0);
	/* A message's own choice goes first. */
	CHECK_EQ(send_with(500, UDP_SEGMENT, &size, sizeof size), 500);
	CHECK_EQ(received(&pieces), 300);
	CHECK_EQ(received(&pieces), 200);
	CHECK_ERRNO(send_with(500, UDP_SEGMENT, &wrong, sizeof wrong), EINVAL);
	CHECK_ERRNO(send_with(500, UDP_GRO, &size, sizeof size), EINVAL);
	/* So many pieces at most. */
	MUST(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 10));
	CHECK_EQ(send(from, data, 1280, 0), 1280);
	CHECK_ERRNO(send(from, data, 1281, 0), EINVAL);
	MUST(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 1000));
	CHECK_ERRNO(send(from, data, 65508, 0), EMSGSIZE);
	/* What is kept back is cut once it goes. */
	while (received(&pieces) >= 0)
		continue;
	CHECK_EQ(send(from, data, 700, MSG_MORE), 700);
	CHECK_EQ(send(from, data, 700, 0), 700);
	CHECK_EQ(received(&pieces), 1000);
	CHECK_EQ(received(&pieces), 400);
	CHECK_ERRNO(received(&pieces), EAGAIN);
}

TEST(received_together)
{
	int pieces;

	make_sockets();
	MUST(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 1000));
	MUST(set_option(to, IPPROTO_UDP, UDP_GRO, 1));
	CHECK_EQ(send(from, data, 2500, 0), 2500);
	CHECK_EQ(received(&pieces), 2500);
	CHECK_EQ(pieces, 1000);
	CHECK_EQ(send(from, data, 900, 0), 900);
	CHECK_EQ(received(&pieces), 900);
	CHECK_EQ(pieces, -1);
	CHECK_EQ(send(from, data, 65000, 0), 65000);
	CHECK_EQ(received(&pieces), 65000);
	CHECK_EQ(pieces, 1000);
}

/* With its headers and those of the frame it's less than IFLA_GSO_IPV4_MAX_SIZE. */
#define LONGEST_AT_ONCE (65536 - 1 - 14 - 20 - 8)

TEST(longer_ones_are_cut_before)
{
	int pieces;

	make_sockets();
	MUST(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 1400));
	MUST(set_option(to, IPPROTO_UDP, UDP_GRO, 1));
	CHECK_EQ(send(from, data, LONGEST_AT_ONCE, 0), LONGEST_AT_ONCE);
	CHECK_EQ(received(&pieces), LONGEST_AT_ONCE);
	CHECK_EQ(pieces, 1400);
	CHECK_EQ(send(from, data, LONGEST_AT_ONCE + 1, 0), LONGEST_AT_ONCE + 1);
	CHECK_EQ(received(&pieces), 1400);
	CHECK_EQ(pieces, -1);
}

/* Of IPv6 the option of UDP matters, and that of the socket doesn't. */
TEST(pieces_need_checksums)
{
	struct sockaddr_in6 nobody = {.sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	make_sockets();
	MUST(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 10));
	MUST(set_option(from, IPPROTO_UDP, UDP_NO_CHECK6_TX, 1));
	CHECK_EQ(send(from, data, 25, 0), 25);
	MUST(set_option(from, SOL_SOCKET, SO_NO_CHECK, 1));
	CHECK_ERRNO(send(from, data, 25, 0), EINVAL);
	from = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(set_option(from, IPPROTO_UDP, UDP_SEGMENT, 10));
	MUST(set_option(from, SOL_SOCKET, SO_NO_CHECK, 1));
	CHECK_EQ(sendto(from, data, 25, 0, (struct sockaddr *)&nobody, sizeof nobody), 25);
	MUST(set_option(from, IPPROTO_UDP, UDP_NO_CHECK6_TX, 1));
	CHECK_ERRNO(sendto(from, data, 25, 0, (struct sockaddr *)&nobody, sizeof nobody), EINVAL);
}

static struct in6_pktinfo loopback = {IN6ADDR_LOOPBACK_INIT, 1};

static int keep(int fd, int index, socklen_t length)
{
	loopback.ipi6_ifindex = (unsigned)index;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_PKTINFO, &loopback, length);
}

TEST(an_interface_for_all)
{
	struct sockaddr_in6 where = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct {
		struct sockaddr_in6 address;
		uint32_t mtu;
	} way = {.mtu = 1};
	socklen_t length = sizeof where;
	int six = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), sender, index = 1;

	MUST(bind(six, (struct sockaddr *)&where, sizeof where));
	MUST(getsockname(six, (struct sockaddr *)&where, &length));
	sender = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_ERRNO(keep(sender, 1, 19), EINVAL);
	CHECK_ERRNO(keep(sender, 1, 0), EINVAL);
	CHECK_EQ(keep(sender, 1, 20), 0);
	CHECK_EQ(sendto(sender, "x", 1, 0, (struct sockaddr *)&where, sizeof where), 1);
	CHECK_EQ(keep(sender, 9999, 20), 0);
	CHECK_ERRNO(sendto(sender, "x", 1, 0, (struct sockaddr *)&where, sizeof where), ENETUNREACH);
	CHECK_EQ(keep(sender, 0, 20), 0);
	CHECK_EQ(sendto(sender, "x", 1, 0, (struct sockaddr *)&where, sizeof where), 1);
	length = sizeof way;
	CHECK_ERRNO(getsockopt(sender, IPPROTO_IPV6, IPV6_PATHMTU, &way, &length), ENOTCONN);
	MUST(connect(sender, (struct sockaddr *)&where, sizeof where));
	length = 100;
	CHECK_EQ(getsockopt(sender, IPPROTO_IPV6, IPV6_PATHMTU, &way, &length), 0);
	CHECK_EQ(length, 32);
	CHECK_EQ(way.mtu, 65536);
	length = 31;
	CHECK_ERRNO(getsockopt(sender, IPPROTO_IPV6, IPV6_PATHMTU, &way, &length), EINVAL);
	MUST(setsockopt(sender, SOL_SOCKET, SO_BINDTOIFINDEX, &index, sizeof index));
	CHECK_ERRNO(keep(sender, 2, 20), EINVAL);
	CHECK_ERRNO(keep(sender, 0, 20), EINVAL);
	CHECK_EQ(keep(sender, 1, 20), 0);
}
