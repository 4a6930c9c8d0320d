/* Loops of system calls that programs make less often, each run for a time of the clock: signals and timers, memory,
 * messages, attributes, and what is told of the machine. */
#include "loops.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <mqueue.h>
#include <net/if.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <termios.h>

static char page[65536] __attribute__((aligned(4096)));
static int ends[2], others[2];
static volatile sig_atomic_t handled;
static volatile double sum = 1.0;
static timer_t timer;
static sigset_t usr1;
static char *memory;

static void handle(int signo)
{
	(void)signo;
	handled++;
}

static void handle_and_compute(int signo)
{
	(void)signo;
	sum *= 1.0000001;
	handled++;
}

/* Sixteen times a timer's signal, then no more: the code that it interrupts doesn't get on until then. */
static void handle_tick(int signo)
{
	static const struct itimerspec never;

	(void)signo;
	if (++handled == 16)
		timer_settime(timer, 0, &never, NULL);
}

static void make_handler(void) { signal(SIGUSR1, handle); }
static void make_computing_handler(void) { signal(SIGUSR1, handle_and_compute); }
static void do_raise(void) { raise(SIGUSR1); }
static void do_raise_computing(void)
{
	sum *= 1.0000001;
	raise(SIGUSR1);
}

static void make_alternate_stack(void)
{
	stack_t stack = {.ss_sp = page, .ss_size = sizeof(page)};
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};

	must(sigaltstack(&stack, NULL));
	must(sigaction(SIGUSR1, &action, NULL));
}

static void do_altstack(void)
{
	stack_t stack;

	sigaltstack(NULL, &stack);
}

static void do_sigaction(void)
{
	struct sigaction action;

	sigaction(SIGUSR1, NULL, &action);
}

static void block_usr1(void)
{
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
}

static void do_sigwait(void)
{
	int signo;

	kill(getpid(), SIGUSR1);
	sigwait(&usr1, &signo);
}

static void do_sigqueue(void)
{
	union sigval value = {.sival_int = 1};

	must(sigqueue(getpid(), SIGUSR1, value));
	must(sigwaitinfo(&usr1, NULL));
}

static void make_signalfd(void)
{
	block_usr1();
	ends[0] = (int)must(signalfd(-1, &usr1, 0));
}

static void do_signalfd(void)
{
	kill(getpid(), SIGUSR1);
	must(read(ends[0], page, sizeof(struct signalfd_siginfo)));
}

static void make_suspended(void)
{
	make_handler();
	block_usr1();
}

static void do_sigsuspend(void)
{
	sigset_t none;

	sigemptyset(&none);
	kill(getpid(), SIGUSR1);
	sigsuspend(&none);
}

static void make_ticks(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};

	signal(SIGUSR1, handle_tick);
	must(timer_create(CLOCK_MONOTONIC, &event, &timer));
}

static void do_ticks(void)
{
	struct itimerspec soon = {{0, 30}, {0, 30}};

	handled = 0;
	must(timer_settime(timer, 0, &soon, NULL));
	while (handled < 16)
		continue;
}

static void do_timer_create(void)
{
	timer_t made;

	must(timer_create(CLOCK_MONOTONIC, NULL, &made));
	must(timer_delete(made));
}

static void do_fault(void)
{
	must(mprotect(memory, 4096, PROT_NONE));
	*(volatile char *)memory = 1;
}

static void let_write(int signo)
{
	(void)signo;
	mprotect(memory, 4096, PROT_READ | PROT_WRITE);
}

static void make_fault(void)
{
	memory = map_pages(2);
	memory[0] = 1;
	signal(SIGSEGV, let_write);
}

