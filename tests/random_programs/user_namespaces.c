/* Trees of user namespaces at random: whose ids are what, and who may do what to whom and to which files. */
#define _GNU_SOURCE

#include "chance.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 6
#define STEPS 250
#define FILES 3

enum operation { FORK, SPACE, MAP, GROUPS, USER, GROUP, KILL, NICE, LOOK, CHANGE, JOIN, IDS, SHOW, END };

struct order {
	enum operation operation;
	int target;
	unsigned int first, second;
	char text[128];
};

static struct shared {
	struct order order;
	pid_t pids[PROCESSES];
	int result;
	char shown[512];
} *shared;

static int orders[PROCESSES][2], done[2];
static const unsigned int ids[] = {0, 1, 2, 5, 100, 1000, 1001, 65534, 100000, 4000000000U};

static unsigned int id(void)
{
	return ids[chance(sizeof(ids) / sizeof(ids[0]))];
}

static int failed(long result)
{
	return result == -1 ? errno : 0;
}

static int write_to(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd, result;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY);
	if (fd == -1)
		return 1000 + errno;
	result = failed(write(fd, text, strlen(text)));
	close(fd);
	return result;
}

static unsigned long long effective(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &header, data);
	return (unsigned long long)data[1].effective << 32 | data[0].effective;
}

static void obey(int self);

static int carry_out(int self, struct order *order)
{
	/* The next order may come before a new process has begun. */
	int number = order->target;
	pid_t target = shared->pids[number];
	char path[64];
	struct stat status;
	int fd, result;

	snprintf(path, sizeof(path), "file%d", order->target % FILES);
	switch (order->operation) {
	case FORK:
		if (shared->pids[number] != 0)
			return -2;
		target = fork();
		if (target == 0) {
			signal(SIGCHLD, SIG_DFL);
			obey(number);
			_exit(0);
		}
		shared->pids[number] = target;
		return target == -1 ? errno : 0;
	case SPACE:
		return failed(unshare(CLONE_NEWUSER));
	case MAP:
		return write_to(target, order->first % 2 ? "uid_map" : "gid_map", order->text);
	case GROUPS:
		return write_to(target, "setgroups", order->first % 3 ? "deny" : "allow");
	case USER:
		result = failed(order->second % 2 ? setuid(order->first) : setresuid(-1, order->first, -1));
		prctl(PR_SET_DUMPABLE, 1);
		return result;
	case GROUP:
		result = failed(order->second % 3 == 0 ? setgroups(1, &order->first) : setgid(order->first));
		prctl(PR_SET_DUMPABLE, 1);
		return result;
	case KILL:
		return failed(kill(target, 0));
	case NICE:
		return failed(setpriority(PRIO_PROCESS, (id_t)target, 5));
	case LOOK:
		fd = open(path, order->first % 2 ? O_RDONLY : O_RDWR);
		if (fd == -1)
			return errno;
		close(fd);
		return 0;
	case CHANGE:
		return failed(order->first % 2 ? chown(path, order->first, order->second) : chmod(path, order->second % 2 ? 0600 : 0640));
	case JOIN:
		snprintf(path, sizeof(path), "/proc/%d/ns/user", target);
		fd = open(path, O_RDONLY);
		if (fd == -1)
			return 1000 + errno;
		result = failed(setns(fd, CLONE_NEWUSER));
		close(fd);
		return result;
	case IDS: {
		uid_t real, current, saved;
		gid_t groups[3];

		getresuid(&real, &current, &saved);
		groups[0] = getgid();
		groups[1] = getegid();
		stat(path, &status);
		/* Of the capabilities only whether there are any: hosts have fewer. */
		snprintf(shared->shown, sizeof(shared->shown), "%u %u %u %u %u %d %u:%u", real, current, saved, groups[0], groups[1],
			 effective() != 0, status.st_uid, status.st_gid);
		return 0;
	}
	case SHOW:
		snprintf(path, sizeof(path), "/proc/%d/%s", target, order->first % 2 ? "uid_map" : "gid_map");
		fd = open(path, O_RDONLY);
		if (fd == -1)
			return errno;
		memset(shared->shown, 0, sizeof(shared->shown));
		if (read(fd, shared->shown, sizeof(shared->shown) - 1) == -1)
			strcpy(shared->shown, "?");
		close(fd);
		return 0;
	case END:
		_exit(self);
	}
	return -1;
}

static void obey(int self)
{
	char byte;

	for (;;) {
		if (read(orders[self][0], &byte, 1) != 1)
			_exit(1);
		shared->shown[0] = '\0';
		shared->result = carry_out(self, &shared->order);
		if (write(done[1], &byte, 1) != 1)
			_exit(1);
	}
}

static int order(int process, struct order what)
{
	char byte = 'o';

	shared->order = what;
	if (write(orders[process][1], &byte, 1) != 1 || read(done[0], &byte, 1) != 1)
		_exit(1);
	return shared->result;
}

static void play(void)
{
	char lines[128];
	pid_t child;

	for (int process = 0; process < PROCESSES; process++)
		if (pipe(orders[process]) == -1)
			_exit(1);
	if (pipe(done) == -1)
		_exit(1);
	memset(shared, 0, sizeof(*shared));
	child = fork();
	if (child == 0)
		obey(0);
	shared->pids[0] = child;
	for (int step = 0; step < STEPS; step++) {
		int process = (int)chance(PROCESSES);
		struct order what = {(enum operation)chance(END), (int)chance(PROCESSES), id(), id(), ""};

		if (what.operation == MAP || (what.operation == SPACE && chance(2)))
			what.target = process;
		if (what.operation == MAP && chance(2))
			what.target = (int)chance(PROCESSES);
		if (what.operation == MAP) {
			lines[0] = '\0';
			for (unsigned int line = 0; line <= chance(3); line++)
				snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%u %u %u\n", id(), id(),
					 chance(2) ? 1 : chance(3) ? 10 : 100000);
			strcpy(what.text, lines);
		}
		if (shared->pids[process] == 0 || (what.operation != FORK && shared->pids[what.target] == 0))
			continue;
		printf("%d.%d>%d: %d", process, what.operation, what.target, order(process, what));
		printf(" %s\n", shared->shown);
	}
	for (int process = 0; process < PROCESSES; process++)
		if (shared->pids[process] != 0)
			kill(shared->pids[process], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	for (int process = 0; process < PROCESSES; process++) {
		close(orders[process][0]);
		close(orders[process][1]);
	}
	close(done[0]);
	close(done[1]);
}

int main(int argc, char **argv)
{
	int first = argc > 1 ? atoi(argv[1]) : 0, count = argc > 2 ? atoi(argv[2]) : 1;
	char place[] = "/tmp/spaces-XXXXXX", path[64];

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mkdtemp(place) == NULL || chdir(place) == -1 || chmod(".", 0755) == -1)
		return 1;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	umask(022);
	for (int seed = first; seed < first + count; seed++) {
		printf("seed %d\n", seed);
		start_with(seed);
		for (int file = 0; file < FILES; file++) {
			int fd;

			snprintf(path, sizeof(path), "file%d", file);
			unlink(path);
			fd = open(path, O_CREAT | O_WRONLY, 0644);
			close(fd);
			if (chown(path, file == 0 ? 0 : id(), file == 0 ? 0 : id()) == -1)
				return 1;
		}
		fflush(stdout);
		play();
		fflush(stdout);
	}
	for (int file = 0; file < FILES; file++) {
		snprintf(path, sizeof(path), "file%d", file);
		unlink(path);
	}
	return chdir("/") == -1 || rmdir(place) == -1;
}
