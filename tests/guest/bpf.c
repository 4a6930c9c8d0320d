/* bpf(2): programs that decide which devices a control group may use, as Linux checks, attaches and runs them. */
#include "check.h"

#include <linux/bpf.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>

#define R0 BPF_REG_0
#define R1 BPF_REG_1
#define R2 BPF_REG_2
#define R3 BPF_REG_3
#define R10 BPF_REG_10
#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define MOV(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOVX(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV32(d, i) INSN(BPF_ALU | BPF_MOV | BPF_K, d, 0, 0, i)
#define ALU(op, d, i) INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define ALUX(op, d, s) INSN(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define ALU32(op, d, i) INSN(BPF_ALU | (op) | BPF_K, d, 0, 0, i)
#define LOAD(size, d, s, o) INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define LOADS(size, d, s, o) INSN(BPF_LDX | BPF_MEMSX | (size), d, s, o, 0)
#define STORE(size, d, s, o) INSN(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define PUT(size, d, o, i) INSN(BPF_ST | BPF_MEM | (size), d, 0, o, i)
#define JUMP(op, d, i, o) INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define JUMPX(op, d, s, o) INSN(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JUMP32(op, d, i, o) INSN(BPF_JMP32 | (op) | BPF_K, d, 0, o, i)
#define GO(o) INSN(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define WIDE(d, low, high) INSN(BPF_LD | BPF_IMM | BPF_DW, d, 0, 0, (int)(low)), INSN(0, 0, 0, 0, (int)(high))
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define YES MOV(R0, 1), EXIT
#define NO MOV(R0, 0), EXIT
/* 1 if the jump before it isn't made, else 0: the jump goes two on. */
#define UNLESS YES, NO

#define LOADED(...) \
	load_program((struct bpf_insn[]){__VA_ARGS__}, LENGTH(((struct bpf_insn[]){__VA_ARGS__})))
#define TAKEN(...) check_report(is_taken(LOADED(__VA_ARGS__)), __FILE_NAME__, __LINE__, #__VA_ARGS__, "refused: %s", log_text)
#define REFUSED(want, ...) check_errno(__FILE_NAME__, __LINE__, #__VA_ARGS__ " is " #want, LOADED(__VA_ARGS__), want)
#define ANSWERS(want, ...) check_equal(__FILE_NAME__, __LINE__, #__VA_ARGS__, answer_of(LOADED(__VA_ARGS__)), want)

static char base[300], log_text[65536];

static long bpf(int command, union bpf_attr *attributes)
{
	return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static union bpf_attr load_attributes(const struct bpf_insn *program, size_t count)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attributes.insns = (uintptr_t)program;
	attributes.insn_cnt = (unsigned)count;
	attributes.license = (uintptr_t) "MIT";
	return attributes;
}

static long load_program(const struct bpf_insn *program, size_t count)
{
	union bpf_attr attributes = load_attributes(program, count);

	log_text[0] = 0;
	attributes.log_level = 1;
	attributes.log_buf = (uintptr_t)log_text;
	attributes.log_size = sizeof(log_text);
	return bpf(BPF_PROG_LOAD, &attributes);
}

static int is_taken(long fd)
{
	return fd >= 0 && close((int)fd) == 0;
}

static int load_constant(int answer)
{
	return (int)MUST(LOADED(MOV(R0, answer), EXIT));
}

static const char *mount_point(void)
{
	static char found[256];
	char line[1024], type[64], place[256];
	FILE *mounts = fopen("/proc/self/mountinfo", "r");

	while (fgets(line, sizeof(line), mounts) != NULL) {
		char *dash = strstr(line, " - ");
		if (dash != NULL && sscanf(dash, " - %63s", type) == 1 && strcmp(type, "cgroup2") == 0 &&
		    sscanf(line, "%*d %*d %*s %*s %255s", place) == 1)
			strcpy(found, place);
	}
	fclose(mounts);
	return found;
}

/* The directory of a group: the test's own, or one below. */
static int open_group(const char *below)
{
	char path[512];

	if (!*base) {
		snprintf(base, sizeof(base), "%s/procession-bpf-%d", mount_point(), (int)getpid());
		/* Others' tests give controllers to all groups at times. */
		MUST(flock((int)MUST(open(mount_point(), O_RDONLY | O_CLOEXEC)), LOCK_SH));
	}
	snprintf(path, sizeof(path), "%s%s", base, below);
	if (mkdir(path, 0755) == -1 && errno != EEXIST)
		MUST(-1);
	return (int)MUST(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static void drop_group(const char *below)
{
	char path[512];

	snprintf(path, sizeof(path), "%s%s", base, below);
	for (int i = 0; rmdir(path) == -1; i++) {
		if (errno != EBUSY || i == 1000)
			MUST(-1);
		sleep_ms(1);
	}
}

static void enter_group(const char *below)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s%s/cgroup.procs", base, below);
	fd = (int)MUST(open(path, O_WRONLY | O_CLOEXEC));
	MUST(write(fd, "0", 1));
	MUST(close(fd));
}

static long attach(int group, int program, unsigned flags, int replaced)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.target_fd = (unsigned)group;
	attributes.attach_bpf_fd = (unsigned)program;
	attributes.attach_type = BPF_CGROUP_DEVICE;
	attributes.attach_flags = flags;
	attributes.replace_bpf_fd = (unsigned)replaced;
	return bpf(BPF_PROG_ATTACH, &attributes);
}

static long detach(int group, int program)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.target_fd = (unsigned)group;
	attributes.attach_bpf_fd = (unsigned)program;
	attributes.attach_type = BPF_CGROUP_DEVICE;
	return bpf(BPF_PROG_DETACH, &attributes);
}

