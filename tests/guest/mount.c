/* mount(2), umount2(2) and pivot_root(2) in a mount namespace of the case's own. */
#include "own_mounts.h"

#include <poll.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

static void make_file(const char *path)
{
	MUST(close((int)MUST(open(path, O_CREAT | O_WRONLY, 0644))));
}

static int exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The line of mountinfo of the last mount at `where`, below the scratch directory; "" if there is none. */
static char *mount_line(const char *where)
{
	static char found[4096];
	char name[PATH_MAX], line[4096];
	FILE *file = fopen("/proc/self/mountinfo", "r");

	MUST(file == NULL ? -1 : 0);
	found[0] = '\0';
	snprintf(name, sizeof name, "%s%s%s", check_shared->scratch, *where == '\0' ? "" : "/", where);
	while (fgets(line, sizeof line, file) != NULL) {
		char point[PATH_MAX];

		if (sscanf(line, "%*d %*d %*s %*s %s", point) == 1 && strcmp(point, name) == 0)
			snprintf(found, sizeof found, "%s", line);
	}
	fclose(file);
	return found;
}

/* How many mounts there are below `where`, itself included. */
static int count_mounts(const char *where)
{
	char name[PATH_MAX], line[4096];
	FILE *file = fopen("/proc/self/mountinfo", "r");
	int count = 0;
	size_t length = (size_t)snprintf(name, sizeof name, "%s%s%s", check_shared->scratch, *where ? "/" : "", where);

	MUST(file == NULL ? -1 : 0);
	while (fgets(line, sizeof line, file) != NULL) {
		char point[PATH_MAX];

		if (sscanf(line, "%*d %*d %*s %*s %s", point) == 1 && strncmp(point, name, length) == 0 &&
		    (point[length] == '\0' || point[length] == '/'))
			count++;
	}
	fclose(file);
	return count;
}

/* The number after a tag such as "shared:" in the mount's line; 0 without it. */
static int tag(const char *where, const char *name)
{
	char *line = mount_line(where), *at = strstr(line, name);

	return at == NULL ? 0 : atoi(at + strlen(name));
}

static int has(const char *where, const char *text)
{
	return strstr(mount_line(where), text) != NULL;
}

static void make_directories(const char *first, ...)
{
	va_list names;

	va_start(names, first);
	for (const char *name = first; name != NULL; name = va_arg(names, const char *))
		MUST(mkdir(name, 0755));
	va_end(names);
}

static void mount_tmpfs(const char *where)
{
	MUST(mount("none", where, "tmpfs", 0, NULL));
}

static int propagate(const char *where, unsigned long flags)
{
	return mount(NULL, where, NULL, flags, NULL);
}

TEST(new_mounts_and_their_options)
{
	struct statfs figures;
	struct stat status, below;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", NULL);
	make_file("a/below");
	make_file("file");
	MUST(stat("a", &below));
	CHECK_EQ(mount("none", "a", "tmpfs", 0xC0ED0000, "size=64k,mode=700,uid=5,gid=6,nr_inodes=10"), 0);
	CHECK(!exists("a/below"));
	MUST(stat("a", &status));
	CHECK_EQ(status.st_mode, S_IFDIR | 0700);
	CHECK_EQ(status.st_uid, 5);
	CHECK_EQ(status.st_gid, 6);
	CHECK(status.st_dev != below.st_dev);
	MUST(statfs("a", &figures));
	CHECK_EQ(figures.f_type, 0x01021994);
	CHECK_EQ(figures.f_blocks, 16);
	CHECK_EQ(figures.f_files, 10);
	CHECK(has("a", " rw,relatime - tmpfs none rw,size=64k,nr_inodes=10,mode=700,uid=5,gid=6"));
	CHECK_ERRNO(rmdir("a"), EBUSY);
	CHECK_ERRNO(rename("a", "c"), EBUSY);
	CHECK_EQ(umount("a"), 0);
	CHECK(exists("a/below"));
	CHECK_ERRNO(umount("a"), EINVAL);
	CHECK_ERRNO(umount("nothing"), ENOENT);
	CHECK_ERRNO(mount("none", "nothing", "tmpfs", 0, NULL), ENOENT);
	CHECK_ERRNO(mount("none", "file", "tmpfs", 0, NULL), ENOTDIR);
	CHECK_ERRNO(mount("none", "a", "nosuchfs", 0, NULL), ENODEV);
	CHECK_ERRNO(mount("none", "a", NULL, 0, NULL), EINVAL);
	CHECK_ERRNO(mount("none", "a", "tmpfs", 0, "colour=red"), EINVAL);
	CHECK_ERRNO(mount("none", "a", "tmpfs", 0, "size=x"), EINVAL);
	CHECK_ERRNO(mount("none", "a", "tmpfs", 0, "mode=9"), EINVAL);
	CHECK_ERRNO(mount("none", "a", "tmpfs", 1UL << 31, NULL), EINVAL);
	CHECK_ERRNO(mount("none", "a", "tmpfs", 0, bad_address()), EFAULT);
	CHECK_ERRNO(mount("none", bad_address(), "tmpfs", 0, NULL), EFAULT);
	CHECK_ERRNO(mount("none", NULL, "tmpfs", 0, NULL), EFAULT);
	CHECK_ERRNO(umount2("a", 0x100), EINVAL);
	CHECK_EQ(mount(NULL, "a", "tmpfs", 0, NULL), 0);
	CHECK(has("a", " - tmpfs none "));
	CHECK_EQ(mount("", "a", "tmpfs", 0, NULL), 0);
	CHECK_EQ(count_mounts("a"), 2);
}

TEST(kinds_that_only_the_kernel_mounts)
{
	CHECK_ERRNO(mount("none", "/tmp", "pipefs", 0, NULL), EINVAL);
	CHECK_ERRNO(mount("none", "/tmp", "sockfs", 0, NULL), EINVAL);
}

