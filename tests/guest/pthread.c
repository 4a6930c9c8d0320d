/* What pthreads(7) offers, and threads in the face of fork, exec, wait, stops and ends: clone(2), execve(2). */
#include "run_program.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_key_t key;
static volatile int counter, cleanups, destroyed;

static pthread_t started(void *(*body)(void *), void *argument)
{
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, body, argument) == 0 ? 0 : -1);
	return thread;
}

static void *result_of(pthread_t thread)
{
	void *result = NULL;

	MUST(pthread_join(thread, &result) == 0 ? 0 : -1);
	return result;
}

/* How many threads /proc shows. */
static int count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int count = -2;

	MUST(tasks == NULL ? -1 : 0);
	while (readdir(tasks) != NULL)
		count++;
	closedir(tasks);
	return count;
}

/* The field after "NAME:" in /proc/PID/status, as a number. */
static long status_field(pid_t pid, const char *name)
{
	char path[64], line[256];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			value = strtol(line + strlen(name) + 1, NULL, 10);
	}
	if (file != NULL)
		fclose(file);
	return value;
}

static char state_of(pid_t pid, pid_t tid)
{
	char path[64], text[200] = "", *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = '\0';
	close(fd);
	end = strrchr(text, ')');
	return end != NULL ? end[2] : 0;
}

static void await_state(pid_t pid, pid_t tid, char state)
{
	while (state_of(pid, tid) != state)
		sleep_ms(1);
}

static void *count_under_barrier(void *argument)
{
	long serials = 0;

	(void)argument;
	for (int round = 0; round < 5; round++) {
		__atomic_add_fetch(&counter, 1, __ATOMIC_SEQ_CST);
		serials += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
		if (counter != 4 * (round + 1))
			return (void *)100;
		pthread_barrier_wait(&barrier);
	}
	return (void *)serials;
}

TEST(barriers)
{
	pthread_t threads[4];
	long serials = 0;

	MUST(pthread_barrier_init(&barrier, NULL, 4) == 0 ? 0 : -1);
	for (size_t at = 0; at < LENGTH(threads); at++)
		threads[at] = started(count_under_barrier, NULL);
	for (size_t at = 0; at < LENGTH(threads); at++)
		serials += (long)result_of(threads[at]);
	CHECK_EQ(serials, 5);
	CHECK_EQ(counter, 20);
}

static void *read_and_write(void *argument)
{
	long wrong = 0;

	for (int step = 0; step < 200; step++) {
		if (step % 4 == (long)argument) {
			pthread_rwlock_wrlock(&rwlock);
			counter++;
			sched_yield();
			wrong += counter % 2 == 0;
			counter++;
		} else {
			pthread_rwlock_rdlock(&rwlock);
			wrong += counter % 2 != 0;
			sched_yield();
		}
		pthread_rwlock_unlock(&rwlock);
	}
	return (void *)wrong;
}

TEST(read_write_locks)
{
	pthread_t threads[4];

	for (size_t at = 0; at < LENGTH(threads); at++)
		threads[at] = started(read_and_write, (void *)at);
	for (size_t at = 0; at < LENGTH(threads); at++)
		CHECK_EQ((long)result_of(threads[at]), 0);
	CHECK_EQ(counter, 400);
}

static sem_t filled, emptied;

static void *produce(void *argument)
{
	for (int item = 1; item <= 300; item++) {
		sem_wait(&emptied);
		*(int *)argument = item;
		sem_post(&filled);
	}
	return NULL;
}

TEST(semaphores_ping_pong)
{
	int slot = 0, sum = 0;
	pthread_t thread;

	MUST(sem_init(&filled, 0, 0));
	MUST(sem_init(&emptied, 0, 1));
	thread = started(produce, &slot);
	for (int item = 0; item < 300; item++) {
		sem_wait(&filled);
		sum += slot;
		sem_post(&emptied);
	}
	result_of(thread);
	CHECK_EQ(sum, 300 * 301 / 2);
}

static void *count_up(void *argument)
{
	pthread_mutex_lock(argument);
	counter++;
	pthread_mutex_unlock(argument);
	return NULL;
}

