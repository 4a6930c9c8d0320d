/* The line discipline: termios(3), lines and their editing, echo, special characters, raw input. */
#include "pseudo_terminal.h"

#include <pthread.h>

TEST(a_new_terminal_has_the_usual_modes)
{
	struct termios modes;
	static const cc_t usual[NCCS] = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0};

	open_terminal();
	CHECK_EQ(tcgetattr(slave, &modes), 0);
	CHECK_EQ(modes.c_iflag, ICRNL | IXON);
	CHECK_EQ(modes.c_oflag, OPOST | ONLCR);
	CHECK_EQ(modes.c_cflag, B38400 | CS8 | CREAD);
	CHECK_EQ(modes.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
	CHECK_EQ(modes.c_line, 0);
	CHECK_EQ(memcmp(modes.c_cc, usual, 17), 0);
	CHECK_EQ(cfgetispeed(&modes), B38400);
	CHECK_EQ(cfgetospeed(&modes), B38400);
	CHECK_EQ(tcgetattr(master, &modes), 0);
	CHECK_EQ(modes.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
	CHECK_EQ(isatty(slave), 1);
	CHECK_EQ(isatty(master), 1);
}

TEST(a_line_is_read_when_it_is_finished)
{
	open_terminal();
	type("abc");
	SHOWS("abc");
	READS_NOTHING();
	CHECK_EQ(waiting_in(slave), 0);
	type("def\r");
	SHOWS("def\r\n");
	CHECK_EQ(waiting_in(slave), 7);
	READS("abcdef\n");
	type("one\ntwo\nthree");
	SHOWS("one\r\ntwo\r\nthree");
	CHECK_EQ(waiting_in(slave), 8);
	READS("one\n");
	READS("two\n");
	READS_NOTHING();
}

TEST(a_line_is_read_in_parts)
{
	char part[4] = "";

	open_terminal();
	type("abcdef\nnext\n");
	CHECK_EQ(await_waiting(slave, 12), 12);
	CHECK_EQ(read(slave, part, 3), 3);
	CHECK_STRING(part, "abc");
	CHECK_EQ(waiting_in(slave), 9);
	READS("def\n");
	CHECK_EQ(read(slave, part, 0), 0);
	READS("next\n");
}

TEST(reading_waits_for_a_line)
{
	pid_t child;

	open_terminal();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		sleep_ms(50);
		type("late");
		sleep_ms(50);
		type("r\n");
		_exit(0);
	}
	CHECK_EQ(read(slave, seen, sizeof(seen)), 6);
	CHECK_EQ(memcmp(seen, "later\n", 6), 0);
	wait_for(child);
	make_non_blocking(slave);
	CHECK_ERRNO(read(slave, seen, sizeof(seen)), EAGAIN);
	type("half");
	SHOWS("later\r\nhalf");
	CHECK_ERRNO(read(slave, seen, sizeof(seen)), EAGAIN);
}

TEST(the_end_of_file_character_ends_a_line_without_being_in_it)
{
	open_terminal();
	type("\004");
	CHECK_EQ(has_events(slave, POLLIN, PATIENCE_MS), POLLIN);
	CHECK_EQ(waiting_in(slave), 0);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 0);
	READS_NOTHING();
	type("abc\004def\n");
	SHOWS("abcdef\r\n");
	CHECK_EQ(waiting_in(slave), 7);
	READS("abc");
	READS("def\n");
	READS_NOTHING();
}

TEST(a_read_that_fits_exactly_takes_the_end_of_file_along)
{
	open_terminal();
	make_non_blocking(slave);
	type("abc\004");
	CHECK_EQ(await_waiting(slave, 3), 3);
	CHECK_EQ(read(slave, seen, 3), 3);
	CHECK_ERRNO(read(slave, seen, 3), EAGAIN);
	type("abc\004");
	CHECK_EQ(await_waiting(slave, 3), 3);
	CHECK_EQ(read(slave, seen, 2), 2);
	CHECK_EQ(read(slave, seen, 9), 1);
	CHECK_ERRNO(read(slave, seen, 3), EAGAIN);
	type("\004\004");
	CHECK_EQ(has_events(slave, POLLIN, PATIENCE_MS), POLLIN);
	sleep_ms(QUIET_MS);
	CHECK_EQ(read(slave, seen, 9), 0);
	CHECK_EQ(read(slave, seen, 9), 0);
	CHECK_ERRNO(read(slave, seen, 9), EAGAIN);
}

TEST(other_characters_may_end_a_line)
{
	open_terminal();
	set_character(VEOL, '!');
	set_character(VEOL2, '?');
	type("wow!");
	SHOWS("wow!");
	READS("wow!");
	type("what?");
	SHOWS("what?");
	READS("what?");
	change_local(IEXTEN, 0);
	type("so?");
	SHOWS("so?");
	READS_NOTHING();
}

TEST(characters_are_erased)
{
	open_terminal();
	type("abx\177c\n");
	SHOWS("abx\b \bc\r\n");
	READS("abc\n");
	type("\177\177a\177\177\177b\n");
	SHOWS("a\b \bb\r\n");
	READS("b\n");
	set_character(VERASE, '#');
	type("x#\n");
	SHOWS("x\b \b\r\n");
	READS("\n");
}

