/* Access control lists: acl(5), kept as extended attributes system.posix_acl_access and system.posix_acl_default. */
#include "check.h"

#include <sys/inotify.h>
#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
#define NOBODY_NAMED 0xffffffffU

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 0x10, OTHER = 0x20 };

static unsigned char list[256];
static size_t length;

static void begin(void)
{
	memset(list, 0, sizeof list);
	list[0] = 2;
	length = 4;
}

static void add(unsigned int tag, unsigned int permissions, unsigned int id)
{
	list[length] = (unsigned char)tag;
	list[length + 2] = (unsigned char)permissions;
	memcpy(list + length + 4, &id, 4);
	length += 8;
}

static int set(const char *path, const char *name)
{
	return setxattr(path, name, list, length, 0);
}

static mode_t mode_of(const char *path)
{
	struct stat status;

	MUST(stat(path, &status));
	return status.st_mode & 07777;
}

static ssize_t size_of(const char *path, const char *name)
{
	unsigned char got[256];

	return getxattr(path, name, got, sizeof got);
}

/* The permissions of the first entry with a tag, -1 if there is none. */
static int entry_of(const char *path, const char *name, int tag)
{
	unsigned char got[256];
	ssize_t size = getxattr(path, name, got, sizeof got);

	for (ssize_t at = 4; at + 8 <= size; at += 8) {
		if (got[at] == tag)
			return got[at + 2];
	}
	return -1;
}

/* Whether the file system has lists at all: a host's may not. */
static int enter_with_lists(void)
{
	enter_scratch();
	umask(022);
	MUST(close((int)MUST(open("file", O_RDWR | O_CREAT, 0644))));
	MUST(mkdir("directory", 0755));
	return size_of("file", ACCESS) == -1 && errno == ENODATA;
}

TEST(lists_and_modes)
{
	char names[64] = "";

	if (!enter_with_lists())
		return;
	begin();
	add(USER_OBJ, 6, NOBODY_NAMED);
	add(GROUP_OBJ, 4, NOBODY_NAMED);
	add(OTHER, 0, NOBODY_NAMED);
	CHECK_OK(set("file", ACCESS));
	CHECK_ERRNO(size_of("file", ACCESS), ENODATA);
	CHECK_EQ(mode_of("file"), 0640);
	begin();
	add(USER_OBJ, 6, NOBODY_NAMED);
	add(USER, 7, 0);
	add(GROUP_OBJ, 4, NOBODY_NAMED);
	add(MASK, 6, NOBODY_NAMED);
	add(OTHER, 4, NOBODY_NAMED);
	CHECK_OK(set("file", ACCESS));
	CHECK_EQ(size_of("file", ACCESS), 44);
	CHECK_EQ(mode_of("file"), 0664);
	CHECK_EQ(listxattr("file", names, sizeof names), 24);
	CHECK_STRING(names, ACCESS);
	MUST(chmod("file", 0640));
	CHECK_EQ(entry_of("file", ACCESS, MASK), 4);
	CHECK_EQ(entry_of("file", ACCESS, OTHER), 0);
	CHECK_EQ(entry_of("file", ACCESS, USER), 7);
	CHECK_EQ(setxattr("file", ACCESS, list, length, XATTR_CREATE), 0);
	CHECK_OK(removexattr("file", ACCESS));
	CHECK_OK(removexattr("file", ACCESS));
	CHECK_EQ(mode_of("file"), 0664);
	CHECK_ERRNO(set("file", DEFAULT), EACCES);
}

TEST(lists_that_cannot_be)
{
	if (!enter_with_lists())
		return;
	begin();
	add(USER_OBJ, 6, NOBODY_NAMED);
	add(USER, 7, 0);
	add(GROUP_OBJ, 4, NOBODY_NAMED);
	add(OTHER, 4, NOBODY_NAMED);
	CHECK_ERRNO(set("file", ACCESS), EINVAL);
	length -= 8;
	CHECK_ERRNO(set("file", ACCESS), EINVAL);
	begin();
	add(GROUP_OBJ, 4, NOBODY_NAMED);
	add(USER_OBJ, 6, NOBODY_NAMED);
	add(OTHER, 4, NOBODY_NAMED);
	CHECK_ERRNO(set("file", ACCESS), EINVAL);
	begin();
	add(USER_OBJ, 9, NOBODY_NAMED);
	add(GROUP_OBJ, 4, NOBODY_NAMED);
	add(OTHER, 4, NOBODY_NAMED);
	CHECK_ERRNO(set("file", ACCESS), EINVAL);
	list[6] = 6;
	length--;
	CHECK_ERRNO(set("file", ACCESS), EINVAL);
	length++;
	list[0] = 1;
	CHECK_ERRNO(set("file", ACCESS), EOPNOTSUPP);
	list[0] = 2;
	CHECK_OK(set("file", ACCESS));
	MUST(symlink("file", "link"));
	CHECK_ERRNO(lsetxattr("link", ACCESS, list, length, 0), EOPNOTSUPP);
}

