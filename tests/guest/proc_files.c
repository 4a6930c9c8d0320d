/* Files of /proc and /sys that tell of memory, processors and parameters: proc_pid_pagemap(5) and its like. */
#include "fault.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static char contents[1 << 16];

/* A file's beginning, as a string. */
static const char *read_file(const char *name)
{
	int file = (int)MUST(open(name, O_RDONLY));
	ssize_t length = MUST(read(file, contents, sizeof contents - 1));

	contents[length] = '\0';
	MUST(close(file));
	return contents;
}

TEST(which_pages_are_there)
{
	char *memory = map_pages(4);
	int file = (int)MUST(open("/proc/self/pagemap", O_RDONLY));
	uint64_t entries[4];
	off_t at = (off_t)((uintptr_t)memory / PAGE * 8);

	memory[PAGE] = 1;
	CHECK_EQ(pread(file, entries, sizeof entries, at), sizeof entries);
	CHECK_EQ(entries[0] >> 63, 0);
	CHECK_EQ(entries[1] >> 63, 1);
	CHECK_EQ(entries[1] >> 61 & 1, 0);
	CHECK_EQ(entries[1] >> 56 & 1, 1);
	CHECK_EQ(entries[2] >> 63, 0);
	CHECK_ERRNO(pread(file, entries, 7, at), EINVAL);
	CHECK_ERRNO(pread(file, entries, 8, at + 4), EINVAL);
	CHECK_EQ(pread(file, entries, 0, at), 0);
	CHECK_EQ(pread(file, entries, 8, (off_t)(1UL << 47 >> 9)), 0);
	CHECK_EQ(pread(file, entries, 8, at + 8), 8);
	CHECK_EQ(entries[0] >> 63, 1);
	CHECK_EQ(pread(file, entries, 16, at - 8), 16);
	CHECK_EQ(entries[1] >> 63, 0);
	CHECK_EQ(lseek(file, at, SEEK_SET), at);
	CHECK_EQ(lseek(file, 8, SEEK_CUR), at + 8);
	CHECK_EQ(read(file, entries, 8), 8);
	CHECK_EQ(entries[0] >> 63, 1);
	CHECK_ERRNO(lseek(file, 0, SEEK_END), EINVAL);
}

TEST(marks_of_use)
{
	int file = (int)MUST(open("/proc/self/clear_refs", O_WRONLY));

	CHECK_EQ(write(file, "1", 1), 1);
	CHECK_EQ(write(file, "5\n", 2), 2);
	CHECK_ERRNO(write(file, "0", 1), EINVAL);
	CHECK_ERRNO(write(file, "6", 1), EINVAL);
	CHECK_ERRNO(write(file, "x", 1), EINVAL);
}

TEST(pages_by_node)
{
	const char *text = read_file("/proc/self/numa_maps");

	CHECK(strstr(text, " default file=/") != NULL);
	CHECK(strstr(text, " kernelpagesize_kB=4") != NULL);
	CHECK(strstr(text, " stack anon=") != NULL);
}

TEST(mapped_files)
{
	DIR *directory = opendir("/proc/self/map_files");
	struct dirent *entry;
	int links = 0;
	unsigned long start, end;

	CHECK(directory != NULL);
	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		if (sscanf(entry->d_name, "%lx-%lx", &start, &end) == 2)
			links++;
	}
	CHECK(links > 0);
	CHECK_ERRNO(access("/proc/self/map_files/1000-2000", F_OK), ENOENT);
}

static mode_t mapped_mode(int protection, int flags, int fd)
{
	char *start = mmap(NULL, 4096, protection, flags, fd, 0), link[64];
	struct stat status;

	CHECK(start != MAP_FAILED);
	snprintf(link, sizeof(link), "/proc/self/map_files/%lx-%lx", (long)start, (long)start + 4096);
	/* It stays mapped: Linux remembers what it has told of an address. */
	MUST(lstat(link, &status));
	return status.st_mode & 0777;
}

TEST(mapped_files_tell_how_they_are_open)
{
	int both, reader;

	enter_scratch();
	both = (int)MUST(open("mapped", O_RDWR | O_CREAT, 0600)), reader = (int)MUST(open("mapped", O_RDONLY));
	MUST(ftruncate(both, 4096));
	CHECK_EQ(mapped_mode(PROT_READ | PROT_WRITE, MAP_SHARED, both), 0600);
	CHECK_EQ(mapped_mode(PROT_READ, MAP_SHARED, both), 0600);
	CHECK_EQ(mapped_mode(PROT_NONE, MAP_PRIVATE, both), 0600);
	CHECK_EQ(mapped_mode(PROT_READ, MAP_SHARED, reader), 0400);
	CHECK_EQ(mapped_mode(PROT_READ | PROT_WRITE, MAP_PRIVATE, reader), 0400);
	CHECK_EQ(mapped_mode(PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1), 0600);
}

