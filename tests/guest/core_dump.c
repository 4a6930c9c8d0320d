/* Core dumps: when there is one, whose it is, and what it says: core(5), signal(7), prctl(2), getrlimit(2).
 *
 * What depends on where cores go holds only where kernel.core_pattern is the kernel's own: elsewhere it's let pass.
 */
#include "core_file.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define PAGE 4096UL
#define MARK 0x5ca1ab1e0ddba11
#define UNLIMITED RLIM_INFINITY

static int read_setting(const char *path, char *value, size_t size)
{
	int fd = (int)MUST(open(path, O_RDONLY | O_CLOEXEC));
	ssize_t length = MUST(read(fd, value, size - 1));

	MUST(close(fd));
	value[length] = '\0';
	return atoi(value);
}

/* Whether cores go to files called core in the current directory. */
static int is_usual(void)
{
	char value[200];

	if (read_setting("/proc/sys/kernel/core_uses_pid", value, sizeof(value)) != 0)
		return 0;
	if (read_setting("/proc/sys/fs/suid_dumpable", value, sizeof(value)) != 0)
		return 0;
	read_setting("/proc/sys/kernel/core_pattern", value, sizeof(value));
	return strcmp(value, "core\n") == 0;
}

#define CHECK_HERE(expression) CHECK(!is_usual() || (expression))

static void limit_core(rlim_t bytes)
{
	struct rlimit limit = {bytes, UNLIMITED};

	MUST(setrlimit(RLIMIT_CORE, &limit));
}

static pid_t start(void (*body)(void))
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		body();
		_exit(99);
	}
	return child;
}

static void crash(void)
{
	*(volatile int *)bad_address() = 1;
}

/* Whether the child that runs `body` died of `signal` with a core, which is then read and removed. */
static int dumps(void (*body)(void), int signal, struct core *core)
{
	int status = wait_for(start(body));
	int has_core = read_core("core", core);

	if (has_core)
		unlink("core");
	return WIFSIGNALED(status) && WTERMSIG(status) == signal && WCOREDUMP(status) && has_core;
}

static int dies_without_core(void (*body)(void), int signal)
{
	int status = wait_for(start(body));

	return status == KILLED(signal) && access("core", F_OK) == -1 && errno == ENOENT;
}

TEST(no_core_by_default_limit)
{
	enter_scratch();
	limit_core(0);
	CHECK_HERE(dies_without_core(crash, SIGSEGV));
	limit_core(PAGE - 1);
	CHECK_HERE(dies_without_core(crash, SIGSEGV));
}

