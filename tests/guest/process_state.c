/* What the files of /proc/PID and /proc/PID/task/TID say of tasks in every state: proc_pid_*(5). */
#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

#define TEXT_SIZE 16384
#define FIELDS 52

/* What comes of opening and reading a file. */
enum outcome {
	SAYS = 0, /* at least one byte */
	EMPTY = -1,
	ANYTHING = -2, /* bytes or none, but no error */
};

/* A file, and what comes of it while the process lives, as a zombie, and when it is gone but the file was open. */
static const struct expectation {
	const char *name;
	int living;
	int zombie;
	int held_by_zombie;
	int held_when_gone;
} expectations[] = {
	{ "auxv", SAYS, ESRCH, SAYS, SAYS },
	{ "cgroup", SAYS, SAYS, SAYS, ESRCH },
	{ "cmdline", SAYS, EMPTY, EMPTY, ESRCH },
	{ "comm", SAYS, SAYS, SAYS, ESRCH },
	{ "environ", ANYTHING, ESRCH, EMPTY, EMPTY },
	{ "gid_map", SAYS, SAYS, SAYS, SAYS },
	{ "io", SAYS, SAYS, SAYS, ESRCH },
	{ "ksm_merging_pages", SAYS, EMPTY, EMPTY, ESRCH },
	{ "ksm_stat", SAYS, EMPTY, EMPTY, ESRCH },
	{ "limits", SAYS, SAYS, SAYS, ESRCH },
	{ "loginuid", SAYS, SAYS, SAYS, ESRCH },
	{ "maps", SAYS, EMPTY, EMPTY, ESRCH },
	{ "mem", EIO, ESRCH, EMPTY, EMPTY },
	{ "mountinfo", SAYS, EINVAL, SAYS, SAYS },
	{ "mounts", SAYS, EINVAL, SAYS, SAYS },
	{ "oom_adj", SAYS, SAYS, SAYS, ESRCH },
	{ "oom_score", SAYS, SAYS, SAYS, ESRCH },
	{ "oom_score_adj", SAYS, SAYS, SAYS, ESRCH },
	{ "personality", SAYS, SAYS, SAYS, ESRCH },
	{ "projid_map", SAYS, SAYS, SAYS, SAYS },
	{ "sched", SAYS, SAYS, SAYS, ESRCH },
	{ "schedstat", SAYS, SAYS, SAYS, ESRCH },
	{ "sessionid", SAYS, SAYS, SAYS, ESRCH },
	{ "setgroups", SAYS, SAYS, SAYS, SAYS },
	{ "smaps", SAYS, EMPTY, EMPTY, ESRCH },
	{ "smaps_rollup", SAYS, ESRCH, ESRCH, ESRCH },
	{ "stat", SAYS, SAYS, SAYS, ESRCH },
	{ "statm", SAYS, SAYS, SAYS, ESRCH },
	{ "status", SAYS, SAYS, SAYS, ESRCH },
	{ "syscall", SAYS, SAYS, SAYS, ESRCH },
	{ "uid_map", SAYS, SAYS, SAYS, SAYS },
	{ "wchan", SAYS, SAYS, SAYS, ESRCH },
};

static const char *const process_files[] = { "coredump_filter", "timens_offsets", "timers", "timerslack_ns" };

static char text[TEXT_SIZE];

static int outcome_of_file(int fd)
{
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

	if (length < 0)
		return errno;
	text[length] = '\0';
	return length > 0 ? SAYS : EMPTY;
}

static int outcome_of(const char *directory, const char *name)
{
	char path[128];
	int fd, outcome;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return errno;
	outcome = outcome_of_file(fd);
	close(fd);
	return outcome;
}

static void expect(const char *state, const char *name, int got, int want)
{
	if (want == ANYTHING)
		want = got == EMPTY ? EMPTY : SAYS;
	check_report(got == want, __FILE_NAME__, __LINE__, name, "%s: got %d want %d", state, got, want);
}

