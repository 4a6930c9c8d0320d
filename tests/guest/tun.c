/* Interfaces whose other end is a program: /dev/net/tun, tun and tap (Linux: drivers/net/tun.c). */
#include "check.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

static unsigned char packet[4096];

static void enter(void)
{
	MUST(unshare(CLONE_NEWNET));
}

static int open_tun(void)
{
	return open("/dev/net/tun", O_RDWR | O_NONBLOCK);
}

/* TUNSETIFF; `name` may be NULL, or has room for IFNAMSIZ bytes where the name is put that was given. */
static int attach(int fd, char *name, int flags)
{
	struct ifreq request = {.ifr_flags = flags};
	int result;

	if (name)
		strncpy(request.ifr_name, name, IFNAMSIZ);
	result = ioctl(fd, TUNSETIFF, &request);
	if (name && result == 0)
		memcpy(name, request.ifr_name, IFNAMSIZ);
	return result;
}

static int interface_flags(const char *name, int *flags)
{
	struct ifreq request = {0};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), result;

	strcpy(request.ifr_name, name);
	result = ioctl(fd, SIOCGIFFLAGS, &request);
	close(fd);
	if (flags)
		*flags = (unsigned short)request.ifr_flags;
	return result;
}

/* Whether the interface runs, once it is as wanted, or a while after that: it's told late. */
static int running(const char *name, int wanted)
{
	int flags = 0;

	for (int times = 0; times < 100; times++) {
		MUST(interface_flags(name, &flags));
		if (!(flags & IFF_RUNNING) == !wanted)
			break;
		usleep(30000);
	}
	return (flags & IFF_RUNNING) != 0;
}

static void bring_up(const char *name, const char *address)
{
	struct ifreq request = {0};
	struct sockaddr_in own = {.sin_family = AF_INET};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), file;
	char path[100];

	/* IPv6 would have packets of its own to send. */
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	file = open(path, O_WRONLY);
	if (file != -1) {
		write_all(file, "1", 1);
		close(file);
	}
	strcpy(request.ifr_name, name);
	own.sin_addr.s_addr = inet_addr(address);
	memcpy(&request.ifr_addr, &own, sizeof(own));
	MUST(ioctl(fd, SIOCSIFADDR, &request));
	own.sin_addr.s_addr = inet_addr("255.255.255.0");
	memcpy(&request.ifr_addr, &own, sizeof(own));
	MUST(ioctl(fd, SIOCSIFNETMASK, &request));
	request.ifr_flags = IFF_UP;
	MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
}

/* A tun or tap that is up, as 10.1.1.1/24. */
static int new_device(int flags)
{
	char name[IFNAMSIZ] = "t0";
	int fd = MUST(open_tun());

	MUST(attach(fd, name, flags));
	bring_up("t0", "10.1.1.1");
	return fd;
}

static int events_of(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN | POLLOUT};

	MUST(poll(&poller, 1, 0));
	return poller.revents;
}

/* The next packet, but those of IPv6: its length, or -errno. */
static int next(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	ssize_t length;

	poll(&poller, 1, 500);
	length = read(fd, packet, sizeof(packet));
	return length == -1 ? -errno : (int)length;
}

static unsigned short sum_of(const void *data, size_t length)
{
	const unsigned char *bytes = data;
	unsigned long sum = 0;

	for (size_t at = 0; at + 1 < length; at += 2)
		sum += (unsigned long)bytes[at] << 8 | bytes[at + 1];
	if (length & 1)
		sum += (unsigned long)bytes[length - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned short)~sum;
}

static size_t header(unsigned char *into, const char *from, const char *to, int protocol, size_t length)
{
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = protocol};

	ip.tot_len = htons(sizeof(ip) + length);
	ip.saddr = inet_addr(from);
	ip.daddr = inet_addr(to);
	ip.check = htons(sum_of(&ip, sizeof(ip)));
	memcpy(into, &ip, sizeof(ip));
	return sizeof(ip);
}

static size_t datagram(unsigned char *into, const char *from, const char *to, int port, const char *text)
{
	struct udphdr udp = {.source = htons(7), .dest = htons(port), .len = htons(sizeof(udp) + strlen(text))};
	size_t length = header(into, from, to, IPPROTO_UDP, sizeof(udp) + strlen(text));

	memcpy(into + length, &udp, sizeof(udp));
	memcpy(into + length + sizeof(udp), text, strlen(text));
	return length + sizeof(udp) + strlen(text);
}

static size_t echo_request(unsigned char *into, const char *from, const char *to)
{
	struct icmphdr icmp = {.type = ICMP_ECHO};
	size_t length = header(into, from, to, IPPROTO_ICMP, sizeof(icmp));

	icmp.un.echo.id = htons(77);
	icmp.checksum = htons(sum_of(&icmp, sizeof(icmp)));
	memcpy(into + length, &icmp, sizeof(icmp));
	return length + sizeof(icmp);
}

