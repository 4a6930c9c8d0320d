/* What kinds of descriptors say to calls that they don't do: found by making all calls on all kinds. */
#include "check.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

static int opened(const char *path, int flags)
{
	return (int)MUST(open(path, flags, 0644));
}

TEST(places_do_nothing)
{
	struct epoll_event event;
	sigset_t set = set_of(SIGUSR1);
	int place = opened(".", O_PATH);

	CHECK_ERRNO(epoll_wait(place, &event, 1, 0), EBADF);
	CHECK_ERRNO(epoll_wait(place, &event, 0, 0), EBADF);
	CHECK_ERRNO(epoll_wait(opened(".", O_RDONLY), &event, 1, 0), EINVAL);
	CHECK_ERRNO(signalfd(place, &set, 0), EBADF);
	CHECK_ERRNO(signalfd(opened(".", O_RDONLY), &set, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_fsconfig, place, 0, "ro", NULL, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_fsmount, place, 0, 0), geteuid() == 0 ? EBADF : EPERM);
}

TEST(who_writes_zeros)
{
	int pipes[2];

	enter_scratch();
	MUST(pipe(pipes));
	CHECK_ERRNO(fallocate(pipes[0], 0x80, 0, 1), EBADF);
	CHECK_ERRNO(fallocate(pipes[1], 0x80, 0, 1), ESPIPE);
	CHECK_ERRNO(fallocate(opened("/dev/null", O_RDWR), 0x80, 0, 1), ENODEV);
	CHECK_ERRNO(fallocate(opened("/dev/null", O_RDWR), 0x81, 0, 1), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(opened("file", O_RDWR | O_CREAT), 0x80, 0, 1), EOPNOTSUPP);
}

TEST(direct_access_is_for_files)
{
	static const char *const paths[] = {"/dev/null", "/dev/zero", "/proc/self/comm", "fifo"};
	char path[64];
	int fd;

	enter_scratch();
	MUST(mkfifo("fifo", 0600));
	for (size_t number = 0; number < LENGTH(paths); number++)
		CHECK_ERRNO(open(paths[number], O_RDWR | O_DIRECT | O_NONBLOCK), EINVAL);
	CHECK_ERRNO(open("/proc/self/stat", O_RDONLY | O_DIRECT), EINVAL);
	/* Who was refused has left nothing behind. */
	CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	fd = (int)MUST(memfd_create("file", 0));
	CHECK_ERRNO(fcntl(fd, F_SETFL, O_DIRECT), EINVAL);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_OK(open(path, O_RDONLY | O_DIRECT));
}

TEST(who_cannot_be_asked_not_to_wait)
{
	char buffer[8] = {0};
	struct iovec vector = {buffer, 4};
	int pipes[2], master, slave, fifo, file;

	enter_scratch();
	MUST(mkfifo("fifo", 0600));
	fifo = opened("fifo", O_RDWR);
	MUST(openpty(&master, &slave, NULL, NULL, NULL));
	MUST(pipe(pipes));
	CHECK_ERRNO(preadv2(pipes[0], &vector, 1, -1, RWF_NOWAIT), EAGAIN);
	CHECK_ERRNO(preadv2(fifo, &vector, 1, -1, RWF_NOWAIT), EOPNOTSUPP);
	CHECK_ERRNO(pwritev2(fifo, &vector, 1, -1, RWF_NOWAIT), EOPNOTSUPP);
	CHECK_ERRNO(preadv2(slave, &vector, 1, -1, RWF_NOWAIT), EOPNOTSUPP);
	CHECK_ERRNO(pwritev2(master, &vector, 1, -1, RWF_NOWAIT), EOPNOTSUPP);
	CHECK_ERRNO(preadv2(opened("/dev/full", O_RDWR), &vector, 1, -1, RWF_NOWAIT), EOPNOTSUPP);
	CHECK_EQ(preadv2(opened("/dev/zero", O_RDWR), &vector, 1, -1, RWF_NOWAIT), 4);
	/* A socket that was shut down ends for who would wait. */
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pipes));
	MUST(shutdown(pipes[0], SHUT_RD));
	CHECK_ERRNO(preadv2(pipes[0], &vector, 1, -1, RWF_NOWAIT), EAGAIN);
	CHECK_EQ(preadv2(pipes[0], &vector, 1, -1, 0), 0);
	CHECK_EQ(fcntl(pipes[0], F_GETFL), O_RDWR);
	/* Whether there can be so much behind the position is looked at before the flags. */
	file = (int)MUST(memfd_create("file", 0));
	CHECK_ERRNO(preadv2(file, &vector, 1, -1, 1 << 30), EOPNOTSUPP);
	CHECK_ERRNO(pwritev2(file, &vector, 1, -1, 1 << 30), EOPNOTSUPP);
	CHECK_EQ(lseek(file, INT64_MAX, SEEK_SET), INT64_MAX);
	CHECK_ERRNO(preadv2(file, &vector, 1, -1, 1 << 30), EINVAL);
	CHECK_ERRNO(pwritev2(file, &vector, 1, -1, 1 << 30), EINVAL);
}

