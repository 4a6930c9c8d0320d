/* What may be set of interfaces in /proc/sys/net, and what comes of it (ip-sysctl). */
#include "network_setting.h"
#include "route_ways.h"

#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>

static const unsigned char one[] = {2, 0, 0, 0, 0, 9}, another[] = {2, 0, 0, 0, 0, 10}, everybody[] = {255, 255, 255, 255, 255, 255};
static unsigned char own[6];
static int wire;

/* Frames go to v0 and come from there by a socket at the other end. */
static void open_end(void)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = V1};

	wire = (int)MUST(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
	MUST(bind(wire, (void *)&address, sizeof(address)));
}

static void open_wire(void)
{
	struct ifreq asked_for = {.ifr_name = "v0"};
	int fd;

	enter_with_pairs();
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(ioctl(fd, SIOCGIFHWADDR, &asked_for));
	close(fd);
	memcpy(own, asked_for.ifr_hwaddr.sa_data, 6);
	open_end();
}

/* The next frame that comes from v0 and is of this kind; its length, 0 if none comes soon. */
static int next(int ethertype, unsigned char *frame, size_t size, int wait_ms)
{
	struct pollfd poller = {.fd = wire, .events = POLLIN};
	struct sockaddr_ll from;
	socklen_t length;
	ssize_t got;

	while (MUST(poll(&poller, 1, wait_ms)) == 1) {
		length = sizeof(from);
		got = MUST(recvfrom(wire, frame, size, 0, (void *)&from, &length));
		if (from.sll_pkttype != PACKET_OUTGOING && got > 14 && (frame[12] << 8 | frame[13]) == ethertype)
			return (int)got;
	}
	return 0;
}

static void say(int operation, const unsigned char *hardware, const char *source, const char *target)
{
	unsigned char frame[42] = {0}, *arp = frame + 14;

	memcpy(frame, everybody, 6);
	memcpy(frame + 6, hardware, 6);
	memcpy(frame + 12, (unsigned char[]){8, 6, 0, 1, 8, 0, 6, 4, 0, (unsigned char)operation}, 10);
	memcpy(arp + 8, hardware, 6);
	inet_pton(AF_INET, source, arp + 14);
	if (operation == ARPOP_REPLY)
		memcpy(arp + 18, hardware, 6);
	inet_pton(AF_INET, target, arp + 24);
	MUST(send(wire, frame, sizeof(frame), 0));
}

/* Whether somebody says that he has `target`. */
static int is_answered(const char *source, const char *target)
{
	unsigned char frame[128], wanted[4];

	inet_pton(AF_INET, target, wanted);
	say(ARPOP_REQUEST, one, source, target);
	while (next(ETH_P_ARP, frame, sizeof(frame), 100) != 0)
		if (frame[21] == ARPOP_REPLY && memcmp(frame + 28, wanted, 4) == 0)
			return memcmp(frame + 22, own, 6) == 0;
	return 0;
}

/* The last byte of a neighbour's hardware address at v0, -1 if it isn't known. */
static int known(const char *address)
{
	struct ndmsg body = {.ndm_family = AF_INET, .ndm_ifindex = V0};
	struct nlmsghdr *header = (void *)answers;
	struct rtattr *each;
	int rest;

	begin(RTM_GETNEIGH, 0, &body, sizeof(body));
	add_address(NDA_DST, address);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	if (header->nlmsg_type != RTM_NEWNEIGH)
		return -1;
	rest = (int)NLMSG_PAYLOAD(header, sizeof(body));
	for (each = (void *)((char *)NLMSG_DATA(header) + NLMSG_ALIGN(sizeof(body))); RTA_OK(each, rest); each = RTA_NEXT(each, rest))
		if (each->rta_type == NDA_LLADDR)
			return ((unsigned char *)RTA_DATA(each))[5];
	return -1;
}

