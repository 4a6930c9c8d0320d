/* Which calls note that a task has used a capability (PF_SUPERPRIV): the ninth field of /proc/PID/stat, proc_pid_stat(5). */
#include "check.h"
#include "own_mounts.h"
#include "own_network.h"
#include "run_program.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/netlink.h>
#include <linux/reboot.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <linux/userfaultfd.h>
#include <mqueue.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/klog.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define PF_FORKNOEXEC 0x40
#define PF_MCE_PROCESS 0x80
#define PF_SUPERPRIV 0x100
#define PF_RANDOMIZE 0x400000
#define SOMEBODY 4321
#define NEVER 0
#define USED 1

static pid_t victim;
static int their_segment;

/* The flags of a task by its file of proc. */
static unsigned long flags_in(const char *path)
{
	char text[1024], *at;
	unsigned long flags = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);

	close(fd);
	if (length <= 0)
		return ~0UL;
	text[length] = '\0';
	at = strrchr(text, ')');
	sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %lu", &flags);
	return flags;
}

static int has_used(void)
{
	return (flags_in("/proc/self/stat") & PF_SUPERPRIV) != 0;
}

/* What can be done. Each gives -1 with errno, or anything else; what it makes ends with its process. */
static long close_after(int fd)
{
	if (fd != -1)
		close(fd);
	return fd;
}

#define ACTION(name, expression) \
	static long name(void) \
	{ \
		return (long)(expression); \
	}

static long set_option(int level, int name, int value)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd == -1 ? -1 : setsockopt(fd, level, name, &value, sizeof(value));
}

static long bind_to(in_port_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd == -1 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
}

static long change_flags_of_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd == -1 ? -1 : ioctl(fd, SIOCSIFFLAGS, &request);
}

static long send_credentials(pid_t pid, uid_t uid)
{
	struct ucred claim = {.pid = pid, .uid = uid, .gid = getgid()};
	char control[CMSG_SPACE(sizeof(claim))] = {0}, byte = 'x';
	struct iovec vector = {&byte, 1};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return -1;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_CREDENTIALS;
	header->cmsg_len = CMSG_LEN(sizeof(claim));
	memcpy(CMSG_DATA(header), &claim, sizeof(claim));
	return sendmsg(pair[0], &message, 0);
}

static long read_file(const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd == -1 ? -1 : read(fd, &byte, 1);

	close_after(fd);
	return length;
}

static long read_of_victim(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", victim, name);
	return read_file(path);
}

static long attach_filter(void)
{
	struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
	struct sock_fprog program = {1, &allow};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static long set_capabilities(uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)permitted, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(permitted >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
	};

	return syscall(SYS_capset, &header, data);
}

/* CAP_SETPCAP alone is kept: another one becomes inheritable by that. */
static long make_inheritable(void)
{
	uint64_t setpcap = 1ULL << CAP_SETPCAP;

	return set_capabilities(setpcap, 0) == -1 ? -1 : set_capabilities(setpcap, 1ULL << CAP_CHOWN);
}

static long lock_page(rlim_t limit)
{
	static char page[8192];
	struct rlimit limits = {limit, limit};

	return setrlimit(RLIMIT_MEMLOCK, &limits) == -1 ? -1 : mlock(page, 4096);
}

static long map(void *address, int flags)
{
	return (long)mmap(address, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0) == -1 ? -1 : 0;
}

static long set_policy(int policy, int priority)
{
	struct sched_param parameter = {priority};

	return sched_setscheduler(0, policy, &parameter);
}

static long pin(pid_t pid)
{
	cpu_set_t processors;

	return sched_getaffinity(pid, sizeof(processors), &processors) == -1
		       ? -1
		       : sched_setaffinity(pid, sizeof(processors), &processors);
}

static long lock_own_segment(void)
{
	int segment = shmget(IPC_PRIVATE, 4096, 0600);
	long result = segment == -1 ? -1 : shmctl(segment, SHM_LOCK, NULL);
	int saved = errno;

	shmctl(segment, IPC_RMID, NULL);
	errno = saved;
	return result;
}

static long attach_segment(int segment)
{
	void *address = shmat(segment, NULL, SHM_RDONLY);

	return address == (void *)-1 ? -1 : 0;
}

