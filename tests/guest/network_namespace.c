/* Network namespaces: interfaces, addresses, routes and sockets of their own (network_namespaces(7)). */
#include "check.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/xattr.h>
#include <sys/un.h>

struct request {
	struct nlmsghdr header;
	char data[1024];
};

static void begin(struct request *request, int type, int flags, const void *body, size_t length)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	memcpy(request->data, body, length);
	request->header.nlmsg_len = NLMSG_LENGTH(length);
}

static struct rtattr *add(struct request *request, int type, const void *data, size_t length)
{
	struct rtattr *attribute = (void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = RTA_LENGTH(length);
	if (length)
		memcpy(RTA_DATA(attribute), data, length);
	request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(RTA_LENGTH(length));
	return attribute;
}

static void end_nest(struct request *request, struct rtattr *nest)
{
	nest->rta_len = (char *)request + request->header.nlmsg_len - (char *)nest;
}

static int route_socket(unsigned groups)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));

	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

/* Ask the kernel, and give the error of its answer as an errno. */
static int ask(struct request *request)
{
	static char answer[16384];
	int fd = route_socket(0), result = -1;

	if (send(fd, request, request->header.nlmsg_len, 0) == (ssize_t)request->header.nlmsg_len) {
		ssize_t length = recv(fd, answer, sizeof(answer), 0);
		struct nlmsghdr *header = (void *)answer;

		if (length >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && header->nlmsg_type == NLMSG_ERROR)
			result = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
	}
	close(fd);
	return result;
}

static int make_veth(const char *name, const char *peer, int peer_namespace)
{
	struct ifinfomsg link = {0};
	struct request request;
	struct rtattr *information, *data, *other;

	begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
	add(&request, IFLA_IFNAME, name, strlen(name) + 1);
	information = add(&request, IFLA_LINKINFO, NULL, 0);
	add(&request, IFLA_INFO_KIND, "veth", 4);
	data = add(&request, IFLA_INFO_DATA, NULL, 0);
	other = add(&request, VETH_INFO_PEER, &link, sizeof(link));
	add(&request, IFLA_IFNAME, peer, strlen(peer) + 1);
	if (peer_namespace != -1)
		add(&request, IFLA_NET_NS_FD, &peer_namespace, sizeof(peer_namespace));
	end_nest(&request, other);
	end_nest(&request, data);
	end_nest(&request, information);
	return ask(&request);
}

static int make_link(const char *name, const char *kind)
{
	struct ifinfomsg link = {0};
	struct request request;
	struct rtattr *information;

	begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
	add(&request, IFLA_IFNAME, name, strlen(name) + 1);
	information = add(&request, IFLA_LINKINFO, NULL, 0);
	add(&request, IFLA_INFO_KIND, kind, strlen(kind));
	end_nest(&request, information);
	return ask(&request);
}

static int set_link(const char *name, unsigned flags, unsigned change, int attribute, unsigned value)
{
	struct ifinfomsg link = {.ifi_index = if_nametoindex(name), .ifi_flags = flags, .ifi_change = change};
	struct request request;

	begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	if (attribute)
		add(&request, attribute, &value, sizeof(value));
	return ask(&request);
}

static int set_up(const char *name)
{
	return set_link(name, IFF_UP, IFF_UP, 0, 0);
}

static int delete_link(const char *name)
{
	struct ifinfomsg link = {.ifi_index = if_nametoindex(name)};
	struct request request;

	begin(&request, RTM_DELLINK, 0, &link, sizeof(link));
	return ask(&request);
}

static int change_address(int type, const char *name, const char *text, int prefix)
{
	struct ifaddrmsg address = {.ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = if_nametoindex(name)};
	struct in_addr local;
	struct request request;

	inet_pton(AF_INET, text, &local);
	begin(&request, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0, &address, sizeof(address));
	add(&request, IFA_LOCAL, &local, sizeof(local));
	add(&request, IFA_ADDRESS, &local, sizeof(local));
	return ask(&request);
}

static int give_address(const char *name, const char *text, int prefix)
{
	return change_address(RTM_NEWADDR, name, text, prefix);
}

static int change_route(int type, const char *destination, int length, const char *gateway, const char *name, int kind)
{
	struct rtmsg route = {
		.rtm_family = AF_INET, .rtm_dst_len = length, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
		.rtm_type = kind, .rtm_scope = gateway || kind != RTN_UNICAST ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
	};
	struct request request;
	struct in_addr address;

	if (type == RTM_DELROUTE)
		route.rtm_scope = RT_SCOPE_NOWHERE;
	begin(&request, type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0, &route, sizeof(route));
	if (length) {
		inet_pton(AF_INET, destination, &address);
		add(&request, RTA_DST, &address, sizeof(address));
	}
	if (gateway) {
		inet_pton(AF_INET, gateway, &address);
		add(&request, RTA_GATEWAY, &address, sizeof(address));
	}
	if (name) {
		unsigned index = if_nametoindex(name);

		add(&request, RTA_OIF, &index, sizeof(index));
	}
	return ask(&request);
}

static int own_namespace(void)
{
	return MUST(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
}

static int new_namespace(void)
{
	MUST(unshare(CLONE_NEWNET));
	return own_namespace();
}

static struct sockaddr_in at(const char *text, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, text, &address.sin_addr);
	return address;
}

static int bound(int kind, const char *text, int port)
{
	struct sockaddr_in address = at(text, port);
	int fd = MUST(socket(AF_INET, kind, 0));

	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

static int connect_to(int fd, const char *text, int port)
{
	struct sockaddr_in address = at(text, port);

	return connect(fd, (void *)&address, sizeof(address));
}

static const char *shown(const char *path)
{
	static char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[length > 0 ? length : 0] = '\0';
	return text;
}

static int get_flags(const char *name)
{
	struct ifreq request = {0};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), result;

	strcpy(request.ifr_name, name);
	result = ioctl(fd, SIOCGIFFLAGS, &request);
	close(fd);
	return result ? -1 : request.ifr_flags & 0xffff;
}

/* What the flags are once they are as wanted, or after a while: Linux looks at wires once in a second. */
static int flags_soon(const char *name, int wanted)
{
	for (int i = 0; i < 30 && get_flags(name) != wanted; i++)
		sleep_ms(100);
	return get_flags(name);
}

static void await_wire(const char *name)
{
	int wanted = IFF_BROADCAST | IFF_MULTICAST | IFF_UP | IFF_RUNNING;

	MUST(flags_soon(name, wanted) == wanted ? 0 : -1);
}

/* Two namespaces, joined by v0 (10.0.0.1) and v1 (10.0.0.2); the caller is in the first. */
static void make_pair(int *one, int *other)
{
	*other = new_namespace();
	*one = new_namespace();
	MUST(-make_veth("v0", "v1", *other));
	MUST(-give_address("v0", "10.0.0.1", 24));
	MUST(-set_up("v0"));
	MUST(-set_up("lo"));
	MUST(setns(*other, CLONE_NEWNET));
	MUST(-give_address("v1", "10.0.0.2", 24));
	MUST(-set_up("v1"));
	MUST(-set_up("lo"));
	await_wire("v1");
	MUST(setns(*one, CLONE_NEWNET));
	await_wire("v0");
}

