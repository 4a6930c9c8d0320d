/* What is told of tracked connections, and how they are made to be forgotten: ctnetlink, as of conntrack(8). */
#include "nftables.h"

#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/ip_icmp.h>

#define CT(message) (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_##message)

static char answer[32768];

/* The attribute of this kind among those in `length` bytes, NULL if it isn't there. */
static struct nlattr *attribute(void *first, size_t length, int kind)
{
	char *at = first, *end = at + length;

	while (end - at >= NLA_HDRLEN) {
		struct nlattr *found = (void *)at;

		if (found->nla_len < NLA_HDRLEN || found->nla_len > end - at)
			break;
		if ((found->nla_type & NLA_TYPE_MASK) == kind)
			return found;
		at += NLA_ALIGN(found->nla_len);
	}
	return NULL;
}

static void *data_of(struct nlattr *found)
{
	return (char *)found + NLA_HDRLEN;
}

static struct nlattr *within(struct nlattr *outer, int kind)
{
	return outer ? attribute(data_of(outer), outer->nla_len - NLA_HDRLEN, kind) : NULL;
}

static struct nlattr *in_message(struct nlmsghdr *message, int kind)
{
	size_t front = NLMSG_LENGTH(sizeof(struct nfgenmsg));

	return attribute((char *)message + front, message->nlmsg_len - front, kind);
}

static uint32_t long_of(struct nlattr *found)
{
	uint32_t number = 0;

	if (found && found->nla_len == NLA_HDRLEN + 4)
		memcpy(&number, data_of(found), 4);
	return ntohl(number);
}

static int short_of(struct nlattr *found)
{
	uint16_t number = 0;

	if (found && found->nla_len == NLA_HDRLEN + 2)
		memcpy(&number, data_of(found), 2);
	return ntohs(number);
}

static int byte_of(struct nlattr *found)
{
	return found && found->nla_len == NLA_HDRLEN + 1 ? *(unsigned char *)data_of(found) : -1;
}

static struct nlmsghdr *messages[20];

/* Connections are tracked, since a rule asks for their states. */
static void track(void)
{
	struct batch batch;
	struct nlattr *rule;

	enter_with_table();
	batch = new_batch();
	rule = one_rule(&batch, NF_INET_LOCAL_IN);
	match_state(&batch, NF_CT_STATE_INVALID_BIT);
	counter(&batch);
	MUST(-finish(&batch, rule));
}

/* Lists the connections of a family into `messages`: how many there are, or -errno. */
static int list(int family)
{
	struct batch batch = {.length = 0};
	int fd = filter_socket(), count = 0, is_over = 0;
	size_t end = 0;

	begin(&batch, CT(GET), NLM_F_DUMP, family, 0);
	MUST(send(fd, batch.data, batch.length, 0));
	while (!is_over) {
		ssize_t length = MUST(recv(fd, answer + end, sizeof(answer) - end, 0));
		struct nlmsghdr *message = (void *)(answer + end);

		end += NLMSG_ALIGN(length);
		for (; NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
			if (message->nlmsg_type == NLMSG_ERROR)
				count = ((struct nlmsgerr *)NLMSG_DATA(message))->error;
			if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE)
				is_over = 1;
			else
				messages[count++] = message;
		}
	}
	close(fd);
	return count;
}

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

/* Two sockets of UDP, of which the first has said something to the other. */
static void talk(int fds[2])
{
	struct sockaddr_in address = loopback(1000), other = loopback(2000);

	fds[0] = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	fds[1] = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(bind(fds[0], (void *)&other, sizeof(other)));
	MUST(bind(fds[1], (void *)&address, sizeof(address)));
	MUST(connect(fds[0], (void *)&address, sizeof(address)));
	MUST(connect(fds[1], (void *)&other, sizeof(other)));
	MUST(send(fds[0], "x", 1, 0));
}

