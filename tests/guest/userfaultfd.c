/* userfaultfd: faults that a thread handles for another, and what else such a file can do and tells. */
#include "userfault.h"

#include <sys/eventfd.h>
#include <sys/file.h>

TEST(a_file_is_made)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_range range = {0};
	struct uffd_msg message;
	int fd;

	CHECK_ERRNO(syscall(SYS_userfaultfd, 2), EINVAL);
	CHECK_ERRNO(syscall(SYS_userfaultfd, O_APPEND), EINVAL);
	fd = (int)MUST(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	CHECK_ERRNO(read(fd, &message, sizeof(message)), EINVAL);
	CHECK_ERRNO(write(fd, &message, sizeof(message)), EBADF);
	/* Its inode is its own. */
	MUST(flock((int)MUST(eventfd(0, EFD_CLOEXEC)), LOCK_EX));
	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	CHECK_ERRNO(ioctl(fd, UFFDIO_WAKE, &range), EINVAL);
	CHECK_ERRNO(ioctl(fd, UFFDIO_API, bad_address()), EFAULT);
	CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0), 1);
	api.api = 1;
	CHECK_ERRNO(ioctl(fd, UFFDIO_API, &api), EINVAL);
	CHECK_EQ(api.api, 0);
	api = (struct uffdio_api){.api = UFFD_API, .features = 1ULL << 40};
	CHECK_ERRNO(ioctl(fd, UFFDIO_API, &api), EINVAL);
	CHECK_EQ(api.features, 0);
	api = (struct uffdio_api){.api = UFFD_API};
	CHECK_OK(ioctl(fd, UFFDIO_API, &api));
	CHECK_EQ(api.features & 0x1FFFF, 0x1FFFF);
	CHECK_EQ(api.ioctls, 1ULL << 63 | 1 << _UFFDIO_REGISTER | 1 << _UFFDIO_UNREGISTER);
	api = (struct uffdio_api){.api = UFFD_API};
	CHECK_ERRNO(ioctl(fd, UFFDIO_API, &api), EINVAL);
	CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0), 0);
	CHECK_ERRNO(read(fd, &message, sizeof(message)), EAGAIN);
	CHECK_ERRNO(read(fd, &message, sizeof(message) - 1), EINVAL);
	CHECK_ERRNO(ioctl(fd, UFFDIO_WAKE, &range), EINVAL);
	CHECK_ERRNO(ioctl(fd, 0xAA55, &range), EINVAL);
	close(fd);
	/* One that blocks can't be polled. */
	fd = new_uffd(0, 0);
	CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0), 1);
	close(fd);
}

