/* Namespaces of all kinds: unshare(2), setns(2), their files and ioctls, limits; UTS, IPC and time. */
#include "check.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define NSFS_MAGIC 0x6e736673
#define NS_GET_USERNS 0xb701
#define NS_GET_PARENT 0xb702
#define NS_GET_NSTYPE 0xb703
#define NS_GET_OWNER_UID 0xb704
#define NS_GET_MNTNS_ID 0x8008b705

static const struct kind {
	const char *name;
	int flag;
} kinds[] = {
	{"cgroup", CLONE_NEWCGROUP}, {"ipc", CLONE_NEWIPC},   {"mnt", CLONE_NEWNS},
	{"net", CLONE_NEWNET},	     {"uts", CLONE_NEWUTS},
};

static int open_own(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static ino_t number_of(const char *name)
{
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	MUST(stat(path, &status));
	return status.st_ino;
}

static int in_a_child(void (*body)(void))
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		body();
		_exit(0);
	}
	return wait_for(child);
}

TEST(files_of_namespaces)
{
	char text[64], want[64];
	struct stat status, again;
	struct statfs system;
	int fd = (int)MUST(open_own("uts")), other;

	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_mode, S_IFREG | 0444);
	CHECK_EQ(status.st_nlink, 1);
	CHECK_EQ(status.st_size, 0);
	MUST(fstatfs(fd, &system));
	CHECK_EQ(system.f_type, NSFS_MAGIC);
	snprintf(want, sizeof(want), "uts:[%lu]", (unsigned long)status.st_ino);
	memset(text, 0, sizeof(text));
	CHECK(readlink("/proc/self/ns/uts", text, sizeof(text)) > 0);
	CHECK_STRING(text, want);
	memset(text, 0, sizeof(text));
	snprintf(want, sizeof(want), "/proc/self/fd/%d", fd);
	CHECK(readlink(want, text, sizeof(text)) > 0);
	CHECK_EQ(strncmp(text, "uts:[", 5), 0);
	other = (int)MUST(open_own("ipc"));
	MUST(fstat(other, &again));
	CHECK_EQ(again.st_dev, status.st_dev);
	CHECK(again.st_ino != status.st_ino);
	CHECK_ERRNO(read(fd, text, 1), EINVAL);
	CHECK_ERRNO(ioctl(fd, 0xb7ff), ENOTTY);
	CHECK_EQ(number_of("pid"), number_of("pid_for_children"));
	CHECK_EQ(number_of("time"), number_of("time_for_children"));
	CHECK_ERRNO(open("/proc/self/ns/other", O_RDONLY), ENOENT);
	MUST(lstat("/proc/self/ns", &status));
	CHECK_EQ(status.st_mode, S_IFDIR | 0511);
	MUST(lstat("/proc/self/ns/net", &status));
	CHECK_EQ(status.st_mode, S_IFLNK | 0777);
}

TEST(files_that_cant_be_changed)
{
	int fd = (int)MUST(open("/proc/self/ns/uts", O_RDONLY));

	CHECK_ERRNO(open("/proc/self/ns/uts", O_WRONLY), EPERM);
	CHECK_ERRNO(open("/proc/self/ns/uts", O_RDWR), EPERM);
	CHECK_ERRNO(access("/proc/self/ns/uts", W_OK), EPERM);
	CHECK_ERRNO(truncate("/proc/self/ns/uts", 0), EPERM);
	CHECK_ERRNO(fchmod(fd, 0600), EPERM);
	CHECK_ERRNO(fchown(fd, 1, 1), EPERM);
	CHECK_ERRNO(futimens(fd, NULL), EPERM);
	CHECK_ERRNO(setns((int)MUST(open("/proc/self/ns/uts", O_PATH)), 0), EBADF);
	CHECK_ERRNO(setns((int)MUST(open("/proc/self/ns/uts", O_PATH)), CLONE_NEWUTS | CLONE_NEWIPC), EBADF);
}

