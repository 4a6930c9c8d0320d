/* Rules that choose tables of routes (ip-rule(8), rtnetlink(7)). */
#include "route_request.h"

#include <linux/fib_rules.h>
#include <linux/sockios.h>

/* A rule with a table and a priority, 0 for none that is said. */
static void begin_rule(int type, int flags, int action, unsigned table, unsigned priority)
{
	struct fib_rule_hdr body = {.family = AF_INET, .action = (unsigned char)action};

	begin(type, NLM_F_ACK | flags, &body, sizeof(body));
	if (table)
		add_number(FRA_TABLE, table);
	if (priority)
		add_number(FRA_PRIORITY, priority);
}

static void add_net(int kind, const char *net, int length)
{
	struct fib_rule_hdr *body = (void *)request.data;

	*(kind == FRA_SRC ? &body->src_len : &body->dst_len) = (unsigned char)length;
	add_address(kind, net);
}

/* The error of connecting a socket from an address, or none, with a mark; 0 for none. */
static int way(const char *source, const char *target, int mark)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), result;

	if (source != NULL) {
		inet_pton(AF_INET, source, &name.sin_addr);
		name.sin_port = 0;
		MUST(bind(fd, (void *)&name, sizeof(name)));
		name.sin_port = htons(9);
	}
	MUST(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	inet_pton(AF_INET, target, &name.sin_addr);
	result = ERRNO_OF(connect(fd, (void *)&name, sizeof(name)));
	close(fd);
	return result;
}

/* The table that has the way to an address: of its own accord, or of the route as it is there. */
static int table_of(const char *to, unsigned flags)
{
	struct rtmsg body = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = flags};

	begin(RTM_GETROUTE, 0, &body, sizeof(body));
	add_address(RTA_DST, to);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	CHECK_EQ(((struct nlmsghdr *)answers)->nlmsg_type, RTM_NEWROUTE);
	return ((struct rtmsg *)NLMSG_DATA(answers))->rtm_table;
}

static void new_table(unsigned table, int kind)
{
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "0.0.0.0", 0, kind, RT_SCOPE_UNIVERSE);
	((struct rtmsg *)request.data)->rtm_table = RT_TABLE_UNSPEC;
	add_number(RTA_TABLE, table);
	CHECK_STRING(asked(), "0");
}

