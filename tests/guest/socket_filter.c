/* Filters of SO_ATTACH_FILTER: what arrives is dropped or cut for their own socket alone (socket(7)). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>

static char bytes[65536];

/* Let the socket have so many bytes of each packet. */
static void keep(int fd, unsigned count)
{
	struct sock_filter program[] = {BPF_STMT(BPF_RET | BPF_K, count)};
	struct sock_fprog filter = {1, program};

	MUST(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)));
}

static struct sockaddr_in bind_any(int fd)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(address);

	MUST(bind(fd, (void *)&address, length));
	MUST(getsockname(fd, (void *)&address, &length));
	return address;
}

static int got(int fd)
{
	memset(bytes, 0, sizeof(bytes));
	return (int)recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

TEST(one_sockets_filter_is_no_others)
{
	int first, second, receiver, sender;
	struct sockaddr_in address;

	enter();
	first = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
	second = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
	receiver = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	sender = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	address = bind_any(receiver);
	for (unsigned count = 8; count < 48; count += 6) {
		keep(first, count);
		MUST(sendto(sender, "0123456789", 10, 0, (void *)&address, sizeof(address)));
		CHECK_EQ(got(first), count < 38 ? (int)count : 38);
		/* The headers tell of the whole packet. */
		CHECK_EQ(ntohs(((struct iphdr *)bytes)->tot_len), 38);
		if (count >= 28)
			CHECK_EQ(ntohs(((struct udphdr *)(bytes + 20))->len), 18);
		CHECK_EQ(got(second), 38);
		CHECK_EQ(got(receiver), 10);
	}
	keep(first, 0);
	keep(receiver, 11);
	MUST(sendto(sender, "0123456789", 10, 0, (void *)&address, sizeof(address)));
	CHECK_EQ(got(first), -1);
	CHECK_EQ(got(second), 38);
	CHECK_EQ(got(receiver), 3);
	keep(receiver, 1);
	MUST(sendto(sender, "0123456789", 10, 0, (void *)&address, sizeof(address)));
	CHECK_EQ(got(receiver), 0);
	CHECK_EQ(got(second), 38);
}

TEST(a_group_hears_what_one_cuts)
{
	struct sockaddr_in group = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_ALLHOSTS_GROUP)}};
	struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
	int first, second, sender, one = 1;
	socklen_t length = sizeof(group);

	enter();
	first = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	second = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	sender = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(setsockopt(first, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	MUST(setsockopt(second, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	MUST(bind(first, (void *)&group, length));
	MUST(getsockname(first, (void *)&group, &length));
	MUST(bind(second, (void *)&group, length));
	MUST(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof(loopback)));
	keep(first, 12);
	MUST(sendto(sender, "0123456789", 10, 0, (void *)&group, length));
	CHECK_EQ(got(first), 4);
	CHECK_EQ(got(second), 10);
	keep(second, 9);
	MUST(sendto(sender, "0123456789", 10, 0, (void *)&group, length));
	CHECK_EQ(got(first), 4);
	CHECK_EQ(got(second), 1);
}

TEST(packets_of_ipv6)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int raw, receiver, sender;
	socklen_t length = sizeof(address);

	enter();
	raw = (int)MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_UDP));
	receiver = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	sender = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(bind(receiver, (void *)&address, length));
	MUST(getsockname(receiver, (void *)&address, &length));
	keep(raw, 10);
	MUST(sendto(sender, "0123456789", 10, 0, (void *)&address, length));
	CHECK_EQ(got(raw), 10);
	CHECK_EQ(got(receiver), 10);
	keep(receiver, 10);
	MUST(sendto(sender, "0123456789", 10, 0, (void *)&address, length));
	CHECK_EQ(got(receiver), 2);
}

/* Ask for all interfaces; the length of the first answer. */
static int dump(int fd)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} request = {{sizeof(request), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {0}};

	MUST(send(fd, &request, sizeof(request), 0));
	return got(fd);
}

TEST(answers_of_netlink)
{
	struct nlmsghdr nonsense = {sizeof(nonsense), 0x7f, NLM_F_REQUEST | NLM_F_ACK, 1, 0};
	int fd;

	enter();
	fd = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	CHECK(dump(fd) > 100);
	CHECK(got(fd) >= 20);
	CHECK_EQ(got(fd), -1);
	keep(fd, 20);
	CHECK_EQ(dump(fd), 20);
	CHECK_EQ(got(fd), 20);
	CHECK_EQ(got(fd), -1);
	keep(fd, 0);
	CHECK_EQ(dump(fd), -1);
	MUST(send(fd, &nonsense, sizeof(nonsense), 0));
	CHECK_EQ(got(fd), -1);
	keep(fd, 17);
	MUST(send(fd, &nonsense, sizeof(nonsense), 0));
	CHECK_EQ(got(fd), 17);
}

static struct sockaddr_in listening(int *fd)
{
	struct sockaddr_in address;

	*fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	address = bind_any(*fd);
	MUST(listen(*fd, 5));
	return address;
}

static void connected(int ends[2])
{
	int listener;
	struct sockaddr_in address = listening(&listener);

	ends[0] = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(ends[0], (void *)&address, sizeof(address)));
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	MUST(close(listener));
}

