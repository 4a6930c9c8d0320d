/* Calls, flags and options that Linux has got since 6.13. */
#include "check.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define CALL_SETXATTRAT 463
#define CALL_GETXATTRAT 464
#define CALL_LISTXATTRAT 465
#define CALL_REMOVEXATTRAT 466
#define CALL_FILE_GETATTR 468
#define CALL_FILE_SETATTR 469
#define QUIETLY 0x100
#define ONLY_THIS_THREAD (-10000)
#define THIS_PROCESS (-10001)
#define PASS_RIGHTS 83
#define TELL_LEFT 84
#define NO_FOLLOW AT_SYMLINK_NOFOLLOW
#define EMPTY AT_EMPTY_PATH

struct arguments {
	uint64_t value;
	uint32_t size;
	uint32_t flags;
};

struct attributes {
	uint64_t flags;
	uint32_t extent_size;
	uint32_t extent_count;
	uint32_t project;
	uint32_t copied_extent_size;
};

/* An empty directory of a tmpfs, which has attributes of every kind. */
static int enter_memory(void)
{
	char name[] = "/dev/shm/check-XXXXXX";
	int fd;

	MUST(mkdtemp(name) == NULL ? -1 : 0);
	fd = (int)MUST(open(name, O_RDONLY | O_DIRECTORY));
	MUST(fchdir(fd));
	write_file("file", "text", 0644);
	MUST(symlink("file", "link"));
	return fd;
}

static void leave_memory(void)
{
	char path[64];

	MUST(getcwd(path, sizeof(path)) == NULL ? -1 : 0);
	MUST(unlink("file"));
	MUST(unlink("link"));
	MUST(rmdir(path));
}

TEST(attributes_of_a_directory_and_a_name)
{
	int place = enter_memory(), file = (int)MUST(open("file", O_RDWR)), only_place = (int)MUST(open("file", O_PATH));
	char buffer[64] = {0}, long_one[64] = {0};
	struct arguments told = {(uint64_t)(uintptr_t)"value", 5, 0}, wanted = {(uint64_t)(uintptr_t)buffer, 64, 0};

	CHECK_EQ(syscall(CALL_SETXATTRAT, place, "file", 0, "user.one", &told, sizeof(told)), 0);
	CHECK_EQ(syscall(CALL_GETXATTRAT, place, "link", 0, "user.one", &wanted, sizeof(wanted)), 5);
	CHECK_STRING(buffer, "value");
	CHECK_EQ(syscall(CALL_LISTXATTRAT, place, "file", 0, buffer, sizeof(buffer)), 9);
	CHECK_STRING(buffer, "user.one");
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, place, "link", NO_FOLLOW, "user.one", &wanted, sizeof(wanted)), ENODATA);
	CHECK_ERRNO(syscall(CALL_SETXATTRAT, place, "link", NO_FOLLOW, "user.one", &told, sizeof(told)), EPERM);
	told.flags = XATTR_CREATE;
	CHECK_ERRNO(syscall(CALL_SETXATTRAT, file, "", EMPTY, "user.one", &told, sizeof(told)), EEXIST);
	told.flags = XATTR_REPLACE;
	CHECK_EQ(syscall(CALL_SETXATTRAT, file, "", EMPTY, "user.one", &told, sizeof(told)), 0);
	CHECK_EQ(syscall(CALL_GETXATTRAT, file, NULL, EMPTY, "user.one", &wanted, sizeof(wanted)), 5);
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, only_place, "", EMPTY, "user.one", &wanted, sizeof(wanted)), EBADF);
	CHECK_EQ(syscall(CALL_REMOVEXATTRAT, file, "", EMPTY, "user.one"), 0);
	CHECK_ERRNO(syscall(CALL_REMOVEXATTRAT, place, "file", 0, "user.one"), ENODATA);
	CHECK_ERRNO(syscall(CALL_LISTXATTRAT, AT_FDCWD, "", EMPTY, NULL, 0), EBADF);
	CHECK_ERRNO(syscall(CALL_REMOVEXATTRAT, AT_FDCWD, "", EMPTY, "user.one"), EBADF);
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, AT_FDCWD, "", EMPTY, "user.one", &wanted, sizeof(wanted)), ENODATA);
	CHECK_ERRNO(syscall(CALL_LISTXATTRAT, AT_FDCWD, "", 0, NULL, 0), ENOENT);
	CHECK_ERRNO(syscall(CALL_LISTXATTRAT, AT_FDCWD, NULL, 0, NULL, 0), EFAULT);
	/* What is wrong with the arguments. */
	told.flags = 4;
	CHECK_ERRNO(syscall(CALL_SETXATTRAT, place, "file", 0, "user.one", &told, sizeof(told)), EINVAL);
	wanted.flags = XATTR_CREATE;
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, place, "file", 0, "user.one", &wanted, sizeof(wanted)), EINVAL);
	wanted.flags = 0;
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, place, "file", 1, "user.one", &wanted, sizeof(wanted)), EINVAL);
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, place, "file", 0, "user.one", &wanted, sizeof(wanted) - 1), EINVAL);
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, place, "file", 0, "user.one", &wanted, 4097), E2BIG);
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, place, "file", 0, "user.one", bad_address(), sizeof(wanted)), EFAULT);
	memcpy(long_one, &wanted, sizeof(wanted));
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, place, "file", 0, "user.one", long_one, 64), ENODATA);
	long_one[63] = 1;
	CHECK_ERRNO(syscall(CALL_GETXATTRAT, place, "file", 0, "user.one", long_one, 64), E2BIG);
	CHECK_ERRNO(syscall(CALL_LISTXATTRAT, place, "file", 1, NULL, 0), EINVAL);
	CHECK_ERRNO(syscall(CALL_REMOVEXATTRAT, place, "file", 1, "user.one"), EINVAL);
	leave_memory();
}

