/* What tasks and processes have used, asked by generic netlink: Documentation/accounting/taskstats.rst. */
#include "check.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define BUFFER_SIZE 8192

static char buffer[BUFFER_SIZE];
static int control;
static unsigned sequence, port;

static struct nlattr *add_attribute(struct nlmsghdr *message, int type, const void *data, size_t length)
{
	struct nlattr *attribute = (struct nlattr *)((char *)message + NLMSG_ALIGN(message->nlmsg_len));

	attribute->nla_type = (unsigned short)type;
	attribute->nla_len = (unsigned short)(NLA_HDRLEN + length);
	memcpy((char *)attribute + NLA_HDRLEN, data, length);
	message->nlmsg_len = NLMSG_ALIGN(message->nlmsg_len) + NLA_ALIGN(attribute->nla_len);
	return attribute;
}

static void open_socket(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t length = sizeof(address);

	control = (int)MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
	MUST(bind(control, (struct sockaddr *)&address, sizeof(address)));
	MUST(getsockname(control, (struct sockaddr *)&address, &length));
	port = address.nl_pid;
}

/* Sends a request with one attribute, and returns the first message of the answer: one to this port, for what is said
 * of the ends of all processes to who has asked for that goes to nobody's. */
static struct nlmsghdr *ask(int family, int command, int flags, int type, const void *data, size_t length)
{
	static char request[512];
	struct nlmsghdr *message = (struct nlmsghdr *)request;
	struct genlmsghdr *header = NLMSG_DATA(message);

	memset(request, 0, sizeof(request));
	message->nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	message->nlmsg_type = (unsigned short)family;
	message->nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
	message->nlmsg_seq = ++sequence;
	header->cmd = (unsigned char)command;
	header->version = 1;
	if (data != NULL)
		add_attribute(message, type, data, length);
	MUST(send(control, message, message->nlmsg_len, 0));
	do {
		memset(buffer, 0, sizeof(buffer));
		MUST(recv(control, buffer, sizeof(buffer), 0));
	} while (((struct nlmsghdr *)buffer)->nlmsg_pid != port);
	return (struct nlmsghdr *)buffer;
}

static int error_in(struct nlmsghdr *message)
{
	return message->nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(message))->error : 0;
}

/* An attribute among those in `length` bytes. */
static struct nlattr *find(void *first, int length, int type)
{
	struct nlattr *each = first;

	while (length >= NLA_HDRLEN && each->nla_len >= NLA_HDRLEN) {
		int step = NLA_ALIGN(each->nla_len);

		if ((each->nla_type & NLA_TYPE_MASK) == type)
			return each;
		length -= step;
		each = (struct nlattr *)((char *)each + step);
	}
	return NULL;
}

static struct nlattr *find_in(struct nlmsghdr *message, int type)
{
	return find((char *)NLMSG_DATA(message) + GENL_HDRLEN, (int)NLMSG_PAYLOAD(message, GENL_HDRLEN), type);
}

static void *data_of(struct nlattr *attribute)
{
	return (char *)attribute + NLA_HDRLEN;
}

static int find_family(const char *name)
{
	struct nlmsghdr *message = ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0, CTRL_ATTR_FAMILY_NAME, name,
				       strlen(name) + 1);
	struct nlattr *attribute;

	if (error_in(message) != 0)
		return -error_in(message);
	attribute = find_in(message, CTRL_ATTR_FAMILY_ID);
	return attribute == NULL ? -1 : *(unsigned short *)data_of(attribute);
}

static struct taskstats stats;

/* The figures in a message, copied to `stats`; the id that is said with them. */
static unsigned read_stats(struct nlmsghdr *message, int whole, int type)
{
	struct nlattr *aggregate = find_in(message, whole), *figures, *id;
	int length;

	CHECK(aggregate != NULL);
	if (aggregate == NULL)
		return 0;
	length = aggregate->nla_len - NLA_HDRLEN;
	id = find(data_of(aggregate), length, type);
	figures = find(data_of(aggregate), length, TASKSTATS_TYPE_STATS);
	CHECK(id != NULL && figures != NULL);
	CHECK((size_t)(figures->nla_len - NLA_HDRLEN) >= sizeof(stats));
	memcpy(&stats, data_of(figures), sizeof(stats));
	return *(unsigned *)data_of(id);
}

