/* What of a tap's frames its program gets to read (Linux: drivers/net/tun.c). */
#include "check.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define FRAME 60

static unsigned char frame[200];

static int attach(int flags)
{
	struct ifreq request = {.ifr_name = "t0", .ifr_flags = flags};
	int fd = MUST(open("/dev/net/tun", O_RDWR | O_NONBLOCK));

	MUST(ioctl(fd, TUNSETIFF, &request));
	return fd;
}

/* A tap that is up. */
static int new_tap(int flags)
{
	struct ifreq request = {.ifr_name = "t0"};
	int fd, file, socket_;

	MUST(unshare(CLONE_NEWNET));
	fd = attach(IFF_TAP | IFF_NO_PI | flags);
	/* IPv6 would have frames of its own to send. */
	file = open("/proc/sys/net/ipv6/conf/t0/disable_ipv6", O_WRONLY);
	if (file != -1) {
		write_all(file, "1", 1);
		close(file);
	}
	socket_ = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	request.ifr_flags = IFF_UP;
	MUST(ioctl(socket_, SIOCSIFFLAGS, &request));
	close(socket_);
	return fd;
}

/* Sends a frame by the tap. */
static void send_to(const char *destination, int protocol)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)MUST(if_nametoindex("t0")), .sll_halen = 6};
	unsigned char data[FRAME] = {0};
	int fd = MUST(socket(AF_PACKET, SOCK_RAW, 0));

	memcpy(data, destination, 6);
	memcpy(data + 6, "\x02\0\0\0\0\x09", 6);
	data[12] = protocol >> 8;
	data[13] = protocol & 0xFF;
	MUST(sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&to, sizeof(to)));
	close(fd);
}

/* How long the next frame is, or -errno. */
static int next(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	ssize_t length;

	poll(&poller, 1, 300);
	length = read(fd, frame, sizeof(frame));
	return length == -1 ? -errno : (int)length;
}

static int comes(int fd, const char *destination)
{
	send_to(destination, 0x88B5);
	return next(fd) == FRAME;
}

#define STATION "\x02\0\0\0\0\x01"
#define OTHER "\x02\0\0\0\0\x02"
#define GROUP "\x01\0\x5e\0\0\x01"
#define OTHER_GROUP "\x01\0\x5e\0\0\x02"

struct stations {
	struct tun_filter header;
	unsigned char addresses[12][6];
};

TEST(frames_for_some_stations)
{
	struct stations wanted = {{.count = 1}, {STATION}};
	int fd = new_tap(0);

	CHECK(comes(fd, STATION));
	CHECK(comes(fd, OTHER));
	CHECK_EQ(ioctl(fd, TUNSETTXFILTER, &wanted), 1);
	CHECK(comes(fd, STATION));
	send_to(OTHER, 0x88B5);
	CHECK_EQ(next(fd), -EAGAIN);
	CHECK(!comes(fd, GROUP));
	wanted.header.flags = TUN_FLT_ALLMULTI;
	CHECK_EQ(ioctl(fd, TUNSETTXFILTER, &wanted), 1);
	CHECK(comes(fd, GROUP));
	CHECK(comes(fd, "\xff\xff\xff\xff\xff\xff"));
	CHECK(!comes(fd, OTHER));
	wanted.header.count = 0;
	CHECK_EQ(ioctl(fd, TUNSETTXFILTER, &wanted), 0);
	CHECK(comes(fd, OTHER));
}

TEST(more_stations_than_are_compared)
{
	struct stations wanted = {{.count = 9}, {{0}}};
	int fd = new_tap(0);

	for (int at = 0; at < 8; at++) {
		memcpy(wanted.addresses[at], OTHER, 6);
		wanted.addresses[at][4] = at;
	}
	memcpy(wanted.addresses[8], GROUP, 6);
	CHECK_EQ(ioctl(fd, TUNSETTXFILTER, &wanted), 8);
	CHECK(comes(fd, GROUP));
	CHECK(!comes(fd, OTHER_GROUP));
	CHECK(comes(fd, OTHER));
	CHECK(!comes(fd, STATION));
	/* Of others than groups there are no hashes: all frames come. */
	memcpy(wanted.addresses[8], "\x02\0\0\0\0\x22", 6);
	CHECK_EQ(ioctl(fd, TUNSETTXFILTER, &wanted), 0);
	CHECK(comes(fd, STATION));
	CHECK_ERRNO(ioctl(fd, TUNSETTXFILTER, bad_address()), EFAULT);
	CHECK(comes(fd, STATION));
}