static uint16_t checksum(const void *data, size_t length)
{
	const uint16_t *words = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < length / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

/* Send an echo request by a raw socket, and wait for what comes: the type of the message, -1 for none. */
static int echo(const char *target, int ttl, int wait_ms)
{
	struct { struct icmphdr header; char data[8]; } message = {.header = {.type = ICMP_ECHO, .un.echo = {htons(77), htons(1)}}};
	struct sockaddr_in address = at(target, 0);
	int fd = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), type = -1;
	struct pollfd polled = {.fd = fd, .events = POLLIN};
	char packet[256];

	if (ttl)
		MUST(setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
	message.header.checksum = checksum(&message, sizeof(message));
	if (sendto(fd, &message, sizeof(message), 0, (void *)&address, sizeof(address)) == -1)
		type = -errno - 100;
	while (type == -1 && poll(&polled, 1, wait_ms) == 1) {
		ssize_t length = recv(fd, packet, sizeof(packet), 0);
		struct icmphdr *header = (void *)(packet + 20);

		if (length >= 28 && header->type != ICMP_ECHO)
			type = header->type;
	}
	close(fd);
	return type;
}

/* The same, several times: Linux takes a second or two to see that a wire is there. */
static int echo_soon(const char *target)
{
	int type = -1;

	for (int i = 0; i < 8 && type != ICMP_ECHOREPLY; i++)
		type = echo(target, 0, 1000);
	return type;
}

TEST(fresh)
{
	struct sockaddr_in address = at("127.0.0.1", 0);
	int before = MUST(socket(AF_INET, SOCK_DGRAM, 0)), fd;
	struct ifreq request = {.ifr_name = "lo"};

	CHECK_OK(unshare(CLONE_NEWNET));
	CHECK_EQ(if_nametoindex("lo"), 1);
	CHECK_EQ(get_flags("lo"), IFF_LOOPBACK);
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	/* Without any address there isn't even a table to look this one up in. */
	CHECK_OK(bind(fd, (void *)&address, sizeof(address)));
	close(fd);
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(connect_to(fd, "127.0.0.1", 9), ENETUNREACH);
	CHECK_ERRNO(connect_to(fd, "10.0.0.1", 9), ENETUNREACH);
	CHECK_ERRNO(ioctl(fd, SIOCGIFADDR, &request), EADDRNOTAVAIL);
	CHECK_EQ(echo("127.0.0.1", 0, 100), -100 - ENETUNREACH);
	CHECK_EQ(set_up("lo"), 0);
	CHECK_EQ(get_flags("lo"), IFF_LOOPBACK | IFF_UP | IFF_RUNNING);
	CHECK_OK(ioctl(fd, SIOCGIFADDR, &request));
	CHECK_EQ(((struct sockaddr_in *)&request.ifr_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	close(fd);
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_OK(bind(fd, (void *)&address, sizeof(address)));
	CHECK_OK(connect_to(fd, "127.0.0.1", 9));
	CHECK_EQ(echo("127.0.0.1", 0, 1000), ICMP_ECHOREPLY);
	/* A socket stays where it was made. */
	CHECK_OK(bind(before, (void *)&address, sizeof(address)));
	CHECK(strstr(shown("/proc/net/udp"), "0100007F:") != NULL);
	CHECK_EQ(set_link("lo", 0, IFF_UP, 0, 0), 0);
	CHECK_EQ(get_flags("lo"), IFF_LOOPBACK);
	CHECK_EQ(echo("127.0.0.1", 0, 100), -1);
	CHECK_EQ(delete_link("lo"), EOPNOTSUPP);
}

TEST(names_and_ports)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0network_namespace"};
	int first = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), second, fd, home = own_namespace(), other;

	MUST(unshare(CLONE_NEWNET));
	home = own_namespace();
	MUST(-set_up("lo"));
	first = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_OK(bind(first, (void *)&name, sizeof(name)));
	MUST(listen(first, 1));
	MUST(listen(bound(SOCK_STREAM, "127.0.0.1", 4000), 1));
	other = new_namespace();
	MUST(-set_up("lo"));
	fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_ERRNO(connect(fd, (void *)&name, sizeof(name)), ECONNREFUSED);
	CHECK(strstr(shown("/proc/net/unix"), "@network_namespace") == NULL);
	second = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_OK(bind(second, (void *)&name, sizeof(name)));
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(connect_to(fd, "127.0.0.1", 4000), ECONNREFUSED);
	close(bound(SOCK_STREAM, "127.0.0.1", 4000));
	MUST(setns(home, CLONE_NEWNET));
	CHECK(strstr(shown("/proc/net/unix"), "@network_namespace") != NULL);
	fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_OK(connect(fd, (void *)&name, sizeof(name)));
	CHECK_OK(connect_to(MUST(socket(AF_INET, SOCK_STREAM, 0)), "127.0.0.1", 4000));
	close(other);
}

TEST(links)
{
	struct ifreq request = {.ifr_name = "v0"};
	int fd;

	new_namespace();
	CHECK_EQ(make_veth("v0", "v1", -1), 0);
	CHECK_EQ(make_veth("v0", "v2", -1), EEXIST);
	CHECK_EQ(if_nametoindex("v2"), 0);
	CHECK_EQ(make_veth("a/b", "v2", -1), EINVAL);
	CHECK_EQ(make_veth("..", "v2", -1), EINVAL);
	CHECK_EQ(make_link("n0", "nonsense"), EOPNOTSUPP);
	/* The peer comes first. */
	CHECK_EQ(if_nametoindex("v1"), 2);
	CHECK_EQ(if_nametoindex("v0"), 3);
	CHECK_EQ(get_flags("v0"), IFF_BROADCAST | IFF_MULTICAST);
	CHECK_EQ(set_up("v0"), 0);
	/* Nothing is at the other end yet. */
	CHECK_EQ(flags_soon("v0", IFF_BROADCAST | IFF_MULTICAST | IFF_UP), IFF_BROADCAST | IFF_MULTICAST | IFF_UP);
	CHECK_EQ(set_up("v1"), 0);
	CHECK(flags_soon("v0", IFF_BROADCAST | IFF_MULTICAST | IFF_UP | IFF_RUNNING) & IFF_RUNNING);
	CHECK_EQ(set_link("v0", 0, 0, IFLA_MTU, 1400), 0);
	CHECK_EQ(set_link("v0", 0, 0, IFLA_MTU, 20), EINVAL);
	CHECK_EQ(set_link("v0", 0, 0, IFLA_MTU, 70000), EINVAL);
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_OK(ioctl(fd, SIOCGIFMTU, &request));
	CHECK_EQ(request.ifr_mtu, 1400);
	request.ifr_mtu = 1300;
	CHECK_OK(ioctl(fd, SIOCSIFMTU, &request));
	CHECK_OK(ioctl(fd, SIOCGIFHWADDR, &request));
	CHECK_EQ(request.ifr_hwaddr.sa_family, 1);
	CHECK_EQ(request.ifr_hwaddr.sa_data[0] & 3, 2);
	strcpy(request.ifr_name, "none");
	CHECK_ERRNO(ioctl(fd, SIOCGIFMTU, &request), ENODEV);
	CHECK_EQ(delete_link("v1"), 0);
	CHECK_EQ(if_nametoindex("v0"), 0);
	CHECK_EQ(delete_link("v0"), EINVAL);
	CHECK_EQ(make_link("br0", "bridge"), 0);
	/* Indexes aren't given again at once. */
	CHECK(if_nametoindex("br0") > 3);
}

TEST(addresses)
{
	struct ifreq request = {.ifr_name = "v0"};
	int fd;

	new_namespace();
	MUST(-make_veth("v0", "v1", -1));
	CHECK_EQ(give_address("v0", "10.0.0.1", 24), 0);
	CHECK_EQ(give_address("v0", "10.0.0.1", 24), EEXIST);
	CHECK_EQ(give_address("v0", "10.0.0.1", 33), EINVAL);
	CHECK_EQ(give_address("v0", "10.0.0.5", 24), 0);
	CHECK_EQ(change_address(RTM_DELADDR, "v0", "10.0.0.9", 24), EADDRNOTAVAIL);
	/* The address counts before the interface is up, its net doesn't. */
	fd = bound(SOCK_DGRAM, "10.0.0.1", 0);
	close(fd);
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(connect_to(fd, "10.0.0.2", 9), ENETUNREACH);
	CHECK_STRING(strchr(shown("/proc/net/route"), '\n') + 1, "");
	MUST(-set_up("v0"));
	CHECK_OK(connect_to(fd, "10.0.0.2", 9));
	CHECK(strstr(shown("/proc/net/route"), "v0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF") != NULL);
	CHECK_OK(ioctl(fd, SIOCGIFNETMASK, &request));
	CHECK_EQ(((struct sockaddr_in *)&request.ifr_netmask)->sin_addr.s_addr, htonl(0xffffff00));
	/* The second address of a net goes with its first. */
	CHECK_EQ(change_address(RTM_DELADDR, "v0", "10.0.0.1", 24), 0);
	CHECK_EQ(change_address(RTM_DELADDR, "v0", "10.0.0.5", 24), EADDRNOTAVAIL);
	CHECK_ERRNO(ioctl(fd, SIOCGIFNETMASK, &request), EADDRNOTAVAIL);
	*(struct sockaddr_in *)&request.ifr_addr = at("10.1.2.3", 0);
	CHECK_OK(ioctl(fd, SIOCSIFADDR, &request));
	CHECK_OK(ioctl(fd, SIOCGIFNETMASK, &request));
	CHECK_EQ(((struct sockaddr_in *)&request.ifr_netmask)->sin_addr.s_addr, htonl(0xff000000));
	*(struct sockaddr_in *)&request.ifr_addr = at("224.0.0.1", 0);
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &request), EINVAL);
	CHECK_OK(ioctl(fd, SIOCGIFADDR, &request));
	CHECK_EQ(((struct sockaddr_in *)&request.ifr_addr)->sin_addr.s_addr, htonl(0x0a010203));
	*(struct sockaddr_in *)&request.ifr_addr = at("255.0.0.0", 0);
	CHECK_OK(ioctl(fd, SIOCSIFADDR, &request));
	CHECK_OK(ioctl(fd, SIOCGIFNETMASK, &request));
	CHECK_EQ(((struct sockaddr_in *)&request.ifr_netmask)->sin_addr.s_addr, htonl(0xffffffff));
	*(struct sockaddr_in *)&request.ifr_addr = at("255.255.255.255", 0);
	CHECK_OK(ioctl(fd, SIOCSIFADDR, &request));
	CHECK_OK(ioctl(fd, SIOCGIFNETMASK, &request));
	CHECK_EQ(((struct sockaddr_in *)&request.ifr_netmask)->sin_addr.s_addr, 0);
}

static int put_address(int how, const char *text, int prefix, int scope, unsigned flags, unsigned metric, unsigned valid_s)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	struct ifaddrmsg address = {
		.ifa_family = family, .ifa_prefixlen = prefix, .ifa_scope = scope, .ifa_index = if_nametoindex("v0"),
	};
	struct ifa_cacheinfo cache = {.ifa_prefered = 0xffffffff, .ifa_valid = valid_s};
	char local[16];
	struct request request;

	inet_pton(family, text, local);
	begin(&request, RTM_NEWADDR, NLM_F_CREATE | how, &address, sizeof(address));
	add(&request, IFA_LOCAL, local, family == AF_INET ? 4 : 16);
	if (flags)
		add(&request, IFA_FLAGS, &flags, sizeof(flags));
	if (metric)
		add(&request, IFA_RT_PRIORITY, &metric, sizeof(metric));
	if (valid_s != 0xffffffff)
		add(&request, IFA_CACHEINFO, &cache, sizeof(cache));
	return ask(&request);
}

TEST(addresses_with_metrics_and_flags)
{
	unsigned ever = 0xffffffff;

	new_namespace();
	MUST(-make_veth("v0", "v1", -1));
	MUST(-set_up("v0"));
	MUST(-set_up("v1"));
	CHECK_EQ(put_address(NLM_F_EXCL, "10.0.0.1", 24, 0, 0, 999, ever), 0);
	CHECK(strstr(shown("/proc/net/route"), "v0\t0000000A\t00000000\t0001\t0\t0\t999\t00FFFFFF") != NULL);
	CHECK_EQ(put_address(0, "10.0.0.1", 24, 0, 0, 5, ever), EEXIST);
	CHECK_EQ(put_address(NLM_F_REPLACE, "10.0.0.1", 24, 0, 0, 5, ever), 0);
	CHECK(strstr(shown("/proc/net/route"), "v0\t0000000A\t00000000\t0001\t0\t0\t5\t00FFFFFF") != NULL);
	CHECK(strstr(shown("/proc/net/route"), "\t999\t") == NULL);
	CHECK_EQ(put_address(NLM_F_EXCL, "10.1.0.1", 24, 0, IFA_F_NOPREFIXROUTE, 0, ever), 0);
	CHECK(strstr(shown("/proc/net/route"), "0000010A") == NULL);
	CHECK_EQ(change_route(RTM_NEWROUTE, "10.1.0.0", 24, NULL, "v0", RTN_UNICAST), 0);
	CHECK_EQ(change_address(RTM_DELADDR, "v0", "10.1.0.1", 24), 0);
	CHECK(strstr(shown("/proc/net/route"), "0000010A") != NULL);

	CHECK_EQ(put_address(NLM_F_EXCL, "fd00::1", 64, 0, IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_NOPREFIXROUTE, 0, ever), 0);
	CHECK(strstr(shown("/proc/net/if_inet6"), " 40 00 92       v0") != NULL);
	CHECK(strstr(shown("/proc/net/ipv6_route"), "fd000000000000000000000000000000 40") == NULL);
	CHECK_EQ(put_address(NLM_F_EXCL, "fd01::1", 64, 0, IFA_F_NODAD, 77, ever), 0);
	CHECK(strstr(shown("/proc/net/ipv6_route"), "fd010000000000000000000000000000 40 00000000000000000000000000000000 00 "
						    "00000000000000000000000000000000 0000004d") != NULL);
	CHECK_EQ(put_address(NLM_F_REPLACE, "fd01::1", 64, 0, IFA_F_NODAD, 0, ever), 0);
	CHECK(strstr(shown("/proc/net/ipv6_route"), " 0000004d ") != NULL);
	CHECK_EQ(put_address(NLM_F_REPLACE, "fd01::1", 64, 0, IFA_F_NODAD | IFA_F_NOPREFIXROUTE, 0, ever), 0);
	CHECK(strstr(shown("/proc/net/ipv6_route"), " 0000004d ") == NULL);
	CHECK_EQ(put_address(NLM_F_EXCL, "fd02::1", 65, 0, IFA_F_MANAGETEMPADDR, 0, ever), EINVAL);
	CHECK_EQ(put_address(NLM_F_EXCL, "fd02::1", 64, 0, IFA_F_MCAUTOJOIN, 0, ever), EINVAL);
	CHECK_EQ(put_address(NLM_F_EXCL, "fd02::1", 64, 0, 0, 0, 0), EINVAL);
	CHECK_EQ(put_address(NLM_F_EXCL, "10.2.0.1", 24, 0, 0, 0, 0), EINVAL);
	CHECK_EQ(put_address(NLM_F_EXCL, "10.2.0.1", 24, 0, 0, 0, 100), EINVAL);
}

