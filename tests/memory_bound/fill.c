/* Fills a machine with one kind of kernel object, until there is no more or COUNT have been made. */
#include "fill.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <linux/if_ether.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>


static int pair(int type, int domain, int ends[2]) { return socketpair(domain, type, 0, ends); }

static int step_sockets(void) { return socket(AF_UNIX, SOCK_DGRAM, 0); }
static int step_tcp(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static int step_udp(void) { return socket(AF_INET, SOCK_DGRAM, 0); }

/* 64 KiB each way of every pair. */
static int step_stream_buffers(void)
{
	int ends[2];
	if (pair(SOCK_STREAM, AF_UNIX, ends) < 0)
		return -1;
	int first = send(ends[0], data, 65536, MSG_DONTWAIT) < 0;
	int second = send(ends[1], data, 65536, MSG_DONTWAIT) < 0;
	return first && second ? -1 : 0;
}

/* One datagram of 256 MiB, or what there is, in each pair. */
static int step_forced_buffers(void)
{
	static char *large;
	int ends[2], room = 1 << 30;
	if (large == NULL)
		large = mmap(NULL, 256 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pair(SOCK_DGRAM, AF_UNIX, ends) < 0)
		return -1;
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	for (long size = 256 << 20; size >= 4096; size >>= 1)
		if (send(ends[0], large, size, MSG_DONTWAIT) >= 0)
			return 0;
	return -1;
}

static int step_small_datagrams(void)
{
	static int ends[2];
	if (number % 10 == 0) {
		int room = 1 << 30;
		if (pair(SOCK_DGRAM, AF_UNIX, ends) < 0)
			return -1;
		setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	}
	return send(ends[0], "x", 1, MSG_DONTWAIT) == 1 ? 0 : -1;
}

static int step_udp_datagrams(void)
{
	static int sender = -1, receiver;
	static struct sockaddr_in to;
	socklen_t size = sizeof to;
	if (number % 64 == 0) {
		int room = 1 << 30;
		if (sender < 0)
			sender = socket(AF_INET, SOCK_DGRAM, 0);
		receiver = socket(AF_INET, SOCK_DGRAM, 0);
		if (receiver < 0)
			return -1;
		setsockopt(receiver, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
		to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
		bind(receiver, (struct sockaddr *)&to, sizeof to);
		getsockname(receiver, (struct sockaddr *)&to, &size);
	}
	return sendto(sender, data, 60000, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to) < 0 ? -1 : 0;
}

static int step_tcp_buffers(void)
{
	static int listener = -1;
	static struct sockaddr_in to;
	socklen_t size = sizeof to;
	if (listener < 0) {
		listener = socket(AF_INET, SOCK_STREAM, 0);
		to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
		bind(listener, (struct sockaddr *)&to, sizeof to);
		getsockname(listener, (struct sockaddr *)&to, &size);
		listen(listener, 16);
	}
	int client = socket(AF_INET, SOCK_STREAM, 0);
	if (client < 0 || connect(client, (struct sockaddr *)&to, sizeof to) < 0)
		return -1;
	int server = accept(listener, NULL, NULL);
	if (server < 0)
		return -1;
	return send(client, data, 65536, MSG_DONTWAIT) < 0 && send(server, data, 65536, MSG_DONTWAIT) < 0 ? -1 : 0;
}

/* Connections that nobody accepts, whose other ends are closed. */
static int step_orphans(void)
{
	static int listener = -1;
	static struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0orphans"};
	if (listener < 0) {
		listener = socket(AF_UNIX, SOCK_STREAM, 0);
		bind(listener, (struct sockaddr *)&to, sizeof to);
		int maximum = open("/proc/sys/net/core/somaxconn", O_WRONLY);
		if (maximum >= 0 && write(maximum, "1000000", 7) != 7)
			perror("somaxconn");
		listen(listener, 1000000);
	}
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (client < 0)
		return -1;
	int result = connect(client, (struct sockaddr *)&to, sizeof to);
	if (result == 0 && send(client, data, 65536, MSG_DONTWAIT) < 0)
		result = -1;
	close(client);
	return result;
}

static int step_pipes(void)
{
	int ends[2];
	if (pipe2(ends, O_NONBLOCK) < 0)
		return -1;
	return write(ends[1], data, 65536) < 0 ? -1 : 0;
}

static int step_large_pipes(void)
{
	int ends[2];
	if (pipe2(ends, O_NONBLOCK) < 0)
		return -1;
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	return write(ends[1], data, 1 << 20) < 0 ? -1 : 0;
}

static int step_packet_pipes(void)
{
	static int ends[2];
	if (number % 16 == 0 && pipe2(ends, O_NONBLOCK | O_DIRECT) < 0)
		return -1;
	return write(ends[1], "x", 1) < 0 ? -1 : 0;
}

static int step_signals(void)
{
	if (number == 0) {
		sigset_t all;
		struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
		setrlimit(RLIMIT_SIGPENDING, &none);
	}
	union sigval value = {.sival_int = number};
	return sigqueue(getpid(), SIGRTMIN + 1, value);
}

static int step_timers(void)
{
	timer_t timer;
	if (number == 0) {
		struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
		setrlimit(RLIMIT_SIGPENDING, &none);
	}
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
	if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) < 0)
		return -1;
	struct itimerspec setting = {.it_value = {1000000, 0}};
	return syscall(SYS_timer_settime, (long)*(int *)&timer, 0, &setting, NULL);
}