TEST(ranges_are_registered)
{
	int fd = new_uffd(O_NONBLOCK, 0), other = new_uffd(O_NONBLOCK, 0), file;
	char *memory = map_some(6, PRIVATE);
	struct uffdio_register wanted = {.range = {(uintptr_t)memory, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	void *mapped;

	CHECK_OK(ioctl(fd, UFFDIO_REGISTER, &wanted));
	CHECK_EQ(wanted.ioctls, RANGE_IOCTLS_OF_MISSING);
	CHECK_ERRNO(enroll(fd, memory, 1, 0), EINVAL);
	CHECK_ERRNO(enroll(fd, memory, 1, 8), EINVAL);
	CHECK_ERRNO(enroll(fd, memory + 1, 1, 1), EINVAL);
	CHECK_ERRNO(enroll(fd, memory, 0, 1), EINVAL);
	CHECK_ERRNO(enroll(fd, NULL, 1, 1), EINVAL);
	CHECK_OK(wake(fd, NULL));
	CHECK_ERRNO(enroll(fd, (void *)(1UL << 47), 1, 1), EINVAL);
	CHECK_ERRNO(enroll(fd, memory, 1, UFFDIO_REGISTER_MODE_MINOR), EINVAL);
	CHECK_ERRNO(enroll(other, memory, 2, 1), EBUSY);
	CHECK_ERRNO(leave(other, memory, 1), EINVAL);
	CHECK_OK(enroll(fd, memory, 6, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
	CHECK_OK(leave(fd, memory + 2 * PAGE, 1));
	CHECK_OK(enroll(other, memory + 2 * PAGE, 1, 1));
	CHECK_ERRNO(leave(fd, memory, 6), EINVAL);
	munmap(memory + PAGE, PAGE);
	CHECK_ERRNO(enroll(fd, memory + PAGE, 1, 1), EINVAL);
	CHECK_ERRNO(leave(fd, memory + PAGE, 1), EINVAL);
	close(other);
	CHECK_OK(enroll(fd, memory, 6, UFFDIO_REGISTER_MODE_MISSING));
	CHECK_OK(leave(fd, memory, 6));
	memory = map_some(1, SHARED);
	CHECK_OK(enroll(fd, memory, 1, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR));
	file = (int)MUST(open(check_self, O_RDONLY | O_CLOEXEC));
	mapped = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
	CHECK_ERRNO(enroll(fd, mapped, 1, 1), EINVAL);
	close(file);
	close(fd);
}

TEST(the_maps_tell)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_THREAD_ID);
	char *memory = map_some(1, SHARED), line[300], path[64];
	int is_wanted = 0;
	FILE *file;

	MUST(enroll(fd, memory, 1, 7));
	file = fopen("/proc/self/smaps", "re");
	MUST(file == NULL ? -1 : 0);
	while (fgets(line, sizeof(line), file) != NULL) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_wanted = start == (uintptr_t)memory;
		else if (is_wanted && strncmp(line, "VmFlags:", 8) == 0)
			break;
	}
	fclose(file);
	CHECK(strstr(line, " um ") != NULL);
	CHECK(strstr(line, " uw ") != NULL);
	CHECK(strstr(line, " ui ") != NULL);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	MUST(file == NULL ? -1 : 0);
	while (fgets(line, sizeof(line), file) != NULL && strncmp(line, "pending", 7) != 0)
		continue;
	CHECK_STRING(line, "pending:\t0\n");
	CHECK_STRING(fgets(line, sizeof(line), file), "total:\t0\n");
	CHECK_STRING(fgets(line, sizeof(line), file), "API:\taa:80000100:80000000000001ff\n");
	fclose(file);
	close(fd);
}

TEST(a_missing_page_is_copied)
{
	int fd = new_uffd(O_NONBLOCK, 0);
	char *memory = map_some(2, PRIVATE), *source = map_some(1, PRIVATE);
	struct work work = {.memory = memory + 5};
	struct uffd_msg message;

	memset(source, 'x', PAGE);
	MUST(enroll(fd, memory, 2, 1));
	begin(&work, read_byte);
	message = next_message(fd);
	CHECK_EQ(message.event, UFFD_EVENT_PAGEFAULT);
	CHECK_EQ(message.arg.pagefault.address, (uintptr_t)memory);
	CHECK_EQ(message.arg.pagefault.flags, 0);
	CHECK_EQ(message.arg.pagefault.feat.ptid, 0);
	CHECK_ERRNO(read(fd, &message, sizeof(message)), EAGAIN);
	CHECK_ERRNO(copy_page(fd, memory, (void *)(1UL << 47), 0), EINVAL);
	CHECK_ERRNO(copy_page(fd, memory, source, 4), EINVAL);
	CHECK_ERRNO(copy_page(fd, memory, source, UFFDIO_COPY_MODE_WP), EINVAL);
	CHECK_EQ(copied, -EINVAL);
	CHECK_ERRNO(copy_page(fd, memory + 1, source, 0), EINVAL);
	CHECK_ERRNO(copy_page(fd, source, source, 0), ENOENT);
	CHECK_OK(copy_page(fd, memory, source, 0));
	CHECK_EQ(copied, PAGE);
	finish(&work);
	CHECK_EQ(work.result, 'x');
	CHECK_ERRNO(copy_page(fd, memory, source, 0), EEXIST);
	CHECK_EQ(copied, -EEXIST);
	CHECK_ERRNO(zero_page(fd, memory), EEXIST);
	close(fd);
	/* The file is closed: what is missing is zeros again. */
	CHECK_EQ(memory[PAGE], 0);
}

TEST(a_message_tells_of_the_access)
{
	int fd = new_uffd(O_CLOEXEC, UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_EXACT_ADDRESS);
	char *memory = map_some(1, PRIVATE);
	struct work work = {.memory = memory + 77, .number = 5};
	struct uffd_msg message;

	MUST(enroll(fd, memory, 1, 1));
	begin(&work, write_byte);
	message = next_message(fd);
	CHECK_EQ(message.arg.pagefault.address, (uintptr_t)memory + 77);
	CHECK_EQ(message.arg.pagefault.flags, UFFD_PAGEFAULT_FLAG_WRITE);
	CHECK_EQ(message.arg.pagefault.feat.ptid, work.tid);
	CHECK_OK(zero_page(fd, memory));
	finish(&work);
	CHECK_EQ(work.result, 5);
	CHECK_EQ(memory[0], 0);
	close(fd);
}

TEST(who_is_woken_without_a_page_faults_again)
{
	int fd = new_uffd(0, 0);
	char *memory = map_some(1, PRIVATE), *source = map_some(1, PRIVATE);
	struct work work = {.memory = memory};

	MUST(enroll(fd, memory, 1, 1));
	begin(&work, read_byte);
	next_message(fd);
	CHECK_OK(wake(fd, memory));
	next_message(fd);
	source[0] = 'y';
	CHECK_OK(copy_page(fd, memory, source, UFFDIO_COPY_MODE_DONTWAKE));
	CHECK_OK(wake(fd, memory));
	finish(&work);
	CHECK_EQ(work.result, 'y');
	close(fd);
}

TEST(the_end_of_a_registration_lets_all_go_on)
{
	int fd = new_uffd(0, 0);
	char *memory = map_some(2, PRIVATE);
	struct work one = {.memory = memory, .number = 1}, two = {.memory = memory + PAGE, .number = 2};

	MUST(enroll(fd, memory, 2, 1));
	begin(&one, write_byte);
	next_message(fd);
	CHECK_OK(leave(fd, memory, 1));
	finish(&one);
	CHECK_EQ(one.result, 1);
	begin(&two, write_byte);
	next_message(fd);
	close(fd);
	finish(&two);
	CHECK_EQ(two.result, 2);
}

/* System calls that come upon such pages. */

static void *read_pipe(void *argument)
{
	struct work *work = argument;

	work->result = read(work->fd, work->memory, 2 * PAGE);
	work->error = errno;
	return NULL;
}

static void *write_pipe(void *argument)
{
	struct work *work = argument;

	work->result = write(work->fd, work->memory, 2 * PAGE);
	work->error = errno;
	return NULL;
}

static void *open_path(void *argument)
{
	struct work *work = argument;

	work->result = open(work->memory, O_RDONLY | O_CLOEXEC);
	work->error = errno;
	return NULL;
}

static void *sleep_shortly(void *argument)
{
	struct work *work = argument;

	work->result = nanosleep((struct timespec *)(void *)work->memory, NULL);
	work->error = errno;
	return NULL;
}

TEST(a_call_waits_for_its_arguments)
{
	int fd = new_uffd(O_NONBLOCK, 0);
	char *memory = map_some(2, PRIVATE), *source = map_some(1, PRIVATE);
	struct work work = {.memory = memory}, other = {.memory = memory + PAGE};
	struct uffd_msg message;

	MUST(enroll(fd, memory, 2, 1));
	strcpy(source, "/");
	begin(&work, open_path);
	message = next_message(fd);
	CHECK_EQ(message.arg.pagefault.address, (uintptr_t)memory);
	CHECK_EQ(message.arg.pagefault.flags, 0);
	CHECK_OK(copy_page(fd, memory, source, 0));
	finish(&work);
	CHECK(work.result > 0);
	memset(source, 0, 16);
	((struct timespec *)(void *)source)->tv_nsec = 1000;
	begin(&other, sleep_shortly);
	next_message(fd);
	CHECK_OK(copy_page(fd, memory + PAGE, source, 0));
	finish(&other);
	CHECK_EQ(other.result, 0);
	close(fd);
}

TEST(a_call_waits_to_give_its_result)
{
	int fd = new_uffd(O_NONBLOCK, 0), pipes[2];
	char *memory = map_some(3, PRIVATE), *source = map_some(2, PRIVATE);
	struct work work = {.memory = memory}, other = {.memory = memory + 2 * PAGE};
	struct stat status;
	struct uffd_msg message;

	MUST(pipe2(pipes, O_CLOEXEC));
	memset(source, 'p', 2 * PAGE);
	MUST(write(pipes[1], source, 2 * PAGE));
	MUST(enroll(fd, memory, 3, 1));
	work.fd = pipes[0];
	begin(&work, read_pipe);
	message = next_message(fd);
	CHECK_EQ(message.arg.pagefault.address, (uintptr_t)memory);
	CHECK_EQ(message.arg.pagefault.flags, UFFD_PAGEFAULT_FLAG_WRITE);
	CHECK_OK(zero_page(fd, memory));
	message = next_message(fd);
	CHECK_EQ(message.arg.pagefault.address, (uintptr_t)memory + PAGE);
	CHECK_OK(zero_page(fd, memory + PAGE));
	finish(&work);
	CHECK_EQ(work.result, 2 * PAGE);
	CHECK(memcmp(memory, source, 2 * PAGE) == 0);
	begin(&other, ask_status);
	next_message(fd);
	CHECK_OK(zero_page(fd, memory + 2 * PAGE));
	finish(&other);
	CHECK_EQ(other.result, 0);
	MUST(stat("/", &status));
	CHECK_EQ(((struct stat *)(void *)(memory + 2 * PAGE))->st_ino, status.st_ino);
	close(fd);
}

TEST(what_a_call_writes_waits_to_be_read)
{
	int fd = new_uffd(O_NONBLOCK, 0), pipes[2];
	char *memory = map_some(2, PRIVATE), *source = map_some(1, PRIVATE), got[2 * PAGE];
	struct work work = {.memory = memory};

	MUST(pipe2(pipes, O_CLOEXEC));
	memset(source, 'w', PAGE);
	MUST(enroll(fd, memory, 2, 1));
	work.fd = pipes[1];
	begin(&work, write_pipe);
	next_message(fd);
	CHECK_OK(copy_page(fd, memory, source, 0));
	next_message(fd);
	source[0] = 'v';
	CHECK_OK(copy_page(fd, memory + PAGE, source, 0));
	finish(&work);
	CHECK_EQ(work.result, 2 * PAGE);
	CHECK_EQ(read(pipes[0], got, sizeof(got)), 2 * PAGE);
	CHECK_EQ(got[0], 'w');
	CHECK_EQ(got[PAGE], 'v');
	close(fd);
}

TEST(calls_fail_where_only_user_mode_is_handled)
{
	int fd = new_uffd(UFFD_USER_MODE_ONLY, 0), pipes[2];
	char *memory = map_some(2, PRIVATE);
	struct work work = {.memory = memory + PAGE};

	MUST(pipe2(pipes, O_CLOEXEC));
	MUST(enroll(fd, memory, 2, 1));
	MUST(write(pipes[1], "x", 1));
	CHECK_ERRNO(read(pipes[0], memory, 1), EFAULT);
	CHECK_ERRNO(write(pipes[1], memory, 1), EFAULT);
	CHECK_ERRNO(open(memory, O_RDONLY), EFAULT);
	CHECK_ERRNO(madvise(memory, PAGE, MADV_POPULATE_READ), EFAULT);
	begin(&work, read_byte);
	next_message(fd);
	CHECK_OK(zero_page(fd, memory + PAGE));
	finish(&work);
	CHECK_EQ(work.result, 0);
	close(fd);
}

TEST(nobody_waits_in_the_file_of_memory)
{
	int fd = new_uffd(0, 0), memory_fd = (int)MUST(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
	char *memory = map_some(2, PRIVATE), byte = 1;
	struct uffd_msg message;

	MUST(enroll(fd, memory, 1, 1));
	CHECK_ERRNO(pread(memory_fd, &byte, 1, (off_t)(uintptr_t)memory), EIO);
	CHECK_ERRNO(pwrite(memory_fd, &byte, 1, (off_t)(uintptr_t)memory), EIO);
	CHECK_OK(zero_page(fd, memory));
	CHECK_EQ(pwrite(memory_fd, &byte, 1, (off_t)(uintptr_t)memory), 1);
	CHECK_EQ(memory[0], 1);
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(fd, &message, sizeof(message)), EAGAIN);
	close(memory_fd);
	close(fd);
}

/* What is punched out of a mapped file isn't there any more, but a copy of it stays. */
TEST(a_hole_is_missing)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_SIGBUS), file = (int)MUST(memfd_create("file", 0));
	char *memory, *other, *copy;
	unsigned char present[3];

	MUST(ftruncate(file, 3 * PAGE));
	memory = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
	other = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
	copy = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, file, 0);
	memset(memory, 'm', 3 * PAGE);
	copy[0] = 'c';
	CHECK_EQ(copy[PAGE], 'm');
	CHECK_EQ(other[PAGE], 'm');
	MUST(enroll(fd, memory, 3, UFFDIO_REGISTER_MODE_MISSING));
	CHECK_OK(madvise(memory, 2 * PAGE, MADV_REMOVE));
	CHECK_EQ(touch(memory, READ), SIGBUS);
	CHECK_EQ(touch(memory + PAGE, WRITE), SIGBUS);
	CHECK_EQ(touch(memory + 2 * PAGE, READ), 0);
	CHECK_EQ(lseek(file, 0, SEEK_DATA), 2 * PAGE);
	CHECK_OK(mincore(memory, 3 * PAGE, present));
	CHECK_EQ(present[0] & 1, 0);
	CHECK_EQ(present[2] & 1, 1);
	CHECK_EQ(copy[0], 'c');
	CHECK_EQ(copy[PAGE], 0);
	/* Reading it has made a page of it. */
	CHECK_EQ(lseek(file, 0, SEEK_DATA), PAGE);
	CHECK_EQ(other[0], 0);
	other[1] = 'o';
	CHECK_EQ(touch(memory, READ), 0);
	CHECK_EQ(memory[1], 'o');
	CHECK_OK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE - 1, PAGE + 2));
	CHECK_EQ(touch(memory + PAGE, READ), SIGBUS);
	CHECK_EQ(touch(memory, READ), 0);
	CHECK_EQ(memory[2 * PAGE], 0);
	CHECK_EQ(memory[2 * PAGE + 1], 'm');
	close(fd);
}

