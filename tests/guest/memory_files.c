/* Files in memory: what tmpfs(5) and its kin tell of room, attributes and times. */
#include "own_mounts.h"

#include <mqueue.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

static void room_of(int fd, struct statfs *room)
{
	memset(room, 0xff, sizeof *room);
	MUST(fstatfs(fd, room));
}

TEST(room_without_limits)
{
	struct statfs room;
	int fd;

	enter_own_mounts("tmpfs", "size=0,nr_inodes=0");
	MUST(statfs(".", &room));
	CHECK_EQ(room.f_blocks, 0);
	CHECK_EQ(room.f_bfree, 0);
	CHECK_EQ(room.f_bavail, 0);
	CHECK_EQ(room.f_files, 0);
	CHECK_EQ(room.f_ffree, 0);
	fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
	CHECK_EQ(write(fd, "abc", 3), 3);
	CHECK_EQ(fsetxattr(fd, "user.x", "1", 1, 0), 0);
	MUST(statfs(".", &room));
	CHECK_EQ(room.f_blocks, 0);
	CHECK_EQ(room.f_files, 0);
}

TEST(attributes_take_the_room_of_inodes)
{
	static char value[3000];
	struct statfs room;
	int fd;

	enter_own_mounts("tmpfs", "size=1m,nr_inodes=5");
	fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
	MUST(statfs(".", &room));
	CHECK_EQ(room.f_files, 5);
	CHECK_EQ(room.f_ffree, 3);
	CHECK_EQ(fsetxattr(fd, "user.a", value, 1024 - 40 - 6, 0), 0);
	MUST(statfs(".", &room));
	CHECK_EQ(room.f_ffree, 2);
	CHECK_EQ(fsetxattr(fd, "trusted.a", value, 1, 0), 0);
	MUST(statfs(".", &room));
	CHECK_EQ(room.f_ffree, 1);
	CHECK_ERRNO(fsetxattr(fd, "user.b", value, 3000, 0), ENOSPC);
	CHECK_ERRNO(fsetxattr(fd, "user.a", value, 2048, XATTR_REPLACE), ENOSPC);
	CHECK_EQ(fgetxattr(fd, "user.a", NULL, 0), 1024 - 40 - 6);
	CHECK_EQ(close(MUST(open("g", O_RDWR | O_CREAT, 0644))), 0);
	CHECK_ERRNO(open("h", O_RDWR | O_CREAT, 0644), ENOSPC);
	CHECK_EQ(fremovexattr(fd, "user.a"), 0);
	MUST(statfs(".", &room));
	CHECK_EQ(room.f_ffree, 1);
	MUST(close(fd));
	MUST(unlink("f"));
	MUST(statfs(".", &room));
	CHECK_EQ(room.f_ffree, 3);
	CHECK_ERRNO(mount(NULL, ".", NULL, MS_REMOUNT, "nr_inodes=1"), EINVAL);
}

TEST(long_attributes_and_their_order)
{
	static char value[65537], names[256];
	static const char listed[] = "user.b\0user.a\0trusted.n\0trusted.a";
	int fd;

	enter_own_mounts("tmpfs", NULL);
	fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
	CHECK_EQ(fsetxattr(fd, "user.b", value, sizeof value - 1, 0), 0);
	CHECK_EQ(fsetxattr(fd, "trusted.a", value, sizeof value - 1, 0), 0);
	CHECK_EQ(fsetxattr(fd, "trusted.n", value, sizeof value - 1, 0), 0);
	CHECK_EQ(fsetxattr(fd, "user.a", "1", 1, 0), 0);
	CHECK_ERRNO(fsetxattr(fd, "user.c", value, sizeof value, 0), E2BIG);
	CHECK_EQ(flistxattr(fd, names, sizeof names), sizeof listed);
	CHECK_EQ(memcmp(names, listed, sizeof listed), 0);
}

TEST(files_that_are_nowhere)
{
	struct statfs room;
	struct statx status;
	int file = (int)MUST(syscall(SYS_memfd_create, "x", 0)), secret = (int)syscall(SYS_memfd_secret, 0);

	room_of(file, &room);
	CHECK_EQ(room.f_blocks, 0);
	CHECK_EQ(room.f_files, 0);
	/* Linux has them configured out, or disabled. */
	if (secret < 0)
		return;
	room_of(secret, &room);
	CHECK_EQ(room.f_blocks, 0);
	CHECK_EQ(room.f_files, 0);
	MUST(statx(secret, "", AT_EMPTY_PATH, 0, &status));
	CHECK_EQ(status.stx_mask & (STATX_MTIME | STATX_CTIME), STATX_MTIME | STATX_CTIME);
}

/* A new one has none here; on Linux some were seen that had. */
TEST(times_of_sockets_are_those_that_are_set)
{
	struct timespec times[2] = {{5, 0}, {6, 0}};
	struct stat status;
	int fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));

	MUST(futimens(fd, times));
	MUST(send(fd, "", 0, MSG_NOSIGNAL) < 0 ? 0 : -1);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_atime, 5);
	CHECK_EQ(status.st_mtime, 6);
}

TEST(a_directory_of_queues_has_a_size)
{
	struct stat status;
	mqd_t queue;

	MUST(unshare(CLONE_NEWIPC));
	enter_own_mounts("mqueue", NULL);
	MUST(stat(".", &status));
	CHECK_EQ(status.st_size, 40);
	queue = mq_open("/q", O_CREAT | O_RDWR, 0600, NULL);
	CHECK(queue >= 0);
	MUST(stat(".", &status));
	CHECK_EQ(status.st_size, 60);
	MUST(mq_close(queue));
	MUST(mq_unlink("/q"));
	MUST(stat(".", &status));
	CHECK_EQ(status.st_size, 40);
}

TEST(what_a_remount_changes)
{
	enter_own_mounts("tmpfs", "dirsync");
	CHECK_ERRNO(mount("x", ".", "tmpfs", MS_REMOUNT, "dirsync"), EINVAL);
	CHECK_EQ(mount("x", ".", "tmpfs", MS_REMOUNT, "sync"), 0);
	CHECK_EQ(mount("x", ".", "tmpfs", MS_REMOUNT | MS_DIRSYNC, NULL), 0);
}
