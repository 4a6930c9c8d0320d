/* Policies, priorities and processors: sched(7), sched_setscheduler(2), sched_setattr(2), sched_setaffinity(2). */
#include "scheduling.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>

#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif
#define RESET_ON_FORK 0x40000000

/* An ordinary user whom no limit lets do more. */
static void become_ordinary(void)
{
	struct rlimit none = {0, 0};

	MUST(setrlimit(RLIMIT_RTPRIO, &none));
	MUST(setrlimit(RLIMIT_NICE, &none));
	drop_root();
	MUST(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)));
}

/* Set by glibc's wrappers on success: a policy's number, or 0. */
static int set_policy(int policy, int priority)
{
	struct sched_param param = {priority};

	return sched_setscheduler(0, policy, &param);
}

/* An id that no process has: that of a child which was reaped. */
static pid_t nobody_s_id(void)
{
	pid_t child = child_that_exits(0);

	MUST(wait_for(child));
	return child;
}

TEST(ranges_of_priorities)
{
	static const int with[] = {SCHED_FIFO, SCHED_RR}, without[] = {SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_DEADLINE};

	for (size_t at = 0; at < LENGTH(with); at++) {
		CHECK_EQ(sched_get_priority_min(with[at]), 1);
		CHECK_EQ(sched_get_priority_max(with[at]), 99);
	}
	for (size_t at = 0; at < LENGTH(without); at++) {
		CHECK_EQ(sched_get_priority_min(without[at]), 0);
		CHECK_EQ(sched_get_priority_max(without[at]), 0);
	}
	CHECK_ERRNO(sched_get_priority_min(99), EINVAL);
	CHECK_ERRNO(sched_get_priority_max(-1), EINVAL);
}

TEST(policies_for_everybody)
{
	struct sched_param param = {7};

	become_ordinary();
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	CHECK_EQ(sched_getparam(0, &param), 0);
	CHECK_EQ(param.sched_priority, 0);
	CHECK_EQ(set_policy(SCHED_BATCH, 0), 0);
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
	CHECK_EQ(sched_getscheduler(getpid()), SCHED_BATCH);
	CHECK_ERRNO(set_policy(SCHED_BATCH, 1), EINVAL);
	CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
	CHECK_EQ(set_policy(SCHED_IDLE, 0), 0);
	CHECK_EQ(sched_getscheduler(0), SCHED_IDLE);
	CHECK_ERRNO(set_policy(SCHED_OTHER, 0), EPERM);
	CHECK_EQ(set_policy(SCHED_IDLE, 0), 0);
}

TEST(parameters_are_kept)
{
	static struct attributes attributes = {.size = 56, .policy = SCHED_FIFO, .flags = 0x10};
	int own_nice;

	/* SCHED_FLAG_KEEP_PARAMS: what is asked for must go together, and then nothing of it is done. */
	become_ordinary();
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.policy = SCHED_OTHER;
	attributes.priority = 3;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.flags = 0x18;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.priority = 0;
	attributes.flags = 0x10;
	attributes.policy = SCHED_BATCH;
	attributes.nice = 7;
	own_nice = getpriority(PRIO_PROCESS, 0);
	CHECK_OK(set_attributes(0, &attributes, 0));
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), own_nice);
}

TEST(policies_are_inherited)
{
	int status;

	become_ordinary();
	MUST(set_policy(SCHED_BATCH, 0));
	MUST(setpriority(PRIO_PROCESS, 0, 19));
	status = (int)MUST(fork());
	if (status == 0)
		_exit(sched_getscheduler(0) == SCHED_BATCH && getpriority(PRIO_PROCESS, 0) == 19);
	CHECK_EQ(wait_for(status), EXITED(1));
}

TEST(reset_on_fork)
{
	pid_t child;

	become_ordinary();
	CHECK_EQ(set_policy(SCHED_BATCH | RESET_ON_FORK, 0), 0);
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH | RESET_ON_FORK);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(sched_getscheduler(0));
	CHECK_EQ(wait_for(child), EXITED(SCHED_BATCH));
	CHECK_ERRNO(set_policy(SCHED_BATCH, 0), EPERM);
	CHECK_EQ(set_policy(SCHED_OTHER | RESET_ON_FORK, 0), 0);
}

