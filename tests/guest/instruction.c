/* Instructions that a processor refuses, and at which address it does. */
#include "fault.h"
#include "processor_make.h"

#include <asm/prctl.h>
#include <string.h>
#include <ucontext.h>

#define CODE_BYTES 8192

static struct outcome {
	int signal, code;
	greg_t trap, error, place, stack, r11;
	void *address;
} seen;
static unsigned char *pages;
static sigjmp_buf way_out;
static unsigned char alternate[65536];

static void note(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	seen = (struct outcome){signal, info->si_code, registers[REG_TRAPNO], registers[REG_ERR],
				registers[REG_RIP] - (greg_t)pages, registers[REG_RSP], registers[REG_R11], info->si_addr};
	siglongjmp(way_out, 1);
}

static void prepare(void)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};

	pages = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pages != MAP_FAILED);
	CHECK_EQ(sigaltstack(&stack, NULL), 0);
	handle_info(SIGSEGV, note, SA_ONSTACK);
	handle_info(SIGILL, note, SA_ONSTACK);
	handle_info(SIGBUS, note, SA_ONSTACK);
}

/* Executes an instruction at `place` of the pages, with the address in rdi and rsi; 0 or the signal. */
static int execute(const unsigned char *code, size_t length, int place, void *operand)
{
	memset(pages, 0x90, CODE_BYTES);
	memcpy(pages + place, code, length);
	pages[place + (int)length] = 0xc3;
	seen = (struct outcome){0};
	if (sigsetjmp(way_out, 1) == 0)
		((void (*)(void *, void *))(pages + place))(operand, operand);
	return seen.signal;
}

static const int places[] = {0, 1, 4070, 4085, 4090, 4091, 4092, 4093, 4094, 4095, 4096};

