/* Numbers that are written to files of /proc: what is one, and how much of a text is taken. */
#include "own_mounts.h"

#include <stdio.h>

static char shown[256];

/* What comes of writing `length` bytes of `text` in one call: how many were taken, or minus the errno. */
static int put_bytes(const char *path, const char *text, size_t length)
{
	int fd = (int)MUST(open(path, O_WRONLY)), count = (int)write(fd, text, length), why = errno;

	close(fd);
	return count < 0 ? -why : count;
}

static int put(const char *path, const char *text)
{
	return put_bytes(path, text, strlen(text));
}

static const char *get(const char *path)
{
	int fd = (int)MUST(open(path, O_RDONLY));
	ssize_t length = MUST(read(fd, shown, sizeof shown - 1));

	shown[length] = '\0';
	close(fd);
	return shown;
}

#define FILTER "/proc/self/coredump_filter"
#define SLACK "/proc/self/timerslack_ns"
#define CLEAR "/proc/self/clear_refs"
#define ADJUSTMENT "/proc/self/oom_score_adj"

TEST(a_number_is_all_of_a_text)
{
	char zeros[80];

	CHECK_EQ(put(FILTER, "7"), 1);
	CHECK_EQ(put(FILTER, "+5\n"), 3);
	CHECK_STRING(get(FILTER), "00000005\n");
	CHECK_EQ(put(FILTER, " 7"), -EINVAL);
	CHECK_EQ(put(FILTER, "7 "), -EINVAL);
	CHECK_EQ(put(FILTER, "7\n\n"), -EINVAL);
	CHECK_EQ(put(FILTER, "0b1"), -EINVAL);
	CHECK_EQ(put(FILTER, "0o7"), -EINVAL);
	CHECK_EQ(put(FILTER, "1_0"), -EINVAL);
	CHECK_EQ(put(FILTER, "+-5"), -EINVAL);
	CHECK_EQ(put(FILTER, "-5"), -EINVAL);
	CHECK_EQ(put(FILTER, "08"), -EINVAL);
	CHECK_EQ(put(FILTER, "0x"), -EINVAL);
	CHECK_EQ(put(FILTER, "4294967296"), -ERANGE);
	CHECK_EQ(put(FILTER, "000000000000000000000000000000006"), 33);
	CHECK_STRING(get(FILTER), "00000006\n");
	memset(zeros, '0', sizeof zeros);
	zeros[sizeof zeros - 1] = '5';
	/* No more is looked at than an int in base 2 would take. */
	CHECK_EQ(put_bytes(FILTER, zeros, sizeof zeros), sizeof zeros);
	CHECK_STRING(get(FILTER), "00000000\n");
}

TEST(numbers_in_decimal)
{
	CHECK_EQ(put(SLACK, "0010"), 4);
	CHECK_STRING(get(SLACK), "10\n");
	CHECK_EQ(put(SLACK, "0x10"), -EINVAL);
	CHECK_EQ(put(SLACK, "-1"), -EINVAL);
	CHECK_EQ(put(SLACK, " 5"), -EINVAL);
	CHECK_EQ(put(SLACK, "18446744073709551616"), -ERANGE);
	CHECK_EQ(put(CLEAR, " 5 \n"), 4);
	CHECK_EQ(put(CLEAR, "0x5"), -EINVAL);
	CHECK_EQ(put(CLEAR, "6"), -EINVAL);
	CHECK_EQ(put(CLEAR, "0000000000005"), -EINVAL);
	CHECK_EQ(put(ADJUSTMENT, "\t900 \n"), 6);
	CHECK_EQ(put(ADJUSTMENT, "0x3e8"), 5);
	CHECK_STRING(get(ADJUSTMENT), "1000\n");
	CHECK_EQ(put(ADJUSTMENT, "1001"), -EINVAL);
	CHECK_EQ(put(ADJUSTMENT, "+-5"), -EINVAL);
	CHECK_EQ(put(ADJUSTMENT, "9999999999"), -ERANGE);
}

/* Parameters of IPC and networks of one's own. */
static void enter_own_parameters(void)
{
	MUST(unshare(CLONE_NEWIPC | CLONE_NEWNET));
	enter_own_mounts("proc", NULL);
	MUST(chdir("sys"));
}