static void do_arch_prctl(void) { syscall(SYS_arch_prctl, ARCH_GET_FS, page); }
static void do_set_gs(void) { syscall(SYS_arch_prctl, ARCH_SET_GS, 0); }
static void do_prctl(void) { prctl(PR_GET_NAME, page); }
static void do_priority(void) { getpriority(PRIO_PROCESS, 0); }
static void do_times(void) { syscall(SYS_times, page); }
static void do_getitimer(void) { syscall(SYS_getitimer, 0, page); }
static void do_prlimit(void) { syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, page); }
static void do_statfs(void) { syscall(SYS_statfs, "/", page); }
static void do_statx(void) { syscall(SYS_statx, AT_FDCWD, "/etc/passwd", 0, 0xFFF, page); }
static void do_readlink(void) { must(readlink("/proc/self/exe", page, sizeof(page))); }
static void do_access(void) { access("/etc/passwd", R_OK); }
static void do_chdir(void) { must(chdir("/usr/bin")); }
static void do_getgroups(void) { syscall(SYS_getgroups, 64, page); }
static void do_capget(void)
{
	unsigned header[2] = {0x20080522, 0};

	syscall(SYS_capget, header, page);
}
static void do_setresuid(void) { syscall(SYS_setresuid, -1, -1, -1); }
static void do_adjtimex(void)
{
	struct timex unchanged = {0};

	adjtimex(&unchanged);
}
static void do_membarrier(void) { syscall(SYS_membarrier, 0, 0, 0); }
static void do_getcpu(void) { syscall(SYS_getcpu, page, page + 8, NULL); }
static void do_clock_getres(void) { syscall(SYS_clock_getres, CLOCK_PROCESS_CPUTIME_ID, page); }
static void do_process_clock(void) { syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, page); }
static void do_sched_attr(void) { syscall(SYS_sched_getattr, 0, page, 56, 0); }
static void do_set_scheduler(void)
{
	int priority = 0;

	syscall(SYS_sched_setscheduler, 0, 0, &priority);
}
static void do_set_affinity(void)
{
	long mask = 1;

	syscall(SYS_sched_setaffinity, 0, sizeof(mask), &mask);
}
static void do_syslog(void) { syscall(SYS_syslog, 10, NULL, 0); }

static void make_file(void)
{
	ends[0] = (int)must(open("/tmp", O_TMPFILE | O_RDWR, 0600));
	must(pwrite(ends[0], page, sizeof(page), 0));
}

static void do_flock(void)
{
	must(flock(ends[0], LOCK_EX));
	must(flock(ends[0], LOCK_UN));
}
static void do_fcntl(void) { fcntl(ends[0], F_GETFL); }
static void do_fchmod(void) { must(fchmod(ends[0], 0600)); }
static void do_futimens(void) { must(futimens(ends[0], NULL)); }
static void do_truncate(void)
{
	must(ftruncate(ends[0], 4096));
	must(ftruncate(ends[0], 65536));
}
static void do_fallocate(void) { must(fallocate(ends[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096)); }
static void do_xattr(void)
{
	must(fsetxattr(ends[0], "user.x", "1", 1, 0));
	must(fgetxattr(ends[0], "user.x", page, 16));
}
static void do_fsync(void) { must(fsync(ends[0])); }
static void do_preadv(void)
{
	struct iovec parts[8];

	for (int at = 0; at < 8; at++)
		parts[at] = (struct iovec){page + at * 512, 512};
	must(preadv(ends[0], parts, 8, 0));
}
static void do_advise(void) { must(posix_fadvise(ends[0], 0, 4096, POSIX_FADV_DONTNEED)); }
static void do_memfd(void) { close((int)must(syscall(SYS_memfd_create, "x", 0))); }
static void do_memfd_page(void)
{
	int fd = (int)must(syscall(SYS_memfd_create, "x", 0));

	must(write(fd, page, 4096));
	close(fd);
}
static void do_unnamed(void) { close((int)must(open("/tmp", O_TMPFILE | O_RDWR, 0600))); }
static void do_copy_range(void)
{
	off_t from = 0, to = 4096;

	must(copy_file_range(ends[0], &from, ends[0], &to, 4096, 0));
}

static void make_memory(void)
{
	memory = map_pages(64);
	memset(memory, 1, 64 * 4096);
}
static void do_advise_memory(void)
{
	must(madvise(memory, 4096, MADV_DONTNEED));
	memory[0] = 1;
}
static void do_mincore(void) { must(mincore(memory, 64 * 4096, (unsigned char *)page)); }
static void do_lock_memory(void)
{
	must(mlock(memory, 4096));
	must(munlock(memory, 4096));
}
static void do_sync_memory(void) { must(msync(memory, 4096, MS_ASYNC)); }
static void do_remap(void)
{
	char *moved = mremap(memory, 64 * 4096, 65 * 4096, MREMAP_MAYMOVE);

	memory = mremap(moved, 65 * 4096, 64 * 4096, MREMAP_MAYMOVE);
}
static void do_readv_process(void)
{
	struct iovec local = {page, 4096}, remote = {memory, 4096};

	must(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
}
static void do_shm(void)
{
	int id = (int)must(shmget(IPC_PRIVATE, 4096, 0600));
	void *place = shmat(id, NULL, 0);

	shmdt(place);
	must(shmctl(id, IPC_RMID, NULL));
}
static void do_policy(void) { syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0); }

static void make_pipes(void)
{
	must(pipe(ends));
	must(pipe(others));
}
static void do_tee(void)
{
	must(write(ends[1], page, 4096));
	must(tee(ends[0], others[1], 4096, 0));
	must(read(ends[0], page, 4096));
	must(read(others[0], page, 4096));
}
static void do_splice(void)
{
	must(write(ends[1], page, 4096));
	must(splice(ends[0], NULL, others[1], NULL, 4096, 0));
	must(read(others[0], page, 4096));
}
static void do_vmsplice(void)
{
	struct iovec part = {page, 4096};

	must(vmsplice(ends[1], &part, 1, 0));
	must(read(ends[0], page, 4096));
}
static void do_ppoll(void)
{
	struct pollfd polled[16];
	struct timespec none = {0, 0};

	for (int at = 0; at < 16; at++)
		polled[at] = (struct pollfd){.fd = ends[0], .events = POLLIN};
	must(ppoll(polled, 16, &none, NULL));
}
static void make_epoll(void)
{
	make_pipes();
	ends[1] = (int)must(epoll_create1(0));
}
static void do_epoll_ctl(void)
{
	struct epoll_event event = {.events = EPOLLIN};

	must(epoll_ctl(ends[1], EPOLL_CTL_ADD, others[0], &event));
	must(epoll_ctl(ends[1], EPOLL_CTL_DEL, others[0], NULL));
}

static void make_pair(void) { must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)); }
static void do_pass_descriptor(void)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control;
	char byte = 0;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
	struct cmsghdr *header;

	message.msg_controllen = sizeof(control);
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &ends[0], sizeof(int));
	must(sendmsg(ends[0], &message, 0));
	must(recvmsg(ends[1], &message, 0));
	memcpy(&others[0], CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	must(close(others[0]));
}
static void do_sockopt(void)
{
	int value;
	socklen_t length = sizeof(value);

	must(getsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &value, &length));
}
static void do_getsockname(void)
{
	struct sockaddr_un name;
	socklen_t length = sizeof(name);

	must(getsockname(ends[0], (struct sockaddr *)&name, &length));
}
static void make_netlink(void) { ends[0] = (int)must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)); }
static void do_netlink(void)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg body;
	} request = {{sizeof(request), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {.ifi_family = AF_UNSPEC}};

	must(send(ends[0], &request, sizeof(request), 0));
	must(recv(ends[0], page, sizeof(page), 0));
	must(recv(ends[0], page, sizeof(page), 0));
}
static void make_inet(void) { ends[0] = (int)must(socket(AF_INET, SOCK_DGRAM, 0)); }
static void do_inet_socket(void) { close((int)must(socket(AF_INET, SOCK_STREAM, 0))); }
static void do_ifconf(void)
{
	struct ifconf list = {.ifc_len = 4096, .ifc_buf = page};

	must(ioctl(ends[0], SIOCGIFCONF, &list));
}

