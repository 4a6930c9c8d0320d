/* Packet sockets: frames on the loopback, who hears them, and frames of one's own (packet(7)). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>

/* The loopback has a second address. */
static void enter_with_alias(void)
{
	struct ifreq address = {.ifr_name = "lo:1"};
	struct sockaddr_in own = {.sin_family = AF_INET};
	int fd;

	enter();
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	own.sin_addr.s_addr = inet_addr("10.1.1.1");
	memcpy(&address.ifr_addr, &own, sizeof(own));
	MUST(ioctl(fd, SIOCSIFADDR, &address));
	close(fd);
}

static int listener(int kind, int protocol)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = 1};
	int fd = MUST(socket(AF_PACKET, kind | SOCK_NONBLOCK, 0));

	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

static int server(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));

	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

static void say(int port, const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(sendto(fd, text, strlen(text), 0, (void *)&address, sizeof(address)));
	close(fd);
}

static char frame[4096];
static struct sockaddr_ll from;

/* The length of the next frame, or -errno; it's in `frame`, and its sender in `from`. */
static int next(int fd, int flags)
{
	socklen_t length = sizeof(from);
	int result = recvfrom(fd, frame, sizeof(frame), flags, (void *)&from, &length);

	return result == -1 ? -errno : result;
}

TEST(who_may)
{
	int fd;

	enter_with_alias();
	CHECK_ERRNO(socket(AF_PACKET, SOCK_STREAM, htons(ETH_P_ALL)), ESOCKTNOSUPPORT);
	fd = CHECK_OK(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
	close(fd);
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), EPERM);
	CHECK_ERRNO(socket(AF_PACKET, SOCK_STREAM, htons(ETH_P_ALL)), EPERM);
	CHECK_OK(unshare(CLONE_NEWUSER));
	CHECK_ERRNO(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), EPERM);
	CHECK_OK(unshare(CLONE_NEWNET));
	CHECK_OK(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
}

TEST(names)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = 1};
	socklen_t length = sizeof(address);
	int fd;

	enter_with_alias();
	fd = MUST(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
	CHECK_OK(getsockname(fd, (void *)&address, &length));
	CHECK_EQ(length, 12);
	CHECK_EQ(address.sll_family, AF_PACKET);
	CHECK_EQ(ntohs(address.sll_protocol), ETH_P_ALL);
	CHECK_EQ(address.sll_ifindex, 0);
	address.sll_ifindex = 99;
	CHECK_ERRNO(bind(fd, (void *)&address, sizeof(address)), ENODEV);
	address.sll_ifindex = 1;
	CHECK_ERRNO(bind(fd, (void *)&address, 12), EINVAL);
	address.sll_family = AF_INET;
	CHECK_ERRNO(bind(fd, (void *)&address, sizeof(address)), EINVAL);
	address.sll_family = AF_PACKET;
	address.sll_protocol = htons(ETH_P_IPV6);
	CHECK_OK(bind(fd, (void *)&address, sizeof(address)));
	length = sizeof(address);
	CHECK_OK(getsockname(fd, (void *)&address, &length));
	CHECK_EQ(length, 18);
	CHECK_EQ(ntohs(address.sll_protocol), ETH_P_IPV6);
	CHECK_EQ(address.sll_ifindex, 1);
	CHECK_EQ(address.sll_hatype, 772);
	CHECK_EQ(address.sll_halen, 6);
	CHECK_ERRNO(getpeername(fd, (void *)&address, &length), EOPNOTSUPP);
	CHECK_ERRNO(listen(fd, 1), EOPNOTSUPP);
	CHECK_ERRNO(connect(fd, (void *)&address, sizeof(address)), EOPNOTSUPP);
	CHECK_ERRNO(shutdown(fd, SHUT_RD), EOPNOTSUPP);
}

