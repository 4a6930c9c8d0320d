/* Next hops as objects of their own, groups of them, and the routes that lead there (ip-nexthop(8)). */
#include "route_ways.h"

#include <linux/nexthop.h>

#define NET "10.1.0.0"
#define NET_6 "2001:db8:9::"
#define NEW_ROUTE(flags, net, length) begin_route(RTM_NEWROUTE, NLM_F_CREATE | (flags), net, length, RTN_UNICAST, RT_SCOPE_UNIVERSE)
#define OLD_ROUTE(net, length) begin_route(RTM_DELROUTE, 0, net, length, 0, RT_SCOPE_NOWHERE)

static void begin_hop(int type, int flags, int family, unsigned id)
{
	struct nhmsg body = {.nh_family = (unsigned char)family};

	begin(type, NLM_F_ACK | flags, &body, sizeof(body));
	if (id)
		add_number(NHA_ID, id);
}

#define NEW_HOP(id, family) begin_hop(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_EXCL, family, id)
#define NEXT_HOP(id, family) begin_hop(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, family, id)

static const char *by(const char *gateway, unsigned index)
{
	if (gateway != NULL)
		add_address(NHA_GATEWAY, gateway);
	if (index)
		add_number(NHA_OIF, index);
	return asked();
}

static const char *group_of(int count, const struct nexthop_grp *members)
{
	add(NHA_GROUP, members, (size_t)count * sizeof(*members));
	return asked();
}

static const char *gone(unsigned id)
{
	begin_hop(RTM_DELNEXTHOP, 0, 0, id);
	return asked();
}

static void tell_hop(const struct nlmsghdr *header)
{
	struct nhmsg *body = NLMSG_DATA(header);
	struct rtattr *each = (void *)((char *)NLMSG_DATA(header) + sizeof(*body));
	int rest = (int)header->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*body));

	for (; RTA_OK(each, rest); each = RTA_NEXT(each, rest))
		switch (each->rta_type) {
		case NHA_ID:
			tell("%u", *(unsigned *)RTA_DATA(each));
			break;
		case NHA_GROUP:
			for (size_t at = 0; at < RTA_PAYLOAD(each) / sizeof(struct nexthop_grp); at++) {
				struct nexthop_grp *member = (struct nexthop_grp *)RTA_DATA(each) + at;

				tell(" %u*%d", member->id, (((unsigned char *)member)[5] << 8 | member->weight) + 1);
			}
			break;
		case NHA_GATEWAY:
			tell_gateway(body->nh_family, each);
			break;
		case NHA_OIF:
			tell(" dev %d scope %d", *(int *)RTA_DATA(each), body->nh_scope);
			break;
		case NHA_BLACKHOLE:
			tell(" blackhole");
			break;
		case NHA_FDB:
			tell(" fdb");
			break;
		default:
			break;
		}
	tell_flags(body->nh_flags);
	tell(";");
}

static const char *all_hops(int attribute, unsigned value)
{
	begin_hop(RTM_GETNEXTHOP, NLM_F_DUMP, 0, 0);
	if (attribute == NHA_GROUPS)
		add(attribute, NULL, 0);
	else if (attribute)
		add_number(attribute, value);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	told_length = 0;
	told_text[0] = '\0';
	for (;;) {
		int length = (int)MUST(recv(asker, answers, sizeof(answers), 0));

		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			if (header->nlmsg_type == NLMSG_DONE)
				return told_text;
			tell_hop(header);
		}
	}
}

static const char *heard(int listener)
{
	told_length = 0;
	told_text[0] = '\0';
	for (;;) {
		int length = (int)recv(listener, answers, sizeof(answers), 0);

		if (length == -1)
			return told_text;
		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			tell("%s %x ", header->nlmsg_type == RTM_NEWNEXTHOP ? "new" : "gone", header->nlmsg_flags);
			tell_hop(header);
		}
	}
}

