/* System V messages: msgget(2), msgsnd(2), msgrcv(2), msgctl(2). */
#include "sysv.h"

#include <sys/resource.h>

struct text {
	long type;
	char data[8200];
};

static int new_queue(void)
{
	return remember(QUEUE, msgget(IPC_PRIVATE, 0600));
}

static int send(int id, long type, const char *data, int flags)
{
	struct text message = {.type = type};

	strcpy(message.data, data);
	return msgsnd(id, &message, strlen(data), flags);
}

/* What msgrcv gave: "TYPE:DATA", or the errno's name. */
static const char *receive(int id, size_t size, long type, int flags)
{
	static char result[8300];
	static struct text message;
	ssize_t got = msgrcv(id, &message, size, type, flags);

	if (got == -1)
		snprintf(result, sizeof(result), "%s", check_errno_name(errno));
	else
		snprintf(result, sizeof(result), "%ld:%.*s", message.type, (int)got, message.data);
	return result;
}

static struct msqid_ds status_of(int id)
{
	struct msqid_ds status;

	memset(&status, 0, sizeof(status));
	MUST(msgctl(id, IPC_STAT, &status));
	return status;
}

/* Where a process sleeps, by the state in its stat file. */
static int sleeps(pid_t child)
{
	char path[64], text[200] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	fd = open(path, O_RDONLY);
	if (fd != -1) {
		MUST(read(fd, text, sizeof(text) - 1));
		close(fd);
	}
	return strstr(text, ") S ") != NULL;
}

static pid_t receiving_child(int id, size_t size, long type, int flags, const char *want)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit(strcmp(receive(id, size, type, flags), want) != 0);
	AWAIT(sleeps(child));
	return child;
}

TEST(a_new_queue)
{
	time_t before = time(NULL);
	int id = new_queue();
	struct msqid_ds status = status_of(id);

	CHECK_EQ(status.msg_perm.mode, 0600);
	CHECK_EQ(status.msg_perm.uid, geteuid());
	CHECK_EQ(status.msg_perm.cgid, getegid());
	CHECK_EQ(status.msg_qnum, 0);
	CHECK_EQ(status.__msg_cbytes, 0);
	CHECK_EQ(status.msg_qbytes, 16384);
	CHECK_EQ(status.msg_stime, 0);
	CHECK_EQ(status.msg_rtime, 0);
	CHECK_EQ(status.msg_lspid, 0);
	CHECK_EQ(status.msg_lrpid, 0);
	CHECK(status.msg_ctime >= before);
	CHECK_EQ(send(id, 3, "three", 0), 0);
	CHECK_EQ(send(id, 1, "", 0), 0);
	status = status_of(id);
	CHECK_EQ(status.msg_qnum, 2);
	CHECK_EQ(status.__msg_cbytes, 5);
	CHECK_EQ(status.msg_lspid, getpid());
	CHECK(status.msg_stime >= before);
	CHECK_EQ(status.msg_rtime, 0);
	CHECK_STRING(receive(id, 100, 0, 0), "3:three");
	CHECK_STRING(receive(id, 100, 0, 0), "1:");
	status = status_of(id);
	CHECK_EQ(status.msg_qnum, 0);
	CHECK_EQ(status.__msg_cbytes, 0);
	CHECK_EQ(status.msg_lrpid, getpid());
	CHECK(status.msg_rtime >= before);
	CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
	CHECK_ERRNO(msgctl(id, IPC_STAT, &status), EINVAL);
	CHECK_ERRNO(send(id, 1, "x", 0), EINVAL);
	CHECK_STRING(receive(id, 1, 0, IPC_NOWAIT), "EINVAL");
}

TEST(creation_errnos)
{
	key_t key = new_key();
	int id = remember(QUEUE, msgget(key, IPC_CREAT | IPC_EXCL | 0600));

	CHECK_EQ(msgget(key, 0), id);
	CHECK_EQ(msgget(key, IPC_CREAT | 0600), id);
	CHECK_ERRNO(msgget(key, IPC_CREAT | IPC_EXCL), EEXIST);
	CHECK_ERRNO(msgget(new_key(), 0600), ENOENT);
	CHECK(new_queue() != id);
	MUST(msgctl(id, IPC_RMID, NULL));
	CHECK_ERRNO(msgget(key, 0), ENOENT);
	id = new_queue();
	CHECK_ERRNO(msgctl(id, 99, NULL), EINVAL);
	CHECK_ERRNO(msgctl(id, -1, NULL), EINVAL);
	CHECK_ERRNO(msgctl(-1, IPC_STAT, NULL), EINVAL);
	CHECK_ERRNO(msgctl(id, IPC_STAT, bad_address()), EFAULT);
	CHECK_ERRNO(msgctl(id, IPC_SET, bad_address()), EFAULT);
}

