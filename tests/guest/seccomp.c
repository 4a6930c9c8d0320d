/* seccomp(2): the strict mode, filters and what becomes of calls that they don't allow. */
#include "seccomp_filter.h"

#include <pthread.h>
#include <poll.h>
#include <sys/resource.h>
#include <ucontext.h>

#define SYS_SECCOMP_CODE 1

static volatile sig_atomic_t trapped_signal, trapped_code, trapped_errno, trapped_call;
static volatile unsigned int trapped_arch;
static void *volatile trapped_address;
static volatile long trapped_rax, trapped_rip;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	trapped_signal = signal;
	trapped_code = info->si_code;
	trapped_errno = info->si_errno;
	trapped_call = info->si_syscall;
	trapped_arch = info->si_arch;
	trapped_address = info->si_call_addr;
	trapped_rax = user->uc_mcontext.gregs[REG_RAX];
	trapped_rip = user->uc_mcontext.gregs[REG_RIP];
	user->uc_mcontext.gregs[REG_RAX] = 4711;
}

static int status_of(void (*body)(void))
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		body();
		_exit(99);
	}
	return wait_for(child);
}

TEST(before_there_is_any)
{
	char value[64];

	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK_EQ(prctl(PR_GET_SECCOMP, 7, 7, 7, 7), 0);
	status_line("Seccomp", value, sizeof(value));
	CHECK_STRING(value, "0");
	status_line("Seccomp_filters", value, sizeof(value));
	CHECK_STRING(value, "0");
}

TEST(operations_and_their_errors)
{
	struct sock_filter allow[] = {RETURN(SECCOMP_RET_ALLOW)};
	struct sock_fprog header = {1, allow};
	int zero = 0;

	CHECK_ERRNO(seccomp(4, 0, NULL), EINVAL);
	CHECK_ERRNO(seccomp(0xffffffff, 0, NULL), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_STRICT, 0, &zero), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0x40, &header), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0x80000000, &header), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, bad_address()), EFAULT);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &header),
		    EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &header), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, 3, &header, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, bad_address(), 0, 0), EFAULT);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
}

TEST(what_is_available)
{
	static const unsigned int actions[] = {
		SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
		SECCOMP_RET_USER_NOTIF,	  SECCOMP_RET_TRACE,	   SECCOMP_RET_LOG,  SECCOMP_RET_ALLOW,
	};
	unsigned int unknown = 0x10000, with_data = SECCOMP_RET_ERRNO | 5;
	struct seccomp_notif_sizes sizes;

	for (size_t at = 0; at < LENGTH(actions); at++)
		CHECK_EQ(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &actions[at]), 0);
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &unknown), EOPNOTSUPP);
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &with_data), EOPNOTSUPP);
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 1, &actions[0]), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, bad_address()), EFAULT);
	CHECK_EQ(seccomp(SECCOMP_GET_NOTIF_SIZES, 0, &sizes), 0);
	CHECK_EQ(sizes.seccomp_notif, sizeof(struct seccomp_notif));
	CHECK_EQ(sizes.seccomp_notif_resp, sizeof(struct seccomp_notif_resp));
	CHECK_EQ(sizes.seccomp_data, sizeof(struct seccomp_data));
	CHECK_ERRNO(seccomp(SECCOMP_GET_NOTIF_SIZES, 1, &sizes), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_GET_NOTIF_SIZES, 0, bad_address()), EFAULT);
}

TEST(needs_no_new_privs)
{
	struct sock_filter empty[] = {RETURN(SECCOMP_RET_ALLOW)};
	struct sock_fprog none = {0, empty}, null = {1, NULL};

	drop_root();
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	CHECK_ERRNO(ATTACH(0, RETURN(SECCOMP_RET_ALLOW)), EACCES);
	CHECK_ERRNO(ATTACH(0, RETURN(SECCOMP_RET_ALLOW), BPF_STMT(0xffff, 0)), EACCES);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &none), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &null), EACCES);
	CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &null), EINVAL);
	CHECK_EQ(ATTACH(0, RETURN(SECCOMP_RET_ALLOW)), 0);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
}

TEST(privilege_does_without)
{
	long result = ATTACH(0, RETURN(SECCOMP_RET_ALLOW));

	CHECK_EQ(ERRNO_OF(result), geteuid() == 0 ? 0 : EACCES);
}