TEST(numbers_with_a_nul)
{
	int file = (int)MUST(open("/proc/self/coredump_filter", O_RDWR));

	CHECK_EQ(write(file, "0x33\n\0", 6), 6);
	CHECK_EQ(write(file, "51\0", 3), 3);
	CHECK_EQ(read(file, contents, 20), 9);
	CHECK_EQ(strncmp(contents, "00000033", 8), 0);
}

TEST(parameters_are_polled)
{
	int file = (int)MUST(open("/proc/sys/kernel/hostname", O_RDONLY)), other, queue = (int)MUST(epoll_create1(0));
	struct pollfd polled = {file, POLLIN | POLLPRI | POLLERR, 0};
	struct epoll_event event = {.events = EPOLLERR | EPOLLPRI};
	struct utsname names;

	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLIN);
	CHECK_OK(epoll_ctl(queue, EPOLL_CTL_ADD, file, &event));
	other = (int)MUST(open("/proc/sys/kernel/pid_max", O_RDONLY));
	CHECK_OK(epoll_ctl(queue, EPOLL_CTL_ADD, other, &event));
	MUST(uname(&names));
	if (geteuid() != 0 || sethostname(names.nodename, strlen(names.nodename)) == -1)
		return;
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLIN | POLLPRI | POLLERR);
	CHECK_EQ(poll(&polled, 1, 0), 1);
	CHECK_EQ(polled.revents, POLLIN);
}

TEST(files_of_the_machine_are_read_and_mapped_by_their_kind)
{
	static const char *const records[] = {"/proc/cpuinfo", "/proc/net/softnet_stat", "/proc/stat", "/proc/uptime"};
	static const char *const buffers[] = {"/proc/net/snmp", "/proc/net/unix", "/proc/swaps", "/proc/sysvipc/shm"};
	char byte;
	struct iovec part = {&byte, 1};
	int ends[2];

	MUST(pipe(ends));
	for (size_t i = 0; i < LENGTH(records); i++) {
		int fd = (int)MUST(open(records[i], O_RDONLY));

		CHECK_EQ(splice(fd, NULL, ends[1], NULL, 1, 0), 1);
		CHECK_EQ(sendfile(ends[1], fd, NULL, 1), 1);
		CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), EIO);
		MUST(close(fd));
	}
	for (size_t i = 0; i < LENGTH(buffers); i++) {
		int fd = (int)MUST(open(buffers[i], O_RDONLY));

		CHECK_ERRNO(splice(fd, NULL, ends[1], NULL, 1, 0), EINVAL);
		CHECK_ERRNO(sendfile(ends[1], fd, NULL, 1), EINVAL);
		CHECK_ERRNO(preadv2(fd, &part, 1, 0, RWF_NOWAIT), EOPNOTSUPP);
		CHECK_EQ(preadv2(fd, &part, 1, 0, RWF_HIPRI), 1);
		CHECK_EQ(readv(fd, &part, 1), 1);
		CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1);
		CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), EIO);
		MUST(close(fd));
	}
	CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, (int)MUST(open("/proc/self/stat", O_RDONLY)), 0), ENODEV);
}

TEST(who_may_change_files_of_the_machine)
{
	CHECK_ERRNO(chmod("/proc/self/status", 0444), EPERM);
	CHECK_ERRNO(chmod("/proc/self/net", 0555), EPERM);
	CHECK_ERRNO(chmod("/proc/sys/kernel/ostype", 0444), EPERM);
	CHECK_ERRNO(chown("/proc/sys/kernel/ostype", geteuid(), (gid_t)-1), EPERM);
	CHECK_ERRNO(open("/proc/net/unix", O_WRONLY), EACCES);
	CHECK_ERRNO(open("/proc/net/tcp", O_RDWR), EACCES);
	if (geteuid() != 0) {
		CHECK_ERRNO(chmod("/proc/uptime", 0444), EPERM);
		return;
	}
	CHECK_OK(chmod("/proc/uptime", 0444));
	CHECK_OK(chmod("/proc/sysvipc", 0555));
	CHECK_OK(chown("/proc/uptime", 0, 0));
	MUST(close((int)MUST(open("/proc/net/snmp", O_RDWR))));
}

TEST(ends_of_directories)
{
	int directory = (int)MUST(open("/proc/self/fd", O_RDONLY));

	CHECK_EQ(lseek(directory, 0, SEEK_END), 0);
	CHECK_EQ(lseek((int)MUST(open("/proc", O_RDONLY)), 0, SEEK_END), 0);
	CHECK_EQ(lseek((int)MUST(open("/proc/sys/kernel", O_RDONLY)), 5, SEEK_END), 5);
	CHECK_EQ(lseek((int)MUST(open("/sys/class/net/", O_RDONLY)), 3, SEEK_END), 3);
}

