/* XSAVE's state in signal frames and for tracers, as far as the processor that is found has it. */
#include "check.h"

#include <cpuid.h>
#include <elf.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <ucontext.h>

#define FXSAVE_BYTES 512
#define XSAVE_HEADER_BYTES 64
#define SOFTWARE 464
#define AVX_OFFSET 576
#define MAGIC1 0x46505853u
#define MAGIC2 0x46505845u
#define FP_XSTATE 1
#define X87_SSE_AVX 7

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

struct software {
	uint32_t magic1, extended_size;
	uint64_t components;
	uint32_t state_size;
};

static volatile int seen_software, seen_magic2, seen_flag, seen_fresh;
static volatile uint32_t seen_size, frame_bytes;
static volatile uint64_t seen_components;
static int wanted;
enum { NOTHING, CHANGE_UPPER, NO_MAGIC, RESERVED, NO_AVX, NO_STATE };

/* XSAVE is there and the system uses it (OSXSAVE). */
static int has_xsave(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && c & (1u << 27);
}

static int has_avx(void)
{
	unsigned low, high;

	if (!has_xsave())
		return 0;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (low & X87_SSE_AVX) == X87_SSE_AVX;
}

/* How large the area is of all components that the system uses, which is what a tracer is given. */
static unsigned most_area_bytes(void)
{
	unsigned a, b, c, d;

	__cpuid_count(13, 0, a, b, c, d);
	return b;
}

/* How large the standard form is of an area with these components. A frame has fewer of them than the processor,
 * where some must be asked for first (AMX: arch_prctl(ARCH_REQ_XCOMP_PERM)). */
static unsigned area_bytes(uint64_t components)
{
	unsigned size, offset, c, d, end = FXSAVE_BYTES + XSAVE_HEADER_BYTES;

	for (unsigned number = 2; number < 63; number++) {
		if (!(components >> number & 1))
			continue;
		__cpuid_count(13, number, size, offset, c, d);
		if (offset + size > end)
			end = offset + size;
	}
	return end;
}

static void handler(int signal, siginfo_t *info, void *context)
{
	ucontext_t *frame = context;
	unsigned char *area = (unsigned char *)frame->uc_mcontext.fpregs;
	struct software software;
	uint32_t magic2 = 0;
	uint64_t bits;

	(void)signal;
	(void)info;
	memcpy(&software, area + SOFTWARE, sizeof(software));
	seen_flag = !!(frame->uc_flags & FP_XSTATE);
	seen_software = software.magic1 == MAGIC1;
	if (seen_software) {
		seen_size = software.state_size;
		seen_components = software.components;
		memcpy(&magic2, area + software.state_size, sizeof(magic2));
		seen_magic2 = magic2 == MAGIC2 && software.extended_size == software.state_size + 4;
		frame_bytes = area + software.extended_size - (unsigned char *)frame + 8;
	} else {
		frame_bytes = area + FXSAVE_BYTES - (unsigned char *)frame + 8;
	}
	if (has_avx()) {
		uint64_t upper[4];

		__asm__ volatile(".byte 0xc5,0xfc,0x11,0x08" : : "a"(upper) : "memory"); /* vmovups [rax], ymm1 */
		seen_fresh = !(upper[2] | upper[3]);
		__asm__ volatile(".byte 0xc5,0xf4,0xc2,0xc9,0x0f" ::: "xmm1"); /* vcmptrueps ymm1, ymm1, ymm1 */
		if (wanted == CHANGE_UPPER)
			memset(area + AVX_OFFSET + 16, 0x5A, 16);
		memcpy(&bits, area + FXSAVE_BYTES, sizeof(bits));
		if (wanted == NO_AVX)
			bits &= ~4ull;
		if (wanted == RESERVED)
			bits |= 1ull << 62;
		memcpy(area + FXSAVE_BYTES, &bits, sizeof(bits));
		if (wanted == NO_MAGIC)
			memset(area + SOFTWARE, 0, sizeof(software));
		if (wanted == NO_STATE)
			frame->uc_mcontext.fpregs = NULL;
	}
}

static unsigned char ymm_before[32], ymm_after[32];

/* What every byte of the upper half of ymm1 is, which was 0x33, after a signal in whose frame the handler did
 * `what`; -1 if they differ. Without AVX it's what would be. */
