/* What routers are told of groups, by IGMP and MLD, and what they ask (RFC 2236, 2710, 3376 and 3810). */
#include "route_request.h"

#include <linux/if_packet.h>
#include <linux/veth.h>
#include <net/ethernet.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#define IGMP 2
#define LONG_MS 220
#define SHORT_MS 160

static int watcher, interface_index;
static char told[4096];

static void set(const char *path, const char *value)
{
	char whole[128];
	int fd;

	snprintf(whole, sizeof(whole), "/proc/sys/net/%s", path);
	fd = (int)MUST(open(whole, O_WRONLY));
	MUST(write(fd, value, strlen(value)));
	close(fd);
}

static const char *read_all(const char *path)
{
	static char text[4096];
	int fd = (int)MUST(open(path, O_RDONLY));
	ssize_t length = MUST(read(fd, text, sizeof(text) - 1));

	text[length] = '\0';
	close(fd);
	return text;
}

static void set_up(const char *name)
{
	struct ifreq setting = {.ifr_flags = IFF_UP};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	strcpy(setting.ifr_name, name);
	MUST(ioctl(fd, SIOCSIFFLAGS, &setting));
	close(fd);
}

/* A veth v0 with the other end v1, both down, in a network of the test's own; v0 has 10.0.0.1 and v1 may speak IPv6. */
static void make_wire(void)
{
	struct ifinfomsg link = {0};
	struct ifaddrmsg own = {.ifa_family = AF_INET, .ifa_prefixlen = 24};
	struct rtattr *information, *data, *other;

	enter();
	open_asker(0);
	begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &link, sizeof(link));
	add(IFLA_IFNAME, "v0", 3);
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, "veth", 4);
	data = add(IFLA_INFO_DATA, NULL, 0);
	other = add(VETH_INFO_PEER, &link, sizeof(link));
	add(IFLA_IFNAME, "v1", 3);
	other->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)other);
	data->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)data);
	information->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)information);
	CHECK_STRING(asked(), "0");
	interface_index = (int)if_nametoindex("v0");
	own.ifa_index = (unsigned)interface_index;
	begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &own, sizeof(own));
	add_address(IFA_LOCAL, "10.0.0.1");
	CHECK_STRING(asked(), "0");
	set("ipv6/conf/v1/disable_ipv6", "1");
}

static void watch(int protocol)
{
	struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons((unsigned short)protocol)};

	where.sll_ifindex = (int)if_nametoindex("v1");
	watcher = (int)MUST(socket(AF_PACKET, SOCK_RAW, 0));
	MUST(bind(watcher, (struct sockaddr *)&where, sizeof(where)));
}

static void wire_with(int protocol)
{
	make_wire();
	if (protocol == ETH_P_IP)
		set("ipv6/conf/v0/disable_ipv6", "1");
	else
		set("ipv6/conf/v0/accept_dad", "0");
	set("ipv4/conf/v0/igmpv3_unsolicited_report_interval", "60");
	set("ipv6/conf/v0/mldv2_unsolicited_report_interval", "60");
	set_up("v0");
	set_up("v1");
	watch(protocol);
}

