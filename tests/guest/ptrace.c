/* ptrace(2): stops for signals, system calls, events and groups, and what a tracer can change at each. */
#include "check.h"

#include <elf.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/user.h>

#define STOPPED_BY(signal) W_STOPCODE(signal)
#define EVENT(event) (W_STOPCODE(SIGTRAP) | (event) << 16)
#define CALL_STOP W_STOPCODE(SIGTRAP | 0x80)

static long trace(long request, pid_t pid, unsigned long address, unsigned long data)
{
	return syscall(SYS_ptrace, request, (long)pid, address, data);
}

#define TRACE(request, pid, address, data) trace(request, pid, (unsigned long)(address), (unsigned long)(data))

/* Waits for what the tracee does next; its wait status, or -errno. */
static int next(pid_t pid)
{
	int status = 0;
	pid_t got = waitpid(pid, &status, __WALL);

	return got == pid ? status : got < 0 ? -errno : -1000;
}

static int go_on(long request, pid_t pid, int signal)
{
	if (TRACE(request, pid, 0, signal) < 0)
		return -errno;
	return next(pid);
}

/* A child that lets itself be traced and stops, with options set. */
static pid_t traced(void (*body)(void), unsigned long options)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		if (TRACE(PTRACE_TRACEME, 0, 0, 0) < 0)
			_exit(99);
		raise(SIGSTOP);
		body();
		_exit(0);
	}
	CHECK_EQ(next(child), STOPPED_BY(SIGSTOP));
	if (options)
		CHECK_EQ(TRACE(PTRACE_SETOPTIONS, child, 0, options), 0);
	return child;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	while (waitpid(child, NULL, __WALL) == child)
		;
}

static struct user_regs_struct registers_of(pid_t pid)
{
	struct user_regs_struct registers;

	memset(&registers, 0, sizeof(registers));
	CHECK_EQ(TRACE(PTRACE_GETREGS, pid, 0, &registers), 0);
	return registers;
}

static unsigned long message_of(pid_t pid)
{
	unsigned long message = 12345;

	CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &message), 0);
	return message;
}

static int siginfo_of(pid_t pid, siginfo_t *info)
{
	memset(info, 0, sizeof(*info));
	return TRACE(PTRACE_GETSIGINFO, pid, 0, info) < 0 ? -errno : 0;
}

static void nothing(void)
{
}

TEST(who_may_ask)
{
	pid_t child;
	siginfo_t info;

	CHECK_ERRNO(TRACE(PTRACE_CONT, getpid(), 0, 0), ESRCH);
	CHECK_ERRNO(TRACE(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
	CHECK_ERRNO(TRACE(PTRACE_ATTACH, 4000000, 0, 0), ESRCH);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pause();
		_exit(0);
	}
	CHECK_ERRNO(TRACE(PTRACE_CONT, child, 0, 0), ESRCH);
	CHECK_ERRNO(TRACE(PTRACE_SEIZE, child, 1, 0), EIO);
	CHECK_ERRNO(TRACE(PTRACE_SEIZE, child, 0, 0x400), EIO);
	CHECK_EQ(TRACE(PTRACE_ATTACH, child, 0, 0), 0);
	CHECK_ERRNO(TRACE(PTRACE_ATTACH, child, 0, 0), EPERM);
	CHECK_EQ(next(child), STOPPED_BY(SIGSTOP));
	CHECK_EQ(siginfo_of(child, &info), 0);
	CHECK_EQ(info.si_signo, SIGSTOP);
	CHECK_EQ(info.si_code, SI_KERNEL);
	CHECK_ERRNO(TRACE(9999, child, 0, 0), EIO);
	CHECK_ERRNO(TRACE(PTRACE_CONT, child, 0, 65), EIO);
	CHECK_ERRNO(TRACE(PTRACE_INTERRUPT, child, 0, 0), EIO);
	CHECK_ERRNO(TRACE(PTRACE_LISTEN, child, 0, 0), EIO);
	CHECK_ERRNO(TRACE(PTRACE_SETOPTIONS, child, 0, 0x400), EINVAL);
	CHECK_EQ(TRACE(PTRACE_DETACH, child, 0, 0), 0);
	CHECK_ERRNO(TRACE(PTRACE_DETACH, child, 0, 0), ESRCH);
	end(child);
}

static void exit_seven(void)
{
	_exit(7);
}

TEST(traceme_twice_and_exit)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		long first = TRACE(PTRACE_TRACEME, 0, 0, 0);
		long second = TRACE(PTRACE_TRACEME, 0, 0, 0);

		_exit(first == 0 && second < 0 && errno == EPERM ? 3 : 4);
	}
	CHECK_EQ(next(child), EXITED(3));
	child = traced(exit_seven, PTRACE_O_TRACEEXIT);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_EXIT));
	CHECK_EQ(message_of(child), 7 << 8);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(7));
}

static void one_call(void)
{
	_exit((int)syscall(SYS_getppid, 1, 2, 3, 4, 5, 6) == 77 ? 5 : 6);
}

TEST(system_calls)
{
	pid_t child = traced(one_call, PTRACE_O_TRACESYSGOOD);
	struct user_regs_struct registers;
	siginfo_t info;

	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	registers = registers_of(child);
	CHECK_EQ(registers.orig_rax, SYS_getppid);
	CHECK_EQ(registers.rax, (unsigned long long)-ENOSYS);
	CHECK_EQ(registers.rdi, 1);
	CHECK_EQ(registers.r10, 4);
	CHECK_EQ(registers.r9, 6);
	CHECK_EQ(message_of(child), PTRACE_EVENTMSG_SYSCALL_ENTRY);
	CHECK_EQ(siginfo_of(child, &info), 0);
	CHECK_EQ(info.si_signo, SIGTRAP);
	CHECK_EQ(info.si_code, SIGTRAP | 0x80);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(message_of(child), PTRACE_EVENTMSG_SYSCALL_EXIT);
	registers = registers_of(child);
	CHECK_EQ(registers.orig_rax, SYS_getppid);
	CHECK_EQ(registers.rax, getpid());
	registers.rax = 77;
	CHECK_EQ(TRACE(PTRACE_SETREGS, child, 0, &registers), 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(5));
}

TEST(another_call_or_none)
{
	pid_t child = traced(one_call, PTRACE_O_TRACESYSGOOD);
	struct user_regs_struct registers;

	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.orig_rax), SYS_gettid), 0);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(registers_of(child).rax, child);
	end(child);
	child = traced(one_call, PTRACE_O_TRACESYSGOOD);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	registers = registers_of(child);
	registers.orig_rax = (unsigned long long)-1;
	registers.rax = 77;
	CHECK_EQ(TRACE(PTRACE_SETREGS, child, 0, &registers), 0);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(registers_of(child).rax, 77);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(5));
	child = traced(one_call, PTRACE_O_TRACESYSGOOD);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.orig_rax), 5000), 0);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(registers_of(child).rax, (unsigned long long)-ENOSYS);
	end(child);
}

TEST(emulated_calls)
{
	pid_t child = traced(one_call, 0);

	CHECK_EQ(go_on(PTRACE_SYSEMU, child, 0), STOPPED_BY(SIGTRAP));
	CHECK_EQ(registers_of(child).orig_rax, SYS_getppid);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.rax), 77), 0);
	CHECK_EQ(go_on(PTRACE_SYSEMU, child, 0), STOPPED_BY(SIGTRAP));
	CHECK_EQ(registers_of(child).orig_rax, SYS_exit_group);
	CHECK_EQ(registers_of(child).rdi, 5);
	end(child);
}

TEST(call_information)
{
	pid_t child = traced(one_call, PTRACE_O_TRACESYSGOOD);
	struct ptrace_syscall_info info;
	struct user_regs_struct registers;

	memset(&info, 0, sizeof(info));
	CHECK_EQ(TRACE(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info), 24);
	CHECK_EQ(info.op, PTRACE_SYSCALL_INFO_NONE);
	CHECK_EQ(info.arch, AUDIT_ARCH_X86_64);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(TRACE(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info), 80);
	registers = registers_of(child);
	CHECK_EQ(info.op, PTRACE_SYSCALL_INFO_ENTRY);
	CHECK_EQ(info.entry.nr, SYS_getppid);
	CHECK_EQ(info.entry.args[5], 6);
	CHECK_EQ(info.instruction_pointer, registers.rip);
	CHECK_EQ(info.stack_pointer, registers.rsp);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(TRACE(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info), 33);
	CHECK_EQ(info.op, PTRACE_SYSCALL_INFO_EXIT);
	CHECK_EQ(info.exit.rval, getpid());
	CHECK_EQ(info.exit.is_error, 0);
	CHECK_EQ(TRACE(PTRACE_GET_SYSCALL_INFO, child, 0, &info), 33);
	end(child);
}

