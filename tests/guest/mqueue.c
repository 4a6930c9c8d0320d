/* POSIX message queues: mq_open(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2), mq_getsetattr(2). */
#include "check.h"

#include <dirent.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define SIZE 64

static char (*queue_names)[40];
static int *queue_count;
static pid_t main_process;

__attribute__((constructor)) static void start(void)
{
	queue_count = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (queue_count == MAP_FAILED)
		abort();
	queue_names = (char(*)[40])(queue_count + 1);
	main_process = getpid();
}

__attribute__((destructor)) static void end(void)
{
	for (int at = 0; getpid() == main_process && at < *queue_count; at++)
		mq_unlink(queue_names[at]);
}

/* A name that nobody else uses; it's free again when the program ends. */
static const char *new_name(void)
{
	int at = __atomic_fetch_add(queue_count, 1, __ATOMIC_SEQ_CST);

	if (at >= 200)
		abort();
	snprintf(queue_names[at], sizeof(queue_names[at]), "/check-%d-%d", main_process, at);
	return queue_names[at];
}

/* A user's queues count together, and those of namespaces that have ended go a little later: others' too. */
static mqd_t open_when_there_is_room(const char *name, int flags, mode_t mode, struct mq_attr *attributes)
{
	mqd_t queue = mq_open(name, flags, mode, attributes);

	for (int tries = 0; queue == -1 && errno == EMFILE && tries < 1000; tries++) {
		usleep(1000);
		queue = mq_open(name, flags, mode, attributes);
	}
	return (mqd_t)MUST(queue);
}

static mqd_t open_queue(const char *name, int flags, long messages)
{
	struct mq_attr attributes = {.mq_maxmsg = messages, .mq_msgsize = SIZE};

	return open_when_there_is_room(name, flags | O_CREAT | O_EXCL, 0600, &attributes);
}

static mqd_t new_queue(long messages)
{
	return open_queue(new_name(), O_RDWR, messages);
}

static int put(mqd_t queue, const char *data, unsigned int priority)
{
	return mq_send(queue, data, strlen(data), priority);
}

/* What mq_receive gave: "PRIORITY:DATA", or the errno's name. */
static const char *receive(mqd_t queue)
{
	static char result[SIZE + 20];
	char data[SIZE];
	unsigned int priority;
	ssize_t got = mq_receive(queue, data, SIZE, &priority);

	if (got == -1)
		snprintf(result, sizeof(result), "%s", check_errno_name(errno));
	else
		snprintf(result, sizeof(result), "%u:%.*s", priority, (int)got, data);
	return result;
}

static struct mq_attr attributes_of(mqd_t queue)
{
	struct mq_attr attributes;

	MUST(mq_getattr(queue, &attributes));
	return attributes;
}

static struct timespec after_ms(long milliseconds)
{
	int64_t at = now_ns(CLOCK_REALTIME) + milliseconds * 1000000;

	return (struct timespec){at / 1000000000, at % 1000000000};
}

static int sleeps(pid_t child)
{
	char path[64], text[200] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	fd = open(path, O_RDONLY);
	if (fd != -1) {
		MUST(read(fd, text, sizeof(text) - 1));
		close(fd);
	}
	return strstr(text, ") S ") != NULL;
}

static void await_sleep(pid_t child)
{
	for (int at = 0; at < 2000 && !sleeps(child); at++)
		sleep_ms(2);
	CHECK(sleeps(child));
}

static pid_t receiving_child(mqd_t queue, const char *want)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit(strcmp(receive(queue), want) != 0);
	await_sleep(child);
	return child;
}

