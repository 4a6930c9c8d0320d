/* All sources of a group, set and told at once: IP_MSFILTER and MCAST_MSFILTER, RFC 3678. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define MOST 70
#define LOOPBACK 1

static union {
	struct group_filter filter;
	char room[GROUP_FILTER_SIZE(MOST)];
} value;

static void put(struct sockaddr_storage *where, int family, const char *address)
{
	memset(where, 0, sizeof(*where));
	where->ss_family = (sa_family_t)family;
	if (family == AF_INET)
		inet_pton(AF_INET, address, &((struct sockaddr_in *)where)->sin_addr);
	else
		inet_pton(AF_INET6, address, &((struct sockaddr_in6 *)where)->sin6_addr);
}

static void name_group(int family, const char *group, unsigned interface, int count)
{
	memset(&value, 0, sizeof(value));
	value.filter.gf_interface = interface;
	value.filter.gf_numsrc = (uint32_t)count;
	put(&value.filter.gf_group, family, group);
}

/* Hear `count` sources, or all others. */
static int set(int fd, int family, const char *group, unsigned interface, unsigned mode, int count)
{
	name_group(family, group, interface, count);
	value.filter.gf_fmode = mode;
	for (int source = 0; source < count && source < MOST; source++) {
		char address[40];

		snprintf(address, sizeof(address), family == AF_INET ? "10.0.0.%d" : "fe80::%d", source + 1);
		put(&value.filter.gf_slist[source], family, address);
	}
	return setsockopt(fd, family == AF_INET ? SOL_IP : SOL_IPV6, MCAST_MSFILTER, &value,
			  (socklen_t)GROUP_FILTER_SIZE(count));
}

/* What is told of a group when there is room for `count` sources: the length of it, or -1. */
static int get(int fd, int family, const char *group, unsigned interface, int count)
{
	socklen_t length = sizeof(value);

	name_group(family, group, interface, count);
	if (getsockopt(fd, family == AF_INET ? SOL_IP : SOL_IPV6, MCAST_MSFILTER, &value, &length) == -1)
		return -1;
	return (int)length;
}

static int told_source(int number, const char *want)
{
	struct sockaddr_storage source;

	put(&source, value.filter.gf_group.ss_family, want);
	return memcmp(&value.filter.gf_slist[number], &source, sizeof(source)) == 0;
}

TEST(sources_of_a_group_of_ipv4)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), stream = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	struct ip_mreqn request = {.imr_ifindex = LOOPBACK};
	socklen_t length;

	inet_pton(AF_INET, "239.1.1.1", &request.imr_multiaddr);
	CHECK_ERRNO(get(fd, AF_INET, "239.1.1.1", LOOPBACK, 5), EADDRNOTAVAIL);
	CHECK_ERRNO(set(fd, AF_INET, "239.1.1.1", LOOPBACK, MCAST_EXCLUDE, 1), EINVAL);
	CHECK_OK(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	CHECK_EQ(get(fd, AF_INET, "239.1.1.1", LOOPBACK, 5), GROUP_FILTER_SIZE(0));
	CHECK_EQ(value.filter.gf_fmode, MCAST_EXCLUDE);
	CHECK_EQ(value.filter.gf_numsrc, 0);
	CHECK_OK(set(fd, AF_INET, "239.1.1.1", LOOPBACK, MCAST_INCLUDE, 3));
	CHECK_EQ(get(fd, AF_INET, "239.1.1.1", LOOPBACK, 5), GROUP_FILTER_SIZE(3));
	CHECK_EQ(value.filter.gf_fmode, MCAST_INCLUDE);
	CHECK_EQ(value.filter.gf_numsrc, 3);
	CHECK(told_source(0, "10.0.0.1") && told_source(1, "10.0.0.2") && told_source(2, "10.0.0.3"));
	CHECK_EQ(get(fd, AF_INET, "239.1.1.1", LOOPBACK, 1), GROUP_FILTER_SIZE(1));
	CHECK_EQ(value.filter.gf_numsrc, 3);
	CHECK(told_source(0, "10.0.0.1") && value.filter.gf_slist[1].ss_family == 0);
	CHECK_ERRNO(get(fd, AF_INET, "239.1.1.1", 0, 5), EADDRNOTAVAIL);
	CHECK_ERRNO(get(fd, AF_INET, "10.1.1.1", LOOPBACK, 5), EINVAL);
	CHECK_ERRNO(set(fd, AF_INET, "239.1.1.1", LOOPBACK, 2, 1), EINVAL);
	CHECK_ERRNO(set(fd, AF_INET, "10.1.1.1", LOOPBACK, MCAST_INCLUDE, 1), EINVAL);
	CHECK_ERRNO(set(fd, AF_INET, "239.1.1.1", 9999, MCAST_INCLUDE, 1), ENODEV);
	CHECK_OK(set(fd, AF_INET, "239.1.1.1", LOOPBACK, MCAST_INCLUDE, 10));
	CHECK_ERRNO(set(fd, AF_INET, "239.1.1.1", LOOPBACK, MCAST_INCLUDE, 11), ENOBUFS);
	name_group(AF_INET, "239.1.1.1", LOOPBACK, 2);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, MCAST_MSFILTER, &value, GROUP_FILTER_SIZE(0) - 1), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, MCAST_MSFILTER, &value, GROUP_FILTER_SIZE(1)), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, MCAST_MSFILTER, &value, GROUP_FILTER_SIZE(2)), EADDRNOTAVAIL);
	length = GROUP_FILTER_SIZE(0) - 1;
	CHECK_ERRNO(getsockopt(fd, SOL_IP, MCAST_MSFILTER, &value, &length), EINVAL);
	length = GROUP_FILTER_SIZE(0);
	CHECK_ERRNO(getsockopt(fd, SOL_IP, MCAST_MSFILTER, bad_address(), &length), EFAULT);
	CHECK_OK(set(fd, AF_INET, "239.1.1.1", LOOPBACK, MCAST_INCLUDE, 0));
	CHECK_ERRNO(get(fd, AF_INET, "239.1.1.1", LOOPBACK, 5), EADDRNOTAVAIL);
	CHECK_ERRNO(set(fd, AF_INET, "239.1.1.1", LOOPBACK, MCAST_INCLUDE, 0), EADDRNOTAVAIL);
	CHECK_ERRNO(get(stream, AF_INET, "239.1.1.1", LOOPBACK, 5), EADDRNOTAVAIL);
}

