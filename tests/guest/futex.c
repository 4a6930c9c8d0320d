/* Futexes: futex(2), futex_waitv(2), futex_wait(2), futex_wake(2), futex_requeue(2), set_robust_list(2). */
#include "check.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#define SYS_futex_wait 455
#define SYS_futex_requeue 456
#endif
#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

#define MS 1000000LL
#define PRIVATE_WAIT (FUTEX_WAIT | FUTEX_PRIVATE_FLAG)
#define PRIVATE_WAKE (FUTEX_WAKE | FUTEX_PRIVATE_FLAG)

typedef uint32_t word_t;

/* One call of futex(2) in a thread of its own. */
struct caller {
	pthread_t thread;
	volatile pid_t tid;
	word_t *word, *word2;
	int operation;
	word_t value, value3;
	const struct timespec *timeout;
	int policy, priority;
	long result;
	int error;
	volatile int is_done;
};

static volatile int handler_calls;
static word_t *changed_by_handler;

static long futex(word_t *word, int operation, word_t value, const struct timespec *timeout, word_t *word2, word_t value3)
{
	return syscall(SYS_futex, word, operation, value, timeout, word2, value3);
}

static long futex_counts(word_t *word, int operation, int count, int count2, word_t *word2, word_t value3)
{
	return syscall(SYS_futex, word, operation, count, (long)count2, word2, value3);
}

static long wake(word_t *word, int count)
{
	return futex(word, FUTEX_WAKE, (word_t)count, NULL, NULL, 0);
}

