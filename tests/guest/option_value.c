/* What setsockopt(2) looks at first: the length of a value, or what is in it, and how much of a longer one. */
#include "check.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#define PAGE 4096

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
