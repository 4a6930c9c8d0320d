/* Loops of system calls that move much, or look at many files, each run for a time of the clock. */
#define BODIES_AT_ONCE 1
#include "loops.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define SIZE (16L << 20)
#define PIPE_SIZE (1L << 20)
#define FILES 12000
#define DIRECTORY "/tmp/large_files"

static char *memory;
static char buffer[1 << 20] __attribute__((aligned(4096)));
static int fd, other, ends[2], others[2];
static int files[FILES];

static void allow_files(void)
{
	struct rlimit limit = {4 * FILES, 4 * FILES};

	must(setrlimit(RLIMIT_NOFILE, &limit));
}

static void make_memory(void)
{
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	must(memory == MAP_FAILED ? -1 : 0);
}

static void make_directory(void)
{
	must(mkdir(DIRECTORY, 0700));
	must(chdir(DIRECTORY));
}

static int new_file(void)
{
	int made = (int)must(syscall(SYS_memfd_create, "large", 0));

	must(pwrite(made, memory, SIZE, 0));
	return made;
}

static void make_file(void)
{
	make_memory();
	fd = new_file();
}

static void make_two(void)
{
	make_file();
	other = new_file();
}

static void make_disk_file(void)
{
	make_memory();
	make_directory();
	fd = (int)must(open("file", O_CREAT | O_RDWR, 0600));
	must(pwrite(fd, memory, SIZE, 0));
}

static void open_device(const char *path)
{
	make_memory();
	fd = (int)must(open(path, O_RDWR));
}

static void open_zero(void) { open_device("/dev/zero"); }
static void open_random(void) { open_device("/dev/urandom"); }
static void do_read(void) { must(pread(fd, memory, SIZE, 0)); }
static void do_write(void) { must(pwrite(fd, memory, SIZE, 0)); }
static void do_read_device(void) { must(read(fd, memory, SIZE)); }
static void do_write_device(void) { must(write(fd, memory, SIZE)); }
static void do_read_little(void) { must(read(fd, memory, 262144)); }
static void do_random(void) { must(syscall(SYS_getrandom, memory, 262144, 0)); }

static void do_write_fresh(void)
{
	must(ftruncate(fd, 0));
	must(pwrite(fd, memory, SIZE, 0));
}

static struct iovec *make_parts(long size)
{
	static struct iovec parts[1024];

	for (int at = 0; at < 1024; at++)
		parts[at] = (struct iovec){memory + at * 16384, (size_t)size};
	return parts;
}

static void do_read_parts(void) { must(preadv(fd, make_parts(1), 1024, 0)); }
static void do_write_parts(void) { must(pwritev(fd, make_parts(1), 1024, 0)); }
static void do_read_large_parts(void) { must(preadv(fd, make_parts(16384), 1024, 0)); }
static void do_write_large_parts(void) { must(pwritev(fd, make_parts(16384), 1024, 0)); }

static void do_allocate(void)
{
	must(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, SIZE));
	must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE));
}

static void do_truncate(void)
{
	must(ftruncate(fd, 0));
	must(fallocate(fd, 0, 0, SIZE));
}

/* Every second page is a hole. */
static void make_sparse(void)
{
	make_memory();
	fd = (int)must(syscall(SYS_memfd_create, "sparse", 0));
	for (long at = 0; at < SIZE; at += 8192)
		must(pwrite(fd, memory, 1, at));
}

static void do_seek_data(void)
{
	static off_t at;

	at = lseek(fd, at, SEEK_DATA);
	at = at < 0 ? 0 : lseek(fd, at, SEEK_HOLE);
}

static void make_full(void)
{
	make_file();
	must(fallocate(fd, 0, 0, 4 * SIZE));
}

static void do_seek_hole(void) { must(lseek(fd, 0, SEEK_HOLE)); }

static void do_copy_range(void)
{
	off_t from = 0, to = 0;

	must(copy_file_range(fd, &from, other, &to, SIZE, 0));
}

static void do_send_file(void)
{
	off_t from = 0;

	must(lseek(other, 0, SEEK_SET));
	must(sendfile(other, fd, &from, SIZE));
}

static void make_source_and_null(void)
{
	make_file();
	other = (int)must(open("/dev/null", O_WRONLY));
}

static void make_pipes(void)
{
	make_source_and_null();
	must(pipe(ends));
	must(pipe(others));
	must(fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE));
	must(fcntl(others[0], F_SETPIPE_SZ, PIPE_SIZE));
}

static void do_pipe(void)
{
	long left = must(write(ends[1], memory, PIPE_SIZE));

	while (left > 0)
		left -= must(read(ends[0], memory, PIPE_SIZE));
}