/* Two by IPv4, 1 and 2; two by IPv6, 6 and 7; one that leads nowhere, 3; and the groups 10 (of 1 and 2) and 11 (of 6 and 7). */
static void make_hops(void)
{
	struct nexthop_grp of_4[] = {{.id = 1}, {.id = 2, .weight = 2}}, of_6[] = {{.id = 6}, {.id = 7}};

	enter_with_pairs();
	NEW_HOP(1, AF_INET);
	CHECK_STRING(by("10.0.0.2", V0), "0");
	NEW_HOP(2, AF_INET);
	CHECK_STRING(by("10.0.1.2", W0), "0");
	NEW_HOP(3, AF_INET);
	add(NHA_BLACKHOLE, NULL, 0);
	CHECK_STRING(asked(), "0");
	NEW_HOP(6, AF_INET6);
	CHECK_STRING(by("2001:db8::2", V0), "0");
	NEW_HOP(7, AF_INET6);
	CHECK_STRING(by("2001:db8:1::2", W0), "0");
	NEW_HOP(10, 0);
	CHECK_STRING(group_of(2, of_4), "0");
	NEW_HOP(11, 0);
	CHECK_STRING(group_of(2, of_6), "0");
}

ROOTS_TEST(next_hops_are_kept_and_told)
{
	struct nexthop_grp heavy[] = {{.id = 1, .weight = 0xff}, {.id = 7}};
	int listener;

	make_hops();
	listener = listen_to(1U << (RTNLGRP_NEXTHOP - 1));
	NEW_HOP(4, AF_INET);
	CHECK_STRING(by(NULL, W0), "0");
	NEW_HOP(0, AF_INET);
	CHECK_STRING(by("10.0.0.1", V0), "0");
	((unsigned char *)heavy)[5] = 1;
	NEW_HOP(12, 0);
	CHECK_STRING(group_of(2, heavy), "0");
	CHECK_STRING(heard(listener), "new 605 4 dev 5 scope 254;new 605 5 dev 3 scope 254 via 10.0.0.1;new 605 12 1*512 7*1;");
	CHECK_STRING(all_hops(0, 0), "1 dev 3 scope 253 via 10.0.0.2;2 dev 5 scope 253 via 10.0.1.2;3 blackhole;4 dev 5 scope 254;"
				     "5 dev 3 scope 254 via 10.0.0.1;6 dev 3 scope 253 via 2001:db8::2;"
				     "7 dev 5 scope 253 via 2001:db8:1::2;10 1*1 2*3;11 6*1 7*1;12 1*512 7*1;");
	CHECK_STRING(all_hops(NHA_OIF, V0), "1 dev 3 scope 253 via 10.0.0.2;5 dev 3 scope 254 via 10.0.0.1;6 dev 3 scope 253 via 2001:db8::2;");
	CHECK_STRING(all_hops(NHA_GROUPS, 0), "10 1*1 2*3;11 6*1 7*1;12 1*512 7*1;");
	NEXT_HOP(1, AF_INET);
	CHECK_STRING(by("10.0.0.7", V0), "0");
	CHECK_STRING(gone(2), "0");
	CHECK_STRING(gone(2), "2");
	CHECK_STRING(heard(listener), "new 505 1 dev 3 scope 253 via 10.0.0.7;gone 5 2 dev 5 scope 253 via 10.0.1.2;new 5 10 1*1;");
	/* A group goes with its last. */
	CHECK_STRING(gone(1), "0");
	CHECK_STRING(heard(listener), "gone 5 1 dev 3 scope 253 via 10.0.0.7;gone 5 10 1*1;new 5 12 7*1;");
	/* With their interface they go untold. */
	set_link(RTM_NEWLINK, W0, 0);
	CHECK_STRING(all_hops(0, 0), "3 blackhole;5 dev 3 scope 254 via 10.0.0.1;6 dev 3 scope 253 via 2001:db8::2;11 6*1;");
	set_link(RTM_NEWLINK, V0, 0);
	CHECK_STRING(all_hops(0, 0), "3 blackhole;");
	CHECK_STRING(heard(listener), "");
}

