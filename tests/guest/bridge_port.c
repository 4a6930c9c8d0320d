/* Bridges: what is set of them and their ports, whom they know behind which, and what they pass on (bridge(8)). */
#include "route_request.h"

#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <poll.h>
#include <sys/mount.h>

#define PORT_COUNT 3
#define ETHERTYPE 0x88b5 /* ETH_P_802_EX1 */

static int taps[PORT_COUNT], ports[PORT_COUNT], bridge;
static const unsigned char one[] = {2, 0, 0, 0, 1, 1}, other[] = {2, 0, 0, 0, 1, 2}, nobody[] = {2, 0, 0, 0, 1, 9};
static const unsigned char all[] = {255, 255, 255, 255, 255, 255}, group[] = {1, 0, 0x5e, 1, 1, 1};

static void end_list(struct rtattr *list)
{
	list->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)list);
}

static const char *made(const char *kind, const char *name, unsigned ageing)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
	struct rtattr *information, *data;

	begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	add(IFLA_IFNAME, name, strlen(name) + 1);
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, kind, strlen(kind));
	if (ageing) {
		data = add(IFLA_INFO_DATA, NULL, 0);
		add_number(IFLA_BR_AGEING_TIME, ageing);
		end_list(data);
	}
	end_list(information);
	return asked();
}

