/* Mounts by file descriptor: fsopen, fsconfig, fsmount, fspick, open_tree, move_mount, mount_setattr, statmount. */
#include "own_mounts.h"

#include <sys/statvfs.h>
#include <sys/vfs.h>

#define STATX_UNIQUE 0x4000
#define LSMT_ALL UINT64_MAX

struct request {
	uint32_t size;
	uint32_t spare;
	uint64_t id;
	uint64_t param;
	uint64_t namespace;
};

struct answer {
	uint32_t size, options;
	uint64_t mask;
	uint32_t major, minor;
	uint64_t magic;
	uint32_t flags, type;
	uint64_t id, parent;
	uint32_t old_id, old_parent;
	uint64_t attributes, propagation, group, master, from;
	uint32_t root, point;
	uint64_t namespace;
	uint32_t subtype, source, option_count, option_array, security_count, security_array;
	uint64_t supported;
	uint64_t spare[45];
	char text[3584];
};

static char long_text[5000];

static int exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void make_file(const char *path)
{
	MUST(close((int)MUST(open(path, O_CREAT | O_WRONLY, 0644))));
}

static char *mount_line(const char *where)
{
	static char found[4096];
	char name[PATH_MAX], line[4096];
	FILE *file = fopen("/proc/self/mountinfo", "r");

	MUST(file == NULL ? -1 : 0);
	found[0] = '\0';
	snprintf(name, sizeof name, "%s/%s", check_shared->scratch, where);
	while (fgets(line, sizeof line, file) != NULL) {
		char point[PATH_MAX];

		if (sscanf(line, "%*d %*d %*s %*s %s", point) == 1 && strcmp(point, name) == 0)
			snprintf(found, sizeof found, "%s", line);
	}
	fclose(file);
	return found;
}

static int has(const char *where, const char *text)
{
	return strstr(mount_line(where), text) != NULL;
}

static int tag(const char *where, const char *name)
{
	char *line = mount_line(where), *at = strstr(line, name);

	return at == NULL ? 0 : atoi(at + strlen(name));
}

static void mount_tmpfs(const char *where)
{
	MUST(mount("none", where, "tmpfs", 0, NULL));
}

static int propagate(const char *where, unsigned long flags)
{
	return mount(NULL, where, NULL, flags, NULL);
}

static const char *message(int fd)
{
	static char text[300];
	ssize_t length = read(fd, text, sizeof text - 1);

	if (length == -1)
		return check_errno_name(errno);
	text[length] = '\0';
	return text;
}

static int set(int fd, const char *key, const char *value)
{
	return fsconfig(fd, FSCONFIG_SET_STRING, key, value, 0);
}

