/* Addresses of IPv4 by ioctl: labels, masks, other ends, and the routes of several (netdevice(7)). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

static int fd;

static long request(int by, unsigned long number, const char *name, const char *address)
{
	struct ifreq asked = {0};
	struct sockaddr_in wanted = {.sin_family = AF_INET};

	snprintf(asked.ifr_name, sizeof(asked.ifr_name), "%s", name);
	wanted.sin_addr.s_addr = inet_addr(address);
	memcpy(&asked.ifr_addr, &wanted, sizeof(wanted));
	return ioctl(by, number, &asked);
}

/* What is told of the label, of the address in particular if one is given. */
static const char *told(unsigned long number, const char *name, const char *address)
{
	struct ifreq asked = {0};
	struct sockaddr_in wanted = {.sin_family = AF_INET};

	snprintf(asked.ifr_name, sizeof(asked.ifr_name), "%s", name);
	wanted.sin_addr.s_addr = address ? inet_addr(address) : 0;
	memcpy(&asked.ifr_addr, &wanted, sizeof(wanted));
	if (ioctl(fd, number, &asked) == -1)
		return errno == EADDRNOTAVAIL ? "none" : "other";
	memcpy(&wanted, &asked.ifr_addr, sizeof(wanted));
	return inet_ntoa(wanted.sin_addr);
}

static long set_flags(int by, const char *name, int flags)
{
	struct ifreq asked = {.ifr_flags = (short)flags};

	snprintf(asked.ifr_name, sizeof(asked.ifr_name), "%s", name);
	return ioctl(by, SIOCSIFFLAGS, &asked);
}

static int is_up(const char *name)
{
	struct ifreq asked = {0};

	snprintf(asked.ifr_name, sizeof(asked.ifr_name), "%s", name);
	MUST(ioctl(fd, SIOCGIFFLAGS, &asked));
	return asked.ifr_flags & IFF_UP;
}

/* All labels with their addresses. */
static const char *list(void)
{
	static char text[512];
	struct ifreq found[10];
	struct ifconf asked = {.ifc_len = sizeof(found), .ifc_req = found};
	char *end = text;

	MUST(ioctl(fd, SIOCGIFCONF, &asked));
	*text = '\0';
	for (int at = 0; at < asked.ifc_len / (int)sizeof(found[0]); at++) {
		struct sockaddr_in address;

		memcpy(&address, &found[at].ifr_addr, sizeof(address));
		end += sprintf(end, "%s %s,", found[at].ifr_name, inet_ntoa(address.sin_addr));
	}
	return text;
}

static void begin(void)
{
	MUST(unshare(CLONE_NEWNET));
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
}

ROOTS_TEST(labels_that_are_shut_down)
{
	int local, packet;

	begin();
	local = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
	packet = (int)MUST(socket(AF_PACKET, SOCK_RAW, 0));
	CHECK_ERRNO(set_flags(fd, "lo:1", IFF_UP), EADDRNOTAVAIL);
	CHECK_ERRNO(set_flags(packet, "lo:1", 0), EADDRNOTAVAIL);
	CHECK_ERRNO(set_flags(fd, "nobody:1", 0), ENODEV);
	CHECK_EQ(is_up("lo"), 0);
	/* Other sockets know nothing of labels. */
	CHECK_OK(set_flags(local, "lo:1", IFF_UP));
	CHECK(is_up("lo"));
	CHECK_OK(request(fd, SIOCSIFADDR, "lo:1", "10.1.0.1"));
	CHECK_STRING(list(), "lo 127.0.0.1,lo:1 10.1.0.1,");
	CHECK_OK(set_flags(fd, "lo:1", IFF_UP));
	CHECK_STRING(list(), "lo 127.0.0.1,lo:1 10.1.0.1,");
	CHECK_OK(set_flags(packet, "lo:1", IFF_LOOPBACK));
	CHECK_STRING(list(), "lo 127.0.0.1,");
	CHECK(is_up("lo"));
	CHECK_ERRNO(set_flags(fd, "lo:1", 0), EADDRNOTAVAIL);
}

