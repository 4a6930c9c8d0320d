/* What root in a user namespace may do with the mounts that it was given, and with its own. */
#include "own_mounts.h"

static void write_map(const char *name, const char *text)
{
	int fd = (int)MUST(open(name, O_WRONLY));

	MUST(write(fd, text, strlen(text)));
	MUST(close(fd));
}

/* Some mounts in a namespace of the machine's, then a copy of it that belongs to a new user namespace. */
static void enter_user_namespace(unsigned long root_propagation)
{
	enter_own_mounts("tmpfs", "mode=777");
	MUST(mkdir("a", 0777));
	MUST(mkdir("b", 0777));
	MUST(mkdir("ro", 0777));
	MUST(mkdir("a/hidden", 0777));
	MUST(mount("none", "a", "tmpfs", 0, "mode=777"));
	MUST(mkdir("a/x", 0777));
	MUST(mount("none", "ro", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, NULL));
	MUST(mount(NULL, ".", NULL, root_propagation, NULL));
	/* Somebody stays behind. */
	child_that_pauses();
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWNS));
	write_map("/proc/self/uid_map", "0 0 1\n");
	write_map("/proc/self/setgroups", "deny");
	write_map("/proc/self/gid_map", "0 0 1\n");
}

static int has(const char *where, const char *text)
{
	static char line[4096];
	char name[PATH_MAX];
	FILE *file = fopen("/proc/self/mountinfo", "r");
	int found = 0;

	MUST(file == NULL ? -1 : 0);
	snprintf(name, sizeof name, " %s%s%s ", check_shared->scratch, *where ? "/" : "", where);
	while (fgets(line, sizeof line, file) != NULL)
		if (strstr(line, name) != NULL)
			found = strstr(line, text) != NULL;
	fclose(file);
	return found;
}

static int exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static int set_attributes(const char *path, unsigned int flags, uint64_t on, uint64_t off)
{
	struct mount_attr attributes = {.attr_set = on, .attr_clr = off};

	return mount_setattr(AT_FDCWD, path, flags, &attributes, sizeof attributes);
}

TEST(mounts_that_were_given_stay)
{
	enter_user_namespace(MS_PRIVATE);
	CHECK_ERRNO(umount("a"), EINVAL);
	CHECK_ERRNO(umount2("a", MNT_DETACH), EINVAL);
	CHECK_ERRNO(mount("a", "b", NULL, MS_MOVE, NULL), EINVAL);
	CHECK_ERRNO(mount(".", "b", NULL, MS_BIND, NULL), EINVAL);
	CHECK_ERRNO(open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE), EINVAL);
	CHECK_EQ(mount(".", "b", NULL, MS_BIND | MS_REC, NULL), 0);
	CHECK(exists("b/a/x"));
	CHECK(!exists("b/a/hidden"));
	CHECK_ERRNO(umount("b/a"), EINVAL);
	CHECK_ERRNO(umount("b"), EBUSY);
	CHECK_EQ(umount2("b", MNT_DETACH), 0);
	CHECK_EQ(mount("a", "b", NULL, MS_BIND, NULL), 0);
	CHECK_EQ(umount("b"), 0);
	CHECK_EQ(mount("none", "a", "tmpfs", 0, NULL), 0);
	CHECK(!exists("a/x"));
	CHECK_EQ(umount("a"), 0);
	CHECK(exists("a/x"));
	CHECK_ERRNO(umount("a"), EINVAL);
}

