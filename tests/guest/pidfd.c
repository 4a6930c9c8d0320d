/* Descriptors of processes, and barriers between threads: pidfd_open(2), pidfd_getfd(2), pidfd_send_signal(2),
 * membarrier(2). */
#include "check.h"

#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define NONBLOCK O_NONBLOCK
#define THREAD O_EXCL
#define PROCESS_GROUP 4
#define SELF_THREAD (-10000)
#define PID_NAMESPACE 0xFF05
#define PID_NAMESPACE_FOR_CHILDREN 0xFF06
#define USER_NAMESPACE 0xFF09
#define GET_INFO 0xC040FF0B
#define INFO_EXIT 8

static int open_process(pid_t pid, unsigned int flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int get_descriptor(int pidfd, int fd, unsigned int flags)
{
	return (int)syscall(SYS_pidfd_getfd, pidfd, fd, flags);
}

#define ONLY_THE_THREAD 1
static int send_signal(int pidfd, int signal, siginfo_t *info, unsigned int flags)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, info, flags);
}

static int is_ready(int fd)
{
	struct pollfd polled = {fd, POLLIN, 0};

	MUST(poll(&polled, 1, 0));
	return polled.revents;
}

static void *report_tid(void *argument)
{
	*(volatile pid_t *)argument = (pid_t)syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

TEST(opening)
{
	volatile pid_t tid = 0;
	pthread_t thread;
	char text[8];
	int pidfd = (int)MUST(open_process(getpid(), 0));
	pid_t child;

	CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(pidfd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
	CHECK_EQ(is_ready(pidfd), 0);
	CHECK_ERRNO(read(pidfd, text, 1), EINVAL);
	CHECK_ERRNO(write(pidfd, text, 1), EINVAL);
	CHECK_ERRNO(lseek(pidfd, 0, SEEK_SET), ESPIPE);
	CHECK_ERRNO(open_process(0, 0), EINVAL);
	CHECK_ERRNO(open_process(-1, 0), EINVAL);
	CHECK_ERRNO(open_process(getpid(), 1), EINVAL);
	CHECK_ERRNO(open_process(0x3ffffff0, 0), ESRCH);
	pidfd = (int)MUST(open_process(getpid(), NONBLOCK));
	CHECK_EQ(fcntl(pidfd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	/* A thread that isn't a process. */
	MUST(pthread_create(&thread, NULL, report_tid, (void *)&tid) == 0 ? 0 : -1);
	while (tid == 0)
		sleep_ms(1);
	CHECK(open_process(tid, 0) == -1 && (errno == EINVAL || errno == ENOENT));
	/* Before a zombie is reaped and after. */
	child = child_that_exits(3);
	await_zombie(child);
	pidfd = (int)MUST(open_process(child, 0));
	CHECK_EQ(is_ready(pidfd) & POLLIN, POLLIN);
	CHECK_EQ(wait_for(child), EXITED(3));
	CHECK_ERRNO(open_process(child, 0), ESRCH);
	CHECK_EQ(is_ready(pidfd) & POLLIN, POLLIN);
}

TEST(readiness)
{
	struct epoll_event event = {EPOLLIN, {.u32 = 5}};
	int pidfd, epoll = (int)MUST(epoll_create1(0));
	pid_t child = child_that_pauses();

	pidfd = (int)MUST(open_process(child, 0));
	CHECK_EQ(is_ready(pidfd), 0);
	MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, pidfd, &event));
	CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
	/* A stop is no end. */
	MUST(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, NULL, WUNTRACED), child);
	CHECK_EQ(is_ready(pidfd), 0);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(epoll_wait(epoll, &event, 1, -1), 1);
	CHECK_EQ(event.data.u32, 5);
	CHECK_EQ(is_ready(pidfd) & POLLIN, POLLIN);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

TEST(waiting)
{
	siginfo_t info = {0};
	int pidfd, other;
	pid_t child = child_that_pauses();

	pidfd = (int)MUST(open_process(child, NONBLOCK));
	other = (int)MUST(open_process(getpid(), 0));
	CHECK_ERRNO(waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED), EAGAIN);
	CHECK_EQ(waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG), 0);
	CHECK_EQ(info.si_pid, 0);
	CHECK_ERRNO(waitid((idtype_t)P_PIDFD, (id_t)other, &info, WEXITED), ECHILD);
	CHECK_ERRNO(waitid((idtype_t)P_PIDFD, (id_t)-1, &info, WEXITED), EINVAL);
	CHECK_ERRNO(waitid((idtype_t)P_PIDFD, 999, &info, WEXITED), EBADF);
	CHECK_ERRNO(waitid((idtype_t)P_PIDFD, STDIN_FILENO, &info, WEXITED), EBADF);
	MUST(fcntl(pidfd, F_SETFL, 0));
	MUST(kill(child, SIGTERM));
	CHECK_EQ(waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(info.si_status, SIGTERM);
	CHECK_ERRNO(waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED), ECHILD);
}

