/* What a process has used: getrusage(2), and the sizes and switches in /proc/PID/status (proc_pid_status(5)). */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#define PAGE 4096l
#define MEBIBYTE (1l << 20)
#define KIB(bytes) ((bytes) / 1024)
/* Linux counts pages in batches on each processor. */
#define SLACK_KIB 2048

static struct rusage usage_of(int who)
{
	struct rusage usage;

	MUST(getrusage(who, &usage));
	return usage;
}

/* The number in a line of /proc/self/status, -1 if there is no such line. */
static long status_of(const char *name)
{
	static char text[8192];
	int fd = (int)MUST(open("/proc/self/status", O_RDONLY));
	ssize_t length = (ssize_t)MUST(read(fd, text, sizeof(text) - 1));
	char *line;

	close(fd);
	text[length] = '\0';
	for (line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			return atol(line + strlen(name) + 1);
	}
	return -1;
}

/* Private memory in pages of 4 KiB that nobody has touched. */
static char *new_memory(long length)
{
	char *memory = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	madvise(memory, (size_t)length, MADV_NOHUGEPAGE);
	return memory;
}

static void touch(char *memory, long length)
{
	for (long at = 0; at < length; at += PAGE)
		((volatile char *)memory)[at] = 1;
}

static int is_near(long got, long want, long slack)
{
	return got >= want && got <= want + slack;
}

TEST(touched_pages_are_faults)
{
	char *memory = new_memory(4 * MEBIBYTE);
	struct rusage before = usage_of(RUSAGE_SELF), after;

	touch(memory, 4 * MEBIBYTE);
	after = usage_of(RUSAGE_SELF);
	CHECK(is_near(after.ru_minflt - before.ru_minflt, 1024, 20));
	touch(memory, 4 * MEBIBYTE);
	CHECK(is_near(usage_of(RUSAGE_SELF).ru_minflt - after.ru_minflt, 0, 20));
	MUST(madvise(memory, MEBIBYTE, MADV_DONTNEED));
	after = usage_of(RUSAGE_SELF);
	touch(memory, 4 * MEBIBYTE);
	CHECK(is_near(usage_of(RUSAGE_SELF).ru_minflt - after.ru_minflt, 256, 20));
	CHECK(usage_of(RUSAGE_THREAD).ru_minflt >= 1280);
}

TEST(calls_fault_too)
{
	char *memory = new_memory(2 * MEBIBYTE);
	int zeros = (int)MUST(open("/dev/zero", O_RDONLY)), pipes[2];
	struct rusage before = usage_of(RUSAGE_SELF), after;

	MUST(read(zeros, memory, MEBIBYTE));
	after = usage_of(RUSAGE_SELF);
	CHECK(is_near(after.ru_minflt - before.ru_minflt, 256, 20));
	MUST(pipe(pipes));
	MUST(write(pipes[1], memory + MEBIBYTE, 8 * PAGE));
	CHECK(is_near(usage_of(RUSAGE_SELF).ru_minflt - after.ru_minflt, 8, 20));
}

TEST(copies_after_fork_are_faults)
{
	char *memory = new_memory(MEBIBYTE);
	struct rusage before, after;
	pid_t child;

	touch(memory, MEBIBYTE);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		before = usage_of(RUSAGE_SELF);
		touch(memory, MEBIBYTE);
		after = usage_of(RUSAGE_SELF);
		_exit(is_near(after.ru_minflt - before.ru_minflt, 256, 20));
	}
	CHECK_EQ(wait_for(child), EXITED(1));
	CHECK(usage_of(RUSAGE_CHILDREN).ru_minflt >= 256);
}

TEST(peaks_stay)
{
	long size = status_of("VmSize"), resident = status_of("VmRSS"), most = 16 * MEBIBYTE;
	char *memory = new_memory(most);

	CHECK(size > 0 && resident > 0 && resident <= size);
	CHECK(is_near(status_of("VmSize"), size + KIB(most), 64));
	CHECK(is_near(status_of("VmPeak"), size + KIB(most), 256));
	CHECK(status_of("VmRSS") < resident + SLACK_KIB);
	touch(memory, most);
	CHECK(is_near(status_of("VmRSS") + SLACK_KIB, resident + KIB(most), 2 * SLACK_KIB));
	CHECK(status_of("RssAnon") >= KIB(most) - SLACK_KIB);
	MUST(munmap(memory, (size_t)most));
	CHECK(is_near(status_of("VmSize"), size, 64));
	CHECK(is_near(status_of("VmPeak"), size + KIB(most), 256));
	CHECK(status_of("VmRSS") < resident + SLACK_KIB);
	CHECK(is_near(status_of("VmHWM") + SLACK_KIB, resident + KIB(most), 2 * SLACK_KIB));
	CHECK(is_near(usage_of(RUSAGE_SELF).ru_maxrss + SLACK_KIB, resident + KIB(most), 2 * SLACK_KIB));
}

