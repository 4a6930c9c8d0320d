/* What chattr(1) sets, FS_IOC_SETFLAGS: files that are immutable or only appended to; and when files were made. */
#include "own_mounts.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <utime.h>

static int get_flags(int fd)
{
	int flags = -1;

	return ioctl(fd, FS_IOC_GETFLAGS, &flags) == -1 ? -1 : flags;
}

static int set_flags(int fd, int flags)
{
	return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

/* A tmpfs of one's own: others keep other flags besides. */
static void enter_tmpfs(void)
{
	enter_own_mounts("tmpfs", "mode=0777");
}

static int created(const char *path, int flags)
{
	return (int)MUST(open(path, O_CREAT | flags, 0666));
}

TEST(flags_are_told)
{
	int fd, directory, fifo;
	struct statx status;

	enter_tmpfs();
	fd = created("file", O_RDWR);
	CHECK_EQ(get_flags(fd), 0);
	CHECK_OK(set_flags(fd, FS_NODUMP_FL | FS_NOATIME_FL));
	CHECK_EQ(get_flags(fd), FS_NODUMP_FL | FS_NOATIME_FL);
	CHECK_ERRNO(set_flags(fd, FS_COMPR_FL), EOPNOTSUPP);
	CHECK_ERRNO(ioctl(fd, FS_IOC_SETFLAGS, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(fd, FS_IOC_GETFLAGS, bad_address()), EFAULT);
	CHECK_OK(set_flags(fd, FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL));
	MUST(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &status));
	CHECK_EQ(status.stx_attributes & 0x70, 0x70);
	CHECK_EQ(status.stx_attributes_mask & 0x70, 0x70);
	CHECK_OK(set_flags(fd, 0));
	MUST(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &status));
	CHECK_EQ(status.stx_attributes & 0x70, 0);
	MUST(mkdir("directory", 0777));
	directory = (int)MUST(open("directory", O_RDONLY));
	CHECK_OK(set_flags(directory, FS_NODUMP_FL));
	CHECK_EQ(get_flags(created("directory/new", O_RDWR)), FS_NODUMP_FL);
	MUST(mkfifo("fifo", 0666));
	fifo = (int)MUST(open("fifo", O_RDWR));
	CHECK_ERRNO(ioctl(fifo, FS_IOC_GETFLAGS, &fd), ENOTTY);
	CHECK_ERRNO(ioctl(MUST(open("/proc/self/stat", O_RDONLY)), FS_IOC_GETFLAGS, &fd), ENOTTY);
	CHECK_ERRNO(ioctl(MUST(open("file", O_PATH)), FS_IOC_GETFLAGS, &fd), EBADF);
}

TEST(nothing_changes_an_immutable_file)
{
	struct timespec times[2] = {{1, 0}, {1, 0}};
	int fd, writer;

	enter_tmpfs();
	writer = created("file", O_RDWR);
	write_all(writer, "hello", 5);
	fd = (int)MUST(open("file", O_RDONLY));
	MUST(set_flags(fd, FS_IMMUTABLE_FL));
	CHECK_OK(access("file", R_OK));
	CHECK_ERRNO(access("file", W_OK), EPERM);
	CHECK_ERRNO(open("file", O_WRONLY), EPERM);
	CHECK_ERRNO(open("file", O_WRONLY | O_APPEND), EPERM);
	CHECK_ERRNO(open("file", O_RDONLY | O_TRUNC), EPERM);
	CHECK_ERRNO(truncate("file", 1), EPERM);
	CHECK_ERRNO(fallocate(writer, 0, 0, 10), EPERM);
	CHECK_EQ(write(writer, "x", 1), 1);
	CHECK_ERRNO(chmod("file", 0600), EPERM);
	CHECK_ERRNO(fchmod(fd, 0600), EPERM);
	CHECK_ERRNO(chown("file", 1, 1), EPERM);
	CHECK_OK(chown("file", (uid_t)-1, (gid_t)-1));
	CHECK_ERRNO(utimensat(AT_FDCWD, "file", times, 0), EPERM);
	CHECK_ERRNO(utimensat(AT_FDCWD, "file", NULL, 0), EPERM);
	CHECK_ERRNO(utime("file", NULL), EPERM);
	CHECK_ERRNO(setxattr("file", "user.a", "b", 1, 0), EPERM);
	CHECK_ERRNO(setxattr("file", "trusted.a", "b", 1, 0), EPERM);
	CHECK_ERRNO(removexattr("file", "user.a"), EPERM);
	CHECK_ERRNO(link("file", "other"), EPERM);
	CHECK_ERRNO(unlink("file"), EPERM);
	CHECK_ERRNO(rename("file", "other"), EPERM);
	created("other", O_RDWR);
	CHECK_ERRNO(rename("other", "file"), EPERM);
	MUST(set_flags(fd, 0));
	CHECK_OK(unlink("file"));
}

