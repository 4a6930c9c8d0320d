/* Ways out of a chroot or of namespaces, and what becomes of each: chroot(2), user_namespaces(7), setns(2). */
#include "check.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#define MOUNTS_AND_NAMES (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC)

static pid_t outside;
static int outer_user, outer_mounts, outer_names, outer_processes;

static const char *of_outside(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", outside, name);
	return path;
}

static void write_map(const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/%s", name);
	fd = (int)MUST(open(path, O_WRONLY));
	MUST(write(fd, text, strlen(text)));
	MUST(close(fd));
}

/* Runs `body` as somebody without rights, or as root of new namespaces that somebody made. */
static void imprison(void (*body)(void), int namespaces)
{
	pid_t child;

	outside = getpid();
	outer_user = (int)MUST(open("/proc/self/ns/user", O_RDONLY));
	outer_mounts = (int)MUST(open("/proc/self/ns/mnt", O_RDONLY));
	outer_names = (int)MUST(open("/proc/self/ns/uts", O_RDONLY));
	outer_processes = (int)MUST(open("/proc/self/ns/pid", O_RDONLY));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setresgid(NOBODY, NOBODY, NOBODY));
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		/* What it was before leaves its files of /proc to root. */
		MUST(prctl(PR_SET_DUMPABLE, 1));
		if (namespaces) {
			MUST(unshare(namespaces));
			write_map("setgroups", "deny");
			write_map("uid_map", "0 65534 1");
			write_map("gid_map", "0 65534 1");
			CHECK_EQ(geteuid(), 0);
		}
		body();
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static void try_with_nothing(void)
{
	CHECK_ERRNO(unshare(CLONE_NEWNS), EPERM);
	CHECK_ERRNO(unshare(CLONE_NEWPID), EPERM);
	CHECK_ERRNO(unshare(CLONE_NEWUTS), EPERM);
	CHECK_ERRNO(setns(outer_mounts, CLONE_NEWNS), EPERM);
	CHECK_ERRNO(setns(outer_names, CLONE_NEWUTS), EPERM);
	CHECK_ERRNO(setns(outer_processes, CLONE_NEWPID), EPERM);
	CHECK_ERRNO(setns(outer_user, CLONE_NEWUSER), EINVAL);
	CHECK_ERRNO(chroot("/"), EPERM);
	CHECK_ERRNO(mount("none", "/", "tmpfs", 0, NULL), EPERM);
	CHECK_ERRNO(umount2("/proc", MNT_DETACH), EPERM);
	CHECK_ERRNO(syscall(SYS_pivot_root, "/", "/"), EPERM);
	CHECK_ERRNO(sethostname("x", 1), EPERM);
}

TEST(somebody_without_rights)
{
	imprison(try_with_nothing, 0);
}

static void try_to_get_out(void)
{
	char text[PATH_MAX], byte;
	struct iovec here = {&byte, 1}, there = {(void *)&outside, 1};

	/* The process outside is seen, and that is all. */
	CHECK_ERRNO(readlink(of_outside("root"), text, sizeof(text)), EACCES);
	CHECK_ERRNO(open(of_outside("root"), O_PATH), EACCES);
	CHECK_ERRNO(chdir(of_outside("cwd")), EACCES);
	CHECK_ERRNO(readlink(of_outside("exe"), text, sizeof(text)), EACCES);
	CHECK_ERRNO(open(of_outside("ns/mnt"), O_RDONLY), EACCES);
	CHECK_ERRNO(readlink(of_outside("ns/user"), text, sizeof(text)), EACCES);
	CHECK_ERRNO(open(of_outside("mem"), O_RDONLY), EACCES);
	CHECK_ERRNO(open(of_outside("uid_map"), O_WRONLY), EACCES);
	CHECK_ERRNO(open(of_outside("fd"), O_RDONLY), EACCES);
	CHECK_ERRNO(process_vm_readv(outside, &here, 1, &there, 1, 0), EPERM);
	CHECK_ERRNO(kill(outside, 0), EPERM);
	CHECK_ERRNO(setpriority(PRIO_PROCESS, (id_t)outside, 1), EPERM);
	/* Descriptors of the namespaces outside are no keys to them. */
	CHECK_ERRNO(setns(outer_user, CLONE_NEWUSER), EPERM);
	CHECK_ERRNO(setns(outer_mounts, CLONE_NEWNS), EPERM);
	CHECK_ERRNO(setns(outer_names, CLONE_NEWUTS), EPERM);
	CHECK_ERRNO(setns(outer_processes, CLONE_NEWPID), EPERM);
	/* What is outside belongs to nobody here. */
	CHECK_ERRNO(open("/proc/sys/kernel/core_pattern", O_WRONLY), EACCES);
	CHECK_ERRNO(mknod("/tmp/escape-device", S_IFCHR | 0666, makedev(1, 1)), EPERM);
	CHECK_ERRNO(setuid(1), EINVAL);
	CHECK_ERRNO(chown("/", 0, 0), EPERM);
	CHECK_ERRNO(mount("none", "/tmp", "devtmpfs", 0, NULL), EPERM);
}