static const char *set_link(int index, unsigned flags, int master)
{
	struct ifinfomsg body = {.ifi_index = index, .ifi_flags = flags, .ifi_change = flags};

	begin(RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	if (master)
		add_number(IFLA_MASTER, (unsigned)master);
	return asked();
}

/* A bridge that is up, with three taps as ports, which are up too. */
static void start(void)
{
	enter();
	open_asker(1);
	CHECK_STRING(made("bridge", "br", 0), "0");
	bridge = (int)if_nametoindex("br");
	for (int at = 0; at < PORT_COUNT; at++) {
		struct ifreq wanted = {.ifr_flags = IFF_TAP | IFF_NO_PI};

		snprintf(wanted.ifr_name, IFNAMSIZ, "t%d", at);
		taps[at] = MUST(open("/dev/net/tun", O_RDWR | O_NONBLOCK));
		MUST(ioctl(taps[at], TUNSETIFF, &wanted));
		ports[at] = (int)if_nametoindex(wanted.ifr_name);
		CHECK_STRING(set_link(ports[at], IFF_UP, bridge), "0");
	}
	CHECK_STRING(set_link(bridge, IFF_UP, 0), "0");
}

/* One of the numbers that are told of a bridge, or of a port. */
static long told(int index, int list, int kind)
{
	struct ifinfomsg body = {.ifi_index = index};
	struct nlmsghdr *header = (void *)answers;
	struct rtattr *each, *inner;
	int rest, left;

	begin(RTM_GETLINK, 0, &body, sizeof(body));
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	rest = (int)NLMSG_PAYLOAD(header, sizeof(body));
	for (each = (void *)((char *)NLMSG_DATA(header) + sizeof(body)); RTA_OK(each, rest); each = RTA_NEXT(each, rest)) {
		if (each->rta_type != IFLA_LINKINFO)
			continue;
		left = (int)RTA_PAYLOAD(each);
		for (each = RTA_DATA(each); RTA_OK(each, left); each = RTA_NEXT(each, left)) {
			if (each->rta_type != list)
				continue;
			rest = (int)RTA_PAYLOAD(each);
			for (inner = RTA_DATA(each); RTA_OK(inner, rest); inner = RTA_NEXT(inner, rest)) {
				long value = 0;

				if (inner->rta_type != kind)
					continue;
				memcpy(&value, RTA_DATA(inner), RTA_PAYLOAD(inner) > 8 ? 8 : RTA_PAYLOAD(inner));
				return value;
			}
		}
		return -1;
	}
	return -1;
}

static const char *set_bridge(int kind, unsigned long value, size_t size)
{
	struct ifinfomsg body = {.ifi_index = bridge};
	struct rtattr *information, *data;

	begin(RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, "bridge", 6);
	data = add(IFLA_INFO_DATA, NULL, 0);
	add(kind, &value, size);
	end_list(data);
	end_list(information);
	return asked();
}

static const char *set_port(int at, int kind, unsigned long value, size_t size)
{
	struct ifinfomsg body = {.ifi_family = AF_BRIDGE, .ifi_index = ports[at]};
	struct rtattr *data;

	begin(RTM_SETLINK, NLM_F_ACK, &body, sizeof(body));
	data = add(IFLA_PROTINFO | NLA_F_NESTED, NULL, 0);
	add(kind, &value, size);
	end_list(data);
	return asked();
}

static const char *tell_fdb(int type, int flags, int index, int state, int for_whom, const unsigned char *address)
{
	struct ndmsg body = {.ndm_family = AF_BRIDGE, .ndm_ifindex = index, .ndm_state = (unsigned short)state,
			     .ndm_flags = (unsigned char)for_whom};

	begin(type, NLM_F_ACK | flags, &body, sizeof(body));
	add(NDA_LLADDR, address, 6);
	return asked();
}

/* Behind which port a bridge knows somebody, -1 for itself, -2 for none; `state` is how. */
static int place_of(const unsigned char *address, int *state)
{
	struct ndmsg body = {.ndm_family = AF_BRIDGE}, *found;
	struct nlmsghdr *header = (void *)answers;

	begin(RTM_GETNEIGH, 0, &body, sizeof(body));
	add_number(NDA_MASTER, (unsigned)bridge);
	add(NDA_LLADDR, address, 6);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	if (header->nlmsg_type != RTM_NEWNEIGH)
		return -2;
	found = NLMSG_DATA(header);
	if (state != NULL)
		*state = found->ndm_state;
	for (int at = 0; at < PORT_COUNT; at++)
		if (ports[at] == found->ndm_ifindex)
			return at;
	return found->ndm_ifindex == bridge ? -1 : -3;
}

/* By which taps a frame comes out that somebody sends into one, as bits; other frames aren't looked at. */
static int ways(int at, const unsigned char *source, const unsigned char *target)
{
	static unsigned char sent[60], got[2048];
	int found = 0;

	memcpy(sent, target, 6);
	memcpy(sent + 6, source, 6);
	sent[12] = ETHERTYPE >> 8;
	sent[13] = ETHERTYPE & 255;
	sent[14]++;
	MUST(write(taps[at], sent, sizeof(sent)));
	for (int to = 0; to < PORT_COUNT; to++) {
		struct pollfd poller = {.fd = taps[to], .events = POLLIN};

		while (poll(&poller, 1, 0) == 1) {
			MUST(read(taps[to], got, sizeof(got)));
			if (got[12] == sent[12] && got[13] == sent[13] && got[14] == sent[14])
				found |= 1 << to;
		}
	}
	return found;
}

ROOTS_TEST(what_is_set_of_a_bridge)
{
	start();
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_AGEING_TIME), 30000);
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_FORWARD_DELAY), 1500);
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_PRIORITY), 0x8000);
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_STP_STATE), 0);
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_GROUP_ADDR), 0xc28001);
	CHECK_STRING(set_bridge(IFLA_BR_AGEING_TIME, 100, 4), "0");
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_AGEING_TIME), 100);
	CHECK_STRING(set_bridge(IFLA_BR_FORWARD_DELAY, 0, 4), "0");
	CHECK_STRING(set_bridge(IFLA_BR_STP_STATE, 0, 4), "0");
	CHECK_STRING(set_bridge(IFLA_BR_HELLO_TIME, 99, 4), "34");
	CHECK_STRING(set_bridge(IFLA_BR_HELLO_TIME, 1000, 4), "0");
	CHECK_STRING(set_bridge(IFLA_BR_MAX_AGE, 4001, 4), "34");
	CHECK_STRING(set_bridge(IFLA_BR_PRIORITY, 0x1000, 2), "0");
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_BRIDGE_ID) & 0xffff, 0x10);
	CHECK_STRING(set_bridge(IFLA_BR_GROUP_FWD_MASK, 4, 2), "22");
	CHECK_STRING(set_bridge(IFLA_BR_GROUP_FWD_MASK, 0x4000, 2), "0");
	CHECK_STRING(set_bridge(IFLA_BR_GROUP_ADDR, 0xc28001 | 1UL << 40, 6), "22");
	CHECK_STRING(set_bridge(IFLA_BR_GROUP_ADDR, 0xc28001 | 5UL << 40, 6), "0");
	CHECK_STRING(set_bridge(IFLA_BR_MULTI_BOOLOPT, 1 | 1UL << 32, 8), "0");
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_MULTI_BOOLOPT) & 1, 1);
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_FDB_MAX_LEARNED), 0);
	CHECK_STRING(made("bridge", "another", 700), "0");
	CHECK_EQ(told((int)if_nametoindex("another"), IFLA_INFO_DATA, IFLA_BR_AGEING_TIME), 700);
	bridge = ports[0];
	CHECK_STRING(set_bridge(IFLA_BR_AGEING_TIME, 100, 4), "95");
}