TEST(narrow_addresses_come_first)
{
	static const char *const wanted[] = {"10.4.0.1", "10.3.0.1", "10.5.0.1", "10.1.0.1", "10.2.0.1", "10.1.0.2"};
	struct ifaddrs *list;
	size_t count = 0;

	new_namespace();
	MUST(-make_veth("v0", "v1", -1));
	MUST(-put_address(0, "10.1.0.1", 24, RT_SCOPE_UNIVERSE, 0, 0, 0xffffffff));
	MUST(-put_address(0, "10.1.0.2", 24, RT_SCOPE_UNIVERSE, 0, 0, 0xffffffff));
	MUST(-put_address(0, "10.2.0.1", 24, RT_SCOPE_UNIVERSE, 0, 0, 0xffffffff));
	MUST(-put_address(0, "10.3.0.1", 24, RT_SCOPE_LINK, 0, 0, 0xffffffff));
	MUST(-put_address(0, "10.4.0.1", 24, RT_SCOPE_HOST, 0, 0, 0xffffffff));
	MUST(-put_address(0, "10.5.0.1", 24, RT_SCOPE_LINK, 0, 0, 0xffffffff));
	MUST(getifaddrs(&list));
	for (struct ifaddrs *one = list; one; one = one->ifa_next)
		if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET && count < LENGTH(wanted))
			CHECK_STRING(inet_ntoa(((struct sockaddr_in *)one->ifa_addr)->sin_addr), wanted[count++]);
	CHECK_EQ(count, LENGTH(wanted));
	freeifaddrs(list);
}

TEST(routes)
{
	int fd;

	new_namespace();
	MUST(-make_veth("v0", "v1", -1));
	MUST(-set_up("v0"));
	MUST(-set_up("v1"));
	MUST(-set_up("lo"));
	MUST(-give_address("v0", "10.0.0.1", 24));
	CHECK_EQ(change_route(RTM_NEWROUTE, "1.0.0.0", 8, "10.0.0.2", NULL, RTN_UNICAST), 0);
	CHECK_EQ(change_route(RTM_NEWROUTE, "1.0.0.0", 8, "10.0.0.2", NULL, RTN_UNICAST), EEXIST);
	CHECK_EQ(change_route(RTM_NEWROUTE, "2.0.0.0", 8, "9.9.9.9", NULL, RTN_UNICAST), ENETUNREACH);
	CHECK_EQ(change_route(RTM_NEWROUTE, "2.0.0.0", 8, NULL, NULL, RTN_UNICAST), ENODEV);
	CHECK_EQ(change_route(RTM_NEWROUTE, "2.0.0.1", 8, NULL, "v0", RTN_UNICAST), EINVAL);
	CHECK_EQ(change_route(RTM_NEWROUTE, "3.0.0.0", 8, NULL, NULL, RTN_BLACKHOLE), 0);
	CHECK_EQ(change_route(RTM_NEWROUTE, "4.0.0.0", 8, NULL, NULL, RTN_UNREACHABLE), 0);
	CHECK_EQ(change_route(RTM_NEWROUTE, "5.0.0.0", 8, NULL, NULL, RTN_PROHIBIT), 0);
	CHECK_EQ(change_route(RTM_DELROUTE, "6.0.0.0", 8, NULL, NULL, 0), ESRCH);
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(connect_to(fd, "3.1.1.1", 9), EINVAL);
	CHECK_ERRNO(connect_to(fd, "4.1.1.1", 9), EHOSTUNREACH);
	CHECK_ERRNO(connect_to(fd, "5.1.1.1", 9), EACCES);
	CHECK_ERRNO(connect_to(fd, "6.1.1.1", 9), ENETUNREACH);
	CHECK_OK(connect_to(fd, "1.1.1.1", 9));
	CHECK_EQ(change_route(RTM_NEWROUTE, "", 0, "10.0.0.3", "v0", RTN_UNICAST), 0);
	CHECK_OK(connect_to(fd, "6.1.1.1", 9));
	CHECK_EQ(change_route(RTM_DELROUTE, "1.0.0.0", 8, NULL, NULL, 0), 0);
	/* What leads through an interface goes when it goes down. */
	CHECK_EQ(set_link("v0", 0, IFF_UP, 0, 0), 0);
	CHECK_ERRNO(connect_to(fd, "6.1.1.1", 9), ENETUNREACH);
	CHECK_ERRNO(connect_to(fd, "10.0.0.2", 9), ENETUNREACH);
	CHECK_ERRNO(connect_to(fd, "3.1.1.1", 9), EINVAL);
	CHECK_OK(connect_to(fd, "10.0.0.1", 9));
}

TEST(across)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	int one, other, udp, listener, client, server, sender, mtu;
	char text[16];

	make_pair(&one, &other);
	MUST(setns(other, CLONE_NEWNET));
	udp = bound(SOCK_DGRAM, "0.0.0.0", 5000);
	listener = bound(SOCK_STREAM, "10.0.0.2", 5000);
	MUST(listen(listener, 5));
	MUST(setns(one, CLONE_NEWNET));
	sender = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_OK(connect_to(sender, "10.0.0.2", 5000));
	CHECK_EQ(send(sender, "ping", 4, 0), 4);
	CHECK_EQ(recvfrom(udp, text, sizeof(text), 0, (void *)&address, &length), 4);
	CHECK_EQ(address.sin_addr.s_addr, inet_addr("10.0.0.1"));
	CHECK_EQ(sendto(udp, "pong", 4, 0, (void *)&address, length), 4);
	CHECK_EQ(recv(sender, text, sizeof(text), 0), 4);
	/* Nobody has this port: the answer comes at once. */
	CHECK_OK(connect_to(sender, "10.0.0.2", 5001));
	CHECK_EQ(send(sender, "ping", 4, 0), 4);
	CHECK_ERRNO(recv(sender, text, sizeof(text), 0), ECONNREFUSED);
	client = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_OK(connect_to(client, "10.0.0.2", 5000));
	server = CHECK_OK(accept(listener, (void *)&address, &length));
	CHECK_EQ(address.sin_addr.s_addr, inet_addr("10.0.0.1"));
	CHECK_EQ(send(client, "hello", 5, 0), 5);
	CHECK_EQ(recv(server, text, sizeof(text), 0), 5);
	length = sizeof(mtu);
	CHECK_OK(getsockopt(client, IPPROTO_TCP, TCP_MAXSEG, &mtu, &length));
	CHECK_EQ(mtu, 1448);
	CHECK_OK(getsockopt(client, IPPROTO_IP, IP_MTU, &mtu, &length));
	CHECK_EQ(mtu, 1500);
	/* Each end is listed where it is. */
	CHECK(strstr(shown("/proc/net/tcp"), "0200000A:1388 01") != NULL);
	CHECK(strstr(shown("/proc/net/tcp"), "0200000A:1388 00000000:0000 0A") == NULL);
	close(client);
	CHECK_EQ(recv(server, text, sizeof(text), 0), 0);
	CHECK_ERRNO(connect_to(MUST(socket(AF_INET, SOCK_STREAM, 0)), "10.0.0.2", 5001), ECONNREFUSED);
	CHECK_EQ(echo("10.0.0.2", 0, 1000), ICMP_ECHOREPLY);
	CHECK_EQ(echo("10.0.0.1", 0, 1000), ICMP_ECHOREPLY);
	CHECK(strstr(shown("/proc/net/arp"), "10.0.0.2         0x1         0x2") != NULL);
	/* Nobody is there. */
	CHECK_ERRNO(connect_to(MUST(socket(AF_INET, SOCK_STREAM, 0)), "10.0.0.77", 1), EHOSTUNREACH);
	CHECK_EQ(echo("10.0.0.78", 0, 5000), ICMP_DEST_UNREACH);
	CHECK(strstr(shown("/proc/net/arp"), "10.0.0.78        0x1         0x0") != NULL);
}

TEST(broadcast)
{
	int one, other, heard, sender, on = 1;
	struct sockaddr_in address = at("10.0.0.255", 6000);
	char text[8];

	make_pair(&one, &other);
	MUST(setns(other, CLONE_NEWNET));
	heard = bound(SOCK_DGRAM, "0.0.0.0", 6000);
	MUST(setns(one, CLONE_NEWNET));
	sender = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(sendto(sender, "all", 3, 0, (void *)&address, sizeof(address)), EACCES);
	MUST(setsockopt(sender, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)));
	for (int i = 0; i < 10; i++) {
		struct pollfd polled = {.fd = heard, .events = POLLIN};

		MUST(sendto(sender, "all", 3, 0, (void *)&address, sizeof(address)));
		if (poll(&polled, 1, 500) == 1)
			break;
	}
	CHECK_EQ(recv(heard, text, sizeof(text), MSG_DONTWAIT), 3);
}

TEST(device)
{
	int one, other, fd = -1;
	char name[IFNAMSIZ] = "";
	socklen_t length = sizeof(name);

	make_pair(&one, &other);
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "v1", 3), ENODEV);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "v0", 3));
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length));
	CHECK_STRING(name, "v0");
	CHECK_OK(connect_to(fd, "10.0.0.2", 1));
	/* Where no route says so, everybody is taken to be on the link. */
	MUST(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	CHECK_OK(connect_to(fd, "10.0.0.2", 1));
	MUST(-set_link("lo", 0, IFF_UP, 0, 0));
	CHECK_ERRNO(connect_to(fd, "10.0.0.2", 1), ENETUNREACH);
}