/* What no program may be made of. */
TEST(verifier)
{
	struct sock_filter *many = calloc(4097, sizeof(*many));
	static const struct sock_filter alone[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0),	BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), BPF_STMT(BPF_ALU | BPF_MOD | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32), LOAD(1),
		LOAD(sizeof(struct seccomp_data)),	LOAD(0xfffff000),
		BPF_STMT(BPF_LD | BPF_MEM, 16),		BPF_STMT(BPF_LD | BPF_MEM, 0),
		BPF_STMT(BPF_LDX | BPF_MEM, 3),		BPF_STMT(BPF_ST, 16),
		BPF_STMT(BPF_STX, 16),			BPF_STMT(BPF_JMP | BPF_JA, 1),
		BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff), IF_EQUAL(0, 1, 0),
		IF_EQUAL(0, 0, 1),			BPF_STMT(BPF_RET | BPF_X, 0),
		BPF_STMT(0xffff, 0),			BPF_STMT(BPF_ALU | BPF_NEG | BPF_X, 0),
		BPF_STMT(BPF_LDX | BPF_W | BPF_ABS, 0), BPF_STMT(BPF_ALU | 0xb0, 0),
		BPF_STMT(BPF_JMP | 0x50, 0),		BPF_STMT(BPF_MISC | 0x40, 0),
		BPF_STMT(BPF_LDX | BPF_W | BPF_IND, 0), BPF_STMT(BPF_LD | BPF_W | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IMM, 0),	BPF_STMT(0x18, 0),
	};
	static const struct sock_filter good[] = {
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),	 BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 1),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 31), BPF_STMT(BPF_ALU | BPF_RSH | BPF_X, 99),
		BPF_STMT(BPF_ALU | BPF_NEG, 0),		 BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),	 BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_LD | BPF_IMM, 9),		 BPF_STMT(BPF_LDX | BPF_IMM, 9),
		BPF_STMT(BPF_ST, 15),			 BPF_STMT(BPF_STX, 0),
		BPF_STMT(BPF_JMP | BPF_JA, 0),		 IF_EQUAL(0, 0, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),	 BPF_STMT(BPF_MISC | BPF_TXA, 0),
		BPF_STMT(BPF_RET | BPF_A, 0),		 LOAD(60),
	};

	no_new_privs();
	for (size_t at = 0; at < LENGTH(alone); at++) {
		CHECK_ERRNO(ATTACH(0, alone[at], RETURN(SECCOMP_RET_ALLOW)), EINVAL);
	}
	for (size_t at = 0; at < LENGTH(good); at++) {
		pid_t child = (pid_t)MUST(fork());

		if (child == 0)
			_exit(ERRNO_OF(ATTACH(0, BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ALLOW), good[at],
					      RETURN(SECCOMP_RET_ALLOW))) != 0);
		/* The first divides by 0, and so kills. */
		CHECK_EQ(wait_for(child), at == 0 ? KILLED(SIGSYS) : EXITED(0));
	}
	/* The last instruction returns. */
	CHECK_ERRNO(ATTACH(0, LOAD(0)), EINVAL);
	CHECK_ERRNO(ATTACH(0, RETURN(SECCOMP_RET_ALLOW), LOAD(0)), EINVAL);
	/* A word is read only where it has been written on every way. */
	CHECK_ERRNO(ATTACH(0, LOAD(0), IF_EQUAL(1, 0, 1), BPF_STMT(BPF_ST, 2), BPF_STMT(BPF_LD | BPF_MEM, 2),
			   RETURN(SECCOMP_RET_ALLOW)),
		    EINVAL);
	CHECK_EQ(ATTACH(0, LOAD(0), IF_EQUAL(1, 1, 0), BPF_STMT(BPF_ST, 2), BPF_STMT(BPF_ST, 2),
			BPF_STMT(BPF_LD | BPF_MEM, 2), RETURN(SECCOMP_RET_ALLOW)),
		 0);
	for (int at = 0; at < 4097; at++)
		many[at] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	CHECK_ERRNO(attach_program(many, 4097, 0), EINVAL);
	CHECK_EQ(attach_program(many, 4096, 0), 0);
}

/* All programs of a task are 32768 instructions long at most, as they are after translation. */
static int filters_of(size_t length, struct sock_filter instruction)
{
	struct sock_filter *program = calloc(length, sizeof(*program));
	int count = 0;
	long result;

	for (size_t at = 0; at + 1 < length; at++)
		program[at] = instruction;
	program[length - 1] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	while ((result = attach_program(program, length, 0)) == 0)
		count++;
	CHECK_ERRNO(result, ENOMEM);
	return count;
}

