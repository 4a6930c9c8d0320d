/* What is told of a connection of TCP in each of its states, when it acknowledges, and which refusal comes first (tcp(7)). */
#include "check.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int listener, here, there;
static struct sockaddr_in6 place;
static socklen_t place_size;

static int value_of(int fd, int level, int name)
{
	int value = -77;

	MUST(getsockopt(fd, level, name, &value, &(socklen_t){sizeof(value)}));
	return value;
}

static int told(int fd, int name)
{
	return value_of(fd, IPPROTO_TCP, name);
}

static struct tcp_info info_of(int fd)
{
	struct tcp_info info = {0};

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){sizeof(info)}));
	return info;
}

static void begin(int family)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	place = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	place_size = sizeof(place);
	if (family == AF_INET) {
		memcpy(&place, &four, sizeof(four));
		place_size = sizeof(four);
	}
	listener = (int)MUST(socket(family, SOCK_STREAM, 0));
	MUST(bind(listener, (struct sockaddr *)&place, place_size));
	MUST(listen(listener, 5));
	MUST(getsockname(listener, (struct sockaddr *)&place, &place_size));
}

static void join(int family)
{
	begin(family);
	here = (int)MUST(socket(family, SOCK_STREAM, 0));
	MUST(connect(here, (struct sockaddr *)&place, place_size));
	there = (int)MUST(accept(listener, NULL, NULL));
}

static void reset_from_there(void)
{
	struct linger at_once = {1, 0};

	MUST(setsockopt(there, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
	MUST(close(there));
}

static void give_up(void)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	MUST(connect(here, &nobody, sizeof(nobody)));
}

TEST(windows_and_segments)
{
	struct tcp_info info;
	int longest, first;

	join(AF_INET);
	info = info_of(here);
	longest = (int)info.tcpi_pmtu - 40;
	first = longest - 12;
	CHECK_EQ(told(here, TCP_MAXSEG), first / 2);
	CHECK_EQ(told(there, TCP_MAXSEG), 65536 / 2);
	CHECK_EQ(told(here, TCP_WINDOW_CLAMP), 65536);
	CHECK_EQ(info.tcpi_snd_mss, first / 2);
	CHECK_EQ(info.tcpi_rcv_ssthresh, longest);
	CHECK_EQ(info.tcpi_rcv_space, longest);
	info = info_of(there);
	CHECK_EQ(info.tcpi_rcv_ssthresh, first);
	CHECK_EQ(info.tcpi_rcv_space, first);
	/* What comes back has the window's scale. */
	MUST(send(here, "a", 1, 0));
	CHECK_EQ(told(here, TCP_MAXSEG), 65536 / 2);
}

TEST(after_a_reset)
{
	struct tcp_info before, info;

	join(AF_INET);
	before = info_of(here);
	reset_from_there();
	CHECK_EQ(told(here, TCP_MAXSEG), before.tcpi_snd_mss);
	CHECK_EQ(told(here, TCP_WINDOW_CLAMP), 65536);
	info = info_of(here);
	CHECK_EQ(info.tcpi_state, TCP_CLOSE);
	CHECK_EQ(info.tcpi_options, before.tcpi_options);
	CHECK(info.tcpi_options & TCPI_OPT_TIMESTAMPS);
	CHECK_EQ(info.tcpi_snd_mss, before.tcpi_snd_mss);
	CHECK_EQ(info.tcpi_advmss, before.tcpi_advmss);
	CHECK_EQ(info.tcpi_rcv_mss, 536);
	CHECK_EQ(info.tcpi_pmtu, before.tcpi_pmtu);
	CHECK_EQ(info.tcpi_rcv_space, before.tcpi_rcv_space);
	CHECK(info.tcpi_rtt > 0);
	CHECK_ERRNO(recv(here, &info, 1, 0), ECONNRESET);
	CHECK_EQ(told(here, TCP_MAXSEG), before.tcpi_snd_mss);
}

/* Who takes reports of errors with recvmmsg leaves the connection's own error to the next. */
TEST(an_error_while_reports_are_taken)
{
	char byte;
	struct iovec part = {&byte, 1};
	struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};

	join(AF_INET);
	reset_from_there();
	CHECK_ERRNO(recvmmsg(here, &message, 1, MSG_ERRQUEUE | MSG_DONTWAIT, NULL), EAGAIN);
	CHECK_ERRNO(recvmmsg(here, &message, 1, MSG_DONTWAIT, NULL), ECONNRESET);
	CHECK_EQ(recvmmsg(here, &message, 1, MSG_DONTWAIT, NULL), 1);
}