TEST(router)
{
	int one, router, other, fd;

	other = new_namespace();
	router = new_namespace();
	one = new_namespace();
	MUST(-make_veth("v0", "r0", router));
	MUST(-give_address("v0", "10.1.0.2", 24));
	MUST(-set_up("v0"));
	MUST(-set_up("lo"));
	MUST(setns(router, CLONE_NEWNET));
	MUST(-make_veth("r1", "v1", other));
	MUST(-give_address("r0", "10.1.0.1", 24));
	MUST(-give_address("r1", "10.2.0.1", 24));
	MUST(-set_up("r0"));
	MUST(-set_up("r1"));
	MUST(setns(other, CLONE_NEWNET));
	MUST(-give_address("v1", "10.2.0.2", 24));
	MUST(-set_up("v1"));
	MUST(-set_up("lo"));
	await_wire("v1");
	MUST(-change_route(RTM_NEWROUTE, "", 0, "10.2.0.1", NULL, RTN_UNICAST));
	MUST(listen(bound(SOCK_STREAM, "10.2.0.2", 7000), 1));
	MUST(setns(one, CLONE_NEWNET));
	CHECK_EQ(echo("10.2.0.2", 0, 100), -100 - ENETUNREACH);
	CHECK_EQ(change_route(RTM_NEWROUTE, "", 0, "10.1.0.1", NULL, RTN_UNICAST), 0);
	CHECK_EQ(echo("10.2.0.2", 0, 100), -1);
	/* The router's other address is its own. */
	CHECK_EQ(echo("10.2.0.1", 0, 1000), ICMP_ECHOREPLY);
	MUST(setns(router, CLONE_NEWNET));
	CHECK_STRING(shown("/proc/sys/net/ipv4/ip_forward"), "0\n");
	CHECK_OK(write_text("/proc/sys/net/ipv4/ip_forward", "1"));
	CHECK_STRING(shown("/proc/sys/net/ipv4/ip_forward"), "1\n");
	MUST(setns(one, CLONE_NEWNET));
	CHECK_STRING(shown("/proc/sys/net/ipv4/ip_forward"), "0\n");
	CHECK_EQ(echo("10.2.0.2", 0, 1000), ICMP_ECHOREPLY);
	CHECK_EQ(echo("10.2.0.2", 1, 1000), ICMP_TIME_EXCEEDED);
	CHECK_EQ(echo("10.3.0.2", 0, 1000), ICMP_DEST_UNREACH);
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_OK(connect_to(fd, "10.2.0.2", 7000));
	CHECK_ERRNO(connect_to(MUST(socket(AF_INET, SOCK_STREAM, 0)), "10.3.0.2", 7000), ENETUNREACH);
	CHECK_ERRNO(connect_to(MUST(socket(AF_INET, SOCK_STREAM, 0)), "10.2.0.2", 7001), ECONNREFUSED);
	/* The way there and back, as those on it see it. */
	struct icmphdr message = {.type = ICMP_ECHO, .un.echo = {1, 1}};
	unsigned char route[40] = {1, 7, 39, 4}, packet[128];
	static const char *way[] = {"10.1.0.2", "10.2.0.1", "10.2.0.2", "10.2.0.2", "10.1.0.1", "10.1.0.2"};

	message.checksum = checksum(&message, sizeof(message));
	fd = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	MUST(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof(route)));
	MUST(connect_to(fd, "10.2.0.2", 0));
	MUST(send(fd, &message, sizeof(message), 0));
	CHECK_EQ(recv(fd, packet, sizeof(packet), 0), 68);
	CHECK_EQ(packet[22], 4 + 4 * 6);
	for (int i = 0; i < 6; i++) {
		struct in_addr passed;

		memcpy(&passed, packet + 23 + 4 * i, 4);
		CHECK_STRING(inet_ntoa(passed), way[i]);
	}
}

TEST(bridge)
{
	int home = new_namespace(), one, other;

	other = new_namespace();
	one = new_namespace();
	MUST(setns(home, CLONE_NEWNET));
	CHECK_EQ(make_link("br0", "bridge"), 0);
	MUST(-make_veth("p1", "v1", one));
	MUST(-make_veth("p2", "v2", other));
	CHECK_EQ(set_link("p1", 0, 0, IFLA_MASTER, if_nametoindex("br0")), 0);
	CHECK_EQ(set_link("p2", 0, 0, IFLA_MASTER, if_nametoindex("br0")), 0);
	CHECK_EQ(set_link("p2", 0, 0, IFLA_MASTER, if_nametoindex("lo")), EOPNOTSUPP);
	CHECK_EQ(set_link("lo", 0, 0, IFLA_MASTER, if_nametoindex("br0")), EINVAL);
	/* By now it has left the bridge. */
	CHECK_EQ(set_link("p2", 0, 0, IFLA_MASTER, 99), EINVAL);
	CHECK_EQ(set_link("p2", 0, 0, IFLA_MASTER, if_nametoindex("br0")), 0);
	MUST(-set_up("p1"));
	MUST(-set_up("p2"));
	MUST(-set_up("br0"));
	MUST(-give_address("br0", "10.7.0.254", 24));
	MUST(setns(other, CLONE_NEWNET));
	MUST(-give_address("v2", "10.7.0.2", 24));
	MUST(-set_up("v2"));
	MUST(setns(one, CLONE_NEWNET));
	MUST(-give_address("v1", "10.7.0.1", 24));
	MUST(-set_up("v1"));
	CHECK_EQ(echo_soon("10.7.0.2"), ICMP_ECHOREPLY);
	CHECK_EQ(echo_soon("10.7.0.254"), ICMP_ECHOREPLY);
	MUST(setns(home, CLONE_NEWNET));
	CHECK_EQ(echo_soon("10.7.0.1"), ICMP_ECHOREPLY);
	CHECK_EQ(set_link("p2", 0, 0, IFLA_MASTER, 0), 0);
	MUST(setns(one, CLONE_NEWNET));
	CHECK_EQ(echo("10.7.0.2", 0, 200), -1);
}

TEST(moves)
{
	int one, other, fd;

	other = new_namespace();
	one = new_namespace();
	MUST(-make_veth("v0", "v1", -1));
	MUST(-give_address("v0", "10.0.0.1", 24));
	MUST(-set_up("v0"));
	CHECK_EQ(set_link("v0", 0, 0, IFLA_NET_NS_FD, other), 0);
	CHECK_EQ(if_nametoindex("v0"), 0);
	CHECK_EQ(set_link("lo", 0, 0, IFLA_NET_NS_FD, other), EINVAL);
	CHECK_EQ(set_link("v1", 0, 0, IFLA_NET_NS_FD, 77), EBADF);
	fd = MUST(open("/dev/null", O_RDONLY));
	CHECK_EQ(set_link("v1", 0, 0, IFLA_NET_NS_FD, fd), EINVAL);
	CHECK_EQ(set_link("v1", 0, 0, IFLA_NET_NS_PID, 0x7ffffff0), ESRCH);
	MUST(setns(other, CLONE_NEWNET));
	/* It has its index, no address, and is down. */
	CHECK_EQ(if_nametoindex("v0"), 3);
	CHECK_EQ(get_flags("v0"), IFF_BROADCAST | IFF_MULTICAST);
	CHECK_EQ(give_address("v0", "10.0.0.1", 24), 0);
	MUST(setns(one, CLONE_NEWNET));
	CHECK_EQ(set_link("v1", 0, 0, IFLA_NET_NS_PID, getpid()), 0);
	CHECK_EQ(if_nametoindex("v1"), 2);
	/* A network takes its veths with it. */
	close(other);
	sleep_ms(300);
	CHECK_EQ(if_nametoindex("v1"), 0);
}

/* Change a link by its name, with up to two numbers; 0 for none. */
static int change(const char *name, int one, int value, int other, int other_value)
{
	struct ifinfomsg link = {0};
	struct request request;

	begin(&request, RTM_SETLINK, 0, &link, sizeof(link));
	add(&request, IFLA_IFNAME, name, strlen(name) + 1);
	if (one)
		add(&request, one, &value, sizeof(value));
	if (other)
		add(&request, other, &other_value, sizeof(other_value));
	return ask(&request);
}

TEST(moves_to_an_index)
{
	int other = new_namespace();

	MUST(-make_veth("there", "peer", -1));
	new_namespace();
	MUST(-make_veth("d1", "d0", -1));
	/* The number is looked at before the link is looked for. */
	CHECK_EQ(change("nobody", IFLA_NEW_IFINDEX, -1, 0, 0), ERANGE);
	CHECK_EQ(change("nobody", IFLA_NEW_IFINDEX, 0, 0, 0), ERANGE);
	CHECK_EQ(change("nobody", IFLA_NEW_IFINDEX, 5, 0, 0), ENODEV);
	/* Without another network it says nothing. */
	CHECK_EQ(change("d0", IFLA_NEW_IFINDEX, 77, 0, 0), 0);
	CHECK_EQ(if_nametoindex("d0"), 2);
	CHECK_EQ(change("d0", IFLA_NEW_IFINDEX, 2, IFLA_NET_NS_FD, other), EBUSY);
	CHECK_EQ(if_nametoindex("d0"), 2);
	CHECK_EQ(change("d0", IFLA_NEW_IFINDEX, 77, IFLA_NET_NS_FD, other), 0);
	CHECK_EQ(if_nametoindex("d0"), 0);
	/* Its own is taken there: it gets the next one. */
	CHECK_EQ(change("d1", IFLA_NET_NS_FD, other, 0, 0), 0);
	MUST(setns(other, CLONE_NEWNET));
	CHECK_EQ(if_nametoindex("d0"), 77);
	CHECK_EQ(if_nametoindex("d1"), 4);
}

TEST(lives_with_its_sockets)
{
	int home = new_namespace(), other, fd;
	char text[8];

	other = new_namespace();
	MUST(-make_veth("v1", "v0", home));
	MUST(-give_address("v1", "10.0.0.2", 24));
	MUST(-set_up("v1"));
	fd = bound(SOCK_DGRAM, "10.0.0.2", 3000);
	MUST(setns(home, CLONE_NEWNET));
	close(other);
	MUST(-give_address("v0", "10.0.0.1", 24));
	MUST(-set_up("v0"));
	sleep_ms(200);
	await_wire("v0");
	CHECK(if_nametoindex("v0") != 0);
	other = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_OK(connect_to(other, "10.0.0.2", 3000));
	CHECK_EQ(send(other, "x", 1, 0), 1);
	CHECK_EQ(recv(fd, text, sizeof(text), 0), 1);
	close(fd);
	sleep_ms(300);
	CHECK_EQ(if_nametoindex("v0"), 0);
}

TEST(notifications)
{
	int fd, seen[RTM_MAX] = {0};
	static char data[16384];

	new_namespace();
	fd = route_socket(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE);
	MUST(-make_veth("v0", "v1", -1));
	MUST(-give_address("v0", "10.0.0.1", 24));
	MUST(-set_up("v0"));
	MUST(-change_route(RTM_NEWROUTE, "9.0.0.0", 8, "10.0.0.2", NULL, RTN_UNICAST));
	MUST(-delete_link("v0"));
	for (;;) {
		struct sockaddr_nl address;
		socklen_t size = sizeof(address);
		ssize_t length = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (void *)&address, &size);
		struct nlmsghdr *header = (void *)data;

		if (length <= 0)
			break;
		if (address.nl_pid == 0 && address.nl_groups && header->nlmsg_type < RTM_MAX)
			seen[header->nlmsg_type]++;
	}
	CHECK(seen[RTM_NEWLINK] >= 3);
	CHECK_EQ(seen[RTM_DELLINK], 2);
	CHECK_EQ(seen[RTM_NEWADDR], 1);
	CHECK_EQ(seen[RTM_DELADDR], 1);
	CHECK(seen[RTM_NEWROUTE] >= 3);
	close(fd);
}

TEST(numbers)
{
	struct rtgenmsg body = {0};
	struct request request;
	int home = new_namespace(), other = new_namespace(), wanted = 5;

	MUST(setns(home, CLONE_NEWNET));
	begin(&request, RTM_NEWNSID, 0, &body, sizeof(body));
	request.header.nlmsg_len = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(body)));
	add(&request, NETNSA_FD, &other, sizeof(other));
	add(&request, NETNSA_NSID, &wanted, sizeof(wanted));
	CHECK_EQ(ask(&request), 0);
	CHECK_EQ(ask(&request), EEXIST);
	begin(&request, RTM_NEWNSID, 0, &body, sizeof(body));
	request.header.nlmsg_len = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(body)));
	add(&request, NETNSA_FD, &home, sizeof(home));
	add(&request, NETNSA_NSID, &wanted, sizeof(wanted));
	CHECK_EQ(ask(&request), EEXIST);
	begin(&request, RTM_NEWNSID, 0, &body, sizeof(body));
	request.header.nlmsg_len = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(body)));
	add(&request, NETNSA_FD, &home, sizeof(home));
	CHECK_EQ(ask(&request), EINVAL);
}

