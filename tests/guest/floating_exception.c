/* Floating-point exceptions: the flags that they leave, and the SIGFPE of those that aren't masked. */
#include "check.h"

#include <fenv.h>
#include <setjmp.h>
#include <ucontext.h>

static volatile double zero = 0, one = 1, three = 3, large = 1e308, tiny = 1e-308;
static volatile long double long_zero = 0, long_one = 1, long_three = 3, long_large = 1e4900L, long_tiny = 1e-4900L;
static volatile double result;
static volatile long double long_result;

/* What fenv(3) has, which isn't linked with every program. */

static __attribute__((noinline)) void clear_flags(void)
{
	unsigned mxcsr;

	__asm__ volatile("fnclex\n\tstmxcsr %0" : "=m"(mxcsr));
	mxcsr &= ~FE_ALL_EXCEPT;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static __attribute__((noinline)) int flags_set(void)
{
	unsigned mxcsr;
	unsigned short word;

	__asm__ volatile("fnstsw %0\n\tstmxcsr %1" : "=m"(word), "=m"(mxcsr));
	return (word | mxcsr) & FE_ALL_EXCEPT;
}

static __attribute__((noinline)) void unmask(int exceptions)
{
	unsigned mxcsr;
	unsigned short word;

	__asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(word), "=m"(mxcsr));
	word = (unsigned short)((word | FE_ALL_EXCEPT) & ~exceptions);
	mxcsr = (mxcsr | FE_ALL_EXCEPT << 7) & ~((unsigned)exceptions << 7);
	__asm__ volatile("fldcw %0\n\tldmxcsr %1" : : "m"(word), "m"(mxcsr));
}

static sigjmp_buf back;
static siginfo_t seen;
static volatile greg_t instruction, trap;
static volatile unsigned control, status;

static void catch(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	seen = *info;
	instruction = interrupted->uc_mcontext.gregs[REG_RIP];
	trap = interrupted->uc_mcontext.gregs[REG_TRAPNO];
	control = interrupted->uc_mcontext.fpregs->mxcsr;
	status = interrupted->uc_mcontext.fpregs->swd;
	siglongjmp(back, signal);
}

/* The code of the SIGFPE that `expression` raises when `enabled` exceptions aren't masked, or 0 for none. */
#define RAISES(enabled, expression) \
	({ \
		memset(&seen, 0, sizeof(seen)); \
		if (sigsetjmp(back, 1) == 0) { \
			unmask(enabled); \
			expression; \
			__asm__ volatile("fwait"); \
		} \
		clear_flags(); \
		unmask(0); \
		seen.si_signo == SIGFPE ? seen.si_code : 0; \
	})

/* The flags that `expression` sets. */
#define FLAGS(expression) \
	({ \
		clear_flags(); \
		expression; \
		flags_set(); \
	})

TEST(flags)
{
	CHECK_EQ(FLAGS(result = one + one), 0);
	CHECK_EQ(FLAGS(result = one / three), FE_INEXACT);
	CHECK_EQ(FLAGS(result = one / zero), FE_DIVBYZERO);
	CHECK_EQ(FLAGS(result = zero / zero), FE_INVALID);
	CHECK_EQ(FLAGS(result = large * large), FE_OVERFLOW | FE_INEXACT);
	CHECK_EQ(FLAGS(result = tiny * tiny), FE_UNDERFLOW | FE_INEXACT);
	CHECK_EQ(FLAGS(result = one + one), 0);
	CHECK_EQ(FLAGS((result = one / zero, result = one / three)), FE_DIVBYZERO | FE_INEXACT);
	CHECK_EQ(FLAGS(result = (int)large), FE_INVALID);
	CHECK_EQ(FLAGS(long_result = long_one + long_one), 0);
	CHECK_EQ(FLAGS(long_result = long_one / long_three), FE_INEXACT);
	CHECK_EQ(FLAGS(long_result = long_one / long_zero), FE_DIVBYZERO);
	CHECK_EQ(FLAGS(long_result = long_large * long_large), FE_OVERFLOW | FE_INEXACT);
	CHECK_EQ(FLAGS(long_result = long_tiny * long_tiny), FE_UNDERFLOW | FE_INEXACT);
	CHECK_EQ(FLAGS(long_result = long_one + long_one), 0);
	clear_flags();
	CHECK_EQ(flags_set(), 0);
}

