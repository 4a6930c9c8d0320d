/* Terminals as devices: pseudo-terminals and devpts, what closing one end does, ioctl_tty(2), pty(7). */
#include "pseudo_terminal.h"

#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

static char *slave_name(void)
{
	return ptsname(master);
}

TEST(a_slave_is_a_device_in_devpts)
{
	struct stat status;
	struct statfs system;
	int number = -1;
	char name[40];

	open_terminal();
	CHECK_EQ(ioctl(master, TIOCGPTN, &number), 0);
	CHECK(number >= 0);
	snprintf(name, sizeof(name), "/dev/pts/%d", number);
	CHECK_STRING(slave_name(), name);
	CHECK_EQ(fstat(slave, &status), 0);
	CHECK(S_ISCHR(status.st_mode));
	CHECK_EQ(status.st_blksize, 1024);
	CHECK_EQ(major(status.st_rdev), 136);
	CHECK_EQ(minor(status.st_rdev), number);
	CHECK_EQ(status.st_uid, geteuid());
	CHECK_EQ(status.st_nlink, 1);
	CHECK_EQ(fstatfs(slave, &system), 0);
	CHECK_EQ(system.f_type, 0x1cd1);
	CHECK_EQ(fstat(master, &status), 0);
	CHECK_EQ(major(status.st_rdev), 5);
	CHECK_EQ(minor(status.st_rdev), 2);
	CHECK_STRING(ttyname(slave), name);
	CHECK_EQ(ioctl(slave, TIOCGDEV, &number), 0);
	CHECK_EQ(number & 0xfff00, 136 << 8);
	CHECK_EQ(ioctl(master, TIOCGDEV, &number), 0);
	CHECK_EQ(number & 0xfff00, 136 << 8);
}

TEST(numbers_are_given_anew)
{
	int first = -1, second = -1, again = -1, other;

	master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
	other = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
	MUST(ioctl(master, TIOCGPTN, &first));
	MUST(ioctl(other, TIOCGPTN, &second));
	CHECK(first != second);
	MUST(close(master));
	master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
	MUST(ioctl(master, TIOCGPTN, &again));
	CHECK_EQ(again, first);
}

TEST(a_slave_is_locked_at_first)
{
	int locked = -1, off = 0, on = 1;

	master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
	CHECK_EQ(ioctl(master, TIOCGPTLCK, &locked), 0);
	CHECK_EQ(locked, 1);
	CHECK_ERRNO(open(slave_name(), O_RDWR | O_NOCTTY), EIO);
	CHECK_ERRNO(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY), EIO);
	CHECK_EQ(ioctl(master, TIOCSPTLCK, &off), 0);
	CHECK_EQ(ioctl(master, TIOCGPTLCK, &locked), 0);
	CHECK_EQ(locked, 0);
	slave = (int)CHECK_OK(open(slave_name(), O_RDWR | O_NOCTTY));
	CHECK_EQ(ioctl(master, TIOCSPTLCK, &on), 0);
	CHECK_ERRNO(open(slave_name(), O_RDWR | O_NOCTTY), EIO);
	CHECK_ERRNO(write(slave, "x", 1), EIO);
	CHECK_EQ(ioctl(master, TIOCSPTLCK, &off), 0);
	CHECK_ERRNO(read(slave, seen, 1), EIO);
	CHECK_OK(open(slave_name(), O_RDWR | O_NOCTTY));
	CHECK_EQ(write(slave, "x", 1), 1);
	CHECK_ERRNO(ioctl(slave, TIOCSPTLCK, &off), ENOTTY);
	CHECK_ERRNO(ioctl(slave, TIOCGPTN, &off), ENOTTY);
	CHECK_ERRNO(ioctl(master, TIOCGPTN, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(master, TIOCSPTLCK, bad_address()), EFAULT);
}