TEST(root_of_a_user_namespace)
{
	imprison(try_to_get_out, CLONE_NEWUSER);
}

static void try_mounts_outside(void)
{
	CHECK_ERRNO(mount("none", "/tmp", "tmpfs", 0, NULL), EPERM);
	CHECK_ERRNO(mount("/", "/tmp", NULL, MS_BIND, NULL), EPERM);
	CHECK_ERRNO(umount2("/proc", MNT_DETACH), EPERM);
	CHECK_ERRNO(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL), EPERM);
	CHECK_ERRNO(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL), EPERM);
	CHECK_ERRNO(sethostname("x", 1), EPERM);
}

static pid_t neighbour, insider;

/* What may be done to another process by whoever may trace it. */
static void try_to_trace(pid_t target, int want)
{
	long word = 0;
	struct iovec mine = {&word, sizeof(word)}, theirs = {&neighbour, sizeof(neighbour)};
	char path[64];
	int pidfd;

	CHECK_EQ(ERRNO_OF(ptrace(PTRACE_SEIZE, target, 0, 0)), want);
	CHECK_EQ(ERRNO_OF(process_vm_readv(target, &mine, 1, &theirs, 1, 0)), want);
	CHECK_EQ(ERRNO_OF(process_vm_writev(target, &mine, 1, &theirs, 1, 0)), want);
	snprintf(path, sizeof(path), "/proc/%d/mem", target);
	CHECK_EQ(ERRNO_OF(open(path, O_RDWR)), want ? EACCES : 0);
	pidfd = (int)MUST(syscall(SYS_pidfd_open, target, 0));
	CHECK_EQ(ERRNO_OF(syscall(SYS_pidfd_getfd, pidfd, STDERR_FILENO, 0)), want);
	if (want)
		CHECK_ERRNO(ptrace(PTRACE_ATTACH, target, 0, 0), want);
	else
		CHECK_EQ(ptrace(PTRACE_DETACH, target, 0, 0), -1);
}

static void trace_outside(void)
{
	try_to_trace(outside, EPERM);
	/* One's own user outside isn't one's own either. */
	try_to_trace(neighbour, EPERM);
	CHECK_ERRNO(ptrace(PTRACE_SEIZE, 1, 0, 0), EPERM);
}

static pid_t make_neighbour(int namespaces)
{
	int ends[2];
	pid_t child;
	char byte;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setresgid(NOBODY, NOBODY, NOBODY));
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		MUST(prctl(PR_SET_DUMPABLE, 1));
		if (namespaces) {
			MUST(unshare(namespaces));
			MUST(prctl(PR_SET_DUMPABLE, 1));
		}
		MUST(write(ends[1], "x", 1));
		for (;;)
			pause();
	}
	MUST(read(ends[0], &byte, 1));
	MUST(close(ends[0]));
	MUST(close(ends[1]));
	return child;
}

TEST(tracing_across_user_namespaces)
{
	MUST(setgroups(0, NULL));
	neighbour = make_neighbour(0);
	imprison(trace_outside, CLONE_NEWUSER);
	imprison(trace_outside, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID);
	MUST(kill(neighbour, SIGKILL));
	wait_for(neighbour);
}

/* Who made a user namespace has every right over what is in it. */
TEST(tracing_into_a_user_namespace)
{
	int status;
	pid_t child;

	MUST(setgroups(0, NULL));
	insider = make_neighbour(CLONE_NEWUSER);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setresgid(NOBODY, NOBODY, NOBODY));
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		try_to_trace(insider, 0);
		_exit(0);
	}
	status = wait_for(child);
	CHECK_EQ(status, EXITED(0));
	MUST(kill(insider, SIGKILL));
	wait_for(insider);
}

static void trace_beyond_the_pid_namespace(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		CHECK_EQ(getpid(), 1);
		CHECK_ERRNO(ptrace(PTRACE_SEIZE, outside, 0, 0), ESRCH);
		CHECK_ERRNO(ptrace(PTRACE_SEIZE, neighbour, 0, 0), ESRCH);
		CHECK_ERRNO(ptrace(PTRACE_SEIZE, 1, 0, 0), EPERM);
		CHECK_ERRNO(kill(neighbour, 0), ESRCH);
		CHECK_ERRNO(syscall(SYS_pidfd_open, neighbour, 0), ESRCH);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(tracing_out_of_a_pid_namespace)
{
	MUST(setgroups(0, NULL));
	neighbour = make_neighbour(0);
	imprison(trace_beyond_the_pid_namespace, CLONE_NEWUSER | CLONE_NEWPID);
	MUST(kill(neighbour, SIGKILL));
	wait_for(neighbour);
}

TEST(mounts_of_the_namespace_outside)
{
	imprison(try_mounts_outside, CLONE_NEWUSER);
}

static void try_mounts_inside(void)
{
	CHECK_EQ(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL), 0);
	/* What was mounted outside hides what is under it. */
	CHECK_ERRNO(umount2("/proc", MNT_DETACH), EINVAL);
	CHECK_ERRNO(mount("/", "/tmp", NULL, MS_BIND, NULL), EINVAL);
	CHECK_ERRNO(mount("none", "/tmp", "proc", 0, NULL), EPERM);
	CHECK_ERRNO(mount("none", "/tmp", "devtmpfs", 0, NULL), EPERM);
	CHECK_EQ(mount("none", "/tmp", "tmpfs", 0, NULL), 0);
	CHECK_ERRNO(mknod("/tmp/device", S_IFCHR | 0666, makedev(1, 1)), EPERM);
	CHECK_EQ(mknod("/tmp/pipe", S_IFIFO | 0666, 0), 0);
	CHECK_EQ(umount2("/tmp", MNT_DETACH), 0);
	CHECK_EQ(sethostname("inside", 6), 0);
}

