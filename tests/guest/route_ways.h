/* Two pairs of Ethernet interfaces, and what is told of the ways of routes (rtnetlink(7)). */
#ifndef ROUTE_WAYS_H
#define ROUTE_WAYS_H

#include "route_request.h"

#include <linux/veth.h>

enum { LO = 1, V1, V0, W1, W0 };

static char told_text[4096];
static int told_length;

__attribute__((format(printf, 1, 2))) CHECK_API void tell(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	told_length += vsnprintf(told_text + told_length, sizeof(told_text) - (size_t)told_length, format, arguments);
	va_end(arguments);
}

CHECK_API void close_list(struct rtattr *list)
{
	list->rta_len = (unsigned short)((char *)&request + NLMSG_ALIGN(request.header.nlmsg_len) - (char *)list);
}

CHECK_API void make_pair(const char *name, const char *peer_name)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
	struct rtattr *information, *data, *peer;

	begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	add(IFLA_IFNAME, name, strlen(name) + 1);
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, "veth", 5);
	data = add(IFLA_INFO_DATA, NULL, 0);
	peer = add(VETH_INFO_PEER, &body, sizeof(body));
	add(IFLA_IFNAME, peer_name, strlen(peer_name) + 1);
	close_list(peer);
	close_list(data);
	close_list(information);
	MUST(strcmp(asked(), "0") == 0 ? 0 : -1);
}

CHECK_API void set_link(int type, int index, unsigned flags)
{
	struct ifinfomsg body = {.ifi_index = index, .ifi_flags = flags, .ifi_change = IFF_UP};

	begin(type, NLM_F_ACK, &body, sizeof(body));
	MUST(strcmp(asked(), "0") == 0 ? 0 : -1);
}

CHECK_API void give_address(int type, int index, const char *address, int length)
{
	begin_address(type, NLM_F_CREATE, address, length);
	((struct ifaddrmsg *)(void *)request.data)->ifa_index = (unsigned)index;
	add_number(IFA_FLAGS, IFA_F_NODAD);
	MUST(strcmp(asked(), "0") == 0 ? 0 : -1);
}

/* A network with v0 and w0, each with a pair of addresses, and their peers without any. */
CHECK_API void enter_with_pairs(void)
{
	enter();
	open_asker(0);
	make_pair("v0", "v1");
	make_pair("w0", "w1");
	for (int index = V1; index <= W0; index++)
		set_link(RTM_NEWLINK, index, IFF_UP);
	give_address(RTM_NEWADDR, V0, "10.0.0.1", 24);
	give_address(RTM_NEWADDR, W0, "10.0.1.1", 24);
	give_address(RTM_NEWADDR, V0, "2001:db8::1", 64);
	give_address(RTM_NEWADDR, W0, "2001:db8:1::1", 64);
}

CHECK_API void tell_flags(unsigned flags)
{
	if (flags & RTNH_F_DEAD)
		tell(" dead");
	if (flags & RTNH_F_LINKDOWN)
		tell(" linkdown");
	if (flags & RTNH_F_ONLINK)
		tell(" onlink");
}

CHECK_API void tell_gateway(int family, const struct rtattr *attribute)
{
	char text[64];

	tell(" via %s", inet_ntop(family, RTA_DATA(attribute), text, sizeof(text)));
}

CHECK_API void tell_ways(int family, struct rtattr *list)
{
	struct rtnexthop *way = RTA_DATA(list);
	int rest = (int)RTA_PAYLOAD(list);

	for (; rest >= (int)sizeof(*way) && RTNH_OK(way, rest); rest -= RTNH_ALIGN(way->rtnh_len), way = RTNH_NEXT(way)) {
		struct rtattr *each = RTNH_DATA(way);
		int left = way->rtnh_len - (int)sizeof(*way);

		tell(" [");
		for (; RTA_OK(each, left); each = RTA_NEXT(each, left)) {
			if (each->rta_type == RTA_GATEWAY)
				tell_gateway(family, each);
			else if (each->rta_type == RTA_FLOW)
				tell(" realm %u", *(unsigned *)RTA_DATA(each));
			else
				tell(" attribute %d", each->rta_type);
		}
		tell(" dev %d weight %d", way->rtnh_ifindex, way->rtnh_hops + 1);
		tell_flags(way->rtnh_flags);
		tell("]");
	}
}