static int mapped(int fd, int protection)
{
	void *start = mmap(NULL, 4096, protection, MAP_PRIVATE, fd, 0);

	return start == MAP_FAILED ? errno : 0;
}

TEST(what_is_never_executed)
{
	int pipes[2], pair[2];

	enter_scratch();
	MUST(mkfifo("fifo", 0600));
	MUST(pipe(pipes));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CHECK_EQ(mapped(pipes[0], PROT_READ), ENODEV);
	CHECK_EQ(mapped(pipes[0], PROT_READ | PROT_EXEC), EPERM);
	CHECK_EQ(mapped(pair[0], PROT_READ), ENODEV);
	CHECK_EQ(mapped(pair[0], PROT_READ | PROT_EXEC), EPERM);
	CHECK_EQ(mapped(opened("/proc/self/ns/uts", O_RDONLY), PROT_EXEC), EPERM);
	CHECK_EQ(mapped(opened("fifo", O_RDWR), PROT_READ | PROT_EXEC), ENODEV);
}

TEST(clocks_of_files_and_of_processors)
{
	struct timespec moment = {0, 1};
	struct timex adjustment = {0};

	CHECK_EQ(clock_nanosleep(-5, 0, &moment, NULL), EOPNOTSUPP);
	CHECK_EQ(clock_nanosleep(-13, TIMER_ABSTIME, &moment, NULL), EOPNOTSUPP);
	CHECK_ERRNO(clock_adjtime(-1, &adjustment), EOPNOTSUPP);
	CHECK_ERRNO(clock_adjtime(-20, &adjustment), EOPNOTSUPP);
	CHECK_ERRNO(clock_adjtime(CLOCK_PROCESS_CPUTIME_ID, &adjustment), EOPNOTSUPP);
	CHECK_ERRNO(clock_adjtime(-5, &adjustment), EINVAL);
}

