/* Processes that share parts with their parent, and process descriptors: clone(2), clone3(2), unshare(2), pidfd_open(2). */
#include "check.h"

#include <pthread.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/signalfd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static volatile int signals, last_pid;
static char child_stack[65536] __attribute__((aligned(16)));

static void count_info(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	signals++;
	last_pid = info->si_pid;
}

/* The system call itself, as fork uses it: no new stack. */
static pid_t raw_clone(unsigned long flags, pid_t *parent_tid, pid_t *child_tid)
{
	return (pid_t)syscall(SYS_clone, flags, NULL, parent_tid, child_tid, 0);
}

static pid_t clone_with_stack(int (*body)(void *), int flags, void *argument)
{
	return (pid_t)MUST(clone(body, child_stack + sizeof(child_stack), flags, argument));
}

static long clone3_call(struct clone_args *arguments, size_t size)
{
	return syscall(SYS_clone3, arguments, size);
}

static int status_with(pid_t child, int options)
{
	int status = -1;

	MUST(waitpid(child, &status, options));
	return status;
}

TEST(clone_without_flags_is_fork)
{
	int value = 1;
	pid_t parent = getpid(), child = raw_clone(SIGCHLD, NULL, NULL);

	if (child == 0) {
		value = 2;
		_exit(getppid() == parent && getpid() != parent ? value : 9);
	}
	CHECK(child > 0);
	CHECK_EQ(wait_for(child), EXITED(2));
	CHECK_EQ(*(volatile int *)&value, 1);
}

TEST(other_exit_signals)
{
	pid_t child;

	handle_info(SIGUSR1, count_info, SA_RESTART);
	child = raw_clone(SIGUSR1, NULL, NULL);
	if (child == 0)
		_exit(5);
	CHECK_ERRNO(waitpid(child, NULL, 0), ECHILD);
	CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
	CHECK_EQ(status_with(child, __WCLONE), EXITED(5));
	CHECK_EQ(signals, 1);
	CHECK_EQ(last_pid, child);
	child = raw_clone(SIGUSR1, NULL, NULL);
	if (child == 0)
		_exit(6);
	CHECK_EQ(status_with(child, __WALL), EXITED(6));
	CHECK_EQ(signals, 2);
	child = raw_clone(0, NULL, NULL);
	if (child == 0)
		_exit(7);
	CHECK_ERRNO(waitpid(child, NULL, 0), ECHILD);
	CHECK_EQ(status_with(child, __WCLONE), EXITED(7));
	CHECK_EQ(signals, 2);
	child = raw_clone(200, NULL, NULL);
	if (child == 0)
		_exit(8);
	CHECK_ERRNO(waitpid(child, NULL, 0), ECHILD);
	CHECK_EQ(status_with(child, __WCLONE), EXITED(8));
	CHECK_EQ(signals, 2);
}

static siginfo_t announced;

static void keep_info(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	announced = *info;
}

/* A child's id and user are where they are for SIGCHLD, whatever the signal makes of these bytes. */
TEST(what_other_exit_signals_tell)
{
	static const int exit_signals[] = {SIGIO, SIGSEGV, SIGILL, SIGBUS, SIGTRAP, SIGSYS, SIGUSR1, SIGALRM};
	uid_t user = geteuid() == 0 ? 4000000000U : getuid();

	for (size_t at = 0; at < sizeof(exit_signals) / sizeof(*exit_signals); at++) {
		struct signalfd_siginfo read_info;
		int signal = exit_signals[at], fd;
		sigset_t set = set_of(signal);
		uint64_t told;
		pid_t child;

		handle_info(signal, keep_info, 0);
		child = (pid_t)MUST(raw_clone((unsigned long)signal, NULL, NULL));
		if (child == 0) {
			MUST(setresuid(user, user, user));
			_exit(40);
		}
		CHECK_EQ(status_with(child, __WALL), EXITED(40));
		CHECK_EQ(announced.si_signo, signal);
		CHECK_EQ(announced.si_code, CLD_EXITED);
		CHECK_EQ(announced.si_pid, child);
		CHECK_EQ(announced.si_uid, user);
		CHECK_EQ(announced.si_status, 40);
		told = (uint64_t)child | (uint64_t)user << 32;
		CHECK_EQ((uint64_t)announced.si_addr, told);
		MUST(sigprocmask(SIG_BLOCK, &set, NULL));
		fd = (int)MUST(signalfd(-1, &set, 0));
		child = (pid_t)MUST(raw_clone((unsigned long)signal, NULL, NULL));
		if (child == 0) {
			MUST(setresuid(user, user, user));
			_exit(41);
		}
		CHECK_EQ(status_with(child, __WALL), EXITED(41));
		told = (uint64_t)child | (uint64_t)user << 32;
		CHECK_EQ(read(fd, &read_info, sizeof read_info), sizeof read_info);
		CHECK_EQ(read_info.ssi_code, CLD_EXITED);
		if (signal == SIGIO || signal == SIGUSR1 || signal == SIGALRM) {
			CHECK_EQ(read_info.ssi_band, (uint32_t)told);
			CHECK_EQ(read_info.ssi_fd, 41);
		} else if (signal == SIGSYS) {
			CHECK_EQ(read_info.ssi_call_addr, told);
			CHECK_EQ(read_info.ssi_syscall, 41);
		} else {
			CHECK_EQ(read_info.ssi_addr, told);
		}
		CHECK_EQ(read_info.ssi_pid, 0);
		MUST(close(fd));
	}
}

