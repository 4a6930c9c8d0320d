/* What rtnetlink takes, refuses with a reason, keeps and tells: routes, addresses, neighbours (rtnetlink(7)). */
#include "route_request.h"

#include <linux/if_addrlabel.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <linux/pkt_sched.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if_arp.h>
#include <linux/icmpv6.h>
#include <linux/ipv6_route.h>
#include <time.h>

#define NEW_ROUTE(net, length, kind, scope) begin_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, net, length, kind, scope)

ROOTS_TEST(routes_are_refused_with_a_reason)
{
	enter();
	open_asker(0);
	NEW_ROUTE("10.7.1.0", 16, RTN_UNICAST, RT_SCOPE_LINK);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "22 Invalid prefix for given prefix length");
	NEW_ROUTE("10.7.0.0", 16, RTN_LOCAL, RT_SCOPE_LINK);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "22 Invalid scope");
	NEW_ROUTE("10.7.0.0", 16, RTN_UNREACHABLE, RT_SCOPE_UNIVERSE);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "22 Gateway, device and multipath can not be specified for this route type");
	NEW_ROUTE("10.7.0.0", 16, RTN_NAT, RT_SCOPE_HOST);
	CHECK_STRING(asked(), "22 Invalid scope");
	NEW_ROUTE("10.7.0.0", 16, RTN_UNICAST, RT_SCOPE_LINK);
	((struct rtmsg *)request.data)->rtm_flags = RTNH_F_PERVASIVE;
	CHECK_STRING(asked(), "22 Invalid flags for nexthop - PERVASIVE and ONLINK can not be set");
	NEW_ROUTE("10.7.0.0", 16, RTN_XRESOLVE, RT_SCOPE_NOWHERE);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "22 Gateway, device and multipath can not be specified for this route type");
	NEW_ROUTE("10.7.0.0", 16, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_address(RTA_GATEWAY, "10.99.0.1");
	CHECK_STRING(asked(), "101 Nexthop has invalid gateway");
	NEW_ROUTE("10.7.0.0", 16, RTN_UNICAST, RT_SCOPE_LINK);
	add(RTA_OIF, "\1\0", 2);
	CHECK_STRING(asked(), "34 Attribute failed policy validation at 36 policy of 36");
	NEW_ROUTE("10.7.0.0", 16, RTN_UNICAST, RT_SCOPE_LINK);
	add_number(RTA_OIF, 1);
	add_number(RTA_NH_ID, 7);
	CHECK_STRING(asked(), "22 Nexthop specification and nexthop id are mutually exclusive");
	begin_route(RTM_DELROUTE, 0, "10.7.0.0", 16, 0, RT_SCOPE_NOWHERE);
	add_number(RTA_TABLE, 1000);
	CHECK_STRING(asked(), "3 FIB table does not exist");
	begin_route(RTM_NEWROUTE, NLM_F_REPLACE, "2001:db8:7::", 48, RTN_UNREACHABLE, RT_SCOPE_UNIVERSE);
	CHECK_STRING(asked(), "2 Can not replace route - no match found");
	NEW_ROUTE("2001:db8:7::", 48, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_address(RTA_GATEWAY, "2001:db8::9");
	CHECK_STRING(asked(), "113");
	NEW_ROUTE("2001:db8:7::", 48, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_number(RTA_OIF, 1);
	add_address(RTA_VIA, "::1");
	CHECK_STRING(asked(), "22 IPv6 does not support RTA_VIA attribute");
	NEW_ROUTE("2001:db8:7::", 48, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	((struct rtmsg *)request.data)->rtm_tos = 4;
	CHECK_STRING(asked(), "22 Invalid dsfield (tos): option not available for IPv6");
}

ROOTS_TEST(packets_are_not_wrapped_up)
{
	static const char *const nets[] = {"10.7.0.0", "2001:db8::"};

	enter();
	open_asker(0);
	for (size_t at = 0; at < LENGTH(nets); at++) {
		NEW_ROUTE(nets[at], 16 + 16 * (int)at, RTN_UNICAST, RT_SCOPE_LINK);
		add_number(RTA_OIF, 1);
		add(RTA_ENCAP_TYPE, "\0\0", 2);
		CHECK_STRING(asked(), "22 Unknown lwt encapsulation type");
		NEW_ROUTE(nets[at], 16 + 16 * (int)at, RTN_UNICAST, RT_SCOPE_LINK);
		add(RTA_ENCAP_TYPE, "\13\0", 2);
		CHECK_STRING(asked(), "22 Unknown lwt encapsulation type");
		NEW_ROUTE(nets[at], 16 + 16 * (int)at, RTN_UNICAST, RT_SCOPE_LINK);
		add_number(RTA_OIF, 1);
		add(RTA_ENCAP_TYPE, "\1\0", 2);
		CHECK_STRING(asked(), "95 lwt encapsulation type not supported");
	}
	NEW_ROUTE("10.7.0.0", 16, RTN_UNREACHABLE, RT_SCOPE_UNIVERSE);
	add_number(RTA_OIF, 1);
	add(RTA_ENCAP, "", 0);
	CHECK_STRING(asked(), "22 Unknown LWT encapsulation type at 44");
	NEW_ROUTE("10.7.0.0", 16, RTN_UNICAST, RT_SCOPE_NOWHERE);
	add(RTA_ENCAP, "", 0);
	CHECK_STRING(asked(), "22 Unknown LWT encapsulation type at 36");
}

ROOTS_TEST(a_gateway_by_its_protocol_is_one_even_if_0)
{
	struct {
		unsigned short family;
		unsigned char address[16];
	} via = {.family = AF_INET6};
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
	struct rtattr *information;

	enter();
	open_asker(0);
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "10.8.0.0", 16, RTN_UNICAST, RT_SCOPE_LINK);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "0");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "10.8.1.0", 24, RTN_UNICAST, RT_SCOPE_LINK);
	add_number(RTA_OIF, 1);
	add(RTA_VIA, &via, sizeof(via));
	CHECK_STRING(asked(), "22 Invalid gateway address");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "10.8.1.0", 24, RTN_UNICAST, RT_SCOPE_HOST);
	add_number(RTA_OIF, 1);
	add(RTA_VIA, &via, sizeof(via));
	CHECK_STRING(asked(), "22 Route with host scope can not have a gateway");
	/* The size of packets is looked at before the name. */
	begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	add_number(IFLA_MTU, 67);
	add(IFLA_IFNAME, "", 1);
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, "bridge", 7);
	information->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)information);
	CHECK_STRING(asked(), "22 mtu less than device minimum");
}