static volatile sig_atomic_t handled;

static void note_number(int signal)
{
	handled = signal;
}

static void raise_user(void)
{
	signal(SIGUSR1, note_number);
	signal(SIGUSR2, note_number);
	raise(SIGUSR1);
	_exit(handled);
}

TEST(signals_given_and_taken_away)
{
	static const struct {
		int given;
		int status;
	} table[] = {
		{SIGUSR1, EXITED(SIGUSR1)}, {SIGUSR2, EXITED(SIGUSR2)}, {0, EXITED(0)},
		{SIGTERM, KILLED(SIGTERM)}, {SIGCHLD, EXITED(0)},	{SIGKILL, KILLED(SIGKILL)},
	};
	siginfo_t info;

	for (size_t index = 0; index < LENGTH(table); index++) {
		pid_t child = traced(raise_user, 0);

		CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
		CHECK_EQ(siginfo_of(child, &info), 0);
		CHECK_EQ(info.si_code, SI_TKILL);
		CHECK_EQ(info.si_pid, child);
		CHECK_EQ(go_on(PTRACE_CONT, child, table[index].given), table[index].status);
	}
}

static volatile int seen_value;
static volatile int seen_pid;

static void note(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	seen_value = info->si_code;
	seen_pid = info->si_pid == getppid();
}

static void note_signal(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = note;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	raise(SIGUSR1);
	_exit(seen_value == SI_USER && seen_pid ? 1 : seen_value == -5 ? 2 : 3);
}

TEST(what_a_handler_learns)
{
	siginfo_t info;
	pid_t child = traced(note_signal, 0);

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
	CHECK_EQ(go_on(PTRACE_CONT, child, SIGUSR2), EXITED(1));
	child = traced(note_signal, 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
	CHECK_EQ(siginfo_of(child, &info), 0);
	info.si_code = -5;
	CHECK_EQ(TRACE(PTRACE_SETSIGINFO, child, 0, &info), 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, SIGUSR1), EXITED(2));
	/* Of a kind that Linux doesn't know, no more may be said than it keeps. */
	child = traced(note_signal, 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGUSR1;
	info.si_code = 100;
	CHECK_EQ(TRACE(PTRACE_SETSIGINFO, child, 0, &info), 0);
	((char *)&info)[sizeof(info) - 1] = 1;
	CHECK_ERRNO(TRACE(PTRACE_SETSIGINFO, child, 0, &info), E2BIG);
	info.si_code = SI_USER;
	CHECK_EQ(TRACE(PTRACE_SETSIGINFO, child, 0, &info), 0);
	end(child);
}

static void ignore_and_raise(void)
{
	signal(SIGUSR1, SIG_IGN);
	raise(SIGUSR1);
	raise(SIGCHLD);
	_exit(9);
}

TEST(ignored_signals_are_shown)
{
	pid_t child = traced(ignore_and_raise, 0);

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
	CHECK_EQ(go_on(PTRACE_CONT, child, SIGUSR1), STOPPED_BY(SIGCHLD));
	CHECK_EQ(go_on(PTRACE_CONT, child, SIGCHLD), EXITED(9));
}

static void fork_once(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(21);
	waitpid(child, NULL, 0);
	_exit(22);
}

static void clone_a_sibling(void)
{
	if (syscall(SYS_clone, CLONE_PARENT | SIGUSR1, 0, 0, 0, 0) == 0)
		_exit(21);
	_exit(22);
}

static void vfork_once(void)
{
	pid_t child = vfork();

	if (child == 0)
		_exit(21);
	waitpid(child, NULL, 0);
	_exit(22);
}

TEST(fork_event)
{
	pid_t child = traced(fork_once, PTRACE_O_TRACEFORK), grandchild;

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_FORK));
	grandchild = (pid_t)message_of(child);
	CHECK_EQ(next(grandchild), STOPPED_BY(SIGSTOP));
	CHECK_EQ(go_on(PTRACE_CONT, grandchild, 0), EXITED(21));
	CHECK_EQ(TRACE(PTRACE_CONT, child, 0, 0), 0);
	CHECK_EQ(next(child), STOPPED_BY(SIGCHLD));
	CHECK_EQ(go_on(PTRACE_CONT, child, SIGCHLD), EXITED(22));
}

TEST(a_sibling_is_traced_by_the_signal_that_it_was_asked_for_with)
{
	pid_t child = traced(clone_a_sibling, PTRACE_O_TRACECLONE), sibling;

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_CLONE));
	sibling = (pid_t)message_of(child);
	CHECK_EQ(next(sibling), STOPPED_BY(SIGSTOP));
	CHECK_EQ(go_on(PTRACE_CONT, sibling, 0), EXITED(21));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(22));
}

TEST(vfork_events)
{
	pid_t child = traced(vfork_once, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE), grandchild;

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_VFORK));
	grandchild = (pid_t)message_of(child);
	CHECK_EQ(next(grandchild), STOPPED_BY(SIGSTOP));
	CHECK_EQ(TRACE(PTRACE_CONT, child, 0, 0), 0);
	CHECK_EQ(waitpid(child, NULL, __WALL | WNOHANG), 0);
	CHECK_EQ(go_on(PTRACE_CONT, grandchild, 0), EXITED(21));
	CHECK_EQ(next(child), EVENT(PTRACE_EVENT_VFORK_DONE));
	CHECK_EQ(message_of(child), grandchild);
	CHECK_EQ((long)registers_of(child).rax, -ENOSYS);
	end(child);
}

/* Which ends the call uses up the interruption too: it's a stop. */
TEST(who_is_seized_in_a_call_shows_how_it_ends)
{
	int come[2], go[2];
	pid_t child;
	char byte = 0;
	sigset_t blocked;

	MUST(pipe(come));
	MUST(pipe(go));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sigfillset(&blocked);
		sigprocmask(SIG_BLOCK, &blocked, NULL);
		if (vfork() == 0) {
			write(come[1], &byte, 1);
			read(go[0], &byte, 1);
			_exit(21);
		}
		_exit(22);
	}
	CHECK_EQ(read(come[0], &byte, 1), 1);
	CHECK_EQ(TRACE(PTRACE_SEIZE, child, 0, PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACESYSGOOD), 0);
	CHECK_EQ(write(go[1], &byte, 1), 1);
	CHECK_EQ(next(child), EVENT(PTRACE_EVENT_VFORK_DONE));
	CHECK_EQ(TRACE(PTRACE_INTERRUPT, child, 0, 0), 0);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK((long)registers_of(child).rax > 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(22));
}

static void *thread_body(void *argument)
{
	(void)argument;
	return NULL;
}

static void start_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_body, NULL);
	pthread_join(thread, NULL);
	_exit(31);
}

TEST(clone_event_and_a_thread_to_reap)
{
	pid_t child = traced(start_thread, PTRACE_O_TRACECLONE), thread;

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_CLONE));
	thread = (pid_t)message_of(child);
	CHECK_EQ(next(thread), STOPPED_BY(SIGSTOP));
	CHECK_EQ(go_on(PTRACE_CONT, thread, 0), EXITED(0));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(31));
}

static void execute_true(void)
{
	execl("/bin/true", "true", (char *)NULL);
	_exit(41);
}

TEST(exec_event)
{
	pid_t child = traced(execute_true, PTRACE_O_TRACEEXEC);

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_EXEC));
	CHECK_EQ(message_of(child), child);
	CHECK_EQ(registers_of(child).orig_rax, SYS_execve);
	CHECK_EQ((long)registers_of(child).rax, -ENOSYS);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(0));
	child = traced(execute_true, 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(0));
}

