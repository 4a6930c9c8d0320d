/* The capability sets of a thread: capset, securebits, the bounding and the ambient set, and what exec makes. */
#include "check.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

#define BIT(capability) (1ULL << (capability))
#define KILL_AND_CHOWN (BIT(CAP_KILL) | BIT(CAP_CHOWN))

struct sets {
	uint64_t effective, permitted, inheritable;
};

static struct sets get(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	MUST(syscall(SYS_capget, &header, data));
	return (struct sets){
		(uint64_t)data[1].effective << 32 | data[0].effective,
		(uint64_t)data[1].permitted << 32 | data[0].permitted,
		(uint64_t)data[1].inheritable << 32 | data[0].inheritable,
	};
}

static long set(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
	};

	return syscall(SYS_capset, &header, data);
}

static int ambient(int operation, unsigned long capability)
{
	return prctl(PR_CAP_AMBIENT, operation, capability, 0, 0);
}

static uint64_t line_of_status(const char *name)
{
	char line[256];
	uint64_t value = 0;
	FILE *status = fopen("/proc/self/status", "re");

	while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoull(line + strlen(name) + 1, NULL, 16);
	}
	if (status != NULL)
		fclose(status);
	return value;
}

/* The sets after an exec, by a page that the parent sees too. */
struct shown {
	struct sets sets;
	uint64_t bounding, ambient;
	int securebits, no_new_privs, dumpable, uid, euid, secure;
};

ROLE(shows)
{
	int fd = atoi(argv[2]);
	struct shown now = {
		get(),
		line_of_status("CapBnd"),
		line_of_status("CapAmb"),
		prctl(PR_GET_SECUREBITS),
		prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
		prctl(PR_GET_DUMPABLE),
		(int)getuid(),
		(int)geteuid(),
		0,
	};

	return write(fd, &now, sizeof(now)) != sizeof(now);
}

/* Runs `before` in a child that then executes this program, and returns what that has. */
static struct shown after_exec(void (*before)(void))
{
	struct shown result = {.uid = -1};
	char number[16];
	int ends[2];
	pid_t child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		char *arguments[] = {check_self, "shows", number, NULL};

		snprintf(number, sizeof(number), "%d", ends[1]);
		before();
		execv("/proc/self/exe", arguments);
		_exit(99);
	}
	close(ends[1]);
	CHECK_EQ(read(ends[0], &result, sizeof(result)), sizeof(result));
	close(ends[0]);
	wait_for(child);
	return result;
}

TEST(capset_rules)
{
	struct sets start = get();
	struct __user_cap_header_struct other = {_LINUX_CAPABILITY_VERSION_3, getppid()};
	struct __user_cap_data_struct data[2] = {0};

	CHECK_EQ(set(KILL_AND_CHOWN, start.permitted, 0), 0);
	CHECK_EQ(get().effective, KILL_AND_CHOWN);
	CHECK_EQ(get().permitted, start.permitted);
	CHECK_EQ(set(KILL_AND_CHOWN, KILL_AND_CHOWN, 0), 0);
	CHECK_EQ(get().permitted, KILL_AND_CHOWN);
	CHECK_ERRNO(set(BIT(CAP_FOWNER), KILL_AND_CHOWN, 0), EPERM);
	CHECK_ERRNO(set(0, KILL_AND_CHOWN | BIT(CAP_FOWNER), 0), EPERM);
	CHECK_EQ(set(BIT(CAP_KILL), KILL_AND_CHOWN, BIT(CAP_CHOWN)), 0);
	CHECK_EQ(get().inheritable, BIT(CAP_CHOWN));
	CHECK_ERRNO(set(BIT(CAP_KILL), KILL_AND_CHOWN, BIT(CAP_FOWNER)), EPERM);
	CHECK_ERRNO(syscall(SYS_capset, &other, data), EPERM);
	CHECK_EQ(set(0, 0, BIT(CAP_CHOWN)), 0);
	CHECK_EQ(set(0, 0, 0), 0);
	CHECK_ERRNO(set(0, BIT(CAP_CHOWN), 0), EPERM);
	/* Capabilities that there aren't are dropped. */
	CHECK_EQ(set(0, 0, 0), 0);
	CHECK_EQ(get().permitted, 0);
}