TEST(which_lists_of_mounts_are_polled)
{
	int queue = (int)MUST(epoll_create1(0)), file = (int)MUST(open("/proc/self/mountstats", O_RDONLY));
	struct epoll_event event = {.events = EPOLLERR | EPOLLPRI | EPOLLIN};

	CHECK_ERRNO(epoll_ctl(queue, EPOLL_CTL_ADD, file, &event), EPERM);
	CHECK_OK(epoll_ctl(queue, EPOLL_CTL_ADD, (int)MUST(open("/proc/mounts", O_RDONLY)), &event));
	CHECK_EQ(epoll_wait(queue, &event, 1, 0), 1);
	CHECK_EQ(event.events, EPOLLIN);
	CHECK_OK(epoll_ctl(queue, EPOLL_CTL_ADD, (int)MUST(open("/proc/self/mountinfo", O_RDONLY)), &event));
}

TEST(maps_of_a_zombie_s_ids)
{
	pid_t child = child_that_exits(0);
	const char *names[] = {"uid_map", "gid_map", "projid_map"};
	char name[64];

	await_zombie(child);
	for (size_t at = 0; at < LENGTH(names); at++) {
		snprintf(name, sizeof name, "/proc/%d/%s", child, names[at]);
		CHECK_EQ(strlen(read_file(name)), 33);
	}
	snprintf(name, sizeof name, "/proc/%d/setgroups", child);
	CHECK_STRING(read_file(name), "allow\n");
	MUST(wait_for(child));
}

/* What is read of a file that can't be written to is nobody's but the mapper's, and clean. */
TEST(shared_pages_that_are_only_read)
{
	char name[] = "/tmp/check-XXXXXX", line[300], start[40];
	int writer = (int)MUST(mkstemp(name)), file = (int)MUST(open(name, O_RDONLY)), is_wanted = 0;
	long resident = -1, proportional = -1, private_clean = -1, shared = 0, value;
	char *memory;
	FILE *smaps;

	MUST(unlink(name));
	MUST(ftruncate(writer, PAGE));
	MUST(fsync(writer));
	memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
	CHECK_EQ(touch(memory, READ), 0);
	snprintf(start, sizeof start, "%lx-", (long)memory);
	smaps = fopen("/proc/self/smaps", "r");
	MUST(smaps == NULL ? -1 : 0);
	while (fgets(line, sizeof line, smaps) != NULL) {
		if (strncmp(line, start, strlen(start)) == 0) {
			CHECK(strstr(line, " r--s ") != NULL);
			is_wanted = 1;
		} else if (is_wanted && strncmp(line, "VmFlags: ", 9) == 0) {
			CHECK_STRING(line, "VmFlags: rd mr me ms \n");
			break;
		} else if (is_wanted) {
			sscanf(line, "Rss: %ld", &resident);
			sscanf(line, "Pss: %ld", &proportional);
			sscanf(line, "Private_Clean: %ld", &private_clean);
			if (sscanf(line, "Shared_Clean: %ld", &value) == 1 || sscanf(line, "Shared_Dirty: %ld", &value) == 1 ||
			    sscanf(line, "Private_Dirty: %ld", &value) == 1)
				shared += value;
		}
	}
	fclose(smaps);
	CHECK_EQ(resident, 4);
	CHECK_EQ(proportional, 4);
	CHECK_EQ(private_clean, 4);
	CHECK_EQ(shared, 0);
}

TEST(files_that_tools_read)
{
	CHECK(strstr(read_file("/proc/cpuinfo"), "\ncache size\t: ") != NULL);
	CHECK_EQ(strncmp(read_file("/proc/cgroups"), "#subsys_name\thierarchy\tnum_cgroups\tenabled\n", 42), 0);
	CHECK_EQ(strncmp(read_file("/proc/pressure/cpu"), "some avg10=", 11), 0);
	CHECK(strstr(read_file("/proc/pressure/memory"), "\nfull avg10=") != NULL);
	CHECK_EQ(strncmp(read_file("/proc/pressure/io"), "some avg10=", 11), 0);
	CHECK_EQ(access("/proc/diskstats", R_OK), 0);
	CHECK_EQ(strncmp(read_file("/proc/net/netstat"), "TcpExt: SyncookiesSent ", 23), 0);
	CHECK(strstr(read_file("/proc/net/netstat"), "\nIpExt: InNoRoutes ") != NULL);
	CHECK(strtol(read_file("/proc/sys/net/core/wmem_max"), NULL, 10) >= 212992);
	CHECK(strtol(read_file("/proc/sys/net/core/rmem_max"), NULL, 10) >= 212992);
}

