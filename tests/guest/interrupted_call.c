/* What a blocked call does when a handler has run, and when its process was stopped: signal(7), call by call. */
#include "pseudo_terminal.h"
#include "sysv.h"

#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

#define ROUNDS 3
#define LONG_S 1000

/* What becomes of the call: it goes on as if nothing had been, or fails with EINTR. */
enum outcome { GOES_ON, FAILS };

struct blocked_call {
	const char *name;
	void (*prepare)(void);
	/* In the child: -1 with errno, anything else is a success. */
	long (*call)(void);
	/* In the parent: what the call waits for comes to pass. NULL where only a signal ends it. */
	void (*satisfy)(void);
	enum outcome plainly;
	enum outcome with_sa_restart;
	enum outcome after_a_stop;
};

struct shared {
	volatile int is_done;
	volatile long result;
	volatile int error;
	volatile pid_t grandchild;
	int word;
	sem_t semaphore;
	pthread_mutex_t mutex;
	pthread_cond_t condition;
};

static struct shared *shared;
static int ends[2], fd = -1, other_fd = -1, epoll = -1;
static int sysv_id = -1;
static mqd_t queue = -1;
static pid_t caller;
static char block_of_bytes[65536];

static void do_nothing(int signal)
{
	(void)signal;
}

static struct timespec far_away(clockid_t clock)
{
	struct timespec time;

	MUST(clock_gettime(clock, &time));
	time.tv_sec += LONG_S;
	return time;
}

static void set_flag(int descriptor, int flag, int is_set)
{
	int flags = (int)MUST(fcntl(descriptor, F_GETFL));

	MUST(fcntl(descriptor, F_SETFL, is_set ? flags | flag : flags & ~flag));
}

/* Writes until nothing more goes in. */
static void fill(int descriptor)
{
	set_flag(descriptor, O_NONBLOCK, 1);
	while (write(descriptor, block_of_bytes, sizeof(block_of_bytes)) > 0)
		continue;
	set_flag(descriptor, O_NONBLOCK, 0);
}

static void drain(int descriptor)
{
	set_flag(descriptor, O_NONBLOCK, 1);
	while (read(descriptor, block_of_bytes, sizeof(block_of_bytes)) > 0)
		continue;
	set_flag(descriptor, O_NONBLOCK, 0);
}

/* Pipes */

static void empty_pipe(void)
{
	MUST(pipe(ends));
	fd = ends[0];
}

static void full_pipe(void)
{
	MUST(pipe(ends));
	fill(ends[1]);
}

static void write_to_pipe(void)
{
	write_all(ends[1], "x", 1);
}

static void drain_pipe(void)
{
	drain(ends[0]);
}

static long call_read(void)
{
	char bytes[256];

	return read(fd, bytes, sizeof(bytes));
}

static long call_readv(void)
{
	char bytes[8];
	struct iovec part = {bytes, sizeof(bytes)};

	return readv(fd, &part, 1);
}

static long call_write(void)
{
	return write(ends[1], block_of_bytes, 4096);
}

static long call_writev(void)
{
	struct iovec part = {block_of_bytes, 4096};

	return writev(ends[1], &part, 1);
}

static void two_pipes(void)
{
	int out[2];

	empty_pipe();
	MUST(pipe(out));
	other_fd = out[1];
}

static long call_splice(void)
{
	return splice(fd, NULL, other_fd, NULL, 100, 0);
}

static long call_tee(void)
{
	return tee(fd, other_fd, 100, 0);
}

static long call_vmsplice(void)
{
	struct iovec part = {block_of_bytes, 4096};

	return vmsplice(ends[1], &part, 1, 0);
}

static void fifo(void)
{
	(void)unlink("fifo");
	MUST(mkfifo("fifo", 0600));
}

static void open_fifo(void)
{
	MUST(open("fifo", O_RDWR));
}

static long call_open_to_read(void)
{
	return open("fifo", O_RDONLY);
}

static long call_open_to_write(void)
{
	return open("fifo", O_WRONLY);
}

/* Terminals */

static void terminal(void)
{
	open_terminal();
	fd = slave;
}

static void type_a_line(void)
{
	type("line\n");
}

static void raw_terminal(void)
{
	struct termios modes;

	terminal();
	MUST(tcgetattr(slave, &modes));
	cfmakeraw(&modes);
	MUST(tcsetattr(slave, TCSANOW, &modes));
}

