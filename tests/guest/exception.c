/* Exceptions of the CPU, and what a handler sees and keeps of the interrupted program: sigaction(2), sigaltstack(2). */
#include "fault.h"
#include "processor_make.h"

#include <string.h>
#include <ucontext.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static siginfo_t seen;
static volatile int calls, skipped_bytes;
static volatile greg_t instruction, trap, error, fault_linear;

/* Keeps what the kernel says, and lets the program continue behind the instruction. */
static void skip(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)signal;
	calls++;
	seen = *info;
	instruction = interrupted->uc_mcontext.gregs[REG_RIP];
	trap = interrupted->uc_mcontext.gregs[REG_TRAPNO];
	error = interrupted->uc_mcontext.gregs[REG_ERR];
	fault_linear = interrupted->uc_mcontext.gregs[REG_CR2];
	interrupted->uc_mcontext.gregs[REG_RIP] += skipped_bytes;
}

/* What a processor without AVX refuses must not compute anything: neither the sum nor half of it. */
TEST(a_vector_instruction_of_three_operands)
{
	static const int one[4] = { 1, 2, 3, 4 }, two[4] = { 10, 20, 30, 40 };
	unsigned int eax, ebx, ecx = 0, edx, flag;
	int before = 0, sum[4] = { 7, 7, 7, 7 };

	__get_cpuid(1, &eax, &ebx, &ecx, &edx);
	flag = ecx & bit_OSXSAVE && ecx & bit_AVX;
	handle_info(SIGILL, skip, 0);
	skipped_bytes = 4;
	/* vpaddd %xmm2, %xmm1, %xmm0: the block's beginning is executed in any case. */
	__asm__ volatile("movdqu %2, %%xmm0\n\tmovdqu %3, %%xmm1\n\tmovdqu %4, %%xmm2\n\tmovl $1, %1\n\t"
			 ".byte 0xc5, 0xf1, 0xfe, 0xc2\n\tmovdqu %%xmm0, %0"
			 : "=m"(sum), "+m"(before) : "m"(sum), "m"(one), "m"(two) : "xmm0", "xmm1", "xmm2");
	CHECK_EQ(before, 1);
	/* A processor may have it without saying so. */
	flag |= calls == 0;
	CHECK_EQ(calls, flag ? 0 : 1);
	CHECK_EQ(sum[0], flag ? 11 : 7);
	CHECK_EQ(sum[3], flag ? 44 : 7);
	/* vzeroupper, then the same one again, in a block that is known by now. */
	for (int i = 0; i < 3; i++) {
		calls = 0;
		skipped_bytes = 3;
		__asm__ volatile(".byte 0xc5, 0xf8, 0x77" ::: "memory");
		CHECK_EQ(calls, flag ? 0 : 1);
		CHECK(flag || (seen.si_signo == SIGILL && seen.si_code == ILL_ILLOPN));
		CHECK(flag || (greg_t)seen.si_addr == instruction);
	}
}

/* XOP, of which no processor of today knows: it isn't a strange form of pop. */
TEST(an_xop_instruction)
{
	uintptr_t stack_before, stack_after;

	handle_info(SIGILL, skip, 0);
	skipped_bytes = 5;
	__asm__ volatile("mov %%rsp, %0\n\t.byte 0x8f, 0xe9, 0x78, 0x80, 0xc0\n\tmov %%rsp, %1"
			 : "=&r"(stack_before), "=&r"(stack_after) :: "memory", "xmm0");
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_signo, SIGILL);
	CHECK_EQ(stack_before, stack_after);
}

/* XBEGIN and XABORT aren't strange forms of mov. A processor may know them without saying so, and never begin one. */
TEST(instructions_of_transactions)
{
	uint64_t fell_through, value;

	handle_info(SIGILL, skip, 0);
	/* All up to the place where a transaction goes on that was given up. */
	skipped_bytes = 6 + 3 + 5;
	__asm__ volatile("xor %%ecx, %%ecx\n\t.byte 0xc7, 0xf8\n\t.long 2f - 1f\n\t"
			 "1: .byte 0xc6, 0xf8, 0x12\n\tmov $1, %%ecx\n\t2:"
			 : "=c"(fell_through) :: "rax", "cc", "memory");
	CHECK_EQ(fell_through, 0);
	CHECK(calls == 0 || (calls == 1 && seen.si_signo == SIGILL && seen.si_code == ILL_ILLOPN));
	CHECK(calls == 0 || (greg_t)seen.si_addr == instruction);
	skipped_bytes = 3;
	__asm__ volatile("mov $0x1122, %%eax\n\t.byte 0xc6, 0xf8, 0x33" : "=a"(value) :: "memory");
	CHECK_EQ(value, 0x1122);
	/* In one block with what also looks like others, and behind it. */
	__asm__ volatile("mov $0x1122, %%eax\n\t.byte 0xc6, 0xf8, 0x33\n\tmov %%eax, %%r13d\n\tadd $0x62, %%eax\n\t"
			 "mov $0xc4c5f8c7, %%ecx"
			 : "=a"(value) :: "rcx", "r13", "memory");
	CHECK_EQ(value, 0x1122 + 0x62);
}

/* The first bytes of those encodings, as parts of others. */
TEST(bytes_that_look_like_vector_instructions)
{
	uint64_t result;

	__asm__ volatile("mov $0xc4c5c4c5, %%eax\n\tmov %%eax, %%r12d\n\tmov %%r8, %%r12\n\tmov %%eax, %%r13d\n\t"
			 "add $0x62, %%eax\n\tadd $-0x71, %%eax\n\tadd $-0x3b, %%eax\n\tadd %%rax, %%r13\n\t"
			 ".byte 0x66, 0x0f, 0xc5, 0xc5, 0x62\n\t.byte 0x66, 0x0f, 0xc4, 0xc4, 0x8f\n\t"
			 "mov %%r13, %0"
			 : "=r"(result) :: "rax", "r12", "r13", "xmm0");
	CHECK_EQ(result, 0xc4c5c4c5u + (uint64_t)(0xc4c5c4c5u + 0x62u - 0x71u - 0x3bu));
	handle_info(SIGILL, skip, 0);
	CHECK_EQ(calls, 0);
}

