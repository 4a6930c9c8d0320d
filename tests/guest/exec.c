/* Replacing a program: execve(2), execveat(2), posix_spawn(3), scripts, ELF files and the auxiliary vector. */
#include "check.h"

#include <asm/prctl.h>
#include <elf.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static char output[70000];
static size_t output_length;

/* Executes a program in a child with its standard output in `output`, and returns the wait status. */
static int run(const char *path, char *const argv[], char *const envp[])
{
	int ends[2];
	ssize_t got;
	pid_t child;

	MUST(pipe2(ends, O_CLOEXEC));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(dup2(ends[1], STDOUT_FILENO));
		execve(path, argv, envp);
		dprintf(STDOUT_FILENO, "%s", check_errno_name(errno));
		_exit(111);
	}
	MUST(close(ends[1]));
	output_length = 0;
	while ((got = read(ends[0], output + output_length, sizeof(output) - 1 - output_length)) > 0)
		output_length += (size_t)got;
	output[output_length] = '\0';
	MUST(close(ends[0]));
	return wait_for(child);
}

static int run_role(const char *role)
{
	return run(check_self, (char *[]){check_self, (char *)role, NULL}, (char *[]){NULL});
}

/* The number after "NAME=" on a line of the output. */
static long field(const char *name)
{
	size_t length = strlen(name);

	for (const char *line = output; line != NULL; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, name, length) == 0 && line[length] == '=')
			return strtol(line + length + 1, NULL, 0);
	}
	return LONG_MIN;
}

static char *in_environment[] = {"CHECK_ROLE=show", NULL};

ROLE(show)
{
	printf("argc=%d\n", argc);
	for (int at = 0; at < argc; at++)
		printf("[%s]\n", argv[at]);
	printf("end=%d\n", argv[argc] == NULL);
	for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
		printf("<%s>\n", *entry);
	return 0;
}

TEST(arguments_and_environment)
{
	char *argv[] = {"name", "", "two words", "\xc3\xa9\xff\n", "-x", NULL};
	char *envp[] = {"CHECK_ROLE=show", "EMPTY=", "no equals sign", "A=b=c", "A=again", NULL};

	CHECK_EQ(run(check_self, argv, envp), EXITED(0));
	CHECK_STRING(output, "argc=5\n[name]\n[]\n[two words]\n[\xc3\xa9\xff\n]\n[-x]\nend=1\n"
			     "<CHECK_ROLE=show>\n<EMPTY=>\n<no equals sign>\n<A=b=c>\n<A=again>\n");
}

TEST(no_environment)
{
	char *argv[] = {"name", "show", NULL};

	CHECK_EQ(run(check_self, argv, NULL), EXITED(0));
	CHECK_STRING(output, "argc=2\n[name]\n[show]\nend=1\n");
	CHECK_EQ(run(check_self, argv, (char *[]){NULL}), EXITED(0));
	CHECK_STRING(output, "argc=2\n[name]\n[show]\nend=1\n");
}

TEST(empty_argument_list_gets_an_empty_name)
{
	CHECK_EQ(run(check_self, (char *[]){NULL}, in_environment), EXITED(0));
	CHECK_STRING(output, "argc=1\n[]\nend=1\n<CHECK_ROLE=show>\n");
}

TEST(many_arguments)
{
	enum { ARGUMENTS = 2000 };
	char *argv[ARGUMENTS + 1];
	size_t lines = 0;

	for (int at = 0; at < ARGUMENTS; at++)
		argv[at] = "argument";
	argv[ARGUMENTS] = NULL;
	CHECK_EQ(run(check_self, argv, in_environment), EXITED(0));
	for (size_t at = 0; at < output_length; at++)
		lines += output[at] == '\n';
	CHECK_EQ(field("argc"), ARGUMENTS);
	CHECK_EQ(lines, ARGUMENTS + 3);
}