TEST(peaks_are_not_inherited)
{
	long most = 16 * MEBIBYTE;
	char *memory = new_memory(most);
	pid_t child;

	touch(memory, most);
	MUST(munmap(memory, (size_t)most));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(is_near(status_of("VmPeak"), status_of("VmSize"), 256) && status_of("VmHWM") < KIB(most) &&
		      usage_of(RUSAGE_SELF).ru_maxrss < KIB(most));
	CHECK_EQ(wait_for(child), EXITED(1));
}

/* What was locked when it was mapped isn't in a child, however it came to be locked. */
TEST(a_child_of_who_maps_locked_memory_locks_nothing)
{
	for (int how = 0; how < 2; how++) {
		pid_t child = (pid_t)MUST(fork());

		if (child == 0) {
			if (how) {
				MUST(mlockall(MCL_FUTURE));
				CHECK(sbrk(8192) != (void *)-1);
			} else
				CHECK(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) !=
				      MAP_FAILED);
			CHECK(status_of("VmLck") >= 8);
			child = (pid_t)MUST(fork());
			if (child == 0)
				_exit(status_of("VmLck") == 0);
			_exit(wait_for(child) == EXITED(1) ? 0 : 1);
		}
		CHECK_EQ(wait_for(child), EXITED(0));
	}
}

TEST(locked_and_data_sizes)
{
	long data = status_of("VmData");
	char *memory = new_memory(MEBIBYTE);
	pid_t child;

	CHECK(is_near(status_of("VmData"), data + 1024, 64));
	CHECK_EQ(status_of("VmLck"), 0);
	CHECK_EQ(mlock(memory, 8 * PAGE), 0);
	CHECK_EQ(status_of("VmLck"), 32);
	CHECK_EQ(mlock(memory, 4 * PAGE), 0);
	CHECK_EQ(status_of("VmLck"), 32);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(status_of("VmLck") == 0);
	CHECK_EQ(wait_for(child), EXITED(1));
	CHECK_EQ(munlock(memory, 4 * PAGE), 0);
	CHECK_EQ(status_of("VmLck"), 16);
	CHECK_EQ(munmap(memory, 8 * PAGE), 0);
	CHECK_EQ(status_of("VmLck"), 0);
	CHECK_EQ(status_of("VmSwap"), 0);
	CHECK(status_of("VmStk") > 0);
	CHECK(status_of("VmExe") > 0);
	CHECK(status_of("VmPTE") > 0);
	CHECK_EQ(status_of("VmNothing"), -1);
}

TEST(locking_limits)
{
	struct rlimit limit = {64 * 1024, 64 * 1024}, none = {0, 0};
	unsigned char present[64];
	char *memory, *heap;

	MUST(setrlimit(RLIMIT_MEMLOCK, &limit));
	drop_root();
	memory = new_memory(MEBIBYTE);
	CHECK_ERRNO(mlock(memory, MEBIBYTE), ENOMEM);
	CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
	CHECK_ERRNO(mlockall(0), EINVAL);
	CHECK_ERRNO(mlockall(MCL_ONFAULT), EINVAL);
	CHECK_ERRNO(mlockall(64), EINVAL);
	CHECK_EQ(syscall(SYS_mlock2, memory, 8 * PAGE, MLOCK_ONFAULT), 0);
	CHECK_ERRNO(syscall(SYS_mlock2, memory, PAGE, 2), EINVAL);
	CHECK_EQ(status_of("VmLck"), 32);
	CHECK_EQ(mincore(memory, 8 * PAGE, present), 0);
	CHECK_EQ(present[0] & 1, 0);
	CHECK_EQ(mlock(memory, 8 * PAGE), 0);
	CHECK_EQ(mincore(memory, 8 * PAGE, present), 0);
	CHECK_EQ(present[0] & present[7] & 1, 1);
	CHECK_EQ(status_of("VmLck"), 32);
	CHECK_ERRNO(mlock(memory + 8 * PAGE, 9 * PAGE), ENOMEM);
	CHECK_EQ(mlockall(MCL_FUTURE), 0);
	CHECK(mmap(NULL, 9 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	CHECK_EQ(errno, EAGAIN);
	memory = new_memory(4 * PAGE);
	CHECK_EQ(status_of("VmLck"), 48);
	CHECK_EQ(mincore(memory, 4 * PAGE, present), 0);
	CHECK_EQ(present[0] & present[3] & 1, 1);
	heap = sbrk(0);
	CHECK_EQ((char *)sbrk(64 * PAGE), -1);
	CHECK_EQ(errno, ENOMEM);
	CHECK_EQ(brk((char *)(((uintptr_t)heap + PAGE - 1) & ~(uintptr_t)(PAGE - 1)) + 2 * PAGE), 0);
	CHECK_EQ(status_of("VmLck"), 56);
	CHECK_EQ(munlockall(), 0);
	CHECK_EQ(status_of("VmLck"), 0);
	new_memory(4 * PAGE);
	CHECK_EQ(status_of("VmLck"), 0);
	MUST(setrlimit(RLIMIT_MEMLOCK, &none));
	CHECK_ERRNO(mlock(memory, PAGE), EPERM);
	CHECK_ERRNO(mlockall(MCL_FUTURE), EPERM);
	CHECK_EQ(munlock(memory, PAGE), 0);
}

ROLE(tell_peak)
{
	return usage_of(RUSAGE_SELF).ru_maxrss >= KIB(16 * MEBIBYTE) - SLACK_KIB && status_of("VmHWM") < KIB(16 * MEBIBYTE);
}

TEST(exec_keeps_the_largest_size)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		touch(new_memory(16 * MEBIBYTE), 16 * MEBIBYTE);
		execl(check_self, check_self, "tell_peak", NULL);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(1));
}