TEST(types)
{
	int id = new_queue();

	for (int at = 0; at < 6; at++)
		MUST(send(id, (long[]){5, 2, 7, 2, 5, 9}[at], (const char *[]){"a", "b", "c", "d", "e", "f"}[at], 0));
	CHECK_STRING(receive(id, 9, 7, 0), "7:c");
	CHECK_STRING(receive(id, 9, 7, IPC_NOWAIT), "ENOMSG");
	CHECK_STRING(receive(id, 9, -5, 0), "2:b");
	CHECK_STRING(receive(id, 9, -1, IPC_NOWAIT), "ENOMSG");
	CHECK_STRING(receive(id, 9, 5, MSG_EXCEPT), "2:d");
	CHECK_STRING(receive(id, 9, LONG_MIN, 0), "5:a");
	CHECK_STRING(receive(id, 9, 9, MSG_EXCEPT), "5:e");
	CHECK_STRING(receive(id, 9, 9, MSG_EXCEPT | IPC_NOWAIT), "ENOMSG");
	CHECK_STRING(receive(id, 9, 0, MSG_EXCEPT), "9:f");
	CHECK_STRING(receive(id, 9, 0, IPC_NOWAIT), "ENOMSG");
}

TEST(lengths)
{
	int id = new_queue();
	static struct text message = {.type = 1};

	CHECK_EQ(send(id, 1, "a long message", 0), 0);
	CHECK_STRING(receive(id, 5, 0, 0), "E2BIG");
	CHECK_EQ(status_of(id).msg_qnum, 1);
	CHECK_STRING(receive(id, 6, 0, MSG_NOERROR), "1:a long");
	CHECK_EQ(status_of(id).msg_qnum, 0);
	CHECK_EQ(status_of(id).__msg_cbytes, 0);
	CHECK_EQ(msgsnd(id, &message, 8192, 0), 0);
	CHECK_EQ(msgrcv(id, &message, 8200, 0, 0), 8192);
	CHECK_ERRNO(msgsnd(id, &message, 8193, 0), EINVAL);
	CHECK_ERRNO(msgsnd(id, &message, (size_t)-1, 0), EINVAL);
	CHECK_ERRNO(msgrcv(id, &message, (size_t)-1, 0, IPC_NOWAIT), EINVAL);
	message.type = 0;
	CHECK_ERRNO(msgsnd(id, &message, 1, 0), EINVAL);
	message.type = -1;
	CHECK_ERRNO(msgsnd(id, &message, 1, 0), EINVAL);
	CHECK_ERRNO(msgsnd(-1, &message, 1, 0), EINVAL);
	CHECK_ERRNO(msgrcv(-1, &message, 1, 0, 0), EINVAL);
	CHECK_ERRNO(msgsnd(id, bad_address(), 1, 0), EFAULT);
	CHECK_ERRNO(msgsnd(id, bad_address(), 9000, 0), EFAULT);
	/* A message that can't be written is lost. */
	CHECK_EQ(send(id, 1, "lost", 0), 0);
	CHECK_ERRNO(msgrcv(id, bad_address(), 100, 0, 0), EFAULT);
	CHECK_EQ(status_of(id).msg_qnum, 0);
}

TEST(copies)
{
	int id = new_queue();

	MUST(send(id, 4, "first", 0));
	MUST(send(id, 3, "second", 0));
	CHECK_STRING(receive(id, 100, 1, MSG_COPY | IPC_NOWAIT), "3:second");
	CHECK_STRING(receive(id, 100, 0, MSG_COPY | IPC_NOWAIT), "4:first");
	CHECK_STRING(receive(id, 100, 2, MSG_COPY | IPC_NOWAIT), "ENOMSG");
	CHECK_STRING(receive(id, 100, -1, MSG_COPY | IPC_NOWAIT), "ENOMSG");
	CHECK_STRING(receive(id, 3, 0, MSG_COPY | IPC_NOWAIT), "E2BIG");
	CHECK_STRING(receive(id, 3, 0, MSG_COPY | IPC_NOWAIT | MSG_NOERROR), "EINVAL");
	CHECK_STRING(receive(id, 100, 0, MSG_COPY), "EINVAL");
	CHECK_STRING(receive(id, 100, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT), "EINVAL");
	CHECK_EQ(status_of(id).msg_qnum, 2);
	CHECK_EQ(status_of(id).msg_lrpid, 0);
}