ROOTS_TEST(what_is_known_of_a_way_is_kept)
{
	struct rtattr *nest;

	enter();
	open_asker(0);
	NEW_ROUTE("10.7.0.0", 16, RTN_UNICAST, RT_SCOPE_LINK);
	add_number(RTA_OIF, 1);
	add_number(RTA_FLOW, 0x10002);
	nest = add(RTA_METRICS, NULL, 0);
	add_number(RTAX_INITCWND, 10);
	add_number(RTAX_MTU, 70000);
	add_number(RTAX_RTO_MIN, 200);
	add(RTAX_CC_ALGO, "reno", 5);
	add_number(RTAX_HOPLIMIT, 300);
	nest->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)nest);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(of_route(AF_INET, "10.7.0.0", RTA_METRICS),
		     "08000200f0ff0000" "08000a00ff000000" "08000b000a000000" "08000d00c8000000" "0900100072656e6f00000000");
	CHECK_STRING(of_route(AF_INET, "10.7.0.0", RTA_FLOW), "02000100");
	/* A route with other metrics isn't the same, and is found by its own. */
	NEW_ROUTE("10.7.0.0", 16, RTN_UNICAST, RT_SCOPE_LINK);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "17");
	begin_route(RTM_DELROUTE, 0, "10.7.0.0", 16, RTN_UNICAST, RT_SCOPE_LINK);
	nest = add(RTA_METRICS, NULL, 0);
	add_number(RTAX_INITCWND, 11);
	nest->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)nest);
	CHECK_STRING(asked(), "3");
	((unsigned *)((char *)nest + 8))[0] = 10;
	CHECK_STRING(asked(), "0");
	NEW_ROUTE("10.8.0.0", 16, RTN_UNREACHABLE, RT_SCOPE_UNIVERSE);
	nest = add(RTA_METRICS, NULL, 0);
	add(RTAX_CC_ALGO, "none", 5);
	nest->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)nest);
	CHECK_STRING(asked(), "22 Unknown tcp congestion algorithm");
}

ROOTS_TEST(routes_that_end)
{
	unsigned char high = ICMPV6_ROUTER_PREF_HIGH;
	struct in6_rtmsg none = {.rtmsg_type = 0};
	int fd;

	enter();
	open_asker(0);
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "2001:db8::1", 64);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE("::1", 128, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_number(RTA_OIF, 1);
	add_number(RTA_EXPIRES, 100);
	add(RTA_PREF, &high, 1);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(of_route(AF_INET6, "::1", RTA_PREF), "01" "00");
	CHECK(strncmp(of_route(AF_INET6, "::1", RTA_CACHEINFO), "0000000000000000" "00000000", 24) != 0);
	/* The route that there is where there's none can't be removed. */
	begin_route(RTM_DELROUTE, 0, "::", 0, 0, RT_SCOPE_NOWHERE);
	((struct rtmsg *)request.data)->rtm_protocol = 0;
	CHECK_STRING(asked(), "2");
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_ERRNO(ioctl(fd, SIOCDELRT, &none), ENOENT);
}