TEST(a_slave_can_be_opened_without_its_name)
{
	int peer;

	open_terminal();
	peer = (int)CHECK_OK(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
	CHECK_EQ(fcntl(peer, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(peer, "hello", 5), 5);
	SHOWS("hello");
	CHECK_STRING(ttyname(peer), slave_name());
	CHECK_ERRNO(ioctl(slave, TIOCGPTPEER, O_RDWR), EIO);
	peer = (int)CHECK_OK(ioctl(master, TIOCGPTPEER, O_RDONLY | O_NOCTTY));
	CHECK_ERRNO(write(peer, "x", 1), EBADF);
	CHECK_ERRNO(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_DIRECT), EINVAL);
	peer = (int)CHECK_OK(ioctl(master, TIOCGPTPEER, O_PATH));
	CHECK_EQ(fcntl(peer, F_GETFL), O_PATH);
	MUST(close(peer));
	/* Of a place all that was said is kept, even what says nothing. */
	peer = (int)CHECK_OK(ioctl(master, TIOCGPTPEER, O_PATH | O_RDWR | O_NONBLOCK | O_NOCTTY));
	CHECK_EQ(fcntl(peer, F_GETFL), O_PATH | O_RDWR | O_NONBLOCK | O_NOCTTY);
	CHECK_ERRNO(write(peer, "x", 1), EBADF);
	/* What open(2) takes out of the flags is still there. */
	peer = (int)CHECK_OK(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
	CHECK_EQ(fcntl(peer, F_GETFL), O_RDWR | O_CLOEXEC);
}

TEST(a_master_reads_nothing_before_the_slave_is_opened)
{
	master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
	make_non_blocking(master);
	CHECK_EQ(events_of(master), POLLOUT | POLLWRNORM);
	CHECK_ERRNO(read(master, seen, 1), EAGAIN);
	MUST(unlockpt(master));
	CHECK_EQ(write(master, "early\n", 6), 6);
	slave = (int)MUST(open(slave_name(), O_RDWR | O_NOCTTY));
	READS("early\n");
}

TEST(a_master_reads_what_is_left_after_the_slave_is_closed)
{
	open_terminal();
	MUST(write(slave, "bye\n", 4));
	MUST(close(slave));
	CHECK_EQ(events_of(master), POLLIN | POLLOUT | POLLHUP | POLLRDNORM | POLLWRNORM);
	CHECK_EQ(read(master, seen, sizeof(seen)), 5);
	CHECK_ERRNO(read(master, seen, sizeof(seen)), EIO);
	CHECK_EQ(events_of(master), POLLOUT | POLLHUP | POLLWRNORM);
	CHECK_EQ(write(master, "kept\n", 5), 5);
	slave = (int)CHECK_OK(open(slave_name(), O_RDWR | O_NOCTTY));
	CHECK_EQ(events_of(master) & POLLHUP, 0);
	READS("kept\n");
	SHOWS("kept\r\n");
}

TEST(a_master_that_waits_is_woken_by_the_last_close)
{
	int second;
	pid_t child;

	open_terminal();
	second = (int)MUST(open(slave_name(), O_RDWR | O_NOCTTY));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(close(slave));
		sleep_ms(50);
		MUST(close(second));
		_exit(0);
	}
	MUST(close(slave));
	MUST(close(second));
	CHECK_ERRNO(read(master, seen, sizeof(seen)), EIO);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(a_slave_is_hung_up_when_its_master_is_closed)
{
	struct stat status;
	int number = 0;
	char name[40];

	open_terminal();
	strcpy(name, slave_name());
	type("unread\n");
	CHECK_EQ(await_waiting(slave, 7), 7);
	MUST(close(master));
	CHECK_EQ(events_of(slave), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 0);
	CHECK_ERRNO(write(slave, "x", 1), EIO);
	CHECK_ERRNO(ioctl(slave, FIONREAD, &number), EIO);
	CHECK_ERRNO(ioctl(slave, TIOCGPGRP, &number), EIO);
	CHECK_ERRNO(ioctl(slave, TIOCSPGRP, &number), ENOTTY);
	CHECK_ERRNO(ioctl(slave, TCGETS, seen), EIO);
	CHECK_ERRNO(ioctl(slave, TIOCNXCL), EIO);
	CHECK_EQ(isatty(slave), 0);
	CHECK_EQ(fstat(slave, &status), 0);
	CHECK_EQ(status.st_nlink, 0);
	CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), ENOENT);
	CHECK_ERRNO(stat(name, &status), ENOENT);
}

TEST(a_reader_is_told_when_the_master_is_closed)
{
	pid_t child;

	open_terminal();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(close(master));
		CHECK_ERRNO(read(slave, seen, sizeof(seen)), EIO);
		CHECK_EQ(read(slave, seen, sizeof(seen)), 0);
		_exit(0);
	}
	MUST(close(slave));
	sleep_ms(50);
	MUST(close(master));
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(a_writer_is_told_when_the_master_is_closed)
{
	static char many[60000];
	pid_t child;

	open_terminal();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		ssize_t got;

		MUST(close(master));
		got = write(slave, many, sizeof(many));
		CHECK(got > 0 && got < (ssize_t)sizeof(many));
		CHECK_ERRNO(write(slave, "x", 1), EIO);
		_exit(0);
	}
	MUST(close(slave));
	sleep_ms(50);
	MUST(close(master));
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(input_outlives_the_slaves_files)
{
	open_terminal();
	type("kept\n");
	CHECK_EQ(await_waiting(slave, 5), 5);
	change_local(ECHOCTL, 0);
	MUST(close(slave));
	slave = (int)MUST(open(slave_name(), O_RDWR | O_NOCTTY));
	READS("kept\n");
	CHECK_EQ(modes_of(slave).c_lflag & ECHOCTL, 0);
}