TEST(division_by_zero)
{
	handle_info(SIGFPE, skip, 0);
	skipped_bytes = 2;
	__asm__ volatile("xor %%edx, %%edx\n\txor %%ecx, %%ecx\n\tmov $1, %%eax\n\tdiv %%ecx" ::: "rax", "rcx", "rdx", "cc");
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_signo, SIGFPE);
	CHECK_EQ(seen.si_code, FPE_INTDIV);
	CHECK_EQ((greg_t)seen.si_addr, instruction);
	CHECK_EQ(trap, 0);
	__asm__ volatile("mov $0x80000000, %%eax\n\tcdq\n\tmov $-1, %%ecx\n\tidiv %%ecx" ::: "rax", "rcx", "rdx", "cc");
	CHECK_EQ(calls, 2);
	CHECK_EQ(seen.si_code, FPE_INTDIV);
}

TEST(undefined_instruction)
{
	handle_info(SIGILL, skip, 0);
	skipped_bytes = 2;
	__asm__ volatile("ud2");
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_signo, SIGILL);
	CHECK_EQ(seen.si_code, ILL_ILLOPN);
	CHECK_EQ((greg_t)seen.si_addr, instruction);
	CHECK_EQ(trap, 6);
}

TEST(breakpoint)
{
	long before, after;

	handle_info(SIGTRAP, skip, 0);
	skipped_bytes = 0;
	__asm__ volatile("lea 1f(%%rip), %0\n\tint3\n1:\tlea 1b(%%rip), %1" : "=&r"(before), "=r"(after));
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_signo, SIGTRAP);
	CHECK_EQ(seen.si_code, SI_KERNEL);
	CHECK_EQ(instruction, before);
	CHECK_EQ(before, after);
	CHECK_EQ(trap, 3);
}

/* Some versions of KVM, on a processor of AMD's, report int1 at the instruction; the processor itself does behind it. */
static void skip_int1(int signal, siginfo_t *info, void *context)
{
	const unsigned char *at = (const void *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	skipped_bytes = *at == 0xf1;
	skip(signal, info, context);
}

TEST(traps_of_other_kinds)
{
	long before, after;
	int is_reported_early;

	handle_info(SIGTRAP, skip_int1, 0);
	handle_info(SIGSEGV, skip, 0);
	__asm__ volatile("lea 1f(%%rip), %0\n\t.byte 0xf1\n1:\tlea 1b(%%rip), %1" : "=&r"(before), "=r"(after));
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_signo, SIGTRAP);
	CHECK_EQ(seen.si_code, TRAP_BRKPT);
	CHECK_EQ(instruction + skipped_bytes, before);
	CHECK_EQ((greg_t)seen.si_addr + skipped_bytes, before);
	CHECK(!skipped_bytes || is_of_amd());
	is_reported_early = skipped_bytes;
	skipped_bytes = 0;
	handle_info(SIGTRAP, skip, 0);
	CHECK_EQ(trap, 1);
	if (!is_reported_early) {
		__asm__ volatile("lea 1f(%%rip), %0\n\t.byte 0x66, 0x48, 0xf1\n1:\tlea 1b(%%rip), %1" : "=&r"(before), "=r"(after));
		CHECK_EQ(calls, 2);
		CHECK_EQ(seen.si_code, TRAP_BRKPT);
		CHECK_EQ(instruction, before);
		calls = 1;
	}
	__asm__ volatile("lea 1f(%%rip), %0\n\t.byte 0xcd, 3\n1:\tlea 1b(%%rip), %1" : "=&r"(before), "=r"(after));
	CHECK_EQ(calls, 2);
	CHECK_EQ(seen.si_signo, SIGTRAP);
	CHECK_EQ(seen.si_code, SI_KERNEL);
	CHECK_EQ(instruction, before);
	CHECK_EQ(trap, 3);
	__asm__ volatile("lea 1f(%%rip), %0\n\t.byte 0xcd, 4\n1:\tlea 1b(%%rip), %1" : "=&r"(before), "=r"(after));
	CHECK_EQ(calls, 3);
	CHECK_EQ(seen.si_signo, SIGSEGV);
	CHECK_EQ(seen.si_code, SI_KERNEL);
	CHECK_EQ(instruction, before);
	CHECK_EQ(trap, 4);
}

#define INTERRUPT(number) __asm__ volatile("lea 1f(%%rip), %0\n\t1:\t.byte 0xcd, " #number : "=r"(at))

TEST(interrupts_that_programs_may_not_raise)
{
	long at;

	handle_info(SIGSEGV, skip, 0);
	skipped_bytes = 2;
	INTERRUPT(0);
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_code, SI_KERNEL);
	CHECK_EQ(trap, 13);
	CHECK_EQ(error, 0 * 8 + 2);
	CHECK_EQ(instruction, at);
	INTERRUPT(1);
	CHECK_EQ(error, 1 * 8 + 2);
	INTERRUPT(5);
	CHECK_EQ(error, 5 * 8 + 2);
	INTERRUPT(14);
	CHECK_EQ(error, 14 * 8 + 2);
	CHECK_EQ(instruction, at);
	INTERRUPT(0x42);
	CHECK_EQ(error, 0x42 * 8 + 2);
	CHECK_EQ(calls, 5);
}

TEST(ports_are_out_of_reach)
{
	volatile char *nowhere = bad_address();
	long at;

	handle_info(SIGSEGV, skip, 0);
	/* What follows the instruction, be it a fault, a call or the next port, must not happen. */
	skipped_bytes = 1 + 3;
	__asm__ volatile("lea 1f(%%rip), %0\n1:\tin %%dx, %%al\n\tmovb $1, (%%rbx)" : "=&r"(at) : "b"(nowhere), "d"(0x80) : "rax");
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_code, SI_KERNEL);
	CHECK_EQ(trap, 13);
	CHECK_EQ(error, 0);
	CHECK_EQ(instruction, at);
	skipped_bytes = 1 + 1 + 2;
	__asm__ volatile("lea 1f(%%rip), %0\n1:\tout %%al, %%dx\n\tin %%dx, %%al\n\tsyscall"
			 : "=&r"(at) : "d"(0x80), "a"(SYS_exit_group), "D"(9) : "rcx", "r11");
	CHECK_EQ(calls, 2);
	CHECK_EQ(trap, 13);
	CHECK_EQ(instruction, at);
	skipped_bytes = 1;
	__asm__ volatile("lea 1f(%%rip), %0\n\tmov %1, %%rsi\n1:\toutsb" : "=&r"(at) : "r"(&at), "d"(0x80) : "rsi");
	CHECK_EQ(calls, 3);
	CHECK_EQ(trap, 13);
	CHECK_EQ(instruction, at);
	__asm__ volatile("lea 1f(%%rip), %0\n1:\thlt" : "=&r"(at));
	CHECK_EQ(calls, 4);
	CHECK_EQ(instruction, at);
	__asm__ volatile("lea 1f(%%rip), %0\n1:\tcli" : "=&r"(at));
	CHECK_EQ(calls, 5);
	CHECK_EQ(instruction, at);
}