TEST(longest_path_of_loads)
{
	char value[64];

	no_new_privs();
	CHECK_EQ(filters_of(4096, (struct sock_filter)LOAD(0)), 7);
	status_line("Seccomp_filters", value, sizeof(value));
	CHECK_STRING(value, "7");
	CHECK_EQ(filters_of(1000, (struct sock_filter)LOAD(0)), 4);
	CHECK_EQ(filters_of(1, (struct sock_filter)LOAD(0)), 1);
}

TEST(longest_path_of_returns)
{
	no_new_privs();
	CHECK_EQ(filters_of(4096, (struct sock_filter)RETURN(SECCOMP_RET_ALLOW)), 3);
	CHECK_EQ(filters_of(100, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_NEG, 0)), 75);
}

TEST(longest_path_of_jumps)
{
	no_new_privs();
	CHECK_EQ(filters_of(2000, (struct sock_filter)IF_EQUAL(0xffffffff, 0, 0)), 8);
	CHECK_EQ(filters_of(50, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 0)), 12);
}

TEST(errno_action)
{
	no_new_privs();
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_ERRNO | EUCLEAN), 0);
	CHECK_ERRNO(syscall(SYS_getppid), EUCLEAN);
	CHECK_EQ(attach_for(0, SYS_getpgrp, SECCOMP_RET_ERRNO), 0);
	CHECK_EQ(syscall(SYS_getpgrp), 0);
	CHECK_EQ(attach_for(0, SYS_getuid, SECCOMP_RET_ERRNO | 0xffff), 0);
	CHECK_ERRNO(syscall(SYS_getuid), 4095);
	CHECK_EQ(attach_for(0, 1000, SECCOMP_RET_ERRNO | EXDEV), 0);
	CHECK_ERRNO(syscall(1000), EXDEV);
	CHECK_ERRNO(syscall(1001), ENOSYS);
	CHECK_EQ(attach_for(0, -1, SECCOMP_RET_ERRNO | EL2HLT), 0);
	CHECK_ERRNO(syscall(-1), EL2HLT);
	CHECK_ERRNO(syscall(-2), ENOSYS);
	CHECK_EQ(attach_for(0, SYS_getpid, SECCOMP_RET_TRACE | 3), 0);
	CHECK_ERRNO(syscall(SYS_getpid), ENOSYS);
	CHECK_EQ(attach_for(SECCOMP_FILTER_FLAG_LOG, SYS_getegid, SECCOMP_RET_LOG), 0);
	CHECK_EQ(syscall(SYS_getegid), getegid());
	CHECK_EQ(attach_for(SECCOMP_FILTER_FLAG_SPEC_ALLOW, SYS_getgid, SECCOMP_RET_ALLOW | 77), 0);
	CHECK_EQ(syscall(SYS_getgid), getgid());
	CHECK_EQ(attach_for(SECCOMP_FILTER_FLAG_TSYNC_ESRCH, SYS_geteuid, SECCOMP_RET_USER_NOTIF), 0);
	CHECK_ERRNO(syscall(SYS_geteuid), ENOSYS);
}

/* A path isn't read, nor a descriptor looked at, when the call isn't made. */
TEST(nothing_is_done_before)
{
	no_new_privs();
	CHECK_EQ(attach_for(0, SYS_openat, SECCOMP_RET_ERRNO | ENOTTY), 0);
	CHECK_ERRNO(syscall(SYS_openat, -5, bad_address(), 0, 0), ENOTTY);
	CHECK_EQ(attach_for(0, SYS_close, SECCOMP_RET_ERRNO | ENOTTY), 0);
	CHECK_ERRNO(syscall(SYS_close, -1), ENOTTY);
	CHECK_ERRNO(syscall(SYS_dup, -1), EBADF);
}

