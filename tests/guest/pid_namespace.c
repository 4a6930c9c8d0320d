/* Pid namespaces: who sees whom by which number, and the end of an init (pid_namespaces(7)). */
#include "check.h"

#include <linux/capability.h>
#include <linux/sched.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NS_GET_PARENT 0xb702
#define NS_GET_PID_FROM_PIDNS 0x8004b706
#define NS_GET_TGID_FROM_PIDNS 0x8004b707
#define NS_GET_PID_IN_PIDNS 0x8004b708
#define NS_GET_TGID_IN_PIDNS 0x8004b709

static pid_t clone_with(unsigned long flags)
{
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

/* An init of a new pid namespace, which runs `body` and exits with what that gives. */
static pid_t init_that(int (*body)(void))
{
	pid_t init = (pid_t)MUST(clone_with(CLONE_NEWPID));

	if (init == 0)
		_exit(body());
	return init;
}

static int status_line(pid_t pid, const char *name, char *line, size_t size)
{
	char path[64];
	FILE *file;
	int found = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	if (file == NULL)
		return -1;
	while (!found && fgets(line, (int)size, file) != NULL)
		found = strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':';
	fclose(file);
	return found ? 0 : -1;
}

static int see_oneself(void)
{
	pid_t child;

	CHECK_EQ(getpid(), 1);
	CHECK_EQ(syscall(SYS_gettid), 1);
	CHECK_EQ(getppid(), 0);
	CHECK_EQ(getpgrp(), 0);
	CHECK_EQ(getsid(0), 0);
	CHECK_EQ(getpgid(1), 0);
	CHECK_EQ(setsid(), 1);
	CHECK_EQ(getpgrp(), 1);
	CHECK_EQ(getsid(0), 1);
	child = child_that_exits(5);
	CHECK_EQ(child, 2);
	CHECK_EQ(wait_for(child), EXITED(5));
	child = child_that_exits(0);
	CHECK_EQ(child, 3);
	CHECK_EQ(waitpid(3, NULL, 0), 3);
	CHECK_ERRNO(waitpid(3, NULL, 0), ECHILD);
	return 7;
}

TEST(numbers_begin_again)
{
	pid_t init = init_that(see_oneself);

	CHECK(init > 1);
	CHECK_EQ(wait_for(init), EXITED(7));
}

static int *shared;

static int tell_and_pause(void)
{
	pid_t child = child_that_pauses();

	shared[0] = child;
	for (;;)
		pause();
	return 0;
}

TEST(numbers_seen_from_around)
{
	char line[128], want[128];
	int ns, fd;
	pid_t init, inner;
	char path[64];

	shared = make_shared_page();
	init = init_that(tell_and_pause);
	while (shared[0] == 0)
		sleep_ms(1);
	CHECK_EQ(shared[0], 2);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", init, init);
	fd = (int)MUST(open(path, O_RDONLY));
	memset(line, 0, sizeof(line));
	MUST(read(fd, line, sizeof(line) - 1));
	inner = atoi(line);
	CHECK(inner > init);
	MUST(status_line(init, "NSpid", line, sizeof(line)));
	snprintf(want, sizeof(want), "NSpid:\t%d\t1\n", init);
	CHECK_STRING(line, want);
	MUST(status_line(inner, "NStgid", line, sizeof(line)));
	snprintf(want, sizeof(want), "NStgid:\t%d\t2\n", inner);
	CHECK_STRING(line, want);
	MUST(status_line(inner, "NSpgid", line, sizeof(line)));
	snprintf(want, sizeof(want), "NSpgid:\t%d\t0\n", getpgrp());
	CHECK_STRING(line, want);
	MUST(status_line(inner, "NSsid", line, sizeof(line)));
	snprintf(want, sizeof(want), "NSsid:\t%d\t0\n", getsid(0));
	CHECK_STRING(line, want);
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", init);
	ns = (int)MUST(open(path, O_RDONLY));
	CHECK_EQ(ioctl(ns, NS_GET_PID_FROM_PIDNS, 2), inner);
	CHECK_EQ(ioctl(ns, NS_GET_TGID_FROM_PIDNS, 1), init);
	CHECK_EQ(ioctl(ns, NS_GET_PID_IN_PIDNS, inner), 2);
	CHECK_EQ(ioctl(ns, NS_GET_TGID_IN_PIDNS, init), 1);
	CHECK_ERRNO(ioctl(ns, NS_GET_PID_IN_PIDNS, getpid()), ESRCH);
	CHECK_ERRNO(ioctl(ns, NS_GET_PID_FROM_PIDNS, 77), ESRCH);
	/* Who isn't a child can be seen, but not waited for. */
	CHECK_EQ(kill(inner, 0), 0);
	CHECK_ERRNO(waitpid(inner, NULL, WNOHANG), ECHILD);
	CHECK_EQ(getpgid(inner), getpgrp());
	fd = (int)MUST(syscall(SYS_pidfd_open, inner, 0));
	CHECK_EQ(kill(init, SIGKILL), 0);
	CHECK_EQ(wait_for(init), KILLED(SIGKILL));
	/* All of the namespace had ended before its init was to be seen as a zombie. */
	CHECK_EQ(poll(&(struct pollfd){fd, POLLIN, 0}, 1, 0), 1);
	CHECK_ERRNO(kill(inner, 0), ESRCH);
}

static int adopt(void)
{
	int status;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		if (MUST(fork()) == 0) {
			while (getppid() == 2)
				sleep_ms(1);
			CHECK_EQ(getppid(), 1);
			_exit(9);
		}
		_exit(0);
	}
	CHECK_EQ(waitpid(-1, &status, 0), 2);
	CHECK_EQ(waitpid(-1, &status, 0), 3);
	CHECK_EQ(status, EXITED(9));
	return 0;
}

