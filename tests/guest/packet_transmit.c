/* Rings of frames to send, headers of offloading, and packet sockets of the obsolete type (packet(7)). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <poll.h>

#define BLOCK 4096
#define FRAME 1024

static struct sockaddr_ll lo = {.sll_family = AF_PACKET, .sll_ifindex = 1};
static unsigned char frame[70000];

static int set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value));
}

static int get(int fd, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_PACKET, option, &value, &length) == -1 ? -errno : value;
}

static int new_socket(int kind, int protocol)
{
	int fd = (int)MUST(socket(AF_PACKET, kind | SOCK_NONBLOCK, 0));

	lo.sll_protocol = htons(protocol);
	MUST(bind(fd, (void *)&lo, sizeof(lo)));
	return fd;
}

static int make_ring(int fd, int option, int is_third)
{
	struct tpacket_req3 request = {BLOCK, 2, FRAME, 8, .tp_retire_blk_tov = 0};

	return setsockopt(fd, SOL_PACKET, option, &request,
			  is_third ? sizeof(request) : sizeof(struct tpacket_req));
}

/* One end of a conversation of UDP on the loopback. */
static int speaker(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

static void say(int fd, int port, int length)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memset(frame, 's', length);
	MUST(sendto(fd, frame, length, 0, (void *)&address, sizeof(address)));
}

static char *place(char *map, int at)
{
	return map + at * FRAME;
}

static unsigned int status_of(char *map, int version, int at)
{
	struct tpacket3_hdr *third = (void *)place(map, at);

	return version == TPACKET_V3 ? third->tp_status : *(unsigned int *)third;
}

static void ask(char *map, int version, int at, unsigned int length)
{
	char *front = place(map, at);

	memset(front + (version == TPACKET_V3 ? 48 : 32), 'a' + at, 60);
	if (version == TPACKET_V1) {
		((struct tpacket_hdr *)front)->tp_len = length;
		((struct tpacket_hdr *)front)->tp_status = TP_STATUS_SEND_REQUEST;
	} else if (version == TPACKET_V2) {
		((struct tpacket2_hdr *)front)->tp_len = length;
		((struct tpacket2_hdr *)front)->tp_status = TP_STATUS_SEND_REQUEST;
	} else {
		((struct tpacket3_hdr *)front)->tp_len = length;
		((struct tpacket3_hdr *)front)->tp_status = TP_STATUS_SEND_REQUEST;
	}
}

static void check_version(int version)
{
	int sender = new_socket(SOCK_RAW, 0), listener = new_socket(SOCK_RAW, ETH_P_ALL);
	struct pollfd wanted = {.fd = sender, .events = POLLIN | POLLOUT};
	char *map;

	CHECK_EQ(set(sender, PACKET_VERSION, version), 0);
	CHECK_EQ(make_ring(sender, PACKET_TX_RING, version == TPACKET_V3), 0);
	CHECK_ERRNO(make_ring(sender, PACKET_TX_RING, version == TPACKET_V3), EBUSY);
	CHECK_ERRNO(set(sender, PACKET_VERSION, version), EBUSY);
	CHECK_ERRNO(set(sender, PACKET_LOSS, 1), EBUSY);
	CHECK_ERRNO(set(sender, PACKET_RESERVE, 8), EBUSY);
	/* What is heard comes first in what is mapped. */
	CHECK_EQ(make_ring(sender, PACKET_RX_RING, version == TPACKET_V3), 0);
	CHECK_ERRNO((long)mmap(NULL, 2 * BLOCK, PROT_READ, MAP_SHARED, sender, 0), EINVAL);
	map = mmap(NULL, 4 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, sender, 0);
	CHECK(map != MAP_FAILED);
	map += 2 * BLOCK;
	CHECK_EQ(send(sender, NULL, 0, 0), 0);
	ask(map, version, 0, 30);
	ask(map, version, 1, 40);
	ask(map, version, 3, 50);
	CHECK_EQ(send(sender, "ignored", 7, 0), 70);
	CHECK_EQ(status_of(map, version, 0), TP_STATUS_AVAILABLE);
	CHECK_EQ(status_of(map, version, 1), TP_STATUS_AVAILABLE);
	CHECK_EQ(status_of(map, version, 3), TP_STATUS_SEND_REQUEST);
	CHECK_EQ(recv(listener, frame, sizeof(frame), 0), 30);
	CHECK_EQ(frame[29], 'a');
	CHECK_EQ(recv(listener, frame, sizeof(frame), 0), 30);
	CHECK_EQ(recv(listener, frame, sizeof(frame), 0), 40);
	CHECK_EQ(frame[39], 'b');
	/* A wrong frame ends it, and stays the next one. */
	ask(map, version, 2, 5);
	CHECK_ERRNO(send(sender, NULL, 0, 0), EINVAL);
	CHECK_EQ(status_of(map, version, 2), TP_STATUS_WRONG_FORMAT);
	CHECK_EQ(send(sender, NULL, 0, 0), 0);
	ask(map, version, 2, 2000);
	CHECK_ERRNO(send(sender, NULL, 0, 0), EMSGSIZE);
	ask(map, version, 2, 14);
	CHECK_EQ(send(sender, NULL, 0, 0), 64);
	CHECK_EQ(poll(&wanted, 1, 0), 1);
	CHECK_EQ(wanted.revents & POLLOUT, POLLOUT);
	lo.sll_ifindex = 77;
	CHECK_ERRNO(sendto(sender, NULL, 0, 0, (void *)&lo, sizeof(lo)), ENXIO);
	lo.sll_ifindex = 1;
	CHECK_ERRNO(sendto(sender, NULL, 0, 0, (void *)&lo, 5), EINVAL);
	close(sender);
	close(listener);
}