/* Where the areas are: each apart from the others. */
static int map_area(long place)
{
	char *address = (char *)0x10000000000 + place * 8192;
	return mmap(address, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
		MAP_FAILED ? -1 : 0;
}

/* 60,000 areas in each of many address spaces. */
static int step_areas(void)
{
	if (number % 60000 == 0 && number) {
		pid_t child = fork();
		if (child < 0) {
			number--;
			return -1;
		}
		if (child > 0)
			for (;;)
				pause();
		munmap((char *)0x10000000000, 1L << 40);
	}
	return map_area(number % 60000);
}

/* As many as there is room for in one address space: the machine's root says how many there may be. */
static int step_many_areas(void)
{
	if (number == 0) {
		int maximum = open("/proc/sys/vm/max_map_count", O_WRONLY);
		if (maximum >= 0 && write(maximum, "2147483647", 10) != 10)
			perror("max_map_count");
	}
	return map_area(number);
}

/* Copies of 30,000 areas in many forked address spaces. */
static int step_forked_areas(void)
{
	if (number == 0)
		for (int i = 0; i < 30000; i++)
			map_area(i);
	int ends[2];
	char answer = 'n';
	if (pipe(ends) < 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		answer = map_area(30001) < 0 ? 'n' : 'y';
		if (write(ends[1], &answer, 1) != 1 || answer == 'n')
			_exit(1);
		close(ends[0]), close(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (child < 0 || read(ends[0], &answer, 1) != 1)
		answer = 'n';
	close(ends[0]);
	return answer == 'y' ? 0 : -1;
}

static int step_tasks(void)
{
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	return child < 0 ? -1 : 0;
}

static int step_zombies(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	return child < 0 ? -1 : 0;
}

/* Threads that have no stack and need none: a stack that all share would be written while another starts on it. */
static int step_threads(void)
{
	long result = SYS_clone;
	__asm__ volatile(
		"xor %%edx, %%edx\n\t"
		"xor %%r10d, %%r10d\n\t"
		"xor %%r8d, %%r8d\n\t"
		"syscall\n\t"
		"test %%rax, %%rax\n\t"
		"jnz 2f\n"
		"1:\t"
		"mov %[pause], %%eax\n\t"
		"syscall\n\t"
		"jmp 1b\n"
		"2:"
		: "+a"(result)
		: "D"(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM), "S"(0L),
		  [pause] "i"(SYS_pause)
		: "rcx", "rdx", "r8", "r10", "r11", "cc", "memory");
	if (result >= 0)
		return 0;
	errno = -result;
	return -1;
}

static int step_groups(void)
{
	static gid_t groups[65536];
	int ends[2];
	char answer = 'n';
	if (pipe(ends) < 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < 65536; i++)
			groups[i] = i * 31 + number * 65536 + 1;
		answer = setgroups(65536, groups) < 0 ? 'n' : 'y';
		/* The groups are the host's, but not these pages. */
		madvise(groups, sizeof groups, MADV_DONTNEED);
		if (write(ends[1], &answer, 1) != 1 || answer == 'n')
			_exit(1);
		close(ends[0]), close(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (child < 0 || read(ends[0], &answer, 1) != 1)
		answer = 'n';
	close(ends[0]);
	return answer == 'y' ? 0 : -1;
}

static int step_binfmt(void)
{
	static int control = -1;
	static char text[2048];
	if (control < 0) {
		mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc", 0, NULL);
		control = open("/proc/sys/fs/binfmt_misc/register", O_WRONLY);
	}
	int size = snprintf(text, sizeof text, ":entry%ld-%0200d:E::ext%ld::/bin/%0200d:", number, 0, number, 1);
	return write(control, text, size) < 0 ? -1 : 0;
}

static int step_files(void)
{
	static int directory = -1;
	char name[256];
	if (directory < 0)
		directory = open("/dev/shm", O_DIRECTORY);
	snprintf(name, sizeof name, "%0200ld", number);
	return mknodat(directory, name, S_IFREG | 0600, 0);
}

static int step_directories(void)
{
	char name[256];
	snprintf(name, sizeof name, "/dev/shm/%0200ld", number);
	return mkdir(name, 0700);
}

static int step_links(void)
{
	char name[64];
	static char target[4096];
	if (number == 0)
		memset(target, 'x', 4000);
	snprintf(name, sizeof name, "/dev/shm/%ld", number);
	return symlink(target, name);
}

static int step_names(void)
{
	char name[256];
	if (number == 0)
		close(creat("/dev/shm/first", 0600));
	snprintf(name, sizeof name, "/dev/shm/%0200ld", number);
	return link("/dev/shm/first", name);
}

static int step_attributes(void)
{
	char name[64];
	if (number == 0)
		close(creat("/dev/shm/first", 0600));
	snprintf(name, sizeof name, "/dev/shm/%ld", number);
	close(creat(name, 0600));
	return setxattr(name, "trusted.value", data, 60000, 0);
}

static int step_overlay_files(void)
{
	char name[256];
	snprintf(name, sizeof name, "/tmp/%0200ld", number);
	return mknod(name, S_IFREG | 0600, 0);
}

static int step_open_files(void) { return open("/dev/null", O_RDONLY); }
static int step_eventfds(void) { return eventfd(0, 0); }
static int step_timerfds(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec setting = {.it_value = {1000000, 0}};
	return fd < 0 ? -1 : timerfd_settime(fd, 0, &setting, NULL);
}
static int step_memfds(void) { return memfd_create("name", 0); }
static int step_terminals(void) { return open("/dev/ptmx", O_RDWR | O_NOCTTY); }
static int step_signalfds(void)
{
	sigset_t set;
	sigemptyset(&set);
	return (int)syscall(SYS_signalfd4, -1, &set, 8, 0);
}

static int step_epolls(void) { return epoll_create1(0); }

static int step_epoll_items(void)
{
	static int pool, fds[4096], count;
	if (count == 0) {
		for (count = 0; count < 512; count++)
			fds[count] = eventfd(0, 0);
	}
	if (number % count == 0 && (pool = epoll_create1(0)) < 0)
		return -1;
	struct epoll_event event = {.events = EPOLLIN};
	return epoll_ctl(pool, EPOLL_CTL_ADD, fds[number % count], &event);
}

static int step_watches(void)
{
	static int instance;
	char name[64];
	if (number == 0) {
		int maximum = open("/proc/sys/fs/inotify/max_user_watches", O_WRONLY);
		if (maximum >= 0 && write(maximum, "100000000", 9) != 9)
			perror("max_user_watches");
		for (int i = 0; i < 512; i++) {
			snprintf(name, sizeof name, "/dev/shm/%d", i);
			close(creat(name, 0600));
		}
	}
	if (number % 512 == 0) {
		int maximum = open("/proc/sys/fs/inotify/max_user_instances", O_WRONLY);
		if (maximum >= 0 && write(maximum, "1000000", 7) != 7)
			perror("max_user_instances");
		close(maximum);
		instance = inotify_init1(IN_NONBLOCK);
	}
	if (instance < 0)
		return -1;
	snprintf(name, sizeof name, "/dev/shm/%ld", number % 512);
	return inotify_add_watch(instance, name, IN_ALL_EVENTS) < 0 ? -1 : 0;
}

/* Events of many instances that nobody reads. */
static int step_watch_events(void)
{
	char name[256];
	if (number == 0) {
		int maximum = open("/proc/sys/fs/inotify/max_queued_events", O_WRONLY);
		if (maximum >= 0 && write(maximum, "100000000", 9) != 9)
			perror("max_queued_events");
		maximum = open("/proc/sys/fs/inotify/max_user_instances", O_WRONLY);
		if (maximum >= 0 && write(maximum, "1000000", 7) != 7)
			perror("max_user_instances");
		for (int i = 0; i < 64; i++)
			inotify_add_watch(inotify_init1(IN_NONBLOCK), "/dev/shm", IN_CREATE | IN_DELETE);
	}
	snprintf(name, sizeof name, "/dev/shm/%0200ld", number);
	int result = mknod(name, S_IFREG | 0600, 0);
	unlink(name);
	return result;
}

static int step_locks(void)
{
	static int file = -1;
	if (file < 0)
		file = open("/dev/shm/locked", O_CREAT | O_RDWR, 0600);
	struct flock lock = {.l_type = number & 1 ? F_RDLCK : F_WRLCK, .l_start = number * 2, .l_len = 1};
	return fcntl(file, F_SETLK, &lock);
}

static int step_mounts(void)
{
	if (number == 0)
		mkdir("/dev/shm/point", 0700);
	return mount("/dev/shm/point", "/dev/shm/point", NULL, MS_BIND, NULL);
}

static int step_tmpfs_mounts(void)
{
	if (number == 0)
		mkdir("/dev/shm/point", 0700);
	return mount("none", "/dev/shm/point", "tmpfs", 0, NULL);
}

static void raise_limit(const char *path, const char *value)
{
	int file = open(path, O_WRONLY);
	if (file < 0 || write(file, value, strlen(value)) < 0)
		perror(path);
	close(file);
}

static int step_messages(void)
{
	static int queue = -1;
	static struct {
		long type;
		char text[8192];
	} message = {.type = 1};
	if (number == 0) {
		raise_limit("/proc/sys/kernel/msgmnb", "1000000000");
		raise_limit("/proc/sys/kernel/msgmni", "32000");
	}
	if (queue < 0)
		queue = msgget(IPC_PRIVATE, 0600);
	if (msgsnd(queue, &message, 8192, IPC_NOWAIT) == 0)
		return 0;
	queue = -1;
	return -1;
}

static int step_empty_messages(void)
{
	static int queue = -1;
	static struct {
		long type;
		char text[8];
	} message = {.type = 1};
	if (number == 0) {
		raise_limit("/proc/sys/kernel/msgmnb", "1000000000");
		raise_limit("/proc/sys/kernel/msgmni", "32000");
	}
	if (queue < 0)
		queue = msgget(IPC_PRIVATE, 0600);
	if (msgsnd(queue, &message, 0, IPC_NOWAIT) == 0)
		return 0;
	queue = -1;
	return -1;
}

static int step_semaphores(void) { return semget(IPC_PRIVATE, 32000, 0600); }
static int step_undo(void)
{
	static int set = -1;
	if (set < 0)
		set = semget(IPC_PRIVATE, 32000, 0600);
	pid_t child = fork();
	if (child < 0)
		return -1;
	if (child == 0) {
		struct sembuf up = {31999, 1, SEM_UNDO};
		semop(set, &up, 1);
		for (;;)
			pause();
	}
	return 0;
}
static int step_segments(void)
{
	int segment = shmget(IPC_PRIVATE, 4096, 0600);
	return segment;
}

static int step_posix_queues(void)
{
	static mqd_t queue;
	char name[64];
	if (number == 0) {
		struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
		setrlimit(RLIMIT_MSGQUEUE, &none);
	}
	if (number % 1000 == 0) {
		struct mq_attr attributes = {.mq_maxmsg = 1000, .mq_msgsize = 8192};
		snprintf(name, sizeof name, "/queue%ld", number);
		queue = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attributes);
	}
	if (queue < 0)
		return -1;
	return mq_send(queue, data, 8192, 0);
}

/* What a call gathers from memory before it goes anywhere. */
static int step_temporary(void)
{
	static struct iovec vector[1024];
	static int ends[2];
	if (number == 0) {
		char *place = mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; i < 1024; i++)
			vector[i] = (struct iovec){place, 2 << 20};
		int room = 1 << 30;
		pair(SOCK_STREAM | SOCK_NONBLOCK, AF_UNIX, ends);
		setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	}
	struct msghdr message = {.msg_iov = vector, .msg_iovlen = 1024};
	switch (number) {
	case 0: return sendmsg(ends[0], &message, MSG_DONTWAIT) < 0 ? -1 : 0;
	case 1: return writev(ends[0], vector, 1024) < 0 ? -1 : 0;
	case 2: return writev(open("/dev/null", O_WRONLY), vector, 1024) < 0 ? -1 : 0;
	case 3: {
		int file = open("/dev/shm/file", O_CREAT | O_RDWR, 0600);
		return writev(file, vector, 1024) < 0 ? -1 : 0;
	}
	case 4: return readv(open("/dev/zero", O_RDONLY), vector, 1024) < 0 ? -1 : 0;
	case 5: return write(open("/dev/null", O_WRONLY), vector[0].iov_base, 0x7ffff000) < 0 ? -1 : 0;
	case 6: return process_vm_readv(getpid(), vector, 1024, vector, 1024, 0) < 0 ? -1 : 0;
	case 7: {
		/* Never written, so that reading it takes no frames. */
		char *large = mmap(NULL, 1L << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		return write(open("/dev/null", O_WRONLY), large, 1L << 30) < 0 ? -1 : 0;
	}
	}
	errno = 0;
	return -1;
}

static int step_unknown_calls(void)
{
	syscall(1000 + number);
	syscall(0x7fff000000000000 - number);
	return 0;
}

static int step_pages(void)
{
	char *page = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -1;
	for (long i = 0; i < 1 << 20; i += 4096)
		page[i] = 1;
	return 0;
}

static int step_page_tables(void)
{
	char *page = mmap((char *)0x100000000 + (number << 30), 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (page == MAP_FAILED)
		return -1;
	*page = 1;
	return 0;
}

static int step_descriptors(void)
{
	/* Tables of many descriptors, in many processes. */
	if (number == 0)
		for (int i = 0; i < 60000; i++)
			dup(0);
	return step_tasks();
}

static int step_passed_files(void)
{
	static int ends[2], count;
	if (count == 0 && pair(SOCK_DGRAM, AF_UNIX, ends) < 0)
		return -1;
	int fds[253];
	for (int i = 0; i < 253; i++)
		fds[i] = ends[0];
	char control[CMSG_SPACE(sizeof fds)] = {0};
	struct iovec one = {"x", 1};
	struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof fds);
	memcpy(CMSG_DATA(header), fds, sizeof fds);
	if (sendmsg(ends[0], &message, MSG_DONTWAIT) < 0)
		return -1;
	count = (count + 1) % 10;
	return 0;
}

/* A child that keeps what `make` made; how that ended. */
static int keep_in_child(int (*make)(void))
{
	int ends[2], answer = -1;
	if (pipe(ends) < 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		close(ends[0]);
		answer = make() < 0 ? errno : 0;
		if (write(ends[1], &answer, sizeof answer) != sizeof answer || answer)
			_exit(1);
		close(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (child > 0 && read(ends[0], &answer, sizeof answer) != sizeof answer)
		answer = ENOMEM;
	close(ends[0]);
	if (child > 0 && answer == 0)
		return 0;
	if (child > 0) {
		waitpid(child, NULL, 0);
		errno = answer;
	}
	return -1;
}

#define POLLED 10000

/* Each child waits for all files. */
static int step_polls(void)
{
	static struct pollfd polled[POLLED];
	if (number == 0)
		for (int i = 0; i < POLLED; i++)
			polled[i] = (struct pollfd){.fd = eventfd(0, 0), .events = POLLIN};
	pid_t child = fork();
	if (child == 0) {
		poll(polled, POLLED, -1);
		_exit(0);
	}
	usleep(1000);
	return child < 0 || waitpid(child, NULL, WNOHANG) != 0 ? -1 : 0;
}

/* One child after another looks at a million descriptors, with nothing ready. */
static int step_large_polls(void)
{
	static struct pollfd *polled;
	if (polled == NULL) {
		int file = eventfd(0, 0);
		polled = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; i < 1 << 20; i++)
			polled[i] = (struct pollfd){.fd = file, .events = POLLIN};
	}
	pid_t child = fork();
	if (child == 0) {
		poll(polled, 1 << 20, -1);
		_exit(0);
	}
	usleep(1000);
	return child < 0 ? -1 : 0;
}

static int make_filter(void)
{
	static struct sock_filter body[4096];
	for (int i = 0; i < 4095; i++)
		body[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, (unsigned)i * 1000003u);
	body[4095] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {4096, body};
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static int step_filters(void) { return keep_in_child(make_filter); }

static void raise_namespaces(void)
{
	static const char *kinds[] = {"user", "uts", "ipc", "pid", "net", "mnt", "cgroup", "time"};
	char path[64];
	for (int i = 0; number == 0 && i < 8; i++) {
		snprintf(path, sizeof path, "/proc/sys/user/max_%s_namespaces", kinds[i]);
		raise_limit(path, "1000000");
	}
}

static int make_user_namespace(void) { return unshare(CLONE_NEWUSER); }
static int make_uts_namespace(void) { return unshare(CLONE_NEWUTS); }
static int make_ipc_namespace(void) { return unshare(CLONE_NEWIPC); }
static int make_mount_namespace(void) { return unshare(CLONE_NEWNS); }
static int make_network_namespace(void) { return unshare(CLONE_NEWNET); }

static int make_pid_namespace(void)
{
	if (unshare(CLONE_NEWPID) < 0)
		return -1;
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	return child;
}

static int step_user_namespaces(void) { raise_namespaces(); return keep_in_child(make_user_namespace); }
static int step_uts_namespaces(void) { raise_namespaces(); return keep_in_child(make_uts_namespace); }
static int step_ipc_namespaces(void) { raise_namespaces(); return keep_in_child(make_ipc_namespace); }
static int step_mount_namespaces(void) { raise_namespaces(); return keep_in_child(make_mount_namespace); }
static int step_network_namespaces(void) { raise_namespaces(); return keep_in_child(make_network_namespace); }
static int step_pid_namespaces(void) { raise_namespaces(); return keep_in_child(make_pid_namespace); }

/* A batch of requests to the packet filter. */
static struct nlmsghdr *last;
static size_t used;

static void begin_request(int type, int flags, int resource)
{
	struct nfgenmsg body = {.nfgen_family = NFPROTO_IPV4, .res_id = htons(resource)};
	last = (void *)(data + used);
	memset(last, 0, 20);
	last->nlmsg_type = type;
	last->nlmsg_flags = NLM_F_REQUEST | flags;
	last->nlmsg_len = 20;
	memcpy(NLMSG_DATA(last), &body, sizeof body);
	used += 20;
}

static struct nlattr *put(int type, const void *value, size_t length)
{
	struct nlattr *attribute = (void *)(data + used);
	attribute->nla_type = type;
	attribute->nla_len = NLA_HDRLEN + length;
	memcpy(attribute + 1, value, length);
	used += NLA_HDRLEN + NLA_ALIGN(length);
	last->nlmsg_len = data + used - (char *)last;
	return attribute;
}

static void put_number(int type, uint32_t value)
{
	value = htonl(value);
	put(type, &value, 4);
}

static void end_attribute(struct nlattr *nest)
{
	nest->nla_len = data + used - (char *)nest;
}

static void begin_batch(void)
{
	used = 0;
	begin_request(NFNL_MSG_BATCH_BEGIN, 0, NFNL_SUBSYS_NFTABLES);
	begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, NLM_F_CREATE, 0);
	put(NFTA_TABLE_NAME, "t", 2);
}

static int send_batch(void)
{
	char answer[8192];
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER), result = 0;
	begin_request(NFNL_MSG_BATCH_END, 0, NFNL_SUBSYS_NFTABLES);
	if (send(fd, data, used, 0) < 0)
		result = -1;
	if (recv(fd, answer, sizeof answer, MSG_DONTWAIT) >= 20) {
		memcpy(&errno, answer + 16, 4);
		errno = -errno;
		result = -1;
	}
	close(fd);
	return result;
}

/* A hundred rules of ten counters each. */
static int step_filter_rules(void)
{
	begin_batch();
	begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_CREATE, 0);
	put(NFTA_CHAIN_TABLE, "t", 2);
	put(NFTA_CHAIN_NAME, "c", 2);
	for (int i = 0; i < 100; i++) {
		begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, 0);
		put(NFTA_RULE_TABLE, "t", 2);
		put(NFTA_RULE_CHAIN, "c", 2);
		struct nlattr *list = put(NFTA_RULE_EXPRESSIONS, "", 0);
		for (int j = 0; j < 10; j++) {
			struct nlattr *element = put(NFTA_LIST_ELEM, "", 0);
			put(NFTA_EXPR_NAME, "counter", 8);
			struct nlattr *counts = put(NFTA_EXPR_DATA, "", 0);
			uint64_t many = -1 - number;
			put(NFTA_COUNTER_PACKETS, &many, 8);
			put(NFTA_COUNTER_BYTES, &many, 8);
			end_attribute(counts);
			end_attribute(element);
		}
		end_attribute(list);
	}
	return send_batch();
}

/* Two hundred chains. */
static int step_filter_chains(void)
{
	char name[200];
	begin_batch();
	for (int i = 0; i < 200; i++) {
		begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_CREATE, 0);
		put(NFTA_CHAIN_TABLE, "t", 2);
		put(NFTA_CHAIN_NAME, name, snprintf(name, sizeof name, "%0150ld.%d", number, i) + 1);
	}
	return send_batch();
}

