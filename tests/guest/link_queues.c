/* Queues of interfaces (rtnetlink(7)), and what a veth tells ethtool(8) of itself. */
#include "route_request.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <linux/veth.h>

static int fd;

static void end_list(struct rtattr *list)
{
	list->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)list);
}

/* An interface of a kind, with so many queues, 0 for none that are said; a veth's other end gets `received`. */
static const char *made(const char *name, const char *kind, unsigned sent, unsigned received, unsigned of_peer)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
	struct rtattr *information, *data, *peer;

	begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	add(IFLA_IFNAME, name, strlen(name) + 1);
	if (sent)
		add_number(IFLA_NUM_TX_QUEUES, sent);
	if (received)
		add_number(IFLA_NUM_RX_QUEUES, received);
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, kind, strlen(kind));
	if (strcmp(kind, "veth") == 0) {
		data = add(IFLA_INFO_DATA, NULL, 0);
		peer = add(VETH_INFO_PEER, &body, sizeof(body));
		add(IFLA_IFNAME, "other", 6);
		if (of_peer)
			add_number(IFLA_NUM_RX_QUEUES, of_peer);
		end_list(peer);
		end_list(data);
	}
	end_list(information);
	return asked();
}

static void start(void)
{
	enter();
	open_asker(0);
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
}

/* One of the numbers that are told of an interface. */
static unsigned told(const char *name, int kind)
{
	struct ifinfomsg body = {.ifi_index = (int)if_nametoindex(name)};
	struct nlmsghdr *header = (void *)answers;
	struct rtattr *each;
	int rest;

	begin(RTM_GETLINK, 0, &body, sizeof(body));
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	MUST(recv(asker, answers, sizeof(answers), 0));
	rest = (int)IFLA_PAYLOAD(header);
	for (each = IFLA_RTA(NLMSG_DATA(header)); RTA_OK(each, rest); each = RTA_NEXT(each, rest))
		if (each->rta_type == kind)
			return *(unsigned *)RTA_DATA(each);
	return 0;
}

/* The error of a question about an interface, 0 for none. */
static int question(const char *name, void *data)
{
	struct ifreq asking = {.ifr_data = data};

	strcpy(asking.ifr_name, name);
	return ERRNO_OF(ioctl(fd, SIOCETHTOOL, &asking));
}

/* The most queues and the used ones, of received and of sent packets. */
static const char *channels(const char *name)
{
	static char text[60];
	struct ethtool_channels found = {.cmd = ETHTOOL_GCHANNELS};
	int error = question(name, &found);

	sprintf(text, "%d %u/%u %u/%u %u", error, found.rx_count, found.max_rx, found.tx_count, found.max_tx, found.max_combined);
	return text;
}

TEST(numbers_of_queues)
{
	unsigned processors = (unsigned)sysconf(_SC_NPROCESSORS_CONF);
	char wanted[60];

	start();
	CHECK_EQ(told("lo", IFLA_NUM_TX_QUEUES), 1);
	CHECK_STRING(made("many", "bridge", 5, 3, 0), "0");
	CHECK_EQ(told("many", IFLA_NUM_TX_QUEUES), 5);
	CHECK_EQ(told("many", IFLA_NUM_RX_QUEUES), 3);
	CHECK_STRING(channels("many"), "95 0/0 0/0 0");
	CHECK_STRING(made("none", "bridge", 4097, 0, 0), "22 Invalid number of transmit queues");
	CHECK_STRING(made("none", "bridge", 0, 4097, 0), "22 Invalid number of receive queues");
	/* A veth has as many as there are processors, and uses one, if none are said. */
	CHECK_STRING(made("one", "veth", 0, 0, 0), "0");
	CHECK_EQ(told("one", IFLA_NUM_TX_QUEUES), processors);
	CHECK_EQ(told("other", IFLA_NUM_RX_QUEUES), processors);
	sprintf(wanted, "0 1/%u 1/%u 0", processors, processors);
	CHECK_STRING(channels("one"), wanted);
}

