/* Sockets that an administrator ends, as `ss -K` does: SOCK_DESTROY, sock_diag(7). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>

static struct sockaddr_in place;
static int diag;

static int answer_to(const void *body, size_t length, int flags)
{
	struct {
		struct nlmsghdr header;
		char body[sizeof(struct inet_diag_req_v2)];
	} request = {.header = {.nlmsg_len = (unsigned)NLMSG_LENGTH(length), .nlmsg_type = SOCK_DESTROY,
				.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags)}};
	char answer[1024];

	memcpy(request.body, body, length);
	MUST(send(diag, &request, request.header.nlmsg_len, 0));
	MUST(recv(diag, answer, sizeof(answer), 0));
	return -((struct nlmsgerr *)NLMSG_DATA(answer))->error;
}

/* The errno of the kernel's answer to the wish that a socket be ended, 0 if it was. */
static int ended(int fd, int protocol)
{
	struct inet_diag_req_v2 body = {.sdiag_family = AF_INET, .sdiag_protocol = (unsigned char)protocol, .idiag_states = ~0U};
	struct sockaddr_in own = {.sin_port = 0}, other = {.sin_port = 0};
	socklen_t length = sizeof(own);

	MUST(getsockname(fd, (void *)&own, &length));
	length = sizeof(other);
	if (getpeername(fd, (void *)&other, &length) < 0)
		other = (struct sockaddr_in){.sin_port = 0};
	body.id.idiag_sport = own.sin_port;
	body.id.idiag_dport = other.sin_port;
	body.id.idiag_src[0] = own.sin_addr.s_addr;
	body.id.idiag_dst[0] = other.sin_addr.s_addr;
	body.id.idiag_cookie[0] = body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return answer_to(&body, sizeof(body), 0);
}

static int new_listener(void)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	socklen_t length = sizeof(place);

	place = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	MUST(bind(fd, (void *)&place, sizeof(place)));
	MUST(listen(fd, 5));
	MUST(getsockname(fd, (void *)&place, &length));
	return fd;
}

static int connected(void)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(connect(fd, (void *)&place, sizeof(place)));
	return fd;
}

static void start(void)
{
	enter();
	diag = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
}

/* What poll(2), recv(2) and SO_ERROR tell of a socket, in words. */
static const char *state_of(int fd)
{
	static char text[100];
	struct pollfd events = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
	struct tcp_info info = {.tcpi_state = 0};
	int error = 0, got;
	socklen_t length = sizeof(error), size = sizeof(info);
	char data[10];

	poll(&events, 1, 0);
	got = ERRNO_OF(recv(fd, data, sizeof(data), MSG_DONTWAIT));
	MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		info.tcpi_state = 0;
	sprintf(text, "%x %d %d %d", events.revents, info.tcpi_state, got, error);
	return text;
}

