/* Interpreters for kinds of programs, which each user namespace registers for itself: binfmt_misc. */
#include "check.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statfs.h>

#define PLACE "/tmp"
#define FORMATS PLACE "/formats"
#define PROGRAM PLACE "/program"
#define SECOND PLACE "/second.thing"

static const char *read_text(const char *path)
{
	static char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[length > 0 ? length : 0] = '\0';
	return text;
}

/* Be root of a user namespace with mounts of its own, and nobody outside. */
static void become_inner_root(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char text[64];

	MUST(prctl(PR_SET_DUMPABLE, 1));
	MUST(unshare(CLONE_NEWUSER | CLONE_NEWNS));
	MUST(write_text("/proc/self/setgroups", "deny"));
	snprintf(text, sizeof(text), "0 %u 1\n", uid);
	MUST(write_text("/proc/self/uid_map", text));
	snprintf(text, sizeof(text), "0 %u 1\n", gid);
	MUST(write_text("/proc/self/gid_map", text));
}

static void write_program(const char *path, const char *text)
{
	int fd = (int)MUST(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));

	write_all(fd, text, strlen(text));
	MUST(close(fd));
}

static void prepare(void)
{
	if (geteuid() == 0)
		drop_root();
	become_inner_root();
	MUST(mount("place", PLACE, "tmpfs", 0, ""));
	MUST(mkdir(FORMATS, 0700));
	write_program(PROGRAM, "MAGIC of its own");
	write_program(SECOND, "anything");
}

/* How an execution of `path` ends: 0 if /bin/true was run for it, or the errno. */
static int execution(const char *path)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		char *const arguments[] = {(char *)path, NULL};

		execv(path, arguments);
		_exit(errno);
	}
	return WEXITSTATUS(wait_for(child));
}

TEST(mounted_in_a_user_namespace)
{
	struct statfs information;
	struct stat status;

	prepare();
	CHECK_EQ(mount("none", FORMATS, "binfmt_misc", 0, ""), 0);
	CHECK_EQ(statfs(FORMATS, &information), 0);
	CHECK_EQ(information.f_type, 0x42494e4d);
	CHECK_EQ(stat(FORMATS "/register", &status), 0);
	CHECK_EQ(status.st_uid, 0);
	CHECK_EQ(status.st_gid, 0);
	CHECK_EQ(status.st_mode, S_IFREG | 0200);
	CHECK_EQ(stat(FORMATS "/status", &status), 0);
	CHECK_EQ(status.st_mode, S_IFREG | 0644);
	CHECK_STRING(read_text(FORMATS "/status"), "enabled\n");
}

TEST(formats_of_a_user_namespace)
{
	prepare();
	MUST(mount("none", FORMATS, "binfmt_misc", 0, ""));
	CHECK_EQ(execution(PROGRAM), ENOEXEC);
	CHECK_EQ(write_text(FORMATS "/register", ":magic:M::MAGIC::/bin/true:"), 0);
	CHECK_EQ(execution(PROGRAM), 0);
	CHECK_EQ(execution(SECOND), ENOEXEC);
	CHECK_EQ(write_text(FORMATS "/register", ":name:E::thing::/bin/true:"), 0);
	CHECK_EQ(execution(SECOND), 0);
	CHECK_STRING(read_text(FORMATS "/magic"), "enabled\ninterpreter /bin/true\nflags: \noffset 0\nmagic 4d41474943\n");
	CHECK_EQ(write_text(FORMATS "/magic", "0"), 0);
	CHECK_EQ(execution(PROGRAM), ENOEXEC);
	CHECK_EQ(write_text(FORMATS "/magic", "1"), 0);
	CHECK_EQ(execution(PROGRAM), 0);
	CHECK_EQ(write_text(FORMATS "/magic", "-1"), 0);
	CHECK_EQ(execution(PROGRAM), ENOEXEC);
	CHECK_ERRNO(access(FORMATS "/magic", F_OK), ENOENT);
	CHECK_EQ(execution(SECOND), 0);
	CHECK_EQ(write_text(FORMATS "/status", "0"), 0);
	CHECK_EQ(execution(SECOND), ENOEXEC);
	CHECK_EQ(write_text(FORMATS "/status", "1"), 0);
	CHECK_EQ(execution(SECOND), 0);
}

