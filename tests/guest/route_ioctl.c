/* Routes and neighbours that are added and removed by ioctl(2), as route(8) and arp(8) do. */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/tcp.h>

static int control;

static struct sockaddr of(const char *address)
{
	struct sockaddr_in found = {.sin_family = AF_INET};
	struct sockaddr bytes;

	inet_pton(AF_INET, address, &found.sin_addr);
	memcpy(&bytes, &found, sizeof(bytes));
	return bytes;
}

static int route(unsigned long request, const char *target, const char *mask, const char *gateway, int flags, char *device)
{
	struct rtentry entry = {.rt_dst = of(target), .rt_flags = (unsigned short)flags, .rt_dev = device};

	if (mask != NULL)
		entry.rt_genmask = of(mask);
	if (gateway != NULL)
		entry.rt_gateway = of(gateway);
	return ERRNO_OF(ioctl(control, request, &entry));
}

/* A tap with the address 10.0.0.1/24. */
static void make_interface(void)
{
	struct ifreq request = {.ifr_name = "d0", .ifr_flags = IFF_TAP};

	MUST(ioctl((int)MUST(open("/dev/net/tun", O_RDWR)), TUNSETIFF, &request));
	control = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	request.ifr_addr = of("10.0.0.1");
	MUST(ioctl(control, SIOCSIFADDR, &request));
	request.ifr_netmask = of("255.255.255.0");
	MUST(ioctl(control, SIOCSIFNETMASK, &request));
	request.ifr_flags = IFF_UP;
	MUST(ioctl(control, SIOCSIFFLAGS, &request));
}

/* Whether /proc/net/route has such a line. */
static int has_route(const char *begins)
{
	char line[256];
	FILE *list = fopen("/proc/thread-self/net/route", "re");
	int is_found = 0;

	MUST(list == NULL ? -1 : 0);
	while (fgets(line, sizeof(line), list) != NULL)
		is_found |= strncmp(line, begins, strlen(begins)) == 0;
	fclose(list);
	return is_found;
}

ROOTS_TEST(adding_and_removing)
{
	enter();
	make_interface();
	CHECK_EQ(route(SIOCADDRT, "192.168.5.0", "255.255.255.0", NULL, RTF_UP, "d0"), 0);
	CHECK(has_route("d0\t0005A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF"));
	CHECK_EQ(route(SIOCADDRT, "192.168.5.0", "255.255.255.0", NULL, RTF_UP, "d0"), EEXIST);
	CHECK_EQ(route(SIOCADDRT, "192.168.6.0", "255.255.255.0", "10.0.0.9", RTF_UP | RTF_GATEWAY, NULL), 0);
	CHECK(has_route("d0\t0006A8C0\t0900000A\t0003"));
	CHECK_EQ(route(SIOCADDRT, "0.0.0.0", "0.0.0.0", "10.0.0.9", RTF_UP | RTF_GATEWAY, NULL), 0);
	CHECK_EQ(route(SIOCADDRT, "192.168.7.7", NULL, NULL, RTF_UP | RTF_HOST, "d0"), 0);
	CHECK_EQ(route(SIOCADDRT, "192.168.8.7", NULL, NULL, RTF_UP | RTF_HOST | RTF_REJECT, NULL), 0);
	CHECK_EQ(route(SIOCDELRT, "192.168.5.0", "255.255.255.0", NULL, 0, NULL), 0);
	CHECK_EQ(route(SIOCDELRT, "192.168.5.0", "255.255.255.0", NULL, 0, NULL), ESRCH);
	CHECK_EQ(route(SIOCDELRT, "192.168.6.0", "255.255.255.0", "10.0.0.8", RTF_GATEWAY, NULL), ESRCH);
	CHECK_EQ(route(SIOCDELRT, "192.168.6.0", "255.255.255.0", NULL, 0, "lo"), ESRCH);
	CHECK_EQ(route(SIOCDELRT, "192.168.6.0", "255.255.255.0", "10.0.0.9", RTF_GATEWAY, "d0"), 0);
	CHECK_EQ(route(SIOCDELRT, "192.168.8.7", NULL, NULL, RTF_HOST | RTF_REJECT, NULL), 0);
	CHECK(!has_route("d0\t0006A8C0"));
}