/* What would change the clock isn't tried: it's the machine's. */
TEST(how_a_clock_may_not_be_steered)
{
	struct timex wrong[] = {
		{.modes = ADJ_TICK, .tick = 8999},
		{.modes = ADJ_TICK, .tick = 11001},
		{.modes = ADJ_SETOFFSET, .time = {0, -1}},
		{.modes = ADJ_SETOFFSET, .time = {0, 1000000}},
		{.modes = ADJ_SETOFFSET | ADJ_NANO, .time = {0, 1000000000}},
		/* ADJ_ADJTIME, without an offset. */
		{.modes = 0x8000},
		{.modes = ADJ_FREQUENCY, .freq = LONG_MAX},
		{.modes = ADJ_FREQUENCY, .freq = LONG_MIN},
	};
	struct timex none = {0}, left = {.modes = ADJ_OFFSET_SS_READ};

	CHECK(adjtimex(&none) >= 0);
	CHECK(none.tick >= 9000 && none.tick <= 11000 && none.precision == 1 && none.tolerance == 500 << 16);
	CHECK(adjtimex(&left) >= 0);
	CHECK_ERRNO(syscall(SYS_adjtimex, bad_address()), EFAULT);
	if (geteuid() == 0)
		for (size_t at = 0; at < LENGTH(wrong); at++) {
			CHECK_ERRNO(adjtimex(&wrong[at]), EINVAL);
			CHECK_ERRNO(clock_adjtime(CLOCK_REALTIME, &wrong[at]), EINVAL);
		}
	drop_root();
	for (size_t at = 0; at < LENGTH(wrong); at++)
		CHECK_ERRNO(adjtimex(&wrong[at]), wrong[at].modes == 0x8000 ? EINVAL : EPERM);
	CHECK(adjtimex(&none) >= 0);
	CHECK(adjtimex(&left) >= 0);
}

TEST(who_was_not_frozen)
{
	int fd;

	enter_scratch();
	fd = opened(".", O_RDONLY);
	if (geteuid() == 0)
		CHECK_ERRNO(ioctl(fd, FITHAW, 0), EINVAL);
	drop_root();
	CHECK_ERRNO(ioctl(fd, FITHAW, 0), EPERM);
}

TEST(times_that_nobody_asks_for)
{
	struct statx told;
	char name[] = "/dev/shm/check-XXXXXX";
	int fd = (int)MUST(mkstemp(name));

	MUST(unlink(name));
	CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_ATIME | STATX_SIZE, &told), 0);
	CHECK_EQ(told.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS & ~(STATX_MTIME | STATX_CTIME));
	CHECK(told.stx_mtime.tv_sec == 0 && told.stx_ctime.tv_sec == 0 && told.stx_atime.tv_sec != 0);
	CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_MTIME, &told), 0);
	CHECK_EQ(told.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	CHECK(told.stx_mtime.tv_sec != 0 && told.stx_ctime.tv_sec != 0);
	CHECK_EQ(statx(AT_FDCWD, "/dev/null", 0, STATX_SIZE, &told), 0);
	CHECK_EQ(told.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
}

TEST(synchronous_by_its_own_bit)
{
	int fd = opened("/dev/null", O_RDWR | (O_SYNC & ~O_DSYNC));

	CHECK_EQ(fcntl(fd, F_GETFL) & O_SYNC, O_SYNC);
	CHECK_EQ(fcntl(opened("/dev/null", O_RDWR | O_DSYNC), F_GETFL) & O_SYNC, O_DSYNC);
}

TEST(handles_that_tell_directories)
{
	struct {
		struct file_handle handle;
		char rest[128];
	} name = {.handle.handle_bytes = 128};
	int mount;

	CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "/dev/shm", &name.handle, &mount, 2), EOPNOTSUPP);
	CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "/dev/shm", &name.handle, &mount, 2 | 0x200), EINVAL);
	CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "/dev/shm", &name.handle, &mount, 2 | AT_EMPTY_PATH), EINVAL);
}

/* Or a signal would end who may not change the file anyway. */
TEST(rights_come_before_the_limit_of_a_size)
{
	struct rlimit limit;
	int file;

	enter_scratch();
	file = opened("file", O_RDWR | O_CREAT);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 8;
	MUST(setrlimit(RLIMIT_FSIZE, &limit));
	block(SIGXFSZ);
	CHECK_ERRNO(truncate("/proc/self/exe", 1L << 40), geteuid() == 0 ? ETXTBSY : EACCES);
	CHECK(!is_pending(SIGXFSZ));
	CHECK_ERRNO(truncate("file", 9), EFBIG);
	CHECK(is_pending(SIGXFSZ));
	close(file);
}

