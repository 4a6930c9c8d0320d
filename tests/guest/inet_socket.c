/* Internet sockets on the loopback: tcp(7), udp(7), ip(7), ipv6(7). */
#include "check.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/errqueue.h>
#include <linux/ethtool.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define POLL_ALL (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLWRBAND)
#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)
#define HUNG_UP (READABLE | WRITABLE | POLLHUP | POLLRDHUP)

static char block_of_data[6000000];
static volatile sig_atomic_t signals_seen;

static void count_signal(int signal)
{
	(void)signal;
	signals_seen++;
}

static int events_of(int fd)
{
	struct pollfd polled = {.fd = fd, .events = POLL_ALL};

	MUST(poll(&polled, 1, 0));
	return polled.revents & 0xffff;
}

/* Waits for an event that the other end causes; a real network stack may take a moment. */
static int await_events(int fd, int wanted)
{
	struct pollfd polled = {.fd = fd, .events = (short)wanted};

	MUST(poll(&polled, 1, 2000));
	return polled.revents & 0xffff;
}

static void make_non_blocking(int fd)
{
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
}

static int new_socket(int family, int type)
{
	return (int)MUST(socket(family, type, 0));
}

static struct sockaddr_in address_4(const char *text, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	MUST(inet_pton(AF_INET, text, &address.sin_addr) == 1 ? 0 : -1);
	return address;
}

static struct sockaddr_in6 address_6(const char *text, int port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	MUST(inet_pton(AF_INET6, text, &address.sin6_addr) == 1 ? 0 : -1);
	return address;
}

static int bind_4(int fd, const char *text, int port)
{
	struct sockaddr_in address = address_4(text, port);

	return bind(fd, (struct sockaddr *)&address, sizeof(address));
}

static int connect_4(int fd, const char *text, int port)
{
	struct sockaddr_in address = address_4(text, port);

	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static int bind_6(int fd, const char *text, int port)
{
	struct sockaddr_in6 address = address_6(text, port);

	return bind(fd, (struct sockaddr *)&address, sizeof(address));
}

static int connect_6(int fd, const char *text, int port)
{
	struct sockaddr_in6 address = address_6(text, port);

	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static long send_4(int fd, const void *data, size_t length, const char *text, int port)
{
	struct sockaddr_in address = address_4(text, port);

	return sendto(fd, data, length, 0, (struct sockaddr *)&address, sizeof(address));
}

/* The text of the address and port of an end: "127.0.0.1 80". */
static const char *name_of(int fd, int is_peer)
{
	static char text[2][80];
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char *result = text[is_peer];
	char host[INET6_ADDRSTRLEN] = "";

	if ((is_peer ? getpeername : getsockname)(fd, (struct sockaddr *)&address, &length) == -1)
		return strerrorname_np(errno);
	if (address.ss_family == AF_INET) {
		struct sockaddr_in *inet = (struct sockaddr_in *)&address;

		inet_ntop(AF_INET, &inet->sin_addr, host, sizeof(host));
		snprintf(result, 80, "%s %d", host, ntohs(inet->sin_port));
	} else {
		struct sockaddr_in6 *inet = (struct sockaddr_in6 *)&address;

		inet_ntop(AF_INET6, &inet->sin6_addr, host, sizeof(host));
		snprintf(result, 80, "%s %d", host, ntohs(inet->sin6_port));
	}
	return result;
}

static const char *host_of(int fd, int is_peer)
{
	static char host[80];

	strcpy(host, name_of(fd, is_peer));
	if (strchr(host, ' ') != NULL)
		*strchr(host, ' ') = '\0';
	return host;
}

static int port_of(int fd)
{
	const char *space = strchr(name_of(fd, 0), ' ');

	return space != NULL ? atoi(space) : -1;
}

static int option_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	MUST(getsockopt(fd, level, name, &value, &length));
	return value;
}

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int listener_4(int backlog)
{
	int fd = new_socket(AF_INET, SOCK_STREAM);

	MUST(bind_4(fd, "127.0.0.1", 0));
	MUST(listen(fd, backlog));
	return fd;
}

/* A connection: ends[0] has connected, ends[1] was accepted. */
static void make_connection(int ends[2])
{
	int listener = listener_4(5);

	ends[0] = new_socket(AF_INET, SOCK_STREAM);
	MUST(connect_4(ends[0], "127.0.0.1", port_of(listener)));
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	MUST(close(listener));
}

/* A port of the loopback where nobody listens. */
static int dead_port(int type)
{
	int fd = new_socket(AF_INET, type), port;

	MUST(bind_4(fd, "127.0.0.1", 0));
	port = port_of(fd);
	MUST(close(fd));
	return port;
}

static int state_of(int fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
	return info.tcpi_state;
}

/* What congestion control and timers begin with is told before there is a connection. */
TEST(what_a_stream_begins_with)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(address), room;
	int listener = new_socket(AF_INET, SOCK_STREAM), fd = new_socket(AF_INET, SOCK_STREAM), connection;
	struct tcp_info info;
	static char bytes[5000];

	room = sizeof(info);
	CHECK_OK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &room));
	CHECK_EQ(info.tcpi_state, TCP_CLOSE);
	CHECK_EQ(info.tcpi_rto, 1000000);
	CHECK_EQ(info.tcpi_rttvar, 250000);
	CHECK_EQ(info.tcpi_snd_mss, 536);
	CHECK_EQ(info.tcpi_snd_ssthresh, 0x7fffffff);
	CHECK_EQ(info.tcpi_snd_cwnd, 10);
	CHECK_EQ(info.tcpi_options, 0);
	MUST(bind(listener, (void *)&address, sizeof(address)));
	MUST(listen(listener, 3));
	MUST(getsockname(listener, (void *)&address, &length));
	room = sizeof(info);
	CHECK_OK(getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &room));
	CHECK_EQ(info.tcpi_snd_cwnd, 10);
	CHECK_EQ(info.tcpi_snd_ssthresh, 0);
	CHECK_EQ(info.tcpi_rto, 0);
	CHECK_EQ(info.tcpi_sacked, 3);
	MUST(connect(fd, (void *)&address, sizeof(address)));
	connection = (int)MUST(accept(listener, NULL, NULL));
	MUST(write(fd, "hello", 5));
	CHECK_EQ(read(connection, bytes, sizeof(bytes)), 5);
	room = sizeof(info);
	CHECK_OK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &room));
	CHECK_EQ(info.tcpi_options & TCPI_OPT_WSCALE, TCPI_OPT_WSCALE);
	CHECK(info.tcpi_snd_wscale == info.tcpi_rcv_wscale && info.tcpi_snd_wscale > 0);
	CHECK_EQ(info.tcpi_snd_ssthresh, 0x7fffffff);
	CHECK(info.tcpi_rto >= 200000);
	CHECK(info.tcpi_rtt > 0 && info.tcpi_rttvar > 0);
	CHECK_EQ(info.tcpi_rcv_mss, 536);
	/* How long segments are, is what the longest one was. */
	MUST(write(fd, bytes, sizeof(bytes)));
	CHECK_EQ(recv(connection, bytes, sizeof(bytes), MSG_WAITALL), (ssize_t)sizeof(bytes));
	CHECK_OK(getsockopt(connection, IPPROTO_TCP, TCP_INFO, &info, &room));
	CHECK_EQ(info.tcpi_rcv_mss, sizeof(bytes));
}

