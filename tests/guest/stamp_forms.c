/* Which times messages bring (socket(7)): the old and the new form, SO_TIMESTAMPING beside SO_TIMESTAMP, and those of
 * the queue of errors. */
#include "check.h"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#define TIMESTAMP_NEW 63
#define TIMESTAMPNS_NEW 64
#define TIMESTAMPING_NEW 65
#define RX_FILTER (1 << 17)
#define TX_COMPLETION (1 << 18)
#define MOST_ITEMS 4

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void set(int fd, int name, int number)
{
	MUST(setsockopt(fd, SOL_SOCKET, name, &number, sizeof(number)));
}

static int told(int fd, int name)
{
	int number = -9;
	socklen_t length = sizeof(number);

	MUST(getsockopt(fd, SOL_SOCKET, name, &number, &length));
	return number;
}

/* The types of what comes with a message of SOL_SOCKET, one after another in decimal. */
static int items_of(int fd, int flags)
{
	char data[64], control[400];
	struct iovec part = {data, sizeof(data)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int items = 0;

	MUST(recvmsg(fd, &message, flags | MSG_DONTWAIT));
	for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item != NULL; item = CMSG_NXTHDR(&message, item)) {
		if (item->cmsg_level == SOL_SOCKET)
			items = items * 100 + item->cmsg_type;
	}
	return items;
}

static int sent_once(int ends[2], int flags)
{
	MUST(send(ends[1], "a", 1, 0));
	return items_of(ends[0], flags);
}

TEST(last_option_gives_all_their_form)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	set(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE);
	CHECK_EQ(told(fd, SO_TIMESTAMPING), SOF_TIMESTAMPING_SOFTWARE);
	CHECK_EQ(told(fd, TIMESTAMPING_NEW), 0);
	set(fd, TIMESTAMPNS_NEW, 1);
	CHECK_EQ(told(fd, SO_TIMESTAMP), 0);
	CHECK_EQ(told(fd, SO_TIMESTAMPNS), 0);
	CHECK_EQ(told(fd, TIMESTAMP_NEW), 1);
	CHECK_EQ(told(fd, TIMESTAMPNS_NEW), 1);
	CHECK_EQ(told(fd, SO_TIMESTAMPING), SOF_TIMESTAMPING_SOFTWARE);
	CHECK_EQ(told(fd, TIMESTAMPING_NEW), SOF_TIMESTAMPING_SOFTWARE);
	set(fd, TIMESTAMPNS_NEW, 0);
	CHECK_EQ(told(fd, TIMESTAMP_NEW), 0);
	CHECK_EQ(told(fd, TIMESTAMPING_NEW), SOF_TIMESTAMPING_SOFTWARE);
	set(fd, TIMESTAMP_NEW, 1);
	set(fd, SO_TIMESTAMPING, 0);
	CHECK_EQ(told(fd, SO_TIMESTAMP), 1);
	CHECK_EQ(told(fd, TIMESTAMP_NEW), 0);
	set(fd, SO_TIMESTAMPING, TX_COMPLETION);
	CHECK_EQ(told(fd, SO_TIMESTAMPING), TX_COMPLETION);
}

TEST(local_messages_have_times_for_so_timestamp_alone)
{
	int ends[2];

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	set(ends[0], SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE);
	CHECK_EQ(sent_once(ends, 0), 0);
	set(ends[0], SO_TIMESTAMP, 1);
	CHECK_EQ(sent_once(ends, 0), SO_TIMESTAMP * 100 + SO_TIMESTAMPING);
	set(ends[0], SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE);
	CHECK_EQ(sent_once(ends, 0), SO_TIMESTAMP * 100 + SO_TIMESTAMPING);
	set(ends[0], SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE | RX_FILTER);
	CHECK_EQ(sent_once(ends, 0), SO_TIMESTAMP);
	set(ends[0], TIMESTAMPNS_NEW, 1);
	set(ends[0], TIMESTAMPING_NEW, SOF_TIMESTAMPING_SOFTWARE);
	CHECK_EQ(sent_once(ends, 0), TIMESTAMPNS_NEW * 100 + TIMESTAMPING_NEW);
}

TEST(errors_have_times_too)
{
	struct sockaddr_in nobody = loopback(9);
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), number = 1;

	MUST(connect(fd, (void *)&nobody, sizeof(nobody)));
	MUST(setsockopt(fd, SOL_IP, IP_RECVERR, &number, sizeof(number)));
	set(fd, SO_TIMESTAMP, 1);
	MUST(send(fd, "a", 1, 0));
	CHECK_EQ(items_of(fd, MSG_ERRQUEUE), SO_TIMESTAMP);
	set(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE);
	MUST(send(fd, "a", 1, 0));
	CHECK_EQ(items_of(fd, MSG_ERRQUEUE), SO_TIMESTAMP * 100 + SO_TIMESTAMPING);
	set(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE);
	MUST(send(fd, "a", 1, 0));
	CHECK_EQ(items_of(fd, MSG_ERRQUEUE), SO_TIMESTAMP);
	CHECK_EQ(items_of(fd, MSG_ERRQUEUE), SO_TIMESTAMP);
}

TEST(notices_of_copies_have_times_too)
{
	struct sockaddr_in address = loopback(0);
	socklen_t length = sizeof(address);
	int receiver = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	MUST(bind(receiver, (void *)&address, length));
	MUST(getsockname(receiver, (void *)&address, &length));
	MUST(connect(fd, (void *)&address, length));
	set(fd, SO_ZEROCOPY, 1);
	set(fd, SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE);
	MUST(send(fd, "a", 1, MSG_ZEROCOPY));
	MUST(items_of(receiver, 0));
	CHECK_EQ(items_of(fd, MSG_ERRQUEUE), 0);
	set(fd, SO_TIMESTAMP, 1);
	MUST(send(fd, "a", 1, MSG_ZEROCOPY));
	MUST(items_of(receiver, 0));
	CHECK_EQ(items_of(fd, MSG_ERRQUEUE), SO_TIMESTAMP * 100 + SO_TIMESTAMPING);
}
