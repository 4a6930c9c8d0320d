/* What an open file can do apart from its rights: offsets, pages for pipes, leases, execution. */
#include "own_mounts.h"

#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/openat2.h>
#include <mqueue.h>
#include <net/if.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#ifndef FS_IOC_GETVERSION
#define FS_IOC_GETVERSION _IOR('v', 1, long)
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#define PAGE 4096
#define PIDFS_HANDLE 0xfe

struct handle {
	unsigned int length;
	int type;
	unsigned char bytes[128];
};

static int opened(const char *path, int flags)
{
	return (int)MUST(open(path, flags | O_NONBLOCK | O_CLOEXEC));
}

static int process(pid_t pid)
{
	return (int)MUST(syscall(SYS_pidfd_open, pid, 0));
}

static ssize_t read_with(int fd, off_t offset, int flags)
{
	char byte;
	struct iovec vector = {&byte, 1};

	return preadv2(fd, &vector, 1, offset, flags);
}

static int can_execute(int fd)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	return page == MAP_FAILED ? errno : 0;
}

TEST(a_tun_has_no_position_but_takes_offsets)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd, pipes[2];
	char byte;
	off_t offset = 0;

	MUST(unshare(CLONE_NEWNET));
	fd = opened("/dev/net/tun", O_RDWR);
	CHECK_ERRNO(pread(fd, &byte, 1, 0), EBADFD);
	CHECK_ERRNO(pwrite(fd, &byte, 1, 0), EBADFD);
	MUST(ioctl(fd, TUNSETIFF, &request));
	CHECK_ERRNO(lseek(fd, 0, SEEK_CUR), ESPIPE);
	CHECK_EQ(pread(fd, &byte, 0, 0), 0);
	CHECK_ERRNO(pread(fd, &byte, 1, 0), EAGAIN);
	CHECK_ERRNO(pread(fd, &byte, 1, -1), EINVAL);
	CHECK_ERRNO(pwrite(fd, &byte, 0, 0), EINVAL);
	CHECK_ERRNO(read_with(fd, 0, RWF_NOWAIT), EAGAIN);
	MUST(fcntl(fd, F_SETFL, 0));
	CHECK_ERRNO(read_with(fd, 0, RWF_NOWAIT), EAGAIN);
	/* It has no pages to hand over. */
	MUST(pipe(pipes));
	CHECK_ERRNO(splice(fd, NULL, pipes[1], NULL, 1, SPLICE_F_NONBLOCK), EINVAL);
	write_all(pipes[1], "a", 1);
	CHECK_ERRNO(splice(pipes[0], NULL, fd, NULL, 1, SPLICE_F_NONBLOCK), EINVAL);
	CHECK_ERRNO(splice(pipes[0], NULL, fd, &offset, 1, SPLICE_F_NONBLOCK), EINVAL);
	MUST(close(fd));
}

TEST(what_is_read_by_buffers_alone)
{
	const char *paths[] = {"/proc/self/environ", "/proc/self/auxv", "/dev/kmsg"};
	int pipes[2];

	MUST(pipe(pipes));
	for (size_t at = 0; at < LENGTH(paths); at++) {
		int fd = opened(paths[at], O_RDONLY);

		CHECK_ERRNO(splice(fd, NULL, pipes[1], NULL, 1, SPLICE_F_NONBLOCK), EINVAL);
		CHECK_ERRNO(read_with(fd, -1, RWF_NOWAIT), EOPNOTSUPP);
		MUST(close(fd));
	}
	CHECK_ERRNO(read_with((int)MUST(syscall(SYS_fsopen, "tmpfs", 0)), -1, RWF_NOWAIT), EOPNOTSUPP);
	write_all(pipes[1], "a", 1);
	CHECK_ERRNO(splice(pipes[0], NULL, opened("/dev/kmsg", O_WRONLY), NULL, 1, SPLICE_F_NONBLOCK), EINVAL);
}

