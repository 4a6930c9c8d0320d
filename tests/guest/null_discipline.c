/* Line disciplines of terminals: TIOCSETD, and N_NULL, which lets nothing through (ioctl_tty(2)). */
#include "pseudo_terminal.h"

#include <poll.h>

#ifndef N_NULL
#define N_NULL 27
#endif

static int choose(int terminal, int number)
{
	return ioctl(terminal, TIOCSETD, &number);
}

static int discipline_of(int terminal)
{
	int number = -1;

	MUST(ioctl(terminal, TIOCGETD, &number));
	return number;
}

TEST(which_there_are)
{
	open_terminal();
	CHECK_EQ(discipline_of(slave), 0);
	CHECK_EQ(choose(slave, 0), 0);
	CHECK_ERRNO(choose(slave, -1), EINVAL);
	CHECK_ERRNO(choose(slave, 1 << 20), EINVAL);
	CHECK_ERRNO(choose(slave, N_NULL + 4), EINVAL);
	CHECK_ERRNO(ioctl(slave, TIOCSETD, NULL), EFAULT);
	CHECK_EQ(choose(slave, N_NULL), 0);
	CHECK_EQ(discipline_of(slave), N_NULL);
	CHECK_EQ(discipline_of(master), 0);
	CHECK_EQ(choose(slave, N_NULL), 0);
	CHECK_EQ(choose(slave, 0), 0);
	CHECK_EQ(discipline_of(slave), 0);
}

TEST(nothing_is_read_or_written)
{
	struct pollfd poller = {.events = POLLIN | POLLOUT};

	open_terminal();
	poller.fd = slave;
	MUST(choose(slave, N_NULL));
	CHECK_ERRNO(read(slave, seen, 10), EOPNOTSUPP);
	CHECK_ERRNO(read(slave, seen, 0), EOPNOTSUPP);
	CHECK_ERRNO(write(slave, "word", 4), EOPNOTSUPP);
	CHECK_ERRNO(write(slave, "", 0), EOPNOTSUPP);
	CHECK_EQ(poll(&poller, 1, 0), 0);
	CHECK_EQ(poller.revents, 0);
}

TEST(requests_of_lines)
{
	static const unsigned long requests[] = {TCGETS, TCSETS, TCSETSW, TCSETSF, TCGETA, TCSETA, FIONREAD, TIOCOUTQ,
		TIOCGLCKTRMIOS, TIOCGSOFTCAR, TIOCSSOFTCAR, TIOCPKT, TIOCGPTN, 0x5499};
	char window[8];

	open_terminal();
	MUST(choose(slave, N_NULL));
	for (size_t at = 0; at < LENGTH(requests); at++)
		CHECK_ERRNO(ioctl(slave, requests[at], seen), EINVAL);
	CHECK_ERRNO(ioctl(slave, TCFLSH, TCIFLUSH), EINVAL);
	CHECK_ERRNO(ioctl(slave, TCXONC, TCOOFF), EINVAL);
	CHECK_EQ(ioctl(slave, TCSBRK, 0), 0);
	CHECK_EQ(ioctl(slave, TIOCGWINSZ, window), 0);
	CHECK_EQ(ioctl(slave, TIOCEXCL), 0);
	CHECK_EQ(ioctl(slave, TIOCNXCL), 0);
	CHECK_EQ(ioctl(master, TCGETS, seen), 0);
}

TEST(what_comes_meanwhile_waits)
{
	struct termios modes;

	open_terminal();
	MUST(write(master, "lost\n", 5));
	usleep(50000);
	MUST(choose(slave, N_NULL));
	CHECK_EQ(write(master, "kept\n", 5), 5);
	MUST(choose(slave, 0));
	CHECK_EQ(read(slave, seen, sizeof(seen)), 5);
	CHECK(memcmp(seen, "kept\n", 5) == 0);
	MUST(tcgetattr(slave, &modes));
	CHECK_EQ(modes.c_line, 0);
	CHECK(modes.c_lflag & ICANON);
}

TEST(a_master_may_have_it)
{
	open_terminal();
	CHECK_EQ(choose(master, N_NULL), 0);
	CHECK_EQ(discipline_of(slave), 0);
	CHECK_EQ(write(slave, "word\n", 5), 5);
	CHECK_ERRNO(read(master, seen, 10), EOPNOTSUPP);
	CHECK_ERRNO(write(master, "word", 4), EOPNOTSUPP);
	MUST(choose(master, 0));
	CHECK_EQ(read(master, seen, sizeof(seen)), 6);
}
