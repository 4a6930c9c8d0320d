/* Loops of system calls that send and receive much, or many at once, each run for a time of the clock. */
#define BODIES_AT_ONCE 1
#include "loops.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/sock_diag.h>
#include <mqueue.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define SIZE (1L << 20)
#define SEMAPHORES 32000

static char buffer[SIZE], another[SIZE];
static int ends[2], id;
static struct sockaddr_in address = {.sin_family = AF_INET};
static socklen_t address_length = sizeof(address);

static void make_room(int fd)
{
	int size = 4 * SIZE;

	must(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	must(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
}

static void make_pair(int type)
{
	must(socketpair(AF_UNIX, type, 0, ends));
	make_room(ends[0]);
	make_room(ends[1]);
}

static void make_stream(void) { make_pair(SOCK_STREAM); }
static void make_datagrams(void) { make_pair(SOCK_DGRAM); }
static void make_packets(void) { make_pair(SOCK_SEQPACKET); }

static void do_send(void)
{
	long left = must(send(ends[0], buffer, SIZE, 0));

	while (left > 0)
		left -= must(recv(ends[1], another, SIZE, 0));
}

static void do_send_part(void)
{
	must(send(ends[0], buffer, 200000, 0));
	must(recv(ends[1], another, SIZE, 0));
}

static void do_receive_little(void)
{
	must(send(ends[0], buffer, 200000, 0));
	must(recv(ends[1], another, 1, MSG_TRUNC));
}

static void do_peek(void)
{
	static int is_full;

	if (!is_full)
		must(send(ends[0], buffer, SIZE, 0));
	is_full = 1;
	must(recv(ends[1], another, SIZE, MSG_PEEK));
}

static void do_receive_bytes(void)
{
	must(send(ends[0], buffer, 200000, 0));
	for (int at = 0; at < 200000; at += 1000)
		must(recv(ends[1], another, 1000, 0));
}

static void do_send_parts(void)
{
	struct iovec parts[1024];
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1024};

	for (int at = 0; at < 1024; at++)
		parts[at] = (struct iovec){buffer + at * 1024, 1};
	must(sendmsg(ends[0], &message, 0));
	must(recvmsg(ends[1], &message, 0));
}

static void do_send_many(void)
{
	static struct mmsghdr messages[100];
	static struct iovec part = {buffer, 1};

	for (int at = 0; at < 100; at++)
		messages[at].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
	for (long left = 100; left > 0;) {
		long sent = must(sendmmsg(ends[0], messages, (unsigned)left, MSG_DONTWAIT));

		left -= sent;
		while (sent > 0)
			sent -= must(recvmmsg(ends[1], messages, (unsigned)sent, 0, NULL));
	}
}

static void do_pass_files(void)
{
	static char control[CMSG_SPACE(253 * sizeof(int))] __attribute__((aligned(8)));
	struct iovec part = {buffer, 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int passed[253];

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(passed));
	for (int at = 0; at < 253; at++)
		passed[at] = ends[0];
	memcpy(CMSG_DATA(header), passed, sizeof(passed));
	must(sendmsg(ends[0], &message, 0));
	must(recvmsg(ends[1], &message, 0));
	memcpy(passed, CMSG_DATA(header), sizeof(passed));
	for (int at = 0; at < 253; at++)
		must(close(passed[at]));
}

/* They refer to each other: whether they are still reachable is looked for. */
static void do_pass_circle(void)
{
	int saved[2] = {ends[0], ends[1]}, pairs[50][2];

	for (int at = 0; at < 50; at++) {
		must(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[at]));
		ends[0] = pairs[at][0];
		ends[1] = pairs[at][1];
		{
			char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
			struct iovec part = {buffer, 1};
			struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
				.msg_controllen = sizeof(control)};
			struct cmsghdr *header = CMSG_FIRSTHDR(&message);

			header->cmsg_level = SOL_SOCKET;
			header->cmsg_type = SCM_RIGHTS;
			header->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(header), &pairs[at][1], sizeof(int));
			must(sendmsg(pairs[at][0], &message, 0));
		}
	}
	for (int at = 0; at < 50; at++) {
		close(pairs[at][0]);
		close(pairs[at][1]);
	}
	ends[0] = saved[0];
	ends[1] = saved[1];
}

static void raise_loopback(void)
{
	struct ifreq wanted = {.ifr_name = "lo"};
	int fd = (int)must(socket(AF_INET, SOCK_DGRAM, 0));

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	wanted.ifr_flags = IFF_UP | IFF_RUNNING;
	must(ioctl(fd, SIOCSIFFLAGS, &wanted));
	close(fd);
}

