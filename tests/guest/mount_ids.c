/* Mounts that give files other owners: mount_setattr(2) with MOUNT_ATTR_IDMAP. */
#include "own_mounts.h"

#include <linux/mount.h>
#include <sys/prctl.h>
#include <sys/xattr.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#endif
#define USERS 10000
#define GROUPS 20000
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif
#define USER_MAP "0 10000 10000"
#define GROUP_MAP "0 20000 10000"

struct attributes {
	uint64_t set, clear, propagation, fd;
};

static int set_map(int tree, const char *path, int flags, uint64_t fd)
{
	struct attributes attributes = {MOUNT_ATTR_IDMAP, 0, 0, fd};

	return (int)syscall(SYS_mount_setattr, tree, path, flags, &attributes, sizeof(attributes));
}

static int open_clone(const char *path)
{
	return (int)MUST(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}

/* A descriptor of a new user namespace, with these maps unless they're NULL. */
static int new_namespace(const char *users, const char *groups)
{
	int ready[2], fd;
	char path[64], byte;
	pid_t child;

	MUST(pipe(ready));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(unshare(CLONE_NEWUSER));
		write_all(ready[1], "x", 1);
		for (;;)
			pause();
	}
	MUST(read(ready[0], &byte, 1));
	sprintf(path, "/proc/%d/uid_map", child);
	if (users != NULL)
		MUST(write_text(path, users));
	sprintf(path, "/proc/%d/gid_map", child);
	if (groups != NULL)
		MUST(write_text(path, groups));
	sprintf(path, "/proc/%d/ns/user", child);
	fd = (int)MUST(open(path, O_RDONLY | O_CLOEXEC));
	MUST(kill(child, SIGKILL));
	wait_for(child);
	MUST(close(ready[0]));
	MUST(close(ready[1]));
	return fd;
}

static void make_file(const char *path, uid_t owner, mode_t mode)
{
	MUST(close((int)MUST(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600))));
	MUST(chown(path, owner, owner));
	MUST(chmod(path, mode));
}

/* `kept` is a tmpfs, and `seen` a mount of it with the map. */
static void make_mounts(void)
{
	int tree;

	umask(0);
	enter_own_mounts("tmpfs", "mode=777");
	MUST(mkdir("kept", 0777));
	MUST(mkdir("seen", 0777));
	MUST(mount("ids", "kept", "tmpfs", 0, "mode=777"));
	make_file("kept/root", 0, 0644);
	make_file("kept/other", 0, 0644);
	make_file("kept/user", 1000, 0600);
	make_file("kept/far", 70000, 0666);
	MUST(mkdir("kept/private", 0700));
	MUST(chown("kept/private", 1000, 1000));
	tree = open_clone("kept");
	MUST(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)new_namespace(USER_MAP, GROUP_MAP)));
	MUST(syscall(SYS_move_mount, tree, "", AT_FDCWD, "seen", 4));
	MUST(close(tree));
}

static void become(uid_t uid, gid_t gid)
{
	MUST(setgroups(0, NULL));
	MUST(setresgid(gid, gid, gid));
	MUST(setresuid(uid, uid, uid));
}

static void check_owner(const char *path, uid_t uid, gid_t gid)
{
	struct stat status;
	struct statx more;

	MUST(lstat(path, &status));
	CHECK_EQ(status.st_uid, uid);
	CHECK_EQ(status.st_gid, gid);
	MUST(statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &more));
	CHECK_EQ(more.stx_uid, uid);
	CHECK_EQ(more.stx_gid, gid);
}

TEST(what_may_be_mapped)
{
	struct attributes attributes = {0, MOUNT_ATTR_IDMAP, 0, 0};
	int ids, empty, tree, file;

	enter_own_mounts("tmpfs", "");
	make_file("file", 0, 0600);
	ids = new_namespace(USER_MAP, GROUP_MAP);
	empty = new_namespace(NULL, NULL);
	tree = open_clone(".");
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)-1), EINVAL);
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, 999), EBADF);
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)tree), EBADF);
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)open("/proc/self/ns/uts", O_RDONLY)), EINVAL);
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)open("/proc/self/ns/user", O_RDONLY)), EPERM);
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)empty), EINVAL);
	attributes.fd = (uint64_t)ids;
	CHECK_ERRNO(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)), EINVAL);
	/* Not what has been seen, and not where the file system knows nothing of it. */
	CHECK_ERRNO(set_map(AT_FDCWD, check_shared->scratch, 0, (uint64_t)ids), EINVAL);
	CHECK_ERRNO(set_map(open_clone("/proc"), "", AT_EMPTY_PATH, (uint64_t)ids), EINVAL);
	file = (int)MUST(openat(tree, "file", O_RDWR));
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)ids), EBUSY);
	MUST(close(file));
	CHECK_OK(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)ids));
	/* It's for ever. */
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)ids), EPERM);
	CHECK_ERRNO(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)), EINVAL);
}