TEST(a_connection)
{
	int listener, ours, theirs;

	start();
	listener = new_listener();
	ours = connected();
	theirs = (int)MUST(accept(listener, NULL, NULL));
	MUST(send(theirs, "a", 1, 0));
	MUST(send(ours, "b", 1, 0));
	/* What has arrived is read yet; then the one end learns that it was aborted, the other that it was reset. */
	CHECK_EQ(ended(ours, IPPROTO_TCP), 0);
	CHECK_STRING(state_of(ours), "201d 7 0 103");
	CHECK_STRING(state_of(theirs), "201d 7 0 104");
	CHECK_ERRNO(send(ours, "c", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(ended(ours, IPPROTO_TCP), ENOENT);
	/* The accepted end has the listener's port; it's the one that is meant. */
	ours = connected();
	theirs = (int)MUST(accept(listener, NULL, NULL));
	CHECK_EQ(ended(theirs, IPPROTO_TCP), 0);
	CHECK_STRING(state_of(theirs), "201d 7 103 0");
	CHECK_STRING(state_of(ours), "201d 7 104 0");
	ours = connected();
	theirs = (int)MUST(accept(listener, NULL, NULL));
	MUST(shutdown(ours, SHUT_WR));
	CHECK_EQ(ended(ours, IPPROTO_TCP), 0);
	CHECK_STRING(state_of(ours), "201d 7 103 0");
	CHECK_STRING(state_of(theirs), "201d 7 0 32");
	ours = connected();
	theirs = (int)MUST(accept(listener, NULL, NULL));
	MUST(shutdown(theirs, SHUT_WR));
	CHECK_EQ(ended(ours, IPPROTO_TCP), 0);
	CHECK_STRING(state_of(ours), "201d 7 0 103");
	CHECK_STRING(state_of(theirs), "201d 7 104 0");
}

TEST(a_listener)
{
	int listener, ours;

	start();
	listener = new_listener();
	ours = connected();
	CHECK_EQ(ended(listener, IPPROTO_TCP), 0);
	CHECK_STRING(state_of(ours), "201d 7 104 0");
	CHECK_ERRNO(accept(listener, NULL, NULL), EINVAL);
	CHECK_STRING(state_of(listener), "201d 7 103 0");
	ours = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(connect(ours, (void *)&place, sizeof(place)), ECONNREFUSED);
	/* It's a socket as before, that may listen again. */
	CHECK_OK(listen(listener, 5));
}

TEST(who_waits)
{
	int listener, theirs;
	pid_t child;
	char byte;

	start();
	listener = new_listener();
	connected();
	theirs = (int)MUST(accept(listener, NULL, NULL));
	child = MUST(fork());
	if (child == 0)
		_exit(ERRNO_OF(recv(theirs, &byte, 1, 0)));
	usleep(50000);
	CHECK_EQ(ended(theirs, IPPROTO_TCP), 0);
	CHECK_EQ(wait_for(child), EXITED(ECONNABORTED));
	child = MUST(fork());
	if (child == 0)
		_exit(ERRNO_OF(accept(listener, NULL, NULL)));
	usleep(50000);
	CHECK_EQ(ended(listener, IPPROTO_TCP), 0);
	CHECK_EQ(wait_for(child), EXITED(EINVAL));
}

TEST(datagram_sockets)
{
	int bound, other;
	socklen_t length = sizeof(place);

	start();
	bound = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	other = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	place = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	MUST(bind(bound, (void *)&place, sizeof(place)));
	MUST(getsockname(bound, (void *)&place, &length));
	MUST(connect(other, (void *)&place, sizeof(place)));
	CHECK_EQ(ended(other, IPPROTO_UDP), 0);
	CHECK_STRING(state_of(other), "c 0 103 0");
	CHECK_ERRNO(getpeername(other, (void *)&place, &length), ENOTCONN);
	CHECK_ERRNO(send(other, "a", 1, 0), EDESTADDRREQ);
	CHECK_EQ(ended(bound, IPPROTO_UDP), 0);
	CHECK_STRING(state_of(bound), "c 0 103 0");
	/* Whose port it didn't choose has none any more. */
	CHECK_EQ(ended(bound, IPPROTO_UDP), ENOENT);
}

TEST(what_is_refused)
{
	struct inet_diag_req_v2 body = {.sdiag_family = AF_UNIX};
	int fd;

	start();
	CHECK_EQ(answer_to(&body, sizeof(body), 0), EOPNOTSUPP);
	body.sdiag_family = 200;
	CHECK_EQ(answer_to(&body, sizeof(body), 0), EINVAL);
	body.sdiag_family = AF_INET;
	CHECK_EQ(answer_to(&body, 2, 0), EINVAL);
	body.sdiag_protocol = IPPROTO_TCP;
	CHECK_EQ(answer_to(&body, sizeof(body), 0), ENOENT);
	CHECK_EQ(answer_to(&body, sizeof(body), NLM_F_DUMP), ENOENT);
	/* Bound, and no more. */
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	place = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	MUST(bind(fd, (void *)&place, sizeof(place)));
	CHECK_EQ(ended(fd, IPPROTO_TCP), ENOENT);
	/* Who isn't the administrator isn't heard, if there's such a socket. */
	fd = new_listener();
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_EQ(ended(fd, IPPROTO_TCP), EPERM);
	body.id.idiag_sport = htons(1);
	CHECK_EQ(answer_to(&body, sizeof(body), 0), ENOENT);
}
