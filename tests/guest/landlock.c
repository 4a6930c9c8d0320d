/* Landlock: what a task forbids itself. */
#include "own_mounts.h"

#include <arpa/inet.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define EXECUTE LANDLOCK_ACCESS_FS_EXECUTE
#define WRITE_FILE LANDLOCK_ACCESS_FS_WRITE_FILE
#define READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define READ_DIR LANDLOCK_ACCESS_FS_READ_DIR
#define REMOVE_DIR LANDLOCK_ACCESS_FS_REMOVE_DIR
#define REMOVE_FILE LANDLOCK_ACCESS_FS_REMOVE_FILE
#define MAKE_REG LANDLOCK_ACCESS_FS_MAKE_REG
#define MAKE_DIR LANDLOCK_ACCESS_FS_MAKE_DIR
#define MAKE_SYM LANDLOCK_ACCESS_FS_MAKE_SYM
#define MAKE_FIFO LANDLOCK_ACCESS_FS_MAKE_FIFO
#define MAKE_SOCK LANDLOCK_ACCESS_FS_MAKE_SOCK
#define REFER LANDLOCK_ACCESS_FS_REFER
#define TRUNCATE LANDLOCK_ACCESS_FS_TRUNCATE
#define IOCTL_DEV LANDLOCK_ACCESS_FS_IOCTL_DEV
#define EVERY ((1ULL << 16) - 1)

struct attributes {
	uint64_t files, ports, scoped;
};

static int ruleset(uint64_t files, uint64_t ports)
{
	struct attributes attributes = {files, ports, 0};

	return (int)syscall(SYS_landlock_create_ruleset, &attributes, 16, 0);
}

static int add(int rules, uint64_t rights, const char *path)
{
	struct landlock_path_beneath_attr rule = {rights, open(path, O_PATH | O_CLOEXEC)};
	int result = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), saved = errno;

	close(rule.parent_fd);
	errno = saved;
	return result;
}

static int restrict_by(int rules)
{
	return (int)syscall(SYS_landlock_restrict_self, rules, 0);
}

/* In one step, with one rule. */
static void only(uint64_t handled, uint64_t rights, const char *path)
{
	int rules = (int)MUST(ruleset(handled, 0));

	if (path != NULL)
		MUST(add(rules, rights, path));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	MUST(close(rules));
}

static void make_tree(void)
{
	enter_scratch();
	MUST(mkdir("a", 0755));
	MUST(mkdir("a/b", 0755));
	MUST(mkdir("c", 0755));
	write_file("a/file", "text", 0644);
	write_file("a/b/file", "text", 0644);
	write_file("c/file", "text", 0644);
}

TEST(making_rulesets)
{
	struct attributes attributes = {READ_FILE, 0, 0};
	char link[64], text[64];
	int rules;
	ssize_t length;

	CHECK(syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 7);
	CHECK_EQ(syscall(SYS_landlock_create_ruleset, NULL, 0, 2) & 3, 3);
	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, &attributes, 0, LANDLOCK_CREATE_RULESET_VERSION), EINVAL);
	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, NULL, 8, LANDLOCK_CREATE_RULESET_VERSION), EINVAL);
	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, NULL, 0, 0x80000000), EINVAL);
	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, NULL, 8, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, bad_address(), 8, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, &attributes, 7, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, &attributes, 4097, 0), E2BIG);
	CHECK_ERRNO(ruleset(0, 0), ENOMSG);
	CHECK_ERRNO(ruleset(1ULL << 40, 0), EINVAL);
	CHECK_ERRNO(ruleset(READ_FILE, 1ULL << 40), EINVAL);
	rules = (int)CHECK_OK(syscall(SYS_landlock_create_ruleset, &attributes, 8, 0));
	CHECK_OK(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0));
	CHECK_EQ(fcntl(rules, F_GETFD), FD_CLOEXEC);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", rules);
	length = readlink(link, text, sizeof(text) - 1);
	text[length > 0 ? length : 0] = '\0';
	CHECK_STRING(text, "anon_inode:[landlock-ruleset]");
	CHECK_ERRNO(read(rules, text, 1), EINVAL);
	CHECK_ERRNO(write(rules, text, 1), EINVAL);
	CHECK_ERRNO(epoll_ctl((int)MUST(epoll_create1(0)), EPOLL_CTL_ADD, rules, &(struct epoll_event){.events = EPOLLIN}), EPERM);
}

