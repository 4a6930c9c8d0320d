/* What is counted for a user in each user namespace, and bounded there and around it. */
#include "check.h"

#include <mqueue.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>

#define RAISED 10

/* A user whom nobody else uses. */
static uid_t new_user(void)
{
	return 1500000000U + (uid_t)getpid();
}

static void allow(int resource, rlim_t soft)
{
	struct rlimit limit;

	MUST(getrlimit(resource, &limit));
	limit.rlim_cur = soft;
	MUST(setrlimit(resource, &limit));
}

/* A new user namespace, in which the user and the group have an id. */
static void become_inner_root(void)
{
	char text[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	MUST(prctl(PR_SET_DUMPABLE, 1));
	MUST(unshare(CLONE_NEWUSER));
	snprintf(text, sizeof(text), "0 %u 1\n", uid);
	MUST(write_text("/proc/self/uid_map", text));
	MUST(write_text("/proc/self/setgroups", "deny"));
	snprintf(text, sizeof(text), "0 %u 1\n", gid);
	MUST(write_text("/proc/self/gid_map", text));
}

/* How many signals are queued for the user, by /proc/self/status. */
static int queued_signals(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];
	int count = -1;

	while (fgets(line, sizeof(line), status) != NULL)
		sscanf(line, "SigQ: %d/", &count);
	fclose(status);
	return count;
}

/* A child that lives until its parent has gone or kills it. */
static pid_t sleeper(void)
{
	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	return child;
}

static void end(pid_t child)
{
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

/* How many more processes there can be, up to 9. */
static int room_for_processes(void)
{
	pid_t children[9];
	int count = 0, i;

	while (count < 9 && (children[count] = sleeper()) != -1)
		count++;
	if (count < 9)
		CHECK_EQ(errno, EAGAIN);
	for (i = 0; i < count; i++) {
		kill(children[i], SIGKILL);
		wait_for(children[i]);
	}
	return count;
}

TEST(processes_up_to_what_the_maker_might_have)
{
	allow(RLIMIT_NPROC, 3);
	MUST(setuid(new_user()));
	CHECK_EQ(room_for_processes(), 2);
	become_inner_root();
	CHECK_EQ(room_for_processes(), 2);
	allow(RLIMIT_NPROC, RAISED);
	CHECK_EQ(room_for_processes(), 2);
	allow(RLIMIT_NPROC, 1);
	CHECK_EQ(room_for_processes(), 0);
	/* A namespace that is made now is bounded by what both makers might have. */
	allow(RLIMIT_NPROC, 2);
	MUST(unshare(CLONE_NEWUSER));
	allow(RLIMIT_NPROC, RAISED);
	CHECK_EQ(room_for_processes(), 1);
}

TEST(processes_are_counted_in_each_namespace)
{
	pid_t first, second, inside;

	allow(RLIMIT_NPROC, RAISED);
	MUST(setuid(new_user()));
	first = sleeper();
	second = sleeper();
	inside = (pid_t)MUST(fork());
	if (inside == 0) {
		MUST(unshare(CLONE_NEWUSER));
		/* There are four of the user around, but one here. */
		allow(RLIMIT_NPROC, 2);
		CHECK_EQ(room_for_processes(), 1);
		allow(RLIMIT_NPROC, 1);
		CHECK_EQ(room_for_processes(), 0);
		allow(RLIMIT_NPROC, RAISED);
		CHECK_EQ(room_for_processes(), 6);
		_exit(0);
	}
	CHECK_EQ(wait_for(inside), EXITED(0));
	allow(RLIMIT_NPROC, 4);
	CHECK_EQ(room_for_processes(), 1);
	end(first);
	end(second);
	CHECK_EQ(room_for_processes(), 3);
}

TEST(a_process_made_in_a_new_namespace)
{
	pid_t child;
	long result;

	allow(RLIMIT_NPROC, 1);
	MUST(setuid(new_user()));
	CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), EAGAIN);
	allow(RLIMIT_NPROC, 2);
	result = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (result == 0) {
		CHECK_EQ(room_for_processes(), 0);
		_exit(0);
	}
	child = (pid_t)MUST(result);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(room_for_processes(), 1);
}

