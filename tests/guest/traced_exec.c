/* execve(2) in a process of which a tracer has threads: it waits until they are reaped, and who attaches waits for it. */
#include "check.h"

#include <pthread.h>
#include <sys/ptrace.h>

#define EVENT(event) (W_STOPCODE(SIGTRAP) | (event) << 16)
#define PATIENCE_MS 2000

/* What the process that executes a program and its tracer tell one another. */
static int *shared;
enum { FIRST, SECOND, EXECUTES, RESULT, ERROR, ASKING, STAYS };

ROLE(executed)
{
	/* Told not to, it stays until it's killed. */
	while (strcmp(argv[2], "stay") == 0)
		pause();
	_exit(7);
}

static void execute(void)
{
	while (!__atomic_load_n(&shared[EXECUTES], __ATOMIC_SEQ_CST))
		sleep_ms(1);
	execl(check_self, check_self, "executed", shared[STAYS] ? "stay" : "end", NULL);
	_exit(98);
}

static void *pausing_thread(void *argument)
{
	(void)argument;
	shared[FIRST] = gettid();
	for (;;)
		pause();
	return NULL;
}

static void *executing_thread(void *argument)
{
	(void)argument;
	shared[SECOND] = gettid();
	execute();
	return NULL;
}

/* A process with a thread that only waits, whose leader, or a second thread, executes a program when it's told. */
static pid_t process_to_trace(int leader_executes)
{
	pid_t child;

	shared = make_shared_page();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, pausing_thread, NULL);
		if (leader_executes) {
			shared[SECOND] = getpid();
			execute();
		}
		pthread_create(&thread, NULL, executing_thread, NULL);
		for (;;)
			pause();
	}
	while (!__atomic_load_n(&shared[FIRST], __ATOMIC_SEQ_CST) || !__atomic_load_n(&shared[SECOND], __ATOMIC_SEQ_CST))
		sleep_ms(1);
	return child;
}

static void let_it_execute(void)
{
	__atomic_store_n(&shared[EXECUTES], 1, __ATOMIC_SEQ_CST);
}

/* How a thread of a process ended, and leaves it to be reaped; -errno. */
static int seen_end(pid_t thread)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	if (waitid(P_PID, (id_t)thread, &info, WEXITED | WNOWAIT | __WALL) == -1)
		return -errno;
	return info.si_code << 16 | info.si_status;
}

static int next(pid_t pid)
{
	int status = 0;

	return waitpid(pid, &status, __WALL) == pid ? status : -errno;
}

/* The state of a task as /proc shows it: a letter, 0 if it isn't there. */
static char state_of(pid_t process, pid_t thread)
{
	char path[64], line[256] = "";
	char *after;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", process, thread);
	fd = open(path, O_RDONLY);
	if (fd == -1)
		return 0;
	MUST(read(fd, line, sizeof(line) - 1));
	close(fd);
	after = strrchr(line, ')');
	return after == NULL ? 0 : after[2];
}

static void await_state(pid_t process, pid_t thread, char wanted)
{
	for (int waited = 0; waited < PATIENCE_MS && state_of(process, thread) != wanted; waited++)
		sleep_ms(1);
	CHECK_EQ(state_of(process, thread), wanted);
}

static int is_executed(pid_t process)
{
	char path[64], name[512] = "", *argument;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", process);
	fd = (int)MUST(open(path, O_RDONLY));
	length = read(fd, name, sizeof(name) - 1);
	close(fd);
	argument = length > 0 ? name + strlen(name) + 1 : name;
	return strcmp(argument, "executed") == 0;
}

TEST(a_traced_thread_is_reaped_first)
{
	for (int leader_executes = 0; leader_executes < 2; leader_executes++) {
		pid_t child = process_to_trace(leader_executes);

		MUST(ptrace(PTRACE_SEIZE, shared[FIRST], 0, PTRACE_O_TRACEEXIT));
		let_it_execute();
		CHECK_EQ(next(shared[FIRST]), EVENT(PTRACE_EVENT_EXIT));
		{
			unsigned long message = 1;

			/* The process isn't ending: to have made room for a program counts as an end with 0. */
			CHECK_OK(ptrace(PTRACE_GETEVENTMSG, shared[FIRST], 0, &message));
			CHECK_EQ(message, 0);
		}
		CHECK_OK(ptrace(PTRACE_CONT, shared[FIRST], 0, 0));
		CHECK_EQ(seen_end(shared[FIRST]), CLD_EXITED << 16);
		sleep_ms(20);
		await_state(child, shared[SECOND], 'D');
		CHECK(!is_executed(child));
		CHECK_EQ(next(shared[FIRST]), EXITED(0));
		CHECK_EQ(wait_for(child), EXITED(7));
	}
}

