/* Names of files and directories: link(2), rename(2), mkdir(2), symlink(7), path_resolution(7), getdents(2). */
#include "check.h"

#include <dirent.h>
#include <linux/openat2.h>

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

TEST(making_and_removing_directories)
{
	enter_scratch();
	umask(027);
	write_file("file", "", 0644);
	MUST(symlink("nowhere", "dangling"));
	CHECK_EQ(mkdir("directory", 0777), 0);
	CHECK_EQ(status_of("directory").st_mode, S_IFDIR | 0750);
	CHECK_EQ(mkdir("slashes///", 0700), 0);
	CHECK_ERRNO(mkdir("directory", 0777), EEXIST);
	CHECK_ERRNO(mkdir("file", 0777), EEXIST);
	CHECK_ERRNO(mkdir("dangling", 0777), EEXIST);
	CHECK_ERRNO(mkdir(".", 0777), EEXIST);
	CHECK_ERRNO(mkdir("/", 0777), EEXIST);
	CHECK_ERRNO(mkdir("missing/directory", 0777), ENOENT);
	CHECK_ERRNO(mkdir("", 0777), ENOENT);
	CHECK_ERRNO(mkdir("file/directory", 0777), ENOTDIR);
	CHECK_ERRNO(mkdir(bad_address(), 0777), EFAULT);
	write_file("directory/file", "", 0644);
	CHECK_ERRNO(rmdir("directory"), ENOTEMPTY);
	CHECK_ERRNO(rmdir("file"), ENOTDIR);
	CHECK_ERRNO(rmdir("missing"), ENOENT);
	CHECK_ERRNO(rmdir("."), EINVAL);
	CHECK_ERRNO(rmdir("directory/."), EINVAL);
	CHECK_ERRNO(rmdir("directory/.."), ENOTEMPTY);
	CHECK_ERRNO(rmdir("dangling"), ENOTDIR);
	CHECK_ERRNO(unlink("directory"), EISDIR);
	CHECK_EQ(unlink("directory/file"), 0);
	CHECK_EQ(rmdir("directory"), 0);
	CHECK_ERRNO(rmdir("directory"), ENOENT);
	CHECK_EQ(rmdir("slashes/"), 0);
}

TEST(link_counts_of_directories)
{
	enter_scratch();
	MUST(mkdir("directory", 0755));
	MUST(mkdir("directory/one", 0755));
	CHECK_EQ(status_of("directory/one").st_ino, status_of("directory/one/.").st_ino);
	CHECK_EQ(status_of("directory").st_ino, status_of("directory/one/..").st_ino);
	CHECK(status_of("directory").st_ino != status_of("directory/one").st_ino);
	CHECK_EQ(status_of("/").st_ino, status_of("/..").st_ino);
}

TEST(hard_links)
{
	char text[8] = "";
	int fd;

	enter_scratch();
	write_file("file", "abc", 0644);
	MUST(mkdir("directory", 0755));
	MUST(symlink("file", "symbolic"));
	CHECK_EQ(link("file", "directory/name"), 0);
	CHECK_EQ(status_of("file").st_nlink, 2);
	CHECK_EQ(status_of("file").st_ino, status_of("directory/name").st_ino);
	fd = opened("directory/name", O_RDWR);
	CHECK_EQ(pwrite(fd, "X", 1, 1), 1);
	CHECK_EQ(read(opened("file", O_RDONLY), text, 3), 3);
	CHECK_STRING(text, "aXc");
	CHECK_EQ(unlink("file"), 0);
	CHECK_EQ(status_of("directory/name").st_nlink, 1);
	CHECK_ERRNO(link("file", "again"), ENOENT);
	CHECK_ERRNO(link("directory/name", "directory"), EEXIST);
	CHECK_ERRNO(link("directory/name", "symbolic"), EEXIST);
	CHECK_ERRNO(link("directory/name", "missing/name"), ENOENT);
	CHECK_ERRNO(link("directory", "other"), EPERM);
	CHECK_ERRNO(link("/proc/self/status", "other"), EXDEV);
	CHECK_EQ(link("symbolic", "second"), 0);
	CHECK(S_ISLNK(status_of("second").st_mode));
	CHECK_EQ(status_of("symbolic").st_nlink, 2);
	CHECK_ERRNO(linkat(AT_FDCWD, "symbolic", AT_FDCWD, "third", AT_SYMLINK_FOLLOW), ENOENT);
	CHECK_ERRNO(linkat(AT_FDCWD, "symbolic", AT_FDCWD, "third", 0x10), EINVAL);
}