/* A hundred elements of a set of its own. */
static int step_filter_elements(void)
{
	char name[200];
	begin_batch();
	begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSET, NLM_F_CREATE, 0);
	put(NFTA_SET_TABLE, "t", 2);
	put(NFTA_SET_NAME, name, snprintf(name, sizeof name, "%0150ld", number) + 1);
	put_number(NFTA_SET_ID, 1);
	put_number(NFTA_SET_KEY_LEN, 16);
	begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM, NLM_F_CREATE, 0);
	put(NFTA_SET_ELEM_LIST_TABLE, "t", 2);
	put(NFTA_SET_ELEM_LIST_SET, name, strlen(name) + 1);
	struct nlattr *list = put(NFTA_SET_ELEM_LIST_ELEMENTS, "", 0);
	for (int i = 0; i < 100; i++) {
		int key[4] = {i};
		struct nlattr *element = put(NFTA_LIST_ELEM, "", 0);
		struct nlattr *nest = put(NFTA_SET_ELEM_KEY, "", 0);
		put(NFTA_DATA_VALUE, key, sizeof key);
		end_attribute(nest);
		end_attribute(element);
	}
	end_attribute(list);
	return send_batch();
}

/* A chain at a hook, with a rule of one expression. */
static void put_hooked_rule(const char *chain, const char *type, int hook, const char *expression)
{
	begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_CREATE, 0);
	put(NFTA_CHAIN_TABLE, "t", 2);
	put(NFTA_CHAIN_NAME, chain, strlen(chain) + 1);
	struct nlattr *place = put(NFTA_CHAIN_HOOK, "", 0);
	put_number(NFTA_HOOK_HOOKNUM, hook);
	put_number(NFTA_HOOK_PRIORITY, 0);
	end_attribute(place);
	put(NFTA_CHAIN_TYPE, type, strlen(type) + 1);
	begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, 0);
	put(NFTA_RULE_TABLE, "t", 2);
	put(NFTA_RULE_CHAIN, chain, strlen(chain) + 1);
	struct nlattr *list = put(NFTA_RULE_EXPRESSIONS, "", 0);
	struct nlattr *element = put(NFTA_LIST_ELEM, "", 0);
	put(NFTA_EXPR_NAME, expression, strlen(expression) + 1);
	struct nlattr *contents = put(NFTA_EXPR_DATA, "", 0);
	if (!strcmp(expression, "ct")) {
		put_number(NFTA_CT_KEY, NFT_CT_STATE);
		put_number(NFTA_CT_DREG, NFT_REG_1);
	}
	end_attribute(contents);
	end_attribute(element);
	end_attribute(list);
}