TEST(kinds_and_owners)
{
	uint64_t id = 0;
	uid_t uid = 99;
	int fd, user;

	for (size_t index = 0; index < LENGTH(kinds); index++) {
		fd = (int)MUST(open_own(kinds[index].name));
		CHECK_EQ(ioctl(fd, NS_GET_NSTYPE), kinds[index].flag);
		CHECK_ERRNO(ioctl(fd, NS_GET_PARENT), EINVAL);
		user = ioctl(fd, NS_GET_USERNS);
		CHECK_OK(user);
		CHECK_EQ(ioctl(user, NS_GET_NSTYPE), CLONE_NEWUSER);
		CHECK_EQ(fcntl(user, F_GETFD), FD_CLOEXEC);
		CHECK_ERRNO(ioctl(fd, NS_GET_OWNER_UID, &uid), EINVAL);
	}
	fd = (int)MUST(open_own("user"));
	CHECK_EQ(ioctl(fd, NS_GET_OWNER_UID, &uid), 0);
	CHECK_EQ(uid, 0);
	CHECK_ERRNO(ioctl(fd, NS_GET_USERNS), EPERM);
	CHECK_ERRNO(ioctl(fd, NS_GET_PARENT), EPERM);
	CHECK_EQ(ioctl((int)MUST(open_own("mnt")), NS_GET_MNTNS_ID, &id), 0);
	CHECK(id != 0);
	CHECK_ERRNO(ioctl((int)MUST(open_own("net")), NS_GET_MNTNS_ID, &id), EINVAL);
	CHECK_EQ(ioctl((int)MUST(open_own("time")), NS_GET_NSTYPE), CLONE_NEWTIME);
	CHECK_EQ(ioctl((int)MUST(open_own("pid")), NS_GET_NSTYPE), CLONE_NEWPID);
}

static void unshare_each(void)
{
	ino_t before, after;
	int old;

	for (size_t index = 0; index < LENGTH(kinds); index++) {
		before = number_of(kinds[index].name);
		old = (int)MUST(open_own(kinds[index].name));
		CHECK_EQ(unshare(kinds[index].flag), 0);
		after = number_of(kinds[index].name);
		CHECK(before != after);
		CHECK_ERRNO(setns(old, kinds[index].flag == CLONE_NEWUTS ? CLONE_NEWNET : CLONE_NEWUTS), EINVAL);
		CHECK_EQ(setns(old, index % 2 ? 0 : kinds[index].flag), 0);
		CHECK_EQ(number_of(kinds[index].name), before);
	}
}

TEST(there_and_back)
{
	CHECK_EQ(in_a_child(unshare_each), EXITED(0));
}

TEST(descriptors_by_a_pidfd)
{
	static const char *const names[] = {"cgroup", "ipc",  "mnt",		   "net",  "pid", "pid_for_children",
					    "time",   "time_for_children", "user", "uts"};
	int pidfd = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0)), fd;
	struct stat status;
	pid_t child;

	for (size_t index = 0; index < LENGTH(names); index++) {
		fd = ioctl(pidfd, 0xff01 + index, 0);
		CHECK_OK(fd);
		MUST(fstat(fd, &status));
		CHECK_EQ(status.st_ino, number_of(names[index]));
	}
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(ioctl(pidfd, 0xff01, 1), EINVAL);
	CHECK_ERRNO(ioctl(pidfd, 0xfffe, 0), ENOTTY);
	child = child_that_exits(0);
	pidfd = (int)MUST(syscall(SYS_pidfd_open, child, 0));
	await_zombie(child);
	CHECK_ERRNO(ioctl(pidfd, 0xff02, 0), ESRCH);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(ioctl(pidfd, 0xff05, 0), ESRCH);
}