static void do_splice(void)
{
	off_t from = 0;
	long left = must(splice(fd, &from, ends[1], NULL, PIPE_SIZE, 0));

	while (left > 0)
		left -= must(splice(ends[0], NULL, other, NULL, PIPE_SIZE, 0));
}

static void do_splice_pipes(void)
{
	long left = must(write(ends[1], memory, PIPE_SIZE));

	while (left > 0)
		left -= must(splice(ends[0], NULL, others[1], NULL, PIPE_SIZE, 0));
	for (left = PIPE_SIZE; left > 0;)
		left -= must(read(others[0], memory, PIPE_SIZE));
}

static void do_vmsplice(void)
{
	struct iovec part = {memory, PIPE_SIZE};
	long left = must(vmsplice(ends[1], &part, 1, 0));

	while (left > 0)
		left -= must(read(ends[0], memory, PIPE_SIZE));
}

static void do_tee(void)
{
	static int is_full;
	long left;

	if (!is_full)
		must(write(ends[1], memory, PIPE_SIZE));
	is_full = 1;
	left = must(tee(ends[0], others[1], PIPE_SIZE, 0));
	while (left > 0)
		left -= must(splice(others[0], NULL, other, NULL, PIPE_SIZE, 0));
}

static void do_resize_pipe(void)
{
	must(fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE));
	must(fcntl(ends[0], F_SETPIPE_SZ, 4096));
}

static void do_sync(void)
{
	must(pwrite(fd, memory, SIZE, 0));
	must(fsync(fd));
}

static void do_advise(void)
{
	must(posix_fadvise(fd, 0, SIZE, POSIX_FADV_WILLNEED));
	must(posix_fadvise(fd, 0, SIZE, POSIX_FADV_DONTNEED));
	must(readahead(fd, 0, SIZE));
}

static void do_unlink(void)
{
	int made = (int)must(open("doomed", O_CREAT | O_RDWR, 0600));

	must(pwrite(made, memory, SIZE, 0));
	close(made);
	must(unlink("doomed"));
}

static void do_attribute(void)
{
	must(setxattr("file", "user.large", buffer, 3000, 0));
	must(getxattr("file", "user.large", buffer, 65536));
}

static void make_attributes(void)
{
	char name[64];

	make_disk_file();
	for (int at = 0; at < 1000; at++) {
		snprintf(name, sizeof(name), "user.%040d", at);
		must(setxattr("file", name, "x", 1, 0));
	}
}

static void do_list_attributes(void) { must(listxattr("file", buffer, 65536)); }

static void make_names(void)
{
	char name[32];

	make_directory();
	for (int at = 0; at < 5000; at++) {
		snprintf(name, sizeof(name), "file%d", at);
		must(close((int)must(open(name, O_CREAT | O_WRONLY, 0600))));
	}
	fd = (int)must(open(".", O_RDONLY | O_DIRECTORY));
}

static void do_list(void)
{
	must(lseek(fd, 0, SEEK_SET));
	while (must(syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0)
		continue;
}

static void do_list_start(void)
{
	must(lseek(fd, 0, SEEK_SET));
	must(syscall(SYS_getdents64, fd, buffer, 64));
}

static void do_list_step(void)
{
	if (must(syscall(SYS_getdents64, fd, buffer, 64)) == 0)
		must(lseek(fd, 0, SEEK_SET));
}

static void make_long_path(void)
{
	make_directory();
	must(mkdir("a", 0700));
	for (int at = 0; at < 1300; at++)
		strcat(buffer, "a/..//");
	buffer[4090] = 0;
	for (int at = 4089; buffer[at] != '/' || buffer[at - 1] != '/'; at--)
		buffer[at] = 0;
}

static void do_long_path(void)
{
	struct stat found;

	must(stat(buffer, &found));
}

static void make_links(void)
{
	char name[32], before[32] = "file";

	make_disk_file();
	for (int at = 0; at < 39; at++) {
		snprintf(name, sizeof(name), "link%d", at);
		must(symlink(before, name));
		strcpy(before, name);
	}
}

static void do_links(void)
{
	struct stat found;

	must(stat("link38", &found));
}

static void read_whole(const char *path)
{
	int opened = (int)must(open(path, O_RDONLY));

	while (must(read(opened, buffer, sizeof(buffer))) > 0)
		continue;
	close(opened);
}

static void make_mounts(void)
{
	make_directory();
	must(unshare(CLONE_NEWNS));
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mkdir("base", 0700));
	must(mount("none", "base", "tmpfs", 0, NULL));
	must(chdir("base"));
	for (int at = 0; at < 1000; at++) {
		char name[32];

		snprintf(name, sizeof(name), "mount%d", at);
		must(mkdir(name, 0700));
		must(mount("none", name, "tmpfs", 0, NULL));
	}
}