TEST(kinds_of_socket)
{
	int ends[2], fd;

	CHECK_OK(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
	CHECK_OK(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
	CHECK_OK(socket(AF_INET6, SOCK_STREAM, 0));
	CHECK_OK(socket(AF_INET6, SOCK_DGRAM, 0));
	CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, 1000), EINVAL);
	CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
	CHECK_ERRNO(socketpair(AF_INET, SOCK_STREAM, 0, ends), EOPNOTSUPP);
	fd = new_socket(AF_INET6, SOCK_DGRAM);
	CHECK_EQ(option_of(fd, SOL_SOCKET, SO_DOMAIN), AF_INET6);
	CHECK_EQ(option_of(fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
	CHECK_EQ(option_of(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
}

TEST(a_fresh_stream_socket)
{
	int fd = new_socket(AF_INET, SOCK_STREAM);
	char byte;

	handle(SIGPIPE, count_signal, 0);
	CHECK_EQ(events_of(fd), WRITABLE | POLLHUP);
	CHECK_STRING(name_of(fd, 0), "0.0.0.0 0");
	CHECK_STRING(name_of(fd, 1), "ENOTCONN");
	CHECK_EQ(state_of(fd), TCP_CLOSE);
	CHECK_ERRNO(recv(fd, &byte, 1, 0), ENOTCONN);
	CHECK_ERRNO(send(fd, "x", 1, 0), EPIPE);
	CHECK_EQ(signals_seen, 1);
	CHECK_ERRNO(accept(fd, NULL, NULL), EINVAL);
	CHECK_ERRNO(shutdown(fd, SHUT_RDWR), ENOTCONN);
	CHECK_EQ(option_of(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
}

TEST(names)
{
	int fd = new_socket(AF_INET, SOCK_STREAM), other = new_socket(AF_INET, SOCK_STREAM), port;
	struct sockaddr_in address = address_4("127.0.0.1", 0);
	struct sockaddr *plain = (struct sockaddr *)&address;
	char name[40];

	CHECK_ERRNO(bind(fd, plain, 8), EINVAL);
	CHECK_ERRNO(connect(fd, plain, 1), EINVAL);
	CHECK_ERRNO(connect(fd, plain, 8), EINVAL);
	address.sin_family = AF_INET6;
	CHECK_ERRNO(bind(fd, plain, sizeof(address)), EAFNOSUPPORT);
	CHECK_ERRNO(connect(fd, plain, sizeof(address)), EAFNOSUPPORT);
	CHECK_ERRNO(bind_4(fd, "192.0.2.1", 0), EADDRNOTAVAIL);
	CHECK_EQ(bind_4(fd, "127.0.0.1", 0), 0);
	port = port_of(fd);
	CHECK(port >= 1024);
	snprintf(name, sizeof(name), "127.0.0.1 %d", port);
	CHECK_STRING(name_of(fd, 0), name);
	CHECK_ERRNO(bind_4(fd, "127.0.0.1", 0), EINVAL);
	CHECK_ERRNO(bind_4(other, "127.0.0.1", port), EADDRINUSE);
	CHECK_ERRNO(bind_4(other, "0.0.0.0", port), EADDRINUSE);
	CHECK_EQ(bind_4(other, "127.0.0.2", port), 0);
	drop_root();
	CHECK_ERRNO(bind_4(new_socket(AF_INET, SOCK_STREAM), "127.0.0.1", 81), EACCES);
}

TEST(ports_of_both_protocols)
{
	int dual = new_socket(AF_INET6, SOCK_STREAM), port, only;

	MUST(bind_6(dual, "::", 0));
	port = port_of(dual);
	CHECK_ERRNO(bind_4(new_socket(AF_INET, SOCK_STREAM), "127.0.0.1", port), EADDRINUSE);
	CHECK_ERRNO(bind_6(new_socket(AF_INET6, SOCK_STREAM), "::1", port), EADDRINUSE);
	CHECK_ERRNO(set_option(dual, IPPROTO_IPV6, IPV6_V6ONLY, 1), EINVAL);
	MUST(close(dual));
	only = new_socket(AF_INET6, SOCK_STREAM);
	CHECK_EQ(set_option(only, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
	CHECK_EQ(bind_6(only, "::", port), 0);
	CHECK_EQ(bind_4(new_socket(AF_INET, SOCK_STREAM), "127.0.0.1", port), 0);
	CHECK_ERRNO(connect_6(only, "::ffff:127.0.0.1", port), ENETUNREACH);
	CHECK_ERRNO(bind_6(new_socket(AF_INET6, SOCK_STREAM), "2001:db8::1", 0), EADDRNOTAVAIL);
	CHECK_ERRNO(bind_6(new_socket(AF_INET6, SOCK_STREAM), "ff02::1", 0), EINVAL);
}

TEST(a_connection)
{
	int listener = listener_4(5), client = new_socket(AF_INET, SOCK_STREAM), server, bytes;
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	char text[20] = "";

	CHECK_EQ(events_of(listener), 0);
	CHECK_EQ(state_of(listener), TCP_LISTEN);
	CHECK_EQ(option_of(listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
	CHECK_ERRNO(connect_4(listener, "127.0.0.1", 1), EISCONN);
	CHECK_ERRNO(recv(listener, text, 1, 0), ENOTCONN);
	CHECK_EQ(connect_4(client, "127.0.0.1", port_of(listener)), 0);
	CHECK_ERRNO(connect_4(client, "127.0.0.1", port_of(listener)), EISCONN);
	CHECK_EQ(events_of(client), WRITABLE);
	CHECK_EQ(state_of(client), TCP_ESTABLISHED);
	CHECK_STRING(host_of(client, 0), "127.0.0.1");
	CHECK_EQ(await_events(listener, POLLIN), POLLIN);
	server = (int)CHECK_OK(accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK));
	CHECK_EQ(length, sizeof(peer));
	CHECK_EQ(ntohs(peer.sin_port), port_of(client));
	CHECK_EQ(fcntl(server, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_ERRNO(recv(server, text, 1, 0), EAGAIN);
	CHECK_EQ(send(client, "hello ", 6, 0), 6);
	CHECK_EQ(write(client, "world", 5), 5);
	CHECK_EQ(await_events(server, POLLIN | POLLOUT), POLLIN | POLLOUT);
	CHECK_EQ(ioctl(server, FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 11);
	CHECK_EQ(recv(server, text, 5, MSG_PEEK), 5);
	CHECK_EQ(recv(server, text, 5, MSG_TRUNC), 5);
	CHECK_EQ(read(server, text, sizeof(text)), 6);
	CHECK_STRING(text, " world");
	CHECK_ERRNO(listen(client, 1), EINVAL);
	CHECK_ERRNO(accept(client, NULL, NULL), EINVAL);
	CHECK_EQ(close(listener), 0);
	CHECK_EQ(write(server, "still", 5), 5);
	CHECK_EQ(read(client, text, sizeof(text)), 5);
	CHECK_EQ(state_of(client), TCP_ESTABLISHED);
}

TEST(both_protocols_at_one_listener)
{
	int listener = new_socket(AF_INET6, SOCK_STREAM), client, server, port;

	CHECK_EQ(option_of(listener, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	CHECK_EQ(listen(listener, 5), 0);
	port = port_of(listener);
	CHECK(port > 0);
	CHECK_STRING(host_of(listener, 0), "::");
	client = new_socket(AF_INET, SOCK_STREAM);
	CHECK_EQ(connect_4(client, "127.0.0.1", port), 0);
	server = (int)CHECK_OK(accept(listener, NULL, NULL));
	CHECK_STRING(host_of(server, 0), "::ffff:127.0.0.1");
	CHECK_STRING(host_of(server, 1), "::ffff:127.0.0.1");
	client = new_socket(AF_INET6, SOCK_STREAM);
	CHECK_EQ(connect_6(client, "::1", port), 0);
	server = (int)CHECK_OK(accept(listener, NULL, NULL));
	CHECK_STRING(host_of(server, 1), "::1");
	client = new_socket(AF_INET6, SOCK_STREAM);
	CHECK_EQ(connect_6(client, "::ffff:127.0.0.1", port), 0);
	server = (int)CHECK_OK(accept(listener, NULL, NULL));
	CHECK_STRING(host_of(client, 0), "::ffff:127.0.0.1");
	client = new_socket(AF_INET, SOCK_STREAM);
	CHECK_EQ(connect_4(client, "0.0.0.0", port), 0);
	CHECK_STRING(host_of(client, 1), "127.0.0.1");
	client = new_socket(AF_INET, SOCK_STREAM);
	CHECK_EQ(connect_4(client, "127.0.0.9", port), 0);
	CHECK_STRING(host_of(client, 0), "127.0.0.1");
	CHECK_STRING(host_of(client, 1), "127.0.0.9");
}

TEST(refused_connections)
{
	int fd = new_socket(AF_INET, SOCK_STREAM), port = dead_port(SOCK_STREAM), error = -1;
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	socklen_t length = sizeof(error);

	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), ECONNREFUSED);
	CHECK_EQ(events_of(fd), WRITABLE | POLLHUP);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), ECONNREFUSED);
	make_non_blocking(fd);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), EINPROGRESS);
	CHECK_EQ(await_events(fd, POLLOUT), POLLOUT | POLLERR | POLLHUP);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length), 0);
	CHECK_EQ(error, ECONNREFUSED);
	MUST(close(fd));
	fd = new_socket(AF_INET, SOCK_STREAM);
	make_non_blocking(fd);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), EINPROGRESS);
	await_events(fd, POLLOUT);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), ECONNREFUSED);
	CHECK_ERRNO(connect_4(fd, "224.0.0.1", port), ENETUNREACH);
	CHECK_ERRNO(connect_4(fd, "127.255.255.255", port), ENETUNREACH);
	CHECK_EQ(connect(fd, &nobody, sizeof(nobody)), 0);
}

/* As since Linux 6.18.44: no call lets one that has listened connect, nor one that has tried to connect listen. */
TEST(a_socket_listens_or_connects)
{
	int listener = listener_4(5), fd = new_socket(AF_INET, SOCK_STREAM), accepted;
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	CHECK_ERRNO(connect_4(fd, "127.0.0.1", dead_port(SOCK_STREAM)), ECONNREFUSED);
	CHECK_ERRNO(listen(fd, 1), EINVAL);
	CHECK_OK(connect(fd, &nobody, sizeof(nobody)));
	CHECK_ERRNO(listen(fd, 1), EINVAL);
	CHECK_OK(connect_4(fd, "127.0.0.1", port_of(listener)));
	accepted = (int)MUST(accept(listener, NULL, NULL));
	CHECK_OK(connect(accepted, &nobody, sizeof(nobody)));
	CHECK_ERRNO(listen(accepted, 1), EINVAL);

	/* Where there's no way nothing was tried. */
	fd = new_socket(AF_INET, SOCK_STREAM);
	CHECK_ERRNO(connect_4(fd, "255.255.255.255", 9), ENETUNREACH);
	CHECK_OK(listen(fd, 1));
	CHECK_OK(connect(fd, &nobody, sizeof(nobody)));
	CHECK_ERRNO(connect_4(fd, "255.255.255.255", 9), ENETUNREACH);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port_of(listener)), EINVAL);
	CHECK_OK(listen(fd, 1));
}

TEST(connecting_without_waiting)
{
	int listener = listener_4(5), fd = new_socket(AF_INET, SOCK_STREAM);

	make_non_blocking(fd);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port_of(listener)), EINPROGRESS);
	CHECK_EQ(await_events(fd, POLLOUT), POLLOUT);
	CHECK_EQ(option_of(fd, SOL_SOCKET, SO_ERROR), 0);
	CHECK_EQ(connect_4(fd, "127.0.0.1", port_of(listener)), 0);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port_of(listener)), EISCONN);
	make_non_blocking(listener);
	CHECK_OK(accept(listener, NULL, NULL));
	CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
}