static void terminal_that_stands_still(void)
{
	terminal();
	MUST(tcflow(slave, TCOOFF));
	ends[1] = slave;
}

static void start_output(void)
{
	MUST(tcflow(slave, TCOON));
}

/* Other descriptors */

static void inotify(void)
{
	(void)unlink("new");
	fd = (int)MUST(inotify_init1(0));
	MUST(inotify_add_watch(fd, ".", IN_CREATE));
}

static void create_file(void)
{
	write_file("new", "", 0600);
}

static void event(void)
{
	fd = ends[1] = (int)MUST(eventfd(0, 0));
}

static void add_event(void)
{
	MUST(eventfd_write(fd, 1));
}

static void full_event(void)
{
	event();
	MUST(eventfd_write(fd, UINT64_MAX - 1));
}

static void take_event(void)
{
	eventfd_t value;

	MUST(eventfd_read(fd, &value));
}

static long call_add_event(void)
{
	return eventfd_write(fd, 1);
}

static void signal_descriptor(void)
{
	sigset_t set = set_of(SIGUSR2);

	block(SIGUSR2);
	fd = (int)MUST(signalfd(-1, &set, 0));
}

static void send_second_signal(void)
{
	MUST(kill(caller, SIGUSR2));
}

static void timer(void)
{
	fd = (int)MUST(timerfd_create(CLOCK_MONOTONIC, 0));
}

static void set_timer(void)
{
	MUST(timerfd_settime(fd, 0, &(struct itimerspec){{0, 0}, {0, 1}}, NULL));
}

/* Children */

static void no_child_yet(void)
{
	shared->grandchild = 0;
}

static void kill_grandchild(void)
{
	while (shared->grandchild == 0)
		sleep_ms(1);
	MUST(kill(shared->grandchild, SIGKILL));
}

static void have_child(void)
{
	shared->grandchild = child_that_pauses();
}

static long call_wait4(void)
{
	have_child();
	return wait4(-1, NULL, 0, NULL);
}

static long call_waitid(void)
{
	siginfo_t info;

	have_child();
	return waitid(P_ALL, 0, &info, WEXITED);
}

/* Sockets */

static struct sockaddr_un socket_address = {AF_UNIX, "socket"};

static void sockets(void)
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	fd = ends[0];
}

static void set_timeout(int option)
{
	MUST(setsockopt(fd, SOL_SOCKET, option, &(struct timeval){LONG_S, 0}, sizeof(struct timeval)));
}

static void impatient_sockets(void)
{
	sockets();
	set_timeout(SO_RCVTIMEO);
}

static void full_sockets(void)
{
	sockets();
	fill(fd);
}

static void impatient_full_sockets(void)
{
	full_sockets();
	set_timeout(SO_SNDTIMEO);
}

static void drain_socket(void)
{
	drain(ends[1]);
}

static void listening(void)
{
	(void)unlink("socket");
	fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	MUST(bind(fd, (struct sockaddr *)&socket_address, sizeof(socket_address)));
	MUST(listen(fd, 0));
}

static void impatiently_listening(void)
{
	listening();
	set_timeout(SO_RCVTIMEO);
}

static void connect_to_it(void)
{
	int client = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));

	MUST(connect(client, (struct sockaddr *)&socket_address, sizeof(socket_address)));
}

