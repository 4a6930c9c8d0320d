/* The packet filter of a network namespace: nftables' requests and what becomes of packets (nft(8)). */
#include "check.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define NFT(message) (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_##message)
#define NEST NLA_F_NESTED

/* Messages that are sent at once; `last` is where the newest begins. */
struct batch {
	char data[8192];
	size_t length, last;
};

static void begin(struct batch *batch, int type, int flags, int family, int resource)
{
	struct nlmsghdr *header = (void *)(batch->data + batch->length);
	struct nfgenmsg body = {.nfgen_family = family, .res_id = htons(resource)};

	memset(header, 0, NLMSG_SPACE(sizeof(body)));
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	header->nlmsg_seq = batch->length;
	header->nlmsg_len = NLMSG_LENGTH(sizeof(body));
	memcpy(NLMSG_DATA(header), &body, sizeof(body));
	batch->last = batch->length;
	batch->length += NLMSG_ALIGN(header->nlmsg_len);
}

static struct nlattr *add(struct batch *batch, int type, const void *data, size_t length)
{
	struct nlmsghdr *header = (void *)(batch->data + batch->last);
	struct nlattr *attribute = (void *)(batch->data + batch->length);

	memset(attribute, 0, NLA_HDRLEN + NLA_ALIGN(length));
	attribute->nla_type = type;
	attribute->nla_len = NLA_HDRLEN + length;
	if (length)
		memcpy((char *)attribute + NLA_HDRLEN, data, length);
	batch->length += NLA_HDRLEN + NLA_ALIGN(length);
	header->nlmsg_len = batch->length - batch->last;
	return attribute;
}

static void add_text(struct batch *batch, int type, const char *text)
{
	add(batch, type, text, strlen(text) + 1);
}

static void add_number(struct batch *batch, int type, uint32_t number)
{
	number = htonl(number);
	add(batch, type, &number, sizeof(number));
}

static void end_nest(struct batch *batch, struct nlattr *nest)
{
	nest->nla_len = batch->data + batch->length - (char *)nest;
}

/* The parts of a batch. */

static struct batch new_batch(void)
{
	struct batch batch = {.length = 0};

	begin(&batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	return batch;
}

static void change_table(struct batch *batch, int type, int flags, const char *name)
{
	begin(batch, type, flags, NFPROTO_IPV4, 0);
	if (name)
		add_text(batch, NFTA_TABLE_NAME, name);
}

static void change_chain(struct batch *batch, int type, int flags, const char *name, int hook, int policy)
{
	struct nlattr *nest;

	begin(batch, type, flags, NFPROTO_IPV4, 0);
	add_text(batch, NFTA_CHAIN_TABLE, "t");
	add_text(batch, NFTA_CHAIN_NAME, name);
	if (hook == -1)
		return;
	nest = add(batch, NFTA_CHAIN_HOOK | NEST, NULL, 0);
	add_number(batch, NFTA_HOOK_HOOKNUM, hook);
	add_number(batch, NFTA_HOOK_PRIORITY, 0);
	end_nest(batch, nest);
	add_number(batch, NFTA_CHAIN_POLICY, policy);
	add_text(batch, NFTA_CHAIN_TYPE, "filter");
}

static struct nlattr *begin_rule(struct batch *batch, const char *chain)
{
	begin(batch, NFT(NEWRULE), NLM_F_CREATE | NLM_F_APPEND, NFPROTO_IPV4, 0);
	add_text(batch, NFTA_RULE_TABLE, "t");
	add_text(batch, NFTA_RULE_CHAIN, chain);
	return add(batch, NFTA_RULE_EXPRESSIONS | NEST, NULL, 0);
}

struct expression {
	struct nlattr *element, *data;
};

static struct expression begin_expression(struct batch *batch, const char *name)
{
	struct expression begun = {.element = add(batch, NFTA_LIST_ELEM | NEST, NULL, 0)};

