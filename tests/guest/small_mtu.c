/* What an interface is that's too small for a protocol, as Linux has it (net/ipv4/devinet.c, inetdev_event). */
#include "own_network.h"

#include <linux/sockios.h>
#include <net/route.h>
#include <stdio.h>

static struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_port = 0x901f, .sin_addr = {0x0100007f}};

static int resize(int bytes)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_mtu = bytes};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	int result = ioctl(fd, SIOCSIFMTU, &request);

	close(fd);
	return result;
}

static int give_address(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	int result;

	memcpy(&request.ifr_addr, &loopback, sizeof(loopback));
	result = ioctl(fd, SIOCSIFADDR, &request);
	close(fd);
	return result;
}

static int reach(void)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	int result = connect(fd, (struct sockaddr *)&loopback, sizeof(loopback));

	close(fd);
	return result;
}

static int add_route(void)
{
	struct rtentry route = {.rt_flags = RTF_UP, .rt_dev = (char[]){"lo"}};
	struct sockaddr_in target = {.sin_family = AF_INET, .sin_addr = {0x0000000a}};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	int result;

	memcpy(&route.rt_dst, &target, sizeof(target));
	target.sin_addr.s_addr = 0x00ffffff;
	memcpy(&route.rt_genmask, &target, sizeof(target));
	result = ioctl(fd, SIOCADDRT, &route);
	close(fd);
	return result;
}

static int join(void)
{
	struct ip_mreqn wanted = {.imr_multiaddr = {0x050000e0}, .imr_ifindex = 1};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	int result = setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &wanted, sizeof(wanted));

	close(fd);
	return result;
}

static int lines_of(const char *path)
{
	FILE *file = fopen(path, "re");
	char line[256];
	int count = 0;

	while (fgets(line, sizeof(line), file) != NULL)
		count++;
	fclose(file);
	return count;
}

ROOTS_TEST(below_68_bytes_there_is_no_ipv4)
{
	enter();
	CHECK_OK(resize(68));
	CHECK_OK(reach());
	CHECK_OK(add_route());
	CHECK_OK(resize(67));
	CHECK_ERRNO(reach(), ENETUNREACH);
	CHECK_ERRNO(give_address(), ENOBUFS);
	CHECK_ERRNO(add_route(), ENODEV);
	CHECK_ERRNO(join(), ENODEV);
	CHECK_EQ(lines_of("/proc/self/net/route"), 1);
	CHECK_ERRNO(access("/proc/sys/net/ipv4/conf/lo", F_OK), ENOENT);
	CHECK_OK(resize(68));
	CHECK_OK(access("/proc/sys/net/ipv4/conf/lo", F_OK));
	CHECK_ERRNO(reach(), ENETUNREACH);
	CHECK_OK(join());
	CHECK_OK(give_address());
	CHECK_OK(reach());
}

/* What connect(2) answers of a socket to an address of this machine, perhaps one that is bound to the interface. */
static int error_of(int type, in_addr_t address, int is_bound)
{
	struct sockaddr_in target = loopback;
	int fd = (int)MUST(socket(AF_INET, type | SOCK_NONBLOCK, 0));
	int error;

	target.sin_addr.s_addr = address;
	if (is_bound)
		MUST(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	error = connect(fd, (struct sockaddr *)&target, sizeof(target)) == 0 ? 0 : errno;
	close(fd);
	return error;
}

ROOTS_TEST(where_the_loopback_has_no_ipv4_this_machine_is_not_reached)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
	struct sockaddr_in nobody = loopback;
	int fd;

	enter();
	CHECK_OK(resize(67));
	for (size_t at = 0; at < LENGTH(types); at++) {
		CHECK_EQ(error_of(types[at], INADDR_ANY, 0), EINVAL);
		CHECK_EQ(error_of(types[at], INADDR_ANY, 1), ENETUNREACH);
		CHECK_EQ(error_of(types[at], loopback.sin_addr.s_addr, 0), ENETUNREACH);
		CHECK_EQ(error_of(types[at], loopback.sin_addr.s_addr, 1), ENETUNREACH);
	}
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	nobody.sin_addr.s_addr = INADDR_ANY;
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (struct sockaddr *)&nobody, sizeof(nobody)), EINVAL);
	close(fd);
}

ROOTS_TEST(below_1280_bytes_the_loopback_has_no_address_of_ipv6)
{
	enter();
	CHECK_EQ(lines_of("/proc/self/net/if_inet6"), 1);
	CHECK_OK(resize(1279));
	CHECK_EQ(lines_of("/proc/self/net/if_inet6"), 0);
	CHECK_OK(access("/proc/sys/net/ipv6/conf/lo", F_OK));
	CHECK_OK(reach());
	CHECK_OK(resize(1280));
	CHECK_EQ(lines_of("/proc/self/net/if_inet6"), 0);
}

ROOTS_TEST(the_name_of_an_interface_is_written_to_its_end)
{
	int fd = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
	struct ifreq request = {.ifr_name = "lo:12345678", .ifr_ifindex = 1};

	CHECK_OK(ioctl(fd, SIOCGIFNAME, &request));
	CHECK(memcmp(request.ifr_name, "lo\00012345678", 12) == 0);
	close(fd);
}

ROOTS_TEST(a_bridge_that_was_looked_for_in_vain_has_settings_once_it_is_there)
{
	const char *path = "/proc/sys/net/ipv4/conf/bridge";
	int fd;

	enter();
	fd = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
	CHECK_ERRNO(access(path, F_OK), ENOENT);
	CHECK_OK(ioctl(fd, SIOCBRADDBR, "bridge"));
	CHECK_OK(access(path, F_OK));
	CHECK_OK(ioctl(fd, SIOCBRDELBR, "bridge"));
	CHECK_ERRNO(access(path, F_OK), ENOENT);
	close(fd);
}

ROOTS_TEST(a_negative_length_of_the_queue_is_refused)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_qlen = -1};
	int fd;

	enter();
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	CHECK_ERRNO(ioctl(fd, SIOCSIFTXQLEN, &request), EINVAL);
	close(fd);
}