TEST(an_init_adopts_its_orphans)
{
	CHECK_EQ(wait_for(init_that(adopt)), EXITED(0));
}

static int subreaper_inside(void)
{
	int status;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
		if (MUST(fork()) == 0) {
			if (MUST(fork()) == 0) {
				while (getppid() == 3)
					sleep_ms(1);
				CHECK_EQ(getppid(), 2);
				_exit(0);
			}
			_exit(0);
		}
		CHECK_EQ(waitpid(3, NULL, 0), 3);
		CHECK_EQ(waitpid(4, NULL, 0), 4);
		_exit(6);
	}
	CHECK_EQ(waitpid(-1, &status, 0), 2);
	CHECK_EQ(status, EXITED(6));
	return 0;
}

TEST(a_subreaper_inside_comes_first)
{
	CHECK_EQ(wait_for(init_that(subreaper_inside)), EXITED(0));
}

static volatile sig_atomic_t seen_pid = -1, seen_count;

static void note_sender(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	seen_pid = info->si_pid;
	seen_count++;
}

static void watch(int signal)
{
	struct sigaction action = {.sa_sigaction = note_sender, .sa_flags = SA_SIGINFO | SA_RESTART};

	MUST(sigaction(signal, &action, NULL));
}

static int protected_inside(void)
{
	pid_t child;

	CHECK_EQ(kill(1, SIGTERM), 0);
	CHECK_EQ(kill(1, SIGKILL), 0);
	CHECK_EQ(kill(1, SIGSTOP), 0);
	CHECK_EQ(kill(getpid(), SIGKILL), 0);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(kill(1, SIGKILL) == 0 && kill(-1, 0) == -1 && errno == ESRCH ? 0 : 1);
	CHECK_EQ(wait_for(child), EXITED(0));
	watch(SIGUSR1);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(kill(1, SIGUSR1));
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(seen_pid, child);
	shared[0] = 1;
	while (seen_count < 2)
		pause();
	/* The sender has no number here. */
	CHECK_EQ(seen_pid, 0);
	shared[0] = 2;
	for (;;)
		pause();
	return 0;
}

