/* Neighbours on Ethernet: who is asked by ARP, how often, and what becomes of packets meanwhile (arp(7)). */
#include "route_request.h"

#include <linux/errqueue.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <net/if_arp.h>
#include <poll.h>

#define TARGET "10.1.1.2"

static const unsigned char told[] = {2, 0, 0, 0, 0, 2}, everybody[] = {255, 255, 255, 255, 255, 255};
static unsigned char frame[2048], asked_with[42];
static int tap, listener, index_of_tap;

/* A tap that is up, as 10.1.1.1/24, and a socket that hears of neighbours. */
static void start(void)
{
	struct ifreq wanted = {.ifr_name = "t0", .ifr_flags = IFF_TAP | IFF_NO_PI};
	struct sockaddr_nl groups = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_NEIGH};
	struct ifinfomsg link = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 24};

	enter();
	open_asker(0);
	tap = MUST(open("/dev/net/tun", O_RDWR | O_NONBLOCK));
	MUST(ioctl(tap, TUNSETIFF, &wanted));
	index_of_tap = link.ifi_index = (int)if_nametoindex("t0");
	begin(RTM_NEWLINK, NLM_F_ACK, &link, sizeof(link));
	asked();
	body.ifa_index = (unsigned)index_of_tap;
	begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &body, sizeof(body));
	add_address(IFA_LOCAL, "10.1.1.1");
	add_address(IFA_ADDRESS, "10.1.1.1");
	asked();
	listener = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	MUST(bind(listener, (void *)&groups, sizeof(groups)));
}

/* Say so to rtnetlink; a `state` of 0 is that somebody wants to know. */
static const char *tell(int type, int flags, int state, const unsigned char *hardware)
{
	struct ndmsg body = {.ndm_family = AF_INET, .ndm_ifindex = index_of_tap, .ndm_state = (unsigned short)state};

	if (type == RTM_NEWNEIGH && state == 0)
		body.ndm_flags = NTF_USE;
	begin(type, NLM_F_ACK | flags, &body, sizeof(body));
	add_address(NDA_DST, TARGET);
	if (hardware != NULL)
		add(NDA_LLADDR, hardware, 6);
	return asked();
}

/* The state of the neighbour and how often it was asked, 0 if it isn't known. */
static int state_of(int *probes)
{
	struct ndmsg body = {.ndm_family = AF_INET, .ndm_ifindex = index_of_tap}, *found;
	struct nlmsghdr *header = (void *)answers;
	struct rtattr *each;
	int rest;

	begin(RTM_GETNEIGH, 0, &body, sizeof(body));
	add_address(NDA_DST, TARGET);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	if (header->nlmsg_type != RTM_NEWNEIGH)
		return 0;
	found = NLMSG_DATA(header);
	rest = (int)NLMSG_PAYLOAD(header, sizeof(*found));
	for (each = (void *)(found + 1); RTA_OK(each, rest); each = RTA_NEXT(each, rest))
		if (each->rta_type == NDA_PROBES && probes != NULL)
			*probes = *(int *)RTA_DATA(each);
	return found->ndm_state;
}

/* The states that listeners have been told since, a dot in front of each; "gone" is the end. */
static const char *news(void)
{
	static char text[256];
	int used = 0;

	text[0] = '\0';
	for (;;) {
		int length = (int)recv(listener, answers, sizeof(answers), MSG_DONTWAIT);

		if (length == -1)
			return text;
		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			struct ndmsg *body = NLMSG_DATA(header);

			if (header->nlmsg_type == RTM_DELNEIGH)
				used += snprintf(text + used, sizeof(text) - (size_t)used, ".gone");
			else
				used += snprintf(text + used, sizeof(text) - (size_t)used, ".%02x", body->ndm_state);
		}
	}
}