ROOTS_TEST(rules_choose_tables)
{
	struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd;

	enter();
	open_asker(1);
	new_table(100, RTN_UNREACHABLE);
	new_table(1001, RTN_PROHIBIT);
	CHECK_EQ(way(NULL, "10.1.1.1", 0), ENETUNREACH);
	begin_rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, FR_ACT_TO_TBL, 100, 0);
	add_net(FRA_SRC, "127.0.0.2", 32);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way(NULL, "10.1.1.1", 0), ENETUNREACH);
	CHECK_EQ(way("127.0.0.2", "10.1.1.1", 0), EHOSTUNREACH);
	CHECK_EQ(way("127.0.0.3", "10.1.1.1", 0), ENETUNREACH);
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, 1001, 0);
	add_number(FRA_FWMARK, 5);
	add_number(FRA_FWMASK, 7);
	CHECK_STRING(asked(), "0");
	begin_rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, FR_ACT_TO_TBL, 1001, 32764);
	add_number(FRA_FWMARK, 5);
	add_number(FRA_FWMASK, 7);
	CHECK_STRING(asked(), "17");
	CHECK_EQ(way(NULL, "10.1.1.1", 13), EACCES);
	CHECK_EQ(way(NULL, "10.1.1.1", 12), ENETUNREACH);
	CHECK_EQ(way("127.0.0.2", "10.1.1.1", 13), EACCES);
	begin_rule(RTM_NEWRULE, 0, FR_ACT_BLACKHOLE, 0, 10);
	add_net(FRA_DST, "10.2.0.0", 16);
	CHECK_STRING(asked(), "0");
	begin_rule(RTM_NEWRULE, 0, FR_ACT_PROHIBIT, 0, 11);
	add_net(FRA_DST, "10.3.0.0", 16);
	CHECK_STRING(asked(), "0");
	begin_rule(RTM_NEWRULE, 0, FR_ACT_UNREACHABLE, 0, 12);
	add_net(FRA_DST, "10.4.0.0", 16);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way(NULL, "10.2.0.1", 0), EINVAL);
	CHECK_EQ(way(NULL, "10.3.0.1", 13), EACCES);
	CHECK_EQ(way(NULL, "10.4.0.1", 13), ENETUNREACH);
	/* Some jump over others, and some do nothing. */
	begin_rule(RTM_NEWRULE, 0, FR_ACT_GOTO, 0, 5);
	add_number(FRA_GOTO, 12);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way(NULL, "10.2.0.1", 13), EACCES);
	CHECK_EQ(way(NULL, "10.3.0.1", 0), ENETUNREACH);
	begin_rule(RTM_NEWRULE, 0, FR_ACT_NOP, 0, 4);
	CHECK_STRING(asked(), "0");
	begin_rule(RTM_DELRULE, 0, FR_ACT_GOTO, 0, 0);
	add_number(FRA_GOTO, 40000);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way(NULL, "10.3.0.1", 0), EACCES);
	/* One for what it doesn't describe, and one that leaves out routes for everything. */
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, 1001, 20);
	((struct fib_rule_hdr *)request.data)->flags = FIB_RULE_INVERT;
	add_net(FRA_DST, "10.5.0.0", 16);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way(NULL, "10.6.0.1", 0), EACCES);
	CHECK_EQ(way(NULL, "10.5.0.1", 0), ENETUNREACH);
	begin_rule(RTM_DELRULE, 0, 0, 0, 20);
	CHECK_STRING(asked(), "0");
	begin_rule(RTM_DELRULE, 0, 0, 0, 20);
	CHECK_STRING(asked(), "2");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "0.0.0.0", 0, RTN_UNICAST, RT_SCOPE_LINK);
	add_number(RTA_OIF, 1);
	add_address(RTA_PREFSRC, "127.0.0.1");
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way(NULL, "10.6.0.1", 0), 0);
	/* Who connects has an address then, at which rules look; who sends without that, hasn't. */
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, 100, 25);
	add_net(FRA_SRC, "127.0.0.0", 8);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way(NULL, "10.6.0.1", 0), EHOSTUNREACH);
	target.sin_addr.s_addr = inet_addr("10.6.0.1");
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_EQ(sendto(fd, "", 1, 0, (void *)&target, sizeof(target)), 1);
	close(fd);
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(connect(fd, (void *)&target, sizeof(target)), EHOSTUNREACH);
	close(fd);
	begin_rule(RTM_DELRULE, 0, 0, 0, 25);
	CHECK_STRING(asked(), "0");
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, RT_TABLE_MAIN, 30);
	add_number(FRA_SUPPRESS_PREFIXLEN, 0);
	CHECK_STRING(asked(), "0");
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, 1001, 31);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way(NULL, "10.6.0.1", 0), EACCES);
	CHECK_EQ(way(NULL, "127.0.0.1", 0), 0);
	begin_rule(RTM_NEWRULE, 0, FR_ACT_GOTO, 0, 40);
	CHECK_STRING(asked(), "22 Missing goto target for action goto");
	add_number(FRA_GOTO, 39);
	CHECK_STRING(asked(), "22 Backward goto not supported");
	/* Where it leads is looked at when all else is right. */
	add(FRA_UID_RANGE, (unsigned[2]){0, 0xffffffff}, 8);
	CHECK_STRING(asked(), "22 Invalid uid range");
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, 5, 40);
	((struct fib_rule_hdr *)request.data)->src_len = 8;
	CHECK_STRING(asked(), "22 Invalid source address");
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, 5, 40);
	((struct fib_rule_hdr *)request.data)->tos = 1;
	CHECK_STRING(asked(), "22 Invalid dsfield (tos): ECN bits must be 0");
	((struct fib_rule_hdr *)request.data)->family = AF_UNIX;
	CHECK_STRING(asked(), "97 Rule family not supported");
	/* Without the rule for its own addresses, a machine has none but by others. */
	begin_rule(RTM_DELRULE, 0, FR_ACT_TO_TBL, RT_TABLE_LOCAL, 0);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way(NULL, "127.0.0.1", 0), EACCES);
	MUST(setsockopt(asker, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &(int){RTNLGRP_IPV4_RULE}, sizeof(int)));
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, RT_TABLE_LOCAL, 1);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	CHECK_EQ(((struct nlmsghdr *)answers)->nlmsg_type, RTM_NEWRULE);
	CHECK_EQ(way(NULL, "127.0.0.1", 0), 0);
}