/* Only who adds a group is asked whether it's one; nothing was joined then. */
ROOTS_TEST(an_address_is_told_to_join_later)
{
	enter();
	open_asker(0);
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "2001:db8::1", 64);
	CHECK_STRING(asked(), "0");
	begin_address(RTM_NEWADDR, NLM_F_REPLACE, "2001:db8::1", 64);
	add_number(IFA_FLAGS, IFA_F_MCAUTOJOIN);
	CHECK_STRING(asked(), "0");
	begin_address(RTM_DELADDR, 0, "2001:db8::1", 64);
	CHECK_STRING(asked(), "0");
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "2001:db8::1", 64);
	CHECK_STRING(asked(), "0");
}

static void pause_ms(long milliseconds)
{
	struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};

	nanosleep(&time, NULL);
}

static int has_within(int seconds, const char *address, const char *flags)
{
	for (int tries = 0; tries < seconds * 20; tries++) {
		if (strcmp(of_address(strchr(address, ':') == NULL ? AF_INET : AF_INET6, address, IFA_FLAGS), flags) == 0)
			return 1;
		pause_ms(50);
	}
	return 0;
}

ROOTS_TEST(addresses_that_end)
{
	static const char *const addresses[] = {"10.0.0.1", "2001:db8::1"};
	struct ifa_cacheinfo cache = {.ifa_prefered = 1, .ifa_valid = 4};

	enter();
	open_asker(0);
	for (int at = 0; at < 2; at++) {
		begin_address(RTM_NEWADDR, NLM_F_CREATE, addresses[at], at == 0 ? 24 : 64);
		add(IFA_CACHEINFO, &cache, sizeof(cache));
		CHECK_STRING(asked(), "0");
		CHECK(strlen(of_address(AF_UNSPEC, addresses[at], IFA_FLAGS)) == 8);
	}
	for (int at = 0; at < 2; at++)
		CHECK(has_within(10, addresses[at], "20000000"));
	for (int at = 0; at < 2; at++)
		CHECK(has_within(15, addresses[at], ""));
	cache.ifa_prefered = 5;
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "10.0.0.2", 24);
	add(IFA_CACHEINFO, &cache, sizeof(cache));
	CHECK_STRING(asked(), "22 ipv4: address lifetime invalid");
	/* As it's changed, so it's told. */
	cache.ifa_prefered = 0, cache.ifa_valid = 0xffffffff;
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "10.0.0.2", 24);
	CHECK_STRING(asked(), "0");
	begin_address(RTM_NEWADDR, NLM_F_REPLACE, "10.0.0.2", 24);
	add(IFA_CACHEINFO, &cache, sizeof(cache));
	CHECK_STRING(asked(), "0");
	CHECK_STRING(of_address(AF_INET, "10.0.0.2", IFA_FLAGS), "a0000000");
}

ROOTS_TEST(lists_are_filtered_strictly)
{
	struct rtmsg body = {.rtm_family = AF_INET};
	struct ndmsg neighbour = {.ndm_family = AF_INET};
	struct ifinfomsg link = {.ifi_index = 1};

	enter();
	open_asker(1);
	begin(RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(body));
	add_number(RTA_TABLE, 1000);
	CHECK_STRING(asked(), "2 ipv4: FIB table does not exist");
	begin(RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(body));
	add_number(RTA_PRIORITY, 1);
	CHECK_STRING(asked(), "22 Unsupported attribute in dump request");
	body.rtm_tos = 4;
	begin(RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(body));
	CHECK_STRING(asked(), "22 Invalid values in header for FIB dump request");
	body.rtm_tos = 0;
	begin(RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(body));
	add(200, "", 1);
	CHECK_STRING(asked(), "22 Unknown attribute type at 28");
	begin(RTM_GETLINK, NLM_F_DUMP, &link, sizeof(link));
	CHECK_STRING(asked(), "22 Filter by device index not supported for link dumps");
	begin(RTM_GETNEIGH, NLM_F_DUMP, &neighbour, 4);
	CHECK_STRING(asked(), "22 Invalid header for neighbor dump request");
	begin(RTM_GETNEIGH, 0, &neighbour, sizeof(neighbour));
	CHECK_STRING(asked(), "22 No device specified");
	neighbour.ndm_ifindex = 1;
	begin(RTM_GETNEIGH, 0, &neighbour, sizeof(neighbour));
	CHECK_STRING(asked(), "22 without 1");
	add_address(NDA_DST, "10.0.0.7");
	CHECK_STRING(asked(), "2 Neighbour entry not found");
	/* Who isn't strict is told of what is left over as well. */
	open_asker(0);
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &(struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = 1}, 8);
	add_address(IFA_LOCAL, "10.0.0.1");
	request.header.nlmsg_len += 4;
	CHECK_STRING(asked(), "0 bytes leftover after parsing attributes");
	begin(200, NLM_F_ACK, "", 0);
	CHECK_STRING(asked(), "95");
	begin(RTM_GETROUTE, NLM_F_DUMP | NLM_F_ACK, "", 0);
	CHECK_STRING(asked(), "0");
}

