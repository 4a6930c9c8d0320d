/* Another process's memory, and what tasks share: process_vm_readv(2), process_madvise(2), kcmp(2). */
#include "fault.h"

#include <linux/kcmp.h>
#include <sys/sem.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/uio.h>

#define RW (PROT_READ | PROT_WRITE)

static pid_t stopped_child(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		raise(SIGSTOP);
		_exit(0);
	}
	MUST(waitpid(child, NULL, WUNTRACED));
	return child;
}

static void release(pid_t child)
{
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

TEST(read_and_written)
{
	char *memory = map_pages(3), mine[64], other[64];
	struct iovec local[2] = {{mine, 5}, {other, 60}}, remote[3];
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		strcpy(memory, "child's");
		strcpy(memory + PAGE - 3, "over the border");
		raise(SIGSTOP);
		_exit(strcmp(memory + 2 * PAGE, "from the parent") != 0);
	}
	MUST(waitpid(child, NULL, WUNTRACED));
	remote[0] = (struct iovec){memory, 8};
	remote[1] = (struct iovec){NULL, 0};
	remote[2] = (struct iovec){memory + PAGE - 3, 16};
	CHECK_EQ(process_vm_readv(child, local, 2, remote, 3, 0), 24);
	CHECK_EQ(memcmp(mine, "child", 5), 0);
	CHECK_EQ(memcmp(other, "'s\0over the border", 19), 0);
	CHECK_EQ(memory[0], 0);
	local[0] = (struct iovec){(void *)"from the parent", 16};
	remote[0] = (struct iovec){memory + 2 * PAGE, 100};
	CHECK_EQ(process_vm_writev(child, local, 1, remote, 1, 0), 16);
	CHECK_EQ(memory[2 * PAGE], 0);
	CHECK_EQ(process_vm_readv(child, &(struct iovec){mine, 4}, 1, remote, 1, 0), 4);
	CHECK_EQ(memcmp(mine, "from", 4), 0);
	CHECK_EQ(process_vm_readv(getpid(), &(struct iovec){mine, 4}, 1, &(struct iovec){(void *)"self", 4}, 1, 0), 4);
	CHECK_EQ(memcmp(mine, "self", 4), 0);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(pages_of_a_piece_are_had_at_once)
{
	char *memory = map_pages(8), mine[4] = "abc";
	unsigned char present[8];
	struct iovec local = {mine, 4}, remote[3] = {{memory, 3 * PAGE}, {memory + 4 * PAGE, 1}, {memory + 5 * PAGE, PAGE}};

	/* Also those of which no byte is wanted, but not those of the next piece. */
	CHECK_EQ(process_vm_writev(getpid(), &local, 1, remote, 2, 0), 4);
	MUST(mincore(memory, 8 * PAGE, present));
	CHECK_EQ(present[0] & 1, 1);
	CHECK_EQ(present[1] & 1, 1);
	CHECK_EQ(present[2] & 1, 1);
	CHECK_EQ(present[7] & 1, 0);
	/* Up to the first that isn't to be had. */
	MUST(munmap(memory + 6 * PAGE, PAGE));
	remote[1] = (struct iovec){memory + 5 * PAGE, 3 * PAGE};
	CHECK_EQ(process_vm_readv(getpid(), &local, 1, remote + 1, 1, 0), 4);
	CHECK_EQ(mine[0], 0);
	MUST(mincore(memory + 7 * PAGE, PAGE, present));
	CHECK_EQ(present[0] & 1, 0);
}

TEST(where_memory_ends)
{
	char *memory = map_pages(3), *mine = map_pages(2);
	struct iovec local = {mine, 2 * PAGE}, remote = {memory + PAGE - 100, 200};
	pid_t child;

	memset(memory, 'm', PAGE);
	MUST(munmap(memory + PAGE, PAGE));
	MUST(mprotect(memory + 2 * PAGE, PAGE, PROT_READ));
	child = stopped_child();
	CHECK_EQ(process_vm_readv(child, &local, 1, &remote, 1, 0), 100);
	CHECK_EQ(mine[99], 'm');
	CHECK_EQ(mine[100], 0);
	remote.iov_base = memory + PAGE;
	CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), EFAULT);
	remote.iov_base = memory + 2 * PAGE;
	CHECK_EQ(process_vm_readv(child, &local, 1, &remote, 1, 0), 200);
	CHECK_ERRNO(process_vm_writev(child, &local, 1, &remote, 1, 0), EFAULT);
	remote.iov_base = memory;
	local.iov_base = bad_address();
	CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), EFAULT);
	CHECK_ERRNO(process_vm_writev(child, &local, 1, &remote, 1, 0), EFAULT);
	remote.iov_base = (void *)-PAGE;
	local.iov_base = mine;
	CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), EFAULT);
	release(child);
}