static long enter_own(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	return fd == -1 ? -1 : setns(fd, 0);
}

static long name_host(void)
{
	char name[65];

	return gethostname(name, sizeof(name)) == -1 ? -1 : sethostname(name, strlen(name));
}

static long open_queue(void)
{
	mqd_t queue = mq_open("/superuser", O_CREAT | O_RDWR | O_EXCL, 0600, NULL);

	mq_unlink("/superuser");
	return queue;
}

static long lease(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd == -1 ? -1 : fcntl(fd, F_SETLEASE, F_RDLCK);
}

static long grow_pipe(int size)
{
	int ends[2];

	return pipe2(ends, O_CLOEXEC) == -1 ? -1 : fcntl(ends[1], F_SETPIPE_SZ, size);
}

static long read_memory_of(pid_t pid)
{
	static char here, there;
	struct iovec local = {&here, 1}, remote = {&there, 1};

	return process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

static long read_memory_of_child(void)
{
	pid_t child = child_that_pauses();
	long result = read_memory_of(child);
	int saved = errno;

	kill(child, SIGKILL);
	errno = saved;
	return result;
}

static long take_out(const char *path, mode_t mode, dev_t device)
{
	long result = mknod(path, mode, device);
	int saved = errno;

	unlink(path);
	errno = saved;
	return result;
}

static long put_and_take_name(void)
{
	long result = link("public", "second");
	int saved = errno;

	unlink("second");
	errno = saved;
	return result;
}

static long unlink_from_sticky(void)
{
	return unlink("sticky/theirs");
}

static long change_inode_flags(void)
{
	int flags = FS_APPEND_FL, none = 0, fd = open("own", O_RDONLY | O_CLOEXEC), saved;
	long result = fd == -1 ? -1 : ioctl(fd, FS_IOC_SETFLAGS, &flags);

	saved = errno;
	ioctl(fd, FS_IOC_SETFLAGS, &none);
	errno = saved;
	return result;
}

static long clear_text_flags(const char *path, mode_t mode)
{
	int fd;
	long result;

	if (chmod(path, mode) == -1)
		return -1;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	result = fd == -1 ? -1 : write(fd, "x", 1);
	close_after(fd);
	return result;
}

static long bind_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return syscall(SYS_mbind, page, 4096, MPOL_DEFAULT, NULL, 0, MPOL_MF_MOVE_ALL);
}

static long advise_self(void)
{
	static char page[8192] __attribute__((aligned(4096)));
	struct iovec range = {page, 4096};
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

	return syscall(SYS_process_madvise, self, &range, 1, MADV_COLD, 0);
}

static long lower_score(void)
{
	return write_text("/proc/self/oom_score_adj", "500") == -1 ? -1 : write_text("/proc/self/oom_score_adj", "0");
}

static long raise_score(void)
{
	return write_text("/proc/self/oom_score_adj", "500");
}

static long list_attributes(void)
{
	char names[256];

	return listxattr("own", names, sizeof(names));
}

static long get_trusted(void)
{
	char value[8];

	return getxattr("own", "trusted.none", value, sizeof(value));
}

static long set_attribute(const char *name)
{
	long result = setxattr("own", name, "x", 1, 0);
	int saved = errno;

	removexattr("own", name);
	errno = saved;
	return result;
}

static long change_ids(uid_t real, uid_t effective, uid_t saved_id)
{
	return setresuid(real, effective, saved_id);
}

static long set_io_class(int class)
{
	return syscall(SYS_ioprio_set, 1, 0, class << 13);
}

static long listen_for_links(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd == -1 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
}