/* An errno, or 0, of what `act` does in a process that is in a group. */
static int errno_in_group(const char *below, int (*act)(void))
{
	int status;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		enter_group(below);
		_exit(act());
	}
	status = wait_for(child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *opened = "/dev/null";
static int open_flags = O_RDWR;

static int open_device(void)
{
	return ERRNO_OF(open(opened, open_flags));
}

static int opening(const char *below, const char *path, int flags)
{
	opened = path;
	open_flags = flags;
	return errno_in_group(below, open_device);
}

/* What a program says to /dev/null that is opened for reading and writing: 1, 0, or -1 if it wasn't loaded. */
static int answer_of(long program)
{
	int group, error;

	if (program < 0)
		return -1;
	group = open_group("");
	MUST(attach(group, (int)program, 0, 0));
	error = opening("", "/dev/null", O_RDWR);
	MUST(detach(group, (int)program));
	close((int)program);
	close(group);
	drop_group("");
	return error == 0 ? 1 : error == EPERM ? 0 : -1;
}

TEST(programs_that_are_taken)
{
	TAKEN(YES);
	TAKEN(NO);
	TAKEN(MOV32(R0, 1), EXIT);
	TAKEN(WIDE(R0, 1, 0), EXIT);
	TAKEN(LOAD(BPF_W, R0, R1, 0), ALU(BPF_AND, R0, 1), EXIT);
	TAKEN(LOAD(BPF_W, R2, R1, 8), JUMP(BPF_JEQ, R2, 3, 2), UNLESS);
	TAKEN(LOAD(BPF_B, R2, R1, 0), JUMP(BPF_JEQ, R2, 3, 2), UNLESS);
	TAKEN(LOAD(BPF_B, R2, R1, 3), JUMP(BPF_JEQ, R2, 3, 2), UNLESS);
	TAKEN(LOAD(BPF_H, R2, R1, 2), JUMP(BPF_JEQ, R2, 3, 2), UNLESS);
	/* What a jump tells of a number counts. */
	TAKEN(LOAD(BPF_W, R0, R1, 4), JUMP(BPF_JGT, R0, 1, 1), EXIT, NO);
	TAKEN(LOAD(BPF_W, R0, R1, 4), JUMP(BPF_JLE, R0, 1, 1), MOV(R0, 0), EXIT);
	TAKEN(LOAD(BPF_W, R0, R1, 4), JUMP(BPF_JLT, R0, 2, 1), MOV(R0, 0), EXIT);
	TAKEN(LOAD(BPF_W, R0, R1, 4), JUMP(BPF_JEQ, R0, 1, 1), MOV(R0, 0), EXIT);
	TAKEN(LOAD(BPF_W, R0, R1, 4), ALU(BPF_RSH, R0, 31), EXIT);
	TAKEN(LOAD(BPF_W, R0, R1, 4), ALU32(BPF_RSH, R0, 31), EXIT);
	/* A way that is never gone isn't looked at. */
	TAKEN(MOV(R0, 0), JUMP(BPF_JEQ, R0, 0, 1), MOVX(R0, R3), EXIT);
	/* The stack. */
	TAKEN(PUT(BPF_DW, R10, -8, 1), LOAD(BPF_DW, R0, R10, -8), EXIT);
	TAKEN(PUT(BPF_W, R10, -512, 1), NO);
	TAKEN(STORE(BPF_DW, R10, R1, -8), LOAD(BPF_DW, R2, R10, -8), LOAD(BPF_W, R3, R2, 0), NO);
	TAKEN(MOVX(R2, R10), ALU(BPF_ADD, R2, -16), PUT(BPF_DW, R2, 8, 0), LOAD(BPF_DW, R0, R10, -8), EXIT);
	TAKEN(MOVX(R2, R1), ALU(BPF_SUB, R2, 16), NO);
	TAKEN(MOVX(R2, R1), LOAD(BPF_W, R3, R1, 4), ALUX(BPF_ADD, R2, R3), NO);
	TAKEN(INSN(BPF_ALU64 | BPF_MOV | BPF_X, R2, R1, 8, 0), NO);
	TAKEN(MOVX(R2, R1), INSN(BPF_ALU64 | BPF_NEG, R2, 0, 0, 0), NO);
	TAKEN(MOVX(R2, R1), INSN(BPF_ALU | BPF_MOV | BPF_X, R3, R2, 0, 0), NO);
	TAKEN(LOAD(BPF_DW, R2, R10, -8), NO);
	TAKEN(JUMP(BPF_JEQ, R1, 0, 0), NO);
	/* Where ways meet. */
	TAKEN(MOV(R0, 1), LOAD(BPF_W, R2, R1, 4), JUMP(BPF_JEQ, R2, 1, 1), MOV(R0, 0), EXIT);

}

TEST(programs_of_a_wrong_form)
{
	REFUSED(EINVAL, MOV(R0, 1));
	REFUSED(EINVAL, YES, YES);
	REFUSED(EINVAL, GO(1), EXIT);
	REFUSED(EINVAL, GO(5), YES);
	REFUSED(EINVAL, GO(-3), YES);
	REFUSED(EINVAL, MOV(R0, 1), JUMP(BPF_JEQ, R0, 1, 9), EXIT);
	REFUSED(EINVAL, GO(1), WIDE(R0, 1, 0), EXIT);
	REFUSED(EINVAL, INSN(BPF_LD | BPF_IMM | BPF_DW, R0, 0, 0, 1), EXIT);
	REFUSED(EINVAL, INSN(BPF_LD | BPF_IMM | BPF_DW, R0, 0, 0, 1), INSN(0, 1, 0, 0, 0), EXIT);
	REFUSED(EINVAL, INSN(BPF_LD | BPF_IMM | BPF_DW, R0, 0, 3, 1), INSN(0, 0, 0, 0, 0), EXIT);
	REFUSED(EINVAL, INSN(0, 0, 0, 0, 0), YES);
	REFUSED(EINVAL, INSN(0xff, 0, 0, 0, 0), YES);
	REFUSED(EINVAL, INSN(BPF_LDX | BPF_MEM | BPF_W, R2, R1, 0, 1), YES);
	REFUSED(EINVAL, INSN(BPF_LDX | 0x20 | BPF_W, R2, R1, 0, 0), YES);
	REFUSED(EINVAL, INSN(BPF_STX | BPF_MEM | BPF_W, R10, R1, -8, 1), YES);
	REFUSED(EINVAL, INSN(BPF_ST | BPF_MEM | BPF_W, R10, R1, -8, 1), YES);
	REFUSED(EINVAL, INSN(BPF_ALU64 | BPF_MOV | BPF_K, 11, 0, 0, 1), YES);
	REFUSED(EINVAL, INSN(BPF_ALU64 | BPF_MOV | BPF_X, R0, 12, 0, 0), EXIT);
	REFUSED(EINVAL, INSN(BPF_ALU64 | BPF_MOV | BPF_K, R0, R1, 0, 1), EXIT);
	REFUSED(EINVAL, INSN(BPF_ALU64 | BPF_MOV | BPF_X, R0, R1, 0, 1), EXIT);
	REFUSED(EINVAL, INSN(BPF_ALU64 | BPF_MOV | BPF_K, R0, 0, 1, 1), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_ALU64 | BPF_ADD | BPF_K, R0, 0, 1, 0), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_ALU64 | BPF_ADD | BPF_X, R0, R1, 0, 4), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), ALU(BPF_DIV, R0, 0), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), ALU(BPF_MOD, R0, 0), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), ALU(BPF_LSH, R0, 64), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), ALU(BPF_RSH, R0, -1), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), ALU32(BPF_ARSH, R0, 32), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_ALU64 | BPF_NEG, R0, 0, 0, 1), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_ALU | BPF_END | BPF_TO_BE, R0, 0, 0, 24), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_ALU | BPF_END | BPF_TO_BE, R0, R1, 0, 16), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_JMP | BPF_JA, R1, 0, 0, 0), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_JMP | BPF_JEQ | BPF_K, R0, R1, 0, 0), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_JMP | BPF_JEQ | BPF_X, R0, R0, 0, 1), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_JMP | BPF_EXIT, R1, 0, 0, 0));
	REFUSED(EINVAL, MOV(R0, 1), INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 1));
	REFUSED(EINVAL, INSN(BPF_JMP | BPF_CALL, 0, 0, 0, 123456), EXIT);
	REFUSED(EINVAL, MOV(R0, 1), GO(-1));
}

