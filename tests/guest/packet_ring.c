/* Rings of packet sockets in shared memory, in three versions; what else they tell, and groups (packet(7)). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>

#define BLOCK 8192
#define FRAME 2048

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

/* Hears packets of IPv4 at the loopback that come in. */
static void listen_at(int fd)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = 1};

	MUST(bind(fd, (void *)&address, sizeof(address)));
}

static int new_socket(int kind)
{
	return (int)MUST(socket(AF_PACKET, kind | SOCK_NONBLOCK, 0));
}

static int make_ring(int fd, unsigned int block, unsigned int count, unsigned int frame, unsigned int frames)
{
	struct tpacket_req request = {block, count, frame, frames};

	return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request));
}

static void say(int port, const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* Nobody hears it, which a first call isn't told. */
	MUST(sendto(fd, text, strlen(text), 0, (void *)&address, sizeof(address)));
	close(fd);
}

static int server(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));

	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

static int events_of(int fd, int wait_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	MUST(poll(&poller, 1, wait_ms));
	return poller.revents;
}

TEST(versions)
{
	int fd, value;
	socklen_t length = 2;

	enter();
	fd = new_socket(SOCK_RAW);
	CHECK_EQ(get(fd, PACKET_VERSION), TPACKET_V1);
	CHECK_ERRNO(set(fd, PACKET_VERSION, 3), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &fd, 2), EINVAL);
	CHECK_OK(set(fd, PACKET_VERSION, TPACKET_V3));
	CHECK_EQ(get(fd, PACKET_VERSION), TPACKET_V3);
	value = TPACKET_V1;
	CHECK_ERRNO(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &length), EINVAL);
	for (int version = TPACKET_V1; version <= TPACKET_V3; version++) {
		value = version;
		length = sizeof(value);
		CHECK_OK(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &length));
		CHECK_EQ(value, version == TPACKET_V1 ? (int)sizeof(struct tpacket_hdr)
				: version == TPACKET_V2 ? (int)sizeof(struct tpacket2_hdr)
							: (int)sizeof(struct tpacket3_hdr));
	}
	value = 3;
	CHECK_ERRNO(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &length), EINVAL);
	CHECK_EQ(get(fd, PACKET_RESERVE), 0);
	CHECK_OK(set(fd, PACKET_RESERVE, 4));
	CHECK_EQ(get(fd, PACKET_RESERVE), 4);
	CHECK_ERRNO(set(fd, PACKET_RESERVE, -1), EINVAL);
	CHECK_EQ(get(fd, PACKET_AUXDATA), 0);
	CHECK_OK(set(fd, PACKET_AUXDATA, 7));
	CHECK_EQ(get(fd, PACKET_AUXDATA), 1);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &value, 1), EINVAL);
	CHECK_OK(set(fd, PACKET_TIMESTAMP, 5));
	CHECK_EQ(get(fd, PACKET_TIMESTAMP), 5);
	CHECK_OK(set(fd, PACKET_ORIGDEV, 1));
	CHECK_EQ(get(fd, PACKET_ORIGDEV), 1);
}

