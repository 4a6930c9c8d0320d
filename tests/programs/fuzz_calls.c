/* System calls at random, whose arguments and structures are what their declarations say:
 *
 *     fuzz_calls SEED PROCESSES CALLS [large] < DESCRIPTIONS
 *
 * A line of DESCRIPTIONS is a call's number and a word for each argument: what kind it is, and of what it's
 * made (see call_text.py). PROCESSES processes, a few at once, make up to CALLS calls each; most run as nobody. What
 * sleeps is interrupted, and what blocks signals is killed. Prints how many calls were made. Nothing for a
 * machine that is anybody's: root's processes may do all that root may. With "large" there are large objects with
 * little in them, and most numbers are large.
 */
#define _GNU_SOURCE
#include "every_descriptor.h"
#include "large_objects.h"

#include <grp.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>

#define ARENA ((unsigned char *)0x10000000)
#define ARENA_SIZE 0x10000
#define WORDS_SIZE 0x8000
#define DESCRIPTORS 44
#define NOBODY 65534
#define AT_ONCE 3
#define PATIENCE_NS 60000000
#define TICK_US 2000
#define CALLS_BETWEEN_CLEANINGS 64
/* Flags beside the width of a field. */
#define PADDING 0x100
#define POINTER 0x200

struct argument {
	char kind;
	int count;
	uint64_t *values;
};

struct call {
	long number;
	int argument_count;
	struct argument arguments[6];
};

static const char *const paths[] = {
	"/tmp/a", "/tmp/b", "/tmp/d", "/tmp/d/e", "/", "/proc/self/mem", "/proc/self/fd/3", "/dev/ptmx", "/dev/null",
	"/dev/zero", "/dev/tty", "", "/tmp/fifo", "/proc/self/status", "/dev/shm/x", "/tmp/link", ".", "/queue",
	"/proc/sys/kernel/pid_max", "/proc/self/exe", "/bin/true", "user.name", "lo", "tmpfs", "proc",
};
static struct call calls[512];
static int call_count;
static uint64_t state;
static uint64_t last_result;
static int is_wild;
static int is_large;
static sigjmp_buf way_back;
static unsigned char alternate[16384] __attribute__((aligned(16)));
static uint64_t *made;

static uint64_t chance(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return ((state * 0x2545F4914F6CDD1DULL) >> 20) % below;
}

/* As long as a large object, or as far into one. */
static uint64_t large_number(void)
{
	uint64_t number = 1ULL << (12 + chance(52));

	switch (chance(8)) {
	case 0:
		return number - 1;
	case 1:
		return number + chance(8192);
	case 2:
		return chance(number) & ~4095ULL;
	case 3:
		return (1ULL << 63) - 4096;
	default:
		return number;
	}
}

static uint64_t large_address(void)
{
	uint64_t start = LARGE_STARTS[chance(LARGE_COUNT)];

	return chance(3) ? start : start + (chance(LARGE_SIZE) & ~4095ULL);
}

/* Numbers at the borders of what calls take, and what else a word may mean. */
static uint64_t word(void)
{
	if (is_large && chance(2))
		return large_number();
	switch (chance(16)) {
	case 0:
	case 1:
		return 0;
	case 2:
		return 1 + chance(8);
	case 3:
		return chance(64);
	case 4:
		return (uint64_t)-1;
	case 5:
		return 1ULL << chance(64);
	case 6:
		return (1ULL << chance(64)) - 1;
	case 7:
		return -(1ULL << chance(64));
	case 8:
		return (1ULL << 63) - chance(2);
	case 9:
		return 999999998 + chance(4);
	case 10:
		return chance(2) ? last_result : -chance(4096);
	case 11:
	case 12:
		return (uint64_t)ARENA + (chance(WORDS_SIZE) & (chance(4) ? ~7ULL : ~0ULL));
	case 13:
		return chance(DESCRIPTORS);
	case 14:
		return chance(1ULL << 44) << chance(21);
	default:
		return chance(0x10000) << chance(48);
	}
}

static unsigned char *somewhere(uint64_t size)
{
	return chance(12) ? ARENA + (chance(WORDS_SIZE) & ~7ULL)
			  : ARENA + ARENA_SIZE - size + (chance(2) ? chance(size + 1) : 0);
}

static uint64_t place_path(void)
{
	char *place = (char *)ARENA + WORDS_SIZE + chance(0x1000);

	strcpy(place, paths[chance(sizeof(paths) / sizeof(*paths))]);
	return (uint64_t)place;
}