static void several(void)
{
	int flags = CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWCGROUP;
	ino_t uts = number_of("uts"), ipc = number_of("ipc"), net = number_of("net"), mnt = number_of("mnt");
	pid_t target;
	int pidfd;

	target = (pid_t)MUST(fork());
	if (target == 0) {
		MUST(unshare(flags));
		MUST(sethostname("elsewhere", 9));
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	MUST(waitpid(target, NULL, WUNTRACED));
	pidfd = (int)MUST(syscall(SYS_pidfd_open, target, 0));
	CHECK_ERRNO(setns(pidfd, 0), EINVAL);
	CHECK_ERRNO(setns(pidfd, CLONE_NEWUTS | CLONE_VM), EINVAL);
	/* Nobody joins the user namespace that he is in, and then nothing is joined. */
	CHECK_ERRNO(setns(pidfd, CLONE_NEWUTS | CLONE_NEWUSER), EINVAL);
	CHECK_EQ(number_of("uts"), uts);
	CHECK_EQ(setns(pidfd, CLONE_NEWUTS | CLONE_NEWIPC), 0);
	CHECK(number_of("uts") != uts);
	CHECK(number_of("ipc") != ipc);
	CHECK_EQ(number_of("net"), net);
	CHECK_EQ(number_of("mnt"), mnt);
	CHECK_EQ(setns(pidfd, CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP), 0);
	CHECK(number_of("net") != net);
	CHECK(number_of("mnt") != mnt);
	MUST(kill(target, SIGKILL));
	CHECK_EQ(wait_for(target), KILLED(SIGKILL));
	CHECK_ERRNO(setns(pidfd, CLONE_NEWUTS), ESRCH);
	CHECK_ERRNO(setns((int)MUST(open("/dev/null", O_RDONLY)), 0), EINVAL);
	CHECK_ERRNO(setns(-1, 0), EBADF);
}

TEST(several_at_once_by_a_pidfd)
{
	CHECK_EQ(in_a_child(several), EXITED(0));
}

static void names(void)
{
	struct utsname mine, old;
	int before = (int)MUST(open_own("uts"));

	MUST(uname(&old));
	CHECK_EQ(unshare(CLONE_NEWUTS), 0);
	MUST(uname(&mine));
	CHECK_STRING(mine.nodename, old.nodename);
	CHECK_EQ(sethostname("inner", 5), 0);
	CHECK_EQ(setdomainname("domain", 6), 0);
	MUST(uname(&mine));
	CHECK_STRING(mine.nodename, "inner");
	CHECK_STRING(mine.release, old.release);
	CHECK_EQ(setns(before, CLONE_NEWUTS), 0);
	MUST(uname(&mine));
	CHECK_STRING(mine.nodename, old.nodename);
}

TEST(names_of_the_machine)
{
	CHECK_EQ(in_a_child(names), EXITED(0));
}

static void objects(void)
{
	int segment = (int)MUST(shmget(0x1234567, 4096, IPC_CREAT | 0600));
	int set = (int)MUST(semget(IPC_PRIVATE, 1, 0600));
	int queue = (int)MUST(msgget(IPC_PRIVATE, 0600));
	int old = (int)MUST(open_own("ipc"));
	char *text = shmat(segment, NULL, 0);

	strcpy(text, "kept");
	CHECK_EQ(unshare(CLONE_NEWIPC), 0);
	CHECK_ERRNO(shmget(0x1234567, 4096, 0600), ENOENT);
	CHECK_ERRNO(semctl(set, 0, GETVAL), EINVAL);
	CHECK_ERRNO(msgctl(queue, IPC_RMID, NULL), EINVAL);
	/* What is attached stays. */
	CHECK_STRING(text, "kept");
	CHECK_OK(shmget(0x1234567, 8192, IPC_CREAT | 0600));
	CHECK_EQ(setns(old, CLONE_NEWIPC), 0);
	CHECK_EQ(semctl(set, 0, GETVAL), 0);
	CHECK_EQ(msgctl(queue, IPC_RMID, NULL), 0);
	CHECK_EQ(semctl(set, 0, IPC_RMID), 0);
	CHECK_EQ(shmctl(segment, IPC_RMID, NULL), 0);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWIPC | CLONE_SYSVSEM | SIGCHLD, 0, 0, 0, 0), EINVAL);
}

TEST(objects_of_system_v)
{
	CHECK_EQ(in_a_child(objects), EXITED(0));
}