TEST(a_new_queue)
{
	const char *name = new_name();
	struct mq_attr attributes;
	struct stat status;
	mqd_t queue, second;

	umask(022);
	queue = open_when_there_is_room(name, O_RDWR | O_CREAT, 0666, NULL);
	attributes = attributes_of(queue);
	CHECK_EQ(attributes.mq_flags, 0);
	CHECK_EQ(attributes.mq_maxmsg, 10);
	CHECK_EQ(attributes.mq_msgsize, 8192);
	CHECK_EQ(attributes.mq_curmsgs, 0);
	CHECK_EQ(fcntl(queue, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fstat(queue, &status), 0);
	CHECK_EQ(status.st_mode, S_IFREG | 0644);
	CHECK_EQ(status.st_size, 80);
	CHECK_EQ(status.st_uid, geteuid());
	CHECK_EQ(status.st_nlink, 1);
	CHECK_EQ(put(queue, "hello", 0), 0);
	second = (mqd_t)MUST(mq_open(name, O_RDONLY | O_NONBLOCK));
	CHECK_EQ(attributes_of(second).mq_curmsgs, 1);
	CHECK_EQ(attributes_of(second).mq_flags, O_NONBLOCK);
	CHECK_EQ(attributes_of(queue).mq_flags, 0);
	CHECK_EQ(mq_unlink(name), 0);
	CHECK_ERRNO(mq_open(name, O_RDONLY), ENOENT);
	CHECK_ERRNO(mq_unlink(name), ENOENT);
	CHECK_EQ(fstat(queue, &status), 0);
	CHECK_EQ(status.st_nlink, 0);
	CHECK_EQ(put(queue, "still there", 0), 0);
	CHECK_EQ(attributes_of(second).mq_curmsgs, 2);
	CHECK_EQ(mq_close(queue), 0);
	CHECK_EQ(attributes_of(second).mq_curmsgs, 2);
	CHECK_ERRNO(mq_close(queue), EBADF);
}

TEST(opening_errnos)
{
	const char *name = new_name();
	char length[300];
	struct mq_attr none = {.mq_maxmsg = 0, .mq_msgsize = 10}, empty = {.mq_maxmsg = 10, .mq_msgsize = 0};
	struct mq_attr negative = {.mq_maxmsg = -1, .mq_msgsize = 10};
	mqd_t queue = open_queue(name, O_RDWR, 2);

	CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL), EEXIST);
	CHECK(mq_open(name, O_RDWR | O_CREAT, 0600, &none) != -1);
	CHECK_ERRNO(mq_open(name, O_RDWR | O_WRONLY), EINVAL);
	CHECK_ERRNO(mq_open(new_name(), O_RDWR), ENOENT);
	CHECK_ERRNO(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &none), EINVAL);
	CHECK_ERRNO(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &empty), EINVAL);
	CHECK_ERRNO(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &negative), EINVAL);
	CHECK_ERRNO(mq_open("/", O_RDONLY), ENOENT);
	CHECK_ERRNO(mq_open("/.", O_RDONLY | O_CREAT, 0600, NULL), EACCES);
	CHECK_ERRNO(mq_open("/..", O_RDONLY), EACCES);
	CHECK_ERRNO(mq_open("/a/b", O_RDONLY | O_CREAT, 0600, NULL), EACCES);
	CHECK_ERRNO(mq_open("no-slash", O_RDONLY), EINVAL);
	memset(length, 'n', sizeof(length));
	length[0] = '/';
	length[257] = '\0';
	CHECK_ERRNO(mq_open(length, O_RDONLY | O_CREAT, 0600, NULL), ENAMETOOLONG);
	CHECK_ERRNO(mq_open(length, O_RDONLY), ENAMETOOLONG);
	CHECK_ERRNO(mq_unlink(length), ENAMETOOLONG);
	CHECK_ERRNO(mq_unlink("/"), ENOENT);
	CHECK_ERRNO(mq_unlink("/."), EACCES);
	CHECK_ERRNO(syscall(SYS_mq_open, bad_address(), O_RDONLY, 0, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_open, name + 1, O_RDWR | O_CREAT, 0600, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_open, name, O_RDONLY, 0, NULL), EACCES);
	CHECK_EQ(put(queue, "x", 0), 0);
	/* It's made, but can't be opened so. */
	name = new_name();
	CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT | O_DIRECT, 0600, NULL), EINVAL);
	CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL), EEXIST);
}