/* A request with a tuple of UDP from one port of the loopback to another, or none for port 0: 0 or an errno. */
static int ask(int kind, int flags, int port, int target)
{
	struct batch batch = {.length = 0};
	struct nlattr *tuple, *part;
	uint32_t own = htonl(INADDR_LOOPBACK);
	uint16_t source_port = htons(port), target_port = htons(target);
	uint8_t protocol = IPPROTO_UDP;
	int fd = filter_socket(), result;
	ssize_t length;

	begin(&batch, kind, flags, AF_INET, 0);
	if (port) {
		tuple = add(&batch, CTA_TUPLE_ORIG | NEST, NULL, 0);
		part = add(&batch, CTA_TUPLE_IP | NEST, NULL, 0);
		add(&batch, CTA_IP_V4_SRC, &own, 4);
		add(&batch, CTA_IP_V4_DST, &own, 4);
		end_nest(&batch, part);
		part = add(&batch, CTA_TUPLE_PROTO | NEST, NULL, 0);
		add(&batch, CTA_PROTO_NUM, &protocol, 1);
		add(&batch, CTA_PROTO_SRC_PORT, &source_port, 2);
		add(&batch, CTA_PROTO_DST_PORT, &target_port, 2);
		end_nest(&batch, part);
		end_nest(&batch, tuple);
	}
	MUST(send(fd, batch.data, batch.length, 0));
	length = MUST(recv(fd, answer, sizeof(answer), 0));
	CHECK(length >= (ssize_t)sizeof(struct nlmsghdr));
	messages[0] = (void *)answer;
	result = messages[0]->nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(answer))->error : 0;
	close(fd);
	return result;
}

TEST(datagrams)
{
	struct nlattr *tuple;
	struct nfgenmsg *body;
	uint32_t own = htonl(INADDR_LOOPBACK), status;
	char byte;
	int fds[2];

	track();
	CHECK_EQ(list(AF_UNSPEC), 0);
	talk(fds);
	CHECK_EQ(list(AF_UNSPEC), 1);
	CHECK_EQ(messages[0]->nlmsg_type, CT(NEW));
	CHECK_EQ(messages[0]->nlmsg_flags & NLM_F_MULTI, NLM_F_MULTI);
	body = NLMSG_DATA(messages[0]);
	CHECK_EQ(body->nfgen_family, AF_INET);
	CHECK_EQ(body->version, NFNETLINK_V0);
	CHECK_EQ(body->res_id, 0);
	tuple = in_message(messages[0], CTA_TUPLE_ORIG);
	CHECK(memcmp(data_of(within(within(tuple, CTA_TUPLE_IP), CTA_IP_V4_SRC)), &own, 4) == 0);
	CHECK(memcmp(data_of(within(within(tuple, CTA_TUPLE_IP), CTA_IP_V4_DST)), &own, 4) == 0);
	CHECK_EQ(byte_of(within(within(tuple, CTA_TUPLE_PROTO), CTA_PROTO_NUM)), IPPROTO_UDP);
	CHECK_EQ(short_of(within(within(tuple, CTA_TUPLE_PROTO), CTA_PROTO_SRC_PORT)), 2000);
	CHECK_EQ(short_of(within(within(tuple, CTA_TUPLE_PROTO), CTA_PROTO_DST_PORT)), 1000);
	tuple = in_message(messages[0], CTA_TUPLE_REPLY);
	CHECK_EQ(short_of(within(within(tuple, CTA_TUPLE_PROTO), CTA_PROTO_SRC_PORT)), 1000);
	CHECK_EQ(short_of(within(within(tuple, CTA_TUPLE_PROTO), CTA_PROTO_DST_PORT)), 2000);
	status = long_of(in_message(messages[0], CTA_STATUS));
	CHECK_EQ(status & (IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED), IPS_CONFIRMED);
	CHECK(long_of(in_message(messages[0], CTA_TIMEOUT)) >= 25 && long_of(in_message(messages[0], CTA_TIMEOUT)) <= 30);
	CHECK(in_message(messages[0], CTA_MARK) == NULL || long_of(in_message(messages[0], CTA_MARK)) == 0);
	CHECK(long_of(in_message(messages[0], CTA_USE)) >= 1);
	CHECK(in_message(messages[0], CTA_ID) != NULL);
	CHECK(in_message(messages[0], CTA_PROTOINFO) == NULL);
	/* There is an answer. */
	MUST(send(fds[1], "y", 1, 0));
	MUST(recv(fds[0], &byte, 1, 0));
	CHECK_EQ(list(AF_INET), 1);
	status = long_of(in_message(messages[0], CTA_STATUS));
	CHECK_EQ(status & IPS_SEEN_REPLY, IPS_SEEN_REPLY);
	CHECK_EQ(list(AF_INET6), 0);
	CHECK_EQ(list(AF_INET), 1);
}

