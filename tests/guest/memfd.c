/* Files in memory without a name, and what seals forbid: memfd_create(2), fcntl(2). */
#include "fault.h"

#include <linux/memfd.h>
#include <sched.h>

#define RW (PROT_READ | PROT_WRITE)

static int sealable(off_t size)
{
	int fd = (int)MUST(memfd_create("memory", MFD_ALLOW_SEALING | MFD_CLOEXEC));

	MUST(ftruncate(fd, size));
	return fd;
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return (int)MUST(open(path, flags));
}

/* Where files in memory may have large pages, what goes through the end of a page isn't written in parts. */
static int is_written_page_by_page(void)
{
	char modes[128] = "[never]";
	int fd = open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", O_RDONLY);

	if (fd >= 0) {
		memset(modes, 0, sizeof(modes));
		MUST(read(fd, modes, sizeof(modes) - 1));
		close(fd);
	}
	return strstr(modes, "[never]") != NULL || strstr(modes, "[deny]") != NULL;
}

TEST(growing_is_refused_page_by_page)
{
	static char data[8192];
	int in_parts = is_written_page_by_page(), fd = sealable(6000);

	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_GROW);
	CHECK_EQ(pwrite(fd, data, 8192, 0), in_parts ? 4096 : -1);
	CHECK_EQ(pwrite(fd, data, 3000, 4000), in_parts ? 96 : -1);
	CHECK_EQ(pwrite(fd, data, 8192, 100), in_parts ? 3996 : -1);
	CHECK_ERRNO(pwrite(fd, data, 2000, 4096), EPERM);
	CHECK_EQ(pwrite(fd, data, 1904, 4096), 1904);
	CHECK_ERRNO(pwrite(fd, data, 1, 6000), EPERM);
	CHECK_ERRNO(fallocate(fd, 0, 0, 100000), EPERM);
	CHECK_EQ(fallocate(fd, 0, 0, 6000), 0);
	CHECK_ERRNO(ftruncate(fd, 6001), EPERM);
	CHECK_EQ(ftruncate(fd, 5000), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 5000);
}

TEST(sealed_against_writing)
{
	int fd = sealable(2 * PAGE), readable;
	char *memory, *private;

	memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	MUST(munmap(memory, PAGE));
	readable = reopen(fd, O_RDONLY);
	memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, readable, 0);
	private = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
	CHECK_ERRNO(fcntl(readable, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	CHECK_EQ(fcntl(readable, F_GET_SEALS), 0);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	CHECK_EQ(memory[0], 0);
	private[0] = 'p';
	CHECK_EQ(memory[0], 0);
	CHECK_ERRNO(mprotect(memory, PAGE, RW), EACCES);
	memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED);
	CHECK_ERRNO(mprotect(memory, PAGE, RW), EACCES);
	CHECK_EQ(touch(memory, WRITE), SIGSEGV);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EPERM);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
	CHECK_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
	CHECK_EQ(pwrite(fd, "x", 0, 0), 0);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), EPERM);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 100 * PAGE), EOPNOTSUPP);
	CHECK_EQ(ftruncate(fd, PAGE), 0);
	CHECK_EQ(reopen(fd, O_RDWR) != -1, 1);
}