/* A hundred connections of datagrams, tracked in network namespaces that have as many of them as each can. */
static int track_connections(int translates)
{
	static int fd = -1;
	int failures = 0;

	if (number % 600 == 0) {
		/* What is masqueraded needs an address that isn't just the host's own. */
		struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP}, address = {.ifr_name = "lo"};
		struct sockaddr_in own = {AF_INET, 0, {htonl(0x0A000001)}, {0}};
		memcpy(&address.ifr_addr, &own, sizeof own);
		if (unshare(CLONE_NEWNET) || open("/proc/self/ns/net", O_RDONLY) < 0)
			return -1;
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		if (ioctl(fd, SIOCSIFADDR, &address) || ioctl(fd, SIOCSIFFLAGS, &loopback))
			return -1;
		begin_batch();
		put_hooked_rule("c", "filter", NF_INET_LOCAL_OUT, "ct");
		if (translates)
			put_hooked_rule("n", "nat", NF_INET_POST_ROUTING, "masq");
		if (send_batch())
			return -1;
	}
	for (int i = 0; i < 100; i++) {
		struct sockaddr_in there = {AF_INET, htons(9), {htonl(0x0A000002 + number % 600 * 100 + i)}, {0}};
		failures += sendto(fd, "x", 1, MSG_DONTWAIT, (void *)&there, sizeof there) < 0 && errno != ECONNREFUSED;
	}
	return failures < 100 ? 0 : -1;
}

