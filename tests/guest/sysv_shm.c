/* System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2). */
#include "fault.h"
#include "sysv.h"

#include <linux/mempolicy.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define RW (PROT_READ | PROT_WRITE)
#define BAD ((void *)-1)

static int new_segment(size_t size, int mode)
{
	return remember(SEGMENT, shmget(IPC_PRIVATE, size, mode));
}

static struct shmid_ds status_of(int id)
{
	struct shmid_ds status;

	memset(&status, 0, sizeof(status));
	MUST(shmctl(id, IPC_STAT, &status));
	return status;
}

static long attached(int id)
{
	return (long)status_of(id).shm_nattch;
}

static char *attach(int id, int flags)
{
	char *memory = shmat(id, NULL, flags);

	MUST(memory == BAD ? -1 : 0);
	return memory;
}

TEST(a_new_segment)
{
	time_t before = time(NULL);
	int id = new_segment(5000, 0640);
	struct shmid_ds status = status_of(id);
	char *memory;

	CHECK_EQ(status.shm_segsz, 5000);
	CHECK_EQ(status.shm_perm.mode, 0640);
	CHECK_EQ(status.shm_perm.__key, IPC_PRIVATE);
	CHECK_EQ(status.shm_perm.uid, geteuid());
	CHECK_EQ(status.shm_perm.cuid, geteuid());
	CHECK_EQ(status.shm_perm.gid, getegid());
	CHECK_EQ(status.shm_perm.cgid, getegid());
	CHECK_EQ(status.shm_cpid, getpid());
	CHECK_EQ(status.shm_lpid, 0);
	CHECK_EQ(status.shm_nattch, 0);
	CHECK_EQ(status.shm_atime, 0);
	CHECK_EQ(status.shm_dtime, 0);
	CHECK(status.shm_ctime >= before && status.shm_ctime <= time(NULL));
	memory = attach(id, 0);
	CHECK(is_zero(memory, 5000));
	CHECK_EQ((uintptr_t)memory % PAGE, 0);
	status = status_of(id);
	CHECK_EQ(status.shm_nattch, 1);
	CHECK_EQ(status.shm_lpid, getpid());
	CHECK(status.shm_atime >= before);
	CHECK_EQ(status.shm_dtime, 0);
	CHECK_EQ(shmdt(memory), 0);
	status = status_of(id);
	CHECK_EQ(status.shm_nattch, 0);
	CHECK(status.shm_dtime >= before);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EINVAL);
	CHECK_ERRNO(shmat(id, NULL, 0), EINVAL);
	CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EINVAL);
}

