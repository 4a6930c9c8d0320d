/* Ways of IPv4 that are asked for, groups that are addresses too and the loopback's as sources; and numbers of
 * networks (rtnetlink(7), ip-netns(8)). */
#include "route_request.h"

#include <linux/net_namespace.h>
#include <linux/sockios.h>

/* The way to `to`: its kind and whether this machine listens, or -errno. */
static int way(const char *to, const char *source, unsigned out)
{
	struct rtmsg body = {.rtm_family = AF_INET, .rtm_dst_len = 32};
	struct nlmsghdr *header = (void *)answers;
	struct rtmsg *found = NLMSG_DATA(header);

	begin(RTM_GETROUTE, 0, &body, sizeof(body));
	add_address(RTA_DST, to);
	if (source != NULL)
		add_address(RTA_SRC, source);
	if (out != 0)
		add_number(RTA_OIF, out);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	if (header->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(header))->error;
	/* RTCF_LOCAL */
	return found->rtm_type + (found->rtm_flags & 0x80000000U ? 100 : 0);
}

/* A number that the last answer has, or 0. */
static unsigned told_number(int kind)
{
	struct nlmsghdr *header = (void *)answers;
	int rest = (int)RTM_PAYLOAD(header);

	for (struct rtattr *told = RTM_RTA(NLMSG_DATA(header)); RTA_OK(told, rest); told = RTA_NEXT(told, rest))
		if (told->rta_type == kind)
			return *(unsigned *)RTA_DATA(told);
	return 0;
}

/* Make a route to a net of 16 bits. */
static void add_route(const char *net, const char *source, const char *gateway, unsigned out)
{
	struct rtmsg body = {.rtm_family = AF_INET, .rtm_dst_len = 16, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST};

	begin(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(RTA_DST, net);
	if (source != NULL)
		add_address(RTA_PREFSRC, source);
	if (gateway != NULL)
		add_address(RTA_GATEWAY, gateway);
	if (out != 0)
		add_number(RTA_OIF, out);
	CHECK_STRING(asked(), "0");
}

ROOTS_TEST(a_group_that_is_an_address)
{
	struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1};
	struct sockaddr_in group = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0xe0000005)};
	int fd;

	enter();
	open_asker(0);
	CHECK_EQ(way("127.0.0.1", NULL, 0), RTN_LOCAL + 100);
	CHECK_EQ(way("224.0.0.5", NULL, 0), -ENETUNREACH);
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(IFA_LOCAL, "224.0.0.5");
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way("224.0.0.5", NULL, 0), RTN_MULTICAST);
	/* It would be its own source, which no group is for who is connected. */
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(connect(fd, (void *)&group, sizeof(group)), EINVAL);
	CHECK_EQ(sendto(fd, "", 0, 0, (void *)&group, sizeof(group)), 0);
}

ROOTS_TEST(the_loopbacks_addresses_stay_there)
{
	struct ifreq bridge = {.ifr_name = "bridge", .ifr_flags = IFF_UP};
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a070001)};
	struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(9)};
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
	CHECK_EQ(way("10.7.1.0", "10.7.0.1", index), RTN_UNICAST);
	CHECK_EQ(way("10.7.1.0", "127.0.0.1", index), -EINVAL);
	CHECK_EQ(way("10.7.1.0", "127.0.0.1", 0), -EINVAL);
	CHECK_EQ(way("10.7.0.1", "127.0.0.1", 0), RTN_LOCAL + 100);
	/* Nor do they leave it where a route says so, or an interface has one. */
	add_route("10.8.0.0", "127.0.0.1", NULL, index);
	CHECK_EQ(way("10.8.0.1", NULL, 0), -EINVAL);
	CHECK_EQ(way("10.8.0.1", "10.7.0.1", 0), RTN_UNICAST);
	target.sin_addr.s_addr = htonl(0x0a080001);
	CHECK_ERRNO(connect(fd, (void *)&target, sizeof(target)), EINVAL);
	CHECK_ERRNO(sendto(fd, "", 0, 0, (void *)&target, sizeof(target)), EINVAL);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(bind(fd, (void *)&loopback, sizeof(loopback)));
	target.sin_addr.s_addr = htonl(0x0a070100);
	CHECK_ERRNO(connect(fd, (void *)&target, sizeof(target)), EINVAL);
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &(struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = index},
	      sizeof(struct ifaddrmsg));
	add_address(IFA_LOCAL, "127.3.0.1");
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way("127.3.0.2", NULL, index), -EINVAL);
	if (write_text("/proc/sys/net/ipv4/conf/bridge/route_localnet", "1") != 0)
		return;
	CHECK_EQ(way("10.8.0.1", NULL, 0), RTN_UNICAST);
	CHECK_EQ(way("127.3.0.2", NULL, index), RTN_UNICAST);
	CHECK_EQ(connect(fd, (void *)&target, sizeof(target)), 0);
}