ACTION(do_nothing, getpid())
ACTION(change_root, chroot("/"))
ACTION(signal_own_process, kill(getpid(), 0))
ACTION(signal_other, kill(victim, 0))
ACTION(open_public, close_after(open("public", O_RDWR | O_CLOEXEC)))
ACTION(open_theirs, close_after(open("theirs", O_RDONLY | O_CLOEXEC)))
ACTION(open_own, close_after(open("own", O_RDWR | O_CLOEXEC)))
ACTION(open_locked, close_after(open("locked", O_RDONLY | O_CLOEXEC)))
ACTION(check_theirs, access("theirs", R_OK))
ACTION(look_in_their_directory, access("closed/file", F_OK))
ACTION(change_own_mode, chmod("own", 0600))
ACTION(change_their_mode, chmod("theirs", 0600))
ACTION(give_own_to_self, chown("own", 0, 0))
ACTION(give_own_away, chown("own", SOMEBODY, (gid_t)-1) == -1 ? -1 : chown("own", 0, 0))
ACTION(take_theirs, chown("theirs", SOMEBODY, SOMEBODY))
ACTION(touch_theirs, utimensat(AT_FDCWD, "theirs", NULL, 0))
ACTION(touch_public, utimensat(AT_FDCWD, "public", NULL, 0))
ACTION(make_device, take_out("device", S_IFCHR | 0600, 0x103))
ACTION(make_whiteout, take_out("device", S_IFCHR | 0600, 0))
ACTION(make_fifo, take_out("fifo", S_IFIFO | 0600, 0))
ACTION(open_without_time, close_after(open("public", O_RDONLY | O_NOATIME | O_CLOEXEC)))
ACTION(write_to_plain, clear_text_flags("own", 0600))
ACTION(write_to_set_uid, clear_text_flags("own", 04700))
ACTION(write_to_locking, clear_text_flags("own", 02600))
ACTION(set_user_attribute, set_attribute("user.x"))
ACTION(set_trusted_attribute, set_attribute("trusted.x"))
ACTION(set_security_attribute, set_attribute("security.x"))
ACTION(lease_own, lease("own"))
ACTION(lease_theirs, lease("public"))
ACTION(set_user, setuid(0))
ACTION(set_same_users, setreuid((uid_t)-1, 0))
ACTION(set_all_same, change_ids(0, 0, 0))
ACTION(set_other_users, change_ids(0, SOMEBODY, 0))
ACTION(set_file_user, setfsuid(0))
ACTION(set_other_file_user, setfsuid(SOMEBODY))
ACTION(set_group, setgid(0))
ACTION(set_same_groups, setregid((gid_t)-1, 0))
ACTION(set_groups, setgroups(0, NULL))
ACTION(be_nice, setpriority(PRIO_PROCESS, 0, 1))
ACTION(be_as_nice, setpriority(PRIO_PROCESS, 0, 0))
ACTION(be_less_nice, setpriority(PRIO_PROCESS, 0, -1))
ACTION(be_real_time, set_policy(SCHED_FIFO, 1))
ACTION(be_a_batch, set_policy(SCHED_BATCH, 0))
ACTION(pin_self, pin(0))
ACTION(pin_other, pin(victim))
ACTION(ask_for_real_time_io, set_io_class(1))
ACTION(ask_for_idle_io, set_io_class(3))
ACTION(lock_little, lock_page(65536))
ACTION(lock_without_limit, lock_page(0))
ACTION(map_locked, map(NULL, MAP_LOCKED))
ACTION(map_plainly, map(NULL, 0))
ACTION(map_null, map(NULL, MAP_FIXED))
ACTION(limit_self, lock_page(8192))
ACTION(drop_from_bounding_set, prctl(PR_CAPBSET_DROP, CAP_WAKE_ALARM, 0, 0, 0))
ACTION(set_securebits, prctl(PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0))
ACTION(keep_capabilities, prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
ACTION(make_user_namespace, unshare(CLONE_NEWUSER))
ACTION(make_mount_namespace, unshare(CLONE_NEWNS))
ACTION(make_both, unshare(CLONE_NEWUSER | CLONE_NEWNS))
ACTION(begin_mounting, close_after((int)syscall(SYS_fsopen, "tmpfs", 1)))
ACTION(make_raw_socket, close_after(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP)))
ACTION(make_packet_socket, close_after(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)))
ACTION(make_datagram_socket, close_after(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)))
ACTION(bind_low, bind_to(80))
ACTION(bind_anywhere, bind_to(0))
ACTION(set_mark, set_option(SOL_SOCKET, SO_MARK, 1))
ACTION(set_priority, set_option(SOL_SOCKET, SO_PRIORITY, 6))
ACTION(set_high_priority, set_option(SOL_SOCKET, SO_PRIORITY, 7))
ACTION(force_buffer, set_option(SOL_SOCKET, SO_SNDBUFFORCE, 4096))
ACTION(set_buffer, set_option(SOL_SOCKET, SO_SNDBUF, 4096))
ACTION(debug_socket, set_option(SOL_SOCKET, SO_DEBUG, 1))
ACTION(be_transparent, set_option(IPPROTO_IP, IP_TRANSPARENT, 1))
ACTION(not_be_transparent, set_option(IPPROTO_IP, IP_TRANSPARENT, 0))
ACTION(claim_own_ids, send_credentials(getpid(), 0))
ACTION(claim_other_process, send_credentials(1, 0))
ACTION(claim_other_user, send_credentials(getpid(), SOMEBODY))
ACTION(read_status_of_other, read_of_victim("status"))
ACTION(read_stat_of_other, read_of_victim("stat"))
ACTION(read_environment_of_other, read_of_victim("environ"))
ACTION(read_page_map, close_after(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)))
ACTION(read_own_environment, read_file("/proc/self/environ"))
ACTION(read_setting, read_file("/proc/sys/kernel/osrelease"))
ACTION(read_network_setting, read_file("/proc/sys/net/ipv4/ip_forward"))
ACTION(read_user_setting, read_file("/proc/sys/user/max_user_namespaces"))
ACTION(read_memory_of_other, read_memory_of(victim))
ACTION(reboot_with_no_magic, syscall(SYS_reboot, 0, 0, LINUX_REBOOT_CMD_CAD_OFF, 0))
ACTION(set_console_level, klogctl(8, NULL, 0))
ACTION(grow_pipe_a_little, grow_pipe(1 << 18))
ACTION(attach_their_segment, attach_segment(their_segment))
ACTION(enter_own_uts, enter_own("/proc/self/ns/uts"))
ACTION(make_alarm, close_after(timerfd_create(CLOCK_BOOTTIME_ALARM, TFD_CLOEXEC)))
ACTION(make_timer, close_after(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC)))
ACTION(watch_user_faults, close_after((int)syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY)))
ACTION(watch_all_faults, close_after((int)syscall(SYS_userfaultfd, 0)))
ACTION(attach_to_other, ptrace(PTRACE_SEIZE, victim, NULL, NULL))

