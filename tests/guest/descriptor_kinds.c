/* What calls answer by the kind of file that a descriptor is of: found by tables of calls and kinds. */
#include "own_network.h"
#include "pseudo_terminal.h"

#include <linux/sockios.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#ifndef SYS_file_setattr
#define SYS_file_setattr 469
#endif

/* Be root of a user namespace where nobody else has an id, with a network of its own. */
static void become_inner_root(void)
{
	char user[64], group[64];

	snprintf(user, sizeof(user), "0 %u 1\n", geteuid());
	snprintf(group, sizeof(group), "0 %u 1\n", getegid());
	MUST(prctl(PR_SET_DUMPABLE, 1));
	MUST(unshare(CLONE_NEWUSER));
	MUST(write_text("/proc/self/setgroups", "deny"));
	MUST(write_text("/proc/self/uid_map", user));
	MUST(write_text("/proc/self/gid_map", group));
	enter();
}

static siginfo_t noted;

/* Security modules aren't asked about files that are nobody's, so that there's nobody to refuse either. */
TEST(names_of_security)
{
	int pair[2], nobodys[6], fd;
	sigset_t set = set_of(SIGUSR1);

	become_inner_root();
	nobodys[0] = (int)MUST(eventfd(0, 0));
	nobodys[1] = (int)MUST(timerfd_create(CLOCK_MONOTONIC, 0));
	nobodys[2] = (int)MUST(signalfd(-1, &set, 0));
	nobodys[3] = (int)MUST(epoll_create1(0));
	nobodys[4] = (int)MUST(inotify_init());
	nobodys[5] = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0));
	for (size_t at = 0; at < LENGTH(nobodys); at++) {
		CHECK_ERRNO(fsetxattr(nobodys[at], "security.a", "v", 1, 0), EOPNOTSUPP);
		CHECK_ERRNO(fremovexattr(nobodys[at], "security.a"), EOPNOTSUPP);
	}
	MUST(pipe(pair));
	CHECK_ERRNO(fsetxattr(pair[0], "security.a", "v", 1, 0), EPERM);
	CHECK_ERRNO(fremovexattr(pair[0], "security.a"), EPERM);
	CHECK_ERRNO(fremovexattr(pair[0], "security.capability"), EOPNOTSUPP);
	/* Sockets leave such names to a module, and say so where there is none. */
	fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_ERRNO(fsetxattr(fd, "security.a", "v", 1, 0), EPERM);
	CHECK_ERRNO(fremovexattr(fd, "security.a"), EPERM);
	CHECK_ERRNO(fremovexattr(fd, "security.capability"), EAGAIN);
	CHECK_ERRNO(fgetxattr(fd, "security.capability", NULL, 0), EOPNOTSUPP);
}

/* What was asked of interfaces' drivers alone. */
TEST(requests_about_interfaces)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd;

	become_inner_root();
	fd = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
	CHECK_ERRNO(ioctl(fd, SIOCSIFTXQLEN, &request), EPERM);
	CHECK_ERRNO(ioctl(fd, SIOCSIFMAP, &request), EPERM);
	CHECK_OK(ioctl(fd, SIOCGIFTXQLEN, &request));
	CHECK_EQ(request.ifr_qlen, 1000);
	CHECK_ERRNO(ioctl(fd, SIOCADDMULTI, &request), EINVAL);
	request.ifr_data = NULL;
	CHECK_ERRNO(ioctl(fd, SIOCSHWTSTAMP, &request), EFAULT);
	request.ifr_data = bad_address();
	CHECK_ERRNO(ioctl(fd, SIOCSHWTSTAMP, &request), EFAULT);
	request.ifr_name[0] = 'x';
	CHECK_ERRNO(ioctl(fd, SIOCSIFTXQLEN, &request), EPERM);
	CHECK_ERRNO(ioctl(fd, SIOCSHWTSTAMP, &request), ENODEV);
}