TEST(adding_rules)
{
	struct landlock_path_beneath_attr rule = {READ_FILE, -1};
	struct {
		uint64_t allowed, port;
	} port = {1, 80};
	int rules = (int)MUST(ruleset(READ_FILE | READ_DIR | WRITE_FILE, 1)), ends[2];

	make_tree();
	MUST(pipe(ends));
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, -1, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), EBADF);
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, ends[0], LANDLOCK_RULE_PATH_BENEATH, &rule, 0), EBADFD);
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, 0, &rule, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, 3, &rule, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, bad_address(), 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), EBADF);
	rule.parent_fd = ends[0];
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), EBADFD);
	/* The queues of a namespace are in a mount of the kernel's. */
	rule.parent_fd = (int)MUST(syscall(SYS_mq_open, "landlock", O_RDWR | O_CREAT, 0600, NULL));
	MUST(syscall(SYS_mq_unlink, "landlock"));
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), EBADFD);
	rule.parent_fd = rules;
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), EBADFD);
	CHECK_ERRNO(add(rules, 0, "a"), ENOMSG);
	CHECK_ERRNO(add(rules, EXECUTE, "a"), EINVAL);
	CHECK_ERRNO(add(rules, READ_DIR, "a/file"), EINVAL);
	CHECK_EQ(add(rules, READ_FILE, "a/file"), 0);
	CHECK_EQ(add(rules, READ_FILE | READ_DIR, "a"), 0);
	CHECK_EQ(add(rules, WRITE_FILE, "a"), 0);
	CHECK_EQ(syscall(SYS_landlock_add_rule, rules, 2, &port, 0), 0);
	port.port = 65536;
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, 2, &port, 0), EINVAL);
	port.allowed = 0;
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, 2, &port, 0), ENOMSG);
	port.allowed = 2;
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, rules, 2, &port, 0), EINVAL);
}

TEST(restricting)
{
	int rules = (int)MUST(ruleset(EXECUTE, 0)), ends[2];

	MUST(pipe(ends));
	drop_root();
	CHECK_ERRNO(restrict_by(rules), EPERM);
	CHECK_ERRNO(syscall(SYS_landlock_restrict_self, -1, 0x80000000), EPERM);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_ERRNO(syscall(SYS_landlock_restrict_self, rules, 0x80000000), EINVAL);
	CHECK_ERRNO(syscall(SYS_landlock_restrict_self, rules, 8), EINVAL);
	/* What of refusals is logged (Linux 6.15): that of later domains may be said without a ruleset. */
	for (int flags = 0; flags <= 7; flags++) {
		if (flags == 4)
			CHECK_EQ(syscall(SYS_landlock_restrict_self, -1, flags), 0);
		else
			CHECK_ERRNO(syscall(SYS_landlock_restrict_self, -1, flags), EBADF);
		CHECK_ERRNO(syscall(SYS_landlock_restrict_self, 999, flags), EBADF);
	}
	CHECK_ERRNO(restrict_by(-1), EBADF);
	CHECK_ERRNO(restrict_by(ends[0]), EBADFD);
	for (int layer = 0; layer < 16; layer++)
		MUST(restrict_by(rules));
	CHECK_ERRNO(restrict_by(rules), E2BIG);
}

