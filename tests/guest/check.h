/* A small test framework: each case runs in a process of its own and every assertion prints one line.
 *
 * A line is "ok N FILE:LINE CASE: TEXT" or "FAIL N FILE:LINE CASE: TEXT: got X want Y"; the last line is
 * "N passed, N failed" and the exit status is 1 when anything failed. A forked child may assert as well:
 * the counters are in a shared page. A program that is executed again by its own test acts as a ROLE.
 */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK_API static __attribute__((unused))
#define CASE_TIMEOUT_S 60
#define NOBODY 65534
#define EXITED(code) W_EXITCODE(code, 0)
#define KILLED(signal) W_EXITCODE(0, signal)
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

struct check_case {
	const char *name;
	int line;
	void (*body)(void);
};

struct check_role {
	const char *name;
	int (*body)(int argc, char **argv);
};

struct check_shared {
	int number;
	int passed;
	int failed;
	/* Where a case finds its directory, which may lie elsewhere below another root, and what is removed after it. */
	char scratch[64], to_remove[64];
};

static struct check_case check_cases[100];
static struct check_role check_roles[40];
static size_t check_case_count;
static size_t check_role_count;
static struct check_shared *check_shared;
static const char *check_running = "main";
static const char *check_file = "";
static char check_self[PATH_MAX];
static int check_output = STDOUT_FILENO;
static volatile sig_atomic_t check_seconds;

/* The constructors of one file run in no promised order, so cases are kept in the order of their lines. */
CHECK_API void check_add_case(const char *name, const char *file, int line, void (*body)(void))
{
	size_t at = check_case_count++;

	if (check_case_count > LENGTH(check_cases))
		abort();
	check_file = file;
	for (; at > 0 && check_cases[at - 1].line > line; at--)
		check_cases[at] = check_cases[at - 1];
	check_cases[at] = (struct check_case){name, line, body};
}

CHECK_API void check_add_role(const char *name, int (*body)(int argc, char **argv))
{
	if (check_role_count == LENGTH(check_roles))
		abort();
	check_roles[check_role_count++] = (struct check_role){name, body};
}