static long stepped[16];
static volatile int step_count, last_step;

static void step(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)signal;
	seen = *info;
	trap = interrupted->uc_mcontext.gregs[REG_TRAPNO];
	stepped[step_count++] = interrupted->uc_mcontext.gregs[REG_RIP];
	if (step_count == last_step)
		interrupted->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

TEST(single_steps)
{
	long start, pushed;

	handle_info(SIGTRAP, step, 0);
	last_step = 6;
	__asm__ volatile("lea 1f(%%rip), %0\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
			 "1:\tnop\n\tinc %%rax\n\tmov $39, %%eax\n\tsyscall\n\tnop\n\tjmp 2f\n\tud2\n\t2:\tnop\n\tnop"
			 : "=&b"(start) : : "rax", "rcx", "r11", "memory", "cc");
	CHECK_EQ(step_count, 6);
	CHECK_EQ(seen.si_code, TRAP_TRACE);
	CHECK_EQ((long)seen.si_addr, stepped[5]);
	CHECK_EQ(trap, 1);
	CHECK_EQ(stepped[0] - start, 1);
	CHECK_EQ(stepped[1] - start, 4);
	CHECK_EQ(stepped[2] - start, 9);
	/* The step that begins with a system call ends after the instruction behind it. */
	CHECK_EQ(stepped[3] - start, 12);
	CHECK_EQ(stepped[4] - start, 16);
	CHECK_EQ(stepped[5] - start, 17);
	step_count = 0;
	last_step = 2;
	__asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tpushfq\n\tpop %0\n\tnop" : "=r"(pushed) : : "memory", "cc");
	CHECK_EQ(step_count, 2);
	CHECK_EQ(pushed & 0x100, 0x100);
	/* Functions of the x87, and its arithmetic with an exception that isn't masked. */
	step_count = 0;
	last_step = 6;
	__asm__ volatile("fninit\n\tlea 1f(%%rip), %0\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
			 "1:\tfldpi\n\tfsin\n\tfcos\n\tfsincos\n\tfadd %%st(1), %%st\n\tnop\n\tfninit"
			 : "=&b"(start) : : "memory", "cc");
	CHECK_EQ(step_count, 6);
	for (int at = 0; at < 5; at++)
		CHECK_EQ(stepped[at] - start, 2 * at + 2);
	step_count = 0;
	last_step = 3;
	pushed = 0x340;
	__asm__ volatile("fninit\n\tfld1\n\tfldz\n\tlea 1f(%%rip), %0\n\tfldcw %1\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
			 "1:\tfdivr %%st(1), %%st\n\tnop\n\tnop\n\tfninit"
			 : "=&b"(start) : "m"(pushed) : "memory", "cc");
	CHECK_EQ(step_count, 3);
	CHECK_EQ(stepped[0] - start, 2);
	CHECK_EQ(stepped[1] - start, 3);
}

static volatile greg_t flags_seen;

static void note_flags(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)signal;
	seen = *info;
	trap = interrupted->uc_mcontext.gregs[REG_TRAPNO];
	flags_seen = interrupted->uc_mcontext.gregs[REG_EFL];
	interrupted->uc_mcontext.gregs[REG_RIP] += skipped_bytes;
}

TEST(faults_set_the_resume_flag)
{
	long flags;

	handle_info(SIGILL, note_flags, 0);
	handle_info(SIGSEGV, note_flags, 0);
	handle_info(SIGTRAP, note_flags, 0);
	skipped_bytes = 2;
	__asm__ volatile("ud2\n\tpushfq\n\tpop %0" : "=r"(flags) : : "memory");
	CHECK_EQ(flags_seen & 0x10000, 0x10000);
	CHECK_EQ(flags & 0x10000, 0);
	__asm__ volatile("movb %%al, (%0)" : : "d"(8L) : "memory");
	CHECK_EQ(flags_seen & 0x10000, 0x10000);
	skipped_bytes = 0;
	__asm__ volatile("int3");
	CHECK_EQ(flags_seen & 0x10000, 0);
}

TEST(addresses_that_no_page_has)
{
	handle_info(SIGSEGV, note_flags, 0);
	skipped_bytes = 2;
	__asm__ volatile("movb %%al, (%0)" : : "d"(0x8000000000000000) : "memory");
	CHECK_EQ(seen.si_code, SI_KERNEL);
	CHECK(seen.si_addr == NULL);
	CHECK_EQ(trap, 13);
	__asm__ volatile("movb (%0), %%al" : : "d"(0x800000000000) : "rax", "memory");
	CHECK_EQ(seen.si_code, SI_KERNEL);
	__asm__ volatile("movb (%0), %%al" : : "d"(-4096L) : "rax", "memory");
	CHECK_EQ(seen.si_code, SEGV_MAPERR);
	CHECK_EQ((long)seen.si_addr, -4096L);
	CHECK_EQ(trap, 14);
}

TEST(privileged_instructions)
{
	handle_info(SIGSEGV, skip, 0);
	skipped_bytes = 1;
	__asm__ volatile("hlt");
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_signo, SIGSEGV);
	CHECK_EQ(seen.si_code, SI_KERNEL);
	CHECK(seen.si_addr == NULL);
	CHECK_EQ(trap, 13);
	__asm__ volatile("cli");
	CHECK_EQ(calls, 2);
	__asm__ volatile("sti");
	CHECK_EQ(calls, 3);
	__asm__ volatile("in %%dx, %%al" ::: "rax");
	CHECK_EQ(calls, 4);
	__asm__ volatile("out %%al, %%dx" ::: "memory");
	CHECK_EQ(calls, 5);
	skipped_bytes = 3;
	__asm__ volatile("mov %%cr0, %%rax" ::: "rax");
	CHECK_EQ(calls, 6);
	__asm__ volatile("mov %%rax, %%cr3" ::: "rax");
	CHECK_EQ(calls, 7);
	skipped_bytes = 2;
	__asm__ volatile("rdmsr" ::: "rax", "rdx");
	CHECK_EQ(calls, 8);
	__asm__ volatile("wrmsr" ::: "memory");
	CHECK_EQ(calls, 9);
	__asm__ volatile("int $0x42");
	CHECK_EQ(calls, 10);
	CHECK_EQ(seen.si_code, SI_KERNEL);
}