static void listener_with_a_full_queue(void)
{
	listening();
	connect_to_it();
	other_fd = fd;
	fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void impatient_before_a_full_queue(void)
{
	listener_with_a_full_queue();
	set_timeout(SO_SNDTIMEO);
}

static void accept_one(void)
{
	MUST(accept(other_fd, NULL, NULL));
}

/* A socket of this kind at a port of the loopback's; `internet_address` is where. */
static struct sockaddr_in internet_address;

static int internet_socket(int type)
{
	int new = (int)MUST(socket(AF_INET, type, 0));
	socklen_t length = sizeof(internet_address);

	internet_address = (struct sockaddr_in){AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
	MUST(bind(new, (struct sockaddr *)&internet_address, length));
	MUST(getsockname(new, (struct sockaddr *)&internet_address, &length));
	return new;
}

static void listening_to_the_internet(void)
{
	fd = internet_socket(SOCK_STREAM);
	MUST(listen(fd, 5));
}

static void connect_through_the_internet(void)
{
	ends[1] = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(ends[1], (struct sockaddr *)&internet_address, sizeof(internet_address)));
}

static void internet_stream(void)
{
	listening_to_the_internet();
	connect_through_the_internet();
	fd = (int)MUST(accept(fd, NULL, NULL));
}

static void impatient_internet_stream(void)
{
	internet_stream();
	set_timeout(SO_RCVTIMEO);
}

static void datagrams(void)
{
	fd = internet_socket(SOCK_DGRAM);
}

static void send_datagram(void)
{
	MUST(sendto(fd, "x", 1, 0, (struct sockaddr *)&internet_address, sizeof(internet_address)));
}

static long call_accept(void)
{
	return accept(fd, NULL, NULL);
}

static long call_accept4(void)
{
	return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static long call_connect(void)
{
	return connect(fd, (struct sockaddr *)&socket_address, sizeof(socket_address));
}

static long call_recv(void)
{
	char byte;

	return recv(fd, &byte, 1, 0);
}

static long call_recvfrom(void)
{
	struct sockaddr_un from;
	socklen_t length = sizeof(from);
	char byte;

	return recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &length);
}

static char received;
static struct iovec received_part = {&received, 1}, sent_part = {block_of_bytes, 4096};

static long call_recvmsg(void)
{
	struct msghdr message = {.msg_iov = &received_part, .msg_iovlen = 1};

	return recvmsg(fd, &message, 0);
}

static long call_recvmmsg(void)
{
	struct mmsghdr message = {.msg_hdr = {.msg_iov = &received_part, .msg_iovlen = 1}};

	return recvmmsg(fd, &message, 1, 0, NULL);
}

static long call_recvmmsg_with_a_timeout(void)
{
	struct mmsghdr message = {.msg_hdr = {.msg_iov = &received_part, .msg_iovlen = 1}};
	struct timespec timeout = {LONG_S, 0};

	return recvmmsg(fd, &message, 1, 0, &timeout);
}

static long call_send(void)
{
	return send(fd, block_of_bytes, 4096, 0);
}

static long call_sendto(void)
{
	return sendto(fd, block_of_bytes, 4096, MSG_NOSIGNAL, NULL, 0);
}

static long call_sendmsg(void)
{
	struct msghdr message = {.msg_iov = &sent_part, .msg_iovlen = 1};

	return sendmsg(fd, &message, 0);
}

static long call_sendmmsg(void)
{
	struct mmsghdr message = {.msg_hdr = {.msg_iov = &sent_part, .msg_iovlen = 1}};

	return sendmmsg(fd, &message, 1, 0);
}

/* Locks */

static struct flock whole_file(short type)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

static void open_lock_file(void)
{
	(void)unlink("lock");
	write_file("lock", "", 0600);
	fd = (int)MUST(open("lock", O_RDWR));
	other_fd = (int)MUST(open("lock", O_RDWR));
}

static void locked_file(void)
{
	open_lock_file();
	MUST(flock(other_fd, LOCK_EX));
}

static void unlock_file(void)
{
	MUST(flock(other_fd, LOCK_UN));
}

static long call_flock(void)
{
	return flock(fd, LOCK_EX);
}

static void locked_record(void)
{
	struct flock lock = whole_file(F_WRLCK);

	open_lock_file();
	MUST(fcntl(other_fd, F_SETLK, &lock));
}

static void locked_description(void)
{
	struct flock lock = whole_file(F_WRLCK);

	open_lock_file();
	MUST(fcntl(other_fd, F_OFD_SETLK, &lock));
}

static void unlock_record(void)
{
	struct flock lock = whole_file(F_UNLCK);

	MUST(fcntl(other_fd, F_SETLK, &lock));
}

static void unlock_description(void)
{
	struct flock lock = whole_file(F_UNLCK);

	MUST(fcntl(other_fd, F_OFD_SETLK, &lock));
}

static long call_lock_record(void)
{
	struct flock lock = whole_file(F_WRLCK);

	return fcntl(fd, F_SETLKW, &lock);
}

static long call_lock_description(void)
{
	struct flock lock = whole_file(F_WRLCK);

	return fcntl(fd, F_OFD_SETLKW, &lock);
}

/* Message queues */

static void message_queue(void)
{
	struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
	char name[40];

	snprintf(name, sizeof(name), "/interrupted-%d", getpid());
	queue = (mqd_t)MUST(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
	MUST(mq_unlink(name));
}

static void full_message_queue(void)
{
	message_queue();
	MUST(mq_send(queue, "first", 5, 0));
}

static void send_message(void)
{
	MUST(mq_send(queue, "text", 4, 0));
}

static void receive_message(void)
{
	char text[8];

	MUST(mq_receive(queue, text, sizeof(text), NULL));
}

static long call_mq_receive(void)
{
	char text[8];

	return mq_receive(queue, text, sizeof(text), NULL);
}

static long call_mq_timedreceive(void)
{
	struct timespec end = far_away(CLOCK_REALTIME);
	char text[8];

	return mq_timedreceive(queue, text, sizeof(text), NULL, &end);
}

static long call_mq_send(void)
{
	return mq_send(queue, "second", 6, 0);
}

static long call_mq_timedsend(void)
{
	struct timespec end = far_away(CLOCK_REALTIME);

	return mq_timedsend(queue, "second", 6, 0, &end);
}

static void sysv_queue(void)
{
	sysv_id = remember(QUEUE, msgget(IPC_PRIVATE, 0600));
}

static struct {
	long type;
	char text[8000];
} sysv_message = {.type = 1};

static void send_sysv(void)
{
	MUST(msgsnd(sysv_id, &sysv_message, 1, 0));
}

static void full_sysv_queue(void)
{
	sysv_queue();
	while (msgsnd(sysv_id, &sysv_message, sizeof(sysv_message.text), IPC_NOWAIT) == 0)
		continue;
}

static void receive_sysv(void)
{
	MUST(msgrcv(sysv_id, &sysv_message, sizeof(sysv_message.text), 0, 0));
}

static long call_msgrcv(void)
{
	return msgrcv(sysv_id, &sysv_message, sizeof(sysv_message.text), 0, 0);
}

static long call_msgsnd(void)
{
	return msgsnd(sysv_id, &sysv_message, sizeof(sysv_message.text), 0);
}

static void semaphores(void)
{
	sysv_id = remember(SEMAPHORES, semget(IPC_PRIVATE, 1, 0600));
}

static void add_to_semaphore(void)
{
	MUST(semop(sysv_id, &(struct sembuf){0, 1, 0}, 1));
}

static long call_semop(void)
{
	return semop(sysv_id, &(struct sembuf){0, -1, 0}, 1);
}

static long call_semtimedop(void)
{
	return semtimedop(sysv_id, &(struct sembuf){0, -1, 0}, 1, &(struct timespec){LONG_S, 0});
}

/* Futexes, and what is made of them */

static long futex(int operation, int value, const struct timespec *timeout, int bits)
{
	return syscall(SYS_futex, &shared->word, operation, value, timeout, NULL, bits);
}

static void futex_word(void)
{
	shared->word = 0;
}

static void wake_word(void)
{
	while (MUST(futex(FUTEX_WAKE, 1, NULL, 0)) == 0 && !shared->is_done)
		sleep_ms(1);
}

static long call_futex_wait(void)
{
	return futex(FUTEX_WAIT, 0, NULL, 0);
}

static long call_futex_wait_with_a_timeout(void)
{
	return futex(FUTEX_WAIT, 0, &(struct timespec){LONG_S, 0}, 0);
}

static long call_futex_wait_bitset(void)
{
	return futex(FUTEX_WAIT_BITSET, 0, NULL, 1);
}

static long call_futex_wait_bitset_with_a_timeout(void)
{
	struct timespec end = far_away(CLOCK_MONOTONIC);

	return futex(FUTEX_WAIT_BITSET, 0, &end, 1);
}

static void own_word(void)
{
	shared->word = gettid();
}

static void disown_word(void)
{
	MUST(futex(FUTEX_UNLOCK_PI, 0, NULL, 0));
}

static long call_futex_lock_pi(void)
{
	return futex(FUTEX_LOCK_PI, 0, NULL, 0);
}

static void semaphore(void)
{
	MUST(sem_init(&shared->semaphore, 1, 0));
}

static void post_semaphore(void)
{
	MUST(sem_post(&shared->semaphore));
}

static long call_sem_wait(void)
{
	return sem_wait(&shared->semaphore);
}

static long call_sem_timedwait(void)
{
	struct timespec end = far_away(CLOCK_REALTIME);

	return sem_timedwait(&shared->semaphore, &end);
}

static void mutex(void)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->mutex, &attributes);
}