ROOTS_TEST(what_is_no_route)
{
	struct rtentry entry = {.rt_flags = RTF_UP};

	enter();
	make_interface();
	CHECK_EQ(route(SIOCADDRT, "192.168.9.0", "255.255.255.0", "1.2.3.4", RTF_UP | RTF_GATEWAY, NULL), ENETUNREACH);
	CHECK_EQ(route(SIOCADDRT, "192.168.9.0", "255.255.255.0", NULL, RTF_UP | RTF_GATEWAY, "d0"), EINVAL);
	CHECK_EQ(route(SIOCADDRT, "192.168.9.0", "255.255.255.0", NULL, RTF_UP, "none"), ENODEV);
	CHECK_EQ(route(SIOCADDRT, "192.168.9.0", "255.255.255.0", NULL, RTF_UP, "d0:1"), ENODEV);
	CHECK_EQ(route(SIOCADDRT, "192.168.9.0", "255.255.255.0", NULL, RTF_UP, NULL), ENODEV);
	CHECK_EQ(route(SIOCADDRT, "192.168.9.1", "255.255.255.0", NULL, RTF_UP, "d0"), EINVAL);
	CHECK_EQ(route(SIOCADDRT, "192.168.0.0", "255.0.255.0", NULL, RTF_UP, "d0"), EINVAL);
	CHECK_ERRNO(ioctl(control, SIOCADDRT, &entry), EAFNOSUPPORT);
	CHECK_ERRNO(ioctl(control, SIOCADDRT, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl((int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), SIOCADDRT, &entry), ENOTTY);
	CHECK_ERRNO(ioctl((int)MUST(socket(AF_PACKET, SOCK_RAW, 0)), SIOCADDRT, &entry), EAFNOSUPPORT);
	drop_root();
	CHECK_ERRNO(ioctl(control, SIOCADDRT, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(control, SIOCADDRT, &entry), EPERM);
}

ROOTS_TEST(routes_of_ipv6)
{
	struct in6_rtmsg entry = {.rtmsg_dst_len = 48, .rtmsg_metric = 7, .rtmsg_flags = RTF_UP};
	int six;

	enter();
	make_interface();
	six = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	inet_pton(AF_INET6, "2001:db8:1::", &entry.rtmsg_dst);
	entry.rtmsg_ifindex = (int)if_nametoindex("d0");
	CHECK_OK(ioctl(six, SIOCADDRT, &entry));
	CHECK_ERRNO(ioctl(six, SIOCADDRT, &entry), EEXIST);
	entry.rtmsg_metric = 0;
	CHECK_OK(ioctl(six, SIOCDELRT, &entry));
	CHECK_ERRNO(ioctl(six, SIOCDELRT, &entry), ESRCH);
	entry.rtmsg_ifindex = 77;
	CHECK_ERRNO(ioctl(six, SIOCADDRT, &entry), ENODEV);
	entry.rtmsg_dst_len = 129;
	CHECK_ERRNO(ioctl(six, SIOCADDRT, &entry), EINVAL);
	CHECK_ERRNO(ioctl(six, SIOCDELRT, &entry), ESRCH);
	/* What was learnt of ways can't be told, and goes whether there is any. */
	entry = (struct in6_rtmsg){.rtmsg_dst_len = 64, .rtmsg_flags = RTF_UP | RTF_CACHE, .rtmsg_ifindex = 1};
	CHECK_ERRNO(ioctl(six, SIOCADDRT, &entry), EINVAL);
	CHECK_OK(ioctl(six, SIOCDELRT, &entry));
	entry.rtmsg_dst_len = 65535;
	CHECK_OK(ioctl(six, SIOCDELRT, &entry));
	CHECK_ERRNO(ioctl(six, SIOCADDRT, bad_address()), EFAULT);
}

static struct arpreq told;

/* A request about who has an address, which at first has the hardware address 2:1:2:3:4:5. */
static int neighbour(unsigned long request, const char *address, int flags, const char *device, int type)
{
	told = (struct arpreq){.arp_pa = of(address), .arp_flags = flags, .arp_ha = {.sa_family = (unsigned short)type, .sa_data = {2, 1, 2, 3, 4, 5}}};
	strcpy(told.arp_dev, device);
	return ERRNO_OF(ioctl(control, request, &told));
}

ROOTS_TEST(addresses_by_their_class)
{
	static const struct {
		const char *address, *mask;
	} classes[] = {{"9.1.1.1", "255.0.0.0"}, {"140.1.1.1", "255.255.0.0"}, {"200.1.1.1", "255.255.255.0"},
		       {"250.1.1.1", "255.255.255.255"}};
	struct ifreq request = {.ifr_name = "lo:1"};
	struct sockaddr_in told;

	enter();
	control = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	for (size_t at = 0; at < sizeof(classes) / sizeof(classes[0]); at++) {
		request.ifr_addr = of(classes[at].address);
		CHECK_EQ(ioctl(control, SIOCSIFADDR, &request), 0);
		CHECK_EQ(ioctl(control, SIOCGIFNETMASK, &request), 0);
		memcpy(&told, &request.ifr_addr, sizeof(told));
		CHECK_STRING(inet_ntoa(told.sin_addr), classes[at].mask);
	}
	request.ifr_addr = of("224.1.1.1");
	CHECK_ERRNO(ioctl(control, SIOCSIFADDR, &request), EINVAL);
	/* Behind a name stays what was there. */
	memset(&request, 'x', sizeof(request));
	request.ifr_ifindex = 1;
	CHECK_EQ(ioctl(control, SIOCGIFNAME, &request), 0);
	CHECK_EQ(memcmp(request.ifr_name, "lo\0xxxxxxxxxxxx", IFNAMSIZ), 0);
}

static int connected_to(const char *address)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), result;
	struct sockaddr target = of(address);

	((struct sockaddr_in *)&target)->sin_port = htons(7001);
	result = ERRNO_OF(connect(fd, &target, sizeof(target)));
	close(fd);
	return result;
}