TEST(signals_to_an_init)
{
	int status;
	pid_t init;

	shared = make_shared_page();
	init = init_that(protected_inside);
	while (shared[0] == 0)
		sleep_ms(1);
	/* One that it doesn't handle does nothing, from around neither. */
	CHECK_EQ(kill(init, SIGTERM), 0);
	CHECK_EQ(kill(init, SIGINT), 0);
	CHECK_EQ(kill(init, SIGUSR1), 0);
	while (shared[0] == 1)
		sleep_ms(1);
	CHECK_EQ(kill(init, SIGSTOP), 0);
	CHECK_EQ(waitpid(init, &status, WUNTRACED), init);
	CHECK_EQ(status, W_STOPCODE(SIGSTOP));
	CHECK_EQ(kill(init, SIGCONT), 0);
	CHECK_EQ(kill(init, SIGKILL), 0);
	CHECK_EQ(wait_for(init), KILLED(SIGKILL));
}

static int signal_the_group(void)
{
	return kill(0, SIGUSR1);
}

TEST(signals_out_of_a_namespace)
{
	MUST(setpgid(0, 0));
	watch(SIGUSR1);
	/* The sender is called as it calls itself. */
	CHECK_EQ(wait_for(init_that(signal_the_group)), EXITED(0));
	CHECK_EQ(seen_count, 1);
	CHECK_EQ(seen_pid, 1);
}

static int be_signalled(void)
{
	shared[0] = 1;
	while (seen_count == 0)
		pause();
	return seen_pid;
}

TEST(a_signal_to_a_group_in_two_namespaces)
{
	pid_t init, newest;

	shared = make_shared_page();
	MUST(setpgid(0, 0));
	watch(SIGUSR1);
	init = init_that(be_signalled);
	while (shared[0] == 0)
		sleep_ms(1);
	/* It's for the newest first, who is the only one to know the sender: the others have the same description. */
	newest = (pid_t)MUST(fork());
	if (newest == 0)
		_exit(be_signalled() == getppid());
	sleep_ms(20);
	CHECK_EQ(kill(0, SIGUSR1), 0);
	CHECK_EQ(seen_pid, 0);
	CHECK_EQ(wait_for(newest), EXITED(1));
	CHECK_EQ(wait_for(init), EXITED(0));
}

static int end_with_children(void)
{
	for (int count = 0; count < 5; count++)
		shared[count] = child_that_pauses();
	if (fork() == 0) {
		setsid();
		for (;;)
			pause();
	}
	return 4;
}

TEST(the_end_of_an_init_ends_all)
{
	int pipe_ends[2];
	char byte;
	pid_t init;

	shared = make_shared_page();
	MUST(pipe(pipe_ends));
	init = init_that(end_with_children);
	MUST(close(pipe_ends[1]));
	CHECK_EQ(wait_for(init), EXITED(4));
	CHECK_EQ(shared[4], 6);
	/* Nobody has the pipe's other end any more. */
	CHECK_EQ(read(pipe_ends[0], &byte, 1), 0);
}

/* Children of whose end nobody is told, one of them over already; and children that it traces. */
static int end_with_silent_children(void)
{
	for (int count = 0; count < 3; count++) {
		pid_t child = (pid_t)MUST(syscall(SYS_clone, 0, 0, 0, 0, 0));

		if (child == 0) {
			if (count == 0)
				_exit(3);
			for (;;)
				pause();
		}
		sleep_ms(5);
		if (count == 1)
			CHECK_EQ(ptrace(PTRACE_SEIZE, child, 0, 0), 0);
	}
	return 5;
}

