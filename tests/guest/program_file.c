/* What the kernel makes of a program's file: ELF images, scripts, the auxiliary vector: execve(2), getauxval(3). */
#include "run_program.h"

#include <asm/prctl.h>
#include <elf.h>
#include <sys/auxv.h>

/* What a hand-made ELF file of two program headers contains. */
struct elf_plan {
	Elf64_Ehdr header;
	Elf64_Phdr interpreter;
	Elf64_Phdr load;
	char interpreter_path[128];
	unsigned char code[64];
};

enum { ELF_FILE_SIZE = 1024, ELF_ADDRESS = 0x400000 };

/* A program that exits with 7 plus two bytes of its BSS, the first in a page that it shares with the file. */
static struct elf_plan plain_elf(void)
{
	static const unsigned char code[] = {
		0xbf, 7, 0, 0, 0,				/* mov $7, %edi */
		0x0f, 0xb6, 0x04, 0x25, 0x08, 0x04, 0x40, 0x00, /* movzbl 0x400408, %eax */
		0x01, 0xc7,					/* add %eax, %edi */
		0x0f, 0xb6, 0x04, 0x25, 0x00, 0x20, 0x40, 0x00, /* movzbl 0x402000, %eax */
		0x01, 0xc7,					/* add %eax, %edi */
		0xb8, SYS_exit, 0, 0, 0,			/* mov $SYS_exit, %eax */
		0x0f, 0x05,					/* syscall */
	};
	struct elf_plan plan = {
		.header = {
			.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
			.e_entry = ELF_ADDRESS + offsetof(struct elf_plan, code),
			.e_phoff = offsetof(struct elf_plan, interpreter),
			.e_ehsize = sizeof(Elf64_Ehdr), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2,
		},
		.interpreter = {
			.p_type = PT_NULL, .p_flags = PF_R, .p_offset = offsetof(struct elf_plan, interpreter_path),
		},
		.load = {
			.p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X, .p_vaddr = ELF_ADDRESS,
			.p_filesz = ELF_FILE_SIZE, .p_memsz = 0x3000, .p_align = 0x1000,
		},
	};

	memcpy(plan.code, code, sizeof(code));
	return plan;
}

static void ask_for_interpreter(struct elf_plan *plan, const char *path)
{
	strcpy(plan->interpreter_path, path);
	plan->interpreter.p_type = PT_INTERP;
	plan->interpreter.p_filesz = strlen(path) + 1;
}

/* Writes the first `length` bytes of the file; what follows the plan is 0xaa, which isn't part of the segment. */
static void write_elf(const char *path, const struct elf_plan *plan, size_t length)
{
	unsigned char file[4096];
	int fd = (int)MUST(open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0755));

	memset(file, 0xaa, sizeof(file));
	memcpy(file, plan, sizeof(*plan));
	write_all(fd, file, length);
	MUST(close(fd));
}

TEST(small_elf_file)
{
	struct elf_plan plan = plain_elf();

	enter_scratch();
	write_elf("small", &plan, 4096);
	CHECK_EQ(run("./small", (char *[]){"small", NULL}, (char *[]){NULL}), EXITED(7));
	CHECK_EQ(output_length, 0);
	CHECK_EQ(run("small", NULL, NULL), EXITED(7));
}