/* Puts a segment of TCP without data behind the header in `into`, with its checksum. */
static void seal(unsigned char *into, struct tcphdr *tcp)
{
	unsigned char whole[32] = {0};

	memcpy(whole, into + 12, 8);
	whole[9] = IPPROTO_TCP;
	whole[11] = sizeof(*tcp);
	tcp->check = 0;
	memcpy(whole + 12, tcp, sizeof(*tcp));
	tcp->check = htons(sum_of(whole, sizeof(whole)));
	memcpy(into + 20, tcp, sizeof(*tcp));
}

static int say(const char *to, int port, const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), result;

	address.sin_addr.s_addr = inet_addr(to);
	result = (int)sendto(fd, text, strlen(text), 0, (void *)&address, sizeof(address));
	close(fd);
	return result;
}

static int server(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));

	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

TEST(the_device)
{
	struct stat status;
	unsigned int features;
	int fd, number = 1;

	enter();
	MUST(stat("/dev/net/tun", &status));
	CHECK(S_ISCHR(status.st_mode));
	CHECK_EQ(major(status.st_rdev), 10);
	CHECK_EQ(minor(status.st_rdev), 200);
	fd = CHECK_OK(open_tun());
	CHECK_OK(ioctl(fd, TUNGETFEATURES, &features));
	CHECK_EQ(features & (IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR | IFF_MULTI_QUEUE),
		 IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR | IFF_MULTI_QUEUE);
	CHECK_ERRNO(ioctl(fd, TUNGETFEATURES, bad_address()), EFAULT);
	/* Nothing is attached yet. */
	CHECK_ERRNO(read(fd, packet, 100), EBADFD);
	CHECK_ERRNO(write(fd, packet, 100), EBADFD);
	CHECK_ERRNO(ioctl(fd, TUNSETPERSIST, 1), EBADFD);
	CHECK_ERRNO(ioctl(fd, TUNSETOWNER, 1), EBADFD);
	CHECK_ERRNO(ioctl(fd, TUNGETIFF, packet), EBADFD);
	CHECK_ERRNO(ioctl(fd, TUNGETSNDBUF, &number), EBADFD);
	CHECK_ERRNO(ioctl(fd, 0x5499, &number), EBADFD);
	CHECK_EQ(events_of(fd), POLLERR);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), ESPIPE);
	CHECK_OK(ioctl(fd, FIOASYNC, &number));
	CHECK_OK(ioctl(fd, SIOCGSKNS, 0));
	CHECK_ERRNO(ioctl(fd, SIOCGIFHWADDR, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(fd, SIOCGIFHWADDR, packet), EBADFD);
}

TEST(attaching)
{
	struct ifreq request = {0};
	char name[IFNAMSIZ] = "";
	int fd, other, flags;

	enter();
	fd = MUST(open_tun());
	CHECK_ERRNO(ioctl(fd, TUNSETIFF, bad_address()), EFAULT);
	CHECK_ERRNO(attach(fd, NULL, IFF_NO_PI), EINVAL);
	CHECK_ERRNO(attach(fd, (char[IFNAMSIZ]){"a/b"}, IFF_TUN), EINVAL);
	CHECK_ERRNO(attach(fd, (char[IFNAMSIZ]){"lo"}, IFF_TUN), EINVAL);
	CHECK_OK(attach(fd, name, IFF_TUN | IFF_NO_PI));
	CHECK_EQ(strcmp(name, "tun0"), 0);
	CHECK_ERRNO(attach(fd, name, IFF_TUN | IFF_NO_PI), EEXIST);
	CHECK_OK(interface_flags("tun0", &flags));
	CHECK_EQ(flags, IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST);
	CHECK_OK(ioctl(fd, TUNGETIFF, &request));
	CHECK_EQ(strcmp(request.ifr_name, "tun0"), 0);
	CHECK_EQ(request.ifr_flags & (IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE), IFF_TUN | IFF_NO_PI);
	CHECK_EQ(request.ifr_flags & IFF_PERSIST, 0);
	CHECK_ERRNO(ioctl(fd, 0x5499, &flags), EINVAL);
	/* One program has it. */
	other = MUST(open_tun());
	CHECK_ERRNO(attach(other, name, IFF_TUN | IFF_NO_PI), EBUSY);
	CHECK_ERRNO(attach(other, name, IFF_TAP), EINVAL);
	CHECK_ERRNO(attach(other, name, IFF_TUN | IFF_MULTI_QUEUE), EINVAL);
	CHECK_ERRNO(attach(other, name, IFF_TUN | IFF_TUN_EXCL), EBUSY);
	strcpy(name, "tap%d");
	CHECK_OK(attach(other, name, IFF_TAP));
	CHECK_EQ(strcmp(name, "tap0"), 0);
	CHECK_OK(interface_flags("tap0", &flags));
	CHECK_EQ(flags, IFF_BROADCAST | IFF_MULTICAST);
	/* It goes with who has made it. */
	close(fd);
	CHECK_ERRNO(interface_flags("tun0", NULL), ENODEV);
	CHECK_OK(interface_flags("tap0", NULL));
	close(other);
	CHECK_ERRNO(interface_flags("tap0", NULL), ENODEV);
}

