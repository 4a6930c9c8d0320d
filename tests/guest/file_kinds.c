/* What each kind of descriptor answers to calls that aren't made for it. */
#include "check.h"

#include <linux/fs.h>
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/xattr.h>

static int watched(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int instance = (int)MUST(epoll_create1(0)), error = ERRNO_OF(epoll_ctl(instance, EPOLL_CTL_ADD, fd, &event));

	MUST(close(instance));
	return error;
}

static int opened(const char *path, int flags)
{
	return (int)MUST(open(path, flags));
}

TEST(places_are_selected_for_everything)
{
	fd_set sets[3];
	int place = opened(".", O_PATH);

	for (int kind = 0; kind < 3; kind++) {
		FD_ZERO(&sets[kind]);
		FD_SET(place, &sets[kind]);
	}
	CHECK_EQ(select(place + 1, &sets[0], &sets[1], &sets[2], NULL), 3);
	CHECK(FD_ISSET(place, &sets[0]) && FD_ISSET(place, &sets[1]) && FD_ISSET(place, &sets[2]));
	MUST(close(place));
	FD_ZERO(&sets[0]);
	FD_SET(place, &sets[0]);
	CHECK_ERRNO(select(place + 1, &sets[0], NULL, NULL, NULL), EBADF);
}

TEST(what_is_watched)
{
	struct pollfd entry = {opened("/dev/random", O_RDWR), POLLIN | POLLOUT, 0};

	CHECK_EQ(watched(entry.fd), 0);
	CHECK_EQ(poll(&entry, 1, 0), 1);
	CHECK_EQ(entry.revents, POLLIN);
	CHECK_EQ(watched(opened("/dev/urandom", O_RDONLY)), EPERM);
	CHECK_EQ(watched(opened("/proc/self/ns/uts", O_RDONLY)), EPERM);
	CHECK_EQ(watched(opened("/proc/sys/kernel/ostype", O_RDONLY)), 0);
}

TEST(nothing_is_read_of_a_namespace)
{
	int fd = opened("/proc/self/ns/uts", O_RDONLY), process = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0));
	char byte;

	CHECK_ERRNO(read(fd, &byte, 1), EINVAL);
	CHECK_ERRNO(pread(fd, &byte, 1, 0), EINVAL);
	CHECK_ERRNO(pwrite(fd, &byte, 1, 0), EBADF);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), ESPIPE);
	CHECK_ERRNO(pread(process, &byte, 1, 0), EINVAL);
	CHECK_ERRNO(pwrite(process, &byte, 1, 0), EINVAL);
	CHECK_ERRNO(lseek(process, 0, SEEK_SET), ESPIPE);
	CHECK_OK(fchown(fd, (uid_t)-1, (gid_t)-1));
}

TEST(links_of_places_have_no_permissions)
{
	char path[64];
	struct stat status;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", opened(".", O_PATH));
	MUST(lstat(path, &status));
	CHECK_EQ(status.st_mode, S_IFLNK);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", opened(".", O_RDONLY));
	MUST(lstat(path, &status));
	CHECK_EQ(status.st_mode, S_IFLNK | 0500);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", opened("/dev/null", O_WRONLY));
	MUST(lstat(path, &status));
	CHECK_EQ(status.st_mode, S_IFLNK | 0300);
}

TEST(ends_of_files_that_are_made_up)
{
	char byte;
	int sequence = opened("/proc/self/stat", O_RDONLY), buffer = opened("/proc/self/oom_score_adj", O_RDWR);
	int parameter = opened("/proc/sys/kernel/ostype", O_RDONLY), directory = opened("/proc/self", O_RDONLY);

	CHECK_ERRNO(lseek(sequence, 0, SEEK_END), EINVAL);
	CHECK_ERRNO(lseek(sequence, 0, SEEK_DATA), EINVAL);
	CHECK_ERRNO(pwrite(sequence, &byte, 1, 0), ESPIPE);
	CHECK_EQ(lseek(buffer, 0, SEEK_END), 0);
	CHECK_ERRNO(lseek(buffer, 0, SEEK_DATA), ENXIO);
	CHECK_OK(ftruncate(buffer, 5));
	CHECK_ERRNO(fallocate(buffer, 0, 0, 100), EOPNOTSUPP);
	CHECK_EQ(lseek(parameter, 0, SEEK_END), 0);
	CHECK_ERRNO(lseek(parameter, 0, SEEK_HOLE), ENXIO);
	CHECK_ERRNO(lseek(directory, 0, SEEK_DATA), ENXIO);
	CHECK_ERRNO(fsync(directory), EINVAL);
	CHECK_ERRNO(fdatasync(opened("/proc/self/fd", O_RDONLY)), EINVAL);
	CHECK_OK(readahead(sequence, 0, 10));
	CHECK_OK(readahead(sequence, 0, SSIZE_MAX));
	CHECK_ERRNO(readahead(sequence, 0, (size_t)SSIZE_MAX + 1), EINVAL);
	CHECK_OK(fchown(sequence, (uid_t)-1, (gid_t)-1));
	CHECK_ERRNO(fcntl(sequence, F_SETFL, O_DIRECT), EINVAL);
}

