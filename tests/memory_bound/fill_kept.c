/* Fills a machine with what is laid down for later, as names, keys and options, or kept for somebody who waits
 * or hasn't fetched all of it. */
#include "fill.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/if_packet.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static unsigned used;

static void raise_limit(const char *path, const char *value)
{
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, value, strlen(value)) < 0)
		perror(path);
	close(file);
}

static void begin(const void *body, unsigned length)
{
	memcpy(data + NLMSG_HDRLEN, body, length);
	used = NLMSG_SPACE(length);
}

static void attribute(unsigned short type, const void *value, unsigned length)
{
	struct rtattr *found = (struct rtattr *)(data + used);

	found->rta_type = type;
	found->rta_len = RTA_LENGTH(length);
	memcpy(RTA_DATA(found), value, length);
	used += RTA_SPACE(length);
}

static void put_number(unsigned short type, unsigned value) { attribute(type, &value, 4); }

/* Sends a request of rtnetlink, whose body has been put behind the header; what came of it. */
static int request(unsigned short type)
{
	static int asked = -1;
	struct nlmsghdr *head = (struct nlmsghdr *)data;
	char answer[8192];
	int error = -EIO;

	if (asked < 0)
		asked = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	*head = (struct nlmsghdr){used, type, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 1, 0};
	if (send(asked, data, used, 0) < 0)
		return -1;
	if (recv(asked, answer, sizeof answer, 0) >= 20)
		memcpy(&error, answer + 16, 4);
	errno = -error;
	return error ? -1 : 0;
}

/* Sockets with as many options for each packet as they can have. */
static int step_sticky_options(void)
{
	static unsigned char header[2040];
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	if (fd < 0)
		return -1;
	if (number == 0)
		raise_limit("/proc/sys/net/core/optmem_max", "1000000000");
	/* Options that pad; one takes 257 bytes at the most. */
	memset(header, 0, sizeof header);
	header[1] = 254;
	for (int at = 2; at < 2040;) {
		int length = 2040 - at > 257 ? 257 : 2040 - at;
		header[at] = 1;
		header[at + 1] = length - 2;
		at += length;
	}
	return setsockopt(fd, IPPROTO_IPV6, IPV6_HOPOPTS, header, sizeof header) ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, header, sizeof header) ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDRDSTOPTS, header, sizeof header) ? -1 : 0;
}

static void *area(long place)
{
	char *address = (char *)0x10000000000 + place * 8192;

	return mmap(address, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static int step_area_names(void)
{
	char name[80];
	void *place = area(number);

	if (number == 0)
		raise_limit("/proc/sys/vm/max_map_count", "2147483647");
	if (place == MAP_FAILED)
		return -1;
	snprintf(name, sizeof name, "%079ld", number);
	return prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, place, 4096, name);
}

static int step_keys(void)
{
	char name[200];

	if (number == 0) {
		raise_limit("/proc/sys/kernel/keys/root_maxkeys", "2147483647");
		raise_limit("/proc/sys/kernel/keys/root_maxbytes", "2147483647");
	}
	snprintf(name, sizeof name, "%0150ld", number);
	/* KEY_SPEC_PROCESS_KEYRING */
	return syscall(SYS_add_key, "user", name, data, number % 16 ? 64 : 32767, -2) < 0 ? -1 : 0;
}

static int step_landlock_rules(void)
{
	static int ruleset = -1;
	struct landlock_net_port_attr port = {LANDLOCK_ACCESS_NET_BIND_TCP, number % 65536};

	if (number % 65536 == 0) {
		unsigned long handled[2] = {0, LANDLOCK_ACCESS_NET_BIND_TCP};

		ruleset = syscall(SYS_landlock_create_ruleset, handled, sizeof handled, 0);
	}
	return ruleset < 0 ? -1 : syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_NET_PORT, &port, 0);
}

/* Text of which a reader has fetched one byte. */
static int step_texts(void)
{
	char byte;
	int fd;

	if (number == 0)
		for (int at = 0; at < 20000; at++)
			area(at);
	fd = open("/proc/self/maps", O_RDONLY);
	if (fd < 0)
		return -1;
	return read(fd, &byte, 1) < 0 ? -1 : 0;
}