TEST(what_is_heard)
{
	struct iphdr *header = (void *)(frame + 14);
	struct udphdr *ports = (void *)(frame + 34);
	int all, ip, cooked, other, fd;

	enter_with_alias();
	all = listener(SOCK_RAW, ETH_P_ALL);
	ip = listener(SOCK_RAW, ETH_P_IP);
	cooked = listener(SOCK_DGRAM, ETH_P_IP);
	other = listener(SOCK_RAW, ETH_P_IPV6);
	fd = server(1000);
	CHECK_EQ(next(all, 0), -EAGAIN);
	say(1000, "hello");
	/* On the way out and in again. */
	CHECK_EQ(next(all, 0), 14 + 20 + 8 + 5);
	CHECK_EQ(from.sll_pkttype, PACKET_OUTGOING);
	CHECK_EQ(ntohs(from.sll_protocol), ETH_P_IP);
	CHECK_EQ(from.sll_ifindex, 1);
	CHECK_EQ(from.sll_hatype, 772);
	CHECK_EQ(from.sll_halen, 6);
	CHECK(!memcmp(frame, "\0\0\0\0\0\0\0\0\0\0\0\0\x08\0", 14));
	CHECK_EQ(header->version, 4);
	CHECK_EQ(ntohs(header->tot_len), 20 + 8 + 5);
	CHECK_EQ(header->protocol, IPPROTO_UDP);
	CHECK_EQ(header->ttl, 64);
	CHECK_EQ(ntohl(header->daddr), INADDR_LOOPBACK);
	CHECK_EQ(ntohs(ports->dest), 1000);
	CHECK(!memcmp(frame + 42, "hello", 5));
	CHECK_EQ(next(all, 0), 47);
	CHECK_EQ(from.sll_pkttype, PACKET_HOST);
	CHECK_EQ(next(all, 0), -EAGAIN);
	/* One protocol is heard where it comes in. */
	CHECK_EQ(next(ip, 0), 47);
	CHECK_EQ(from.sll_pkttype, PACKET_HOST);
	CHECK_EQ(next(ip, 0), -EAGAIN);
	CHECK_EQ(next(cooked, 0), 33);
	CHECK_EQ(frame[0] & 0xf0, 0x40);
	CHECK_EQ(next(other, 0), -EAGAIN);
	CHECK_EQ(recv(fd, frame, sizeof(frame), 0), 5);
	/* What nobody wanted is told of. */
	say(1001, "nobody");
	CHECK_EQ(next(ip, 0), 48);
	CHECK_EQ(next(ip, 0), 14 + 20 + 8 + 20 + 8 + 6);
	CHECK_EQ(header->protocol, IPPROTO_ICMP);
}

static struct tpacket_auxdata auxiliary(int fd, int flags)
{
	static struct tpacket_auxdata found;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(found))];
	} control;
	struct iovec part = {frame, sizeof(frame)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};

	message.msg_controllen = sizeof(control);
	MUST(recvmsg(fd, &message, flags));
	memcpy(&found, CMSG_DATA(&control.header), sizeof(found));
	return found;
}

/* The length of a frame lies where its sender's family and protocol are written when it's read. */
TEST(what_is_told_of_what_was_peeked)
{
	int fd, one = 1;

	enter_with_alias();
	fd = listener(SOCK_DGRAM, ETH_P_IP);
	MUST(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)));
	say(9, "hello");
	CHECK_EQ(auxiliary(fd, MSG_PEEK).tp_len, 33);
	CHECK_EQ(auxiliary(fd, MSG_PEEK).tp_len, AF_PACKET | htons(ETH_P_IP) << 16);
	CHECK_EQ(auxiliary(fd, 0).tp_len, AF_PACKET | htons(ETH_P_IP) << 16);
}