TEST(an_immutable_directory_keeps_its_names)
{
	int directory;

	enter_tmpfs();
	MUST(mkdir("directory", 0777));
	created("directory/file", O_RDWR);
	directory = (int)MUST(open("directory", O_RDONLY));
	MUST(set_flags(directory, FS_IMMUTABLE_FL));
	CHECK_ERRNO(open("directory/new", O_CREAT | O_RDWR, 0600), EPERM);
	CHECK_ERRNO(mkdir("directory/new", 0700), EPERM);
	CHECK_ERRNO(symlink("a", "directory/new"), EPERM);
	CHECK_ERRNO(unlink("directory/file"), EPERM);
	CHECK_ERRNO(rename("directory/file", "file"), EPERM);
	CHECK_ERRNO(rmdir("directory"), EPERM);
	CHECK_ERRNO(open("directory", O_TMPFILE | O_RDWR, 0600), EPERM);
	CHECK_OK(truncate("directory/file", 10));
	MUST(set_flags(directory, FS_APPEND_FL));
	CHECK_OK(mkdir("directory/new", 0700));
	CHECK_ERRNO(rmdir("directory/new"), EPERM);
	CHECK_ERRNO(rename("directory/new", "directory/newer"), EPERM);
	MUST(set_flags(directory, 0));
	CHECK_OK(rmdir("directory/new"));
}

TEST(a_file_that_is_only_appended_to)
{
	struct timespec times[2] = {{1, 0}, {1, 0}};
	int fd, appender;

	enter_tmpfs();
	fd = created("file", O_RDWR);
	write_all(fd, "hello", 5);
	MUST(set_flags(fd, FS_APPEND_FL));
	CHECK_ERRNO(open("file", O_WRONLY), EPERM);
	CHECK_ERRNO(open("file", O_RDWR | O_APPEND | O_TRUNC), EPERM);
	CHECK_ERRNO(open("file", O_RDONLY | O_TRUNC), EPERM);
	appender = (int)CHECK_OK(open("file", O_RDWR | O_APPEND));
	CHECK_EQ(write(appender, "!", 1), 1);
	CHECK_ERRNO(fcntl(appender, F_SETFL, 0), EPERM);
	CHECK_OK(fcntl(appender, F_SETFL, O_APPEND | O_NONBLOCK));
	CHECK_ERRNO(fcntl(fd, F_SETFL, O_APPEND), EPERM);
	CHECK_ERRNO(truncate("file", 1), EPERM);
	CHECK_ERRNO(ftruncate(fd, 1), EPERM);
	CHECK_OK(fallocate(appender, 0, 0, 10));
	CHECK_ERRNO(fallocate(appender, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10), EPERM);
	CHECK(mmap(NULL, 1, PROT_READ, MAP_SHARED, appender, 0) == MAP_FAILED && errno == EACCES);
	CHECK(mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, appender, 0) != MAP_FAILED);
	CHECK_ERRNO(chmod("file", 0600), EPERM);
	CHECK_ERRNO(utimensat(AT_FDCWD, "file", times, 0), EPERM);
	CHECK_OK(utimensat(AT_FDCWD, "file", NULL, 0));
	CHECK_ERRNO(setxattr("file", "user.a", "b", 1, 0), EPERM);
	CHECK_ERRNO(removexattr("file", "system.posix_acl_access"), EPERM);
	CHECK_ERRNO(link("file", "other"), EPERM);
	CHECK_ERRNO(unlink("file"), EPERM);
	MUST(set_flags(fd, 0));
	CHECK_OK(unlink("file"));
}

TEST(who_sets_flags)
{
	int fd;

	enter_tmpfs();
	fd = created("file", O_RDWR);
	drop_root();
	CHECK_ERRNO(set_flags(fd, FS_NODUMP_FL), EPERM);
	fd = created("own", O_RDWR);
	CHECK_OK(set_flags(fd, FS_NODUMP_FL));
	CHECK_ERRNO(set_flags(fd, FS_IMMUTABLE_FL), EPERM);
	CHECK_ERRNO(set_flags(fd, FS_APPEND_FL), EPERM);
}

