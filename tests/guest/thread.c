/* Threads of one process: pthreads(7), futex(2), gettid(2), tgkill(2), exit_group(2). */
#include "check.h"

#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int shared_value;
static __thread int own_value = 5;
static volatile pid_t handler_tid;
static volatile int handler_calls;

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

static void *look_around(void *argument)
{
	pid_t *ids = argument;

	ids[0] = getpid();
	ids[1] = gettid();
	ids[2] = getppid();
	own_value = 6;
	shared_value = 7;
	return (void *)0x1234;
}

TEST(threads_share_and_differ)
{
	pid_t ids[3] = {0};

	CHECK(result_of(started(look_around, ids)) == (void *)0x1234);
	CHECK_EQ(ids[0], getpid());
	CHECK(ids[1] != gettid() && ids[1] > 0);
	CHECK_EQ(ids[2], getppid());
	CHECK_EQ(own_value, 5);
	CHECK_EQ(shared_value, 7);
	while (syscall(SYS_tgkill, getpid(), ids[1], 0) == 0)
		sleep_ms(1);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), ids[1], 0), ESRCH);
	CHECK_ERRNO(waitpid(ids[1], NULL, __WALL), ECHILD);
}

static void *count_with_mutex(void *argument)
{
	for (int step = 0; step < *(int *)argument; step++) {
		pthread_mutex_lock(&mutex);
		shared_value++;
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

TEST(mutexes_exclude)
{
	int steps = 2000;
	pthread_t threads[4];

	for (size_t at = 0; at < LENGTH(threads); at++)
		threads[at] = started(count_with_mutex, &steps);
	for (size_t at = 0; at < LENGTH(threads); at++)
		result_of(threads[at]);
	CHECK_EQ(shared_value, 8000);
}

static void *play(void *argument)
{
	int mine = *(int *)argument;

	pthread_mutex_lock(&mutex);
	while (shared_value < 100) {
		if (shared_value % 2 == mine) {
			shared_value++;
			pthread_cond_broadcast(&condition);
		} else {
			pthread_cond_wait(&condition, &mutex);
		}
	}
	pthread_cond_broadcast(&condition);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

TEST(condition_variables)
{
	int even = 0, odd = 1;
	pthread_t first = started(play, &even), second = started(play, &odd);

	result_of(first);
	result_of(second);
	CHECK_EQ(shared_value, 100);
}

TEST(waiting_times_out)
{
	struct timespec until;
	sem_t semaphore;

	MUST(sem_init(&semaphore, 0, 1));
	CHECK_EQ(sem_wait(&semaphore), 0);
	CHECK_ERRNO(sem_trywait(&semaphore), EAGAIN);
	MUST(clock_gettime(CLOCK_REALTIME, &until));
	until.tv_nsec += 10000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	CHECK_ERRNO(sem_timedwait(&semaphore, &until), ETIMEDOUT);
	pthread_mutex_lock(&mutex);
	CHECK_EQ(pthread_mutex_timedlock(&mutex, &until), ETIMEDOUT);
	CHECK_EQ(pthread_cond_timedwait(&condition, &mutex, &until), ETIMEDOUT);
}

static long futex(void *word, int operation, int value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

TEST(futex_calls)
{
	int word = 5;
	struct timespec soon = {0, 5000000}, wrong = {0, -1};

	CHECK_ERRNO(futex(&word, FUTEX_WAIT, 6, NULL), EAGAIN);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT, 5, &soon), ETIMEDOUT);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT, 5, &wrong), EINVAL);
	CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL), 0);
	CHECK_ERRNO(futex((char *)&word + 1, FUTEX_WAIT, 5, NULL), EINVAL);
	CHECK_ERRNO(futex(bad_address(), FUTEX_WAIT, 5, NULL), EFAULT);
	CHECK_ERRNO(futex(&word, 99, 5, NULL), ENOSYS);
}

TEST(futex_between_processes)
{
	int *word = make_shared_page();
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0)
			futex(word, FUTEX_WAIT, 0, NULL);
		_exit(*word);
	}
	sleep_ms(10);
	__atomic_store_n(word, 9, __ATOMIC_SEQ_CST);
	CHECK_OK(futex(word, FUTEX_WAKE, INT_MAX, NULL));
	CHECK_EQ(wait_for(child), EXITED(9));
}

static void note_thread(int signal)
{
	(void)signal;
	handler_tid = gettid();
	handler_calls++;
}

static void *wait_for_handler(void *argument)
{
	__atomic_store_n((pid_t *)argument, gettid(), __ATOMIC_SEQ_CST);
	while (handler_calls == 0)
		sleep_ms(1);
	return NULL;
}