TEST(largest_of_the_children)
{
	long before = usage_of(RUSAGE_CHILDREN).ru_maxrss;
	pid_t child = (pid_t)MUST(fork()), other;

	CHECK(before == 0);
	if (child == 0) {
		pid_t grandchild = (pid_t)MUST(fork());

		if (grandchild == 0) {
			touch(new_memory(16 * MEBIBYTE), 16 * MEBIBYTE);
			_exit(0);
		}
		await_zombie(grandchild);
		if (usage_of(RUSAGE_CHILDREN).ru_maxrss != 0)
			_exit(1);
		MUST(wait_for(grandchild));
		_exit(usage_of(RUSAGE_CHILDREN).ru_maxrss >= KIB(16 * MEBIBYTE) - SLACK_KIB ? 0 : 2);
	}
	await_zombie(child);
	CHECK_EQ(usage_of(RUSAGE_CHILDREN).ru_maxrss, 0);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK(usage_of(RUSAGE_CHILDREN).ru_maxrss >= KIB(16 * MEBIBYTE) - SLACK_KIB);
	other = child_that_exits(0);
	CHECK_EQ(wait_for(other), EXITED(0));
	CHECK(usage_of(RUSAGE_CHILDREN).ru_maxrss >= KIB(16 * MEBIBYTE) - SLACK_KIB);
}

TEST(children_that_nobody_waits_for)
{
	pid_t child;

	handle(SIGCHLD, SIG_IGN, 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		touch(new_memory(16 * MEBIBYTE), 16 * MEBIBYTE);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), -1);
	CHECK_EQ(usage_of(RUSAGE_CHILDREN).ru_maxrss, 0);
}

TEST(sleeping_is_a_voluntary_switch)
{
	struct timespec moment = {0, 200000};
	long told = status_of("voluntary_ctxt_switches");
	struct rusage before = usage_of(RUSAGE_SELF), after;

	for (int times = 0; times < 20; times++)
		MUST(nanosleep(&moment, NULL));
	after = usage_of(RUSAGE_SELF);
	/* On a loaded host a timer may end before its sleeper has left the processor: then there's no switch. */
	CHECK(is_near(after.ru_nvcsw - before.ru_nvcsw, 15, 45));
	CHECK(is_near(status_of("voluntary_ctxt_switches") - told, 15, 45));
	CHECK(status_of("nonvoluntary_ctxt_switches") >= 0);
}

TEST(sharing_a_processor_is_not_voluntary)
{
	struct rusage before, after;
	struct timespec start;
	cpu_set_t one;
	pid_t children[2];

	MUST(sched_getaffinity(0, sizeof(one), &one));
	for (int number = 0, found = 0; number < CPU_SETSIZE; number++) {
		if (CPU_ISSET(number, &one) && found++)
			CPU_CLR(number, &one);
	}
	MUST(sched_setaffinity(0, sizeof(one), &one));
	for (int number = 0; number < 2; number++) {
		children[number] = (pid_t)MUST(fork());
		if (children[number] == 0) {
			before = usage_of(RUSAGE_SELF);
			MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start));
			while (now_ns(CLOCK_PROCESS_CPUTIME_ID) < start.tv_nsec + 120000000)
				continue;
			after = usage_of(RUSAGE_SELF);
			_exit((after.ru_nivcsw - before.ru_nivcsw >= 3) + 2 * (after.ru_nvcsw - before.ru_nvcsw <= 20));
		}
	}
	CHECK_EQ(wait_for(children[0]), EXITED(3));
	CHECK_EQ(wait_for(children[1]), EXITED(3));
	CHECK(usage_of(RUSAGE_CHILDREN).ru_nivcsw >= 6);
}

