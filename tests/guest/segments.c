/* Segment registers and transfers between segments, of which a 64-bit program has its own flat ones. */
#include "check.h"
#include "processor_make.h"

#include <asm/prctl.h>
#include <setjmp.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <ucontext.h>

#define CODE 0x33
#define DATA 0x2B
#define OTHER_CODE 0x23
#define PROCESSOR_NUMBER 0x7B
#define KERNEL_DATA 0x18
#define PAGE 4096

static sigjmp_buf back;

static void leave(int signal)
{
	siglongjmp(back, signal);
}

/* The signal that a statement raises, 0 for none. */
#define SIGNAL_OF(...) \
	({ \
		int raised = sigsetjmp(back, 1); \
		if (raised == 0) { \
			signal(SIGSEGV, leave); \
			signal(SIGBUS, leave); \
			__VA_ARGS__; \
		} \
		raised; \
	})

static int load_data_segment(unsigned short selector)
{
	return SIGNAL_OF(__asm__ volatile("mov %0, %%ds" ::"r"((unsigned)selector)));
}

static int load_from_memory(unsigned short selector)
{
	return SIGNAL_OF(__asm__ volatile("mov %0, %%es" ::"m"(selector)));
}

static int load_stack_segment(unsigned short selector)
{
	return SIGNAL_OF(__asm__ volatile("mov %0, %%ss" ::"m"(selector)));
}

TEST(segments_that_a_program_has)
{
	static const unsigned short good[] = {0, 3, DATA, CODE, OTHER_CODE, PROCESSOR_NUMBER};
	static const unsigned short bad[] = {KERNEL_DATA, 0x10, 0x53, 0x2A + 0x100, 7, 0xFFFF};
	unsigned short stack;

	for (size_t at = 0; at < LENGTH(good); at++) {
		CHECK_EQ(load_data_segment(good[at]), 0);
		CHECK_EQ(load_from_memory(good[at]), 0);
	}
	for (size_t at = 0; at < LENGTH(bad); at++) {
		CHECK_EQ(load_data_segment(bad[at]), SIGSEGV);
		CHECK_EQ(load_from_memory(bad[at]), SIGSEGV);
		CHECK_EQ(load_stack_segment(bad[at]), SIGSEGV);
	}
	CHECK_EQ(load_stack_segment(DATA), 0);
	CHECK_EQ(load_stack_segment(0), SIGSEGV);
	CHECK_EQ(load_stack_segment(CODE), SIGSEGV);
	__asm__("mov %%ss, %0" : "=r"(stack));
	CHECK_EQ(stack, DATA);
	load_data_segment(0);
	load_from_memory(0);
}

#define READ(segment) \
	({ \
		unsigned long told; \
		__asm__ volatile("mov $-1, %0; mov %%" #segment ", %0" : "=&r"(told)); \
		told; \
	})
#define LOAD(segment, selector) __asm__ volatile("mov %0, %%" #segment ::"r"((unsigned)(selector)))

/* All that are there can be loaded, for whatever privilege level, and are kept. */
TEST(loaded_selectors_are_kept)
{
	static const unsigned short selectors[] = {DATA, CODE, OTHER_CODE, PROCESSOR_NUMBER, 0x28, 0x2A, 0x30, 0};
	unsigned long wide = 0;

	CHECK_EQ(READ(ds), 0);
	CHECK_EQ(READ(es), 0);
	CHECK_EQ(READ(fs), 0);
	CHECK_EQ(READ(gs), 0);
	CHECK_EQ(READ(cs), CODE);
	CHECK_EQ(READ(ss), DATA);
	for (size_t at = 0; at < LENGTH(selectors); at++) {
		unsigned short kept[4] = {0x1111, 0x1111, 0x1111, 0x1111};
		unsigned selector = selectors[at];

		LOAD(ds, selector);
		LOAD(es, DATA);
		LOAD(gs, selector);
		CHECK_EQ(READ(ds), selector);
		sleep_ms(1);
		CHECK_EQ(READ(ds), selector);
		CHECK_EQ(READ(es), DATA);
		CHECK_EQ(READ(gs), selector);
		__asm__ volatile("mov %%ds, %0" : "=m"(kept[1]));
		CHECK_EQ(kept[1], selector);
		CHECK_EQ(kept[0] + kept[2], 0x2222);
		/* With a prefix that says 16 bits, the rest of the register stays. */
		__asm__ volatile("mov $-1, %0; mov %%gs, %w0" : "=&r"(wide));
		CHECK_EQ(wide, 0xFFFFFFFFFFFF0000UL | selector);
		__asm__ volatile("sub $128, %%rsp; push %%gs; pop %0; add $128, %%rsp" : "=r"(wide)::"memory", "cc");
		CHECK_EQ(wide, selector);
	}
	LOAD(ds, DATA);
	LOAD(gs, DATA);
	if (MUST(fork()) == 0) {
		CHECK_EQ(READ(ds), DATA);
		CHECK_EQ(READ(gs), DATA);
		_exit(0);
	}
	MUST(wait(NULL));
	/* A base that is set takes the segment's place. */
	MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x12345000));
	CHECK_EQ(READ(gs), 0);
	CHECK_EQ(READ(ds), DATA);
	CHECK_EQ(SIGNAL_OF(LOAD(ds, KERNEL_DATA)), SIGSEGV);
	CHECK_EQ(READ(ds), DATA);
}

