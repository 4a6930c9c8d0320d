/* Controlling terminals and job control: credentials(7), tcsetpgrp(3), ioctl_tty(2), setpgid(2), vhangup(2). */
#include "pseudo_terminal.h"

#define HANDLED 32

static int *shared;
static volatile sig_atomic_t taken[HANDLED], codes[HANDLED], senders[HANDLED];

static void note(int signal, siginfo_t *info, void *context)
{
	(void)context;
	taken[signal]++;
	codes[signal] = info->si_code;
	senders[signal] = info->si_pid;
}

static void note_signal(int signal)
{
	handle_info(signal, note, SA_RESTART);
}

/* Waits for a signal that is noted. */
static int comes(int signal)
{
	for (int patience = PATIENCE_MS; patience > 0 && !taken[signal]; patience--)
		sleep_ms(1);
	return taken[signal];
}

static const char *slave_name(void)
{
	return ptsname(master);
}

/* Runs `body` as the leader of a session whose controlling terminal is the slave. Its wait status. */
static int lead(void (*body)(void))
{
	pid_t child;

	if (master == -1) {
		master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
		MUST(unlockpt(master));
	}
	shared = make_shared_page();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setsid());
		slave = (int)MUST(open(slave_name(), O_RDWR));
		body();
		_exit(0);
	}
	return wait_for(child);
}

/* A child in a process group of its own. */
static pid_t fork_group(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		MUST(setpgid(0, 0));
	else if (setpgid(child, child) == -1 && errno != EACCES)
		_exit(119);
	return child;
}

static int has_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR);

	if (fd == -1) {
		CHECK_EQ(errno, ENXIO);
		return 0;
	}
	MUST(close(fd));
	return 1;
}

/* Waits for a child that stops; the signal, 0 if it ended instead. */
static int stops(pid_t child)
{
	int status;

	MUST(waitpid(child, &status, WUNTRACED));
	return WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	wait_for(child);
}

/* Getting a controlling terminal */

static void lead_by_opening(void)
{
	CHECK(has_terminal());
	CHECK_EQ(tcgetpgrp(slave), getpid());
	CHECK_EQ(tcgetsid(slave), getpid());
	CHECK_EQ(tcgetpgrp(master), getpid());
	CHECK_EQ(tcgetsid(master), getpid());
}

TEST(a_session_leader_gets_the_terminal_that_it_opens)
{
	CHECK_EQ(lead(lead_by_opening), 0);
	CHECK_EQ(tcgetpgrp(master), 0);
	CHECK_ERRNO(tcgetsid(master), ENOTTY);
}

TEST(not_every_open_gives_a_controlling_terminal)
{
	pid_t child;

	open_terminal();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int fd, number;

		MUST(setsid());
		CHECK(!has_terminal());
		CHECK_OK(open(slave_name(), O_RDWR | O_NOCTTY));
		CHECK(!has_terminal());
		CHECK_OK(open(slave_name(), O_WRONLY));
		CHECK(!has_terminal());
		CHECK_OK(posix_openpt(O_RDWR));
		CHECK(!has_terminal());
		CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
		CHECK_ERRNO(tcgetsid(slave), ENOTTY);
		CHECK_ERRNO(tcsetpgrp(slave, getpid()), ENOTTY);
		CHECK_EQ(tcgetpgrp(master), 0);
		CHECK_ERRNO(ioctl(slave, TIOCNOTTY), ENOTTY);
		if (fork() == 0) {
			CHECK_OK(open(slave_name(), O_RDWR));
			CHECK(!has_terminal());
			CHECK_ERRNO(ioctl(slave, TIOCSCTTY, 0), EPERM);
			_exit(0);
		}
		wait(NULL);
		fd = (int)CHECK_OK(open(slave_name(), O_RDONLY));
		CHECK(has_terminal());
		CHECK_EQ(tcgetsid(fd), getpid());
		CHECK_ERRNO(ioctl(fd, TIOCGPGRP, bad_address()), EFAULT);
		CHECK_ERRNO(ioctl(fd, TIOCSPGRP, bad_address()), EFAULT);
		CHECK_ERRNO(ioctl(fd, TIOCGSID, bad_address()), EFAULT);
		CHECK_EQ(ioctl(fd, FIONREAD, &number), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), 0);
}

