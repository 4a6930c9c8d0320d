/* Control groups: the hierarchy of cgroup2 as its files say and take it. */
#include "check.h"

#include <dirent.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#define CGROUP2_MAGIC 0x63677270

static char base[256], buffer[4096], large[4097];

/* Where cgroup2 is mounted. */
static const char *mount_point(void)
{
	static char found[256];
	char line[1024], type[64], place[256];
	FILE *mounts = fopen("/proc/self/mountinfo", "r");

	while (fgets(line, sizeof(line), mounts) != NULL) {
		char *dash = strstr(line, " - ");
		if (dash != NULL && sscanf(dash, " - %63s", type) == 1 && strcmp(type, "cgroup2") == 0 &&
		    sscanf(line, "%*d %*d %*s %*s %255s", place) == 1)
			strcpy(found, place);
	}
	fclose(mounts);
	return found;
}

static char *file_of(const char *group, const char *file)
{
	static char names[4][512];
	static int next;
	char *name = names[next++ % 4];

	snprintf(name, 512, "%s%s%s%s%s", base, *group ? "/" : "", group, *file ? "/" : "", file);
	return name;
}

/* Others' tests may run at once: whoever gives controllers to all groups moves everybody's tasks about. */
static void lock_hierarchy(int kind)
{
	MUST(flock((int)MUST(open(mount_point(), O_RDONLY | O_CLOEXEC)), kind));
}

static void make_group_of_own(void)
{
	snprintf(base, sizeof(base), "%s/procession-test-%d", mount_point(), (int)getpid());
	MUST(mkdir(base, 0755));
}

/* A group of the test's own, which is away when the case has ended well. */
static void make_base(void)
{
	lock_hierarchy(LOCK_SH);
	make_group_of_own();
}

static long put_bytes(const char *group, const char *file, const char *text, size_t length)
{
	int fd = open(file_of(group, file), O_WRONLY | O_CLOEXEC);
	long result;
	int error;

	if (fd < 0)
		return -1;
	result = write(fd, text, length);
	error = errno;
	close(fd);
	errno = error;
	return result < 0 ? -1 : 0;
}

static long put(const char *group, const char *file, const char *text)
{
	return put_bytes(group, file, text, strlen(text));
}

/* With the NUL that ends it, and what isn't looked at any longer. */
static long put_string(const char *group, const char *file, const char *text)
{
	char bytes[64] = "";

	snprintf(bytes, sizeof(bytes) - 5, "%s", text);
	memcpy(bytes + strlen(text) + 1, "junk", 4);
	return put_bytes(group, file, bytes, strlen(text) + 5);
}

static long put_number(const char *group, const char *file, long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld\n", number);
	return put(group, file, text);
}

static const char *get(const char *group, const char *file)
{
	int fd = open(file_of(group, file), O_RDONLY | O_CLOEXEC);
	ssize_t count = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer) - 1);

	if (count < 0) {
		snprintf(buffer, sizeof(buffer), "%s", check_errno_name(errno));
	} else {
		buffer[count] = 0;
	}
	if (fd >= 0)
		close(fd);
	return buffer;
}

static int events(const char *group, int populated, int frozen)
{
	char want[64];

	snprintf(want, sizeof(want), "populated %d\nfrozen %d\n", populated, frozen);
	return strcmp(get(group, "cgroup.events"), want) == 0;
}

static int await_events(const char *group, int populated, int frozen)
{
	for (int i = 0; i < 500; i++) {
		if (events(group, populated, frozen))
			return 1;
		sleep_ms(2);
	}
	return 0;
}

static void make(const char *group)
{
	MUST(mkdir(file_of(group, ""), 0755));
}

static void drop(const char *group)
{
	MUST(rmdir(file_of(group, "")));
}

/* Only this process is told by number what is in a group. */
static int holds_only(const char *group, const char *file, pid_t pid)
{
	char want[32];

	snprintf(want, sizeof(want), "%d\n", (int)pid);
	return strcmp(get(group, file), want) == 0;
}

static const char *own_path(const char *process)
{
	static char path[512];
	char name[64], line[512];
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%s/cgroup", process);
	file = fopen(name, "r");
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "0::", 3) == 0)
			strcpy(path, line + 3);
	fclose(file);
	path[strcspn(path, "\n")] = 0;
	return path;
}

static void end(pid_t child)
{
	MUST(kill(child, SIGKILL));
	MUST(waitpid(child, NULL, 0));
}