#define REGISTER_AT(name) ((void *)offsetof(struct user_regs_struct, name))

static struct user_regs_struct registers_of(pid_t child)
{
	struct user_regs_struct registers;

	MUST(ptrace(PTRACE_GETREGS, child, NULL, &registers));
	return registers;
}

/* A child that tells what its segments are by its next stop's registers. */
static pid_t traced_child(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		for (;;) {
			raise(SIGSTOP);
			__asm__ volatile("mov %%ds, %%r8d; mov %%es, %%r9d; mov %%gs, %%r10d; int3" ::
						 : "r8", "r9", "r10");
		}
	}
	MUST(waitpid(child, NULL, 0));
	return child;
}

static int next_stop(pid_t child, int signal)
{
	int status;

	MUST(ptrace(PTRACE_CONT, child, NULL, (void *)(long)signal));
	MUST(waitpid(child, &status, 0));
	return WSTOPSIG(status);
}

TEST(a_tracer_sets_data_segments)
{
	static const unsigned short selectors[] = {0, 3, DATA, CODE, PROCESSOR_NUMBER, 0x53, 7, 0xFFFF};
	pid_t child = traced_child();
	struct user_regs_struct seen;

	for (size_t at = 0; at < LENGTH(selectors); at++) {
		unsigned long selector = selectors[at];
		unsigned long loaded = selector == 0x53 || selector == 7 || selector == 0xFFFF ? 0 : selector;

		CHECK_EQ(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(ds), selector), 0);
		CHECK_EQ(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(es), 0x10000UL | selector), 0);
		seen = registers_of(child);
		seen.gs = selector;
		CHECK_EQ(ptrace(PTRACE_SETREGS, child, NULL, &seen), 0);
		seen = registers_of(child);
		CHECK_EQ(seen.ds, selector);
		CHECK_EQ(seen.es, selector);
		CHECK_EQ(seen.gs, selector);
		CHECK_EQ(next_stop(child, 0), SIGTRAP);
		seen = registers_of(child);
		if (selector != 3) {
			CHECK_EQ(seen.r8, loaded);
			CHECK_EQ(seen.r9, loaded);
			CHECK_EQ(seen.r10, loaded);
			CHECK_EQ(seen.ds, loaded);
			CHECK_EQ(seen.gs, loaded);
		}
		CHECK_EQ(next_stop(child, 0), SIGSTOP);
	}
	CHECK_ERRNO(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(ds), 1), EIO);
	CHECK_ERRNO(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(fs), 0x2A), EIO);
	CHECK_ERRNO(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(gs), KERNEL_DATA), EIO);
	CHECK_ERRNO(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(cs), 0), EIO);
	CHECK_ERRNO(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(cs), 0x10), EIO);
	CHECK_ERRNO(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(ss), 0), EIO);
	CHECK_ERRNO(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(ss), 0x28), EIO);
	MUST(kill(child, SIGKILL));
}