TEST(priorities)
{
	mqd_t queue = new_queue(8);

	CHECK_EQ(put(queue, "low", 1), 0);
	CHECK_EQ(put(queue, "high", 32767), 0);
	CHECK_EQ(put(queue, "middle", 5), 0);
	CHECK_EQ(put(queue, "second middle", 5), 0);
	CHECK_EQ(put(queue, "", 0), 0);
	CHECK_EQ(attributes_of(queue).mq_curmsgs, 5);
	CHECK_STRING(receive(queue), "32767:high");
	CHECK_STRING(receive(queue), "5:middle");
	CHECK_EQ(put(queue, "first", 6), 0);
	CHECK_STRING(receive(queue), "6:first");
	CHECK_STRING(receive(queue), "5:second middle");
	CHECK_STRING(receive(queue), "1:low");
	CHECK_STRING(receive(queue), "0:");
	CHECK_ERRNO(put(queue, "x", 32768), EINVAL);
	CHECK_ERRNO(put(queue, "x", UINT_MAX), EINVAL);
}

TEST(errnos)
{
	const char *name = new_name();
	char data[SIZE + 1] = "";
	mqd_t queue = open_queue(name, O_RDWR | O_NONBLOCK, 2), readable, writable;
	int other = (int)MUST(open("/dev/null", O_RDWR));
	struct timespec past = {1, 0}, negative = {-1, 0}, large = {0, 1000000000};

	readable = (mqd_t)MUST(mq_open(name, O_RDONLY));
	writable = (mqd_t)MUST(mq_open(name, O_WRONLY));
	CHECK_STRING(receive(queue), "EAGAIN");
	CHECK_STRING(receive(writable), "EBADF");
	CHECK_STRING(receive(other), "EBADF");
	CHECK_STRING(receive(-1), "EBADF");
	CHECK_ERRNO(put(readable, "x", 0), EBADF);
	CHECK_ERRNO(put(other, "x", 0), EBADF);
	CHECK_ERRNO(mq_send(queue, data, SIZE + 1, 0), EMSGSIZE);
	CHECK_EQ(mq_send(queue, data, SIZE, 0), 0);
	CHECK_ERRNO(mq_receive(queue, data, SIZE - 1, NULL), EMSGSIZE);
	CHECK_ERRNO(mq_receive(queue, data, 0, NULL), EMSGSIZE);
	CHECK_EQ(mq_receive(queue, data, SIZE + 1, NULL), SIZE);
	CHECK_ERRNO(mq_send(queue, bad_address(), 1, 0), EFAULT);
	CHECK_EQ(put(queue, "a", 0), 0);
	CHECK_EQ(put(queue, "b", 0), 0);
	CHECK_ERRNO(put(queue, "c", 0), EAGAIN);
	/* What can't be written there is lost. */
	CHECK_ERRNO(mq_receive(queue, bad_address(), SIZE, NULL), EFAULT);
	CHECK_EQ(attributes_of(queue).mq_curmsgs, 1);
	CHECK_EQ(put(queue, "c", 0), 0);
	CHECK_ERRNO(mq_timedsend(writable, "x", 1, 0, &past), ETIMEDOUT);
	CHECK_ERRNO(mq_timedsend(queue, "x", 1, 0, &past), EAGAIN);
	CHECK_ERRNO(mq_timedsend(writable, "x", 1, 0, &negative), EINVAL);
	CHECK_ERRNO(mq_timedsend(writable, "x", 1, 0, &large), EINVAL);
	CHECK_ERRNO(mq_timedsend(writable, "x", 1, 0, bad_address()), EFAULT);
	CHECK_EQ(mq_timedreceive(readable, data, SIZE, NULL, &past), 1);
	CHECK_ERRNO(mq_timedreceive(readable, data, SIZE, NULL, &large), EINVAL);
	CHECK_EQ(mq_timedreceive(readable, data, SIZE, NULL, &past), 1);
	CHECK_ERRNO(mq_timedreceive(readable, data, SIZE, NULL, &past), ETIMEDOUT);
	CHECK_ERRNO(mq_getattr(other, &(struct mq_attr){0}), EBADF);
	CHECK_ERRNO(syscall(SYS_mq_getsetattr, queue, NULL, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_mq_getsetattr, queue, bad_address(), NULL), EFAULT);
	CHECK_ERRNO(mq_setattr(queue, &(struct mq_attr){.mq_flags = O_APPEND}, NULL), EINVAL);
}

