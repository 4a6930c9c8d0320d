/* overlayfs: layers, copying up, whiteouts and opaque directories. */
#include "own_mounts.h"

#include <dirent.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define LAYERS "lowerdir=l,upperdir=u,workdir=w"

static void enter_own_namespace(void)
{
	enter_own_mounts("tmpfs", "mode=755");
	umask(022);
}

static int exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static void make_text(const char *path, const char *text)
{
	write_file(path, text, 0644);
}

static const char *text_of(const char *path)
{
	static char text[200];
	int fd = open(path, O_RDONLY);
	ssize_t length;

	if (fd == -1)
		return check_errno_name(errno);
	length = MUST(read(fd, text, sizeof text - 1));
	text[length] = '\0';
	MUST(close(fd));
	return text;
}

/* A lower layer with files and directories, an empty upper one, and the overlay of both on m. */
static void make_layers(void)
{
	static const char *const directories[] = {"l", "l/d", "l/d/sub", "l/empty", "l2", "l2/d", "u", "w", "m"};

	enter_own_namespace();
	for (size_t at = 0; at < LENGTH(directories); at++)
		MUST(mkdir(directories[at], 0755));
	make_text("l/f", "lower");
	make_text("l/d/x", "x");
	make_text("l2/d/y", "y");
	make_text("l2/f", "lowest");
	MUST(symlink("f", "l/link"));
}

static int mount_overlay(const char *options)
{
	return mount("ovl", "m", "overlay", 0, options);
}