TEST(real_time_needs_rights)
{
	struct sched_param param = {1};
	pid_t gone = nobody_s_id();

	become_ordinary();
	CHECK_ERRNO(set_policy(SCHED_FIFO, 1), EPERM);
	CHECK_ERRNO(set_policy(SCHED_RR, 99), EPERM);
	CHECK_ERRNO(set_policy(SCHED_FIFO, 0), EINVAL);
	CHECK_ERRNO(set_policy(SCHED_FIFO, 100), EINVAL);
	CHECK_ERRNO(set_policy(SCHED_RR, -1), EINVAL);
	CHECK_ERRNO(set_policy(77, 0), EINVAL);
	CHECK_ERRNO(set_policy(-1, 0), EINVAL);
	CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, NULL), EINVAL);
	CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, bad_address()), EFAULT);
	CHECK_ERRNO(sched_setscheduler(-1, SCHED_OTHER, &param), EINVAL);
	param.sched_priority = 0;
	CHECK_ERRNO(sched_setscheduler(gone, SCHED_OTHER, &param), ESRCH);
	CHECK_ERRNO(sched_setparam(gone, &param), ESRCH);
	CHECK_ERRNO(sched_setparam(0, NULL), EINVAL);
	CHECK_ERRNO(sched_getparam(0, NULL), EINVAL);
	CHECK_ERRNO(sched_getparam(-1, &param), EINVAL);
	CHECK_ERRNO(sched_getparam(gone, &param), ESRCH);
	CHECK_ERRNO(sched_getscheduler(-1), EINVAL);
	CHECK_ERRNO(sched_getscheduler(gone), ESRCH);
	CHECK_EQ(sched_setparam(0, &param), 0);
	param.sched_priority = 3;
	CHECK_ERRNO(sched_setparam(0, &param), EINVAL);
}

TEST(attributes_are_told)
{
	static struct attributes attributes;
	pid_t gone = nobody_s_id();

	become_ordinary();
	MUST(setpriority(PRIO_PROCESS, 0, 15));
	memset(&attributes, 0xff, sizeof(attributes));
	CHECK_EQ(get_attributes(0, &attributes, ATTRIBUTES_V0, 0), 0);
	CHECK_EQ(attributes.size, ATTRIBUTES_V0);
	CHECK_EQ(attributes.policy, SCHED_OTHER);
	CHECK_EQ(attributes.flags, 0);
	CHECK_EQ(attributes.nice, 15);
	CHECK_EQ(attributes.priority, 0);
	CHECK_EQ(attributes.more[0], 0xff);
	MUST(set_policy(SCHED_BATCH | RESET_ON_FORK, 0));
	CHECK_EQ(get_attributes(getpid(), &attributes, ATTRIBUTES_V0, 0), 0);
	CHECK_EQ(attributes.policy, SCHED_BATCH);
	CHECK_EQ(attributes.flags, 1);
	CHECK_ERRNO(get_attributes(0, &attributes, ATTRIBUTES_V0 - 1, 0), EINVAL);
	CHECK_ERRNO(get_attributes(0, &attributes, 4097, 0), EINVAL);
	CHECK_ERRNO(get_attributes(0, &attributes, ATTRIBUTES_V0, 1), EINVAL);
	CHECK_ERRNO(get_attributes(-1, &attributes, ATTRIBUTES_V0, 0), EINVAL);
	CHECK_ERRNO(get_attributes(0, NULL, ATTRIBUTES_V0, 0), EINVAL);
	CHECK_ERRNO(get_attributes(0, bad_address(), ATTRIBUTES_V0, 0), EFAULT);
	CHECK_ERRNO(get_attributes(gone, &attributes, ATTRIBUTES_V0, 0), ESRCH);
}

TEST(attributes_are_set)
{
	static struct attributes attributes = {.size = ATTRIBUTES_V0, .policy = SCHED_OTHER, .nice = 12};

	become_ordinary();
	CHECK_EQ(set_attributes(0, &attributes, 0), 0);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 12);
	attributes.nice = 11;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EPERM);
	attributes.nice = 19;
	attributes.policy = SCHED_BATCH;
	attributes.size = 0;
	CHECK_EQ(set_attributes(0, &attributes, 0), 0);
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
	attributes.size = ATTRIBUTES_V0 - 1;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), E2BIG);
	CHECK(attributes.size >= ATTRIBUTES_V0);
	attributes.size = 4097;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), E2BIG);
	attributes.size = 1024;
	CHECK_EQ(set_attributes(0, &attributes, 0), 0);
	attributes.more[900] = 1;
	attributes.size = 1024;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), E2BIG);
	attributes.more[900] = 0;
	attributes.size = ATTRIBUTES_V0;
	attributes.priority = 1;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.priority = 0;
	attributes.flags = 1ULL << 40;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.flags = 0;
	CHECK_ERRNO(set_attributes(0, &attributes, 1), EINVAL);
	CHECK_ERRNO(set_attributes(-1, &attributes, 0), EINVAL);
	CHECK_ERRNO(set_attributes(0, NULL, 0), EINVAL);
	CHECK_ERRNO(set_attributes(0, bad_address(), 0), EFAULT);
	attributes.policy = 77;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.policy = SCHED_FIFO;
	attributes.priority = 5;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EPERM);
}

