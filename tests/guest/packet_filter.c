/* The packet filter of a network namespace: nftables' requests and what becomes of packets (nft(8)). */
#include "nftables.h"

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

	enter_with_table();
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

/* Give a chain, which its handle tells, another name: 0 or an errno. */
static int rename_chain(uint64_t handle, const char *name)
{
	struct batch batch = new_batch();

	begin(&batch, NFT(NEWCHAIN), 0, NFPROTO_IPV4, 0);
	add_text(&batch, NFTA_CHAIN_TABLE, "t");
	put_long(&batch, NFTA_CHAIN_HANDLE, handle);
	add_text(&batch, NFTA_CHAIN_NAME, name);
	return commit(&batch);
}

TEST(other_names)
{
	struct batch batch;
	struct nlattr *rule;

	enter_with_table();
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "a", -1, 0);
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_ACCEPT);
	rule = begin_rule(&batch, "c");
	verdict(&batch, NFT_JUMP, "a");
	end_nest(&batch, rule);
	rule = begin_rule(&batch, "a");
	verdict(&batch, NF_DROP, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(datagram_to(1000), 0);
	CHECK_EQ(rename_chain(99, "b"), ENOENT);
	CHECK_EQ(rename_chain(1, "c"), EEXIST);
	CHECK_EQ(rename_chain(1, "a"), EEXIST);
	CHECK_EQ(rename_chain(1, "b"), 0);
	CHECK_EQ(count_of(NFT(GETCHAIN)), 2);
	/* What led there still does. */
	CHECK_EQ(datagram_to(1000), 0);
	batch = new_batch();
	change_chain(&batch, NFT(DELCHAIN), 0, "a", -1, 0);
	CHECK_EQ(commit(&batch), ENOENT);
	batch = new_batch();
	change_chain(&batch, NFT(DELCHAIN), 0, "b", -1, 0);
	CHECK_EQ(commit(&batch), EBUSY);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "a", -1, 0);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(count_of(NFT(GETCHAIN)), 3);
	/* All or nothing. */
	batch = new_batch();
	begin(&batch, NFT(NEWCHAIN), 0, NFPROTO_IPV4, 0);
	add_text(&batch, NFTA_CHAIN_TABLE, "t");
	put_long(&batch, NFTA_CHAIN_HANDLE, 1);
	add_text(&batch, NFTA_CHAIN_NAME, "d");
	change_chain(&batch, NFT(DELCHAIN), 0, "nowhere", -1, 0);
	CHECK_EQ(commit(&batch), ENOENT);
	CHECK_EQ(rename_chain(1, "b"), EEXIST);
	CHECK_EQ(datagram_to(1000), 0);
}

static char told[8192];
static struct nlmsghdr *message;
static ssize_t told_length;

/* The type of the next message that a listener gets, of which several may come at once; -1 if there is none. */
static int next_message(int fd)
{
	if (told_length > 0)
		message = NLMSG_NEXT(message, told_length);
	if (told_length <= 0 || !NLMSG_OK(message, told_length)) {
		message = (void *)told;
		told_length = recv(fd, told, sizeof(told), MSG_DONTWAIT);
	}
	return told_length == -1 ? -1 : message->nlmsg_type;
}

TEST(who_listens)
{
	int fd, group = NFNLGRP_NFTABLES;
	struct batch batch;
	struct nlattr *rule;

	enter_with_table();
	fd = filter_socket();
	CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	CHECK_EQ(next_message(fd), -1);
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, NF_ACCEPT);
	rule = begin_rule(&batch, "c");
	verdict(&batch, NF_DROP, NULL);
	CHECK_EQ(finish(&batch, rule), 0);
	CHECK_EQ(next_message(fd), NFT(NEWCHAIN));
	CHECK_EQ(message->nlmsg_flags & (NLM_F_CREATE | NLM_F_APPEND), NLM_F_CREATE);
	CHECK_EQ(next_message(fd), NFT(NEWRULE));
	CHECK_EQ(message->nlmsg_flags & (NLM_F_CREATE | NLM_F_APPEND), NLM_F_CREATE | NLM_F_APPEND);
	CHECK_EQ(next_message(fd), NFT(NEWGEN));
	CHECK_EQ(next_message(fd), -1);
	/* What fails isn't told, nor what changes nothing. */
	batch = new_batch();
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "d", -1, 0);
	change_chain(&batch, NFT(DELCHAIN), 0, "nowhere", -1, 0);
	CHECK_EQ(commit(&batch), ENOENT);
	CHECK_EQ(next_message(fd), -1);
	batch = new_batch();
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(next_message(fd), -1);
	/* With a chain go its rules. */
	batch = new_batch();
	change_chain(&batch, NFT(DELCHAIN), 0, "c", -1, 0);
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(next_message(fd), NFT(DELRULE));
	CHECK_EQ(next_message(fd), NFT(DELCHAIN));
	CHECK_EQ(next_message(fd), NFT(NEWGEN));
	batch = new_batch();
	change_table(&batch, NFT(DELTABLE), 0, "t");
	CHECK_EQ(commit(&batch), 0);
	CHECK_EQ(next_message(fd), NFT(DELTABLE));
	CHECK_EQ(next_message(fd), NFT(NEWGEN));
	CHECK_EQ(next_message(fd), -1);
}

TEST(policy)
{
	struct batch batch;

	enter_with_table();
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

	enter_with_table();
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

	enter_with_table();
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

	enter_with_table();
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

	enter_with_table();
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

	enter_with_table();
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

	enter_with_table();
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

	enter_with_table();
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

	enter_with_table();
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

	enter_with_table();
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