/* What a stream sends while it has no way waits, and so does its end. */
ROOTS_TEST(stream_without_a_way)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_mtu = 60};
	struct sockaddr name = of("127.0.0.1");
	socklen_t length = sizeof(name);
	char bytes[200];
	int listener, client, server, number;

	enter();
	control = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(listener, &name, sizeof(name)));
	MUST(listen(listener, 1));
	MUST(getsockname(listener, &name, &length));
	client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(client, &name, sizeof(name)));
	server = (int)MUST(accept(listener, NULL, NULL));
	MUST(ioctl(control, SIOCSIFMTU, &request));
	memset(bytes, 'x', sizeof(bytes));
	CHECK_EQ(send(client, bytes, 40, 0), 40);
	CHECK_EQ(send(client, bytes, 100, MSG_DONTWAIT), 100);
	CHECK_EQ(send(server, bytes, 7, 0), 7);
	CHECK_EQ(ioctl(client, SIOCOUTQ, &number), 0);
	CHECK_EQ(number, 140);
	CHECK_EQ(getsockopt(client, SOL_TCP, TCP_MAXSEG, &number, &length), 0);
	CHECK_EQ(number, 36);
	CHECK_EQ(shutdown(client, SHUT_WR), 0);
	CHECK_ERRNO(recv(server, bytes, sizeof(bytes), MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(recv(client, bytes, sizeof(bytes), MSG_DONTWAIT), EAGAIN);
	request.ifr_mtu = 1500;
	MUST(ioctl(control, SIOCSIFMTU, &request));
	request.ifr_flags = 0;
	MUST(ioctl(control, SIOCSIFFLAGS, &request));
	request.ifr_flags = IFF_UP;
	MUST(ioctl(control, SIOCSIFFLAGS, &request));
	CHECK_EQ(recv(server, bytes, sizeof(bytes), MSG_WAITALL), 140);
	CHECK_EQ(recv(client, bytes, 7, MSG_WAITALL), 7);
	CHECK_EQ(recv(server, bytes, sizeof(bytes), 0), 0);
}

ROOTS_TEST(too_small_for_a_protocol)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_mtu = 67};

	enter();
	control = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_EQ(connected_to("127.0.0.1"), 0);
	CHECK_EQ(ioctl(control, SIOCSIFMTU, &request), 0);
	CHECK_EQ(connected_to("127.0.0.1"), ENETUNREACH);
	request.ifr_mtu = 1500;
	CHECK_EQ(ioctl(control, SIOCSIFMTU, &request), 0);
	CHECK_EQ(connected_to("127.0.0.1"), ENETUNREACH);
	request.ifr_flags = 0;
	CHECK_EQ(ioctl(control, SIOCSIFFLAGS, &request), 0);
	request.ifr_flags = IFF_UP;
	CHECK_EQ(ioctl(control, SIOCSIFFLAGS, &request), 0);
	CHECK_EQ(connected_to("127.0.0.1"), 0);
	request.ifr_qlen = -1;
	CHECK_ERRNO(ioctl(control, SIOCSIFTXQLEN, &request), EINVAL);
}

