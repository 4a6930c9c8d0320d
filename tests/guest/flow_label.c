/* Flow labels of IPv6: leases, what is sent with a label, and what is received. */
#include "check.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define MANAGER 32
#define INFO 11
#define INFO_SEND 33
#define AUTOMATIC 70
enum { GET, PUT, RENEW };
enum { CREATE = 1, EXCLUSIVE_NEW = 2 };
enum { NOBODY_ELSE = 1, PROCESS = 2, USER = 3, ANY = 255 };

struct request {
	struct in6_addr destination;
	uint32_t label;
	uint8_t action, share;
	uint16_t flags, expires, linger;
	uint32_t pad;
};

static int manage(int fd, struct request *request)
{
	return setsockopt(fd, IPPROTO_IPV6, MANAGER, request, sizeof *request);
}

static int lease(int fd, uint32_t label, int share, int flags)
{
	struct request request = {.label = htonl(label), .share = (uint8_t)share, .flags = (uint16_t)flags};

	request.destination.s6_addr[0] = 0xfd;
	request.destination.s6_addr[15] = 1;
	return manage(fd, &request);
}

static int put(int fd, uint32_t label)
{
	struct request request = {.label = htonl(label), .action = PUT};

	return manage(fd, &request);
}

static int new_socket(void)
{
	return (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
}

/* Labels stay for a while: each case takes its own, by the process. */
static uint32_t own(int number)
{
	return (uint32_t)((getpid() << 4 | number) & 0xfffff) | 1;
}

TEST(leases)
{
	int fd = new_socket(), other = new_socket();
	uint32_t one = own(2), two = own(4);
	struct request request = {.action = GET, .flags = CREATE, .share = ANY};

	CHECK_ERRNO(lease(fd, one, ANY, 0), ENOENT);
	CHECK_ERRNO(put(fd, one), ESRCH);
	CHECK_ERRNO(lease(fd, 0x1fffff, ANY, CREATE), EINVAL);
	CHECK_ERRNO(lease(fd, one, 7, CREATE), EINVAL);
	CHECK_ERRNO(manage(fd, &request), EINVAL);
	CHECK_EQ(lease(fd, one, ANY, CREATE), 0);
	CHECK_EQ(lease(other, one, ANY, 0), 0);
	CHECK_EQ(lease(fd, one, ANY, CREATE), 0);
	CHECK_ERRNO(lease(fd, one, ANY, CREATE | EXCLUSIVE_NEW), EEXIST);
	CHECK_ERRNO(lease(fd, one, USER, CREATE), EPERM);
	CHECK_EQ(put(fd, one), 0);
	CHECK_EQ(put(fd, one), 0);
	CHECK_ERRNO(put(fd, one), ESRCH);
	CHECK_EQ(lease(fd, two, NOBODY_ELSE, CREATE), 0);
	CHECK_ERRNO(lease(fd, two, NOBODY_ELSE, CREATE), EPERM);
	CHECK_EQ(put(fd, two), 0);
	/* It isn't another's for a while yet. */
	CHECK_ERRNO(lease(other, two, ANY, CREATE), EPERM);
	request = (struct request){.label = htonl(two), .action = RENEW, .share = NOBODY_ELSE};
	CHECK_ERRNO(manage(fd, &request), ESRCH);
	request.label = htonl(one);
	CHECK_EQ(manage(other, &request), 0);
	request.action = 9;
	CHECK_ERRNO(manage(fd, &request), EINVAL);
	CHECK_ERRNO(setsockopt(fd, IPPROTO_IPV6, MANAGER, &request, 31), EINVAL);
}

TEST(labels_of_a_process)
{
	int fd = new_socket();
	uint32_t label = own(6);
	pid_t child;

	CHECK_EQ(lease(fd, label, PROCESS, CREATE), 0);
	CHECK_EQ(lease(fd, label, PROCESS, 0), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_ERRNO(lease(fd, label, PROCESS, 0), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(a_label_that_is_chosen)
{
	struct request request = {.action = GET, .flags = CREATE, .share = ANY};
	int fd = new_socket();

	request.destination.s6_addr[0] = 0xfd;
	CHECK_EQ(manage(fd, &request), 0);
	CHECK(request.label != 0 && (ntohl(request.label) & ~0xfffffu) == 0);
	CHECK_EQ(put(fd, ntohl(request.label)), 0);
}

static struct sockaddr_in6 where;
static int from, to;

static void make_pair(void)
{
	socklen_t length = sizeof where;
	int one = 1;

	where = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	to = new_socket();
	MUST(bind(to, (struct sockaddr *)&where, sizeof where));
	MUST(getsockname(to, (struct sockaddr *)&where, &length));
	from = new_socket();
	MUST(setsockopt(to, IPPROTO_IPV6, INFO, &one, sizeof one));
}

/* What the next datagram's label and class were; 0 if nothing is told. */
static uint32_t received(void)
{
	char data[16], control[64];
	struct iovec vector = {data, sizeof data};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *header;
	uint32_t info = 0;

	MUST(recvmsg(to, &message, 0));
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == INFO)
		memcpy(&info, CMSG_DATA(header), sizeof info);
	return ntohl(info);
}

static ssize_t send_with(uint32_t info, size_t size)
{
	char control[64] = "";
	struct iovec vector = {"x", 1};
	struct msghdr message = {.msg_name = &where, .msg_namelen = sizeof where, .msg_iov = &vector, .msg_iovlen = 1};
	struct cmsghdr *header = (struct cmsghdr *)control;

	info = htonl(info);
	header->cmsg_level = IPPROTO_IPV6;
	header->cmsg_type = INFO;
	header->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(header), &info, size);
	message.msg_control = control;
	message.msg_controllen = CMSG_SPACE(size);
	return sendmsg(from, &message, 0);
}

TEST(sent_and_received)
{
	uint32_t label = own(8), automatic;
	int on = 1, off = 0;

	make_pair();
	CHECK_EQ(lease(from, label, ANY, CREATE), 0);
	MUST(setsockopt(from, IPPROTO_IPV6, AUTOMATIC, &on, sizeof on));
	MUST(sendto(from, "x", 1, 0, (struct sockaddr *)&where, sizeof where));
	automatic = received();
	CHECK(automatic != 0 && automatic <= 0xfffff);
	/* The same for all of the flow. */
	MUST(sendto(from, "x", 1, 0, (struct sockaddr *)&where, sizeof where));
	CHECK_EQ(received(), automatic);
	MUST(setsockopt(from, IPPROTO_IPV6, AUTOMATIC, &off, sizeof off));
	MUST(sendto(from, "x", 1, 0, (struct sockaddr *)&where, sizeof where));
	CHECK_EQ(received(), 0);
	CHECK_EQ(send_with(label, 4), 1);
	CHECK_EQ(received(), label);
	CHECK_EQ(send_with(0xab00000 | label, 4), 1);
	CHECK_EQ(received(), label);
	CHECK_ERRNO(send_with(label, 3), EINVAL);
	where.sin6_flowinfo = htonl(label);
	MUST(sendto(from, "x", 1, 0, (struct sockaddr *)&where, sizeof where));
	CHECK_EQ(received(), 0);
	MUST(setsockopt(from, IPPROTO_IPV6, INFO_SEND, &on, sizeof on));
	MUST(sendto(from, "x", 1, 0, (struct sockaddr *)&where, sizeof where));
	CHECK_EQ(received(), label);
	MUST(connect(from, (struct sockaddr *)&where, sizeof where));
	MUST(send(from, "x", 1, 0));
	CHECK_EQ(received(), label);
}

/* Once a label is somebody's own, only who has leased one sends with it. */
TEST(labels_that_are_not_leased)
{
	make_pair();
	CHECK_EQ(lease(to, own(10), NOBODY_ELSE, CREATE), 0);
	CHECK_ERRNO(send_with(own(12), 4), EINVAL);
	CHECK_EQ(lease(from, own(12), ANY, CREATE), 0);
	CHECK_EQ(send_with(own(12), 4), 1);
	CHECK_EQ(received(), own(12));
}