TEST(many_threads)
{
	pthread_t threads[60];

	pthread_mutex_lock(&mutex);
	for (size_t at = 0; at < LENGTH(threads); at++)
		threads[at] = started(count_up, &mutex);
	CHECK_EQ(count_threads(), 61);
	CHECK_EQ(status_field(getpid(), "Threads"), 61);
	CHECK_EQ(counter, 0);
	pthread_mutex_unlock(&mutex);
	for (size_t at = 0; at < LENGTH(threads); at++)
		result_of(threads[at]);
	CHECK_EQ(counter, 60);
}

TEST(mutexes_with_priority_inheritance)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t inheriting;
	pthread_t threads[4];

	pthread_mutexattr_init(&attributes);
	MUST(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0 ? 0 : -1);
	MUST(pthread_mutex_init(&inheriting, &attributes) == 0 ? 0 : -1);
	pthread_mutex_lock(&inheriting);
	for (size_t at = 0; at < LENGTH(threads); at++)
		threads[at] = started(count_up, &inheriting);
	sleep_ms(20);
	CHECK_EQ(counter, 0);
	CHECK_EQ(pthread_mutex_unlock(&inheriting), 0);
	for (size_t at = 0; at < LENGTH(threads); at++)
		result_of(threads[at]);
	CHECK_EQ(counter, 4);
	CHECK_EQ(pthread_mutex_trylock(&inheriting), 0);
}

static void count_cleanup(void *argument)
{
	cleanups += *(int *)argument;
}

static void *sleep_cancellably(void *argument)
{
	int weight = 3;

	pthread_cleanup_push(count_cleanup, &weight);
	counter = 1;
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	return argument;
}

static void *wait_cancellably(void *argument)
{
	int weight = 5;

	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(count_cleanup, &weight);
	counter = 1;
	for (;;)
		pthread_cond_wait(&condition, &mutex);
	pthread_cleanup_pop(0);
	return argument;
}

static void *spin(void *argument)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	counter = 1;
	for (;;)
		continue;
	return argument;
}

static void *refuse_cancellation(void *argument)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	counter = 1;
	sleep_ms(30);
	return argument;
}

static void *cancelled(void *(*body)(void *))
{
	pthread_t thread;

	counter = 0;
	thread = started(body, NULL);
	while (counter == 0)
		sleep_ms(1);
	sleep_ms(5);
	MUST(pthread_cancel(thread) == 0 ? 0 : -1);
	return result_of(thread);
}

TEST(cancellation)
{
	CHECK(cancelled(sleep_cancellably) == PTHREAD_CANCELED);
	CHECK_EQ(cleanups, 3);
	CHECK(cancelled(wait_cancellably) == PTHREAD_CANCELED);
	CHECK_EQ(cleanups, 8);
	CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
	CHECK(cancelled(spin) == PTHREAD_CANCELED);
	CHECK(cancelled(refuse_cancellation) == NULL);
	CHECK_EQ(count_threads(), 1);
}

static void destroy(void *value)
{
	destroyed += *(int *)value;
}

static void *use_key(void *argument)
{
	MUST(pthread_setspecific(key, argument) == 0 ? 0 : -1);
	return pthread_getspecific(key);
}

TEST(keys_and_once)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int one = 1, ten = 10;

	MUST(pthread_key_create(&key, destroy) == 0 ? 0 : -1);
	CHECK(result_of(started(use_key, &one)) == &one);
	CHECK(result_of(started(use_key, &ten)) == &ten);
	CHECK_EQ(destroyed, 11);
	CHECK(pthread_getspecific(key) == NULL);
	CHECK_EQ(pthread_once(&once, (void (*)(void))sched_yield), 0);
}

static void *end_detached(void *argument)
{
	pthread_detach(pthread_self());
	sem_post(argument);
	return NULL;
}

TEST(detached_threads)
{
	sem_t ended;

	MUST(sem_init(&ended, 0, 0));
	for (int round = 0; round < 20; round++) {
		started(end_detached, &ended);
		sem_wait(&ended);
	}
	while (count_threads() > 1)
		sleep_ms(1);
	CHECK_EQ(count_threads(), 1);
}

static void *name_self(void *argument)
{
	char name[16];

	pthread_setname_np(pthread_self(), "worker");
	pthread_getname_np(pthread_self(), name, sizeof(name));
	strcpy(argument, name);
	return NULL;
}