TEST(erasing_a_control_character_takes_two_columns)
{
	open_terminal();
	type("a\001\177b\n");
	SHOWS("a^A\b \b\b \bb\r\n");
	READS("ab\n");
	change_local(ECHOCTL, 0);
	type("a\001\177b\n");
	SHOWS("a\001b\r\n");
	READS("ab\n");
}

TEST(erasing_a_tab_goes_back_to_where_it_began)
{
	open_terminal();
	type("ab\t\177c\n");
	SHOWS("ab\t\b\b\b\b\b\bc\r\n");
	READS("abc\n");
	type("a\tb\t\177\n");
	SHOWS("a\tb\t\b\b\b\b\b\b\b\r\n");
	READS("a\tb\n");
	MUST(write(slave, "12345", 5));
	type("\t\177\n");
	SHOWS("12345\t\b\b\b\r\n");
	READS("\n");
	type("\001\t\177\n");
	SHOWS("^A\t\b\b\b\b\b\b\r\n");
	READS("\001\n");
}

TEST(words_are_erased)
{
	open_terminal();
	type("one two_2  \027x\n");
	SHOWS("one two_2  \b \b\b \b\b \b\b \b\b \b\b \b\b \bx\r\n");
	READS("one x\n");
	type("a.b\027\n");
	SHOWS("a.b\b \b\r\n");
	READS("a.\n");
	type("..\027\n");
	SHOWS("..\b \b\b \b\r\n");
	READS("\n");
	change_local(IEXTEN, 0);
	type("a\027\n");
	SHOWS("a^W\r\n");
	READS("a\027\n");
}

TEST(the_line_is_erased)
{
	open_terminal();
	type("abc\025de\n");
	SHOWS("abc\b \b\b \b\b \bde\r\n");
	READS("de\n");
	change_local(ECHOKE, 0);
	type("abc\025de\n");
	SHOWS("abc^U\r\nde\r\n");
	READS("de\n");
	change_local(ECHOK, 0);
	type("abc\025de\n");
	SHOWS("abc^Ude\r\n");
	READS("de\n");
	type("first\nabc\025\n");
	SHOWS("first\r\nabc^U\r\n");
	READS("first\n");
	READS("\n");
	change_local(ECHO, 0);
	type("abc\025de\n");
	CHECK_EQ(await_waiting(slave, 3), 3);
	SHOWS("");
	READS("de\n");
}

TEST(erased_characters_can_be_printed)
{
	open_terminal();
	change_local(0, ECHOPRT);
	type("abc\177\177d\n");
	SHOWS("abc\\cb/d\r\n");
	READS("ad\n");
	type("ab\177\177\n");
	SHOWS("ab\\ba/\r\n");
	READS("\n");
	type("a\001\177\n");
	SHOWS("a^A\\^A\r\n");
	READS("a\n");
	change_local(ECHOPRT | ECHOE, 0);
	type("ab\177\n");
	SHOWS("/ab^?\r\n");
	READS("a\n");
}

TEST(utf8_is_erased_by_the_character)
{
	open_terminal();
	type("\303\251\177\n");
	SHOWS("\303\251\b \b\r\n");
	READS("\303\n");
	change_input(0, IUTF8);
	type("a\303\251\177b\n");
	SHOWS("a\303\251\b \bb\r\n");
	READS("ab\n");
	type("\342\202\254\177\n");
	SHOWS("\342\202\254\b \b\r\n");
	READS("\n");
	type("\200\177\n");
	SHOWS("\200\r\n");
	READS("\200\n");
	type("\303\251\t\177\n");
	SHOWS("\303\251\t\b\b\b\b\b\b\b\r\n");
	READS("\303\251\n");
	type("\303\274ber\027\n");
	SHOWS("\303\274ber\b \b\b \b\b \b\b \b\r\n");
	READS("\n");
}

TEST(the_line_is_printed_again)
{
	open_terminal();
	type("ab\001\022c\n");
	SHOWS("ab^A^R\r\nab^Ac\r\n");
	READS("ab\001c\n");
	change_local(ECHO, 0);
	type("x\022\n");
	READS("x\022\n");
	SHOWS("");
}

TEST(the_next_character_is_taken_literally)
{
	open_terminal();
	type("a\026\003b\026\026c\n");
	SHOWS("a^\b^Cb^\b^Vc\r\n");
	READS("a\003b\026c\n");
	type("\026\n\n");
	SHOWS("^\b^J\r\n");
	READS("\n\n");
	type("\026\004\n");
	SHOWS("^\b^D\r\n");
	READS("\004\n");
	type("\026\177\177\n");
	SHOWS("^\b^?\b \b\b \b\r\n");
	READS("\n");
	change_local(ECHOCTL, 0);
	type("\026\001\n");
	SHOWS("\001\r\n");
	READS("\001\n");
	change_local(IEXTEN, 0);
	type("\026\n");
	SHOWS("\026\r\n");
	READS("\026\n");
}

TEST(a_disabled_character_means_nothing)
{
	open_terminal();
	set_character(VERASE, _POSIX_VDISABLE);
	set_character(VKILL, _POSIX_VDISABLE);
	type("a\177\025\n");
	SHOWS("a^?^U\r\n");
	READS("a\177\025\n");
	type_bytes("x\0y\n", 4);
	CHECK_EQ(await_waiting(slave, 4), 4);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 4);
	CHECK_EQ(memcmp(seen, "x\0y\n", 4), 0);
	SHOWS("x^@y\r\n");
}

