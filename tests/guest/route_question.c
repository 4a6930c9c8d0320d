/* Ways of IPv4 that are asked for: groups that are addresses too, and the loopback's as sources (rtnetlink(7)). */
#include "route_request.h"

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

ROOTS_TEST(a_group_that_is_an_address)
{
	struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1};

	enter();
	open_asker(0);
	CHECK_EQ(way("127.0.0.1", NULL, 0), RTN_LOCAL + 100);
	CHECK_EQ(way("224.0.0.5", NULL, 0), -ENETUNREACH);
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(IFA_LOCAL, "224.0.0.5");
	CHECK_STRING(asked(), "0");
	CHECK_EQ(way("224.0.0.5", NULL, 0), RTN_MULTICAST);
}

ROOTS_TEST(the_loopbacks_addresses_stay_there)
{
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
	CHECK_EQ(way("10.7.1.0", "10.7.0.1", index), RTN_UNICAST);
	CHECK_EQ(way("10.7.1.0", "127.0.0.1", index), -EINVAL);
	CHECK_EQ(way("10.7.1.0", "127.0.0.1", 0), -EINVAL);
	CHECK_EQ(way("10.7.0.1", "127.0.0.1", 0), RTN_LOCAL + 100);
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