static int end_with_tracee(void)
{
	pid_t child = child_that_pauses();

	CHECK_EQ(ptrace(PTRACE_ATTACH, child, 0, 0), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 6;
}

TEST(an_init_that_ends_awaits_whomever_it_made)
{
	CHECK_EQ(wait_for(init_that(end_with_silent_children)), EXITED(5));
	CHECK_EQ(wait_for(init_that(end_with_tracee)), EXITED(6));
}

TEST(the_rule_about_the_second_fork)
{
	int status;
	pid_t child, first, second;

	shared = make_shared_page();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pid_t me = getpid();

		CHECK_EQ(unshare(CLONE_NEWPID), 0);
		CHECK_EQ(getpid(), me);
		CHECK_ERRNO(unshare(CLONE_NEWPID), EINVAL);
		CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0), EINVAL);
		CHECK_ERRNO(syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0), EINVAL);
		CHECK_ERRNO(readlink("/proc/self/ns/pid_for_children", (char[64]){0}, 64), ENOENT);
		first = (pid_t)MUST(fork());
		if (first == 0) {
			CHECK_EQ(getpid(), 1);
			CHECK_EQ(getppid(), 0);
			while (shared[0] == 0)
				sleep_ms(1);
			_exit(1);
		}
		second = (pid_t)MUST(fork());
		if (second == 0) {
			CHECK_EQ(getpid(), 2);
			CHECK_EQ(getppid(), 0);
			shared[0] = 1;
			for (;;)
				pause();
		}
		CHECK(second > first);
		/* The init waits for its sibling, which nobody but this process can reap. */
		CHECK_EQ(waitpid(second, &status, 0), second);
		CHECK_EQ(status, KILLED(SIGKILL));
		CHECK_EQ(waitpid(first, &status, 0), first);
		CHECK_EQ(status, EXITED(1));
		/* Without an init nobody can be made any more. */
		CHECK_ERRNO(fork(), ENOMEM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static int nest(int depth)
{
	int status;
	pid_t child = clone_with(CLONE_NEWPID);

	if (child < 0)
		return errno == ENOSPC ? depth : -1;
	if (child == 0) {
		if (getpid() != 1 || getppid() != 0)
			_exit(200);
		_exit(nest(depth + 1));
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 201;
	return WEXITSTATUS(status);
}

TEST(nested_to_32_levels)
{
	/* The namespaces around this one count too, and nobody tells how many these are. */
	int depth = nest(0);

	CHECK(depth > 16 && depth <= 32);
}

struct set_tid_arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};

static pid_t clone_as(uint64_t flags, pid_t *numbers, size_t count)
{
	struct set_tid_arguments arguments = {
		.flags = flags, .exit_signal = SIGCHLD, .set_tid = (uintptr_t)numbers, .set_tid_size = count};
	pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (child == 0)
		_exit(getpid() == numbers[0] ? 0 : 1);
	return child;
}

static int choose_inside(void)
{
	pid_t child = clone_as(0, (pid_t[]){77}, 1);

	CHECK_EQ(child, 77);
	CHECK_ERRNO(clone_as(0, (pid_t[]){1}, 1), EEXIST);
	CHECK_ERRNO(clone_as(0, (pid_t[]){0}, 1), EINVAL);
	CHECK_ERRNO(clone_as(0, (pid_t[]){-1}, 1), EINVAL);
	CHECK_EQ(wait_for(child), EXITED(0));
	child = child_that_exits(0);
	CHECK(child != 77);
	return wait_for(child);
}

TEST(numbers_chosen_for_each_level)
{
	pid_t child, free_number;

	CHECK_EQ(wait_for(init_that(choose_inside)), EXITED(0));
	free_number = child_that_exits(0);
	CHECK_EQ(wait_for(free_number), EXITED(0));
	child = clone_as(CLONE_NEWPID, (pid_t[]){1, free_number}, 2);
	CHECK_EQ(child, free_number);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(clone_as(CLONE_NEWPID, (pid_t[]){2, free_number}, 2), EINVAL);
	CHECK_ERRNO(clone_as(0, (pid_t[33]){9}, 33), EINVAL);
}

static int last_pid(void)
{
	char text[16] = "";
	int fd = (int)MUST(open("/proc/sys/kernel/ns_last_pid", O_RDWR));
	pid_t child;

	MUST(read(fd, text, sizeof(text)));
	CHECK_EQ(atoi(text), 1);
	CHECK_EQ(pwrite(fd, "500", 3, 0), 3);
	child = child_that_exits(0);
	CHECK_EQ(child, 501);
	return wait_for(child);
}

TEST(the_last_number)
{
	CHECK_EQ(wait_for(init_that(last_pid)), EXITED(0));
}

static int restart(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		CHECK_ERRNO(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x89abcdef, 0), EINVAL);
		CHECK_ERRNO(syscall(SYS_reboot, 1, 672274793, RB_AUTOBOOT, 0), EINVAL);
		syscall(SYS_reboot, 0xfee1dead, 672274793, shared[0], 0);
		CHECK(0);
	}
	for (;;)
		pause();
	return 0;
}

