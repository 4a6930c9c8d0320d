/* The kernel's log: syslog(2) and /proc/kmsg, what of them doesn't depend on what was logged. */
#include "check.h"

#include <poll.h>

enum { CLOSE, OPEN, READ, READ_ALL, READ_CLEAR, CLEAR, OFF, ON, LEVEL, UNREAD, SIZE };

static char buffer[4096];

static long klog(int action, void *place, int length)
{
	return syscall(SYS_syslog, action, place, length);
}

TEST(actions)
{
	CHECK_EQ(klog(CLOSE, NULL, 0), 0);
	CHECK_EQ(klog(OPEN, NULL, 0), 0);
	CHECK_ERRNO(klog(READ, NULL, 10), EINVAL);
	CHECK_ERRNO(klog(READ, buffer, -1), EINVAL);
	CHECK_EQ(klog(READ, buffer, 0), 0);
	CHECK_ERRNO(klog(READ_ALL, NULL, 10), EINVAL);
	CHECK_ERRNO(klog(READ_ALL, buffer, -1), EINVAL);
	CHECK_EQ(klog(READ_ALL, buffer, 0), 0);
	CHECK_OK(klog(READ_ALL, buffer, sizeof(buffer)));
	CHECK_ERRNO(klog(LEVEL, NULL, 0), EINVAL);
	CHECK_ERRNO(klog(LEVEL, NULL, 9), EINVAL);
	CHECK_OK(klog(UNREAD, NULL, 0));
	CHECK(klog(SIZE, NULL, 0) >= 4096);
	CHECK_ERRNO(klog(SIZE + 1, NULL, 0), EINVAL);
	CHECK_ERRNO(klog(-1, NULL, 0), EINVAL);
}

TEST(the_file)
{
	struct stat status;
	int fd = (int)CHECK_OK(open("/proc/kmsg", O_RDWR | O_NONBLOCK));

	CHECK_OK(fstat(fd, &status));
	CHECK_EQ(status.st_mode, S_IFREG | 0400);
	CHECK_ERRNO(write(fd, "x", 1), EIO);
}

TEST(without_rights)
{
	int fd = (int)MUST(open("/proc/kmsg", O_RDONLY | O_NONBLOCK));

	drop_root();
	CHECK_ERRNO(open("/proc/kmsg", O_RDONLY), EACCES);
	CHECK_ERRNO(klog(CLEAR, NULL, 0), EPERM);
	CHECK_ERRNO(klog(LEVEL, NULL, 4), EPERM);
	CHECK_ERRNO(klog(READ, buffer, sizeof(buffer)), EPERM);
	MUST(close(fd));
}
