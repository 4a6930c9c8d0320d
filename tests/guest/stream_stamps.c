/* When bytes of TCP have come: SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING of a stream. */
#include "check.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int from, to;

static void make_pair(void)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof where;
	int listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(bind(listener, (struct sockaddr *)&where, sizeof where));
	MUST(listen(listener, 1));
	MUST(getsockname(listener, (struct sockaddr *)&where, &length));
	from = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(from, (struct sockaddr *)&where, sizeof where));
	to = (int)MUST(accept(listener, NULL, NULL));
	MUST(close(listener));
}

static void set(int name, int value)
{
	MUST(setsockopt(to, SOL_SOCKET, name, &value, sizeof value));
	/* The host takes a while to begin with that. */
	sleep_ms(30);
}

/* Which kinds of stamps come with the next bytes: a bit for each, and 8 where one lies outside of `since` and now. */
static int stamps(int64_t since)
{
	char data[16], control[256];
	struct iovec vector = {data, sizeof data};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int found = 0;

	MUST(recvmsg(to, &message, 0));
	for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each != NULL; each = CMSG_NXTHDR(&message, each)) {
		int64_t seconds, rest;

		memcpy(&seconds, CMSG_DATA(each), 8);
		memcpy(&rest, CMSG_DATA(each) + 8, 8);
		if (each->cmsg_type == SO_TIMESTAMP) {
			found |= 1;
			rest *= 1000;
		} else if (each->cmsg_type == SO_TIMESTAMPNS) {
			found |= 2;
		} else if (each->cmsg_type == SO_TIMESTAMPING) {
			found |= 4;
		}
		if (seconds * 1000000000 + rest < since - 1000 || seconds * 1000000000 + rest > now_ns(CLOCK_REALTIME))
			found |= 8;
	}
	return found;
}

static int64_t say(void)
{
	int64_t before = now_ns(CLOCK_REALTIME);

	MUST(send(from, "x", 1, 0));
	sleep_ms(2);
	return before;
}

TEST(when_bytes_came)
{
	make_pair();
	CHECK_EQ(stamps(say()), 0);
	set(SO_TIMESTAMP, 1);
	CHECK_EQ(stamps(say()), 1);
	set(SO_TIMESTAMPNS, 1);
	CHECK_EQ(stamps(say()), 2);
	set(SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE);
	CHECK_EQ(stamps(say()), 6);
	set(SO_TIMESTAMPNS, 0);
	CHECK_EQ(stamps(say()), 4);
	/* Nothing is told at the end. */
	MUST(shutdown(from, SHUT_WR));
	CHECK_EQ(stamps(0), 0);
}