/* What comes of it, and whether a capability was used: for the superuser, and for that of a user namespace which has one
 * user, and the machine's other namespaces. */
static const struct row {
	const char *name;
	long (*act)(void);
	int error, use, error_inside, use_inside;
} rows[] = {
	{"do_nothing", do_nothing, 0, NEVER, 0, NEVER},
	{"change_root", change_root, 0, USED, 0, USED},
	{"signal_own_process", signal_own_process, 0, NEVER, 0, NEVER},
	{"signal_other", signal_other, 0, USED, EPERM, NEVER},
	{"open_public", open_public, 0, NEVER, 0, NEVER},
	{"open_theirs", open_theirs, 0, USED, EACCES, USED},
	{"open_own", open_own, 0, NEVER, 0, NEVER},
	{"open_locked", open_locked, 0, USED, 0, USED},
	{"check_theirs", check_theirs, 0, USED, EACCES, USED},
	{"look_in_their_directory", look_in_their_directory, 0, USED, EACCES, USED},
	{"change_own_mode", change_own_mode, 0, NEVER, 0, NEVER},
	{"change_their_mode", change_their_mode, 0, USED, EPERM, NEVER},
	{"give_own_to_self", give_own_to_self, 0, NEVER, 0, NEVER},
	{"give_own_away", give_own_away, 0, USED, EINVAL, NEVER},
	{"take_theirs", take_theirs, 0, USED, EINVAL, NEVER},
	{"touch_theirs", touch_theirs, 0, USED, EACCES, USED},
	{"touch_public", touch_public, 0, USED, 0, NEVER},
	{"make_device", make_device, 0, USED, EPERM, NEVER},
	{"make_whiteout", make_whiteout, 0, NEVER, 0, NEVER},
	{"make_fifo", make_fifo, 0, NEVER, 0, NEVER},
	{"open_without_time", open_without_time, 0, USED, EPERM, NEVER},
	{"write_to_plain", write_to_plain, 0, NEVER, 0, NEVER},
	{"write_to_set_uid", write_to_set_uid, 0, USED, 0, NEVER},
	{"write_to_locking", write_to_locking, 0, NEVER, 0, NEVER},
	{"set_user_attribute", set_user_attribute, 0, NEVER, 0, NEVER},
	{"set_trusted_attribute", set_trusted_attribute, 0, USED, EPERM, NEVER},
	{"set_security_attribute", set_security_attribute, 0, USED, EPERM, NEVER},
	{"lease_own", lease_own, 0, NEVER, 0, NEVER},
	{"lease_theirs", lease_theirs, 0, USED, EACCES, NEVER},
	{"set_user", set_user, 0, USED, 0, USED},
	{"set_same_users", set_same_users, 0, NEVER, 0, NEVER},
	{"set_all_same", set_all_same, 0, NEVER, 0, NEVER},
	{"set_other_users", set_other_users, 0, USED, EINVAL, NEVER},
	{"set_file_user", set_file_user, 0, NEVER, 0, NEVER},
	{"set_other_file_user", set_other_file_user, 0, USED, 0, NEVER},
	{"set_group", set_group, 0, USED, 0, USED},
	{"set_same_groups", set_same_groups, 0, NEVER, 0, NEVER},
	{"set_groups", set_groups, 0, USED, EPERM, USED},
	{"be_nice", be_nice, 0, NEVER, 0, NEVER},
	{"be_as_nice", be_as_nice, 0, NEVER, 0, NEVER},
	{"be_less_nice", be_less_nice, 0, USED, EACCES, NEVER},
	{"be_real_time", be_real_time, 0, USED, EPERM, NEVER},
	{"be_a_batch", be_a_batch, 0, NEVER, 0, NEVER},
	{"pin_self", pin_self, 0, NEVER, 0, NEVER},
	{"pin_other", pin_other, 0, USED, EPERM, NEVER},
	{"ask_for_real_time_io", ask_for_real_time_io, 0, USED, EPERM, NEVER},
	{"ask_for_idle_io", ask_for_idle_io, 0, NEVER, 0, NEVER},
	{"lock_little", lock_little, 0, NEVER, 0, NEVER},
	{"lock_without_limit", lock_without_limit, 0, USED, EPERM, NEVER},
	{"map_locked", map_locked, 0, USED, 0, NEVER},
	{"map_plainly", map_plainly, 0, NEVER, 0, NEVER},
	{"map_null", map_null, 0, USED, EPERM, NEVER},
	{"limit_self", limit_self, 0, NEVER, 0, NEVER},
	{"drop_from_bounding_set", drop_from_bounding_set, 0, USED, 0, USED},
	{"set_securebits", set_securebits, 0, NEVER, 0, NEVER},
	{"keep_capabilities", keep_capabilities, 0, NEVER, 0, NEVER},
	{"make_user_namespace", make_user_namespace, 0, NEVER, 0, NEVER},
	{"make_mount_namespace", make_mount_namespace, 0, USED, 0, USED},
	{"make_both", make_both, 0, USED, 0, USED},
	{"begin_mounting", begin_mounting, 0, USED, EPERM, NEVER},
	{"make_raw_socket", make_raw_socket, 0, USED, EPERM, NEVER},
	{"make_packet_socket", make_packet_socket, 0, USED, EPERM, NEVER},
	{"make_datagram_socket", make_datagram_socket, 0, NEVER, 0, NEVER},
	{"bind_low", bind_low, 0, USED, EACCES, NEVER},
	{"bind_anywhere", bind_anywhere, 0, NEVER, 0, NEVER},
	{"set_mark", set_mark, 0, USED, EPERM, NEVER},
	{"set_priority", set_priority, 0, NEVER, 0, NEVER},
	{"set_high_priority", set_high_priority, 0, USED, EPERM, NEVER},
	{"force_buffer", force_buffer, 0, USED, EPERM, NEVER},
	{"set_buffer", set_buffer, 0, NEVER, 0, NEVER},
	{"debug_socket", debug_socket, 0, USED, EACCES, NEVER},
	{"be_transparent", be_transparent, 0, USED, EPERM, NEVER},
	{"not_be_transparent", not_be_transparent, 0, NEVER, 0, NEVER},
	{"claim_own_ids", claim_own_ids, 0, NEVER, 0, NEVER},
	{"claim_other_process", claim_other_process, 0, USED, EPERM, NEVER},
	{"claim_other_user", claim_other_user, 0, USED, EINVAL, NEVER},
	{"read_status_of_other", read_status_of_other, 0, NEVER, 0, NEVER},
	{"read_stat_of_other", read_stat_of_other, 0, USED, 0, NEVER},
	{"read_environment_of_other", read_environment_of_other, 0, USED, EACCES, NEVER},
	{"read_page_map", read_page_map, 0, NEVER, 0, NEVER},
	{"read_own_environment", read_own_environment, 0, NEVER, 0, NEVER},
	{"read_setting", read_setting, 0, NEVER, 0, NEVER},
	{"read_network_setting", read_network_setting, 0, USED, 0, NEVER},
	{"read_user_setting", read_user_setting, 0, NEVER, 0, USED},
	{"read_memory_of_other", read_memory_of_other, 0, USED, EPERM, NEVER},
	{"reboot_with_no_magic", reboot_with_no_magic, EINVAL, USED, EPERM, NEVER},
	{"set_console_level", set_console_level, EINVAL, USED, EPERM, NEVER},
	{"grow_pipe_a_little", grow_pipe_a_little, 0, NEVER, 0, NEVER},
	{"attach_their_segment", attach_their_segment, 0, USED, EACCES, NEVER},
	{"enter_own_uts", enter_own_uts, 0, USED, EPERM, NEVER},
	{"make_alarm", make_alarm, 0, USED, EPERM, NEVER},
	{"make_timer", make_timer, 0, NEVER, 0, NEVER},
	{"watch_user_faults", watch_user_faults, 0, NEVER, 0, NEVER},
	{"watch_all_faults", watch_all_faults, 0, USED, EPERM, NEVER},
	{"attach_to_other", attach_to_other, 0, USED, EPERM, NEVER},
	{"change_flags_of_loopback", change_flags_of_loopback, 0, USED, EPERM, NEVER},
	{"attach_filter", attach_filter, 0, USED, 0, USED},
	{"make_inheritable", make_inheritable, 0, NEVER, 0, NEVER},
	{"lock_own_segment", lock_own_segment, 0, USED, 0, NEVER},
	{"name_host", name_host, 0, USED, EPERM, NEVER},
	{"open_queue", open_queue, 0, NEVER, 0, NEVER},
	{"read_memory_of_child", read_memory_of_child, 0, NEVER, 0, NEVER},
	{"put_and_take_name", put_and_take_name, 0, NEVER, 0, NEVER},
	{"unlink_from_sticky", unlink_from_sticky, 0, USED, EPERM, USED},
	{"change_inode_flags", change_inode_flags, 0, USED, EPERM, NEVER},
	{"bind_memory", bind_memory, 0, USED, EPERM, NEVER},
	{"advise_self", advise_self, 0, NEVER, 0, NEVER},
	{"lower_score", lower_score, 0, NEVER, 0, NEVER},
	{"raise_score", raise_score, 0, NEVER, 0, NEVER},
	{"list_attributes", list_attributes, 0, USED, 0, NEVER},
	{"get_trusted", get_trusted, ENODATA, USED, ENODATA, NEVER},
	{"listen_for_links", listen_for_links, 0, NEVER, 0, NEVER},
};

