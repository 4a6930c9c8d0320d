/* Memory that processes and files share or copy: copy-on-write, shared and file mappings: mmap(2), fork(2), msync(2). */
#include "fault.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#define RW (PROT_READ | PROT_WRITE)

static char *map_file(int fd, size_t length, int protection, int flags, off_t offset)
{
	void *memory = mmap(NULL, length, protection, flags, fd, offset);

	MUST(memory == MAP_FAILED ? -1 : 0);
	return memory;
}

/* Opens a new file of the scratch directory that holds `pages` pages, of 'A', 'B' and so on, and `more` bytes of 'z'. */
static int file_of_pages(const char *name, size_t pages, size_t more)
{
	char page[PAGE];
	int fd = (int)MUST(open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));

	for (size_t at = 0; at < pages; at++) {
		memset(page, 'A' + (int)at, sizeof(page));
		write_all(fd, page, sizeof(page));
	}
	memset(page, 'z', sizeof(page));
	write_all(fd, page, more);
	return fd;
}

static int byte_at(int fd, off_t offset)
{
	unsigned char byte;

	return pread(fd, &byte, 1, offset) == 1 ? byte : -1;
}

TEST(fork_copies_private_memory)
{
	char *memory = map_pages(3);
	int to_child[2], to_parent[2];
	char byte;
	pid_t child;

	memset(memory, 'p', 3 * PAGE);
	MUST(pipe(to_child));
	MUST(pipe(to_parent));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(memory[0], 'p');
		memory[0] = 'c';
		CHECK_EQ(memory[0], 'c');
		CHECK_EQ(memory[1], 'p');
		write_all(to_parent[1], "x", 1);
		MUST(read(to_child[0], &byte, 1));
		CHECK_EQ(memory[PAGE], 'p');
		CHECK_EQ(memory[2 * PAGE], 'p');
		_exit(0);
	}
	MUST(read(to_parent[0], &byte, 1));
	CHECK_EQ(memory[0], 'p');
	memory[0] = 'q';
	memory[PAGE] = 'q';
	write_all(to_child[1], "x", 1);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(memory[0], 'q');
	CHECK_EQ(memory[2 * PAGE], 'p');
	memory[2 * PAGE] = 'r';
	CHECK_EQ(memory[2 * PAGE], 'r');
}

TEST(three_generations_have_three_copies)
{
	char *memory = map_pages(1);
	pid_t child;

	memory[0] = 1;
	child = (pid_t)MUST(fork());
	if (child == 0) {
		memory[0] = 2;
		child = (pid_t)MUST(fork());
		if (child == 0) {
			CHECK_EQ(memory[0], 2);
			memory[0] = 3;
			child = (pid_t)MUST(fork());
			if (child == 0) {
				CHECK_EQ(memory[0], 3);
				memory[0] = 4;
				_exit(memory[0]);
			}
			CHECK_EQ(wait_for(child), EXITED(4));
			_exit(memory[0]);
		}
		CHECK_EQ(wait_for(child), EXITED(3));
		_exit(memory[0]);
	}
	CHECK_EQ(wait_for(child), EXITED(2));
	CHECK_EQ(memory[0], 1);
}

TEST(siblings_have_their_own_copies)
{
	enum { CHILDREN = 6, PAGES = 20 };
	char *memory = map_pages(PAGES);
	int wrong = 0;

	for (int child = 0; child < CHILDREN; child++) {
		memset(memory, 'a' + child, PAGES * PAGE);
		if (MUST(fork()) == 0) {
			for (int page = 0; page < PAGES; page++) {
				wrong += memory[(size_t)page * PAGE + 77] != 'a' + child;
				memory[(size_t)page * PAGE + 77] = (char)page;
			}
			for (int page = 0; page < PAGES; page++)
				wrong += memory[(size_t)page * PAGE + 77] != page;
			_exit(wrong);
		}
	}
	for (int child = 0; child < CHILDREN; child++) {
		int status;

		MUST(wait(&status));
		wrong += status;
	}
	CHECK_EQ(wrong, 0);
	CHECK_EQ(memory[77], 'a' + CHILDREN - 1);
}