TEST(entries_before_a_missing_page)
{
	char *memory = map_pages(2), name[32];
	int directory;
	long filled;

	enter_scratch();
	for (int at = 0; at < 200; at++) {
		snprintf(name, sizeof name, "a-name-of-some-length-%03d", at);
		MUST(close((int)MUST(open(name, O_CREAT | O_RDWR, 0600))));
	}
	MUST(munmap(memory + PAGE, PAGE));
	directory = (int)MUST(open(".", O_RDONLY));
	filled = MUST(syscall(SYS_getdents64, directory, memory, 2 * PAGE));
	CHECK(filled > (long)PAGE / 2);
	CHECK(filled <= (long)PAGE);
	CHECK_ERRNO(syscall(SYS_getdents64, directory, memory + PAGE, PAGE), EFAULT);
	CHECK(syscall(SYS_getdents64, directory, memory, PAGE) > 0);
}

TEST(a_directory_of_a_process_is_its_own)
{
	char name[32];
	struct stat first, second;
	pid_t child = child_that_pauses();

	snprintf(name, sizeof name, "/proc/%d", child);
	MUST(stat(name, &first));
	MUST(stat(name, &second));
	CHECK_EQ(first.st_ino, second.st_ino);
	MUST(kill(child, SIGKILL));
	MUST(wait_for(child));
	child = child_that_pauses();
	snprintf(name, sizeof name, "/proc/%d", child);
	MUST(stat(name, &second));
	CHECK(first.st_ino != second.st_ino);
	MUST(kill(child, SIGKILL));
	MUST(wait_for(child));
}

TEST(what_the_kernel_says_of_itself)
{
	CHECK(strtol(read_file("/proc/sys/kernel/tainted"), NULL, 10) >= 0);
	CHECK(strncmp(read_file("/proc/self/syscall"), "0 0x", 4) == 0);
	CHECK(strtol(read_file("/sys/devices/system/cpu/cpu0/topology/core_id"), NULL, 10) >= 0);
	CHECK(strtol(read_file("/sys/devices/system/cpu/cpu0/topology/thread_siblings"), NULL, 16) & 1);
}

TEST(levels_of_messages)
{
	const char *file = "/proc/sys/kernel/printk";
	char before[256];
	int fd = (int)MUST(open(file, O_WRONLY));

	strcpy(before, read_file(file));
	CHECK_ERRNO(write(fd, "99999999999\n", 12), EINVAL);
	CHECK_ERRNO(write(fd, "2147483648\n", 11), EINVAL);
	CHECK_ERRNO(write(fd, "x\n", 2), EINVAL);
	CHECK_ERRNO(write(fd, "\n", 1), EINVAL);
	CHECK_STRING(read_file(file), before);
	/* What comes before a number that is none is kept. */
	CHECK_ERRNO(write(fd, "3 x\n", 4), EINVAL);
	CHECK_EQ(strncmp(read_file(file), "3\t", 2), 0);
	CHECK_EQ(write(fd, before, strlen(before)), (ssize_t)strlen(before));
	CHECK_STRING(read_file(file), before);
}

TEST(how_many_areas_there_may_be)
{
	char text[20] = "";
	int fd = (int)MUST(open("/proc/sys/vm/max_map_count", O_RDWR)), status;
	struct stat attributes;

	MUST(read(fd, text, sizeof text - 1));
	CHECK(atoi(text) > 1000);
	MUST(fstat(fd, &attributes));
	CHECK_EQ(attributes.st_mode, S_IFREG | 0644);
	CHECK_ERRNO(pwrite(fd, "-1", 2, 0), EINVAL);
	CHECK_ERRNO(pwrite(fd, "2147483648", 10, 0), EINVAL);
	CHECK_ERRNO(pwrite(fd, "many", 4, 0), EINVAL);
	if (fork() == 0) {
		int refused;

		/* Rights over a user namespace of one's own are none over the machine. */
		if (setresgid(1000, 1000, 1000) != 0 || setresuid(1000, 1000, 1000) != 0)
			_exit(1);
		refused = open("/proc/sys/vm/max_map_count", O_WRONLY) == -1 && errno == EACCES;
		unshare(CLONE_NEWUSER);
		_exit(refused && open("/proc/sys/vm/max_map_count", O_WRONLY) == -1 && errno == EACCES ? 0 : 2);
	}
	MUST(wait(&status));
	CHECK_EQ(status, 0);
}

