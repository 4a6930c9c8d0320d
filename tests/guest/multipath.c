/* Routes with several ways: RTA_MULTIPATH, how packets choose, and what becomes of ways (ip-route(8)). */
#include "route_ways.h"

#define NET "10.1.0.0"
#define NET_6 "2001:db8:9::"
#define NEW_ROUTE(flags, net, length) begin_route(RTM_NEWROUTE, NLM_F_CREATE | (flags), net, length, RTN_UNICAST, RT_SCOPE_UNIVERSE)
#define OLD_ROUTE(net, length) begin_route(RTM_DELROUTE, 0, net, length, 0, RT_SCOPE_NOWHERE)

static const char *with_two(const char *gateway, int weight, const char *other_gateway, int other_weight)
{
	struct rtattr *list = begin_ways();

	add_way(gateway, 0, weight);
	add_way(other_gateway, 0, other_weight);
	close_list(list);
	return asked();
}

ROOTS_TEST(several_ways_are_kept_and_told)
{
	struct rtattr *list;
	struct rtnexthop *way;
	int listener;

	enter_with_pairs();
	listener = listen_to(RTMGRP_IPV4_ROUTE);
	NEW_ROUTE(NLM_F_EXCL, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 3, "10.0.1.2", 1), "0");
	CHECK_STRING(routes_to(NET), " [ via 10.0.0.2 dev 3 weight 3] [ via 10.0.1.2 dev 5 weight 1];");
	CHECK_STRING(heard_of(listener, NET), "new 600 [ via 10.0.0.2 dev 3 weight 3] [ via 10.0.1.2 dev 5 weight 1];");
	NEW_ROUTE(0, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 1, "10.0.1.2", 1), "0");
	NEW_ROUTE(0, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 3, "10.0.1.2", 1), "17");
	NEW_ROUTE(NLM_F_APPEND, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 1, "10.0.1.3", 256), "0");
	CHECK_STRING(routes_to(NET), " [ via 10.0.0.2 dev 3 weight 1] [ via 10.0.1.2 dev 5 weight 1];"
				     " [ via 10.0.0.2 dev 3 weight 3] [ via 10.0.1.2 dev 5 weight 1];"
				     " [ via 10.0.0.2 dev 3 weight 1] [ via 10.0.1.3 dev 5 weight 256];");
	CHECK_STRING(heard_of(listener, NET), "new 400 [ via 10.0.0.2 dev 3 weight 1] [ via 10.0.1.2 dev 5 weight 1];"
					      "new c00 [ via 10.0.0.2 dev 3 weight 1] [ via 10.0.1.3 dev 5 weight 256];");
	/* One is removed that begins like this. */
	OLD_ROUTE(NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 7, "10.0.1.3", 7), "0");
	OLD_ROUTE(NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 1, "10.0.1.3", 1), "3");
	OLD_ROUTE(NET, 16);
	add_number(RTA_OIF, W0);
	CHECK_STRING(asked(), "3");
	OLD_ROUTE(NET, 16);
	add_number(RTA_OIF, V0);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(NLM_F_REPLACE, NET, 16);
	list = begin_ways();
	way = add_way("10.0.0.9", W0, 2);
	way->rtnh_flags = RTNH_F_ONLINK;
	way = add_way(NULL, V0, 1);
	add_number(RTA_FLOW, 7);
	way->rtnh_len += 8;
	close_list(list);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(routes_to(NET), " [ via 10.0.0.9 dev 5 weight 2 onlink] [ realm 7 dev 3 weight 1];");
	/* One way in a list is a route as any other. */
	NEW_ROUTE(NLM_F_REPLACE, NET, 16);
	list = begin_ways();
	add_way("10.0.0.2", 0, 200);
	close_list(list);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(routes_to(NET), " via 10.0.0.2 dev 3;");
}