/* Of those that are for users, what isn't there or is of another kind is found out on the way back. */
TEST(a_tracer_sets_code_and_stack)
{
	static const struct {
		unsigned short code, stack;
	} pairs[] = {{0x53, DATA}, {CODE, 0x53}, {DATA, DATA}, {CODE, CODE}, {0x13, DATA}, {CODE, 0x13}};
	pid_t child = traced_child();
	struct user_regs_struct seen;
	siginfo_t info;

	for (size_t at = 0; at < LENGTH(pairs); at++) {
		CHECK_EQ(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(cs), pairs[at].code), 0);
		CHECK_EQ(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(ss), pairs[at].stack), 0);
		/* As often as it's let go on. */
		for (int round = 0; round < 2; round++) {
			CHECK_EQ(next_stop(child, 0), SIGSEGV);
			MUST(ptrace(PTRACE_GETSIGINFO, child, NULL, &info));
			CHECK_EQ(info.si_code, SI_KERNEL);
			seen = registers_of(child);
			CHECK_EQ(seen.cs, pairs[at].code);
			CHECK_EQ(seen.ss, pairs[at].stack);
		}
		MUST(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(cs), CODE));
		MUST(ptrace(PTRACE_POKEUSER, child, REGISTER_AT(ss), DATA));
		CHECK_EQ(next_stop(child, 0), at % 2 ? SIGSTOP : SIGTRAP);
	}
	MUST(kill(child, SIGKILL));
}

static volatile unsigned long frame_segments, frame_error, frame_flags;
static volatile int faults;

static void return_with_segments(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	unsigned long long *segments = (unsigned long long *)&user->uc_mcontext.gregs[REG_CSGSFS];

	(void)info;
	CHECK_EQ(READ(cs), CODE);
	CHECK_EQ(READ(ss), DATA);
	CHECK_EQ(READ(ds), DATA);
	if (signal == SIGUSR1) {
		CHECK_EQ(*segments, (unsigned long long)DATA << 48 | CODE);
		CHECK_EQ(user->uc_flags & 6, 6);
		*segments = frame_segments;
		user->uc_flags &= ~frame_flags;
		return;
	}
	faults++;
	CHECK_EQ(*segments, frame_segments | 3 | 3UL << 48);
	CHECK_EQ(user->uc_mcontext.gregs[REG_TRAPNO], 13);
	CHECK_EQ(user->uc_mcontext.gregs[REG_ERR], frame_error);
	CHECK_EQ(user->uc_flags & 6, (frame_segments & 0xFFFF) == CODE ? 6 : 2);
	*segments = (unsigned long long)DATA << 48 | CODE;
}

TEST(a_handler_returns_with_other_segments)
{
	static const struct {
		unsigned long segments, flags, faults, error;
	} ways[] = {
		{0x002B000000000033, 0, 0, 0},	      {0x0028000000000030, 0, 0, 0},    {0x0033000000000033, 0, 1, 0x30},
		{0x0053000000000033, 0, 1, 0x50},     {0x0000000000000033, 0, 1, 0},    {0x0000000000000033, 4, 0, 0},
		{0x0033000000000033, 4, 0, 0},	      {0x002B000000000053, 0, 1, 0x50}, {0x002B000000000053, 4, 1, 0x50},
		{0x002B000000000010, 0, 1, 0x10},
		/* Of the local table: on the way back the error code gets lost. */
		{0x0007000000000033, 0, 1, 0},	      {0x0057000000000033, 0, 1, 0},	{0x0057000000000053, 0, 1, 0},
		{0x002B000000000057, 0, 1, 0x54},
	};

	handle_info(SIGUSR1, return_with_segments, 0);
	handle_info(SIGSEGV, return_with_segments, 0);
	LOAD(ds, DATA);
	for (size_t way = 0; way < LENGTH(ways); way++) {
		frame_segments = ways[way].segments;
		frame_flags = ways[way].flags;
		frame_error = ways[way].error;
		faults = 0;
		raise(SIGUSR1);
		CHECK_EQ(faults, (int)ways[way].faults);
		CHECK_EQ(READ(ds), DATA);
		CHECK_EQ(READ(ss), DATA);
	}
}

