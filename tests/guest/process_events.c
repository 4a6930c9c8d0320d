/* The process connector: forks, programs, identities and ends of all processes, told to who listens
 * (Documentation/driver-api/connector.rst, linux/cn_proc.h). */
#include "check.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define HEADERS (NLMSG_HDRLEN + sizeof(struct cn_msg))
#define ALL_EVENTS 0xffffffffu
#define FORK 1u
#define EXEC 2u
#define UID 4u
#define GID 0x40u
#define SID 0x80u
#define PTRACED 0x100u
#define COMM 0x200u
#define NONZERO_EXIT 0x20000000u
#define CORE 0x40000000u
#define EXIT 0x80000000u
#define LISTEN 1
#define IGNORE 2

static char buffer[4096] __attribute__((aligned(8)));
static struct nlmsghdr *const header = (void *)buffer;
static struct cn_msg *const message = (void *)(buffer + NLMSG_HDRLEN);
/* Events lie at a multiple of 4 only. */
static struct proc_event event;
static int connector;
static unsigned asked;

static int open_connector(unsigned groups)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	struct timeval wait = {.tv_sec = 20};
	int fd = (int)MUST(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR)), room = 1 << 20;

	MUST(bind(fd, (void *)&address, sizeof(address)));
	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return fd;
}

/* Sends a request of `length` bytes to the process connector. */
static long request_to(int fd, const void *data, unsigned length, unsigned sequence)
{
	static char bytes[256] __attribute__((aligned(8)));
	struct nlmsghdr *request = (void *)bytes;
	struct cn_msg *inner = NLMSG_DATA(request);

	memset(bytes, 0, sizeof(bytes));
	request->nlmsg_len = (unsigned)HEADERS + length;
	request->nlmsg_type = NLMSG_DONE;
	inner->id.idx = CN_IDX_PROC;
	inner->id.val = CN_VAL_PROC;
	inner->seq = sequence;
	inner->ack = 70;
	inner->len = (unsigned short)length;
	memcpy(inner->data, data, length);
	return send(fd, request, request->nlmsg_len, 0);
}

static long ask(int fd, int operation, unsigned events)
{
	unsigned input[2] = {(unsigned)operation, events};

	return request_to(fd, input, sizeof(input), ++asked);
}

/* The next message, or 0 where there is none. */
static int next(int fd, int flags)
{
	ssize_t got = recv(fd, buffer, sizeof(buffer), flags);

	if (got == -1)
		return 0;
	memcpy(&event, message->data, sizeof(event));
	return (int)got;
}

/* The next event of this kind about the process; others' are passed over. */
static int await(unsigned kind, pid_t process)
{
	while (next(connector, 0)) {
		/* All kinds begin with the process and the thread, but for a fork. */
		pid_t about = event.what == FORK ? event.event_data.fork.parent_tgid : event.event_data.exec.process_tgid;

		if (event.what == kind && about == process)
			return 1;
	}
	return 0;
}

static void listen_to(unsigned events)
{
	connector = open_connector(CN_IDX_PROC);
	MUST(ask(connector, LISTEN, events));
}

TEST(what_an_answer_looks_like)
{
	int operation = LISTEN;

	connector = open_connector(CN_IDX_PROC);
	CHECK_EQ(request_to(connector, &operation, sizeof(operation), 1234), HEADERS + 4);
	while (next(connector, 0) && event.what != 0)
		continue;
	CHECK_EQ(header->nlmsg_len, HEADERS + sizeof(event));
	CHECK_EQ(header->nlmsg_type, NLMSG_DONE);
	CHECK_EQ(header->nlmsg_flags, 0);
	CHECK_EQ(header->nlmsg_pid, 0);
	CHECK_EQ(header->nlmsg_seq, message->seq);
	CHECK_EQ(message->id.idx, CN_IDX_PROC);
	CHECK_EQ(message->id.val, CN_VAL_PROC);
	CHECK_EQ(message->ack, 71);
	CHECK_EQ(message->len, sizeof(event));
	CHECK_EQ(message->flags, 0);
	CHECK_EQ(event.event_data.ack.err, 0);
	CHECK(event.cpu < 4096);
	CHECK(event.timestamp_ns != 0);
	/* An operation that there isn't is said to be none. */
	operation = 77;
	MUST(request_to(connector, &operation, sizeof(operation), 9));
	while (next(connector, 0) && event.what != 0)
		continue;
	CHECK_EQ(event.event_data.ack.err, EINVAL);
}