TEST(once_given_up)
{
	struct tcp_info before, info;
	int unsent = 0;

	join(AF_INET);
	before = info_of(here);
	give_up();
	CHECK_EQ(told(here, TCP_MAXSEG), before.tcpi_snd_mss);
	CHECK_EQ(told(here, TCP_WINDOW_CLAMP), 0);
	info = info_of(here);
	CHECK_EQ(info.tcpi_options, 0);
	CHECK_EQ(info.tcpi_snd_mss, before.tcpi_snd_mss);
	CHECK_EQ(info.tcpi_rcv_mss, 88);
	CHECK_EQ(info.tcpi_advmss, before.tcpi_advmss);
	CHECK_EQ(info.tcpi_rcv_space, before.tcpi_rcv_space);
	CHECK_EQ(info.tcpi_rtt, 0);
	/* The next connection's numbers are beyond the last one's window. */
	MUST(ioctl(here, SIOCOUTQNSD, &unsent));
	CHECK_EQ(unsent, before.tcpi_advmss + 2);
	/* It never listens, but has a port from having tried. */
	CHECK_ERRNO(listen(here, 1), EINVAL);
	((struct sockaddr_in *)&place)->sin_port = 0;
	CHECK_ERRNO(bind(here, (struct sockaddr *)&place, place_size), EINVAL);
}

TEST(as_long_as_nobody_answers)
{
	struct tcp_info info;
	int chosen = 1000, first;

	begin(AF_INET);
	MUST(listen(listener, 0));
	first = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(first, (struct sockaddr *)&place, place_size));
	here = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	CHECK_ERRNO(connect(here, (struct sockaddr *)&place, place_size), EINPROGRESS);
	CHECK_EQ(told(here, TCP_MAXSEG), 536 - 12);
	info = info_of(here);
	CHECK_EQ(info.tcpi_state, TCP_SYN_SENT);
	CHECK_EQ(info.tcpi_options, 0);
	CHECK_EQ(info.tcpi_snd_mss, 536 - 12);
	CHECK_EQ(info.tcpi_rcv_mss, 88);
	CHECK_EQ(info.tcpi_unacked, 1);
	CHECK_EQ(info.tcpi_advmss, info.tcpi_pmtu - 40);
	CHECK_EQ(info.tcpi_rcv_ssthresh, info.tcpi_pmtu - 40);
	CHECK_EQ(info.tcpi_rcv_space, 0);
	CHECK_EQ(info.tcpi_rtt, 0);
	CHECK_EQ(info.tcpi_rto, 1000000);
	here = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	MUST(setsockopt(here, IPPROTO_TCP, TCP_MAXSEG, &chosen, sizeof(chosen)));
	CHECK_ERRNO(connect(here, (struct sockaddr *)&place, place_size), EINPROGRESS);
	CHECK_EQ(told(here, TCP_MAXSEG), 1000 - 12);
}

TEST(acknowledging_with_an_answer)
{
	char bytes[8];

	join(AF_INET);
	CHECK_EQ(told(here, TCP_QUICKACK), 1);
	MUST(send(there, "a", 1, 0));
	CHECK_EQ(told(here, TCP_QUICKACK), 1);
	sleep_ms(80);
	/* That is no answer to what came so long ago. */
	MUST(send(here, "b", 1, 0));
	CHECK_EQ(told(here, TCP_QUICKACK), 1);
	MUST(recv(there, bytes, 8, 0));
	MUST(send(there, "c", 1, 0));
	CHECK_EQ(told(there, TCP_QUICKACK), 0);
	MUST(send(here, "d", 1, 0));
	CHECK_EQ(told(here, TCP_QUICKACK), 0);
	CHECK_EQ(told(there, TCP_QUICKACK), 0);
	sleep_ms(120);
	/* Nothing came from here after the answer; there, nothing was sent after it. */
	CHECK_EQ(told(here, TCP_QUICKACK), 0);
	CHECK_EQ(told(there, TCP_QUICKACK), 1);
	give_up();
	CHECK_EQ(told(here, TCP_QUICKACK), 1);
}

TEST(acknowledging_as_was_set)
{
	int off = 0, others[] = {1, 2, -1};

	begin(AF_INET);
	MUST(setsockopt(listener, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off)));
	here = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(setsockopt(here, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off)));
	CHECK_EQ(told(here, TCP_QUICKACK), 0);
	MUST(connect(here, (struct sockaddr *)&place, place_size));
	there = (int)MUST(accept(listener, NULL, NULL));
	CHECK_EQ(told(here, TCP_QUICKACK), 1);
	CHECK_EQ(told(there, TCP_QUICKACK), 0);
	for (size_t at = 0; at < LENGTH(others); at++) {
		MUST(setsockopt(here, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off)));
		CHECK_EQ(told(here, TCP_QUICKACK), 0);
		MUST(setsockopt(here, IPPROTO_TCP, TCP_QUICKACK, &others[at], sizeof(off)));
		CHECK_EQ(told(here, TCP_QUICKACK), 1);
	}
	MUST(send(here, "a", 1, 0));
	sleep_ms(100);
	CHECK_EQ(told(there, TCP_QUICKACK), 1);
}