/* Each area is an attachment: a change of rights moves the border between two, or makes one of them. */
TEST(a_border_between_rights_moves)
{
	int id = remember(SEGMENT, shmget(IPC_PRIVATE, 8 * PAGE, 0600));
	char *memory = attach(id, 0);

	CHECK_EQ(mprotect(memory, 4 * PAGE, PROT_READ), 0);
	CHECK_EQ(attached(id), 2);
	/* From within the first, which has these rights already. */
	CHECK_EQ(mprotect(memory + 3 * PAGE, 2 * PAGE, PROT_READ), 0);
	CHECK_EQ(attached(id), 2);
	CHECK_EQ(mprotect(memory + 3 * PAGE, 3 * PAGE, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(attached(id), 2);
	CHECK_EQ(mprotect(memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(attached(id), 2);
	CHECK_EQ(mprotect(memory, PAGE, PROT_NONE), 0);
	CHECK_EQ(attached(id), 3);
	/* A whole area stays one, and gets a part of the next. */
	CHECK_EQ(mprotect(memory, 3 * PAGE, PROT_NONE), 0);
	CHECK_EQ(attached(id), 3);
	CHECK_EQ(mprotect(memory, 8 * PAGE, PROT_NONE), 0);
	CHECK_EQ(attached(id), 3);
	CHECK_EQ(mprotect(memory, 4 * PAGE, PROT_READ), 0);
	CHECK_EQ(attached(id), 3);
	CHECK_EQ(mprotect(memory, 8 * PAGE, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(attached(id), 3);
	/* Pages keep what is written, and have the rights of the area that they come to. */
	memory[2 * PAGE] = 2;
	memory[3 * PAGE] = 3;
	memory[4 * PAGE] = 4;
	CHECK_EQ(mprotect(memory + 4 * PAGE, 4 * PAGE, PROT_READ), 0);
	CHECK_EQ(attached(id), 3);
	CHECK_EQ(mprotect(memory + 3 * PAGE, PAGE, PROT_READ), 0);
	CHECK_EQ(attached(id), 3);
	CHECK_EQ(touch(memory + 3 * PAGE, WRITE), SIGSEGV);
	CHECK_EQ(memory[3 * PAGE], 3);
	CHECK_EQ(mprotect(memory + 3 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(attached(id), 3);
	CHECK_EQ(touch(memory + 4 * PAGE, WRITE), 0);
	CHECK_EQ(touch(memory + 5 * PAGE, WRITE), SIGSEGV);
	CHECK_EQ(memory[2 * PAGE], 2);
	CHECK_EQ(munmap(memory + 4 * PAGE, PAGE), 0);
	CHECK_EQ(attached(id), 3);
	CHECK_EQ(shmdt(memory), 0);
	CHECK_EQ(attached(id), 0);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

/* The same of what is locked, advised or bound. */
TEST(a_border_between_flags_moves)
{
	int id = remember(SEGMENT, shmget(IPC_PRIVATE, 10 * PAGE, 0600));
	char *memory = attach(id, 0);
	unsigned long node = 1;
	int mode = -1;

	CHECK_EQ(mlock(memory, 4 * PAGE), 0);
	CHECK_EQ(attached(id), 2);
	CHECK_EQ(munlock(memory + 3 * PAGE, 2 * PAGE), 0);
	CHECK_EQ(attached(id), 2);
	CHECK_EQ(mlock(memory + 2 * PAGE, 3 * PAGE), 0);
	CHECK_EQ(attached(id), 2);
	/* Pages that are brought in when they are touched are locked differently. */
	CHECK_EQ(mlock2(memory + 6 * PAGE, PAGE, MLOCK_ONFAULT), 0);
	CHECK_EQ(attached(id), 4);
	CHECK_EQ(mlock2(memory + 7 * PAGE, PAGE, MLOCK_ONFAULT), 0);
	CHECK_EQ(attached(id), 4);
	CHECK_EQ(munlock(memory, 10 * PAGE), 0);
	CHECK_EQ(attached(id), 4);
	/* Two whole areas, and the begin of the next, which goes to the second. */
	CHECK_EQ(madvise(memory, 7 * PAGE, MADV_DONTDUMP), 0);
	CHECK_EQ(attached(id), 4);
	CHECK_EQ(madvise(memory + 6 * PAGE, PAGE, MADV_DODUMP), 0);
	CHECK_EQ(attached(id), 4);
	CHECK_EQ(madvise(memory, 10 * PAGE, MADV_DODUMP), 0);
	CHECK_EQ(syscall(SYS_mbind, memory, 3 * PAGE, MPOL_BIND, &node, 64, 0), 0);
	CHECK_EQ(attached(id), 5);
	CHECK_EQ(syscall(SYS_mbind, memory + PAGE, 2 * PAGE, MPOL_DEFAULT, NULL, 0, 0), 0);
	CHECK_EQ(attached(id), 5);
	CHECK_EQ(syscall(SYS_get_mempolicy, &mode, NULL, 0, memory + 2 * PAGE, MPOL_F_ADDR), 0);
	CHECK_EQ(mode, MPOL_DEFAULT);
	CHECK_EQ(syscall(SYS_get_mempolicy, &mode, NULL, 0, memory, MPOL_F_ADDR), 0);
	CHECK_EQ(mode, MPOL_BIND);
	CHECK_EQ(shmdt(memory), 0);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

TEST(what_is_written_is_seen_by_others_and_later)
{
	int id = new_segment(3 * PAGE, 0600);
	char *first = attach(id, 0), *second = attach(id, 0);
	pid_t child;

	CHECK(first != second);
	CHECK_EQ(attached(id), 2);
	strcpy(first + PAGE, "parent");
	CHECK_STRING(second + PAGE, "parent");
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(attached(id), 4);
		CHECK_STRING(first + PAGE, "parent");
		strcpy(second + 2 * PAGE, "child");
		CHECK_EQ(shmdt(first), 0);
		CHECK_EQ(attached(id), 3);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(attached(id), 2);
	CHECK_EQ(status_of(id).shm_lpid, child);
	CHECK_STRING(first + 2 * PAGE, "child");
	MUST(shmdt(first));
	MUST(shmdt(second));
	CHECK_EQ(touch(first, READ), SIGSEGV);
	first = attach(id, SHM_RDONLY);
	CHECK_STRING(first + PAGE, "parent");
	CHECK_STRING(first + 2 * PAGE, "child");
}

ROLE(attached_count)
{
	return (int)attached(atoi(argv[2]));
}

TEST(exec_and_exit_detach)
{
	int id = new_segment(PAGE, 0600);
	char *memory = attach(id, 0), number[20];
	pid_t child;

	snprintf(number, sizeof(number), "%d", id);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		execl(check_self, check_self, "attached_count", number, NULL);
		_exit(99);
	}
	CHECK_EQ(wait_for(child), EXITED(1));
	CHECK_EQ(attached(id), 1);
	child = (pid_t)MUST(vfork());
	if (child == 0)
		_exit(0);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(attached(id), 1);
	child = child_that_pauses();
	AWAIT(attached(id) == 2);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_EQ(attached(id), 1);
	MUST(madvise(memory, PAGE, MADV_DONTFORK));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(attached(id) == 1 && touch(memory, READ) == SIGSEGV);
	CHECK_EQ(wait_for(child), EXITED(1));
	CHECK_EQ(attached(id), 1);
}

TEST(a_crash_in_the_middle_of_a_write)
{
	int id = new_segment(2 * PAGE, 0600);
	volatile char *memory = shmat(id, free_range(4), 0);
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(prctl(PR_SET_DUMPABLE, 0));
		handle(SIGSEGV, SIG_DFL, 0);
		for (size_t at = 0;; at++)
			memory[at] = 'c';
	}
	CHECK_EQ(wait_for(child) & 0x7f, SIGSEGV);
	CHECK_EQ(attached(id), 1);
	CHECK_EQ(memory[0], 'c');
	CHECK_EQ(memory[2 * PAGE - 1], 'c');
}

TEST(removed_while_attached)
{
	key_t key = new_key();
	int id = remember(SEGMENT, shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600));
	char *memory = attach(id, 0), *again;
	struct shmid_ds status;

	CHECK_EQ(shmget(key, PAGE, 0), id);
	CHECK_EQ(status_of(id).shm_perm.__key, key);
	memory[0] = 'm';
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	status = status_of(id);
	CHECK_EQ(status.shm_perm.mode, 0600 | SHM_DEST);
	CHECK_EQ(status.shm_perm.__key, IPC_PRIVATE);
	CHECK_EQ(status.shm_nattch, 1);
	CHECK_ERRNO(shmget(key, PAGE, 0), ENOENT);
	again = attach(id, 0);
	CHECK_EQ(again[0], 'm');
	CHECK_EQ(shmdt(memory), 0);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	again[1] = 'a';
	CHECK_EQ(again[0], 'm');
	CHECK_EQ(shmdt(again), 0);
	CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EINVAL);
	id = remember(SEGMENT, shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600));
	CHECK(is_zero(attach(id, 0), PAGE));
}

/* What is mapped goes before the pages are mapped anew, and with the last of it a segment that was removed. */
TEST(pages_of_a_removed_segment_are_remapped)
{
	int id = remember(SEGMENT, shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600));
	char *memory = attach(id, 0), *again;
	unsigned char present;

	for (int at = 0; at < 3; at++)
		memory[at * PAGE] = (char)('a' + at);
	CHECK_EQ(remap_file_pages(memory, 3 * PAGE, 0, 0, 0), 0);
	CHECK_EQ(status_of(id).shm_nattch, 1);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	/* Two pages are mapped still. */
	CHECK_EQ(remap_file_pages(memory + PAGE, PAGE, 0, 2, 0), 0);
	CHECK_EQ(memory[PAGE], 'c');
	CHECK_EQ(status_of(id).shm_nattch, 3);
	CHECK_EQ(munmap(memory + PAGE, 2 * PAGE), 0);
	again = attach(id, 0);
	CHECK_EQ(remap_file_pages(memory, PAGE, 0, 1, 0), 0);
	CHECK_EQ(memory[0], 'b');
	CHECK_EQ(status_of(id).shm_nattch, 2);
	CHECK_EQ(munmap(memory, PAGE), 0);
	CHECK_ERRNO(remap_file_pages(again, 3 * PAGE, 0, 0, 0), EINVAL);
	CHECK_ERRNO(mincore(again, PAGE, &present), ENOMEM);
	CHECK_ERRNO(shmctl(id, IPC_STAT, &(struct shmid_ds){0}), EINVAL);
	CHECK_EQ(mmap(again, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), again);
}

TEST(keys)
{
	key_t key = new_key();
	int id = remember(SEGMENT, shmget(key, 2 * PAGE, IPC_CREAT | 0600)), other;

	CHECK_EQ(shmget(key, 0, 0), id);
	CHECK_EQ(shmget(key, PAGE, 0600), id);
	CHECK_EQ(shmget(key, 2 * PAGE, IPC_CREAT), id);
	CHECK_EQ(shmget(key, PAGE, IPC_EXCL), id);
	CHECK_ERRNO(shmget(key, 2 * PAGE + 1, 0), EINVAL);
	CHECK_ERRNO(shmget(key, PAGE, IPC_CREAT | IPC_EXCL), EEXIST);
	CHECK_ERRNO(shmget(new_key(), PAGE, 0600), ENOENT);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	CHECK_ERRNO(shmget(new_key(), 0, IPC_CREAT | 0600), EINVAL);
	CHECK_ERRNO(shmget(IPC_PRIVATE, SIZE_MAX, 0600), EINVAL);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 1UL << 63, 0600), EINVAL);
	CHECK_ERRNO(shmget(IPC_PRIVATE, (1UL << 63) - PAGE, 0600), ENOMEM);
	CHECK_ERRNO(shmget(IPC_PRIVATE, (size_t)1 << 50, 0600), ENOMEM);
	CHECK_ERRNO(shmget(IPC_PRIVATE, PAGE, SHM_HUGETLB | 63 << 26 | 0600), EINVAL);
	other = new_segment(PAGE, 0600);
	CHECK(other != id);
	CHECK(new_segment(PAGE, 0600) != other);
	MUST(shmctl(other, IPC_RMID, NULL));
	CHECK(new_segment(PAGE, 0600) != other);
	CHECK_ERRNO(shmat(other, NULL, 0), EINVAL);
	CHECK_ERRNO(shmat(-1, NULL, 0), EINVAL);
	CHECK_ERRNO(shmctl(-1, IPC_STAT, NULL), EINVAL);
	CHECK_ERRNO(shmctl(id, 77, NULL), EINVAL);
	CHECK_ERRNO(shmctl(id, -1, NULL), EINVAL);
	CHECK_ERRNO(shmctl(id, IPC_STAT, bad_address()), EFAULT);
	CHECK_ERRNO(shmctl(id, IPC_SET, bad_address()), EFAULT);
	CHECK_ERRNO(shmctl(0x7fffffff, IPC_RMID, NULL), EINVAL);
}

TEST(read_only)
{
	int id = new_segment(PAGE, 0600);
	char *writable = attach(id, 0), *memory = attach(id, SHM_RDONLY);

	writable[0] = 'w';
	CHECK_EQ(memory[0], 'w');
	CHECK_EQ(touch(memory, WRITE), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_ACCERR);
	CHECK_ERRNO(mprotect(memory, PAGE, RW), EACCES);
	CHECK_ERRNO(shmctl(id, IPC_STAT, (struct shmid_ds *)memory), EFAULT);
	CHECK_EQ(mprotect(writable, PAGE, PROT_READ), 0);
	CHECK_EQ(mprotect(writable, PAGE, RW), 0);
	CHECK_EQ(touch(writable, WRITE), 0);
	CHECK_EQ(touch(writable, EXECUTE), SIGSEGV);
	memory = attach(id, SHM_EXEC);
	memory[0] = (char)0xc3;
	CHECK_EQ(touch(memory, EXECUTE), 0);
}

TEST(addresses)
{
	int id = new_segment(2 * PAGE, 0600);
	char *range = free_range(8), *memory;

	memory = shmat(id, range + PAGE, 0);
	CHECK(memory == range + PAGE);
	CHECK_ERRNO(shmat(id, range + PAGE, 0), EINVAL);
	CHECK_ERRNO(shmat(id, range + 2 * PAGE, 0), EINVAL);
	CHECK_ERRNO(shmat(id, range, 0), EINVAL);
	CHECK_ERRNO(shmat(id, range + 3 * PAGE + 5, 0), EINVAL);
	CHECK(shmat(id, range + 3 * PAGE + 5, SHM_RND) == range + 3 * PAGE);
	CHECK_EQ(attached(id), 2);
	CHECK_ERRNO(shmat(id, NULL, SHM_REMAP), EINVAL);
	CHECK_ERRNO(shmat(id, (void *)5, SHM_REMAP | SHM_RND), EINVAL);
	CHECK(shmat(id, range + 2 * PAGE, SHM_REMAP) == range + 2 * PAGE);
	/* Half of each of the two is left. */
	CHECK_EQ(attached(id), 3);
	strcpy(range + 3 * PAGE, "second");
	CHECK_STRING(range + 4 * PAGE, "second");
	CHECK_ERRNO(shmdt(range + PAGE + 1), EINVAL);
	CHECK_ERRNO(shmdt(range + 5 * PAGE), EINVAL);
	CHECK_EQ(shmdt(range + 2 * PAGE), 0);
	CHECK_EQ(attached(id), 2);
	CHECK_EQ(shmdt(range + PAGE), 0);
	CHECK_EQ(shmdt(range + 3 * PAGE), 0);
	CHECK_ERRNO(shmdt(range + 3 * PAGE), EINVAL);
	CHECK_EQ(attached(id), 0);
	CHECK_ERRNO(shmat(id, (void *)0x7ffffffff000, 0), ENOMEM);
	CHECK_ERRNO(shmat(id, (void *)-PAGE, 0), EINVAL);
	CHECK_ERRNO(shmat(id, (void *)(-2 * PAGE), 0), EINVAL);
	CHECK_ERRNO(shmat(id, (void *)(-3 * PAGE), 0), ENOMEM);
	memory = map_pages(2);
	CHECK_ERRNO(shmdt(memory), EINVAL);
	CHECK(shmat(id, memory, SHM_REMAP) == memory);
	CHECK_EQ(attached(id), 1);
	MUST(munmap(memory, 2 * PAGE));
	CHECK_EQ(attached(id), 0);
}

/* An address rounded down to 0 is one that was asked for, and as much or as little to be had as by mmap(2). */
TEST(the_first_page)
{
	int id = (int)MUST(shmget(IPC_PRIVATE, 4096, 0600));
	void *first = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	int wanted = first == MAP_FAILED ? errno : 0;
	void *at;

	munmap(NULL, 4096);
	at = shmat(id, (void *)8, SHM_RND);
	CHECK_EQ(at == (void *)-1 ? errno : 0, wanted);
	CHECK(at == (void *)-1 || at == NULL);
	MUST(shmctl(id, IPC_RMID, NULL));
}

TEST(parts_of_a_segment)
{
	int id = new_segment(6 * PAGE, 0600);
	char *memory = attach(id, 0), *moved;

	CHECK_EQ(mprotect(memory + 2 * PAGE, PAGE, PROT_READ), 0);
	CHECK_EQ(attached(id), 3);
	CHECK_EQ(mprotect(memory + 2 * PAGE, PAGE, RW), 0);
	CHECK_EQ(attached(id), 3);
	CHECK_EQ(munmap(memory + 4 * PAGE, PAGE), 0);
	CHECK_EQ(attached(id), 4);
	memory[5 * PAGE] = 'p';
	CHECK_EQ(shmdt(memory), 0);
	CHECK_EQ(attached(id), 0);
	CHECK_EQ(touch(memory + 5 * PAGE, READ), SIGSEGV);
	memory = attach(id, 0);
	CHECK_EQ(memory[5 * PAGE], 'p');
	CHECK_EQ(munmap(memory, PAGE), 0);
	CHECK_EQ(attached(id), 1);
	CHECK_EQ(shmdt(memory), 0);
	CHECK_EQ(attached(id), 0);
	memory = attach(id, 0);
	moved = mremap(memory, 6 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED);
	CHECK_EQ(attached(id), 1);
	CHECK_EQ(moved[5 * PAGE], 'p');
	CHECK_EQ(touch(moved + 6 * PAGE, READ), SIGBUS);
	CHECK_EQ(shmdt(moved), 0);
}

TEST(what_stays_as_it_is_is_in_one_piece)
{
	int id = new_segment(3 * PAGE, 0600);
	char *memory = attach(id, 0);

	MUST(madvise(memory, PAGE, MADV_DOFORK));
	MUST(madvise(memory + PAGE, PAGE, MADV_NORMAL));
	MUST(mprotect(memory, PAGE, PROT_READ | PROT_WRITE));
	MUST(munlock(memory, PAGE));
	CHECK_EQ(attached(id), 1);
	MUST(mlock(memory, 3 * PAGE));
	MUST(mlock(memory + PAGE, PAGE));
	CHECK_EQ(attached(id), 1);
	MUST(mprotect(memory, PAGE, PROT_READ));
	CHECK_EQ(attached(id), 2);
	MUST(munlock(memory + PAGE, 2 * PAGE));
	CHECK_EQ(attached(id), 2);
	MUST(madvise(memory + PAGE, PAGE, MADV_DONTDUMP));
	CHECK_EQ(attached(id), 3);
}

TEST(who_may)
{
	int id = new_segment(PAGE, 0644), closed = new_segment(PAGE, 0600), key = new_key();
	struct shmid_ds status = status_of(id);

	if (geteuid() != 0)
		_exit(0);
	remember(SEGMENT, shmget(key, PAGE, IPC_CREAT | 0640));
	AS_NOBODY({
		CHECK_ERRNO(shmat(id, NULL, 0), EACCES);
		CHECK(shmat(id, NULL, SHM_RDONLY) != BAD);
		CHECK_ERRNO(shmat(id, NULL, SHM_RDONLY | SHM_EXEC), EACCES);
		CHECK_ERRNO(shmat(closed, NULL, SHM_RDONLY), EACCES);
		CHECK_EQ(shmctl(id, IPC_STAT, &status), 0);
		CHECK_ERRNO(shmctl(closed, IPC_STAT, &status), EACCES);
		CHECK_ERRNO(shmctl(id, IPC_SET, &status), EPERM);
		CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
		CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
		CHECK_ERRNO(shmctl(id, SHM_UNLOCK, NULL), EPERM);
		CHECK_ERRNO(shmget(key, PAGE, 0600), EACCES);
		CHECK_ERRNO(shmget(key, PAGE, 0444), EACCES);
		CHECK(shmget(key, PAGE, 0) != -1);
	});
	status.shm_perm.uid = NOBODY;
	status.shm_perm.mode = 07000 | 0604;
	CHECK_EQ(shmctl(id, IPC_SET, &status), 0);
	status = status_of(id);
	CHECK_EQ(status.shm_perm.mode, 0604);
	CHECK_EQ(status.shm_perm.uid, NOBODY);
	CHECK_EQ(status.shm_perm.cuid, 0);
	AS_NOBODY({
		CHECK(shmat(id, NULL, 0) != BAD);
		status.shm_perm.mode = 0;
		CHECK_EQ(shmctl(id, IPC_SET, &status), 0);
		CHECK_ERRNO(shmat(id, NULL, SHM_RDONLY), EACCES);
		CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EACCES);
		CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	});
	status.shm_perm.uid = (uid_t)-1;
	CHECK_ERRNO(shmctl(closed, IPC_SET, &status), EINVAL);
}

TEST(locked)
{
	int id = new_segment(3 * PAGE, 0666);
	struct rlimit none = {0, 0}, little = {2 * PAGE, 2 * PAGE};
	struct shmid_ds status = status_of(id);

	CHECK_EQ(shmctl(id, SHM_LOCK, NULL), 0);
	CHECK_EQ(status_of(id).shm_perm.mode, 0666 | SHM_LOCKED);
	CHECK_EQ(shmctl(id, SHM_LOCK, NULL), 0);
	CHECK_EQ(shmctl(id, SHM_UNLOCK, NULL), 0);
	CHECK_EQ(status_of(id).shm_perm.mode, 0666);
	CHECK_EQ(shmctl(id, SHM_UNLOCK, NULL), 0);
	status.shm_perm.uid = geteuid() == 0 ? NOBODY : geteuid();
	CHECK_EQ(shmctl(id, IPC_SET, &status), 0);
	AS_NOBODY({
		MUST(setrlimit(RLIMIT_MEMLOCK, &little));
		CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), ENOMEM);
		MUST(setrlimit(RLIMIT_MEMLOCK, &none));
		CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
		CHECK_EQ(shmctl(id, SHM_UNLOCK, NULL), 0);
	});
}

