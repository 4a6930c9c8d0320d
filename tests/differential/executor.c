/* Executes scripts of system calls and writes down what came of each: script.py makes them and reads that.
 *
 * A script is a list of operations for up to ACTORS processes or threads. A coordinator, which no script can
 * reach, gives them out one at a time, and waits after each until every actor is idle, asleep in a call,
 * stopped or gone. So the same script has one outcome, however many processors run it.
 */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "raw_call.h"
#include "report.h"

#define ACTORS 12
#define SCRIPT_BASE 0x100000000UL
#define SCRIPT_BYTES 0x200000UL
#define CONTROL_BASE 0x110000000UL
#define STACKS_BASE 0x120000000UL
#define STACK_BYTES 0x10000UL
#define LOG_ENTRIES 64
#define PF_EXITING 4
#define MILLISECOND 1000000L
#define GIVE_UP_AFTER 4000
#define NO_RESULT -9999
#define FIRST_NUMBERS 16
/* What all actors share: who has executed a program finds it there. */
#define MEMORY "/dev/shm/executor"
/* Where in its data an operation that reads a file keeps the file's name. */
#define PATH_BYTES 32

/* EXECUTE is a call that makes the actor the executor anew, which goes on as the same actor. */
enum kind { CALL, SPAWN, LOAD, STORE, SLURP, EXECUTE };
enum value { NUMBER, RESULT, PID, MINUS_PID, HANDLER, RESTORER, STORED, STORED_WORD };
enum event { DONE, ASLEEP, ENDED, BUSY, SIGNALLED, STOPPED, REFUSED };

struct argument {
	uint32_t kind;
	uint32_t index;
	int64_t number;
};

struct operation {
	uint32_t actor;
	uint32_t kind;
	int64_t call;
	struct argument arguments[6];
	uint32_t data, data_bytes;
	uint32_t fixups, fixup_count;
	uint32_t new_actor, is_slow;
};

struct fixup {
	uint32_t offset, bytes;
	struct argument value;
};

struct script {
	uint32_t count, reserved;
	struct operation operations[];
};

struct record {
	uint32_t event, operation, actor, data_bytes;
	int64_t result;
};

struct signalled {
	int32_t number, code, pid, status;
	int64_t value;
};

struct actor {
	uint32_t command, done;
	/* Its number for the coordinator, and in its own pid namespace, which is that one. */
	int32_t tid, own;
	/* Whose number it has once it has executed a program; whether another thread has done that in its place. */
	int32_t group, is_replaced;
	uint64_t space;
	uint32_t operation, was_shown, is_gone, told_stopped, logged, log_shown;
	int64_t result;
	struct signalled log[LOG_ENTRIES];
};

struct control {
	uint32_t event;
	int64_t results[4096];
	/* How /proc showed them at the last look. */
	char states[ACTORS];
	struct actor actors[ACTORS];
};

/* Whom each actor is to be, from its parent's answer on until it says itself that it's there. */
static int awaited[ACTORS];

static struct script *const script = (struct script *)SCRIPT_BASE;
static struct control *const control = (struct control *)CONTROL_BASE;
static FILE *output;

static long call6(long number, long a, long b, long c, long d, long e, long f)
{
	int64_t arguments[6] = {a, b, c, d, e, f};

	return raw_call(number, arguments);
}

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static void wake(uint32_t *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
	call6(SYS_futex, (long)word, FUTEX_WAKE, 1, 0, 0, 0);
}

static int is_nested(const struct actor *actor)
{
	return actor->own != actor->tid;
}

/* The caller's number, or its process's, in the pid namespace of /proc, which is the coordinator's. */
static int outer_number(const char *link, long call)
{
	char text[64];
	long length = call6(SYS_readlink, (long)link, (long)text, sizeof(text), 0, 0, 0);
	int number = 0;

	for (long at = 0; at < length; at++)
		number = text[at] >= '0' && text[at] <= '9' ? 10 * number + text[at] - '0' : 0;
	return number > 0 ? number : (int)call6(call, 0, 0, 0, 0, 0, 0);
}

static int outer_tid(void)
{
	return outer_number("/proc/thread-self", SYS_gettid);
}