/* Raw sockets of IPv4 are bound without a look at the family. */
TEST(families_of_raw_sockets)
{
	struct sockaddr_in address = {.sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd, families[] = {AF_UNIX, AF_INET6, AF_NETLINK, 44};
	char echo[8] = {ICMP_ECHO};

	become_inner_root();
	for (size_t at = 0; at < LENGTH(families); at++) {
		fd = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
		address.sin_family = (sa_family_t)families[at];
		CHECK_ERRNO(bind(fd, (void *)&address, sizeof(address) - 1), EINVAL);
		CHECK_OK(bind(fd, (void *)&address, sizeof(address)));
		CHECK_ERRNO(sendto(fd, echo, 8, 0, (void *)&address, sizeof(address)), EAFNOSUPPORT);
		address.sin_family = AF_UNSPEC;
		CHECK_EQ(sendto(fd, echo, 8, 0, (void *)&address, sizeof(address)), 8);
		close(fd);
	}
	address.sin_addr.s_addr = htonl(0x08080808);
	fd = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	CHECK_ERRNO(bind(fd, (void *)&address, sizeof(address)), EADDRNOTAVAIL);
}

/* The header of a message is looked at before where it goes. */
TEST(order_of_pings)
{
	static const char range[] = "/proc/sys/net/ipv4/ping_group_range";
	char short_of_a_header[4] = {ICMP_ECHO};
	int fd;

	become_inner_root();
	MUST(write_text(range, "0 0"));
	fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	CHECK_ERRNO(send(fd, short_of_a_header, 4, MSG_OOB), EINVAL);
	CHECK_ERRNO(send(fd, bad_address(), 4, 0), EINVAL);
	CHECK_ERRNO(send(fd, bad_address(), 8, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(send(fd, bad_address(), 8, 0), EFAULT);
	CHECK_ERRNO(send(fd, bad_address(), 0x10000, 0), EMSGSIZE);
}

/* What takes rights over the machine, and what is told by how long a value is. */
TEST(options_of_sockets)
{
	int fd, number, one = 1, budget = 1, minus = -1;
	uint64_t rate = 0xffffffff, told = 0;
	socklen_t length;

	become_inner_root();
	fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &one, sizeof(one)), EPERM);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &one, sizeof(one)), EPERM);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)), EPERM);
	budget = 0;
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)));
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &minus, sizeof(minus)), EINVAL);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)));
	length = sizeof(told);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &told, &length));
	CHECK_EQ(told, 0xffffffff);
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &minus, sizeof(minus)));
	length = sizeof(told);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &told, &length));
	CHECK_EQ(told, UINT64_MAX);
	/* Only TCP and UDP send without a copy. */
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)));
	close(fd);
	fd = (int)MUST(socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)), EOPNOTSUPP);
	close(fd);
	MUST(write_text("/proc/sys/net/ipv4/ping_group_range", "0 0"));
	fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6));
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)), EOPNOTSUPP);
	length = sizeof(number);
	CHECK_OK(getsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &number, &length));
	CHECK_EQ(number, 1);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_2292PKTOPTIONS, NULL, 4), EFAULT);
	CHECK_OK(setsockopt(fd, SOL_IPV6, IPV6_2292PKTOPTIONS, NULL, 0));
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, 200, bad_address(), 4), EFAULT);
}

/* A connection of IPv6 that's asked by IPv4's option, and how soon what has come is acknowledged. */
TEST(what_a_connection_says)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t length = sizeof(address);
	int server, client, accepted, mtu, number;
	static char much[70000];
	struct tcp_info info;
	char byte;

	become_inner_root();
	server = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	MUST(bind(server, (void *)&address, sizeof(address)));
	MUST(listen(server, 1));
	MUST(getsockname(server, (void *)&address, &length));
	client = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	MUST(connect(client, (void *)&address, sizeof(address)));
	accepted = (int)MUST(accept(server, NULL, NULL));
	length = sizeof(mtu);
	CHECK_OK(getsockopt(client, SOL_IP, IP_MTU, &mtu, &length));
	CHECK_EQ(mtu, 65536);
	length = sizeof(info);
	MUST(getsockopt(accepted, SOL_TCP, TCP_INFO, &info, &length));
	CHECK_EQ(info.tcpi_ato, 0);
	MUST(write(client, "x", 1));
	CHECK_EQ(read(accepted, &byte, 1), 1);
	length = sizeof(info);
	MUST(getsockopt(accepted, SOL_TCP, TCP_INFO, &info, &length));
	CHECK_EQ(info.tcpi_ato, 40000);
	/* Who has sent a part isn't told that the rest can't go: the next one is. */
	close(accepted);
	length = sizeof(number);
	CHECK_OK(getsockopt(client, SOL_TCP, TCP_MAXSEG, &number, &length));
	CHECK_EQ(number, 32768);
	CHECK(send(client, much, sizeof(much), MSG_NOSIGNAL) > 0);
	length = sizeof(number);
	CHECK_OK(getsockopt(client, SOL_SOCKET, SO_ERROR, &number, &length));
	CHECK_EQ(number, EPIPE);
	CHECK_ERRNO(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
}

static void note_sender(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	noted = *info;
}

/* What a program says of the sender is looked at only where another user namespace is told. */
TEST(senders_that_nobody_knows)
{
	siginfo_t info = {.si_code = SI_QUEUE};
	int fd;

	become_inner_root();
	handle_info(SIGUSR1, note_sender, 0);
	info.si_pid = 77;
	info.si_uid = 88;
	MUST(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
	CHECK_EQ(noted.si_uid, 88);
	CHECK_EQ(noted.si_pid, 77);
	info.si_uid = 99;
	info.si_signo = SIGUSR1;
	fd = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0));
	MUST(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, &info, 0));
	CHECK_EQ(noted.si_uid, 99);
}