TEST(flags_are_a_task_s_own)
{
	pid_t child;

	clear_flags();
	result = one / zero;
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(flags_set(), FE_DIVBYZERO);
		CHECK_EQ(FLAGS(result = zero / zero), FE_INVALID);
		sleep_ms(10);
		CHECK_EQ(flags_set(), FE_INVALID);
		_exit(0);
	}
	sleep_ms(5);
	CHECK_EQ(flags_set(), FE_DIVBYZERO);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(flags_set(), FE_DIVBYZERO);
}

TEST(unmasked_by_sse)
{
	handle_info(SIGFPE, catch, 0);
	CHECK_EQ(RAISES(FE_DIVBYZERO, result = one / zero), FPE_FLTDIV);
	CHECK_EQ((greg_t)seen.si_addr, instruction);
	CHECK_EQ(trap, 19);
	CHECK_EQ(control & 0x3f, FE_DIVBYZERO);
	CHECK_EQ(control & 0x1f80, 0x1d80);
	CHECK_EQ(RAISES(FE_INVALID, result = zero / zero), FPE_FLTINV);
	CHECK_EQ(RAISES(FE_OVERFLOW, result = large * large), FPE_FLTOVF);
	CHECK_EQ(RAISES(FE_UNDERFLOW, result = tiny * tiny), FPE_FLTUND);
	CHECK_EQ(RAISES(FE_INEXACT, result = one / three), FPE_FLTRES);
	CHECK_EQ(RAISES(FE_INVALID, result = (int)large), FPE_FLTINV);
	CHECK_EQ(RAISES(FE_DIVBYZERO, result = zero / zero), 0);
	CHECK_EQ(RAISES(FE_ALL_EXCEPT & ~FE_INEXACT, result = one / three), 0);
	CHECK_EQ(RAISES(FE_ALL_EXCEPT, result = one + one), 0);
}

TEST(unmasked_on_x87)
{
	handle_info(SIGFPE, catch, 0);
	CHECK_EQ(RAISES(FE_DIVBYZERO, long_result = long_one / long_zero), FPE_FLTDIV);
	CHECK_EQ((greg_t)seen.si_addr, instruction);
	CHECK_EQ(trap, 16);
	CHECK_EQ(status & 0xbf, 0x80 | FE_DIVBYZERO);
	CHECK_EQ(RAISES(FE_INVALID, long_result = long_zero / long_zero), FPE_FLTINV);
	CHECK_EQ(RAISES(FE_OVERFLOW, long_result = long_large * long_large), FPE_FLTOVF);
	CHECK_EQ(RAISES(FE_UNDERFLOW, long_result = long_tiny * long_tiny), FPE_FLTUND);
	CHECK_EQ(RAISES(FE_INEXACT, long_result = long_one / long_three), FPE_FLTRES);
	CHECK_EQ(RAISES(FE_ALL_EXCEPT & ~FE_INEXACT, long_result = long_one / long_three), 0);
	CHECK_EQ(RAISES(FE_ALL_EXCEPT, long_result = long_one + long_one), 0);
}

static volatile long divided_at, told_at;

/* An exception on the x87 is told by the next of its instructions that waits. */
TEST(x87_tells_later)
{
	volatile unsigned short word = 0x37b, masked = 0x37f, after = 0;

	handle_info(SIGFPE, catch, 0);
	memset(&seen, 0, sizeof(seen));
	if (sigsetjmp(back, 1) == 0) {
		__asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %0\n\tlea 2f(%%rip), %%rax\n\tmov %%rax, %1\n\t"
				 "fldcw %3\n\tjmp 3f\n\t3:\tfld1\n\tfldz\n\t1:\tfdivrp\n\tfnstsw %2\n\tnop\n\tnop\n\t"
				 "2:\tfstp %%st(0)\n\tfldcw %4"
				 : "=m"(divided_at), "=m"(told_at), "=m"(after) : "m"(word), "m"(masked) : "rax");
	}
	CHECK_EQ(seen.si_code, FPE_FLTDIV);
	CHECK_EQ(instruction, told_at);
	CHECK(instruction != divided_at);
	CHECK_EQ(after & 0x84, 0x84);
}

