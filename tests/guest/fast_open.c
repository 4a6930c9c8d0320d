/* TCP Fast Open: connections that are made by what is sent on them. */
#include "number_option.h"
#include "own_network.h"

#include <netinet/tcp.h>
#include <poll.h>

#ifndef TCP_FASTOPEN_CONNECT
#define TCP_FASTOPEN_CONNECT 30
#endif
#ifndef TCP_FASTOPEN_KEY
#define TCP_FASTOPEN_KEY 33
#endif
#define SYN_DATA 32
#define MODE "/proc/sys/net/ipv4/tcp_fastopen"
#define KEY "/proc/sys/net/ipv4/tcp_fastopen_key"

static struct sockaddr_in where;

static int stream(int flags)
{
	return (int)MUST(socket(AF_INET, SOCK_STREAM | flags, 0));
}

/* Listens somewhere on the loopback, where all cases connect to. */
static int listener(int queue)
{
	socklen_t length = sizeof where;
	int fd = stream(0);

	where = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	MUST(bind(fd, (struct sockaddr *)&where, sizeof where));
	if (queue)
		MUST(set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, queue));
	MUST(listen(fd, 8));
	MUST(getsockname(fd, (struct sockaddr *)&where, &length));
	return fd;
}

static ssize_t open_with(int fd, const char *text, int flags)
{
	return sendto(fd, text, strlen(text), MSG_FASTOPEN | flags, (struct sockaddr *)&where, sizeof where);
}

static int connect_it(int fd)
{
	return connect(fd, (struct sockaddr *)&where, sizeof where);
}

static int had_data_in_syn(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof info;

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
	return (info.tcpi_options & SYN_DATA) != 0;
}

/* What the next connection says, and whether that came with its SYN (128). */
static int accepted(int from, char *text)
{
	int fd = (int)MUST(accept(from, NULL, NULL)), result;

	memset(text, 0, 16);
	result = (int)MUST(recv(fd, text, 15, 0));
	result |= had_data_in_syn(fd) ? 128 : 0;
	MUST(close(fd));
	return result;
}

static int there_within(int fd, int events)
{
	struct pollfd one = {fd, (short)events, 0};

	MUST(poll(&one, 1, 2000));
	return one.revents;
}

TEST(sending_connects)
{
	int from = listener(0), fd = stream(0);
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in peer;
	socklen_t length = sizeof peer;
	char text[16];

	CHECK_ERRNO(sendto(fd, "x", 1, MSG_FASTOPEN, NULL, 0), EINVAL);
	CHECK_ERRNO(sendto(fd, "x", 1, MSG_FASTOPEN, &none, sizeof none), EOPNOTSUPP);
	where.sin_family = AF_INET6;
	CHECK_ERRNO(open_with(fd, "x", 0), EAFNOSUPPORT);
	where.sin_family = AF_INET;
	CHECK_EQ(open_with(fd, "hello", 0), 5);
	CHECK_EQ(getpeername(fd, (struct sockaddr *)&peer, &length), 0);
	CHECK_EQ(peer.sin_port, where.sin_port);
	CHECK_ERRNO(open_with(fd, "again", 0), EISCONN);
	CHECK_ERRNO(connect_it(fd), EISCONN);
	CHECK_EQ(send(fd, "!", 1, 0), 1);
	sleep_ms(10);
	CHECK_EQ(accepted(from, text), 6);
	CHECK_STRING(text, "hello!");
	CHECK_EQ(had_data_in_syn(fd), 0);
	MUST(close(fd));
	fd = stream(0);
	/* Nothing to send is enough to connect. */
	CHECK_EQ(open_with(fd, "", 0), 0);
	CHECK_EQ(send(fd, "one", 3, 0), 3);
	CHECK_EQ(accepted(from, text), 3);
	CHECK_ERRNO(open_with(from, "x", 0), EISCONN);
	MUST(close(from));
	fd = stream(0);
	CHECK_ERRNO(open_with(fd, "nobody", 0), ECONNREFUSED);
}

/* Without a cookie nothing goes with the SYN: who doesn't wait has to send it again. */
TEST(without_waiting)
{
	int from = listener(0), fd = stream(SOCK_NONBLOCK);
	char text[16];

	CHECK_ERRNO(open_with(fd, "hello", 0), EINPROGRESS);
	CHECK_EQ(there_within(fd, POLLOUT), POLLOUT);
	CHECK_EQ(send(fd, "then", 4, 0), 4);
	CHECK_EQ(accepted(from, text), 4);
	CHECK_STRING(text, "then");
	MUST(close(fd));
	fd = stream(0);
	CHECK_ERRNO(open_with(fd, "hello", MSG_DONTWAIT), EINPROGRESS);
	CHECK_EQ(there_within(fd, POLLOUT), POLLOUT);
	CHECK_EQ(connect_it(fd), 0);
}