/* Files that have no room to give don't look at it. */
TEST(files_without_room_have_no_limit)
{
	struct rlimit limit;
	int file = (int)MUST(syscall(SYS_pidfd_open, getpid(), 0)), secret = (int)syscall(SYS_memfd_secret, 0);

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 8;
	MUST(setrlimit(RLIMIT_FSIZE, &limit));
	CHECK_ERRNO(fallocate(file, 0, 0, 9), EOPNOTSUPP);
	CHECK_ERRNO(ftruncate(file, 9), EOPNOTSUPP);
	CHECK(secret == -1 || (fallocate(secret, 0, 0, 9) == -1 && errno == EOPNOTSUPP));
	block(SIGXFSZ);
	CHECK(secret == -1 || (ftruncate(secret, 9) == -1 && errno == EFBIG));
}

TEST(nothing_is_copied_past_the_limit)
{
	struct rlimit limit = {8, RLIM_INFINITY};
	off_t from = 0, to = 8;
	int file;

	enter_scratch();
	file = opened("file", O_RDWR | O_CREAT);
	write_all(file, "01234567", 8);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 8;
	MUST(setrlimit(RLIMIT_FSIZE, &limit));
	block(SIGXFSZ);
	CHECK_ERRNO(copy_file_range(file, &from, file, &to, 4, 0), EFBIG);
	CHECK(is_pending(SIGXFSZ));
	from = 8;
	CHECK_ERRNO(copy_file_range(file, &from, file, &to, 4, 0), EFBIG);
	from = 0, to = 4;
	CHECK_EQ(copy_file_range(file, &from, file, &to, 4, 0), 4);
}

static long sent(int to, int from, off_t offset, size_t count)
{
	return sendfile(to, from, &offset, count);
}

/* How large a file may be says its file system, and that's asked even if nothing is to be moved. */
TEST(nothing_is_moved_past_the_end_of_any_file)
{
	int file = (int)MUST(memfd_create("file", 0)), null = opened("/dev/null", O_RDWR);
	int parameter = opened("/proc/sys/kernel/pid_max", O_RDONLY), master, slave;
	off_t from = 0, to = LONG_MAX;

	MUST(openpty(&master, &slave, NULL, NULL, NULL));
	write_all(file, "01234567", 8);
	CHECK_ERRNO(copy_file_range(file, &from, file, &to, 0, 0), EFBIG);
	to = LONG_MAX - 1;
	CHECK_EQ(copy_file_range(file, &from, file, &to, 0, 0), 0);
	CHECK(sent(null, parameter, 0, 5) > 0);
	CHECK_EQ(sent(null, parameter, INT_MAX - 1L, 5), 0);
	CHECK_ERRNO(sent(null, parameter, INT_MAX, 5), EOVERFLOW);
	CHECK_ERRNO(sent(null, parameter, INT_MAX, 1), EOVERFLOW);
	CHECK_EQ(sent(null, parameter, INT_MAX, 0), 0);
	CHECK_ERRNO(sent(null, parameter, INT_MAX + 1L, 0), EOVERFLOW);
	CHECK_EQ(sent(null, file, 1L << 43, 5), 0);
	CHECK_ERRNO(sent(slave, file, 1L << 43, 5), EOVERFLOW);
	CHECK_EQ(sent(slave, file, 0, 5), 5);
}