static void make_queue(void)
{
	struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};

	ends[0] = (int)must(mq_open("/loops", O_CREAT | O_RDWR, 0600, &attributes));
	must(mq_unlink("/loops"));
}
static void do_queue(void)
{
	must(mq_send(ends[0], page, 64, 1));
	must(mq_receive(ends[0], page, 64, NULL));
}

static void make_terminal(void)
{
	int number, unlocked = 0;
	char name[32];
	struct termios raw;

	ends[0] = (int)must(open("/dev/ptmx", O_RDWR | O_NOCTTY));
	must(ioctl(ends[0], TIOCSPTLCK, &unlocked));
	must(ioctl(ends[0], TIOCGPTN, &number));
	snprintf(name, sizeof(name), "/dev/pts/%d", number);
	ends[1] = (int)must(open(name, O_RDWR | O_NOCTTY));
	must(tcgetattr(ends[1], &raw));
	cfmakeraw(&raw);
	must(tcsetattr(ends[1], TCSANOW, &raw));
}
static void do_terminal(void)
{
	must(write(ends[0], page, 64));
	must(read(ends[1], page, 64));
}
static void do_termios(void)
{
	struct termios now;

	must(tcgetattr(ends[1], &now));
}

static pid_t child;

static void make_child(void)
{
	child = (pid_t)must(fork());
	if (child == 0) {
		pid_t parent = getppid();

		while (getppid() == parent)
			usleep(100000);
		_exit(0);
	}
	ends[0] = (int)must(syscall(SYS_pidfd_open, child, 0));
}
static void do_wait_living(void)
{
	siginfo_t info;

	waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG);
}
static void do_pidfd(void) { close((int)must(syscall(SYS_pidfd_open, child, 0))); }
static void do_pidfd_signal(void) { must(syscall(SYS_pidfd_send_signal, ends[0], 0, NULL, 0)); }
static void do_setpgid(void) { must(setpgid(child, child)); }
static void do_kcmp(void) { syscall(SYS_kcmp, getpid(), child, 0, 0, 0); }
static void do_futex_wait(void)
{
	int word = 1;
	struct timespec soon = {0, 1};

	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &soon, NULL, 0);
}