TEST(the_end_of_a_connection)
{
	int ends[2];
	char text[10];

	handle(SIGPIPE, count_signal, 0);
	make_connection(ends);
	MUST(write(ends[0], "abc", 3));
	CHECK_EQ(shutdown(ends[0], SHUT_WR), 0);
	CHECK_EQ(await_events(ends[1], POLLRDHUP), POLLRDHUP);
	CHECK_EQ(state_of(ends[1]), TCP_CLOSE_WAIT);
	CHECK_EQ(events_of(ends[1]), READABLE | WRITABLE | POLLRDHUP);
	CHECK_EQ(events_of(ends[0]), WRITABLE);
	CHECK_ERRNO(send(ends[0], "x", 1, 0), EPIPE);
	CHECK_EQ(signals_seen, 1);
	CHECK_EQ(read(ends[1], text, sizeof(text)), 3);
	CHECK_EQ(read(ends[1], text, sizeof(text)), 0);
	CHECK_EQ(write(ends[1], "de", 2), 2);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 2);
	CHECK_EQ(close(ends[1]), 0);
	CHECK_EQ(await_events(ends[0], POLLIN), POLLIN | POLLHUP);
	CHECK_EQ(events_of(ends[0]), HUNG_UP);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 0);
	CHECK_EQ(state_of(ends[0]), TCP_CLOSE);
	CHECK_STRING(name_of(ends[0], 1), "ENOTCONN");
	CHECK_ERRNO(shutdown(ends[0], SHUT_WR), ENOTCONN);
}

TEST(writing_to_a_closed_end)
{
	int ends[2];
	char byte;

	handle(SIGPIPE, count_signal, 0);
	make_connection(ends);
	MUST(close(ends[1]));
	CHECK_EQ(await_events(ends[0], POLLRDHUP), POLLRDHUP);
	CHECK_EQ(events_of(ends[0]), READABLE | WRITABLE | POLLRDHUP);
	CHECK_EQ(send(ends[0], "x", 1, 0), 1);
	CHECK_EQ(await_events(ends[0], POLLRDHUP) & POLLHUP, POLLHUP);
	CHECK_EQ(events_of(ends[0]), HUNG_UP | POLLERR);
	CHECK_ERRNO(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(signals_seen, 0);
	CHECK_ERRNO(send(ends[0], "x", 1, 0), EPIPE);
	CHECK_EQ(signals_seen, 1);
	CHECK_EQ(read(ends[0], &byte, 1), 0);
}

TEST(resets)
{
	int ends[2];
	char text[10];
	struct linger linger = {1, 0};

	handle(SIGPIPE, count_signal, 0);
	/* Closing with unread bytes. */
	make_connection(ends);
	MUST(write(ends[0], "unread", 6));
	MUST(write(ends[1], "last", 4));
	await_events(ends[1], POLLIN);
	await_events(ends[0], POLLIN);
	MUST(close(ends[1]));
	CHECK_EQ(await_events(ends[0], POLLHUP) & POLLERR, POLLERR);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 4);
	CHECK_ERRNO(read(ends[0], text, sizeof(text)), ECONNRESET);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 0);
	CHECK_ERRNO(send(ends[0], "x", 1, 0), EPIPE);
	CHECK_EQ(signals_seen, 1);
	/* SO_LINGER with no time. */
	make_connection(ends);
	MUST(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	MUST(close(ends[1]));
	await_events(ends[0], POLLHUP);
	CHECK_ERRNO(send(ends[0], "x", 1, 0), ECONNRESET);
	CHECK_EQ(signals_seen, 1);
	CHECK_ERRNO(send(ends[0], "x", 1, 0), EPIPE);
	CHECK_EQ(signals_seen, 2);
	/* A listener takes those with it that it hasn't accepted. */
	ends[1] = listener_4(5);
	ends[0] = new_socket(AF_INET, SOCK_STREAM);
	MUST(connect_4(ends[0], "127.0.0.1", port_of(ends[1])));
	MUST(close(ends[1]));
	await_events(ends[0], POLLHUP);
	CHECK_ERRNO(recv(ends[0], text, 1, 0), ECONNRESET);
}

TEST(shutting_a_listener_down)
{
	int listener = listener_4(5), port = port_of(listener), client = new_socket(AF_INET, SOCK_STREAM);
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit(accept(listener, NULL, NULL) == -1 ? errno : 0);
	sleep_ms(50);
	CHECK_EQ(shutdown(listener, SHUT_WR), 0);
	CHECK_EQ(state_of(listener), TCP_LISTEN);
	CHECK_EQ(shutdown(listener, SHUT_RD), 0);
	CHECK_EQ(wait_for(child), EXITED(EINVAL));
	CHECK_EQ(events_of(listener), WRITABLE | POLLHUP);
	CHECK_ERRNO(connect_4(client, "127.0.0.1", port), ECONNREFUSED);
	CHECK_EQ(listen(listener, 1), 0);
	CHECK_EQ(connect_4(client, "127.0.0.1", port_of(listener)), 0);
}