TEST(which_files_are_spliced)
{
	int ends[2], others[2], file;

	enter_scratch();
	MUST(pipe2(ends, O_NONBLOCK));
	/* /proc/PID's files are read by read alone; the machine's by pages as well. */
	CHECK_ERRNO(splice(opened("/proc/self/stat", O_RDONLY), NULL, ends[1], NULL, 3, 0), EINVAL);
	CHECK_ERRNO(splice(opened("/proc/self/maps", O_RDONLY), NULL, ends[1], NULL, 3, 0), EINVAL);
	CHECK_ERRNO(splice(opened("/proc/self/mem", O_RDONLY), NULL, ends[1], NULL, 3, 0), EINVAL);
	CHECK_ERRNO(splice(opened("/dev/null", O_RDONLY), NULL, ends[1], NULL, 3, 0), EINVAL);
	CHECK_EQ(splice(opened("/proc/self/mounts", O_RDONLY), NULL, ends[1], NULL, 3, 0), 3);
	CHECK_EQ(splice(opened("/proc/stat", O_RDONLY), NULL, ends[1], NULL, 3, 0), 3);
	CHECK_EQ(splice(opened("/dev/full", O_RDONLY), NULL, ends[1], NULL, 3, 0), 3);
	/* What takes no pages says so though there is nothing to take. */
	MUST(pipe2(others, O_NONBLOCK));
	CHECK_ERRNO(splice(others[0], NULL, opened("/dev/full", O_WRONLY), NULL, 3, 0), EINVAL);
	CHECK_ERRNO(splice(ends[0], NULL, opened("/dev/full", O_WRONLY), NULL, 3, 0), EINVAL);
	CHECK_ERRNO(splice(ends[0], NULL, opened("/proc/self/oom_score_adj", O_WRONLY), NULL, 3, 0), EINVAL);
	CHECK_EQ(splice(ends[0], NULL, opened("/dev/null", O_WRONLY), NULL, 3, 0), 3);
	file = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	write_all(file, "0123456789", 10);
	MUST(lseek(file, 0, SEEK_SET));
	CHECK_ERRNO(sendfile(opened("/dev/full", O_WRONLY), file, NULL, 3), EINVAL);
	CHECK_ERRNO(sendfile(opened("/dev/null", O_WRONLY), opened("/proc/self/stat", O_RDONLY), NULL, 3), EINVAL);
	CHECK_ERRNO(sendfile(others[1], ends[0], NULL, 3), EINVAL);
	/* Nobody reads: that comes before the end of what is read. */
	handle(SIGPIPE, SIG_IGN, 0);
	MUST(close(ends[1]));
	CHECK_EQ(read(ends[0], (char[64]){0}, 64), 6);
	CHECK_EQ(splice(ends[0], NULL, others[1], NULL, 3, 0), 0);
	CHECK_EQ(tee(ends[0], others[1], 3, 0), 0);
	MUST(close(others[0]));
	CHECK_ERRNO(splice(ends[0], NULL, others[1], NULL, 3, 0), EPIPE);
	CHECK_ERRNO(tee(ends[0], others[1], 3, 0), EPIPE);
}

TEST(what_is_sent_to_a_pipe_takes_places_of_its_own)
{
	int ends[2], file, count = 0;

	enter_scratch();
	file = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(file, 1 << 20));
	MUST(pipe2(ends, O_NONBLOCK));
	MUST(fcntl(ends[1], F_SETPIPE_SZ, 8 * 4096));
	while (count < 20 && sendfile(ends[1], file, NULL, 1) == 1)
		count++;
	CHECK_EQ(count, 8);
	CHECK_ERRNO(sendfile(ends[1], file, NULL, 1), EAGAIN);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 8);
	CHECK_EQ(read(ends[0], (char[64]){0}, 64), 8);
	/* One call fills what there is, and doesn't wait for more. */
	MUST(fcntl(ends[1], F_SETFL, 0));
	MUST(lseek(file, 0, SEEK_SET));
	CHECK_EQ(sendfile(ends[1], file, NULL, 1 << 20), 8 * 4096);
	CHECK_EQ(lseek(file, 0, SEEK_CUR), 8 * 4096);
}