ROOTS_TEST(what_is_set_of_a_port)
{
	struct ifinfomsg body = {.ifi_family = AF_BRIDGE};

	start();
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_STATE), BR_STATE_FORWARDING);
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_NO), 2);
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_ID), 0x8002);
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_PRIORITY), 32);
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_LEARNING), 1);
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_MODE), 0);
	CHECK_STRING(set_port(1, IFLA_BRPORT_MODE, 1, 1), "0");
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_MODE), 1);
	CHECK_STRING(set_port(1, IFLA_BRPORT_COST, 0, 4), "34");
	CHECK_STRING(set_port(1, IFLA_BRPORT_COST, 7, 4), "0");
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_COST), 7);
	CHECK_STRING(set_port(1, IFLA_BRPORT_PRIORITY, 64, 2), "34");
	CHECK_STRING(set_port(1, IFLA_BRPORT_PRIORITY, 63, 2), "0");
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_ID), 0xfc02);
	CHECK_STRING(set_port(1, IFLA_BRPORT_GROUP_FWD_MASK, 2, 2), "22");
	CHECK_STRING(set_port(1, IFLA_BRPORT_STATE, 5, 1), "22");
	CHECK_STRING(set_port(1, IFLA_BRPORT_STATE, BR_STATE_BLOCKING, 1), "0");
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_STATE), BR_STATE_FORWARDING);
	CHECK_STRING(set_port(1, IFLA_BRPORT_STATE, BR_STATE_LEARNING, 1), "0");
	CHECK_EQ(told(ports[1], IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_STATE), BR_STATE_LEARNING);
	ports[0] = bridge;
	CHECK_STRING(set_port(0, IFLA_BRPORT_STATE, 3, 1), "95");
	ports[0] = 1;
	CHECK_STRING(set_port(0, IFLA_BRPORT_STATE, 3, 1), "95");
	ports[0] = 99;
	CHECK_STRING(set_port(0, IFLA_BRPORT_STATE, 3, 1), "19 unknown ifindex");
	begin(RTM_GETLINK, NLM_F_DUMP, &body, sizeof(body));
	CHECK_STRING(asked(), "0");
	body.ifi_index = bridge;
	begin(RTM_GETLINK, NLM_F_DUMP, &body, sizeof(body));
	CHECK_STRING(asked(), "22 Invalid values in header for bridge link dump request");
	body.ifi_index = 0;
	begin(RTM_GETLINK, NLM_F_DUMP, &body, sizeof(body));
	add_number(IFLA_MASTER, 1);
	CHECK_STRING(asked(), "22 Unsupported attribute in bridge link dump request");
}

ROOTS_TEST(who_is_behind_which_port)
{
	int state = 0;

	start();
	CHECK_EQ(ways(0, one, other), 6);
	CHECK_EQ(place_of(one, &state), 0);
	CHECK_EQ(state, NUD_REACHABLE);
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_FDB_N_LEARNED), 1);
	CHECK_EQ(ways(1, other, one), 1);
	CHECK_EQ(ways(0, one, other), 2);
	CHECK_EQ(ways(0, one, one), 0);
	CHECK_EQ(ways(0, one, all), 6);
	CHECK_EQ(ways(2, one, other), 2);
	CHECK_EQ(place_of(one, NULL), 2);
	CHECK_EQ(ways(1, other, one), 4);
	CHECK_EQ(told(bridge, IFLA_INFO_DATA, IFLA_BR_FDB_N_LEARNED), 2);
	CHECK_EQ(place_of(nobody, NULL), -2);
	CHECK_STRING(set_bridge(IFLA_BR_FDB_FLUSH, 0, 0), "0");
	CHECK_EQ(place_of(one, NULL), -2);
	CHECK_EQ(ways(1, other, one), 5);
	/* No more are learned than may be. */
	CHECK_STRING(set_bridge(IFLA_BR_FDB_MAX_LEARNED, 1, 4), "0");
	CHECK_EQ(ways(0, one, nobody), 6);
	CHECK_EQ(place_of(one, NULL), -2);
	/* A port that goes down takes those along that are behind it. */
	close(taps[1]);
	CHECK_EQ(place_of(other, NULL), -2);
}