TEST(reading)
{
	int fd;
	char byte;

	make_tree();
	fd = (int)MUST(open("c/file", O_RDWR));
	only(READ_FILE | READ_DIR, READ_FILE | READ_DIR, "a");
	CHECK_OK(open("a/file", O_RDONLY));
	CHECK_OK(open("a/b/file", O_RDONLY));
	CHECK_OK(open("a", O_RDONLY | O_DIRECTORY));
	CHECK_OK(open("a/b", O_RDONLY | O_DIRECTORY));
	CHECK_ERRNO(open("c/file", O_RDONLY), EACCES);
	CHECK_ERRNO(open("c/file", O_RDWR), EACCES);
	CHECK_ERRNO(open("c", O_RDONLY | O_DIRECTORY), EACCES);
	CHECK_ERRNO(open(".", O_RDONLY | O_DIRECTORY), EACCES);
	CHECK_OK(open("c/file", O_WRONLY));
	CHECK_OK(open("c/file", O_PATH));
	CHECK_ERRNO(open("/proc/self/status", O_RDONLY), EACCES);
	CHECK_ERRNO(open("/dev/null", O_RDONLY), EACCES);
	CHECK_OK(open("/dev/null", O_WRONLY));
	CHECK_EQ(access("c/file", R_OK), 0);
	/* What is open stays so. */
	CHECK_EQ(read(fd, &byte, 1), 1);
	CHECK_EQ(pipe((int[2]){0, 0}), 0);
	/* A link leads where it leads. */
	MUST(symlink("../c/file", "a/link"));
	CHECK_ERRNO(open("a/link", O_RDONLY), EACCES);
	CHECK_ERRNO(open("a/../c/file", O_RDONLY), EACCES);
	CHECK_ERRNO(open("nothing", O_RDONLY), ENOENT);
}

TEST(one_file)
{
	make_tree();
	only(READ_FILE | WRITE_FILE, READ_FILE, "a/file");
	CHECK_OK(open("a/file", O_RDONLY));
	CHECK_ERRNO(open("a/file", O_RDWR), EACCES);
	CHECK_ERRNO(open("a/file", O_WRONLY), EACCES);
	CHECK_ERRNO(open("a/b/file", O_RDONLY), EACCES);
	CHECK_OK(open("a", O_RDONLY | O_DIRECTORY));
}

TEST(layers)
{
	make_tree();
	only(READ_FILE, READ_FILE, "a");
	CHECK_OK(open("a/file", O_RDONLY));
	only(READ_FILE, READ_FILE, "a/b");
	CHECK_ERRNO(open("a/file", O_RDONLY), EACCES);
	CHECK_OK(open("a/b/file", O_RDONLY));
	only(READ_FILE, READ_FILE, "/");
	CHECK_ERRNO(open("a/file", O_RDONLY), EACCES);
	CHECK_OK(open("a/b/file", O_RDONLY));
	CHECK_ERRNO(open("c/file", O_RDONLY), EACCES);
	only(READ_FILE, 0, NULL);
	CHECK_ERRNO(open("a/b/file", O_RDONLY), EACCES);
	CHECK_OK(open("a/b/file", O_WRONLY));
}

/* Rules for a file and for what is above it count together. */
TEST(rules_add_up)
{
	int rules;

	make_tree();
	rules = (int)MUST(ruleset(READ_FILE | WRITE_FILE, 0));
	MUST(add(rules, READ_FILE, "a"));
	MUST(add(rules, WRITE_FILE, "a/b"));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	CHECK_OK(open("a/b/file", O_RDWR));
	CHECK_ERRNO(open("a/file", O_RDWR), EACCES);
	CHECK_OK(open("a/file", O_RDONLY));
	/* What is added afterwards is for the next to be restricted. */
	CHECK_EQ(add(rules, READ_FILE, "c"), 0);
	CHECK_ERRNO(open("c/file", O_RDONLY), EACCES);
}

TEST(making_and_removing)
{
	struct sockaddr_un name = {AF_UNIX, "c/socket"};

	make_tree();
	only(MAKE_REG | MAKE_DIR | MAKE_SYM | MAKE_FIFO | MAKE_SOCK | REMOVE_FILE | REMOVE_DIR,
	     MAKE_REG | MAKE_DIR | REMOVE_FILE, "a");
	CHECK_OK(open("a/new", O_CREAT | O_WRONLY, 0644));
	CHECK_ERRNO(open("c/new", O_CREAT | O_WRONLY, 0644), EACCES);
	CHECK_OK(open("c/file", O_CREAT | O_WRONLY, 0644));
	CHECK_EQ(mkdir("a/directory", 0755), 0);
	CHECK_ERRNO(mkdir("c/directory", 0755), EACCES);
	CHECK_ERRNO(mkdir("c", 0755), EEXIST);
	CHECK_ERRNO(symlink("x", "a/link"), EACCES);
	CHECK_ERRNO(mkfifo("a/fifo", 0644), EACCES);
	CHECK_ERRNO(mknod("a/socket", S_IFSOCK | 0644, 0), EACCES);
	CHECK_EQ(mknod("a/regular", S_IFREG | 0644, 0), 0);
	CHECK_ERRNO(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof(name)), EACCES);
	CHECK_EQ(unlink("a/new"), 0);
	CHECK_ERRNO(unlink("c/file"), EACCES);
	CHECK_ERRNO(unlink("c/nothing"), ENOENT);
	CHECK_ERRNO(rmdir("a/directory"), EACCES);
	CHECK_ERRNO(rmdir("c"), EACCES);
	/* Within one directory a name can be changed by who may make and remove. */
	CHECK_EQ(rename("a/file", "a/other"), 0);
	CHECK_ERRNO(rename("a/directory", "a/b2"), EACCES);
	CHECK_ERRNO(rename("c/file", "c/other"), EACCES);
	CHECK_EQ(link("a/other", "a/third"), 0);
	CHECK_ERRNO(link("c/file", "c/third"), EACCES);
}