TEST(a_terminal_can_be_asked_for)
{
	pid_t child;

	open_terminal();
	CHECK_ERRNO(ioctl(slave, TIOCSCTTY, 0), EPERM);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int writer = (int)MUST(open(slave_name(), O_WRONLY | O_NOCTTY));
		int second = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));

		MUST(setsid());
		if (geteuid() != 0)
			CHECK_ERRNO(ioctl(writer, TIOCSCTTY, 0), EPERM);
		CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
		CHECK(has_terminal());
		CHECK_EQ(tcgetpgrp(slave), getpid());
		CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
		CHECK_EQ(ioctl(writer, TIOCSCTTY, 0), 0);
		MUST(unlockpt(second));
		CHECK_ERRNO(ioctl(second, TIOCSCTTY, 0), EPERM);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), 0);
}

TEST(a_master_stands_for_its_slave)
{
	pid_t child;

	open_terminal();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setsid());
		CHECK_EQ(ioctl(master, TIOCSCTTY, 0), 0);
		CHECK_EQ(tcgetpgrp(slave), getpid());
		CHECK(has_terminal());
		CHECK_ERRNO(ioctl(master, TIOCNOTTY), ENOTTY);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), 0);
}

static void lead_and_be_robbed(void)
{
	pid_t thief = (pid_t)MUST(fork());

	if (thief == 0) {
		MUST(setsid());
		CHECK_OK(open(slave_name(), O_RDWR));
		CHECK(!has_terminal());
		CHECK_ERRNO(ioctl(slave, TIOCSCTTY, 0), EPERM);
		CHECK_ERRNO(ioctl(slave, TIOCSCTTY, 2), EPERM);
		if (geteuid() == 0)
			CHECK_EQ(ioctl(slave, TIOCSCTTY, 1), 0);
		else
			CHECK_ERRNO(ioctl(slave, TIOCSCTTY, 1), EPERM);
		CHECK_EQ(has_terminal(), geteuid() == 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(thief), 0);
	CHECK_EQ(has_terminal(), geteuid() != 0);
}

TEST(a_terminal_belongs_to_one_session)
{
	CHECK_EQ(lead(lead_and_be_robbed), 0);
}

TEST(children_inherit_the_terminal)
{
	pid_t leader;
	int ends[2];

	open_terminal();
	MUST(pipe(ends));
	leader = (pid_t)MUST(fork());
	if (leader == 0) {
		pid_t early, late;
		char byte;

		MUST(setsid());
		early = (pid_t)MUST(fork());
		if (early == 0) {
			MUST(read(ends[0], &byte, 1));
			/* It was born before its session had a terminal. */
			CHECK(!has_terminal());
			_exit(0);
		}
		MUST(ioctl(slave, TIOCSCTTY, 0));
		MUST(write(ends[1], "x", 1));
		CHECK_EQ(wait_for(early), 0);
		late = (pid_t)MUST(fork());
		if (late == 0) {
			CHECK(has_terminal());
			CHECK_EQ(tcgetsid(slave), getppid());
			CHECK_EQ(ioctl(slave, TIOCNOTTY), 0);
			CHECK(!has_terminal());
			CHECK_ERRNO(ioctl(slave, TIOCNOTTY), ENOTTY);
			_exit(0);
		}
		CHECK_EQ(wait_for(late), 0);
		CHECK(has_terminal());
		late = (pid_t)MUST(fork());
		if (late == 0) {
			MUST(setsid());
			CHECK(!has_terminal());
			_exit(0);
		}
		CHECK_EQ(wait_for(late), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(leader), 0);
}

static void lead_and_give_up(void)
{
	pid_t member;

	note_signal(SIGHUP);
	note_signal(SIGCONT);
	member = (pid_t)MUST(fork());
	if (member == 0) {
		CHECK_EQ(comes(SIGHUP), 1);
		CHECK_EQ(comes(SIGCONT), 1);
		CHECK_EQ(codes[SIGHUP], SI_USER);
		CHECK_EQ(senders[SIGHUP], getppid());
		CHECK(!has_terminal());
		_exit(0);
	}
	CHECK_EQ(ioctl(slave, TIOCNOTTY), 0);
	CHECK_EQ(taken[SIGHUP], 1);
	CHECK_EQ(taken[SIGCONT], 1);
	CHECK(!has_terminal());
	CHECK_EQ(wait_for(member), 0);
	CHECK_EQ(write(slave, "still open", 10), 10);
	CHECK_EQ(tcgetpgrp(master), 0);
	CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
	CHECK(has_terminal());
}

TEST(a_session_gives_its_terminal_up)
{
	CHECK_EQ(lead(lead_and_give_up), 0);
}

static void lead_and_use_dev_tty(void)
{
	struct stat status;
	int fd = (int)CHECK_OK(open("/dev/tty", O_RDWR | O_NONBLOCK));
	int plain = (int)CHECK_OK(open("/dev/tty", O_RDWR));

	CHECK_EQ(write(fd, "out", 3), 3);
	SHOWS("out");
	type("in\n");
	CHECK_STRING(one_read(fd), "in\n");
	CHECK_ERRNO(read(fd, seen, 3), EAGAIN);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_EQ(fcntl(plain, F_GETFL) & O_NONBLOCK, 0);
	CHECK_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_rdev, 5 << 8);
	CHECK_STRING(ttyname(fd), "/dev/tty");
	CHECK_EQ(tcgetpgrp(fd), getpid());
	CHECK_EQ(ioctl(fd, TIOCNOTTY), 0);
	CHECK_EQ(write(fd, "x", 1), 1);
}

TEST(dev_tty_is_the_controlling_terminal)
{
	signal(SIGHUP, SIG_IGN);
	CHECK_EQ(lead(lead_and_use_dev_tty), 0);
}

/* The numbers of the terminal and its foreground group in /proc/self/stat. */
static void stat_fields(int *terminal, int *foreground)
{
	char text[1000], *rest;
	int fd = (int)MUST(open("/proc/self/stat", O_RDONLY));
	ssize_t length = MUST(read(fd, text, sizeof(text) - 1));

	text[length] = '\0';
	rest = strrchr(text, ')');
	if (rest == NULL || sscanf(rest + 1, " %*c %*d %*d %*d %d %d", terminal, foreground) != 2)
		_exit(118);
	MUST(close(fd));
}

static void lead_and_look_in_proc(void)
{
	struct stat status;
	int terminal, foreground;
	pid_t child;

	MUST(fstat(slave, &status));
	stat_fields(&terminal, &foreground);
	CHECK_EQ(terminal, status.st_rdev);
	CHECK_EQ(foreground, getpid());
	child = fork_group();
	if (child == 0) {
		signal(SIGTTOU, SIG_IGN);
		MUST(tcsetpgrp(slave, getpid()));
		stat_fields(&terminal, &foreground);
		CHECK_EQ(foreground, getpid());
		_exit(0);
	}
	CHECK_EQ(wait_for(child), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setsid());
		stat_fields(&terminal, &foreground);
		CHECK_EQ(terminal, 0);
		CHECK_EQ(foreground, -1);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), 0);
}

