/* Requests to the packet filter, as nftables' messages, and packets to try it with. */
#ifndef NFTABLES_H
#define NFTABLES_H

#include "own_network.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>

#define NFT(message) (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_##message)
#define NEST NLA_F_NESTED

/* Messages that are sent at once; `last` is where the newest begins. */
struct batch {
	char data[8192];
	size_t length, last;
};

CHECK_API void begin(struct batch *batch, int type, int flags, int family, int resource)
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

CHECK_API struct nlattr *add(struct batch *batch, int type, const void *data, size_t length)
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

CHECK_API void add_text(struct batch *batch, int type, const char *text)
{
	add(batch, type, text, strlen(text) + 1);
}

CHECK_API void add_number(struct batch *batch, int type, uint32_t number)
{
	number = htonl(number);
	add(batch, type, &number, sizeof(number));
}

CHECK_API void end_nest(struct batch *batch, struct nlattr *nest)
{
	nest->nla_len = batch->data + batch->length - (char *)nest;
}

/* The parts of a batch. */

CHECK_API struct batch new_batch(void)
{
	struct batch batch = {.length = 0};

	begin(&batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	return batch;
}

CHECK_API void change_table(struct batch *batch, int type, int flags, const char *name)
{
	begin(batch, type, flags, NFPROTO_IPV4, 0);
	if (name)
		add_text(batch, NFTA_TABLE_NAME, name);
}

CHECK_API void change_chain(struct batch *batch, int type, int flags, const char *name, int hook, int policy)
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

CHECK_API struct nlattr *begin_rule(struct batch *batch, const char *chain)
{
	begin(batch, NFT(NEWRULE), NLM_F_CREATE | NLM_F_APPEND, NFPROTO_IPV4, 0);
	add_text(batch, NFTA_RULE_TABLE, "t");
	add_text(batch, NFTA_RULE_CHAIN, chain);
	return add(batch, NFTA_RULE_EXPRESSIONS | NEST, NULL, 0);
}

struct expression {
	struct nlattr *element, *data;
};

CHECK_API struct expression begin_expression(struct batch *batch, const char *name)
{
	struct expression begun = {.element = add(batch, NFTA_LIST_ELEM | NEST, NULL, 0)};

	add_text(batch, NFTA_EXPR_NAME, name);
	begun.data = add(batch, NFTA_EXPR_DATA | NEST, NULL, 0);
	return begun;
}

CHECK_API void end_expression(struct batch *batch, struct expression begun)
{
	end_nest(batch, begun.data);
	end_nest(batch, begun.element);
}

CHECK_API void payload(struct batch *batch, int base, int offset, int length, int target)
{
	struct expression begun = begin_expression(batch, "payload");

	add_number(batch, NFTA_PAYLOAD_DREG, target);
	add_number(batch, NFTA_PAYLOAD_BASE, base);
	add_number(batch, NFTA_PAYLOAD_OFFSET, offset);
	add_number(batch, NFTA_PAYLOAD_LEN, length);
	end_expression(batch, begun);
}

CHECK_API void compare(struct batch *batch, int source, const void *data, size_t length)
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

CHECK_API void verdict(struct batch *batch, int code, const char *chain)
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

CHECK_API void reject(struct batch *batch, int type, uint8_t code)
{
	struct expression begun = begin_expression(batch, "reject");

	add_number(batch, NFTA_REJECT_TYPE, type);
	if (type != NFT_REJECT_TCP_RST)
		add(batch, NFTA_REJECT_ICMP_CODE, &code, sizeof(code));
	end_expression(batch, begun);
}

CHECK_API void lookup(struct batch *batch, int source, const char *set, int target)
{
	struct expression begun = begin_expression(batch, "lookup");

	add_text(batch, NFTA_LOOKUP_SET, set);
	add_number(batch, NFTA_LOOKUP_SREG, source);
	if (target != -1)
		add_number(batch, NFTA_LOOKUP_DREG, target);
	end_expression(batch, begun);
}

/* Take only packets whose connection is in one of these states. */
CHECK_API void match_state(struct batch *batch, uint32_t states)
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
CHECK_API void extension(struct batch *batch, const char *name, int revision, const void *info, size_t length)
{
	struct expression begun = begin_expression(batch, "match");

	add_text(batch, NFTA_MATCH_NAME, name);
	add_number(batch, NFTA_MATCH_REV, revision);
	add(batch, NFTA_MATCH_INFO, info, length);
	end_expression(batch, begun);
}

CHECK_API void put_long(struct batch *batch, int type, uint64_t number)
{
	number = (uint64_t)htonl(number) << 32 | htonl(number >> 32);
	add(batch, type, &number, sizeof(number));
}

CHECK_API void limit(struct batch *batch, uint64_t rate, uint64_t unit_s, int burst, int type)
{
	struct expression begun = begin_expression(batch, "limit");

	put_long(batch, NFTA_LIMIT_RATE, rate);
	put_long(batch, NFTA_LIMIT_UNIT, unit_s);
	add_number(batch, NFTA_LIMIT_BURST, burst);
	add_number(batch, NFTA_LIMIT_TYPE, type);
	end_expression(batch, begun);
}

CHECK_API void counter(struct batch *batch)
{
	end_expression(batch, begin_expression(batch, "counter"));
}

CHECK_API void match_protocol(struct batch *batch, uint8_t protocol)
{
	payload(batch, NFT_PAYLOAD_NETWORK_HEADER, 9, 1, NFT_REG_1);
	compare(batch, NFT_REG_1, &protocol, 1);
}

CHECK_API void match_port(struct batch *batch, uint8_t protocol, int port)
{
	uint16_t number = htons(port);

	match_protocol(batch, protocol);
	payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, NFT_REG_1);
	compare(batch, NFT_REG_1, &number, sizeof(number));
}

CHECK_API void new_set(struct batch *batch, const char *name, int id, int flags, int key_length)
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
CHECK_API void change_element(struct batch *batch, int type, int flags, const char *set, int port, int mark, int code)
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

CHECK_API int filter_socket(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int fd = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));

	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

/* Send all of it; the errno of the first acknowledgement, -1 if none comes. */
CHECK_API int send_all(struct batch *batch)
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
CHECK_API int commit(struct batch *batch)
{
	int result;

	begin(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	result = send_all(batch);
	return result == -1 ? 0 : result;
}

/* How many objects the kernel lists, -errno if it says so. */
CHECK_API int count_of(int type)
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

CHECK_API int generation(void)
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
CHECK_API void enter_with_table(void)
{
	struct batch batch = new_batch();

	enter();
	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	MUST(-commit(&batch));
}

/* A base chain "c" at a hook, with one rule whose expressions follow; `finish` ends both. */
CHECK_API struct nlattr *one_rule(struct batch *batch, int hook)
{
	change_chain(batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", hook, NF_ACCEPT);
	return begin_rule(batch, "c");
}

CHECK_API int finish(struct batch *batch, struct nlattr *rule)
{
	end_nest(batch, rule);
	return commit(batch);
}

/* Packets */

CHECK_API struct sockaddr_in at(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

CHECK_API int bound(int kind, int port)
{
	struct sockaddr_in address = at(port);
	int fd = MUST(socket(AF_INET, kind, 0)), one = 1;

	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	MUST(bind(fd, (void *)&address, sizeof(address)));
	return fd;
}

/* Send a datagram to a socket there: 1 if it arrives, 0 if it doesn't, -errno if it isn't even sent. */
CHECK_API int datagram_to(int port)
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
CHECK_API int connect_to(int port)
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

#endif
