/* Random modes, typing and printing on pseudo-terminals, and what comes out of both ends: random_typing FIRST END
 *
 * Nothing waits, and so every run of a seed prints the same.
 */
#define _GNU_SOURCE
#include "chance.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define STEPS 60
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const tcflag_t input_modes[] = {
	IGNBRK, BRKINT, IGNPAR, PARMRK, INPCK, ISTRIP, INLCR, IGNCR, ICRNL, IUCLC, IXON, IXANY, IXOFF, IMAXBEL, IUTF8,
};
static const tcflag_t output_modes[] = {OPOST, OLCUC, ONLCR, OCRNL, ONOCR, ONLRET, OFILL, TAB3};
static const tcflag_t local_modes[] = {
	ISIG, ICANON, ECHO, ECHOE, ECHOK, ECHONL, NOFLSH, TOSTOP, ECHOCTL, ECHOPRT, ECHOKE, IEXTEN,
};
/* Letters, parts of UTF-8, and every special character. */
static const unsigned char keys[] = {
	'a', 'b', ' ', '\t', '\n', '\r', 3, 4, 4, 127, 8, 21, 23, 18, 22, 17, 19, 26, 28, 15, 0xff, 0, 'A', '_',
	'-', 27, 0xc3, 0xa9, 0xe2, 0x82, 0xac, 'x', 'y', 'z', ' ',
};

/* Linux hands on what is written to one end by a worker of its own. */
static void settle(void)
{
	struct timespec moment = {0, 3000000};

	nanosleep(&moment, NULL);
}

static void show(const char *what, const unsigned char *bytes, ssize_t count)
{
	printf("%s %zd", what, count < 0 ? -(ssize_t)errno : count);
	for (ssize_t index = 0; index < count; index++)
		printf(" %02x", bytes[index]);
	puts("");
}

static size_t type(unsigned char *bytes, size_t count)
{
	for (size_t index = 0; index < count; index++)
		bytes[index] = (unsigned char)(chance(6) ? keys[chance(COUNT(keys))] : chance(256));
	return count;
}

static tcflag_t changed(tcflag_t modes, const tcflag_t *changeable, size_t count, unsigned int rarity)
{
	for (size_t index = 0; index < count; index++) {
		if (chance(rarity) == 0)
			modes ^= changeable[index];
	}
	return modes;
}

static void change_modes(int terminal, const struct termios *usual)
{
	struct termios modes = *usual;
	int when = chance(3) ? TCSANOW : TCSAFLUSH;

	modes.c_iflag = changed(modes.c_iflag, input_modes, COUNT(input_modes), 3);
	modes.c_oflag = changed(modes.c_oflag, output_modes, COUNT(output_modes), 3);
	modes.c_lflag = changed(modes.c_lflag, local_modes, COUNT(local_modes), 4);
	modes.c_cc[VMIN] = (cc_t)(chance(3) ? 1 : chance(6));
	modes.c_cc[VTIME] = 0;
	modes.c_cc[VEOL] = chance(4) ? 0 : 'x';
	modes.c_cc[VEOL2] = chance(5) ? 0 : 'y';
	tcsetattr(terminal, when, &modes);
	printf("modes %x %x %x, %d\n", modes.c_iflag, modes.c_oflag, modes.c_lflag, when);
}

static void ask_or_order(int master, int terminal)
{
	struct pollfd ends[] = {{master, POLLIN | POLLOUT, 0}, {terminal, POLLIN | POLLOUT, 0}};
	int value = -1;

	switch (chance(5)) {
	case 0:
		ioctl(terminal, FIONREAD, &value);
		printf("to read %d\n", value);
		break;
	case 1:
		ioctl(terminal, TIOCOUTQ, &value);
		printf("to leave %d\n", value);
		break;
	case 2:
		value = (int)chance(4);
		tcflow(terminal, value);
		printf("flow %d\n", value);
		break;
	case 3:
		value = (int)chance(3);
		tcflush(terminal, value);
		printf("flush %d\n", value);
		break;
	default:
		poll(ends, 2, 0);
		printf("poll %x %x\n", ends[0].revents, ends[1].revents);
	}
}

static void use_terminal(void)
{
	unsigned char bytes[400];
	struct termios usual;
	char name[64];
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK), terminal;

	if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof(name)))
		exit(2);
	terminal = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK);
	tcgetattr(terminal, &usual);
	for (int step = 0; step < STEPS; step++) {
		unsigned int what = chance(12);

		if (what < 2)
			change_modes(terminal, &usual);
		else if (what < 6)
			show("typed", bytes, write(master, bytes, type(bytes, 1 + chance(chance(5) ? 12 : 200))));
		else if (what < 8)
			show("read", bytes, read(terminal, bytes, 1 + chance(chance(3) ? 40 : 200)));
		else if (what < 10)
			show("seen", bytes, read(master, bytes, 300));
		else if (what < 11)
			show("printed", bytes, write(terminal, bytes, type(bytes, 1 + chance(20))));
		else
			ask_or_order(master, terminal);
		settle();
	}
	close(terminal);
	show("left", bytes, read(master, bytes, sizeof(bytes)));
	close(master);
}

int main(int argc, char **argv)
{
	for (int seed = atoi(argv[1]); argc > 2 && seed < atoi(argv[2]); seed++) {
		printf("seed %d\n", seed);
		start_with(seed);
		use_terminal();
	}
	return 0;
}
