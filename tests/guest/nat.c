/* Translated addresses: chains of type nat, and what becomes of packets, answers and errors (nft(8)). */
#include "nftables.h"

#include <linux/netfilter/nf_nat.h>
#include <netinet/ip_icmp.h>

static void base_chain(struct batch *batch, const char *name, int hook, int priority, const char *type)
{
	struct nlattr *nest;

	begin(batch, NFT(NEWCHAIN), NLM_F_CREATE, NFPROTO_IPV4, 0);
	add_text(batch, NFTA_CHAIN_TABLE, "t");
	add_text(batch, NFTA_CHAIN_NAME, name);
	nest = add(batch, NFTA_CHAIN_HOOK | NEST, NULL, 0);
	add_number(batch, NFTA_HOOK_HOOKNUM, hook);
	add_number(batch, NFTA_HOOK_PRIORITY, priority);
	end_nest(batch, nest);
	add_text(batch, NFTA_CHAIN_TYPE, type);
}

static int one_chain(int hook, int priority, const char *type)
{
	struct batch batch = new_batch();

	base_chain(&batch, "x", hook, priority, type);
	return commit(&batch);
}

static void immediate(struct batch *batch, int target, const void *data, size_t length)
{
	struct expression begun = begin_expression(batch, "immediate");
	struct nlattr *nest;

	add_number(batch, NFTA_IMMEDIATE_DREG, target);
	nest = add(batch, NFTA_IMMEDIATE_DATA | NEST, NULL, 0);
	add(batch, NFTA_DATA_VALUE, data, length);
	end_nest(batch, nest);
	end_expression(batch, begun);
}