/* What a socket sends, or connects to if no data are sent with a service of its own; UDP to port 9 if no other. */
struct sending {
	const char *target;
	int type, port, own_port, service, sent_service, uid;
};

static void set_service(int fd, int is_6, int service)
{
	MUST(setsockopt(fd, is_6 ? SOL_IPV6 : SOL_IP, is_6 ? IPV6_TCLASS : IP_TOS, &service, sizeof(service)));
}

/* The error of sending, or of connecting; 0 for none. */
static int error_of(struct sending sending)
{
	int is_6 = strchr(sending.target, ':') != NULL, family = is_6 ? AF_INET6 : AF_INET, one = 1, result;
	struct sockaddr_in6 name_6 = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)sending.own_port)};
	struct sockaddr_in name_4 = {.sin_family = AF_INET, .sin_port = name_6.sin6_port};
	void *name = is_6 ? (void *)&name_6 : (void *)&name_4;
	socklen_t size = is_6 ? sizeof(name_6) : sizeof(name_4);
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), is_6 ? SOL_IPV6 : SOL_IP, is_6 ? IPV6_TCLASS : IP_TOS}};
	struct iovec part = {"x", 1};
	struct msghdr message = {.msg_name = name, .msg_namelen = size, .msg_iov = &part, .msg_iovlen = 1};
	int fd = (int)MUST(socket(family, sending.type ? sending.type : SOCK_DGRAM, 0));

	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	if (sending.own_port)
		MUST(bind(fd, name, size));
	if (sending.uid)
		MUST(fchown(fd, (unsigned)sending.uid, (unsigned)-1));
	if (sending.service)
		set_service(fd, is_6, sending.service);
	name_6.sin6_port = name_4.sin_port = htons((unsigned short)(sending.port ? sending.port : 9));
	MUST(inet_pton(family, sending.target, is_6 ? (void *)&name_6.sin6_addr : (void *)&name_4.sin_addr) == 1 ? 0 : -1);
	if (sending.sent_service) {
		*(int *)CMSG_DATA(&control.header) = sending.sent_service;
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		result = ERRNO_OF(sendmsg(fd, &message, 0));
	} else {
		result = ERRNO_OF(connect(fd, name, size));
	}
	close(fd);
	return result;
}

#define SENDING(...) error_of((struct sending){.target = "10.1.1.1", ##__VA_ARGS__})
#define SENDING_6(...) error_of((struct sending){.target = "2001:db8::1", ##__VA_ARGS__})

static void begin_rule_of(int family, unsigned table, int service)
{
	begin_rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, FR_ACT_TO_TBL, table, 0);
	((struct fib_rule_hdr *)request.data)->family = (unsigned char)family;
	((struct fib_rule_hdr *)request.data)->tos = (unsigned char)service;
}

static void new_table_6(unsigned table, int kind)
{
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "::", 0, kind, RT_SCOPE_UNIVERSE);
	((struct rtmsg *)request.data)->rtm_table = RT_TABLE_UNSPEC;
	add_number(RTA_TABLE, table);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "0");
}