static void *execute_in_thread(void *argument)
{
	(void)argument;
	execute_true();
	return NULL;
}

static void start_executing_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, execute_in_thread, NULL);
	for (;;)
		pause();
}

TEST(exec_from_another_thread)
{
	pid_t child = traced(start_executing_thread, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT);
	pid_t thread;

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_CLONE));
	thread = (pid_t)message_of(child);
	CHECK_EQ(next(thread), STOPPED_BY(SIGSTOP));
	CHECK_EQ(TRACE(PTRACE_CONT, child, 0, 0), 0);
	CHECK_EQ(TRACE(PTRACE_CONT, thread, 0, 0), 0);
	/* The leader ends for it. */
	CHECK_EQ(next(child), EVENT(PTRACE_EVENT_EXIT));
	CHECK_EQ(TRACE(PTRACE_CONT, child, 0, 0), 0);
	CHECK_EQ(next(child), EVENT(PTRACE_EVENT_EXEC));
	CHECK_EQ(message_of(child), thread);
	CHECK_ERRNO(TRACE(PTRACE_CONT, thread, 0, 0), ESRCH);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_EXIT));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(0));
}

static long watched = 0x1122334455667788;
static const long constant = 0x0102030405060708;

static void check_memory(void)
{
	raise(SIGUSR1);
	_exit(watched == 17 && *(volatile const long *)&constant == 18 ? 11 : 12);
}

TEST(memory)
{
	pid_t child = traced(check_memory, 0);
	long word = 0;
	struct user_regs_struct registers;
	char path[64];
	int fd;

	CHECK_EQ(TRACE(PTRACE_PEEKDATA, child, &watched, &word), 0);
	CHECK_EQ(word, 0x1122334455667788);
	CHECK_EQ(TRACE(PTRACE_PEEKTEXT, child, (char *)&watched + 1, &word), 0);
	CHECK_EQ(word & 0xFF, 0x77);
	CHECK_ERRNO(TRACE(PTRACE_PEEKDATA, child, 8, &word), EIO);
	CHECK_ERRNO(TRACE(PTRACE_POKEDATA, child, 8, 1), EIO);
	CHECK_ERRNO(TRACE(PTRACE_PEEKDATA, child, &watched, 8), EFAULT);
	CHECK_EQ(TRACE(PTRACE_POKEDATA, child, &watched, 17), 0);
	CHECK_EQ(TRACE(PTRACE_POKEDATA, child, &constant, 18), 0);
	CHECK_EQ(watched, 0x1122334455667788);
	CHECK_EQ(*(volatile const long *)&constant, 0x0102030405060708);
	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	fd = (int)MUST(open(path, O_RDWR));
	CHECK_EQ(pread(fd, &word, 8, (off_t)&constant), 8);
	CHECK_EQ(word, 18);
	close(fd);
	registers = registers_of(child);
	CHECK_EQ(registers.cs, 0x33);
	CHECK_EQ(registers.ss, 0x2b);
	CHECK_EQ(TRACE(PTRACE_PEEKUSR, child, offsetof(struct user, regs.rip), &word), 0);
	CHECK_EQ(word, (long)registers.rip);
	CHECK_ERRNO(TRACE(PTRACE_PEEKUSR, child, 1, &word), EIO);
	CHECK_ERRNO(TRACE(PTRACE_PEEKUSR, child, sizeof(struct user) + 16, &word), EIO);
	CHECK_ERRNO(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.fs_base), 1UL << 63), EIO);
	CHECK_ERRNO(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.cs), 0), EIO);
	CHECK_ERRNO(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, magic), 0), EIO);
	CHECK_EQ(TRACE(PTRACE_PEEKUSR, child, offsetof(struct user, u_debugreg[6]), &word), 0);
	CHECK_EQ(word, 0xffff0ff0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(11));
}

__attribute__((noinline)) static int broken_into(int value)
{
	return value + 1;
}

static void call_broken_into(void)
{
	int (*volatile function)(int) = broken_into;

	_exit(function(4) + function(5));
}

TEST(software_breakpoint)
{
	pid_t child = traced(call_broken_into, 0);
	long word = 0;
	struct user_regs_struct registers;
	siginfo_t info;

	CHECK_EQ(TRACE(PTRACE_PEEKTEXT, child, broken_into, &word), 0);
	CHECK_EQ(TRACE(PTRACE_POKETEXT, child, broken_into, (word & ~0xFFL) | 0xCC), 0);
	CHECK_EQ(broken_into(1), 2);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
	CHECK_EQ(siginfo_of(child, &info), 0);
	CHECK_EQ(info.si_code, SI_KERNEL);
	registers = registers_of(child);
	CHECK_EQ(registers.rip, (unsigned long)broken_into + 1);
	CHECK_EQ(registers.rdi, 4);
	registers.rip--;
	registers.rdi = 10;
	CHECK_EQ(TRACE(PTRACE_SETREGS, child, 0, &registers), 0);
	CHECK_EQ(TRACE(PTRACE_POKETEXT, child, broken_into, word), 0);
	CHECK_EQ(go_on(PTRACE_SINGLESTEP, child, 0), STOPPED_BY(SIGTRAP));
	CHECK_EQ(siginfo_of(child, &info), 0);
	CHECK_EQ(info.si_code, TRAP_TRACE);
	CHECK(registers_of(child).rip != (unsigned long)broken_into);
	CHECK_EQ(registers_of(child).eflags & 0x100, 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(17));
}

static void step_over_call(void)
{
	__asm__ volatile("mov $39, %%eax\n\tsyscall\n\tnop\n\tnop" : : : "rax", "rcx", "r11");
	_exit(1);
}

/* The number of the call that it's in, without an assertion. */
static long call_of(pid_t pid)
{
	long number = -1;

	TRACE(PTRACE_PEEKUSR, pid, offsetof(struct user, regs.orig_rax), &number);
	return number;
}

TEST(steps)
{
	pid_t child = traced(step_over_call, PTRACE_O_TRACESYSGOOD);
	unsigned long before = 0, after = 0;
	siginfo_t info;
	int status = 0;

	for (int count = 0; count < 100000; count++) {
		unsigned long word = 0;

		if (TRACE(PTRACE_PEEKUSR, child, offsetof(struct user, regs.rip), &before) < 0 ||
		    TRACE(PTRACE_PEEKTEXT, child, before, &word) < 0)
			break;
		status = go_on(PTRACE_SINGLESTEP, child, 0);
		if ((word & 0xFFFF) == 0x050F && call_of(child) == SYS_getpid)
			break;
		if (status != STOPPED_BY(SIGTRAP))
			break;
	}
	after = registers_of(child).rip;
	CHECK_EQ(status, STOPPED_BY(SIGTRAP));
	CHECK_EQ(after, before + 2);
	CHECK_EQ(registers_of(child).rax, child);
	CHECK_EQ(siginfo_of(child, &info), 0);
	CHECK_EQ(info.si_code, TRAP_BRKPT);
	CHECK_EQ(go_on(PTRACE_SINGLESTEP, child, 0), STOPPED_BY(SIGTRAP));
	CHECK_EQ(registers_of(child).rip, after + 1);
	end(child);
}

/* Branches that are taken, between some that aren't; each name is where one leads. */
void branching(void);
extern char block_begins[], block_loops[], block_called[], block_returned[], block_far[], block_ends[];
__asm__(".text\n"
	".globl branching, block_begins, block_loops, block_called, block_returned, block_far, block_ends\n"
	"branching:\n"
	"block_begins:\n\tmov $3, %ecx\n"
	"block_loops:\n\tnop\n\tnop\n\tdec %ecx\n\tjnz block_loops\n\tnop\n\tcall block_called\n"
	"block_returned:\n\tlea block_far(%rip), %rax\n\ttest %rsp, %rsp\n\tjz block_loops\n\tjmp *%rax\n\tnop\n"
	"block_called:\n\tnop\n\tret\n"
	"block_far:\n\tmov $39, %eax\n\tsyscall\n\tint3\n"
	"block_ends:\n\tnop\n\tret\n");

static void branch(void)
{
	branching();
	_exit(3);
}