ROOTS_TEST(who_is_told_of)
{
	int state = 0;

	start();
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, 0, ports[1], NUD_NOARP, NTF_MASTER, one), "2");
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, ports[1], NUD_NOARP, NTF_MASTER, one), "0");
	CHECK_EQ(place_of(one, &state), 1);
	CHECK_EQ(state, NUD_NOARP);
	CHECK_EQ(ways(0, other, one), 2);
	/* One who is told moves all the same. */
	CHECK_EQ(ways(2, one, other), 1);
	CHECK_EQ(place_of(one, &state), 2);
	CHECK_EQ(state, NUD_NOARP);
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, ports[1], NUD_NOARP, NTF_MASTER, one), "17");
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, ports[1], NUD_NOARP, NTF_MASTER | NTF_STICKY, one), "0");
	CHECK_EQ(ways(2, one, other), 1);
	CHECK_EQ(place_of(one, NULL), 1);
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, ports[1], NUD_PERMANENT, NTF_MASTER, nobody), "0");
	CHECK_EQ(ways(0, other, nobody), 0);
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, ports[1], NUD_STALE, NTF_MASTER, nobody), "22");
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, bridge, NUD_NOARP, NTF_SELF, nobody), "22");
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, bridge, NUD_NOARP, NTF_MASTER, nobody), "95");
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, 0, NUD_NOARP, NTF_MASTER, nobody), "22 invalid ifindex");
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, 99, NUD_NOARP, NTF_MASTER, nobody), "19 unknown ifindex");
	CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, 1, NUD_NOARP, NTF_SELF, nobody), "22 FDB add only supported for Ethernet devices");
	/* What comes behind the attributes is told of beside another error, and without one. */
	tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, bridge, NUD_NOARP, NTF_MASTER, nobody);
	request.header.nlmsg_len += 4;
	CHECK_STRING(asked(), "95 bytes leftover after parsing attributes");
	CHECK_STRING(tell_fdb(RTM_DELNEIGH, 0, ports[0], 0, NTF_MASTER, one), "2");
	request.header.nlmsg_len += 4;
	CHECK_STRING(asked(), "2 bytes leftover after parsing attributes");
	CHECK_STRING(tell_fdb(RTM_DELNEIGH, 0, ports[1], 0, NTF_MASTER, one), "0");
	CHECK_EQ(place_of(one, NULL), -2);
}

ROOTS_TEST(files_of_who_is_no_port_any_more)
{
	static const char *const names[] = {"forward_delay_timer", "state", "designated_bridge", "port_no"};
	int files[4];
	char text[64];

	start();
	enter_scratch();
	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mkdir("sys", 0700));
	MUST(mount("sysfs", "sys", "sysfs", 0, NULL));
	for (int at = 0; at < 4; at++) {
		snprintf(text, sizeof(text), "sys/class/net/t0/brport/%s", names[at]);
		files[at] = MUST(open(text, O_RDONLY));
		CHECK(pread(files[at], text, sizeof(text), 0) > 0);
	}
	close(taps[0]);
	for (int at = 0; at < 4; at++)
		CHECK_ERRNO(pread(files[at], text, sizeof(text), 0), ENODEV);
}

/* What a bridge knows of one of its ports goes, or of itself; `for_whom` says whose entries are meant. */
static const char *flush(int index, int for_whom, int device)
{
	struct ndmsg body = {.ndm_family = AF_BRIDGE, .ndm_ifindex = index, .ndm_flags = (unsigned char)for_whom};

	begin(RTM_DELNEIGH, NLM_F_ACK | NLM_F_BULK, &body, sizeof(body));
	if (device)
		add_number(NDA_IFINDEX, (unsigned)device);
	return asked();
}