	add_text(batch, NFTA_EXPR_NAME, name);
	begun.data = add(batch, NFTA_EXPR_DATA | NEST, NULL, 0);
	return begun;
}

static void end_expression(struct batch *batch, struct expression begun)
{
	end_nest(batch, begun.data);
	end_nest(batch, begun.element);
}

static void payload(struct batch *batch, int base, int offset, int length, int target)
{
	struct expression begun = begin_expression(batch, "payload");

	add_number(batch, NFTA_PAYLOAD_DREG, target);
	add_number(batch, NFTA_PAYLOAD_BASE, base);
	add_number(batch, NFTA_PAYLOAD_OFFSET, offset);
	add_number(batch, NFTA_PAYLOAD_LEN, length);
	end_expression(batch, begun);
}

static void compare(struct batch *batch, int source, const void *data, size_t length)
{
	struct expression begun = begin_expression(batch, "cmp");
	struct nlattr *nest;

	add_number(batch, NFTA_CMP_SREG, source);
	add_number(batch, NFTA_CMP_OP, NFT_CMP_EQ);
	nest = add(batch, NFTA_CMP_DATA | NEST, NULL, 0);
	add(batch, NFTA_DATA_VALUE, data, length);
	end_nest(batch, nest);
	end_expression(batch, begun);
}

static void verdict(struct batch *batch, int code, const char *chain)
{
	struct expression begun = begin_expression(batch, "immediate");
	struct nlattr *data, *nest;

	add_number(batch, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = add(batch, NFTA_IMMEDIATE_DATA | NEST, NULL, 0);
	nest = add(batch, NFTA_DATA_VERDICT | NEST, NULL, 0);
	add_number(batch, NFTA_VERDICT_CODE, code);
	if (chain)
		add_text(batch, NFTA_VERDICT_CHAIN, chain);
	end_nest(batch, nest);
	end_nest(batch, data);
	end_expression(batch, begun);
}

static void reject(struct batch *batch, int type, uint8_t code)
{
	struct expression begun = begin_expression(batch, "reject");

	add_number(batch, NFTA_REJECT_TYPE, type);
	if (type != NFT_REJECT_TCP_RST)
		add(batch, NFTA_REJECT_ICMP_CODE, &code, sizeof(code));
	end_expression(batch, begun);
}

static void lookup(struct batch *batch, int source, const char *set, int target)
{
	struct expression begun = begin_expression(batch, "lookup");

	add_text(batch, NFTA_LOOKUP_SET, set);
	add_number(batch, NFTA_LOOKUP_SREG, source);
	if (target != -1)
		add_number(batch, NFTA_LOOKUP_DREG, target);
	end_expression(batch, begun);
}

/* Take only packets whose connection is in one of these states. */
static void match_state(struct batch *batch, uint32_t states)
{
	struct expression begun = begin_expression(batch, "ct");
	struct nlattr *nest;
	uint32_t zero = 0;

	add_number(batch, NFTA_CT_DREG, NFT_REG_1);
	add_number(batch, NFTA_CT_KEY, NFT_CT_STATE);
	end_expression(batch, begun);
	begun = begin_expression(batch, "bitwise");
	add_number(batch, NFTA_BITWISE_SREG, NFT_REG_1);
	add_number(batch, NFTA_BITWISE_DREG, NFT_REG_1);
	add_number(batch, NFTA_BITWISE_LEN, sizeof(states));
	nest = add(batch, NFTA_BITWISE_MASK | NEST, NULL, 0);
	add(batch, NFTA_DATA_VALUE, &states, sizeof(states));
	end_nest(batch, nest);
	nest = add(batch, NFTA_BITWISE_XOR | NEST, NULL, 0);
	add(batch, NFTA_DATA_VALUE, &zero, sizeof(zero));
	end_nest(batch, nest);
	end_expression(batch, begun);
	begun = begin_expression(batch, "cmp");
	add_number(batch, NFTA_CMP_SREG, NFT_REG_1);
	add_number(batch, NFTA_CMP_OP, NFT_CMP_NEQ);
	nest = add(batch, NFTA_CMP_DATA | NEST, NULL, 0);
	add(batch, NFTA_DATA_VALUE, &zero, sizeof(zero));
	end_nest(batch, nest);
	end_expression(batch, begun);
}

/* One of iptables' matches. */
static void extension(struct batch *batch, const char *name, int revision, const void *info, size_t length)
{
	struct expression begun = begin_expression(batch, "match");

	add_text(batch, NFTA_MATCH_NAME, name);
	add_number(batch, NFTA_MATCH_REV, revision);
	add(batch, NFTA_MATCH_INFO, info, length);
	end_expression(batch, begun);
}

static void put_long(struct batch *batch, int type, uint64_t number)
{
	number = (uint64_t)htonl(number) << 32 | htonl(number >> 32);
	add(batch, type, &number, sizeof(number));
}

static void limit(struct batch *batch, uint64_t rate, uint64_t unit_s, int burst, int type)
{
	struct expression begun = begin_expression(batch, "limit");

	put_long(batch, NFTA_LIMIT_RATE, rate);
	put_long(batch, NFTA_LIMIT_UNIT, unit_s);
	add_number(batch, NFTA_LIMIT_BURST, burst);
	add_number(batch, NFTA_LIMIT_TYPE, type);
	end_expression(batch, begun);
}

static void counter(struct batch *batch)
{
	end_expression(batch, begin_expression(batch, "counter"));
}

static void match_protocol(struct batch *batch, uint8_t protocol)
{
	payload(batch, NFT_PAYLOAD_NETWORK_HEADER, 9, 1, NFT_REG_1);
	compare(batch, NFT_REG_1, &protocol, 1);
}

static void match_port(struct batch *batch, uint8_t protocol, int port)
{
	uint16_t number = htons(port);

	match_protocol(batch, protocol);
	payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, NFT_REG_1);
	compare(batch, NFT_REG_1, &number, sizeof(number));
}

static void new_set(struct batch *batch, const char *name, int id, int flags, int key_length)
{
	begin(batch, NFT(NEWSET), NLM_F_CREATE | NLM_F_EXCL, NFPROTO_IPV4, 0);
	add_text(batch, NFTA_SET_TABLE, "t");
	add_text(batch, NFTA_SET_NAME, name);
	add_number(batch, NFTA_SET_ID, id);
	add_number(batch, NFTA_SET_FLAGS, flags);
	add_number(batch, NFTA_SET_KEY_TYPE, 13);
	add_number(batch, NFTA_SET_KEY_LEN, key_length);
	if (flags & NFT_SET_MAP)
		add_number(batch, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
}

/* An element whose key is a port; of a map with a verdict, unless `code` is NFT_CONTINUE. */
static void change_element(struct batch *batch, int type, int flags, const char *set, int port, int mark, int code)
{
	struct nlattr *list, *element, *data, *nest;
	uint16_t key = htons(port);

	begin(batch, type, flags, NFPROTO_IPV4, 0);
	add_text(batch, NFTA_SET_ELEM_LIST_TABLE, "t");
	add_text(batch, NFTA_SET_ELEM_LIST_SET, set);
	list = add(batch, NFTA_SET_ELEM_LIST_ELEMENTS | NEST, NULL, 0);
	element = add(batch, NFTA_LIST_ELEM | NEST, NULL, 0);
	nest = add(batch, NFTA_SET_ELEM_KEY | NEST, NULL, 0);
	add(batch, NFTA_DATA_VALUE, &key, sizeof(key));
	end_nest(batch, nest);
	if (mark)
		add_number(batch, NFTA_SET_ELEM_FLAGS, mark);
	if (code != NFT_CONTINUE) {
		data = add(batch, NFTA_SET_ELEM_DATA | NEST, NULL, 0);
		nest = add(batch, NFTA_DATA_VERDICT | NEST, NULL, 0);
		add_number(batch, NFTA_VERDICT_CODE, code);
		end_nest(batch, nest);
		end_nest(batch, data);
	}
	end_nest(batch, element);
	end_nest(batch, list);
}

/* Talking */

static int filter_socket(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int fd = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));

	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

/* Send all of it; the errno of the first acknowledgement, -1 if none comes. */
static int send_all(struct batch *batch)
{
	static char answer[16384];
	int fd = filter_socket(), result = -1;
	ssize_t length;

	if (send(fd, batch->data, batch->length, 0) != (ssize_t)batch->length)
		result = -1000 - errno;
	length = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	if (length >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
		struct nlmsghdr *header = (void *)answer;

		if (header->nlmsg_type == NLMSG_ERROR)
			result = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
	}
	close(fd);
	return result;
}

/* End the batch and do it: the errno of its first error, 0 if there is none. */
static int commit(struct batch *batch)
{
	int result;

	begin(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	result = send_all(batch);
	return result == -1 ? 0 : result;
}

/* How many objects the kernel lists, -errno if it says so. */
static int count_of(int type)
{
	struct batch batch = {.length = 0};
	static char answer[16384];
	int fd = filter_socket(), count = 0, is_over = 0;

	begin(&batch, type, NLM_F_DUMP, AF_UNSPEC, 0);
	MUST(send(fd, batch.data, batch.length, 0));
	while (!is_over) {
		ssize_t length = MUST(recv(fd, answer, sizeof(answer), 0));

		for (struct nlmsghdr *header = (void *)answer; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			if (header->nlmsg_type == NLMSG_ERROR)
				count = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
			if (header->nlmsg_type == NLMSG_ERROR || header->nlmsg_type == NLMSG_DONE)
				is_over = 1;
			else
				count++;
		}
	}
	close(fd);
	return count;
}

static int generation(void)
{
	struct batch batch = {.length = 0};
	static char answer[4096];
	int fd = filter_socket();
	struct nlattr *first = (void *)(answer + NLMSG_LENGTH(sizeof(struct nfgenmsg)));
	uint32_t number;

	begin(&batch, NFT(GETGEN), 0, AF_UNSPEC, 0);
	MUST(send(fd, batch.data, batch.length, 0));
	MUST(recv(fd, answer, sizeof(answer), 0));
	close(fd);
	memcpy(&number, (char *)first + NLA_HDRLEN, sizeof(number));
	return ((struct nlmsghdr *)answer)->nlmsg_type == NFT(NEWGEN) && first->nla_type == NFTA_GEN_ID ? ntohl(number) : 0;
}

/* A namespace of its own, with a table "t". */
static void enter(void)
{
	struct batch batch = new_batch();
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	MUST(unshare(CLONE_NEWNET));
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	MUST(-commit(&batch));
}

/* A base chain "c" at a hook, with one rule whose expressions follow; `finish` ends both. */
static struct nlattr *one_rule(struct batch *batch, int hook)
{
	change_chain(batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", hook, NF_ACCEPT);
	return begin_rule(batch, "c");
}

static int finish(struct batch *batch, struct nlattr *rule)
{
	end_nest(batch, rule);
	return commit(batch);
}

/* Packets */

static struct sockaddr_in at(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static int bound(int kind, int port)
{
	struct sockaddr_in address = at(port);
	int fd = MUST(socket(AF_INET, kind, 0)), one = 1;

	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

/* Send a datagram to a socket there: 1 if it arrives, 0 if it doesn't, -errno if it isn't even sent. */
static int datagram_to(int port)
{
	struct sockaddr_in address = at(port);
	int receiver = bound(SOCK_DGRAM, port), sender = MUST(socket(AF_INET, SOCK_DGRAM, 0)), result;
	char byte = 'x';

	if (sendto(sender, &byte, 1, 0, (void *)&address, sizeof(address)) == -1)
		result = -errno;
	else
		result = recv(receiver, &byte, 1, MSG_DONTWAIT) == 1;
	close(sender);
	close(receiver);
	return result;
}

/* Connect to who listens there: the errno, EINPROGRESS if nothing answers. */
static int connect_to(int port)
{
	struct sockaddr_in address = at(port);
	int listener = bound(SOCK_STREAM, port), fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), error = 0;
	socklen_t length = sizeof(error);
	struct pollfd polled = {.fd = fd, .events = POLLOUT};

	MUST(listen(listener, 1));
	if (connect(fd, (void *)&address, sizeof(address)) == -1)
		error = errno;
	if (error == EINPROGRESS && poll(&polled, 1, 200) == 1)
		MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
	close(fd);
	close(listener);
	return error;
}

TEST(who_may)
{
	struct batch batch = {.length = 0};

	begin(&batch, NFT(GETTABLE), NLM_F_DUMP, AF_UNSPEC, 0);
	MUST(unshare(CLONE_NEWNET));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_EQ(send_all(&batch), EPERM);
	batch = new_batch();
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	CHECK_EQ(commit(&batch), EPERM);
	CHECK_OK(unshare(CLONE_NEWUSER | CLONE_NEWNET));
	batch = new_batch();
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(count_of(NFT(GETTABLE)), 1);
}

TEST(tables)
{
	struct batch batch;

	MUST(unshare(CLONE_NEWNET));
	CHECK_EQ(count_of(NFT(GETTABLE)), 0);
	CHECK_EQ(generation(), 1);
	batch = new_batch();
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(generation(), 1);
	batch = new_batch();
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(generation(), 2);
	CHECK_EQ(count_of(NFT(GETTABLE)), 1);
	batch = new_batch();
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	CHECK_EQ(commit(&batch), 0);
	batch = new_batch();
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE | NLM_F_EXCL, "t");
	CHECK_EQ(commit(&batch), EEXIST);
	batch = new_batch();
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, NULL);
	CHECK_EQ(commit(&batch), EINVAL);
	batch = new_batch();
	change_table(&batch, NFT(DELTABLE), 0, "other");
	CHECK_EQ(commit(&batch), ENOENT);
	batch = new_batch();
	change_table(&batch, NFT(DELTABLE), 0, "t");
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(count_of(NFT(GETTABLE)), 0);
}

TEST(batches)
{
	struct batch batch = {.length = 0};

	MUST(unshare(CLONE_NEWNET));
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	CHECK_EQ(send_all(&batch), EINVAL);
	/* All or nothing. */
	batch = new_batch();
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	change_table(&batch, NFT(DELTABLE), 0, "other");
	CHECK_EQ(commit(&batch), ENOENT);
	CHECK_EQ(count_of(NFT(GETTABLE)), 0);
	/* Without an end. */
	batch = new_batch();
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	CHECK_EQ(send_all(&batch), -1);
	CHECK_EQ(count_of(NFT(GETTABLE)), 0);
	/* Of another state of the rules. */
	batch = new_batch();
	add_number(&batch, NFNL_BATCH_GENID, 7);
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	CHECK_EQ(commit(&batch), ERESTART);
	batch = new_batch();
	add_number(&batch, NFNL_BATCH_GENID, generation());
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(count_of(NFT(GETTABLE)), 1);
	/* A question isn't a change. */
	batch = new_batch();
	begin(&batch, NFT(GETTABLE), 0, NFPROTO_IPV4, 0);
	CHECK_EQ(commit(&batch), EINVAL);
}

TEST(chains)
{
	struct batch batch;

	enter();
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "a", -1, 0);
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_ACCEPT);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(count_of(NFT(GETCHAIN)), 2);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE | NLM_F_EXCL, "a", -1, 0);
	CHECK_EQ(commit(&batch), EEXIST);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "a", NF_INET_LOCAL_OUT, NF_ACCEPT);
	CHECK_EQ(commit(&batch), EOPNOTSUPP);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_OUT, NF_ACCEPT);
	CHECK_EQ(commit(&batch), EOPNOTSUPP);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "d", 5, NF_ACCEPT);
	CHECK_EQ(commit(&batch), EOPNOTSUPP);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "d", NF_INET_LOCAL_IN, 9);
	CHECK_EQ(commit(&batch), EINVAL);
	batch = new_batch();
	change_chain(&batch, NFT(DELCHAIN), 0, "d", -1, 0);
	CHECK_EQ(commit(&batch), ENOENT);
	/* Where a rule leads to can't go. */
	batch = new_batch();
	{
		struct nlattr *rule = begin_rule(&batch, "c");

		verdict(&batch, NFT_JUMP, "a");
		CHECK_EQ(finish(&batch, rule), 0);
	}
	batch = new_batch();
	change_chain(&batch, NFT(DELCHAIN), 0, "a", -1, 0);
	CHECK_EQ(commit(&batch), EBUSY);
	CHECK_EQ(count_of(NFT(GETRULE)), 1);
	batch = new_batch();
	change_chain(&batch, NFT(DELCHAIN), 0, "c", -1, 0);
	change_chain(&batch, NFT(DELCHAIN), 0, "a", -1, 0);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(count_of(NFT(GETRULE)), 0);
}