TEST(page_fault_details)
{
	char *memory = map_pages(2);
	char value;

	MUST(mprotect(memory + PAGE, PAGE, PROT_READ));
	MUST(munmap(memory, PAGE));
	handle_info(SIGSEGV, skip, 0);
	skipped_bytes = 2;
	__asm__ volatile("movb (%1), %0" : "=&a"(value) : "d"(memory + 5));
	CHECK_EQ(calls, 1);
	CHECK_EQ(seen.si_code, SEGV_MAPERR);
	CHECK(seen.si_addr == memory + 5);
	CHECK_EQ(fault_linear, (greg_t)(memory + 5));
	CHECK_EQ(trap, 14);
	CHECK_EQ(error & 7, 4);
	__asm__ volatile("movb %0, (%1)" : : "a"(value), "d"(memory + 6) : "memory");
	CHECK_EQ(calls, 2);
	CHECK_EQ(error & 7, 6);
	/* What is changed there is asked for to write at once. */
	__asm__ volatile("incl (%0)" : : "d"(memory + 7) : "memory");
	CHECK_EQ(error & 7, 6);
	__asm__ volatile("notb (%0)" : : "d"(memory + 7) : "memory");
	CHECK_EQ(error & 7, 6);
	__asm__ volatile("xchg %%ecx, (%0)" : : "d"(memory + 7) : "ecx", "memory");
	CHECK_EQ(error & 7, 6);
	skipped_bytes = 3;
	__asm__ volatile("lock addl %%eax, (%0)" : : "d"(memory + 7) : "memory");
	CHECK_EQ(error & 7, 6);
	__asm__ volatile("xadd %%eax, (%0)" : : "d"(memory + 7) : "eax", "memory");
	CHECK_EQ(error & 7, 6);
	__asm__ volatile("testb $1, (%0)" : : "d"(memory + 7) : "memory");
	CHECK_EQ(error & 7, 4);
	__asm__ volatile("cmpb $1, (%0)" : : "d"(memory + 7) : "memory");
	CHECK_EQ(error & 7, 4);
	CHECK_EQ(touch(memory + PAGE, READ), 0);
	handle_info(SIGSEGV, skip, 0);
	skipped_bytes = 2;
	__asm__ volatile("movb %0, (%1)" : : "a"(value), "d"(memory + PAGE + 7) : "memory");
	CHECK_EQ(calls, 10);
	CHECK_EQ(seen.si_code, SEGV_ACCERR);
	CHECK(seen.si_addr == memory + PAGE + 7);
	CHECK_EQ(error & 7, 7);
}

static void set_registers(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)signal, (void)info;
	interrupted->uc_mcontext.gregs[REG_RIP] += 2;
	interrupted->uc_mcontext.gregs[REG_RBX] += 1;
	interrupted->uc_mcontext.gregs[REG_R15] = 0x1122334455667788;
}

TEST(handler_changes_registers)
{
	long first = 41, second = 0;

	handle_info(SIGILL, set_registers, 0);
	__asm__ volatile("mov %2, %%rbx\n\tud2\n\tmov %%rbx, %0\n\tmov %%r15, %1"
			 : "=&r"(first), "=&r"(second) : "r"(first) : "rbx", "r15");
	CHECK_EQ(first, 42);
	CHECK_EQ(second, 0x1122334455667788);
}

static void spoil_registers(int signal)
{
	(void)signal;
	calls++;
	__asm__ volatile("mov $-1, %%rax\n\tmov %%rax, %%rcx\n\tmov %%rax, %%rdx\n\tmov %%rax, %%rsi\n\tmov %%rax, %%rdi\n\t"
			 "mov %%rax, %%r8\n\tmov %%rax, %%r9\n\tmov %%rax, %%r10\n\tmov %%rax, %%r11\n\t"
			 "mov %%rax, %%r12\n\tmov %%rax, %%r13\n\tmov %%rax, %%r14\n\tmov %%rax, %%r15\n\tmov %%rax, %%rbx\n\t"
			 "movq %%rax, %%xmm0\n\tmovq %%rax, %%xmm7\n\tmovq %%rax, %%xmm15\n\tfldz\n\tfstp %%st(0)\n\tfninit"
			 ::: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rbx", "xmm0",
			     "xmm7", "xmm15", "memory", "cc");
}