TEST(programs_that_take_what_is_not_theirs)
{
	REFUSED(EACCES, EXIT);
	REFUSED(EACCES, MOVX(R0, R2), EXIT);
	REFUSED(EACCES, ALU(BPF_ADD, R0, 1), EXIT);
	REFUSED(EACCES, JUMP(BPF_JEQ, R3, 1, 0), YES);
	REFUSED(EACCES, MOV(R0, 1), JUMPX(BPF_JEQ, R0, R3, 0), EXIT);
	REFUSED(EACCES, MOV(R10, 1), YES);
	REFUSED(EACCES, ALU(BPF_ADD, R10, 8), YES);
	REFUSED(EACCES, LOAD(BPF_W, R10, R1, 0), YES);
	REFUSED(EACCES, LOAD(BPF_W, R0, R1, 12), EXIT);
	REFUSED(EACCES, LOAD(BPF_W, R0, R1, -4), EXIT);
	REFUSED(EACCES, LOAD(BPF_W, R0, R1, 2), EXIT);
	REFUSED(EACCES, LOAD(BPF_DW, R0, R1, 0), EXIT);
	REFUSED(EACCES, LOAD(BPF_B, R0, R1, 4), EXIT);
	REFUSED(EACCES, LOAD(BPF_H, R0, R1, 10), EXIT);
	REFUSED(EACCES, STORE(BPF_W, R1, R1, 0), YES);
	REFUSED(EACCES, PUT(BPF_W, R1, 0, 1), YES);
	REFUSED(EACCES, ALU(BPF_ADD, R1, 4), LOAD(BPF_W, R0, R1, 0), EXIT);
	REFUSED(EACCES, MOV(R2, 4096), LOAD(BPF_W, R0, R2, 0), EXIT);
	REFUSED(EACCES, MOV(R2, 4096), PUT(BPF_W, R2, 0, 1), YES);
	REFUSED(EACCES, PUT(BPF_W, R10, -516, 1), YES);
	REFUSED(EACCES, PUT(BPF_W, R10, 0, 1), YES);
	REFUSED(EACCES, PUT(BPF_DW, R10, -4, 1), YES);
	REFUSED(EACCES, PUT(BPF_W, R10, -6, 1), YES);
	REFUSED(EACCES, LOAD(BPF_DW, R2, R10, -520), YES);
	REFUSED(EACCES, STORE(BPF_W, R10, R1, -8), YES);
	REFUSED(EACCES, MOVX(R2, R1), ALU(BPF_MUL, R2, 2), YES);
	REFUSED(EACCES, MOVX(R2, R1), ALU32(BPF_ADD, R2, 2), YES);
	REFUSED(EACCES, MOVX(R2, R10), ALU(BPF_SUB, R2, 16), YES);
	REFUSED(EACCES, MOVX(R2, R1), LOAD(BPF_W, R3, R1, 4), ALUX(BPF_ADD, R2, R3), LOAD(BPF_W, R3, R2, 0), YES);
	REFUSED(EINVAL, MOVX(R2, R1), ALU(BPF_ADD, R2, 1 << 30), YES);
	/* One of two ways leaves a register unwritten. */
	REFUSED(EACCES, LOAD(BPF_W, R2, R1, 4), JUMP(BPF_JEQ, R2, 1, 1), MOV(R0, 0), EXIT);
	/* Answers. */
	REFUSED(EINVAL, MOV(R0, 2), EXIT);
	REFUSED(EINVAL, MOV(R0, -1), EXIT);
	REFUSED(EINVAL, MOVX(R0, R1), EXIT);
	REFUSED(EINVAL, LOAD(BPF_W, R0, R1, 0), EXIT);
	REFUSED(EINVAL, LOAD(BPF_W, R0, R1, 0), ALU(BPF_AND, R0, 3), EXIT);
	REFUSED(EINVAL, LOAD(BPF_W, R0, R1, 4), ALU(BPF_MOD, R0, 2), EXIT);
	REFUSED(EINVAL, LOAD(BPF_W, R0, R1, 4), JUMP(BPF_JGT, R0, 2, 1), EXIT, NO);
}

