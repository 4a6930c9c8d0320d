/* What /proc/sys/net says of sockets that are made then, and of those that are there (ip-sysctl). */
#include "network_setting.h"
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>
#include <poll.h>

#define RTO_MAX_MS 44
#define RTO_MIN_US 45

static int option_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	MUST(getsockopt(fd, level, name, &value, &length));
	return value;
}

static int new_stream(void)
{
	return (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
}

TEST(times_of_connections)
{
	int old, fd, ten = 10;

	enter();
	old = new_stream();
	CHECK_EQ(option_of(old, SOL_TCP, TCP_KEEPIDLE), 7200);
	CHECK_EQ(set("ipv4/tcp_keepalive_time", "100\n"), 0);
	CHECK_EQ(set("ipv4/tcp_keepalive_intvl", "7\n"), 0);
	CHECK_EQ(set("ipv4/tcp_keepalive_probes", "3\n"), 0);
	CHECK_EQ(set("ipv4/tcp_fin_timeout", "20\n"), 0);
	CHECK_EQ(option_of(old, SOL_TCP, TCP_KEEPIDLE), 100);
	CHECK_EQ(option_of(old, SOL_TCP, TCP_KEEPINTVL), 7);
	CHECK_EQ(option_of(old, SOL_TCP, TCP_KEEPCNT), 3);
	CHECK_EQ(option_of(old, SOL_TCP, TCP_LINGER2), 20);
	MUST(setsockopt(old, SOL_TCP, TCP_KEEPIDLE, &ten, sizeof(ten)));
	MUST(setsockopt(old, SOL_TCP, TCP_LINGER2, &ten, sizeof(ten)));
	CHECK_EQ(set("ipv4/tcp_keepalive_time", "200"), 0);
	CHECK_EQ(option_of(old, SOL_TCP, TCP_KEEPIDLE), 10);
	CHECK_EQ(option_of(old, SOL_TCP, TCP_LINGER2), 10);
	ten = 0;
	MUST(setsockopt(old, SOL_TCP, TCP_LINGER2, &ten, sizeof(ten)));
	CHECK_EQ(option_of(old, SOL_TCP, TCP_LINGER2), 20);
	CHECK_ERRNO(set("ipv4/tcp_keepalive_probes", "256"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_keepalive_time", "2147483647"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_keepalive_time", "x"), EINVAL);
	/* How long is waited for an acknowledgement is the socket's from its beginning. */
	CHECK_EQ(set("ipv4/tcp_rto_max_ms", "8000"), 0);
	CHECK_EQ(set("ipv4/tcp_rto_min_us", "100000"), 0);
	fd = new_stream();
	CHECK_EQ(option_of(fd, SOL_TCP, RTO_MAX_MS), 8000);
	CHECK_EQ(option_of(fd, SOL_TCP, RTO_MIN_US), 100000);
	CHECK_EQ(option_of(old, SOL_TCP, RTO_MAX_MS), 120000);
	CHECK_ERRNO(set("ipv4/tcp_rto_max_ms", "999"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_rto_max_ms", "120001"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_rto_min_us", "0"), EINVAL);
	CHECK_STRING(shown("ipv4/tcp_notsent_lowat"), "4294967295");
	CHECK_EQ(set("ipv4/tcp_notsent_lowat", "1000"), 0);
	CHECK_EQ(option_of(fd, SOL_TCP, TCP_NOTSENT_LOWAT), 0);
	CHECK_ERRNO(set("ipv4/tcp_notsent_lowat", "-1"), EINVAL);
}

TEST(rooms_for_messages)
{
	int old;

	enter();
	old = new_stream();
	CHECK_EQ(set("ipv4/tcp_rmem", "5000 60000 70000"), 0);
	CHECK_EQ(set("ipv4/tcp_wmem", "5000 20000 70000"), 0);
	CHECK_EQ(option_of(new_stream(), SOL_SOCKET, SO_RCVBUF), 60000);
	CHECK_EQ(option_of(new_stream(), SOL_SOCKET, SO_SNDBUF), 20000);
	CHECK_EQ(option_of(old, SOL_SOCKET, SO_RCVBUF), 131072);
	CHECK_STRING(shown("ipv4/tcp_rmem"), "5000\t60000\t70000");
	CHECK_EQ(set("ipv4/tcp_rmem", "6000 50000"), 0);
	CHECK_STRING(shown("ipv4/tcp_rmem"), "6000\t50000\t70000");
	CHECK_ERRNO(set("ipv4/tcp_rmem", "7000 0 1"), EINVAL);
	CHECK_STRING(shown("ipv4/tcp_rmem"), "7000\t50000\t70000");
	CHECK_ERRNO(set("ipv4/tcp_wmem", "-1"), EINVAL);
}

static int bound_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	socklen_t length = sizeof(address);
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return -1;
	MUST(getsockname(fd, (struct sockaddr *)&address, &length));
	return ntohs(address.sin_port);
}

TEST(reserved_ports)
{
	enter();
	CHECK_STRING(shown("ipv4/ip_local_reserved_ports"), "");
	CHECK_EQ(set("ipv4/ip_local_reserved_ports", "1,2,3,10-12,65535\n"), 0);
	CHECK_STRING(shown("ipv4/ip_local_reserved_ports"), "1-3,10-12,65535");
	CHECK_ERRNO(set("ipv4/ip_local_reserved_ports", "9-3"), EINVAL);
	CHECK_ERRNO(set("ipv4/ip_local_reserved_ports", "65536"), EINVAL);
	CHECK_ERRNO(set("ipv4/ip_local_reserved_ports", "x"), EINVAL);
	CHECK_EQ(set("ipv4/ip_local_port_range", "40000 40003"), 0);
	CHECK_EQ(set("ipv4/ip_local_reserved_ports", "40000-40001,40003"), 0);
	CHECK_EQ(bound_to(0), 40002);
	CHECK_ERRNO(bound_to(0), EADDRINUSE);
	CHECK_EQ(bound_to(40001), 40001);
	CHECK_EQ(set("ipv4/ip_local_reserved_ports", "\n"), 0);
	CHECK_STRING(shown("ipv4/ip_local_reserved_ports"), "");
	CHECK(bound_to(0) >= 40000);
	CHECK(bound_to(0) >= 40000);
	CHECK_ERRNO(bound_to(0), EADDRINUSE);
}

