/* Files by handles: name_to_handle_at(2), open_by_handle_at(2). */
#include "check.h"

#include <sched.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#define PIDFS_ROOT (-10002)
#define NSFS_ROOT (-10003)
#define NSFS_HANDLE 0xF1
#define GET_ID 0x8008B70D
#define GET_MOUNT_NAMESPACE_ID 0x8008B705

struct handle {
	struct file_handle header;
	unsigned char bytes[128];
};

static struct handle found;

static int find(int directory, const char *name, int flags)
{
	int mount = 0;

	memset(&found, 0, sizeof found);
	found.header.handle_bytes = sizeof found.bytes;
	return name_to_handle_at(directory, name, &found.header, &mount, flags);
}

static int open_handle(int directory, int flags)
{
	return open_by_handle_at(directory, &found.header, flags);
}

/* A tmpfs of the test's own, whoever runs it; -1 where it may have none. */
static int own_tmpfs(void)
{
	enter_scratch();
	if (geteuid() != 0 || unshare(CLONE_NEWNS) == -1)
		return -1;
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mkdir("place", 0755));
	MUST(mount("none", "place", "tmpfs", 0, NULL));
	MUST(chdir("place"));
	return (int)MUST(open(".", O_RDONLY));
}

TEST(a_file_by_its_handle)
{
	int root = own_tmpfs(), file, mount;
	struct stat first, second;

	if (root == -1)
		return;
	MUST(close((int)MUST(open("file", O_RDWR | O_CREAT, 0600))));
	MUST(mkdir("below", 0700));
	MUST(symlink("file", "link"));
	CHECK_OK(find(AT_FDCWD, "file", 0));
	CHECK_EQ(found.header.handle_bytes, 12);
	MUST(rename("file", "below/renamed"));
	file = open_handle(root, O_RDWR);
	CHECK_OK(file);
	MUST(fstat(file, &first));
	MUST(stat("below/renamed", &second));
	CHECK_EQ(first.st_ino, second.st_ino);
	CHECK_OK(open_handle(AT_FDCWD, O_RDONLY));
	CHECK_OK(open_handle(file, O_PATH));
	CHECK_ERRNO(open_handle(99, O_RDONLY), EBADF);
	found.bytes[0] ^= 0x55;
	CHECK_ERRNO(open_handle(root, O_RDONLY), ESTALE);
	found.bytes[0] ^= 0x55;
	found.header.handle_bytes = 4;
	CHECK_ERRNO(open_handle(root, O_RDONLY), ESTALE);
	found.header.handle_bytes = 0;
	CHECK_ERRNO(open_handle(root, O_RDONLY), EINVAL);
	found.header.handle_bytes = 129;
	CHECK_ERRNO(open_handle(root, O_RDONLY), EINVAL);
	CHECK_ERRNO(open_by_handle_at(root, bad_address(), O_RDONLY), EFAULT);
	CHECK_OK(find(AT_FDCWD, "below", 0));
	CHECK_OK(open_handle(root, O_RDONLY));
	CHECK_ERRNO(open_handle(root, O_RDWR), EISDIR);
	CHECK_OK(find(root, "", AT_EMPTY_PATH));
	CHECK_OK(open_handle(root, O_RDONLY));
	CHECK_OK(find(AT_FDCWD, "link", 0));
	CHECK_ERRNO(open_handle(root, O_RDONLY), ELOOP);
	CHECK_ERRNO(find(AT_FDCWD, "link", AT_SYMLINK_FOLLOW), ENOENT);
	MUST(unlink("link"));
	found.header.handle_bytes = 0;
	CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "below", &found.header, &mount, 0), EOVERFLOW);
	CHECK_EQ(found.header.handle_bytes, 12);
	/* Which is no type of handles, on most file systems. */
	CHECK_EQ(found.header.handle_type, 255);
	CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "below", bad_address(), &mount, 0), EFAULT);
	CHECK_ERRNO(find(AT_FDCWD, "below", 0x10000), EINVAL);
	CHECK_ERRNO(find(AT_FDCWD, "", 0), ENOENT);
	CHECK_OK(find(AT_FDCWD, "below", 0));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(open_handle(root, O_RDONLY), EPERM);
}