TEST(flags_of_mounts)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", NULL);
	MUST(mount("none", "a", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, NULL));
	CHECK(has("a", " rw,nosuid,nodev,noexec,noatime "));
	CHECK_EQ(propagate("a", MS_REMOUNT | MS_BIND | MS_RDONLY), 0);
	CHECK(has("a", " ro,noatime "));
	CHECK(has("a", " - tmpfs none rw"));
	CHECK_ERRNO(open("a/x", O_CREAT | O_WRONLY, 0600), EROFS);
	CHECK_ERRNO(mkdir("a/x", 0700), EROFS);
	CHECK_EQ(propagate("a", MS_REMOUNT | MS_BIND | MS_STRICTATIME | MS_NODIRATIME), 0);
	CHECK(has("a", " rw,nodiratime "));
	CHECK_EQ(propagate("a", MS_REMOUNT | MS_BIND | MS_NOSYMFOLLOW), 0);
	CHECK(has("a", " rw,nodiratime,nosymfollow "));
	CHECK_EQ(propagate("a", MS_REMOUNT | MS_BIND | MS_NODIRATIME), 0);
	CHECK(has("a", " rw,nodiratime,relatime "));
	CHECK_EQ(propagate("a", MS_REMOUNT | MS_RDONLY), 0);
	CHECK(has("a", " ro,nodiratime,relatime "));
	CHECK(has("a", " - tmpfs none ro"));
	CHECK_EQ(propagate("a", MS_REMOUNT | MS_BIND), 0);
	CHECK(has("a", " rw,nodiratime,relatime "));
	CHECK_ERRNO(mkdir("a/x", 0700), EROFS);
	CHECK_EQ(propagate("a", MS_REMOUNT), 0);
	CHECK_EQ(mkdir("a/x", 0700), 0);
	CHECK_ERRNO(propagate("a/x", MS_REMOUNT | MS_BIND | MS_RDONLY), EINVAL);
	CHECK_ERRNO(propagate("b", MS_REMOUNT), EINVAL);
	CHECK_EQ(mount("none", "a", NULL, MS_REMOUNT, "size=1m"), 0);
	CHECK(has("a", ",size=1024k"));
	CHECK_ERRNO(mount("none", "a", NULL, MS_REMOUNT, "size=huge"), EINVAL);
	CHECK_ERRNO(mount("none", "a", NULL, MS_REMOUNT, "nonsense"), EINVAL);
}

TEST(a_writer_keeps_a_mount_writable)
{
	int fd;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", NULL);
	mount_tmpfs("a");
	MUST(mount("a", "b", NULL, MS_BIND, NULL));
	fd = (int)MUST(open("a/file", O_CREAT | O_RDWR, 0600));
	CHECK_ERRNO(propagate("a", MS_REMOUNT | MS_BIND | MS_RDONLY), EBUSY);
	CHECK_ERRNO(propagate("a", MS_REMOUNT | MS_RDONLY), EBUSY);
	CHECK_EQ(propagate("b", MS_REMOUNT | MS_BIND | MS_RDONLY), 0);
	CHECK_ERRNO(propagate("b", MS_REMOUNT | MS_RDONLY), EBUSY);
	MUST(close(fd));
	CHECK_EQ(propagate("a", MS_REMOUNT | MS_BIND | MS_RDONLY), 0);
	fd = (int)MUST(open("a/file", O_RDONLY));
	CHECK_EQ(propagate("b", MS_REMOUNT | MS_RDONLY), 0);
}

TEST(binding)
{
	int fd;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "a/b", "c", "new", "mnt", NULL);
	make_file("a/file");
	make_file("c/file");
	make_file("c/own");
	CHECK_EQ(mount("a", "c", NULL, MS_BIND, NULL), 0);
	CHECK(!exists("c/own"));
	make_file("c/b/seen");
	CHECK(exists("a/b/seen"));
	CHECK_ERRNO(rmdir("c"), EBUSY);
	CHECK_ERRNO(rename("c/file", "a/other"), EXDEV);
	CHECK_ERRNO(link("c/file", "a/other"), EXDEV);
	CHECK(has("c", "/a "));
	CHECK_EQ(umount("c"), 0);
	CHECK_EQ(mount("a/file", "c/file", NULL, MS_BIND, NULL), 0);
	CHECK_ERRNO(mount("a/file", "c", NULL, MS_BIND, NULL), ENOTDIR);
	CHECK_ERRNO(mount("a", "c/file", NULL, MS_BIND, NULL), ENOTDIR);
	CHECK_ERRNO(unlink("c/file"), EBUSY);
	CHECK_EQ(unlink("a/file"), 0);
	CHECK(has("c/file", "//deleted "));
	CHECK_EQ(umount("c/file"), 0);
	CHECK_ERRNO(mount("nothing", "c", NULL, MS_BIND, NULL), ENOENT);
	CHECK_ERRNO(mount(NULL, "c", NULL, MS_BIND, NULL), EINVAL);
	CHECK_ERRNO(mount("", "c", NULL, MS_BIND, NULL), EINVAL);
	mount_tmpfs("mnt");
	make_file("mnt/inside");
	CHECK_EQ(mount(".", "new", NULL, MS_BIND, NULL), 0);
	CHECK(!exists("new/mnt/inside"));
	CHECK_EQ(umount("new"), 0);
	CHECK_EQ(mount(".", "new", NULL, MS_BIND | MS_REC, NULL), 0);
	CHECK(exists("new/mnt/inside"));
	CHECK_ERRNO(umount("new"), EBUSY);
	CHECK_EQ(umount2("new", MNT_DETACH), 0);
	CHECK_EQ(mount("a", "c", NULL, MS_BIND | MS_PRIVATE | MS_RDONLY, NULL), 0);
	CHECK(has("c", " rw,relatime "));
	fd = (int)MUST(open("c", O_PATH));
	CHECK_EQ(umount2("c", MNT_DETACH), 0);
	{
		char name[64];

		snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		CHECK_ERRNO(mount(name, "c", NULL, MS_BIND, NULL), EINVAL);
		CHECK_ERRNO(mount("a", name, NULL, MS_BIND, NULL), ENOENT);
	}
	make_directories("gone", NULL);
	fd = (int)MUST(open("gone", O_PATH));
	MUST(rmdir("gone"));
	{
		char name[64];

		snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		CHECK_ERRNO(mount("a", name, NULL, MS_BIND, NULL), ENOENT);
		CHECK_ERRNO(mount(name, "c", NULL, MS_BIND, NULL), ENOENT);
	}
}