ROOTS_TEST(rules_look_at_the_type_of_service)
{
	unsigned char dscp = 0x28;

	enter();
	open_asker(1);
	new_table(100, RTN_UNREACHABLE);
	new_table(101, RTN_PROHIBIT);
	begin_rule_of(AF_INET, 100, 0x10);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(), ENETUNREACH);
	CHECK_EQ(SENDING(.service = 0x10), EHOSTUNREACH);
	CHECK_EQ(SENDING(.service = 0x10, .type = SOCK_STREAM), EHOSTUNREACH);
	CHECK_EQ(SENDING(.service = 0x08), ENETUNREACH);
	/* The upper bits aren't looked at, nor what is about congestion. */
	CHECK_EQ(SENDING(.service = 0xf1), EHOSTUNREACH);
	CHECK_EQ(SENDING(.sent_service = 0x10), EHOSTUNREACH);
	CHECK_EQ(SENDING(.service = 0x10, .sent_service = 0x08), ENETUNREACH);
	begin_rule_of(AF_INET, 100, 0x11);
	CHECK_STRING(asked(), "22 Invalid dsfield (tos): ECN bits must be 0");
	begin_rule_of(AF_INET, 100, 0x80);
	CHECK_STRING(asked(), "22 Invalid tos");
	begin_rule_of(AF_INET, 101, 0x10);
	add(FRA_DSCP, &dscp, 1);
	CHECK_STRING(asked(), "22 Cannot specify both TOS and DSCP");
	begin_rule_of(AF_INET, 101, 0);
	add(FRA_DSCP, &dscp, 1);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(.service = 0xa3), EACCES);
	CHECK_EQ(SENDING(.service = 0x83), ENETUNREACH);
	CHECK_EQ(SENDING(.service = 0xb0), EHOSTUNREACH);
	dscp = 64;
	begin_rule_of(AF_INET, 101, 0);
	add(FRA_DSCP, &dscp, 1);
	CHECK_STRING(asked(), "34 Error parsing msg at 36 policy of 36");
	/* IPv6 looks at all bits. */
	new_table_6(100, RTN_PROHIBIT);
	begin_rule_of(AF_INET6, 100, 0x90);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING_6(), ENETUNREACH);
	CHECK_EQ(SENDING_6(.service = 0x93), EACCES);
	CHECK_EQ(SENDING_6(.service = 0x93, .type = SOCK_STREAM), EACCES);
	CHECK_EQ(SENDING_6(.service = 0x10), ENETUNREACH);
	CHECK_EQ(SENDING_6(.sent_service = 0x90), EACCES);
	CHECK_EQ(SENDING_6(.service = 0x90, .sent_service = 0x80), ENETUNREACH);
}

ROOTS_TEST(routes_of_a_type_of_service)
{
	int fd, service = 0x10;
	struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(9)};

	enter();
	open_asker(1);
	new_table(RT_TABLE_MAIN, RTN_UNREACHABLE);
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "0.0.0.0", 0, RTN_PROHIBIT, RT_SCOPE_UNIVERSE);
	((struct rtmsg *)request.data)->rtm_tos = 0x10;
	CHECK_STRING(asked(), "0");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "0.0.0.0", 0, RTN_BLACKHOLE, RT_SCOPE_UNIVERSE);
	((struct rtmsg *)request.data)->rtm_tos = 0x90;
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(), EHOSTUNREACH);
	CHECK_EQ(SENDING(.service = 0x10), EACCES);
	CHECK_EQ(SENDING(.service = 0x90), EACCES);
	CHECK_EQ(SENDING(.sent_service = 0x10), EACCES);
	CHECK_EQ(SENDING(.service = 0x10, .type = SOCK_STREAM), EACCES);
	/* One that is connected goes another way when its service changes. */
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "10.1.1.1", 32, RTN_LOCAL, RT_SCOPE_HOST);
	((struct rtmsg *)request.data)->rtm_table = RT_TABLE_LOCAL;
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "0");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "10.1.1.1", 32, RTN_PROHIBIT, RT_SCOPE_UNIVERSE);
	((struct rtmsg *)request.data)->rtm_table = RT_TABLE_LOCAL;
	((struct rtmsg *)request.data)->rtm_tos = 0x10;
	CHECK_STRING(asked(), "0");
	inet_pton(AF_INET, "10.1.1.1", &target.sin_addr);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(connect(fd, (void *)&target, sizeof(target)));
	CHECK_EQ(send(fd, "x", 1, 0), 1);
	MUST(setsockopt(fd, SOL_IP, IP_TOS, &service, sizeof(service)));
	CHECK_ERRNO(send(fd, "x", 1, 0), EACCES);
}