/* These know only single buffers: writev() writes one after the other, and none moves the position. */
TEST(buffers_are_written_one_by_one)
{
	struct iovec parts[] = {{"ab", 2}, {"cde", 3}};
	struct iovec numbers[] = {{"7", 1}, {"3x", 2}};
	int fd = (int)MUST(open("/proc/self/comm", O_RDWR));

	CHECK_EQ(writev(fd, parts, 2), 5);
	CHECK_STRING(read_file("/proc/self/comm"), "cde\n");
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(pwritev2(fd, parts, 2, -1, 0), 5);
	CHECK_EQ(write(fd, "ab", 2), 2);
	CHECK_STRING(read_file("/proc/self/comm"), "ab\n");
	/* It has been opened as a sequence, which has no offsets to write at. */
	CHECK_ERRNO(pwrite(fd, "cde", 3, 0), ESPIPE);
	CHECK_ERRNO(pwrite(fd, "cde", 3, 5), ESPIPE);
	CHECK_ERRNO(pwrite(fd, "cde", 3, -1), EINVAL);
	CHECK_ERRNO(pwritev(fd, parts, 2, 0), ESPIPE);
	CHECK_ERRNO(pwritev2(fd, parts, 2, 0, 0), ESPIPE);
	CHECK_STRING(read_file("/proc/self/comm"), "ab\n");
	MUST(close(fd));
	fd = (int)MUST(open("/proc/self/timerslack_ns", O_WRONLY));
	CHECK_ERRNO(pwrite(fd, "7", 1, 0), ESPIPE);
	CHECK_EQ(writev(fd, numbers, 2), 1);
	CHECK_STRING(read_file("/proc/self/timerslack_ns"), "7\n");
	MUST(close(fd));
	/* This one hasn't, and doesn't look at them. */
	fd = (int)MUST(open("/proc/self/coredump_filter", O_WRONLY));
	CHECK_EQ(writev(fd, numbers, 2), 1);
	CHECK_STRING(read_file("/proc/self/coredump_filter"), "00000007\n");
	CHECK_EQ(pwrite(fd, "1f", 2, 0), -1);
	CHECK_EQ(pwrite(fd, "5", 1, 100), 1);
	CHECK_STRING(read_file("/proc/self/coredump_filter"), "00000005\n");
	CHECK_EQ(pwritev(fd, numbers, 1, 100), 1);
	CHECK_STRING(read_file("/proc/self/coredump_filter"), "00000007\n");
	CHECK_ERRNO(pwritev2(fd, numbers, 1, 0, RWF_SYNC), EOPNOTSUPP);
	MUST(close(fd));
	/* What it sets to zero is counted elsewhere. */
	fd = (int)MUST(open("/proc/self/sched", O_WRONLY));
	CHECK_EQ(write(fd, "0", 1), 1);
	CHECK_EQ(writev(fd, parts, 2), 5);
	CHECK_ERRNO(pwrite(fd, "0", 1, 0), ESPIPE);
	MUST(close(fd));
}

TEST(a_map_of_ids_is_written_in_one_buffer)
{
	struct iovec parts[] = {{"deny", 4}, {"deny", 4}};
	char line[64];
	struct iovec map[] = {{line, 0}, {line, 1}};
	int fd;

	map[0].iov_len = (size_t)snprintf(line, sizeof line, "0 %d 1", (int)geteuid());
	MUST(unshare(CLONE_NEWUSER));
	fd = (int)MUST(open("/proc/self/setgroups", O_WRONLY));
	CHECK_ERRNO(pwrite(fd, "deny", 4, 0), ESPIPE);
	/* The second one isn't at the beginning any more. */
	CHECK_EQ(writev(fd, parts, 2), 4);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
	CHECK_ERRNO(write(fd, "deny", 4), EINVAL);
	MUST(close(fd));
	fd = (int)MUST(open("/proc/self/uid_map", O_WRONLY));
	CHECK_ERRNO(pwritev(fd, map, 1, 0), ESPIPE);
	CHECK_EQ(writev(fd, map, 2), (ssize_t)map[0].iov_len);
	CHECK_EQ(geteuid(), 0);
	MUST(close(fd));
}

TEST(shared_memory_is_a_file)
{
	char *start = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char link[64], line[300], name[200] = "", byte;
	unsigned long first, number = 0;
	unsigned int major_number = 0, minor_number = 0;
	struct stat status, again;
	FILE *maps = fopen("/proc/self/maps", "r");
	pid_t child;
	int fd;

	strcpy(start, "hello");
	snprintf(link, sizeof(link), "/proc/self/map_files/%lx-%lx", (long)start, (long)start + 8192);
	CHECK_OK(stat(link, &status));
	CHECK_EQ(status.st_size, 8192);
	CHECK_EQ(status.st_mode, S_IFREG | 0777);
	CHECK_EQ(status.st_nlink, 0);
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%*x %*s %*x %x:%x %lu %199[^\n]", &first, &major_number, &minor_number, &number, name) == 5 &&
		    first == (unsigned long)start)
			break;
	CHECK_EQ(makedev(major_number, minor_number), status.st_dev);
	CHECK_EQ(number, status.st_ino);
	CHECK(!strcmp(name, "/dev/zero (deleted)"));
	CHECK_EQ(readlink(link, line, sizeof(line)), 19);
	fd = CHECK_OK(open(link, O_RDWR));
	CHECK_OK(fstat(fd, &again));
	CHECK_EQ(again.st_ino, status.st_ino);
	CHECK_EQ(pread(fd, &byte, 1, 1), 1);
	CHECK_EQ(byte, 'e');
	CHECK_EQ(pwrite(fd, "J", 1, 0), 1);
	CHECK_EQ(*start, 'J');
	/* Its size is that of the memory. */
	CHECK_OK(ftruncate(fd, 4096));
	CHECK_EQ(start[1], 'e');
	child = MUST(fork());
	if (child == 0) {
		start[4096] = 1;
		_exit(0);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGBUS));
	CHECK_OK(ftruncate(fd, 3));
	CHECK_EQ(start[1], 'e');
	CHECK_EQ(start[3], 0);
	CHECK_EQ(pwrite(fd, "again", 5, 4096), 5);
	CHECK_EQ(start[4096], 'a');
	CHECK_OK(stat(link, &status));
	CHECK_EQ(status.st_size, 4101);
	/* The file holds what nobody maps any more. */
	MUST(munmap(start, 8192));
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	CHECK_EQ(byte, 'J');
	CHECK_ERRNO(stat(link, &status), ENOENT);
	CHECK_OK(ftruncate(fd, 0));
	MUST(fcntl(fd, F_SETFL, O_APPEND));
	CHECK_EQ(write(fd, "new", 3), 3);
	CHECK_EQ(pread(fd, &byte, 1, 2), 1);
	CHECK_EQ(byte, 'w');
	CHECK_OK(fstat(fd, &status));
	CHECK_EQ(status.st_size, 3);
	close(fd);
	fclose(maps);
}