/* A gateway that is this machine is none. */
ROOTS_TEST(a_gateway_that_is_here)
{
	struct ifreq bridge = {.ifr_name = "bridge", .ifr_flags = IFF_UP};
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a070001)};
	unsigned index;
	int fd;

	enter();
	open_asker(0);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(ioctl(fd, SIOCBRADDBR, "bridge"));
	MUST(ioctl(fd, SIOCSIFFLAGS, &bridge));
	memcpy(&bridge.ifr_addr, &own, sizeof(own));
	MUST(ioctl(fd, SIOCSIFADDR, &bridge));
	index = if_nametoindex("bridge");
	add_route("10.8.0.0", NULL, "10.7.0.1", 0);
	add_route("11.8.0.0", NULL, "10.7.0.2", 0);
	CHECK_EQ(way("10.8.0.1", NULL, 0), RTN_UNICAST);
	CHECK_EQ(told_number(RTA_GATEWAY), 0);
	CHECK_EQ(told_number(RTA_OIF), index);
	CHECK_EQ(ntohl(told_number(RTA_PREFSRC)), 0x0a070001);
	CHECK_EQ(way("11.8.0.1", NULL, 0), RTN_UNICAST);
	CHECK_EQ(ntohl(told_number(RTA_GATEWAY)), 0x0a070002);
	/* The list has it, though. */
	CHECK_STRING(of_route(AF_INET, "10.8.0.0", RTA_GATEWAY), "0a070001");
	/* Whoever sends asks for the target itself. */
	own.sin_addr.s_addr = htonl(0x0a080001);
	own.sin_port = htons(9);
	CHECK_EQ(sendto(fd, "", 0, 0, (void *)&own, sizeof(own)), 0);
	CHECK_STRING(list_of(RTM_GETNEIGH, &(struct ndmsg){.ndm_family = AF_INET}, sizeof(struct ndmsg), NDA_DST, NULL), "0a080001");
}

/* Metrics are looked at before it's known where a route of IPv6 leads. */
ROOTS_TEST(metrics_before_next_hops)
{
	struct rtmsg body = {.rtm_family = AF_INET6, .rtm_dst_len = 64, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST};
	struct {
		struct rtattr metric;
		unsigned value;
	} wrong = {{8, 99}, 1};

	enter();
	open_asker(0);
	begin(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(RTA_DST, "2001:db8::");
	add_number(RTA_NH_ID, 77);
	CHECK_STRING(asked(), "22 Nexthop id does not exist");
	add(RTA_METRICS | NLA_F_NESTED, &wrong, sizeof(wrong));
	CHECK_STRING(asked(), "22 Invalid metric type");
}

ROOTS_TEST(headers_that_are_too_short)
{
	static const char zeros[11];

	enter();
	open_asker(0);
	begin(RTM_DELROUTE, NLM_F_ACK, zeros, sizeof(zeros));
	request.data[0] = AF_INET;
	CHECK_STRING(asked(), "22");
	begin(RTM_DELROUTE, NLM_F_ACK, zeros, sizeof(zeros));
	request.data[0] = AF_INET6;
	CHECK_STRING(asked(), "22 Invalid header length");
}

/* The numbers that the first answer to the request tells, or the error and what explains it. */
static const char *numbers(void)
{
	static char text[200];
	struct nlmsghdr *header = (void *)answers;
	struct rtattr *told = (void *)((char *)NLMSG_DATA(header) + NLMSG_ALIGN(sizeof(struct rtgenmsg)));
	int used = 0, rest;

	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	if (header->nlmsg_type == NLMSG_ERROR) {
		struct nlmsgerr *error = NLMSG_DATA(header);

		return explained(header, error->error, NLMSG_ALIGN(NLMSG_LENGTH(4 + error->msg.nlmsg_len)));
	}
	if (header->nlmsg_type == NLMSG_DONE)
		return explained(header, *(int *)NLMSG_DATA(header), NLMSG_LENGTH(4));
	rest = (int)header->nlmsg_len - (int)NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct rtgenmsg)));
	text[0] = '\0';
	for (; RTA_OK(told, rest); told = RTA_NEXT(told, rest))
		used += snprintf(text + used, sizeof(text) - (size_t)used, "%d:%d ", told->rta_type, *(int *)RTA_DATA(told));
	return text;
}

