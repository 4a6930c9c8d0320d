/* Loops of the system calls that programs make most, each run for a time of the clock. */
#include "loops.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/user.h>

static char page[65536];
static int ends[2], others[2];
static volatile sig_atomic_t handled;
static char directory[] = "/tmp/loops.XXXXXX";

static void handle(int signo)
{
	(void)signo;
	handled++;
}

/* A process at the other end of two pipes, which sends back what it gets. */
static void start_echo(void)
{
	char byte;

	must(pipe(ends));
	must(pipe(others));
	if (must(fork()) == 0) {
		close(ends[1]);
		while (read(ends[0], &byte, 1) == 1)
			(void)!write(others[1], &byte, 1);
		_exit(0);
	}
	close(ends[0]);
	close(others[1]);
}

static void start_yielder(void)
{
	pid_t parent = getpid();

	if (must(fork()) == 0) {
		while (getppid() == parent)
			sched_yield();
		_exit(0);
	}
}

static int word;

static void *futex_peer(void *unused)
{
	(void)unused;
	for (;;) {
		while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
			syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
		__atomic_store_n(&word, 0, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	return NULL;
}

static void start_futex(void)
{
	pthread_t thread;

	must(-pthread_create(&thread, NULL, futex_peer, NULL));
}

static void *nothing(void *argument)
{
	return argument;
}

static void make_handler(void)
{
	signal(SIGUSR1, handle);
}

static void make_pipe(void)
{
	must(pipe(ends));
}

static void make_sockets(void)
{
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}

static void make_datagrams(void)
{
	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
}

static void make_event(void)
{
	ends[0] = (int)must(eventfd(0, 0));
}

static void make_epoll(void)
{
	struct epoll_event event = {.events = EPOLLIN};

	must(pipe(ends));
	(void)!write(ends[1], "x", 1);
	others[0] = (int)must(epoll_create1(0));
	must(epoll_ctl(others[0], EPOLL_CTL_ADD, ends[0], &event));
}

static void make_directory(void)
{
	must(mkdtemp(directory) ? 0 : -1);
	must(chdir(directory));
	must(mkdir("a", 0700));
	must(mkdir("a/b", 0700));
	must(mkdir("a/b/c", 0700));
	must(mkdir("a/b/c/d", 0700));
	must(symlink("a/b", "link"));
	ends[0] = (int)must(open("file", O_CREAT | O_RDWR, 0600));
	must(pwrite(ends[0], page, sizeof(page), 0));
}

static void open_zero(void)
{
	ends[0] = (int)must(open("/dev/zero", O_RDWR));
}

static struct sockaddr_storage address;
static socklen_t address_length = sizeof(address);

static void make_listener(void)
{
	struct sockaddr local = {.sa_family = AF_INET};

	ends[0] = (int)must(socket(AF_INET, SOCK_STREAM, 0));
	must(bind(ends[0], &local, 16));
	must(listen(ends[0], 8));
	must(getsockname(ends[0], (struct sockaddr *)&address, &address_length));
}

static void do_getpid(void) { syscall(SYS_getpid); }
static void do_gettime(void) { nanoseconds(); }
static void do_open(void) { close((int)must(open("/dev/null", O_RDONLY))); }
static void do_open_file(void) { close((int)must(open("a/b/c/../c/d", O_RDONLY))); }
static void do_open_proc(void)
{
	int fd = (int)must(open("/proc/self/stat", O_RDONLY));

	must(read(fd, page, sizeof(page)));
	close(fd);
}
static void do_stat(void)
{
	struct stat status;

	stat("/", &status);
}
static void do_stat_deep(void)
{
	struct stat status;

	must(stat("link/c/d/../d/../../../../a/b/c/d", &status));
}
static void do_stat_absent(void)
{
	struct stat status;

	stat("/nonesuch", &status);
}
static void do_fstat(void)
{
	struct stat status;

	fstat(ends[0], &status);
}
static void do_read_zero(void) { must(read(ends[0], page, 4096)); }
static void do_write_null(void) { must(write(ends[0], page, 1)); }
static void do_pread(void) { must(pread(ends[0], page, 4096, 4096)); }
static void do_pwrite(void) { must(pwrite(ends[0], page, 512, 4096)); }
static void do_create(void)
{
	close((int)must(open("new", O_CREAT | O_EXCL | O_WRONLY, 0600)));
	must(unlink("new"));
}
static void do_mkdir(void)
{
	must(mkdir("new", 0700));
	must(rmdir("new"));
}
static void do_rename(void)
{
	must(rename("file", "file2"));
	must(rename("file2", "file"));
}
static void do_list(void)
{
	DIR *stream = opendir("a");

	while (readdir(stream))
		continue;
	closedir(stream);
}
static void do_fork(void)
{
	pid_t child = (pid_t)must(fork());

	if (child == 0)
		_exit(0);
	reap(child);
}
static void do_vfork(void)
{
	pid_t child = vfork();

	if (child == 0)
		_exit(0);
	reap(child);
}
static void do_exec(void)
{
	pid_t child = (pid_t)must(fork());

	if (child == 0) {
		execl("/proc/self/exe", "loops", "getpid", "0", NULL);
		_exit(1);
	}
	reap(child);
}
static void do_exec_dynamic(void)
{
	pid_t child = (pid_t)must(fork());

	if (child == 0) {
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	reap(child);
}
static void do_thread(void)
{
	pthread_t thread;

	must(-pthread_create(&thread, NULL, nothing, NULL));
	pthread_join(thread, NULL);
}
static void do_kill_self(void) { kill(getpid(), SIGUSR1); }
static void do_kill_ignored(void) { kill(getpid(), SIGURG); }
static void do_mask(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}
static void do_ping_pong(void)
{
	char byte = 0;

	must(write(ends[1], &byte, 1));
	must(read(others[0], &byte, 1));
}
static void do_pipe_alone(void)
{
	char byte = 0;

	must(write(ends[1], &byte, 1));
	must(read(ends[0], &byte, 1));
}
static void do_futex(void)
{
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 1)
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}
static void do_futex_alone(void) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }
static void do_yield(void) { sched_yield(); }
static void do_faults(void)
{
	char *memory = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int at = 0; at < 64; at++)
		memory[at * 4096] = 1;
	munmap(memory, 64 * 4096);
}
static void do_map(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(memory, 4096);
}
static void do_protect(void)
{
	static char *memory;

	if (memory == NULL) {
		memory = map_pages(2);
		memory[0] = 1;
	}
	must(mprotect(memory, 4096, PROT_READ));
	must(mprotect(memory, 4096, PROT_READ | PROT_WRITE));
}
static void do_brk(void)
{
	sbrk(4096);
	sbrk(-4096);
}
static void do_dup(void) { close((int)must(dup(0))); }
static void do_pipe(void)
{
	int both[2];

	must(pipe(both));
	close(both[0]);
	close(both[1]);
}
static void do_socket(void) { close((int)must(socket(AF_UNIX, SOCK_STREAM, 0))); }
static void do_socketpair(void)
{
	int both[2];

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, both));
	close(both[0]);
	close(both[1]);
}
static void do_send(void)
{
	char byte = 0;

	must(send(ends[0], &byte, 1, 0));
	must(recv(ends[1], &byte, 1, 0));
}
static void do_connect(void)
{
	int client = (int)must(socket(AF_INET, SOCK_STREAM, 0)), server;

	must(connect(client, (struct sockaddr *)&address, address_length));
	server = (int)must(accept(ends[0], NULL, NULL));
	close(client);
	close(server);
}
static void do_poll(void)
{
	struct pollfd watched[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};

	must(poll(watched, 2, 0));
}
static void do_select(void)
{
	fd_set set;
	struct timeval none = {0, 0};

	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	must(select(ends[0] + 1, &set, NULL, NULL, &none));
}
static void do_epoll(void)
{
	struct epoll_event event;

	must(epoll_wait(others[0], &event, 1, 0));
}
static void do_event(void)
{
	uint64_t value = 1;

	must(write(ends[0], &value, 8));
	must(read(ends[0], &value, 8));
}
static void do_wait_nobody(void) { waitpid(-1, NULL, WNOHANG); }
static void do_getcwd(void) { must(getcwd(page, sizeof(page)) ? 0 : -1); }
static void do_uname(void) { syscall(SYS_uname, page); }
static void do_sysinfo(void) { syscall(SYS_sysinfo, page); }
static void do_itimer(void)
{
	struct itimerval far = {{0, 0}, {1000, 0}};

	setitimer(ITIMER_REAL, &far, NULL);
}
static void do_sleep(void)
{
	struct timespec shortest = {0, 1};

	nanosleep(&shortest, NULL);
}
static void do_ioctl(void)
{
	int count;

	must(ioctl(ends[0], FIONREAD, &count));
}
static void do_rusage(void) { syscall(SYS_getrusage, 0, page); }
static void do_affinity(void) { syscall(SYS_sched_getaffinity, 0, 128, page); }
static void do_bad_call(void) { syscall(999); }
static void do_writev(void)
{
	struct iovec parts[8];

	for (int at = 0; at < 8; at++)
		parts[at] = (struct iovec){page, 16};
	must(writev(ends[0], parts, 8));
}
static void do_copy(void)
{
	must(write(ends[1], page, 65536));
	must(read(ends[0], page, 65536));
}
static void do_compute(void)
{
	volatile long sum = 0;

	for (int at = 0; at < 1000; at++)
		sum += at;
}