TEST(what_packets_carry)
{
	int fd, old, on = 1;
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	char room[64], byte;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};

	enter();
	old = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_EQ(set("ipv4/ip_default_ttl", "77"), 0);
	CHECK_EQ(set("ipv4/ip_no_pmtu_disc", "1"), 0);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_EQ(option_of(old, SOL_IP, IP_TTL), 77);
	CHECK_EQ(option_of(old, SOL_IP, IP_MTU_DISCOVER), IP_PMTUDISC_WANT);
	CHECK_EQ(option_of(fd, SOL_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DONT);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	MUST(getsockname(fd, (struct sockaddr *)&address, &length));
	MUST(setsockopt(fd, SOL_IP, IP_RECVTTL, &on, sizeof(on)));
	MUST(sendto(old, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	MUST(recvmsg(fd, &message, 0));
	CHECK_EQ(CMSG_FIRSTHDR(&message)->cmsg_type, IP_TTL);
	CHECK_EQ(*(int *)CMSG_DATA(CMSG_FIRSTHDR(&message)), 77);
	CHECK_ERRNO(set("ipv4/ip_default_ttl", "0"), EINVAL);
}

static int join(int fd, uint32_t group, uint32_t source)
{
	struct ip_mreq_source with = {{htonl(group)}, {htonl(INADDR_LOOPBACK)}, {htonl(source)}};
	struct ip_mreqn all = {{htonl(group)}, {htonl(INADDR_LOOPBACK)}, 0};

	if (source)
		return setsockopt(fd, SOL_IP, IP_ADD_SOURCE_MEMBERSHIP, &with, sizeof(with));
	return setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &all, sizeof(all));
}

TEST(how_many_groups_and_messages)
{
	int fd;
	char room[256] = {0}, byte = 0;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = 120};

	enter();
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_EQ(set("ipv4/igmp_max_memberships", "2"), 0);
	CHECK_EQ(set("ipv4/igmp_max_msf", "1"), 0);
	CHECK_EQ(join(fd, 0xe0000101, 0), 0);
	CHECK_EQ(join(fd, 0xe0000102, 0x0a000001), 0);
	CHECK_ERRNO(join(fd, 0xe0000102, 0x0a000002), ENOBUFS);
	CHECK_ERRNO(join(fd, 0xe0000103, 0), ENOBUFS);
	CHECK_EQ(set("core/optmem_max", "100"), 0);
	CHECK_ERRNO(sendmsg(fd, &message, 0), ENOBUFS);
	CHECK_ERRNO(set("core/optmem_max", "-1"), EINVAL);
}

TEST(how_new_connections_are_controlled)
{
	char name[16] = "";
	socklen_t length = sizeof(name);

	enter();
	CHECK_EQ(set("ipv4/tcp_congestion_control", "reno\n"), 0);
	MUST(getsockopt(new_stream(), SOL_TCP, TCP_CONGESTION, name, &length));
	CHECK_STRING(name, "reno");
	CHECK_STRING(shown("ipv4/tcp_congestion_control"), "reno");
	CHECK_ERRNO(set("ipv4/tcp_congestion_control", "nonesuch"), ENOENT);
	CHECK_ERRNO(set("ipv4/tcp_congestion_control", "\n"), ENOENT);
}

/* Whether ::1 answers. */
static int answers(int fd)
{
	struct icmp6_hdr echo = {.icmp6_type = ICMP6_ECHO_REQUEST};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	unsigned char packet[256];

	MUST(sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&to, sizeof(to)));
	while (poll(&wait, 1, 100) == 1) {
		MUST(recv(fd, packet, sizeof(packet), 0));
		if (packet[0] == ICMP6_ECHO_REPLY)
			return 1;
	}
	return 0;
}

static double now_s(void)
{
	struct timespec now;

	MUST(clock_gettime(CLOCK_MONOTONIC, &now));
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* SYNs that nobody answers, as the queue is full, are sent again as often as is set. */
TEST(how_often_a_connection_is_tried)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(address);
	int server, fd, one = 1;
	double start;

	enter();
	server = new_stream();
	MUST(bind(server, (struct sockaddr *)&address, sizeof(address)));
	MUST(listen(server, 0));
	MUST(getsockname(server, (struct sockaddr *)&address, &length));
	MUST(connect(new_stream(), (struct sockaddr *)&address, sizeof(address)));
	CHECK_STRING(shown("ipv4/tcp_syn_retries"), "6");
	CHECK_STRING(shown("ipv4/tcp_syn_linear_timeouts"), "4");
	CHECK_ERRNO(set("ipv4/tcp_syn_retries", "0"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_syn_retries", "128"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_syn_linear_timeouts", "128"), EINVAL);
	CHECK_EQ(set("ipv4/tcp_syn_linear_timeouts", "0"), 0);
	CHECK_EQ(set("ipv4/tcp_syn_retries", "2"), 0);
	fd = new_stream();
	CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_SYNCNT), 2);
	MUST(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &one, sizeof(one)));
	CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_SYNCNT), 1);
	/* Again after a second, and two later it's over. */
	start = now_s();
	CHECK_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof(address)), ETIMEDOUT);
	CHECK(now_s() - start > 2.8 && now_s() - start < 4.5);
	CHECK_EQ(set("ipv4/tcp_syn_linear_timeouts", "1"), 0);
	CHECK_EQ(set("ipv4/tcp_syn_retries", "1"), 0);
	/* Twice a second apart, and two later it's over. */
	start = now_s();
	CHECK_ERRNO(connect(new_stream(), (struct sockaddr *)&address, sizeof(address)), ETIMEDOUT);
	CHECK(now_s() - start > 3.8 && now_s() - start < 5.5);
}