TEST(removed_while_open)
{
	struct stat status;
	char text[8] = "";
	int fd, other;

	enter_scratch();
	write_file("file", "abcdef", 0644);
	fd = opened("file", O_RDWR);
	CHECK_EQ(unlink("file"), 0);
	CHECK_ERRNO(unlink("file"), ENOENT);
	CHECK_ERRNO(open("file", O_RDONLY), ENOENT);
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_nlink, 0);
	CHECK_EQ(status.st_size, 6);
	CHECK_EQ(pread(fd, text, 3, 2), 3);
	CHECK_STRING(text, "cde");
	CHECK_EQ(pwrite(fd, "123", 3, 0), 3);
	other = opened("file", O_RDWR | O_CREAT);
	CHECK_EQ(read(other, text, 3), 0);
	CHECK_EQ(pread(fd, text, 3, 0), 3);
	CHECK_STRING(text, "123");
}

TEST(symbolic_links)
{
	char text[PATH_MAX] = "", name[8], target[8];
	struct stat status;

	enter_scratch();
	write_file("file", "abc", 0644);
	MUST(mkdir("directory", 0755));
	write_file("directory/inner", "", 0644);
	CHECK_EQ(symlink("file", "link"), 0);
	CHECK_ERRNO(symlink("file", "link"), EEXIST);
	CHECK_ERRNO(symlink("", "empty"), ENOENT);
	CHECK_ERRNO(symlink("x", "missing/link"), ENOENT);
	memset(text, 'z', sizeof(text));
	CHECK_EQ(readlink("link", text, sizeof(text)), 4);
	CHECK_EQ(memcmp(text, "filez", 5), 0);
	CHECK_EQ(readlink("link", text, 2), 2);
	CHECK_ERRNO(readlink("link", text, 0), EINVAL);
	CHECK_ERRNO(readlink("file", text, sizeof(text)), EINVAL);
	CHECK_ERRNO(readlink("missing", text, sizeof(text)), ENOENT);
	CHECK_EQ(stat("link", &status), 0);
	CHECK(S_ISREG(status.st_mode));
	CHECK_EQ(lstat("link", &status), 0);
	CHECK_EQ(status.st_mode, S_IFLNK | 0777);
	CHECK_EQ(status.st_size, 4);
	MUST(symlink("directory", "to-directory"));
	MUST(symlink("../file", "directory/up"));
	CHECK_EQ(access("to-directory/inner", F_OK), 0);
	CHECK_EQ(access("to-directory/up", F_OK), 0);
	CHECK_EQ(access("to-directory/../file", F_OK), 0);
	CHECK_EQ(lstat("to-directory/", &status), 0);
	CHECK(S_ISDIR(status.st_mode));
	CHECK_ERRNO(lstat("link/", &status), ENOTDIR);
	CHECK_ERRNO(rmdir("to-directory"), ENOTDIR);
	MUST(symlink("first", "second"));
	MUST(symlink("second", "first"));
	CHECK_ERRNO(stat("first", &status), ELOOP);
	CHECK_EQ(lstat("first", &status), 0);
	CHECK_EQ(unlink("first"), 0);
	strcpy(target, "file");
	for (int at = 1; at <= 41; at++) {
		sprintf(name, "s%d", at);
		MUST(symlink(target, name));
		strcpy(target, name);
	}
	CHECK_EQ(access("s40", F_OK), 0);
	CHECK_ERRNO(access("s41", F_OK), ELOOP);
	memset(text, 'a', PATH_MAX);
	text[PATH_MAX - 1] = '\0';
	CHECK_EQ(symlink(text, "longest"), 0);
	CHECK_EQ(lstat("longest", &status), 0);
	CHECK_EQ(status.st_size, PATH_MAX - 1);
}