TEST(inheritable_beyond_the_permitted)
{
	struct sets start = get();

	/* With CAP_SETPCAP whatever the bounding set has. */
	MUST(set(BIT(CAP_SETPCAP), BIT(CAP_SETPCAP), 0));
	CHECK_EQ(set(BIT(CAP_SETPCAP), BIT(CAP_SETPCAP), KILL_AND_CHOWN), 0);
	CHECK_EQ(get().inheritable, KILL_AND_CHOWN);
	CHECK_EQ(prctl(PR_CAPBSET_DROP, CAP_FOWNER, 0, 0, 0), 0);
	CHECK_ERRNO(set(BIT(CAP_SETPCAP), BIT(CAP_SETPCAP), BIT(CAP_FOWNER)), EPERM);
	CHECK_EQ(start.effective != 0, 1);
}

TEST(bounding_set)
{
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL, 0, 0, 0), 1);
	CHECK_EQ(prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0), 0);
	CHECK_ERRNO(prctl(PR_CAPBSET_READ, CAP_LAST_CAP + 1, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_CAPBSET_DROP, CAP_LAST_CAP + 1, 0, 0, 0), EINVAL);
	CHECK_EQ(line_of_status("CapBnd") >> CAP_KILL & 1, 0);
	/* What is permitted stays so until an exec. */
	CHECK_EQ(get().permitted >> CAP_KILL & 1, 1);
	MUST(set(0, get().permitted, 0));
	CHECK_ERRNO(prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0), EPERM);
}

TEST(ambient_set)
{
	uint64_t permitted = get().permitted;

	CHECK_EQ(ambient(PR_CAP_AMBIENT_IS_SET, CAP_KILL), 0);
	CHECK_ERRNO(ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL), EPERM);
	MUST(set(permitted, permitted, BIT(CAP_KILL)));
	CHECK_EQ(ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL), 0);
	CHECK_EQ(ambient(PR_CAP_AMBIENT_IS_SET, CAP_KILL), 1);
	CHECK_EQ(line_of_status("CapAmb"), BIT(CAP_KILL));
	CHECK_ERRNO(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN), EPERM);
	CHECK_ERRNO(ambient(PR_CAP_AMBIENT_RAISE, CAP_LAST_CAP + 1), EINVAL);
	CHECK_ERRNO(ambient(9, CAP_KILL), EINVAL);
	CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 1, 0), EINVAL);
	/* It goes with what it depends on. */
	MUST(set(permitted & ~BIT(CAP_KILL), permitted & ~BIT(CAP_KILL), BIT(CAP_KILL)));
	CHECK_EQ(ambient(PR_CAP_AMBIENT_IS_SET, CAP_KILL), 0);
	permitted &= ~BIT(CAP_KILL);
	MUST(set(permitted, permitted, BIT(CAP_CHOWN)));
	MUST(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN));
	MUST(set(permitted, permitted, 0));
	CHECK_EQ(ambient(PR_CAP_AMBIENT_IS_SET, CAP_CHOWN), 0);
	MUST(set(permitted, permitted, BIT(CAP_CHOWN)));
	MUST(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN));
	CHECK_EQ(ambient(PR_CAP_AMBIENT_LOWER, CAP_CHOWN), 0);
	CHECK_EQ(ambient(PR_CAP_AMBIENT_IS_SET, CAP_CHOWN), 0);
	MUST(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN));
	CHECK_EQ(ambient(PR_CAP_AMBIENT_CLEAR_ALL, 0), 0);
	CHECK_EQ(ambient(PR_CAP_AMBIENT_IS_SET, CAP_CHOWN), 0);
	MUST(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN));
	MUST(prctl(PR_SET_SECUREBITS, SECBIT_NO_CAP_AMBIENT_RAISE, 0, 0, 0));
	CHECK_ERRNO(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN), EPERM);
	CHECK_EQ(ambient(PR_CAP_AMBIENT_IS_SET, CAP_CHOWN), 1);
}

TEST(secure_bits)
{
	CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
	CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
	CHECK_EQ(prctl(PR_GET_SECUREBITS), SECBIT_KEEP_CAPS);
	CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 2, 0, 0, 0), EINVAL);
	CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 0x1000, 0, 0, 0), EPERM);
	CHECK_EQ(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NOROOT | SECBIT_NOROOT_LOCKED);
	CHECK_ERRNO(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT_LOCKED, 0, 0, 0), EPERM);
	CHECK_ERRNO(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0), EPERM);
	CHECK_EQ(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED, 0, 0, 0), 0);
	CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), EPERM);
	MUST(set(0, get().permitted, 0));
	CHECK_ERRNO(prctl(PR_SET_SECUREBITS, prctl(PR_GET_SECUREBITS) | SECBIT_NO_SETUID_FIXUP, 0, 0, 0), EPERM);
}