TEST(sizes)
{
	int fd;
	void *map;

	enter();
	fd = new_socket(SOCK_RAW);
	CHECK_ERRNO(make_ring(fd, 1000, 1, 500, 2), EINVAL);
	CHECK_ERRNO(make_ring(fd, 0, 1, 500, 2), EINVAL);
	CHECK_ERRNO(make_ring(fd, 0x80000000, 1, FRAME, 4), EINVAL);
	CHECK_ERRNO(make_ring(fd, BLOCK, 1, 48, 170), EINVAL);
	CHECK_ERRNO(make_ring(fd, BLOCK, 1, FRAME + 8, 3), EINVAL);
	CHECK_ERRNO(make_ring(fd, BLOCK, 1, BLOCK * 2, 1), EINVAL);
	CHECK_ERRNO(make_ring(fd, BLOCK, 2, FRAME, 7), EINVAL);
	CHECK_ERRNO(make_ring(fd, BLOCK, 0, FRAME, 1), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &fd, 4), EINVAL);
	CHECK_OK(make_ring(fd, BLOCK, 0, 0, 0));
	CHECK_ERRNO(syscall(SYS_mmap, 0, 2 * BLOCK, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
	CHECK_OK(make_ring(fd, BLOCK, 2, FRAME, 8));
	CHECK_ERRNO(make_ring(fd, BLOCK, 2, FRAME, 8), EBUSY);
	CHECK_ERRNO(set(fd, PACKET_VERSION, TPACKET_V2), EBUSY);
	CHECK_ERRNO(set(fd, PACKET_RESERVE, 16), EBUSY);
	CHECK_ERRNO(syscall(SYS_mmap, 0, BLOCK, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_mmap, 0, BLOCK, PROT_READ, MAP_SHARED, fd, BLOCK), EINVAL);
	map = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	CHECK_ERRNO(make_ring(fd, 0, 0, 0, 0), EBUSY);
	/* All of it is there, and is zeros. */
	for (int at = 0; at < 2 * BLOCK; at++)
		if (((char *)map)[at])
			CHECK_EQ(at, -1);
	munmap(map, 2 * BLOCK);
	CHECK_OK(make_ring(fd, 0, 0, 0, 0));
	CHECK_ERRNO(syscall(SYS_mmap, 0, 2 * BLOCK, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
	/* What another kind of socket says. */
	fd = server(1000);
	CHECK_ERRNO(syscall(SYS_mmap, 0, BLOCK, PROT_READ, MAP_SHARED, fd, 0), ENODEV);
}

TEST(first_version)
{
	char *map;
	int fd, heard;

	enter();
	heard = server(1000);
	fd = new_socket(SOCK_RAW);
	MUST(make_ring(fd, BLOCK, 1, FRAME, 4));
	listen_at(fd);
	map = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK_EQ(events_of(fd, 0), 0);
	say(1000, "hello");
	CHECK_EQ(events_of(fd, 1000), POLLIN | (events_of(fd, 0) & ~POLLIN));
	for (int at = 0; at < 2; at++) {
		struct tpacket_hdr *header = (void *)(map + at * FRAME);
		struct sockaddr_ll *sender = (void *)(map + at * FRAME + TPACKET_ALIGN(sizeof(*header)));
		struct iphdr *ip = (void *)(map + at * FRAME + header->tp_net);

		CHECK_EQ(header->tp_status & TP_STATUS_USER, TP_STATUS_USER);
		CHECK_EQ(header->tp_len, 14 + 33);
		CHECK_EQ(header->tp_snaplen, 14 + 33);
		CHECK_EQ(header->tp_net, TPACKET_ALIGN(TPACKET_HDRLEN + 16));
		CHECK_EQ(header->tp_mac, header->tp_net - 14);
		CHECK(header->tp_sec > 1000000000 && header->tp_usec < 1000000);
		CHECK_EQ(sender->sll_ifindex, 1);
		CHECK_EQ(ntohs(sender->sll_protocol), ETH_P_IP);
		CHECK_EQ(sender->sll_pkttype, PACKET_HOST);
		CHECK_EQ(sender->sll_family, AF_PACKET);
		CHECK_EQ(sender->sll_halen, 6);
		CHECK_EQ(ip->protocol, IPPROTO_UDP);
		CHECK(memcmp((char *)ip + 28, at ? "again" : "hello", 5) == 0);
		/* It isn't among what can be received. */
		CHECK_ERRNO(recv(fd, map, 10, 0), EAGAIN);
		header->tp_status = TP_STATUS_KERNEL;
		CHECK_EQ(events_of(fd, 0) & POLLIN, 0);
		if (!at)
			say(1000, "again");
	}
	close(heard);
}

TEST(second_version)
{
	struct tpacket_stats stats;
	socklen_t length = sizeof(stats);
	char *map, text[3000];
	struct tpacket2_hdr *header;
	int fd, heard;

	enter();
	heard = server(1000);
	fd = new_socket(SOCK_DGRAM);
	MUST(set(fd, PACKET_VERSION, TPACKET_V2));
	MUST(set(fd, PACKET_RESERVE, 32));
	MUST(make_ring(fd, BLOCK, 1, FRAME, 4));
	map = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	listen_at(fd);
	memset(text, 'x', sizeof(text));
	text[2999] = '\0';
	say(1000, text);
	header = (void *)map;
	CHECK_EQ(header->tp_status & TP_STATUS_USER, TP_STATUS_USER);
	CHECK_EQ(header->tp_mac, header->tp_net);
	CHECK_EQ(header->tp_net, TPACKET_ALIGN(TPACKET2_HDRLEN) + 16 + 32);
	CHECK_EQ(header->tp_len, 2999 + 28);
	/* It's cut. */
	CHECK_EQ(header->tp_snaplen, FRAME - header->tp_mac);
	CHECK(header->tp_nsec < 1000000000);
	for (int at = 0; at < 6; at++)
		say(1000, "more");
	for (int at = 0; at < 4; at++) {
		header = (void *)(map + at * FRAME);
		CHECK_EQ(header->tp_status & TP_STATUS_USER, TP_STATUS_USER);
	}
	/* There wasn't room for all. */
	CHECK_OK(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length));
	CHECK_EQ(stats.tp_packets, 7);
	CHECK_EQ(stats.tp_drops, 3);
	((struct tpacket2_hdr *)map)->tp_status = TP_STATUS_KERNEL;
	say(1000, "room");
	CHECK_EQ(((struct tpacket2_hdr *)map)->tp_status & TP_STATUS_USER, TP_STATUS_USER);
	CHECK_EQ(((struct tpacket2_hdr *)map)->tp_len, 32);
	/* As long as a program leaves it so. */
	say(1000, "none");
	CHECK_OK(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length));
	CHECK_EQ(stats.tp_packets, 2);
	CHECK_EQ(stats.tp_drops, 1);
	close(heard);
}

static int make_ring_3(int fd, unsigned int timeout_ms, unsigned int own)
{
	struct tpacket_req3 request = {BLOCK, 2, FRAME, 8, timeout_ms, own, 0};

	return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request));
}