TEST(arguments)
{
	no_new_privs();
	CHECK_EQ(ATTACH(0, LOAD(ARCHITECTURE), IF_EQUAL(AUDIT_ARCH_X86_64, 1, 0), RETURN(SECCOMP_RET_KILL_PROCESS),
			LOAD(NUMBER), IF_EQUAL(SYS_dup2, 1, 0), RETURN(SECCOMP_RET_ALLOW), LOAD(ARGUMENT(0)),
			IF_EQUAL(100, 0, 3), LOAD(ARGUMENT(1) + 4), IF_EQUAL(7, 0, 1), RETURN(SECCOMP_RET_ERRNO | ENOTNAM),
			LOAD(ARGUMENT(1)), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x10, 0, 1),
			RETURN(SECCOMP_RET_ERRNO | ENAVAIL), RETURN(SECCOMP_RET_ALLOW)),
		 0);
	CHECK_ERRNO(syscall(SYS_dup2, 100, 0x700000001), ENOTNAM);
	CHECK_ERRNO(syscall(SYS_dup2, 100, 0x800000010), ENAVAIL);
	CHECK_ERRNO(syscall(SYS_dup2, 100, 0x700000010), ENOTNAM);
	CHECK_ERRNO(syscall(SYS_dup2, 99, 0x30), ENAVAIL);
	CHECK_ERRNO(syscall(SYS_dup2, 99, 0x23), EBADF);
	CHECK_ERRNO(syscall(SYS_dup2, 100, 0x700000003), ENOTNAM);
	CHECK_ERRNO(syscall(SYS_dup2, 100, 0x3), EBADF);
	CHECK_OK(dup2(1, 40));
	CHECK_EQ(close(40), 0);
}

/* Where the call was made: past the instruction. */
TEST(address_of_the_call)
{
	no_new_privs();
	CHECK_EQ(ATTACH(0, LOAD(NUMBER), IF_EQUAL(SYS_getppid, 0, 4),
			LOAD(offsetof(struct seccomp_data, instruction_pointer)), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff),
			BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_TRAP), BPF_STMT(BPF_RET | BPF_A, 0),
			RETURN(SECCOMP_RET_ALLOW)),
		 0);
	handle_info(SIGSYS, on_trap, 0);
	CHECK_EQ(syscall(SYS_getppid), 4711);
	CHECK_EQ(trapped_errno, (long)trapped_address & 0xfff);
}

/* A program of many filters that look at arguments. */
TEST(many_filters)
{
	no_new_privs();
	for (int at = 1; at <= 40; at++)
		MUST(ATTACH(0, LOAD(NUMBER), IF_EQUAL(SYS_getppid, 0, 3), LOAD(ARGUMENT(0)), IF_EQUAL((unsigned int)at, 0, 1),
			    RETURN(SECCOMP_RET_ERRNO | (unsigned int)at), RETURN(SECCOMP_RET_ALLOW)));
	for (int at = 1; at <= 40; at += 13)
		CHECK_ERRNO(syscall(SYS_getppid, at), at);
	CHECK(syscall(SYS_getppid, 41) > 0);
}