TEST(file_system)
{
	struct statfs statistics;
	struct stat state;
	int fd;

	make_base();
	MUST(statfs(base, &statistics));
	CHECK_EQ(statistics.f_type, CGROUP2_MAGIC);
	MUST(stat(base, &state));
	CHECK_EQ(state.st_mode, S_IFDIR | 0755);
	CHECK_EQ(state.st_nlink, 2);
	make("a");
	fd = (int)MUST(open(file_of("a", ""), O_RDONLY | O_DIRECTORY));
	CHECK_ERRNO(fsync(fd), EINVAL);
	close(fd);
	fd = (int)MUST(open(file_of("a", "cgroup.procs"), O_RDONLY));
	CHECK_EQ(fsync(fd), 0);
	close(fd);
	MUST(stat(base, &state));
	CHECK_EQ(state.st_nlink, 3);
	MUST(stat(file_of("a", "cgroup.procs"), &state));
	CHECK_EQ(state.st_mode, S_IFREG | 0644);
	CHECK_EQ(state.st_size, 0);
	MUST(stat(file_of("a", "cgroup.events"), &state));
	CHECK_EQ(state.st_mode, S_IFREG | 0444);
	MUST(stat(file_of("a", "cgroup.kill"), &state));
	CHECK_EQ(state.st_mode, S_IFREG | 0200);
	fd = (int)MUST(open(file_of("a", "cgroup.events"), O_WRONLY));
	CHECK_ERRNO(write(fd, "1", 1), EINVAL);
	MUST(close(fd));
	fd = (int)MUST(open(file_of("a", "cgroup.kill"), O_RDONLY));
	CHECK_ERRNO(read(fd, buffer, 10), EINVAL);
	CHECK_EQ(read(fd, buffer, 0), 0);
	CHECK_EQ(pread(fd, buffer, 0, 0), 0);
	MUST(close(fd));
	memset(buffer, ' ', sizeof(buffer));
	buffer[0] = '0';
	fd = (int)MUST(open(file_of("a", "cgroup.freeze"), O_WRONLY));
	CHECK_EQ(write(fd, buffer, 4096), 4096);
	CHECK_ERRNO(write(fd, large, 4097), E2BIG);
	MUST(close(fd));
	CHECK_ERRNO(open(file_of("a", "new"), O_WRONLY | O_CREAT, 0644), EACCES);
	CHECK_ERRNO(open(file_of("a", "new"), O_RDONLY), ENOENT);
	CHECK_ERRNO(unlink(file_of("a", "cgroup.procs")), EPERM);
	CHECK_ERRNO(symlink("x", file_of("a", "link")), EPERM);
	CHECK_ERRNO(link(file_of("a", "cgroup.procs"), file_of("a", "link")), EPERM);
	CHECK_ERRNO(rename(file_of("a", ""), file_of("b", "")), EPERM);
	CHECK_ERRNO(mkdir(file_of("a", ""), 0755), EEXIST);
	CHECK_ERRNO(mkdir(file_of("new\nline", ""), 0755), EINVAL);
	CHECK_ERRNO(mkdir(file_of("a", "cgroup.procs"), 0755), EEXIST);
	CHECK_ERRNO(rmdir(file_of("a", "cgroup.procs")), ENOTDIR);
	CHECK_EQ(chmod(file_of("a", "cgroup.procs"), 0640), 0);
	MUST(stat(file_of("a", "cgroup.procs"), &state));
	CHECK_EQ(state.st_mode, S_IFREG | 0640);
	CHECK_EQ(chown(file_of("a", ""), 1000, 1000), 0);
	MUST(stat(file_of("a", ""), &state));
	CHECK_EQ(state.st_uid, 1000);
	fd = (int)MUST(open(file_of("a", "cgroup.freeze"), O_RDWR | O_TRUNC));
	CHECK_EQ(pread(fd, buffer, 10, 0), 2);
	CHECK_EQ(pread(fd, buffer, 10, 1), 1);
	CHECK_EQ(pread(fd, buffer, 10, 2), 0);
	make("a/b");
	CHECK_ERRNO(rmdir(file_of("a", "")), EBUSY);
	drop("a/b");
	CHECK_EQ(rmdir(file_of("a", "")), 0);
	CHECK_ERRNO(pread(fd, buffer, 10, 0), ENODEV);
	CHECK_ERRNO(pwrite(fd, "1", 1, 0), ENODEV);
	CHECK_ERRNO(pwrite(fd, "", 0, 0), ENODEV);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), ENODEV);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), ENODEV);
	MUST(close(fd));
	drop("");
}

