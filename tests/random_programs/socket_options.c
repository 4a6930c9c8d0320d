/* Options set and asked at random, of sockets of every family: socket_options FIRST END
 *
 * Left out is what depends on the host: the sizes of buffers, devices, routers and what newer kernels have.
 */
#define _GNU_SOURCE
#include "chance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define STEPS 60
#define MOST_SOCKETS 4

struct kind {
	int family, type, protocol;
};

struct option {
	int level, name;
};

static const struct kind kinds[] = {
	{AF_INET, SOCK_STREAM, 0},  {AF_INET, SOCK_DGRAM, 0},  {AF_INET, SOCK_RAW, IPPROTO_UDP},
	{AF_INET6, SOCK_STREAM, 0}, {AF_INET6, SOCK_DGRAM, 0}, {AF_INET6, SOCK_RAW, IPPROTO_UDP},
	{AF_UNIX, SOCK_STREAM, 0},  {AF_UNIX, SOCK_DGRAM, 0},  {AF_UNIX, SOCK_SEQPACKET, 0},
	{AF_NETLINK, SOCK_RAW, NETLINK_ROUTE}, {AF_INET6, SOCK_RAW, IPPROTO_ICMPV6}, {AF_INET, SOCK_RAW, IPPROTO_ICMP},
};

static const struct option options[] = {
	{SOL_SOCKET, SO_DEBUG},       {SOL_SOCKET, SO_REUSEADDR},  {SOL_SOCKET, SO_TYPE},
	{SOL_SOCKET, SO_ERROR},       {SOL_SOCKET, SO_DONTROUTE},  {SOL_SOCKET, SO_BROADCAST},
	{SOL_SOCKET, SO_KEEPALIVE},   {SOL_SOCKET, SO_OOBINLINE},  {SOL_SOCKET, SO_NO_CHECK},
	{SOL_SOCKET, SO_PRIORITY},    {SOL_SOCKET, SO_LINGER},     {SOL_SOCKET, SO_REUSEPORT},
	{SOL_SOCKET, SO_PASSCRED},    {SOL_SOCKET, SO_RCVLOWAT},   {SOL_SOCKET, SO_SNDLOWAT},
	{SOL_SOCKET, SO_ACCEPTCONN},  {SOL_SOCKET, SO_PROTOCOL},   {SOL_SOCKET, SO_DOMAIN},
	{SOL_SOCKET, SO_MARK},        {SOL_SOCKET, SO_RXQ_OVFL},   {SOL_SOCKET, SO_PEEK_OFF},
	{SOL_SOCKET, SO_TIMESTAMP},   {SOL_SOCKET, SO_TIMESTAMPNS}, {SOL_SOCKET, SO_LOCK_FILTER},
	{SOL_SOCKET, SO_DETACH_FILTER}, {SOL_SOCKET, SO_BUSY_POLL}, {SOL_SOCKET, SO_SELECT_ERR_QUEUE},
	{SOL_IP, IP_TOS},             {SOL_IP, IP_TTL},            {SOL_IP, IP_HDRINCL},
	{SOL_IP, IP_RECVTTL},         {SOL_IP, IP_RECVTOS},        {SOL_IP, IP_PKTINFO},
	{SOL_IP, IP_RECVERR},         {SOL_IP, IP_MTU_DISCOVER},   {SOL_IP, IP_MULTICAST_TTL},
	{SOL_IP, IP_MULTICAST_LOOP},  {SOL_IP, IP_MULTICAST_ALL},  {SOL_IP, IP_FREEBIND},
	{SOL_IP, IP_TRANSPARENT},     {SOL_IP, IP_MINTTL},         {SOL_IP, IP_NODEFRAG},
	{SOL_IP, IP_ORIGDSTADDR},     {SOL_IP, IP_BIND_ADDRESS_NO_PORT}, {SOL_IP, IP_RECVOPTS},
	{SOL_IP, IP_RETOPTS},         {SOL_IP, IP_MTU},            {SOL_IP, 200},
	{SOL_IPV6, IPV6_V6ONLY},      {SOL_IPV6, IPV6_UNICAST_HOPS}, {SOL_IPV6, IPV6_MULTICAST_HOPS},
	{SOL_IPV6, IPV6_MULTICAST_LOOP}, {SOL_IPV6, IPV6_RECVPKTINFO}, {SOL_IPV6, IPV6_RECVHOPLIMIT},
	{SOL_IPV6, IPV6_RECVTCLASS},  {SOL_IPV6, IPV6_TCLASS},     {SOL_IPV6, IPV6_MTU_DISCOVER},
	{SOL_IPV6, IPV6_RECVERR},     {SOL_IPV6, IPV6_DONTFRAG},   {SOL_IPV6, IPV6_AUTOFLOWLABEL},
	{SOL_IPV6, IPV6_FREEBIND},    {SOL_IPV6, IPV6_TRANSPARENT}, {SOL_IPV6, IPV6_MULTICAST_ALL},
	{SOL_IPV6, IPV6_ADDR_PREFERENCES}, {SOL_IPV6, IPV6_MINHOPCOUNT}, {SOL_IPV6, IPV6_RECVORIGDSTADDR},
	{SOL_IPV6, IPV6_CHECKSUM},    {SOL_IPV6, 200},
	{SOL_TCP, TCP_NODELAY},       {SOL_TCP, TCP_CORK},         {SOL_TCP, TCP_KEEPIDLE},
	{SOL_TCP, TCP_KEEPINTVL},     {SOL_TCP, TCP_KEEPCNT},      {SOL_TCP, TCP_SYNCNT},
	{SOL_TCP, TCP_LINGER2},       {SOL_TCP, TCP_DEFER_ACCEPT}, {SOL_TCP, TCP_QUICKACK},
	{SOL_TCP, TCP_USER_TIMEOUT},  {SOL_TCP, TCP_INQ},          {SOL_TCP, TCP_NOTSENT_LOWAT},
	{SOL_TCP, TCP_MAXSEG},        {SOL_TCP, TCP_THIN_LINEAR_TIMEOUTS}, {SOL_TCP, TCP_THIN_DUPACK},
	{SOL_UDP, UDP_CORK},          {SOL_UDP, 200},              {SOL_NETLINK, NETLINK_PKTINFO},
	{SOL_NETLINK, NETLINK_BROADCAST_ERROR}, {SOL_NETLINK, NETLINK_NO_ENOBUFS},
	{SOL_NETLINK, NETLINK_EXT_ACK}, {SOL_NETLINK, NETLINK_CAP_ACK}, {SOL_NETLINK, NETLINK_ADD_MEMBERSHIP},
	{SOL_NETLINK, NETLINK_DROP_MEMBERSHIP}, {300, 1},
};