static void locked_mutex(void)
{
	mutex();
	pthread_mutex_lock(&shared->mutex);
}

static void unlock_mutex(void)
{
	pthread_mutex_unlock(&shared->mutex);
}

/* The result of a call that returns its error. */
static long as_call(int error)
{
	errno = error;
	return error == 0 ? 0 : -1;
}

static long call_mutex_lock(void)
{
	return as_call(pthread_mutex_lock(&shared->mutex));
}

static void condition(void)
{
	pthread_condattr_t attributes;

	mutex();
	pthread_condattr_init(&attributes);
	pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&shared->condition, &attributes);
}

static void signal_condition(void)
{
	while (!shared->is_done) {
		pthread_cond_broadcast(&shared->condition);
		sleep_ms(1);
	}
}

static long call_cond_wait(void)
{
	pthread_mutex_lock(&shared->mutex);
	return as_call(pthread_cond_wait(&shared->condition, &shared->mutex));
}

/* Waiting for descriptors, signals and time */

static void watched_pipe(void)
{
	struct epoll_event wanted = {.events = EPOLLIN};

	empty_pipe();
	epoll = (int)MUST(epoll_create1(0));
	MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted));
}

static struct epoll_event found;
static struct timespec long_time = {LONG_S, 0};

static long call_epoll_wait(void)
{
	return epoll_wait(epoll, &found, 1, -1);
}