static int is_whiteout(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

static int is_opaque(const char *path)
{
	char value[4] = "";

	return getxattr(path, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
}

/* The names in a directory but for the dots, sorted and with blanks between. */
static const char *names_in(const char *path)
{
	static char text[500];
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);

	text[0] = '\0';
	for (int at = 0; at < count; at++) {
		if (strcmp(entries[at]->d_name, ".") != 0 && strcmp(entries[at]->d_name, "..") != 0) {
			if (text[0] != '\0')
				strcat(text, " ");
			strcat(text, entries[at]->d_name);
		}
		free(entries[at]);
	}
	free(entries);
	return text;
}

static void append(const char *path, const char *text)
{
	int fd = (int)MUST(open(path, O_WRONLY | O_APPEND));

	write_all(fd, text, strlen(text));
	MUST(close(fd));
}

TEST(a_sparse_file_is_copied_with_its_holes)
{
	char byte = 0;
	struct stat status;
	int fd;

	make_layers();
	fd = (int)MUST(open("l/f", O_RDWR));
	MUST(ftruncate(fd, (off_t)1 << 60));
	MUST(pwrite(fd, "s", 1, (off_t)1 << 59));
	MUST(close(fd));
	MUST(mount("overlay", "m", "overlay", 0, LAYERS));
	fd = (int)MUST(open("m/f", O_RDWR));
	CHECK_OK(stat("u/f", &status));
	CHECK_EQ(status.st_size, (off_t)1 << 60);
	CHECK(status.st_blocks * 512 <= 2 << 20);
	CHECK_EQ(pread(fd, &byte, 1, (off_t)1 << 59), 1);
	CHECK_EQ(byte, 's');
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	CHECK_EQ(byte, 'l');
	close(fd);
}

TEST(what_is_seen)
{
	struct statfs figures;
	struct stat status, lower;

	make_layers();
	CHECK_EQ(mount_overlay(LAYERS), 0);
	MUST(statfs("m", &figures));
	CHECK_EQ(figures.f_type, 0x794c7630);
	CHECK_STRING(names_in("m"), "d empty f link");
	CHECK_STRING(text_of("m/f"), "lower");
	CHECK_STRING(text_of("m/link"), "lower");
	CHECK_STRING(names_in("m/d"), "sub x");
	MUST(stat("m/f", &status));
	MUST(stat("l/f", &lower));
	CHECK_EQ(status.st_ino, lower.st_ino);
	CHECK(status.st_dev != lower.st_dev);
	CHECK_EQ(status.st_size, 5);
	CHECK_EQ(status.st_mode, lower.st_mode);
	CHECK_STRING(names_in("u"), "");
	CHECK_STRING(names_in("w"), "work");
	CHECK_EQ(umount("m"), 0);
}

TEST(copying_up)
{
	struct stat before, after;
	char names[200];
	int reader;

	make_layers();
	MUST(chmod("l/f", 0640));
	MUST(lchown("l/f", 7, 8));
	MUST(setxattr("l/f", "user.kept", "yes", 3, 0));
	MUST(mount_overlay(LAYERS));
	MUST(stat("m/f", &before));
	reader = (int)MUST(open("m/f", O_RDONLY));
	append("m/f", " and more");
	CHECK_STRING(text_of("m/f"), "lower and more");
	CHECK_STRING(text_of("l/f"), "lower");
	CHECK_STRING(text_of("u/f"), "lower and more");
	MUST(stat("m/f", &after));
	CHECK_EQ(after.st_ino, before.st_ino);
	CHECK_EQ(after.st_size, 14);
	CHECK_EQ(after.st_uid, 7);
	CHECK_EQ(after.st_gid, 8);
	CHECK_EQ(after.st_mode, S_IFREG | 0640);
	CHECK_EQ(getxattr("u/f", "user.kept", NULL, 0), 3);
	{
		char text[20] = "";

		MUST(read(reader, text, sizeof text - 1));
		CHECK_STRING(text, "lower and more");
	}
	CHECK_EQ(chmod("m/d/x", 0600), 0);
	CHECK_STRING(text_of("u/d/x"), "x");
	MUST(stat("l/d/x", &before));
	CHECK_EQ(before.st_mode & 0777, 0644);
	CHECK_EQ(truncate("m/f", 3), 0);
	CHECK_STRING(text_of("u/f"), "low");
	CHECK_EQ(utimensat(AT_FDCWD, "m/empty", (struct timespec[]){{5, 0}, {6, 0}}, 0), 0);
	MUST(stat("u/empty", &after));
	CHECK_EQ(after.st_mtim.tv_sec, 6);
	CHECK_EQ(setxattr("m/d/sub", "user.a", "b", 1, 0), 0);
	CHECK_EQ(getxattr("u/d/sub", "user.a", NULL, 0), 1);
	CHECK_ERRNO(getxattr("l/d/sub", "user.a", NULL, 0), ENODATA);
	CHECK_EQ(listxattr("m/d/sub", names, sizeof names), 7);
	CHECK_EQ(open("m/link", O_WRONLY | O_TRUNC) != -1, 1);
	CHECK_STRING(text_of("u/f"), "");
	MUST(umount2("m", MNT_DETACH));
	MUST(mount_overlay(LAYERS));
	CHECK_STRING(text_of("m/f"), "");
	CHECK_STRING(text_of("m/d/x"), "x");
}

TEST(removing)
{
	int fd;
	char text[8] = "", names[200];

	make_layers();
	MUST(mount_overlay(LAYERS));
	fd = (int)MUST(open("m/f", O_RDONLY));
	CHECK_EQ(unlink("m/f"), 0);
	CHECK(!exists("m/f"));
	CHECK(is_whiteout("u/f"));
	CHECK(exists("l/f"));
	CHECK_EQ(read(fd, text, 7), 5);
	CHECK_STRING(text, "lower");
	CHECK_ERRNO(rmdir("m/d"), ENOTEMPTY);
	CHECK_EQ(unlink("m/d/x"), 0);
	CHECK(is_whiteout("u/d/x"));
	CHECK_STRING(names_in("m/d"), "sub");
	CHECK_EQ(rmdir("m/d/sub"), 0);
	CHECK_EQ(rmdir("m/d"), 0);
	CHECK(is_whiteout("u/d"));
	CHECK_STRING(names_in("m"), "empty link");
	CHECK_EQ(mkdir("m/d", 0755), 0);
	CHECK(is_opaque("u/d"));
	CHECK_STRING(names_in("m/d"), "");
	CHECK_EQ(listxattr("m/d", names, sizeof names), 0);
	make_text("m/f", "anew");
	CHECK_STRING(text_of("u/f"), "anew");
	CHECK_EQ(unlink("m/f"), 0);
	CHECK(is_whiteout("u/f"));
	make_text("m/own", "upper only");
	CHECK_EQ(unlink("m/own"), 0);
	CHECK(!exists("u/own"));
	CHECK_ERRNO(mknod("m/w", S_IFCHR, makedev(0, 0)), EPERM);
	MUST(umount2("m", MNT_DETACH));
	MUST(mount_overlay(LAYERS));
	CHECK_STRING(names_in("m"), "d empty link");
	CHECK_STRING(names_in("m/d"), "");
}

TEST(renaming)
{
	make_layers();
	MUST(mount_overlay(LAYERS));
	CHECK_EQ(rename("m/f", "m/g"), 0);
	CHECK(is_whiteout("u/f"));
	CHECK_STRING(text_of("u/g"), "lower");
	CHECK_ERRNO(rename("m/d", "m/e"), EXDEV);
	CHECK_ERRNO(rename("m/empty", "m/e"), EXDEV);
	CHECK_EQ(rename("m/g", "m/d/x"), 0);
	CHECK_STRING(text_of("m/d/x"), "lower");
	CHECK(!exists("u/g"));
	CHECK_EQ(mkdir("m/new", 0755), 0);
	make_text("m/new/inside", "inside");
	CHECK_EQ(rename("m/new", "m/newer"), 0);
	CHECK_STRING(text_of("m/newer/inside"), "inside");
	CHECK_EQ(rename("m/newer", "m/empty"), 0);
	CHECK_STRING(names_in("m/empty"), "inside");
	CHECK(is_opaque("u/empty"));
	CHECK_EQ(rename("m/link", "m/link2"), 0);
	CHECK(is_whiteout("u/link"));
	CHECK_EQ(renameat2(AT_FDCWD, "m/link2", AT_FDCWD, "m/d/x", RENAME_EXCHANGE), 0);
	CHECK_STRING(text_of("m/link2"), "lower");
	CHECK_ERRNO(renameat2(AT_FDCWD, "m/link2", AT_FDCWD, "m/d/x", RENAME_NOREPLACE), EEXIST);
	CHECK_ERRNO(rename("m/link2", "outside"), EXDEV);
	CHECK_STRING(names_in("l"), "d empty f link");
}

static nlink_t links_of(const char *path)
{
	struct stat status;

	MUST(stat(path, &status));
	return status.st_nlink;
}

/* Nobody counts the subdirectories of what lies in several layers. */
TEST(exchanged_directories_are_counted)
{
	make_layers();
	MUST(mount_overlay(LAYERS));
	MUST(mkdir("m/one", 0755));
	MUST(mkdir("m/two", 0755));
	MUST(mkdir("m/one/in", 0755));
	make_text("m/two/in", "file");
	CHECK_EQ(links_of("m/one"), 3);
	CHECK_EQ(renameat2(AT_FDCWD, "m/one/in", AT_FDCWD, "m/two/in", RENAME_EXCHANGE), 0);
	CHECK_EQ(links_of("m/one"), 2);
	CHECK_EQ(links_of("m/two"), 3);
	CHECK_EQ(links_of("m/two/in"), 2);
	CHECK_EQ(links_of("m/one/in"), 1);
}

TEST(links_of_directories)
{
	make_layers();
	MUST(mount_overlay("lowerdir=l:l2,upperdir=u,workdir=w"));
	CHECK_EQ(links_of("m"), 1);
	CHECK_EQ(links_of("m/d"), 1);
	CHECK_EQ(links_of("m/d/sub"), 2);
	CHECK_EQ(links_of("m/empty"), 2);
	MUST(mkdir("m/empty/a", 0755));
	CHECK_EQ(links_of("m/empty"), 1);
	MUST(mkdir("m/new", 0755));
	MUST(mkdir("m/new/a", 0755));
	CHECK_EQ(links_of("m/new"), 3);
}

static const struct {
	uint32_t version;
	struct {
		uint16_t tag, permissions;
		uint32_t id;
	} entries[5];
} access_list = {
	2,
	{{1, 6, UINT32_MAX}, {2, 4, 1000}, {4, 4, UINT32_MAX}, {0x10, 4, UINT32_MAX}, {0x20, 0, UINT32_MAX}},
};
#define ACCESS_LIST "system.posix_acl_access"
#define DEFAULT_LIST "system.posix_acl_default"

TEST(lists_of_access_control)
{
	char list[64];

	make_layers();
	MUST(setxattr("l/d/x", ACCESS_LIST, &access_list, sizeof access_list, 0));
	MUST(mount_overlay(LAYERS));
	CHECK_ERRNO(removexattr("m/f", ACCESS_LIST), ENODATA);
	CHECK_ERRNO(removexattr("m/empty", DEFAULT_LIST), ENODATA);
	CHECK(!exists("u/f"));
	CHECK(!exists("u/empty"));
	CHECK_EQ(getxattr("m/d/x", ACCESS_LIST, list, sizeof list), sizeof access_list);
	CHECK(memcmp(list, &access_list, sizeof access_list) == 0);
	CHECK_EQ(setxattr("m/f", ACCESS_LIST, &access_list, sizeof access_list, 0), 0);
	CHECK_EQ(getxattr("u/f", ACCESS_LIST, list, sizeof list), sizeof access_list);
	CHECK_EQ(getxattr("m/f", ACCESS_LIST, list, sizeof list), sizeof access_list);
	CHECK_EQ(removexattr("m/f", ACCESS_LIST), 0);
	CHECK_ERRNO(getxattr("u/f", ACCESS_LIST, list, sizeof list), ENODATA);
	CHECK_EQ(removexattr("m/f", ACCESS_LIST), 0);
	CHECK_EQ(chmod("m/d/x", 0600), 0);
	CHECK_EQ(getxattr("u/d/x", ACCESS_LIST, list, sizeof list), sizeof access_list);
	CHECK_EQ(setxattr("m/empty", DEFAULT_LIST, &access_list, sizeof access_list, 0), 0);
	make_text("m/empty/made", "made");
	CHECK_EQ(getxattr("m/empty/made", ACCESS_LIST, list, sizeof list), sizeof access_list);
	CHECK_EQ(getxattr("u/empty/made", ACCESS_LIST, list, sizeof list), sizeof access_list);
	CHECK_ERRNO(getxattr("l/f", ACCESS_LIST, list, sizeof list), ENODATA);
}

/* A file that was looked up, renamed and so copied up is the same to who had it open. */
TEST(written_to_after_a_rename)
{
	int fd;

	make_layers();
	MUST(mount_overlay(LAYERS));
	CHECK_EQ(access("m/d/x", F_OK), 0);
	CHECK_EQ(rename("m/d/x", "m/d/y"), 0);
	fd = (int)MUST(open("m/d/y", O_WRONLY | O_APPEND));
	CHECK_EQ(write(fd, "!", 1), 1);
	CHECK_STRING(text_of("m/d/y"), "x!");
	CHECK_STRING(text_of("u/d/y"), "x!");
	CHECK_EQ(rename("m/f", "m/d/f"), 0);
	append("m/d/f", "!");
	CHECK_STRING(text_of("u/d/f"), "lower!");
}

static int has(const char *path, const char *name)
{
	return lgetxattr(path, name, NULL, 0) >= 0;
}

/* A copy says what it is one of, and the directory that it's in that it may hold copies. */
TEST(notes_about_copies)
{
	char names[64];

	make_layers();
	MUST(link("l/d/x", "l/d/hard"));
	MUST(mkdir("u/d", 0755));
	MUST(mount_overlay(LAYERS));
	CHECK(!has("u/d", "trusted.overlay.origin"));
	CHECK_EQ(access("m/d", F_OK), 0);
	CHECK(has("u/d", "trusted.overlay.origin"));
	CHECK(has("u", "trusted.overlay.impure"));
	CHECK_EQ(chmod("m/f", 0600), 0);
	CHECK_EQ(lgetxattr("u/f", "trusted.overlay.origin", names, sizeof names), 33);
	CHECK_EQ(listxattr("m/f", NULL, 0), sizeof "trusted.overlay.origin");
	CHECK_ERRNO(listxattr("m/f", names, 20), ERANGE);
	CHECK_EQ(listxattr("m/f", names, sizeof names), 0);
	CHECK(!has("u/d", "trusted.overlay.impure"));
	CHECK_EQ(chmod("m/d/x", 0600), 0);
	CHECK(!has("u/d/x", "trusted.overlay.origin"));
	CHECK(has("u/d", "trusted.overlay.impure"));
	MUST(mkdir("m/new", 0755));
	CHECK_EQ(rename("m/d/x", "m/new/x"), 0);
	CHECK(!has("u/new", "trusted.overlay.impure"));
	CHECK_EQ(rename("m/f", "m/new/f"), 0);
	CHECK(has("u/new", "trusted.overlay.impure"));
}

/* Who opens a file neither to read nor to write changes nothing, and what is cached is the layer's file. */
TEST(opening_without_copying)
{
	uint64_t range[2] = {0, 0}, counts[5];
	int fd;

	make_layers();
	MUST(mount_overlay(LAYERS));
	fd = (int)MUST(open("m/f", O_ACCMODE));
	CHECK(!exists("u/f"));
	close(fd);
	fd = (int)MUST(open("m/f", O_RDWR));
	CHECK(exists("u/f"));
	if (syscall(451, fd, range, counts, 0) == 0)
		CHECK_EQ(counts[0], 0);
	MUST(close((int)MUST(open("m/d/x", O_RDONLY | O_TRUNC))));
	CHECK(exists("u/d/x"));
}

TEST(links_and_special_files)
{
	struct stat status;

	make_layers();
	MUST(mount_overlay(LAYERS));
	CHECK_EQ(link("m/f", "m/hard"), 0);
	MUST(stat("m/f", &status));
	CHECK_EQ(status.st_nlink, 2);
	append("m/hard", "!");
	CHECK_STRING(text_of("m/f"), "lower!");
	CHECK_EQ(unlink("m/f"), 0);
	CHECK_STRING(text_of("m/hard"), "lower!");
	MUST(stat("m/hard", &status));
	CHECK_EQ(status.st_nlink, 1);
	CHECK_EQ(symlink("hard", "m/sym"), 0);
	CHECK_STRING(text_of("m/sym"), "lower!");
	CHECK_EQ(mkfifo("m/fifo", 0600), 0);
	MUST(stat("u/fifo", &status));
	CHECK(S_ISFIFO(status.st_mode));
	CHECK_EQ(mknod("m/null", S_IFCHR | 0666, makedev(1, 3)), 0);
	MUST(close((int)MUST(open("m/null", O_WRONLY))));
}

TEST(mapped_files)
{
	char *shared;
	int fd;

	make_layers();
	MUST(mount_overlay(LAYERS));
	fd = (int)MUST(open("m/f", O_RDWR));
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(shared == MAP_FAILED ? -1 : 0);
	CHECK(memcmp(shared, "lower", 5) == 0);
	shared[0] = 'L';
	CHECK_STRING(text_of("m/f"), "Lower");
	CHECK_STRING(text_of("u/f"), "Lower");
	CHECK_STRING(text_of("l/f"), "lower");
}

TEST(several_lower_layers)
{
	make_layers();
	CHECK_EQ(mount_overlay("lowerdir=l:l2"), 0);
	CHECK_STRING(text_of("m/f"), "lower");
	CHECK_STRING(names_in("m/d"), "sub x y");
	CHECK_ERRNO(mkdir("m/new", 0755), EROFS);
	CHECK_ERRNO(open("m/f", O_WRONLY), EROFS);
	CHECK_ERRNO(mount(NULL, "m", NULL, MS_REMOUNT, NULL), EROFS);
	CHECK_EQ(umount("m"), 0);
	CHECK_EQ(mount_overlay("lowerdir=l2:l,upperdir=u,workdir=w"), 0);
	CHECK_STRING(text_of("m/f"), "lowest");
	CHECK_EQ(unlink("m/f"), 0);
	CHECK(!exists("m/f"));
	CHECK_EQ(unlink("m/d/y"), 0);
	CHECK_EQ(unlink("m/d/x"), 0);
	CHECK_STRING(names_in("m/d"), "sub");
	CHECK_EQ(umount("m"), 0);
	MUST(mknod("l/y", S_IFCHR, makedev(0, 0)));
	MUST(unlink("l/f"));
	MUST(mknod("l/f", S_IFCHR, makedev(0, 0)));
	CHECK_EQ(mount_overlay("lowerdir=l:l2"), 0);
	CHECK_STRING(names_in("m"), "d empty link");
	CHECK_EQ(umount("m"), 0);
	MUST(setxattr("l/d", "trusted.overlay.opaque", "y", 1, 0));
	CHECK_EQ(mount_overlay("lowerdir=l:l2"), 0);
	CHECK_STRING(names_in("m/d"), "sub x");
}

TEST(what_is_refused)
{
	make_layers();
	CHECK_ERRNO(mount_overlay(NULL), EINVAL);
	CHECK_ERRNO(mount_overlay("lowerdir=l"), EINVAL);
	CHECK_ERRNO(mount_overlay("upperdir=u,workdir=w"), EINVAL);
	CHECK_ERRNO(mount_overlay("lowerdir=l,upperdir=u"), EINVAL);
	CHECK_ERRNO(mount_overlay("lowerdir=nothing,upperdir=u,workdir=w"), ENOENT);
	CHECK_ERRNO(mount_overlay("lowerdir=l,upperdir=nothing,workdir=w"), ENOENT);
	CHECK_ERRNO(mount_overlay("lowerdir=l/f,upperdir=u,workdir=w"), EINVAL);
	CHECK_ERRNO(mount_overlay("lowerdir=l,upperdir=u,workdir=u"), EINVAL);
	MUST(mkdir("u/in", 0755));
	CHECK_ERRNO(mount_overlay("lowerdir=l,upperdir=u,workdir=u/in"), EINVAL);
	CHECK_ERRNO(mount_overlay("lowerdir=l,upperdir=l,workdir=w"), ELOOP);
	CHECK_ERRNO(mount_overlay(LAYERS ",nonsense"), EINVAL);
	CHECK_ERRNO(mount_overlay(LAYERS ",index=maybe"), EINVAL);
	CHECK_EQ(mount_overlay(LAYERS ",redirect_dir=nofollow,userxattr"), 0);
	CHECK_EQ(umount("m"), 0);
}

static int get_flags(const char *path)
{
	int fd = (int)MUST(open(path, O_RDONLY | O_NONBLOCK));
	int flags = 0, result = ioctl(fd, FS_IOC_GETFLAGS, &flags);

	MUST(close(fd));
	return result == -1 ? -errno : flags;
}

static int set_flags(const char *path, int flags)
{
	int fd = (int)MUST(open(path, O_RDONLY | O_NONBLOCK));
	int result = ioctl(fd, FS_IOC_SETFLAGS, &flags), error = errno;

	MUST(close(fd));
	errno = error;
	return result;
}

static const char *protection_of(const char *path)
{
	static char value[8];
	ssize_t length = getxattr(path, "trusted.overlay.protattr", value, sizeof value - 1);

	if (length == -1)
		return check_errno_name(errno);
	value[length] = '\0';
	return value;
}

TEST(flags_are_those_of_the_layers)
{
	struct fsxattr extended = {0};
	struct statx status;
	int fd;

	make_layers();
	make_text("l/plain", "p");
	MUST(mkfifo("l/fifo", 0644));
	MUST(set_flags("l/f", FS_NODUMP_FL | FS_NOATIME_FL));
	CHECK_OK(mount_overlay(LAYERS));
	CHECK_EQ(get_flags("m/f"), FS_NODUMP_FL | FS_NOATIME_FL);
	CHECK_EQ(get_flags("m/fifo"), -ENOTTY);
	CHECK_ERRNO(set_flags("m/fifo", FS_NODUMP_FL), ENOTTY);
	CHECK(!exists("u/fifo"));
	MUST(statx(AT_FDCWD, "m/f", 0, STATX_BASIC_STATS, &status));
	CHECK_EQ(status.stx_attributes & 0x70, FS_NODUMP_FL);
	CHECK_EQ(status.stx_attributes_mask & 0x70, 0x70);
	append("m/f", "!");
	CHECK_EQ(get_flags("m/f"), FS_NOATIME_FL);
	CHECK_EQ(get_flags("u/f"), FS_NOATIME_FL);
	CHECK_OK(set_flags("m/plain", 0));
	CHECK(exists("u/plain"));
	CHECK_OK(set_flags("m/plain", FS_NODUMP_FL));
	CHECK_EQ(get_flags("m/plain"), FS_NODUMP_FL);
	CHECK_EQ(get_flags("u/plain"), FS_NODUMP_FL);
	CHECK_EQ(get_flags("l/plain"), 0);
	CHECK_ERRNO(set_flags("m/plain", FS_COMPR_FL), EOPNOTSUPP);
	fd = (int)MUST(open("m/plain", O_RDONLY));
	CHECK_OK(ioctl(fd, FS_IOC_FSGETXATTR, &extended));
	CHECK_EQ(extended.fsx_xflags, FS_XFLAG_NODUMP);
	extended.fsx_xflags = FS_XFLAG_NOATIME | FS_XFLAG_APPEND;
	CHECK_OK(ioctl(fd, FS_IOC_FSSETXATTR, &extended));
	CHECK_EQ(get_flags("m/plain"), FS_NOATIME_FL | FS_APPEND_FL);
	CHECK_EQ(get_flags("u/plain"), FS_NOATIME_FL);
	CHECK_OK(set_flags("m/d", FS_NODUMP_FL));
	make_text("m/d/new", "n");
	CHECK_EQ(get_flags("m/d/new"), FS_NODUMP_FL);
	CHECK_OK(umount2("m", MNT_DETACH));
	CHECK_OK(mount_overlay("lowerdir=l:l2"));
	CHECK_ERRNO(set_flags("m/f", 0), EROFS);
	CHECK_EQ(get_flags("m/f"), FS_NODUMP_FL | FS_NOATIME_FL);
}

TEST(what_protects_a_file_is_noted_beside_it)
{
	make_layers();
	make_text("l/fixed", "x");
	make_text("l/log", "x");
	MUST(set_flags("l/fixed", FS_IMMUTABLE_FL));
	MUST(set_flags("l/log", FS_APPEND_FL));
	CHECK_OK(mount_overlay(LAYERS));
	CHECK_EQ(get_flags("m/fixed"), FS_IMMUTABLE_FL);
	CHECK_ERRNO(unlink("m/fixed"), EPERM);
	CHECK_ERRNO(chmod("m/fixed", 0600), EPERM);
	CHECK_ERRNO(open("m/log", O_WRONLY), EPERM);
	append("m/log", "y");
	CHECK_EQ(get_flags("m/log"), FS_APPEND_FL);
	CHECK_EQ(get_flags("u/log"), 0);
	CHECK_STRING(protection_of("u/log"), "a");
	CHECK_STRING(protection_of("m/log"), "ENODATA");
	CHECK_ERRNO(unlink("m/log"), EPERM);
	CHECK_OK(set_flags("m/fixed", FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL));
	CHECK_EQ(get_flags("m/fixed"), FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL);
	CHECK_EQ(get_flags("u/fixed"), FS_NODUMP_FL);
	CHECK_STRING(protection_of("u/fixed"), "ai");
	CHECK_OK(set_flags("m/log", 0));
	CHECK_STRING(protection_of("u/log"), "ENODATA");
	CHECK_OK(unlink("m/log"));
	CHECK_OK(set_flags("m/d", FS_IMMUTABLE_FL));
	CHECK_EQ(get_flags("u/d"), 0);
	CHECK_ERRNO(mkdir("m/d/new", 0755), EPERM);
	CHECK_ERRNO(unlink("m/d/x"), EPERM);
	CHECK_OK(umount2("m", MNT_DETACH));
	CHECK_OK(mount_overlay(LAYERS));
	CHECK_EQ(get_flags("m/d"), FS_IMMUTABLE_FL);
	CHECK_ERRNO(mkdir("m/d/new", 0755), EPERM);
	CHECK_EQ(get_flags("m/fixed"), FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL);
	CHECK_OK(umount2("m", MNT_DETACH));
	MUST(setxattr("u/fixed", "trusted.overlay.protattr", "ax", 2, 0));
	CHECK_OK(mount_overlay(LAYERS));
	CHECK_EQ(get_flags("m/fixed"), FS_NODUMP_FL);
	CHECK_OK(unlink("m/fixed"));
}

TEST(an_overlay_has_no_size_of_blocks)
{
	int size, fd;

	make_layers();
	CHECK_OK(mount_overlay(LAYERS));
	fd = (int)MUST(open("m/f", O_RDONLY));
	CHECK_ERRNO(ioctl(fd, FIGETBSZ, &size), EINVAL);
	CHECK_ERRNO(ioctl(fd, FIGETBSZ, bad_address()), EINVAL);
	fd = (int)MUST(open("l/f", O_RDONLY));
	CHECK_OK(ioctl(fd, FIGETBSZ, &size));
	CHECK_EQ(size, 4096);
}

TEST(layers_stay_whatever_is_unmounted)
{
	make_layers();
	MUST(mkdir("other", 0755));
	MUST(mount("none", "other", "tmpfs", 0, NULL));
	make_text("other/only", "other");
	CHECK_EQ(mount_overlay("lowerdir=other:l"), 0);
	CHECK_EQ(umount("other"), 0);
	CHECK_STRING(text_of("m/only"), "other");
	CHECK_EQ(umount("m"), 0);
	MUST(mkdir("m2", 0755));
	MUST(mkdir("m3", 0755));
	CHECK_EQ(mount_overlay("lowerdir=l:l2"), 0);
	CHECK_EQ(mount("ovl", "m2", "overlay", 0, "lowerdir=m:other"), 0);
	CHECK_STRING(text_of("m2/d/y"), "y");
	CHECK_ERRNO(mount("ovl", "m3", "overlay", 0, "lowerdir=m2:other"), EINVAL);
}

static int link_opened(int fd, const char *path)
{
	char source[40];

	(void)snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

TEST(a_file_without_a_name)
{
	struct stat status;
	int fd;

	make_layers();
	CHECK_OK(mount_overlay(LAYERS));
	CHECK_ERRNO(open("m/f", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
	fd = (int)CHECK_OK(open("m/d", O_TMPFILE | O_RDWR, 0640));
	CHECK_EQ(exists("u/d"), 1);
	CHECK_STRING(names_in("u/d"), "");
	CHECK_OK(fstat(fd, &status));
	CHECK_EQ(status.st_nlink, 0);
	CHECK_EQ(status.st_mode, S_IFREG | 0640);
	CHECK_EQ(write(fd, "new", 3), 3);
	CHECK_OK(link_opened(fd, "m/d/t"));
	CHECK_STRING(text_of("m/d/t"), "new");
	CHECK_STRING(text_of("u/d/t"), "new");
	CHECK_OK(fstat(fd, &status));
	CHECK_EQ(status.st_nlink, 1);
	CHECK_STRING(names_in("m/d"), "sub t x");
	/* Whichever name it has first. */
	CHECK_OK(link("m/d/t", "m/d/second"));
	CHECK_OK(renameat2(AT_FDCWD, "m/d/second", AT_FDCWD, "m/f", RENAME_EXCHANGE));
	CHECK_STRING(text_of("m/d/second"), "lower");
	CHECK_STRING(text_of("m/f"), "new");
	CHECK_STRING(text_of("m/d/t"), "new");
	CHECK_OK(rename("m/d/t", "m/t"));
	CHECK_STRING(names_in("u"), "d f t");
	CHECK_OK(unlink("m/t"));
	CHECK_OK(unlink("m/f"));
	CHECK_EQ(is_whiteout("u/f"), 1);
	CHECK_OK(fstat(fd, &status));
	CHECK_EQ(status.st_nlink, 0);
	CHECK_ERRNO(link_opened(fd, "m/d/t"), ENOENT);
	fd = (int)CHECK_OK(open("m/d", O_TMPFILE | O_WRONLY | O_EXCL, 0600));
	CHECK_ERRNO(link_opened(fd, "m/d/t"), ENOENT);
	CHECK_OK(umount2("m", MNT_DETACH));
	CHECK_EQ(mount_overlay("lowerdir=l:l2"), 0);
	CHECK_ERRNO(open("m/d", O_TMPFILE | O_RDWR, 0600), EROFS);
}

TEST(a_name_that_no_layer_keeps_is_copied_up_for)
{
	make_layers();
	CHECK_OK(mount_overlay(LAYERS));
	CHECK_ERRNO(removexattr("m/f", "user"), EOPNOTSUPP);
	CHECK_ERRNO(setxattr("m/f", "user.", "v", 1, 0), EINVAL);
	CHECK_ERRNO(setxattr("m/link", "odd", "v", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(setxattr("m/d", "user", "v", 1, XATTR_REPLACE), EOPNOTSUPP);
	CHECK_STRING(names_in("u"), "d f");
}