TEST(handler_keeps_the_general_registers)
{
	long kept[12];

	handle(SIGUSR1, spoil_registers, 0);
	__asm__ volatile("mov $102, %%rdx\n\tmov $105, %%r8\n\tmov $106, %%r9\n\tmov $107, %%r10\n\t"
			 "mov $108, %%r12\n\tmov $109, %%r13\n\tmov $110, %%r14\n\tmov $111, %%r15\n\t"
			 "syscall\n\t"
			 "mov %%rax, (%0)\n\tmov %%rbx, 8(%0)\n\tmov %%rdx, 16(%0)\n\tmov %%rsi, 24(%0)\n\tmov %%rdi, 32(%0)\n\t"
			 "mov %%r8, 40(%0)\n\tmov %%r9, 48(%0)\n\tmov %%r10, 56(%0)\n\tmov %%r12, 64(%0)\n\tmov %%r13, 72(%0)\n\t"
			 "mov %%r14, 80(%0)\n\tmov %%r15, 88(%0)"
			 : : "b"(kept), "a"(SYS_kill), "D"((long)getpid()), "S"((long)SIGUSR1)
			 : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	CHECK_EQ(calls, 1);
	CHECK_EQ(kept[0], 0);
	CHECK_EQ(kept[1], (long)kept);
	CHECK_EQ(kept[2], 102);
	CHECK_EQ(kept[3], SIGUSR1);
	CHECK_EQ(kept[4], getpid());
	CHECK_EQ(kept[5], 105);
	CHECK_EQ(kept[6], 106);
	CHECK_EQ(kept[7], 107);
	CHECK_EQ(kept[8], 108);
	CHECK_EQ(kept[9], 109);
	CHECK_EQ(kept[10], 110);
	CHECK_EQ(kept[11], 111);
}

TEST(handler_keeps_the_floating_point_registers)
{
	double kept[4] = {0}, pattern = 1234.5678, pi = 0;
	unsigned control = 0x5f80, control_after = 0;

	handle(SIGUSR1, spoil_registers, 0);
	__asm__ volatile("ldmxcsr %6\n\tmovq %5, %%xmm0\n\tmovq %5, %%xmm7\n\tmovq %5, %%xmm15\n\tfldpi\n\tsyscall\n\t"
			 "fstpl %1\n\tmovq %%xmm0, (%2)\n\tmovq %%xmm7, 8(%2)\n\tmovq %%xmm15, 16(%2)\n\tstmxcsr %0"
			 : "=m"(control_after), "=m"(pi)
			 : "r"(kept), "a"(SYS_kill), "D"((long)getpid()), "r"(*(long *)&pattern), "m"(control), "S"((long)SIGUSR1)
			 : "rcx", "r11", "xmm0", "xmm7", "xmm15", "memory", "cc");
	control = 0x1f80;
	__asm__ volatile("ldmxcsr %0" : : "m"(control));
	CHECK_EQ(calls, 1);
	CHECK(kept[0] == pattern);
	CHECK(kept[1] == pattern);
	CHECK(kept[2] == pattern);
	CHECK(pi > 3.14159265 && pi < 3.14159266);
	CHECK_EQ(control_after & 0xffc0, 0x5f80);
}

TEST(handler_keeps_the_flags_and_the_red_zone)
{
	long flags, red_zone;
	pid_t self = getpid();

	handle(SIGUSR1, spoil_registers, 0);
	__asm__ volatile("movq $0x5a5a, -120(%%rsp)\n\tstd\n\tstc\n\tsyscall\n\tmovq -120(%%rsp), %1\n\tpushfq\n\tpop %0\n\tcld"
			 : "=&r"(flags), "=&r"(red_zone) : "a"(SYS_kill), "D"((long)self), "S"((long)SIGUSR1)
			 : "rcx", "r11", "memory", "cc");
	CHECK_EQ(calls, 1);
	CHECK_EQ(red_zone, 0x5a5a);
	CHECK_EQ(flags & 0x400, 0x400);
	CHECK_EQ(flags & 1, 1);
	CHECK_EQ(getpid(), self);
}

static volatile uintptr_t handler_frame;
static volatile long handler_flags;
static ucontext_t kept_context;
static volatile int has_float_state;

static void look_at_frame(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)signal, (void)info;
	/* Not by a push: this function calls nobody, and may keep its variables where that would write. */
	handler_flags = (long)__builtin_ia32_readeflags_u64();
	handler_frame = (uintptr_t)__builtin_frame_address(0);
	kept_context = *interrupted;
	has_float_state = interrupted->uc_mcontext.fpregs != NULL;
}

TEST(frame_of_a_handler)
{
	sigset_t now;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	handle_info(SIGUSR1, look_at_frame, 0);
	block(SIGTERM);
	__asm__ volatile("std\n\tsyscall\n\tcld" : : "a"(SYS_kill), "D"((long)getpid()), "S"((long)SIGUSR1)
			 : "rcx", "r11", "memory", "cc");
	CHECK_EQ(handler_frame % 16, 0);
	CHECK(handler_frame < here - 128);
	CHECK_EQ(handler_flags & 0x400, 0);
	CHECK_EQ(sigismember(&kept_context.uc_sigmask, SIGTERM), 1);
	CHECK_EQ(sigismember(&kept_context.uc_sigmask, SIGUSR1), 0);
	CHECK(kept_context.uc_link == NULL);
	CHECK_EQ(kept_context.uc_stack.ss_size, 0);
	CHECK_EQ(kept_context.uc_mcontext.gregs[REG_EFL] & 0x400, 0x400);
	CHECK_EQ(has_float_state, 1);
	CHECK_EQ(kept_context.uc_mcontext.gregs[REG_RDI], getpid());
	CHECK_EQ(kept_context.uc_mcontext.gregs[REG_RAX], 0);
	MUST(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK_EQ(sigismember(&now, SIGUSR1), 0);
}

static void change_mask(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)signal, (void)info;
	sigaddset(&interrupted->uc_sigmask, SIGTERM);
	sigaddset(&interrupted->uc_sigmask, SIGKILL);
}

TEST(handler_changes_the_mask_it_returns_to)
{
	sigset_t now;

	handle_info(SIGUSR1, change_mask, 0);
	MUST(raise(SIGUSR1));
	MUST(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK_EQ(sigismember(&now, SIGTERM), 1);
	CHECK_EQ(sigismember(&now, SIGKILL), 0);
	CHECK_EQ(sigismember(&now, SIGUSR1), 0);
}

static void return_to_nowhere(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)0x8000000000000000;
}

static void spoil_stack_pointer(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RSP] = 16;
}

TEST(bad_frames_kill)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		handle_info(SIGUSR1, return_to_nowhere, 0);
		raise(SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGSEGV);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle_info(SIGUSR1, spoil_stack_pointer, 0);
		raise(SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGSEGV);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle_info(SIGUSR1, skip, 0);
		__asm__ volatile("mov $16, %%rsp\n\tsyscall\n\tud2" : : "a"(SYS_kill), "D"((long)getpid()), "S"((long)SIGUSR1)
				 : "rcx", "r11", "memory");
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGSEGV);
}

TEST(exceptions_that_are_blocked_or_ignored_kill)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		handle_info(SIGILL, skip, 0);
		block(SIGILL);
		__asm__ volatile("ud2");
		_exit(0);
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGILL);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle(SIGFPE, SIG_IGN, 0);
		__asm__ volatile("xor %%edx, %%edx\n\txor %%ecx, %%ecx\n\tdiv %%ecx" ::: "rax", "rcx", "rdx", "cc");
		_exit(0);
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGFPE);
}

static void spoil_often(int signal)
{
	spoil_registers(signal);
}

static unsigned long spin(unsigned long steps)
{
	unsigned long sum = 1, other = 7;
	double fraction = 0.5;

	for (unsigned long step = 0; step < steps; step++) {
		sum = sum * 6364136223846793005UL + other;
		other = (other >> 3 | other << 61) ^ step;
		fraction = fraction * 3.9 * (1 - fraction);
	}
	return sum ^ other ^ (unsigned long)(fraction * 1e9);
}