/* Twenty bytes of what has the protocol 0x88B5, nothing of others. */
static struct sock_filter instructions[] = {
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x88B5, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 20),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

TEST(frames_that_a_program_lets_through)
{
	struct sock_fprog program = {LENGTH(instructions), instructions}, told = {0}, none = {0, instructions};
	int fd = new_tap(0);

	CHECK_OK(ioctl(fd, TUNGETFILTER, &told));
	CHECK_EQ(told.len, 0);
	CHECK_OK(ioctl(fd, TUNDETACHFILTER, NULL));
	CHECK_OK(ioctl(fd, TUNATTACHFILTER, &program));
	CHECK_OK(ioctl(fd, TUNGETFILTER, &told));
	CHECK_EQ(told.len, LENGTH(instructions));
	CHECK(told.filter == instructions);
	send_to(STATION, 0x88B5);
	CHECK_EQ(next(fd), 20);
	send_to(STATION, 0x88B6);
	CHECK_EQ(next(fd), -EAGAIN);
	CHECK_ERRNO(ioctl(fd, TUNATTACHFILTER, bad_address()), EFAULT);
	send_to(STATION, 0x88B5);
	CHECK_EQ(next(fd), 20);
	/* What isn't a program is told in place of the other one, which stays. */
	CHECK_ERRNO(ioctl(fd, TUNATTACHFILTER, &none), EINVAL);
	CHECK_OK(ioctl(fd, TUNGETFILTER, &told));
	CHECK_EQ(told.len, 0);
	send_to(STATION, 0x88B6);
	CHECK_EQ(next(fd), -EAGAIN);
	CHECK_OK(ioctl(fd, TUNDETACHFILTER, NULL));
	send_to(STATION, 0x88B6);
	CHECK_EQ(next(fd), FRAME);
	program.filter = bad_address();
	CHECK_ERRNO(ioctl(fd, TUNATTACHFILTER, &program), EFAULT);
	CHECK_ERRNO(ioctl(fd, TUNGETFILTER, bad_address()), EFAULT);
}

TEST(who_comes_later_has_no_program)
{
	struct sock_fprog program = {LENGTH(instructions), instructions}, told = {0};
	int fd = new_tap(0);

	CHECK_OK(ioctl(fd, TUNATTACHFILTER, &program));
	CHECK_OK(ioctl(fd, TUNSETPERSIST, 1));
	close(fd);
	fd = attach(IFF_TAP | IFF_NO_PI);
	send_to(STATION, 0x88B6);
	CHECK_EQ(next(fd), FRAME);
	CHECK_OK(ioctl(fd, TUNGETFILTER, &told));
	CHECK_EQ(told.len, LENGTH(instructions));
	CHECK_OK(ioctl(fd, TUNSETPERSIST, 0));
}

TEST(what_isnt_for_a_tun)
{
	struct sock_fprog program = {LENGTH(instructions), instructions};
	struct tun_filter none = {0};
	int fd, number = 7;

	MUST(unshare(CLONE_NEWNET));
	fd = attach(IFF_TUN);
	CHECK_ERRNO(ioctl(fd, TUNSETTXFILTER, &none), EINVAL);
	CHECK_ERRNO(ioctl(fd, TUNATTACHFILTER, &program), EINVAL);
	CHECK_ERRNO(ioctl(fd, TUNDETACHFILTER, NULL), EINVAL);
	CHECK_ERRNO(ioctl(fd, TUNGETFILTER, &program), EINVAL);
	CHECK_OK(ioctl(fd, TUNGETVNETLE, &number));
	CHECK_EQ(number, 0);
	number = 5;
	CHECK_OK(ioctl(fd, TUNSETVNETLE, &number));
	CHECK_OK(ioctl(fd, TUNGETVNETLE, &number));
	CHECK_EQ(number, 1);
	CHECK_ERRNO(ioctl(fd, TUNGETVNETBE, &number), EINVAL);
	CHECK_ERRNO(ioctl(fd, TUNSETVNETBE, &number), EINVAL);
	CHECK_ERRNO(ioctl(fd, TUNSETVNETLE, bad_address()), EFAULT);
}