TEST(names_of_threads)
{
	char other[16], own[16];

	MUST(pthread_setname_np(pthread_self(), "leader") == 0 ? 0 : -1);
	result_of(started(name_self, other));
	pthread_getname_np(pthread_self(), own, sizeof(own));
	CHECK_STRING(other, "worker");
	CHECK_STRING(own, "leader");
}

static void *become_nobody(void *argument)
{
	(void)argument;
	return (void *)(intptr_t)(geteuid() == 0 ? setresuid(NOBODY, NOBODY, NOBODY) : 0);
}

/* The C library makes every thread change its ids, by a signal. */
TEST(changing_ids_in_all_threads)
{
	CHECK_EQ((long)result_of(started(become_nobody, NULL)), 0);
	CHECK(geteuid() != 0);
	CHECK(getuid() != 0);
}

static void *report_tid(void *argument)
{
	__atomic_store_n((pid_t *)argument, gettid(), __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return NULL;
}

static pid_t sleeping_thread(void)
{
	static pid_t tid;

	tid = 0;
	started(report_tid, &tid);
	while (__atomic_load_n(&tid, __ATOMIC_SEQ_CST) == 0)
		sleep_ms(1);
	await_state(getpid(), tid, 'S');
	return tid;
}

static void *wait_for_any(void *argument)
{
	int status = -1;

	(void)argument;
	return wait(&status) == -1 ? (void *)-1L : (void *)(intptr_t)status;
}

static void *wait_only_own(void *argument)
{
	return (void *)(intptr_t)ERRNO_OF(waitpid((pid_t)(intptr_t)argument, NULL, __WNOTHREAD));
}

TEST(children_are_the_process_s)
{
	pid_t child = (pid_t)MUST(fork());
	pthread_t thread;

	if (child == 0) {
		sleep_ms(20);
		_exit(7);
	}
	CHECK_EQ((long)result_of(started(wait_only_own, (void *)(intptr_t)child)), ECHILD);
	thread = started(wait_for_any, NULL);
	CHECK_EQ((long)result_of(thread), EXITED(7));
	CHECK_ERRNO(wait(NULL), ECHILD);
}

static void *fork_and_end(void *argument)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		while (getppid() != *(pid_t *)argument)
			_exit(1);
		sleep_ms(30);
		_exit(getppid() == *(pid_t *)argument ? 9 : 2);
	}
	return (void *)(intptr_t)child;
}

TEST(children_outlive_the_thread_that_made_them)
{
	pid_t self = getpid(), child;

	child = (pid_t)(intptr_t)result_of(started(fork_and_end, &self));
	CHECK_EQ(wait_for(child), EXITED(9));
}

static void *leave_thread(void *argument)
{
	pthread_exit(argument);
}

TEST(a_forked_child_has_one_thread)
{
	pid_t child, other = sleeping_thread();

	CHECK_EQ(count_threads(), 2);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(count_threads(), 1);
		CHECK_EQ(gettid(), getpid());
		CHECK_ERRNO(syscall(SYS_tgkill, getpid(), other, 0), ESRCH);
		_exit(result_of(started(leave_thread, NULL)) == NULL ? 0 : 1);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static void *sleep_and_exit(void *argument)
{
	(void)argument;
	sleep_ms(30);
	exit(23);
}

TEST(a_leader_that_ends_first)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		started(sleep_and_exit, NULL);
		pthread_exit(NULL);
	}
	await_state(child, child, 'Z');
	CHECK_EQ(status_field(child, "Threads"), 2);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK_EQ(kill(child, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(23));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleeping_thread();
		pthread_exit(NULL);
	}
	await_state(child, child, 'Z');
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	MUST(kill(child, SIGTERM));
	CHECK_EQ(wait_for(child), KILLED(SIGTERM));
}

static void *leave_quietly(void *argument)
{
	await_state(getpid(), getpid(), 'Z');
	syscall(SYS_exit, 5);
	return argument;
}

TEST(the_last_thread_s_end_is_the_process_s)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		started(leave_quietly, NULL);
		syscall(SYS_exit, 6);
	}
	CHECK_EQ(wait_for(child), EXITED(5));
}

/* What the executed program says of itself, and what the test expects. */
ROLE(says_who_it_is)
{
	printf("pid=%d\ntid=%d\nthreads=%d\nparent=%d\n", getpid(), gettid(), count_threads(), getppid());
	return 0;
}