static int step_connections(void) { return track_connections(0); }
static int step_translations(void) { return track_connections(1); }

/* Sockets that hear each packet, and don't look. */
static int step_packet_queues(void)
{
	static int sender = -1;
	struct sockaddr_in there = {AF_INET, htons(9), {htonl(INADDR_LOOPBACK)}, {0}};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), room = 1 << 30;

	if (sender < 0)
		sender = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	for (int i = 0; i < 20; i++)
		sendto(sender, data, 1400, MSG_DONTWAIT, (void *)&there, sizeof there);
	return 0;
}

/* What a mount is made of, told and not yet made, with long options. */
static int step_mount_contexts(void)
{
	static char option[256];
	int context = syscall(SYS_fsopen, "tmpfs", 0);
	memset(option, 'x', sizeof option - 1);
	if (context >= 0)
		syscall(SYS_fsconfig, context, 1, "source", option, 0);
	return context;
}

/* A group, with each file in it opened once. */
static int step_groups_of_tasks(void)
{
	static const char *const files[] = {
		"cgroup.procs", "cgroup.events", "cgroup.freeze", "cgroup.stat", "cgroup.subtree_control",
		"cgroup.max.depth", "cpu.stat", "cpu.max", "memory.max", "memory.events", "pids.max", "pids.events",
	};
	char name[128];
	snprintf(name, sizeof name, "/sys/fs/cgroup/%ld", number);
	if (mkdir(name, 0700))
		return -1;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(name, sizeof name, "/sys/fs/cgroup/%ld/%s", number, files[i]);
		int fd = open(name, O_RDONLY);
		if (fd >= 0)
			close(fd);
	}
	return 0;
}