/* What the asking network, or the one that it calls `target`, calls another. */
static const char *number_of(int kind, int which, int target)
{
	struct rtgenmsg body = {0};

	begin(RTM_GETNSID, 0, &body, sizeof(body));
	if (kind != 0)
		add(kind, &which, sizeof(which));
	if (target != -2)
		add(NETNSA_TARGET_NSID, &target, sizeof(target));
	return numbers();
}

static const char *number_in_list(int kind, int which)
{
	struct rtgenmsg body = {0};

	begin(RTM_GETNSID, NLM_F_DUMP, &body, sizeof(body));
	if (kind != 0)
		add(kind, &which, sizeof(which));
	return numbers();
}

static const char *call_it(int network, int number)
{
	struct rtgenmsg body = {0};

	begin(RTM_NEWNSID, NLM_F_ACK, &body, sizeof(body));
	add(NETNSA_FD, &network, sizeof(network));
	add(NETNSA_NSID, &number, sizeof(number));
	return asked();
}

/* The index and the first attribute's kind and number, of each message about interfaces or their addresses. */
static const char *found_in(int type, int flags, int family, int index, int kind, int target)
{
	static char text[512];
	struct ifinfomsg link = {.ifi_family = (unsigned char)family, .ifi_index = index};
	struct ifaddrmsg address = {.ifa_family = (unsigned char)family, .ifa_index = (unsigned)index};
	size_t size = type == RTM_GETLINK || type == RTM_DELLINK ? sizeof(link) : sizeof(address);

	begin(type, flags, size == sizeof(link) ? (void *)&link : (void *)&address, size);
	add(kind, &target, sizeof(target));
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	text[0] = '\0';
	for (;;) {
		int length = (int)MUST(recv(asker, answers, sizeof(answers), 0));

		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			struct rtattr *first = (void *)((char *)NLMSG_DATA(header) + NLMSG_ALIGN(size));
			struct nlmsgerr *error = NLMSG_DATA(header);

			if (header->nlmsg_type == NLMSG_ERROR)
				return explained(header, error->error, NLMSG_ALIGN(NLMSG_LENGTH(4 + error->msg.nlmsg_len)));
			if (header->nlmsg_type == NLMSG_DONE)
				return *(int *)NLMSG_DATA(header) ? explained(header, *(int *)NLMSG_DATA(header), NLMSG_LENGTH(4)) : text;
			sprintf(text + strlen(text), "%d/%d:%d ", size == sizeof(link) ? ((struct ifinfomsg *)NLMSG_DATA(header))->ifi_index : (int)((struct ifaddrmsg *)NLMSG_DATA(header))->ifa_index,
				first->rta_type, *(int *)RTA_DATA(first));
			if (!(flags & NLM_F_DUMP))
				return text;
		}
	}
}

static int new_veth(void)
{
	struct ifinfomsg body = {0};
	struct rtattr *information;

	begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	add(IFLA_IFNAME, "v0", 3);
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, "veth", 4);
	information->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)information);
	CHECK_STRING(asked(), "0");
	return (int)if_nametoindex("v0");
}