/* Lists of which a socket has fetched one message. */
static int step_dumps(void)
{
	struct {
		struct nlmsghdr head;
		struct rtmsg body;
	} ask = {{sizeof ask, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {.rtm_family = AF_INET}};
	char answer[8192];
	int fd;

	if (number == 0)
		for (int at = 0; at < 10000; at++) {
			struct rtmsg body = {AF_INET, 32, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST, 0};
			unsigned address = htonl(0x0B000001 + at);

			begin(&body, sizeof body);
			attribute(RTA_DST, &address, 4);
			put_number(RTA_OIF, 1);
			request(RTM_NEWROUTE);
		}
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	if (fd < 0 || send(fd, &ask, sizeof ask, 0) < 0)
		return -1;
	return recv(fd, answer, sizeof answer, 0) > 0 ? 0 : -1;
}

/* A ring of a megabyte for packets. */
static int step_packet_rings(void)
{
	struct tpacket_req ring = {1 << 16, 16, 1 << 11, 512};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	return fd < 0 ? -1 : setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring);
}

/* Requests of asynchronous I/O that never end. */
static int step_aio_requests(void)
{
	static aio_context_t context;
	static int file = -1;
	static struct iocb request;
	struct iocb *list[] = {&request};

	if (number == 0) {
		raise_limit("/proc/sys/fs/aio-max-nr", "100000000");
		file = eventfd(0, 0);
	}
	if (number % 1000 == 0) {
		context = 0;
		if (syscall(SYS_io_setup, 1000, &context))
			return -1;
	}
	request = (struct iocb){.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = file, .aio_buf = POLLIN};
	return syscall(SYS_io_submit, context, 1, list) == 1 ? 0 : -1;
}

/* A child that is in `call` for ever. */
static int wait_in(void (*call)(void))
{
	pid_t child = fork();

	if (child == 0) {
		call();
		_exit(0);
	}
	usleep(100000);
	if (child < 0)
		return -1;
	/* It waits, unless it was refused. */
	errno = ENOMEM;
	return waitpid(child, NULL, WNOHANG) != 0 ? -1 : 0;
}

static int ends[2];
static char *zeros;
static struct iovec vector[1024];

static void make_zeros(void)
{
	/* Never written, so that reading it takes no frames. */
	zeros = mmap(NULL, 1L << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (int at = 0; at < 1024; at++)
		vector[at] = (struct iovec){zeros + at, 1 << 20};
}

static void write_vector(void)
{
	if (writev(ends[1], vector, 1024) < 0)
		_exit(1);
}

static int step_waiting_vectors(void)
{
	if (number == 0) {
		make_zeros();
		if (pipe(ends))
			return -1;
	}
	return wait_in(write_vector);
}

static int resource;

static void send_message(void)
{
	static struct {
		long type;
		char text[60000];
	} message = {.type = 1};

	for (;;)
		if (msgsnd(resource, &message, sizeof message.text, 0))
			_exit(1);
}

static int step_waiting_messages(void)
{
	if (number == 0) {
		raise_limit("/proc/sys/kernel/msgmax", "65536");
		raise_limit("/proc/sys/kernel/msgmnb", "65536");
		resource = msgget(IPC_PRIVATE, 0600);
	}
	return wait_in(send_message);
}

static struct sembuf operations[5000];

static void operate(void)
{
	if (semop(resource, operations, sizeof operations / sizeof *operations))
		_exit(1);
}

/* Many operations of each child, which wait for the last of them. */
static int step_waiting_operations(void)
{
	int count = sizeof operations / sizeof *operations;

	if (number == 0) {
		raise_limit("/proc/sys/kernel/sem", "32000 1024000000 30000 32000");
		resource = semget(IPC_PRIVATE, 32000, 0600);
		for (int at = 0; at < count; at++)
			operations[at] = (struct sembuf){at, at == count - 1 ? -1 : 1, SEM_UNDO};
	}
	return wait_in(operate);
}

static const struct way ways[] = {
#define WAY(name) {#name, step_##name}
	WAY(sticky_options), WAY(area_names), WAY(keys), WAY(landlock_rules), WAY(texts), WAY(dumps), WAY(packet_rings),
	WAY(aio_requests), WAY(waiting_vectors), WAY(waiting_messages),
	WAY(waiting_operations),
};

int main(int count, char **arguments) { return fill(ways, sizeof ways / sizeof *ways, count, arguments); }
