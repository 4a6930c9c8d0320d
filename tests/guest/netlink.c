/* Messages between netlink sockets, by port and by group; events of devices: netlink(7), udev. */
#include "check.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#define NOBODY_S_PORT 0x7777777

static struct sockaddr_nl address_of(unsigned int port, unsigned int groups)
{
	return (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_pid = port, .nl_groups = groups};
}

/* A socket that listens to groups, and its port. */
static int new_socket(int protocol, unsigned int groups, unsigned int *port)
{
	struct sockaddr_nl address = address_of(0, groups);
	socklen_t length = sizeof(address);
	int fd = (int)MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, protocol));

	MUST(bind(fd, (struct sockaddr *)&address, length));
	MUST(getsockname(fd, (struct sockaddr *)&address, &length));
	*port = address.nl_pid;
	return fd;
}

static void set(int fd, int level, int name, int value)
{
	MUST(setsockopt(fd, level, name, &value, sizeof(value)));
}

/* 0, or the errno. */
static int say(int fd, const char *text, unsigned int port, unsigned int groups)
{
	struct sockaddr_nl address = address_of(port, groups);

	return ERRNO_OF(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, sizeof(address)));
}

/* What is received: the text, from whom (in words of `ports`), to which groups, and what goes with it. */
static const char *heard(int fd, const unsigned int *ports)
{
	static char text[300];
	char data[100], control[200];
	struct sockaddr_nl from;
	struct iovec vector = {data, sizeof(data)};
	struct msghdr header = {&from, sizeof(from), &vector, 1, control, sizeof(control), 0};
	ssize_t count = recvmsg(fd, &header, 0);
	int who = -1;

	if (count == -1)
		return check_errno_name(errno);
	for (int at = 0; at < 3; at++)
		who = from.nl_pid == ports[at] ? at : who;
	sprintf(text, "%.*s from %d to %x", (int)count, data, who, from.nl_groups);
	for (struct cmsghdr *each = CMSG_FIRSTHDR(&header); each != NULL; each = CMSG_NXTHDR(&header, each)) {
		char *end = text + strlen(text);

		if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_CREDENTIALS) {
			struct ucred *sender = (void *)CMSG_DATA(each);

			sprintf(end, " pid %d uid %d", sender->pid == getpid() ? 1 : sender->pid, sender->uid);
		} else if (each->cmsg_level == SOL_NETLINK && each->cmsg_type == NETLINK_PKTINFO) {
			sprintf(end, " group %u", *(unsigned int *)CMSG_DATA(each));
		}
	}
	return text;
}