TEST(what_is_mapped_before_a_future_seal_stays_writable)
{
	int fd = sealable(PAGE);
	char *memory = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);

	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	memory[3] = 'm';
	CHECK_EQ(touch(memory, WRITE), 0);
	CHECK_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EPERM);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_FUTURE_WRITE);
	MUST(munmap(memory, PAGE));
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST(a_seal_leaves_a_mapping_shared)
{
	char *memory;
	int fd = (int)MUST(memfd_create("sealed", MFD_ALLOW_SEALING));

	MUST(ftruncate(fd, 2 * 4096));
	MUST(pwrite(fd, "b", 1, 4096));
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	memory = mmap(NULL, 2 * 4096, PROT_READ, MAP_SHARED, fd, 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	/* Not so what's open for reading alone. */
	CHECK_OK(remap_file_pages(memory, 4096, 0, 1, 0));
	CHECK_EQ(memory[0], 'b');
	CHECK_OK(munmap(memory, 2 * 4096));
	fd = (int)MUST(open("/proc/self/exe", O_RDONLY));
	memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK_ERRNO(remap_file_pages(memory, 4096, 0, 0, 0), EINVAL);
}

TEST(seals_that_need_no_sealing)
{
	int fd = (int)MUST(memfd_create("memory", 0)), quiet;
	void *memory;

	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
	quiet = (int)MUST(memfd_create("memory", MFD_NOEXEC_SEAL));
	CHECK_EQ(fcntl(quiet, F_GET_SEALS), F_SEAL_EXEC);
	CHECK_ERRNO(fchmod(quiet, 0777), EPERM);
	CHECK_EQ(fchmod(quiet, 0600), 0);
	CHECK_EQ(fcntl(quiet, F_ADD_SEALS, F_SEAL_EXEC), 0);
	CHECK_EQ(fcntl(quiet, F_GET_SEALS), F_SEAL_EXEC);
	fd = sealable(0);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC), EBUSY);
	MUST(munmap(memory, 4096));
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC), 0);
	CHECK_EQ(fcntl(fd, F_GET_SEALS),
		 F_SEAL_EXEC | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
}

TEST(seals_of_other_files)
{
	int fd = (int)MUST(open("/dev/shm/check-seals", O_RDWR | O_CREAT | O_EXCL, 0600));

	MUST(unlink("/dev/shm/check-seals"));
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), EPERM);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, 0x400), EINVAL);
	enter_scratch();
	fd = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	CHECK_ERRNO(fcntl(fd, F_GET_SEALS), EINVAL);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), EINVAL);
	fd = (int)MUST(open("/dev/null", O_RDONLY));
	CHECK_ERRNO(fcntl(fd, F_GET_SEALS), EINVAL);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), EPERM);
}

TEST(creation_errnos)
{
	char name[251];

	memset(name, 'n', sizeof(name));
	name[250] = '\0';
	CHECK_ERRNO(memfd_create(name, 0), EINVAL);
	name[249] = '\0';
	CHECK(memfd_create(name, 0) >= 0);
	CHECK(memfd_create("", 0) >= 0);
	CHECK_ERRNO(memfd_create("memory", MFD_EXEC | MFD_NOEXEC_SEAL), EINVAL);
	CHECK_ERRNO(memfd_create("memory", 0x4000), EINVAL);
	CHECK_ERRNO(memfd_create(bad_address(), 0), EFAULT);
	CHECK_ERRNO(memfd_create(bad_address(), 0x4000), EINVAL);
}

TEST(the_same_size_again)
{
	struct stat status;
	int fd = (int)MUST(memfd_create("m", 0));

	MUST(write(fd, "x", 1));
	MUST(fallocate(fd, FALLOC_FL_KEEP_SIZE, 8192, 4096));
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_blocks, 16);
	CHECK_OK(ftruncate(fd, 1));
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_blocks, 8);
}

TEST(zeros_as_memory)
{
	int fd = (int)MUST(open("/dev/zero", O_RDONLY));
	char *memory = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, PAGE);

	CHECK(memory != MAP_FAILED);
	memory[PAGE] = 'x';
	CHECK(is_zero(memory, PAGE));
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EACCES);
	memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED);
	CHECK(is_zero(memory, PAGE));
	CHECK_ERRNO(mprotect(memory, PAGE, RW), EACCES);
}

static int run_true(int fd)
{
	char *arguments[] = {"true", NULL};
	pid_t child = (pid_t)MUST(fork());
	int status;

	if (!child) {
		syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
		_exit(errno);
	}
	MUST(waitpid(child, &status, 0));
	return WEXITSTATUS(status);
}