TEST(echo_can_be_off)
{
	open_terminal();
	change_local(ECHO, 0);
	type("secret\n");
	READS("secret\n");
	SHOWS("");
	change_local(0, ECHONL);
	type("secret\n");
	READS("secret\n");
	SHOWS("\r\n");
	change_local(ECHOCTL | ECHONL, ECHO);
	type("\001\033\n");
	SHOWS("\001\033\r\n");
	READS("\001\033\n");
	change_local(0, ECHOCTL);
	type("\001\033\177\t\n");
	SHOWS("^A^[\b \b\b \b\t\r\n");
	READS("\001\t\n");
}

TEST(input_is_translated)
{
	open_terminal();
	change_local(ECHO, 0);
	change_input(ICRNL, 0);
	type("a\rb\n");
	READS("a\rb\n");
	change_input(0, INLCR);
	type("a\nb\004");
	READS("a\rb");
	change_input(INLCR, IGNCR | ICRNL);
	type("a\rb\n");
	READS("ab\n");
	change_input(IGNCR, ISTRIP);
	type("\341\262\215");
	READS("a2\n");
	change_input(ISTRIP, IUCLC);
	type("MiXeD\n");
	READS("mixed\n");
	change_local(IEXTEN, 0);
	type("MiXeD\n");
	READS("MiXeD\n");
	change_input(IUCLC, PARMRK);
	type("a\377b\n");
	READS("a\377\377b\n");
}

TEST(output_is_translated)
{
	open_terminal();
	CHECK_EQ(write(slave, "a\nb\r\n", 5), 5);
	SHOWS("a\r\nb\r\r\n");
	change_output(ONLCR, 0);
	CHECK_EQ(write(slave, "a\nb", 3), 3);
	SHOWS("a\nb");
	change_output(0, OCRNL);
	CHECK_EQ(write(slave, "a\rb\n", 4), 4);
	SHOWS("a\nb\n");
	change_output(OCRNL, ONOCR);
	CHECK_EQ(write(slave, "\ra\r\rb", 5), 5);
	SHOWS("\ra\rb");
	change_output(ONOCR, OLCUC);
	CHECK_EQ(write(slave, "abc {}", 6), 6);
	SHOWS("ABC {}");
	change_output(OLCUC, ONLCR | XTABS);
	CHECK_EQ(write(slave, "\n\tx\t\001\ty\n", 8), 8);
	SHOWS("\r\n        x       \001        y\r\n");
	change_output(OPOST, 0);
	CHECK_EQ(write(slave, "a\n\tb", 4), 4);
	SHOWS("a\n\tb");
}

TEST(columns_are_counted_for_tabs)
{
	open_terminal();
	change_output(0, XTABS);
	CHECK_EQ(write(slave, "abc\b\b\t|", 7), 7);
	SHOWS("abc\b\b       |");
	CHECK_EQ(write(slave, "\r\303\251\t|", 5), 5);
	SHOWS("\r\303\251      |");
	change_input(0, IUTF8);
	CHECK_EQ(write(slave, "\r\303\251\t|", 5), 5);
	SHOWS("\r\303\251       |");
	CHECK_EQ(write(slave, "\rabc", 4), 4);
	SHOWS("\rabc");
	type("\t");
	SHOWS("     ");
	change_output(ONLCR, ONLRET);
	CHECK_EQ(write(slave, "ab\n\t|", 5), 5);
	SHOWS("ab\n        |");
}

TEST(output_stands_still_between_the_stop_and_start_characters)
{
	open_terminal();
	make_non_blocking(slave);
	type("\023");
	sleep_ms(QUIET_MS);
	CHECK_EQ(events_of(slave), 0);
	CHECK_ERRNO(write(slave, "x", 1), EAGAIN);
	type("y");
	SHOWS("");
	type("\021");
	SHOWS("y");
	CHECK_EQ(write(slave, "x", 1), 1);
	SHOWS("x");
	type("\023");
	sleep_ms(QUIET_MS);
	change_input(IXON, 0);
	CHECK_EQ(write(slave, "z", 1), 1);
	SHOWS("z");
	type("\023\n");
	SHOWS("^S\r\n");
	CHECK_EQ(read(slave, seen, sizeof(seen)), 3);
}

TEST(any_character_may_start_output_again)
{
	open_terminal();
	change_input(0, IXANY);
	make_non_blocking(slave);
	type("\023");
	sleep_ms(QUIET_MS);
	CHECK_ERRNO(write(slave, "x", 1), EAGAIN);
	type("a");
	SHOWS("a");
	CHECK_EQ(write(slave, "x", 1), 1);
}

TEST(a_program_stops_output)
{
	open_terminal();
	make_non_blocking(slave);
	CHECK_EQ(tcflow(slave, TCOOFF), 0);
	CHECK_ERRNO(write(slave, "x", 1), EAGAIN);
	type("\021");
	sleep_ms(QUIET_MS);
	CHECK_ERRNO(write(slave, "x", 1), EAGAIN);
	CHECK_EQ(tcflow(slave, TCOON), 0);
	CHECK_EQ(write(slave, "x", 1), 1);
	SHOWS("x");
	CHECK_EQ(tcflow(slave, TCIOFF), 0);
	SHOWS("\023");
	CHECK_EQ(tcflow(slave, TCION), 0);
	SHOWS("\021");
	CHECK_ERRNO(tcflow(slave, 9), EINVAL);
	CHECK_EQ(tcflow(master, TCOOFF), 0);
	make_non_blocking(master);
	CHECK_ERRNO(write(master, "x", 1), EAGAIN);
	CHECK_EQ(tcflow(master, TCOON), 0);
	CHECK_EQ(write(master, "x", 1), 1);
}