TEST(packets_tell_what_happens)
{
	int on = 1, off = 0, is_on = -1;

	open_terminal();
	CHECK_EQ(ioctl(master, TIOCPKT, &on), 0);
	CHECK_EQ(ioctl(master, TIOCGPKT, &is_on), 0);
	CHECK_EQ(is_on, 1);
	CHECK_EQ(events_of(master), POLLOUT | POLLWRNORM);
	MUST(write(slave, "abc", 3));
	CHECK_EQ(has_events(master, POLLIN, PATIENCE_MS), POLLIN);
	CHECK_EQ(read(master, seen, sizeof(seen)), 4);
	CHECK_EQ(memcmp(seen, "\0abc", 4), 0);
	MUST(write(slave, "abc", 3));
	CHECK_EQ(has_events(master, POLLIN, PATIENCE_MS), POLLIN);
	CHECK_EQ(read(master, seen, 3), 3);
	CHECK_EQ(memcmp(seen, "\0ab", 3), 0);
	CHECK_EQ(read(master, seen, 3), 2);
	CHECK_EQ(memcmp(seen, "\0c", 2), 0);
	CHECK_EQ(tcflush(slave, TCIFLUSH), 0);
	CHECK_EQ(events_of(master), POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM);
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK_EQ(seen[0], TIOCPKT_FLUSHREAD);
	CHECK_EQ(tcflush(slave, TCIOFLUSH), 0);
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK_EQ(seen[0], TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE);
	CHECK_EQ(tcflow(slave, TCOOFF), 0);
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK_EQ(seen[0], TIOCPKT_STOP);
	CHECK_EQ(tcflow(slave, TCOON), 0);
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK_EQ(seen[0], TIOCPKT_START);
	change_input(IXON, 0);
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK_EQ(seen[0], TIOCPKT_NOSTOP);
	change_input(0, IXON);
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK_EQ(seen[0], TIOCPKT_DOSTOP);
	set_character(VSTOP, 'p');
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK_EQ(seen[0], TIOCPKT_NOSTOP);
	change_local(0, EXTPROC);
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK_EQ(seen[0], TIOCPKT_IOCTL);
	change_local(EXTPROC, 0);
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK_EQ(seen[0], TIOCPKT_IOCTL);
	make_non_blocking(master);
	CHECK_ERRNO(read(master, seen, sizeof(seen)), EAGAIN);
	type("\003");
	CHECK_EQ(has_events(master, POLLPRI, PATIENCE_MS), POLLPRI);
	CHECK_EQ(read(master, seen, sizeof(seen)), 1);
	CHECK(seen[0] & TIOCPKT_FLUSHREAD);
	CHECK_EQ(ioctl(master, TIOCPKT, &off), 0);
	all_from(master, 2);
	MUST(write(slave, "abc", 3));
	SHOWS("abc");
	CHECK_ERRNO(ioctl(slave, TIOCPKT, &on), ENOTTY);
	CHECK_ERRNO(ioctl(master, TIOCPKT, bad_address()), EFAULT);
}