TEST(too_many_bytes_of_arguments)
{
	struct rlimit limit;
	char *longest = malloc(131073);
	char *hundred_thousand = malloc(100001);

	memset(longest, 'a', 131072);
	memset(hundred_thousand, 'b', 100000);
	longest[131072] = hundred_thousand[100000] = '\0';
	CHECK_ERRNO(execve(check_self, (char *[]){"x", longest, NULL}, in_environment), E2BIG);
	CHECK_ERRNO(execve(check_self, (char *[]){"x", NULL}, (char *[]){longest, NULL}), E2BIG);
	longest[131071] = '\0';
	CHECK_EQ(run(check_self, (char *[]){"x", "y", longest, NULL}, (char *[]){"CHECK_ROLE=arguments", NULL}), EXITED(3));
	MUST(getrlimit(RLIMIT_STACK, &limit));
	limit.rlim_cur = 1 << 20;
	CHECK_OK(setrlimit(RLIMIT_STACK, &limit));
	CHECK_ERRNO(execve(check_self,
			   (char *[]){"x", hundred_thousand, hundred_thousand, hundred_thousand, NULL}, in_environment),
		    E2BIG);
	CHECK_ERRNO(execve(check_self, (char *[]){"x", hundred_thousand, NULL},
			   (char *[]){hundred_thousand, hundred_thousand, NULL}),
		    E2BIG);
	CHECK_EQ(run(check_self, (char *[]){"x", hundred_thousand, hundred_thousand, NULL},
		     (char *[]){"CHECK_ROLE=arguments", NULL}),
		 EXITED(3));
}

ROLE(arguments)
{
	return argc;
}

TEST(errnos_of_paths)
{
	char longest[PATH_MAX + 10];
	char *argv[] = {"x", NULL}, *envp[] = {NULL};

	enter_scratch();
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	write_file("plain", "hello", 0644);
	write_file("program", "hello", 0755);
	MUST(mkdir("directory", 0755));
	MUST(symlink("loop", "loop"));
	MUST(symlink("nowhere", "dangling"));
	CHECK_ERRNO(execve("missing", argv, envp), ENOENT);
	CHECK_ERRNO(execve("", argv, envp), ENOENT);
	CHECK_ERRNO(execve("dangling", argv, envp), ENOENT);
	CHECK_ERRNO(execve("missing/program", argv, envp), ENOENT);
	CHECK_ERRNO(execve("program/x", argv, envp), ENOTDIR);
	CHECK_ERRNO(execve("program/", argv, envp), ENOTDIR);
	CHECK_ERRNO(execve("loop", argv, envp), ELOOP);
	CHECK_ERRNO(execve(longest, argv, envp), ENAMETOOLONG);
	longest[300] = '\0';
	CHECK_ERRNO(execve(longest, argv, envp), ENAMETOOLONG);
	CHECK_ERRNO(execve("plain", argv, envp), EACCES);
	CHECK_ERRNO(execve("directory", argv, envp), EACCES);
	CHECK_ERRNO(execve("/dev/null", argv, envp), EACCES);
	CHECK_ERRNO(execve(bad_address(), argv, envp), EFAULT);
	CHECK_ERRNO(execve("program", bad_address(), envp), EFAULT);
	CHECK_ERRNO(execve("program", argv, bad_address()), EFAULT);
	CHECK_ERRNO(execve("program", (char *[]){bad_address(), NULL}, envp), EFAULT);
}

TEST(errnos_of_permissions)
{
	char *argv[] = {"x", NULL}, *envp[] = {NULL};
	pid_t child;

	enter_scratch();
	MUST(mkdir("closed", 0755));
	MUST(symlink(check_self, "closed/program"));
	write_file("others", "#!/bin/true\n", 0745);
	MUST(chmod("closed", 0600));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_ERRNO(execve("closed/program", argv, envp), EACCES);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(chmod("closed", 0700));
	MUST(chmod("others", 0676));
	CHECK_EQ(ERRNO_OF(access("others", X_OK)), getuid() == 0 ? 0 : EACCES);
	MUST(chmod("others", 0666));
	CHECK_ERRNO(access("others", X_OK), EACCES);
	CHECK_ERRNO(execve("others", argv, envp), EACCES);
}

TEST(file_open_for_writing_is_busy)
{
	char *argv[] = {"x", NULL}, *envp[] = {NULL};
	int fd;

	enter_scratch();
	write_file("program", "#!/bin/true\n", 0755);
	fd = (int)MUST(open("program", O_WRONLY | O_CLOEXEC));
	CHECK_ERRNO(execve("program", argv, envp), ETXTBSY);
	MUST(close(fd));
	fd = (int)MUST(open("program", O_RDWR | O_CLOEXEC));
	CHECK_ERRNO(execve("program", argv, envp), ETXTBSY);
	MUST(close(fd));
}

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

