/* userfaultfd: protected pages, those of shared memory, poison, moves, and the events that are told. */
#include "userfault.h"

#include <linux/fs.h>

/* Writes that are handled. */

TEST(a_protected_page_waits_for_leave_to_be_written)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	char *memory = map_some(3, PRIVATE);
	struct work work = {.memory = memory, .number = 4};
	struct uffd_msg message;

	memory[0] = 3;
	CHECK_ERRNO(protect(fd, memory, 1, UFFDIO_WRITEPROTECT_MODE_WP), ENOENT);
	MUST(enroll(fd, memory, 3, UFFDIO_REGISTER_MODE_WP));
	CHECK_ERRNO(protect(fd, memory, 1, 4), EINVAL);
	CHECK_ERRNO(protect(fd, memory, 1, 3), EINVAL);
	CHECK_ERRNO(protect(fd, memory, 0, 1), EINVAL);
	CHECK_OK(protect(fd, memory, 2, UFFDIO_WRITEPROTECT_MODE_WP));
	CHECK_EQ(memory[0], 3);
	/* What wasn't there isn't protected, but by a feature. */
	CHECK_EQ(touch(memory + PAGE, WRITE), 0);
	/* Other rights leave it so. */
	MUST(mprotect(memory, PAGE, PROT_READ));
	MUST(mprotect(memory, PAGE, RW));
	begin(&work, write_byte);
	message = next_message(fd);
	CHECK_EQ(message.arg.pagefault.address, (uintptr_t)memory);
	CHECK_EQ(message.arg.pagefault.flags, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK_EQ(memory[0], 3);
	CHECK_OK(protect(fd, memory, 1, 0));
	finish(&work);
	CHECK_EQ(work.result, 4);
	CHECK_EQ(touch(memory, WRITE), 0);
	/* A call's write waits as well. */
	CHECK_OK(protect(fd, memory, 1, UFFDIO_WRITEPROTECT_MODE_WP));
	begin(&work, ask_status);
	next_message(fd);
	CHECK_OK(protect(fd, memory, 1, 0));
	finish(&work);
	CHECK_EQ(work.result, 0);
	close(fd);
}

/* Who handles the faults says whether what isn't there is protected too, not who asks for it. */
TEST(another_may_protect)
{
	int fd = new_uffd(O_NONBLOCK, 0), other = new_uffd(O_NONBLOCK, UFFD_FEATURE_WP_UNPOPULATED);
	char *memory = map_some(2, PRIVATE), *more = map_some(1, PRIVATE);

	MUST(enroll(fd, memory, 2, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
	CHECK_OK(protect(other, memory, 2, UFFDIO_WRITEPROTECT_MODE_WP));
	CHECK_OK(zero_page(fd, memory));
	CHECK_OK(zero_page(fd, memory + PAGE));
	MUST(enroll(other, more, 1, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
	CHECK_OK(protect(fd, more, 1, UFFDIO_WRITEPROTECT_MODE_WP));
	CHECK_ERRNO(zero_page(fd, more), EEXIST);
	close(fd);
	close(other);
}

TEST(a_page_can_be_filled_protected)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	char *memory = map_some(1, PRIVATE), *source = map_some(1, PRIVATE);
	struct work work = {.memory = memory, .number = 6};

	source[0] = 5;
	MUST(enroll(fd, memory, 1, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
	CHECK_OK(copy_page(fd, memory, source, UFFDIO_COPY_MODE_WP));
	CHECK_EQ(memory[0], 5);
	begin(&work, write_byte);
	CHECK_EQ(next_message(fd).arg.pagefault.flags, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK_OK(protect(fd, memory, 1, 0));
	finish(&work);
	CHECK_EQ(work.result, 6);
	close(fd);
}

TEST(what_is_not_there_can_be_protected)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_WP_UNPOPULATED);
	char *memory = map_some(3, PRIVATE);
	struct work work = {.memory = memory, .number = 7};

	MUST(enroll(fd, memory, 3, UFFDIO_REGISTER_MODE_WP));
	CHECK_OK(protect(fd, memory, 3, UFFDIO_WRITEPROTECT_MODE_WP));
	CHECK_EQ(memory[0], 0);
	begin(&work, write_byte);
	CHECK_EQ(next_message(fd).arg.pagefault.flags, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	CHECK_OK(protect(fd, memory, 1, 0));
	finish(&work);
	CHECK_EQ(work.result, 7);
	work.memory = memory + PAGE;
	begin(&work, write_byte);
	CHECK_EQ(next_message(fd).arg.pagefault.address, (uintptr_t)memory + PAGE);
	CHECK_OK(protect(fd, memory + PAGE, 1, 0));
	finish(&work);
	/* What is dropped is unprotected. */
	MUST(madvise(memory + 2 * PAGE, PAGE, MADV_DONTNEED));
	CHECK_EQ(touch(memory + 2 * PAGE, WRITE), 0);
	close(fd);
}

TEST(protection_can_just_end_at_the_first_write)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_WP_ASYNC);
	char *memory = map_some(2, PRIVATE);
	struct uffd_msg message;

	memory[0] = 1;
	MUST(enroll(fd, memory, 2, UFFDIO_REGISTER_MODE_WP));
	CHECK_OK(protect(fd, memory, 2, UFFDIO_WRITEPROTECT_MODE_WP));
	CHECK_EQ(touch(memory, WRITE), 0);
	CHECK_EQ(touch(memory + PAGE, WRITE), 0);
	CHECK_ERRNO(read(fd, &message, sizeof(message)), EAGAIN);
	close(fd);
}

TEST(shared_memory_has_minor_faults)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_MINOR_SHMEM), file = (int)MUST(memfd_create("minor", MFD_CLOEXEC));
	char *memory, *alias;
	struct work work;
	struct uffd_msg message;
	struct uffdio_continue go_on = {0};

	MUST(ftruncate(file, 2 * PAGE));
	memory = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
	alias = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0);
	MUST(enroll(fd, memory, 3, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR));
	work = (struct work){.memory = memory};
	begin(&work, read_byte);
	message = next_message(fd);
	CHECK_EQ(message.arg.pagefault.flags, 0);
	go_on.range = (struct uffdio_range){(uintptr_t)memory, PAGE};
	CHECK_ERRNO(ioctl(fd, UFFDIO_CONTINUE, &go_on), EFAULT);
	CHECK_EQ(go_on.mapped, -EFAULT);
	CHECK_OK(zero_page(fd, memory));
	finish(&work);
	alias[PAGE] = 8;
	work.memory = memory + PAGE;
	begin(&work, read_byte);
	message = next_message(fd);
	CHECK_EQ(message.arg.pagefault.flags, UFFD_PAGEFAULT_FLAG_MINOR);
	CHECK_ERRNO(copy_page(fd, memory + PAGE, alias, 0), EEXIST);
	alias[PAGE] = 9;
	go_on.range.start += PAGE;
	CHECK_OK(ioctl(fd, UFFDIO_CONTINUE, &go_on));
	CHECK_EQ(go_on.mapped, PAGE);
	finish(&work);
	CHECK_EQ(work.result, 9);
	CHECK_ERRNO(ioctl(fd, UFFDIO_CONTINUE, &go_on), EEXIST);
	memory[PAGE] = 10;
	CHECK_EQ(alias[PAGE], 10);
	CHECK_EQ(touch(memory + 2 * PAGE, READ), SIGBUS);
	CHECK_ERRNO(zero_page(fd, memory + 2 * PAGE), EFAULT);
	go_on.range.start += PAGE;
	CHECK_ERRNO(ioctl(fd, UFFDIO_CONTINUE, &go_on), EINVAL);
	close(fd);
}