static void pin(void)
{
	char name[] = "/tmp/pinXXXXXX";
	struct stat file, namespace;
	struct utsname seen;
	int fd;

	MUST(close((int)MUST(mkstemp(name))));
	MUST(unshare(CLONE_NEWNS));
	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	if (MUST(fork()) == 0) {
		MUST(unshare(CLONE_NEWUTS));
		MUST(sethostname("pinned", 6));
		CHECK_EQ(mount("/proc/self/ns/uts", name, NULL, MS_BIND, NULL), 0);
		_exit(0);
	}
	MUST(wait(NULL));
	MUST(stat(name, &file));
	MUST(stat("/proc/self/ns/uts", &namespace));
	CHECK_EQ(file.st_dev, namespace.st_dev);
	CHECK(file.st_ino != namespace.st_ino);
	fd = (int)MUST(open(name, O_RDONLY));
	CHECK_EQ(ioctl(fd, NS_GET_NSTYPE), CLONE_NEWUTS);
	CHECK_EQ(setns(fd, CLONE_NEWUTS), 0);
	MUST(uname(&seen));
	CHECK_STRING(seen.nodename, "pinned");
	CHECK_EQ(number_of("uts"), file.st_ino);
	/* A mount namespace can't hold itself. */
	CHECK_ERRNO(mount("/proc/self/ns/mnt", name, NULL, MS_BIND, NULL), EINVAL);
	CHECK_ERRNO(umount(name), EBUSY);
	MUST(close(fd));
	CHECK_EQ(umount(name), 0);
	MUST(unlink(name));
}

TEST(pinned_by_a_mount)
{
	CHECK_EQ(in_a_child(pin), EXITED(0));
}

static void lack_rights(void)
{
	int own = (int)MUST(open_own("uts"));

	MUST(setresgid(NOBODY, NOBODY, NOBODY));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	for (size_t index = 0; index < LENGTH(kinds); index++)
		CHECK_ERRNO(unshare(kinds[index].flag), EPERM);
	CHECK_ERRNO(unshare(CLONE_NEWTIME), EPERM);
	CHECK_ERRNO(setns(own, 0), EPERM);
	CHECK_ERRNO(open("/proc/1/ns/uts", O_RDONLY), EACCES);
	CHECK_ERRNO(readlink("/proc/1/ns/uts", (char[64]){0}, 64), EACCES);
}

TEST(rights)
{
	CHECK_EQ(in_a_child(lack_rights), EXITED(0));
}