static void keep_all(int fd)
{
	int nothing = 0;

	MUST(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof(nothing)));
}

static int events(int fd, int wait_ms)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};

	MUST(poll(&polled, 1, wait_ms));
	return polled.revents;
}

TEST(bytes_of_a_stream)
{
	struct pollfd polled = {.events = POLLIN};
	struct tcp_info info;
	socklen_t length = sizeof(info);
	int ends[2];

	enter();
	connected(ends);
	keep(ends[1], 0);
	CHECK_EQ(send(ends[0], "abc", 3, 0), 3);
	sleep_ms(100);
	CHECK_EQ(got(ends[1]), -1);
	CHECK_EQ(send(ends[0], "def", 3, 0), 3);
	MUST(getsockopt(ends[0], IPPROTO_TCP, TCP_INFO, &info, &length));
	CHECK_EQ(info.tcpi_state, TCP_ESTABLISHED);
	/* They are sent again. */
	keep_all(ends[1]);
	polled.fd = ends[1];
	MUST(poll(&polled, 1, 5000));
	for (int count = 0; count < 6;) {
		MUST(poll(&polled, 1, 5000));
		count += (int)MUST(recv(ends[1], bytes + count, sizeof(bytes), 0));
	}
	CHECK_EQ(memcmp(bytes, "abcdef", 6), 0);
	CHECK_EQ(send(ends[0], "ghi", 3, 0), 3);
	CHECK_EQ(recv(ends[1], bytes, sizeof(bytes), 0), 3);
	/* The header has 32 bytes, with the timestamps. */
	keep(ends[1], 33);
	CHECK_EQ(send(ends[0], "xyz", 3, 0), 3);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(recv(ends[1], bytes, sizeof(bytes), 0), 1);
		CHECK_EQ(bytes[0], "xyz"[i]);
	}
}

/* The state of a connection, once it is as wanted or after a while: FINs are acknowledged with delay. */
static int state_soon(int fd, int wanted)
{
	struct tcp_info info;
	socklen_t length = sizeof(info);

	for (int i = 0; i < 100; i++) {
		MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
		if (info.tcpi_state == wanted)
			break;
		sleep_ms(20);
	}
	return info.tcpi_state;
}

TEST(ends_of_a_stream)
{
	int ends[2];

	enter();
	connected(ends);
	keep(ends[1], 0);
	MUST(shutdown(ends[0], SHUT_WR));
	CHECK_EQ(state_soon(ends[0], TCP_FIN_WAIT1), TCP_FIN_WAIT1);
	CHECK_EQ(events(ends[1], 50), POLLOUT);
	CHECK_ERRNO(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	keep_all(ends[1]);
	CHECK_EQ(recv(ends[1], bytes, sizeof(bytes), 0), 0);
	CHECK_EQ(state_soon(ends[0], TCP_FIN_WAIT2), TCP_FIN_WAIT2);
	/* The other end's, too, and nobody has it open any more. */
	keep(ends[0], 0);
	MUST(close(ends[1]));
	CHECK_EQ(events(ends[0], 50), POLLOUT);
	keep_all(ends[0]);
	CHECK_EQ(recv(ends[0], bytes, sizeof(bytes), 0), 0);
	/* What was written before comes first. */
	connected(ends);
	keep(ends[1], 0);
	MUST(send(ends[0], "abc", 3, 0));
	MUST(close(ends[0]));
	sleep_ms(20);
	CHECK_EQ(got(ends[1]), -1);
	keep_all(ends[1]);
	CHECK_EQ(recv(ends[1], bytes, sizeof(bytes), MSG_WAITALL), 3);
	CHECK_EQ(recv(ends[1], bytes, sizeof(bytes), 0), 0);
}

TEST(connections_that_are_not_let_in)
{
	int listener, fd;
	struct sockaddr_in address;
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 5555, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0x40000),
	};
	struct sock_fprog filter = {4, program};

	enter();
	address = listening(&listener);
	keep(listener, 0);
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	CHECK_ERRNO(connect(fd, (void *)&address, sizeof(address)), EINPROGRESS);
	CHECK_EQ(events(fd, 50), 0);
	CHECK_EQ(events(listener, 0), 0);
	/* The SYN is sent again after a second. */
	keep_all(listener);
	CHECK_EQ(events(fd, 5000), POLLOUT);
	CHECK_EQ(events(listener, 0), POLLIN);
	CHECK_OK(accept(listener, NULL, NULL));
	/* By their ports. */
	MUST(setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)));
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	MUST(bind(fd, (void *)&(struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(5555)}, sizeof(address)));
	CHECK_ERRNO(connect(fd, (void *)&address, sizeof(address)), EINPROGRESS);
	CHECK_EQ(events(fd, 50), 0);
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_OK(connect(fd, (void *)&address, sizeof(address)));
	/* Who connects may not let in what answers. */
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	keep(fd, 0);
	CHECK_ERRNO(connect(fd, (void *)&address, sizeof(address)), EINPROGRESS);
	CHECK_EQ(events(fd, 50), 0);
}