#define TEST(name) \
	static void test_##name(void); \
	__attribute__((constructor)) static void add_test_##name(void) \
	{ \
		check_add_case(#name, __FILE_NAME__, __LINE__, test_##name); \
	} \
	static void test_##name(void)

/* One that only root can make. */
#define ROOTS_TEST(name) \
	static void roots_##name(void); \
	TEST(name) \
	{ \
		if (geteuid() == 0) \
			roots_##name(); \
		else \
			CHECK(geteuid() != 0); \
	} \
	static void roots_##name(void)

#define ROLE(name) \
	static int role_##name(int argc, char **argv); \
	__attribute__((constructor)) static void add_role_##name(void) \
	{ \
		check_add_role(#name, role_##name); \
	} \
	static int role_##name(int argc __attribute__((unused)), char **argv __attribute__((unused)))

/* An address that no program has; the compiler can't know that. */
CHECK_API void *bad_address(void)
{
	static void *volatile address = (void *)8;

	return address;
}

CHECK_API void write_all(int fd, const void *data, size_t length)
{
	const char *from = data;

	while (length > 0) {
		ssize_t written = write(fd, from, length);

		if (written == -1) {
			if (errno == EINTR)
				continue;
			_exit(120);
		}
		from += written;
		length -= (size_t)written;
	}
}

/* Prints one assertion's line and counts it; `detail` is what was got and wanted. Keeps errno. */
CHECK_API __attribute__((format(printf, 5, 6))) int
check_report(int is_ok, const char *file, int line, const char *text, const char *detail, ...)
{
	int saved_errno = errno;
	char buffer[1200];
	size_t length;
	va_list arguments;
	int number = __atomic_add_fetch(&check_shared->number, 1, __ATOMIC_SEQ_CST);

	__atomic_add_fetch(is_ok ? &check_shared->passed : &check_shared->failed, 1, __ATOMIC_SEQ_CST);
	length = (size_t)snprintf(buffer, 800, "%s %d %s:%d %s: %s", is_ok ? "ok" : "FAIL", number, file, line,
				  check_running, text);
	if (length > 799)
		length = 799;
	if (!is_ok) {
		int more;

		va_start(arguments, detail);
		buffer[length++] = ':';
		buffer[length++] = ' ';
		more = vsnprintf(buffer + length, 390, detail, arguments);
		va_end(arguments);
		length += more > 389 ? 389 : (size_t)more;
	}
	buffer[length++] = '\n';
	write_all(check_output, buffer, length);
	errno = saved_errno;
	return is_ok;
}

CHECK_API const char *check_errno_name(int number)
{
	const char *name = number == 0 ? "no error" : strerrorname_np(number);

	return name != NULL ? name : "unknown errno";
}

CHECK_API int check_equal(const char *file, int line, const char *text, long long got, long long want)
{
	return check_report(got == want, file, line, text, "got %lld (0x%llx) want %lld (0x%llx), errno %s", got, got, want,
			    want, check_errno_name(errno));
}

CHECK_API int check_errno(const char *file, int line, const char *text, long result, int want)
{
	int got = errno;

	return check_report(result == -1 && got == want, file, line, text, "got %ld with %s want -1 with %s", result,
			    result == -1 ? check_errno_name(got) : "success", check_errno_name(want));
}

CHECK_API long check_success(const char *file, int line, const char *text, long result)
{
	check_report(result != -1, file, line, text, "got -1 with %s want success", check_errno_name(errno));
	return result;
}

CHECK_API int check_string(const char *file, int line, const char *text, const char *got, const char *want)
{
	return check_report(got != NULL && strcmp(got, want) == 0, file, line, text, "got \"%s\" want \"%s\"",
			    got != NULL ? got : "(null)", want);
}

CHECK_API long check_must(const char *file, int line, const char *text, long result)
{
	if (result == -1) {
		check_report(0, file, line, text, "got -1 with %s want success, which the case needs", check_errno_name(errno));
		_exit(121);
	}
	return result;
}

/* The expression is true. */
#define CHECK(expression) check_report(!!(expression), __FILE_NAME__, __LINE__, #expression, "got false want true")
/* Both values are the same integer. */
#define CHECK_EQ(got, want) \
	check_equal(__FILE_NAME__, __LINE__, #got " == " #want, (long long)(got), (long long)(want))
/* The call returns -1 and sets errno to `want`. */
#define CHECK_ERRNO(call, want) check_errno(__FILE_NAME__, __LINE__, #call " is " #want, (long)(call), want)
/* The call doesn't return -1; the value is what it returned. */
#define CHECK_OK(call) check_success(__FILE_NAME__, __LINE__, #call, (long)(call))
/* Both strings are the same. */
#define CHECK_STRING(got, want) check_string(__FILE_NAME__, __LINE__, #got " is " #want, got, want)
/* The case needs the call to succeed; says nothing when it does. */
#define MUST(call) check_must(__FILE_NAME__, __LINE__, #call, (long)(call))

/* What a call gave as an errno: 0 when it succeeded. For results that depend on who runs the program. */
#define ERRNO_OF(call) ((call) == -1 ? errno : 0)

/* Waits for one child through interruptions and returns its wait status, or -1. */
CHECK_API int wait_for(pid_t child)
{
	int status;

	for (;;) {
		pid_t reaped = waitpid(child, &status, 0);

		if (reaped == child)
			return status;
		if (reaped == -1 && errno != EINTR)
			return -1;
	}
}

/* A page of ints that forked children share. */
CHECK_API int *make_shared_page(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(page == MAP_FAILED ? -1 : 0);
	return page;
}

CHECK_API pid_t child_that_exits(int code)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0)
		_exit(code);
	return child;
}

CHECK_API pid_t child_that_pauses(void)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		for (;;)
			pause();
	}
	return child;
}

/* Writes `text` to a file that exists, in one call: 0, or -1 with errno. */
CHECK_API int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), saved;
	ssize_t result;

	if (fd == -1)
		return -1;
	result = write(fd, text, strlen(text));
	saved = errno;
	close(fd);
	errno = saved;
	return result == (ssize_t)strlen(text) ? 0 : -1;
}

/* Waits until the child is a zombie, and leaves it one. */
CHECK_API void await_zombie(pid_t child)
{
	siginfo_t info;

	MUST(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
}

CHECK_API void sleep_ms(long milliseconds)
{
	struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};

	while (nanosleep(&left, &left) == -1 && errno == EINTR)
		continue;
}