TEST(connections)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1000)};
	int ip, fd, client, end;
	unsigned char *flags = (void *)(frame + 14 + 20 + 13);
	int has_syn = 0, has_answer = 0, has_data = 0, has_end = 0;

	enter_with_alias();
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ip = listener(SOCK_RAW, ETH_P_IP);
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(fd, (void *)&address, sizeof(address)));
	MUST(listen(fd, 1));
	client = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_OK(connect(client, (void *)&address, sizeof(address)));
	end = CHECK_OK(accept(fd, NULL, NULL));
	CHECK_EQ(send(client, "hello", 5, 0), 5);
	CHECK_EQ(recv(end, frame, 5, MSG_WAITALL), 5);
	CHECK_OK(shutdown(client, SHUT_WR));
	CHECK_EQ(recv(end, frame, 5, 0), 0);
	for (int length; (length = next(ip, 0)) > 0;) {
		int start = 14 + 20 + (flags[-1] >> 4) * 4;

		has_syn |= (*flags & 0x12) == 2;
		has_answer |= (*flags & 0x12) == 0x12;
		has_data |= length == start + 5 && !memcmp(frame + start, "hello", 5);
		has_end |= *flags & 1;
	}
	CHECK(has_syn);
	CHECK(has_answer);
	CHECK(has_data);
	CHECK(has_end);
}

TEST(filters_and_counts)
{
	/* The first twenty bytes of UDP's packets to port 1000. */
	struct sock_filter code[] = {
		{BPF_LD | BPF_B | BPF_ABS, 0, 0, 23},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 3, IPPROTO_UDP},
		{BPF_LD | BPF_H | BPF_ABS, 0, 0, 36},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 1000},
		{BPF_RET | BPF_K, 0, 0, 20},
		{BPF_RET | BPF_K, 0, 0, 0},
	};
	struct sock_fprog program = {.len = LENGTH(code), .filter = code};
	struct tpacket_stats counts;
	socklen_t length = sizeof(counts);
	int all, one = 1, fd;

	enter_with_alias();
	fd = server(1000);
	all = listener(SOCK_RAW, ETH_P_ALL);
	CHECK_OK(setsockopt(all, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
	say(1000, "hello");
	say(1001, "hello");
	CHECK_EQ(next(all, MSG_PEEK), 20);
	CHECK_EQ(next(all, 0), 20);
	CHECK_EQ(recv(all, frame, 10, MSG_TRUNC), 20);
	CHECK_EQ(next(all, 0), -EAGAIN);
	CHECK_OK(getsockopt(all, SOL_PACKET, PACKET_STATISTICS, &counts, &length));
	CHECK_EQ(length, sizeof(counts));
	CHECK_EQ(counts.tp_packets, 2);
	CHECK_EQ(counts.tp_drops, 0);
	CHECK_OK(getsockopt(all, SOL_PACKET, PACKET_STATISTICS, &counts, &length));
	CHECK_EQ(counts.tp_packets, 0);
	CHECK_OK(setsockopt(all, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)));
	say(1000, "hello");
	CHECK_EQ(next(all, 0), 20);
	CHECK_EQ(from.sll_pkttype, PACKET_HOST);
	CHECK_EQ(next(all, 0), -EAGAIN);
	/* A queue that is full. */
	for (int sent = 0; sent < 400; sent++)
		say(1000, "hello"), recv(fd, frame, sizeof(frame), 0);
	CHECK_OK(getsockopt(all, SOL_PACKET, PACKET_STATISTICS, &counts, &length));
	CHECK_EQ(counts.tp_packets, 401);
	CHECK(counts.tp_drops > 0 && counts.tp_drops < 400);
	CHECK_ERRNO(setsockopt(all, SOL_PACKET, 999, &one, sizeof(one)), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(all, SOL_PACKET, 999, &one, &length), ENOPROTOOPT);
}