/* All files of a task: of a process, or with is_thread of one thread. */
static void expect_files(const char *state, const char *directory, int is_zombie, int is_thread)
{
	size_t index;

	for (index = 0; index < LENGTH(expectations); index++) {
		const struct expectation *each = &expectations[index];

		expect(state, each->name, outcome_of(directory, each->name), is_zombie ? each->zombie : each->living);
	}
	if (is_thread)
		CHECK_EQ(outcome_of(directory, "timens_offsets"), ENOENT);
}

/* The fields of stat from the third on, which is the state's letter: field N is field[N]. */
static void read_fields(const char *directory, long long *field)
{
	char *word;
	int number = 4;

	CHECK_EQ(outcome_of(directory, "stat"), SAYS);
	word = strrchr(text, ')') + 2;
	field[3] = *word;
	for (word = strchr(word, ' '); word != NULL && number <= FIELDS; word = strchr(word + 1, ' '))
		field[number++] = strtoll(word, NULL, 10);
	CHECK_EQ(number, FIELDS + 1);
}

static int is_in_state(const char *directory, char state)
{
	char *letter;

	if (outcome_of(directory, "stat") != SAYS)
		return 0;
	letter = strrchr(text, ')') + 2;
	return *letter == state;
}

static void await_state(const char *directory, char state)
{
	int tries;

	for (tries = 0; tries < 2000 && !is_in_state(directory, state); tries++)
		sleep_ms(1);
}

static const char *line_of(const char *name)
{
	static char line[256];
	char *found = text;

	while (found != NULL && (strncmp(found, name, strlen(name)) != 0 || found[strlen(name)] != ':')) {
		found = strchr(found, '\n');
		found = found == NULL ? NULL : found + 1;
	}
	if (found == NULL)
		return "";
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(found, "\n"), found);
	return line;
}

static char *directory_of(pid_t pid, pid_t tid)
{
	static char directories[4][64];
	static int next;
	char *directory = directories[next++ % 4];

	if (tid == 0)
		snprintf(directory, sizeof(directories[0]), "/proc/%d", pid);
	else
		snprintf(directory, sizeof(directories[0]), "/proc/%d/task/%d", pid, tid);
	return directory;
}

static const char *text_of(pid_t pid, const char *name)
{
	outcome_of(directory_of(pid, 0), name);
	return text;
}