TEST(what_chattr_sets_of_a_name)
{
	int place = enter_memory(), flags = 0, file = (int)MUST(open("file", O_RDWR)), pipes[2];
	struct attributes told = {~0ULL, 1, 1, 1, 1};
	uint64_t more[8];
	uint32_t extended[7] = {1, 1, 1, 1, 1, 1, 1};

	CHECK_EQ(syscall(CALL_FILE_GETATTR, place, "file", &told, sizeof(told), 0), 0);
	CHECK_EQ(told.flags, 0);
	CHECK_EQ(told.extent_size + told.extent_count + told.project + told.copied_extent_size, 0);
	told.flags = 0x80;
	CHECK_EQ(syscall(CALL_FILE_SETATTR, place, "file", &told, sizeof(told), 0), 0);
	CHECK_EQ(ioctl(file, _IOR('f', 1, long), &flags), 0);
	CHECK_EQ(flags, 0x40);
	CHECK_EQ(ioctl(file, _IOC(_IOC_READ, 'X', 31, 28), extended), 0);
	CHECK_EQ(extended[0], 0x80);
	CHECK_EQ(extended[1], 0);
	extended[0] = 0x40;
	CHECK_EQ(ioctl(file, _IOC(_IOC_WRITE, 'X', 32, 28), extended), 0);
	CHECK_EQ(syscall(CALL_FILE_GETATTR, file, "", &told, sizeof(told), EMPTY), 0);
	CHECK_EQ(told.flags, 0x40);
	memset(more, 0xff, sizeof(more));
	CHECK_EQ(syscall(CALL_FILE_GETATTR, place, "link", more, sizeof(more), 0), 0);
	CHECK(more[0] == 0x40 && more[3] == 0 && more[7] == 0);
	CHECK_ERRNO(syscall(CALL_FILE_GETATTR, place, "file", &told, sizeof(told) - 1, 0), EINVAL);
	CHECK_ERRNO(syscall(CALL_FILE_GETATTR, place, "file", &told, 4097, 0), E2BIG);
	CHECK_ERRNO(syscall(CALL_FILE_GETATTR, place, "file", &told, sizeof(told), 1), EINVAL);
	CHECK_ERRNO(syscall(CALL_FILE_GETATTR, place, "nothing", &told, sizeof(told), 0), ENOENT);
	CHECK_ERRNO(syscall(CALL_FILE_GETATTR, place, NULL, &told, sizeof(told), 0), EFAULT);
	CHECK_ERRNO(syscall(CALL_FILE_GETATTR, place, "file", bad_address(), sizeof(told), 0), EFAULT);
	/* The place is looked for before it's asked what it can have; what only tells isn't set. */
	told = (struct attributes){.flags = 1};
	CHECK_ERRNO(syscall(CALL_FILE_SETATTR, place, "nothing", &told, sizeof(told), 0), ENOENT);
	CHECK_ERRNO(syscall(CALL_FILE_SETATTR, place, NULL, &told, sizeof(told), 0), EFAULT);
	CHECK_ERRNO(syscall(CALL_FILE_SETATTR, place, "file", &told, sizeof(told), 0), EOPNOTSUPP);
	told.flags = 4;
	CHECK_ERRNO(syscall(CALL_FILE_SETATTR, place, "nothing", &told, sizeof(told), 0), EINVAL);
	told.flags = 0x80000042;
	CHECK_EQ(syscall(CALL_FILE_SETATTR, place, "file", &told, sizeof(told), 0), 0);
	CHECK_EQ(syscall(CALL_FILE_GETATTR, place, "file", &told, sizeof(told), 0), 0);
	CHECK_EQ(told.flags, 0x40);
	told = (struct attributes){.project = 1};
	CHECK_ERRNO(syscall(CALL_FILE_SETATTR, place, "file", &told, sizeof(told), 0), EOPNOTSUPP);
	MUST(pipe(pipes));
	CHECK_ERRNO(syscall(CALL_FILE_GETATTR, pipes[0], "", &told, sizeof(told), EMPTY), EOPNOTSUPP);
	/* The argument is looked at whatever the file. */
	CHECK_ERRNO(ioctl(pipes[0], _IOW('f', 2, long), bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(pipes[0], _IOW('f', 2, long), &flags), ENOTTY);
	CHECK_ERRNO(ioctl(pipes[0], _IOC(_IOC_WRITE, 'X', 32, 28), bad_address()), EFAULT);
	memset(extended, 0, sizeof(extended));
	CHECK_ERRNO(ioctl(pipes[0], _IOC(_IOC_WRITE, 'X', 32, 28), extended), ENOTTY);
	CHECK_ERRNO(ioctl(pipes[0], _IOC(_IOC_READ, 'X', 31, 28), extended), ENOTTY);
	leave_memory();
}

TEST(writing_without_a_signal)
{
	int pipes[2];
	char byte = 'x';
	struct iovec vector = {&byte, 1};

	MUST(pipe(pipes));
	CHECK_EQ(syscall(SYS_pwritev2, pipes[1], &vector, 1L, -1L, -1L, QUIETLY), 1);
	CHECK_EQ(syscall(SYS_preadv2, pipes[0], &vector, 1L, -1L, -1L, QUIETLY), 1);
	MUST(close(pipes[0]));
	CHECK_ERRNO(syscall(SYS_pwritev2, pipes[1], &vector, 1L, -1L, -1L, QUIETLY), EPIPE);
	block(SIGPIPE);
	CHECK_ERRNO(syscall(SYS_pwritev2, pipes[1], &vector, 1L, -1L, -1L, QUIETLY), EPIPE);
	CHECK(!is_pending(SIGPIPE));
	CHECK_ERRNO(syscall(SYS_pwritev2, pipes[1], &vector, 1L, -1L, -1L, 0), EPIPE);
	CHECK(is_pending(SIGPIPE));
}

TEST(oneself_as_a_pidfd)
{
	block(SIGUSR1);
	CHECK_EQ(syscall(SYS_pidfd_send_signal, THIS_PROCESS, SIGUSR1, NULL, 0), 0);
	CHECK(is_pending(SIGUSR1));
	CHECK_EQ(syscall(SYS_pidfd_send_signal, ONLY_THIS_THREAD, 0, NULL, 0), 0);
	CHECK_ERRNO(syscall(SYS_pidfd_send_signal, THIS_PROCESS - 1, 0, NULL, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_process_mrelease, THIS_PROCESS, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_pidfd_getfd, THIS_PROCESS, 0, 0), EBADF);
}

struct process_information {
	uint64_t mask, group_id;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
	uint32_t core_mask, core_signal;
	uint64_t later;
};

static int informed(int pidfd, size_t size, uint64_t mask, struct process_information *told)
{
	memset(told, 0xff, sizeof(*told));
	told->mask = mask;
	return ioctl(pidfd, _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, size), told);
}