TEST(using_an_address_again)
{
	int listener = listener_4(5), port = port_of(listener), client = new_socket(AF_INET, SOCK_STREAM), server, other;

	MUST(connect_4(client, "127.0.0.1", port));
	server = (int)MUST(accept(listener, NULL, NULL));
	MUST(close(listener));
	/* The end that closes first keeps its port for a while. */
	MUST(close(server));
	await_events(client, POLLRDHUP);
	MUST(close(client));
	other = new_socket(AF_INET, SOCK_STREAM);
	CHECK_ERRNO(bind_4(other, "127.0.0.1", port), EADDRINUSE);
	set_option(other, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK_ERRNO(bind_4(other, "127.0.0.1", port), EADDRINUSE);
	/* Both must have said that they don't mind. */
	listener = new_socket(AF_INET, SOCK_STREAM);
	set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	MUST(bind_4(listener, "127.0.0.1", 0));
	MUST(listen(listener, 5));
	port = port_of(listener);
	client = new_socket(AF_INET, SOCK_STREAM);
	MUST(connect_4(client, "127.0.0.1", port));
	server = (int)MUST(accept(listener, NULL, NULL));
	CHECK_EQ(option_of(server, SOL_SOCKET, SO_REUSEADDR), 1);
	CHECK_ERRNO(bind_4(other, "127.0.0.1", port), EADDRINUSE);
	MUST(close(listener));
	CHECK_EQ(bind_4(other, "127.0.0.1", port), 0);
	CHECK_EQ(listen(other, 1), 0);
	listener = new_socket(AF_INET, SOCK_STREAM);
	set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK_ERRNO(bind_4(listener, "127.0.0.1", port), EADDRINUSE);
}

TEST(several_listeners_at_one_port)
{
	int one = new_socket(AF_INET, SOCK_STREAM), other = new_socket(AF_INET, SOCK_STREAM), port;
	int counts[2] = {0, 0};

	CHECK_EQ(set_option(one, SOL_SOCKET, SO_REUSEPORT, 1), 0);
	MUST(bind_4(one, "127.0.0.1", 0));
	MUST(listen(one, 50));
	port = port_of(one);
	CHECK_ERRNO(bind_4(other, "127.0.0.1", port), EADDRINUSE);
	CHECK_EQ(set_option(other, SOL_SOCKET, SO_REUSEPORT, 1), 0);
	CHECK_EQ(bind_4(other, "127.0.0.1", port), 0);
	CHECK_EQ(listen(other, 50), 0);
	for (int tries = 0; tries < 40; tries++)
		MUST(connect_4(new_socket(AF_INET, SOCK_STREAM), "127.0.0.1", port));
	make_non_blocking(one);
	make_non_blocking(other);
	while (accept(one, NULL, NULL) != -1)
		counts[0]++;
	while (accept(other, NULL, NULL) != -1)
		counts[1]++;
	CHECK_EQ(counts[0] + counts[1], 40);
	CHECK(counts[0] > 0);
	CHECK(counts[1] > 0);
}

TEST(much_data)
{
	int ends[2], queued, status;
	long total = 0, got;
	pid_t child;

	make_connection(ends);
	make_non_blocking(ends[0]);
	while ((got = write(ends[0], block_of_data, sizeof(block_of_data))) > 0)
		total += got;
	CHECK_EQ(errno, EAGAIN);
	CHECK(total > 100000);
	CHECK_EQ(events_of(ends[0]), 0);
	CHECK_EQ(ioctl(ends[0], TIOCOUTQ, &queued), 0);
	CHECK(queued > 0);
	MUST(fcntl(ends[0], F_SETFL, 0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		close(ends[1]);
		write_all(ends[0], block_of_data, sizeof(block_of_data));
		_exit(0);
	}
	MUST(close(ends[0]));
	while ((got = MUST(read(ends[1], block_of_data, sizeof(block_of_data)))) > 0)
		total -= got;
	status = wait_for(child);
	CHECK_EQ(status, EXITED(0));
	CHECK_EQ(total, -(long)sizeof(block_of_data));
}

TEST(files_are_sent)
{
	int ends[2], file;
	char text[20] = "";
	off_t offset = 2;

	enter_scratch();
	write_file("file", "0123456789", 0600);
	file = (int)MUST(open("file", O_RDONLY));
	make_connection(ends);
	CHECK_EQ(sendfile(ends[0], file, &offset, 5), 5);
	CHECK_EQ(offset, 7);
	CHECK_EQ(recv(ends[1], text, 5, MSG_WAITALL), 5);
	CHECK_STRING(text, "23456");
}

TEST(waiting_and_interruptions)
{
	int ends[2], listener = listener_4(1);
	char text[10];
	struct timeval timeout = {0, 50000};
	struct itimerval soon = {{0, 0}, {0, 50000}};

	make_connection(ends);
	handle(SIGALRM, count_signal, 0);
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_ERRNO(recv(ends[0], text, 1, 0), EINTR);
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_ERRNO(accept(listener, NULL, NULL), EINTR);
	CHECK_EQ(signals_seen, 2);
	CHECK_EQ(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	CHECK_ERRNO(recv(ends[0], text, 1, 0), EAGAIN);
	CHECK_EQ(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
	MUST(write(ends[1], "abc", 3));
	CHECK_EQ(recv(ends[0], text, 5, MSG_WAITALL), 3);
	CHECK_EQ(set_option(ends[0], SOL_SOCKET, SO_RCVLOWAT, 3), 0);
	MUST(write(ends[1], "ab", 2));
	CHECK_EQ(await_events(ends[1], POLLOUT), POLLOUT);
	CHECK_EQ(events_of(ends[0]), WRITABLE);
	MUST(write(ends[1], "c", 1));
	CHECK_EQ(await_events(ends[0], POLLIN), POLLIN);
}

static int bytes_before_mark(int fd)
{
	int bytes = -1;

	MUST(ioctl(fd, FIONREAD, &bytes));
	return bytes;
}

TEST(a_chosen_port_is_kept_by_a_connection)
{
	int listener = listener_4(5), fd = new_socket(AF_INET, SOCK_STREAM), port, accepted;

	MUST(bind_4(fd, "127.0.0.1", 0));
	port = port_of(fd);
	CHECK(port > 0);
	CHECK_OK(connect_4(fd, "127.0.0.1", port_of(listener)));
	CHECK_EQ(port_of(fd), port);
	accepted = (int)MUST(accept(listener, NULL, NULL));
	CHECK_STRING(name_of(accepted, 1), name_of(fd, 0));
	/* That of a connection which failed isn't. */
	fd = new_socket(AF_INET, SOCK_STREAM);
	MUST(bind_4(fd, "127.0.0.1", 0));
	port = port_of(fd);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", dead_port(SOCK_STREAM)), ECONNREFUSED);
	CHECK_OK(bind_4(new_socket(AF_INET, SOCK_STREAM), "127.0.0.1", port));
}

TEST(a_connection_to_itself)
{
	int fd = new_socket(AF_INET, SOCK_STREAM), port;
	struct linger at_once = {1, 0};
	char text[10] = "";

	MUST(bind_4(fd, "127.0.0.1", 0));
	port = port_of(fd);
	CHECK_OK(connect_4(fd, "127.0.0.1", port));
	CHECK_STRING(name_of(fd, 1), name_of(fd, 0));
	CHECK_EQ(write(fd, "echo", 4), 4);
	CHECK(await_events(fd, POLLIN) & POLLIN);
	CHECK_EQ(read(fd, text, sizeof(text)), 4);
	CHECK_STRING(text, "echo");
	CHECK_OK(shutdown(fd, SHUT_WR));
	CHECK(await_events(fd, POLLRDHUP) & POLLRDHUP);
	CHECK_EQ(read(fd, text, sizeof(text)), 0);
	CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_OK(close(fd));
	fd = new_socket(AF_INET, SOCK_STREAM);
	MUST(bind_4(fd, "127.0.0.1", 0));
	port = port_of(fd);
	CHECK_OK(connect_4(fd, "127.0.0.1", port));
	MUST(write(fd, "unread", 6));
	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
	CHECK_OK(close(fd));
	CHECK_OK(bind_4(new_socket(AF_INET, SOCK_STREAM), "127.0.0.1", port));
}

TEST(peeking_at_datagrams_from_an_offset)
{
	int receiver = new_socket(AF_INET, SOCK_DGRAM), sender = new_socket(AF_INET, SOCK_DGRAM);
	char text[10] = "";

	MUST(bind_4(receiver, "127.0.0.1", 0));
	CHECK_EQ(option_of(receiver, SOL_SOCKET, SO_PEEK_OFF), -1);
	CHECK_OK(set_option(receiver, SOL_SOCKET, SO_PEEK_OFF, 1));
	MUST(send_4(sender, "abcdef", 6, "127.0.0.1", port_of(receiver)));
	MUST(send_4(sender, "ghi", 3, "127.0.0.1", port_of(receiver)));
	CHECK_EQ(recv(receiver, text, 2, MSG_PEEK), 2);
	CHECK_STRING(text, "bc");
	CHECK_EQ(recv(receiver, text, 9, MSG_PEEK), 3);
	CHECK_STRING(text, "def");
	CHECK_EQ(recv(receiver, text, 9, MSG_PEEK), 3);
	CHECK_STRING(text, "ghi");
	CHECK_ERRNO(recv(receiver, text, 9, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(option_of(receiver, SOL_SOCKET, SO_PEEK_OFF), 9);
	CHECK_EQ(recv(receiver, text, 9, 0), 6);
	CHECK_EQ(option_of(receiver, SOL_SOCKET, SO_PEEK_OFF), 3);
	CHECK_EQ(recv(receiver, text, 9, 0), 3);
	CHECK_EQ(option_of(receiver, SOL_SOCKET, SO_PEEK_OFF), 0);
}

TEST(peeking_at_empty_datagrams_from_an_offset)
{
	int receiver = new_socket(AF_INET, SOCK_DGRAM), sender = new_socket(AF_INET, SOCK_DGRAM);
	char text[10] = "";

	MUST(bind_4(receiver, "127.0.0.1", 0));
	for (int at = 0; at < 5; at++)
		MUST(send_4(sender, "abcd", at % 2 == 0 ? 0 : 4, "127.0.0.1", port_of(receiver)));
	CHECK_OK(set_option(receiver, SOL_SOCKET, SO_PEEK_OFF, 0));
	CHECK_EQ(recv(receiver, text, 2, MSG_PEEK), 0);
	CHECK_EQ(recv(receiver, text, 2, MSG_PEEK), 2);
	CHECK_EQ(recv(receiver, text, 2, MSG_PEEK), 2);
	CHECK_STRING(text, "cd");
	CHECK_EQ(recv(receiver, text, 2, MSG_PEEK), 0);
	CHECK_EQ(recv(receiver, text, 9, MSG_PEEK), 4);
	CHECK_EQ(recv(receiver, text, 9, MSG_PEEK), 0);
	CHECK_ERRNO(recv(receiver, text, 9, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
	/* Each counts once: they aren't seen from the beginning again, but received. */
	CHECK_OK(set_option(receiver, SOL_SOCKET, SO_PEEK_OFF, 0));
	CHECK_EQ(recv(receiver, text, 9, MSG_PEEK), 4);
	CHECK_EQ(recv(receiver, text, 9, 0), 0);
	CHECK_EQ(recv(receiver, text, 9, 0), 4);
}

/* An empty datagram that two hear is looked at by each for itself. */
TEST(peeking_at_an_empty_datagram_of_a_group)
{
	struct ip_mreqn group = {.imr_ifindex = (int)if_nametoindex("lo")};
	int receivers[2], sender = new_socket(AF_INET, SOCK_DGRAM), port = 0;
	char text[10];

	MUST(inet_pton(AF_INET, "239.1.2.3", &group.imr_multiaddr));
	MUST(setsockopt(sender, SOL_IP, IP_MULTICAST_IF, &group, sizeof(group)));
	for (int at = 0; at < 2; at++) {
		receivers[at] = new_socket(AF_INET, SOCK_DGRAM);
		MUST(set_option(receivers[at], SOL_SOCKET, SO_REUSEADDR, 1));
		MUST(bind_4(receivers[at], "239.1.2.3", port));
		port = port_of(receivers[at]);
		MUST(setsockopt(receivers[at], SOL_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
		MUST(set_option(receivers[at], SOL_SOCKET, SO_PEEK_OFF, 0));
	}
	MUST(send_4(sender, "", 0, "239.1.2.3", port));
	for (int at = 0; at < 2; at++) {
		CHECK_EQ(recv(receivers[at], text, 9, MSG_PEEK), 0);
		CHECK_ERRNO(recv(receivers[at], text, 9, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
	}
	CHECK_EQ(recv(receivers[0], text, 9, 0), 0);
	CHECK_EQ(recv(receivers[1], text, 9, 0), 0);
}

TEST(urgent_bytes)
{
	int ends[2], owner = -1;
	char text[10] = "";

	handle(SIGURG, count_signal, 0);
	make_connection(ends);
	CHECK_EQ(ioctl(ends[1], FIOGETOWN, &owner), 0);
	CHECK_EQ(owner, 0);
	owner = getpid();
	CHECK_EQ(ioctl(ends[1], FIOSETOWN, &owner), 0);
	CHECK_EQ(fcntl(ends[1], F_GETOWN), getpid());
	CHECK_ERRNO(recv(ends[1], text, 1, MSG_OOB), EINVAL);
	CHECK_EQ(send(ends[0], "abX", 3, MSG_OOB), 3);
	CHECK_EQ(send(ends[0], "cd", 2, 0), 2);
	await_events(ends[1], POLLPRI);
	CHECK_EQ(signals_seen, 1);
	CHECK_EQ(events_of(ends[1]), READABLE | WRITABLE | POLLPRI);
	CHECK_EQ(bytes_before_mark(ends[1]), 2);
	CHECK_EQ(sockatmark(ends[1]), 0);
	CHECK_EQ(recv(ends[1], text, sizeof(text), 0), 2);
	CHECK_STRING(text, "ab");
	CHECK_EQ(sockatmark(ends[1]), 1);
	CHECK_EQ(recv(ends[1], text, 1, MSG_OOB | MSG_PEEK), 1);
	CHECK_EQ(recv(ends[1], text, 1, MSG_OOB), 1);
	CHECK_EQ(text[0], 'X');
	CHECK_ERRNO(recv(ends[1], text, 1, MSG_OOB), EINVAL);
	CHECK_EQ(recv(ends[1], text, sizeof(text), 0), 2);
	CHECK_STRING(text, "cd");
	CHECK_EQ(sockatmark(ends[1]), 0);
	CHECK_EQ(set_option(ends[1], SOL_SOCKET, SO_OOBINLINE, 1), 0);
	MUST(send(ends[0], "eX", 2, MSG_OOB));
	await_events(ends[1], POLLPRI);
	CHECK_ERRNO(recv(ends[1], text, 1, MSG_OOB), EINVAL);
	CHECK_EQ(recv(ends[1], text, sizeof(text), 0), 1);
	CHECK_EQ(sockatmark(ends[1]), 1);
	CHECK_EQ(recv(ends[1], text, sizeof(text), 0), 1);
	CHECK_EQ(text[0], 'X');
}

TEST(options_of_tcp)
{
	int fd = new_socket(AF_INET, SOCK_STREAM);
	char name[16] = "";
	socklen_t length = sizeof(name);

	CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	CHECK_EQ(set_option(fd, IPPROTO_TCP, TCP_NODELAY, 7), 0);
	CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	CHECK_EQ(set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 100), 0);
	CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 100);
	CHECK_ERRNO(set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0), EINVAL);
	CHECK_ERRNO(set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 128), EINVAL);
	CHECK_EQ(set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10), 0);
	CHECK_EQ(set_option(fd, IPPROTO_TCP, TCP_CORK, 1), 0);
	CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_CORK), 1);
	CHECK_EQ(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
	CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
	CHECK_STRING(name, "reno");
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nothing", 7), ENOENT);
	CHECK_ERRNO(set_option(fd, IPPROTO_TCP, 999, 1), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, name, 1), EINVAL);
	CHECK_ERRNO(set_option(fd, IPPROTO_UDP, 1, 1), ENOPROTOOPT);
	CHECK_ERRNO(set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1), ENOPROTOOPT);
	CHECK_ERRNO(set_option(fd, 77, 1, 1), ENOPROTOOPT);
	CHECK_EQ(set_option(fd, IPPROTO_IP, IP_TTL, 10), 0);
	CHECK_EQ(option_of(fd, IPPROTO_IP, IP_TTL), 10);
	CHECK_ERRNO(set_option(fd, IPPROTO_IP, IP_TTL, 256), EINVAL);
	CHECK_EQ(set_option(fd, IPPROTO_IP, IP_TTL, -1), 0);
	CHECK_EQ(option_of(fd, IPPROTO_IP, IP_TTL), 64);
	CHECK_EQ(set_option(fd, IPPROTO_IP, IP_TOS, 0x10), 0);
	CHECK_EQ(option_of(fd, IPPROTO_IP, IP_TOS), 0x10);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nothing", 7) == -1 && (errno == ENODEV || errno == EPERM), 1);
	CHECK_EQ(set_option(fd, SOL_SOCKET, SO_SNDBUF, 20000), 0);
	CHECK_EQ(option_of(fd, SOL_SOCKET, SO_SNDBUF), 40000);
	CHECK_EQ(option_of(fd, SOL_SOCKET, SO_RCVBUF), 131072);
}

TEST(datagrams)
{
	int server = new_socket(AF_INET, SOCK_DGRAM), client = new_socket(AF_INET, SOCK_DGRAM), port, bytes;
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	char text[20] = "";

	CHECK_EQ(events_of(server), WRITABLE | POLLWRBAND);
	CHECK_ERRNO(send(client, "x", 1, 0), EDESTADDRREQ);
	CHECK_ERRNO(recv(client, text, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(listen(client, 1), EOPNOTSUPP);
	CHECK_ERRNO(accept(client, NULL, NULL), EOPNOTSUPP);
	MUST(bind_4(server, "127.0.0.1", 0));
	port = port_of(server);
	CHECK_ERRNO(bind_4(client, "127.0.0.1", port), EINVAL);
	CHECK_ERRNO(bind_4(new_socket(AF_INET, SOCK_DGRAM), "127.0.0.1", port), EADDRINUSE);
	CHECK_EQ(send_4(client, "hello", 5, "127.0.0.1", port), 5);
	CHECK(port_of(client) > 0);
	CHECK_EQ(send_4(client, "", 0, "127.0.0.1", port), 0);
	CHECK_EQ(send_4(client, "third", 5, "0.0.0.0", port), 5);
	CHECK_EQ(await_events(server, POLLIN), POLLIN);
	CHECK_EQ(ioctl(server, FIONREAD, &bytes), 0);
	CHECK_EQ(bytes, 5);
	CHECK_EQ(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&from, &length), 5);
	CHECK_STRING(text, "hello");
	CHECK_EQ(length, sizeof(from));
	CHECK_EQ(ntohs(from.sin_port), port_of(client));
	CHECK_EQ(ntohl(from.sin_addr.s_addr), INADDR_LOOPBACK);
	CHECK_EQ(recv(server, text, sizeof(text), 0), 0);
	CHECK_EQ(recv(server, text, 2, MSG_PEEK | MSG_TRUNC), 5);
	CHECK_EQ(recv(server, text, 2, 0), 2);
	CHECK_ERRNO(recv(server, text, 2, MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(send_4(client, block_of_data, 65508, "127.0.0.1", port), EMSGSIZE);
	CHECK_EQ(send_4(client, block_of_data, 65507, "127.0.0.1", port), 65507);
	CHECK_EQ(recv(server, block_of_data, sizeof(block_of_data), 0), 65507);
	CHECK_ERRNO(send_4(client, "x", 1, "127.0.0.1", 0), EINVAL);
	CHECK_ERRNO(send_4(client, "x", 1, "127.255.255.255", port), EACCES);
	CHECK_EQ(set_option(client, SOL_SOCKET, SO_BROADCAST, 1), 0);
	CHECK_EQ(send_4(client, "x", 1, "127.255.255.255", port), 1);
	CHECK_ERRNO(shutdown(client, SHUT_WR), ENOTCONN);
	CHECK_ERRNO(send_4(client, "x", 1, "127.0.0.1", port), EPIPE);
}

TEST(connected_datagram_sockets)
{
	int client = new_socket(AF_INET, SOCK_DGRAM), server = new_socket(AF_INET, SOCK_DGRAM);
	int stranger = new_socket(AF_INET, SOCK_DGRAM), port = dead_port(SOCK_DGRAM);
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	char byte;

	CHECK_EQ(send_4(client, "x", 1, "127.0.0.1", port), 1);
	CHECK_EQ(events_of(client), WRITABLE | POLLWRBAND);
	CHECK_EQ(connect_4(client, "127.0.0.1", port), 0);
	CHECK_STRING(host_of(client, 0), "127.0.0.1");
	CHECK_EQ(send(client, "x", 1, 0), 1);
	CHECK_EQ(await_events(client, POLLIN), POLLERR);
	CHECK_ERRNO(send(client, "x", 1, 0), ECONNREFUSED);
	CHECK_EQ(send(client, "x", 1, 0), 1);
	await_events(client, POLLIN);
	CHECK_ERRNO(recv(client, &byte, 1, 0), ECONNREFUSED);
	CHECK_ERRNO(recv(client, &byte, 1, MSG_DONTWAIT), EAGAIN);
	/* A connected socket hears nobody else. */
	MUST(bind_4(server, "127.0.0.1", 0));
	CHECK_EQ(connect_4(client, "127.0.0.1", port_of(server)), 0);
	CHECK_EQ(send_4(stranger, "x", 1, "127.0.0.1", port_of(client)), 1);
	CHECK_EQ(send_4(server, "y", 1, "127.0.0.1", port_of(client)), 1);
	CHECK_EQ(recv(client, &byte, 1, 0), 1);
	CHECK_EQ(byte, 'y');
	CHECK_EQ(connect(client, &nobody, sizeof(nobody)), 0);
	CHECK_STRING(name_of(client, 1), "ENOTCONN");
	CHECK_ERRNO(send(client, "x", 1, 0), EDESTADDRREQ);
}

TEST(datagrams_in_parts)
{
	int server = new_socket(AF_INET, SOCK_DGRAM), client = new_socket(AF_INET, SOCK_DGRAM);
	char text[20] = "";

	MUST(bind_4(server, "127.0.0.1", 0));
	MUST(connect_4(client, "127.0.0.1", port_of(server)));
	CHECK_EQ(send(client, "ab", 2, MSG_MORE), 2);
	CHECK_ERRNO(recv(server, text, sizeof(text), MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(client, "cd", 2, 0), 2);
	CHECK_EQ(recv(server, text, sizeof(text), 0), 4);
	CHECK_STRING(text, "abcd");
	CHECK_EQ(set_option(client, IPPROTO_UDP, UDP_CORK, 1), 0);
	CHECK_EQ(send(client, "e", 1, 0), 1);
	CHECK_EQ(send(client, "f", 1, 0), 1);
	CHECK_ERRNO(recv(server, text, sizeof(text), MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(set_option(client, IPPROTO_UDP, UDP_CORK, 0), 0);
	CHECK_EQ(recv(server, text, sizeof(text), 0), 2);
}

TEST(queued_errors)
{
	int fd = new_socket(AF_INET, SOCK_DGRAM), port = dead_port(SOCK_DGRAM);
	char text[20] = "", control[256];
	struct sockaddr_in to;
	struct iovec part = {text, sizeof(text)};
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &part, .msg_iovlen = 1,
				 .msg_control = control, .msg_controllen = sizeof(control)};
	struct sock_extended_err error = {0};

	CHECK_ERRNO(recvmsg(fd, &message, MSG_ERRQUEUE), EAGAIN);
	CHECK_EQ(set_option(fd, IPPROTO_IP, IP_RECVERR, 1), 0);
	CHECK_EQ(send_4(fd, "lost", 4, "127.0.0.1", port), 4);
	CHECK_EQ(await_events(fd, POLLIN), POLLERR);
	CHECK_EQ(recvmsg(fd, &message, MSG_ERRQUEUE), 4);
	CHECK_STRING(text, "lost");
	CHECK_EQ(message.msg_flags, MSG_ERRQUEUE);
	CHECK_EQ(ntohs(to.sin_port), port);
	CHECK_EQ(CMSG_FIRSTHDR(&message)->cmsg_type, IP_RECVERR);
	memcpy(&error, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(error));
	CHECK_EQ(error.ee_errno, ECONNREFUSED);
	CHECK_EQ(error.ee_origin, SO_EE_ORIGIN_ICMP);
	CHECK_EQ(events_of(fd), WRITABLE | POLLWRBAND);
	CHECK_EQ(send_4(fd, "lost", 4, "127.0.0.1", port), 4);
	await_events(fd, POLLIN);
	CHECK_ERRNO(send_4(fd, "lost", 4, "127.0.0.1", port), ECONNREFUSED);
}

TEST(addresses_without_ports)
{
	int fd = new_socket(AF_INET, SOCK_STREAM);

	CHECK_EQ(set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1), 0);
	CHECK_EQ(bind_4(fd, "127.0.0.3", 0), 0);
	CHECK_STRING(name_of(fd, 0), "127.0.0.3 0");
	CHECK_EQ(listen(fd, 1), 0);
	CHECK(port_of(fd) > 0);
	CHECK_STRING(host_of(fd, 0), "127.0.0.3");
}

TEST(datagrams_that_find_no_room)
{
	int server = new_socket(AF_INET, SOCK_DGRAM), client = new_socket(AF_INET, SOCK_DGRAM), count = 0;
	char byte;

	MUST(bind_4(server, "127.0.0.1", 0));
	MUST(set_option(server, SOL_SOCKET, SO_RCVBUF, 5000));
	for (int at = 0; at < 100; at++)
		CHECK_EQ(send_4(client, "x", 1, "127.0.0.1", port_of(server)), 1);
	while (recv(server, &byte, 1, MSG_DONTWAIT) == 1)
		count++;
	CHECK(count > 2 && count < 50);
}

TEST(datagrams_of_ipv6)
{
	int server = new_socket(AF_INET6, SOCK_DGRAM), client = new_socket(AF_INET6, SOCK_DGRAM);
	struct sockaddr_in6 to, from;
	socklen_t length = sizeof(from);
	char byte, host[INET6_ADDRSTRLEN];

	MUST(bind_6(server, "::", 0));
	to = address_6("::1", port_of(server));
	CHECK_EQ(sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	CHECK_EQ(recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &length), 1);
	CHECK_EQ(length, sizeof(from));
	CHECK_STRING(inet_ntop(AF_INET6, &from.sin6_addr, host, sizeof(host)), "::1");
	CHECK_EQ(send_4(new_socket(AF_INET, SOCK_DGRAM), "y", 1, "127.0.0.1", port_of(server)), 1);
	CHECK_EQ(recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &length), 1);
	CHECK_STRING(inet_ntop(AF_INET6, &from.sin6_addr, host, sizeof(host)), "::ffff:127.0.0.1");
	to = address_6("::ffff:127.0.0.1", port_of(server));
	CHECK_EQ(sendto(client, "z", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	CHECK_ERRNO(sendto(client, "z", 1, 0, (struct sockaddr *)&to, 20), EINVAL);
	CHECK_EQ(set_option(client, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9), 0);
	CHECK_EQ(option_of(client, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 9);
	CHECK_ERRNO(set_option(client, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 300), EINVAL);
}

TEST(where_a_datagram_was_sent)
{
	int server = new_socket(AF_INET, SOCK_DGRAM), client = new_socket(AF_INET, SOCK_DGRAM), found = 0;
	char byte, control[256];
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	MUST(bind_4(server, "0.0.0.0", 0));
	CHECK_EQ(set_option(server, IPPROTO_IP, IP_PKTINFO, 1), 0);
	CHECK_EQ(set_option(server, IPPROTO_IP, IP_RECVTTL, 1), 0);
	MUST(set_option(client, IPPROTO_IP, IP_TTL, 33));
	MUST(send_4(client, "x", 1, "127.0.0.7", port_of(server)));
	CHECK_EQ(recvmsg(server, &message, 0), 1);
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(header), sizeof(info));
			CHECK_EQ(ntohl(info.ipi_addr.s_addr), 0x7f000007);
			CHECK_EQ(info.ipi_ifindex, (int)if_nametoindex("lo"));
			found++;
		} else if (header->cmsg_type == IP_TTL) {
			int ttl;

			memcpy(&ttl, CMSG_DATA(header), sizeof(ttl));
			CHECK_EQ(ttl, 33);
			found++;
		}
	}
	CHECK_EQ(found, 2);
}

/* What lo's driver is said to do itself: the older questions, flags, sets of names, and bits by name. */
static void check_features(int fd)
{
	static const unsigned int on[] = {ETHTOOL_GRXCSUM, ETHTOOL_GTXCSUM, ETHTOOL_GSG, ETHTOOL_GTSO, ETHTOOL_GGSO, ETHTOOL_GGRO};
	struct ifreq request = {.ifr_name = "lo"};
	struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS, .data = 77};
	struct {
		struct ethtool_sset_info info;
		unsigned int counts[2];
	} sets = {.info = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES}};
	struct {
		struct ethtool_gfeatures header;
		struct ethtool_get_features_block words[2];
	} features = {.header = {.cmd = ETHTOOL_GFEATURES, .size = 2}};
	static struct {
		struct ethtool_gstrings header;
		char names[200][ETH_GSTRING_LEN];
	} strings = {.header = {.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES}};
	unsigned int found = 0;

	request.ifr_data = (char *)&value;
	CHECK_EQ(ioctl(fd, SIOCETHTOOL, &request), 0);
	CHECK_EQ(value.data, 0);
	for (size_t each = 0; each < LENGTH(on); each++) {
		value = (struct ethtool_value){.cmd = on[each], .data = 77};
		CHECK_EQ(ioctl(fd, SIOCETHTOOL, &request), 0);
		CHECK_EQ(value.data, 1);
	}
	request.ifr_data = (char *)&sets;
	CHECK_EQ(ioctl(fd, SIOCETHTOOL, &request), 0);
	CHECK_EQ(sets.info.sset_mask, 1ULL << ETH_SS_FEATURES);
	CHECK(sets.counts[0] > 32 && sets.counts[0] <= LENGTH(strings.names));
	request.ifr_data = (char *)&features;
	CHECK_EQ(ioctl(fd, SIOCETHTOOL, &request), 0);
	CHECK_EQ(features.header.size, 2);
	request.ifr_data = (char *)&strings;
	CHECK_EQ(ioctl(fd, SIOCETHTOOL, &request), 0);
	CHECK_EQ(strings.header.len, sets.counts[0]);
	for (unsigned int each = 0; each < strings.header.len; each++) {
		struct ethtool_get_features_block *word = &features.words[each / 32];
		unsigned int bit = 1u << each % 32;

		if (strcmp(strings.names[each], "loopback") == 0 || strcmp(strings.names[each], "rx-checksum") == 0) {
			CHECK((word->active & bit) != 0 && (word->available & bit) == 0);
			found++;
		} else if (strcmp(strings.names[each], "vlan-challenged") == 0) {
			CHECK((word->active & bit) != 0 && (word->never_changed & bit) != 0);
			found++;
		} else if (strcmp(strings.names[each], "tx-tcp-segmentation") == 0) {
			CHECK((word->active & bit) != 0 && (word->available & bit) != 0 && (word->requested & bit) != 0);
			found++;
		}
	}
	CHECK_EQ(found, 4);
}

/* Requests of what isn't there, and in which order the others are checked. */
TEST(requests_about_interfaces_that_nothing_answers)
{
	int fd = new_socket(AF_INET, SOCK_DGRAM), local = new_socket(AF_UNIX, SOCK_STREAM);
	struct ifreq lo = {.ifr_name = "lo"}, none = {.ifr_name = "nothing9"};

	CHECK_ERRNO(ioctl(fd, SIOCGIFVLAN, bad_address()), ENOPKG);
	CHECK_ERRNO(ioctl(local, SIOCGIFVLAN, bad_address()), ENOPKG);
	CHECK_ERRNO(ioctl(fd, SIOCGIFPFLAGS, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(fd, SIOCGIFPFLAGS, &lo), EINVAL);
	CHECK_ERRNO(ioctl(fd, SIOCRTMSG, bad_address()), EINVAL);
	CHECK_ERRNO(ioctl(new_socket(AF_INET6, SOCK_DGRAM), SIOCSIFDSTADDR, bad_address()), ENODEV);
	CHECK_ERRNO(ioctl(local, SIOCGSTAMP_OLD, bad_address()), ENOTTY);
	CHECK_ERRNO(ioctl(fd, SIOCBONDENSLAVE, &lo), geteuid() == 0 ? EOPNOTSUPP : EPERM);
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &none), geteuid() == 0 ? EINVAL : EPERM);
	none.ifr_addr.sa_family = AF_INET;
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &none), geteuid() == 0 ? ENODEV : EPERM);
}

TEST(the_loopback_interface)
{
	int fd = new_socket(AF_INET, SOCK_DGRAM), has_4 = 0, has_6 = 0;
	struct ifreq request = {.ifr_name = "lo"}, none = {.ifr_name = "nothing9"};
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
	struct ifaddrs *list;
	char buffer[2000];
	struct ifconf all = {.ifc_len = sizeof(buffer), .ifc_buf = buffer};
	struct ethtool_value link = {.cmd = ETHTOOL_GLINK, .data = 77};
	struct ethtool_ts_info times;

	CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	CHECK_EQ(request.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_BROADCAST), IFF_UP | IFF_LOOPBACK | IFF_RUNNING);
	CHECK_EQ(ioctl(fd, SIOCGIFADDR, &request), 0);
	CHECK_EQ(ntohl(address->sin_addr.s_addr), INADDR_LOOPBACK);
	CHECK_EQ(ioctl(fd, SIOCGIFNETMASK, &request), 0);
	CHECK_EQ(ntohl(address->sin_addr.s_addr), 0xff000000);
	CHECK_EQ(ioctl(fd, SIOCGIFMTU, &request), 0);
	CHECK_EQ(request.ifr_mtu, 65536);
	CHECK_EQ(ioctl(fd, SIOCGIFINDEX, &request), 0);
	CHECK_EQ(request.ifr_ifindex, 1);
	CHECK_ERRNO(ioctl(fd, SIOCGIFFLAGS, &none), ENODEV);
	request.ifr_data = (char *)&link;
	CHECK_EQ(ioctl(fd, SIOCETHTOOL, &request), 0);
	CHECK_EQ(link.data, 1);
	times.cmd = ETHTOOL_GET_TS_INFO;
	request.ifr_data = (char *)&times;
	CHECK_EQ(ioctl(fd, SIOCETHTOOL, &request), 0);
	CHECK_EQ(times.so_timestamping, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
	CHECK_EQ(times.phc_index, -1);
	CHECK_EQ(times.tx_types, 0);
	CHECK_EQ(times.rx_filters, 0);
	check_features(fd);
	request.ifr_data = (char *)&link;
	link.cmd = ETHTOOL_GSET;
	CHECK_ERRNO(ioctl(fd, SIOCETHTOOL, &request), EOPNOTSUPP);
	link.cmd = 0x7777;
	/* Only questions are everybody's. */
	CHECK_ERRNO(ioctl(fd, SIOCETHTOOL, &request), geteuid() == 0 ? EOPNOTSUPP : EPERM);
	none.ifr_data = bad_address();
	CHECK_ERRNO(ioctl(fd, SIOCETHTOOL, &none), EFAULT);
	none.ifr_data = (char *)&link;
	CHECK_ERRNO(ioctl(fd, SIOCETHTOOL, &none), ENODEV);
	CHECK_EQ(ioctl(fd, SIOCGIFCONF, &all), 0);
	CHECK(all.ifc_len >= (int)sizeof(struct ifreq));
	CHECK_STRING(((struct ifreq *)buffer)->ifr_name, "lo");
	CHECK_STRING(if_indextoname(1, request.ifr_name), "lo");
	CHECK_EQ(if_nametoindex("lo"), 1);
	CHECK_EQ(if_nametoindex("nothing9"), 0);
	CHECK_EQ(getifaddrs(&list), 0);
	for (struct ifaddrs *each = list; each != NULL; each = each->ifa_next) {
		if (strcmp(each->ifa_name, "lo") == 0 && each->ifa_addr != NULL) {
			has_4 |= each->ifa_addr->sa_family == AF_INET;
			has_6 |= each->ifa_addr->sa_family == AF_INET6;
		}
	}
	CHECK(has_4);
	CHECK(has_6);
	CHECK_ERRNO(ioctl(fd, 0x5499, &request), ENOTTY);
}

TEST(edges_of_epoll)
{
	int ends[2], instance = (int)MUST(epoll_create1(0));
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET}, got[4];
	char text[10];

	make_connection(ends);
	MUST(epoll_ctl(instance, EPOLL_CTL_ADD, ends[0], &event));
	CHECK_EQ(epoll_wait(instance, got, 4, 0), 1);
	CHECK_EQ(got[0].events, EPOLLOUT);
	CHECK_EQ(epoll_wait(instance, got, 4, 0), 0);
	MUST(write(ends[1], "abc", 3));
	CHECK_EQ(epoll_wait(instance, got, 4, 1000), 1);
	CHECK_EQ(got[0].events, EPOLLIN | EPOLLOUT);
	CHECK_EQ(read(ends[0], text, 1), 1);
	CHECK_EQ(epoll_wait(instance, got, 4, 0), 0);
	MUST(close(ends[1]));
	CHECK_EQ(epoll_wait(instance, got, 4, 1000), 1);
	CHECK_EQ(got[0].events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

TEST(phases_of_connecting)
{
	int fd = new_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), ends[2];
	int port = dead_port(SOCK_STREAM), count = -1;
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	char byte;

	/* Whoever receives learns what came of it; connect(2) still has to be asked. */
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), EINPROGRESS);
	await_events(fd, POLLHUP);
	CHECK_ERRNO(recv(fd, &byte, 1, 0), ECONNREFUSED);
	CHECK_ERRNO(listen(fd, 1), EINVAL);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), ECONNABORTED);
	/* If it was shut down in between it can't be connected any more, unless it is disconnected. */
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), EINPROGRESS);
	await_events(fd, POLLHUP);
	CHECK_ERRNO(shutdown(fd, SHUT_RD), ENOTCONN);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), EINVAL);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), EINVAL);
	CHECK_ERRNO(listen(fd, 1), EINVAL);
	/* The error stays for whoever asks. */
	CHECK_EQ(connect(fd, &nowhere, sizeof(nowhere)), 0);
	CHECK_ERRNO(recv(fd, &byte, 1, 0), ECONNREFUSED);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), EINPROGRESS);
	/* A connection that is over was one: it takes as much to begin anew. */
	make_connection(ends);
	MUST(shutdown(ends[0], SHUT_WR));
	MUST(shutdown(ends[1], SHUT_WR));
	await_events(ends[1], POLLHUP);
	CHECK_ERRNO(connect_4(ends[1], "127.0.0.1", port), EISCONN);
	CHECK_EQ(connect(ends[1], &nowhere, sizeof(nowhere)), 0);
	CHECK_ERRNO(connect_4(ends[1], "127.0.0.1", port), ECONNREFUSED);
	/* Who disconnects hears of it. */
	make_connection(ends);
	CHECK_EQ(connect(ends[0], &nowhere, sizeof(nowhere)), 0);
	CHECK_ERRNO(recv(ends[0], &byte, 1, 0), ECONNRESET);
	CHECK_ERRNO(recv(ends[0], &byte, 1, 0), ENOTCONN);
	/* The urgent byte went with all the rest. */
	make_connection(ends);
	MUST(send(ends[1], "abc", 3, MSG_OOB));
	await_events(ends[0], POLLPRI);
	CHECK_EQ(connect(ends[0], &nowhere, sizeof(nowhere)), 0);
	CHECK_EQ(ioctl(ends[0], FIONREAD, &count), 0);
	CHECK_EQ(count, 0);
}

