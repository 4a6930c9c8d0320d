/* How many segments a connection of TCP has sent, heard and acknowledged, and when what was sent counts as acknowledged
 * (tcp(7), Linux: net/ipv4/tcp_input.c, __tcp_ack_snd_check). */
#include "check.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define STATE_FIN_WAIT1 4
#define STATE_FIN_WAIT2 5
#define STATE_CLOSED 7
/* What is acknowledged after 40 ms was acknowledged by then, on a host that has other work too. */
#define LATER_MS 200

static int here, there;
static char text[512];

static void join(int family)
{
	struct sockaddr_in6 place = {.sin6_family = (sa_family_t)family};
	socklen_t size = sizeof(place);
	int listener = (int)MUST(socket(family, SOCK_STREAM, 0)), one = 1;

	if (family == AF_INET)
		((struct sockaddr_in *)(void *)&place)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		place.sin6_addr = in6addr_loopback;
	MUST(bind(listener, (struct sockaddr *)&place, size));
	MUST(listen(listener, 5));
	MUST(getsockname(listener, (struct sockaddr *)&place, &size));
	here = (int)MUST(socket(family, SOCK_STREAM, 0));
	MUST(connect(here, (struct sockaddr *)&place, size));
	there = (int)MUST(accept(listener, NULL, NULL));
	MUST(close(listener));
	/* Nothing is kept back for what hasn't been acknowledged. */
	MUST(setsockopt(here, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	MUST(setsockopt(there, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
}

static struct tcp_info info_of(int fd)
{
	struct tcp_info info = {0};

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){sizeof(info)}));
	return info;
}

/* Segments that were sent and heard, those of them with data, those that aren't acknowledged; bytes that aren't (SIOCOUTQ). */
static const char *counts(int fd)
{
	struct tcp_info info = info_of(fd);
	int waiting = -1;

	MUST(ioctl(fd, SIOCOUTQ, &waiting));
	snprintf(text, sizeof(text), "%u/%u %u/%u %u %d", info.tcpi_segs_out, info.tcpi_segs_in, info.tcpi_data_segs_out,
		 info.tcpi_data_segs_in, info.tcpi_unacked, waiting);
	return text;
}

static void say(int fd, size_t length)
{
	char data[32] = {0};

	MUST(send(fd, data, length, 0));
}

static void hear(int fd, size_t length)
{
	char data[64];

	CHECK_EQ(recv(fd, data, sizeof(data), MSG_DONTWAIT), (ssize_t)length);
}

static void count_answers(int family)
{
	join(family);
	CHECK_STRING(counts(here), "2/1 0/0 0 0");
	CHECK_STRING(counts(there), "0/2 0/0 0 0");
	CHECK_EQ(info_of(here).tcpi_delivered, 1);
	/* Who is spoken to for the first time acknowledges at once. */
	say(here, 1);
	CHECK_STRING(counts(here), "3/2 1/0 0 0");
	CHECK_STRING(counts(there), "1/3 0/1 0 0");
	CHECK_EQ(info_of(here).tcpi_bytes_acked, 2);
	hear(there, 1);
	CHECK_STRING(counts(there), "1/3 0/1 0 0");
	say(there, 2);
	CHECK_STRING(counts(here), "4/3 1/1 0 0");
	CHECK_STRING(counts(there), "2/4 1/1 0 0");
	hear(here, 2);
	/* Who answers acknowledges by that. */
	for (unsigned round = 0; round < 3; round++) {
		char wanted[64];

		say(here, 1);
		snprintf(wanted, sizeof(wanted), "%u/%u %u/%u 1 1", 5 + round, 3 + round, 2 + round, 1 + round);
		CHECK_STRING(counts(here), wanted);
		CHECK_EQ(info_of(here).tcpi_bytes_acked, 2 + round);
		CHECK_EQ(info_of(here).tcpi_delivered, 2 + round);
		hear(there, 1);
		CHECK_STRING(counts(here), wanted);
		say(there, 2);
		snprintf(wanted, sizeof(wanted), "%u/%u %u/%u 0 0", 5 + round, 4 + round, 2 + round, 2 + round);
		CHECK_STRING(counts(here), wanted);
		hear(here, 2);
	}
	sleep_ms(LATER_MS);
	CHECK_STRING(counts(there), "5/8 4/4 0 0");
	CHECK_STRING(counts(here), "8/6 4/4 0 0");
}

TEST(answers_acknowledge)
{
	count_answers(AF_INET);
	count_answers(AF_INET6);
}

/* Sixteen times at once, then all together. */
TEST(acknowledged_quickly_at_first)
{
	join(AF_INET);
	for (int at = 0; at < 16; at++) {
		say(here, 1);
		CHECK_EQ(info_of(here).tcpi_unacked, 0);
	}
	CHECK_STRING(counts(here), "18/17 16/0 0 0");
	say(here, 1);
	CHECK_STRING(counts(here), "19/17 17/0 1 1");
	hear(there, 17);
	/* Who has read everything says so, as nothing is expected of him. */
	CHECK_STRING(counts(here), "19/18 17/0 0 0");
	for (int at = 0; at < 5; at++) {
		say(here, 1);
		CHECK_EQ(info_of(here).tcpi_unacked, 1);
		hear(there, 1);
		CHECK_EQ(info_of(here).tcpi_unacked, 0);
	}
	CHECK_STRING(counts(there), "22/24 0/22 0 0");
	say(here, 1);
	CHECK_STRING(counts(here), "25/23 23/0 1 1");
	sleep_ms(LATER_MS);
	CHECK_STRING(counts(here), "25/24 23/0 0 0");
	CHECK_EQ(info_of(here).tcpi_delivered, 24);
}

/* Two segments are acknowledged by who reads them, though he answers. */
TEST(two_at_a_time)
{
	join(AF_INET);
	say(here, 1);
	hear(there, 1);
	say(there, 1);
	hear(here, 1);
	say(here, 1);
	say(here, 1);
	CHECK_STRING(counts(here), "6/3 3/1 2 2");
	hear(there, 2);
	CHECK_STRING(counts(here), "6/4 3/1 0 0");
}

static int state_in_list(int fd)
{
	struct sockaddr_in own;
	socklen_t size = sizeof(own);
	FILE *list = fopen("/proc/net/tcp", "r");
	char line[256];
	unsigned port, state, found = 0;

	MUST(getsockname(fd, (struct sockaddr *)&own, &size));
	while (fgets(line, sizeof(line), list) != NULL)
		if (sscanf(line, " %*d: %*x:%x %*x:%*x %x", &port, &state) == 2 && port == ntohs(own.sin_port))
			found = state;
	fclose(list);
	return (int)found;
}

TEST(ends_are_acknowledged)
{
	join(AF_INET);
	say(here, 3);
	hear(there, 3);
	say(there, 3);
	hear(here, 3);
	MUST(shutdown(here, SHUT_WR));
	CHECK_STRING(counts(here), "5/3 1/1 1 1");
	CHECK_EQ(info_of(here).tcpi_state, STATE_FIN_WAIT1);
	CHECK_EQ(state_in_list(here), STATE_FIN_WAIT1);
	hear(there, 0);
	CHECK_EQ(info_of(here).tcpi_state, STATE_FIN_WAIT1);
	sleep_ms(LATER_MS);
	CHECK_EQ(info_of(here).tcpi_state, STATE_FIN_WAIT2);
	CHECK_EQ(state_in_list(here), STATE_FIN_WAIT2);
	CHECK_STRING(counts(here), "5/4 1/1 0 0");
	CHECK_EQ(info_of(here).tcpi_bytes_acked, 5);
	say(there, 1);
	CHECK_STRING(counts(here), "6/5 1/2 0 0");
	MUST(shutdown(there, SHUT_WR));
	CHECK_EQ(info_of(here).tcpi_state, STATE_CLOSED);
	CHECK_EQ(info_of(here).tcpi_bytes_acked, 5);
	CHECK_EQ(info_of(here).tcpi_delivered, 3);
	CHECK_EQ(info_of(there).tcpi_state, STATE_CLOSED);
	CHECK_EQ(info_of(there).tcpi_bytes_acked, 5);
	CHECK_EQ(info_of(there).tcpi_delivered, 4);
	join(AF_INET);
	say(here, 3);
	hear(there, 3);
	MUST(shutdown(here, SHUT_WR));
	CHECK_EQ(info_of(here).tcpi_state, STATE_FIN_WAIT1);
	say(there, 1);
	CHECK_EQ(info_of(here).tcpi_state, STATE_FIN_WAIT2);
}

static int tries_to_connect(struct sockaddr_in *place)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));

	CHECK_ERRNO(connect(fd, (struct sockaddr *)place, sizeof(*place)), EINPROGRESS);
	return fd;
}