TEST(sources_told_the_old_way)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	struct ip_mreqn request = {.imr_ifindex = LOOPBACK};
	union {
		struct ip_msfilter filter;
		char room[IP_MSFILTER_SIZE(8)];
	} old = {0};
	socklen_t length = sizeof(old);

	inet_pton(AF_INET, "239.1.1.2", &request.imr_multiaddr);
	MUST(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	MUST(set(fd, AF_INET, "239.1.1.2", LOOPBACK, MCAST_INCLUDE, 2));
	old.filter.imsf_multiaddr = request.imr_multiaddr;
	/* Any address of the interface names it. */
	inet_pton(AF_INET, "127.1.2.3", &old.filter.imsf_interface);
	old.filter.imsf_numsrc = 8;
	CHECK_OK(getsockopt(fd, SOL_IP, IP_MSFILTER, &old, &length));
	CHECK_EQ(length, IP_MSFILTER_SIZE(2));
	CHECK_EQ(old.filter.imsf_fmode, MCAST_INCLUDE);
	CHECK_EQ(old.filter.imsf_numsrc, 2);
	CHECK_EQ(old.filter.imsf_slist[0].s_addr, inet_addr("10.0.0.1"));
	CHECK_EQ((&old.filter.imsf_slist[0])[1].s_addr, inet_addr("10.0.0.2"));
	old.filter.imsf_numsrc = 0;
	length = sizeof(old);
	CHECK_OK(getsockopt(fd, SOL_IP, IP_MSFILTER, &old, &length));
	CHECK_EQ(length, IP_MSFILTER_SIZE(0));
	CHECK_EQ(old.filter.imsf_numsrc, 2);
	length = IP_MSFILTER_SIZE(0) - 1;
	CHECK_ERRNO(getsockopt(fd, SOL_IP, IP_MSFILTER, &old, &length), EINVAL);
	length = sizeof(old);
	inet_pton(AF_INET, "192.0.2.77", &old.filter.imsf_interface);
	CHECK_ERRNO(getsockopt(fd, SOL_IP, IP_MSFILTER, &old, &length), ENODEV);
	inet_pton(AF_INET, "127.0.0.1", &old.filter.imsf_interface);
	inet_pton(AF_INET, "239.1.1.9", &old.filter.imsf_multiaddr);
	CHECK_ERRNO(getsockopt(fd, SOL_IP, IP_MSFILTER, &old, &length), EADDRNOTAVAIL);
	inet_pton(AF_INET, "127.0.0.1", &old.filter.imsf_multiaddr);
	CHECK_ERRNO(getsockopt(fd, SOL_IP, IP_MSFILTER, &old, &length), EINVAL);
}

TEST(sources_of_a_group_of_ipv6)
{
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), old = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	struct ipv6_mreq request = {.ipv6mr_interface = LOOPBACK};

	inet_pton(AF_INET6, "ff02::77", &request.ipv6mr_multiaddr);
	CHECK_ERRNO(set(fd, AF_INET6, "ff02::77", LOOPBACK, MCAST_EXCLUDE, 1), EINVAL);
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_JOIN_GROUP, &request, sizeof(request)));
	CHECK_EQ(get(fd, AF_INET6, "ff02::77", LOOPBACK, 5), GROUP_FILTER_SIZE(0));
	CHECK_OK(set(fd, AF_INET6, "ff02::77", LOOPBACK, MCAST_EXCLUDE, 2));
	CHECK_EQ(get(fd, AF_INET6, "ff02::77", LOOPBACK, 5), GROUP_FILTER_SIZE(2));
	CHECK_EQ(value.filter.gf_fmode, MCAST_EXCLUDE);
	CHECK_EQ(value.filter.gf_numsrc, 2);
	CHECK(told_source(0, "fe80::1") && told_source(1, "fe80::2"));
	CHECK_OK(set(fd, AF_INET6, "ff02::77", LOOPBACK, MCAST_INCLUDE, 64));
	CHECK_ERRNO(set(fd, AF_INET6, "ff02::77", LOOPBACK, MCAST_INCLUDE, 65), ENOBUFS);
	CHECK_ERRNO(get(fd, AF_INET6, "ff02::78", LOOPBACK, 5), EADDRNOTAVAIL);
	CHECK_ERRNO(get(fd, AF_INET6, "fe80::1", LOOPBACK, 5), EINVAL);
	CHECK_OK(set(fd, AF_INET6, "ff02::77", LOOPBACK, MCAST_INCLUDE, 0));
	CHECK_ERRNO(get(fd, AF_INET6, "ff02::77", LOOPBACK, 5), EADDRNOTAVAIL);
	CHECK_ERRNO(get(fd, AF_INET, "239.1.1.1", LOOPBACK, 5), EADDRNOTAVAIL);
	CHECK_ERRNO(get(old, AF_INET6, "ff02::77", LOOPBACK, 5), EOPNOTSUPP);
}