TEST(rebooting_inside)
{
	shared = make_shared_page();
	shared[0] = RB_AUTOBOOT;
	CHECK_EQ(wait_for(init_that(restart)), KILLED(SIGHUP));
	shared[0] = (int)RB_POWER_OFF;
	CHECK_EQ(wait_for(init_that(restart)), KILLED(SIGINT));
	shared[0] = (int)RB_HALT_SYSTEM;
	CHECK_EQ(wait_for(init_that(restart)), KILLED(SIGINT));
}

static int own_proc(void)
{
	char text[64] = "";

	MUST(unshare(CLONE_NEWNS));
	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	/* The old one shows the numbers of the namespace around. */
	MUST(readlink("/proc/self", text, sizeof(text)));
	CHECK(atoi(text) > 1);
	MUST(mount("proc", "/proc", "proc", 0, NULL));
	CHECK_EQ(readlink("/proc/self", text, sizeof(text)), 1);
	CHECK_EQ(text[0], '1');
	CHECK_EQ(access("/proc/1/status", F_OK), 0);
	CHECK_ERRNO(access("/proc/2/status", F_OK), ENOENT);
	memset(text, 0, sizeof(text));
	CHECK(readlink("/proc/thread-self", text, sizeof(text)) > 0);
	CHECK_STRING(text, "1/task/1");
	return 0;
}

TEST(proc_of_a_namespace)
{
	CHECK_EQ(wait_for(init_that(own_proc)), EXITED(0));
}

static int locked_fd;

static int ask_for_the_lock(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	pid_t child;

	MUST(fcntl(locked_fd, F_GETLK, &lock));
	CHECK_EQ(lock.l_type, F_WRLCK);
	CHECK_EQ(lock.l_pid, 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};
		MUST(fcntl(locked_fd, F_SETLK, &lock));
		shared[0] = 1;
		for (;;)
			pause();
	}
	while (shared[0] == 0)
		sleep_ms(1);
	lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};
	MUST(fcntl(locked_fd, F_GETLK, &lock));
	CHECK_EQ(lock.l_pid, 2);
	return 0;
}

TEST(holders_of_locks)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
	char name[] = "/tmp/locksXXXXXX";

	shared = make_shared_page();
	locked_fd = (int)MUST(mkstemp(name));
	MUST(unlink(name));
	MUST(fcntl(locked_fd, F_SETLK, &lock));
	CHECK_EQ(wait_for(init_that(ask_for_the_lock)), EXITED(0));
}

static int sockets[2];

static pid_t received_pid(int fd)
{
	char byte, control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec vector = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct ucred credentials;

	MUST(recvmsg(fd, &message, 0));
	memcpy(&credentials, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(credentials));
	return credentials.pid;
}

static ssize_t send_claiming(int fd, pid_t pid)
{
	char byte = 'c';
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control = {.header = {CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS}};
	struct iovec vector = {&byte, 1};
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = CMSG_LEN(sizeof(struct ucred))};
	struct ucred credentials = {pid, getuid(), getgid()};

	memcpy(CMSG_DATA(&control.header), &credentials, sizeof(credentials));
	return sendmsg(fd, &message, 0);
}

static int talk(void)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	CHECK_EQ(received_pid(sockets[1]), 0);
	MUST(getsockopt(sockets[1], SOL_SOCKET, SO_PEERCRED, &peer, &length));
	CHECK_EQ(peer.pid, 0);
	MUST(write(sockets[1], "x", 1));
	CHECK_EQ(send_claiming(sockets[1], 1), 1);
	CHECK_ERRNO(send_claiming(sockets[1], 99), ESRCH);
	MUST(write(sockets[1], "x", 1));
	for (;;)
		pause();
	return 0;
}

