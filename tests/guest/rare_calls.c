/* Calls that few programs make: cachestat, process_mrelease, ustat, sysfs, lsm_list_modules and its kin. */
#include "check.h"

#include <cpuid.h>
#include <sys/eventfd.h>
#include <sys/quota.h>
#include <sys/sysmacros.h>

#define OS_HAS_KEYS 0x10
#define CACHESTAT 451
#define PROCESS_MRELEASE 448
#define LSM_GET_SELF_ATTR 459
#define LSM_SET_SELF_ATTR 460
#define LSM_LIST_MODULES 461

/* An address whose page ends after `length` bytes. */
static void *room_for(size_t length)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(pages == MAP_FAILED ? -1 : 0);
	MUST(munmap(pages + 4096, 4096));
	return pages + 4096 - length;
}

TEST(pages_of_a_file_in_memory)
{
	static char data[3 * 4096];
	uint64_t range[2] = {0, 0}, counts[5] = {9, 9, 9, 9, 9};
	int fd, ends[2];

	enter_scratch();
	fd = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	write_all(fd, data, sizeof(data));
	MUST(fsync(fd));
	CHECK_OK(syscall(CACHESTAT, fd, range, counts, 0));
	CHECK_EQ(counts[0] + counts[3], 3);
	CHECK_EQ(counts[1], 0);
	range[1] = 4097;
	CHECK_OK(syscall(CACHESTAT, fd, range, counts, 0));
	CHECK_EQ(counts[0] + counts[3], 2);
	range[0] = 4096;
	range[1] = 1;
	CHECK_OK(syscall(CACHESTAT, fd, range, counts, 0));
	CHECK_EQ(counts[0] + counts[3], 1);
	range[0] = 1 << 20;
	CHECK_OK(syscall(CACHESTAT, fd, range, counts, 0));
	CHECK_EQ(counts[0] + counts[3], 0);
	CHECK_ERRNO(syscall(CACHESTAT, -1, range, counts, 0), EBADF);
	CHECK_ERRNO(syscall(CACHESTAT, open("file", O_PATH), range, counts, 0), EBADF);
	CHECK_ERRNO(syscall(CACHESTAT, fd, bad_address(), counts, 1), EFAULT);
	CHECK_ERRNO(syscall(CACHESTAT, fd, range, counts, 1), EINVAL);
	CHECK_ERRNO(syscall(CACHESTAT, fd, range, bad_address(), 0), EFAULT);
	MUST(pipe(ends));
	range[0] = 0;
	CHECK_OK(syscall(CACHESTAT, ends[0], range, counts, 0));
	CHECK_EQ(counts[0], 0);
}

TEST(memory_of_the_dying)
{
	pid_t child = child_that_pauses();
	int process = (int)MUST(syscall(SYS_pidfd_open, child, 0)), own = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0));
	long result;

	CHECK_ERRNO(syscall(PROCESS_MRELEASE, own, 0), EINVAL);
	CHECK_ERRNO(syscall(PROCESS_MRELEASE, process, 0), EINVAL);
	CHECK_ERRNO(syscall(PROCESS_MRELEASE, -1, 1), EINVAL);
	CHECK_ERRNO(syscall(PROCESS_MRELEASE, -1, 0), EBADF);
	CHECK_ERRNO(syscall(PROCESS_MRELEASE, eventfd(0, 0), 0), EBADF);
	MUST(kill(child, SIGKILL));
	result = syscall(PROCESS_MRELEASE, process, 0);
	CHECK(result == 0 || errno == ESRCH);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_ERRNO(syscall(PROCESS_MRELEASE, process, 0), ESRCH);
}

TEST(file_systems_by_device)
{
	struct stat status;
	char *buffer = room_for(32);

	memset(buffer, 7, 32);
	MUST(stat("/proc", &status));
	CHECK_OK(syscall(SYS_ustat, (unsigned int)status.st_dev, buffer));
	CHECK_EQ(buffer[20], 0);
	MUST(stat("/", &status));
	CHECK_OK(syscall(SYS_ustat, (unsigned int)status.st_dev, buffer));
	CHECK(*(int *)buffer > 0);
	CHECK_ERRNO(syscall(SYS_ustat, (unsigned int)status.st_dev, buffer + 1), EFAULT);
	CHECK_ERRNO(syscall(SYS_ustat, 0, bad_address()), EINVAL);
	CHECK_ERRNO(syscall(SYS_ustat, (unsigned int)makedev(200, 77), buffer), EINVAL);
}