static void make_file(const char *path, mode_t mode, uid_t owner)
{
	int fd = (int)MUST(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));

	MUST(fchown(fd, owner, owner));
	MUST(fchmod(fd, mode));
	MUST(close(fd));
}

static void make_directory(const char *path, mode_t mode, uid_t owner)
{
	MUST(mkdir(path, 0700));
	MUST(chmod(path, mode));
	MUST(chown(path, owner, owner));
}

/* A process and files of somebody else, and namespaces of one's own. CAP_SYS_RESOURCE isn't everywhere to be had. */
static void prepare(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	volatile int *shared = make_shared_page();

	MUST(setpriority(PRIO_PROCESS, 0, 0));
	enter();
	MUST(unshare(CLONE_NEWUTS | CLONE_NEWIPC));
	enter_own_mounts("tmpfs", "mode=755");
	make_file("own", 0600, 0);
	make_file("locked", 0, 0);
	make_file("public", 0666, SOMEBODY);
	make_file("theirs", 0600, SOMEBODY);
	make_directory("closed", 0700, SOMEBODY);
	make_directory("sticky", 01777, SOMEBODY);
	make_file("closed/file", 0600, SOMEBODY);
	make_file("sticky/theirs", 0600, SOMEBODY);
	victim = (pid_t)MUST(fork());
	if (victim == 0) {
		MUST(setresgid(SOMEBODY, SOMEBODY, SOMEBODY));
		MUST(setresuid(SOMEBODY, SOMEBODY, SOMEBODY));
		shared[0] = (int)MUST(shmget(IPC_PRIVATE, 4096, 0600)) + 1;
		for (;;)
			pause();
	}
	while (shared[0] == 0)
		sleep_ms(1);
	their_segment = shared[0] - 1;
	MUST(syscall(SYS_capget, &header, data));
	MUST(set_capabilities(((uint64_t)data[1].permitted << 32 | data[0].permitted) & ~(1ULL << CAP_SYS_RESOURCE), 0));
}