TEST(moving)
{
	make_tree();
	only(READ_FILE, READ_FILE, "/");
	/* Without a rule nothing goes to another directory, handled or not. */
	CHECK_ERRNO(rename("a/file", "c/other"), EXDEV);
	CHECK_ERRNO(link("a/file", "c/other"), EXDEV);
	CHECK_EQ(rename("a/file", "a/other"), 0);
	CHECK_EQ(link("a/other", "a/third"), 0);
}

TEST(moving_by_right)
{
	int rules;

	make_tree();
	rules = (int)MUST(ruleset(REFER | READ_FILE | MAKE_REG | REMOVE_FILE, 0));
	MUST(add(rules, REFER | MAKE_REG | REMOVE_FILE, "a"));
	MUST(add(rules, REFER | MAKE_REG | REMOVE_FILE | READ_FILE, "c"));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	/* Where it would be it could be read. */
	CHECK_ERRNO(rename("a/file", "c/other"), EXDEV);
	CHECK_ERRNO(link("a/file", "c/other"), EXDEV);
	/* The other way round it loses rights, which is fine. */
	CHECK_EQ(rename("c/file", "a/other"), 0);
	CHECK_EQ(rename("a/other", "a/b/third"), 0);
	CHECK_ERRNO(rename("a/b/third", "third"), EACCES);
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "a/file", AT_FDCWD, "c", 0), EACCES);
}

TEST(exchanging)
{
	int rules;

	make_tree();
	rules = (int)MUST(ruleset(REFER | READ_FILE | MAKE_REG | REMOVE_FILE, 0));
	MUST(add(rules, REFER | MAKE_REG | REMOVE_FILE, "a"));
	MUST(add(rules, REFER | MAKE_REG | REMOVE_FILE, "c"));
	MUST(add(rules, READ_FILE, "c/file"));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "a/file", AT_FDCWD, "c/file", RENAME_EXCHANGE), 0);
	/* The rule goes with its file. */
	CHECK_OK(open("a/file", O_RDONLY));
	CHECK_ERRNO(open("c/file", O_RDONLY), EACCES);
}

TEST(truncating)
{
	int before, after;

	make_tree();
	before = (int)MUST(open("a/file", O_RDWR));
	only(TRUNCATE | WRITE_FILE, WRITE_FILE, ".");
	after = (int)CHECK_OK(open("a/file", O_RDWR));
	CHECK_EQ(ftruncate(before, 2), 0);
	CHECK_ERRNO(ftruncate(after, 1), EACCES);
	CHECK_ERRNO(truncate("a/file", 1), EACCES);
	CHECK_ERRNO(open("a/file", O_WRONLY | O_TRUNC), EACCES);
	CHECK_ERRNO(creat("a/file", 0644), EACCES);
	CHECK_EQ(write(after, "xyz", 3), 3);
	CHECK_OK(open("a/created", O_CREAT | O_WRONLY | O_TRUNC, 0644));
}

TEST(controlling_devices)
{
	int before = (int)MUST(open("/dev/null", O_RDWR)), after, on = 1, available;

	make_tree();
	only(IOCTL_DEV, IOCTL_DEV, "a");
	after = (int)CHECK_OK(open("/dev/null", O_RDWR));
	CHECK_ERRNO(ioctl(after, TCGETS, &available), EACCES);
	CHECK_ERRNO(ioctl(before, TCGETS, &available), ENOTTY);
	CHECK_EQ(ioctl(after, FIONBIO, &on), 0);
	CHECK_EQ(ioctl(after, FIOCLEX), 0);
	CHECK_EQ(ioctl((int)MUST(open("a/file", O_RDONLY)), FIONREAD, &available), 0);
}

