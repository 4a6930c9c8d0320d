/* Sockets as netlink tells of them, counters of the network, and events of devices: sock_diag(7), netlink(7). */
#include "check.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ALL_STATES 0xffffffffU

static char answer[65536];

static int diag_socket(void)
{
	return (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
}

static ssize_t ask(int fd, int type, int flags, const void *body, size_t length)
{
	struct {
		struct nlmsghdr header;
		char body[256];
	} request = {.header = {.nlmsg_len = (unsigned int)NLMSG_LENGTH(length), .nlmsg_type = (unsigned short)type,
				.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags), .nlmsg_seq = 7}};

	memcpy(request.body, body, length);
	MUST(send(fd, &request, request.header.nlmsg_len, 0));
	return recv(fd, answer, sizeof(answer), 0);
}

/* The errno of an answer that is one, 0 for another message. */
static int error_in(ssize_t length)
{
	struct nlmsghdr *header = (struct nlmsghdr *)answer;

	if (length < (ssize_t)sizeof(*header) || header->nlmsg_type != NLMSG_ERROR)
		return 0;
	return -((struct nlmsgerr *)NLMSG_DATA(header))->error;
}

static ino_t inode_of(int fd)
{
	struct stat status;

	MUST(fstat(fd, &status));
	return status.st_ino;
}

static struct inet_diag_msg *find_inet(ssize_t length, ino_t inode)
{
	for (struct nlmsghdr *header = (struct nlmsghdr *)answer; NLMSG_OK(header, length);
	     header = NLMSG_NEXT(header, length)) {
		struct inet_diag_msg *message = NLMSG_DATA(header);

		if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY && message->idiag_inode == inode)
			return message;
	}
	return NULL;
}

static struct unix_diag_msg *find_unix(ssize_t length, ino_t inode)
{
	for (struct nlmsghdr *header = (struct nlmsghdr *)answer; NLMSG_OK(header, length);
	     header = NLMSG_NEXT(header, length)) {
		struct unix_diag_msg *message = NLMSG_DATA(header);

		if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY && message->udiag_ino == inode)
			return message;
	}
	return NULL;
}

TEST(listening_sockets_are_told)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct inet_diag_req_v2 request = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP,
					   .idiag_states = 1 << TCP_LISTEN};
	struct inet_diag_msg *found;
	socklen_t length = sizeof(address);
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), diag = diag_socket(), client;
	ssize_t got;

	MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	MUST(listen(fd, 5));
	MUST(getsockname(fd, (struct sockaddr *)&address, &length));
	client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(client, (struct sockaddr *)&address, sizeof(address)));
	sleep_ms(2);
	request.id.idiag_sport = address.sin_port;
	got = ask(diag, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request));
	found = find_inet(got, inode_of(fd));
	CHECK(found != NULL);
	if (found != NULL) {
		CHECK_EQ(found->idiag_family, AF_INET);
		CHECK_EQ(found->idiag_state, TCP_LISTEN);
		CHECK_EQ(found->id.idiag_sport, address.sin_port);
		CHECK_EQ(found->id.idiag_src[0], htonl(INADDR_LOOPBACK));
		CHECK_EQ(found->id.idiag_dport, 0);
		CHECK_EQ(found->idiag_rqueue, 1);
		CHECK_EQ(found->idiag_wqueue, 5);
		CHECK_EQ(found->idiag_uid, getuid());
	}
	CHECK(find_inet(got, inode_of(client)) == NULL);
	diag = diag_socket();
	request.idiag_states = 1 << TCP_ESTABLISHED;
	request.id.idiag_sport = 0;
	request.id.idiag_dport = address.sin_port;
	found = find_inet(ask(diag, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request)), inode_of(client));
	CHECK(found != NULL && found->idiag_state == TCP_ESTABLISHED);
	CHECK(found != NULL && found->id.idiag_dport == address.sin_port);
}

#define BOUND_INACTIVE 13

TEST(bound_sockets_are_told)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct inet_diag_req_v2 request = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP,
					   .idiag_states = 1 << BOUND_INACTIVE};
	struct inet_diag_msg *found;
	socklen_t length = sizeof(address);
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	MUST(getsockname(fd, (struct sockaddr *)&address, &length));
	request.id.idiag_sport = address.sin_port;
	found = find_inet(ask(diag_socket(), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request)), inode_of(fd));
	CHECK(found != NULL);
	if (found != NULL) {
		CHECK_EQ(found->idiag_state, TCP_CLOSE);
		CHECK_EQ(found->id.idiag_src[0], htonl(INADDR_LOOPBACK));
	}
	/* They have that bit and no other. */
	request.idiag_states = ~(1U << BOUND_INACTIVE);
	CHECK(find_inet(ask(diag_socket(), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request)), inode_of(fd)) == NULL);
	MUST(listen(fd, 5));
	request.idiag_states = 1 << BOUND_INACTIVE;
	CHECK(find_inet(ask(diag_socket(), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request)), inode_of(fd)) == NULL);
	MUST(close(fd));
}