static word_t load(word_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(word_t *word, word_t value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static struct timespec time_after(clockid_t clock, int64_t delay_ns)
{
	int64_t at = now_ns(clock) + delay_ns;

	return (struct timespec){at / 1000000000, at % 1000000000};
}

static int is_past(clockid_t clock, const struct timespec *at)
{
	return now_ns(clock) >= at->tv_sec * 1000000000LL + at->tv_nsec;
}

/* The letter in /proc of the state of a task, 0 when there is no such task. */
static char state_of(pid_t tid)
{
	char path[64], text[200] = "", *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY);
	if (fd == -1)
		return 0;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = '\0';
	close(fd);
	end = strrchr(text, ')');
	return end != NULL ? end[2] : 0;
}

static void await_sleep(volatile pid_t *tid)
{
	while (*tid == 0 || state_of(*tid) != 'S')
		sleep_ms(1);
}

static void *call_futex(void *argument)
{
	struct caller *caller = argument;

	caller->tid = gettid();
	caller->result = futex(caller->word, caller->operation, caller->value, caller->timeout, caller->word2, caller->value3);
	caller->error = caller->result == -1 ? errno : 0;
	caller->is_done = 1;
	return NULL;
}

static void start(struct caller *caller)
{
	MUST(pthread_create(&caller->thread, NULL, call_futex, caller) == 0 ? 0 : -1);
}

static void start_sleeping(struct caller *caller)
{
	start(caller);
	await_sleep(&caller->tid);
}

/* The result of a call that ends by itself; the negated errno of one that failed. */
static long finish(struct caller *caller)
{
	MUST(pthread_join(caller->thread, NULL) == 0 ? 0 : -1);
	return caller->error != 0 ? -caller->error : caller->result;
}

static void *map_page(int protection, int flags)
{
	void *page = mmap(NULL, 4096, protection, flags | MAP_ANONYMOUS, -1, 0);

	MUST(page == MAP_FAILED ? -1 : 0);
	return page;
}

TEST(waking_in_order)
{
	word_t word = 1;
	struct caller waiters[4] = {0};

	for (size_t at = 0; at < LENGTH(waiters); at++) {
		waiters[at] = (struct caller){.word = &word, .operation = PRIVATE_WAIT, .value = 1};
		start_sleeping(&waiters[at]);
	}
	CHECK_EQ(futex(&word, PRIVATE_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EQ(finish(&waiters[0]), 0);
	CHECK_EQ(waiters[1].is_done + waiters[2].is_done + waiters[3].is_done, 0);
	CHECK_EQ(futex(&word, PRIVATE_WAKE, 2, NULL, NULL, 0), 2);
	CHECK_EQ(finish(&waiters[1]), 0);
	CHECK_EQ(finish(&waiters[2]), 0);
	CHECK_EQ(waiters[3].is_done, 0);
	CHECK_EQ(futex(&word, PRIVATE_WAKE, INT_MAX, NULL, NULL, 0), 1);
	CHECK_EQ(finish(&waiters[3]), 0);
	CHECK_EQ(futex(&word, PRIVATE_WAKE, INT_MAX, NULL, NULL, 0), 0);
}

TEST(waking_none_wakes_one)
{
	word_t word = 0;
	struct caller first = {.word = &word, .operation = FUTEX_WAIT}, second = first;

	start_sleeping(&first);
	start_sleeping(&second);
	CHECK_EQ(wake(&word, 0), 1);
	CHECK_EQ(wake(&word, -1), 1);
	CHECK_EQ(finish(&first), 0);
	CHECK_EQ(finish(&second), 0);
}

TEST(wait_errnos)
{
	word_t words[2] = {5, 5};
	struct timespec soon = {0, 5 * MS}, negative = {-1, 0}, large = {0, 1000000000}, zero = {0, 0};
	struct timespec never = {INT64_MAX, 0};
	struct caller waiter = {.word = words, .operation = FUTEX_WAIT, .value = 5, .timeout = &never};
	void *unreadable = map_page(PROT_NONE, MAP_PRIVATE), *kernel = (void *)0xffff800000000000;

	CHECK_ERRNO(futex(words, FUTEX_WAIT, 6, NULL, NULL, 0), EAGAIN);
	CHECK_ERRNO(futex(words, PRIVATE_WAIT, 6, NULL, NULL, 0), EAGAIN);
	CHECK_ERRNO(futex(words, FUTEX_WAIT, 5, &soon, NULL, 0), ETIMEDOUT);
	CHECK_ERRNO(futex(words, FUTEX_WAIT, 5, &zero, NULL, 0), ETIMEDOUT);
	CHECK_ERRNO(futex(words, FUTEX_WAIT, 6, &zero, NULL, 0), EAGAIN);
	CHECK_ERRNO(futex(words, FUTEX_WAIT, 6, &negative, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(words, FUTEX_WAIT, 6, &large, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(words, FUTEX_WAIT, 6, bad_address(), NULL, 0), EFAULT);
	CHECK_ERRNO(futex((word_t *)((char *)words + 2), FUTEX_WAIT, 5, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex((word_t *)((char *)words + 2), FUTEX_WAIT, 5, bad_address(), NULL, 0), EFAULT);
	CHECK_ERRNO(futex(bad_address(), FUTEX_WAIT, 5, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(bad_address(), PRIVATE_WAIT, 5, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(unreadable, PRIVATE_WAIT, 5, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(kernel, PRIVATE_WAIT, 5, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(words, FUTEX_WAIT_BITSET, 6, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(words, FUTEX_WAIT_BITSET, 6, NULL, NULL, 1), EAGAIN);
	CHECK_ERRNO(futex(words, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 6, NULL, NULL, 0), ENOSYS);
	CHECK_ERRNO(futex(words, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 6, NULL, NULL, 0), ENOSYS);
	CHECK_ERRNO(futex(words, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 6, &negative, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(words, FUTEX_FD, 6, NULL, NULL, 0), ENOSYS);
	CHECK_ERRNO(futex(words, 14, 6, NULL, NULL, 0), ENOSYS);
	CHECK_ERRNO(futex(words, 0x1000, 6, NULL, NULL, 0), ENOSYS);
	CHECK_ERRNO(futex(words, -1, 6, NULL, NULL, 0), ENOSYS);
	start_sleeping(&waiter);
	CHECK_EQ(wake(words, 1), 1);
	CHECK_EQ(finish(&waiter), 0);
}

TEST(wake_errnos)
{
	word_t word = 0, *read_only = map_page(PROT_READ, MAP_PRIVATE), *kernel = (word_t *)0xffff800000000000;
	word_t *gone = map_page(PROT_READ, MAP_PRIVATE);
	int fd = (int)MUST(open("/proc/self/exe", O_RDONLY));
	word_t *file = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	MUST(munmap(gone, 4096));
	CHECK_EQ(wake(&word, 1), 0);
	CHECK_ERRNO(wake((word_t *)((char *)&word + 1), 1), EINVAL);
	CHECK_ERRNO(futex((word_t *)((char *)&word + 1), PRIVATE_WAKE, 1, NULL, NULL, 0), EINVAL);
	CHECK_EQ(futex(gone, PRIVATE_WAKE, 1, NULL, NULL, 0), 0);
	CHECK_ERRNO(wake(gone, 1), EFAULT);
	CHECK_ERRNO(wake(bad_address(), 1), EFAULT);
	CHECK_ERRNO(futex(kernel, PRIVATE_WAKE, 1, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(wake(read_only, 1), EFAULT);
	CHECK_EQ(futex(read_only, PRIVATE_WAKE, 1, NULL, NULL, 0), 0);
	CHECK_EQ(wake(file, 1), 0);
	CHECK_ERRNO(futex(file, FUTEX_WAIT, 0, NULL, NULL, 0), EAGAIN);
	CHECK_ERRNO(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
	CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 1), 0);
}

TEST(private_and_shared_are_different)
{
	word_t word = 0;
	struct caller private = {.word = &word, .operation = PRIVATE_WAIT};
	struct caller shared = {.word = &word, .operation = FUTEX_WAIT};

	start_sleeping(&private);
	CHECK_EQ(wake(&word, 1), 0);
	start_sleeping(&shared);
	CHECK_EQ(futex(&word, PRIVATE_WAKE, INT_MAX, NULL, NULL, 0), 1);
	CHECK_EQ(finish(&private), 0);
	CHECK_EQ(wake(&word, INT_MAX), 1);
	CHECK_EQ(finish(&shared), 0);
}

/* Forks a child that waits on a word and exits with its errno, or 0. */
static pid_t waiting_child(word_t *word, int operation, const struct timespec *timeout)
{
	pid_t child = (pid_t)MUST(fork()), tid = child;

	if (child == 0)
		_exit(ERRNO_OF(futex(word, operation, 0, timeout, NULL, FUTEX_BITSET_MATCH_ANY)));
	await_sleep(&tid);
	return child;
}

TEST(shared_memory_of_processes)
{
	struct timespec short_time = {0, 50 * MS};
	word_t *shared = (word_t *)make_shared_page(), *private = map_page(PROT_READ | PROT_WRITE, MAP_PRIVATE);
	pid_t child = waiting_child(&shared[3], FUTEX_WAIT, NULL);

	CHECK_EQ(wake(&shared[2], 1), 0);
	CHECK_EQ(futex(&shared[3], PRIVATE_WAKE, 1, NULL, NULL, 0), 0);
	CHECK_EQ(wake(&shared[3], 1), 1);
	CHECK_EQ(wait_for(child), EXITED(0));
	private[0] = 0;
	child = waiting_child(private, FUTEX_WAIT, &short_time);
	CHECK_EQ(wake(private, 1), 0);
	CHECK_EQ(wait_for(child), EXITED(ETIMEDOUT));
}

TEST(one_file_at_several_addresses)
{
	int fd;
	word_t *first, *second, *private;
	pid_t child;

	enter_scratch();
	fd = (int)MUST(open("words", O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(fd, 3 * 4096));
	first = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	second = mmap(NULL, 2 * 4096, PROT_READ, MAP_SHARED, fd, 4096);
	private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 4096);
	MUST(first == MAP_FAILED || second == MAP_FAILED || private == MAP_FAILED ? -1 : 0);
	child = waiting_child(&first[1024 + 5], FUTEX_WAIT, NULL);
	CHECK_EQ(wake(&private[5], 1), 0);
	CHECK_EQ(wake(&second[4], 1), 0);
	CHECK_EQ(wake(&second[5], 1), 1);
	CHECK_EQ(wait_for(child), EXITED(0));
	child = waiting_child(&second[7], FUTEX_WAIT, NULL);
	CHECK_EQ(wake(&first[1024 + 7], 1), 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(bitsets)
{
	word_t word = 0;
	struct caller waiters[3] = {0};

	for (size_t at = 0; at < LENGTH(waiters); at++) {
		waiters[at] = (struct caller){.word = &word, .operation = FUTEX_WAIT_BITSET, .value3 = 1u << at};
		start_sleeping(&waiters[at]);
	}
	CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 8), 0);
	CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 2), 1);
	CHECK_EQ(finish(&waiters[1]), 0);
	CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 5), 1);
	CHECK_EQ(finish(&waiters[0]), 0);
	CHECK_EQ(wake(&word, 1), 1);
	CHECK_EQ(finish(&waiters[2]), 0);
}

TEST(times_to_wait)
{
	word_t word = 0;
	struct timespec at = {0, 20 * MS}, until = time_after(CLOCK_MONOTONIC, 20 * MS);

	CHECK_ERRNO(futex(&word, FUTEX_WAIT, 0, &at, NULL, 0), ETIMEDOUT);
	CHECK(is_past(CLOCK_MONOTONIC, &until));
	until = time_after(CLOCK_MONOTONIC, 20 * MS);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, &until, NULL, 1), ETIMEDOUT);
	CHECK(is_past(CLOCK_MONOTONIC, &until));
	until = time_after(CLOCK_REALTIME, 20 * MS);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &until, NULL, 1), ETIMEDOUT);
	CHECK(is_past(CLOCK_REALTIME, &until));
	until.tv_sec -= 100;
	CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &until, NULL, 1), ETIMEDOUT);
	CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, &(struct timespec){0, 0}, NULL, 1), ETIMEDOUT);
}

static void on_signal(int signal)
{
	(void)signal;
	handler_calls++;
	if (changed_by_handler != NULL)
		store(changed_by_handler, 77);
}

/* Interrupts a call that sleeps, and waits until the handler has run. */
static void interrupt(struct caller *caller)
{
	handler_calls = 0;
	MUST(syscall(SYS_tgkill, getpid(), caller->tid, SIGUSR1));
	while (handler_calls == 0)
		sleep_ms(1);
}

TEST(signals_interrupt)
{
	word_t word = 0;
	struct timespec later = {100, 0}, at = time_after(CLOCK_MONOTONIC, 100000 * MS);
	struct caller plain = {.word = &word, .operation = FUTEX_WAIT}, timed = plain, absolute = plain;

	handle(SIGUSR1, on_signal, 0);
	start_sleeping(&plain);
	interrupt(&plain);
	CHECK_EQ(finish(&plain), -EINTR);
	timed.timeout = &later;
	start_sleeping(&timed);
	interrupt(&timed);
	CHECK_EQ(finish(&timed), -EINTR);
	absolute.operation = FUTEX_WAIT_BITSET;
	absolute.value3 = 1;
	absolute.timeout = &at;
	start_sleeping(&absolute);
	interrupt(&absolute);
	CHECK_EQ(finish(&absolute), -EINTR);
	CHECK_EQ(wake(&word, 1), 0);
}

TEST(handlers_that_restart)
{
	word_t word = 0;
	struct timespec later = {100, 0};
	struct caller plain = {.word = &word, .operation = FUTEX_WAIT}, changed = plain, timed = plain;

	handle(SIGUSR1, on_signal, SA_RESTART);
	start_sleeping(&plain);
	interrupt(&plain);
	await_sleep(&plain.tid);
	CHECK_EQ(plain.is_done, 0);
	CHECK_EQ(wake(&word, 1), 1);
	CHECK_EQ(finish(&plain), 0);
	start_sleeping(&changed);
	changed_by_handler = &word;
	interrupt(&changed);
	CHECK_EQ(finish(&changed), -EAGAIN);
	changed_by_handler = NULL;
	word = 0;
	timed.timeout = &later;
	start_sleeping(&timed);
	interrupt(&timed);
	CHECK_EQ(finish(&timed), -EINTR);
}

TEST(stops_do_not_prolong_a_wait)
{
	word_t *shared = (word_t *)make_shared_page();
	struct timespec duration = {0, 60 * MS}, until;
	pid_t child;
	int status;

	until = time_after(CLOCK_MONOTONIC, 60 * MS);
	child = waiting_child(shared, FUTEX_WAIT, &duration);
	MUST(kill(child, SIGSTOP));
	MUST(waitpid(child, &status, WUNTRACED));
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(wake(shared, 1), 0);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), EXITED(ETIMEDOUT));
	CHECK(is_past(CLOCK_MONOTONIC, &until));
	child = waiting_child(shared, FUTEX_WAIT, NULL);
	MUST(kill(child, SIGSTOP));
	MUST(waitpid(child, &status, WUNTRACED));
	store(shared, 1);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), EXITED(EAGAIN));
}