TEST(attributes)
{
	mqd_t queue = new_queue(3);
	struct mq_attr before, wanted = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 99, .mq_msgsize = 99, .mq_curmsgs = 99};

	MUST(put(queue, "x", 0));
	CHECK_EQ(mq_setattr(queue, &wanted, &before), 0);
	CHECK_EQ(before.mq_flags, 0);
	CHECK_EQ(before.mq_maxmsg, 3);
	CHECK_EQ(before.mq_msgsize, SIZE);
	CHECK_EQ(before.mq_curmsgs, 1);
	CHECK_EQ(attributes_of(queue).mq_flags, O_NONBLOCK);
	CHECK_EQ(attributes_of(queue).mq_maxmsg, 3);
	CHECK(fcntl(queue, F_GETFL) & O_NONBLOCK);
	wanted.mq_flags = 0;
	CHECK_EQ(mq_setattr(queue, &wanted, NULL), 0);
	CHECK_EQ(fcntl(queue, F_GETFL) & O_NONBLOCK, 0);
}

/* An open file doesn't remember how it's closed, but for a queue. */
TEST(closed_by_exec)
{
	mqd_t queue = (mqd_t)MUST(mq_open("/cloexec", O_RDWR | O_CREAT | O_CLOEXEC, 0600, NULL)), other;

	CHECK_EQ(fcntl(queue, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(queue, F_GETFL) & ~O_LARGEFILE, O_RDWR | O_CLOEXEC);
	MUST(fcntl(queue, F_SETFD, 0));
	MUST(fcntl(queue, F_SETFL, O_NONBLOCK));
	CHECK_EQ(fcntl(queue, F_GETFL) & ~O_LARGEFILE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	other = (mqd_t)MUST(mq_open("/cloexec", O_RDONLY));
	CHECK_EQ(fcntl(other, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(other, F_GETFL) & ~O_LARGEFILE, O_RDONLY);
	MUST(mq_unlink("/cloexec"));
}

TEST(the_size_of_the_file)
{
	struct mq_attr limits = {.mq_maxmsg = 2, .mq_msgsize = 8};
	mqd_t queue = (mqd_t)MUST(mq_open("/size", O_RDWR | O_CREAT, 0600, &limits));
	struct stat status;
	char text[100];

	MUST(mq_unlink("/size"));
	MUST(fstat(queue, &status));
	CHECK_EQ(status.st_size, 80);
	CHECK_OK(ftruncate(queue, 5));
	MUST(fstat(queue, &status));
	CHECK_EQ(status.st_size, 5);
	CHECK(read(queue, text, sizeof(text)) > 5);
	CHECK_ERRNO(ftruncate(queue, -1), EINVAL);
	CHECK_ERRNO(ftruncate(queue, 1L << 31), EINVAL);
	CHECK_EQ(lseek(queue, 4, SEEK_DATA), 4);
	CHECK_ERRNO(lseek(queue, 5, SEEK_DATA), ENXIO);
	CHECK_EQ(lseek(queue, 4, SEEK_HOLE), 5);
	CHECK_EQ(lseek(queue, -4, SEEK_HOLE), 5);
	CHECK_ERRNO(lseek(queue, -4, SEEK_DATA), EINVAL);
	CHECK_EQ(lseek(queue, INT64_MAX, SEEK_SET), INT64_MAX);
	CHECK_ERRNO(read(queue, text, 1), EINVAL);
}

TEST(receivers_wait)
{
	mqd_t queue = new_queue(2);
	pid_t first = receiving_child(queue, "3:one"), second = receiving_child(queue, "0:two"), urgent;

	CHECK_EQ(put(queue, "one", 3), 0);
	CHECK_EQ(attributes_of(queue).mq_curmsgs, 0);
	CHECK_EQ(wait_for(first), EXITED(0));
	CHECK_EQ(put(queue, "two", 0), 0);
	CHECK_EQ(wait_for(second), EXITED(0));
	/* The nicer one waits, though it came first. */
	first = (pid_t)MUST(fork());
	if (first == 0) {
		MUST(nice(10));
		_exit(strcmp(receive(queue), "0:later") != 0);
	}
	await_sleep(first);
	urgent = receiving_child(queue, "0:sooner");
	CHECK_EQ(put(queue, "sooner", 0), 0);
	CHECK_EQ(wait_for(urgent), EXITED(0));
	CHECK_EQ(waitpid(first, NULL, WNOHANG), 0);
	CHECK_EQ(put(queue, "later", 0), 0);
	CHECK_EQ(wait_for(first), EXITED(0));
}

TEST(senders_wait)
{
	mqd_t queue = new_queue(1);
	pid_t children[2];

	MUST(put(queue, "full", 9));
	for (int at = 0; at < 2; at++) {
		children[at] = (pid_t)MUST(fork());
		if (children[at] == 0)
			_exit(put(queue, at ? "second" : "first", at ? 20 : 10) == 0 ? 0 : errno);
		await_sleep(children[at]);
	}
	CHECK_EQ(attributes_of(queue).mq_curmsgs, 1);
	CHECK_STRING(receive(queue), "9:full");
	CHECK_EQ(wait_for(children[0]), EXITED(0));
	CHECK_EQ(waitpid(children[1], NULL, WNOHANG), 0);
	CHECK_STRING(receive(queue), "10:first");
	CHECK_EQ(wait_for(children[1]), EXITED(0));
	CHECK_STRING(receive(queue), "20:second");
}

static volatile sig_atomic_t caught;
static siginfo_t caught_info;

static void catch(int signal, siginfo_t *info, void *context)
{
	(void)context;
	caught = signal;
	caught_info = *info;
}

TEST(timeouts_and_signals)
{
	mqd_t queue = new_queue(1);
	char data[SIZE];
	struct timespec soon = after_ms(30);
	struct itimerval alarm = {{0, 0}, {0, 20000}};
	int64_t start = now_ns(CLOCK_MONOTONIC);
	pid_t child;

	CHECK_ERRNO(mq_timedreceive(queue, data, SIZE, NULL, &soon), ETIMEDOUT);
	CHECK(now_ns(CLOCK_MONOTONIC) - start >= 29000000);
	MUST(put(queue, "x", 0));
	soon = after_ms(20);
	CHECK_ERRNO(mq_timedsend(queue, "y", 1, 0, &soon), ETIMEDOUT);
	CHECK_EQ(attributes_of(queue).mq_curmsgs, 1);
	handle_info(SIGALRM, catch, 0);
	MUST(setitimer(ITIMER_REAL, &alarm, NULL));
	CHECK_ERRNO(mq_send(queue, "y", 1, 0), EINTR);
	MUST(mq_receive(queue, data, SIZE, NULL));
	MUST(setitimer(ITIMER_REAL, &alarm, NULL));
	CHECK_ERRNO(mq_receive(queue, data, SIZE, NULL), EINTR);
	handle_info(SIGALRM, catch, SA_RESTART);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(60);
		_exit(put(queue, "after", 0) == 0 ? 0 : errno);
	}
	caught = 0;
	MUST(setitimer(ITIMER_REAL, &alarm, NULL));
	CHECK_STRING(receive(queue), "0:after");
	CHECK_EQ(caught, SIGALRM);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(a_crash_of_either_side)
{
	mqd_t queue = new_queue(1);
	pid_t receiver = receiving_child(queue, ""), sender;

	CHECK_EQ(kill(receiver, SIGKILL), 0);
	CHECK_EQ(wait_for(receiver), KILLED(SIGKILL));
	CHECK_EQ(put(queue, "kept", 0), 0);
	sender = (pid_t)MUST(fork());
	if (sender == 0)
		_exit(put(queue, "never sent", 0) == 0 ? 0 : errno);
	await_sleep(sender);
	CHECK_EQ(kill(sender, SIGKILL), 0);
	CHECK_EQ(wait_for(sender), KILLED(SIGKILL));
	CHECK_STRING(receive(queue), "0:kept");
	CHECK_EQ(attributes_of(queue).mq_curmsgs, 0);
}

TEST(polled)
{
	mqd_t queue = new_queue(1);
	struct pollfd poller = {.fd = queue, .events = POLLIN | POLLOUT};
	pid_t child;

	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_EQ(poller.revents, POLLOUT);
	MUST(put(queue, "x", 0));
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_EQ(poller.revents, POLLIN);
	MUST(mq_receive(queue, (char[SIZE]){0}, SIZE, NULL));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		poller.events = POLLIN;
		_exit(poll(&poller, 1, 10000) == 1 && poller.revents == POLLIN ? 0 : 1);
	}
	await_sleep(child);
	CHECK_EQ(put(queue, "wake", 0), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(told_by_a_signal)
{
	mqd_t queue = new_queue(4);
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
	pid_t child;

	handle_info(SIGUSR1, catch, 0);
	CHECK_EQ(mq_notify(queue, &event), 0);
	CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
		CHECK_EQ(mq_notify(queue, NULL), 0);
		_exit(put(queue, "x", 0) == 0 ? 0 : errno);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(caught, SIGUSR1);
	CHECK_EQ(caught_info.si_code, SI_MESGQ);
	CHECK_EQ(caught_info.si_pid, child);
	CHECK_EQ(caught_info.si_uid, getuid());
	CHECK_EQ(caught_info.si_value.sival_int, 77);
	/* Once only, and not while there are messages. */
	caught = 0;
	MUST(put(queue, "y", 0));
	CHECK_EQ(caught, 0);
	CHECK_EQ(mq_notify(queue, &event), 0);
	MUST(put(queue, "z", 0));
	CHECK_EQ(caught, 0);
	for (int at = 0; at < 3; at++)
		MUST(mq_receive(queue, (char[SIZE]){0}, SIZE, NULL));
	/* Who waits for the message gets it, and nobody is told. */
	child = receiving_child(queue, "0:direct");
	MUST(put(queue, "direct", 0));
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(caught, 0);
	MUST(put(queue, "at last", 0));
	CHECK_EQ(caught, SIGUSR1);
	MUST(mq_receive(queue, (char[SIZE]){0}, SIZE, NULL));
	caught = 0;
	CHECK_EQ(mq_notify(queue, &event), 0);
	CHECK_EQ(mq_notify(queue, NULL), 0);
	MUST(put(queue, "unheard", 0));
	CHECK_EQ(caught, 0);
}

TEST(notification_ends_with_any_close)
{
	const char *name = new_name();
	mqd_t queue = open_queue(name, O_RDWR, 4), again = (mqd_t)MUST(mq_open(name, O_RDONLY));
	struct sigevent event = {.sigev_notify = SIGEV_NONE}, wrong = {.sigev_notify = 77};
	struct sigevent signal = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
	pid_t child;

	CHECK_ERRNO(mq_notify(queue, &wrong), EINVAL);
	CHECK_ERRNO(mq_notify(queue, &signal), EINVAL);
	CHECK_ERRNO(mq_notify(-1, &event), EBADF);
	CHECK_ERRNO(mq_notify(STDIN_FILENO, &event), EBADF);
	CHECK_ERRNO(syscall(SYS_mq_notify, queue, bad_address()), EFAULT);
	CHECK_EQ(mq_notify(queue, &event), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(mq_close(again));
		CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
	CHECK_EQ(mq_close(again), 0);
	CHECK_EQ(mq_notify(queue, &event), 0);
	child = (pid_t)MUST(fork());
	MUST(mq_notify(queue, NULL));
	if (child == 0) {
		for (int at = 0; at < 2000 && mq_notify(queue, &event) == -1; at++)
			sleep_ms(1);
		_exit(0);
	}
	/* It has gone with the process that wanted it. */
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(mq_notify(queue, &event), 0);
}

TEST(a_thread_is_told_through_a_socket)
{
	mqd_t queue = new_queue(4);
	char cookie[32] = "";
	int pipe_ends[2];
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_signo = -1, .sigev_value.sival_ptr = cookie};

	MUST(pipe(pipe_ends));
	CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EBADF);
	event.sigev_signo = (int)MUST(open("/", O_PATH));
	CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EBADF);
	event.sigev_signo = pipe_ends[0];
	CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), ENOTSOCK);
	event.sigev_value.sival_ptr = bad_address();
	CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EFAULT);
	event.sigev_value.sival_ptr = cookie;
	event.sigev_signo = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
	CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EINVAL);
}