TEST(kinds_of_file_system)
{
	char name[64];
	long count = CHECK_OK(syscall(SYS_sysfs, 3)), at = CHECK_OK(syscall(SYS_sysfs, 1, "proc"));

	CHECK(at < count);
	CHECK_OK(syscall(SYS_sysfs, 2, at, name));
	CHECK_STRING(name, "proc");
	CHECK_ERRNO(syscall(SYS_sysfs, 2, count, name), EINVAL);
	CHECK_ERRNO(syscall(SYS_sysfs, 2, at, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_sysfs, 1, "no such"), EINVAL);
	CHECK_ERRNO(syscall(SYS_sysfs, 1, ""), ENOENT);
	CHECK_ERRNO(syscall(SYS_sysfs, 1, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_sysfs, 4), EINVAL);
}

TEST(security_modules)
{
	uint64_t ids[16] = {0};
	uint32_t size = sizeof(ids), needed;
	long count = CHECK_OK(syscall(LSM_LIST_MODULES, ids, &size, 0));

	CHECK_EQ(size, count * 8);
	CHECK(ids[0] == 100 || ids[1] == 100);
	needed = size--;
	CHECK_ERRNO(syscall(LSM_LIST_MODULES, ids, &size, 0), E2BIG);
	CHECK_EQ(size, needed);
	CHECK_ERRNO(syscall(LSM_LIST_MODULES, ids, &size, 1), EINVAL);
	CHECK_ERRNO(syscall(LSM_LIST_MODULES, bad_address(), &size, 0), EFAULT);
	CHECK_ERRNO(syscall(LSM_LIST_MODULES, ids, NULL, 0), EFAULT);
}

TEST(attributes_of_security_modules)
{
	uint64_t context[8] = {0};
	uint32_t size = sizeof(context);

	CHECK_ERRNO(syscall(LSM_GET_SELF_ATTR, 0, context, &size, 0), EINVAL);
	CHECK_ERRNO(syscall(LSM_GET_SELF_ATTR, 100, context, NULL, 0), EINVAL);
	CHECK_ERRNO(syscall(LSM_GET_SELF_ATTR, 100, context, bad_address(), 0), EFAULT);
	CHECK_ERRNO(syscall(LSM_GET_SELF_ATTR, 100, context, &size, 2), EINVAL);
	CHECK_ERRNO(syscall(LSM_GET_SELF_ATTR, 100, NULL, &size, 1), EINVAL);
	CHECK_ERRNO(syscall(LSM_GET_SELF_ATTR, 100, context, &size, 1), EINVAL);
	CHECK_ERRNO(syscall(LSM_GET_SELF_ATTR, 999, context, &size, 0), EOPNOTSUPP);
	CHECK_EQ(size, 0);
	CHECK_ERRNO(syscall(LSM_SET_SELF_ATTR, 100, context, sizeof(context), 1), EINVAL);
	CHECK_ERRNO(syscall(LSM_SET_SELF_ATTR, 100, context, 31, 0), EINVAL);
	CHECK_ERRNO(syscall(LSM_SET_SELF_ATTR, 100, context, 4097, 0), E2BIG);
	CHECK_ERRNO(syscall(LSM_SET_SELF_ATTR, 100, bad_address(), 64, 0), EFAULT);
	CHECK_ERRNO(syscall(LSM_SET_SELF_ATTR, 100, context, sizeof(context), 0), EINVAL);
	context[2] = 32;
	CHECK_ERRNO(syscall(LSM_SET_SELF_ATTR, 100, context, sizeof(context), 0), EOPNOTSUPP);
}

/* What is wrong with the rest comes before what is wrong with the descriptor, or the key. */
TEST(the_order_of_refusals)
{
	struct timespec never = {0, -1};
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK_ERRNO(syscall(SYS_recvmmsg, -1, NULL, 0, 0, &never), EINVAL);
	CHECK_ERRNO(syscall(SYS_recvmmsg, -1, NULL, 0, 0, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_recvmmsg, -1, NULL, 0, 0, NULL), EBADF);
	CHECK_ERRNO(syscall(SYS_pkey_mprotect, -4096L, 8192, PROT_READ, 99), ENOMEM);
	CHECK_EQ(syscall(SYS_pkey_mprotect, page, 0, PROT_READ, 99), 0);
	CHECK_ERRNO(syscall(SYS_pkey_mprotect, page, 4096, PROT_READ, 99), EINVAL);
	CHECK_EQ(syscall(SYS_pkey_mprotect, page, 4096, PROT_READ, -1), 0);
}