static void do_read_mounts(void) { read_whole("/proc/self/mountinfo"); }
static void do_unshare_mounts(void) { must(unshare(CLONE_NEWNS)); }

static void do_bind_tree(void)
{
	must(mkdir(DIRECTORY "/again", 0700));
	must(mount(DIRECTORY "/base", DIRECTORY "/again", NULL, MS_BIND | MS_REC, NULL));
	must(umount2(DIRECTORY "/again", MNT_DETACH));
	must(rmdir(DIRECTORY "/again"));
}

static void do_change_tree(void)
{
	must(mount("none", DIRECTORY "/base", NULL, MS_REC | MS_SLAVE, NULL));
	must(mount("none", DIRECTORY "/base", NULL, MS_REC | MS_PRIVATE, NULL));
}

static void do_copy_namespace(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		must(unshare(CLONE_NEWNS));
		_exit(0);
	}
	reap(made);
}

static void change_lock(int type, long start, long length)
{
	struct flock lock = {.l_type = (short)type, .l_start = start, .l_len = length};

	must(fcntl(fd, F_SETLK, &lock));
}

static void make_locks(void)
{
	make_file();
	for (long at = 0; at < 2000; at++)
		change_lock(F_WRLCK, at * 2, 1);
}

static void do_read_locks(void) { read_whole("/proc/locks"); }

static void do_unlock_all(void)
{
	for (long at = 0; at < 500; at++)
		change_lock(F_WRLCK, at * 2, 1);
	change_lock(F_UNLCK, 0, 0);
}

static void do_get_lock(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = 0, .l_len = 0};

	must(fcntl(fd, F_OFD_GETLK, &lock));
}

static void do_merge_locks(void)
{
	for (long at = 0; at < 500; at++)
		change_lock(F_RDLCK, at * 2, 1);
	change_lock(F_WRLCK, 0, 0);
	change_lock(F_UNLCK, 0, 0);
}

static void make_flocks(void)
{
	make_disk_file();
	allow_files();
	for (int at = 0; at < 2000; at++)
		must(flock((int)must(open("file", O_RDONLY)), LOCK_SH));
}

static void do_flock(void)
{
	must(flock(fd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK ? 0 : -1);
	must(flock(fd, LOCK_SH));
	must(flock(fd, LOCK_UN));
}

static void make_files(void)
{
	allow_files();
	for (int at = 0; at < FILES; at++)
		files[at] = (int)must(eventfd(1, 0));
}

static void do_poll(void)
{
	static struct pollfd polled[FILES];

	for (int at = 0; at < FILES; at++)
		polled[at] = (struct pollfd){.fd = files[at], .events = POLLIN};
	must(poll(polled, FILES, -1));
}

static void do_poll_none(void)
{
	static struct pollfd polled[FILES];

	for (int at = 0; at < FILES; at++)
		polled[at] = (struct pollfd){.fd = files[at], .events = POLLPRI};
	must(poll(polled, FILES, 1));
}

static void do_poll_nothing(void)
{
	static struct pollfd polled[FILES];

	for (int at = 0; at < FILES; at++)
		polled[at].fd = -1;
	must(poll(polled, FILES, 0));
}

static void do_select(void)
{
	static unsigned long wanted[FILES / 64];

	memset(wanted, 0, sizeof(wanted));
	for (int at = 3; at < FILES - 100; at++)
		wanted[at / 64] |= 1UL << at % 64;
	must(syscall(SYS_select, FILES - 100, wanted, NULL, NULL, NULL));
}

static void make_epoll(void)
{
	struct epoll_event event = {.events = EPOLLIN};

	make_files();
	fd = (int)must(epoll_create1(0));
	for (int at = 0; at < FILES; at++)
		must(epoll_ctl(fd, EPOLL_CTL_ADD, files[at], &event));
}

static void do_epoll(void)
{
	static struct epoll_event events[FILES];

	must(epoll_wait(fd, events, FILES, 0));
}

static void make_idle_epoll(void)
{
	make_epoll();
	for (int at = 0; at < FILES; at++)
		must(read(files[at], memory = buffer, 8));
}

static void do_epoll_information(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	read_whole(path);
}

static void do_close_epoll(void)
{
	static const struct epoll_event event = {.events = EPOLLIN};
	int made = (int)must(epoll_create1(0));

	for (int at = 0; at < 2000; at++)
		must(epoll_ctl(made, EPOLL_CTL_ADD, files[at], (struct epoll_event *)&event));
	close(made);
}

static void do_list_files(void)
{
	DIR *stream = opendir("/proc/self/fd");

	while (readdir(stream))
		continue;
	closedir(stream);
}

static void do_fork_files(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0)
		_exit(0);
	reap(made);
}