ROOTS_TEST(lists_of_ways_are_refused_with_a_reason)
{
	struct rtattr *list;
	struct rtnexthop *way;

	enter_with_pairs();
	NEW_ROUTE(0, NET, 16);
	add(RTA_MULTIPATH, "\0\0\0\0\0\0\0", 7);
	CHECK_STRING(asked(), "34 Attribute failed policy validation at 36");
	NEW_ROUTE(0, NET, 16);
	add(RTA_MULTIPATH, "\0\0\0\0\0\0\0\0", 8);
	CHECK_STRING(asked(), "22 Invalid nexthop configuration - extra data after nexthops");
	NEW_ROUTE(0, NET, 16);
	list = begin_ways();
	add_way("10.0.0.2", 0, 1);
	way = add_way("10.0.1.2", 0, 1);
	way->rtnh_len += 4;
	close_list(list);
	CHECK_STRING(asked(), "22 Invalid nexthop configuration - extra data after nexthops");
	way->rtnh_len -= 4;
	way->rtnh_flags = RTNH_F_DEAD;
	CHECK_STRING(asked(), "22 Invalid flags for nexthop - can not contain DEAD or LINKDOWN");
	NEW_ROUTE(0, NET, 16);
	list = begin_ways();
	way = add_way("10.0.0.2", 0, 1);
	add(RTA_VIA, "\2\0\12\0\0\2", 6);
	way->rtnh_len += 12;
	close_list(list);
	CHECK_STRING(asked(), "22 Nexthop configuration can not contain both GATEWAY and VIA");
	NEW_ROUTE(0, NET, 16);
	list = begin_ways();
	way = add_way(NULL, 0, 1);
	add(RTA_GATEWAY, "\12\0", 2);
	way->rtnh_len += 8;
	close_list(list);
	CHECK_STRING(asked(), "22 Invalid IPv4 address in RTA_GATEWAY");
	NEW_ROUTE(0, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 1, "10.9.0.2", 1), "101 Nexthop has invalid gateway");
	NEW_ROUTE(0, NET, 16);
	add_number(RTA_OIF, W0);
	list = begin_ways();
	add_way("10.0.0.2", V0, 1);
	close_list(list);
	CHECK_STRING(asked(), "22 Nexthop device index does not match RTA_OIF");
	NEW_ROUTE(0, NET, 16);
	add_address(RTA_GATEWAY, "10.0.0.3");
	CHECK_STRING(with_two("10.0.0.2", 1, "10.0.1.2", 1), "22 Nexthop gateway does not match RTA_GATEWAY or RTA_VIA");
	NEW_ROUTE(0, NET, 16);
	add_number(RTA_FLOW, 9);
	CHECK_STRING(with_two("10.0.0.2", 1, "10.0.1.2", 1), "22 Nexthop class id does not match RTA_FLOW");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, NET, 16, RTN_UNICAST, RT_SCOPE_HOST);
	CHECK_STRING(with_two("10.0.0.2", 1, "10.0.1.2", 1), "22 Route with host scope can not have multiple nexthops");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, NET, 16, RTN_BLACKHOLE, RT_SCOPE_UNIVERSE);
	CHECK_STRING(with_two("10.0.0.2", 1, "10.0.1.2", 1),
		     "22 Gateway, device and multipath can not be specified for this route type");
	NEW_ROUTE(0, NET, 16);
	list = begin_ways();
	way = add_way("10.0.0.2", 0, 1);
	add(RTA_ENCAP_TYPE, "\13\0", 2);
	way->rtnh_len += 8;
	close_list(list);
	CHECK_STRING(asked(), "95 Unknown lwt encapsulation type");
	CHECK_STRING(routes_to(NET), "");
}