TEST(requests_for_ranges_of_blocks)
{
	char nothing[sizeof(struct file_dedupe_range)] = {0};
	int ends[2], block = 0, file, directory = opened(".", O_RDONLY), instance = (int)MUST(epoll_create1(0));

	enter_scratch();
	file = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	MUST(pipe(ends));
	CHECK_ERRNO(ioctl(ends[0], FIDEDUPERANGE, nothing), EINVAL);
	CHECK_ERRNO(ioctl(directory, FIDEDUPERANGE, nothing), EISDIR);
	CHECK_ERRNO(ioctl(file, FIDEDUPERANGE, nothing), EOPNOTSUPP);
	CHECK_ERRNO(ioctl(file, FIDEDUPERANGE, bad_address()), EFAULT);
	((struct file_dedupe_range *)nothing)->reserved1 = 1;
	CHECK_ERRNO(ioctl(file, FIDEDUPERANGE, nothing), EINVAL);
	((struct file_dedupe_range *)nothing)->dest_count = 200;
	CHECK_ERRNO(ioctl(file, FIDEDUPERANGE, nothing), ENOMEM);
	CHECK_ERRNO(ioctl(ends[0], FIBMAP, &block), ENOTTY);
	CHECK_ERRNO(ioctl(opened("/proc/self/stat", O_RDONLY), FIBMAP, &block), geteuid() == 0 ? EINVAL : EPERM);
	CHECK_ERRNO(ioctl(instance, FIONREAD, &block), EINVAL);
	CHECK_ERRNO(ioctl(instance, TCGETS, nothing), EINVAL);
}

TEST(files_of_the_machine_are_watched_and_those_of_a_process_not)
{
	static const char *const machine[] = {"/proc/cmdline", "/proc/meminfo", "/proc/stat", "/proc/self/net/unix",
	                                      "/proc/swaps", "/proc/sys/kernel/pid_max", "/proc/sysvipc/msg", "/proc/uptime"};
	static const char *const process[] = {"/proc/self/cgroup", "/proc/self/comm", "/proc/self/fdinfo/0", "/proc/self/maps",
	                                      "/proc/self/mountstats", "/proc/self/stat", "/proc/self/uid_map", "/proc"};
	struct pollfd polled = {.events = POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM};

	for (size_t i = 0; i < LENGTH(machine); i++) {
		polled.fd = opened(machine[i], O_RDONLY);
		CHECK_EQ(watched(polled.fd), 0);
		CHECK_EQ(poll(&polled, 1, 0), 1);
		CHECK_EQ(polled.revents, POLLIN | POLLRDNORM | (strcmp(machine[i], "/proc/swaps") ? POLLOUT | POLLWRNORM : 0));
		MUST(close(polled.fd));
	}
	for (size_t i = 0; i < LENGTH(process); i++)
		CHECK_EQ(watched(opened(process[i], O_RDONLY)), EPERM);
}

TEST(readiness_is_signalled_by_few)
{
	int on = 1, master, slave, ends[2];

	MUST(pipe(ends));
	CHECK_OK(ioctl(ends[0], FIOASYNC, &on));
	CHECK_ERRNO(ioctl(opened("/proc/self/mounts", O_RDONLY), FIOASYNC, &on), ENOTTY);
	CHECK_ERRNO(ioctl(eventfd(0, 0), FIOASYNC, &on), ENOTTY);
	MUST(openpty(&master, &slave, NULL, NULL, NULL));
	CHECK_OK(ioctl(slave, FIOASYNC, &on));
	on = 0;
	CHECK_OK(ioctl(slave, FIOASYNC, &on));
	MUST(close(master));
	on = 1;
	CHECK_ERRNO(ioctl(slave, FIOASYNC, &on), ENOTTY);
	CHECK_ERRNO(fcntl(slave, F_SETFL, O_ASYNC), ENOTTY);
}

TEST(who_made_a_place)
{
#ifndef F_CREATED_QUERY
#define F_CREATED_QUERY 1028
#endif
	CHECK_EQ(fcntl(opened(".", O_PATH), F_CREATED_QUERY), 0);
}

TEST(flags_beyond_32_bits)
{
	CHECK_ERRNO(syscall(SYS_unshare, 1L << 32), EINVAL);
}

#define PROTOCOL_NAME "system.sockprotoname"

static void check_protocol(int fd, const char *name)
{
	char value[32] = "", list[64] = "";

	CHECK_EQ(fgetxattr(fd, PROTOCOL_NAME, value, sizeof(value)), (long)strlen(name) + 1);
	CHECK_STRING(value, name);
	CHECK_EQ(flistxattr(fd, list, sizeof(list)), (long)sizeof(PROTOCOL_NAME));
	CHECK_STRING(list, PROTOCOL_NAME);
	MUST(close(fd));
}

