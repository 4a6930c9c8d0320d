/* Segment registers and transfers between segments, of which a 64-bit program has its own flat ones. */
#include "check.h"

#include <asm/prctl.h>
#include <setjmp.h>

#define CODE 0x33
#define DATA 0x2B
#define OTHER_CODE 0x23
#define PROCESSOR_NUMBER 0x7B
#define KERNEL_DATA 0x18

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

	LOAD_POINTER(offset, &pointer);
	CHECK(offset == 0x123456789AUL || offset == 0x3456789AUL);
	pointer.selector = 0x10;
	CHECK_EQ(SIGNAL_OF(LOAD_POINTER(offset, &pointer)), SIGSEGV);
	__asm__ volatile("mov %0, %%gs" ::"r"(0));
}