TEST(a_writer_that_was_stopped_goes_on)
{
	pid_t child;

	open_terminal();
	type("\023");
	sleep_ms(QUIET_MS);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(write(slave, "patient\n", 8) == 8 ? 0 : 1);
	sleep_ms(QUIET_MS);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	type("\021");
	CHECK_EQ(wait_for(child), EXITED(0));
	SHOWS("patient\r\n");
}

TEST(raw_input_comes_as_it_is)
{
	open_terminal();
	make_raw(1, 0);
	type("\003\r\n\023x");
	CHECK_EQ(await_waiting(slave, 5), 5);
	CHECK_EQ(read(slave, seen, 2), 2);
	CHECK_EQ(memcmp(seen, "\003\r", 2), 0);
	READS("\n\023x");
	SHOWS("");
	CHECK_EQ(write(slave, "a\n", 2), 2);
	SHOWS("a\n");
	make_non_blocking(slave);
	CHECK_ERRNO(read(slave, seen, 9), EAGAIN);
	CHECK_EQ(read(slave, seen, 0), 0);
}

TEST(input_without_lines_may_be_echoed)
{
	open_terminal();
	change_local(ICANON, 0);
	type("a\177\025\004");
	SHOWS("a^?^U^D");
	READS("a\177\025\004");
	type("x\r");
	SHOWS("x\r\n");
	READS("x\n");
}

/* Types each text, 100 ms apart. */
static pid_t type_later(const char *first, const char *second)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		sleep_ms(100);
		type(first);
		if (second != NULL) {
			sleep_ms(100);
			type(second);
		}
		_exit(0);
	}
	return child;
}

TEST(a_minimum_without_a_time_is_waited_for)
{
	pid_t child;

	open_terminal();
	make_raw(4, 0);
	CHECK_EQ(events_of(slave), POLLOUT | POLLWRNORM);
	child = type_later("ab", "cde");
	CHECK_EQ(read(slave, seen, sizeof(seen)), 5);
	CHECK_EQ(memcmp(seen, "abcde", 5), 0);
	wait_for(child);
	child = type_later("ab", "cde");
	CHECK_EQ(read(slave, seen, 2), 2);
	CHECK_EQ(read(slave, seen, 3), 3);
	CHECK_EQ(memcmp(seen, "cde", 3), 0);
	wait_for(child);
	type("ab");
	CHECK_EQ(await_waiting(slave, 2), 2);
	CHECK_EQ(events_of(slave), POLLOUT | POLLWRNORM);
	make_non_blocking(slave);
	CHECK_EQ(read(slave, seen, 9), 2);
	CHECK_ERRNO(read(slave, seen, 9), EAGAIN);
}

TEST(a_large_minimum_is_not_waited_for)
{
	char many[200];

	open_terminal();
	memset(many, 'm', sizeof(many));
	make_raw(100, 0);
	type_bytes(many, 150);
	CHECK_EQ(await_waiting(slave, 150), 150);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 64);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 64);
	make_raw(64, 0);
	type_bytes(many, 150);
	CHECK_EQ(await_waiting(slave, 172), 172);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 172);
}

TEST(a_time_without_a_minimum_is_for_the_whole_read)
{
	int64_t before;
	pid_t child;

	open_terminal();
	make_raw(0, 2);
	before = now_ns(CLOCK_MONOTONIC);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 0);
	CHECK(now_ns(CLOCK_MONOTONIC) - before >= 190000000);
	child = type_later("a", NULL);
	before = now_ns(CLOCK_MONOTONIC);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 1);
	CHECK(now_ns(CLOCK_MONOTONIC) - before < 190000000);
	wait_for(child);
	make_non_blocking(slave);
	CHECK_ERRNO(read(slave, seen, sizeof(seen)), EAGAIN);
}

TEST(a_time_with_a_minimum_is_between_two_bytes)
{
	int64_t before;
	pid_t child;

	open_terminal();
	make_raw(9, 3);
	child = type_later("ab", "cd");
	before = now_ns(CLOCK_MONOTONIC);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 4);
	CHECK(now_ns(CLOCK_MONOTONIC) - before >= 490000000);
	wait_for(child);
	type("123456789abc");
	CHECK_EQ(await_waiting(slave, 12), 12);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 12);
	CHECK_EQ(events_of(slave), POLLOUT | POLLWRNORM);
	type("1");
	CHECK_EQ(has_events(slave, POLLIN, PATIENCE_MS), POLLIN);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 1);
}

TEST(neither_a_time_nor_a_minimum_is_a_look)
{
	open_terminal();
	make_raw(0, 0);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 0);
	type("ab");
	CHECK_EQ(await_waiting(slave, 2), 2);
	CHECK_EQ(read(slave, seen, 1), 1);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 1);
	make_non_blocking(slave);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 0);
}

static void do_nothing(int signal)
{
	(void)signal;
}

