/* Raw sockets of UDP, and headers of IP that programs write themselves (raw(7), ipv6(7)). */
#include "own_network.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>

#define PORT 5000
#define OUR_PORT 6000

static int raw(int protocol)
{
	return MUST(socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, protocol));
}

static int raw_with_header(int protocol)
{
	int fd = raw(protocol), on = 1;

	MUST(setsockopt(fd, SOL_IP, IP_HDRINCL, &on, sizeof(on)));
	return fd;
}

static struct sockaddr_in to(const char *address, int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {inet_addr(address)}};
}

static int server(const char *address)
{
	struct sockaddr_in own = to(address, PORT);
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));

	MUST(bind(fd, (void *)&own, sizeof(own)));
	return fd;
}

static unsigned char got[256];
static struct sockaddr_in from;

/* The length of what has arrived, or -errno. */
static int next(int fd)
{
	socklen_t length = sizeof(from);
	ssize_t result;

	memset(got, 0, sizeof(got));
	result = recvfrom(fd, got, sizeof(got), 0, (void *)&from, &length);
	return result == -1 ? -errno : (int)result;
}

static int sum_of(const void *bytes, int length)
{
	const unsigned char *at = bytes;
	int sum = 0;

	for (int index = 0; index < length; index++)
		sum += at[index] << (index & 1 ? 0 : 8);
	return sum;
}

/* The Internet's checksum of UDP between two addresses. */
static int checksum(const void *addresses, int address_bytes, const void *datagram, int length)
{
	int sum = sum_of(addresses, address_bytes) + IPPROTO_UDP + length + sum_of(datagram, length);

	while (sum >> 16)
		sum = (sum & 0xFFFF) + (sum >> 16);
	return ~sum & 0xFFFF;
}

struct datagram {
	struct udphdr header;
	char text[8];
};

static struct datagram datagram_of(const char *text, int told, int sum)
{
	struct datagram made = {.header = {.source = htons(OUR_PORT), .dest = htons(PORT), .len = htons(told), .check = htons(sum)}};

	memcpy(made.text, text, strlen(text));
	return made;
}

static int send_to(int fd, const char *address, const void *data, int length)
{
	struct sockaddr_in target = to(address, 0);

	return (int)sendto(fd, data, length, 0, (void *)&target, sizeof(target));
}

static const unsigned char loopback_twice[8] = {127, 0, 0, 1, 127, 0, 0, 1};

TEST(a_datagram_with_a_header_of_ones_own)
{
	int fd, hearer, other;
	struct datagram sent = datagram_of("abcd", 12, 0);

	enter();
	fd = raw(IPPROTO_UDP), hearer = server("127.0.0.1"), other = raw(IPPROTO_UDP);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 12), 12);
	CHECK_EQ(next(hearer), 4);
	CHECK_EQ(memcmp(got, "abcd", 4), 0);
	CHECK_EQ(ntohs(from.sin_port), OUR_PORT);
	/* Raw sockets get it as it was sent, he who sent it too. */
	CHECK_EQ(next(other), 32);
	CHECK_EQ(memcmp(got + 20, &sent, 12), 0);
	CHECK_EQ(from.sin_port, 0);
	CHECK_EQ(next(fd), 32);
	CHECK_EQ(next(fd), -EAGAIN);
}