/* Each row in a child of its own, which has used nothing: at a fork it's forgotten. */
static void try_row(const struct row *row, const char *who, int error, int use)
{
	char text[120];
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		int before = has_used(), got;
		long result;

		errno = 0;
		result = row->act();
		got = result == -1 ? errno : 0;
		snprintf(text, sizeof(text), "%s has used nothing before %s", who, row->name);
		check_equal(__FILE_NAME__, __LINE__, text, before, 0);
		if (error != -1) {
			snprintf(text, sizeof(text), "what %s gives %s", row->name, who);
			check_equal(__FILE_NAME__, __LINE__, text, got, error);
		}
		snprintf(text, sizeof(text), "whether %s uses a capability of %s", row->name, who);
		check_equal(__FILE_NAME__, __LINE__, text, has_used(), use);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), 0);
}

TEST(the_superuser)
{
	prepare();
	for (size_t at = 0; at < LENGTH(rows); at++)
		try_row(&rows[at], "the superuser", rows[at].error, rows[at].use);
	kill(victim, SIGKILL);
}

TEST(the_superuser_of_a_user_namespace)
{
	pid_t child;

	prepare();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(unshare(CLONE_NEWUSER));
		CHECK_EQ(has_used(), 0);
		MUST(write_text("/proc/self/uid_map", "0 0 1"));
		CHECK_EQ(has_used(), 0);
		MUST(write_text("/proc/self/setgroups", "deny"));
		CHECK_EQ(has_used(), 1);
		MUST(write_text("/proc/self/gid_map", "0 0 1"));
		for (size_t at = 0; at < LENGTH(rows); at++)
			try_row(&rows[at], "its superuser", rows[at].error_inside, rows[at].use_inside);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), 0);
	kill(victim, SIGKILL);
}