static int find_me(void)
{
	int tid = (int)call6(SYS_gettid, 0, 0, 0, 0, 0, 0);

	for (int at = 0; at < ACTORS; at++)
		if (control->actors[at].tid != 0 && !control->actors[at].is_gone && is_nested(&control->actors[at])) {
			tid = outer_tid();
			break;
		}
	for (int at = 0; at < ACTORS; at++)
		if (control->actors[at].tid == tid && !control->actors[at].is_gone)
			return at;
	return -1;
}

/* A fault of raw_load or raw_store becomes their result; any other signal is written down. */
static void on_signal(int number, siginfo_t *info, void *context)
{
	ucontext_t *frame = context;
	uintptr_t at = (uintptr_t)frame->uc_mcontext.gregs[REG_RIP];
	int me;

	if (at >= (uintptr_t)raw_faulting && at < (uintptr_t)raw_faulting_end && info->si_code > 0) {
		frame->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)raw_fault_out;
		frame->uc_mcontext.gregs[REG_RAX] = -(number * 1000 + info->si_code);
		return;
	}
	if ((number == SIGSEGV || number == SIGBUS) && info->si_code > 0)
		call6(SYS_exit_group, 99, 0, 0, 0, 0, 0);
	me = find_me();
	if (me >= 0 && control->actors[me].logged < LOG_ENTRIES) {
		struct signalled *entry = &control->actors[me].log[control->actors[me].logged++];

		*entry = (struct signalled){number, info->si_code, 0, 0, 0};
		if (info->si_code <= 0 || number == SIGCHLD)
			entry->pid = info->si_pid;
		if (number == SIGCHLD)
			entry->status = info->si_status;
		if (info->si_code == SI_QUEUE)
			entry->value = info->si_value.sival_int;
	}
}

/* The number by which an actor may speak of another. */
static int64_t number_for(const struct actor *me, const struct actor *other)
{
	return is_nested(me) && me->space == other->space ? other->own : other->tid;
}

static int64_t value_of(const struct actor *me, const struct argument *argument)
{
	const char *place;
	int32_t stored;
	int64_t word;

	switch ((enum value)argument->kind) {
	case NUMBER:
		return argument->number;
	case RESULT:
		return control->results[argument->index] + argument->number;
	case PID:
		return number_for(me, &control->actors[argument->index]);
	case MINUS_PID:
		return -number_for(me, &control->actors[argument->index]);
	case HANDLER:
		return (int64_t)(uintptr_t)on_signal;
	case RESTORER:
		return (int64_t)(uintptr_t)raw_restorer;
	case STORED:
	case STORED_WORD:
		if (control->results[argument->index] < 0)
			return NO_RESULT;
		place = (char *)SCRIPT_BASE + script->operations[argument->index].data + argument->number;
		memcpy(&stored, place, sizeof(stored));
		memcpy(&word, place, sizeof(word));
		return argument->kind == STORED ? stored : word;
	}
	return 0;
}

static long slurp(const char *path, char *into, size_t size)
{
	long fd = call6(SYS_open, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0, 0);
	size_t length = PATH_BYTES;
	long got;

	if (fd < 0)
		return fd;
	while (length < size && (got = call6(SYS_read, fd, (long)(into + length), (long)(size - length), 0, 0, 0)) > 0)
		length += (size_t)got;
	call6(SYS_close, fd, 0, 0, 0, 0, 0);
	return (long)length;
}

/* Nobody outside may be signalled or changed, whatever a script says. From another pid namespace nobody is seen. */
static int is_harmful(const struct actor *me, const struct operation *operation, const int64_t *values)
{
	if (is_nested(me) && values[0] != -1)
		return 0;
	switch (operation->call) {
	case SYS_kill:
		if ((int)values[0] == -1)
			return 1;
		/* fallthrough */
	case SYS_tkill:
	case SYS_tgkill:
	case SYS_rt_sigqueueinfo:
	case SYS_rt_tgsigqueueinfo:
		for (int at = 0; at < (operation->call == SYS_tgkill || operation->call == SYS_rt_tgsigqueueinfo ? 2 : 1); at++) {
			int pid = (int)values[at];
			int is_known = 0;

			if (pid < 0)
				pid = -pid;
			for (int actor = 0; actor < ACTORS; actor++)
				is_known |= control->actors[actor].tid == pid;
			if (pid > 0 && pid < 1 << 22 && !is_known)
				return 1;
		}
	}
	return 0;
}