ROLE(exits)
{
	return 42;
}

static int executed(void)
{
	char *arguments[] = {check_self, "exits", NULL};
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		execv(check_self, arguments);
		_exit(errno);
	}
	return WEXITSTATUS(wait_for(child));
}

TEST(executing)
{
	int rules;

	CHECK_EQ(executed(), 42);
	rules = (int)MUST(ruleset(EXECUTE, 0));
	MUST(add(rules, EXECUTE, "/"));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	CHECK_EQ(executed(), 42);
	only(EXECUTE, 0, NULL);
	CHECK_EQ(executed(), EACCES);
}

/* What can be executed must be readable, too. */
TEST(executing_without_reading)
{
	only(EXECUTE | READ_FILE, EXECUTE, "/");
	CHECK_EQ(executed(), EACCES);
}

TEST(inherited)
{
	pid_t child;

	make_tree();
	child = (pid_t)MUST(fork());
	if (child == 0) {
		only(READ_FILE, READ_FILE, "a");
		_exit(open("c/file", O_RDONLY) == -1 && errno == EACCES ? 0 : 1);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_OK(open("c/file", O_RDONLY));
	only(READ_FILE, READ_FILE, "a");
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(open("c/file", O_RDONLY) == -1 && errno == EACCES ? 0 : 1);
	CHECK_EQ(wait_for(child), EXITED(0));
}

static int may_look_into(pid_t pid)
{
	char byte;
	struct iovec here = {&byte, 1}, there = {(void *)&check_seconds, 1};

	return syscall(SYS_process_vm_readv, pid, &here, 1UL, &there, 1UL, 0UL) == 1 ? 0 : errno;
}

/* Who is in a domain can't look into who isn't. */
TEST(other_processes)
{
	pid_t outside = child_that_pauses(), inside, child;

	CHECK_EQ(may_look_into(outside), 0);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		only(EXECUTE, EXECUTE, "/");
		inside = child_that_pauses();
		CHECK_EQ(may_look_into(outside), EPERM);
		CHECK_EQ(may_look_into(inside), 0);
		CHECK_EQ(kill(outside, 0), 0);
		kill(inside, SIGKILL);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	kill(outside, SIGKILL);
}

static int connect_to(int port, int family)
{
	struct sockaddr_in where = {.sin_family = (sa_family_t)family, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), result = connect(fd, (struct sockaddr *)&where, sizeof(where));
	int saved = result == -1 ? errno : 0;

	close(fd);
	return saved;
}

static int bind_to(int port, int kind)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = (int)MUST(socket(AF_INET, kind, 0)), on = 1, saved;

	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	saved = bind(fd, (struct sockaddr *)&where, sizeof(where)) == -1 ? errno : 0;
	close(fd);
	return saved;
}

TEST(ports)
{
	struct {
		uint64_t allowed, port;
	} rule = {1, 27321};
	int rules = (int)MUST(ruleset(0, 3));

	MUST(syscall(SYS_landlock_add_rule, rules, 2, &rule, 0));
	rule.allowed = 2;
	rule.port = 27322;
	MUST(syscall(SYS_landlock_add_rule, rules, 2, &rule, 0));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	CHECK_EQ(bind_to(27321, SOCK_STREAM), 0);
	CHECK_EQ(bind_to(27322, SOCK_STREAM), EACCES);
	CHECK_EQ(bind_to(0, SOCK_STREAM), EACCES);
	CHECK_EQ(bind_to(27322, SOCK_DGRAM), 0);
	CHECK_EQ(connect_to(27322, AF_INET), ECONNREFUSED);
	CHECK_EQ(connect_to(27321, AF_INET), EACCES);
	CHECK_EQ(connect_to(27321, AF_UNSPEC), 0);
	CHECK_EQ(connect_to(27321, AF_INET6), EINVAL);
}