static volatile sig_atomic_t got_signal, got_code, got_value;

static void note(int signal, siginfo_t *info, void *context)
{
	(void)context;
	got_signal = signal;
	got_code = info->si_code;
	got_value = info->si_value.sival_int;
}

TEST(signals)
{
	siginfo_t info = {0};
	int pidfd, self = (int)MUST(open_process(getpid(), 0));
	pid_t child = child_that_pauses();

	handle_info(SIGUSR1, note, 0);
	CHECK_EQ(send_signal(self, SIGUSR1, NULL, 0), 0);
	CHECK_EQ(got_signal, SIGUSR1);
	CHECK_EQ(got_code, SI_USER);
	if (send_signal(self, 0, NULL, ONLY_THE_THREAD) == 0) {
		CHECK_EQ(send_signal(self, SIGUSR1, NULL, ONLY_THE_THREAD), 0);
		CHECK_EQ(got_code, SI_TKILL);
	}
	info.si_signo = SIGUSR1;
	info.si_code = SI_QUEUE;
	info.si_value.sival_int = 77;
	CHECK_EQ(send_signal(self, SIGUSR1, &info, 0), 0);
	CHECK_EQ(got_code, SI_QUEUE);
	CHECK_EQ(got_value, 77);
	CHECK_ERRNO(send_signal(self, SIGUSR2, &info, 0), EINVAL);
	CHECK_ERRNO(send_signal(self, SIGUSR1, bad_address(), 0), EFAULT);
	CHECK_ERRNO(send_signal(self, SIGUSR1, NULL, 0x1000), EINVAL);
	CHECK_ERRNO(send_signal(self, 65, NULL, 0), EINVAL);
	CHECK_ERRNO(send_signal(-1, SIGUSR1, NULL, 0), EBADF);
	CHECK_ERRNO(send_signal(STDIN_FILENO, SIGUSR1, NULL, 0), EBADF);
	CHECK_EQ(send_signal(self, 0, NULL, 0), 0);
	pidfd = (int)MUST(open_process(child, 0));
	/* Nobody may claim that the kernel, or kill(2), sent it to another process. */
	info.si_code = SI_USER;
	CHECK_ERRNO(send_signal(pidfd, SIGUSR1, &info, 0), EPERM);
	CHECK_EQ(send_signal(pidfd, SIGKILL, NULL, 0), 0);
	await_zombie(child);
	CHECK_EQ(send_signal(pidfd, SIGKILL, NULL, 0), 0);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_ERRNO(send_signal(pidfd, SIGKILL, NULL, 0), ESRCH);
	CHECK_ERRNO(send_signal(pidfd, 0, NULL, 0), ESRCH);
}

TEST(signals_to_the_group_that_a_process_leads)
{
	pid_t leader = child_that_pauses(), member = child_that_pauses();
	int of_leader = (int)MUST(open_process(leader, 0)), of_member = (int)MUST(open_process(member, 0));

	CHECK_ERRNO(send_signal(of_leader, 0, NULL, PROCESS_GROUP), ESRCH);
	CHECK_ERRNO(send_signal(of_leader, 0, NULL, PROCESS_GROUP | 1), EINVAL);
	MUST(setpgid(leader, 0));
	MUST(setpgid(member, leader));
	CHECK_EQ(send_signal(of_leader, 0, NULL, PROCESS_GROUP), 0);
	CHECK_ERRNO(send_signal(of_member, SIGTERM, NULL, PROCESS_GROUP), ESRCH);
	CHECK_EQ(send_signal(of_leader, SIGTERM, NULL, PROCESS_GROUP), 0);
	CHECK_EQ(wait_for(leader), KILLED(SIGTERM));
	CHECK_EQ(wait_for(member), KILLED(SIGTERM));
}