TEST(a_feature_gives_SIGBUS_instead)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_SIGBUS);
	char *memory = map_some(1, PRIVATE);
	struct uffd_msg message;

	MUST(enroll(fd, memory, 1, 1));
	CHECK_EQ(touch(memory + 3, READ), SIGBUS);
	CHECK_EQ(fault_code, BUS_ADRERR);
	CHECK(fault_address == memory + 3);
	CHECK_ERRNO(open(memory, O_RDONLY), EFAULT);
	CHECK_ERRNO(read(fd, &message, sizeof(message)), EAGAIN);
	CHECK_OK(zero_page(fd, memory));
	CHECK_EQ(touch(memory, WRITE), 0);
	close(fd);
}

static void on_signal(int signal)
{
	(void)signal;
}

TEST(a_signal_interrupts_the_wait)
{
	int fd = new_uffd(O_NONBLOCK, 0);
	char *memory = map_some(1, PRIVATE);
	struct work work = {.memory = memory, .number = 9};
	struct uffd_msg first, again;

	handle(SIGUSR1, on_signal, 0);
	MUST(enroll(fd, memory, 1, 1));
	begin(&work, write_byte);
	first = next_message(fd);
	CHECK_EQ(pthread_kill(work.thread, SIGUSR1), 0);
	/* Behind the handler it faults again. */
	again = next_message(fd);
	CHECK(memcmp(&first, &again, sizeof(first)) == 0);
	CHECK_OK(zero_page(fd, memory));
	finish(&work);
	CHECK_EQ(work.result, 9);
	close(fd);
}