TEST(configuring_by_steps)
{
	int fd, tree;
	char target[64], name[64];
	ssize_t length;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	CHECK_ERRNO(fsopen("nosuchfs", 0), ENODEV);
	CHECK_ERRNO(fsopen("tmpfs", 2), EINVAL);
	CHECK_ERRNO(fsopen(bad_address(), 0), EFAULT);
	fd = (int)CHECK_OK(fsopen("tmpfs", FSOPEN_CLOEXEC));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	length = MUST(readlink(name, target, sizeof target - 1));
	target[length] = '\0';
	CHECK_STRING(target, "anon_inode:[fscontext]");
	CHECK_STRING(message(fd), "ENODATA");
	CHECK_ERRNO(set(fd, "colour", "red"), EINVAL);
	CHECK_STRING(message(fd), "e tmpfs: Unknown parameter 'colour'\n");
	CHECK_STRING(message(fd), "ENODATA");
	CHECK_ERRNO(set(fd, "size", "red"), EINVAL);
	CHECK_ERRNO(read(fd, name, 5), EMSGSIZE);
	CHECK_STRING(message(fd), "e tmpfs: Bad value for 'size'\n");
	CHECK_ERRNO(set(fd, "size", ""), EINVAL);
	CHECK_STRING(message(fd), "e tmpfs: Bad value for 'size'\n");
	CHECK_ERRNO(set(fd, "mode", "9"), EINVAL);
	CHECK_STRING(message(fd), "e tmpfs: Bad value for 'mode'\n");
	CHECK_ERRNO(set(fd, "uid", "4294967295"), EINVAL);
	CHECK_STRING(message(fd), "e tmpfs: Invalid uid '4294967295'\n");
	CHECK_ERRNO(set(fd, "gid", ""), EINVAL);
	CHECK_STRING(message(fd), "e tmpfs: Bad value for 'gid'\n");
	CHECK_STRING(message(fd), "e tmpfs: Bad value for 'gid'\n");
	CHECK_ERRNO(set(fd, "inode64", "1"), EINVAL);
	CHECK_STRING(message(fd), "e tmpfs: Unexpected value for 'inode64'\n");
	CHECK_ERRNO(set(fd, "huge", "enormous"), EINVAL);
	CHECK_STRING(message(fd), "e tmpfs: Bad value for 'huge'\n");
	CHECK_EQ(set(fd, "huge", "never"), 0);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FLAG, "size", NULL, 0), EINVAL);
	CHECK_STRING(message(fd), "e tmpfs: Bad value for 'size'\n");
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_BINARY, "size", "1k", 2), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_PATH, "size", "/", AT_FDCWD), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FD, "size", NULL, fd), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FD, "size", NULL, 99), EBADF);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FLAG, "nosuid", NULL, 0), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FLAG, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FLAG, "ro", "x", 0), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FLAG, "ro", NULL, 1), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_STRING, "size", NULL, 0), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_STRING, "size", bad_address(), 0), EFAULT);
	/* The name is read when all else is right. */
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FLAG, bad_address(), "x", 0), EINVAL);
	CHECK_ERRNO(fsconfig(fd, 99, bad_address(), NULL, 0), EOPNOTSUPP);
	CHECK_ERRNO(fsconfig(99, FSCONFIG_SET_FLAG, bad_address(), NULL, 0), EBADF);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FLAG, bad_address(), NULL, 0), EFAULT);
	memset(long_text, 'a', sizeof(long_text) - 1);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_STRING, "size", long_text, 0), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_PATH, "size", long_text, AT_FDCWD), ENAMETOOLONG);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_PATH, "ro", "", AT_FDCWD), ENOENT);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_PATH_EMPTY, "size", "", AT_FDCWD), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_CMD_CREATE, "size", NULL, 0), EINVAL);
	CHECK_ERRNO(fsconfig(fd, 77, NULL, NULL, 0), EOPNOTSUPP);
	CHECK_ERRNO(fsconfig(-1, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(fsconfig(99, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EBADF);
	CHECK_ERRNO(fsconfig(0, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EINVAL);
	CHECK_EQ(set(fd, "source", "name"), 0);
	while (strcmp(message(fd), "ENODATA") != 0)
		continue;
	CHECK_ERRNO(set(fd, "source", "another"), EINVAL);
	CHECK_STRING(message(fd), "e Multiple sources\n");
	CHECK_EQ(set(fd, "size", "64k"), 0);
	CHECK_EQ(set(fd, "mode", "0700"), 0);
	CHECK_EQ(fsconfig(fd, FSCONFIG_SET_FLAG, "sync", NULL, 0), 0);
	CHECK_ERRNO(fsmount(fd, 0, 0), EINVAL);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), EBUSY);
	CHECK_EQ(fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EBUSY);
	CHECK_ERRNO(set(fd, "size", "1m"), EBUSY);
	CHECK_ERRNO(fsmount(fd, 2, 0), EINVAL);
	CHECK_ERRNO(fsmount(fd, 0, MOUNT_ATTR_IDMAP), EINVAL);
	CHECK_ERRNO(fsmount(fd, 0, MOUNT_ATTR__ATIME), EINVAL);
	CHECK_ERRNO(fsmount(99, 0, 0), EBADF);
	CHECK_ERRNO(fsmount(0, 0, 0), EINVAL);
	tree = (int)CHECK_OK(fsmount(fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME));
	CHECK_ERRNO(fsmount(fd, 0, 0), EBUSY);
	CHECK_EQ(fcntl(tree, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(tree, F_GETFL) & O_PATH, O_PATH);
	CHECK_EQ(mkdirat(tree, "inside", 0755), 0);
	CHECK_EQ(move_mount(tree, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH), 0);
	CHECK(exists("a/inside"));
	CHECK(has("a", " rw,nodev,noatime - tmpfs name rw,sync,size=64k,mode=700"));
	CHECK_ERRNO(move_mount(tree, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH), ELOOP);
	CHECK_EQ(set(fd, "size", "128k"), 0);
	CHECK_EQ(fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), 0);
	CHECK(has("a", ",size=128k,"));
	MUST(close(fd));
	MUST(close(tree));
	CHECK(exists("a/inside"));
}

TEST(options_of_other_kinds)
{
	struct statfs status;
	int fd;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	fd = (int)MUST(fsopen("devpts", 0));
	CHECK_ERRNO(set(fd, "max", "-1"), EINVAL);
	CHECK_STRING(message(fd), "e max out of range\n");
	CHECK_ERRNO(set(fd, "max", "1048577"), EINVAL);
	CHECK_STRING(message(fd), "e max out of range\n");
	CHECK_ERRNO(set(fd, "max", "2147483648"), EINVAL);
	CHECK_STRING(message(fd), "e devpts: Bad value for 'max'\n");
	CHECK_EQ(set(fd, "max", "1048576"), 0);
	/* Nothing is made of this one, as there is but one, which is the machine's. */
	fd = (int)MUST(fsopen("cgroup2", 0));
	CHECK_EQ(fsconfig(fd, FSCONFIG_SET_FLAG, "favordynmods", NULL, 0), 0);
	CHECK_EQ(fsconfig(fd, FSCONFIG_SET_FLAG, "memory_localevents", NULL, 0), 0);
	CHECK_EQ(fsconfig(fd, FSCONFIG_SET_FLAG, "memory_hugetlb_accounting", NULL, 0), 0);
	CHECK_EQ(fsconfig(fd, FSCONFIG_SET_FLAG, "pids_localevents", NULL, 0), 0);
	CHECK_ERRNO(set(fd, "nsdelegate", "1"), EINVAL);
	CHECK_STRING(message(fd), "e cgroup2: Unexpected value for 'nsdelegate'\n");
	fd = (int)MUST(fsopen("overlay", 0));
	CHECK_ERRNO(set(fd, "volatile", "1"), EINVAL);
	CHECK_STRING(message(fd), "e overlay: Unexpected value for 'volatile'\n");
	CHECK_EQ(set(fd, "lowerdir", check_shared->scratch), 0);
	CHECK_ERRNO(set(fd, "lowerdir+", check_shared->scratch), EINVAL);
	CHECK_STRING(message(fd), "e overlay: lowerdir+ and datadir+ cannot follow lowerdir\n");
	/* All of them are forgotten. What is wrong with the layers together goes to the kernel's log alone. */
	CHECK_EQ(set(fd, "lowerdir", ""), 0);
	CHECK_EQ(set(fd, "lowerdir+", check_shared->scratch), 0);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EINVAL);
	CHECK_STRING(message(fd), "ENODATA");
	/* A group that there can't be. */
	MUST(mount("none", "a", "proc", 0, "gid=4294967295"));
	CHECK(has("a", " rw,gid=65534\n"));
	MUST(umount("a"));
	MUST(mount("none", "a", "tmpfs", MS_SYNCHRONOUS | MS_NOATIME | MS_RELATIME, NULL));
	CHECK(has("a", " rw,noatime - "));
	MUST(statfs("a", &status));
	CHECK_EQ(status.f_flags & (ST_SYNCHRONOUS | ST_MANDLOCK | ST_RDONLY), ST_SYNCHRONOUS);
	MUST(mount(NULL, "a", NULL, MS_REMOUNT | MS_MANDLOCK | MS_RDONLY, NULL));
	MUST(statfs("a", &status));
	CHECK_EQ(status.f_flags & (ST_SYNCHRONOUS | ST_MANDLOCK | ST_RDONLY), ST_MANDLOCK | ST_RDONLY);
}