TEST(errnos)
{
	char mine[8], theirs[8];
	struct iovec local = {mine, 8}, remote = {theirs, 8}, none = {mine, 0}, negative = {mine, (size_t)-1};
	pid_t child = child_that_exits(0);

	await_zombie(child);
	CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, &remote, 1, 1), EINVAL);
	CHECK_ERRNO(process_vm_readv(getpid(), &local, 1025, &remote, 1, 0), EINVAL);
	CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, &remote, 1025, 0), EINVAL);
	CHECK_ERRNO(process_vm_readv(getpid(), &negative, 1, &remote, 1, 0), EINVAL);
	CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, &negative, 1, 0), EINVAL);
	CHECK_ERRNO(process_vm_readv(getpid(), bad_address(), 1, &remote, 1, 0), EFAULT);
	CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, bad_address(), 1, 0), EFAULT);
	CHECK_ERRNO(process_vm_readv(0x3fffff, &local, 1, &remote, 1, 0), ESRCH);
	CHECK_ERRNO(process_vm_readv(-1, &local, 1, &remote, 1, 0), ESRCH);
	CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), ESRCH);
	CHECK_EQ(process_vm_readv(-1, &none, 1, &remote, 1, 0), 0);
	CHECK_EQ(process_vm_readv(-1, &local, 1, &none, 1, 0), 0);
	CHECK_EQ(process_vm_readv(-1, &local, 1, NULL, 0, 0), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(who_may)
{
	char mine[8], *theirs = map_pages(1);
	struct iovec local = {mine, 8}, remote = {theirs, 8};
	pid_t child = stopped_child(), gone = child_that_exits(0), other;

	await_zombie(gone);
	if (geteuid() == 0) {
		other = (pid_t)MUST(fork());
		if (other == 0) {
			drop_root();
			CHECK_ERRNO(process_vm_readv(gone, &local, 1, &remote, 1, 0), ESRCH);
			CHECK_ERRNO(syscall(SYS_move_pages, gone, 0, NULL, NULL, NULL, 0), EPERM);
			CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), EPERM);
			CHECK_ERRNO(process_vm_writev(child, &local, 1, &remote, 1, 0), EPERM);
			CHECK_ERRNO(syscall(SYS_kcmp, child, getpid(), KCMP_VM, 0, 0), EPERM);
			_exit(0);
		}
		CHECK_EQ(wait_for(other), EXITED(0));
	}
	CHECK_EQ(wait_for(gone), EXITED(0));
	release(child);
	drop_root();
	/* Changing users has made it undumpable, and so its children. */
	MUST(prctl(PR_SET_DUMPABLE, 1));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(prctl(PR_SET_DUMPABLE, 0));
		raise(SIGSTOP);
	}
	MUST(waitpid(child, NULL, WUNTRACED));
	CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), EPERM);
	release(child);
	child = stopped_child();
	CHECK_EQ(process_vm_readv(child, &local, 1, &remote, 1, 0), 8);
	release(child);
}

static int pidfd_of(pid_t pid)
{
	return (int)MUST(syscall(SYS_pidfd_open, pid, 0));
}

static long advise(int pidfd, void *address, size_t length, int advice)
{
	struct iovec range = {address, length};

	return syscall(SYS_process_madvise, pidfd, &range, 1, advice, 0);
}