TEST(wait_options_for_clones)
{
	siginfo_t info;
	pid_t forked = child_that_exits(1), cloned = raw_clone(0, NULL, NULL);

	if (cloned == 0)
		_exit(2);
	CHECK_ERRNO(waitpid(forked, NULL, __WCLONE), ECHILD);
	CHECK_ERRNO(waitpid(cloned, NULL, WNOHANG), ECHILD);
	CHECK_EQ(waitid(P_PID, (id_t)cloned, &info, WEXITED | __WALL | WNOWAIT), 0);
	CHECK_EQ(info.si_status, 2);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(status_with(forked, __WALL), EXITED(1));
	CHECK_EQ(status_with(-1, __WALL | __WNOTHREAD), EXITED(2));
	CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
}

ROLE(exits)
{
	write_all(STDOUT_FILENO, "x", 1);
	return 33;
}

/* In the child: becomes a program that writes a byte to `fd` and exits with 33. */
static void execute_exits(int fd)
{
	dup2(fd, STDOUT_FILENO);
	execl(check_self, check_self, "exits", NULL);
	_exit(1);
}

TEST(exec_makes_the_exit_signal_sigchld)
{
	int ends[2];
	char byte;
	pid_t child;

	MUST(pipe(ends));
	child = raw_clone(0, NULL, NULL);
	if (child == 0)
		execute_exits(ends[1]);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	CHECK_EQ(wait_for(child), EXITED(33));
}

static int set_value(void *argument)
{
	volatile int *value = argument;

	sleep_ms(10);
	*value = getpid();
	return 11;
}

TEST(shared_memory)
{
	volatile int value = 0;
	pid_t child = clone_with_stack(set_value, CLONE_VM | SIGCHLD, (void *)&value);

	CHECK_EQ(wait_for(child), EXITED(11));
	CHECK_EQ(value, child);
	value = 0;
	child = clone_with_stack(set_value, SIGCHLD, (void *)&value);
	CHECK_EQ(wait_for(child), EXITED(11));
	CHECK_EQ(value, 0);
	child = clone_with_stack(set_value, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)&value);
	CHECK_EQ(value, child);
	CHECK_EQ(wait_for(child), EXITED(11));
}

static int map_page(void *argument)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	strcpy(page, "mapped by the child");
	*(char **)argument = page;
	return 0;
}

TEST(shared_address_space_outlives_the_child)
{
	char *page = NULL;
	pid_t child = clone_with_stack(map_page, CLONE_VM | SIGCHLD, &page);

	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_STRING(page, "mapped by the child");
	CHECK_EQ(munmap(page, 4096), 0);
}

TEST(vfork_flag_suspends)
{
	int *page = make_shared_page();
	pid_t child = raw_clone(CLONE_VFORK | SIGCHLD, NULL, NULL);

	if (child == 0) {
		sleep_ms(20);
		page[0] = 1;
		_exit(3);
	}
	CHECK_EQ(*(volatile int *)page, 1);
	CHECK_EQ(wait_for(child), EXITED(3));
}