TEST(moving)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", "c", NULL);
	make_file("file");
	mount_tmpfs("a");
	make_directories("a/inner", "a/in2", NULL);
	mount_tmpfs("a/inner");
	make_file("a/inner/seen");
	CHECK_EQ(mount("a", "b", NULL, MS_MOVE, NULL), 0);
	CHECK(exists("b/inner/seen"));
	CHECK(!exists("a/inner"));
	CHECK_ERRNO(mount("a", "c", NULL, MS_MOVE, NULL), EINVAL);
	CHECK_ERRNO(mount("b", "b/in2", NULL, MS_MOVE, NULL), ELOOP);
	CHECK_ERRNO(mount("b", "b/inner", NULL, MS_MOVE, NULL), ELOOP);
	CHECK_ERRNO(mount("b", "file", NULL, MS_MOVE, NULL), EINVAL);
	CHECK_ERRNO(mount("b", "nothing", NULL, MS_MOVE, NULL), ENOENT);
	CHECK_ERRNO(mount(NULL, "c", NULL, MS_MOVE, NULL), EINVAL);
	MUST(propagate("b", MS_SHARED));
	CHECK_ERRNO(mount("b/inner", "c", NULL, MS_MOVE, NULL), EINVAL);
	CHECK_EQ(mount("b", "c", NULL, MS_MOVE, NULL), 0);
	mount_tmpfs("a");
	MUST(propagate("a", MS_SHARED));
	MUST(mkdir("a/x", 0700));
	MUST(propagate("c/inner", MS_UNBINDABLE));
	CHECK_ERRNO(mount("c", "a/x", NULL, MS_MOVE, NULL), EINVAL);
	CHECK_ERRNO(mount("/", "c", NULL, MS_MOVE, NULL), EINVAL);
}

TEST(unmounting)
{
	int fd;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", NULL);
	mount_tmpfs("a");
	fd = (int)MUST(open("a", O_PATH));
	CHECK_ERRNO(umount("a"), EBUSY);
	MUST(close(fd));
	MUST(mkdir("a/b", 0755));
	mount_tmpfs("a/b");
	CHECK_ERRNO(umount("a"), EBUSY);
	CHECK_ERRNO(umount2("a", MNT_FORCE), EBUSY);
	CHECK_ERRNO(umount2("a", MNT_EXPIRE), EBUSY);
	MUST(chdir("a/b"));
	CHECK_ERRNO(umount("."), EBUSY);
	CHECK_EQ(umount2(".", MNT_DETACH), 0);
	CHECK_ERRNO(umount2(".", MNT_DETACH), EINVAL);
	CHECK(exists("."));
	CHECK(exists(".."));
	CHECK(!exists("../b"));
	MUST(chdir(check_shared->scratch));
	CHECK_ERRNO(umount2("a", MNT_EXPIRE | MNT_DETACH), EINVAL);
	CHECK_ERRNO(umount2("a", MNT_EXPIRE | MNT_FORCE), EINVAL);
	CHECK_ERRNO(umount2("a", MNT_EXPIRE), EAGAIN);
	MUST(close((int)MUST(open("a", O_RDONLY))));
	CHECK_ERRNO(umount2("a", MNT_EXPIRE), EAGAIN);
	CHECK(exists("a"));
	CHECK_ERRNO(umount2("a", MNT_EXPIRE), EAGAIN);
	/* Who looks for what isn't there uses it, too. */
	CHECK(!exists("a/nothing"));
	CHECK_ERRNO(umount2("a", MNT_EXPIRE), EAGAIN);
	CHECK_ERRNO(rmdir("a/nothing"), ENOENT);
	CHECK_ERRNO(umount2("a", MNT_EXPIRE), EAGAIN);
	CHECK_EQ(umount2("a", MNT_EXPIRE), 0);
	CHECK_ERRNO(umount2("a", MNT_EXPIRE), EINVAL);
	mount_tmpfs("a");
	MUST(symlink("a", "link"));
	CHECK_ERRNO(umount2("link", UMOUNT_NOFOLLOW), EINVAL);
	CHECK_EQ(umount2("link", 0), 0);
	mount_tmpfs("a");
	mount_tmpfs("a");
	CHECK_EQ(umount("a"), 0);
	CHECK_EQ(umount("a"), 0);
	CHECK_ERRNO(umount("a"), EINVAL);
}

TEST(what_covers_is_unmounted_first)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	mount_tmpfs("a");
	MUST(chdir("a"));
	MUST(mkdir("here", 0755));
	mount_tmpfs("../a");
	CHECK(exists("here"));
	CHECK_EQ(umount("."), 0);
	CHECK_ERRNO(umount("."), EBUSY);
	MUST(chdir(".."));
	CHECK_EQ(umount("a"), 0);
}

TEST(lazily_unmounted_trees_fall_apart)
{
	int outer, inner;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	mount_tmpfs("a");
	MUST(mkdir("a/b", 0755));
	mount_tmpfs("a/b");
	make_file("a/b/deep");
	outer = (int)MUST(open("a", O_RDONLY | O_DIRECTORY));
	inner = (int)MUST(open("a/b", O_RDONLY | O_DIRECTORY));
	CHECK_EQ(umount2("a", MNT_DETACH), 0);
	CHECK_EQ(faccessat(inner, "deep", F_OK, 0), 0);
	CHECK_ERRNO(faccessat(outer, "b/deep", F_OK, 0), ENOENT);
	CHECK_ERRNO(faccessat(inner, "../b", F_OK, 0), ENOENT);
	CHECK_EQ(faccessat(outer, "b", F_OK, 0), 0);
}