TEST(more_than_fits)
{
	int from = listener(0), fd, status;
	size_t length = 6 << 20, got = 0;
	char *much = calloc(1, length);
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		fd = stream(0);
		_exit(sendto(fd, much, length, MSG_FASTOPEN, (struct sockaddr *)&where, sizeof where) != (ssize_t)length);
	}
	fd = (int)MUST(accept(from, NULL, NULL));
	for (;;) {
		ssize_t count = MUST(recv(fd, much, length, 0));

		if (count == 0)
			break;
		got += (size_t)count;
	}
	CHECK_EQ(got, length);
	status = wait_for(child);
	CHECK_EQ(status, EXITED(0));
	free(much);
}

TEST(options)
{
	int fd = stream(0), from = listener(0);
	char keys[64];
	socklen_t length = sizeof keys;

	CHECK_EQ(get_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), 0);
	CHECK_EQ(set_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), 0);
	CHECK_EQ(get_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), 1);
	CHECK_ERRNO(set_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 2), EINVAL);
	CHECK_ERRNO(set_option(from, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), EINVAL);
	CHECK_EQ(set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, 7), 0);
	CHECK_EQ(get_option(fd, IPPROTO_TCP, TCP_FASTOPEN), 7);
	CHECK_ERRNO(set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, -1), EINVAL);
	/* The network's keys aren't told here. */
	CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, &length), 0);
	CHECK_EQ(length, 0);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, 15), EINVAL);
	memset(keys, 'a', 32);
	CHECK_EQ(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, 32), 0);
	memset(keys, 0, sizeof keys);
	length = sizeof keys;
	CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, &length), 0);
	CHECK_EQ(length, 32);
	CHECK_EQ(keys[31], 'a');
	length = 4;
	CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, &length), 0);
	CHECK_EQ(length, 4);
	CHECK_EQ(connect_it(fd), 0);
	CHECK_ERRNO(set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, 1), EINVAL);
}

/* A network of the case's own, whose servers take what comes with a SYN. */
static int enter_with_mode(const char *mode)
{
	if (geteuid() != 0)
		return 0;
	enter();
	MUST(write_text(MODE, mode));
	return 1;
}

static long counted(const char *name)
{
	static char names[8192], values[8192];
	FILE *file = fopen("/proc/net/netstat", "r");
	char *each, *name_end, *value_end, *value;
	long found = -1;

	MUST(file == NULL ? -1 : 0);
	MUST(fgets(names, sizeof names, file) == NULL ? -1 : 0);
	MUST(fgets(values, sizeof values, file) == NULL ? -1 : 0);
	fclose(file);
	for (each = strtok_r(names, " \n", &name_end), value = strtok_r(values, " \n", &value_end); each && value;
	     each = strtok_r(NULL, " \n", &name_end), value = strtok_r(NULL, " \n", &value_end))
		if (!strcmp(each, name))
			found = atol(value);
	return found;
}