TEST(changing_what_is_mounted)
{
	int fd, busy;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	MUST(mount("none", "a", "tmpfs", 0, "size=16k"));
	CHECK_ERRNO(fspick(AT_FDCWD, "nothing", 0), ENOENT);
	CHECK_ERRNO(fspick(AT_FDCWD, "a", 0x100), EINVAL);
	MUST(mkdir("a/b", 0755));
	CHECK_ERRNO(fspick(AT_FDCWD, "a/b", 0), EINVAL);
	fd = (int)CHECK_OK(fspick(AT_FDCWD, "a", FSPICK_CLOEXEC));
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EBUSY);
	CHECK_ERRNO(fsmount(fd, 0, 0), EBUSY);
	CHECK_EQ(fsconfig(fd, FSCONFIG_SET_FLAG, "ro", NULL, 0), 0);
	busy = (int)MUST(open("a/file", O_CREAT | O_WRONLY, 0600));
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), EBUSY);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_SET_FLAG, "ro", NULL, 0), EBUSY);
	MUST(close(busy));
	MUST(close(fd));
	fd = (int)CHECK_OK(fspick(AT_FDCWD, "a", 0));
	CHECK_EQ(fsconfig(fd, FSCONFIG_SET_FLAG, "ro", NULL, 0), 0);
	CHECK_EQ(fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), 0);
	CHECK(has("a", " rw,relatime - tmpfs none ro,size=16k"));
	CHECK_ERRNO(mkdir("a/c", 0755), EROFS);
	CHECK_EQ(fsconfig(fd, FSCONFIG_SET_FLAG, "rw", NULL, 0), 0);
	CHECK_EQ(set(fd, "nr_inodes", "20"), 0);
	CHECK_EQ(fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), 0);
	CHECK_EQ(mkdir("a/c", 0755), 0);
	CHECK(has("a", ",nr_inodes=20"));
	CHECK_EQ(set(fd, "nr_inodes", "1"), 0);
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), EINVAL);
	CHECK_STRING(message(fd), "e tmpfs: Too few inodes for current use\n");
	CHECK_ERRNO(fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), EBUSY);
}