TEST(who_may)
{
	char name[IFNAMSIZ] = "t0";
	int fd, other;

	enter();
	fd = MUST(open_tun());
	other = MUST(open_tun());
	MUST(attach(fd, name, IFF_TUN));
	CHECK_OK(ioctl(fd, TUNSETPERSIST, 1));
	CHECK_OK(ioctl(fd, TUNSETOWNER, NOBODY));
	CHECK_ERRNO(ioctl(fd, TUNSETOWNER, -1), EINVAL);
	CHECK_ERRNO(ioctl(fd, TUNSETGROUP, -1), EINVAL);
	close(fd);
	if (MUST(fork()) == 0) {
		MUST(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(attach(other, name, IFF_TUN), EPERM);
		CHECK_ERRNO(attach(other, (char[IFNAMSIZ]){"new"}, IFF_TUN), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(-1), EXITED(0));
	if (MUST(fork()) == 0) {
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_OK(attach(other, name, IFF_TUN));
		CHECK_ERRNO(attach(other, (char[IFNAMSIZ]){"new"}, IFF_TUN), EEXIST);
		_exit(0);
	}
	CHECK_EQ(wait_for(-1), EXITED(0));
	close(other);
	other = MUST(open_tun());
	MUST(attach(other, name, IFF_TUN));
	CHECK_OK(ioctl(other, TUNSETGROUP, 1000));
	close(other);
	other = MUST(open_tun());
	if (MUST(fork()) == 0) {
		MUST(setresgid(NOBODY, NOBODY, NOBODY));
		MUST(setgroups(0, NULL));
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_ERRNO(attach(other, name, IFF_TUN), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(-1), EXITED(0));
}

TEST(it_stays)
{
	struct ifreq request = {0};
	char name[IFNAMSIZ] = "t0";
	int fd, flags;

	enter();
	fd = MUST(open_tun());
	MUST(attach(fd, name, IFF_TUN | IFF_NO_PI));
	CHECK_OK(ioctl(fd, TUNSETPERSIST, 1));
	CHECK_OK(ioctl(fd, TUNGETIFF, &request));
	CHECK_EQ(request.ifr_flags & IFF_PERSIST, IFF_PERSIST);
	bring_up("t0", "10.1.1.1");
	MUST(interface_flags("t0", &flags));
	CHECK_EQ(flags & (IFF_UP | IFF_RUNNING), IFF_UP | IFF_RUNNING);
	close(fd);
	/* Nobody is at its other end. */
	CHECK_EQ(running("t0", 0), 0);
	MUST(interface_flags("t0", &flags));
	CHECK_EQ(flags & IFF_UP, IFF_UP);
	fd = MUST(open_tun());
	CHECK_OK(attach(fd, name, IFF_TUN));
	CHECK_EQ(running("t0", 1), 1);
	/* Whoever attaches says what its packets begin with. */
	MUST(say("10.1.1.2", 1000, "hello"));
	CHECK_EQ(next(fd), 37);
	CHECK_OK(ioctl(fd, TUNSETPERSIST, 0));
	close(fd);
	CHECK_ERRNO(interface_flags("t0", NULL), ENODEV);
}

TEST(packets_out)
{
	struct iphdr *ip = (void *)packet;
	struct udphdr *udp = (void *)(packet + sizeof(*ip));
	int fd;

	enter();
	fd = new_device(IFF_TUN | IFF_NO_PI);
	CHECK_EQ(events_of(fd), POLLOUT);
	CHECK_ERRNO(read(fd, packet, sizeof(packet)), EAGAIN);
	CHECK_EQ(say("10.1.1.2", 1000, "hello"), 5);
	CHECK_EQ(events_of(fd), POLLIN | POLLOUT);
	CHECK_EQ(next(fd), 33);
	CHECK_EQ(ip->version, 4);
	CHECK_EQ(ip->protocol, IPPROTO_UDP);
	CHECK_EQ(ntohs(ip->tot_len), 33);
	CHECK_EQ(ip->ttl, 64);
	CHECK_EQ(sum_of(ip, sizeof(*ip)), 0);
	CHECK_EQ(ip->saddr, inet_addr("10.1.1.1"));
	CHECK_EQ(ip->daddr, inet_addr("10.1.1.2"));
	CHECK_EQ(ntohs(udp->dest), 1000);
	CHECK_EQ(ntohs(udp->len), 13);
	CHECK(memcmp(udp + 1, "hello", 5) == 0);
	/* The rest of what isn't read is gone. */
	MUST(say("10.1.1.2", 1000, "hello"));
	MUST(say("10.1.1.3", 1000, "again"));
	CHECK_EQ(read(fd, packet, 20), 20);
	CHECK_EQ(next(fd), 33);
	CHECK_EQ(ip->daddr, inet_addr("10.1.1.3"));
	CHECK_ERRNO(read(fd, packet, sizeof(packet)), EAGAIN);
	/* Everybody in the net is there. */
	CHECK_EQ(say("10.9.9.9", 1000, "x"), -1);
}

TEST(what_packets_begin_with)
{
	struct tun_pi info;
	struct iphdr *ip = (void *)(packet + sizeof(info));
	unsigned char data[200];
	int fd, socket;
	size_t length;

	enter();
	fd = new_device(IFF_TUN);
	MUST(say("10.1.1.2", 1000, "hello"));
	CHECK_EQ(next(fd), 37);
	memcpy(&info, packet, sizeof(info));
	CHECK_EQ(info.flags, 0);
	CHECK_EQ(ntohs(info.proto), ETH_P_IP);
	CHECK_EQ(ip->daddr, inet_addr("10.1.1.2"));
	MUST(say("10.1.1.2", 1000, "hello"));
	CHECK_EQ(read(fd, packet, 10), 10);
	memcpy(&info, packet, sizeof(info));
	CHECK_EQ(info.flags, TUN_PKT_STRIP);
	MUST(say("10.1.1.2", 1000, "hello"));
	CHECK_ERRNO(read(fd, packet, 3), EINVAL);
	socket = server(2000);
	info = (struct tun_pi){.proto = htons(ETH_P_IP)};
	memcpy(data, &info, sizeof(info));
	length = sizeof(info) + datagram(data + sizeof(info), "10.1.1.2", "10.1.1.1", 2000, "in");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_EQ(recv(socket, packet, sizeof(packet), 0), 2);
	CHECK_ERRNO(write(fd, data, 3), EINVAL);
	/* What it isn't. */
	info.proto = htons(ETH_P_IPV6);
	memcpy(data, &info, sizeof(info));
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_ERRNO(recv(socket, packet, sizeof(packet), 0), EAGAIN);
}

TEST(packets_in)
{
	struct sockaddr_in from;
	struct icmphdr *icmp = (void *)(packet + sizeof(struct iphdr));
	struct iphdr *ip = (void *)packet;
	socklen_t size = sizeof(from);
	unsigned char data[200];
	int fd, socket;
	size_t length;

	enter();
	fd = new_device(IFF_TUN | IFF_NO_PI);
	socket = server(2000);
	length = datagram(data, "10.1.1.2", "10.1.1.1", 2000, "hello");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_EQ(recvfrom(socket, packet, sizeof(packet), 0, (void *)&from, &size), 5);
	CHECK(memcmp(packet, "hello", 5) == 0);
	CHECK_EQ(from.sin_addr.s_addr, inet_addr("10.1.1.2"));
	CHECK_EQ(ntohs(from.sin_port), 7);
	/* The answer comes back. */
	CHECK_EQ(sendto(socket, "to you", 6, 0, (void *)&from, size), 6);
	CHECK_EQ(next(fd), 34);
	CHECK_EQ(ip->daddr, inet_addr("10.1.1.2"));
	/* Pings are answered. */
	length = echo_request(data, "10.1.1.2", "10.1.1.1");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_EQ(next(fd), (int)length);
	CHECK_EQ(ip->protocol, IPPROTO_ICMP);
	CHECK_EQ(icmp->type, ICMP_ECHOREPLY);
	CHECK_EQ(icmp->un.echo.id, htons(77));
	/* Nobody is at that port. */
	length = datagram(data, "10.1.1.2", "10.1.1.1", 2001, "hello");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_EQ(next(fd), 20 + 8 + (int)length);
	CHECK_EQ(icmp->type, ICMP_DEST_UNREACH);
	CHECK_EQ(icmp->code, ICMP_PORT_UNREACH);
	/* No packet of IP. */
	data[0] = 0x55;
	CHECK_ERRNO(write(fd, data, length), EINVAL);
	CHECK_ERRNO(write(fd, data, 0), EINVAL);
	data[0] = 0x45;
	CHECK_EQ(write(fd, data, 10), 10);
	CHECK_ERRNO(read(fd, packet, sizeof(packet)), EAGAIN);
}

TEST(errors_come_back)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1000)};
	struct icmphdr icmp = {.type = ICMP_DEST_UNREACH, .code = ICMP_PORT_UNREACH};
	unsigned char data[200];
	int fd, socket_fd;
	size_t length;

	enter();
	fd = new_device(IFF_TUN | IFF_NO_PI);
	socket_fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	address.sin_addr.s_addr = inet_addr("10.1.1.2");
	MUST(connect(socket_fd, (void *)&address, sizeof(address)));
	MUST(send(socket_fd, "x", 1, 0));
	CHECK_EQ(next(fd), 29);
	length = header(data, "10.1.1.2", "10.1.1.1", IPPROTO_ICMP, sizeof(icmp) + 29);
	memcpy(data + length + sizeof(icmp), packet, 29);
	memcpy(data + length, &icmp, sizeof(icmp));
	icmp.checksum = htons(sum_of(data + length, sizeof(icmp) + 29));
	memcpy(data + length, &icmp, sizeof(icmp));
	length += sizeof(icmp) + 29;
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_ERRNO(send(socket_fd, "x", 1, 0), ECONNREFUSED);
}