static void ask_task(int family, unsigned pid)
{
	struct nlmsghdr *message = ask(family, TASKSTATS_CMD_GET, 0, TASKSTATS_CMD_ATTR_PID, &pid, sizeof(pid));

	CHECK_EQ(error_in(message), 0);
	CHECK_EQ(message->nlmsg_type, family);
	CHECK_EQ(message->nlmsg_seq, sequence);
	CHECK_EQ(((struct genlmsghdr *)NLMSG_DATA(message))->cmd, TASKSTATS_CMD_NEW);
	CHECK_EQ(read_stats(message, TASKSTATS_TYPE_AGGR_PID, TASKSTATS_TYPE_PID), pid);
}

static volatile sig_atomic_t has_run_enough;

static void stop_running(int signo)
{
	(void)signo;
	has_run_enough = 1;
}

/* Waits until a process has run for so many nanoseconds, and a tick that Linux counts by was among them. */
static void await_run_time(int family, pid_t pid, unsigned long long wanted_ns)
{
	struct taskstats found = { .version = 0 };
	int tries;

	for (tries = 0; tries < 2000 && (found.cpu_run_virtual_total < wanted_ns || !found.cpu_run_real_total); tries++) {
		struct nlattr *whole;

		sleep_ms(5);
		whole = find_in(ask(family, TASKSTATS_CMD_GET, 0, TASKSTATS_CMD_ATTR_TGID, &pid, sizeof(pid)),
				TASKSTATS_TYPE_AGGR_TGID);
		if (whole != NULL)
			memcpy(&found, (char *)data_of(whole) + 8 + NLA_HDRLEN, sizeof(found));
	}
}

TEST(families)
{
	struct nlmsghdr *message;
	struct nlattr *attribute, *groups;
	unsigned short id = GENL_ID_CTRL;
	unsigned char nothing = 0;
	int group = GENL_ID_CTRL;

	open_socket();
	message = ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0, CTRL_ATTR_FAMILY_ID, &id, sizeof(id));
	CHECK_EQ(message->nlmsg_type, GENL_ID_CTRL);
	CHECK_EQ(((struct genlmsghdr *)NLMSG_DATA(message))->cmd, CTRL_CMD_NEWFAMILY);
	attribute = find_in(message, CTRL_ATTR_FAMILY_NAME);
	CHECK(attribute != NULL && strcmp(data_of(attribute), "nlctrl") == 0);
	attribute = find_in(message, CTRL_ATTR_VERSION);
	CHECK(attribute != NULL && *(unsigned *)data_of(attribute) == 2);
	attribute = find_in(message, CTRL_ATTR_HDRSIZE);
	CHECK(attribute != NULL && *(unsigned *)data_of(attribute) == 0);
	CHECK(find_in(message, CTRL_ATTR_OPS) != NULL);
	/* Each operation has a policy of its own, which isn't told here. */
	attribute = find_in(message, CTRL_ATTR_MAXATTR);
	CHECK(attribute != NULL && *(unsigned *)data_of(attribute) == 0);
	groups = find_in(message, CTRL_ATTR_MCAST_GROUPS);
	CHECK(groups != NULL);
	if (groups != NULL) {
		/* The first group, and of it first the number. */
		attribute = (struct nlattr *)data_of((struct nlattr *)data_of(groups));
		CHECK_EQ(attribute->nla_type, CTRL_ATTR_MCAST_GRP_ID);
		CHECK_EQ(*(unsigned *)data_of(attribute), GENL_ID_CTRL);
		attribute = (struct nlattr *)((char *)attribute + NLA_ALIGN(attribute->nla_len));
		CHECK_EQ(attribute->nla_type, CTRL_ATTR_MCAST_GRP_NAME);
		CHECK_STRING(data_of(attribute), "notify");
	}
	CHECK_OK(setsockopt(control, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	CHECK_EQ(find_family("nlctrl"), GENL_ID_CTRL);
	CHECK(find_family(TASKSTATS_GENL_NAME) > GENL_ID_CTRL);
	CHECK_EQ(find_family("no such family"), -ENOENT);
	CHECK_EQ(error_in(ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0, 0, NULL, 0)), EINVAL);
	CHECK_EQ(error_in(ask(GENL_ID_CTRL, 99, 0, 0, NULL, 0)), EOPNOTSUPP);
	CHECK_EQ(error_in(ask(999, 1, 0, 1, &nothing, 1)), ENOENT);
	message = ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_DUMP, 0, NULL, 0);
	CHECK_EQ(message->nlmsg_type, GENL_ID_CTRL);
	CHECK(message->nlmsg_flags & NLM_F_MULTI);
}