ROOTS_TEST(neighbours)
{
	enter();
	make_interface();
	CHECK_EQ(neighbour(SIOCSARP, "10.0.0.2", ATF_COM, "", ARPHRD_ETHER), 0);
	CHECK_EQ(neighbour(SIOCSARP, "10.0.0.3", ATF_PERM, "d0", 0), 0);
	memset(&told.arp_ha, 0, sizeof(told.arp_ha));
	CHECK_EQ(neighbour(SIOCGARP, "10.0.0.3", 0, "d0", 0), 0);
	CHECK_EQ(told.arp_flags, ATF_COM | ATF_PERM);
	CHECK_EQ(told.arp_ha.sa_family, ARPHRD_ETHER);
	CHECK_EQ(memcmp(told.arp_ha.sa_data, "\2\1\2\3\4\5", 6), 0);
	CHECK_STRING(told.arp_dev, "d0");
	CHECK_EQ(neighbour(SIOCGARP, "10.0.0.2", 0, "d0", 0), 0);
	CHECK_EQ(told.arp_flags, ATF_COM);
	CHECK_EQ(neighbour(SIOCGARP, "10.0.0.2", 0, "", 0), ENODEV);
	CHECK_EQ(neighbour(SIOCGARP, "10.0.0.9", 0, "d0", 0), ENXIO);
	CHECK_EQ(neighbour(SIOCGARP, "10.0.0.2", ATF_NETMASK, "d0", 0), EINVAL);
	CHECK_EQ(neighbour(SIOCSARP, "10.0.0.4", 0, "d0", 0), EINVAL);
	CHECK_EQ(neighbour(SIOCSARP, "10.0.0.4", ATF_COM, "d0", ARPHRD_LOOPBACK), EINVAL);
	CHECK_EQ(neighbour(SIOCSARP, "10.0.0.4", ATF_COM | ATF_DONTPUB, "d0", 0), EINVAL);
	CHECK_EQ(neighbour(SIOCSARP, "10.0.0.4", ATF_COM, "nothing9", 0), ENODEV);
	CHECK_EQ(neighbour(SIOCSARP, "10.0.0.1", ATF_COM, "", ARPHRD_ETHER), EINVAL);
	CHECK_EQ(neighbour(SIOCSARP, "192.168.9.9", ATF_COM, "", 0), ENETUNREACH);
	CHECK_EQ(neighbour(SIOCDARP, "10.0.0.3", 0, "", 0), 0);
	CHECK_EQ(neighbour(SIOCDARP, "10.0.0.3", 0, "d0", 0), ENXIO);
	CHECK_EQ(neighbour(SIOCDARP, "10.0.0.3", ATF_PUBL, "d0", 0), ENOENT);
	told.arp_pa.sa_family = AF_INET6;
	CHECK_ERRNO(ioctl(control, SIOCGARP, &told), EPFNOSUPPORT);
	CHECK_ERRNO(ioctl(control, SIOCSARP, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl((int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), SIOCGARP, &told), ENOTTY);
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(ioctl(control, SIOCSARP, bad_address()), EPERM);
	CHECK_EQ(neighbour(SIOCGARP, "10.0.0.2", 0, "d0", 0), 0);
	CHECK_EQ(neighbour(SIOCDARP, "10.0.0.2", 0, "d0", 0), EPERM);
}