static const int values[] = {0, 1, 2, 3, 4, 5, 7, 16, 31, 63, 64, 100, 127, 128, 200, 255, 256, 1000, 32767, 65535, 65536, -1, -2, -100};
static const int lengths[] = {4, 4, 4, 4, 4, 4, 4, 4, 4, 1, 2, 3, 0, 5, 8, 12, 16, 100, -1};

static int fds[MOST_SOCKETS], which_kind[MOST_SOCKETS], count;

static void make(void)
{
	int number = (int)chance(COUNT(kinds));
	int fd = socket(kinds[number].family, kinds[number].type, kinds[number].protocol);

	printf("socket %d %s\n", number, fd < 0 ? strerrorname_np(errno) : "");
	if (fd < 0)
		return;
	if (count == MOST_SOCKETS) {
		close(fds[--count]);
	}
	fds[count] = fd;
	which_kind[count++] = number;
}

/* Whether it makes a socket that of a multicast router. */
static int is_of_router(int which, struct option option)
{
	return option.name == 200 && option.level == SOL_IPV6 && kinds[which_kind[which]].protocol == IPPROTO_ICMPV6;
}

static struct option any_option(int which)
{
	static const int levels[] = {SOL_SOCKET, SOL_SOCKET, SOL_IP, SOL_IP, SOL_IPV6, SOL_IPV6, SOL_TCP, SOL_UDP, SOL_NETLINK, 300};
	int level = levels[chance(COUNT(levels))];

	for (;;) {
		struct option option = options[chance(COUNT(options))];

		if (option.level == level && !is_of_router(which, option))
			return option;
	}
}

