/* Extension headers of IPv6, of all packets of a socket or of one, and who is told of them (ipv6(7), RFC 3542). */
#include "own_network.h"

#include <arpa/inet.h>
#include <linux/in6.h>
#include <netinet/in.h>

static struct sockaddr_in6 target = {.sin6_family = AF_INET6};
static unsigned char options[8] = {0, 0, 1, 4}, unknown[8] = {0, 0, 0x1e, 4}, wrong[8] = {0, 0, 0x9e, 4};
static unsigned char padded[16] = {0, 1, 5, 2, 0, 0, 1, 8};
static unsigned char body[32];
static int told_type;

static int receiver(void)
{
	int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0)), on = 1;

	target.sin6_addr = in6addr_loopback;
	target.sin6_port = htons(7000);
	MUST(bind(fd, (void *)&target, sizeof(target)));
	MUST(setsockopt(fd, SOL_IPV6, IPV6_RECVHOPOPTS, &on, sizeof(on)));
	MUST(setsockopt(fd, SOL_IPV6, IPV6_RECVDSTOPTS, &on, sizeof(on)));
	return fd;
}

/* How many control messages come with the next datagram; the last one is in `told_type` and `body`. */
static int hear(int fd)
{
	char byte, control[512];
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int count = 0;

	if (recvmsg(fd, &message, 0) == -1)
		return -errno;
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at), count++) {
		told_type = at->cmsg_type;
		memcpy(body, CMSG_DATA(at), at->cmsg_len - CMSG_LEN(0));
	}
	return count;
}

static int say_with(int fd, int type, void *header, int size)
{
	char control[256] = {0};
	struct iovec part = {"x", 1};
	struct msghdr message = {.msg_name = &target, .msg_namelen = sizeof(target), .msg_iov = &part, .msg_iovlen = 1,
				 .msg_control = control, .msg_controllen = CMSG_SPACE(size)};
	struct cmsghdr *first = (void *)control;

	first->cmsg_level = SOL_IPV6;
	first->cmsg_type = type;
	first->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(first), header, size);
	return ERRNO_OF(sendmsg(fd, &message, 0));
}

ROOTS_TEST(headers_of_one_packet)
{
	int fd, heard, on = 1;

	enter();
	heard = receiver();
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	CHECK_EQ(say_with(fd, IPV6_HOPOPTS, options, 8), 0);
	CHECK_EQ(hear(heard), 1);
	CHECK_EQ(told_type, IPV6_HOPOPTS);
	CHECK_EQ(body[0], IPPROTO_UDP);
	CHECK_EQ(body[2], 1);
	CHECK_EQ(say_with(fd, IPV6_DSTOPTS, unknown, 8), 0);
	CHECK_EQ(hear(heard), 1);
	CHECK_EQ(told_type, IPV6_DSTOPTS);
	CHECK_EQ(body[2], 0x1e);
	/* What has too much padding is dropped, and so is what has to be known and isn't. */
	CHECK_EQ(say_with(fd, IPV6_HOPOPTS, padded, 16), 0);
	CHECK_EQ(hear(heard), -EAGAIN);
	MUST(setsockopt(fd, SOL_IPV6, IPV6_RECVERR, &on, sizeof(on)));
	CHECK_EQ(say_with(fd, IPV6_DSTOPTS, wrong, 8), 0);
	CHECK_EQ(hear(heard), -EAGAIN);
	CHECK_EQ(say_with(fd, IPV6_DSTOPTS, options, 8), EPROTO);
	/* A header for a route has none to go with; routes themselves are of kinds that are gone. */
	CHECK_EQ(say_with(fd, IPV6_RTHDRDSTOPTS, options, 8), 0);
	CHECK_EQ(hear(heard), 0);
	CHECK_EQ(say_with(fd, IPV6_RTHDR, options, 8), EINVAL);
	CHECK_EQ(say_with(fd, IPV6_HOPOPTS, padded, 8), EINVAL);
	CHECK_EQ(say_with(fd, IPV6_2292HOPOPTS, options, 8), 0);
	MUST(setsockopt(heard, SOL_IPV6, IPV6_2292HOPOPTS, &on, sizeof(on)));
	CHECK_EQ(hear(heard), 2);
	CHECK_EQ(told_type, IPV6_2292HOPOPTS);
}

ROOTS_TEST(headers_of_all_packets)
{
	static const int names[] = {IPV6_HOPOPTS, IPV6_DSTOPTS, IPV6_RTHDRDSTOPTS};
	unsigned char found[64], too_long[8] = {0, 5};
	socklen_t size;
	int fd, heard;

	enter();
	heard = receiver();
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	for (int at = 0; at < 3; at++) {
		size = sizeof(found);
		CHECK_EQ(getsockopt(fd, SOL_IPV6, names[at], found, &size), 0);
		CHECK_EQ(size, 0);
		CHECK_EQ(setsockopt(fd, SOL_IPV6, names[at], options, 8), 0);
		size = sizeof(found);
		CHECK_EQ(getsockopt(fd, SOL_IPV6, names[at], found, &size), 0);
		CHECK_EQ(size, 8);
		CHECK(memcmp(found, options, 8) == 0);
		CHECK_ERRNO(setsockopt(fd, SOL_IPV6, names[at], options, 7), EINVAL);
		CHECK_ERRNO(setsockopt(fd, SOL_IPV6, names[at], options, 4), EINVAL);
		CHECK_ERRNO(setsockopt(fd, SOL_IPV6, names[at], too_long, 8), EINVAL);
		CHECK_ERRNO(setsockopt(fd, SOL_IPV6, names[at], NULL, 8), EINVAL);
		CHECK_ERRNO(setsockopt(fd, SOL_IPV6, names[at], options, 2048), EINVAL);
		MUST(sendto(fd, "x", 1, 0, (void *)&target, sizeof(target)));
		CHECK_EQ(hear(heard), names[at] != IPV6_RTHDRDSTOPTS);
		CHECK_EQ(setsockopt(fd, SOL_IPV6, names[at], NULL, 0), 0);
		size = sizeof(found);
		CHECK_EQ(getsockopt(fd, SOL_IPV6, names[at], found, &size), 0);
		CHECK_EQ(size, 0);
	}
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_RTHDR, options, 8), EINVAL);
	/* Both, in their order. */
	MUST(setsockopt(fd, SOL_IPV6, IPV6_DSTOPTS, options, 8));
	MUST(setsockopt(fd, SOL_IPV6, IPV6_HOPOPTS, options, 8));
	MUST(sendto(fd, "x", 1, 0, (void *)&target, sizeof(target)));
	CHECK_EQ(hear(heard), 2);
	CHECK_EQ(told_type, IPV6_DSTOPTS);
	CHECK_EQ(body[0], IPPROTO_UDP);
	/* What one packet has of its own, it has instead. */
	CHECK_EQ(say_with(fd, IPV6_HOPOPTS, options, 8), 0);
	CHECK_EQ(hear(heard), 1);
	CHECK_EQ(setsockopt(fd, SOL_IPV6, IPV6_2292PKTOPTIONS, NULL, 0), 0);
	MUST(sendto(fd, "x", 1, 0, (void *)&target, sizeof(target)));
	CHECK_EQ(hear(heard), 0);
	MUST(setresuid(-1, 1000, -1));
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_HOPOPTS, options, 8), EPERM);
	CHECK_EQ(say_with(fd, IPV6_DSTOPTS, options, 8), EPERM);
}