/* The inode of a namespace is its number. */
static ino_t number_of(int fd)
{
	struct stat status;

	MUST(fstat(fd, &status));
	return status.st_ino;
}

TEST(namespace_of_a_socket)
{
	int home = new_namespace(), mine = (int)MUST(open("/proc/self/ns/net", O_RDONLY)), old, fd;
	int kinds[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};

	for (size_t i = 0; i < LENGTH(kinds); i++) {
		int opened = (int)MUST(socket(kinds[i], SOCK_DGRAM, 0));

		fd = (int)CHECK_OK(ioctl(opened, SIOCGSKNS));
		CHECK_EQ(number_of(fd), number_of(mine));
		CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
		MUST(close(fd));
		MUST(close(opened));
	}
	old = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(setns(home, CLONE_NEWNET));
	fd = (int)CHECK_OK(ioctl(old, SIOCGSKNS));
	CHECK_EQ(number_of(fd), number_of(mine));
	CHECK_OK(setns(fd, CLONE_NEWNET));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(ioctl(old, SIOCGSKNS), EPERM);
}

TEST(rights)
{
	int home = new_namespace(), fd;

	MUST(-set_up("lo"));
	CHECK_OK(prctl(PR_SET_KEEPCAPS, 0));
	MUST(setgroups(0, NULL));
	MUST(setresgid(NOBODY, NOBODY, NOBODY));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(unshare(CLONE_NEWNET), EPERM);
	CHECK_ERRNO(setns(home, CLONE_NEWNET), EPERM);
	CHECK_EQ(set_up("lo"), EPERM);
	CHECK_EQ(make_link("br0", "bridge"), EPERM);
	CHECK_EQ(give_address("lo", "10.0.0.1", 8), EPERM);
	CHECK_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES);
	CHECK_ERRNO(write_text("/proc/sys/net/ipv4/ip_forward", "1"), EACCES);
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(bind(fd, (void *)&(struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(80)}, 16), EACCES);
}

TEST(settings)
{
	struct { struct icmphdr header; char data[8]; } message = {.header = {.type = ICMP_ECHO}};
	char text[128];
	int fd;

	new_namespace();
	MUST(-set_up("lo"));
	CHECK_STRING(shown("/proc/sys/net/ipv4/ping_group_range"), "1\t0\n");
	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES);
	CHECK_OK(write_text("/proc/sys/net/ipv4/ping_group_range", "0 100"));
	CHECK_STRING(shown("/proc/sys/net/ipv4/ping_group_range"), "0\t100\n");
	fd = CHECK_OK(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	CHECK_OK(connect_to(fd, "127.0.0.1", 0));
	CHECK_EQ(send(fd, &message, 4, 0), -1);
	CHECK_EQ(send(fd, &message, sizeof(message), 0), sizeof(message));
	CHECK_EQ(recv(fd, text, sizeof(text), 0), sizeof(message));
	CHECK_EQ(text[0], ICMP_ECHOREPLY);
	message.header.type = ICMP_ECHOREPLY;
	CHECK_ERRNO(send(fd, &message, sizeof(message), 0), EINVAL);
	CHECK_OK(write_text("/proc/sys/net/ipv4/ip_unprivileged_port_start", "80"));
	CHECK_STRING(shown("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "80\n");
	CHECK_OK(write_text("/proc/sys/net/ipv4/ip_local_port_range", "40000 40010"));
	fd = bound(SOCK_STREAM, "127.0.0.1", 0);
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	MUST(getsockname(fd, (void *)&address, &length));
	CHECK(ntohs(address.sin_port) >= 40000 && ntohs(address.sin_port) <= 40010);
	CHECK_OK(write_text("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1"));
	CHECK_EQ(echo("127.0.0.1", 0, 100), -1);
	CHECK_ERRNO(write_text("/proc/sys/net/ipv4/ip_local_port_range", "5 4"), EINVAL);
	new_namespace();
	CHECK_STRING(shown("/proc/sys/net/ipv4/ping_group_range"), "1\t0\n");
	CHECK_STRING(shown("/proc/sys/net/ipv4/ip_local_port_range"), "32768\t60999\n");
}

/* Ask twice at once for all objects of a kind, and say what comes: messages by their types or errors, a line
 * for each datagram. */
static const char *asked_twice(int type, int family)
{
	static char text[1024], answer[32768];
	struct request request;
	struct rtmsg body = {.rtm_family = family};
	int fd = route_socket(0), length;
	char twice[2 * NLMSG_LENGTH(sizeof(body))];

	begin(&request, type, NLM_F_DUMP, &body, sizeof(body));
	request.header.nlmsg_flags &= ~NLM_F_ACK;
	memcpy(twice, &request, sizeof(twice) / 2);
	memcpy(twice + sizeof(twice) / 2, &request, sizeof(twice) / 2);
	MUST(send(fd, twice, sizeof(twice), 0));
	text[0] = 0;
	while ((length = recv(fd, answer, sizeof(answer), MSG_DONTWAIT)) > 0) {
		for (struct nlmsghdr *each = (void *)answer; NLMSG_OK(each, length); each = NLMSG_NEXT(each, length)) {
			int error = each->nlmsg_type == NLMSG_ERROR ? ((struct nlmsgerr *)NLMSG_DATA(each))->error : 0;

			sprintf(text + strlen(text), "%d ", error ? error : each->nlmsg_type);
		}
		strcat(text, "\n");
	}
	MUST(close(fd));
	return text;
}

TEST(lists)
{
	new_namespace();
	MUST(-set_up("lo"));
	/* What comes at once is over; what doesn't, has to be read before the next list. */
	CHECK_STRING(asked_twice(RTM_GETLINK, AF_UNSPEC), "16 \n-16 \n3 \n");
	CHECK_STRING(asked_twice(RTM_GETADDR, AF_UNSPEC), "20 20 \n-16 \n3 \n");
	CHECK_STRING(asked_twice(RTM_GETADDR, AF_INET6), "20 3 \n20 3 \n");
	CHECK_STRING(asked_twice(RTM_GETROUTE, AF_INET), "24 24 24 \n-16 \n3 \n");
	CHECK_STRING(asked_twice(RTM_GETRULE, AF_INET), "32 32 32 3 \n32 32 32 3 \n");
	CHECK_STRING(asked_twice(RTM_GETNEIGH, AF_INET), "3 \n3 \n");
	CHECK_STRING(asked_twice(RTM_GETNSID, AF_UNSPEC), "3 \n3 \n");
}

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* From which address a datagram socket that goes out of an interface is connected to a target, or the error. */
static const char *source_to(const char *target, const char *name)
{
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	MUST(set_int(fd, IPPROTO_IP, IP_UNICAST_IF, name ? (int)htonl(if_nametoindex(name)) : 0));
	if (connect_to(fd, target, 9)) {
		close(fd);
		return strerrorname_np(errno);
	}
	MUST(getsockname(fd, (void *)&address, &length));
	close(fd);
	return inet_ntoa(address.sin_addr);
}

TEST(interfaces_chosen)
{
	int fd, v0;

	new_namespace();
	MUST(-set_up("lo"));
	MUST(-make_veth("v0", "v1", -1));
	MUST(-give_address("v0", "10.0.0.1", 24));
	MUST(-give_address("v1", "10.0.1.1", 24));
	MUST(-set_up("v0"));
	MUST(-set_up("v1"));
	CHECK_STRING(source_to("10.0.0.9", NULL), "10.0.0.1");
	CHECK_STRING(source_to("10.0.0.9", "v1"), "10.0.1.1");
	CHECK_STRING(source_to("8.8.8.8", NULL), "ENETUNREACH");
	CHECK_STRING(source_to("8.8.8.8", "v0"), "10.0.0.1");
	CHECK_STRING(source_to("127.0.0.1", NULL), "127.0.0.1");
	v0 = if_nametoindex("v0");
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(set_int(fd, IPPROTO_IP, IP_UNICAST_IF, htonl(999)), EADDRNOTAVAIL);
	CHECK_OK(set_int(fd, IPPROTO_IP, IP_UNICAST_IF, htonl(v0)));
	struct sockaddr_in target = at("8.8.8.8", 9);
	CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&target, sizeof(target)), 1);
	CHECK_OK(set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 1));
	CHECK_ERRNO(set_int(fd, IPPROTO_IP, IP_UNICAST_IF, htonl(1)), EINVAL);
	MUST(set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0));
	/* Streams don't look at it. */
	fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	CHECK_OK(set_int(fd, IPPROTO_IP, IP_UNICAST_IF, htonl(v0)));
	CHECK_ERRNO(connect_to(fd, "8.8.8.8", 9), ENETUNREACH);
	/* The interface goes. */
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(set_int(fd, IPPROTO_IP, IP_UNICAST_IF, htonl(v0)));
	MUST(-delete_link("v0"));
	CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&target, sizeof(target)), -1);
	CHECK_EQ(errno, ENODEV);
	fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_OK(set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_IF, htonl(1)));
	CHECK_ERRNO(set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_IF, htonl(999)), EADDRNOTAVAIL);
}

/* How many packets the loopback has carried. */
static long packets(void)
{
	long count;
	char *line = strstr(shown("/proc/self/net/dev"), "lo:");

	return line && sscanf(line, "lo: %*d %ld", &count) == 1 ? count : -1;
}

TEST(lengths_of_packets)
{
	static char data[20000];
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t length = sizeof(address);
	int receiver, fd, mtu = 0;
	long before;

	new_namespace();
	MUST(-set_up("lo"));
	receiver = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(bind(receiver, (void *)&address, length));
	MUST(getsockname(receiver, (void *)&address, &length));
	fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_ERRNO(set_int(fd, IPPROTO_IPV6, IPV6_MTU, 1279), EINVAL);
	CHECK_OK(set_int(fd, IPPROTO_IPV6, IPV6_MTU, 1280));
	MUST(connect(fd, (void *)&address, length));
	for (int how = IPV6_PMTUDISC_DONT; how <= IPV6_PMTUDISC_OMIT; how++) {
		MUST(set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, how));
		CHECK_EQ(send(fd, data, 1232, 0), 1232);
		if (how >= IPV6_PMTUDISC_DO && how != IPV6_PMTUDISC_OMIT)
			CHECK_ERRNO(send(fd, data, 1233, 0), EMSGSIZE);
		else
			CHECK_EQ(send(fd, data, 1233, 0), 1233);
	}
	CHECK_OK(set_int(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1));
	CHECK_ERRNO(send(fd, data, 1233, 0), EMSGSIZE);
	CHECK_EQ(send(fd, data, 1232, 0), 1232);
	length = sizeof(mtu);
	CHECK_OK(getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &length));
	CHECK_EQ(mtu, 65536);
	MUST(set_int(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 0));
	MUST(set_int(fd, IPPROTO_IPV6, IPV6_MTU, 0));
	MUST(-set_link("lo", 0, 0, IFLA_MTU, 1500));
	close(receiver);
	receiver = bound(SOCK_DGRAM, "127.0.0.1", 777);
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(connect_to(fd, "127.0.0.1", 777));
	for (int how = IP_PMTUDISC_DONT; how <= IP_PMTUDISC_OMIT; how++) {
		MUST(set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, how));
		if (how >= IP_PMTUDISC_DO && how != IP_PMTUDISC_OMIT)
			CHECK_ERRNO(send(fd, data, 1473, 0), EMSGSIZE);
		else
			CHECK_EQ(send(fd, data, 1473, 0), 1473);
	}
	MUST(set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT));
	/* Pieces are multiples of eight bytes. */
	before = packets();
	MUST(send(fd, data, 1472, 0));
	CHECK_EQ(packets() - before, 1);
	MUST(send(fd, data, 1473, 0));
	CHECK_EQ(packets() - before, 3);
	MUST(send(fd, data, 2 * 1480 - 8, 0));
	CHECK_EQ(packets() - before, 5);
	MUST(send(fd, data, 14 * 1480 - 7 - 720, 0));
	CHECK_EQ(packets() - before, 19);
}

