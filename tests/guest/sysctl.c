/* Who may open the kernel's parameters in /proc/sys, and that nobody makes names there. */
#include "check.h"

#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HOST_NAME "/proc/sys/kernel/hostname"
#define FORWARDING "/proc/sys/net/ipv4/ip_forward"
#define QUEUES "/proc/sys/kernel/msgmni"
#define NEXT_QUEUE "/proc/sys/kernel/msg_next_id"
#define MESSAGES "/proc/sys/fs/mqueue/msg_max"

static int writable(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		MUST(close(fd));
	return fd < 0 ? -1 : 0;
}

static void become_inner_root(int namespaces)
{
	MUST(setgid(NOBODY));
	MUST(setuid(NOBODY));
	MUST(prctl(PR_SET_DUMPABLE, 1));
	MUST(unshare(CLONE_NEWUSER | namespaces));
	MUST(write_text("/proc/self/uid_map", "0 65534 1\n"));
	MUST(write_text("/proc/self/setgroups", "deny"));
	MUST(write_text("/proc/self/gid_map", "0 65534 1\n"));
}

TEST(whose_files_these_are_says_nothing)
{
	setfsuid(NOBODY);
	setfsgid(NOBODY);
	CHECK_OK(writable(HOST_NAME));
	CHECK_OK(writable(FORWARDING));
	CHECK_OK(writable(QUEUES));
	CHECK_OK(writable(MESSAGES));
}

TEST(the_effective_user_counts)
{
	MUST(setresuid(NOBODY, NOBODY, 0));
	setfsuid(0);
	CHECK_ERRNO(writable(HOST_NAME), EACCES);
	CHECK_ERRNO(writable(FORWARDING), EACCES);
	CHECK_ERRNO(writable(QUEUES), EACCES);
	CHECK_ERRNO(writable(NEXT_QUEUE), EACCES);
	CHECK_ERRNO(writable(MESSAGES), EACCES);
	/* access(2) looks by the real user's files and capabilities, and that user is still effective. */
	CHECK_ERRNO(access(HOST_NAME, W_OK), EACCES);
	MUST(setresuid(NOBODY, 0, 0));
	CHECK_OK(access(HOST_NAME, W_OK));
	CHECK_OK(access(FORWARDING, W_OK));
	MUST(setresuid(0, NOBODY, 0));
	CHECK_ERRNO(access(HOST_NAME, W_OK), EACCES);
	/* Root's capabilities come back with its real id: it administers the network. */
	CHECK_OK(access(FORWARDING, W_OK));
}

TEST(who_owns_the_network_administers_it)
{
	become_inner_root(CLONE_NEWNET);
	CHECK_OK(write_text(FORWARDING, "1"));
	CHECK_ERRNO(writable(HOST_NAME), EACCES);
	CHECK_ERRNO(writable(QUEUES), EACCES);
}

TEST(who_owns_the_queues_bounds_them)
{
	become_inner_root(CLONE_NEWIPC);
	CHECK_OK(write_text(QUEUES, "100"));
	CHECK_OK(writable(NEXT_QUEUE));
	CHECK_OK(write_text(MESSAGES, "11"));
	CHECK_ERRNO(writable(FORWARDING), EACCES);
}

TEST(a_user_namespace_alone_owns_nothing)
{
	become_inner_root(0);
	CHECK_ERRNO(writable(FORWARDING), EACCES);
	CHECK_ERRNO(writable(QUEUES), EACCES);
	CHECK_ERRNO(writable(NEXT_QUEUE), EACCES);
	CHECK_ERRNO(writable(MESSAGES), EACCES);
}

