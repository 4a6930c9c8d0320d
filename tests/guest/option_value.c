/* What setsockopt(2) looks at first: the length of a value, or what is in it, and how much of a longer one; and how
 * much getsockopt(2) tells. */
#include "check.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#define PAGE 4096
#define ADDRESS_PREFERENCES 72

static char *page_end;

static void make_page(void)
{
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(munmap(pages + PAGE, PAGE));
	page_end = pages + PAGE;
}

/* The error of one option of a new socket, 0 for none. */
static int set(int family, int kind, int level, int option, const void *value, socklen_t length)
{
	int fd = (int)MUST(socket(family, kind, 0));
	int result = ERRNO_OF(setsockopt(fd, level, option, value, length));

	close(fd);
	return result;
}

TEST(short_values_are_not_read)
{
	static const int of_tcp[] = {TCP_NODELAY, TCP_MAXSEG, TCP_KEEPIDLE, TCP_USER_TIMEOUT, TCP_FASTOPEN, 99};
	static const int sources[] = {IP_BLOCK_SOURCE, IP_UNBLOCK_SOURCE, IP_ADD_SOURCE_MEMBERSHIP,
				      IP_DROP_SOURCE_MEMBERSHIP};

	for (size_t at = 0; at < LENGTH(of_tcp); at++) {
		CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_TCP, of_tcp[at], bad_address(), 3), EINVAL);
		CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_TCP, of_tcp[at], NULL, 1), EINVAL);
		CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_TCP, of_tcp[at], NULL, 4), EFAULT);
	}
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_TCP, TCP_FASTOPEN_KEY, NULL, 15), EINVAL);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_TCP, TCP_FASTOPEN_KEY, NULL, 16), EFAULT);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_UDP, UDP_CORK, NULL, 3), EINVAL);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_UDP, UDP_CORK, NULL, 4), EFAULT);
	for (size_t at = 0; at < LENGTH(sources); at++) {
		CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, sources[at], NULL, 11), EINVAL);
		CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, sources[at], NULL, 13), EINVAL);
		CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, sources[at], NULL, 12), EFAULT);
	}
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, IP_ADD_MEMBERSHIP, NULL, 7), EINVAL);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, IP_ADD_MEMBERSHIP, NULL, 8), EFAULT);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_IP, IP_ADD_MEMBERSHIP, NULL, 12), EPROTO);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_IP, IP_MULTICAST_IF, NULL, 12), EINVAL);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, MCAST_JOIN_GROUP, NULL, 135), EINVAL);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, MCAST_JOIN_GROUP, NULL, 136), EFAULT);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, MCAST_JOIN_SOURCE_GROUP, NULL, 300), EINVAL);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, IP_OPTIONS, NULL, 41), EINVAL);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, IP_OPTIONS, NULL, 40), EFAULT);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, IP_TTL, NULL, 1), EFAULT);
	CHECK_EQ(set(AF_INET6, SOCK_DGRAM, SOL_IPV6, IPV6_V6ONLY, bad_address(), 3), EINVAL);
	CHECK_EQ(set(AF_INET6, SOCK_DGRAM, SOL_IPV6, IPV6_V6ONLY, bad_address(), 4), EFAULT);
	CHECK_EQ(set(AF_INET6, SOCK_DGRAM, SOL_IPV6, IPV6_V6ONLY, NULL, 4), 0);
	CHECK_EQ(set(AF_INET6, SOCK_DGRAM, SOL_IPV6, IPV6_ADD_MEMBERSHIP, NULL, 19), EINVAL);
	CHECK_EQ(set(AF_INET6, SOCK_DGRAM, SOL_IPV6, IPV6_ADD_MEMBERSHIP, NULL, 20), EFAULT);
	CHECK_EQ(set(AF_INET6, SOCK_STREAM, SOL_IPV6, IPV6_ADD_MEMBERSHIP, NULL, 20), EPROTO);
	CHECK_EQ(set(AF_INET6, SOCK_DGRAM, SOL_IPV6, IPV6_PKTINFO, NULL, 20), EINVAL);
	CHECK_EQ(set(AF_INET6, SOCK_DGRAM, SOL_IPV6, IPV6_DSTOPTS, bad_address(), 12), EFAULT);
}