ROOTS_TEST(neighbours_that_are_spoken_for)
{
	struct ndmsg body = {.ndm_family = AF_INET, .ndm_ifindex = 1, .ndm_flags = NTF_PROXY};
	struct arpreq published = {.arp_pa = {.sa_family = AF_INET}, .arp_flags = ATF_PUBL | ATF_COM, .arp_dev = "lo"};
	struct sockaddr_in *address = (void *)&published.arp_pa;
	int fd;

	enter();
	open_asker(0);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	begin(RTM_DELNEIGH, NLM_F_ACK, &body, sizeof(body));
	add_address(NDA_DST, "10.98.7.6");
	CHECK_STRING(asked(), "2");
	begin(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(NDA_DST, "10.98.7.6");
	CHECK_STRING(asked(), "0");
	CHECK_STRING(list_of(RTM_GETNEIGH, &body, sizeof(body), NDA_DST, "10.98.7.6"), "0a620706");
	address->sin_addr.s_addr = inet_addr("10.98.7.8");
	CHECK_EQ(ioctl(fd, SIOCSARP, &published), 0);
	CHECK_STRING(list_of(RTM_GETNEIGH, &body, sizeof(body), NDA_DST, "10.98.7.8"), "0a620708");
	CHECK_EQ(ioctl(fd, SIOCDARP, &published), 0);
	CHECK_ERRNO(ioctl(fd, SIOCDARP, &published), ENOENT);
}

ROOTS_TEST(settings_are_told)
{
	struct netconfmsg body = {.ncm_family = AF_INET};

	enter();
	open_asker(0);
	CHECK_STRING(list_of(RTM_GETNETCONF, &body, sizeof(body), NETCONFA_IFINDEX, NULL), "01000000" "ffffffff" "feffffff");
	CHECK_STRING(list_of(RTM_GETNETCONF, &body, sizeof(body), NETCONFA_FORWARDING, NULL), "00000000" "00000000" "00000000");
	begin(RTM_GETNETCONF, 0, "\2\0\0\0", 4);
	CHECK_STRING(asked(), "22");
	add_number(NETCONFA_IFINDEX, 77);
	CHECK_STRING(asked(), "19");
}

ROOTS_TEST(routes_of_which_others_decide_lead_nowhere)
{
	struct rtmsg way = {.rtm_family = AF_INET, .rtm_dst_len = 32};

	enter();
	open_asker(0);
	NEW_ROUTE("10.7.0.0", 16, RTN_XRESOLVE, RT_SCOPE_NOWHERE);
	CHECK_STRING(asked(), "0");
	begin(RTM_GETROUTE, 0, &way, sizeof(way));
	add_address(RTA_DST, "10.7.1.1");
	CHECK_STRING(asked(), "22");
	NEW_ROUTE("2001:db8:7::", 48, RTN_XRESOLVE, RT_SCOPE_UNIVERSE);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "0");
}

ROOTS_TEST(who_asks_for_a_way_is_looked_at_before_the_interface)
{
	struct rtmsg way = {.rtm_family = AF_INET, .rtm_dst_len = 32};

	enter();
	open_asker(0);
	begin(RTM_GETROUTE, 0, &way, sizeof(way));
	add_address(RTA_DST, "127.0.0.9");
	add_address(RTA_SRC, "10.0.0.2");
	add_number(RTA_OIF, 99);
	CHECK_STRING(asked(), "101");
	begin(RTM_GETROUTE, 0, &way, sizeof(way));
	add_address(RTA_DST, "127.0.0.9");
	add_number(RTA_OIF, 99);
	CHECK_STRING(asked(), "19");
}