TEST(a_wake_counts_for_more_than_a_signal)
{
	word_t word = 0;
	struct caller waiter = {.word = &word, .operation = FUTEX_WAIT};

	handle(SIGUSR1, on_signal, 0);
	start_sleeping(&waiter);
	CHECK_EQ(wake(&word, 1), 1);
	/* The thread may have ended by now. */
	syscall(SYS_tgkill, getpid(), waiter.tid, SIGUSR1);
	CHECK_EQ(finish(&waiter), 0);
}

TEST(real_time_threads_come_first)
{
	word_t word = 0;
	struct caller waiters[3] = {0};
	int priorities[3] = {0, 5, 20}, may_set = 1;

	for (int at = 0; at < 3; at++) {
		waiters[at] = (struct caller){.word = &word, .operation = FUTEX_WAIT};
		/* The thread gets its creator's policy: the priority that counts is the one it has when it waits. */
		may_set &= sched_setscheduler(0, at > 0 ? SCHED_FIFO : SCHED_OTHER, &(struct sched_param){priorities[at]}) == 0;
		start_sleeping(&waiters[at]);
	}
	sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
	for (int at = 2; at >= 0; at--) {
		int next = may_set ? at : 2 - at;

		CHECK_EQ(wake(&word, 1), 1);
		CHECK_EQ(finish(&waiters[next]), 0);
	}
}

TEST(requeueing)
{
	word_t first = 3, second = 9;
	struct caller waiters[5] = {0};

	for (size_t at = 0; at < LENGTH(waiters); at++) {
		waiters[at] = (struct caller){.word = &first, .operation = FUTEX_WAIT, .value = 3};
		start_sleeping(&waiters[at]);
	}
	CHECK_ERRNO(futex_counts(&first, FUTEX_CMP_REQUEUE, 1, 1, &second, 4), EAGAIN);
	CHECK_ERRNO(futex_counts(&first, FUTEX_CMP_REQUEUE, -1, 1, &second, 3), EINVAL);
	CHECK_ERRNO(futex_counts(&first, FUTEX_CMP_REQUEUE, 1, -1, &second, 3), EINVAL);
	CHECK_ERRNO(futex_counts(&first, FUTEX_CMP_REQUEUE, 1, 1, bad_address(), 3), EFAULT);
	CHECK_ERRNO(futex_counts(&first, FUTEX_REQUEUE, 1, 1, (word_t *)((char *)&second + 1), 0), EINVAL);
	CHECK_EQ(futex_counts(&first, FUTEX_CMP_REQUEUE, 1, 2, &second, 3), 3);
	CHECK_EQ(finish(&waiters[0]), 0);
	CHECK_EQ(wake(&second, 1), 1);
	CHECK_EQ(finish(&waiters[1]), 0);
	CHECK_EQ(futex_counts(&first, FUTEX_REQUEUE, 0, INT_MAX, &second, 0), 2);
	CHECK_EQ(wake(&first, INT_MAX), 0);
	CHECK_EQ(futex_counts(&second, FUTEX_REQUEUE, 0, 0, &first, 0), 0);
	CHECK_EQ(futex_counts(&second, FUTEX_REQUEUE, 0, 1, &second, 0), 1);
	CHECK_EQ(wake(&second, INT_MAX), 3);
	for (int at = 2; at < 5; at++)
		CHECK_EQ(finish(&waiters[at]), 0);
}

TEST(a_moved_waiter_times_out)
{
	word_t first = 0, second = 0;
	struct timespec later = {0, 100 * MS};
	struct caller waiter = {.word = &first, .operation = FUTEX_WAIT, .timeout = &later};

	start_sleeping(&waiter);
	CHECK_EQ(futex_counts(&first, FUTEX_REQUEUE, 0, 1, &second, 0), 1);
	CHECK_EQ(finish(&waiter), -ETIMEDOUT);
	CHECK_EQ(wake(&second, 1), 0);
}

static word_t encoded(unsigned operation, int operand, unsigned comparison, int operand2)
{
	return operation << 28 | comparison << 24 | (word_t)(operand & 0xfff) << 12 | (word_t)(operand2 & 0xfff);
}

/* The second word after FUTEX_WAKE_OP has changed it from `old`. */
static word_t changed(word_t old, word_t operation)
{
	word_t first = 0, second = old;

	CHECK_EQ(futex_counts(&first, FUTEX_WAKE_OP, 1, 1, &second, operation), 0);
	return second;
}