/* Vector operands in memory, all at (%rdi), and whether they have to be at a multiple of 16. */
TEST(operands_that_must_be_aligned)
{
	static const struct {
		unsigned char code[8];
		unsigned length;
		int is_aligned;
	} cases[] = {
		{{0x0f, 0x28, 0x07}, 3, 1},                   /* movaps (%rdi), %xmm0 */
		{{0x0f, 0x29, 0x07}, 3, 1},                   /* movaps %xmm0, (%rdi) */
		{{0x66, 0x0f, 0x28, 0x07}, 4, 1},             /* movapd */
		{{0x66, 0x0f, 0x6f, 0x07}, 4, 1},             /* movdqa */
		{{0x66, 0x44, 0x0f, 0x7f, 0x07}, 5, 1},       /* movdqa %xmm8, (%rdi) */
		{{0x0f, 0x2b, 0x07}, 3, 1},                   /* movntps */
		{{0x66, 0x0f, 0xe7, 0x07}, 4, 1},             /* movntdq */
		{{0x66, 0x0f, 0x38, 0x2a, 0x07}, 5, 1},       /* movntdqa */
		{{0x0f, 0x58, 0x07}, 3, 1},                   /* addps */
		{{0x66, 0x0f, 0x59, 0x07}, 4, 1},             /* mulpd */
		{{0x0f, 0x53, 0x07}, 3, 1},                   /* rcpps */
		{{0x0f, 0x54, 0x07}, 3, 1},                   /* andps */
		{{0x0f, 0xc2, 0x07, 0x00}, 4, 1},             /* cmpeqps */
		{{0x66, 0x0f, 0xc6, 0x07, 0x01}, 5, 1},       /* shufpd */
		{{0x66, 0x0f, 0xef, 0x07}, 4, 1},             /* pxor */
		{{0x66, 0x0f, 0x60, 0x07}, 4, 1},             /* punpcklbw */
		{{0x66, 0x0f, 0x70, 0x07, 0x1b}, 5, 1},       /* pshufd */
		{{0xf2, 0x0f, 0x70, 0x07, 0x1b}, 5, 1},       /* pshuflw */
		{{0xf3, 0x0f, 0x16, 0x07}, 4, 1},             /* movshdup */
		{{0xf2, 0x0f, 0x7c, 0x07}, 4, 1},             /* haddps */
		{{0x0f, 0x5b, 0x07}, 3, 1},                   /* cvtdq2ps */
		{{0x66, 0x0f, 0x5a, 0x07}, 4, 1},             /* cvtpd2ps */
		{{0xf2, 0x0f, 0xe6, 0x07}, 4, 1},             /* cvtpd2dq */
		{{0x66, 0x0f, 0x38, 0x00, 0x07}, 5, 1},       /* pshufb */
		{{0x66, 0x0f, 0x38, 0x17, 0x07}, 5, 1},       /* ptest */
		{{0x66, 0x0f, 0x38, 0x37, 0x07}, 5, 1},       /* pcmpgtq */
		{{0x66, 0x0f, 0x3a, 0x0f, 0x07, 0x03}, 6, 1}, /* palignr */
		{{0x66, 0x0f, 0x3a, 0x08, 0x07, 0x00}, 6, 1}, /* roundps */
		{{0x0f, 0x10, 0x07}, 3, 0},                   /* movups */
		{{0x0f, 0x11, 0x07}, 3, 0},                   /* movups %xmm0, (%rdi) */
		{{0xf3, 0x0f, 0x6f, 0x07}, 4, 0},             /* movdqu */
		{{0xf2, 0x0f, 0xf0, 0x07}, 4, 0},             /* lddqu */
		{{0xf3, 0x0f, 0x58, 0x07}, 4, 0},             /* addss */
		{{0xf2, 0x0f, 0x58, 0x07}, 4, 0},             /* addsd */
		{{0x0f, 0x12, 0x07}, 3, 0},                   /* movlps */
		{{0x0f, 0x5a, 0x07}, 3, 0},                   /* cvtps2pd */
		{{0xf3, 0x0f, 0xe6, 0x07}, 4, 0},             /* cvtdq2pd */
		{{0xf2, 0x0f, 0x12, 0x07}, 4, 0},             /* movddup */
		{{0x66, 0x0f, 0x2e, 0x07}, 4, 0},             /* ucomisd */
		{{0x66, 0x0f, 0xd6, 0x07}, 4, 0},             /* movq %xmm0, (%rdi) */
		{{0x66, 0x0f, 0x38, 0x30, 0x07}, 5, 0},       /* pmovzxbw */
		{{0x66, 0x0f, 0x3a, 0x63, 0x07, 0x00}, 6, 0}, /* pcmpistri */
		{{0x66, 0x0f, 0x3a, 0x0a, 0x07, 0x00}, 6, 0}, /* roundss */
	};
	unsigned char *memory = (unsigned char *)map_pages(2), held[32];

	prepare();
	for (unsigned at = 0; at < LENGTH(cases); at++) {
		CHECK_EQ(execute(cases[at].code, cases[at].length, 0, memory + 64), 0);
		for (int offset = 1; offset < 16; offset += 7) {
			int signal = execute(cases[at].code, cases[at].length, 0, memory + 64 + offset);

			CHECK_EQ(signal, cases[at].is_aligned ? SIGSEGV : 0);
			CHECK_EQ(seen.code, signal ? SI_KERNEL : 0);
			CHECK(seen.address == NULL);
			CHECK_EQ(seen.trap, signal ? 13 : 0);
			CHECK_EQ(seen.place, 0);
		}
		/* Where both are wrong, the address comes before the page. */
		if (cases[at].is_aligned) {
			CHECK_EQ(execute(cases[at].code, cases[at].length, 0, (void *)0x11008), SIGSEGV);
			CHECK_EQ(seen.code, SI_KERNEL);
			CHECK_EQ(execute(cases[at].code, cases[at].length, 0, (void *)0x11010), SIGSEGV);
			CHECK_EQ(seen.code, SEGV_MAPERR);
		}
	}
	/* Nothing is stored, and where the instruction stands makes no difference. */
	memset(memory, 0x5a, 64);
	memset(held, 0x5a, sizeof(held));
	for (unsigned at = 0; at < LENGTH(places); at++) {
		CHECK_EQ(execute(cases[4].code, cases[4].length, places[at], memory + 8), SIGSEGV);
		CHECK_EQ(seen.place, places[at]);
	}
	CHECK_EQ(memcmp(memory, held, sizeof(held)), 0);
}