TEST(renaming)
{
	struct stat before, after;

	enter_scratch();
	write_file("file", "abc", 0644);
	write_file("other", "longer", 0644);
	MUST(mkdir("empty", 0755));
	MUST(mkdir("full", 0755));
	MUST(mkdir("full/sub", 0755));
	before = status_of("file");
	CHECK_EQ(rename("file", "moved"), 0);
	CHECK_ERRNO(rename("file", "moved"), ENOENT);
	CHECK_EQ(rename("moved", "other"), 0);
	after = status_of("other");
	CHECK_EQ(after.st_ino, before.st_ino);
	CHECK_EQ(after.st_size, 3);
	CHECK_ERRNO(access("moved", F_OK), ENOENT);
	CHECK_EQ(rename("other", "other"), 0);
	MUST(link("other", "twin"));
	CHECK_EQ(rename("other", "twin"), 0);
	CHECK_EQ(access("other", F_OK), 0);
	CHECK_EQ(access("twin", F_OK), 0);
	CHECK_ERRNO(rename("other", "empty"), EISDIR);
	CHECK_ERRNO(rename("empty", "other"), ENOTDIR);
	CHECK_ERRNO(rename("empty", "full"), ENOTEMPTY);
	CHECK_ERRNO(rename("full", "full/sub/inner"), EINVAL);
	CHECK_ERRNO(rename("other", "missing/other"), ENOENT);
	CHECK_ERRNO(rename("other", "twin/other"), ENOTDIR);
	CHECK_ERRNO(rename("full/.", "x"), EBUSY);
	CHECK_EQ(rename("full", "empty"), 0);
	CHECK_EQ(access("empty/sub", F_OK), 0);
	CHECK_ERRNO(access("full", F_OK), ENOENT);
	CHECK_EQ(rename("empty/sub", "sub"), 0);
	CHECK_EQ(status_of("sub/..").st_ino, status_of(".").st_ino);
	CHECK_EQ(rename("other", "sub/name"), 0);
	MUST(symlink("nowhere", "link"));
	CHECK_EQ(rename("link", "sub/link"), 0);
	CHECK(S_ISLNK(status_of("sub/link").st_mode));
}

TEST(a_directory_that_is_gone_gets_no_names)
{
	int gone;

	enter_scratch();
	write_file("file", "", 0600);
	MUST(mkdir("gone", 0700));
	gone = (int)MUST(open("gone", O_PATH));
	MUST(rmdir("gone"));
	CHECK_ERRNO(renameat(AT_FDCWD, "file", gone, "name"), ENOENT);
	/* That is seen before what is wrong with the file. */
	CHECK_ERRNO(renameat(AT_FDCWD, "file/", gone, "name"), ENOENT);
	CHECK_ERRNO(renameat(AT_FDCWD, "file/", AT_FDCWD, "name"), ENOTDIR);
	CHECK_ERRNO(renameat2(AT_FDCWD, "file/", gone, "name", RENAME_NOREPLACE), ENOENT);
	CHECK_ERRNO(renameat(AT_FDCWD, "missing", gone, "name"), ENOENT);
	CHECK_ERRNO(renameat(gone, "name", AT_FDCWD, "file"), ENOENT);
}