/* A processor without DEBUGCTL.BTF, as virtual ones may be, stops after each instruction: at these too. */
TEST(steps_from_branch_to_branch)
{
	char *const targets[] = { block_begins, block_loops, block_loops, block_called, block_returned, block_far };
	pid_t child = traced(branch, 0);
	unsigned long rip = 0;
	unsigned found = 0;
	int status = 0, kinds = 0;
	siginfo_t info;

	for (int count = 0; count < 100000 && found < LENGTH(targets); count++) {
		status = go_on(PTRACE_SINGLEBLOCK, child, 0);
		if (status != STOPPED_BY(SIGTRAP) || siginfo_of(child, &info) != 0)
			break;
		kinds |= 1 << info.si_code;
		/* How many stops there are depends on the processor: so no assertion here. */
		if (TRACE(PTRACE_PEEKUSR, child, offsetof(struct user, regs.rip), &rip) < 0)
			break;
		if (rip == (unsigned long)targets[found])
			found++;
	}
	CHECK_EQ(status, STOPPED_BY(SIGTRAP));
	CHECK_EQ(found, LENGTH(targets));
	/* The call of branching() may be the first stop after one of raise(3), which is a trap too. */
	CHECK_EQ(kinds & ~(1 << TRAP_BRKPT), 1 << TRAP_TRACE);
	CHECK_EQ(registers_of(child).eflags & 0x100, 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
	CHECK_EQ(registers_of(child).rip, (unsigned long)block_ends);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(3));
}

static volatile long counted;

static void count(void)
{
	int (*volatile function)(int) = broken_into;

	for (int round = 0; round < 3; round++)
		counted += 2;
	_exit(function(1));
}

#define DEBUG_REGISTER(number) offsetof(struct user, u_debugreg[number])
#define WATCH_WRITES(number, length_bits) (1UL << 2 * (number) | (1UL | (length_bits) << 2) << (16 + 4 * (number)))

TEST(debug_registers)
{
	pid_t child = traced(count, 0);
	unsigned long status = 0, value = 0;
	siginfo_t info;

	CHECK_ERRNO(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(4), 0), EIO);
	CHECK_ERRNO(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(0), 1UL << 63), EINVAL);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(0), &counted), 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), WATCH_WRITES(0, 2UL)), 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(1), broken_into), 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), WATCH_WRITES(0, 2UL) | 1UL << 2), 0);
	for (long want = 2; want <= 6; want += 2) {
		CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
		CHECK_EQ(siginfo_of(child, &info), 0);
		CHECK_EQ(info.si_code, TRAP_HWBKPT);
		CHECK_EQ(TRACE(PTRACE_PEEKUSR, child, DEBUG_REGISTER(6), &status), 0);
		CHECK_EQ(status & 0xF, 1);
		CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(6), 0), 0);
		CHECK_EQ(TRACE(PTRACE_PEEKDATA, child, &counted, &value), 0);
		CHECK_EQ(value, want);
	}
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
	CHECK_EQ(registers_of(child).rip, (unsigned long)broken_into);
	CHECK_EQ(TRACE(PTRACE_PEEKUSR, child, DEBUG_REGISTER(6), &status), 0);
	CHECK_EQ(status & 0xF, 2);
	CHECK_EQ(registers_of(child).eflags & 0x100, 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), 0), 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(2));
}

static volatile sig_atomic_t watch_meetings;

static void meet_watch(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (number == SIGTRAP && info->si_code == TRAP_HWBKPT)
		watch_meetings++;
}

/* Exits with how often its own watchpoint was met by two writes of its own and one of a child. */
static void count_meetings(void)
{
	struct sigaction action = {.sa_sigaction = meet_watch, .sa_flags = SA_SIGINFO};
	int status;
	pid_t child;

	MUST(sigaction(SIGTRAP, &action, NULL));
	counted = 1;
	counted = 2;
	child = (pid_t)MUST(fork());
	if (child == 0) {
		counted = 3;
		_exit(watch_meetings);
	}
	MUST(waitpid(child, &status, 0));
	_exit(WIFEXITED(status) ? 10 * WEXITSTATUS(status) + watch_meetings : 99);
}

static void meet_when_told(void)
{
	raise(SIGSTOP);
	counted = 1;
	_exit(1);
}

static void watch_counted(pid_t child)
{
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(0), &counted), 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), WATCH_WRITES(0, 2UL)), 0);
}

TEST(debug_registers_outlive_the_tracer)
{
	pid_t child = traced(count, 0);
	unsigned long value = 0;
	int status;

	watch_counted(child);
	CHECK_EQ(TRACE(PTRACE_DETACH, child, 0, 0), 0);
	CHECK_EQ(WTERMSIG(next(child)), SIGTRAP);
	child = traced(count_meetings, 0);
	watch_counted(child);
	CHECK_EQ(TRACE(PTRACE_DETACH, child, 0, 0), 0);
	/* The child of it has none, but as many meetings as it had by then. */
	CHECK_EQ(next(child), EXITED(22));
	child = traced(meet_when_told, 0);
	watch_counted(child);
	CHECK_EQ(TRACE(PTRACE_DETACH, child, 0, 0), 0);
	MUST(waitpid(child, &status, WUNTRACED));
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(TRACE(PTRACE_SEIZE, child, 0, 0), 0);
	CHECK_EQ(next(child) & 0xFFFF, STOPPED_BY(SIGSTOP));
	CHECK_EQ(TRACE(PTRACE_PEEKUSR, child, DEBUG_REGISTER(0), &value), 0);
	CHECK_EQ(value, (unsigned long)&counted);
	CHECK_EQ(registers_of(child).eflags & 0x100, 0);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_STOP));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGCONT));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
	end(child);
	child = traced(execute_true, 0);
	watch_counted(child);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
	CHECK_EQ(TRACE(PTRACE_PEEKUSR, child, DEBUG_REGISTER(0), &value), 0);
	CHECK_EQ(value, 0);
	end(child);
}

TEST(debug_registers_when_the_tracer_ends)
{
	pid_t tracer, child;
	int status = 0;

	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	tracer = (pid_t)MUST(fork());
	if (tracer == 0) {
		child = traced(count, 0);
		watch_counted(child);
		_exit(0);
	}
	CHECK_EQ(next(tracer), EXITED(0));
	MUST(waitpid(-1, &status, 0));
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGTRAP);
}

/* What is said of a breakpoint must make sense once it has an address, though it isn't enabled. */
TEST(debug_registers_that_arent_enabled)
{
	pid_t child = traced(count, 0);
	unsigned long port = 2UL << 16, two_bytes_of_code = 1UL << 18, value = 0;

	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), port | two_bytes_of_code << 4), 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(0), &counted), 0);
	CHECK_ERRNO(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), port), EINVAL);
	CHECK_ERRNO(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), two_bytes_of_code), EINVAL);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), port << 4), 0);
	CHECK_EQ(TRACE(PTRACE_PEEKUSR, child, DEBUG_REGISTER(7), &value), 0);
	CHECK_EQ(value, port << 4);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), 1UL << 16), 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), 0), 0);
	end(child);
}

static volatile long same;

static void write_the_same(void)
{
	long taken;

	same = 7;
	same = 7;
	__asm__ volatile("xchg %0, %1" : "=r"(taken), "+m"(same) : "0"(7L));
	__asm__ volatile("cmpq $3, %0; testq $3, %0" : : "m"(same) : "cc");
	__asm__ volatile("lock cmpxchgq %1, %0" : "+m"(same) : "r"(5L), "a"(6L) : "cc");
	_exit((int)taken);
}

TEST(write_watchpoints_see_what_changes_nothing)
{
	pid_t child = traced(write_the_same, 0);
	unsigned long status = 0;

	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(2), &same), 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), WATCH_WRITES(2, 2UL)), 0);
	for (int write = 0; write < 4; write++) {
		CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
		CHECK_EQ(TRACE(PTRACE_PEEKUSR, child, DEBUG_REGISTER(6), &status), 0);
		CHECK_EQ(status & 0xF, 4);
		CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(6), 0), 0);
	}
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(7));
}

#define WATCH_ACCESSES(number, length_bits) (WATCH_WRITES(number, length_bits) | 2UL << (16 + 4 * (number)))

static struct {
	long before;
	int first, second;
	char bytes[8];
} accessed __attribute__((aligned(8)));