TEST(killed_while_it_waits_for_a_tracer)
{
	for (int leader_executes = 0; leader_executes < 2; leader_executes++) {
		pid_t child = process_to_trace(leader_executes);

		MUST(ptrace(PTRACE_SEIZE, shared[FIRST], 0, 0));
		let_it_execute();
		CHECK_EQ(seen_end(shared[FIRST]), CLD_EXITED << 16);
		await_state(child, shared[SECOND], 'D');
		MUST(kill(child, SIGTERM));
		sleep_ms(20);
		await_state(child, shared[SECOND], leader_executes ? 'Z' : 0);
		CHECK_EQ(next(shared[FIRST]), KILLED(SIGTERM));
		CHECK_EQ(wait_for(child), KILLED(SIGTERM));
	}
}

/* A process that attaches to `thread` and tells what came of it: it has the result when it ends. */
static pid_t who_attaches(long request, pid_t thread)
{
	pid_t asking = (pid_t)MUST(fork());

	if (asking == 0) {
		long result;

		shared[ASKING] = 1;
		result = ptrace(request, thread, 0, 0);
		shared[ERROR] = result == -1 ? errno : 0;
		shared[RESULT] = 1;
		_exit(0);
	}
	return asking;
}

TEST(who_attaches_waits_for_the_program)
{
	static const long requests[] = {PTRACE_ATTACH, PTRACE_SEIZE};
	enum { LEADER, ENDED, EXECUTING, TARGETS };

	for (int number = 0; number < 2 * 2 * TARGETS; number++) {
		int leader_executes = number & 1, target = number >> 2;
		pid_t child = process_to_trace(leader_executes);
		pid_t targets[TARGETS] = {child, shared[FIRST], shared[SECOND]}, asking;
		/* Who executes takes the leader's place; the leader and the others are no more. */
		int wanted = target == EXECUTING || (target == LEADER && leader_executes) ? 0 : EPERM;

		shared[STAYS] = 1;
		MUST(ptrace(PTRACE_SEIZE, shared[FIRST], 0, 0));
		let_it_execute();
		CHECK_EQ(seen_end(shared[FIRST]), CLD_EXITED << 16);
		await_state(child, shared[SECOND], 'D');
		asking = who_attaches(requests[number >> 1 & 1], targets[target]);
		await_state(asking, asking, 'S');
		sleep_ms(5);
		CHECK(shared[ASKING]);
		CHECK(!shared[RESULT]);
		CHECK(!is_executed(child));
		CHECK_EQ(next(shared[FIRST]), EXITED(0));
		CHECK_EQ(wait_for(asking), EXITED(0));
		CHECK_EQ(shared[ERROR], wanted);
		MUST(kill(child, SIGKILL));
		/* Where the stop that PTRACE_ATTACH or exec asks for came after the tracer's end. */
		CHECK(WIFSIGNALED(wait_for(child)));
	}
}

/* Two traced threads stop as they end: that the first is gone doesn't make the other go on. */
TEST(who_has_stopped_at_its_end_stays_so)
{
	pid_t child = process_to_trace(0);

	MUST(ptrace(PTRACE_SEIZE, shared[FIRST], 0, PTRACE_O_TRACEEXIT));
	MUST(ptrace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACEEXIT));
	let_it_execute();
	CHECK_EQ(next(shared[FIRST]), EVENT(PTRACE_EVENT_EXIT));
	CHECK_EQ(next(child), EVENT(PTRACE_EVENT_EXIT));
	CHECK_OK(ptrace(PTRACE_CONT, shared[FIRST], 0, 0));
	CHECK_EQ(next(shared[FIRST]), EXITED(0));
	sleep_ms(20);
	CHECK_EQ(state_of(child, child), 't');
	CHECK(!is_executed(child));
	CHECK_OK(ptrace(PTRACE_CONT, child, 0, 0));
	CHECK_EQ(wait_for(child), EXITED(7));
}

static void note(int signal)
{
	shared[ASKING] += signal;
}

TEST(a_signal_for_who_attaches)
{
	pid_t child = process_to_trace(1), asking;

	MUST(ptrace(PTRACE_SEIZE, shared[FIRST], 0, 0));
	let_it_execute();
	CHECK_EQ(seen_end(shared[FIRST]), CLD_EXITED << 16);
	await_state(child, child, 'D');
	handle(SIGUSR1, note, 0);
	asking = who_attaches(PTRACE_SEIZE, child);
	await_state(asking, asking, 'S');
	/* The handler runs, and the call begins anew whatever SA_RESTART says. */
	MUST(kill(asking, SIGUSR1));
	sleep_ms(20);
	await_state(asking, asking, 'S');
	CHECK_EQ(shared[ASKING], 1 + SIGUSR1);
	CHECK(!shared[RESULT]);
	MUST(kill(asking, SIGTERM));
	CHECK_EQ(wait_for(asking), KILLED(SIGTERM));
	CHECK(!shared[RESULT]);
	CHECK_EQ(next(shared[FIRST]), EXITED(0));
	CHECK_EQ(wait_for(child), EXITED(7));
}