TEST(rings_to_send)
{
	struct tpacket_req3 request = {BLOCK, 2, FRAME, 8, .tp_retire_blk_tov = 1};
	int fd;

	enter();
	for (int version = TPACKET_V1; version <= TPACKET_V3; version++)
		check_version(version);
	fd = new_socket(SOCK_RAW, 0);
	MUST(set(fd, PACKET_VERSION, TPACKET_V3));
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof(request)), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof(struct tpacket_req)), EINVAL);
}

TEST(frames_that_are_lost_and_their_places)
{
	int fd, listener;
	char *map;

	enter();
	fd = new_socket(SOCK_RAW, 0);
	listener = new_socket(SOCK_RAW, ETH_P_ALL);
	MUST(set(fd, PACKET_VERSION, TPACKET_V2));
	CHECK_EQ(get(fd, PACKET_LOSS), 0);
	CHECK_EQ(set(fd, PACKET_LOSS, 7), 0);
	CHECK_EQ(get(fd, PACKET_LOSS), 1);
	CHECK_EQ(set(fd, PACKET_TX_HAS_OFF, 1), 0);
	CHECK_EQ(get(fd, PACKET_TX_HAS_OFF), 1);
	MUST(make_ring(fd, PACKET_TX_RING, 0));
	map = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	for (int at = 0; at < 4; at++) {
		ask(map, TPACKET_V2, at, at == 3 ? 5 : 30);
		((struct tpacket2_hdr *)place(map, at))->tp_mac = (const int[]){0, 40, 1000, 40}[at];
	}
	place(map, 1)[69] = '!';
	CHECK_EQ(send(fd, NULL, 0, 0), 30);
	for (int at = 0; at < 4; at++)
		CHECK_EQ(status_of(map, TPACKET_V2, at), TP_STATUS_AVAILABLE);
	CHECK_EQ(recv(listener, frame, sizeof(frame), 0), 30);
	CHECK_EQ(frame[29], '!');
}

static volatile sig_atomic_t ticks;

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