static long call_epoll_pwait(void)
{
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(epoll, &found, 1, LONG_S * 1000, &none);
}

/* A request that waits until the pipe can be read. */
static unsigned long polling_context(void)
{
	struct iocb request = {.aio_fildes = (uint32_t)ends[0], .aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN};
	struct iocb *requests[] = {&request};
	unsigned long context = 0;

	MUST(syscall(SYS_io_setup, 1, &context));
	MUST(syscall(SYS_io_submit, context, 1, requests));
	return context;
}

static long call_io_getevents(void)
{
	struct io_event event;

	return syscall(SYS_io_getevents, polling_context(), 1, 1, &event, &long_time);
}

static long call_io_pgetevents(void)
{
	struct io_event event;

	return syscall(SYS_io_pgetevents, polling_context(), 1, 1, &event, &long_time, NULL);
}

static long call_epoll_pwait2(void)
{
	return syscall(SYS_epoll_pwait2, epoll, &found, 1, &long_time, NULL, 8);
}

static long call_poll(void)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN};

	return poll(&polled, 1, LONG_S * 1000);
}

static long call_ppoll(void)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN};

	return ppoll(&polled, 1, &long_time, NULL);
}

static fd_set readable;

static long call_select(void)
{
	FD_ZERO(&readable);
	FD_SET(fd, &readable);
	return select(fd + 1, &readable, NULL, NULL, &(struct timeval){LONG_S, 0});
}

static long call_pselect(void)
{
	FD_ZERO(&readable);
	FD_SET(fd, &readable);
	return pselect(fd + 1, &readable, NULL, NULL, &long_time, NULL);
}

static void nothing(void)
{
}

static long call_pause(void)
{
	return pause();
}

static long call_sigsuspend(void)
{
	sigset_t none;

	sigemptyset(&none);
	return sigsuspend(&none);
}

static void blocked_signal(void)
{
	block(SIGUSR2);
}

static long call_sigtimedwait(void)
{
	sigset_t wanted = set_of(SIGUSR2);

	return sigtimedwait(&wanted, NULL, &long_time);
}

static long call_sigwaitinfo(void)
{
	sigset_t wanted = set_of(SIGUSR2);

	return sigwaitinfo(&wanted, NULL);
}

static long call_nanosleep(void)
{
	return nanosleep(&long_time, NULL);
}

static long call_clock_nanosleep(void)
{
	return as_call(clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL));
}

static long call_clock_nanosleep_until_a_time(void)
{
	struct timespec end = far_away(CLOCK_REALTIME);

	return as_call(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &end, NULL));
}

static long call_usleep(void)
{
	return usleep(LONG_S * 1000000U);
}

/* In the child: makes the call and tells how it ended. */
static void make_call(const struct blocked_call *blocked)
{
	shared->result = blocked->call();
	shared->error = errno;
	shared->is_done = 1;
	_exit(0);
}

static void disturb(int with_stops)
{
	int status;

	if (shared->is_done)
		return;
	if (!with_stops) {
		MUST(kill(caller, SIGUSR1));
		return;
	}
	MUST(kill(caller, SIGSTOP));
	MUST(waitpid(caller, &status, WUNTRACED));
	if (WIFSTOPPED(status))
		MUST(kill(caller, SIGCONT));
	else
		caller = 0;
}