TEST(cookies)
{
	mqd_t queue = new_queue(4);
	int socket_fd = (int)MUST(socket(AF_NETLINK, SOCK_RAW, 0));
	char cookie[32], got[40];
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD, .sigev_signo = socket_fd, .sigev_value.sival_ptr = cookie};

	memset(cookie, 'c', sizeof(cookie));
	CHECK_EQ(syscall(SYS_mq_notify, queue, &event), 0);
	CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EBUSY);
	CHECK_ERRNO(recv(socket_fd, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
	MUST(put(queue, "x", 0));
	CHECK_EQ(recv(socket_fd, got, sizeof(got), MSG_DONTWAIT), 32);
	CHECK_EQ(memcmp(got, cookie, 31), 0);
	CHECK_EQ(got[31], 1);
	CHECK_EQ(syscall(SYS_mq_notify, queue, &event), 0);
	CHECK_EQ(mq_notify(queue, NULL), 0);
	CHECK_EQ(recv(socket_fd, got, sizeof(got), MSG_DONTWAIT), 32);
	CHECK_EQ(got[31], 2);
	CHECK_EQ(syscall(SYS_mq_notify, queue, &event), 0);
	CHECK_EQ(mq_close(queue), 0);
	CHECK_EQ(recv(socket_fd, got, sizeof(got), MSG_DONTWAIT), 32);
	CHECK_EQ(got[31], 2);
}

static volatile int told_value;

static void tell(union sigval value)
{
	told_value = value.sival_int;
}

TEST(a_thread_is_told)
{
	mqd_t queue = new_queue(4);
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD, .sigev_notify_function = tell, .sigev_value.sival_int = 55};

	CHECK_EQ(mq_notify(queue, &event), 0);
	MUST(put(queue, "x", 0));
	for (int at = 0; at < 2000 && told_value == 0; at++)
		sleep_ms(1);
	CHECK_EQ(told_value, 55);
}