ROOTS_TEST(next_hops_are_refused_with_a_reason)
{
	struct nexthop_grp twice[] = {{.id = 1}, {.id = 1}}, nested[] = {{.id = 10}}, nowhere[] = {{.id = 3}, {.id = 1}};
	struct nexthop_grp none[] = {{.id = 99}}, one[] = {{.id = 1}}, of_fdb[] = {{.id = 20}};

	make_hops();
	NEW_HOP(1, AF_INET);
	CHECK_STRING(by("10.0.0.9", V0), "17");
	NEW_HOP(20, AF_INET);
	CHECK_STRING(by("10.9.9.9", V0), "101 Nexthop has invalid gateway");
	NEW_HOP(20, AF_INET);
	CHECK_STRING(by("10.0.0.9", 0), "22 Device attribute required for non-blackhole and non-fdb nexthops");
	NEW_HOP(20, AF_INET);
	CHECK_STRING(by("10.0.0.9", 99), "22 Invalid device index");
	NEW_HOP(20, AF_INET);
	CHECK_STRING(by("2001:db8::9", V0), "22 Invalid gateway");
	NEW_HOP(20, 0);
	CHECK_STRING(by("10.0.0.9", V0), "22 Invalid address family");
	NEW_HOP(20, AF_INET);
	add(NHA_BLACKHOLE, NULL, 0);
	CHECK_STRING(by(NULL, V0), "22 Blackhole attribute can not be used with gateway, oif, encap or fdb");
	NEW_HOP(20, AF_INET);
	add_number(NHA_BLACKHOLE, 1);
	CHECK_STRING(asked(), "34 Attribute failed policy validation at 32 policy of 12");
	NEW_HOP(20, AF_INET);
	((struct nhmsg *)(void *)request.data)->nh_flags = RTNH_F_ONLINK;
	CHECK_STRING(by(NULL, V0), "22 ONLINK flag can not be set for nexthop without a gateway");
	NEW_HOP(20, AF_INET);
	((struct nhmsg *)(void *)request.data)->nh_scope = 3;
	CHECK_STRING(by("10.0.0.9", V0), "22 Invalid values in ancillary header");
	NEW_HOP(20, AF_INET);
	((struct nhmsg *)(void *)request.data)->nh_flags = RTNH_F_DEAD;
	CHECK_STRING(by("10.0.0.9", V0), "22 Invalid nexthop flags in ancillary header");
	NEW_HOP(20, AF_INET);
	add_number(50, 1);
	CHECK_STRING(asked(), "22 Unknown attribute type at 32");
	NEW_HOP(20, AF_INET);
	add_number(NHA_GROUPS, 1);
	CHECK_STRING(asked(), "22 Unsupported attribute at 32");
	NEXT_HOP(0, AF_INET);
	CHECK_STRING(by("10.0.0.9", V0), "22 Replace requires nexthop id");
	begin_hop(RTM_NEWNEXTHOP, NLM_F_REPLACE, AF_INET, 20);
	CHECK_STRING(by("10.0.0.9", V0), "2 Replace specified without create and no entry exists");
	set_link(RTM_NEWLINK, V1, 0);
	NEW_HOP(20, AF_INET);
	CHECK_STRING(by("10.0.0.9", V0), "100 Carrier for nexthop device is down");
	set_link(RTM_NEWLINK, V0, 0);
	NEW_HOP(20, AF_INET);
	CHECK_STRING(by("10.0.0.9", V0), "100 Nexthop device is not up");
	set_link(RTM_NEWLINK, V1, IFF_UP);
	set_link(RTM_NEWLINK, V0, IFF_UP);
	NEW_HOP(1, AF_INET);
	CHECK_STRING(by("10.0.0.2", V0), "0");
	NEW_HOP(21, 0);
	CHECK_STRING(group_of(2, twice), "22 Nexthop id can not be used twice in a group");
	NEW_HOP(21, 0);
	CHECK_STRING(group_of(1, nested), "22 Hash-threshold group can not be a nexthop within a group");
	NEW_HOP(21, 0);
	CHECK_STRING(group_of(2, nowhere), "22 Blackhole nexthop can not be used in a group with more than 1 path");
	NEW_HOP(21, 0);
	CHECK_STRING(group_of(1, none), "22 Invalid nexthop id");
	NEW_HOP(21, 0);
	CHECK_STRING(group_of(0, none), "22 Invalid length for nexthop group attribute");
	NEW_HOP(21, AF_INET);
	CHECK_STRING(group_of(1, one), "22 Invalid family for group");
	one[0].resvd2 = 1;
	NEW_HOP(21, 0);
	CHECK_STRING(group_of(1, one), "22 Reserved field in nexthop_grp must be 0");
	one[0].resvd2 = 0;
	NEW_HOP(21, 0);
	add_number(NHA_OIF, V0);
	CHECK_STRING(group_of(1, one), "22 No other attributes can be set in nexthop groups");
	NEW_HOP(20, AF_INET);
	add(NHA_FDB, NULL, 0);
	CHECK_STRING(by("10.5.5.5", 0), "0");
	NEW_HOP(21, 0);
	CHECK_STRING(group_of(1, of_fdb), "22 Non FDB nexthop group cannot have fdb nexthops");
	NEW_HOP(21, 0);
	add(NHA_FDB, NULL, 0);
	CHECK_STRING(group_of(1, one), "22 FDB nexthop group can only have fdb nexthops");
	NEW_HOP(21, 0);
	add(NHA_FDB, NULL, 0);
	CHECK_STRING(group_of(1, of_fdb), "0");
	NEW_ROUTE(0, NET, 16);
	add_number(RTA_NH_ID, 21);
	CHECK_STRING(asked(), "22 Route cannot point to a fdb nexthop");
	CHECK_STRING(gone(0), "22 Nexthop id is missing");
	begin_hop(RTM_DELNEXTHOP, 0, 0, 0);
	add_number(NHA_ID, 0);
	CHECK_STRING(asked(), "22 Invalid nexthop id");
	begin_hop(RTM_DELNEXTHOP, 0, AF_INET, 1);
	((struct nhmsg *)(void *)request.data)->nh_protocol = 3;
	CHECK_STRING(asked(), "22 Invalid values in header");
}