TEST(arithmetic)
{
	struct bpf_insn yes[] = {YES};

	ANSWERS(1, YES);
	ANSWERS(0, NO);
	ANSWERS(1, MOV(R2, 7), ALU(BPF_ADD, R2, 5), JUMP(BPF_JNE, R2, 12, 2), UNLESS);
	ANSWERS(1, MOV(R2, 7), ALU(BPF_SUB, R2, 9), JUMP(BPF_JNE, R2, -2, 2), UNLESS);
	ANSWERS(1, MOV(R2, 7), ALU32(BPF_SUB, R2, 9), WIDE(R3, 0xfffffffe, 0), JUMPX(BPF_JNE, R2, R3, 2), UNLESS);
	ANSWERS(1, MOV(R2, -7), ALU(BPF_MUL, R2, 6), JUMP(BPF_JNE, R2, -42, 2), UNLESS);
	ANSWERS(1, MOV(R2, 43), ALU(BPF_DIV, R2, 6), JUMP(BPF_JNE, R2, 7, 2), UNLESS);
	ANSWERS(1, MOV(R2, 43), ALU(BPF_MOD, R2, 6), JUMP(BPF_JNE, R2, 1, 2), UNLESS);
	ANSWERS(1, MOV(R2, 43), MOV(R3, 0), ALUX(BPF_DIV, R2, R3), JUMP(BPF_JNE, R2, 0, 2), UNLESS);
	ANSWERS(1, MOV(R2, 43), MOV(R3, 0), ALUX(BPF_MOD, R2, R3), JUMP(BPF_JNE, R2, 43, 2), UNLESS);
	ANSWERS(1, MOV(R2, -43), INSN(BPF_ALU64 | BPF_DIV, R2, 0, 1, 6), JUMP(BPF_JNE, R2, -7, 2), UNLESS);
	ANSWERS(1, MOV(R2, -43), INSN(BPF_ALU64 | BPF_MOD, R2, 0, 1, 6), JUMP(BPF_JNE, R2, -1, 2), UNLESS);
	ANSWERS(1, MOV(R2, 12), ALU(BPF_OR, R2, 3), JUMP(BPF_JNE, R2, 15, 2), UNLESS);
	ANSWERS(1, MOV(R2, 12), ALU(BPF_AND, R2, 6), JUMP(BPF_JNE, R2, 4, 2), UNLESS);
	ANSWERS(1, MOV(R2, 12), ALU(BPF_XOR, R2, 6), JUMP(BPF_JNE, R2, 10, 2), UNLESS);
	ANSWERS(1, MOV(R2, 1), ALU(BPF_LSH, R2, 40), ALU(BPF_RSH, R2, 38), JUMP(BPF_JNE, R2, 4, 2), UNLESS);
	ANSWERS(1, MOV(R2, 1), ALU32(BPF_LSH, R2, 31), ALU32(BPF_ARSH, R2, 31), ALU32(BPF_ADD, R2, 1),
		JUMP(BPF_JNE, R2, 0, 2), UNLESS);
	ANSWERS(1, MOV(R2, -8), ALU(BPF_ARSH, R2, 1), JUMP(BPF_JNE, R2, -4, 2), UNLESS);
	ANSWERS(1, MOV(R2, 5), INSN(BPF_ALU64 | BPF_NEG, R2, 0, 0, 0), JUMP(BPF_JNE, R2, -5, 2), UNLESS);
	ANSWERS(1, MOV(R2, 0x1234), INSN(BPF_ALU | BPF_END | BPF_TO_BE, R2, 0, 0, 16), JUMP(BPF_JNE, R2, 0x3412, 2), UNLESS);
	ANSWERS(1, MOV(R2, 0x12345), INSN(BPF_ALU | BPF_END | BPF_TO_LE, R2, 0, 0, 16), JUMP(BPF_JNE, R2, 0x2345, 2), UNLESS);
	ANSWERS(1, MOV(R2, 0x12), INSN(BPF_ALU64 | BPF_END, R2, 0, 0, 32), WIDE(R3, 0x12000000, 0),
		JUMPX(BPF_JNE, R2, R3, 2), UNLESS);
	ANSWERS(1, MOV(R2, 0x80), INSN(BPF_ALU64 | BPF_MOV | BPF_X, R3, R2, 8, 0), JUMP(BPF_JNE, R3, -128, 2), UNLESS);
	ANSWERS(1, MOV(R2, -1), INSN(BPF_ALU | BPF_MOV | BPF_X, R3, R2, 0, 0), ALU(BPF_RSH, R3, 32), JUMP(BPF_JNE, R3, 0, 2),
		UNLESS);
	ANSWERS(1, WIDE(R2, 1, 1), ALU(BPF_RSH, R2, 32), JUMP(BPF_JNE, R2, 1, 2), UNLESS);
	/* Jumps: each is made, to NO, or it isn't. */
	ANSWERS(0, MOV(R2, 5), JUMP(BPF_JEQ, R2, 5, 2), UNLESS);
	ANSWERS(1, MOV(R2, 5), JUMP(BPF_JGT, R2, 5, 2), UNLESS);
	ANSWERS(0, MOV(R2, 5), JUMP(BPF_JGE, R2, 5, 2), UNLESS);
	ANSWERS(0, MOV(R2, -5), JUMP(BPF_JGT, R2, 5, 2), UNLESS);
	ANSWERS(1, MOV(R2, -5), JUMP(BPF_JSGT, R2, 5, 2), UNLESS);
	ANSWERS(1, MOV(R2, -5), JUMP(BPF_JSGE, R2, 5, 2), UNLESS);
	ANSWERS(0, MOV(R2, -5), JUMP(BPF_JSLT, R2, 5, 2), UNLESS);
	ANSWERS(0, MOV(R2, -5), JUMP(BPF_JSLE, R2, -5, 2), UNLESS);
	ANSWERS(0, MOV(R2, 4), JUMP(BPF_JLT, R2, 5, 2), UNLESS);
	ANSWERS(1, MOV(R2, 6), JUMP(BPF_JLE, R2, 5, 2), UNLESS);
	ANSWERS(0, MOV(R2, 6), JUMP(BPF_JSET, R2, 2, 2), UNLESS);
	ANSWERS(1, MOV(R2, 6), JUMP(BPF_JSET, R2, 1, 2), UNLESS);
	ANSWERS(0, WIDE(R2, 5, 9), JUMP32(BPF_JEQ, R2, 5, 2), UNLESS);
	ANSWERS(1, WIDE(R2, -5, 9), JUMP32(BPF_JSGT, R2, 5, 2), UNLESS);
	ANSWERS(1, LOAD(BPF_W, R2, R1, 8), JUMP(BPF_JNE, R2, 3, 2), MOV(R0, 1), INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, 1),
		MOV(R0, 0), EXIT);
	/* Memory. */
	ANSWERS(1, PUT(BPF_DW, R10, -8, -2), LOAD(BPF_B, R2, R10, -7), JUMP(BPF_JNE, R2, 255, 2), UNLESS);
	ANSWERS(1, PUT(BPF_DW, R10, -8, -2), LOADS(BPF_H, R2, R10, -8), JUMP(BPF_JNE, R2, -2, 2), UNLESS);
	ANSWERS(1, PUT(BPF_DW, R10, -8, 0), PUT(BPF_B, R10, -7, 3), LOAD(BPF_W, R2, R10, -8), JUMP(BPF_JNE, R2, 768, 2),
		UNLESS);
	ANSWERS(1, MOV(R2, 77), STORE(BPF_DW, R10, R2, -16), LOAD(BPF_DW, R3, R10, -16), JUMP(BPF_JNE, R3, 77, 2), UNLESS);
	/* What it is asked. */
	ANSWERS(1, LOAD(BPF_W, R2, R1, 4), JUMP(BPF_JNE, R2, 1, 2), UNLESS);
	ANSWERS(1, LOAD(BPF_W, R2, R1, 8), JUMP(BPF_JNE, R2, 3, 2), UNLESS);
	ANSWERS(1, LOAD(BPF_H, R2, R1, 0), JUMP(BPF_JNE, R2, BPF_DEVCG_DEV_CHAR, 2), UNLESS);
	ANSWERS(1, LOAD(BPF_H, R2, R1, 2), JUMP(BPF_JNE, R2, BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE, 2), UNLESS);
	ANSWERS(1, STORE(BPF_DW, R10, R1, -8), LOAD(BPF_DW, R2, R10, -8), LOAD(BPF_W, R3, R2, 8), JUMP(BPF_JNE, R3, 3, 2),
		UNLESS);
	CHECK(is_taken(load_program(yes, 2)));
}