/* However long it takes to send all: signals come after that, and what was sent is told of as a whole. */
TEST(many_frames_to_send)
{
	enum { COUNT = 1 << 14, SIZE = 128 };
	struct tpacket_req request = {BLOCK, COUNT / (BLOCK / SIZE), SIZE, COUNT};
	struct itimerval soon = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	int fd;
	char *map;

	enter();
	fd = new_socket(SOCK_RAW, 0);
	MUST(set(fd, PACKET_VERSION, TPACKET_V2));
	MUST(setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof(request)));
	map = mmap(NULL, COUNT * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(map == MAP_FAILED ? -1 : 0);
	handle(SIGALRM, tick, 0);
	for (int by_write = 0; by_write < 2; by_write++) {
		for (int at = 0; at < COUNT; at++) {
			struct tpacket2_hdr *front = (void *)(map + at * SIZE);

			front->tp_len = 60;
			front->tp_status = TP_STATUS_SEND_REQUEST;
		}
		ticks = 0;
		MUST(setitimer(ITIMER_REAL, &soon, NULL));
		CHECK_EQ(by_write ? write(fd, "ignored", 7) : send(fd, NULL, 0, 0), COUNT * 60);
		MUST(setitimer(ITIMER_REAL, &never, NULL));
		CHECK(ticks > 0);
	}
}

/* A frame of UDP with the right checksum of IP. */
static int datagram(unsigned char *front)
{
	static const unsigned char header[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0x45, 0, 0, 33, 0, 0, 0, 0, 64,
					       17, 0x7c, 0xca, 127, 0, 0, 1, 127, 0, 0, 1, 3, 233, 3, 232, 0, 13};

	memset(front, 0, sizeof(struct virtio_net_hdr));
	memcpy(front + sizeof(struct virtio_net_hdr), header, sizeof(header));
	memcpy(front + sizeof(struct virtio_net_hdr) + sizeof(header), "\0\0howdy", 7);
	return sizeof(struct virtio_net_hdr) + sizeof(header) + 7;
}

