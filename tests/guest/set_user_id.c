/* Set-user-ID and set-group-ID programs: what they may, what they keep, and how they give it back; for root. */
#include "run_program.h"

#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>

#define ANN 1001
#define BOB 1002
#define STAFF 2001

/* Says whom the program runs as. */
ROLE(ids)
{
	uid_t uid, euid, suid;
	gid_t gid, egid, sgid;

	getresuid(&uid, &euid, &suid);
	getresgid(&gid, &egid, &sgid);
	printf("uid=%d\neuid=%d\nsuid=%d\ngid=%d\negid=%d\nsgid=%d\nsecure=%ld\ndumpable=%d\n", (int)uid, (int)euid,
	       (int)suid, (int)gid, (int)egid, (int)sgid, (long)getauxval(AT_SECURE), prctl(PR_GET_DUMPABLE));
	printf("preload=%d\nkept=%d\n", getenv("LD_PRELOAD") != NULL, getenv("KEPT") != NULL);
	return 0;
}

/* What su does: from the caller's to another user's identity for good. */
ROLE(switch)
{
	int is_switched = setgroups(0, NULL) == 0 && setgid(BOB) == 0 && setuid(BOB) == 0;
	int can_return = setuid(0) == 0 || seteuid(0) == 0 || setuid(ANN) == 0;

	printf("switched=%d\nreturned=%d\nuid=%d\neuid=%d\n", is_switched, can_return, (int)getuid(), (int)geteuid());
	return 0;
}

/* What a program does that is careful with its privileges. */
ROLE(alternate)
{
	uid_t privileged = geteuid();
	int can_read, drops, gains, cannot_read;

	can_read = access("secret", R_OK) == -1 && open("secret", O_RDONLY) >= 0;
	drops = seteuid(getuid()) == 0;
	cannot_read = open("secret", O_RDONLY) == -1 && errno == EACCES;
	gains = seteuid(privileged) == 0 && open("secret", O_RDONLY) >= 0;
	printf("can_read=%d\ndrops=%d\ncannot_read=%d\ngains=%d\n", can_read, drops, cannot_read, gains);
	return 0;
}

/* Its parent is another user's: signals may go to a program that the sender's user started. */
ROLE(wait_for_signal)
{
	printf("ready\n");
	fflush(stdout);
	pause();
	return 0;
}

/* Copies this program to `path`, owned by a user and a group. */
static void install(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	static char buffer[65536];
	int from = (int)MUST(open(check_self, O_RDONLY | O_CLOEXEC));
	int to = (int)MUST(open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0755));
	ssize_t got;

	while ((got = read(from, buffer, sizeof(buffer))) > 0)
		write_all(to, buffer, (size_t)got);
	MUST(fchown(to, uid, gid));
	MUST(fchmod(to, mode));
	MUST(close(from));
	MUST(close(to));
}

static void become(uid_t uid)
{
	MUST(setgroups(0, NULL));
	MUST(setresgid(uid, uid, uid));
	MUST(setresuid(uid, uid, uid));
}

/* Runs the installed program as ANN. */
static int run_as_ann(const char *path, const char *role)
{
	int ends[2];
	pid_t child;
	ssize_t got;

	MUST(pipe2(ends, O_CLOEXEC));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		become(ANN);
		MUST(dup2(ends[1], STDOUT_FILENO));
		execve(path, (char *[]){(char *)path, (char *)role, NULL},
		       (char *[]){"LD_PRELOAD=/no/such/library", "KEPT=1", NULL});
		dprintf(STDOUT_FILENO, "%s", check_errno_name(errno));
		_exit(111);
	}
	MUST(close(ends[1]));
	output_length = 0;
	while ((got = read(ends[0], output + output_length, sizeof(output) - 1 - output_length)) > 0)
		output_length += (size_t)got;
	output[output_length] = '\0';
	MUST(close(ends[0]));
	return wait_for(child);
}

TEST(a_set_user_id_program_runs_as_its_owner)
{
	enter_scratch();
	install("program", BOB, STAFF, 04755);
	CHECK_EQ(run_as_ann("./program", "ids"), EXITED(0));
	CHECK_EQ(field("uid"), ANN);
	CHECK_EQ(field("euid"), BOB);
	CHECK_EQ(field("suid"), BOB);
	CHECK_EQ(field("gid"), ANN);
	CHECK_EQ(field("egid"), ANN);
	CHECK_EQ(field("sgid"), ANN);
	CHECK_EQ(field("secure"), 1);
	CHECK_EQ(field("dumpable"), 0);
	CHECK_EQ(field("kept"), 1);
}