static void *execute_role(void *argument)
{
	int *ends = argument;

	dup2(ends[1], STDOUT_FILENO);
	execl(check_self, check_self, "says_who_it_is", NULL);
	_exit(1);
}

static volatile int is_spinning;

static void *spin_for_ever(void *argument)
{
	is_spinning = 1;
	for (;;)
		continue;
	return argument;
}

static void *stay_in_futex(void *argument)
{
	pthread_mutex_lock(argument);
	return NULL;
}

static void *stay_in_vfork(void *argument)
{
	pid_t child = vfork();

	if (child == 0) {
		sleep_ms(40);
		_exit(0);
	}
	return argument;
}

/* Forks a process with threads in all kinds of states, lets `body` execute a program, and reads its output. */
static int run_in_thread(int in_leader, pid_t *pid)
{
	int ends[2], status;
	ssize_t got;

	MUST(pipe2(ends, O_CLOEXEC));
	*pid = (pid_t)MUST(fork());
	if (*pid == 0) {
		pthread_mutex_lock(&mutex);
		started(stay_in_futex, &mutex);
		started(spin_for_ever, NULL);
		started(stay_in_vfork, NULL);
		while (!is_spinning)
			sleep_ms(1);
		sleeping_thread();
		if (in_leader)
			execute_role(ends);
		started(execute_role, ends);
		for (;;)
			pause();
	}
	close(ends[1]);
	output_length = 0;
	while ((got = read(ends[0], output + output_length, sizeof(output) - 1 - output_length)) > 0)
		output_length += (size_t)got;
	output[output_length] = '\0';
	close(ends[0]);
	status = wait_for(*pid);
	return status;
}

TEST(exec_in_a_thread)
{
	for (int in_leader = 0; in_leader < 2; in_leader++) {
		pid_t pid;

		CHECK_EQ(run_in_thread(in_leader, &pid), EXITED(0));
		CHECK_EQ(field("pid"), pid);
		CHECK_EQ(field("tid"), pid);
		CHECK_EQ(field("threads"), 1);
		CHECK_EQ(field("parent"), getpid());
	}
}

static void *execute_later(void *argument)
{
	await_state(getpid(), getpid(), 'Z');
	return execute_role(argument);
}

TEST(exec_after_the_leader_s_end)
{
	int ends[2];
	pid_t child;
	ssize_t got;

	MUST(pipe2(ends, O_CLOEXEC));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		started(execute_later, ends);
		pthread_exit(NULL);
	}
	close(ends[1]);
	output_length = 0;
	while ((got = read(ends[0], output + output_length, sizeof(output) - 1 - output_length)) > 0)
		output_length += (size_t)got;
	output[output_length] = '\0';
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(field("pid"), child);
	CHECK_EQ(field("tid"), child);
	CHECK_EQ(field("threads"), 1);
}

static void *fail_to_execute(void *argument)
{
	execl("/nowhere/at/all", "x", NULL);
	return (void *)(intptr_t)(errno == ENOENT && argument == NULL);
}

TEST(a_failed_exec_ends_nobody)
{
	pid_t other = sleeping_thread();

	CHECK_EQ((long)result_of(started(fail_to_execute, NULL)), 1);
	CHECK_EQ(syscall(SYS_tgkill, getpid(), other, 0), 0);
	CHECK_EQ(count_threads(), 2);
}

static void *execute_at_once(void *argument)
{
	pthread_barrier_wait(&barrier);
	return execute_role(argument);
}

TEST(two_threads_that_execute)
{
	int ends[2];
	pid_t child;
	ssize_t got;

	MUST(pipe2(ends, O_CLOEXEC));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(pthread_barrier_init(&barrier, NULL, 3) == 0 ? 0 : -1);
		started(execute_at_once, ends);
		started(execute_at_once, ends);
		pthread_barrier_wait(&barrier);
		for (;;)
			pause();
	}
	close(ends[1]);
	output_length = 0;
	while ((got = read(ends[0], output + output_length, sizeof(output) - 1 - output_length)) > 0)
		output_length += (size_t)got;
	output[output_length] = '\0';
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(field("pid"), child);
	CHECK_EQ(field("threads"), 1);
}

static void *execute_while_killed(void *argument)
{
	kill(getpid(), SIGKILL);
	return execute_role(argument);
}