/* Bind or connect to a port out of the socket's own range, and say which it is: -1 for none. */
static int chosen_port(int kind, unsigned first, unsigned last, int target)
{
	int fd = MUST(socket(AF_INET, kind, 0));
	struct sockaddr_in address = at("127.0.0.1", 0);
	socklen_t length = sizeof(address);

	MUST(set_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, last << 16 | first));
	if (target ? connect_to(fd, "127.0.0.1", target) : bind(fd, (void *)&address, length))
		return -1;
	MUST(getsockname(fd, (void *)&address, &length));
	return ntohs(address.sin_port);
}

TEST(ranges_of_ports)
{
	int kinds[] = {SOCK_STREAM, SOCK_DGRAM}, listener, port;

	new_namespace();
	MUST(-set_up("lo"));
	for (int i = 0; i < 2; i++) {
		unsigned seen = 0;

		for (int j = 0; j < 4; j++)
			seen |= 1U << (chosen_port(kinds[i], 40000, 40003, 0) - 40000);
		CHECK_EQ(seen, 15);
		CHECK_EQ(chosen_port(kinds[i], 40000, 40003, 0), -1);
		CHECK_EQ(errno, EADDRINUSE);
		/* An end that isn't the network's either doesn't count. */
		port = chosen_port(kinds[i], 90, 99, 0);
		CHECK(port >= 32768 && port <= 60999);
		port = chosen_port(kinds[i], 60990, 0, 0);
		CHECK(port >= 60990 && port <= 60999);
		port = chosen_port(kinds[i], 0, 32777, 0);
		CHECK(port >= 32768 && port <= 32777);
	}
	listener = bound(SOCK_STREAM, "127.0.0.1", 777);
	MUST(listen(listener, 5));
	CHECK_EQ(chosen_port(SOCK_STREAM, 40100, 40101, 777) / 2, 20050);
	CHECK_EQ(chosen_port(SOCK_STREAM, 40100, 40101, 777) / 2, 20050);
	CHECK_EQ(chosen_port(SOCK_STREAM, 40100, 40101, 777), -1);
	CHECK_EQ(errno, EADDRNOTAVAIL);
}

static int set_hardware_address(const char *name, unsigned char last)
{
	struct ifinfomsg link = {.ifi_index = if_nametoindex(name)};
	struct request request;
	unsigned char address[6] = {2, 0, 0, 0, 0, last};

	begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	add(&request, IFLA_ADDRESS, address, sizeof(address));
	return ask(&request);
}

/* The lines of a file that are about an interface, once there are as many as wanted, without their beginnings. */
static const char *lines_about(const char *path, const char *name, int wanted)
{
	static char found[2048];
	int count = 0;

	for (int i = 0; i < 100 && count != wanted; i++) {
		char text[8192], *position = text, *line;

		if (i)
			sleep_ms(50);
		found[0] = '\0';
		count = 0;
		strcpy(text, shown(path));
		while ((line = strsep(&position, "\n"))) {
			char *rest = strstr(line, name);

			if (!rest)
				continue;
			rest += strlen(name);
			strcat(strcat(found, rest + strspn(rest, " ")), "\n");
			count++;
		}
	}
	return found;
}

static void join_6(int fd, const char *group, const char *name)
{
	struct ipv6_mreq request = {.ipv6mr_interface = if_nametoindex(name)};

	inet_pton(AF_INET6, group, &request.ipv6mr_multiaddr);
	MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request)));
}

TEST(groups_of_interfaces)
{
	struct ip_mreq request = {0};
	int fd;

	new_namespace();
	MUST(-set_up("lo"));
	MUST(-make_veth("v0", "v1", -1));
	MUST(-set_hardware_address("v0", 0x11));
	MUST(-give_address("v0", "10.0.0.1", 24));
	MUST(-set_up("v0"));
	MUST(-set_up("v1"));
	CHECK_STRING(lines_about("/proc/self/net/igmp6", "v0", 3),
		     "ff0200000000000000000001ff000011     1 00000004 0\n"
		     "ff020000000000000000000000000001     1 0000000C 0\n"
		     "ff010000000000000000000000000001     1 00000008 0\n");
	CHECK_STRING(lines_about("/proc/self/net/igmp6", "lo ", 2),
		     "ff020000000000000000000000000001     1 0000000C 0\n"
		     "ff010000000000000000000000000001     1 00000008 0\n");
	CHECK_STRING(lines_about("/proc/self/net/dev_mcast", "v0", 3),
		     "1     0     333300000001\n1     0     01005e000001\n1     0     3333ff000011\n");
	CHECK(strstr(shown("/proc/self/net/dev_mcast"), "lo ") == NULL);
	fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	join_6(fd, "ff02::123", "v0");
	join_6(fd, "ff02::1", "v0");
	join_6(fd, "ff01::5", "v0");
	join_6(fd, "ff02::1:ff00:11", "v0");
	join_6(fd, "ff02::123", "lo");
	CHECK_STRING(lines_about("/proc/self/net/igmp6", "v0", 5),
		     "ff010000000000000000000000000005     1 00000008 0\n"
		     "ff020000000000000000000000000123     1 00000004 0\n"
		     "ff0200000000000000000001ff000011     2 00000004 0\n"
		     "ff020000000000000000000000000001     2 0000000C 0\n"
		     "ff010000000000000000000000000001     1 00000008 0\n");
	CHECK_STRING(lines_about("/proc/self/net/igmp6", "lo ", 3),
		     "ff020000000000000000000000000123     1 00000004 0\n"
		     "ff020000000000000000000000000001     1 0000000C 0\n"
		     "ff010000000000000000000000000001     1 00000008 0\n");
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	inet_pton(AF_INET, "10.0.0.1", &request.imr_interface);
	inet_pton(AF_INET, "239.129.2.3", &request.imr_multiaddr);
	MUST(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	inet_pton(AF_INET, "239.1.2.3", &request.imr_multiaddr);
	MUST(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	CHECK_STRING(lines_about("/proc/self/net/dev_mcast", "v0", 5),
		     "1     0     333300000001\n1     0     01005e000001\n1     0     3333ff000011\n"
		     "1     0     333300000123\n2     0     01005e010203\n");
	/* Routers listen to more. */
	MUST(write_text("/proc/sys/net/ipv6/conf/all/forwarding", "1"));
	CHECK_STRING(lines_about("/proc/self/net/igmp6", "lo ", 3),
		     "ff020000000000000000000000000123     1 00000004 0\n"
		     "ff020000000000000000000000000001     1 0000000C 0\n"
		     "ff010000000000000000000000000001     1 00000008 0\n");
	CHECK(strstr(lines_about("/proc/self/net/igmp6", "v1", 7), "ff050000000000000000000000000002     1 00000004 0\n"));
}

static const char *hex(const void *data, size_t length)
{
	static char text[4][256];
	static int turn;
	char *end = text[turn = (turn + 1) % 4];

	for (size_t i = 0; i < length && i < 100; i++)
		sprintf(end + 2 * i, "%02x", ((const unsigned char *)data)[i]);
	end[2 * length] = '\0';
	return end;
}

static size_t from_hex(const char *text, unsigned char *bytes)
{
	size_t count = 0;

	for (; text[2 * count]; count++)
		sscanf(text + 2 * count, "%2hhx", bytes + count);
	return count;
}

/* Set options of the header; those that are kept then, or the error. */
static const char *set_options(int fd, const char *text)
{
	unsigned char bytes[64];
	socklen_t length = sizeof(bytes);

	if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, bytes, from_hex(text, bytes)))
		return strerrorname_np(errno);
	MUST(getsockopt(fd, IPPROTO_IP, IP_OPTIONS, bytes, &length));
	return hex(bytes, length);
}

/* The options that a datagram came with, and those for an answer. */
static const char *options_of_datagram(int fd)
{
	static char text[512];
	char byte[8], control[512];
	struct iovec vector = {byte, sizeof(byte)};
	struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	if (recvmsg(fd, &header, MSG_DONTWAIT) == -1)
		return strerrorname_np(errno);
	text[0] = '\0';
	for (struct cmsghdr *each = CMSG_FIRSTHDR(&header); each; each = CMSG_NXTHDR(&header, each))
		sprintf(text + strlen(text), "%s%s", *text ? " " : "", hex(CMSG_DATA(each), each->cmsg_len - CMSG_LEN(0)));
	return text;
}

static const char *sent_with(int fd, int receiver, const char *options)
{
	const char *kept = set_options(fd, options);

	if (*kept == 'E')
		return kept;
	return send(fd, "x", 1, 0) == 1 ? options_of_datagram(receiver) : strerrorname_np(errno);
}