/* A lock prefix is for what reads and writes memory, of some instructions. */
TEST(a_lock_where_none_can_be)
{
	static const struct {
		unsigned char code[8];
		unsigned length;
		int is_fine;
	} cases[] = {
		{{0xf0, 0x01, 0xc0}, 3, 0},                   /* lock add %eax, %eax */
		{{0xf0, 0x03, 0x07}, 3, 0},                   /* lock add (%rdi), %eax */
		{{0xf0, 0x39, 0x07}, 3, 0},                   /* lock cmp %eax, (%rdi) */
		{{0xf0, 0x80, 0x3f, 0x00}, 4, 0},             /* lock cmpb $0, (%rdi) */
		{{0xf0, 0x83, 0xc0, 0x01}, 4, 0},             /* lock add $1, %eax */
		{{0xf0, 0x89, 0x07}, 3, 0},                   /* lock mov %eax, (%rdi) */
		{{0xf0, 0x90}, 2, 0},                         /* lock nop */
		{{0xf0, 0xc3}, 2, 0},                         /* lock ret */
		{{0xf0, 0xd9, 0xe8}, 3, 0},                   /* lock fld1 */
		{{0xf0, 0xf7, 0xd8}, 3, 0},                   /* lock neg %eax */
		{{0xf0, 0xf6, 0x07, 0x01}, 4, 0},             /* lock testb $1, (%rdi) */
		{{0xf0, 0xf7, 0x27}, 3, 0},                   /* lock mull (%rdi) */
		{{0xf0, 0xff, 0x37}, 3, 0},                   /* lock push (%rdi) */
		{{0xf0, 0xc1, 0x27, 0x01}, 4, 0},             /* lock shll $1, (%rdi) */
		{{0xf0, 0x87, 0xc0}, 3, 0},                   /* lock xchg %eax, %eax */
		{{0xf0, 0xa4}, 2, 0},                         /* lock movsb */
		{{0xf0, 0xa8, 0x00}, 3, 0},                   /* lock test $0, %al */
		{{0xf0, 0x0f, 0xa3, 0x07}, 4, 0},             /* lock bt %eax, (%rdi) */
		{{0xf0, 0x0f, 0xba, 0x27, 0x01}, 5, 0},       /* lock btl $1, (%rdi) */
		{{0xf0, 0x0f, 0xc1, 0xc0}, 4, 0},             /* lock xadd %eax, %eax */
		{{0xf0, 0x0f, 0xb1, 0xc0}, 4, 0},             /* lock cmpxchg %eax, %eax */
		{{0xf0, 0x0f, 0x58, 0xc0}, 4, 0},             /* lock addps %xmm0, %xmm0 */
		{{0xf0, 0x0f, 0x05}, 3, 0},                   /* lock syscall */
		{{0xf0, 0x0f, 0xa2}, 3, 0},                   /* lock cpuid */
		{{0xf0, 0x0f, 0x33}, 3, 0},                   /* lock rdpmc */
		{{0xf0, 0x0f, 0xae, 0xe8}, 4, 0},             /* lock lfence */
		{{0xf0, 0x66, 0x0f, 0x38, 0x00, 0x07}, 6, 0}, /* lock pshufb (%rdi), %xmm0 */
		{{0xf0, 0x66, 0x0f, 0x3a, 0x0f, 0x07, 0}, 7, 0},
		{{0x66, 0x2e, 0xf0, 0x48, 0x01, 0xc0}, 6, 0}, /* lock add %rax, %rax, with needless ones */
		{{0xf0, 0x0f, 0xff, 0xc0}, 4, 0},             /* lock ud0 */
		{{0xf0, 0x01, 0x07}, 3, 1},                   /* lock add %eax, (%rdi) */
		{{0xf0, 0x30, 0x07}, 3, 1},                   /* lock xor %al, (%rdi) */
		{{0xf0, 0x83, 0x07, 0x01}, 4, 1},             /* lock addl $1, (%rdi) */
		{{0xf0, 0x48, 0xf7, 0x17}, 4, 1},             /* lock notq (%rdi) */
		{{0xf0, 0xff, 0x07}, 3, 1},                   /* lock incl (%rdi) */
		{{0xf0, 0x87, 0x07}, 3, 1},                   /* lock xchg %eax, (%rdi) */
		{{0xf0, 0x0f, 0xc1, 0x07}, 4, 1},             /* lock xadd %eax, (%rdi) */
		{{0xf0, 0x0f, 0xb1, 0x07}, 4, 1},             /* lock cmpxchg %eax, (%rdi) */
		{{0xf0, 0x0f, 0xba, 0x2f, 0x01}, 5, 1},       /* lock btsl $1, (%rdi) */
		{{0xf0, 0x0f, 0xc7, 0x0f}, 4, 1},             /* lock cmpxchg8b (%rdi) */
	};
	unsigned char *memory = (unsigned char *)map_pages(1);

	prepare();
	for (unsigned at = 0; at < LENGTH(cases); at++) {
		for (unsigned place = 0; place < LENGTH(places); place += cases[at].is_fine ? 5 : 1) {
			int signal = execute(cases[at].code, cases[at].length, places[place], memory);

			CHECK_EQ(signal, cases[at].is_fine ? 0 : SIGILL);
			CHECK_EQ(seen.code, signal ? ILL_ILLOPN : 0);
			CHECK_EQ(seen.place, signal ? places[place] : 0);
			CHECK_EQ(seen.trap, signal ? 6 : 0);
		}
	}
}