static uint64_t slice(void)
{
	static struct attributes attributes;

	MUST(get_attributes(0, &attributes, ATTRIBUTES_V0, 0));
	return attributes.runtime;
}

static uint64_t set_slice(int policy, int flags, uint64_t length_ns)
{
	static struct attributes attributes;

	attributes.size = ATTRIBUTES_V0;
	attributes.policy = policy;
	attributes.flags = flags;
	attributes.nice = 19;
	attributes.runtime = length_ns;
	MUST(set_attributes(0, &attributes, 0));
	return slice();
}

static int child_s_slice_us(void)
{
	int length_us, ends[2];
	pid_t child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		length_us = (int)(slice() / 1000);
		_exit(write(ends[1], &length_us, sizeof(length_us)) != sizeof(length_us));
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(read(ends[0], &length_us, sizeof(length_us)));
	return length_us;
}

static long interval_ms(void)
{
	struct timespec interval;

	MUST(sched_rr_get_interval(0, &interval));
	return interval.tv_sec * 1000 + interval.tv_nsec / 1000000;
}

/* Since Linux 6.12. */
TEST(slices_are_asked_for)
{
	struct sched_param none = {0};
	uint64_t usual;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int factor = processors >= 8 ? 4 : processors >= 4 ? 3 : processors >= 2 ? 2 : 1;

	become_ordinary();
	usual = set_slice(SCHED_OTHER, 0, 0);
	/* By the logarithm of how many processors there are; for one it's shorter since Linux 6.15. */
	CHECK(usual == 700000 * factor || usual == 750000 * factor);
	CHECK_EQ(set_slice(SCHED_OTHER, 0, 1), 100000);
	CHECK_EQ(interval_ms(), 0);
	CHECK_EQ(set_slice(SCHED_OTHER, 0, 1ULL << 63), 100000000);
	CHECK_EQ(interval_ms(), 100);
	CHECK_EQ(set_slice(SCHED_BATCH, 0, 50000000), 50000000);
	/* The older calls leave it, as do who keeps parameters and SCHED_IDLE. */
	CHECK_OK(sched_setscheduler(0, SCHED_OTHER, &none));
	CHECK_OK(sched_setparam(0, &none));
	CHECK_EQ(slice(), 50000000);
	CHECK_EQ(set_slice(SCHED_OTHER, 0x10, 7000000), 50000000);
	CHECK_EQ(set_slice(SCHED_BATCH, 8, 20000000), 20000000);
	/* A child has its parent's, unless it's to be reset. */
	CHECK_EQ(child_s_slice_us(), 20000);
	CHECK_EQ(set_slice(SCHED_OTHER, 1, 30000000), 30000000);
	CHECK_EQ(child_s_slice_us(), (int)(usual / 1000));
	CHECK_EQ(set_slice(SCHED_IDLE, 1, 10000000), 30000000);
}

TEST(deadlines_are_checked)
{
	struct attributes attributes = {.size = ATTRIBUTES_V0, .policy = SCHED_DEADLINE};

	become_ordinary();
	attributes.runtime = 1000000;
	attributes.deadline = attributes.period = 10000000;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EPERM);
	attributes.deadline = 900000;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.deadline = 20000000;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.deadline = 0;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.deadline = 10000000;
	attributes.runtime = 1000;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	attributes.runtime = 1000000;
	attributes.deadline = 1ULL << 63 | 10000000;
	CHECK_ERRNO(set_attributes(0, &attributes, 0), EINVAL);
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
}

TEST(intervals)
{
	struct timespec slice = {-1, -1};

	CHECK_EQ(sched_rr_get_interval(0, &slice), 0);
	CHECK_EQ(slice.tv_sec, 0);
	CHECK(slice.tv_nsec >= 0 && slice.tv_nsec < 1000000000);
	CHECK_ERRNO(sched_rr_get_interval(-1, &slice), EINVAL);
	CHECK_ERRNO(sched_rr_get_interval(nobody_s_id(), &slice), ESRCH);
	CHECK_ERRNO(sched_rr_get_interval(0, bad_address()), EFAULT);
}

