/* Attributes of files and the permission to use them: stat(2), statx(2), chmod(2), chown(2), access(2), utimensat(2). */
#include "check.h"

#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static int opened(const char *path, int flags)
{
	return (int)MUST(open(path, flags, 0644));
}

static struct stat status_of(const char *path)
{
	struct stat status;

	MUST(lstat(path, &status));
	return status;
}

static int64_t ns_of(struct timespec time)
{
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

TEST(stat_fields)
{
	struct stat by_name, by_fd;
	int fd;

	enter_scratch();
	write_file("file", "0123456789", 0640);
	fd = opened("file", O_RDONLY);
	memset(&by_name, 0x55, sizeof(by_name));
	memset(&by_fd, 0xaa, sizeof(by_fd));
	CHECK_EQ(stat("file", &by_name), 0);
	CHECK_EQ(fstat(fd, &by_fd), 0);
	CHECK_EQ(by_name.st_ino, by_fd.st_ino);
	CHECK_EQ(by_name.st_dev, by_fd.st_dev);
	CHECK_EQ(by_name.st_mode, S_IFREG | 0640);
	CHECK_EQ(by_name.st_nlink, 1);
	CHECK_EQ(by_name.st_uid, geteuid());
	CHECK_EQ(by_name.st_size, 10);
	CHECK_EQ(by_name.st_rdev, 0);
	CHECK(by_name.st_blksize > 0);
	CHECK_EQ(by_name.st_dev, status_of(".").st_dev);
	CHECK(S_ISDIR(status_of(".").st_mode));
	CHECK(status_of("/proc").st_dev != by_name.st_dev);
	CHECK_ERRNO(stat("missing", &by_name), ENOENT);
	CHECK_ERRNO(stat("file/x", &by_name), ENOTDIR);
	CHECK_ERRNO(fstat(5000, &by_name), EBADF);
	CHECK_ERRNO(stat(bad_address(), &by_name), EFAULT);
	CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, "file", bad_address(), 0), EFAULT);
}

TEST(statx_fields)
{
	struct statx extended;
	struct stat status;
	int fd;

	enter_scratch();
	write_file("file", "0123456789", 0604);
	MUST(symlink("file", "link"));
	status = status_of("file");
	memset(&extended, 0xff, sizeof(extended));
	CHECK_EQ(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &extended), 0);
	CHECK_EQ(extended.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	CHECK_EQ(extended.stx_mode, S_IFREG | 0604);
	CHECK_EQ(extended.stx_size, 10);
	CHECK_EQ(extended.stx_nlink, 1);
	CHECK_EQ(extended.stx_uid, status.st_uid);
	CHECK_EQ(extended.stx_gid, status.st_gid);
	CHECK_EQ(extended.stx_ino, status.st_ino);
	CHECK_EQ(makedev(extended.stx_dev_major, extended.stx_dev_minor), status.st_dev);
	CHECK_EQ(extended.stx_blksize, status.st_blksize);
	CHECK_EQ(extended.stx_mtime.tv_sec, status.st_mtim.tv_sec);
	CHECK_EQ(extended.stx_mtime.tv_nsec, status.st_mtim.tv_nsec);
	CHECK_EQ(statx(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &extended), 0);
	CHECK_EQ(extended.stx_mode & S_IFMT, S_IFLNK);
	fd = opened("file", O_RDONLY);
	CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &extended), 0);
	CHECK_EQ(extended.stx_size, 10);
	CHECK_ERRNO(statx(fd, "", 0, STATX_SIZE, &extended), ENOENT);
	CHECK_ERRNO(statx(AT_FDCWD, "file", 0x10, STATX_SIZE, &extended), EINVAL);
	CHECK_ERRNO(statx(AT_FDCWD, "file", AT_STATX_SYNC_TYPE, STATX_SIZE, &extended), EINVAL);
	CHECK_ERRNO(statx(AT_FDCWD, "file", 0, STATX__RESERVED, &extended), EINVAL);
	CHECK_ERRNO(statx(AT_FDCWD, "missing", 0, STATX_SIZE, &extended), ENOENT);
	CHECK_ERRNO(statx(5000, "file", 0, STATX_SIZE, &extended), EBADF);
}

