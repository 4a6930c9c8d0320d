/* Creating processes with fork and vfork, and what a child inherits: fork(2), vfork(2). */
#include "check.h"

#include <sys/prctl.h>
#include <sys/resource.h>

static volatile int shared_by_nobody = 1;
static int *shared_page;

TEST(fork_returns_twice)
{
	pid_t parent = getpid();
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		CHECK(getpid() != parent);
		CHECK_EQ(getppid(), parent);
		CHECK_EQ(syscall(SYS_getpid), getpid());
		_exit(7);
	}
	CHECK(child > 0);
	CHECK(child != parent);
	CHECK_EQ(getpid(), parent);
	CHECK_EQ(wait_for(child), EXITED(7));
}

TEST(memory_is_copied)
{
	int on_stack = 10;
	int *on_heap = malloc(sizeof(int));
	pid_t child;

	*on_heap = 20;
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(on_stack, 10);
		CHECK_EQ(*on_heap, 20);
		CHECK_EQ(shared_by_nobody, 1);
		on_stack = *on_heap = shared_by_nobody = 99;
		CHECK_EQ(on_stack + *on_heap + shared_by_nobody, 297);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(*(volatile int *)&on_stack, 10);
	CHECK_EQ(*(volatile int *)on_heap, 20);
	CHECK_EQ(shared_by_nobody, 1);
	free(on_heap);
}

TEST(exit_codes)
{
	CHECK_EQ(wait_for(child_that_exits(0)), EXITED(0));
	CHECK_EQ(wait_for(child_that_exits(1)), EXITED(1));
	CHECK_EQ(wait_for(child_that_exits(42)), EXITED(42));
	CHECK_EQ(wait_for(child_that_exits(255)), EXITED(255));
	CHECK_EQ(wait_for(child_that_exits(256)), EXITED(0));
	CHECK_EQ(wait_for(child_that_exits(0x1234)), EXITED(0x34));
	CHECK_EQ(wait_for(child_that_exits(-1)), EXITED(255));
}

TEST(raw_exit_calls)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		syscall(SYS_exit, 3);
		for (;;)
			pause();
	}
	CHECK_EQ(wait_for(child), EXITED(3));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		syscall(SYS_exit_group, 4);
		for (;;)
			pause();
	}
	CHECK_EQ(wait_for(child), EXITED(4));
}

static void mark_exit(void)
{
	shared_page[0]++;
}

TEST(exit_runs_handlers_and_flushes)
{
	int ends[2];
	char text[16] = "";
	pid_t child;

	shared_page = make_shared_page();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		atexit(mark_exit);
		exit(5);
	}
	CHECK_EQ(wait_for(child), EXITED(5));
	CHECK_EQ(shared_page[0], 1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		atexit(mark_exit);
		_exit(6);
	}
	CHECK_EQ(wait_for(child), EXITED(6));
	CHECK_EQ(shared_page[0], 1);

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		FILE *stream = fdopen(ends[1], "w");

		fprintf(stream, "buffered");
		exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(read(ends[0], text, sizeof(text) - 1), 8);
	CHECK_STRING(text, "buffered");
}

TEST(vfork_suspends_the_parent_until_exit)
{
	volatile int *page = make_shared_page();
	pid_t child = vfork();

	if (child == 0) {
		sleep_ms(30);
		page[0] = getppid();
		page[1] = 1;
		_exit(12);
	}
	CHECK_EQ(page[1], 1);
	CHECK_EQ(page[0], getpid());
	CHECK(child > 0);
	CHECK_EQ(wait_for(child), EXITED(12));
}

TEST(vfork_shares_memory)
{
	volatile int *page = malloc(sizeof(int));
	pid_t child;

	*page = 1;
	child = vfork();
	if (child == 0) {
		*page = 2;
		shared_by_nobody = 3;
		_exit(0);
	}
	CHECK_EQ(*page, 2);
	CHECK_EQ(shared_by_nobody, 3);
	CHECK_EQ(wait_for(child), EXITED(0));
}

ROLE(sleeper)
{
	char byte;

	return read(STDIN_FILENO, &byte, 1) == 1 ? 15 : 16;
}

TEST(vfork_ends_the_suspension_at_exec)
{
	int ends[2];
	pid_t child;

	MUST(pipe(ends));
	child = vfork();
	if (child == 0) {
		dup2(ends[0], STDIN_FILENO);
		close(ends[1]);
		execl(check_self, check_self, "sleeper", NULL);
		_exit(99);
	}
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	write_all(ends[1], "x", 1);
	CHECK_EQ(wait_for(child), EXITED(15));
}