ROOTS_TEST(ways_die_and_come_back_with_their_interface)
{
	int listener;

	enter_with_pairs();
	NEW_ROUTE(0, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 3, "10.0.1.2", 1), "0");
	listener = listen_to(RTMGRP_IPV4_ROUTE);
	set_link(RTM_NEWLINK, V0, 0);
	CHECK_STRING(routes_to(NET), " [ via 10.0.0.2 dev 3 weight 3 dead linkdown] [ via 10.0.1.2 dev 5 weight 1];");
	CHECK_STRING(way_to("10.1.0.7", 0), " dev 5 via 10.0.1.2");
	set_link(RTM_NEWLINK, V0, IFF_UP);
	CHECK_STRING(routes_to(NET), " [ via 10.0.0.2 dev 3 weight 3] [ via 10.0.1.2 dev 5 weight 1];");
	/* An interface without addresses isn't IPv4's. */
	give_address(RTM_DELADDR, V0, "10.0.0.1", 24);
	CHECK_STRING(routes_to(NET), " [ via 10.0.0.2 dev 3 weight 3 dead linkdown] [ via 10.0.1.2 dev 5 weight 1];");
	give_address(RTM_NEWADDR, V0, "10.0.0.1", 24);
	CHECK_STRING(routes_to(NET), " [ via 10.0.0.2 dev 3 weight 3] [ via 10.0.1.2 dev 5 weight 1];");
	/* With the last way the route goes, and nobody is told. */
	set_link(RTM_NEWLINK, V0, 0);
	set_link(RTM_NEWLINK, W0, 0);
	CHECK_STRING(routes_to(NET), "");
	CHECK_STRING(heard_of(listener, NET), "");
	set_link(RTM_NEWLINK, V0, IFF_UP);
	set_link(RTM_NEWLINK, W0, IFF_UP);
	NEW_ROUTE(0, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 3, "10.0.1.2", 1), "0");
	set_link(RTM_DELLINK, W0, 0);
	CHECK_STRING(routes_to(NET), "");
	CHECK_STRING(way_to("10.1.0.7", 0), " error 101");
}

ROOTS_TEST(the_last_address_takes_all_routes_along)
{
	enter_with_pairs();
	NEW_ROUTE(0, NET, 16);
	add_number(RTA_OIF, V0);
	CHECK_STRING(asked(), "0");
	NEW_ROUTE(0, "10.2.0.0", 16);
	add_address(RTA_GATEWAY, "10.0.0.2");
	CHECK_STRING(asked(), "0");
	give_address(RTM_NEWADDR, V0, "10.0.5.1", 24);
	give_address(RTM_DELADDR, V0, "10.0.0.1", 24);
	CHECK_STRING(routes_to(NET), " dev 3;");
	give_address(RTM_DELADDR, V0, "10.0.5.1", 24);
	CHECK_STRING(routes_to(NET), "");
	CHECK_STRING(routes_to("10.2.0.0"), "");
}

ROOTS_TEST(siblings_of_ipv6_are_one_route)
{
	int listener;

	enter_with_pairs();
	listener = listen_to(RTMGRP_IPV6_ROUTE);
	NEW_ROUTE(NLM_F_EXCL, NET_6, 48);
	CHECK_STRING(with_two("2001:db8::2", 3, "2001:db8:1::2", 1), "0");
	NEW_ROUTE(0, NET_6, 48);
	CHECK_STRING(with_two("2001:db8::2", 3, "2001:db8:1::2", 1), "17");
	NEW_ROUTE(NLM_F_APPEND, NET_6, 48);
	add_address(RTA_GATEWAY, "2001:db8:1::3");
	CHECK_STRING(asked(), "0");
	CHECK_STRING(routes_to(NET_6), " [ via 2001:db8::2 dev 3 weight 3] [ via 2001:db8:1::2 dev 5 weight 1]"
				       " [ via 2001:db8:1::3 dev 5 weight 1];");
	CHECK_STRING(heard_of(listener, NET_6),
		     "new 400 [ via 2001:db8::2 dev 3 weight 3] [ via 2001:db8:1::2 dev 5 weight 1];"
		     "new c00 [ via 2001:db8:1::3 dev 5 weight 1] [ via 2001:db8::2 dev 3 weight 3] [ via 2001:db8:1::2 dev 5 weight 1];");
	/* Those that were added before one that is there are removed again. */
	NEW_ROUTE(NLM_F_APPEND, NET_6, 48);
	CHECK_STRING(with_two("2001:db8:1::7", 1, "2001:db8:1::3", 1), "17");
	CHECK_STRING(heard_of(listener, NET_6),
		     "new c00 [ via 2001:db8::2 dev 3 weight 3] [ via 2001:db8:1::2 dev 5 weight 1]"
		     " [ via 2001:db8:1::3 dev 5 weight 1] [ via 2001:db8:1::7 dev 5 weight 1];"
		     "gone 0 via 2001:db8:1::7 dev 5;");
	OLD_ROUTE(NET_6, 48);
	add_address(RTA_GATEWAY, "2001:db8:1::3");
	CHECK_STRING(asked(), "0");
	OLD_ROUTE(NET_6, 48);
	CHECK_STRING(with_two("2001:db8:1::9", 1, "2001:db8:1::2", 1), "3");
	CHECK_STRING(routes_to(NET_6), " via 2001:db8::2 dev 3;");
	NEW_ROUTE(NLM_F_APPEND, NET_6, 48);
	CHECK_STRING(with_two("2001:db8::5", 1, "2001:db8:1::2", 1), "0");
	NEW_ROUTE(NLM_F_REPLACE, NET_6, 48);
	CHECK_STRING(with_two("2001:db8::4", 1, "2001:db8:1::2", 1), "0");
	CHECK_STRING(routes_to(NET_6), " [ via 2001:db8::4 dev 3 weight 1] [ via 2001:db8:1::2 dev 5 weight 1];");
	heard_of(listener, NET_6);
	OLD_ROUTE(NET_6, 48);
	add_number(RTA_OIF, W0);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(heard_of(listener, NET_6), "gone 0 [ via 2001:db8:1::2 dev 5 weight 1] [ via 2001:db8::4 dev 3 weight 1];");
	CHECK_STRING(routes_to(NET_6), "");
}

