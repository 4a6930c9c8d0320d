/* Signal frames changed at random before their handlers return: fuzz_frames SEED PROCESSES FRAMES
 *
 * A handler changes some words of the frame that it was called with, and returns; or the program itself calls
 * rt_sigreturn(2) with a frame somewhere else. Other signals are pending meanwhile. What then goes wrong raises
 * a signal, from whose handler the program jumps back; when it can't, the process ends and another goes on.
 * Prints how many frames were changed.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define ARENA ((unsigned char *)0x10000000)
#define ARENA_SIZE 0x10000
/* pretcode, ucontext and siginfo; the floating-point state, of 512 bytes, lies behind them. */
#define RETURN_SIZE 8
#define KERNEL_CONTEXT_SIZE 304
#define FRAME_SIZE (RETURN_SIZE + KERNEL_CONTEXT_SIZE + 128)
#define FLOATING_SIZE 512
#define PATIENCE_NS 60000000
#define TICK_US 3000

static uint64_t state;
static uint64_t *made;
static sigjmp_buf way_back;
static unsigned char good_frame[FRAME_SIZE + 128 + FLOATING_SIZE];
static unsigned char alternate[16384] __attribute__((aligned(16)));
static int only_copy;

static uint64_t chance(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return ((state * 0x2545F4914F6CDD1DULL) >> 20) % below;
}

static uint64_t word(void)
{
	switch (chance(10)) {
	case 0:
		return 0;
	case 1:
		return chance(64);
	case 2:
		return (uint64_t)-1 - chance(64);
	case 3:
		return 1ULL << chance(64);
	case 4:
		return (1ULL << 47) - chance(5000);
	case 5:
		return (uint64_t)-(1LL << 47) - 1 + chance(3);
	case 6:
	case 7:
		return (uint64_t)ARENA + chance(ARENA_SIZE);
	case 8:
		return chance(1ULL << 44) << chance(21);
	default:
		return (uint64_t)alternate + chance(sizeof(alternate) + 64);
	}
}

static void change(unsigned char *frame, uint64_t size)
{
	for (uint64_t count = 1 + chance(3); count; count--) {
		uint64_t value = word(), place = RETURN_SIZE + chance(size - RETURN_SIZE - 8);

		memcpy(frame + (chance(8) ? place & ~7ULL : place), &value, chance(4) ? 8 : 1 + chance(8));
	}
	++*made;
}

static void change_frame(int signal, siginfo_t *info, void *context)
{
	unsigned char *frame = (unsigned char *)context - RETURN_SIZE;
	ucontext_t *interrupted = context;
	unsigned char *floating = (unsigned char *)interrupted->uc_mcontext.fpregs;
	uint64_t whole = (uint64_t)(floating - frame) + FLOATING_SIZE;

	(void)signal, (void)info;
	if (only_copy) {
		memcpy(good_frame, frame, whole < sizeof(good_frame) ? whole : sizeof(good_frame));
		return;
	}
	if (chance(3) == 0)
		raise(SIGUSR2);
	if (chance(8) == 0)
		raise(SIGRTMIN);
	/* Mostly what the kernel reads: the registers, the mask and the alternate stack. */
	change(frame, chance(4) ? RETURN_SIZE + KERNEL_CONTEXT_SIZE : whole);
}

static void ignore(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
}

static void jump_back(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	siglongjmp(way_back, 1);
}

/* A frame of the program's own making. */
static void return_from_nothing(void)
{
	unsigned char *frame = ARENA + chance(ARENA_SIZE / 2) / 16 * 16;
	uint64_t floating = (uint64_t)(frame + FRAME_SIZE + 64) & ~63ULL;

	if (chance(16) == 0)
		frame = (unsigned char *)word();
	else {
		memcpy(frame, good_frame, sizeof(good_frame));
		memcpy(&((ucontext_t *)(frame + RETURN_SIZE))->uc_mcontext.fpregs, &floating, 8);
		change(frame, chance(2) ? FRAME_SIZE : floating - (uint64_t)frame + FLOATING_SIZE);
	}
	__asm__ volatile("mov %0, %%rsp\n\tmov $15, %%eax\n\tsyscall" : : "r"(frame + RETURN_SIZE) : "memory");
	__builtin_unreachable();
}

static void set_up(void)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGALRM};
	struct sigaction back = {.sa_sigaction = jump_back, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction changing = {.sa_sigaction = change_frame, .sa_flags = SA_SIGINFO};
	struct sigaction ignoring = {.sa_sigaction = ignore, .sa_flags = SA_SIGINFO};
	struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	sigset_t none;

	mmap(ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	sigaltstack(&stack, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaddset(&changing.sa_mask, SIGUSR2);
	sigaddset(&changing.sa_mask, SIGRTMIN);
	changing.sa_flags |= chance(2) ? SA_ONSTACK : 0;
	ignoring.sa_flags |= chance(2) ? SA_ONSTACK : 0;
	sigaction(SIGUSR1, &changing, NULL);
	sigaction(SIGUSR2, chance(4) ? &ignoring : &changing, NULL);
	sigaction(SIGRTMIN, &ignoring, NULL);
	for (size_t index = 0; index < sizeof(crashes) / sizeof(*crashes); index++)
		sigaction(crashes[index], &back, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
}

static void change_frames(uint64_t count)
{
	uint64_t start = *made;

	set_up();
	only_copy = 1;
	raise(SIGUSR1);
	only_copy = 0;
	sigsetjmp(way_back, 1);
	while (*made - start < count) {
		set_up();
		if (chance(3))
			raise(SIGUSR1);
		else
			return_from_nothing();
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t seed = strtoull(argv[1], NULL, 10), seen;
	long processes = atol(argv[2]), count = argc > 3 ? atol(argv[3]) : 0;
	struct timespec patience = {0, PATIENCE_NS};
	sigset_t ended;
	pid_t child;

	made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, NULL);
	for (long number = 1; number <= processes; number++) {
		child = fork();
		if (child == 0) {
			state = seed * 1000003 + (uint64_t)number * 7919 + 1;
			for (int round = 0; round < 16; round++)
				chance(2);
			for (int fd = 0; fd < 3; fd++)
				close(fd);
			change_frames((uint64_t)count);
		}
		/* Time passes while it works, or sleeps for good: whoever has done nothing in it is ended. */
		for (seen = *made; waitpid(child, NULL, WNOHANG | __WALL) == 0;) {
			if (sigtimedwait(&ended, NULL, &patience) == -1) {
				if (seen == *made)
					kill(child, SIGKILL);
				seen = *made;
			}
		}
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			continue;
	}
	printf("%llu\n", (unsigned long long)*made);
	return 0;
}