/* As crun and runc make them: /dev/null for all, /dev/zero for reading, making of its kin, nothing else. */
static int load_rules(void)
{
	return (int)MUST(LOADED(
		LOAD(BPF_W, R2, R1, 0), INSN(BPF_ALU | BPF_AND | BPF_K, R2, 0, 0, 0xffff), LOAD(BPF_W, R3, R1, 0),
		ALU32(BPF_RSH, R3, 16), LOAD(BPF_W, BPF_REG_4, R1, 4), LOAD(BPF_W, BPF_REG_5, R1, 8),
		JUMP(BPF_JNE, R2, BPF_DEVCG_DEV_CHAR, 11), JUMP(BPF_JNE, BPF_REG_4, 1, 10), JUMP(BPF_JNE, BPF_REG_5, 3, 2), YES,
		JUMP(BPF_JNE, BPF_REG_5, 5, 3), JUMP(BPF_JNE, R3, BPF_DEVCG_ACC_READ, 2), YES, JUMP(BPF_JNE, R3,
		BPF_DEVCG_ACC_MKNOD, 2), YES, NO));
}

static int make_node(void)
{
	char name[64];
	int error;

	snprintf(name, sizeof(name), "/tmp/procession-node-%d", (int)getpid());
	error = ERRNO_OF(mknod(name, S_IFCHR | 0600, makedev(10, 200)));
	unlink(name);
	return error;
}

static int make_memory_node(void)
{
	char name[64];
	int error;

	snprintf(name, sizeof(name), "/tmp/procession-node-%d", (int)getpid());
	error = ERRNO_OF(mknod(name, S_IFCHR | 0600, makedev(1, 5)));
	unlink(name);
	return error;
}

static int make_block_node(void)
{
	char name[64];
	int error;

	snprintf(name, sizeof(name), "/tmp/procession-node-%d", (int)getpid());
	error = ERRNO_OF(mknod(name, S_IFBLK | 0600, makedev(7, 200)));
	unlink(name);
	return error;
}

static int make_whiteout(void)
{
	char name[64];
	int error;

	snprintf(name, sizeof(name), "/tmp/procession-node-%d", (int)getpid());
	error = ERRNO_OF(mknod(name, S_IFCHR | 0600, 0)) | ERRNO_OF(mkfifo("/tmp/procession-fifo", 0600));
	unlink(name);
	unlink("/tmp/procession-fifo");
	return error;
}

static int ask_access(void)
{
	return ERRNO_OF(access("/dev/zero", W_OK)) * 2 + (ERRNO_OF(access("/dev/zero", R_OK)) != 0);
}

static int keep_open(void)
{
	int fd = open("/dev/null", O_RDWR), group = open_group("/inner"), no = load_constant(0);
	int error;

	MUST(attach(group, no, 0, 0));
	error = ERRNO_OF(write(fd, "x", 1)) | (ERRNO_OF(open("/dev/null", O_RDWR)) == EPERM ? 0 : 64);
	MUST(detach(group, no));
	return error;
}