/* The next frame's length, but those of IPv6, which sends some by itself; 0 if none comes in that time. */
static int next(int wait_ms)
{
	struct pollfd poller = {.fd = tap, .events = POLLIN};
	struct timespec now;
	long end_ms;
	int length;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000 + wait_ms;
	do {
		MUST(poll(&poller, 1, wait_ms));
		if (!poller.revents)
			return 0;
		length = (int)MUST(read(tap, frame, sizeof(frame)));
		clock_gettime(CLOCK_MONOTONIC, &now);
		wait_ms = (int)(end_ms - now.tv_sec * 1000 - now.tv_nsec / 1000000);
		if (wait_ms < 0)
			wait_ms = 0;
	} while (frame[12] == 0x86);
	return length;
}

/* Whether the next frame asks for the neighbour, and `whom`. */
static int asks(const unsigned char *whom, int wait_ms)
{
	static const unsigned char question[] = {0, 1, 8, 0, 6, 4, 0, 1}, nobody[6];
	unsigned char own[4], target[4];

	inet_pton(AF_INET, "10.1.1.1", own);
	inet_pton(AF_INET, TARGET, target);
	if (next(wait_ms) != 42)
		return 0;
	memcpy(asked_with, frame, 42);
	return frame[12] == 8 && frame[13] == 6 && memcmp(frame, whom, 6) == 0 &&
	       memcmp(frame + 14, question, 8) == 0 && memcmp(frame + 28, own, 4) == 0 && memcmp(frame + 32, nobody, 6) == 0 &&
	       memcmp(frame + 38, target, 4) == 0;
}

/* Answer the last question. */
static void answer(const unsigned char *hardware)
{
	unsigned char reply[42];

	memcpy(reply, asked_with, 42);
	memcpy(reply, asked_with + 6, 6);
	memcpy(reply + 6, hardware, 6);
	reply[21] = ARPOP_REPLY;
	memcpy(reply + 22, hardware, 6);
	memcpy(reply + 28, asked_with + 38, 4);
	memcpy(reply + 32, asked_with + 22, 10);
	MUST(write(tap, reply, 42));
}

static int sender(void)
{
	struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), one = 1;

	inet_pton(AF_INET, TARGET, &target.sin_addr);
	MUST(setsockopt(fd, SOL_IP, IP_RECVERR, &one, sizeof(one)));
	MUST(connect(fd, (void *)&target, sizeof(target)));
	return fd;
}

static int error_of(int fd, int wait_ms)
{
	struct pollfd poller = {.fd = fd};
	int error = 0;
	socklen_t size = sizeof(error);

	MUST(poll(&poller, 1, wait_ms));
	MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
	return error;
}

ROOTS_TEST(all_are_asked_for_one_who_is_unknown)
{
	int fd, probes = -1;

	start();
	fd = sender();
	MUST(send(fd, "x", 1, 0));
	CHECK(asks(everybody, 0));
	CHECK_EQ(state_of(&probes), NUD_INCOMPLETE);
	CHECK_EQ(probes, 4);
	CHECK_EQ(next(500), 0);
	CHECK(asks(everybody, 1000));
	CHECK(asks(everybody, 1500));
	CHECK_STRING(news(), "");
	CHECK_EQ(error_of(fd, 1500), EHOSTUNREACH);
	CHECK_EQ(state_of(&probes), NUD_FAILED);
	CHECK_EQ(probes, 6);
	CHECK_STRING(news(), ".20");
	CHECK_EQ(next(0), 0);
	/* It begins anew with the next packet, which isn't told. */
	MUST(send(fd, "x", 1, 0));
	CHECK(asks(everybody, 0));
	CHECK_EQ(state_of(&probes), NUD_INCOMPLETE);
	CHECK_EQ(probes, 4);
	CHECK_STRING(news(), "");
	answer(told);
	CHECK_EQ(next(100), 43);
	CHECK(memcmp(frame, told, 6) == 0);
	CHECK_EQ(state_of(&probes), NUD_REACHABLE);
	CHECK_STRING(news(), ".02");
}