/* A tracee that makes calls for ever, stopped at one. */
static pid_t tracee;

static void start_tracee(void)
{
	tracee = (pid_t)must(fork());
	if (tracee == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		for (;;)
			syscall(SYS_getpid);
	}
	must(waitpid(tracee, NULL, 0));
	must(ptrace(PTRACE_SETOPTIONS, tracee, NULL, PTRACE_O_EXITKILL));
}

static void do_trace_calls(void)
{
	must(ptrace(PTRACE_SYSCALL, tracee, NULL, NULL));
	must(waitpid(tracee, NULL, 0));
}

static void do_trace_registers(void)
{
	struct user_regs_struct registers;

	must(ptrace(PTRACE_GETREGS, tracee, NULL, &registers));
}

static void do_trace_step(void)
{
	must(ptrace(PTRACE_SINGLESTEP, tracee, NULL, NULL));
	must(waitpid(tracee, NULL, 0));
}

static void make_watch(void)
{
	make_directory();
	others[0] = (int)must(inotify_init());
	must(inotify_add_watch(others[0], ".", IN_ALL_EVENTS));
}

static void do_watch(void)
{
	close((int)must(open("new", O_CREAT | O_WRONLY, 0600)));
	must(unlink("new"));
	must(read(others[0], page, sizeof(page)));
}