static void make_nothing_in(const char *directory)
{
	char name[64];

	snprintf(name, sizeof(name), "%s/none", directory);
	CHECK_ERRNO(mkdir(name, 0700), ENOENT);
	CHECK_ERRNO(open(name, O_CREAT | O_WRONLY, 0600), ENOENT);
	CHECK_ERRNO(open(name, O_CREAT | O_EXCL | O_WRONLY, 0600), ENOENT);
	CHECK_ERRNO(symlink("somewhere", name), ENOENT);
	CHECK_ERRNO(link("/etc/passwd", name), ENOENT);
	CHECK_ERRNO(mkfifo(name, 0600), ENOENT);
	CHECK_ERRNO(rmdir(name), ENOENT);
}

TEST(names_are_absent_before_they_are_forbidden)
{
	CHECK_ERRNO(access("/proc/sys", W_OK), EACCES);
	CHECK_ERRNO(access("/proc/sys/kernel", W_OK), EACCES);
	CHECK_ERRNO(access("/proc/sys/net/ipv4", W_OK), EACCES);
	CHECK_OK(access("/proc/sys/kernel", R_OK | X_OK));
	make_nothing_in("/proc/sys/kernel");
	MUST(setuid(NOBODY));
	make_nothing_in("/proc");
	make_nothing_in("/proc/self");
	make_nothing_in("/proc/sys");
	make_nothing_in("/proc/sys/net");
}

#define THREADS "/proc/sys/kernel/threads-max"

TEST(how_many_threads_there_may_be)
{
	char text[20] = {0};
	int fd = (int)MUST(open(THREADS, O_RDWR));

	CHECK(read(fd, text, sizeof(text) - 1) > 1);
	CHECK_ERRNO(write_text(THREADS, "0\n"), EINVAL);
	CHECK_ERRNO(write_text(THREADS, "1073741824\n"), EINVAL);
	CHECK_ERRNO(write_text(THREADS, "-1\n"), EINVAL);
	CHECK_ERRNO(write_text(THREADS, "many\n"), EINVAL);
	/* What it is already: it's the host's too. */
	CHECK_OK(write_text(THREADS, text));
}

#define AUTOMATIC "/proc/sys/kernel/auto_msgmni"

static mode_t mode_of(const char *path)
{
	struct stat status;

	MUST(stat(path, &status));
	return status.st_mode & 07777;
}

TEST(only_who_restores_processes_sets_the_next_id)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{0}};

	MUST(unshare(CLONE_NEWIPC));
	CHECK_EQ(mode_of(NEXT_QUEUE), 0444);
	CHECK_OK(write_text(NEXT_QUEUE, "7"));
	MUST(syscall(SYS_capset, &header, data));
	CHECK_ERRNO(writable(NEXT_QUEUE), EACCES);
	CHECK_OK(writable(QUEUES));
}

TEST(the_limit_of_queues_is_not_automatic)
{
	char text[20] = {0};

	MUST(unshare(CLONE_NEWIPC));
	CHECK_EQ(mode_of(AUTOMATIC), 0644);
	CHECK_OK(write_text(AUTOMATIC, "1"));
	CHECK_EQ(read((int)MUST(open(AUTOMATIC, O_RDONLY)), text, sizeof(text)), 2);
	CHECK_STRING(text, "0\n");
	CHECK_ERRNO(write_text(AUTOMATIC, "2"), EINVAL);
	CHECK_ERRNO(write_text(AUTOMATIC, "-1"), EINVAL);
}

#define BACKLOG "/proc/sys/net/core/somaxconn"
#define QUEUE_LENGTH "/proc/sys/net/unix/max_dgram_qlen"
#define ONLY_6 "/proc/sys/net/ipv6/bindv6only"

static long value_of(const char *path)
{
	char text[24] = {0};
	int fd = (int)MUST(open(path, O_RDONLY));

	MUST(read(fd, text, sizeof(text) - 1));
	MUST(close(fd));
	return strtol(text, NULL, 10);
}

static const struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "\0somebody"};

/* How many get through to a listener that was asked for a backlog of `wanted`. */
static int connections_to(int listener, int wanted)
{
	int count = 0;

	MUST(listen(listener, wanted));
	while (connect((int)MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), (void *)&local, sizeof(local)) == 0)
		count++;
	CHECK_EQ(errno, EAGAIN);
	return count;
}