TEST(modes)
{
	int was_root = geteuid() == 0, fd;
	pid_t child;

	enter_scratch();
	write_file("file", "", 0644);
	MUST(symlink("file", "link"));
	MUST(symlink("nowhere", "dangling"));
	CHECK_EQ(chmod("file", 0751), 0);
	CHECK_EQ(status_of("file").st_mode, S_IFREG | 0751);
	CHECK_EQ(chmod("link", 04700), 0);
	CHECK_EQ(status_of("file").st_mode, S_IFREG | 04700);
	CHECK_EQ(status_of("link").st_mode, S_IFLNK | 0777);
	fd = opened("file", O_RDONLY);
	CHECK_EQ(fchmod(fd, 01444), 0);
	CHECK_EQ(status_of("file").st_mode, S_IFREG | 01444);
	CHECK_ERRNO(chmod("missing", 0644), ENOENT);
	CHECK_ERRNO(chmod("dangling", 0644), ENOENT);
	CHECK_ERRNO(chmod("file/x", 0644), ENOTDIR);
	CHECK_ERRNO(fchmod(5000, 0644), EBADF);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_EQ(ERRNO_OF(chmod("file", 0777)), was_root ? EPERM : 0);
		CHECK_EQ(ERRNO_OF(fchmod(fd, 0777)), was_root ? EPERM : 0);
		CHECK_ERRNO(chmod("/", 0755), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(file_creation_mask)
{
	enter_scratch();
	umask(0);
	CHECK_EQ(umask(077), 0);
	CHECK_EQ(umask(01027), 077);
	CHECK_EQ(umask(022), 027);
	CHECK_EQ(close(open("a", O_RDWR | O_CREAT, 0777)), 0);
	CHECK_EQ(status_of("a").st_mode, S_IFREG | 0755);
	umask(0777);
	CHECK_EQ(close(open("b", O_RDWR | O_CREAT, 0777)), 0);
	CHECK_EQ(status_of("b").st_mode, S_IFREG);
	CHECK_EQ(mkdir("c", 0777), 0);
	CHECK_EQ(status_of("c").st_mode, S_IFDIR);
	CHECK_EQ(chmod("c", 0700), 0);
	CHECK_EQ(status_of("c").st_mode, S_IFDIR | 0700);
}

TEST(nothing_asked_of_another_s_file)
{
	pid_t child;

	if (geteuid() != 0)
		return;
	enter_scratch();
	write_file("plain", "", 0755);
	write_file("setuid", "", 04755);
	write_file("setgid", "", 02755);
	write_file("locking", "", 02745);
	MUST(mkdir("directory", 0755));
	MUST(chmod("directory", 06755));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_EQ(chown("plain", (uid_t)-1, (gid_t)-1), 0);
		CHECK_ERRNO(chown("setuid", (uid_t)-1, (gid_t)-1), EPERM);
		CHECK_ERRNO(chown("setgid", (uid_t)-1, (gid_t)-1), EPERM);
		CHECK_ERRNO(chown("locking", (uid_t)-1, (gid_t)-1), EPERM);
		CHECK_EQ(chown("directory", (uid_t)-1, (gid_t)-1), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(status_of("setuid").st_mode & 07777, 04755);
}

TEST(owners)
{
	int was_root = geteuid() == 0;
	pid_t child;

	enter_scratch();
	write_file("file", "", 0644);
	write_file("setuid", "", 06755);
	MUST(symlink("file", "link"));
	CHECK_EQ(chown("file", (uid_t)-1, (gid_t)-1), 0);
	CHECK_EQ(chown("file", geteuid(), getegid()), 0);
	CHECK_EQ(ERRNO_OF(chown("file", 12345, 23456)), was_root ? 0 : EPERM);
	CHECK_EQ(status_of("file").st_uid, was_root ? 12345 : geteuid());
	CHECK_EQ(status_of("file").st_gid, was_root ? 23456 : getegid());
	CHECK_EQ(ERRNO_OF(lchown("link", 12345, (gid_t)-1)), was_root ? 0 : EPERM);
	CHECK_EQ(status_of("link").st_uid, was_root ? 12345 : geteuid());
	CHECK_EQ(ERRNO_OF(fchown(opened("file", O_RDONLY), 34567, (gid_t)-1)), was_root ? 0 : EPERM);
	CHECK_EQ(status_of("file").st_uid, was_root ? 34567 : geteuid());
	CHECK_EQ(ERRNO_OF(fchownat(AT_FDCWD, "link", 45678, (gid_t)-1, AT_SYMLINK_NOFOLLOW)), was_root ? 0 : EPERM);
	CHECK_EQ(ERRNO_OF(chown("setuid", NOBODY, NOBODY)), was_root ? 0 : EPERM);
	CHECK_EQ(status_of("setuid").st_mode, was_root ? S_IFREG | 0755 : S_IFREG | 06755);
	CHECK_ERRNO(chown("missing", 0, 0), ENOENT);
	CHECK_ERRNO(fchown(5000, 0, 0), EBADF);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_ERRNO(chown("/", geteuid(), (gid_t)-1), EPERM);
		CHECK_EQ(ERRNO_OF(chown("setuid", (uid_t)-1, getegid())), 0);
		CHECK_EQ(ERRNO_OF(chown("setuid", (uid_t)-1, 11111)), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(write_clears_the_set_user_id_bit)
{
	pid_t child;

	enter_scratch();
	write_file("file", "", 0666);
	MUST(chmod("file", 04777));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		write_all(opened("file", O_WRONLY), "x", 1);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(status_of("file").st_mode, S_IFREG | 0777);
}

TEST(access_of_the_superuser)
{
	int is_root = geteuid() == 0;

	enter_scratch();
	write_file("file", "", 0);
	CHECK_EQ(access("file", F_OK), 0);
	CHECK_EQ(ERRNO_OF(access("file", R_OK)), is_root ? 0 : EACCES);
	CHECK_EQ(ERRNO_OF(access("file", W_OK)), is_root ? 0 : EACCES);
	CHECK_ERRNO(access("file", X_OK), EACCES);
	CHECK_ERRNO(access("file", R_OK | X_OK), EACCES);
	MUST(chmod("file", 0100));
	CHECK_EQ(access("file", X_OK), 0);
	CHECK_ERRNO(access("file", 8), EINVAL);
	CHECK_ERRNO(access("missing", F_OK), ENOENT);
	CHECK_ERRNO(access("", F_OK), ENOENT);
	CHECK_ERRNO(faccessat(AT_FDCWD, "file", R_OK, 0x10), EINVAL);
	MUST(mkdir("closed", 0));
	CHECK_EQ(ERRNO_OF(access("closed/x", F_OK)), is_root ? ENOENT : EACCES);
	CHECK_EQ(ERRNO_OF(open("closed", O_RDONLY)), is_root ? 0 : EACCES);
	MUST(chmod("closed", 0700));
}

TEST(permission_of_owner_group_and_others)
{
	int was_root = geteuid() == 0;
	pid_t child;

	enter_scratch();
	write_file("owner", "", 0077);
	write_file("group", "", 0707);
	write_file("other", "", 0770);
	if (was_root) {
		MUST(chown("owner", NOBODY, 0));
		MUST(chown("group", 1, NOBODY));
		MUST(chown("other", 1, 1));
	}
	MUST(mkdir("search", 0755));
	write_file("search/file", "", 0666);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_ERRNO(open("owner", O_RDONLY), EACCES);
		CHECK_ERRNO(access("owner", X_OK), EACCES);
		CHECK_EQ(ERRNO_OF(open("group", O_RDONLY)), was_root ? EACCES : 0);
		CHECK_EQ(ERRNO_OF(open("other", O_RDONLY)), was_root ? EACCES : 0);
		CHECK_EQ(ERRNO_OF(open("search/new", O_RDWR | O_CREAT, 0644)), was_root ? EACCES : 0);
		CHECK_EQ(ERRNO_OF(unlink("search/file")), was_root ? EACCES : 0);
		CHECK_EQ(ERRNO_OF(rename("search", "renamed")), 0);
		CHECK_EQ(ERRNO_OF(mkdir("renamed/new-directory", 0755)), was_root ? EACCES : 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(directories_without_search_or_read_permission)
{
	pid_t child;

	enter_scratch();
	MUST(mkdir("unreadable", 0777));
	MUST(mkdir("unsearchable", 0777));
	write_file("unreadable/file", "", 0666);
	write_file("unsearchable/file", "", 0666);
	MUST(chmod("unreadable", 0111));
	MUST(chmod("unsearchable", 0444));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_ERRNO(open("unreadable", O_RDONLY), EACCES);
		CHECK_OK(open("unreadable/file", O_RDONLY));
		CHECK_EQ(chdir("unreadable"), 0);
		MUST(chdir(".."));
		CHECK_OK(open("unsearchable", O_RDONLY));
		CHECK_ERRNO(open("unsearchable/file", O_RDONLY), EACCES);
		CHECK_ERRNO(stat("unsearchable/file", &(struct stat){0}), EACCES);
		CHECK_ERRNO(chdir("unsearchable"), EACCES);
		CHECK_ERRNO(mkdir("unsearchable/x", 0755), EACCES);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(chmod("unreadable", 0777));
	MUST(chmod("unsearchable", 0777));
}

TEST(sticky_directories)
{
	int was_root = geteuid() == 0;
	pid_t child;

	enter_scratch();
	MUST(mkdir("sticky", 0777));
	MUST(chmod("sticky", 01777));
	write_file("sticky/file", "", 0666);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_EQ(ERRNO_OF(unlink("sticky/file")), was_root ? EPERM : 0);
		write_file("sticky/own", "", 0666);
		CHECK_EQ(unlink("sticky/own"), 0);
		CHECK_EQ(ERRNO_OF(rename("sticky/file", "sticky/other")), was_root ? EPERM : ENOENT);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(set_group_id_directories)
{
	int is_root = geteuid() == 0;

	enter_scratch();
	MUST(mkdir("directory", 0777));
	if (is_root)
		MUST(chown("directory", 0, 4321));
	MUST(chmod("directory", 02777));
	CHECK_EQ(close(open("directory/file", O_RDWR | O_CREAT, 0644)), 0);
	CHECK_EQ(status_of("directory/file").st_gid, is_root ? 4321 : getegid());
	CHECK_EQ(mkdir("directory/sub", 0755), 0);
	CHECK_EQ(status_of("directory/sub").st_mode & S_ISGID, S_ISGID);
	CHECK_EQ(status_of("directory/sub").st_gid, is_root ? 4321 : getegid());
}

TEST(times)
{
	struct timespec both[2] = {{1000, 111}, {2000, 222}};
	struct stat before, after;
	struct statvfs file_system;
	int fd;
	char byte;

	enter_scratch();
	write_file("file", "abc", 0644);
	MUST(symlink("file", "link"));
	CHECK_EQ(utimensat(AT_FDCWD, "file", both, 0), 0);
	after = status_of("file");
	CHECK_EQ(after.st_atim.tv_sec, 1000);
	CHECK_EQ(after.st_atim.tv_nsec, 111);
	CHECK_EQ(after.st_mtim.tv_sec, 2000);
	CHECK_EQ(after.st_mtim.tv_nsec, 222);
	both[0].tv_nsec = UTIME_OMIT;
	both[1] = (struct timespec){3000, 0};
	fd = opened("file", O_RDWR);
	CHECK_EQ(futimens(fd, both), 0);
	after = status_of("file");
	CHECK_EQ(after.st_atim.tv_sec, 1000);
	CHECK_EQ(after.st_mtim.tv_sec, 3000);
	both[1].tv_nsec = UTIME_NOW;
	CHECK_EQ(utimensat(AT_FDCWD, "file", both, 0), 0);
	CHECK(status_of("file").st_mtim.tv_sec > 3000);
	CHECK_EQ(status_of("file").st_atim.tv_sec, 1000);
	both[0] = both[1] = (struct timespec){77, 0};
	CHECK_EQ(utimensat(AT_FDCWD, "link", both, AT_SYMLINK_NOFOLLOW), 0);
	CHECK_EQ(status_of("link").st_mtim.tv_sec, 77);
	CHECK(status_of("file").st_mtim.tv_sec > 3000);
	CHECK_EQ(utimensat(AT_FDCWD, "file", both, 0), 0);
	before = status_of("file");
	CHECK_EQ(write(fd, "x", 1), 1);
	after = status_of("file");
	CHECK(ns_of(after.st_mtim) > ns_of(before.st_mtim));
	CHECK(ns_of(after.st_ctim) >= ns_of(before.st_ctim));
	CHECK_EQ(after.st_atim.tv_sec, 77);
	CHECK_EQ(read(fd, &byte, 1), 1);
	MUST(statvfs("file", &file_system));
	CHECK(status_of("file").st_atim.tv_sec > 77 || (file_system.f_flag & ST_NOATIME));
	CHECK_EQ(utimensat(AT_FDCWD, "file", NULL, 0), 0);
	CHECK(status_of("file").st_atim.tv_sec > 3000);
	MUST(mkdir("directory", 0755));
	MUST(utimensat(AT_FDCWD, "directory", both, 0));
	write_file("directory/file", "", 0644);
	CHECK(status_of("directory").st_mtim.tv_sec > 77);
	both[0].tv_nsec = 1000000000;
	CHECK_ERRNO(utimensat(AT_FDCWD, "file", both, 0), EINVAL);
	CHECK_ERRNO(utimensat(AT_FDCWD, "file", NULL, 0x10), EINVAL);
	CHECK_ERRNO(utimensat(AT_FDCWD, "missing", NULL, 0), ENOENT);
	CHECK_ERRNO(futimens(5000, NULL), EBADF);
	/* Of the last second that there is a file keeps the beginning. */
	fd = (int)MUST(memfd_create("times", 0));
	both[0] = (struct timespec){LONG_MAX, 5};
	both[1] = (struct timespec){LONG_MAX - 1, 5};
	CHECK_EQ(futimens(fd, both), 0);
	MUST(fstat(fd, &after));
	CHECK_EQ(after.st_atim.tv_sec, LONG_MAX);
	CHECK_EQ(after.st_atim.tv_nsec, 0);
	CHECK_EQ(after.st_mtim.tv_nsec, 5);
}

TEST(times_need_permission)
{
	int was_root = geteuid() == 0;
	struct timespec both[2] = {{1, 0}, {1, 0}};
	pid_t child;

	enter_scratch();
	write_file("writable", "", 0666);
	write_file("readable", "", 0444);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_EQ(utimensat(AT_FDCWD, "writable", NULL, 0), 0);
		CHECK_EQ(ERRNO_OF(utimensat(AT_FDCWD, "writable", both, 0)), was_root ? EPERM : 0);
		CHECK_EQ(ERRNO_OF(utimensat(AT_FDCWD, "readable", NULL, 0)), was_root ? EACCES : 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(file_systems)
{
	struct statfs proc, by_fd;
	struct statvfs tmp;

	CHECK_EQ(statfs("/proc", &proc), 0);
	CHECK_EQ(proc.f_type, 0x9fa0);
	CHECK_EQ(fstatfs(opened("/proc", O_RDONLY), &by_fd), 0);
	CHECK_EQ(by_fd.f_type, 0x9fa0);
	CHECK_EQ(statvfs("/tmp", &tmp), 0);
	CHECK(tmp.f_bsize > 0);
	CHECK(tmp.f_namemax >= 255);
	CHECK_ERRNO(statfs("/missing", &proc), ENOENT);
	CHECK_ERRNO(fstatfs(5000, &proc), EBADF);
}