TEST(options_of_headers)
{
	int fd, receiver, raw, one = 1;
	unsigned char packet[128], bytes[40];
	struct iphdr *header = (void *)packet;
	socklen_t length = sizeof(packet);

	new_namespace();
	MUST(-set_up("lo"));
	receiver = bound(SOCK_DGRAM, "127.0.0.1", 777);
	MUST(setsockopt(receiver, IPPROTO_IP, IP_RECVOPTS, &one, sizeof(one)));
	MUST(setsockopt(receiver, IPPROTO_IP, IP_RETOPTS, &one, sizeof(one)));
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(connect_to(fd, "127.0.0.1", 777));
	CHECK_OK(getsockopt(fd, IPPROTO_IP, IP_OPTIONS, bytes, &length));
	CHECK_EQ(length, 0);
	CHECK_STRING(set_options(fd, "070b040000000000000000"), "070b04000000000000000000");
	CHECK_STRING(set_options(fd, "010101"), "01010100");
	CHECK_STRING(set_options(fd, "000506"), "00000000");
	CHECK_STRING(set_options(fd, "94040000"), "94040000");
	CHECK_STRING(set_options(fd, "83070407000001"), "8307040700000100");
	CHECK_STRING(set_options(fd, "07020400"), "EINVAL");
	CHECK_STRING(set_options(fd, "07"), "EINVAL");
	CHECK_STRING(set_options(fd, "070b030000000000000000"), "EINVAL");
	CHECK_STRING(set_options(fd, "0707040000000007070400000000"), "EINVAL");
	CHECK_STRING(set_options(fd, "8307050700000100"), "EINVAL");
	CHECK_STRING(set_options(fd, "44080500"), "EINVAL");
	CHECK_STRING(set_options(fd, "44080501000000000000"), "EINVAL");
	CHECK_STRING(set_options(fd, "860600000001"), "EINVAL");
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, packet, 41), EINVAL);
	CHECK_STRING(set_options(fd, ""), "");
	/* What is gathered on the way: the sender's address and the receiver's. */
	CHECK_STRING(sent_with(fd, receiver, ""), "");
	CHECK_STRING(sent_with(fd, receiver, "070b040000000000000000"), "070b0c7f0000017f00000100 070b0c7f0000017f00000100");
	CHECK_STRING(sent_with(fd, receiver, "01010101"), "01010101 ");
	CHECK_STRING(sent_with(fd, receiver, "07070801020304"), "0707080102030400 0707080102030400");
	CHECK_STRING(sent_with(fd, receiver, "4408090001020304"), "4408091001020304 4408091001020304");
	CHECK_STRING(sent_with(fd, receiver, "440c05030808080800000000"), "440c05030808080800000000 440c05030808080800000000");
	CHECK_EQ(strncmp(sent_with(fd, receiver, "44140501000000000000000000000000000000000000"), "441415017f000001", 16), 0);
	CHECK_STRING(sent_with(fd, receiver, "440c05030a00000100000000"), "440c05030a00000100000000 440c05030a00000100000000");
	CHECK_EQ(strncmp(sent_with(fd, receiver, "440c05037f00000100000000"), "440c0d037f000001", 16), 0);
	/* Without a place for the receiver, it isn't taken in; nor are routes that the sender chooses. */
	CHECK_STRING(sent_with(fd, receiver, "070904000000000000"), "EAGAIN");
	CHECK_ERRNO(send(fd, "x", 1, 0), EPROTO);
	CHECK_STRING(sent_with(fd, receiver, "8307047f000001"), "EAGAIN");
	/* Raw sockets see the header, and an echo gathers on its way back too. */
	CHECK_STRING(set_options(fd, "070b040000000000000000"), "070b04000000000000000000");
	static char much[65507];
	CHECK_ERRNO(send(fd, much, sizeof(much) - 11, 0), EMSGSIZE);
	CHECK_EQ(send(fd, much, sizeof(much) - 12, 0), sizeof(much) - 12);
	CHECK_EQ(recv(receiver, much, sizeof(much), MSG_DONTWAIT), sizeof(much) - 12);
	raw = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
	MUST(send(fd, "x", 1, 0));
	CHECK_EQ(recv(raw, packet, sizeof(packet), MSG_DONTWAIT), 20 + 12 + 8 + 1);
	CHECK_EQ(header->ihl, 8);
	CHECK_EQ(ntohs(header->tot_len), 41);
	CHECK_STRING(hex(packet + 20, 12), "070b0c7f0000017f00000100");
	raw = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	CHECK_STRING(set_options(raw, "01072704000000000000000000000000000000000000000000000000000000000000000000000000"),
		     "01072704000000000000000000000000000000000000000000000000000000000000000000000000");
	MUST(connect_to(raw, "127.0.0.1", 0));
	struct icmphdr message = {.type = ICMP_ECHO, .un.echo = {1, 1}};
	message.checksum = checksum(&message, sizeof(message));
	MUST(send(raw, &message, sizeof(message), 0));
	CHECK_EQ(recv(raw, packet, sizeof(packet), MSG_DONTWAIT), 68);
	CHECK_STRING(hex(packet + 20, 13), "0107270c7f0000017f00000100");
	CHECK_EQ(recv(raw, packet, sizeof(packet), MSG_DONTWAIT), 68);
	CHECK_STRING(hex(packet + 20, 24), "0727147f0000017f0000017f0000017f0000010000000000");
	/* Not all is for everybody. */
	pid_t child = MUST(fork());
	if (child == 0) {
		fd = -1;
		if (setresuid(1000, 1000, 1000) || (fd = socket(AF_INET, SOCK_DGRAM, 0)) == -1)
			_exit(1);
		_exit(strcmp(set_options(fd, "07070400000000"), "0707040000000000") ? 2
		      : strcmp(set_options(fd, "8307047f000001"), "EPERM") ? 3
		      : strcmp(set_options(fd, "820b000000000000000000"), "EINVAL") ? 4 : 0);
	}
	CHECK_EQ(wait_for(child), 0);
}

/* How many sockets /proc/net/protocols says that a protocol has. */
static int count_of(const char *protocol)
{
	char line[256], name[32];
	int size, sockets, found = -1;
	FILE *file = fopen("/proc/self/net/protocols", "r");

	while (fgets(line, sizeof line, file))
		if (sscanf(line, "%31s %d %d", name, &size, &sockets) == 3 && strcmp(name, protocol) == 0)
			found = sockets;
	fclose(file);
	return found;
}

TEST(sockets_by_protocol)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int ends[2], stream, datagram;

	MUST(unshare(CLONE_NEWNET));
	CHECK_EQ(count_of("UNIX-STREAM"), 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	CHECK_EQ(count_of("UNIX-STREAM"), 2);
	CHECK_EQ(count_of("UNIX"), 0);
	datagram = MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	CHECK_EQ(count_of("UNIX"), 1);
	close(datagram);
	CHECK_EQ(count_of("UNIX"), 0);
	stream = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_EQ(count_of("TCP"), 0);
	MUST(bind(stream, (struct sockaddr *)&any, sizeof any));
	MUST(listen(stream, 1));
	CHECK_EQ(count_of("TCP"), 1);
	datagram = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(bind(datagram, (struct sockaddr *)&any, sizeof any));
	CHECK_EQ(count_of("UDP"), 1);
	CHECK_EQ(count_of("UDPv6"), 0);
	close(stream);
	/* Its peer still has it. */
	close(ends[0]);
	CHECK_EQ(count_of("TCP"), 0);
	CHECK_EQ(count_of("UNIX-STREAM"), 2);
	close(ends[1]);
	CHECK_EQ(count_of("UNIX-STREAM"), 0);
}

/* What comes from somebody else with an address of one's own is dropped, unless accept_local says otherwise. */
TEST(addresses_of_one_s_own_from_outside)
{
	int one, other, receiver, sender;
	struct sockaddr_in to = at("10.0.0.9", 4000);
	char text[8];

	make_pair(&one, &other);
	MUST(-give_address("v0", "10.0.0.9", 24));
	receiver = bound(SOCK_DGRAM, "10.0.0.9", 4000);
	MUST(setns(other, CLONE_NEWNET));
	/* Both know where the other one is. */
	sender = bound(SOCK_DGRAM, "10.0.0.2", 0);
	CHECK_EQ(sendto(sender, "w", 1, 0, (void *)&to, sizeof to), 1);
	CHECK_EQ(recv(receiver, text, sizeof text, 0), 1);
	MUST(-give_address("lo", "10.0.0.1", 32));
	sender = bound(SOCK_DGRAM, "10.0.0.1", 0);
	CHECK_EQ(sendto(sender, "x", 1, 0, (void *)&to, sizeof to), 1);
	MUST(setns(one, CLONE_NEWNET));
	sleep_ms(300);
	CHECK_ERRNO(recv(receiver, text, sizeof text, MSG_DONTWAIT), EAGAIN);
	CHECK_STRING(shown("/proc/sys/net/ipv4/conf/v0/accept_local"), "0\n");
	CHECK_OK(write_text("/proc/sys/net/ipv4/conf/v0/accept_local", "1"));
	MUST(setns(other, CLONE_NEWNET));
	CHECK_EQ(sendto(sender, "y", 1, 0, (void *)&to, sizeof to), 1);
	MUST(setns(one, CLONE_NEWNET));
	for (int round = 0; round < 100 && recv(receiver, text, sizeof text, MSG_DONTWAIT) == -1; round++)
		sleep_ms(10);
	CHECK_EQ(text[0], 'y');
	/* It's an address of the interface that it comes by. */
	CHECK_OK(write_text("/proc/sys/net/ipv4/conf/v0/rp_filter", "1"));
	MUST(setns(other, CLONE_NEWNET));
	CHECK_EQ(sendto(sender, "z", 1, 0, (void *)&to, sizeof to), 1);
	MUST(setns(one, CLONE_NEWNET));
	for (int round = 0; round < 100 && recv(receiver, text, sizeof text, MSG_DONTWAIT) == -1; round++)
		sleep_ms(10);
	CHECK_EQ(text[0], 'z');
}

/* Whether answers go out where packets come in is asked of rules as for such answers: by their type of service. */
TEST(sources_that_rules_know_of)
{
	struct fib_rule_hdr rule = {.family = AF_INET, .tos = 0x10, .action = FR_ACT_UNREACHABLE};
	struct sockaddr_in to = at("10.0.0.1", 4000);
	struct request request;
	int one, other, receiver, sender, service = 0x10, number = 100;
	char text[8] = "";

	make_pair(&one, &other);
	receiver = bound(SOCK_DGRAM, "10.0.0.1", 4000);
	begin(&request, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &rule, sizeof(rule));
	add(&request, FRA_PRIORITY, &number, sizeof(number));
	MUST(-ask(&request));
	CHECK_OK(write_text("/proc/sys/net/ipv4/conf/v0/rp_filter", "1"));
	MUST(setns(other, CLONE_NEWNET));
	sender = bound(SOCK_DGRAM, "10.0.0.2", 0);
	CHECK_EQ(sendto(sender, "a", 1, 0, (void *)&to, sizeof to), 1);
	CHECK_EQ(recv(receiver, text, sizeof text, 0), 1);
	MUST(setsockopt(sender, SOL_IP, IP_TOS, &service, sizeof(service)));
	CHECK_EQ(sendto(sender, "b", 1, 0, (void *)&to, sizeof to), 1);
	sleep_ms(300);
	CHECK_ERRNO(recv(receiver, text, sizeof text, MSG_DONTWAIT), EAGAIN);
	MUST(setns(one, CLONE_NEWNET));
	CHECK_OK(write_text("/proc/sys/net/ipv4/conf/v0/rp_filter", "0"));
	MUST(setns(other, CLONE_NEWNET));
	CHECK_EQ(sendto(sender, "c", 1, 0, (void *)&to, sizeof to), 1);
	CHECK_EQ(recv(receiver, text, sizeof text, 0), 1);
	CHECK_EQ(text[0], 'c');
}

/* Give or take the names of a list that ends with NULL; the interface is named by its index. */
static int change_names(int type, const char *interface, const char *const *names)
{
	struct ifinfomsg link = {.ifi_index = if_nametoindex(interface)};
	struct request request;
	struct rtattr *list;

	begin(&request, type, 0, &link, sizeof(link));
	list = add(&request, IFLA_PROP_LIST | NLA_F_NESTED, NULL, 0);
	for (; *names != NULL; names++)
		add(&request, IFLA_ALT_IFNAME, *names, strlen(*names) + 1);
	end_nest(&request, list);
	return ask(&request);
}