TEST(kinds_of_propagation)
{
	int first, second;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", "c", "d", NULL);
	CHECK_ERRNO(propagate("a", MS_SHARED), EINVAL);
	mount_tmpfs("a");
	CHECK_EQ(tag("a", "shared:"), 0);
	CHECK_EQ(propagate("a", MS_SHARED), 0);
	first = tag("a", "shared:");
	CHECK(first > 0);
	CHECK_EQ(propagate("a", MS_SHARED), 0);
	CHECK_EQ(tag("a", "shared:"), first);
	MUST(mount("a", "b", NULL, MS_BIND, NULL));
	CHECK_EQ(tag("b", "shared:"), first);
	CHECK_EQ(propagate("b", MS_SLAVE), 0);
	CHECK_EQ(tag("b", "shared:"), 0);
	CHECK_EQ(tag("b", "master:"), first);
	CHECK_EQ(propagate("b", MS_SHARED), 0);
	second = tag("b", "shared:");
	CHECK(second > 0 && second != first);
	CHECK_EQ(tag("b", "master:"), first);
	MUST(mount("b", "c", NULL, MS_BIND, NULL));
	CHECK_EQ(tag("c", "shared:"), second);
	CHECK_EQ(tag("c", "master:"), first);
	CHECK_EQ(propagate("c", MS_SLAVE), 0);
	CHECK_EQ(tag("c", "master:"), second);
	CHECK_EQ(propagate("b", MS_PRIVATE), 0);
	CHECK_EQ(tag("b", "master:"), 0);
	CHECK_EQ(tag("c", "master:"), first);
	CHECK_EQ(propagate("a", MS_SLAVE), 0);
	CHECK_EQ(tag("a", "shared:"), 0);
	CHECK_EQ(tag("c", "master:"), 0);
	CHECK_EQ(propagate("a", MS_UNBINDABLE), 0);
	CHECK(has("a", " unbindable "));
	CHECK_ERRNO(mount("a", "d", NULL, MS_BIND, NULL), EINVAL);
	CHECK_EQ(propagate("a", MS_SLAVE), 0);
	CHECK(has("a", " unbindable "));
	CHECK_EQ(propagate("a", MS_SHARED), 0);
	CHECK(!has("a", " unbindable "));
	CHECK_EQ(propagate("a", MS_UNBINDABLE), 0);
	CHECK_EQ(propagate("a", MS_PRIVATE), 0);
	CHECK(!has("a", " unbindable "));
	CHECK_ERRNO(propagate("a", MS_SHARED | MS_PRIVATE), EINVAL);
	CHECK_ERRNO(propagate("a", MS_SHARED | MS_NOSUID), EINVAL);
	CHECK_EQ(propagate("a", MS_SHARED | MS_SILENT), 0);
	CHECK_ERRNO(propagate("b/..", MS_SHARED | MS_NOEXEC), EINVAL);
}

TEST(recursive_propagation)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	mount_tmpfs("a");
	MUST(mkdir("a/b", 0755));
	mount_tmpfs("a/b");
	CHECK_EQ(propagate("a", MS_SHARED | MS_REC), 0);
	CHECK_EQ(tag("a/b", "shared:"), tag("a", "shared:") + 1);
	CHECK_EQ(propagate("a", MS_PRIVATE), 0);
	CHECK(tag("a/b", "shared:") > 0);
	CHECK_EQ(propagate("a", MS_SHARED), 0);
	CHECK_EQ(propagate("a", MS_UNBINDABLE | MS_REC), 0);
	CHECK(has("a/b", " unbindable "));
}

TEST(mounts_spread_to_peers_and_slaves)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", "c", "d", "e", NULL);
	mount_tmpfs("a");
	make_directories("a/x", "a/y", NULL);
	MUST(propagate("a", MS_SHARED));
	MUST(mount("a", "b", NULL, MS_BIND, NULL));
	MUST(mount("a", "c", NULL, MS_BIND, NULL));
	MUST(propagate("c", MS_SLAVE));
	MUST(mount("c", "d", NULL, MS_BIND, NULL));
	MUST(propagate("d", MS_SHARED));
	MUST(mount("a/y", "e", NULL, MS_BIND, NULL));
	mount_tmpfs("a/x");
	make_file("a/x/spread");
	CHECK(exists("b/x/spread"));
	CHECK(exists("c/x/spread"));
	CHECK(exists("d/x/spread"));
	CHECK_EQ(tag("a/x", "shared:"), tag("b/x", "shared:"));
	CHECK_EQ(tag("c/x", "shared:"), 0);
	CHECK_EQ(tag("c/x", "master:"), tag("a/x", "shared:"));
	CHECK_EQ(tag("d/x", "master:"), tag("a/x", "shared:"));
	CHECK(tag("d/x", "shared:") > 0);
	CHECK_EQ(count_mounts("e"), 1);
	/* Upwards nothing spreads. */
	mount_tmpfs("c/y");
	CHECK_EQ(count_mounts("a"), 2);
	CHECK_EQ(count_mounts("d"), 2);
	mount_tmpfs("d/y");
	CHECK_EQ(count_mounts("c"), 3);
	CHECK_EQ(umount("d/y"), 0);
	/* Unmounting spreads as mounting does. */
	CHECK_EQ(umount("b/x"), 0);
	CHECK(!exists("a/x/spread"));
	CHECK_EQ(count_mounts("a"), 1);
	CHECK_EQ(count_mounts("c"), 2);
	CHECK_EQ(count_mounts("d"), 1);
	/* What is mounted where a slave already has something comes to lie under that. */
	make_file("c/y/slave");
	mount_tmpfs("a/y");
	make_file("a/y/master");
	CHECK(exists("c/y/slave"));
	CHECK_EQ(count_mounts("c/y"), 2);
	CHECK_EQ(umount("c/y"), 0);
	CHECK(exists("c/y/master"));
	mount_tmpfs("c/y");
	make_file("c/y/above");
	CHECK_EQ(umount("a/y"), 0);
	CHECK_EQ(count_mounts("c/y"), 1);
	CHECK(exists("c/y/above"));
}