static long now_ms(void)
{
	struct timespec now;

	MUST(clock_gettime(CLOCK_MONOTONIC, &now));
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static char *put_hex(char *end, const unsigned char *bytes, int length)
{
	for (int at = 0; at < length; at++)
		end += sprintf(end, "%02x", bytes[at]);
	return end;
}

/* What comes of IGMP within so many milliseconds: to whom, and all but the checksum, in hexadecimal. */
static const char *messages_within(int duration_ms)
{
	long end_ms = now_ms() + duration_ms;
	char *end = told;

	told[0] = '\0';
	for (;;) {
		struct pollfd heard = {.fd = watcher, .events = POLLIN};
		struct sockaddr_ll from;
		socklen_t size = sizeof(from);
		unsigned char frame[2048], *message;
		long left_ms = end_ms - now_ms();
		int length, is_6;

		if (left_ms <= 0 || poll(&heard, 1, (int)left_ms) == 0)
			return told;
		length = (int)MUST(recvfrom(watcher, frame, sizeof(frame), 0, (void *)&from, &size));
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		is_6 = frame[14] >> 4 == 6;
		if (is_6 && (frame[20] != 0 || frame[54] != 58))
			continue;
		if (!is_6 && frame[23] != IGMP)
			continue;
		if (is_6) {
			if (frame[21] != 1 || memcmp(frame + 54, "\x3a\0\5\2\0\0\1\0", 8) != 0 || memcmp(frame + 22, "\xfe\x80", 2) != 0)
				return "no hop more, no alert of a router's, or not of the link";
			end = put_hex(put_hex(end, frame + 38, 2), frame + 53, 1);
			message = frame + 62;
		} else {
			if (memcmp(frame + 14, "\x46\xc0", 2) != 0 || memcmp(frame + 18, "\0\0\x40\0\1\2", 6) != 0 ||
			    memcmp(frame + 26, "\x0a\0\0\1", 4) != 0 || memcmp(frame + 34, "\x94\4\0\0", 4) != 0)
				return "another service, a number, hops, no alert of a router's or another sender";
			end = put_hex(end, frame + 30, 4);
			message = frame + 38;
		}
		*end++ = ':';
		end = put_hex(end, message, 2);
		end = put_hex(end, message + 4, (int)(frame + length - message) - 4);
		strcpy(end, " ");
		end++;
	}
}

static int change(int option, const char *group, const char *source)
{
	static int fd = -1;
	struct ip_mreq wanted;
	struct ip_mreq_source with_source;

	if (fd == -1)
		fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	inet_aton(group, &wanted.imr_multiaddr);
	inet_aton("10.0.0.1", &wanted.imr_interface);
	if (source == NULL)
		return setsockopt(fd, SOL_IP, option, &wanted, sizeof(wanted));
	with_source.imr_multiaddr = wanted.imr_multiaddr;
	with_source.imr_interface = wanted.imr_interface;
	inet_aton(source, &with_source.imr_sourceaddr);
	return setsockopt(fd, SOL_IP, option, &with_source, sizeof(with_source));
}

ROOTS_TEST(who_joins_and_leaves_tells_it_twice)
{
	wire_with(ETH_P_IP);
	CHECK_STRING(messages_within(SHORT_MS), "");
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_STRING(messages_within(LONG_MS),
		     "e0000016:22000000000104000000ef010203 e0000016:22000000000104000000ef010203 ");
	CHECK_OK(change(IP_DROP_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_STRING(messages_within(LONG_MS),
		     "e0000016:22000000000103000000ef010203 e0000016:22000000000103000000ef010203 ");
	/* Two at once go in one message, the newest first. */
	set("ipv4/igmp_qrv", "1");
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "239.1.2.4", NULL));
	(void)messages_within(LONG_MS);
	CHECK_OK(change(IP_DROP_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_OK(change(IP_DROP_MEMBERSHIP, "239.1.2.4", NULL));
	CHECK(strstr(messages_within(LONG_MS), "e0000016:22000000000203000000ef01020403000000ef010203 ") != NULL);
}

ROOTS_TEST(sources_are_told)
{
	wire_with(ETH_P_IP);
	CHECK_OK(change(IP_ADD_SOURCE_MEMBERSHIP, "232.1.2.3", "1.2.3.4"));
	CHECK_STRING(messages_within(LONG_MS),
		     "e0000016:22000000000105000001e801020301020304 e0000016:22000000000105000001e801020301020304 ");
	CHECK_STRING(strchr(read_all("/proc/self/net/mcfilter"), '\n') + 5,
		     "    v0 0xe8010203 0x01020304      1      0\n");
	CHECK_OK(change(IP_ADD_SOURCE_MEMBERSHIP, "232.1.2.3", "1.2.3.5"));
	CHECK_STRING(messages_within(LONG_MS),
		     "e0000016:22000000000105000001e801020301020305 e0000016:22000000000105000001e801020301020305 ");
	CHECK_OK(change(IP_DROP_SOURCE_MEMBERSHIP, "232.1.2.3", "1.2.3.4"));
	CHECK_STRING(messages_within(LONG_MS),
		     "e0000016:22000000000106000001e801020301020304 e0000016:22000000000106000001e801020301020304 ");
	CHECK_OK(change(IP_DROP_MEMBERSHIP, "232.1.2.3", NULL));
	CHECK_STRING(messages_within(LONG_MS),
		     "e0000016:22000000000106000001e801020301020305 e0000016:22000000000106000001e801020301020305 ");
	/* One that isn't to be heard. */
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "239.1.2.3", NULL));
	(void)messages_within(LONG_MS);
	CHECK_OK(change(IP_BLOCK_SOURCE, "239.1.2.3", "1.2.3.4"));
	CHECK_STRING(messages_within(LONG_MS),
		     "e0000016:22000000000106000001ef01020301020304 e0000016:22000000000106000001ef01020301020304 ");
	CHECK_OK(change(IP_UNBLOCK_SOURCE, "239.1.2.3", "1.2.3.4"));
	CHECK_STRING(messages_within(LONG_MS),
		     "e0000016:22000000000105000001ef01020301020304 e0000016:22000000000105000001ef01020301020304 ");
}

ROOTS_TEST(older_versions_have_a_message_for_each_group)
{
	wire_with(ETH_P_IP);
	set("ipv4/conf/v0/force_igmp_version", "2");
	CHECK(strstr(read_all("/proc/self/net/igmp"), "v0        :     1      V2\n") != NULL);
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_STRING(messages_within(60), "ef010203:1600ef010203 ");
	CHECK(strstr(read_all("/proc/self/net/igmp"), "\t030201EF     1 1:0000") != NULL);
	CHECK_OK(change(IP_DROP_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_STRING(messages_within(60), "e0000002:1700ef010203 ");
	set("ipv4/conf/v0/force_igmp_version", "1");
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_STRING(messages_within(60), "ef010203:1200ef010203 ");
	CHECK_OK(change(IP_DROP_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_STRING(messages_within(60), "");
	/* The unasked second message comes within the interval. */
	set("ipv4/conf/v0/force_igmp_version", "2");
	set("ipv4/conf/v0/igmpv2_unsolicited_report_interval", "40");
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_STRING(messages_within(SHORT_MS), "ef010203:1600ef010203 ef010203:1600ef010203 ");
	CHECK(strstr(read_all("/proc/self/net/igmp"), "\t030201EF     1 0:00000000\t\t1\n") != NULL);
}

ROOTS_TEST(of_near_groups_is_told_unless_forbidden)
{
	wire_with(ETH_P_IP);
	set("ipv4/igmp_qrv", "1");
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "224.0.0.9", NULL));
	CHECK(strstr(messages_within(SHORT_MS), "e0000016:22000000000104000000e0000009 ") == told);
	CHECK_OK(change(IP_DROP_MEMBERSHIP, "224.0.0.9", NULL));
	(void)messages_within(LONG_MS);
	set("ipv4/igmp_link_local_mcast_reports", "0");
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "224.0.0.9", NULL));
	CHECK_STRING(messages_within(SHORT_MS), "");
	set("ipv4/igmp_link_local_mcast_reports", "1");
}

static unsigned short sum_of(const unsigned char *data, size_t length)
{
	unsigned sum = 0;

	for (size_t at = 0; at + 1 < length; at += 2)
		sum += (unsigned)(data[at] << 8 | data[at + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned short)~sum;
}

/* A message of a router's, 10.0.0.2, at the other end. */
static void ask(const char *group, unsigned char kind, unsigned char code, const void *more, size_t size)
{
	unsigned char frame[128] = {1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0};
	unsigned char *header = frame + 14, *message = header + 24;
	struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_halen = 6};
	struct in_addr address;
	unsigned short sum;

	inet_aton(group, &address);
	where.sll_ifindex = (int)if_nametoindex("v1");
	memcpy(header, "\x46\xc0\0\0\0\0\x40\0\1\2\0\0\x0a\0\0\2\xe0\0\0\1\x94\4\0\0", 24);
	if (kind != 0x11)
		memcpy(header + 16, &address, 4);
	header[3] = (unsigned char)(24 + 8 + size);
	sum = sum_of(header, 24);
	header[10] = (unsigned char)(sum >> 8);
	header[11] = (unsigned char)sum;
	message[0] = kind;
	message[1] = code;
	memcpy(message + 4, &address, 4);
	memcpy(message + 8, more, size);
	sum = sum_of(message, 8 + size);
	message[2] = (unsigned char)(sum >> 8);
	message[3] = (unsigned char)sum;
	MUST(sendto(watcher, frame, 14 + 24 + 8 + size, 0, (struct sockaddr *)&where, sizeof(where)));
}

ROOTS_TEST(routers_are_answered)
{
	wire_with(ETH_P_IP);
	CHECK_OK(change(IP_ADD_MEMBERSHIP, "239.1.2.3", NULL));
	CHECK_OK(change(IP_ADD_SOURCE_MEMBERSHIP, "232.1.2.3", "1.2.3.4"));
	(void)messages_within(LONG_MS);
	ask("0.0.0.0", 0x11, 1, "\2\0\0\0", 4);
	CHECK_STRING(messages_within(SHORT_MS), "e0000016:22000000000201000001e80102030102030402000000ef010203 ");
	ask("239.1.2.3", 0x11, 1, "\2\0\0\0", 4);
	CHECK_STRING(messages_within(SHORT_MS), "e0000016:22000000000102000000ef010203 ");
	ask("232.1.2.3", 0x11, 1, "\2\0\0\2\1\2\3\5\1\2\3\4", 12);
	CHECK_STRING(messages_within(SHORT_MS), "e0000016:22000000000101000001e801020301020304 ");
	ask("232.1.2.3", 0x11, 1, "\2\0\0\1\1\2\3\5", 8);
	CHECK_STRING(messages_within(SHORT_MS), "");
	/* More sources than there are in the message, sources of all groups, and no length of any version. */
	ask("232.1.2.3", 0x11, 1, "\2\0\0\3\1\2\3\5\1\2\3\4", 12);
	ask("0.0.0.0", 0x11, 1, "\2\0\0\1\1\2\3\4", 8);
	ask("0.0.0.0", 0x11, 1, "\2\0", 2);
	CHECK_STRING(messages_within(SHORT_MS), "");
	/* An older router is spoken to as it speaks. */
	ask("239.1.2.3", 0x11, 1, "", 0);
	CHECK_STRING(messages_within(SHORT_MS), "ef010203:1600ef010203 ");
	CHECK(strstr(read_all("/proc/self/net/igmp"), "v0        :     3      V2\n") != NULL);
	ask("0.0.0.0", 0x11, 2, "", 0);
	/* Who hears another tell it, doesn't. */
	ask("239.1.2.3", 0x16, 0, "", 0);
	CHECK_STRING(messages_within(LONG_MS), "e8010203:1600e8010203 ");
}

ROOTS_TEST(listeners_of_ipv6_tell_it)
{
	struct ipv6_mreq wanted;
	int fd;

	wire_with(ETH_P_IPV6);
	/* The group by which the interface's own address is looked for. */
	(void)messages_within(LONG_MS);
	CHECK(strncmp(told, "ff0216:8f00000000010400", 23) == 0);
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	inet_pton(AF_INET6, "ff05::7", &wanted.ipv6mr_multiaddr);
	wanted.ipv6mr_interface = (unsigned)interface_index;
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_ADD_MEMBERSHIP, &wanted, sizeof(wanted)));
	CHECK_STRING(messages_within(LONG_MS), "ff0216:8f000000000104000000ff050000000000000000000000000007 "
					       "ff0216:8f000000000104000000ff050000000000000000000000000007 ");
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_DROP_MEMBERSHIP, &wanted, sizeof(wanted)));
	CHECK_STRING(messages_within(LONG_MS), "ff0216:8f000000000103000000ff050000000000000000000000000007 "
					       "ff0216:8f000000000103000000ff050000000000000000000000000007 ");
	set("ipv6/conf/v0/force_mld_version", "1");
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_ADD_MEMBERSHIP, &wanted, sizeof(wanted)));
	CHECK_STRING(messages_within(20), "ff0507:830000000000ff050000000000000000000000000007 ");
	CHECK(strstr(read_all("/proc/self/net/igmp6"), "ff050000000000000000000000000007     1 00000007 ") != NULL);
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_DROP_MEMBERSHIP, &wanted, sizeof(wanted)));
	CHECK_STRING(messages_within(20), "ff0202:840000000000ff050000000000000000000000000007 ");
	set("ipv6/conf/v0/mldv1_unsolicited_report_interval", "41");
	CHECK_STRING(read_all("/proc/sys/net/ipv6/conf/v0/mldv1_unsolicited_report_interval"), "44\n");
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_ADD_MEMBERSHIP, &wanted, sizeof(wanted)));
	CHECK_STRING(messages_within(SHORT_MS), "ff0507:830000000000ff050000000000000000000000000007 "
						"ff0507:830000000000ff050000000000000000000000000007 ");
	CHECK(strstr(read_all("/proc/self/net/igmp6"), "ff050000000000000000000000000007     1 00000006 0\n") != NULL);
	/* Nobody is told of a group of the machine's own. */
	inet_pton(AF_INET6, "ff01::7", &wanted.ipv6mr_multiaddr);
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_ADD_MEMBERSHIP, &wanted, sizeof(wanted)));
	CHECK_STRING(messages_within(SHORT_MS), "");
}