TEST(proc_tells_the_terminal)
{
	CHECK_EQ(lead(lead_and_look_in_proc), 0);
}

/* Foreground and background */

static void lead_and_choose_the_foreground(void)
{
	pid_t child = fork_group(), stranger;

	if (child == 0) {
		for (;;)
			pause();
	}
	stranger = (pid_t)MUST(fork());
	if (stranger == 0) {
		MUST(setsid());
		shared[0] = 1;
		for (;;)
			pause();
	}
	while (!shared[0])
		sleep_ms(1);
	CHECK_EQ(tcsetpgrp(slave, child), 0);
	CHECK_EQ(tcgetpgrp(slave), child);
	CHECK_EQ(tcgetpgrp(master), child);
	signal(SIGTTOU, SIG_IGN);
	CHECK_ERRNO(tcsetpgrp(slave, stranger), EPERM);
	CHECK_ERRNO(tcsetpgrp(slave, -5), EINVAL);
	CHECK_ERRNO(tcsetpgrp(slave, 4000000), ESRCH);
	CHECK_EQ(tcgetpgrp(slave), child);
	CHECK_EQ(tcsetpgrp(master, getpid()), 0);
	CHECK_EQ(tcgetpgrp(slave), getpid());
	end(child);
	end(stranger);
}

TEST(the_foreground_is_a_group_of_the_session)
{
	CHECK_EQ(lead(lead_and_choose_the_foreground), 0);
}