/* Code that can't be executed isn't touched by the refusal. */
TEST(a_lock_in_data)
{
	static const unsigned char lock[] = {0xf0, 0x0f, 0xab, 0xc0};
	unsigned char *data = (unsigned char *)map_pages(1);

	prepare();
	memcpy(data, lock, sizeof(lock));
	for (int round = 0; round < 3; round++) {
		seen = (struct outcome){0};
		if (sigsetjmp(way_out, 1) == 0)
			((void (*)(void))(uintptr_t)data)();
		CHECK_EQ(seen.signal, SIGSEGV);
		CHECK_EQ(seen.code, SEGV_ACCERR);
		CHECK(seen.address == data);
		CHECK_EQ(memcmp(data, lock, sizeof(lock)), 0);
	}
}

/* Counters that only the kernel lets programs read. */
TEST(performance_counters)
{
	static const unsigned char read_counter[] = {0x0f, 0x33};

	prepare();
	for (unsigned at = 0; at < LENGTH(places); at++) {
		CHECK_EQ(execute(read_counter, sizeof(read_counter), places[at], NULL), SIGSEGV);
		CHECK_EQ(seen.code, SI_KERNEL);
		CHECK_EQ(seen.trap, 13);
		CHECK_EQ(seen.place, places[at]);
	}
}

/* Executes an indirect branch with `target` in rax and r9, at rbx, at 8(%r12) and on the stack; rsp's change. */
static greg_t leap(const unsigned char *code, size_t length, uint64_t target)
{
	static uint64_t stack[64], operands[2];
	uint64_t *top = stack + 32;

	memset(pages, 0x90, CODE_BYTES);
	memcpy(pages + 5, code, length);
	memset(stack, 0, sizeof(stack));
	*top = operands[1] = target;
	seen = (struct outcome){0};
	if (sigsetjmp(way_out, 1) == 0)
		__asm__ volatile("mov %0, %%rax\n\tmov %0, %%r9\n\tmov %1, %%rbx\n\tmov %2, %%r12\n\tmov $-2, %%rdx\n\t"
				 "mov %1, %%rsp\n\tjmp *%3"
				 : : "r"(target), "r"(top), "r"(operands), "r"(pages)
				 : "rax", "rbx", "rdx", "r9", "r12", "memory");
	return seen.stack - (greg_t)top;
}

/* Where nothing can be, the branch itself faults; where nothing is, that is its target's. */
TEST(branches_to_nowhere)
{
	static const struct {
		unsigned char code[8];
		unsigned length;
		int moves;
	} cases[] = {
		{{0xff, 0xd0}, 2, -8},                   /* call *%rax */
		{{0x41, 0xff, 0xd1}, 3, -8},             /* call *%r9 */
		{{0xff, 0x13}, 2, -8},                   /* call *(%rbx) */
		{{0xff, 0x14, 0x24}, 3, -8},             /* call *(%rsp) */
		{{0x41, 0xff, 0x54, 0x24, 0x08}, 5, -8}, /* call *8(%r12) */
		{{0xff, 0x54, 0x53, 0x04}, 4, -8},       /* call *4(%rbx, %rdx, 2) */
		{{0xff, 0xe0}, 2, 0},                    /* jmp *%rax */
		{{0x3e, 0xff, 0xe0}, 3, 0},              /* notrack jmp *%rax */
		{{0xff, 0x23}, 2, 0},                    /* jmp *(%rbx) */
		{{0x41, 0xff, 0x64, 0x24, 0x08}, 5, 0},  /* jmp *8(%r12) */
		{{0xc3}, 1, 8},                          /* ret */
		{{0xf3, 0xc3}, 2, 8},                    /* rep ret */
		{{0xc2, 0x10, 0x00}, 3, 24},             /* ret $16 */
	};
	static const uint64_t impossible[] = {0x800000000000, 1UL << 63, 0x1234567812345678, 0xffff7fffffffffff};
	static const uint64_t absent[] = {0x1000, 0x7ffffffff000, 0xffffffff80000000};

	prepare();
	for (unsigned at = 0; at < LENGTH(cases); at++) {
		for (unsigned which = 0; which < LENGTH(impossible); which++) {
			CHECK_EQ(leap(cases[at].code, cases[at].length, impossible[which]), 0);
			CHECK_EQ(seen.signal, SIGSEGV);
			CHECK_EQ(seen.code, SI_KERNEL);
			CHECK(seen.address == NULL);
			CHECK_EQ(seen.trap, 13);
			CHECK_EQ(seen.error, 0);
			CHECK_EQ(seen.place, 5);
		}
		for (unsigned which = 0; which < LENGTH(absent); which++) {
			CHECK_EQ(leap(cases[at].code, cases[at].length, absent[which]), cases[at].moves);
			CHECK_EQ(seen.signal, SIGSEGV);
			CHECK_EQ(seen.code, SEGV_MAPERR);
			CHECK_EQ((uint64_t)seen.address, absent[which]);
			CHECK_EQ((uint64_t)(seen.place + (greg_t)pages), absent[which]);
		}
	}
}