TEST(a_process_from_its_beginning_to_its_end)
{
	pid_t child;
	unsigned sequence, cpu;
	uint64_t when;

	listen_to(ALL_EVENTS);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setsid());
		MUST(setresgid(21, 22, 23));
		MUST(setresuid(31, 32, 33));
		MUST(prctl(PR_SET_NAME, "somebody"));
		execl("/bin/sh", "sh", "-c", "exit 7", NULL);
		_exit(9);
	}
	CHECK(await(FORK, getpid()));
	CHECK_EQ(event.event_data.fork.parent_pid, getpid());
	CHECK_EQ(event.event_data.fork.child_pid, child);
	CHECK_EQ(event.event_data.fork.child_tgid, child);
	CHECK_EQ(header->nlmsg_seq, message->seq);
	CHECK_EQ(message->ack, 0);
	sequence = message->seq, cpu = event.cpu, when = event.timestamp_ns;
	CHECK(when <= (uint64_t)now_ns(CLOCK_MONOTONIC));
	CHECK(await(SID, child));
	CHECK_EQ(event.event_data.sid.process_pid, child);
	/* Each processor numbers what it tells. */
	CHECK(event.cpu != cpu || message->seq > sequence);
	CHECK(event.timestamp_ns >= when);
	CHECK(await(GID, child));
	CHECK_EQ(event.event_data.id.r.rgid, 21);
	CHECK_EQ(event.event_data.id.e.egid, 22);
	CHECK(await(UID, child));
	CHECK_EQ(event.event_data.id.r.ruid, 31);
	CHECK_EQ(event.event_data.id.e.euid, 32);
	CHECK(await(COMM, child));
	CHECK_STRING(event.event_data.comm.comm, "somebody");
	CHECK(await(EXEC, child));
	CHECK_EQ(event.event_data.exec.process_pid, child);
	CHECK(await(EXIT, child));
	CHECK_EQ(event.event_data.exit.process_pid, child);
	CHECK_EQ(event.event_data.exit.exit_code, EXITED(7));
	CHECK_EQ(event.event_data.exit.exit_signal, SIGCHLD);
	CHECK_EQ(event.event_data.exit.parent_pid, getpid());
	CHECK_EQ(event.event_data.exit.parent_tgid, getpid());
	CHECK_EQ(wait_for(child), EXITED(7));
}

static void *name_oneself(void *told)
{
	*(pid_t *)told = gettid();
	write_text("/proc/thread-self/comm", "a thread");
	return NULL;
}

TEST(threads)
{
	pthread_t thread;
	pid_t tid;

	listen_to(ALL_EVENTS);
	MUST(pthread_create(&thread, NULL, name_oneself, &tid) == 0 ? 0 : -1);
	pthread_join(thread, NULL);
	do {
		CHECK(await(FORK, getppid()));
	} while (event.event_data.fork.child_pid != tid);
	/* Its parent is the process's. */
	CHECK_EQ(event.event_data.fork.parent_pid, getppid());
	CHECK_EQ(event.event_data.fork.child_tgid, getpid());
	CHECK(await(COMM, getpid()));
	CHECK_EQ(event.event_data.comm.process_pid, tid);
	CHECK_STRING(event.event_data.comm.comm, "a thread");
	CHECK(await(EXIT, getpid()));
	CHECK_EQ(event.event_data.exit.process_pid, tid);
	CHECK_EQ(event.event_data.exit.exit_code, 0);
	CHECK_EQ((int)event.event_data.exit.exit_signal, -1);
	/* It's gone already, and nobody's. */
	CHECK_EQ(event.event_data.exit.parent_pid, 0);
	CHECK_EQ(event.event_data.exit.parent_tgid, 0);
}