ROOTS_TEST(who_was_there_is_asked_alone)
{
	int probes = -1;

	start();
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_CREATE, NUD_PROBE, told), "0");
	CHECK(asks(told, 200));
	CHECK_EQ(state_of(&probes), NUD_PROBE);
	CHECK_EQ(probes, 1);
	CHECK_EQ(next(500), 0);
	CHECK(asks(told, 1000));
	CHECK(asks(told, 1500));
	CHECK_STRING(news(), ".10");
	CHECK_EQ(next(1500), 0);
	CHECK_EQ(state_of(&probes), NUD_FAILED);
	CHECK_EQ(probes, 3);
	CHECK_STRING(news(), ".20");
	/* Told to be doubted, he's asked at once. */
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_REPLACE, NUD_DELAY, told), "0");
	CHECK(asks(told, 200));
	CHECK_STRING(news(), ".08.10");
	answer(told);
	CHECK_EQ(state_of(&probes), NUD_REACHABLE);
	CHECK_STRING(news(), ".02");
	CHECK_EQ(next(1200), 0);
}

ROOTS_TEST(what_waits_for_one_who_is_told)
{
	int fd;

	start();
	fd = sender();
	MUST(send(fd, "ab", 2, 0));
	CHECK(asks(everybody, 0));
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_CREATE, NUD_STALE, told), "0");
	CHECK_EQ(next(0), 44);
	CHECK(memcmp(frame, told, 6) == 0);
	CHECK_EQ(state_of(NULL), NUD_DELAY);
	CHECK_STRING(news(), ".08");
	CHECK_EQ(next(1200), 0);
	/* Told again, he's stale again. */
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_REPLACE, NUD_STALE, told), "0");
	CHECK_EQ(state_of(NULL), NUD_STALE);
	CHECK_STRING(news(), ".04");
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_REPLACE, NUD_PERMANENT, told), "0");
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_REPLACE, NUD_PERMANENT, told), "0");
	CHECK_STRING(news(), ".80");
}

ROOTS_TEST(what_waits_for_one_who_is_forgotten)
{
	int fd;

	start();
	fd = sender();
	for (int times = 0; times < 20; times++) {
		MUST(send(fd, "ab", 2, 0));
		CHECK(asks(everybody, 0));
		CHECK_STRING(tell(RTM_DELNEIGH, 0, 0, NULL), "0");
		CHECK_STRING(news(), ".20.gone");
		CHECK_EQ(error_of(fd, 0), EHOSTUNREACH);
		CHECK_EQ(state_of(NULL), 0);
	}
	/* Nothing is left that would ask. */
	CHECK_EQ(next(1200), 0);
	CHECK_STRING(news(), "");
}

ROOTS_TEST(who_is_asked_for_by_a_program)
{
	int probes = -1;

	start();
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_CREATE, 0, NULL), "0");
	CHECK(asks(everybody, 0));
	CHECK_EQ(state_of(&probes), NUD_INCOMPLETE);
	CHECK_EQ(probes, 4);
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_CREATE, 0, NULL), "0");
	CHECK_EQ(next(500), 0);
	answer(told);
	CHECK_EQ(state_of(NULL), NUD_REACHABLE);
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_REPLACE, NUD_STALE, told), "0");
	CHECK_STRING(tell(RTM_NEWNEIGH, 0, 0, NULL), "0");
	CHECK_EQ(state_of(NULL), NUD_DELAY);
	CHECK_STRING(news(), ".02.04");
}

static void set(const char *name, const char *value)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = MUST(open(path, O_WRONLY));
	write_all(fd, value, strlen(value));
	close(fd);
}