TEST(the_window_has_a_size)
{
	struct winsize size = {1, 2, 3, 4}, other = {24, 80, 640, 480};

	open_terminal();
	CHECK_EQ(ioctl(slave, TIOCGWINSZ, &size), 0);
	CHECK_EQ(size.ws_row, 0);
	CHECK_EQ(size.ws_col, 0);
	CHECK_EQ(ioctl(master, TIOCSWINSZ, &other), 0);
	CHECK_EQ(ioctl(slave, TIOCGWINSZ, &size), 0);
	CHECK_EQ(memcmp(&size, &other, sizeof(size)), 0);
	other.ws_row = 25;
	CHECK_EQ(ioctl(slave, TIOCSWINSZ, &other), 0);
	CHECK_EQ(ioctl(master, TIOCGWINSZ, &size), 0);
	CHECK_EQ(size.ws_row, 25);
	CHECK_ERRNO(ioctl(slave, TIOCGWINSZ, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(slave, TIOCSWINSZ, bad_address()), EFAULT);
}

TEST(a_terminal_may_be_exclusive)
{
	int is_exclusive = -1, other;

	open_terminal();
	CHECK_EQ(ioctl(slave, TIOCGEXCL, &is_exclusive), 0);
	CHECK_EQ(is_exclusive, 0);
	CHECK_EQ(ioctl(slave, TIOCEXCL), 0);
	CHECK_EQ(ioctl(slave, TIOCGEXCL, &is_exclusive), 0);
	CHECK_EQ(is_exclusive, 1);
	if (geteuid() == 0) {
		other = (int)MUST(open(slave_name(), O_RDWR | O_NOCTTY));
		MUST(close(other));
		MUST(chmod(slave_name(), 0666));
		drop_root();
	}
	CHECK_ERRNO(open(slave_name(), O_RDWR | O_NOCTTY), EBUSY);
	CHECK_EQ(ioctl(slave, TIOCNXCL), 0);
	CHECK_OK(open(slave_name(), O_RDWR | O_NOCTTY));
}

TEST(requests_that_pseudo_terminals_do_not_know)
{
	int number = 5;

	open_terminal();
	CHECK_ERRNO(ioctl(slave, TIOCMGET, &number), ENOTTY);
	CHECK_ERRNO(ioctl(slave, TIOCGSERIAL, seen), ENOTTY);
	CHECK_ERRNO(ioctl(slave, TIOCGSERIAL, bad_address()), ENOTTY);
	CHECK_ERRNO(ioctl(slave, TIOCSSERIAL, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(slave, TIOCGICOUNT, seen), ENOTTY);
	CHECK_ERRNO(ioctl(slave, TIOCLINUX, seen), ENOTTY);
	CHECK_ERRNO(ioctl(slave, 0x5499, seen), ENOTTY);
	CHECK_ERRNO(ioctl(slave, FIOQSIZE, seen), ENOTTY);
	CHECK_ERRNO(ioctl(slave, TIOCSIG, SIGINT), ENOTTY);
	CHECK_ERRNO(ioctl(master, TIOCSIG, SIGKILL), EINVAL);
	CHECK_EQ(ioctl(master, TIOCSIG, SIGINT), 0);
	CHECK_ERRNO(ioctl(slave, TIOCSETD, &number), EINVAL);
	CHECK_EQ(ioctl(slave, TIOCGETD, &number), 0);
	CHECK_EQ(number, 0);
	CHECK_EQ(ioctl(slave, TIOCSETD, &number), 0);
	CHECK_EQ(tcsendbreak(slave, 0), 0);
	CHECK_EQ(tcdrain(slave), 0);
	CHECK_EQ(ioctl(slave, TIOCSBRK), 0);
	CHECK_EQ(ioctl(slave, TIOCCBRK), 0);
	number = -1;
	CHECK_EQ(ioctl(slave, TIOCOUTQ, &number), 0);
	CHECK_EQ(number, 0);
	CHECK_EQ(ioctl(slave, TIOCGSOFTCAR, &number), 0);
	CHECK_EQ(number, 0);
	number = 1;
	CHECK_EQ(ioctl(slave, TIOCSSOFTCAR, &number), 0);
	CHECK_EQ(modes_of(slave).c_cflag & CLOCAL, CLOCAL);
}

TEST(a_terminal_is_no_file_with_a_position)
{
	open_terminal();
	CHECK_ERRNO(lseek(slave, 0, SEEK_SET), ESPIPE);
	CHECK_ERRNO(pread(slave, seen, 1, 0), ESPIPE);
	CHECK_ERRNO(pwrite(slave, seen, 1, 0), ESPIPE);
	CHECK_ERRNO(ftruncate(slave, 0), EINVAL);
	CHECK_ERRNO(fsync(slave), EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, slave, 0) == MAP_FAILED);
	CHECK_EQ(errno, ENODEV);
}

TEST(modes_can_be_locked)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2] = {{0}, {1U << (CAP_CHECKPOINT_RESTORE - 32), 1U << (CAP_CHECKPOINT_RESTORE - 32), 0}};
	struct termios modes, locked;

	open_terminal();
	if (geteuid() != 0)
		return;
	memset(&locked, 0, sizeof(locked));
	locked.c_lflag = ECHO;
	locked.c_cc[VINTR] = 1;
	CHECK_EQ(ioctl(slave, TIOCSLCKTRMIOS, &locked), 0);
	memset(&locked, 0xff, sizeof(locked));
	CHECK_EQ(ioctl(slave, TIOCGLCKTRMIOS, &locked), 0);
	CHECK_EQ(locked.c_lflag, ECHO);
	modes = modes_of(slave);
	modes.c_lflag &= ~(tcflag_t)(ECHO | ECHOE);
	modes.c_cc[VINTR] = 'i';
	modes.c_cc[VQUIT] = 'q';
	CHECK_EQ(tcsetattr(slave, TCSANOW, &modes), 0);
	modes = modes_of(slave);
	CHECK_EQ(modes.c_lflag & (ECHO | ECHOE), ECHO);
	CHECK_EQ(modes.c_cc[VINTR], 3);
	CHECK_EQ(modes.c_cc[VQUIT], 'q');
	/* CAP_CHECKPOINT_RESTORE is enough. */
	MUST(prctl(PR_SET_KEEPCAPS, 1));
	drop_root();
	MUST(syscall(SYS_capset, &header, sets));
	CHECK_OK(ioctl(slave, TIOCSLCKTRMIOS, &locked));
	sets[1].effective = 0;
	MUST(syscall(SYS_capset, &header, sets));
	CHECK_ERRNO(ioctl(slave, TIOCSLCKTRMIOS, &locked), EPERM);
}