static int set(const char *name, const char *value)
{
	char path[128];
	int fd, result;

	snprintf(path, sizeof(path), "/proc/sys/net/netfilter/%s", name);
	fd = open(path, O_WRONLY);
	if (fd == -1)
		return -1;
	result = write(fd, value, strlen(value)) == (ssize_t)strlen(value) ? 0 : -1;
	close(fd);
	return result;
}

/* How long connections are remembered, and which are known, is set in /proc/sys/net/netfilter. */
TEST(settings)
{
	struct nlattr *left;
	char byte;
	int fds[2], fd;

	track();
	CHECK_EQ(set("nf_conntrack_udp_timeout", "77"), 0);
	CHECK_EQ(set("nf_conntrack_udp_timeout_stream", "88"), 0);
	CHECK_ERRNO(set("nf_conntrack_udp_timeout", "8589935"), EINVAL);
	CHECK_ERRNO(set("nf_conntrack_tcp_loose", "2"), EINVAL);
	talk(fds);
	CHECK_EQ(list(AF_INET), 1);
	left = in_message(messages[0], CTA_TIMEOUT);
	CHECK(long_of(left) >= 70 && long_of(left) <= 77);
	for (int i = 0; i < 2; i++) {
		MUST(send(fds[1], "y", 1, 0));
		MUST(recv(fds[0], &byte, 1, 0));
	}
	CHECK_EQ(list(AF_INET), 1);
	left = in_message(messages[0], CTA_TIMEOUT);
	CHECK(long_of(left) >= 70 && long_of(left) <= 88);
	fd = (int)MUST(open("/proc/sys/net/netfilter/nf_conntrack_count", O_RDONLY));
	MUST(read(fd, &byte, 1));
	CHECK_EQ(byte, '1');
	close(fd);
}

TEST(connections)
{
	struct sockaddr_in address = loopback(1000);
	struct nlattr *info;
	int listener, client, server;
	char byte;

	track();
	listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(listener, (void *)&address, sizeof(address)));
	MUST(listen(listener, 1));
	client = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(client, (void *)&address, sizeof(address)));
	server = MUST(accept(listener, NULL, NULL));
	MUST(send(client, "x", 1, 0));
	MUST(recv(server, &byte, 1, 0));
	CHECK_EQ(list(AF_INET), 1);
	info = within(in_message(messages[0], CTA_PROTOINFO), CTA_PROTOINFO_TCP);
	CHECK_EQ(byte_of(within(info, CTA_PROTOINFO_TCP_STATE)), TCP_CONNTRACK_ESTABLISHED);
	CHECK_EQ(long_of(in_message(messages[0], CTA_STATUS)) & (IPS_SEEN_REPLY | IPS_ASSURED), IPS_SEEN_REPLY | IPS_ASSURED);
	CHECK(long_of(in_message(messages[0], CTA_TIMEOUT)) > 400000);
	close(client);
	CHECK_EQ(list(AF_INET), 1);
	info = within(in_message(messages[0], CTA_PROTOINFO), CTA_PROTOINFO_TCP);
	/* Its end may be acknowledged later. */
	CHECK(byte_of(within(info, CTA_PROTOINFO_TCP_STATE)) == TCP_CONNTRACK_FIN_WAIT ||
	      byte_of(within(info, CTA_PROTOINFO_TCP_STATE)) == TCP_CONNTRACK_CLOSE_WAIT);
	close(server);
	CHECK_EQ(list(AF_INET), 1);
	info = within(in_message(messages[0], CTA_PROTOINFO), CTA_PROTOINFO_TCP);
	CHECK_EQ(byte_of(within(info, CTA_PROTOINFO_TCP_STATE)), TCP_CONNTRACK_TIME_WAIT);
}