/* Whoever has a file open to write keeps others from a lease on it, himself too, whatever the file. */
static void check_lease_of_a_writer(int fd)
{
	/* Later kernels have no leases on what is in /proc. */
	const int is_refused = fcntl(fd, F_SETLEASE, F_RDLCK) == -1 && errno == EINVAL;

	CHECK(is_refused || (fcntl(fd, F_SETLEASE, F_RDLCK) == -1 && errno == EAGAIN));
	CHECK(is_refused || fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
	CHECK_EQ(fcntl(fd, F_GETLEASE), is_refused ? F_UNLCK : F_WRLCK);
	CHECK(is_refused || fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
	MUST(close(fd));
}

TEST(writers_of_all_kinds_of_files_count)
{
	struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};

	signal(SIGIO, SIG_IGN);
	MUST(unshare(CLONE_NEWIPC));
	check_lease_of_a_writer(opened("/proc/self/comm", O_RDWR));
	check_lease_of_a_writer(opened("/proc/self/mem", O_RDWR));
	check_lease_of_a_writer((int)MUST(mq_open("/lease", O_RDWR | O_CREAT, 0600, &attributes)));
	check_lease_of_a_writer(process(getpid()));
	/* But not those who were given an open file. */
	CHECK_OK(fcntl((int)MUST(syscall(SYS_memfd_secret, 0)), F_SETLEASE, F_RDLCK));
}

TEST(file_systems_without_execution)
{
	CHECK_EQ(can_execute((int)MUST(mq_open("/execution", O_RDWR | O_CREAT, 0600, NULL))), EPERM);
	mq_unlink("/execution");
	CHECK_EQ(can_execute(opened("/proc/self/maps", O_RDONLY)), EPERM);
	CHECK_EQ(can_execute(opened("/proc/self/ns/uts", O_RDONLY)), EPERM);
	CHECK_EQ(can_execute(process(getpid())), EPERM);
	CHECK_ERRNO(syscall(SYS_execveat, process(getpid()), "", NULL, NULL, AT_EMPTY_PATH), EACCES);
}

TEST(secret_memory_is_no_file_of_a_file_system)
{
	int fd = (int)MUST(syscall(SYS_memfd_secret, 0)), number = 1;

	CHECK_ERRNO(ioctl(fd, FS_IOC_GETFLAGS, &number), ENOTTY);
	CHECK_ERRNO(ioctl(fd, FIOQSIZE, &number), ENOTTY);
	CHECK_ERRNO(ioctl(fd, FIONREAD, &number), ENOTTY);
	CHECK_ERRNO(ioctl(fd, FIBMAP, &number), ENOTTY);
	CHECK_ERRNO(readahead(fd, 0, 0), EINVAL);
}

TEST(a_pidfd_is_a_regular_file_in_some_ways)
{
	int fd = process(getpid()), version = 7;

	CHECK_ERRNO(ftruncate(fd, 0), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, 0, 0, 1), EOPNOTSUPP);
	CHECK_OK(sync_file_range(fd, 0, 0, 0));
	CHECK_ERRNO(ioctl(fd, FICLONE, fd), EOPNOTSUPP);
	CHECK_ERRNO(ioctl(fd, FIONREAD, &version), ENOTTY);
	CHECK_OK(ioctl(fd, FS_IOC_GETVERSION, &version));
	CHECK_EQ(version, 0);
	CHECK_ERRNO(ioctl(fd, FS_IOC_GETVERSION, NULL), EINVAL);
	CHECK_ERRNO(fsetxattr(fd, "user.name", "a", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(fsetxattr(fd, "security.name", "a", 1, 0), EOPNOTSUPP);
	CHECK_OK(fsetxattr(fd, "trusted.name", "a", 1, 0));
	/* It's the process's, not the descriptor's. */
	CHECK_EQ(fgetxattr(process(getpid()), "trusted.name", &version, 4), 1);
	MUST(fremovexattr(fd, "trusted.name"));
	CHECK_ERRNO(fgetxattr(fd, "trusted.name", &version, 4), ENODATA);
}

TEST(handles_of_processes)
{
	struct handle handle = {.length = sizeof(handle.bytes)};
	struct stat first, second;
	int fd = process(getpid()), other, mount;
	pid_t child = child_that_pauses();

	MUST(syscall(SYS_name_to_handle_at, fd, "", &handle, &mount, AT_EMPTY_PATH));
	CHECK_EQ(handle.length, 8);
	CHECK_EQ(handle.type, PIDFS_HANDLE);
	other = (int)MUST(syscall(SYS_open_by_handle_at, fd, &handle, O_RDWR | O_NONBLOCK));
	MUST(fstat(fd, &first));
	MUST(fstat(other, &second));
	CHECK(first.st_ino == second.st_ino && first.st_dev == second.st_dev);
	CHECK_EQ(fcntl(other, F_GETFD), 0);
	CHECK_EQ(fcntl(other, F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_ERRNO(syscall(SYS_open_by_handle_at, fd, &handle, O_APPEND), EINVAL);
	CHECK_ERRNO(syscall(SYS_open_by_handle_at, fd, &handle, O_PATH), EINVAL);
	handle.type = 1;
	CHECK_ERRNO(syscall(SYS_open_by_handle_at, fd, &handle, 0), ESTALE);
	other = process(child);
	handle.length = 8;
	MUST(syscall(SYS_name_to_handle_at, other, "", &handle, &mount, AT_EMPTY_PATH));
	MUST(close(other));
	other = (int)CHECK_OK(syscall(SYS_open_by_handle_at, fd, &handle, 0));
	CHECK_OK(syscall(SYS_pidfd_send_signal, other, SIGKILL, NULL, 0));
	MUST(close(other));
	await_zombie(child);
	CHECK_OK(syscall(SYS_open_by_handle_at, fd, &handle, 0));
	wait_for(child);
	CHECK_ERRNO(syscall(SYS_open_by_handle_at, fd, &handle, 0), ESTALE);
	/* Whoever has a pidfd may open others by their handles. */
	MUST(syscall(SYS_name_to_handle_at, fd, "", &handle, &mount, AT_EMPTY_PATH));
	drop_root();
	CHECK_OK(syscall(SYS_open_by_handle_at, fd, &handle, 0));
}

TEST(a_write_that_cannot_be_read_has_begun)
{
	struct stat status;
	char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd;

	enter_own_mounts("tmpfs", "");
	fd = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(fd, 2 * PAGE));
	CHECK_ERRNO(pwrite(fd, bad_address(), 100, 0), EFAULT);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_blocks, 8);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), PAGE);
	CHECK_ERRNO(pwrite(fd, bad_address(), 10, 100000), EFAULT);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_size, 100000);
	CHECK_EQ(status.st_blocks, 16);
	/* What could be read of it is written, and the next page is there as well. */
	MUST(mprotect(memory + PAGE, PAGE, PROT_NONE));
	CHECK_EQ(pwrite(fd, memory, 2 * PAGE, 4 * PAGE), PAGE);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_blocks, 32);
	MUST(close(fd));
}