/* Makes the call in a child and disturbs it: as often as it takes where it should fail, a few times otherwise. */
static void check_call(const struct blocked_call *blocked, const char *how, int flags, int with_stops, enum outcome want)
{
	char text[200];
	int is_blocked;

	shared->is_done = 0;
	handle(SIGUSR1, do_nothing, flags);
	blocked->prepare();
	caller = (pid_t)MUST(fork());
	if (caller == 0)
		make_call(blocked);
	for (int round = 0; caller != 0 && (round < ROUNDS || (want == FAILS && !shared->is_done && round < 1000)); round++) {
		sleep_ms(round == 0 ? 5 : 2);
		disturb(with_stops);
	}
	for (int ms = 0; ms < 8 && !shared->is_done; ms++)
		sleep_ms(1);
	is_blocked = !shared->is_done;
	if (is_blocked && blocked->satisfy != NULL)
		blocked->satisfy();
	/* More than once: it may not have been in the call yet. */
	while (is_blocked && blocked->satisfy == NULL && !shared->is_done) {
		MUST(kill(caller, SIGUSR1));
		sleep_ms(2);
	}
	if (caller != 0)
		wait_for(caller);
	snprintf(text, sizeof(text), "%s %s %s", blocked->name, want == FAILS ? "fails with EINTR" : "goes on", how);
	if (want == FAILS)
		check_report(!is_blocked && shared->result == -1 && shared->error == EINTR, __FILE_NAME__, __LINE__, text,
			     "got %ld with %s%s", shared->result, check_errno_name(shared->error),
			     is_blocked ? ", having gone on" : "");
	else
		check_report(is_blocked && (blocked->satisfy == NULL || shared->result >= 0), __FILE_NAME__, __LINE__, text,
			     "got %ld with %s%s", shared->result, check_errno_name(shared->error),
			     is_blocked ? "" : ", having ended");
}

static void check_calls(const struct blocked_call *calls, size_t length)
{
	shared = (struct shared *)make_shared_page();
	enter_scratch();
	for (size_t at = 0; at < length; at++) {
		check_call(&calls[at], "after a handler", 0, 0, calls[at].plainly);
		check_call(&calls[at], "after a handler with SA_RESTART", SA_RESTART, 0, calls[at].with_sa_restart);
		check_call(&calls[at], "after a stop", 0, 1, calls[at].after_a_stop);
	}
}

#define RESTARTED FAILS, GOES_ON, GOES_ON
#define NEVER_RESTARTED FAILS, FAILS, GOES_ON
#define NEVER_RESTARTED_NOR_AFTER_A_STOP FAILS, FAILS, FAILS
#define ALWAYS_RESTARTED GOES_ON, GOES_ON, GOES_ON

TEST(slow_devices)
{
	static const struct blocked_call calls[] = {
		{"read of a pipe", empty_pipe, call_read, write_to_pipe, RESTARTED},
		{"readv of a pipe", empty_pipe, call_readv, write_to_pipe, RESTARTED},
		{"write to a pipe", full_pipe, call_write, drain_pipe, RESTARTED},
		{"writev to a pipe", full_pipe, call_writev, drain_pipe, RESTARTED},
		{"read of a socket", sockets, call_read, write_to_pipe, RESTARTED},
		{"write to a socket", full_sockets, call_send, drain_socket, RESTARTED},
		{"read of a terminal's line", terminal, call_read, type_a_line, RESTARTED},
		{"read of a raw terminal", raw_terminal, call_read, type_a_line, RESTARTED},
		{"write to a terminal", terminal_that_stands_still, call_write, start_output, RESTARTED},
		{"read of an inotify descriptor", inotify, call_read, create_file, RESTARTED},
		{"read of an eventfd", event, call_read, add_event, RESTARTED},
		{"write to an eventfd", full_event, call_add_event, take_event, RESTARTED},
		{"read of a signalfd", signal_descriptor, call_read, send_second_signal, RESTARTED},
		{"read of a timerfd", timer, call_read, set_timer, RESTARTED},
		{"splice", two_pipes, call_splice, write_to_pipe, RESTARTED},
		{"tee", two_pipes, call_tee, write_to_pipe, RESTARTED},
		{"vmsplice", full_pipe, call_vmsplice, drain_pipe, RESTARTED},
		{"opening a FIFO to read", fifo, call_open_to_read, open_fifo, RESTARTED},
		{"opening a FIFO to write", fifo, call_open_to_write, open_fifo, RESTARTED},
	};

	check_calls(calls, LENGTH(calls));
}

