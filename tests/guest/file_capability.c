/* Capabilities that a file gives to who executes it: capabilities(7).
 *
 * What takes the right to give a file capabilities is let pass where the user hasn't got it.
 */
#include "check.h"

#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#define BIT(capability) (1UL << (capability))
#define NO_CAPABILITIES 0, 0, 0, 0, 0

struct held {
	unsigned long permitted, effective, inheritable, ambient;
	int is_secure;
};

static struct held held_now(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	struct held held = {0};

	MUST(syscall(SYS_capget, &header, data));
	held.permitted = data[0].permitted | (unsigned long)data[1].permitted << 32;
	held.effective = data[0].effective | (unsigned long)data[1].effective << 32;
	held.inheritable = data[0].inheritable | (unsigned long)data[1].inheritable << 32;
	for (int capability = 0; capability <= CAP_LAST_CAP; capability++) {
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1)
			held.ambient |= BIT(capability);
	}
	held.is_secure = (int)getauxval(AT_SECURE);
	return held;
}

static void hold(unsigned long permitted, unsigned long inheritable)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {
		{(unsigned)permitted, (unsigned)permitted, (unsigned)inheritable},
		{(unsigned)(permitted >> 32), (unsigned)(permitted >> 32), (unsigned)(inheritable >> 32)},
	};

	MUST(syscall(SYS_capset, &header, data));
}

/* Exits with 0 if it holds what its arguments say in hexadecimal, else with the number of the first that differs. */
ROLE(report)
{
	struct held held = held_now();
	unsigned long values[] = {held.permitted, held.effective, held.inheritable, held.ambient,
				  (unsigned long)held.is_secure};

	for (size_t at = 0; at < LENGTH(values); at++) {
		if (values[at] != strtoul(argv[2 + at], NULL, 16))
			return 10 + (int)at;
	}
	return 0;
}

static int is_nosuid(void)
{
	struct statvfs system;

	MUST(statvfs(".", &system));
	return (system.f_flag & ST_NOSUID) != 0;
}

static void copy_program(const char *name)
{
	char buffer[65536];
	ssize_t length;
	int from = (int)MUST(open(check_self, O_RDONLY | O_CLOEXEC));
	int to = (int)MUST(open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0755));

	while ((length = MUST(read(from, buffer, sizeof(buffer)))) > 0)
		write_all(to, buffer, (size_t)length);
	MUST(fchmod(to, 0755));
	MUST(close(from));
	MUST(close(to));
}

static int give(const char *name, unsigned long permitted, unsigned long inheritable, int is_effective)
{
	struct vfs_cap_data data = {
		VFS_CAP_REVISION_2 | (is_effective ? VFS_CAP_FLAGS_EFFECTIVE : 0),
		{{(unsigned)permitted, (unsigned)inheritable}, {(unsigned)(permitted >> 32), (unsigned)(inheritable >> 32)}},
	};

	return setxattr(name, "security.capability", &data, sizeof(data), 0);
}

static int may_give;

/* A program of its own in an empty directory, which has these capabilities. */
static void prepare(unsigned long permitted, unsigned long inheritable, int is_effective)
{
	enter_scratch();
	copy_program("program");
	may_give = geteuid() == 0 && !is_nosuid() && give("program", permitted, inheritable, is_effective) == 0;
}

/* What becomes of a child that executes the program: 0 if it then holds just this. */
static int executes(void (*before)(void), unsigned long permitted, unsigned long effective, unsigned long inheritable,
		    unsigned long ambient, int is_secure)
{
	char values[5][20], *arguments[] = {"program", "report", values[0], values[1], values[2], values[3], values[4], NULL};
	unsigned long numbers[] = {permitted, effective, inheritable, ambient, (unsigned long)is_secure};
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		before();
		for (size_t at = 0; at < LENGTH(numbers); at++)
			sprintf(values[at], "%lx", numbers[at]);
		execv("./program", arguments);
		_exit(errno);
	}
	return WEXITSTATUS(wait_for(child));
}

#define CHECK_EXEC(code, ...) CHECK(!may_give || executes(__VA_ARGS__) == (code))

static void remain(void)
{
}

TEST(permitted_and_effective)
{
	prepare(BIT(CAP_NET_RAW) | BIT(CAP_SYSLOG), 0, 1);
	CHECK_EXEC(0, drop_root, BIT(CAP_NET_RAW) | BIT(CAP_SYSLOG), BIT(CAP_NET_RAW) | BIT(CAP_SYSLOG), 0, 0, 1);
	/* The superuser has everything anyway. */
	CHECK(!may_give || executes(remain, held_now().permitted, held_now().permitted, 0, 0, 0) == 0);
}