TEST(trees_that_are_not_mounted)
{
	int tree, inner, plain;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	MUST(mkdir("b", 0755));
	mount_tmpfs("a");
	MUST(mkdir("a/x", 0755));
	mount_tmpfs("a/x");
	make_file("a/x/deep");
	CHECK_ERRNO(open_tree(AT_FDCWD, "a", AT_RECURSIVE), EINVAL);
	CHECK_ERRNO(open_tree(AT_FDCWD, "a", 0x40000), EINVAL);
	CHECK_ERRNO(open_tree(AT_FDCWD, "nothing", OPEN_TREE_CLONE), ENOENT);
	CHECK_ERRNO(open_tree(AT_FDCWD, "", OPEN_TREE_CLONE), ENOENT);
	plain = (int)CHECK_OK(open_tree(AT_FDCWD, "a", OPEN_TREE_CLOEXEC));
	CHECK_EQ(fcntl(plain, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(plain, F_GETFL) & O_PATH, O_PATH);
	tree = (int)CHECK_OK(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE));
	CHECK_ERRNO(faccessat(tree, "x/deep", F_OK, 0), ENOENT);
	MUST(close(tree));
	tree = (int)CHECK_OK(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE | AT_RECURSIVE));
	CHECK_EQ(faccessat(tree, "x/deep", F_OK, 0), 0);
	CHECK_ERRNO(umount2("b", 0), EINVAL);
	inner = (int)CHECK_OK(open_tree(tree, "x", OPEN_TREE_CLONE));
	CHECK_EQ(faccessat(inner, "deep", F_OK, 0), 0);
	CHECK_ERRNO(move_mount(tree, "x", AT_FDCWD, "b", 0), EINVAL);
	CHECK_ERRNO(move_mount(tree, "", AT_FDCWD, "b", 0), ENOENT);
	CHECK_ERRNO(move_mount(tree, "", AT_FDCWD, "b", 0x1000), EINVAL);
	CHECK_ERRNO(move_mount(tree, "", AT_FDCWD, "nothing", MOVE_MOUNT_F_EMPTY_PATH), ENOENT);
	CHECK_EQ(move_mount(tree, "", AT_FDCWD, "b", MOVE_MOUNT_F_EMPTY_PATH), 0);
	CHECK(exists("b/x/deep"));
	CHECK_EQ(umount2("b/x", 0), 0);
	CHECK_EQ(move_mount(inner, "", AT_FDCWD, "b/x", MOVE_MOUNT_F_EMPTY_PATH), 0);
	CHECK(exists("b/x/deep"));
	CHECK_EQ(move_mount(AT_FDCWD, "b/x", AT_FDCWD, "a", 0), 0);
	CHECK(exists("a/deep"));
	tree = (int)CHECK_OK(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE));
	MUST(close(tree));
	CHECK(exists("a/deep"));
}

TEST(a_tree_is_gone_with_its_descriptor)
{
	int tree, inside;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	mount_tmpfs("a");
	MUST(mkdir("a/x", 0755));
	mount_tmpfs("a/x");
	make_file("a/x/deep");
	tree = (int)CHECK_OK(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE | AT_RECURSIVE));
	inside = (int)MUST(openat(tree, "x", O_RDONLY | O_DIRECTORY));
	MUST(close(tree));
	CHECK_EQ(faccessat(inside, "deep", F_OK, 0), 0);
	CHECK_ERRNO(faccessat(inside, "../x/deep", F_OK, 0), ENOENT);
	CHECK_ERRNO(open_tree(inside, "", OPEN_TREE_CLONE | AT_EMPTY_PATH), EINVAL);
	MUST(umount2("a", MNT_DETACH));
	CHECK_EQ(faccessat(inside, "deep", F_OK, 0), 0);
}

TEST(trees_onto_trees)
{
	int first, second;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	MUST(mkdir("b", 0755));
	mount_tmpfs("a");
	MUST(mkdir("a/x", 0755));
	first = (int)CHECK_OK(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE));
	second = (int)CHECK_OK(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE));
	CHECK_ERRNO(move_mount(first, "", first, "x", MOVE_MOUNT_F_EMPTY_PATH), EINVAL);
	CHECK_EQ(move_mount(second, "", first, "x", MOVE_MOUNT_F_EMPTY_PATH), 0);
	CHECK_EQ(faccessat(first, "x/x", F_OK, 0), 0);
	CHECK_ERRNO(move_mount(AT_FDCWD, "a", first, "x", 0), EINVAL);
	CHECK_EQ(move_mount(first, "", AT_FDCWD, "b", MOVE_MOUNT_F_EMPTY_PATH), 0);
	CHECK(exists("b/x/x"));
}