TEST(advice_for_another)
{
	char *memory = map_pages(2);
	pid_t child;
	int pidfd;

	memset(memory, 'm', 2 * PAGE);
	child = stopped_child();
	pidfd = pidfd_of(child);
	if (geteuid() != 0)
		_exit(0);
	CHECK_EQ(advise(pidfd, memory, 2 * PAGE, MADV_COLD), 2 * PAGE);
	CHECK_EQ(advise(pidfd, memory, PAGE, MADV_WILLNEED), PAGE);
	CHECK_ERRNO(advise(pidfd, memory, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_ERRNO(advise(pidfd, memory, PAGE, 999), EINVAL);
	CHECK_ERRNO(advise(pidfd, memory + 1, PAGE, MADV_COLD), EINVAL);
	CHECK_ERRNO(advise(pidfd, free_range(4), PAGE, MADV_COLD), ENOMEM);
	CHECK_ERRNO(advise(-1, memory, PAGE, MADV_COLD), EBADF);
	CHECK_ERRNO(advise(STDIN_FILENO, memory, PAGE, MADV_COLD), EBADF);
	CHECK_ERRNO(syscall(SYS_process_madvise, pidfd, &(struct iovec){memory, PAGE}, 1, MADV_COLD, 1), EINVAL);
	release(child);
	CHECK_ERRNO(advise(pidfd, memory, PAGE, MADV_COLD), ESRCH);
}

static int compare(pid_t one, pid_t other, int kind)
{
	return (int)MUST(syscall(SYS_kcmp, one, other, kind, 0, 0));
}

static char stack[16384] __attribute__((aligned(16)));

static int pause_for_ever(void *unused)
{
	while (unused == NULL)
		pause();
	return 0;
}

TEST(what_tasks_share)
{
	static const int kinds[] = {KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND};
	static const int flags[] = {CLONE_VM, CLONE_FILES, CLONE_FS, CLONE_VM | CLONE_SIGHAND};
	pid_t self = getpid(), child = stopped_child(), other;

	for (size_t at = 0; at < LENGTH(kinds); at++) {
		int order = compare(self, child, kinds[at]);
		pid_t sharing;

		CHECK_EQ(compare(self, self, kinds[at]), 0);
		CHECK(order == 1 || order == 2);
		CHECK_EQ(compare(child, self, kinds[at]), 3 - order);
		sharing = (pid_t)MUST(clone(pause_for_ever, stack + sizeof(stack), flags[at] | SIGCHLD, NULL));
		CHECK_EQ(compare(self, sharing, kinds[at]), 0);
		release(sharing);
	}
	/* What is to be undone is kept from the first time on that anything might be, even in no set. */
	other = stopped_child();
	CHECK_EQ(compare(child, other, KCMP_SYSVSEM), 0);
	release(other);
	other = (pid_t)MUST(fork());
	if (other == 0) {
		CHECK_ERRNO(semop(0x7fffffff, &(struct sembuf){.sem_op = 1, .sem_flg = SEM_UNDO}, 1), EINVAL);
		raise(SIGSTOP);
		_exit(0);
	}
	MUST(waitpid(other, NULL, WUNTRACED));
	CHECK(compare(child, other, KCMP_SYSVSEM) != 0);
	release(other);
	CHECK_EQ(compare(self, child, KCMP_SYSVSEM), 0);
	CHECK_ERRNO(syscall(SYS_kcmp, self, child, 99, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_kcmp, self, 0x3fffff, KCMP_VM, 0, 0), ESRCH);
	release(child);
}

/* What has ended has given away all but its handlers of signals, and nothing is the same as nothing. */
TEST(what_ended_tasks_share)
{
	static const int kinds[] = {KCMP_VM, KCMP_FILES, KCMP_FS};
	int all = CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD;
	pid_t self = getpid(), sharing, other = child_that_exits(0);

	sharing = (pid_t)MUST(clone(pause_for_ever, stack + sizeof(stack), all, stack));
	await_zombie(sharing);
	await_zombie(other);
	for (size_t at = 0; at < LENGTH(kinds); at++) {
		CHECK(compare(self, sharing, kinds[at]) > 0);
		CHECK_EQ(compare(sharing, other, kinds[at]), 0);
	}
	CHECK_EQ(compare(self, sharing, KCMP_SIGHAND), 0);
	CHECK(compare(self, other, KCMP_SIGHAND) > 0);
	CHECK_ERRNO(syscall(SYS_kcmp, sharing, sharing, KCMP_FILE, 0, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_kcmp, sharing, sharing, KCMP_EPOLL_TFD, 0, bad_address()), EFAULT);
	CHECK_EQ(wait_for(sharing), EXITED(0));
	CHECK_EQ(wait_for(other), EXITED(0));
}

TEST(the_same_open_file)
{
	int fd = (int)MUST(open("/dev/null", O_RDONLY)), twin = (int)MUST(dup(fd)), other = (int)MUST(open("/dev/null", O_RDONLY));
	int epoll = (int)MUST(epoll_create1(0)), order;
	struct epoll_event event = {.events = EPOLLIN};
	struct kcmp_epoll_slot slot = {0};
	int ends[2];
	pid_t self = getpid(), child;

	MUST(pipe(ends));
	child = stopped_child();
	CHECK_EQ(syscall(SYS_kcmp, self, self, KCMP_FILE, fd, twin), 0);
	CHECK_EQ(syscall(SYS_kcmp, self, child, KCMP_FILE, fd, twin), 0);
	order = (int)syscall(SYS_kcmp, self, self, KCMP_FILE, fd, other);
	CHECK(order == 1 || order == 2);
	CHECK_EQ(syscall(SYS_kcmp, child, self, KCMP_FILE, other, fd), 3 - order);
	CHECK_ERRNO(syscall(SYS_kcmp, self, self, KCMP_FILE, fd, 999), EBADF);
	CHECK_ERRNO(syscall(SYS_kcmp, self, self, KCMP_FILE, -1, fd), EBADF);
	MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));
	slot.efd = (unsigned int)epoll, slot.tfd = (unsigned int)ends[0];
	CHECK_EQ(syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, ends[0], &slot), 0);
	CHECK(syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, ends[1], &slot) > 0);
	slot.toff = 1;
	CHECK_ERRNO(syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, ends[0], &slot), ENOENT);
	slot.efd = (unsigned int)fd;
	CHECK_ERRNO(syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, ends[0], &slot), EINVAL);
	slot.efd = 999;
	CHECK_ERRNO(syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, ends[0], &slot), EBADF);
	CHECK_ERRNO(syscall(SYS_kcmp, self, self, KCMP_EPOLL_TFD, ends[0], bad_address()), EFAULT);
	release(child);
}