/* How far a packet to ::1 goes, as its receiver is told, and what the option says of a socket that isn't connected. */
static int hops(void)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(6000), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int receiver = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), sender = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), one = 1, told = -1;
	char byte, control[64];
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	MUST(bind(receiver, (struct sockaddr *)&address, sizeof(address)));
	MUST(setsockopt(receiver, SOL_IPV6, IPV6_RECVHOPLIMIT, &one, sizeof(one)));
	MUST(sendto(sender, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	MUST(recvmsg(receiver, &message, 0));
	memcpy(&told, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(told));
	told = told * 1000 + option_of(sender, SOL_IPV6, IPV6_UNICAST_HOPS);
	MUST(connect(sender, (struct sockaddr *)&address, sizeof(address)));
	CHECK_EQ(option_of(sender, SOL_IPV6, IPV6_UNICAST_HOPS), told / 1000);
	close(sender);
	close(receiver);
	return told;
}

TEST(how_far_packets_go)
{
	enter();
	CHECK_EQ(hops(), 64064);
	CHECK_EQ(set("ipv6/conf/all/hop_limit", "30"), 0);
	CHECK_EQ(hops(), 64030);
	CHECK_EQ(set("ipv6/conf/default/hop_limit", "20"), 0);
	CHECK_EQ(hops(), 64030);
	CHECK_EQ(set("ipv6/conf/lo/hop_limit", "10"), 0);
	CHECK_EQ(hops(), 10030);
	CHECK_ERRNO(set("ipv6/conf/lo/hop_limit", "0"), EINVAL);
	CHECK_ERRNO(set("ipv6/conf/lo/hop_limit", "256"), EINVAL);
	CHECK_STRING(shown("ipv6/conf/lo/hop_limit"), "10");
}

/* How many addresses of IPv6 the interfaces have. */
static int addresses_of_ipv6(void)
{
	FILE *list = fopen("/proc/thread-self/net/if_inet6", "r");
	char line[128];
	int count = 0;

	MUST(list == NULL ? -1 : 0);
	while (fgets(line, sizeof(line), list) != NULL)
		count++;
	fclose(list);
	return count;
}

TEST(without_ipv6)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(6000), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct {
		struct in6_addr address;
		uint32_t length;
		int index;
	} request = {IN6ADDR_LOOPBACK_INIT, 64, 1};
	int fd;

	enter();
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_EQ(addresses_of_ipv6(), 1);
	CHECK_EQ(set("ipv6/conf/lo/disable_ipv6", "1"), 0);
	CHECK_EQ(addresses_of_ipv6(), 0);
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)), EADDRNOTAVAIL);
	request.address.s6_addr[15] = 2;
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &request), EACCES);
	CHECK_EQ(set("ipv6/conf/lo/disable_ipv6", "0"), 0);
	CHECK_EQ(addresses_of_ipv6(), 1);
	CHECK_EQ(ioctl(fd, SIOCSIFADDR, &request), 0);
	CHECK_EQ(set("ipv6/conf/all/disable_ipv6", "2"), 0);
	CHECK_STRING(shown("ipv6/conf/lo/disable_ipv6"), "2");
	CHECK_STRING(shown("ipv6/conf/default/disable_ipv6"), "2");
	CHECK_EQ(addresses_of_ipv6(), 0);
	/* An address of one's own isn't kept for later. */
	CHECK_EQ(set("ipv6/conf/all/disable_ipv6", "0"), 0);
	CHECK_EQ(addresses_of_ipv6(), 1);
	CHECK_EQ(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)), 1);
}

TEST(settings_of_the_newer_protocol)
{
	struct sockaddr_in6 elsewhere = {.sin6_family = AF_INET6};
	int fd, echo;

	enter();
	inet_pton(AF_INET6, "2001:db8::1", &elsewhere.sin6_addr);
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_EQ(set("ipv4/ip_nonlocal_bind", "1"), 0);
	CHECK_ERRNO(bind(fd, (struct sockaddr *)&elsewhere, sizeof(elsewhere)), EADDRNOTAVAIL);
	CHECK_EQ(set("ipv6/ip_nonlocal_bind", "1"), 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&elsewhere, sizeof(elsewhere)), 0);
	echo = (int)MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
	CHECK(answers(echo));
	CHECK_EQ(set("ipv6/icmp/echo_ignore_all", "1"), 0);
	CHECK(!answers(echo));
	CHECK_EQ(set("ipv4/conf/lo/tag", "12345"), 0);
	CHECK_STRING(shown("ipv4/conf/lo/tag"), "12345");
	CHECK_STRING(shown("ipv4/conf/default/tag"), "0");
}

/* Whether an echo request to everybody on the loopback is answered. */
static int all_answer(int fd)
{
	static const unsigned char request[] = {8, 0, 0xf7, 0xfd, 0, 1, 0, 1};
	struct sockaddr_in everybody = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7fffffff)};
	unsigned char bytes[100];
	int has_answer = 0;

	MUST(sendto(fd, request, sizeof(request), 0, (struct sockaddr *)&everybody, sizeof(everybody)));
	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 20)
		has_answer |= bytes[20] == 0;
	return has_answer;
}

TEST(echoes_and_headers)
{
	static const unsigned char header[] = {0, 0, 0x1e, 4, 0, 0, 0, 0};
	struct sockaddr_in6 target = {.sin6_family = AF_INET6, .sin6_port = htons(7000)};
	int fd, receiver, on = 1;
	char byte;

	enter();
	fd = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	MUST(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)));
	CHECK_STRING(shown("ipv4/icmp_echo_ignore_broadcasts"), "1");
	CHECK(!all_answer(fd));
	CHECK_EQ(set("ipv4/icmp_echo_ignore_broadcasts", "0"), 0);
	CHECK(all_answer(fd));
	CHECK_ERRNO(set("ipv4/icmp_echo_ignore_broadcasts", "2"), EINVAL);
	CHECK_STRING(shown("ipv4/tcp_retries2"), "15");
	CHECK_EQ(set("ipv4/tcp_retries2", "3"), 0);
	CHECK_ERRNO(set("ipv4/tcp_retries2", "256"), EINVAL);
	target.sin6_addr = in6addr_loopback;
	receiver = (int)MUST(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	MUST(bind(receiver, (struct sockaddr *)&target, sizeof(target)));
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(setsockopt(fd, SOL_IPV6, IPV6_DSTOPTS, header, sizeof(header)));
	CHECK_STRING(shown("ipv6/max_dst_opts_number"), "8");
	MUST(sendto(fd, "x", 1, 0, (struct sockaddr *)&target, sizeof(target)));
	CHECK_EQ(recv(receiver, &byte, 1, 0), 1);
	/* Below 0, nothing unknown is let in. */
	CHECK_EQ(set("ipv6/max_dst_opts_number", "-8"), 0);
	MUST(sendto(fd, "x", 1, 0, (struct sockaddr *)&target, sizeof(target)));
	CHECK_ERRNO(recv(receiver, &byte, 1, 0), EAGAIN);
	CHECK_EQ(set("ipv6/max_dst_opts_number", "8"), 0);
	CHECK_EQ(set("ipv6/max_dst_opts_length", "7"), 0);
	MUST(sendto(fd, "x", 1, 0, (struct sockaddr *)&target, sizeof(target)));
	CHECK_ERRNO(recv(receiver, &byte, 1, 0), EAGAIN);
	CHECK_EQ(set("ipv6/max_hbh_opts_number", "1"), 0);
	CHECK_EQ(set("ipv6/max_hbh_length", "100"), 0);
}