static int written(const char *path, const void *buffer, size_t length)
{
	int fd = opened(path, O_WRONLY), error = ERRNO_OF(write(fd, buffer, length));

	MUST(close(fd));
	return error;
}

TEST(what_is_never_written_is_not_read_from_the_program)
{
	const char *of_process[] = {"status", "maps", "mounts", "mountinfo", "stat", "environ", "auxv", "cmdline", "pagemap",
				    "limits", "io", "cgroup", "oom_score", "fdinfo/0"};
	const char *of_machine[] = {"/proc/version", "/proc/uptime", "/proc/stat", "/proc/loadavg", "/proc/meminfo",
				    "/proc/cpuinfo", "/proc/filesystems", "/proc/locks", "/proc/swaps", "/proc/kmsg",
				    "/proc/sysvipc/shm", "/proc/kpagecount"};
	void *beyond = (void *)-4096L;
	char path[64];

	/* A process's have no write at all, and nothing else is looked at; the others refuse it. */
	for (size_t at = 0; at < LENGTH(of_process); at++) {
		snprintf(path, sizeof(path), "/proc/self/%s", of_process[at]);
		CHECK_EQ(written(path, "", 0), EINVAL);
		CHECK_EQ(written(path, bad_address(), 1), EINVAL);
		CHECK_EQ(written(path, beyond, 1), EINVAL);
	}
	for (size_t at = 0; at < LENGTH(of_machine); at++) {
		CHECK_EQ(written(of_machine[at], "", 0), EIO);
		CHECK_EQ(written(of_machine[at], bad_address(), 1), EIO);
		CHECK_EQ(written(of_machine[at], beyond, 1), EFAULT);
	}
	CHECK_ERRNO(read(opened("/proc/self/clear_refs", O_RDWR), beyond, 1), EINVAL);
}