TEST(connections_that_are_refused)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1000)};
	struct tcphdr *tcp = (void *)(packet + sizeof(struct iphdr)), answer = {.doff = 5};
	struct pollfd poller = {.events = POLLOUT};
	unsigned char data[200];
	unsigned int number;
	int fd, error = 0;
	socklen_t size = sizeof(error);
	size_t length;

	enter();
	fd = new_device(IFF_TUN | IFF_NO_PI);
	poller.fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	address.sin_addr.s_addr = inet_addr("10.1.1.2");
	CHECK_ERRNO(connect(poller.fd, (void *)&address, sizeof(address)), EINPROGRESS);
	CHECK(next(fd) >= 40);
	CHECK_EQ(packet[9], IPPROTO_TCP);
	CHECK_EQ(ntohs(tcp->dest), 1000);
	CHECK_EQ(tcp->syn, 1);
	CHECK_EQ(tcp->ack, 0);
	number = ntohl(tcp->seq);
	answer.source = tcp->dest;
	answer.dest = tcp->source;
	answer.ack_seq = htonl(number + 1);
	answer.rst = answer.ack = 1;
	length = header(data, "10.1.1.2", "10.1.1.1", IPPROTO_TCP, sizeof(answer));
	seal(data, &answer);
	CHECK_EQ(write(fd, data, length + sizeof(answer)), 40);
	CHECK_EQ(poll(&poller, 1, 1000), 1);
	MUST(getsockopt(poller.fd, SOL_SOCKET, SO_ERROR, &error, &size));
	CHECK_EQ(error, ECONNREFUSED);
	/* The other way. */
	answer = (struct tcphdr){.source = htons(7), .dest = htons(8), .seq = htonl(1000), .doff = 5, .syn = 1};
	seal(data, &answer);
	CHECK_EQ(write(fd, data, length + sizeof(answer)), 40);
	CHECK_EQ(next(fd), 40);
	CHECK_EQ(tcp->rst, 1);
	CHECK_EQ(tcp->ack, 1);
	CHECK_EQ(ntohl(tcp->ack_seq), 1001);
	CHECK_EQ(ntohs(tcp->source), 8);
}