TEST(one_socket_is_told)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct inet_diag_req_v2 request = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP,
					   .idiag_states = ALL_STATES};
	socklen_t length = sizeof(address);
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), diag = diag_socket();

	MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	MUST(listen(fd, 5));
	MUST(getsockname(fd, (struct sockaddr *)&address, &length));
	request.id.idiag_sport = address.sin_port;
	request.id.idiag_src[0] = htonl(INADDR_LOOPBACK);
	request.id.idiag_cookie[0] = request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	CHECK(find_inet(ask(diag, SOCK_DIAG_BY_FAMILY, 0, &request, sizeof(request)), inode_of(fd)) != NULL);
	request.id.idiag_cookie[0] = 0x7fffffff;
	request.id.idiag_cookie[1] = 0x7fffffff;
	CHECK_EQ(error_in(ask(diag, SOCK_DIAG_BY_FAMILY, 0, &request, sizeof(request))), ENOENT);
	MUST(close(fd));
	request.id.idiag_cookie[0] = request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	CHECK_EQ(error_in(ask(diag, SOCK_DIAG_BY_FAMILY, 0, &request, sizeof(request))), ENOENT);
	request.sdiag_family = 200;
	CHECK_EQ(error_in(ask(diag, SOCK_DIAG_BY_FAMILY, 0, &request, sizeof(request))), EINVAL);
	request.sdiag_family = AF_INET;
	CHECK_EQ(error_in(ask(diag, SOCK_DIAG_BY_FAMILY, 0, &request, 1)), EINVAL);
	CHECK_EQ(error_in(ask(diag, 99, 0, &request, sizeof(request))), EINVAL);
}

TEST(local_sockets_are_told)
{
	struct unix_diag_req request = {.sdiag_family = AF_UNIX, .udiag_states = ALL_STATES,
					.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN};
	int ends[2], diag = diag_socket();
	struct unix_diag_msg *found;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	request.udiag_ino = (unsigned int)inode_of(ends[0]);
	request.udiag_cookie[0] = request.udiag_cookie[1] = INET_DIAG_NOCOOKIE;
	found = find_unix(ask(diag, SOCK_DIAG_BY_FAMILY, 0, &request, sizeof(request)), inode_of(ends[0]));
	CHECK(found != NULL);
	if (found != NULL) {
		CHECK_EQ(found->udiag_family, AF_UNIX);
		CHECK_EQ(found->udiag_type, SOCK_STREAM);
		CHECK_EQ(found->udiag_state, TCP_ESTABLISHED);
	}
	request.udiag_ino = 0;
	CHECK_EQ(error_in(ask(diag, SOCK_DIAG_BY_FAMILY, 0, &request, sizeof(request))), EINVAL);
	request.udiag_ino = 0x7ffffff0;
	CHECK_EQ(error_in(ask(diag, SOCK_DIAG_BY_FAMILY, 0, &request, sizeof(request))), ENOENT);
}

/* A counter of /proc/net/snmp. */
static long long counter(const char *group, const char *name)
{
	static char names[4096], values[4096];
	FILE *file = fopen("/proc/net/snmp", "r");
	long long found = -1;

	if (file == NULL)
		return -1;
	while (fgets(names, sizeof(names), file) != NULL && fgets(values, sizeof(values), file) != NULL) {
		char *name_at, *value_at, *rest_of_names, *rest_of_values;

		if (strncmp(names, group, strlen(group)) != 0 || names[strlen(group)] != ':')
			continue;
		name_at = strtok_r(names, " \n", &rest_of_names);
		value_at = strtok_r(values, " \n", &rest_of_values);
		while (name_at != NULL && value_at != NULL) {
			if (strcmp(name_at, name) == 0)
				found = atoll(value_at);
			name_at = strtok_r(NULL, " \n", &rest_of_names);
			value_at = strtok_r(NULL, " \n", &rest_of_values);
		}
	}
	fclose(file);
	return found;
}

TEST(traffic_is_counted)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	long long received = counter("Udp", "InDatagrams"), sent = counter("Udp", "OutDatagrams");
	long long no_ports = counter("Udp", "NoPorts"), opens = counter("Tcp", "ActiveOpens");
	long long passive = counter("Tcp", "PassiveOpens");
	socklen_t length = sizeof(address);
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	int client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	char byte;

	CHECK(received >= 0 && sent >= 0 && no_ports >= 0 && opens >= 0 && passive >= 0);
	MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	MUST(getsockname(fd, (struct sockaddr *)&address, &length));
	MUST(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
	MUST(recv(fd, &byte, 1, 0));
	MUST(sendto(fd, "x", 1, 0, (struct sockaddr *)&nobody, sizeof(nobody)));
	address.sin_port = 0;
	MUST(bind(listener, (struct sockaddr *)&address, sizeof(address)));
	MUST(listen(listener, 1));
	MUST(getsockname(listener, (struct sockaddr *)&address, &length));
	MUST(connect(client, (struct sockaddr *)&address, sizeof(address)));
	sleep_ms(2);
	/* Others may use the network too. */
	CHECK(counter("Udp", "InDatagrams") > received);
	CHECK(counter("Udp", "OutDatagrams") > sent + 1);
	CHECK(counter("Udp", "NoPorts") > no_ports);
	CHECK(counter("Tcp", "ActiveOpens") > opens);
	CHECK(counter("Tcp", "PassiveOpens") > passive);
	CHECK_EQ(counter("Ip", "DefaultTTL"), 64);
}

TEST(events_of_devices)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = (int)MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT)), diag = diag_socket();
	char byte;

	CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
	address = (struct sockaddr_nl){.nl_family = AF_NETLINK};
	CHECK_EQ(bind(diag, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, 21), EPROTONOSUPPORT);
}