TEST(credentials_of_messages)
{
	pid_t init;

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets));
	MUST(setsockopt(sockets[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
	MUST(setsockopt(sockets[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
	init = init_that(talk);
	MUST(write(sockets[0], "x", 1));
	CHECK_EQ(received_pid(sockets[0]), init);
	CHECK_EQ(received_pid(sockets[0]), init);
	CHECK_EQ(received_pid(sockets[0]), init);
	MUST(kill(init, SIGKILL));
	CHECK_EQ(wait_for(init), KILLED(SIGKILL));
}

static int semaphores;

static int change_semaphore(void)
{
	CHECK_EQ(semctl(semaphores, 0, GETPID), 0);
	MUST(semctl(semaphores, 0, SETVAL, 3));
	CHECK_EQ(semctl(semaphores, 0, GETPID), 1);
	return 0;
}

TEST(who_changed_a_semaphore)
{
	pid_t init;

	semaphores = (int)MUST(semget(IPC_PRIVATE, 1, 0600));
	MUST(semctl(semaphores, 0, SETVAL, 1));
	CHECK_EQ(semctl(semaphores, 0, GETPID), getpid());
	init = init_that(change_semaphore);
	CHECK_EQ(wait_for(init), EXITED(0));
	CHECK_EQ(semctl(semaphores, 0, GETPID), init);
	MUST(semctl(semaphores, 0, IPC_RMID));
}

static mqd_t queue;

static pid_t told_by(void)
{
	sigset_t set;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (sigtimedwait(&set, &info, &(struct timespec){5, 0}) != SIGUSR1 || info.si_code != SI_MESGQ)
		return -1;
	return info.si_pid;
}

static void be_told(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	MUST(mq_notify(queue, &event));
}

static int send_from_inside(void)
{
	pid_t child;
	char message[16];

	MUST(mq_send(queue, "m", 1, 0));
	MUST(read(sockets[1], message, 1));
	/* Who is told from outside has no number of the sender's, and the two in here have each other's. */
	be_told();
	MUST(write(sockets[1], "x", 1));
	CHECK_EQ(told_by(), 0);
	MUST(mq_receive(queue, message, sizeof(message), NULL));
	be_told();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(mq_send(queue, "m", 1, 0));
		_exit(0);
	}
	CHECK_EQ(told_by(), child);
	CHECK_EQ(child, 2);
	MUST(mq_receive(queue, message, sizeof(message), NULL));
	return wait_for(child);
}

TEST(who_sent_a_message)
{
	struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 16};
	char name[32], message[16];
	pid_t init;

	snprintf(name, sizeof(name), "/told%d", getpid());
	queue = MUST(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attributes));
	MUST(mq_unlink(name));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	be_told();
	init = init_that(send_from_inside);
	CHECK_EQ(told_by(), init);
	MUST(mq_receive(queue, message, sizeof(message), NULL));
	MUST(write(sockets[0], "x", 1));
	MUST(read(sockets[0], message, 1));
	MUST(mq_send(queue, "m", 1, 0));
	CHECK_EQ(wait_for(init), EXITED(0));
}

static int stop_oneself(void)
{
	pid_t child = (pid_t)MUST(fork());
	siginfo_t info;

	if (child == 0) {
		raise(SIGSTOP);
		_exit(3);
	}
	memset(&info, 0, sizeof(info));
	MUST(waitid(P_PID, 2, &info, WSTOPPED));
	CHECK_EQ(info.si_pid, 2);
	MUST(kill(2, SIGCONT));
	MUST(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
	CHECK_EQ(info.si_pid, 2);
	CHECK_EQ(info.si_status, 3);
	CHECK_EQ(wait_for(2), EXITED(3));
	return 0;
}

TEST(children_are_told_by_their_parents_numbers)
{
	siginfo_t info;
	pid_t init;

	watch(SIGCHLD);
	init = init_that(stop_oneself);
	memset(&info, 0, sizeof(info));
	while (waitid(P_PID, (id_t)init, &info, WEXITED | WNOWAIT) != 0)
		continue;
	CHECK_EQ(info.si_pid, init);
	CHECK_EQ(seen_pid, init);
	CHECK_EQ(wait_for(init), EXITED(0));
}

static int join_target;

TEST(entering_by_setns)
{
	char path[64];
	int own = (int)MUST(open("/proc/self/ns/pid", O_RDONLY));
	int status;
	pid_t init, child, inner;

	shared = make_shared_page();
	init = init_that(tell_and_pause);
	while (shared[0] == 0)
		sleep_ms(1);
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", init);
	join_target = (int)MUST(open(path, O_RDONLY));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pid_t me = getpid();

		CHECK_ERRNO(setns(join_target, CLONE_NEWUTS), EINVAL);
		CHECK_EQ(setns(join_target, CLONE_NEWPID), 0);
		CHECK_EQ(getpid(), me);
		inner = (pid_t)MUST(fork());
		if (inner == 0) {
			CHECK_EQ(getpid(), 3);
			CHECK_EQ(getppid(), 0);
			CHECK_EQ(kill(1, 0), 0);
			CHECK_EQ(kill(2, SIGTERM), 0);
			/* There is no way back up. */
			CHECK_ERRNO(setns(own, 0), EINVAL);
			_exit(0);
		}
		CHECK_EQ(wait_for(inner), EXITED(0));
		CHECK_EQ(setns(own, 0), 0);
		_exit(wait_for(child_that_exits(2)) == EXITED(2) ? 0 : 1);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(ioctl(own, NS_GET_PARENT), EPERM);
	CHECK_EQ(ioctl(join_target, NS_GET_PARENT) >= 0, 1);
	MUST(kill(init, SIGKILL));
	CHECK_EQ(waitpid(init, &status, 0), init);
	/* The namespace has no init any more. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(setns(join_target, 0), 0);
		CHECK_ERRNO(fork(), ENOMEM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static int sibling_of_init(void)
{
	CHECK_ERRNO(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0), EINVAL);
	return 0;
}

TEST(an_init_has_no_siblings)
{
	CHECK_EQ(wait_for(init_that(sibling_of_init)), EXITED(0));
}

TEST(rights)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_ERRNO(clone_with(CLONE_NEWPID), EPERM);
		CHECK_ERRNO(unshare(CLONE_NEWPID), EPERM);
		CHECK_ERRNO(setns((int)MUST(open("/proc/self/ns/pid", O_RDONLY)), 0), EPERM);
		CHECK_ERRNO(write((int)MUST(open("/proc/sys/kernel/ns_last_pid", O_WRONLY)), "9", 1), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static int queue_signals(void)
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};

	info.si_pid = 4321;
	watch(SIGUSR1);
	/* What a program says itself is believed, where it's seen. */
	CHECK_EQ(syscall(SYS_rt_sigqueueinfo, 1, SIGUSR1, &info), 0);
	CHECK_EQ(seen_pid, 4321);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(seen_pid, 1);
	CHECK_EQ(syscall(SYS_tgkill, 1, 1, SIGUSR1), 0);
	CHECK_EQ(seen_count, 3);
	CHECK_ERRNO(syscall(SYS_tgkill, 2, 1, SIGUSR1), ESRCH);
	CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, 2, SIGUSR1, &info), ESRCH);
	shared[0] = 1;
	while (seen_count < 4)
		pause();
	CHECK_EQ(seen_pid, 0);
	return 0;
}

TEST(queued_signals)
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
	pid_t init;

	shared = make_shared_page();
	init = init_that(queue_signals);
	while (shared[0] == 0)
		sleep_ms(1);
	info.si_pid = 4321;
	CHECK_EQ(syscall(SYS_rt_sigqueueinfo, init, SIGUSR1, &info), 0);
	CHECK_EQ(wait_for(init), EXITED(0));
}