TEST(queues_of_a_veth)
{
	unsigned processors = (unsigned)sysconf(_SC_NPROCESSORS_CONF);
	char wanted[60];

	start();
	CHECK_STRING(made("one", "veth", 4, 3, 2), "0");
	CHECK_EQ(told("one", IFLA_NUM_TX_QUEUES), 4);
	CHECK_EQ(told("one", IFLA_NUM_RX_QUEUES), 3);
	CHECK_EQ(told("other", IFLA_NUM_TX_QUEUES), processors);
	CHECK_EQ(told("other", IFLA_NUM_RX_QUEUES), 2);
	CHECK_STRING(channels("one"), "0 3/3 4/4 0");
	/* The other end uses all that it has, as some were said for the first. */
	sprintf(wanted, "0 2/2 %u/%u 0", processors, processors);
	CHECK_STRING(channels("other"), wanted);
}

/* What is said of the other end is looked at even where there's nothing to make. */
TEST(too_little_of_the_other_end)
{
	struct ifinfomsg body = {.ifi_index = 1};
	struct rtattr *information, *data;

	start();
	begin(RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	information = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, "veth", 4);
	data = add(IFLA_INFO_DATA, NULL, 0);
	add_number(VETH_INFO_PEER, 1);
	end_list(data);
	end_list(information);
	CHECK_STRING(asked(), "34 Attribute failed policy validation at 48");
}

TEST(counters_of_a_veth)
{
	static struct {
		struct ethtool_gstrings header;
		char names[20][ETH_GSTRING_LEN];
	} names;
	static struct {
		struct ethtool_stats header;
		unsigned long long values[20];
	} values;
	struct {
		struct ethtool_sset_info header;
		unsigned counts[2];
	} sets = {.header = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1 << ETH_SS_STATS | 1 << ETH_SS_FEATURES}};
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};

	start();
	CHECK_STRING(made("one", "veth", 1, 1, 1), "0");
	CHECK_EQ(question("one", &sets), 0);
	CHECK_EQ(sets.header.sset_mask, 1 << ETH_SS_STATS | 1 << ETH_SS_FEATURES);
	CHECK_EQ(sets.counts[0], 10);
	names.header = (struct ethtool_gstrings){.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS};
	CHECK_EQ(question("one", &names), 0);
	CHECK_EQ(names.header.len, 10);
	CHECK_STRING(names.names[0], "peer_ifindex");
	CHECK_STRING(names.names[1], "rx_queue_0_xdp_packets");
	CHECK_STRING(names.names[7], "rx_queue_0_xdp_tx_errors");
	CHECK_STRING(names.names[9], "tx_queue_0_xdp_xmit_errors");
	values.header = (struct ethtool_stats){.cmd = ETHTOOL_GSTATS, .n_stats = 10};
	CHECK_EQ(question("one", &values), 0);
	CHECK_EQ(values.header.n_stats, 10);
	CHECK_EQ(values.values[0], if_nametoindex("other"));
	CHECK_EQ(values.values[1], 0);
	CHECK_EQ(question("one", &driver), 0);
	CHECK_STRING(driver.driver, "veth");
	CHECK_STRING(driver.version, "1.0");
	CHECK_EQ(driver.n_stats, 10);
	CHECK_EQ(driver.n_priv_flags, 0);
	CHECK_STRING(made("many", "bridge", 0, 0, 0), "0");
	driver = (struct ethtool_drvinfo){.cmd = ETHTOOL_GDRVINFO};
	CHECK_EQ(question("many", &driver), 0);
	CHECK_STRING(driver.driver, "bridge");
	CHECK_STRING(driver.bus_info, "N/A");
	names.header = (struct ethtool_gstrings){.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS};
	CHECK_EQ(question("many", &names), EOPNOTSUPP);
	driver.cmd = ETHTOOL_GDRVINFO;
	CHECK_EQ(question("lo", &driver), EOPNOTSUPP);
}