TEST(an_interface_that_is_down)
{
	char name[IFNAMSIZ] = "t0";
	unsigned char data[200];
	int fd;
	size_t length;

	enter();
	fd = MUST(open_tun());
	MUST(attach(fd, name, IFF_TUN | IFF_NO_PI));
	length = datagram(data, "10.1.1.2", "10.1.1.1", 2000, "hello");
	CHECK_ERRNO(write(fd, data, length), EIO);
	CHECK_EQ(events_of(fd) & POLLIN, 0);
}

TEST(between_two)
{
	char name[IFNAMSIZ] = "t1";
	unsigned char data[200];
	struct iphdr *ip = (void *)packet;
	int fd, other, forwarding;
	size_t length;

	enter();
	fd = new_device(IFF_TUN | IFF_NO_PI);
	other = MUST(open_tun());
	MUST(attach(other, name, IFF_TUN | IFF_NO_PI));
	bring_up("t1", "10.1.2.1");
	length = datagram(data, "10.1.1.2", "10.1.2.2", 2000, "through");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_ERRNO(read(other, packet, sizeof(packet)), EAGAIN);
	forwarding = MUST(open("/proc/sys/net/ipv4/ip_forward", O_WRONLY));
	write_all(forwarding, "1", 1);
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_EQ(next(other), (int)length);
	CHECK_EQ(ip->ttl, 63);
	CHECK_EQ(sum_of(ip, sizeof(*ip)), 0);
	CHECK_EQ(ip->saddr, inet_addr("10.1.1.2"));
	CHECK_EQ(ip->daddr, inet_addr("10.1.2.2"));
	/* Too far. */
	((struct iphdr *)data)->ttl = 1;
	((struct iphdr *)data)->check = 0;
	((struct iphdr *)data)->check = htons(sum_of(data, 20));
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_ERRNO(read(other, packet, sizeof(packet)), EAGAIN);
	CHECK(next(fd) > 28);
	CHECK_EQ(packet[20], ICMP_TIME_EXCEEDED);
}