/* Its fourth instruction that touches the watched word compares the same value again. */
static void access_in_many_ways(void)
{
	long sum = 0;
	int copy = 0;

	__asm__ volatile("mov %[first], %k[sum]\n"
			 "add %[before], %[sum]\n"
			 "mov %k[sum], %[first]\n"
			 "cmp %[whole], %[sum]\n"
			 "lea %[first], %[sum]\n"
			 "mov %[second], %[copy]\n"
			 "push %[whole]\n"
			 "pop %[sum]\n"
			 : [sum] "+r"(sum), [copy] "+r"(copy), [first] "+m"(accessed.first)
			 : [before] "m"(accessed.before), [second] "m"(accessed.second), [whole] "m"(*(long *)&accessed.first)
			 : "memory");
	__asm__ volatile("cld; rep movsb" : : "S"(&accessed.first), "D"(accessed.bytes), "c"(8) : "memory");
	_exit(copy + 4);
}

TEST(watchpoints_for_reads)
{
	pid_t child = traced(access_in_many_ways, 0);
	unsigned long status = 0;
	siginfo_t info;
	int meetings = 0, state;

	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(2), &accessed.first), 0);
	/* There are none for reads alone, and those of ports aren't for programs. */
	CHECK_ERRNO(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), 1UL << 4 | 2UL << 24), EINVAL);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(7), WATCH_ACCESSES(2, 3UL)), 0);
	/* Read, written, compared, pushed; an address that is computed is none, nor is what lies beside it. */
	for (; meetings < 4; meetings++) {
		CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
		CHECK_EQ(siginfo_of(child, &info), 0);
		CHECK_EQ(info.si_code, TRAP_HWBKPT);
		CHECK_EQ(TRACE(PTRACE_PEEKUSR, child, DEBUG_REGISTER(6), &status), 0);
		CHECK_EQ(status & 0xF, 4);
		CHECK_EQ(TRACE(PTRACE_POKEUSR, child, DEBUG_REGISTER(6), 0), 0);
	}
	/* Each byte of four that is copied. A processor may copy some at once. */
	meetings = 0;
	while ((state = go_on(PTRACE_CONT, child, 0)) == STOPPED_BY(SIGTRAP))
		meetings++;
	CHECK(meetings >= 1);
	CHECK(meetings <= 4);
	CHECK_EQ(state, EXITED(4));
}

TEST(step_into_a_handler)
{
	pid_t child = traced(raise_user, 0);

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
	CHECK_EQ(go_on(PTRACE_SINGLESTEP, child, SIGUSR1), STOPPED_BY(SIGTRAP));
	CHECK_EQ(registers_of(child).rip, (unsigned long)note_number);
	CHECK_EQ(registers_of(child).rdi, SIGUSR1);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(SIGUSR1));
}

TEST(register_sets)
{
	pid_t child = traced(nothing, 0);
	struct user_regs_struct registers, others;
	struct user_fpregs_struct floating;
	struct iovec vector = {&registers, sizeof(registers) + 80};

	memset(&registers, 0, sizeof(registers));
	CHECK_EQ(TRACE(PTRACE_GETREGSET, child, 1, &vector), 0);
	CHECK_EQ(vector.iov_len, sizeof(registers));
	others = registers_of(child);
	CHECK_EQ(memcmp(&registers, &others, sizeof(registers)), 0);
	vector.iov_len = 16;
	CHECK_EQ(TRACE(PTRACE_GETREGSET, child, 1, &vector), 0);
	CHECK_EQ(vector.iov_len, 16);
	vector.iov_len = 15;
	CHECK_ERRNO(TRACE(PTRACE_GETREGSET, child, 1, &vector), EINVAL);
	vector.iov_len = 16;
	CHECK_ERRNO(TRACE(PTRACE_GETREGSET, child, 77, &vector), EINVAL);
	/* The rights to ports, of which it has none. */
	vector.iov_len = 16;
	CHECK_ERRNO(TRACE(PTRACE_GETREGSET, child, NT_386_IOPERM, &vector), ENXIO);
	CHECK_ERRNO(TRACE(PTRACE_SETREGSET, child, NT_386_IOPERM, &vector), EOPNOTSUPP);
	vector.iov_len = 15;
	CHECK_ERRNO(TRACE(PTRACE_SETREGSET, child, NT_386_IOPERM, &vector), EINVAL);
	vector.iov_len = 16;
	registers.r15 = 1515;
	CHECK_EQ(TRACE(PTRACE_SETREGSET, child, 1, &vector), 0);
	CHECK_EQ(registers_of(child).r15, 1515);
	CHECK_EQ(TRACE(PTRACE_GETFPREGS, child, 0, &floating), 0);
	CHECK_EQ(floating.cwd, 0x37F);
	CHECK_EQ(floating.mxcsr, 0x1F80);
	floating.xmm_space[4] = 0xABCD;
	CHECK_EQ(TRACE(PTRACE_SETFPREGS, child, 0, &floating), 0);
	memset(&floating, 0, sizeof(floating));
	CHECK_EQ(TRACE(PTRACE_GETFPREGS, child, 0, &floating), 0);
	CHECK_EQ(floating.xmm_space[4], 0xABCD);
	floating.mxcsr = 0x80001F80;
	CHECK_ERRNO(TRACE(PTRACE_SETFPREGS, child, 0, &floating), EINVAL);
	end(child);
}

/* What was set is what is told until the tracee goes on, where the last instruction was and what is reserved, too. */
TEST(floating_registers_are_told_as_they_were_set)
{
	pid_t child = traced(nothing, 0);
	struct user_fpregs_struct floating, found;

	CHECK_EQ(TRACE(PTRACE_GETFPREGS, child, 0, &floating), 0);
	floating.ftw = 0xAB81;
	floating.fop = 0x1234;
	floating.rip = 0x123456789ABCDEF0;
	floating.rdp = 0xFEDCBA9876543210;
	floating.mxcr_mask = 0x11111111;
	floating.st_space[0] = 0x1010;
	floating.st_space[3] = 0x77777777;
	floating.padding[0] = floating.padding[23] = 0x55555555;
	CHECK_EQ(TRACE(PTRACE_SETFPREGS, child, 0, &floating), 0);
	memset(&found, 0, sizeof(found));
	CHECK_EQ(TRACE(PTRACE_GETFPREGS, child, 0, &found), 0);
	CHECK_EQ(found.ftw, 0xAB81);
	CHECK_EQ(found.fop, 0x1234);
	CHECK_EQ(found.rip, 0x123456789ABCDEF0);
	CHECK_EQ(found.rdp, 0xFEDCBA9876543210);
	CHECK_EQ(found.mxcr_mask, 0x11111111);
	CHECK_EQ(found.st_space[0], 0x1010);
	CHECK_EQ(found.st_space[3], 0x77777777);
	CHECK_EQ(found.padding[0], 0);
	CHECK_EQ(found.padding[23], 0);
	end(child);
}

static void raise_blocked(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN + 1);
	syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN + 1);
	kill(getpid(), SIGUSR1);
	raise(SIGUSR2);
	_exit(8);
}

TEST(masks_and_pending_signals)
{
	pid_t child = traced(raise_blocked, 0);
	unsigned long mask = 0;
	siginfo_t infos[4];
	struct ptrace_peeksiginfo_args args = {0, 0, 4};

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR2));
	CHECK_EQ(TRACE(PTRACE_GETSIGMASK, child, 8, &mask), 0);
	CHECK_EQ(mask, 1UL << (SIGUSR1 - 1) | 1UL << SIGRTMIN);
	CHECK_ERRNO(TRACE(PTRACE_GETSIGMASK, child, 4, &mask), EINVAL);
	CHECK_EQ(TRACE(PTRACE_PEEKSIGINFO, child, &args, infos), 2);
	CHECK_EQ(infos[0].si_signo, SIGRTMIN + 1);
	args.off = 1;
	CHECK_EQ(TRACE(PTRACE_PEEKSIGINFO, child, &args, infos), 1);
	args.off = 0;
	args.flags = PTRACE_PEEKSIGINFO_SHARED;
	CHECK_EQ(TRACE(PTRACE_PEEKSIGINFO, child, &args, infos), 1);
	CHECK_EQ(infos[0].si_signo, SIGUSR1);
	args.flags = 2;
	CHECK_ERRNO(TRACE(PTRACE_PEEKSIGINFO, child, &args, infos), EINVAL);
	mask = ~0UL;
	CHECK_EQ(TRACE(PTRACE_SETSIGMASK, child, 8, &mask), 0);
	CHECK_EQ(TRACE(PTRACE_GETSIGMASK, child, 8, &mask), 0);
	CHECK_EQ(mask, ~(1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1)));
	mask = 1UL << SIGRTMIN;
	CHECK_EQ(TRACE(PTRACE_SETSIGMASK, child, 8, &mask), 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(8));
}