TEST(areas_of_two_openings)
{
	char *start;
	int one, other, only_read;

	enter_scratch();
	one = opened("file", O_RDWR | O_CREAT), other = opened("file", O_RDWR), only_read = opened("file", O_RDONLY);
	MUST(ftruncate(one, 4 * 4096));
	start = mmap(NULL, 2 * 4096, PROT_READ, MAP_SHARED, one, 0);
	MUST(start == MAP_FAILED ? -1 : 0);
	CHECK_EQ(remap_file_pages(start, 2 * 4096, 0, 1, 0), 0);
	MUST(mmap(start + 4096, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, other, 8192) == MAP_FAILED ? -1 : 0);
	CHECK_ERRNO(remap_file_pages(start, 2 * 4096, 0, 0, 0), EINVAL);
	MUST(mmap(start + 4096, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, only_read, 8192) == MAP_FAILED ? -1 : 0);
	CHECK_ERRNO(remap_file_pages(start, 2 * 4096, 0, 0, 0), EINVAL);
	MUST(mmap(start + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, one, 8192) == MAP_FAILED ? -1 : 0);
	CHECK_ERRNO(remap_file_pages(start, 2 * 4096, 0, 0, 0), EINVAL);
	MUST(mmap(start + 4096, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, one, 0) == MAP_FAILED ? -1 : 0);
	CHECK_EQ(remap_file_pages(start, 2 * 4096, 0, 0, 0), 0);
}

#ifndef FS_IOC_RESVSP
struct space_resv {
	int16_t l_type, l_whence;
	int64_t l_start, l_len;
	int32_t l_sysid;
	uint32_t l_pid;
	int32_t l_pad[4];
};
#define FS_IOC_RESVSP _IOW('X', 40, struct space_resv)
#define FS_IOC_UNRESVSP _IOW('X', 41, struct space_resv)
#define FS_IOC_RESVSP64 _IOW('X', 42, struct space_resv)
#define FS_IOC_UNRESVSP64 _IOW('X', 43, struct space_resv)
#define FS_IOC_ZERO_RANGE _IOW('X', 57, struct space_resv)
#endif

/* What XFS had before fallocate(2). A scratch directory is on whatever there is, so holes are made in a memfd. */
TEST(room_by_requests)
{
	struct space_resv where = {.l_whence = SEEK_SET, .l_start = 0, .l_len = 8192};
	int file = (int)MUST(syscall(SYS_memfd_create, "x", 0)), reader;
	char data[16] = "0123456789abcde";
	struct stat status;

	CHECK_EQ(ioctl(file, FS_IOC_RESVSP, &where), 0);
	MUST(fstat(file, &status));
	CHECK_EQ(status.st_size, 0);
	CHECK_EQ(status.st_blocks, 16);
	CHECK_EQ(pwrite(file, data, sizeof data, 0), sizeof data);
	where.l_len = 0;
	CHECK_ERRNO(ioctl(file, FS_IOC_RESVSP64, &where), EINVAL);
	where.l_len = 4;
	where.l_whence = 3;
	CHECK_ERRNO(ioctl(file, FS_IOC_RESVSP64, &where), EINVAL);
	where.l_whence = SEEK_END;
	where.l_start = -17;
	CHECK_ERRNO(ioctl(file, FS_IOC_UNRESVSP64, &where), EINVAL);
	where.l_start = -4;
	CHECK_EQ(ioctl(file, FS_IOC_UNRESVSP64, &where), 0);
	CHECK_EQ(pread(file, data, sizeof data, 0), sizeof data);
	CHECK_EQ(data[12], 0);
	CHECK_EQ(data[11], 'b');
	where.l_whence = SEEK_CUR;
	where.l_start = 2;
	CHECK_EQ(lseek(file, 2, SEEK_SET), 2);
	CHECK_EQ(ioctl(file, FS_IOC_UNRESVSP, &where), 0);
	CHECK_EQ(pread(file, data, sizeof data, 0), sizeof data);
	CHECK_EQ(data[3], '3');
	CHECK_EQ(data[4], 0);
	CHECK_EQ(data[8], '8');
	CHECK_ERRNO(ioctl(file, FS_IOC_ZERO_RANGE, &where), EOPNOTSUPP);
	CHECK_ERRNO(ioctl(file, FS_IOC_RESVSP, bad_address()), EFAULT);
	reader = (int)MUST(open("/proc/self/exe", O_RDONLY));
	where.l_whence = SEEK_SET;
	CHECK_ERRNO(ioctl(reader, FS_IOC_RESVSP, &where), EBADF);
	MUST(close(reader));
	reader = (int)MUST(open("/dev/null", O_RDWR));
	CHECK_ERRNO(ioctl(reader, FS_IOC_RESVSP, &where), ENOTTY);
	MUST(close(reader));
}