TEST(records_have_no_offsets_to_write_at)
{
	static const char *const names[] = {"/proc/self/mounts", "/proc/self/mountinfo", "/proc/self/mountstats",
					    "/proc/self/maps",   "/proc/self/fdinfo/0",  "/proc/stat",
					    "/proc/meminfo",     "/proc/loadavg",	 "/proc/net/tcp",
					    "/proc/filesystems", "/proc/locks"};
	static const char *const others[] = {"/proc/self/environ", "/proc/sys/kernel/pid_max", "/proc/self/mem"};

	for (size_t index = 0; index < LENGTH(names); index++) {
		int file = (int)MUST(open(names[index], O_RDONLY));

		CHECK_ERRNO(pwrite(file, "x", 1, 0), ESPIPE);
		CHECK_ERRNO(write(file, "x", 1), EBADF);
		MUST(close(file));
	}
	for (size_t index = 0; index < LENGTH(others); index++) {
		int file = (int)MUST(open(others[index], O_RDONLY));

		CHECK_ERRNO(pwrite(file, "x", 1, 0), EBADF);
		MUST(close(file));
	}
}

static off_t end_of(const char *path)
{
	int fd = (int)MUST(open(path, O_RDONLY | O_CLOEXEC));
	off_t end = lseek(fd, 0, SEEK_END);
	int saved = errno;

	MUST(close(fd));
	errno = saved;
	return end;
}

TEST(ends_of_files)
{
	CHECK_EQ(end_of("/proc/self/auxv"), 0);
	CHECK_EQ(end_of("/proc/self/environ"), 0);
	CHECK_EQ(end_of("/sys/devices/system/cpu/online"), 4096);
	CHECK_EQ(end_of("/sys/class/net/lo/address"), 4096);
	CHECK_EQ(end_of("/proc/sys/kernel/ostype"), 0);
	CHECK_ERRNO(end_of("/proc/self/maps"), EINVAL);
}

/* Root too writes only where somebody may. */
TEST(attributes_that_are_read_only)
{
	struct stat status;

	CHECK_ERRNO(open("/sys/devices/system/cpu/online", O_WRONLY), EACCES);
	CHECK_ERRNO(open("/sys/class/net/lo/address", O_RDWR), EACCES);
	MUST(stat("/sys/class/net/lo/address", &status));
	CHECK_EQ(status.st_size, 4096);
	CHECK_OK(truncate("/sys/class/net/lo/address", 0));
	CHECK_ERRNO(mkdir("/sys/name", 0755), EPERM);
}