TEST(a_signal_ends_a_read_with_what_there_is)
{
	struct itimerval soon = {.it_value = {0, 100000}};

	open_terminal();
	make_raw(5, 0);
	handle(SIGALRM, do_nothing, 0);
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_ERRNO(read(slave, seen, sizeof(seen)), EINTR);
	type("ab");
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_EQ(read(slave, seen, sizeof(seen)), 2);
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	change_local(0, ICANON);
	CHECK_ERRNO(read(slave, seen, sizeof(seen)), EINTR);
	handle(SIGALRM, do_nothing, SA_RESTART);
	MUST(setitimer(ITIMER_REAL, &soon, NULL));
	if (fork() == 0) {
		sleep_ms(200);
		type("on\n");
		_exit(0);
	}
	CHECK_EQ(read(slave, seen, sizeof(seen)), 3);
}

TEST(what_was_typed_raw_can_be_read_as_a_line)
{
	open_terminal();
	make_raw(1, 0);
	type("raw");
	CHECK_EQ(await_waiting(slave, 3), 3);
	change_local(0, ICANON);
	CHECK_EQ(waiting_in(slave), 3);
	READS("raw");
	type("line\n");
	READS("line\n");
	type("half");
	sleep_ms(QUIET_MS);
	CHECK_EQ(waiting_in(slave), 0);
	change_local(ICANON, 0);
	CHECK_EQ(waiting_in(slave), 4);
	READS("half");
}

TEST(pending_input_is_dropped)
{
	struct termios modes;

	open_terminal();
	type("gone\nalso gone");
	CHECK_EQ(await_waiting(slave, 5), 5);
	CHECK_EQ(tcflush(slave, TCIFLUSH), 0);
	CHECK_EQ(waiting_in(slave), 0);
	READS_NOTHING();
	type("new\n");
	READS("new\n");
	type("gone\n");
	CHECK_EQ(await_waiting(slave, 5), 5);
	modes = modes_of(slave);
	CHECK_EQ(tcsetattr(slave, TCSADRAIN, &modes), 0);
	CHECK_EQ(waiting_in(slave), 5);
	CHECK_EQ(tcsetattr(slave, TCSAFLUSH, &modes), 0);
	CHECK_EQ(waiting_in(slave), 0);
	MUST(write(slave, "shown", 5));
	CHECK_EQ(tcflush(master, TCIFLUSH), 0);
	MUST(write(slave, "after", 5));
	CHECK(strstr(all_from(master, 5), "after") != NULL);
	CHECK(strstr(seen, "shown") == NULL);
	CHECK_ERRNO(tcflush(slave, 9), EINVAL);
	CHECK_EQ(tcflush(slave, TCIOFLUSH), 0);
	CHECK_EQ(tcflush(slave, TCOFLUSH), 0);
}

TEST(a_line_that_is_too_long_loses_its_end)
{
	static char many[6000];

	open_terminal();
	change_local(ECHO, 0);
	memset(many, 'a', sizeof(many));
	type_bytes(many, sizeof(many));
	type("zend\n");
	CHECK_EQ(await_waiting(slave, 4096), 4096);
	CHECK_EQ(read(slave, seen, sizeof(seen)), 4096);
	CHECK_EQ(seen[4094], 'a');
	CHECK_EQ(seen[4095], '\n');
	type("short\n");
	READS("short\n");
}

TEST(input_waits_where_lines_are_waiting)
{
	static char line[100];
	int lines = 0;

	open_terminal();
	change_local(ECHO, 0);
	memset(line, 'l', sizeof(line));
	line[99] = '\n';
	for (int at = 0; at < 60; at++)
		type_bytes(line, sizeof(line));
	CHECK_EQ(await_waiting(slave, 4000), 4000);
	while (has_events(slave, POLLIN, QUIET_MS) & POLLIN) {
		if (read(slave, seen, sizeof(seen)) != 100 || memcmp(seen, line, 100) != 0)
			break;
		lines++;
	}
	CHECK_EQ(lines, 60);
}

/* Writes until there is no room; how many bytes that took. */
static ssize_t fill(int fd)
{
	static char many[8192];
	ssize_t got, total = 0;

	memset(many, 'f', sizeof(many));
	do {
		while ((got = write(fd, many, sizeof(many))) > 0)
			total += got;
		if (errno != EAGAIN)
			return -1;
		sleep_ms(QUIET_MS);
	} while (events_of(fd) & POLLOUT);
	return total;
}

TEST(a_full_terminal_takes_no_more)
{
	static char many[8192];
	ssize_t got, total, back = 0;

	open_terminal();
	make_raw(1, 0);
	make_non_blocking(slave);
	make_non_blocking(master);
	total = fill(slave);
	CHECK(total >= 8192 && total < 65536);
	CHECK_EQ(events_of(slave), 0);
	CHECK_EQ(await_waiting(master, 4095), 4095);
	for (int patience = 200; back < total && patience > 0; patience--) {
		while ((got = read(master, many, sizeof(many))) > 0)
			back += got;
		sleep_ms(1);
	}
	CHECK_EQ(back, total);
	CHECK_EQ(events_of(slave), POLLOUT | POLLWRNORM);
	total = fill(master);
	CHECK(total >= 8192 && total < 65536);
	CHECK_EQ(events_of(master), 0);
	CHECK_EQ(await_waiting(slave, 4095), 4095);
}