TEST(policy)
{
	struct batch batch;

	enter();
	CHECK_EQ(datagram_to(1000), 1);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_DROP);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(datagram_to(1000), 0);
	CHECK_EQ(connect_to(1000), EINPROGRESS);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_ACCEPT);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(datagram_to(1000), 1);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "o", NF_INET_LOCAL_OUT, NF_DROP);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(datagram_to(1000), -EPERM);
	CHECK_EQ(connect_to(1000), EINPROGRESS);
	/* Other namespaces have other rules. */
	MUST(unshare(CLONE_NEWNET));
	CHECK_EQ(count_of(NFT(GETCHAIN)), 0);
}

TEST(drop)
{
	struct batch batch;
	struct nlattr *rule;

	enter();
	batch = new_batch();
	rule = one_rule(&batch, NF_INET_LOCAL_IN);
	match_port(&batch, IPPROTO_UDP, 1000);
	counter(&batch);
	verdict(&batch, NF_DROP, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(datagram_to(1000), 0);
	CHECK_EQ(datagram_to(1001), 1);
	CHECK_EQ(connect_to(1000), 0);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_TCP, 1000);
	verdict(&batch, NF_DROP, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(connect_to(1000), EINPROGRESS);
	CHECK_EQ(connect_to(1001), 0);
}

TEST(refuse)
{
	struct batch batch;
	struct nlattr *rule;

	enter();
	batch = new_batch();
	rule = one_rule(&batch, NF_INET_LOCAL_IN);
	match_port(&batch, IPPROTO_TCP, 1000);
	reject(&batch, NFT_REJECT_TCP_RST, 0);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(connect_to(1000), ECONNREFUSED);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_TCP, 1001);
	reject(&batch, NFT_REJECT_ICMP_UNREACH, 3);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(connect_to(1001), ECONNREFUSED);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_TCP, 1002);
	reject(&batch, NFT_REJECT_ICMP_UNREACH, 13);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(connect_to(1002), EHOSTUNREACH);
	CHECK_EQ(connect_to(1003), 0);
	/* Not where packets have gone already. */
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "p", NF_INET_POST_ROUTING, NF_ACCEPT);
	rule = begin_rule(&batch, "p");
	reject(&batch, NFT_REJECT_TCP_RST, 0);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	reject(&batch, 9, 0);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	reject(&batch, NFT_REJECT_ICMPX_UNREACH, 4);
	CHECK_EQ(finish(&batch, rule), EINVAL);
}