ROOTS_TEST(rules_look_at_who_sends)
{
	struct fib_rule_uid_range users = {1000, 1002};

	enter();
	open_asker(1);
	new_table(100, RTN_UNREACHABLE);
	begin_rule_of(AF_INET, 100, 0);
	add(FRA_UID_RANGE, &users, sizeof(users));
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(), ENETUNREACH);
	CHECK_EQ(SENDING(.uid = 1000), EHOSTUNREACH);
	CHECK_EQ(SENDING(.uid = 1002, .type = SOCK_STREAM), EHOSTUNREACH);
	CHECK_EQ(SENDING(.uid = 1003), ENETUNREACH);
	users.start = 1003;
	begin_rule_of(AF_INET, 100, 0);
	add(FRA_UID_RANGE, &users, sizeof(users));
	CHECK_STRING(asked(), "22 Invalid uid range");
	begin_rule_of(AF_INET, 100, 0);
	add(FRA_UID_RANGE, &users, 4);
	CHECK_STRING(asked(), "34 Error parsing msg at 36");
	new_table_6(100, RTN_PROHIBIT);
	begin_rule_of(AF_INET6, 100, 0);
	users.start = 1002;
	add(FRA_UID_RANGE, &users, sizeof(users));
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING_6(.uid = 1001), ENETUNREACH);
	CHECK_EQ(SENDING_6(.uid = 1002), EACCES);
}

ROOTS_TEST(rules_look_at_protocols_and_ports)
{
	struct fib_rule_port_range ports = {80, 90};
	unsigned char protocol = IPPROTO_TCP;

	enter();
	open_asker(1);
	new_table(100, RTN_UNREACHABLE);
	new_table(101, RTN_PROHIBIT);
	begin_rule_of(AF_INET, 100, 0);
	add(FRA_IP_PROTO, &protocol, 1);
	add(FRA_DPORT_RANGE, &ports, sizeof(ports));
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(.port = 85), ENETUNREACH);
	CHECK_EQ(SENDING(.port = 80, .type = SOCK_STREAM), EHOSTUNREACH);
	CHECK_EQ(SENDING(.port = 90, .type = SOCK_STREAM), EHOSTUNREACH);
	CHECK_EQ(SENDING(.port = 91, .type = SOCK_STREAM), ENETUNREACH);
	ports.start = 5000, ports.end = 5000;
	begin_rule_of(AF_INET, 101, 0);
	add(FRA_SPORT_RANGE, &ports, sizeof(ports));
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(.own_port = 5000), EACCES);
	CHECK_EQ(SENDING(.own_port = 5000, .sent_service = 4), EACCES);
	CHECK_EQ(SENDING(.own_port = 5000, .type = SOCK_STREAM), EACCES);
	CHECK_EQ(SENDING(.own_port = 5001), ENETUNREACH);
	ports.end = 4000;
	begin_rule_of(AF_INET, 101, 0);
	add(FRA_SPORT_RANGE, &ports, sizeof(ports));
	CHECK_STRING(asked(), "22 Invalid sport range");
	ports.end = 0xffff;
	begin_rule_of(AF_INET, 101, 0);
	add(FRA_DPORT_RANGE, &ports, sizeof(ports));
	CHECK_STRING(asked(), "22 Invalid dport range");
	new_table_6(100, RTN_PROHIBIT);
	begin_rule_of(AF_INET6, 100, 0);
	ports.end = 5000;
	add(FRA_DPORT_RANGE, &ports, sizeof(ports));
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING_6(.port = 5000), EACCES);
	CHECK_EQ(SENDING_6(.port = 5000, .type = SOCK_STREAM), EACCES);
	CHECK_EQ(SENDING_6(.port = 5001), ENETUNREACH);
	/* A rule that is described by less is deleted. */
	begin_rule(RTM_DELRULE, 0, 0, 0, 0);
	add(FRA_SPORT_RANGE, &ports, sizeof(ports));
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(.own_port = 5000), ENETUNREACH);
	begin_rule(RTM_DELRULE, 0, 0, 0, 0);
	add(FRA_IP_PROTO, &protocol, 1);
	CHECK_STRING(asked(), "0");
	begin_rule(RTM_DELRULE, 0, 0, 0, 0);
	add(FRA_IP_PROTO, &protocol, 1);
	CHECK_STRING(asked(), "2");
}