TEST(accepting_what_is_over)
{
	int listener = listener_4(1), fd = new_socket(AF_INET, SOCK_STREAM), server;
	struct linger at_once = {.l_onoff = 1};
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	char byte;
	int port;

	CHECK_EQ(connect_4(fd, "127.0.0.1", port_of(listener)), 0);
	port = port_of(fd);
	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
	MUST(close(fd));
	usleep(20000);
	server = accept(listener, (struct sockaddr *)&from, &length);
	CHECK(server >= 0);
	CHECK_EQ(ntohs(from.sin_port), port);
	CHECK_ERRNO(getpeername(server, (struct sockaddr *)&from, &length), ENOTCONN);
	CHECK_ERRNO(recv(server, &byte, 1, 0), ECONNRESET);
}

TEST(shut_down_before_it_is_connected)
{
	int fd = new_socket(AF_INET, SOCK_STREAM), listener = listener_4(1), server;

	CHECK_ERRNO(shutdown(fd, SHUT_WR), ENOTCONN);
	CHECK_EQ(connect_4(fd, "127.0.0.1", port_of(listener)), 0);
	CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	server = (int)MUST(accept(listener, NULL, NULL));
	CHECK_EQ(write(server, "abc", 3), 3);
}

TEST(an_urgent_byte_that_follows_another)
{
	int ends[2], count = -1;
	char text[10];

	make_connection(ends);
	MUST(send(ends[0], "abU", 3, MSG_OOB));
	await_events(ends[1], POLLPRI);
	CHECK_EQ(recv(ends[1], text, 2, 0), 2);
	/* The stream has come to the first one, which is gone when there is a second. */
	MUST(send(ends[0], "cdV", 3, MSG_OOB));
	usleep(20000);
	CHECK_EQ(ioctl(ends[1], FIONREAD, &count), 0);
	CHECK_EQ(count, 2);
	CHECK_EQ(recv(ends[1], text, 9, 0), 2);
	CHECK(memcmp(text, "cd", 2) == 0);
	CHECK_EQ(recv(ends[1], text, 1, MSG_OOB), 1);
	CHECK_EQ(text[0], 'V');
	make_connection(ends);
	CHECK_ERRNO(recv(ends[1], text, 0, MSG_DONTWAIT), EAGAIN);
	/* Not even MSG_WAITALL goes over the mark. */
	MUST(send(ends[0], "abU", 3, MSG_OOB));
	MUST(send(ends[0], "cd", 2, 0));
	await_events(ends[1], POLLPRI);
	CHECK_EQ(recv(ends[1], text, 4, MSG_WAITALL), 2);
}

