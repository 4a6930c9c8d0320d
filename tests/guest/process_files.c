/* Who owns the files of /proc/PID, and who may read and write them: proc_pid(5). */
#include "check.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static char text[4096];

/* The beginning of a file, or minus the errno of opening or reading it. */
static int read_some(const char *name)
{
	int file = open(name, O_RDONLY), length, why;

	if (file < 0)
		return -errno;
	length = (int)read(file, text, sizeof text - 1);
	why = errno;
	close(file);
	if (length < 0)
		return -why;
	text[length] = '\0';
	return length;
}

static void become_nobody(void)
{
	MUST(setgid(NOBODY));
	MUST(setuid(NOBODY));
}

static int owner_of(const char *name)
{
	struct stat status;

	MUST(lstat(name, &status));
	return (int)status.st_uid;
}

static int is_deleted(int file)
{
	char link[40], target[200] = "";

	snprintf(link, sizeof link, "/proc/self/fd/%d", file);
	MUST(readlink(link, target, sizeof target - 1));
	return strstr(target, " (deleted)") != NULL;
}

static mode_t mode_of_open(int file)
{
	struct stat status;

	MUST(fstat(file, &status));
	return status.st_mode & 07777;
}

TEST(names_mean_the_same_file_until_what_they_stand_for_is_gone)
{
	static const char *const names[] = {"/proc/self/fd/0", "/proc/self/fdinfo/0", "/proc/self/ns/net",
					    "/proc/self/exe"};
	char *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, (int)MUST(open("/proc/self/exe", O_RDONLY)), 0);
	char name[60];
	struct stat status;
	int link, file;

	for (size_t at = 0; at < LENGTH(names); at++) {
		link = (int)MUST(open(names[at], O_PATH | O_NOFOLLOW));
		MUST(lstat(names[at], &status));
		CHECK_EQ(is_deleted(link), 0);
	}
	snprintf(name, sizeof name, "/proc/self/map_files/%lx-%lx", (long)memory, (long)memory + 4096);
	link = (int)MUST(open(name, O_PATH | O_NOFOLLOW));
	MUST(lstat(name, &status));
	CHECK_EQ(is_deleted(link), 0);
	MUST(munmap(memory, 4096));
	CHECK_EQ(is_deleted(link), 0);
	CHECK_ERRNO(lstat(name, &status), ENOENT);
	CHECK_EQ(is_deleted(link), 1);
	file = (int)MUST(open("/dev/null", O_RDONLY));
	snprintf(name, sizeof name, "/proc/self/fd/%d", file);
	link = (int)MUST(open(name, O_PATH | O_NOFOLLOW));
	CHECK_EQ(mode_of_open(link), 0500);
	MUST(dup2((int)MUST(open("/dev/null", O_RDWR)), file));
	/* Who looks at the name again brings it up to date. */
	CHECK_EQ(mode_of_open(link), 0500);
	MUST(lstat(name, &status));
	CHECK_EQ(mode_of_open(link), 0700);
	close(file);
	CHECK_EQ(is_deleted(link), 0);
	CHECK_ERRNO(lstat(name, &status), ENOENT);
	CHECK_EQ(is_deleted(link), 1);
	MUST(dup2(0, file));
	MUST(lstat(name, &status));
	CHECK_EQ(is_deleted(link), 1);
}

TEST(a_name_with_a_line_break)
{
	MUST(prctl(PR_SET_NAME, "a\nb\\c"));
	CHECK(read_some("/proc/self/stat") > 0);
	CHECK(strstr(text, "(a\nb\\c) R ") != NULL);
	CHECK(read_some("/proc/self/status") > 0);
	CHECK_EQ(strncmp(text, "Name:\ta\\nb\\\\c\n", 14), 0);
	CHECK(read_some("/proc/self/comm") > 0);
	CHECK_EQ(strcmp(text, "a\nb\\c\n"), 0);
}

ROOTS_TEST(files_of_who_has_another_identity)
{
	char name[64];

	become_nobody();
	CHECK_EQ(owner_of("/proc/self/attr"), NOBODY);
	CHECK_EQ(owner_of("/proc/self/attr/current"), 0);
	CHECK_EQ(owner_of("/proc/self/attr/prev"), 0);
	CHECK_EQ(owner_of("/proc/self/comm"), 0);
	CHECK_ERRNO(open("/proc/self/comm", O_WRONLY), EACCES);
	/* Threads name each other, whoever they are. */
	snprintf(name, sizeof name, "/proc/self/task/%d/comm", getpid());
	CHECK_EQ(owner_of(name), 0);
	CHECK_EQ(close(MUST(open(name, O_RDWR))), 0);
	CHECK_EQ(close(MUST(open("/proc/thread-self/comm", O_WRONLY))), 0);
	CHECK_ERRNO(access("/proc/thread-self/comm", X_OK), EACCES);
	MUST(prctl(PR_SET_DUMPABLE, 1));
	CHECK_EQ(owner_of("/proc/self/attr/current"), NOBODY);
	CHECK_EQ(owner_of("/proc/self/fd/0"), NOBODY);
}