/* Change sources or targets to an address, unless it's 0, and a port, unless that is. */
static void translate(struct batch *batch, int type, const char *address, int first_port, int last_port, int flags)
{
	struct expression begun;
	uint16_t ports[] = {htons(first_port), htons(last_port)};
	struct in_addr binary;

	if (address) {
		MUST(inet_pton(AF_INET, address, &binary));
		immediate(batch, NFT_REG_1, &binary, sizeof(binary));
	}
	if (first_port) {
		immediate(batch, NFT_REG_2, &ports[0], sizeof(ports[0]));
		immediate(batch, NFT_REG_3, &ports[1], sizeof(ports[1]));
	}
	begun = begin_expression(batch, "nat");
	add_number(batch, NFTA_NAT_TYPE, type);
	add_number(batch, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	if (address)
		add_number(batch, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	if (first_port) {
		add_number(batch, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
		add_number(batch, NFTA_NAT_REG_PROTO_MAX, NFT_REG_3);
	}
	if (flags)
		add_number(batch, NFTA_NAT_FLAGS, flags);
	end_expression(batch, begun);
}

static void simple(struct batch *batch, const char *name, int attribute, int number)
{
	struct expression begun = begin_expression(batch, name);

	if (attribute)
		add_number(batch, attribute, number);
	end_expression(batch, begun);
}

static void fib(struct batch *batch, int result, int flags)
{
	struct expression begun = begin_expression(batch, "fib");

	add_number(batch, NFTA_FIB_DREG, NFT_REG_1);
	add_number(batch, NFTA_FIB_RESULT, result);
	add_number(batch, NFTA_FIB_FLAGS, flags);
	end_expression(batch, begun);
}

static void match_target(struct batch *batch, const char *address)
{
	struct in_addr binary;

	MUST(inet_pton(AF_INET, address, &binary));
	payload(batch, NFT_PAYLOAD_NETWORK_HEADER, 16, 4, NFT_REG_1);
	compare(batch, NFT_REG_1, &binary, sizeof(binary));
}

/* The four chains, empty. */
static struct batch chains(void)
{
	struct batch batch;

	enter_with_table();
	batch = new_batch();
	base_chain(&batch, "out", NF_INET_LOCAL_OUT, -100, "nat");
	base_chain(&batch, "post", NF_INET_POST_ROUTING, 100, "nat");
	base_chain(&batch, "pre", NF_INET_PRE_ROUTING, -100, "nat");
	base_chain(&batch, "in", NF_INET_LOCAL_IN, 100, "nat");
	return batch;
}

static struct sockaddr_in place(const char *address, int port)
{
	struct sockaddr_in found = {.sin_family = AF_INET, .sin_port = htons(port)};

	MUST(inet_pton(AF_INET, address, &found.sin_addr));
	return found;
}

static int socket_at(int kind, const char *address, int port)
{
	struct sockaddr_in own = place(address, port);
	struct timeval patience = {.tv_sec = 2};
	int fd = MUST(socket(AF_INET, kind, 0)), one = 1;

	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
	MUST(bind(fd, (void *)&own, sizeof(own)));
	return fd;
}

static int is_at(const struct sockaddr_in *found, const char *address, int port)
{
	struct sockaddr_in wanted = place(address, port);

	return found->sin_addr.s_addr == wanted.sin_addr.s_addr && (!port || found->sin_port == wanted.sin_port);
}

/* Ask a server by its address as the client knows it, from 127.0.0.1; who asks is told. The answer has to
 * come from where the client thinks that the server is. */
static int ask_datagram(const char *known, int known_port, const char *served, int port, struct sockaddr_in *asking)
{
	struct sockaddr_in target = place(known, known_port), from;
	int server = socket_at(SOCK_DGRAM, served, port), client = socket_at(SOCK_DGRAM, "127.0.0.1", 0);
	socklen_t length = sizeof(*asking);
	char text[8] = "ask";
	int result = 0;

	if (sendto(client, text, 4, 0, (void *)&target, sizeof(target)) == -1 ||
	    recvfrom(server, text, sizeof(text), 0, (void *)asking, &length) == -1 ||
	    sendto(server, "tell", 5, 0, (void *)asking, length) == -1)
		result = -errno;
	length = sizeof(from);
	if (!result && recvfrom(client, text, sizeof(text), 0, (void *)&from, &length) == -1)
		result = -errno;
	if (!result)
		result = is_at(&from, known, known_port) && !strcmp(text, "tell");
	close(client);
	close(server);
	return result;
}

static int ask_stream(const char *known, int known_port, const char *served, int port, struct sockaddr_in *asking)
{
	struct sockaddr_in target = place(known, known_port), from;
	int server = socket_at(SOCK_STREAM, served, port), client = socket_at(SOCK_STREAM, "127.0.0.1", 0), accepted;
	socklen_t length = sizeof(*asking);
	char text[8];
	int result = 0;

	MUST(listen(server, 1));
	if (connect(client, (void *)&target, sizeof(target)) == -1) {
		result = -errno;
	} else {
		accepted = MUST(accept(server, (void *)asking, &length));
		MUST(send(client, "ask", 4, 0));
		MUST(recv(accepted, text, sizeof(text), 0));
		MUST(send(accepted, "tell", 5, 0));
		MUST(recv(client, text, sizeof(text), 0));
		length = sizeof(from);
		MUST(getpeername(client, (void *)&from, &length));
		result = is_at(&from, known, known_port) && !strcmp(text, "tell");
		shutdown(client, SHUT_WR);
		result = result && recv(accepted, text, sizeof(text), 0) == 0;
		close(accepted);
	}
	close(client);
	close(server);
	return result;
}

TEST(chains_of_type_nat)
{
	struct batch batch = new_batch();
	struct nlattr *rule;

	enter_with_table();
	CHECK_EQ(one_chain(NF_INET_PRE_ROUTING, -100, "tan"), ENOENT);
	CHECK_EQ(one_chain(NF_INET_POST_ROUTING, 0, "route"), EOPNOTSUPP);
	CHECK_EQ(one_chain(NF_INET_FORWARD, -100, "nat"), EOPNOTSUPP);
	CHECK_EQ(one_chain(NF_INET_PRE_ROUTING, -200, "nat"), EOPNOTSUPP);
	CHECK_EQ(one_chain(NF_INET_PRE_ROUTING, -300, "nat"), EOPNOTSUPP);
	CHECK_EQ(one_chain(NF_INET_PRE_ROUTING, -199, "nat"), 0);
	/* What translates is for them alone, and at its own hooks. */
	batch = new_batch();
	base_chain(&batch, "f", NF_INET_POST_ROUTING, 0, "filter");
	rule = begin_rule(&batch, "f");
	simple(&batch, "masq", 0, 0);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = chains();
	rule = begin_rule(&batch, "pre");
	simple(&batch, "masq", 0, 0);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = chains();
	rule = begin_rule(&batch, "post");
	simple(&batch, "redir", 0, 0);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = chains();
	rule = begin_rule(&batch, "pre");
	translate(&batch, NFT_NAT_SNAT, "127.0.0.2", 0, 0, 0);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = chains();
	rule = begin_rule(&batch, "in");
	translate(&batch, NFT_NAT_DNAT, "127.0.0.2", 0, 0, 0);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = chains();
	rule = begin_rule(&batch, "in");
	translate(&batch, NFT_NAT_SNAT, "127.0.0.2", 0, 0, 0);
	CHECK_EQ(finish(&batch, rule), 0);
}

TEST(attributes)
{
	struct batch batch = chains();
	struct nlattr *rule;
	struct expression begun;

	CHECK_EQ(commit(&batch), 0);
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	translate(&batch, 2, "127.0.0.2", 0, 0, 0);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	translate(&batch, NFT_NAT_DNAT, NULL, 0, 0, 0);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	translate(&batch, NFT_NAT_DNAT, "127.0.0.2", 0, 0, 0x80);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	begun = begin_expression(&batch, "nat");
	add_number(&batch, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	add_number(&batch, NFTA_NAT_FAMILY, NFPROTO_IPV6);
	add_number(&batch, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	end_expression(&batch, begun);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	begun = begin_expression(&batch, "nat");
	add_number(&batch, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	add_number(&batch, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	add_number(&batch, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	end_expression(&batch, begun);
	/* The register holds nothing yet. */
	CHECK_EQ(finish(&batch, rule), ENODATA);
	batch = new_batch();
	rule = begin_rule(&batch, "post");
	simple(&batch, "masq", NFTA_MASQ_FLAGS, 0x80);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "post");
	simple(&batch, "masq", NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM);
	CHECK_EQ(finish(&batch, rule), 0);
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	simple(&batch, "redir", NFTA_REDIR_FLAGS, 0x80);
	CHECK_EQ(finish(&batch, rule), EINVAL);
}

TEST(another_target)
{
	struct batch batch = chains();
	struct nlattr *rule = begin_rule(&batch, "out");
	struct sockaddr_in asking;

	match_port(&batch, IPPROTO_UDP, 1000);
	translate(&batch, NFT_NAT_DNAT, "127.0.0.2", 2000, 2000, 0);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "out");
	match_port(&batch, IPPROTO_TCP, 1000);
	translate(&batch, NFT_NAT_DNAT, "127.0.0.2", 2000, 2000, 0);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "out");
	match_port(&batch, IPPROTO_UDP, 1001);
	translate(&batch, NFT_NAT_DNAT, "127.0.0.3", 0, 0, 0);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "out");
	match_port(&batch, IPPROTO_UDP, 1002);
	translate(&batch, NFT_NAT_DNAT, NULL, 2002, 2002, 0);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(ask_datagram("127.0.0.1", 1000, "127.0.0.2", 2000, &asking), 1);
	CHECK(is_at(&asking, "127.0.0.1", 0));
	CHECK_EQ(ask_datagram("10.1.2.3", 1000, "127.0.0.2", 2000, &asking), -ENETUNREACH);
	CHECK_EQ(ask_stream("127.0.0.1", 1000, "127.0.0.2", 2000, &asking), 1);
	CHECK(is_at(&asking, "127.0.0.1", 0));
	CHECK_EQ(ask_datagram("127.0.0.9", 1001, "127.0.0.3", 1001, &asking), 1);
	CHECK_EQ(ask_datagram("127.0.0.9", 1002, "127.0.0.9", 2002, &asking), 1);
	/* Others are what they were. */
	CHECK_EQ(ask_datagram("127.0.0.1", 1003, "127.0.0.1", 1003, &asking), 1);
	CHECK_EQ(ask_stream("127.0.0.1", 1003, "127.0.0.1", 1003, &asking), 1);
}

TEST(another_source)
{
	struct batch batch = chains();
	struct nlattr *rule = begin_rule(&batch, "post");
	struct sockaddr_in asking, again;

	match_port(&batch, IPPROTO_UDP, 1000);
	translate(&batch, NFT_NAT_SNAT, "127.0.0.7", 0, 0, 0);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "post");
	match_port(&batch, IPPROTO_TCP, 1000);
	translate(&batch, NFT_NAT_SNAT, "127.0.0.7", 5000, 5000, 0);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "post");
	match_port(&batch, IPPROTO_UDP, 1001);
	translate(&batch, NFT_NAT_SNAT, "127.0.0.7", 3000, 3001, 0);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "in");
	match_port(&batch, IPPROTO_UDP, 1002);
	translate(&batch, NFT_NAT_SNAT, "127.0.0.8", 0, 0, 0);
	end_nest(&batch, rule);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(ask_datagram("127.0.0.1", 1000, "127.0.0.1", 1000, &asking), 1);
	CHECK(is_at(&asking, "127.0.0.7", 0));
	CHECK_EQ(ask_stream("127.0.0.1", 1000, "127.0.0.1", 1000, &asking), 1);
	CHECK(is_at(&asking, "127.0.0.7", 5000));
	CHECK_EQ(ask_datagram("127.0.0.1", 1001, "127.0.0.1", 1001, &asking), 1);
	CHECK_EQ(ask_datagram("127.0.0.1", 1001, "127.0.0.1", 1001, &again), 1);
	CHECK(is_at(&asking, "127.0.0.7", 3000) || is_at(&asking, "127.0.0.7", 3001));
	CHECK(is_at(&again, "127.0.0.7", 3000) || is_at(&again, "127.0.0.7", 3001));
	CHECK(asking.sin_port != again.sin_port);
	/* Two of two ports are taken. */
	CHECK(ask_datagram("127.0.0.1", 1001, "127.0.0.1", 1001, &again) < 0);
	/* It was settled already on the way out. */
	CHECK_EQ(ask_datagram("127.0.0.1", 1002, "127.0.0.1", 1002, &asking), 1);
	CHECK(is_at(&asking, "127.0.0.1", 0));
}

TEST(this_machine)
{
	struct batch batch = chains();
	struct nlattr *rule = begin_rule(&batch, "out");
	struct sockaddr_in asking;
	uint16_t port = htons(4000);

	match_port(&batch, IPPROTO_TCP, 1000);
	immediate(&batch, NFT_REG_1, &port, sizeof(port));
	simple(&batch, "redir", NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "out");
	match_port(&batch, IPPROTO_UDP, 1001);
	simple(&batch, "redir", 0, 0);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "post");
	match_port(&batch, IPPROTO_UDP, 1002);
	simple(&batch, "masq", 0, 0);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(ask_stream("127.0.0.5", 1000, "127.0.0.1", 4000, &asking), 1);
	CHECK_EQ(ask_datagram("127.0.0.5", 1001, "127.0.0.1", 1001, &asking), 1);
	CHECK(is_at(&asking, "127.0.0.1", 0));
	/* The loopback's address counts on this machine alone: there is none to take, and the packet is dropped. */
	CHECK(ask_datagram("127.0.0.5", 1002, "127.0.0.5", 1002, &asking) < 0);
}

