/* What goes with packets beside their bytes: marks, priorities, and how far they may have come (socket(7), ip(7)). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>

#define PORT 7001

#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif
#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY 82
#endif

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void set(int fd, int level, int name, int value)
{
	MUST(setsockopt(fd, level, name, &value, sizeof(value)));
}

/* Sends a byte to PORT with a control message of `length` bytes, or none. */
static int send_with(int fd, int level, int type, int value, size_t length)
{
	union {
		char bytes[CMSG_SPACE(8)];
		struct cmsghdr header;
	} control = {.header = {.cmsg_len = CMSG_LEN(length), .cmsg_level = level, .cmsg_type = type}};
	struct sockaddr_in to = local(PORT);
	struct iovec part = {"x", 1};
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &part, .msg_iovlen = 1};

	memcpy(CMSG_DATA(&control.header), &value, sizeof(value));
	if (length != 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(length);
	}
	return sendmsg(fd, &message, 0) == -1 ? -errno : 0;
}

/* The mark and the priority of what has arrived, as one number. */
static int64_t received(int fd)
{
	char bytes[64], control[128];
	struct iovec part = {bytes, sizeof(bytes)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int mark = -1, priority = -1;

	if (recvmsg(fd, &message, MSG_DONTWAIT) == -1)
		return -errno;
	for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item != NULL; item = CMSG_NXTHDR(&message, item)) {
		if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SO_MARK)
			memcpy(&mark, CMSG_DATA(item), sizeof(mark));
		if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SO_PRIORITY)
			memcpy(&priority, CMSG_DATA(item), sizeof(priority));
	}
	return mark * 1000LL + priority;
}

ROOTS_TEST(marks_and_priorities)
{
	struct sockaddr_in own = local(PORT);
	int server, fd, raw;

	enter();
	server = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(bind(server, (void *)&own, sizeof(own)));
	CHECK_EQ(send_with(fd, 0, 0, 0, 0), 0);
	CHECK_EQ(received(server), -1001);
	set(server, SOL_SOCKET, SO_RCVMARK, 1);
	set(server, SOL_SOCKET, SO_RCVPRIORITY, 1);
	CHECK_EQ(send_with(fd, 0, 0, 0, 0), 0);
	CHECK_EQ(received(server), 0);
	set(fd, SOL_SOCKET, SO_MARK, 77);
	set(fd, SOL_SOCKET, SO_PRIORITY, 5);
	CHECK_EQ(send_with(fd, 0, 0, 0, 0), 0);
	CHECK_EQ(received(server), 77005);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_MARK, 99, 4), 0);
	CHECK_EQ(received(server), 99005);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_PRIORITY, 7, 4), 0);
	CHECK_EQ(received(server), 77007);
	/* The type of service is a priority too. */
	CHECK_EQ(send_with(fd, SOL_IP, IP_TOS, 0x10, 4), 0);
	CHECK_EQ(received(server), 77006);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_MARK, 99, 8), -EINVAL);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_PRIORITY, 1, 1), -EINVAL);
	raw = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
	set(raw, SOL_SOCKET, SO_RCVMARK, 1);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_MARK, 3, 4), 0);
	CHECK_EQ(received(raw), 2999);
	CHECK_EQ(received(server), 3005);
	drop_root();
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	set(fd, SOL_SOCKET, SO_RCVMARK, 1);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_MARK, 1, 4), -EPERM);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_PRIORITY, 7, 4), -EPERM);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_PRIORITY, 6, 4), 0);
	CHECK_EQ(received(server), 6);
}