static void do_close_range(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		must(syscall(SYS_close_range, 3, ~0U, 0));
		_exit(0);
	}
	reap(made);
}

static void do_close_on_exec(void) { must(syscall(SYS_close_range, 3, ~0U, 4)); }

static void do_duplicate(void) { close((int)must(fcntl(0, F_DUPFD, 1))); }

static void make_files_above(void)
{
	make_files();
	close(0);
	must(dup2(1, 0) == 0 ? 0 : -1);
	close(2);
	must(dup2(1, 2) == 2 ? 0 : -1);
}

static void do_exec_files(void)
{
	pid_t made = (pid_t)must(fork());

	if (made == 0) {
		must(syscall(SYS_close_range, 3, ~0U, 4));
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	reap(made);
}

static void make_watched(void)
{
	make_disk_file();
	other = (int)must(inotify_init1(IN_NONBLOCK));
	must(inotify_add_watch(other, ".", IN_ALL_EVENTS));
}

static void do_watch(void)
{
	for (int at = 0; at < 2000; at++)
		must(pwrite(fd, "x", 1, at));
	while (read(other, buffer, sizeof(buffer)) > 0)
		continue;
}

static void make_watches(void)
{
	char name[32];

	make_directory();
	other = (int)must(inotify_init1(IN_NONBLOCK));
	for (int at = 0; at < 3000; at++) {
		snprintf(name, sizeof(name), "file%d", at);
		must(close((int)must(open(name, O_CREAT | O_WRONLY, 0600))));
		must(inotify_add_watch(other, name, IN_ALL_EVENTS));
	}
}

static void do_watch_information(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", other);
	read_whole(path);
}

static void do_end_watches(void)
{
	int made = (int)must(inotify_init1(IN_NONBLOCK));
	char name[32];

	for (int at = 0; at < 1000; at++) {
		snprintf(name, sizeof(name), "file%d", at);
		must(inotify_add_watch(made, name, IN_ALL_EVENTS));
	}
	close(made);
}

/* Many who watch the same file. */
static void make_watchers(void)
{
	make_disk_file();
	allow_files();
	for (int at = 0; at < 100; at++)
		must(inotify_add_watch((int)must(inotify_init1(IN_NONBLOCK)), "file", IN_MODIFY));
}

static void do_tell_watchers(void) { must(pwrite(fd, "x", 1, 0)); }

static void make_told(void)
{
	make_disk_file();
	signal(SIGIO, SIG_IGN);
	for (int at = 0; at < 500; at++)
		must(fcntl((int)must(open(".", O_RDONLY)), F_NOTIFY, DN_CREATE | DN_MODIFY | DN_MULTISHOT));
}

static aio_context_t context;

static void make_requests(void)
{
	make_file();
	must(syscall(SYS_io_setup, 1024, &context));
}

static void submit(long size)
{
	static struct iocb requests[1024];
	static struct iocb *pointers[1024];
	static struct io_event events[1024];

	for (int at = 0; at < 1024; at++) {
		requests[at] = (struct iocb){.aio_fildes = (unsigned)fd, .aio_lio_opcode = IOCB_CMD_PREAD,
			.aio_buf = (uintptr_t)memory + (uintptr_t)at * 16384, .aio_nbytes = (uintptr_t)size};
		pointers[at] = &requests[at];
	}
	must(syscall(SYS_io_submit, context, 1024, pointers));
	must(syscall(SYS_io_getevents, context, 1024, 1024, events, NULL));
}

static void do_submit(void) { submit(1); }
static void do_submit_large(void) { submit(16384); }

static void do_kernel_log(void) { must(klogctl(3, buffer, sizeof(buffer))); }

static void do_log(void)
{
	int opened = (int)must(open("/dev/kmsg", O_RDWR | O_NONBLOCK));

	must(write(opened, memory, 900));
	while (read(opened, buffer, 8192) > 0)
		continue;
	close(opened);
}

static void make_terminal(void)
{
	int number, unlocked = 0;
	char name[32];

	make_memory();
	memset(memory, '\n', SIZE);
	fd = (int)must(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK));
	must(ioctl(fd, _IOW('T', 0x31, int), &unlocked));
	must(ioctl(fd, _IOR('T', 0x30, unsigned), &number));
	snprintf(name, sizeof(name), "/dev/pts/%d", number);
	other = (int)must(open(name, O_RDWR | O_NOCTTY | O_NONBLOCK));
}