static int is_connected(int fd, int wait_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLOUT};

	return poll(&poller, 1, wait_ms);
}

/* A SYN for which there's no place is lost, and sent again after a second. */
TEST(a_full_backlog)
{
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(place);
	int listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), first, second;

	MUST(bind(listener, (struct sockaddr *)&place, size));
	MUST(listen(listener, 0));
	MUST(getsockname(listener, (struct sockaddr *)&place, &size));
	first = tries_to_connect(&place);
	CHECK_EQ(is_connected(first, 200), 1);
	second = tries_to_connect(&place);
	CHECK_EQ(is_connected(second, 100), 0);
	CHECK_STRING(counts(second), "1/0 0/0 1 0");
	CHECK_EQ(info_of(second).tcpi_total_retrans, 0);
	MUST(accept(listener, NULL, NULL));
	CHECK_EQ(is_connected(second, 300), 0);
	CHECK_EQ(is_connected(second, 5000), 1);
	CHECK_STRING(counts(second), "3/1 0/0 0 0");
	CHECK_EQ(info_of(second).tcpi_total_retrans, 1);
	CHECK_EQ(info_of(second).tcpi_snd_cwnd, 10);
	CHECK_EQ(info_of(first).tcpi_total_retrans, 0);
	/* Who closes in the meantime refuses the next one. */
	first = tries_to_connect(&place);
	MUST(close(listener));
	CHECK_EQ(is_connected(first, 100), 0);
	CHECK_EQ(info_of(first).tcpi_retransmits, 0);
	CHECK_EQ(is_connected(first, 5000), 1);
	CHECK_EQ(connect(first, (struct sockaddr *)&place, size), -1);
	CHECK_EQ(errno, ECONNREFUSED);
}