TEST(a_terminal_can_be_hung_up)
{
	int off = 0, on = 1;

	open_terminal();
	if (geteuid() != 0)
		return;
	change_local(ECHO, 0);
	type("unread\n");
	CHECK_EQ(await_waiting(slave, 7), 7);
	MUST(fcntl(slave, F_SETFL, O_ASYNC));
	CHECK_EQ(ioctl(slave, TIOCVHANGUP), 0);
	/* Nobody is told of readiness any more. */
	CHECK_EQ(fcntl(slave, F_GETFL) & O_ASYNC, 0);
	CHECK_EQ(ioctl(slave, FIOASYNC, &off), 0);
	CHECK_ERRNO(ioctl(slave, FIOASYNC, &on), ENOTTY);
	CHECK_EQ(fcntl(slave, F_SETFL, O_NONBLOCK), 0);
	CHECK_ERRNO(fcntl(slave, F_SETFL, O_ASYNC), ENOTTY);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 0);
	CHECK_ERRNO(write(slave, "x", 1), EIO);
	MUST(close(slave));
	slave = (int)CHECK_OK(open(slave_name(), O_RDWR | O_NOCTTY));
	CHECK_EQ(modes_of(slave).c_lflag & ECHO, ECHO);
	READS_NOTHING();
	type("again\n");
	READS("again\n");
	SHOWS("again\r\n");
	drop_root();
	CHECK_ERRNO(ioctl(slave, TIOCVHANGUP), EPERM);
}

static pid_t in_child(int how, unsigned long request, void *argument)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0 && how == 0)
		_exit(write(slave, "hello", 5) == 5 ? 0 : 1);
	if (child == 0)
		_exit(ioctl(how == 1 ? slave : master, request, argument) == 0 ? 0 : errno);
	sleep_ms(QUIET_MS);
	return child;
}

TEST(modes_and_signs_of_flow_wait_for_who_is_in_the_middle_of_a_write)
{
	static const unsigned long requests[] = {TCSETSW, TCSETSF, TCSETAW, TCSETAF, TCXONC};
	char old[64] = {0};
	pid_t writer, other;

	for (size_t number = 0; number < 2 * LENGTH(requests) - 1; number++) {
		unsigned long request = requests[number % LENGTH(requests)];
		struct termios modes;
		void *argument = &modes;

		open_terminal();
		modes = modes_of(slave);
		MUST(ioctl(slave, TCGETA, old));
		if (request == TCXONC)
			argument = (void *)TCIOFF;
		else if (request == TCSETAW || request == TCSETAF)
			argument = old;
		MUST(ioctl(slave, TCXONC, TCOOFF));
		writer = in_child(0, 0, NULL);
		CHECK_EQ(ioctl(slave, TCSETS, &modes), 0);
		other = in_child(number < LENGTH(requests) ? 1 : 2, request, argument);
		CHECK_EQ(waitpid(other, NULL, WNOHANG), 0);
		/* Of a second one the writer is ended. */
		if (number % 2)
			MUST(kill(writer, SIGKILL));
		else
			MUST(ioctl(slave, TCXONC, TCOON));
		CHECK_EQ(wait_for(other), EXITED(0));
		CHECK_EQ(wait_for(writer), number % 2 ? KILLED(SIGKILL) : EXITED(0));
		MUST(ioctl(slave, TCXONC, TCOON));
		SHOWS(request == TCXONC ? "hello\023" : number % 2 ? "" : "hello");
		MUST(close(slave));
		MUST(close(master));
	}
}