TEST(jumps)
{
	struct batch batch;
	struct nlattr *rule;

	enter();
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_ACCEPT);
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "a", -1, 0);
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "b", -1, 0);
	rule = begin_rule(&batch, "a");
	match_port(&batch, IPPROTO_UDP, 1000);
	verdict(&batch, NFT_RETURN, NULL);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "a");
	match_protocol(&batch, IPPROTO_UDP);
	verdict(&batch, NFT_GOTO, "b");
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "b");
	match_port(&batch, IPPROTO_UDP, 1001);
	verdict(&batch, NF_DROP, NULL);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "c");
	verdict(&batch, NFT_JUMP, "a");
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_UDP, 1000);
	verdict(&batch, NF_DROP, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(datagram_to(1000), 0);
	CHECK_EQ(datagram_to(1001), 0);
	CHECK_EQ(datagram_to(1002), 1);
	batch = new_batch();
	rule = begin_rule(&batch, "b");
	verdict(&batch, NFT_JUMP, "a");
	CHECK_EQ(finish(&batch, rule), EMLINK);
	batch = new_batch();
	rule = begin_rule(&batch, "b");
	verdict(&batch, NFT_JUMP, "c");
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = new_batch();
	rule = begin_rule(&batch, "b");
	verdict(&batch, NFT_JUMP, "none");
	CHECK_EQ(finish(&batch, rule), ENOENT);
	batch = new_batch();
	rule = begin_rule(&batch, "b");
	verdict(&batch, 77, NULL);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	CHECK_EQ(count_of(NFT(GETRULE)), 5);
}