/* Only who has rights over a file system forces it away, or makes it read-only as the root. */
TEST(file_systems_of_others)
{
	pid_t child;

	enter_user_namespace(MS_PRIVATE);
	MUST(mount("a", "b", NULL, MS_BIND, NULL));
	CHECK_ERRNO(umount2("b", MNT_FORCE), EPERM);
	CHECK_ERRNO(umount2("b", MNT_FORCE | MNT_EXPIRE), EPERM);
	CHECK_ERRNO(umount2("b", MNT_EXPIRE), EAGAIN);
	CHECK_EQ(umount("b"), 0);
	MUST(mount("none", "b", "tmpfs", 0, NULL));
	CHECK_ERRNO(umount2("b", MNT_FORCE | MNT_EXPIRE), EINVAL);
	CHECK_EQ(umount2("b", MNT_FORCE), 0);
	MUST(mount("a", "b", NULL, MS_BIND, NULL));
	MUST(mount("none", "ro", "tmpfs", 0, NULL));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(chroot("b"));
		CHECK_ERRNO(umount("/"), EPERM);
		_exit(0);
	}
	MUST(chroot("ro"));
	CHECK_EQ(umount("/"), 0);
	CHECK_ERRNO(mkdir("/new", 0777), EROFS);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(a_tree_that_hides_something_stays_together)
{
	int inside, top;

	enter_user_namespace(MS_PRIVATE);
	MUST(mount(".", "b", NULL, MS_BIND | MS_REC, NULL));
	top = (int)MUST(open("b", O_RDONLY | O_DIRECTORY));
	inside = (int)MUST(open("b/a", O_RDONLY | O_DIRECTORY));
	CHECK_EQ(umount2("b", MNT_DETACH), 0);
	CHECK_EQ(faccessat(inside, "x", F_OK, 0), 0);
	/* Even now what is below isn't shown. */
	CHECK_EQ(faccessat(top, "a/x", F_OK, 0), 0);
	CHECK_ERRNO(faccessat(top, "a/hidden", F_OK, 0), ENOENT);
	CHECK_EQ(faccessat(inside, "../ro", F_OK, 0), 0);
}

TEST(flags_that_were_given_stay)
{
	enter_user_namespace(MS_PRIVATE);
	CHECK_ERRNO(mount(NULL, "ro", NULL, MS_REMOUNT | MS_BIND, NULL), EPERM);
	/* That nothing is changed there is seen before who the user is. */
	CHECK_ERRNO(chown("ro", 77, 77), EROFS);
	CHECK_ERRNO(chown("b", 77, 77), EINVAL);
	CHECK_ERRNO(mount(NULL, "ro", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL), EPERM);
	CHECK_ERRNO(mount(NULL, "ro", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME,
			  NULL),
		    EPERM);
	CHECK_EQ(mount(NULL, "ro", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, NULL),
		 0);
	CHECK_EQ(mount(NULL, "ro", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), 0);
	CHECK(has("ro", " ro,nosuid,nodev,noexec,noatime "));
	CHECK_ERRNO(set_attributes("ro", 0, 0, MOUNT_ATTR_RDONLY), EPERM);
	CHECK_ERRNO(set_attributes("ro", 0, 0, MOUNT_ATTR_NOEXEC), EPERM);
	CHECK_ERRNO(set_attributes("ro", 0, MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME), EPERM);
	CHECK_EQ(set_attributes("ro", 0, MOUNT_ATTR_NOSYMFOLLOW, 0), 0);
	CHECK_EQ(set_attributes("a", 0, MOUNT_ATTR_NOEXEC, 0), 0);
	CHECK_EQ(set_attributes("a", 0, 0, MOUNT_ATTR_NOEXEC), 0);
	CHECK_ERRNO(set_attributes(".", AT_RECURSIVE, 0, MOUNT_ATTR_NODEV), EPERM);
	MUST(mount("ro", "b", NULL, MS_BIND, NULL));
	CHECK_ERRNO(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND, NULL), EPERM);
	/* The file system is the machine's. */
	CHECK_ERRNO(mount(NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, NULL), EPERM);
	CHECK_ERRNO(mount(NULL, "a", NULL, MS_REMOUNT, "size=1m"), EPERM);
}