static void execute(const struct operation *operation, struct actor *me)
{
	char *data = (char *)SCRIPT_BASE + operation->data;
	const struct fixup *fixups = (const struct fixup *)((char *)SCRIPT_BASE + operation->fixups);
	int64_t values[6];
	long result;

	for (uint32_t at = 0; at < operation->fixup_count; at++) {
		int64_t value = value_of(me, &fixups[at].value);

		memcpy(data + fixups[at].offset, &value, fixups[at].bytes);
	}
	for (int at = 0; at < 6; at++)
		values[at] = value_of(me, &operation->arguments[at]);
	switch ((enum kind)operation->kind) {
	case EXECUTE:
		me->group = outer_number("/proc/self", SYS_getpid);
		/* fallthrough */
	case CALL:
		result = is_harmful(me, operation, values) ? -9998 : raw_call(operation->call, values);
		break;
	case SPAWN:
		result = raw_spawn(operation->call, values, operation->new_actor);
		break;
	case LOAD:
		result = raw_load((void *)values[0]);
		break;
	case STORE:
		result = raw_store((void *)values[0], values[1]);
		break;
	case SLURP:
		result = slurp(data, data, operation->data_bytes);
		break;
	default:
		result = -9997;
	}
	me->result = result;
	control->results[me->operation] = result;
}

void actor_main(long number)
{
	struct actor *me = &control->actors[number];

	if (me->tid == 0) {
		struct stat space = {0};

		me->own = (int)call6(SYS_gettid, 0, 0, 0, 0, 0, 0);
		call6(SYS_stat, (long)"/proc/thread-self/ns/pid", (long)&space, 0, 0, 0, 0);
		me->space = space.st_ino;
		__atomic_store_n(&me->tid, outer_tid(), __ATOMIC_SEQ_CST);
	}
	wake(&control->event);
	for (;;) {
		uint32_t command;

		while ((command = __atomic_load_n(&me->command, __ATOMIC_SEQ_CST)) == me->done)
			call6(SYS_futex, (long)&me->command, FUTEX_WAIT, command, 0, 0, 0);
		execute(&script->operations[me->operation], me);
		__atomic_store_n(&me->done, command, __ATOMIC_SEQ_CST);
		wake(&control->event);
	}
}

/* The state letter of a task in /proc, 0 when there is none, R while one that ends still waits for what is done by and
 * by, as for its requests of aio(7). */
static int state_of(int tid)
{
	char path[64], text[512];
	const char *end;
	unsigned int flags = 0;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	end = strrchr(text, ')');
	if (end == NULL)
		return 0;
	if (end[2] == 'D' && sscanf(end + 3, "%*d %*d %*d %*d %*d %u", &flags) == 1 && flags & PF_EXITING)
		return 'R';
	return end[2];
}

static void put_record(enum event event, int number, int64_t result, const void *data, uint32_t length)
{
	struct record record = {event, control->actors[number].operation, (uint32_t)number, length, result};

	fwrite(&record, sizeof(record), 1, output);
	fwrite(data, 1, length, output);
}

/* Without the zeros at its end, which most of a large buffer is. */
static uint32_t told_bytes(const struct operation *operation)
{
	const char *data = (char *)SCRIPT_BASE + operation->data;
	uint32_t length = operation->data_bytes;

	while (length > 0 && data[length - 1] == 0)
		length--;
	return length;
}

static void pause_briefly(long nanoseconds)
{
	struct timespec time = {0, nanoseconds};

	nanosleep(&time, NULL);
}

static int is_done(const struct actor *actor)
{
	return __atomic_load_n(&actor->done, __ATOMIC_SEQ_CST) == actor->command;
}

static int is_end(int state)
{
	return state == 0 || state == 'Z' || state == 'X';
}

static int is_stop(int state)
{
	return state == 'T' || state == 't';
}

/* Tells what actors have done since it was last asked. Whether one that has ended meanwhile came to the end of its
 * last call is a matter of luck, and isn't told; of one that has stopped, as who stops its own threads, it's told
 * when it goes on. */
static void show_changes(const char *states)
{
	for (int number = 0; number < ACTORS; number++) {
		struct actor *actor = &control->actors[number];

		if (actor->log_shown < actor->logged) {
			put_record(SIGNALLED, number, 0, &actor->log[actor->log_shown],
				   (actor->logged - actor->log_shown) * (uint32_t)sizeof(actor->log[0]));
			actor->log_shown = actor->logged;
		}
		if (actor->tid != 0 && actor->command != actor->was_shown && is_done(actor)) {
			const struct operation *operation = &script->operations[actor->operation];

			if (states != NULL && is_stop(states[number]))
				continue;
			actor->was_shown = actor->command;
			if (states == NULL || actor->is_gone || !is_end(states[number]))
				put_record(DONE, number, actor->result, (char *)SCRIPT_BASE + operation->data,
					   told_bytes(operation));
		}
	}
}