TEST(operations_of_wake_op)
{
	word_t word = 7, other = 0;

	CHECK_EQ(changed(7, encoded(FUTEX_OP_SET, 5, FUTEX_OP_CMP_EQ, 0)), 5);
	CHECK_EQ(changed(7, encoded(FUTEX_OP_SET, -1, FUTEX_OP_CMP_EQ, 0)), UINT32_MAX);
	CHECK_EQ(changed(7, encoded(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)), 12);
	CHECK_EQ(changed(0, encoded(FUTEX_OP_ADD, -1, FUTEX_OP_CMP_EQ, 0)), UINT32_MAX);
	CHECK_EQ(changed(6, encoded(FUTEX_OP_OR, 9, FUTEX_OP_CMP_EQ, 0)), 15);
	CHECK_EQ(changed(7, encoded(FUTEX_OP_ANDN, 5, FUTEX_OP_CMP_EQ, 0)), 2);
	CHECK_EQ(changed(7, encoded(FUTEX_OP_XOR, 5, FUTEX_OP_CMP_EQ, 0)), 2);
	CHECK_EQ(changed(7, encoded(FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 31, FUTEX_OP_CMP_EQ, 0)), 1u << 31);
	CHECK_EQ(changed(7, encoded(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 4, FUTEX_OP_CMP_EQ, 0)), 23);
	CHECK_ERRNO(futex_counts(&word, FUTEX_WAKE_OP, 1, 1, &other, encoded(5, 1, FUTEX_OP_CMP_EQ, 0)), ENOSYS);
	CHECK_EQ(other, 0);
	CHECK_ERRNO(futex_counts(&word, FUTEX_WAKE_OP, 1, 1, &other, encoded(FUTEX_OP_SET, 1, 6, 0)), ENOSYS);
	CHECK_EQ(other, 1);
	CHECK_ERRNO(futex_counts(&word, FUTEX_WAKE_OP, 1, 1, bad_address(), encoded(FUTEX_OP_SET, 1, 6, 0)), EFAULT);
	CHECK_ERRNO(futex_counts(bad_address(), FUTEX_WAKE_OP, 1, 1, &other, encoded(FUTEX_OP_SET, 2, 0, 0)), EFAULT);
	CHECK_ERRNO(futex_counts((word_t *)((char *)&word + 1), FUTEX_WAKE_OP, 1, 1, &other, 0), EINVAL);
	CHECK_EQ(other, 1);
}

/* Whether FUTEX_WAKE_OP wakes on the second word when that holds `old`. */
static int wakes_second(int old, unsigned comparison, int operand)
{
	word_t first = 0, second = (word_t)old;
	struct caller waiters[2] = {{.word = &first, .operation = FUTEX_WAIT},
				    {.word = &second, .operation = FUTEX_WAIT, .value = (word_t)old}};
	long woken;

	start_sleeping(&waiters[0]);
	start_sleeping(&waiters[1]);
	woken = futex_counts(&first, FUTEX_WAKE_OP, 1, 1, &second, encoded(FUTEX_OP_ADD, 0, comparison, operand));
	wake(&second, 1);
	CHECK_EQ(finish(&waiters[0]) | finish(&waiters[1]), 0);
	return (int)woken - 1;
}

TEST(comparisons_of_wake_op)
{
	CHECK_EQ(wakes_second(4, FUTEX_OP_CMP_EQ, 4), 1);
	CHECK_EQ(wakes_second(4, FUTEX_OP_CMP_EQ, 5), 0);
	CHECK_EQ(wakes_second(-1, FUTEX_OP_CMP_EQ, -1), 1);
	CHECK_EQ(wakes_second(4, FUTEX_OP_CMP_NE, 5), 1);
	CHECK_EQ(wakes_second(-3, FUTEX_OP_CMP_LT, 0), 1);
	CHECK_EQ(wakes_second(4, FUTEX_OP_CMP_LT, 4), 0);
	CHECK_EQ(wakes_second(4, FUTEX_OP_CMP_LE, 4), 1);
	CHECK_EQ(wakes_second(4, FUTEX_OP_CMP_GT, 4), 0);
	CHECK_EQ(wakes_second(4, FUTEX_OP_CMP_GT, -4), 1);
	CHECK_EQ(wakes_second(4, FUTEX_OP_CMP_GE, 4), 1);
}