static void make_timer(void)
{
	ends[0] = (int)must(timerfd_create(CLOCK_MONOTONIC, 0));
}

static void do_timer(void)
{
	struct itimerspec soon = {{0, 0}, {0, 1}};
	uint64_t count;

	must(timerfd_settime(ends[0], 0, &soon, NULL));
	must(read(ends[0], &count, sizeof(count)));
}

static void do_clone_files(void)
{
	pid_t child = (pid_t)must(syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, 0, 0, 0, 0));

	if (child == 0)
		_exit(0);
	reap(child);
}

static void read_whole(const char *path)
{
	int fd = (int)must(open(path, O_RDONLY));

	while (must(read(fd, page, sizeof(page))) > 0)
		continue;
	close(fd);
}

static void do_read_maps(void) { read_whole("/proc/self/maps"); }
static void do_read_smaps(void) { read_whole("/proc/self/smaps"); }
static void do_read_status(void) { read_whole("/proc/self/status"); }
static void do_read_meminfo(void) { read_whole("/proc/meminfo"); }
static void do_read_mounts(void) { read_whole("/proc/self/mountinfo"); }
static void do_read_cpuinfo(void) { read_whole("/proc/cpuinfo"); }

static void do_list_proc(void)
{
	DIR *stream = opendir("/proc");

	while (readdir(stream))
		continue;
	closedir(stream);
}