TEST(the_kernel_s_writes_are_copied_too)
{
	char *memory = map_pages(2);
	struct timespec *stamp = (struct timespec *)(memory + PAGE);
	int ends[2];
	pid_t child;

	strcpy(memory, "parent");
	stamp->tv_sec = -5;
	MUST(pipe(ends));
	write_all(ends[1], "kernel", 7);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(read(ends[0], memory, 7), 7);
		CHECK_STRING(memory, "kernel");
		CHECK_EQ(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, stamp), 0);
		CHECK(stamp->tv_sec >= 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_STRING(memory, "parent");
	CHECK_EQ(stamp->tv_sec, -5);
	CHECK_EQ(write(ends[1], memory, 7), 7);
	CHECK_EQ(read(ends[0], memory + 100, 7), 7);
	CHECK_STRING(memory + 100, "parent");
}

TEST(untouched_and_read_only_pages_after_fork)
{
	char *memory = map_pages(3);
	pid_t child;

	CHECK_EQ(memory[0], 0);
	memory[PAGE] = 'r';
	MUST(mprotect(memory + PAGE, PAGE, PROT_READ));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		memory[0] = 'c';
		memory[2 * PAGE] = 'c';
		CHECK_EQ(touch(memory + PAGE, WRITE), SIGSEGV);
		CHECK_EQ(fault_code, SEGV_ACCERR);
		MUST(mprotect(memory + PAGE, PAGE, RW));
		memory[PAGE] = 'c';
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(memory[0], 0);
	CHECK_EQ(memory[PAGE], 'r');
	CHECK_EQ(memory[2 * PAGE], 0);
	CHECK_EQ(touch(memory + PAGE, WRITE), SIGSEGV);
}

TEST(shared_anonymous_memory)
{
	int *memory = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ends[2];
	char byte;
	pid_t child;

	CHECK(memory != MAP_FAILED && memory[0] == 0);
	memory[0] = 10;
	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(memory[0], 10);
		memory[0] = 20;
		memory[1024] = 30;
		MUST(read(ends[0], &byte, 1));
		CHECK_EQ(memory[1], 40);
		memory[2] = 50;
		MUST(munmap(memory, 2 * PAGE));
		_exit(0);
	}
	memory[1] = 40;
	write_all(ends[1], "x", 1);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(memory[0], 20);
	CHECK_EQ(memory[1024], 30);
	CHECK_EQ(memory[2], 50);
}