/* Interfaces and addresses of another network, by the number that it has here. */
ROOTS_TEST(what_is_in_another_network)
{
	int other, home, index, status;
	pid_t child;

	enter();
	other = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	open_asker(0);
	index = new_veth();
	CHECK_EQ(index, 3);
	enter();
	home = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	open_asker(0);
	CHECK_STRING(call_it(other, 5), "0");
	for (int is_strict = 0; is_strict < 2; is_strict++) {
		open_asker(is_strict);
		CHECK_STRING(found_in(RTM_GETLINK, 0, 0, index, IFLA_TARGET_NETNSID, 5), "3/46:5 ");
		CHECK_STRING(found_in(RTM_GETLINK, 0, 0, 77, IFLA_TARGET_NETNSID, 5), "19");
		CHECK_STRING(found_in(RTM_GETLINK, 0, 0, 1, IFLA_TARGET_NETNSID, 6), "22");
		CHECK_STRING(found_in(RTM_GETLINK, NLM_F_DUMP, 0, 0, IFLA_TARGET_NETNSID, 5), "1/46:5 2/46:5 3/46:5 ");
		CHECK_STRING(found_in(RTM_GETLINK, NLM_F_DUMP, 0, 0, IFLA_TARGET_NETNSID, 6), "22 Invalid target network namespace id");
	}
	CHECK_STRING(found_in(RTM_GETADDR, NLM_F_DUMP, AF_INET, 0, IFA_TARGET_NETNSID, 5), "1/10:5 ");
	CHECK_STRING(found_in(RTM_GETADDR, NLM_F_DUMP, AF_INET6, 0, IFA_TARGET_NETNSID, 5), "1/10:5 ");
	CHECK_STRING(found_in(RTM_GETADDR, NLM_F_DUMP, AF_INET, 0, IFA_TARGET_NETNSID, 6), "22 ipv4: Invalid target network namespace id");
	open_asker(0);
	CHECK_STRING(found_in(RTM_DELLINK, NLM_F_ACK, 0, index, IFLA_TARGET_NETNSID, 6), "22");
	/* It takes the right over that network, and nobody says that there is none. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(unshare(CLONE_NEWUSER | CLONE_NEWNET));
		open_asker(0);
		CHECK_STRING(call_it(other, 5), "0");
		CHECK_STRING(found_in(RTM_GETLINK, NLM_F_DUMP, 0, 0, IFLA_TARGET_NETNSID, 5), "13 Invalid target network namespace id");
		CHECK_STRING(found_in(RTM_GETLINK, 0, 0, index, IFLA_TARGET_NETNSID, 5), "13");
		_exit(0);
	}
	MUST(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
	CHECK_STRING(found_in(RTM_DELLINK, NLM_F_ACK, 0, index, IFLA_TARGET_NETNSID, 5), "0");
	MUST(setns(other, CLONE_NEWNET));
	CHECK_EQ(if_nametoindex("v0"), 0);
	close(home);
}

/* What a listener hears: the kind of the message and the number of the network, -1 if it isn't told. */
static const char *heard(int listener)
{
	static char text[256];

	text[0] = '\0';
	for (;;) {
		char control[64];
		struct iovec part = {answers, sizeof(answers)};
		struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
		int number = -1;

		if (recvmsg(listener, &message, MSG_DONTWAIT) == -1)
			return text;
		for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item != NULL; item = CMSG_NXTHDR(&message, item))
			if (item->cmsg_level == SOL_NETLINK && item->cmsg_type == NETLINK_LISTEN_ALL_NSID)
				number = *(int *)CMSG_DATA(item);
		sprintf(text + strlen(text), "%d:%d ", ((struct nlmsghdr *)(void *)answers)->nlmsg_type, number);
	}
}

static void rename_loopback(const char *name)
{
	struct ifinfomsg body = {.ifi_index = 1};

	begin(RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	add(IFLA_IFALIAS, name, strlen(name) + 1);
	CHECK_STRING(asked(), "0");
}

static int new_listener(int is_everywhere)
{
	int listener = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	struct sockaddr_nl all = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};

	MUST(bind(listener, (void *)&all, sizeof(all)));
	if (is_everywhere)
		CHECK_OK(setsockopt(listener, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &is_everywhere, sizeof(is_everywhere)));
	return listener;
}