TEST(its_checksum_and_length_are_looked_at)
{
	int fd, hearer, sum;
	struct datagram sent = datagram_of("abcd", 12, 0);

	enter();
	fd = raw(IPPROTO_UDP), hearer = server("127.0.0.1");
	sum = checksum(loopback_twice, 8, &sent, 12);
	sent = datagram_of("abcd", 12, sum);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 12), 12);
	CHECK_EQ(next(hearer), 4);
	sent = datagram_of("abcd", 12, sum ^ 1);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 12), 12);
	CHECK_EQ(next(hearer), -EAGAIN);
	CHECK_EQ(next(fd), 32);
	CHECK_EQ(next(fd), 32);
	CHECK_EQ(ntohs(((struct udphdr *)(got + 20))->check), sum ^ 1);
	/* Less than what there is cuts it, more makes it no datagram. */
	sent = datagram_of("abcd", 10, 0);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 12), 12);
	CHECK_EQ(next(hearer), 2);
	CHECK_EQ(next(fd), 32);
	sent = datagram_of("abcd", 13, 0);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 12), 12);
	CHECK_EQ(next(hearer), -EAGAIN);
	CHECK_EQ(next(fd), 32);
	sent = datagram_of("abcd", 7, 0);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 12), 12);
	CHECK_EQ(next(hearer), -EAGAIN);
	/* No length at all means all there is in IPv6's longest packets only. */
	sent = datagram_of("abcd", 0, 0);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 12), 12);
	CHECK_EQ(next(hearer), -EAGAIN);
}

TEST(less_than_a_header)
{
	int fd, hearer;
	struct datagram sent = datagram_of("", 8, 0);

	enter();
	fd = raw(IPPROTO_UDP), hearer = server("127.0.0.1");
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 8), 8);
	CHECK_EQ(next(hearer), 0);
	CHECK_EQ(next(fd), 28);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 5), 5);
	CHECK_EQ(next(hearer), -EAGAIN);
	CHECK_EQ(next(fd), 25);
	CHECK_EQ(memcmp(got + 20, &sent, 5), 0);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 0), 0);
	CHECK_EQ(next(fd), 20);
}

TEST(nobody_at_the_port)
{
	int fd, told;
	struct datagram sent = datagram_of("abcd", 12, 0);
	struct icmphdr *message = (void *)(got + 20);

	enter();
	fd = raw(IPPROTO_UDP), told = raw(IPPROTO_ICMP);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 12), 12);
	CHECK_EQ(next(told), 20 + 8 + 20 + 12);
	CHECK_EQ(message->type, ICMP_DEST_UNREACH);
	CHECK_EQ(message->code, ICMP_PORT_UNREACH);
	CHECK_EQ(memcmp(got + 48, &sent, 12), 0);
	/* Nothing is said of what isn't whole. */
	sent = datagram_of("abcd", 12, 1);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 12), 12);
	CHECK_EQ(next(told), -EAGAIN);
}

struct whole {
	struct iphdr header;
	struct datagram datagram;
};

static struct whole whole_of(const char *source, const char *target)
{
	return (struct whole){
		.header = {.version = 4, .ihl = 5, .tos = 8, .id = htons(777), .ttl = 9, .protocol = IPPROTO_UDP,
			   .saddr = inet_addr(source), .daddr = inet_addr(target), .check = 5, .tot_len = 3},
		.datagram = datagram_of("abcd", 12, 0),
	};
}

TEST(a_packet_with_both_headers)
{
	int fd, hearer, listener;
	struct whole sent = whole_of("127.0.0.5", "127.0.0.1");
	struct iphdr *header = (void *)got;

	enter();
	fd = raw_with_header(IPPROTO_RAW), hearer = server("127.0.0.1"), listener = raw(IPPROTO_UDP);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 32), 32);
	CHECK_EQ(next(hearer), 4);
	CHECK_EQ(memcmp(got, "abcd", 4), 0);
	CHECK_EQ(from.sin_addr.s_addr, inet_addr("127.0.0.5"));
	CHECK_EQ(ntohs(from.sin_port), OUR_PORT);
	CHECK_EQ(next(listener), 32);
	CHECK_EQ(header->tos, 8);
	CHECK_EQ(header->ttl, 9);
	CHECK_EQ(ntohs(header->id), 777);
	CHECK_EQ(header->frag_off, 0);
	CHECK_EQ(ntohs(header->tot_len), 32);
	CHECK_EQ((sum_of(got, 20) & 0xFFFF) + (sum_of(got, 20) >> 16), 0xFFFF);
	CHECK_EQ(next(fd), -EAGAIN);
	/* What is left out is filled in. */
	sent.header.saddr = 0;
	sent.header.id = 0;
	sent.header.frag_off = htons(IP_DF);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 32), 32);
	CHECK_EQ(next(listener), 32);
	CHECK_EQ(header->saddr, inet_addr("127.0.0.1"));
	CHECK_EQ(ntohs(header->frag_off), IP_DF);
}