TEST(renaming_with_flags)
{
	ino_t first, second;

	enter_scratch();
	write_file("first", "1", 0644);
	MUST(mkdir("second", 0755));
	first = status_of("first").st_ino;
	second = status_of("second").st_ino;
	CHECK_ERRNO(renameat2(AT_FDCWD, "first", AT_FDCWD, "second", RENAME_NOREPLACE), EEXIST);
	CHECK_EQ(renameat2(AT_FDCWD, "first", AT_FDCWD, "third", RENAME_NOREPLACE), 0);
	CHECK_EQ(renameat2(AT_FDCWD, "third", AT_FDCWD, "second", RENAME_EXCHANGE), 0);
	CHECK_EQ(status_of("second").st_ino, first);
	CHECK_EQ(status_of("third").st_ino, second);
	CHECK(S_ISDIR(status_of("third").st_mode));
	CHECK_ERRNO(renameat2(AT_FDCWD, "third", AT_FDCWD, "missing", RENAME_EXCHANGE), ENOENT);
	CHECK_ERRNO(renameat2(AT_FDCWD, "third", AT_FDCWD, "second", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
	CHECK_ERRNO(renameat2(AT_FDCWD, "third", AT_FDCWD, "second", 0x100), EINVAL);
}

TEST(long_names)
{
	char name[PATH_MAX + 10];
	int directory;

	enter_scratch();
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	CHECK_ERRNO(open(name, O_RDWR | O_CREAT, 0644), ENAMETOOLONG);
	CHECK_ERRNO(mkdir(name, 0755), ENAMETOOLONG);
	CHECK_ERRNO(access(name, F_OK), ENAMETOOLONG);
	name[255] = '\0';
	CHECK_OK(open(name, O_RDWR | O_CREAT, 0644));
	CHECK_EQ(unlink(name), 0);
	memset(name, '/', sizeof(name));
	for (size_t at = 0; at < PATH_MAX - 2; at += 2)
		name[at] = '.';
	name[PATH_MAX - 1] = '\0';
	CHECK_EQ(access(name, F_OK), 0);
	name[PATH_MAX - 1] = '/';
	name[PATH_MAX] = '\0';
	CHECK_ERRNO(access(name, F_OK), ENAMETOOLONG);
	directory = opened(".", O_RDONLY);
	CHECK_ERRNO(openat(directory, name, O_RDONLY), ENAMETOOLONG);
}

TEST(current_directory)
{
	char text[PATH_MAX], want[PATH_MAX];
	const char *scratch = enter_scratch();
	int here;
	pid_t child;

	write_file("file", "", 0644);
	MUST(mkdir("sub", 0755));
	MUST(symlink("sub", "link"));
	CHECK_STRING(getcwd(text, sizeof(text)), scratch);
	CHECK_EQ(syscall(SYS_getcwd, text, sizeof(text)), strlen(scratch) + 1);
	CHECK_ERRNO(syscall(SYS_getcwd, text, strlen(scratch)), ERANGE);
	CHECK(getcwd(text, 2) == NULL && errno == ERANGE);
	here = opened(".", O_RDONLY | O_DIRECTORY);
	CHECK_EQ(chdir("link"), 0);
	snprintf(want, sizeof(want), "%s/sub", scratch);
	CHECK_STRING(getcwd(text, sizeof(text)), want);
	CHECK_EQ(chdir(".."), 0);
	CHECK_STRING(getcwd(text, sizeof(text)), scratch);
	CHECK_EQ(chdir("/"), 0);
	CHECK_STRING(getcwd(text, sizeof(text)), "/");
	CHECK_EQ(chdir("../../.."), 0);
	CHECK_STRING(getcwd(text, sizeof(text)), "/");
	CHECK_EQ(fchdir(here), 0);
	CHECK_STRING(getcwd(text, sizeof(text)), scratch);
	CHECK_ERRNO(chdir("file"), ENOTDIR);
	CHECK_ERRNO(chdir("missing"), ENOENT);
	CHECK_ERRNO(chdir(""), ENOENT);
	CHECK_ERRNO(fchdir(opened("file", O_RDONLY)), ENOTDIR);
	CHECK_ERRNO(fchdir(5000), EBADF);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(chdir("sub"));
		MUST(rmdir("../sub"));
		CHECK_ERRNO(syscall(SYS_getcwd, text, sizeof(text)), ENOENT);
		CHECK_ERRNO(open("new", O_RDWR | O_CREAT, 0644), ENOENT);
		CHECK_ERRNO(mkdir("new", 0755), ENOENT);
		CHECK_EQ(chdir(".."), 0);
		CHECK_STRING(getcwd(text, sizeof(text)), scratch);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(mkdir("renamed", 0755));
	MUST(chdir("renamed"));
	MUST(rename("../renamed", "../again"));
	snprintf(want, sizeof(want), "%s/again", scratch);
	CHECK_STRING(getcwd(text, sizeof(text)), want);
}

TEST(a_place_whose_name_is_longer_than_names_may_be)
{
	static char name[3 * PATH_MAX], got[3 * PATH_MAX];
	char component[32] = "", last[NAME_MAX + 1] = "", link[64];
	size_t length;
	int longest, directory;

	enter_scratch();
	memset(component, 'z', sizeof component - 1);
	MUST(syscall(SYS_getcwd, name, sizeof name));
	for (length = strlen(name); length + sizeof component < PATH_MAX - 40; length += sizeof component) {
		MUST(mkdir(component, 0700));
		MUST(chdir(component));
	}
	/* PATH_MAX counts the NUL. */
	memset(last, 'y', PATH_MAX - 1 - length - 1);
	MUST(mkdir(last, 0700));
	longest = (int)MUST(open(last, O_RDONLY));
	strcat(last, "y");
	MUST(mkdir(last, 0700));
	directory = (int)MUST(open(last, O_RDONLY));

	MUST(fchdir(longest));
	snprintf(link, sizeof link, "/proc/self/fd/%d", longest);
	CHECK_EQ(readlink(link, got, sizeof got), PATH_MAX - 1);
	CHECK_EQ(readlink("/proc/self/cwd", got, 10), 10);
	CHECK_EQ(syscall(SYS_getcwd, got, sizeof got), PATH_MAX);
	CHECK_ERRNO(syscall(SYS_getcwd, got, PATH_MAX - 1), ERANGE);

	MUST(fchdir(directory));
	snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
	CHECK_ERRNO(readlink(link, got, sizeof got), ENAMETOOLONG);
	CHECK_ERRNO(readlink(link, got, 10), ENAMETOOLONG);
	CHECK_ERRNO(readlink("/proc/self/cwd", got, sizeof got), ENAMETOOLONG);
	CHECK_ERRNO(syscall(SYS_getcwd, got, sizeof got), ENAMETOOLONG);
	CHECK_ERRNO(syscall(SYS_getcwd, got, 10), ENAMETOOLONG);
	CHECK_ERRNO(readlink("/proc/self/cwd", got, 0), EINVAL);

	/* Of a directory that's gone the name is followed by " (deleted)", which counts. */
	MUST(fchdir(longest));
	MUST(chdir(".."));
	memset(last, 0, sizeof last);
	memset(last, 'y', PATH_MAX - 1 - length - 1);
	MUST(rmdir(last));
	snprintf(link, sizeof link, "/proc/self/fd/%d", longest);
	CHECK_ERRNO(readlink(link, got, sizeof got), ENAMETOOLONG);
}

TEST(calls_with_a_directory_s_descriptor)
{
	struct stat status;
	char text[10] = "";
	int directory, file;

	enter_scratch();
	MUST(mkdir("sub", 0755));
	write_file("file", "outer", 0644);
	directory = opened("sub", O_RDONLY | O_DIRECTORY);
	file = opened("file", O_RDONLY);
	CHECK_OK(openat(directory, "file", O_RDWR | O_CREAT, 0600));
	CHECK_EQ(access("sub/file", F_OK), 0);
	CHECK_OK(openat(directory, "../file", O_RDONLY));
	CHECK_OK(openat(5000, "/dev/null", O_RDONLY));
	CHECK_OK(openat(AT_FDCWD, "file", O_RDONLY));
	CHECK_ERRNO(openat(5000, "file", O_RDONLY), EBADF);
	CHECK_ERRNO(openat(file, "file", O_RDONLY), ENOTDIR);
	CHECK_EQ(mkdirat(directory, "inner", 0755), 0);
	CHECK_EQ(symlinkat("file", directory, "link"), 0);
	CHECK_EQ(readlinkat(directory, "link", text, sizeof(text)), 4);
	CHECK_EQ(fstatat(directory, "link", &status, 0), 0);
	CHECK(S_ISREG(status.st_mode));
	CHECK_EQ(fstatat(directory, "link", &status, AT_SYMLINK_NOFOLLOW), 0);
	CHECK(S_ISLNK(status.st_mode));
	CHECK_EQ(fstatat(file, "", &status, AT_EMPTY_PATH), 0);
	CHECK_EQ(status.st_size, 5);
	CHECK_ERRNO(fstatat(file, "", &status, 0), ENOENT);
	CHECK_ERRNO(fstatat(directory, "file", &status, 0x10), EINVAL);
	CHECK_EQ(fchmodat(directory, "file", 0400, 0), 0);
	CHECK_EQ(fstatat(directory, "file", &status, 0), 0);
	CHECK_EQ(status.st_mode & 07777, 0400);
	CHECK_EQ(faccessat(directory, "file", R_OK, 0), 0);
	CHECK_EQ(faccessat(directory, "file", X_OK, AT_EACCESS), -1);
	CHECK_ERRNO(faccessat(directory, "missing", F_OK, 0), ENOENT);
	CHECK_EQ(linkat(directory, "file", AT_FDCWD, "linked", 0), 0);
	CHECK_EQ(renameat(directory, "file", AT_FDCWD, "moved"), 0);
	CHECK_EQ(status_of("moved").st_nlink, 2);
	CHECK_ERRNO(unlinkat(directory, "inner", 0), EISDIR);
	CHECK_ERRNO(unlinkat(directory, "link", AT_REMOVEDIR), ENOTDIR);
	CHECK_EQ(unlinkat(directory, "inner", AT_REMOVEDIR), 0);
	CHECK_EQ(unlinkat(directory, "link", 0), 0);
	CHECK_ERRNO(unlinkat(directory, "link", 0x10), EINVAL);
	CHECK_EQ(mkfifoat(directory, "fifo", 0600), 0);
	CHECK_EQ(fstatat(directory, "fifo", &status, 0), 0);
	CHECK(S_ISFIFO(status.st_mode));
}

/* Counts the entries of the current directory, other than the two dots, by their first letter. */
static void count_entries(DIR *stream, int counts[256], int *dots)
{
	struct dirent *entry;

	while ((entry = readdir(stream)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			(*dots)++;
		else
			counts[(unsigned char)entry->d_name[0]]++;
	}
}

TEST(reading_a_directory)
{
	int counts[256] = {0}, dots = 0, types = 0;
	struct dirent *entry;
	char name[8];
	DIR *stream;

	enter_scratch();
	MUST(mkdir("directory", 0755));
	MUST(mkfifo("fifo", 0644));
	MUST(symlink("x", "link"));
	write_file("regular", "", 0644);
	stream = opendir(".");
	CHECK(stream != NULL);
	while ((entry = readdir(stream)) != NULL) {
		struct stat status = status_of(entry->d_name);

		types += entry->d_type == DT_UNKNOWN || IFTODT(status.st_mode) == entry->d_type;
		if (entry->d_name[0] != '.')
			types += 100 * (entry->d_ino == status.st_ino);
	}
	CHECK_EQ(types, 406);
	rewinddir(stream);
	count_entries(stream, counts, &dots);
	CHECK_EQ(dots, 2);
	CHECK_EQ(counts['d'] + counts['f'] + counts['l'] + counts['r'], 4);
	CHECK_EQ(closedir(stream), 0);
	MUST(chdir("directory"));
	for (int at = 0; at < 300; at++) {
		sprintf(name, "%c%d", 'a' + at % 3, at);
		MUST(close(opened(name, O_RDWR | O_CREAT)));
	}
	memset(counts, 0, sizeof(counts));
	stream = opendir(".");
	count_entries(stream, counts, &dots);
	CHECK_EQ(counts['a'], 100);
	CHECK_EQ(counts['b'], 100);
	CHECK_EQ(counts['c'], 100);
	rewinddir(stream);
	for (int at = 0; at < 300; at++) {
		sprintf(name, "%c%d", 'a' + at % 3, at);
		MUST(unlink(name));
	}
	rewinddir(stream);
	memset(counts, 0, sizeof(counts));
	dots = 0;
	count_entries(stream, counts, &dots);
	CHECK_EQ(counts['a'] + counts['b'] + counts['c'], 0);
	CHECK_EQ(dots, 2);
}

TEST(reading_a_directory_by_parts)
{
	char buffer[1024], names[1000] = "", name[8];
	struct dirent *entry;
	long place;
	int fd, calls = 0, entries = 0;
	long got;
	DIR *stream;

	enter_scratch();
	for (int at = 0; at < 50; at++) {
		sprintf(name, "n%02d", at);
		MUST(close(opened(name, O_RDWR | O_CREAT)));
	}
	fd = opened(".", O_RDONLY | O_DIRECTORY);
	while ((got = syscall(SYS_getdents64, fd, buffer, 200)) > 0) {
		calls++;
		for (long at = 0; at < got; at += ((struct dirent64 *)(buffer + at))->d_reclen)
			entries++;
	}
	CHECK_EQ(got, 0);
	CHECK_EQ(entries, 52);
	CHECK(calls > 5);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_ERRNO(syscall(SYS_getdents64, fd, buffer, 4), EINVAL);
	CHECK(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)) > 0);
	CHECK_ERRNO(syscall(SYS_getdents64, opened("n01", O_RDONLY), buffer, sizeof(buffer)), ENOTDIR);
	CHECK_ERRNO(syscall(SYS_getdents64, 5000, buffer, sizeof(buffer)), EBADF);
	stream = opendir(".");
	for (int at = 0; at < 10; at++)
		readdir(stream);
	place = telldir(stream);
	while ((entry = readdir(stream)) != NULL)
		strcat(names, entry->d_name);
	seekdir(stream, place);
	entries = 0;
	while ((entry = readdir(stream)) != NULL) {
		CHECK(strstr(names, entry->d_name) != NULL);
		entries++;
	}
	CHECK_EQ(entries, 42);
	CHECK(opendir("n01") == NULL && errno == ENOTDIR);
	CHECK(opendir("missing") == NULL && errno == ENOENT);
}

TEST(removed_directory_is_empty)
{
	char buffer[512];
	int fd;

	enter_scratch();
	MUST(mkdir("gone", 0755));
	fd = opened("gone", O_RDONLY);
	MUST(rmdir("gone"));
	CHECK_ERRNO(openat(fd, "new", O_RDWR | O_CREAT, 0644), ENOENT);
	CHECK_ERRNO(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), ENOENT);
	CHECK_EQ(fchdir(fd), 0);
}