ROOTS_TEST(neighbours_that_are_kept_known)
{
	struct ndmsg body = {.ndm_family = AF_INET, .ndm_ifindex = 1, .ndm_state = NUD_PERMANENT};

	enter();
	open_asker(0);
	begin(RTM_NEWNEIGH, NLM_F_ACK, &body, sizeof(body));
	add_address(NDA_DST, "10.98.7.6");
	add_number(NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	CHECK_STRING(asked(), "2");
	request.header.nlmsg_flags |= NLM_F_CREATE;
	CHECK_STRING(asked(), "22 Invalid NTF_* flag for permanent entry");
	body.ndm_ifindex = 0;
	begin(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(NDA_DST, "10.98.7.6");
	add_number(NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	CHECK_STRING(asked(), "22 Device not specified");
	begin(RTM_NEWNEIGH, NLM_F_ACK, &body, sizeof(body));
	add(NDA_FLAGS_EXT | NLA_F_NESTED, "\1", 4);
	CHECK_STRING(asked(), "22 NLA_F_NESTED not expected at 28 policy of 24");
}

static const char *describe_neighbour(int how, int state, int flags)
{
	struct ndmsg body = {.ndm_family = AF_INET6, .ndm_ifindex = 1, .ndm_state = (unsigned short)state, .ndm_flags = (unsigned char)flags};

	begin(RTM_NEWNEIGH, NLM_F_ACK | how, &body, sizeof(body));
	add_address(NDA_DST, "2001:db8::6");
	return asked();
}

static int flags_of_neighbour(void)
{
	struct ndmsg body = {.ndm_family = AF_INET6, .ndm_ifindex = 1};

	begin(RTM_GETNEIGH, 0, &body, sizeof(body));
	add_address(NDA_DST, "2001:db8::6");
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	CHECK_EQ(((struct nlmsghdr *)answers)->nlmsg_type, RTM_NEWNEIGH);
	return ((struct ndmsg *)NLMSG_DATA(answers))->ndm_flags;
}

ROOTS_TEST(who_is_a_router_is_changed_by_replacing)
{
	enter();
	open_asker(0);
	CHECK_STRING(describe_neighbour(NLM_F_CREATE, NUD_PERMANENT, 0), "0");
	CHECK_EQ(flags_of_neighbour(), 0);
	CHECK_STRING(describe_neighbour(0, NUD_PERMANENT, NTF_ROUTER | NTF_EXT_LEARNED), "0");
	CHECK_EQ(flags_of_neighbour(), NTF_EXT_LEARNED);
	CHECK_STRING(describe_neighbour(NLM_F_REPLACE, NUD_PERMANENT, NTF_ROUTER), "0");
	CHECK_EQ(flags_of_neighbour(), NTF_ROUTER);
	CHECK_STRING(describe_neighbour(NLM_F_CREATE, NUD_PERMANENT, NTF_EXT_LEARNED), "0");
	CHECK_EQ(flags_of_neighbour(), NTF_ROUTER | NTF_EXT_LEARNED);
	CHECK_STRING(describe_neighbour(NLM_F_REPLACE, NUD_FAILED, 0), "0");
	CHECK_EQ(flags_of_neighbour(), NTF_ROUTER);
	CHECK_STRING(describe_neighbour(NLM_F_REPLACE, NUD_PERMANENT, 0), "22 No link layer address given");
}

static const char *told_of_way(int flags, const char *target, const char *source, int way, int by)
{
	struct rtmsg body = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = (unsigned)flags};
	static char text[64];
	struct nlmsghdr *header = (void *)answers;
	struct rtmsg *told = NLMSG_DATA(header);
	int rest, out = 0;

	begin(RTM_GETROUTE, 0, &body, sizeof(body));
	if (target)
		add_address(RTA_DST, target);
	if (source)
		add_address(RTA_SRC, source);
	if (by)
		add_number(way, (unsigned)by);
	add_number(RTA_UID, 7);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	if (header->nlmsg_type == NLMSG_ERROR) {
		snprintf(text, sizeof(text), "error %d", -((struct nlmsgerr *)told)->error);
		return text;
	}
	rest = (int)RTM_PAYLOAD(header);
	for (struct rtattr *at = RTM_RTA(told); RTA_OK(at, rest); at = RTA_NEXT(at, rest))
		if (at->rta_type == RTA_OIF || at->rta_type == RTA_UID)
			out = out * 10 + *(int *)RTA_DATA(at);
	snprintf(text, sizeof(text), "type %d %d", told->rtm_type, out);
	return text;
}

ROOTS_TEST(ways_that_are_in_no_table)
{
	enter();
	open_asker(0);
	CHECK_STRING(told_of_way(0, NULL, NULL, RTA_OIF, 1), "type 2 17");
	CHECK_STRING(told_of_way(RTM_F_FIB_MATCH, NULL, NULL, RTA_OIF, 1), "error 113");
	CHECK_STRING(told_of_way(0, NULL, NULL, RTA_IIF, 1), "type 3 17");
	CHECK_STRING(told_of_way(RTM_F_FIB_MATCH, NULL, NULL, RTA_IIF, 1), "error 113");
	CHECK_STRING(told_of_way(0, "224.0.0.5", "127.0.0.1", 0, 0), "type 5 17");
	CHECK_STRING(told_of_way(0, "239.0.0.5", "127.0.0.1", 0, 0), "type 5 17");
	CHECK_STRING(told_of_way(0, "255.255.255.255", "127.0.0.9", 0, 0), "type 3 17");
	CHECK_STRING(told_of_way(0, "224.0.0.5", NULL, 0, 0), "error 101");
	CHECK_STRING(told_of_way(RTM_F_FIB_MATCH, "224.0.0.5", "127.0.0.1", 0, 0), "error 113");
	CHECK_STRING(told_of_way(0, "239.0.0.5", NULL, RTA_OIF, 1), "type 5 17");
}

ROOTS_TEST(the_peers_address_is_joined)
{
	struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1};

	enter();
	open_asker(0);
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(IFA_LOCAL, "224.0.0.5");
	add_address(IFA_ADDRESS, "10.0.0.3");
	add_number(IFA_FLAGS, IFA_F_MCAUTOJOIN);
	CHECK_STRING(asked(), "22 ipv4: Multicast auto join failed");
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(IFA_LOCAL, "10.0.0.3");
	add_address(IFA_ADDRESS, "224.0.0.5");
	add_number(IFA_FLAGS, IFA_F_MCAUTOJOIN);
	CHECK_STRING(asked(), "0");
}

ROOTS_TEST(what_is_cut_into_segments_has_a_limit)
{
	struct ifinfomsg body = {.ifi_index = 1};
	static const struct {
		int kind;
		unsigned value;
		const char *answer;
	} cases[] = {
		{IFLA_GSO_MAX_SEGS, 0, "0"},
		{IFLA_GSO_MAX_SEGS, 65536, "22 too big gso_max_segs"},
		{IFLA_GSO_MAX_SIZE, 192, "34 integer out of range at 32 policy of 36"},
		{IFLA_GSO_MAX_SIZE, 193, "0"},
		{IFLA_GSO_MAX_SIZE, 524281, "22 too big gso_max_size"},
		{IFLA_GRO_MAX_SIZE, 524281, "22 too big gro_max_size"},
		{IFLA_GRO_MAX_SIZE, 524280, "0"},
	};

	enter();
	open_asker(0);
	for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
		begin(RTM_SETLINK, NLM_F_ACK, &body, sizeof(body));
		add_number(cases[at].kind, cases[at].value);
		CHECK_STRING(asked(), cases[at].answer);
	}
}

