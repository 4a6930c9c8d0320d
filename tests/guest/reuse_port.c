/* SO_REUSEPORT's programs and SO_INCOMING_CPU: which of several sockets gets what arrives. */
#include "check.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif
#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif
#define MEMBERS 4

static struct sockaddr_in where;

/* Chooses by the first byte of what was sent. */
static struct sock_filter by_byte[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
	BPF_STMT(BPF_RET | BPF_A, 0),
};
/* Chooses by the length of it. */
static struct sock_filter by_length[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
	BPF_STMT(BPF_RET | BPF_A, 0),
};
static struct sock_filter by_processor[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)SKF_AD_OFF + SKF_AD_CPU),
	BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 2),
	BPF_STMT(BPF_RET | BPF_A, 0),
};

static int attach(int fd, struct sock_filter *filter, unsigned short count)
{
	struct sock_fprog program = {count, filter};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}

static int detach(int fd)
{
	int nothing = 0;

	return setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &nothing, sizeof nothing);
}

static int set(int fd, int name, int value)
{
	return setsockopt(fd, SOL_SOCKET, name, &value, sizeof value);
}

/* One more socket at the port that all share. */
static int member(int kind)
{
	socklen_t length = sizeof where;
	int fd = (int)MUST(socket(AF_INET, kind | SOCK_NONBLOCK, 0));

	MUST(set(fd, SO_REUSEPORT, 1));
	MUST(bind(fd, (struct sockaddr *)&where, sizeof where));
	if (kind == SOCK_STREAM)
		MUST(listen(fd, 8));
	MUST(getsockname(fd, (struct sockaddr *)&where, &length));
	return fd;
}

static void new_port(void)
{
	where = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void send_one(const char *text, size_t length)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));

	MUST(sendto(fd, text, length, 0, (struct sockaddr *)&where, sizeof where));
	MUST(close(fd));
}

/* Which of them has got a datagram; -1 for none. */
static int who_has(int *fds, int count)
{
	char text[64];

	for (int at = 0; at < count; at++)
		if (recv(fds[at], text, sizeof text, MSG_DONTWAIT) >= 0)
			return at;
	return -1;
}

TEST(a_program_chooses)
{
	int fds[MEMBERS + 1];

	new_port();
	for (int at = 0; at < MEMBERS; at++)
		fds[at] = member(SOCK_DGRAM);
	CHECK_EQ(attach(fds[2], by_byte, 2), 0);
	for (char at = 0; at < MEMBERS; at++) {
		send_one(&at, 1);
		CHECK_EQ(who_has(fds, MEMBERS), at);
	}
	/* One that there isn't leaves the choice to a hash. */
	send_one("\x7f", 1);
	CHECK(who_has(fds, MEMBERS) >= 0);
	/* What the program can't load is the first. */
	send_one("", 0);
	CHECK_EQ(who_has(fds, MEMBERS), 0);
	CHECK_EQ(attach(fds[0], by_length, 2), 0);
	send_one("\0\0\0", 3);
	CHECK_EQ(who_has(fds, MEMBERS), 3);
	/* Who comes later takes part. */
	fds[MEMBERS] = member(SOCK_DGRAM);
	send_one("four", 4);
	CHECK_EQ(who_has(fds, MEMBERS + 1), 4);
	CHECK_EQ(attach(fds[1], by_processor, 3), 0);
	if (sched_getcpu() >= 0) {
		cpu_set_t first;

		CPU_ZERO(&first);
		CPU_SET(0, &first);
		MUST(sched_setaffinity(0, sizeof first, &first));
		send_one("", 0);
		CHECK_EQ(who_has(fds, MEMBERS + 1), 2);
	}
	CHECK_EQ(detach(fds[4]), 0);
	CHECK_ERRNO(detach(fds[0]), ENOENT);
}

TEST(a_program_before_the_port)
{
	int one, other, fds[2];

	new_port();
	one = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	CHECK_ERRNO(attach(one, by_byte, 2), EINVAL);
	CHECK_ERRNO(detach(one), EINVAL);
	MUST(set(one, SO_REUSEPORT, 1));
	CHECK_ERRNO(detach(one), ENOENT);
	CHECK_EQ(attach(one, by_byte, 2), 0);
	CHECK_ERRNO(attach(one, by_byte, 0), EINVAL);
	CHECK_ERRNO(attach(one, by_byte, 1), EINVAL);
	CHECK_ERRNO(attach(one, bad_address(), 1), EFAULT);
	MUST(bind(one, (struct sockaddr *)&where, sizeof where));
	MUST(getsockname(one, (struct sockaddr *)&where, &(socklen_t){sizeof where}));
	other = member(SOCK_DGRAM);
	fds[0] = one;
	fds[1] = other;
	for (char at = 0; at < 2; at++) {
		send_one(&at, 1);
		CHECK_EQ(who_has(fds, 2), at);
	}
	/* A program of who came first outlives it. */
	MUST(close(one));
	fds[0] = other;
	fds[1] = member(SOCK_DGRAM);
	for (char at = 0; at < 2; at++) {
		send_one(&at, 1);
		CHECK_EQ(who_has(fds, 2), at);
	}
	/* Without SO_REUSEPORT at bind(2) there is no group. */
	new_port();
	one = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(bind(one, (struct sockaddr *)&where, sizeof where));
	CHECK_ERRNO(attach(one, by_byte, 2), EINVAL);
	one = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
	CHECK_ERRNO(attach(one, by_byte, 2), EINVAL);
}

TEST(connections_are_given_out)
{
	struct sock_filter to_second[] = {BPF_STMT(BPF_RET | BPF_K, 1)};
	int fds[3], client[4], got = 0;

	new_port();
	for (int at = 0; at < 3; at++)
		fds[at] = member(SOCK_STREAM);
	CHECK_EQ(attach(fds[0], to_second, 1), 0);
	for (size_t at = 0; at < LENGTH(client); at++) {
		client[at] = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
		MUST(connect(client[at], (struct sockaddr *)&where, sizeof where));
	}
	CHECK_ERRNO(accept(fds[0], NULL, NULL), EAGAIN);
	CHECK_ERRNO(accept(fds[2], NULL, NULL), EAGAIN);
	while (accept(fds[1], NULL, NULL) != -1)
		got++;
	CHECK_EQ(got, 4);
}

/* Of sockets without a program the one of the processor that a packet comes on. */
TEST(the_processor_s_own)
{
	int fds[3], value = 0;
	socklen_t length = sizeof value;
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	MUST(sched_setaffinity(0, sizeof first, &first));
	new_port();
	for (int at = 0; at < 3; at++)
		fds[at] = member(SOCK_DGRAM);
	CHECK_EQ(set(fds[0], SO_INCOMING_CPU, 77), 0);
	CHECK_EQ(set(fds[1], SO_INCOMING_CPU, 0), 0);
	CHECK_EQ(getsockopt(fds[1], SOL_SOCKET, SO_INCOMING_CPU, &value, &length), 0);
	CHECK_EQ(value, 0);
	for (int round = 0; round < 8; round++) {
		send_one("x", 1);
		CHECK_EQ(who_has(fds, 3), 1);
	}
	MUST(set(fds[1], SO_INCOMING_CPU, 78));
	send_one("x", 1);
	CHECK(who_has(fds, 3) >= 0);
}
