/* Loops of single instructions of many kinds, each run for a time of the clock: `instructions KIND MICROSECONDS`.
 *
 * Prints how many there were and the nanoseconds that they took by the clock. `instructions` lists
 * the kinds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char memory[1 << 16] __attribute__((aligned(4096)));

static long nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

enum { TIMES = 100 };

/* The instructions TIMES times 64 times, with rdi at memory. */
#define REPEAT(name, prepare, instructions) \
	static void do_##name(void) \
	{ \
		char *at = memory, *to = memory + 32768; \
		__asm__ volatile(prepare "; mov %2, %%r12d; 7: .rept 64; " instructions "; .endr; sub $1, %%r12d; jnz 7b" \
				 : "+D"(at), "+S"(to) \
				 : "i"(TIMES) \
				 : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "xmm0", "xmm1", "xmm2", "cc", "memory"); \
	}

#define KINDS(X) \
	X(add, "", "add $1, %%rax") \
	X(imul, "mov $3, %%eax", "imul %%rax, %%rax") \
	X(mul128, "mov $3, %%eax", "mul %%rax") \
	X(div32, "mov $3, %%ecx", "mov $1000, %%eax; xor %%edx, %%edx; div %%ecx") \
	X(div64, "mov $3, %%ecx", "mov $1000, %%eax; xor %%edx, %%edx; div %%rcx") \
	X(div128, "mov $-1, %%rcx", "mov $-2, %%rdx; mov $-1, %%rax; div %%rcx") \
	X(idiv64, "mov $3, %%ecx", "mov $1000, %%eax; cqo; idiv %%rcx") \
	X(rcl, "mov $3, %%ecx", "rcl %%cl, %%rax") \
	X(bsf, "mov $64, %%ecx", "bsf %%rcx, %%rax") \
	X(popcnt, "mov $64, %%ecx", "popcnt %%rcx, %%rax") \
	X(crc32, "", "crc32q %%rcx, %%rax") \
	X(pushf, "", "pushf; popf") \
	X(load, "", "mov (%%rdi), %%rax") \
	X(store, "", "mov %%rax, (%%rdi)") \
	X(load_edge, "", "mov 4092(%%rdi), %%rax") \
	X(load_edge_32, "", "mov 4093(%%rdi), %%eax") \
	X(store_edge, "", "mov %%rax, 4092(%%rdi)") \
	X(store_edge_16, "", "mov %%ax, 4095(%%rdi)") \
	X(store_edge_sse, "", "movdqu %%xmm0, 4092(%%rdi)") \
	X(lock_add, "", "lock addq $1, (%%rdi)") \
	X(lock_cmpxchg, "", "lock cmpxchg %%rcx, (%%rdi)") \
	X(xchg, "", "xchg %%rcx, (%%rdi)") \
	X(cmpxchg16b, "", "lock cmpxchg16b (%%rdi)") \
	X(mfence, "", "mfence") \
	X(pause, "", "pause") \
	X(clflush, "", "clflush (%%rdi)") \
	X(cpuid, "", "xor %%eax, %%eax; cpuid") \
	X(cpuid_1, "", "mov $1, %%eax; cpuid") \
	X(cpuid_4, "", "mov $4, %%eax; xor %%ecx, %%ecx; cpuid") \
	X(lsl, "mov $0x33, %%eax", "lsl %%eax, %%ecx") \
	X(mov_ds, "xor %%eax, %%eax", "mov %%eax, %%es") \
	X(str, "", "sldt %%eax") \
	X(addsd, "xorps %%xmm0, %%xmm0; mov $3, %%eax; cvtsi2sd %%eax, %%xmm1", "addsd %%xmm1, %%xmm0") \
	X(mulsd, "mov $1, %%eax; cvtsi2sd %%eax, %%xmm1; movaps %%xmm1, %%xmm0", "mulsd %%xmm1, %%xmm0") \
	X(divsd, "mov $3, %%eax; cvtsi2sd %%eax, %%xmm1; movaps %%xmm1, %%xmm0", "divsd %%xmm1, %%xmm0") \
	X(divsd_denormal, "mov $1, %%eax; movq %%rax, %%xmm1", "movaps %%xmm1, %%xmm0; divsd %%xmm1, %%xmm0") \
	X(divpd, "mov $3, %%eax; cvtsi2sd %%eax, %%xmm1; movaps %%xmm1, %%xmm0", "divpd %%xmm1, %%xmm0") \
	X(divps, "mov $3, %%eax; cvtsi2ss %%eax, %%xmm1; shufps $0, %%xmm1, %%xmm1; movaps %%xmm1, %%xmm0", "divps %%xmm1, %%xmm0") \
	X(sqrtsd, "mov $3, %%eax; cvtsi2sd %%eax, %%xmm1", "sqrtsd %%xmm1, %%xmm0") \
	X(sqrtpd, "mov $3, %%eax; cvtsi2sd %%eax, %%xmm1; unpcklpd %%xmm1, %%xmm1", "sqrtpd %%xmm1, %%xmm0") \
	X(sqrtps, "mov $3, %%eax; cvtsi2ss %%eax, %%xmm1; shufps $0, %%xmm1, %%xmm1", "sqrtps %%xmm1, %%xmm0") \
	X(addps, "mov $3, %%eax; cvtsi2ss %%eax, %%xmm1; shufps $0, %%xmm1, %%xmm1", "addps %%xmm1, %%xmm0") \
	X(rcpps, "mov $3, %%eax; cvtsi2ss %%eax, %%xmm1; shufps $0, %%xmm1, %%xmm1", "rcpps %%xmm1, %%xmm0") \
	X(rsqrtps, "mov $3, %%eax; cvtsi2ss %%eax, %%xmm1; shufps $0, %%xmm1, %%xmm1", "rsqrtps %%xmm1, %%xmm0") \
	X(dpps, "mov $3, %%eax; cvtsi2ss %%eax, %%xmm1; shufps $0, %%xmm1, %%xmm1", "dpps $255, %%xmm1, %%xmm0") \
	X(cvtps2dq, "", "cvtps2dq %%xmm1, %%xmm0") \
	X(cvtsd2si, "", "cvtsd2si %%xmm1, %%rax") \
	X(cvtsi2sd, "", "cvtsi2sd %%rax, %%xmm0") \
	X(cvtpd2ps, "", "cvtpd2ps %%xmm1, %%xmm0") \
	X(ucomisd, "", "ucomisd %%xmm1, %%xmm0") \
	X(cmppd, "", "cmppd $1, %%xmm1, %%xmm0") \
	X(maxps, "", "maxps %%xmm1, %%xmm0") \
	X(roundpd, "", "roundpd $1, %%xmm1, %%xmm0") \
	X(pcmpestri, "mov $16, %%eax; mov $16, %%edx", "pcmpestri $0x0c, %%xmm1, %%xmm0") \
	X(pcmpistri, "pcmpeqd %%xmm1, %%xmm1; pcmpeqd %%xmm0, %%xmm0", "pcmpistri $0x0c, %%xmm1, %%xmm0") \
	X(pcmpistrm, "pcmpeqd %%xmm1, %%xmm1; pcmpeqd %%xmm0, %%xmm0", "pcmpistrm $0x40, %%xmm1, %%xmm0") \
	X(mpsadbw, "", "mpsadbw $0, %%xmm1, %%xmm0") \
	X(pshufb, "", "pshufb %%xmm1, %%xmm0") \
	X(paddb, "", "paddb %%xmm1, %%xmm0") \
	X(pmaddwd, "", "pmaddwd %%xmm1, %%xmm0") \
	X(psadbw, "", "psadbw %%xmm1, %%xmm0") \
	X(phaddsw, "", "phaddsw %%xmm1, %%xmm0") \
	X(packuswb, "", "packuswb %%xmm1, %%xmm0") \
	X(pcmpeqb, "", "pcmpeqb %%xmm1, %%xmm0; pmovmskb %%xmm0, %%eax") \
	X(pmulhrsw, "", "pmulhrsw %%xmm1, %%xmm0") \
	X(punpcklbw, "", "punpcklbw %%xmm1, %%xmm0") \
	X(pblendvb, "", "pblendvb %%xmm0, %%xmm1, %%xmm2") \
	X(phminposuw, "", "phminposuw %%xmm1, %%xmm0") \
	X(maskmovdqu, "pcmpeqd %%xmm1, %%xmm1", "maskmovdqu %%xmm1, %%xmm0") \
	X(ldmxcsr, "movl $0x1f80, (%%rdi)", "ldmxcsr (%%rdi)") \
	X(fld_pop, "fninit", "fld1; fstp %%st(0)") \
	X(fxch, "fninit; fld1; fldz", "fxch") \
	X(fadd, "fninit; fldpi; fld1", "fadd %%st(1), %%st") \
	X(fadd_memory, "fninit; fldpi; fstpl (%%rdi); fldz", "faddl (%%rdi)") \
	X(fadd_nan, "fninit; fldz; fldz; fdivrp; fldpi", "fadd %%st(1), %%st") \
	X(fadd_denormal, "fninit; movq $1, (%%rdi); movq $0, 8(%%rdi); fldt (%%rdi); fldt (%%rdi)", "fadd %%st(1), %%st") \
	X(fmul, "fninit; fldpi; fld1", "fmul %%st, %%st(1)") \
	X(fmul_denormal, "fninit; movq $1, (%%rdi); movq $0, 8(%%rdi); fldt (%%rdi); fld1", "fmul %%st(1), %%st") \
	X(fdiv, "fninit; fldpi; fld1", "fdiv %%st(1), %%st") \
	X(fdiv_denormal, "fninit; movq $1, (%%rdi); movq $0, 8(%%rdi); fldt (%%rdi); fldt (%%rdi)", "fdiv %%st, %%st(1)") \
	X(fsqrt, "fninit; fldpi", "fsqrt") \
	X(fsqrt_2, "fninit", "fldpi; fsqrt; fstp %%st(0)") \
	X(fcomi, "fninit; fldpi; fld1", "fcomi %%st(1), %%st") \
	X(fcom, "fninit; fldpi; fld1", "fcom %%st(1)") \
	X(fxam, "fninit; fldpi; fld1", "fxam") \
	X(fchs, "fninit; fldpi; fld1", "fchs") \
	X(frndint, "fninit; fldpi", "frndint") \
	X(fscale, "fninit; fld1; fldpi", "fscale") \
	X(fxtract, "fninit", "fldpi; fxtract; fstp %%st(0); fstp %%st(0)") \
	X(fildll, "fninit", "fildll (%%rdi); fstp %%st(0)") \
	X(fistpll, "fninit", "fldpi; fistpll (%%rdi)") \
	X(fldl, "fninit", "fldl (%%rdi); fstp %%st(0)") \
	X(fstpl, "fninit", "fldpi; fstpl (%%rdi)") \
	X(fldt, "fninit", "fldt (%%rdi); fstp %%st(0)") \
	X(fstpt, "fninit", "fldpi; fstpt (%%rdi)") \
	X(fbld, "fninit; movq $0, (%%rdi); movq $0, 8(%%rdi)", "fbld (%%rdi); fstp %%st(0)") \
	X(fbstp, "fninit", "fldpi; fbstp (%%rdi)") \
	X(fnstsw, "fninit", "fnstsw %%ax") \
	X(fldcw, "fninit; fnstcw (%%rdi)", "fldcw (%%rdi)") \
	X(fwait, "fninit", "fwait") \
	X(fninit, "", "fninit") \
	X(fnstenv, "fninit", "fnstenv (%%rdi)") \
	X(fldenv, "fninit; fnstenv (%%rdi)", "fldenv (%%rdi)") \
	X(fnsave, "fninit", "fnsave (%%rdi)") \
	X(frstor, "fninit; fnsave (%%rdi)", "frstor (%%rdi)") \
	X(fxsave, "fninit", "fxsave (%%rdi)") \
	X(fxrstor, "fninit; fxsave (%%rdi)", "fxrstor (%%rdi)") \
	X(emms, "fninit", "emms") \
	X(mmx, "fninit", "paddb %%mm0, %%mm1")