TEST(a_task)
{
	pid_t child;
	int family;

	open_socket();
	family = find_family(TASKSTATS_GENL_NAME);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_NAME, "a child");
		MUST(setpriority(PRIO_PROCESS, 0, 5));
		MUST(setresgid(20, 20, 20));
		MUST(setresuid(1000, 1000, 1000));
		MUST(signal(SIGUSR1, stop_running) == SIG_ERR ? -1 : 0);
		while (!has_run_enough)
			;
		pause();
		_exit(0);
	}
	await_run_time(family, child, 45000000);
	MUST(kill(child, SIGUSR1));
	sleep_ms(100);
	ask_task(family, (unsigned)child);
	CHECK(stats.version >= 8);
	CHECK_EQ(stats.ac_pid, child);
	CHECK_EQ(stats.ac_ppid, getpid());
	CHECK_EQ(stats.ac_tgid, child);
	CHECK_EQ(stats.ac_uid, 1000);
	CHECK_EQ(stats.ac_gid, 20);
	CHECK_EQ(stats.ac_nice, 5);
	CHECK_EQ(stats.ac_sched, SCHED_OTHER);
	CHECK_EQ(stats.ac_flag, 0x03);
	CHECK_STRING(stats.ac_comm, "a child");
	CHECK(stats.ac_etime >= 100000);
	CHECK(stats.ac_tgetime >= 100000);
	CHECK(stats.ac_minflt > 0);
	CHECK(stats.hiwater_vm > 500);
	CHECK(stats.hiwater_rss > 100);
	CHECK(stats.cpu_count >= 1);
	/* Linux counts these by ticks. */
	CHECK(stats.cpu_run_real_total > 0);
	CHECK(stats.ac_utime + stats.ac_stime > 0);
	CHECK(stats.cpu_run_virtual_total >= 40000000);
	CHECK(stats.nvcsw + stats.nivcsw >= 1);
	CHECK(stats.ac_btime > 1000000000);
	CHECK(stats.ac_exe_inode != 0);
	CHECK_EQ(stats.read_bytes, 0);
	kill(child, SIGKILL);
	await_zombie(child);
	ask_task(family, (unsigned)child);
	CHECK_EQ(stats.ac_exitcode, SIGKILL);
	CHECK_EQ(stats.ac_flag, 0x13);
	waitpid(child, NULL, 0);
	CHECK_EQ(error_in(ask(family, TASKSTATS_CMD_GET, 0, TASKSTATS_CMD_ATTR_PID, &child, sizeof(child))), ESRCH);
}

static void *spin_and_sleep(void *argument)
{
	struct timespec now;

	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while (now.tv_nsec < 50000000);
	pause();
	return argument;
}