/* Root isn't bounded, and neither is the namespace that it makes; another user in it is. */
TEST(processes_in_a_namespace_of_root)
{
	char map[64];
	int gate[2], back[2], byte = 0;
	pid_t child;

	MUST(pipe(gate));
	MUST(pipe(back));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		allow(RLIMIT_NPROC, 1);
		MUST(unshare(CLONE_NEWUSER));
		CHECK_EQ(room_for_processes(), 9);
		MUST(write(back[1], &byte, 1));
		MUST(read(gate[0], &byte, 1));
		MUST(setuid(7));
		CHECK_EQ(room_for_processes(), 0);
		allow(RLIMIT_NPROC, 4);
		CHECK_EQ(room_for_processes(), 3);
		_exit(0);
	}
	MUST(read(back[0], &byte, 1));
	snprintf(map, sizeof(map), "/proc/%d/uid_map", (int)child);
	{
		char text[64];

		snprintf(text, sizeof(text), "7 %u 1\n", new_user());
		MUST(write_text(map, text));
	}
	MUST(write(gate[1], &byte, 1));
	CHECK_EQ(wait_for(child), EXITED(0));
}

static long queue_signal(int number)
{
	union sigval value = {.sival_int = 1};

	return sigqueue(getpid(), number, value);
}

TEST(pending_signals)
{
	sigset_t set;
	pid_t inside;
	int i;

	allow(RLIMIT_SIGPENDING, 4);
	MUST(setuid(new_user()));
	MUST(prctl(PR_SET_DUMPABLE, 1));
	sigfillset(&set);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	inside = (pid_t)MUST(fork());
	if (inside == 0) {
		timer_t timer;

		MUST(unshare(CLONE_NEWUSER));
		allow(RLIMIT_SIGPENDING, RAISED);
		for (i = 0; i < 4; i++)
			CHECK_EQ(queue_signal(SIGRTMIN), 0);
		CHECK_ERRNO(queue_signal(SIGRTMIN), EAGAIN);
		CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, NULL, &timer), EAGAIN);
		CHECK_EQ(queued_signals(), 4);
		/* What the kernel or kill(2) sends is queued all the same. */
		MUST(kill(getpid(), SIGUSR1));
		CHECK_EQ(queued_signals(), 5);
		MUST(kill(getppid(), SIGUSR2));
		CHECK_EQ(queued_signals(), 5);
		_exit(0);
	}
	CHECK_EQ(wait_for(inside), EXITED(0));
	/* SIGUSR2 and SIGCHLD. */
	CHECK_EQ(queued_signals(), 2);
	CHECK_EQ(queue_signal(SIGRTMIN), 0);
	inside = (pid_t)MUST(fork());
	if (inside == 0) {
		MUST(unshare(CLONE_NEWUSER));
		CHECK_EQ(queued_signals(), 0);
		CHECK_EQ(queue_signal(SIGRTMIN), 0);
		CHECK_ERRNO(queue_signal(SIGRTMIN), EAGAIN);
		CHECK_EQ(queued_signals(), 1);
		_exit(0);
	}
	CHECK_EQ(wait_for(inside), EXITED(0));
	CHECK_EQ(queued_signals(), 3);
}

TEST(message_queues)
{
	struct mq_attr attributes = {.mq_maxmsg = 10, .mq_msgsize = 8192};
	struct rlimit limit;
	mqd_t queue;

	allow(RLIMIT_MSGQUEUE, 100000);
	MUST(setuid(new_user()));
	become_inner_root();
	MUST(unshare(CLONE_NEWIPC));
	MUST(getrlimit(RLIMIT_MSGQUEUE, &limit));
	CHECK_EQ(limit.rlim_max, 819200);
	allow(RLIMIT_MSGQUEUE, limit.rlim_max);
	queue = mq_open("/first", O_CREAT | O_RDWR, 0600, &attributes);
	CHECK(queue != (mqd_t)-1);
	CHECK_ERRNO(mq_open("/second", O_CREAT | O_RDWR, 0600, &attributes), EMFILE);
	MUST(mq_unlink("/first"));
	CHECK_ERRNO(mq_open("/second", O_CREAT | O_RDWR, 0600, &attributes), EMFILE);
	MUST(mq_close(queue));
	queue = mq_open("/second", O_CREAT | O_RDWR, 0600, &attributes);
	CHECK(queue != (mqd_t)-1);
}

static int locked_segment(void)
{
	int id = (int)MUST(shmget(IPC_PRIVATE, 32768, IPC_CREAT | 0600));

	if (shmctl(id, SHM_LOCK, NULL) == 0)
		return 0;
	CHECK_EQ(errno, ENOMEM);
	return -1;
}

/* Pages are counted, but the limit that a maker leaves is in bytes: it hardly ever bounds. */
TEST(locked_segments)
{
	allow(RLIMIT_MEMLOCK, 65536);
	MUST(setuid(new_user()));
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWIPC));
	CHECK_EQ(locked_segment(), 0);
	CHECK_EQ(locked_segment(), 0);
	CHECK_EQ(locked_segment(), -1);
	allow(RLIMIT_MEMLOCK, 98304);
	CHECK_EQ(locked_segment(), 0);
	CHECK_EQ(locked_segment(), -1);
}