/* Of a value that is longer than what can be read, only what is needed is looked at. */
TEST(long_values_are_read_in_part)
{
	struct linger *linger;
	int *number;

	make_page();
	number = (int *)(page_end - sizeof(*number));
	*number = 1;
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, number, 100), 0);
	CHECK_EQ(set(AF_UNIX, SOCK_STREAM, SOL_SOCKET, SO_PASSCRED, number, 4096), 0);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_SOCKET, 250, number, 100), ENOPROTOOPT);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_TCP, TCP_NODELAY, number, INT_MAX), 0);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_IP, IP_TTL, number, 12), 0);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_UDP, UDP_CORK, number, 12), 0);
	CHECK_EQ(set(AF_INET6, SOCK_STREAM, SOL_IPV6, IPV6_V6ONLY, number, 12), 0);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_SOCKET, SO_LINGER, number, 7), EINVAL);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_SOCKET, SO_LINGER, number, 8), EFAULT);
	linger = (struct linger *)(page_end - sizeof(*linger));
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_SOCKET, SO_LINGER, linger, 80), 0);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_SOCKET, SO_RCVTIMEO, linger, 15), EINVAL);
	CHECK_EQ(set(AF_INET, SOCK_STREAM, SOL_SOCKET, SO_RCVTIMEO, linger, 16), EFAULT);
	CHECK_EQ(set(AF_INET, SOCK_DGRAM, SOL_IP, IP_TTL, page_end - 1, 3), EINVAL);
}

/* The messages that an option of a stream tells; how many bytes they take. */
static int told(int fd, int level, int option, unsigned char *buffer, int length)
{
	socklen_t size = (socklen_t)length;

	memset(buffer, 0xaa, 256);
	MUST(getsockopt(fd, level, option, buffer, &size));
	return (int)size;
}

TEST(what_brought_a_connection)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(name);
	const unsigned char *address = (const unsigned char *)&name.sin_addr;
	int listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), caller, taken, on = 1, ttl = 77, tos = 0x40;
	unsigned char buffer[256] __attribute__((aligned(8)));
	struct cmsghdr *first = (struct cmsghdr *)buffer;

	CHECK_EQ(told(listener, IPPROTO_IP, IP_PKTOPTIONS, buffer, 256), 0);
	for (size_t at = 0; at < 3; at++)
		MUST(setsockopt(listener, IPPROTO_IP, (int[]){IP_RECVTOS, IP_PKTINFO, IP_RECVTTL}[at], &on, sizeof(on)));
	CHECK_EQ(told(listener, IPPROTO_IP, IP_PKTOPTIONS, buffer, 256), 80);
	CHECK_EQ(first->cmsg_len, 28);
	CHECK_EQ(first->cmsg_type, IP_PKTINFO);
	CHECK_EQ(buffer[20], 0);
	/* What is between messages is left alone, and what has no place is cut. */
	CHECK_EQ(buffer[28], 0xaa);
	CHECK_EQ(buffer[32 + 12], IP_TTL);
	CHECK_EQ(buffer[32 + 16], 1);
	CHECK_EQ(buffer[56 + 12], IP_TOS);
	CHECK_EQ(buffer[56 + 16], 0);
	CHECK_EQ(told(listener, IPPROTO_IP, IP_PKTOPTIONS, buffer, 30), 30);
	CHECK_EQ(told(listener, IPPROTO_IP, IP_PKTOPTIONS, buffer, 40), 32);
	CHECK_EQ(told(listener, IPPROTO_IP, IP_PKTOPTIONS, buffer, 15), 0);
	MUST(bind(listener, (void *)&name, sizeof(name)));
	MUST(listen(listener, 1));
	MUST(getsockname(listener, (void *)&name, &size));
	caller = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(setsockopt(caller, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
	MUST(setsockopt(caller, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)));
	MUST(connect(caller, (void *)&name, sizeof(name)));
	taken = (int)MUST(accept(listener, NULL, NULL));
	CHECK_EQ(told(taken, IPPROTO_IP, IP_PKTOPTIONS, buffer, 256), 80);
	CHECK_EQ(buffer[16], 1);
	CHECK_EQ(memcmp(buffer + 20, address, 4), 0);
	CHECK_EQ(memcmp(buffer + 24, address, 4), 0);
	CHECK_EQ(buffer[32 + 16], 77);
	CHECK_EQ(buffer[56 + 16], 0x40);
	/* It's kept where the choice for groups is. */
	CHECK_EQ(told(taken, IPPROTO_IP, IP_MULTICAST_TTL, buffer, 4), 4);
	CHECK_EQ(buffer[0], 77);
	CHECK_EQ(told(caller, IPPROTO_IP, IP_MULTICAST_TTL, buffer, 4), 4);
	CHECK_EQ(buffer[0], 1);
	size = 256;
	CHECK_ERRNO(getsockopt((int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), IPPROTO_IP, IP_PKTOPTIONS, buffer, &size),
		    ENOPROTOOPT);
}

