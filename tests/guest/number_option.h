/* Options of sockets that are one number. */
#ifndef NUMBER_OPTION_H
#define NUMBER_OPTION_H

#include "check.h"

#include <sys/socket.h>

CHECK_API int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

CHECK_API int get_option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof value;

	MUST(getsockopt(fd, level, name, &value, &length));
	return value;
}

#endif