TEST(sockets_tell_their_protocols)
{
	check_protocol((int)MUST(socket(AF_INET, SOCK_STREAM, 0)), "TCP");
	check_protocol((int)MUST(socket(AF_INET6, SOCK_STREAM, 0)), "TCPv6");
	check_protocol((int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), "UDP");
	check_protocol((int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), "UDPv6");
	check_protocol((int)MUST(socket(AF_UNIX, SOCK_STREAM, 0)), "UNIX-STREAM");
	check_protocol((int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), "UNIX");
	check_protocol((int)MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0)), "UNIX");
	check_protocol((int)MUST(socket(AF_NETLINK, SOCK_RAW, 0)), "NETLINK");
	if (geteuid() == 0) {
		check_protocol((int)MUST(socket(AF_INET, SOCK_RAW, 1)), "RAW");
		check_protocol((int)MUST(socket(AF_INET6, SOCK_RAW, 58)), "RAWv6");
		check_protocol((int)MUST(socket(AF_PACKET, SOCK_RAW, 0)), "PACKET");
	}
}

TEST(nobody_sets_attributes_of_sockets)
{
	char value[8], path[32];
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), refused = geteuid() == 0 ? EOPNOTSUPP : EPERM;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_EQ(getxattr(path, PROTOCOL_NAME, value, sizeof(value)), 4);
	CHECK_EQ(fgetxattr(fd, PROTOCOL_NAME, NULL, 0), 4);
	CHECK_EQ(fgetxattr(fd, PROTOCOL_NAME, value, 4), 4);
	CHECK_ERRNO(fgetxattr(fd, PROTOCOL_NAME, value, 3), ERANGE);
	CHECK_ERRNO(flistxattr(fd, value, sizeof(value)), ERANGE);
	CHECK_ERRNO(fgetxattr(fd, "system.other", value, sizeof(value)), EOPNOTSUPP);
	CHECK_ERRNO(fgetxattr(fd, "user.a", value, sizeof(value)), ENODATA);
	CHECK_ERRNO(fsetxattr(fd, PROTOCOL_NAME, "", 0, 0), EOPNOTSUPP);
	CHECK_ERRNO(fremovexattr(fd, PROTOCOL_NAME), EOPNOTSUPP);
	CHECK_ERRNO(fsetxattr(fd, "user.a", "", 0, 0), EPERM);
	CHECK_ERRNO(fsetxattr(fd, "trusted.a", "", 0, 0), refused);
	CHECK_ERRNO(fsetxattr(fd, "security.a", "", 0, 0), refused);
	/* Of capabilities the value is looked at before anything else. */
	CHECK_ERRNO(fsetxattr(fd, "security.capability", "a", 1, 0), EINVAL);
	MUST(close(fd));
}

#define GET_UUID 0x80111500
#define GET_SYSFS_PATH 0x80811501

/* File systems in memory have identifiers of their own (FS_IOC_GETFSUUID), but no place in sysfs. */
TEST(file_systems_have_identifiers)
{
	static const char *const without[] = {"/proc", "/dev/pts"};
	static const char *const with[] = {"/sys", "/dev/shm", "/dev"};
	unsigned char first[17] = {0}, other[17] = {0};
	int fd, ends[2];

	for (size_t at = 0; at < LENGTH(with); at++) {
		fd = (int)MUST(open(with[at], O_RDONLY | O_DIRECTORY));
		memset(first, 0, sizeof(first));
		CHECK_EQ(ioctl(fd, GET_UUID, first), 0);
		CHECK(first[0] == 16 && (first[7] & 0xf0) == 0x40 && (first[9] & 0xc0) == 0x80);
		CHECK_EQ(ioctl(fd, GET_UUID, other), 0);
		CHECK(memcmp(first, other, sizeof(first)) == 0);
		CHECK_ERRNO(ioctl(fd, GET_SYSFS_PATH, other), ENOTTY);
		CHECK_ERRNO(ioctl(fd, GET_UUID, bad_address()), EFAULT);
		close(fd);
	}
	fd = (int)MUST(memfd_create("other", 0));
	CHECK_EQ(ioctl(fd, GET_UUID, other), 0);
	CHECK(memcmp(first, other, sizeof(first)) != 0);
	for (size_t at = 0; at < LENGTH(without); at++) {
		fd = (int)MUST(open(without[at], O_RDONLY | O_DIRECTORY));
		CHECK_ERRNO(ioctl(fd, GET_UUID, first), ENOTTY);
		close(fd);
	}
	MUST(pipe(ends));
	CHECK_ERRNO(ioctl(ends[0], GET_UUID, first), ENOTTY);
	CHECK_ERRNO(ioctl(ends[0], 0xc0481502 /* FS_IOC_GETLBMD_CAP */, first), ENOTTY);
}