TEST(data_in_the_syn)
{
	char text[16], key[128] = "";
	int from, fd, keys;

	if (!enter_with_mode("3\n"))
		return;
	from = listener(4);
	fd = stream(0);
	/* The first one asks for a cookie. */
	CHECK_EQ(open_with(fd, "first", 0), 5);
	CHECK_EQ(accepted(from, text), 5);
	CHECK_EQ(had_data_in_syn(fd), 0);
	CHECK_EQ(counted("TCPFastOpenCookieReqd"), 1);
	MUST(close(fd));
	fd = stream(SOCK_NONBLOCK);
	CHECK_EQ(open_with(fd, "second", 0), 6);
	CHECK_EQ(accepted(from, text), 128 | 6);
	CHECK_STRING(text, "second");
	CHECK_EQ(had_data_in_syn(fd), 1);
	CHECK_EQ(counted("TCPFastOpenActive"), 1);
	CHECK_EQ(counted("TCPFastOpenPassive"), 1);
	MUST(close(fd));
	/* What connect(2) left to be done, a write does. */
	fd = stream(SOCK_NONBLOCK);
	MUST(set_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1));
	CHECK_EQ(connect_it(fd), 0);
	CHECK_ERRNO(connect_it(fd), EISCONN);
	CHECK_EQ(there_within(fd, POLLOUT), POLLOUT);
	CHECK_EQ(write(fd, "third", 5), 5);
	CHECK_EQ(accepted(from, text), 128 | 5);
	CHECK_STRING(text, "third");
	CHECK_EQ(there_within(fd, POLLIN), POLLIN);
	MUST(close(fd));
	/* Another key doesn't know the cookie, but gives one of its own. */
	MUST(write_text(KEY, "01234567-89abcdef-00000001-00000002\n"));
	keys = (int)MUST(open(KEY, O_RDONLY));
	CHECK(read(keys, key, sizeof key - 1) > 0);
	CHECK_STRING(key, "01234567-89abcdef-00000001-00000002\n");
	fd = stream(0);
	CHECK_EQ(open_with(fd, "fourth", 0), 6);
	CHECK_EQ(accepted(from, text), 6);
	CHECK_EQ(counted("TCPFastOpenPassiveFail"), 1);
	MUST(close(fd));
	/* One that has become the second key still does. */
	MUST(write_text(KEY, "1-2-3-4,01234567-89abcdef-00000001-00000002"));
	fd = stream(0);
	CHECK_EQ(open_with(fd, "fifth", 0), 5);
	CHECK_EQ(accepted(from, text), 128 | 5);
	CHECK_EQ(counted("TCPFastOpenPassiveAltKey"), 1);
	MUST(close(fd));
	/* Keys are read as scanf reads them: no sign, "0x" as one likes, and nothing behind the last word matters. */
	CHECK_ERRNO(write_text(KEY, "1-2-3"), EINVAL);
	CHECK_ERRNO(write_text(KEY, "+1-2-3-4"), EINVAL);
	CHECK_ERRNO(write_text(KEY, "1_0-2-3-4"), EINVAL);
	CHECK_ERRNO(write_text(KEY, "1-2-3-4,"), EINVAL);
	CHECK_ERRNO(write_text(KEY, "1 -2-3-4"), EINVAL);
	MUST(write_text(KEY, " 0x1- 2-100000003-0x,5-6-7-8-9,and so on"));
	keys = (int)MUST(open(KEY, O_RDONLY));
	CHECK_EQ(read(keys, key, sizeof key - 1), 72);
	CHECK(memcmp(key, "00000001-00000002-00000003-00000000,", 36) == 0);
	MUST(close(keys));
	/* A listening socket without a queue takes none. */
	from = listener(0);
	fd = stream(0);
	CHECK_EQ(open_with(fd, "sixth", 0), 5);
	CHECK_EQ(accepted(from, text), 5);
	MUST(close(fd));
	MUST(write_text(MODE, "0"));
	fd = stream(0);
	CHECK_ERRNO(open_with(fd, "off", 0), EOPNOTSUPP);
	CHECK_ERRNO(set_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1), EOPNOTSUPP);
	CHECK_EQ(set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, 1), 0);
}

/* Who finds no place in the backlog hasn't sent anything yet. */
TEST(a_full_backlog)
{
	char text[16];
	int from, fd, fds[12], count = 0;

	if (!enter_with_mode("519\n"))
		return;
	from = listener(4);
	MUST(listen(from, 1));
	for (size_t at = 0; at < LENGTH(fds); at++) {
		fds[at] = stream(SOCK_NONBLOCK);
		if (open_with(fds[at], "x", 0) == 1)
			count++;
	}
	CHECK(count >= 2);
	for (int at = 0; at < 2; at++) {
		fd = (int)MUST(accept(from, NULL, NULL));
		CHECK_EQ(recv(fd, text, sizeof text, 0), 1);
	}
}

TEST(without_cookies)
{
	char text[16];
	int from, fd;

	if (!enter_with_mode("519\n"))
		return;
	from = listener(4);
	fd = stream(SOCK_NONBLOCK);
	CHECK_EQ(open_with(fd, "at once", 0), 7);
	CHECK_EQ(accepted(from, text), 128 | 7);
	MUST(close(fd));
	/* With 0x400 no option is needed either. */
	MUST(write_text(MODE, "1543"));
	from = listener(0);
	fd = stream(SOCK_NONBLOCK);
	CHECK_EQ(open_with(fd, "at once", 0), 7);
	CHECK_EQ(accepted(from, text), 128 | 7);
}
