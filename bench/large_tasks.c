/* Loops of system calls that mean many tasks, timers, signals or waiters, each run for a time of the clock. */
#define BODIES_AT_ONCE 1
#include "loops.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define TASKS 500
#define THREADS 300
#define TIMERS 3000
#define CGROUP "/tmp/large_cgroup"

static char buffer[1 << 20] __attribute__((aligned(4096)));
static int fd;
static pid_t child;
static unsigned word, words[4096];

static void start_children(int count)
{
	for (int at = 0; at < count; at++) {
		if (must(fork()) == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
}

/* From here on this is the first process of a pid namespace, whose end ends all in it. */
static void enter_namespace(void)
{
	int status;
	pid_t made;

	must(unshare(CLONE_NEWPID | CLONE_NEWNS));
	made = (pid_t)must(fork());
	if (made == 0) {
		must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
		must(mount("none", "/proc", "proc", 0, NULL));
		return;
	}
	must(waitpid(made, &status, 0));
	_exit(status != 0);
}

static void make_children(void)
{
	enter_namespace();
	must(setpgid(0, 0));
	start_children(TASKS);
}

static void do_kill_all(void) { must(kill(-1, 0)); }
static void do_stop_all(void)
{
	must(kill(-1, SIGSTOP));
	must(kill(-1, SIGCONT));
}
static void do_priority_of_user(void) { must(setpriority(PRIO_USER, 0, 0)); }
static void do_get_priority(void) { must(getpriority(PRIO_USER, 0)); }
static void do_io_priority(void) { must(syscall(SYS_ioprio_get, 3, 0)); }
static void do_wait_nobody(void) { must(waitpid(-1, NULL, WNOHANG)); }

static void do_wait_group(void)
{
	siginfo_t found;

	must(waitid(P_PGID, 0, &found, WEXITED | WNOHANG));
}

static void do_move_group(void)
{
	must(setpgid(2, 2));
	must(setpgid(2, getpgrp()));
}

static void list(const char *path)
{
	DIR *stream = opendir(path);

	while (readdir(stream))
		continue;
	closedir(stream);
}

static void read_whole(const char *path)
{
	int opened = (int)must(open(path, O_RDONLY));

	while (must(read(opened, buffer, sizeof(buffer))) > 0)
		continue;
	close(opened);
}

static void do_list_processes(void) { list("/proc"); }
static void do_read_children(void) { read_whole("/proc/self/task/1/children"); }
static void do_read_load(void) { read_whole("/proc/loadavg"); }
static void do_read_stat(void) { read_whole("/proc/stat"); }

static void do_family(void)
{
	pid_t made[200];

	for (int at = 0; at < 200; at++) {
		made[at] = (pid_t)must(fork());
		if (made[at] == 0) {
			pause();
			_exit(0);
		}
	}
	for (int at = 0; at < 200; at++)
		must(kill(made[at], SIGKILL));
	while (waitpid(-1, NULL, 0) > 0)
		continue;
}

/* A parent that ends, with all its children. */
static void do_orphans(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		start_children(200);
		_exit(0);
	}
	reap(made);
}

static void *wait_for_ever(void *unused)
{
	(void)unused;
	for (;;)
		pause();
	return NULL;
}

static void *wait_for_word(void *unused)
{
	for (;;)
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return unused;
}

static void start_threads(int count, void *(*routine)(void *))
{
	pthread_attr_t attributes;
	pthread_t made;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	for (int at = 0; at < count; at++)
		must(-pthread_create(&made, &attributes, routine, NULL));
}

static void make_threads(void) { start_threads(THREADS, wait_for_ever); }
static void do_list_threads(void) { list("/proc/self/task"); }
static void do_read_own_stat(void) { read_whole("/proc/self/stat"); }
static void do_read_own_status(void) { read_whole("/proc/self/status"); }

static void do_usage(void)
{
	struct rusage usage;

	must(getrusage(RUSAGE_SELF, &usage));
}

static void do_process_clock(void)
{
	struct timespec now;

	must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now));
}