static const struct {
	const char *name;
	int flag;
} kinds[] = {
	{"cgroup", CLONE_NEWCGROUP}, {"ipc", CLONE_NEWIPC}, {"mnt", CLONE_NEWNS},     {"net", CLONE_NEWNET},
	{"pid", CLONE_NEWPID},       {"time", 0x80},        {"user", CLONE_NEWUSER},  {"uts", CLONE_NEWUTS},
};

static int store_maximum(const char *kind, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", kind);
	return write_text(path, text);
}

TEST(namespaces_of_each_kind)
{
	size_t i;

	MUST(setuid(new_user()));
	become_inner_root();
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		pid_t child = (pid_t)MUST(fork());

		if (child == 0) {
			CHECK_EQ(store_maximum(kinds[i].name, "0\n"), 0);
			CHECK_ERRNO(unshare(kinds[i].flag), ENOSPC);
			CHECK_EQ(store_maximum(kinds[i].name, "1\n"), 0);
			CHECK_EQ(unshare(kinds[i].flag), 0);
			_exit(0);
		}
		CHECK_EQ(wait_for(child), EXITED(0));
	}
}

/* What is allowed around a namespace bounds what may be made in it. */
TEST(namespaces_below)
{
	size_t i;

	MUST(setuid(new_user()));
	become_inner_root();
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (kinds[i].flag != CLONE_NEWUSER)
			CHECK_EQ(store_maximum(kinds[i].name, "0\n"), 0);
	CHECK_EQ(store_maximum("user", "1\n"), 0);
	become_inner_root();
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		CHECK_EQ(store_maximum(kinds[i].name, "7\n"), 0);
		CHECK_ERRNO(unshare(kinds[i].flag), ENOSPC);
	}
}

/* What execve(2) gives under a limit of `soft`. There's no such file. */
static int errno_of_exec(rlim_t soft)
{
	char *none[] = {NULL};

	allow(RLIMIT_NPROC, soft);
	execve("/nonexistent", none, none);
	return errno;
}

/* Whether /proc/self/stat says PF_NPROC_EXCEEDED. */
static int is_told_to_exceed(void)
{
	FILE *stat = fopen("/proc/self/stat", "r");
	unsigned flags = 0;

	CHECK_EQ(fscanf(stat, "%*d %*s %*c %*d %*d %*d %*d %*d %u", &flags), 1);
	fclose(stat);
	return (flags & 0x1000) != 0;
}

TEST(who_has_become_a_user_with_too_many_processes_executes_nothing)
{
	uid_t user = new_user();
	pid_t others[2], child;
	int pipe_fds[2], byte;

	MUST(pipe(pipe_fds));
	for (int i = 0; i < 2; i++) {
		others[i] = (pid_t)MUST(fork());
		if (others[i] == 0) {
			MUST(setuid(user));
			MUST(prctl(PR_SET_PDEATHSIG, SIGKILL));
			MUST(write(pipe_fds[1], "x", 1));
			pause();
			_exit(0);
		}
		MUST(read(pipe_fds[0], &byte, 1));
	}
	allow(RLIMIT_NPROC, 1);
	CHECK_EQ(is_told_to_exceed(), 0);
	MUST(setresuid(user, user, -1));
	CHECK_EQ(is_told_to_exceed(), 1);
	/* That comes before any look at the file. */
	CHECK_EQ(errno_of_exec(1), EAGAIN);
	CHECK_EQ(errno_of_exec(2), EAGAIN);
	/* A child still exceeds the limit, its parent doesn't any more. */
	allow(RLIMIT_NPROC, RAISED);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(is_told_to_exceed(), 1);
		CHECK_EQ(errno_of_exec(1), EAGAIN);
		CHECK_EQ(errno_of_exec(RAISED), ENOENT);
		CHECK_EQ(is_told_to_exceed(), 0);
		CHECK_EQ(errno_of_exec(1), ENOENT);
		_exit(0);
	}
	CHECK_EQ(is_told_to_exceed(), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(errno_of_exec(1), ENOENT);
	/* So is who becomes another one, and that user again. */
	MUST(setresuid(-1, 0, -1));
	allow(RLIMIT_NPROC, 0);
	MUST(setresuid(0, -1, -1));
	CHECK_EQ(is_told_to_exceed(), 0);
	MUST(setresuid(user, -1, -1));
	CHECK_EQ(is_told_to_exceed(), 1);
	end(others[0]);
	end(others[1]);
}
