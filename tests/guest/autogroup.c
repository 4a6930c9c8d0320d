/* Autogroups: sched(7), /proc/PID/autogroup. */
#include "check.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#define OWN_GROUP "/proc/self/autogroup"

static long number, nice_value;

/* Reads the group of a process; -1 with errno if it can't be had. */
static int read_group(const char *path)
{
	char text[64] = "";
	int file = open(path, O_RDONLY);

	if (file < 0)
		return -1;
	MUST(read(file, text, sizeof(text) - 1));
	close(file);
	return sscanf(text, "/autogroup-%ld nice %ld\n", &number, &nice_value) == 2 ? 0 : 1;
}

static long store(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);
	long result = file < 0 ? -1 : write(file, text, strlen(text));
	int error = errno;

	if (file >= 0)
		close(file);
	errno = error;
	return result;
}

static void begin_session(void)
{
	pid_t child = MUST(fork());

	if (child) {
		MUST(wait_for(child));
		_exit(0);
	}
	MUST(setsid());
}

TEST(a_session_has_a_group_of_its_own)
{
	char path[64];
	long first;
	pid_t child;

	begin_session();
	CHECK_EQ(read_group(OWN_GROUP), 0);
	CHECK_EQ(nice_value, 0);
	first = number;
	CHECK(first > 0);
	child = MUST(fork());
	if (child == 0) {
		CHECK_EQ(read_group(OWN_GROUP), 0);
		CHECK_EQ(number, first);
		MUST(setpgid(0, 0));
		CHECK_EQ(read_group(OWN_GROUP), 0);
		CHECK_EQ(number, first);
		_exit(0);
	}
	MUST(wait_for(child));
	child = MUST(fork());
	if (child == 0) {
		MUST(setsid());
		CHECK_EQ(read_group(OWN_GROUP), 0);
		CHECK(number > first);
		_exit(0);
	}
	CHECK_EQ(waitid(P_PID, child, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	snprintf(path, sizeof(path), "/proc/%d/autogroup", child);
	CHECK_EQ(read_group(path), 0);
	CHECK(number > first);
	MUST(wait_for(child));
	CHECK_ERRNO(read_group(path), ENOENT);
}

TEST(the_file)
{
	struct stat status;
	char path[64];

	CHECK_EQ(MUST(stat(OWN_GROUP, &status)), 0);
	CHECK_EQ(status.st_mode, S_IFREG | 0644);
	snprintf(path, sizeof(path), "/proc/self/task/%d/autogroup", getpid());
	CHECK_ERRNO(stat(path, &status), ENOENT);
}

TEST(its_nice_value_is_everybodys_in_it)
{
	pid_t child;
	int own = getpriority(PRIO_PROCESS, 0);

	begin_session();
	CHECK_EQ(store(OWN_GROUP, " 7\n"), 3);
	CHECK_EQ(read_group(OWN_GROUP), 0);
	CHECK_EQ(nice_value, 7);
	child = MUST(fork());
	if (child == 0) {
		usleep(150000);
		CHECK_EQ(store(OWN_GROUP, "0x12"), 4);
		_exit(0);
	}
	MUST(wait_for(child));
	CHECK_EQ(read_group(OWN_GROUP), 0);
	CHECK_EQ(nice_value, 18);
	errno = 0;
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), own);
}

TEST(what_is_no_nice_value)
{
	static const char *const texts[] = {"20", "-21", "x", "1 2", " ", "2147483648", "1x"};

	begin_session();
	for (size_t at = 0; at < LENGTH(texts); at++) {
		errno = 0;
		CHECK_EQ(store(OWN_GROUP, texts[at]), -1);
		CHECK_EQ(errno, strcmp(texts[at], "2147483648") ? EINVAL : ERANGE);
	}
	/* Who isn't root may change one ten times a second. */
	usleep(150000);
	CHECK_EQ(store(OWN_GROUP, "19"), 2);
}

TEST(an_ordinary_user)
{
	struct rlimit limit = {0, 0};

	begin_session();
	MUST(setrlimit(RLIMIT_NICE, &limit));
	drop_root();
	/* Else its files are root's. */
	MUST(prctl(PR_SET_DUMPABLE, 1));
	usleep(150000);
	CHECK_ERRNO(store(OWN_GROUP, "-1"), EPERM);
	CHECK_EQ(store(OWN_GROUP, "3"), 1);
	CHECK_ERRNO(store(OWN_GROUP, "4"), EAGAIN);
	CHECK_ERRNO(store(OWN_GROUP, "-1"), EPERM);
	CHECK_ERRNO(store(OWN_GROUP, "77"), EINVAL);
	usleep(150000);
	CHECK_EQ(store(OWN_GROUP, "4"), 1);
	CHECK_EQ(read_group(OWN_GROUP), 0);
	CHECK_EQ(nice_value, 4);
}