TEST(a_page_stays_when_its_memory_becomes_executable)
{
	int fd = new_uffd(O_CLOEXEC | UFFD_USER_MODE_ONLY, UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MINOR_SHMEM);
	char *memory;
	int file = (int)MUST(memfd_create("pages", 0));

	MUST(ftruncate(file, 2 * PAGE));
	memory = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	MUST(enroll(fd, memory + PAGE, 1, UFFDIO_REGISTER_MODE_MINOR));
	CHECK_EQ(((volatile char *)memory)[PAGE], 0);
	MUST(mprotect(memory + PAGE, PAGE, RW | PROT_EXEC));
	/* Nobody is asked: the page is there, and so it is mapped. */
	((volatile char *)memory)[PAGE + 1] = 1;
	CHECK_EQ(memory[PAGE + 1], 1);
}

TEST(shared_memory_is_protected)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_WP_HUGETLBFS_SHMEM), file = (int)MUST(memfd_create("wp", MFD_CLOEXEC));
	char *memory, *alias;
	struct work work;

	MUST(ftruncate(file, 2 * PAGE));
	memory = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0);
	alias = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0);
	memory[0] = 1;
	MUST(enroll(fd, memory, 2, UFFDIO_REGISTER_MODE_WP));
	CHECK_OK(protect(fd, memory, 2, UFFDIO_WRITEPROTECT_MODE_WP));
	alias[0] = 2;
	CHECK_EQ(memory[0], 2);
	MUST(madvise(memory, 2 * PAGE, MADV_DONTNEED));
	for (int page = 0; page < 2; page++) {
		work = (struct work){.memory = memory + page * PAGE, .number = 30 + page};
		begin(&work, write_byte);
		CHECK_EQ(next_message(fd).arg.pagefault.flags, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
		CHECK_OK(protect(fd, work.memory, 1, 0));
		finish(&work);
		CHECK_EQ(alias[page * PAGE], 30 + page);
	}
	close(fd);
}

TEST(a_page_can_be_poisoned)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_POISON);
	char *memory = map_some(2, PRIVATE), *source = map_some(1, PRIVATE);
	struct uffdio_poison poison = {.range = {(uintptr_t)memory, PAGE}};
	pid_t child;

	MUST(enroll(fd, memory, 2, 1));
	CHECK_OK(ioctl(fd, UFFDIO_POISON, &poison));
	CHECK_EQ(poison.updated, PAGE);
	CHECK_ERRNO(ioctl(fd, UFFDIO_POISON, &poison), EEXIST);
	CHECK_EQ(poison.updated, -EEXIST);
	CHECK_EQ(touch(memory + 9, READ), SIGBUS);
	CHECK_ERRNO(open(memory, O_RDONLY), EFAULT);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(touch(memory, WRITE), SIGBUS);
		CHECK_EQ(touch(memory + PAGE, WRITE), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_ERRNO(zero_page(fd, memory), EEXIST);
	CHECK_OK(copy_page(fd, memory, source, 0));
	CHECK_EQ(touch(memory, WRITE), 0);
	close(fd);
}