static void do_signal_process(void)
{
	must(kill(getpid(), 0));
	must(kill(getpid(), SIGURG));
}

static void do_barrier(void)
{
	must(syscall(SYS_membarrier, 1 << 4, 0, 0));
	must(syscall(SYS_membarrier, 1 << 3, 0, 0));
}

static void do_group_exit(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		start_threads(THREADS, wait_for_ever);
		_exit(0);
	}
	reap(made);
}

static void do_exec_threads(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		start_threads(THREADS, wait_for_ever);
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	reap(made);
}

static void do_set_users(void) { must(setresuid(0, 0, 0)); }

static void make_waiters(void)
{
	start_threads(THREADS, wait_for_word);
	usleep(100000);
}

static void do_wake_all(void)
{
	must(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 100000, NULL, NULL, 0));
	usleep(1);
}

static void do_requeue(void)
{
	static unsigned target;

	must(syscall(SYS_futex, &word, FUTEX_REQUEUE_PRIVATE, 0, 100000, &target, 0));
	must(syscall(SYS_futex, &target, FUTEX_REQUEUE_PRIVATE, 0, 100000, &word, 0));
}

static void do_wait_vector(void)
{
	struct { uint64_t value, address; uint32_t flags, reserved; } waiters[128];
	struct timespec past = {0, 1};

	for (int at = 0; at < 128; at++) {
		waiters[at].value = 0;
		waiters[at].address = (uintptr_t)&words[at];
		waiters[at].flags = 2 | 128;
		waiters[at].reserved = 0;
	}
	syscall(449, waiters, 128, 0, &past, CLOCK_MONOTONIC);
}

/* Ends with 2,000 locks that it holds. */
static void do_robust_list(void)
{
	struct robust_list entries[2001];
	struct robust_list_head head = {{&entries[0]}, 0, NULL};
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		for (int at = 0; at < 2000; at++)
			entries[at].next = &entries[at + 1];
		entries[2000].next = &head.list;
		must(syscall(SYS_set_robust_list, &head, sizeof(head)));
		_exit(0);
	}
	reap(made);
}

static timer_t timers[TIMERS];

static void make_timers(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_NONE};

	for (int at = 0; at < TIMERS; at++)
		must(timer_create(CLOCK_MONOTONIC, &event, &timers[at]));
}

static void do_set_timers(void)
{
	static const struct itimerspec soon = {{0, 0}, {0, 1}};

	for (int at = 0; at < TIMERS; at++)
		must(timer_settime(timers[at], 0, &soon, NULL));
	sched_yield();
}

static void do_tick(void)
{
	static const struct itimerspec soon = {{0, 1}, {0, 1}};
	static struct itimerspec left;

	for (int at = 0; at < TIMERS; at += 10)
		must(timer_settime(timers[at], 0, &soon, NULL));
	for (int at = 0; at < TIMERS; at += 10)
		must(timer_gettime(timers[at], &left));
}

/* Their signals are blocked, so that each is queued behind the others, and taken back. */
static void make_blocked_timers(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGRTMIN);
	must(sigprocmask(SIG_BLOCK, &blocked, NULL));
	for (int at = 0; at < TIMERS; at++)
		must(timer_create(CLOCK_MONOTONIC, &event, &timers[at]));
}

static void do_fire_timers(void)
{
	do_set_timers();
	for (int at = TIMERS - 1; at >= 0; at -= 2)
		must(timer_settime(timers[at], 0, &(struct itimerspec){0}, NULL));
}

static void do_end_timers(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		make_timers();
		_exit(0);
	}
	reap(made);
}

static void do_read_timers(void) { read_whole("/proc/self/timers"); }

static void make_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = (int)must(signalfd(-1, &set, SFD_NONBLOCK));
}

