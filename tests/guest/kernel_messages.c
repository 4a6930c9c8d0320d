/* Messages in the kernel's log: syslog(2), /dev/kmsg. Who may not use it asserts nothing of what it holds. */
#include "check.h"

#include <poll.h>
#include <sys/klog.h>

#define ACTION_READ_ALL 3
#define ACTION_CLEAR 5
#define ACTION_LEVEL 8
#define ACTION_UNREAD 9
#define ACTION_SIZE 10

static char text[1 << 18];

static int may_use_the_log(void)
{
	return klogctl(ACTION_UNREAD, NULL, 0) != -1 && access("/dev/kmsg", R_OK | W_OK) == 0;
}

/* Reads records until one holds `wanted`, and gives it. */
static char *record_with(int log, const char *wanted)
{
	static char record[8192];
	ssize_t length;

	for (;;) {
		length = read(log, record, sizeof record - 1);
		if (length == -1 && errno == EPIPE)
			continue;
		if (length <= 0)
			return NULL;
		record[length] = '\0';
		if (strstr(record, wanted) != NULL)
			return record;
	}
}

TEST(actions)
{
	if (!may_use_the_log())
		return;
	CHECK(klogctl(ACTION_SIZE, NULL, 0) > 0);
	CHECK(klogctl(ACTION_UNREAD, NULL, 0) >= 0);
	CHECK_ERRNO(klogctl(ACTION_READ_ALL, text, -1), EINVAL);
	CHECK_ERRNO(klogctl(ACTION_READ_ALL, NULL, 10), EINVAL);
	CHECK_EQ(klogctl(ACTION_READ_ALL, text, 0), 0);
	CHECK_ERRNO(klogctl(100, NULL, 0), EINVAL);
	CHECK_ERRNO(klogctl(-1, NULL, 0), EINVAL);
	CHECK_ERRNO(klogctl(ACTION_LEVEL, NULL, 0), EINVAL);
	CHECK_ERRNO(klogctl(ACTION_LEVEL, NULL, 9), EINVAL);
	CHECK_EQ(klogctl(0, NULL, 0), 0);
	CHECK_EQ(klogctl(1, NULL, 0), 0);
}

TEST(messages_of_programs)
{
	int log;
	char *record, wanted[64], message[80];
	struct pollfd polled;

	if (!may_use_the_log())
		return;
	log = (int)MUST(open("/dev/kmsg", O_RDWR | O_NONBLOCK));
	CHECK_EQ(lseek(log, 0, SEEK_END), 0);
	snprintf(wanted, sizeof wanted, "check %d says", getpid());
	snprintf(message, sizeof message, "<3>%s hello\\\n", wanted);
	CHECK_EQ(write(log, message, strlen(message)), (long)strlen(message));
	polled = (struct pollfd){log, POLLIN, 0};
	CHECK_EQ(poll(&polled, 1, 0), 1);
	record = record_with(log, wanted);
	CHECK(record != NULL);
	/* As a program's, whatever it says; on a line of its own. */
	CHECK_EQ(strncmp(record, "11,", 3), 0);
	CHECK(strstr(record, "hello\\x5c\n") != NULL);
	CHECK(klogctl(ACTION_READ_ALL, text, sizeof text - 1) > 0);
	CHECK(strstr(text, wanted) != NULL);
	CHECK_OK(klogctl(ACTION_CLEAR, NULL, 0));
	memset(text, 0, sizeof text);
	CHECK(klogctl(ACTION_READ_ALL, text, sizeof text - 1) >= 0);
	CHECK(strstr(text, wanted) == NULL);
	/* Who reads records finds what was cleared. */
	CHECK_EQ(lseek(log, 0, SEEK_SET), 0);
	CHECK(record_with(log, wanted) != NULL);
	CHECK_EQ(lseek(log, 0, SEEK_DATA), 0);
	CHECK(record_with(log, wanted) == NULL);
	CHECK_ERRNO(lseek(log, 1, SEEK_SET), ESPIPE);
	CHECK_ERRNO(lseek(log, 0, SEEK_CUR), EINVAL);
	memset(text, 'x', 2000);
	CHECK_ERRNO(write(log, text, 2000), EINVAL);
	CHECK_EQ(lseek(log, 0, SEEK_SET), 0);
	CHECK_ERRNO(read(log, text, 3), EINVAL);
}

static int look_without_rights(void)
{
	if (geteuid() == 0)
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(klogctl(ACTION_UNREAD, NULL, 0), EPERM);
	CHECK_ERRNO(klogctl(ACTION_CLEAR, NULL, 0), EPERM);
	CHECK_ERRNO(klogctl(ACTION_LEVEL, NULL, 7), EPERM);
	CHECK_ERRNO(open("/dev/kmsg", O_WRONLY), EACCES);
	return 0;
}

TEST(without_rights)
{
	pid_t child;

	if (!may_use_the_log())
		return;
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(look_without_rights());
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* Of one open file ten messages are taken in five seconds, and who closes it hears how many weren't. */
TEST(too_many_messages)
{
	char rule[16] = "", wanted[64], message[80];
	int fd, log, found = 0;

	if (!may_use_the_log())
		return;
	fd = (int)MUST(open("/proc/sys/kernel/printk_devkmsg", O_RDONLY));
	CHECK(read(fd, rule, sizeof rule) > 0);
	close(fd);
	if (strcmp(rule, "ratelimit\n") != 0)
		return;
	log = (int)MUST(open("/dev/kmsg", O_RDONLY | O_NONBLOCK));
	MUST(lseek(log, 0, SEEK_END));
	fd = (int)MUST(open("/dev/kmsg", O_WRONLY));
	for (int count = 0; count < 13; count++) {
		snprintf(message, sizeof message, "many %d", getpid());
		CHECK_EQ(write(fd, message, strlen(message)), (long)strlen(message));
	}
	close(fd);
	snprintf(wanted, sizeof wanted, "many %d", getpid());
	while (record_with(log, wanted) != NULL)
		found++;
	CHECK_EQ(found, 10);
	MUST(lseek(log, 0, SEEK_SET));
	CHECK(record_with(log, ": 3 output lines suppressed due to ratelimiting\n") != NULL);
}