/* Who accepts a connection can ask where it was meant to go. */
TEST(where_a_connection_was_meant_to_go)
{
	struct batch batch = chains();
	struct nlattr *rule = begin_rule(&batch, "out");
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_ANY)}, .sin_port = htons(4000)};
	socklen_t size = sizeof(name);
	uint16_t port = htons(4000);
	int listener, caller, accepted;

	match_port(&batch, IPPROTO_TCP, 1000);
	immediate(&batch, NFT_REG_1, &port, sizeof(port));
	simple(&batch, "redir", NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
	CHECK_EQ(finish(&batch, rule), 0);
	listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(listener, (void *)&name, sizeof(name)));
	MUST(listen(listener, 1));
	caller = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	name.sin_addr.s_addr = htonl(0x7f000005);
	name.sin_port = htons(1000);
	MUST(connect(caller, (void *)&name, sizeof(name)));
	accepted = (int)MUST(accept(listener, NULL, NULL));
	memset(&name, 0, sizeof(name));
	CHECK_EQ(getsockopt(accepted, SOL_IP, 80, &name, &size), 0);
	CHECK_EQ(size, 16);
	CHECK(is_at(&name, "127.0.0.5", 1000));
	memset(&name, 0, sizeof(name));
	CHECK_EQ(getsockopt(caller, SOL_IP, 80, &name, &size), 0);
	CHECK(is_at(&name, "127.0.0.5", 1000));
	CHECK_ERRNO(getsockopt(listener, SOL_IP, 80, &name, &size), ENOENT);
}