TEST(limits_of_the_process)
{
	int id = new_segment(64 * PAGE, 0600);
	struct rlimit space;
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	MUST(fscanf(file, "%lu", &pages) == 1 ? 0 : -1);
	fclose(file);
	space.rlim_cur = space.rlim_max = (pages + 32) * PAGE;
	MUST(setrlimit(RLIMIT_AS, &space));
	CHECK_ERRNO(shmat(id, NULL, 0), ENOMEM);
	CHECK_EQ(attached(id), 0);
	CHECK(shmat(new_segment(PAGE, 0600), NULL, 0) != BAD);
}

TEST(information)
{
	int id = new_segment(3 * PAGE, 0600), last, found = -1;
	struct shminfo limits;
	struct shm_info use, later;
	struct shmid_ds status;

	last = shmctl(0, IPC_INFO, (struct shmid_ds *)&limits);
	CHECK(last >= 0);
	CHECK_EQ(limits.shmmni, 4096);
	CHECK_EQ(limits.shmmin, 1);
	CHECK_EQ(limits.shmmax, ULONG_MAX - (1UL << 24));
	CHECK_EQ(limits.shmall, ULONG_MAX - (1UL << 24));
	CHECK_EQ(shmctl(0, SHM_INFO, (struct shmid_ds *)&use), last);
	CHECK(use.used_ids >= 1);
	CHECK(use.shm_tot >= 3);
	memset(attach(id, 0), 'x', 2 * PAGE);
	shmctl(0, SHM_INFO, (struct shmid_ds *)&later);
	CHECK(later.shm_rss >= 2);
	CHECK_EQ(later.shm_swp, 0);
	for (int at = 0; at <= last; at++) {
		if (shmctl(at, SHM_STAT, &status) == id) {
			found = at;
			CHECK_EQ(status.shm_segsz, 3 * PAGE);
		}
	}
	CHECK(found >= 0);
	CHECK_EQ(id & 0x7fff, found);
	CHECK_EQ(shmctl(found, SHM_STAT_ANY, &status), id);
	CHECK_EQ(status.shm_perm.__seq, id >> 15);
	CHECK_ERRNO(shmctl(0x7ffe, SHM_STAT, &status), EINVAL);
	CHECK_ERRNO(shmctl(-1, SHM_INFO, (struct shmid_ds *)&use), EINVAL);
	CHECK_ERRNO(shmctl(0, IPC_INFO, bad_address()), EFAULT);
	if (geteuid() == 0)
		AS_NOBODY({
			CHECK_ERRNO(shmctl(found, SHM_STAT, &status), EACCES);
			CHECK_EQ(shmctl(found, SHM_STAT_ANY, &status), id);
		});
}