/* Sends an echo request with a mark, and gives that of the answer which comes back. */
static int64_t mark_of_echo(int fd, int family, unsigned mark)
{
	struct sockaddr_in four = local(0);
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	unsigned char echo[8] = {family == AF_INET ? 8 : 128, 0, 0xF7, 0xFF};

	set(fd, SOL_SOCKET, SO_MARK, (int)mark);
	if (family == AF_INET)
		MUST(sendto(fd, echo, sizeof(echo), 0, (void *)&four, sizeof(four)));
	else
		MUST(sendto(fd, echo, sizeof(echo), 0, (void *)&six, sizeof(six)));
	/* The request comes back too, before. */
	CHECK_EQ(received(fd), mark * 1000LL - 1);
	return received(fd);
}

/* What the kernel itself answers has no mark, or that of what it answers to (fwmark_reflect). */
ROOTS_TEST(marks_of_answers)
{
	const int families[] = {AF_INET, AF_INET6};
	struct sockaddr_in own = local(0);
	int ping;

	enter();
	for (size_t at = 0; at < LENGTH(families); at++) {
		int protocol = at == 0 ? IPPROTO_ICMP : IPPROTO_ICMPV6, fd = (int)MUST(socket(families[at], SOCK_RAW, protocol));
		const char *path = at == 0 ? "/proc/sys/net/ipv4/fwmark_reflect" : "/proc/sys/net/ipv6/fwmark_reflect";

		set(fd, SOL_SOCKET, SO_RCVMARK, 1);
		CHECK_EQ(mark_of_echo(fd, families[at], 7), -1);
		CHECK_OK(write_text(path, "1"));
		CHECK_EQ(mark_of_echo(fd, families[at], 7), 6999);
		CHECK_EQ(mark_of_echo(fd, families[at], 0), -1);
		CHECK_ERRNO(write_text(path, "256"), EINVAL);
		CHECK_OK(write_text(path, "0"));
		CHECK_EQ(mark_of_echo(fd, families[at], 7), -1);
		close(fd);
	}
	/* Sockets of echoes alone aren't told of marks. */
	MUST(write_text("/proc/sys/net/ipv4/ping_group_range", "0 0"));
	MUST(write_text("/proc/sys/net/ipv4/fwmark_reflect", "1"));
	ping = (int)MUST(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	set(ping, SOL_SOCKET, SO_RCVMARK, 1);
	set(ping, SOL_SOCKET, SO_MARK, 7);
	MUST(sendto(ping, (char[8]){8}, 8, 0, (void *)&own, sizeof(own)));
	CHECK_EQ(received(ping), -1001);
}

/* Sends to 127.0.0.1, to ::1 or, `is_mapped`, to ::ffff:127.0.0.1 with a control message. */
static int send_choosing(int fd, int is_mapped, int level, int type, const void *value, size_t length)
{
	struct sockaddr_in four = local(PORT);
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = in6addr_loopback};
	char control[CMSG_SPACE(64)] = {0};
	struct cmsghdr *header = (void *)control;
	struct iovec part = {"x", 1};
	struct msghdr message = {.msg_name = &four, .msg_namelen = sizeof(four), .msg_iov = &part, .msg_iovlen = 1,
				 .msg_control = control, .msg_controllen = CMSG_SPACE(length)};
	int domain;

	MUST(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){sizeof(domain)}));
	if (domain == AF_INET6) {
		message.msg_name = &six;
		message.msg_namelen = sizeof(six);
	}
	if (is_mapped)
		inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr);
	*header = (struct cmsghdr){CMSG_LEN(length), level, type};
	memcpy(CMSG_DATA(header), value, length);
	return sendmsg(fd, &message, 0) == -1 ? -errno : 0;
}

static int choose_4(int fd, const char *source, int interface)
{
	struct in_pktinfo choice = {.ipi_ifindex = interface};

	inet_pton(AF_INET, source, &choice.ipi_spec_dst);
	return send_choosing(fd, 0, SOL_IP, IP_PKTINFO, &choice, sizeof(choice));
}

static int choose_6(int fd, int is_mapped, const char *source, int interface)
{
	struct in6_pktinfo choice = {.ipi6_ifindex = (unsigned int)interface};

	inet_pton(AF_INET6, source, &choice.ipi6_addr);
	return send_choosing(fd, is_mapped, SOL_IPV6, IPV6_PKTINFO, &choice, sizeof(choice));
}