ROOTS_TEST(how_often_and_when_is_asked)
{
	int fd, probes = -1;

	start();
	set("neigh/t0/mcast_solicit", "1");
	set("neigh/t0/retrans_time_ms", "200");
	fd = sender();
	MUST(send(fd, "x", 1, 0));
	CHECK(asks(everybody, 0));
	CHECK_EQ(error_of(fd, 1000), EHOSTUNREACH);
	CHECK_EQ(state_of(&probes), NUD_FAILED);
	CHECK_EQ(probes, 4);
	set("neigh/t0/ucast_solicit", "1");
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_REPLACE, NUD_PROBE, told), "0");
	CHECK(asks(told, 200));
	CHECK_EQ(next(800), 0);
	CHECK_EQ(state_of(&probes), NUD_FAILED);
	CHECK_EQ(probes, 1);
	set("neigh/t0/mcast_resolicit", "1");
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_REPLACE, NUD_PROBE, told), "0");
	CHECK(asks(told, 200));
	CHECK(asks(everybody, 600));
	CHECK_EQ(next(800), 0);
	CHECK_EQ(state_of(&probes), NUD_FAILED);
	set("neigh/t0/delay_first_probe_time", "0");
	set("neigh/t0/base_reachable_time_ms", "200");
	CHECK_STRING(tell(RTM_NEWNEIGH, NLM_F_REPLACE, NUD_REACHABLE, told), "0");
	CHECK_EQ(state_of(NULL), NUD_REACHABLE);
	CHECK_EQ(next(900), 0);
	CHECK_EQ(state_of(NULL), NUD_STALE);
	MUST(send(fd, "x", 1, 0));
	CHECK_EQ(next(0), 43);
	CHECK(asks(told, 300));
	answer(told);
	CHECK_EQ(state_of(NULL), NUD_REACHABLE);
	/* Who may ask nobody fails at once. */
	set("neigh/t0/mcast_solicit", "0");
	CHECK_STRING(tell(RTM_DELNEIGH, 0, 0, NULL), "0");
	send(fd, "x", 1, 0);
	CHECK_EQ(next(100), 0);
	CHECK_EQ(state_of(NULL), NUD_FAILED);
}

/* Whether a question of the neighbour's is answered. */
static int is_answered(const char *target)
{
	unsigned char question[42] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, ARPOP_REQUEST};

	memcpy(question + 22, told, 6);
	inet_pton(AF_INET, TARGET, question + 28);
	inet_pton(AF_INET, target, question + 38);
	MUST(write(tap, question, sizeof(question)));
	return next(100) == 42 && frame[21] == ARPOP_REPLY && memcmp(frame + 28, question + 38, 4) == 0;
}

/* As whom the neighbour is asked for by a socket that is bound to `own`. */
static const char *asker_of(const char *own)
{
	static char text[INET_ADDRSTRLEN];
	struct sockaddr_in name = {.sin_family = AF_INET};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	tell(RTM_DELNEIGH, 0, 0, NULL);
	inet_pton(AF_INET, own, &name.sin_addr);
	MUST(bind(fd, (void *)&name, sizeof(name)));
	name.sin_port = htons(9);
	inet_pton(AF_INET, TARGET, &name.sin_addr);
	MUST(sendto(fd, "x", 1, 0, (void *)&name, sizeof(name)));
	close(fd);
	if (next(100) != 42)
		return "nobody";
	inet_ntop(AF_INET, frame + 28, text, sizeof(text));
	return text;
}

ROOTS_TEST(as_whom_and_to_whom_is_spoken)
{
	start();
	begin_address(RTM_NEWADDR, NLM_F_CREATE, "10.9.9.9", 32);
	CHECK_STRING(asked(), "0");
	CHECK(is_answered("10.1.1.1"));
	CHECK(is_answered("10.9.9.9"));
	CHECK(!is_answered("10.1.1.3"));
	set("conf/t0/arp_ignore", "1");
	CHECK(is_answered("10.1.1.1"));
	CHECK(!is_answered("10.9.9.9"));
	set("conf/t0/arp_ignore", "2");
	CHECK(is_answered("10.1.1.1"));
	set("conf/all/arp_ignore", "8");
	CHECK(!is_answered("10.1.1.1"));
	set("conf/all/arp_ignore", "0");
	set("conf/t0/arp_ignore", "0");
	CHECK_STRING(asker_of("10.9.9.9"), "10.9.9.9");
	set("conf/t0/arp_announce", "1");
	CHECK_STRING(asker_of("10.9.9.9"), "10.1.1.1");
	CHECK_STRING(asker_of("10.1.1.1"), "10.1.1.1");
	set("conf/all/arp_announce", "2");
	CHECK_STRING(asker_of("10.9.9.9"), "10.1.1.1");
}

