/* Instructions that aren't just copied. What is printed is the same on Linux. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t words[8] = {0x1111, 0x2222, 0x3333, 0x4444};
/* With room for AMX, where the processor has that. */
static uint64_t area[2048] __attribute__((aligned(64)));
static sigjmp_buf back;
static volatile uint64_t seen;

static void handle(int signo, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	siglongjmp(back, signo);
}

static void use_gs(void)
{
	uint64_t a, b, index = 1;
	uint32_t c;

	syscall(SYS_arch_prctl, ARCH_SET_GS, words);
	__asm__ volatile("mov %%gs:8, %0" : "=r"(a));
	__asm__ volatile("mov %%gs:(,%1,8), %0" : "=r"(b) : "r"(index + 1));
	__asm__ volatile("addq $5, %%gs:24" ::: "memory");
	__asm__ volatile("movd %%gs:0, %%xmm3; movd %%xmm3, %0" : "=r"(c)::"xmm3");
	printf("gs %lx %lx %lx %x\n", a, b, words[3], c);
	/* gs vaddps %ymm1, %ymm3, %ymm8: no operand is at gs, and another byte is like its prefix. */
	__asm__ volatile("vcvtsi2ss %1, %%xmm3, %%xmm3; vcvtsi2ss %1, %%xmm1, %%xmm1\n\t"
			 ".byte 0x65, 0xc5, 0x64, 0x58, 0xc1; vcvttss2si %%xmm8, %0; vzeroupper"
			 : "=r"(c)
			 : "r"(5)
			 : "xmm1", "xmm3", "xmm8");
	printf("sum %u\n", c);
	words[4] = (uint64_t)&&called;
	__asm__ goto("jmp *%%gs:32" ::::called);
	printf("not here\n");
called:
	printf("jumped\n");
}

static void use_flags(void)
{
	uint64_t flags;

	__asm__ volatile("push $0x8d5; popf; pushf; pop %0" : "=r"(flags)::"cc");
	printf("flags %lx\n", flags & ~0x200UL);
	__asm__ volatile("std; pushf; pop %0; cld" : "=r"(flags)::"cc");
	printf("flags %lx\n", flags & 0x400);
	__asm__ volatile("sub $128, %%rsp; pushfq; orl $0x40000, (%%rsp); popfq; pushfq; pop %0; pushfq;"
			 "andl $~0x40000, (%%rsp); popfq; add $128, %%rsp"
			 : "=r"(flags)::"cc", "memory");
	printf("flags %lx\n", flags & 0x40000);
}

static void return_far(void)
{
	uint64_t a = 0, b = 0;

	__asm__ volatile("sub $128, %%rsp; mov %%rsp, %%rax; pushq $0x2b; push %%rax; pushfq; pushq $0x33;"
			 "lea 1f(%%rip), %%rax; push %%rax; iretq; 1: add $128, %%rsp; mov $7, %0"
			 : "=r"(a)::"rax", "memory", "cc");
	__asm__ volatile("sub $128, %%rsp; pushq $0x33; lea 1f(%%rip), %%rax; push %%rax; lretq;"
			 "1: add $128, %%rsp; mov $8, %0"
			 : "=r"(b)::"rax", "memory", "cc");
	printf("far %lu %lu\n", a, b);
}

static void tell_of_descriptors(void)
{
	uint8_t table[16] = {0};
	uint64_t word = 0, limit = 0;
	uint16_t half = 0;

	__asm__ volatile("sgdt %0" : "=m"(table));
	for (int at = 0; at < 10; at++)
		printf("%02x", table[at]);
	__asm__ volatile("sidt %0" : "=m"(table));
	for (int at = 0; at < 10; at++)
		printf("%02x", table[at]);
	__asm__ volatile("smsw %0" : "=r"(word));
	printf(" %lx", word);
	__asm__ volatile("str %0; " : "=m"(half));
	printf(" %x", half);
	__asm__ volatile("lsl %1, %0" : "=r"(limit) : "r"(0x33UL));
	printf(" %lx\n", limit);
}

static void save_state(void)
{
	double one = 1, three = 3, result;
	uint64_t flags = 0;

	memset(area, 0xaa, sizeof(area));
	__asm__ volatile("fldl %1; fdivl %2; fstpl %0" : "=m"(result) : "m"(one), "m"(three));
	memset(area + 64, 0, 64);
	__asm__ volatile("xsave64 %0" : "+m"(area) : "a"(0xffffffff), "d"(0xffffffff) : "memory");
	printf("%.17g %lx\n", result, area[64] & 7);
	__asm__ volatile("vpcmpeqd %%ymm5, %%ymm5, %%ymm5; xsave64 %0; vzeroall; xrstor64 %0; vmovmskps %%ymm5, %1"
			 : "+m"(area), "=r"(flags)
			 : "a"(0xee), "d"(0)
			 : "memory", "xmm5");
	printf("%lx\n", flags);
	__asm__ volatile("fxsave64 %0" : "+m"(area)::"memory");
	printf("%lx\n", area[0] & 0xffff);
}

static void raise_each(void)
{
	static const struct {
		const char *name;
		unsigned char code[8];
	} cases[] = {
		{"hlt", {0xf4}},
		{"ud2", {0x0f, 0x0b}},
		{"int3", {0xcc}},
		{"int 3", {0xcd, 3}},
		{"int 4", {0xcd, 4}},
		{"int1", {0xf1}},
		{"lock nop", {0xf0, 0x90}},
		{"into", {0xce}},
		{"mov cr0", {0x0f, 0x20, 0xc0}},
		{"in", {0xec}},
		{"wrmsr", {0x0f, 0x30}},
		{"cli", {0xfa}},
	};
	static unsigned char code[4096] __attribute__((aligned(4096)));
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER};

	for (int signo = 1; signo < 32; signo++)
		if (signo != SIGKILL && signo != SIGSTOP && signo != SIGALRM)
			sigaction(signo, &action, NULL);
	syscall(SYS_mprotect, code, 4096, 7);
	for (volatile size_t at = 0; at < sizeof(cases) / sizeof(*cases); at++) {
		int signo;

		memset(code, 0xc3, 16);
		memcpy(code, cases[at].code, 8);
		memset(code + 8, 0xc3, 8);
		signo = sigsetjmp(back, 1);
		if (signo == 0)
			((void (*)(void))code)();
		printf("%s %s\n", cases[at].name, strsignal(signo));
	}
	__asm__ volatile("" ::: "memory");
	if ((seen = sigsetjmp(back, 1)) == 0)
		__asm__ volatile("xor %%ecx, %%ecx; mov $1, %%eax; cltd; idiv %%ecx" ::: "eax", "ecx", "edx");
	printf("divide %lu\n", seen);
	if ((seen = sigsetjmp(back, 1)) == 0)
		__asm__ volatile("movaps 1(%%rsp), %%xmm0" ::: "xmm0");
	printf("movaps %lu\n", seen);
	if ((seen = sigsetjmp(back, 1)) == 0)
		__asm__ volatile("mov %0, %%rax; mov (%%rax), %%rax" ::"r"(0x8000000000000000) : "rax");
	printf("canonical %lu\n", seen);
}

int main(void)
{
	use_gs();
	use_flags();
	return_far();
	tell_of_descriptors();
	save_state();
	raise_each();
	return 0;
}