/* One that was stopped before it could say that it's there, or whose parent was before it had an answer, may go on
 * by now. */
static int is_one_coming(void)
{
	for (int number = 0; number < ACTORS; number++) {
		const struct actor *actor = &control->actors[number];
		const struct operation *operation = &script->operations[actor->operation];

		if (actor->tid != 0 && !is_nested(actor) && operation->kind == SPAWN && is_done(actor) && actor->result > 0)
			awaited[operation->new_actor] = (int)actor->result;
	}
	for (int number = 0; number < ACTORS; number++)
		if (control->actors[number].tid == 0 && awaited[number] > 0 && state_of(awaited[number]) == 'R')
			return 1;
	return 0;
}

/* Waits until every actor is idle, asleep, stopped or gone: as before the last operation, or at two looks. */
static void settle(void)
{
	char states[ACTORS] = {0};
	int calm = 0;

	for (int tries = 0; tries < GIVE_UP_AFTER; tries++) {
		int is_calm = !is_one_coming(), needs_another_look = 0;

		for (int number = 0; number < ACTORS; number++) {
			struct actor *actor = &control->actors[number];

			if (actor->tid == 0 || actor->is_gone)
				continue;
			states[number] = (char)(actor->is_replaced ? 0 : state_of(actor->tid));
			/* Who is idle sleeps otherwise: this one ends, and waits for what is done by and by. */
			if (states[number] == 'R' || (states[number] == 'D' && is_done(actor)))
				is_calm = 0;
			if ((states[number] == 'S' || states[number] == 'D') && !is_done(actor))
				needs_another_look = 1;
		}
		if (memcmp(states, control->states, sizeof(states)) != 0) {
			is_calm = 0;
			memcpy(control->states, states, sizeof(states));
		}
		if (is_calm && !needs_another_look)
			break;
		calm = is_calm ? calm + 1 : 0;
		if (calm >= 3)
			break;
		pause_briefly(is_calm ? MILLISECOND : MILLISECOND / 10);
	}
	show_changes(states);
	for (int number = 0; number < ACTORS; number++) {
		struct actor *actor = &control->actors[number];

		if (actor->tid == 0 || actor->is_gone)
			continue;
		if (is_end(states[number])) {
			actor->is_gone = 1;
			put_record(ENDED, number, 0, NULL, 0);
		} else if (!is_stop(states[number])) {
			actor->told_stopped = 0;
		} else if (states[number] != (char)actor->told_stopped) {
			actor->told_stopped = (uint32_t)states[number];
			put_record(STOPPED, number, states[number] == 't', NULL, 0);
		}
	}
}

/* Whether somebody is still about to go on as an actor that executes a program. */
static int is_executing(const struct actor *actor)
{
	int state = state_of(actor->tid), state_of_group = actor->group == 0 ? 0 : state_of(actor->group);

	return !is_stop(state) && !is_stop(state_of_group) && !(is_end(state) && is_end(state_of_group));
}

