/* A pseudo-terminal: what is typed at its master, shown there, and read from its slave. */
#ifndef PSEUDO_TERMINAL_H
#define PSEUDO_TERMINAL_H

#include "check.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#define PATIENCE_MS 5000
#define QUIET_MS 20

static int master = -1, slave = -1;
static char seen[20000];

CHECK_API void open_terminal(void)
{
	master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
	MUST(grantpt(master));
	MUST(unlockpt(master));
	slave = (int)MUST(open(ptsname(master), O_RDWR | O_NOCTTY));
}

CHECK_API int has_events(int fd, short events, int milliseconds)
{
	struct pollfd polled = {.fd = fd, .events = events};

	return (int)MUST(poll(&polled, 1, milliseconds)) ? polled.revents : 0;
}

/* Everything that poll(2) says of a file now. */
CHECK_API int events_of(int fd)
{
	return has_events(fd, POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM, 0);
}

CHECK_API void type(const char *text)
{
	write_all(master, text, strlen(text));
}

CHECK_API void type_bytes(const char *bytes, size_t length)
{
	write_all(master, bytes, length);
}

/* What a file gives until nothing comes any more, at least `expected` bytes if they come at all. */
CHECK_API const char *all_from(int fd, size_t expected)
{
	size_t length = 0;

	while (length < sizeof(seen) - 1 && has_events(fd, POLLIN, length < expected ? PATIENCE_MS : QUIET_MS) & POLLIN) {
		ssize_t got = read(fd, seen + length, sizeof(seen) - 1 - length);

		if (got <= 0)
			break;
		length += (size_t)got;
	}
	seen[length] = '\0';
	return seen;
}

/* What one read gives, once there is something to read. */
CHECK_API const char *one_read(int fd)
{
	ssize_t got = has_events(fd, POLLIN, PATIENCE_MS) & POLLIN ? read(fd, seen, sizeof(seen) - 1) : -1;

	if (got == -1)
		return NULL;
	seen[got] = '\0';
	return seen;
}

/* The terminal shows this, and no more. */
#define SHOWS(text) CHECK_STRING(all_from(master, strlen(text)), text)
/* One read of the slave gives this. */
#define READS(text) CHECK_STRING(one_read(slave), text)
/* There is nothing to be read from the slave. */
#define READS_NOTHING() CHECK_EQ(has_events(slave, POLLIN, QUIET_MS), 0)

CHECK_API int waiting_in(int fd)
{
	int count = -1;

	MUST(ioctl(fd, FIONREAD, &count));
	return count;
}

/* Waits until so many bytes can be read; says how many it were at last. */
CHECK_API int await_waiting(int fd, int count)
{
	for (int patience = PATIENCE_MS; patience > 0 && waiting_in(fd) != count; patience--)
		sleep_ms(1);
	return waiting_in(fd);
}

CHECK_API void make_non_blocking(int fd)
{
	MUST(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

CHECK_API struct termios modes_of(int fd)
{
	struct termios modes;

	MUST(tcgetattr(fd, &modes));
	return modes;
}

CHECK_API void change_local(tcflag_t off, tcflag_t on)
{
	struct termios modes = modes_of(slave);

	modes.c_lflag = (modes.c_lflag & ~off) | on;
	MUST(tcsetattr(slave, TCSANOW, &modes));
}

CHECK_API void change_input(tcflag_t off, tcflag_t on)
{
	struct termios modes = modes_of(slave);

	modes.c_iflag = (modes.c_iflag & ~off) | on;
	MUST(tcsetattr(slave, TCSANOW, &modes));
}

CHECK_API void change_output(tcflag_t off, tcflag_t on)
{
	struct termios modes = modes_of(slave);

	modes.c_oflag = (modes.c_oflag & ~off) | on;
	MUST(tcsetattr(slave, TCSANOW, &modes));
}

CHECK_API void set_character(int name, cc_t character)
{
	struct termios modes = modes_of(slave);

	modes.c_cc[name] = character;
	MUST(tcsetattr(slave, TCSANOW, &modes));
}

/* Bytes as they come: no lines, no echo. */
CHECK_API void make_raw(int minimum, int tenths)
{
	struct termios modes = modes_of(slave);

	cfmakeraw(&modes);
	modes.c_cc[VMIN] = (cc_t)minimum;
	modes.c_cc[VTIME] = (cc_t)tenths;
	MUST(tcsetattr(slave, TCSANOW, &modes));
}

#endif