TEST(where_it_goes_is_said_twice)
{
	int fd, hearer, listener;
	struct whole sent = whole_of("127.0.0.1", "127.0.0.3");

	enter();
	fd = raw_with_header(IPPROTO_RAW), hearer = server("127.0.0.3"), listener = raw(IPPROTO_UDP);
	/* The one finds the way, the other one the receiver. */
	CHECK_EQ(send_to(fd, "127.0.0.2", &sent, 32), 32);
	CHECK_EQ(next(hearer), 4);
	CHECK_EQ(next(listener), 32);
	CHECK_EQ(((struct iphdr *)got)->daddr, inet_addr("127.0.0.3"));
}

TEST(a_header_with_options)
{
	struct {
		struct iphdr header;
		unsigned char options[4];
		struct datagram datagram;
	} sent = {.options = {IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_END}};
	struct whole plain = whole_of("127.0.0.1", "127.0.0.1");
	int fd, hearer, listener;

	enter();
	sent.header = plain.header;
	sent.header.ihl = 6;
	sent.datagram = plain.datagram;
	fd = raw_with_header(IPPROTO_RAW), hearer = server("127.0.0.1"), listener = raw(IPPROTO_UDP);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 36), 36);
	CHECK_EQ(next(hearer), 4);
	CHECK_EQ(next(listener), 36);
	CHECK_EQ(got[0], 0x46);
	CHECK_EQ(memcmp(got + 20, sent.options, 4), 0);
}

TEST(headers_that_are_none)
{
	int fd, hearer, listener;
	struct whole sent = whole_of("127.0.0.1", "127.0.0.1");

	enter();
	fd = raw_with_header(IPPROTO_RAW), hearer = server("127.0.0.1"), listener = raw(IPPROTO_UDP);
	CHECK_ERRNO(send_to(fd, "127.0.0.1", &sent, 19), EINVAL);
	sent.header.ihl = 15;
	CHECK_ERRNO(send_to(fd, "127.0.0.1", &sent, 32), EINVAL);
	sent.header.ihl = 4;
	CHECK_ERRNO(send_to(fd, "127.0.0.1", &sent, 32), EINVAL);
	/* What nobody takes is sent all the same. */
	sent.header.ihl = 5;
	sent.header.version = 6;
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 32), 32);
	CHECK_EQ(next(hearer), -EAGAIN);
	CHECK_EQ(next(listener), -EAGAIN);
	/* So is a piece, which waits for the others. */
	sent.header.version = 4;
	sent.header.frag_off = htons(IP_MF);
	CHECK_EQ(send_to(fd, "127.0.0.1", &sent, 32), 32);
	CHECK_EQ(next(hearer), -EAGAIN);
	CHECK_EQ(next(listener), -EAGAIN);
}

TEST(of_ipv6)
{
	struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in6 target = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct datagram sent = datagram_of("abcd", 12, 0);
	unsigned char addresses[32] = {[15] = 1, [31] = 1};
	int fd, hearer, place = 6, sum;

	enter();
	fd = MUST(socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_UDP));
	hearer = MUST(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	MUST(bind(hearer, (void *)&own, sizeof(own)));
	/* Here a datagram needs a checksum. */
	CHECK_EQ(sendto(fd, &sent, 12, 0, (void *)&target, sizeof(target)), 12);
	CHECK_EQ(next(hearer), -EAGAIN);
	CHECK_EQ(next(fd), 12);
	CHECK_EQ(memcmp(got, &sent, 12), 0);
	sum = checksum(addresses, 32, &sent, 12);
	MUST(setsockopt(fd, SOL_IPV6, IPV6_CHECKSUM, &place, sizeof(place)));
	/* Of most options of IPv6 a null pointer is 0. */
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_CHECKSUM, NULL, sizeof(place)), EFAULT);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_HDRINCL, NULL, sizeof(place)), EFAULT);
	CHECK_EQ(sendto(fd, &sent, 12, 0, (void *)&target, sizeof(target)), 12);
	CHECK_EQ(next(hearer), 4);
	CHECK_EQ(next(fd), 12);
	CHECK_EQ(ntohs(((struct udphdr *)got)->check), sum);
	/* What a socket of UDP sends needs none on the loopback. */
	CHECK_EQ(sendto(hearer, "xyz", 3, 0, (void *)&own, sizeof(own)), 3);
	CHECK_EQ(next(fd), 11);
}

