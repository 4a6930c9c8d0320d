/* Fills a machine with one kind of object of its networks, of memory whose faults a program handles, of programs for
 * the kernel, or of names that are looked for. */
#include "fill.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned used;
static int asked = -1;

static void attribute(unsigned short type, const void *value, unsigned length)
{
	struct rtattr *found = (struct rtattr *)(data + used);

	found->rta_type = type;
	found->rta_len = RTA_LENGTH(length);
	memcpy(RTA_DATA(found), value, length);
	used += RTA_SPACE(length);
}

/* Sends a request of rtnetlink, whose body has been put behind the header; what came of it. */
static int request(unsigned short type)
{
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

static void begin(const void *body, unsigned length)
{
	memcpy(data + NLMSG_HDRLEN, body, length);
	used = NLMSG_SPACE(length);
}

static int step_interfaces(void)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
	unsigned nest;

	begin(&body, sizeof body);
	nest = used;
	attribute(IFLA_LINKINFO, "", 0);
	attribute(IFLA_INFO_KIND, "dummy", 6);
	((struct rtattr *)(data + nest))->rta_len = used - nest;
	return request(RTM_NEWLINK);
}

/* Interfaces of which nothing is what it is at first. */
static int step_interface_settings(void)
{
	static const char *const places[] = {"/proc/sys/net/ipv4/conf/default", "/proc/sys/net/ipv6/conf/default"};
	char path[512];

	for (int at = 0; number == 0 && at < 2; at++) {
		DIR *directory = opendir(places[at]);
		struct dirent *entry;

		while (directory != NULL && (entry = readdir(directory)) != NULL) {
			int fd;

			snprintf(path, sizeof path, "%s/%s", places[at], entry->d_name);
			fd = open(path, O_WRONLY);
			if (write(fd, "12345", 5) != 5 && write(fd, "1", 1) != 1)
				errno = 0;
			close(fd);
		}
		closedir(directory);
	}
	return step_interfaces();
}

static int step_addresses(void)
{
	struct ifaddrmsg body = {AF_INET, 32, 0, 0, 1};
	unsigned address = htonl(0x0A000001 + number);

	begin(&body, sizeof body);
	attribute(IFA_LOCAL, &address, 4);
	return request(RTM_NEWADDR);
}

static int step_routes(void)
{
	struct rtmsg body = {AF_INET, 32, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST, 0};
	unsigned address = htonl(0x0B000001 + number), device = 1;

	begin(&body, sizeof body);
	attribute(RTA_DST, &address, 4);
	attribute(RTA_OIF, &device, 4);
	return request(RTM_NEWROUTE);
}

static int step_neighbours(void)
{
	struct ndmsg body = {.ndm_family = AF_INET, .ndm_ifindex = 2, .ndm_state = NUD_PERMANENT};
	unsigned address = htonl(0x0C000001 + number);

	if (number == 0)
		step_interfaces();
	begin(&body, sizeof body);
	attribute(NDA_DST, &address, 4);
	attribute(NDA_LLADDR, "\2\0\0\0\0\1", 6);
	return request(RTM_NEWNEIGH);
}

/* Sockets that are told of each change, and don't look. */
static int step_netlink_events(void)
{
	struct sockaddr_nl local = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), room = 1 << 30;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	if (bind(fd, (struct sockaddr *)&local, sizeof local))
		return -1;
	for (int at = 0; at < 50; at++) {
		step_routes();
		number++;
	}
	return 0;
}

/* Messages from one socket of netlink to another that doesn't look. */
static int step_netlink_messages(void)
{
	struct sockaddr_nl there = {.nl_family = AF_NETLINK};
	socklen_t length = sizeof there;
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK), room = 1 << 30;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	if (bind(fd, (struct sockaddr *)&there, sizeof there) || getsockname(fd, (struct sockaddr *)&there, &length))
		return -1;
	for (int at = 0; at < 100; at++)
		if (sendto(fd, data, 4096, MSG_DONTWAIT, (struct sockaddr *)&there, sizeof there) < 0)
			return at ? 0 : -1;
	return 0;
}

static int step_memberships(void)
{
	struct ip_mreqn group = {{htonl(0xEF000001 + number)}, {0}, 1};
	static int fd = -1;

	if (number % 20 == 0)
		fd = socket(AF_INET, SOCK_DGRAM, 0);
	return fd < 0 ? -1 : setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group);
}

/* Datagrams to nobody, each of which leaves an error that nobody reads. */
static int step_error_queues(void)
{
	struct sockaddr_in there = {AF_INET, htons(9), {htonl(INADDR_LOOPBACK)}, {0}};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1, room = 1 << 30;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
	for (int at = 0; at < 50; at++)
		sendto(fd, data, 1024, MSG_DONTWAIT, (struct sockaddr *)&there, sizeof there);
	return 0;
}