TEST(timer_s_handler_disturbs_no_computation)
{
	struct itimerval often = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
	unsigned long alone = spin(20000), wrong = 0;

	handle(SIGALRM, spoil_often, 0);
	MUST(setitimer(ITIMER_REAL, &often, NULL));
	while (calls < 10)
		wrong += spin(20000) != alone;
	MUST(setitimer(ITIMER_REAL, &off, NULL));
	CHECK_EQ(wrong, 0);
	CHECK(calls >= 10);
}

static char alternate[65536];
static volatile uintptr_t frame_at;
static volatile int flags_inside, errno_inside, second_inside;
static stack_t stack_inside;

static void on_stack(int signal)
{
	stack_t other = {.ss_sp = alternate, .ss_size = sizeof(alternate)};

	(void)signal;
	calls++;
	frame_at = (uintptr_t)__builtin_frame_address(0);
	sigaltstack(NULL, &stack_inside);
	flags_inside = stack_inside.ss_flags;
	errno_inside = sigaltstack(&other, NULL) == -1 ? errno : 0;
	if (calls == 1) {
		raise(SIGUSR2);
		second_inside = frame_at >= (uintptr_t)alternate && frame_at < (uintptr_t)alternate + sizeof(alternate);
	}
}

static int is_on_alternate(uintptr_t address)
{
	return address >= (uintptr_t)alternate && address < (uintptr_t)alternate + sizeof(alternate);
}

TEST(alternate_stack)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)}, old;

	CHECK_EQ(sigaltstack(NULL, &old), 0);
	CHECK_EQ(old.ss_flags, SS_DISABLE);
	CHECK_EQ(sigaltstack(&stack, &old), 0);
	CHECK_EQ(old.ss_flags, SS_DISABLE);
	CHECK_EQ(sigaltstack(NULL, &old), 0);
	CHECK_EQ(old.ss_flags, 0);
	CHECK(old.ss_sp == alternate);
	CHECK_EQ(old.ss_size, sizeof(alternate));
	handle(SIGUSR1, on_stack, SA_ONSTACK);
	handle(SIGUSR2, on_stack, 0);
	MUST(raise(SIGUSR1));
	CHECK_EQ(calls, 2);
	CHECK_EQ(second_inside, 1);
	CHECK_EQ(flags_inside, SS_ONSTACK);
	CHECK_EQ(errno_inside, EPERM);
	MUST(raise(SIGUSR2));
	CHECK_EQ(is_on_alternate(frame_at), 0);
	CHECK_EQ(flags_inside, 0);
	CHECK_EQ(errno_inside, 0);
	stack.ss_flags = SS_DISABLE;
	CHECK_EQ(sigaltstack(&stack, NULL), 0);
	MUST(raise(SIGUSR1));
	CHECK_EQ(is_on_alternate(frame_at), 0);
}

TEST(alternate_stack_as_it_was)
{
	stack_t small = {.ss_sp = alternate, .ss_size = 100}, none = {.ss_sp = NULL};

	CHECK_ERRNO(sigaltstack(&small, NULL), ENOMEM);
	/* What changes nothing isn't looked at; but once one was taken away, this is another state. */
	MUST(sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = sizeof(alternate)}, NULL));
	CHECK_ERRNO(sigaltstack(&none, NULL), ENOMEM);
	MUST(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL));
	CHECK_ERRNO(sigaltstack(&none, NULL), ENOMEM);
	none.ss_flags = SS_DISABLE;
	CHECK_OK(sigaltstack(&none, NULL));
}

static char another[65536];

static void change_frame_s_stack(int signal, siginfo_t *info, void *context)
{
	ucontext_t *frame = context;

	(void)signal, (void)info;
	frame->uc_stack = (stack_t){.ss_sp = another, .ss_size = sizeof(another)};
}

static void use_the_stack_that_is_disarmed(int signal)
{
	(void)signal;
	CHECK_OK(sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = sizeof(alternate)}, NULL));
}

static stack_t stack_now(void)
{
	stack_t now;

	MUST(sigaltstack(NULL, &now));
	return now;
}

/* Whether a return from a handler may change the stack is asked where the handler stands, not where it returns to. */
TEST(the_alternate_stack_that_a_frame_says)
{
	MUST(sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = sizeof(alternate)}, NULL));
	handle_info(SIGUSR1, change_frame_s_stack, SA_ONSTACK);
	MUST(raise(SIGUSR1));
	CHECK(stack_now().ss_sp == alternate);
	handle_info(SIGUSR1, change_frame_s_stack, 0);
	MUST(raise(SIGUSR1));
	CHECK(stack_now().ss_sp == another);
	MUST(sigaltstack(
		&(stack_t){.ss_sp = alternate, .ss_size = sizeof(alternate), .ss_flags = (int)SS_AUTODISARM}, NULL));
	handle(SIGUSR2, use_the_stack_that_is_disarmed, SA_ONSTACK);
	MUST(raise(SIGUSR2));
	CHECK(stack_now().ss_sp == alternate);
	CHECK_EQ(stack_now().ss_flags, 0);
}

TEST(alternate_stack_after_fork_and_errnos)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)}, old;
	pid_t child;

	MUST(sigaltstack(&stack, NULL));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(sigaltstack(NULL, &old), 0);
		CHECK_EQ(old.ss_flags, 0);
		CHECK(old.ss_sp == alternate);
		handle(SIGUSR1, on_stack, SA_ONSTACK);
		calls = 1;
		MUST(raise(SIGUSR1));
		CHECK_EQ(is_on_alternate(frame_at), 1);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	stack.ss_size = 100;
	CHECK_ERRNO(sigaltstack(&stack, NULL), ENOMEM);
	stack = (stack_t){.ss_sp = alternate, .ss_size = sizeof(alternate), .ss_flags = 0x40};
	CHECK_ERRNO(sigaltstack(&stack, NULL), EINVAL);
	CHECK_ERRNO(sigaltstack(bad_address(), NULL), EFAULT);
	CHECK_EQ(sigaltstack(NULL, &old), 0);
	CHECK(old.ss_sp == alternate && old.ss_size == sizeof(alternate));
}

static void query_stack(int signal)
{
	(void)signal;
	sigaltstack(NULL, &stack_inside);
}