ROOTS_TEST(rules_look_at_groups_and_tunnels)
{
	struct ifinfomsg link = {.ifi_index = 1};
	unsigned char number[8] = {0, 0, 0, 0, 0, 0, 0, 7}, one = 1;

	enter();
	open_asker(1);
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "0.0.0.0", 0, RTN_UNICAST, RT_SCOPE_LINK);
	add_number(RTA_OIF, 1);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(), 0);
	begin_rule_of(AF_INET, RT_TABLE_MAIN, 0);
	add_number(FRA_SUPPRESS_IFGROUP, 5);
	CHECK_STRING(asked(), "0");
	new_table(100, RTN_UNREACHABLE);
	begin_rule_of(AF_INET, 100, 0);
	((struct fib_rule_hdr *)request.data)->tos = 0;
	add_number(FRA_PRIORITY, 32765);
	add(FRA_TUN_ID, number, sizeof(number));
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(), 0);
	begin_rule_of(AF_INET, 100, 0);
	add_number(FRA_PRIORITY, 32765);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(), 0);
	begin(RTM_NEWLINK, NLM_F_ACK, &link, sizeof(link));
	add_number(IFLA_GROUP, 5);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(SENDING(), EHOSTUNREACH);
	begin_rule_of(AF_INET, 100, 0);
	add(FRA_L3MDEV, &one, 1);
	CHECK(strncmp(asked(), "22 ", 3) == 0);
}

static const char *remove_from(int family, unsigned table)
{
	struct rtmsg body = {.rtm_family = (unsigned char)family, .rtm_table = RT_TABLE_UNSPEC, .rtm_type = RTN_UNICAST};

	begin(RTM_DELROUTE, NLM_F_ACK, &body, sizeof(body));
	add_number(RTA_TABLE, table);
	return asked();
}

/* A rule makes its table for IPv6 alone, and only if it leads there; a route that can't be makes none. */
ROOTS_TEST(tables_that_rules_make)
{
	enter();
	open_asker(1);
	for (int at = 0; at < 2; at++) {
		int family = at ? AF_INET6 : AF_INET;

		begin_rule(RTM_NEWRULE, 0, FR_ACT_UNREACHABLE, 77, 90);
		((struct fib_rule_hdr *)request.data)->family = (unsigned char)family;
		CHECK_STRING(asked(), "0");
		CHECK_STRING(remove_from(family, 77), "3 FIB table does not exist");
		begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, 78, 91);
		((struct fib_rule_hdr *)request.data)->family = (unsigned char)family;
		CHECK_STRING(asked(), "0");
		begin(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, &(struct rtmsg){.rtm_family = (unsigned char)family, .rtm_table = 79, .rtm_type = 99}, sizeof(struct rtmsg));
		CHECK_STRING(asked(), "22 Invalid route type");
		CHECK_STRING(remove_from(family, 79), "3 FIB table does not exist");
		CHECK_STRING(remove_from(family, 78), at ? "2" : "3 FIB table does not exist");
	}
}

ROOTS_TEST(tables_are_one_until_there_are_rules)
{
	enter();
	open_asker(1);
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "10.7.0.0", 16, RTN_LOCAL, RT_SCOPE_HOST);
	add_number(RTA_OIF, 1);
	((struct rtmsg *)request.data)->rtm_table = RT_TABLE_DEFAULT;
	CHECK_STRING(asked(), "0");
	CHECK_EQ(table_of("127.0.0.1", RTM_F_LOOKUP_TABLE), RT_TABLE_MAIN);
	CHECK_EQ(table_of("127.0.0.1", RTM_F_FIB_MATCH), RT_TABLE_MAIN);
	CHECK_EQ(table_of("10.7.0.1", RTM_F_LOOKUP_TABLE), RT_TABLE_DEFAULT);
	CHECK_EQ(table_of("10.7.0.1", RTM_F_FIB_MATCH), RT_TABLE_MAIN);
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, 100, 0);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(table_of("127.0.0.1", RTM_F_LOOKUP_TABLE), RT_TABLE_LOCAL);
	CHECK_EQ(table_of("127.0.0.1", RTM_F_FIB_MATCH | RTM_F_LOOKUP_TABLE), RT_TABLE_LOCAL);
	CHECK_EQ(table_of("127.0.0.1", RTM_F_FIB_MATCH), RT_TABLE_MAIN);
	CHECK_EQ(table_of("127.0.0.1", 0), RT_TABLE_MAIN);
	begin_rule(RTM_DELRULE, 0, FR_ACT_TO_TBL, 100, 0);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(table_of("127.0.0.1", RTM_F_LOOKUP_TABLE), RT_TABLE_LOCAL);
}