TEST(children)
{
	static const struct blocked_call calls[] = {
		{"wait4", no_child_yet, call_wait4, kill_grandchild, RESTARTED},
		{"waitid", no_child_yet, call_waitid, kill_grandchild, RESTARTED},
	};

	check_calls(calls, LENGTH(calls));
}

TEST(socket_calls)
{
	static const struct blocked_call calls[] = {
		{"accept", listening, call_accept, connect_to_it, RESTARTED},
		{"accept4", listening, call_accept4, connect_to_it, RESTARTED},
		{"connect", listener_with_a_full_queue, call_connect, accept_one, RESTARTED},
		{"recv", sockets, call_recv, write_to_pipe, RESTARTED},
		{"recvfrom", sockets, call_recvfrom, write_to_pipe, RESTARTED},
		{"recvmsg", sockets, call_recvmsg, write_to_pipe, RESTARTED},
		{"recvmmsg", sockets, call_recvmmsg, write_to_pipe, RESTARTED},
		{"send", full_sockets, call_send, drain_socket, RESTARTED},
		{"sendto", full_sockets, call_sendto, drain_socket, RESTARTED},
		{"sendmsg", full_sockets, call_sendmsg, drain_socket, RESTARTED},
		{"sendmmsg", full_sockets, call_sendmmsg, drain_socket, RESTARTED},
		{"accept of TCP", listening_to_the_internet, call_accept, connect_through_the_internet, RESTARTED},
		{"recv of TCP", internet_stream, call_recv, write_to_pipe, RESTARTED},
		{"recvmsg of TCP", internet_stream, call_recvmsg, write_to_pipe, RESTARTED},
		{"recvfrom of UDP", datagrams, call_recv, send_datagram, RESTARTED},
	};

	check_calls(calls, LENGTH(calls));
}

TEST(socket_calls_with_a_timeout)
{
	static const struct blocked_call calls[] = {
		{"accept with SO_RCVTIMEO", impatiently_listening, call_accept, connect_to_it,
		 NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"recv with SO_RCVTIMEO", impatient_sockets, call_recv, write_to_pipe, NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"read with SO_RCVTIMEO", impatient_sockets, call_read, write_to_pipe, NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"recvfrom with SO_RCVTIMEO", impatient_sockets, call_recvfrom, write_to_pipe,
		 NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"recvmsg with SO_RCVTIMEO", impatient_sockets, call_recvmsg, write_to_pipe,
		 NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"recvmmsg with SO_RCVTIMEO", impatient_sockets, call_recvmmsg, write_to_pipe,
		 NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"recv of TCP with SO_RCVTIMEO", impatient_internet_stream, call_recv, write_to_pipe,
		 NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"recvmmsg with a timeout", sockets, call_recvmmsg_with_a_timeout, write_to_pipe, RESTARTED},
		{"connect with SO_SNDTIMEO", impatient_before_a_full_queue, call_connect, accept_one,
		 NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"send with SO_SNDTIMEO", impatient_full_sockets, call_send, drain_socket,
		 NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"sendto with SO_SNDTIMEO", impatient_full_sockets, call_sendto, drain_socket,
		 NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"sendmsg with SO_SNDTIMEO", impatient_full_sockets, call_sendmsg, drain_socket,
		 NEVER_RESTARTED_NOR_AFTER_A_STOP},
	};

	check_calls(calls, LENGTH(calls));
}

TEST(locks)
{
	static const struct blocked_call calls[] = {
		{"flock", locked_file, call_flock, unlock_file, RESTARTED},
		{"F_SETLKW", locked_record, call_lock_record, unlock_record, RESTARTED},
		{"F_OFD_SETLKW", locked_description, call_lock_description, unlock_description, RESTARTED},
	};

	check_calls(calls, LENGTH(calls));
}

TEST(queues_and_semaphores)
{
	static const struct blocked_call calls[] = {
		{"mq_receive", message_queue, call_mq_receive, send_message, RESTARTED},
		{"mq_timedreceive", message_queue, call_mq_timedreceive, send_message, RESTARTED},
		{"mq_send", full_message_queue, call_mq_send, receive_message, RESTARTED},
		{"mq_timedsend", full_message_queue, call_mq_timedsend, receive_message, RESTARTED},
		{"msgrcv", sysv_queue, call_msgrcv, send_sysv, NEVER_RESTARTED},
		{"msgsnd", full_sysv_queue, call_msgsnd, receive_sysv, NEVER_RESTARTED},
		{"semop", semaphores, call_semop, add_to_semaphore, NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"semtimedop", semaphores, call_semtimedop, add_to_semaphore, NEVER_RESTARTED_NOR_AFTER_A_STOP},
	};

	check_calls(calls, LENGTH(calls));
}