/* A message of MLD of a router's, fe80::2, at the other end, that goes so far. */
static void ask_6(const char *group, unsigned hops, unsigned wait_ms, const void *more, size_t size)
{
	unsigned char frame[128] = {0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60}, sum_over[128] = {0};
	unsigned char *header = frame + 14, *message = header + 48;
	struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_halen = 6};
	unsigned short sum;

	where.sll_ifindex = (int)if_nametoindex("v1");
	header[5] = (unsigned char)(8 + 24 + size);
	header[7] = (unsigned char)hops;
	inet_pton(AF_INET6, "fe80::2", header + 8);
	inet_pton(AF_INET6, "ff02::1", header + 24);
	memcpy(header + 40, "\x3a\0\5\2\0\0\1\0", 8);
	message[0] = 130;
	message[4] = (unsigned char)(wait_ms >> 8);
	message[5] = (unsigned char)wait_ms;
	inet_pton(AF_INET6, group, message + 8);
	memcpy(message + 24, more, size);
	memcpy(sum_over, header + 8, 32);
	sum_over[35] = (unsigned char)(24 + size);
	sum_over[39] = 58;
	memcpy(sum_over + 40, message, 24 + size);
	sum = sum_of(sum_over, 64 + size);
	message[2] = (unsigned char)(sum >> 8);
	message[3] = (unsigned char)sum;
	MUST(sendto(watcher, frame, 14 + 48 + 24 + size, 0, (struct sockaddr *)&where, sizeof(where)));
}