/* What memfd_create gives doesn't count as a writer; what is opened again does. */
TEST(it_runs_while_it_can_be_written_to)
{
	static char data[1 << 16];
	int program = (int)MUST(open("/bin/true", O_RDONLY | O_CLOEXEC));
	int fd = sealable(0);
	int writer;
	ssize_t length;

	while ((length = MUST(read(program, data, sizeof(data)))) > 0)
		CHECK_EQ(write(fd, data, (size_t)length), length);
	writer = reopen(fd, O_RDWR | O_CLOEXEC);
	CHECK_EQ(run_true(fd), ETXTBSY);
	MUST(close(writer));
	CHECK_EQ(run_true(fd), 0);
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	CHECK_EQ(run_true(fd), ENOEXEC);
	writer = reopen(fd, O_WRONLY | O_CLOEXEC);
	MUST(close(writer));
	CHECK_EQ(run_true(fd), ENOEXEC);
}

TEST(no_direct_access)
{
	CHECK_ERRNO(fcntl((int)MUST(memfd_create("direct", 0)), F_SETFL, O_DIRECT), EINVAL);
}

static int set_noexec(const char *scope)
{
	int fd = MUST(open("/proc/sys/vm/memfd_noexec", O_WRONLY)), saved;

	saved = write(fd, scope, 1) == 1 ? 0 : errno;
	close(fd);
	return saved;
}

static int mode_of_new(unsigned flags)
{
	int fd = memfd_create("new", flags);
	struct stat status;

	if (fd == -1)
		return -errno;
	MUST(fstat(fd, &status));
	close(fd);
	return status.st_mode & 0777;
}

/* In a pid namespace of its own: what one sets there holds for it and those within. */
static void noexec_in_namespace(void)
{
	int inherited;

	CHECK_EQ(mode_of_new(0), 0777);
	CHECK_EQ(set_noexec("1"), 0);
	CHECK_EQ(mode_of_new(0), 0666);
	CHECK_EQ(mode_of_new(MFD_EXEC), 0777);
	CHECK_EQ(set_noexec("3"), EINVAL);
	CHECK_EQ(set_noexec("0"), 0);
	CHECK_EQ(set_noexec("2"), 0);
	CHECK_EQ(mode_of_new(0), 0666);
	CHECK_EQ(mode_of_new(MFD_NOEXEC_SEAL), 0666);
	CHECK_EQ(mode_of_new(MFD_EXEC), -EACCES);
	MUST(unshare(CLONE_NEWPID));
	inherited = MUST(fork());
	if (inherited == 0)
		_exit(set_noexec("1") == EINVAL && mode_of_new(MFD_EXEC) == -EACCES ? 7 : 1);
	CHECK_EQ(wait_for(inherited), EXITED(7));
}

TEST(files_that_cannot_be_executed_by_default)
{
	pid_t child;

	if (geteuid() != 0 || access("/proc/sys/vm/memfd_noexec", W_OK) != 0)
		return;
	MUST(unshare(CLONE_NEWPID));
	child = MUST(fork());
	if (child == 0) {
		noexec_in_namespace();
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(mode_of_new(0), 0777);
}

/* MADV_REMOVE is fallocate(2) by address, with all that it refuses and tells. */
TEST(no_hole_in_what_is_sealed)
{
	int fd = sealable(2 * PAGE);
	char *memory = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
	struct stat before, after;

	memory[0] = 'a';
	MUST(fstat(fd, &before));
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	CHECK_EQ(madvise(memory, PAGE, MADV_REMOVE), 0);
	MUST(fstat(fd, &after));
	CHECK(after.st_mtim.tv_nsec != before.st_mtim.tv_nsec || after.st_mtim.tv_sec != before.st_mtim.tv_sec);
	memory[0] = 'b';
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	CHECK_ERRNO(madvise(memory, PAGE, MADV_REMOVE), EPERM);
	CHECK_EQ(memory[0], 'b');
	memory[0] = 'c';
	CHECK_EQ(memory[0], 'c');
}