TEST(mounts_of_a_namespace_of_ones_own)
{
	char before[65], after[65];

	MUST(gethostname(before, sizeof(before)));
	imprison(try_mounts_inside, CLONE_NEWUSER | MOUNTS_AND_NAMES);
	MUST(gethostname(after, sizeof(after)));
	CHECK_STRING(after, before);
}

static void make_jail(void)
{
	enter_scratch();
	MUST(chmod(".", 0755));
	write_file("outside", "out", 0644);
	MUST(mkdir("jail", 0755));
	MUST(mkdir("jail/inner", 0755));
	write_file("jail/inside", "in", 0644);
}

static int sees(const char *path)
{
	return access(path, F_OK) == 0;
}

TEST(dots_dont_lead_out_of_a_chroot)
{
	make_jail();
	MUST(symlink("../../outside", "jail/climbing"));
	MUST(symlink("/outside", "jail/absolute"));
	MUST(chdir("jail"));
	CHECK_EQ(chroot("."), 0);
	CHECK(sees("/inside"));
	CHECK(sees("../../inside"));
	CHECK(!sees("../outside"));
	CHECK(!sees("/../outside"));
	CHECK(!sees("climbing"));
	CHECK(!sees("absolute"));
}

/* The old way, which needs CAP_SYS_CHROOT: a second chroot leaves the directory outside its root. */
TEST(a_second_chroot_leads_out)
{
	char text[PATH_MAX];

	make_jail();
	MUST(chdir("jail"));
	CHECK_EQ(chroot("."), 0);
	CHECK(!sees("../outside"));
	CHECK_EQ(chroot("inner"), 0);
	CHECK(sees("inside"));
	CHECK(sees("../outside"));
	CHECK_EQ(chdir(".."), 0);
	CHECK(sees("outside"));
	CHECK(syscall(SYS_getcwd, text, sizeof(text)) > 0);
	CHECK(strncmp(text, "(unreachable)", 13) == 0);
	CHECK(!sees("/outside"));
}

TEST(an_open_directory_leads_out)
{
	int directory;

	make_jail();
	directory = (int)MUST(open(".", O_PATH | O_DIRECTORY));
	CHECK_EQ(chroot("jail"), 0);
	CHECK_EQ(chdir("/"), 0);
	CHECK(!sees("outside"));
	CHECK_EQ(faccessat(directory, "outside", F_OK, 0), 0);
	CHECK_EQ(faccessat(directory, "../outside", F_OK, 0), -1);
	CHECK_EQ(fchdir(directory), 0);
	CHECK(sees("outside"));
}

TEST(what_a_chroot_forbids)
{
	make_jail();
	MUST(chdir("jail"));
	MUST(chroot("."));
	CHECK_ERRNO(unshare(CLONE_NEWUSER), EPERM);
	CHECK_EQ(unshare(CLONE_NEWNS), 0);
	CHECK_ERRNO(syscall(SYS_pivot_root, ".", "inner"), EBUSY);
}

static void send_descriptor(int socket, int fd)
{
	char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	MUST(sendmsg(socket, &message, 0));
}

static int receive_descriptor(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd;

	MUST(recvmsg(socket, &message, 0));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

/* A descriptor keeps what it leads to, in whichever mount namespace its holder is. */
TEST(descriptors_that_are_sent_into_a_mount_namespace)
{
	char text[4] = "";
	int sockets[2], directory;
	pid_t child;

	make_jail();
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		char name[64], target[PATH_MAX] = "";
		int fd, file;

		MUST(unshare(CLONE_NEWNS));
		MUST(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL));
		MUST(mount("none", "jail", "tmpfs", 0, NULL));
		MUST(chroot("jail"));
		MUST(chdir("/"));
		CHECK(!sees("inside"));
		fd = receive_descriptor(sockets[1]);
		CHECK_EQ(faccessat(fd, "inside", F_OK, 0), 0);
		/* What is mounted here covers the names here, but not the place that the descriptor leads to. */
		file = openat(fd, "../outside", O_RDONLY);
		CHECK(file >= 0);
		CHECK_EQ(read(file, text, sizeof(text)), 3);
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		CHECK_ERRNO(readlink(name, target, sizeof(target) - 1), ENOENT);
		_exit(0);
	}
	directory = (int)MUST(open("jail", O_PATH | O_DIRECTORY));
	send_descriptor(sockets[0], directory);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK(sees("jail/inside"));
}