ROOTS_TEST(arp_is_answered_for_others)
{
	open_wire();
	CHECK_EQ(set("ipv4/neigh/v0/proxy_delay", "0"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.0.1"), 1);
	/* An asker whom answers reach by another interface. */
	CHECK_EQ(is_answered("10.0.1.9", "10.0.0.1"), 1);
	CHECK_EQ(set("ipv4/conf/v0/arp_filter", "1"), 0);
	CHECK_EQ(is_answered("10.0.1.9", "10.0.0.1"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.0.1"), 1);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 0);
	CHECK_EQ(set("ipv4/conf/v0/proxy_arp", "1"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 0);
	CHECK_EQ(set("ipv4/ip_forward", "1"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 1);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.0.77"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.9.9.9"), 0);
	/* Media. */
	CHECK_EQ(set("ipv4/conf/v0/medium_id", "1"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 1);
	CHECK_EQ(set("ipv4/conf/w0/medium_id", "1"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 0);
	CHECK_EQ(set("ipv4/conf/w0/medium_id", "-1"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 0);
	CHECK_EQ(set("ipv4/conf/w0/medium_id", "2"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 1);
	CHECK_EQ(set("ipv4/conf/v0/medium_id", "-1"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 0);
	CHECK_EQ(set("ipv4/conf/v0/medium_id", "0"), 0);
	CHECK_EQ(set("ipv4/conf/v0/proxy_arp", "0"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 0);
	CHECK_EQ(set("ipv4/conf/all/proxy_arp", "1"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.1.77"), 1);
	/* Others of the same net. */
	CHECK_EQ(set("ipv4/conf/v0/proxy_arp_pvlan", "1"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.0.77"), 1);
	CHECK_EQ(is_answered("10.0.0.77", "10.0.0.77"), 0);
}

ROOTS_TEST(who_tells_of_himself)
{
	open_wire();
	say(ARPOP_REQUEST, one, "10.0.0.66", "10.0.0.66");
	CHECK_EQ(known("10.0.0.66"), -1);
	CHECK_EQ(set("ipv4/conf/v0/arp_accept", "2"), 0);
	say(ARPOP_REQUEST, one, "10.7.7.7", "10.7.7.7");
	CHECK_EQ(known("10.7.7.7"), -1);
	say(ARPOP_REQUEST, one, "10.0.0.66", "10.0.0.66");
	CHECK_EQ(known("10.0.0.66"), 9);
	CHECK_EQ(set("ipv4/conf/v0/arp_accept", "1"), 0);
	say(ARPOP_REPLY, one, "10.7.7.7", "10.7.7.7");
	CHECK_EQ(known("10.7.7.7"), 9);
	say(ARPOP_REQUEST, one, "10.0.0.67", "10.0.0.99");
	CHECK_EQ(known("10.0.0.67"), -1);
	/* For a second nobody else is believed, but who tells of himself. */
	say(ARPOP_REQUEST, another, "10.0.0.66", "10.0.0.99");
	CHECK_EQ(known("10.0.0.66"), 9);
	CHECK_EQ(set("ipv4/neigh/v0/locktime", "0"), 0);
	sleep_ms(20);
	say(ARPOP_REQUEST, another, "10.0.0.66", "10.0.0.99");
	CHECK_EQ(known("10.0.0.66"), 10);
	CHECK_EQ(set("ipv4/neigh/v0/locktime", "100"), 0);
	say(ARPOP_REQUEST, one, "10.0.0.66", "10.0.0.66");
	CHECK_EQ(known("10.0.0.66"), 9);
	CHECK_EQ(set("ipv4/conf/v0/drop_gratuitous_arp", "1"), 0);
	say(ARPOP_REQUEST, another, "10.0.0.66", "10.0.0.66");
	CHECK_EQ(known("10.0.0.66"), 9);
}

static uint16_t sum_of(const void *data, size_t length)
{
	const uint16_t *words = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < length / 2; i++)
		sum += words[i];
	sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint16_t)~(sum + (sum >> 16));
}

/* A datagram from 10.0.0.9 to a port of 10.0.0.1, in a frame for `hardware`. */
static void send_datagram(const unsigned char *hardware, int port)
{
	unsigned char frame[14 + 28];
	struct iphdr header = {.version = 4, .ihl = 5, .tot_len = htons(28), .ttl = 64, .protocol = IPPROTO_UDP};
	struct udphdr ports = {.source = htons(1000), .dest = htons((uint16_t)port), .len = htons(8)};

	memcpy(frame, hardware, 6);
	memcpy(frame + 6, one, 6);
	memcpy(frame + 12, "\x08", 2);
	header.saddr = inet_addr("10.0.0.9");
	header.daddr = inet_addr("10.0.0.1");
	header.check = sum_of(&header, sizeof(header));
	memcpy(frame + 14, &header, sizeof(header));
	memcpy(frame + 34, &ports, sizeof(ports));
	MUST(send(wire, frame, sizeof(frame), 0));
}

ROOTS_TEST(datagrams_in_frames_for_all)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(777)};
	char byte;
	int fd;

	open_wire();
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	MUST(bind(fd, (void *)&address, sizeof(address)));
	send_datagram(everybody, 777);
	CHECK_EQ(recv(fd, &byte, 1, 0), 0);
	CHECK_EQ(set("ipv4/conf/v0/drop_unicast_in_l2_multicast", "1"), 0);
	send_datagram(everybody, 777);
	CHECK_ERRNO(recv(fd, &byte, 1, 0), EAGAIN);
	send_datagram(own, 777);
	CHECK_EQ(recv(fd, &byte, 1, 0), 0);
}

/* Where v0 and what is sent to are, and where v1 is, as 10.0.0.9. */
static int near, far;

static void part(void)
{
	struct ifinfomsg body = {.ifi_index = V1};

	enter_with_pairs();
	near = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	MUST(unshare(CLONE_NEWNET));
	far = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	begin(RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	add_number(IFLA_NET_NS_FD, (unsigned)far);
	CHECK_STRING(asked(), "0");
	open_asker(0);
	set_link(RTM_NEWLINK, V1, IFF_UP);
	give_address(RTM_NEWADDR, V1, "10.0.0.9", 24);
	give_address(RTM_NEWADDR, V1, "2001:db8::9", 64);
}

/* How many of ten datagrams from there to nobody are answered, after one of the kernel's settings was changed. */
static int refusals(int family, const char *name, const char *value)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(778), .sin_addr.s_addr = inet_addr("10.0.0.1")};
	struct sockaddr_in6 to_6 = {.sin6_family = AF_INET6, .sin6_port = htons(778)};
	int count = 0;

	inet_pton(AF_INET6, "2001:db8::1", &to_6.sin6_addr);
	MUST(setns(near, CLONE_NEWNET));
	if (name != NULL)
		CHECK_EQ(set(name, value), 0);
	MUST(setns(far, CLONE_NEWNET));
	for (int i = 0; i < 10; i++) {
		int fd = (int)MUST(socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0));
		char byte;

		MUST(connect(fd, family == AF_INET ? (void *)&to : (void *)&to_6, family == AF_INET ? sizeof(to) : sizeof(to_6)));
		MUST(send(fd, "", 1, 0));
		for (int wait = 0; wait < 5 && !(recv(fd, &byte, 1, 0) == -1 && errno == ECONNREFUSED); wait++)
			if (wait == 4)
				count--;
			else
				sleep_ms(1);
		count++;
		close(fd);
	}
	return count;
}

ROOTS_TEST(messages_are_limited)
{
	part();
	CHECK_EQ(refusals(AF_INET, NULL, NULL), 6);
	CHECK_EQ(refusals(AF_INET, NULL, NULL), 0);
	CHECK_EQ(refusals(AF_INET, "ipv4/icmp_ratemask", "6160"), 10);
	CHECK_EQ(refusals(AF_INET, "ipv4/icmp_ratemask", "6168"), 0);
	CHECK_EQ(refusals(AF_INET, "ipv4/icmp_ratelimit", "0"), 10);
	/* Who is reached by a wider prefix gets a multiple. */
	CHECK_EQ(refusals(AF_INET6, "ipv6/icmp/ratelimit", "4000"), 6);
	CHECK_EQ(refusals(AF_INET6, "ipv6/icmp/ratemask", "0,3"), 10);
	CHECK_STRING(shown("ipv6/icmp/ratemask"), "0-1,3-127");
	CHECK_EQ(set("ipv6/icmp/ratemask", "1,3-5"), 0);
	CHECK_STRING(shown("ipv6/icmp/ratemask"), "1,3-5");
	CHECK_ERRNO(set("ipv6/icmp/ratemask", "256"), EINVAL);
	CHECK_EQ(set("ipv6/icmp/ratelimit", "7"), 0);
	CHECK_STRING(shown("ipv6/icmp/ratelimit"), "8");
	CHECK_ERRNO(set("ipv4/icmp_msgs_burst", "-1"), EINVAL);
}

static int reaches(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr(address)};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	int result = connect(fd, (void *)&to, sizeof(to));

	close(fd);
	return result;
}

/* Up to two seconds, as others hear of a lost wire later. */
static int becomes_known(const char *address, int wanted)
{
	for (int i = 0; i < 40 && known(address) != wanted; i++)
		sleep_ms(50);
	return known(address);
}

static int becomes_unreachable(const char *address)
{
	for (int i = 0; i < 40 && reaches(address) == 0; i++)
		sleep_ms(50);
	return reaches(address);
}

ROOTS_TEST(a_lost_wire)
{
	open_wire();
	CHECK_EQ(set("ipv4/conf/w0/ignore_routes_with_linkdown", "1"), 0);
	CHECK_EQ(reaches("10.0.1.7"), 0);
	CHECK_EQ(is_answered("10.0.0.9", "10.0.0.1"), 1);
	CHECK_EQ(known("10.0.0.9"), 9);
	set_link(RTM_NEWLINK, V1, 0);
	set_link(RTM_NEWLINK, W1, 0);
	CHECK_EQ(becomes_known("10.0.0.9", -1), -1);
	CHECK_EQ(reaches("10.0.0.7"), 0);
	CHECK_ERRNO(becomes_unreachable("10.0.1.7"), ENETUNREACH);
	CHECK_EQ(reaches("10.0.1.1"), 0);
	set_link(RTM_NEWLINK, V1, IFF_UP);
	set_link(RTM_NEWLINK, W1, IFF_UP);
	CHECK_EQ(set("ipv4/conf/v0/arp_evict_nocarrier", "0"), 0);
	sleep_ms(1100);
	close(wire);
	open_end();
	CHECK_EQ(is_answered("10.0.0.9", "10.0.0.1"), 1);
	CHECK_EQ(reaches("10.0.1.7"), 0);
	set_link(RTM_NEWLINK, V1, 0);
	set_link(RTM_NEWLINK, W1, 0);
	CHECK_ERRNO(becomes_unreachable("10.0.1.7"), ENETUNREACH);
	CHECK_EQ(known("10.0.0.9"), 9);
}

/* Whether v0 has this address of IPv6. */
static int has(const char *address)
{
	return of_address(AF_INET6, address, IFA_ADDRESS)[0] != '\0';
}

static const char *source_to(const char *address)
{
	static char text[64];
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	socklen_t length = sizeof(to);
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	inet_pton(AF_INET6, address, &to.sin6_addr);
	MUST(connect(fd, (void *)&to, sizeof(to)));
	MUST(getsockname(fd, (void *)&to, &length));
	close(fd);
	return inet_ntop(AF_INET6, &to.sin6_addr, text, sizeof(text));
}

ROOTS_TEST(addresses_of_ipv6)
{
	open_wire();
	CHECK_EQ(set("ipv6/conf/v0/keep_addr_on_down", "1"), 0);
	set_link(RTM_NEWLINK, V0, 0);
	set_link(RTM_NEWLINK, W0, 0);
	CHECK_EQ(has("2001:db8::1"), 1);
	CHECK_EQ(has("2001:db8:1::1"), 0);
	set_link(RTM_NEWLINK, V0, IFF_UP);
	set_link(RTM_NEWLINK, W0, IFF_UP);
	CHECK_STRING(source_to("2001:db8::7"), "2001:db8::1");
	/* By w0, which has no address of its own but that of its link. */
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "2001:db8:5::", 64, RTN_UNICAST, 0);
	add_number(RTA_OIF, W0);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(source_to("2001:db8:5::7"), "2001:db8::1");
	CHECK_EQ(set("ipv6/conf/w0/use_oif_addrs_only", "1"), 0);
	give_address(RTM_NEWADDR, W0, "fe80::77", 64);
	CHECK_STRING(source_to("2001:db8:5::7"), "fe80::77");
	/* None by itself. */
	CHECK_EQ(set("ipv6/conf/default/addr_gen_mode", "1"), 0);
	make_pair("x0", "x1");
	set_link(RTM_NEWLINK, (int)if_nametoindex("x1"), IFF_UP);
	set_link(RTM_NEWLINK, (int)if_nametoindex("x0"), IFF_UP);
	CHECK_STRING(shown("ipv6/conf/x0/addr_gen_mode"), "1");
	CHECK_STRING(shown("ipv6/conf/v0/addr_gen_mode"), "0");
	CHECK_ERRNO(set("ipv6/conf/x0/addr_gen_mode", "2"), EINVAL);
	CHECK_ERRNO(set("ipv6/conf/x0/addr_gen_mode", "4"), EINVAL);
}

ROOTS_TEST(bounds_of_ipv6)
{
	open_wire();
	CHECK_STRING(shown("ipv6/conf/v0/mtu"), "1500");
	CHECK_STRING(shown("ipv6/conf/default/mtu"), "1280");
	CHECK_ERRNO(set("ipv6/conf/v0/mtu", "1279"), EINVAL);
	CHECK_ERRNO(set("ipv6/conf/v0/mtu", "1501"), EINVAL);
	CHECK_EQ(set("ipv6/conf/v0/mtu", "1400"), 0);
	{
		struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
		int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), mtu = 0;
		socklen_t length = sizeof(mtu);

		inet_pton(AF_INET6, "2001:db8::7", &to.sin6_addr);
		MUST(connect(fd, (void *)&to, sizeof(to)));
		MUST(getsockopt(fd, SOL_IPV6, 24, &mtu, &length));
		CHECK_EQ(mtu, 1400);
		close(fd);
	}
	CHECK_STRING(shown("ipv6/conf/all/accept_dad"), "0");
	CHECK_STRING(shown("ipv6/conf/v0/accept_dad"), "1");
	/* It's there where the kernel forwards what is for groups. */
	CHECK(set("ipv6/conf/all/mc_forwarding", "1") == -1 && (errno == EACCES || errno == ENOENT));
	CHECK_EQ(set("ipv6/conf/all/force_forwarding", "1"), 0);
	CHECK_STRING(shown("ipv6/conf/v0/force_forwarding"), "1");
	CHECK_STRING(shown("ipv6/conf/default/force_forwarding"), "0");
	CHECK_EQ(set("ipv6/conf/all/ignore_routes_with_linkdown", "1"), 0);
	CHECK_STRING(shown("ipv6/conf/v0/ignore_routes_with_linkdown"), "1");
	CHECK_STRING(shown("ipv6/conf/default/ignore_routes_with_linkdown"), "1");
	CHECK_EQ(set("ipv6/conf/all/addr_gen_mode", "1"), 0);
	CHECK_STRING(shown("ipv6/conf/v0/addr_gen_mode"), "1");
	CHECK_STRING(shown("ipv6/conf/default/addr_gen_mode"), "1");
	CHECK_EQ(set("ipv6/conf/all/keep_addr_on_down", "1"), 0);
	CHECK_STRING(shown("ipv6/conf/v0/keep_addr_on_down"), "0");
	CHECK_EQ(set("ipv4/conf/all/ignore_routes_with_linkdown", "1"), 0);
	CHECK_STRING(shown("ipv4/conf/v0/ignore_routes_with_linkdown"), "0");
	CHECK_EQ(set("ipv4/neigh/v0/unres_qlen", "3"), 0);
	CHECK_STRING(shown("ipv4/neigh/v0/unres_qlen_bytes"), "6270");
	CHECK_EQ(set("ipv4/neigh/v0/unres_qlen_bytes", "6269"), 0);
	CHECK_STRING(shown("ipv4/neigh/v0/unres_qlen"), "2");
	CHECK_EQ(set("ipv6/neigh/v0/locktime", "5"), 0);
	CHECK_STRING(shown("ipv6/neigh/v0/locktime"), "4");
	CHECK_ERRNO(set("ipv4/neigh/v0/locktime_ms", "4"), ENOENT);
}

ROOTS_TEST(programs_are_asked_for_neighbours)
{
	struct sockaddr_nl groups = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_NEIGH};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr("10.0.0.44")};
	unsigned char frame[128];
	struct nlmsghdr *header = (void *)answers;
	int fd, listener;

	open_wire();
	listener = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	MUST(bind(listener, (void *)&groups, sizeof(groups)));
	CHECK_EQ(set("ipv4/neigh/v0/app_solicit", "1"), 0);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(sendto(fd, "", 1, 0, (void *)&to, sizeof(to)));
	MUST(recv(listener, answers, sizeof(answers), 0));
	CHECK_EQ(header->nlmsg_type, RTM_GETNEIGH);
	CHECK_EQ(next(ETH_P_ARP, frame, sizeof(frame), 200), 0);
	/* Then everybody is. */
	CHECK_EQ(next(ETH_P_ARP, frame, sizeof(frame), 2000), 42);
}

/* Makes a neighbour at v0 known that wasn't: "17" if it was. */
static const char *make_known(const char *address)
{
	struct ndmsg body = {
		.ndm_family = strchr(address, ':') ? AF_INET6 : AF_INET, .ndm_ifindex = V0, .ndm_state = NUD_REACHABLE};

	begin(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	add_address(NDA_DST, address);
	add(NDA_LLADDR, one, sizeof(one));
	return asked();
}

ROOTS_TEST(neighbours_of_ipv6_behind_a_lost_wire)
{
	open_wire();
	CHECK_EQ(set("ipv6/conf/all/ndisc_evict_nocarrier", "0"), 0);
	CHECK_STRING(make_known("10.0.0.77"), "0");
	CHECK_STRING(make_known("2001:db8::77"), "0");
	set_link(RTM_NEWLINK, V1, 0);
	CHECK_EQ(becomes_known("10.0.0.77", -1), -1);
	sleep_ms(50);
	/* It's for both to say, the interface and all. */
	CHECK_STRING(make_known("2001:db8::77"), "17");
	set_link(RTM_NEWLINK, V1, IFF_UP);
	sleep_ms(1100);
	CHECK_EQ(set("ipv6/conf/all/ndisc_evict_nocarrier", "1"), 0);
	CHECK_STRING(make_known("10.0.0.77"), "0");
	set_link(RTM_NEWLINK, V1, 0);
	CHECK_EQ(becomes_known("10.0.0.77", -1), -1);
	sleep_ms(50);
	CHECK_STRING(make_known("2001:db8::77"), "0");
}

static void make_tun(const char *name)
{
	struct ifreq wanted = {.ifr_flags = IFF_TUN | IFF_NO_PI};

	strcpy(wanted.ifr_name, name);
	MUST(ioctl((int)MUST(open("/dev/net/tun", O_RDWR)), TUNSETIFF, &wanted));
}

ROOTS_TEST(what_is_of_a_kind)
{
	/* What is set for new interfaces is theirs too that are there and have no address, but for some. */
	static const struct {
		const char *name, *old;
	} taken[] = {{"arp_notify", "2"},      {"tag", "2"},
		     {"disable_policy", "0"},  {"disable_xfrm", "0"},
		     {"route_localnet", "0"},  {"drop_unicast_in_l2_multicast", "0"},
		     {"forwarding", "0"},      {"promote_secondaries", "0"}};
	char path[64];

	enter();
	make_tun("t0");
	CHECK_STRING(shown("ipv4/conf/lo/disable_policy"), "1");
	CHECK_STRING(shown("ipv4/conf/lo/disable_xfrm"), "1");
	CHECK_STRING(shown("ipv6/conf/lo/accept_dad"), "-1");
	CHECK_STRING(shown("ipv6/conf/t0/accept_dad"), "-1");
	CHECK_STRING(shown("ipv6/conf/default/accept_dad"), "1");
	CHECK_EQ(set("ipv6/conf/default/accept_dad", "2"), 0);
	for (size_t at = 0; at < LENGTH(taken); at++) {
		snprintf(path, sizeof(path), "ipv4/conf/default/%s", taken[at].name);
		CHECK_EQ(set(path, "2"), 0);
		CHECK_STRING(shown(path), "2");
		snprintf(path, sizeof(path), "ipv4/conf/t0/%s", taken[at].name);
		CHECK_STRING(shown(path), taken[at].old);
	}
	CHECK_STRING(shown("ipv4/conf/lo/disable_policy"), "1");
	make_tun("t1");
	CHECK_STRING(shown("ipv6/conf/t1/accept_dad"), "-1");
	CHECK_STRING(shown("ipv4/conf/t1/disable_policy"), "2");
	CHECK_EQ(set("ipv6/conf/t1/accept_dad", "0"), 0);
	CHECK_STRING(shown("ipv6/conf/t1/accept_dad"), "0");
}

/* A router takes no word for a better way. */
ROOTS_TEST(redirects_and_forwarding)
{
	enter();
	CHECK_STRING(shown("ipv4/conf/all/accept_redirects"), "1");
	CHECK_STRING(shown("ipv4/conf/lo/send_redirects"), "1");
	CHECK_STRING(shown("ipv4/conf/lo/secure_redirects"), "1");
	CHECK_STRING(shown("ipv4/conf/default/shared_media"), "1");
	CHECK_STRING(shown("ipv6/conf/lo/accept_redirects"), "1");
	CHECK_EQ(set("ipv4/ip_forward", "1"), 0);
	CHECK_STRING(shown("ipv4/conf/all/accept_redirects"), "0");
	CHECK_STRING(shown("ipv4/conf/lo/accept_redirects"), "1");
	CHECK_EQ(set("ipv4/conf/all/accept_redirects", "1"), 0);
	CHECK_EQ(set("ipv4/ip_forward", "1"), 0);
	CHECK_STRING(shown("ipv4/conf/all/accept_redirects"), "1");
	CHECK_EQ(set("ipv4/conf/all/forwarding", "0"), 0);
	CHECK_STRING(shown("ipv4/conf/all/accept_redirects"), "1");
	CHECK_EQ(set("ipv4/conf/lo/send_redirects", "-7"), 0);
	CHECK_STRING(shown("ipv4/conf/lo/send_redirects"), "-7");
	CHECK_EQ(set("ipv6/conf/all/accept_redirects", "0"), 0);
	CHECK_STRING(shown("ipv6/conf/lo/accept_redirects"), "1");
	CHECK_ERRNO(set("ipv4/conf/lo/shared_media", "2147483648"), EINVAL);
}