TEST(beneath_another_mount)
{
	int tree;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	mount_tmpfs("a");
	make_file("a/upper");
	MUST(mkdir("new", 0755));
	mount_tmpfs("new");
	make_file("new/lower");
	CHECK_ERRNO(move_mount(AT_FDCWD, "new", AT_FDCWD, "a", MOVE_MOUNT_BENEATH | MOVE_MOUNT_SET_GROUP), EINVAL);
	tree = (int)CHECK_OK(open_tree(AT_FDCWD, "new", OPEN_TREE_CLONE));
	CHECK_ERRNO(move_mount(tree, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_BENEATH | 0x1000), EINVAL);
	CHECK_EQ(move_mount(tree, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_BENEATH), 0);
	CHECK(exists("a/upper"));
	CHECK_EQ(umount("a"), 0);
	CHECK(exists("a/lower"));
	CHECK_ERRNO(umount("a"), EBUSY);
	MUST(close(tree));
	CHECK_EQ(umount("a"), 0);
	CHECK(!exists("a/lower"));
	CHECK_ERRNO(move_mount(AT_FDCWD, "new", AT_FDCWD, "a", MOVE_MOUNT_BENEATH), EINVAL);
	CHECK_ERRNO(move_mount(AT_FDCWD, "new", AT_FDCWD, "/", MOVE_MOUNT_BENEATH), EINVAL);
	MUST(propagate(".", MS_SHARED));
	mount_tmpfs("a");
	tree = (int)CHECK_OK(open_tree(AT_FDCWD, "new", OPEN_TREE_CLONE));
	CHECK_EQ(move_mount(tree, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_BENEATH), 0);
}

TEST(joining_a_group)
{
	enter_own_mounts("tmpfs", "mode=755");
	for (const char *name = "abcd"; *name != '\0'; name++)
		MUST(mkdir((char[]){*name, '\0'}, 0755));
	mount_tmpfs("a");
	MUST(mkdir("a/x", 0755));
	MUST(mount("a", "b", NULL, MS_BIND, NULL));
	MUST(mount("a/x", "c", NULL, MS_BIND, NULL));
	mount_tmpfs("d");
	CHECK_ERRNO(move_mount(AT_FDCWD, "a", AT_FDCWD, "b", MOVE_MOUNT_SET_GROUP), EINVAL);
	MUST(propagate("a", MS_SHARED));
	CHECK_ERRNO(move_mount(AT_FDCWD, "a", AT_FDCWD, "d", MOVE_MOUNT_SET_GROUP), EINVAL);
	CHECK_ERRNO(move_mount(AT_FDCWD, "a/x", AT_FDCWD, "b", MOVE_MOUNT_SET_GROUP), EINVAL);
	CHECK_EQ(move_mount(AT_FDCWD, "a", AT_FDCWD, "b", MOVE_MOUNT_SET_GROUP), 0);
	CHECK_EQ(tag("b", "shared:"), tag("a", "shared:"));
	CHECK_ERRNO(move_mount(AT_FDCWD, "a", AT_FDCWD, "b", MOVE_MOUNT_SET_GROUP), EINVAL);
	CHECK_EQ(move_mount(AT_FDCWD, "a", AT_FDCWD, "c", MOVE_MOUNT_SET_GROUP), 0);
	MUST(propagate("c", MS_PRIVATE));
	MUST(propagate("b", MS_SLAVE));
	CHECK_EQ(move_mount(AT_FDCWD, "b", AT_FDCWD, "c", MOVE_MOUNT_SET_GROUP), 0);
	CHECK_EQ(tag("c", "master:"), tag("a", "shared:"));
	CHECK_EQ(tag("c", "shared:"), 0);
	mount_tmpfs("a/x");
	make_file("a/x/spread");
	CHECK(exists("b/x/spread"));
	CHECK(exists("c/spread"));
}

static int set_attributes(const char *path, unsigned int flags, uint64_t on, uint64_t off, uint64_t propagation)
{
	struct mount_attr attributes = {.attr_set = on, .attr_clr = off, .propagation = propagation};

	return mount_setattr(AT_FDCWD, path, flags, &attributes, sizeof attributes);
}