static int ends[2], outside;

static int own_files(void)
{
	struct f_owner_ex owner;
	char text[256] = "", path[64];
	uint64_t information[8] = {1};
	int pidfd = (int)MUST(syscall(SYS_pidfd_open, 1, 0)), fd;

	/* The owner isn't seen here. */
	CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
	CHECK_EQ(fcntl(ends[0], F_SETOWN, 1), 0);
	CHECK_EQ(fcntl(ends[0], F_GETOWN), 1);
	CHECK_EQ(fcntl(ends[0], F_GETOWN_EX, &owner), 0);
	CHECK_EQ(owner.pid, 1);
	CHECK_ERRNO(fcntl(ends[0], F_SETOWN, 2), ESRCH);
	/* There is no such group, but the id is somebody's. */
	CHECK_EQ(fcntl(ends[0], F_SETOWN, -1), 0);
	CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
	CHECK_EQ(fcntl(ends[0], F_SETOWN, 1), 0);
	CHECK_ERRNO(syscall(SYS_pidfd_open, 2, 0), ESRCH);
	/* A descriptor of a process outside is none to signal by. */
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, outside, 0, NULL, 0), EINVAL);
	/* PIDFD_GET_INFO */
	CHECK_ERRNO(ioctl(outside, 0xC040FF0B, information), EREMOTE);
	CHECK_EQ(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), 0);
	MUST(unshare(CLONE_NEWNS));
	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount("proc", "/proc", "proc", 0, NULL));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = (int)MUST(open(path, O_RDONLY));
	MUST(read(fd, text, sizeof(text) - 1));
	CHECK(strstr(text, "\nPid:\t1\nNSpid:\t1\n") != NULL);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", outside);
	fd = (int)MUST(open(path, O_RDONLY));
	memset(text, 0, sizeof(text));
	MUST(read(fd, text, sizeof(text) - 1));
	CHECK(strstr(text, "\nPid:\t0\nNSpid:\t0\n") != NULL);
	return 0;
}