static void ignore_signal(int signal)
{
	(void)signal;
}

/* Linux tries again at once where a signal ends the wait for a writer, but not for signs of flow. */
TEST(no_signal_keeps_modes_that_wait_for_a_writer_from_being_set)
{
	static const struct {
		unsigned long request;
		int signal, flags, waits, status;
	} ways[] = {
		{TCSETSW, SIGUSR1, 0, 1, EXITED(0)},
		{TCSETSF, SIGUSR1, 0, 1, EXITED(0)},
		{TCSETSW, SIGKILL, 0, 1, KILLED(SIGKILL)},
		{TCSETSF, SIGKILL, 0, 1, KILLED(SIGKILL)},
		{TCXONC, SIGUSR1, 0, 0, EXITED(EINTR)},
		{TCXONC, SIGUSR1, SA_RESTART, 1, EXITED(0)},
		{TCXONC, SIGKILL, 0, 0, KILLED(SIGKILL)},
		{TCSBRK, 0, 0, 0, EXITED(0)},
	};

	for (size_t way = 0; way < LENGTH(ways); way++) {
		int sets_modes = ways[way].request == TCSETSW || ways[way].request == TCSETSF;
		struct termios modes;
		pid_t writer, other;
		int status;

		open_terminal();
		modes = modes_of(slave);
		CHECK((modes.c_lflag & ECHO) != 0);
		modes.c_lflag &= ~(tcflag_t)ECHO;
		MUST(ioctl(slave, TCXONC, TCOOFF));
		writer = in_child(0, 0, NULL);
		handle(SIGUSR1, ignore_signal, ways[way].flags);
		other = in_child(1, ways[way].request, sets_modes ? (void *)&modes : (void *)(long)TCIOFF);
		MUST(kill(other, ways[way].signal));
		sleep_ms(QUIET_MS);
		CHECK_EQ(waitpid(other, &status, WNOHANG), ways[way].waits ? 0 : other);
		CHECK_EQ(!!(modes_of(slave).c_lflag & ECHO), 1);
		MUST(ioctl(slave, TCXONC, TCOON));
		if (ways[way].waits)
			status = wait_for(other);
		CHECK_EQ(status, ways[way].status);
		CHECK_EQ(wait_for(writer), EXITED(0));
		CHECK_EQ(!!(modes_of(slave).c_lflag & ECHO), !sets_modes);
		SHOWS(ways[way].request == TCXONC && ways[way].waits ? "hello\023" : "hello");
		MUST(close(slave));
		MUST(close(master));
	}
}

TEST(echo_waits_for_what_is_typed_or_written_next)
{
	pid_t writer;

	open_terminal();
	MUST(ioctl(slave, TCXONC, TCOOFF));
	writer = in_child(0, 0, NULL);
	type("a");
	sleep_ms(QUIET_MS);
	MUST(ioctl(slave, TCXONC, TCOON));
	CHECK_EQ(wait_for(writer), EXITED(0));
	SHOWS("hello");
	CHECK_EQ(write(slave, "b", 1), 1);
	SHOWS("ab");
}

TEST(what_arrives_after_a_hang_up_waits_for_who_opens_it)
{
	open_terminal();
	if (geteuid() != 0)
		return;
	MUST(ioctl(slave, TIOCVHANGUP));
	type("first\n");
	CHECK_EQ(has_events(master, POLLIN, QUIET_MS), 0);
	slave = (int)CHECK_OK(open(slave_name(), O_RDWR | O_NOCTTY));
	READS_NOTHING();
	/* What goes the other way doesn't move it. */
	CHECK_EQ(write(slave, "other", 5), 5);
	SHOWS("other");
	READS_NOTHING();
	type("second\n");
	READS("first\n");
	READS("second\n");
	SHOWS("first\r\nsecond\r\n");
}

TEST(a_hung_up_terminal_needs_a_line_discipline)
{
	struct termios modes;

	open_terminal();
	if (geteuid() != 0)
		return;
	modes = modes_of(master);
	modes.c_line = 5;
	/* While there is one, the number means nothing; a hang-up forgets it. */
	CHECK_OK(ioctl(master, TCSETS, &modes));
	MUST(ioctl(slave, TIOCVHANGUP));
	CHECK_EQ(modes_of(master).c_line, 0);
	CHECK_OK(ioctl(master, TCSETS, &modes));
	CHECK_ERRNO(open(slave_name(), O_RDWR | O_NOCTTY), EINVAL);
	CHECK_ERRNO(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY), EINVAL);
	modes.c_line = 0;
	CHECK_OK(ioctl(master, TCSETS, &modes));
	CHECK_OK(open(slave_name(), O_RDWR | O_NOCTTY));
}