ROOTS_TEST(who_is_flushed)
{
	start();
	for (int turn = 0; turn < 2; turn++) {
		CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, ports[1], NUD_NOARP, NTF_MASTER, one), "0");
		CHECK_STRING(tell_fdb(RTM_NEWNEIGH, NLM_F_CREATE, bridge, NUD_PERMANENT, NTF_SELF, nobody), "0");
		CHECK_EQ(ways(2, other, all), 3);
		CHECK_EQ(atoi(flush(bridge, NTF_SELF, 9999)), ENODEV);
		CHECK_EQ(atoi(flush(bridge, NTF_SELF, 1)), EINVAL);
		CHECK_EQ(place_of(one, NULL), 1);
		CHECK_EQ(place_of(nobody, NULL), -1);
		CHECK_EQ(place_of(other, NULL), 2);
		if (turn == 0) {
			CHECK_STRING(flush(bridge, NTF_SELF, ports[1]), "0");
			CHECK_EQ(place_of(one, NULL), -2);
			CHECK_EQ(place_of(other, NULL), 2);
			CHECK_EQ(place_of(nobody, NULL), -1);
			CHECK_STRING(flush(bridge, NTF_SELF, bridge), "0");
			CHECK_EQ(place_of(nobody, NULL), -2);
			CHECK_EQ(place_of(other, NULL), 2);
		}
	}
	CHECK_STRING(flush(bridge, NTF_SELF, 0), "0");
	CHECK_EQ(place_of(one, NULL), -2);
	CHECK_EQ(place_of(nobody, NULL), -2);
	CHECK_EQ(place_of(other, NULL), -2);
}

ROOTS_TEST(what_ports_do)
{
	start();
	CHECK_STRING(set_port(0, IFLA_BRPORT_LEARNING, 0, 1), "0");
	CHECK_EQ(ways(0, one, all), 6);
	CHECK_EQ(place_of(one, NULL), -2);
	CHECK_STRING(set_port(1, IFLA_BRPORT_UNICAST_FLOOD, 0, 1), "0");
	CHECK_EQ(ways(0, one, other), 4);
	CHECK_STRING(set_port(2, IFLA_BRPORT_BCAST_FLOOD, 0, 1), "0");
	CHECK_EQ(ways(0, one, all), 2);
	CHECK_EQ(ways(0, one, group), 6);
	CHECK_STRING(set_port(2, IFLA_BRPORT_MCAST_FLOOD, 0, 1), "0");
	CHECK_EQ(ways(0, one, group), 2);
	CHECK_STRING(set_port(0, IFLA_BRPORT_ISOLATED, 1, 1), "0");
	CHECK_STRING(set_port(2, IFLA_BRPORT_ISOLATED, 1, 1), "0");
	CHECK_EQ(ways(0, one, other), 0);
	CHECK_EQ(ways(1, other, nobody), 5);
	CHECK_STRING(set_port(2, IFLA_BRPORT_ISOLATED, 0, 1), "0");
	CHECK_STRING(set_port(0, IFLA_BRPORT_MODE, 1, 1), "0");
	CHECK_EQ(ways(0, one, nobody), 4);
	CHECK_STRING(set_port(0, IFLA_BRPORT_ISOLATED, 0, 1), "0");
	CHECK_EQ(ways(0, one, nobody), 5);
	CHECK_STRING(set_port(0, IFLA_BRPORT_STATE, BR_STATE_LISTENING, 1), "0");
	CHECK_EQ(ways(0, one, nobody), 0);
	CHECK_EQ(ways(1, other, nobody), 4);
	CHECK_STRING(set_port(0, IFLA_BRPORT_STATE, BR_STATE_FORWARDING, 1), "0");
	CHECK_EQ(ways(1, other, nobody), 5);
}

ROOTS_TEST(how_long_they_are_known)
{
	int state = 0;

	start();
	CHECK_STRING(set_bridge(IFLA_BR_AGEING_TIME, 60, 4), "0");
	CHECK_EQ(ways(0, one, all), 6);
	CHECK_EQ(place_of(one, &state), 0);
	CHECK_EQ(state, NUD_REACHABLE);
	usleep(1500000);
	CHECK_EQ(ways(1, other, one), 5);
	CHECK_STRING(set_bridge(IFLA_BR_AGEING_TIME, 0, 4), "0");
	CHECK_EQ(ways(0, nobody, all), 6);
	CHECK_EQ(place_of(nobody, NULL), -2);
}