/* The kinds of the options of TCP in a frame of the loopback, in their order; what isn't one of TCP gives "". */
static const char *kinds_in(const unsigned char *frame, int flags)
{
	static char kinds[200];
	const unsigned char *segment = frame + ETH_HLEN + 20;
	int end = (segment[12] >> 4) * 4;

	kinds[0] = 0;
	if (frame[ETH_HLEN + 9] != IPPROTO_TCP || segment[13] != flags)
		return "";
	for (int at = 20; at < end; at += segment[at] > 1 ? segment[at + 1] : 1)
		sprintf(kinds + strlen(kinds), "%d ", segment[at]);
	return kinds;
}

static const char *next_kinds(int fd, int flags)
{
	static unsigned char frame[70000];
	const char *found = "";

	while (found[0] == 0 && recv(fd, frame, sizeof(frame), MSG_DONTWAIT) > 0)
		found = kinds_in(frame, flags);
	return found;
}

static void check_agreed(const char *syn, const char *last, int options, int stamps_bytes)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct tcp_info told;
	socklen_t size = sizeof(name), told_size = sizeof(told);
	int listener = new_stream(), ends[2], heard = (int)MUST(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP)));

	MUST(bind(listener, (void *)&name, sizeof(name)));
	MUST(getsockname(listener, (void *)&name, &size));
	MUST(listen(listener, 1));
	ends[0] = new_stream();
	MUST(connect(ends[0], (void *)&name, sizeof(name)));
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	CHECK_STRING(next_kinds(heard, 0x02), syn);
	CHECK_STRING(next_kinds(heard, 0x12), syn);
	if (last[0] != 0)
		CHECK_STRING(next_kinds(heard, 0x10), last);
	for (int end = 0; end < 2; end++) {
		MUST(getsockopt(ends[end], SOL_TCP, TCP_INFO, &told, &told_size));
		CHECK_EQ(told.tcpi_options & 7, options);
		CHECK_EQ(told.tcpi_snd_wscale != 0, (options & TCPI_OPT_WSCALE) != 0);
		CHECK_EQ(told.tcpi_rcv_wscale != 0, (options & TCPI_OPT_WSCALE) != 0);
		CHECK_EQ(told.tcpi_advmss, 65495 - stamps_bytes);
		close(ends[end]);
	}
	close(listener);
	close(heard);
}

/* Of a connection on the loopback: what both ends say of news of congestion, flags of the SYN and of its answer,
   and the bits in the header of data. */
static void check_news(int want, unsigned syn, unsigned answer, unsigned data)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int listener = new_stream(), ends[2], heard = (int)MUST(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP)));
	unsigned char packet[256];
	unsigned seen[3] = {0};
	struct tcp_info told;
	socklen_t size = sizeof(name), told_size = sizeof(told);
	char byte;

	MUST(bind(listener, (void *)&name, sizeof(name)));
	MUST(getsockname(listener, (void *)&name, &size));
	MUST(listen(listener, 1));
	ends[0] = new_stream();
	MUST(connect(ends[0], (void *)&name, sizeof(name)));
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	MUST(send(ends[0], "x", 1, 0));
	MUST(recv(ends[1], &byte, 1, 0));
	for (int end = 0; end < 2; end++) {
		told_size = sizeof(told);
		MUST(getsockopt(ends[end], SOL_TCP, TCP_INFO, &told, &told_size));
		CHECK_EQ(told.tcpi_options & 0x18, want == 0 ? 0 : end == 0 ? 8 : 0x18);
	}
	while (recv(heard, packet, sizeof(packet), MSG_DONTWAIT) > 40)
		if ((packet[33] & 0x12) == 2)
			seen[0] = packet[33] & 0xC0U;
		else if ((packet[33] & 0x12) == 0x12)
			seen[1] = packet[33] & 0xC0U;
		else if (packet[33] & 8)
			seen[2] = packet[1];
	CHECK_EQ(seen[0], syn);
	CHECK_EQ(seen[1], answer);
	CHECK_EQ(seen[2], data);
	close(ends[0]);
	close(ends[1]);
	close(listener);
	close(heard);
}

TEST(news_of_congestion)
{
	enter();
	CHECK_STRING(shown("ipv4/tcp_ecn"), "2");
	check_news(0, 0, 0, 0);
	CHECK_EQ(set("ipv4/tcp_ecn", "1"), 0);
	check_news(1, 0xC0, 0x40, 2);
	CHECK_EQ(set("ipv4/tcp_ecn", "0"), 0);
	check_news(0, 0, 0, 0);
	CHECK_ERRNO(set("ipv4/tcp_ecn", "-1"), EINVAL);
	CHECK_EQ(set("ipv4/tcp_ecn_fallback", "0"), 0);
}