TEST(a_tree_that_is_mounted_becomes_shared)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", "t", NULL);
	mount_tmpfs("a");
	MUST(mkdir("a/x", 0755));
	MUST(propagate("a", MS_SHARED));
	MUST(mount("a", "b", NULL, MS_BIND, NULL));
	mount_tmpfs("t");
	MUST(mkdir("t/u", 0755));
	mount_tmpfs("t/u");
	make_file("t/u/deep");
	CHECK_EQ(mount("t", "a/x", NULL, MS_MOVE, NULL), 0);
	CHECK(exists("b/x/u/deep"));
	CHECK(tag("a/x/u", "shared:") > 0);
	CHECK_EQ(tag("a/x/u", "shared:"), tag("b/x/u", "shared:"));
	CHECK_ERRNO(umount("a/x"), EBUSY);
	CHECK_EQ(umount("b/x/u"), 0);
	CHECK_EQ(count_mounts("a"), 2);
	MUST(chdir("b/x"));
	CHECK_ERRNO(umount("../../a/x"), EBUSY);
	CHECK_EQ(umount2("../../a/x", MNT_DETACH), 0);
	MUST(chdir(check_shared->scratch));
	CHECK_EQ(count_mounts("b"), 1);
}

TEST(an_unmount_leaves_copies_with_mounts_on_them)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", NULL);
	mount_tmpfs("a");
	MUST(mkdir("a/x", 0755));
	MUST(propagate("a", MS_SHARED));
	MUST(mount("a", "b", NULL, MS_BIND, NULL));
	MUST(propagate("b", MS_SLAVE));
	mount_tmpfs("a/x");
	MUST(mkdir("a/x/u", 0755));
	mount_tmpfs("b/x/u");
	CHECK_EQ(count_mounts("a"), 2);
	CHECK_EQ(umount("a/x"), 0);
	CHECK_EQ(count_mounts("b"), 3);
	CHECK_EQ(tag("b/x", "master:"), 0);
	mount_tmpfs("a/x");
	CHECK_EQ(count_mounts("b"), 4);
	CHECK_EQ(umount2("a/x", MNT_DETACH), 0);
	CHECK_EQ(count_mounts("b"), 3);
}

TEST(an_unmount_leaves_copies_that_are_covered_and_more)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", NULL);
	mount_tmpfs("a");
	MUST(mkdir("a/x", 0755));
	MUST(propagate("a", MS_SHARED));
	MUST(mount("a", "b", NULL, MS_BIND, NULL));
	MUST(propagate("b", MS_SLAVE));
	mount_tmpfs("a/x");
	MUST(mkdir("a/x/u", 0755));
	mount_tmpfs("b/x/u");
	mount_tmpfs("b/x");
	make_file("b/x/cover");
	CHECK_EQ(count_mounts("b"), 4);
	CHECK_EQ(umount("a/x"), 0);
	CHECK_EQ(count_mounts("b"), 4);
	CHECK_EQ(umount("b/x"), 0);
	CHECK_EQ(umount("b/x/u"), 0);
	CHECK_EQ(umount("b/x"), 0);
}

TEST(propagate_from)
{
	int first;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("top", "top/a", "top/b", NULL);
	mount_tmpfs("top/a");
	MUST(propagate("top/a", MS_SHARED));
	first = tag("top/a", "shared:");
	MUST(mount("top/a", "top/b", NULL, MS_BIND, NULL));
	MUST(propagate("top/b", MS_SLAVE));
	MUST(propagate("top/b", MS_SHARED));
	make_directories("c", NULL);
	MUST(mount("top/b", "c", NULL, MS_BIND, NULL));
	MUST(propagate("c", MS_SLAVE));
	CHECK_EQ(tag("c", "propagate_from:"), 0);
	/* With the middle one out of sight, the nearest group that can be seen is told. */
	MUST(mount("top/b", "top/a", NULL, MS_BIND, NULL));
	MUST(umount("top/a"));
	make_directories("root", "root/a", "root/c", "root/proc", NULL);
	MUST(mount("root", "root", NULL, MS_BIND, NULL));
	MUST(mount("proc", "root/proc", "proc", 0, NULL));
	MUST(mount("top/a", "root/a", NULL, MS_MOVE, NULL));
	MUST(mount("c", "root/c", NULL, MS_MOVE, NULL));
	MUST(chroot("root"));
	MUST(chdir("/"));
	check_shared->scratch[0] = '\0';
	CHECK_EQ(tag("c", "propagate_from:"), first);
	CHECK(has("c", "master:"));
}

TEST(a_copied_namespace)
{
	int pipes[2], group, status;
	pid_t child;
	char byte;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", "p", "u", NULL);
	mount_tmpfs("a");
	mount_tmpfs("p");
	mount_tmpfs("u");
	MUST(propagate("u", MS_UNBINDABLE));
	MUST(mkdir("a/x", 0755));
	MUST(mkdir("a/z", 0755));
	MUST(propagate("a", MS_SHARED));
	group = tag("a", "shared:");
	MUST(pipe(pipes));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(chdir("p"));
		CHECK_EQ(unshare(CLONE_NEWNS), 0);
		CHECK(exists("../a/x"));
		CHECK_EQ(tag("a", "shared:"), group);
		CHECK_EQ(count_mounts("u"), 1);
		mount_tmpfs("../b");
		mount_tmpfs("../a/x");
		CHECK_EQ(umount2("../p", MNT_DETACH), 0);
		write_all(pipes[1], "x", 1);
		_exit(0);
	}
	MUST(read(pipes[0], &byte, 1));
	CHECK_EQ(count_mounts("b"), 0);
	CHECK_EQ(count_mounts("p"), 1);
	CHECK_EQ(count_mounts("a/x"), 1);
	status = wait_for(child);
	CHECK_EQ(status, EXITED(0));
	/* The end of a namespace doesn't spread. */
	CHECK_EQ(count_mounts("a/x"), 1);
}

TEST(removing_what_another_namespace_mounts_on)
{
	int there[2], back[2];
	pid_t child;
	char byte;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	make_file("f");
	MUST(pipe(there));
	MUST(pipe(back));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(unshare(CLONE_NEWNS));
		mount_tmpfs("a");
		MUST(mount("/etc/passwd", "f", NULL, MS_BIND, NULL));
		write_all(there[1], "x", 1);
		MUST(read(back[0], &byte, 1));
		CHECK(!exists("a"));
		CHECK_EQ(count_mounts(""), 1);
		_exit(0);
	}
	MUST(read(there[0], &byte, 1));
	CHECK_EQ(rmdir("a"), 0);
	CHECK_EQ(unlink("f"), 0);
	write_all(back[1], "x", 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}