ROOTS_TEST(groups_of_the_link)
{
	unsigned char of_link[] = {1, 0x80, 0xc2, 0, 0, 0};

	start();
	CHECK_EQ(ways(0, one, of_link), 6);
	of_link[5] = 1;
	CHECK_EQ(ways(0, one, of_link), 0);
	of_link[5] = 14;
	CHECK_EQ(ways(0, one, of_link), 0);
	CHECK_STRING(set_bridge(IFLA_BR_GROUP_FWD_MASK, 0x4000, 2), "0");
	CHECK_EQ(ways(0, one, of_link), 6);
}

/* An attribute of an interface that is one byte, and its flags. */
static int byte_of(const char *name, int attribute, unsigned *flags)
{
	struct ifinfomsg body = {.ifi_index = (int)if_nametoindex(name)};
	struct nlmsghdr *header = (void *)answers;
	int rest, found = -1;

	begin(RTM_GETLINK, 0, &body, sizeof(body));
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	rest = (int)NLMSG_PAYLOAD(header, sizeof(body));
	for (struct rtattr *at = IFLA_RTA(NLMSG_DATA(header)); RTA_OK(at, rest); at = RTA_NEXT(at, rest))
		if (at->rta_type == attribute)
			found = *(unsigned char *)RTA_DATA(at);
	if (flags != NULL)
		*flags = ((struct ifinfomsg *)NLMSG_DATA(header))->ifi_flags;
	return found;
}

static int carrier_of(const char *name)
{
	return byte_of(name, IFLA_CARRIER, NULL);
}

static const char *change_address(const char *name)
{
	struct ifinfomsg body = {.ifi_index = (int)if_nametoindex(name)};

	begin(RTM_SETLINK, NLM_F_ACK, &body, sizeof(body));
	add(IFLA_ADDRESS, one, sizeof(one));
	return asked();
}

/* Whether it has a wire is known once it has looked at its ports, as it does for a new name of its own. */
ROOTS_TEST(a_bridge_without_ports)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
	struct rtattr *information;

	enter();
	open_asker(1);
	CHECK_STRING(made("bridge", "plain", 0), "0");
	CHECK_EQ(carrier_of("plain"), 1);
	CHECK_STRING(set_link((int)if_nametoindex("plain"), IFF_UP, 0), "0");
	CHECK_EQ(carrier_of("plain"), 1);
	CHECK_STRING(change_address("plain"), "0");
	CHECK_EQ(carrier_of("plain"), 0);
	CHECK_STRING(made("bridge", "aged", 100), "0");
	CHECK_EQ(carrier_of("aged"), 1);
	begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	add(IFLA_IFNAME, "named", 6);
	add(IFLA_ADDRESS, other, sizeof(other));
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, "bridge", 7);
	end_list(information);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(carrier_of("named"), 0);
}

static const char *take_down(const char *name)
{
	struct ifinfomsg body = {.ifi_index = (int)if_nametoindex(name), .ifi_change = IFF_UP};

	begin(RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	return asked();
}

/* IF_OPER_* of <linux/if.h>, which gets on with no other header. */
enum { OPER_UNKNOWN, OPER_DOWN = 2, OPER_LOWERLAYERDOWN, OPER_TESTING, OPER_DORMANT, OPER_UP };

/* The operational state, once it's `state`: changes of wires are told from a work queue. */
static int state_of(const char *name, int state)
{
	unsigned flags;
	int found = -1;

	for (int tries = 0; tries < 200; tries++) {
		found = byte_of(name, IFLA_OPERSTATE, &flags);
		if (found == state)
			break;
		sleep_ms(10);
	}
	CHECK_EQ(!!(flags & IFF_RUNNING), found == OPER_UP || found == OPER_UNKNOWN);
	return found;
}

static const char *own_address(int type, int flags, const char *name, const unsigned char *address)
{
	struct ndmsg body = {.ndm_family = AF_BRIDGE, .ndm_flags = NTF_SELF, .ndm_state = NUD_PERMANENT,
			     .ndm_ifindex = (int)if_nametoindex(name)};

	begin(type, NLM_F_ACK | flags, &body, sizeof(body));
	add(NDA_LLADDR, address, 6);
	return asked();
}

/* How an address is listed among those of an interface: 1 as its own, 0 not at all. */
static int is_listed(const char *name, const unsigned char *address)
{
	struct ndmsg body = {.ndm_family = AF_BRIDGE, .ndm_ifindex = (int)if_nametoindex(name)};
	int found = 0;

	begin(RTM_GETNEIGH, NLM_F_DUMP, &body, sizeof(body));
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	for (;;) {
		int length = (int)MUST(recv(asker, answers, sizeof(answers), 0));

		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			struct ndmsg *told = NLMSG_DATA(header);
			struct rtattr *first = (void *)(told + 1);

			if (header->nlmsg_type == NLMSG_DONE)
				return found;
			if (told->ndm_flags == NTF_SELF && first->rta_type == NDA_LLADDR && memcmp(RTA_DATA(first), address, 6) == 0)
				found++;
		}
	}
}