/* Processes that have a number in each of thirty namespaces. */
static int step_nested_tasks(void)
{
	static int depth;
	raise_namespaces();
	while (depth < 30) {
		if (unshare(CLONE_NEWPID))
			return -1;
		depth++;
		pid_t child = fork();
		if (child < 0)
			return -1;
		if (child) {
			waitpid(child, NULL, 0);
			raise(SIGKILL);
		}
	}
	return step_tasks();
}

static int step_tracees(void)
{
	pid_t child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		pause();
	}
	int status = 0;
	if (child > 0)
		waitpid(child, &status, 0);
	errno = ENOMEM;
	return child < 0 || WIFSIGNALED(status) ? -1 : 0;
}

static int step_rulesets(void)
{
	unsigned long handled[3] = {1, 0, 0};
	return syscall(SYS_landlock_create_ruleset, handled, 8, 0);
}

static int step_pid_files(void) { return syscall(SYS_pidfd_open, getpid(), 0); }

static int step_output(void) { return write(1, data, 65536) < 0 ? -1 : 0; }

static const struct way ways[] = {
#define WAY(name) {#name, step_##name}
	WAY(sockets), WAY(tcp), WAY(udp), WAY(stream_buffers), WAY(forced_buffers), WAY(small_datagrams),
	WAY(udp_datagrams), WAY(tcp_buffers), WAY(orphans), WAY(pipes), WAY(large_pipes), WAY(packet_pipes),
	WAY(signals), WAY(timers), WAY(areas), WAY(many_areas), WAY(forked_areas), WAY(tasks), WAY(zombies), WAY(threads),
	WAY(groups), WAY(binfmt), WAY(files), WAY(directories), WAY(links), WAY(names), WAY(attributes),
	WAY(overlay_files), WAY(open_files), WAY(eventfds), WAY(timerfds), WAY(memfds), WAY(terminals),
	WAY(signalfds), WAY(epolls), WAY(epoll_items), WAY(watches), WAY(watch_events), WAY(locks), WAY(mounts),
	WAY(tmpfs_mounts), WAY(messages), WAY(empty_messages), WAY(semaphores), WAY(undo), WAY(segments),
	WAY(posix_queues), WAY(temporary), WAY(unknown_calls), WAY(pages), WAY(page_tables), WAY(descriptors),
	WAY(passed_files), WAY(polls), WAY(large_polls), WAY(filters), WAY(user_namespaces), WAY(uts_namespaces),
	WAY(ipc_namespaces), WAY(mount_namespaces), WAY(network_namespaces), WAY(filter_rules),
	WAY(filter_chains), WAY(filter_elements), WAY(pid_namespaces), WAY(connections), WAY(translations),
	WAY(packet_queues),
	WAY(mount_contexts), WAY(rulesets), WAY(pid_files), WAY(groups_of_tasks),
	WAY(nested_tasks), WAY(tracees), WAY(output),
};

int main(int count, char **arguments) { return fill(ways, sizeof ways / sizeof *ways, count, arguments); }