/* What a program computes shows in the errno. */
static int computed(const struct sock_filter *body, size_t length)
{
	struct sock_filter program[32];
	size_t at = 0;
	int status;
	pid_t child = (pid_t)MUST(fork());

	if (child != 0) {
		status = wait_for(child);
		return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
	}
	program[at++] = (struct sock_filter)LOAD(NUMBER);
	program[at++] = (struct sock_filter)IF_EQUAL(SYS_getppid, 1, 0);
	program[at++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	for (size_t from = 0; from < length; from++)
		program[at++] = body[from];
	program[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff);
	program[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
	program[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
	if (attach_program(program, at, 0) != 0)
		_exit(253);
	errno = 0;
	syscall(SYS_getppid);
	_exit(errno);
}

#define COMPUTED(...) \
	({ \
		struct sock_filter body_[] = {__VA_ARGS__}; \
		computed(body_, LENGTH(body_)); \
	})
#define A(value) BPF_STMT(BPF_LD | BPF_IMM, (value))
#define X(value) BPF_STMT(BPF_LDX | BPF_IMM, (value))
#define ALU(operation, value) BPF_STMT(BPF_ALU | (operation) | BPF_K, (value))
#define ALU_X(operation) BPF_STMT(BPF_ALU | (operation) | BPF_X, 0)

TEST(arithmetic)
{
	no_new_privs();
	CHECK_EQ(COMPUTED(A(20), ALU(BPF_ADD, 22)), 42);
	CHECK_EQ(COMPUTED(A(0xffffffff), ALU(BPF_ADD, 8)), 7);
	CHECK_EQ(COMPUTED(A(5), ALU(BPF_SUB, 6), ALU(BPF_RSH, 24)), 255);
	CHECK_EQ(COMPUTED(A(0x10001), ALU(BPF_MUL, 0x10001), ALU(BPF_RSH, 17)), 1);
	CHECK_EQ(COMPUTED(A(100), ALU(BPF_DIV, 7)), 14);
	CHECK_EQ(COMPUTED(A(0xf0), ALU(BPF_AND, 0x3c)), 0x30);
	CHECK_EQ(COMPUTED(A(0xf0), ALU(BPF_XOR, 0x3c)), 0xcc);
	CHECK_EQ(COMPUTED(A(0x0f), ALU(BPF_OR, 0x30)), 0x3f);
	CHECK_EQ(COMPUTED(A(3), ALU(BPF_LSH, 4)), 48);
	CHECK_EQ(COMPUTED(A(0x80000000), ALU(BPF_LSH, 1)), 0);
	CHECK_EQ(COMPUTED(A(1), BPF_STMT(BPF_ALU | BPF_NEG, 0)), 255);
	CHECK_EQ(COMPUTED(A(100), X(9), ALU_X(BPF_DIV)), 11);
	CHECK_EQ(COMPUTED(A(1), X(35), ALU_X(BPF_LSH)), 8);
	CHECK_EQ(COMPUTED(A(64), X(34), ALU_X(BPF_RSH)), 16);
	CHECK_EQ(COMPUTED(A(12), X(30), ALU_X(BPF_ADD), ALU_X(BPF_SUB), ALU_X(BPF_MUL)), 104);
	CHECK_EQ(COMPUTED(A(12), X(10), ALU_X(BPF_AND)), 8);
	CHECK_EQ(COMPUTED(A(12), X(10), ALU_X(BPF_OR)), 14);
	CHECK_EQ(COMPUTED(A(12), X(10), ALU_X(BPF_XOR)), 6);
	CHECK_EQ(COMPUTED(BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0)), 64);
	CHECK_EQ(COMPUTED(BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_MISC | BPF_TXA, 0)), 64);
	CHECK_EQ(COMPUTED(A(17), BPF_STMT(BPF_MISC | BPF_TAX, 0), A(1), BPF_STMT(BPF_MISC | BPF_TXA, 0)), 17);
	CHECK_EQ(COMPUTED(A(17), BPF_STMT(BPF_ST, 5), X(18), BPF_STMT(BPF_STX, 6), A(0), BPF_STMT(BPF_LD | BPF_MEM, 5),
			  BPF_STMT(BPF_LDX | BPF_MEM, 6), ALU_X(BPF_ADD)),
		 35);
	CHECK_EQ(COMPUTED(A(5), X(5), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1), A(77)), 77);
	CHECK_EQ(COMPUTED(A(6), X(5), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 0, 1), A(78)), 78);
	CHECK_EQ(COMPUTED(A(5), X(5), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_X, 0, 0, 1), A(79)), 79);
	CHECK_EQ(COMPUTED(A(5), X(2), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_X, 0, 0, 1), A(80)), 5);
	CHECK_EQ(COMPUTED(A(0x80000000), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1, 0, 1), A(81)), 81);
	CHECK_EQ(COMPUTED(A(0x80000000), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x80000001, 0, 1), A(82)), 0);
	CHECK_EQ(COMPUTED(A(3), BPF_STMT(BPF_JMP | BPF_JA, 1), A(4), ALU(BPF_ADD, 1)), 4);
	/* Division by nothing answers 0: the thread is killed, and it's the last. */
	CHECK_EQ(COMPUTED(A(3), X(0), ALU_X(BPF_DIV)), -KILLED(SIGSYS));
}

TEST(strongest_answer_wins)
{
	no_new_privs();
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_ERRNO | 10), 0);
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_ERRNO | 20), 0);
	CHECK_ERRNO(syscall(SYS_getppid), 20);
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_TRACE), 0);
	CHECK_ERRNO(syscall(SYS_getppid), 20);
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_ALLOW), 0);
	CHECK_ERRNO(syscall(SYS_getppid), 20);
	/* The newest among equals, whether it looks at arguments or not. */
	CHECK_EQ(ATTACH(0, LOAD(NUMBER), IF_EQUAL(SYS_getppid, 0, 2), LOAD(ARGUMENT(0)), RETURN(SECCOMP_RET_ERRNO | 30),
			RETURN(SECCOMP_RET_ALLOW)),
		 0);
	CHECK_ERRNO(syscall(SYS_getppid), 30);
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_ERRNO | 40), 0);
	CHECK_ERRNO(syscall(SYS_getppid), 40);
	handle_info(SIGSYS, on_trap, 0);
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_TRAP | 50), 0);
	CHECK_EQ(syscall(SYS_getppid), 4711);
	CHECK_EQ(trapped_errno, 50);
}