TEST(rules_for_devices)
{
	int group = open_group(""), rules = load_rules();

	MUST(close(open_group("/inner")));
	CHECK_EQ(attach(group, rules, BPF_F_ALLOW_MULTI, 0), 0);
	CHECK_EQ(opening("", "/dev/null", O_RDWR), 0);
	CHECK_EQ(opening("", "/dev/zero", O_RDONLY), 0);
	CHECK_EQ(opening("", "/dev/zero", O_WRONLY), EPERM);
	CHECK_EQ(opening("", "/dev/zero", O_RDWR), EPERM);
	CHECK_EQ(opening("", "/dev/full", O_RDONLY), EPERM);
	CHECK_EQ(opening("", "/dev/urandom", O_RDONLY), EPERM);
	CHECK_EQ(opening("", "/dev/full", O_PATH), 0);
	CHECK_EQ(opening("/inner", "/dev/full", O_RDONLY), EPERM);
	CHECK_EQ(opening("/inner", "/dev/zero", O_RDONLY), 0);
	CHECK_EQ(opening("", "/etc/passwd", O_RDONLY), 0);
	CHECK_EQ(opening("", "/proc/self/stat", O_RDONLY), 0);
	CHECK_EQ(errno_in_group("", make_node), EPERM);
	CHECK_EQ(errno_in_group("", make_block_node), EPERM);
	CHECK_EQ(errno_in_group("", make_memory_node), 0);
	CHECK_EQ(errno_in_group("", make_whiteout), 0);
	CHECK_EQ(errno_in_group("", ask_access), EPERM * 2);
	/* Who isn't in the group isn't asked. */
	CHECK_OK(close(open("/dev/full", O_RDONLY)));
	CHECK_EQ(detach(group, rules), 0);
	CHECK_EQ(opening("", "/dev/full", O_RDONLY), 0);
	CHECK_EQ(errno_in_group("", make_node), 0);
	/* What is open stays. */
	CHECK_EQ(errno_in_group("/inner", keep_open), 0);
	drop_group("/inner");
	drop_group("");
}

static long query(int group, unsigned flags, unsigned *ids, unsigned *count, unsigned *attach_flags)
{
	union bpf_attr attributes;
	long result;

	memset(&attributes, 0, sizeof(attributes));
	attributes.query.target_fd = (unsigned)group;
	attributes.query.attach_type = BPF_CGROUP_DEVICE;
	attributes.query.query_flags = flags;
	attributes.query.prog_ids = (uintptr_t)ids;
	attributes.query.prog_cnt = *count;
	attributes.query.attach_flags = 99;
	result = bpf(BPF_PROG_QUERY, &attributes);
	*count = attributes.query.prog_cnt;
	*attach_flags = attributes.query.attach_flags;
	return result;
}

static unsigned id_of(int program)
{
	struct bpf_prog_info info;
	union bpf_attr attributes;

	memset(&info, 0, sizeof(info));
	memset(&attributes, 0, sizeof(attributes));
	attributes.info.bpf_fd = (unsigned)program;
	attributes.info.info_len = sizeof(info);
	attributes.info.info = (uintptr_t)&info;
	MUST(bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes));
	return info.id;
}

TEST(several_programs)
{
	int group = open_group(""), inner = open_group("/inner");
	int yes = load_constant(1), no = load_constant(0), other = load_constant(1);
	unsigned ids[4], count = 4, flags;

	CHECK_EQ(query(group, 0, ids, &count, &flags), 0);
	CHECK(count == 0 && flags == 0);
	CHECK_EQ(attach(group, yes, BPF_F_ALLOW_MULTI, 0), 0);
	CHECK_ERRNO(attach(group, yes, BPF_F_ALLOW_MULTI, 0), EINVAL);
	CHECK_ERRNO(attach(group, no, 0, 0), EPERM);
	CHECK_ERRNO(attach(group, no, BPF_F_ALLOW_OVERRIDE, 0), EPERM);
	CHECK_EQ(attach(group, no, BPF_F_ALLOW_MULTI, 0), 0);
	count = 4;
	CHECK_EQ(query(group, 0, ids, &count, &flags), 0);
	CHECK(count == 2 && flags == BPF_F_ALLOW_MULTI);
	CHECK(ids[0] == id_of(yes) && ids[1] == id_of(no));
	count = 1;
	ids[1] = 7777;
	CHECK_ERRNO(query(group, 0, ids, &count, &flags), ENOSPC);
	CHECK(count == 2 && ids[0] == id_of(yes) && ids[1] == 7777);
	count = 0;
	CHECK_EQ(query(group, 0, NULL, &count, &flags), 0);
	CHECK_EQ(count, 2);
	/* All must allow. */
	CHECK_EQ(opening("", "/dev/null", O_RDWR), EPERM);
	CHECK_EQ(opening("/inner", "/dev/null", O_RDWR), EPERM);
	/* One takes the place of another. */
	CHECK_ERRNO(attach(group, other, BPF_F_REPLACE, no), EINVAL);
	CHECK_ERRNO(attach(group, other, BPF_F_ALLOW_MULTI | BPF_F_REPLACE, other), ENOENT);
	CHECK_ERRNO(attach(group, other, BPF_F_ALLOW_MULTI | BPF_F_REPLACE, 1000), EBADF);
	CHECK_ERRNO(attach(group, yes, BPF_F_ALLOW_MULTI | BPF_F_REPLACE, no), EINVAL);
	CHECK_EQ(attach(group, other, BPF_F_ALLOW_MULTI | BPF_F_REPLACE, no), 0);
	CHECK_EQ(attach(group, other, BPF_F_ALLOW_MULTI | BPF_F_REPLACE, other), 0);
	CHECK_EQ(opening("/inner", "/dev/null", O_RDWR), 0);
	count = 4;
	CHECK_EQ(query(group, 0, ids, &count, &flags), 0);
	CHECK(count == 2 && ids[0] == id_of(yes) && ids[1] == id_of(other));
	/* Below one with several programs all count. */
	CHECK_EQ(attach(inner, no, 0, 0), 0);
	CHECK_EQ(opening("/inner", "/dev/null", O_RDWR), EPERM);
	CHECK_EQ(opening("", "/dev/null", O_RDWR), 0);
	count = 4;
	CHECK_EQ(query(inner, BPF_F_QUERY_EFFECTIVE, ids, &count, &flags), 0);
	CHECK(count == 3 && flags == 0 && ids[0] == id_of(no));
	CHECK_EQ(attach(inner, yes, 0, 0), 0);
	CHECK_EQ(opening("/inner", "/dev/null", O_RDWR), 0);
	CHECK_EQ(detach(inner, 1000), 0);
	CHECK_ERRNO(detach(inner, yes), ENOENT);
	CHECK_ERRNO(detach(group, 1000), EINVAL);
	CHECK_ERRNO(detach(group, no), ENOENT);
	CHECK_EQ(detach(group, yes), 0);
	CHECK_EQ(detach(group, other), 0);
	CHECK_ERRNO(detach(group, other), ENOENT);
	/* The last is gone, and so are the flags. */
	CHECK_EQ(attach(group, no, 0, 0), 0);
	CHECK_ERRNO(attach(inner, yes, 0, 0), EPERM);
	CHECK_ERRNO(attach(inner, yes, BPF_F_ALLOW_MULTI, 0), EPERM);
	CHECK_EQ(attach(group, other, 0, 0), 0);
	CHECK_EQ(detach(group, 0), 0);
	CHECK_EQ(attach(group, no, BPF_F_ALLOW_OVERRIDE, 0), 0);
	CHECK_EQ(opening("/inner", "/dev/null", O_RDWR), EPERM);
	CHECK_EQ(attach(inner, yes, BPF_F_ALLOW_OVERRIDE, 0), 0);
	CHECK_EQ(opening("/inner", "/dev/null", O_RDWR), 0);
	CHECK_EQ(detach(inner, yes), 0);
	/* A group's end frees what is attached to it. */
	drop_group("/inner");
	drop_group("");
	CHECK_ERRNO(attach(group, yes, 0, 0), ENOENT);
	CHECK_ERRNO(detach(group, yes), ENOENT);
	count = 4;
	CHECK_ERRNO(query(group, 0, ids, &count, &flags), ENOENT);
}