static void put(unsigned char *place, uint64_t value, uint64_t width)
{
	if (place + width <= ARENA + ARENA_SIZE)
		memcpy(place, &value, width);
}

/* Mostly nothing, so that what is checked first is right. */
static uint64_t field_value(uint64_t width)
{
	if (is_wild)
		return word();
	switch (chance(8)) {
	case 0:
		return word();
	case 1:
		return chance(9);
	case 2:
		return chance(66);
	default:
		return width & POINTER ? (uint64_t)ARENA + (chance(WORDS_SIZE) & ~7ULL) : 0;
	}
}

/* Some structures in a row with fields of these widths. */
static uint64_t place_structures(const struct argument *argument)
{
	uint64_t size = 0, repeat = argument->kind == 'T' ? 1 + chance(4) : 1;
	unsigned char *start, *place;

	for (int field = 0; field < argument->count; field++)
		size += argument->values[field] & 0xff;
	start = place = somewhere(size);
	while (repeat--) {
		for (int field = 0; field < argument->count; field++) {
			uint64_t width = argument->values[field];

			if (!(width & PADDING))
				put(place, field_value(width), width & 0xff);
			place += width & 0xff;
		}
	}
	return (uint64_t)start;
}

static uint64_t place_vector(void)
{
	unsigned char *start = somewhere(64);

	for (uint64_t entry = 0; entry < 4; entry++) {
		put(start + 16 * entry, is_large && chance(2) ? large_address()
				      : chance(6)             ? (uint64_t)ARENA + chance(ARENA_SIZE)
							      : word(), 8);
		put(start + 16 * entry + 8, chance(is_large ? 2 : 6) ? chance(300) : word(), 8);
	}
	return (uint64_t)start;
}

static uint64_t place_strings(void)
{
	unsigned char *start = somewhere(64);

	for (uint64_t entry = 0; entry < 3; entry++)
		put(start + 8 * entry, chance(8) ? place_path() : word(), 8);
	put(start + 24, 0, 8);
	return (uint64_t)start;
}

static uint64_t some_flags(const struct argument *argument)
{
	uint64_t flags = 0;

	for (uint64_t count = chance(4); count && argument->count; count--)
		flags |= argument->values[chance((uint64_t)argument->count)];
	return chance(16) ? flags : flags | word();
}

static uint64_t value_for(const struct argument *argument)
{
	/* Nothing is sacred: any argument may be any word. */
	if (chance(is_wild ? 12 : 60) == 0)
		return word();
	switch (argument->kind) {
	case 'd':
		return chance(16) ? chance(DESCRIPTORS) : (uint64_t)-100;
	case 's':
		return chance(66);
	case 'p':
		return place_path();
	case 'e':
		return argument->values[chance((uint64_t)argument->count)];
	case 'm':
		return some_flags(argument);
	case 'z':
		if (is_large && chance(3))
			return large_number();
		return chance(3) == 0 ? word()
		       : argument->count && chance(2) ? argument->values[chance((uint64_t)argument->count)]
		       : chance(2)                    ? chance(600)
						      : chance(16) << 12;
	case 'a':
		if (is_large && chance(2))
			return large_address();
		return (uint64_t)somewhere(256) & (chance(3) ? ~0ULL : ~4095ULL);
	case 'v':
		return place_vector();
	case 'S':
		return place_strings();
	case 't':
	case 'T':
		return chance(16) ? place_structures(argument) : 0;
	default:
		return chance(3) ? chance(9) : word();
	}
}

static void read_descriptions(void)
{
	static char line[1 << 16];

	while (call_count < 512 && fgets(line, sizeof(line), stdin)) {
		struct call *call = &calls[call_count++];
		char *rest = NULL, *text = strtok_r(line, " \n", &rest);

		call->number = atol(text);
		while ((text = strtok_r(NULL, " \n", &rest)) && call->argument_count < 6) {
			struct argument *argument = &call->arguments[call->argument_count++];
			char *at = text + 1;

			argument->kind = *text;
			argument->values = calloc(strlen(text) + 1, sizeof(uint64_t));
			while (*at) {
				argument->values[argument->count++] = strtoull(at, &at, 16);
				at += *at == ',';
			}
		}
	}
}

/* Inline, as who shares the stack after it must not return from a function. */
static inline __attribute__((always_inline)) long raw_call(long number, const uint64_t *values)
{
	register uint64_t fourth __asm__("r10") = values[3], fifth __asm__("r8") = values[4], sixth __asm__("r9") = values[5];
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(values[0]), "S"(values[1]), "d"(values[2]), "r"(fourth), "r"(fifth), "r"(sixth)
			 : "rcx", "r11", "memory");
	return result;
}