TEST(what_a_pidfd_tells)
{
	struct process_information told;
	int pidfd = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0));
	pid_t child;

	CHECK_EQ(informed(pidfd, 64, 0, &told), 0);
	CHECK_EQ(told.mask, 7);
	CHECK(told.pid == (uint32_t)getpid() && told.tgid == told.pid && told.ppid == (uint32_t)getppid());
	CHECK(told.ruid == getuid() && told.euid == geteuid() && told.rgid == getgid() && told.fsgid == getegid());
	CHECK_EQ(told.exit_code, 0);
	CHECK_EQ(told.core_mask, ~0U);
	CHECK_EQ(informed(pidfd, sizeof(told), 31, &told), 0);
	CHECK_EQ(told.mask, 23);
	CHECK_EQ(told.core_mask, 4);
	CHECK_EQ(told.core_signal, 0);
	CHECK_ERRNO(informed(pidfd, 60, 0, &told), ENOTTY);
	CHECK_ERRNO(ioctl(pidfd, _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, 64), NULL), EINVAL);
	CHECK_ERRNO(ioctl(pidfd, _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, 64), bad_address()), EFAULT);
	child = child_that_exits(7);
	pidfd = (int)MUST(syscall(SYS_pidfd_open, child, 0));
	await_zombie(child);
	CHECK_EQ(informed(pidfd, 72, 31, &told), 0);
	CHECK_EQ(told.mask, 23);
	CHECK(told.pid == (uint32_t)child && told.exit_code == 0 && told.core_mask == 0);
	CHECK_EQ(wait_for(child), EXITED(7));
	CHECK_EQ(informed(pidfd, 72, 31, &told), 0);
	CHECK_EQ(told.mask, 28);
	CHECK_EQ(told.exit_code, EXITED(7));
	CHECK_EQ(told.pid, 0);
	CHECK_ERRNO(informed(pidfd, 72, 7, &told), ESRCH);
}