TEST(descriptors_of_others)
{
	char text[8] = "";
	int pidfd, got, pipes[2], go[2], only_there;
	pid_t child;
	int *shared = make_shared_page();

	MUST(pipe(pipes));
	MUST(pipe(go));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int ends[2];

		MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
		write_all(ends[1], "inside", 6);
		shared[1] = ends[0];
		__atomic_store_n(&shared[0], 1, __ATOMIC_SEQ_CST);
		MUST(close(go[1]));
		_exit(read(go[0], text, 1) == 0 ? 0 : 1);
	}
	MUST(close(go[0]));
	while (__atomic_load_n(&shared[0], __ATOMIC_SEQ_CST) == 0)
		sleep_ms(1);
	only_there = shared[1];
	pidfd = (int)MUST(open_process(child, 0));
	got = (int)MUST(get_descriptor(pidfd, only_there, 0));
	CHECK_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(read(got, text, sizeof(text)), 6);
	CHECK_EQ(memcmp(text, "inside", 6), 0);
	/* It's the same open file. */
	MUST(fcntl(got, F_SETFL, O_NONBLOCK));
	CHECK_EQ(fcntl((int)MUST(get_descriptor(pidfd, only_there, 0)), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_ERRNO(get_descriptor(pidfd, only_there, 1), EINVAL);
	CHECK_ERRNO(get_descriptor(pidfd, 999, 0), EBADF);
	CHECK_ERRNO(get_descriptor(pidfd, -1, 0), EBADF);
	CHECK_ERRNO(get_descriptor(-1, only_there, 0), EBADF);
	CHECK_ERRNO(get_descriptor(pipes[0], 0, 0), EBADF);
	MUST(close(go[1]));
	await_zombie(child);
	CHECK_ERRNO(get_descriptor(pidfd, only_there, 0), ESRCH);
	/* Who may not look at it isn't told that much. */
	if (geteuid() == 0) {
		pid_t stranger = (pid_t)MUST(fork());

		if (stranger == 0) {
			MUST(setresuid(4321, 4321, 4321));
			CHECK_ERRNO(get_descriptor(pidfd, only_there, 0), EPERM);
			_exit(0);
		}
		CHECK_EQ(wait_for(stranger), EXITED(0));
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(get_descriptor(pidfd, only_there, 0), ESRCH);
	/* From the process itself. */
	pidfd = (int)MUST(open_process(getpid(), 0));
	CHECK(get_descriptor(pidfd, pipes[0], 0) > pipes[0]);
}

TEST(who_may_take_descriptors)
{
	pid_t child = (pid_t)MUST(fork());
	char byte;
	struct iovec part = {&byte, 1};
	int pidfd;

	if (child == 0) {
		/* Nobody may look into it, not even its own user. */
		MUST(prctl(PR_SET_DUMPABLE, 0));
		for (;;)
			pause();
	}
	sleep_ms(20);
	drop_root();
	pidfd = (int)MUST(open_process(child, 0));
	CHECK_ERRNO(get_descriptor(pidfd, STDIN_FILENO, 0), EPERM);
	CHECK_ERRNO(process_vm_readv(child, &part, 1, &part, 1, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_process_madvise, pidfd, &part, 1, MADV_PAGEOUT, 0), EACCES);
	kill(child, SIGKILL);
}

static int barrier(int command, unsigned int flags)
{
	return (int)syscall(SYS_membarrier, command, flags, 0);
}

TEST(barriers)
{
	int supported = (int)MUST(barrier(MEMBARRIER_CMD_QUERY, 0));
	int needed = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
		     MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
	pid_t child;

	CHECK_EQ(supported & needed, needed);
	CHECK_ERRNO(barrier(MEMBARRIER_CMD_QUERY, 1), EINVAL);
	CHECK_ERRNO(barrier(1 << 30, 0), EINVAL);
	CHECK_ERRNO(barrier(MEMBARRIER_CMD_GLOBAL, 1), EINVAL);
	CHECK_EQ(barrier(MEMBARRIER_CMD_GLOBAL, 0), 0);
	CHECK_EQ(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0), 0);
	CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), EPERM);
	CHECK_EQ(barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0), 0);
	CHECK_EQ(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), 0);
	CHECK_EQ(barrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0), 0);
	/* A child's memory is registered as well. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(what_stat_shows)
{
	int own = (int)MUST(open_process(getpid(), 0)), again = (int)MUST(open_process(getpid(), 0));
	int parents = (int)MUST(open_process(getppid(), 0));
	struct stat first, second, other;
	struct statfs system;

	MUST(fstat(own, &first));
	MUST(fstat(again, &second));
	MUST(fstat(parents, &other));
	CHECK_EQ(first.st_mode, 0700);
	CHECK_EQ(first.st_nlink, 1);
	CHECK_EQ(first.st_size, 0);
	/* Two descriptors are for the same process if their inode numbers are the same. */
	CHECK(first.st_ino == second.st_ino && first.st_dev == second.st_dev);
	CHECK(first.st_ino != other.st_ino && first.st_dev == other.st_dev);
	CHECK_OK(fstatfs(own, &system));
	CHECK_EQ(system.f_type, 0x50494446);
	CHECK_ERRNO(fchmod(own, 0600), EOPNOTSUPP);
}