TEST(file_systems_of_its_own)
{
	enter_user_namespace(MS_PRIVATE);
	CHECK_EQ(mount("none", "b", "tmpfs", 0, "size=64k"), 0);
	CHECK_EQ(mount(NULL, "b", NULL, MS_REMOUNT, "size=128k"), 0);
	CHECK_EQ(mount(NULL, "b", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	CHECK_EQ(umount("b"), 0);
	CHECK_ERRNO(mount("none", "b", "devtmpfs", 0, NULL), EPERM);
	CHECK_ERRNO(mount("none", "b", "nosuchfs", 0, NULL), ENODEV);
	/* The pid namespace is the machine's. */
	CHECK_ERRNO(mount("none", "b", "proc", 0, NULL), EPERM);
	CHECK_EQ(mount("none", "b", "devpts", 0, "newinstance"), 0);
	CHECK_EQ(umount("b"), 0);
	/* What sysfs shows is of its own network, but the file system is the machine's. */
	MUST(unshare(CLONE_NEWNET));
	CHECK_EQ(mount("none", "b", "sysfs", 0, NULL), 0);
	CHECK_ERRNO(mount(NULL, "b", NULL, MS_REMOUNT, NULL), EPERM);
	CHECK_EQ(umount("b"), 0);
	CHECK_ERRNO(mount("none", "b", "tmpfs", 0, "uid=5"), EINVAL);
	CHECK_EQ(mount("none", "b", "tmpfs", 0, "uid=0,gid=0"), 0);
	MUST(mkdir("b/l", 0755));
	MUST(mkdir("b/u", 0755));
	MUST(mkdir("b/w", 0755));
	MUST(mkdir("b/m", 0755));
	CHECK_EQ(mount("none", "b/m", "overlay", 0, "lowerdir=b/l,upperdir=b/u,workdir=b/w,userxattr"), 0);
	CHECK_EQ(mkdir("b/m/made", 0755), 0);
	CHECK(exists("b/u/made"));
	CHECK_ERRNO(mknod("b/null", S_IFCHR | 0666, 0x103), EPERM);
}

TEST(what_spreads_into_it)
{
	enter_user_namespace(MS_SHARED);
	CHECK(has("", " master:"));
	CHECK(!has("", " shared:"));
	CHECK(!has("a", " master:"));
	CHECK_EQ(mount(NULL, ".", NULL, MS_SHARED, NULL), 0);
	CHECK(has("", " shared:"));
	CHECK_EQ(mount(NULL, ".", NULL, MS_PRIVATE, NULL), 0);
}

static int pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

TEST(another_root)
{
	enter_user_namespace(MS_PRIVATE);
	CHECK_ERRNO(pivot_root("a", "a/x"), EINVAL);
	MUST(mount("none", "b", "tmpfs", 0, NULL));
	MUST(mkdir("b/old", 0755));
	CHECK_EQ(pivot_root("b", "b/old"), 0);
	MUST(chdir("/"));
	CHECK(exists("/old/proc"));
	CHECK_EQ(umount2("/old", MNT_DETACH), 0);
	CHECK_EQ(rmdir("/old"), 0);
	check_shared->scratch[0] = '\0';
}

TEST(somebody_outside)
{
	int pid, status;

	enter_own_mounts("tmpfs", "mode=777");
	MUST(mkdir("a", 0777));
	pid = (int)MUST(fork());
	if (pid == 0) {
		MUST(unshare(CLONE_NEWUSER));
		/* The mount namespace is still another's. */
		CHECK_ERRNO(mount("none", "a", "tmpfs", 0, NULL), EPERM);
		CHECK_ERRNO(umount("."), EPERM);
		CHECK_ERRNO(fsopen("tmpfs", 0), EPERM);
		CHECK_ERRNO(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE), EPERM);
		CHECK_EQ(unshare(CLONE_NEWNS), 0);
		CHECK_EQ(mount("none", "a", "tmpfs", 0, NULL), 0);
		CHECK_EQ(umount("a"), 0);
		_exit(0);
	}
	status = wait_for(pid);
	CHECK_EQ(status, EXITED(0));
}

TEST(clone_makes_both)
{
	int status;
	pid_t child;

	enter_scratch();
	child = (pid_t)MUST(syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0));
	if (child == 0) {
		CHECK_EQ(mount("none", check_shared->scratch, "tmpfs", 0, NULL), 0);
		CHECK(has("", " - tmpfs none "));
		_exit(0);
	}
	status = wait_for(child);
	CHECK_EQ(status, EXITED(0));
	CHECK(!has("", " - tmpfs none "));
	CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0), EINVAL);
}