TEST(who_waits_can_be_killed)
{
	int fd = new_uffd(0, 0);
	char *memory = map_some(1, SHARED);
	pid_t child = (pid_t)MUST(fork());

	close(fd);
	if (child == 0) {
		fd = new_uffd(0, 0);
		MUST(enroll(fd, memory, 1, 1));
			*(volatile char *)memory = 1;
		_exit(1);
	}
	/* It may have come to wait by then or not: it ends in any case. */
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_EQ(memory[0], 0);
}

TEST(users_handle_what_user_mode_does)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		struct stat status;
		int fd;

		MUST(setuid(NOBODY));
		CHECK_ERRNO(syscall(SYS_userfaultfd, 0), EPERM);
		fd = (int)CHECK_OK(syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY));
		/* Its inode is of its own, and theirs. */
		MUST(fstat(fd, &status));
		CHECK_EQ(status.st_uid, geteuid());
		CHECK_EQ(status.st_gid, getegid());
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* What the device gives; without one, as where only the call is allowed, what the call gives. */
static int from_device(int device, unsigned int flags)
{
	return device == -1 ? (int)syscall(SYS_userfaultfd, flags | UFFD_USER_MODE_ONLY) :
			      ioctl(device, USERFAULTFD_IOC_NEW, flags);
}

TEST(who_may_open_the_device_needs_no_right)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC), fd = (int)CHECK_OK(from_device(device, O_CLOEXEC));
	struct uffdio_api api = {.api = UFFD_API};
	pid_t child;

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(ioctl(fd, UFFDIO_API, &api), 0);
	CHECK_ERRNO(from_device(device, 4), EINVAL);
	CHECK_EQ(ERRNO_OF(ioctl(device, UFFDIO_API, &api)), device == -1 ? EBADF : EINVAL);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setuid(NOBODY));
		CHECK_OK(from_device(device, 0));
		CHECK_EQ(ERRNO_OF(open("/dev/userfaultfd", O_RDWR)), device == -1 ? ENOENT : EACCES);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}