TEST(acknowledging_the_end)
{
	join(AF_INET);
	MUST(send(there, "a", 1, 0));
	MUST(shutdown(there, SHUT_WR));
	CHECK_EQ(told(here, TCP_QUICKACK), 0);
	sleep_ms(100);
	CHECK_EQ(told(here, TCP_QUICKACK), 1);
	CHECK_EQ(info_of(here).tcpi_ato, 40000);
}

TEST(when_it_was_last_heard)
{
	struct tcp_info info;

	join(AF_INET);
	sleep_ms(60);
	MUST(send(here, "a", 1, 0));
	info = info_of(here);
	CHECK(info.tcpi_last_data_sent < 50);
	CHECK(info.tcpi_last_data_recv >= 50);
	CHECK(info.tcpi_last_ack_recv < 50);
	info = info_of(there);
	CHECK(info.tcpi_last_data_sent >= 50);
	CHECK(info.tcpi_last_data_recv < 50);
}

TEST(where_packets_arrive)
{
	int none = -1, sockets[2];
	char byte;

	begin(AF_INET);
	here = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_EQ(value_of(here, SOL_SOCKET, SO_INCOMING_CPU), -1);
	CHECK_EQ(value_of(listener, SOL_SOCKET, SO_INCOMING_CPU), -1);
	MUST(connect(here, (struct sockaddr *)&place, place_size));
	there = (int)MUST(accept(listener, NULL, NULL));
	CHECK(value_of(here, SOL_SOCKET, SO_INCOMING_CPU) >= 0);
	CHECK(value_of(there, SOL_SOCKET, SO_INCOMING_CPU) >= 0);
	CHECK_EQ(value_of(listener, SOL_SOCKET, SO_INCOMING_CPU), -1);
	MUST(setsockopt(there, SOL_SOCKET, SO_INCOMING_CPU, &none, sizeof(none)));
	CHECK_EQ(value_of(there, SOL_SOCKET, SO_INCOMING_CPU), -1);
	MUST(send(here, "a", 1, 0));
	CHECK(value_of(there, SOL_SOCKET, SO_INCOMING_CPU) >= 0);
	close(listener);
	close(here);
	here = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(connect(here, (struct sockaddr *)&place, place_size), ECONNREFUSED);
	CHECK(value_of(here, SOL_SOCKET, SO_INCOMING_CPU) >= 0);
	/* Of UDP only those that are connected. */
	for (int at = 0; at < 2; at++) {
		sockets[at] = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
		((struct sockaddr_in *)&place)->sin_port = 0;
		MUST(bind(sockets[at], (struct sockaddr *)&place, place_size));
		MUST(getsockname(sockets[at], (struct sockaddr *)&place, &place_size));
	}
	MUST(connect(sockets[0], (struct sockaddr *)&place, place_size));
	MUST(send(sockets[0], "a", 1, 0));
	CHECK_EQ(recv(sockets[1], &byte, 1, 0), 1);
	CHECK_EQ(value_of(sockets[1], SOL_SOCKET, SO_INCOMING_CPU), -1);
	MUST(getsockname(sockets[0], (struct sockaddr *)&place, &place_size));
	MUST(connect(sockets[1], (struct sockaddr *)&place, place_size));
	MUST(send(sockets[1], "a", 1, 0));
	CHECK(value_of(sockets[0], SOL_SOCKET, SO_INCOMING_CPU) >= 0);
}