TEST(trap)
{
	no_new_privs();
	handle_info(SIGSYS, on_trap, 0);
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_TRAP | 0x1234), 0);
	CHECK_EQ(syscall(SYS_getppid), 4711);
	CHECK_EQ(trapped_signal, SIGSYS);
	CHECK_EQ(trapped_code, SYS_SECCOMP_CODE);
	CHECK_EQ(trapped_errno, 0x1234);
	CHECK_EQ(trapped_call, SYS_getppid);
	CHECK_EQ(trapped_arch, AUDIT_ARCH_X86_64);
	CHECK_EQ(trapped_rax, SYS_getppid);
	CHECK_EQ((long)trapped_address, trapped_rip);
	/* What isn't a call at all. */
	CHECK_EQ(attach_for(0, 0x7fffffff, SECCOMP_RET_TRAP), 0);
	CHECK_EQ(syscall(0x7fffffff), 4711);
	CHECK_EQ(trapped_call, 0x7fffffff);
}

static void trap_blocked(void)
{
	handle_info(SIGSYS, on_trap, 0);
	block(SIGSYS);
	MUST(attach_for(0, SYS_getppid, SECCOMP_RET_TRAP));
	syscall(SYS_getppid);
}

static void trap_ignored(void)
{
	handle(SIGSYS, SIG_IGN, 0);
	MUST(attach_for(0, SYS_getppid, SECCOMP_RET_TRAP));
	syscall(SYS_getppid);
}

static void kill_with_handler(void)
{
	handle_info(SIGSYS, on_trap, 0);
	MUST(attach_for(0, SYS_getppid, SECCOMP_RET_KILL_PROCESS));
	syscall(SYS_getppid);
}

static void kill_thread_alone(void)
{
	handle_info(SIGSYS, on_trap, 0);
	MUST(attach_for(0, SYS_getppid, SECCOMP_RET_KILL_THREAD));
	syscall(SYS_getppid);
}

static void unknown_action(void)
{
	handle_info(SIGSYS, on_trap, 0);
	MUST(attach_for(0, SYS_getppid, 0x20000));
	syscall(SYS_getppid);
}

static void other_architecture(void)
{
	MUST(ATTACH(0, LOAD(ARCHITECTURE), IF_EQUAL(AUDIT_ARCH_I386, 1, 0), RETURN(SECCOMP_RET_KILL_PROCESS),
		    RETURN(SECCOMP_RET_ALLOW)));
}

TEST(killing)
{
	struct rlimit none = {0, 0};

	MUST(setrlimit(RLIMIT_CORE, &none));
	no_new_privs();
	CHECK_EQ(status_of(trap_blocked), KILLED(SIGSYS));
	CHECK_EQ(status_of(trap_ignored), KILLED(SIGSYS));
	CHECK_EQ(status_of(kill_with_handler), KILLED(SIGSYS));
	CHECK_EQ(status_of(kill_thread_alone), KILLED(SIGSYS));
	CHECK_EQ(status_of(unknown_action), KILLED(SIGSYS));
	CHECK_EQ(status_of(other_architecture), KILLED(SIGSYS));
}

static void *call_getppid(void *argument)
{
	syscall(SYS_getppid);
	*(int *)argument = 1;
	return NULL;
}

static void thread_is_killed(void)
{
	pthread_t thread;
	int *shared = make_shared_page();
	siginfo_t info;

	(void)info;
	MUST(attach_for(0, SYS_getppid, SECCOMP_RET_KILL_THREAD));
	if (pthread_create(&thread, NULL, call_getppid, shared) != 0)
		_exit(98);
	/* The C library learns of its end as of any other's. */
	pthread_join(thread, NULL);
	_exit(*shared == 0 ? 42 : 97);
}

static void process_is_killed(void)
{
	pthread_t thread;
	int *shared = make_shared_page();

	MUST(attach_for(0, SYS_getppid, SECCOMP_RET_KILL_PROCESS));
	if (pthread_create(&thread, NULL, call_getppid, shared) != 0)
		_exit(98);
	pthread_join(thread, NULL);
	_exit(43);
}

TEST(killing_threads)
{
	struct rlimit none = {0, 0};

	MUST(setrlimit(RLIMIT_CORE, &none));
	no_new_privs();
	CHECK_EQ(status_of(thread_is_killed), EXITED(42));
	CHECK_EQ(status_of(process_is_killed), KILLED(SIGSYS));
}

