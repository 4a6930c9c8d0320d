/* System calls that a process makes itself: PR_SET_SYSCALL_USER_DISPATCH of prctl(2). */
#include "check.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <ucontext.h>

#define SET_DISPATCH 59
#define SET_CONFIG 0x4210
#define GET_CONFIG 0x4211
#define USER_DISPATCH 2
#define GIVEN 0x1234

static volatile char selector;
static volatile int signals, number, code;
static void *volatile address;
extern char call_begin[], call_end[];

/* A system call without arguments, made from a place of its own. */
__attribute__((noinline, noclone)) static long call(long nr)
{
	long result;

	__asm__ volatile("call_begin: syscall; call_end:" : "=a"(result) : "a"(nr) : "rcx", "r11", "memory");
	return result;
}

static void take(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	selector = 0;
	signals++;
	number = info->si_syscall;
	code = info->si_code;
	address = info->si_call_addr;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = GIVEN;
}

static int dispatch(unsigned long mode, unsigned long from, unsigned long length, volatile char *byte)
{
	return prctl(SET_DISPATCH, mode, from, length, byte);
}

TEST(calls_come_as_signals)
{
	handle_info(SIGSYS, take, 0);
	CHECK_OK(dispatch(1, 0, 0, &selector));
	CHECK_EQ(call(SYS_getppid), getppid());
	selector = 1;
	CHECK_EQ(call(SYS_getppid), GIVEN);
	CHECK_EQ(signals, 1);
	CHECK_EQ(number, SYS_getppid);
	CHECK_EQ(code, USER_DISPATCH);
	CHECK_EQ(address, call_end);
	/* What no kernel has is the process's to make, too. */
	selector = 1;
	CHECK_EQ(call(0xffff), GIVEN);
	CHECK_EQ(number, 0xffff);
	CHECK_OK(dispatch(0, 0, 0, NULL));
	selector = 1;
	CHECK_EQ(call(SYS_getppid), getppid());
	CHECK_EQ(signals, 2);
}

TEST(a_range_goes_to_the_kernel)
{
	long result;

	handle_info(SIGSYS, take, 0);
	/* The instruction that follows is what counts. */
	CHECK_OK(dispatch(1, (unsigned long)call_begin, (unsigned long)(call_end - call_begin) + 1, &selector));
	selector = 1;
	result = call(SYS_gettid);
	selector = 0;
	CHECK_EQ(result, gettid());
	CHECK_EQ(signals, 0);
	CHECK_OK(dispatch(1, (unsigned long)call_begin, (unsigned long)(call_end - call_begin), &selector));
	selector = 1;
	CHECK_EQ(call(SYS_gettid), GIVEN);
	CHECK_EQ(signals, 1);
}

/* As of Linux 6.18 those of a range may be the process's, and all others the kernel's. */
TEST(a_range_comes_as_signals)
{
	unsigned long begin = (unsigned long)call_begin, length = (unsigned long)(call_end - call_begin);

	handle_info(SIGSYS, take, 0);
	CHECK_OK(dispatch(2, begin, length + 1, &selector));
	selector = 1;
	getuid();
	CHECK_EQ(call(SYS_gettid), GIVEN);
	CHECK_EQ(signals, 1);
	CHECK_EQ(call(SYS_gettid), gettid());
	CHECK_OK(dispatch(2, begin, length, &selector));
	selector = 1;
	CHECK_EQ(call(SYS_gettid), gettid());
	CHECK_OK(dispatch(2, begin, length + 1, NULL));
	CHECK_EQ(call(SYS_gettid), GIVEN);
	CHECK_EQ(signals, 2);
	CHECK_ERRNO(dispatch(2, begin, 0, &selector), EINVAL);
	CHECK_ERRNO(dispatch(2, 0, 0, &selector), EINVAL);
	CHECK_ERRNO(dispatch(2, begin, -begin, &selector), EINVAL);
	CHECK_ERRNO(dispatch(2, begin, -begin - 1, (char *)-4096), EFAULT);
	CHECK_ERRNO(dispatch(3, begin, 1, &selector), EINVAL);
	CHECK_OK(dispatch(2, 0, begin, &selector));
	CHECK_EQ(call(SYS_gettid), gettid());
}