static void make_tcp(void)
{
	int listener = (int)must(socket(AF_INET, SOCK_STREAM, 0));

	raise_loopback();
	must(bind(listener, (struct sockaddr *)&address, sizeof(address)));
	must(listen(listener, 5));
	must(getsockname(listener, (struct sockaddr *)&address, &address_length));
	ends[0] = (int)must(socket(AF_INET, SOCK_STREAM, 0));
	make_room(ends[0]);
	must(connect(ends[0], (struct sockaddr *)&address, sizeof(address)));
	ends[1] = (int)must(accept(listener, NULL, NULL));
	make_room(ends[1]);
}

static void do_tcp(void)
{
	long sent = must(send(ends[0], buffer, SIZE, MSG_DONTWAIT));

	while (sent > 0)
		sent -= must(recv(ends[1], another, SIZE, 0));
}

static void make_udp(void)
{
	raise_loopback();
	ends[0] = (int)must(socket(AF_INET, SOCK_DGRAM, 0));
	ends[1] = (int)must(socket(AF_INET, SOCK_DGRAM, 0));
	make_room(ends[1]);
	must(bind(ends[1], (struct sockaddr *)&address, sizeof(address)));
	must(getsockname(ends[1], (struct sockaddr *)&address, &address_length));
	must(connect(ends[0], (struct sockaddr *)&address, address_length));
}

static void do_udp(void)
{
	must(send(ends[0], buffer, 65000, 0));
	must(recv(ends[1], another, SIZE, 0));
}

/* What is sent is seen by a hundred others. */
static void make_seen_udp(void)
{
	make_udp();
	for (int at = 0; at < 100; at++)
		make_room((int)must(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))));
}

static void do_seen_udp(void)
{
	must(send(ends[0], buffer, 1000, 0));
	must(recv(ends[1], another, SIZE, 0));
}

static struct sock_filter steps[4096];
static struct sock_fprog program = {4096, steps};

/* Everything passes, after 4,095 looks at it. */
static void make_filter(unsigned pass)
{
	for (int at = 0; at < 4095; at++)
		steps[at] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
	steps[4095] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, pass);
}