static void strict_reads(void)
{
	char byte;
	int ends[2];

	MUST(pipe(ends));
	MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
	if (write(ends[1], "x", 1) != 1 || read(ends[0], &byte, 1) != 1)
		syscall(SYS_exit, 1);
	syscall(SYS_exit, byte == 'x' ? 77 : 2);
}

static void strict_exit_group(void)
{
	MUST(seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL));
	_exit(0);
}

static void strict_getpid(void)
{
	handle_info(SIGSYS, on_trap, 0);
	MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
	syscall(SYS_getpid);
	syscall(SYS_exit, 0);
}

static void strict_time_stamp(void)
{
	MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
	__builtin_ia32_rdtsc();
	syscall(SYS_exit, 3);
}

static void strict_after_filter(void)
{
	MUST(attach_for(0, SYS_getppid, SECCOMP_RET_ERRNO));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == -1 && errno == EINVAL &&
	    seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL) == -1 && errno == EINVAL)
		_exit(55);
}

TEST(strict_mode)
{
	no_new_privs();
	CHECK_EQ(status_of(strict_reads), EXITED(77));
	CHECK_EQ(status_of(strict_exit_group), KILLED(SIGKILL));
	CHECK_EQ(status_of(strict_getpid), KILLED(SIGKILL));
	CHECK_EQ(status_of(strict_time_stamp) & 0x7f, SIGSEGV);
	CHECK_EQ(status_of(strict_after_filter), EXITED(55));
}

ROLE(filtered)
{
	char mode[64], count[64];
	int result = 0;

	status_line("Seccomp", mode, sizeof(mode));
	status_line("Seccomp_filters", count, sizeof(count));
	if (strcmp(mode, "2") == 0)
		result |= 1;
	if (strcmp(count, "2") == 0)
		result |= 2;
	if (syscall(SYS_getppid) == -1 && errno == EUCLEAN)
		result |= 4;
	if (prctl(PR_GET_SECCOMP) == 2)
		result |= 8;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		result |= 16;
	return result;
}

TEST(inherited_and_kept)
{
	char *arguments[] = {check_self, "filtered", NULL};
	pid_t child;

	no_new_privs();
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_ERRNO | EUCLEAN), 0);
	CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
		       &(struct sock_fprog){1, (struct sock_filter[]){RETURN(SECCOMP_RET_ALLOW)}}, 0, 0),
		 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		execv(check_self, arguments);
		_exit(100);
	}
	CHECK_EQ(wait_for(child), EXITED(31));
}

/* A filter that is attached by a child isn't the parent's. */
TEST(not_shared_upwards)
{
	pid_t child;

	no_new_privs();
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(attach_for(0, SYS_getppid, SECCOMP_RET_ERRNO | 1) != 0);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK(syscall(SYS_getppid) > 0);
}

struct thread_state {
	pthread_barrier_t start, end;
	long filter_result;
	long result;
	int mode;
	int nnp;
	pid_t tid;
	int attaches;
};

static void *wait_and_look(void *argument)
{
	struct thread_state *state = argument;

	state->tid = (pid_t)syscall(SYS_gettid);
	if (state->attaches)
		state->filter_result = attach_for(0, SYS_getpgrp, SECCOMP_RET_ERRNO | 5);
	pthread_barrier_wait(&state->start);
	pthread_barrier_wait(&state->end);
	errno = 0;
	state->result = syscall(SYS_getppid) == -1 ? errno : 0;
	state->mode = prctl(PR_GET_SECCOMP);
	state->nnp = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	return NULL;
}

static void with_thread(struct thread_state *state, pthread_t *thread)
{
	pthread_barrier_init(&state->start, NULL, 2);
	pthread_barrier_init(&state->end, NULL, 2);
	MUST(pthread_create(thread, NULL, wait_and_look, state) == 0 ? 0 : -1);
	pthread_barrier_wait(&state->start);
}

TEST(one_thread_alone)
{
	struct thread_state state = {0};
	pthread_t thread;

	with_thread(&state, &thread);
	no_new_privs();
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_ERRNO | 9), 0);
	pthread_barrier_wait(&state.end);
	pthread_join(thread, NULL);
	CHECK_EQ(state.result, 0);
	CHECK_EQ(state.mode, 0);
	CHECK_EQ(state.nnp, 0);
}