static struct msghdr with_file(char *control, struct iovec *vector)
{
	struct msghdr message = {.msg_iov = vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(4)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int fd = 0;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(4);
	memcpy(CMSG_DATA(header), &fd, 4);
	return message;
}

TEST(sockets_that_take_no_files)
{
	static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	char control[CMSG_SPACE(64)] = {0}, byte = 'x';
	struct iovec vector = {&byte, 1};
	struct msghdr message = with_file(control, &vector);
	int pair[2], off = 0, value = -1;
	socklen_t length = sizeof(value);

	for (size_t kind = 0; kind < LENGTH(kinds); kind++) {
		MUST(socketpair(AF_UNIX, kinds[kind], 0, pair));
		CHECK_EQ(getsockopt(pair[0], SOL_SOCKET, PASS_RIGHTS, &value, &length), 0);
		CHECK_EQ(value, 1);
		CHECK_EQ(setsockopt(pair[1], SOL_SOCKET, PASS_RIGHTS, &off, sizeof(off)), 0);
		CHECK_ERRNO(sendmsg(pair[0], &message, 0), EPERM);
		CHECK_EQ(send(pair[0], &byte, 1, 0), 1);
		CHECK_EQ(sendmsg(pair[1], &message, 0), 1);
	}
	CHECK_ERRNO(setsockopt((int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), SOL_SOCKET, PASS_RIGHTS, &off, sizeof(off)),
		    EOPNOTSUPP);
}

TEST(how_much_is_left)
{
	char control[64], text[4];
	struct iovec vector = {text, 2};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 64};
	struct cmsghdr *header;
	int pair[2], on = 1, left = -1;

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	CHECK_ERRNO(setsockopt(pair[0], SOL_SOCKET, TELL_LEFT, &on, sizeof(on)), ENOPROTOOPT);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CHECK_EQ(setsockopt(pair[1], SOL_SOCKET, TELL_LEFT, &on, sizeof(on)), 0);
	on = 2;
	CHECK_ERRNO(setsockopt(pair[1], SOL_SOCKET, TELL_LEFT, &on, sizeof(on)), EINVAL);
	MUST(write(pair[0], "abcdef", 6));
	CHECK_EQ(recvmsg(pair[1], &message, 0), 2);
	header = CMSG_FIRSTHDR(&message);
	CHECK(header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == TELL_LEFT);
	memcpy(&left, CMSG_DATA(header), sizeof(left));
	CHECK_EQ(left, 4);
}