TEST(owners_are_shown)
{
	make_mounts();
	check_owner("seen", USERS, GROUPS);
	check_owner("seen/root", USERS, GROUPS);
	check_owner("seen/user", USERS + 1000, GROUPS + 1000);
	check_owner("seen/far", 65534, 65534);
	check_owner("kept/root", 0, 0);
	/* Copies of the mount have the map. */
	MUST(mkdir("again", 0755));
	MUST(mount("seen", "again", NULL, MS_BIND, NULL));
	check_owner("again/user", USERS + 1000, GROUPS + 1000);
	MUST(unshare(CLONE_NEWNS));
	check_owner("again/user", USERS + 1000, GROUPS + 1000);
}

TEST(a_copy_may_have_another_map)
{
	struct attributes none = {0, MOUNT_ATTR_IDMAP, 0, 0}, other = {MOUNT_ATTR_IDMAP, MOUNT_ATTR_IDMAP, 0, 0};
	int copy;

	make_mounts();
	CHECK_ERRNO(syscall(SYS_open_tree_attr, AT_FDCWD, "seen", 0, &none, sizeof(none)), EINVAL);
	copy = (int)CHECK_OK(syscall(SYS_open_tree_attr, AT_FDCWD, "seen", OPEN_TREE_CLONE, &none, sizeof(none)));
	MUST(mkdir("plain", 0755));
	MUST(syscall(SYS_move_mount, copy, "", AT_FDCWD, "plain", 4));
	check_owner("plain/user", 1000, 1000);
	check_owner("seen/user", USERS + 1000, GROUPS + 1000);
	other.fd = (uint64_t)new_namespace("0 5000 2000", "0 6000 2000");
	copy = (int)CHECK_OK(syscall(SYS_open_tree_attr, AT_FDCWD, "seen", OPEN_TREE_CLONE, &other, sizeof(other)));
	MUST(mkdir("third", 0755));
	MUST(syscall(SYS_move_mount, copy, "", AT_FDCWD, "third", 4));
	check_owner("third/user", 6000, 7000);
	/* It may have none to begin with, and gets one as well. */
	CHECK_OK(syscall(SYS_open_tree_attr, AT_FDCWD, "kept", OPEN_TREE_CLONE, &none, sizeof(none)));
	CHECK_OK(syscall(SYS_open_tree_attr, AT_FDCWD, "kept", OPEN_TREE_CLONE, &other, sizeof(other)));
}

TEST(mounts_tell_of_it)
{
	static char line[4096];
	struct statx status;
	uint64_t request[4] = {24, 0, STATMOUNT_MNT_BASIC | 0x2000 | 0x4000, 0};
	/* Of struct statmount: mnt_attr, and where the maps are. */
	static union {
		uint64_t words[1024];
		unsigned int halves[2048];
		char bytes[8192];
	} told;
	unsigned int at_maps = 0;
	int found = 0;
	FILE *file;

	make_mounts();
	file = fopen("/proc/self/mountinfo", "r");
	while (fgets(line, sizeof(line), file) != NULL)
		if (strstr(line, "/seen ") != NULL)
			found += strstr(line, "/seen rw,relatime,idmapped - tmpfs ids ") != NULL;
	fclose(file);
	CHECK_EQ(found, 1);
	MUST(statx(AT_FDCWD, "seen", 0, 0x4000, &status));
	request[1] = status.stx_mnt_id;
	MUST(syscall(SYS_statmount, request, &told, sizeof(told), 0));
	CHECK(told.words[1] & 0x2000 && told.words[1] & 0x4000);
	CHECK(told.words[9] & MOUNT_ATTR_IDMAP || told.words[8] & MOUNT_ATTR_IDMAP);
	for (at_maps = 512; at_maps < 1024 && memcmp(told.bytes + at_maps, USER_MAP, sizeof(USER_MAP)) != 0; at_maps++)
		continue;
	CHECK(at_maps < 1024);
	CHECK_STRING(told.bytes + at_maps + sizeof(USER_MAP) + 1, GROUP_MAP);
}