TEST(shared_counter_of_many_processes)
{
	enum { CHILDREN = 4, STEPS = 500 };
	int *counter = make_shared_page();

	for (int child = 0; child < CHILDREN; child++) {
		if (MUST(fork()) == 0) {
			for (int step = 0; step < STEPS; step++)
				__atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		continue;
	CHECK_EQ(*counter, CHILDREN * STEPS);
}

TEST(private_mapping_of_a_file)
{
	char *first, *second;
	int fd;

	enter_scratch();
	fd = file_of_pages("file", 2, 10);
	first = map_file(fd, 3 * PAGE, RW, MAP_PRIVATE, 0);
	second = map_file(fd, 3 * PAGE, PROT_READ, MAP_PRIVATE, 0);
	CHECK_EQ(first[0], 'A');
	CHECK_EQ(first[PAGE], 'B');
	CHECK_EQ(first[2 * PAGE + 9], 'z');
	CHECK(is_zero(first + 2 * PAGE + 10, PAGE - 10));
	first[1] = 'x';
	CHECK_EQ(first[1], 'x');
	CHECK_EQ(first[0], 'A');
	CHECK_EQ(byte_at(fd, 1), 'A');
	CHECK_EQ(second[1], 'A');
	CHECK_EQ(madvise(first, PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(first[1], 'A');
	CHECK_EQ(touch(second, WRITE), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_ACCERR);
	CHECK_EQ(mprotect(second, PAGE, RW), 0);
	second[1] = 'y';
	CHECK_EQ(byte_at(fd, 1), 'A');
}

TEST(what_is_written_to_a_file_shows_in_what_was_read_alone)
{
	char *code, *data;
	int fd;

	enter_scratch();
	fd = file_of_pages("file", 2, 0);
	code = map_file(fd, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0);
	CHECK_EQ(code[0], 'A');
	data = map_file(fd, 2 * PAGE, RW, MAP_PRIVATE, 0);
	CHECK_EQ(data[PAGE], 'B');
	CHECK_EQ(pwrite(fd, "xyz", 3, 0), 3);
	CHECK_EQ(data[0], 'x');
	data[1] = 'Y';
	CHECK_EQ(pwrite(fd, "123", 3, 0), 3);
	CHECK_EQ(memcmp(data, "xYz", 3), 0);
	CHECK_EQ(code[0], '1');
}

TEST(shared_mapping_of_a_file)
{
	char *first, *second;
	int fd;
	pid_t child;

	enter_scratch();
	fd = file_of_pages("file", 2, 10);
	first = map_file(fd, 3 * PAGE, RW, MAP_SHARED, 0);
	second = map_file(fd, PAGE, RW, MAP_SHARED, PAGE);
	first[PAGE + 5] = 'w';
	CHECK_EQ(second[5], 'w');
	CHECK_EQ(byte_at(fd, PAGE + 5), 'w');
	second[6] = 'v';
	CHECK_EQ(first[PAGE + 6], 'v');
	CHECK_EQ(pwrite(fd, "written", 7, 100), 7);
	CHECK_EQ(memcmp(first + 100, "written", 7), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		first[200] = 'c';
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(first[200], 'c');
	CHECK_EQ(byte_at(fd, 200), 'c');
	first[2 * PAGE + 50] = 'e';
	CHECK_EQ(lseek(fd, 0, SEEK_END), 2 * PAGE + 10);
	CHECK_EQ(msync(first, 3 * PAGE, MS_SYNC), 0);
	CHECK_EQ(munmap(first, 3 * PAGE), 0);
	CHECK_EQ(close(fd), 0);
	second[7] = 'u';
	fd = (int)MUST(open("file", O_RDONLY));
	CHECK_EQ(byte_at(fd, PAGE + 7), 'u');
	CHECK_EQ(byte_at(fd, 200), 'c');
	CHECK_EQ(byte_at(fd, 2 * PAGE + 50), -1);
}

TEST(mapping_outlives_its_file_s_name)
{
	char *memory;
	int fd;

	enter_scratch();
	fd = file_of_pages("file", 1, 0);
	memory = map_file(fd, PAGE, RW, MAP_SHARED, 0);
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(unlink("file"), 0);
	CHECK_EQ(memory[10], 'A');
	memory[10] = 'n';
	CHECK_EQ(memory[10], 'n');
	CHECK_EQ(munmap(memory, PAGE), 0);
}

TEST(past_the_end_of_a_file)
{
	char *memory;
	int fd;

	enter_scratch();
	fd = file_of_pages("file", 1, 1);
	memory = map_file(fd, 4 * PAGE, RW, MAP_SHARED, 0);
	CHECK_EQ(touch(memory + PAGE + 4000, READ), 0);
	CHECK_EQ(touch(memory + 2 * PAGE + 3, READ), SIGBUS);
	CHECK_EQ(fault_code, BUS_ADRERR);
	CHECK(fault_address == memory + 2 * PAGE + 3);
	CHECK_EQ(touch(memory + 3 * PAGE, WRITE), SIGBUS);
	CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);
	CHECK_EQ(memory[2 * PAGE + 3], 0);
	CHECK_EQ(touch(memory + 3 * PAGE, READ), SIGBUS);
	CHECK_EQ(ftruncate(fd, 10), 0);
	CHECK_EQ(touch(memory + PAGE, READ), SIGBUS);
	CHECK_EQ(touch(memory + 2 * PAGE, READ), SIGBUS);
	CHECK_EQ(memory[9], 'A');
	CHECK(is_zero(memory + 10, PAGE - 10));
	CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
	CHECK(is_zero(memory + 10, 2 * PAGE - 10));
	memory = map_file(fd, PAGE, PROT_READ, MAP_PRIVATE, 10 * PAGE);
	CHECK_EQ(touch(memory, READ), SIGBUS);
}

TEST(truncated_private_copies)
{
	char *memory;
	int fd;
	pid_t child;

	enter_scratch();
	fd = file_of_pages("file", 2, 0);
	memory = map_file(fd, 2 * PAGE, RW, MAP_PRIVATE, 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		memory[0] = 'c';
		CHECK_EQ(memory[1], 'A');
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(memory[0], 'A');
	memory[PAGE] = 'p';
	CHECK_EQ(ftruncate(fd, PAGE), 0);
	CHECK_EQ(touch(memory + PAGE, READ), SIGBUS);
	CHECK_EQ(memory[0], 'A');
}

TEST(file_mapping_errnos)
{
	int readable, writable, directory, path;

	enter_scratch();
	close(file_of_pages("file", 1, 0));
	readable = (int)MUST(open("file", O_RDONLY));
	writable = (int)MUST(open("file", O_WRONLY));
	directory = (int)MUST(open(".", O_RDONLY));
	path = (int)MUST(open("file", O_PATH));
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, writable, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, writable, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, readable, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, directory, 0), ENODEV);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, path, 0), EBADF);
	CHECK_ERRNO(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, readable, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, 0, readable, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, readable, 100), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, readable, 0), EOPNOTSUPP);
	CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, readable, 0) != MAP_FAILED);
	CHECK_ERRNO(mprotect(map_file(readable, PAGE, PROT_READ, MAP_SHARED, 0), PAGE, RW), EACCES);
}