TEST(a_writer_waits_for_its_reader)
{
	static char many[50000];
	size_t length = 0;
	pid_t child;

	open_terminal();
	make_raw(1, 0);
	memset(many, 'w', sizeof(many));
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(write(slave, many, sizeof(many)) == sizeof(many) ? 0 : 1);
	while (length < sizeof(many)) {
		ssize_t got = read(master, seen, 1000);

		if (got <= 0)
			break;
		length += (size_t)got;
	}
	CHECK_EQ(length, sizeof(many));
	CHECK_EQ(wait_for(child), EXITED(0));
}

static pid_t write_many(char what)
{
	static char many[30000];
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		memset(many, what, sizeof(many));
		_exit(write(slave, many, sizeof(many)) == sizeof(many) ? 0 : 1);
	}
	return child;
}

/* What comes out of the master, 500 bytes at a time, up to `length` of them; how many there were. */
static size_t read_by_pieces(char *all, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t got = read(master, all + done, 500);

		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

TEST(writers_take_turns)
{
	static char all[60000];
	int changes = 0, other;
	pid_t first, second;

	open_terminal();
	make_raw(1, 0);
	first = write_many('a');
	sleep_ms(50);
	second = write_many('b');
	sleep_ms(50);
	other = (int)MUST(open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK));
	CHECK_EQ(events_of(other), 0);
	CHECK_ERRNO(write(other, "c", 1), EAGAIN);
	CHECK_ERRNO(write(other, bad_address(), 1), EAGAIN);
	CHECK_EQ(read_by_pieces(all, sizeof(all)), sizeof(all));
	for (size_t at = 1; at < sizeof(all); at++)
		changes += all[at] != all[at - 1];
	CHECK_EQ(changes, 1);
	CHECK_EQ(wait_for(first), EXITED(0));
	CHECK_EQ(wait_for(second), EXITED(0));
}

static void on_alarm(int signo)
{
	(void)signo;
}

/* What it would write is looked at only when its turn has come. */
TEST(a_writer_with_a_bad_buffer_waits_for_its_turn)
{
	struct sigaction handler = {.sa_handler = on_alarm};
	size_t length = 0;
	pid_t first, second;
	int status;

	open_terminal();
	make_raw(1, 0);
	first = write_many('a');
	sleep_ms(50);
	sigaction(SIGALRM, &handler, NULL);
	ualarm(50000, 0);
	CHECK_ERRNO(write(slave, bad_address(), 1), EINTR);
	second = (pid_t)MUST(fork());
	if (second == 0)
		_exit(write(slave, bad_address(), 1) == -1 ? errno : 0);
	sleep_ms(50);
	CHECK_EQ(MUST(waitpid(second, &status, WNOHANG)), 0);
	while (length < 30000)
		length += strlen(all_from(master, 30000 - length));
	CHECK_EQ(length, 30000);
	CHECK_EQ(wait_for(first), EXITED(0));
	CHECK_EQ(wait_for(second), EXITED(EFAULT));
}

static volatile sig_atomic_t told_of_room;

static void on_room(int signo)
{
	(void)signo;
	told_of_room++;
}

/* Who gets signals hears that there's room again, if a write was cut; and nobody if all was written. */
TEST(room_after_a_write_that_was_cut)
{
	struct sigaction alarm_handler = {.sa_handler = on_alarm}, room_handler = {.sa_handler = on_room};
	static char many[30000];
	ssize_t count;

	open_terminal();
	make_raw(1, 0);
	sigaction(SIGALRM, &alarm_handler, NULL);
	sigaction(SIGIO, &room_handler, NULL);
	MUST(fcntl(slave, F_SETOWN, getpid()));
	MUST(fcntl(slave, F_SETFL, fcntl(slave, F_GETFL) | O_ASYNC));
	memset(many, 'm', sizeof(many));
	CHECK_EQ(write(slave, many, 100), 100);
	all_from(master, 100);
	CHECK_EQ(told_of_room, 0);
	ualarm(50000, 0);
	count = write(slave, many, sizeof(many));
	CHECK(count > 0 && count < (ssize_t)sizeof(many));
	CHECK_EQ(told_of_room, 0);
	all_from(master, (size_t)count);
	sleep_ms(QUIET_MS);
	CHECK(told_of_room > 0);
	told_of_room = 0;
	/* Once. */
	CHECK_EQ(write(slave, many, 100), 100);
	all_from(master, 100);
	CHECK_EQ(told_of_room, 0);
	/* Nothing of it was written: that counts too. */
	make_non_blocking(slave);
	for (int times = 0; times < 5; times++) {
		while (write(slave, many, sizeof(many)) > 0 || write(slave, many, 1) > 0)
			;
		sleep_ms(QUIET_MS);
	}
	MUST(fcntl(slave, F_SETFL, fcntl(slave, F_GETFL) & ~(O_NONBLOCK | O_ASYNC)));
	MUST(fcntl(slave, F_SETFL, fcntl(slave, F_GETFL) | O_ASYNC));
	told_of_room = 0;
	ualarm(50000, 0);
	CHECK_ERRNO(write(slave, many, 100), EINTR);
	all_from(master, 1);
	sleep_ms(QUIET_MS);
	CHECK(told_of_room > 0);
}