TEST(what_is_no_program)
{
	struct elf_plan plan = plain_elf();
	char *argv[] = {"x", NULL}, *envp[] = {NULL};

	enter_scratch();
	write_file("empty", "", 0755);
	CHECK_ERRNO(execve("empty", argv, envp), ENOEXEC);
	write_file("garbage", "this is not a program at all\n", 0755);
	CHECK_ERRNO(execve("garbage", argv, envp), ENOEXEC);
	write_file("magic", ELFMAG, 0755);
	CHECK_ERRNO(execve("magic", argv, envp), ENOEXEC);
	write_elf("truncated", &plan, 30);
	CHECK_ERRNO(execve("truncated", argv, envp), ENOEXEC);
	write_elf("truncated", &plan, sizeof(Elf64_Ehdr));
	CHECK_ERRNO(execve("truncated", argv, envp), ENOEXEC);
	write_elf("truncated", &plan, sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr));
	CHECK_ERRNO(execve("truncated", argv, envp), ENOEXEC);
	plan.header.e_machine = 0x1234;
	write_elf("machine", &plan, 4096);
	CHECK_ERRNO(execve("machine", argv, envp), ENOEXEC);
	plan = plain_elf();
	plan.header.e_type = ET_REL;
	write_elf("object", &plan, 4096);
	CHECK_ERRNO(execve("object", argv, envp), ENOEXEC);
	plan = plain_elf();
	plan.header.e_type = ET_CORE;
	write_elf("core", &plan, 4096);
	CHECK_ERRNO(execve("core", argv, envp), ENOEXEC);
	plan = plain_elf();
	plan.header.e_ident[EI_MAG3] = 'f';
	write_elf("magic", &plan, 4096);
	CHECK_ERRNO(execve("magic", argv, envp), ENOEXEC);
	plan = plain_elf();
	plan.header.e_phentsize = 32;
	write_elf("entry", &plan, 4096);
	CHECK_ERRNO(execve("entry", argv, envp), ENOEXEC);
	plan = plain_elf();
	plan.header.e_phnum = 0;
	write_elf("none", &plan, 4096);
	CHECK_ERRNO(execve("none", argv, envp), ENOEXEC);
}

TEST(elf_interpreter_errnos)
{
	struct elf_plan plan = plain_elf();
	char *argv[] = {"x", NULL}, *envp[] = {NULL};

	enter_scratch();
	ask_for_interpreter(&plan, "./missing");
	write_elf("program", &plan, 4096);
	CHECK_ERRNO(execve("program", argv, envp), ENOENT);
	ask_for_interpreter(&plan, "./plain");
	write_elf("program", &plan, 4096);
	write_file("plain", "This text is a little longer than the sixty-four bytes of an ELF header.\n", 0644);
	CHECK_ERRNO(execve("program", argv, envp), EACCES);
	MUST(chmod("plain", 0755));
	CHECK_ERRNO(execve("program", argv, envp), ELIBBAD);
	ask_for_interpreter(&plan, ".");
	write_elf("program", &plan, 4096);
	CHECK_ERRNO(execve("program", argv, envp), EACCES);
	ask_for_interpreter(&plan, "./plain");
	plan.interpreter.p_filesz = 3;
	write_elf("program", &plan, 4096);
	CHECK_ERRNO(execve("program", argv, envp), ENOEXEC);
	plan.interpreter.p_filesz = 1;
	write_elf("program", &plan, 4096);
	CHECK_ERRNO(execve("program", argv, envp), ENOEXEC);
	plan.interpreter.p_filesz = PATH_MAX + 1;
	write_elf("program", &plan, 4096);
	CHECK_ERRNO(execve("program", argv, envp), ENOEXEC);
}

/* What the interpreter of a script shows: `middle` is between its own name and the script's. */
static void expect_shown(char *buffer, const char *first, const char *middle, const char *last)
{
	int count = 1 + (*middle != '\0');

	for (const char *at = last; *at != '\0'; at++)
		count += *at == '[';
	sprintf(buffer, "argc=%d\n[%s]\n%s%send=1\n<CHECK_ROLE=show>\n", count, first, middle, last);
}