TEST(msync_errnos)
{
	char *memory;
	int fd;

	enter_scratch();
	fd = file_of_pages("file", 3, 0);
	memory = map_file(fd, 3 * PAGE, RW, MAP_SHARED, 0);
	CHECK_EQ(msync(memory, PAGE, MS_ASYNC), 0);
	CHECK_EQ(msync(memory, PAGE, MS_SYNC | MS_INVALIDATE), 0);
	CHECK_ERRNO(msync(memory, PAGE, MS_ASYNC | MS_SYNC), EINVAL);
	CHECK_ERRNO(msync(memory, PAGE, 0x100), EINVAL);
	CHECK_ERRNO(msync(memory + 1, PAGE, MS_SYNC), EINVAL);
	MUST(munmap(memory + PAGE, PAGE));
	CHECK_ERRNO(msync(memory, 3 * PAGE, MS_SYNC), ENOMEM);
}

TEST(memory_without_a_name)
{
	int fd = memfd_create("anything", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *memory, *second;
	struct stat status;

	CHECK(fd >= 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_size, 2 * PAGE);
	CHECK_EQ(status.st_nlink, 0);
	memory = map_file(fd, 2 * PAGE, RW, MAP_SHARED, 0);
	second = map_file(fd, PAGE, PROT_READ, MAP_SHARED, PAGE);
	memory[PAGE + 1] = 's';
	CHECK_EQ(second[1], 's');
	CHECK_EQ(byte_at(fd, PAGE + 1), 's');
	CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	CHECK_ERRNO(ftruncate(fd, PAGE), EPERM);
	CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	CHECK_ERRNO(ftruncate(fd, 4 * PAGE), EPERM);
	MUST(munmap(memory, 2 * PAGE));
	MUST(munmap(second, PAGE));
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), 0);
	CHECK_ERRNO(write(fd, "x", 1), EPERM);
	CHECK_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EPERM);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	CHECK_ERRNO(memfd_create("anything", 0x4000), EINVAL);
}

TEST(devices_as_memory)
{
	int zero = (int)MUST(open("/dev/zero", O_RDWR));
	char *private = map_file(zero, PAGE, RW, MAP_PRIVATE, 0), *shared = map_file(zero, PAGE, RW, MAP_SHARED, 0);
	pid_t child;

	CHECK(is_zero(private, PAGE));
	CHECK(is_zero(shared, PAGE));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		private[0] = shared[0] = 'c';
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(private[0], 0);
	CHECK_EQ(shared[0], 'c');
}

