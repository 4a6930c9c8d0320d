/* The vsyscall page, whose three calls are at the same addresses in every program, and which can't be read. */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <ucontext.h>

#define PAGE_OF_CALLS 0xffffffffff600000UL
#define GETTIMEOFDAY PAGE_OF_CALLS
#define TIME (PAGE_OF_CALLS + 1024)
#define GETCPU (PAGE_OF_CALLS + 2048)

struct fault {
	int signal;
	int code;
	unsigned long address;
	unsigned long at;
	unsigned long trap;
	unsigned long error;
};

static struct fault *fault;

static void note(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	*fault = (struct fault){signal, info->si_code, (unsigned long)info->si_addr, (unsigned long)registers[REG_RIP],
				(unsigned long)registers[REG_TRAPNO], (unsigned long)registers[REG_ERR]};
	_exit(0);
}

static long call(unsigned long address, const void *first, const void *second)
{
	return ((long (*)(const void *, const void *))address)(first, second);
}

/* What a child is told that calls `address`, or reads or writes there; nothing if it comes back. */
static void fault_at(unsigned long address, const void *first, int access)
{
	struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
	pid_t child;

	if (fault == NULL) {
		fault = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		MUST(fault == MAP_FAILED ? -1 : 0);
	}
	memset(fault, 0, sizeof(*fault));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(sigaction(SIGSEGV, &action, NULL));
		if (access == PROT_EXEC)
			call(address, first, NULL);
		else if (access == PROT_WRITE)
			*(volatile char *)address = 1;
		else
			(void)*(volatile char *)address;
		_exit(0);
	}
	MUST(waitpid(child, NULL, 0));
}

TEST(calls)
{
	struct timeval now = {0, -1}, later;
	struct timezone zone = {77, 77}, told;
	time_t seconds = 0, second;
	unsigned int cpu = 7777, node = 7777, known;

	CHECK_EQ(call(GETTIMEOFDAY, &now, &zone), 0);
	MUST(gettimeofday(&later, NULL));
	MUST(syscall(SYS_gettimeofday, NULL, &told));
	CHECK(later.tv_sec - now.tv_sec >= 0 && later.tv_sec - now.tv_sec < 30);
	CHECK(now.tv_usec >= 0 && now.tv_usec < 1000000);
	CHECK_EQ(memcmp(&zone, &told, sizeof(zone)), 0);
	CHECK_EQ(call(GETTIMEOFDAY, NULL, NULL), 0);
	second = (time_t)call(TIME, &seconds, NULL);
	CHECK_EQ(second, seconds);
	CHECK(second - now.tv_sec >= 0 && second - now.tv_sec < 30);
	CHECK(call(TIME, NULL, NULL) >= second);
	MUST(syscall(SYS_getcpu, &known, NULL, NULL));
	CHECK_EQ(call(GETCPU, &cpu, &node), 0);
	CHECK(cpu < 4096);
	CHECK(node < 1024);
	CHECK_EQ(call(GETCPU, NULL, NULL), 0);
}

TEST(what_is_no_call)
{
	static const unsigned long wrong[] = {GETTIMEOFDAY + 1, GETTIMEOFDAY + 512, TIME + 8, PAGE_OF_CALLS + 3072, PAGE_OF_CALLS + 4095};

	for (size_t each = 0; each < LENGTH(wrong); each++) {
		fault_at(wrong[each], NULL, PROT_EXEC);
		CHECK_EQ(fault->signal, SIGSEGV);
		CHECK_EQ(fault->code, SI_KERNEL);
		CHECK_EQ(fault->address, 0);
		CHECK_EQ(fault->at, wrong[each]);
	}
	fault_at(PAGE_OF_CALLS + 4096, NULL, PROT_EXEC);
	CHECK_EQ(fault->code, SEGV_MAPERR);
	CHECK_EQ(fault->address, PAGE_OF_CALLS + 4096);
	fault_at(PAGE_OF_CALLS - 4096, NULL, PROT_EXEC);
	CHECK_EQ(fault->code, SEGV_MAPERR);
	/* Bytes that can't be written end the program, as they would in code of its own. */
	fault_at(TIME, bad_address(), PROT_EXEC);
	CHECK_EQ(fault->signal, SIGSEGV);
	CHECK_EQ(fault->code, SI_KERNEL);
	CHECK_EQ(fault->at, TIME);
	fault_at(TIME, (void *)-4096L, PROT_EXEC);
	CHECK_EQ(fault->code, SEGV_MAPERR);
	CHECK_EQ(fault->address, -4096UL);
	CHECK_EQ(fault->at, TIME);
	CHECK_EQ(fault->trap, 14);
	CHECK_EQ(fault->error, 6);
}