ROOTS_TEST(routers_of_ipv6_are_answered)
{
	static const char once[] = "ff0216:8f000000000102000000ff050000000000000000000000000007 ";
	struct ipv6_mreq wanted;
	int fd;

	wire_with(ETH_P_IPV6);
	(void)messages_within(LONG_MS);
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	inet_pton(AF_INET6, "ff05::7", &wanted.ipv6mr_multiaddr);
	wanted.ipv6mr_interface = (unsigned)interface_index;
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_ADD_MEMBERSHIP, &wanted, sizeof(wanted)));
	(void)messages_within(LONG_MS);
	ask_6("::", 1, 40, "\2\x7d\0\0", 4);
	(void)messages_within(SHORT_MS);
	told[67] = 0;
	CHECK_STRING(told, "ff0216:8f000000000202000000ff05000000000000000000000000000702000000");
	ask_6("ff05::7", 1, 40, "\2\x7d\0\0", 4);
	CHECK_STRING(messages_within(SHORT_MS), once);
	/* From farther away, of all groups and sources of theirs, cut short, of no group. */
	ask_6("ff05::7", 2, 40, "\2\x7d\0\0", 4);
	ask_6("::", 1, 40, "\2\x7d\0\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 20);
	ask_6("ff05::7", 1, 40, "\2\0", 2);
	ask_6("ff05::7", 1, 40, "\2\x7d\0\1", 4);
	ask_6("fe80::7", 1, 40, "\2\x7d\0\0", 4);
	CHECK_STRING(messages_within(SHORT_MS), "");
	ask_6("ff05::7", 1, 40, "", 0);
	CHECK_STRING(messages_within(SHORT_MS), "ff0507:830000000000ff050000000000000000000000000007 ");
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_DROP_MEMBERSHIP, &wanted, sizeof(wanted)));
	CHECK_STRING(messages_within(SHORT_MS), "ff0202:840000000000ff050000000000000000000000000007 ");
}