TEST(futexes)
{
	static const struct blocked_call calls[] = {
		{"FUTEX_WAIT", futex_word, call_futex_wait, wake_word, RESTARTED},
		{"FUTEX_WAIT with a timeout", futex_word, call_futex_wait_with_a_timeout, wake_word, NEVER_RESTARTED},
		{"FUTEX_WAIT_BITSET", futex_word, call_futex_wait_bitset, wake_word, RESTARTED},
		{"FUTEX_WAIT_BITSET with a timeout", futex_word, call_futex_wait_bitset_with_a_timeout, wake_word,
		 NEVER_RESTARTED},
		{"FUTEX_LOCK_PI", own_word, call_futex_lock_pi, disown_word, ALWAYS_RESTARTED},
		{"sem_wait", semaphore, call_sem_wait, post_semaphore, RESTARTED},
		{"sem_timedwait", semaphore, call_sem_timedwait, post_semaphore, NEVER_RESTARTED},
		{"pthread_mutex_lock", locked_mutex, call_mutex_lock, unlock_mutex, ALWAYS_RESTARTED},
		{"pthread_cond_wait", condition, call_cond_wait, signal_condition, ALWAYS_RESTARTED},
	};

	check_calls(calls, LENGTH(calls));
}

TEST(multiplexing)
{
	static const struct blocked_call calls[] = {
		{"epoll_wait", watched_pipe, call_epoll_wait, write_to_pipe, NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"epoll_pwait", watched_pipe, call_epoll_pwait, write_to_pipe, NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"epoll_pwait2", watched_pipe, call_epoll_pwait2, write_to_pipe, NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"io_getevents", empty_pipe, call_io_getevents, write_to_pipe, NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"io_pgetevents", empty_pipe, call_io_pgetevents, write_to_pipe, NEVER_RESTARTED},
		{"poll", empty_pipe, call_poll, write_to_pipe, NEVER_RESTARTED},
		{"ppoll", empty_pipe, call_ppoll, write_to_pipe, NEVER_RESTARTED},
		{"select", empty_pipe, call_select, write_to_pipe, NEVER_RESTARTED},
		{"pselect", empty_pipe, call_pselect, write_to_pipe, NEVER_RESTARTED},
	};

	check_calls(calls, LENGTH(calls));
}

TEST(signals_and_time)
{
	static const struct blocked_call calls[] = {
		{"pause", nothing, call_pause, NULL, NEVER_RESTARTED},
		{"sigsuspend", nothing, call_sigsuspend, NULL, NEVER_RESTARTED},
		{"sigtimedwait", blocked_signal, call_sigtimedwait, send_second_signal, NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"sigwaitinfo", blocked_signal, call_sigwaitinfo, send_second_signal, NEVER_RESTARTED_NOR_AFTER_A_STOP},
		{"nanosleep", nothing, call_nanosleep, NULL, NEVER_RESTARTED},
		{"clock_nanosleep", nothing, call_clock_nanosleep, NULL, NEVER_RESTARTED},
		{"clock_nanosleep until a time", nothing, call_clock_nanosleep_until_a_time, NULL, NEVER_RESTARTED},
		{"usleep", nothing, call_usleep, NULL, NEVER_RESTARTED},
	};

	check_calls(calls, LENGTH(calls));
}

TEST(sleep_tells_what_is_left)
{
	unsigned left;

	handle(SIGALRM, do_nothing, SA_RESTART);
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 10000}}, NULL));
	left = sleep(LONG_S);
	CHECK(left == LONG_S || left == LONG_S - 1);
}

TEST(many_random_bytes)
{
	enum { SIZE = 8 << 20 };
	unsigned char *bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t count;

	CHECK(bytes != MAP_FAILED);
	CHECK(syscall(SYS_getrandom, bytes, SIZE, 0) == SIZE);
	handle(SIGALRM, do_nothing, SA_RESTART);
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 2000}, {0, 2000}}, NULL));
	/* Handlers end it where it is, at the end of a page. */
	do
		count = syscall(SYS_getrandom, bytes, SIZE, 0);
	while (count == SIZE);
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL));
	CHECK(count > 0 && count < SIZE);
	CHECK(((uintptr_t)bytes + count) % 4096 == 0);
}