TEST(a_load_ends_the_base)
{
	unsigned long base = 1;

	MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x12345000));
	__asm__ volatile("mov %0, %%gs" ::"r"(DATA));
	MUST(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
	CHECK_EQ(base, 0);
	MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x12345000));
	__asm__ volatile("sub $128, %%rsp; pushq %0; pop %%gs; add $128, %%rsp" ::"i"(DATA) : "memory");
	MUST(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
	CHECK_EQ(base, 0);
	CHECK_EQ(SIGNAL_OF(__asm__ volatile("pushq %0; pop %%gs" ::"i"(0x53) : "memory")), SIGSEGV);
	__asm__ volatile("mov %0, %%gs" ::"r"(0));
}

struct far_pointer {
	unsigned long offset;
	unsigned short selector;
} __attribute__((packed));

/* Prefixes say how much is taken from the stack, of which the upper part needn't be there. */
TEST(pops_with_prefixes)
{
	static const struct {
		unsigned char code[6];
		long taken;
	} cases[] = {
		{{0x0f, 0xa9, 0xc3}, 8},             /* pop %gs; ret */
		{{0x66, 0x0f, 0xa9, 0xc3}, 2},       /* popw %gs */
		{{0x66, 0x48, 0x0f, 0xa9, 0xc3}, 8}, /* with REX.W the prefix counts for nothing */
		{{0xf3, 0x0f, 0xa9, 0xc3}, 8},
		{{0xf2, 0x45, 0x0f, 0xa9, 0xc3}, 8},
		{{0x66, 0x9d, 0xc3}, 2},             /* popfw */
		{{0x66, 0x48, 0x9d, 0xc3}, 8},       /* popfq */
	};
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long taken, last;

	CHECK(pages != MAP_FAILED);
	MUST(mprotect(pages + PAGE, PAGE, PROT_NONE));
	for (size_t at = 0; at < LENGTH(cases); at++) {
		memset(pages, 0x90, 64);
		memcpy(pages, cases[at].code, sizeof(cases[at].code));
		/* A zero is popped, and ret finds its address right behind that. */
		__asm__ volatile("mov %%rsp, %%rbx\n\tlea 1f(%%rip), %%rax\n\tsub $256, %%rsp\n\tmovq $0, (%%rsp)\n\t"
				 "mov %%rax, (%%rsp, %2)\n\tmov %%rsp, %0\n\tjmp *%1\n1:\tsub %%rsp, %0\n\tneg %0\n\t"
				 "mov %%rbx, %%rsp"
				 : "=&r"(taken) : "r"(pages), "r"(cases[at].taken) : "rax", "rbx", "memory", "cc");
		CHECK_EQ(taken, cases[at].taken + 8);
	}
	/* One of AMD's reads the whole word that it pops. */
	for (int left = is_of_amd() ? 8 : 2; left <= 8; left += 2) {
		memcpy(pages, "\x0f\xa9", 2);
		memcpy(pages + 2, "\xff\xe3", 2); /* jmp *%rbx */
		pages[PAGE - left] = pages[PAGE - left + 1] = 0;
		__asm__ volatile("mov %%rsp, %%rdx\n\tlea 1f(%%rip), %%rbx\n\tmov %2, %%rsp\n\tjmp *%1\n1:\tmov %%rsp, %0\n\t"
				 "mov %%rdx, %%rsp"
				 : "=&r"(last) : "r"(pages), "r"(pages + PAGE - left) : "rbx", "rdx", "memory");
		CHECK_EQ(last, (long)pages + PAGE - left + 8);
	}
}