ROOTS_TEST(where_a_packet_is_sent_from)
{
	int four, six, bound;

	enter();
	four = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	six = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_EQ(choose_4(four, "127.0.0.9", 1), 0);
	CHECK_EQ(choose_4(four, "1.2.3.4", 0), -ENETUNREACH);
	CHECK_EQ(choose_4(four, "224.0.0.1", 0), -EINVAL);
	CHECK_EQ(choose_4(four, "127.0.0.1", 77), -ENODEV);
	CHECK_EQ(choose_4(four, "1.2.3.4", 77), -ENETUNREACH);
	CHECK_EQ(choose_4((int)MUST(socket(AF_INET, SOCK_RAW, 200)), "1.2.3.4", 0), -ENETUNREACH);
	CHECK_EQ(choose_6(six, 0, "::1", 1), 0);
	CHECK_EQ(choose_6(six, 0, "::", 77), -ENODEV);
	CHECK_EQ(choose_6(six, 0, "2001:db8::1", 77), -ENODEV);
	CHECK_EQ(choose_6(six, 0, "2001:db8::1", 0), -EINVAL);
	CHECK_EQ(choose_6(six, 0, "::ffff:0.0.0.0", 0), -EINVAL);
	CHECK_EQ(choose_6(six, 1, "::ffff:127.0.0.1", 0), 0);
	CHECK_EQ(choose_6(six, 1, "::ffff:1.2.3.4", 0), -ENETUNREACH);
	CHECK_EQ(choose_6(six, 1, "::1", 0), -EINVAL);
	bound = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	MUST(setsockopt(bound, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	CHECK_EQ(choose_6(bound, 0, "::", 77), -EINVAL);
	CHECK_EQ(choose_6(bound, 1, "::ffff:127.0.0.1", 77), -ENODEV);
}

ROOTS_TEST(what_else_is_chosen_for_a_packet)
{
	struct sockaddr_in own = local(PORT);
	char options[4] = {IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_EOL}, control[128], bytes[8];
	struct iovec part = {bytes, sizeof(bytes)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int server, four, six, raw, number = 5;

	enter();
	server = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(bind(server, (void *)&own, sizeof(own)));
	set(server, SOL_IP, IP_RECVOPTS, 1);
	four = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	six = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_EQ(send_choosing(four, 0, SOL_IP, IP_RETOPTS, options, 4), 0);
	CHECK_EQ(recvmsg(server, &message, MSG_DONTWAIT), 1);
	CHECK_EQ(CMSG_FIRSTHDR(&message)->cmsg_type, IP_RECVOPTS);
	CHECK_EQ(CMSG_FIRSTHDR(&message)->cmsg_len, CMSG_LEN(4));
	CHECK_EQ(send_choosing(four, 0, SOL_IP, IP_RETOPTS, "\x07\xff", 2), -EINVAL);
	CHECK_EQ(send_choosing(four, 0, SOL_IP, IP_TTL, &number, 4), 0);
	CHECK_EQ(send_choosing(four, 0, SOL_IP, IP_TTL, &number, 1), -EINVAL);
	CHECK_EQ(send_choosing(four, 0, SOL_IP, IP_TOS, &number, 1), 0);
	CHECK_EQ(send_choosing(four, 0, SOL_IP, IP_PROTOCOL, &number, 4), 0);
	CHECK_EQ(send_choosing(six, 0, SOL_IPV6, IPV6_2292HOPLIMIT, &number, 4), 0);
	CHECK_EQ(send_choosing(six, 0, SOL_IPV6, IPV6_DONTFRAG, &number, 4), -EINVAL);
	number = 1;
	CHECK_EQ(send_choosing(six, 0, SOL_IPV6, IPV6_DONTFRAG, &number, 4), 0);
	number = 256;
	CHECK_EQ(send_choosing(four, 0, SOL_IP, IP_PROTOCOL, &number, 4), -EINVAL);
	/* A port of IPv6 is the protocol of what is raw. */
	raw = (int)MUST(socket(AF_INET6, SOCK_RAW, 200));
	number = 5;
	CHECK_EQ(send_choosing(raw, 0, SOL_IPV6, IPV6_HOPLIMIT, &number, 4), -EINVAL);
}

static int listener(int port)
{
	struct sockaddr_in own = local(port);
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(bind(fd, (void *)&own, sizeof(own)));
	MUST(listen(fd, 5));
	return fd;
}

static int connecting(int port, int ttl)
{
	struct sockaddr_in to = local(port);
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));

	set(fd, SOL_IP, IP_TTL, ttl);
	CHECK_ERRNO(connect(fd, (void *)&to, sizeof(to)), EINPROGRESS);
	return fd;
}

static int events_of(int fd, int events, int milliseconds)
{
	struct pollfd asked = {fd, (short)events, 0};

	MUST(poll(&asked, 1, milliseconds));
	return asked.revents;
}

static int longest_segment(int fd)
{
	int value = -1;

	MUST(getsockopt(fd, SOL_TCP, TCP_MAXSEG, &value, &(socklen_t){sizeof(value)}));
	return value;
}

/* Those of a stream are the connection's: what messages say is looked at alone. */
ROOTS_TEST(marks_of_a_stream)
{
	struct sockaddr_in own = local(PORT);
	int server, fd;

	enter();
	server = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(server, (void *)&own, sizeof(own)));
	MUST(listen(server, 1));
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(fd, (void *)&own, sizeof(own)));
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_MARK, 99, 4), 0);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_MARK, 99, 8), -EINVAL);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_PRIORITY, 7, 4), 0);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_PRIORITY, 7, 2), -EINVAL);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_RCVBUF, 7, 4), -EINVAL);
	CHECK_EQ(send_with(fd, SOL_IP, IP_TTL, 7, 2), 0);
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_MARK, 99, 8), -EPERM);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_PRIORITY, 7, 4), -EPERM);
	CHECK_EQ(send_with(fd, SOL_SOCKET, SO_PRIORITY, 6, 4), 0);
}