TEST(new_group)
{
	make_base();
	CHECK_STRING(get("", "cgroup.procs"), "");
	CHECK_STRING(get("", "cgroup.threads"), "");
	CHECK_STRING(get("", "cgroup.type"), "domain\n");
	CHECK_STRING(get("", "cgroup.subtree_control"), "");
	CHECK_STRING(get("", "cgroup.events"), "populated 0\nfrozen 0\n");
	CHECK_STRING(get("", "cgroup.max.descendants"), "max\n");
	CHECK_STRING(get("", "cgroup.max.depth"), "max\n");
	CHECK_STRING(get("", "cgroup.freeze"), "0\n");
	CHECK(strncmp(get("", "cgroup.stat"), "nr_descendants 0\n", 17) == 0);
	CHECK(strstr(get("", "cgroup.stat"), "nr_dying_descendants 0\n") != NULL);
	CHECK_ERRNO(put("", "cgroup.procs", "x"), EINVAL);
	CHECK_ERRNO(put("", "cgroup.procs", "-1"), EINVAL);
	CHECK_EQ(put("", "cgroup.procs", ""), 0);
	CHECK_ERRNO(put("", "cgroup.procs", "4194304"), ESRCH);
	CHECK_ERRNO(put("", "cgroup.type", "domain"), EINVAL);
	CHECK_ERRNO(put("", "cgroup.freeze", "2"), ERANGE);
	CHECK_ERRNO(put("", "cgroup.freeze", "x"), EINVAL);
	CHECK_ERRNO(put("", "cgroup.kill", "0"), ERANGE);
	CHECK_ERRNO(put("", "cgroup.kill", "x"), EINVAL);
	CHECK_ERRNO(put("", "cgroup.max.depth", "-1"), ERANGE);
	CHECK_ERRNO(put("", "cgroup.max.depth", "many"), EINVAL);
	CHECK_ERRNO(put("", "cgroup.subtree_control", "+nothing"), EINVAL);
	CHECK_ERRNO(put("", "cgroup.subtree_control", "pids"), EINVAL);
	CHECK_EQ(put("", "cgroup.kill", "1"), 0);
	CHECK_ERRNO(pwrite((int)MUST(open(file_of("", "cgroup.procs"), O_RDONLY)), "0", 1, 0), ESPIPE);
	drop("");
}

/* kernfs has no bound of its own for names. */
TEST(names)
{
	char name[320];

	make_base();
	snprintf(name, sizeof(name), "%0256d", 0);
	CHECK_ERRNO(rmdir(file_of(name, "")), ENOENT);
	CHECK_ERRNO(open(file_of(name, ""), O_CREAT | O_RDWR, 0600), EACCES);
	CHECK_ERRNO(symlink("a", file_of(name, "")), EPERM);
	CHECK_ERRNO(rename(file_of(name, ""), file_of("a", "")), ENOENT);
	make("a");
	CHECK_ERRNO(rename(file_of("a", ""), file_of(name, "")), EPERM);
	CHECK_ERRNO(renameat2(AT_FDCWD, file_of("a", ""), AT_FDCWD, file_of("b", ""), RENAME_NOREPLACE), EINVAL);
	CHECK_ERRNO(renameat2(AT_FDCWD, file_of("a", ""), AT_FDCWD, file_of("b", ""), RENAME_WHITEOUT), EINVAL);
	drop("a");
	make(name);
	drop(name);
	drop("");
}

TEST(limits_of_the_hierarchy)
{
	make_base();
	CHECK_EQ(put("", "cgroup.max.depth", "0"), 0);
	CHECK_STRING(get("", "cgroup.max.depth"), "0\n");
	CHECK_ERRNO(mkdir(file_of("a", ""), 0755), EAGAIN);
	CHECK_EQ(put("", "cgroup.max.depth", "1\n"), 0);
	make("a");
	CHECK_ERRNO(mkdir(file_of("a/b", ""), 0755), EAGAIN);
	CHECK_EQ(put("", "cgroup.max.depth", "max"), 0);
	CHECK_EQ(put("", "cgroup.max.descendants", "2"), 0);
	make("a/b");
	CHECK_ERRNO(mkdir(file_of("c", ""), 0755), EAGAIN);
	CHECK_ERRNO(mkdir(file_of("a/b/c", ""), 0755), EAGAIN);
	CHECK(strncmp(get("", "cgroup.stat"), "nr_descendants 2\n", 17) == 0);
	drop("a/b");
	make("c");
	drop("c");
	drop("a");
	drop("");
}