/* Whether a call was refused so; on a processor with protection keys that says nothing. */
static int is_without_keys(long result, int refusal)
{
	int error = errno;
	unsigned int a, b, c = 0, d;

	__get_cpuid_count(7, 0, &a, &b, &c, &d);
	return (c & OS_HAS_KEYS) || (result == -1 && error == refusal);
}

/* The only key is taken by the first who asks, of no use, and not to be had again. */
TEST(keys_of_a_processor_without)
{
	pid_t child;

	CHECK(is_without_keys(syscall(SYS_pkey_free, 0), EINVAL));
	CHECK(is_without_keys(syscall(SYS_pkey_alloc, 1, 0), EINVAL));
	CHECK(is_without_keys(syscall(SYS_pkey_alloc, 0, 4), EINVAL));
	CHECK(is_without_keys(syscall(SYS_pkey_alloc, 0, 1L << 32), EINVAL));
	CHECK(is_without_keys(syscall(SYS_pkey_alloc, 0, 3), EINVAL));
	CHECK(is_without_keys(syscall(SYS_pkey_alloc, 0, 0), ENOSPC));
	CHECK(is_without_keys(syscall(SYS_pkey_alloc, 1, 0), EINVAL));
	CHECK(is_without_keys(syscall(SYS_pkey_free, 0), EINVAL));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK(is_without_keys(syscall(SYS_pkey_alloc, 0, 0), ENOSPC));
		_exit(0);
	}
	MUST(waitpid(child, NULL, 0));
}

static long quota(unsigned command, unsigned kind, const char *special)
{
	char data[256];

	return syscall(SYS_quotactl, command << 8 | kind, special, 0, data);
}

static long quota_of(int fd, unsigned command, unsigned kind)
{
	char data[256];

	return syscall(SYS_quotactl_fd, fd, command << 8 | kind, 0, data);
}

TEST(quotas_of_a_device)
{
	enter_scratch();
	MUST(open("file", O_RDWR | O_CREAT, 0600));
	CHECK_EQ(quota(Q_SYNC, 0, NULL), 0);
	CHECK_ERRNO(quota(Q_SYNC, 3, NULL), EINVAL);
	CHECK_ERRNO(quota(Q_GETINFO, 0, NULL), ENODEV);
	CHECK_ERRNO(quota(Q_GETINFO, 255, "file"), EINVAL);
	CHECK_ERRNO(quota(Q_GETINFO, 0, "absent"), ENOENT);
	CHECK_ERRNO(quota(Q_SYNC, 0, "absent"), ENOENT);
	CHECK_ERRNO(quota(Q_GETINFO, 0, ""), ENOENT);
	CHECK_ERRNO(quota(Q_GETINFO, 0, bad_address()), EFAULT);
	CHECK_ERRNO(quota(Q_GETQUOTA, 0, "."), ENOTBLK);
	CHECK_ERRNO(quota(1, 0, "file"), ENOTBLK);
	CHECK_ERRNO(quota(Q_GETQUOTA, 2, "/dev/null"), ENOTBLK);
	CHECK_ERRNO(syscall(SYS_quotactl, QCMD(Q_QUOTAON, 0), "file", 0, bad_address()), ENOTBLK);
}

TEST(quotas_of_an_open_file)
{
	int fd;

	enter_scratch();
	fd = (int)MUST(open(".", O_PATH));
	CHECK_ERRNO(quota_of(-1, Q_GETINFO, 0), EBADF);
	CHECK_ERRNO(quota_of(-1, Q_GETINFO, 3), EBADF);
	CHECK_ERRNO(quota_of(fd, Q_GETINFO, 3), EINVAL);
	fd = (int)MUST(open("/proc/self", O_RDONLY));
	CHECK_ERRNO(quota_of(fd, Q_GETINFO, 0), ENOSYS);
	CHECK_ERRNO(quota_of(fd, 1, 0), ENOSYS);
	CHECK_ERRNO(quota_of(fd, Q_QUOTAON, 0), ENOSYS);
	CHECK_ERRNO(quota_of(fd, Q_SETQUOTA, 2), ENOSYS);
}