TEST(who_has_no_id_there)
{
	make_mounts();
	/* Root of the machine is nobody's root here. */
	CHECK_ERRNO(open("seen/new", O_CREAT | O_RDWR, 0600), EOVERFLOW);
	CHECK_ERRNO(mkdir("seen/new", 0700), EOVERFLOW);
	CHECK_ERRNO(mknod("seen/new", S_IFIFO | 0600, 0), EOVERFLOW);
	CHECK_ERRNO(symlink("x", "seen/new"), EOVERFLOW);
	CHECK_ERRNO(open("seen", O_TMPFILE | O_RDWR, 0600), EOVERFLOW);
	CHECK_ERRNO(link("seen/root", "seen/new"), EOVERFLOW);
	CHECK_ERRNO(rename("seen/root", "seen/new"), EOVERFLOW);
	CHECK_OK(open("seen/user", O_RDWR));
	CHECK_OK(unlink("seen/other"));
	/* What is nobody's is only read, for its owner would be lost. */
	CHECK_OK(open("seen/far", O_RDONLY));
	CHECK_ERRNO(open("seen/far", O_WRONLY), EACCES);
	CHECK_ERRNO(truncate("seen/far", 0), EACCES);
	CHECK_ERRNO(access("seen/far", W_OK), EACCES);
	CHECK_ERRNO(chmod("seen/far", 0600), EOVERFLOW);
	CHECK_ERRNO(utimensat(AT_FDCWD, "seen/far", NULL, 0), EACCES);
	CHECK_ERRNO(unlink("seen/far"), EOVERFLOW);
	CHECK_ERRNO(setxattr("seen/far", "user.name", "a", 1, 0), EPERM);
	CHECK_ERRNO(chown("seen/far", USERS, (gid_t)-1), EOVERFLOW);
	CHECK_OK(chown("seen/far", USERS, GROUPS));
	check_owner("kept/far", 0, 0);
}

TEST(owners_are_given)
{
	make_mounts();
	CHECK_OK(chown("seen/root", USERS + 5, GROUPS + 6));
	check_owner("kept/root", 5, 6);
	CHECK_ERRNO(chown("seen/root", 5, (gid_t)-1), EOVERFLOW);
	CHECK_ERRNO(chown("seen/root", (uid_t)-1, 6), EOVERFLOW);
	CHECK_OK(chown("seen/root", (uid_t)-1, GROUPS));
	check_owner("kept/root", 5, 0);
}

TEST(the_owner_does_what_owners_do)
{
	make_mounts();
	become(USERS, GROUPS);
	MUST(close((int)CHECK_OK(open("seen/new", O_CREAT | O_EXCL | O_RDWR, 0644))));
	check_owner("seen/new", USERS, GROUPS);
	check_owner("kept/new", 0, 0);
	CHECK_OK(mkdir("seen/directory", 0755));
	check_owner("kept/directory", 0, 0);
	CHECK_OK(symlink("x", "seen/link"));
	check_owner("kept/link", 0, 0);
	CHECK_OK(open("seen/root", O_RDWR));
	CHECK_OK(open("seen/root", O_RDONLY | O_NOATIME));
	CHECK_ERRNO(open("kept/root", O_RDONLY | O_NOATIME), EPERM);
	CHECK_OK(chmod("seen/root", 0640));
	CHECK_ERRNO(chmod("kept/root", 0640), EPERM);
	CHECK_OK(chown("seen/root", USERS, GROUPS));
	CHECK_ERRNO(chown("seen/root", USERS + 1, (gid_t)-1), EPERM);
	CHECK_OK(link("seen/root", "seen/hard"));
	CHECK_OK(rename("seen/new", "seen/newer"));
	CHECK_OK(setxattr("seen/root", "user.name", "a", 1, 0));
	CHECK_ERRNO(open("seen/user", O_RDONLY), EACCES);
	CHECK_ERRNO(chdir("seen/private"), EACCES);
}

TEST(others_have_their_own)
{
	pid_t child;

	make_mounts();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		become(USERS + 1000, GROUPS + 1000);
		CHECK_OK(open("seen/user", O_RDWR));
		MUST(close((int)CHECK_OK(open("seen/private/made", O_CREAT | O_RDWR, 0644))));
		CHECK_ERRNO(open("kept/user", O_RDONLY), EACCES);
		CHECK_OK(chdir("seen/private"));
		_exit(0);
	}
	wait_for(child);
	check_owner("kept/private/made", 1000, 1000);
	become(1000, 1000);
	CHECK_OK(open("kept/user", O_RDWR));
	CHECK_ERRNO(open("seen/user", O_RDWR), EACCES);
	CHECK_ERRNO(open("seen/private/made", O_RDONLY), EACCES);
	CHECK_ERRNO(open("seen/new", O_CREAT | O_RDWR, 0600), EOVERFLOW);
	CHECK_OK(open("seen/root", O_RDONLY));
}