static long long microseconds(struct timeval time)
{
	return time.tv_sec * 1000000LL + time.tv_usec;
}

TEST(time_is_the_user_s_or_the_system_s)
{
	struct rusage usage;
	long long user, total;
	volatile unsigned long work = 0;

	while (now_ns(CLOCK_PROCESS_CPUTIME_ID) < 100000000)
		for (int times = 0; times < 100000; times++)
			work++;
	usage = usage_of(RUSAGE_SELF);
	user = microseconds(usage.ru_utime);
	total = user + microseconds(usage.ru_stime);
	CHECK(total >= 95000);
	CHECK(total <= now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000 + 20000);
	CHECK(user > total / 2);
}

static void *use_time(void *argument)
{
	int64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID);
	long long *told = argument;
	struct rusage usage;

	while (now_ns(CLOCK_THREAD_CPUTIME_ID) < start + 60000000)
		continue;
	MUST(getrusage(RUSAGE_THREAD, &usage));
	*told = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
	return NULL;
}

TEST(a_thread_has_its_own)
{
	long long told = 0, mine, all;
	struct rusage usage;
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, use_time, &told) == 0 ? 0 : -1);
	MUST(pthread_join(thread, NULL) == 0 ? 0 : -1);
	usage = usage_of(RUSAGE_THREAD);
	mine = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
	usage = usage_of(RUSAGE_SELF);
	all = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
	CHECK(told >= 55000);
	CHECK(mine < told);
	CHECK(all + 1000 >= told);
}

TEST(errnos)
{
	struct rusage usage;

	CHECK_ERRNO(getrusage(2, &usage), EINVAL);
	CHECK_ERRNO(getrusage(-2, &usage), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrusage, RUSAGE_SELF, bad_address()), EFAULT);
	CHECK_EQ(getrusage(RUSAGE_CHILDREN, &usage), 0);
	CHECK_EQ(usage.ru_ixrss, 0);
	CHECK_EQ(usage.ru_nswap, 0);
	CHECK_EQ(usage.ru_nsignals, 0);
}

static volatile int in_spinner, elsewhere;
static pthread_t spinner;

static void count_tick(int signo)
{
	(void)signo;
	if (pthread_equal(pthread_self(), spinner))
		in_spinner++;
	else
		elsewhere++;
}

/* A thread that works until it has had ten signals, while the first one sleeps. */
static void *spin(void *argument)
{
	timer_t timer;
	struct itimerspec each = {.it_value.tv_nsec = 2000000, .it_interval.tv_nsec = 2000000};
	struct itimerval often = {.it_value.tv_usec = 2000, .it_interval.tv_usec = 2000};
	const int *which = argument;

	spinner = pthread_self();
	usleep(10000);
	if (*which >= 0) {
		MUST(setitimer(*which, &often, NULL));
	} else {
		MUST(timer_create(CLOCK_PROCESS_CPUTIME_ID, NULL, &timer));
		MUST(timer_settime(timer, 0, &each, NULL));
	}
	while (in_spinner + elsewhere < 10)
		;
	often = (struct itimerval){0};
	if (*which >= 0)
		MUST(setitimer(*which, &often, NULL));
	else
		MUST(timer_delete(timer));
	return NULL;
}

TEST(the_thread_that_works_takes_the_signals_of_its_timers)
{
	int which[] = {ITIMER_PROF, ITIMER_VIRTUAL, -1};
	int signals[] = {SIGPROF, SIGVTALRM, SIGALRM};
	pthread_t thread;

	for (size_t i = 0; i < LENGTH(which); i++) {
		in_spinner = elsewhere = 0;
		MUST(signal(signals[i], count_tick) == SIG_ERR ? -1 : 0);
		MUST(pthread_create(&thread, NULL, spin, &which[i]) == 0 ? 0 : -1);
		MUST(pthread_join(thread, NULL) == 0 ? 0 : -1);
		CHECK(in_spinner >= 10);
		CHECK_EQ(elsewhere, 0);
	}
}