TEST(numbers_too_large)
{
	CHECK_ERRNO(write_text("/proc/self/coredump_filter", "99999999999"), ERANGE);
	CHECK_ERRNO(write_text("/proc/self/coredump_filter", "99999999999999999999999"), ERANGE);
	CHECK_ERRNO(write_text("/proc/self/coredump_filter", "x"), EINVAL);
	CHECK_ERRNO(write_text("/proc/self/coredump_filter", "-1"), EINVAL);
	CHECK_ERRNO(write_text("/proc/self/oom_score_adj", "1001"), EINVAL);
	CHECK_ERRNO(write_text("/proc/self/oom_score_adj", "99999999999"), ERANGE);
	CHECK_ERRNO(write_text("/proc/self/clear_refs", "9"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/kernel/core_uses_pid", "99999999999"), EINVAL);
}

/* Text goes on where one writes; numbers are taken at the beginning, and ignored behind it. */
TEST(parameters_written_in_the_middle)
{
	char name[65];
	int fd;

	MUST(unshare(CLONE_NEWUTS));
	MUST(sethostname("first", 5));
	fd = (int)MUST(open("/proc/sys/kernel/hostname", O_WRONLY));
	CHECK_EQ(pwrite(fd, "xyz", 3, 2), 3);
	MUST(gethostname(name, sizeof(name)));
	CHECK_STRING(name, "fixyz");
	CHECK_EQ(pwrite(fd, "no", 2, 60), 2);
	MUST(gethostname(name, sizeof(name)));
	CHECK_STRING(name, "fixyz");
	CHECK_EQ(write(fd, "", 0), 0);
	MUST(gethostname(name, sizeof(name)));
	CHECK_STRING(name, "fixyz");
	fd = (int)MUST(open("/proc/sys/kernel/core_uses_pid", O_WRONLY));
	CHECK_EQ(pwrite(fd, "x", 1, 1), 1);
	CHECK_EQ(write(fd, "", 0), 0);
	CHECK_ERRNO(write(fd, "x", 1), EINVAL);
}

TEST(a_directory_that_was_removed_is_not_listed)
{
	char buffer[1000];
	int fd;

	enter_scratch();
	MUST(mkdir("directory", 0755));
	fd = (int)MUST(open("directory", O_RDONLY | O_DIRECTORY));
	CHECK(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)) > 0);
	CHECK_EQ(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), 0);
	MUST(rmdir("directory"));
	CHECK_ERRNO(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), ENOENT);
	MUST(lseek(fd, 0, SEEK_SET));
	CHECK_ERRNO(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), ENOENT);
}

static long store_login(const char *text, off_t offset)
{
	int fd = (int)MUST(open("/proc/self/loginuid", O_WRONLY));
	long result = pwrite(fd, text, strlen(text), offset);
	int error = errno;

	MUST(close(fd));
	errno = error;
	return result;
}

static void log_in(void)
{
	char path[40], before[16] = "";
	int fd;

	CHECK_EQ(store_login("4294967295", 0), 10);
	CHECK_STRING(read_file("/proc/self/loginuid"), "4294967295");
	CHECK_STRING(read_file("/proc/self/sessionid"), "4294967295");
	CHECK_EQ(store_login("1000", 0), 4);
	CHECK_STRING(read_file("/proc/self/loginuid"), "1000");
	snprintf(before, sizeof(before), "%s", read_file("/proc/self/sessionid"));
	CHECK(strcmp(before, "4294967295") != 0);
	/* Who may can go on to another session. */
	CHECK_EQ(store_login("+1001\n", 0), 6);
	CHECK_STRING(read_file("/proc/self/loginuid"), "1001");
	CHECK(strcmp(read_file("/proc/self/sessionid"), before) != 0);
	CHECK_ERRNO(store_login("7", 1), EINVAL);
	CHECK_ERRNO(store_login("x", 0), EINVAL);
	CHECK_ERRNO(store_login("-1", 0), EINVAL);
	CHECK_ERRNO(store_login(" 5", 0), EINVAL);
	CHECK_ERRNO(store_login("4294967296", 0), ERANGE);
	/* Children are of the same session, and begin none for others. */
	if (fork() == 0) {
		CHECK_STRING(read_file("/proc/self/loginuid"), "1001");
		snprintf(path, sizeof(path), "/proc/%d/loginuid", getppid());
		fd = (int)MUST(open(path, O_WRONLY));
		CHECK_ERRNO(write(fd, "5", 1), EPERM);
		_exit(0);
	}
	wait(NULL);
	/* Without the right, one's own session can't be left. */
	fd = (int)MUST(open("/proc/self/loginuid", O_WRONLY));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(write(fd, "5", 1), EPERM);
	MUST(close(fd));
}

TEST(who_logged_in)
{
	if (geteuid() == 0)
		log_in();
	else
		CHECK(strlen(read_file("/proc/self/sessionid")) > 0);
}

/* What all objects in the lines of /proc/slabinfo take; who isn't root may not know. */
static long bytes_of_slabs(void)
{
	long active, all, size, per_slab, pages, active_slabs, slabs, total = 0;
	FILE *file = fopen("/proc/slabinfo", "r");
	char line[512], name[64];
	int count = 0;

	if (!file)
		return 0;
	CHECK_STRING(fgets(line, sizeof(line), file), "slabinfo - version: 2.1\n");
	CHECK(fgets(line, sizeof(line), file) && strncmp(line, "# name   ", 9) == 0);
	while (fgets(line, sizeof(line), file)) {
		int fields = sscanf(line,
				    "%63s %ld %ld %ld %ld %ld : tunables %*d %*d %*d : slabdata %ld %ld %*d",
				    name, &active, &all, &size, &per_slab, &pages, &active_slabs, &slabs);

		if (fields != 8 || active > all || per_slab * size > pages * 4096 || active_slabs > slabs)
			CHECK_STRING(line, "a line that is right");
		total += active * size;
		count++;
	}
	fclose(file);
	CHECK(count > 10);
	return total;
}