/* Private memory of /dev/zero is anonymous, but it's shown as of that file, at the offset that was asked for. */
TEST(anonymous_memory_of_a_device)
{
	int zero = (int)MUST(open("/dev/zero", O_RDWR));
	char *two = map_file(zero, 2 * PAGE, RW, MAP_PRIVATE, 3 * PAGE);
	char name[64], line[256], target[64] = "", want[32];
	FILE *maps;
	int found = 0;

	two[0] = 'x';
	/* Two areas now: the second one's offset is a page further. */
	MUST(mprotect(two + PAGE, PAGE, PROT_READ));
	snprintf(want, sizeof want, "%lx-%lx rw-p 00003000 ", (long)two, (long)two + PAGE);
	maps = fopen("/proc/self/maps", "r");
	MUST(maps == NULL ? -1 : 0);
	while (fgets(line, sizeof line, maps) != NULL)
		if (!strncmp(line, want, strlen(want)))
			found |= strstr(line, "/dev/zero\n") != NULL ? 1 : 4;
		else if (strtoul(line, NULL, 16) == (unsigned long)(two + PAGE))
			found |= strstr(line, "r--p 00004000 ") != NULL && strstr(line, "/dev/zero\n") != NULL ? 2 : 8;
	fclose(maps);
	CHECK_EQ(found, 3);
	if (geteuid() == 0) {
		snprintf(name, sizeof name, "/proc/self/map_files/%lx-%lx", (long)two, (long)two + PAGE);
		CHECK(readlink(name, target, sizeof target - 1) > 0);
		CHECK_STRING(target, "/dev/zero");
	}
	CHECK_EQ(madvise(two, PAGE, MADV_FREE), 0);
	CHECK_ERRNO(madvise(two, PAGE, MADV_WIPEONFORK), EINVAL);
	CHECK_EQ(madvise(two, PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(two[0], 0);
	MUST(close(zero));
	two = mremap(two, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
	CHECK(two != MAP_FAILED && is_zero(two, 4 * PAGE));
	CHECK_EQ(munmap(two, 4 * PAGE), 0);
}

static int pages_there(char *address, int count)
{
	unsigned char vector[8];
	int there = 0;

	MUST(mincore(address, (size_t)count * PAGE, vector));
	for (int page = 0; page < count; page++)
		there |= (vector[page] & 1) << page;
	return there;
}

/* What fallocate(2) has kept room for is in memory once it was touched. */
TEST(pages_that_are_only_kept)
{
	int fd = (int)MUST(memfd_create("pages", 0));
	char *map, *again;

	MUST(fallocate(fd, 0, 0, 8 * PAGE));
	map = map_file(fd, 8 * PAGE, RW, MAP_SHARED, 0);
	CHECK_EQ(pages_there(map, 8), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), -1);
	map[2 * PAGE] = 1;
	CHECK_EQ(pages_there(map, 8), 4);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 2 * PAGE);
	CHECK_EQ(map[5 * PAGE], 0);
	CHECK_EQ(pages_there(map, 8), 0x24);
	MUST(pwrite(fd, "x", 1, 7 * PAGE));
	CHECK_EQ(pages_there(map, 8), 0xa4);
	CHECK_EQ(lseek(fd, 6 * PAGE, SEEK_DATA), 7 * PAGE);
	again = map_file(fd, 8 * PAGE, PROT_READ, MAP_PRIVATE, 0);
	CHECK_EQ(again[0], 0);
	CHECK_EQ(pages_there(map, 8), 0xa5);
	MUST(munmap(map, 8 * PAGE));
	MUST(munmap(again, 8 * PAGE));
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), PAGE);
	/* To keep room where there is some already is to touch it. */
	MUST(fallocate(fd, 0, 3 * PAGE, PAGE));
	CHECK_EQ(lseek(fd, 3 * PAGE, SEEK_DATA), 3 * PAGE);
	CHECK_EQ(lseek(fd, 4 * PAGE, SEEK_DATA), 5 * PAGE);
}

/* A function's code: mov $value, %eax; ret. */
static void put_code(char *to, int value)
{
	to[0] = (char)0xb8;
	memcpy(to + 1, &value, sizeof(value));
	to[5] = (char)0xc3;
}

static int call_code(const char *code)
{
	return ((int (*)(void))(uintptr_t)code)();
}

TEST(code_in_memory)
{
	char *code = map_pages(1);

	put_code(code, 42);
	CHECK_EQ(touch(code, EXECUTE), SIGSEGV);
	CHECK_EQ(mprotect(code, PAGE, PROT_READ | PROT_EXEC), 0);
	CHECK_EQ(call_code(code), 42);
	CHECK_EQ(touch(code, WRITE), SIGSEGV);
	CHECK_EQ(mprotect(code, PAGE, RW | PROT_EXEC), 0);
	put_code(code, 43);
	CHECK_EQ(call_code(code), 43);
	put_code(code, 44);
	CHECK_EQ(call_code(code), 44);
	CHECK_EQ(mprotect(code, PAGE, RW), 0);
	CHECK_EQ(touch(code, EXECUTE), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_ACCERR);
}

TEST(code_that_changes_behind_its_mapping)
{
	char *writable, *executable, template[8];
	int fd = (int)MUST(memfd_create("code", 0)), ends[2];

	MUST(ftruncate(fd, PAGE));
	writable = map_file(fd, PAGE, RW, MAP_SHARED, 0);
	executable = map_file(fd, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, 0);
	put_code(writable, 1);
	CHECK_EQ(call_code(executable), 1);
	put_code(writable, 2);
	CHECK_EQ(call_code(executable), 2);
	put_code(template, 3);
	CHECK_EQ(pwrite(fd, template, 6, 0), 6);
	CHECK_EQ(call_code(executable), 3);
	MUST(pipe(ends));
	put_code(template, 4);
	write_all(ends[1], template, 6);
	CHECK_EQ(read(ends[0], writable, 6), 6);
	CHECK_EQ(call_code(executable), 4);
}