static void poll_with_a_mask(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ppoll(NULL, 0, NULL, &set);
	_exit(9);
}

/* What is blocked for a call only isn't told; and what a tracer sets stays. */
TEST(a_mask_for_one_call)
{
	pid_t child = (pid_t)MUST(fork());
	unsigned long mask = 1;

	if (child == 0)
		poll_with_a_mask();
	sleep_ms(50);
	CHECK_EQ(TRACE(PTRACE_ATTACH, child, 0, 0), 0);
	CHECK_EQ(wait_for(child), STOPPED_BY(SIGSTOP));
	CHECK_EQ(TRACE(PTRACE_GETSIGMASK, child, 8, &mask), 0);
	CHECK_EQ(mask, 0);
	mask = 1UL << (SIGUSR1 - 1);
	CHECK_EQ(TRACE(PTRACE_SETSIGMASK, child, 8, &mask), 0);
	mask = 0;
	CHECK_EQ(TRACE(PTRACE_GETSIGMASK, child, 8, &mask), 0);
	CHECK_EQ(mask, 1UL << (SIGUSR1 - 1));
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

static void raise_by_turns(void)
{
	sigset_t set;
	int i;

	sigfillset(&set);
	sigdelset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (i = 0; i < 3; i++) {
		syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN + 1);
		syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN);
	}
	syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
	raise(SIGUSR2);
	_exit(8);
}

/* There is one queue for all numbers. */
TEST(pending_signals_as_they_came)
{
	pid_t child = traced(raise_by_turns, 0);
	siginfo_t infos[8];
	struct ptrace_peeksiginfo_args args = {0, 0, 8};
	int i;

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR2));
	CHECK_EQ(TRACE(PTRACE_PEEKSIGINFO, child, &args, infos), 7);
	for (i = 0; i < 6; i++)
		CHECK_EQ(infos[i].si_signo, i % 2 == 0 ? SIGRTMIN + 1 : SIGRTMIN);
	CHECK_EQ(infos[6].si_signo, SIGUSR1);
	args.off = 5;
	CHECK_EQ(TRACE(PTRACE_PEEKSIGINFO, child, &args, infos), 2);
	CHECK_EQ(infos[0].si_signo, SIGRTMIN);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(8));
}

TEST(rseq_registration)
{
	struct ptrace_rseq_configuration configuration;
	pid_t child = traced(nothing, 0);

	memset(&configuration, 0, sizeof(configuration));
	CHECK_EQ(TRACE(PTRACE_GET_RSEQ_CONFIGURATION, child, sizeof(configuration), &configuration),
		 sizeof(configuration));
	CHECK(configuration.rseq_abi_pointer != 0);
	CHECK_EQ(configuration.rseq_abi_pointer % 32, 0);
	CHECK(configuration.rseq_abi_size >= 20);
	CHECK_EQ(configuration.signature, 0x53053053);
	CHECK_EQ(configuration.flags, 0);
	memset(&configuration, 0, sizeof(configuration));
	CHECK_EQ(TRACE(PTRACE_GET_RSEQ_CONFIGURATION, child, 4, &configuration), sizeof(configuration));
	CHECK_EQ(configuration.signature, 0);
	end(child);
}

static pid_t sleeper(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		signal(SIGUSR1, note_number);
		for (;;)
			pause();
	}
	usleep(10000);
	return child;
}

TEST(seized)
{
	pid_t child = sleeper();
	siginfo_t info;

	CHECK_EQ(TRACE(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD), 0);
	CHECK_EQ(waitpid(child, NULL, __WALL | WNOHANG), 0);
	CHECK_ERRNO(TRACE(PTRACE_CONT, child, 0, 0), ESRCH);
	CHECK_EQ(TRACE(PTRACE_INTERRUPT, child, 0, 0), 0);
	CHECK_EQ(next(child), EVENT(PTRACE_EVENT_STOP));
	CHECK_EQ(siginfo_of(child, &info), 0);
	CHECK_EQ(info.si_code, SIGTRAP | PTRACE_EVENT_STOP << 8);
	CHECK_EQ(registers_of(child).rax, (unsigned long long)-514);
	/* An interruption during a stop makes another. */
	CHECK_EQ(TRACE(PTRACE_INTERRUPT, child, 0, 0), 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_STOP));
	CHECK_EQ(TRACE(PTRACE_CONT, child, 0, 0), 0);
	kill(child, SIGUSR1);
	CHECK_EQ(next(child), STOPPED_BY(SIGUSR1));
	CHECK_EQ(TRACE(PTRACE_DETACH, child, 0, SIGTERM), 0);
	CHECK_EQ(next(child), KILLED(SIGTERM));
}

TEST(group_stop_of_a_seized_one)
{
	pid_t child = sleeper();

	CHECK_EQ(TRACE(PTRACE_SEIZE, child, 0, 0), 0);
	kill(child, SIGSTOP);
	CHECK_EQ(next(child), STOPPED_BY(SIGSTOP));
	CHECK_ERRNO(TRACE(PTRACE_LISTEN, child, 0, 0), EIO);
	CHECK_EQ(go_on(PTRACE_CONT, child, SIGSTOP), STOPPED_BY(SIGSTOP) | PTRACE_EVENT_STOP << 16);
	CHECK_EQ(TRACE(PTRACE_LISTEN, child, 0, 0), 0);
	CHECK_ERRNO(TRACE(PTRACE_CONT, child, 0, 0), ESRCH);
	CHECK_EQ(waitpid(child, NULL, __WALL | WNOHANG), 0);
	kill(child, SIGCONT);
	CHECK_EQ(next(child), EVENT(PTRACE_EVENT_STOP));
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGCONT));
	CHECK_EQ(TRACE(PTRACE_CONT, child, 0, SIGCONT), 0);
	end(child);
}

TEST(group_stop_of_an_attached_one)
{
	pid_t child = sleeper();
	siginfo_t info;

	CHECK_EQ(TRACE(PTRACE_ATTACH, child, 0, 0), 0);
	CHECK_EQ(next(child), STOPPED_BY(SIGSTOP));
	CHECK_EQ(go_on(PTRACE_CONT, child, SIGSTOP), STOPPED_BY(SIGSTOP));
	/* The stop of the group, for which there is no signal to look at. */
	CHECK_EQ(siginfo_of(child, &info), -EINVAL);
	CHECK_EQ(TRACE(PTRACE_DETACH, child, 0, 0), 0);
	kill(child, SIGKILL);
	CHECK_EQ(next(child), KILLED(SIGKILL));
}

TEST(attaching_to_a_stopped_one)
{
	pid_t child = sleeper();
	int status;

	kill(child, SIGTSTP);
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK_EQ(status, STOPPED_BY(SIGTSTP));
	CHECK_EQ(TRACE(PTRACE_SEIZE, child, 0, 0), 0);
	CHECK_EQ(next(child), STOPPED_BY(SIGTSTP) | PTRACE_EVENT_STOP << 16);
	CHECK_EQ(TRACE(PTRACE_DETACH, child, 0, 0), 0);
	/* It stays stopped. */
	usleep(10000);
	CHECK_EQ(TRACE(PTRACE_ATTACH, child, 0, 0), 0);
	CHECK_EQ(next(child), STOPPED_BY(SIGTSTP));
	end(child);
}

static void fork_then_call(void)
{
	fork_once();
}