/* What is told of the descriptors that Linux has for programs, and that there are no others. */
TEST(descriptors)
{
	static const struct {
		unsigned selector, rights;
		int is_writable;
	} cases[] = {{0x23, 0xcffb00, 0}, {0x2b, 0xcff300, 1}, {0x33, 0xaffb00, 0}, {0x7b, 0x40f500, 0}};
	static const unsigned short none[] = {0, 3, 0x0b, 0x13, 0x1b, 0x3b, 0x43, 0x53, 0x73, 0x83, 0x37, 0xffff};

	for (unsigned at = 0; at < LENGTH(cases); at++) {
		for (int privilege = 0; privilege < 4; privilege += 3) {
			unsigned short selector = (unsigned short)((cases[at].selector & ~3U) | (unsigned)privilege);
			unsigned long rights = 1, limit = 1;
			unsigned char told[4];

			__asm__ volatile("lar %k2, %k0\n\tsetz %1" : "+r"(rights), "=q"(told[0]) : "r"(selector));
			__asm__ volatile("lsl %k2, %k0\n\tsetz %1" : "+r"(limit), "=q"(told[1]) : "r"(selector));
			__asm__ volatile("verr %1\n\tsetz %0" : "=q"(told[2]) : "m"(selector));
			__asm__ volatile("verw %1\n\tsetz %0" : "=q"(told[3]) : "r"(selector));
			CHECK_EQ(told[0] + told[1] + told[2], 3);
			CHECK_EQ(told[3], cases[at].is_writable);
			CHECK_EQ(rights, cases[at].rights);
			/* The last one's is the processor's number, and its node's. */
			CHECK(cases[at].selector == 0x7b ? limit < 0xfffff : limit == 0xffffffff);
		}
	}
	for (unsigned at = 0; at < LENGTH(none); at++) {
		unsigned long rights = 0x1234567812345678, limit = rights;
		unsigned char told[4];

		__asm__ volatile("lar %k2, %k0\n\tsetz %1" : "+r"(rights), "=q"(told[0]) : "r"(none[at]));
		__asm__ volatile("lsl %k2, %k0\n\tsetz %1" : "+r"(limit), "=q"(told[1]) : "r"(none[at]));
		__asm__ volatile("verr %1\n\tsetz %0" : "=q"(told[2]) : "r"(none[at]));
		__asm__ volatile("verw %1\n\tsetz %0" : "=q"(told[3]) : "r"(none[at]));
		CHECK_EQ(told[0] + told[1] + told[2] + told[3], 0);
		CHECK_EQ(rights, 0x1234567812345678);
		CHECK_EQ(limit, 0x1234567812345678);
	}
}