TEST(nodes_elsewhere_lead_to_no_slave)
{
	if (geteuid() != 0)
		return;
	enter_scratch();
	MUST(mknod("slave", S_IFCHR | 0666, makedev(136, 0)));
	CHECK_ERRNO(open("slave", O_RDWR | O_NOCTTY), EIO);
	MUST(mknod("ptmx", S_IFCHR | 0666, makedev(5, 2)));
	CHECK_ERRNO(open("ptmx", O_RDWR | O_NOCTTY), ENOENT);
	MUST(mkdir("pts", 0700));
	CHECK_ERRNO(open("ptmx", O_RDWR | O_NOCTTY), ENODEV);
	MUST(mknod("tty", S_IFCHR | 0666, makedev(5, 0)));
	MUST(setsid() == -1 ? setpgid(0, getppid()) + setsid() : 0);
	CHECK_ERRNO(open("tty", O_RDWR | O_NOCTTY), ENXIO);
}

TEST(an_instance_of_devpts_has_its_own_terminals)
{
	struct stat status;
	int number = -1, other;

	if (geteuid() != 0)
		return;
	enter_scratch();
	MUST(mkdir("pts", 0755));
	if (mount("devpts", "pts", "devpts", 0, "mode=0620,gid=5,ptmxmode=0666,max=2") == -1) {
		CHECK_EQ(errno, EPERM);
		return;
	}
	CHECK_EQ(stat("pts/ptmx", &status), 0);
	CHECK_EQ(status.st_mode, S_IFCHR | 0666);
	master = (int)CHECK_OK(open("pts/ptmx", O_RDWR | O_NOCTTY));
	CHECK_EQ(ioctl(master, TIOCGPTN, &number), 0);
	CHECK_EQ(number, 0);
	CHECK_EQ(stat("pts/0", &status), 0);
	CHECK_EQ(status.st_mode, S_IFCHR | 0620);
	CHECK_EQ(status.st_gid, 5);
	MUST(unlockpt(master));
	slave = (int)CHECK_OK(open("pts/0", O_RDWR | O_NOCTTY));
	other = (int)CHECK_OK(open("pts/ptmx", O_RDWR | O_NOCTTY));
	CHECK_ERRNO(open("pts/ptmx", O_RDWR | O_NOCTTY), ENOSPC);
	MUST(mknod("ptmx", S_IFCHR | 0666, makedev(5, 2)));
	MUST(close(other));
	other = (int)CHECK_OK(open("ptmx", O_RDWR | O_NOCTTY));
	CHECK_EQ(ioctl(other, TIOCGPTN, &number), 0);
	CHECK_EQ(number, 1);
	/* A number is in use as long as either end is open. */
	MUST(close(master));
	CHECK_ERRNO(open("pts/0", O_RDWR | O_NOCTTY), ENOENT);
	CHECK_ERRNO(open("pts/ptmx", O_RDWR | O_NOCTTY), ENOSPC);
	MUST(close(slave));
	master = (int)CHECK_OK(open("pts/ptmx", O_RDWR | O_NOCTTY));
	CHECK_EQ(ioctl(master, TIOCGPTN, &number), 0);
	CHECK_EQ(number, 0);
	CHECK_ERRNO(open("pts/new", O_CREAT | O_RDWR, 0600), EACCES);
	CHECK_ERRNO(unlink("pts/0"), EPERM);
	CHECK_ERRNO(mkdir("pts/sub", 0700), EPERM);
	CHECK_ERRNO(mount("devpts", "pts", "devpts", 0, "nonsense=1"), EINVAL);
	MUST(close(master));
	MUST(close(other));
	CHECK_EQ(umount("pts"), 0);
}

TEST(readiness_is_signalled)
{
	open_terminal();
	block(SIGIO);
	MUST(fcntl(slave, F_SETOWN, getpid()));
	MUST(fcntl(slave, F_SETFL, O_ASYNC));
	type("x\n");
	CHECK_EQ(has_events(slave, POLLIN, PATIENCE_MS), POLLIN);
	CHECK(is_pending(SIGIO));
}