TEST(when_a_file_was_made)
{
	struct timespec times[2] = {{1, 0}, {1, 0}};
	struct statx before, after;

	enter_tmpfs();
	close(created("file", O_RDWR));
	MUST(statx(AT_FDCWD, "file", 0, STATX_BTIME | STATX_MTIME, &before));
	CHECK(before.stx_mask & STATX_BTIME);
	CHECK_EQ(before.stx_btime.tv_sec, before.stx_mtime.tv_sec);
	sleep_ms(20);
	MUST(utimensat(AT_FDCWD, "file", times, 0));
	MUST(rename("file", "other"));
	MUST(statx(AT_FDCWD, "other", 0, STATX_BTIME | STATX_MTIME, &after));
	CHECK_EQ(after.stx_mtime.tv_sec, 1);
	CHECK_EQ(after.stx_btime.tv_sec, before.stx_btime.tv_sec);
	CHECK_EQ(after.stx_btime.tv_nsec, before.stx_btime.tv_nsec);
	MUST(statx(AT_FDCWD, "other", 0, STATX_MTIME, &after));
	CHECK_EQ(after.stx_mask & STATX_BTIME, 0);
}

TEST(directories_of_processes_stay_as_they_are)
{
	CHECK_ERRNO(utimensat(AT_FDCWD, "/proc/self", NULL, 0), EPERM);
	CHECK_ERRNO(chmod("/proc/self", 0700), EPERM);
	CHECK_ERRNO(chown("/proc/self", 0, 0), EPERM);
	CHECK_OK(chown("/proc/self", (uid_t)-1, (gid_t)-1));
}

TEST(hints_of_extents)
{
	struct fsxattr attributes = {.fsx_xflags = FS_XFLAG_EXTSIZE | FS_XFLAG_COWEXTSIZE};
	int fd, directory, pipes[2];

	enter_tmpfs();
	fd = created("file", O_RDWR);
	directory = (int)MUST(open(".", O_RDONLY));
	MUST(pipe(pipes));
	/* Hints of 0 are none. */
	CHECK_OK(ioctl(fd, FS_IOC_FSSETXATTR, &attributes));
	CHECK_ERRNO(ioctl(directory, FS_IOC_FSSETXATTR, &attributes), EINVAL);
	attributes.fsx_extsize = 4096;
	CHECK_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &attributes), EOPNOTSUPP);
	attributes = (struct fsxattr){.fsx_xflags = FS_XFLAG_EXTSZINHERIT};
	CHECK_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &attributes), EINVAL);
	CHECK_OK(ioctl(directory, FS_IOC_FSSETXATTR, &attributes));
	/* What has no flags is no such file, whatever they are; but unknown ones are looked for before. */
	CHECK_ERRNO(ioctl(pipes[0], FS_IOC_FSSETXATTR, &attributes), ENOTTY);
	attributes.fsx_xflags = FS_XFLAG_REALTIME;
	CHECK_ERRNO(ioctl(pipes[0], FS_IOC_FSSETXATTR, &attributes), ENOTTY);
	attributes.fsx_xflags = 1U << 20;
	CHECK_ERRNO(ioctl(pipes[0], FS_IOC_FSSETXATTR, &attributes), EOPNOTSUPP);
}

/* A user namespace of one's own, in which nobody has an id, and mounts. */
static void enter_own_users(void)
{
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWNS));
}

TEST(projects_are_the_first_user_namespace_s)
{
	struct fsxattr of_project = {.fsx_projid = 3}, inherits = {.fsx_xflags = FS_XFLAG_PROJINHERIT}, none = {0};
	int fd;

	enter_tmpfs();
	fd = created("file", O_RDWR);
	enter_own_users();
	CHECK_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &of_project), EINVAL);
	CHECK_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &inherits), EINVAL);
	CHECK_ERRNO(set_flags(fd, FS_PROJINHERIT_FL), EINVAL);
	of_project.fsx_xflags = FS_XFLAG_IMMUTABLE;
	CHECK_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &of_project), EPERM);
	CHECK_OK(ioctl(fd, FS_IOC_FSSETXATTR, &none));
}

TEST(who_freezes_a_file_system)
{
	int outside, inside;

	enter_tmpfs();
	outside = (int)MUST(open(".", O_RDONLY));
	CHECK_ERRNO(ioctl(outside, FIFREEZE, 0), EOPNOTSUPP);
	CHECK_ERRNO(ioctl(outside, FITHAW, 0), EINVAL);
	enter_own_users();
	CHECK_ERRNO(ioctl(outside, FIFREEZE, 0), EPERM);
	CHECK_ERRNO(ioctl(outside, FITHAW, 0), EPERM);
	MUST(mount("own", check_shared->scratch, "tmpfs", 0, NULL));
	inside = (int)MUST(open(check_shared->scratch, O_RDONLY));
	CHECK_ERRNO(ioctl(inside, FIFREEZE, 0), EOPNOTSUPP);
	CHECK_ERRNO(ioctl(inside, FITHAW, 0), EINVAL);
}