TEST(attaching_what_is_wrong)
{
	int group = open_group(""), yes = load_constant(1), null = (int)MUST(open("/dev/null", O_RDONLY));
	unsigned ids[4], count = 4, flags;
	union bpf_attr attributes;

	CHECK_ERRNO(attach(group, 1000, 0, 0), EBADF);
	CHECK_ERRNO(attach(group, null, 0, 0), EINVAL);
	CHECK_ERRNO(attach(1000, yes, 0, 0), EBADF);
	CHECK_ERRNO(attach(null, yes, 0, 0), EBADF);
	CHECK_ERRNO(attach(group, yes, BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI, 0), EINVAL);
	CHECK_ERRNO(attach(group, yes, 1u << 20, 0), EINVAL);
	CHECK_ERRNO(detach(group, yes), ENOENT);
	CHECK_ERRNO(detach(1000, yes), EBADF);
	CHECK_ERRNO(query(1000, 0, ids, &count, &flags), EBADF);
	CHECK_ERRNO(query(group, 2, ids, &count, &flags), EINVAL);
	memset(&attributes, 0, sizeof(attributes));
	attributes.target_fd = (unsigned)group;
	attributes.attach_bpf_fd = (unsigned)yes;
	attributes.attach_type = 1000;
	CHECK_ERRNO(bpf(BPF_PROG_ATTACH, &attributes), EINVAL);
	CHECK_ERRNO(bpf(BPF_PROG_DETACH, &attributes), EINVAL);
	attributes.attach_type = BPF_CGROUP_DEVICE;
	memset((char *)&attributes + 60, 1, 4);
	CHECK_ERRNO(bpf(BPF_PROG_ATTACH, &attributes), EINVAL);
	CHECK_ERRNO(bpf(1000, &attributes), EINVAL);
	CHECK_ERRNO(syscall(SYS_bpf, BPF_PROG_ATTACH, bad_address(), 32), EFAULT);
	CHECK_ERRNO(syscall(SYS_bpf, BPF_PROG_ATTACH, &attributes, 5000), E2BIG);
	drop_group("");
}

TEST(loading_what_is_wrong)
{
	struct bpf_insn program[] = {YES};
	union bpf_attr attributes = load_attributes(program, 2);
	static struct bpf_insn many[5000];

	CHECK(is_taken(bpf(BPF_PROG_LOAD, &attributes)));
	attributes.insn_cnt = 0;
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), E2BIG);
	attributes.insn_cnt = 1000001;
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), E2BIG);
	attributes = load_attributes(program, 2);
	attributes.insns = (uintptr_t)bad_address();
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EFAULT);
	attributes = load_attributes(program, 2);
	attributes.license = (uintptr_t)bad_address();
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EFAULT);
	attributes = load_attributes(program, 2);
	attributes.prog_type = 1000;
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EINVAL);
	attributes = load_attributes(program, 2);
	attributes.prog_flags = 1u << 30;
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EINVAL);
	attributes = load_attributes(program, 2);
	strcpy(attributes.prog_name, "a name");
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EINVAL);
	memset(attributes.prog_name, 'a', 16);
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EINVAL);
	attributes = load_attributes(program, 2);
	attributes.log_buf = (uintptr_t)log_text;
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EINVAL);
	attributes.log_size = 100;
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EINVAL);
	attributes.log_level = 16;
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EINVAL);
	attributes.log_level = 1;
	attributes.log_size = 8;
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), ENOSPC);
	attributes = load_attributes(program, 1);
	attributes.log_level = 1;
	attributes.log_buf = (uintptr_t)log_text;
	attributes.log_size = sizeof(log_text);
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EINVAL);
	CHECK(strstr(log_text, "last insn is not an exit or jmp\n") != NULL);
	CHECK(strstr(log_text, "processed 0 insns ") != NULL);
	/* A long row of the same ends well. */
	for (size_t i = 0; i < LENGTH(many); i++)
		many[i] = MOV(R0, 1);
	many[4095] = EXIT;
	attributes = load_attributes(many, 4096);
	CHECK(is_taken(bpf(BPF_PROG_LOAD, &attributes)));
	/* Programs for packets, as those try that want to know whether programs can be attached. */
	attributes = load_attributes(program, 2);
	attributes.prog_type = BPF_PROG_TYPE_CGROUP_SKB;
	CHECK(is_taken(bpf(BPF_PROG_LOAD, &attributes)));
	attributes.expected_attach_type = 2;
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EINVAL);
}