static volatile sig_atomic_t told_of_room;

static void note_room(int signo)
{
	(void)signo;
	told_of_room++;
}

/* Who found no room gets a signal when there is some. */
TEST(room_for_who_gets_signals)
{
	static char many[65536];
	int ends[2];

	make_connection(ends);
	handle(SIGIO, note_room, 0);
	MUST(fcntl(ends[0], F_SETOWN, getpid()));
	MUST(fcntl(ends[0], F_SETFL, O_NONBLOCK | O_ASYNC));
	MUST(fcntl(ends[1], F_SETFL, O_NONBLOCK));
	CHECK_EQ(write(ends[0], "abc", 3), 3);
	await_events(ends[1], POLLIN);
	CHECK_EQ(read(ends[1], many, sizeof(many)), 3);
	CHECK_EQ(told_of_room, 0);
	for (int times = 0; times < 5; times++) {
		while (write(ends[0], many, sizeof(many)) > 0)
			;
		sleep_ms(10);
	}
	told_of_room = 0;
	for (int patience = 100; patience > 0 && !told_of_room; patience--) {
		while (read(ends[1], many, sizeof(many)) > 0)
			;
		sleep_ms(10);
	}
	CHECK(told_of_room > 0);
}

TEST(errors_of_datagrams_go_first)
{
	int fd = new_socket(AF_INET, SOCK_DGRAM), sender = new_socket(AF_INET, SOCK_DGRAM);
	int other = new_socket(AF_INET6, SOCK_DGRAM), port = dead_port(SOCK_DGRAM);
	char text[10];

	CHECK_EQ(connect_4(fd, "127.0.0.1", port), 0);
	CHECK_EQ(send(fd, "abc", 3, 0), 3);
	await_events(fd, POLLERR);
	MUST(shutdown(fd, SHUT_WR));
	CHECK_ERRNO(send(fd, "abc", 3, MSG_NOSIGNAL), ECONNREFUSED);
	CHECK_ERRNO(send(fd, "abc", 3, MSG_NOSIGNAL), EPIPE);
	/* Though a datagram waits. */
	fd = new_socket(AF_INET, SOCK_DGRAM);
	CHECK_EQ(connect_4(fd, "127.0.0.1", port), 0);
	CHECK_EQ(bind_4(sender, "127.0.0.1", port), 0);
	CHECK_EQ(connect_4(sender, "127.0.0.1", port_of(fd)), 0);
	MUST(send(sender, "abc", 3, 0));
	MUST(close(sender));
	MUST(send(fd, "abc", 3, 0));
	await_events(fd, POLLERR);
	CHECK_ERRNO(recv(fd, text, 9, 0), ECONNREFUSED);
	CHECK_EQ(recv(fd, text, 9, 0), 3);
	/* Only IPv4 minds MSG_OOB. */
	CHECK_ERRNO(send(other, "abc", 3, MSG_OOB), EDESTADDRREQ);
	CHECK_ERRNO(send(fd, "abc", 3, MSG_OOB), EOPNOTSUPP);
}

