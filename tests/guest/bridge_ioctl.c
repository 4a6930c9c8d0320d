/* Bridges by ioctl, as brctl(8) makes them (Linux: net/bridge/br_ioctl.c). */
#include "check.h"

#include <linux/if_bridge.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int control;

static void enter(void)
{
	MUST(unshare(CLONE_NEWNET));
	control = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
}

static int named(int request, const char *name)
{
	char text[IFNAMSIZ] = {0};

	strncpy(text, name, sizeof(text) - 1);
	return ioctl(control, request, text);
}

static int port(int request, const char *bridge, int index)
{
	struct ifreq data = {.ifr_ifindex = index};

	strncpy(data.ifr_name, bridge, IFNAMSIZ - 1);
	return ioctl(control, request, &data);
}

static int set_up(const char *name, int up)
{
	struct ifreq data = {.ifr_flags = up ? IFF_UP : 0};

	strncpy(data.ifr_name, name, IFNAMSIZ - 1);
	return ioctl(control, SIOCSIFFLAGS, &data);
}

TEST(bridges_come_and_go)
{
	enter();
	CHECK_OK(named(SIOCBRADDBR, "one"));
	CHECK(if_nametoindex("one") > 0);
	CHECK_ERRNO(named(SIOCBRADDBR, "one"), EEXIST);
	CHECK_ERRNO(named(SIOCBRADDBR, "a/b"), EINVAL);
	CHECK_ERRNO(named(SIOCBRADDBR, ""), EINVAL);
	CHECK_ERRNO(ioctl(control, SIOCBRADDBR, bad_address()), EFAULT);
	CHECK_OK(named(SIOCBRADDBR, "br%d"));
	CHECK(if_nametoindex("br0") > 0);
	CHECK_ERRNO(named(SIOCBRDELBR, "none"), ENXIO);
	CHECK_ERRNO(named(SIOCBRDELBR, "lo"), EPERM);
	MUST(set_up("one", 1));
	CHECK_ERRNO(named(SIOCBRDELBR, "one"), EBUSY);
	MUST(set_up("one", 0));
	CHECK_OK(named(SIOCBRDELBR, "one"));
	CHECK_EQ(if_nametoindex("one"), 0);
}

TEST(ports_of_bridges)
{
	int lo;

	enter();
	lo = (int)if_nametoindex("lo");
	MUST(named(SIOCBRADDBR, "one"));
	MUST(named(SIOCBRADDBR, "two"));
	CHECK_ERRNO(port(SIOCBRADDIF, "none", lo), ENODEV);
	CHECK_ERRNO(port(SIOCBRADDIF, "lo", lo), EOPNOTSUPP);
	CHECK_ERRNO(port(SIOCBRADDIF, "one", lo), EINVAL);
	CHECK_ERRNO(port(SIOCBRADDIF, "one:label", lo), EINVAL);
	CHECK_ERRNO(port(SIOCBRADDIF, "one", 12345), EINVAL);
	CHECK_ERRNO(port(SIOCBRADDIF, "one", (int)if_nametoindex("two")), ELOOP);
	CHECK_ERRNO(port(SIOCBRDELIF, "one", (int)if_nametoindex("two")), EINVAL);
	CHECK_ERRNO(port(SIOCBRDELIF, "one", 12345), EINVAL);
	CHECK_ERRNO(ioctl(control, SIOCBRADDIF, bad_address()), EFAULT);
}

TEST(as_it_was_before)
{
	unsigned long arguments[3] = {BRCTL_GET_VERSION};
	char name[IFNAMSIZ] = "old";
	int indices[4] = {0};

	enter();
	CHECK_EQ(ioctl(control, SIOCGIFBR, arguments), BRCTL_VERSION);
	CHECK_EQ(ioctl(control, SIOCSIFBR, arguments), BRCTL_VERSION);
	arguments[0] = BRCTL_ADD_BRIDGE;
	arguments[1] = (unsigned long)name;
	CHECK_OK(ioctl(control, SIOCSIFBR, arguments));
	CHECK_ERRNO(ioctl(control, SIOCGIFBR, arguments), EEXIST);
	MUST(named(SIOCBRADDBR, "new"));
	arguments[0] = BRCTL_GET_BRIDGES;
	arguments[1] = (unsigned long)indices;
	arguments[2] = 4;
	CHECK_EQ(ioctl(control, SIOCGIFBR, arguments), 2);
	CHECK_EQ(indices[0], (int)if_nametoindex("old"));
	CHECK_EQ(indices[1], (int)if_nametoindex("new"));
	arguments[2] = 1;
	CHECK_EQ(ioctl(control, SIOCGIFBR, arguments), 1);
	arguments[2] = 0;
	CHECK_EQ(ioctl(control, SIOCGIFBR, arguments), 0);
	arguments[2] = 2048;
	CHECK_ERRNO(ioctl(control, SIOCGIFBR, arguments), ENOMEM);
	arguments[2] = 4;
	arguments[1] = (unsigned long)bad_address();
	CHECK_ERRNO(ioctl(control, SIOCGIFBR, arguments), EFAULT);
	arguments[0] = BRCTL_DEL_BRIDGE;
	CHECK_ERRNO(ioctl(control, SIOCSIFBR, arguments), EFAULT);
	arguments[1] = (unsigned long)name;
	CHECK_OK(ioctl(control, SIOCSIFBR, arguments));
	CHECK_ERRNO(ioctl(control, SIOCSIFBR, arguments), ENXIO);
	arguments[0] = 0x13371337;
	CHECK_ERRNO(ioctl(control, SIOCGIFBR, arguments), EOPNOTSUPP);
	CHECK_ERRNO(ioctl(control, SIOCGIFBR, bad_address()), EFAULT);
}

TEST(who_may)
{
	unsigned long arguments[3] = {BRCTL_GET_VERSION};
	char name[IFNAMSIZ] = "old";

	enter();
	MUST(named(SIOCBRADDBR, "one"));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
	CHECK_ERRNO(named(SIOCBRADDBR, "two"), EPERM);
	CHECK_ERRNO(ioctl(control, SIOCBRADDBR, bad_address()), EPERM);
	CHECK_ERRNO(named(SIOCBRDELBR, "one"), EPERM);
	CHECK_ERRNO(port(SIOCBRADDIF, "none", 1), EPERM);
	CHECK_EQ(ioctl(control, SIOCGIFBR, arguments), BRCTL_VERSION);
	arguments[0] = BRCTL_ADD_BRIDGE;
	arguments[1] = (unsigned long)name;
	CHECK_ERRNO(ioctl(control, SIOCSIFBR, arguments), EPERM);
}