/* A page that its owner may not write to is copied first, if nobody else would see it. */
TEST(written_through_the_file_of_memory)
{
	int fd = (int)MUST(open("/proc/self/mem", O_RDWR)), file = (int)MUST(memfd_create("file", 0));
	char *anonymous = map_pages(1), *private, *shared, *none, byte = 'b';

	MUST(ftruncate(file, PAGE));
	MUST(mprotect(anonymous, PAGE, PROT_READ));
	private = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
	shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
	none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_EQ(pwrite(fd, "a", 1, (off_t)anonymous), 1);
	CHECK_EQ(anonymous[0], 'a');
	CHECK_EQ(touch(anonymous, WRITE), SIGSEGV);
	CHECK_EQ(pwrite(fd, "a", 1, (off_t)private), 1);
	CHECK_EQ(private[0], 'a');
	CHECK_EQ(shared[0], 0);
	CHECK_EQ(pread(file, &byte, 1, 0), 1);
	CHECK_EQ(byte, 0);
	CHECK_ERRNO(pwrite(fd, "a", 1, (off_t)shared), EIO);
	CHECK_EQ(pwrite(fd, "a", 1, (off_t)none), 1);
	CHECK_EQ(pread(fd, &byte, 1, (off_t)none), 1);
	CHECK_EQ(byte, 'a');
	/* Code is a private mapping of a file that nobody may write to. */
	CHECK_EQ(pread(fd, &byte, 1, (off_t)(uintptr_t)stopped_child), 1);
	CHECK_EQ(pwrite(fd, &byte, 1, (off_t)(uintptr_t)stopped_child), 1);
}