/* One call whose work has no bound but what the program has made before. */

static void do_populate(void)
{
	char *pages = mmap(NULL, 256 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	must(munmap(pages, 256 * 4096));
}

static void make_fresh(void)
{
	memory = map_pages(256);
	ends[0] = (int)must(open("/dev/zero", O_RDONLY));
}

static void do_read_fresh(void)
{
	must(read(ends[0], memory, 256 * 4096));
	must(madvise(memory, 256 * 4096, MADV_DONTNEED));
}

static void make_pages(void)
{
	memory = map_pages(512);
	memset(memory, 1, 512 * 4096);
}

static void do_protect_pages(void)
{
	must(mprotect(memory, 512 * 4096, PROT_READ));
	must(mprotect(memory, 512 * 4096, PROT_READ | PROT_WRITE));
}

static void do_fork_pages(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0)
		_exit(0);
	reap(made);
}

static void make_areas(void)
{
	memory = map_pages(1024);
	for (int at = 0; at < 1024; at += 2)
		must(mprotect(memory + at * 4096, 4096, PROT_READ));
}

static void do_protect_areas(void)
{
	must(mprotect(memory, 1024 * 4096, PROT_READ));
	for (int at = 1; at < 1024; at += 2)
		must(mprotect(memory + at * 4096, 4096, PROT_READ | PROT_WRITE));
}

static void do_fork_areas(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		munmap(memory, 4096);
		_exit(0);
	}
	reap(made);
}

static void make_family(void)
{
	(void)!setpgid(0, 0);
	for (int at = 0; at < 200; at++) {
		if (must(fork()) == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			pause();
			_exit(0);
		}
	}
}

static void do_kill_family(void) { must(kill(0, 0)); }
static void do_wait_family(void) { must(waitpid(-1, NULL, WNOHANG)); }
static void do_nice_family(void) { must(setpriority(PRIO_PGRP, 0, 0)); }

static void make_many_files(void)
{
	char name[32];

	must(mkdir("/tmp/many", 0700));
	must(chdir("/tmp/many"));
	for (int at = 0; at < 500; at++) {
		snprintf(name, sizeof(name), "file%d", at);
		must(close((int)must(open(name, O_CREAT | O_WRONLY, 0600))));
		must(unlink(name) * 0);
		must(symlink("nowhere", name));
	}
	ends[0] = (int)must(open(".", O_RDONLY | O_DIRECTORY));
}

static void do_list_many(void)
{
	must(lseek(ends[0], 0, SEEK_SET));
	while (must(syscall(SYS_getdents64, ends[0], page, sizeof(page))) > 0)
		continue;
}

static void make_waiters(void)
{
	make_pipes();
	for (int at = 0; at < 200; at++) {
		if (must(fork()) == 0) {
			struct pollfd polled = {.fd = ends[0], .events = POLLPRI};

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			poll(&polled, 1, -1);
			_exit(0);
		}
	}
}

static void do_wake_all(void)
{
	must(write(ends[1], page, 1));
	must(read(ends[0], page, 1));
}

static void do_exec_arguments(void)
{
	static char *arguments[1002];
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		arguments[0] = "rare_loops";
		for (int at = 1; at < 1001; at++)
			arguments[at] = "getpid";
		arguments[1] = "getcpu";
		arguments[2] = "0";
		execv("/proc/self/exe", arguments);
		_exit(1);
	}
	waitpid(made, NULL, 0);
}