static void give_out(uint32_t index, int *is_crowded)
{
	const struct operation *operation = &script->operations[index];
	struct actor *actor;

	actor = &control->actors[operation->actor];
	if (actor->tid == 0 || actor->is_gone || !is_done(actor) || actor->command != actor->was_shown) {
		struct record record = {BUSY, index, operation->actor, 0, 0};

		control->results[index] = NO_RESULT;
		fwrite(&record, sizeof(record), 1, output);
		return;
	}
	actor->operation = index;
	control->results[index] = NO_RESULT;
	wake(&actor->command);
	if (operation->kind == SPAWN || operation->kind == EXECUTE)
		*is_crowded = 1;
	for (int tries = 0; tries < GIVE_UP_AFTER && !is_done(actor); tries++) {
		uint32_t event = __atomic_load_n(&control->event, __ATOMIC_SEQ_CST);
		struct timespec time = {0, tries < 2 ? MILLISECOND : 4 * MILLISECOND};
		int state;

		if (is_done(actor))
			break;
		call6(SYS_futex, (long)&control->event, FUTEX_WAIT, event, (long)&time, 0, 0);
		if (is_done(actor))
			break;
		state = state_of(actor->tid);
		/* Unmounting may wait for the host's other processors; whoever waits for a child of vfork stays so. */
		if (state == 'D' && operation->kind != SPAWN && tries < 100)
			continue;
		/* Between its numbers one is nobody for a moment. */
		if (operation->kind == EXECUTE && (is_executing(actor) ? tries < 500 : tries < 10))
			continue;
		if (tries >= 2 && state != 'R')
			break;
	}
	if (operation->kind == SPAWN && (!is_done(actor) || actor->result > 0))
		/* Where others keep the processors busy, it takes a while until the new one has its turn. */
		for (int tries = 0; control->actors[operation->new_actor].tid == 0; tries++) {
			if (tries >= GIVE_UP_AFTER || (tries >= 100 && (is_nested(actor) || state_of((int)actor->result) != 'R')))
				break;
			pause_briefly(MILLISECOND);
		}
	if (operation->is_slow)
		pause_briefly(6 * MILLISECOND);
	if (*is_crowded || !is_done(actor))
		settle();
	else
		show_changes(NULL);
	if ((!is_done(actor) || actor->command != actor->was_shown) && !actor->is_gone)
		put_record(ASLEEP, (int)operation->actor, 0, NULL, 0);
}

static void limit(int resource, rlim_t value)
{
	struct rlimit limits = {value, value};

	setrlimit(resource, &limits);
}

static void drop_capability(int capability)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	syscall(SYS_capget, &header, data);
	data[capability / 32].effective &= ~(1U << capability % 32);
	data[capability / 32].permitted &= ~(1U << capability % 32);
	syscall(SYS_capset, &header, data);
}

static void catch_faults(void)
{
	static const int faults[] = {SIGSEGV, SIGBUS};

	for (size_t at = 0; at < sizeof(faults) / sizeof(faults[0]); at++) {
		struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};

		sigaction(faults[at], &action, NULL);
	}
}

static void start_actor(void)
{
	syscall(SYS_close_range, 0, ~0U, 0);
	limit(RLIMIT_NOFILE, 64);
	limit(RLIMIT_FSIZE, 8 << 20);
	limit(RLIMIT_CORE, 0);
	/* Containers' root users often haven't got it. */
	drop_capability(CAP_SYS_RESOURCE);
	drop_capability(CAP_SYS_NICE);
	prctl(PR_SET_NAME, "executor");
	umask(022);
	setsid();
	catch_faults();
	actor_main(0);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status, (void)kind, (void)place;
	return remove(path) == -1 && errno != ENOENT;
}

/* Until none is left: one that was thawed or woken at last may have made another meanwhile, and one that was made for
 * a tracer may have stopped before it could say that it's there. */
static void end_actors(void)
{
	pid_t ended;
	int status;

	do {
		/* Nobody else is there: the second process beside the first is no program on a whole Linux. */
		if (getpid() <= 2)
			kill(-1, SIGKILL);
		for (int number = 0; number < ACTORS; number++)
			if (control->actors[number].tid != 0 && !control->actors[number].is_gone)
				kill(control->actors[number].tid, SIGKILL);
		ended = waitpid(-1, &status, __WALL | WNOHANG);
		if (ended > 0 && WIFSTOPPED(status))
			ptrace(PTRACE_CONT, ended, 0, 0);
		if (ended == 0)
			pause_briefly(MILLISECOND);
	} while (ended >= 0 || errno == EINTR);
}

/* Linux removes the queues of a namespace some time after its last process, and they count for the user till then. */
static void await_queues(void)
{
	for (uint32_t index = 0; index < script->count; index++)
		if (script->operations[index].call == SYS_mq_open) {
			pause_briefly(30 * MILLISECOND);
			break;
		}
}