TEST(errors_come_back)
{
	struct batch batch = chains();
	struct nlattr *rule = begin_rule(&batch, "out");
	struct sockaddr_in target = place("127.0.0.1", 1000);
	int fd, error = 0;
	socklen_t length = sizeof(error);
	char byte;

	match_port(&batch, IPPROTO_UDP, 1000);
	translate(&batch, NFT_NAT_DNAT, "127.0.0.2", 2000, 2000, 0);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "out");
	match_port(&batch, IPPROTO_TCP, 1000);
	translate(&batch, NFT_NAT_DNAT, "127.0.0.2", 2000, 2000, 0);
	CHECK_EQ(finish(&batch, rule), 0);
	fd = socket_at(SOCK_DGRAM, "127.0.0.1", 0);
	MUST(connect(fd, (void *)&target, sizeof(target)));
	CHECK_EQ(send(fd, "x", 1, 0), 1);
	CHECK_ERRNO(recv(fd, &byte, 1, 0), ECONNREFUSED);
	close(fd);
	fd = socket_at(SOCK_STREAM, "127.0.0.1", 0);
	CHECK_ERRNO(connect(fd, (void *)&target, sizeof(target)), ECONNREFUSED);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
	CHECK_EQ(error, 0);
	close(fd);
}

/* What a raw socket hears of an echo request: where the answer comes from, with its identifier. */
static int echo(const char *address, int identifier, struct in_addr *from)
{
	struct icmphdr request = {.type = ICMP_ECHO, .un.echo.id = htons(identifier)};
	struct sockaddr_in target = place(address, 0);
	struct timeval patience = {.tv_sec = 1};
	int fd = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), result = -1;
	uint32_t sum = htons(ICMP_ECHO << 8) + htons(identifier);
	unsigned char packet[256];

	request.checksum = ~((sum & 0xffff) + (sum >> 16));
	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
	MUST(sendto(fd, &request, sizeof(request), 0, (void *)&target, sizeof(target)));
	while (result == -1 && recv(fd, packet, sizeof(packet), 0) > 27)
		if (packet[20] == ICMP_ECHOREPLY) {
			uint32_t total = 0;

			memcpy(from, packet + 12, sizeof(*from));
			for (int at = 20; at < 28; at += 2)
				total += packet[at] << 8 | packet[at + 1];
			result = (total & 0xffff) + (total >> 16) == 0xffff ? packet[24] << 8 | packet[25] : -2;
		}
	close(fd);
	return result;
}