TEST(a_set_group_id_program_runs_with_its_group)
{
	enter_scratch();
	install("program", BOB, STAFF, 02755);
	CHECK_EQ(run_as_ann("./program", "ids"), EXITED(0));
	CHECK_EQ(field("euid"), ANN);
	CHECK_EQ(field("gid"), ANN);
	CHECK_EQ(field("egid"), STAFF);
	CHECK_EQ(field("sgid"), STAFF);
	CHECK_EQ(field("secure"), 1);
	/* Without the group's right to execute it's a mark of mandatory locks of old, and nothing more. */
	install("program", BOB, STAFF, 02705);
	CHECK_EQ(run_as_ann("./program", "ids"), EXITED(0));
	CHECK_EQ(field("egid"), ANN);
	CHECK_EQ(field("secure"), 0);
	CHECK_EQ(field("dumpable"), 1);
}

TEST(a_set_user_id_program_of_the_caller_is_nothing_special)
{
	enter_scratch();
	install("program", ANN, ANN, 06755);
	CHECK_EQ(run_as_ann("./program", "ids"), EXITED(0));
	CHECK_EQ(field("euid"), ANN);
	CHECK_EQ(field("secure"), 0);
}

TEST(su_changes_identity_for_good)
{
	enter_scratch();
	install("su", 0, 0, 04755);
	CHECK_EQ(run_as_ann("./su", "switch"), EXITED(0));
	CHECK_EQ(field("switched"), 1);
	CHECK_EQ(field("returned"), 0);
	CHECK_EQ(field("uid"), BOB);
	CHECK_EQ(field("euid"), BOB);
	/* The same program without the bit can't. */
	install("su", 0, 0, 0755);
	CHECK_EQ(run_as_ann("./su", "switch"), EXITED(0));
	CHECK_EQ(field("switched"), 0);
	CHECK_EQ(field("uid"), ANN);
}

TEST(privileges_are_dropped_and_taken_up_again)
{
	enter_scratch();
	write_file("secret", "x", 0400);
	MUST(chown("secret", BOB, BOB));
	install("program", BOB, BOB, 04755);
	CHECK_EQ(run_as_ann("./program", "alternate"), EXITED(0));
	CHECK_EQ(field("can_read"), 1);
	CHECK_EQ(field("drops"), 1);
	CHECK_EQ(field("cannot_read"), 1);
	CHECK_EQ(field("gains"), 1);
}

TEST(scripts_and_their_interpreters)
{
	enter_scratch();
	install("program", BOB, BOB, 04755);
	/* The bit on a script is ignored, the one of its interpreter isn't. */
	write_file("script", "#!./program ids\n", 0755);
	MUST(chown("script", 0, 0));
	MUST(chmod("script", 06755));
	CHECK_EQ(run_as_ann("./script", "ids"), EXITED(0));
	CHECK_EQ(field("euid"), BOB);
	CHECK_EQ(field("egid"), ANN);
	CHECK_EQ(field("secure"), 1);
}

TEST(no_new_privileges)
{
	pid_t child;

	enter_scratch();
	install("program", BOB, STAFF, 06755);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		CHECK_EQ(run_as_ann("./program", "ids"), EXITED(0));
		CHECK_EQ(field("euid"), ANN);
		CHECK_EQ(field("egid"), ANN);
		CHECK_EQ(field("secure"), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(writing_or_giving_away_takes_the_bits)
{
	struct stat status;
	int fd;

	enter_scratch();
	install("program", ANN, ANN, 06755);
	become(ANN);
	fd = (int)MUST(open("program", O_WRONLY | O_CLOEXEC));
	write_all(fd, "x", 1);
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_mode & 07777, 0755);
	MUST(fchmod(fd, 06755));
	MUST(fchown(fd, -1, ANN));
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_mode & 07777, 0755);
	MUST(fchmod(fd, 06755));
	MUST(ftruncate(fd, 10));
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_mode & 07777, 0755);
	MUST(fchmod(fd, 02655));
	MUST(fstat(fd, &status));
	CHECK_EQ(status.st_mode & 07777, 02655);
}