ROOTS_TEST(what_follows_the_numbers_of_a_parameter)
{
	enter_own_parameters();
	CHECK_EQ(put("kernel/msgmnb", " 5 6"), 3);
	CHECK_STRING(get("kernel/msgmnb"), "5\n");
	CHECK_EQ(put("kernel/msgmnb", "\v7\t\n"), 4);
	CHECK_EQ(put("kernel/msgmnb", "8 x"), 2);
	CHECK_STRING(get("kernel/msgmnb"), "8\n");
	CHECK_EQ(put("kernel/msgmnb", "9x"), -EINVAL);
	CHECK_EQ(put("kernel/msgmnb", "+9"), -EINVAL);
	CHECK_EQ(put("kernel/msgmnb", "9\v"), -EINVAL);
	CHECK_EQ(put_bytes("kernel/msgmnb", "9\0", 2), -EINVAL);
	CHECK_EQ(put("kernel/msgmnb", " \n"), -EINVAL);
	CHECK_EQ(put("kernel/msgmnb", ""), 0);
	CHECK_EQ(put("kernel/msgmnb", "-0"), 2);
	CHECK_EQ(put("kernel/msgmnb", "00000000000000000012"), 20);
	CHECK_STRING(get("kernel/msgmnb"), "10\n");
	CHECK_EQ(put("kernel/msgmnb", "000000000000000000012"), -EINVAL);
	CHECK_EQ(put("kernel/shmmax", "-0"), -EINVAL);
	CHECK_EQ(put("kernel/shmmax", "0x10 5"), 5);
	CHECK_STRING(get("kernel/shmmax"), "16\n");
}

ROOTS_TEST(parameters_of_several_numbers)
{
	enter_own_parameters();
	CHECK_EQ(put("kernel/sem", "5 6x"), -EINVAL);
	CHECK_EQ(strncmp(get("kernel/sem"), "5\t32000\t", 2), 0);
	CHECK_EQ(put("kernel/sem", "1 2 3 4 5 6"), 8);
	CHECK_STRING(get("kernel/sem"), "1\t2\t3\t4\n");
	CHECK_EQ(put("kernel/sem", "\n"), -EINVAL);
	CHECK_EQ(put("net/ipv4/ping_group_range", "5 0x6 7"), 6);
	CHECK_STRING(get("net/ipv4/ping_group_range"), "5\t6\n");
	CHECK_EQ(put("net/ipv4/ping_group_range", "2"), 1);
	CHECK_STRING(get("net/ipv4/ping_group_range"), "2\t6\n");
	CHECK_EQ(put("net/ipv4/ping_group_range", "7"), 1);
	CHECK_STRING(get("net/ipv4/ping_group_range"), "1\t0\n");
	CHECK_EQ(put("net/ipv4/ip_local_port_range", "40000"), 5);
	CHECK_STRING(get("net/ipv4/ip_local_port_range"), "40000\t60999\n");
	CHECK_EQ(put("net/ipv4/tcp_wmem", "0x1000 010"), 10);
	CHECK_EQ(strncmp(get("net/ipv4/tcp_wmem"), "4096\t8\t", 7), 0);
}

ROOTS_TEST(parameters_of_networks)
{
	enter_own_parameters();
	CHECK_EQ(put("net/ipv4/ip_forward", "0x1 2"), 4);
	CHECK_STRING(get("net/ipv4/ip_forward"), "1\n");
	CHECK_EQ(put("net/ipv4/ip_forward", "1_0"), -EINVAL);
	CHECK_EQ(put("net/ipv4/ip_forward", "08"), -EINVAL);
	CHECK_EQ(put("net/ipv4/conf/lo/rp_filter", "0x2 7"), 4);
	CHECK_STRING(get("net/ipv4/conf/lo/rp_filter"), "2\n");
	/* What comes behind a number of 8 bits is taken with it. */
	CHECK_EQ(put("net/ipv4/ip_default_ttl", "077 no more"), 11);
	CHECK_STRING(get("net/ipv4/ip_default_ttl"), "63\n");
	CHECK_EQ(put("net/ipv4/ip_default_ttl", "256"), -EINVAL);
	CHECK_EQ(put("net/ipv4/ip_default_ttl", "-5"), -EINVAL);
}

ROOTS_TEST(numbers_are_read_at_once)
{
	static const char *const texts[] = { "kernel/hostname", "kernel/osrelease", "kernel/ostype", "kernel/version",
		"kernel/random/boot_id", "kernel/random/uuid", "kernel/seccomp/actions_avail",
		"net/ipv4/tcp_available_congestion_control" };
	char one[8];
	int fd;

	enter_own_parameters();
	fd = (int)MUST(open("kernel/msgmnb", O_RDONLY));
	CHECK_EQ(read(fd, one, 1), 1);
	CHECK_EQ(read(fd, one, 1), 0);
	CHECK_EQ(pread(fd, one, 2, 0), 2);
	CHECK_EQ(pread(fd, one, 2, 1), 0);
	MUST(close(fd));
	/* Texts aren't. */
	for (size_t i = 0; i < LENGTH(texts); i++) {
		fd = (int)MUST(open(texts[i], O_RDONLY));
		CHECK_EQ(read(fd, one, 1), 1);
		CHECK_EQ(read(fd, one, 1), 1);
		MUST(close(fd));
	}
}