static unsigned more_flags;

/* Says so of a neighbour with NDA_FLAGS_EXT; then his state, and his flags in `more_flags` with those of old below. */
static int managed(int flags, const char *address, int state, int old_flags, unsigned more)
{
	struct ndmsg body = {.ndm_family = AF_INET, .ndm_ifindex = index_of_tap, .ndm_state = (unsigned short)state, .ndm_flags = (unsigned char)old_flags}, *found;
	struct nlmsghdr *header = (void *)answers;
	struct rtattr *each;
	const char *error;
	int rest;

	begin(RTM_NEWNEIGH, NLM_F_ACK | flags, &body, sizeof(body));
	add_address(NDA_DST, address);
	if (state & NUD_STALE)
		add(NDA_LLADDR, told, 6);
	if (more)
		add_number(NDA_FLAGS_EXT, more);
	error = asked();
	if (strcmp(error, "0") != 0)
		return -atoi(error);
	body.ndm_state = body.ndm_flags = 0;
	begin(RTM_GETNEIGH, 0, &body, sizeof(body));
	add_address(NDA_DST, address);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	found = NLMSG_DATA(header);
	more_flags = found->ndm_flags;
	rest = (int)NLMSG_PAYLOAD(header, sizeof(*found));
	for (each = (void *)(found + 1); RTA_OK(each, rest); each = RTA_NEXT(each, rest))
		if (each->rta_type == NDA_FLAGS_EXT)
			more_flags |= *(unsigned *)RTA_DATA(each) << 8;
	return found->ndm_state;
}

/* One who is managed is asked for at once, and is so until somebody says something else of him. */
ROOTS_TEST(neighbours_that_are_managed)
{
	start();
	CHECK_EQ(managed(NLM_F_CREATE | NLM_F_EXCL, TARGET, NUD_PERMANENT, 0, NTF_EXT_MANAGED), -EINVAL);
	CHECK_EQ(managed(0, TARGET, 0, 0, NTF_EXT_MANAGED), -ENOENT);
	CHECK_EQ(managed(NLM_F_CREATE | NLM_F_EXCL, TARGET, 0, NTF_ROUTER, NTF_EXT_MANAGED), NUD_INCOMPLETE);
	CHECK_EQ(more_flags, NTF_EXT_MANAGED << 8);
	CHECK_EQ(managed(NLM_F_REPLACE, TARGET, NUD_STALE, 0, 0), NUD_STALE);
	CHECK_EQ(more_flags, 0);
	CHECK_EQ(managed(NLM_F_REPLACE, TARGET, 0, NTF_EXT_LEARNED, NTF_EXT_MANAGED), NUD_DELAY);
	CHECK_EQ(more_flags, NTF_EXT_MANAGED << 8 | NTF_EXT_LEARNED);
	/* He is known still, but no longer for good. */
	CHECK_EQ(managed(NLM_F_REPLACE, TARGET, NUD_PERMANENT, NTF_EXT_LEARNED, 0), NUD_PERMANENT);
	CHECK_EQ(more_flags, NTF_EXT_LEARNED);
	CHECK_EQ(managed(NLM_F_REPLACE, TARGET, 0, NTF_USE, 0), NUD_INCOMPLETE);
	CHECK_EQ(more_flags, 0);
}