TEST(headers_of_offloading)
{
	struct virtio_net_hdr *told = (void *)frame;
	int listener, fd, server, client, length;

	enter();
	server = speaker(1000);
	client = speaker(1001);
	fd = new_socket(SOCK_DGRAM, 0);
	CHECK_ERRNO(set(fd, PACKET_VNET_HDR, 1), EINVAL);
	listener = new_socket(SOCK_RAW, ETH_P_IP);
	CHECK_EQ(get(listener, PACKET_VNET_HDR), 0);
	CHECK_EQ(set(listener, PACKET_VNET_HDR, 7), 0);
	CHECK_EQ(get(listener, PACKET_VNET_HDR), 1);
	CHECK_EQ(get(listener, PACKET_VNET_HDR_SZ), 10);
	CHECK_ERRNO(set(listener, PACKET_VNET_HDR_SZ, 11), EINVAL);
	CHECK_EQ(set(listener, PACKET_VNET_HDR_SZ, 12), 0);
	say(client, 1000, 5);
	CHECK_EQ(recv(listener, frame, sizeof(frame), 0), 12 + 14 + 33);
	CHECK_EQ(told->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	CHECK_EQ(told->csum_start, 34);
	CHECK_EQ(told->csum_offset, 6);
	CHECK_EQ(told->gso_type, VIRTIO_NET_HDR_GSO_NONE);
	CHECK_EQ(set(listener, PACKET_VNET_HDR_SZ, 10), 0);
	say(client, 1000, 5);
	/* There is too little room, and the frame is gone. */
	CHECK_ERRNO(recv(listener, frame, 9, 0), EINVAL);
	CHECK_ERRNO(recv(listener, frame, 9, 0), EAGAIN);
	length = datagram(frame);
	CHECK_EQ(sendto(listener, frame, length, 0, (void *)&lo, sizeof(lo)), length);
	told->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	told->csum_start = 34;
	told->csum_offset = 6;
	CHECK_EQ(sendto(listener, frame, length, 0, (void *)&lo, sizeof(lo)), length);
	told->csum_start = 60;
	CHECK_ERRNO(sendto(listener, frame, length, 0, (void *)&lo, sizeof(lo)), EINVAL);
	told->csum_start = 34;
	told->hdr_len = 200;
	CHECK_ERRNO(sendto(listener, frame, length, 0, (void *)&lo, sizeof(lo)), EINVAL);
	told->hdr_len = 0;
	for (int kind = 0; kind < 8; kind++) {
		told->gso_type = kind;
		told->gso_size = 100;
		CHECK_EQ(sendto(listener, frame, length, 0, (void *)&lo, sizeof(lo)),
			 kind == 0 || kind == VIRTIO_NET_HDR_GSO_UDP || kind == VIRTIO_NET_HDR_GSO_UDP_L4 ? length : -1);
	}
	CHECK_ERRNO(sendto(listener, frame, 9, 0, (void *)&lo, sizeof(lo)), EINVAL);
	CHECK_ERRNO(sendto(listener, frame, 23, 0, (void *)&lo, sizeof(lo)), EINVAL);
	CHECK_EQ(make_ring(listener, PACKET_RX_RING, 0), 0);
	CHECK_ERRNO(set(listener, PACKET_VNET_HDR, 0), EBUSY);
	close(server);
}

TEST(checksums_that_are_not_ready)
{
	struct tpacket_auxdata *told;
	char control[CMSG_SPACE(sizeof(*told))];
	struct iovec part = {frame, sizeof(frame)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
	struct sockaddr_in target = {.sin_family = AF_INET};
	int listener, client, number;
	socklen_t size = sizeof(number);
	/* An echo request. */
	static const unsigned char echo[] = {8, 0, 0xf7, 0xfd, 0, 1, 0, 1};

	enter();
	listener = new_socket(SOCK_RAW, ETH_P_IP);
	MUST(set(listener, PACKET_AUXDATA, 1));
	client = speaker(1001);
	say(client, 1001, 5);
	message.msg_controllen = sizeof(control);
	CHECK_EQ(recvmsg(listener, &message, 0), 47);
	told = (void *)CMSG_DATA(CMSG_FIRSTHDR(&message));
	CHECK_EQ(told->tp_status, TP_STATUS_USER | TP_STATUS_CSUMNOTREADY);
	close(client);
	client = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(sendto(client, echo, sizeof(echo), 0, (void *)&target, sizeof(target)));
	message.msg_controllen = sizeof(control);
	CHECK_EQ(recvmsg(listener, &message, 0), 42);
	CHECK_EQ(told->tp_status, TP_STATUS_USER);
	CHECK_EQ(getsockopt(listener, SOL_SOCKET, SO_PROTOCOL, &number, &size), 0);
	CHECK_EQ(number, 0);
}

TEST(a_checksum_behind_the_header_of_ip)
{
	struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};
	struct iovec parts[] = {{&header, sizeof(header)}, {frame, 100}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	int fd;

	enter();
	fd = new_socket(SOCK_RAW, 0x88b5);
	MUST(set(fd, PACKET_VNET_HDR, 1));
	memset(frame, 0, 100);
	CHECK_ERRNO(sendmsg(fd, &message, 0), EINVAL);
	header.csum_start = 19;
	CHECK_ERRNO(sendmsg(fd, &message, 0), EINVAL);
	header.csum_start = 20;
	CHECK_EQ(sendmsg(fd, &message, 0), 110);
	header.csum_start = 98;
	CHECK_EQ(sendmsg(fd, &message, 0), 110);
	header.csum_start = 99;
	CHECK_ERRNO(sendmsg(fd, &message, 0), EINVAL);
}

TEST(what_does_not_fit_in_a_ring)
{
	struct tpacket_req request = {BLOCK, 1, 128, 32};
	struct sockaddr_ll from;
	struct tpacket_hdr *first;
	socklen_t size = sizeof(from);
	int fd, client;

	enter();
	client = speaker(1001);
	fd = new_socket(SOCK_RAW, ETH_P_IP);
	MUST(set(fd, PACKET_COPY_THRESH, 1));
	MUST(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)));
	first = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(first != MAP_FAILED);
	say(client, 1001, 300);
	CHECK_EQ(first->tp_status & TP_STATUS_COPY, TP_STATUS_COPY);
	CHECK_EQ(first->tp_len, 342);
	CHECK_EQ(first->tp_snaplen, 128 - first->tp_mac);
	CHECK_EQ(recvfrom(fd, frame, sizeof(frame), 0, (void *)&from, &size), 342);
	CHECK_EQ(size, sizeof(from));
	CHECK_EQ(from.sll_ifindex, 0);
	CHECK_ERRNO(recv(fd, frame, sizeof(frame), 0), EAGAIN);
}