ROOTS_TEST(routes_lead_to_next_hops)
{
	struct nexthop_grp other[] = {{.id = 1}, {.id = 7, .weight = 4}}, alone[] = {{.id = 2}};
	int listener;

	make_hops();
	listener = listen_to(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE);
	NEW_ROUTE(0, NET, 16);
	add_number(RTA_NH_ID, 1);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, "10.2.0.0", 16);
	add_number(RTA_NH_ID, 10);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, "10.3.0.0", 16);
	add_number(RTA_NH_ID, 3);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, "10.4.0.0", 16);
	add_number(RTA_NH_ID, 99);
	CHECK_STRING(asked(), "22 Nexthop id does not exist");
	NEW_ROUTE(0, NET_6, 48);
	add_number(RTA_NH_ID, 11);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, "2001:db8:a::", 48);
	add_number(RTA_NH_ID, 1);
	CHECK_STRING(asked(), "22 IPv6 routes can not use an IPv4 nexthop");
	NEW_ROUTE(0, "2001:db8:b::", 48);
	add_number(RTA_NH_ID, 6);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(routes_to(NET), " nhid 1 via 10.0.0.2 dev 3;");
	CHECK_STRING(routes_to("10.2.0.0"), " nhid 10 [ via 10.0.0.2 dev 3 weight 1] [ via 10.0.1.2 dev 5 weight 3];");
	CHECK_STRING(routes_to("10.3.0.0"), " type 6 nhid 3 dev 1;");
	CHECK_STRING(routes_to(NET_6), " nhid 11 [ via 2001:db8::2 dev 3 weight 1] [ via 2001:db8:1::2 dev 5 weight 1];");
	CHECK_STRING(routes_to("2001:db8:b::"), " nhid 6 via 2001:db8::2 dev 3;");
	CHECK_STRING(way_to("10.1.0.1", 0), " dev 3 via 10.0.0.2");
	CHECK_STRING(way_to("10.3.0.1", 0), " error 22");
	CHECK_STRING(way_to("10.1.0.1", RTM_F_FIB_MATCH), " nhid 1 via 10.0.0.2 dev 3");
	/* What becomes of a next hop becomes of the routes. */
	heard_of(listener, NET);
	NEXT_HOP(1, AF_INET);
	CHECK_STRING(by("10.0.0.7", V0), "0");
	CHECK_STRING(heard_of(listener, NET), "new 100 nhid 1 via 10.0.0.7 dev 3;");
	CHECK_STRING(routes_to("10.2.0.0"), " nhid 10 [ via 10.0.0.7 dev 3 weight 1] [ via 10.0.1.2 dev 5 weight 3];");
	NEXT_HOP(1, AF_INET);
	add(NHA_BLACKHOLE, NULL, 0);
	CHECK_STRING(asked(), "22 Blackhole nexthop can not be a member of a group with more than one path");
	NEXT_HOP(10, 0);
	CHECK_STRING(group_of(2, other), "0");
	NEXT_HOP(10, AF_INET);
	CHECK_STRING(by("10.0.0.7", V0), "22 Can not replace a nexthop group with a nexthop.");
	NEXT_HOP(1, 0);
	CHECK_STRING(group_of(1, alone), "22 Can not replace a nexthop with a nexthop group.");
	NEXT_HOP(6, AF_INET);
	CHECK_STRING(by("10.0.0.7", V0), "22 IPv6 routes can not use an IPv4 nexthop");
	OLD_ROUTE(NET, 16);
	add_number(RTA_NH_ID, 2);
	CHECK_STRING(asked(), "3");
	OLD_ROUTE(NET, 16);
	add_number(RTA_NH_ID, 99);
	CHECK_STRING(asked(), "22 Nexthop id does not exist");
	OLD_ROUTE(NET, 16);
	add_number(RTA_OIF, V0);
	CHECK_STRING(asked(), "3");
	OLD_ROUTE(NET, 16);
	CHECK_STRING(asked(), "0");
	OLD_ROUTE("2001:db8:b::", 48);
	add_number(RTA_OIF, W0);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, "2001:db8:b::", 48);
	add_number(RTA_NH_ID, 6);
	CHECK_STRING(asked(), "0");
	/* With the next hops the routes go. */
	heard_of(listener, NET);
	CHECK_STRING(gone(1), "0");
	CHECK_STRING(gone(7), "0");
	CHECK_STRING(gone(3), "0");
	CHECK_STRING(routes_to("10.2.0.0"), "");
	CHECK_STRING(routes_to("10.3.0.0"), "");
	CHECK_STRING(routes_to(NET_6), " nhid 11 [ via 2001:db8::2 dev 3 weight 1];");
	set_link(RTM_NEWLINK, V0, 0);
	CHECK_STRING(routes_to(NET_6), "");
	CHECK_STRING(heard_of(listener, "2001:db8:b::"), "gone 0 nhid 6 via 2001:db8::2 dev 3;");
}