TEST(third_version)
{
	struct tpacket_stats_v3 stats;
	socklen_t length = sizeof(stats);
	struct tpacket_block_desc *block;
	struct tpacket3_hdr *packet;
	struct sockaddr_ll *sender;
	char *map;
	int fd, heard;

	enter();
	heard = server(1000);
	fd = new_socket(SOCK_RAW);
	MUST(set(fd, PACKET_VERSION, TPACKET_V3));
	CHECK_ERRNO(make_ring(fd, BLOCK, 2, FRAME, 8), EINVAL);
	CHECK_ERRNO(make_ring_3(fd, 20, BLOCK), EINVAL);
	CHECK_OK(make_ring_3(fd, 20, 24));
	map = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	block = (void *)map;
	CHECK_EQ(block->hdr.bh1.block_status, TP_STATUS_KERNEL);
	CHECK_EQ(block->version, TPACKET_V3);
	CHECK_EQ(block->hdr.bh1.seq_num, 1);
	listen_at(fd);
	say(1000, "one");
	say(1000, "three");
	CHECK_EQ(events_of(fd, 0) & POLLIN, 0);
	/* After a while it's the program's. */
	CHECK_EQ(events_of(fd, 2000) & POLLIN, POLLIN);
	CHECK_EQ(block->hdr.bh1.block_status & TP_STATUS_USER, TP_STATUS_USER);
	CHECK_EQ(block->hdr.bh1.block_status & TP_STATUS_BLK_TMO, TP_STATUS_BLK_TMO);
	CHECK_EQ(block->hdr.bh1.num_pkts, 2);
	CHECK_EQ(block->offset_to_priv, 48);
	CHECK_EQ(block->hdr.bh1.offset_to_first_pkt, 48 + 24);
	packet = (void *)(map + block->hdr.bh1.offset_to_first_pkt);
	CHECK_EQ(packet->tp_len, 14 + 28 + 3);
	CHECK_EQ(packet->tp_snaplen, 14 + 28 + 3);
	CHECK_EQ(packet->tp_net, TPACKET_ALIGN(TPACKET3_HDRLEN + 16));
	CHECK_EQ(packet->tp_mac, packet->tp_net - 14);
	CHECK_EQ(packet->tp_status & TP_STATUS_USER, TP_STATUS_USER);
	sender = (void *)((char *)packet + TPACKET_ALIGN(sizeof(*packet)));
	CHECK_EQ(sender->sll_ifindex, 1);
	CHECK_EQ(ntohs(sender->sll_protocol), ETH_P_IP);
	CHECK(memcmp((char *)packet + packet->tp_net + 28, "one", 3) == 0);
	CHECK_EQ(packet->tp_next_offset, (packet->tp_mac + packet->tp_snaplen + 7) & ~7u);
	packet = (void *)((char *)packet + packet->tp_next_offset);
	CHECK(memcmp((char *)packet + packet->tp_net + 28, "three", 5) == 0);
	CHECK_EQ(packet->tp_next_offset, 0);
	CHECK(block->hdr.bh1.ts_first_pkt.ts_sec <= block->hdr.bh1.ts_last_pkt.ts_sec);
	/* The length is of all in it. */
	CHECK_EQ(block->hdr.bh1.blk_len,
		 (char *)packet - map + ((packet->tp_mac + packet->tp_snaplen + 7) & ~7u));
	block->hdr.bh1.block_status = TP_STATUS_KERNEL;
	CHECK_EQ(events_of(fd, 0) & POLLIN, 0);
	block = (void *)(map + BLOCK);
	say(1000, "two");
	CHECK_EQ(events_of(fd, 2000) & POLLIN, POLLIN);
	CHECK_EQ(block->hdr.bh1.num_pkts, 1);
	CHECK_EQ(block->hdr.bh1.seq_num, 2);
	CHECK_OK(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length));
	CHECK_EQ(length, sizeof(stats));
	CHECK_EQ(stats.tp_packets, 3);
	CHECK_EQ(stats.tp_drops, 0);
	close(heard);
}