TEST(shared_descriptors)
{
	int ends[2], opened = -1;
	pid_t child;

	MUST(pipe(ends));
	child = raw_clone(CLONE_FILES | SIGCHLD, NULL, NULL);
	if (child == 0) {
		MUST(close(ends[0]));
		MUST(dup2(ends[1], 77));
		MUST(fcntl(ends[1], F_SETFD, FD_CLOEXEC));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(fcntl(ends[0], F_GETFD), EBADF);
	CHECK_EQ(fcntl(77, F_GETFD), 0);
	CHECK_EQ(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
	child = raw_clone(SIGCHLD, NULL, NULL);
	if (child == 0) {
		MUST(close(77));
		opened = (int)MUST(dup2(ends[1], 78));
		_exit(opened);
	}
	CHECK_EQ(wait_for(child), EXITED(78));
	CHECK_EQ(fcntl(77, F_GETFD), 0);
	CHECK_ERRNO(fcntl(78, F_GETFD), EBADF);
}

TEST(exec_unshares_descriptors)
{
	int ends[2], null = (int)MUST(open("/dev/null", O_WRONLY));
	pid_t child;

	MUST(pipe2(ends, O_CLOEXEC));
	child = raw_clone(CLONE_FILES | SIGCHLD, NULL, NULL);
	if (child == 0)
		execute_exits(null);
	CHECK_EQ(wait_for(child), EXITED(33));
	CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
}

TEST(shared_file_system_attributes)
{
	char text[PATH_MAX], scratch[64], sub[80];
	pid_t child;

	strcpy(scratch, enter_scratch());
	MUST(mkdir("sub", 0755));
	snprintf(sub, sizeof(sub), "%s/sub", scratch);
	umask(022);
	child = raw_clone(CLONE_FS | SIGCHLD, NULL, NULL);
	if (child == 0) {
		MUST(chdir("sub"));
		umask(077);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_STRING(getcwd(text, sizeof(text)), sub);
	CHECK_EQ(umask(022), 077);
	child = raw_clone(SIGCHLD, NULL, NULL);
	if (child == 0) {
		MUST(chdir(".."));
		umask(0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_STRING(getcwd(text, sizeof(text)), sub);
	CHECK_EQ(umask(022), 022);
	child = raw_clone(CLONE_FS | CLONE_FILES | SIGCHLD, NULL, NULL);
	if (child == 0) {
		MUST(unshare(CLONE_FS | CLONE_FILES));
		MUST(chdir("/"));
		umask(011);
		MUST(close(STDIN_FILENO));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_STRING(getcwd(text, sizeof(text)), sub);
	CHECK_EQ(umask(022), 022);
	CHECK_OK(fcntl(STDIN_FILENO, F_GETFD));
}

static int ignore_usr2(void *argument)
{
	(void)argument;
	handle(SIGUSR2, SIG_IGN, 0);
	block(SIGTERM);
	return 0;
}

TEST(shared_handlers)
{
	struct sigaction action;
	sigset_t mask;
	pid_t child = clone_with_stack(ignore_usr2, CLONE_VM | SIGCHLD, NULL);

	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(sigaction(SIGUSR2, NULL, &action));
	CHECK(action.sa_handler == SIG_DFL);
	child = clone_with_stack(ignore_usr2, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL);
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(sigaction(SIGUSR2, NULL, &action));
	CHECK(action.sa_handler == SIG_IGN);
	MUST(sigprocmask(SIG_BLOCK, NULL, &mask));
	CHECK_EQ(sigismember(&mask, SIGTERM), 0);
}

TEST(thread_ids_in_memory)
{
	pid_t in_parent = -1, in_child = -1, child;
	pid_t *shared = (pid_t *)make_shared_page();

	child = raw_clone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, &in_parent, &in_child);
	if (child == 0)
		_exit(in_child == getpid() ? 4 : 5);
	CHECK_EQ(in_parent, child);
	CHECK_EQ(in_child, -1);
	CHECK_EQ(wait_for(child), EXITED(4));
	shared[0] = 7;
	child = raw_clone(CLONE_CHILD_SETTID | SIGCHLD, NULL, &shared[0]);
	if (child == 0)
		_exit(0);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(shared[0], child);
	CHECK_EQ(syscall(SYS_set_tid_address, &shared[1]), gettid());
}

static int sleep_and_end(void *argument)
{
	sleep_ms(*(int *)argument);
	return 0;
}

TEST(cleared_thread_id_wakes_a_waiter)
{
	int delay_ms = 20;
	static pid_t tid;
	pid_t child, seen;

	child = (pid_t)MUST(clone(sleep_and_end, child_stack + sizeof(child_stack),
				  CLONE_VM | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID | SIGCHLD, &delay_ms,
				  &tid, NULL, &tid));
	while ((seen = __atomic_load_n(&tid, __ATOMIC_SEQ_CST)) != 0) {
		if (seen != child)
			break;
		syscall(SYS_futex, &tid, FUTEX_WAIT, seen, NULL, NULL, 0);
	}
	CHECK_EQ(seen, 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(clone_parent_makes_a_sibling)
{
	int ends[2];
	pid_t parent = getpid(), child, sibling = 0;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sibling = (pid_t)MUST(raw_clone(CLONE_PARENT | SIGCHLD, NULL, NULL));
		if (sibling == 0)
			_exit(getppid() == parent ? 21 : 22);
		write_all(ends[1], &sibling, sizeof(sibling));
		CHECK_ERRNO(waitpid(sibling, NULL, 0), ECHILD);
		_exit(0);
	}
	CHECK_EQ(read(ends[0], &sibling, sizeof(sibling)), sizeof(sibling));
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(wait_for(sibling), EXITED(21));
}

TEST(clone_errnos)
{
	pid_t tid;

	CHECK_ERRNO(raw_clone(CLONE_SIGHAND | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERRNO(raw_clone(CLONE_THREAD | CLONE_VM | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERRNO(raw_clone(CLONE_THREAD | CLONE_SIGHAND | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERRNO(raw_clone(CLONE_FS | CLONE_NEWNS | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERRNO(raw_clone(CLONE_FS | CLONE_NEWUSER | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERRNO(raw_clone(CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, &tid, NULL), EINVAL);
	CHECK_ERRNO(raw_clone(CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, &tid, NULL), EINVAL);
	/* Before it's looked where the descriptor goes. */
	CHECK_ERRNO(raw_clone(CLONE_PIDFD | CLONE_SIGHAND | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERRNO(raw_clone(CLONE_PIDFD | CLONE_THREAD | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERRNO(raw_clone(CLONE_PIDFD | SIGCHLD, NULL, NULL), EFAULT);
	CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(unshare_calls)
{
	pid_t child;

	CHECK_EQ(unshare(0), 0);
	CHECK_EQ(unshare(CLONE_FS), 0);
	CHECK_EQ(unshare(CLONE_FILES), 0);
	CHECK_EQ(unshare(CLONE_SYSVSEM), 0);
	CHECK_ERRNO(unshare(CLONE_PARENT), EINVAL);
	CHECK_ERRNO(unshare(SIGCHLD), EINVAL);
	CHECK_EQ(unshare(CLONE_THREAD), 0);
	CHECK_EQ(unshare(CLONE_VM), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_ERRNO(unshare(CLONE_NEWNS), EPERM);
		CHECK_ERRNO(unshare(CLONE_NEWPID), EPERM);
		CHECK_ERRNO(unshare(CLONE_NEWUTS), EPERM);
		CHECK_ERRNO(raw_clone(CLONE_NEWPID | SIGCHLD, NULL, NULL), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(clone3_like_fork)
{
	pid_t in_parent = -1, child;
	struct clone_args arguments = {.flags = CLONE_PARENT_SETTID, .exit_signal = SIGCHLD,
				       .parent_tid = (uintptr_t)&in_parent};

	child = (pid_t)clone3_call(&arguments, sizeof(arguments));
	if (child == 0)
		_exit(8);
	CHECK(child > 0);
	CHECK_EQ(in_parent, child);
	CHECK_EQ(wait_for(child), EXITED(8));
	child = (pid_t)clone3_call(&(struct clone_args){.exit_signal = SIGCHLD}, CLONE_ARGS_SIZE_VER0);
	if (child == 0)
		_exit(9);
	CHECK_EQ(wait_for(child), EXITED(9));
}

TEST(thread_local_storage_of_a_child)
{
	static unsigned long area[512];
	pid_t child;

	area[0] = 123456789;
	child = (pid_t)syscall(SYS_clone, CLONE_SETTLS | SIGCHLD, 0L, 0L, 0L, (long)area);
	if (child == 0) {
		unsigned long word;
		long result;

		/* The C library's own thread-local storage isn't here: no call to it may be made. */
		__asm__ volatile("movq %%fs:0, %0" : "=r"(word));
		__asm__ volatile("syscall" : "=a"(result) : "0"((long)SYS_exit_group), "D"(word == 123456789 ? 7L : 8L) : "rcx", "r11", "memory");
		__builtin_unreachable();
	}
	CHECK_EQ(wait_for(child), EXITED(7));
	CHECK(errno >= 0);
}

TEST(clone3_errnos)
{
	struct {
		struct clone_args arguments;
		char more[4096];
	} large = {.arguments.exit_signal = SIGCHLD};
	struct clone_args arguments = {.exit_signal = SIGCHLD};
	pid_t child;

	CHECK_ERRNO(clone3_call(&arguments, CLONE_ARGS_SIZE_VER0 - 1), EINVAL);
	CHECK_ERRNO(clone3_call(&arguments, 0), EINVAL);
	CHECK_ERRNO(clone3_call(&large.arguments, 4097), E2BIG);
	large.more[100] = 1;
	CHECK_ERRNO(clone3_call(&large.arguments, 4000), E2BIG);
	CHECK_ERRNO(clone3_call(bad_address(), sizeof(arguments)), EFAULT);
	arguments.exit_signal = 65;
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.flags = SIGCHLD};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.flags = CLONE_DETACHED, .exit_signal = SIGCHLD};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.exit_signal = SIGCHLD, .stack = (uintptr_t)child_stack};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.exit_signal = SIGCHLD, .stack_size = sizeof(child_stack)};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.exit_signal = SIGCHLD, .stack = -16ULL, .stack_size = 32};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.exit_signal = SIGCHLD, .stack = -8192ULL, .stack_size = 4096};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.exit_signal = SIGCHLD, .stack = 1ULL << 63, .stack_size = 1ULL << 63};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.exit_signal = SIGCHLD, .stack = (uintptr_t)child_stack, .stack_size = -1ULL};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.exit_signal = SIGCHLD, .stack = 1ULL << 63, .stack_size = 4096};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.exit_signal = SIGCHLD, .set_tid_size = 1};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = 900};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EBADF);
	/* It's looked at last of all. */
	arguments.flags |= CLONE_SIGHAND;
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments.flags &= ~CLONE_SIGHAND;
	child = -1;
	arguments.set_tid = (uintptr_t)&child;
	arguments.set_tid_size = 1;
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments.set_tid_size = arguments.set_tid = 0;
	arguments.cgroup = 1ULL << 32;
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments.cgroup = 900;
	CHECK_ERRNO(clone3_call(&arguments, CLONE_ARGS_SIZE_VER1), EINVAL);
	arguments = (struct clone_args){.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&child, .set_tid_size = 33};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.flags = CLONE_PIDFD, .exit_signal = SIGCHLD, .pidfd = 8};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EFAULT);
	arguments = (struct clone_args){.flags = CLONE_PIDFD | CLONE_PARENT_SETTID,
					.exit_signal = SIGCHLD,
					.pidfd = (uintptr_t)&child,
					.parent_tid = (uintptr_t)&child};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.flags = CLONE_PARENT, .exit_signal = SIGCHLD};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.flags = CLONE_NEWNS | CLONE_FS, .exit_signal = SIGCHLD};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	arguments = (struct clone_args){.flags = CLONE_SETTLS, .exit_signal = SIGCHLD, .tls = 1ULL << 63};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EPERM);
	arguments = (struct clone_args){.flags = 1ULL << 60, .exit_signal = SIGCHLD};
	CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EINVAL);
	CHECK_ERRNO(wait(NULL), ECHILD);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pid_t wanted = 30000;

		drop_root();
		arguments = (struct clone_args){.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&wanted, .set_tid_size = 1};
		CHECK_ERRNO(clone3_call(&arguments, sizeof(arguments)), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(cleared_handlers)
{
	struct clone_args arguments = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
	pid_t child;

	handle_info(SIGUSR1, count_info, 0);
	handle(SIGUSR2, SIG_IGN, 0);
	child = (pid_t)MUST(clone3_call(&arguments, sizeof(arguments)));
	if (child == 0) {
		struct sigaction action;

		sigaction(SIGUSR2, NULL, &action);
		if (action.sa_handler != SIG_IGN)
			_exit(2);
		sigaction(SIGUSR1, NULL, &action);
		_exit(action.sa_handler == SIG_DFL ? 0 : 3);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static int pidfd_open_call(pid_t pid, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int pidfd_send(int fd, int signal, siginfo_t *info, unsigned flags)
{
	return (int)syscall(SYS_pidfd_send_signal, fd, signal, info, flags);
}

TEST(process_descriptors)
{
	struct pollfd polled = {.events = POLLIN};
	siginfo_t info;
	char byte;
	pid_t child = child_that_pauses();
	int fd = (int)CHECK_OK(pidfd_open_call(child, 0));

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	polled.fd = fd;
	CHECK_EQ(poll(&polled, 1, 0), 0);
	CHECK_ERRNO(read(fd, &byte, 1), EINVAL);
	CHECK_EQ(pidfd_send(fd, 0, NULL, 0), 0);
	CHECK_ERRNO(pidfd_send(fd, 65, NULL, 0), EINVAL);
	CHECK_ERRNO(pidfd_send(fd, 0, NULL, 0x1000), EINVAL);
	CHECK_EQ(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG), 0);
	CHECK_EQ(pidfd_send(fd, SIGKILL, NULL, 0), 0);
	CHECK_EQ(poll(&polled, 1, -1), 1);
	CHECK_EQ(polled.revents & POLLIN, POLLIN);
	CHECK_EQ(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), 0);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(info.si_status, SIGKILL);
	CHECK_ERRNO(pidfd_send(fd, 0, NULL, 0), ESRCH);
	CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
	CHECK_ERRNO(pidfd_open_call(child, 0), ESRCH);
	CHECK_ERRNO(pidfd_open_call(0, 0), EINVAL);
	CHECK_ERRNO(pidfd_open_call(-1, 0), EINVAL);
	CHECK_ERRNO(pidfd_open_call(getpid(), 0x1000), EINVAL);
	CHECK_ERRNO(pidfd_send(STDIN_FILENO, 0, NULL, 0), EBADF);
	CHECK_ERRNO(pidfd_send(5000, 0, NULL, 0), EBADF);
	CHECK_ERRNO(waitid(P_PIDFD, STDIN_FILENO, &info, WEXITED), EBADF);
}

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static volatile pid_t thread_id, signalled;
static volatile int may_end;

static void note_signalled(int signal)
{
	(void)signal;
	signalled = gettid();
}

static void *await_permission(void *argument)
{
	thread_id = gettid();
	while (!may_end)
		sleep_ms(1);
	return argument;
}

static void await_signalled(void)
{
	for (int times = 0; times < 2000 && signalled == 0; times++)
		sleep_ms(1);
}

TEST(thread_descriptors)
{
	struct pollfd polled = {.events = POLLIN};
	pthread_t thread;
	siginfo_t info;
	int fd, leader;

	handle(SIGUSR1, note_signalled, SA_RESTART);
	MUST(pthread_create(&thread, NULL, await_permission, NULL) == 0 ? 0 : -1);
	while (thread_id == 0)
		sleep_ms(1);
	CHECK_EQ(pidfd_open_call(thread_id, 0), -1);
	fd = (int)CHECK_OK(pidfd_open_call(thread_id, PIDFD_THREAD));
	leader = (int)CHECK_OK(pidfd_open_call(getpid(), PIDFD_THREAD));
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | PIDFD_THREAD), O_RDWR | PIDFD_THREAD);
	polled.fd = fd;
	CHECK_EQ(poll(&polled, 1, 0), 0);
	CHECK_EQ(pidfd_send(fd, SIGUSR1, NULL, 0), 0);
	await_signalled();
	CHECK_EQ(signalled, thread_id);
	signalled = 0;
	CHECK_EQ(pidfd_send(leader, SIGUSR1, NULL, 0), 0);
	await_signalled();
	CHECK_EQ(signalled, getpid());
	signalled = 0;
	block(SIGUSR1);
	CHECK_EQ(pidfd_send(leader, SIGUSR1, NULL, 2), 0);
	await_signalled();
	CHECK_EQ(signalled, thread_id);
	unblock(SIGUSR1);
	CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG), ECHILD);
	CHECK_OK(syscall(SYS_pidfd_getfd, fd, STDOUT_FILENO, 0));
	may_end = 1;
	CHECK_EQ(poll(&polled, 1, 5000), 1);
	CHECK_EQ(polled.revents & POLLIN, POLLIN);
	MUST(pthread_join(thread, NULL) == 0 ? 0 : -1);
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLIN | POLLHUP);
	CHECK_ERRNO(pidfd_send(fd, 0, NULL, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, STDOUT_FILENO, 0), ESRCH);
}

TEST(reaped_processes_hang_up)
{
	pid_t child = child_that_exits(3);
	struct pollfd polled = {.fd = (int)MUST(pidfd_open_call(child, 0)), .events = POLLIN};

	CHECK_EQ(poll(&polled, 1, -1), 1);
	CHECK_EQ(polled.revents, POLLIN);
	CHECK_EQ(wait_for(child), EXITED(3));
	CHECK_EQ(poll(&polled, 1, -1), 1);
	CHECK_EQ(polled.revents, POLLIN | POLLHUP);
}

TEST(process_descriptor_from_clone)
{
	int fd = -1, ends[2];
	char byte;
	pid_t child;

	MUST(pipe(ends));
	child = raw_clone(CLONE_PIDFD | SIGCHLD, &fd, NULL);
	if (child == 0) {
		MUST(read(ends[0], &byte, 1));
		_exit(14);
	}
	CHECK(fd >= 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(pidfd_send(fd, 0, NULL, 0), 0);
	fd = (int)MUST(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	write_all(ends[1], "x", 1);
	CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1), 1);
	CHECK_EQ(wait_for(child), EXITED(14));
}

TEST(process_descriptor_of_a_non_blocking_wait)
{
	siginfo_t info;
	pid_t child = child_that_pauses();
	int fd = (int)CHECK_OK(pidfd_open_call(child, O_NONBLOCK));

	CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), EAGAIN);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

TEST(a_directory_of_proc_does_for_a_process_descriptor)
{
	char name[64];
	siginfo_t info;
	pid_t child = child_that_pauses();
	int fd;

	snprintf(name, sizeof(name), "/proc/%d", child);
	fd = (int)MUST(open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	CHECK_EQ(pidfd_send(fd, 0, NULL, 0), 0);
	CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), EBADF);
	CHECK_ERRNO(pidfd_send((int)MUST(openat(fd, "task", O_RDONLY)), 0, NULL, 0), EBADF);
	CHECK_ERRNO(pidfd_send((int)MUST(openat(fd, "stat", O_RDONLY)), 0, NULL, 0), EBADF);
	CHECK_ERRNO(pidfd_send((int)MUST(open(name, O_PATH)), 0, NULL, 0), EBADF);
	snprintf(name, sizeof(name), "task/%d", child);
	CHECK_ERRNO(pidfd_send((int)MUST(openat(fd, name, O_RDONLY)), 0, NULL, 0), EBADF);
	CHECK_EQ(pidfd_send(fd, SIGKILL, NULL, 0), 0);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_ERRNO(pidfd_send(fd, 0, NULL, 0), ESRCH);
}

/* The program that didn't want a signal is gone: the one that took its place gets the usual one. */
ROLE(takes_over_a_silent_child)
{
	pid_t child = atoi(argv[2]);
	sigset_t set = set_of(SIGCHLD);
	struct timespec limit = {10, 0};

	MUST(kill(child, SIGKILL));
	return sigtimedwait(&set, NULL, &limit) == SIGCHLD && waitpid(child, NULL, __WALL) == child ? 0 : 1;
}

TEST(a_silent_child_whose_parent_executes)
{
	pid_t parent = (pid_t)MUST(fork());

	if (parent == 0) {
		char number[20];
		long child;

		block(SIGCHLD);
		child = syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
		if (child == 0) {
			pause();
			_exit(0);
		}
		snprintf(number, sizeof number, "%ld", child);
		execl(check_self, check_self, "takes_over_a_silent_child", number, NULL);
		_exit(99);
	}
	CHECK_EQ(wait_for(parent), EXITED(0));
}