TEST(files_without_handles)
{
	CHECK_ERRNO(find(AT_FDCWD, "/proc/self", 0), EOPNOTSUPP);
	struct stat link;

	CHECK_OK(find(AT_FDCWD, "/proc/self", AT_HANDLE_FID));
	/* A handle that only tells files apart has the number of the file, in 64 bits. */
	CHECK_OK(lstat("/proc/self", &link));
	CHECK_EQ(found.header.handle_bytes, 12);
	CHECK_EQ(found.header.handle_type, 0x81);
	CHECK_EQ(memcmp(found.bytes, &link.st_ino, sizeof(link.st_ino)), 0);
	found.header.handle_type = -1;
	CHECK_ERRNO(open_by_handle_at(AT_FDCWD, &found.header, O_RDONLY), EINVAL);
	/* A handle is looked at before the mount. */
	CHECK_ERRNO(open_by_handle_at(-1, &found.header, O_RDONLY), EINVAL);
	CHECK_ERRNO(open_by_handle_at(-1, bad_address(), O_RDONLY), EFAULT);
	CHECK_ERRNO(find(AT_FDCWD, "/no/such/file", 0), ENOENT);
}

TEST(control_groups_by_their_number)
{
	int place, group;
	uint64_t id;
	struct stat status;

	enter_scratch();
	if (geteuid() != 0 || unshare(CLONE_NEWNS) == -1)
		return;
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mkdir("place", 0755));
	MUST(mount("none", "place", "cgroup2", 0, NULL));
	place = (int)MUST(open("place", O_RDONLY));
	MUST(stat("place", &status));
	CHECK_OK(find(place, "", AT_EMPTY_PATH));
	CHECK_EQ(found.header.handle_bytes, 8);
	CHECK_EQ(found.header.handle_type, 0xfe);
	memcpy(&id, found.bytes, sizeof id);
	CHECK_EQ(id, status.st_ino);
	group = open_handle(place, O_RDONLY | O_DIRECTORY);
	CHECK_OK(group);
	CHECK_OK(faccessat(group, "cgroup.procs", F_OK, 0));
	/* The usual type of handles means the same. */
	found.header.handle_type = 1;
	CHECK_OK(open_handle(place, O_RDONLY));
	found.header.handle_type = 2;
	CHECK_OK(open_handle(place, O_RDONLY));
	found.header.handle_type = 0x81;
	CHECK_ERRNO(open_handle(place, O_RDONLY), ESTALE);
	CHECK_OK(find(place, "cgroup.procs", 0));
	CHECK_OK(open_handle(place, O_RDONLY));
	memset(found.bytes, 0x77, 8);
	CHECK_ERRNO(open_handle(place, O_RDONLY), ESTALE);
	found.header.handle_bytes = 4;
	CHECK_ERRNO(open_handle(place, O_RDONLY), ESTALE);
}

/* What is in the handle of a namespace. */
struct named_namespace {
	uint64_t id;
	uint32_t kind, number;
};

static struct named_namespace in_handle(void)
{
	struct named_namespace named;

	memcpy(&named, found.bytes, sizeof(named));
	return named;
}