TEST(vfork_child_killed_by_a_signal)
{
	pid_t child = vfork();

	if (child == 0) {
		kill(getpid(), SIGKILL);
		_exit(1);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

TEST(vfork_has_its_own_descriptors)
{
	int ends[2];
	pid_t child;

	MUST(pipe(ends));
	child = vfork();
	if (child == 0) {
		close(ends[0]);
		close(ends[1]);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_OK(fcntl(ends[0], F_GETFD));
	CHECK_OK(fcntl(ends[1], F_GETFD));
}

TEST(child_inherits)
{
	const char *scratch = enter_scratch();
	struct rlimit limit = {100, 200}, seen_limit;
	struct sigaction seen_action;
	pid_t group = getpgrp(), session = getsid(0), child;
	int fd;

	write_file("file", "abcdefgh", 0644);
	fd = (int)MUST(open("file", O_RDONLY | O_CLOEXEC));
	MUST(lseek(fd, 3, SEEK_SET));
	umask(0137);
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	handle(SIGUSR1, check_tick, 0);
	handle(SIGUSR2, SIG_IGN, 0);
	block(SIGQUIT);
	MUST(nice(3));
	MUST(prctl(PR_SET_NAME, "inherited"));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		char text[PATH_MAX], name[16];
		sigset_t mask;

		CHECK_STRING(getcwd(text, sizeof(text)), scratch);
		CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
		CHECK_EQ(lseek(fd, 2, SEEK_CUR), 5);
		CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
		CHECK_EQ(umask(0), 0137);
		CHECK_OK(getrlimit(RLIMIT_NOFILE, &seen_limit));
		CHECK_EQ(seen_limit.rlim_cur, 100);
		CHECK_EQ(seen_limit.rlim_max, 200);
		CHECK_OK(sigaction(SIGUSR1, NULL, &seen_action));
		CHECK(seen_action.sa_handler == check_tick);
		CHECK_OK(sigaction(SIGUSR2, NULL, &seen_action));
		CHECK(seen_action.sa_handler == SIG_IGN);
		CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &mask));
		CHECK_EQ(sigismember(&mask, SIGQUIT), 1);
		CHECK_EQ(sigismember(&mask, SIGUSR1), 0);
		CHECK_EQ(getpgrp(), group);
		CHECK_EQ(getsid(0), session);
		CHECK_EQ(getpriority(PRIO_PROCESS, 0), getpriority(PRIO_PROCESS, (id_t)getppid()));
		CHECK_OK(prctl(PR_GET_NAME, name));
		CHECK_STRING(name, "inherited");
		MUST(chdir("/"));
		MUST(close(fd));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	CHECK_EQ(umask(0), 0137);
	CHECK_OK(access("file", F_OK));
}

TEST(child_does_not_inherit)
{
	struct itimerval timer;
	pid_t child;

	block(SIGUSR1);
	MUST(raise(SIGUSR1));
	alarm(100);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		struct rusage usage;

		CHECK_EQ(is_pending(SIGUSR1), 0);
		CHECK_EQ(alarm(0), 0);
		CHECK_OK(getitimer(ITIMER_REAL, &timer));
		CHECK_EQ(timer.it_value.tv_sec + timer.it_value.tv_usec, 0);
		CHECK_OK(getrusage(RUSAGE_CHILDREN, &usage));
		CHECK_EQ(usage.ru_minflt, 0);
		CHECK_ERRNO(wait(NULL), ECHILD);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(is_pending(SIGUSR1), 1);
	CHECK(alarm(0) > 0);
}

TEST(chain_of_generations)
{
	enum { GENERATIONS = 20 };
	int depth = 0;
	pid_t child = (pid_t)MUST(fork());

	while (child == 0 && ++depth < GENERATIONS)
		child = (pid_t)MUST(fork());
	if (depth == GENERATIONS)
		_exit(1);
	if (depth > 0) {
		int status = wait_for(child);

		_exit(WIFEXITED(status) ? WEXITSTATUS(status) + 1 : 200);
	}
	CHECK_EQ(wait_for(child), EXITED(GENERATIONS));
}

TEST(tree_of_processes)
{
	int ends[2], leaves = 0;
	char byte;
	pid_t root = getpid();

	MUST(pipe(ends));
	for (int level = 0; level < 5; level++)
		MUST(fork());
	write_all(ends[1], "x", 1);
	while (wait(NULL) > 0)
		continue;
	if (getpid() != root)
		_exit(0);
	MUST(close(ends[1]));
	while (read(ends[0], &byte, 1) == 1)
		leaves++;
	CHECK_EQ(leaves, 32);
}

TEST(rlimit_nproc)
{
	struct rlimit none = {0, 0};
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		drop_root();
		CHECK_OK(setrlimit(RLIMIT_NPROC, &none));
		CHECK_ERRNO(fork(), EAGAIN);
		CHECK_ERRNO(vfork(), EAGAIN);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(blocked_signal_kills_the_child_when_unblocked)
{
	sigset_t mask;
	pid_t child;

	block(SIGTERM);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(raise(SIGTERM));
		CHECK_EQ(is_pending(SIGTERM), 1);
		unblock(SIGTERM);
		_exit(1);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGTERM));
	CHECK_EQ(is_pending(SIGTERM), 0);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &mask));
	CHECK_EQ(sigismember(&mask, SIGTERM), 1);
}
