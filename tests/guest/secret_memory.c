/* memfd_secret(2): memory that nobody reaches but by mapping it. */
#include "fault.h"

#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/uio.h>

static int secret(int flags)
{
	return (int)syscall(447, flags);
}

static char *map_secret(int fd, size_t pages)
{
	void *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

TEST(the_file_is_for_mapping_alone)
{
	char data[16], path[64], target[64] = "";
	struct statfs system;
	struct stat status;
	int fd, ends[2];

	CHECK_ERRNO(secret(1), EINVAL);
	CHECK_ERRNO(secret(O_NONBLOCK), EINVAL);
	fd = (int)MUST(secret(O_CLOEXEC));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | 0100000);
	CHECK_EQ(fcntl((int)MUST(secret(0)), F_GETFD), 0);
	MUST(fstat(fd, &status));
	CHECK(status.st_mode == (S_IFREG | 0600) && status.st_size == 0 && status.st_uid == geteuid());
	CHECK_EQ(status.st_nlink, 1);
	MUST(fstatfs(fd, &system));
	CHECK_EQ(system.f_type, 0x5345434d);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	MUST(readlink(path, target, sizeof(target) - 1));
	CHECK_STRING(target, "/secretmem (deleted)");
	CHECK_ERRNO(open(path, O_RDWR), ENXIO);
	CHECK_ERRNO(read(fd, data, 1), EINVAL);
	CHECK_ERRNO(write(fd, data, 1), EINVAL);
	CHECK_ERRNO(write(fd, bad_address(), 1), EINVAL);
	CHECK_ERRNO(epoll_ctl((int)MUST(epoll_create1(0)), EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN}), EPERM);
	CHECK_ERRNO(pread(fd, data, 1, 0), ESPIPE);
	CHECK_ERRNO(pwrite(fd, data, 1, 0), ESPIPE);
	CHECK_ERRNO(lseek(fd, 0, SEEK_END), ESPIPE);
	CHECK_ERRNO(fallocate(fd, 0, 0, PAGE), EOPNOTSUPP);
	CHECK_ERRNO(fsync(fd), EINVAL);
	CHECK_ERRNO(fcntl(fd, F_GET_SEALS), EINVAL);
	MUST(pipe(ends));
	CHECK_ERRNO(sendfile(ends[1], fd, NULL, 1), EINVAL);
	CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
	CHECK_ERRNO(ftruncate(fd, 2 * PAGE), EINVAL);
	CHECK_ERRNO(ftruncate(fd, 4 * PAGE), EINVAL);
	CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
}