TEST(attributes_of_mounts)
{
	struct mount_attr attributes = {0};
	char large[5000] = {0};
	int fd;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	mount_tmpfs("a");
	MUST(mkdir("a/x", 0755));
	mount_tmpfs("a/x");
	CHECK_EQ(set_attributes("a", 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0), 0);
	CHECK(has("a", " ro,nosuid,relatime "));
	CHECK(has("a/x", " rw,relatime "));
	CHECK_EQ(set_attributes("a", 0, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_RDONLY, 0), 0);
	CHECK(has("a", " rw,nosuid,noexec,relatime "));
	CHECK_EQ(set_attributes("a", AT_RECURSIVE, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MS_SHARED), 0);
	CHECK(has("a", " rw,nodev,noexec,relatime shared:"));
	CHECK(has("a/x", " rw,nodev,relatime shared:"));
	CHECK_EQ(set_attributes("a", 0, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, MS_PRIVATE), 0);
	CHECK(has("a", " rw,nodev,noexec,noatime - "));
	CHECK_EQ(set_attributes("a", 0, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, 0), 0);
	CHECK(has("a", " rw,nodev,noexec - "));
	CHECK_EQ(set_attributes("a", 0, MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR__ATIME, 0), 0);
	CHECK(has("a", " rw,nodev,noexec,nodiratime,relatime,nosymfollow - "));
	CHECK_ERRNO(set_attributes("a", 0, MOUNT_ATTR_NOATIME, 0, 0), EINVAL);
	CHECK_ERRNO(set_attributes("a", 0, MOUNT_ATTR_NOATIME | MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, 0), EINVAL);
	CHECK_ERRNO(set_attributes("a", 0, 0, MOUNT_ATTR_NOATIME, 0), EINVAL);
	CHECK_ERRNO(set_attributes("a", 0, 1ULL << 40, 0, 0), EINVAL);
	CHECK_ERRNO(set_attributes("a", 0, 0, 0, MS_SHARED | MS_PRIVATE), EINVAL);
	CHECK_ERRNO(set_attributes("a", 0, 0, 0, MS_NOSUID), EINVAL);
	CHECK_ERRNO(set_attributes("a", 1, 0, 0, 0), EINVAL);
	CHECK_ERRNO(set_attributes("b", 0, MOUNT_ATTR_RDONLY, 0, 0), ENOENT);
	MUST(mkdir("b", 0755));
	CHECK_ERRNO(set_attributes("b", 0, MOUNT_ATTR_RDONLY, 0, 0), EINVAL);
	CHECK_EQ(set_attributes("nothing at all", 0, 0, 0, 0), 0);
	CHECK_ERRNO(set_attributes("a", 0, MOUNT_ATTR_IDMAP, MOUNT_ATTR_IDMAP, 0), EINVAL);
	CHECK_ERRNO(mount_setattr(AT_FDCWD, "a", 0, &attributes, 31), EINVAL);
	CHECK_ERRNO(mount_setattr(-1, NULL, 0, NULL, 0), EINVAL);
	attributes.attr_set = MOUNT_ATTR_RDONLY;
	CHECK_ERRNO(mount_setattr(-1, NULL, 0, &attributes, 32), EFAULT);
	attributes.attr_set = 0;
	CHECK_ERRNO(open_tree(-1, NULL, 0x40000), EINVAL);
	CHECK_ERRNO(open_tree(-1, NULL, 0), EFAULT);
	CHECK_ERRNO(fspick(-1, NULL, 0x100), EINVAL);
	CHECK_ERRNO(fspick(-1, NULL, 0), EFAULT);
	CHECK_ERRNO(fsopen(NULL, 0x100), EINVAL);
	CHECK_ERRNO(fsopen(NULL, 0), EFAULT);
	CHECK_ERRNO(move_mount(-1, NULL, -1, NULL, 0x1000), EINVAL);
	CHECK_ERRNO(move_mount(-1, NULL, -1, NULL, 0), EFAULT);
	CHECK_ERRNO(mount_setattr(AT_FDCWD, "a", 0, &attributes, 4097), E2BIG);
	CHECK_ERRNO(mount_setattr(AT_FDCWD, "a", 0, bad_address(), 32), EFAULT);
	CHECK_EQ(mount_setattr(AT_FDCWD, "a", 0, (struct mount_attr *)large, 4096), 0);
	large[100] = 1;
	CHECK_ERRNO(mount_setattr(AT_FDCWD, "a", 0, (struct mount_attr *)large, 4096), E2BIG);
	/* All or nothing. */
	fd = (int)MUST(open("a/x/file", O_CREAT | O_WRONLY, 0600));
	CHECK_ERRNO(set_attributes("a", AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0), EBUSY);
	CHECK(has("a", " rw,"));
	MUST(close(fd));
	CHECK_EQ(set_attributes("a", AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0), 0);
	CHECK(has("a/x", " ro,"));
	fd = (int)MUST(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE | AT_RECURSIVE));
	attributes = (struct mount_attr){.attr_clr = MOUNT_ATTR_RDONLY};
	CHECK_EQ(mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes), 0);
	CHECK_EQ(mkdirat(fd, "x/made", 0755), 0);
	CHECK_ERRNO(mount_setattr(fd, "x", 0, &attributes, sizeof attributes), EINVAL);
}

