/* What those hear who listen to a network's changes, and who has asked for them (rtnetlink(7), netlink(7)). */
#include "route_request.h"

#include <linux/fib_rules.h>
#include <linux/neighbour.h>

static int listener;
static unsigned asked_number, way = 1;

static void listen_to(int group)
{
	MUST(setsockopt(listener, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
}

static void start(void)
{
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};

	enter();
	open_asker(0);
	listener = (int)MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE));
	MUST(bind(listener, (void *)&any, sizeof(any)));
	asked_number = 100;
}

/* The messages of a socket in words: kind, flags, and whose request they come of. */
static const char *heard(int fd, int is_all)
{
	static char text[1024];
	struct sockaddr_nl asking = {.nl_family = AF_NETLINK};
	socklen_t size = sizeof(asking);
	int used = 0, length;

	MUST(getsockname(asker, (void *)&asking, &size));
	text[0] = '\0';
	while ((length = (int)recv(fd, answers, sizeof(answers), MSG_DONTWAIT)) > 0)
		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			const char *whose = header->nlmsg_pid == asking.nl_pid ? "asked" : header->nlmsg_pid ? "other" : "-";
			struct ifinfomsg *link = NLMSG_DATA(header);

			if (header->nlmsg_type == NLMSG_ERROR) {
				used += sprintf(text + used, "%s%d", used ? " " : "", ((struct nlmsgerr *)NLMSG_DATA(header))->error);
				continue;
			}
			if (!is_all && header->nlmsg_pid != asking.nl_pid)
				continue;
			used += sprintf(text + used, "%s%d:%x:%s:%d", used ? " " : "", header->nlmsg_type, header->nlmsg_flags, whose,
					header->nlmsg_seq == asked_number ? 1 : (int)header->nlmsg_seq);
			if (header->nlmsg_type == RTM_NEWLINK || header->nlmsg_type == RTM_DELLINK)
				used += sprintf(text + used, ":%x", link->ifi_change);
		}
	return text;
}

/* Ask, and tell what the asker hears. */
static const char *told(void)
{
	request.header.nlmsg_seq = ++asked_number;
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	return heard(asker, 1);
}

static void begin_link(int type, int flags, const char *name, unsigned up, unsigned change)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_flags = up, .ifi_change = change};

	begin(type, NLM_F_ACK | flags, &body, sizeof(body));
	add(IFLA_IFNAME, name, strlen(name) + 1);
}

static void begin_bridge(int flags)
{
	struct rtattr *information;

	begin_link(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | flags, "one", 0, 0);
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, "bridge", 6);
	information->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)information);
}

/* An interface of the test's own, that's up; its number. */
static unsigned new_interface(void)
{
	begin_bridge(0);
	CHECK_STRING(told(), "0");
	begin_link(RTM_NEWLINK, 0, "one", IFF_UP, IFF_UP);
	CHECK_STRING(told(), "0");
	return if_nametoindex("one");
}

static void begin_route_by(int type, int flags, const char *net, int length, int priority, const char *gateway)
{
	begin_route(type, flags, net, length, RTN_UNICAST, type == RTM_DELROUTE ? RT_SCOPE_NOWHERE : gateway == NULL ? RT_SCOPE_LINK : 0);
	add_number(RTA_OIF, way);
	if (priority)
		add_number(RTA_PRIORITY, (unsigned)priority);
	if (gateway != NULL)
		add_address(RTA_GATEWAY, gateway);
}

/* A change of a route says how it came, and of whose request. */
static void check_routes(const char *net, int length, const char *gateway, const char *appended)
{
	begin_route_by(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, net, length, 5, NULL);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 0), "24:600:asked:1");
	begin_route_by(RTM_NEWROUTE, NLM_F_CREATE, net, length, 7, NULL);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 0), "24:600:asked:1");
	begin_route_by(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, net, length, 8, NULL);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 0), appended);
	begin_route_by(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, net, length, 8, gateway);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 0), "24:c00:asked:1");
	/* One with a gateway stands in for one without if there's no other. */
	begin_route_by(RTM_NEWROUTE, NLM_F_REPLACE, net, length, 7, gateway);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 0), "24:100:asked:1");
	begin_route_by(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, net, length, 9, NULL);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 0), "24:600:asked:1");
	begin_route_by(RTM_DELROUTE, 0, net, length, 9, NULL);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 0), "25:0:asked:1");
	/* Who wants the echo hears it once, before it's told that it's done, and listens to nothing. */
	begin_route_by(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_ECHO, net, length, 10, NULL);
	CHECK_STRING(told(), "24:600:asked:1 0");
	CHECK_STRING(heard(listener, 0), "24:600:asked:1");
	begin_route_by(RTM_DELROUTE, NLM_F_ECHO, net, length, 10, NULL);
	CHECK_STRING(told(), "25:0:asked:1 0");
	CHECK_STRING(heard(listener, 0), "25:0:asked:1");
}

TEST(routes_of_requests)
{
	start();
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "10.0.0.1", 24);
	CHECK_STRING(told(), "0");
	listen_to(RTNLGRP_IPV4_ROUTE);
	check_routes("10.1.0.0", 24, "10.0.0.2", "24:600:asked:1");
}

TEST(routes_of_requests_6)
{
	start();
	way = new_interface();
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "fd00::1", 64);
	((struct ifaddrmsg *)request.data)->ifa_index = way;
	((struct ifaddrmsg *)request.data)->ifa_flags = IFA_F_NODAD;
	CHECK_STRING(told(), "0");
	listen_to(RTNLGRP_IPV6_ROUTE);
	check_routes("fd01::", 64, "fd00::2", "24:e00:asked:1");
}