TEST(pages_are_moved)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_MOVE);
	char *memory = map_some(3, PRIVATE), *source = map_some(3, PRIVATE);
	struct uffdio_move move = {.dst = (uintptr_t)memory, .src = (uintptr_t)source, .len = PAGE};
	struct work work = {.memory = memory};

	MUST(enroll(fd, memory, 3, 1));
	source[0] = 'm';
	begin(&work, read_byte);
	next_message(fd);
	CHECK_OK(ioctl(fd, UFFDIO_MOVE, &move));
	CHECK_EQ(move.move, PAGE);
	finish(&work);
	CHECK_EQ(work.result, 'm');
	CHECK_EQ(source[0], 0);
	CHECK_ERRNO(ioctl(fd, UFFDIO_MOVE, &move), EEXIST);
	CHECK_EQ(move.move, -EEXIST);
	move.dst += PAGE;
	move.src += PAGE;
	CHECK_ERRNO(ioctl(fd, UFFDIO_MOVE, &move), ENOENT);
	move.mode = UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;
	CHECK_OK(ioctl(fd, UFFDIO_MOVE, &move));
	move.mode = 8;
	CHECK_ERRNO(ioctl(fd, UFFDIO_MOVE, &move), EINVAL);
	move.mode = 0;
	move.src = (uintptr_t)map_some(1, SHARED);
	CHECK_ERRNO(ioctl(fd, UFFDIO_MOVE, &move), EINVAL);
	close(fd);
}

TEST(holes_are_moved_however_many)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_MOVE);
	size_t pages = (size_t)1 << 21;
	char *memory = map_some(pages, PRIVATE | MAP_NORESERVE), *source = map_some(pages, PRIVATE | MAP_NORESERVE);
	struct uffdio_move move = {.dst = (uintptr_t)memory, .src = (uintptr_t)source, .len = pages * PAGE};

	MUST(enroll(fd, memory, pages, 1));
	source[5 * PAGE] = source[(pages - 1) * PAGE] = 'h';
	move.mode = UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;
	CHECK_OK(ioctl(fd, UFFDIO_MOVE, &move));
	CHECK_EQ(move.move, pages * PAGE);
	CHECK_EQ(memory[5 * PAGE], 'h');
	CHECK_EQ(memory[(pages - 1) * PAGE], 'h');
	CHECK_EQ(source[5 * PAGE], 0);
	/* There is a page on the way now. */
	move.move = 0;
	CHECK_ERRNO(ioctl(fd, UFFDIO_MOVE, &move), EAGAIN);
	CHECK_EQ(move.move, 5 * PAGE);
	close(fd);
}

/* Events. */

static void *drop_pages(void *argument)
{
	struct work *work = argument;

	work->result = madvise(work->memory, PAGE, MADV_DONTNEED);
	return NULL;
}

static void *unmap_pages(void *argument)
{
	struct work *work = argument;

	work->result = munmap(work->memory, 2 * PAGE);
	return NULL;
}

static void *move_mapping(void *argument)
{
	struct work *work = argument;

	work->result = (long)mremap(work->memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, work->memory + 16 * PAGE);
	return NULL;
}

TEST(the_reader_hears_of_changes)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP);
	char *memory = map_some(32, PRIVATE), *source = map_some(1, PRIVATE);
	struct work work = {.memory = memory + 2 * PAGE};
	struct uffd_msg message;
	unsigned char resident = 9;

	MUST(enroll(fd, memory, 4, 1));
	source[0] = 5;
	MUST(copy_page(fd, memory + 2 * PAGE, source, 0));
	MUST(zero_page(fd, memory + 3 * PAGE));
	begin(&work, drop_pages);
	MUST(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1));
	/* It's told before: what was there can still be read, and kept. */
	sleep_ms(5);
	CHECK_EQ(memory[2 * PAGE], 5);
	CHECK_ERRNO(zero_page(fd, memory), EAGAIN);
	message = next_message(fd);
	CHECK_EQ(message.event, UFFD_EVENT_REMOVE);
	CHECK_EQ(message.arg.remove.start, (uintptr_t)memory + 2 * PAGE);
	CHECK_EQ(message.arg.remove.end, (uintptr_t)memory + 3 * PAGE);
	finish(&work);
	CHECK_EQ(work.result, 0);
	CHECK_OK(mincore(memory + 2 * PAGE, PAGE, &resident));
	CHECK_EQ(resident & 1, 0);
	CHECK_OK(zero_page(fd, memory));
	work.memory = memory + 3 * PAGE;
	begin(&work, move_mapping);
	message = next_message(fd);
	CHECK_EQ(message.event, UFFD_EVENT_REMAP);
	CHECK_EQ(message.arg.remap.from, (uintptr_t)memory + 3 * PAGE);
	CHECK_EQ(message.arg.remap.to, (uintptr_t)memory + 19 * PAGE);
	CHECK_EQ(message.arg.remap.len, PAGE);
	message = next_message(fd);
	CHECK_EQ(message.event, UFFD_EVENT_UNMAP);
	CHECK_EQ(message.arg.remove.start, (uintptr_t)memory + 3 * PAGE);
	CHECK_EQ(message.arg.remove.end, (uintptr_t)memory + 4 * PAGE);
	finish(&work);
	CHECK_EQ(work.result, (long)memory + 19 * (long)PAGE);
	CHECK_OK(leave(fd, memory + 19 * PAGE, 1));
	work.memory = memory + PAGE;
	begin(&work, unmap_pages);
	message = next_message(fd);
	CHECK_EQ(message.event, UFFD_EVENT_UNMAP);
	CHECK_EQ(message.arg.remove.start, (uintptr_t)memory + PAGE);
	CHECK_EQ(message.arg.remove.end, (uintptr_t)memory + 3 * PAGE);
	finish(&work);
	CHECK_EQ(work.result, 0);
	close(fd);
}