TEST(somebody)
{
	pid_t child;

	prepare();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setgroups(0, NULL));
		MUST(setresgid(NOBODY, NOBODY, NOBODY));
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		MUST(prctl(PR_SET_DUMPABLE, 1));
		for (size_t at = 0; at < LENGTH(rows); at++)
			/* In a user namespace of one's own one has every capability. */
			try_row(&rows[at], "nobody", -1, rows[at].act == make_both ? USED : NEVER);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), 0);
	kill(victim, SIGKILL);
}

ROLE(flags)
{
	printf("flags=%#lx\n", flags_in("/proc/self/stat"));
	return 0;
}

static void *look_from_thread(void *flags)
{
	*(unsigned long *)flags = flags_in("/proc/thread-self/stat");
	return NULL;
}

ROLE(inherits)
{
	unsigned long seen = flags_in("/proc/self/stat") & (PF_SUPERPRIV | PF_FORKNOEXEC | PF_MCE_PROCESS);

	return seen != (PF_SUPERPRIV | PF_MCE_PROCESS);
}

static char *flags_role[] = {"CHECK_ROLE=flags", NULL};

TEST(what_is_kept)
{
	unsigned long flags = 0;
	pthread_t thread;
	pid_t child;

	CHECK_EQ(flags_in("/proc/self/stat") & PF_FORKNOEXEC, PF_FORKNOEXEC);
	MUST(chroot("/"));
	CHECK_EQ(has_used(), 1);
	MUST(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_LATE, 0, 0));
	CHECK_EQ(flags_in("/proc/self/stat") & PF_MCE_PROCESS, PF_MCE_PROCESS);
	/* Neither a thread nor a child has used anything, but both have the rest. */
	MUST(-pthread_create(&thread, NULL, look_from_thread, &flags));
	pthread_join(thread, NULL);
	CHECK_EQ(flags & (PF_SUPERPRIV | PF_FORKNOEXEC | PF_MCE_PROCESS), PF_FORKNOEXEC | PF_MCE_PROCESS);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(flags_in("/proc/self/stat") & (PF_SUPERPRIV | PF_MCE_PROCESS), PF_MCE_PROCESS);
		/* A new program has used what the old one has. */
		MUST(chroot("/"));
		execve(check_self, (char *[]){check_self, NULL}, (char *[]){"CHECK_ROLE=inherits", NULL});
		_exit(2);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	/* It's the same at the end, for who reaps it. */
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(chroot("/"));
	await_zombie(child);
	{
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/stat", child);
		CHECK_EQ(flags_in(path), 0x40804c | PF_SUPERPRIV | PF_MCE_PROCESS);
	}
	CHECK_EQ(wait_for(child), 0);
}