TEST(full_blocks)
{
	struct tpacket_stats_v3 stats;
	socklen_t length = sizeof(stats);
	struct tpacket_block_desc *first, *second;
	char *map, text[1500];
	int fd, heard;

	enter();
	heard = server(1000);
	fd = new_socket(SOCK_RAW);
	MUST(set(fd, PACKET_VERSION, TPACKET_V3));
	MUST(make_ring_3(fd, 10000, 0));
	map = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	first = (void *)map;
	second = (void *)(map + BLOCK);
	listen_at(fd);
	memset(text, 'x', sizeof(text));
	text[1499] = '\0';
	for (int at = 0; at < 6; at++)
		say(1000, text);
	/* A full one goes to the program at once. */
	CHECK_EQ(events_of(fd, 0) & POLLIN, POLLIN);
	CHECK_EQ(first->hdr.bh1.block_status & (TP_STATUS_USER | TP_STATUS_BLK_TMO), TP_STATUS_USER);
	CHECK_EQ(first->hdr.bh1.num_pkts, 5);
	CHECK_EQ(second->hdr.bh1.block_status, TP_STATUS_KERNEL);
	for (int at = 0; at < 6; at++)
		say(1000, text);
	CHECK_EQ(second->hdr.bh1.block_status & TP_STATUS_USER, TP_STATUS_USER);
	CHECK_EQ(second->hdr.bh1.num_pkts, 5);
	CHECK_OK(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length));
	CHECK_EQ(stats.tp_packets, 12);
	CHECK_EQ(stats.tp_drops, 2);
	CHECK_EQ(stats.tp_freeze_q_cnt, 1);
	/* It goes on once there is room. */
	first->hdr.bh1.block_status = TP_STATUS_KERNEL;
	say(1000, text);
	CHECK_EQ(first->hdr.bh1.num_pkts, 1);
	CHECK_EQ(first->hdr.bh1.seq_num, 3);
	CHECK_EQ(first->hdr.bh1.block_status, TP_STATUS_KERNEL);
	close(heard);
}