TEST(script_arguments)
{
	char want[PATH_MAX + 300];
	char *argv[] = {"zero", "one", "two words", NULL};

	enter_scratch();
	MUST(symlink(check_self, "me"));
	write_script("script", "./me", "\n");
	CHECK_EQ(run("./script", argv, in_environment), EXITED(0));
	expect_shown(want, "./me", "", "[./script]\n[one]\n[two words]\n");
	CHECK_STRING(output, want);
	write_script("script", "./me", " -a -b  c\nignored\n");
	CHECK_EQ(run("script", argv, in_environment), EXITED(0));
	expect_shown(want, "./me", "[-a -b  c]\n", "[script]\n[one]\n[two words]\n");
	CHECK_STRING(output, want);
	write_script("script", " \t ./me", "\t -x \t \n");
	CHECK_EQ(run("./script", (char *[]){NULL}, in_environment), EXITED(0));
	expect_shown(want, "./me", "[-x]\n", "[./script]\n");
	CHECK_STRING(output, want);
	write_script("script", "./me", "");
	CHECK_EQ(run("./script", (char *[]){"x", NULL}, in_environment), EXITED(0));
	expect_shown(want, "./me", "", "[./script]\n");
	CHECK_STRING(output, want);
	write_script("script", "./me", "   \n");
	CHECK_EQ(run("./script", (char *[]){"x", NULL}, in_environment), EXITED(0));
	CHECK_STRING(output, want);
}

TEST(script_whose_interpreter_is_a_script)
{
	char want[PATH_MAX + 300];

	enter_scratch();
	MUST(symlink(check_self, "me"));
	write_script("inner", "./me", " from-inner\n");
	write_script("outer", "./inner", " from-outer\n");
	CHECK_EQ(run("./outer", (char *[]){"zero", "one", NULL}, in_environment), EXITED(0));
	expect_shown(want, "./me", "[from-inner]\n", "[./inner]\n[from-outer]\n[./outer]\n[one]\n");
	CHECK_STRING(output, want);
}

TEST(script_recursion_limit)
{
	char path[8], previous[8] = "./me";

	enter_scratch();
	MUST(symlink(check_self, "me"));
	for (int depth = 1; depth <= 6; depth++) {
		sprintf(path, "./s%d", depth);
		write_script(path, previous, "\n");
		strcpy(previous, path);
	}
	CHECK_EQ(run("./s4", (char *[]){"x", NULL}, in_environment), EXITED(0));
	CHECK_EQ(field("argc"), 5);
	CHECK_EQ(run("./s5", (char *[]){"x", NULL}, in_environment), EXITED(0));
	CHECK_EQ(field("argc"), 6);
	CHECK_ERRNO(execve("./s6", (char *[]){"x", NULL}, in_environment), ELOOP);
	write_script("itself", "./itself", "\n");
	CHECK_ERRNO(execve("./itself", (char *[]){"x", NULL}, in_environment), ELOOP);
}