TEST(long_packets)
{
	struct iphdr *ip = (void *)packet;
	char text[3000];
	int fd;

	enter();
	fd = new_device(IFF_TUN | IFF_NO_PI);
	memset(text, 'x', sizeof(text));
	text[2999] = '\0';
	CHECK_EQ(say("10.1.1.2", 1000, text), 2999);
	CHECK_EQ(next(fd), 1500);
	CHECK_EQ(ntohs(ip->frag_off), 0x2000);
	CHECK_EQ(sum_of(ip, sizeof(*ip)), 0);
	CHECK_EQ(next(fd), 1500);
	CHECK_EQ(ntohs(ip->frag_off), 0x2000 | 1480 / 8);
	CHECK_EQ(next(fd), 20 + 2999 + 8 - 2 * 1480);
	CHECK_EQ(ntohs(ip->frag_off), 2 * 1480 / 8);
	CHECK_EQ(sum_of(ip, sizeof(*ip)), 0);
	CHECK_ERRNO(read(fd, packet, sizeof(packet)), EAGAIN);
}

static const unsigned char everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const unsigned char station[6] = {2, 0, 0, 0, 0, 9};

/* A frame of ARP from 10.1.1.2, which is `station`. */
static size_t arp(unsigned char *into, int operation, const unsigned char *to, const char *target)
{
	struct ethhdr frame = {.h_proto = htons(ETH_P_ARP)};
	struct arphdr arp = {htons(ARPHRD_ETHER), htons(ETH_P_IP), 6, 4, htons(operation)};
	unsigned int own = inet_addr("10.1.1.2"), asked = inet_addr(target);

	memcpy(frame.h_dest, to, 6);
	memcpy(frame.h_source, station, 6);
	memcpy(into, &frame, 14);
	memcpy(into + 14, &arp, 8);
	memcpy(into + 22, station, 6);
	memcpy(into + 28, &own, 4);
	memcpy(into + 32, operation == ARPOP_REQUEST ? (unsigned char[6]){0} : to, 6);
	memcpy(into + 38, &asked, 4);
	return 42;
}

static void own_address(unsigned char *into)
{
	struct ifreq request = {.ifr_name = "t0"};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	MUST(ioctl(fd, SIOCGIFHWADDR, &request));
	CHECK_EQ(request.ifr_hwaddr.sa_family, ARPHRD_ETHER);
	memcpy(into, request.ifr_hwaddr.sa_data, 6);
	close(fd);
}

TEST(frames)
{
	struct ethhdr *frame = (void *)packet;
	unsigned char own[6], data[200];
	unsigned int address;
	int fd, socket;
	size_t length;

	enter();
	fd = new_device(IFF_TAP | IFF_NO_PI);
	own_address(own);
	CHECK_EQ(own[0] & 3, 2);
	/* Who has 10.1.1.2? */
	CHECK_EQ(say("10.1.1.2", 1000, "hello"), 5);
	CHECK_EQ(next(fd), 42);
	CHECK_EQ(ntohs(frame->h_proto), ETH_P_ARP);
	CHECK(memcmp(frame->h_dest, everybody, 6) == 0);
	CHECK(memcmp(frame->h_source, own, 6) == 0);
	CHECK(memcmp(packet + 14, "\0\1\10\0\6\4\0\1", 8) == 0);
	CHECK(memcmp(packet + 22, own, 6) == 0);
	address = inet_addr("10.1.1.1");
	CHECK(memcmp(packet + 28, &address, 4) == 0);
	CHECK(memcmp(packet + 32, "\0\0\0\0\0\0", 6) == 0);
	address = inet_addr("10.1.1.2");
	CHECK(memcmp(packet + 38, &address, 4) == 0);
	length = arp(data, ARPOP_REPLY, own, "10.1.1.1");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	/* Then it goes there. */
	CHECK_EQ(next(fd), 14 + 33);
	CHECK_EQ(ntohs(frame->h_proto), ETH_P_IP);
	CHECK(memcmp(frame->h_dest, station, 6) == 0);
	CHECK(memcmp(frame->h_source, own, 6) == 0);
	CHECK_EQ(say("10.1.1.2", 1000, "hello!"), 6);
	CHECK_EQ(next(fd), 14 + 34);
	/* A question. */
	length = arp(data, ARPOP_REQUEST, everybody, "10.1.1.1");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_EQ(next(fd), 42);
	CHECK(memcmp(frame->h_dest, station, 6) == 0);
	CHECK_EQ(packet[21], ARPOP_REPLY);
	CHECK(memcmp(packet + 22, own, 6) == 0);
	address = inet_addr("10.1.1.1");
	CHECK(memcmp(packet + 28, &address, 4) == 0);
	CHECK(memcmp(packet + 32, station, 6) == 0);
	length = arp(data, ARPOP_REQUEST, everybody, "10.1.1.77");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_ERRNO(read(fd, packet, sizeof(packet)), EAGAIN);
	/* Packets in. */
	socket = server(2000);
	memcpy(data, own, 6);
	memcpy(data + 6, station, 6);
	memcpy(data + 12, "\10\0", 2);
	length = 14 + datagram(data + 14, "10.1.1.2", "10.1.1.1", 2000, "hello");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_EQ(recv(socket, packet, sizeof(packet), 0), 5);
	/* For somebody else. */
	data[5] ^= 1;
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_ERRNO(recv(socket, packet, sizeof(packet), 0), EAGAIN);
	CHECK_ERRNO(write(fd, data, 13), EINVAL);
	CHECK_EQ(write(fd, data, 14), 14);
}

