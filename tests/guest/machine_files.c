/* Files of /proc and /sys about the machine and its network that tools read. */
#include "check.h"

#include <elf.h>
#include <linux/random.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netpacket/packet.h>
#include <net/ethernet.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define SOMEBODY 4321
#define CACHESTAT 451

static char text[1 << 16];

static const char *contents(const char *path)
{
	int fd = (int)MUST(open(path, O_RDONLY));
	ssize_t length = 0, more;

	while ((more = MUST(read(fd, text + length, sizeof text - 1 - (size_t)length))) > 0)
		length += more;
	text[length] = '\0';
	MUST(close(fd));
	return text;
}

TEST(zones)
{
	const char *found = strstr(contents("/proc/zoneinfo"), "zone   Normal");

	CHECK(found != NULL && strstr(found, "\n  pages free     ") != NULL);
	CHECK(found != NULL && strstr(found, "\n        managed  ") != NULL);
	CHECK(found != NULL && strstr(found, "\n        protection: (0, ") != NULL);
	CHECK(found != NULL && strstr(found, "    cpu: 0\n              count:    ") != NULL);
}

TEST(devices_of_one_number)
{
	CHECK(strstr(contents("/proc/misc"), "200 tun\n") != NULL);
	CHECK(strstr(contents("/proc/misc"), " userfaultfd\n") != NULL);
	CHECK(strstr(contents("/proc/devices"), " 10 misc\n") != NULL);
}

TEST(open_files_are_counted)
{
	long before = 0, spare = 0, most = 0, after = 0, fds[64];

	CHECK_EQ(sscanf(contents("/proc/sys/fs/file-nr"), "%ld\t%ld\t%ld", &before, &spare, &most), 3);
	CHECK(before > 0);
	CHECK_EQ(spare, 0);
	CHECK(most > before);
	for (size_t at = 0; at < LENGTH(fds); at++)
		fds[at] = MUST(open("/dev/null", O_RDONLY));
	CHECK_EQ(sscanf(contents("/proc/sys/fs/file-nr"), "%ld", &after), 1);
	CHECK(after > 0);
	CHECK_STRING(contents("/proc/sys/fs/overflowuid"), "65534\n");
	CHECK_STRING(contents("/proc/sys/fs/overflowgid"), "65534\n");
}

/* Writes what is there already: the machine is others' too. */
static void set_as_it_is(const char *path)
{
	char value[32];

	snprintf(value, sizeof value, "%s", contents(path));
	CHECK_EQ(write_text(path, value), 0);
	CHECK_STRING(contents(path), value);
}