TEST(what_is_copied_ends_where_files_do)
{
	off_t from = 0, to = LONG_MAX - 15;
	int fd;

	enter_own_mounts("tmpfs", "");
	fd = (int)MUST(open("file", O_CREAT | O_RDWR, 0600));
	MUST(ftruncate(fd, 100));
	CHECK_EQ(copy_file_range(fd, &from, fd, &to, 50, 0), 15);
	MUST(close(fd));
}

TEST(the_console_speaks_elsewhere)
{
	int console = opened("/dev/console", O_RDWR | O_NOCTTY), master, slave, second;
	char text[16];

	MUST(openpty(&master, &slave, NULL, NULL, NULL));
	MUST(openpty(&second, &second, NULL, NULL, NULL));
	CHECK_ERRNO(ioctl(master, TIOCCONS), EINVAL);
	CHECK_OK(ioctl(slave, TIOCCONS));
	CHECK_EQ(write(console, "text", 4), 4);
	CHECK_EQ(read(master, text, sizeof(text)), 4);
	CHECK_ERRNO(ioctl(slave, TIOCCONS), EBUSY);
	CHECK_ERRNO(ioctl(second, TIOCCONS), EBUSY);
	CHECK_OK(ioctl(console, TIOCCONS));
	drop_root();
	CHECK_ERRNO(ioctl(slave, TIOCCONS), EPERM);
	CHECK_ERRNO(ioctl(console, TIOCCONS), EPERM);
}

static int cached_from(int directory, const char *name, int flags, int resolve)
{
	struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_CACHED | (unsigned)resolve};

	return (int)syscall(SYS_openat2, directory, name, &how, sizeof(how));
}

static int cached(const char *name, int flags)
{
	return cached_from(AT_FDCWD, name, flags, 0);
}

/* What of proc and sysfs is remembered, and what has to be looked at again. */
TEST(what_proc_remembers)
{
	static const char *const kept[] = {"/proc/self", "/proc/self/status", "/proc/self/fd", "/proc/self/ns",
					   "/proc/thread-self/stat"};
	static const char *const never[] = {"/proc/self/fd/0", "/proc/self/fdinfo/0", "/proc/self/net/dev",
					    "/proc/uptime",    "/proc/mounts",	      "/proc/sys/kernel",
					    "/proc/nothing",   "/sys/kernel",	      "/sys/nothing"};
	static const char *const links[] = {"/proc/self/exe", "/proc/self/root", "/proc/self/ns/net"};

	for (size_t at = 0; at < LENGTH(kept); at++) {
		CHECK_ERRNO(cached(kept[at], O_PATH), EAGAIN);
		MUST(open(kept[at], O_PATH));
		CHECK_OK(cached(kept[at], O_PATH));
		CHECK_OK(cached(kept[at], O_RDONLY));
	}
	for (size_t at = 0; at < LENGTH(never); at++) {
		CHECK_ERRNO(cached(never[at], O_PATH | O_NOFOLLOW), EAGAIN);
		open(never[at], O_PATH | O_NOFOLLOW);
		CHECK_ERRNO(cached(never[at], O_PATH | O_NOFOLLOW), EAGAIN);
	}
	for (size_t at = 0; at < LENGTH(links); at++) {
		MUST(open(links[at], O_PATH));
		CHECK_OK(cached(links[at], O_PATH | O_NOFOLLOW));
		CHECK_ERRNO(cached(links[at], O_PATH), EAGAIN);
	}
	CHECK_ERRNO(cached("/proc/self/status/x", O_PATH), EAGAIN);
	CHECK_ERRNO(cached("/proc/self/nothing", O_PATH), EAGAIN);
}