TEST(broadcasts)
{
	struct ethhdr *frame = (void *)packet;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1000)};
	int fd, socket_fd, one = 1;

	enter();
	fd = new_device(IFF_TAP | IFF_NO_PI);
	socket_fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(setsockopt(socket_fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)));
	address.sin_addr.s_addr = inet_addr("10.1.1.255");
	CHECK_EQ(sendto(socket_fd, "all", 3, 0, (void *)&address, sizeof(address)), 3);
	CHECK_EQ(next(fd), 14 + 31);
	CHECK(memcmp(frame->h_dest, everybody, 6) == 0);
}

TEST(packet_sockets)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct ifreq request = {.ifr_name = "t0"};
	unsigned char data[200];
	socklen_t length = sizeof(address);
	int fd, heard;
	size_t size;

	enter();
	fd = new_device(IFF_TAP | IFF_NO_PI);
	heard = MUST(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0));
	MUST(ioctl(heard, SIOCGIFINDEX, &request));
	address.sll_ifindex = request.ifr_ifindex;
	MUST(bind(heard, (void *)&address, sizeof(address)));
	MUST(say("10.1.1.2", 1000, "hello"));
	CHECK_EQ(recvfrom(heard, packet, sizeof(packet), 0, (void *)&address, &length), 42);
	CHECK_EQ(address.sll_pkttype, PACKET_OUTGOING);
	CHECK_EQ(ntohs(address.sll_protocol), ETH_P_ARP);
	size = arp(data, ARPOP_REQUEST, everybody, "10.1.1.77");
	MUST(write(fd, data, size));
	CHECK_EQ(recvfrom(heard, packet, sizeof(packet), 0, (void *)&address, &length), 42);
	CHECK_EQ(address.sll_pkttype, PACKET_BROADCAST);
	CHECK_EQ(next(fd), 42);
	/* Who asks is known. */
	CHECK_EQ(next(fd), 14 + 33);
	/* What they send goes out. */
	CHECK_EQ(send(heard, data, size, 0), (ssize_t)size);
	CHECK_EQ(next(fd), (int)size);
	CHECK(memcmp(packet, data, size) == 0);
}

TEST(several_queues)
{
	char name[IFNAMSIZ] = "t0";
	struct ifreq request = {.ifr_flags = IFF_DETACH_QUEUE};
	int first, second, third;

	enter();
	first = MUST(open_tun());
	second = MUST(open_tun());
	third = MUST(open_tun());
	CHECK_ERRNO(ioctl(first, TUNSETQUEUE, &request), EINVAL);
	CHECK_OK(attach(first, name, IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE));
	CHECK_ERRNO(attach(second, name, IFF_TUN | IFF_NO_PI), EINVAL);
	CHECK_OK(attach(second, name, IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE));
	bring_up("t0", "10.1.1.1");
	MUST(say("10.1.1.2", 1000, "hello"));
	CHECK_EQ((events_of(first) & POLLIN) + (events_of(second) & POLLIN), POLLIN);
	CHECK_OK(ioctl(first, TUNSETQUEUE, &request));
	CHECK_ERRNO(ioctl(first, TUNSETQUEUE, &request), EINVAL);
	while (next(second) > 0)
		;
	MUST(say("10.1.1.2", 1001, "hello"));
	CHECK_EQ(next(second), 33);
	request.ifr_flags = IFF_ATTACH_QUEUE;
	CHECK_OK(ioctl(first, TUNSETQUEUE, &request));
	request.ifr_flags = 0;
	CHECK_ERRNO(ioctl(first, TUNSETQUEUE, &request), EINVAL);
	close(first);
	MUST(say("10.1.1.2", 1000, "hello"));
	CHECK_EQ(next(second), 33);
	close(second);
	CHECK_ERRNO(interface_flags("t0", NULL), ENODEV);
	close(third);
}