TEST(children_of_a_seized_one)
{
	pid_t child = (pid_t)MUST(fork()), grandchild;

	if (child == 0) {
		raise(SIGSTOP);
		fork_then_call();
	}
	CHECK_EQ(waitpid(child, NULL, WUNTRACED), child);
	CHECK_EQ(TRACE(PTRACE_SEIZE, child, 0, PTRACE_O_TRACEFORK), 0);
	CHECK_EQ(next(child), STOPPED_BY(SIGSTOP) | PTRACE_EVENT_STOP << 16);
	CHECK_EQ(TRACE(PTRACE_CONT, child, 0, 0), 0);
	kill(child, SIGCONT);
	for (int status = next(child); status != EVENT(PTRACE_EVENT_FORK); status = next(child))
		TRACE(PTRACE_CONT, child, 0, status >> 16 ? 0 : WSTOPSIG(status));
	grandchild = (pid_t)message_of(child);
	CHECK_EQ(next(grandchild), EVENT(PTRACE_EVENT_STOP));
	CHECK_EQ(go_on(PTRACE_CONT, grandchild, 0), EXITED(21));
	end(child);
}

static void filtered(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 1234),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {LENGTH(filter), filter};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
		_exit(98);
	_exit((int)syscall(SYS_getppid, 1, 2, 3, 4, 5, 6) == 77 ? 5 : errno == ENOSYS ? 6 : 7);
}

TEST(seccomp_event)
{
	pid_t child = traced(filtered, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD);
	struct ptrace_syscall_info info;

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_SECCOMP));
	CHECK_EQ(message_of(child), 1234);
	CHECK(TRACE(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) >= 84);
	CHECK_EQ(info.op, PTRACE_SYSCALL_INFO_SECCOMP);
	CHECK_EQ(info.seccomp.nr, SYS_getppid);
	CHECK_EQ(info.seccomp.ret_data, 1234);
	/* It goes on with the call, and then stops at its end. */
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(registers_of(child).rax, getpid());
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.rax), 77), 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(5));
	child = traced(filtered, 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(6));
	child = traced(filtered, PTRACE_O_TRACESECCOMP);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_SECCOMP));
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.orig_rax), -1), 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.rax), 77), 0);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(5));
}

static void filter_no_call(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, -1U, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EL2HLT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {LENGTH(code), code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		_exit(1);
	raise(SIGUSR1);
	if (syscall(-1) != -1 || errno != EL2HLT)
		_exit(2);
	raise(SIGUSR1);
	_exit(syscall(SYS_getppid) == -1 && errno == EL2HLT ? 3 : 4);
}

/* Filters are asked after the tracer, also of a call that it doesn't want made. */
TEST(seccomp_of_no_call)
{
	pid_t child = traced(filter_no_call, PTRACE_O_TRACESYSGOOD);

	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(registers_of(child).orig_rax, -1UL);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(registers_of(child).rax, -(unsigned long)EL2HLT);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGUSR1));
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(registers_of(child).orig_rax, SYS_getppid);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.orig_rax), -1L), 0);
	CHECK_EQ(TRACE(PTRACE_POKEUSR, child, offsetof(struct user, regs.rax), 7L), 0);
	CHECK_EQ(go_on(PTRACE_SYSCALL, child, 0), CALL_STOP);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(3));
}

TEST(seccomp_filters_as_they_are)
{
	pid_t child = traced(filtered, PTRACE_O_TRACESECCOMP);
	struct sock_filter filter[8];
	struct seccomp_metadata metadata = {0, 99};

	if (geteuid() != 0) {
		end(child);
		return;
	}
	CHECK_ERRNO(TRACE(PTRACE_SECCOMP_GET_FILTER, child, 0, 0), EINVAL);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EVENT(PTRACE_EVENT_SECCOMP));
	CHECK_EQ(TRACE(PTRACE_SECCOMP_GET_FILTER, child, 0, 0), 4);
	CHECK_EQ(TRACE(PTRACE_SECCOMP_GET_FILTER, child, 0, filter), 4);
	CHECK_EQ(filter[0].code, BPF_LD | BPF_W | BPF_ABS);
	CHECK_EQ(filter[0].k, offsetof(struct seccomp_data, nr));
	CHECK_EQ(filter[1].jf, 1);
	CHECK_EQ(filter[2].k, SECCOMP_RET_TRACE | 1234);
	CHECK_ERRNO(TRACE(PTRACE_SECCOMP_GET_FILTER, child, 1, filter), ENOENT);
	CHECK_ERRNO(TRACE(PTRACE_SECCOMP_GET_FILTER, child, 0, 8), EFAULT);
	CHECK_EQ(TRACE(PTRACE_SECCOMP_GET_METADATA, child, sizeof(metadata), &metadata), sizeof(metadata));
	CHECK_EQ(metadata.flags, 0);
	CHECK_ERRNO(TRACE(PTRACE_SECCOMP_GET_METADATA, child, 4, &metadata), EINVAL);
	metadata.filter_off = 1;
	CHECK_ERRNO(TRACE(PTRACE_SECCOMP_GET_METADATA, child, sizeof(metadata), &metadata), ENOENT);
	MUST(seteuid(NOBODY));
	CHECK_ERRNO(TRACE(PTRACE_SECCOMP_GET_METADATA, child, 4, &metadata), EACCES);
	CHECK_ERRNO(TRACE(PTRACE_SECCOMP_GET_METADATA, child, sizeof(metadata), 8), EACCES);
	MUST(seteuid(0));
	end(child);
}

TEST(seccomp_suspended)
{
	pid_t child;

	if (geteuid() != 0)
		return;
	child = traced(filtered, 0);
	CHECK_EQ(TRACE(PTRACE_SETOPTIONS, child, 0, PTRACE_O_SUSPEND_SECCOMP), 0);
	/* Its call is made, whatever the filter says, and doesn't return 77. */
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), EXITED(7));
}

TEST(a_fork_while_stepping)
{
	pid_t child = traced(fork_once, PTRACE_O_TRACESYSGOOD);
	int status = 0, count;

	for (count = 0; count < 100000 && WIFSTOPPED(status = go_on(PTRACE_SINGLESTEP, child, 0)); count++)
		if (WSTOPSIG(status) == SIGCHLD)
			break;
	/* The new child hasn't the trap flag, and so ends as it wants to. */
	CHECK_EQ(status, STOPPED_BY(SIGCHLD));
	siginfo_t info;
	CHECK_EQ(siginfo_of(child, &info), 0);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_status, 21);
	end(child);
}

/* A tracer that isn't the parent, in a process of its own: it attaches, and ends in some way. */
static void attach_and_end(pid_t child, unsigned long options)
{
	pid_t tracer = (pid_t)MUST(fork());

	if (tracer == 0) {
		if (TRACE(PTRACE_SEIZE, child, 0, options) < 0)
			_exit(1);
		if (TRACE(PTRACE_INTERRUPT, child, 0, 0) < 0 || next(child) != EVENT(PTRACE_EVENT_STOP))
			_exit(2);
		_exit(0);
	}
	CHECK_EQ(next(tracer), EXITED(0));
}

TEST(a_tracer_that_ends)
{
	pid_t child = sleeper();
	char path[64], text[4096];
	ssize_t length;
	int fd;

	attach_and_end(child, 0);
	snprintf(path, sizeof(path), "/proc/%d/status", child);
	fd = (int)MUST(open(path, O_RDONLY));
	length = read(fd, text, sizeof(text) - 1);
	text[length > 0 ? length : 0] = 0;
	CHECK(strstr(text, "TracerPid:\t0\n") != NULL);
	close(fd);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	attach_and_end(child, PTRACE_O_EXITKILL);
	CHECK_EQ(next(child), KILLED(SIGKILL));
}

TEST(tracer_and_parent)
{
	pid_t child = sleeper(), tracer;
	int ready[2], status;
	char byte;

	MUST(pipe(ready));
	tracer = (pid_t)MUST(fork());
	if (tracer == 0) {
		if (TRACE(PTRACE_SEIZE, child, 0, 0) < 0)
			_exit(1);
		write(ready[1], "x", 1);
		status = next(child);
		if (status != STOPPED_BY(SIGUSR1))
			_exit(2);
		status = go_on(PTRACE_CONT, child, SIGTERM);
		if (status != KILLED(SIGTERM))
			_exit(3);
		write(ready[1], "y", 1);
		_exit(0);
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	kill(child, SIGUSR1);
	/* The parent learns of the end after the tracer has. */
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, KILLED(SIGTERM));
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	CHECK_EQ(next(tracer), EXITED(0));
}