/* What reads at gs by rsi, al or an address of its own; what is written to rdi lies elsewhere. */
TEST(strings_at_gs)
{
	static char there[64] = "abcdefghijklmnop", copy[32];
	unsigned long first, second, count;
	unsigned char equal;

	MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, there));
	first = 2, second = (unsigned long)copy, count = 5;
	__asm__ volatile("rep movsb %%gs:(%%rsi), %%es:(%%rdi)" : "+S"(first), "+D"(second), "+c"(count) :: "memory");
	CHECK_EQ(first, 7);
	CHECK_EQ(second, (unsigned long)copy + 5);
	CHECK_EQ(count, 0);
	CHECK_EQ(memcmp(copy, "cdefg", 6), 0);
	first = 1;
	__asm__ volatile("xor %%eax, %%eax\n\tlodsb %%gs:(%%rsi), %%al" : "+S"(first), "=&a"(count));
	CHECK_EQ(count, 'b');
	first = 2, second = (unsigned long)copy, count = 9;
	__asm__ volatile("repe cmpsb %%es:(%%rdi), %%gs:(%%rsi)\n\tsete %3"
			 : "+S"(first), "+D"(second), "+c"(count), "=q"(equal) :: "cc", "memory");
	CHECK_EQ(equal, 0);
	CHECK_EQ(count, 3);
	CHECK_EQ(first, 8);
	first = 6, second = (unsigned long)copy + 16, count = 2;
	__asm__ volatile("std\n\trep movsw %%gs:(%%rsi), %%es:(%%rdi)\n\tcld"
			 : "+S"(first), "+D"(second), "+c"(count) :: "memory");
	CHECK_EQ(memcmp(copy + 14, "efgh", 4), 0);
	CHECK_EQ(first, 2);
	__asm__ volatile("mov $3, %%eax\n\txor %%ebx, %%ebx\n\txlat %%gs:(%%rbx)" : "=&a"(count) :: "rbx");
	CHECK_EQ(count, 'd');
	__asm__ volatile("movabs %%gs:1, %%rax" : "=a"(count));
	CHECK_EQ(count, 0x6968676665646362);
	/* gs nop, and gs behind a REX prefix, which doesn't count then: mov %ah, %al */
	__asm__ volatile("mov $0x1122, %%eax\n\t.byte 0x65, 0x90, 0x48, 0x65, 0x88, 0xe0" : "=a"(count));
	CHECK_EQ(count, 0x1111);
}

/* What isn't there, of what is read to go elsewhere. */
TEST(far_operands_that_are_not_there)
{
	static const struct {
		unsigned char code[4];
		unsigned length;
	} cases[] = {{{0x48, 0xff, 0x2f}, 3}, {{0x0f, 0xb2, 0x07}, 3}, {{0x8e, 0x1f}, 2}, {{0xff, 0x1f}, 2}};

	prepare();
	for (unsigned at = 0; at < LENGTH(cases); at++) {
		CHECK_EQ(execute(cases[at].code, cases[at].length, 3, (void *)0x11000), SIGSEGV);
		CHECK_EQ(seen.code, SEGV_MAPERR);
		CHECK_EQ((uint64_t)seen.address, 0x11000);
		CHECK_EQ(seen.trap, 14);
		CHECK_EQ(seen.error, 4);
		CHECK_EQ(seen.place, 3);
	}
	/* lretq and iretq */
	for (int is_interrupt = 0; is_interrupt < 2; is_interrupt++) {
		seen = (struct outcome){0};
		memset(pages, 0x90, 64);
		memcpy(pages, is_interrupt ? "\x48\xcf" : "\x48\xcb", 2);
		if (sigsetjmp(way_out, 1) == 0)
			__asm__ volatile("mov %0, %%rsp\n\tjmp *%1" : : "r"(0x11000UL), "r"(pages) : "memory");
		CHECK_EQ(seen.signal, SIGSEGV);
		CHECK_EQ(seen.code, SEGV_MAPERR);
		CHECK_EQ((uint64_t)seen.address & ~0x1fUL, 0x11000);
		CHECK_EQ(seen.error, 4);
		CHECK_EQ(seen.place, 0);
	}
}

/* The flags are the result's. */
TEST(a_locked_negation)
{
	static const unsigned char numbers[] = {0, 1, 0x7f, 0x80, 0x81, 0xff, 0x10};
	/* lock negb (%rdi); lahf; seto %al; ret, with a needless prefix in front */
	static const unsigned char negation[] = {0x2e, 0xf0, 0xf6, 0x1f, 0x9f, 0x0f, 0x90, 0xc0, 0xc3};
	unsigned char number, locked, plain, overflow;

	prepare();
	for (unsigned place = 0; place < LENGTH(places); place++) {
		for (unsigned at = 0; at < LENGTH(numbers); at++) {
			int flags;

			memset(pages, 0x90, CODE_BYTES);
			memcpy(pages + places[place], negation, sizeof(negation));
			number = numbers[at];
			flags = ((int (*)(void *))(pages + places[place]))(&number);
			CHECK_EQ(number, (unsigned char)-numbers[at]);
			locked = (unsigned char)(flags >> 8);
			number = numbers[at];
			__asm__ volatile("negb %2\n\tlahf\n\tmov %%ah, %0\n\tseto %1"
					 : "=q"(plain), "=q"(overflow), "+m"(number) :: "rax", "cc");
			CHECK_EQ(locked, plain);
			CHECK_EQ(flags & 0xff, overflow);
		}
		CHECK_EQ(pages[places[place] + 1], 0xf0);
	}
}