static struct sockaddr_in6 to_6(const char *address, int port)
{
	struct sockaddr_in6 made = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	MUST(inet_pton(AF_INET6, address, &made.sin6_addr));
	return made;
}

/* An address that stands for one of IPv4 can be connected to, and that's all. */
TEST(of_ipv6_and_addresses_of_ipv4)
{
	struct sockaddr_in6 own = to_6("::1", 0), target = to_6("::ffff:127.0.0.1", 0), name;
	struct sockaddr_in of_ipv4 = to("127.0.0.1", 0);
	socklen_t length = sizeof(name);
	int fd;

	enter();
	fd = MUST(socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, 5));
	CHECK_ERRNO(bind(fd, (void *)&target, sizeof(target)), EADDRNOTAVAIL);
	CHECK_ERRNO(sendto(fd, "abcd", 4, 0, (void *)&target, sizeof(target)), ENETUNREACH);
	MUST(connect(fd, (void *)&target, sizeof(target)));
	MUST(getsockname(fd, (void *)&name, &length));
	CHECK_EQ(memcmp(&name.sin6_addr, &target.sin6_addr, 16), 0);
	CHECK_ERRNO(send(fd, "abcd", 4, 0), ENETUNREACH);
	MUST(close(fd));
	/* What it's bound to stays. */
	fd = MUST(socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, 5));
	MUST(bind(fd, (void *)&own, sizeof(own)));
	MUST(connect(fd, (void *)&target, sizeof(target)));
	MUST(getsockname(fd, (void *)&name, &length));
	CHECK_EQ(memcmp(&name.sin6_addr, &own.sin6_addr, 16), 0);
	CHECK_ERRNO(send(fd, "abcd", 4, 0), ENETUNREACH);
	/* Addresses of IPv4 itself are none here. */
	CHECK_ERRNO(connect(fd, (void *)&of_ipv4, 8), EAFNOSUPPORT);
	CHECK_ERRNO(connect(fd, (void *)&of_ipv4, sizeof(of_ipv4)), EAFNOSUPPORT);
	memcpy(&name, &of_ipv4, sizeof(of_ipv4));
	CHECK_ERRNO(connect(fd, (void *)&name, sizeof(name)), EAFNOSUPPORT);
	CHECK_ERRNO(bind(fd, (void *)&name, sizeof(name)), EINVAL);
	CHECK_ERRNO(sendto(fd, "abcd", 4, 0, (void *)&name, 16), EINVAL);
	CHECK_ERRNO(sendto(fd, "abcd", 4, 0, (void *)&name, 20), EINVAL);
	CHECK_ERRNO(sendto(fd, "abcd", 4, 0, (void *)&name, 24), EAFNOSUPPORT);
	MUST(close(fd));
}