TEST(tracers_and_cores)
{
	struct rlimit none = {0, 0};
	pid_t child;
	int status;

	listen_to(ALL_EVENTS);
	MUST(setrlimit(RLIMIT_CORE, &none));
	child = child_that_pauses();
	MUST(ptrace(PTRACE_ATTACH, child, NULL, NULL));
	MUST(waitpid(child, &status, 0));
	CHECK(await(PTRACED, child));
	CHECK_EQ(event.event_data.ptrace.process_pid, child);
	CHECK_EQ(event.event_data.ptrace.tracer_pid, getpid());
	CHECK_EQ(event.event_data.ptrace.tracer_tgid, getpid());
	MUST(ptrace(PTRACE_DETACH, child, NULL, NULL));
	CHECK(await(PTRACED, child));
	CHECK_EQ(event.event_data.ptrace.tracer_pid, 0);
	CHECK_EQ(event.event_data.ptrace.tracer_tgid, 0);
	/* Though there be no core. */
	MUST(kill(child, SIGABRT));
	CHECK(await(CORE, child));
	CHECK_EQ(event.event_data.coredump.process_pid, child);
	CHECK_EQ(event.event_data.coredump.parent_pid, getpid());
	CHECK_EQ(event.event_data.coredump.parent_tgid, getpid());
	CHECK(await(EXIT, child));
	CHECK_EQ(event.event_data.exit.exit_code, SIGABRT);
	CHECK_EQ(wait_for(child), KILLED(SIGABRT));
}

/* Whether the next event about a child that ends with `code` is its end; `last` ends it all. */
static int is_told_of_end(int code)
{
	pid_t child = child_that_exits(code), last;

	wait_for(child);
	last = child_that_exits(99);
	wait_for(last);
	while (next(connector, 0)) {
		pid_t about = event.event_data.exit.process_tgid;

		if (about != child && about != last)
			continue; /* of a stranger */
		CHECK_EQ(event.what, EXIT);
		return about == child;
	}
	return -1;
}

TEST(some_events)
{
	listen_to(EXIT);
	CHECK_EQ(is_told_of_end(0), 1);
	CHECK_EQ(ask(connector, LISTEN, NONZERO_EXIT), HEADERS + 8);
	while (next(connector, MSG_DONTWAIT))
		continue;
	CHECK_EQ(is_told_of_end(0), 0);
	while (next(connector, MSG_DONTWAIT))
		continue;
	CHECK_EQ(is_told_of_end(3), 1);
}

TEST(no_events)
{
	pid_t child;

	listen_to(ALL_EVENTS);
	MUST(ask(connector, IGNORE, ALL_EVENTS));
	while (next(connector, MSG_DONTWAIT))
		continue;
	child = child_that_exits(0);
	wait_for(child);
	CHECK_EQ(next(connector, MSG_DONTWAIT), 0);
	CHECK_EQ(errno, EAGAIN);
	MUST(ask(connector, LISTEN, ALL_EVENTS));
	child = child_that_exits(0);
	wait_for(child);
	CHECK(await(EXIT, child));
}

TEST(requests_that_are_none)
{
	unsigned words[3] = {LISTEN};
	int is_answered = 0;

	connector = open_connector(CN_IDX_PROC);
	CHECK_EQ(request_to(connector, words, 12, 1), HEADERS + 12);
	CHECK_EQ(request_to(connector, words, 3, 1), HEADERS + 3);
	CHECK_EQ(request_to(connector, words, 0, 1), HEADERS);
	CHECK_EQ(send(connector, "x", 1, 0), 1);
	wait_for(child_that_exits(0));
	/* Unless another listens, to whom all is told. */
	while (next(connector, MSG_DONTWAIT))
		is_answered |= event.what == 0;
	CHECK(!is_answered);
	CHECK_ERRNO(recv(connector, buffer, sizeof(buffer), MSG_DONTWAIT), EAGAIN);
}

TEST(who_may)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 2};
	int other = (int)MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_CONNECTOR));
	pid_t child;

	CHECK_OK(bind(other, (void *)&address, sizeof(address)));
	connector = open_connector(CN_IDX_PROC);
	drop_root();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	/* Who listened before goes on. */
	CHECK_OK(ask(connector, LISTEN, EXIT));
	child = child_that_exits(5);
	wait_for(child);
	CHECK(await(EXIT, child));
	other = (int)MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_CONNECTOR));
	CHECK_ERRNO(bind(other, (void *)&address, sizeof(address)), EPERM);
	/* Earlier kernels let anybody listen to the process connector. */
	address.nl_groups = CN_IDX_PROC;
	CHECK(bind(other, (void *)&address, sizeof(address)) == 0 || errno == EPERM);
	/* Elsewhere nobody answers. */
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWNET));
	connector = open_connector(0);
	CHECK_ERRNO(ask(connector, LISTEN, EXIT), ECONNREFUSED);
}