/* What is rare, with a prefix that is rare with it: fs, gs, a short address and a short operand. */
TEST(prefixes_of_states)
{
	static const unsigned char short_environment[] = {0x66, 0xd9, 0x37}, short_address[] = {0x67, 0xd9, 0x37};
	static const struct {
		unsigned char code[4];
		unsigned length, bytes;
	} cases[] = {
		{{0x0f, 0xae, 0x07}, 3, 8},   /* fxsave (%rdi) */
		{{0xd9, 0x37}, 2, 12},        /* fnstenv (%rdi) */
		{{0xdd, 0x37}, 2, 12},        /* fnsave (%rdi) */
		{{0x0f, 0xae, 0x1f}, 3, 4},   /* stmxcsr (%rdi) */
		{{0xd9, 0x3f}, 2, 2},         /* fnstcw (%rdi) */
	};
	unsigned char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	unsigned long base;

	prepare();
	CHECK(memory != MAP_FAILED);
	MUST(syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
	MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x40));
	for (unsigned at = 0; at < LENGTH(cases); at++) {
		for (int segment = 0; segment < 2; segment++) {
			unsigned char code[6] = {(unsigned char)(0x64 + segment)};

			memcpy(code + 1, cases[at].code, cases[at].length);
			memset(memory, 0xaa, 4096);
			__asm__ volatile("fninit; fldpi");
			CHECK_EQ(execute(cases[at].code, cases[at].length, 4090, memory), 0);
			__asm__ volatile("fninit; fldpi");
			CHECK_EQ(execute(code, cases[at].length + 1, 4090, memory + 1024 - (segment ? 0x40 : base)), 0);
			CHECK_EQ(memcmp(memory, memory + 1024, cases[at].bytes), 0);
			CHECK_EQ(memory[1024 + 520], 0xaa);
		}
	}
	memset(memory, 0xaa, 4096);
	__asm__ volatile("fninit");
	CHECK_EQ(execute(short_environment, sizeof(short_environment), 0, memory), 0);
	CHECK_EQ(*(uint16_t *)(memory + 4), 0xffff);
	CHECK_EQ(*(uint32_t *)(memory + 14), 0xaaaaaaaa);
	__asm__ volatile("fninit");
	CHECK_EQ(execute(short_address, sizeof(short_address), 0, (void *)((uintptr_t)memory | 1UL << 40)), 0);
	CHECK_EQ(*(uint16_t *)memory, 0x37f);
	CHECK_EQ(*(uint32_t *)(memory + 28), 0xaaaaaaaa);
}

/* maskmovq and maskmovdqu at gs, and an indirect jump there to where nothing is. */
TEST(accesses_at_gs)
{
	static const unsigned char jump[] = {0x65, 0xff, 0x27};
	static const unsigned char bytes[16] = "0123456789abcdef", mask[16] = {0x80, 0, 0xff, [8] = 0x80, [15] = 0x80};
	static unsigned char there[64];
	unsigned long kept = 0x1234567812345678;

	MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, there));
	__asm__ volatile("movdqu %0, %%xmm0\n\tmovdqu %1, %%xmm1\n\tmov $8, %%edi\n\t.byte 0x65\n\tmaskmovdqu %%xmm1, %%xmm0"
			 : : "m"(bytes), "m"(mask) : "rdi", "xmm0", "xmm1", "memory");
	CHECK_EQ(memcmp(there + 8, "0\0" "2\0\0\0\0\0" "8\0\0\0\0\0\0f", 16), 0);
	__asm__ volatile("movq %0, %%mm0\n\tmovq %1, %%mm1\n\tmov $40, %%edi\n\t.byte 0x65\n\tmaskmovq %%mm1, %%mm0\n\temms"
			 : : "m"(bytes), "m"(mask) : "rdi", "memory");
	CHECK_EQ(memcmp(there + 40, "0\0" "2\0\0\0\0\0", 8), 0);
	*(uint64_t *)(there + 48) = 0x1111111122222222;
	kept = 0x22222222;
	__asm__ volatile("mov $0x11111111, %%edx\n\tmov $0x33333333, %%ebx\n\tmov $0x44444444, %%ecx\n\tmov $48, %%esi\n\t"
			 ".byte 0x65\n\tcmpxchg8b (%%rsi)"
			 : "+a"(kept) :: "rbx", "rcx", "rdx", "rsi", "memory", "cc");
	CHECK_EQ(*(uint64_t *)(there + 48), 0x4444444433333333);
	CHECK_EQ(kept, 0x22222222);
	kept = 0x1234567812345678;
	prepare();
	MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x40));
	memcpy(pages, jump, sizeof(jump));
	if (sigsetjmp(way_out, 1) == 0)
		__asm__ volatile("mov %0, %%r11\n\tmov $0x11000, %%edi\n\tjmp *%1" : : "r"(kept), "r"(pages) : "r11", "rdi");
	CHECK_EQ(seen.signal, SIGSEGV);
	CHECK_EQ((uint64_t)seen.address, 0x11040);
	CHECK_EQ(seen.place, 0);
	CHECK_EQ((uint64_t)seen.r11, kept);
}