/* An address without a family is one of IPv6, and its port is the protocol. */
TEST(of_ipv6_and_addresses_of_no_family)
{
	struct sockaddr_in6 target = to_6("::1", 0);
	int fd, whole;

	enter();
	fd = MUST(socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, 200));
	target.sin6_family = AF_UNSPEC;
	CHECK_EQ(sendto(fd, "abcd", 4, 0, (void *)&target, sizeof(target)), 4);
	CHECK_EQ(next(fd), 4);
	target.sin6_port = htons(200);
	CHECK_EQ(sendto(fd, "abcd", 4, 0, (void *)&target, sizeof(target)), 4);
	CHECK_EQ(next(fd), 4);
	target.sin6_port = htons(201);
	CHECK_ERRNO(sendto(fd, "abcd", 4, 0, (void *)&target, sizeof(target)), EINVAL);
	target.sin6_port = htons(456);
	CHECK_ERRNO(sendto(fd, "abcd", 4, 0, (void *)&target, sizeof(target)), EINVAL);
	target.sin6_family = 77;
	CHECK_ERRNO(sendto(fd, "abcd", 4, 0, (void *)&target, sizeof(target)), EAFNOSUPPORT);
	MUST(close(fd));
	/* Of IPPROTO_RAW what is written has its header. */
	target = to_6("::1", 201);
	whole = MUST(socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_RAW));
	CHECK_ERRNO(sendto(whole, "abcd", 4, 0, (void *)&target, sizeof(target)), EINVAL);
	target.sin6_port = htons(456);
	CHECK_ERRNO(sendto(whole, got, 100, 0, (void *)&target, sizeof(target)), EINVAL);
	MUST(close(whole));
	fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	target.sin6_family = 77;
	CHECK_ERRNO(sendto(fd, "abcd", 4, 0, (void *)&target, sizeof(target)), EINVAL);
	CHECK_ERRNO(connect(fd, (void *)&target, sizeof(target)), EAFNOSUPPORT);
	MUST(close(fd));
}

/* A port is looked at by nobody but whoever asks for the name. */
TEST(the_peer_by_name)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, name;
	socklen_t length = sizeof(name);
	int fd;

	enter();
	fd = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	CHECK_ERRNO(getpeername(fd, (void *)&name, &length), ENOTCONN);
	MUST(connect(fd, (void *)&address, sizeof(address)));
	CHECK_ERRNO(getpeername(fd, (void *)&name, &length), ENOTCONN);
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &name, &length), ENOTCONN);
	address.sin_port = htons(7);
	MUST(connect(fd, (void *)&address, sizeof(address)));
	CHECK_OK(getpeername(fd, (void *)&name, &length));
	CHECK_EQ(name.sin_port, htons(7));
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &name, &length));
}

static unsigned char heard[200];

/* What comes next to a socket, with its header of IP. */
static int hear(int fd)
{
	ssize_t length = recv(fd, heard, sizeof(heard), MSG_DONTWAIT);

	return length == -1 ? -errno : (int)length;
}

TEST(errors_as_sockets_of_icmp_see_them)
{
	struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(9)}, from;
	unsigned char queued[100];
	char control[200];
	struct iovec part = {queued, sizeof(queued)};
	struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1,
				 .msg_control = control, .msg_controllen = sizeof(control)};
	int icmp, udp, sender, on = 1, tos = 0x1f;

	enter();
	target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	icmp = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	udp = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
	MUST(setsockopt(udp, SOL_IP, IP_RECVERR, &on, sizeof(on)));
	sender = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(setsockopt(sender, SOL_IP, IP_TOS, &tos, sizeof(tos)));
	MUST(sendto(sender, "hello", 5, 0, (void *)&target, sizeof(target)));
	CHECK_EQ(hear(icmp), 61);
	/* The packet's type of service, in what controls networks; it may be cut on its way. */
	CHECK_EQ(heard[1], 0xde);
	CHECK_EQ(heard[6], 0);
	CHECK_EQ(heard[20], 3);
	CHECK_EQ(heard[21], 3);
	/* Who has no ports, is told of all that is behind the header of IP. */
	CHECK_EQ(recvmsg(udp, &message, MSG_ERRQUEUE), 13);
	CHECK_EQ(from.sin_port, 0);
	CHECK(memcmp(queued + 8, "hello", 5) == 0);
	CHECK_EQ(queued[3], 9);
}