static void nothing(int signal)
{
	(void)signal;
}

static void jump_back(int signal)
{
	(void)signal;
	siglongjmp(way_back, 1);
}

/* Memory, a timer and signals, as calls may have left them otherwise. */
static void clean_up(void)
{
	struct sigaction interrupt = {.sa_handler = nothing}, back = {.sa_handler = jump_back, .sa_flags = SA_ONSTACK};
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};
	sigset_t none;

	if (is_large)
		map_large_objects();
	mmap(ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (int count = 0; count < 400; count++)
		put(ARENA + chance(WORDS_SIZE) / 8 * 8, chance(2) ? word() : chance(40), 8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGALRM, &interrupt, NULL);
	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &back, NULL);
	sigaction(SIGBUS, &back, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
}

static void make_calls(uint64_t *made_here, long count, int is_root)
{
	volatile pid_t self = getpid();
	volatile long left = count;

	open_everything();
	if (is_large)
		open_large_objects();
	if (!is_root) {
		setgroups(0, NULL);
		setresgid(NOBODY, NOBODY, NOBODY);
		setresuid(NOBODY, NOBODY, NOBODY);
	}
	for (volatile long index = 0; index < left; index++) {
		const struct call *call = &calls[chance((uint64_t)call_count)];
		uint64_t values[6];

		/* A handler that isn't one, or memory that is gone: it goes on from here. */
		if (index % CALLS_BETWEEN_CLEANINGS == 0 || sigsetjmp(way_back, 0))
			clean_up();
		is_wild = chance(3) == 0;
		for (int position = 0; position < 6; position++)
			values[position] = position < call->argument_count ? value_for(&call->arguments[position]) : 0;
		++*made_here;
		last_result = (uint64_t)raw_call(call->number, values);
		if (getpid() != self) {
			/* What isn't fork's may share this very stack. */
			if (call->number != SYS_fork || chance(4))
				_exit(0);
			self = getpid();
			left -= left / 2;
		}
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t seed = strtoull(argv[1], NULL, 10), total = 0;
	long processes = atol(argv[2]), count = argc > 3 ? atol(argv[3]) : 0, started = 0;
	struct timespec patience = {0, PATIENCE_NS};
	pid_t running[AT_ONCE] = {0};
	uint64_t seen[AT_ONCE] = {0};
	sigset_t ended;
	int null, left = 0;

	is_large = argc > 4 && !strcmp(argv[4], "large");
	read_descriptions();
	for (int signal = 1; signal <= 64; signal++) {
		if (signal != SIGCHLD)
			sigaction(signal, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	}
	made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, NULL);
	null = open("/dev/null", O_RDWR);
	do {
		for (int slot = 0; slot < AT_ONCE; slot++) {
			if (running[slot] || started == processes)
				continue;
			started++;
			total += made[slot];
			made[slot] = seen[slot] = 0;
			running[slot] = fork();
			if (running[slot] == 0) {
				state = seed * 1000003 + (uint64_t)started * 7919 + 1;
				for (int round = 0; round < 16; round++)
					chance(2);
				for (int fd = 0; fd < 3; fd++)
					dup2(null, fd);
				for (int signal = 1; signal <= 64; signal++)
					sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
				setsid();
				make_calls(&made[slot], count, chance(3) == 0);
			}
			if (running[slot] == -1)
				running[slot] = 0;
		}
		if (sigtimedwait(&ended, NULL, &patience) == -1) {
			/* Time has passed, and whoever has done nothing since it did the last time won't any more. */
			for (int slot = 0; slot < AT_ONCE; slot++) {
				if (running[slot] && seen[slot] == made[slot])
					kill(running[slot], SIGKILL);
				seen[slot] = made[slot];
			}
		}
		for (pid_t child; (child = waitpid(-1, NULL, WNOHANG | __WALL)) > 0;) {
			for (int slot = 0; slot < AT_ONCE; slot++) {
				if (running[slot] == child)
					running[slot] = 0;
			}
		}
		left = 0;
		for (int slot = 0; slot < AT_ONCE; slot++)
			left += running[slot] != 0;
	} while (left || started < processes);
	for (int slot = 0; slot < AT_ONCE; slot++)
		total += made[slot];
	printf("%llu\n", (unsigned long long)total);
	return 0;
}
