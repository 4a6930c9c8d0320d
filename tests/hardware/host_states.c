/* Executes instructions, each from a state of the processor that it's told, and tells how that ended.
 *
 * usage: host_states < cases > outcomes
 *
 * A case's state is what a signal handler returns to. Behind the instruction is int3, and nothing else is in
 * reach: so each case ends in a signal, whose frame is the outcome.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE 0x10000000UL
#define DATA 0x20000000UL
#define STACK 0x30000000UL
#define PAGE 4096UL
#define SLOT 512
#define CODE_BYTES 24
#define IMAGE_BYTES 832
#define FXSAVE_BYTES 512
#define SOFTWARE_BYTES 464
#define MAGIC 0x46505853U

struct test {
	unsigned char code[CODE_BYTES];
	uint32_t length, place;
	uint64_t registers[16], flags, seed;
	unsigned char image[IMAGE_BYTES];
};

struct outcome {
	int32_t signal, code;
	uint64_t address;
	int64_t registers[23];
	uint64_t fs_base, gs_base, digest;
	uint32_t changed, first, last, has_image;
	unsigned char image[IMAGE_BYTES];
};

static const struct test *tests;
static struct outcome *outcomes;
static unsigned char *expected;
static long count, current = -1;
static greg_t selectors;
static unsigned char alternate[1 << 17];

static long call(long number, long one, long two, long three)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(one), "S"(two), "d"(three)
			 : "rcx", "r11", "memory");
	return result;
}

/* Of what the last case left, no return from a handler changes this. */
static void clear_flags(void)
{
	__asm__ volatile("sub $128, %%rsp; pushfq; andq $~0x244000, (%%rsp); popfq; add $128, %%rsp" ::: "cc", "memory");
}

static void fill(uint64_t seed)
{
	uint64_t *data = (uint64_t *)DATA, *stack = (uint64_t *)STACK, *kept = (uint64_t *)expected;
	unsigned long words = 2 * PAGE / sizeof(*data);

	for (unsigned long at = 0; at < words; at++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		data[at] = stack[at] = kept[at] = seed;
	}
}

static void compare(struct outcome *outcome)
{
	uint64_t digest = 0xcbf29ce484222325UL;

	outcome->first = UINT32_MAX;
	for (uint32_t page = 0; page < 2; page++) {
		const uint64_t *now = (const uint64_t *)(page ? STACK : DATA), *was = (const uint64_t *)expected;

		for (uint32_t at = 0; at < 2 * PAGE / sizeof(*now); at++) {
			if (now[at] == was[at])
				continue;
			outcome->changed++;
			outcome->last = page << 16 | at * 8;
			if (outcome->first == UINT32_MAX)
				outcome->first = outcome->last;
			digest = (digest ^ now[at] ^ outcome->last) * 0x100000001b3UL;
			digest ^= digest >> 29;
		}
	}
	outcome->digest = digest;
}

static void note(int signal, siginfo_t *info, void *context)
{
	ucontext_t *frame = context;
	greg_t *registers = frame->uc_mcontext.gregs;
	unsigned char *image = (unsigned char *)frame->uc_mcontext.fpregs;
	int is_extended = *(uint32_t *)(image + SOFTWARE_BYTES) == MAGIC;
	unsigned bytes = is_extended ? IMAGE_BYTES : FXSAVE_BYTES;

	clear_flags();
	if (current < 0) {
		selectors = registers[REG_CSGSFS];
	} else {
		struct outcome *outcome = &outcomes[current];

		outcome->signal = signal;
		outcome->code = info->si_code;
		outcome->address = (uint64_t)info->si_addr;
		for (int at = 0; at < 23; at++)
			outcome->registers[at] = registers[at];
		for (unsigned at = 0; at < bytes; at++)
			outcome->image[at] = image[at];
		outcome->has_image = bytes;
		call(SYS_arch_prctl, ARCH_GET_FS, (long)&outcome->fs_base, 0);
		call(SYS_arch_prctl, ARCH_GET_GS, (long)&outcome->gs_base, 0);
		compare(outcome);
	}
	if (++current == count) {
		const char *at = (const char *)outcomes, *end = (const char *)(outcomes + count);

		while (at < end) {
			long written = call(SYS_write, 1, (long)at, end - at);

			if (written <= 0)
				call(SYS_exit_group, 2, 0, 0);
			at += written;
		}
		call(SYS_exit_group, 0, 0, 0);
	}
	const struct test *test = &tests[current];

	fill(test->seed);
	call(SYS_arch_prctl, ARCH_SET_FS, DATA + 64 * 8, 0);
	call(SYS_arch_prctl, ARCH_SET_GS, 24 * 8, 0);
	for (int at = 0; at < 16; at++)
		registers[at] = (greg_t)test->registers[at];
	registers[REG_RIP] = (greg_t)(CODE + (unsigned long)current * SLOT + test->place);
	registers[REG_EFL] = (greg_t)test->flags;
	registers[REG_CSGSFS] = selectors;
	for (unsigned at = 0; at < bytes; at++)
		if (at < SOFTWARE_BYTES || at >= FXSAVE_BYTES + 64)
			image[at] = test->image[at];
	if (is_extended) {
		uint64_t *present = (uint64_t *)(image + FXSAVE_BYTES);

		*present = (*present & ~7UL) | (*(const uint64_t *)(test->image + FXSAVE_BYTES) & 7);
	}
}

static void *map(unsigned long address, unsigned long bytes)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (address ? MAP_FIXED_NOREPLACE : 0);
	void *memory = mmap((void *)address, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (memory == MAP_FAILED || (address && memory != (void *)address))
		_exit(3);
	return memory;
}

/* What an instruction among the cases calls is never done. */
static void refuse_calls(void)
{
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 38),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 38),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_arch_prctl),
		ALLOW(SYS_write),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 38),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
		_exit(4);
}

int main(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
	struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	unsigned long length = 0, room = 1UL << 26;
	unsigned char *input = map(0, room), *code;
	cpu_set_t first;

	/* Programs can read the processor's number, which inside is always that of the first one. */
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	sched_setaffinity(0, sizeof(first), &first);
	for (long got; (got = read(0, input + length, room - length)) > 0;)
		length += (unsigned long)got;
	tests = (const struct test *)input;
	count = (long)(length / sizeof(*tests));
	outcomes = map(0, (unsigned long)count * sizeof(*outcomes));
	expected = map(0, 2 * PAGE);
	length = (unsigned long)count * SLOT + 2 * PAGE;
	code = map(CODE, length & -PAGE);
	for (unsigned long at = 0; at < (length & -PAGE); at++)
		code[at] = 0xcc;
	for (long each = 0; each < count; each++)
		for (uint32_t at = 0; at < tests[each].length; at++)
			code[each * SLOT + tests[each].place + at] = tests[each].code[at];
	map(DATA, 3 * PAGE);
	map(STACK, 2 * PAGE);
	if (mprotect(code, length & -PAGE, PROT_READ | PROT_EXEC) || mprotect((void *)(DATA + 2 * PAGE), PAGE, PROT_READ) ||
	    sigaltstack(&stack, NULL))
		return 3;
	for (unsigned at = 0; at < sizeof(signals) / sizeof(*signals); at++)
		sigaction(signals[at], &action, NULL);
	refuse_calls();
	__asm__ volatile("int3");
	return 5;
}