static uint16_t sum_of(const void *data, size_t length)
{
	const uint16_t *words = data;
	uint32_t sum = 0;

	for (size_t at = 0; at < length / 2; at++)
		sum += words[at];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

TEST(frames_of_ones_own)
{
	struct {
		struct ether_header ether;
		struct iphdr ip;
		struct udphdr udp;
		char data[4];
	} __attribute__((packed)) made = {
		.ether.ether_type = htons(ETH_P_IP),
		.ip = {.version = 4, .ihl = 5, .tot_len = htons(32), .ttl = 64, .protocol = IPPROTO_UDP},
		.udp = {.source = htons(7), .dest = htons(1000), .len = htons(12)},
		.data = "made",
	};
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = 1};
	struct sockaddr_in sender;
	socklen_t length = sizeof(sender);
	int raw, cooked, fd, hearer;

	enter_with_alias();
	fd = server(1000);
	hearer = listener(SOCK_RAW, ETH_P_ALL);
	raw = MUST(socket(AF_PACKET, SOCK_RAW, 0));
	CHECK_ERRNO(send(raw, &made, sizeof(made), 0), ENXIO);
	CHECK_ERRNO(sendto(raw, &made, sizeof(made), 0, (void *)&address, 12), EINVAL);
	made.ip.saddr = inet_addr("10.1.1.2");
	made.ip.daddr = inet_addr("10.1.1.1");
	made.ip.check = sum_of(&made.ip, sizeof(made.ip));
	CHECK_EQ(sendto(raw, &made, sizeof(made), 0, (void *)&address, sizeof(address)), sizeof(made));
	CHECK_EQ(recvfrom(fd, frame, sizeof(frame), 0, (void *)&sender, &length), 4);
	CHECK(!memcmp(frame, "made", 4));
	CHECK_EQ(ntohs(sender.sin_port), 7);
	CHECK_EQ(sender.sin_addr.s_addr, made.ip.saddr);
	CHECK_EQ(next(hearer, 0), sizeof(made));
	CHECK_EQ(from.sll_pkttype, PACKET_OUTGOING);
	CHECK(!memcmp(frame, &made, sizeof(made)));
	CHECK_EQ(next(hearer, 0), sizeof(made));
	CHECK_EQ(from.sll_pkttype, PACKET_HOST);
	cooked = MUST(socket(AF_PACKET, SOCK_DGRAM, 0));
	CHECK_EQ(sendto(cooked, &made.ip, 32, 0, (void *)&address, sizeof(address)), 32);
	CHECK_EQ(recv(fd, frame, sizeof(frame), 0), 4);
	/* A broken header, and addresses that can't come from elsewhere. */
	made.ip.check ^= 1;
	CHECK_EQ(sendto(raw, &made, sizeof(made), 0, (void *)&address, sizeof(address)), sizeof(made));
	CHECK_ERRNO(recv(fd, frame, sizeof(frame), 0), EAGAIN);
	made.ip.saddr = htonl(INADDR_LOOPBACK);
	made.ip.check = 0;
	made.ip.check = sum_of(&made.ip, sizeof(made.ip));
	CHECK_EQ(sendto(raw, &made, sizeof(made), 0, (void *)&address, sizeof(address)), sizeof(made));
	CHECK_ERRNO(recv(fd, frame, sizeof(frame), 0), EAGAIN);
	/* Any protocol is heard. */
	made.ether.ether_type = address.sll_protocol = htons(0x88b5);
	while (next(hearer, 0) > 0)
		;
	CHECK_EQ(sendto(raw, &made, 20, 0, (void *)&address, sizeof(address)), 20);
	CHECK_EQ(next(hearer, 0), 20);
	CHECK_EQ(ntohs(from.sll_protocol), 0x88b5);
	address.sll_ifindex = 99;
	CHECK_ERRNO(sendto(raw, &made, sizeof(made), 0, (void *)&address, sizeof(address)), ENXIO);
	address.sll_ifindex = 1;
	CHECK_ERRNO(sendto(raw, &made, 10, 0, (void *)&address, sizeof(address)), EINVAL);
}

static ssize_t send_as(int fd, unsigned short protocol, const unsigned char *target, size_t length)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = 1, .sll_halen = 6};

	memcpy(to.sll_addr, target, 6);
	return sendto(fd, "0123456789", length, 0, (struct sockaddr *)&to, sizeof(to));
}