ROOTS_TEST(siblings_die_together)
{
	struct rtattr *list;
	struct rtnexthop *way;

	enter_with_pairs();
	NEW_ROUTE(0, NET_6, 48);
	CHECK_STRING(with_two("2001:db8::2", 3, "2001:db8:1::2", 1), "0");
	set_link(RTM_NEWLINK, V0, 0);
	CHECK_STRING(routes_to(NET_6), " [ via 2001:db8::2 dev 3 weight 3 dead linkdown] [ via 2001:db8:1::2 dev 5 weight 1];");
	CHECK_STRING(way_to("2001:db8:9::5", 0), " via 2001:db8:1::2 dev 5");
	set_link(RTM_NEWLINK, W0, 0);
	CHECK_STRING(routes_to(NET_6), "");
	set_link(RTM_NEWLINK, V0, IFF_UP);
	set_link(RTM_NEWLINK, W0, IFF_UP);
	give_address(RTM_NEWADDR, V0, "2001:db8::1", 64);
	give_address(RTM_NEWADDR, W0, "2001:db8:1::1", 64);
	NEW_ROUTE(0, NET_6, 48);
	CHECK_STRING(with_two("2001:db8::2", 3, "2001:db8:1::2", 1), "0");
	set_link(RTM_DELLINK, W0, 0);
	CHECK_STRING(routes_to(NET_6), " via 2001:db8::2 dev 3;");
	NEW_ROUTE(0, NET_6, 48);
	list = begin_ways();
	way = add_way(NULL, V0, 1);
	close_list(list);
	CHECK_STRING(asked(), "22 Device only routes can not be added for IPv6 using the multipath API.");
	add_address(RTA_GATEWAY, "2001:db8::");
	way->rtnh_len = (unsigned short)(way->rtnh_len + 12);
	((struct rtattr *)(void *)(way + 1))->rta_len = 12;
	list->rta_len = (unsigned short)(list->rta_len + 12);
	CHECK_STRING(asked(), "22 Invalid IPv6 address in RTA_GATEWAY");
	NEW_ROUTE(0, NET_6, 48);
	add(RTA_MULTIPATH, "\0\0\0\0\0\0\0\0", 8);
	CHECK_STRING(asked(), "22 Invalid nexthop configuration - no valid nexthops");
	NEW_ROUTE(0, "2001:db8:7::", 48);
	CHECK_STRING(with_two("2001:db8::2", 3, "2001:db8::2", 1), "17");
}

/* How many of 64 targets have their way by v0. */
static int by_first(const char *pattern)
{
	int count = 0;

	for (int at = 0; at < 64; at++) {
		char address[64];

		snprintf(address, sizeof(address), pattern, at);
		count += strstr(way_to(address, 0), "dev 3") != NULL;
	}
	return count;
}