TEST(descriptors_flags_do_not_limit_the_other_end)
{
	int reader, writer;

	open_terminal();
	reader = (int)MUST(open(slave_name(), O_RDONLY | O_NOCTTY));
	writer = (int)MUST(open(slave_name(), O_WRONLY | O_NOCTTY));
	CHECK_ERRNO(write(reader, "x", 1), EBADF);
	CHECK_ERRNO(read(writer, seen, 1), EBADF);
	CHECK_EQ(write(writer, "x", 1), 1);
	SHOWS("x");
	CHECK_EQ(write(writer, "", 0), 0);
}

static void nothing(int signal)
{
	(void)signal;
}

/* A line that is too long is thrown away: no number of bytes fills the terminal, and a signal ends the write. */
TEST(a_signal_ends_a_write_that_never_fills)
{
	struct sigaction action = {.sa_handler = nothing};
	struct itimerval soon = {.it_value = {.tv_usec = 20000}};
	size_t length = (size_t)1 << 30;
	char *bytes = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct termios modes;
	ssize_t written;

	MUST(bytes == MAP_FAILED ? -1 : 0);
	open_terminal();
	MUST(tcgetattr(slave, &modes));
	modes.c_lflag &= ~(tcflag_t)ECHO;
	MUST(tcsetattr(slave, TCSANOW, &modes));
	MUST(sigaction(SIGALRM, &action, NULL));
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	written = write(master, bytes, length);
	CHECK(written > 4096 && (size_t)written < length);
	MUST(munmap(bytes, length));
}

TEST(fdinfo_of_a_master_tells_its_number)
{
	char path[40], text[400], line[40];
	int number = -1;

	open_terminal();
	MUST(ioctl(master, TIOCGPTN, &number));
	snprintf(line, sizeof(line), "\ntty-index:\t%d\n", number);
	/* Nor of one that is hung up. */
	for (int i = 0; i < 3; i++) {
		int file, fd = i == 1 ? slave : master;

		if (i == 2 && ioctl(master, TIOCVHANGUP) == -1)
			break;
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		file = (int)MUST(open(path, O_RDONLY));
		text[MUST(read(file, text, sizeof(text) - 1))] = 0;
		MUST(close(file));
		CHECK_EQ(strstr(text, line) != NULL, i == 0);
	}
}

static volatile sig_atomic_t io_signals;

static void note_io(int signo)
{
	(void)signo;
	io_signals++;
}

TEST(room_is_signalled_to_who_had_none)
{
	char page[4096] = {0};
	int on = 1, before;

	open_terminal();
	MUST(signal(SIGIO, note_io) == SIG_ERR ? -1 : 0);
	MUST(ioctl(slave, FIOASYNC, &on));
	MUST(write(slave, "x", 1));
	CHECK_STRING(all_from(master, 1), "x");
	MUST(ioctl(master, TCFLSH, TCIOFLUSH));
	CHECK_EQ(io_signals, 0);
	MUST(fcntl(slave, F_SETFL, O_NONBLOCK | O_ASYNC));
	while (write(slave, page, sizeof(page)) == sizeof(page))
		;
	before = io_signals;
	while (has_events(master, POLLIN, QUIET_MS) & POLLIN)
		MUST(read(master, seen, sizeof(seen)));
	CHECK(io_signals > before);
	before = io_signals;
	type("line\n");
	CHECK(has_events(slave, POLLIN, PATIENCE_MS) & POLLIN);
	CHECK_EQ(io_signals, before + 1);
}

TEST(who_waits_for_room_isn_t_signalled)
{
	int on = 1;
	pid_t child;

	open_terminal();
	MUST(signal(SIGIO, note_io) == SIG_ERR ? -1 : 0);
	MUST(ioctl(slave, FIOASYNC, &on));
	MUST(ioctl(slave, TCXONC, TCOOFF));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(write(slave, "word", 4) == 4 ? 0 : 1);
	sleep_ms(QUIET_MS);
	MUST(ioctl(slave, TCXONC, TCOON));
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(io_signals, 0);
}

TEST(what_is_hung_up_looks_at_no_bytes)
{
	open_terminal();
	CHECK_ERRNO(ioctl(slave, TIOCSPTLCK, bad_address()), ENOTTY);
	CHECK_ERRNO(ioctl(slave, TIOCPKT, bad_address()), ENOTTY);
	CHECK_ERRNO(write(master, bad_address(), 1), EFAULT);
	if (ioctl(master, TIOCVHANGUP, 0) == -1)
		return;
	CHECK_ERRNO(write(master, bad_address(), 1), EIO);
	CHECK_EQ(write(master, NULL, 0), -1);
	CHECK_EQ(read(master, bad_address(), 1), 0);
}