/* Control registers that there are need privilege, others aren't even instructions. */
TEST(numbers_of_system_registers)
{
	for (unsigned number = 0; number < 16; number++) {
		unsigned char code[] = {number & 8 ? 0x4c : 0x48, 0x0f, 0x20, (unsigned char)(0xc0 | (number & 7) << 3)};
		int is_there = number == 0 || number == 8 || (number >= 2 && number <= 4);

		prepare();
		for (int is_write = 0; is_write < 2; is_write++) {
			code[2] = (unsigned char)(0x20 | is_write << 1);
			CHECK_EQ(execute(code, sizeof(code), 7, NULL), is_there ? SIGSEGV : SIGILL);
			CHECK_EQ(seen.trap, is_there ? 13 : 6);
			if (number < 8)
				continue;
			code[2]++;
			CHECK_EQ(execute(code, sizeof(code), 7, NULL), SIGILL);
		}
	}
}

/* What has no operand that a prefix could change isn't changed by one. */
TEST(needless_prefixes)
{
	unsigned long result, behind, expected, flags;

	__asm__ volatile("lea 1f(%%rip), %2\n\t.byte 0x48, 0x0f, 0x05\n1:" : "=a"(result), "=&c"(behind), "=&r"(expected)
			 : "0"(SYS_getpid) : "r11", "memory");
	CHECK_EQ(result, (unsigned long)getpid());
	CHECK_EQ(behind, expected);
	__asm__ volatile("mov $0xd5aa, %%eax\n\t.byte 0x4c, 0x9e\n\tmov $0, %%eax\n\t.byte 0x47, 0x9f" : "=&a"(flags) :: "cc");
	CHECK_EQ(flags, 0xd700);
	/* A processor of AMD's takes 66 in front of a branch for a short address. */
	if (!is_of_amd()) {
		__asm__ volatile("xor %%eax, %%eax\n\t.byte 0x66, 0x74, 0\n\t.byte 0x66, 0xeb, 0\n\t.byte 0x66, 0x0f, 0x84, 0, 0, 0, 0\n\t"
				 ".byte 0x66, 0xe9, 0, 0, 0, 0\n\tlea -128(%%rsp), %%rsp\n\t.byte 0x66, 0xe8, 0, 0, 0, 0\n1:\tpop %0\n\t"
				 "lea 2f(%%rip), %%rax\n\tpush %%rax\n\t.byte 0x66, 0xc3\n2:\tlea 128(%%rsp), %%rsp\n\tlea 1b(%%rip), %1"
				 : "=&r"(behind), "=&r"(expected) :: "rax", "cc", "memory");
		CHECK_EQ(behind, expected);
	}
}

/* Ports are out of reach before anything is written, and what iretd finds may say virtual-8086 mode. */
TEST(nothing_happens_first)
{
	static const unsigned char string[] = {0xf3, 0x6c}, word[] = {0x66, 0x6d}, mask[] = {0x0f, 0xe7, 0xc0};
	static unsigned frame[8] = {0x12345, 0, 0x20002, 0, 0, 0, 0, 0};
	unsigned char *memory = (unsigned char *)map_pages(1);

	prepare();
	CHECK_EQ(execute(string, sizeof(string), 0, memory), SIGSEGV);
	CHECK_EQ(seen.trap, 13);
	CHECK_EQ(execute(word, sizeof(word), 0, (void *)0x11000), SIGSEGV);
	CHECK_EQ(seen.trap, 13);
	CHECK_EQ(memory[0], 0);
	CHECK_EQ(execute(mask, sizeof(mask), 0, memory), SIGILL);
	memset(pages, 0x90, 64);
	pages[0] = 0xcf;
	seen = (struct outcome){0};
	if (sigsetjmp(way_out, 1) == 0)
		__asm__ volatile("mov %0, %%rsp\n\tjmp *%1" : : "r"(frame), "r"(pages) : "memory");
	CHECK_EQ(seen.signal, SIGSEGV);
	CHECK_EQ(seen.trap, 13);
	CHECK_EQ(seen.place, 0);
	CHECK_EQ(seen.stack, (greg_t)frame);
}