TEST(settings)
{
	set_as_it_is("/proc/sys/vm/swappiness");
	set_as_it_is("/proc/sys/kernel/panic");
	CHECK_ERRNO(write_text("/proc/sys/vm/swappiness", "201"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/vm/swappiness", "-1"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/kernel/panic", "x"), EINVAL);
	set_as_it_is("/proc/sys/fs/file-max");
	set_as_it_is("/proc/sys/fs/epoll/max_user_watches");
	set_as_it_is("/proc/sys/vm/oom_kill_allocating_task");
	CHECK_ERRNO(write_text("/proc/sys/fs/file-max", "-1"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/fs/file-max", "9223372036854775808"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/fs/epoll/max_user_watches", "-1"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/vm/oom_kill_allocating_task", "99999999999"), EINVAL);
	set_as_it_is("/proc/sys/vm/panic_on_oom");
	CHECK_ERRNO(write_text("/proc/sys/vm/panic_on_oom", "3"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/vm/panic_on_oom", "-1"), EINVAL);
	set_as_it_is("/proc/sys/vm/admin_reserve_kbytes");
	CHECK_ERRNO(write_text("/proc/sys/vm/admin_reserve_kbytes", "-1"), EINVAL);
	set_as_it_is("/proc/sys/kernel/sysctl_writes_strict");
	CHECK_ERRNO(write_text("/proc/sys/kernel/sysctl_writes_strict", "2"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/kernel/sysctl_writes_strict", "-2"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/kernel/panic", "99999999999"), EINVAL);
}

TEST(settings_of_the_log)
{
	set_as_it_is("/proc/sys/kernel/printk_devkmsg");
	CHECK_ERRNO(write_text("/proc/sys/kernel/printk_devkmsg", "off"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/kernel/printk_devkmsg", "on and on\n"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/kernel/printk_devkmsg", "nothing\n"), EINVAL);
	set_as_it_is("/proc/sys/kernel/printk_ratelimit");
	CHECK_ERRNO(write_text("/proc/sys/kernel/printk_ratelimit", "2147483647"), EINVAL);
	set_as_it_is("/proc/sys/kernel/printk_ratelimit_burst");
	CHECK_ERRNO(write_text("/proc/sys/kernel/printk_ratelimit_burst", "2147483648"), EINVAL);
	set_as_it_is("/proc/sys/kernel/print-fatal-signals");
	CHECK_ERRNO(write_text("/proc/sys/kernel/print-fatal-signals", "x"), EINVAL);
	set_as_it_is("/proc/sys/debug/exception-trace");
	CHECK_ERRNO(write_text("/proc/sys/debug/exception-trace", "x"), EINVAL);
}

TEST(names_and_inodes)
{
	long numbers[7];

	CHECK_EQ(sscanf(contents("/proc/sys/fs/inode-nr"), "%ld %ld", &numbers[0], &numbers[1]), 2);
	CHECK(numbers[0] > 0 && numbers[1] >= 0);
	CHECK_EQ(sscanf(contents("/proc/sys/fs/inode-state"), "%ld %ld %ld %ld %ld %ld %ld", &numbers[0], &numbers[1],
			&numbers[2], &numbers[3], &numbers[4], &numbers[5], &numbers[6]),
		 7);
	CHECK_EQ(sscanf(contents("/proc/sys/fs/dentry-state"), "%ld %ld %ld %ld %ld %ld", &numbers[0], &numbers[1],
			&numbers[2], &numbers[3], &numbers[4], &numbers[5]),
		 6);
	CHECK(numbers[0] > 0 && numbers[2] == 45 && numbers[5] == 0);
}

/* Nothing is dropped here: the machine is others' too. */
TEST(dropping_caches)
{
	CHECK_ERRNO(write_text("/proc/sys/vm/drop_caches", "0"), EINVAL);
	CHECK_ERRNO(write_text("/proc/sys/vm/drop_caches", "-1"), EINVAL);
	CHECK_ERRNO(open("/proc/sys/vm/drop_caches", O_RDONLY), EACCES);
	CHECK_EQ(write_text("/proc/sys/vm/drop_caches", "4\n"), 0);
	CHECK_STRING(contents("/proc/sys/kernel/sched_rr_timeslice_ms"), "100\n");
	CHECK_STRING(contents("/proc/sys/kernel/sched_rt_period_us"), "1000000\n");
	CHECK_STRING(contents("/proc/sys/kernel/sched_rt_runtime_us"), "950000\n");
}

TEST(the_command_line_has_a_size)
{
	struct stat status;

	MUST(stat("/proc/cmdline", &status));
	CHECK_EQ(status.st_size, strlen(contents("/proc/cmdline")));
}

TEST(notes_of_the_kernel)
{
	const Elf64_Nhdr *note = (const Elf64_Nhdr *)contents("/sys/kernel/notes");
	struct stat status;

	CHECK_EQ(note->n_type, NT_GNU_BUILD_ID);
	CHECK_EQ(note->n_namesz, 4);
	CHECK_EQ(note->n_descsz, 20);
	CHECK_STRING((const char *)(note + 1), "GNU");
	MUST(stat("/sys/kernel/notes", &status));
	CHECK_EQ(status.st_mode, S_IFREG | 0444);
	CHECK(status.st_size >= 36 && status.st_size < 4096);
	CHECK_STRING(contents("/sys/kernel/address_bits"), "64\n");
	CHECK_STRING(contents("/sys/kernel/cpu_byteorder"), "little\n");
	CHECK_STRING(contents("/sys/kernel/fscaps"), "1\n");
}

/* By which the makers of containers know what to give away of a control group. */
TEST(delegation_of_control_groups)
{
	const char *list = contents("/sys/kernel/cgroup/delegate");
	struct stat status;

	CHECK(strncmp(list, "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n", 51) == 0);
	CHECK(strstr(list, "\nmemory.oom.group\n") != NULL);
	CHECK(strstr(list, "\nmemory.reclaim\n") != NULL);
	CHECK(strstr(list, "memory.max") == NULL);
	list = contents("/sys/kernel/cgroup/features");
	CHECK(strncmp(list, "nsdelegate\n", 11) == 0);
	CHECK(strstr(list, "\nmemory_recursiveprot\n") != NULL);
	CHECK(strstr(list, "\npids_localevents\n") != NULL);
	MUST(stat("/sys", &status));
	CHECK_EQ(status.st_mode, S_IFDIR | 0555);
	MUST(stat("/sys/kernel/cgroup/delegate", &status));
	CHECK_EQ(status.st_mode, S_IFREG | 0444);
}

TEST(who_receives_packets)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(77)};
	int every, one, echo;
	unsigned columns[15];

	MUST(unshare(CLONE_NEWNET));
	CHECK(strstr(contents("/proc/net/ptype"), "\n0800          ip_rcv\n") != NULL);
	CHECK(strstr(contents("/proc/net/ptype"), "\n86dd          ipv6_rcv\n") != NULL);
	CHECK(strstr(contents("/proc/net/ptype"), "packet_rcv") == NULL);
	every = (int)MUST(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
	CHECK(strstr(contents("/proc/net/ptype"), "\nALL           packet_rcv\n") != NULL);
	one = (int)MUST(socket(AF_PACKET, SOCK_RAW, htons(0x1234)));
	CHECK(strstr(contents("/proc/net/ptype"), "\n1234          packet_rcv\n") != NULL);
	MUST(close(every));
	MUST(close(one));
	CHECK(strstr(contents("/proc/net/ptype"), "packet_rcv") == NULL);
	CHECK(sscanf(contents("/proc/net/softnet_stat"), "%8x %8x %8x %8x %8x %8x %8x %8x %8x %8x %8x %8x %8x", &columns[0],
		     &columns[1], &columns[2], &columns[3], &columns[4], &columns[5], &columns[6], &columns[7], &columns[8],
		     &columns[9], &columns[10], &columns[11], &columns[12]) == 13);
	CHECK_EQ(columns[12], 0);
	MUST(write_text("/proc/sys/net/ipv4/ping_group_range", "0 0"));
	echo = (int)MUST(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	MUST(bind(echo, (struct sockaddr *)&where, sizeof where));
	CHECK(strstr(contents("/proc/net/icmp"), ": 00000000:004D 00000000:0000 07 00000000:00000000 ") != NULL);
	CHECK(strstr(contents("/proc/net/icmp6"), "  sl  local_address   ") != NULL);
	MUST(close(echo));
}

/* random(4): a pool that needs nothing takes what it's given, from who may. */
TEST(the_pool_of_random_numbers)
{
	struct {
		struct rand_pool_info header;
		char bytes[16];
	} given = {{.entropy_count = 8, .buf_size = 16}, ""};
	int fd = (int)MUST(open("/dev/urandom", O_RDONLY)), count = 8;
	pid_t child;

	CHECK_OK(ioctl(fd, RNDADDTOENTCNT, &count));
	CHECK_ERRNO(ioctl(fd, RNDADDTOENTCNT, bad_address()), EFAULT);
	count = -1;
	CHECK_ERRNO(ioctl(fd, RNDADDTOENTCNT, &count), EINVAL);
	CHECK_OK(ioctl(fd, RNDADDENTROPY, &given));
	given.header.buf_size = 1 << 30;
	CHECK_ERRNO(ioctl(fd, RNDADDENTROPY, &given), EFAULT);
	given.header.entropy_count = -1;
	CHECK_ERRNO(ioctl(fd, RNDADDENTROPY, &given), EINVAL);
	CHECK_OK(ioctl(fd, RNDZAPENTCNT, 0));
	CHECK_OK(ioctl(fd, RNDCLEARPOOL, bad_address()));
	CHECK_OK(ioctl(fd, RNDRESEEDCRNG, 0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setuid(SOMEBODY));
		CHECK_ERRNO(ioctl(fd, RNDADDTOENTCNT, &count), EPERM);
		CHECK_ERRNO(ioctl(fd, RNDADDENTROPY, bad_address()), EPERM);
		CHECK_ERRNO(ioctl(fd, RNDCLEARPOOL, 0), EPERM);
		CHECK_ERRNO(ioctl(fd, RNDGETPOOL, 0), EINVAL);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* Which pages of a file are in memory tells what others do: that's for its owner, and who may write to it. */
TEST(pages_of_others_files)
{
	char name[] = "/dev/shm/check-XXXXXX";
	int writable = (int)MUST(mkstemp(name)), fd = (int)MUST(open(name, O_RDONLY));
	uint64_t range[2] = {0, 0}, counts[5];
	unsigned char there[2] = {9, 9};
	char *pages;
	pid_t child;

	MUST(unlink(name));
	MUST(ftruncate(writable, 8192));
	MUST(fchmod(fd, 0444));
	pages = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	MUST(pages == MAP_FAILED ? -1 : 0);
	CHECK_OK(mincore(pages, 8192, there));
	CHECK_EQ(there[0] | there[1], 0);
	CHECK_OK(syscall(CACHESTAT, fd, range, counts, 0));
	CHECK_ERRNO(syscall(CACHESTAT, fd, range, counts, 1), EINVAL);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(setuid(SOMEBODY));
		CHECK_OK(mincore(pages, 8192, there));
		CHECK_EQ(there[0] & there[1], 1);
		CHECK_ERRNO(syscall(CACHESTAT, fd, range, counts, 0), EPERM);
		CHECK_ERRNO(syscall(CACHESTAT, fd, range, counts, 1), EPERM);
		CHECK_ERRNO(syscall(CACHESTAT, fd, bad_address(), counts, 0), EFAULT);
		CHECK_OK(syscall(CACHESTAT, writable, range, counts, 0));
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}