/* By its name in /proc, as another open file. */
static int open_again(int pidfd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", pidfd);
	return open(path, flags);
}

static pid_t start_thread(void)
{
	static volatile pid_t tid;
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, report_tid, (void *)&tid) == 0 ? 0 : -1);
	while (tid == 0)
		sleep_ms(1);
	return tid;
}

ROOTS_TEST(opened_again)
{
	pid_t child = child_that_pauses();
	int pidfd = (int)MUST(open_process(child, NONBLOCK)), again = (int)MUST(open_again(pidfd, O_RDWR));
	char text[8];

	CHECK_EQ(fcntl(again, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
	CHECK_ERRNO(read(again, text, 1), EINVAL);
	CHECK_EQ(send_signal(again, 0, NULL, 0), 0);
	CHECK_EQ(send_signal((int)MUST(open_again(pidfd, O_RDONLY)), 0, NULL, 0), 0);
	CHECK_ERRNO(open_again(pidfd, O_WRONLY | O_TRUNC), EOPNOTSUPP);
	CHECK_ERRNO(open_again(pidfd, O_RDWR | O_DIRECT), EINVAL);
	CHECK_ERRNO(open_again(pidfd, O_DIRECTORY), ENOTDIR);
	CHECK_EQ(is_ready(again), 0);
	CHECK_EQ(send_signal(again, SIGKILL, NULL, 0), 0);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_EQ(is_ready(again), POLLIN | POLLHUP);
	/* Even of one that's gone. */
	CHECK_ERRNO(send_signal((int)MUST(open_again(pidfd, O_RDWR)), 0, NULL, 0), ESRCH);
}

ROOTS_TEST(a_thread_opened_again)
{
	struct iovec whole = {"", 1};
	int pidfd = (int)MUST(open_process(start_thread(), THREAD)), again = (int)MUST(open_again(pidfd, O_RDWR));

	/* It doesn't say any more that it's for the thread alone. */
	CHECK_EQ(fcntl(pidfd, F_GETFL) & THREAD, THREAD);
	CHECK_EQ(fcntl(again, F_GETFL) & THREAD, 0);
	CHECK_EQ(send_signal(again, 0, NULL, 0), 0);
	CHECK_ERRNO(send_signal(again, 0, NULL, PROCESS_GROUP), ESRCH);
	CHECK_EQ(is_ready(again), 0);
	/* What takes a process doesn't take a thread's id. */
	CHECK_ERRNO(syscall(SYS_process_madvise, pidfd, &whole, 1, MADV_COLD, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_process_mrelease, pidfd, 0), ESRCH);
	CHECK_ERRNO(waitid((idtype_t)P_PIDFD, (id_t)again, NULL, WEXITED | WNOHANG), ECHILD);
}

ROOTS_TEST(attributes_before_there_are_any)
{
	pid_t child = child_that_pauses();
	int pidfd = (int)MUST(open_process(child, 0));
	char value[8];

	/* All are there and empty, until the first is set or removed. */
	CHECK_EQ(fgetxattr(pidfd, "trusted.a", value, sizeof(value)), 0);
	CHECK_EQ(flistxattr(pidfd, value, sizeof(value)), 0);
	CHECK_ERRNO(fremovexattr(pidfd, "trusted.a"), ENODATA);
	CHECK_ERRNO(fgetxattr(pidfd, "trusted.a", value, sizeof(value)), ENODATA);
	CHECK_OK(fsetxattr(pidfd, "trusted.a", "xy", 2, 0));
	CHECK_EQ(fgetxattr(pidfd, "trusted.a", value, sizeof(value)), 2);
	CHECK_ERRNO(fgetxattr(pidfd, "user.a", value, sizeof(value)), EOPNOTSUPP);
	kill(child, SIGKILL);
}

static void *exit_later(void *argument)
{
	(void)argument;
	sleep_ms(60);
	syscall(SYS_exit_group, 5);
	return NULL;
}

TEST(opened_again_by_an_ordinary_user)
{
	drop_root();
	CHECK_ERRNO(open_again((int)MUST(open_process(getpid(), 0)), O_RDWR), EACCES);
}

TEST(how_it_ended_whatever_the_pidfd_is_for)
{
	uint64_t words[8] = {INFO_EXIT};
	int pidfd, of_leader;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, exit_later, NULL);
		syscall(SYS_exit, 3);
	}
	pidfd = (int)MUST(open_process(child, 0));
	of_leader = (int)MUST(open_process(child, THREAD));
	CHECK_EQ(wait_for(child), EXITED(5));
	MUST(ioctl(pidfd, GET_INFO, words));
	CHECK_EQ(words[7] >> 32, 5 << 8);
	memset(words, 0, sizeof(words));
	words[0] = INFO_EXIT;
	/* The thread that exited with 3 was the process's first. */
	MUST(ioctl(of_leader, GET_INFO, words));
	CHECK_EQ(words[7] >> 32, 5 << 8);
}