TEST(what_is_refused)
{
	CHECK_ERRNO(dispatch(2, 0, 0, NULL), EINVAL);
	CHECK_ERRNO(dispatch(0, 1, 0, NULL), EINVAL);
	CHECK_ERRNO(dispatch(0, 0, 1, NULL), EINVAL);
	CHECK_ERRNO(dispatch(0, 0, 0, &selector), EINVAL);
	CHECK_ERRNO(dispatch(1, 1, 0, &selector), EINVAL);
	CHECK_ERRNO(dispatch(1, 4096, -4096UL, &selector), EINVAL);
	CHECK_ERRNO(dispatch(1, 0, 0, (char *)(1UL << 63)), EFAULT);
}

TEST(a_selector_that_says_nothing_kills)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		handle_info(SIGSYS, take, 0);
		MUST(dispatch(1, 0, 0, &selector));
		selector = 2;
		call(SYS_getppid);
		_exit(0);
	}
	CHECK_EQ(wait_for(child) & 0x7f, SIGSYS);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		dispatch(1, 0, 0, bad_address());
		call(SYS_getppid);
		_exit(0);
	}
	CHECK_EQ(wait_for(child) & 0x7f, SIGSEGV);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		/* A handler that is blocked isn't run. */
		handle_info(SIGSYS, take, 0);
		block(SIGSYS);
		MUST(dispatch(1, 0, 0, &selector));
		selector = 1;
		call(SYS_getppid);
		_exit(0);
	}
	CHECK_EQ(wait_for(child) & 0x7f, SIGSYS);
}

ROLE(executed)
{
	return call(SYS_getppid) == getppid() ? 0 : 1;
}

TEST(neither_children_nor_programs_inherit_it)
{
	pid_t child;

	handle_info(SIGSYS, take, 0);
	MUST(dispatch(1, 0, 0, &selector));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		selector = 1;
		_exit(call(SYS_getppid) == getppid() ? 0 : 1);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(dispatch(1, 0, 0, &selector));
		execl(check_self, check_self, "executed", NULL);
		_exit(2);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(a_tracer_reads_and_sets_it)
{
	uint64_t config[4] = {9, 9, 9, 9};
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		handle_info(SIGSYS, take, 0);
		MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		raise(SIGSTOP);
		selector = 1;
		_exit(call(SYS_getppid) == GIVEN ? 0 : 1);
	}
	MUST(waitpid(child, NULL, 0));
	CHECK_OK(ptrace(GET_CONFIG, child, sizeof(config), config));
	CHECK_EQ(config[0] | config[1] | config[2] | config[3], 0);
	CHECK_ERRNO(ptrace(GET_CONFIG, child, sizeof(config) - 1, config), EINVAL);
	CHECK_ERRNO(ptrace(GET_CONFIG, child, sizeof(config), bad_address()), EFAULT);
	config[0] = 3;
	CHECK_ERRNO(ptrace(SET_CONFIG, child, sizeof(config), config), EINVAL);
	config[0] = 1;
	config[1] = (uint64_t)&selector;
	CHECK_ERRNO(ptrace(SET_CONFIG, child, sizeof(config) + 1, config), EINVAL);
	CHECK_OK(ptrace(SET_CONFIG, child, sizeof(config), config));
	memset(config, 9, sizeof(config));
	CHECK_OK(ptrace(GET_CONFIG, child, sizeof(config), config));
	CHECK_EQ(config[0], 1);
	CHECK_EQ(config[1], &selector);
	CHECK_EQ(config[2] | config[3], 0);
	/* A range of calls that are the process's own is told the other way round. */
	memcpy(config, (uint64_t[]){2, (uint64_t)&selector, 0x1000, 0x3000}, sizeof(config));
	CHECK_OK(ptrace(SET_CONFIG, child, sizeof(config), config));
	CHECK_OK(ptrace(GET_CONFIG, child, sizeof(config), config));
	CHECK_EQ(config[0], 1);
	CHECK_EQ(config[2], 0x4000);
	CHECK_EQ(config[3], -0x3000L);
	memcpy(config, (uint64_t[]){1, (uint64_t)&selector, 0, 0}, sizeof(config));
	CHECK_OK(ptrace(SET_CONFIG, child, sizeof(config), config));
	MUST(ptrace(PTRACE_DETACH, child, NULL, 0));
	CHECK_EQ(wait_for(child), EXITED(0));
}