ROOTS_TEST(an_empty_label_is_none)
{
	struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1};

	enter();
	open_asker(0);
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(IFA_LOCAL, "10.0.0.3");
	add(IFA_LABEL, "", 1);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(of_address(AF_INET, "10.0.0.3", IFA_LABEL), "");
}

static int net_ends(void)
{
	const char *cache = of_route(AF_INET6, "2001:db8:7::", RTA_CACHEINFO);

	return strlen(cache) == 64 ? strncmp(cache + 16, "00000000", 8) != 0 : -1;
}

ROOTS_TEST(the_route_to_the_net_of_an_address_ends_with_it)
{
	struct ifaddrmsg body = {.ifa_family = AF_INET6, .ifa_prefixlen = 64};
	struct ifreq up = {.ifr_name = "bridge", .ifr_flags = IFF_UP};
	struct ifa_cacheinfo lifetimes = {.ifa_prefered = 1000, .ifa_valid = 2000};

	int fd;

	enter();
	open_asker(0);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(ioctl(fd, SIOCBRADDBR, "bridge"));
	MUST(ioctl(fd, SIOCSIFFLAGS, &up));
	body.ifa_index = if_nametoindex("bridge");
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(IFA_LOCAL, "2001:db8:7::1");
	add(IFA_CACHEINFO, &lifetimes, sizeof(lifetimes));
	CHECK_STRING(asked(), "0");
	CHECK_EQ(net_ends(), 1);
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(IFA_LOCAL, "2001:db8:7::2");
	CHECK_STRING(asked(), "0");
	CHECK_EQ(net_ends(), 0);
}