TEST(owners_of_files_and_descriptors_of_processes)
{
	pid_t init;

	MUST(pipe(ends));
	MUST(fcntl(ends[0], F_SETOWN, getpid()));
	outside = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0));
	init = init_that(own_files);
	CHECK_EQ(wait_for(init), EXITED(0));
	/* The owner has gone. */
	CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
}

static int groups_inside(void)
{
	pid_t child;

	CHECK_ERRNO(setpgid(2, 2), ESRCH);
	CHECK_EQ(setpgid(0, 0), 0);
	CHECK_EQ(getpgrp(), 1);
	CHECK_ERRNO(setsid(), EPERM);
	child = child_that_pauses();
	CHECK_EQ(child, 2);
	CHECK_EQ(getpgid(2), 1);
	CHECK_EQ(setpgid(2, 2), 0);
	CHECK_EQ(getpgid(2), 2);
	CHECK_EQ(kill(-2, SIGTERM), 0);
	CHECK_EQ(waitpid(-2, NULL, 0), 2);
	CHECK_ERRNO(kill(-2, 0), ESRCH);
	CHECK_ERRNO(kill(-77, 0), ESRCH);
	return 0;
}

TEST(process_groups_inside)
{
	CHECK_EQ(wait_for(init_that(groups_inside)), EXITED(0));
}

static int everybody_inside(void)
{
	pid_t first = child_that_pauses(), second = child_that_pauses();

	CHECK_EQ(kill(-1, SIGKILL), 0);
	CHECK_EQ(wait_for(first), KILLED(SIGKILL));
	CHECK_EQ(wait_for(second), KILLED(SIGKILL));
	CHECK_ERRNO(kill(-1, SIGKILL), ESRCH);
	CHECK_ERRNO(wait(NULL), ECHILD);
	return 0;
}

TEST(a_signal_to_everybody_stays_inside)
{
	pid_t bystander = child_that_pauses();

	CHECK_EQ(wait_for(init_that(everybody_inside)), EXITED(0));
	CHECK_EQ(kill(bystander, 0), 0);
	MUST(kill(bystander, SIGKILL));
	CHECK_EQ(wait_for(bystander), KILLED(SIGKILL));
}

/* A new process in `number`, made by who has one capability over the namespace: the result, or -errno. */
static pid_t clone_by_right(int capability, pid_t number)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{0}};
	pid_t child;

	data[capability / 32].effective = data[capability / 32].permitted = 1U << capability % 32;
	MUST(syscall(SYS_capset, &header, data));
	child = clone_as(0, &number, 1);
	return child == -1 ? -errno : child;
}

TEST(who_chooses_numbers)
{
	pid_t free_number = child_that_exits(0), child;

	CHECK_EQ(wait_for(free_number), EXITED(0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(clone_by_right(CAP_CHECKPOINT_RESTORE, free_number), free_number);
		CHECK_EQ(wait_for(free_number), EXITED(0));
		CHECK_EQ(write_text("/proc/sys/kernel/ns_last_pid", "1000"), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(clone_by_right(CAP_SYS_PTRACE, free_number), -EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}