TEST(whom_a_frame_on_the_loopback_is_for)
{
	static const unsigned char targets[][6] = {{0}, {0, 0, 0, 0, 0, 1}, {1, 0, 0, 0, 0, 0}, {255, 255, 255, 255, 255, 255}};
	static const int kinds[] = {PACKET_HOST, PACKET_OTHERHOST, PACKET_MULTICAST, PACKET_MULTICAST};
	int plain, old;

	enter_with_alias();
	plain = listener(SOCK_DGRAM | SOCK_NONBLOCK, 0x88b5);
	old = listener(SOCK_DGRAM | SOCK_NONBLOCK, ETH_P_802_2);
	for (size_t at = 0; at < LENGTH(kinds); at++) {
		CHECK_EQ(send_as(plain, 0x88b5, targets[at], 10), 10);
		CHECK_EQ(next(plain, 0), 10);
		CHECK_EQ(from.sll_pkttype, kinds[at]);
	}
	CHECK_EQ(send_as(plain, 0x60, targets[0], 10), 10);
	CHECK_EQ(next(old, 0), 10);
	CHECK_EQ(ntohs(from.sll_protocol), ETH_P_802_2);
	CHECK_EQ(send_as(plain, 0x88b5, targets[0], 0), 0);
	CHECK_ERRNO(recv(plain, frame, sizeof(frame), 0), EAGAIN);
	CHECK_EQ(send_as(plain, 0x88b5, targets[0], 1), 1);
	CHECK_ERRNO(recv(plain, frame, sizeof(frame), MSG_ERRQUEUE), EAGAIN);
	CHECK_EQ(next(plain, 0), 1);
}

TEST(when_a_frame_came)
{
	static const unsigned char target[6];
	char control[128];
	struct iovec part = {frame, sizeof(frame)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *item;
	struct timeval came;
	struct timespec now;
	int fd, one = 1;

	enter_with_alias();
	fd = listener(SOCK_DGRAM | SOCK_NONBLOCK, 0x88b5);
	CHECK_ERRNO(ioctl(fd, SIOCGSTAMP, &came), ENOENT);
	/* What a message tells itself isn't kept. */
	MUST(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one)));
	CHECK_EQ(send_as(fd, 0x88b5, target, 10), 10);
	CHECK_EQ(recvmsg(fd, &message, 0), 10);
	item = CMSG_FIRSTHDR(&message);
	CHECK(item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMP);
	memcpy(&came, CMSG_DATA(item), sizeof(came));
	MUST(clock_gettime(CLOCK_REALTIME, &now));
	CHECK(now.tv_sec - came.tv_sec <= 1);
	CHECK(!CMSG_NXTHDR(&message, item));
	CHECK_ERRNO(ioctl(fd, SIOCGSTAMP, &came), ENOENT);
	one = 0;
	MUST(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one)));
	CHECK_EQ(send_as(fd, 0x88b5, target, 10), 10);
	CHECK_EQ(next(fd, 0), 10);
	CHECK_OK(ioctl(fd, SIOCGSTAMP, &came));
	CHECK(now.tv_sec - came.tv_sec <= 1);
}