TEST(a_process)
{
	pid_t child;
	int family;
	struct nlmsghdr *message;

	open_socket();
	family = find_family(TASKSTATS_GENL_NAME);
	child = fork();
	if (child == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, spin_and_sleep, NULL);
		spin_and_sleep(NULL);
	}
	await_run_time(family, child, 95000000);
	message = ask(family, TASKSTATS_CMD_GET, 0, TASKSTATS_CMD_ATTR_TGID, &child, sizeof(child));
	CHECK_EQ(error_in(message), 0);
	CHECK_EQ(read_stats(message, TASKSTATS_TYPE_AGGR_TGID, TASKSTATS_TYPE_TGID), child);
	CHECK(stats.cpu_run_virtual_total >= 90000000);
	CHECK(stats.cpu_count >= 2);
	CHECK(stats.ac_etime >= 90000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* The next message about the end of `pid`, which `type` says. */
static struct nlmsghdr *await_end(int whole, int type, unsigned pid)
{
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;
	struct nlattr *aggregate, *id;

	for (;;) {
		memset(buffer, 0, sizeof(buffer));
		MUST(recv(control, buffer, sizeof(buffer), 0));
		aggregate = find_in(message, whole);
		if (aggregate == NULL)
			continue;
		id = find(data_of(aggregate), aggregate->nla_len - NLA_HDRLEN, type);
		if (id != NULL && *(unsigned *)data_of(id) == pid)
			return message;
	}
}

TEST(ends)
{
	char processors[32];
	int family;
	pid_t child;
	struct nlmsghdr *message;
	struct timeval limit = { .tv_sec = 10 };

	open_socket();
	setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	family = find_family(TASKSTATS_GENL_NAME);
	snprintf(processors, sizeof(processors), "0-%d", (int)sysconf(_SC_NPROCESSORS_CONF) - 1);
	message = ask(family, TASKSTATS_CMD_GET, NLM_F_ACK, TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, processors,
		      strlen(processors) + 1);
	CHECK_EQ(message->nlmsg_type, NLMSG_ERROR);
	CHECK_EQ(error_in(message), 0);
	child = child_that_exits(9);
	message = await_end(TASKSTATS_TYPE_AGGR_PID, TASKSTATS_TYPE_PID, (unsigned)child);
	CHECK_EQ(message->nlmsg_type, family);
	CHECK_EQ(message->nlmsg_pid, 0);
	CHECK_EQ(read_stats(message, TASKSTATS_TYPE_AGGR_PID, TASKSTATS_TYPE_PID), child);
	CHECK_EQ(stats.ac_exitcode, EXITED(9));
	CHECK(stats.hiwater_vm > 500);
	/* A process of one thread has no other figures than that. */
	CHECK(find_in(message, TASKSTATS_TYPE_AGGR_TGID) == NULL);
	waitpid(child, NULL, 0);
	message = ask(family, TASKSTATS_CMD_GET, NLM_F_ACK, TASKSTATS_CMD_ATTR_DEREGISTER_CPUMASK, processors,
		      strlen(processors) + 1);
	CHECK_EQ(error_in(message), 0);
	message = ask(family, TASKSTATS_CMD_GET, NLM_F_ACK, TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, "x", 2);
	CHECK_EQ(error_in(message), EINVAL);
	message = ask(family, TASKSTATS_CMD_GET, NLM_F_ACK, TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, "0,99999", 8);
	CHECK_EQ(error_in(message), ERANGE);
	message = ask(family, TASKSTATS_CMD_GET, NLM_F_ACK, TASKSTATS_CMD_ATTR_DEREGISTER_CPUMASK, "", 1);
	CHECK_EQ(error_in(message), 0);
}

TEST(refused)
{
	unsigned pid = (unsigned)getpid();
	int family;

	open_socket();
	family = find_family(TASKSTATS_GENL_NAME);
	CHECK_EQ(error_in(ask(family, TASKSTATS_CMD_GET, 0, 0, NULL, 0)), EINVAL);
	CHECK_EQ(error_in(ask(family, TASKSTATS_CMD_NEW, 0, 0, NULL, 0)), EOPNOTSUPP);
	CHECK_EQ(error_in(ask(family, 77, 0, 0, NULL, 0)), EOPNOTSUPP);
	MUST(setresuid(1000, 1000, 1000));
	CHECK_EQ(error_in(ask(family, TASKSTATS_CMD_GET, 0, TASKSTATS_CMD_ATTR_PID, &pid, sizeof(pid))), EPERM);
}