TEST(wait_tells_of_the_core)
{
	siginfo_t info = {0};
	int status;
	struct stat file = {0};
	pid_t child;

	enter_scratch();
	limit_core(UNLIMITED);
	umask(0);
	child = start(crash);
	MUST(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
	CHECK_HERE(info.si_code == CLD_DUMPED);
	CHECK_EQ(info.si_status, SIGSEGV);
	CHECK_EQ(info.si_pid, child);
	status = wait_for(child);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
	CHECK_HERE(WCOREDUMP(status));
	CHECK_HERE(lstat("core", &file) == 0);
	CHECK_HERE(S_ISREG(file.st_mode) && (file.st_mode & 07777) == 0600);
	CHECK_HERE(file.st_uid == geteuid() && file.st_gid == getegid());
	CHECK_HERE(file.st_nlink == 1);
}

static int raised;

static void raise_it(void)
{
	raise(raised);
}

TEST(signals_that_dump)
{
	static const int dumping[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGXCPU, SIGXFSZ};
	static const int ending[] = {SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGPIPE, SIGALRM, SIGTERM, SIGIO, 40};
	struct core core;

	enter_scratch();
	limit_core(UNLIMITED);
	for (size_t at = 0; at < LENGTH(dumping); at++) {
		raised = dumping[at];
		CHECK_HERE(dumps(raise_it, raised, &core));
		CHECK_HERE(core.signal != NULL && core.signal->si_signo == raised && core.signal->si_code == SI_TKILL);
		CHECK_HERE(core.thread_count == 1 && core.threads[0]->pr_cursig == raised);
	}
	for (size_t at = 0; at < LENGTH(ending); at++) {
		raised = ending[at];
		CHECK(dies_without_core(raise_it, raised));
	}
}

static void crash_with_marks(void)
{
	block(SIGUSR2);
	__asm__ volatile("movq %0, %%r12\n\tmovq %0, %%xmm5\n\tlea 1(%0), %%r13\n\tmovl $7, 8"
			 : : "a"(MARK) : "r12", "r13", "xmm5", "memory");
}

TEST(notes)
{
	struct core core;
	const struct user_regs_struct *registers;
	pid_t child;
	char command[16];

	enter_scratch();
	limit_core(UNLIMITED);
	if (!is_usual()) {
		/* The same assertions are counted. */
		memset(&core, 0, sizeof(core));
	}
	child = start(crash_with_marks);
	wait_for(child);
	CHECK_HERE(read_core("core", &core));
	CHECK_HERE(memcmp(core.header->e_ident, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0", EI_NIDENT) == 0);
	CHECK_HERE(core.header->e_type == ET_CORE && core.header->e_machine == EM_X86_64);
	CHECK_HERE(core.header->e_version == EV_CURRENT && core.header->e_entry == 0 && core.header->e_shnum == 0);
	CHECK_HERE(core.header->e_phentsize == sizeof(Elf64_Phdr) && core.header->e_ehsize == sizeof(Elf64_Ehdr));
	CHECK_HERE(core.segments[0].p_type == PT_NOTE && core.segments[0].p_align == 4);
	CHECK_HERE(core.segments[0].p_vaddr == 0 && core.segments[0].p_memsz == 0);
	CHECK_HERE(core.notes[0] == NT_PRSTATUS && core.notes[1] == NT_PRPSINFO && core.notes[2] == NT_SIGINFO);
	CHECK_HERE(core.notes[3] == NT_AUXV && core.notes[4] == NT_FILE && core.notes[5] == NT_FPREGSET);
	CHECK_HERE(core.thread_count == 1 && core.float_count == 1);
	CHECK_HERE(core.threads[0]->pr_pid == child && core.threads[0]->pr_ppid == getpid());
	CHECK_HERE(core.threads[0]->pr_pgrp == getpgrp() && core.threads[0]->pr_sid == getsid(0));
	CHECK_HERE(core.threads[0]->pr_info.si_signo == SIGSEGV && core.threads[0]->pr_cursig == SIGSEGV);
	CHECK_HERE(core.threads[0]->pr_sighold == 1UL << (SIGUSR2 - 1) && core.threads[0]->pr_sigpend == 0);
	CHECK_HERE(core.threads[0]->pr_fpvalid == 1);
	registers = is_usual() ? registers_of(core.threads[0]) : NULL;
	CHECK_HERE(registers->r12 == MARK && registers->r13 == MARK + 1 && registers->rax == MARK);
	CHECK_HERE(registers->cs == 0x33 && registers->ss == 0x2b && (registers->eflags & 0x202) == 0x202);
	CHECK_HERE(registers->orig_rax == (unsigned long)-1 || registers->orig_rax < 1000);
	CHECK_HERE(memcmp(&core.floats[0]->xmm_space[20], &(long){MARK}, 8) == 0);
	CHECK_HERE(core.floats[0]->cwd == 0x37f && core.floats[0]->mxcsr == 0x1f80);
	CHECK_HERE(core.signal->si_signo == SIGSEGV && core.signal->si_code == SEGV_MAPERR);
	CHECK_HERE(core.signal->si_addr == bad_address());
	CHECK_HERE(vector_entry(&core, AT_PAGESZ) == (long)PAGE && vector_entry(&core, AT_UID) == (long)getuid());
	MUST(prctl(PR_GET_NAME, command));
	CHECK_HERE(strcmp(core.process->pr_fname, command) == 0);
	CHECK_HERE(strncmp(core.process->pr_psargs, check_self, 60) == 0 || strchr(core.process->pr_psargs, '/') != NULL);
	CHECK_HERE(core.process->pr_pid == child && core.process->pr_ppid == getpid());
	CHECK_HERE(core.process->pr_sname == 'R' && core.process->pr_state == 0 && core.process->pr_zomb == 0);
	CHECK_HERE(core.process->pr_uid == getuid() && core.process->pr_gid == getgid() && core.process->pr_nice == getpriority(PRIO_PROCESS, 0));
	CHECK_HERE(strcmp(file_at(&core, (void *)crash), check_self) == 0);
}

static struct areas {
	char *written, *untouched, *kept_out, *shared, *hidden, *file, *read_only_file, *written_file;
} areas;

static void map_and_crash(void)
{
	int fd = (int)MUST(open("data", O_CREAT | O_RDWR | O_CLOEXEC, 0600));

	MUST(ftruncate(fd, 2 * PAGE));
	MUST(pwrite(fd, "data", 4, 0));
	areas.file = mmap(areas.file, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, fd, 0);
	areas.read_only_file = mmap(areas.read_only_file, 2 * PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE, fd, 0);
	areas.written_file = mmap(areas.written_file, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE, fd, 0);
	strcpy(areas.written, "written");
	strcpy(areas.shared, "shared");
	strcpy(areas.hidden, "hidden");
	strcpy(areas.kept_out, "secret");
	strcpy(areas.written_file + PAGE, "changed");
	MUST(madvise(areas.kept_out, 4 * PAGE, MADV_DONTDUMP));
	MUST(mprotect(areas.hidden, 4 * PAGE, PROT_NONE));
	crash();
}

/* Each area has guards around it, so that it stays apart. */
static void place_areas(void)
{
	char **place = (char **)&areas;
	char *space = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	MUST(space == MAP_FAILED ? -1 : 0);
	for (size_t at = 0; at < sizeof(areas) / sizeof(char *); at++) {
		place[at] = space + (8 * at + 2) * PAGE;
		MUST(mprotect(place[at], 4 * PAGE, PROT_READ | PROT_WRITE));
	}
	MUST(munmap(areas.shared, 4 * PAGE));
	mmap(areas.shared, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static int holds(const struct core *core, const void *address, const char *text)
{
	const char *found = memory_in(core, address);

	return found != NULL && strcmp(found, text) == 0;
}

TEST(memory)
{
	struct core core;

	enter_scratch();
	limit_core(UNLIMITED);
	place_areas();
	CHECK_HERE(dumps(map_and_crash, SIGSEGV, &core));
	CHECK_HERE(holds(&core, areas.written, "written"));
	CHECK_HERE(dumped_bytes(&core, areas.written) == 4 * PAGE);
	CHECK_HERE(dumped_bytes(&core, areas.untouched) == 0);
	CHECK_HERE(dumped_bytes(&core, areas.kept_out) == 0);
	CHECK_HERE(holds(&core, areas.shared, "shared"));
	CHECK_HERE(holds(&core, areas.hidden, "hidden"));
	CHECK_HERE(dumped_bytes(&core, areas.file) == 0);
	CHECK_HERE(dumped_bytes(&core, areas.read_only_file) == 0);
	CHECK_HERE(dumped_bytes(&core, areas.written_file) == 2 * PAGE);
	CHECK_HERE(holds(&core, areas.written_file, "data"));
	CHECK_HERE(holds(&core, areas.written_file + PAGE, "changed"));
	CHECK_HERE(segment_of(&core, areas.hidden)->p_flags == 0);
	CHECK_HERE(segment_of(&core, areas.written)->p_flags == (PF_R | PF_W));
	CHECK_HERE(segment_of(&core, (void *)crash)->p_flags == (PF_R | PF_X));
	CHECK_HERE(segment_of(&core, areas.written)->p_align == PAGE);
	CHECK_HERE(holds(&core, check_self, check_self));
	CHECK_HERE(strstr(file_at(&core, areas.file), "/data") != NULL);
	CHECK_HERE(strstr(file_at(&core, areas.shared), "/dev/zero (deleted)") != NULL);
	CHECK_HERE(file_at(&core, areas.written) == NULL);
	/* The page of vsyscalls is there, though nothing is read of it. */
	CHECK_HERE(core.segments[core.segment_count - 1].p_vaddr == 0xffffffffff600000);
	CHECK_HERE(core.segments[core.segment_count - 1].p_flags == PF_X);
	CHECK_HERE(core.segments[core.segment_count - 1].p_filesz == PAGE);
}

static void set_filter(const char *value)
{
	int fd = (int)MUST(open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC));

	write_all(fd, value, strlen(value));
	MUST(close(fd));
}

ROLE(print_filter)
{
	char value[32];

	read_setting("/proc/self/coredump_filter", value, sizeof(value));
	return strcmp(value, argv[2]) == 0 ? 0 : 1;
}

TEST(filter)
{
	struct core core;
	char value[32];
	int fd;
	pid_t child;

	enter_scratch();
	limit_core(UNLIMITED);
	place_areas();
	read_setting("/proc/self/coredump_filter", value, sizeof(value));
	CHECK_STRING(value, "00000033\n");
	set_filter("0x2f");
	read_setting("/proc/self/coredump_filter", value, sizeof(value));
	CHECK_STRING(value, "0000002f\n");
	fd = (int)MUST(open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC));
	CHECK_ERRNO(write(fd, "many", 4), EINVAL);
	MUST(close(fd));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		execl(check_self, check_self, "print_filter", "0000002f\n", NULL);
		_exit(98);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_HERE(dumps(map_and_crash, SIGSEGV, &core));
	CHECK_HERE(holds(&core, areas.file, "data"));
	CHECK_HERE(holds(&core, areas.read_only_file, "data"));
	CHECK_HERE(dumped_bytes(&core, (void *)crash) > 0);
	CHECK_HERE(dumped_bytes(&core, areas.kept_out) == 0);
	CHECK_HERE(dumped_bytes(&core, areas.untouched) == 0);
	set_filter("0");
	CHECK_HERE(dumps(map_and_crash, SIGSEGV, &core));
	CHECK_HERE(dumped_bytes(&core, areas.written) == 0);
	CHECK_HERE(dumped_bytes(&core, areas.shared) == 0);
	CHECK_HERE(dumped_bytes(&core, areas.written_file) == 0);
	set_filter("2");
	CHECK_HERE(dumps(map_and_crash, SIGSEGV, &core));
	CHECK_HERE(dumped_bytes(&core, areas.written) == 0);
	CHECK_HERE(holds(&core, areas.shared, "shared"));
}

static pid_t *tids;

static void *sleep_forever(void *argument)
{
	tids[(long)argument] = gettid();
	for (;;)
		pause();
	return NULL;
}

static void *spin_forever(void *argument)
{
	tids[(long)argument] = gettid();
	for (;;)
		__asm__ volatile("movq %0, %%r12" : : "r"(MARK) : "r12");
	return NULL;
}

static void *crash_aside(void *argument)
{
	tids[(long)argument] = gettid();
	while (tids[1] == 0 || tids[2] == 0)
		sched_yield();
	sleep_ms(20);
	crash();
	return NULL;
}

static void threads_crash(void)
{
	pthread_t thread;

	tids[0] = gettid();
	MUST(pthread_create(&thread, NULL, sleep_forever, (void *)1) == 0 ? 0 : -1);
	MUST(pthread_create(&thread, NULL, spin_forever, (void *)2) == 0 ? 0 : -1);
	MUST(pthread_create(&thread, NULL, crash_aside, (void *)3) == 0 ? 0 : -1);
	pthread_join(thread, NULL);
}

TEST(threads)
{
	struct core core;
	int is_there = is_usual();

	tids = make_shared_page();
	enter_scratch();
	limit_core(UNLIMITED);
	CHECK_HERE(dumps(threads_crash, SIGSEGV, &core));
	CHECK_HERE(core.thread_count == 4 && core.float_count == 4);
	CHECK_HERE(core.threads[0]->pr_pid == tids[3]);
	CHECK_HERE(core.process->pr_pid == tids[0]);
	for (int at = 0; at < 4; at++) {
		const struct elf_prstatus *thread = is_there ? thread_in(&core, tids[at]) : NULL;

		CHECK_HERE(thread != NULL && thread->pr_cursig == SIGSEGV && thread->pr_ppid == getpid());
		CHECK_HERE(thread != NULL && registers_of(thread)->rip != 0 && registers_of(thread)->fs_base != 0);
	}
	CHECK_HERE(registers_of(thread_in(&core, tids[1]))->orig_rax == SYS_pause);
	CHECK_HERE((long)registers_of(thread_in(&core, tids[1]))->rax == -514);
	CHECK_HERE(registers_of(thread_in(&core, tids[2]))->r12 == MARK);
}

static void *crash_after_the_leader(void *argument)
{
	(void)argument;
	sleep_ms(50);
	crash();
	return NULL;
}

static void leader_leaves(void)
{
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, crash_after_the_leader, NULL) == 0 ? 0 : -1);
	pthread_exit(NULL);
}

TEST(a_leader_that_has_ended_is_not_among_the_threads)
{
	struct core core;

	enter_scratch();
	limit_core(UNLIMITED);
	CHECK_HERE(dumps(leader_leaves, SIGSEGV, &core));
	CHECK_HERE(core.thread_count == 1);
	CHECK_HERE(core.process->pr_pid != core.threads[0]->pr_pid);
	CHECK_HERE(core.process->pr_sname == '.' || core.process->pr_sname == 'Z');
}

TEST(limits)
{
	struct core core;
	int status;
	struct stat file = {0};
	struct rlimit size = {PAGE + 100, UNLIMITED};

	enter_scratch();
	limit_core(2 * PAGE);
	CHECK_HERE(dumps(crash, SIGSEGV, &core));
	/* What is skipped before the first page doesn't count; how much that is follows from the files' names. */
	CHECK_HERE(core.size <= 3 * PAGE && core.size > 64);
	CHECK_HERE(core.header->e_type == ET_CORE);
	limit_core(PAGE);
	CHECK_HERE(dumps(crash, SIGSEGV, &core));
	CHECK_HERE(core.size <= 2 * PAGE);
	limit_core(UNLIMITED);
	MUST(setrlimit(RLIMIT_FSIZE, &size));
	status = wait_for(start(crash));
	CHECK_HERE(WCOREDUMP(status));
	CHECK_HERE(stat("core", &file) == 0 && (unsigned long)file.st_size <= PAGE + 100);
}

TEST(names_in_the_way)
{
	struct core core;
	struct stat file = {0};

	enter_scratch();
	limit_core(UNLIMITED);
	write_file("victim", "precious", 0600);
	MUST(symlink("victim", "core"));
	CHECK_HERE(dumps(crash, SIGSEGV, &core));
	MUST(stat("victim", &file));
	CHECK_EQ(file.st_size, 8);
	unlink("core");
	MUST(link("victim", "core"));
	CHECK_HERE(dumps(crash, SIGSEGV, &core));
	MUST(stat("victim", &file));
	CHECK_EQ(file.st_size, 8);
	CHECK_HERE(file.st_nlink == 1);
	unlink("core");
	MUST(mkfifo("core", 0600));
	CHECK_HERE(dumps(crash, SIGSEGV, &core));
	unlink("core");
	MUST(mkdir("core", 0700));
	CHECK_HERE(wait_for(start(crash)) == KILLED(SIGSEGV));
	MUST(rmdir("core"));
	CHECK_EQ(access("core", F_OK), -1);
}

static void crash_as_nobody(void)
{
	drop_root();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	crash();
}

static void crash_without_umask_bits(void)
{
	umask(0777);
	crash();
}

TEST(permissions)
{
	struct core core;
	int status;
	struct stat file = {0};

	enter_scratch();
	limit_core(UNLIMITED);
	CHECK_HERE(wait_for(start(crash_without_umask_bits)) == KILLED(SIGSEGV));
	unlink("core");
	status = wait_for(start(crash_as_nobody));
	CHECK_HERE(WCOREDUMP(status));
	CHECK_HERE(stat("core", &file) == 0 && file.st_uid == (geteuid() == 0 ? NOBODY : geteuid()));
	unlink("core");
	if (geteuid() == 0)
		write_file("core", "root's", 0666);
	MUST(chmod(".", geteuid() == 0 ? 01777 : 0777));
	status = wait_for(start(crash_as_nobody));
	CHECK_HERE(geteuid() != 0 || status == KILLED(SIGSEGV));
	unlink("core");
	MUST(chmod(".", 0555));
	status = wait_for(start(crash_as_nobody));
	CHECK_HERE(status == KILLED(SIGSEGV));
	MUST(chmod(".", 0777));
	CHECK_HERE(dumps(crash, SIGSEGV, &core));
}

static void crash_undumpable(void)
{
	MUST(prctl(PR_SET_DUMPABLE, 0));
	crash();
}

static void crash_after_dropping_root(void)
{
	drop_root();
	crash();
}

TEST(dumpable)
{
	enter_scratch();
	limit_core(UNLIMITED);
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
	CHECK(dies_without_core(crash_undumpable, SIGSEGV));
	CHECK_HERE(geteuid() != 0 || dies_without_core(crash_after_dropping_root, SIGSEGV));
}

ROLE(crash)
{
	crash();
	return 0;
}

static void execute_unreadable(void)
{
	drop_root();
	execl("./unreadable", "unreadable", "crash", NULL);
	_exit(97);
}

static void execute_readable(void)
{
	MUST(prctl(PR_SET_DUMPABLE, 0));
	execl(check_self, check_self, "crash", NULL);
	_exit(97);
}

TEST(dumpable_after_exec)
{
	char buffer[65536];
	struct core core;
	ssize_t length;
	int from, to;

	enter_scratch();
	limit_core(UNLIMITED);
	from = (int)MUST(open(check_self, O_RDONLY | O_CLOEXEC));
	to = (int)MUST(open("unreadable", O_CREAT | O_WRONLY | O_CLOEXEC, 0700));
	while ((length = MUST(read(from, buffer, sizeof(buffer)))) > 0)
		write_all(to, buffer, (size_t)length);
	MUST(fchmod(to, 0111));
	MUST(close(from));
	MUST(close(to));
	CHECK(dies_without_core(execute_unreadable, SIGSEGV));
	CHECK_HERE(dumps(execute_readable, SIGSEGV, &core));
	CHECK_HERE(core.process != NULL && strstr(core.process->pr_psargs, " crash ") != NULL);
}

static void vfork_and_crash(void)
{
	int status;
	pid_t child = vfork();

	if (child == 0) {
		crash();
		_exit(0);
	}
	status = wait_for(child);
	_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? 42 : 43);
}

TEST(who_shares_the_memory_lives_on)
{
	enter_scratch();
	limit_core(UNLIMITED);
	CHECK_EQ(wait_for(start(vfork_and_crash)), EXITED(42));
	CHECK_HERE(access("core", F_OK) == 0);
}

static void handle_and_crash(void)
{
	handle(SIGABRT, SIG_IGN, 0);
	abort();
}

TEST(abort_dumps_whatever_its_handler)
{
	struct core core;

	enter_scratch();
	limit_core(UNLIMITED);
	CHECK_HERE(dumps(handle_and_crash, SIGABRT, &core));
	CHECK_HERE(core.signal != NULL && core.signal->si_pid == core.process->pr_pid);
}