/* An address without a family is nobody's port but for a socket of IPv4. */
TEST(addresses_without_a_family)
{
	struct sockaddr_in any = {.sin_family = AF_UNSPEC, .sin_port = htons(27325)}, here = any;
	int four = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), six = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
	char many[28] = "";

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by((int)MUST(ruleset(0, 3))));
	CHECK_ERRNO(bind(four, (struct sockaddr *)&any, sizeof any), EACCES);
	CHECK_ERRNO(bind(four, (struct sockaddr *)&any, 15), EINVAL);
	CHECK_ERRNO(bind(four, (struct sockaddr *)&here, sizeof here), EAFNOSUPPORT);
	CHECK_ERRNO(bind(six, (struct sockaddr *)&any, sizeof any), EINVAL);
	CHECK_ERRNO(bind(six, (struct sockaddr *)many, sizeof many), EAFNOSUPPORT);
	here.sin_family = AF_INET;
	CHECK_ERRNO(sendto(four, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&here, 15), EINVAL);
	CHECK_ERRNO(sendto(four, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&here, sizeof here), EPIPE);
}

#define SCOPE_SOCKETS 1
#define SCOPE_SIGNALS 2

/* Nothing of what `scopes` are about is done to those outside. */
static void scope(uint64_t scopes)
{
	struct attributes attributes = {0, 0, scopes};
	int rules = (int)MUST(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0));

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	MUST(close(rules));
}

TEST(making_scopes)
{
	struct attributes attributes = {0, 0, 4};

	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0), EINVAL);
	attributes.scoped = 1ULL << 63;
	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0), EINVAL);
	attributes.scoped = 3;
	CHECK_OK(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0));
	attributes.scoped = 0;
	CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0), ENOMSG);
}

TEST(signals_do_not_get_out)
{
	pid_t outside = child_that_pauses(), child = (pid_t)MUST(fork());

	if (child == 0) {
		pid_t inside, above;

		setpgid(0, 0);
		scope(SCOPE_SOCKETS);
		above = child_that_pauses();
		CHECK_EQ(kill(outside, 0), 0);
		scope(SCOPE_SIGNALS);
		inside = child_that_pauses();
		CHECK_ERRNO(kill(outside, 0), EPERM);
		CHECK_ERRNO(kill(outside, SIGKILL), EPERM);
		CHECK_ERRNO(kill(outside, SIGCONT), EPERM);
		CHECK_ERRNO(syscall(SYS_tkill, outside, 0), EPERM);
		CHECK_ERRNO(kill(getppid(), 0), EPERM);
		CHECK_ERRNO(kill(above, 0), EPERM);
		CHECK_EQ(kill(inside, 0), 0);
		CHECK_EQ(kill(getpid(), 0), 0);
		/* Of a group, those get it who are inside. */
		CHECK_EQ(kill(0, 0), 0);
		/* A layer without the scope changes nothing. */
		scope(SCOPE_SOCKETS);
		CHECK_ERRNO(kill(outside, 0), EPERM);
		CHECK_EQ(kill(inside, SIGKILL), 0);
		CHECK_EQ(wait_for(inside), KILLED(SIGKILL));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(kill(outside, SIGKILL), 0);
	CHECK_EQ(kill(-child, SIGKILL), 0);
}

/* What a file's readiness signals is bound by the domain of who chose its owner. */
TEST(owners_of_files_outside)
{
	int to_owner[2], to_self[2];
	volatile int *got = make_shared_page();
	pid_t outside = (pid_t)MUST(fork());

	if (outside == 0) {
		block(SIGIO);
		for (;;) {
			sigset_t set = set_of(SIGIO);
			int signal;

			sigwait(&set, &signal);
			(*got)++;
		}
	}
	MUST(pipe(to_owner));
	MUST(pipe(to_self));
	block(SIGIO);
	/* Chosen before there is a domain, it's told. */
	MUST(fcntl(to_self[0], F_SETOWN, outside));
	MUST(fcntl(to_self[0], F_SETFL, O_ASYNC));
	scope(SCOPE_SIGNALS);
	MUST(fcntl(to_owner[0], F_SETOWN, outside));
	MUST(fcntl(to_owner[0], F_SETFL, O_ASYNC));
	write_all(to_owner[1], "x", 1);
	sleep_ms(50);
	CHECK_EQ(*got, 0);
	write_all(to_self[1], "x", 1);
	for (int round = 0; *got == 0 && round < 200; round++)
		sleep_ms(10);
	CHECK_EQ(*got, 1);
	CHECK(!is_pending(SIGIO));
	MUST(fcntl(to_owner[0], F_SETOWN, getpid()));
	write_all(to_owner[1], "x", 1);
	CHECK(is_pending(SIGIO));
	CHECK_ERRNO(kill(outside, SIGKILL), EPERM);
}

static void *own_by_the_group(void *file)
{
	/* This thread alone is restricted. */
	scope(SCOPE_SIGNALS);
	MUST(fcntl(*(int *)file, F_SETOWN, -getpgrp()));
	MUST(fcntl(*(int *)file, F_SETFL, O_ASYNC));
	return NULL;
}

/* Of the process group that owns a file, who chose it is always told, and others as the domain says. */
TEST(owners_that_are_process_groups)
{
	int ends[2];
	volatile int *got = make_shared_page();
	pthread_t thread;
	pid_t member;

	block(SIGIO);
	member = (pid_t)MUST(fork());
	if (member == 0) {
		sigset_t set = set_of(SIGIO);
		int signal;

		*got = 1;
		sigwait(&set, &signal);
		*got = 2;
		_exit(0);
	}
	while (*got == 0)
		sleep_ms(1);
	MUST(pipe(ends));
	CHECK_EQ(pthread_create(&thread, NULL, own_by_the_group, &ends[0]), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	write_all(ends[1], "x", 1);
	sleep_ms(50);
	CHECK(is_pending(SIGIO));
	CHECK_EQ(*got, 1);
	MUST(kill(member, SIGKILL));
}

static struct sockaddr_un abstract_name(const char *name, socklen_t *length)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};

	snprintf(where.sun_path + 1, sizeof(where.sun_path) - 1, "landlock-%d-%s", (int)getpgrp(), name);
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(where.sun_path + 1));
	return where;
}