static uint64_t unique_id(const char *path)
{
	struct statx status;

	MUST(statx(AT_FDCWD, path, 0, STATX_UNIQUE, &status));
	return status.stx_mnt_id;
}

static int ask(uint64_t id, uint64_t mask, void *buffer, size_t size)
{
	struct request request = {.size = 24, .id = id, .param = mask};

	return (int)syscall(457, &request, buffer, size, 0);
}

TEST(what_is_known_of_a_mount)
{
	struct answer answer;
	struct request request;
	uint64_t id;
	struct stat status;
	int number, parent;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	MUST(mount("some name", "a", "tmpfs", MS_NOSUID | MS_SYNCHRONOUS | MS_NOATIME, "size=64k,mode=700"));
	MUST(propagate("a", MS_SHARED));
	id = unique_id("a");
	MUST(sscanf(mount_line("a"), "%d %d", &number, &parent) == 2 ? 0 : -1);
	MUST(stat("a", &status));
	CHECK_EQ(ask(id, 0x3ff, &answer, sizeof answer), 0);
	CHECK_EQ(answer.mask, 0x2ff);
	CHECK_EQ(answer.magic, 0x01021994);
	CHECK_EQ(answer.flags, MS_SYNCHRONOUS);
	CHECK_EQ(answer.id, id);
	CHECK_EQ(answer.parent, unique_id("."));
	CHECK_EQ(answer.old_id, number);
	CHECK_EQ(answer.old_parent, parent);
	CHECK_EQ(answer.attributes, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME);
	CHECK_EQ(answer.propagation, MS_SHARED);
	CHECK_EQ(answer.group, tag("a", "shared:"));
	CHECK_EQ(answer.master, 0);
	CHECK_STRING(answer.text + answer.type, "tmpfs");
	CHECK_STRING(answer.text + answer.root, "/");
	CHECK_STRING(answer.text + answer.point + strlen(check_shared->scratch), "/a");
	CHECK_STRING(answer.text + answer.options, "size=64k,mode=700");
	CHECK_STRING(answer.text + answer.source, "some name");
	CHECK_STRING(answer.text + answer.subtype, "");
	CHECK(answer.namespace != 0);
	CHECK_EQ(ask(id, 0x1400, &answer, sizeof answer), 0);
	CHECK_EQ(answer.option_count, 2);
	CHECK_STRING(answer.text + answer.option_array, "size=64k");
	CHECK_STRING(answer.text + answer.option_array + 9, "mode=700");
	CHECK_EQ(answer.supported & 0x1fff, 0x1fff);
	CHECK_EQ(ask(id, 2, &answer, 100), 0);
	CHECK_EQ(answer.size, 100);
	CHECK_EQ(ask(id, 2, &answer, sizeof answer), 0);
	CHECK_EQ(answer.size, 512);
	CHECK_EQ(ask(id, 1ULL << 40, &answer, sizeof answer), 0);
	CHECK_EQ(answer.mask, 0);
	CHECK_ERRNO(ask(id, 0x20, &answer, 512), EOVERFLOW);
	CHECK_ERRNO(ask(id, 0x20, &answer, 515), EOVERFLOW);
	CHECK_ERRNO(ask(id + 100000, 1, &answer, sizeof answer), ENOENT);
	CHECK_ERRNO(ask((uint64_t)number, 1, &answer, sizeof answer), EINVAL);
	CHECK_ERRNO(ask(id, 1, bad_address(), sizeof answer), EFAULT);
	request = (struct request){.size = 23, .id = id, .param = 1};
	CHECK_ERRNO(syscall(457, &request, &answer, sizeof answer, 0), EINVAL);
	request.size = 4097;
	CHECK_ERRNO(syscall(457, &request, &answer, sizeof answer, 0), E2BIG);
	request.size = sizeof request;
	CHECK_EQ(syscall(457, &request, &answer, sizeof answer, 0), 0);
	CHECK_ERRNO(syscall(457, &request, &answer, sizeof answer, 1), EINVAL);
	CHECK_ERRNO(syscall(457, bad_address(), &answer, sizeof answer, 0), EFAULT);
	MUST(mkdir("r", 0755));
	MUST(chroot("r"));
	CHECK_EQ(ask(id, 0x12, &answer, sizeof answer), 0);
	CHECK_EQ(answer.mask, 2);
	drop_root();
	CHECK_ERRNO(ask(id, 2, &answer, sizeof answer), EPERM);
}