static void write_setting(const char *path, const char *value)
{
	int fd = (int)MUST(open(path, O_WRONLY));

	MUST(write(fd, value, strlen(value)));
	close(fd);
}

/* How many of 64 connections of UDP to one port after the other are from 10.0.0.1. */
static int connected_by_first(void)
{
	int count = 0;

	for (int at = 0; at < 64; at++) {
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)(1000 + at))}, own;
		struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(4000)};
		socklen_t length = sizeof(own);
		int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

		inet_pton(AF_INET, "10.1.0.7", &to.sin_addr);
		MUST(bind(fd, (void *)&any, sizeof(any)));
		MUST(connect(fd, (void *)&to, sizeof(to)));
		MUST(getsockname(fd, (void *)&own, &length));
		count += own.sin_addr.s_addr == htonl(0x0A000001);
		close(fd);
	}
	return count;
}

ROOTS_TEST(packets_choose_among_ways)
{
	int count;

	enter_with_pairs();
	NEW_ROUTE(0, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 1, "10.0.1.2", 1), "0");
	count = by_first("10.1.0.%d");
	CHECK(count > 8 && count < 56);
	CHECK_EQ(by_first("10.1.0.%d"), count);
	NEW_ROUTE(NLM_F_REPLACE, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 255, "10.0.1.2", 1), "0");
	CHECK(by_first("10.1.0.%d") > 50);
	CHECK_STRING(way_to("10.1.0.9", RTM_F_FIB_MATCH), " [ via 10.0.0.2 dev 3 weight 255] [ via 10.0.1.2 dev 5 weight 1]");
	NEW_ROUTE(0, NET_6, 48);
	CHECK_STRING(with_two("2001:db8::2", 1, "2001:db8:1::2", 1), "0");
	count = by_first("2001:db8:9::%x");
	CHECK(count > 8 && count < 56);
	/* By addresses alone all to one target go one way, by ports they don't. */
	NEW_ROUTE(NLM_F_REPLACE, NET, 16);
	CHECK_STRING(with_two("10.0.0.2", 1, "10.0.1.2", 1), "0");
	count = connected_by_first();
	CHECK(count == 0 || count == 64);
	write_setting("/proc/sys/net/ipv4/fib_multipath_hash_policy", "1");
	count = connected_by_first();
	CHECK(count > 8 && count < 56);
	write_setting("/proc/sys/net/ipv4/fib_multipath_hash_policy", "3");
	write_setting("/proc/sys/net/ipv4/fib_multipath_hash_fields", "3");
	count = connected_by_first();
	CHECK(count == 0 || count == 64);
	write_setting("/proc/sys/net/ipv4/fib_multipath_hash_fields", "32");
	count = connected_by_first();
	CHECK(count > 8 && count < 56);
}

ROOTS_TEST(settings_of_the_choice)
{
	int fd;

	enter();
	fd = (int)MUST(open("/proc/sys/net/ipv4/fib_multipath_hash_policy", O_RDWR));
	CHECK_ERRNO(write(fd, "4", 1), EINVAL);
	CHECK_OK(write(fd, "2", 1));
	close(fd);
	fd = (int)MUST(open("/proc/sys/net/ipv4/fib_multipath_hash_fields", O_RDWR));
	CHECK_ERRNO(write(fd, "0", 1), EINVAL);
	CHECK_ERRNO(write(fd, "4096", 4), EINVAL);
	CHECK_OK(write(fd, "4095", 4));
	close(fd);
	fd = (int)MUST(open("/proc/sys/net/ipv4/fib_multipath_use_neigh", O_RDWR));
	CHECK_ERRNO(write(fd, "2", 1), EINVAL);
	close(fd);
	fd = (int)MUST(open("/proc/sys/net/ipv4/fib_multipath_hash_seed", O_RDWR));
	CHECK_OK(write(fd, "4294967295", 10));
	close(fd);
	fd = (int)MUST(open("/proc/sys/net/ipv6/fib_multipath_hash_policy", O_RDWR));
	CHECK_ERRNO(write(fd, "4", 1), EINVAL);
	close(fd);
}