TEST(permitted_alone)
{
	prepare(BIT(CAP_NET_RAW), 0, 0);
	CHECK_EXEC(0, drop_root, BIT(CAP_NET_RAW), 0, 0, 0, 1);
	if (may_give)
		MUST(removexattr("program", "security.capability"));
	CHECK_EXEC(0, drop_root, NO_CAPABILITIES);
}

static void drop_root_but_inheritable(void)
{
	hold(held_now().permitted, BIT(CAP_NET_RAW) | BIT(CAP_CHOWN));
	drop_root();
}

TEST(inheritable)
{
	prepare(0, BIT(CAP_NET_RAW) | BIT(CAP_KILL), 1);
	CHECK_EXEC(0, drop_root_but_inheritable, BIT(CAP_NET_RAW), BIT(CAP_NET_RAW), BIT(CAP_NET_RAW) | BIT(CAP_CHOWN), 0, 1);
	CHECK_EXEC(0, drop_root, 0, 0, 0, 0, 1);
}

static void drop_bounding(void)
{
	MUST(prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
	drop_root();
}

TEST(bounding_set)
{
	prepare(BIT(CAP_NET_RAW) | BIT(CAP_KILL), 0, 1);
	CHECK_EXEC(EPERM, drop_bounding, NO_CAPABILITIES);
	if (may_give)
		MUST(give("program", BIT(CAP_NET_RAW) | BIT(CAP_KILL), 0, 0));
	CHECK_EXEC(0, drop_bounding, BIT(CAP_KILL), 0, 0, 0, 1);
}

static void forgo_privileges(void)
{
	drop_root();
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

TEST(no_new_privs)
{
	prepare(BIT(CAP_NET_RAW), 0, 0);
	CHECK_EXEC(0, forgo_privileges, NO_CAPABILITIES);
}

TEST(set_user_id_and_capabilities)
{
	prepare(BIT(CAP_NET_RAW), 0, 1);
	if (may_give)
		MUST(chmod("program", 04755));
	CHECK_EXEC(0, drop_root, BIT(CAP_NET_RAW), BIT(CAP_NET_RAW), 0, 0, 1);
}

static void keep_ambient(void)
{
	MUST(prctl(PR_SET_KEEPCAPS, 1));
	drop_root();
	hold(BIT(CAP_CHOWN), BIT(CAP_CHOWN));
	MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
}

TEST(ambient)
{
	prepare(BIT(CAP_NET_RAW), 0, 1);
	CHECK_EXEC(0, keep_ambient, BIT(CAP_NET_RAW), BIT(CAP_NET_RAW), BIT(CAP_CHOWN), 0, 1);
	if (may_give)
		MUST(removexattr("program", "security.capability"));
	CHECK_EXEC(0, keep_ambient, BIT(CAP_CHOWN), BIT(CAP_CHOWN), BIT(CAP_CHOWN), BIT(CAP_CHOWN), 0);
}

TEST(only_what_has_the_form_of_capabilities)
{
	struct vfs_ns_cap_data other = {VFS_CAP_REVISION_3, {{BIT(CAP_NET_RAW), 0}, {0, 0}}, 1000};

	prepare(0, 0, 0);
	CHECK(!may_give || (setxattr("program", "security.capability", "short", 5, 0) == -1 && errno == EINVAL));
	CHECK(!may_give || (setxattr("program", "security.capability", &other, 20, 0) == -1 && errno == EINVAL));
	/* Capabilities for another user namespace. */
	CHECK(!may_give || setxattr("program", "security.capability", &other, sizeof(other), 0) == 0);
	CHECK_EXEC(0, drop_root, NO_CAPABILITIES);
}

/* Earlier kernels kept an attribute of no bytes, which they didn't tell. */
TEST(none_at_all_are_not_told)
{
	const char *name = "security.capability";
	int is_kept, of_none;

	enter_scratch();
	write_file("file", "text", 0600);
	is_kept = setxattr("file", name, "", 0, 0) == 0;
	CHECK(is_kept || errno == EINVAL);
	of_none = is_kept ? EINVAL : ENODATA;
	CHECK_ERRNO(getxattr("file", name, NULL, 0), of_none);
	/* There are none to take away. */
	CHECK_OK(truncate("file", 0));
	CHECK_OK(chown("file", (uid_t)-1, getegid()));
	CHECK_ERRNO(getxattr("file", name, NULL, 0), of_none);
}

TEST(writing_takes_them_away)
{
	int fd;

	prepare(BIT(CAP_NET_RAW), 0, 1);
	fd = (int)MUST(open("program", O_WRONLY | O_APPEND | O_CLOEXEC));
	write_all(fd, "x", 1);
	MUST(close(fd));
	CHECK(getxattr("program", "security.capability", NULL, 0) == -1 && errno == ENODATA);
	CHECK_EXEC(0, drop_root, NO_CAPABILITIES);
}
