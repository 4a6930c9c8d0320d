/* Records of processes that end: acct(2), acct(5). Everything is in a pid namespace of its own. */
#include "check.h"

#include <sched.h>
#include <sys/acct.h>
#include <sys/resource.h>
#include <sys/prctl.h>

#define MOST_RECORDS 32

static struct acct_v3 records[MOST_RECORDS];
static char file_name[64];

static int in_namespace(void (*body)(void))
{
	pid_t outer = fork();

	if (outer == 0) {
		pid_t init;

		MUST(unshare(CLONE_NEWPID));
		init = fork();
		if (init == 0) {
			body();
			_exit(0);
		}
		_exit(wait_for(init) == 0 ? 0 : 1);
	}
	return wait_for(outer);
}

static void make_file(void)
{
	int fd;

	snprintf(file_name, sizeof(file_name), "/tmp/acct-XXXXXX");
	fd = (int)MUST(mkstemp(file_name));
	close(fd);
}

/* How many records there are now, all of them in `records`. */
static int read_records(void)
{
	int fd = (int)MUST(open(file_name, O_RDONLY));
	ssize_t length = read(fd, records, sizeof(records));

	close(fd);
	CHECK_EQ(length % (ssize_t)sizeof(records[0]), 0);
	return (int)(length / (ssize_t)sizeof(records[0]));
}

static unsigned long uncompressed(comp_t value)
{
	return (unsigned long)(value & 0x1fff) << (value >> 13) * 3;
}

ROLE(exits)
{
	return 7;
}

static pid_t child_that_exits_after_chroot(void)
{
	pid_t child = fork();

	if (child == 0) {
		chroot("/");
		_exit(0);
	}
	return child;
}

static void expect_records(void)
{
	struct acct_v3 *record = &records[0];
	volatile unsigned long spun;
	time_t began = time(NULL);
	pid_t child;
	int status;

	CHECK_OK(acct(file_name));
	CHECK_EQ(read_records(), 0);

	child = fork();
	if (child == 0) {
		prctl(PR_SET_NAME, "a child");
		_exit(3);
	}
	waitpid(child, &status, 0);
	CHECK_EQ(read_records(), 1);
	CHECK_EQ((unsigned char)record->ac_version & 0x0f, 3);
	CHECK_EQ(record->ac_flag, AFORK);
	CHECK_EQ(record->ac_exitcode, EXITED(3));
	CHECK_EQ(record->ac_pid, child);
	CHECK_EQ(record->ac_ppid, 1);
	CHECK_EQ(record->ac_uid, 0);
	CHECK_EQ(record->ac_gid, 0);
	CHECK_STRING(record->ac_comm, "a child");
	CHECK(record->ac_btime >= began - 1 && record->ac_btime <= time(NULL) + 1);
	CHECK(record->ac_etime >= 0 && record->ac_etime < 1000);
	CHECK(uncompressed(record->ac_mem) > 500);
	CHECK(uncompressed(record->ac_minflt) > 0);
	CHECK_EQ(record->ac_rw, 0);
	CHECK_EQ(record->ac_swaps, 0);

	child = fork();
	if (child == 0) {
		execl("/proc/self/exe", "acct", "exits", NULL);
		_exit(127);
	}
	waitpid(child, &status, 0);
	CHECK_EQ(read_records(), 2);
	record = &records[1];
	CHECK_EQ(record->ac_flag, 0);
	CHECK_EQ(record->ac_exitcode, EXITED(7));

	child = child_that_pauses();
	kill(child, SIGTERM);
	waitpid(child, &status, 0);
	CHECK_EQ(read_records(), 3);
	record = &records[2];
	CHECK_EQ(record->ac_flag, AFORK | AXSIG);
	CHECK_EQ(record->ac_exitcode, SIGTERM);

	child = fork();
	if (child == 0) {
		setgid(20);
		setuid(1000);
		/* Long, as Linux counts what runs when the clock ticks, and elsewhere much may run, too. */
		for (spun = 0; clock() < CLOCKS_PER_SEC * 2 / 5; spun++)
			;
		sleep_ms(100);
		_exit(0);
	}
	waitpid(child, &status, 0);
	CHECK_EQ(read_records(), 4);
	record = &records[3];
	CHECK_EQ(record->ac_uid, 1000);
	CHECK_EQ(record->ac_gid, 20);
	CHECK(uncompressed(record->ac_utime) + uncompressed(record->ac_stime) >= 1);
	CHECK(record->ac_etime >= 15);

	/* A process that is not waited for is recorded when it ends. */
	signal(SIGCHLD, SIG_IGN);
	child = fork();
	if (child == 0)
		_exit(0);
	while (kill(child, 0) == 0)
		sleep_ms(1);
	CHECK_EQ(read_records(), 5);
	CHECK_EQ(records[4].ac_pid, child);
	signal(SIGCHLD, SIG_DFL);

	/* Who has used a capability, and whose core would have been dumped if there were a limit above 0. */
	child = child_that_exits_after_chroot();
	waitpid(child, &status, 0);
	CHECK_EQ(read_records(), 6);
	CHECK_EQ(records[5].ac_flag, AFORK | ASU);
	child = fork();
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		raise(SIGSEGV);
	}
	waitpid(child, &status, 0);
	CHECK_EQ(status, SIGSEGV);
	CHECK_EQ(read_records(), 7);
	CHECK_EQ(records[6].ac_flag, AFORK | AXSIG | ACORE);

	/* Who stops it is recorded. */
	CHECK_OK(acct(NULL));
	CHECK_EQ(read_records(), 8);
	record = &records[7];
	CHECK_EQ(record->ac_pid, 1);
	CHECK_EQ(record->ac_exitcode, 0);
	CHECK_EQ(record->ac_flag, 0);
	CHECK_EQ(record->ac_mem, 0);
	CHECK_EQ(record->ac_minflt, 0);
	child = child_that_exits(0);
	waitpid(child, &status, 0);
	CHECK_EQ(read_records(), 8);
}