TEST(killed_before_exec)
{
	int ends[2];
	pid_t child;

	MUST(pipe2(ends, O_CLOEXEC));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		started(execute_while_killed, ends);
		for (;;)
			pause();
	}
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

static volatile int stopped_work;
static int sleeps_between;

static void *work(void *argument)
{
	for (;;) {
		stopped_work++;
		if (argument != NULL)
			sleep_ms(1);
	}
	return NULL;
}

TEST(stops_are_for_all_threads)
{
	int status;
	volatile int *shared = make_shared_page();
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		started(work, NULL);
		started(work, &sleeps_between);
		for (;;) {
			shared[0]++;
			shared[1] = stopped_work;
			sleep_ms(1);
		}
	}
	while (shared[1] == 0)
		sleep_ms(1);
	MUST(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(WSTOPSIG(status), SIGSTOP);
	status = shared[0];
	sleep_ms(20);
	CHECK_EQ(shared[0], status);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
	CHECK(WIFCONTINUED(status));
	status = shared[0];
	while (shared[0] == status)
		sleep_ms(1);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

static void *crash(void *argument)
{
	*(volatile int *)bad_address() = 1;
	return argument;
}

TEST(a_crash_in_a_thread_ends_all)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		sleeping_thread();
		started(crash, NULL);
		for (;;)
			pause();
	}
	CHECK_EQ(wait_for(child) & 0x7f, SIGSEGV);
}

static void *take_signals(void *argument)
{
	sigset_t set = set_of(SIGUSR1);
	int signal = 0;

	for (int at = 0; at < 3; at++) {
		sigwait(&set, &signal);
		counter += signal == SIGUSR1;
		sem_post(argument);
	}
	return NULL;
}

TEST(a_thread_that_takes_the_signals)
{
	sem_t taken;
	pthread_t thread;

	MUST(sem_init(&taken, 0, 0));
	block(SIGUSR1);
	thread = started(take_signals, &taken);
	for (int at = 0; at < 3; at++) {
		MUST(kill(getpid(), SIGUSR1));
		sem_wait(&taken);
	}
	result_of(thread);
	CHECK_EQ(counter, 3);
}

static void on_timer(union sigval value)
{
	__atomic_add_fetch((int *)value.sival_ptr, 1, __ATOMIC_SEQ_CST);
}

TEST(timers_that_start_threads)
{
	int calls = 0;
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_ptr = &calls};
	struct itimerspec every = {{0, 2000000}, {0, 2000000}};

	event.sigev_notify_function = on_timer;
	MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
	MUST(timer_settime(timer, 0, &every, NULL));
	while (__atomic_load_n(&calls, __ATOMIC_SEQ_CST) < 3)
		sleep_ms(1);
	CHECK_EQ(timer_delete(timer), 0);
}

static void *use_up(void *argument)
{
	int64_t until = now_ns(CLOCK_THREAD_CPUTIME_ID) + 20000000;

	while (now_ns(CLOCK_THREAD_CPUTIME_ID) < until)
		continue;
	return argument;
}

TEST(times_of_threads)
{
	int64_t before = now_ns(CLOCK_PROCESS_CPUTIME_ID), own = now_ns(CLOCK_THREAD_CPUTIME_ID);
	struct rusage usage;

	result_of(started(use_up, NULL));
	CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) - before >= 20000000);
	CHECK(now_ns(CLOCK_THREAD_CPUTIME_ID) - own < 20000000);
	MUST(getrusage(RUSAGE_SELF, &usage));
	CHECK(usage.ru_utime.tv_sec > 0 || usage.ru_utime.tv_usec + usage.ru_stime.tv_usec >= 20000);
}

static void *grow_memory(void *argument)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argument;
	strcpy(page, "mapped by a thread");
	return page;
}

static void *fault_on(void *argument)
{
	return (void *)(intptr_t)*(volatile char *)argument;
}

TEST(memory_is_shared_at_once)
{
	char *page = result_of(started(grow_memory, NULL));

	CHECK_STRING(page, "mapped by a thread");
	CHECK_EQ((long)result_of(started(fault_on, page)), 'm');
	MUST(mprotect(page, 4096, PROT_READ));
	CHECK_EQ((long)result_of(started(fault_on, page)), 'm');
	MUST(munmap(page, 4096));
	page = result_of(started(grow_memory, NULL));
	CHECK_STRING(page, "mapped by a thread");
}