TEST(failed_exec_changes_nothing)
{
	char name[16];
	struct sigaction action;
	int fd;

	enter_scratch();
	write_file("garbage", "garbage", 0755);
	fd = (int)MUST(open("garbage", O_RDONLY | O_CLOEXEC));
	handle(SIGUSR1, check_tick, 0);
	MUST(prctl(PR_SET_NAME, "unchanged"));
	CHECK_ERRNO(execve("garbage", (char *[]){"x", NULL}, NULL), ENOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_OK(sigaction(SIGUSR1, NULL, &action));
	CHECK(action.sa_handler == check_tick);
	CHECK_OK(prctl(PR_GET_NAME, name));
	CHECK_STRING(name, "unchanged");
}

/* Makes a script whose interpreter is this program. */
static void write_script(const char *path, const char *interpreter, const char *rest)
{
	char text[PATH_MAX + 600];

	snprintf(text, sizeof(text), "#!%s%s", interpreter, rest);
	write_file(path, text, 0755);
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

ROLE(name)
{
	char name[16];

	MUST(prctl(PR_GET_NAME, name));
	printf("<%s>", name);
	return 0;
}

TEST(command_name_is_the_file_s)
{
	char *argv[] = {"other", "name", NULL}, *envp[] = {NULL};

	enter_scratch();
	MUST(symlink(check_self, "short"));
	MUST(symlink(check_self, "a-name-of-many-letters"));
	CHECK_EQ(run("./short", argv, envp), EXITED(0));
	CHECK_STRING(output, "<short>");
	CHECK_EQ(run("../../../../../../../tmp/../dev/../proc/self/missing", argv, envp), EXITED(111));
	CHECK_STRING(output, "ENOENT");
	CHECK_EQ(run("././a-name-of-many-letters", argv, envp), EXITED(0));
	CHECK_STRING(output, "<a-name-of-many->");
	write_script("script", "./short", " name\n");
	CHECK_EQ(run("./script", argv, envp), EXITED(0));
	CHECK_STRING(output, "<script>");
}

ROLE(descriptors)
{
	for (int at = 1; at < argc; at++) {
		if (argv[at][0] >= '0' && argv[at][0] <= '9')
			putchar(fcntl(atoi(argv[at]), F_GETFD) == -1 ? 'c' : 'o');
	}
	return 0;
}

TEST(close_on_exec)
{
	char words[6][12];
	char *argv[] = {"x", "descriptors", words[0], words[1], words[2], words[3], words[4], words[5], NULL};
	int fds[6];

	enter_scratch();
	write_file("file", "abc", 0644);
	fds[0] = (int)MUST(open("file", O_RDONLY | O_CLOEXEC));
	fds[1] = (int)MUST(open("file", O_RDONLY));
	fds[2] = (int)MUST(dup(fds[0]));
	fds[3] = (int)MUST(dup3(fds[1], 40, O_CLOEXEC));
	fds[4] = (int)MUST(fcntl(fds[1], F_DUPFD_CLOEXEC, 50));
	fds[5] = (int)MUST(open("file", O_RDONLY));
	for (int at = 0; at < 6; at++)
		sprintf(words[at], "%d", fds[at]);
	CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fds[1], F_GETFD), 0);
	CHECK_EQ(fcntl(fds[2], F_GETFD), 0);
	CHECK_EQ(fcntl(fds[3], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fds[4], F_GETFD), FD_CLOEXEC);
	CHECK_OK(fcntl(fds[5], F_SETFD, FD_CLOEXEC));
	CHECK_EQ(run(check_self, argv, (char *[]){NULL}), EXITED(0));
	CHECK_STRING(output, "cooccc");
	CHECK_OK(fcntl(fds[5], F_SETFD, 0));
	CHECK_EQ(run(check_self, argv, (char *[]){NULL}), EXITED(0));
	CHECK_STRING(output, "coocco");
	CHECK_OK(fcntl(fds[0], F_GETFD));
}