/* Packet sockets hear of marks and priorities too, going out and coming in. */
ROOTS_TEST(marks_of_frames)
{
	int frames, fd;

	enter();
	frames = (int)MUST(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL)));
	set(frames, SOL_SOCKET, SO_RCVMARK, 1);
	set(frames, SOL_SOCKET, SO_RCVPRIORITY, 1);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	set(fd, SOL_SOCKET, SO_MARK, 77);
	set(fd, SOL_SOCKET, SO_PRIORITY, 5);
	CHECK_EQ(send_with(fd, 0, 0, 0, 0), 0);
	CHECK_EQ(received(frames), 77005);
	CHECK_EQ(received(frames), 77005);
}

/* TCP_MAXSEG of a connection is what is sent at most: chosen by either end, less what time stamps take, and not
 * more than half of the other end's window. */
ROOTS_TEST(how_long_segments_are)
{
	int server, fd, accepted;
	struct tcp_info told;

	enter();
	server = listener(PORT);
	fd = connecting(PORT, 64);
	accepted = (int)MUST(accept(server, NULL, NULL));
	CHECK_EQ(longest_segment(fd), 32741);
	CHECK_EQ(longest_segment(accepted), 32768);
	CHECK_EQ(longest_segment(server), 536);
	set(fd, SOL_TCP, TCP_MAXSEG, 1000);
	CHECK_EQ(longest_segment(fd), 32741);
	MUST(getsockopt(fd, SOL_TCP, TCP_INFO, &told, &(socklen_t){sizeof(told)}));
	CHECK_EQ(told.tcpi_snd_mss, 32741);
	CHECK_EQ(told.tcpi_pmtu, 65535);
	MUST(close(fd));
	MUST(close(accepted));
	set(server, SOL_TCP, TCP_MAXSEG, 800);
	CHECK_EQ(longest_segment(server), 800);
	fd = connecting(PORT, 64);
	accepted = (int)MUST(accept(server, NULL, NULL));
	CHECK_EQ(longest_segment(fd), 788);
	CHECK_EQ(longest_segment(accepted), 788);
	MUST(close(fd));
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	set(fd, SOL_TCP, TCP_MAXSEG, 500);
	CHECK_EQ(longest_segment(fd), 500);
	MUST(connect(fd, (void *)&(struct sockaddr_in[]){local(PORT)}[0], sizeof(struct sockaddr_in)));
	CHECK_EQ(longest_segment(fd), 488);
	MUST(close(accepted));
	accepted = (int)MUST(accept(server, NULL, NULL));
	CHECK_EQ(longest_segment(accepted), 488);
}