TEST(nothing_is_read_or_written)
{
	static char bytes[8];
	struct iovec mine = {bytes, sizeof(bytes)}, theirs = {(void *)PAGE_OF_CALLS, sizeof(bytes)};
	void *page = (void *)PAGE_OF_CALLS;
	unsigned char resident;

	fault_at(PAGE_OF_CALLS, NULL, PROT_READ);
	CHECK_EQ(fault->code, SEGV_MAPERR);
	CHECK_EQ(fault->address, PAGE_OF_CALLS);
	fault_at(PAGE_OF_CALLS, NULL, PROT_WRITE);
	CHECK_EQ(fault->code, SEGV_MAPERR);
	CHECK_ERRNO(access(page, F_OK), EFAULT);
	CHECK_ERRNO(syscall(SYS_process_vm_readv, getpid(), &mine, 1UL, &theirs, 1UL, 0UL), EFAULT);
	CHECK_ERRNO(mincore(page, 4096, &resident), ENOMEM);
	CHECK_ERRNO(mprotect(page, 4096, PROT_READ), ENOMEM);
	CHECK_ERRNO(munmap(page, 4096), EINVAL);
	CHECK_ERRNO(mlock(page, 4096), ENOMEM);
}

TEST(filters_look_at_the_calls)
{
	struct sock_filter deny[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_time, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {LENGTH(deny), deny};
	struct timeval now = {0, 0};
	int status;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
		call(TIME, NULL, NULL);
		syscall(SYS_exit, 0);
	}
	MUST(waitpid(child, &status, 0));
	CHECK_EQ(status, KILLED(SIGKILL));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	CHECK_EQ(call(TIME, NULL, NULL), -EXDEV);
	CHECK_EQ(call(GETTIMEOFDAY, &now, NULL), 0);
	CHECK(now.tv_sec > 0);
}

TEST(tracers_see_no_call)
{
	int status, seen = 0;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		raise(SIGSTOP);
		call(TIME, NULL, NULL);
		_exit(3);
	}
	MUST(waitpid(child, &status, 0));
	while (WIFSTOPPED(status)) {
		if (ptrace(PTRACE_PEEKUSER, child, offsetof(struct user_regs_struct, orig_rax), NULL) == SYS_time)
			seen++;
		MUST(ptrace(PTRACE_SYSCALL, child, NULL, NULL));
		MUST(waitpid(child, &status, 0));
	}
	CHECK_EQ(seen, 0);
	CHECK_EQ(status, EXITED(3));
}

TEST(the_page_is_in_the_maps)
{
	char line[256], last[256] = "";
	FILE *maps = fopen("/proc/self/maps", "r"), *smaps = fopen("/proc/self/smaps", "r");
	int is_gate = 0, size = -1, resident = -1;
	static char flags[64];

	MUST(maps == NULL || smaps == NULL ? -1 : 0);
	while (fgets(line, sizeof(line), maps) != NULL)
		strcpy(last, line);
	CHECK_STRING(last, "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n");
	while (fgets(line, sizeof(line), smaps) != NULL) {
		is_gate |= strcmp(line, last) == 0;
		if (!is_gate)
			continue;
		sscanf(line, "Size: %d", &size);
		sscanf(line, "Rss: %d", &resident);
		sscanf(line, "VmFlags: %60[^\n]", flags);
	}
	CHECK_EQ(size, 4);
	CHECK_EQ(resident, 0);
	CHECK_STRING(flags, "ex ");
}

