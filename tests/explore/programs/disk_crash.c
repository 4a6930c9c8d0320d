/* A disk whose cache holds writes of blocks, and a crash at any moment. The disk's blocks are files; a write that the
   cache holds is a process that does it, sooner or later; to sync is to wait for these; the crash kills all at once.

   "append" adds a block to a file without a sync. "log" changes two blocks by way of a log, as xv6 does it, which is
   played back after the crash; "hasty" doesn't wait for the log's blocks before it says that they are there. */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 8, BLOCKS = 5, MOST_HELD = 4 };
enum { INODE, USED, FIRST, SECOND };
enum { HEAD, LOG, HOME = LOG + 2 };

static int disk[BLOCKS], held_count;
static pid_t held[MOST_HELD];

static void put(int block, const char *text) {
	char data[BLOCK] = "";
	strncpy(data, text, BLOCK - 1);
	if (pwrite(disk[block], data, BLOCK, 0) != BLOCK)
		_exit(2);
}

static const char *get(int block) {
	static char data[BLOCK];
	if (pread(disk[block], data, BLOCK, 0) != BLOCK)
		_exit(2);
	return data;
}

static void put_later(int block, const char *text) {
	// Without what the C library does around it.
	pid_t pid = syscall(SYS_fork);
	if (pid == 0) {
		put(block, text);
		_exit(0);
	}
	held[held_count++] = pid;
}

static void sync_disk(void) {
	while (held_count)
		waitpid(held[--held_count], NULL, 0);
}

static void append(void) {
	put_later(INODE, "#1 #2");
	put_later(USED, "#1 #2");
	put_later(FIRST, "new");
	put_later(SECOND, "new");
	sync_disk();
}

static void change_by_log(int is_hasty) {
	put_later(LOG, "new");
	put_later(LOG + 1, "new");
	if (!is_hasty)
		sync_disk();
	put_later(HEAD, "logged");
	sync_disk();
	put_later(HOME, "new");
	put_later(HOME + 1, "new");
	sync_disk();
	put_later(HEAD, "");
	sync_disk();
}

int main(int argc, char **argv) {
	const char *how = argc > 1 ? argv[1] : "append";
	int is_append = strcmp(how, "append") == 0, ends[2];
	char name[] = "/tmp/disk_crash.0";
	for (int block = 0; block < BLOCKS; block++, name[sizeof name - 2]++)
		disk[block] = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	put(0, is_append ? "#1" : "");
	put(1, is_append ? "#1" : "none");
	put(2, is_append ? "old" : "none");
	put(3, "old");
	put(4, "old");
	if (pipe(ends) != 0)
		return 2;
	pid_t machine = syscall(SYS_fork);
	if (machine == 0) {
		setpgid(0, 0);
		if (is_append)
			append();
		else
			change_by_log(strcmp(how, "hasty") == 0);
		_exit(0);
	}
	setpgid(machine, machine);
	close(ends[1]);
	sched_yield();
	kill(-machine, SIGKILL);
	// Nothing is written any more once all have closed the pipe.
	if (read(ends[0], name, 1) != 0)
		return 2;
	if (is_append) {
		printf("%s;", get(INODE));
		printf("%s|", get(USED));
		printf("%s", get(FIRST));
		if (strcmp(get(INODE), "#1") != 0)
			printf(" %s", get(SECOND));
	} else {
		if (strcmp(get(HEAD), "logged") == 0)
			for (int block = 0; block < 2; block++)
				put(HOME + block, get(LOG + block));
		printf("%s", get(HOME));
		printf(" %s", get(HOME + 1));
	}
	puts("");
	return 0;
}