KINDS(REPEAT)

static void do_printf(void)
{
	static char text[64];
	static long double value = 1.25L;

	snprintf(text, sizeof(text), "%.20Lg", value);
	value *= 1.01L;
	if (value > 1e300L)
		value = 1;
}

static void do_mixed(void)
{
	volatile long double sum = 0;

	for (int n = 1; n < 64; n++)
		sum += (n * 7 & 15) / (long double)n;
}

static const struct kind {
	const char *name;
	void (*body)(void);
} kinds[] = {
#define ENTRY(name, prepare, instructions) {#name, do_##name},
	KINDS(ENTRY)
	{"printf_long_double", do_printf},
	{"mixed", do_mixed},
};

int main(int argc, char **argv)
{
	const struct kind *kind = NULL;
	long start, now, end, count = 0;

	for (size_t at = 0; at < sizeof(kinds) / sizeof(*kinds); at++) {
		if (argc == 1)
			puts(kinds[at].name);
		else if (strcmp(argv[1], kinds[at].name) == 0)
			kind = &kinds[at];
	}
	if (argc == 1)
		return 0;
	if (argc != 3 || kind == NULL)
		return 2;
	kind->body();
	now = start = nanoseconds();
	end = start + atol(argv[2]) * 1000;
	while (now < end) {
		kind->body();
		kind->body();
		count += 2 * TIMES * 64;
		now = nanoseconds();
	}
	printf("%ld %ld\n", count, now - start);
	return 0;
}