static int named_socket(int kind, const char *name)
{
	socklen_t length;
	struct sockaddr_un where = abstract_name(name, &length);
	int fd = (int)MUST(socket(AF_UNIX, kind, 0));

	MUST(bind(fd, (struct sockaddr *)&where, length));
	if (kind != SOCK_DGRAM)
		MUST(listen(fd, 5));
	return fd;
}

/* The errno of a connection, or of a message without one. */
static int reach(int kind, const char *name, int connects)
{
	socklen_t length;
	struct sockaddr_un where = abstract_name(name, &length);
	int fd = (int)MUST(socket(AF_UNIX, kind, 0)), result, saved;

	if (connects)
		result = connect(fd, (struct sockaddr *)&where, length);
	else
		result = (int)sendto(fd, "x", 1, 0, (struct sockaddr *)&where, length);
	saved = result == -1 ? errno : 0;
	close(fd);
	return saved;
}

TEST(abstract_sockets_outside)
{
	int connected = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), inner, made_before;
	struct sockaddr_un where = {.sun_family = AF_UNIX, .sun_path = "socket"};
	socklen_t length;

	enter_scratch();
	named_socket(SOCK_STREAM, "stream");
	named_socket(SOCK_SEQPACKET, "packets");
	named_socket(SOCK_DGRAM, "datagrams");
	made_before = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	inner = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	MUST(bind(inner, (struct sockaddr *)&where, sizeof(where)));
	MUST(listen(inner, 5));
	where = abstract_name("datagrams", &length);
	MUST(connect(connected, (struct sockaddr *)&where, length));
	scope(SCOPE_SIGNALS);
	CHECK_EQ(reach(SOCK_STREAM, "stream", 1), 0);
	scope(SCOPE_SOCKETS);
	CHECK_EQ(reach(SOCK_STREAM, "stream", 1), EPERM);
	CHECK_EQ(reach(SOCK_SEQPACKET, "packets", 1), EPERM);
	CHECK_EQ(reach(SOCK_DGRAM, "datagrams", 1), EPERM);
	CHECK_EQ(reach(SOCK_DGRAM, "datagrams", 0), EPERM);
	CHECK_EQ(reach(SOCK_STREAM, "none", 1), ECONNREFUSED);
	/* What was connected is, and what has a path is asked for by that. */
	CHECK_EQ(send(connected, "x", 1, 0), 1);
	CHECK_EQ(sendto(connected, "x", 1, 0, (struct sockaddr *)&where, length), 1);
	where = (struct sockaddr_un){.sun_family = AF_UNIX, .sun_path = "socket"};
	CHECK_OK(connect((int)MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&where, sizeof(where)));
	/* The domain is that of who made the socket. */
	where = abstract_name("before", &length);
	MUST(bind(made_before, (struct sockaddr *)&where, length));
	MUST(listen(made_before, 5));
	CHECK_EQ(reach(SOCK_STREAM, "before", 1), EPERM);
	named_socket(SOCK_STREAM, "inside");
	named_socket(SOCK_DGRAM, "messages inside");
	CHECK_EQ(reach(SOCK_STREAM, "inside", 1), 0);
	CHECK_EQ(reach(SOCK_DGRAM, "messages inside", 0), 0);
	scope(SCOPE_SOCKETS);
	CHECK_EQ(reach(SOCK_STREAM, "inside", 1), EPERM);
	CHECK_EQ(reach(SOCK_DGRAM, "messages inside", 1), EPERM);
}