TEST(who_may)
{
	const char *name = new_name();
	mqd_t queue = open_queue(name, O_RDWR, 2);
	pid_t child;

	MUST(fchmod(queue, 0604));
	if (geteuid() != 0)
		_exit(0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK(mq_open(name, O_RDONLY) != -1);
		CHECK_ERRNO(mq_open(name, O_WRONLY), EACCES);
		CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, NULL), EACCES);
		CHECK_ERRNO(syscall(SYS_mq_unlink, name + 1), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(limits_of_an_ordinary_user)
{
	struct mq_attr many = {.mq_maxmsg = 11, .mq_msgsize = 1}, long_ones = {.mq_maxmsg = 1, .mq_msgsize = 8193};
	struct mq_attr ten = {.mq_maxmsg = 10, .mq_msgsize = 8192};
	const char *name = new_name();
	struct rlimit limit;
	mqd_t first;

	drop_root();
	MUST(getrlimit(RLIMIT_MSGQUEUE, &limit));
	limit.rlim_cur = 2 * 10 * (8192 + 96);
	MUST(setrlimit(RLIMIT_MSGQUEUE, &limit));
	CHECK_ERRNO(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &many), EINVAL);
	CHECK_ERRNO(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &long_ones), EINVAL);
	first = (mqd_t)MUST(mq_open(name, O_RDWR | O_CREAT, 0600, &ten));
	CHECK(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &ten) != -1);
	CHECK_ERRNO(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &ten), EMFILE);
	ten.mq_maxmsg = ten.mq_msgsize = 1;
	CHECK_ERRNO(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &ten), EMFILE);
	/* What has no name any more counts until it's closed. */
	CHECK_EQ(mq_unlink(name), 0);
	CHECK_ERRNO(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &ten), EMFILE);
	CHECK_EQ(mq_close(first), 0);
	CHECK(mq_open(new_name(), O_RDWR | O_CREAT, 0600, &ten) != -1);
}