TEST(moving_processes)
{
	char path[512], name[32];
	pid_t child, grandchild;
	int ready[2];

	make_base();
	make("a");
	make("a/b");
	child = child_that_pauses();
	CHECK_EQ(put_number("a/b", "cgroup.procs", child), 0);
	CHECK(holds_only("a/b", "cgroup.procs", child));
	CHECK(holds_only("a/b", "cgroup.threads", child));
	CHECK_STRING(get("a", "cgroup.procs"), "");
	CHECK(events("a/b", 1, 0));
	CHECK(events("a", 1, 0));
	CHECK(events("", 1, 0));
	snprintf(name, sizeof(name), "%d", (int)child);
	snprintf(path, sizeof(path), "%s", own_path(name));
	CHECK(strcmp(path + strlen(path) - 4, "/a/b") == 0);
	CHECK_ERRNO(rmdir(file_of("a/b", "")), EBUSY);
	CHECK_ERRNO(rmdir(file_of("a", "")), EBUSY);
	CHECK_EQ(put_number("a", "cgroup.procs", child), 0);
	CHECK(holds_only("a", "cgroup.procs", child));
	CHECK(events("a/b", 0, 0));
	CHECK_EQ(rmdir(file_of("a/b", "")), 0);
	MUST(kill(child, SIGKILL));
	await_zombie(child);
	CHECK_STRING(get("a", "cgroup.procs"), "");
	CHECK(events("a", 0, 0));
	CHECK_EQ(put_number("", "cgroup.procs", child), 0);
	CHECK_STRING(get("", "cgroup.procs"), "");
	MUST(waitpid(child, NULL, 0));
	CHECK_ERRNO(put_number("", "cgroup.procs", child), ESRCH);
	/* Children are born where their parents are. */
	MUST(pipe(ready));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		if (put("a", "cgroup.procs", "0") != 0)
			_exit(1);
		grandchild = fork();
		if (grandchild == 0) {
			pause();
			_exit(0);
		}
		write_all(ready[1], &grandchild, sizeof(grandchild));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(read(ready[0], &grandchild, sizeof(grandchild)));
	CHECK(holds_only("a", "cgroup.procs", grandchild));
	CHECK_EQ(put("", "cgroup.kill", "1"), 0);
	CHECK(await_events("a", 0, 0));
	drop("a");
	drop("");
}

TEST(killing)
{
	pid_t first, second, blocking;

	make_base();
	make("a");
	first = child_that_pauses();
	second = child_that_pauses();
	blocking = (pid_t)MUST(fork());
	if (blocking == 0) {
		handle(SIGTERM, SIG_IGN, 0);
		for (;;)
			pause();
	}
	MUST(put_number("", "cgroup.procs", first));
	MUST(put_number("a", "cgroup.procs", second));
	MUST(put_number("a", "cgroup.procs", blocking));
	MUST(put("a", "cgroup.freeze", "1"));
	CHECK(await_events("a", 1, 1));
	CHECK_EQ(put("", "cgroup.kill", "1"), 0);
	CHECK_EQ(wait_for(first), KILLED(SIGKILL));
	CHECK_EQ(wait_for(second), KILLED(SIGKILL));
	CHECK_EQ(wait_for(blocking), KILLED(SIGKILL));
	CHECK(events("a", 0, 1));
	drop("a");
	drop("");
}

static volatile long *counter;

static pid_t child_that_counts(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		for (;;)
			++*counter;
	}
	return child;
}

static int goes_on(void)
{
	long before = *counter;

	for (int i = 0; i < 200 && *counter == before; i++)
		sleep_ms(5);
	return *counter != before;
}

static void await_sleep(pid_t child)
{
	char path[64], line[256], *state = NULL;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
	for (int i = 0; i < 500 && (state == NULL || state[2] != 'S'); i++) {
		FILE *file = fopen(path, "r");

		MUST(file == NULL || fgets(line, sizeof(line), file) == NULL ? -1 : 0);
		fclose(file);
		state = strrchr(line, ')');
		sleep_ms(2);
	}
}