static void mask_and_go_on(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)signal;
	seen = *info;
	interrupted->uc_mcontext.fpregs->mxcsr |= 0x1f80;
}

TEST(the_instruction_is_done_again)
{
	double quotient = one, divisor = zero;
	long steps = 0;

	handle_info(SIGFPE, mask_and_go_on, 0);
	unmask(FE_DIVBYZERO);
	__asm__ volatile("inc %1\n\tdivsd %2, %0\n\tinc %1" : "+x"(quotient), "+r"(steps) : "x"(divisor) : "cc");
	CHECK_EQ(seen.si_code, FPE_FLTDIV);
	CHECK_EQ(steps, 2);
	CHECK(quotient > 1e308);
	CHECK_EQ(flags_set(), FE_DIVBYZERO);
}

static void divide_unmasked(void)
{
	unmask(FE_DIVBYZERO);
	result = one / zero;
}

TEST(without_a_handler)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		divide_unmasked();
		_exit(0);
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGFPE);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle(SIGFPE, SIG_IGN, 0);
		divide_unmasked();
		_exit(0);
	}
	CHECK_EQ(WTERMSIG(wait_for(child)), SIGFPE);
}

static volatile int beats;

static void beat(int signal)
{
	(void)signal;
	/* A handler starts with everything masked. */
	result = one / zero;
	beats++;
}

TEST(many_switches_while_unmasked)
{
	struct itimerval often = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
	volatile double sum = 0;
	volatile long rounds = 0;
	volatile pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		for (;;)
			result = one / zero;
	}
	handle(SIGALRM, beat, 0);
	handle_info(SIGFPE, catch, 0);
	MUST(setitimer(ITIMER_REAL, &often, NULL));
	if (sigsetjmp(back, 1) == 0) {
		unmask(FE_DIVBYZERO | FE_INVALID);
		while (beats < 5) {
			sum = sum * 0.75 + one / three;
			rounds++;
		}
		sum += one / zero;
		rounds = -1;
	}
	unmask(0);
	MUST(setitimer(ITIMER_REAL, &off, NULL));
	CHECK(beats >= 5);
	CHECK(rounds != -1);
	CHECK_EQ(seen.si_code, FPE_FLTDIV);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

/* What feholdexcept(3) does: the environment is stored as it was, and nothing is unmasked or waits afterwards. */
TEST(storing_the_environment_masks)
{
	uint32_t environment[7];
	unsigned short before, after, word;
	double quotient;

	unmask(FE_DIVBYZERO);
	__asm__ volatile("fldl %4\n\tfdivl %5\n\tfnstenv %0\n\tfnstcw %1\n\tfnstsw %2\n\tfwait\n\tfstpl %3"
			 : "=m"(environment), "=m"(word), "=m"(after), "=m"(quotient)
			 : "m"(one), "m"(zero));
	before = (unsigned short)environment[1];
	CHECK_EQ(environment[0] & FE_ALL_EXCEPT, FE_ALL_EXCEPT & ~FE_DIVBYZERO);
	CHECK_EQ(before & 0x8084, 0x8084);
	CHECK_EQ(word & 0x3f, 0x3f);
	CHECK_EQ(after & 0x8084, 4);

	clear_flags();
	unmask(FE_DIVBYZERO | FE_INVALID);
	__asm__ volatile("fnstenv %0\n\tfldenv %0\n\tfnstcw %1" : "+m"(environment), "=m"(word));
	CHECK_EQ(word & FE_ALL_EXCEPT, FE_ALL_EXCEPT & ~(FE_DIVBYZERO | FE_INVALID));
	unmask(0);
}

/* Where it can't be stored all is as before. */
TEST(an_environment_without_a_place)
{
	struct sigaction action = {.sa_sigaction = catch, .sa_flags = SA_SIGINFO | SA_NODEFER};
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static volatile uint16_t masked;
	static char *volatile place;

	CHECK(pages != MAP_FAILED);
	CHECK_EQ(mprotect(pages + 4096, 4096, PROT_READ), 0);
	CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
	for (int at = 0; at < 2; at++) {
		place = pages + 4096 - 16 * at;
		seen.si_addr = NULL;
		if (!sigsetjmp(back, 1)) {
			unmask(FE_DIVBYZERO);
			__asm__ volatile("fnstenv (%0)" : : "r"(place) : "memory");
			CHECK(!"stored");
		}
		__asm__ volatile("fnstcw %0" : "=m"(masked));
		CHECK_EQ(((char *)seen.si_addr - pages) & ~4095, 4096);
		unmask(0);
	}
	CHECK_EQ(mprotect(pages + 4096, 4096, PROT_READ | PROT_WRITE), 0);
	unmask(FE_DIVBYZERO);
	__asm__ volatile("fnstenv (%0)" : : "r"(place) : "memory");
	CHECK_EQ(*(uint16_t *)place & FE_ALL_EXCEPT, FE_ALL_EXCEPT & ~FE_DIVBYZERO);
}