TEST(records)
{
	make_file();
	CHECK_EQ(in_namespace(expect_records), 0);
	unlink(file_name);
}

static void start_and_end(void)
{
	CHECK_OK(acct(file_name));
}

TEST(the_init_of_the_namespace)
{
	make_file();
	CHECK_EQ(in_namespace(start_and_end), 0);
	/* Once as it ends, and once as the accounting ends with it. */
	CHECK_EQ(read_records(), 2);
	CHECK_EQ(records[0].ac_pid, 1);
	CHECK_EQ(records[0].ac_ppid, 0);
	CHECK_EQ(records[1].ac_pid, 1);
	CHECK_EQ(records[1].ac_mem, records[0].ac_mem);
	CHECK_EQ(records[1].ac_exitcode, records[0].ac_exitcode);
	unlink(file_name);
}

static void restart(void)
{
	char other[80];
	int fd;
	pid_t child;

	snprintf(other, sizeof(other), "%s-2", file_name);
	fd = (int)MUST(open(other, O_CREAT | O_RDWR, 0600));
	CHECK_OK(acct(file_name));
	child = child_that_exits(1);
	waitpid(child, NULL, 0);
	CHECK_OK(acct(other));
	child = child_that_exits(2);
	waitpid(child, NULL, 0);
	CHECK_EQ(read_records(), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_END), (off_t)sizeof(records[0]));
	/* Records are appended. */
	CHECK_OK(acct(file_name));
	child = child_that_exits(3);
	waitpid(child, NULL, 0);
	CHECK_EQ(read_records(), 3);
	CHECK_EQ(records[2].ac_exitcode, EXITED(3));
	CHECK_OK(acct(NULL));
	CHECK_OK(acct(NULL));
	unlink(other);
}

TEST(another_file)
{
	make_file();
	CHECK_EQ(in_namespace(restart), 0);
	unlink(file_name);
}

static void refuse(void)
{
	CHECK_ERRNO(acct("/tmp"), EISDIR);
	CHECK_ERRNO(acct("/dev/null"), EACCES);
	CHECK_ERRNO(acct("/nowhere/at/all"), ENOENT);
	CHECK_ERRNO(acct("/dev/null/file"), ENOTDIR);
	CHECK_ERRNO(acct(bad_address()), EFAULT);
	CHECK_ERRNO(acct("/proc/self/stat"), EINVAL);
	MUST(setresuid(1000, 1000, 1000));
	CHECK_ERRNO(acct(file_name), EPERM);
	CHECK_ERRNO(acct(NULL), EPERM);
}

TEST(refused)
{
	make_file();
	CHECK_EQ(in_namespace(refuse), 0);
	unlink(file_name);
}