/* The ways of a route, its gateway and interface, and its next hop's number. */
CHECK_API void tell_route(const struct nlmsghdr *header)
{
	struct rtmsg *body = NLMSG_DATA(header);
	int rest = (int)RTM_PAYLOAD(header);

	if (body->rtm_type != RTN_UNICAST)
		tell(" type %d", body->rtm_type);
	for (struct rtattr *each = RTM_RTA(body); RTA_OK(each, rest); each = RTA_NEXT(each, rest))
		switch (each->rta_type & NLA_TYPE_MASK) {
		case RTA_GATEWAY:
			tell_gateway(body->rtm_family, each);
			break;
		case RTA_OIF:
			tell(" dev %d", *(int *)RTA_DATA(each));
			break;
		case RTA_NH_ID:
			tell(" nhid %d", *(int *)RTA_DATA(each));
			break;
		case RTA_MULTIPATH:
			tell_ways(body->rtm_family, each);
			break;
		default:
			break;
		}
	tell_flags(body->rtm_flags);
}

CHECK_API int leads_to(const struct nlmsghdr *header, const char *net)
{
	struct rtmsg *body = NLMSG_DATA(header);
	int rest = (int)RTM_PAYLOAD(header);
	unsigned char address[16];

	if (inet_pton(body->rtm_family, net, address) != 1)
		return 0;
	for (struct rtattr *each = RTM_RTA(body); RTA_OK(each, rest); each = RTA_NEXT(each, rest))
		if (each->rta_type == RTA_DST)
			return memcmp(RTA_DATA(each), address, each->rta_len - 4U) == 0;
	return 0;
}

/* All routes to a net, with a semicolon behind each. */
CHECK_API const char *routes_to(const char *net)
{
	struct rtmsg body = {.rtm_family = strchr(net, ':') == NULL ? AF_INET : AF_INET6};

	begin(RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(body));
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	told_length = 0;
	told_text[0] = '\0';
	for (;;) {
		int length = (int)MUST(recv(asker, answers, sizeof(answers), 0));

		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			if (header->nlmsg_type == NLMSG_DONE)
				return told_text;
			if (leads_to(header, net)) {
				tell_route(header);
				tell(";");
			}
		}
	}
}

/* What RTM_GETROUTE answers about an address, with these RTM_F_*. */
CHECK_API const char *way_to(const char *address, unsigned flags)
{
	struct rtmsg body = {.rtm_family = strchr(address, ':') == NULL ? AF_INET : AF_INET6, .rtm_flags = flags};
	struct nlmsghdr *header = (void *)answers;

	body.rtm_dst_len = body.rtm_family == AF_INET ? 32 : 128;
	begin(RTM_GETROUTE, 0, &body, sizeof(body));
	add_address(RTA_DST, address);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	told_length = 0;
	told_text[0] = '\0';
	if (header->nlmsg_type == NLMSG_ERROR)
		tell(" error %d", -((struct nlmsgerr *)NLMSG_DATA(header))->error);
	else
		tell_route(header);
	return told_text;
}

CHECK_API int listen_to(unsigned groups)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int listener = (int)MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE));

	MUST(bind(listener, (void *)&address, sizeof(address)));
	return listener;
}

/* What listeners were told of a net since the last time. */
CHECK_API const char *heard_of(int listener, const char *net)
{
	told_length = 0;
	told_text[0] = '\0';
	for (;;) {
		int length = (int)recv(listener, answers, sizeof(answers), 0);

		if (length == -1)
			return told_text;
		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length))
			if (leads_to(header, net)) {
				tell("%s %x", header->nlmsg_type == RTM_NEWROUTE ? "new" : "gone", header->nlmsg_flags);
				tell_route(header);
				tell(";");
			}
	}
}

/* Begin a list of ways, and add one: its gateway, NULL for none, its interface, 0 for none, and weight. */
CHECK_API struct rtattr *begin_ways(void)
{
	return add(RTA_MULTIPATH, NULL, 0);
}

CHECK_API struct rtnexthop *add_way(const char *gateway, int index, int weight)
{
	struct rtnexthop way = {.rtnh_len = sizeof(way), .rtnh_hops = (unsigned char)(weight - 1), .rtnh_ifindex = index};
	struct rtnexthop *place = (void *)((char *)&request + NLMSG_ALIGN(request.header.nlmsg_len));

	memcpy(place, &way, sizeof(way));
	request.header.nlmsg_len = NLMSG_ALIGN(request.header.nlmsg_len) + (unsigned)sizeof(way);
	if (gateway != NULL)
		add_address(RTA_GATEWAY, gateway);
	place->rtnh_len = (unsigned short)((char *)&request + NLMSG_ALIGN(request.header.nlmsg_len) - (char *)place);
	return place;
}

#endif
