/* One process that makes system calls of all families, for strace to tell of. */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IGNORE(call) ((void)!(call))

static void handle(int signal)
{
	(void)signal;
}

static __attribute__((noinline)) void descend(int levels)
{
	if (levels > 0)
		descend(levels - 1);
	else
		getppid();
	__asm__ volatile("");
}

static void files(void)
{
	struct iovec parts[2] = {{"hello ", 6}, {"w\0rld\n", 6}};
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct stat status;
	char buffer[64];
	int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC), made;

	IGNORE(read(file, buffer, 20));
	fstat(file, &status);
	lseek(file, 0, SEEK_SET);
	IGNORE(pread(file, buffer, 10, 3));
	open("/nonexistent", O_RDWR | O_CREAT | O_EXCL | O_DIRECTORY, 0600);
	IGNORE(access("/etc", R_OK | X_OK));
	made = open("/tmp/made", O_RDWR | O_CREAT | O_TRUNC, 0644);
	IGNORE(writev(made, parts, 2));
	IGNORE(ftruncate(made, 100));
	stat("/tmp/made", &status);
	fcntl(made, F_GETFL);
	fcntl(made, F_DUPFD_CLOEXEC, 100);
	fcntl(made, F_SETLK, &lock);
	unlink("/tmp/made");
	close(-1);
	IGNORE(chdir("/tmp"));
	IGNORE(getcwd(buffer, sizeof(buffer)));
	umask(022);
}

static void descriptors(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	struct itimerspec soon = {.it_value = {0, 1000000}};
	struct pollfd entry = {.events = POLLIN | POLLOUT};
	uint64_t count = 5;
	sigset_t set;
	char buffer[16];
	int ends[2] = {-1, -1}, counter, timer, watch, instance;

	IGNORE(pipe2(ends, O_NONBLOCK));
	IGNORE(read(ends[0], buffer, 1));
	IGNORE(write(ends[1], "abc", 3));
	IGNORE(read(ends[0], buffer, 10));
	counter = eventfd(3, EFD_CLOEXEC);
	IGNORE(write(counter, &count, 8));
	IGNORE(read(counter, &count, 8));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	entry.fd = signalfd(-1, &set, SFD_NONBLOCK);
	IGNORE(read(entry.fd, buffer, 16));
	poll(&entry, 1, 5);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(timer, 0, &soon, NULL);
	IGNORE(read(timer, &count, 8));
	instance = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(instance, EPOLL_CTL_ADD, counter, &event);
	epoll_wait(instance, &event, 1, 0);
	watch = inotify_init1(IN_NONBLOCK);
	inotify_add_watch(watch, "/tmp", IN_CREATE | IN_DELETE);
}

static void sockets(void)
{
	struct sockaddr_in address = {AF_INET, htons(34567), {htonl(INADDR_LOOPBACK)}, {0}};
	struct sockaddr_un local = {AF_UNIX, "/tmp/local"};
	socklen_t length = sizeof(address);
	int on = 1, ends[2], control[6] = {0};
	struct iovec part = {"hello", 5};
	char space[CMSG_SPACE(8)], buffer[16];
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header;
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client, accepted, named;

	setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	bind(listening, (struct sockaddr *)&address, sizeof(address));
	listen(listening, 5);
	client = socket(AF_INET, SOCK_STREAM, 0);
	connect(client, (struct sockaddr *)&address, sizeof(address));
	accepted = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	send(client, "data", 4, MSG_NOSIGNAL);
	recv(accepted, buffer, 10, 0);
	getsockname(listening, (struct sockaddr *)&address, &length);
	shutdown(client, SHUT_RDWR);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
	memset(space, 0, sizeof(space));
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(8);
	memcpy(CMSG_DATA(header), ends, 8);
	sendmsg(ends[0], &message, 0);
	part.iov_base = buffer;
	message.msg_control = control;
	message.msg_controllen = sizeof(control);
	recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC);
	named = socket(AF_UNIX, SOCK_STREAM, 0);
	unlink("/tmp/local");
	bind(named, (struct sockaddr *)&local, sizeof(local));
	listen(named, 1);
}

static void process(void)
{
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
	struct timespec moment = {0, 1000000};
	struct sigevent event = {.sigev_notify = SIGEV_NONE};
	struct rlimit limit;
	timer_t timer;
	char *place;

	sigaction(SIGUSR1, &action, NULL);
	kill(getpid(), SIGUSR1);
	raise(SIGUSR1);
	place = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(place, 4096, PROT_READ);
	madvise(place, 4096, MADV_DONTNEED);
	munmap(place, 8192);
	getrlimit(RLIMIT_STACK, &limit);
	prctl(PR_SET_NAME, "renamed");
	prctl(PR_GET_DUMPABLE);
	nanosleep(&moment, NULL);
	clock_nanosleep(CLOCK_REALTIME, 0, &moment, NULL);
	timer_create(CLOCK_REALTIME, &event, &timer);
	timer_delete(timer);
	syscall(500, 1, 2, 3, 4, 5, 6);
	syscall(SYS_futex, &limit, 1, 1, NULL, NULL, 0);
	syscall(SYS_rseq, 0, 0, 0, 0);
	sched_yield();
	getuid();
	descend(2);
}

int main(void)
{
	files();
	descriptors();
	sockets();
	process();
	return 5;
}