CHECK_API int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) == -1)
		_exit(122);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Installs a handler; `flags` are SA_*. */
CHECK_API void handle(int signal, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	MUST(sigaction(signal, &action, NULL));
}

CHECK_API void handle_info(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};

	MUST(sigaction(signal, &action, NULL));
}

CHECK_API sigset_t set_of(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	return set;
}

CHECK_API void block(int signal)
{
	sigset_t set = set_of(signal);

	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
}

CHECK_API void unblock(int signal)
{
	sigset_t set = set_of(signal);

	MUST(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

CHECK_API int is_pending(int signal)
{
	sigset_t set;

	MUST(sigpending(&set));
	return sigismember(&set, signal);
}

/* Makes the process an ordinary user's when it is root's. */
CHECK_API void drop_root(void)
{
	if (geteuid() == 0) {
		MUST(setgroups(0, NULL));
		MUST(setresgid(NOBODY, NOBODY, NOBODY));
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
	}
}

CHECK_API void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = (int)MUST(open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));

	write_all(fd, text, strlen(text));
	MUST(fchmod(fd, mode));
	MUST(close(fd));
}

/* Makes an empty directory that is removed when the case ends, and changes to it. */
CHECK_API const char *enter_scratch(void)
{
	strcpy(check_shared->scratch, "/tmp/check-XXXXXX");
	MUST(mkdtemp(check_shared->scratch) == NULL ? -1 : 0);
	strcpy(check_shared->to_remove, check_shared->scratch);
	MUST(chmod(check_shared->scratch, 0777));
	MUST(chdir(check_shared->scratch));
	return check_shared->scratch;
}

static int check_remove(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status, (void)kind, (void)place;
	return remove(path) == -1 && errno != ENOENT;
}

static void check_tick(int signal)
{
	(void)signal;
	check_seconds++;
}

static void check_run(const struct check_case *running)
{
	struct itimerval second = {{1, 0}, {1, 0}}, off = {{0, 0}, {0, 0}};
	int status;
	pid_t child;

	check_running = running->name;
	check_shared->scratch[0] = check_shared->to_remove[0] = '\0';
	child = (pid_t)MUST(fork());
	if (child == 0) {
		handle(SIGALRM, SIG_DFL, 0);
		MUST(setpgid(0, 0));
		running->body();
		_exit(0);
	}
	check_seconds = 0;
	MUST(setitimer(ITIMER_REAL, &second, NULL));
	while (waitpid(child, &status, 0) != child) {
		if (check_seconds == CASE_TIMEOUT_S)
			kill(child, SIGKILL);
	}
	MUST(setitimer(ITIMER_REAL, &off, NULL));
	kill(-child, SIGKILL);
	if (status != 0)
		check_report(0, check_file, running->line, "the case ends by itself", "got wait status 0x%x after %d s want 0",
			     status, (int)check_seconds);
	if (check_shared->to_remove[0] != '\0')
		nftw(check_shared->to_remove, check_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static const struct check_role *check_find_role(const char *name)
{
	for (size_t at = 0; name != NULL && at < check_role_count; at++) {
		if (strcmp(check_roles[at].name, name) == 0)
			return &check_roles[at];
	}
	return NULL;
}

/* With no argument runs every case; otherwise acts as a role, or runs the cases that are named. */
int main(int argc, char **argv)
{
	const struct check_role *role = check_find_role(argc > 1 ? argv[1] : NULL);

	if (role == NULL)
		role = check_find_role(getenv("CHECK_ROLE"));
	if (role != NULL)
		return role->body(argc, argv);

	check_shared = mmap(NULL, sizeof(*check_shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (check_shared == MAP_FAILED || realpath(argv[0], check_self) == NULL)
		return 2;
	check_output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 200);
	if (check_output == -1)
		return 2;
	handle(SIGALRM, check_tick, 0);
	for (size_t at = 0; at < check_case_count; at++) {
		int is_wanted = argc <= 1;

		for (int word = 1; word < argc; word++)
			is_wanted |= strcmp(argv[word], check_cases[at].name) == 0;
		if (is_wanted)
			check_run(&check_cases[at]);
	}
	dprintf(check_output, "%d passed, %d failed\n", check_shared->passed, check_shared->failed);
	return check_shared->failed != 0 || check_shared->passed == 0;
}

#endif