static void *move_a_part(void *argument)
{
	struct work *work = argument;

	work->result = (long)mremap(work->memory, 4 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, work->memory + 16 * PAGE);
	return NULL;
}

static void *move_too_much(void *argument)
{
	struct work *work = argument;

	work->result = (long)mremap(work->memory, 3 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, work->memory + 32 * PAGE);
	work->error = errno;
	return NULL;
}

static void check_event(int fd, int event, char *start, char *end)
{
	struct uffd_msg message = next_message(fd);

	CHECK_EQ(message.event, event);
	CHECK_EQ(message.arg.remove.start, (uintptr_t)start);
	CHECK_EQ(message.arg.remove.end, (uintptr_t)end);
}

/* What was at the new place went before, what is left over and the old place go after. */
TEST(the_order_of_what_a_move_tells)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP);
	char *memory = map_some(64, PRIVATE);
	struct work work = {.memory = memory};

	MUST(enroll(fd, memory, 4, 1));
	MUST(enroll(fd, memory + 16 * PAGE, 1, 1));
	begin(&work, move_a_part);
	check_event(fd, UFFD_EVENT_UNMAP, memory + 16 * PAGE, memory + 17 * PAGE);
	check_event(fd, UFFD_EVENT_REMAP, memory, memory + 16 * PAGE);
	check_event(fd, UFFD_EVENT_UNMAP, memory + PAGE, memory + 4 * PAGE);
	check_event(fd, UFFD_EVENT_UNMAP, memory, memory + PAGE);
	finish(&work);
	CHECK_EQ(work.result, (long)memory + 16 * (long)PAGE);
	/* All of the tail is told of, handled or not. */
	MUST(munmap(memory + 22 * PAGE, 10 * PAGE));
	MUST(enroll(fd, memory + 18 * PAGE, 1, 1));
	MUST(enroll(fd, memory + 20 * PAGE, 1, 1));
	work.memory = memory + 18 * PAGE;
	begin(&work, move_too_much);
	check_event(fd, UFFD_EVENT_REMAP, memory + 18 * PAGE, memory + 50 * PAGE);
	check_event(fd, UFFD_EVENT_UNMAP, memory + 19 * PAGE, memory + 21 * PAGE);
	check_event(fd, UFFD_EVENT_UNMAP, memory + 18 * PAGE, memory + 19 * PAGE);
	finish(&work);
	CHECK_EQ(work.result, (long)memory + 50 * (long)PAGE);
	close(fd);
}

static void *free_pages(void *argument)
{
	struct work *work = argument;

	work->result = madvise(work->memory, (size_t)work->number * PAGE, work->fd);
	work->error = errno;
	return NULL;
}

/* Who does something to several areas waits for the reader of each before the next one hears of it. */
TEST(readers_hear_one_after_another)
{
	int first = new_uffd(O_NONBLOCK, UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_REMAP),
	    second = new_uffd(O_NONBLOCK, UFFD_FEATURE_EVENT_REMOVE);
	char *memory = map_some(8, PRIVATE), *shared = map_some(2, SHARED);
	struct work work = {.memory = memory, .number = 4, .fd = MADV_DONTNEED};
	struct uffd_msg message;

	MUST(enroll(first, memory + 2 * PAGE, 2, 1));
	MUST(enroll(second, memory, 2, 1));
	MUST(enroll(first, shared, 2, 1));
	begin(&work, free_pages);
	MUST(poll(&(struct pollfd){.fd = second, .events = POLLIN}, 1, -1));
	sleep_ms(5);
	CHECK_EQ(poll(&(struct pollfd){.fd = first, .events = POLLIN}, 1, 0), 0);
	CHECK_ERRNO(read(first, &message, sizeof(message)), EAGAIN);
	message = next_message(second);
	CHECK_EQ(message.event, UFFD_EVENT_REMOVE);
	CHECK_EQ(message.arg.remove.start, (uintptr_t)memory);
	message = next_message(first);
	CHECK_EQ(message.arg.remove.start, (uintptr_t)memory + 2 * PAGE);
	finish(&work);
	CHECK_EQ(work.result, 0);
	/* Of what comes to nothing he hears too. */
	work = (struct work){.memory = shared, .number = 2, .fd = MADV_FREE};
	begin(&work, free_pages);
	message = next_message(first);
	CHECK_EQ(message.event, UFFD_EVENT_REMOVE);
	CHECK_EQ(message.arg.remove.end, (uintptr_t)shared + 2 * PAGE);
	finish(&work);
	CHECK_EQ(work.result, -1);
	CHECK_EQ(work.error, EINVAL);
	/* What is handled isn't moved where the range goes on behind it. */
	MUST(munmap(memory + 4 * PAGE, 4 * PAGE));
	CHECK_ERRNO((long)mremap(memory + 2 * PAGE, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory + 16 * PAGE), EFAULT);
	CHECK_ERRNO(read(first, &message, sizeof(message)), EAGAIN);
	close(first);
	close(second);
}

