/* Rules that choose tables of routes (ip-rule(8), rtnetlink(7)). */
#include "route_request.h"

#include <linux/fib_rules.h>

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