TEST(numbers)
{
	struct ifreq request = {0};
	char name[IFNAMSIZ] = "t0";
	int fd, number = 0, wanted = 77;

	enter();
	fd = MUST(open_tun());
	CHECK_OK(ioctl(fd, TUNSETIFINDEX, &wanted));
	MUST(attach(fd, name, IFF_TAP | IFF_VNET_HDR));
	CHECK_EQ(if_nametoindex("t0"), 77);
	CHECK_ERRNO(ioctl(fd, TUNSETIFINDEX, &wanted), EPERM);
	CHECK_OK(ioctl(fd, TUNGETSNDBUF, &number));
	CHECK_EQ(number, INT_MAX);
	number = 0;
	CHECK_ERRNO(ioctl(fd, TUNSETSNDBUF, &number), EINVAL);
	number = 100000;
	CHECK_OK(ioctl(fd, TUNSETSNDBUF, &number));
	CHECK_OK(ioctl(fd, TUNGETVNETHDRSZ, &number));
	CHECK_EQ(number, 10);
	number = 9;
	CHECK_ERRNO(ioctl(fd, TUNSETVNETHDRSZ, &number), EINVAL);
	number = 12;
	CHECK_OK(ioctl(fd, TUNSETVNETHDRSZ, &number));
	CHECK_OK(ioctl(fd, TUNGETVNETHDRSZ, &number));
	CHECK_EQ(number, 12);
	CHECK_OK(ioctl(fd, TUNSETOFFLOAD, 0));
	CHECK_OK(ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM));
	CHECK_ERRNO(ioctl(fd, TUNSETOFFLOAD, 1 << 20), EINVAL);
	CHECK_OK(ioctl(fd, SIOCGIFHWADDR, &request));
	CHECK_EQ(request.ifr_hwaddr.sa_family, ARPHRD_ETHER);
	memcpy(request.ifr_hwaddr.sa_data, station, 6);
	CHECK_OK(ioctl(fd, SIOCSIFHWADDR, &request));
	CHECK_OK(ioctl(fd, SIOCGIFHWADDR, &request));
	CHECK(memcmp(request.ifr_hwaddr.sa_data, station, 6) == 0);
	number = 0;
	CHECK_OK(ioctl(fd, TUNSETCARRIER, &number));
	bring_up("t0", "10.1.1.1");
	CHECK_EQ(running("t0", 0), 0);
	number = 1;
	CHECK_OK(ioctl(fd, TUNSETCARRIER, &number));
	CHECK_EQ(running("t0", 1), 1);
}

TEST(headers_of_offloading)
{
	unsigned char own[6], data[200] = {0};
	int fd, socket;
	size_t length;

	enter();
	fd = new_device(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	own_address(own);
	MUST(say("10.1.1.2", 1000, "hello"));
	CHECK_EQ(next(fd), 10 + 42);
	CHECK(memcmp(packet + 10, everybody, 6) == 0);
	socket = server(2000);
	memcpy(data + 10, own, 6);
	memcpy(data + 16, station, 6);
	memcpy(data + 22, "\10\0", 2);
	length = 24 + datagram(data + 24, "10.1.1.2", "10.1.1.1", 2000, "hello");
	CHECK_EQ(write(fd, data, length), (ssize_t)length);
	CHECK_EQ(recv(socket, packet, sizeof(packet), 0), 5);
	CHECK_ERRNO(write(fd, data, 9), EINVAL);
}

TEST(the_interface_goes)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} request = {{sizeof(request), RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0}, {0}};
	char answer[1000];
	int fd, route;

	enter();
	fd = new_device(IFF_TUN | IFF_NO_PI);
	route = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	request.link.ifi_index = (int)if_nametoindex("t0");
	MUST(send(route, &request, sizeof(request), 0));
	CHECK(recv(route, answer, sizeof(answer), 0) > 0);
	CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(answer))->error, 0);
	CHECK_ERRNO(interface_flags("t0", NULL), ENODEV);
	CHECK_ERRNO(read(fd, packet, 100), EBADFD);
	CHECK_ERRNO(write(fd, packet, 100), EBADFD);
	CHECK_EQ(events_of(fd), POLLERR);
}

TEST(full_queues)
{
	int fd, count = 0;

	enter();
	fd = new_device(IFF_TUN | IFF_NO_PI);
	for (int at = 0; at < 600; at++)
		MUST(say("10.1.1.2", 1000, "hello"));
	while (read(fd, packet, sizeof(packet)) > 0)
		count++;
	CHECK_EQ(count, 500);
}