static void lead_a_process_that_will_be_a_group(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		note_signal(SIGINT);
		while (!shared[0])
			sleep_ms(1);
		MUST(setpgid(0, 0));
		shared[1] = 1;
		CHECK_EQ(comes(SIGINT), 1);
		_exit(0);
	}
	signal(SIGTTOU, SIG_IGN);
	CHECK_EQ(tcsetpgrp(slave, child), 0);
	CHECK_EQ(tcgetpgrp(slave), child);
	shared[0] = 1;
	while (!shared[1])
		sleep_ms(1);
	type("\003");
	CHECK_EQ(wait_for(child), 0);
	CHECK_EQ(tcgetpgrp(slave), child);
}

TEST(a_process_may_be_in_the_foreground_before_its_group_is)
{
	CHECK_EQ(lead(lead_a_process_that_will_be_a_group), 0);
}

static void lead_a_background_reader(void)
{
	pid_t child = fork_group();

	if (child == 0)
		_exit(read(slave, seen, sizeof(seen)) == 6 ? 6 : 1);
	CHECK_EQ(stops(child), SIGTTIN);
	signal(SIGTTOU, SIG_IGN);
	MUST(tcsetpgrp(slave, child));
	MUST(kill(child, SIGCONT));
	type("hello\n");
	CHECK_EQ(wait_for(child), EXITED(6));
}

TEST(a_background_reader_is_stopped)
{
	CHECK_EQ(lead(lead_a_background_reader), 0);
}

static void lead_a_background_reader_that_does_not_care(void)
{
	pid_t child;

	type("text\n");
	CHECK_EQ(await_waiting(slave, 5), 5);
	child = fork_group();
	if (child == 0) {
		signal(SIGTTIN, SIG_IGN);
		CHECK_ERRNO(read(slave, seen, sizeof(seen)), EIO);
		signal(SIGTTIN, SIG_DFL);
		block(SIGTTIN);
		CHECK_ERRNO(read(slave, seen, sizeof(seen)), EIO);
		CHECK(!is_pending(SIGTTIN));
		unblock(SIGTTIN);
		handle_info(SIGTTIN, note, 0);
		CHECK_ERRNO(read(slave, seen, sizeof(seen)), EINTR);
		CHECK_EQ(taken[SIGTTIN], 1);
		CHECK_EQ(codes[SIGTTIN], SI_KERNEL);
		CHECK_EQ(has_events(slave, POLLIN, 0), POLLIN);
		CHECK_EQ(waiting_in(slave), 5);
		make_non_blocking(slave);
		CHECK_ERRNO(read(slave, seen, sizeof(seen)), EINTR);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	READS("text\n");
}

TEST(a_background_reader_may_fail_instead)
{
	CHECK_EQ(lead(lead_a_background_reader_that_does_not_care), 0);
}

static void lead_background_writers(void)
{
	pid_t child = fork_group();

	if (child == 0)
		_exit(write(slave, "free", 4));
	CHECK_EQ(wait_for(child), EXITED(4));
	SHOWS("free");
	change_local(0, TOSTOP);
	child = fork_group();
	if (child == 0)
		_exit(write(slave, "stop", 4));
	CHECK_EQ(stops(child), SIGTTOU);
	SHOWS("");
	change_local(TOSTOP, 0);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), EXITED(4));
	SHOWS("stop");
	change_local(0, TOSTOP);
	child = fork_group();
	if (child == 0) {
		signal(SIGTTOU, SIG_IGN);
		_exit(write(slave, "ignored", 7));
	}
	CHECK_EQ(wait_for(child), EXITED(7));
	child = fork_group();
	if (child == 0) {
		block(SIGTTOU);
		_exit(write(slave, "blocked", 7));
	}
	CHECK_EQ(wait_for(child), EXITED(7));
	SHOWS("ignoredblocked");
	child = fork_group();
	if (child == 0) {
		handle_info(SIGTTOU, note, 0);
		CHECK_ERRNO(write(slave, "handled", 7), EINTR);
		CHECK_EQ(taken[SIGTTOU], 1);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	MUST(write(slave, "fore", 4));
	SHOWS("fore");
}

TEST(background_writers_are_stopped_on_demand)
{
	CHECK_EQ(lead(lead_background_writers), 0);
}

/* Does something to the terminal in the background; the signal that stops it. */
static int stopped_by(int (*act)(void))
{
	pid_t child = fork_group();
	int signal;

	if (child == 0)
		_exit(act() == -1 ? errno : 0);
	signal = stops(child);
	if (signal != 0)
		end(child);
	return signal;
}

