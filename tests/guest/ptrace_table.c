/* ptrace(2): every kind of stop, crossed with what can happen to a tracee that is in it. */
#include "check.h"

#include <linux/ptrace.h>
#include <pthread.h>
#include <sys/syscall.h>

#define MOST_STOPS 8
#define trace(request, pid, address, data) \
	syscall(SYS_ptrace, (long)(request), (long)(pid), (unsigned long)(address), (unsigned long)(data))
#define ALL_EVENTS                                                                                              \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |                \
	 PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT)

enum stop {
	AT_SIGNAL,
	AT_GROUP_STOP,
	AT_CALL_ENTRY,
	AT_CALL_EXIT,
	AT_FORK,
	AT_VFORK_DONE,
	AT_EXEC,
	AT_EXIT,
	AT_INTERRUPT,
	STOPS
};

enum action {
	GO_ON,
	WITH_SIGNAL,
	AFTER_KILL,
	DETACHED,
	DETACHED_WITH_SIGNAL,
	AFTER_SIGTERM,
	AFTER_SIGSTOP,
	AFTER_INTERRUPT,
	OTHER_THREAD_EXITS,
	OTHER_THREAD_EXECS,
	ACTIONS
};

static const char *const stop_names[STOPS] = {
	"signal", "group stop", "call entry", "call exit", "fork", "vfork done", "exec", "exit", "interrupt",
};

static const char *const action_names[ACTIONS] = {
	"go on",   "with SIGUSR2",   "after SIGKILL",	"detached",	   "detached with SIGUSR2",
	"SIGTERM", "SIGSTOP", "interrupt", "another thread exits", "another thread executes",
};

/* What waits tell, one word each, from the stop on. */
static const char *const expected[STOPS][ACTIONS] = {
#include "ptrace_table.h"
};

static int commands[2];

static void *obey(void *argument)
{
	char command;

	if (read(commands[0], &command, 1) == 1 && command == 'e')
		execl("/proc/self/exe", "ptrace_table", "exits", NULL);
	if (command == 'x')
		syscall(SYS_exit_group, 7);
	return argument;
}

ROLE(exits)
{
	return 6;
}


static void leave(int code)
{
	syscall(SYS_exit_group, code);
}

/* What the tracee does: it stops itself until it's seized, and then does what leads to the stop. */
static void be_traced(enum stop stop)
{
	pthread_t thread;
	pid_t child;

	pthread_create(&thread, NULL, obey, NULL);
	raise(SIGSTOP);
	switch (stop) {
	case AT_SIGNAL:
		syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
		break;
	case AT_GROUP_STOP:
		raise(SIGTSTP);
		break;
	case AT_FORK:
		child = (pid_t)syscall(SYS_fork);
		if (child == 0)
			leave(0);
		break;
	case AT_VFORK_DONE:
		child = vfork();
		if (child == 0)
			_exit(0);
		break;
	case AT_EXEC:
		execl("/proc/self/exe", "ptrace_table", "exits", NULL);
		break;
	default:
		getppid();
	}
	if (stop == AT_INTERRUPT)
		pause();
	leave(5);
}

static void tell(char *text, size_t size, int status)
{
	size_t length = strlen(text);

	if (WIFEXITED(status))
		snprintf(text + length, size - length, " exited:%d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(text + length, size - length, " killed:%d", WTERMSIG(status));
	else if (status >> 16)
		snprintf(text + length, size - length, " event:%d:%d", status >> 16, WSTOPSIG(status));
	else
		snprintf(text + length, size - length, " stopped:%d", WSTOPSIG(status));
}

/* Whether a wait tells of the tracee in a while; what else is traced goes on. */
static int wait_a_while(pid_t pid, int *status)
{
	int tries;

	for (tries = 0; tries < 400;) {
		pid_t told = waitpid(-1, status, __WALL | WNOHANG | WUNTRACED);

		if (told == pid)
			return 1;
		if (told < 0)
			return 0;
		if (told > 0) {
			trace(PTRACE_CONT, told, 0, 0);
			continue;
		}
		sleep_ms(2);
		tries++;
	}
	return 0;
}

/* Whether the tracee is at the entry of getppid(2), or after that at its exit. */
static int is_at_call(pid_t pid, int wants_exit)
{
	static int was_at_entry;
	struct ptrace_syscall_info info;

	memset(&info, 0, sizeof(info));
	trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info);
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		was_at_entry = info.entry.nr == SYS_getppid;
		return was_at_entry && !wants_exit;
	}
	return was_at_entry && wants_exit && info.op == PTRACE_SYSCALL_INFO_EXIT;
}

static int is_wanted(enum stop stop, pid_t pid, int status)
{
	int event = status >> 16;

	if (!WIFSTOPPED(status))
		return 1;
	switch (stop) {
	case AT_SIGNAL:
		return !event && WSTOPSIG(status) == SIGUSR1;
	case AT_GROUP_STOP:
		return event == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGTSTP;
	case AT_CALL_ENTRY:
		return WSTOPSIG(status) == (SIGTRAP | 0x80) && is_at_call(pid, 0);
	case AT_CALL_EXIT:
		return WSTOPSIG(status) == (SIGTRAP | 0x80) && is_at_call(pid, 1);
	case AT_FORK:
		return event == PTRACE_EVENT_FORK;
	case AT_VFORK_DONE:
		return event == PTRACE_EVENT_VFORK_DONE;
	case AT_EXEC:
		return event == PTRACE_EVENT_EXEC;
	case AT_EXIT:
		return event == PTRACE_EVENT_EXIT;
	default:
		return event == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGTRAP;
	}
}