TEST(a_member_of_a_group_stays_where_it_is)
{
	struct packet_mreq wanted = {.mr_ifindex = 1, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6};
	struct sockaddr_ll name = {.sll_family = AF_PACKET, .sll_ifindex = 1};
	int fd, group = PACKET_FANOUT_EBPF << 16 | 3, unopened = 999;

	enter_with_alias();
	fd = listener(SOCK_RAW, 0x88b5);
	CHECK_OK(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wanted, sizeof(wanted)));
	wanted.mr_alen = 4;
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wanted, sizeof(wanted)), EINVAL);
	/* The length is looked at first. */
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, bad_address(), 4), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, bad_address(), 4), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, bad_address(), 16), EFAULT);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, bad_address(), 16), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_VERSION, bad_address(), 16), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_VERSION, bad_address(), 4), EFAULT);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, bad_address(), 5), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_FANOUT, bad_address(), 5), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, bad_address(), 4), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, bad_address(), 16), EFAULT);
	/* Kinds that nobody knows are remembered. */
	wanted.mr_type = 99;
	CHECK_OK(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wanted, sizeof(wanted)));
	wanted.mr_alen = 9;
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wanted, sizeof(wanted)), EINVAL);
	wanted.mr_ifindex = 77;
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wanted, sizeof(wanted)), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &wanted, sizeof(wanted)), EINVAL);
	CHECK_OK(bind(fd, (struct sockaddr *)&name, sizeof(name)));
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &unopened, sizeof(unopened)), EINVAL);
	CHECK_OK(setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)));
	CHECK_ERRNO(bind(fd, (struct sockaddr *)&name, sizeof(name)), EINVAL);
	/* A program of bpf(2) is needed. */
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &unopened, sizeof(unopened)), EBADF);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &fd, sizeof(fd)), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &fd, 2), EINVAL);
	/* Where filters are locked it's not even read. */
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &fd, sizeof(fd)));
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, bad_address(), 4), EPERM);
}

/* What is told of a frame on its way out; the one that comes in by the loopback goes unread. */
static int told_out(int all)
{
	int length = next(all, 0), protocol = ntohs(from.sll_protocol);

	CHECK(length > 0 && from.sll_pkttype == PACKET_OUTGOING);
	return next(all, 0) > 0 ? protocol : -1;
}

TEST(of_which_protocol_a_frame_goes_out)
{
	static const unsigned char target[6];
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = 1, .sll_halen = 6};
	struct sockaddr_pkt old_name = {.spkt_family = AF_PACKET, .spkt_device = "lo", .spkt_protocol = htons(0x88b6)};
	char bytes[40] = {[12] = 0x12, 0x34};
	struct sockaddr_pkt told;
	socklen_t size = sizeof(told);
	int all, cooked, raw, old, one = 1;

	enter_with_alias();
	all = listener(SOCK_RAW, ETH_P_ALL);
	cooked = listener(SOCK_DGRAM, 0x88b5);
	raw = listener(SOCK_RAW, 0x88b5);
	/* The length is where protocols are, if it's an old one. */
	CHECK_EQ(send_as(cooked, ETH_P_802_2, target, 10), 10);
	CHECK_EQ(next(all, 0), 24);
	CHECK_EQ(ntohs(from.sll_protocol), ETH_P_802_2);
	CHECK(!memcmp(frame + 12, "\0\x0a", 2));
	CHECK_EQ(next(all, 0), 24);
	CHECK_EQ(send_as(cooked, ETH_P_802_3, target, 10), 10);
	CHECK_EQ(told_out(all), ETH_P_802_3);
	CHECK_EQ(send_as(cooked, ETH_P_AX25, target, 10), 10);
	CHECK_EQ(told_out(all), ETH_P_AX25);
	/* With a header, what the address says, and what the header says where that says nothing. */
	to.sll_protocol = htons(0x88b6);
	CHECK_EQ(sendto(raw, bytes, sizeof(bytes), 0, (void *)&to, sizeof(to)), sizeof(bytes));
	CHECK_EQ(told_out(all), 0x88b6);
	to.sll_protocol = htons(ETH_P_ALL);
	CHECK_EQ(sendto(raw, bytes, sizeof(bytes), 0, (void *)&to, sizeof(to)), sizeof(bytes));
	CHECK_EQ(told_out(all), 0x1234);
	CHECK_EQ(send(raw, bytes, sizeof(bytes), 0), sizeof(bytes));
	CHECK_EQ(told_out(all), 0x88b5);
	/* The obsolete type. */
	old = (int)MUST(socket(AF_INET, SOCK_PACKET | SOCK_NONBLOCK, htons(0x1234)));
	CHECK_EQ(sendto(old, bytes, sizeof(bytes), 0, (void *)&old_name, sizeof(old_name)), sizeof(bytes));
	CHECK_EQ(told_out(all), 0x88b6);
	CHECK_EQ(recvfrom(old, frame, sizeof(frame), 0, (void *)&told, &size), sizeof(bytes));
	CHECK_EQ(ntohs(told.spkt_protocol), 0x1234);
	CHECK_EQ(sendto(old, bytes, sizeof(bytes), 0, (void *)&old_name, 16), sizeof(bytes));
	CHECK_EQ(told_out(all), 0);
	/* What goes by the queue isn't seen on its way out. */
	CHECK_OK(setsockopt(raw, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)));
	CHECK_EQ(send(raw, bytes, sizeof(bytes), 0), sizeof(bytes));
	CHECK_EQ(next(all, 0), sizeof(bytes));
	CHECK_EQ(from.sll_pkttype, PACKET_HOST);
	CHECK_EQ(next(all, 0), -EAGAIN);
}