static int set_modes(void)
{
	struct termios modes = modes_of(slave);

	return tcsetattr(slave, TCSANOW, &modes);
}

static int set_own_group(void)
{
	return tcsetpgrp(slave, getpid());
}

static int flush(void)
{
	return tcflush(slave, TCIOFLUSH);
}

static int let_flow(void)
{
	return tcflow(slave, TCOON);
}

static int send_break(void)
{
	return tcsendbreak(slave, 0);
}

static int drain(void)
{
	return tcdrain(slave);
}

static int set_size(void)
{
	struct winsize size = {9, 9, 9, 9};

	return ioctl(slave, TIOCSWINSZ, &size);
}

static int look(void)
{
	modes_of(slave);
	waiting_in(slave);
	return tcgetpgrp(slave) == -1 || has_events(slave, POLLIN, 0) == -1 ? -1 : 0;
}

static int write_a_bit(void)
{
	return write(slave, "x", 1) == 1 ? 0 : -1;
}

static void lead_background_controllers(void)
{
	CHECK_EQ(stopped_by(set_modes), SIGTTOU);
	CHECK_EQ(stopped_by(set_own_group), SIGTTOU);
	CHECK_EQ(stopped_by(flush), SIGTTOU);
	CHECK_EQ(stopped_by(let_flow), SIGTTOU);
	CHECK_EQ(stopped_by(send_break), SIGTTOU);
	CHECK_EQ(stopped_by(drain), SIGTTOU);
	CHECK_EQ(stopped_by(set_size), 0);
	CHECK_EQ(stopped_by(look), 0);
	CHECK_EQ(stopped_by(write_a_bit), 0);
	signal(SIGTTOU, SIG_IGN);
	CHECK_EQ(stopped_by(set_modes), 0);
	CHECK_EQ(stopped_by(set_own_group), 0);
}

TEST(whoever_sets_the_terminal_from_the_background_is_stopped)
{
	CHECK_EQ(lead(lead_background_controllers), 0);
}

/* An orphan: a grandchild in a group of its own, whose parent has ended. */
static void act_as_orphan(void (*act)(void))
{
	pid_t parent = (pid_t)MUST(fork());

	if (parent == 0) {
		pid_t orphan = fork_group();

		if (orphan == 0) {
			while (getppid() == *(volatile int *)&shared[1])
				sleep_ms(1);
			act();
			shared[0] = 1;
			_exit(0);
		}
		_exit(0);
	}
	shared[1] = parent;
	wait_for(parent);
	for (int patience = PATIENCE_MS; patience > 0 && !shared[0]; patience--)
		sleep_ms(1);
	CHECK_EQ(shared[0], 1);
}

static void orphan_acts(void)
{
	CHECK_ERRNO(read(slave, seen, 1), EIO);
	CHECK_ERRNO(tcsetpgrp(slave, getpid()), ENOTTY);
	CHECK_ERRNO(set_modes(), EIO);
	CHECK_ERRNO(flush(), EIO);
	CHECK_EQ(write(slave, "o", 1), 1);
	CHECK_EQ(has_terminal(), 1);
}

static void orphan_writes(void)
{
	CHECK_ERRNO(write(slave, "x", 1), EIO);
	signal(SIGTTOU, SIG_IGN);
	CHECK_EQ(write(slave, "y", 1), 1);
	CHECK_EQ(set_modes(), 0);
}

static void lead_orphans(void)
{
	shared[1] = getpid();
	act_as_orphan(orphan_acts);
	SHOWS("o");
}

static void lead_orphans_that_write(void)
{
	change_local(0, TOSTOP);
	act_as_orphan(orphan_writes);
	SHOWS("y");
}

TEST(orphans_are_not_stopped)
{
	CHECK_EQ(lead(lead_orphans), 0);
	CHECK_EQ(lead(lead_orphans_that_write), 0);
}

/* Signals from the keyboard */