/* How many messages of a type a list of tcmsgs or nhmsgs has; -1 if it ends in an error. */
static int count_listed(int type, int told_type, size_t header_bytes)
{
	static const char zeros[sizeof(struct tcmsg)];
	int count = 0;

	begin(type, NLM_F_DUMP, zeros, header_bytes);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	for (;;) {
		int length = (int)MUST(recv(asker, answers, sizeof(answers), 0));

		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			if (header->nlmsg_type == NLMSG_DONE)
				return *(int *)NLMSG_DATA(header) == 0 ? count : -1;
			if (header->nlmsg_type == NLMSG_ERROR)
				return -1;
			count += header->nlmsg_type == told_type;
		}
	}
}

ROOTS_TEST(how_packets_are_queued)
{
	struct tcmsg wanted = {.tcm_ifindex = 1, .tcm_parent = TC_H_ROOT};
	struct tcmsg *told = NLMSG_DATA((struct nlmsghdr *)answers);
	struct rtattr *kind = (void *)(told + 1);

	enter();
	for (int is_strict = 0; is_strict < 2; is_strict++) {
		open_asker(is_strict);
		CHECK_EQ(count_listed(RTM_GETQDISC, RTM_NEWQDISC, sizeof(wanted)), 1);
		CHECK_EQ(told->tcm_ifindex, 1);
		CHECK_EQ(told->tcm_parent, TC_H_ROOT);
		CHECK_EQ(kind->rta_type, TCA_KIND);
		CHECK_STRING((char *)RTA_DATA(kind), "noqueue");
		CHECK_EQ(count_listed(RTM_GETTCLASS, RTM_NEWTCLASS, sizeof(wanted)), 0);
		CHECK_EQ(count_listed(RTM_GETTFILTER, RTM_NEWTFILTER, sizeof(wanted)), 0);
		CHECK_EQ(count_listed(RTM_GETCHAIN, RTM_NEWCHAIN, sizeof(wanted)), 0);
		CHECK_EQ(count_listed(RTM_GETNEXTHOP, RTM_NEWNEXTHOP, sizeof(struct nhmsg)), 0);
	}
	begin(RTM_DELQDISC, NLM_F_ACK, &wanted, sizeof(wanted));
	CHECK_STRING(asked(), "2 Cannot delete qdisc with handle of zero");
	begin(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE, &wanted, sizeof(wanted));
	add(TCA_KIND, "nobody's", 9);
	CHECK_STRING(asked(), "2 Specified qdisc kind is unknown");
	wanted.tcm_parent = 0;
	begin(RTM_DELQDISC, NLM_F_ACK, &wanted, sizeof(wanted));
	CHECK_STRING(asked(), "2 Failed to find qdisc with specified handle");
	begin(RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE, &wanted, sizeof(wanted));
	CHECK_STRING(asked(), "22 Qdisc not classful");
	begin(RTM_DELTCLASS, NLM_F_ACK, &wanted, sizeof(wanted));
	CHECK_STRING(asked(), "2");
	wanted.tcm_ifindex = 99;
	begin(RTM_DELQDISC, NLM_F_ACK, &wanted, sizeof(wanted));
	CHECK_STRING(asked(), "19");
	begin(RTM_DELNEXTHOP, NLM_F_ACK, &(struct nhmsg){0}, sizeof(struct nhmsg));
	CHECK_STRING(asked(), "22 Nexthop id is missing");
	begin(RTM_DELNEXTHOP, NLM_F_ACK, &(struct nhmsg){0}, sizeof(struct nhmsg));
	add_number(NHA_ID, 5);
	CHECK_STRING(asked(), "2");
}

static void begin_label(int type, int flags, const char *net, int length, int label)
{
	struct ifaddrlblmsg body = {.ifal_family = AF_INET6, .ifal_prefixlen = (unsigned char)length};

	begin(type, flags, &body, sizeof(body));
	add_address(IFAL_ADDRESS, net);
	if (label >= 0)
		add_number(IFAL_LABEL, (unsigned)label);
}

/* From where a datagram goes whose sender has chosen nothing. */
static const char *source_to(const char *target)
{
	static char text[INET6_ADDRSTRLEN];
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	socklen_t size = sizeof(name);
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	MUST(inet_pton(AF_INET6, target, &name.sin6_addr) == 1 ? 0 : -1);
	MUST(connect(fd, (void *)&name, sizeof(name)));
	MUST(getsockname(fd, (void *)&name, &size));
	close(fd);
	return inet_ntop(AF_INET6, &name.sin6_addr, text, sizeof(text));
}