/* One that listens to the group hears the echo no more than once. */
TEST(echo_to_who_listens)
{
	start();
	listen_to(RTNLGRP_IPV4_ROUTE);
	MUST(setsockopt(asker, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &(int){RTNLGRP_IPV4_ROUTE}, sizeof(int)));
	begin_route_by(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_ECHO, "10.1.0.0", 24, 5, NULL);
	CHECK_STRING(told(), "24:600:asked:1 0");
	CHECK_STRING(heard(listener, 1), "24:600:asked:1");
	begin_route_by(RTM_DELROUTE, 0, "10.1.0.0", 24, 5, NULL);
	CHECK_STRING(told(), "25:0:asked:1 0");
}

/* A route of the kernel's own is behind others to the same net. */
TEST(routes_of_an_address_that_two_have)
{
	start();
	way = new_interface();
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "10.0.0.1", 32);
	CHECK_STRING(told(), "0");
	listen_to(RTNLGRP_IPV4_ROUTE);
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "10.0.0.1", 32);
	((struct ifaddrmsg *)request.data)->ifa_index = way;
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "24:c00:-:0");
}

/* Of addresses, only IPv4's say whose request they come of; the routes that follow are the kernel's own. */
TEST(addresses_of_requests)
{
	start();
	listen_to(RTNLGRP_IPV4_IFADDR);
	listen_to(RTNLGRP_IPV6_IFADDR);
	begin_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.0.0.1", 24);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "20:0:asked:1");
	begin_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, "10.0.0.2", 24);
	CHECK_STRING(told(), "20:0:asked:1 0");
	CHECK_STRING(heard(listener, 1), "20:0:asked:1");
	begin_address(RTM_NEWADDR, NLM_F_REPLACE, "10.0.0.1", 24);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "20:0:asked:1");
	listen_to(RTNLGRP_IPV4_ROUTE);
	/* It's gone before its routes are, with the one that was behind it. */
	begin_address(RTM_DELADDR, NLM_F_ECHO, "10.0.0.1", 24);
	CHECK_STRING(told(), "21:0:asked:1 21:0:asked:1 0");
	CHECK_STRING(heard(listener, 0), "21:0:asked:1 21:0:asked:1");
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "10.0.0.1", 24);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "20:0:asked:1 24:600:-:0 24:600:-:0 24:600:-:0");
	begin_address(RTM_DELADDR, 0, "10.0.0.1", 24);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "21:0:asked:1 25:0:-:0 25:0:-:0 25:0:-:0");
	begin_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_ECHO, "fd00::1", 64);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 0), "");
	begin_address(RTM_DELADDR, NLM_F_ECHO, "fd00::1", 64);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 0), "");
}

TEST(rules_and_neighbours_of_requests)
{
	struct fib_rule_hdr rule = {.family = AF_INET, .action = FR_ACT_TO_TBL, .table = 100};
	struct ndmsg neighbour = {.ndm_family = AF_INET, .ndm_state = NUD_PERMANENT};

	start();
	listen_to(RTNLGRP_IPV4_RULE);
	listen_to(RTNLGRP_NEIGH);
	begin(RTM_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_ECHO, &rule, sizeof(rule));
	add_number(FRA_PRIORITY, 500);
	CHECK_STRING(told(), "32:0:asked:1 0");
	CHECK_STRING(heard(listener, 1), "32:0:asked:1");
	begin(RTM_DELRULE, NLM_F_ACK, &rule, sizeof(rule));
	add_number(FRA_PRIORITY, 500);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "33:0:asked:1");
	/* A neighbour is told with the port and no number; that it's gone is the kernel's news. */
	neighbour.ndm_ifindex = (int)new_interface();
	begin(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_ECHO, &neighbour, sizeof(neighbour));
	add_address(NDA_DST, "10.0.0.9");
	add(NDA_LLADDR, "\2\1\1\1\1\1", 6);
	heard(listener, 1);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "28:0:asked:0");
	begin(RTM_DELNEIGH, NLM_F_ACK, &neighbour, sizeof(neighbour));
	add_address(NDA_DST, "10.0.0.9");
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "28:0:asked:0 29:0:-:0");
}

/* Interfaces say of whose request they come only to who wants the echo; and which flags are others. */
TEST(interfaces_of_requests)
{
	start();
	listen_to(RTNLGRP_LINK);
	begin_bridge(0);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "16:0:-:0:ffffffff");
	begin_link(RTM_NEWLINK, NLM_F_ECHO, "one", 0, IFF_NOARP | IFF_PROMISC);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "");
	begin_link(RTM_NEWLINK, NLM_F_ECHO, "one", IFF_NOARP, IFF_NOARP);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "16:0:-:0:80");
	listen_to(RTNLGRP_IPV6_IFADDR);
	begin_link(RTM_DELLINK, 0, "one", 0, 0);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "17:0:-:0:ffffffff");
	begin_bridge(NLM_F_ECHO);
	CHECK_STRING(told(), "16:0:asked:1:ffffffff 0");
	CHECK_STRING(heard(listener, 1), "16:0:asked:1:ffffffff");
	begin_link(RTM_DELLINK, NLM_F_ECHO, "one", 0, 0);
	CHECK_STRING(told(), "17:0:asked:1:ffffffff 0");
	CHECK_STRING(heard(listener, 1), "17:0:asked:1:ffffffff");
	/* The loopback's flags come first, then its addresses. */
	begin_link(RTM_NEWLINK, 0, "lo", 0, IFF_UP);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "16:0:-:0:1 21:0:-:0");
	begin_link(RTM_NEWLINK, 0, "lo", IFF_UP, IFF_UP);
	CHECK_STRING(told(), "0");
	CHECK_STRING(heard(listener, 1), "16:0:-:0:1 20:0:-:0");
}