TEST(script_errnos)
{
	char *argv[] = {"x", NULL}, *envp[] = {NULL};
	char long_path[300];

	enter_scratch();
	write_script("script", "./missing", "\n");
	CHECK_ERRNO(execve("script", argv, envp), ENOENT);
	write_script("script", "/dev/null", "\n");
	CHECK_ERRNO(execve("script", argv, envp), EACCES);
	write_script("script", ".", "\n");
	CHECK_ERRNO(execve("script", argv, envp), EACCES);
	write_script("script", "", "\n");
	CHECK_ERRNO(execve("script", argv, envp), ENOEXEC);
	write_script("script", "  \t", "\n");
	CHECK_ERRNO(execve("script", argv, envp), ENOEXEC);
	write_file("garbage", "garbage", 0755);
	write_script("script", "./garbage", "\n");
	CHECK_ERRNO(execve("script", argv, envp), ENOEXEC);
	write_file("plain", "#!/bin/true\n", 0644);
	write_script("script", "./plain", "\n");
	CHECK_ERRNO(execve("script", argv, envp), EACCES);
	write_script("script", "./script/x", "\n");
	CHECK_ERRNO(execve("script", argv, envp), ENOTDIR);
	memset(long_path, '/', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	write_script("script", long_path, "\n");
	CHECK_ERRNO(execve("script", argv, envp), ENOEXEC);
	/* Where the newline is the last byte that is looked at, the path can't have been cut off. */
	long_path[256 - strlen("#!\n")] = '\0';
	write_script("script", long_path, "\n");
	CHECK_ERRNO(execve("script", argv, envp), EACCES);
	long_path[256 - strlen("#!\n")] = '/';
	long_path[257 - strlen("#!\n")] = '\0';
	write_script("script", long_path, "\n");
	CHECK_ERRNO(execve("script", argv, envp), ENOEXEC);
}

TEST(script_line_is_cut_at_its_limit)
{
	char rest[500], *argument;

	enter_scratch();
	MUST(symlink(check_self, "me"));
	rest[0] = ' ';
	memset(rest + 1, 'a', sizeof(rest) - 2);
	rest[sizeof(rest) - 1] = '\0';
	write_script("script", "./me", rest);
	CHECK_EQ(run("./script", (char *[]){"x", NULL}, in_environment), EXITED(0));
	CHECK_EQ(field("argc"), 3);
	argument = strstr(output, "[aaa");
	CHECK(argument != NULL);
	CHECK_EQ(argument == NULL ? 0 : strspn(argument + 1, "a"), 255 - strlen("#!./me "));
}

static __thread int tls_set = 1234;
static __thread long tls_zero[10];
static int data_set[3] = {1, 2, 3};
static char bss[300001];
static const char constant[] = "constant";

ROLE(image)
{
	unsigned char sum = 0;
	unsigned long fs_base = 0, self;
	const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
	size_t loads = 0, executable = 0;
	struct { char one; _Alignas(16) char aligned[16]; } local;

	for (size_t at = 0; at < sizeof(bss); at++)
		sum |= (unsigned char)bss[at];
	for (size_t at = 0; at < LENGTH(tls_zero); at++)
		sum |= (unsigned char)tls_zero[at];
	for (size_t at = 0; at < getauxval(AT_PHNUM); at++) {
		loads += headers[at].p_type == PT_LOAD;
		executable += headers[at].p_type == PT_LOAD && (headers[at].p_flags & PF_X) &&
			      !(headers[at].p_flags & PF_W);
	}
	syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_base);
	__asm__("mov %%fs:0, %0" : "=r"(self));
	printf("bss_bits=%d\ntls=%d\ndata=%d\nconstant=%d\n", sum, tls_set, data_set[0] + data_set[1] + data_set[2],
	       strcmp(constant, "constant") == 0);
	printf("fs_is_self=%d\nfs_is_read_back=%d\n", self != 0 && fs_base == self, fs_base != 0);
	printf("loads=%zu\nexecutable=%zu\n", loads, executable);
	printf("entry_stack_remainder=%lu\n", ((unsigned long)argv - 8) % 16);
	printf("local_remainder=%lu\n", (unsigned long)local.aligned % 16);
	printf("argc_is_below=%d\n", ((long *)argv)[-1] == argc);
	printf("environment_follows=%d\n", environ == argv + argc + 1);
	return 0;
}

TEST(image_of_a_program)
{
	CHECK_EQ(run_role("image"), EXITED(0));
	CHECK_EQ(field("bss_bits"), 0);
	CHECK_EQ(field("tls"), 1234);
	CHECK_EQ(field("data"), 6);
	CHECK_EQ(field("constant"), 1);
	CHECK_EQ(field("fs_is_self"), 1);
	CHECK_EQ(field("fs_is_read_back"), 1);
	CHECK(field("loads") >= 2);
	CHECK_EQ(field("executable"), 1);
	CHECK_EQ(field("entry_stack_remainder"), 0);
	CHECK_EQ(field("local_remainder"), 0);
	CHECK_EQ(field("argc_is_below"), 1);
	CHECK_EQ(field("environment_follows"), 1);
}

TEST(thread_local_storage_is_copied_by_fork)
{
	pid_t child;

	tls_set = 5;
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(tls_set, 5);
		tls_set = 6;
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(tls_set, 5);
}