TEST(a_zombie_has_left)
{
	char path[64], text[64];
	pid_t child = child_that_exits(0);

	await_zombie(child);
	snprintf(path, sizeof(path), "/proc/%d/ns/uts", child);
	CHECK_ERRNO(readlink(path, text, sizeof(text)), ENOENT);
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", child);
	CHECK(readlink(path, text, sizeof(text)) > 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", child);
	CHECK(readlink(path, text, sizeof(text)) > 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* Time */

static int write_offsets_of(const char *text, size_t length)
{
	int fd = (int)MUST(open("/proc/self/timens_offsets", O_WRONLY));
	int result = (int)write(fd, text, length);
	int error = errno;

	close(fd);
	errno = error;
	return result;
}

static int write_offsets(const char *text)
{
	return write_offsets_of(text, strlen(text));
}

static int64_t seconds_of(clockid_t clock)
{
	return now_ns(clock) / 1000000000;
}

static void shift(void)
{
	int64_t monotonic = seconds_of(CLOCK_MONOTONIC), boottime = seconds_of(CLOCK_BOOTTIME);
	int64_t real = seconds_of(CLOCK_REALTIME);
	int64_t back = now_ns(CLOCK_MONOTONIC);
	ino_t time = number_of("time");
	char text[256] = "";
	pid_t child;
	int fd;

	child = child_that_exits(0);
	await_zombie(child);
	snprintf(text, sizeof(text), "/proc/%d/timens_offsets", child);
	fd = (int)MUST(open(text, O_WRONLY));
	CHECK_ERRNO(write(fd, "monotonic 1 0", 13), ESRCH);
	CHECK_ERRNO(write(fd, "monotonic 1", 11), EINVAL);
	close(fd);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(write_offsets("monotonic 1 0"), EACCES);
	CHECK_EQ(unshare(CLONE_NEWTIME), 0);
	CHECK_EQ(number_of("time"), time);
	CHECK(number_of("time_for_children") != time);
	CHECK_ERRNO(write_offsets("monotonic 1"), EINVAL);
	CHECK_ERRNO(write_offsets("monotonic 1 1000000000"), EINVAL);
	CHECK_ERRNO(write_offsets("other 1 0"), EINVAL);
	CHECK_ERRNO(write_offsets("0 1 0"), EINVAL);
	CHECK_ERRNO(write_offsets("monotonic -9000000000 0"), ERANGE);
	CHECK_ERRNO(write_offsets("monotonic 9000000000 0"), ERANGE);
	CHECK_EQ(write_offsets("monotonic 5000 0\nboottime 86400 5\n"), 34);
	/* A clock may go back to its beginning, to the nanosecond; what follows the numbers isn't looked at. */
	snprintf(text, sizeof(text), "1 -%ld %ld", (long)back / 1000000000 + 1, 1000000000 - (long)back % 1000000000);
	CHECK_EQ(write_offsets(text), (int)strlen(text));
	CHECK_EQ(write_offsets("1 6000 0 and so on"), 18);
	CHECK_EQ(write_offsets_of("1 6000 0\0\nother", 15), 15);
	fd = (int)MUST(open("/proc/self/timens_offsets", O_RDONLY));
	MUST(read(fd, text, sizeof(text) - 1));
	CHECK_STRING(text, "monotonic        6000         0\nboottime        86400         5\n");
	CHECK(seconds_of(CLOCK_MONOTONIC) - monotonic < 100);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		struct timespec until = {0};
		struct itimerspec setting = {0};
		struct sysinfo info;
		uint64_t count;
		int timer;

		CHECK(number_of("time") != time);
		CHECK(llabs(seconds_of(CLOCK_MONOTONIC) - monotonic - 6000) < 100);
		CHECK(llabs(seconds_of(CLOCK_MONOTONIC_RAW) - monotonic - 6000) < 100);
		CHECK(llabs(seconds_of(CLOCK_MONOTONIC_COARSE) - monotonic - 6000) < 100);
		CHECK(llabs(seconds_of(CLOCK_BOOTTIME) - boottime - 86400) < 100);
		CHECK(llabs(seconds_of(CLOCK_REALTIME) - real) < 100);
		MUST(sysinfo(&info));
		CHECK(llabs(info.uptime - boottime - 86400) < 100);
		CHECK_ERRNO(write_offsets("monotonic 1 0"), EACCES);
		/* Absolute times are by these clocks. */
		MUST(clock_gettime(CLOCK_MONOTONIC, &until));
		until.tv_nsec = (until.tv_nsec + 20000000) % 1000000000;
		CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
		CHECK(llabs(seconds_of(CLOCK_MONOTONIC) - monotonic - 6000) < 100);
		timer = (int)MUST(timerfd_create(CLOCK_BOOTTIME, 0));
		MUST(clock_gettime(CLOCK_BOOTTIME, &setting.it_value));
		MUST(timerfd_settime(timer, TFD_TIMER_ABSTIME, &setting, NULL));
		CHECK_EQ(read(timer, &count, sizeof(count)), 8);
		CHECK_EQ(count, 1);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	/* A child has seen them. */
	CHECK_ERRNO(write_offsets("monotonic 1 0"), EACCES);
}

TEST(shifted_clocks)
{
	CHECK_EQ(in_a_child(shift), EXITED(0));
}

static void enter_time(void)
{
	int64_t monotonic = seconds_of(CLOCK_MONOTONIC);
	int old = (int)MUST(open_own("time")), fresh;

	MUST(unshare(CLONE_NEWTIME));
	MUST(write_offsets("monotonic 7000 0"));
	fresh = (int)MUST(open_own("time_for_children"));
	CHECK_EQ(setns(fresh, CLONE_NEWTIME), 0);
	CHECK(llabs(seconds_of(CLOCK_MONOTONIC) - monotonic - 7000) < 100);
	CHECK_EQ(number_of("time"), number_of("time_for_children"));
	CHECK_EQ(setns(old, 0), 0);
	CHECK(llabs(seconds_of(CLOCK_MONOTONIC) - monotonic) < 100);
}

TEST(entering_other_clocks)
{
	CHECK_EQ(in_a_child(enter_time), EXITED(0));
}