static int name_link(int type, const char *interface, const char *name)
{
	const char *names[] = {name, NULL};

	return change_names(type, interface, names);
}

TEST(attributes_of_sysfs)
{
	static const char name[] = "sys/class/net/lo/mtu";
	char bytes[64];

	enter_scratch();
	MUST(unshare(CLONE_NEWNET | CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mkdir("sys", 0700));
	MUST(mount("sysfs", "sys", "sysfs", 0, NULL));
	CHECK_ERRNO(getxattr(name, "user.a", bytes, sizeof(bytes)), ENODATA);
	CHECK_ERRNO(setxattr(name, "user.a", "x", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(removexattr(name, "user.a"), EOPNOTSUPP);
	CHECK_ERRNO(removexattr(name, "trusted.a"), ENODATA);
	CHECK_OK(setxattr(name, "trusted.a", "xyz", 3, 0));
	CHECK_EQ(getxattr(name, "trusted.a", bytes, sizeof(bytes)), 3);
	CHECK_OK(setxattr(name, "security.a", "x", 1, 0));
	CHECK_EQ(listxattr(name, bytes, sizeof(bytes)), 21);
	CHECK_ERRNO(getxattr(name, "system.posix_acl_access", bytes, sizeof(bytes)), EOPNOTSUPP);
	CHECK_OK(removexattr(name, "trusted.a"));
	CHECK_ERRNO(getxattr(name, "trusted.a", bytes, sizeof(bytes)), ENODATA);
	MUST(umount2("sys", MNT_DETACH));
}

/* What comes of writing `text` to an attribute of an interface: minus the errno, or the length. */
static int put_attribute(const char *interface, const char *name, const char *text)
{
	char path[64];
	int fd, count;

	snprintf(path, sizeof path, "sys/class/net/%s/%s", interface, name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	count = (int)write(fd, text, strlen(text));
	if (count < 0)
		count = -errno;
	close(fd);
	return count;
}

static const char *get_attribute(const char *interface, const char *name)
{
	static char shown[256];
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof path, "sys/class/net/%s/%s", interface, name);
	fd = (int)MUST(open(path, O_RDONLY));
	length = read(fd, shown, sizeof shown - 1);
	close(fd);
	shown[length < 0 ? 0 : length] = '\0';
	return length < 0 ? strerrorname_np(errno) : shown;
}

TEST(interfaces_are_changed_by_sysfs)
{
	enter_scratch();
	MUST(unshare(CLONE_NEWNET | CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mkdir("sys", 0700));
	MUST(mount("sysfs", "sys", "sysfs", 0, NULL));
	CHECK_EQ(put_attribute("lo", "mtu", "1400\n"), 5);
	CHECK_STRING(get_attribute("lo", "mtu"), "1400\n");
	CHECK_EQ(put_attribute("lo", "mtu", "1400x"), -EINVAL);
	CHECK_EQ(put_attribute("lo", "mtu", "-1"), -EINVAL);
	CHECK_EQ(put_attribute("lo", "mtu", "0"), 1);
	CHECK_EQ(put_attribute("lo", "flags", "0x1003"), 6);
	CHECK_STRING(get_attribute("lo", "flags"), "0x1009\n");
	CHECK_EQ(put_attribute("lo", "netdev_group", "99999999999"), 11);
	CHECK_STRING(get_attribute("lo", "netdev_group"), "1215752191\n");
	CHECK_EQ(put_attribute("lo", "tx_queue_len", "5"), 1);
	CHECK_STRING(get_attribute("lo", "tx_queue_len"), "5\n");
	CHECK_EQ(put_attribute("lo", "tx_queue_len", "4294967296"), -ERANGE);
	CHECK_EQ(put_attribute("lo", "proto_down", "x"), -EINVAL);
	CHECK_EQ(put_attribute("lo", "proto_down", "1"), -EOPNOTSUPP);
	CHECK_EQ(put_attribute("lo", "carrier", "x"), -EOPNOTSUPP);
	CHECK_EQ(put_attribute("lo", "threaded", "x"), -EINVAL);
	CHECK_EQ(put_attribute("lo", "threaded", "1"), -EOPNOTSUPP);
	CHECK_EQ(put_attribute("lo", "ifalias", "hello\n"), 6);
	CHECK_STRING(get_attribute("lo", "ifalias"), "hello\n");
	CHECK_EQ(put_attribute("lo", "ifalias", "\n"), 1);
	CHECK_STRING(get_attribute("lo", "ifalias"), "");
	CHECK_EQ(put_attribute("lo", "uevent", "add\n"), 4);
	CHECK_EQ(put_attribute("lo", "uevent", "adds"), -EINVAL);
	CHECK_EQ(put_attribute("lo", "uevent", "add 12345678-1234-1234-1234-123456789abc A=b"), 44);
	CHECK_EQ(put_attribute("lo", "uevent", "add 12345678-1234-1234-1234-123456789abc A"), -EINVAL);
	CHECK_STRING(get_attribute("lo", "name_assign_type"), "2\n");
	CHECK_STRING(get_attribute("lo", "speed"), "EINVAL");
	/* Who has opened one finds nothing once the interface is gone. */
	CHECK_EQ(make_veth("v0", "v1", -1), 0);
	int fd = (int)MUST(open("sys/class/net/v0/flags", O_RDWR));
	char byte;

	CHECK_EQ(delete_link("v0"), 0);
	CHECK_ERRNO(write(fd, "0x1003", 6), ENODEV);
	CHECK_ERRNO(read(fd, &byte, 1), ENODEV);
	MUST(close(fd));
	MUST(unshare(CLONE_NEWUSER));
	/* The files stay those of who is root where the network is. */
	CHECK_EQ(put_attribute("lo", "mtu", "x"), -EPERM);
	CHECK_EQ(put_attribute("lo", "ifalias", "x"), -EPERM);
}

TEST(other_names_of_interfaces)
{
	static const char *const both[] = {"a-name-that-is-longer-than-others", "short", NULL};
	static const char *const second_is_taken[] = {"third", "lo", "fourth", NULL};
	char longest[129];
	struct ifinfomsg link = {0};
	struct request request;
	unsigned index;
	int home;

	MUST(unshare(CLONE_NEWNET));
	CHECK_EQ(make_link("one", "bridge"), 0);
	CHECK_EQ(make_link("two", "bridge"), 0);
	index = if_nametoindex("one");
	CHECK_EQ(change_names(RTM_NEWLINKPROP, "one", both), 0);
	CHECK_EQ(if_nametoindex("short"), index);
	CHECK_EQ(name_link(RTM_NEWLINKPROP, "two", "short"), EEXIST);
	CHECK_EQ(name_link(RTM_NEWLINKPROP, "one", "short"), EEXIST);
	CHECK_EQ(name_link(RTM_NEWLINKPROP, "one", "one"), EEXIST);
	CHECK_EQ(make_link("short", "bridge"), EEXIST);
	CHECK_EQ(change_names(RTM_NEWLINKPROP, "two", second_is_taken), EEXIST);
	CHECK_EQ(if_nametoindex("third"), if_nametoindex("two"));
	CHECK_EQ(if_nametoindex("fourth"), 0);
	CHECK_EQ(name_link(RTM_DELLINKPROP, "one", "third"), EINVAL);
	CHECK_EQ(name_link(RTM_DELLINKPROP, "one", "one"), EINVAL);
	CHECK_EQ(name_link(RTM_DELLINKPROP, "one", "nobody"), ENOENT);
	memset(longest, 'n', sizeof(longest));
	longest[128] = '\0';
	CHECK_EQ(name_link(RTM_NEWLINKPROP, "one", longest), ERANGE);
	longest[127] = '\0';
	CHECK_EQ(name_link(RTM_NEWLINKPROP, "one", longest), 0);
	begin(&request, RTM_DELLINK, 0, &link, sizeof(link));
	add(&request, IFLA_ALT_IFNAME, longest, strlen(longest) + 1);
	CHECK_EQ(ask(&request), 0);
	CHECK_EQ(if_nametoindex("one"), 0);
	CHECK_EQ(if_nametoindex("short"), 0);
	begin(&request, RTM_NEWLINKPROP, 0, &link, sizeof(link));
	CHECK_EQ(ask(&request), EINVAL);
	/* A list has to say that it's one. */
	link.ifi_index = (int)if_nametoindex("two");
	begin(&request, RTM_NEWLINKPROP, 0, &link, sizeof(link));
	add(&request, IFLA_PROP_LIST, NULL, 0);
	CHECK_EQ(ask(&request), EINVAL);
	/* It takes its names along, if nobody there has one of them. */
	CHECK_EQ(make_veth("left", "right", -1), 0);
	CHECK_EQ(name_link(RTM_NEWLINKPROP, "left", "moved"), 0);
	home = (int)MUST(open("/proc/self/ns/net", O_RDONLY));
	MUST(unshare(CLONE_NEWNET));
	CHECK_EQ(make_link("moved", "bridge"), 0);
	index = (unsigned)MUST(open("/proc/self/ns/net", O_RDONLY));
	MUST(setns(home, CLONE_NEWNET));
	CHECK_EQ(set_link("left", 0, 0, IFLA_NET_NS_FD, index), EEXIST);
	CHECK_EQ(name_link(RTM_DELLINKPROP, "left", "moved"), 0);
	CHECK_EQ(name_link(RTM_NEWLINKPROP, "left", "other"), 0);
	CHECK_EQ(set_link("left", 0, 0, IFLA_NET_NS_FD, index), 0);
	CHECK_EQ(if_nametoindex("other"), 0);
	MUST(setns((int)index, CLONE_NEWNET));
	CHECK_EQ(if_nametoindex("other"), if_nametoindex("left"));
}

/* What a program says of where an address is, is believed for a while: the frame goes there. */
TEST(a_frame_goes_where_a_program_says_that_an_address_is)
{
	int one, other, heard, sender;
	struct sockaddr_in address = at("10.0.0.9", 68);
	struct sockaddr_ll wire = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	struct arpreq told = {.arp_flags = ATF_COM, .arp_dev = "v0"};
	struct ifreq request = {.ifr_name = "v1"};
	struct iphdr packet[4];

	make_pair(&one, &other);
	MUST(setns(other, CLONE_NEWNET));
	wire.sll_ifindex = (int)if_nametoindex("v1");
	heard = MUST(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP)));
	MUST(bind(heard, (void *)&wire, sizeof(wire)));
	MUST(ioctl(heard, SIOCGIFHWADDR, &request));
	MUST(setns(one, CLONE_NEWNET));
	sender = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	memcpy(&told.arp_pa, &address, sizeof(address));
	told.arp_ha = request.ifr_hwaddr;
	MUST(ioctl(sender, SIOCSARP, &told));
	CHECK_EQ(sendto(sender, "offer", 5, 0, (void *)&address, sizeof(address)), 5);
	do
		CHECK_EQ(recv(heard, packet, sizeof(packet), 0), 33);
	while (packet->daddr != address.sin_addr.s_addr);
	CHECK_EQ(packet->protocol, IPPROTO_UDP);
	MUST(ioctl(sender, SIOCGARP, &told));
	CHECK_EQ(told.arp_flags, ATF_COM);
}