static void ignore_signal(int signal)
{
	(void)signal;
}

/* Who waits for a group to change is told, too, when one above has decided already. */
TEST(freezing_what_is_frozen)
{
	struct pollfd told;

	make_base();
	make("a");
	make("a/b");
	CHECK_EQ(put("a", "cgroup.freeze", "1"), 0);
	CHECK(events("a/b", 0, 1));
	told = (struct pollfd){.fd = (int)MUST(inotify_init1(IN_NONBLOCK)), .events = POLLIN};
	MUST(inotify_add_watch(told.fd, file_of("a/b", "cgroup.events"), IN_MODIFY));
	CHECK_EQ(poll(&told, 1, 0), 0);
	CHECK_EQ(put("a/b", "cgroup.freeze", "1"), 0);
	CHECK_EQ(poll(&told, 1, 1000), 1);
	close(told.fd);
	drop("a/b");
	drop("a");
	drop("");
}

/* Only the group above is told of the end; watches of what is gone stay. */
TEST(a_removed_group_that_is_watched)
{
	int notify, file, directory;
	char text[256];
	struct inotify_event event;
	ssize_t length;

	make_base();
	make("a");
	notify = (int)MUST(inotify_init1(IN_NONBLOCK));
	file = (int)MUST(inotify_add_watch(notify, file_of("a", "cgroup.events"), IN_ALL_EVENTS));
	directory = (int)MUST(inotify_add_watch(notify, file_of("a", ""), IN_ALL_EVENTS));
	MUST(inotify_add_watch(notify, file_of("", ""), IN_DELETE));
	drop("a");
	sleep_ms(20);
	length = read(notify, text, sizeof(text));
	CHECK_EQ(length, sizeof(event) + 16);
	memcpy(&event, text, sizeof(event));
	CHECK_EQ(event.mask, IN_DELETE | IN_ISDIR);
	CHECK_STRING(text + sizeof(event), "a");
	CHECK_EQ(inotify_rm_watch(notify, file), 0);
	CHECK_EQ(inotify_rm_watch(notify, directory), 0);
	CHECK_EQ(read(notify, text, sizeof(text)), 2 * sizeof(event));
	memcpy(&event, text, sizeof(event));
	CHECK_EQ(event.mask, IN_IGNORED);
	close(notify);
	drop("");
}

TEST(freezing)
{
	pid_t spinner, sleeper, victim, asleep;
	struct timespec long_time = {1, 0};
	long before;
	int status;

	make_base();
	make("a");
	make("a/b");
	CHECK_EQ(put("a", "cgroup.freeze", "1"), 0);
	CHECK_STRING(get("a", "cgroup.freeze"), "1\n");
	CHECK_STRING(get("a/b", "cgroup.freeze"), "0\n");
	CHECK(events("a", 0, 1));
	CHECK(events("a/b", 0, 1));
	CHECK_EQ(put("a", "cgroup.freeze", "0"), 0);
	CHECK(events("a/b", 0, 0));
	counter = (volatile long *)make_shared_page();
	spinner = child_that_counts();
	handle(SIGUSR1, ignore_signal, 0);
	sleeper = (pid_t)MUST(fork());
	if (sleeper == 0) {
		for (;;)
			pause();
	}
	victim = child_that_pauses();
	/* On Linux a SIGTERM to what froze before it first ran may stay pending until the thaw. */
	await_sleep(victim);
	asleep = (pid_t)MUST(fork());
	if (asleep == 0)
		_exit(nanosleep(&long_time, NULL) == 0 ? 0 : 1);
	MUST(put_number("a", "cgroup.procs", spinner));
	MUST(put_number("a/b", "cgroup.procs", sleeper));
	MUST(put_number("a/b", "cgroup.procs", victim));
	MUST(put_number("a/b", "cgroup.procs", asleep));
	CHECK(goes_on());
	CHECK_EQ(put("a", "cgroup.freeze", "1"), 0);
	CHECK(await_events("a", 1, 1));
	CHECK(await_events("a/b", 1, 1));
	CHECK(events("", 1, 0));
	before = *counter;
	sleep_ms(50);
	CHECK_EQ(*counter, before);
	/* Signals wait, but for the deadly ones. */
	MUST(kill(sleeper, SIGUSR1));
	sleep_ms(20);
	CHECK_EQ(waitpid(sleeper, &status, WNOHANG), 0);
	CHECK(await_events("a/b", 1, 1));
	MUST(kill(victim, SIGTERM));
	CHECK_EQ(wait_for(victim), KILLED(SIGTERM));
	CHECK_EQ(put("a/b", "cgroup.freeze", "1"), 0);
	CHECK_EQ(put("a", "cgroup.freeze", "0"), 0);
	CHECK(goes_on());
	CHECK(await_events("a", 1, 0));
	CHECK(events("a/b", 1, 1));
	/* Who comes to a frozen group freezes, and who leaves goes on. */
	MUST(put_number("a/b", "cgroup.procs", spinner));
	CHECK(await_events("a/b", 1, 1));
	before = *counter;
	sleep_ms(20);
	CHECK_EQ(*counter, before);
	MUST(put_number("a", "cgroup.procs", spinner));
	CHECK(goes_on());
	CHECK_EQ(put("a/b", "cgroup.freeze", "0"), 0);
	CHECK_EQ(wait_for(asleep), EXITED(0));
	end(spinner);
	end(sleeper);
	drop("a/b");
	drop("a");
	drop("");
}