TEST(proc_shows_segments)
{
	key_t key = new_key();
	int id = remember(SEGMENT, shmget(key, 3 * PAGE, IPC_CREAT | 0620)), lines = 0;
	char line[300], want[300];
	char *memory = attach(id, 0);
	FILE *file = fopen("/proc/sysvipc/shm", "r");

	memory[0] = 'x';
	MUST(file == NULL || fgets(line, sizeof(line), file) == NULL ? -1 : 0);
	CHECK_STRING(line, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime"
			   "      dtime      ctime                   rss                  swap\n");
	snprintf(want, sizeof(want), "%10d %10d   620                 12288 %5u %5u      1 %5u %5u %5u %5u ", key, id, getpid(),
		 getpid(), geteuid(), getegid(), geteuid(), getegid());
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, want, strlen(want)) == 0) {
			lines++;
			/* From where the times begin: a process id may be wider than its column. */
			CHECK_EQ(strlen(line + strlen(want)), 77);
			CHECK_STRING(line + strlen(want) + 33, "                 4096                     0\n");
		}
	}
	CHECK_EQ(lines, 1);
	fclose(file);
	file = fopen("/proc/self/maps", "r");
	snprintf(want, sizeof(want), "/SYSV%08x (deleted)\n", key);
	lines = 0;
	while (fgets(line, sizeof(line), file) != NULL) {
		unsigned long start, end, offset, inode;
		char rights[5];

		if (strstr(line, want) == NULL)
			continue;
		lines++;
		CHECK_EQ(sscanf(line, "%lx-%lx %4s %lx %*s %lu", &start, &end, rights, &offset, &inode), 5);
		CHECK_EQ(start, (uintptr_t)memory);
		CHECK_EQ(end - start, 3 * PAGE);
		CHECK_STRING(rights, "rw-s");
		CHECK_EQ(inode, id);
	}
	CHECK_EQ(lines, 1);
}