TEST(what_a_stream_of_ipv6_tells_of_ipv4)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0)), on = 1;
	unsigned char buffer[256] __attribute__((aligned(8)));

	MUST(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
	CHECK_EQ(told(fd, IPPROTO_IP, IP_PKTOPTIONS, buffer, 256), 32);
	CHECK_EQ(memcmp(buffer + 24, "\0\0\0", 4), 0);
	MUST(bind(fd, (void *)&name, sizeof(name)));
	CHECK_EQ(told(fd, IPPROTO_IP, IP_PKTOPTIONS, buffer, 256), 32);
	CHECK_EQ(memcmp(buffer + 24, "\177\0\0\6", 4), 0);
}

TEST(lengths_are_told_before_values)
{
	int stream = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	socklen_t size = 16;

	CHECK_ERRNO(getsockopt(stream, IPPROTO_TCP, TCP_NODELAY, bad_address(), &size), EFAULT);
	CHECK_EQ(size, 4);
	size = 16;
	CHECK_ERRNO(getsockopt(stream, IPPROTO_IP, IP_TTL, bad_address(), &size), EFAULT);
	CHECK_EQ(size, 4);
	size = 16;
	CHECK_ERRNO(getsockopt(stream, SOL_SOCKET, SO_TYPE, bad_address(), &size), EFAULT);
	CHECK_EQ(size, 16);
}

TEST(preferences_replace_each_other)
{
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	static const int tries[][2] = {{1, 0x401}, {4, 0x104}, {2, 0x402}, {0, 0x500}, {6, 6}, {8, 0x500}};

	for (size_t at = 0; at < sizeof(tries) / sizeof(tries[0]); at++) {
		int value = tries[at][0];
		socklen_t size = sizeof(value);

		CHECK_OK(setsockopt(fd, IPPROTO_IPV6, ADDRESS_PREFERENCES, &value, sizeof(value)));
		CHECK_OK(getsockopt(fd, IPPROTO_IPV6, ADDRESS_PREFERENCES, &value, &size));
		CHECK_EQ(value, tries[at][1]);
	}
}

TEST(groups_are_listed_in_words)
{
	int fd = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)), group = 33;
	uint32_t words[8] = {0};
	socklen_t size = sizeof(words);
	struct sockaddr_nl name;

	CHECK_OK(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &size));
	CHECK_EQ(size, 0);
	CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	group = 1;
	CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	group = 65;
	CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), EINVAL);
	/* How much there is to tell, whatever there is room for. */
	for (int room = 0; room <= 12; room++) {
		memset(words, 0xaa, sizeof(words));
		size = (socklen_t)room;
		CHECK_OK(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &size));
		CHECK_EQ(size, 8);
		CHECK_EQ(words[0], room >= 4 ? 1 : 0xaaaaaaaa);
		CHECK_EQ(words[1], room >= 8 ? 1 : 0xaaaaaaaa);
	}
	size = sizeof(name);
	CHECK_OK(getsockname(fd, (void *)&name, &size));
	CHECK_EQ(name.nl_groups, 1);
	fd = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
	group = 33;
	CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), EINVAL);
	size = sizeof(words);
	CHECK_OK(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &size));
	CHECK_EQ(size, 4);
	CHECK_EQ(words[0], 0);
}