/* Without a filter a frame of nothing isn't heard; with one it is, if that takes any of it. */
TEST(empty_frames_and_checksums_of_ones_own)
{
	struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_ifindex = 1, .sll_halen = 6};
	struct sockaddr short_place = {.sa_family = AF_PACKET, .sa_data = "lo"};
	struct sock_filter some = {BPF_RET | BPF_K, 0, 0, 30}, none = {BPF_RET | BPF_K, 0, 0, 0};
	struct sock_fprog program = {1, &some};
	unsigned char told[40];
	struct timeval when;
	int fd, on = 1;

	enter();
	place.sll_protocol = htons(0x88b5);
	fd = listener(SOCK_DGRAM, 0x88b5);
	CHECK_EQ(sendto(fd, "", 0, 0, (void *)&place, sizeof(place)), 0);
	CHECK_ERRNO(recv(fd, frame, sizeof(frame), 0), EAGAIN);
	MUST(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
	CHECK_EQ(sendto(fd, "", 0, 0, (void *)&place, sizeof(place)), 0);
	CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&place, sizeof(place)), 1);
	/* It's looked at once. */
	CHECK_EQ(recv(fd, frame, sizeof(frame), MSG_PEEK), 0);
	CHECK_EQ(recv(fd, frame, sizeof(frame), MSG_PEEK), 1);
	CHECK_EQ(recv(fd, frame, sizeof(frame), MSG_PEEK), 1);
	CHECK_EQ(recv(fd, frame, sizeof(frame), 0), 0);
	CHECK_EQ(recv(fd, frame, sizeof(frame), 0), 1);
	program.filter = &none;
	MUST(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
	CHECK_EQ(sendto(fd, "", 0, 0, (void *)&place, sizeof(place)), 0);
	CHECK_ERRNO(recv(fd, frame, sizeof(frame), 0), EAGAIN);
	MUST(setsockopt(fd, SOL_SOCKET, SO_NOFCS, &on, sizeof(on)));
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&place, sizeof(place)), EPROTONOSUPPORT);
	CHECK_ERRNO(sendto(fd, bad_address(), 1, 0, (void *)&place, sizeof(place)), EPROTONOSUPPORT);
	place.sll_ifindex = 99;
	CHECK_ERRNO(sendto(fd, "x", 1, 0, (void *)&place, sizeof(place)), ENXIO);
	close(fd);
	fd = (int)MUST(socket(AF_INET, SOCK_PACKET, htons(0x88b5)));
	MUST(setsockopt(fd, SOL_SOCKET, SO_NOFCS, &on, sizeof(on)));
	CHECK_ERRNO(sendto(fd, frame, 60, 0, &short_place, sizeof(short_place)), EPROTONOSUPPORT);
	close(fd);
	/* What the header before the frame says is looked at only then, but for its lengths. */
	fd = listener(SOCK_RAW, 0x88b5);
	place.sll_ifindex = 1;
	MUST(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)));
	memset(told, 0, sizeof(told));
	told[22] = 0x88, told[23] = 0xb5;
	/* A frame for whose header there is no room is gone, and nobody knows when it came. */
	CHECK_EQ(sendto(fd, told, sizeof(told), 0, (void *)&place, sizeof(place)), sizeof(told));
	CHECK_ERRNO(recv(fd, frame, 5, MSG_DONTWAIT), EINVAL);
	CHECK_ERRNO(ioctl(fd, SIOCGSTAMP_OLD, &when), ENOENT);
	told[1] = 1;
	CHECK_ERRNO(sendto(fd, told, sizeof(told), 0, (void *)&place, sizeof(place)), EINVAL);
	MUST(setsockopt(fd, SOL_SOCKET, SO_NOFCS, &on, sizeof(on)));
	CHECK_ERRNO(sendto(fd, told, sizeof(told), 0, (void *)&place, sizeof(place)), EPROTONOSUPPORT);
	told[3] = 1;
	CHECK_ERRNO(sendto(fd, told, sizeof(told), 0, (void *)&place, sizeof(place)), EINVAL);
	CHECK_ERRNO(sendto(fd, told, 9, 0, (void *)&place, sizeof(place)), EINVAL);
	close(fd);
}