TEST(locks_without_waiters)
{
	word_t word = 0, me = (word_t)gettid();

	CHECK_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(word, me);
	CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
	CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EDEADLK);
	CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(word, 0);
	CHECK_ERRNO(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
	CHECK_EQ(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), 0);
	word |= FUTEX_WAITERS;
	CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(word, 0);
	word = FUTEX_OWNER_DIED;
	CHECK_EQ(futex(&word, FUTEX_LOCK_PI2, 0, NULL, NULL, 0), 0);
	CHECK_EQ(word, me | FUTEX_OWNER_DIED);
	word = 0x3ffffff0;
	CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), ESRCH);
	CHECK_EQ(word, 0x3ffffff0 | FUTEX_WAITERS);
	CHECK_ERRNO(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
	CHECK_ERRNO(futex((word_t *)((char *)&word + 1), FUTEX_LOCK_PI, 0, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(bad_address(), FUTEX_LOCK_PI, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(bad_address(), FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(map_page(PROT_READ, MAP_PRIVATE), FUTEX_LOCK_PI, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
	CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, &(struct timespec){0, -1}, NULL, 0), EINVAL);
}

TEST(private_locks_belong_to_the_process)
{
	uint32_t *word = (uint32_t *)make_shared_page();
	struct timespec past = {0, 0};
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		pause();
		_exit(0);
	}
	*word = (uint32_t)child;
	CHECK_ERRNO(syscall(SYS_futex, word, FUTEX_LOCK_PI, 0, &past, NULL, 0), ETIMEDOUT);
	*word = (uint32_t)child;
	CHECK_ERRNO(syscall(SYS_futex, word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EAGAIN);
	/* Nobody else can have a lock that no other process sees: Linux 6.18.44 says so, earlier ones waited. */
	*word = (uint32_t)child;
	CHECK_ERRNO(syscall(SYS_futex, word, FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0, &past, NULL, 0), EPERM);
	CHECK_EQ(*word, FUTEX_WAITERS | (uint32_t)child);
	CHECK_ERRNO(syscall(SYS_futex, word, FUTEX_TRYLOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0), EPERM);
	MUST(kill(child, SIGKILL));
	MUST(waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT));
	CHECK_ERRNO(syscall(SYS_futex, word, FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0, &past, NULL, 0), ESRCH);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

TEST(locks_are_handed_over)
{
	word_t word = (word_t)gettid();
	struct caller first = {.word = &word, .operation = FUTEX_LOCK_PI}, second = first, trial = first;

	start_sleeping(&first);
	CHECK_EQ(load(&word), (word_t)gettid() | FUTEX_WAITERS);
	start_sleeping(&second);
	trial.operation = FUTEX_TRYLOCK_PI;
	start(&trial);
	CHECK_EQ(finish(&trial), -EAGAIN);
	CHECK_ERRNO(wake(&word, 1), EINVAL);
	CHECK_ERRNO(futex_counts(&word, FUTEX_REQUEUE, 1, 1, &word, 0), EINVAL);
	CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(finish(&first), 0);
	CHECK_EQ(finish(&second), 0);
	/* The first thread ended as the owner. */
	CHECK_EQ(load(&word), (word_t)second.tid | FUTEX_WAITERS | FUTEX_OWNER_DIED);
}

TEST(locks_time_out)
{
	word_t word = (word_t)gettid();
	struct timespec until = time_after(CLOCK_REALTIME, 30 * MS), soon = time_after(CLOCK_MONOTONIC, 30 * MS);
	struct caller waiter = {.word = &word, .operation = FUTEX_LOCK_PI, .timeout = &until}, second = waiter;
	struct caller third = waiter;

	start(&waiter);
	CHECK_EQ(finish(&waiter), -ETIMEDOUT);
	CHECK(is_past(CLOCK_REALTIME, &until));
	CHECK_EQ(load(&word), (word_t)gettid() | FUTEX_WAITERS);
	second.operation = FUTEX_LOCK_PI2;
	second.timeout = &soon;
	start(&second);
	CHECK_EQ(finish(&second), -ETIMEDOUT);
	CHECK(is_past(CLOCK_MONOTONIC, &soon));
	until = time_after(CLOCK_REALTIME, 30 * MS);
	third.operation = FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME;
	start(&third);
	CHECK_EQ(finish(&third), -ETIMEDOUT);
	CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(word, 0);
}

TEST(locks_wait_through_signals)
{
	word_t word = (word_t)gettid();
	struct caller waiter = {.word = &word, .operation = FUTEX_LOCK_PI};

	handle(SIGUSR1, on_signal, 0);
	start_sleeping(&waiter);
	interrupt(&waiter);
	await_sleep(&waiter.tid);
	CHECK_EQ(waiter.is_done, 0);
	CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(finish(&waiter), 0);
}

static word_t crossed[2];

static void *lock_crosswise(void *argument)
{
	struct caller *caller = argument;

	caller->tid = gettid();
	store(&crossed[1], (word_t)caller->tid);
	caller->result = futex(&crossed[0], FUTEX_LOCK_PI, 0, NULL, NULL, 0);
	return NULL;
}

TEST(deadlocks_are_told)
{
	struct caller other = {0};

	crossed[0] = (word_t)gettid();
	MUST(pthread_create(&other.thread, NULL, lock_crosswise, &other) == 0 ? 0 : -1);
	await_sleep(&other.tid);
	CHECK_ERRNO(futex(&crossed[1], FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
	CHECK_EQ(futex(&crossed[0], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(finish(&other), 0);
}

static void *lock_and_end(void *argument)
{
	word_t *word = argument;

	MUST(futex(word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	while ((load(word) & FUTEX_WAITERS) == 0)
		sleep_ms(1);
	sleep_ms(10);
	return NULL;
}

/* The priority in /proc of a thread: 20 plus its nice value, or below 0 for a real-time one. */
static int priority_of(pid_t tid)
{
	char path[64], text[400] = "", *field;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = (int)MUST(open(path, O_RDONLY));
	MUST(read(fd, text, sizeof(text) - 1));
	close(fd);
	field = strrchr(text, ')');
	for (int at = 0; at < 16 && field != NULL; at++)
		field = strchr(field + 1, ' ');
	return field != NULL ? atoi(field) : 0;
}

static void *take_and_wait(void *argument)
{
	crossed[1] = (word_t)gettid();
	((struct caller *)argument)->tid = gettid();
	MUST(futex(&crossed[0], FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	MUST(futex(&crossed[1], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	MUST(futex(&crossed[0], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	return NULL;
}

TEST(owners_inherit_priority)
{
	struct timespec until = time_after(CLOCK_REALTIME, 300 * MS);
	struct caller middle = {0}, high = {.word = &crossed[1], .operation = FUTEX_LOCK_PI};
	struct caller higher = {.word = &crossed[1], .operation = FUTEX_LOCK_PI, .timeout = &until};
	int may_set, usual = 20 + getpriority(PRIO_PROCESS, 0);

	crossed[0] = (word_t)gettid();
	MUST(pthread_create(&middle.thread, NULL, take_and_wait, &middle) == 0 ? 0 : -1);
	await_sleep(&middle.tid);
	CHECK_EQ(priority_of(gettid()), usual);
	may_set = sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){20}) == 0;
	start_sleeping(&high);
	if (may_set)
		MUST(sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){30}));
	start_sleeping(&higher);
	if (may_set)
		MUST(sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}));
	CHECK_EQ(priority_of(middle.tid), may_set ? -31 : usual);
	CHECK_EQ(priority_of(gettid()), may_set ? -31 : usual);
	CHECK_EQ(finish(&higher), -ETIMEDOUT);
	CHECK_EQ(priority_of(middle.tid), may_set ? -21 : usual);
	CHECK_EQ(priority_of(gettid()), may_set ? -21 : usual);
	if (may_set)
		MUST(sched_setscheduler(high.tid, SCHED_FIFO, &(struct sched_param){10}));
	CHECK_EQ(priority_of(middle.tid), may_set ? -11 : usual);
	CHECK_EQ(priority_of(gettid()), may_set ? -11 : usual);
	if (may_set)
		MUST(sched_setscheduler(high.tid, SCHED_OTHER, &(struct sched_param){0}));
	CHECK_EQ(priority_of(gettid()), usual);
	CHECK_EQ(futex(&crossed[0], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(finish(&middle), 0);
	CHECK_EQ(finish(&high), 0);
}

TEST(a_dead_owner_s_lock)
{
	word_t word = 0;
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, lock_and_end, &word) == 0 ? 0 : -1);
	while (load(&word) == 0)
		sleep_ms(1);
	CHECK_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(word, (word_t)gettid() | FUTEX_WAITERS | FUTEX_OWNER_DIED);
	CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(word, 0);
}

TEST(words_that_contradict_the_kernel)
{
	word_t word = (word_t)gettid();
	struct caller waiter = {.word = &word, .operation = FUTEX_LOCK_PI}, other = waiter;

	start_sleeping(&waiter);
	store(&word, 1);
	start(&other);
	CHECK_EQ(finish(&other), -EINVAL);
	CHECK_ERRNO(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
	store(&word, (word_t)gettid() | FUTEX_WAITERS);
	CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(finish(&waiter), 0);
	word = 0;
	waiter = (struct caller){.word = &word, .operation = FUTEX_WAIT};
	start_sleeping(&waiter);
	CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EINVAL);
	CHECK_EQ(wake(&word, 1), 1);
	CHECK_EQ(finish(&waiter), 0);
}

TEST(moving_to_a_lock)
{
	word_t condition = 4, lock = 0;
	struct caller waiters[3] = {0};

	for (size_t at = 0; at < LENGTH(waiters); at++) {
		waiters[at] = (struct caller){
			.word = &condition, .operation = FUTEX_WAIT_REQUEUE_PI, .value = 4, .word2 = &lock};
		start_sleeping(&waiters[at]);
	}
	CHECK_ERRNO(futex_counts(&condition, FUTEX_CMP_REQUEUE_PI, 1, 1, &lock, 5), EAGAIN);
	CHECK_ERRNO(futex_counts(&condition, FUTEX_CMP_REQUEUE_PI, 2, 1, &lock, 4), EINVAL);
	CHECK_ERRNO(futex_counts(&condition, FUTEX_CMP_REQUEUE_PI, 1, 1, &condition, 4), EINVAL);
	CHECK_ERRNO(futex_counts(&condition, FUTEX_CMP_REQUEUE_PI, 1, 1, &crossed[0], 4), EINVAL);
	CHECK_ERRNO(futex_counts(&condition, FUTEX_CMP_REQUEUE, 1, 1, &lock, 4), EINVAL);
	CHECK_ERRNO(wake(&condition, 1), EINVAL);
	CHECK_EQ(futex_counts(&condition, FUTEX_CMP_REQUEUE_PI, 1, 0, &lock, 4), 1);
	CHECK_EQ(finish(&waiters[0]), 0);
	CHECK_EQ(lock, (word_t)waiters[0].tid);
	store(&lock, (word_t)gettid());
	CHECK_EQ(futex_counts(&condition, FUTEX_CMP_REQUEUE_PI, 1, INT_MAX, &lock, 4), 2);
	CHECK_EQ(load(&lock), (word_t)gettid() | FUTEX_WAITERS);
	CHECK_EQ(waiters[1].is_done + waiters[2].is_done, 0);
	CHECK_EQ(futex(&lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(finish(&waiters[1]), 0);
	CHECK_EQ(finish(&waiters[2]), 0);
}

TEST(waiting_for_a_lock_by_way_of_a_futex)
{
	word_t condition = 4, lock = 0;
	struct timespec until = time_after(CLOCK_MONOTONIC, 30 * MS);
	struct caller waiter = {
		.word = &condition, .operation = FUTEX_WAIT_REQUEUE_PI, .value = 4, .word2 = &lock, .timeout = &until};
	struct caller moved = waiter, interrupted = waiter;

	CHECK_ERRNO(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 5, NULL, &lock, 0), EAGAIN);
	CHECK_ERRNO(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 4, NULL, &condition, 0), EINVAL);
	CHECK_ERRNO(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 4, NULL, bad_address(), 0), EFAULT);
	start(&waiter);
	CHECK_EQ(finish(&waiter), -ETIMEDOUT);
	until = time_after(CLOCK_MONOTONIC, 100 * MS);
	lock = (word_t)gettid();
	start_sleeping(&moved);
	CHECK_EQ(futex_counts(&condition, FUTEX_CMP_REQUEUE_PI, 1, 0, &lock, 4), 1);
	CHECK_EQ(finish(&moved), -ETIMEDOUT);
	handle(SIGUSR1, on_signal, 0);
	interrupted.timeout = NULL;
	start_sleeping(&interrupted);
	interrupt(&interrupted);
	await_sleep(&interrupted.tid);
	CHECK_EQ(interrupted.is_done, 0);
	CHECK_EQ(futex_counts(&condition, FUTEX_CMP_REQUEUE_PI, 1, 0, &lock, 4), 1);
	interrupt(&interrupted);
	CHECK_EQ(finish(&interrupted), -EAGAIN);
	CHECK_EQ(futex(&lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	CHECK_EQ(lock, 0);
}

/* A lock as a robust list holds it. */
struct lock {
	struct robust_list link;
	word_t word;
};

struct robust_page {
	struct robust_list_head head;
	struct lock locks[8];
};

static struct robust_page *robust;

/* Makes an empty list on a page that children share. */
static void prepare_list(void)
{
	if (robust == NULL)
		robust = (struct robust_page *)make_shared_page();
	memset(robust, 0, sizeof(*robust));
	robust->head.list.next = &robust->head.list;
	robust->head.futex_offset = offsetof(struct lock, word);
}

/* Puts the first locks into the list of this thread, as their owner. */
static void own_locks(size_t count)
{
	struct robust_list *last = &robust->head.list;

	for (size_t at = 0; at < count; at++) {
		store(&robust->locks[at].word, (word_t)gettid());
		last->next = &robust->locks[at].link;
		last = last->next;
	}
	last->next = &robust->head.list;
	MUST(syscall(SYS_set_robust_list, &robust->head, sizeof(robust->head)));
}

static void await_exit(pid_t child)
{
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(robust_locks_of_an_ended_process)
{
	pid_t child, waiter;

	prepare_list();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		own_locks(3);
		store(&robust->locks[1].word, 12345);
		robust->locks[2].word |= FUTEX_WAITERS;
		_exit(0);
	}
	await_exit(child);
	CHECK_EQ(robust->locks[0].word, FUTEX_OWNER_DIED);
	CHECK_EQ(robust->locks[1].word, 12345);
	CHECK_EQ(robust->locks[2].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
	prepare_list();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		own_locks(1);
		robust->locks[0].word |= FUTEX_WAITERS;
		store(&robust->locks[5].word, 1);
		for (;;)
			pause();
	}
	while (load(&robust->locks[5].word) == 0)
		sleep_ms(1);
	waiter = (pid_t)MUST(fork());
	if (waiter == 0) {
		word_t held = (word_t)child | FUTEX_WAITERS;

		_exit(ERRNO_OF(futex(&robust->locks[0].word, FUTEX_WAIT, held, NULL, NULL, 0)));
	}
	await_sleep(&waiter);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	await_exit(waiter);
	CHECK_EQ(robust->locks[0].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
}

TEST(robust_lock_that_is_being_taken)
{
	pid_t child, waiter;

	prepare_list();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		own_locks(1);
		store(&robust->locks[3].word, (word_t)gettid());
		robust->head.list_op_pending = &robust->locks[3].link;
		_exit(0);
	}
	await_exit(child);
	CHECK_EQ(robust->locks[0].word, FUTEX_OWNER_DIED);
	CHECK_EQ(robust->locks[3].word, FUTEX_OWNER_DIED);
	prepare_list();
	waiter = waiting_child(&robust->locks[3].word, FUTEX_WAIT, NULL);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		own_locks(0);
		robust->head.list_op_pending = &robust->locks[3].link;
		_exit(0);
	}
	await_exit(child);
	await_exit(waiter);
	CHECK_EQ(robust->locks[3].word, 0);
}

ROLE(nothing)
{
	return 0;
}

TEST(robust_locks_and_exec)
{
	pid_t child;

	prepare_list();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		own_locks(2);
		execl(check_self, check_self, "nothing", NULL);
		_exit(1);
	}
	await_exit(child);
	CHECK_EQ(robust->locks[0].word, FUTEX_OWNER_DIED);
	CHECK_EQ(robust->locks[1].word, FUTEX_OWNER_DIED);
}

TEST(a_child_has_no_list)
{
	struct robust_list_head *head = NULL;
	size_t length = 0;
	pid_t child;

	prepare_list();
	own_locks(1);
	CHECK_EQ(syscall(SYS_get_robust_list, 0, &head, &length), 0);
	CHECK(head == &robust->head);
	CHECK_EQ(length, sizeof(*head));
	child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (child == 0) {
		store(&robust->locks[0].word, (word_t)gettid());
		if (syscall(SYS_get_robust_list, 0, &head, &length) != 0)
			_exit(1);
		_exit(head == NULL ? 0 : 2);
	}
	await_exit(child);
	CHECK_EQ(robust->locks[0].word, child);
	CHECK_ERRNO(syscall(SYS_set_robust_list, &robust->head, 23), EINVAL);
	CHECK_EQ(syscall(SYS_get_robust_list, getpid(), &head, &length), 0);
	CHECK_ERRNO(syscall(SYS_get_robust_list, 0x3ffffff0, &head, &length), ESRCH);
	CHECK_ERRNO(syscall(SYS_get_robust_list, 0, bad_address(), &length), EFAULT);
}

/* Ends a child whose list was spoiled by `spoil`. */
static void end_with(void (*spoil)(void))
{
	pid_t child;

	prepare_list();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		own_locks(2);
		spoil();
		_exit(0);
	}
	await_exit(child);
}

static void list_in_a_circle(void)
{
	robust->locks[1].link.next = &robust->locks[0].link;
}

static void entry_nowhere(void)
{
	robust->locks[0].link.next = bad_address();
}

static void head_nowhere(void)
{
	MUST(syscall(SYS_set_robust_list, bad_address(), sizeof(robust->head)));
}

static void head_in_the_kernel(void)
{
	MUST(syscall(SYS_set_robust_list, (void *)-24L, sizeof(robust->head)));
}

static void unaligned_words(void)
{
	robust->head.futex_offset++;
}

static void words_nowhere(void)
{
	robust->head.futex_offset = INT64_MIN + 1;
}

static void read_only_page(void)
{
	MUST(mprotect(robust, 4096, PROT_READ));
}

static void pending_nowhere(void)
{
	robust->head.list_op_pending = (void *)0xfffffffffffffff0;
}

static void link_to_itself(void)
{
	robust->head.futex_offset = 0;
	robust->locks[0].link.next = (void *)(uintptr_t)(((uintptr_t)&robust->head >> 32 << 32) | (word_t)gettid());
}

TEST(wrong_robust_lists)
{
	end_with(list_in_a_circle);
	CHECK_EQ(robust->locks[0].word, FUTEX_OWNER_DIED);
	CHECK_EQ(robust->locks[1].word, FUTEX_OWNER_DIED);
	end_with(entry_nowhere);
	CHECK_EQ(robust->locks[0].word, FUTEX_OWNER_DIED);
	CHECK(robust->locks[1].word != FUTEX_OWNER_DIED);
	end_with(head_nowhere);
	CHECK(robust->locks[0].word != FUTEX_OWNER_DIED);
	end_with(head_in_the_kernel);
	CHECK(robust->locks[0].word != FUTEX_OWNER_DIED);
	end_with(unaligned_words);
	CHECK(robust->locks[0].word != FUTEX_OWNER_DIED);
	end_with(words_nowhere);
	CHECK(robust->locks[0].word != FUTEX_OWNER_DIED);
	end_with(read_only_page);
	CHECK(robust->locks[0].word != FUTEX_OWNER_DIED);
	end_with(pending_nowhere);
	CHECK_EQ(robust->locks[1].word, FUTEX_OWNER_DIED);
	end_with(link_to_itself);
	CHECK_EQ((word_t)(uintptr_t)robust->locks[0].link.next, FUTEX_OWNER_DIED);
}

static void *own_and_end(void *argument)
{
	own_locks((size_t)(uintptr_t)argument);
	return NULL;
}

TEST(robust_locks_of_an_ended_thread)
{
	pthread_t thread;

	prepare_list();
	MUST(pthread_create(&thread, NULL, own_and_end, (void *)2) == 0 ? 0 : -1);
	MUST(pthread_join(thread, NULL) == 0 ? 0 : -1);
	CHECK_EQ(robust->locks[0].word, FUTEX_OWNER_DIED);
	CHECK_EQ(robust->locks[1].word, FUTEX_OWNER_DIED);
}

static void make_shared_mutex(pthread_mutex_t *mutex, int protocol)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setprotocol(&attributes, protocol);
	MUST(pthread_mutex_init(mutex, &attributes) == 0 ? 0 : -1);
}

/* A process ends with the mutex, while this one waits for it. */
static void take_over(int protocol)
{
	pthread_mutex_t *mutex = (pthread_mutex_t *)make_shared_page();
	pid_t child;

	make_shared_mutex(mutex, protocol);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pthread_mutex_lock(mutex);
		sleep_ms(20);
		_exit(0);
	}
	sleep_ms(10);
	CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(mutex), 0);
	CHECK_EQ(pthread_mutex_unlock(mutex), 0);
	await_exit(child);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pthread_mutex_lock(mutex);
		_exit(0);
	}
	await_exit(child);
	CHECK_EQ(pthread_mutex_trylock(mutex), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_unlock(mutex), 0);
	CHECK_EQ(pthread_mutex_lock(mutex), ENOTRECOVERABLE);
}

TEST(robust_mutexes)
{
	take_over(PTHREAD_PRIO_NONE);
}

TEST(robust_mutexes_with_priority_inheritance)
{
	take_over(PTHREAD_PRIO_INHERIT);
}

static long wait_many(struct futex_waitv *words, unsigned count, unsigned flags, const struct timespec *until, clockid_t clock)
{
	return syscall(SYS_futex_waitv, words, count, flags, until, clock);
}

static struct futex_waitv waited(word_t *word, word_t value, unsigned flags)
{
	return (struct futex_waitv){.uaddr = (uintptr_t)word, .val = value, .flags = flags | FUTEX_32};
}

TEST(many_futexes_errnos)
{
	word_t word = 1;
	struct futex_waitv words[129];
	struct timespec soon = time_after(CLOCK_MONOTONIC, 10 * MS), wrong = {0, -1};

	for (size_t at = 0; at < LENGTH(words); at++)
		words[at] = waited(&word, 1, FUTEX_PRIVATE_FLAG);
	CHECK_ERRNO(wait_many(words, 128, 0, &soon, CLOCK_MONOTONIC), ETIMEDOUT);
	CHECK(is_past(CLOCK_MONOTONIC, &soon));
	CHECK_ERRNO(wait_many(words, 129, 0, NULL, 0), EINVAL);
	CHECK_ERRNO(wait_many(words, 0, 0, NULL, 0), EINVAL);
	CHECK_ERRNO(wait_many(words, 1, 1, NULL, 0), EINVAL);
	CHECK_ERRNO(wait_many(NULL, 1, 0, NULL, 0), EINVAL);
	CHECK_ERRNO(wait_many(bad_address(), 1, 0, NULL, 0), EFAULT);
	CHECK_ERRNO(wait_many(words, 1, 0, &wrong, CLOCK_MONOTONIC), EINVAL);
	CHECK_ERRNO(wait_many(words, 1, 0, &soon, CLOCK_BOOTTIME), EINVAL);
	CHECK_ERRNO(wait_many(words, 1, 0, bad_address(), CLOCK_REALTIME), EFAULT);
	CHECK_ERRNO(wait_many(words, 1, 0, &(struct timespec){1, 0}, CLOCK_REALTIME), ETIMEDOUT);
	words[5].val = 2;
	CHECK_ERRNO(wait_many(words, 6, 0, NULL, 0), EAGAIN);
	words[5].val = 1ULL << 32 | 1;
	CHECK_ERRNO(wait_many(words, 6, 0, NULL, 0), EINVAL);
	words[5] = waited(&word, 1, 0);
	words[5].__reserved = 1;
	CHECK_ERRNO(wait_many(words, 6, 0, NULL, 0), EINVAL);
	words[5] = waited(&word, 1, 0);
	words[5].flags = 0;
	CHECK_ERRNO(wait_many(words, 6, 0, NULL, 0), EINVAL);
	words[5].flags = FUTEX_32 | 0x40;
	CHECK_ERRNO(wait_many(words, 6, 0, NULL, 0), EINVAL);
	words[5] = waited((word_t *)((char *)&word + 2), 1, 0);
	CHECK_ERRNO(wait_many(words, 6, 0, NULL, 0), EINVAL);
	words[5] = waited(bad_address(), 1, 0);
	CHECK_ERRNO(wait_many(words, 6, 0, NULL, 0), EFAULT);
	words[5] = waited(bad_address(), 1, FUTEX_PRIVATE_FLAG);
	CHECK_ERRNO(wait_many(words, 6, 0, NULL, 0), EFAULT);
	CHECK_EQ(futex(&word, PRIVATE_WAKE, 1, NULL, NULL, 0), 0);
}

static word_t vector[4];

static void *wait_for_vector(void *argument)
{
	struct caller *caller = argument;
	struct futex_waitv words[] = {waited(&vector[0], 0, FUTEX_PRIVATE_FLAG), waited(&vector[1], 0, 0),
				      waited(&vector[2], 0, FUTEX_PRIVATE_FLAG)};

	caller->tid = gettid();
	caller->result = wait_many(words, LENGTH(words), 0, caller->timeout, CLOCK_REALTIME);
	caller->error = caller->result == -1 ? errno : 0;
	return NULL;
}

static void start_vector(struct caller *caller)
{
	*caller = (struct caller){0};
	MUST(pthread_create(&caller->thread, NULL, wait_for_vector, caller) == 0 ? 0 : -1);
	await_sleep(&caller->tid);
}

TEST(many_futexes)
{
	struct caller waiter;

	start_vector(&waiter);
	CHECK_EQ(wake(&vector[0], 1), 0);
	CHECK_EQ(futex(&vector[0], PRIVATE_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EQ(finish(&waiter), 0);
	start_vector(&waiter);
	CHECK_EQ(wake(&vector[1], 1), 1);
	CHECK_EQ(finish(&waiter), 1);
	start_vector(&waiter);
	CHECK_EQ(futex_counts(&vector[2], FUTEX_REQUEUE | FUTEX_PRIVATE_FLAG, 0, 1, &vector[3], 0), 1);
	CHECK_EQ(futex(&vector[2], PRIVATE_WAKE, 1, NULL, NULL, 0), 0);
	CHECK_EQ(futex(&vector[3], PRIVATE_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EQ(finish(&waiter), 2);
	handle(SIGUSR1, on_signal, 0);
	start_vector(&waiter);
	interrupt(&waiter);
	CHECK_EQ(finish(&waiter), -EINTR);
	handle(SIGUSR1, on_signal, SA_RESTART);
	start_vector(&waiter);
	interrupt(&waiter);
	await_sleep(&waiter.tid);
	CHECK_EQ(futex(&vector[2], PRIVATE_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EQ(finish(&waiter), 2);
	CHECK_EQ(wake(&vector[1], 1), 0);
}

static long new_wait(word_t *word, unsigned long value, unsigned long mask, unsigned flags, const struct timespec *until,
		     clockid_t clock)
{
	return syscall(SYS_futex_wait, word, value, mask, flags, until, clock);
}

static long new_wake(word_t *word, unsigned long mask, int count, unsigned flags)
{
	return syscall(SYS_futex_wake, word, mask, count, flags);
}

static void *call_new_wait(void *argument)
{
	struct caller *caller = argument;

	caller->tid = gettid();
	caller->result = new_wait(caller->word, caller->value, caller->value3, FUTEX_32 | FUTEX_PRIVATE_FLAG, NULL, 0);
	caller->error = caller->result == -1 ? errno : 0;
	return NULL;
}

TEST(newer_calls)
{
	word_t word = 3, other = 4;
	struct timespec soon = time_after(CLOCK_MONOTONIC, 10 * MS);
	struct caller waiters[3] = {{.word = &word, .value = 3, .value3 = 1}, {.word = &word, .value = 3, .value3 = 2},
				    {.word = &word, .value = 3, .value3 = 4}};
	struct futex_waitv words[2] = {waited(&word, 3, FUTEX_PRIVATE_FLAG), waited(&other, 0, FUTEX_PRIVATE_FLAG)};

	CHECK_ERRNO(new_wait(&word, 4, 1, FUTEX_32, NULL, 0), EAGAIN);
	CHECK_ERRNO(new_wait(&word, 3, 0, FUTEX_32, NULL, 0), EINVAL);
	CHECK_ERRNO(new_wait(&word, 3, 1, 0, NULL, 0), EINVAL);
	CHECK_ERRNO(new_wait(&word, 3, 1, FUTEX_32 | 0x40, NULL, 0), EINVAL);
	CHECK_ERRNO(new_wait(&word, 3, 1UL << 32, FUTEX_32, NULL, 0), EINVAL);
	CHECK_ERRNO(new_wait(&word, 1UL << 32, 1, FUTEX_32, NULL, 0), EINVAL);
	CHECK_ERRNO(new_wait(&word, 3, 1, FUTEX_32, &soon, CLOCK_MONOTONIC), ETIMEDOUT);
	CHECK_ERRNO(new_wait(&word, 3, 1, FUTEX_32, &soon, CLOCK_PROCESS_CPUTIME_ID), EINVAL);
	CHECK_ERRNO(new_wake(&word, 0, 1, FUTEX_32), EINVAL);
	CHECK_ERRNO(new_wake(&word, 1, 1, 1), EINVAL);
	CHECK_ERRNO(new_wake(bad_address(), 1, 0, FUTEX_32), EFAULT);
	CHECK_ERRNO(new_wake((word_t *)((char *)&word + 1), 1, 0, FUTEX_32), EINVAL);
	for (size_t at = 0; at < LENGTH(waiters); at++) {
		MUST(pthread_create(&waiters[at].thread, NULL, call_new_wait, &waiters[at]) == 0 ? 0 : -1);
		await_sleep(&waiters[at].tid);
	}
	CHECK_EQ(new_wake(&word, UINT32_MAX, 0, FUTEX_32 | FUTEX_PRIVATE_FLAG), 0);
	CHECK_EQ(new_wake(&word, UINT32_MAX, 9, FUTEX_32), 0);
	CHECK_EQ(new_wake(&word, 2, 9, FUTEX_32 | FUTEX_PRIVATE_FLAG), 1);
	CHECK_EQ(finish(&waiters[1]), 0);
	CHECK_ERRNO(syscall(SYS_futex_requeue, words, 1, 1, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_requeue, NULL, 0, 1, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_requeue, words, 0, -1, 1), EINVAL);
	words[0].val = 7;
	CHECK_ERRNO(syscall(SYS_futex_requeue, words, 0, 1, 1), EAGAIN);
	words[0].val = 3;
	words[1].flags = FUTEX_32;
	CHECK_ERRNO(syscall(SYS_futex_requeue, words, 0, 1, 1), EINVAL);
	words[1].flags = words[0].flags;
	CHECK_EQ(syscall(SYS_futex_requeue, words, 0, 1, 1), 2);
	CHECK_EQ(finish(&waiters[0]), 0);
	CHECK_EQ(futex(&word, PRIVATE_WAKE, 1, NULL, NULL, 0), 0);
	CHECK_EQ(futex(&other, PRIVATE_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EQ(finish(&waiters[2]), 0);
}

static void *wait_and_end(void *argument)
{
	word_t *word = argument;

	futex(word, FUTEX_WAIT, 0, NULL, NULL, 0);
	return NULL;
}

TEST(killed_waiters_are_gone)
{
	word_t *shared = (word_t *)make_shared_page();
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, wait_and_end, shared);
		wait_and_end(shared);
	}
	await_sleep(&child);
	sleep_ms(10);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_EQ(wake(shared, INT_MAX), 0);
}