TEST(it_is_shared_and_locked)
{
	int fd = (int)MUST(secret(0));
	char *memory, *again;
	pid_t child;

	MUST(ftruncate(fd, 2 * PAGE));
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EINVAL);
	memory = map_secret(fd, 2);
	again = map_secret(fd, 4);
	memory[0] = 's';
	CHECK_EQ(again[0], 's');
	CHECK_EQ(touch(again + 2 * PAGE, READ), SIGBUS);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		memory[PAGE] = 'c';
		_exit(again[0]);
	}
	CHECK_EQ(wait_for(child), EXITED('s'));
	CHECK_EQ(again[PAGE], 'c');
	CHECK_ERRNO(madvise(memory, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(madvise(memory, PAGE, MADV_REMOVE), EINVAL);
	CHECK_ERRNO(mlock(memory, PAGE), ENOMEM);
	CHECK_EQ(munlock(memory, PAGE), 0);
	CHECK_ERRNO(madvise(memory, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_EXEC), EACCES);
	CHECK_EQ(mprotect(memory, PAGE, PROT_READ), 0);
	CHECK_ERRNO(msync(memory, PAGE, MS_SYNC), EINVAL);
}

/* A child's isn't locked, but has no holes either. */
TEST(a_child_removes_none_of_it)
{
	int fd = (int)MUST(secret(0));
	char *memory;
	pid_t child;

	MUST(ftruncate(fd, PAGE));
	memory = map_secret(fd, 1);
	memory[0] = 's';
	child = (pid_t)MUST(fork());
	if (child == 0) {
		if (madvise(memory, PAGE, MADV_REMOVE) == 0 || errno != EOPNOTSUPP)
			_exit(1);
		_exit(memory[0]);
	}
	CHECK_EQ(wait_for(child), EXITED('s'));
}

/* Calls of the program itself read and write it, those that take its pages and those of others don't. */
TEST(nobody_else_reaches_it)
{
	int fd = (int)MUST(secret(0)), ends[2], memory_file = (int)MUST(open("/proc/self/mem", O_RDWR)), status;
	char *memory, data[16];
	struct iovec local = {data, sizeof(data)}, remote;
	pid_t child;

	MUST(ftruncate(fd, PAGE));
	memory = map_secret(fd, 1);
	memset(memory, 's', PAGE);
	MUST(pipe(ends));
	CHECK_EQ(write(ends[1], memory, 10), 10);
	CHECK_EQ(read(ends[0], memory + 100, 10), 10);
	remote = (struct iovec){memory, sizeof(data)};
	CHECK_ERRNO(vmsplice(ends[1], &remote, 1, 0), EFAULT);
	CHECK_ERRNO(pread(memory_file, data, sizeof(data), (off_t)memory), EIO);
	CHECK_ERRNO(pwrite(memory_file, data, sizeof(data), (off_t)memory), EIO);
	CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), EFAULT);
	CHECK_ERRNO(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), EFAULT);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(ptrace(PTRACE_TRACEME, 0, 0, 0));
		raise(SIGSTOP);
		_exit(0);
	}
	MUST(waitpid(child, &status, 0));
	CHECK_ERRNO(ptrace(PTRACE_PEEKDATA, child, memory, 0), EIO);
	CHECK_ERRNO(ptrace(PTRACE_POKEDATA, child, memory, 0), EIO);
	kill(child, SIGKILL);
	wait_for(child);
}

TEST(it_counts_as_locked)
{
	struct rlimit limit = {2 * PAGE, 2 * PAGE};
	int fd;

	MUST(setrlimit(RLIMIT_MEMLOCK, &limit));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	fd = (int)MUST(secret(0));
	MUST(ftruncate(fd, 4 * PAGE));
	CHECK(map_secret(fd, 4) == NULL && errno == EAGAIN);
	CHECK(map_secret(fd, 2) != NULL);
	CHECK(map_secret(fd, 1) == NULL && errno == EAGAIN);
}

/* What needs the page from elsewhere than the program itself. */
TEST(what_finds_no_page)
{
	struct timespec soon = {0, 1};
	int node, fd = (int)MUST(secret(0));
	char *memory;

	MUST(ftruncate(fd, 2 * PAGE));
	memory = map_secret(fd, 2);
	memory[0] = 1;
	CHECK_ERRNO(madvise(memory, 4096, MADV_POPULATE_READ), EINVAL);
	CHECK_ERRNO(madvise(memory, 4096, MADV_POPULATE_WRITE), EINVAL);
	CHECK_ERRNO(mlock2(memory, 4096, MLOCK_ONFAULT), ENOMEM);
	CHECK_ERRNO(syscall(SYS_futex, memory, 0 /* FUTEX_WAIT */, 5, &soon, NULL, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_futex, memory, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0), EFAULT);
	CHECK_EQ(syscall(SYS_futex, memory, 129 /* FUTEX_WAKE_PRIVATE */, 1, NULL, NULL, 0), 0);
	/* MPOL_F_NODE | MPOL_F_ADDR; what is there isn't asked for. */
	CHECK_ERRNO(syscall(SYS_get_mempolicy, &node, NULL, 0, memory + 4096, 3), EFAULT);
	CHECK_ERRNO(mprotect(memory, 4096, PROT_READ | PROT_EXEC), EACCES);
}