TEST(alternate_stack_that_disarms_itself)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate), .ss_flags = (int)SS_AUTODISARM}, old;

	CHECK_EQ(sigaltstack(&stack, NULL), 0);
	handle_info(SIGUSR1, look_at_frame, SA_ONSTACK);
	handle(SIGUSR2, query_stack, SA_ONSTACK);
	MUST(raise(SIGUSR1));
	CHECK(is_on_alternate(handler_frame));
	CHECK(kept_context.uc_stack.ss_sp == alternate);
	stack_inside.ss_flags = 99;
	MUST(raise(SIGUSR2));
	CHECK_EQ(stack_inside.ss_flags, SS_DISABLE);
	CHECK_EQ(sigaltstack(NULL, &old), 0);
	CHECK_EQ(old.ss_flags, (int)SS_AUTODISARM);
}

static long long returned_to[2];
static long long way_back;
static volatile int arrivals;

static void leave_for_nowhere(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)info;
	way_back = interrupted->uc_mcontext.gregs[REG_RIP];
	interrupted->uc_mcontext.gregs[REG_RIP] = signal == SIGUSR1 ? 0 : 1;
	raise(SIGUSR2);
}

static void come_back(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)signal, (void)info;
	returned_to[arrivals++ & 1] = interrupted->uc_mcontext.gregs[REG_RIP];
	interrupted->uc_mcontext.gregs[REG_RIP] = way_back;
}

/* A handler returns to an address at the very beginning while another signal is pending: it's delivered there. */
TEST(a_signal_at_the_first_addresses)
{
	struct sigaction leave = {.sa_sigaction = leave_for_nowhere, .sa_flags = SA_SIGINFO};

	sigemptyset(&leave.sa_mask);
	sigaddset(&leave.sa_mask, SIGUSR2);
	MUST(sigaction(SIGUSR1, &leave, NULL));
	MUST(sigaction(SIGURG, &leave, NULL));
	handle_info(SIGUSR2, come_back, 0);
	arrivals = 0;
	returned_to[0] = returned_to[1] = -1;
	raise(SIGUSR1);
	CHECK_EQ(arrivals, 1);
	CHECK_EQ(returned_to[0], 0);
	raise(SIGURG);
	CHECK_EQ(arrivals, 2);
	CHECK_EQ(returned_to[1], 1);
}

/* The number is an int; the address to return to and the flags are where the instruction puts them. */
TEST(registers_of_a_system_call)
{
	for (int equal = 0; equal < 2; equal++) {
		long result = SYS_getpid | 0x123456700000000L, address, flags, here, before;

		__asm__ volatile("cmpl $1, %[equal]\n\tpushfq\n\tpopq %[before]\n\tsyscall\n1:\tmovq %%rcx, %[address]\n\t"
				 "movq %%r11, %[flags]\n\tleaq 1b(%%rip), %[here]"
				 : "+a"(result), [address] "=&r"(address), [flags] "=&r"(flags), [here] "=&r"(here),
				   [before] "=&r"(before)
				 : [equal] "r"(equal)
				 : "rcx", "r11", "memory", "cc");
		CHECK_EQ(result, getpid());
		CHECK_EQ(address, here);
		CHECK_EQ(flags, before);
	}
}

/* Where code may be written: two pages, and what is to be caught. */
static unsigned char *code_pages(void)
{
	unsigned char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(pages != MAP_FAILED);
	handle_info(SIGILL, skip, 0);
	return pages;
}

/* What can't be locked is an invalid opcode, wherever it stands. */
TEST(a_lock_without_memory)
{
	/* lock bts %eax, %eax; lock btr $1, %ebx; lock bt %ecx, %ecx; lock btc %rdx, %rdx */
	static const unsigned char locks[][6] = {
		{ 0xf0, 0x0f, 0xab, 0xc0 }, { 0xf0, 0x0f, 0xba, 0xf3, 1 }, { 0xf0, 0x0f, 0xa3, 0xc9 }, { 0xf0, 0x48, 0x0f, 0xbb, 0xd2 },
	};
	static const int lengths[] = { 4, 5, 4, 5 };
	static const int places[] = { 0, 1, 100, 4090, 4091, 4092, 4093, 4094, 4095, 4096 };
	unsigned char *pages = code_pages();

	for (int at = 0; at < 4; at++) {
		for (unsigned place = 0; place < sizeof(places) / sizeof(*places); place++) {
			for (int start = places[place]; start >= 0; start -= 64) {
				memset(pages, 0x90, 8192);
				memcpy(pages + places[place], locks[at], lengths[at]);
				pages[places[place] + lengths[at]] = 0xc3;
				calls = 0;
				skipped_bytes = lengths[at];
				((void (*)(void))(pages + start))();
				CHECK_EQ(calls, 1);
				CHECK_EQ(seen.si_code, ILL_ILLOPN);
				CHECK_EQ((unsigned char *)seen.si_addr - pages, places[place]);
				if (start != places[place])
					break;
			}
		}
	}
	/* Of memory it's none, and a byte of another instruction isn't a prefix. */
	for (int at = 0; at < 2; at++) {
		/* lock btsl $3, (%rdi); ret, and mov -16(%rdi), %eax; bts %ecx, %eax; ret */
		static const unsigned char fine[][8] = { { 0xf0, 0x0f, 0xba, 0x2f, 3, 0xc3 }, { 0x8b, 0x47, 0xf0, 0x0f, 0xab, 0xc8, 0xc3 } };
		long word[4] = { 0 };

		memcpy(pages, fine[at], 8);
		calls = 0;
		((void (*)(void *))pages)(word + 2);
		CHECK_EQ(calls, 0);
		CHECK_EQ(word[2], at ? 0 : 8);
	}
}

/* Bytes of an invalid opcode that look like an instruction of AVX. */
TEST(an_invalid_opcode_that_goes_on)
{
	static const unsigned char invalid[] = { 0xf2, 0xf0, 0x0f, 0x78, 0x18, 0xc5, 0x56, 0x7a, 0x34, 0xe2, 0xcd, 0xb7, 0xc3 };
	unsigned char *pages = code_pages();

	memcpy(pages, invalid, sizeof(invalid));
	calls = 0;
	skipped_bytes = sizeof(invalid) - 1;
	((void (*)(void))pages)();
	CHECK_EQ(calls, 1);
	CHECK_EQ((unsigned char *)seen.si_addr, pages);
}