ROOTS_TEST(labels_of_nets)
{
	static const char *const own[] = {"2001:db8:1::1", "fd00::1"};
	struct nlmsghdr *header = (void *)answers;
	struct ifaddrlblmsg *told = NLMSG_DATA(header);
	struct rtattr *address = (void *)(told + 1);

	enter();
	open_asker(1);
	for (size_t at = 0; at < LENGTH(own); at++) {
		begin_address(RTM_NEWADDR, NLM_F_CREATE, own[at], 128);
		/* Detection is done by a work queue, and no source is tentative until then. */
		((struct ifaddrmsg *)request.data)->ifa_flags = IFA_F_NODAD;
		CHECK_STRING(asked(), "0");
	}
	NEW_ROUTE("2001:db8:9::", 48, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(source_to("2001:db8:9::1"), "2001:db8:1::1");
	begin_label(RTM_GETADDRLABEL, 0, "fd00::1", 128, -1);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	CHECK_EQ(header->nlmsg_type, RTM_NEWADDRLABEL);
	CHECK_EQ(told->ifal_prefixlen, 7);
	CHECK_EQ(told->ifal_seq, 10);
	CHECK_EQ(address->rta_type, IFAL_ADDRESS);
	CHECK_EQ(*(unsigned *)RTA_DATA(RTA_NEXT(address, (int){100})), 5);
	begin_label(RTM_NEWADDRLABEL, NLM_F_ACK | NLM_F_CREATE, "2001:db8:9::", 48, 99);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(source_to("2001:db8:9::1"), "2001:db8:1::1");
	begin_label(RTM_NEWADDRLABEL, NLM_F_ACK | NLM_F_CREATE, "fd00::7", 8, 99);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(source_to("2001:db8:9::1"), "fd00::1");
	begin_label(RTM_NEWADDRLABEL, NLM_F_ACK | NLM_F_CREATE, "fd00::", 8, 98);
	CHECK_STRING(asked(), "17");
	begin_label(RTM_NEWADDRLABEL, NLM_F_ACK | NLM_F_REPLACE, "fd00::", 8, 98);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(source_to("2001:db8:9::1"), "2001:db8:1::1");
	begin_label(RTM_DELADDRLABEL, NLM_F_ACK, "fd00::", 8, 98);
	CHECK_STRING(asked(), "0");
	begin_label(RTM_DELADDRLABEL, NLM_F_ACK, "fd00::", 8, 98);
	CHECK_STRING(asked(), "3");
	begin_label(RTM_NEWADDRLABEL, NLM_F_ACK, "fd00::", 129, 98);
	CHECK_STRING(asked(), "22");
	begin_label(RTM_NEWADDRLABEL, NLM_F_ACK, "fd00::", 8, -1);
	CHECK_STRING(asked(), "22");
	begin_label(RTM_GETADDRLABEL, NLM_F_ACK, "fd00::", 8, -1);
	CHECK_STRING(asked(), "22");
}

ROOTS_TEST(second_addresses_that_come_first)
{
	int fd;

	enter();
	open_asker(1);
	fd = MUST(open("/proc/sys/net/ipv4/conf/lo/promote_secondaries", O_WRONLY));
	write_all(fd, "1", 1);
	for (int last = 1; last < 4; last++) {
		char address[16];

		snprintf(address, sizeof(address), "10.0.0.%d", last);
		begin_address(RTM_NEWADDR, NLM_F_CREATE, address, 24);
		CHECK_STRING(asked(), "0");
	}
	CHECK_STRING(of_address(AF_INET, "10.0.0.2", IFA_FLAGS), "81000000");
	CHECK_STRING(of_route(AF_INET, "10.0.0.0", RTA_PREFSRC), "0a000001");
	begin_address(RTM_DELADDR, 0, "10.0.0.1", 24);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(of_address(AF_INET, "10.0.0.1", IFA_FLAGS), "");
	CHECK_STRING(of_address(AF_INET, "10.0.0.2", IFA_FLAGS), "80000000");
	CHECK_STRING(of_address(AF_INET, "10.0.0.3", IFA_FLAGS), "81000000");
	CHECK_STRING(of_route(AF_INET, "10.0.0.0", RTA_PREFSRC), "0a000002");
	CHECK_STRING(of_route(AF_INET, "10.0.0.3", RTA_PREFSRC), "0a000002");
	MUST(pwrite(fd, "0", 1, 0));
	begin_address(RTM_DELADDR, 0, "10.0.0.2", 24);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(of_address(AF_INET, "10.0.0.3", IFA_FLAGS), "");
}
