/* Executes bytes at random, in processes of their own, beside one that checks its own work: random_code SEED COUNT
 *
 * Prints how many were ended by what, and "witness" if that one has always found the processor as it left it.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CODE ((unsigned char *)0x20000000)
#define CODE_SIZE 0x4000

/* What begins the longer and odder instructions. */
static const unsigned char openings[] = {
	0x0f, 0x0f, 0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x4c, 0x41, 0xf0, 0x64, 0x65, 0x67, 0x2e, 0xd8, 0xd9, 0xda, 0xdb,
	0xdc, 0xdd, 0xde, 0xdf, 0xc5, 0xc4, 0xff, 0xcf, 0xcb, 0x8e, 0x8c, 0x9d, 0xe4, 0x6c, 0x6e, 0xee, 0xcd, 0xf1,
};
static uint64_t state;
static volatile sig_atomic_t is_over;

static uint64_t chance(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return ((state * 0x2545F4914F6CDD1DULL) >> 20) % below;
}

static void write_code(void)
{
	mmap(CODE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (int place = 0; place < CODE_SIZE; place++)
		CODE[place] = (unsigned char)chance(256);
	for (uint64_t place = 0; place < CODE_SIZE; place += 1 + chance(6))
		CODE[place] = chance(2) ? openings[chance(sizeof(openings))] : CODE[place];
}

static void execute(void)
{
	uint64_t start = (uint64_t)CODE + chance(0x2000), near = (uint64_t)CODE + 0x1000 + chance(0x800);
	uint64_t far = chance(3) ? (uint64_t)CODE + 0x2000 + chance(64) : chance(1ULL << 44), number = chance(1ULL << 44);

	alarm(1);
	__asm__ volatile("mov %1, %%rsi\n\tmov %2, %%rdi\n\tmov %3, %%rdx\n\tmov %2, %%rbx\n\tmov %1, %%r8\n\t"
			 "mov %3, %%r9\n\tmov %4, %%rsp\n\tjmp *%0"
			 : : "r"(start), "r"(near), "r"(far), "r"(number), "r"(CODE + CODE_SIZE - 0x800)
			 : "rsi", "rdi", "rdx", "rbx", "r8", "r9", "memory");
}

static void finish(int signal)
{
	(void)signal;
	is_over = 1;
}

struct work {
	uint64_t sum;
	double sum_of_parts;
	long double power;
	unsigned short code, stack, data, control;
	unsigned int mxcsr;
};

/* Integers, SSE and x87, and what the processor is set to. */
static struct work do_work(void)
{
	struct work done = {.power = 1};

	for (uint64_t number = 1; number <= 500; number++) {
		done.sum = done.sum * 31 + number;
		done.sum_of_parts += 1.0 / (double)number;
		done.power *= 1.0L + 1.0L / (long double)number;
	}
	__asm__ volatile("mov %%cs, %0\n\tmov %%ss, %1\n\tmov %%ds, %2" : "=r"(done.code), "=r"(done.stack), "=r"(done.data));
	__asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(done.control), "=m"(done.mxcsr));
	return done;
}

/* Works in rounding modes of its own until it's told to end, and always with the same result. */
static int witness(void)
{
	unsigned short control = 0x0b7f;
	unsigned int mxcsr = 0x3f80;
	struct work first, next;

	signal(SIGTERM, finish);
	__asm__ volatile("fldcw %0\n\tldmxcsr %1" : : "m"(control), "m"(mxcsr));
	first = do_work();
	while (!is_over) {
		next = do_work();
		if (next.sum != first.sum || next.sum_of_parts != first.sum_of_parts || next.power != first.power ||
		    next.code != first.code || next.stack != first.stack || next.data != first.data ||
		    next.control != control || (next.mxcsr & ~0x3fU) != mxcsr)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int ends[65] = {0}, status;
	long count = argc > 2 ? atol(argv[2]) : 0;
	pid_t child, other = fork();

	if (other == 0)
		return witness();
	state = strtoull(argv[1], NULL, 10) * 7919 + 1;
	for (long number = 0; number < count; number++) {
		write_code();
		child = fork();
		if (child == 0)
			execute();
		if (waitpid(child, &status, 0) == child)
			ends[WIFSIGNALED(status) ? WTERMSIG(status) : 0]++;
	}
	kill(other, SIGTERM);
	waitpid(other, &status, 0);
	for (int signal = 0; signal <= 64; signal++) {
		if (ends[signal])
			printf("%d:%d ", signal, ends[signal]);
	}
	printf(status == 0 ? "witness\n" : "no witness\n");
	return 0;
}
