/* System V semaphores: semget(2), semop(2), semtimedop(2), semctl(2), SEM_UNDO. */
#include "sysv.h"

#include <sched.h>
#include <sys/resource.h>

static int new_set(int count)
{
	return remember(SEMAPHORES, semget(IPC_PRIVATE, count, 0600));
}

static int value(int id, int number)
{
	return (int)MUST(semctl(id, number, GETVAL));
}

static void set(int id, int number, int wanted)
{
	MUST(semctl(id, number, SETVAL, wanted));
}

static int operate(int id, int number, int change, int flags)
{
	struct sembuf operation = {(unsigned short)number, (short)change, (short)flags};

	return semop(id, &operation, 1);
}

static struct semid_ds status_of(int id)
{
	struct semid_ds status;

	memset(&status, 0, sizeof(status));
	MUST(semctl(id, 0, IPC_STAT, &status));
	return status;
}

static pid_t operating_child(int id, int number, int change, int flags)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit(operate(id, number, change, flags) == 0 ? 0 : errno);
	return child;
}

TEST(a_new_set)
{
	time_t before = time(NULL);
	int id = new_set(3);
	struct semid_ds status = status_of(id);
	unsigned short values[3] = {9, 9, 9};

	CHECK_EQ(status.sem_nsems, 3);
	CHECK_EQ(status.sem_perm.mode, 0600);
	CHECK_EQ(status.sem_perm.uid, geteuid());
	CHECK_EQ(status.sem_perm.cgid, getegid());
	CHECK_EQ(status.sem_otime, 0);
	CHECK(status.sem_ctime >= before);
	CHECK_EQ(semctl(id, 0, GETALL, values), 0);
	CHECK_EQ(values[0] | values[1] | values[2], 0);
	CHECK_EQ(semctl(id, 2, GETPID), 0);
	CHECK_EQ(semctl(id, 2, GETNCNT), 0);
	CHECK_EQ(semctl(id, 2, GETZCNT), 0);
	CHECK_EQ(semctl(id, 1, SETVAL, 5), 0);
	CHECK_EQ(value(id, 1), 5);
	CHECK_EQ(semctl(id, 1, GETPID), getpid());
	CHECK_EQ(semctl(id, 0, GETPID), 0);
	values[0] = 1, values[1] = 2, values[2] = 32767;
	CHECK_EQ(semctl(id, 0, SETALL, values), 0);
	CHECK_EQ(value(id, 0), 1);
	CHECK_EQ(value(id, 2), 32767);
	CHECK_EQ(semctl(id, 0, GETPID), getpid());
	CHECK_EQ(status_of(id).sem_otime, 0);
	CHECK_EQ(operate(id, 0, -1, 0), 0);
	CHECK(status_of(id).sem_otime >= before);
	CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
	CHECK_ERRNO(semctl(id, 0, GETVAL), EINVAL);
	CHECK_ERRNO(operate(id, 0, 1, 0), EINVAL);
	CHECK_ERRNO(operate(id, 0, 1, SEM_UNDO), EINVAL);
	CHECK_ERRNO(semctl(id, 0, IPC_RMID), EINVAL);
}

TEST(creation_errnos)
{
	key_t key = new_key();
	int id = remember(SEMAPHORES, semget(key, 2, IPC_CREAT | IPC_EXCL | 0600));

	CHECK_EQ(semget(key, 0, 0), id);
	CHECK_EQ(semget(key, 2, IPC_CREAT), id);
	CHECK_ERRNO(semget(key, 3, 0), EINVAL);
	CHECK_ERRNO(semget(key, 2, IPC_CREAT | IPC_EXCL), EEXIST);
	CHECK_ERRNO(semget(new_key(), 1, 0600), ENOENT);
	CHECK_ERRNO(semget(IPC_PRIVATE, 0, 0600), EINVAL);
	CHECK_ERRNO(semget(IPC_PRIVATE, -1, 0600), EINVAL);
	CHECK_ERRNO(semget(IPC_PRIVATE, 32001, 0600), EINVAL);
	MUST(semctl(id, 0, IPC_RMID));
	CHECK_ERRNO(semget(key, 2, 0), ENOENT);
}