TEST(making_nodes)
{
	struct stat status;
	pid_t child;

	enter_scratch();
	umask(022);
	CHECK_EQ(mknod("file", S_IFREG | 0666, 0), 0);
	CHECK_EQ(status_of("file").st_mode, S_IFREG | 0644);
	CHECK_EQ(mknod("plain", 0600, 0), 0);
	CHECK(S_ISREG(status_of("plain").st_mode));
	CHECK_ERRNO(mknod("file", S_IFREG | 0666, 0), EEXIST);
	CHECK_EQ(mknod("fifo", S_IFIFO | 0600, 0), 0);
	CHECK_EQ(mknod("socket", S_IFSOCK | 0600, 0), 0);
	CHECK_EQ(stat("socket", &status), 0);
	CHECK(S_ISSOCK(status.st_mode));
	CHECK_ERRNO(open("socket", O_RDONLY), ENXIO);
	CHECK_ERRNO(mknod("directory", S_IFDIR | 0755, 0), EPERM);
	CHECK_ERRNO(mknod("odd", 0130000, 0), EINVAL);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		drop_root();
		CHECK_ERRNO(mknod("device", S_IFCHR | 0666, 0x103), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static int opened_within(int directory, const char *path, uint64_t resolve)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = resolve};

	return (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
}

static int is_same(int fd, const char *path)
{
	struct stat one, other = status_of(path);

	return fd >= 0 && fstat(fd, &one) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

TEST(a_directory_taken_for_the_root)
{
	int directory;

	enter_scratch();
	MUST(mkdir("top", 0755));
	MUST(mkdir("top/inner", 0755));
	write_file("top/file", "", 0644);
	MUST(symlink("/file", "top/inner/absolute"));
	MUST(symlink("../../../file", "top/inner/climbing"));
	directory = opened("top", O_RDONLY | O_DIRECTORY);
	CHECK(is_same(opened_within(directory, "/", RESOLVE_IN_ROOT), "top"));
	CHECK(is_same(opened_within(directory, "/file", RESOLVE_IN_ROOT), "top/file"));
	CHECK(is_same(opened_within(directory, "//inner/..", RESOLVE_IN_ROOT), "top"));
	CHECK(is_same(opened_within(directory, "../..", RESOLVE_IN_ROOT), "top"));
	CHECK(is_same(opened_within(directory, "inner/absolute", RESOLVE_IN_ROOT), "top/file"));
	CHECK(is_same(opened_within(directory, "inner/climbing", RESOLVE_IN_ROOT), "top/file"));
	CHECK(is_same(opened_within(AT_FDCWD, "/top/file", RESOLVE_IN_ROOT), "top/file"));
	CHECK_ERRNO(opened_within(directory, "/top", RESOLVE_IN_ROOT), ENOENT);
	CHECK_ERRNO(opened_within(-1, "/", RESOLVE_IN_ROOT), EBADF);
	CHECK_ERRNO(opened_within(opened("top/file", O_RDONLY), "/", RESOLVE_IN_ROOT), ENOTDIR);
	CHECK_ERRNO(opened_within(directory, "/", RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(opened_within(-1, "/", RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(opened_within(-1, "file", RESOLVE_BENEATH), EBADF);
	CHECK_ERRNO(opened_within(directory, "..", RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(opened_within(directory, "inner/absolute", RESOLVE_BENEATH), EXDEV);
	CHECK_ERRNO(opened_within(directory, "inner/climbing", RESOLVE_BENEATH), EXDEV);
	CHECK(is_same(opened_within(directory, "inner/../file", RESOLVE_BENEATH), "top/file"));
}

TEST(a_name_from_the_root_of_another_mount)
{
	int directory = opened("/proc", O_RDONLY | O_DIRECTORY);

	CHECK(is_same(opened_within(directory, "/", RESOLVE_NO_XDEV), "/"));
	CHECK_ERRNO(opened_within(directory, "/proc", RESOLVE_NO_XDEV), EXDEV);
	CHECK_ERRNO(opened_within(directory, "self/root", RESOLVE_NO_XDEV), EXDEV);
	CHECK(is_same(opened_within(directory, "version", RESOLVE_NO_XDEV), "/proc/version"));
}

TEST(names_longer_than_names_are)
{
	static const char *const made_up[] = {"/proc", "/proc/self", "/proc/self/fd", "/proc/sys", "/sys", "/sys/class"};
	char name[320];
	struct stat status;

	/* What looks into a table of names has none that's so long; what keeps files says so. */
	for (size_t place = 0; place < sizeof(made_up) / sizeof(made_up[0]); place++) {
		snprintf(name, sizeof(name), "%s/%0256d", made_up[place], 0);
		CHECK_ERRNO(stat(name, &status), ENOENT);
	}
	enter_scratch();
	snprintf(name, sizeof(name), "%0256d", 0);
	CHECK_ERRNO(stat(name, &status), ENAMETOOLONG);
	snprintf(name, sizeof(name), "/dev/pts/%0256d", 0);
	CHECK_ERRNO(stat(name, &status), ENAMETOOLONG);
}