/* Three sockets speak to each other; `kernel` is what a message to the kernel itself comes to. */
static void speak(int protocol, int kernel)
{
	unsigned int ports[3];
	char much[501] = "";
	struct sockaddr_nl address;
	int one = new_socket(protocol, 0, &ports[0]), two = new_socket(protocol, 2, &ports[1]);
	int three = new_socket(protocol, 2 | 4, &ports[2]), count = 0;

	set(three, SOL_SOCKET, SO_PASSCRED, 1);
	set(two, SOL_NETLINK, NETLINK_PKTINFO, 1);
	/* The kernel gets it as well. */
	CHECK_EQ(say(one, "a", 0, 2), kernel);
	CHECK_STRING(heard(one, ports), "EAGAIN");
	CHECK_STRING(heard(two, ports), "a from 0 to 2 group 2");
	CHECK_STRING(heard(three, ports), "a from 0 to 2 pid 1 uid 0");
	/* Only the first of several groups hears, and never oneself. */
	CHECK_EQ(say(two, "b", 0, 6), kernel);
	CHECK_STRING(heard(two, ports), "EAGAIN");
	CHECK_STRING(heard(three, ports), "b from 1 to 2 pid 1 uid 0");
	CHECK_EQ(say(one, "c", ports[1], 0), 0);
	CHECK_STRING(heard(two, ports), "c from 0 to 0 group 0");
	CHECK_EQ(say(one, "d", ports[0], 0), 0);
	CHECK_STRING(heard(one, ports), "d from 0 to 0");
	CHECK_EQ(say(one, "e", NOBODY_S_PORT, 2), ECONNREFUSED);
	CHECK_STRING(heard(two, ports), "e from 0 to 2 group 2");
	CHECK_STRING(heard(three, ports), "e from 0 to 2 pid 1 uid 0");
	/* To a port and a group: once. */
	CHECK_EQ(say(one, "f", ports[1], 2), 0);
	CHECK_STRING(heard(two, ports), "f from 0 to 2 group 2");
	CHECK_STRING(heard(two, ports), "EAGAIN");
	CHECK_STRING(heard(three, ports), "f from 0 to 2 pid 1 uid 0");
	CHECK_EQ(ERRNO_OF(send(one, "g", 1, 0)), kernel);
	/* Who speaks to one waits for room; who speaks to all doesn't. */
	set(two, SOL_SOCKET, SO_RCVBUF, 2048);
	memset(much, 'm', 500);
	while (count < 100 && say(one, much, ports[1], 0) == 0)
		count++;
	CHECK_EQ(errno, EAGAIN);
	CHECK(count > 1);
	CHECK_EQ(say(one, "h", 0, 2), kernel);
	CHECK_STRING(heard(two, ports), "ENOBUFS");
	CHECK_STRING(heard(three, ports), "h from 0 to 2 pid 1 uid 0");
	/* A socket that is connected hears its peer alone. */
	address = address_of(ports[2], 0);
	CHECK_EQ(connect(one, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(ERRNO_OF(send(one, "i", 1, 0)), 0);
	CHECK_STRING(heard(three, ports), "i from 0 to 0 pid 1 uid 0");
	CHECK_EQ(say(two, "j", ports[0], 0), ECONNREFUSED);
	CHECK_EQ(say(three, "k", ports[0], 0), 0);
	CHECK_STRING(heard(one, ports), "k from 2 to 0");
	MUST(close(one));
	MUST(close(two));
	MUST(close(three));
}

TEST(events_between_processes)
{
	speak(NETLINK_KOBJECT_UEVENT, 0);
}

TEST(messages_of_users)
{
	speak(NETLINK_USERSOCK, ECONNREFUSED);
}

TEST(messages_beside_routes)
{
	speak(NETLINK_ROUTE, 0);
}

TEST(a_sender_waits_for_room)
{
	unsigned int ports[3] = {0};
	char much[501] = "", data[600];
	int one = new_socket(NETLINK_USERSOCK, 0, &ports[0]), two = new_socket(NETLINK_USERSOCK, 0, &ports[1]);
	struct timeval soon = {0, 20000};
	pid_t child;

	memset(much, 'm', 500);
	set(two, SOL_SOCKET, SO_RCVBUF, 2048);
	while (say(one, much, ports[1], 0) == 0)
		continue;
	MUST(fcntl(one, F_SETFL, 0));
	MUST(setsockopt(one, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
	CHECK_EQ(say(one, much, ports[1], 0), EAGAIN);
	soon.tv_usec = 0;
	MUST(setsockopt(one, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(20);
		while (recv(two, data, sizeof(data), 0) > 0)
			continue;
		_exit(errno == EAGAIN ? 0 : 1);
	}
	CHECK_EQ(say(one, "late", ports[1], 0), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

static int speak_as_a_user(void)
{
	unsigned int ports[3] = {0}, other;
	int one = new_socket(NETLINK_USERSOCK, 0, &ports[0]), two = new_socket(NETLINK_USERSOCK, 2, &ports[1]);
	int event = new_socket(NETLINK_KOBJECT_UEVENT, 0, &other), route = new_socket(NETLINK_ROUTE, 0, &other);
	const int protocols[] = {NETLINK_USERSOCK, NETLINK_KOBJECT_UEVENT, NETLINK_ROUTE};
	const int refusals[] = {EPERM, 0, 0};

	set(two, SOL_SOCKET, SO_PASSCRED, 1);
	drop_root();
	CHECK_ERRNO(send(one, "", 0, 0), ENODATA);
	CHECK_EQ(say(one, "a", 0, 2), ECONNREFUSED);
	CHECK_STRING(heard(two, ports), "a from 0 to 2 pid 1 uid 65534");
	CHECK_EQ(say(one, "b", ports[1], 0), 0);
	CHECK_STRING(heard(two, ports), "b from 0 to 0 pid 1 uid 65534");
	CHECK_EQ(say(event, "c", 0, 2), EPERM);
	CHECK_EQ(say(route, "d", other, 0), EPERM);
	for (size_t at = 0; at < LENGTH(protocols); at++) {
		struct sockaddr_nl address = address_of(0, 1);
		int fd = (int)MUST(socket(AF_NETLINK, SOCK_RAW, protocols[at]));

		CHECK_EQ(ERRNO_OF(bind(fd, (struct sockaddr *)&address, sizeof(address))), refusals[at]);
	}
	return 0;
}

TEST(what_users_may_say)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit(speak_as_a_user());
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(who_sends_may_be_said)
{
	unsigned int ports[3] = {0};
	int one = new_socket(NETLINK_USERSOCK, 0, &ports[0]), two = new_socket(NETLINK_USERSOCK, 0, &ports[1]);
	struct sockaddr_nl address = address_of(ports[1], 0);
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr header;
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(struct ucred)), .cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_CREDENTIALS}};
	struct iovec vector = {(void *)"x", 1};
	struct msghdr message = {&address, sizeof(address), &vector, 1, control.bytes, sizeof(control.bytes), 0};

	set(two, SOL_SOCKET, SO_PASSCRED, 1);
	*(struct ucred *)CMSG_DATA(&control.header) = (struct ucred){getpid(), 77, 78};
	CHECK_EQ(sendmsg(one, &message, 0), 1);
	CHECK_STRING(heard(two, ports), "x from 0 to 0 pid 1 uid 77");
	control.header.cmsg_type = SCM_RIGHTS;
	CHECK_ERRNO(sendmsg(one, &message, 0), EINVAL);
}

/* The kernel's own messages are nobody's, and root's. */
TEST(who_the_kernel_is)
{
	unsigned int ports[3] = {0, 1, 2};
	struct {
		struct nlmsghdr header;
		struct rtgenmsg body;
	} request = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)), .nlmsg_type = 9999,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK}};
	int fd = new_socket(NETLINK_ROUTE, 0, &ports[1]);
	const char *text;

	set(fd, SOL_SOCKET, SO_PASSCRED, 1);
	MUST(send(fd, &request, request.header.nlmsg_len, 0));
	text = heard(fd, ports);
	CHECK(strstr(text, " from 0 to 0 pid 0 uid 0") != NULL);
}