/* What user mode reads of the system's tables, as the kernel has it where the processor refuses that. */
TEST(system_registers)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} global = { 1, 1 }, interrupts = { 1, 1 };
	unsigned long word = 0, task = 0;

	/* Where the kernel does it, the upper half of a register stays. */
	__asm__ volatile("sgdt %0\n\tsidt %1\n\tsmsw %2\n\tstr %3" : "=m"(global), "=m"(interrupts), "+r"(word), "+r"(task));
	CHECK_EQ(global.limit == 0 || global.base > 1UL << 63, 1);
	CHECK(global.base >= 0xffff800000000000);
	CHECK(interrupts.base >= 0xffff800000000000);
	CHECK_EQ(word & 0x80050033, 0x80050033);
	CHECK_EQ(task, 0x40);
}

/* Bits of MXCSR that there aren't, and an invalid opcode's vector called as an interrupt. */
TEST(what_is_protected)
{
	static const unsigned char codes[][6] = { { 0xcd, 0x06, 0xc3 }, { 0xcd, 0x0d, 0xc3 }, { 0xcd, 0x81, 0xc3 }, { 0x0f, 0x35, 0xc3 } };
	static const int errors[] = { 6 * 8 + 2, 13 * 8 + 2, 0x81 * 8 + 2, 0 };
	unsigned reserved = 0x11f80, after;
	unsigned char *pages = code_pages();
	static __attribute__((aligned(16))) unsigned char area[512];

	handle_info(SIGSEGV, skip, 0);
	skipped_bytes = 2;
	for (int at = 0; at < 4; at++) {
		memcpy(pages, codes[at], 6);
		calls = 0;
		((void (*)(void))pages)();
		CHECK_EQ(calls, 1);
		CHECK_EQ(seen.si_code, SI_KERNEL);
		CHECK_EQ(trap, 13);
		CHECK_EQ(error, errors[at]);
		CHECK_EQ((unsigned char *)instruction - pages, 0);
	}
	skipped_bytes = 3;
	__asm__ volatile("ldmxcsr (%1)\n\tstmxcsr %0" : "=m"(after) : "a"(&reserved), "m"(reserved));
	CHECK_EQ(calls, 2);
	CHECK_EQ(trap, 13);
	CHECK_EQ(after, 0x1f80);
	__asm__ volatile("fxsave %0" : "+m"(area));
	memcpy(area + 24, &reserved, 4);
	__asm__ volatile("fxrstor (%1)\n\tstmxcsr %0" : "=m"(after) : "a"(area), "m"(area));
	CHECK_EQ(calls, 3);
	CHECK_EQ(trap, 13);
	CHECK_EQ(after, 0x1f80);
}

/* An address that none can have, in the stack's segment: what is pushed and popped, and what rsp and rbp point at. */
TEST(addresses_in_the_stack_s_segment)
{
	static const struct {
		unsigned char code[9];
		int length, is_stack;
	} cases[] = {
		{ { 0x48, 0x8b, 0x45, 0x00 }, 4, 1 },             /* mov (%rbp), %rax */
		{ { 0x48, 0x8b, 0x04, 0x24 }, 4, 1 },             /* mov (%rsp), %rax */
		{ { 0x50 }, 1, 1 },                               /* push %rax */
		{ { 0x58 }, 1, 1 },                               /* pop %rax */
		{ { 0x9c }, 1, 1 },                               /* pushf */
		{ { 0xc3 }, 1, 1 },                               /* ret */
		{ { 0xc9 }, 1, 1 },                               /* leave */
		{ { 0xff, 0x75, 0x08 }, 3, 1 },                   /* push 8(%rbp) */
		{ { 0x0f, 0x28, 0x45, 0x10 }, 4, 1 },             /* movaps 16(%rbp), %xmm0 */
		{ { 0x48, 0x8b, 0x44, 0xcd, 0x00 }, 5, 1 },       /* mov (%rbp, %rcx, 8), %rax */
		{ { 0x3e, 0x48, 0x8b, 0x45, 0x00 }, 5, 1 },       /* mov %ds:(%rbp), %rax */
		{ { 0xdd, 0x45, 0x00 }, 3, 1 },                   /* fldl (%rbp) */
		{ { 0x48, 0x8b, 0x04, 0x29 }, 4, 0 },             /* mov (%rcx, %rbp), %rax */
		{ { 0x49, 0x8b, 0x45, 0x00 }, 4, 0 },             /* mov (%r13), %rax */
		{ { 0x49, 0x8b, 0x04, 0x24 }, 4, 0 },             /* mov (%r12), %rax */
		{ { 0x48, 0x8b, 0x00 }, 3, 0 },                   /* mov (%rax), %rax */
		{ { 0x64, 0x48, 0x8b, 0x45, 0x00 }, 5, 0 },       /* mov %fs:(%rbp), %rax */
		{ { 0xf4 }, 1, 0 },                               /* hlt */
	};
	static char alternate[1 << 16];
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	unsigned char *pages = code_pages();

	CHECK_EQ(sigaltstack(&stack, NULL), 0);
	handle_info(SIGBUS, skip, SA_ONSTACK);
	handle_info(SIGSEGV, skip, SA_ONSTACK);
	for (unsigned at = 0; at < sizeof(cases) / sizeof(*cases); at++) {
		memset(pages, 0x90, 32);
		memcpy(pages, cases[at].code, cases[at].length);
		memcpy(pages + cases[at].length, (unsigned char[]){ 0xff, 0xe3 }, 2); /* jmp *%rbx */
		calls = 0;
		skipped_bytes = cases[at].length;
		__asm__ volatile("push %%rbp\n\tmov %%rsp, %%r15\n\tmov %0, %%rsp\n\tmov %0, %%rbp\n\tmov %0, %%r12\n\t"
				 "mov %0, %%r13\n\tlea 1f(%%rip), %%rbx\n\tjmp *%1\n\t1:\tmov %%r15, %%rsp\n\tpop %%rbp"
				 :
				 : "a"(1UL << 63), "d"(pages), "c"(0)
				 : "rbx", "r12", "r13", "r15", "memory", "cc", "st", "xmm0");
		CHECK_EQ(calls, 1);
		CHECK_EQ(seen.si_signo, cases[at].is_stack ? SIGBUS : SIGSEGV);
		CHECK_EQ(seen.si_code, SI_KERNEL);
		CHECK_EQ(trap, cases[at].is_stack ? 12 : 13);
		CHECK_EQ(error, 0);
	}
}