TEST(signals_of_one_thread)
{
	pid_t tid = 0;
	pthread_t thread;

	handle(SIGUSR1, note_thread, 0);
	thread = started(wait_for_handler, &tid);
	while (__atomic_load_n(&tid, __ATOMIC_SEQ_CST) == 0)
		sleep_ms(1);
	CHECK_EQ(syscall(SYS_tgkill, getpid(), tid, SIGUSR1), 0);
	result_of(thread);
	CHECK_EQ(handler_tid, tid);
	CHECK_EQ(handler_calls, 1);
}

TEST(signals_of_the_process_go_to_a_thread_that_takes_them)
{
	pid_t tid = 0;
	pthread_t thread;

	handle(SIGUSR1, note_thread, 0);
	thread = started(wait_for_handler, &tid);
	block(SIGUSR1);
	while (__atomic_load_n(&tid, __ATOMIC_SEQ_CST) == 0)
		sleep_ms(1);
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	result_of(thread);
	CHECK_EQ(handler_tid, tid);
	CHECK_EQ(is_pending(SIGUSR1), 0);
}

static void *leave_process(void *argument)
{
	_exit(*(int *)argument);
}

static void *sleep_for_ever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

static void *end_last(void *argument)
{
	(void)argument;
	sleep_ms(20);
	exit(23);
}

TEST(ends_of_a_process)
{
	int code = 21;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		started(leave_process, &code);
		sleep_for_ever(NULL);
	}
	CHECK_EQ(wait_for(child), EXITED(21));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		started(sleep_for_ever, NULL);
		_exit(22);
	}
	CHECK_EQ(wait_for(child), EXITED(22));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		started(end_last, NULL);
		pthread_exit(NULL);
	}
	CHECK_EQ(wait_for(child), EXITED(23));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		started(sleep_for_ever, NULL);
		syscall(SYS_tgkill, getpid(), gettid(), SIGKILL);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

ROLE(tells_ids)
{
	return getpid() == gettid() && getpid() == atoi(argv[2]) ? 31 : 32;
}

static void *execute(void *argument)
{
	execl(check_self, check_self, "tells_ids", (char *)argument, NULL);
	_exit(1);
}

TEST(exec_in_a_thread_ends_the_others)
{
	char pid[12];
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		sprintf(pid, "%d", getpid());
		started(sleep_for_ever, NULL);
		started(execute, pid);
		sleep_for_ever(NULL);
	}
	CHECK_EQ(wait_for(child), EXITED(31));
}

static void *fork_in_thread(void *argument)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit(getpid() == gettid() ? 41 : 42);
	*(pid_t *)argument = child;
	return NULL;
}

TEST(child_of_a_thread)
{
	pid_t child = 0;

	result_of(started(fork_in_thread, &child));
	CHECK_EQ(wait_for(child), EXITED(41));
}

static void *block_and_set_errno(void *argument)
{
	block(SIGTERM);
	errno = EXDEV;
	return argument;
}

TEST(masks_and_errno_are_a_thread_s_own)
{
	sigset_t mask;

	errno = 0;
	result_of(started(block_and_set_errno, NULL));
	CHECK_EQ(errno, 0);
	MUST(sigprocmask(SIG_BLOCK, NULL, &mask));
	CHECK_EQ(sigismember(&mask, SIGTERM), 0);
}

static _Atomic pid_t thread_id, taker;

static void note_taker(int signal)
{
	(void)signal;
	taker = gettid();
}

static void *wait_until_taken(void *argument)
{
	(void)argument;
	thread_id = gettid();
	while (taker == 0)
		sleep_ms(1);
	return NULL;
}

/* kill(2) is for the process, but the thread that it names comes first. */
TEST(killing_by_a_thread_s_id)
{
	pthread_t thread = started(wait_until_taken, NULL);

	handle(SIGUSR1, note_taker, 0);
	while (thread_id == 0)
		sleep_ms(1);
	CHECK_EQ(kill(thread_id, SIGUSR1), 0);
	result_of(thread);
	CHECK_EQ(taker, thread_id);
}

static _Atomic int may_fork;

static void *make_a_child(void *argument)
{
	int ends[2];
	char byte;
	pid_t child;

	(void)argument;
	thread_id = gettid();
	while (!may_fork)
		sleep_ms(1);
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(read(ends[0], &byte, 1));
		_exit(0);
	}
	MUST(write(ends[1], "x", 1));
	wait_for(child);
	while (taker == 0)
		sleep_ms(1);
	return NULL;
}

/*
 * SIGCHLD is for the process, but the thread that made the child comes first; unless it blocks signals, as within
 * fork(3), or another looks for some, as pthread_create(3) does when it restores the mask.
 */
TEST(the_end_of_a_thread_s_child)
{
	pthread_t thread;

	handle(SIGCHLD, note_taker, SA_RESTART);
	thread = started(make_a_child, NULL);
	may_fork = 1;
	result_of(thread);
	CHECK_EQ(taker, thread_id);
}