TEST(far_returns)
{
	unsigned long kept = 0, after = 0, flags = 0;

	__asm__ volatile("mov %%rsp, %0; sub $128, %%rsp; pushq $0x33; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:"
			 "add $128, %%rsp; mov %%rsp, %1"
			 : "=&r"(kept), "=&r"(after)::"rax", "memory", "cc");
	CHECK_EQ(kept, after);
	__asm__ volatile("mov %%rsp, %0; sub $128, %%rsp; pushq $0; pushq $0x33; lea 1f(%%rip), %%rax; push %%rax;"
			 "lretq $8; 1: add $128, %%rsp; mov %%rsp, %1"
			 : "=&r"(kept), "=&r"(after)::"rax", "memory", "cc");
	CHECK_EQ(kept, after);
	__asm__ volatile("mov %%rsp, %0; sub $128, %%rsp; mov %%rsp, %%rax; pushq $0x2b; push %%rax;"
			 "pushq $0xAD7; pushq $0x33; lea 1f(%%rip), %%rax; push %%rax; iretq; 1:"
			 "pushfq; pop %2; cld; add $128, %%rsp; mov %%rsp, %1"
			 : "=&r"(kept), "=&r"(after), "=&r"(flags)::"rax", "memory", "cc");
	CHECK_EQ(kept, after);
	/* Interrupts stay on, whatever is said of them. */
	CHECK_EQ(flags & 0xCD5, 0x8D5);
	CHECK_EQ(SIGNAL_OF(__asm__ volatile("pushq $0x10; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" ::: "rax",
					    "memory")),
		 SIGSEGV);
	CHECK_EQ(SIGNAL_OF(__asm__ volatile("mov %%rsp, %%rcx; pushq $0; push %%rcx; pushfq; pushq $0x33;"
					    "lea 1f(%%rip), %%rax; push %%rax; iretq; 1:" ::
						    : "rax", "rcx", "memory")),
		 SIGSEGV);
}

TEST(far_jumps)
{
	struct far_pointer target = {0, CODE};
	unsigned long done = 0, stack = 0, after = 0;

	/* For one of AMD's a far pointer is never longer than 32 bits and a selector. */
	if (is_of_amd())
		return;
	__asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, (%1); rex.w ljmp *(%1); ud2; 1: mov $5, %0"
			 : "=&r"(done)
			 : "r"(&target)
			 : "rax", "memory");
	CHECK_EQ(done, 5);
	__asm__ volatile("mov %%rsp, %1; sub $128, %%rsp; lea 1f(%%rip), %%rax; mov %%rax, (%3); rex.w lcall *(%3);"
			 "jmp 2f; 1: mov 8(%%rsp), %0; lretq; 2: add $128, %%rsp; mov %%rsp, %2"
			 : "=&r"(done), "=&r"(stack), "=&r"(after)
			 : "r"(&target)
			 : "rax", "memory", "cc");
	CHECK_EQ(done, CODE);
	CHECK_EQ(stack, after);
	target.selector = 0x10;
	CHECK_EQ(SIGNAL_OF(__asm__ volatile("rex.w ljmp *(%0)" ::"r"(&target) : "memory")), SIGSEGV);
}

/* lgs (%rcx), %rax, which assemblers don't know with 64 bits, nor do all processors. */
#define LOAD_POINTER(to, from) __asm__ volatile(".byte 0x48, 0x0f, 0xb5, 0x01" : "=a"(to) : "c"(from) : "memory")

TEST(pointers_with_a_segment)
{
	struct far_pointer pointer = {0x123456789AUL, DATA};
	unsigned long offset = 0;

	if (!is_of_amd()) {
		LOAD_POINTER(offset, &pointer);
		CHECK_EQ(offset, 0x123456789AUL);
		pointer.selector = 0x10;
		CHECK_EQ(SIGNAL_OF(LOAD_POINTER(offset, &pointer)), SIGSEGV);
	}
	__asm__ volatile("mov %0, %%gs" ::"r"(0));
	/* By rbp with a short address that is there, whatever the upper half says. */
	unsigned char *low = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	CHECK(low != MAP_FAILED);
	CHECK_EQ(SIGNAL_OF(__asm__ volatile("push %%rbp\n\tmov %1, %%rbp\n\tlgs 8(%%ebp), %%edx\n\tpop %%rbp"
					    : "=d"(offset) : "r"((unsigned long)low | 0x1234567800000000) : "memory")), 0);
	CHECK_EQ(offset, 0);
}