/* Where it sleeps: between its change of state and the switch Linux says 0. */
static const char *wait_channel_of(pid_t pid)
{
	for (int tries = 0; tries < 2000 && strcmp(text_of(pid, "wchan"), "0") == 0; tries++)
		sleep_ms(1);
	return text;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

TEST(sleeping)
{
	long long field[FIELDS + 1];
	pid_t child = child_that_pauses();
	char *directory = directory_of(child, 0);
	size_t index;

	await_state(directory, 'S');
	expect_files("sleeping", directory, 0, 0);
	for (index = 0; index < LENGTH(process_files); index++)
		expect("sleeping", process_files[index], outcome_of(directory, process_files[index]),
		       strcmp(process_files[index], "timers") == 0 ? EMPTY : SAYS);
	read_fields(directory, field);
	CHECK_EQ(field[3], 'S');
	CHECK_EQ(field[4], getpid());
	CHECK_EQ(field[5], getpgrp());
	CHECK_EQ(field[6], getsid(0));
	CHECK_EQ(field[20], 1);
	CHECK_EQ(field[29], 0);
	CHECK_EQ(field[30], 0);
	CHECK_EQ(field[35], 1);
	CHECK_EQ(field[36], 0);
	CHECK_EQ(field[38], SIGCHLD);
	CHECK_EQ(field[41], SCHED_OTHER);
	CHECK(field[45] != 0 && field[46] > field[45] && field[47] != 0);
	CHECK(field[48] < field[49] && field[50] <= field[51]);
	CHECK_EQ(field[52], 0);
	text_of(child, "status");
	CHECK_STRING(line_of("State"), "State:\tS (sleeping)");
	CHECK_STRING(line_of("Threads"), "Threads:\t1");
	CHECK_STRING(line_of("voluntary_ctxt_switches"), "voluntary_ctxt_switches:\t1");
	CHECK(strtol(text_of(child, "syscall"), NULL, 10) == SYS_pause);
	CHECK_STRING(wait_channel_of(child), "__do_sys_pause");
	end(child);
}

/* The first argument of many a call is no descriptor. */
static void sleep_over_a_socket(void)
{
	struct timespec long_time = {1000, 0};
	int ends[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	MUST(dup2(ends[0], CLOCK_REALTIME));
	clock_nanosleep(CLOCK_REALTIME, 0, &long_time, NULL);
}

TEST(sleeping_over_a_socket)
{
	pid_t child = MUST(fork());

	if (child == 0) {
		sleep_over_a_socket();
		_exit(0);
	}
	await_state(directory_of(child, 0), 'S');
	CHECK_STRING(wait_channel_of(child), "hrtimer_nanosleep");
	end(child);
}

TEST(zombie)
{
	long long field[FIELDS + 1];
	pid_t child = child_that_exits(3);
	char *directory = directory_of(child, 0);

	await_zombie(child);
	expect_files("zombie", directory, 1, 0);
	read_fields(directory, field);
	CHECK_EQ(field[3], 'Z');
	CHECK_EQ(field[20], 1);
	CHECK_EQ(field[23], 0);
	CHECK_EQ(field[24], 0);
	CHECK_EQ(field[26], 0);
	CHECK_EQ(field[28], 0);
	CHECK_EQ(field[35], 1);
	CHECK_EQ(field[38], SIGCHLD);
	CHECK_EQ(field[45], 0);
	CHECK_EQ(field[51], 0);
	CHECK_EQ(field[52], W_EXITCODE(3, 0));
	text_of(child, "status");
	CHECK_STRING(line_of("State"), "State:\tZ (zombie)");
	CHECK_STRING(line_of("FDSize"), "FDSize:\t0");
	CHECK_STRING(line_of("Umask"), "");
	CHECK_STRING(line_of("VmSize"), "");
	CHECK_STRING(line_of("voluntary_ctxt_switches"), "voluntary_ctxt_switches:\t1");
	CHECK_STRING(text_of(child, "syscall"), "-1 0x0 0x0\n");
	CHECK_STRING(text_of(child, "statm"), "0 0 0 0 0 0 0\n");
	CHECK_STRING(text_of(child, "wchan"), "0");
	waitpid(child, NULL, 0);
}

TEST(killed)
{
	long long field[FIELDS + 1];
	pid_t child = child_that_pauses();

	kill(child, SIGTERM);
	await_zombie(child);
	read_fields(directory_of(child, 0), field);
	CHECK_EQ(field[52], SIGTERM);
	CHECK(field[9] & 0x00000400);
	CHECK(field[9] & 0x00000004);
	waitpid(child, NULL, 0);
}

TEST(stopped)
{
	long long field[FIELDS + 1];
	pid_t child = fork();
	char *directory = directory_of(child, 0);

	if (child == 0) {
		raise(SIGSTOP);
		pause();
		_exit(0);
	}
	await_state(directory, 'T');
	expect_files("stopped", directory, 0, 0);
	read_fields(directory, field);
	CHECK_EQ(field[35], 1);
	CHECK_EQ(field[52], SIGSTOP);
	text_of(child, "status");
	CHECK_STRING(line_of("State"), "State:\tT (stopped)");
	CHECK_STRING(line_of("voluntary_ctxt_switches"), "voluntary_ctxt_switches:\t1");
	CHECK_STRING(wait_channel_of(child), "do_signal_stop");
	CHECK(strtol(text_of(child, "syscall"), NULL, 10) == SYS_tgkill);
	CHECK_EQ(waitpid(child, NULL, WUNTRACED), child);
	read_fields(directory, field);
	CHECK_EQ(field[52], 0);
	end(child);
}

TEST(traced)
{
	char tracer[32];
	long long field[FIELDS + 1];
	pid_t child = fork();
	char *directory = directory_of(child, 0);

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGUSR1);
		_exit(0);
	}
	await_state(directory, 't');
	expect_files("traced", directory, 0, 0);
	read_fields(directory, field);
	CHECK_EQ(field[52], SIGUSR1);
	text_of(child, "status");
	CHECK_STRING(line_of("State"), "State:\tt (tracing stop)");
	snprintf(tracer, sizeof(tracer), "TracerPid:\t%d", getpid());
	CHECK_STRING(line_of("TracerPid"), tracer);
	CHECK_STRING(wait_channel_of(child), "ptrace_stop");
	CHECK(strtol(text_of(child, "syscall"), NULL, 10) == SYS_tgkill);
	end(child);
}