ROOTS_TEST(what_is_beyond_a_page_counts)
{
	static char text[70000] = "1\n";

	enter_own_parameters();
	CHECK_EQ(put_bytes("net/ipv4/conf/lo/accept_local", text, 4095), 2);
	CHECK_EQ(put_bytes("net/ipv4/conf/lo/accept_local", text, 4096), 3);
	CHECK_EQ(put_bytes("net/ipv4/conf/lo/accept_local", text, 5000), 907);
	/* Of those without a sign that are of 8 or 32 bits all counts. */
	CHECK_EQ(put_bytes("net/ipv4/tcp_dsack", text, 5000), 5000);
	CHECK_EQ(put_bytes("net/ipv4/tcp_probe_interval", text, 64), 64);
	CHECK_EQ(put_bytes("net/core/tstamp_allow_data", text, 64), 64);
	CHECK_EQ(put_bytes("net/ipv4/tcp_pacing_ca_ratio", text, 64), 2);
	CHECK_EQ(put_bytes("net/ipv4/tcp_plb_cong_thresh", text, 64), 2);
	CHECK_EQ(put_bytes("net/ipv4/tcp_adv_win_scale", text, 64), 2);
	CHECK_EQ(put("net/ipv4/ip_local_reserved_ports", "1\n"), 2);
	CHECK_EQ(put_bytes("net/ipv4/ip_local_reserved_ports", text, 3), -EINVAL);
	CHECK_EQ(put("net/ipv4/ip_local_reserved_ports", "1 "), -EINVAL);
	CHECK_EQ(put("net/ipv4/ip_local_reserved_ports", "\n1,5-6\n\n"), 8);
	CHECK_STRING(get("net/ipv4/ip_local_reserved_ports"), "1,5-6\n");
}

/* Seconds and hundredths of them are whole ticks, and may be negative. */
ROOTS_TEST(units_of_parameters)
{
	enter_own_parameters();
	CHECK_EQ(put("net/ipv4/neigh/lo/base_reachable_time", "-1"), 2);
	CHECK_STRING(get("net/ipv4/neigh/lo/base_reachable_time"), "-1\n");
	CHECK_EQ(put("net/ipv4/neigh/lo/base_reachable_time_ms", "-1"), -EINVAL);
	CHECK_EQ(put("net/ipv4/neigh/lo/base_reachable_time_ms", "1"), 1);
	CHECK_STRING(get("net/ipv4/neigh/lo/base_reachable_time"), "0\n");
	CHECK_EQ(put("net/ipv4/neigh/lo/retrans_time", "50"), 2);
	CHECK_STRING(get("net/ipv4/neigh/lo/retrans_time_ms"), "500\n");
	CHECK_EQ(put("net/ipv4/neigh/lo/retrans_time", "-50"), 3);
	CHECK_STRING(get("net/ipv4/neigh/lo/retrans_time"), "-0\n");
	CHECK_EQ(put("net/ipv6/neigh/lo/retrans_time", "-1"), 2);
	CHECK_STRING(get("net/ipv6/neigh/lo/retrans_time"), "-1\n");
}

/* To whom a parameter isn't open, what he writes is no matter. */
ROOTS_TEST(parameters_of_administrators)
{
	static const char *const paths[] = {"kernel/dmesg_restrict", "kernel/tainted", "kernel/seccomp/actions_logged"};

	enter_own_parameters();
	MUST(unshare(CLONE_NEWUSER));
	for (unsigned i = 0; i < LENGTH(paths); i++) {
		CHECK_EQ(put(paths[i], "x"), -EPERM);
		CHECK_EQ(put(paths[i], "999"), -EPERM);
	}
	/* This one asks for no more than its mode. */
	CHECK_EQ(put("kernel/printk", "x"), -EINVAL);
}

/* What is the machine's is only read elsewhere than in its first network, and its mode says so. */
ROOTS_TEST(modes_in_other_networks)
{
	static const char *const paths[] = {"net/core/rmem_default", "net/core/wmem_max", "net/ipv4/tcp_allowed_congestion_control"};
	struct stat status;

	enter_own_parameters();
	for (unsigned i = 0; i < LENGTH(paths); i++) {
		MUST(stat(paths[i], &status));
		CHECK_EQ(status.st_mode, S_IFREG | 0444);
		CHECK_ERRNO(open(paths[i], O_WRONLY), EACCES);
	}
	MUST(stat("net/core/somaxconn", &status));
	CHECK_EQ(status.st_mode, S_IFREG | 0644);
	MUST(stat("kernel/overflowuid", &status));
	CHECK_EQ(status.st_mode, S_IFREG | 0644);
	if (stat("/proc/config.gz", &status) == 0)
		CHECK(status.st_size > 0);
}