static int signal_to_pass(int status)
{
	return !(status >> 16) && WSTOPSIG(status) != (SIGTRAP | 0x80) && WSTOPSIG(status) != SIGTRAP ?
		       WSTOPSIG(status) :
		       0;
}

/* Seizes the child and lets it run into the stop. */
static int bring_to(pid_t child, enum stop stop)
{
	int request = stop == AT_CALL_ENTRY || stop == AT_CALL_EXIT ? PTRACE_SYSCALL : PTRACE_CONT;
	int status = 0, stops, is_running;

	MUST(waitpid(child, &status, WUNTRACED));
	MUST(trace(PTRACE_SEIZE, child, 0, ALL_EVENTS));
	MUST(waitpid(child, &status, __WALL));
	kill(child, SIGCONT);
	is_running = 0;
	for (stops = 0; stops < 40; stops++) {
		int is_stopped = status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGSTOP;

		is_running = is_running || (status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGTRAP);
		if (stop == AT_INTERRUPT && is_running) {
			MUST(trace(PTRACE_CONT, child, 0, 0));
			sleep_ms(20);
			MUST(trace(PTRACE_INTERRUPT, child, 0, 0));
		} else {
			MUST(trace(is_stopped ? PTRACE_CONT : request, child, 0, 0));
		}
		if (!wait_a_while(child, &status))
			return 0;
		if (!WIFSTOPPED(status))
			return 0;
		if (is_wanted(stop, child, status) && (stop != AT_INTERRUPT || is_running))
			return 1;
		if (stop == AT_GROUP_STOP && WSTOPSIG(status) == SIGTSTP && !(status >> 16)) {
			MUST(trace(PTRACE_CONT, child, 0, SIGTSTP));
			if (!wait_a_while(child, &status))
				return 0;
			if (is_wanted(stop, child, status))
				return 1;
		}
	}
	return 0;
}

static void send_command(char command)
{
	MUST(write(commands[1], &command, 1));
	sleep_ms(30);
}

static void act(pid_t child, enum action action, char *text, size_t size)
{
	int status = 0, count;
	unsigned long first = action == WITH_SIGNAL || action == DETACHED_WITH_SIGNAL ? SIGUSR2 : 0;

	switch (action) {
	case AFTER_KILL:
		kill(child, SIGKILL);
		break;
	case AFTER_SIGTERM:
		syscall(SYS_tgkill, child, child, SIGTERM);
		break;
	case AFTER_SIGSTOP:
		syscall(SYS_tgkill, child, child, SIGSTOP);
		break;
	case AFTER_INTERRUPT:
		trace(PTRACE_INTERRUPT, child, 0, 0);
		break;
	case OTHER_THREAD_EXITS:
		send_command('x');
		break;
	case OTHER_THREAD_EXECS:
		send_command('e');
		break;
	default:
		break;
	}
	if (action == DETACHED || action == DETACHED_WITH_SIGNAL) {
		trace(PTRACE_DETACH, child, 0, first);
		sleep_ms(20);
		kill(child, SIGCONT);
	} else if (action != AFTER_KILL && trace(PTRACE_CONT, child, 0, first) != 0) {
		snprintf(text, size, " errno:%d", errno);
	}
	for (count = 0; count < MOST_STOPS; count++) {
		if (!wait_a_while(child, &status)) {
			snprintf(text + strlen(text), size - strlen(text), " nothing");
			break;
		}
		tell(text, size, status);
		if (!WIFSTOPPED(status))
			break;
		if (status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP)
			kill(child, SIGCONT);
		trace(PTRACE_CONT, child, 0, signal_to_pass(status) == SIGCONT ? 0 : signal_to_pass(status));
	}
}

static void try_one(enum stop stop, enum action action)
{
	char text[256] = "", what[128];
	pid_t child;
	int status;

	MUST(pipe2(commands, O_CLOEXEC));
	child = fork();
	if (child == 0) {
		signal(SIGCONT, SIG_IGN);
		block(SIGCHLD);
		block(SIGCONT);
		be_traced(stop);
	}
	snprintf(what, sizeof(what), "at %s: %s", stop_names[stop], action_names[action]);
	if (!bring_to(child, stop))
		snprintf(text, sizeof(text), " never there");
	else
		act(child, action, text, sizeof(text));
	if (getenv("PRINT_TABLE") != NULL)
		dprintf(STDOUT_FILENO, "/* %d %d */ \"%s\",\n", stop, action, text);
	else
		check_string(__FILE_NAME__, __LINE__, what, text, expected[stop][action]);
	kill(child, SIGKILL);
	trace(PTRACE_CONT, child, 0, 0);
	while ((child = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status)) {
			kill(child, SIGKILL);
			trace(PTRACE_CONT, child, 0, 0);
		}
	}
	close(commands[0]);
	close(commands[1]);
}

static void try_row(enum stop stop)
{
	int action;

	for (action = 0; action < ACTIONS; action++)
		try_one(stop, (enum action)action);
}

TEST(signal_delivery)
{
	try_row(AT_SIGNAL);
}

TEST(group_stop)
{
	try_row(AT_GROUP_STOP);
}

TEST(call_entry)
{
	try_row(AT_CALL_ENTRY);
}

TEST(call_exit)
{
	try_row(AT_CALL_EXIT);
}

TEST(fork_event)
{
	try_row(AT_FORK);
}

TEST(vfork_done_event)
{
	try_row(AT_VFORK_DONE);
}

TEST(exec_event)
{
	try_row(AT_EXEC);
}

TEST(exit_event)
{
	try_row(AT_EXIT);
}

TEST(interrupt)
{
	try_row(AT_INTERRUPT);
}