ROLE(state)
{
	struct sigaction action;
	sigset_t mask;
	stack_t stack;
	struct rlimit limit;
	char directory[PATH_MAX];
	unsigned char resident;
	int keepcaps = prctl(PR_GET_KEEPCAPS), parent_death = 0;

	sigaction(SIGUSR1, NULL, &action);
	printf("handler_is_default=%d\nflags=%d\n", action.sa_handler == SIG_DFL, action.sa_flags & SA_NODEFER);
	sigaction(SIGUSR2, NULL, &action);
	printf("ignored_stays=%d\n", action.sa_handler == SIG_IGN);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	printf("blocked=%d\nnot_blocked=%d\npending=%d\nnot_pending=%d\n", sigismember(&mask, SIGQUIT),
	       sigismember(&mask, SIGTERM), is_pending(SIGQUIT), is_pending(SIGTERM));
	sigaltstack(NULL, &stack);
	printf("stack_is_disabled=%d\n", stack.ss_flags == SS_DISABLE);
	getrlimit(RLIMIT_NOFILE, &limit);
	printf("limit=%d\numask=%d\nalarm=%d\n", (int)limit.rlim_cur, umask(0), alarm(0) > 0);
	printf("pid=%d\nppid=%d\npgrp=%d\nsid=%d\n", getpid(), getppid(), getpgrp(), getsid(0));
	printf("same_directory=%d\n", strcmp(getcwd(directory, sizeof(directory)), argv[2]) == 0);
	printf("old_mapping=%d\n", mincore((void *)0x10000000, 4096, &resident) == 0);
	prctl(PR_GET_PDEATHSIG, &parent_death);
	printf("pdeathsig=%d\nkeepcaps=%d\nno_new_privs=%d\n", parent_death, keepcaps, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	printf("offset=%d\n", (int)lseek(60, 0, SEEK_CUR));
	printf("priority=%d\n", getpriority(PRIO_PROCESS, 0));
	return 0;
}

TEST(what_exec_keeps_and_what_it_resets)
{
	struct rlimit limit = {100, 200};
	char scratch[64];
	static char alternate[65536];
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	pid_t child;
	int ends[2], old_priority;

	strcpy(scratch, enter_scratch());
	write_file("file", "abcdef", 0644);
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(dup2(ends[1], STDOUT_FILENO));
		MUST(dup2((int)MUST(open("file", O_RDONLY)), 60));
		MUST(lseek(60, 4, SEEK_SET));
		MUST(setpgid(0, 0));
		handle(SIGUSR1, check_tick, SA_NODEFER);
		handle(SIGUSR2, SIG_IGN, 0);
		block(SIGQUIT);
		MUST(raise(SIGQUIT));
		MUST(sigaltstack(&stack, NULL));
		MUST(setrlimit(RLIMIT_NOFILE, &limit));
		umask(0123);
		alarm(1000);
		MUST(nice(4));
		MUST(prctl(PR_SET_PDEATHSIG, SIGTERM));
		MUST(prctl(PR_SET_KEEPCAPS, 1));
		MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		MUST(mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				  MAP_POPULATE, -1, 0) == MAP_FAILED ? -1 : 0);
		execve(check_self, (char *[]){"x", "state", scratch, NULL}, (char *[]){NULL});
		_exit(1);
	}
	MUST(close(ends[1]));
	while (output_length < sizeof(output) - 1) {
		ssize_t got = read(ends[0], output + output_length, sizeof(output) - 1 - output_length);

		if (got <= 0)
			break;
		output_length += (size_t)got;
	}
	old_priority = getpriority(PRIO_PROCESS, 0);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(field("handler_is_default"), 1);
	CHECK_EQ(field("flags"), 0);
	CHECK_EQ(field("ignored_stays"), 1);
	CHECK_EQ(field("blocked"), 1);
	CHECK_EQ(field("not_blocked"), 0);
	CHECK_EQ(field("pending"), 1);
	CHECK_EQ(field("not_pending"), 0);
	CHECK_EQ(field("stack_is_disabled"), 1);
	CHECK_EQ(field("limit"), 100);
	CHECK_EQ(field("umask"), 0123);
	CHECK_EQ(field("alarm"), 1);
	CHECK_EQ(field("pid"), child);
	CHECK_EQ(field("ppid"), getpid());
	CHECK_EQ(field("pgrp"), child);
	CHECK_EQ(field("sid"), getsid(0));
	CHECK_EQ(field("same_directory"), 1);
	CHECK_EQ(field("old_mapping"), 0);
	CHECK_EQ(field("pdeathsig"), SIGTERM);
	CHECK_EQ(field("keepcaps"), 0);
	CHECK_EQ(field("no_new_privs"), 1);
	CHECK_EQ(field("offset"), 4);
	CHECK_EQ(field("priority"), old_priority + 4 > 19 ? 19 : old_priority + 4);
}