/* Who writes counts, not who has opened the file: the bits of one that a user without rights writes to go. */
TEST(writing_by_a_descriptor_of_somebody_else_takes_the_bits)
{
	enum { WRITE, TRUNCATE, ALLOCATE, WAYS };
	struct stat status;

	enter_scratch();
	install("program", ANN, ANN, 0755);
	for (int way = 0; way < WAYS; way++) {
		int fd = (int)MUST(open("program", O_RDWR | O_CLOEXEC));
		pid_t child;

		MUST(fchmod(fd, 06755));
		write_all(fd, "x", 1);
		MUST(fstat(fd, &status));
		CHECK_EQ(status.st_mode & 07777, 06755);
		child = (pid_t)MUST(fork());
		if (child == 0) {
			become(ANN + 1);
			if (way == WRITE)
				CHECK_EQ(write(fd, "x", 1), 1);
			else if (way == TRUNCATE)
				CHECK_EQ(ftruncate(fd, 2), 0);
			else
				CHECK_EQ(fallocate(fd, 0, 0, 100), 0);
			_exit(0);
		}
		CHECK_EQ(wait_for(child), EXITED(0));
		MUST(fstat(fd, &status));
		CHECK_EQ(status.st_mode & 07777, 0755);
		/* Without the group's right to execute it marks nothing, and goes where the writer isn't in the group. */
		MUST(fchmod(fd, 02705));
		child = (pid_t)MUST(fork());
		if (child == 0) {
			become(ANN + 1);
			CHECK_EQ(ftruncate(fd, 1), 0);
			_exit(0);
		}
		CHECK_EQ(wait_for(child), EXITED(0));
		MUST(fstat(fd, &status));
		CHECK_EQ(status.st_mode & 07777, 0705);
		MUST(close(fd));
	}
}

TEST(the_starter_may_signal_what_it_started)
{
	int ends[2];
	char text[8];
	pid_t child, starter;

	enter_scratch();
	install("program", BOB, BOB, 04755);
	MUST(pipe(ends));
	starter = (pid_t)MUST(fork());
	if (starter == 0) {
		become(ANN);
		child = (pid_t)MUST(fork());
		if (child == 0) {
			MUST(dup2(ends[1], STDOUT_FILENO));
			execl("./program", "./program", "wait_for_signal", NULL);
			_exit(111);
		}
		CHECK_EQ(read(ends[0], text, 6), 6);
		/* The real user id is still the starter's. */
		CHECK_OK(kill(child, 0));
		CHECK_EQ(kill(child, SIGTERM), 0);
		CHECK_EQ(wait_for(child), KILLED(SIGTERM));
		_exit(0);
	}
	CHECK_EQ(wait_for(starter), EXITED(0));
}

#define GREAT 0xfffffff0U

static volatile uid_t told_user;
static volatile long told_band;
static volatile pid_t told_child;

static void note_child(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	told_child = info->si_pid;
	told_user = info->si_uid;
	told_band = info->si_band;
}

static pid_t great_child(void)
{
	pid_t child = (pid_t)MUST(syscall(SYS_clone, SIGUSR1, NULL, NULL, NULL, 0));

	if (child == 0) {
		MUST(setresuid(GREAT, GREAT, GREAT));
		_exit(3);
	}
	MUST(waitpid(child, NULL, __WALL));
	return child;
}

/* A child's end is told by another signal than SIGCHLD, in whose si_band a great user id is the sign. */
TEST(the_end_of_a_child_with_a_great_user_id)
{
	sigset_t signals = set_of(SIGUSR1);
	struct signalfd_siginfo read_info;
	siginfo_t info;
	pid_t child;
	int fd;

	handle_info(SIGUSR1, note_child, 0);
	child = great_child();
	CHECK_EQ(told_child, child);
	CHECK_EQ(told_user, GREAT);
	CHECK_EQ(told_band, (long)((unsigned long)GREAT << 32 | (unsigned long)child));
	block(SIGUSR1);
	child = great_child();
	CHECK_EQ(sigwaitinfo(&signals, &info), SIGUSR1);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(info.si_uid, GREAT);
	CHECK_EQ(info.si_band, (long)((unsigned long)GREAT << 32 | (unsigned long)child));
	fd = (int)MUST(signalfd(-1, &signals, SFD_CLOEXEC));
	child = great_child();
	CHECK_EQ(read(fd, &read_info, sizeof(read_info)), sizeof(read_info));
	CHECK_EQ(read_info.ssi_band, child);
	CHECK_EQ(read_info.ssi_signo, SIGUSR1);
}