ROOTS_TEST(the_own_address_of_the_loopback)
{
	begin();
	CHECK_OK(request(fd, SIOCSIFADDR, "lo:1", "10.0.0.1"));
	CHECK_EQ(is_up("lo"), 0);
	CHECK_OK(set_flags(fd, "lo", IFF_UP));
	CHECK_STRING(list(), "lo 127.0.0.1,lo:1 10.0.0.1,");
	CHECK_OK(set_flags(fd, "lo", 0));
	CHECK_OK(set_flags(fd, "lo", IFF_UP));
	CHECK_STRING(list(), "lo 127.0.0.1,lo:1 10.0.0.1,");
	CHECK_ERRNO(request(fd, SIOCSIFADDR, "lo:9", "127.0.0.1"), EEXIST);
	CHECK_OK(request(fd, SIOCSIFADDR, "lo", "0.0.0.0"));
	CHECK_OK(request(fd, SIOCSIFADDR, "lo:9", "127.0.0.9"));
	CHECK_OK(set_flags(fd, "lo", 0));
	CHECK_OK(set_flags(fd, "lo", IFF_UP));
	CHECK_STRING(list(), "lo:9 127.0.0.9,lo:1 10.0.0.1,lo 127.0.0.1,");
}

ROOTS_TEST(the_other_end_and_masks)
{
	begin();
	CHECK_OK(set_flags(fd, "lo", IFF_UP));
	CHECK_OK(request(fd, SIOCSIFADDR, "lo:1", "10.1.0.1"));
	CHECK_STRING(told(SIOCGIFDSTADDR, "lo:1", NULL), "10.1.0.1");
	CHECK_OK(request(fd, SIOCSIFDSTADDR, "lo:1", "10.9.0.1"));
	CHECK_STRING(told(SIOCGIFDSTADDR, "lo:1", NULL), "10.9.0.1");
	CHECK_STRING(told(SIOCGIFBRDADDR, "lo:1", NULL), "0.0.0.0");
	CHECK_ERRNO(request(fd, SIOCSIFDSTADDR, "lo:1", "224.9.0.1"), EINVAL);
	CHECK_OK(request(fd, SIOCSIFDSTADDR, "lo:1", "0.0.0.0"));
	CHECK_STRING(told(SIOCGIFDSTADDR, "lo:1", NULL), "0.0.0.0");
	CHECK_ERRNO(request(fd, SIOCSIFNETMASK, "lo:1", "255.0.255.0"), EINVAL);
	CHECK_OK(request(fd, SIOCSIFBRDADDR, "lo:1", "1.2.3.4"));
	CHECK_STRING(told(SIOCGIFBRDADDR, "lo:1", NULL), "1.2.3.4");
	CHECK_OK(request(fd, SIOCSIFADDR, "lo:1", "10.1.0.9"));
	CHECK_STRING(told(SIOCGIFBRDADDR, "lo:1", NULL), "0.0.0.0");
	CHECK_STRING(told(SIOCGIFDSTADDR, "lo:1", NULL), "10.1.0.9");
	/* One that can't be any more is lost. */
	CHECK_OK(request(fd, SIOCSIFDSTADDR, "lo:1", "127.0.0.3"));
	CHECK_STRING(told(SIOCGIFADDR, "lo:1", NULL), "none");
}