TEST(how_many_connections_may_wait)
{
	int listener;

	MUST(unshare(CLONE_NEWNET));
	CHECK_EQ(value_of(BACKLOG), 4096);
	CHECK_OK(write_text(BACKLOG, "3\n"));
	CHECK_EQ(value_of(BACKLOG), 3);
	CHECK_ERRNO(write_text(BACKLOG, "-1\n"), EINVAL);
	listener = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	MUST(bind(listener, (void *)&local, sizeof(local)));
	CHECK_EQ(connections_to(listener, 100), 4);
	/* It counts when listen(2) is called. */
	CHECK_OK(write_text(BACKLOG, "6\n"));
	CHECK_EQ(connections_to(listener, 5), 2);
	CHECK_EQ(connections_to(listener, -1), 1);
	CHECK_OK(write_text(BACKLOG, "2147483647\n"));
	CHECK_EQ(connections_to(listener, 8), 2);
	CHECK_OK(unshare(CLONE_NEWNET));
	CHECK_EQ(value_of(BACKLOG), 4096);
}

TEST(how_many_tcp_connections_may_wait)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int listener, client, count = 0;

	MUST(unshare(CLONE_NEWNET));
	listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(ioctl(listener, SIOCSIFFLAGS, &request));
	MUST(bind(listener, (void *)&to, sizeof(to)));
	CHECK_OK(write_text(BACKLOG, "2\n"));
	MUST(listen(listener, 100));
	for (; count < 10; count++) {
		struct timeval wait = {.tv_usec = 100000};

		client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
		MUST(setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)));
		if (connect(client, (void *)&to, sizeof(to)) == -1)
			break;
	}
	CHECK_EQ(count, 3);
	CHECK_EQ(errno, EINPROGRESS);
	/* Who asks again after SO_SNDTIMEO is told otherwise. */
	CHECK_ERRNO(connect(client, (void *)&to, sizeof(to)), EALREADY);
}

static int datagrams_waiting(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), sender, count = 0;
	socklen_t length = sizeof(name);

	MUST(bind(fd, (void *)&name, sizeof(sa_family_t)));
	MUST(getsockname(fd, (void *)&name, &length));
	sender = (int)MUST(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	while (count < 100 && sendto(sender, "x", 1, 0, (void *)&name, length) == 1)
		count++;
	return count;
}

TEST(how_many_datagrams_may_wait)
{
	MUST(unshare(CLONE_NEWNET));
	CHECK_EQ(value_of(QUEUE_LENGTH), 10);
	CHECK_EQ(datagrams_waiting(), 11);
	CHECK_OK(write_text(QUEUE_LENGTH, "2"));
	CHECK_EQ(datagrams_waiting(), 3);
	CHECK_OK(write_text(QUEUE_LENGTH, "-1"));
	CHECK_EQ(value_of(QUEUE_LENGTH), -1);
	CHECK_EQ(datagrams_waiting(), 100);
	CHECK_ERRNO(write_text(QUEUE_LENGTH, "4294967296"), EINVAL);
}

static int is_only_6(void)
{
	int fd = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0)), value;
	socklen_t length = sizeof(value);

	MUST(getsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &value, &length));
	MUST(close(fd));
	return value;
}

TEST(what_new_sockets_of_ipv6_take)
{
	MUST(unshare(CLONE_NEWNET));
	CHECK_EQ(value_of(ONLY_6), 0);
	CHECK_EQ(is_only_6(), 0);
	CHECK_OK(write_text(ONLY_6, "1\n"));
	CHECK_EQ(is_only_6(), 1);
	CHECK_OK(write_text(ONLY_6, "2\n"));
	CHECK_EQ(value_of(ONLY_6), 2);
	CHECK_EQ(is_only_6(), 0);
	CHECK_ERRNO(write_text(ONLY_6, "256\n"), EINVAL);
}