static int turn(unsigned flags)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = (short)flags};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), result = ioctl(fd, SIOCSIFFLAGS, &request);

	close(fd);
	return result;
}

/* Who listens at an interface that goes down is told, once. */
TEST(the_interface_goes_down)
{
	struct sockaddr_ll everywhere = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd, other, error = -1, number = 1;
	socklen_t length = sizeof(error);

	enter();
	fd = listener(SOCK_RAW, ETH_P_ALL);
	other = MUST(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0));
	MUST(bind(other, (void *)&everywhere, sizeof(everywhere)));
	MUST(turn(0));
	CHECK_EQ(next(fd, 0), -ENETDOWN);
	CHECK_EQ(next(fd, 0), -EAGAIN);
	CHECK_EQ(next(other, 0), -EAGAIN);
	MUST(turn(IFF_UP));
	CHECK_EQ(next(fd, 0), -EAGAIN);
	say(9, "abc");
	CHECK(next(fd, 0) > 0);
	MUST(turn(0));
	MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
	CHECK_EQ(error, ENETDOWN);
	/* What needs a header of Ethernet is refused unread. */
	close(fd);
	fd = MUST(socket(AF_PACKET, SOCK_DGRAM, 0));
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, bad_address(), sizeof(number)), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, 24, bad_address(), sizeof(number)), EINVAL);
	CHECK_ERRNO(setsockopt(other, SOL_PACKET, PACKET_VNET_HDR, bad_address(), sizeof(number)), EFAULT);
}

/* Sends a frame with one control message: 0 or an errno. */
static int send_with(int fd, int level, int type, size_t length)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {.header = {.cmsg_len = length, .cmsg_level = level, .cmsg_type = type}};
	struct iovec part = {"some bytes for a frame", 22};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	return sendmsg(fd, &message, 0) == -1 ? errno : 0;
}

TEST(what_goes_with_a_frame)
{
	int kinds[] = {SOCK_DGRAM, SOCK_RAW};

	enter();
	for (size_t at = 0; at < LENGTH(kinds); at++) {
		int fd = listener(kinds[at], 0x88b5);

		CHECK_EQ(send_with(fd, SOL_SOCKET, SO_PRIORITY, CMSG_LEN(sizeof(int))), 0);
		CHECK_EQ(send_with(fd, SOL_SOCKET, SO_MARK, CMSG_LEN(sizeof(int))), 0);
		CHECK_EQ(send_with(fd, SOL_SOCKET, SO_MARK, CMSG_LEN(1)), EINVAL);
		CHECK_EQ(send_with(fd, SOL_SOCKET, 0x77, CMSG_LEN(sizeof(int))), EINVAL);
		CHECK_EQ(send_with(fd, SOL_PACKET, 0x77, CMSG_LEN(sizeof(int))), 0);
		CHECK_EQ(send_with(fd, SOL_PACKET, 0x77, 3), EINVAL);
	}
}
