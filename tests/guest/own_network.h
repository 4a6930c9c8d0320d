/* A network of the test's own, in which there's only the loopback. */
#ifndef OWN_NETWORK_H
#define OWN_NETWORK_H

#include "check.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

CHECK_API void enter(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	MUST(unshare(CLONE_NEWNET));
	fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
	MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
}

#endif