/* How often an address of a group is listened to at an interface, and whether a program wants it. */
static int group_of(const char *name, const char *address)
{
	char line[256], found[32], text[32];
	int count, wanted, result = -1;
	FILE *file = fopen("/proc/thread-self/net/dev_mcast", "re");

	MUST(file == NULL ? -1 : 0);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "%*d %31s %d %d %31s", found, &count, &wanted, text) == 4)
			if (strcmp(found, name) == 0 && strcmp(text, address) == 0)
				result = 10 * count + wanted;
	fclose(file);
	return result;
}

static int change_group(int request, const char *name, const unsigned char *address)
{
	struct ifreq wanted = {0};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), result;

	strcpy(wanted.ifr_name, name);
	memcpy(wanted.ifr_hwaddr.sa_data, address, 6);
	result = ioctl(fd, (unsigned long)request, &wanted) == -1 ? -errno : 0;
	close(fd);
	return result;
}

/* An interface listens to addresses that programs want beside its own. */
ROOTS_TEST(addresses_that_are_listened_to)
{
	unsigned char of_all[] = {0x33, 0x33, 0, 0, 0, 1};

	enter();
	open_asker(1);
	CHECK_STRING(made("veth", "v0", 0), "0");
	CHECK_EQ(is_listed("v0", of_all), 1);
	CHECK_STRING(set_link((int)if_nametoindex("v0"), IFF_UP, 0), "0");
	CHECK_STRING(own_address(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, "v0", one), "0");
	CHECK_STRING(own_address(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, "v0", one), "17");
	CHECK_STRING(own_address(RTM_NEWNEIGH, NLM_F_CREATE, "v0", one), "0");
	CHECK_EQ(is_listed("v0", one), 1);
	CHECK_EQ(byte_of("v0", IFLA_PROMISCUITY, NULL), 1);
	CHECK_STRING(own_address(RTM_NEWNEIGH, NLM_F_CREATE, "v0", group), "0");
	CHECK_EQ(is_listed("v0", group), 1);
	CHECK_EQ(group_of("v0", "01005e010101"), 11);
	CHECK_STRING(own_address(RTM_DELNEIGH, 0, "v0", other), "2");
	CHECK_STRING(own_address(RTM_DELNEIGH, 0, "v0", one), "0");
	CHECK_EQ(is_listed("v0", one), 0);
	CHECK_EQ(byte_of("v0", IFLA_PROMISCUITY, NULL), 0);
	CHECK_STRING(own_address(RTM_DELNEIGH, 0, "v0", group), "0");
	CHECK_EQ(group_of("v0", "01005e010101"), -1);
	/* As `ip maddr` says it, which counts beside what the kernel itself wants, and once. */
	CHECK_EQ(change_group(SIOCADDMULTI, "v0", group), 0);
	CHECK_EQ(change_group(SIOCADDMULTI, "v0", group), 0);
	CHECK_EQ(group_of("v0", "01005e010101"), 11);
	CHECK_EQ(change_group(SIOCDELMULTI, "v0", group), 0);
	CHECK_EQ(change_group(SIOCDELMULTI, "v0", group), -ENOENT);
	CHECK_EQ(group_of("v0", "333300000001"), 10);
	CHECK_EQ(change_group(SIOCADDMULTI, "v0", of_all), 0);
	CHECK_EQ(group_of("v0", "333300000001"), 21);
	CHECK_STRING(own_address(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, "v0", of_all), "17");
	/* Only with a wire has it begun to speak, and ends that. */
	CHECK_STRING(take_down("v0"), "0");
	CHECK_EQ(group_of("v0", "333300000001"), 21);
	CHECK_STRING(set_link((int)if_nametoindex("veth0"), IFF_UP, 0), "0");
	CHECK_STRING(set_link((int)if_nametoindex("v0"), IFF_UP, 0), "0");
	CHECK_EQ(state_of("v0", OPER_UP), OPER_UP);
	CHECK_STRING(take_down("v0"), "0");
	CHECK_EQ(group_of("v0", "333300000001"), 11);
	CHECK_EQ(change_group(SIOCDELMULTI, "v0", of_all), 0);
	CHECK_EQ(group_of("v0", "333300000001"), -1);
}