ROOTS_TEST(routes_without_what_next_hops_are)
{
	int fd;

	make_hops();
	NEW_ROUTE(0, "10.2.0.0", 16);
	add_number(RTA_NH_ID, 10);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, NET_6, 48);
	add_number(RTA_NH_ID, 6);
	add_number(RTA_EXPIRES, 1);
	CHECK_STRING(asked(), "0");
	fd = (int)MUST(open("/proc/sys/net/ipv4/nexthop_compat_mode", O_RDWR));
	CHECK_ERRNO(write(fd, "2", 1), EINVAL);
	CHECK_OK(write(fd, "0", 1));
	close(fd);
	CHECK_STRING(routes_to("10.2.0.0"), " nhid 10;");
	CHECK_STRING(routes_to(NET_6), " nhid 6;");
}

/* By IPv6 it has a gateway even if none was said. */
ROOTS_TEST(next_hops_of_forwarding_databases)
{
	enter_with_pairs();
	NEW_HOP(1, AF_INET);
	add(NHA_FDB, NULL, 0);
	CHECK_STRING(by("0.0.0.0", 0), "0");
	NEW_HOP(2, AF_INET);
	add(NHA_FDB, NULL, 0);
	CHECK_STRING(by("10.5.5.5", 0), "0");
	NEW_HOP(6, AF_INET6);
	add(NHA_FDB, NULL, 0);
	CHECK_STRING(by("::", 0), "0");
	NEW_HOP(7, AF_INET6);
	add(NHA_FDB, NULL, 0);
	CHECK_STRING(by(NULL, 0), "0");
	CHECK_STRING(all_hops(0, 0), "1 fdb;2 fdb via 10.5.5.5;6 fdb via ::;7 fdb via ::;");
}