TEST(what_ends_agree_on)
{
	enter();
	CHECK_STRING(shown("ipv4/tcp_timestamps"), "1");
	CHECK_STRING(shown("ipv4/tcp_sack"), "1");
	CHECK_STRING(shown("ipv4/tcp_window_scaling"), "1");
	check_agreed("2 4 8 1 3 ", "1 1 8 ", 7, 12);
	CHECK_EQ(set("ipv4/tcp_timestamps", "0"), 0);
	check_agreed("2 1 1 4 1 3 ", "", 6, 0);
	CHECK_EQ(set("ipv4/tcp_window_scaling", "0"), 0);
	check_agreed("2 1 1 4 ", "", 2, 0);
	CHECK_EQ(set("ipv4/tcp_sack", "0"), 0);
	check_agreed("2 ", "", 0, 0);
	CHECK_EQ(set("ipv4/tcp_timestamps", "2"), 0);
	check_agreed("2 1 1 8 ", "1 1 8 ", 1, 12);
	CHECK_ERRNO(set("ipv4/tcp_timestamps", "256"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_sack", "-1"), EINVAL);
}

TEST(settings_of_neighbours)
{
	enter();
	CHECK_STRING(shown("ipv4/neigh/lo/mcast_solicit"), "3");
	CHECK_STRING(shown("ipv6/neigh/lo/ucast_solicit"), "3");
	CHECK_STRING(shown("ipv4/neigh/lo/unres_qlen_bytes"), "212992");
	CHECK_STRING(shown("ipv4/neigh/lo/retrans_time"), "100");
	CHECK_EQ(set("ipv4/neigh/lo/retrans_time_ms", "200"), 0);
	CHECK_STRING(shown("ipv4/neigh/lo/retrans_time_ms"), "200");
	CHECK_STRING(shown("ipv4/neigh/lo/retrans_time"), "20");
	CHECK_EQ(set("ipv4/neigh/lo/base_reachable_time", "2"), 0);
	CHECK_STRING(shown("ipv4/neigh/lo/base_reachable_time_ms"), "2000");
	CHECK_STRING(shown("ipv6/neigh/lo/base_reachable_time_ms"), "30000");
	CHECK_ERRNO(set("ipv4/neigh/lo/mcast_solicit", "-1"), EINVAL);
	CHECK_ERRNO(set("ipv4/neigh/lo/retrans_time_ms", "x"), EINVAL);
	/* Those of new ones are the first network's alone. */
	CHECK_ERRNO(access(NET "ipv4/neigh/default", F_OK), ENOENT);
	/* One that has an address keeps what it has. */
	CHECK_EQ(set("ipv4/conf/default/arp_ignore", "2"), 0);
	CHECK_STRING(shown("ipv4/conf/lo/arp_ignore"), "0");
}

/* A listener of no backlog whose connections wait until something is said, and what one that connects to it sees. */
static int deferring(struct sockaddr_in *name)
{
	int fd = new_stream(), wait_s = 60;
	socklen_t size = sizeof(*name);

	*name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	MUST(bind(fd, (void *)name, size));
	MUST(setsockopt(fd, SOL_TCP, TCP_DEFER_ACCEPT, &wait_s, sizeof(wait_s)));
	MUST(listen(fd, 0));
	MUST(getsockname(fd, (void *)name, &size));
	return fd;
}

static int tries(const struct sockaddr_in *name)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));

	if (connect(fd, (void *)name, sizeof(*name)) != 0 && errno != EINPROGRESS)
		_exit(1);
	return fd;
}

/* What can be done with it within a tenth of a second. */
static int may(int fd, short events)
{
	struct pollfd wait = {fd, events, 0};

	return MUST(poll(&wait, 1, 100)) ? wait.revents : 0;
}