static int time_kept(int name, int value)
{
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), kept = -1, error;
	socklen_t length = sizeof(kept);

	error = value < 0 ? 0 : ERRNO_OF(setsockopt(fd, IPPROTO_TCP, name, &value, sizeof(value)));
	MUST(getsockopt(fd, IPPROTO_TCP, name, &kept, &length));
	MUST(close(fd));
	return error != 0 ? -error : kept;
}

TEST(times_of_a_stream)
{
	CHECK_EQ(time_kept(44, -1), 120000);
	CHECK_EQ(time_kept(44, 1000), 1000);
	CHECK_EQ(time_kept(44, 999), -EINVAL);
	CHECK_EQ(time_kept(44, 120001), -EINVAL);
	for (int name = 45; name <= 46; name++) {
		CHECK_EQ(time_kept(name, -1), 200000);
		CHECK_EQ(time_kept(name, 100000), 100000);
		CHECK_EQ(time_kept(name, 200000), 200000);
		CHECK_EQ(time_kept(name, 200001), -EINVAL);
		CHECK_EQ(time_kept(name, 1), -EINVAL);
	}
}

#define CALL_FUTEX_WAKE 454
#define CALL_FUTEX_WAIT 455
#define CALL_FUTEX_REQUEUE 456
#define IS_32_BITS 2
#define HAS_NODE 4
#define BY_POLICY 8
#define IS_PRIVATE 0x80
#define NO_NODE UINT32_MAX

static struct {
	uint32_t word, node;
} placed __attribute__((aligned(16)));

static int error_of_waiting(void *futex, uint32_t node, uint32_t flags)
{
	struct timespec never = {0, 0};

	placed.node = node;
	return ERRNO_OF(syscall(CALL_FUTEX_WAIT, futex, 1, UINT32_MAX, flags, &never, CLOCK_REALTIME));
}

/* The word behind a futex says on which node its waiters are, or is told: here there is one. */
TEST(futexes_with_a_node)
{
	struct {
		uint64_t value, address;
		uint32_t flags, reserved;
	} pair[2] = {{0, (uintptr_t)&placed, IS_32_BITS | HAS_NODE, 0}, {0, (uintptr_t)&placed, IS_32_BITS, 0}};
	uint32_t *edge = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int kind = 0; kind < 4; kind++) {
		uint32_t flags = IS_32_BITS | HAS_NODE | (kind & 1 ? BY_POLICY : 0) | (kind & 2 ? IS_PRIVATE : 0);

		CHECK_EQ(error_of_waiting(&placed, NO_NODE, flags), EAGAIN);
		CHECK_EQ(placed.node, 0);
		CHECK_EQ(error_of_waiting(&placed, 0, flags), EAGAIN);
		CHECK_EQ(error_of_waiting(&placed, NO_NODE - 1, flags), EINVAL);
		CHECK_EQ(error_of_waiting(&placed.node, 0, flags), EINVAL);
		placed.node = NO_NODE;
		CHECK_EQ(syscall(CALL_FUTEX_WAKE, &placed, UINT32_MAX, 1, flags), 0);
		CHECK_EQ(placed.node, 0);
		placed.node = 1 << 20;
		CHECK_ERRNO(syscall(CALL_FUTEX_WAKE, &placed, UINT32_MAX, 0, flags), EINVAL);
	}
	CHECK_EQ(error_of_waiting(&placed, NO_NODE, IS_32_BITS | BY_POLICY), EAGAIN);
	CHECK_EQ(placed.node, NO_NODE);
	CHECK_ERRNO(syscall(CALL_FUTEX_REQUEUE, pair, 0, 0, 0), EINVAL);
	pair[1].flags = pair[0].flags;
	CHECK_EQ(syscall(CALL_FUTEX_REQUEUE, pair, 0, 0, 0), 0);
	CHECK_EQ(placed.node, 0);
	edge[1] = NO_NODE;
	MUST(mprotect(edge, 4096, PROT_READ));
	CHECK_EQ(error_of_waiting(edge, 0, IS_32_BITS | HAS_NODE | IS_PRIVATE), EFAULT);
}