TEST(frozen_and_stopped)
{
	pid_t child = child_that_pauses();
	int status;

	make_base();
	MUST(put_number("", "cgroup.procs", child));
	MUST(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	CHECK_EQ(put("", "cgroup.freeze", "1"), 0);
	CHECK(await_events("", 1, 1));
	MUST(kill(child, SIGCONT));
	sleep_ms(20);
	CHECK(await_events("", 1, 1));
	CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
	CHECK_EQ(put("", "cgroup.freeze", "0"), 0);
	end(child);
	CHECK(await_events("", 0, 0));
	drop("");
}

TEST(changes_are_told)
{
	struct pollfd polled = {.events = POLLPRI};
	struct inotify_event event;
	int notify;
	pid_t child;

	make_base();
	polled.fd = (int)MUST(open(file_of("", "cgroup.events"), O_RDONLY));
	notify = (int)MUST(inotify_init1(IN_NONBLOCK));
	MUST(inotify_add_watch(notify, file_of("", "cgroup.events"), IN_MODIFY));
	MUST(read(polled.fd, buffer, sizeof(buffer)));
	CHECK_EQ(poll(&polled, 1, 0), 0);
	child = child_that_pauses();
	MUST(put_number("", "cgroup.procs", child));
	CHECK_EQ(poll(&polled, 1, 1000), 1);
	CHECK_EQ(polled.revents, POLLPRI | POLLERR);
	CHECK_EQ(poll(&polled, 1, 0), 1);
	MUST(pread(polled.fd, buffer, sizeof(buffer), 0));
	CHECK_EQ(poll(&polled, 1, 0), 0);
	/* Linux tells inotify from a work queue. */
	CHECK_EQ(poll(&(struct pollfd){notify, POLLIN, 0}, 1, 1000), 1);
	CHECK_EQ(read(notify, &event, sizeof(event)), sizeof(event));
	CHECK_EQ(event.mask, IN_MODIFY);
	end(child);
	CHECK_EQ(poll(&polled, 1, 1000), 1);
	MUST(close(polled.fd));
	MUST(close(notify));
	drop("");
}

static const char *domain_controller(void)
{
	snprintf(base, sizeof(base), "%s", mount_point());
	return strstr(get("", "cgroup.controllers"), "hugetlb") != NULL ? "hugetlb" : "io";
}

static long control(const char *group, char sign, const char *name)
{
	char text[64];

	snprintf(text, sizeof(text), "%c%s", sign, name);
	return put(group, "cgroup.subtree_control", text);
}

static int has_controller(const char *group, const char *file, const char *name)
{
	return strstr(get(group, file), name) != NULL;
}

TEST(giving_controllers)
{
	const char *name = domain_controller();
	int had;
	pid_t child;

	lock_hierarchy(LOCK_EX);
	had = has_controller("", "cgroup.subtree_control", name);
	CHECK_EQ(control("", '+', name), 0);
	make_group_of_own();
	make("a");
	make("a/b");
	CHECK(has_controller("", "cgroup.controllers", name));
	CHECK(!has_controller("a", "cgroup.controllers", name));
	CHECK_ERRNO(control("a", '+', name), ENOENT);
	CHECK_EQ(control("a", '-', name), 0);
	CHECK_EQ(control("", '+', name), 0);
	CHECK_EQ(control("", '+', name), 0);
	CHECK(has_controller("a", "cgroup.controllers", name));
	CHECK_EQ(control("a", '+', name), 0);
	CHECK_ERRNO(control("", '-', name), EBUSY);
	/* No processes inside a group whose children have controllers, but for the root. */
	child = child_that_pauses();
	CHECK_ERRNO(put_number("a", "cgroup.procs", child), EBUSY);
	CHECK_EQ(put_number("a/b", "cgroup.procs", child), 0);
	CHECK_ERRNO(control("a/b", '+', name), EBUSY);
	CHECK_EQ(control("a", '-', name), 0);
	CHECK(!has_controller("a/b", "cgroup.controllers", name));
	CHECK_EQ(put_number("a", "cgroup.procs", child), 0);
	CHECK_ERRNO(control("a", '+', name), EBUSY);
	end(child);
	drop("a/b");
	drop("a");
	drop("");
	snprintf(base, sizeof(base), "%s", mount_point());
	if (!had)
		MUST(control("", '-', name));
}

TEST(what_follows_a_nul)
{
	char number[16];
	pid_t child;

	make_base();
	make("a");
	child = child_that_pauses();
	snprintf(number, sizeof(number), "%d", child);
	CHECK_EQ(put_string("a", "cgroup.procs", number), 0);
	CHECK(holds_only("a", "cgroup.procs", child));
	CHECK_EQ(put_string("", "cgroup.procs", number), 0);
	CHECK_EQ(put_string("a", "cgroup.max.depth", "3"), 0);
	CHECK_STRING(get("a", "cgroup.max.depth"), "3\n");
	CHECK_EQ(put_string("a", "cgroup.max.descendants", "max"), 0);
	CHECK_EQ(put_string("a", "cgroup.freeze", "0\n"), 0);
	CHECK_ERRNO(put_string("a", "cgroup.freeze", "2"), ERANGE);
	CHECK_EQ(put_string("a", "cgroup.subtree_control", ""), 0);
	CHECK_ERRNO(put_string("a", "cgroup.subtree_control", "+none"), EINVAL);
	CHECK_ERRNO(put_string("a", "cgroup.max.depth", ""), EINVAL);
	CHECK_ERRNO(put_string("a", "cgroup.procs", ""), EINVAL);
	CHECK_EQ(put_string("a", "cgroup.kill", "1"), 0);
	CHECK_EQ(put_string("a", "cgroup.type", "threaded"), 0);
	CHECK_STRING(get("a", "cgroup.type"), "threaded\n");
	end(child);
	drop("a");
	drop("");
}

static void *pause_in_thread(void *unused)
{
	(void)unused;
	*(volatile int *)counter = gettid();
	pause();
	return NULL;
}

TEST(threaded_groups)
{
	pthread_t thread;
	pid_t child;
	int tid;

	make_base();
	make("a");
	make("a/b");
	make("a/b/c");
	CHECK_EQ(put("a/b", "cgroup.type", "threaded"), 0);
	CHECK_STRING(get("a/b", "cgroup.type"), "threaded\n");
	CHECK_STRING(get("a", "cgroup.type"), "domain threaded\n");
	CHECK_STRING(get("a/b/c", "cgroup.type"), "domain invalid\n");
	CHECK_STRING(get("a/b", "cgroup.procs"), "EOPNOTSUPP");
	CHECK_STRING(get("a/b", "cgroup.threads"), "");
	make("a/d");
	CHECK_STRING(get("a/d", "cgroup.type"), "domain invalid\n");
	counter = (volatile long *)make_shared_page();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		pthread_create(&thread, NULL, pause_in_thread, NULL);
		pthread_join(thread, NULL);
		_exit(0);
	}
	while ((tid = *(volatile int *)counter) == 0)
		sleep_ms(1);
	CHECK_ERRNO(put_number("a/d", "cgroup.procs", child), EOPNOTSUPP);
	CHECK_ERRNO(put_number("a/b", "cgroup.threads", tid), EOPNOTSUPP);
	CHECK_EQ(put_number("a", "cgroup.procs", child), 0);
	CHECK_EQ(put_number("a/b", "cgroup.threads", tid), 0);
	CHECK(holds_only("a/b", "cgroup.threads", tid));
	CHECK(holds_only("a", "cgroup.threads", child));
	CHECK(holds_only("a", "cgroup.procs", child));
	CHECK_ERRNO(put("a/b", "cgroup.kill", "1"), EOPNOTSUPP);
	CHECK_ERRNO(put_number("", "cgroup.threads", tid), EOPNOTSUPP);
	CHECK_ERRNO(put("a/b/c", "cgroup.type", "domain"), EINVAL);
	CHECK_EQ(put("a/b/c", "cgroup.type", "threaded"), 0);
	CHECK_EQ(put_number("a/b/c", "cgroup.threads", tid), 0);
	CHECK_EQ(put_number("a/d", "cgroup.procs", child) == -1 ? errno : 0, EOPNOTSUPP);
	CHECK_EQ(put("a", "cgroup.kill", "1"), 0);
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
	/* A populated domain can't become threaded. */
	child = child_that_pauses();
	make("e");
	MUST(put_number("e", "cgroup.procs", child));
	CHECK_ERRNO(put("e", "cgroup.type", "threaded"), EOPNOTSUPP);
	end(child);
	drop("e");
	drop("a/d");
	drop("a/b/c");
	drop("a/b");
	CHECK_STRING(get("a", "cgroup.type"), "domain\n");
	drop("a");
	drop("");
}