/* Who is sent away as another is in the middle of a write waits for no room. */
TEST(no_room_is_told_of_to_who_had_no_turn)
{
	struct sigaction room_handler = {.sa_handler = on_room};
	static char all[30000];
	pid_t writer;
	int other;

	open_terminal();
	make_raw(1, 0);
	writer = write_many('a');
	sleep_ms(50);
	sigaction(SIGIO, &room_handler, NULL);
	other = (int)MUST(open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK));
	MUST(fcntl(other, F_SETOWN, getpid()));
	MUST(fcntl(other, F_SETFL, O_NONBLOCK | O_ASYNC));
	told_of_room = 0;
	CHECK_ERRNO(write(other, "c", 1), EAGAIN);
	CHECK_ERRNO(write(other, "", 0), EAGAIN);
	CHECK_EQ(read_by_pieces(all, sizeof(all)), sizeof(all));
	CHECK_EQ(wait_for(writer), EXITED(0));
	CHECK_EQ(told_of_room, 0);
	CHECK_EQ(write(other, "", 0), 0);
}

struct writing {
	char *bytes;
	size_t length;
	ssize_t count;
};

static void *write_it(void *argument)
{
	struct writing *writing = argument;

	writing->count = write(slave, writing->bytes, writing->length);
	return NULL;
}