TEST(one_of_them)
{
	int fds[2];

	track();
	talk(fds);
	CHECK_EQ(ask(CT(GET), 0, 2000, 1000), 0);
	CHECK_EQ(messages[0]->nlmsg_type, CT(NEW));
	CHECK_EQ(short_of(within(within(in_message(messages[0], CTA_TUPLE_ORIG), CTA_TUPLE_PROTO), CTA_PROTO_SRC_PORT)), 2000);
	CHECK_EQ(ask(CT(GET), 0, 2000, 1001), ENOENT);
	CHECK_EQ(ask(CT(GET), 0, 0, 0), EINVAL);
	CHECK_EQ(ask(CT(DELETE), NLM_F_ACK, 2000, 1001), ENOENT);
	CHECK_EQ(list(AF_INET), 1);
	CHECK_EQ(ask(CT(DELETE), NLM_F_ACK, 2000, 1000), 0);
	CHECK_EQ(list(AF_INET), 0);
	/* It's tracked again from the next packet on. */
	MUST(send(fds[0], "x", 1, 0));
	CHECK_EQ(list(AF_INET), 1);
	/* All of them. */
	CHECK_EQ(ask(CT(DELETE), NLM_F_ACK, 0, 0), 0);
	CHECK_EQ(list(AF_INET), 0);
}

TEST(counts)
{
	struct nlattr *found;
	int fds[2];

	track();
	talk(fds);
	CHECK_EQ(ask(CT(GET_STATS), 0, 0, 0), 0);
	CHECK_EQ(messages[0]->nlmsg_type, CT(GET_STATS));
	CHECK_EQ(long_of(in_message(messages[0], CTA_STATS_GLOBAL_ENTRIES)), 1);
	found = in_message(messages[0], CTA_STATS_GLOBAL_MAX_ENTRIES);
	CHECK(long_of(found) > 1000);
	CHECK_EQ(ask(NFNL_SUBSYS_CTNETLINK << 8 | 99, 0, 0, 0), EINVAL);
}

/* The next message of a listener: its type, or -errno. */
static int next_event(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	ssize_t length;

	poll(&poller, 1, 1000);
	length = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	messages[0] = (void *)answer;
	return length == -1 ? -errno : messages[0]->nlmsg_type;
}

TEST(events)
{
	int fd, fds[2], group = NFNLGRP_CONNTRACK_NEW;

	track();
	fd = filter_socket();
	CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	group = NFNLGRP_CONNTRACK_DESTROY;
	CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	talk(fds);
	CHECK_EQ(next_event(fd), CT(NEW));
	CHECK_EQ(messages[0]->nlmsg_flags & (NLM_F_CREATE | NLM_F_EXCL), NLM_F_CREATE | NLM_F_EXCL);
	CHECK_EQ(messages[0]->nlmsg_seq, 0);
	CHECK_EQ(messages[0]->nlmsg_pid, 0);
	CHECK_EQ(short_of(within(within(in_message(messages[0], CTA_TUPLE_ORIG), CTA_TUPLE_PROTO), CTA_PROTO_SRC_PORT)), 2000);
	CHECK_EQ(ask(CT(DELETE), NLM_F_ACK, 2000, 1000), 0);
	CHECK_EQ(next_event(fd), CT(DELETE));
	CHECK_EQ(short_of(within(within(in_message(messages[0], CTA_TUPLE_ORIG), CTA_TUPLE_PROTO), CTA_PROTO_DST_PORT)), 1000);
	CHECK_ERRNO(recv(fd, answer, 10, MSG_DONTWAIT), EAGAIN);
}

TEST(who_may)
{
	track();
	if (MUST(fork()) == 0) {
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_EQ(list(AF_INET), -EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(-1), EXITED(0));
}