TEST(what_is_told)
{
	struct bpf_insn program[] = {WIDE(R0, 1, 0), EXIT};
	union bpf_attr attributes = load_attributes(program, 3), found;
	struct bpf_prog_info info;
	struct bpf_insn copy[3];
	char link[64], target[64] = "", text[512] = "", path[64];
	int fd, again, other;

	strcpy(attributes.prog_name, "test_1.a");
	attributes.license = (uintptr_t) "GPL";
	fd = (int)MUST(bpf(BPF_PROG_LOAD, &attributes));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	CHECK_OK(readlink(link, target, sizeof(target) - 1));
	CHECK_STRING(target, "anon_inode:bpf-prog");
	CHECK_ERRNO(read(fd, text, 1), EINVAL);
	CHECK_ERRNO(write(fd, text, 1), EINVAL);
	memset(&info, 0, sizeof(info));
	memset(&found, 0, sizeof(found));
	found.info.bpf_fd = (unsigned)fd;
	found.info.info_len = sizeof(info);
	found.info.info = (uintptr_t)&info;
	info.xlated_prog_len = sizeof(copy);
	info.xlated_prog_insns = (uintptr_t)copy;
	CHECK_EQ(bpf(BPF_OBJ_GET_INFO_BY_FD, &found), 0);
	CHECK_EQ(found.info.info_len, sizeof(info));
	CHECK_EQ(info.type, BPF_PROG_TYPE_CGROUP_DEVICE);
	CHECK(info.id > 0);
	CHECK_STRING(info.name, "test_1.a");
	CHECK_EQ(info.xlated_prog_len, sizeof(program));
	CHECK_EQ(memcmp(copy, program, sizeof(program)), 0);
	CHECK_EQ(info.gpl_compatible, 1);
	CHECK_EQ(info.created_by_uid, 0);
	CHECK_EQ(info.nr_map_ids, 0);
	CHECK_EQ(info.func_info_rec_size, 8);
	CHECK_EQ(info.verified_insns, 2);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	again = (int)MUST(open(path, O_RDONLY));
	CHECK_OK(read(again, text, sizeof(text) - 1));
	CHECK(strstr(text, "\nprog_type:\t15\n") != NULL);
	CHECK(strstr(text, "\nmemlock:\t4096\n") != NULL);
	close(again);
	/* What isn't asked for isn't written. */
	memset(&info, 0, sizeof(info));
	info.jited_prog_len = 0;
	found.info.info_len = 8;
	CHECK_EQ(bpf(BPF_OBJ_GET_INFO_BY_FD, &found), 0);
	CHECK(found.info.info_len == 8 && info.id > 0 && info.load_time == 0);
	/* By its id. */
	other = load_constant(0);
	memset(&attributes, 0, sizeof(attributes));
	attributes.prog_id = info.id;
	again = (int)CHECK_OK(bpf(BPF_PROG_GET_FD_BY_ID, &attributes));
	CHECK_EQ(id_of(again), info.id);
	attributes.prog_id = 0;
	CHECK_ERRNO(bpf(BPF_PROG_GET_FD_BY_ID, &attributes), ENOENT);
	attributes.prog_id = 0x7ffffff0;
	CHECK_ERRNO(bpf(BPF_PROG_GET_FD_BY_ID, &attributes), ENOENT);
	attributes.start_id = info.id - 1;
	CHECK_EQ(bpf(BPF_PROG_GET_NEXT_ID, &attributes), 0);
	CHECK_EQ(attributes.next_id, info.id);
	attributes.start_id = 0x7ffffffe;
	attributes.next_id = 0;
	CHECK_ERRNO(bpf(BPF_PROG_GET_NEXT_ID, &attributes), ENOENT);
	attributes.start_id = 0x80000000u;
	CHECK_ERRNO(bpf(BPF_PROG_GET_NEXT_ID, &attributes), EINVAL);
	/* It goes with the last descriptor. */
	memset(&attributes, 0, sizeof(attributes));
	attributes.prog_id = info.id;
	close(fd);
	close(again);
	sleep_ms(20);
	CHECK_ERRNO(bpf(BPF_PROG_GET_FD_BY_ID, &attributes), ENOENT);
	found.info.bpf_fd = 1000;
	CHECK_ERRNO(bpf(BPF_OBJ_GET_INFO_BY_FD, &found), EBADFD);
	found.info.bpf_fd = (unsigned)open("/dev/null", O_RDONLY);
	CHECK_ERRNO(bpf(BPF_OBJ_GET_INFO_BY_FD, &found), EINVAL);
	found.info.bpf_fd = (unsigned)other;
	found.info.info = (uintptr_t)bad_address();
	CHECK_ERRNO(bpf(BPF_OBJ_GET_INFO_BY_FD, &found), EFAULT);
}

TEST(without_rights)
{
	struct bpf_insn program[] = {YES};
	union bpf_attr attributes = load_attributes(program, 2);
	int group = open_group(""), yes = load_constant(1);
	unsigned ids[4], count = 4, flags;

	MUST(seteuid(NOBODY));
	CHECK_ERRNO(bpf(BPF_PROG_LOAD, &attributes), EPERM);
	CHECK_ERRNO(query(group, 0, ids, &count, &flags), EPERM);
	memset(&attributes, 0, sizeof(attributes));
	attributes.prog_id = 1;
	CHECK_ERRNO(bpf(BPF_PROG_GET_FD_BY_ID, &attributes), EPERM);
	CHECK_ERRNO(bpf(BPF_PROG_GET_NEXT_ID, &attributes), EPERM);
	/* Whoever has both descriptors may attach. */
	CHECK_EQ(attach(group, yes, 0, 0), 0);
	CHECK_EQ(detach(group, yes), 0);
	MUST(seteuid(0));
	drop_group("");
}