TEST(what_is_told_beside)
{
	char data[2000], control[200];
	struct iovec part = {data, 20};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 200};
	struct cmsghdr *found;
	struct tpacket_auxdata *told;
	int fd, heard;

	enter();
	heard = server(1000);
	fd = new_socket(SOCK_RAW);
	MUST(set(fd, PACKET_AUXDATA, 1));
	listen_at(fd);
	say(1000, "hello");
	CHECK_EQ(recvmsg(fd, &message, 0), 20);
	CHECK_EQ(message.msg_flags, MSG_TRUNC);
	told = (void *)CMSG_DATA(CMSG_FIRSTHDR(&message));
	CHECK_EQ(told->tp_len, 47);
	CHECK_EQ(told->tp_snaplen, 47);
	message.msg_controllen = 200;
	part.iov_len = sizeof(data);
	say(1000, "hello");
	CHECK_EQ(recvmsg(fd, &message, 0), 47);
	found = CMSG_FIRSTHDR(&message);
	CHECK(found != NULL && found->cmsg_level == SOL_PACKET && found->cmsg_type == PACKET_AUXDATA);
	CHECK_EQ(found->cmsg_len, CMSG_LEN(sizeof(*told)));
	told = (void *)CMSG_DATA(found);
	CHECK_EQ(told->tp_status & TP_STATUS_USER, TP_STATUS_USER);
	CHECK_EQ(told->tp_len, 47);
	CHECK_EQ(told->tp_snaplen, 47);
	CHECK_EQ(told->tp_mac, 0);
	CHECK_EQ(told->tp_net, 14);
	CHECK_EQ(told->tp_vlan_tci, 0);
	close(heard);
}

static int fanout(int fd, int id, int kind)
{
	return set(fd, PACKET_FANOUT, id | kind << 16);
}

static int count_of(int fd)
{
	char data[100];
	int count = 0;

	while (recv(fd, data, sizeof(data), 0) > 0)
		count++;
	return count;
}

TEST(groups)
{
	int first, second, other, heard;

	enter();
	heard = server(1000);
	first = new_socket(SOCK_RAW);
	second = new_socket(SOCK_RAW);
	other = new_socket(SOCK_RAW);
	/* One that hears nothing. */
	CHECK_ERRNO(fanout(first, 7, PACKET_FANOUT_LB), EINVAL);
	listen_at(first);
	listen_at(second);
	listen_at(other);
	CHECK_ERRNO(fanout(first, 7, 99), EINVAL);
	CHECK_ERRNO(fanout(first, 7, PACKET_FANOUT_ROLLOVER | PACKET_FANOUT_FLAG_ROLLOVER), EINVAL);
	CHECK_EQ(get(first, PACKET_FANOUT), 0);
	CHECK_OK(fanout(first, 7, PACKET_FANOUT_LB));
	CHECK_EQ(get(first, PACKET_FANOUT), 7 | PACKET_FANOUT_LB << 16);
	CHECK_ERRNO(fanout(first, 8, PACKET_FANOUT_LB), EALREADY);
	CHECK_ERRNO(fanout(second, 7, PACKET_FANOUT_HASH), EINVAL);
	CHECK_ERRNO(fanout(second, 7, PACKET_FANOUT_LB | PACKET_FANOUT_FLAG_DEFRAG), EINVAL);
	CHECK_OK(fanout(second, 7, PACKET_FANOUT_LB));
	for (int at = 0; at < 6; at++)
		say(1000, "hello");
	/* By turns; who isn't in the group hears all. */
	CHECK_EQ(count_of(first), 3);
	CHECK_EQ(count_of(second), 3);
	CHECK_EQ(count_of(other), 6);
	close(second);
	for (int at = 0; at < 4; at++)
		say(1000, "hello");
	CHECK_EQ(count_of(first), 4);
	close(first);
	close(other);
	first = new_socket(SOCK_RAW);
	second = new_socket(SOCK_RAW);
	listen_at(first);
	listen_at(second);
	CHECK_OK(fanout(first, 9, PACKET_FANOUT_HASH));
	CHECK_OK(fanout(second, 9, PACKET_FANOUT_HASH));
	for (int at = 0; at < 4; at++)
		say(1000, "hello");
	CHECK_EQ(count_of(first) + count_of(second), 4);
	close(heard);
}