static int upper_after(int what, int otherwise)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	long result, self = getpid();
	register unsigned char *into __asm__("r8");

	wanted = what;
	sigaction(SIGUSR1, &action, NULL);
	memset(ymm_before, 0x22, 16);
	memset(ymm_before + 16, 0x33, 16);
	if (!has_avx()) {
		kill(getpid(), SIGUSR1);
		return otherwise;
	}
	into = ymm_after;
	__asm__ volatile(".byte 0xc5,0xfc,0x10,0x0b\n" /* vmovups ymm1, [rbx] */
			 "syscall\n"
			 ".byte 0xc4,0xc1,0x7c,0x11,0x08\n" /* vmovups [r8], ymm1 */
			 ".byte 0xc5,0xf8,0x77\n" /* vzeroupper */
			 : "=a"(result)
			 : "a"(SYS_kill), "D"(self), "S"(SIGUSR1), "b"(ymm_before), "r"(into)
			 : "rcx", "r11", "memory", "xmm1");
	for (int at = 17; at < 32; at++)
		if (ymm_after[at] != ymm_after[16])
			return -1;
	return ymm_after[16];
}

TEST(frame)
{
	CHECK_EQ(upper_after(NOTHING, 0x33), 0x33);
	CHECK_EQ(seen_flag, has_xsave());
	CHECK_EQ(seen_software, has_xsave());
	CHECK(!has_xsave() || seen_magic2);
	CHECK(!has_xsave() || seen_size == area_bytes(seen_components));
	CHECK(!has_avx() || (seen_components & X87_SSE_AVX) == X87_SSE_AVX);
	CHECK(!has_avx() || seen_fresh);
	CHECK(frame_bytes <= getauxval(AT_MINSIGSTKSZ));
}

TEST(handler_changes_the_state)
{
	CHECK_EQ(upper_after(CHANGE_UPPER, 0x5A), 0x5A);
	CHECK_EQ(upper_after(NO_AVX, 0), 0);
	CHECK_EQ(upper_after(NO_MAGIC, 0), 0);
	CHECK_EQ(upper_after(NO_STATE, 0), 0);
}

TEST(handler_breaks_the_state)
{
	pid_t child = (pid_t)MUST(fork());
	int status;

	if (child == 0) {
		upper_after(RESERVED, 0);
		if (!has_avx())
			raise(SIGSEGV);
		_exit(1);
	}
	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	CHECK_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGSEGV);
}

static volatile uint64_t refused_low, refused_mxcsr;

static void spoil(int signal, siginfo_t *info, void *context)
{
	ucontext_t *frame = context;

	(void)signal;
	(void)info;
	/* No processor loads MXCSR with reserved bits set. */
	frame->uc_mcontext.fpregs->mxcsr = 0xFFFFFFFF;
	__asm__ volatile("pcmpeqd %%xmm7, %%xmm7" ::: "xmm7");
}

static void look(int signal, siginfo_t *info, void *context)
{
	ucontext_t *frame = context;

	(void)signal;
	(void)info;
	memcpy((void *)&refused_low, &frame->uc_mcontext.fpregs->_xmm[7], sizeof(refused_low));
	refused_mxcsr = frame->uc_mcontext.fpregs->mxcsr;
	_exit(refused_low == 0 && refused_mxcsr == 0x1F80 ? 3 : 4);
}

/* What can't be put back leaves the state of a fresh processor: neither the handler's nor what was before. */
TEST(what_no_processor_loads_is_cleared)
{
	struct sigaction action = {.sa_sigaction = spoil, .sa_flags = SA_SIGINFO};
	struct sigaction last = {.sa_sigaction = look, .sa_flags = SA_SIGINFO};
	pid_t child = (pid_t)MUST(fork());
	int status;

	if (child == 0) {
		long result, self = getpid();
		uint64_t before = 0x1122334455667788;

		sigaction(SIGUSR1, &action, NULL);
		sigaction(SIGSEGV, &last, NULL);
		__asm__ volatile("movq %4, %%xmm7\n"
				 "syscall\n"
				 : "=a"(result)
				 : "a"(SYS_kill), "D"(self), "S"(SIGUSR1), "r"(before)
				 : "rcx", "r11", "memory", "xmm7");
		_exit(1);
	}
	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	CHECK_EQ(status, EXITED(3));
}

TEST(child_has_it)
{
	pid_t child = (pid_t)MUST(fork());
	int status;

	if (child == 0)
		_exit(upper_after(NOTHING, 0x33) == 0x33 ? 3 : 4);
	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	CHECK_EQ(status, EXITED(3));
}