static int find_own(const char *kind)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	return find(AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

ROOTS_TEST(namespaces_by_their_handles)
{
	struct handle other;
	struct stat first, second;
	uint64_t id = 0;
	int names, opened;

	MUST(unshare(CLONE_NEWUTS | CLONE_NEWNS));
	names = (int)MUST(open("/proc/self/ns/uts", O_RDONLY));
	MUST(fstat(names, &first));
	CHECK_OK(find_own("uts"));
	CHECK_EQ(found.header.handle_type, NSFS_HANDLE);
	CHECK_EQ(found.header.handle_bytes, sizeof(struct named_namespace));
	CHECK_EQ(in_handle().kind, CLONE_NEWUTS);
	CHECK_EQ(in_handle().number, (uint32_t)first.st_ino);
	CHECK_OK(ioctl(names, GET_ID, &id));
	CHECK_EQ(in_handle().id, id);
	CHECK_ERRNO(ioctl(names, GET_MOUNT_NAMESPACE_ID, &id), EINVAL);
	opened = (int)MUST(open_handle(NSFS_ROOT, O_RDONLY | O_CLOEXEC));
	MUST(fstat(opened, &second));
	CHECK_EQ(second.st_ino, first.st_ino);
	CHECK_EQ(fcntl(opened, F_GETFD), FD_CLOEXEC);
	CHECK_OK(open_handle(names, O_RDONLY));
	CHECK_OK(open_handle(NSFS_ROOT, O_PATH));
	CHECK_ERRNO(open_handle(NSFS_ROOT, O_RDWR), EPERM);
	CHECK_ERRNO(open_handle(NSFS_ROOT, O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(open_handle(PIDFS_ROOT, O_RDONLY), ESTALE);
	CHECK_ERRNO(open_handle(AT_FDCWD, O_RDONLY), ESTALE);
	CHECK_ERRNO(open_handle(-10009, O_RDONLY), EBADF);
	/* All of it must be true. */
	other = found;
	found.bytes[0] ^= 1;
	CHECK_ERRNO(open_handle(NSFS_ROOT, O_RDONLY), ESTALE);
	found = other;
	found.bytes[8] ^= 1;
	CHECK_ERRNO(open_handle(NSFS_ROOT, O_RDONLY), ESTALE);
	found = other;
	found.bytes[12] ^= 1;
	CHECK_ERRNO(open_handle(NSFS_ROOT, O_RDONLY), ESTALE);
	found = other;
	found.header.handle_bytes = 12;
	CHECK_ERRNO(open_handle(NSFS_ROOT, O_RDONLY), ESTALE);
	found = other;
	/* One that has been left, and is still held; who may nothing has but his own. */
	MUST(unshare(CLONE_NEWUTS));
	CHECK_OK(setns((int)MUST(open_handle(NSFS_ROOT, O_RDONLY)), CLONE_NEWUTS));
	MUST(unshare(CLONE_NEWUTS));
	drop_root();
	CHECK_ERRNO(open_handle(NSFS_ROOT, O_RDONLY), ESTALE);
	CHECK_OK(find_own("uts"));
	CHECK_OK(open_handle(NSFS_ROOT, O_RDONLY));
	CHECK_OK(find_own("mnt"));
	CHECK_EQ(in_handle().kind, CLONE_NEWNS);
}

ROOTS_TEST(a_namespace_that_is_gone)
{
	MUST(unshare(CLONE_NEWUTS));
	CHECK_OK(find_own("uts"));
	MUST(unshare(CLONE_NEWUTS));
	sleep_ms(50);
	CHECK_ERRNO(open_handle(NSFS_ROOT, O_RDONLY), ESTALE);
}

#ifndef AT_HANDLE_CONNECTABLE
#define AT_HANDLE_CONNECTABLE 2
#endif
#define IS_CONNECTABLE 0x10000
#define IS_DIRECTORY 0x20000

ROOTS_TEST(handles_with_their_directories)
{
	int root, other, type;

	enter_scratch();
	MUST(mkdir("tree", 0700));
	MUST(mkdir("file-system", 0700));
	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount("t", "file-system", "tmpfs", 0, NULL));
	MUST(mkdir("file-system/a", 0700));
	MUST(close((int)MUST(creat("file-system/file", 0600))));
	/* tmpfs makes none such, but looks where a file is. */
	CHECK_ERRNO(find(AT_FDCWD, "file-system/file", AT_HANDLE_CONNECTABLE), EOPNOTSUPP);
	root = (int)MUST(open("file-system", O_RDONLY | O_DIRECTORY));
	other = (int)MUST(open("file-system/a", O_RDONLY | O_DIRECTORY));
	CHECK_OK(find(AT_FDCWD, "file-system/file", 0));
	type = found.header.handle_type;
	found.header.handle_type = type | IS_CONNECTABLE;
	CHECK_OK(open_handle(root, O_RDONLY));
	CHECK_ERRNO(open_handle(other, O_RDONLY), ESTALE);
	found.header.handle_type = type | IS_DIRECTORY;
	CHECK_ERRNO(open_handle(root, O_RDONLY), ESTALE);
	found.header.handle_type = type | 0x40000;
	CHECK_ERRNO(open_handle(root, O_RDONLY), EINVAL);
	CHECK_OK(find(AT_FDCWD, "file-system/a", 0));
	found.header.handle_type |= IS_CONNECTABLE | IS_DIRECTORY;
	CHECK_OK(open_handle(root, O_RDONLY));
	CHECK_OK(open_handle(other, O_RDONLY));
	MUST(umount2("file-system", MNT_DETACH));
	if (mount("c", "tree", "cgroup2", 0, NULL) == 0) {
		CHECK_OK(find(AT_FDCWD, "tree", AT_HANDLE_CONNECTABLE));
		CHECK_EQ(found.header.handle_type, 0xFE | IS_CONNECTABLE | IS_DIRECTORY);
		CHECK_OK(find(AT_FDCWD, "tree/cgroup.procs", AT_HANDLE_CONNECTABLE));
		CHECK_EQ(found.header.handle_type, 0xFE | IS_CONNECTABLE);
		CHECK_OK(open_handle((int)MUST(open("tree", O_RDONLY)), O_RDONLY));
		MUST(umount2("tree", MNT_DETACH));
	}
}

TEST(a_process_by_its_handle)
{
	int pidfd = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0));

	CHECK_OK(find(pidfd, "", AT_EMPTY_PATH));
	CHECK_OK(open_handle(PIDFS_ROOT, O_RDWR));
	CHECK_ERRNO(open_handle(NSFS_ROOT, O_RDWR), ESTALE);
}