TEST(a_writer_whose_buffer_goes_away_lets_others_write)
{
	struct writing writing = {.length = 16 * 4096};
	char *bytes = mmap(NULL, writing.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t length = 0;
	pthread_t writer;
	pid_t second;

	open_terminal();
	make_raw(1, 0);
	memset(bytes, 'a', writing.length);
	writing.bytes = bytes;
	MUST(pthread_create(&writer, NULL, write_it, &writing));
	sleep_ms(50);
	second = write_many('b');
	sleep_ms(50);
	MUST(munmap(bytes + 8 * 4096, 8 * 4096));
	while (length < 8 * 4096 + 30000) {
		ssize_t got = read(master, seen, 500);

		if (got <= 0)
			break;
		length += (size_t)got;
	}
	CHECK_EQ(length, 8 * 4096 + 30000);
	CHECK_EQ(seen[0], 'b');
	MUST(pthread_join(writer, NULL));
	CHECK_EQ(writing.count, 8 * 4096);
	CHECK_EQ(wait_for(second), EXITED(0));
}

TEST(a_writer_that_is_killed_lets_others_write)
{
	pid_t first;

	open_terminal();
	make_raw(1, 0);
	first = write_many('a');
	sleep_ms(50);
	MUST(kill(first, SIGKILL));
	CHECK_EQ(wait_for(first), KILLED(SIGKILL));
	make_non_blocking(slave);
	all_from(master, 4096);
	CHECK_EQ(write(slave, "b", 1), 1);
	SHOWS("b");
}

TEST(typing_on_behalf_of_the_user)
{
	open_terminal();
	if (geteuid() == 0) {
		CHECK_EQ(ioctl(slave, TIOCSTI, "q"), 0);
		CHECK_ERRNO(ioctl(slave, TIOCSTI, bad_address()), EFAULT);
	} else
		MUST(write(master, "q", 1));
	type("\n");
	SHOWS("q\r\n");
	READS("q\n");
	drop_root();
	CHECK_EQ(ioctl(slave, TIOCSTI, "q"), -1);
	CHECK(errno == EPERM || errno == EIO);
}

TEST(modes_have_several_layouts)
{
	struct {
		uint32_t flags[4];
		uint8_t line, characters[19];
		uint32_t input_speed, output_speed;
	} modern;
	struct {
		uint16_t flags[4];
		uint8_t line, characters[8];
	} old;
	struct termios modes;

	open_terminal();
	CHECK_EQ(sizeof(modern), 44);
	CHECK_EQ(ioctl(slave, 0x802c542a, &modern), 0);
	CHECK_EQ(modern.flags[1], OPOST | ONLCR);
	CHECK_EQ(modern.output_speed, 38400);
	CHECK_EQ(modern.input_speed, 38400);
	modern.flags[2] = (modern.flags[2] & ~(uint32_t)CBAUD) | 0010000;
	modern.output_speed = 12345;
	modern.flags[3] &= ~(uint32_t)ECHO;
	CHECK_EQ(ioctl(slave, 0x402c542b, &modern), 0);
	memset(&modern, 0, sizeof(modern));
	CHECK_EQ(ioctl(slave, 0x802c542a, &modern), 0);
	CHECK_EQ(modern.output_speed, 12345);
	CHECK_EQ(modern.input_speed, 12345);
	CHECK_EQ(modern.flags[3] & ECHO, 0);
	CHECK_EQ(ioctl(slave, TCGETA, &old), 0);
	CHECK_EQ(old.flags[0], ICRNL | IXON);
	CHECK_EQ(old.characters[VKILL], 21);
	old.characters[VKILL] = 'k';
	old.flags[3] |= ECHO;
	CHECK_EQ(ioctl(slave, TCSETA, &old), 0);
	modes = modes_of(slave);
	CHECK_EQ(modes.c_cc[VKILL], 'k');
	CHECK_EQ(modes.c_cc[VSTART], 17);
	CHECK(modes.c_lflag & ECHO);
	CHECK(modes.c_lflag & IEXTEN);
	cfsetspeed(&modes, B9600);
	CHECK_EQ(tcsetattr(slave, TCSANOW, &modes), 0);
	CHECK_EQ(ioctl(slave, 0x802c542a, &modern), 0);
	CHECK_EQ(modern.output_speed, 9600);
	CHECK_ERRNO(ioctl(slave, TCGETS, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(slave, TCSETS, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(slave, 0x5432, &modern), ENOTTY);
}

TEST(a_pseudo_terminal_has_eight_bits_and_no_parity)
{
	struct termios modes;

	open_terminal();
	modes = modes_of(slave);
	modes.c_cflag = (modes.c_cflag & ~(CSIZE | CREAD)) | CS5 | PARENB | PARODD | CSTOPB | CLOCAL;
	CHECK_EQ(tcsetattr(slave, TCSANOW, &modes), 0);
	modes = modes_of(slave);
	CHECK_EQ(modes.c_cflag & CSIZE, CS8);
	CHECK_EQ(modes.c_cflag & PARENB, 0);
	CHECK_EQ(modes.c_cflag & CREAD, CREAD);
	CHECK_EQ(modes.c_cflag & (PARODD | CSTOPB | CLOCAL), PARODD | CSTOPB | CLOCAL);
}

TEST(a_read_into_bad_memory_loses_the_line)
{
	open_terminal();
	type("abc\n");
	CHECK_EQ(await_waiting(slave, 4), 4);
	CHECK_ERRNO(read(slave, bad_address(), 10), EFAULT);
	make_non_blocking(slave);
	CHECK_ERRNO(read(slave, seen, 10), EAGAIN);
	CHECK_ERRNO(write(slave, bad_address(), 10), EFAULT);
}

TEST(a_remote_terminal_does_its_own_editing)
{
	open_terminal();
	change_local(0, EXTPROC);
	type("ab\177\n");
	sleep_ms(QUIET_MS);
	SHOWS("");
	CHECK_EQ(waiting_in(slave), 4);
	READS("ab\177\n");
	type("\004");
	CHECK_EQ(await_waiting(slave, 1), 1);
	CHECK_EQ(read(slave, seen, 10), 0);
	/* Before others it's a character like them. */
	type("\004x");
	CHECK_EQ(await_waiting(slave, 2), 2);
	CHECK_EQ(read(slave, seen, 1), 1);
	CHECK_EQ(seen[0], 4);
	READS("x");
	type("x\004");
	CHECK_EQ(await_waiting(slave, 2), 2);
	CHECK_EQ(read(slave, seen, 1), 1);
	CHECK_EQ(read(slave, seen, 1), 0);
}

/* Reads in a child: how much that was, as the child's status. */
static int sleeps_in_read(pid_t child)
{
	char path[64], text[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)child);
	fd = MUST(open(path, O_RDONLY));
	(void)!read(fd, text, sizeof(text) - 1);
	MUST(close(fd));
	return strncmp(text, "0 ", 2) == 0;
}

static pid_t read_in_child(size_t length)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit((int)(read(slave, seen, length) & 0x7F));
	while (!sleeps_in_read(child))
		sleep_ms(1);
	return child;
}

static int status_of(pid_t child)
{
	int status;

	CHECK_EQ(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(one_reads_at_a_time)
{
	pid_t first, second, third;
	int status, impatient;

	open_terminal();
	impatient = (int)MUST(open(ptsname(master), O_RDONLY | O_NOCTTY | O_NONBLOCK));
	first = read_in_child(10);
	second = read_in_child(10);
	third = read_in_child(0);
	CHECK_EQ(waitpid(third, &status, WNOHANG), 0);
	CHECK_ERRNO(read(impatient, seen, 10), EAGAIN);
	CHECK_ERRNO(read(impatient, seen, 0), EAGAIN);
	type("abc\n");
	CHECK_EQ(status_of(first), 4);
	CHECK_EQ(waitpid(second, &status, WNOHANG), 0);
	CHECK_EQ(waitpid(third, &status, WNOHANG), 0);
	type("abcdefg\n");
	CHECK_EQ(status_of(second), 8);
	CHECK_EQ(status_of(third), 0);
	CHECK_EQ(read(slave, seen, 0), 0);
}

TEST(whoever_waits_for_a_reader_has_its_turn_when_that_is_killed)
{
	pid_t first, second;

	open_terminal();
	first = read_in_child(10);
	second = read_in_child(0);
	CHECK_EQ(kill(first, SIGKILL), 0);
	CHECK_EQ(status_of(first), -1);
	CHECK_EQ(status_of(second), 0);
}

TEST(a_reader_takes_what_comes_before_its_minimum)
{
	pid_t first, second;

	open_terminal();
	make_raw(4, 0);
	first = read_in_child(10);
	type("ab");
	sleep_ms(QUIET_MS);
	CHECK_EQ(waiting_in(slave), 0);
	second = read_in_child(3);
	type("c");
	sleep_ms(QUIET_MS);
	CHECK_EQ(waiting_in(slave), 0);
	CHECK_EQ(tcflush(slave, TCIFLUSH), 0);
	type("defg");
	CHECK_EQ(status_of(first), 7);
	type("hij");
	CHECK_EQ(status_of(second), 3);
	CHECK_EQ(waiting_in(slave), 0);
}

TEST(a_read_goes_by_the_minimum_that_it_began_with)
{
	pid_t child;

	open_terminal();
	make_raw(3, 0);
	child = read_in_child(10);
	make_raw(1, 0);
	type("ab");
	sleep_ms(QUIET_MS);
	CHECK_EQ(waiting_in(slave), 0);
	type("c");
	CHECK_EQ(status_of(child), 3);
}