static void do_signals(void)
{
	union sigval value = {0};

	for (int at = 0; at < 1000; at++)
		must(sigqueue(getpid(), SIGRTMIN, value));
	while (read(fd, buffer, 1000 * sizeof(struct signalfd_siginfo)) > 0)
		continue;
}

static void do_ignore_signals(void)
{
	union sigval value = {0};

	for (int at = 0; at < 1000; at++)
		must(sigqueue(getpid(), SIGRTMIN, value));
	signal(SIGRTMIN, SIG_IGN);
	signal(SIGRTMIN, SIG_DFL);
}

static void start_tracee(void)
{
	child = (pid_t)must(fork());
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	must(waitpid(child, NULL, 0));
}

static void do_floating_registers(void)
{
	struct iovec part = {buffer, sizeof(buffer)};

	must(ptrace(PTRACE_GETREGSET, child, NT_PRFPREG, &part));
	must(ptrace(PTRACE_SETREGSET, child, NT_PRFPREG, &part));
}

static void do_peek_signals(void)
{
	struct { uint64_t offset; uint32_t flags; int32_t count; } wanted = {0, 0, 1000};

	must(ptrace((enum __ptrace_request)0x4209, child, &wanted, buffer));
}

static void start_signalled_tracee(void)
{
	child = (pid_t)must(fork());
	if (child == 0) {
		sigset_t set;

		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	must(waitpid(child, NULL, WUNTRACED));
	for (int at = 0; at < 1000; at++)
		must(syscall(SYS_tgkill, child, child, SIGRTMIN));
}

static void do_set_groups(void)
{
	static gid_t groups[65536];

	for (unsigned at = 0; at < 65536; at++)
		groups[at] = at;
	must(setgroups(65536, groups));
	must(getgroups(65536, groups));
}

static void do_read_groups(void)
{
	do_set_groups();
	read_whole("/proc/self/status");
}

static void do_map_users(void)
{
	static char map[16384];
	int opened, at = 0, length = 0;
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		must(unshare(CLONE_NEWUSER));
		for (; at < 300; at++)
			length += sprintf(map + length, "%d %d 1\n", at * 2, at * 2);
		opened = (int)must(open("/proc/self/uid_map", O_RDWR));
		must(write(opened, map, (size_t)length) > 0 || errno == EPERM ? 0 : -1);
		_exit(0);
	}
	reap(made);
}

static void do_load_program(void)
{
	static struct bpf_insn steps[4096];
	union bpf_attr wanted = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insn_cnt = 4096,
		.insns = (uintptr_t)steps, .license = (uintptr_t)"GPL"};

	for (int at = 0; at < 4095; at++)
		steps[at] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1};
	steps[4095] = (struct bpf_insn){.code = BPF_JMP | BPF_EXIT};
	close((int)must(syscall(SYS_bpf, BPF_PROG_LOAD, &wanted, offsetof(union bpf_attr, attach_prog_fd))));
}

static void write_to(const char *path, const char *text)
{
	int opened = (int)must(open(path, O_WRONLY));

	must(write(opened, text, strlen(text)));
	close(opened);
}

static void make_cgroup(void)
{
	must(mkdir(CGROUP, 0700));
	must(mount("none", CGROUP, "cgroup2", 0, NULL));
	must(mkdir(CGROUP "/a", 0700));
}

static void make_full_cgroup(void)
{
	make_cgroup();
	child = (pid_t)must(fork());
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		write_to(CGROUP "/a/cgroup.procs", "0");
		start_children(TASKS);
		for (;;)
			pause();
	}
	usleep(100000);
}

static void do_read_members(void) { read_whole(CGROUP "/a/cgroup.procs"); }

static void do_freeze(void)
{
	write_to(CGROUP "/a/cgroup.freeze", "1");
	write_to(CGROUP "/a/cgroup.freeze", "0");
}