static void lead_keyboard_signals(void)
{
	static const struct {
		const char *key, *shown;
		int signal;
	} keys[] = {{"\003", "^C", SIGINT}, {"\034", "^\\", SIGQUIT}, {"\032", "^Z", SIGTSTP}};
	pid_t background;

	for (size_t at = 0; at < LENGTH(keys); at++)
		note_signal(keys[at].signal);
	background = fork_group();
	if (background == 0) {
		while (!shared[0])
			sleep_ms(1);
		_exit(taken[SIGINT] + taken[SIGQUIT] + taken[SIGTSTP]);
	}
	for (size_t at = 0; at < LENGTH(keys); at++) {
		type("lost");
		SHOWS("lost");
		type(keys[at].key);
		CHECK_EQ(comes(keys[at].signal), 1);
		CHECK_EQ(codes[keys[at].signal], SI_KERNEL);
		CHECK_EQ(senders[keys[at].signal], 0);
		CHECK_STRING(all_from(master, 2), keys[at].shown);
	}
	shared[0] = 1;
	CHECK_EQ(wait_for(background), EXITED(0));
	type("\n");
	READS("\n");
	SHOWS("\r\n");
	change_local(0, NOFLSH);
	type("kept\003\n");
	READS("kept\n");
	SHOWS("kept^C\r\n");
	CHECK_EQ(taken[SIGINT], 2);
	change_local(ISIG, 0);
	type("\003\n");
	READS("\003\n");
	SHOWS("^C\r\n");
	CHECK_EQ(taken[SIGINT], 2);
	change_local(ECHO, ISIG);
	set_character(VINTR, 'i');
	type("i");
	sleep_ms(QUIET_MS);
	CHECK_EQ(taken[SIGINT], 3);
	SHOWS("");
	change_local(ICANON, 0);
	type("i");
	sleep_ms(QUIET_MS);
	CHECK_EQ(taken[SIGINT], 4);
	CHECK_EQ(ioctl(master, TIOCSIG, SIGQUIT), 0);
	CHECK_EQ(taken[SIGQUIT], 2);
}

TEST(keys_send_signals_to_the_foreground)
{
	CHECK_EQ(lead(lead_keyboard_signals), 0);
}

static void lead_flushing_signals(void)
{
	note_signal(SIGINT);
	type("a finished line\nand more");
	CHECK_EQ(await_waiting(slave, 16), 16);
	type("\003");
	CHECK_EQ(comes(SIGINT), 1);
	sleep_ms(QUIET_MS);
	CHECK_EQ(waiting_in(slave), 0);
	READS_NOTHING();
	type("\023");
	sleep_ms(QUIET_MS);
	CHECK_EQ(events_of(slave) & POLLOUT, 0);
	type("\003");
	sleep_ms(QUIET_MS);
	CHECK_EQ(events_of(slave) & POLLOUT, POLLOUT);
}

TEST(a_signal_from_the_keyboard_drops_input)
{
	CHECK_EQ(lead(lead_flushing_signals), 0);
}

static void lead_an_interrupted_job(void)
{
	pid_t job = fork_group();

	if (job == 0) {
		for (;;)
			pause();
	}
	signal(SIGTTOU, SIG_IGN);
	MUST(tcsetpgrp(slave, job));
	type("\032");
	CHECK_EQ(stops(job), SIGTSTP);
	MUST(tcsetpgrp(slave, getpid()));
	MUST(kill(-job, SIGCONT));
	MUST(tcsetpgrp(slave, job));
	type("\003");
	CHECK_EQ(wait_for(job), KILLED(SIGINT));
	MUST(tcsetpgrp(slave, getpid()));
	SHOWS("^Z^C");
}

TEST(a_job_is_stopped_continued_and_interrupted)
{
	CHECK_EQ(lead(lead_an_interrupted_job), 0);
}

static void lead_a_resized_window(void)
{
	struct winsize size = {10, 20, 0, 0};

	note_signal(SIGWINCH);
	CHECK_EQ(ioctl(slave, TIOCSWINSZ, &size), 0);
	CHECK_EQ(taken[SIGWINCH], 1);
	CHECK_EQ(codes[SIGWINCH], SI_KERNEL);
	CHECK_EQ(ioctl(slave, TIOCSWINSZ, &size), 0);
	CHECK_EQ(taken[SIGWINCH], 1);
	size.ws_xpixel = 1;
	CHECK_EQ(ioctl(master, TIOCSWINSZ, &size), 0);
	CHECK_EQ(taken[SIGWINCH], 2);
}

TEST(the_foreground_learns_of_a_new_window_size)
{
	CHECK_EQ(lead(lead_a_resized_window), 0);
}