ROOTS_TEST(timers_of_others)
{
	char name[64];
	pid_t pid = child_that_pauses();

	snprintf(name, sizeof name, "/proc/%d/timerslack_ns", pid);
	CHECK(read_some(name) > 0);
	become_nobody();
	MUST(prctl(PR_SET_DUMPABLE, 1));
	CHECK(read_some("/proc/self/timerslack_ns") > 0);
	CHECK_EQ(read_some(name), -EPERM);
	snprintf(name, sizeof name, "/proc/%d/timers", pid);
	CHECK_EQ(read_some(name), -EACCES);
	CHECK_EQ(read_some("/proc/self/timers"), 0);
}

TEST(no_name_is_given)
{
	CHECK_ERRNO(rename("/proc/self/fd/0", "/proc/self/fd/x"), ENOENT);
	CHECK_ERRNO(rename("/proc/self/comm", "/proc/self/none"), ENOENT);
	CHECK_ERRNO(rename("/proc/self/comm/", "/proc/self/none"), ENOENT);
	CHECK_ERRNO(rename("/proc/self/comm", "/proc/self/stat"), EPERM);
	CHECK_ERRNO(rename("/proc/self/comm", "none"), EXDEV);
}

TEST(the_size_of_lists_of_descriptors)
{
	struct stat status;

	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_END, .l_len = -1};
	long before;
	int directory = (int)MUST(open("/proc/self/fd", O_RDONLY | O_DIRECTORY));

	MUST(fstat(directory, &status));
	before = (long)status.st_size;
	CHECK(before > 2);
	MUST(dup(directory));
	MUST(fstat(directory, &status));
	CHECK_EQ(status.st_size, before + 1);
	/* Nothing comes before the end that locks know. */
	CHECK_ERRNO(fcntl(directory, F_SETLK, &lock), EINVAL);
	MUST(stat("/proc/self/fdinfo", &status));
	CHECK_EQ(status.st_size, 0);
}

TEST(what_is_read_a_buffer_at_a_time_is_not_spliced)
{
	static const char *const names[] = { "/proc/self/uid_map", "/proc/self/setgroups", "/proc/self/fdinfo/0" };
	int pipes[2];

	MUST(pipe(pipes));
	for (size_t i = 0; i < LENGTH(names); i++) {
		int file = (int)MUST(open(names[i], O_RDONLY));

		CHECK_ERRNO(splice(file, NULL, pipes[1], NULL, 8, 0), EINVAL);
		CHECK(read(file, text, sizeof text) > 0);
		MUST(close(file));
	}
}

static int opened_of(pid_t process, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", process, name);
	return open(path, O_RDONLY);
}

/* What a process does is told to who may attach to it when it's read, whoever has opened the file. */
TEST(what_is_asked_when_it_is_read)
{
	static const char *const names[] = {"syscall", "personality", "stack"};
	pid_t child = child_that_pauses();
	int files[LENGTH(names)];

	sleep_ms(20);
	for (size_t at = 0; at < LENGTH(names); at++) {
		files[at] = (int)MUST(opened_of(child, names[at]));
		CHECK(read(files[at], text, sizeof text) > 0);
		MUST(close(files[at]));
		files[at] = (int)MUST(opened_of(child, names[at]));
	}
	become_nobody();
	for (size_t at = 0; at < LENGTH(names); at++) {
		CHECK_ERRNO(read(files[at], text, sizeof text), EPERM);
		CHECK_ERRNO(opened_of(child, names[at]), EACCES);
	}
}

/* Who has no memory any more has none to hide. */
TEST(memory_of_a_zombie)
{
	static const char *const names[] = {"maps", "smaps", "numa_maps"};
	pid_t child = child_that_pauses(), zombie = child_that_exits(0);

	await_zombie(zombie);
	become_nobody();
	for (size_t at = 0; at < LENGTH(names); at++) {
		CHECK_ERRNO(opened_of(child, names[at]), EACCES);
		CHECK_EQ(read((int)CHECK_OK(opened_of(zombie, names[at])), text, sizeof text), 0);
	}
	CHECK_ERRNO(opened_of(child, "smaps_rollup"), EACCES);
	CHECK_ERRNO(opened_of(zombie, "smaps_rollup"), ESRCH);
	CHECK_ERRNO(opened_of(zombie, "timers"), EACCES);
}