static int pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

TEST(changing_the_root)
{
	char cwd[PATH_MAX];

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("new", "a", NULL);
	make_file("file");
	CHECK_ERRNO(pivot_root("new", "new"), EINVAL);
	mount_tmpfs("new");
	make_directories("new/old", "new/sub", NULL);
	CHECK_ERRNO(pivot_root("new", "a"), EINVAL);
	CHECK_ERRNO(pivot_root("new/sub", "new/old"), EINVAL);
	CHECK_ERRNO(pivot_root("/", "/"), EBUSY);
	CHECK_ERRNO(pivot_root("nothing", "new/old"), ENOENT);
	CHECK_ERRNO(pivot_root("file", "new/old"), ENOTDIR);
	CHECK_ERRNO(pivot_root("new", "file"), ENOTDIR);
	MUST(propagate(".", MS_SHARED));
	CHECK_ERRNO(pivot_root("new", "new/old"), EINVAL);
	MUST(propagate(".", MS_PRIVATE));
	MUST(propagate("new", MS_SHARED));
	CHECK_ERRNO(pivot_root("new", "new/old"), EINVAL);
	MUST(propagate("new", MS_PRIVATE));
	MUST(mkdir("new/proc", 0755));
	MUST(mount("proc", "new/proc", "proc", 0, NULL));
	MUST(chdir("new"));
	CHECK_EQ(pivot_root(".", "old"), 0);
	CHECK(exists("/sub"));
	CHECK(exists("/old/proc/self"));
	MUST(chdir("/"));
	CHECK_STRING(getcwd(cwd, sizeof cwd), "/");
	CHECK_EQ(umount2("/old", MNT_DETACH), 0);
	CHECK_ERRNO(rmdir("/proc"), EBUSY);
	CHECK_EQ(rmdir("/old"), 0);
	check_shared->scratch[0] = '\0';
	CHECK(has("proc", " / /proc "));
}

TEST(a_root_put_on_itself)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("new", NULL);
	mount_tmpfs("new");
	make_file("new/here");
	MUST(chdir("new"));
	CHECK_EQ(pivot_root(".", "."), 0);
	CHECK_EQ(umount2(".", MNT_DETACH), 0);
	CHECK(exists("/here"));
	check_shared->scratch[0] = '\0';
}

TEST(chroot_and_its_mounts)
{
	char line[256];
	FILE *file;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("new", "new/proc", NULL);
	MUST(mount("new", "new", NULL, MS_BIND, NULL));
	MUST(mount("proc", "new/proc", "proc", 0, NULL));
	MUST(chroot("new"));
	MUST(chdir("/"));
	check_shared->scratch[0] = '\0';
	file = fopen("/proc/self/mounts", "r");
	MUST(file == NULL ? -1 : 0);
	CHECK(fgets(line, sizeof line, file) != NULL && strncmp(line, "scratch / tmpfs ", 16) == 0);
	CHECK(fgets(line, sizeof line, file) != NULL && strncmp(line, "proc /proc proc rw,relatime 0 0\n", 32) == 0);
	CHECK(fgets(line, sizeof line, file) == NULL);
	fclose(file);
	/* The root isn't a mount's root there after this. */
	MUST(mkdir("/sub", 0755));
	MUST(chroot("/sub"));
	CHECK_ERRNO(umount("/"), EINVAL);
}

TEST(who_may)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	MUST(mkdir("a/b", 0755));
	drop_root();
	CHECK_ERRNO(mount("none", "a", "tmpfs", 0, NULL), EPERM);
	CHECK_ERRNO(mount("none", "a", "nosuchfs", 0, NULL), EPERM);
	CHECK_ERRNO(mount("none", "nothing", "tmpfs", 0, NULL), ENOENT);
	CHECK_ERRNO(mount("none", "a", "tmpfs", 1UL << 31, NULL), EINVAL);
	CHECK_ERRNO(propagate("/", MS_REC | MS_PRIVATE), EPERM);
	CHECK_ERRNO(mount("a", "a", NULL, MS_BIND, NULL), EPERM);
	CHECK_ERRNO(umount("."), EPERM);
	CHECK_ERRNO(umount("nothing"), ENOENT);
	CHECK_ERRNO(umount2(".", 0x100), EINVAL);
	CHECK_ERRNO(pivot_root("nothing", "nothing"), EPERM);
	CHECK_ERRNO(unshare(CLONE_NEWNS), EPERM);
	CHECK_ERRNO(chroot("."), EPERM);
}

TEST(mountinfo_can_be_polled)
{
	int fd, other;
	struct pollfd polled;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	fd = (int)MUST(open("/proc/self/mountinfo", O_RDONLY));
	other = (int)MUST(open("/proc/self/mounts", O_RDONLY));
	polled = (struct pollfd){fd, POLLPRI, 0};
	CHECK_EQ(poll(&polled, 1, 0), 0);
	mount_tmpfs("a");
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLPRI | POLLERR);
	CHECK_EQ(poll(&polled, 1, 0), 0);
	polled = (struct pollfd){other, POLLIN | POLLPRI, 0};
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLIN | POLLPRI | POLLERR);
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLIN);
	polled = (struct pollfd){fd, POLLPRI, 0};
	MUST(propagate("a", MS_SHARED));
	CHECK_EQ(poll(&polled, 1, 0), 0);
	MUST(propagate("a", MS_REMOUNT | MS_BIND | MS_RDONLY));
	CHECK_EQ(poll(&polled, 1, 0), 1);
	if (fork() == 0) {
		sleep_ms(20);
		_exit(umount("a"));
	}
	CHECK_EQ(poll(&polled, 1, 10000), 1);
	CHECK_EQ(polled.revents, POLLPRI | POLLERR);
}

TEST(mountinfo_isnt_written)
{
	int fd;

	fd = (int)MUST(open("/proc/self/mountinfo", O_RDWR));
	CHECK_ERRNO(write(fd, "x", 1), EINVAL);
	close(fd);
	fd = (int)MUST(open("/proc/self/mounts", O_RDWR));
	CHECK_ERRNO(write(fd, "x", 1), EINVAL);
}