TEST(a_link_is_not_executed)
{
	int link_itself;

	enter_scratch();
	MUST(symlink("/proc/self/exe", "link"));
	link_itself = (int)MUST(open("link", O_PATH | O_NOFOLLOW));
	CHECK_ERRNO(syscall(SYS_execveat, link_itself, "", NULL, NULL, AT_EMPTY_PATH), ELOOP);
	CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "link", NULL, NULL, AT_SYMLINK_NOFOLLOW), ELOOP);
}

TEST(offsets_of_attributes)
{
	char one;
	int file = (int)MUST(open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY));

	CHECK_EQ(pread(file, &one, 1, 1), 1);
	CHECK_ERRNO(pwrite(file, "x", 1, 0), ESPIPE);
	CHECK_ERRNO(write(file, "x", 1), EBADF);
	MUST(close(file));
}

/* `readable` bytes before a hole. */
static char *before_a_hole(size_t readable)
{
	size_t whole = (readable + 4095) & ~4095UL;
	char *memory = mmap(NULL, whole + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	memset(memory, '7', whole);
	MUST(munmap(memory + whole, 4096));
	return memory + whole - readable;
}

static long written_before_a_hole(int fd, size_t readable, size_t more)
{
	return ERRNO_OF(write(fd, before_a_hole(readable), readable + more)) == 0
		       ? write(fd, before_a_hole(readable), readable + more)
		       : -errno;
}

TEST(texts_are_fetched_whole)
{
	/* The files' own buffers are filled first, and what is beyond them isn't looked at. */
	static const struct {
		const char *path;
		size_t looked_at;
		int beyond;
	} files[] = {
		{"/proc/self/comm", 15, 0},
		{"/proc/self/coredump_filter", 34, ERANGE},
		{"/proc/self/oom_score_adj", 12, ERANGE},
		{"/proc/self/oom_adj", 12, ERANGE},
		{"/proc/self/clear_refs", 12, ERANGE},
		{"/proc/self/timerslack_ns", 66, ERANGE},
		{"/proc/self/attr/current", 4096, EINVAL},
	};
	char name[16] = "";
	unsigned at;

	for (at = 0; at < LENGTH(files); at++) {
		size_t looked_at = files[at].looked_at;
		int fd = opened(files[at].path, O_WRONLY);

		CHECK_EQ(written_before_a_hole(fd, 1, 5000), -EFAULT);
		CHECK_EQ(written_before_a_hole(fd, looked_at - 1, 5000), -EFAULT);
		CHECK_EQ(written_before_a_hole(fd, looked_at, 5000),
			 files[at].beyond ? -files[at].beyond : (long)looked_at + 5000);
		if (files[at].beyond)
			continue;
		CHECK_EQ(write(fd, before_a_hole(3), 4), -1);
		MUST(read(opened(files[at].path, O_RDONLY), name, 15));
		CHECK_STRING(name, "777777777777777");
	}
	CHECK_EQ(write(opened("/proc/self/sched", O_WRONLY), bad_address(), 70000), 70000);
	CHECK_EQ(written_before_a_hole(opened("/proc/self/attr/current", O_WRONLY), 4097, 9000), -EINVAL);
}

TEST(numbers_are_cut_and_other_texts_count_whole)
{
	/* What isn't looked at counts as written where the length isn't cut before (in Linux, PROC_NUMBUF). */
	static const struct {
		const char *path;
		long most;
	} files[] = {
		{"/proc/self/comm", 0},
		{"/proc/self/coredump_filter", 0},
		{"/proc/self/timerslack_ns", 0},
		{"/proc/self/oom_score_adj", 12},
		{"/proc/self/clear_refs", 12},
	};
	static const long lengths[] = {12, 13, 100, 70000, 3 << 20};
	char *text = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char name[16] = "";
	unsigned at, length;

	MUST(text == MAP_FAILED ? -1 : 0);
	text[0] = '1';
	text[1 << 20] = '2';
	for (at = 0; at < LENGTH(files); at++) {
		int fd = opened(files[at].path, O_WRONLY);

		for (length = 0; length < LENGTH(lengths); length++) {
			long most = files[at].most ? files[at].most : lengths[length];

			CHECK_EQ(write(fd, text, lengths[length]), most);
			if (files[at].most)
				CHECK_EQ(pwrite(fd, text, lengths[length], 0), most);
			CHECK_EQ(writev(fd, (struct iovec[]){{text, lengths[length]}}, 1), most);
		}
		MUST(close(fd));
	}
	MUST(read(opened("/proc/self/comm", O_RDONLY), name, 15));
	CHECK_STRING(name, "1\n");
}

ROOTS_TEST(parameters_are_fetched_whole)
{
	char before[65] = "", after[65] = "";
	int fd;

	MUST(unshare(CLONE_NEWUTS));
	MUST(gethostname(before, 64));
	fd = opened("/proc/sys/kernel/hostname", O_WRONLY);
	CHECK_EQ(written_before_a_hole(fd, 5, 1), -EFAULT);
	CHECK_EQ(written_before_a_hole(fd, 5000, 1), -EFAULT);
	CHECK_EQ(writev(fd, (struct iovec[]){{before, 1}, {bad_address(), 1}}, 2), -1);
	MUST(gethostname(after, 64));
	CHECK_STRING(after, before);
	CHECK_OK(unshare(CLONE_NEWUSER));
	fd = opened("/proc/self/uid_map", O_WRONLY);
	CHECK_EQ(written_before_a_hole(fd, 5, 1), -EFAULT);
	CHECK_EQ(written_before_a_hole(fd, 5, 4091), -EINVAL);
	fd = opened("/proc/self/setgroups", O_WRONLY);
	CHECK_EQ(written_before_a_hole(fd, 3, 4), -EFAULT);
	CHECK_EQ(written_before_a_hole(fd, 3, 5), -EINVAL);
}

TEST(streams_take_whole_pieces_before_a_hole)
{
	/* Of a local stream they are as long as the largest buffer, of TCP pages of 32768 bytes. */
	static const size_t readable[] = {1, 36543, 36544, 65536, 70000, 73087, 73088, 200000};
	static char in[300000];
	unsigned at;

	for (at = 0; at < LENGTH(readable); at++) {
		long piece = (long)readable[at] / 36544 * 36544, sent;
		int ends[2];

		MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
		CHECK_EQ(ERRNO_OF(sent = write(ends[0], before_a_hole(readable[at]), readable[at] + 4096)), piece ? 0 : EFAULT);
		CHECK_EQ(sent, piece ? piece : -1);
		CHECK_EQ(ERRNO_OF(sent = read(ends[1], in, sizeof in)), piece ? 0 : EAGAIN);
		CHECK_EQ(sent, piece ? piece : -1);
		MUST(close(ends[0]));
		MUST(close(ends[1]));
	}
}

/* A read of `total` bytes into `room` before a hole. */
static long read_before_a_hole(int fd, char *into, size_t room, size_t total)
{
	char *at = before_a_hole(room);
	long length = read(fd, at, total);
	int error = errno;

	memcpy(into, at, room);
	return length == -1 ? -error : length;
}

static void wait_to_read(int fd)
{
	MUST(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000) == 1 ? 0 : -1);
}