TEST(echo_requests)
{
	struct batch batch = chains();
	struct nlattr *rule = begin_rule(&batch, "out");
	struct in_addr from, wanted = place("127.0.0.4", 0).sin_addr;

	match_target(&batch, "127.0.0.4");
	translate(&batch, NFT_NAT_DNAT, "127.0.0.6", 0, 0, 0);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "post");
	match_target(&batch, "127.0.0.6");
	translate(&batch, NFT_NAT_SNAT, "127.0.0.7", 0, 0, 0);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(echo("127.0.0.4", 77, &from), 77);
	CHECK_EQ(from.s_addr, wanted.s_addr);
	CHECK_EQ(echo("127.0.0.5", 78, &from), 78);
}

TEST(the_first_packet_decides)
{
	struct batch batch = chains();
	struct nlattr *rule = begin_rule(&batch, "out");
	struct sockaddr_in target = place("127.0.0.1", 1000), from;
	int old, new, client, other;
	socklen_t length = sizeof(from);
	char byte;

	match_port(&batch, IPPROTO_UDP, 1000);
	translate(&batch, NFT_NAT_DNAT, "127.0.0.2", 2000, 2000, 0);
	end_nest(&batch, rule);
	/* Connections are tracked while a rule needs it. */
	rule = begin_rule(&batch, "post");
	match_port(&batch, IPPROTO_UDP, 9);
	translate(&batch, NFT_NAT_SNAT, "127.0.0.2", 0, 0, 0);
	CHECK_EQ(finish(&batch, rule), 0);
	old = socket_at(SOCK_DGRAM, "127.0.0.2", 2000);
	new = socket_at(SOCK_DGRAM, "127.0.0.1", 1000);
	client = socket_at(SOCK_DGRAM, "127.0.0.1", 0);
	CHECK_EQ(sendto(client, "x", 1, 0, (void *)&target, sizeof(target)), 1);
	CHECK_EQ(recvfrom(old, &byte, 1, 0, (void *)&from, &length), 1);
	batch = new_batch();
	begin(&batch, NFT(DELRULE), 0, NFPROTO_IPV4, 0);
	add_text(&batch, NFTA_RULE_TABLE, "t");
	add_text(&batch, NFTA_RULE_CHAIN, "out");
	CHECK_EQ(commit(&batch), 0);
	/* The connection is as it was. */
	CHECK_EQ(sendto(client, "x", 1, 0, (void *)&target, sizeof(target)), 1);
	CHECK_EQ(recv(old, &byte, 1, MSG_DONTWAIT), 1);
	CHECK_ERRNO(recv(new, &byte, 1, MSG_DONTWAIT), EAGAIN);
	/* Another isn't changed any more. */
	other = socket_at(SOCK_DGRAM, "127.0.0.1", 0);
	CHECK_EQ(sendto(other, "x", 1, 0, (void *)&target, sizeof(target)), 1);
	CHECK_EQ(recv(new, &byte, 1, MSG_DONTWAIT), 1);
	CHECK_ERRNO(recv(old, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

static void mark_with(struct batch *batch, uint32_t mark)
{
	struct expression begun;

	immediate(batch, NFT_REG_1, &mark, sizeof(mark));
	begun = begin_expression(batch, "meta");
	add_number(batch, NFTA_META_KEY, NFT_META_MARK);
	add_number(batch, NFTA_META_SREG, NFT_REG_1);
	end_expression(batch, begun);
}

static void match_mark(struct batch *batch, uint32_t mark)
{
	struct expression begun = begin_expression(batch, "meta");

	add_number(batch, NFTA_META_DREG, NFT_REG_1);
	add_number(batch, NFTA_META_KEY, NFT_META_MARK);
	end_expression(batch, begun);
	compare(batch, NFT_REG_1, &mark, sizeof(mark));
}

TEST(marks_and_kinds_of_addresses)
{
	struct batch batch = chains();
	struct nlattr *rule = begin_rule(&batch, "out");
	struct sockaddr_in asking;
	uint32_t local = 2, broadcast = 3;

	match_port(&batch, IPPROTO_UDP, 1000);
	fib(&batch, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR);
	compare(&batch, NFT_REG_1, &local, sizeof(local));
	mark_with(&batch, 0x2000);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "out");
	match_port(&batch, IPPROTO_UDP, 1001);
	fib(&batch, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR);
	compare(&batch, NFT_REG_1, &broadcast, sizeof(broadcast));
	mark_with(&batch, 0x2000);
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "post");
	match_mark(&batch, 0x2000);
	translate(&batch, NFT_NAT_SNAT, "127.0.0.7", 0, 0, 0);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(ask_datagram("127.0.0.1", 1000, "127.0.0.1", 1000, &asking), 1);
	CHECK(is_at(&asking, "127.0.0.7", 0));
	CHECK_EQ(ask_datagram("127.0.0.1", 1001, "127.0.0.1", 1001, &asking), 1);
	CHECK(is_at(&asking, "127.0.0.1", 0));
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	fib(&batch, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR | NFTA_FIB_F_SADDR);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	fib(&batch, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_MARK);
	CHECK_EQ(finish(&batch, rule), EINVAL);
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	fib(&batch, 9, NFTA_FIB_F_DADDR);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
	batch = new_batch();
	rule = begin_rule(&batch, "out");
	fib(&batch, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR | NFTA_FIB_F_IIF);
	CHECK_EQ(finish(&batch, rule), EOPNOTSUPP);
}