/* An exception that occurred while it was masked waits for the next instruction of the x87 once it's unmasked. */
TEST(unmasked_afterwards)
{
	volatile unsigned short word = 0x37b, masked = 0x37f, before, after = 0;

	handle_info(SIGFPE, catch, 0);
	for (int at = 0; at < 3; at++) {
		memset(&seen, 0, sizeof(seen));
		clear_flags();
		long_result = long_one / long_zero;
		if (sigsetjmp(back, 1) == 0) {
			__asm__ volatile("fnstsw %0\n\tfldcw %2\n\tfnstsw %1\n\tnop\n\tfwait\n\tfldcw %3"
					 : "=m"(before), "=m"(after) : "m"(word), "m"(masked));
			CHECK(!"waited for");
		}
		CHECK_EQ(before & 0x8084, 4);
		CHECK_EQ(after & 0x8084, 0x8084);
		CHECK_EQ(seen.si_code, FPE_FLTDIV);
		unmask(0);
	}
	clear_flags();
	unmask(FE_DIVBYZERO);
	long_result = long_one + long_one;
	__asm__ volatile("fwait");
	unmask(0);
}

#define X87_DENORMAL 2

/* What the x87 had and did when `code` ran with `exceptions` unmasked, all in the block of code that unmasks them. */
#define RUN_UNMASKED(exceptions, code) \
	({ \
		unsigned short word_ = (unsigned short)(0x37f & ~(exceptions)), masked_ = 0x37f; \
		memset(&seen, 0, sizeof(seen)); \
		if (sigsetjmp(back, 1) == 0) \
			__asm__ volatile("fninit\n\tfldcw %[word]\n\t" code "\n\tlea 2f(%%rip), %%rax\n\tmov %%rax, %[told]\n\t" \
					 "fnstsw %[after]\n\t2:\tfwait\n\tfldcw %[masked]" \
					 : [told] "=m"(told_at), [after] "=m"(after), [stored] "+m"(stored) \
					 : [word] "m"(word_), [masked] "m"(masked_), [one] "m"(one), [zero] "m"(long_zero), \
					   [denormal] "m"(denormal), [large] "m"(long_large), [tiny] "m"(long_tiny), [nan] "m"(nan) \
					 : "rax", "memory", "cc"); \
		__asm__ volatile("fninit"); \
		seen.si_signo == SIGFPE ? seen.si_code : 0; \
	})

/* The top of the stack in a status. */
#define TOP(word) ((word) >> 11 & 7)