TEST(all_threads)
{
	struct thread_state state = {0};
	pthread_t thread;

	with_thread(&state, &thread);
	no_new_privs();
	CHECK_EQ(attach_for(SECCOMP_FILTER_FLAG_TSYNC, SYS_getppid, SECCOMP_RET_ERRNO | 9), 0);
	pthread_barrier_wait(&state.end);
	pthread_join(thread, NULL);
	CHECK_EQ(state.result, 9);
	CHECK_EQ(state.mode, 2);
	CHECK_EQ(state.nnp, 1);
}

TEST(a_thread_with_other_filters)
{
	struct thread_state state = {.attaches = 1};
	pthread_t thread;

	no_new_privs();
	with_thread(&state, &thread);
	CHECK_EQ(state.filter_result, 0);
	CHECK_EQ(attach_for(SECCOMP_FILTER_FLAG_TSYNC, SYS_getppid, SECCOMP_RET_ERRNO | 9) == state.tid, 1);
	CHECK_ERRNO(attach_for(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, SYS_getppid,
			       SECCOMP_RET_ERRNO | 9),
		    ESRCH);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK(syscall(SYS_getppid) > 0);
	pthread_barrier_wait(&state.end);
	pthread_join(thread, NULL);
	CHECK_EQ(state.result, 0);
	CHECK_EQ(state.mode, 2);
	/* It has ended. */
	CHECK_EQ(attach_for(SECCOMP_FILTER_FLAG_TSYNC, SYS_getppid, SECCOMP_RET_ERRNO | 9), 0);
}

TEST(a_thread_that_is_behind)
{
	struct thread_state state = {0};
	pthread_t thread;

	no_new_privs();
	CHECK_EQ(attach_for(0, SYS_getpgrp, SECCOMP_RET_ERRNO | 5), 0);
	with_thread(&state, &thread);
	CHECK_EQ(attach_for(0, SYS_getppid, SECCOMP_RET_ERRNO | 9), 0);
	CHECK_EQ(attach_for(SECCOMP_FILTER_FLAG_TSYNC, SYS_getuid, SECCOMP_RET_ERRNO | 8), 0);
	pthread_barrier_wait(&state.end);
	pthread_join(thread, NULL);
	CHECK_EQ(state.result, 9);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
	(void)signal;
	alarms++;
}

/* A call that sleeps isn't looked at again when it goes on; one that is restarted is. */
TEST(sleeping_and_restarted)
{
	struct itimerval soon = {{0, 0}, {0, 30000}};
	struct timespec time = {0, 20000000};
	int ends[2];
	pid_t child;
	char byte;

	no_new_privs();
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(60);
		write_all(ends[1], "y", 1);
		_exit(0);
	}
	CHECK_EQ(attach_for(0, SYS_restart_syscall, SECCOMP_RET_ERRNO | EDOM), 0);
	CHECK_EQ(syscall(SYS_nanosleep, &time, NULL), 0);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	CHECK_EQ(byte, 'y');
	wait_for(child);
	handle(SIGALRM, on_alarm, SA_RESTART);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(100);
		write_all(ends[1], "z", 1);
		_exit(0);
	}
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	CHECK_EQ(alarms, 1);
	wait_for(child);
	/* A stopped nanosleep goes on as restart_syscall. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		struct timespec longer = {0, 200000000};

		errno = 0;
		_exit(syscall(SYS_nanosleep, &longer, NULL) == -1 ? errno : 0);
	}
	sleep_ms(50);
	MUST(kill(child, SIGSTOP));
	MUST(waitpid(child, NULL, WUNTRACED));
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), EXITED(EDOM));
}

TEST(sysctls)
{
	char text[256];
	int fd = (int)MUST(open("/proc/sys/kernel/seccomp/actions_avail", O_RDONLY));
	ssize_t length = read(fd, text, sizeof(text) - 1);

	CHECK(length > 0);
	text[length > 0 ? length : 0] = '\0';
	CHECK_STRING(text, "kill_process kill_thread trap errno user_notif trace log allow\n");
	close(fd);
	fd = (int)MUST(open("/proc/sys/kernel/seccomp/actions_logged", O_RDONLY));
	length = read(fd, text, sizeof(text) - 1);
	CHECK(length > 0);
	text[length > 0 ? length : 0] = '\0';
	CHECK_STRING(text, "kill_process kill_thread trap errno user_notif trace log\n");
	CHECK_ERRNO(open("/proc/sys/kernel/seccomp/actions_avail", O_WRONLY), EACCES);
}
