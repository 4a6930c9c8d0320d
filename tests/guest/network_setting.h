/* The files of /proc/sys/net, by their names there. */
#ifndef NETWORK_SETTING_H
#define NETWORK_SETTING_H

#include "check.h"

#define NET "/proc/sys/net/"

CHECK_API int set(const char *name, const char *value)
{
	char path[128];
	int fd, result;

	snprintf(path, sizeof(path), NET "%s", name);
	fd = open(path, O_WRONLY);
	if (fd == -1)
		return -1;
	result = write(fd, value, strlen(value)) == (ssize_t)strlen(value) ? 0 : -1;
	close(fd);
	return result;
}

/* What is in a file, without the newline. */
CHECK_API const char *shown(const char *name)
{
	static char text[4096];
	char path[128];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), NET "%s", name);
	fd = (int)MUST(open(path, O_RDONLY));
	length = MUST(read(fd, text, sizeof(text) - 1));
	close(fd);
	text[length > 0 ? length - 1 : 0] = 0;
	return text;
}

#endif