TEST(code_at_an_address_of_other_code)
{
	char *code = map_pages(1), *again;
	pid_t child;

	MUST(mprotect(code, PAGE, RW | PROT_EXEC));
	put_code(code, 1);
	CHECK_EQ(call_code(code), 1);
	MUST(munmap(code, PAGE));
	again = mmap(code, PAGE, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(again == code);
	put_code(code, 2);
	CHECK_EQ(call_code(code), 2);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(call_code(code), 2);
		put_code(code, 3);
		CHECK_EQ(call_code(code), 3);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(call_code(code), 2);
	MUST(madvise(code, PAGE, MADV_DONTNEED));
	put_code(code, 4);
	CHECK_EQ(call_code(code), 4);
}

static int64_t changed_ns(int file)
{
	struct stat status;

	MUST(fstat(file, &status));
	return status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec;
}

TEST(writes_to_a_shared_mapping_change_its_file_s_times)
{
	int file;
	int64_t before;
	char *memory;
	struct timespec old[2] = {{1000, 0}, {1000, 0}};

	enter_scratch();
	file = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(file, 3 * PAGE));
	MUST(futimens(file, old));
	memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	CHECK_EQ(changed_ns(file), 1000000000000);
	memory[0] = 1;
	before = changed_ns(file);
	CHECK(before > 1000000000000);
	MUST(futimens(file, old));
	/* A page that's dirty already says nothing more; another does. */
	memory[1] = 1;
	CHECK_EQ(changed_ns(file), 1000000000000);
	memory[PAGE] = 1;
	CHECK(changed_ns(file) > 1000000000000);
	CHECK_OK(msync(memory, 3 * PAGE, MS_SYNC));
	CHECK_EQ(memory[0], 1);
	memory[0] = 2;
	CHECK_EQ(memory[0], 2);
	CHECK_EQ(pread(file, memory + 2 * PAGE, 1, 0), 1);
	CHECK_EQ(memory[2 * PAGE], 2);
}

TEST(a_mapping_is_an_access)
{
	int file;
	struct stat status;
	struct timespec old[2] = {{1000, 0}, {2000, 0}};

	enter_scratch();
	file = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(file, PAGE));
	MUST(futimens(file, old));
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0) != MAP_FAILED);
	MUST(fstat(file, &status));
	CHECK(status.st_atim.tv_sec != 1000);
}

/* On a file system that writes its files back what was put past the end is lost, and the next write is noticed. */
TEST(written_back)
{
	int file;
	char *memory;
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	int is_memory = 0;
	struct statfs system;

	enter_scratch();
	file = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	MUST(fstatfs(file, &system));
	is_memory = system.f_type == TMPFS_MAGIC;
	MUST(ftruncate(file, 100));
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	memory[0] = memory[200] = 1;
	MUST(msync(memory, PAGE, MS_SYNC));
	CHECK_EQ(memory[200], is_memory);
	MUST(futimens(file, old));
	memory[0] = 2;
	CHECK((changed_ns(file) != 1000000000000) == !is_memory);
}

TEST(what_is_in_the_page_cache)
{
	int file;
	unsigned char resident[3] = {9, 9, 9};
	char *memory;

	enter_scratch();
	file = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(file, 3 * PAGE));
	memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK_OK(mincore(memory, 3 * PAGE, resident));
	CHECK_EQ((resident[0] | resident[1] | resident[2]) & 1, 0);
	/* Whoever brings it in, and whether it's mapped or not. */
	MUST(pwrite(file, "x", 1, PAGE));
	CHECK_OK(mincore(memory, 3 * PAGE, resident));
	CHECK_EQ(resident[0] & 1, 0);
	CHECK_EQ(resident[1] & 1, 1);
	CHECK_EQ(resident[2] & 1, 0);
	memory[2 * PAGE] = 1;
	CHECK_OK(mincore(memory, 3 * PAGE, resident));
	CHECK_EQ(resident[2] & 1, 1);
	MUST(munmap(memory, 3 * PAGE));
	memory = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
	CHECK_OK(mincore(memory, 3 * PAGE, resident));
	CHECK_EQ(resident[1] & 1, 1);
	CHECK_EQ(resident[2] & 1, 1);
}