static void do_kill_cgroup(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		write_to(CGROUP "/a/cgroup.procs", "0");
		start_children(200);
		write_to(CGROUP "/a/cgroup.kill", "1");
		pause();
		_exit(0);
	}
	must(waitpid(made, NULL, 0));
}

static void make_many_cgroups(void)
{
	char name[64];

	make_cgroup();
	for (int at = 0; at < 500; at++) {
		snprintf(name, sizeof(name), CGROUP "/a/%d", at);
		must(mkdir(name, 0700));
	}
}

static void do_read_cgroup_stat(void) { read_whole(CGROUP "/a/cgroup.stat"); }
static void do_read_cpu_stat(void) { read_whole(CGROUP "/cpu.stat"); }

static void do_control_cgroups(void)
{
	write_to(CGROUP "/cgroup.subtree_control", "+pids");
	write_to(CGROUP "/a/cgroup.subtree_control", "+pids");
	write_to(CGROUP "/a/cgroup.subtree_control", "-pids");
	write_to(CGROUP "/cgroup.subtree_control", "-pids");
}

static const struct kind kinds[] = {
	{"kill-all", make_children, do_kill_all},
	{"stop-all", make_children, do_stop_all},
	{"set-priority", make_children, do_priority_of_user},
	{"get-priority", make_children, do_get_priority},
	{"io-priority", make_children, do_io_priority},
	{"wait-nobody", make_children, do_wait_nobody},
	{"wait-group", make_children, do_wait_group},
	{"move-group", make_children, do_move_group},
	{"list-processes", make_children, do_list_processes},
	{"read-children", make_children, do_read_children},
	{"read-load", make_children, do_read_load},
	{"read-stat", make_children, do_read_stat},
	{"family", NULL, do_family},
	{"orphans", NULL, do_orphans},
	{"list-threads", make_threads, do_list_threads},
	{"read-own-stat", make_threads, do_read_own_stat},
	{"read-own-status", make_threads, do_read_own_status},
	{"usage", make_threads, do_usage},
	{"process-clock", make_threads, do_process_clock},
	{"signal-process", make_threads, do_signal_process},
	{"barrier", make_threads, do_barrier},
	{"group-exit", NULL, do_group_exit},
	{"exec-threads", NULL, do_exec_threads},
	{"set-users", NULL, do_set_users},
	{"wake-all", make_waiters, do_wake_all},
	{"requeue", make_waiters, do_requeue},
	{"wait-vector", NULL, do_wait_vector},
	{"robust-list", NULL, do_robust_list},
	{"set-timers", make_timers, do_set_timers},
	{"tick", make_timers, do_tick},
	{"fire-timers", make_blocked_timers, do_fire_timers},
	{"end-timers", NULL, do_end_timers},
	{"read-timers", make_timers, do_read_timers},
	{"signals", make_signals, do_signals},
	{"ignore-signals", make_signals, do_ignore_signals},
	{"floating-registers", start_tracee, do_floating_registers},
	{"peek-signals", start_signalled_tracee, do_peek_signals},
	{"set-groups", NULL, do_set_groups},
	{"read-groups", NULL, do_read_groups},
	{"map-users", NULL, do_map_users},
	{"load-program", NULL, do_load_program},
	{"read-members", make_full_cgroup, do_read_members},
	{"freeze", make_full_cgroup, do_freeze},
	{"kill-cgroup", make_cgroup, do_kill_cgroup},
	{"read-cgroup-stat", make_many_cgroups, do_read_cgroup_stat},
	{"read-cpu-stat", make_many_cgroups, do_read_cpu_stat},
	{"control-cgroups", make_many_cgroups, do_control_cgroups},
};

int main(int argc, char **argv)
{
	run_loops(kinds, sizeof(kinds) / sizeof(*kinds), argc, argv);
	if (child != 0)
		kill(child, SIGKILL);
	return 0;
}