/* It's looked for the way alone (MSG_PROBE, which has the number of MSG_PROXY). */
TEST(a_datagram_that_only_looks)
{
	int fd = new_socket(AF_INET, SOCK_DGRAM), sender = new_socket(AF_INET, SOCK_DGRAM);
	char text[10];

	CHECK_EQ(bind_4(fd, "127.0.0.1", 0), 0);
	CHECK_EQ(connect_4(sender, "127.0.0.1", port_of(fd)), 0);
	CHECK_EQ(send(sender, "abc", 3, MSG_PROXY), 3);
	CHECK_EQ(send(sender, "de", 2, 0), 2);
	await_events(fd, POLLIN);
	CHECK_EQ(recv(fd, text, 9, 0), 2);
	CHECK_ERRNO(recv(fd, text, 9, MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(send(new_socket(AF_INET, SOCK_DGRAM), "abc", 3, MSG_PROXY), EDESTADDRREQ);
}

TEST(a_port_that_bind_found_is_kept_without_a_connection)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	int fd = new_socket(AF_INET, SOCK_STREAM), port;

	MUST(bind_4(fd, "127.0.0.1", 0));
	port = port_of(fd);
	MUST(connect(fd, &nobody, sizeof(nobody)));
	CHECK_EQ(port_of(fd), port);
	CHECK_ERRNO(bind_4(fd, "127.0.0.1", 0), EINVAL);
	/* A listener's is not. */
	MUST(listen(fd, 1));
	CHECK_EQ(port_of(fd), port);
	MUST(connect(fd, &nobody, sizeof(nobody)));
	MUST(bind_4(fd, "127.0.0.1", 0));
}

TEST(memory_of_a_datagram_socket)
{
	uint32_t before[9], after[9];
	socklen_t length = sizeof(before);
	int fd = new_socket(AF_INET, SOCK_DGRAM), sender = new_socket(AF_INET, SOCK_DGRAM), size = 1, i;
	char byte;

	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
	MUST(bind_4(fd, "127.0.0.1", 0));
	MUST(connect_4(sender, "127.0.0.1", port_of(fd)));
	MUST(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, before, &length));
	CHECK_EQ(before[0], 0);
	CHECK_EQ(before[8], 0);
	for (i = 0; i < 20; i++)
		CHECK_EQ(send(sender, "x", 1, 0), 1);
	MUST(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, after, &length));
	CHECK(after[0] > 0);
	CHECK(after[8] > 0 && after[8] < 20);
	for (i = 0; recv(fd, &byte, 1, MSG_DONTWAIT) == 1; i++)
		;
	CHECK_EQ(i + after[8], 20);
	MUST(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, after, &length));
	CHECK_EQ(after[0], 0);
}