TEST(what_memory_remembers)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_CACHED};

	enter_own_mounts("tmpfs", "");
	write_file("file", "", 0600);
	CHECK_OK(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof(how)));
	/* Nothing is kept of names that aren't there. */
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "absent", &how, sizeof(how)), EAGAIN);
	/* Nobody has looked at this process yet. */
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "/proc/self", &how, sizeof(how)), EAGAIN);
	/* To be sure that something is no directory on the way, too; but not at its end. */
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file/x", &how, sizeof(how)), EAGAIN);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file/", &how, sizeof(how)), ENOTDIR);
	/* What nobody can ask for is refused first. */
	how.flags = O_RDWR | (O_TMPFILE & ~O_DIRECTORY);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof(how)), EINVAL);
	how.flags = O_RDONLY | O_TMPFILE;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how)), EINVAL);
	how.flags = O_CREAT | O_DIRECTORY;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "new", &how, sizeof(how)), EINVAL);
	how.flags = O_RDWR | O_TMPFILE;
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how)), EAGAIN);
}

/* Where a walk would leave what it's to stay in, one that takes no references can't say so. */
TEST(what_leads_out_of_a_cached_walk)
{
	struct open_how how = {.flags = O_PATH};
	int top, below, file;

	enter_own_mounts("tmpfs", "");
	MUST(mkdir("below", 0755));
	MUST(mkdir("other", 0755));
	top = opened(".", O_PATH);
	below = opened("below", O_PATH);
	write_file("below/file", "", 0600);
	file = opened("below/file", O_RDONLY);
	MUST(mount("other", "other", "tmpfs", 0, NULL));
	CHECK_OK(cached_from(top, "other", O_PATH, 0));
	CHECK_ERRNO(cached_from(top, "other", O_PATH, RESOLVE_NO_XDEV), EAGAIN);
	CHECK_ERRNO(cached_from(opened("other", O_PATH), "..", O_PATH, RESOLVE_NO_XDEV), EAGAIN);
	CHECK_OK(cached_from(below, "..", O_PATH, RESOLVE_NO_XDEV));
	CHECK_ERRNO(cached_from(below, "..", O_PATH, RESOLVE_BENEATH), EAGAIN);
	CHECK_OK(cached_from(below, "..", O_PATH, RESOLVE_IN_ROOT));
	CHECK_ERRNO(cached_from(below, "/", O_PATH, RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(cached_from(file, "x", O_PATH, 0), ENOTDIR);
	CHECK_ERRNO(cached_from(file, "..", O_PATH, RESOLVE_BENEATH), ENOTDIR);
	/* What is mounted on the parent is another mount too. */
	MUST(mount("over", ".", "tmpfs", 0, NULL));
	CHECK_OK(cached_from(below, "..", O_PATH, 0));
	CHECK_ERRNO(cached_from(below, "..", O_PATH, RESOLVE_NO_XDEV), EAGAIN);
	how.resolve = RESOLVE_NO_XDEV;
	CHECK_ERRNO(syscall(SYS_openat2, below, "..", &how, sizeof(how)), EXDEV);
}

TEST(both_rights_and_no_access)
{
	int program = open("/proc/self/exe", O_ACCMODE), fd;
	char byte;

	/* A program that runs isn't written to, but this isn't for writing. */
	CHECK(program != -1);
	CHECK_ERRNO(open("/proc/self/exe", O_ACCMODE | O_TRUNC), ETXTBSY);
	/* So are these, which even root doesn't open to write. */
	CHECK_OK(open("/proc/net/unix", O_ACCMODE));
	CHECK_ERRNO(open("/proc/net/unix", O_RDWR), EACCES);
	CHECK_OK(open("/sys/class/net/lo/address", O_ACCMODE));
	CHECK_ERRNO(open("/sys/class/net/lo/address", O_RDWR), EACCES);
	enter_scratch();
	write_file("file", "text", 0600);
	fd = (int)MUST(open("file", O_ACCMODE));
	CHECK_ERRNO(read(fd, &byte, 1), EBADF);
	CHECK_ERRNO(write(fd, "x", 1), EBADF);
	CHECK_ERRNO((long)mmap(NULL, 4096, PROT_NONE, MAP_SHARED, fd, 0), EACCES);
	CHECK_ERRNO((long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), EACCES);
	CHECK_ERRNO((long)mmap(NULL, 4096, PROT_READ, 0, fd, 0), EINVAL);
}