static void make_udp(void)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

	ends[0] = (int)must(socket(AF_INET, SOCK_DGRAM, 0));
	must(bind(ends[0], (struct sockaddr *)&local, sizeof(local)));
	must(getsockname(ends[0], (struct sockaddr *)&address, &address_length));
	must(connect(ends[0], (struct sockaddr *)&address, address_length));
}

static void do_udp(void)
{
	char byte = 0;

	must(send(ends[0], &byte, 1, 0));
	must(recv(ends[0], &byte, 1, 0));
}

static void do_semaphore(void)
{
	static int id = -1;
	struct sembuf up = {0, 1, 0}, down = {0, -1, 0};

	if (id < 0)
		id = (int)must(semget(IPC_PRIVATE, 1, 0600));
	must(semop(id, &up, 1));
	must(semop(id, &down, 1));
}

static void do_message(void)
{
	static int id = -1;
	struct { long type; char text[8]; } message = {1, "text"};

	if (id < 0)
		id = (int)must(msgget(IPC_PRIVATE, 0600));
	must(msgsnd(id, &message, 8, 0));
	must(msgrcv(id, &message, 8, 0, 0));
}

static void do_sendfile(void)
{
	off_t start = 0;

	must(sendfile(others[0], ends[0], &start, sizeof(page)));
}

static void make_file_and_null(void)
{
	make_directory();
	others[0] = (int)must(open("/dev/null", O_WRONLY));
}

static void do_lock(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_len = 1};

	must(fcntl(ends[0], F_SETLK, &lock));
	lock.l_type = F_UNLCK;
	must(fcntl(ends[0], F_SETLK, &lock));
}

static void do_unshare(void) { must(unshare(CLONE_NEWUTS)); }
static void do_mount(void)
{
	must(mount("none", "a", "tmpfs", 0, NULL));
	must(umount("a"));
}
static void do_read_random(void) { must(syscall(SYS_getrandom, page, 256, 0)); }
static void do_write_file(void) { must(pwrite(ends[0], page, sizeof(page), 0)); }
static void do_map_file(void)
{
	volatile char *memory = mmap(NULL, sizeof(page), PROT_READ, MAP_SHARED, ends[0], 0);

	for (size_t at = 0; at < sizeof(page); at += 4096)
		(void)memory[at];
	munmap((void *)memory, sizeof(page));
}
static void do_cow(void)
{
	static char *memory;
	pid_t child;

	if (memory == NULL)
		memory = map_pages(64);
	for (int at = 0; at < 64; at++)
		memory[at * 4096] = 1;
	child = (pid_t)must(fork());
	if (child == 0) {
		for (int at = 0; at < 64; at++)
			memory[at * 4096] = 2;
		_exit(0);
	}
	reap(child);
}