static const char *set_byte(const char *name, int attribute, unsigned char value)
{
	struct ifinfomsg body = {.ifi_index = (int)if_nametoindex(name)};

	begin(RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	add(attribute, &value, 1);
	return asked();
}

/* Who knows more than the wire, as who asks for leave to use a port, says whether an interface works. */
ROOTS_TEST(operational_states)
{
	enter();
	open_asker(1);
	CHECK_STRING(made("veth", "v0", 0), "0");
	CHECK_EQ(byte_of("v0", IFLA_CARRIER_CHANGES, NULL), 1);
	CHECK_STRING(set_byte("v0", IFLA_OPERSTATE, OPER_DORMANT), "0");
	CHECK_STRING(set_link((int)if_nametoindex("v0"), IFF_UP, 0), "0");
	CHECK_EQ(state_of("v0", OPER_LOWERLAYERDOWN), OPER_LOWERLAYERDOWN);
	CHECK_STRING(set_byte("v0", IFLA_OPERSTATE, OPER_UP), "0");
	CHECK_EQ(state_of("v0", OPER_LOWERLAYERDOWN), OPER_LOWERLAYERDOWN);
	CHECK_STRING(set_link((int)if_nametoindex("veth0"), IFF_UP, 0), "0");
	CHECK_EQ(state_of("v0", OPER_UP), OPER_UP);
	CHECK_EQ(byte_of("v0", IFLA_CARRIER_CHANGES, NULL), 2);
	CHECK_STRING(set_byte("v0", IFLA_OPERSTATE, OPER_DORMANT), "0");
	CHECK_EQ(state_of("v0", OPER_DORMANT), OPER_DORMANT);
	CHECK_EQ(carrier_of("v0"), 1);
	/* Neither of these follows on that. */
	CHECK_STRING(set_byte("v0", IFLA_OPERSTATE, OPER_TESTING), "0");
	CHECK_STRING(set_byte("v0", IFLA_OPERSTATE, OPER_DOWN), "0");
	CHECK_EQ(state_of("v0", OPER_DORMANT), OPER_DORMANT);
	CHECK_STRING(set_byte("v0", IFLA_OPERSTATE, OPER_UP), "0");
	CHECK_EQ(state_of("v0", OPER_UP), OPER_UP);
	/* The mode counts when a wire comes. */
	CHECK_STRING(set_byte("v0", IFLA_LINKMODE, 1), "0");
	CHECK_EQ(byte_of("v0", IFLA_LINKMODE, NULL), 1);
	CHECK_EQ(state_of("v0", OPER_UP), OPER_UP);
	CHECK_STRING(take_down("veth0"), "0");
	CHECK_EQ(state_of("v0", OPER_LOWERLAYERDOWN), OPER_LOWERLAYERDOWN);
	CHECK_STRING(set_link((int)if_nametoindex("veth0"), IFF_UP, 0), "0");
	CHECK_EQ(state_of("v0", OPER_DORMANT), OPER_DORMANT);
	CHECK_STRING(set_byte("v0", IFLA_CARRIER, 1), "95");
	/* A tap's is there while somebody has it, and the administrator wants it. */
	start();
	CHECK_STRING(set_byte("t0", IFLA_CARRIER, 0), "0");
	CHECK_EQ(state_of("t0", OPER_DOWN), OPER_DOWN);
	CHECK_STRING(set_byte("t0", IFLA_CARRIER, 1), "0");
	CHECK_EQ(state_of("t0", OPER_UP), OPER_UP);
	MUST(ioctl(taps[0], TUNSETPERSIST, 1));
	close(taps[0]);
	CHECK_EQ(state_of("t0", OPER_DOWN), OPER_DOWN);
	CHECK_STRING(set_byte("t0", IFLA_CARRIER, 0), "0");
	CHECK_STRING(set_byte("t0", IFLA_CARRIER, 1), "1");
}