TEST(what_raises_on_the_x87_leaves_its_operands)
{
	static volatile unsigned short after;
	static volatile union {
		unsigned char bytes[10];
		double number;
		float single;
		short integer;
	} stored;
	static volatile double denormal = 4e-320;
	static volatile float nan;
	uint32_t signalling = 0x7f800001;

	memcpy((void *)&nan, &signalling, sizeof(nan));
	handle_info(SIGFPE, catch, 0);
	/* Neither computed nor popped. */
	CHECK_EQ(RUN_UNMASKED(FE_DIVBYZERO, "fld1\n\tfldz\n\tfdivrp"), FPE_FLTDIV);
	CHECK_EQ(instruction, told_at);
	CHECK_EQ((greg_t)seen.si_addr, told_at);
	CHECK_EQ(trap, 16);
	CHECK_EQ(TOP(after), 6);
	CHECK_EQ(after & 0x80ff, 0x8084);
	CHECK_EQ(status & 0x80ff, 0x8084);
	/* A result that is too large for a register is there, scaled, and its operand popped. */
	CHECK_EQ(RUN_UNMASKED(FE_OVERFLOW, "fldt %[large]\n\tfld %%st(0)\n\tfmulp"), FPE_FLTOVF);
	CHECK_EQ(TOP(after), 7);
	CHECK_EQ(RUN_UNMASKED(FE_UNDERFLOW, "fldt %[tiny]\n\tfld %%st(0)\n\tfmulp"), FPE_FLTUND);
	CHECK_EQ(TOP(after), 7);
	/* One that is too large for memory isn't stored. */
	stored.number = 5;
	CHECK_EQ(RUN_UNMASKED(FE_OVERFLOW, "fldt %[large]\n\tfstpl %[stored]"), FPE_FLTOVF);
	CHECK_EQ(TOP(after), 7);
	CHECK_EQ(stored.number, 5);
	CHECK_EQ(RUN_UNMASKED(FE_INEXACT, "fldpi\n\tfstpl %[stored]"), FPE_FLTRES);
	CHECK_EQ(TOP(after), 0);
	CHECK(stored.number > 3.14 && stored.number < 3.15);
	/* Nor is an integer of what is none, nor its decimal digits. */
	stored.integer = 7;
	CHECK_EQ(RUN_UNMASKED(FE_INVALID, "fldt %[large]\n\tfistps %[stored]"), FPE_FLTINV);
	CHECK_EQ(TOP(after), 7);
	CHECK_EQ(stored.integer, 7);
	CHECK_EQ(RUN_UNMASKED(FE_INVALID, "fldt %[large]\n\tfbstp %[stored]"), FPE_FLTINV);
	CHECK_EQ(TOP(after), 7);
	CHECK_EQ(stored.integer, 7);
	/* A number that is none isn't loaded, a denormal one is. */
	CHECK_EQ(RUN_UNMASKED(FE_INVALID, "flds %[nan]"), FPE_FLTINV);
	CHECK_EQ(TOP(after), 0);
	CHECK_EQ(RUN_UNMASKED(X87_DENORMAL, "fldl %[denormal]"), FPE_FLTUND);
	CHECK_EQ(TOP(after), 7);
	CHECK_EQ(RUN_UNMASKED(X87_DENORMAL, "fld1\n\tfaddl %[denormal]\n\tfnop"), FPE_FLTUND);
	CHECK_EQ(status & 0x80ff, 0x8082);
	CHECK_EQ(RUN_UNMASKED(X87_DENORMAL, "fld1\n\tfaddl %[one]\n\tfnop"), 0);
	/* A fault of the stack. */
	CHECK_EQ(RUN_UNMASKED(FE_INVALID, "fstpl %[stored]"), FPE_FLTINV);
	CHECK_EQ(TOP(after), 0);
	CHECK_EQ(after & 0x82ff, 0x80c1);
	CHECK_EQ(RUN_UNMASKED(FE_INVALID, "fld1\n\tfxch"), FPE_FLTINV);
	CHECK_EQ(TOP(after), 7);
	CHECK_EQ(RUN_UNMASKED(FE_INVALID, "fld1\n\tfcomip %%st(1), %%st"), FPE_FLTINV);
	CHECK_EQ(TOP(after), 7);
	CHECK_EQ(RUN_UNMASKED(FE_INVALID, "fld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfldpi"),
		 FPE_FLTINV);
	CHECK_EQ(TOP(after), 0);
	CHECK_EQ(after & 0x82ff, 0x82c1);
}

/* Those that don't wait pass what is pending by, and an invalid opcode is told of before it. */
TEST(what_does_not_wait)
{
	static volatile unsigned short after;
	static volatile long stored;
	static volatile double denormal;
	static volatile float nan;

	handle_info(SIGFPE, catch, 0);
	handle_info(SIGILL, catch, 0);
	CHECK_EQ(RUN_UNMASKED(FE_DIVBYZERO, "fld1\n\tfldz\n\tfdivrp\n\tfnclex"), 0);
	CHECK_EQ(after & 0x80ff, 0);
	CHECK_EQ(RUN_UNMASKED(FE_DIVBYZERO, "fld1\n\tfldz\n\tfdivrp\n\tfninit"), 0);
	CHECK_EQ(RUN_UNMASKED(FE_DIVBYZERO, "fld1\n\tfldz\n\tfdivrp\n\tfnstcw %[stored]"), FPE_FLTDIV);
	CHECK_EQ(stored & 0xffff, 0x37b);
	CHECK_EQ(RUN_UNMASKED(FE_DIVBYZERO, "fld1\n\tfldz\n\tfdivrp\n\t.byte 0xdb, 0xe0\n\t.byte 0xdb, 0xe4"), FPE_FLTDIV);
	CHECK_EQ(instruction, told_at);
	RUN_UNMASKED(FE_DIVBYZERO, "fld1\n\tfldz\n\tfdivrp\n\t.byte 0xd9, 0xd1");
	CHECK_EQ(seen.si_signo, SIGILL);
	CHECK_EQ(seen.si_code, ILL_ILLOPN);
}