/* With room for no string, whatever the mount, and without a string that was asked for. */
TEST(room_for_what_is_known)
{
	uint32_t buffer[300] = {0};
	uint64_t id;

	enter_own_mounts("tmpfs", "mode=755");
	id = unique_id("/");
	CHECK_ERRNO(ask((uint64_t)-9999, 8, buffer, 512), EOVERFLOW);
	CHECK_ERRNO(ask((uint64_t)-9999, 8, buffer, 511), ENOENT);
	CHECK_ERRNO(ask((uint64_t)-9999, 2, buffer, 512), ENOENT);
	CHECK_ERRNO(ask(id, 0x20, buffer, 100), EOVERFLOW);
	CHECK_EQ(ask(id, 2, buffer, 100), 0);
	CHECK_EQ(buffer[0], 100);
	/* There is no subtype, but the empty string that it would be. */
	CHECK_EQ(ask(id, 0x102, buffer, 100), 0);
	CHECK_EQ(buffer[0], 101);
}

TEST(lists_of_mounts)
{
	uint64_t ids[50], first, second;
	struct request request = {.size = 24};

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	mount_tmpfs("a");
	MUST(mkdir("a/x", 0755));
	MUST(mkdir("a/y", 0755));
	mount_tmpfs("a/x");
	mount_tmpfs("a/y");
	first = unique_id("a/x"), second = unique_id("a/y");
	request.id = unique_id("a");
	CHECK_EQ(syscall(458, &request, ids, 50, 0), 2);
	/* Behind the largest number that there is comes the first. */
	request.param = UINT64_MAX;
	CHECK_EQ(syscall(458, &request, ids, 50, 0), 2);
	request.param = 0;
	CHECK_EQ(ids[0], first);
	CHECK_EQ(ids[1], second);
	CHECK_EQ(syscall(458, &request, ids, 1, 1), 1);
	CHECK_EQ(ids[0], second);
	CHECK_EQ(syscall(458, &request, ids, 1, 0), 1);
	CHECK_EQ(ids[0], first);
	request.param = first;
	CHECK_EQ(syscall(458, &request, ids, 50, 0), 1);
	CHECK_EQ(ids[0], second);
	CHECK_EQ(syscall(458, &request, ids, 50, 1), 0);
	request.param = 5;
	CHECK_ERRNO(syscall(458, &request, ids, 50, 0), EINVAL);
	request.param = 0;
	CHECK_ERRNO(syscall(458, &request, ids, 50, 2), EINVAL);
	CHECK_ERRNO(syscall(458, &request, ids, 1000001, 0), EOVERFLOW);
	CHECK_ERRNO(syscall(458, &request, bad_address(), 50, 0), EFAULT);
	CHECK_EQ(syscall(458, &request, ids, 0, 0), 0);
	request.id += 100000;
	CHECK_ERRNO(syscall(458, &request, ids, 50, 0), ENOENT);
	request.id = LSMT_ALL;
	CHECK_EQ(syscall(458, &request, ids, 2, 1), 2);
	CHECK_EQ(ids[0], second);
	MUST(chroot("a/x"));
	CHECK_EQ(syscall(458, &request, ids, 50, 0), 1);
	CHECK_EQ(ids[0], first);
}

TEST(who_may)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
	int tree;

	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("a", 0755));
	drop_root();
	CHECK_ERRNO(fsopen("tmpfs", 0), EPERM);
	CHECK_ERRNO(fsopen("nosuchfs", 99), EPERM);
	CHECK_ERRNO(fspick(AT_FDCWD, ".", 99), EPERM);
	CHECK_ERRNO(fsmount(99, 99, 99), EPERM);
	CHECK_ERRNO(open_tree(AT_FDCWD, "nothing", OPEN_TREE_CLONE), EPERM);
	CHECK_ERRNO(open_tree(AT_FDCWD, "nothing", 0x40000), EINVAL);
	tree = (int)CHECK_OK(open_tree(AT_FDCWD, "a", 0));
	CHECK_ERRNO(move_mount(tree, "", AT_FDCWD, "nothing", 0x1000), EPERM);
	CHECK_ERRNO(mount_setattr(AT_FDCWD, "nothing", 0, &attributes, 32), EPERM);
	CHECK_ERRNO(mount_setattr(AT_FDCWD, "nothing", 0, &attributes, 31), EINVAL);
}