static int first_of(const cpu_set_t *set)
{
	for (int number = 0; number < CPU_SETSIZE; number++)
		if (CPU_ISSET(number, set))
			return number;
	return -1;
}

/* An own process that may come to have more capabilities isn't one's own to slow down, or to speed up. */
TEST(of_those_that_may_do_more)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0}};
	pid_t child = child_that_pauses();
	struct sched_param param = {0};
	cpu_set_t processors;

	if (geteuid() != 0)
		return;
	MUST(sched_getaffinity(0, sizeof(processors), &processors));
	MUST(syscall(SYS_capset, &header, none));
	CHECK_ERRNO(setpriority(PRIO_PROCESS, (id_t)child, 19), EPERM);
	CHECK_ERRNO(sched_setscheduler(child, SCHED_BATCH, &param), EPERM);
	CHECK_ERRNO(sched_setaffinity(child, sizeof(processors), &processors), EPERM);
	CHECK_ERRNO(syscall(SYS_ioprio_set, 1, child, 2 << 13 | 7), EPERM);
	CHECK_EQ(setpriority(PRIO_PROCESS, 0, 19), 0);
	CHECK_EQ(sched_setaffinity(0, sizeof(processors), &processors), 0);
	CHECK_EQ(kill(child, SIGKILL), 0);
}

TEST(processors)
{
	cpu_set_t all, one, got;
	pid_t child, gone = nobody_s_id();
	unsigned long word = 0;
	int first;

	CPU_ZERO(&all);
	CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
	first = first_of(&all);
	CHECK(first >= 0);
	CHECK(CPU_ISSET(sched_getcpu(), &all));
	CHECK(syscall(SYS_sched_getaffinity, 0, sizeof(all), &got) % (long)sizeof(long) == 0);
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
	CHECK_EQ(sched_getcpu(), first);
	CPU_ZERO(&got);
	CHECK_EQ(sched_getaffinity(getpid(), sizeof(got), &got), 0);
	CHECK(CPU_EQUAL(&got, &one));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(sched_getaffinity(0, sizeof(got), &got) == 0 && CPU_EQUAL(&got, &one) && sched_getcpu() == first);
	CHECK_EQ(wait_for(child), EXITED(1));
	child = child_that_pauses();
	CHECK_EQ(sched_setaffinity(child, sizeof(all), &all), 0);
	CHECK_EQ(sched_getaffinity(child, sizeof(got), &got), 0);
	CHECK(CPU_EQUAL(&got, &all));
	MUST(kill(child, SIGKILL));
	MUST(wait_for(child));
	CPU_ZERO(&one);
	CHECK_ERRNO(sched_setaffinity(0, sizeof(one), &one), EINVAL);
	CHECK_ERRNO(sched_setaffinity(0, sizeof(one), bad_address()), EFAULT);
	CHECK_ERRNO(sched_setaffinity(gone, sizeof(all), &all), ESRCH);
	CHECK_ERRNO(sched_getaffinity(gone, sizeof(all), &all), ESRCH);
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 0, &word), EINVAL);
	CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, sizeof(long) + 1, &got), EINVAL);
	CHECK_ERRNO(sched_getaffinity(0, sizeof(all), bad_address()), EFAULT);
}

TEST(yielding_succeeds)
{
	for (int times = 0; times < 10; times++)
		MUST(sched_yield());
	CHECK_EQ(sched_yield(), 0);
}

TEST(the_dead_have_no_priority_of_io)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		pause();
		_exit(0);
	}
	CHECK_OK(syscall(SYS_ioprio_set, 1, child, 2 << 13 | 3));
	CHECK_EQ(syscall(SYS_ioprio_get, 1, child), 2 << 13 | 3);
	MUST(kill(child, SIGKILL));
	MUST(waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT));
	sleep_ms(20);
	CHECK_EQ(syscall(SYS_ioprio_get, 1, child), 0);
	CHECK_OK(syscall(SYS_ioprio_set, 1, child, 2 << 13 | 3));
	CHECK_EQ(syscall(SYS_ioprio_get, 1, child), 0);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

static int say_priority_of_io(void *changed)
{
	long found = syscall(SYS_ioprio_get, 1, 0);

	syscall(SYS_ioprio_set, 1, 0, *(int *)changed);
	_exit((int)(found >> 13 << 4 | (found & 15)));
}