/* MXCSR's too: unmasked in the block that raises. */
TEST(unmasked_by_sse_in_one_block)
{
	unsigned word = 0x1f80 & ~(FE_DIVBYZERO << 7), masked = 0x1f80;
	double number = one;

	handle_info(SIGFPE, catch, 0);
	memset(&seen, 0, sizeof(seen));
	if (sigsetjmp(back, 1) == 0)
		__asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %0\n\tldmxcsr %2\n\t1:\tdivsd %3, %1\n\tldmxcsr %4"
				 : "=m"(told_at), "+x"(number) : "m"(word), "m"(zero), "m"(masked) : "rax");
	__asm__ volatile("ldmxcsr %0" : : "m"(masked));
	CHECK_EQ(seen.si_code, FPE_FLTDIV);
	CHECK_EQ((greg_t)seen.si_addr, told_at);
	CHECK_EQ(instruction, told_at);
	CHECK(number == one);
}

/* What isn't to be had as 18 decimal digits is the indefinite number. */
TEST(decimal_digits_of_what_is_too_large)
{
	static const unsigned char indefinite[10] = {[7] = 0xc0, 0xff, 0xff};
	static volatile long double numbers[] = {1e18L, -1e30L, 1e4900L, 999999999999999999.0L, -999999999999999999.6L};
	unsigned char digits[10];
	unsigned short word;

	for (int at = 0; at < 5; at++) {
		__asm__ volatile("fninit\n\tfldt %2\n\tfbstp %0\n\tfnstsw %1" : "=m"(digits), "=m"(word) : "m"(numbers[at]));
		CHECK_EQ(TOP(word), 0);
		CHECK_EQ(word & 0x7f, at == 3 ? 0 : FE_INVALID);
		CHECK_EQ(memcmp(digits, indefinite, 10) == 0, at != 3);
	}
	CHECK_EQ(digits[0], 0);
}

/* The flags that `expression` sets with `mode` in MXCSR. */
#define FLAGS_IN(mode, expression) \
	({ \
		unsigned word_ = 0x1f80 | (mode), usual_ = 0x1f80, raised_; \
		__asm__ volatile("ldmxcsr %0" : : "m"(word_)); \
		expression; \
		__asm__ volatile("jmp 1f\n\t1:\tstmxcsr %0\n\tldmxcsr %1" : "=m"(raised_) : "m"(usual_)); \
		raised_ & FE_ALL_EXCEPT; \
	})

/* Tiny results become zero (FZ), and denormal operands are taken for it (DAZ). */
TEST(zero_for_what_is_tiny)
{
	static volatile double least = 2.2250738585072014e-308, half = 0.5, denormal = 4e-310, answer;
	static volatile float small = 1e-38f, quarter = 0.25f, short_answer;

	CHECK_EQ(FLAGS_IN(0, answer = least * half), 0);
	CHECK(answer > 0);
	CHECK_EQ(FLAGS_IN(0x8000, answer = least * half), FE_UNDERFLOW | FE_INEXACT);
	CHECK(answer == 0);
	CHECK_EQ(FLAGS_IN(0x8000, answer = -least * half), FE_UNDERFLOW | FE_INEXACT);
	CHECK(answer == 0 && __builtin_signbit(answer));
	CHECK_EQ(FLAGS_IN(0x8000, short_answer = small * quarter), FE_UNDERFLOW | FE_INEXACT);
	CHECK(short_answer == 0);
	CHECK_EQ(FLAGS_IN(0x8000, answer = least + least), 0);
	CHECK(answer > least);
	CHECK_EQ(FLAGS_IN(0x40, answer = denormal + denormal), 0);
	CHECK(answer == 0);
	CHECK_EQ(FLAGS_IN(0, answer = denormal + denormal), 0);
	CHECK(answer > 0);
	/* Another task's is its own. */
	if (fork() == 0) {
		CHECK_EQ(FLAGS_IN(0x8000, (sleep_ms(5), answer = least * half)), FE_UNDERFLOW | FE_INEXACT);
		_exit(answer == 0 ? 0 : 1);
	}
	for (int at = 0; at < 3; at++) {
		sleep_ms(2);
		answer = least * half;
		CHECK(answer > 0);
	}
	CHECK_EQ(wait_for(-1), EXITED(0));
}