/* A socket can hear of networks that have numbers in its own. */
ROOTS_TEST(who_listens_everywhere)
{
	int other, third, home, plain, everywhere, one = 1, value = 0;
	pid_t child;

	enter();
	other = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	enter();
	third = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	enter();
	home = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	plain = new_listener(0);
	everywhere = new_listener(1);
	CHECK_OK(getsockopt(everywhere, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &value, &(socklen_t){sizeof(value)}));
	CHECK_EQ(value, 1);
	open_asker(0);
	CHECK_STRING(call_it(other, 5), "0");
	rename_loopback("a");
	CHECK_STRING(heard(plain), "16:-1 ");
	CHECK_STRING(heard(everywhere), "16:-1 ");
	MUST(setns(other, CLONE_NEWNET));
	open_asker(0);
	rename_loopback("b");
	CHECK_STRING(heard(plain), "");
	CHECK_STRING(heard(everywhere), "16:5 ");
	/* This has no number. */
	MUST(setns(third, CLONE_NEWNET));
	open_asker(0);
	rename_loopback("c");
	CHECK_STRING(heard(everywhere), "");
	/* What one's own network calls itself isn't told. */
	MUST(setns(home, CLONE_NEWNET));
	open_asker(0);
	CHECK_STRING(call_it(home, 9), "0");
	rename_loopback("d");
	CHECK_STRING(heard(plain), "16:-1 ");
	CHECK_STRING(heard(everywhere), "16:-1 ");
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		plain = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
		CHECK_ERRNO(setsockopt(plain, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof(one)), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

ROOTS_TEST(numbers_of_networks)
{
	int other, third, home, pid = getpid();

	enter();
	other = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	enter();
	third = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	enter();
	home = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	MUST(setns(other, CLONE_NEWNET));
	open_asker(0);
	CHECK_STRING(call_it(third, 9), "0");
	CHECK_STRING(call_it(home, 4), "0");
	MUST(setns(home, CLONE_NEWNET));
	open_asker(0);
	CHECK_STRING(number_of(NETNSA_FD, other, -2), "1:-1 ");
	CHECK_STRING(call_it(other, 5), "0");
	CHECK_STRING(call_it(third, 6), "0");
	CHECK_STRING(call_it(third, 7), "17 Peer netns already has a nsid assigned at 20");
	CHECK_STRING(call_it(home, 6), "17 The specified nsid is already used at 28");
	CHECK_STRING(call_it(-1, 7), "9 Peer netns reference is invalid at 20");
	for (int is_strict = 0; is_strict < 2; is_strict++) {
		open_asker(is_strict);
		CHECK_STRING(number_of(NETNSA_FD, other, -2), "1:5 ");
		CHECK_STRING(number_of(NETNSA_FD, home, -2), "1:-1 ");
		CHECK_STRING(number_of(NETNSA_PID, pid, -2), "1:-1 ");
		CHECK_STRING(number_of(NETNSA_NSID, 5, -2), "1:5 ");
		CHECK_STRING(number_of(NETNSA_NSID, 7, -2), "2 Peer netns reference is invalid at 20");
		CHECK_STRING(number_of(NETNSA_NSID, -1, -2), "2 Peer netns reference is invalid at 20");
		CHECK_STRING(number_of(NETNSA_FD, -1, -2), "9 Peer netns reference is invalid at 20");
		CHECK_STRING(number_of(NETNSA_PID, 1 << 30, -2), "3 Peer netns reference is invalid at 20");
		CHECK_STRING(number_of(0, 0, -2), "22 Peer netns reference is missing");
		CHECK_STRING(number_of(NETNSA_CURRENT_NSID, 5, -2),
			     is_strict ? "22 Unsupported attribute in peer netns getid request" : "22 Peer netns reference is missing");
		CHECK_STRING(number_of(9, 5, -2), is_strict ? "22 Unknown attribute type at 20" : "22 Peer netns reference is missing");
		/* As another network calls it, and as this one does. */
		CHECK_STRING(number_of(NETNSA_FD, third, 5), "1:9 5:6 ");
		CHECK_STRING(number_of(NETNSA_FD, home, 5), "1:4 5:-1 ");
		CHECK_STRING(number_of(NETNSA_NSID, 6, 5), "1:9 5:6 ");
		CHECK_STRING(number_of(NETNSA_FD, third, 6), "1:-1 5:6 ");
		CHECK_STRING(number_of(NETNSA_FD, third, 8), "22 Target netns reference is invalid at 28");
		CHECK_STRING(number_of(NETNSA_FD, -1, 8), "9 Peer netns reference is invalid at 20");
	}
	/* The more certain name counts. */
	{
		struct rtgenmsg body = {0};
		int six = 6;

		begin(RTM_GETNSID, 0, &body, sizeof(body));
		add(NETNSA_NSID, &six, sizeof(six));
		add(NETNSA_FD, &other, sizeof(other));
		CHECK_STRING(numbers(), "1:5 ");
	}
	open_asker(0);
	CHECK_STRING(number_in_list(0, 0), "1:5 ");
	open_asker(0);
	CHECK_STRING(number_in_list(NETNSA_TARGET_NSID, 5), "1:5 ");
	open_asker(1);
	CHECK_STRING(number_in_list(NETNSA_TARGET_NSID, 5), "1:4 5:-1 ");
	open_asker(1);
	CHECK_STRING(number_in_list(NETNSA_TARGET_NSID, 6), "0");
	open_asker(1);
	CHECK_STRING(number_in_list(NETNSA_TARGET_NSID, 8), "22 Invalid target network namespace id at 20");
	open_asker(1);
	CHECK_STRING(number_in_list(NETNSA_FD, other), "22 Unsupported attribute in dump request at 20");
	open_asker(1);
	CHECK_STRING(number_in_list(NETNSA_CURRENT_NSID, 5), "22 Unsupported attribute in dump request at 20");
}

/* One of the two flags asks for a list, and many are deleted at once only where that can be. */
ROOTS_TEST(flags_of_kinds)
{
	static const struct {
		int type, flags, family;
		const char *told;
	} cases[] = {
		{RTM_GETLINK, NLM_F_ROOT, AF_UNSPEC, "list"},
		{RTM_GETLINK, NLM_F_MATCH, AF_UNSPEC, "list"},
		{RTM_GETADDR, NLM_F_MATCH, AF_INET, "list"},
		{RTM_GETROUTE, NLM_F_ROOT, AF_INET6, "list"},
		{RTM_GETMDB, NLM_F_DUMP, AF_BRIDGE, "list"},
		{RTM_GETMDB, NLM_F_DUMP, AF_UNSPEC, "95"},
		{RTM_DELLINK, NLM_F_BULK, AF_UNSPEC, "95 Bulk delete is not supported"},
		{RTM_DELADDR, NLM_F_BULK | NLM_F_NONREC, AF_INET, "95 Bulk delete is not supported"},
		{RTM_DELROUTE, NLM_F_BULK, AF_INET6, "95 Bulk delete is not supported"},
		{RTM_DELNEIGH, NLM_F_BULK, AF_INET, "95 Bulk delete is not supported"},
		{RTM_DELRULE, NLM_F_BULK, AF_INET, "95 Bulk delete is not supported"},
		{RTM_NEWADDRLABEL, NLM_F_ACK, AF_INET, "95"},
	};

	enter();
	open_asker(0);
	for (size_t at = 0; at < LENGTH(cases); at++) {
		unsigned char body[64] = {(unsigned char)cases[at].family};
		struct nlmsghdr *header = (void *)answers;

		begin(cases[at].type, cases[at].flags, body, sizeof(body));
		if (strcmp(cases[at].told, "list") != 0) {
			CHECK_STRING(asked(), cases[at].told);
			continue;
		}
		MUST(send(asker, &request, request.header.nlmsg_len, 0));
		do {
			MUST(recv(asker, answers, sizeof(answers), 0));
			CHECK(header->nlmsg_flags & NLM_F_MULTI);
		} while (header->nlmsg_type != NLMSG_DONE);
	}
}