static void make_filtered_udp(void)
{
	make_udp();
	make_filter(~0U);
	must(setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

static void do_attach_filter(void)
{
	must(setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

static void do_get_filter(void)
{
	socklen_t length = 4096;

	must(getsockopt(ends[1], SOL_SOCKET, SO_GET_FILTER, another, &length));
}

static void make_seccomp(void)
{
	make_filter(SECCOMP_RET_ALLOW);
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (int at = 0; at < 7; at++)
		must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

/* The argument decides, so that no answer can be remembered. */
static void make_deciding_seccomp(void)
{
	make_filter(SECCOMP_RET_ALLOW);
	for (int at = 0; at < 4095; at++)
		steps[at] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16);
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (int at = 0; at < 7; at++)
		must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void do_getppid(void) { syscall(SYS_getppid, 1); }

static void do_install_seccomp(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
		_exit(0);
	}
	reap(made);
}

static void make_allowing(void) { make_filter(SECCOMP_RET_ALLOW); }

static int netlink(int protocol)
{
	int fd = (int)must(socket(AF_NETLINK, SOCK_RAW, protocol));

	make_room(fd);
	return fd;
}

static void ask(int fd, void *message, size_t length)
{
	must(send(fd, message, length, 0));
}

static void dump(int fd, void *message, size_t length)
{
	ask(fd, message, length);
	for (;;) {
		long got = must(recv(fd, another, SIZE, 0));
		struct nlmsghdr *head = (struct nlmsghdr *)another;

		for (; NLMSG_OK(head, got); head = NLMSG_NEXT(head, got))
			if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR)
				return;
	}
}

static void make_routes(void)
{
	struct {
		struct nlmsghdr head;
		struct rtmsg body;
		struct rtattr to_head;
		unsigned to;
		struct rtattr out_head;
		int out;
	} request = {
		{sizeof(request), RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_CREATE, 1, 0},
		{AF_INET, 32, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_LINK, RTN_UNICAST, 0},
		{8, RTA_DST}, 0, {8, RTA_OIF}, 1};

	raise_loopback();
	ends[0] = netlink(NETLINK_ROUTE);
	for (unsigned at = 0; at < 2000; at++) {
		request.to = htonl(0x0A000000 + at);
		ask(ends[0], &request, sizeof(request));
	}
}

static void do_dump_routes(void)
{
	struct {
		struct nlmsghdr head;
		struct rtmsg body;
	} request = {{sizeof(request), RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {.rtm_family = AF_INET}};

	dump(ends[0], &request, sizeof(request));
}

static void make_addresses(void)
{
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg body;
		struct rtattr local_head;
		unsigned local;
	} request = {
		{sizeof(request), RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE, 1, 0}, {AF_INET, 32, 0, 0, 1}, {8, IFA_LOCAL}, 0};

	raise_loopback();
	ends[0] = netlink(NETLINK_ROUTE);
	for (unsigned at = 0; at < 1000; at++) {
		request.local = htonl(0x0A000000 + at);
		ask(ends[0], &request, sizeof(request));
	}
}

static void do_dump_addresses(void)
{
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg body;
	} request = {{sizeof(request), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {.ifa_family = AF_INET}};

	dump(ends[0], &request, sizeof(request));
}

static void do_send_routed(void)
{
	int fd = (int)must(socket(AF_INET, SOCK_DGRAM, 0));

	address.sin_addr.s_addr = htonl(0x0A000001);
	address.sin_port = htons(9);
	must(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
}

static void make_sockets(void)
{
	struct rlimit limit = {20000, 20000};

	raise_loopback();
	must(setrlimit(RLIMIT_NOFILE, &limit));
	for (int at = 0; at < 2000; at++) {
		int fd = (int)must(socket(AF_INET, SOCK_STREAM, 0));

		address.sin_port = htons((uint16_t)(10000 + at));
		must(bind(fd, (struct sockaddr *)&address, sizeof(address)));
		must(listen(fd, 1));
		must(socket(AF_UNIX, SOCK_STREAM, 0));
	}
	ends[0] = netlink(NETLINK_SOCK_DIAG);
}

static void do_dump_sockets(void)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} request = {{sizeof(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
		{.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0U}};

	dump(ends[0], &request, sizeof(request));
}

static void do_dump_no_sockets(void)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} request = {{sizeof(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
		{.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 2}};

	dump(ends[0], &request, sizeof(request));
}

static void read_whole(const char *path)
{
	int opened = (int)must(open(path, O_RDONLY));

	while (must(read(opened, another, sizeof(another))) > 0)
		continue;
	close(opened);
}

static void do_read_tcp(void) { read_whole("/proc/net/tcp"); }
static void do_read_udp(void) { read_whole("/proc/net/udp"); }
static void do_read_unix(void) { read_whole("/proc/net/unix"); }
static void do_read_routes(void) { read_whole("/proc/net/route"); }
static void do_read_socket_counts(void) { read_whole("/proc/net/sockstat"); }

static void make_queue(void)
{
	struct mq_attr attributes = {.mq_maxmsg = 10, .mq_msgsize = SIZE};
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	must(setrlimit(RLIMIT_MSGQUEUE, &limit));
	ends[0] = (int)must(mq_open("/large", O_CREAT | O_RDWR, 0600, &attributes));
	must(mq_unlink("/large"));
}

static void do_queue(void)
{
	must(mq_send(ends[0], buffer, SIZE, 1));
	must(mq_receive(ends[0], another, SIZE, NULL));
}

static void make_long_queue(void)
{
	struct mq_attr attributes = {.mq_maxmsg = 20000, .mq_msgsize = 8};
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	must(setrlimit(RLIMIT_MSGQUEUE, &limit));
	ends[0] = (int)must(mq_open("/long", O_CREAT | O_RDWR, 0600, &attributes));
	must(mq_unlink("/long"));
	for (unsigned at = 0; at < 19000; at++)
		must(mq_send(ends[0], buffer, 1, at));
}

static void do_long_queue(void)
{
	must(mq_send(ends[0], buffer, 1, 9000));
	must(mq_receive(ends[0], another, SIZE, NULL));
}

struct message { long type; char text[8192]; };

static void make_messages(void)
{
	static struct message message = {1, ""};
	struct msqid_ds limits;

	id = (int)must(msgget(IPC_PRIVATE, 0600));
	must(msgctl(id, IPC_STAT, &limits));
	limits.msg_qbytes = 1 << 20;
	must(msgctl(id, IPC_SET, &limits));
	for (int at = 0; at < 10000; at++)
		must(msgsnd(id, &message, 1, 0));
}

static void make_message_queue(void) { id = (int)must(msgget(IPC_PRIVATE, 0600)); }

static void do_message(void)
{
	static struct message message = {2, ""};

	must(msgsnd(id, &message, 8192, 0));
	must(msgrcv(id, &message, 8192, 2, 0));
}

static void make_message_queues(void)
{
	for (int at = 0; at < 1000; at++)
		must(msgget(IPC_PRIVATE, 0600));
}

static void do_read_queues(void) { read_whole("/proc/sysvipc/msg"); }

static void make_semaphores(void) { id = (int)must(semget(IPC_PRIVATE, SEMAPHORES, 0600)); }

static void do_semaphores(void)
{
	struct sembuf changes[500];

	for (int at = 0; at < 500; at++)
		changes[at] = (struct sembuf){(unsigned short)at, 1, 0};
	must(semop(id, changes, 500));
	for (int at = 0; at < 500; at++)
		changes[at].sem_op = -1;
	must(semop(id, changes, 500));
}

static void do_undone_semaphores(void)
{
	struct sembuf changes[500];
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		for (int at = 0; at < 500; at++)
			changes[at] = (struct sembuf){(unsigned short)at, 1, SEM_UNDO};
		must(semop(id, changes, 500));
		_exit(0);
	}
	reap(made);
}

static void do_get_all(void) { must(semctl(id, 0, GETALL, another)); }
static void do_set_all(void) { must(semctl(id, 0, SETALL, buffer)); }
static void do_make_set(void) { must(semctl((int)must(semget(IPC_PRIVATE, SEMAPHORES, 0600)), 0, IPC_RMID)); }

static void make_sets(void)
{
	for (int at = 0; at < 1000; at++)
		must(semget(IPC_PRIVATE, 1, 0600));
}

static void do_read_sets(void) { read_whole("/proc/sysvipc/sem"); }

/* They wait for what doesn't come. */
static void make_waiters(void)
{
	id = (int)must(semget(IPC_PRIVATE, 2, 0600));
	for (int at = 0; at < 300; at++) {
		struct sembuf changes[2] = {{0, -1, 0}, {1, -1, 0}};

		if (must(fork()) == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			semop(id, changes, 2);
			_exit(0);
		}
	}
}

static void do_wake_waiters(void)
{
	struct sembuf up = {0, 1, 0}, down = {0, -1, 0};

	must(semop(id, &up, 1));
	must(semop(id, &down, 1));
}

static const struct kind kinds[] = {
	{"stream", make_stream, do_send},
	{"stream-pieces", make_stream, do_receive_bytes},
	{"datagram", make_datagrams, do_send_part},
	{"datagram-cut", make_datagrams, do_receive_little},
	{"packet", make_packets, do_send_part},
	{"peek", make_stream, do_peek},
	{"send-parts", make_stream, do_send_parts},
	{"send-many", make_datagrams, do_send_many},
	{"pass-files", make_stream, do_pass_files},
	{"pass-circle", make_stream, do_pass_circle},
	{"tcp", make_tcp, do_tcp},
	{"udp", make_udp, do_udp},
	{"udp-many", make_udp, do_send_many},
	{"udp-seen", make_seen_udp, do_seen_udp},
	{"udp-filtered", make_filtered_udp, do_seen_udp},
	{"attach-filter", make_filtered_udp, do_attach_filter},
	{"get-filter", make_filtered_udp, do_get_filter},
	{"seccomp", make_seccomp, do_getppid},
	{"seccomp-deciding", make_deciding_seccomp, do_getppid},
	{"install-seccomp", make_allowing, do_install_seccomp},
	{"dump-routes", make_routes, do_dump_routes},
	{"read-routes", make_routes, do_read_routes},
	{"send-routed", make_routes, do_send_routed},
	{"dump-addresses", make_addresses, do_dump_addresses},
	{"dump-sockets", make_sockets, do_dump_sockets},
	{"dump-no-sockets", make_sockets, do_dump_no_sockets},
	{"read-tcp", make_sockets, do_read_tcp},
	{"read-udp", make_sockets, do_read_udp},
	{"read-unix", make_sockets, do_read_unix},
	{"read-socket-counts", make_sockets, do_read_socket_counts},
	{"queue", make_queue, do_queue},
	{"long-queue", make_long_queue, do_long_queue},
	{"message", make_message_queue, do_message},
	{"message-behind-many", make_messages, do_message},
	{"read-queues", make_message_queues, do_read_queues},
	{"semaphores", make_semaphores, do_semaphores},
	{"semaphores-undone", make_semaphores, do_undone_semaphores},
	{"get-all", make_semaphores, do_get_all},
	{"set-all", make_semaphores, do_set_all},
	{"make-set", NULL, do_make_set},
	{"read-sets", make_sets, do_read_sets},
	{"wake-waiters", make_waiters, do_wake_waiters},
};

int main(int argc, char **argv)
{
	run_loops(kinds, sizeof(kinds) / sizeof(*kinds), argc, argv);
	return 0;
}