/* What an operation raises shows in the next instruction. */
TEST(flags_of_sse_at_once)
{
	static const double smallest = 4.9e-324, third = 1.0 / 3, nothing = 0, most = 1.7e308;
	static const float small = 1e-40f;
	unsigned mxcsr, usual = 0x1f80;

#define SHOWS(expected, operation, ...) \
	__asm__ volatile("ldmxcsr %1\n\t" operation "\n\tstmxcsr %0" : "=m"(mxcsr) : "m"(usual), __VA_ARGS__ : "xmm0", "rax"); \
	CHECK_EQ(mxcsr & 0x3f, expected)

	SHOWS(0, "movsd %2, %%xmm0\n\taddsd %2, %%xmm0", "m"(third));
	SHOWS(0x20, "movsd %2, %%xmm0\n\tmulsd %2, %%xmm0", "m"(third));
	SHOWS(0x22, "movsd %2, %%xmm0\n\taddsd %3, %%xmm0", "m"(smallest), "m"(third));
	SHOWS(0x02, "movss %2, %%xmm0\n\taddss %2, %%xmm0", "m"(small));
	SHOWS(0x02, "cvtss2sd %2, %%xmm0", "m"(small));
	SHOWS(0x02, "movsd %2, %%xmm0\n\tucomisd %3, %%xmm0", "m"(third), "m"(smallest));
	SHOWS(0x02, "movsd %2, %%xmm0\n\tmaxsd %3, %%xmm0", "m"(third), "m"(smallest));
	SHOWS(0x02, "movsd %2, %%xmm0\n\tcmpltsd %3, %%xmm0", "m"(third), "m"(smallest));
	SHOWS(0x20, "cvttsd2si %2, %%eax", "m"(smallest));
	SHOWS(0x04, "movsd %2, %%xmm0\n\tdivsd %3, %%xmm0", "m"(third), "m"(nothing));
	SHOWS(0x01, "movsd %2, %%xmm0\n\tdivsd %2, %%xmm0", "m"(nothing));
	SHOWS(0x28, "movsd %2, %%xmm0\n\tmulsd %2, %%xmm0", "m"(most));
	SHOWS(0x32, "movsd %2, %%xmm0\n\tmulsd %3, %%xmm0", "m"(smallest), "m"(third));
	usual = 0x1fc0;
	SHOWS(0, "movsd %2, %%xmm0\n\taddsd %3, %%xmm0", "m"(smallest), "m"(third));
	usual = 0x1f80;
	__asm__ volatile("ldmxcsr %0" : : "m"(usual));
#undef SHOWS
}

/* Nothing is stored, and the instruction is where the handler finds it. */
TEST(denormal_operands_of_sse)
{
	static const double smallest = 4.9e-324;
	unsigned unmasked = 0x1e80, usual = 0x1f80;
	static double held;

	handle_info(SIGFPE, catch, 0);
	if (sigsetjmp(back, 1) == 0)
		__asm__ volatile("ldmxcsr %1\n\tmovsd %3, %%xmm0\n\taddsd %2, %%xmm0\n\tmovsd %%xmm0, %0"
				 : "=m"(held) : "m"(unmasked), "m"(smallest), "m"(one) : "xmm0");
	__asm__ volatile("ldmxcsr %0" : : "m"(usual));
	CHECK_EQ(seen.si_signo, SIGFPE);
	CHECK_EQ(seen.si_code, FPE_FLTUND);
	CHECK_EQ(trap, 19);
	CHECK_EQ(control, 0x1e82);
	CHECK_EQ(((unsigned char *)instruction)[1], 0x0f);
	CHECK_EQ(((unsigned char *)instruction)[2], 0x58);
	CHECK(held == 0);
}