TEST(what_a_read_hands_over_before_a_hole)
{
	struct itimerspec soon = {.it_value.tv_nsec = 1};
	struct termios raw;
	char into[4096], data[300];
	sigset_t set;
	int master, slave, fd;

	memset(data, 'd', sizeof data);
	/* A terminal loses the rest of 64 bytes. */
	MUST(openpty(&master, &slave, NULL, NULL, NULL));
	MUST(tcgetattr(slave, &raw));
	cfmakeraw(&raw);
	MUST(tcsetattr(slave, TCSANOW, &raw));
	write_all(master, data, 200);
	wait_to_read(slave);
	sleep_ms(20);
	CHECK_EQ(read_before_a_hole(slave, into, 70, 4096), 70);
	CHECK(memcmp(into, data, 70) == 0);
	CHECK_EQ(read(slave, into, sizeof into), 200 - 128);
	/* What a timer and signals tell is lost. */
	fd = (int)MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	MUST(timerfd_settime(fd, 0, &soon, NULL));
	wait_to_read(fd);
	CHECK_EQ(read_before_a_hole(fd, into, 3, 8), 3);
	CHECK_EQ(into[0], 1);
	CHECK_ERRNO(read(fd, into, 8), EAGAIN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	fd = (int)MUST(signalfd(-1, &set, SFD_NONBLOCK));
	MUST(kill(getpid(), SIGUSR1));
	MUST(kill(getpid(), SIGUSR2));
	CHECK_EQ(read_before_a_hole(fd, into, 130, 4096), 128);
	CHECK_EQ(into[0], SIGUSR1);
	CHECK_ERRNO(read(fd, into, 4096), EAGAIN);
	MUST(kill(getpid(), SIGUSR1));
	CHECK_EQ(read_before_a_hole(fd, into, 127, 128), -EFAULT);
	CHECK_ERRNO(read(fd, into, 4096), EAGAIN);
	/* Memory is copied page by page, or not at all. */
	fd = opened("/proc/self/mem", O_RDWR);
	MUST(lseek(fd, (off_t)data, SEEK_SET));
	CHECK_EQ(read_before_a_hole(fd, into, 100, 200), -EFAULT);
	CHECK_EQ(written_before_a_hole(fd, 100, 100), -EFAULT);
	CHECK_EQ(data[0], 'd');
	/* Buffers of vectors aren't less than others. */
	fd = opened("/proc/self/auxv", O_RDONLY);
	CHECK_EQ(readv(fd, &(struct iovec){before_a_hole(10), 20}, 1), 10);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
}

TEST(what_streams_copy_and_discard)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof name;
	int listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), ends[2], other[2];
	char into[200];

	MUST(bind(listener, (void *)&name, sizeof name));
	MUST(listen(listener, 1));
	MUST(getsockname(listener, (void *)&name, &length));
	ends[0] = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(ends[0], (void *)&name, sizeof name));
	ends[1] = (int)MUST(accept(listener, NULL, NULL));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, other));
	for (int at = 0; at < 2; at++) {
		int from = at ? other[0] : ends[0], to = at ? other[1] : ends[1];

		write_all(from, "abcdef", 6);
		wait_to_read(to);
		CHECK_EQ(read_before_a_hole(to, into, 2, 6), -EFAULT);
		CHECK(memcmp(into, "ab", 2) == 0);
		CHECK_EQ(recv(to, before_a_hole(3), 6, 0), -1);
		CHECK_EQ(read(to, into, 6), 6);
	}
	/* TCP takes bytes away without looking for memory. */
	write_all(ends[0], "abcdefgh", 8);
	wait_to_read(ends[1]);
	CHECK_EQ(recv(ends[1], NULL, 100000, MSG_TRUNC | MSG_DONTWAIT), 8);
	write_all(ends[0], "abcdefgh", 8);
	wait_to_read(ends[1]);
	CHECK_EQ(recv(ends[1], before_a_hole(1), 5, MSG_TRUNC), 5);
	CHECK_EQ(read(ends[1], into, sizeof into), 3);
}