TEST(numbers_of_mounts)
{
	struct statx first, second, unique, again;
	int id;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	mount_tmpfs("a");
	MUST(statx(AT_FDCWD, "a", 0, STATX_MNT_ID, &first));
	MUST(sscanf(mount_line("a"), "%d", &id) == 1 ? 0 : -1);
	CHECK(first.stx_mask & STATX_MNT_ID);
	CHECK_EQ(first.stx_mnt_id, id);
	CHECK(first.stx_attributes & STATX_ATTR_MOUNT_ROOT);
	MUST(statx(AT_FDCWD, "a", 0, 0x4000, &unique));
	CHECK(unique.stx_mask & 0x4000);
	CHECK(unique.stx_mnt_id > 1ULL << 31);
	MUST(umount("a"));
	MUST(statx(AT_FDCWD, "a", 0, STATX_MNT_ID, &second));
	CHECK(second.stx_mnt_id != first.stx_mnt_id);
	CHECK(!(second.stx_attributes & STATX_ATTR_MOUNT_ROOT));
	mount_tmpfs("a");
	MUST(statx(AT_FDCWD, "a", 0, 0x4000, &again));
	CHECK(again.stx_mnt_id > unique.stx_mnt_id);
}

TEST(how_many_mounts_there_may_be)
{
	char text[20] = "";
	int fd = (int)MUST(open("/proc/sys/fs/mount-max", O_RDWR));

	MUST(read(fd, text, sizeof text - 1));
	CHECK(atoi(text) > 1000);
	CHECK_ERRNO(pwrite(fd, "0", 1, 0), EINVAL);
}

TEST(nothing_is_executed_of_a_noexec_mount)
{
	char *arguments[] = {"file", NULL}, *memory;
	int fd;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	MUST(mount("none", "a", "tmpfs", MS_NOEXEC, NULL));
	fd = (int)MUST(open("a/file", O_RDWR | O_CREAT, 0700));
	MUST(ftruncate(fd, 4096));
	CHECK_ERRNO((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), EPERM);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK_ERRNO(mprotect(memory, 4096, PROT_READ | PROT_EXEC), EACCES);
	CHECK_ERRNO(mprotect(memory, 4096, PROT_EXEC), EACCES);
	CHECK_EQ(mprotect(memory, 4096, PROT_READ), 0);
	CHECK_ERRNO(execve("a/file", arguments, NULL), EACCES);
}

static long used_blocks(const char *where)
{
	struct statfs figures;

	MUST(statfs(where, &figures));
	return (long)(figures.f_blocks - figures.f_bfree);
}

TEST(what_takes_room_in_tmpfs)
{
	char target[4000], name[16];
	struct stat status;
	int fd, made;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	MUST(mount("none", "a", "tmpfs", 0, "size=64k,nr_inodes=12,mode=1770"));
	MUST(stat("a", &status));
	CHECK_EQ(status.st_mode, S_IFDIR | 01770);
	MUST(chdir("a"));
	memset(target, 't', sizeof target);
	target[sizeof target - 1] = '\0';
	CHECK_EQ(symlink(target, "long"), 0);
	CHECK_EQ(used_blocks("."), 1);
	CHECK_EQ(symlink("target", "short"), 0);
	CHECK_EQ(used_blocks("."), 1);
	fd = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	CHECK_EQ(fallocate(fd, 0, 0, 40960), 0);
	CHECK_EQ(used_blocks("."), 11);
	/* What can't be had whole isn't taken in part. */
	CHECK_ERRNO(fallocate(fd, 0, 40960, 40960), ENOSPC);
	CHECK_EQ(used_blocks("."), 11);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_size, 40960);
	CHECK_EQ(fallocate(fd, 0, 40960, 20480), 0);
	CHECK_ERRNO(symlink(target, "longer"), ENOSPC);
	CHECK_EQ(unlink("long"), 0);
	CHECK_EQ(symlink(target, "longer"), 0);
	CHECK_EQ(used_blocks("."), 16);
	/* A name more counts as a file more. */
	for (made = 0; made < 20; made++) {
		snprintf(name, sizeof name, "name%d", made);
		if (link("file", name) == -1)
			break;
	}
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(made, 8);
}

TEST(options_of_tmpfs_that_are_told)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	MUST(mount("none", "a", "tmpfs", 0, "inode64,noswap"));
	CHECK(has("a", "inode64"));
	CHECK(has("a", "noswap"));
	/* It stays so, but can't become so. */
	CHECK_EQ(mount(NULL, "a", NULL, MS_REMOUNT, "noswap"), 0);
	MUST(umount("a"));
	MUST(mount("none", "a", "tmpfs", 0, NULL));
	CHECK_ERRNO(mount(NULL, "a", NULL, MS_REMOUNT, "noswap"), EINVAL);
	CHECK(!has("a", "noswap"));
	CHECK_EQ(mount(NULL, "a", NULL, MS_REMOUNT, "inode64"), 0);
	CHECK(has("a", "inode64"));
}

TEST(mounted_in_a_namespace_that_ones_root_has_left)
{
	enter_own_mounts("tmpfs", NULL);
	MUST(mkdir("root", 0700));
	MUST(mkdir("from", 0700));
	MUST(mkdir("to", 0700));
	MUST(mkdir("to/full", 0700));
	MUST(mount("root", "root", "tmpfs", 0, NULL));
	MUST(mount("from", "from", "tmpfs", 0, NULL));
	MUST(chroot("root"));
	MUST(umount2("root", MNT_DETACH));
	CHECK_ERRNO(rename("from", "to"), EBUSY);
	CHECK_ERRNO(rmdir("from"), EBUSY);
}

TEST(unmounted_where_one_stands)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	mount_tmpfs("a");
	MUST(chdir("a"));
	CHECK_ERRNO(umount("."), EBUSY);
	CHECK_EQ(umount2(".", MNT_DETACH), 0);
	CHECK_ERRNO(umount2(".", MNT_DETACH), EINVAL);
	CHECK_EQ(mkdir("still", 0700), 0);
	CHECK_EQ(count_mounts("a"), 0);
}