TEST(running)
{
	pid_t child = fork();
	char *directory = directory_of(child, 0);
	unsigned long long ran, waited, count;
	long long field[FIELDS + 1];
	int tries;

	if (child == 0)
		for (;;)
			;
	for (tries = 0, ran = 0; tries < 1000 && ran < 60000000; tries++) {
		sleep_ms(10);
		ran = strtoull(text_of(child, "schedstat"), NULL, 10);
	}
	await_state(directory, 'R');
	expect_files("running", directory, 0, 0);
	CHECK_STRING(text_of(child, "syscall"), "running\n");
	CHECK_STRING(text_of(child, "wchan"), "0");
	read_fields(directory, field);
	CHECK_EQ(field[35], 0);
	CHECK(field[14] >= 1);
	text_of(child, "schedstat");
	CHECK_EQ(sscanf(text, "%llu %llu %llu", &ran, &waited, &count), 3);
	CHECK(ran >= 10000000);
	CHECK(count >= 1);
	end(child);
}

static void *pause_for_ever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

static pid_t only_thread_beside(pid_t child)
{
	char path[64];
	struct dirent *entry;
	DIR *directory;
	pid_t found = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", child);
	directory = opendir(path);
	while (directory != NULL && (entry = readdir(directory)) != NULL)
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != child)
			found = atoi(entry->d_name);
	if (directory != NULL)
		closedir(directory);
	return found;
}

static pid_t child_with_thread(int leader_ends)
{
	pid_t child = fork();
	pthread_t thread;

	if (child == 0) {
		pthread_create(&thread, NULL, pause_for_ever, NULL);
		if (leader_ends)
			syscall(SYS_exit, 5);
		pause_for_ever(NULL);
	}
	return child;
}

TEST(threads)
{
	long long field[FIELDS + 1];
	pid_t child = child_with_thread(0), thread;
	char *directory;

	await_state(directory_of(child, 0), 'S');
	sleep_ms(20);
	thread = only_thread_beside(child);
	directory = directory_of(child, thread);
	expect_files("thread", directory, 0, 1);
	read_fields(directory, field);
	CHECK_EQ(field[4], getpid());
	CHECK_EQ(field[20], 2);
	CHECK_EQ(field[35], 1);
	CHECK_EQ(field[38], -1);
	read_fields(directory_of(child, 0), field);
	CHECK_EQ(field[20], 2);
	/* The whole process sleeps only if it has one thread. */
	CHECK_EQ(field[35], 0);
	CHECK_EQ(outcome_of(directory, "children"), EMPTY);
	end(child);
}

TEST(leader_that_has_ended)
{
	long long field[FIELDS + 1];
	pid_t child = child_with_thread(1), thread;
	char *directory = directory_of(child, 0);

	await_state(directory, 'Z');
	thread = only_thread_beside(child);
	expect_files("ended leader", directory, 1, 0);
	expect_files("thread of an ended leader", directory_of(child, thread), 0, 1);
	CHECK(strtol(text_of(child, "oom_score"), NULL, 10) > 0);
	read_fields(directory, field);
	CHECK_EQ(field[3], 'Z');
	CHECK_EQ(field[20], 2);
	CHECK_EQ(field[35], 0);
	read_fields(directory_of(child, child), field);
	CHECK_EQ(field[35], 1);
	await_state(directory_of(child, thread), 'S');
	read_fields(directory_of(child, thread), field);
	CHECK_EQ(field[3], 'S');
	CHECK(field[23] > 0);
	end(child);
}

TEST(parent_in_vfork)
{
	pid_t child = fork();
	char *directory = directory_of(child, 0);

	if (child == 0) {
		setpgid(0, 0);
		if (vfork() == 0) {
			pause();
			_exit(0);
		}
		_exit(0);
	}
	await_state(directory, 'D');
	expect_files("in vfork", directory, 0, 0);
	text_of(child, "status");
	CHECK_STRING(line_of("State"), "State:\tD (disk sleep)");
	CHECK_STRING(wait_channel_of(child), "kernel_clone");
	kill(-child, SIGKILL);
	waitpid(child, NULL, 0);
}