/* What open(2) says of its flags holds, though nothing is there that could be created. */
TEST(flags_of_an_open_by_handle)
{
	int root = own_tmpfs(), fd;
	struct stat status;

	if (root == -1)
		return;
	MUST(close((int)MUST(open("file", O_RDWR | O_CREAT, 0600))));
	MUST(mkdir("below", 0700));
	MUST(symlink("file", "link"));
	MUST(find(AT_FDCWD, "file", 0));
	CHECK_OK(open_handle(root, O_CREAT | O_RDWR));
	CHECK_ERRNO(open_handle(root, O_CREAT | O_EXCL | O_RDWR), EEXIST);
	CHECK_ERRNO(open_handle(root, O_CREAT | O_DIRECTORY), EINVAL);
	CHECK_ERRNO(open_handle(root, O_TMPFILE), EINVAL);
	CHECK_ERRNO(open_handle(root, O_TMPFILE | O_RDWR), ENOTDIR);
	CHECK_ERRNO(open_handle(root, (O_TMPFILE & ~O_DIRECTORY) | O_RDWR), EINVAL);
	CHECK_ERRNO(open_handle(root, O_PATH | O_TMPFILE | O_RDWR), ENOTDIR);
	CHECK_OK(open_handle(root, O_PATH | O_CREAT | O_EXCL));
	MUST(find(AT_FDCWD, "below", 0));
	CHECK_ERRNO(open_handle(root, O_CREAT), EISDIR);
	CHECK_ERRNO(open_handle(root, O_CREAT | O_EXCL), EEXIST);
	CHECK_ERRNO(open_handle(root, O_CREAT | O_DIRECTORY), EINVAL);
	CHECK_ERRNO(open_handle(root, O_TMPFILE), EINVAL);
	/* A file without a name and without rights, as there is no mode. */
	fd = (int)CHECK_OK(open_handle(root, O_TMPFILE | O_RDWR));
	CHECK_EQ(fcntl(fd, F_GETFL) & O_TMPFILE, O_TMPFILE);
	CHECK_OK(fstat(fd, &status));
	CHECK_EQ(status.st_mode, S_IFREG);
	CHECK_EQ(status.st_nlink, 0);
	CHECK_EQ(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH), 0);
	MUST(find(AT_FDCWD, "link", 0));
	CHECK_ERRNO(open_handle(root, O_DIRECTORY), ELOOP);
	CHECK_ERRNO(open_handle(root, O_TMPFILE | O_RDWR), ELOOP);
	CHECK_ERRNO(open_handle(root, O_CREAT | O_DIRECTORY), EINVAL);
	CHECK_ERRNO(open_handle(root, O_PATH | O_DIRECTORY), ENOTDIR);
}

static pid_t late_writer(const char *name)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		sleep_ms(50);
		write_all((int)MUST(open(name, O_WRONLY)), "x", 1);
		_exit(0);
	}
	return child;
}

TEST(a_fifo_that_is_waited_for)
{
	char buffer[4096], byte;
	int root = own_tmpfs(), watcher, fd, opened = 0;
	const struct inotify_event *event;
	ssize_t length;
	pid_t child;

	if (root == -1)
		return;
	MUST(mkfifo("fifo", 0600));
	MUST(link("fifo", "other"));
	MUST(find(AT_FDCWD, "fifo", 0));
	child = late_writer("fifo");
	fd = (int)CHECK_OK(open_handle(root, O_RDONLY | O_CLOEXEC));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(read(fd, &byte, 1), 1);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(read(fd, &byte, 1), 0);
	MUST(close(fd));
	/* Who watches hears of the open that waited, too. Two names, as equal events would become one. */
	watcher = (int)MUST(inotify_init1(IN_NONBLOCK));
	MUST(inotify_add_watch(watcher, ".", IN_OPEN));
	child = late_writer("other");
	CHECK_OK(open("fifo", O_RDONLY));
	CHECK_EQ(wait_for(child), EXITED(0));
	length = MUST(read(watcher, buffer, sizeof buffer));
	for (char *at = buffer; at < buffer + length; at += sizeof *event + event->len) {
		event = (const struct inotify_event *)at;
		opened += strcmp(event->name, "fifo") == 0;
	}
	CHECK_EQ(opened, 1);
}