TEST(groups_that_roll_over)
{
	struct tpacket_rollover_stats told;
	socklen_t size = sizeof(told);
	int group[2], client;

	enter();
	client = speaker(1001);
	for (int at = 0; at < 2; at++) {
		group[at] = new_socket(SOCK_RAW, ETH_P_IP);
		CHECK_ERRNO(getsockopt(group[at], SOL_PACKET, PACKET_ROLLOVER_STATS, &told, &size), EINVAL);
		MUST(set(group[at], PACKET_FANOUT, 7 | PACKET_FANOUT_ROLLOVER << 16));
	}
	say(client, 1001, 1);
	CHECK_EQ(getsockopt(group[0], SOL_PACKET, PACKET_ROLLOVER_STATS, &told, &size), 0);
	CHECK_EQ(size, sizeof(told));
	CHECK_EQ(told.tp_all, 1);
	CHECK_EQ(told.tp_failed, 0);
	CHECK_EQ(getsockopt(group[1], SOL_PACKET, PACKET_ROLLOVER_STATS, &told, &size), 0);
	CHECK_EQ(told.tp_all, 0);
}

TEST(obsolete_type)
{
	struct sockaddr_pkt name = {.spkt_family = AF_PACKET, .spkt_device = "lo"}, found;
	socklen_t size = sizeof(found);
	int fd, client, number = 1;

	enter();
	client = speaker(1001);
	fd = (int)MUST(socket(AF_INET, SOCK_PACKET | SOCK_NONBLOCK, htons(ETH_P_IP)));
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &number, &(socklen_t){sizeof(number)}), 0);
	CHECK_EQ(number, AF_PACKET);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_TYPE, &number, &(socklen_t){sizeof(number)}), 0);
	CHECK_EQ(number, SOCK_PACKET);
	CHECK_ERRNO(bind(fd, (void *)&name, sizeof(name)), EINVAL);
	CHECK_EQ(bind(fd, (void *)&name, sizeof(struct sockaddr)), 0);
	CHECK_EQ(getsockname(fd, (void *)&found, &size), 0);
	CHECK_EQ(size, sizeof(struct sockaddr));
	CHECK_EQ(found.spkt_family, AF_PACKET);
	CHECK_STRING((char *)found.spkt_device, "lo");
	CHECK_ERRNO(getpeername(fd, (void *)&found, &size), EOPNOTSUPP);
	CHECK_ERRNO(set(fd, PACKET_AUXDATA, 1), EOPNOTSUPP);
	CHECK_ERRNO((long)mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0), ENODEV);
	say(client, 1001, 5);
	size = sizeof(found);
	CHECK_EQ(recvfrom(fd, frame, sizeof(frame), 0, (void *)&found, &size), 47);
	CHECK_EQ(size, sizeof(found));
	CHECK_STRING((char *)found.spkt_device, "lo");
	CHECK_EQ(ntohs(found.spkt_protocol), ETH_P_IP);
	memset(frame, 0, 100);
	CHECK_ERRNO(send(fd, frame, 20, 0), ENOTCONN);
	CHECK_ERRNO(sendto(fd, frame, 20, 0, (void *)&name, 15), EINVAL);
	CHECK_EQ(sendto(fd, frame, 20, 0, (void *)&name, 16), 20);
	CHECK_EQ(sendto(fd, frame, 14, 0, (void *)&name, sizeof(name)), 14);
	CHECK_ERRNO(sendto(fd, frame, 13, 0, (void *)&name, sizeof(name)), EINVAL);
	CHECK_ERRNO(sendto(fd, frame, 65551, 0, (void *)&name, sizeof(name)), EMSGSIZE);
	strcpy((char *)name.spkt_device, "none");
	CHECK_ERRNO(sendto(fd, frame, 20, 0, (void *)&name, sizeof(name)), ENODEV);
	CHECK_ERRNO(bind(fd, (void *)&name, sizeof(struct sockaddr)), ENODEV);
}