static void lead_with_readiness(void)
{
	int fd = (int)MUST(open(slave_name(), O_RDWR));

	note_signal(SIGIO);
	CHECK_EQ(fcntl(slave, F_GETOWN), 0);
	CHECK_EQ(fcntl(slave, F_SETFL, O_RDWR | O_ASYNC), 0);
	CHECK_EQ(fcntl(slave, F_GETOWN), -getpid());
	type("x\n");
	CHECK(comes(SIGIO) > 0);
	CHECK_EQ(fcntl(slave, F_SETFL, O_RDWR), 0);
	CHECK_EQ(fcntl(master, F_SETFL, O_RDWR | O_ASYNC), 0);
	CHECK_EQ(fcntl(master, F_GETOWN), getpid());
	CHECK_EQ(fcntl(master, F_SETFL, O_RDWR), 0);
	MUST(fcntl(fd, F_SETOWN, 1));
	CHECK_EQ(fcntl(fd, F_SETFL, O_RDWR | O_ASYNC), 0);
	CHECK_EQ(fcntl(fd, F_GETOWN), 1);
}

TEST(the_foreground_is_told_of_readiness)
{
	CHECK_EQ(lead(lead_with_readiness), 0);
}

/* Hanging up */

static void lead_and_put_a_leader_in_the_foreground(void)
{
	int fd = (int)MUST(open(slave_name(), O_RDWR)), ready[2];
	char byte;
	pid_t child;

	MUST(pipe(ready));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(read(ready[0], &byte, 1));
		MUST(setsid());
		write_all(ready[1], "y", 1);
		pause();
		_exit(0);
	}
	CHECK_OK(tcsetpgrp(fd, child));
	/* Signals of readiness go to the group that isn't there yet, and not to who asks for them. */
	CHECK_OK(fcntl(fd, F_SETFL, O_RDWR | O_ASYNC));
	CHECK_EQ(fcntl(fd, F_GETOWN), 0);
	type("x\n");
	CHECK(has_events(fd, POLLIN, PATIENCE_MS) & POLLIN);
	CHECK_OK(fcntl(fd, F_SETFL, O_RDWR));
	write_all(ready[1], "x", 1);
	while (getsid(child) != child)
		sleep_ms(1);
	CHECK_EQ(tcgetpgrp(fd), child);
	CHECK_OK(ioctl(fd, TIOCNOTTY));
	CHECK_EQ(wait_for(child), KILLED(SIGHUP));
}

TEST(the_foreground_is_hung_up_in_whichever_session)
{
	CHECK_EQ(lead(lead_and_put_a_leader_in_the_foreground), 0);
}

TEST(a_leader_is_told_when_the_master_is_closed)
{
	pid_t leader;

	master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
	MUST(unlockpt(master));
	shared = make_shared_page();
	leader = (pid_t)MUST(fork());
	if (leader == 0) {
		pid_t front, back;

		MUST(setsid());
		slave = (int)MUST(open(slave_name(), O_RDWR));
		MUST(close(master));
		note_signal(SIGHUP);
		note_signal(SIGCONT);
		front = fork_group();
		if (front == 0) {
			shared[1] = 1;
			CHECK_EQ(comes(SIGHUP), 1);
			CHECK_EQ(comes(SIGCONT), 1);
			CHECK_EQ(shared[0], 1);
			shared[2] = 1;
			_exit(0);
		}
		back = fork_group();
		if (back == 0) {
			for (int patience = PATIENCE_MS; patience > 0 && !shared[2]; patience--)
				sleep_ms(1);
			CHECK_EQ(taken[SIGHUP], 0);
			CHECK(!has_terminal());
			CHECK_EQ(read(slave, seen, 1), 0);
			shared[3] = 1;
			_exit(0);
		}
		MUST(tcsetpgrp(slave, front));
		shared[4] = 1;
		CHECK_EQ(comes(SIGHUP), 1);
		CHECK_EQ(comes(SIGCONT), 1);
		CHECK_EQ(codes[SIGHUP], SI_KERNEL);
		CHECK(!has_terminal());
		CHECK_ERRNO(write(slave, "x", 1), EIO);
		/* The foreground is told when the leader ends. */
		sleep_ms(50);
		shared[0] = 1;
		_exit(0);
	}
	while (!shared[1] || !shared[4])
		sleep_ms(1);
	MUST(close(master));
	CHECK_EQ(wait_for(leader), EXITED(0));
	for (int patience = PATIENCE_MS; patience > 0 && !shared[3]; patience--)
		sleep_ms(1);
	CHECK_EQ(shared[3], 1);
}