TEST(receivers_wait)
{
	int id = new_queue();
	pid_t any, two, small, low;

	two = receiving_child(id, 100, 2, 0, "2:for two");
	low = receiving_child(id, 100, -3, 0, "3:low");
	small = receiving_child(id, 2, 8, 0, "E2BIG");
	any = receiving_child(id, 2, 0, MSG_NOERROR, "8:lo");
	CHECK_EQ(send(id, 3, "low", 0), 0);
	CHECK_EQ(wait_for(low), EXITED(0));
	CHECK_EQ(send(id, 8, "long", 0), 0);
	CHECK_EQ(wait_for(small), EXITED(0));
	CHECK_EQ(wait_for(any), EXITED(0));
	CHECK_EQ(status_of(id).msg_qnum, 0);
	CHECK_EQ(status_of(id).msg_lrpid, any);
	CHECK_EQ(send(id, 1, "nobody's", 0), 0);
	CHECK_EQ(waitpid(two, NULL, WNOHANG), 0);
	CHECK_EQ(send(id, 2, "for two", 0), 0);
	CHECK_EQ(wait_for(two), EXITED(0));
	CHECK_EQ(status_of(id).msg_qnum, 1);
	/* The first who came is served first. */
	any = receiving_child(id, 100, 6, 0, "6:x");
	two = receiving_child(id, 100, 6, 0, "6:y");
	CHECK_EQ(send(id, 6, "x", 0), 0);
	CHECK_EQ(wait_for(any), EXITED(0));
	CHECK_EQ(send(id, 6, "y", 0), 0);
	CHECK_EQ(wait_for(two), EXITED(0));
}

TEST(senders_wait)
{
	static struct text message = {.type = 1};
	int id = new_queue();
	pid_t large, little;

	MUST(msgsnd(id, &message, 8000, 0));
	MUST(msgsnd(id, &message, 8000, 0));
	CHECK_ERRNO(msgsnd(id, &message, 1000, IPC_NOWAIT), EAGAIN);
	CHECK_EQ(msgsnd(id, &message, 384, IPC_NOWAIT), 0);
	CHECK_ERRNO(send(id, 1, "x", IPC_NOWAIT), EAGAIN);
	CHECK_EQ(send(id, 9, "", IPC_NOWAIT), 0);
	large = (pid_t)MUST(fork());
	if (large == 0)
		_exit(msgsnd(id, &message, 8192, 0) == 0 ? 0 : errno);
	AWAIT(sleeps(large));
	little = (pid_t)MUST(fork());
	if (little == 0)
		_exit(send(id, 7, "little", 0) == 0 ? 0 : errno);
	AWAIT(sleeps(little));
	CHECK_EQ(msgrcv(id, &message, 8200, 0, 0), 8000);
	CHECK_EQ(wait_for(little), EXITED(0));
	CHECK_EQ(waitpid(large, NULL, WNOHANG), 0);
	CHECK_EQ(msgrcv(id, &message, 8200, 0, 0), 8000);
	CHECK_EQ(wait_for(large), EXITED(0));
	CHECK_EQ(status_of(id).__msg_cbytes, 384 + 8192 + 6);
	CHECK_EQ(status_of(id).msg_lspid, large);
}

TEST(removed_while_somebody_waits)
{
	static struct text message = {.type = 1};
	int id = new_queue(), full = new_queue();
	pid_t receiver = receiving_child(id, 100, 0, 0, "EIDRM"), sender;

	MUST(msgsnd(full, &message, 8192, 0));
	MUST(msgsnd(full, &message, 8192, 0));
	sender = (pid_t)MUST(fork());
	if (sender == 0)
		_exit(msgsnd(full, &message, 1, 0) == 0 ? 0 : errno);
	AWAIT(sleeps(sender));
	CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
	CHECK_EQ(wait_for(receiver), EXITED(0));
	CHECK_EQ(msgctl(full, IPC_RMID, NULL), 0);
	CHECK_EQ(wait_for(sender), EXITED(EIDRM));
}