TEST(execveat_through_a_directory)
{
	char *argv[] = {"x", "show", NULL}, *envp[] = {NULL};
	int directory, file, ends[2];
	pid_t child;

	enter_scratch();
	MUST(mkdir("sub", 0755));
	MUST(symlink(check_self, "sub/me"));
	write_file("garbage", "garbage", 0755);
	directory = (int)MUST(open("sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	file = (int)MUST(open("garbage", O_RDONLY | O_CLOEXEC));
	CHECK_ERRNO(execveat(directory, "missing", argv, envp, 0), ENOENT);
	CHECK_ERRNO(execveat(directory, "", argv, envp, 0), ENOENT);
	CHECK_ERRNO(execveat(directory, "", argv, envp, AT_EMPTY_PATH), EACCES);
	CHECK_ERRNO(execveat(directory, "me", argv, envp, AT_SYMLINK_NOFOLLOW), ELOOP);
	CHECK_ERRNO(execveat(directory, "me", argv, envp, 0x10), EINVAL);
	CHECK_ERRNO(execveat(5000, "me", argv, envp, 0), EBADF);
	CHECK_ERRNO(execveat(file, "me", argv, envp, 0), ENOTDIR);
	CHECK_ERRNO(execveat(file, "", argv, envp, AT_EMPTY_PATH), ENOEXEC);
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(dup2(ends[1], STDOUT_FILENO));
		execveat(directory, "me", argv, envp, 0);
		_exit(1);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	memset(output, 0, sizeof(output));
	CHECK(read(ends[0], output, sizeof(output) - 1) > 0);
	CHECK_STRING(output, "argc=2\n[x]\n[show]\nend=1\n");
}

TEST(fexecve_of_programs_and_scripts)
{
	char *argv[] = {"x", "arguments", NULL}, *envp[] = {NULL};
	int file = (int)MUST(open(check_self, O_RDONLY | O_CLOEXEC)), script;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		fexecve(file, argv, envp);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(2));
	enter_scratch();
	MUST(symlink(check_self, "me"));
	write_script("script", "./me", " arguments\n");
	script = (int)MUST(open("script", O_RDONLY | O_CLOEXEC));
	CHECK_ERRNO(fexecve(script, argv, envp), ENOENT);
	MUST(fcntl(script, F_SETFD, 0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		fexecve(script, argv, envp);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(4));
}

ROLE(spawned)
{
	struct sigaction action;
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigaction(SIGUSR2, NULL, &action);
	printf("group=%d\nblocked=%d\ndefault=%d\ninput=%d\nclosed=%d\n", getpgrp() == getpid(),
	       sigismember(&mask, SIGTERM), action.sa_handler == SIG_DFL, getchar(), fcntl(70, F_GETFD) == -1);
	return 23;
}

TEST(spawning)
{
	char *argv[] = {"x", "spawned", NULL}, *envp[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t mask = set_of(SIGTERM), defaults = set_of(SIGUSR2);
	pid_t child;

	enter_scratch();
	write_file("input", "Q", 0644);
	MUST(dup2((int)MUST(open("input", O_RDONLY)), 70));
	handle(SIGUSR2, SIG_IGN, 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "input", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "output", O_WRONLY | O_CREAT, 0644);
	posix_spawn_file_actions_addclose(&actions, 70);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &mask);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	CHECK_EQ(posix_spawn(&child, check_self, &actions, &attributes, argv, envp), 0);
	CHECK_EQ(wait_for(child), EXITED(23));
	memset(output, 0, sizeof(output));
	CHECK(read((int)MUST(open("output", O_RDONLY)), output, sizeof(output) - 1) > 0);
	CHECK_EQ(field("group"), 1);
	CHECK_EQ(field("blocked"), 1);
	CHECK_EQ(field("default"), 1);
	CHECK_EQ(field("input"), 'Q');
	CHECK_EQ(field("closed"), 1);
	CHECK_EQ(posix_spawn(&child, "./missing", NULL, NULL, argv, envp), ENOENT);
	CHECK_EQ(posix_spawn(&child, "./input", NULL, NULL, argv, envp), EACCES);
	CHECK_ERRNO(wait(NULL), ECHILD);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
}

ROLE(countdown)
{
	char next[12];
	int left = atoi(argv[2]);

	if (left == 0)
		return getpid() == atoi(argv[3]) ? 77 : 78;
	sprintf(next, "%d", left - 1);
	execve(argv[4], (char *[]){"x", "countdown", next, argv[3], argv[4], NULL}, (char *[]){NULL});
	return 79;
}

TEST(exec_again_and_again_in_one_process)
{
	char pid[12];
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		sprintf(pid, "%d", getpid());
		execve(check_self, (char *[]){"x", "countdown", "8", pid, check_self, NULL}, (char *[]){NULL});
		_exit(1);
	}
	CHECK_EQ(wait_for(child), EXITED(77));
}