static const struct kind kinds[] = {
	{"populate", NULL, do_populate},
	{"read-fresh", make_fresh, do_read_fresh},
	{"protect-pages", make_pages, do_protect_pages},
	{"fork-pages", make_pages, do_fork_pages},
	{"protect-areas", make_areas, do_protect_areas},
	{"fork-areas", make_areas, do_fork_areas},
	{"kill-family", make_family, do_kill_family},
	{"wait-family", make_family, do_wait_family},
	{"nice-family", make_family, do_nice_family},
	{"list-many", make_many_files, do_list_many},
	{"wake-all", make_waiters, do_wake_all},
	{"exec-arguments", NULL, do_exec_arguments},
	{"raise", make_handler, do_raise},
	{"raise-computing", make_computing_handler, do_raise_computing},
	{"raise-alternate", make_alternate_stack, do_raise},
	{"sigaltstack", NULL, do_altstack},
	{"sigaction", NULL, do_sigaction},
	{"sigwait", block_usr1, do_sigwait},
	{"sigqueue", block_usr1, do_sigqueue},
	{"signalfd", make_signalfd, do_signalfd},
	{"sigsuspend", make_suspended, do_sigsuspend},
	{"timer-ticks", make_ticks, do_ticks},
	{"timer-create", NULL, do_timer_create},
	{"fault-signal", make_fault, do_fault},
	{"arch-prctl-get", NULL, do_arch_prctl},
	{"arch-prctl-set", NULL, do_set_gs},
	{"prctl", NULL, do_prctl},
	{"getpriority", NULL, do_priority},
	{"times", NULL, do_times},
	{"getitimer", NULL, do_getitimer},
	{"prlimit", NULL, do_prlimit},
	{"statfs", NULL, do_statfs},
	{"statx", NULL, do_statx},
	{"readlink-exe", NULL, do_readlink},
	{"access", NULL, do_access},
	{"chdir", NULL, do_chdir},
	{"getgroups", NULL, do_getgroups},
	{"capget", NULL, do_capget},
	{"setresuid", NULL, do_setresuid},
	{"adjtimex", NULL, do_adjtimex},
	{"membarrier", NULL, do_membarrier},
	{"getcpu", NULL, do_getcpu},
	{"clock-getres", NULL, do_clock_getres},
	{"process-clock", NULL, do_process_clock},
	{"sched-getattr", NULL, do_sched_attr},
	{"sched-setscheduler", NULL, do_set_scheduler},
	{"sched-setaffinity", NULL, do_set_affinity},
	{"syslog-size", NULL, do_syslog},
	{"flock", make_file, do_flock},
	{"fcntl", make_file, do_fcntl},
	{"fchmod", make_file, do_fchmod},
	{"futimens", make_file, do_futimens},
	{"ftruncate", make_file, do_truncate},
	{"punch-hole", make_file, do_fallocate},
	{"xattr", make_file, do_xattr},
	{"fsync", make_file, do_fsync},
	{"preadv", make_file, do_preadv},
	{"fadvise", make_file, do_advise},
	{"copy-range", make_file, do_copy_range},
	{"memfd", NULL, do_memfd},
	{"memfd-page", NULL, do_memfd_page},
	{"tmpfile", NULL, do_unnamed},
	{"madvise", make_memory, do_advise_memory},
	{"mincore", make_memory, do_mincore},
	{"mlock", make_memory, do_lock_memory},
	{"msync", make_memory, do_sync_memory},
	{"mremap", make_memory, do_remap},
	{"process-readv", make_memory, do_readv_process},
	{"shm", NULL, do_shm},
	{"mempolicy", NULL, do_policy},
	{"tee", make_pipes, do_tee},
	{"splice", make_pipes, do_splice},
	{"vmsplice", make_pipes, do_vmsplice},
	{"ppoll-16", make_pipes, do_ppoll},
	{"epoll-ctl", make_epoll, do_epoll_ctl},
	{"pass-descriptor", make_pair, do_pass_descriptor},
	{"getsockopt", make_pair, do_sockopt},
	{"getsockname", make_pair, do_getsockname},
	{"netlink-dump", make_netlink, do_netlink},
	{"inet-socket", NULL, do_inet_socket},
	{"ifconf", make_inet, do_ifconf},
	{"posix-queue", make_queue, do_queue},
	{"terminal", make_terminal, do_terminal},
	{"tcgetattr", make_terminal, do_termios},
	{"wait-living", make_child, do_wait_living},
	{"pidfd-open", make_child, do_pidfd},
	{"pidfd-signal", make_child, do_pidfd_signal},
	{"setpgid", make_child, do_setpgid},
	{"kcmp", make_child, do_kcmp},
	{"futex-wait", NULL, do_futex_wait},
};

int main(int argc, char **argv)
{
	run_loops(kinds, sizeof(kinds) / sizeof(*kinds), argc, argv);
	if (child != 0)
		kill(child, SIGKILL);
	(void)!system("rm -rf /tmp/many");
	return 0;
}
