/* Which address of IPv6 packets are sent from (RFC 6724), and what comes of a peer that an address is given. */
#include "route_request.h"

#include <linux/sockios.h>

static int bridge;

static void make_bridge(void)
{
	struct ifreq up = {.ifr_name = "bridge", .ifr_flags = IFF_UP};
	int fd;

	enter();
	open_asker(0);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(ioctl(fd, SIOCBRADDBR, "bridge"));
	MUST(ioctl(fd, SIOCSIFFLAGS, &up));
	close(fd);
	bridge = (int)if_nametoindex("bridge");
}

static const char *give(int index, int flags, const char *address, int length, const char *peer)
{
	begin_address(RTM_NEWADDR, NLM_F_CREATE | flags, address, length);
	((struct ifaddrmsg *)request.data)->ifa_index = (unsigned)index;
	((struct ifaddrmsg *)request.data)->ifa_flags = IFA_F_NODAD;
	if (peer != NULL)
		add_address(IFA_ADDRESS, peer);
	return asked();
}

/* One attribute of the way to an address, as text if it's an address. */
static const char *of_way(const char *to, int kind)
{
	struct rtmsg body = {.rtm_family = AF_INET6, .rtm_dst_len = 128};
	static char text[128];
	struct nlmsghdr *header = (void *)answers;
	struct rtattr *told = (void *)((char *)NLMSG_DATA(header) + sizeof(body));
	int rest;

	begin(RTM_GETROUTE, 0, &body, sizeof(body));
	add_address(RTA_DST, to);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	strcpy(text, "none");
	if (header->nlmsg_type == NLMSG_ERROR)
		return "error";
	rest = (int)header->nlmsg_len - (int)NLMSG_LENGTH(sizeof(body));
	for (; RTA_OK(told, rest); told = RTA_NEXT(told, rest))
		if (told->rta_type == kind && told->rta_len == 20)
			inet_ntop(AF_INET6, RTA_DATA(told), text, sizeof(text));
		else if (told->rta_type == kind && kind == RTA_CACHEINFO)
			snprintf(text, sizeof(text), "%d", ((struct rta_cacheinfo *)RTA_DATA(told))->rta_expires);
	return text;
}

#define SOURCE_OF(to) of_way(to, RTA_PREFSRC)

static void route_everything(int index)
{
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "::", 0, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_number(RTA_OIF, (unsigned)index);
	CHECK_STRING(asked(), "0");
}

ROOTS_TEST(the_source_is_of_the_destinations_kind)
{
	make_bridge();
	route_everything(bridge);
	CHECK_STRING(give(bridge, 0, "2001:db8:1::1", 64, NULL), "0");
	CHECK_STRING(give(bridge, 0, "fd00:1::1", 64, NULL), "0");
	CHECK_STRING(give(bridge, 0, "2002:1::2", 64, NULL), "0");
	CHECK_STRING(give(bridge, 0, "2001:10::2", 64, NULL), "0");
	CHECK_STRING(give(bridge, 0, "2001:db8:1::2", 120, NULL), "0");
	CHECK_STRING(SOURCE_OF("2001:db8:9::1"), "2001:db8:1::2");
	CHECK_STRING(SOURCE_OF("fd00:2::1"), "fd00:1::1");
	CHECK_STRING(SOURCE_OF("2002:2::1"), "2002:1::2");
	CHECK_STRING(SOURCE_OF("2001:10::9"), "2001:10::2");
	CHECK_STRING(SOURCE_OF("ff0e::1"), "2001:db8:1::2");
}

ROOTS_TEST(an_address_of_the_loopback_may_be_the_better_one)
{
	enter();
	open_asker(0);
	CHECK_STRING(give(1, 0, "fe80::5", 128, NULL), "0");
	route_everything(1);
	CHECK_STRING(SOURCE_OF("2001:db8:9::1"), "fe80::5");
	CHECK_STRING(SOURCE_OF("::1"), "::1");
}

ROOTS_TEST(by_way_of_a_router_the_source_is_chosen_for_the_destination)
{
	make_bridge();
	CHECK_STRING(give(bridge, 0, "fe80::5", 64, NULL), "0");
	CHECK_STRING(give(bridge, 0, "2001:db8:1::1", 64, NULL), "0");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "2001:db8:9::", 48, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_number(RTA_OIF, (unsigned)bridge);
	add_address(RTA_GATEWAY, "fe80::9");
	CHECK_STRING(asked(), "0");
	CHECK_STRING(SOURCE_OF("2001:db8:9::1"), "2001:db8:1::1");
}

ROOTS_TEST(an_address_is_given_another_peer)
{
	make_bridge();
	CHECK_STRING(give(bridge, 0, "2001:db8:1::1", 64, NULL), "0");
	CHECK_STRING(give(bridge, NLM_F_REPLACE, "2001:db8:1::1", 64, "2001:db8:2::2"), "0");
	CHECK_STRING(of_address(AF_INET6, "2001:db8:2::2", IFA_LOCAL), "20010db8000100000000000000000001");
	CHECK_STRING(SOURCE_OF("2001:db8:2::99"), "2001:db8:1::1");
	CHECK_STRING(give(bridge, NLM_F_REPLACE, "2001:db8:1::1", 64, "2001:db8:3::2"), "0");
	CHECK_STRING(SOURCE_OF("2001:db8:2::99"), "error");
	CHECK_STRING(SOURCE_OF("2001:db8:3::99"), "2001:db8:1::1");
	CHECK_STRING(give(bridge, NLM_F_REPLACE, "2001:db8:1::1", 64, NULL), "0");
	CHECK_STRING(SOURCE_OF("2001:db8:3::99"), "2001:db8:1::1");
}

/* An address that is told with more bytes than it has isn't the one of the net, however it begins. */
ROOTS_TEST(an_address_may_be_its_own_peer)
{
	struct ifaddrmsg body = {.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_flags = IFA_F_NODAD};
	char longer[20] = {0};

	make_bridge();
	body.ifa_index = (unsigned)bridge;
	inet_pton(AF_INET6, "2001:db8:1::1", longer);
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add(IFA_LOCAL, longer, sizeof(longer));
	add_address(IFA_ADDRESS, "2001:db8:1::1");
	CHECK_STRING(asked(), "0");
	CHECK_STRING(of_address(AF_INET6, "2001:db8:1::1", IFA_LOCAL), "20010db8000100000000000000000001");
	CHECK_STRING(give(bridge, 0, "2001:db8:1::2", 64, "2001:db8:1::2"), "0");
	CHECK_STRING(of_address(AF_INET6, "2001:db8:1::2", IFA_LOCAL), "");
}

ROOTS_TEST(when_a_way_ends_is_told_in_the_list_alone)
{
	make_bridge();
	CHECK_STRING(give(bridge, 0, "2001:db8:1::1", 64, NULL), "0");
	begin_route(RTM_NEWROUTE, NLM_F_CREATE, "2001:db8:9::", 48, RTN_UNICAST, RT_SCOPE_UNIVERSE);
	add_number(RTA_OIF, (unsigned)bridge);
	add_number(RTA_EXPIRES, 1000);
	CHECK_STRING(asked(), "0");
	CHECK_STRING(of_way("2001:db8:9::1", RTA_CACHEINFO), "0");
	CHECK(strncmp(of_route(AF_INET6, "2001:db8:9::", RTA_CACHEINFO) + 16, "00000000", 8) != 0);
}