TEST(control_errnos)
{
	int id = new_set(2);
	unsigned short values[2] = {1, 32768};

	set(id, 0, 3);
	CHECK_ERRNO(semctl(id, 2, GETVAL), EINVAL);
	CHECK_ERRNO(semctl(id, -1, GETVAL), EINVAL);
	CHECK_ERRNO(semctl(id, 2, SETVAL, 1), EINVAL);
	CHECK_ERRNO(semctl(id, 2, GETPID), EINVAL);
	CHECK_ERRNO(semctl(id, 0, SETVAL, -1), ERANGE);
	CHECK_ERRNO(semctl(id, 0, SETVAL, 32768), ERANGE);
	CHECK_ERRNO(semctl(-1, 0, SETVAL, 32768), EINVAL);
	CHECK_ERRNO(semctl(id, 0, SETALL, values), ERANGE);
	CHECK_EQ(value(id, 0), 3);
	CHECK_ERRNO(semctl(id, 0, SETALL, bad_address()), EFAULT);
	CHECK_ERRNO(semctl(id, 0, GETALL, bad_address()), EFAULT);
	CHECK_ERRNO(semctl(id, 0, IPC_STAT, bad_address()), EFAULT);
	CHECK_ERRNO(semctl(id, 0, IPC_SET, bad_address()), EFAULT);
	CHECK_ERRNO(semctl(id, 0, 99), EINVAL);
	CHECK_ERRNO(semctl(-1, 0, GETVAL), EINVAL);
	CHECK_EQ(semctl(id, 17, SETALL, (unsigned short[]){4, 5}), 0);
	CHECK_EQ(value(id, 1), 5);
}