static void *fork_reader(void *argument)
{
	struct work *work = argument;
	pid_t child = fork();

	if (child == 0)
		_exit(*(volatile char *)work->memory);
	work->result = child;
	return NULL;
}

TEST(the_reader_handles_the_faults_of_a_child)
{
	int fd = new_uffd(O_NONBLOCK | O_CLOEXEC, UFFD_FEATURE_EVENT_FORK), child;
	char *memory = map_some(1, PRIVATE), *source = map_some(1, PRIVATE);
	struct work work = {.memory = memory};
	struct uffd_msg message;

	MUST(enroll(fd, memory, 1, 1));
	/* The flags that it was made with are those of the new one, not what they are now. */
	MUST(fcntl(fd, F_SETFL, 0));
	MUST(fcntl(fd, F_SETFD, 0));
	begin(&work, fork_reader);
	CHECK_EQ(read(fd, &message, sizeof(message)), (ssize_t)sizeof(message));
	CHECK_EQ(message.event, UFFD_EVENT_FORK);
	child = (int)message.arg.fork.ufd;
	CHECK_EQ(fcntl(child, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_EQ(fcntl(child, F_GETFD), FD_CLOEXEC);
	finish(&work);
	message = next_message(child);
	CHECK_EQ(message.event, UFFD_EVENT_PAGEFAULT);
	CHECK_EQ(message.arg.pagefault.address, (uintptr_t)memory);
	source[0] = 42;
	CHECK_OK(copy_page(child, memory, source, 0));
	CHECK_EQ(wait_for((pid_t)work.result), EXITED(42));
	CHECK_ERRNO(copy_page(child, memory, source, 0), ESRCH);
	/* The parent's page is still missing. */
	CHECK_OK(zero_page(fd, memory));
	close(child);
	close(fd);
}

static volatile int *shared_count;

static void *fork_counter(void *argument)
{
	struct work *work = argument;
	pid_t child = fork();

	if (child == 0) {
		++*shared_count;
		_exit(0);
	}
	work->result = child;
	return NULL;
}

TEST(a_child_begins_when_the_reader_has_heard_of_it)
{
	int fd = new_uffd(O_CLOEXEC, UFFD_FEATURE_EVENT_FORK);
	char *memory = map_some(1, PRIVATE);
	struct work work = {.memory = memory};
	struct uffd_msg message;

	shared_count = (volatile int *)map_some(1, SHARED);
	MUST(enroll(fd, memory, 1, 1));
	begin(&work, fork_counter);
	for (int round = 0; round < 20; round++)
		usleep(1000);
	CHECK_EQ(*shared_count, 0);
	CHECK_EQ(read(fd, &message, sizeof(message)), (ssize_t)sizeof(message));
	CHECK_EQ(message.event, UFFD_EVENT_FORK);
	finish(&work);
	CHECK_EQ(wait_for((pid_t)work.result), EXITED(0));
	CHECK_EQ(*shared_count, 1);
	close((int)message.arg.fork.ufd);
	close(fd);
}

TEST(a_child_has_its_own_faults)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_WP_UNPOPULATED);
	char *memory = map_some(2, PRIVATE);
	pid_t child;

	memory[0] = 1;
	MUST(enroll(fd, memory, 2, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
	CHECK_OK(protect(fd, memory, 2, UFFDIO_WRITEPROTECT_MODE_WP));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		memory[0] = 2;
		memory[PAGE] = 3;
		CHECK_EQ(memory[PAGE], 3);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(memory[0], 1);
	CHECK_ERRNO(read(fd, &child, 1), EINVAL);
	close(fd);
}

#define ANY_STATE (PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN | PAGE_IS_FILE | PAGE_IS_PRESENT | PAGE_IS_SWAPPED)

static struct page_region found[8];
static struct pm_scan_arg scan;

/* Scans pages as `scan` says, which keeps its masks; how many ranges, or -errno. */
static int scan_pages(const char *start, size_t pages, size_t most_ranges)
{
	static int fd = -1;

	if (fd == -1)
		fd = (int)MUST(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	memset(found, 0, sizeof(found));
	scan.size = sizeof(scan);
	scan.start = (uintptr_t)start;
	scan.end = (uintptr_t)start + pages * PAGE;
	scan.vec = most_ranges == 0 ? 0 : (uintptr_t)found;
	scan.vec_len = most_ranges;
	scan.walk_end = 7;
	return ioctl(fd, PAGEMAP_SCAN, &scan) == -1 ? -errno : ioctl(fd, PAGEMAP_SCAN, &scan);
}

/* The first ranges, in pages from `start` on, with their categories. */
static const char *told(const char *start, int count)
{
	static char text[200];

	text[0] = '\0';
	for (int at = 0; at < count; at++)
		sprintf(text + strlen(text), "%s%lld-%lld:%llx", at == 0 ? "" : " ",
			((long long)found[at].start - (long long)start) / (long long)PAGE,
			((long long)found[at].end - (long long)start) / (long long)PAGE, (long long)found[at].categories);
	return text;
}

/* What has no entry counts as written where there is a table of page entries, one for 2 MiB. */
TEST(a_table_is_there_while_something_is_mapped_and_was_touched)
{
	size_t table = 512 * PAGE;
	char *room = mmap(NULL, 3 * table, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *memory = (char *)(((uintptr_t)room + 2 * table - 1) & -table);
	int file = (int)MUST(memfd_create("file", MFD_CLOEXEC)), fd;

	MUST(munmap(room, 3 * table));
	scan = (struct pm_scan_arg){.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN};
	MUST(mmap(memory, 3 * PAGE, RW, PRIVATE | MAP_FIXED, -1, 0) == memory ? 0 : -1);
	MUST(madvise(memory, 3 * PAGE, MADV_NOHUGEPAGE));
	CHECK_EQ(scan_pages(memory, 3, 8), 0);
	memory[PAGE] = 1;
	CHECK_EQ(scan_pages(memory, 3, 8), 1);
	CHECK_STRING(told(memory, 1), "0-3:2");
	/* A neighbour needs the table. */
	MUST(munmap(memory + PAGE, 2 * PAGE));
	CHECK_EQ(scan_pages(memory, 3, 8), 1);
	CHECK_STRING(told(memory, 1), "0-1:2");
	MUST(munmap(memory, PAGE));
	MUST(mmap(memory, 3 * PAGE, RW, PRIVATE | MAP_FIXED, -1, 0) == memory ? 0 : -1);
	CHECK_EQ(scan_pages(memory, 3, 8), 0);
	/* A fault that the program handles itself has one made as well. */
	fd = new_uffd(O_CLOEXEC | UFFD_USER_MODE_ONLY, UFFD_FEATURE_SIGBUS);
	MUST(enroll(fd, memory, 1, 1));
	CHECK_EQ(scan_pages(memory, 3, 8), 0);
	CHECK_EQ(touch(memory, READ), SIGBUS);
	CHECK_EQ(scan_pages(memory, 3, 8), 1);
	CHECK_STRING(told(memory, 1), "0-3:2");
	MUST(close(fd));
	MUST(munmap(memory, 3 * PAGE));
	MUST(mmap(memory, 3 * PAGE, RW, PRIVATE | MAP_FIXED, -1, 0) == memory ? 0 : -1);
	CHECK_EQ(scan_pages(memory, 3, 8), 0);
	memory[0] = 1;
	CHECK_EQ(scan_pages(memory, 3, 8), 1);
	MUST(ftruncate(file, PAGE));
	MUST(mmap(memory, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, file, 0) == memory ? 0 : -1);
	CHECK_EQ(scan_pages(memory, 3, 8), 0);
	/* An access that fails makes none. */
	CHECK_EQ(madvise(memory + PAGE, PAGE, MADV_POPULATE_READ), -1);
	CHECK_EQ(scan_pages(memory, 3, 8), 0);
	memory[0] = 1;
	CHECK_EQ(scan_pages(memory, 3, 8), 1);
}

TEST(pages_are_looked_for)
{
	int file = (int)MUST(memfd_create("file", MFD_CLOEXEC));
	char *memory = map_some(600, PRIVATE) + 8 * PAGE, *shared;

	MUST(mprotect(memory + 16 * PAGE, PAGE, PROT_READ));
	memory[0] = memory[PAGE] = memory[3 * PAGE] = 1;
	scan = (struct pm_scan_arg){.category_mask = PAGE_IS_PRESENT, .return_mask = ANY_STATE};
	CHECK_EQ(scan_pages(memory, 8, 8), 2);
	CHECK_STRING(told(memory, 2), "0-2:a 3-4:a");
	CHECK_EQ(scan.walk_end, (uintptr_t)memory + 8 * PAGE);
	scan.return_mask = 0;
	CHECK_EQ(scan_pages(memory, 8, 8), 2);
	CHECK_STRING(told(memory, 2), "0-2:0 3-4:0");
	/* Enough has been found. */
	CHECK_EQ(scan_pages(memory, 8, 1), 1);
	CHECK_EQ(scan.walk_end, (uintptr_t)memory + 3 * PAGE);
	scan.max_pages = 1;
	CHECK_EQ(scan_pages(memory, 8, 8), 1);
	CHECK_STRING(told(memory, 1), "0-1:0");
	CHECK_EQ(scan.walk_end, (uintptr_t)memory + PAGE);
	scan.max_pages = 0;
	CHECK_EQ(scan_pages(memory, 8, 0), 0);
	/* What isn't of a kind. */
	scan = (struct pm_scan_arg){.category_mask = PAGE_IS_PRESENT, .category_inverted = PAGE_IS_PRESENT,
				    .return_mask = PAGE_IS_PRESENT | PAGE_IS_FILE};
	CHECK_EQ(scan_pages(memory, 8, 8), 2);
	CHECK_STRING(told(memory, 2), "2-3:0 4-8:0");
	MUST(ftruncate(file, 2 * PAGE));
	shared = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0);
	MUST(shared == MAP_FAILED ? -1 : 0);
	shared[PAGE] = 1;
	scan = (struct pm_scan_arg){.category_anyof_mask = PAGE_IS_FILE | PAGE_IS_SWAPPED, .return_mask = ANY_STATE};
	CHECK_EQ(scan_pages(shared, 2, 8), 1);
	CHECK_STRING(told(shared, 1), "1-2:e");
	/* Nothing is mapped there. */
	MUST(munmap(shared, 2 * PAGE));
	CHECK_EQ(scan_pages(shared, 2, 8), 0);
	CHECK_EQ(scan.walk_end, (uintptr_t)shared + 2 * PAGE);
	CHECK_EQ(scan_pages(memory, 0, 8), 0);
	CHECK_EQ(scan_pages(memory + 1, 1, 8), -EINVAL);
	scan.vec_len = 3;
	scan.flags = 4;
	CHECK_EQ(scan_pages(memory, 1, 8), -EINVAL);
	scan.flags = PM_SCAN_CHECK_WPASYNC;
	CHECK_EQ(scan_pages(memory, 1, 8), -EPERM);
	scan.flags = 0;
	scan.category_mask = 1 << 20;
	CHECK_EQ(scan_pages(memory, 1, 8), -EINVAL);
	scan.category_mask = 0;
	CHECK_EQ(scan_pages((char *)(1UL << 47), 1, 8), -EFAULT);
	CHECK_ERRNO(ioctl((int)MUST(open("/proc/self/pagemap", O_RDONLY)), PAGEMAP_SCAN, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl((int)MUST(open("/proc/self/pagemap", O_RDONLY)), 5, &scan), EINVAL);
}

TEST(pages_without_a_table_are_looked_for)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_WP_ASYNC);
	const int pages = 2048;
	char *memory = map_some((size_t)pages, PRIVATE);

	MUST(enroll(fd, memory, (size_t)pages, UFFDIO_REGISTER_MODE_WP));
	scan = (struct pm_scan_arg){.category_anyof_mask = PAGE_IS_WRITTEN,
				    .return_mask = PAGE_IS_WRITTEN | PAGE_IS_WPALLOWED};
	CHECK_EQ(scan_pages(memory, (size_t)pages, 8), 1);
	CHECK_STRING(told(memory, 1), "0-2048:3");
	/* At the second scan all of them are protected. */
	scan.flags = PM_SCAN_WP_MATCHING;
	CHECK_EQ(scan_pages(memory, (size_t)pages, 8), 0);
	scan.flags = 0;
	scan.category_anyof_mask = 0;
	CHECK_EQ(scan_pages(memory, (size_t)pages, 8), 1);
	CHECK_STRING(told(memory, 1), "0-2048:1");
	memory[1024 * PAGE] = 1;
	CHECK_EQ(scan_pages(memory, (size_t)pages, 8), 3);
	CHECK_STRING(told(memory, 3), "0-1024:1 1024-1025:3 1025-2048:1");
	close(fd);
}

#define ENTRY_PROTECTED (1ULL << 57)
#define ENTRY_SWAPPED (1ULL << 62)
#define ENTRY_PRESENT (1ULL << 63)

/* What /proc/self/pagemap says of each page: P protected, S as if swapped, M mapped. */
static const char *entries_of(const char *start, int pages)
{
	static char text[4 * 16];
	uint64_t entry;
	int fd = (int)MUST(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));

	text[0] = '\0';
	for (int at = 0; at < pages; at++) {
		CHECK_EQ(pread(fd, &entry, sizeof(entry), (off_t)(((uintptr_t)start / PAGE + (size_t)at) * 8)), 8);
		/* Of swapped pages the lower bits tell where they are: marks are nowhere (31), and themselves. */
		if ((entry & (ENTRY_SWAPPED | ENTRY_PRESENT)) == ENTRY_SWAPPED)
			CHECK_EQ(entry & ((1ULL << 55) - 1), entry & ENTRY_PROTECTED ? 0x3f : 0x5f);
		sprintf(text + strlen(text), "%s%s%s%s", at == 0 ? "" : " ", entry & (ENTRY_PROTECTED | ENTRY_SWAPPED | ENTRY_PRESENT) ? "" : "-",
			entry & ENTRY_PROTECTED ? "P" : "",
			entry & ENTRY_PRESENT ? "M" : entry & ENTRY_SWAPPED ? "S" : "");
	}
	close(fd);
	return text;
}

TEST(page_map_tells_of_protection)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_POISON);
	char *memory = map_some(5, PRIVATE);
	struct uffdio_poison poison = {.range = {(uintptr_t)memory + 4 * PAGE, PAGE}};

	memory[0] = memory[PAGE] = 1;
	MUST(enroll(fd, memory, 5, UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING));
	CHECK_STRING(entries_of(memory, 5), "M M - - -");
	CHECK_OK(protect(fd, memory + PAGE, 2, UFFDIO_WRITEPROTECT_MODE_WP));
	CHECK_OK(ioctl(fd, UFFDIO_POISON, &poison));
	CHECK_STRING(entries_of(memory, 5), "M PM PS - S");
	memory[PAGE] = 2;
	CHECK_STRING(entries_of(memory, 5), "M M PS - S");
	CHECK_OK(protect(fd, memory + 2 * PAGE, 1, 0));
	CHECK_STRING(entries_of(memory, 5), "M M - - S");
	close(fd);
}