TEST(mounting)
{
	int rules = (int)MUST(ruleset(READ_FILE, 0));

	MUST(add(rules, READ_FILE, "/"));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	CHECK_ERRNO(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL), EPERM);
	CHECK_ERRNO(syscall(SYS_umount2, "/proc", 0), EPERM);
	if (geteuid() != 0)
		return;
	/* What isn't attached anywhere changes no tree. */
	CHECK_EQ(close((int)MUST(syscall(SYS_fsopen, "tmpfs", 0))), 0);
	CHECK_EQ(close((int)MUST(syscall(SYS_open_tree, AT_FDCWD, "/tmp", 1))), 0);
	CHECK_ERRNO(syscall(SYS_move_mount, AT_FDCWD, "/proc", AT_FDCWD, "/tmp", 0), EPERM);
}

/* A SYN that sendto(2) sends is a connection as connect(2)'s is; earlier kernels didn't ask about it. */
TEST(connecting_by_sending)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(27326)};
	int fd = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), number;

	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by((int)MUST(ruleset(0, 3))));
	CHECK_ERRNO(connect(fd, (struct sockaddr *)&where, sizeof where), EACCES);
	number = ERRNO_OF(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&where, sizeof where));
	CHECK(number == EACCES || number == ECONNREFUSED);
}

TEST(being_traced_by_who_is_restricted)
{
	int rules = (int)MUST(ruleset(READ_FILE, 0)), ends[2];
	pid_t child;
	char byte;

	MUST(pipe(ends));
	child = MUST(fork());
	if (child == 0) {
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 0 && ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 ? errno : 0);
	}
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	close(ends[1]);
	CHECK_EQ(wait_for(child), EXITED(EPERM));
	child = MUST(fork());
	if (child == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 ? errno : 0);
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(what_is_covered_and_what_has_left)
{
	int rules = (int)MUST(ruleset(READ_FILE, 0)), left;

	if (geteuid() != 0)
		return;
	enter_own_mounts("tmpfs", "mode=755");
	MUST(mkdir("covered", 0755));
	MUST(mkdir("tree", 0755));
	MUST(mkdir("tree/in", 0755));
	MUST(mkdir("bound", 0755));
	MUST(mkdir("away", 0755));
	write_file("tree/in/f", "text", 0644);
	MUST(add(rules, READ_FILE, "covered"));
	MUST(add(rules, READ_FILE, "bound"));
	MUST(mount("none", "covered", "tmpfs", 0, "mode=755"));
	write_file("covered/f", "text", 0644);
	MUST(mount("tree", "bound", NULL, MS_BIND, NULL));
	left = MUST(open("bound/in", O_PATH | O_DIRECTORY));
	MUST(add(rules, READ_FILE, "bound"));
	MUST(rename("tree/in", "away/in"));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(restrict_by(rules));
	CHECK_ERRNO(open("covered/f", O_RDONLY), EACCES);
	CHECK_ERRNO(open("away/in/f", O_RDONLY), EACCES);
	/* Its own mount is where the walk goes on from the top of the file system. */
	CHECK_EQ(close(openat(left, "f", O_RDONLY)), 0);
	CHECK_ERRNO(syscall(SYS_landlock_add_rule, left, 1, NULL, 0), EBADF);
}