static void set(int which)
{
	struct option option = any_option(which);
	char value[128] = {0};
	int number = values[chance(COUNT(values))], length = lengths[chance(COUNT(lengths))];

	if (option.level == SOL_NETLINK && number < 0)
		number = 1;
	memcpy(value, &number, sizeof number);
	int result = setsockopt(fds[which], option.level, option.name, value, (socklen_t)length);
	printf("set %d (%d) %d %d to %d in %d: %s\n", which, which_kind[which], option.level, option.name, number, length,
	       result ? strerrorname_np(errno) : "");
}

static void get(int which)
{
	struct option option = any_option(which);
	unsigned char value[128];
	socklen_t length = (socklen_t)lengths[chance(COUNT(lengths))], given = length;

	memset(value, 0xaa, sizeof value);
	int result = getsockopt(fds[which], option.level, option.name, value, &length);
	printf("get %d (%d) %d %d in %d: %s %d", which, which_kind[which], option.level, option.name, (int)given,
	       result ? strerrorname_np(errno) : "", (int)length);
	for (int index = 0; result == 0 && index < 12; index++)
		printf(" %02x", value[index]);
	puts("");
}

static void filter(int which)
{
	struct sock_filter code[3] = {
		{BPF_RET | BPF_K, 0, 0, 100}, {BPF_RET | BPF_K, 0, 0, 0}, {chance(4) ? BPF_RET | BPF_K : 0xffff, 0, 0, 7}};
	struct sock_fprog program = {.len = (unsigned short)chance(4), .filter = code};
	int length = chance(6) ? (int)sizeof program : (int)chance(20);
	int result = setsockopt(fds[which], SOL_SOCKET, SO_ATTACH_FILTER, &program, (socklen_t)length);

	printf("filter %d (%d) of %u in %d: %s\n", which, which_kind[which], program.len, length, result ? strerrorname_np(errno) : "");
}

static void group(int which)
{
	static const char *groups[] = {"224.0.0.7", "239.1.2.3", "10.0.0.1", "0.0.0.0"};
	struct ip_mreqn request = {0};
	int names[] = {IP_ADD_MEMBERSHIP, IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP};
	int name = names[chance(3)], lengths_[] = {sizeof(struct ip_mreq), sizeof(struct ip_mreqn), 4, 7, 20};
	int length = lengths_[chance(5)];

	inet_pton(AF_INET, groups[chance(4)], &request.imr_multiaddr);
	request.imr_address.s_addr = htonl(chance(3) ? INADDR_LOOPBACK : 0x0a090909);
	request.imr_ifindex = (int)chance(3);
	int result = setsockopt(fds[which], SOL_IP, name, &request, (socklen_t)length);
	printf("group %d (%d) %d %x index %d in %d: %s\n", which, which_kind[which], name, ntohl(request.imr_multiaddr.s_addr), request.imr_ifindex,
	       length, result ? strerrorname_np(errno) : "");
}

static void group6(int which)
{
	static const char *groups[] = {"ff02::7", "ff05::1:2", "::1", "::", "ff01::1"};
	struct ipv6_mreq request = {0};
	int names[] = {IPV6_ADD_MEMBERSHIP, IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP};
	int name = names[chance(3)], length = chance(5) ? (int)sizeof request : (int)chance(24);

	inet_pton(AF_INET6, groups[chance(5)], &request.ipv6mr_multiaddr);
	request.ipv6mr_interface = (unsigned int)chance(3);
	int result = setsockopt(fds[which], SOL_IPV6, name, &request, (socklen_t)length);
	printf("group6 %d (%d) %d %x index %u in %d: %s\n", which, which_kind[which], name, request.ipv6mr_multiaddr.s6_addr[1], request.ipv6mr_interface,
	       length, result ? strerrorname_np(errno) : "");
}

static void live(void)
{
	for (int step = 0; step < STEPS; step++) {
		unsigned int what = count ? (unsigned int)chance(20) : 0;
		int which = count ? (int)chance((uint64_t)count) : 0;

		if (what < 2)
			make();
		else if (what < 9)
			set(which);
		else if (what < 17)
			get(which);
		else if (what < 18)
			filter(which);
		else if (what < 19)
			group(which);
		else
			group6(which);
	}
	while (count)
		close(fds[--count]);
}

static void have_own_network(void)
{
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		ioctl(fd, SIOCSIFFLAGS, &loopback);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	have_own_network();
	for (int seed = atoi(argv[1]); argc > 2 && seed < atoi(argv[2]); seed++) {
		printf("seed %d\n", seed);
		start_with(seed);
		live();
	}
	return 0;
}