TEST(the_sticky_bit)
{
	make_mounts();
	MUST(chmod("kept", 01777));
	become(USERS + 1000, GROUPS + 1000);
	CHECK_OK(rename("seen/user", "seen/mine"));
	CHECK_ERRNO(unlink("seen/root"), EPERM);
	CHECK_OK(unlink("seen/mine"));
}

TEST(lists_of_access_control)
{
	/* rw for the owner, r for user 12000, nothing for others. */
	struct {
		uint32_t version;
		struct {
			uint16_t tag, permissions;
			uint32_t id;
		} entries[5];
	} list = {2, {{1, 6, -1u}, {2, 4, USERS + 2000}, {4, 0, -1u}, {16, 4, -1u}, {32, 0, -1u}}}, kept;

	make_mounts();
	become(USERS, GROUPS);
	CHECK_OK(setxattr("seen/root", "system.posix_acl_access", &list, sizeof(list), 0));
	CHECK_EQ(getxattr("kept/root", "system.posix_acl_access", &kept, sizeof(kept)), sizeof(kept));
	CHECK_EQ(kept.entries[1].id, 2000);
	CHECK_EQ(getxattr("seen/root", "system.posix_acl_access", &kept, sizeof(kept)), sizeof(kept));
	CHECK_EQ(kept.entries[1].id, USERS + 2000);
	list.entries[1].id = 2000;
	CHECK_ERRNO(setxattr("seen/root", "system.posix_acl_access", &list, sizeof(list), 0), EINVAL);
}

TEST(the_list_is_obeyed)
{
	struct {
		uint32_t version;
		struct {
			uint16_t tag, permissions;
			uint32_t id;
		} entries[5];
	} list = {2, {{1, 6, -1u}, {2, 4, 2000}, {4, 0, -1u}, {16, 4, -1u}, {32, 0, -1u}}};

	make_mounts();
	MUST(setxattr("kept/root", "system.posix_acl_access", &list, sizeof(list), 0));
	become(USERS + 2000, GROUPS + 2000);
	CHECK_OK(open("seen/root", O_RDONLY));
	CHECK_ERRNO(open("kept/root", O_RDONLY), EACCES);
	CHECK_ERRNO(open("seen/root", O_WRONLY), EACCES);
}

ROLE(tell_ids)
{
	return geteuid() == USERS + 1000 && getegid() == GROUPS + 1000 ? 17 : 18;
}

TEST(programs_become_the_seen_owner)
{
	pid_t child;
	int from, to;
	static char data[1 << 20];
	ssize_t length;

	from = (int)MUST(open(check_self, O_RDONLY | O_CLOEXEC));
	make_mounts();
	to = (int)MUST(open("kept/program", O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	while ((length = MUST(read(from, data, sizeof(data)))) > 0)
		write_all(to, data, (size_t)length);
	MUST(close(to));
	MUST(chown("kept/program", 1000, 1000));
	MUST(chmod("kept/program", 06755));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		execl("seen/program", "program", "tell_ids", NULL);
		_exit(1);
	}
	CHECK_EQ(wait_for(child), EXITED(17));
}

TEST(a_namespace_maps_its_own_mounts)
{
	int tree, own, below;
	char path[128];
	pid_t child;

	make_mounts();
	become(1000, 1000);
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWNS));
	MUST(prctl(PR_SET_DUMPABLE, 1));
	MUST(write_text("/proc/self/setgroups", "deny"));
	MUST(write_text("/proc/self/uid_map", "0 1000 1"));
	MUST(write_text("/proc/self/gid_map", "0 1000 1"));
	own = (int)MUST(open("/proc/self/ns/user", O_RDONLY));
	/* The file system of others isn't its to map. */
	tree = open_clone("kept");
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)own), EPERM);
	MUST(mount("own", "seen", "tmpfs", 0, ""));
	MUST(close((int)MUST(open("seen/file", O_CREAT | O_RDWR, 0666))));
	tree = open_clone("seen");
	CHECK_ERRNO(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)own), EINVAL);
	below = new_namespace("5 0 1", "6 0 1");
	CHECK_OK(set_map(tree, "", AT_EMPTY_PATH, (uint64_t)below));
	CHECK_ERRNO(openat(tree, "new", O_CREAT | O_RDWR, 0666), EOVERFLOW);
	CHECK_ERRNO(openat(tree, "file", O_RDWR), EACCES);
	/* Nobody makes files where the file system's owner has no id for him. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sprintf(path, "%s/seen/other", check_shared->scratch);
		MUST(unshare(CLONE_NEWUSER));
		CHECK_OK(open(path, O_CREAT | O_RDWR, 0666));
		_exit(0);
	}
	wait_for(child);
}