/* Rules that Linux doesn't take. */
TEST(wrong_rules)
{
	struct batch batch;
	struct nlattr *rule;
	char data[32] = {0};

	enter();
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_ACCEPT);
	CHECK_EQ(commit(&batch), 0);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	payload(&batch, NFT_PAYLOAD_NETWORK_HEADER, 0, 1, 99);
	CHECK_EQ(finish(&batch, rule), ERANGE);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	payload(&batch, NFT_PAYLOAD_NETWORK_HEADER, 0, 1, NFT_REG_VERDICT);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	payload(&batch, NFT_PAYLOAD_NETWORK_HEADER, 0, 8, NFT_REG32_15);
	CHECK_EQ(finish(&batch, rule), ERANGE);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	payload(&batch, NFT_PAYLOAD_NETWORK_HEADER, 0, 0, NFT_REG_1);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	payload(&batch, 99, 0, 1, NFT_REG_1);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	compare(&batch, NFT_REG_1, data, 4);
	CHECK_EQ(finish(&batch, rule), ENODATA);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	payload(&batch, NFT_PAYLOAD_NETWORK_HEADER, 0, 16, NFT_REG_1);
	compare(&batch, NFT_REG_1, data, 17);
	CHECK_EQ(finish(&batch, rule), EOVERFLOW);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	end_expression(&batch, begin_expression(&batch, "nothing"));
	CHECK_EQ(finish(&batch, rule), ENOENT);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	end_expression(&batch, begin_expression(&batch, "cmp"));
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "none");
	CHECK_EQ(finish(&batch, rule), ENOENT);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	/* What comes behind a wrong length isn't read. */
	rule->nla_len = 3;
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(count_of(NFT(GETRULE)), 1);
}