static const struct kind kinds[] = {
	{"compute", NULL, do_compute},
	{"getpid", NULL, do_getpid},
	{"clock_gettime", NULL, do_gettime},
	{"no-such-call", NULL, do_bad_call},
	{"uname", NULL, do_uname},
	{"sysinfo", NULL, do_sysinfo},
	{"getrusage", NULL, do_rusage},
	{"sched_getaffinity", NULL, do_affinity},
	{"sigprocmask", NULL, do_mask},
	{"getcwd", NULL, do_getcwd},
	{"dup-close", NULL, do_dup},
	{"open-close", NULL, do_open},
	{"open-deep", make_directory, do_open_file},
	{"open-read-proc", NULL, do_open_proc},
	{"stat", NULL, do_stat},
	{"stat-deep", make_directory, do_stat_deep},
	{"stat-absent", NULL, do_stat_absent},
	{"fstat", make_directory, do_fstat},
	{"read-zero", open_zero, do_read_zero},
	{"write-zero", open_zero, do_write_null},
	{"writev", open_zero, do_writev},
	{"pread", make_directory, do_pread},
	{"pwrite", make_directory, do_pwrite},
	{"create-unlink", make_directory, do_create},
	{"mkdir-rmdir", make_directory, do_mkdir},
	{"rename", make_directory, do_rename},
	{"list-directory", make_directory, do_list},
	{"fork-wait", NULL, do_fork},
	{"vfork-wait", NULL, do_vfork},
	{"exec-static", NULL, do_exec},
	{"exec-dynamic", NULL, do_exec_dynamic},
	{"thread", NULL, do_thread},
	{"wait-nobody", NULL, do_wait_nobody},
	{"kill-self", make_handler, do_kill_self},
	{"kill-ignored", NULL, do_kill_ignored},
	{"pipe-ping-pong", start_echo, do_ping_pong},
	{"pipe-alone", make_pipe, do_pipe_alone},
	{"pipe-64K", make_pipe, do_copy},
	{"pipe-create", NULL, do_pipe},
	{"futex-ping-pong", start_futex, do_futex},
	{"futex-alone", NULL, do_futex_alone},
	{"yield-alone", NULL, do_yield},
	{"yield-pair", start_yielder, do_yield},
	{"faults-64", NULL, do_faults},
	{"mmap-munmap", NULL, do_map},
	{"mprotect", NULL, do_protect},
	{"brk", NULL, do_brk},
	{"socket", NULL, do_socket},
	{"socketpair", NULL, do_socketpair},
	{"send-stream", make_sockets, do_send},
	{"send-datagram", make_datagrams, do_send},
	{"connect-accept", make_listener, do_connect},
	{"poll", make_pipe, do_poll},
	{"select", make_pipe, do_select},
	{"epoll", make_epoll, do_epoll},
	{"eventfd", make_event, do_event},
	{"ioctl", make_pipe, do_ioctl},
	{"setitimer", NULL, do_itimer},
	{"nanosleep", NULL, do_sleep},
	{"timerfd", make_timer, do_timer},
	{"trace-calls", start_tracee, do_trace_calls},
	{"trace-registers", start_tracee, do_trace_registers},
	{"trace-step", start_tracee, do_trace_step},
	{"inotify", make_watch, do_watch},
	{"clone-files", NULL, do_clone_files},
	{"read-maps", NULL, do_read_maps},
	{"read-smaps", NULL, do_read_smaps},
	{"read-status", NULL, do_read_status},
	{"read-meminfo", NULL, do_read_meminfo},
	{"read-mountinfo", NULL, do_read_mounts},
	{"read-cpuinfo", NULL, do_read_cpuinfo},
	{"list-proc", NULL, do_list_proc},
	{"udp", make_udp, do_udp},
	{"semop", NULL, do_semaphore},
	{"message", NULL, do_message},
	{"sendfile", make_file_and_null, do_sendfile},
	{"lock-unlock", make_directory, do_lock},
	{"unshare", NULL, do_unshare},
	{"mount-umount", make_directory, do_mount},
	{"getrandom", NULL, do_read_random},
	{"pwrite-64K", make_directory, do_write_file},
	{"map-file", make_directory, do_map_file},
	{"fork-write-64", NULL, do_cow},
};

int main(int argc, char **argv)
{
	const struct kind *kind = run_loops(kinds, sizeof(kinds) / sizeof(*kinds), argc, argv);

	if (kind != NULL && kind->prepare == make_directory) {
		char line[64];

		snprintf(line, sizeof(line), "rm -rf %s", directory);
		(void)!chdir("/");
		return system(line) != 0;
	}
	return 0;
}
