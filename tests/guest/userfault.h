/* A userfaultfd, requests of it, and threads whose faults it handles. */
#ifndef USERFAULT_H
#define USERFAULT_H

#include "fault.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

#define RW (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)
#define RANGE_IOCTLS_OF_MISSING \
	(1ULL << _UFFDIO_WAKE | 1ULL << _UFFDIO_COPY | 1ULL << _UFFDIO_ZEROPAGE | 1ULL << _UFFDIO_MOVE | \
	 1ULL << _UFFDIO_POISON)

CHECK_API char *map_some(size_t pages, int flags)
{
	void *memory = mmap(NULL, pages * PAGE, RW, flags, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	return memory;
}

CHECK_API int new_uffd(int flags, uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = (int)MUST(syscall(SYS_userfaultfd, flags));

	MUST(ioctl(fd, UFFDIO_API, &api));
	return fd;
}

CHECK_API int enroll(int fd, const void *start, size_t pages, uint64_t mode)
{
	struct uffdio_register wanted = {.range = {(uintptr_t)start, pages * PAGE}, .mode = mode};

	return ioctl(fd, UFFDIO_REGISTER, &wanted);
}

static int64_t copied;

CHECK_API int copy_page(int fd, void *to, const void *from, uint64_t mode)
{
	struct uffdio_copy copy = {.dst = (uintptr_t)to, .src = (uintptr_t)from, .len = PAGE, .mode = mode};
	int result = ioctl(fd, UFFDIO_COPY, &copy);

	copied = copy.copy;
	return result;
}

CHECK_API int zero_page(int fd, void *to)
{
	struct uffdio_zeropage zero = {.range = {(uintptr_t)to, PAGE}};

	return ioctl(fd, UFFDIO_ZEROPAGE, &zero);
}

CHECK_API int protect(int fd, void *start, size_t pages, uint64_t mode)
{
	struct uffdio_writeprotect wanted = {.range = {(uintptr_t)start, pages * PAGE}, .mode = mode};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &wanted);
}

CHECK_API int wake(int fd, void *start)
{
	struct uffdio_range range = {(uintptr_t)start, PAGE};

	return ioctl(fd, UFFDIO_WAKE, &range);
}

CHECK_API int leave(int fd, const void *start, size_t pages)
{
	struct uffdio_range range = {(uintptr_t)start, pages * PAGE};

	return ioctl(fd, UFFDIO_UNREGISTER, &range);
}

CHECK_API struct uffd_msg next_message(int fd)
{
	struct uffd_msg message;
	struct pollfd waits = {.fd = fd, .events = POLLIN};

	memset(&message, 0xFF, sizeof(message));
	if (fcntl(fd, F_GETFL) & O_NONBLOCK)
		MUST(poll(&waits, 1, -1));
	MUST(read(fd, &message, sizeof(message)) == sizeof(message) ? 0 : -1);
	return message;
}

/* A thread that does one thing, and what came of it. */
struct work {
	pthread_t thread;
	char *memory;
	int number;
	int fd;
	long result;
	int error;
	pid_t tid;
};

CHECK_API void begin(struct work *work, void *(*body)(void *))
{
	MUST(pthread_create(&work->thread, NULL, body, work) == 0 ? 0 : -1);
}

CHECK_API void finish(struct work *work)
{
	MUST(pthread_join(work->thread, NULL) == 0 ? 0 : -1);
}

CHECK_API void *read_byte(void *argument)
{
	struct work *work = argument;

	work->tid = gettid();
	work->result = *(volatile char *)work->memory;
	return NULL;
}

CHECK_API void *write_byte(void *argument)
{
	struct work *work = argument;

	work->tid = gettid();
	*(volatile char *)work->memory = (char)work->number;
	work->result = *(volatile char *)work->memory;
	return NULL;
}

CHECK_API void *ask_status(void *argument)
{
	struct work *work = argument;

	work->result = stat("/", (struct stat *)(void *)work->memory);
	work->error = errno;
	return NULL;
}

#endif