TEST(a_place_alone_has_no_flags_to_set)
{
	char none[24] = {0};
	int fd;

	enter_scratch();
	write_file("file", "", 0600);
	fd = (int)MUST(open("file", O_PATH));
	CHECK_ERRNO(syscall(SYS_file_setattr, fd, "", none, sizeof(none), AT_EMPTY_PATH), EBADF);
	CHECK_ERRNO(syscall(SYS_file_setattr, 900, "", none, sizeof(none), AT_EMPTY_PATH), EBADF);
}

/* A length that's negative as a number with a sign, and devices, whose place doesn't move. */
TEST(edges_of_splice)
{
	int pair[2], full[2], fd, null;
	loff_t offset = 0;

	enter_scratch();
	write_file("file", "text", 0600);
	fd = (int)MUST(open("file", O_RDWR));
	null = (int)MUST(open("/dev/null", O_WRONLY));
	MUST(pipe2(pair, O_NONBLOCK));
	MUST(pipe2(full, O_NONBLOCK));
	CHECK_ERRNO(splice(pair[0], NULL, fd, NULL, SIZE_MAX, 0), EINVAL);
	CHECK_ERRNO(splice(pair[0], NULL, full[1], NULL, SIZE_MAX, 0), EAGAIN);
	CHECK_ERRNO(splice(fd, NULL, pair[1], NULL, SIZE_MAX, 0), EINVAL);
	MUST(write(pair[1], "abc", 3));
	CHECK_ERRNO(splice(pair[0], NULL, null, NULL, SIZE_MAX, 0), EINVAL);
	CHECK_EQ(splice(pair[0], NULL, full[1], NULL, SIZE_MAX, 0), 3);
	CHECK_EQ(splice(full[0], NULL, null, &offset, 2, 0), 2);
	CHECK_EQ(offset, 0);
	CHECK_EQ(splice(full[0], NULL, fd, &offset, 2, 0), 1);
	CHECK_EQ(offset, 1);
}

TEST(names_of_queues)
{
	static char name[2 * PATH_MAX];

	memset(name, 'a', sizeof(name) - 1);
	name[0] = '/';
	CHECK_ERRNO(syscall(SYS_mq_open, name, O_RDWR, 0600, NULL), ENAMETOOLONG);
	CHECK_ERRNO(syscall(SYS_mq_open, name, O_RDWR | O_CREAT, 0600, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_unlink, name), ENAMETOOLONG);
	name[PATH_MAX - 1] = '\0';
	CHECK_ERRNO(syscall(SYS_mq_unlink, name), EACCES);
}

/* Memory of some bytes, behind which there is none. */
static char *memory_of(size_t bytes)
{
	size_t whole = (bytes + 4095) & ~(size_t)4095;
	char *start = mmap(NULL, whole + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(munmap(start + whole, 4096));
	return start + whole - bytes;
}

static void read_to_the_end_of_memory(const char *path, ssize_t wanted)
{
	int fd = (int)MUST(open(path, O_RDONLY));
	char *memory = memory_of(2);

	CHECK_EQ(read(fd, memory, 8) == wanted || (wanted == -1 && errno == EFAULT), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), wanted == -1 ? 0 : wanted);
	CHECK_EQ(pread(fd, memory, 8, 0) == wanted || (wanted == -1 && errno == EFAULT), 1);
	close(fd);
}

TEST(where_memory_ends)
{
	struct iovec parts[2] = {{memory_of(4), 4}, {bad_address(), 4}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1, .msg_control = bad_address(), .msg_controllen = 24};
	struct termios settings;
	int fd;

	/* Some files are handed over in part, some as a whole or not at all. */
	setenv("SOMETHING", "else", 1);
	read_to_the_end_of_memory("/proc/self/stat", 2);
	read_to_the_end_of_memory("/proc/self/auxv", 2);
	read_to_the_end_of_memory("/proc/self/environ", -1);
	read_to_the_end_of_memory("/proc/self/pagemap", -1);
	read_to_the_end_of_memory("/proc/sys/kernel/pid_max", -1);
	fd = (int)MUST(open("/proc/sys/kernel/pid_max", O_RDONLY));
	CHECK_ERRNO(readv(fd, parts, 2), EFAULT);
	close(fd);
	fd = (int)MUST(open("/proc/self/pagemap", O_RDONLY));
	parts[1] = (struct iovec){memory_of(4), 4};
	CHECK_ERRNO(preadv(fd, parts, 2, 0), EINVAL);
	close(fd);
	/* Control messages are read before the socket is looked at. */
	fd = (int)MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	CHECK_ERRNO(sendmsg(fd, &message, 0), EFAULT);
	/* A terminal is written 2 KiB at a time. */
	open_terminal();
	MUST(tcgetattr(slave, &settings));
	cfmakeraw(&settings);
	MUST(tcsetattr(slave, TCSANOW, &settings));
	CHECK_EQ(write(slave, memory_of(5000), 6000), 4096);
	CHECK_ERRNO(write(slave, memory_of(1000), 6000), EFAULT);
}
