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

static int end_of(pid_t child)
{
	int status;

	MUST(waitpid(child, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(who_waits_is_sent_away)
{
	pid_t readers[2], writers[2];

	/* By the choice of another as of the same. */
	for (int number = 0; number <= N_NULL; number += N_NULL) {
		open_terminal();
		for (int at = 0; at < 2; at++) {
			readers[at] = (pid_t)MUST(fork());
			if (readers[at] == 0)
				_exit(read(slave, seen, sizeof(seen)) == -1 ? errno : 0);
		}
		usleep(20000);
		CHECK_EQ(choose(slave, number), 0);
		CHECK_EQ(end_of(readers[0]), EAGAIN);
		CHECK_EQ(end_of(readers[1]), EAGAIN);
		MUST(choose(slave, 0));
		MUST(ioctl(slave, TCXONC, TCOOFF));
		for (int at = 0; at < 2; at++) {
			writers[at] = (pid_t)MUST(fork());
			if (writers[at] == 0)
				_exit(write(slave, "word", 4) == -1 ? errno : 0);
		}
		usleep(20000);
		CHECK_EQ(choose(slave, number), 0);
		CHECK_EQ(end_of(writers[0]), EAGAIN);
		CHECK_EQ(end_of(writers[1]), EAGAIN);
		MUST(choose(slave, 0));
		MUST(ioctl(slave, TCXONC, TCOON));
		close(master);
		close(slave);
	}
}

TEST(who_has_written_a_part_is_told_of_that)
{
	static char many[1 << 16];
	int ends[2], count;
	pid_t child;

	open_terminal();
	MUST(pipe(ends));
	memset(many, 'x', sizeof(many));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		count = (int)write(slave, many, sizeof(many));
		MUST(write(ends[1], &count, sizeof(count)));
		_exit(0);
	}
	usleep(50000);
	CHECK_EQ(choose(slave, 0), 0);
	CHECK_EQ(end_of(child), 0);
	MUST(read(ends[0], &count, sizeof(count)));
	CHECK(count > 0 && count < (int)sizeof(many));
}