/* The queues of a namespace go with it, and what they count for their user. */
TEST(the_end_of_a_namespace)
{
	struct rlimit limit;

	if (geteuid() != 0)
		return;
	MUST(getrlimit(RLIMIT_MSGQUEUE, &limit));
	for (rlim_t bytes = 0; bytes < 3 * limit.rlim_cur; bytes += 10 * 8192) {
		pid_t child = (pid_t)MUST(fork());
		int status = 0;

		if (child == 0) {
			struct mq_attr attributes = {.mq_maxmsg = 10, .mq_msgsize = 8192};
			mqd_t queue;

			MUST(unshare(CLONE_NEWIPC));
			/* They go a little later. */
			for (int tries = 0; tries < 1000; tries++) {
				queue = mq_open("/queue", O_CREAT | O_RDWR, 0600, &attributes);
				if (queue >= 0 || errno != EMFILE)
					break;
				usleep(1000);
			}
			_exit(queue < 0);
		}
		MUST(waitpid(child, &status, 0));
		CHECK_EQ(status, EXITED(0));
	}
}

TEST(the_file_system)
{
	const char *name = new_name(), *directory;
	mqd_t queue = open_queue(name, O_RDWR, 4);
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	char path[100], text[200], want[200];
	struct dirent *entry;
	struct stat status;
	DIR *listing;
	int fd, found = 0;

	if (geteuid() != 0)
		_exit(0);
	directory = enter_scratch();
	MUST(unshare(CLONE_FS));
	MUST(mount("mqueue", directory, "mqueue", 0, NULL));
	MUST(put(queue, "seven..", 0));
	MUST(mq_notify(queue, &event));
	snprintf(path, sizeof(path), "%s%s", directory, name);
	fd = (int)MUST(open(path, O_RDONLY));
	memset(text, 0, sizeof(text));
	snprintf(want, sizeof(want), "QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", 7, 0, SIGUSR2, getpid());
	CHECK_EQ(read(fd, text, sizeof(text)), (ssize_t)strlen(want));
	CHECK_STRING(text, want);
	CHECK_EQ(read(fd, text, sizeof(text)), 0);
	CHECK_STRING(receive(fd), "0:seven..");
	MUST(mq_notify(queue, NULL));
	snprintf(want, sizeof(want), "QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", 0, 0, 0, 0);
	memset(text, 0, sizeof(text));
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(read(fd, text, sizeof(text)), (ssize_t)strlen(want));
	CHECK_STRING(text, want);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 80);
	CHECK_EQ(stat(directory, &status), 0);
	CHECK_EQ(status.st_mode, S_IFDIR | 01777);
	CHECK_EQ(status.st_size % 20, 0);
	listing = opendir(directory);
	while ((entry = readdir(listing)) != NULL)
		found += strcmp(entry->d_name, name + 1) == 0;
	closedir(listing);
	CHECK_EQ(found, 1);
	CHECK_ERRNO(write(queue, "x", 1), EINVAL);
	snprintf(text, sizeof(text), "%s/other", directory);
	CHECK_ERRNO(rename(path, text), EPERM);
	CHECK_ERRNO(link(path, text), EPERM);
	CHECK_ERRNO(mkdir(text, 0700), EPERM);
	CHECK_EQ(unlink(path), 0);
	CHECK_ERRNO(mq_open(name, O_RDONLY), ENOENT);
	CHECK_EQ(close(open(path, O_CREAT | O_RDWR, 0600)), 0);
	fd = (int)MUST(mq_open(name, O_RDONLY));
	CHECK_EQ(attributes_of(fd).mq_maxmsg, 10);
	CHECK_EQ(unlink(path), 0);
	MUST(close(fd));
	MUST(chdir("/"));
	CHECK_EQ(umount2(directory, MNT_DETACH), 0);
}

TEST(the_file_system_of_a_namespace_that_has_ended)
{
	const char *directory;
	char path[100];

	if (geteuid() != 0)
		return;
	directory = enter_scratch();
	snprintf(path, sizeof(path), "%s/one", directory);
	if (fork() == 0) {
		MUST(unshare(CLONE_NEWIPC | CLONE_NEWNS));
		MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		MUST(mount("mqueue", directory, "mqueue", 0, NULL));
		CHECK_EQ(close(open(path, O_CREAT | O_EXCL | O_RDWR, 0600)), 0);
		MUST(unshare(CLONE_NEWIPC));
		CHECK_EQ(access(path, F_OK), 0);
		path[strlen(path) - 1] = 'x';
		CHECK_ERRNO(open(path, O_CREAT | O_RDWR, 0600), EACCES);
		CHECK_ERRNO(mknod(path, S_IFREG | 0600, 0), EACCES);
		path[strlen(path) - 1] = 'e';
		CHECK_EQ(unlink(path), 0);
		_exit(0);
	}
	wait(NULL);
}