static void run_script(const char *directory, const char *base, const char *content, uint32_t length)
{
	/* So deep that the ".." of a script don't lead out. */
	const char *way[] = {directory, "p", "q", "w"};
	struct record end = {99, 0, 0, 0, 0};
	int is_crowded = 0;
	pid_t first;

	memset(control, 0, sizeof(*control));
	memset(awaited, 0, sizeof(awaited));
	memset((void *)SCRIPT_BASE, 0, SCRIPT_BYTES);
	memcpy((void *)SCRIPT_BASE, content, length);
	for (size_t at = 0; at < sizeof(way) / sizeof(way[0]); at++)
		if (mkdir(way[at], 0755) == -1 || chdir(way[at]) == -1)
			fail(way[at]);
	first = fork();
	if (first == 0)
		start_actor();
	for (int tries = 0; tries < GIVE_UP_AFTER && control->actors[0].tid == 0; tries++)
		pause_briefly(MILLISECOND);
	for (uint32_t index = 0; index < script->count; index++)
		give_out(index, &is_crowded);
	for (int number = 0; number < ACTORS; number++)
		if (control->actors[number].tid != 0) {
			int32_t tid = control->actors[number].tid;

			end.event = is_nested(&control->actors[number]) ? 97 : 98;
			end.actor = (uint32_t)number;
			end.result = tid;
			fwrite(&end, sizeof(end), 1, output);
		}
	end_actors();
	await_queues();
	if (chdir(base) == -1)
		fail(base);
	nftw(directory, remove_one, 20, FTW_DEPTH | FTW_PHYS);
	end.event = 99;
	end.actor = 0;
	end.result = getpid();
	fwrite(&end, sizeof(end), 1, output);
	fflush(output);
}

static void map_at(uintptr_t address, size_t length, int flags, int fd, off_t offset)
{
	void *area = mmap((void *)address, length, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, fd, offset);

	if (area != (void *)address)
		fail("mmap");
}

/* The memory of all actors, and stacks for what an actor makes. */
static void map_memory(int flags)
{
	const size_t control_bytes = (sizeof(*control) + 4095) & ~4095UL;
	int fd = open(MEMORY, O_RDWR | O_CLOEXEC | flags, 0666);

	if (fd == -1 || (flags != 0 && ftruncate(fd, (off_t)(SCRIPT_BYTES + control_bytes)) == -1))
		fail(MEMORY);
	map_at(SCRIPT_BASE, SCRIPT_BYTES, MAP_SHARED, fd, 0);
	map_at(CONTROL_BASE, control_bytes, MAP_SHARED, fd, SCRIPT_BYTES);
	map_at(STACKS_BASE, STACK_BYTES * ACTORS, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	close(fd);
}

/* Goes on as an actor who has executed this program. */
static void go_on(long number)
{
	struct actor *me;
	int tid;

	map_memory(0);
	catch_faults();
	me = &control->actors[number];
	tid = outer_tid();
	for (int at = 0; at < ACTORS; at++)
		if (at != number && control->actors[at].tid == tid)
			control->actors[at].is_replaced = 1;
	me->own = (int)call6(SYS_gettid, 0, 0, 0, 0, 0, 0);
	me->tid = tid;
	me->result = 0;
	control->results[me->operation] = 0;
	__atomic_store_n(&me->done, me->command, __ATOMIC_SEQ_CST);
	actor_main(number);
}

int main(int argc, char **argv)
{
	struct {
		int64_t handler, restorer;
	} addresses = {(int64_t)(uintptr_t)on_signal, (int64_t)(uintptr_t)raw_restorer};
	char directory[64];
	uint32_t length;
	char *content;
	FILE *input;

	if (argc == 2)
		return report(argv[1]);
	if (argc == 3 && strcmp(argv[1], "actor") == 0)
		go_on(strtol(argv[2], NULL, 10));
	if (argc != 3)
		return 2;
	/* What scripts ask and may do depends on it, and the hunter may be run with nice(1). */
	if (setpriority(PRIO_PROCESS, 0, 0) != 0)
		return 2;
	input = fopen(argv[1], "re");
	output = fdopen(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100), "w");
	content = malloc(SCRIPT_BYTES);
	if (input == NULL || output == NULL || content == NULL)
		fail(argv[1]);
	umask(0);
	if (mkdir(argv[2], 0777) == -1 && errno != EEXIST)
		fail(argv[2]);
	if (chdir(argv[2]) == -1)
		fail(argv[2]);
	/* So that no actor's number is one of those that a pid namespace of a script's begins with. */
	for (int number = 0; number < FIRST_NUMBERS; number++) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	map_memory(O_CREAT | O_TRUNC);
	fwrite(&addresses, sizeof(addresses), 1, output);
	for (int number = 0; fread(&length, sizeof(length), 1, input) == 1; number++) {
		if (length > SCRIPT_BYTES || fread(content, 1, length, input) != length)
			fail("script");
		snprintf(directory, sizeof(directory), "%d", number);
		run_script(directory, argv[2], content, length);
	}
	return 0;
}