ROOTS_TEST(who_is_too_far_away)
{
	int server, fd, accepted, value = -1;

	enter();
	server = listener(PORT);
	set(server, SOL_IP, IP_MINTTL, 65);
	fd = connecting(PORT, 64);
	CHECK_EQ(events_of(fd, POLLOUT, 100), 0);
	/* The SYN that is sent again comes from nearer. */
	set(fd, SOL_IP, IP_TTL, 65);
	CHECK_EQ(events_of(fd, POLLOUT, 2000), POLLOUT);
	accepted = (int)MUST(accept(server, NULL, NULL));
	MUST(getsockopt(accepted, SOL_IP, IP_MINTTL, &value, &(socklen_t){sizeof(value)}));
	CHECK_EQ(value, 65);
	set(fd, SOL_IP, IP_TTL, 3);
	CHECK_EQ(send(fd, "abc", 3, 0), 3);
	CHECK_EQ(events_of(accepted, POLLIN, 100), 0);
	CHECK_EQ(send(accepted, "xyz", 3, 0), 3);
	CHECK_EQ(events_of(fd, POLLIN, 1000), POLLIN);
	set(accepted, SOL_IP, IP_MINTTL, 0);
	CHECK_EQ(events_of(accepted, POLLIN, 5000), POLLIN);
	/* And who says that there is nobody. */
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	set(fd, SOL_IP, IP_MINTTL, 65);
	CHECK_ERRNO(connect(fd, (void *)&(struct sockaddr_in[]){local(PORT + 1)}[0], sizeof(struct sockaddr_in)), EINPROGRESS);
	CHECK_EQ(events_of(fd, POLLOUT, 100), 0);
}

static int told(int fd, unsigned long request)
{
	int value = -1;

	MUST(ioctl(fd, request, &value));
	return value;
}

ROOTS_TEST(numbers_go_on_after_a_connection)
{
	struct sockaddr_in nobody = local(PORT);
	struct sockaddr_in6 nobody_6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = in6addr_loopback};
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	int fd, six;

	enter();
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_EQ(told(fd, TIOCOUTQ), 0);
	MUST(connect(fd, &none, sizeof(none)));
	CHECK_EQ(told(fd, TIOCOUTQ), 2);
	CHECK_ERRNO(connect(fd, (void *)&nobody, sizeof(nobody)), ECONNREFUSED);
	CHECK_EQ(told(fd, TIOCOUTQ), 3);
	CHECK_EQ(longest_segment(fd), 524);
	MUST(connect(fd, &none, sizeof(none)));
	CHECK_EQ(told(fd, TIOCOUTQ), 5);
	CHECK_EQ(longest_segment(fd), 524);
	six = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	CHECK_EQ(longest_segment(six), 536);
	CHECK_ERRNO(connect(six, (void *)&nobody_6, sizeof(nobody_6)), ECONNREFUSED);
	CHECK_EQ(longest_segment(six), 1208);
	CHECK_EQ(told(six, TIOCOUTQ), 3);
}