TEST(operations_at_once_or_not_at_all)
{
	int id = new_set(3);
	struct sembuf many[501], take[] = {{0, -2, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
	struct sembuf zero[] = {{2, 0, 0}, {0, 2, 0}, {1, 1, 0}, {1, -1, 0}, {0, -1, 0}};

	memset(many, 0, sizeof(many));
	set(id, 0, 2);
	CHECK_ERRNO(semop(id, take, 2), EAGAIN);
	CHECK_EQ(value(id, 0), 2);
	set(id, 1, 1);
	CHECK_EQ(semop(id, take, 2), 0);
	CHECK_EQ(value(id, 0), 0);
	CHECK_EQ(value(id, 1), 0);
	CHECK_EQ(semop(id, zero, 5), 0);
	CHECK_EQ(value(id, 0), 1);
	CHECK_EQ(value(id, 1), 0);
	CHECK_EQ(semctl(id, 2, GETPID), getpid());
	/* What an operation gives, a later one may take, but not the other way round. */
	CHECK_EQ(semop(id, (struct sembuf[]){{2, 1, 0}, {2, -1, IPC_NOWAIT}}, 2), 0);
	CHECK_ERRNO(semop(id, (struct sembuf[]){{2, -1, IPC_NOWAIT}, {2, 1, 0}}, 2), EAGAIN);
	CHECK_ERRNO(semop(id, (struct sembuf[]){{0, 1, 0}, {0, 0, IPC_NOWAIT}}, 2), EAGAIN);
	CHECK_EQ(value(id, 0), 1);
	set(id, 0, 32767);
	CHECK_ERRNO(operate(id, 0, 1, 0), ERANGE);
	CHECK_ERRNO(semop(id, (struct sembuf[]){{1, 1, 0}, {0, 1, 0}}, 2), ERANGE);
	CHECK_EQ(value(id, 1), 0);
	CHECK_EQ(semop(id, (struct sembuf[]){{0, -1, 0}, {0, 1, 0}}, 2), 0);
	CHECK_EQ(operate(id, 0, -32767, 0), 0);
	CHECK_ERRNO(operate(id, 3, 1, 0), EFBIG);
	CHECK_ERRNO(operate(id, 65535, 0, 0), EFBIG);
	CHECK_ERRNO(semop(id, many, 501), E2BIG);
	CHECK_EQ(semop(id, many, 500), 0);
	CHECK_ERRNO(semop(id, many, 0), EINVAL);
	CHECK_ERRNO(semop(id, bad_address(), 1), EFAULT);
	CHECK_ERRNO(semop(-1, many, 1), EINVAL);
	CHECK_ERRNO(semop(-1, many, 501), E2BIG);
}

TEST(waiting_for_more)
{
	int id = new_set(2);
	pid_t first = operating_child(id, 0, -3, 0), second;

	AWAIT(semctl(id, 0, GETNCNT) == 1);
	second = operating_child(id, 0, -1, 0);
	AWAIT(semctl(id, 0, GETNCNT) == 2);
	CHECK_EQ(semctl(id, 0, GETZCNT), 0);
	CHECK_EQ(semctl(id, 1, GETNCNT), 0);
	/* Enough for the second alone: it needn't wait for the first. */
	CHECK_EQ(operate(id, 0, 2, 0), 0);
	CHECK_EQ(wait_for(second), EXITED(0));
	CHECK_EQ(value(id, 0), 1);
	CHECK_EQ(semctl(id, 0, GETPID), second);
	CHECK_EQ(waitpid(first, NULL, WNOHANG), 0);
	CHECK_EQ(semctl(id, 0, SETVAL, 4), 0);
	CHECK_EQ(wait_for(first), EXITED(0));
	CHECK_EQ(value(id, 0), 1);
	CHECK_EQ(semctl(id, 0, GETPID), first);
}

TEST(waiting_for_zero)
{
	int id = new_set(2);
	pid_t child, other;

	set(id, 0, 2);
	child = operating_child(id, 0, 0, 0);
	AWAIT(semctl(id, 0, GETZCNT) == 1);
	CHECK_EQ(semctl(id, 0, GETNCNT), 0);
	CHECK_EQ(operate(id, 0, -1, 0), 0);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK_ERRNO(operate(id, 0, 0, IPC_NOWAIT), EAGAIN);
	other = (pid_t)MUST(fork());
	if (other == 0)
		_exit(semop(id, (struct sembuf[]){{0, 0, 0}, {0, 1, 0}, {1, 1, 0}}, 3) == 0 ? 0 : errno);
	AWAIT(semctl(id, 0, GETZCNT) == 2);
	/* Who only waits for the zero sees it before it's taken away. */
	CHECK_EQ(operate(id, 0, -1, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(wait_for(other), EXITED(0));
	CHECK_EQ(value(id, 0), 1);
	CHECK_EQ(value(id, 1), 1);
	CHECK_EQ(operate(id, 0, -1, 0), 0);
	CHECK_EQ(operate(id, 0, 0, 0), 0);
}

TEST(one_hand_over_lets_the_next_go_on)
{
	int id = new_set(3);
	pid_t children[3];

	for (int at = 0; at < 2; at++) {
		children[at] = (pid_t)MUST(fork());
		if (children[at] == 0) {
			struct sembuf both[] = {{(unsigned short)at, -1, 0}, {(unsigned short)(at + 1), 1, 0}};

			_exit(semop(id, both, 2) == 0 ? 0 : errno);
		}
		AWAIT(semctl(id, at, GETNCNT) == 1);
	}
	children[2] = operating_child(id, 2, -1, 0);
	AWAIT(semctl(id, 2, GETNCNT) == 1);
	CHECK_EQ(operate(id, 0, 1, 0), 0);
	for (int at = 0; at < 3; at++)
		CHECK_EQ(wait_for(children[at]), EXITED(0));
	CHECK_EQ(value(id, 0) | value(id, 1) | value(id, 2), 0);
	CHECK_EQ(semctl(id, 2, GETPID), children[2]);
}

TEST(removed_while_somebody_waits)
{
	int id = new_set(1);
	pid_t more = operating_child(id, 0, -1, 0), undoing = operating_child(id, 0, -1, SEM_UNDO), zero;

	AWAIT(semctl(id, 0, GETNCNT) == 2);
	set(id, 0, 0);
	zero = (pid_t)MUST(fork());
	if (zero == 0)
		_exit(semop(id, (struct sembuf[]){{0, 0, 0}, {0, -1, 0}}, 2) == 0 ? 0 : errno);
	AWAIT(semctl(id, 0, GETNCNT) == 3);
	CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
	CHECK_EQ(wait_for(more), EXITED(EIDRM));
	CHECK_EQ(wait_for(undoing), EXITED(EIDRM));
	CHECK_EQ(wait_for(zero), EXITED(EIDRM));
}

static volatile sig_atomic_t caught;

static void catch(int signal)
{
	caught = signal;
}

TEST(signals_and_timeouts)
{
	int id = new_set(1);
	struct sembuf take = {0, -1, 0};
	struct timespec timeout = {0, 30000000}, none = {0, 0}, negative = {-1, 0}, large = {0, 1000000000};
	struct itimerval soon = {{0, 0}, {0, 30000}};
	int64_t start = now_ns(CLOCK_MONOTONIC);
	pid_t child;

	CHECK_ERRNO(semtimedop(id, &take, 1, &timeout), EAGAIN);
	CHECK(now_ns(CLOCK_MONOTONIC) - start >= 30000000);
	CHECK_EQ(semctl(id, 0, GETNCNT), 0);
	CHECK_ERRNO(semtimedop(id, &take, 1, &none), EAGAIN);
	CHECK_ERRNO(semtimedop(id, &take, 1, &negative), EINVAL);
	CHECK_ERRNO(semtimedop(id, &take, 1, &large), EINVAL);
	CHECK_ERRNO(semtimedop(id, &take, 1, bad_address()), EFAULT);
	handle(SIGALRM, catch, SA_RESTART);
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_ERRNO(semop(id, &take, 1), EINTR);
	CHECK_EQ(caught, SIGALRM);
	CHECK_EQ(semctl(id, 0, GETNCNT), 0);
	/* Even a stop that nobody handles interrupts it. */
	child = operating_child(id, 0, -1, 0);
	AWAIT(semctl(id, 0, GETNCNT) == 1);
	CHECK_EQ(kill(child, SIGSTOP), 0);
	CHECK_EQ(waitpid(child, NULL, WUNTRACED), child);
	CHECK_EQ(kill(child, SIGCONT), 0);
	CHECK_EQ(wait_for(child), EXITED(EINTR));
	child = operating_child(id, 0, -1, 0);
	AWAIT(semctl(id, 0, GETNCNT) == 1);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_EQ(semctl(id, 0, GETNCNT), 0);
	set(id, 0, 1);
	CHECK_EQ(semtimedop(id, &take, 1, &none), 0);
}

TEST(the_end_of_who_wanted_to_undo_is_an_operation)
{
	int id = new_set(1);
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		CHECK_ERRNO(operate(id, 1, 1, 0), EFBIG);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(status_of(id).sem_otime, 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_ERRNO(operate(id, 1, 1, SEM_UNDO), EFBIG);
		CHECK_EQ(status_of(id).sem_otime, 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK(status_of(id).sem_otime != 0);
}

TEST(undone_at_exit)
{
	int id = new_set(2);
	pid_t child;

	set(id, 0, 5);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(operate(id, 0, -3, SEM_UNDO), 0);
		CHECK_EQ(operate(id, 0, -1, 0), 0);
		CHECK_EQ(operate(id, 1, 4, SEM_UNDO), 0);
		CHECK_EQ(value(id, 0), 1);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(value(id, 0), 4);
	CHECK_EQ(value(id, 1), 0);
	CHECK_EQ(semctl(id, 0, GETPID), child);
	/* A crash undoes as well, and an exec doesn't. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(operate(id, 0, -4, SEM_UNDO));
		raise(SIGKILL);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_EQ(value(id, 0), 4);
	/* The value is kept within its limits. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(operate(id, 1, 4, SEM_UNDO));
		MUST(operate(id, 0, -4, SEM_UNDO));
		MUST(operate(id, 1, -3, 0));
		MUST(operate(id, 0, 32765, 0));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(value(id, 1), 0);
	CHECK_EQ(value(id, 0), 32767);
	/* SETVAL and SETALL forget what was to be undone. */
	set(id, 0, 3);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(operate(id, 0, -2, SEM_UNDO));
		MUST(operate(id, 1, 2, SEM_UNDO));
		set(id, 0, 7);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(value(id, 0), 7);
	CHECK_EQ(value(id, 1), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(operate(id, 1, 2, SEM_UNDO));
		MUST(semctl(id, 0, SETALL, (unsigned short[]){1, 1}));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(value(id, 0) + value(id, 1), 2);
}

TEST(undoing_wakes_who_waits)
{
	int id = new_set(1);
	pid_t holder, waiter;

	set(id, 0, 1);
	holder = (pid_t)MUST(fork());
	if (holder == 0) {
		MUST(operate(id, 0, -1, SEM_UNDO));
		for (;;)
			pause();
	}
	AWAIT(value(id, 0) == 0);
	waiter = operating_child(id, 0, -1, 0);
	AWAIT(semctl(id, 0, GETNCNT) == 1);
	CHECK_EQ(kill(holder, SIGKILL), 0);
	CHECK_EQ(wait_for(holder), KILLED(SIGKILL));
	CHECK_EQ(wait_for(waiter), EXITED(0));
	CHECK_EQ(value(id, 0), 0);
}

ROLE(hold)
{
	int id = atoi(argv[2]);

	return value(id, 0) == 1 && operate(id, 0, -1, SEM_UNDO) == 0 ? 5 : 6;
}

TEST(exec_keeps_what_is_to_be_undone)
{
	int id = new_set(1);
	char number[20];
	pid_t child;

	snprintf(number, sizeof(number), "%d", id);
	set(id, 0, 2);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(operate(id, 0, -1, SEM_UNDO));
		execl(check_self, check_self, "hold", number, NULL);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(5));
	CHECK_EQ(value(id, 0), 2);
	/* A child inherits none of it. */
	MUST(operate(id, 0, -1, SEM_UNDO));
	CHECK_EQ(wait_for(child_that_exits(3)), EXITED(3));
	CHECK_EQ(value(id, 0), 1);
}

static char stack[65536] __attribute__((aligned(16)));
static int shared_set;

static int hold_and_end(void *unused)
{
	(void)unused;
	return operate(shared_set, 0, -1, SEM_UNDO);
}

TEST(shared_and_unshared_undos)
{
	int id = shared_set = new_set(1);
	pid_t outer, inner;

	set(id, 0, 3);
	outer = (pid_t)MUST(fork());
	if (outer == 0) {
		inner = (pid_t)MUST(clone(hold_and_end, stack + sizeof(stack), CLONE_SYSVSEM | SIGCHLD, NULL));
		CHECK_EQ(wait_for(inner), EXITED(0));
		/* Its partner lives: nothing has been undone. */
		CHECK_EQ(value(id, 0), 2);
		MUST(operate(id, 0, -1, SEM_UNDO));
		_exit(0);
	}
	CHECK_EQ(wait_for(outer), EXITED(0));
	CHECK_EQ(value(id, 0), 3);
	outer = (pid_t)MUST(fork());
	if (outer == 0) {
		MUST(operate(id, 0, -2, SEM_UNDO));
		CHECK_EQ(unshare(CLONE_SYSVSEM), 0);
		CHECK_EQ(value(id, 0), 3);
		MUST(operate(id, 0, -1, SEM_UNDO));
		_exit(0);
	}
	CHECK_EQ(wait_for(outer), EXITED(0));
	CHECK_EQ(value(id, 0), 3);
}

TEST(limits_of_undoing)
{
	int id = new_set(1);

	set(id, 0, 32767);
	CHECK_EQ(operate(id, 0, -32767, SEM_UNDO), 0);
	CHECK_EQ(operate(id, 0, 1, 0), 0);
	CHECK_ERRNO(operate(id, 0, -1, SEM_UNDO), ERANGE);
	CHECK_EQ(value(id, 0), 1);
	CHECK_EQ(operate(id, 0, -1, 0), 0);
	CHECK_EQ(operate(id, 0, 32767, SEM_UNDO), 0);
	CHECK_EQ(operate(id, 0, -32767, 0), 0);
	CHECK_EQ(operate(id, 0, 32767, SEM_UNDO), 0);
	CHECK_EQ(operate(id, 0, -32767, 0), 0);
	CHECK_EQ(operate(id, 0, 1, SEM_UNDO), 0);
	CHECK_ERRNO(operate(id, 0, 1, SEM_UNDO), ERANGE);
}

TEST(who_may)
{
	int id = new_set(1), readable = remember(SEMAPHORES, semget(IPC_PRIVATE, 1, 0604));
	struct semid_ds status = status_of(id);

	if (geteuid() != 0)
		_exit(0);
	AS_NOBODY({
		CHECK_ERRNO(operate(id, 0, 1, 0), EACCES);
		CHECK_ERRNO(operate(readable, 0, 1, 0), EACCES);
		CHECK_EQ(operate(readable, 0, 0, 0), 0);
		CHECK_ERRNO(operate(readable, 1, 1, 0), EFBIG);
		CHECK_ERRNO(semctl(id, 0, GETVAL), EACCES);
		CHECK_EQ(semctl(readable, 0, GETVAL), 0);
		CHECK_ERRNO(semctl(readable, 0, SETVAL, 1), EACCES);
		CHECK_ERRNO(semctl(readable, 0, SETALL, bad_address()), EACCES);
		CHECK_ERRNO(semctl(id, 0, IPC_STAT, &status), EACCES);
		CHECK_ERRNO(semctl(id, 0, IPC_SET, &status), EPERM);
		CHECK_ERRNO(semctl(readable, 0, IPC_RMID), EPERM);
		CHECK_ERRNO(semctl(id, 9, GETVAL), EACCES);
		CHECK_ERRNO(semctl(id, 9, SETVAL, 1), EINVAL);
	});
	status.sem_perm.gid = NOBODY;
	status.sem_perm.mode = 0660;
	CHECK_EQ(semctl(id, 0, IPC_SET, &status), 0);
	CHECK_EQ(status_of(id).sem_perm.mode, 0660);
	CHECK_EQ(status_of(id).sem_perm.gid, NOBODY);
	AS_NOBODY({
		CHECK_EQ(operate(id, 0, 1, 0), 0);
		CHECK_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
	});
	CHECK_EQ(value(id, 0), 1);
}

TEST(information)
{
	int id = new_set(7), last, found = -1;
	struct seminfo limits;
	struct semid_ds status;
	char line[200], want[200];
	int lines = 0;
	FILE *file;

	last = semctl(0, 0, IPC_INFO, &limits);
	CHECK(last >= 0);
	CHECK_EQ(limits.semmni, 32000);
	CHECK_EQ(limits.semmsl, 32000);
	CHECK_EQ(limits.semmns, 1024000000);
	CHECK_EQ(limits.semopm, 500);
	CHECK_EQ(limits.semvmx, 32767);
	CHECK_EQ(limits.semaem, 32767);
	CHECK_EQ(limits.semmap, 1024000000);
	CHECK_EQ(limits.semmnu, 1024000000);
	CHECK_EQ(limits.semume, 500);
	CHECK_EQ(limits.semusz, 20);
	CHECK_EQ(semctl(0, 0, SEM_INFO, &limits), last);
	CHECK(limits.semusz >= 1);
	CHECK(limits.semaem >= 7);
	for (int at = 0; at <= last; at++) {
		if (semctl(at, 0, SEM_STAT, &status) == id)
			found = at;
	}
	CHECK_EQ(found, id & 0x7fff);
	CHECK_EQ(semctl(found, 0, SEM_STAT_ANY, &status), id);
	CHECK_EQ(status.sem_nsems, 7);
	CHECK_EQ(status.sem_perm.__seq, id >> 15);
	CHECK_ERRNO(semctl(0x7ffe, 0, SEM_STAT, &status), EINVAL);
	file = fopen("/proc/sysvipc/sem", "r");
	MUST(file == NULL || fgets(line, sizeof(line), file) == NULL ? -1 : 0);
	CHECK_STRING(line, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
	snprintf(want, sizeof(want), "         0 %10d   600          7 %5u %5u %5u %5u          0 %10ld\n", id, geteuid(),
		 getegid(), geteuid(), getegid(), (long)status.sem_ctime);
	while (fgets(line, sizeof(line), file) != NULL)
		lines += strcmp(line, want) == 0;
	CHECK_EQ(lines, 1);
}