TEST(gone_with_the_last_mount)
{
	prepare();
	MUST(mkdir(PLACE "/other", 0700));
	MUST(mount("none", FORMATS, "binfmt_misc", 0, ""));
	MUST(write_text(FORMATS "/register", ":magic:M::MAGIC::/bin/true:"));
	/* One file system for each namespace. */
	CHECK_EQ(mount("none", PLACE "/other", "binfmt_misc", 0, ""), 0);
	CHECK_EQ(access(PLACE "/other/magic", F_OK), 0);
	CHECK_EQ(umount(FORMATS), 0);
	CHECK_EQ(execution(PROGRAM), 0);
	CHECK_EQ(write_text(PLACE "/other/status", "0"), 0);
	CHECK_EQ(umount(PLACE "/other"), 0);
	CHECK_EQ(execution(PROGRAM), ENOEXEC);
	CHECK_EQ(mount("none", FORMATS, "binfmt_misc", 0, ""), 0);
	CHECK_ERRNO(access(FORMATS "/magic", F_OK), ENOENT);
	CHECK_STRING(read_text(FORMATS "/status"), "enabled\n");
}

TEST(one_namespace_and_the_next)
{
	int status;
	pid_t child;

	prepare();
	MUST(mount("none", FORMATS, "binfmt_misc", 0, ""));
	MUST(write_text(FORMATS "/register", ":magic:M::MAGIC::/bin/true:"));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(unshare(CLONE_NEWUSER | CLONE_NEWNS));
		MUST(write_text("/proc/self/setgroups", "deny"));
		MUST(write_text("/proc/self/uid_map", "0 0 1\n"));
		MUST(write_text("/proc/self/gid_map", "0 0 1\n"));
		/* What is registered outside counts, until this has its own. */
		CHECK_EQ(execution(PROGRAM), 0);
		MUST(mkdir(PLACE "/inner", 0700));
		CHECK_EQ(mount("none", PLACE "/inner", "binfmt_misc", 0, ""), 0);
		CHECK_ERRNO(access(PLACE "/inner/magic", F_OK), ENOENT);
		CHECK_EQ(execution(PROGRAM), ENOEXEC);
		CHECK_EQ(write_text(PLACE "/inner/register", ":name:E::thing::/bin/true:"), 0);
		CHECK_EQ(execution(SECOND), 0);
		/* Without it as well, once it was there. */
		CHECK_EQ(umount(PLACE "/inner"), 0);
		CHECK_EQ(execution(SECOND), ENOEXEC);
		CHECK_EQ(execution(PROGRAM), ENOEXEC);
		_exit(0);
	}
	status = wait_for(child);
	CHECK_EQ(status, EXITED(0));
	CHECK_EQ(execution(PROGRAM), 0);
	CHECK_EQ(execution(SECOND), ENOEXEC);
	CHECK_ERRNO(access(FORMATS "/name", F_OK), ENOENT);
}

TEST(an_interpreter_opened_beforehand)
{
	int fd;

	prepare();
	MUST(mount("none", FORMATS, "binfmt_misc", 0, ""));
	write_program(PLACE "/interpreter", "#!/bin/true\n");
	CHECK_ERRNO(write_text(FORMATS "/register", ":none:M::MAGIC::/tmp/nowhere:F"), ENOENT);
	CHECK_EQ(write_text(FORMATS "/register", ":magic:M::MAGIC::/tmp/interpreter:F"), 0);
	fd = open(PLACE "/interpreter", O_WRONLY | O_CLOEXEC);
	CHECK_ERRNO(fd, ETXTBSY);
	CHECK_EQ(unlink(PLACE "/interpreter"), 0);
	CHECK_EQ(execution(PROGRAM), 0);
	CHECK_EQ(umount(FORMATS), 0);
	CHECK_EQ(execution(PROGRAM), ENOEXEC);
}

TEST(what_cant_be_registered)
{
	prepare();
	MUST(mount("none", FORMATS, "binfmt_misc", 0, ""));
	MUST(write_text(FORMATS "/register", ":magic:M::MAGIC::/bin/true:"));
	CHECK_ERRNO(write_text(FORMATS "/register", ":magic:M::MAGIC::/bin/true:"), EEXIST);
	CHECK_ERRNO(write_text(FORMATS "/register", ":register:M::MAGIC::/bin/true:"), EEXIST);
	CHECK_ERRNO(write_text(FORMATS "/register", ":a/b:M::MAGIC::/bin/true:"), EINVAL);
	CHECK_ERRNO(write_text(FORMATS "/register", ":other:X::MAGIC::/bin/true:"), EINVAL);
	CHECK_ERRNO(write_text(FORMATS "/register", ":other:M::MAGIC::/bin/true:Z"), EINVAL);
	CHECK_ERRNO(write_text(FORMATS "/register", ":other:M::MAGIC:::"), EINVAL);
	CHECK_ERRNO(write_text(FORMATS "/status", "2"), EINVAL);
	CHECK_ERRNO(open(FORMATS "/mine", O_CREAT | O_WRONLY, 0600), EACCES);
	CHECK_EQ(write_text(FORMATS "/status", "-1"), 0);
	CHECK_ERRNO(access(FORMATS "/magic", F_OK), ENOENT);
}