TEST(what_icmp_answers)
{
	struct sockaddr_in target = {.sin_family = AF_INET};
	unsigned char echo[] = {8, 0, 0xf7, 0xfd, 0, 1, 0, 1};
	unsigned char stamp[20] = {13, 0, 0xf2, 0xfc, 0, 1, 0, 2};
	unsigned int first, second;
	int fd;

	enter();
	target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	MUST(sendto(fd, echo, sizeof(echo), 0, (void *)&target, sizeof(target)));
	CHECK_EQ(hear(fd), 28);
	CHECK_EQ(heard[6], 0x40);
	CHECK_EQ(hear(fd), 28);
	CHECK_EQ(heard[6], 0);
	CHECK_EQ(heard[20], 0);
	/* One with a wrong checksum is heard, and not answered. */
	echo[3]++;
	MUST(sendto(fd, echo, sizeof(echo), 0, (void *)&target, sizeof(target)));
	CHECK_EQ(hear(fd), 28);
	CHECK_EQ(heard[20], 8);
	CHECK_EQ(hear(fd), -EAGAIN);
	MUST(sendto(fd, stamp, sizeof(stamp), 0, (void *)&target, sizeof(target)));
	CHECK_EQ(hear(fd), 40);
	CHECK_EQ(hear(fd), 40);
	CHECK_EQ(heard[20], 14);
	CHECK_EQ(heard[27], 2);
	memcpy(&first, heard + 32, 4);
	memcpy(&second, heard + 36, 4);
	CHECK(ntohl(first) < 86400000);
	CHECK_EQ(first, second);
}

/* Who sends through a raw socket isn't kept from it by shutdown(2), but with a header of its own. */
TEST(sending_after_a_shutdown)
{
	static unsigned char whole[28] = {0x45, [8] = 64, [9] = IPPROTO_ICMP};
	struct sockaddr_in target = to("127.0.0.1", 0);
	int fd, with_header;

	enter();
	fd = raw(IPPROTO_ICMP);
	with_header = raw_with_header(IPPROTO_ICMP);
	CHECK_ERRNO(shutdown(fd, SHUT_WR), ENOTCONN);
	CHECK_EQ(sendto(fd, whole + 20, 8, 0, (void *)&target, sizeof(target)), 8);
	CHECK_ERRNO(shutdown(with_header, SHUT_WR), ENOTCONN);
	CHECK_ERRNO(sendto(with_header, whole, 28, MSG_NOSIGNAL, (void *)&target, sizeof(target)), EPIPE);
}

/* What may be taken apart has a number. */
TEST(numbers_of_packets)
{
	static unsigned char whole[28] = {0x45, [8] = 64, [9] = IPPROTO_ICMP, [20] = ICMP_ECHO, [22] = 0xf7, 0xff};
	struct sockaddr_in target = to("127.0.0.1", 0);
	int fd, numbers[2];

	enter();
	fd = raw_with_header(IPPROTO_ICMP);
	memcpy(whole + 16, &target.sin_addr, 4);
	for (int at = 0; at < 2; at++) {
		CHECK_EQ(sendto(fd, whole, 28, 0, (void *)&target, sizeof(target)), 28);
		CHECK_EQ(next(fd), 28);
		numbers[at] = got[4] << 8 | got[5];
		CHECK(numbers[at] != 0);
		/* So has the answer. */
		CHECK_EQ(next(fd), 28);
		CHECK_EQ(got[20], ICMP_ECHOREPLY);
		CHECK((got[4] | got[5]) != 0);
		CHECK_EQ(got[6], 0);
	}
	CHECK(numbers[0] != numbers[1]);
	whole[4] = 1;
	CHECK_EQ(sendto(fd, whole, 28, 0, (void *)&target, sizeof(target)), 28);
	CHECK_EQ(next(fd), 28);
	CHECK_EQ(got[4] << 8 | got[5], 256);
	CHECK_EQ(next(fd), 28);
	whole[4] = 0;
	whole[6] = 0x40;
	CHECK_EQ(sendto(fd, whole, 28, 0, (void *)&target, sizeof(target)), 28);
	CHECK_EQ(next(fd), 28);
	CHECK_EQ(got[4] | got[5], 0);
	CHECK_EQ(got[6], 0x40);
}