TEST(how_the_connection_came)
{
	join(AF_INET6);
	CHECK_EQ(value_of(there, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 64);
	CHECK_EQ(value_of(there, IPPROTO_IPV6, IPV6_MULTICAST_IF), (int)if_nametoindex("lo"));
	CHECK_EQ(value_of(here, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 1);
	CHECK_EQ(value_of(here, IPPROTO_IPV6, IPV6_MULTICAST_IF), 0);
}

static int refusal(ssize_t result)
{
	return result == -1 ? errno : 0;
}

TEST(sending_to_who_is_gone)
{
	static char much[400000];
	int queued = -1;
	char byte;

	join(AF_INET);
	MUST(close(there));
	/* What is kept back for more meets nobody yet. */
	CHECK_EQ(send(here, "abc", 3, MSG_MORE | MSG_NOSIGNAL), 3);
	CHECK_EQ(value_of(here, SOL_SOCKET, SO_ERROR), 0);
	CHECK_EQ(send(here, "def", 3, MSG_MORE | MSG_NOSIGNAL), 3);
	CHECK_EQ(send(here, "end", 3, MSG_NOSIGNAL), 3);
	CHECK_EQ(value_of(here, SOL_SOCKET, SO_ERROR), EPIPE);
	CHECK_EQ(recv(here, &byte, 1, 0), 0);
	join(AF_INET);
	MUST(close(there));
	/* The answer to the first segment isn't looked at before the call ends. */
	CHECK_EQ(send(here, much, sizeof(much), MSG_DONTWAIT | MSG_NOSIGNAL), sizeof(much));
	CHECK_EQ(value_of(here, SOL_SOCKET, SO_ERROR), EPIPE);
	/* What was refused was never acknowledged. */
	join(AF_INET);
	MUST(shutdown(here, SHUT_RDWR));
	CHECK_EQ(send(there, "123456", 6, MSG_NOSIGNAL), 6);
	MUST(ioctl(there, SIOCOUTQ, &queued));
	CHECK_EQ(queued, 6);
	CHECK_EQ(refusal(recv(here, &byte, 1, 0)), ECONNRESET);
}

TEST(refusing_before_bytes_are_read)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	char byte;

	join(AF_INET);
	MUST(shutdown(here, SHUT_WR));
	CHECK_EQ(refusal(send(here, bad_address(), 2, MSG_NOSIGNAL)), EPIPE);
	MUST(listen(listener, 0));
	/* The backlog is full. */
	MUST(connect((int)MUST(socket(AF_INET, SOCK_STREAM, 0)), (struct sockaddr *)&place, place_size));
	here = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	CHECK_ERRNO(connect(here, (struct sockaddr *)&place, place_size), EINPROGRESS);
	CHECK_EQ(refusal(send(here, bad_address(), 2, MSG_NOSIGNAL)), EAGAIN);
	CHECK_EQ(refusal(recv(here, &byte, 1, 0)), EAGAIN);
	/* It's connecting already. */
	CHECK_EQ(refusal(send(here, "abc", 3, MSG_FASTOPEN | MSG_NOSIGNAL)), EALREADY);
	CHECK_OK(connect(here, &nobody, sizeof(nobody)));
}

TEST(datagrams_that_only_probe)
{
	int probes;
	char byte;

	begin(AF_INET);
	MUST(close(listener));
	probes = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	MUST(connect(probes, (struct sockaddr *)&place, place_size));
	MUST(send(probes, "a", 1, 0));
	/* They look at neither an error nor the end: MSG_PROBE. */
	CHECK_EQ(send(probes, "abc", 3, 0x10), 3);
	CHECK_EQ(refusal(recv(probes, &byte, 1, 0)), ECONNREFUSED);
	MUST(shutdown(probes, SHUT_WR));
	CHECK_EQ(refusal(send(probes, "abc", 3, 0)), EPIPE);
	CHECK_EQ(send(probes, "abc", 3, 0x10), 3);
}

TEST(where_to_before_how_much)
{
	static char much[70000];
	int four = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), six = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	CHECK_EQ(refusal(send(four, much, sizeof(much), 0)), EMSGSIZE);
	CHECK_EQ(refusal(send(six, much, sizeof(much), 0)), EDESTADDRREQ);
	begin(AF_INET6);
	CHECK_EQ(refusal(sendto(six, much, sizeof(much), 0, (struct sockaddr *)&place, place_size)), EMSGSIZE);
}

/* Sends 64 MiB to a process that reads all of it. */
static void send_much(void)
{
	static char much[65536];
	pid_t reader = (pid_t)MUST(fork());

	if (reader == 0) {
		while (recv(there, much, sizeof(much), 0) > 0)
			continue;
		_exit(0);
	}
	for (int at = 0; at < 1024; at++)
		MUST(send(here, much, sizeof(much), 0));
	MUST(shutdown(here, SHUT_WR));
	CHECK_EQ(wait_for(reader), 0);
}

TEST(buffers_grow_with_what_goes_through)
{
	int first_receive, room = 40000;

	join(AF_INET);
	first_receive = value_of(there, SOL_SOCKET, SO_RCVBUF);
	CHECK_EQ(info_of(here).tcpi_snd_cwnd, 10);
	send_much();
	CHECK(value_of(there, SOL_SOCKET, SO_RCVBUF) > first_receive);
	CHECK_EQ(value_of(here, SOL_SOCKET, SO_RCVBUF), first_receive);
	CHECK(told(there, TCP_WINDOW_CLAMP) > 65536);
	CHECK(info_of(there).tcpi_rcv_space > 65536);
	/* What was chosen stays. */
	join(AF_INET);
	MUST(setsockopt(here, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)));
	MUST(setsockopt(there, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)));
	send_much();
	CHECK_EQ(value_of(there, SOL_SOCKET, SO_RCVBUF), 80000);
	CHECK_EQ(value_of(here, SOL_SOCKET, SO_SNDBUF), 80000);
}