TEST(clone_into_a_group)
{
	struct clone_args arguments = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
	int group, other, file;
	pid_t child;

	make_base();
	make("a");
	group = (int)MUST(open(file_of("a", ""), O_PATH | O_DIRECTORY | O_CLOEXEC));
	other = (int)MUST(open("/", O_RDONLY | O_CLOEXEC));
	file = (int)MUST(open(file_of("a", "cgroup.procs"), O_RDONLY | O_CLOEXEC));
	arguments.cgroup = (uint64_t)other;
	CHECK_ERRNO(syscall(SYS_clone3, &arguments, sizeof(arguments)), EBADF);
	arguments.cgroup = 1000;
	CHECK_ERRNO(syscall(SYS_clone3, &arguments, sizeof(arguments)), EBADF);
	arguments.cgroup = (uint64_t)file;
	CHECK_ERRNO(syscall(SYS_clone3, &arguments, sizeof(arguments)), EBADF);
	MUST(close(other));
	group = (int)MUST(open(file_of("a", ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	arguments.cgroup = (uint64_t)group;
	child = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
	if (child == 0) {
		pause();
		_exit(0);
	}
	CHECK(child > 0);
	CHECK(holds_only("a", "cgroup.procs", child));
	end(child);
	drop("a");
	CHECK_ERRNO(syscall(SYS_clone3, &arguments, sizeof(arguments)), ENOENT);
	drop("");
}

TEST(delegation)
{
	pid_t child, inner;

	make_base();
	make("a");
	make("a/b");
	make("other");
	MUST(chown(file_of("a", ""), NOBODY, NOBODY));
	MUST(chown(file_of("a", "cgroup.procs"), NOBODY, NOBODY));
	MUST(chown(file_of("a/b", ""), NOBODY, NOBODY));
	MUST(chown(file_of("a/b", "cgroup.procs"), NOBODY, NOBODY));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(put("a", "cgroup.procs", "0"));
		MUST(setgroups(0, NULL));
		MUST(setresgid(NOBODY, NOBODY, NOBODY));
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_EQ(mkdir(file_of("a/mine", ""), 0755), 0);
		CHECK_EQ(put("a/mine", "cgroup.procs", "0"), 0);
		CHECK_EQ(put("a/b", "cgroup.procs", "0"), 0);
		CHECK_ERRNO(put("other", "cgroup.procs", "0"), EACCES);
		CHECK_ERRNO(put("", "cgroup.procs", "0"), EACCES);
		CHECK_ERRNO(mkdir(file_of("new", ""), 0755), EACCES);
		CHECK_ERRNO(put("a", "cgroup.max.depth", "1"), EACCES);
		CHECK_EQ(rmdir(file_of("a/mine", "")), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	/* One's own file doesn't let in who is in a group that isn't one's own. */
	child = (pid_t)MUST(fork());
	if (child == 0) {
		inner = child_that_pauses();
		MUST(put_number("other", "cgroup.procs", inner));
		MUST(setgroups(0, NULL));
		MUST(setresgid(NOBODY, NOBODY, NOBODY));
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_ERRNO(put_number("a/b", "cgroup.procs", inner), EACCES);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(put("other", "cgroup.kill", "1"));
	CHECK(await_events("other", 0, 0));
	drop("other");
	drop("a/b");
	drop("a");
	drop("");
}