/* What a datagram's head takes in the queue of the receiver, and before it goes what is held of it. */
TEST(memory_of_datagrams)
{
	static const struct {
		int length;
		uint32_t memory;
	} heads[] = {{0, 832},     {197, 832},	   {198, 1280},	   {646, 2304},	   {1670, 4352},
		     {7813, 8448}, {7814, 16640}, {16004, 16640}, {16005, 16837}, {40000, 40832}};
	static char data[40000];
	uint32_t memory[9];
	socklen_t length = sizeof(memory);
	int fd = new_socket(AF_INET, SOCK_DGRAM), sender = new_socket(AF_INET, SOCK_DGRAM), held;

	MUST(bind_4(fd, "127.0.0.1", 0));
	MUST(connect_4(sender, "127.0.0.1", port_of(fd)));
	for (size_t at = 0; at < LENGTH(heads); at++) {
		CHECK_EQ(send(sender, data, heads[at].length, 0), heads[at].length);
		MUST(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length));
		CHECK_EQ(memory[0], heads[at].memory);
		CHECK_EQ(recv(fd, data, sizeof(data), MSG_DONTWAIT), heads[at].length);
		CHECK_EQ(send(sender, data, heads[at].length, MSG_MORE), heads[at].length);
		CHECK_EQ(send(sender, data, 100, MSG_MORE), 100);
		MUST(getsockopt(sender, SOL_SOCKET, SO_MEMINFO, memory, &length));
		CHECK_EQ(memory[2], heads[at].memory + 100);
		MUST(ioctl(sender, SIOCOUTQ, &held));
		CHECK_EQ(held, heads[at].memory + 100);
		CHECK_EQ(send(sender, data, 0, 0), 0);
		MUST(ioctl(sender, SIOCOUTQ, &held));
		CHECK_EQ(held, 0);
		CHECK_EQ(recv(fd, data, sizeof(data), MSG_DONTWAIT), heads[at].length + 100 > 40000 ? 40000 : heads[at].length + 100);
	}
}

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

TEST(no_port_is_free)
{
	int taken = new_socket(AF_INET, SOCK_DGRAM), stream = listener_4(1), fd, port;
	uint32_t range;

	MUST(bind_4(taken, "127.0.0.1", 0));
	port = port_of(taken);
	range = (uint32_t)port | (uint32_t)port << 16;
	fd = new_socket(AF_INET, SOCK_DGRAM);
	MUST(setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)));
	CHECK_ERRNO(bind_4(fd, "127.0.0.1", 0), EADDRINUSE);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), EAGAIN);
	CHECK_EQ(port_of(fd), 0);
	CHECK_ERRNO(send(fd, "x", 1, 0), EAGAIN);
	port = port_of(stream);
	range = (uint32_t)port | (uint32_t)port << 16;
	fd = new_socket(AF_INET, SOCK_STREAM);
	MUST(setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)));
	CHECK_ERRNO(bind_4(fd, "127.0.0.1", 0), EADDRINUSE);
	CHECK_ERRNO(listen(fd, 1), EADDRINUSE);
	CHECK_ERRNO(connect_4(fd, "127.0.0.1", port), EADDRNOTAVAIL);
}

TEST(a_connection_of_ipv6_keeps_the_wildcard_off)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6}, loopback = {.sin6_family = AF_INET6};
	socklen_t length = sizeof(any);
	int fd = new_socket(AF_INET6, SOCK_DGRAM), port, listener;

	MUST(bind(fd, (void *)&any, sizeof(any)));
	MUST(getsockname(fd, (void *)&any, &length));
	port = ntohs(any.sin6_port);
	loopback.sin6_addr = in6addr_loopback;
	loopback.sin6_port = htons(9);
	MUST(connect(fd, (void *)&loopback, sizeof(loopback)));
	CHECK_ERRNO(bind_4(new_socket(AF_INET, SOCK_DGRAM), "0.0.0.0", port), EADDRINUSE);
	CHECK_ERRNO(bind_4(new_socket(AF_INET, SOCK_DGRAM), "127.0.0.6", port), EADDRINUSE);
	CHECK_EQ(bind_4(new_socket(AF_INET, SOCK_DGRAM), "127.0.0.1", port), 0);
	listener = new_socket(AF_INET6, SOCK_STREAM);
	loopback.sin6_port = 0;
	MUST(bind(listener, (void *)&loopback, sizeof(loopback)));
	MUST(listen(listener, 1));
	MUST(getsockname(listener, (void *)&loopback, &length));
	fd = new_socket(AF_INET6, SOCK_STREAM);
	MUST(connect(fd, (void *)&loopback, sizeof(loopback)));
	MUST(getsockname(fd, (void *)&any, &length));
	port = ntohs(any.sin6_port);
	CHECK_ERRNO(bind_4(new_socket(AF_INET, SOCK_STREAM), "0.0.0.0", port), EADDRINUSE);
	CHECK_EQ(bind_4(new_socket(AF_INET, SOCK_STREAM), "127.0.0.1", port), 0);
}