/* How many a group has at most, and a number that nobody has. */
TEST(sizes_of_groups)
{
	struct {
		uint16_t id, flags;
		uint32_t most;
	} arguments = {9, PACKET_FANOUT_LB, 2};
	int fds[4], number;

	enter();
	for (size_t at = 0; at < LENGTH(fds); at++) {
		struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = 1};

		fds[at] = (int)MUST(socket(AF_PACKET, SOCK_RAW, 0));
		MUST(bind(fds[at], (struct sockaddr *)&where, sizeof where));
	}
	CHECK_OK(setsockopt(fds[0], SOL_PACKET, PACKET_FANOUT, &arguments, sizeof arguments));
	arguments.most = 3;
	CHECK_ERRNO(setsockopt(fds[1], SOL_PACKET, PACKET_FANOUT, &arguments, sizeof arguments), EINVAL);
	CHECK_ERRNO(setsockopt(fds[1], SOL_PACKET, PACKET_FANOUT, &arguments, 5), EINVAL);
	CHECK_OK(fanout(fds[1], 9, PACKET_FANOUT_LB));
	CHECK_ERRNO(fanout(fds[2], 9, PACKET_FANOUT_LB), ENOSPC);
	arguments.id = 10;
	arguments.most = 65537;
	CHECK_ERRNO(setsockopt(fds[2], SOL_PACKET, PACKET_FANOUT, &arguments, sizeof arguments), EINVAL);
	arguments.most = 65536;
	CHECK_OK(setsockopt(fds[2], SOL_PACKET, PACKET_FANOUT, &arguments, sizeof arguments));
	CHECK_ERRNO(fanout(fds[3], 1, PACKET_FANOUT_LB | PACKET_FANOUT_FLAG_UNIQUEID), EINVAL);
	CHECK_OK(fanout(fds[3], 0, PACKET_FANOUT_LB | PACKET_FANOUT_FLAG_UNIQUEID));
	number = get(fds[3], PACKET_FANOUT);
	CHECK_EQ(number >> 16, PACKET_FANOUT_LB);
	CHECK((number & 0xffff) != 9 && (number & 0xffff) != 10);
}

/* A program says who of a group gets a frame, by what is behind the header of Ethernet; and who is full passes on. */
TEST(frames_given_out_by_programs_and_room)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 28),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = {2, filter};
	int first, second, heard;

	enter();
	heard = server(1000);
	first = new_socket(SOCK_RAW);
	second = new_socket(SOCK_RAW);
	listen_at(first);
	listen_at(second);
	CHECK_ERRNO(setsockopt(first, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof program), EINVAL);
	CHECK_OK(fanout(first, 3, PACKET_FANOUT_CBPF));
	CHECK_OK(fanout(second, 3, PACKET_FANOUT_CBPF));
	say(1000, "a");
	CHECK_EQ(count_of(first), 1);
	CHECK_OK(setsockopt(second, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof program));
	/* 'a' is an odd number, and 'b' isn't. */
	say(1000, "a");
	say(1000, "a");
	say(1000, "b");
	CHECK_EQ(count_of(first), 1);
	CHECK_EQ(count_of(second), 2);
	CHECK_ERRNO(setsockopt(first, SOL_PACKET, PACKET_FANOUT_DATA, &program, 4), EINVAL);
	CHECK_OK(setsockopt(first, SOL_SOCKET, SO_LOCK_FILTER, &first, sizeof first));
	CHECK_ERRNO(setsockopt(first, SOL_PACKET, PACKET_FANOUT_DATA, &program, 4), EPERM);
	close(first);
	close(second);
	first = new_socket(SOCK_RAW);
	second = new_socket(SOCK_RAW);
	CHECK_OK(make_ring(first, BLOCK, 2, FRAME, 8));
	CHECK_OK(make_ring(second, BLOCK, 2, FRAME, 8));
	listen_at(first);
	listen_at(second);
	CHECK_OK(fanout(first, 4, PACKET_FANOUT_ROLLOVER));
	CHECK_OK(fanout(second, 4, PACKET_FANOUT_ROLLOVER));
	for (int at = 0; at < 9; at++)
		say(1000, "c");
	{
		struct tpacket_stats one, other;
		socklen_t length = sizeof one;

		MUST(getsockopt(first, SOL_PACKET, PACKET_STATISTICS, &one, &length));
		MUST(getsockopt(second, SOL_PACKET, PACKET_STATISTICS, &other, &length));
		/* A quarter is kept free. */
		CHECK_EQ(one.tp_packets, 6);
		CHECK_EQ(other.tp_packets, 3);
	}
	close(heard);
}