static void load_port(struct batch *batch)
{
	match_protocol(batch, IPPROTO_UDP);
	payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, NFT_REG_1);
}

TEST(sets)
{
	struct batch batch;
	struct nlattr *rule;

	enter();
	batch = new_batch();
	new_set(&batch, "s", 1, 0, 2);
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "s", 1000, 0, NFT_CONTINUE);
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "s", 1001, 0, NFT_CONTINUE);
	rule = one_rule(&batch, NF_INET_LOCAL_IN);
	load_port(&batch);
	lookup(&batch, NFT_REG_1, "s", -1);
	verdict(&batch, NF_DROP, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(datagram_to(1000), 0);
	CHECK_EQ(datagram_to(1001), 0);
	CHECK_EQ(datagram_to(1002), 1);
	CHECK_EQ(count_of(NFT(GETSET)), 1);
	batch = new_batch();
	change_element(&batch, NFT(DELSETELEM), 0, "s", 1001, 0, NFT_CONTINUE);
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "s", 1002, 0, NFT_CONTINUE);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(datagram_to(1001), 1);
	CHECK_EQ(datagram_to(1002), 0);
	batch = new_batch();
	change_element(&batch, NFT(DELSETELEM), 0, "s", 1001, 0, NFT_CONTINUE);
	CHECK_EQ(commit(&batch), ENOENT);
	batch = new_batch();
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE | NLM_F_EXCL, "s", 1002, 0, NFT_CONTINUE);
	CHECK_EQ(commit(&batch), EEXIST);
	batch = new_batch();
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "s", 1003, 0, NF_DROP);
	CHECK_EQ(commit(&batch), EINVAL);
	batch = new_batch();
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "s", 1003, NFT_SET_ELEM_INTERVAL_END, NFT_CONTINUE);
	CHECK_EQ(commit(&batch), EINVAL);
	batch = new_batch();
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "none", 1003, 0, NFT_CONTINUE);
	CHECK_EQ(commit(&batch), ENOENT);
	batch = new_batch();
	new_set(&batch, "s", 1, 0, 2);
	CHECK_EQ(commit(&batch), EEXIST);
	batch = new_batch();
	new_set(&batch, "long", 1, 0, 65);
	CHECK_EQ(commit(&batch), EINVAL);
	batch = new_batch();
	new_set(&batch, "wide", 1, 0, 4);
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "wide", 1003, 0, NFT_CONTINUE);
	CHECK_EQ(commit(&batch), EINVAL);
	batch = new_batch();
	new_set(&batch, "flags", 1, 0x8000, 2);
	CHECK_EQ(commit(&batch), EOPNOTSUPP);
	batch = new_batch();
	begin(&batch, NFT(DELSET), 0, NFPROTO_IPV4, 0);
	add_text(&batch, NFTA_SET_TABLE, "t");
	add_text(&batch, NFTA_SET_NAME, "s");
	CHECK_EQ(commit(&batch), EBUSY);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	load_port(&batch);
	lookup(&batch, NFT_REG_1, "s", NFT_REG_VERDICT);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	load_port(&batch);
	lookup(&batch, NFT_REG_1, "none", -1);
	CHECK_EQ(finish(&batch, rule), ENOENT);
}