TEST(what_stands_for_a_page_is_protected_when_it_is_filled)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_POISON),
	    file = (int)MUST(memfd_create("there", MFD_CLOEXEC));
	char *memory = map_some(3, PRIVATE), *source = map_some(1, PRIVATE), *shared;
	struct uffdio_poison poison = {.range = {(uintptr_t)memory, 2 * PAGE}};

	source[0] = 1;
	MUST(enroll(fd, memory, 3, UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING));
	MUST(ioctl(fd, UFFDIO_POISON, &poison));
	CHECK_OK(protect(fd, memory, 3, UFFDIO_WRITEPROTECT_MODE_WP));
	CHECK_STRING(entries_of(memory, 3), "S S PS");
	CHECK_OK(copy_page(fd, memory, source, UFFDIO_COPY_MODE_WP));
	CHECK_OK(copy_page(fd, memory + PAGE, source, 0));
	CHECK_STRING(entries_of(memory, 3), "PM M PS");
	/* What the file has isn't put there, and so isn't protected. */
	MUST(ftruncate(file, 2 * PAGE));
	MUST(pwrite(file, "f", 1, PAGE));
	shared = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0);
	MUST(shared == MAP_FAILED ? -1 : 0);
	MUST(enroll(fd, shared, 2, UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING));
	CHECK_ERRNO(copy_page(fd, shared + PAGE, source, UFFDIO_COPY_MODE_WP), EEXIST);
	CHECK_STRING(entries_of(shared, 2), "- -");
	poison.range = (struct uffdio_range){(uintptr_t)shared, PAGE};
	MUST(ioctl(fd, UFFDIO_POISON, &poison));
	CHECK_OK(protect(fd, shared, 2, UFFDIO_WRITEPROTECT_MODE_WP));
	CHECK_STRING(entries_of(shared, 2), "S PS");
	close(fd);
}