ROOTS_TEST(which_sockets_are_shut_down)
{
	int packet, netlink, local_fd;

	enter();
	packet = (int)MUST(socket(AF_PACKET, SOCK_RAW, 0));
	netlink = (int)MUST(socket(AF_NETLINK, SOCK_RAW, 0));
	local_fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_ERRNO(shutdown(packet, SHUT_RD), EOPNOTSUPP);
	CHECK_ERRNO(shutdown(packet, 77), EOPNOTSUPP);
	CHECK_ERRNO(shutdown(netlink, -1), EOPNOTSUPP);
	CHECK_ERRNO(shutdown(local_fd, 77), EINVAL);
}

ROOTS_TEST(connecting_to_nowhere_is_connecting_to_oneself)
{
	struct sockaddr_in own = local(PORT), nowhere = local(PORT), found;
	int fd;

	enter();
	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	nowhere.sin_addr.s_addr = 0;
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	MUST(bind(fd, (void *)&own, sizeof(own)));
	CHECK_ERRNO(connect(fd, (void *)&nowhere, sizeof(nowhere)), EINPROGRESS);
	CHECK_EQ(send(fd, "x", 1, 0), 1);
	MUST(getpeername(fd, (void *)&found, &(socklen_t){sizeof(found)}));
	CHECK_EQ(ntohl(found.sin_addr.s_addr), INADDR_LOOPBACK + 1);
}

static int connect_refused(int fd, const char *address)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};

	if (inet_pton(AF_INET, address, &four.sin_addr) == 1)
		return ERRNO_OF(connect(fd, (void *)&four, sizeof(four)));
	inet_pton(AF_INET6, address, &six.sin6_addr);
	return ERRNO_OF(connect(fd, (void *)&six, sizeof(six)));
}

static int bound_to(int kind, int protocol, const char *address)
{
	struct sockaddr_in6 own = {.sin6_family = AF_INET6};
	int fd = (int)MUST(socket(AF_INET6, kind, protocol));

	inet_pton(AF_INET6, address, &own.sin6_addr);
	MUST(bind(fd, (void *)&own, sizeof(own)));
	return fd;
}

ROOTS_TEST(protocols_that_sockets_of_ipv6_take)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
	int fd;

	MUST(unshare(CLONE_NEWNET));
	/* No interface is up: nothing to send from. */
	CHECK_EQ(connect_refused((int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), "::1"), EADDRNOTAVAIL);
	CHECK_EQ(connect_refused((int)MUST(socket(AF_INET6, SOCK_STREAM, 0)), "2001:db8::1"), EADDRNOTAVAIL);
	CHECK_EQ(connect_refused((int)MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_UDP)), "::1"), EADDRNOTAVAIL);
	enter();
	CHECK_EQ(connect_refused(bound_to(SOCK_DGRAM, 0, "::1"), "127.0.0.1"), EAFNOSUPPORT);
	CHECK_EQ(connect_refused(bound_to(SOCK_DGRAM, 0, "::1"), "::ffff:127.0.0.1"), ENETUNREACH);
	CHECK_EQ(connect_refused(bound_to(SOCK_DGRAM, 0, "::"), "127.0.0.1"), 0);
	CHECK_EQ(connect_refused(bound_to(SOCK_RAW, IPPROTO_UDP, "::1"), "127.0.0.1"), EAFNOSUPPORT);
	CHECK_EQ(connect_refused(bound_to(SOCK_RAW, IPPROTO_UDP, "::1"), "::ffff:127.0.0.1"), 0);
	CHECK_EQ(connect_refused(bound_to(SOCK_RAW, IPPROTO_UDP, "::1"), "2001:db8::1"), ENETUNREACH);
	fd = (int)MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_UDP));
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
	CHECK_ERRNO(bind(fd, (void *)&mapped, sizeof(mapped)), EADDRNOTAVAIL);
}