ROOTS_TEST(broadcasts_of_a_net)
{
	begin();
	MUST(ioctl(fd, SIOCBRADDBR, "net"));
	CHECK_OK(request(fd, SIOCSIFADDR, "net", "10.2.0.1"));
	CHECK_EQ(is_up("net"), 0);
	CHECK_STRING(told(SIOCGIFBRDADDR, "net", NULL), "10.255.255.255");
	CHECK_OK(request(fd, SIOCSIFNETMASK, "net", "255.255.255.0"));
	CHECK_STRING(told(SIOCGIFBRDADDR, "net", NULL), "10.2.0.255");
	CHECK_OK(request(fd, SIOCSIFNETMASK, "net", "255.255.255.254"));
	CHECK_STRING(told(SIOCGIFBRDADDR, "net", NULL), "10.2.0.255");
	CHECK_OK(request(fd, SIOCSIFNETMASK, "net", "255.255.0.0"));
	CHECK_STRING(told(SIOCGIFBRDADDR, "net", NULL), "10.2.0.255");
}

/* The sources of routes of the local table to an address, as bits: 1 for 10.0.0.1, 2 for 10.0.0.2. */
static int sources(const char *address)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
	} asked = {{sizeof(asked), RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {.rtm_family = AF_INET}};
	static char reply[16384];
	int by = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)), found = 0, is_over = 0;

	MUST(send(by, &asked, sizeof(asked), 0));
	while (!is_over) {
		int length = (int)MUST(recv(by, reply, sizeof(reply), 0));

		for (struct nlmsghdr *header = (void *)reply; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			struct rtmsg *route = NLMSG_DATA(header);
			int rest = (int)RTM_PAYLOAD(header);
			in_addr_t target = 0, source = 0;

			is_over |= header->nlmsg_type == NLMSG_DONE;
			if (header->nlmsg_type != RTM_NEWROUTE || route->rtm_table != RT_TABLE_LOCAL || route->rtm_dst_len != 32)
				continue;
			for (struct rtattr *part = RTM_RTA(route); RTA_OK(part, rest); part = RTA_NEXT(part, rest)) {
				if (part->rta_type == RTA_DST)
					memcpy(&target, RTA_DATA(part), 4);
				if (part->rta_type == RTA_PREFSRC)
					memcpy(&source, RTA_DATA(part), 4);
			}
			if (target == inet_addr(address))
				found |= 1 << (ntohl(source) - 0x0a000001);
		}
	}
	close(by);
	return found;
}

static void give(const char *label, const char *address, const char *mask)
{
	CHECK_OK(request(fd, SIOCSIFADDR, label, address));
	CHECK_OK(request(fd, SIOCSIFNETMASK, label, mask));
}

ROOTS_TEST(several_addresses_of_a_net)
{
	begin();
	CHECK_OK(set_flags(fd, "lo", IFF_UP));
	give("lo:1", "10.0.0.1", "255.255.255.0");
	give("lo:2", "10.0.0.2", "255.255.255.0");
	CHECK_EQ(sources("10.0.0.1"), 1);
	CHECK_EQ(sources("10.0.0.2"), 1);
	give("lo:3", "10.0.0.2", "255.255.0.0");
	give("lo:4", "10.0.0.1", "255.255.0.0");
	CHECK_EQ(sources("10.0.0.1"), 3);
	CHECK_EQ(sources("10.0.0.2"), 3);
	CHECK_EQ(sources("10.0.0.255"), 1);
	CHECK_EQ(sources("10.0.255.255"), 2);
	CHECK_OK(set_flags(fd, "lo:2", 0));
	CHECK_EQ(sources("10.0.0.1"), 3);
	CHECK_EQ(sources("10.0.0.2"), 2);
	CHECK_OK(set_flags(fd, "lo:1", 0));
	CHECK_EQ(sources("10.0.0.1"), 2);
	CHECK_EQ(sources("10.0.0.255"), 0);
	CHECK_OK(set_flags(fd, "lo:4", 0));
	CHECK_EQ(sources("10.0.0.1"), 0);
	CHECK_EQ(sources("10.0.0.2"), 2);
	CHECK_OK(set_flags(fd, "lo:3", 0));
	CHECK_EQ(sources("10.0.0.2"), 0);
	CHECK_EQ(sources("10.0.255.255"), 0);
}