static void delays(int fd)
{
	int none = 0;

	MUST(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &none, sizeof(none)));
}

/* Who isn't to be waited for is told at once, what is short waits until what was short has been acknowledged (RFC 896). */
TEST(short_ones_wait)
{
	int one = 1, waiting;

	join(AF_INET);
	delays(here);
	delays(there);
	/* As long as that comes at once nothing waits. */
	for (int at = 0; at < 17; at++)
		say(here, 1);
	CHECK_STRING(counts(here), "19/17 17/0 1 1");
	say(here, 2);
	say(here, 3);
	CHECK_STRING(counts(here), "19/17 17/0 1 6");
	MUST(ioctl(here, SIOCOUTQNSD, &waiting));
	CHECK_EQ(waiting, 5);
	CHECK_EQ(info_of(here).tcpi_notsent_bytes, 5);
	/* Who has read all acknowledges it. */
	hear(there, 17);
	CHECK_STRING(counts(here), "20/18 18/0 1 5");
	hear(there, 5);
	CHECK_STRING(counts(here), "20/19 18/0 0 0");
	say(here, 1);
	say(here, 1);
	CHECK_STRING(counts(here), "21/19 19/0 1 2");
	/* It's sent with an answer's acknowledgement. */
	say(there, 4);
	CHECK_STRING(counts(here), "22/20 20/1 1 1");
	hear(here, 4);
	hear(there, 2);
	/* Or after 40 ms. */
	say(here, 1);
	say(here, 1);
	MUST(ioctl(here, SIOCOUTQNSD, &waiting));
	CHECK_EQ(waiting, 2);
	sleep_ms(LATER_MS);
	MUST(ioctl(here, SIOCOUTQNSD, &waiting));
	CHECK_EQ(waiting, 0);
	hear(there, 2);
	/* Or when it isn't to wait any more. */
	say(here, 1);
	hear(there, 1);
	say(there, 1);
	hear(here, 1);
	say(here, 1);
	say(here, 1);
	MUST(ioctl(here, SIOCOUTQNSD, &waiting));
	CHECK_EQ(waiting, 1);
	MUST(setsockopt(here, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	MUST(ioctl(here, SIOCOUTQNSD, &waiting));
	CHECK_EQ(waiting, 0);
	hear(there, 2);
}

/* Written in two parts and answered, as many a program does: the second part waits for the first one's acknowledgement. */
TEST(written_in_two_parts)
{
	char text_of_both[8];
	int64_t start_ns;
	pid_t child;

	join(AF_INET);
	delays(here);
	delays(there);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		for (int round = 0; round < 3; round++) {
			if (recv(there, text_of_both, 4, MSG_WAITALL) != 4 || send(there, "ok", 2, 0) != 2)
				_exit(1);
		}
		_exit(0);
	}
	for (int round = 0; round < 3; round++) {
		start_ns = now_ns(CLOCK_MONOTONIC);
		say(here, 2);
		say(here, 2);
		CHECK_EQ(recv(here, text_of_both, 2, MSG_WAITALL), 2);
		if (round == 0)
			CHECK(now_ns(CLOCK_MONOTONIC) - start_ns < 30000000);
		else
			CHECK(now_ns(CLOCK_MONOTONIC) - start_ns >= 30000000);
	}
	CHECK_EQ(wait_for(child), 0);
}