static int keeps(int bits)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(prctl(PR_SET_SECUREBITS, bits, 0, 0, 0));
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		_exit((get().permitted != 0) | (get().effective != 0) << 1);
	}
	return WEXITSTATUS(wait_for(child));
}

TEST(change_of_user)
{
	CHECK_EQ(keeps(0), 0);
	CHECK_EQ(keeps(SECBIT_KEEP_CAPS), 1);
	CHECK_EQ(keeps(SECBIT_NO_SETUID_FIXUP), 3);
	MUST(seteuid(NOBODY));
	CHECK_EQ(get().effective, 0);
	CHECK_EQ(get().permitted != 0, 1);
	MUST(seteuid(0));
	CHECK_EQ(get().effective, get().permitted);
}

static void nothing(void)
{
}

static void with_less_bounding(void)
{
	MUST(prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0));
}

static void without_root(void)
{
	MUST(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0));
}

static void with_all_bits(void)
{
	MUST(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS, 0, 0, 0));
}

static void as_nobody(void)
{
	drop_root();
}

static void as_nobody_with_ambient(void)
{
	MUST(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	MUST(set(get().permitted, get().permitted, KILL_AND_CHOWN));
	MUST(ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL));
}

static void with_all_removed(void)
{
	MUST(set(0, 0, 0));
}

static void with_all_removed_but_inheritable(void)
{
	MUST(set(0, 0, BIT(CAP_KILL)));
}

static void with_no_new_privs(void)
{
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void with_no_new_privs_and_nothing(void)
{
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(set(0, 0, 0));
}

TEST(programs)
{
	uint64_t bounding = line_of_status("CapBnd"), permitted = get().permitted;
	struct shown now = after_exec(nothing);

	CHECK_EQ(now.sets.permitted, bounding);
	CHECK_EQ(now.sets.effective, bounding);
	CHECK_EQ(now.sets.inheritable, 0);
	CHECK_EQ(now.ambient, 0);
	now = after_exec(with_less_bounding);
	CHECK_EQ(now.sets.permitted, bounding & ~BIT(CAP_KILL));
	CHECK_EQ(now.sets.effective, bounding & ~BIT(CAP_KILL));
	CHECK_EQ(now.bounding, bounding & ~BIT(CAP_KILL));
	now = after_exec(without_root);
	CHECK_EQ(now.sets.permitted, 0);
	CHECK_EQ(now.sets.effective, 0);
	CHECK_EQ(now.securebits, SECBIT_NOROOT);
	now = after_exec(with_all_bits);
	/* An exec forgets the one about keeping. */
	CHECK_EQ(now.securebits, SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP);
	now = after_exec(as_nobody);
	CHECK_EQ(now.sets.permitted, 0);
	CHECK_EQ(now.bounding, bounding);
	now = after_exec(as_nobody_with_ambient);
	CHECK_EQ(now.sets.permitted, BIT(CAP_KILL));
	CHECK_EQ(now.sets.effective, BIT(CAP_KILL));
	CHECK_EQ(now.sets.inheritable, KILL_AND_CHOWN);
	CHECK_EQ(now.ambient, BIT(CAP_KILL));
	CHECK_EQ(now.securebits, 0);
	now = after_exec(with_all_removed);
	CHECK_EQ(now.sets.permitted, bounding);
	CHECK_EQ(now.sets.effective, bounding);
	now = after_exec(with_all_removed_but_inheritable);
	CHECK_EQ(now.sets.inheritable, BIT(CAP_KILL));
	CHECK_EQ(now.sets.permitted, bounding);
	now = after_exec(with_no_new_privs);
	CHECK_EQ(now.no_new_privs, 1);
	CHECK_EQ(now.sets.permitted, bounding & permitted);
	now = after_exec(with_no_new_privs_and_nothing);
	CHECK_EQ(now.sets.permitted, 0);
	CHECK_EQ(now.sets.effective, 0);
}

TEST(what_a_descendant_has)
{
	pid_t child;

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_KEEPCAPS) == 1 ? 0 : 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}