TEST(slabs)
{
	long before = bytes_of_slabs();

	if (geteuid()) {
		CHECK_ERRNO(open("/proc/slabinfo", O_RDONLY), EACCES);
		return;
	}
	for (int count = 0; count < 300; count++)
		MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK(bytes_of_slabs() >= before + 300 * 1024);
}

static long in_stat(const char *name)
{
	const char *line = strstr(read_file("/proc/stat"), name);

	return line ? atol(line + strlen(name)) : -1;
}

/* What has been counted stays counted, whoever ends. */
TEST(interrupts_and_switches)
{
	long interrupts = in_stat("\nintr "), switches = in_stat("\nctxt ");

	CHECK(interrupts >= 0 && switches > 0);
	for (int count = 0; count < 3; count++) {
		pid_t child = (pid_t)MUST(fork());

		if (child == 0) {
			sleep_ms(5);
			_exit(0);
		}
		CHECK_EQ(wait_for(child), EXITED(0));
	}
	CHECK(in_stat("\nintr ") >= interrupts + 3);
	CHECK(in_stat("\nctxt ") >= switches + 6);
	CHECK(strstr(read_file("/proc/interrupts"), " Local timer interrupts\n") != NULL);
}

TEST(devices_in_sysfs)
{
	char target[100] = {0};

	CHECK_STRING(read_file("/sys/dev/char/1:3/uevent"), "MAJOR=1\nMINOR=3\nDEVNAME=null\nDEVMODE=0666\n");
	CHECK_STRING(read_file("/sys/class/mem/kmsg/uevent"), "MAJOR=1\nMINOR=11\nDEVNAME=kmsg\nDEVMODE=0644\n");
	CHECK_STRING(read_file("/sys/class/tty/console/uevent"), "MAJOR=5\nMINOR=1\nDEVNAME=console\n");
	CHECK_STRING(read_file("/sys/devices/virtual/tty/ptmx/dev"), "5:2\n");
	CHECK_OK(readlink("/sys/dev/char/5:0", target, sizeof(target) - 1));
	CHECK_STRING(target, "../../devices/virtual/tty/tty");
	memset(target, 0, sizeof(target));
	CHECK_OK(readlink("/sys/class/mem/null/subsystem", target, sizeof(target) - 1));
	CHECK_STRING(target, "../../../../class/mem");
	CHECK_ERRNO(readlink("/sys/dev/char/1:3/dev", target, sizeof(target)), EINVAL);
	CHECK_ERRNO(access("/sys/dev/char/1:99", F_OK), ENOENT);
}

static long links_of(const char *name)
{
	struct stat status;

	CHECK_OK(stat(name, &status));
	return (long)status.st_nlink;
}

static void *wait_for_end(void *end)
{
	char byte;

	CHECK_EQ(read(*(int *)end, &byte, 1), 1);
	return NULL;
}

/* How many directories are in one, as readdir(3) tells it. */
static long directories_in(const char *name)
{
	DIR *directory = opendir(name);
	long count = 0;

	MUST(directory != NULL ? 0 : -1);
	for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
		count += entry->d_type == DT_DIR && entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

/* A directory has a link for each directory in it, in most of the kernel's own file systems too. */
TEST(links_of_directories)
{
	pthread_t thread;
	int ends[2];

	MUST(pipe(ends));
	CHECK_EQ(links_of("/proc/thread-self"), 2 + directories_in("/proc/thread-self"));
	CHECK_EQ(links_of("/proc/self/task"), 3);
	MUST(pthread_create(&thread, NULL, wait_for_end, &ends[0]) == 0 ? 0 : -1);
	CHECK_EQ(links_of("/proc/self/task"), 4);
	CHECK_EQ(write(ends[1], "x", 1), 1);
	pthread_join(thread, NULL);
	CHECK_EQ(links_of("/proc/self"), 9);
	CHECK_EQ(links_of("/proc/self/fd"), 2);
	CHECK_EQ(links_of("/proc/sys"), 1);
	CHECK_EQ(links_of("/proc/sys/kernel"), 1);
	CHECK_EQ(links_of("/proc/sys/net/ipv4/conf"), 1);
	CHECK_EQ(links_of("/proc/sys/net/ipv4/conf/lo"), 1);
	CHECK_EQ(links_of("/proc/fs"), 2 + directories_in("/proc/fs"));
	CHECK_EQ(links_of("/sys"), 2 + directories_in("/sys"));
	CHECK_EQ(links_of("/sys/devices/system/cpu"), 2 + directories_in("/sys/devices/system/cpu"));
	CHECK_EQ(links_of("/sys/class/net"), 2);
	CHECK(links_of("/proc") > links_of("/proc/fs"));
}