TEST(an_execution)
{
	run(check_self, (char *[]){check_self, NULL}, flags_role);
	CHECK_EQ(field("flags"), PF_RANDOMIZE);
	MUST(chroot("/"));
	MUST(personality(ADDR_NO_RANDOMIZE));
	run(check_self, (char *[]){check_self, NULL}, flags_role);
	CHECK_EQ(field("flags"), 0);
}

TEST(securebits_of_interpreters)
{
	unsigned int both = 1 << 8 | 1 << 10;

	CHECK_OK(prctl(PR_SET_SECUREBITS, 1 << 8, 0, 0, 0));
	CHECK_EQ(prctl(PR_GET_SECUREBITS), 1 << 8);
	CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 1 << 12, 0, 0, 0), EPERM);
	MUST(setresuid(SOMEBODY, SOMEBODY, SOMEBODY));
	/* Anybody may set them, if that changes anything. */
	CHECK_OK(prctl(PR_SET_SECUREBITS, both, 0, 0, 0));
	CHECK_ERRNO(prctl(PR_SET_SECUREBITS, both, 0, 0, 0), EPERM);
	CHECK_ERRNO(prctl(PR_SET_SECUREBITS, both | SECBIT_NOROOT, 0, 0, 0), EPERM);
	CHECK_OK(prctl(PR_SET_SECUREBITS, both | both << 1, 0, 0, 0));
	CHECK_ERRNO(prctl(PR_SET_SECUREBITS, both << 1, 0, 0, 0), EPERM);
	CHECK_EQ(prctl(PR_GET_SECUREBITS), both | both << 1);
	CHECK_EQ(has_used(), 1);
}

/* Raising it isn't undone by nobody: what counts is who set it last with the capability to lower it. */
TEST(a_score_for_the_end)
{
	MUST(setresuid(SOMEBODY, SOMEBODY, SOMEBODY));
	MUST(prctl(PR_SET_DUMPABLE, 1));
	CHECK_OK(write_text("/proc/self/oom_score_adj", "500"));
	CHECK_OK(write_text("/proc/self/oom_score_adj", "100"));
	CHECK_OK(write_text("/proc/self/oom_score_adj", "0"));
	CHECK_ERRNO(write_text("/proc/self/oom_score_adj", "-1"), EACCES);
	CHECK_OK(write_text("/proc/self/oom_adj", "10"));
	CHECK_ERRNO(write_text("/proc/self/oom_adj", "9"), EACCES);
	CHECK_OK(write_text("/proc/self/oom_score_adj", "0"));
}