TEST(what_new_files_get)
{
	if (!enter_with_lists())
		return;
	begin();
	add(USER_OBJ, 7, NOBODY_NAMED);
	add(USER, 7, 0);
	add(GROUP_OBJ, 5, NOBODY_NAMED);
	add(MASK, 7, NOBODY_NAMED);
	add(OTHER, 4, NOBODY_NAMED);
	CHECK_OK(set("directory", DEFAULT));
	CHECK_EQ(mode_of("directory"), 0755);
	MUST(close((int)MUST(open("directory/file", O_RDWR | O_CREAT, 0666))));
	/* The list takes the place of the umask. */
	CHECK_EQ(mode_of("directory/file"), 0664);
	CHECK_EQ(entry_of("directory/file", ACCESS, MASK), 6);
	CHECK_ERRNO(size_of("directory/file", DEFAULT), ENODATA);
	MUST(mkdir("directory/below", 0700));
	CHECK_EQ(mode_of("directory/below"), 0700);
	CHECK_EQ(entry_of("directory/below", ACCESS, MASK), 0);
	CHECK_EQ(size_of("directory/below", DEFAULT), 44);
	MUST(mkfifo("directory/fifo", 0666));
	CHECK_EQ(mode_of("directory/fifo"), 0664);
	CHECK_OK(removexattr("directory", DEFAULT));
	MUST(close((int)MUST(open("directory/other", O_RDWR | O_CREAT, 0666))));
	CHECK_EQ(mode_of("directory/other"), 0644);
}

TEST(who_watches_is_told_of_lists)
{
	struct inotify_event event;
	int watch = (int)MUST(inotify_init1(IN_NONBLOCK));

	if (!enter_with_lists())
		return;
	MUST(inotify_add_watch(watch, "file", IN_ATTRIB));
	/* A file can't have such a list, and is told to have lost it all the same. */
	CHECK_OK(removexattr("file", DEFAULT));
	CHECK_EQ(read(watch, &event, sizeof(event)), sizeof(event));
	CHECK_EQ(event.mask, IN_ATTRIB);
	begin();
	add(USER_OBJ, 6, NOBODY_NAMED);
	add(GROUP_OBJ, 4, NOBODY_NAMED);
	add(OTHER, 4, NOBODY_NAMED);
	CHECK_ERRNO(set("file", DEFAULT), EACCES);
	CHECK_ERRNO((int)read(watch, &event, sizeof(event)), EAGAIN);
}

/* How a user with one group may open the file: bits of R_OK and W_OK. */
static int openings_by(uid_t uid, gid_t gid)
{
	int status;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(setgroups(0, NULL));
		MUST(setresgid(gid, gid, gid));
		MUST(setresuid(uid, uid, uid));
		_exit((open("file", O_RDONLY) == -1 ? 0 : R_OK) | (open("file", O_WRONLY) == -1 ? 0 : W_OK));
	}
	status = wait_for(child);
	return WEXITSTATUS(status);
}

TEST(who_may_open)
{
	if (!enter_with_lists() || geteuid() != 0)
		return;
	begin();
	add(USER_OBJ, 6, NOBODY_NAMED);
	add(USER, 4, 1000);
	add(GROUP_OBJ, 0, NOBODY_NAMED);
	add(GROUP, 2, 2000);
	add(MASK, 7, NOBODY_NAMED);
	add(OTHER, 0, NOBODY_NAMED);
	MUST(set("file", ACCESS));
	CHECK_EQ(openings_by(1000, 5000), R_OK);
	CHECK_EQ(openings_by(1001, 2000), W_OK);
	CHECK_EQ(openings_by(1001, 2001), 0);
	/* A named user's entry comes before those of groups. */
	CHECK_EQ(openings_by(1000, 2000), R_OK);
	MUST(chmod("file", 0620));
	CHECK_EQ(openings_by(1000, 5000), 0);
	CHECK_EQ(openings_by(1001, 2000), W_OK);
	MUST(chmod("file", 0604));
	/* Whoever isn't named at all is one of the others. */
	CHECK_EQ(openings_by(1001, 5000), R_OK);
}
