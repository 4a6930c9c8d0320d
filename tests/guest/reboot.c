/* What reboot(2) refuses: what it does ends the machine. */
#include "check.h"

#include <linux/reboot.h>

static long reboot_call(unsigned int magic1, unsigned int magic2, unsigned int command)
{
	return syscall(SYS_reboot, magic1, magic2, command, NULL);
}

TEST(wrong_magic_and_unknown_commands)
{
	CHECK_ERRNO(reboot_call(0, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF), EINVAL);
	CHECK_ERRNO(reboot_call(LINUX_REBOOT_MAGIC1, 0, LINUX_REBOOT_CMD_POWER_OFF), EINVAL);
	CHECK_ERRNO(reboot_call(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_CMD_POWER_OFF), EINVAL);
	CHECK_ERRNO(reboot_call(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, 77), EINVAL);
	CHECK_ERRNO(reboot_call(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2C, 1), EINVAL);
}

TEST(who_may_not)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_ERRNO(reboot_call(0, 0, 0), EPERM);
		CHECK_ERRNO(reboot_call(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF), EPERM);
		CHECK_ERRNO(reboot_call(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART2), EPERM);
		_exit(0);
	}
	MUST(waitpid(child, NULL, 0));
}