ROOTS_TEST(gateways_that_rules_refuse)
{
	enter();
	open_asker(1);
	begin_rule(RTM_NEWRULE, 0, FR_ACT_PROHIBIT, 0, 10);
	add_net(FRA_DST, "10.7.0.0", 16);
	CHECK_STRING(asked(), "0");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "10.8.0.0", 16, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_address(RTA_GATEWAY, "10.7.0.1");
	CHECK_STRING(asked(), "13 Nexthop has invalid gateway");
	/* Whether there is such an interface is seen later. */
	add_number(RTA_OIF, 99);
	CHECK_STRING(asked(), "13 Nexthop has invalid gateway");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "10.8.0.0", 16, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_address(RTA_GATEWAY, "10.9.0.1");
	add_number(RTA_OIF, 99);
	CHECK_STRING(asked(), "101 Nexthop has invalid gateway");
}

/* What is told of a packet with a mark that comes by an interface: its kind, or -errno. */
static int arrival(unsigned index, const char *source, const char *target, unsigned mark)
{
	struct rtmsg body = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_src_len = 32};
	struct nlmsghdr *header = (void *)answers;

	begin(RTM_GETROUTE, 0, &body, sizeof(body));
	add_address(RTA_DST, target);
	add_address(RTA_SRC, source);
	add_number(RTA_IIF, index);
	add_number(RTA_MARK, mark);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	if (header->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(header))->error;
	return ((struct rtmsg *)NLMSG_DATA(header))->rtm_type;
}

/* Where answers would go is asked of rules with the packet's mark only by src_valid_mark. */
ROOTS_TEST(sources_that_marks_make_valid)
{
	static const char *const paths[] = {"/proc/sys/net/ipv4/conf/bridge/src_valid_mark", "/proc/sys/net/ipv4/conf/all/src_valid_mark"};
	struct ifreq bridge = {.ifr_name = "bridge", .ifr_flags = IFF_UP};
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a070001)};
	int fd;
	unsigned index;

	enter();
	open_asker(0);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(ioctl(fd, SIOCBRADDBR, "bridge"));
	MUST(ioctl(fd, SIOCSIFFLAGS, &bridge));
	memcpy(&bridge.ifr_addr, &own, sizeof(own));
	MUST(ioctl(fd, SIOCSIFADDR, &bridge));
	index = if_nametoindex("bridge");
	MUST(write_text("/proc/sys/net/ipv4/conf/all/rp_filter", "0"));
	MUST(write_text("/proc/sys/net/ipv4/conf/bridge/rp_filter", "1"));
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "0.0.0.0", 0, RTN_UNICAST, RT_SCOPE_LINK);
	((struct rtmsg *)request.data)->rtm_table = RT_TABLE_UNSPEC;
	add_number(RTA_TABLE, 100);
	add_number(RTA_OIF, index);
	CHECK_STRING(asked(), "0");
	begin_rule(RTM_NEWRULE, 0, FR_ACT_TO_TBL, 100, 100);
	add_number(FRA_FWMARK, 5);
	CHECK_STRING(asked(), "0");
	CHECK_EQ(arrival(index, "172.20.0.1", "10.7.0.1", 0), -EINVAL);
	CHECK_EQ(arrival(index, "172.20.0.1", "10.7.0.1", 5), -EINVAL);
	for (int at = 0; at < 2; at++) {
		CHECK_OK(write_text(paths[at], "1"));
		CHECK_EQ(arrival(index, "172.20.0.1", "10.7.0.1", 5), RTN_LOCAL);
		CHECK_EQ(arrival(index, "172.20.0.1", "10.7.0.1", 4), -EINVAL);
		CHECK_OK(write_text(paths[at], "0"));
		CHECK_EQ(arrival(index, "172.20.0.1", "10.7.0.1", 5), -EINVAL);
	}
}