ROLE(auxv)
{
	const Elf64_auxv_t *vector;
	char **after = environ;
	unsigned char *random_bytes = (unsigned char *)getauxval(AT_RANDOM);
	const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
	const Elf64_Phdr *itself = NULL, *code = NULL, *interpreter = NULL;
	unsigned long bias = 0;
	unsigned long capabilities = 0;
	int count = 0;

	while (*after != NULL)
		after++;
	vector = (const Elf64_auxv_t *)(after + 1);
	for (const Elf64_auxv_t *entry = vector; entry->a_type != AT_NULL; entry++) {
		count++;
		if (entry->a_type == AT_HWCAP)
			capabilities = entry->a_un.a_val;
	}
	for (size_t at = 0; at < getauxval(AT_PHNUM); at++) {
		if (headers[at].p_type == PT_PHDR)
			itself = &headers[at];
		if (headers[at].p_type == PT_INTERP)
			interpreter = &headers[at];
		if (headers[at].p_type == PT_LOAD && (headers[at].p_flags & PF_X))
			code = &headers[at];
	}
	if (itself != NULL)
		bias = (unsigned long)headers - itself->p_vaddr;
	printf("count=%d\npagesz=%lu\nphent=%lu\nclktck=%lu\nsecure=%lu\nflags=%lu\n", count, getauxval(AT_PAGESZ),
	       getauxval(AT_PHENT), getauxval(AT_CLKTCK), getauxval(AT_SECURE), getauxval(AT_FLAGS));
	printf("ids=%d\n", getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid() &&
				   getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
	printf("has_interpreter=%d\nbase=%d\n", interpreter != NULL, getauxval(AT_BASE) != 0);
	printf("base_is_elf=%d\n", getauxval(AT_BASE) == 0 || memcmp((void *)getauxval(AT_BASE), ELFMAG, SELFMAG) == 0);
	printf("entry_in_code=%d\n", code != NULL && getauxval(AT_ENTRY) >= bias + code->p_vaddr &&
					     getauxval(AT_ENTRY) < bias + code->p_vaddr + code->p_memsz);
	printf("random=0x%02x%02x%02x%02x%02x%02x%02x\n", random_bytes[0] & 0x7f, random_bytes[1], random_bytes[2],
	       random_bytes[3], random_bytes[4], random_bytes[5], random_bytes[6]);
	printf("platform=%d\n", strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0);
	printf("has_fpu_and_sse2=%d\n", (capabilities & 1) && (capabilities & 1 << 26));
	printf("execfn=%d\n", strcmp((char *)getauxval(AT_EXECFN), argc > 2 ? argv[2] : "") == 0);
	printf("above_stack=%d\n", (unsigned long)random_bytes > (unsigned long)vector);
	return 0;
}

TEST(auxiliary_vector)
{
	char *argv[] = {"any name", "auxv", check_self, NULL};
	long first;

	CHECK_EQ(run(check_self, argv, (char *[]){NULL}), EXITED(0));
	CHECK(field("count") >= 15);
	CHECK_EQ(field("pagesz"), 4096);
	CHECK_EQ(field("phent"), sizeof(Elf64_Phdr));
	CHECK_EQ(field("clktck"), sysconf(_SC_CLK_TCK));
	CHECK_EQ(field("secure"), 0);
	CHECK_EQ(field("flags"), 0);
	CHECK_EQ(field("ids"), 1);
	CHECK_EQ(field("base"), field("has_interpreter"));
	CHECK_EQ(field("base_is_elf"), 1);
	CHECK_EQ(field("entry_in_code"), 1);
	CHECK_EQ(field("platform"), 1);
	CHECK_EQ(field("has_fpu_and_sse2"), 1);
	CHECK_EQ(field("execfn"), 1);
	CHECK_EQ(field("above_stack"), 1);
	first = field("random");
	CHECK(first > 0);
	CHECK_EQ(run(check_self, argv, (char *[]){NULL}), EXITED(0));
	CHECK(field("random") != first);

	enter_scratch();
	MUST(symlink(check_self, "link"));
	argv[2] = "./link";
	CHECK_EQ(run("./link", argv, (char *[]){NULL}), EXITED(0));
	CHECK_EQ(field("execfn"), 1);
}
