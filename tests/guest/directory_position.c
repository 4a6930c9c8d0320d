/* Positions in directories of a tmpfs and of sysfs: each name has its own, whatever comes and goes. */
#include "own_mounts.h"

#include <dirent.h>
#include <limits.h>

static char listed[4096];

static void make(const char *name)
{
	MUST(close((int)MUST(open(name, O_CREAT | O_EXCL | O_RDWR, 0600))));
}

/* What one getdents64 with so large a buffer gives: "NAME@POSITION " for each; and the file's position. */
static const char *list(int fd, unsigned size)
{
	char buffer[4096];
	long length = syscall(SYS_getdents64, fd, buffer, size);
	size_t used = 0;

	listed[0] = '\0';
	if (length == -1)
		snprintf(listed, sizeof listed, "%s", strerrorname_np(errno));
	for (long at = 0; at < length;) {
		struct dirent64 *entry = (struct dirent64 *)(buffer + at);

		used += (size_t)snprintf(listed + used, sizeof listed - used, "%s@%lld ", entry->d_name, (long long)entry->d_off);
		at += entry->d_reclen;
	}
	return listed;
}

static int new_directory(void)
{
	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("d", 0755));
	MUST(chdir("d"));
	return (int)MUST(open(".", O_RDONLY | O_DIRECTORY));
}

TEST(newest_first)
{
	int fd = new_directory();

	make("a");
	make("b");
	make("c");
	CHECK_STRING(list(fd, 4096), ".@1 ..@5 c@4 b@3 a@2147483647 ");
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2147483647);
	CHECK_STRING(list(fd, 4096), "");
	/* What is made now is in front. */
	make("d");
	CHECK_STRING(list(fd, 4096), "");
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_STRING(list(fd, 4096), ".@1 ..@6 d@5 c@4 b@3 a@2147483647 ");
	CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
	CHECK_STRING(list(fd, 4096), "b@3 a@2147483647 ");
	CHECK_EQ(lseek(fd, 1, SEEK_SET), 1);
	CHECK_STRING(list(fd, 24), "..@6 ");
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6);
	CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
	CHECK_STRING(list(fd, 24), "d@5 ");
	CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
	CHECK_STRING(list(fd, 24), "d@5 ");
	CHECK_STRING(list(fd, 8), "EINVAL");
	CHECK_ERRNO(lseek(fd, 0, SEEK_END), EINVAL);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
}

TEST(while_it_changes)
{
	int fd = new_directory(), other;

	make("a");
	make("b");
	make("c");
	make("d");
	CHECK_STRING(list(fd, 72), ".@1 ..@6 d@5 ");
	MUST(unlink("c"));
	make("e");
	CHECK_STRING(list(fd, 24), "b@3 ");
	MUST(unlink("a"));
	/* Who stood at the oldest name, which is gone, begins anew. */
	CHECK_STRING(list(fd, 4096), "e@6 d@4 b@2147483647 ");
	CHECK_STRING(list(fd, 4096), "");
	/* A new name of an old file is new, and so is one that was there before. */
	MUST(rename("b", "f"));
	make("a");
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_STRING(list(fd, 4096), ".@1 ..@9 a@8 f@7 e@6 d@2147483647 ");
	other = (int)MUST(open(".", O_RDONLY));
	MUST(link("a", "g"));
	CHECK_STRING(list(other, 4096), ".@1 ..@10 g@9 a@8 f@7 e@6 d@2147483647 ");
	MUST(renameat2(AT_FDCWD, "d", AT_FDCWD, "g", RENAME_EXCHANGE));
	MUST(lseek(other, 0, SEEK_SET));
	CHECK_EQ(strncmp(list(other, 4096), ".@1 ..@", 7), 0);
	CHECK(strstr(listed, "g@") != NULL && strstr(listed, "d@") != NULL);
}

TEST(empty)
{
	int fd = new_directory();

	CHECK_STRING(list(fd, 4096), ".@1 ..@2147483647 ");
	CHECK_STRING(list(fd, 4096), "");
	make("a");
	CHECK_STRING(list(fd, 4096), "");
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_STRING(list(fd, 4096), ".@1 ..@3 a@2147483647 ");
	MUST(unlink("a"));
	MUST(rmdir("../d"));
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_STRING(list(fd, 4096), "ENOENT");
}

/* Names that are removed as they are read are all read. */
TEST(removed_while_read)
{
	int fd = new_directory(), count = 0;
	char name[16];

	for (int at = 0; at < 200; at++) {
		snprintf(name, sizeof name, "%d", at);
		make(name);
	}
	for (;;) {
		char *each, *rest;

		if (!*list(fd, 300))
			break;
		for (each = strtok_r(listed, " ", &rest); each != NULL; each = strtok_r(NULL, " ", &rest)) {
			*strchr(each, '@') = '\0';
			if (each[0] != '.' && unlink(each) == 0)
				count++;
		}
	}
	CHECK_EQ(count, 200);
}

/* Where kernfs has a name: fs/kernfs/dir.c, kernfs_name_hash. */
static long long position_of(const char *name)
{
	unsigned long joined = 0;
	long long found;

	for (; *name != '\0'; name++)
		joined = (joined + ((unsigned long)(unsigned char)*name << 4) + ((unsigned char)*name >> 4)) * 11;
	found = joined * 0x61c8864680b583ebUL >> 32 & INT_MAX;
	if (found < 2)
		found += 2;
	return found < INT_MAX ? found : INT_MAX - 1;
}

TEST(names_of_sysfs)
{
	int fd = (int)MUST(open("/sys/kernel", O_RDONLY | O_DIRECTORY));
	long long position = 0, last = 0;
	struct dirent64 *entry;
	char buffer[4096], third[256] = "";
	int wrong = 0;
	long length;

	while ((length = MUST(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)))) > 0)
		for (long at = 0; at < length; at += entry->d_reclen) {
			entry = (struct dirent64 *)(buffer + at);
			if (position > 1) {
				wrong += position_of(entry->d_name) != position || position <= last;
				last = position;
				if (third[0] == '\0')
					snprintf(third, sizeof(third), "%s", entry->d_name);
			}
			position = entry->d_off;
		}
	CHECK_EQ(wrong, 0);
	CHECK_EQ(position, INT_MAX);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), INT_MAX);
	CHECK_ERRNO(lseek(fd, 1, SEEK_CUR), EINVAL);
	/* From before all names on, and behind them. */
	CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
	CHECK(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)) > 0);
	CHECK_STRING(((struct dirent64 *)buffer)->d_name, third);
	CHECK_EQ(lseek(fd, INT_MAX, SEEK_SET), INT_MAX);
	CHECK_EQ(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), INT_MAX);
	close(fd);
}