TEST(files_held_open)
{
	int fds[LENGTH(expectations)];
	pid_t child = child_that_pauses();
	int directory = (int)MUST(open(directory_of(child, 0), O_RDONLY | O_DIRECTORY));
	int threads = (int)MUST(openat(directory, "task", O_RDONLY | O_DIRECTORY));
	int links = (int)MUST(openat(directory, "ns", O_RDONLY | O_DIRECTORY));
	char entries[512];
	size_t index;

	for (index = 0; index < LENGTH(expectations); index++)
		fds[index] = (int)MUST(openat(directory, expectations[index].name, O_RDONLY));
	kill(child, SIGKILL);
	await_zombie(child);
	for (index = 0; index < LENGTH(expectations); index++)
		expect("held by a zombie", expectations[index].name, outcome_of_file(fds[index]),
		       expectations[index].held_by_zombie);
	waitpid(child, NULL, 0);
	for (index = 0; index < LENGTH(expectations); index++)
		expect("held when gone", expectations[index].name, outcome_of_file(fds[index]),
		       expectations[index].held_when_gone);
	CHECK_ERRNO(openat(directory, "stat", O_RDONLY), ESRCH);
	CHECK_ERRNO(openat(directory, "nonsense", O_RDONLY), ESRCH);
	CHECK_ERRNO(syscall(SYS_getdents64, directory, entries, sizeof(entries)), ENOENT);
	CHECK_ERRNO(syscall(SYS_getdents64, threads, entries, sizeof(entries)), ENOENT);
	CHECK_ERRNO(syscall(SYS_getdents64, links, entries, sizeof(entries)), ENOENT);
}

TEST(network_of_a_zombie)
{
	char path[64], entries[512];
	pid_t child = child_that_exits(0);
	int directory;

	await_zombie(child);
	snprintf(path, sizeof(path), "/proc/%d/net", child);
	directory = (int)MUST(open(path, O_RDONLY | O_DIRECTORY));
	CHECK_ERRNO(syscall(SYS_getdents64, directory, entries, sizeof(entries)), EINVAL);
	CHECK_ERRNO(openat(directory, "dev", O_RDONLY), ENOENT);
	waitpid(child, NULL, 0);
}

TEST(attributes)
{
	static const char *const names[] = { "current", "exec", "fscreate", "keycreate", "prev", "sockcreate" };
	char path[64], byte;
	size_t index;

	for (index = 0; index < LENGTH(names); index++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/self/attr/%s", names[index]);
		fd = (int)MUST(open(path, O_RDONLY));
		CHECK_ERRNO(read(fd, &byte, 1), EINVAL);
		close(fd);
	}
}

TEST(posix_timers)
{
	struct sigevent event;
	timer_t timer;
	char want[256];

	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = SIGRTMIN;
	event.sigev_value.sival_int = 7;
	CHECK_OK(syscall(SYS_timer_create, CLOCK_REALTIME, &event, &timer));
	event.sigev_notify = SIGEV_NONE;
	event.sigev_signo = 0;
	CHECK_OK(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
	text_of(getpid(), "timers");
	snprintf(want, sizeof(want),
		 "ID: 1\nsignal: 0/0000000000000007\nnotify: none/pid.%d\nClockID: -6\n"
		 "ID: 0\nsignal: %d/0000000000000007\nnotify: signal/pid.%d\nClockID: 0\n",
		 getpid(), SIGRTMIN, getpid());
	CHECK_STRING(text, want);
}

TEST(oom_adjustment)
{
	int fd = (int)MUST(open("/proc/self/oom_adj", O_RDWR));

	CHECK_EQ(write(fd, "15", 2), 2);
	CHECK_STRING(text_of(getpid(), "oom_score_adj"), "1000\n");
	CHECK_STRING(text_of(getpid(), "oom_adj"), "15\n");
	CHECK_ERRNO(write(fd, "16", 2), EINVAL);
	CHECK_ERRNO(write(fd, "-18", 3), EINVAL);
}