/* How many messages of two bytes wait at a socket, of which the first is `first`; all are received. */
static int drain(int fd, const char *first)
{
	char text[8] = {0};
	int count = 0;

	for (; recv(fd, text, sizeof(text), 0) == 2; count++)
		if (count == 0)
			CHECK_STRING(text, first);
	CHECK_EQ(errno, EAGAIN);
	return count;
}

TEST(what_was_missed_is_told_once)
{
	unsigned int port;
	int one, two, kept;
	char text[8] = {0};

	MUST(unshare(CLONE_NEWNET));
	one = new_socket(NETLINK_USERSOCK, 0, &port), two = new_socket(NETLINK_USERSOCK, 2, &port);
	set(two, SOL_SOCKET, SO_RCVBUF, 2304);
	/* No kernel listens to what others hear: each of these ends with ECONNREFUSED. */
	for (int at = 0; at < 200; at++)
		say(one, at ? "at" : "on", 0, 2);
	CHECK_ERRNO(recv(two, text, sizeof(text), 0), ENOBUFS);
	CHECK_EQ(recv(two, text, sizeof(text), 0), 2);
	/* As long as something waits nothing comes, and that isn't told again. */
	say(one, "no", 0, 2);
	kept = drain(two, "at");
	CHECK(kept > 0 && kept < 199);
	say(one, "as", 0, 2);
	CHECK_EQ(drain(two, "as"), 1);
	/* Who doesn't want to be told gets what there's room for. */
	set(two, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1);
	for (int at = 0; at < 200; at++)
		say(one, at ? "at" : "on", 0, 2);
	CHECK_EQ(drain(two, "on"), kept + 1);
	for (int at = 0; at < 200; at++)
		say(one, at ? "at" : "on", 0, 2);
	CHECK_EQ(recv(two, text, sizeof(text), 0), 2);
	say(one, "it", 0, 2);
	CHECK_EQ(drain(two, "at"), kept + 1);
}
