/* ramfs: files in memory that know of no limits, holes or attributes. */
#include "own_mounts.h"

#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

static void mount_ramfs(const char *options)
{
	enter_own_mounts("ramfs", options);
	umask(022);
}

static int mode_of(const char *path)
{
	struct stat status;

	MUST(lstat(path, &status));
	return status.st_mode & 07777;
}

TEST(options)
{
	char line[4096], *found = NULL;
	FILE *mounts;

	mount_ramfs("mode=710,size=4k,whatever=1");
	CHECK_EQ(mode_of("."), 0710);
	mounts = fopen("/proc/self/mounts", "r");
	while (fgets(line, sizeof line, mounts))
		if (strstr(line, check_shared->scratch) && strstr(line, " ramfs "))
			found = strdup(line);
	fclose(mounts);
	CHECK(found != NULL);
	CHECK(found && strncmp(found, "scratch ", 8) == 0);
	CHECK(found && strstr(found, ",mode=710 ") != NULL);
	CHECK(found && strstr(found, "size=") == NULL);
	CHECK_EQ(mount("x", check_shared->scratch, "ramfs", MS_REMOUNT, "mode=777"), 0);
	CHECK_EQ(mode_of("."), 0710);
	CHECK_ERRNO(mount("x", check_shared->scratch, "ramfs", 0, "mode=9"), EINVAL);
}

TEST(sizes)
{
	struct statfs statistics;
	struct stat status;
	int fd;

	mount_ramfs(NULL);
	CHECK_EQ(mode_of("."), 0755);
	CHECK_EQ(statfs(".", &statistics), 0);
	CHECK_EQ(statistics.f_type, RAMFS_MAGIC);
	CHECK_EQ(statistics.f_blocks, 0);
	CHECK_EQ(statistics.f_files, 0);
	CHECK_EQ(statistics.f_namelen, 255);
	MUST(mkdir("d", 0755));
	MUST(symlink("abc", "link"));
	MUST(stat(".", &status));
	CHECK_EQ(status.st_size, 0);
	CHECK_EQ(status.st_nlink, 3);
	MUST(lstat("link", &status));
	CHECK_EQ(status.st_size, 3);
	CHECK_EQ(status.st_blocks, 0);
	fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
	CHECK_EQ(write(fd, "abc", 3), 3);
	CHECK_EQ(ftruncate(fd, 100000), 0);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_size, 100000);
	CHECK_EQ(status.st_blocks, 8);
	CHECK_ERRNO(fallocate(fd, 0, 0, 8192), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EOPNOTSUPP);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 100000);
	CHECK_EQ(lseek(fd, 50000, SEEK_DATA), 50000);
	CHECK_ERRNO(lseek(fd, 100000, SEEK_DATA), ENXIO);
	close(fd);
}

TEST(what_it_lacks)
{
	struct {
		struct file_handle head;
		unsigned char room[128];
	} handle = {.head = {.handle_bytes = 128}};
	int fd, mount_id, flags;

	mount_ramfs(NULL);
	fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
	CHECK_ERRNO(fsetxattr(fd, "user.x", "1", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(fsetxattr(fd, "trusted.x", "1", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), EINVAL);
	CHECK_ERRNO(ioctl(fd, FS_IOC_GETFLAGS, &flags), ENOTTY);
	CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "f", &handle.head, &mount_id, 0), EOPNOTSUPP);
	MUST(mkdir("d", 0755));
	CHECK_EQ(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_EXCHANGE), 0);
	CHECK_EQ(renameat2(AT_FDCWD, "d", AT_FDCWD, "g", RENAME_NOREPLACE), 0);
	CHECK_ERRNO(renameat2(AT_FDCWD, "g", AT_FDCWD, "h", RENAME_WHITEOUT), EINVAL);
	CHECK_EQ(link("g", "h"), 0);
	CHECK_EQ(close(MUST(open(".", O_TMPFILE | O_RDWR, 0600))), 0);
	CHECK_EQ(rmdir("f"), 0);
	close(fd);
}

static struct stat seen;

/* Which times of `fd` have changed since the last call: 1 for the contents', 2 for the inode's, 4 for reading. */
static int changed_times(int fd)
{
	struct stat now;
	int changed;

	MUST(fstat(fd, &now));
	changed = (now.st_mtim.tv_sec != seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != seen.st_mtim.tv_nsec) |
		  (now.st_ctim.tv_sec != seen.st_ctim.tv_sec || now.st_ctim.tv_nsec != seen.st_ctim.tv_nsec) << 1 |
		  (now.st_atim.tv_sec != seen.st_atim.tv_sec || now.st_atim.tv_nsec != seen.st_atim.tv_nsec) << 2;
	seen = now;
	sleep_ms(15);
	return changed;
}

/* truncate(2) by name leaves it to the file system what becomes of the times: others always change them. */
static void truncate_on(const char *type, int of_another_size)
{
	int fd;

	enter_own_mounts(type, "mode=755");
	fd = (int)MUST(open("file", O_RDWR | O_CREAT, 0644));
	changed_times(fd);
	CHECK_OK(truncate("file", 0));
	CHECK_EQ(changed_times(fd), 0);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_EQ(changed_times(fd), 3);
	MUST(close((int)MUST(open("file", O_RDWR | O_TRUNC))));
	CHECK_EQ(changed_times(fd), 3);
	CHECK_OK(truncate("file", 5));
	CHECK_EQ(changed_times(fd), of_another_size);
	CHECK_OK(truncate("file", 5));
	CHECK_EQ(changed_times(fd), 0);
	CHECK_OK(ftruncate(fd, 5));
	CHECK_EQ(changed_times(fd), 3);
	CHECK_OK(truncate("file", 3));
	CHECK_EQ(changed_times(fd), of_another_size);
}

TEST(times_of_truncation_on_ramfs)
{
	truncate_on("ramfs", 0);
}

TEST(times_of_truncation_on_tmpfs)
{
	truncate_on("tmpfs", 3);
}

TEST(sending_nothing_is_an_access)
{
	int from, to, pipes[2];

	enter_own_mounts("tmpfs", "mode=755");
	from = (int)MUST(open("from", O_RDWR | O_CREAT, 0644));
	to = (int)MUST(open("to", O_RDWR | O_CREAT, 0644));
	MUST(pipe(pipes));
	write_all(from, "contents", 8);
	changed_times(from);
	CHECK_EQ(sendfile(pipes[1], from, &(off_t){0}, 0), 0);
	CHECK_EQ(changed_times(from), 0);
	CHECK_EQ(sendfile(to, from, &(off_t){0}, 0), 0);
	CHECK_EQ(changed_times(from), 4);
}