ROOTS_TEST(gateways_of_another_protocol)
{
	unsigned char via[18] = {AF_INET6};
	unsigned short unknown = 0;

	enter_with_pairs();
	inet_pton(AF_INET6, "2001:db8::2", via + 2);
	NEW_ROUTE(0, NET, 16);
	add(RTA_VIA, via, sizeof(via));
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, NET, 16);
	add(RTA_VIA, via, sizeof(via) - 1);
	CHECK_STRING(asked(), "22 Invalid IPv6 address in RTA_VIA");
	/* Each attribute is looked at where it stands, and the prefix after them. */
	NEW_ROUTE(0, "10.2.0.1", 16);
	add(RTA_ENCAP_TYPE, &unknown, sizeof(unknown));
	add(RTA_VIA, via, sizeof(via) - 1);
	CHECK_STRING(asked(), "22 Unknown lwt encapsulation type");
	NEW_ROUTE(0, "10.2.0.1", 16);
	add(RTA_VIA, via, sizeof(via) - 1);
	add(RTA_ENCAP_TYPE, &unknown, sizeof(unknown));
	add(RTA_VIA, via, sizeof(via));
	CHECK_STRING(asked(), "22 Invalid IPv6 address in RTA_VIA");
	NEW_ROUTE(0, "10.2.0.1", 16);
	add(RTA_VIA, via, sizeof(via));
	CHECK_STRING(asked(), "22 Invalid prefix for given prefix length");
	inet_pton(AF_INET6, "2001:db8::1", via + 2);
	NEW_ROUTE(0, "10.2.0.0", 16);
	add_number(RTA_OIF, V0);
	add(RTA_VIA, via, sizeof(via));
	CHECK_STRING(asked(), "22 Gateway can not be a local address");
	CHECK_STRING(of_route(AF_INET, NET, RTA_VIA), "0a0020010db8000000000000000000000002");
	OLD_ROUTE(NET, 16);
	add_address(RTA_GATEWAY, "10.0.0.2");
	CHECK_STRING(asked(), "3");
	inet_pton(AF_INET6, "2001:db8::2", via + 2);
	OLD_ROUTE(NET, 16);
	add(RTA_VIA, via, sizeof(via));
	CHECK_STRING(asked(), "0");
}

ROOTS_TEST(sources_that_routes_prefer_and_that_go)
{
	enter_with_pairs();
	give_address(RTM_NEWADDR, V0, "10.8.0.1", 24);
	give_address(RTM_NEWADDR, V0, "2001:db8:88::1", 64);
	NEW_ROUTE(0, NET, 16);
	add_number(RTA_OIF, W0);
	add_address(RTA_PREFSRC, "10.8.0.1");
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, "10.2.0.0", 16);
	add_number(RTA_OIF, V0);
	add_address(RTA_PREFSRC, "10.8.0.1");
	add_number(RTA_TABLE, 100);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, NET_6, 48);
	add_number(RTA_OIF, W0);
	add_address(RTA_PREFSRC, "2001:db8:88::1");
	CHECK_STRING(asked(), "0");
	give_address(RTM_DELADDR, V0, "10.8.0.1", 24);
	give_address(RTM_DELADDR, V0, "2001:db8:88::1", 64);
	CHECK_STRING(routes_to(NET), "");
	CHECK_STRING(routes_to("10.2.0.0"), " dev 3;");
	CHECK_STRING(of_route(AF_INET6, NET_6, RTA_OIF), "05000000");
	CHECK_STRING(of_route(AF_INET6, NET_6, RTA_PREFSRC), "");
}