TEST(packets_in_parts)
{
	struct sockaddr_in own = to("127.0.0.1", 0);
	int fd, listening;

	enter();
	listening = raw(200);
	fd = raw(200);
	MUST(connect(fd, (void *)&own, sizeof(own)));
	CHECK_EQ(send(fd, "abc", 3, MSG_MORE), 3);
	CHECK_EQ(next(listening), -EAGAIN);
	CHECK_EQ(send(fd, "de", 2, MSG_MORE), 2);
	/* MSG_PROBE adds nothing. */
	CHECK_EQ(send(fd, "no", 2, 0x10 | MSG_MORE), 2);
	CHECK_EQ(next(listening), -EAGAIN);
	CHECK_EQ(send(fd, "f", 1, 0), 1);
	CHECK_EQ(next(listening), 20 + 6);
	CHECK_EQ(memcmp(got + 20, "abcdef", 6), 0);
	CHECK_EQ(send(fd, "alone", 5, 0), 5);
	CHECK_EQ(next(listening), 20 + 5);
}

TEST(deaf_once_disconnected)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct sockaddr_in own = to("127.0.0.1", 0);
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd, speaker;

	enter();
	fd = raw(200);
	speaker = raw(200);
	CHECK_EQ(sendto(speaker, "a", 1, 0, (void *)&own, sizeof(own)), 1);
	CHECK_EQ(next(fd), 21);
	MUST(connect(fd, (void *)&own, sizeof(own)));
	CHECK_ERRNO(bind(fd, (void *)&own, sizeof(own)), EINVAL);
	CHECK_EQ(sendto(speaker, "b", 1, 0, (void *)&own, sizeof(own)), 1);
	CHECK_EQ(next(fd), 21);
	MUST(connect(fd, &nobody, sizeof(nobody)));
	CHECK_EQ(sendto(speaker, "c", 1, 0, (void *)&own, sizeof(own)), 1);
	CHECK_EQ(next(fd), -EAGAIN);
	MUST(bind(fd, (void *)&own, sizeof(own)));
	MUST(connect(fd, (void *)&own, sizeof(own)));
	CHECK_EQ(sendto(speaker, "d", 1, 0, (void *)&own, sizeof(own)), 1);
	CHECK_EQ(next(fd), -EAGAIN);
	fd = (int)MUST(socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, 200));
	MUST(connect(fd, (void *)&six, sizeof(six)));
	CHECK_ERRNO(bind(fd, (void *)&six, sizeof(six)), EINVAL);
	CHECK_EQ(send(fd, "ab", 2, MSG_MORE), 2);
	CHECK_EQ(next(fd), -EAGAIN);
	CHECK_EQ(send(fd, "c", 1, 0), 1);
	CHECK_EQ(next(fd), 3);
}

static struct sockaddr_in name_of(int fd)
{
	struct sockaddr_in name;
	socklen_t length = sizeof(name);

	MUST(getsockname(fd, (void *)&name, &length));
	return name;
}

TEST(its_port_is_the_protocol)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct sockaddr_in own = to("127.0.0.1", 77), other;
	socklen_t length = sizeof(other);
	int fd, second;

	enter();
	fd = raw(200);
	CHECK_EQ(ntohs(name_of(fd).sin_port), 200);
	MUST(bind(fd, (void *)&own, sizeof(own)));
	CHECK_EQ(ntohs(name_of(fd).sin_port), 200);
	CHECK_EQ(name_of(fd).sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	own = name_of(fd);
	second = raw(200);
	MUST(connect(second, (void *)&own, sizeof(own)));
	MUST(getpeername(second, (void *)&other, &length));
	CHECK_EQ(ntohs(other.sin_port), 200);
	/* What bind(2) named isn't kept. */
	MUST(connect(fd, &nobody, sizeof(nobody)));
	CHECK_EQ(name_of(fd).sin_port, 0);
	CHECK_EQ(name_of(fd).sin_addr.s_addr, 0);
	MUST(bind(fd, (void *)&own, sizeof(own)));
	CHECK_EQ(name_of(fd).sin_port, 0);
}