TEST(numbers_of_groups_are_used_again)
{
	int first;

	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", "b", "c", NULL);
	mount_tmpfs("a");
	mount_tmpfs("b");
	MUST(mount("", "c", "tmpfs", 0, NULL));
	CHECK(has("c", " - tmpfs  rw"));
	MUST(propagate("a", MS_SHARED));
	MUST(propagate("b", MS_SHARED));
	first = tag("a", "shared:");
	CHECK_EQ(tag("b", "shared:"), first + 1);
	MUST(propagate("a", MS_PRIVATE));
	MUST(propagate("c", MS_SHARED));
	CHECK_EQ(tag("c", "shared:"), first);
	MUST(umount("a"));
	MUST(mount(NULL, "a", "tmpfs", 0, NULL));
	CHECK(has("a", " - tmpfs none rw"));
}

/* Whether reading changes the time of access of a file, and of a directory (bits 0 and 1). */
static int notes_access(unsigned long flags)
{
	struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
	struct stat before, after;
	char buffer[512];
	int file, directory, result;

	MUST(mount("none", "a", "tmpfs", flags, NULL));
	file = (int)MUST(open("a/file", O_RDWR | O_CREAT, 0600));
	MUST(write(file, "x", 1));
	MUST(mkdir("a/directory", 0700));
	directory = (int)MUST(open("a/directory", O_RDONLY));
	/* Later than the last change, so that only who is strict notes the next access. */
	sleep_ms(20);
	MUST(futimens(file, times));
	MUST(futimens(directory, times));
	times[1].tv_nsec = times[0].tv_nsec = UTIME_OMIT;
	sleep_ms(20);
	MUST(fstat(file, &before));
	MUST(pread(file, buffer, 1, 0));
	MUST(fstat(file, &after));
	result = before.st_atim.tv_nsec != after.st_atim.tv_nsec;
	MUST(fstat(directory, &before));
	MUST(syscall(SYS_getdents64, directory, buffer, sizeof buffer));
	MUST(fstat(directory, &after));
	result |= (before.st_atim.tv_nsec != after.st_atim.tv_nsec) << 1;
	MUST(close(file));
	MUST(close(directory));
	MUST(umount("a"));
	return result;
}

TEST(which_accesses_are_noted)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories("a", NULL);
	CHECK_EQ(notes_access(MS_STRICTATIME), 3);
	CHECK_EQ(notes_access(MS_STRICTATIME | MS_NODIRATIME), 1);
	CHECK_EQ(notes_access(MS_NOATIME), 0);
}

/* Who is in a directory that is moved away from where a bind mount leads doesn't come to what is around. */
TEST(a_directory_that_leaves_a_bind_mount)
{
	struct stat status;
	char name[64], text[200];
	ssize_t length;
	int directory;

	enter_own_mounts("tmpfs", "mode=755");
	mount_tmpfs(".");
	MUST(chdir(check_shared->scratch));
	make_directories("a", "a/b", "a/b/c", "outside", "m", NULL);
	make_file("a/b/c/f");
	MUST(mount("a", "m", NULL, MS_BIND, NULL));
	directory = MUST(open("m/b/c", O_PATH | O_DIRECTORY));
	CHECK_EQ(close(MUST(openat(directory, "..", O_RDONLY))), 0);
	MUST(rename("a/b/c", "outside/c"));
	CHECK_ERRNO(openat(directory, "..", O_RDONLY), ENOENT);
	CHECK_ERRNO(openat(directory, "../c/f", O_RDONLY), ENOENT);
	CHECK_ERRNO(faccessat(directory, "..", F_OK, 0), ENOENT);
	CHECK_ERRNO(fstatat(directory, "..", &status, 0), ENOENT);
	CHECK_EQ(close(openat(directory, "f", O_RDONLY)), 0);
	CHECK_EQ(close(openat(directory, ".", O_RDONLY)), 0);
	CHECK_EQ(mkdirat(directory, "n", 0755), 0);
	CHECK_ERRNO(openat(directory, "n/..", O_RDONLY), ENOENT);
	CHECK_EQ(renameat(directory, "f", directory, "g"), 0);
	snprintf(name, sizeof name, "/proc/self/fd/%d", directory);
	length = readlink(name, text, sizeof text);
	CHECK_EQ(length, 1);
	CHECK_EQ(text[0], '/');
	MUST(fchdir(directory));
	CHECK_ERRNO(chdir(".."), ENOENT);
	CHECK_EQ(syscall(SYS_getcwd, text, sizeof text), (long)sizeof "(unreachable)/");
	CHECK_STRING(text, "(unreachable)/");
	CHECK_EQ(chdir("n"), 0);
	CHECK_ERRNO(chdir(".."), ENOENT);
	CHECK_EQ(chdir("/"), 0);
	close(directory);
}

TEST(a_directory_that_is_gone_has_no_place_for_names_on_a_read_only_mount_too)
{
	enter_own_mounts("tmpfs", NULL);
	MUST(mkdir("d", 0755));
	MUST(mkdir("d/x", 0755));
	MUST(mkdir("a", 0755));
	MUST(mount("d/x", "a", NULL, MS_BIND, NULL));
	MUST(mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	CHECK_ERRNO(mkdir("a/f", 0755), EROFS);
	MUST(rmdir("d/x"));
	CHECK_ERRNO(mkdir("a/f", 0755), ENOENT);
	CHECK_ERRNO(symlink("x", "a/f"), ENOENT);
	CHECK_ERRNO(link("d", "a/f"), ENOENT);
	CHECK_ERRNO(mknod("a/f", S_IFIFO | 0600, 0), ENOENT);
	CHECK_ERRNO(open("a/f", O_CREAT | O_RDWR, 0600), ENOENT);
	CHECK_ERRNO(open("a", O_TMPFILE | O_RDWR, 0600), EROFS);
	CHECK_ERRNO(rename("d", "a/f"), EXDEV);
	CHECK_ERRNO(unlink("a/f"), EROFS);
}
