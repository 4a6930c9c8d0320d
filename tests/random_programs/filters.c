/* Filters of system calls at random: which are taken, and what they answer to calls with arguments at random. */
#define _GNU_SOURCE

#include "chance.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 8
#define LONGEST 24
#define CALLS 6

static const unsigned int values[] = {0, 1, 2, 7, 31, 32, 63, 64, 255, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
static const unsigned int answers[] = {
	SECCOMP_RET_ALLOW,	SECCOMP_RET_ALLOW | 5,	 SECCOMP_RET_ERRNO | 1,	 SECCOMP_RET_ERRNO | 77,
	SECCOMP_RET_ERRNO,	SECCOMP_RET_ERRNO | 5000, SECCOMP_RET_TRACE | 2, SECCOMP_RET_LOG,
	SECCOMP_RET_USER_NOTIF, 0x7ffe0000,
};

static unsigned int value(void)
{
	return values[chance(sizeof(values) / sizeof(values[0]))];
}

/* An instruction, mostly a good one, with `left` behind it. */
static struct sock_filter instruction(unsigned int left)
{
	static const unsigned short operations[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND,
						    BPF_LSH, BPF_RSH, BPF_XOR, BPF_NEG, BPF_MOD};
	static const unsigned short jumps[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};
	struct sock_filter made = {0};

	switch (chance(16)) {
	case 0 ... 2:
		/* Where a call is made isn't the same everywhere: the words 2 and 3. */
		made = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, chance(5) ? 16 + 4 * chance(chance(20) ? 12 : 14) : 4 * chance(2));
		break;
	case 3:
		made = (struct sock_filter)BPF_STMT((chance(2) ? BPF_LD : BPF_LDX) | BPF_IMM, value());
		break;
	case 4:
		made = (struct sock_filter)BPF_STMT((chance(2) ? BPF_LD : BPF_LDX) | BPF_W | BPF_LEN, value());
		break;
	case 5:
		made = (struct sock_filter)BPF_STMT(chance(2) ? BPF_ST : BPF_STX, chance(chance(20) ? 3 : 17));
		break;
	case 6:
		made = (struct sock_filter)BPF_STMT((chance(2) ? BPF_LD : BPF_LDX) | BPF_MEM, chance(3));
		break;
	case 7:
		made = (struct sock_filter)BPF_STMT(BPF_MISC | (chance(2) ? BPF_TAX : BPF_TXA), 0);
		break;
	case 8 ... 11:
		made = (struct sock_filter)BPF_STMT(
			BPF_ALU | operations[chance(chance(30) ? 9 : 11)] | (chance(2) ? BPF_X : BPF_K), chance(2) ? chance(32) : value());
		break;
	case 12 ... 13:
		made = (struct sock_filter)BPF_JUMP(BPF_JMP | jumps[chance(4)] | (chance(2) ? BPF_X : BPF_K), value(),
						   chance(left + (chance(20) == 0)), chance(left + (chance(20) == 0)));
		break;
	case 14:
		made = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, answers[chance(sizeof(answers) / sizeof(answers[0]))]);
		break;
	default:
		if (chance(12) == 0)
			made = (struct sock_filter)BPF_STMT(chance(256), value());
		else
			made = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, chance(left));
	}
	return made;
}

static int attach(void)
{
	struct sock_filter program[LONGEST + 8];
	unsigned int body = 1 + chance(LONGEST - 1), at = 0;
	struct sock_fprog header = {0, program};

	program[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	program[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0);
	program[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	for (unsigned int made = 0; made < body; made++)
		program[at++] = instruction(body - made + 1);
	/* What was computed shows in the errno. */
	program[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff);
	program[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
	program[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
	header.len = (unsigned short)at;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &header) == -1 ? errno : 0;
}

static void play(int *shown)
{
	unsigned int filters = 1 + chance(3);

	for (unsigned int made = 0; made < filters; made++)
		*shown++ = attach();
	for (int call = 0; call < CALLS; call++) {
		unsigned long arguments[6];
		long result;

		for (int at = 0; at < 6; at++)
			arguments[at] = (unsigned long)value() << 32 | value();
		errno = 0;
		result = syscall(SYS_getppid, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
		*shown++ = result > 0 ? 10000 : result == 0 ? 10001 : errno;
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int first = argc > 1 ? atoi(argv[1]) : 0, count = argc > 2 ? atoi(argv[2]) : 1;
	struct rlimit none = {0, 0};
	int *shown = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	setrlimit(RLIMIT_CORE, &none);
	for (int seed = first; seed < first + count; seed++) {
		printf("seed %d\n", seed);
		start_with(seed);
		for (int round = 0; round < ROUNDS; round++) {
			int status;

			memset(shown, 0xff, 4096);
			fflush(stdout);
			if (fork() == 0) {
				for (int skipped = 0; skipped <= round; skipped++)
					chance(2);
				play(shown);
			}
			for (int skipped = 0; skipped < 1 + round; skipped++)
				chance(1000);
			wait(&status);
			printf("%x:", (unsigned int)status);
			for (int at = 0; at < CALLS + 3; at++)
				printf(" %d", shown[at]);
			printf("\n");
		}
	}
	return 0;
}