/* Connections that both sides have closed. */
static int step_time_wait(void)
{
	static struct sockaddr_in there;
	static int listener = -1;
	socklen_t length = sizeof there;
	int fd, other;

	if (listener < 0) {
		there.sin_family = AF_INET;
		listener = socket(AF_INET, SOCK_STREAM, 0);
		bind(listener, (struct sockaddr *)&there, sizeof there);
		listen(listener, 16);
		getsockname(listener, (struct sockaddr *)&there, &length);
	}
	there.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number / 20000);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&there, sizeof there)) {
		close(fd);
		return -1;
	}
	other = accept(listener, NULL, NULL);
	close(fd);
	close(other);
	return other < 0 ? -1 : 0;
}

static int user_faults(unsigned long features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api))
		return -1;
	return fd;
}

static int step_user_fault_files(void) { return user_faults(0); }

/* Marks of pages that aren't there. */
static int step_user_fault_marks(void)
{
	static int fd = -1;
	static char *memory;
	const unsigned long size = 1UL << 40, part = 1UL << 24;

	if (fd < 0) {
		struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_WP};

		fd = user_faults(UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_PAGEFAULT_FLAG_WP);
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		range.range.start = (unsigned long)memory;
		range.range.len = size;
		if (fd < 0 || ioctl(fd, UFFDIO_REGISTER, &range))
			return -1;
	}
	struct uffdio_writeprotect protect = {{(unsigned long)memory + (unsigned long)number * part, part}, UFFDIO_WRITEPROTECT_MODE_WP};
	return ioctl(fd, UFFDIO_WRITEPROTECT, &protect);
}

static int step_poisoned(void)
{
	static int fd = -1;
	static char *memory;
	const unsigned long size = 1UL << 40, part = 1UL << 24;

	if (fd < 0) {
		struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};

		fd = user_faults(UFFD_FEATURE_POISON);
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		range.range.start = (unsigned long)memory;
		range.range.len = size;
		if (fd < 0 || ioctl(fd, UFFDIO_REGISTER, &range))
			return -1;
	}
	struct uffdio_poison poison = {.range = {(unsigned long)memory + (unsigned long)number * part, part}};
	return ioctl(fd, UFFDIO_POISON, &poison);
}

/* Names that aren't there: what is remembered of them. */
static int step_absent_names(void)
{
	struct stat status;
	char name[300];

	snprintf(name, sizeof name, "/tmp/%0200ld", number);
	stat(name, &status);
	snprintf(name, sizeof name, "/usr/%0200ld", number);
	stat(name, &status);
	snprintf(name, sizeof name, "/proc/%0100ld", number);
	stat(name, &status);
	return 0;
}

static int step_pressure_triggers(void)
{
	static const char text[] = "some 150000 1000000";
	int fd = open("/proc/pressure/memory", O_RDWR);

	return fd < 0 || write(fd, text, sizeof text) < 0 ? -1 : 0;
}

static int step_bpf_programs(void)
{
	static struct bpf_insn code[2000];
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .license = (unsigned long)"GPL"};

	for (int at = 0; at < 1999; at++)
		code[at] = (struct bpf_insn){BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1};
	code[1999] = (struct bpf_insn){BPF_JMP | BPF_EXIT, 0, 0, 0, 0};
	load.insns = (unsigned long)code;
	load.insn_cnt = 2000;
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
}

static int step_aio_contexts(void)
{
	aio_context_t context = 0;

	return (int)syscall(SYS_io_setup, 128, &context);
}

static int step_leases(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof name, "/tmp/%ld", number % 1000);
	fd = open(name, O_CREAT | O_RDONLY, 0600);
	return fd < 0 ? -1 : fcntl(fd, F_SETLEASE, F_RDLCK);
}

static int step_process_names(void)
{
	static char *large;
	pid_t child;

	if (large == NULL) {
		large = malloc(100001);
		memset(large, 'x', 100000);
		large[100000] = 0;
	}
	child = fork();
	if (child == 0) {
		char *arguments[] = {"sleep", "1000000", NULL}, *environment[21];

		for (int at = 0; at < 20; at++)
			environment[at] = large;
		environment[20] = NULL;
		execve("/bin/sleep", arguments, environment);
		_exit(1);
	}
	return child < 0 ? -1 : 0;
}

static const struct way ways[] = {
#define WAY(name) {#name, step_##name}
	WAY(interfaces), WAY(interface_settings), WAY(addresses), WAY(routes), WAY(neighbours), WAY(netlink_events), WAY(netlink_messages),
	WAY(memberships), WAY(error_queues), WAY(time_wait), WAY(user_fault_files), WAY(user_fault_marks), WAY(poisoned),
	WAY(absent_names), WAY(pressure_triggers), WAY(bpf_programs), WAY(aio_contexts), WAY(leases),
	WAY(process_names),
};

int main(int count, char **arguments) { return fill(ways, sizeof ways / sizeof *ways, count, arguments); }
