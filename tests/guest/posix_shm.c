/* POSIX shared memory and named semaphores, as the C library makes them of files in /dev/shm: shm_overview(7). */
#include "fault.h"

#include <semaphore.h>
#include <sys/vfs.h>

#define RW (PROT_READ | PROT_WRITE)

static char name[40];

static const char *new_name(void)
{
	static int calls;

	snprintf(name, sizeof(name), "/check-%d-%d", getpid(), ++calls);
	return name;
}

TEST(where_they_are)
{
	struct statfs system;
	struct stat status;

	CHECK_EQ(stat("/dev/shm", &status), 0);
	CHECK_EQ(status.st_mode, S_IFDIR | 01777);
	CHECK_EQ(statfs("/dev/shm", &system), 0);
	CHECK_EQ(system.f_type, 0x01021994);
}

TEST(a_named_memory)
{
	int fd = (int)MUST(shm_open(new_name(), O_RDWR | O_CREAT | O_EXCL, 0600)), again;
	char *memory, *other, path[60];
	struct stat status;
	pid_t child;

	snprintf(path, sizeof(path), "/dev/shm%s", name);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_size, 0);
	CHECK_EQ(status.st_mode, S_IFREG | 0600);
	CHECK_EQ(access(path, F_OK), 0);
	CHECK_ERRNO(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	CHECK_ERRNO(shm_open("/check-nothing", O_RDWR, 0), ENOENT);
	CHECK_ERRNO(shm_open("/a/b", O_RDWR, 0), EINVAL);
	MUST(ftruncate(fd, 2 * PAGE));
	memory = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		again = (int)MUST(shm_open(name, O_RDWR, 0));
		other = mmap(NULL, PAGE, RW, MAP_SHARED, again, PAGE);
		strcpy(other, "from the child");
		CHECK_EQ(shm_unlink(name), 0);
		raise(SIGKILL);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_STRING(memory + PAGE, "from the child");
	CHECK_ERRNO(shm_open(name, O_RDWR, 0), ENOENT);
	CHECK_ERRNO(shm_unlink(name), ENOENT);
	CHECK_ERRNO(access(path, F_OK), ENOENT);
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_nlink, 0);
	CHECK_EQ(ftruncate(fd, PAGE), 0);
	CHECK_EQ(touch(memory + PAGE, READ), SIGBUS);
}

TEST(a_named_semaphore)
{
	sem_t *semaphore = sem_open(new_name(), O_CREAT | O_EXCL, 0600, 1), *again;
	struct timespec soon;
	int value = -1;
	pid_t child;

	CHECK(semaphore != SEM_FAILED);
	CHECK(sem_open(name, O_CREAT | O_EXCL, 0600, 1) == SEM_FAILED);
	CHECK_EQ(errno, EEXIST);
	again = sem_open(name, 0);
	CHECK(again == semaphore);
	CHECK_EQ(sem_wait(semaphore), 0);
	CHECK_ERRNO(sem_trywait(semaphore), EAGAIN);
	MUST(clock_gettime(CLOCK_REALTIME, &soon));
	soon.tv_nsec += 20000000;
	if (soon.tv_nsec >= 1000000000) {
		soon.tv_nsec -= 1000000000;
		soon.tv_sec++;
	}
	CHECK_ERRNO(sem_timedwait(semaphore, &soon), ETIMEDOUT);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(20);
		_exit(sem_post(semaphore) == 0 ? 0 : errno);
	}
	CHECK_EQ(sem_wait(semaphore), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(sem_getvalue(semaphore, &value), 0);
	CHECK_EQ(value, 0);
	/* A crash leaves it taken. */
	MUST(sem_post(semaphore));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(sem_wait(semaphore));
		raise(SIGKILL);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	CHECK_ERRNO(sem_trywait(semaphore), EAGAIN);
	CHECK_EQ(sem_unlink(name), 0);
	CHECK_ERRNO(sem_unlink(name), ENOENT);
	CHECK(sem_open(name, 0) == SEM_FAILED);
	CHECK_EQ(errno, ENOENT);
	CHECK_EQ(sem_post(semaphore), 0);
	CHECK_EQ(sem_close(semaphore), 0);
}