TEST(children_have_a_priority_of_io)
{
	static char stack[16384];
	/* Of no class, with a hint; and of two. */
	int of_none = 8, best = 2 << 13 | 3, idle = 3 << 13;
	int sharing = CLONE_IO | SIGCHLD;

	CHECK_OK(syscall(SYS_ioprio_set, 1, 0, of_none));
	CHECK_EQ(wait_for((pid_t)MUST(clone(say_priority_of_io, stack + sizeof(stack), SIGCHLD, &best))), EXITED(0));
	CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), of_none);
	CHECK_EQ(wait_for((pid_t)MUST(clone(say_priority_of_io, stack + sizeof(stack), sharing, &best))), EXITED(8));
	CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), best);
	CHECK_EQ(wait_for((pid_t)MUST(clone(say_priority_of_io, stack + sizeof(stack), SIGCHLD, &idle))), EXITED(0x23));
	CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), best);
}

TEST(attributes_of_later_versions_are_0)
{
	unsigned char bytes[128];
	unsigned char *last = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t size;

	MUST(last == MAP_FAILED ? -1 : 0);
	memset(bytes, 0xff, sizeof(bytes));
	CHECK_OK(syscall(SYS_sched_getattr, 0, bytes, sizeof(bytes), 0));
	memcpy(&size, bytes, sizeof(size));
	CHECK(size >= 56 && size < sizeof(bytes));
	/* Since Linux 6.14 (copy_struct_to_user); those before left it as it was. */
	for (size_t at = size; at < sizeof(bytes); at++)
		if (bytes[at] != 0) {
			CHECK_EQ(bytes[at], 0);
			break;
		}
	MUST(munmap(last + 4096, 4096));
	CHECK_ERRNO(syscall(SYS_sched_getattr, 0, last + 4096 - size, sizeof(bytes), 0), EFAULT);
	CHECK_OK(syscall(SYS_sched_getattr, 0, last + 4096 - size, size, 0));
}

TEST(a_nicer_one_gets_less)
{
	volatile unsigned long *counts = (volatile unsigned long *)make_shared_page();
	cpu_set_t one;
	pid_t children[2];

	MUST(sched_getaffinity(0, sizeof(one), &one));
	for (int number = first_of(&one) + 1; number < CPU_SETSIZE; number++)
		CPU_CLR(number, &one);
	MUST(sched_setaffinity(0, sizeof(one), &one));
	for (int number = 0; number < 2; number++) {
		children[number] = (pid_t)MUST(fork());
		if (children[number] == 0) {
			if (number == 1)
				setpriority(PRIO_PROCESS, 0, 19);
			for (;;)
				counts[number * 8]++;
		}
	}
	/* On a busy host both have little of a processor for long. */
	for (int tries = 0; tries < 20 && (tries == 0 || counts[0] <= 2 * counts[8]); tries++)
		sleep_ms(250);
	for (int number = 0; number < 2; number++) {
		MUST(kill(children[number], SIGKILL));
		MUST(wait_for(children[number]));
	}
	CHECK(counts[0] > 2 * counts[8]);
}

/* The priority that /proc tells, from 0: 20 more than a nice value. */
static int told_priority(const char *file)
{
	FILE *stat = fopen(file, "re");
	int priority = -1;

	MUST(stat == NULL ? -1 : 0);
	MUST(fscanf(stat, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %d", &priority));
	fclose(stat);
	return priority;
}

TEST(a_nice_value_with_the_idle_policy_is_only_told)
{
	struct attributes attributes = {.size = ATTRIBUTES_V0, .policy = SCHED_IDLE, .nice = 7};
	const int before = getpriority(PRIO_PROCESS, 0);
	pid_t child;

	CHECK_EQ(told_priority("/proc/self/stat"), 20 + before);
	CHECK_EQ(set_attributes(0, &attributes, 0), 0);
	CHECK_EQ(told_priority("/proc/self/stat"), 27);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), before);
	/* Who has the policy already isn't told otherwise. */
	attributes.nice = 9;
	CHECK_EQ(set_attributes(0, &attributes, 0), 0);
	CHECK_EQ(told_priority("/proc/self/stat"), 27);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(told_priority("/proc/self/stat"));
	CHECK_EQ(wait_for(child), EXITED(20 + before));
	CHECK_OK(setpriority(PRIO_PROCESS, 0, before + 1));
	CHECK_EQ(told_priority("/proc/self/stat"), 21 + before);
	attributes.policy = SCHED_OTHER;
	/* Who may not have the nice value that is told then stays. */
	CHECK_EQ(set_attributes(0, &attributes, 0), geteuid() == 0 ? 0 : -1);
	CHECK_EQ(told_priority("/proc/self/stat"), geteuid() == 0 ? 29 : 21 + before);
}