TEST(bytes_that_routes_are_looked_for_by)
{
	struct sockaddr_in own = to("127.0.0.1", 0);
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t length;
	int fd, place;

	enter();
	fd = raw(IPPROTO_ICMP);
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&own, sizeof(own)), EFAULT);
	CHECK_ERRNO(sendto(fd, "", 0, 0, (void *)&own, sizeof(own)), EFAULT);
	CHECK_EQ(sendto(fd, "xy", 2, 0, (void *)&own, sizeof(own)), 2);
	fd = raw(200);
	CHECK_EQ(sendto(fd, "", 0, 0, (void *)&own, sizeof(own)), 0);
	fd = (int)MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&six, sizeof(six)), EFAULT);
	fd = (int)MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_MH));
	CHECK_ERRNO(sendto(fd, "xyz", 3, 0, (void *)&six, sizeof(six)), EFAULT);
	/* There is no place for its checksum. */
	CHECK_ERRNO(sendto(fd, "wxyz", 4, 0, (void *)&six, sizeof(six)), EINVAL);
	CHECK_EQ(sendto(fd, "wxyz\0\0", 6, 0, (void *)&six, sizeof(six)), 6);
	length = sizeof(place);
	MUST(getsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, &place, &length));
	CHECK_EQ(place, 4);
}

/* What of a message with a header of its own arrives at a socket of ICMP that its filter could look at. */
static int heard_of(int family, size_t length, int has_checksum)
{
	struct sockaddr_in6 place = {.sin6_family = (sa_family_t)family, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	unsigned char packet[64] = {0}, *message = packet + (family == AF_INET ? 20 : 40);
	int own = (int)MUST(socket(family, SOCK_RAW, IPPROTO_RAW)), one = 1;
	int hearer = (int)MUST(socket(family, SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6));
	int result;

	if (family == AF_INET) {
		((struct sockaddr_in *)(void *)&place)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		memcpy(packet, (unsigned char[]){0x45, 0, 0, 0, 0, 0, 0, 0, 64, IPPROTO_ICMP, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1}, 20);
		message[0] = 13;
	} else {
		MUST(setsockopt(own, IPPROTO_IPV6, IPV6_HDRINCL, &one, sizeof(one)));
		packet[0] = 0x60, packet[5] = (unsigned char)length, packet[6] = IPPROTO_ICMPV6, packet[7] = 64;
		packet[23] = packet[39] = 1;
		message[0] = 200;
		if (has_checksum) {
			/* Both addresses, the length and the protocol count, and the type. */
			unsigned sum = 1 + 1 + (unsigned)length + IPPROTO_ICMPV6 + (200 << 8);

			message[2] = (unsigned char)(~sum >> 8), message[3] = (unsigned char)~sum;
		}
	}
	MUST(sendto(own, packet, (size_t)(message - packet) + length, 0, (struct sockaddr *)&place,
		    family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(place)));
	result = (int)recv(hearer, packet, sizeof(packet), MSG_DONTWAIT);
	close(own);
	close(hearer);
	return result;
}

ROOTS_TEST(messages_that_are_no_messages)
{
	CHECK_ERRNO(heard_of(AF_INET, 1, 0), EAGAIN);
	CHECK_ERRNO(heard_of(AF_INET, 7, 0), EAGAIN);
	CHECK_EQ(heard_of(AF_INET, 8, 0), 28);
	CHECK_ERRNO(heard_of(AF_INET6, 8, 0), EAGAIN);
	CHECK_EQ(heard_of(AF_INET6, 8, 1), 8);
	CHECK_EQ(heard_of(AF_INET6, 4, 1), 4);
}