TEST(connections_without_a_place)
{
	struct sockaddr_in name;
	int listener, first, second, third;
	char byte;

	enter();
	/* The first waits to say something; the second is answered by a cookie, and so accepted at once. */
	listener = deferring(&name);
	CHECK_EQ(may((first = tries(&name)), POLLOUT), POLLOUT);
	CHECK_EQ(may((second = tries(&name)), POLLOUT), POLLOUT);
	CHECK_EQ(may((third = tries(&name)), POLLOUT), 0);
	CHECK_EQ(send(first, "x", 1, 0), 1);
	CHECK_EQ(may(first, POLLIN), 0);
	close((int)MUST(accept(listener, NULL, NULL)));
	CHECK_EQ(may(second, POLLIN), POLLIN);
	CHECK_EQ(recv(second, &byte, 1, 0), 0);
	MUST(accept(listener, NULL, NULL));
	close(third);
	close(listener);
	CHECK_STRING(shown("ipv4/tcp_abort_on_overflow"), "0");
	CHECK_EQ(set("ipv4/tcp_abort_on_overflow", "1"), 0);
	listener = deferring(&name);
	CHECK_EQ(may((first = tries(&name)), POLLOUT), POLLOUT);
	CHECK_EQ(may((second = tries(&name)), POLLOUT), POLLOUT);
	CHECK_EQ(send(first, "x", 1, 0), 1);
	CHECK_EQ(may(first, POLLIN) & POLLERR, POLLERR);
	CHECK_ERRNO(recv(first, &byte, 1, 0), ECONNRESET);
	close(listener);
	CHECK_ERRNO(set("ipv4/tcp_abort_on_overflow", "256"), EINVAL);
	/* Without cookies the second one waits too, for a place to wait. */
	CHECK_STRING(shown("ipv4/tcp_syncookies"), "1");
	CHECK_EQ(set("ipv4/tcp_syncookies", "0"), 0);
	listener = deferring(&name);
	CHECK_EQ(may((first = tries(&name)), POLLOUT), POLLOUT);
	CHECK_EQ(may((second = tries(&name)), POLLOUT), 0);
	close(listener);
	/* With nothing but cookies nobody is deferred. */
	CHECK_EQ(set("ipv4/tcp_syncookies", "2"), 0);
	listener = deferring(&name);
	CHECK_EQ(may((first = tries(&name)), POLLOUT), POLLOUT);
	CHECK_EQ(may(listener, POLLIN), POLLIN);
	close(listener);
	CHECK_ERRNO(set("ipv4/tcp_syncookies", "-1"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_max_syn_backlog", "2147483648"), EINVAL);
}

/* Both ends of a connection, whose first end had its `mark` and type of service set before. */
static void connect_marked(int *ends, int mark, int service)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(name);
	int listener = new_stream();

	MUST(bind(listener, (void *)&name, sizeof(name)));
	MUST(getsockname(listener, (void *)&name, &size));
	MUST(listen(listener, 1));
	ends[0] = new_stream();
	MUST(setsockopt(ends[0], SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	MUST(setsockopt(ends[0], SOL_IP, IP_TOS, &service, sizeof(service)));
	MUST(connect(ends[0], (void *)&name, sizeof(name)));
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	close(listener);
}

TEST(what_a_connection_has_from_its_syn)
{
	struct tcp_info told;
	socklen_t size = sizeof(told);
	int ends[2], old;

	enter();
	old = new_stream();
	connect_marked(ends, 7, 0x48);
	CHECK_EQ(option_of(ends[1], SOL_SOCKET, SO_MARK), 0);
	CHECK_EQ(option_of(ends[1], SOL_IP, IP_TOS), 0);
	CHECK_EQ(set("ipv4/tcp_fwmark_accept", "1"), 0);
	CHECK_EQ(set("ipv4/tcp_reflect_tos", "1"), 0);
	CHECK_EQ(set("ipv4/tcp_reordering", "9"), 0);
	connect_marked(ends, 7, 0x48);
	CHECK_EQ(option_of(ends[1], SOL_SOCKET, SO_MARK), 7);
	CHECK_EQ(option_of(ends[1], SOL_IP, IP_TOS), 0x48);
	MUST(getsockopt(ends[0], SOL_TCP, TCP_INFO, &told, &size));
	CHECK_EQ(told.tcpi_reordering, 9);
	size = sizeof(told);
	MUST(getsockopt(old, SOL_TCP, TCP_INFO, &told, &size));
	CHECK_EQ(told.tcpi_reordering, 3);
	CHECK_ERRNO(set("ipv4/tcp_reordering", "0"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_reordering", "301"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_reflect_tos", "2"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_fwmark_accept", "256"), EINVAL);
}

/* Connects to a listener of all the one port that there is, and closes the connection from this end. */
static int come_and_go(const struct sockaddr_in *name, int listener)
{
	int fd = new_stream(), other;
	char byte;

	if (connect(fd, (void *)name, sizeof(*name)) != 0) {
		close(fd);
		return -1;
	}
	other = (int)MUST(accept(listener, NULL, NULL));
	shutdown(fd, SHUT_WR);
	MUST(recv(other, &byte, 1, 0));
	close(other);
	CHECK_EQ(recv(fd, &byte, 1, 0), 0);
	close(fd);
	return 0;
}

TEST(ports_of_connections_that_are_over)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(7000), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int listener;

	enter();
	listener = new_stream();
	MUST(bind(listener, (void *)&name, sizeof(name)));
	MUST(listen(listener, 1));
	CHECK_STRING(shown("ipv4/tcp_tw_reuse"), "2");
	CHECK_STRING(shown("ipv4/tcp_tw_reuse_delay"), "1000");
	CHECK_EQ(set("ipv4/ip_local_port_range", "40000 40000"), 0);
	CHECK_EQ(come_and_go(&name, listener), 0);
	CHECK_ERRNO(come_and_go(&name, listener), EADDRNOTAVAIL);
	usleep(1100000);
	CHECK_EQ(come_and_go(&name, listener), 0);
	CHECK_EQ(set("ipv4/tcp_tw_reuse", "0"), 0);
	usleep(1100000);
	CHECK_ERRNO(come_and_go(&name, listener), EADDRNOTAVAIL);
	CHECK_EQ(set("ipv4/tcp_tw_reuse", "1"), 0);
	CHECK_EQ(set("ipv4/tcp_tw_reuse_delay", "200"), 0);
	CHECK_EQ(come_and_go(&name, listener), 0);
	usleep(300000);
	CHECK_EQ(come_and_go(&name, listener), 0);
	CHECK_ERRNO(set("ipv4/tcp_tw_reuse", "3"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_tw_reuse_delay", "0"), EINVAL);
	CHECK_ERRNO(set("ipv4/tcp_tw_reuse_delay", "60001"), EINVAL);
}

/* What one may choose is the machine's: its first network says so. */
TEST(allowed_congestion_controls)
{
	char allowed[256], all[256], *rest, *name;
	const char *file = "ipv4/tcp_congestion_control";
	int wrong = 0;

	enter();
	strcpy(allowed, shown("ipv4/tcp_allowed_congestion_control"));
	strcpy(all, shown("ipv4/tcp_available_congestion_control"));
	CHECK(strstr(allowed, "reno") != NULL);
	CHECK_ERRNO(open(NET "ipv4/tcp_allowed_congestion_control", O_WRONLY), EACCES);
	CHECK_ERRNO(open(NET "core/rmem_max", O_WRONLY), EACCES);
	for (name = strtok_r(all, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest)) {
		int refused = set(file, name);

		wrong += strstr(allowed, name) != NULL ? refused != 0 : refused != -1 || errno != EPERM;
	}
	CHECK_EQ(wrong, 0);
}

/* What is kept, though nothing may come of it: a number from `least` to `most`. */
static void keeps(const char *name, long least, long most)
{
	char path[64], value[32];

	snprintf(path, sizeof(path), "ipv4/%s%s", strchr(name, '/') == NULL ? "tcp_" : "", name + (name[0] == '/'));
	snprintf(value, sizeof(value), "%ld", least);
	CHECK(set(path, value) == 0 && strcmp(shown(path), value) == 0);
	snprintf(value, sizeof(value), "%ld", most);
	CHECK(set(path, value) == 0 && strcmp(shown(path), value) == 0);
	snprintf(value, sizeof(value), "%ld", least - 1);
	CHECK(set(path, value) == -1 && errno == EINVAL);
	snprintf(value, sizeof(value), "%ld", most + 1);
	CHECK(set(path, value) == -1 && errno == EINVAL);
}

TEST(settings_that_are_kept)
{
	enter();
	keeps("adv_win_scale", -31, 31);
	keeps("app_win", 0, 31);
	keeps("autocorking", 0, 1);
	keeps("base_mss", INT_MIN, INT_MAX);
	keeps("early_retrans", 0, 4);
	keeps("max_reordering", 1, INT_MAX);
	keeps("min_rtt_wlen", 0, 86400);
	keeps("min_snd_mss", 48, 65535);
	keeps("min_tso_segs", 1, 255);
	keeps("mtu_probe_floor", 48, 65535);
	keeps("orphan_retries", 0, 255);
	keeps("pacing_ss_ratio", 0, 1000);
	keeps("pingpong_thresh", 1, 255);
	keeps("shrink_window", 0, 1);
	keeps("synack_retries", 0, 255);
	keeps("/fib_notify_on_flag_change", 0, 2);
	keeps("/ip_dynaddr", 0, 255);
	keeps("/ip_early_demux", 0, 255);
	keeps("/raw_l3mdev_accept", 0, 1);
	keeps("/udp_early_demux", 0, 255);
	keeps("/udp_l3mdev_accept", 0, 1);
	keeps("backlog_ack_defer", 0, 1);
	keeps("fastopen_blackhole_timeout_sec", 0, INT_MAX);
	keeps("l3mdev_accept", 0, 1);
	keeps("plb_cong_thresh", 0, 256);
	keeps("plb_enabled", 0, 1);
	keeps("plb_idle_rehash_rounds", 0, 31);
	keeps("plb_rehash_rounds", 0, 31);
	keeps("plb_suspend_rto_sec", 0, 255);
	keeps("probe_interval", 0, 17179869);
	CHECK_STRING(shown("ipv4/tcp_comp_sack_delay_ns"), "1000000");
	CHECK_EQ(set("ipv4/tcp_comp_sack_slack_ns", "18446744073709551615"), 0);
	CHECK_STRING(shown("ipv4/tcp_comp_sack_slack_ns"), "18446744073709551615");
	CHECK_EQ(set("ipv4/tcp_synack_retries", "5 x"), 0);
	CHECK_STRING(shown("ipv4/tcp_synack_retries"), "5");
}

/* Both ends of a new connection on the loopback. */
static void make_ends(int ends[2])
{
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(place);
	int listener = new_stream();

	MUST(bind(listener, (struct sockaddr *)&place, size));
	MUST(listen(listener, 1));
	MUST(getsockname(listener, (struct sockaddr *)&place, &size));
	ends[0] = new_stream();
	MUST(connect(ends[0], (struct sockaddr *)&place, size));
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	close(listener);
}

static int room_after_much(void)
{
	static char much[65536];
	int ends[2], room;
	pid_t writer;

	make_ends(ends);
	writer = (pid_t)MUST(fork());
	if (writer == 0) {
		for (int at = 0; at < 256; at++)
			write_all(ends[0], much, sizeof(much));
		_exit(0);
	}
	close(ends[0]);
	while (recv(ends[1], much, sizeof(much), 0) > 0)
		continue;
	room = option_of(ends[1], SOL_SOCKET, SO_RCVBUF);
	wait_for(writer);
	close(ends[1]);
	return room;
}

TEST(rooms_that_grow)
{
	enter();
	CHECK(room_after_much() > 131072);
	CHECK_EQ(set("ipv4/tcp_moderate_rcvbuf", "0"), 0);
	CHECK_EQ(room_after_much(), 131072);
}

TEST(how_many_answers_tell)
{
	int ends[2];
	char byte;

	enter();
	CHECK_EQ(set("ipv4/tcp_pingpong_thresh", "3"), 0);
	make_ends(ends);
	for (int at = 1; at <= 3; at++) {
		MUST(send(ends[0], "q", 1, 0));
		MUST(recv(ends[1], &byte, 1, 0));
		MUST(send(ends[1], "a", 1, 0));
		CHECK_EQ(option_of(ends[1], SOL_TCP, TCP_QUICKACK), at < 3);
	}
	CHECK_EQ(set("ipv4/tcp_pingpong_thresh", "4"), 0);
	CHECK_EQ(option_of(ends[1], SOL_TCP, TCP_QUICKACK), 1);
}

/* Leases a label: 0 or an errno. IPV6_FLOWLABEL_MGR with IPV6_FL_A_GET and IPV6_FL_F_CREATE, to share with all. */
static int lease(int fd, uint32_t label)
{
	struct {
		struct in6_addr destination;
		uint32_t label;
		uint8_t action, share;
		uint16_t flags, expires, linger;
		uint32_t pad;
	} request = {.destination = IN6ADDR_LOOPBACK_INIT, .label = htonl(label), .share = 255, .flags = 1};

	return setsockopt(fd, SOL_IPV6, 32, &request, sizeof(request)) == -1 ? errno : 0;
}

static uint32_t automatic_label(int from, int to)
{
	struct sockaddr_in6 place;
	socklen_t size = sizeof(place);
	union {
		char bytes[64];
		struct cmsghdr header;
	} control;
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	uint32_t info = 0;

	MUST(getsockname(to, (struct sockaddr *)&place, &size));
	MUST(sendto(from, "x", 1, 0, (struct sockaddr *)&place, size));
	MUST(recvmsg(to, &message, 0));
	if (message.msg_controllen > 0)
		memcpy(&info, CMSG_DATA(&control.header), sizeof(info));
	return ntohl(info) & 0xfffff;
}

TEST(labels_of_flows)
{
	struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd, to, on = 1;

	enter();
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	to = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(bind(to, (struct sockaddr *)&own, sizeof(own)));
	/* IPV6_FLOWINFO */
	MUST(setsockopt(to, SOL_IPV6, 11, &on, sizeof(on)));
	CHECK_EQ(lease(fd, 0x80001), 0);
	CHECK_EQ(set("ipv6/flowlabel_state_ranges", "1"), 0);
	CHECK_EQ(lease(fd, 0x80002), ERANGE);
	CHECK_EQ(lease(fd, 0x7fffe), 0);
	for (int at = 0; at < 8; at++) {
		int from = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));

		CHECK(automatic_label(from, to) & 0x80000);
		close(from);
	}
}

TEST(echoes_of_many)
{
	struct {
		struct in6_addr address;
		uint32_t length;
		int index;
	} request = {.length = 64, .index = 1};
	struct {
		struct in6_addr address;
		int index;
	} shared = {.index = 1};
	struct sockaddr_in6 place = {.sin6_family = AF_INET6}, from;
	struct icmp6_hdr echo = {.icmp6_type = ICMP6_ECHO_REQUEST};
	struct icmp6_filter only;
	struct timeval soon = {0, 200000};
	const char *values[] = {"0", "1"};
	int six, raw;

	enter();
	six = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	inet_pton(AF_INET6, "2001:db8::1", &request.address);
	inet_pton(AF_INET6, "2001:db8::99", &shared.address);
	MUST(ioctl(six, SIOCSIFADDR, &request));
	MUST(setsockopt(six, SOL_IPV6, IPV6_JOIN_ANYCAST, &shared, sizeof(shared)));
	raw = (int)MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
	ICMP6_FILTER_SETBLOCKALL(&only);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &only);
	MUST(setsockopt(raw, SOL_ICMPV6, ICMP6_FILTER, &only, sizeof(only)));
	MUST(setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
	place.sin6_addr = shared.address;
	for (size_t at = 0; at < LENGTH(values); at++) {
		socklen_t size = sizeof(from);

		CHECK_EQ(set("ipv6/anycast_src_echo_reply", values[at]), 0);
		MUST(sendto(raw, &echo, sizeof(echo), 0, (struct sockaddr *)&place, sizeof(place)));
		CHECK_EQ(recvfrom(raw, &echo, sizeof(echo), 0, (struct sockaddr *)&from, &size), sizeof(echo));
		CHECK_EQ(memcmp(&from.sin6_addr, &shared.address, 16) == 0, (int)at);
		echo.icmp6_type = ICMP6_ECHO_REQUEST;
	}
	CHECK_EQ(set("ipv6/icmp/echo_ignore_anycast", "1"), 0);
	MUST(sendto(raw, &echo, sizeof(echo), 0, (struct sockaddr *)&place, sizeof(place)));
	CHECK_ERRNO(recv(raw, &echo, sizeof(echo), 0), EAGAIN);
	inet_pton(AF_INET6, "2001:db8::1", &place.sin6_addr);
	echo.icmp6_type = ICMP6_ECHO_REQUEST;
	MUST(sendto(raw, &echo, sizeof(echo), 0, (struct sockaddr *)&place, sizeof(place)));
	CHECK_EQ(recv(raw, &echo, sizeof(echo), 0), sizeof(echo));
}

/* Whether one more socket with SO_REUSEADDR, or not, gets a port that is chosen for it: 0 or an errno. */
static int gets_port(int kind, int reuses, uint32_t address)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
	int fd = (int)MUST(socket(AF_INET, kind, 0));

	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuses, sizeof(reuses)));
	return bind(fd, (struct sockaddr *)&own, sizeof(own)) == -1 ? errno : 0;
}

TEST(ports_that_are_chosen_for_several)
{
	enter();
	CHECK_EQ(set("ipv4/ip_local_port_range", "40000 40001"), 0);
	CHECK_STRING(shown("ipv4/ip_autobind_reuse"), "0");
	CHECK_EQ(gets_port(SOCK_STREAM, 1, INADDR_LOOPBACK), 0);
	CHECK_EQ(gets_port(SOCK_STREAM, 1, INADDR_LOOPBACK), 0);
	CHECK_EQ(gets_port(SOCK_STREAM, 1, INADDR_LOOPBACK), EADDRINUSE);
	/* Other addresses have ports of their own. */
	CHECK_EQ(gets_port(SOCK_STREAM, 0, INADDR_LOOPBACK + 1), 0);
	CHECK_EQ(set("ipv4/ip_autobind_reuse", "1"), 0);
	CHECK_EQ(gets_port(SOCK_STREAM, 1, INADDR_LOOPBACK), 0);
	CHECK_EQ(gets_port(SOCK_STREAM, 0, INADDR_LOOPBACK), EADDRINUSE);
	CHECK_ERRNO(set("ipv4/ip_autobind_reuse", "2"), EINVAL);
	/* Of datagrams it's as if the port had been named. */
	CHECK_EQ(set("ipv4/ip_autobind_reuse", "0"), 0);
	for (int at = 0; at < 5; at++)
		CHECK_EQ(gets_port(SOCK_DGRAM, 1, INADDR_LOOPBACK), 0);
	/* By chance a port that two have may have been left. */
	gets_port(SOCK_DGRAM, 0, INADDR_LOOPBACK);
	CHECK_EQ(gets_port(SOCK_DGRAM, 0, INADDR_LOOPBACK), EADDRINUSE);
}

/* A window of no bytes bounds no segments, and a small one is taken whole, but for what is less than any packet. */
TEST(windows_of_next_to_nothing)
{
	static const struct {
		const char *room;
		int segment;
	} cases[] = {{"1 1 1", 65483}, {"4 4 4", 36}, {"1000 1000 1000", 500}, {"2000 2000 2000", 500}};
	static char much[100000];
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(own);

	enter();
	CHECK_EQ(set("ipv4/tcp_wmem", "1 1 1"), 0);
	for (size_t at = 0; at < LENGTH(cases); at++) {
		int listener, fd, connection, is_refused;

		/* Later kernels have no room of less than 4096 bytes. */
		is_refused = set("ipv4/tcp_rmem", cases[at].room) == -1;
		CHECK(!is_refused || errno == EINVAL);
		listener = new_stream();
		fd = new_stream();
		own.sin_port = 0;
		MUST(bind(listener, (struct sockaddr *)&own, sizeof(own)));
		MUST(listen(listener, 1));
		MUST(getsockname(listener, (struct sockaddr *)&own, &length));
		MUST(connect(fd, (struct sockaddr *)&own, sizeof(own)));
		connection = (int)MUST(accept(listener, NULL, NULL));
		CHECK(is_refused || option_of(fd, SOL_TCP, TCP_MAXSEG) == cases[at].segment);
		CHECK(is_refused || send(fd, much, sizeof(much), MSG_DONTWAIT) == cases[at].segment);
		close(connection);
		close(fd);
		close(listener);
	}
}

/* What is of all networks is the first one's to set, or to have. */
TEST(what_other_networks_lack)
{
	enter();
	CHECK_ERRNO(open(NET "ipv6/mld_qrv", O_RDONLY), ENOENT);
	CHECK_ERRNO(open(NET "ipv6/mld_max_msf", O_RDONLY), ENOENT);
	CHECK_ERRNO(open(NET "netfilter/nf_conntrack_max", O_WRONLY), EACCES);
	CHECK_ERRNO(open(NET "ipv4/tcp_allowed_congestion_control", O_WRONLY), EACCES);
}