TEST(intervals_and_maps)
{
	struct batch batch;
	struct nlattr *rule;

	enter();
	batch = new_batch();
	new_set(&batch, "i", 1, NFT_SET_INTERVAL, 2);
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "i", 1000, 0, NFT_CONTINUE);
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "i", 1003, NFT_SET_ELEM_INTERVAL_END, NFT_CONTINUE);
	new_set(&batch, "m", 2, NFT_SET_MAP, 2);
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "m", 2000, 0, NF_DROP);
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "m", 2001, 0, NF_ACCEPT);
	rule = one_rule(&batch, NF_INET_LOCAL_IN);
	load_port(&batch);
	lookup(&batch, NFT_REG_1, "i", -1);
	verdict(&batch, NF_DROP, NULL);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "c");
	load_port(&batch);
	lookup(&batch, NFT_REG_1, "m", NFT_REG_VERDICT);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_UDP, 2001);
	verdict(&batch, NF_DROP, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(datagram_to(999), 1);
	CHECK_EQ(datagram_to(1000), 0);
	CHECK_EQ(datagram_to(1002), 0);
	CHECK_EQ(datagram_to(1003), 1);
	CHECK_EQ(datagram_to(2000), 0);
	CHECK_EQ(datagram_to(2001), 1);
	CHECK_EQ(datagram_to(2002), 1);
	batch = new_batch();
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "m", 2000, 0, NF_ACCEPT);
	CHECK_EQ(commit(&batch), EEXIST);
	batch = new_batch();
	change_element(&batch, NFT(NEWSETELEM), NLM_F_CREATE, "m", 2003, 0, NFT_CONTINUE);
	CHECK_EQ(commit(&batch), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	load_port(&batch);
	lookup(&batch, NFT_REG_1, "m", -1);
	verdict(&batch, NF_DROP, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(datagram_to(2002), 1);
}

/* Whether an answer comes back to who has sent a datagram there. */
static int is_answered(int port)
{
	struct sockaddr_in address = at(port);
	socklen_t length = sizeof(address);
	int server = bound(SOCK_DGRAM, port), client = MUST(socket(AF_INET, SOCK_DGRAM, 0)), result = 0;
	char byte = 'x';

	MUST(connect(client, (void *)&address, sizeof(address)));
	MUST(send(client, &byte, 1, 0));
	if (recvfrom(server, &byte, 1, MSG_DONTWAIT, (void *)&address, &length) == 1) {
		MUST(sendto(server, &byte, 1, 0, (void *)&address, length));
		result = recv(client, &byte, 1, MSG_DONTWAIT) == 1;
	}
	close(client);
	close(server);
	return result;
}

TEST(connections)
{
	struct batch batch;
	struct nlattr *rule;

	enter();
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_DROP);
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_UDP, 1000);
	verdict(&batch, NF_ACCEPT, NULL);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_TCP, 1000);
	verdict(&batch, NF_ACCEPT, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(is_answered(1000), 0);
	CHECK_EQ(connect_to(1000), EINPROGRESS);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	match_state(&batch, NF_CT_STATE_BIT(IP_CT_ESTABLISHED));
	verdict(&batch, NF_ACCEPT, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(is_answered(1000), 1);
	CHECK_EQ(is_answered(1001), 0);
	CHECK_EQ(connect_to(1000), 0);
	CHECK_EQ(connect_to(1001), EINPROGRESS);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	match_state(&batch, NF_CT_STATE_BIT(IP_CT_NEW));
	verdict(&batch, NF_ACCEPT, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(is_answered(1001), 1);
	CHECK_EQ(connect_to(1001), 0);
}

/* Whether iptables may use a match or target: 0, or the errno. */
static int is_there(const char *name, int revision, int is_target)
{
	struct batch batch = {.length = 0};

	begin(&batch, NFNL_SUBSYS_NFT_COMPAT << 8 | NFNL_MSG_COMPAT_GET, NLM_F_ACK, NFPROTO_IPV4, 0);
	add_text(&batch, NFTA_COMPAT_NAME, name);
	add_number(&batch, NFTA_COMPAT_REV, revision);
	add_number(&batch, NFTA_COMPAT_TYPE, is_target);
	/* An answer, and its acknowledgement behind it. */
	return send_all(&batch) > 0;
}

TEST(matches)
{
	struct { uint16_t source[2], target[2]; uint8_t inverted; char rest[7]; } udp = {{0, 65535}, {1000, 1001}, 0, {0}};
	struct batch batch;
	struct nlattr *rule, *compat;
	char nothing[512] = {0};

	enter();
	CHECK_EQ(is_there("udp", 0, 0), 0);
	CHECK_EQ(is_there("udp", 9, 0), 1);
	CHECK_EQ(is_there("none", 0, 0), 1);
	CHECK_EQ(is_there("REJECT", 0, 1), 0);
	CHECK_EQ(is_there("REJECT", 0, 0), 1);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_ACCEPT);
	rule = begin_rule(&batch, "c");
	match_protocol(&batch, IPPROTO_UDP);
	extension(&batch, "udp", 0, &udp, sizeof(udp));
	verdict(&batch, NF_DROP, NULL);
	end_nest(&batch, rule);
	compat = add(&batch, NFTA_RULE_COMPAT | NEST, NULL, 0);
	add_number(&batch, NFTA_RULE_COMPAT_PROTO, IPPROTO_UDP);
	add_number(&batch, NFTA_RULE_COMPAT_FLAGS, 0);
	end_nest(&batch, compat);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(datagram_to(999), 1);
	CHECK_EQ(datagram_to(1000), 0);
	CHECK_EQ(datagram_to(1001), 0);
	CHECK_EQ(datagram_to(1002), 1);
	/* Without the protocol. */
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	extension(&batch, "udp", 0, &udp, sizeof(udp));
	CHECK_EQ(finish(&batch, rule), EINVAL);
	/* Of another size. */
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	extension(&batch, "comment", 0, nothing, 8);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	extension(&batch, "comment", 0, nothing, 256);
	CHECK_EQ(finish(&batch, rule), 0);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	extension(&batch, "none", 0, nothing, 8);
	CHECK_EQ(finish(&batch, rule), ENOENT);
	CHECK_EQ(count_of(NFT(GETRULE)), 2);
}

TEST(limits)
{
	struct { uint32_t period, burst; char rest[32]; } hour = {36000000, 2, {0}}, never = {864000000, 20, {0}};
	struct batch batch;
	struct nlattr *rule;

	enter();
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_DROP);
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_UDP, 1000);
	limit(&batch, 1, 86400, 2, NFT_LIMIT_PKTS);
	verdict(&batch, NF_ACCEPT, NULL);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_UDP, 1001);
	limit(&batch, 50, 86400, 0, NFT_LIMIT_PKT_BYTES);
	verdict(&batch, NF_ACCEPT, NULL);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "c");
	match_port(&batch, IPPROTO_UDP, 1002);
	extension(&batch, "limit", 0, &hour, sizeof(hour));
	verdict(&batch, NF_ACCEPT, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(datagram_to(1000), 1);
	CHECK_EQ(datagram_to(1000), 1);
	CHECK_EQ(datagram_to(1000), 0);
	CHECK_EQ(datagram_to(1001), 1);
	CHECK_EQ(datagram_to(1001), 0);
	CHECK_EQ(datagram_to(1002), 1);
	CHECK_EQ(datagram_to(1002), 1);
	CHECK_EQ(datagram_to(1002), 0);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	limit(&batch, 0, 1, 2, NFT_LIMIT_PKTS);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	limit(&batch, 1, UINT64_MAX, 2, NFT_LIMIT_PKTS);
	CHECK_EQ(finish(&batch, rule), EOVERFLOW);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	limit(&batch, 1, 1, 2, 9);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = new_batch();
	rule = begin_rule(&batch, "c");
	extension(&batch, "limit", 0, &never, sizeof(never));
	CHECK_EQ(finish(&batch, rule), ERANGE);
}