ROOTS_TEST(one_of_several_of_a_label)
{
	begin();
	CHECK_OK(request(fd, SIOCSIFADDR, "lo:1", "10.0.0.1"));
	CHECK_OK(set_flags(fd, "lo", IFF_UP));
	CHECK_STRING(told(SIOCGIFADDR, "lo", "10.0.0.1"), "127.0.0.1");
	CHECK_STRING(told(SIOCGIFADDR, "lo:1", "10.0.0.1"), "10.0.0.1");
	CHECK_STRING(told(SIOCGIFADDR, "lo:1", "127.0.0.1"), "10.0.0.1");
}

ROOTS_TEST(flags_that_no_driver_heeds)
{
	struct ifreq asked = {.ifr_name = "lo"};
	int kept = IFF_DEBUG | IFF_NOTRAILERS | IFF_PORTSEL | IFF_AUTOMEDIA | IFF_DYNAMIC;

	begin();
	CHECK_OK(set_flags(fd, "lo", kept | IFF_MASTER | IFF_SLAVE));
	MUST(ioctl(fd, SIOCGIFFLAGS, &asked));
	CHECK_EQ((unsigned short)asked.ifr_flags, kept | IFF_LOOPBACK);
	CHECK_OK(set_flags(fd, "lo", 0));
	MUST(ioctl(fd, SIOCGIFFLAGS, &asked));
	CHECK_EQ(asked.ifr_flags, IFF_LOOPBACK);
}

static void check_list(int length, int told, int written)
{
	char records[200];
	struct ifconf asked = {.ifc_len = length, .ifc_buf = records};

	memset(records, 0xee, sizeof(records));
	CHECK_OK(ioctl(fd, SIOCGIFCONF, &asked));
	CHECK_EQ(asked.ifc_len, told);
	CHECK_EQ((unsigned char *)memchr(records, 0xee, sizeof(records)) - (unsigned char *)records, written);
	asked = (struct ifconf){.ifc_len = length};
	CHECK_OK(ioctl(fd, SIOCGIFCONF, &asked));
	CHECK_EQ(asked.ifc_len, 80);
	asked = (struct ifconf){.ifc_len = length, .ifc_buf = bad_address()};
	CHECK_EQ(ERRNO_OF(ioctl(fd, SIOCGIFCONF, &asked)), told ? EFAULT : 0);
	CHECK_EQ(asked.ifc_len, told ? length : 0);
}

ROOTS_TEST(lists_of_any_length)
{
	begin();
	CHECK_OK(set_flags(fd, "lo", IFF_UP));
	CHECK_OK(request(fd, SIOCSIFADDR, "lo:1", "10.0.0.1"));
	check_list(0, 0, 0);
	check_list(39, 0, 0);
	check_list(40, 40, 40);
	check_list(79, 40, 40);
	check_list(80, 80, 80);
	check_list(119, 80, 80);
	check_list(-1, 0, 0);
	check_list(-40, 0, 0);
	check_list(INT_MIN, 0, 0);
	check_list(INT_MAX, 80, 80);
}

ROOTS_TEST(which_refusal_of_ipv6_comes_first)
{
	struct {
		struct in6_addr address;
		unsigned length;
		int index;
	} asked = {.address = IN6ADDR_LOOPBACK_INIT, .length = 129, .index = 99};
	int six;

	begin();
	six = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_ERRNO(ioctl(six, SIOCSIFADDR, &asked), ENODEV);
	CHECK_ERRNO(ioctl(six, SIOCDIFADDR, &asked), EINVAL);
	asked.index = 1;
	CHECK_ERRNO(ioctl(six, SIOCSIFADDR, &asked), EINVAL);
	CHECK_ERRNO(ioctl(six, SIOCDIFADDR, &asked), EINVAL);
	drop_root();
	CHECK_ERRNO(ioctl(six, SIOCSIFADDR, bad_address()), EPERM);
	CHECK_ERRNO(ioctl(six, SIOCDIFADDR, bad_address()), EPERM);
}
