/* Replacing a program: execve(2), execveat(2), posix_spawn(3), and what it keeps and resets. */
#include "run_program.h"

#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000
#endif

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

/* How a child ends that executes `path` with so many arguments and so much stack. */
static int status_of_exec(const char *path, size_t count, rlim_t stack)
{
	static char *arguments[10001];
	struct rlimit limit = {stack, RLIM_INFINITY};
	pid_t child = fork();

	if (child == 0) {
		for (size_t at = 0; at < count; at++)
			arguments[at] = "a";
		arguments[count] = NULL;
		setrlimit(RLIMIT_STACK, &limit);
		execv(path, arguments);
		_exit(errno);
	}
	return wait_for(child);
}

TEST(a_stack_too_small_for_what_a_program_is_given)
{
	CHECK_EQ(status_of_exec("/bin/true", 1000, 1 << 20), EXITED(0));
	/* The strings fit in a quarter of it, the pointers not even in all: there's no way back any more. */
	CHECK_EQ(status_of_exec("/bin/true", 8000, 65536) & 0x7f, SIGSEGV);
	CHECK_EQ(status_of_exec("/bin/true", 1, 4096) & 0x7f, SIGSEGV);
}

TEST(strings_that_the_stack_may_not_grow_for)
{
	static char string[65536 + 1];
	struct rlimit limit;
	size_t room = 65536 - 8 - sizeof("/bin/true");

	MUST(getrlimit(RLIMIT_STACK, &limit));
	/* What isn't a whole page of the limit is no room. */
	limit.rlim_cur = 65536 + 4095;
	CHECK_OK(setrlimit(RLIMIT_STACK, &limit));
	memset(string, 'a', room);
	CHECK_ERRNO(execve("/bin/true", (char *[]){string, NULL}, (char *[]){NULL}), E2BIG);
	CHECK_ERRNO(execve("/bin/true", (char *[]){"", NULL}, (char *[]){string, NULL}), E2BIG);
	/* Of those that just fit the program sees nothing: there's no room for the pointers. */
	string[room - 1] = '\0';
	CHECK_EQ(run("/bin/true", (char *[]){string, NULL}, (char *[]){NULL}) & 0x7f, SIGSEGV);
	/* It has a page in any case, and this is found before what the file is. */
	enter_scratch();
	write_file("garbage", "garbage", 0755);
	limit.rlim_cur = 0;
	CHECK_OK(setrlimit(RLIMIT_STACK, &limit));
	room = 4096 - 8 - sizeof("garbage");
	memset(string, 'a', room);
	string[room] = '\0';
	CHECK_ERRNO(execve("garbage", (char *[]){string, NULL}, (char *[]){NULL}), E2BIG);
	string[room - 1] = '\0';
	CHECK_ERRNO(execve("garbage", (char *[]){string, NULL}, (char *[]){NULL}), ENOEXEC);
}

TEST(a_script_whose_interpreter_has_an_empty_name)
{
	enter_scratch();
	write_file("script", "#!", 0755);
	CHECK_EQ(status_of_exec("./script", 1, 1 << 20), EXITED(EACCES));
	write_file("script", "#! \t", 0755);
	CHECK_EQ(status_of_exec("./script", 1, 1 << 20), EXITED(EACCES));
	write_file("script", "#! \n", 0755);
	CHECK_EQ(status_of_exec("./script", 1, 1 << 20), EXITED(ENOEXEC));
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

/* Two files of which execve(2) finds different faults. */
static void enter_with_no_programs(void)
{
	enter_scratch();
	write_file("plain", "no program", 0755);
	write_file("unexecutable", "no program", 0644);
}

TEST(execveat_may_only_check)
{
	char *argv[] = {"x", NULL}, *envp[] = {NULL};
	char **bad = (char **)bad_address();
	int file;

	enter_with_no_programs();
	CHECK_EQ(syscall(SYS_execveat, AT_FDCWD, "plain", argv, envp, AT_EXECVE_CHECK), 0);
	CHECK_EQ(syscall(SYS_execveat, AT_FDCWD, "plain", NULL, NULL, AT_EXECVE_CHECK), 0);
	CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "unexecutable", argv, envp, AT_EXECVE_CHECK), EACCES);
	CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "missing", argv, envp, AT_EXECVE_CHECK), ENOENT);
	CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "plain", bad, envp, AT_EXECVE_CHECK), EFAULT);
	CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "plain", argv, envp, 0), ENOEXEC);
	file = (int)MUST(open("plain", O_RDONLY | O_CLOEXEC));
	CHECK_EQ(syscall(SYS_execveat, file, "", argv, envp, AT_EMPTY_PATH | AT_EXECVE_CHECK), 0);
	CHECK_ERRNO(syscall(SYS_execveat, file, "", argv, envp, AT_EXECVE_CHECK), ENOENT);
	close(file);
}

TEST(the_program_is_opened_before_its_arguments_are_read)
{
	char *argv[] = {"x", NULL}, *envp[] = {NULL};
	char **bad = (char **)bad_address();
	int file;

	enter_with_no_programs();
	CHECK_ERRNO(execve("missing", bad, envp), ENOENT);
	CHECK_ERRNO(execve("unexecutable", bad, envp), EACCES);
	CHECK_ERRNO(execve(".", bad, envp), EACCES);
	CHECK_ERRNO(execve("plain", bad, envp), EFAULT);
	CHECK_ERRNO(execve("plain", argv, bad), EFAULT);
	file = (int)MUST(open("plain", O_WRONLY | O_CLOEXEC));
	CHECK_ERRNO(execve("plain", bad, envp), ETXTBSY);
	close(file);
	CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "", argv, envp, 0x10), ENOENT);
	CHECK_ERRNO(syscall(SYS_execveat, 5000, "plain", argv, envp, 0x10), EINVAL);
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

static void copy_file(const char *from, const char *to, mode_t mode)
{
	int source = (int)MUST(open(from, O_RDONLY | O_CLOEXEC)), target = (int)MUST(open(to, O_CREAT | O_WRONLY, 0600));
	char block[65536];
	ssize_t count;

	while ((count = MUST(read(source, block, sizeof(block)))) > 0)
		write_all(target, block, (size_t)count);
	MUST(fchmod(target, mode));
	MUST(close(target));
	MUST(close(source));
}

TEST(fexecve_of_what_may_not_be_read)
{
	char *argv[] = {"x", "show", NULL}, *envp[] = {NULL};
	int file, script;
	pid_t child;

	enter_scratch();
	copy_file(check_self, "program", 0111);
	write_file("script", "#!/bin/sh\nexit 3\n", 0111);
	file = (int)MUST(open("program", O_PATH | O_CLOEXEC));
	script = (int)MUST(open("script", O_PATH | O_CLOEXEC));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_ERRNO(open("program", O_RDONLY), EACCES);
		CHECK_ERRNO(execveat(script, "", argv, envp, AT_EMPTY_PATH), ENOENT);
		MUST(dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO));
		execveat(file, "", argv, envp, AT_EMPTY_PATH);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
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