/* A tracee that holds bytes of 0x44 in the upper half of ymm1 when it stops, and exits with one of them. */
static void hold(void)
{
	long result, self = getpid();
	register unsigned char *into __asm__("r8");

	memset(ymm_before, 0x44, 32);
	if (!has_avx()) {
		raise(SIGSTOP);
		_exit(0x66);
	}
	into = ymm_after;
	__asm__ volatile(".byte 0xc5,0xfc,0x10,0x0b\n"
			 "syscall\n"
			 ".byte 0xc4,0xc1,0x7c,0x11,0x08\n" /* vmovups [r8], ymm1 */
			 ".byte 0xc5,0xf8,0x77\n"
			 : "=a"(result)
			 : "a"(SYS_kill), "D"(self), "S"(SIGSTOP), "b"(ymm_before), "r"(into)
			 : "rcx", "r11", "memory", "xmm1");
	_exit(ymm_after[20]);
}

static long extended(long request, pid_t pid, void *data, size_t *size)
{
	struct iovec vector = {data, *size};
	long result = ptrace(request, pid, NT_X86_XSTATE, &vector);

	*size = vector.iov_len;
	return result;
}

static unsigned char area[16384];

/* Whether a tracer finds and sets the state of `child`, and is refused what no processor would load. */
static int is_traced_well(pid_t child)
{
	uint64_t components, bits;
	size_t whole = has_xsave() ? most_area_bytes() : 0, size = sizeof(area);

	if (!has_xsave())
		return extended(PTRACE_GETREGSET, child, area, &size) == -1 && errno == ENODEV;
	if (extended(PTRACE_GETREGSET, child, area, &size) != 0 || size != whole)
		return 0;
	if (!has_avx())
		return 1;
	memcpy(&components, area + SOFTWARE, 8);
	memcpy(&bits, area + FXSAVE_BYTES, 8);
	if ((components & X87_SSE_AVX) != X87_SSE_AVX || !(bits & 4) || area[AVX_OFFSET + 20] != 0x44)
		return 0;
	memset(area + AVX_OFFSET + 16, 0x66, 16);
	size = whole - 8;
	if (extended(PTRACE_SETREGSET, child, area, &size) != -1 || errno != EFAULT)
		return 0;
	size = whole;
	bits |= 1ull << 62;
	memcpy(area + FXSAVE_BYTES, &bits, 8);
	if (extended(PTRACE_SETREGSET, child, area, &size) != -1 || errno != EINVAL)
		return 0;
	bits &= ~(1ull << 62);
	memcpy(area + FXSAVE_BYTES, &bits, 8);
	for (size_t reserved = 8; reserved < 64; reserved += 11) {
		area[FXSAVE_BYTES + reserved] = 1;
		size = whole;
		if (extended(PTRACE_SETREGSET, child, area, &size) != -1 || errno != EINVAL)
			return 0;
		area[FXSAVE_BYTES + reserved] = 0;
	}
	/* Where the x87's last instruction was is told as it was set, while the tracee stops. */
	area[6] = 0x34;
	area[FXSAVE_BYTES] |= 1;
	size = whole;
	if (extended(PTRACE_SETREGSET, child, area, &size) != 0)
		return 0;
	memset(area, 0, sizeof(area));
	return extended(PTRACE_GETREGSET, child, area, &size) == 0 && area[6] == 0x34 && area[AVX_OFFSET + 20] == 0x66;
}

TEST(tracer_reads_and_sets_it)
{
	pid_t child = (pid_t)MUST(fork());
	int status;

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		hold();
	}
	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	CHECK_EQ(status, W_STOPCODE(SIGSTOP));
	CHECK(is_traced_well(child));
	MUST(ptrace(PTRACE_CONT, child, 0, 0));
	CHECK_EQ(MUST(waitpid(child, &status, 0)), child);
	CHECK_EQ(status, EXITED(0x66));
}

/* arch_prctl(2) tells of the components that there are and may be used; none that is here must be asked for. */
TEST(components_are_told)
{
	uint64_t supported = 0, permitted = 0, guests = 0;

	CHECK_EQ(syscall(SYS_arch_prctl, 0x1021 /* ARCH_GET_XCOMP_SUPP */, &supported), 0);
	CHECK_EQ(syscall(SYS_arch_prctl, 0x1022 /* ARCH_GET_XCOMP_PERM */, &permitted), 0);
	CHECK_EQ(syscall(SYS_arch_prctl, 0x1024 /* ARCH_GET_XCOMP_GUEST_PERM */, &guests), 0);
	CHECK((supported & 3) == 3);
	CHECK((permitted & 3) == 3 && (permitted & ~supported) == 0 && guests == permitted);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1021, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 2), EOPNOTSUPP);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1025 /* ARCH_REQ_XCOMP_GUEST_PERM */, 2), EOPNOTSUPP);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1023, 63), EINVAL);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1025, 1000), EINVAL);
}