static void lead_and_end(void)
{
	pid_t front, back;

	signal(SIGTTOU, SIG_IGN);
	front = fork_group();
	if (front == 0) {
		note_signal(SIGHUP);
		note_signal(SIGCONT);
		shared[1] = 1;
		CHECK_EQ(comes(SIGHUP), 1);
		sleep_ms(QUIET_MS);
		CHECK_EQ(taken[SIGCONT], 0);
		CHECK_EQ(codes[SIGHUP], SI_KERNEL);
		CHECK(!has_terminal());
		/* The terminal itself goes on. */
		CHECK_EQ(write(slave, "on", 2), 2);
		shared[2] = 1;
		_exit(0);
	}
	back = fork_group();
	if (back == 0) {
		note_signal(SIGHUP);
		shared[3] = 1;
		while (!shared[2])
			sleep_ms(1);
		CHECK_EQ(taken[SIGHUP], 0);
		CHECK(!has_terminal());
		shared[4] = 1;
		_exit(0);
	}
	MUST(tcsetpgrp(slave, front));
	while (!shared[1] || !shared[3])
		sleep_ms(1);
}

TEST(the_foreground_is_told_when_the_leader_ends)
{
	CHECK_EQ(lead(lead_and_end), 0);
	for (int patience = PATIENCE_MS; patience > 0 && !shared[4]; patience--)
		sleep_ms(1);
	CHECK_EQ(shared[4], 1);
	SHOWS("on");
	CHECK_EQ(tcgetpgrp(master), 0);
}

static void lead_a_stopped_job(void)
{
	pid_t job = fork_group();

	if (job == 0) {
		note_signal(SIGHUP);
		note_signal(SIGCONT);
		raise(SIGSTOP);
		CHECK_EQ(comes(SIGHUP), 1);
		CHECK_EQ(taken[SIGCONT], 1);
		shared[0] = 1;
		_exit(0);
	}
	CHECK_EQ(stops(job), SIGSTOP);
}

TEST(stopped_jobs_of_a_leader_that_ends_are_hung_up)
{
	CHECK_EQ(lead(lead_a_stopped_job), 0);
	for (int patience = PATIENCE_MS; patience > 0 && !shared[0]; patience--)
		sleep_ms(1);
	CHECK_EQ(shared[0], 1);
}

static void lead_and_hang_up(void)
{
	if (geteuid() == 0) {
		note_signal(SIGHUP);
		note_signal(SIGCONT);
		CHECK_EQ(vhangup(), 0);
		CHECK_EQ(taken[SIGHUP], 1);
		CHECK_EQ(taken[SIGCONT], 1);
		CHECK(!has_terminal());
		CHECK_EQ(read(slave, seen, 1), 0);
		CHECK_ERRNO(write(slave, "x", 1), EIO);
		slave = (int)CHECK_OK(open(slave_name(), O_RDWR));
		CHECK(has_terminal());
		CHECK_EQ(write(slave, "x", 1), 1);
		SHOWS("x");
	}
	drop_root();
	CHECK_ERRNO(vhangup(), EPERM);
}

TEST(a_process_hangs_its_terminal_up)
{
	CHECK_EQ(lead(lead_and_hang_up), 0);
}

static void lead_and_read_after_a_hang_up(void)
{
	pid_t reader;

	signal(SIGHUP, SIG_IGN);
	reader = (pid_t)MUST(fork());
	if (reader == 0) {
		shared[0] = 1;
		CHECK_EQ(read(slave, seen, 1), 0);
		_exit(0);
	}
	while (!shared[0])
		sleep_ms(1);
	sleep_ms(50);
	if (geteuid() == 0)
		MUST(vhangup());
	else
		MUST(write(master, "\004", 1));
	CHECK_EQ(wait_for(reader), EXITED(0));
}

TEST(a_reader_sees_the_end_at_a_hang_up)
{
	CHECK_EQ(lead(lead_and_read_after_a_hang_up), 0);
}

static void lead_and_type(void)
{
	drop_root();
	if (ioctl(slave, TIOCSTI, "q") == 0)
		type("\n");
	else {
		CHECK_EQ(errno, EIO);
		type("q\n");
	}
	SHOWS("q\r\n");
	READS("q\n");
}

TEST(the_session_may_type_into_its_terminal)
{
	CHECK_EQ(lead(lead_and_type), 0);
}