TEST(namespaces_of_what_has_ended)
{
	pid_t child = child_that_exits(0);
	int pidfd = (int)MUST(open_process(child, 0));

	await_zombie(child);
	CHECK_ERRNO(ioctl(pidfd, PID_NAMESPACE, 0), ESRCH);
	CHECK_ERRNO(ioctl(pidfd, USER_NAMESPACE, 0), ESRCH);
	CHECK_ERRNO(ioctl(pidfd, USER_NAMESPACE, 1), EINVAL);
	CHECK_EQ(wait_for(child), EXITED(0));
}

ROOTS_TEST(a_pid_namespace_without_anybody)
{
	int pidfd = (int)MUST(open_process(getpid(), 0));

	MUST(unshare(CLONE_NEWPID));
	CHECK_ERRNO(open("/proc/self/ns/pid_for_children", O_RDONLY), ENOENT);
	CHECK_OK(setns((int)MUST(ioctl(pidfd, PID_NAMESPACE_FOR_CHILDREN, 0)), CLONE_NEWPID));
}

ROOTS_TEST(several_namespaces_where_the_root_is_shared)
{
	int pidfd = (int)MUST(open_process(getpid(), 0));

	MUST(unshare(CLONE_NEWNS | CLONE_NEWUTS));
	start_thread();
	CHECK_ERRNO(setns(pidfd, CLONE_NEWNS), EINVAL);
	CHECK_OK(setns(pidfd, CLONE_NEWNS | CLONE_NEWUTS));
}

TEST(who_may_pretend)
{
	siginfo_t info = {.si_signo = 0, .si_code = SI_TKILL};
	int self = (int)MUST(open_process(getpid(), 0)), thread = (int)MUST(open_process(start_thread(), THREAD));

	CHECK_EQ(send_signal(self, 0, &info, 0), 0);
	CHECK_EQ(send_signal(SELF_THREAD, 0, &info, 0), 0);
	/* To another thread, or to a whole group, nobody. */
	CHECK_ERRNO(send_signal(thread, 0, &info, 0), EPERM);
	CHECK_ERRNO(send_signal(self, 0, &info, PROCESS_GROUP), EPERM);
}