static void sleep_long(void)
{
	struct timespec time = {1000, 0};

	nanosleep(&time, NULL);
}

TEST(killed_in_a_stop)
{
	static const int requests[] = {PTRACE_CONT, PTRACE_SYSCALL};

	for (size_t index = 0; index < LENGTH(requests); index++) {
		pid_t child = traced(sleep_long, PTRACE_O_TRACESYSGOOD);

		CHECK_EQ(TRACE(requests[index], child, 0, 0), 0);
		usleep(10000);
		if (requests[index] == PTRACE_SYSCALL)
			CHECK_EQ(next(child), CALL_STOP);
		kill(child, SIGKILL);
		CHECK_EQ(next(child), KILLED(SIGKILL));
	}
	pid_t child = traced(sleep_long, PTRACE_O_TRACEEXIT);

	CHECK_EQ(TRACE(PTRACE_CONT, child, 0, 0), 0);
	kill(child, SIGKILL);
	CHECK_EQ(next(child), EVENT(PTRACE_EVENT_EXIT));
	CHECK_EQ(message_of(child), SIGKILL);
	CHECK_EQ(go_on(PTRACE_CONT, child, 0), KILLED(SIGKILL));
	child = traced(sleep_long, 0);
	CHECK_EQ(TRACE(PTRACE_KILL, child, 0, 0), 0);
	CHECK_EQ(next(child), KILLED(SIGKILL));
}

TEST(waiting_by_id)
{
	pid_t child = traced(raise_user, 0);
	siginfo_t info;

	CHECK_EQ(TRACE(PTRACE_CONT, child, 0, 0), 0);
	memset(&info, 0, sizeof(info));
	CHECK_EQ(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT), 0);
	CHECK_EQ(info.si_code, CLD_TRAPPED);
	CHECK_EQ(info.si_status, SIGUSR1);
	CHECK_EQ(info.si_pid, child);
	memset(&info, 0, sizeof(info));
	CHECK_EQ(waitid(P_PID, (id_t)child, &info, WSTOPPED), 0);
	CHECK_EQ(info.si_status, SIGUSR1);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	end(child);
}


/* The signal is an unsigned int here, and a long for those that go on. */
TEST(the_width_of_a_signal_and_of_a_request)
{
	pid_t child = traced(sleep_long, 0);

	CHECK_ERRNO(TRACE(PTRACE_CONT, child, 0, 1UL << 32), EIO);
	CHECK_ERRNO(TRACE(PTRACE_DETACH, child, 0, 65), EIO);
	/* So is a request's number: it's a long. */
	CHECK_ERRNO(syscall(SYS_ptrace, 1UL << 32 | PTRACE_PEEKUSR, child, 0, &child), EIO);
	CHECK_EQ(TRACE(PTRACE_DETACH, child, 0, 1UL << 32 | SIGKILL), 0);
	CHECK_EQ(next(child), KILLED(SIGKILL));
}

/* Children come before those that are traced alone, in the order in which they were born; of those the last first. */
TEST(waiting_for_several)
{
	pid_t elder = (pid_t)MUST(fork()), younger, other;
	int ends[2], status = 0;

	if (elder == 0) {
		pause();
		_exit(0);
	}
	younger = (pid_t)MUST(fork());
	if (younger == 0) {
		pause();
		_exit(0);
	}
	MUST(pipe(ends));
	if (fork() == 0) {
		pid_t grandchild = (pid_t)MUST(fork());

		if (grandchild == 0)
			pause();
		MUST(write(ends[1], &grandchild, sizeof(grandchild)));
		pause();
	}
	CHECK_EQ(read(ends[0], &other, sizeof(other)), sizeof(other));
	MUST(TRACE(PTRACE_SEIZE, other, 0, 0));
	MUST(TRACE(PTRACE_SEIZE, younger, 0, 0));
	MUST(TRACE(PTRACE_SEIZE, elder, 0, 0));
	MUST(TRACE(PTRACE_INTERRUPT, other, 0, 0));
	MUST(TRACE(PTRACE_INTERRUPT, younger, 0, 0));
	MUST(TRACE(PTRACE_INTERRUPT, elder, 0, 0));
	usleep(20000);
	CHECK_EQ(waitpid(-1, &status, __WALL), elder);
	CHECK_EQ(status, EVENT(PTRACE_EVENT_STOP));
	CHECK_EQ(waitpid(-1, &status, __WALL), younger);
	CHECK_EQ(waitpid(-1, &status, __WALL), other);
	CHECK_EQ(waitpid(-1, &status, __WALL | WNOHANG), 0);
	kill(other, SIGKILL);
	end(younger);
	end(elder);
}

/* Instructions of which the kernel may do a part; each name is where one begins, or a step ends. */
void attended(void);
extern char attended_at[], attended_stamp[], attended_pushes[], attended_pops[], attended_far[], attended_segment[],
	attended_return[], attended_string[], attended_last[];
__asm__(".text\n"
	"attended:\n"
	"attended_at:\trdtsc\n"
	"attended_stamp:\tlea 1f(%rip), %rax\n\tpush $0x33\n\tpush %rax\n\tlretq\n"
	"attended_far:\n1:\tmov %ss, %eax\n\tmov %eax, %ss\n\tnop\n"
	"attended_segment:\tmov %rsp, %rcx\n\tpush $0x2b\n\tpush %rcx\n\tpushf\n\tpush $0x33\n\tlea 2f(%rip), %rax\n\t"
	"push %rax\n\tiretq\n"
	"attended_return:\n2:\tmov $3, %ecx\n\tlea -64(%rsp), %rdi\n\tmov %rsp, %rsi\n\tcld\n"
	"attended_string:\trep movsb\n"
	"attended_last:\tmov $1, %edi\n\tmov $60, %eax\n\tsyscall\n"
	".previous\n");

TEST(steps_end_with_their_instruction)
{
	pid_t child = traced(attended, 0);
	char *const stops[] = { attended_stamp, attended_far, attended_segment, attended_return, attended_string,
				attended_string, attended_string, attended_last };
	struct user_regs_struct registers = { 0 };
	unsigned long before = 0;
	int stop = 0, steps = 0, shadowed = 0;

	for (int count = 0; count < 100000 && stop < 8; count++) {
		if (go_on(PTRACE_SINGLESTEP, child, 0) != STOPPED_BY(SIGTRAP) || TRACE(PTRACE_GETREGS, child, 0, &registers) < 0)
			break;
		if (registers.rip < (unsigned long)attended_at || registers.rip > (unsigned long)attended_last)
			continue;
		steps++;
		/* The instruction behind a load of ss goes with it. */
		shadowed += before && registers.rip == (unsigned long)attended_segment && registers.rip - before == 3;
		before = registers.rip;
		if (registers.rip == (unsigned long)stops[stop])
			stop++;
	}
	CHECK_EQ(stop, 8);
	CHECK_EQ(shadowed, 1);
	CHECK_EQ(steps, 23);
	CHECK_EQ(registers.rcx, 0);
	end(child);
}

static void pops_flags(void)
{
	__asm__ volatile("int3\n\tpush $0x202\n\tpopf\n\tnop\n\tnop\n\tnop" : : : "memory", "cc");
	_exit(7);
}

/* Who steps over popf gives the trap flag away. */
TEST(the_flag_that_popf_loads)
{
	for (int steps = 0; steps < 5; steps++) {
		pid_t child = traced(pops_flags, 0);
		int status;

		CHECK_EQ(go_on(PTRACE_CONT, child, 0), STOPPED_BY(SIGTRAP));
		for (int step = 0; step < steps; step++)
			CHECK_EQ(go_on(PTRACE_SINGLESTEP, child, 0), STOPPED_BY(SIGTRAP));
		CHECK_EQ(registers_of(child).eflags & 0x100, steps > 2 ? 0x100 : 0);
		status = go_on(PTRACE_CONT, child, 0);
		CHECK_EQ(status, steps > 2 ? STOPPED_BY(SIGTRAP) : EXITED(7));
		if (steps > 2)
			end(child);
	}
}