static void do_type(void)
{
	(void)!write(fd, memory, 65536);
	while (read(other, buffer, sizeof(buffer)) > 0)
		continue;
	while (read(fd, buffer, sizeof(buffer)) > 0)
		continue;
}

static void do_show(void)
{
	(void)!write(other, memory, 65536);
	while (read(fd, buffer, sizeof(buffer)) > 0)
		continue;
}

static const struct kind kinds[] = {
	{"read", make_file, do_read},
	{"read-disk", make_disk_file, do_read},
	{"read-zero", open_zero, do_read_device},
	{"write-zero", open_zero, do_write_device},
	{"read-random", open_random, do_read_little},
	{"write-random", open_random, do_write_device},
	{"getrandom", make_memory, do_random},
	{"write", make_file, do_write},
	{"write-disk", make_disk_file, do_write},
	{"write-fresh", make_file, do_write_fresh},
	{"write-disk-fresh", make_disk_file, do_write_fresh},
	{"read-parts", make_file, do_read_parts},
	{"write-parts", make_file, do_write_parts},
	{"read-large-parts", make_file, do_read_large_parts},
	{"write-large-parts", make_file, do_write_large_parts},
	{"allocate", make_file, do_allocate},
	{"truncate", make_file, do_truncate},
	{"seek-data", make_sparse, do_seek_data},
	{"seek-hole", make_full, do_seek_hole},
	{"copy-range", make_two, do_copy_range},
	{"sendfile", make_source_and_null, do_send_file},
	{"sendfile-to-file", make_two, do_send_file},
	{"pipe", make_pipes, do_pipe},
	{"splice", make_pipes, do_splice},
	{"splice-pipes", make_pipes, do_splice_pipes},
	{"vmsplice", make_pipes, do_vmsplice},
	{"tee", make_pipes, do_tee},
	{"resize-pipe", make_pipes, do_resize_pipe},
	{"sync", make_disk_file, do_sync},
	{"advise", make_disk_file, do_advise},
	{"unlink", make_disk_file, do_unlink},
	{"attribute", make_disk_file, do_attribute},
	{"list-attributes", make_attributes, do_list_attributes},
	{"list", make_names, do_list},
	{"list-start", make_names, do_list_start},
	{"list-step", make_names, do_list_step},
	{"long-path", make_long_path, do_long_path},
	{"links", make_links, do_links},
	{"read-mounts", make_mounts, do_read_mounts},
	{"unshare-mounts", make_mounts, do_unshare_mounts},
	{"copy-mounts", make_mounts, do_copy_namespace},
	{"bind-tree", make_mounts, do_bind_tree},
	{"change-tree", make_mounts, do_change_tree},
	{"read-locks", make_locks, do_read_locks},
	{"unlock-all", make_file, do_unlock_all},
	{"get-lock", make_locks, do_get_lock},
	{"merge-locks", make_file, do_merge_locks},
	{"flock", make_flocks, do_flock},
	{"poll", make_files, do_poll},
	{"poll-none", make_files, do_poll_none},
	{"poll-nothing", allow_files, do_poll_nothing},
	{"select", make_files, do_select},
	{"epoll", make_epoll, do_epoll},
	{"epoll-idle", make_idle_epoll, do_epoll},
	{"epoll-information", make_epoll, do_epoll_information},
	{"epoll-close", make_files, do_close_epoll},
	{"list-files", make_files, do_list_files},
	{"fork-files", make_files, do_fork_files},
	{"close-range", make_files, do_close_range},
	{"close-on-exec", make_files, do_close_on_exec},
	{"duplicate", make_files_above, do_duplicate},
	{"exec-files", make_files, do_exec_files},
	{"watch", make_watched, do_watch},
	{"watch-information", make_watches, do_watch_information},
	{"end-watches", make_watches, do_end_watches},
	{"tell-watchers", make_watchers, do_tell_watchers},
	{"tell-directory", make_told, do_tell_watchers},
	{"submit", make_requests, do_submit},
	{"submit-large", make_requests, do_submit_large},
	{"kernel-log", make_memory, do_kernel_log},
	{"log", make_memory, do_log},
	{"type", make_terminal, do_type},
	{"show", make_terminal, do_show},
};

int main(int argc, char **argv)
{
	if (run_loops(kinds, sizeof(kinds) / sizeof(*kinds), argc, argv) != NULL)
		(void)!system("rm -rf " DIRECTORY " 2>/dev/null");
	return 0;
}