TEST(written_pages_are_protected_again)
{
	int fd = new_uffd(O_NONBLOCK, UFFD_FEATURE_WP_ASYNC), pagemap = (int)MUST(open("/proc/self/pagemap", O_RDONLY));
	char *memory = map_some(8, PRIVATE), *other = map_some(1, PRIVATE);

	/* No more pages at once than are touched. */
	madvise(memory, 8 * PAGE, MADV_NOHUGEPAGE);
	other[0] = memory[0] = memory[2 * PAGE] = 1;
	MUST(enroll(fd, memory, 8, UFFDIO_REGISTER_MODE_WP));
	CHECK_OK(protect(fd, memory, 8, UFFDIO_WRITEPROTECT_MODE_WP));
	scan = (struct pm_scan_arg){.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN};
	CHECK_EQ(scan_pages(memory, 8, 8), 0);
	memory[0] = memory[PAGE] = memory[5 * PAGE] = 2;
	CHECK_EQ(scan_pages(memory, 8, 8), 2);
	CHECK_STRING(told(memory, 2), "0-2:2 5-6:2");
	scan.return_mask = ANY_STATE;
	CHECK_EQ(scan_pages(memory, 8, 8), 2);
	CHECK_STRING(told(memory, 2), "0-2:b 5-6:b");
	/* What was never there but is marked looks as if it were swapped. */
	scan = (struct pm_scan_arg){.category_mask = PAGE_IS_SWAPPED, .return_mask = ANY_STATE};
	CHECK_EQ(scan_pages(memory, 8, 8), 2);
	CHECK_STRING(told(memory, 2), "3-5:11 6-8:11");
	/* One that isn't told for the number of pages is where the scan ended, and no range. */
	scan = (struct pm_scan_arg){.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN,
				    .size = sizeof(scan), .start = (uintptr_t)memory,
				    .end = (uintptr_t)memory + 8 * PAGE, .vec = (uintptr_t)found, .vec_len = 8,
				    .max_pages = 2};
	CHECK_EQ(ioctl(pagemap, PAGEMAP_SCAN, &scan), 1);
	CHECK_EQ(scan.walk_end, (uintptr_t)memory + 5 * PAGE);
	/* Told and protected in one. */
	scan = (struct pm_scan_arg){.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN,
				    .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, .size = sizeof(scan),
				    .start = (uintptr_t)memory, .end = (uintptr_t)memory + 8 * PAGE,
				    .vec = (uintptr_t)found, .vec_len = 8, .max_pages = 1};
	CHECK_EQ(ioctl(pagemap, PAGEMAP_SCAN, &scan), 1);
	CHECK_STRING(told(memory, 1), "0-1:2");
	scan.max_pages = 0;
	CHECK_EQ(ioctl(pagemap, PAGEMAP_SCAN, &scan), 2);
	CHECK_STRING(told(memory, 2), "1-2:2 5-6:2");
	CHECK_EQ(ioctl(pagemap, PAGEMAP_SCAN, &scan), 0);
	CHECK_EQ(memory[PAGE], 2);
	memory[PAGE] = 3;
	CHECK_EQ(ioctl(pagemap, PAGEMAP_SCAN, &scan), 1);
	/* Without anything to be told all are protected. */
	memory[3 * PAGE] = memory[4 * PAGE] = 1;
	scan.vec = scan.vec_len = 0;
	CHECK_EQ(ioctl(pagemap, PAGEMAP_SCAN, &scan), 0);
	scan = (struct pm_scan_arg){.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN};
	CHECK_EQ(scan_pages(memory, 8, 8), 0);
	/* Other memory can't be protected so, and is passed by, or refused. */
	scan.flags = PM_SCAN_WP_MATCHING;
	CHECK_EQ(scan_pages(other, 1, 8), 0);
	scan.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC;
	CHECK_EQ(scan_pages(other, 1, 8), -EPERM);
	scan = (struct pm_scan_arg){.category_mask = PAGE_IS_WPALLOWED, .return_mask = PAGE_IS_WPALLOWED};
	CHECK_EQ(scan_pages(other, 1, 8), 0);
	CHECK_EQ(scan_pages(memory, 8, 8), 1);
	CHECK_STRING(told(memory, 1), "0-8:1");
	close(fd);
}