static void catch(int signal)
{
	(void)signal;
}

TEST(signals)
{
	static struct text message = {.type = 1};
	struct itimerval soon = {{0, 0}, {0, 20000}};
	int id = new_queue();
	pid_t child;

	handle(SIGALRM, catch, SA_RESTART);
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_STRING(receive(id, 100, 0, 0), "EINTR");
	MUST(msgsnd(id, &message, 8192, 0));
	MUST(msgsnd(id, &message, 8192, 0));
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_ERRNO(msgsnd(id, &message, 1, 0), EINTR);
	CHECK_EQ(status_of(id).msg_qnum, 2);
	/* Without a handler it goes on: these aren't interrupted by a stop. */
	child = receiving_child(id, 100, 4, 0, "4:after all");
	CHECK_EQ(kill(child, SIGSTOP), 0);
	CHECK_EQ(waitpid(child, NULL, WUNTRACED), child);
	CHECK_EQ(kill(child, SIGCONT), 0);
	MUST(msgrcv(id, &message, 8192, 0, 0));
	CHECK_EQ(send(id, 4, "after all", 0), 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(a_crash_of_either_side)
{
	static struct text message = {.type = 1};
	int id = new_queue();
	pid_t receiver = receiving_child(id, 100, 0, 0, ""), sender;

	CHECK_EQ(kill(receiver, SIGKILL), 0);
	CHECK_EQ(wait_for(receiver), KILLED(SIGKILL));
	CHECK_EQ(send(id, 1, "still here", 0), 0);
	CHECK_EQ(status_of(id).msg_qnum, 1);
	MUST(msgsnd(id, &message, 8192, 0));
	sender = (pid_t)MUST(fork());
	if (sender == 0)
		_exit(msgsnd(id, &message, 8192, 0) == 0 ? 0 : errno);
	AWAIT(sleeps(sender));
	CHECK_EQ(kill(sender, SIGKILL), 0);
	CHECK_EQ(wait_for(sender), KILLED(SIGKILL));
	CHECK_STRING(receive(id, 100, 0, 0), "1:still here");
	CHECK_EQ(msgrcv(id, &message, 8192, 0, 0), 8192);
	CHECK_STRING(receive(id, 100, 0, IPC_NOWAIT), "ENOMSG");
}

TEST(changes)
{
	static struct text message = {.type = 1};
	int id = new_queue();
	struct msqid_ds status = status_of(id);
	pid_t sender, receiver;

	status.msg_qbytes = 10;
	status.msg_perm.mode = 0642;
	CHECK_EQ(msgctl(id, IPC_SET, &status), 0);
	CHECK_EQ(status_of(id).msg_qbytes, 10);
	CHECK_EQ(status_of(id).msg_perm.mode, 0642);
	CHECK_EQ(msgsnd(id, &message, 10, 0), 0);
	CHECK_ERRNO(msgsnd(id, &message, 1, IPC_NOWAIT), EAGAIN);
	sender = (pid_t)MUST(fork());
	if (sender == 0)
		_exit(msgsnd(id, &message, 5, 0) == 0 ? 0 : errno);
	AWAIT(sleeps(sender));
	status.msg_qbytes = 15;
	CHECK_EQ(msgctl(id, IPC_SET, &status), 0);
	CHECK_EQ(wait_for(sender), EXITED(0));
	CHECK_EQ(status_of(id).__msg_cbytes, 15);
	/* As many messages as bytes, for those that have none. */
	MUST(msgrcv(id, &message, 100, 0, 0));
	MUST(msgrcv(id, &message, 100, 0, 0));
	for (int at = 0; at < 15; at++)
		MUST(msgsnd(id, &message, 0, IPC_NOWAIT));
	CHECK_ERRNO(msgsnd(id, &message, 0, IPC_NOWAIT), EAGAIN);
	if (geteuid() != 0)
		_exit(0);
	/* Only the low half of the limit is looked at. */
	status.msg_qbytes = 1UL << 40 | 15;
	CHECK_EQ(msgctl(id, IPC_SET, &status), 0);
	CHECK_EQ(status_of(id).msg_qbytes, 15);
	status.msg_perm.uid = NOBODY;
	CHECK_EQ(msgctl(id, IPC_SET, &status), 0);
	AS_NOBODY({
		status.msg_qbytes = 20000;
		CHECK_ERRNO(msgctl(id, IPC_SET, &status), EPERM);
		status.msg_qbytes = 16384;
		CHECK_EQ(msgctl(id, IPC_SET, &status), 0);
	});
	/* Who waits may lose the right to. */
	status.msg_perm.uid = 0;
	status.msg_perm.mode = 0604;
	CHECK_EQ(msgctl(id, IPC_SET, &status), 0);
	receiver = (pid_t)MUST(fork());
	if (receiver == 0) {
		drop_root();
		_exit(strcmp(receive(id, 100, 77, 0), "EACCES"));
	}
	AWAIT(sleeps(receiver));
	status.msg_perm.mode = 0600;
	CHECK_EQ(msgctl(id, IPC_SET, &status), 0);
	CHECK_EQ(wait_for(receiver), EXITED(0));
}

TEST(who_may)
{
	int id = new_queue(), writable = remember(QUEUE, msgget(IPC_PRIVATE, 0602));
	struct msqid_ds status = status_of(id);

	if (geteuid() != 0)
		_exit(0);
	AS_NOBODY({
		CHECK_ERRNO(send(id, 1, "x", 0), EACCES);
		CHECK_STRING(receive(id, 1, 0, IPC_NOWAIT), "EACCES");
		CHECK_EQ(send(writable, 1, "x", 0), 0);
		CHECK_STRING(receive(writable, 1, 0, IPC_NOWAIT), "EACCES");
		CHECK_ERRNO(msgctl(writable, IPC_STAT, &status), EACCES);
		CHECK_ERRNO(msgctl(writable, IPC_SET, &status), EPERM);
		CHECK_ERRNO(msgctl(writable, IPC_RMID, NULL), EPERM);
	});
	CHECK_STRING(receive(writable, 1, 0, 0), "1:x");
}

TEST(information)
{
	int id = new_queue(), last, found = -1, lines = 0;
	struct msginfo limits;
	struct msqid_ds status;
	char line[200], want[200];
	FILE *file;

	MUST(send(id, 1, "seven..", 0));
	last = msgctl(0, IPC_INFO, (struct msqid_ds *)&limits);
	CHECK(last >= 0);
	CHECK_EQ(limits.msgmni, 32000);
	CHECK_EQ(limits.msgmax, 8192);
	CHECK_EQ(limits.msgmnb, 16384);
	CHECK_EQ(limits.msgssz, 16);
	CHECK_EQ(limits.msgseg, 0xffff);
	CHECK_EQ(limits.msgmap, 16384);
	CHECK_EQ(limits.msgpool, 512000);
	CHECK_EQ(limits.msgtql, 16384);
	CHECK_EQ(msgctl(0, MSG_INFO, (struct msqid_ds *)&limits), last);
	CHECK(limits.msgpool >= 1);
	CHECK(limits.msgmap >= 1);
	CHECK(limits.msgtql >= 7);
	for (int at = 0; at <= last; at++) {
		if (msgctl(at, MSG_STAT, &status) == id)
			found = at;
	}
	CHECK_EQ(found, id & 0x7fff);
	CHECK_EQ(msgctl(found, MSG_STAT_ANY, &status), id);
	CHECK_EQ(status.msg_qnum, 1);
	CHECK_EQ(status.msg_perm.__seq, id >> 15);
	CHECK_ERRNO(msgctl(0x7ffe, MSG_STAT, &status), EINVAL);
	file = fopen("/proc/sysvipc/msg", "r");
	MUST(file == NULL || fgets(line, sizeof(line), file) == NULL ? -1 : 0);
	CHECK_STRING(line, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid"
			   "      stime      rtime      ctime\n");
	snprintf(want, sizeof(want), "         0 %10d   600           7          1 %5u     0 %5u %5u %5u %5u %10ld          0 %10ld\n",
		 id, getpid(), geteuid(), getegid(), geteuid(), getegid(), (long)status.msg_stime, (long)status.msg_ctime);
	while (fgets(line, sizeof(line), file) != NULL)
		lines += strcmp(line, want) == 0;
	CHECK_EQ(lines, 1);
}
