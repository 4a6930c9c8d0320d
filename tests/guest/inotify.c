/* What happens to files and directories, told in order: inotify(7). */
#include "check.h"

#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static int instance;
static char told[20000];

static const struct {
	uint32_t bit;
	const char *name;
} names[] = {
	{IN_ACCESS, "access"},
	{IN_MODIFY, "modify"},
	{IN_ATTRIB, "attrib"},
	{IN_CLOSE_WRITE, "close-write"},
	{IN_CLOSE_NOWRITE, "close"},
	{IN_OPEN, "open"},
	{IN_MOVED_FROM, "from"},
	{IN_MOVED_TO, "to"},
	{IN_CREATE, "create"},
	{IN_DELETE, "delete"},
	{IN_DELETE_SELF, "deleted"},
	{IN_MOVE_SELF, "moved"},
	{IN_UNMOUNT, "unmounted"},
	{IN_Q_OVERFLOW, "overflow"},
	{IN_IGNORED, "ignored"},
	{IN_ISDIR, "dir"},
};

static uint32_t last_cookie;

/* All events that wait, as "WATCH:WHAT,WHAT NAME; ..."; the ends of a move are marked when their cookies agree. */
static const char *events(void)
{
	static char buffer[65536] __attribute__((aligned(8)));
	ssize_t length = read(instance, buffer, sizeof(buffer));
	char *end = told;

	*end = '\0';
	if (length == -1)
		return errno == EAGAIN ? "" : check_errno_name(errno);
	for (ssize_t at = 0; at < length;) {
		const struct inotify_event *event = (const void *)(buffer + at);
		const char *comma = "";

		end += sprintf(end, "%s%d:", end == told ? "" : "; ", event->wd);
		for (size_t bit = 0; bit < LENGTH(names); bit++) {
			if (event->mask & names[bit].bit) {
				end += sprintf(end, "%s%s", comma, names[bit].name);
				comma = ",";
			}
		}
		if (event->len)
			end += sprintf(end, " %s", event->name);
		if (event->mask & IN_MOVED_TO && event->cookie == last_cookie)
			end += sprintf(end, " same");
		last_cookie = event->cookie;
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	return told;
}

/* An instance with a watch on everything in a new current directory: watch 1. */
static void watch_scratch(void)
{
	enter_scratch();
	instance = (int)MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	MUST(inotify_add_watch(instance, ".", IN_ALL_EVENTS));
}

static int make(const char *name)
{
	return (int)MUST(open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
}

#define CHECK_EVENTS(want) CHECK_STRING(events(), want)

TEST(the_life_of_a_file)
{
	char data[100];
	int fd;

	watch_scratch();
	CHECK_EVENTS("");
	fd = make("a");
	CHECK_EVENTS("1:create a; 1:open a");
	MUST(write(fd, "hello", 5));
	CHECK_EVENTS("1:modify a");
	MUST(write(fd, "hello", 5));
	MUST(write(fd, "", 0));
	MUST(pwrite(fd, "x", 1, 3));
	CHECK_EVENTS("1:modify a");
	MUST(pread(fd, data, 5, 0));
	MUST(read(fd, data, 100));
	CHECK_EVENTS("1:access a");
	MUST(read(fd, data, 100));
	CHECK_EVENTS("");
	MUST(ftruncate(fd, 3));
	CHECK_EVENTS("1:modify a");
	MUST(fallocate(fd, 0, 0, 100));
	CHECK_EVENTS("1:modify a");
	MUST(fchmod(fd, 0644));
	CHECK_EVENTS("1:attrib a");
	MUST(fchown(fd, getuid(), (gid_t)-1));
	CHECK_EVENTS("1:attrib a");
	MUST(fchown(fd, (uid_t)-1, (gid_t)-1));
	CHECK_EVENTS("");
	MUST(close(fd));
	CHECK_EVENTS("1:close-write a");
	fd = (int)MUST(open("a", O_RDONLY));
	MUST(close(dup(fd)));
	CHECK_EVENTS("1:open a");
	MUST(close(fd));
	CHECK_EVENTS("1:close a");
	fd = (int)MUST(open("a", O_PATH));
	MUST(close(fd));
	CHECK_EVENTS("");
	MUST(unlink("a"));
	CHECK_EVENTS("1:delete a");
	CHECK_ERRNO(unlink("a"), ENOENT);
	CHECK_ERRNO(open("a", O_RDONLY), ENOENT);
	CHECK_EVENTS("");
}

TEST(a_watched_file_in_a_watched_directory)
{
	struct timespec times[2] = {{1, 0}, {0, UTIME_OMIT}};
	int fd;

	watch_scratch();
	MUST(close(make("a")));
	events();
	CHECK_EQ(inotify_add_watch(instance, "a", IN_ALL_EVENTS), 2);
	fd = (int)MUST(open("a", O_WRONLY | O_TRUNC));
	CHECK_EVENTS("1:open a; 2:open; 1:modify a; 2:modify");
	MUST(close(fd));
	CHECK_EVENTS("1:close-write a; 2:close-write");
	MUST(truncate("a", 100));
	CHECK_EVENTS("1:modify a; 2:modify");
	MUST(utimensat(AT_FDCWD, "a", NULL, 0));
	CHECK_EVENTS("1:attrib a; 2:attrib");
	MUST(utimensat(AT_FDCWD, "a", times, 0));
	CHECK_EVENTS("1:access a; 2:access");
	times[0].tv_nsec = UTIME_OMIT, times[1].tv_nsec = 0;
	MUST(utimensat(AT_FDCWD, "a", times, 0));
	CHECK_EVENTS("1:modify a; 2:modify");
	if (setxattr("a", "user.x", "1", 1, 0) == 0) {
		CHECK_EVENTS("1:attrib a; 2:attrib");
		MUST(removexattr("a", "user.x"));
		CHECK_EVENTS("1:attrib a; 2:attrib");
	}
	MUST(link("a", "b"));
	CHECK_EVENTS("2:attrib; 1:create b");
	MUST(close(open("b", O_RDONLY)));
	CHECK_EVENTS("1:open b; 2:open; 1:close b; 2:close");
	MUST(unlink("b"));
	CHECK_EVENTS("2:attrib; 1:delete b");
	MUST(rename("a", "c"));
	CHECK_EVENTS("1:from a; 1:to c same; 2:moved");
	fd = (int)MUST(open("c", O_RDWR));
	CHECK_EVENTS("1:open c; 2:open");
	MUST(unlink("c"));
	CHECK_EVENTS("2:attrib; 1:delete c");
	MUST(write(fd, "x", 1));
	CHECK_EVENTS("1:modify c; 2:modify");
	MUST(close(fd));
	CHECK_EVENTS("1:close-write c; 2:close-write; 2:deleted; 2:ignored");
	CHECK_ERRNO(inotify_rm_watch(instance, 2), EINVAL);
}

TEST(directories)
{
	char entries[1000];
	int fd;

	watch_scratch();
	MUST(mkdir("sub", 0700));
	CHECK_EVENTS("1:create,dir sub");
	CHECK_EQ(inotify_add_watch(instance, "sub", IN_ALL_EVENTS), 2);
	fd = (int)MUST(open("sub", O_RDONLY));
	CHECK_EVENTS("1:open,dir sub; 2:open,dir");
	MUST(syscall(SYS_getdents64, fd, entries, sizeof(entries)));
	CHECK_EVENTS("1:access,dir sub; 2:access,dir");
	MUST(close(fd));
	CHECK_EVENTS("1:close,dir sub; 2:close,dir");
	MUST(chmod("sub", 0755));
	CHECK_EVENTS("1:attrib,dir sub; 2:attrib,dir");
	MUST(rename("sub", "below"));
	CHECK_EVENTS("1:from,dir sub; 1:to,dir below same; 2:moved");
	MUST(close(make("below/x")));
	CHECK_EVENTS("2:create x; 2:open x; 2:close-write x");
	MUST(rename("below/x", "y"));
	CHECK_EVENTS("2:from x; 1:to y same");
	MUST(symlink("y", "link"));
	CHECK_EVENTS("1:create link");
	MUST(close(open("link", O_RDONLY)));
	CHECK_EVENTS("1:open y; 1:close y");
	MUST(mkfifo("fifo", 0600));
	CHECK_EVENTS("1:create fifo");
	MUST(unlink("link"));
	CHECK_EVENTS("1:delete link");
	MUST(syscall(SYS_renameat2, AT_FDCWD, "y", AT_FDCWD, "below", RENAME_EXCHANGE));
	CHECK_EVENTS("1:from y; 1:to below same; 1:from,dir below; 1:to,dir y same; 2:moved");
	MUST(rmdir("y"));
	CHECK_EVENTS("2:deleted; 2:ignored; 1:delete,dir y");
	CHECK_ERRNO(rmdir("y"), ENOENT);
	CHECK_ERRNO(mkdir("below", 0700), EEXIST);
	CHECK_EVENTS("");
}

TEST(replaced_by_a_rename)
{
	int fd;

	watch_scratch();
	MUST(close(make("old")));
	MUST(close(make("new")));
	events();
	CHECK_EQ(inotify_add_watch(instance, "old", IN_ALL_EVENTS), 2);
	CHECK_EQ(inotify_add_watch(instance, "new", IN_ALL_EVENTS), 3);
	MUST(rename("new", "old"));
	CHECK_EVENTS("1:from new; 1:to old same; 2:attrib; 3:moved; 2:deleted; 2:ignored");
	fd = (int)MUST(open("old", O_RDONLY));
	MUST(close(make("newer")));
	events();
	MUST(rename("newer", "old"));
	CHECK_EVENTS("1:from newer; 1:to old same; 3:attrib");
	MUST(close(fd));
	CHECK_EVENTS("1:close old; 3:close; 3:deleted; 3:ignored");
	MUST(link("old", "same"));
	events();
	MUST(rename("old", "same"));
	CHECK_EVENTS("");
}

TEST(copies_in_the_kernel)
{
	int from, to, ends[2];

	watch_scratch();
	from = make("from");
	to = make("to");
	MUST(write(from, "0123456789", 10));
	MUST(lseek(from, 0, SEEK_SET));
	events();
	CHECK_EQ(sendfile(to, from, NULL, 5), 5);
	CHECK_EVENTS("1:access from; 1:modify to");
	CHECK_EQ(copy_file_range(from, NULL, to, NULL, 2, 0), 2);
	CHECK_EVENTS("1:access from; 1:modify to");
	MUST(pipe(ends));
	CHECK_EQ(splice(from, NULL, ends[1], NULL, 3, 0), 3);
	CHECK_EVENTS("1:access from");
	CHECK_EQ(splice(ends[0], NULL, to, NULL, 3, 0), 3);
	CHECK_EVENTS("1:modify to");
}

ROLE(nothing)
{
	return 7;
}

TEST(a_program_is_run)
{
	int from, to;
	struct stat status;
	pid_t child;

	watch_scratch();
	from = (int)MUST(open(check_self, O_RDONLY));
	MUST(fstat(from, &status));
	to = (int)MUST(open("program", O_WRONLY | O_CREAT | O_CLOEXEC, 0700));
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		continue;
	MUST(close(to));
	CHECK_EVENTS("1:create program; 1:open program; 1:modify program; 1:close-write program");
	child = (pid_t)MUST(fork());
	if (child == 0) {
		execl("./program", "program", "nothing", NULL);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(7));
	CHECK_EVENTS("1:open program; 1:access program; 1:close program");
}

TEST(a_file_without_a_name)
{
	char path[64];
	int fd;

	watch_scratch();
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd == -1)
		_exit(0);
	CHECK(strncmp(events(), "1:open #", 8) == 0);
	MUST(write(fd, "x", 1));
	CHECK(strncmp(events(), "1:modify #", 10) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	MUST(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	CHECK_EVENTS("1:create named");
}

TEST(kinds_of_watches)
{
	int fd, second;

	watch_scratch();
	CHECK_EQ(inotify_add_watch(instance, ".", IN_CREATE | IN_ONESHOT), 1);
	MUST(mkdir("one", 0700));
	MUST(mkdir("two", 0700));
	CHECK_EVENTS("1:create,dir one; 1:ignored");
	CHECK_ERRNO(inotify_rm_watch(instance, 1), EINVAL);
	CHECK_EQ(inotify_add_watch(instance, ".", IN_OPEN), 2);
	CHECK_EQ(inotify_add_watch(instance, ".", IN_CREATE | IN_MASK_ADD), 2);
	CHECK_ERRNO(inotify_add_watch(instance, ".", IN_CREATE | IN_MASK_CREATE), EEXIST);
	MUST(close(make("a")));
	CHECK_EVENTS("2:create a; 2:open a");
	CHECK_EQ(inotify_add_watch(instance, ".", IN_CLOSE), 2);
	MUST(close(make("b")));
	CHECK_EVENTS("2:close-write b");
	CHECK_EQ(inotify_add_watch(instance, ".", IN_ALL_EVENTS | IN_EXCL_UNLINK), 2);
	fd = (int)MUST(open("b", O_RDWR));
	MUST(unlink("b"));
	CHECK_EVENTS("2:open b; 2:delete b");
	MUST(write(fd, "x", 1));
	CHECK_EVENTS("");
	MUST(fchmod(fd, 0644));
	CHECK_EVENTS("2:attrib b");
	MUST(close(fd));
	CHECK_EVENTS("");
	MUST(symlink("a", "link"));
	CHECK_EQ(inotify_add_watch(instance, "link", IN_ATTRIB), 3);
	CHECK_EQ(inotify_add_watch(instance, "a", IN_ATTRIB), 3);
	CHECK_EQ(inotify_add_watch(instance, "link", IN_ATTRIB | IN_DONT_FOLLOW), 4);
	CHECK_EQ(inotify_rm_watch(instance, 3), 0);
	events();
	CHECK_EQ(inotify_rm_watch(instance, 4), 0);
	CHECK_EVENTS("4:ignored");
	second = (int)MUST(inotify_init());
	CHECK_EQ(inotify_add_watch(second, ".", IN_CREATE), 1);
	CHECK_EQ(inotify_add_watch(instance, "one", IN_MASK_CREATE | IN_CREATE), 5);
	MUST(close(second));
	MUST(close(make("one/x")));
	CHECK_EVENTS("5:create x");
}

/* Who isn't to hear of files without a name doesn't of the watched file itself, by the name that it was opened by. */
TEST(watched_files_without_a_name)
{
	int fd, second;

	watch_scratch();
	MUST(inotify_rm_watch(instance, 1));
	fd = make("b");
	MUST(mkfifo("pipe", 0600));
	second = (int)MUST(open("pipe", O_RDWR));
	events();
	CHECK_EQ(inotify_add_watch(instance, "b", IN_ALL_EVENTS | IN_EXCL_UNLINK), 2);
	CHECK_EQ(inotify_add_watch(instance, "pipe", IN_ALL_EVENTS | IN_EXCL_UNLINK), 3);
	MUST(write(fd, "x", 1));
	MUST(write(second, "x", 1));
	CHECK_EVENTS("2:modify; 3:modify");
	MUST(link("b", "c"));
	MUST(unlink("b"));
	MUST(unlink("pipe"));
	CHECK_EVENTS("2:attrib; 3:attrib");
	MUST(write(fd, "x", 1));
	MUST(write(second, "x", 1));
	MUST(close(fd));
	CHECK_EVENTS("");
	MUST(close(open("c", O_RDONLY)));
	CHECK_EVENTS("2:open; 2:close");
	MUST(close(second));
	CHECK_EVENTS("3:deleted; 3:ignored");
}

TEST(errnos)
{
	int other = (int)MUST(open("/dev/null", O_RDONLY));

	watch_scratch();
	MUST(close(make("file")));
	CHECK_ERRNO(inotify_init1(1), EINVAL);
	CHECK_ERRNO(inotify_add_watch(instance, ".", 0), EINVAL);
	CHECK_ERRNO(inotify_add_watch(instance, ".", 0x00800000), EINVAL);
	CHECK_ERRNO(inotify_add_watch(instance, ".", IN_CREATE | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
	CHECK_ERRNO(inotify_add_watch(other, ".", IN_CREATE), EINVAL);
	CHECK_ERRNO(inotify_add_watch(-1, ".", IN_CREATE), EBADF);
	CHECK_ERRNO(inotify_add_watch(-1, ".", 0), EINVAL);
	CHECK_ERRNO(inotify_add_watch(instance, "nothing", IN_CREATE), ENOENT);
	CHECK_ERRNO(inotify_add_watch(instance, "", IN_CREATE), ENOENT);
	CHECK_ERRNO(inotify_add_watch(instance, "file", IN_CREATE | IN_ONLYDIR), ENOTDIR);
	CHECK_ERRNO(inotify_add_watch(instance, bad_address(), IN_CREATE), EFAULT);
	CHECK_ERRNO(inotify_rm_watch(instance, 99), EINVAL);
	CHECK_ERRNO(inotify_rm_watch(other, 1), EINVAL);
	CHECK_ERRNO(inotify_rm_watch(-1, 1), EBADF);
	CHECK_ERRNO(write(instance, "x", 1), EBADF);
	if (geteuid() == 0) {
		MUST(chmod("file", 0200));
		MUST(chown("file", NOBODY, NOBODY));
		drop_root();
		CHECK_ERRNO(inotify_add_watch(instance, "file", IN_CREATE), EACCES);
	}
}

TEST(reading)
{
	char small[sizeof(struct inotify_event)], buffer[4096];
	struct pollfd poller = {.events = POLLIN};
	int left, flags;
	pid_t child;

	watch_scratch();
	poller.fd = instance;
	CHECK_ERRNO(read(instance, buffer, sizeof(buffer)), EAGAIN);
	CHECK_ERRNO(read(instance, small, 0), EAGAIN);
	CHECK_EQ(poll(&poller, 1, 0), 0);
	MUST(mkdir("a-rather-long-name", 0700));
	MUST(mkdir("b", 0700));
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_EQ(poller.revents, POLLIN);
	CHECK_EQ(ioctl(instance, FIONREAD, &left), 0);
	CHECK_EQ(left, 16 + 32 + 16 + 16);
	CHECK_ERRNO(read(instance, small, sizeof(small)), EINVAL);
	CHECK_ERRNO(read(instance, small, 0), EINVAL);
	CHECK_EQ(read(instance, buffer, 63), 48);
	CHECK_EQ(((struct inotify_event *)buffer)->len, 32);
	CHECK_STRING(((struct inotify_event *)buffer)->name, "a-rather-long-name");
	CHECK_EQ(read(instance, buffer, sizeof(buffer)), 32);
	CHECK_EQ(lseek(instance, 5, SEEK_SET), 0);
	flags = (int)MUST(fcntl(instance, F_GETFL));
	CHECK_EQ(flags, O_NONBLOCK);
	MUST(fcntl(instance, F_SETFL, 0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(20);
		_exit(mkdir("c", 0700));
	}
	CHECK_EQ(read(instance, buffer, sizeof(buffer)), 32);
	CHECK_EQ(wait_for(child), EXITED(0));
	/* What cannot be put there is lost. */
	MUST(mkdir("d", 0700));
	CHECK_ERRNO(read(instance, bad_address(), 100), EFAULT);
	CHECK_EQ(ioctl(instance, FIONREAD, &left), 0);
	CHECK_EQ(left, 0);
}

TEST(a_crash_in_the_middle)
{
	pid_t child;

	watch_scratch();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int fd = make("half");

		MUST(write(fd, "half of", 7));
		raise(SIGKILL);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_EVENTS("1:create half; 1:open half; 1:modify half; 1:close-write half");
}

TEST(too_many_events)
{
	FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	int limit = 0, fd, count = 0, overflows = 0;
	static char buffer[1 << 20] __attribute__((aligned(8)));
	ssize_t length;

	MUST(file == NULL || fscanf(file, "%d", &limit) != 1 ? -1 : 0);
	CHECK_EQ(limit, 16384);
	watch_scratch();
	fd = make("a");
	MUST(write(fd, "x", 1));
	for (int at = 0; at < limit; at++)
		MUST(at % 2 ? pwrite(fd, "x", 1, 0) : pread(fd, buffer, 1, 0));
	while ((length = read(instance, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < length; count++) {
			const struct inotify_event *event = (const void *)(buffer + at);

			overflows += event->mask == IN_Q_OVERFLOW && event->wd == -1 && event->len == 0;
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	CHECK_EQ(count, limit + 1);
	CHECK_EQ(overflows, 1);
	MUST(pwrite(fd, "x", 1, 0));
	CHECK_EVENTS("1:modify a");
}

TEST(limits_of_a_user)
{
	FILE *file = fopen("/proc/sys/fs/inotify/max_user_instances", "r");
	int limit = 0, count = 0;

	MUST(file == NULL || fscanf(file, "%d", &limit) != 1 ? -1 : 0);
	if (geteuid() != 0)
		_exit(0);
	MUST(setresuid(54321, 54321, 54321));
	while (inotify_init() != -1)
		count++;
	CHECK_EQ(errno, EMFILE);
	CHECK_EQ(count, limit);
}

static int count_of(const char *path)
{
	FILE *file = fopen(path, "r");
	int count = -1;

	MUST(file == NULL || fscanf(file, "%d", &count) != 1 ? -1 : 0);
	fclose(file);
	return count;
}

TEST(limits_of_a_user_namespace)
{
	int first, second, around, watched;
	char uids[64], gids[64];

	if (geteuid() == 0)
		drop_root();
	around = count_of("/proc/sys/user/max_inotify_instances");
	CHECK_EQ(count_of("/proc/sys/fs/inotify/max_user_instances"), around);
	CHECK_EQ(count_of("/proc/sys/fs/inotify/max_user_watches"), count_of("/proc/sys/user/max_inotify_watches"));
	CHECK_ERRNO(write_text("/proc/sys/user/max_inotify_instances", "5"), EACCES);
	MUST(prctl(PR_SET_DUMPABLE, 1));
	snprintf(uids, sizeof(uids), "0 %u 1\n", geteuid());
	snprintf(gids, sizeof(gids), "0 %u 1\n", getegid());
	MUST(unshare(CLONE_NEWUSER));
	MUST(write_text("/proc/self/setgroups", "deny"));
	MUST(write_text("/proc/self/uid_map", uids));
	MUST(write_text("/proc/self/gid_map", gids));
	CHECK_EQ(count_of("/proc/sys/user/max_inotify_instances"), INT_MAX);
	CHECK_EQ(count_of("/proc/sys/user/max_inotify_watches"), INT_MAX);
	CHECK_EQ(count_of("/proc/sys/user/max_user_namespaces"), INT_MAX);
	CHECK_EQ(count_of("/proc/sys/user/max_time_namespaces"), INT_MAX);
	CHECK_EQ(write_text("/proc/sys/user/max_inotify_instances", "2"), 0);
	CHECK_EQ(write_text("/proc/sys/user/max_inotify_watches", "1"), 0);
	CHECK_EQ(count_of("/proc/sys/user/max_inotify_instances"), 2);
	CHECK_EQ(count_of("/proc/sys/fs/inotify/max_user_instances"), around);
	first = (int)MUST(inotify_init());
	second = (int)MUST(inotify_init());
	CHECK_ERRNO(inotify_init(), EMFILE);
	watched = inotify_add_watch(first, "/", IN_OPEN);
	CHECK_EQ(watched, 1);
	CHECK_EQ(inotify_add_watch(first, "/", IN_CLOSE), 1);
	CHECK_ERRNO(inotify_add_watch(second, "/", IN_OPEN), ENOSPC);
	CHECK_ERRNO(inotify_add_watch(first, "/proc", IN_OPEN), ENOSPC);
	MUST(inotify_rm_watch(first, watched));
	CHECK_EQ(inotify_add_watch(second, "/proc", IN_OPEN), 2);
	MUST(close(second));
	CHECK_EQ(inotify_add_watch(first, "/", IN_OPEN), 3);
	CHECK_OK(inotify_init());
	/* One below counts here as well. */
	MUST(unshare(CLONE_NEWUSER));
	CHECK_ERRNO(inotify_init(), EMFILE);
	MUST(close(first));
	CHECK_OK(inotify_init());
}

TEST(unmounted)
{
	if (geteuid() != 0)
		_exit(0);
	watch_scratch();
	MUST(mkdir("mount", 0700));
	MUST(mount("none", "mount", "tmpfs", 0, NULL));
	MUST(close(make("mount/file")));
	CHECK_EVENTS("1:create,dir mount");
	CHECK_EQ(inotify_add_watch(instance, "mount/file", IN_ALL_EVENTS), 2);
	CHECK_EQ(inotify_add_watch(instance, "mount", IN_OPEN), 3);
	CHECK_EQ(umount("mount"), 0);
	CHECK_EVENTS("2:unmounted; 2:ignored; 3:unmounted,dir; 3:ignored");
}

/* Terminals come and go in their directory; what all of them are made by is watched in vain. */
TEST(pseudo_terminals)
{
	int master, slave, unlock = 0;

	if (geteuid() != 0)
		_exit(0);
	enter_scratch();
	MUST(mkdir("pts", 0700));
	MUST(mount("none", "pts", "devpts", 0, "newinstance,ptmxmode=666"));
	instance = (int)MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	CHECK_EQ(inotify_add_watch(instance, "pts", IN_ALL_EVENTS), 1);
	CHECK_EQ(inotify_add_watch(instance, "pts/ptmx", IN_ALL_EVENTS), 2);
	master = (int)MUST(open("pts/ptmx", O_RDWR | O_NOCTTY));
	CHECK_EVENTS("1:create 0");
	CHECK_EQ(inotify_add_watch(instance, "pts/0", IN_ALL_EVENTS), 3);
	MUST(ioctl(master, TIOCSPTLCK, &unlock));
	slave = (int)MUST(open("pts/0", O_RDWR | O_NOCTTY));
	CHECK_EVENTS("1:open 0; 3:open");
	CHECK_EQ(write(master, "x", 1), 1);
	MUST(close(slave));
	CHECK_EVENTS("1:close-write 0; 3:close-write");
	MUST(close(master));
	CHECK_EVENTS("1:delete 0; 3:deleted; 3:ignored");
	MUST(umount("pts"));
}

TEST(mapped_when_removed)
{
	int fd;
	void *memory;

	watch_scratch();
	fd = make("a");
	MUST(ftruncate(fd, 4096));
	events();
	CHECK_EQ(inotify_add_watch(instance, "a", IN_DELETE_SELF), 2);
	memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	MUST(close(fd));
	MUST(unlink("a"));
	CHECK_EVENTS("1:delete a");
	MUST(munmap(memory, 4096));
	CHECK_EVENTS("1:close-write a; 2:deleted; 2:ignored");
}

TEST(a_directory_in_which_somebody_is)
{
	char value = 0;

	watch_scratch();
	MUST(mkdir("here", 0755));
	MUST(chdir("here"));
	MUST(setxattr(".", "user.a", "1", 1, 0));
	events();
	CHECK_EQ(inotify_add_watch(instance, ".", IN_DELETE_SELF), 2);
	MUST(rmdir("../here"));
	CHECK_EVENTS("1:delete,dir here");
	CHECK_EQ(getxattr(".", "user.a", &value, 1), 1);
	CHECK_EQ(value, '1');
	MUST(chdir("/"));
	CHECK_EVENTS("2:deleted; 2:ignored");
}

TEST(what_a_fault_takes)
{
	watch_scratch();
	MUST(close(make("a_name_of_some_length")));
	CHECK_ERRNO(read(instance, bad_address(), 4096), EFAULT);
	CHECK_EVENTS("1:open a_name_of_some_length; 1:close-write a_name_of_some_length");
}

/* Who writes may lose a file its set-id bits, which is told as well. */
TEST(set_id_bits_that_go)
{
	enum { WRITE, TRUNCATE, ALLOCATE };
	static const char *const told_of[] = {
		[WRITE] = "1:attrib program; 1:modify program",
		[TRUNCATE] = "1:modify,attrib program",
		[ALLOCATE] = "1:attrib program; 1:modify program",
	};
	int fd;

	watch_scratch();
	fd = make("program");
	for (int way = WRITE; way <= ALLOCATE; way++) {
		pid_t child;

		MUST(fchmod(fd, 04755));
		events();
		child = (pid_t)MUST(fork());
		if (child == 0) {
			drop_root();
			if (way == WRITE)
				MUST(write(fd, "x", 1));
			else if (way == TRUNCATE)
				MUST(ftruncate(fd, 0));
			else
				MUST(fallocate(fd, 0, 0, 10));
			_exit(0);
		}
		CHECK_EQ(wait_for(child), EXITED(0));
		CHECK_EVENTS(told_of[way]);
	}
}

TEST(how_it_looks)
{
	char path[64], target[64] = "", line[200];
	int lines = 0;
	FILE *file;

	watch_scratch();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", instance);
	MUST(readlink(path, target, sizeof(target) - 1));
	CHECK_STRING(target, "anon_inode:inotify");
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", instance);
	file = fopen(path, "r");
	while (fgets(line, sizeof(line), file) != NULL)
		lines += strncmp(line, "inotify wd:1 ino:", 17) == 0 &&
			 strstr(line, " mask:fff ignored_mask:0 fhandle-bytes:") != NULL && strstr(line, " f_handle:") != NULL;
	CHECK_EQ(lines, 1);
}

/* With a vector an access is told of even if nothing came; otherwise only if something did. */
TEST(reads_of_nothing)
{
	char buffer[20];
	struct iovec whole[2] = {{buffer, 10}, {buffer + 10, 10}}, empty[2] = {{buffer, 0}, {buffer, 0}};
	struct iovec bad = {bad_address(), 10};
	int file, directory, fifo, writer;

	enter_scratch();
	write_file("file", "hello", 0600);
	file = (int)MUST(open("file", O_RDWR));
	MUST(mkdir("sub", 0700));
	directory = (int)MUST(open("sub", O_RDONLY));
	MUST(mkfifo("fifo", 0600));
	fifo = (int)MUST(open("fifo", O_RDONLY | O_NONBLOCK));
	writer = (int)MUST(open("fifo", O_WRONLY));
	instance = (int)MUST(inotify_init1(IN_NONBLOCK));
	MUST(inotify_add_watch(instance, "file", IN_ACCESS | IN_MODIFY));
	MUST(inotify_add_watch(instance, "sub", IN_ACCESS));
	MUST(inotify_add_watch(instance, "fifo", IN_ACCESS | IN_MODIFY));
	MUST(lseek(file, 0, SEEK_END));
	CHECK_EQ(read(file, buffer, 10), 0);
	CHECK_EQ(read(file, buffer, 0), 0);
	CHECK_EQ(pread(file, buffer, 10, 100), 0);
	CHECK_EQ(pread(file, buffer, 0, 0), 0);
	CHECK_ERRNO(pread(file, bad_address(), 10, 0), EFAULT);
	CHECK_ERRNO(preadv(file, &bad, 1, 0), EFAULT);
	CHECK_EQ(write(file, buffer, 0), 0);
	CHECK_EQ(writev(file, whole, 0), 0);
	CHECK_EQ(pwritev(file, empty, 2, 0), 0);
	CHECK_EQ(sendfile(writer, file, NULL, 10), 0);
	CHECK_EQ(splice(file, NULL, writer, NULL, 10, 0), 0);
	CHECK_EVENTS("");
	CHECK_EQ(readv(file, whole, 2), 0);
	CHECK_EVENTS("1:access");
	CHECK_EQ(readv(file, whole, 0), 0);
	CHECK_EVENTS("1:access");
	CHECK_EQ(readv(file, empty, 2), 0);
	CHECK_EVENTS("1:access");
	CHECK_EQ(preadv(file, whole, 2, 100), 0);
	CHECK_EVENTS("1:access");
	CHECK_EQ(preadv(file, empty, 1, 0), 0);
	CHECK_EVENTS("1:access");
	CHECK_EQ(preadv2(file, whole, 2, -1, 0), 0);
	CHECK_EVENTS("1:access");
	CHECK_EQ(preadv2(file, empty, 1, -1, 0), 0);
	CHECK_EVENTS("1:access");
	/* A directory can be read by nobody, but nothing of it can. */
	CHECK_ERRNO(readv(directory, whole, 1), EISDIR);
	CHECK_EVENTS("");
	CHECK_EQ(readv(directory, empty, 1), 0);
	CHECK_EVENTS("2:access,dir");
	CHECK_EQ(read(fifo, buffer, 0), 0);
	CHECK_ERRNO(readv(fifo, whole, 1), EAGAIN);
	CHECK_EQ(writev(writer, empty, 1), 0);
	CHECK_EVENTS("");
	CHECK_EQ(readv(fifo, empty, 1), 0);
	CHECK_EVENTS("3:access");
	CHECK_EQ(write(writer, "abc", 3), 3);
	CHECK_EVENTS("3:modify");
	CHECK_ERRNO(read(fifo, bad_address(), 3), EFAULT);
	CHECK_ERRNO(readv(fifo, &bad, 1), EFAULT);
	CHECK_EVENTS("");
	CHECK_EQ(read(fifo, buffer, 20), 3);
	CHECK_EVENTS("3:access");
	MUST(close(writer));
	CHECK_EQ(read(fifo, buffer, 1), 0);
	CHECK_EVENTS("");
	CHECK_EQ(readv(fifo, whole, 1), 0);
	CHECK_EVENTS("3:access");
}

static int has_new_access_time(const char *path)
{
	struct stat status;

	MUST(stat(path, &status));
	return status.st_atime != 1;
}

/* Who goes through a directory has accessed it, though it gets no entry. */
TEST(listings_of_nothing)
{
	const struct timespec old[2] = {{1, 0}, {1, 0}};
	char buffer[4096];
	int directory;

	enter_scratch();
	MUST(mkdir("sub", 0700));
	write_file("sub/file", "", 0600);
	directory = (int)MUST(open("sub", O_RDONLY));
	instance = (int)MUST(inotify_init1(IN_NONBLOCK));
	MUST(inotify_add_watch(instance, "sub", IN_ACCESS));
	for (int which = 0; which < 5; which++) {
		void *to = which == 0 ? bad_address() : buffer;
		const unsigned sizes[] = {2048, 3, 30, 4096, 4096};
		const long results[] = {-1, -1, 24, 48, 0};
		const int errors[] = {EFAULT, EINVAL, 0, 0, 0};

		MUST(utimensat(AT_FDCWD, "sub", old, 0));
		errno = 0;
		CHECK_EQ(syscall(SYS_getdents64, directory, to, sizes[which]), results[which]);
		CHECK_EQ(errno, errors[which]);
		CHECK_EVENTS("1:access,dir");
		CHECK(has_new_access_time("sub"));
	}
	MUST(utimensat(AT_FDCWD, "sub", old, 0));
	MUST(unlink("sub/file"));
	MUST(rmdir("sub"));
	events();
	CHECK_ERRNO(syscall(SYS_getdents64, directory, buffer, sizeof(buffer)), ENOENT);
	CHECK_EVENTS("");
}

static volatile sig_atomic_t signal_count;

static void count_signal(int signal)
{
	(void)signal;
	signal_count++;
}

TEST(readiness_is_signalled)
{
	int on = 1, random = (int)MUST(open("/dev/urandom", O_RDONLY)), file;

	enter_scratch();
	instance = (int)MUST(inotify_init1(IN_NONBLOCK));
	handle(SIGIO, count_signal, SA_RESTART);
	MUST(fcntl(instance, F_SETOWN, getpid()));
	CHECK_OK(ioctl(instance, FIOASYNC, &on));
	CHECK_EQ(fcntl(instance, F_GETFL) & O_ASYNC, O_ASYNC);
	MUST(inotify_add_watch(instance, ".", IN_CREATE));
	file = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	CHECK_EQ(signal_count, 1);
	on = 0;
	CHECK_OK(ioctl(instance, FIOASYNC, &on));
	MUST(mkdir("directory", 0700));
	CHECK_EQ(signal_count, 1);
	/* Some devices know it, though they're always ready; plain files don't. */
	on = 1;
	CHECK_OK(ioctl(random, FIOASYNC, &on));
	CHECK_ERRNO(ioctl(file, FIOASYNC, &on), ENOTTY);
	CHECK_OK(fcntl(file, F_SETFL, O_ASYNC));
	CHECK_EQ(fcntl(file, F_GETFL) & O_ASYNC, 0);
	MUST(rmdir("directory"));
}
