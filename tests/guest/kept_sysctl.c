/* What /proc/sys/net takes and tells of settings that need a network of many machines to show (ip-sysctl). */
#include "network_setting.h"
#include "own_network.h"

TEST(numbers_between_bounds)
{
	static const struct {
		const char *name, *first, *taken, *refused;
	} settings[] = {
		{"ipv4/ip_forward_update_priority", "1", "0", "2"},
		{"ipv4/ip_forward_use_pmtu", "0", "255", "256"},
		{"ipv4/ipfrag_max_dist", "64", "2147483647", "-1"},
		{"ipv4/ipfrag_time", "30", "8589934", "8589935"},
		{"ipv4/tcp_child_ehash_entries", "0", "16777216", "16777217"},
		{"ipv4/udp_child_hash_entries", "0", "65536", "65537"},
		{"ipv4/neigh/lo/gc_stale_time", "60", "-8589934", "8589935"},
		{"ipv6/ip6frag_time", "60", "-8589934", "-8589935"},
		{"ipv6/conf/lo/accept_source_route", "0", "-2147483648", "2147483648"},
		{"ipv6/conf/lo/max_desync_factor", "600", "2147483647", "2147483648"},
		{"ipv6/conf/lo/regen_max_retry", "3", "-1", "x"},
		{"ipv6/conf/lo/temp_prefered_lft", "86400", "1", "4294967295"},
		{"ipv6/conf/lo/temp_valid_lft", "604800", "1", "4294967295"},
		{"ipv6/conf/lo/use_tempaddr", "-1", "2", "x"},
		{"ipv6/conf/default/use_tempaddr", "0", "2", "x"},
	};

	enter();
	for (size_t each = 0; each < LENGTH(settings); each++) {
		const char *name = settings[each].name;

		/* What the host has set for new networks is theirs at first too. */
		if (strstr(name, "/conf/") == NULL)
			CHECK_STRING(shown(name), settings[each].first);
		CHECK_EQ(set(name, settings[each].taken), 0);
		CHECK_STRING(shown(name), settings[each].taken);
		CHECK_ERRNO(set(name, settings[each].refused), EINVAL);
		CHECK_STRING(shown(name), settings[each].taken);
	}
}

TEST(room_for_pieces)
{
	enter();
	/* Neither bound goes beyond the other. */
	CHECK_STRING(shown("ipv4/ipfrag_high_thresh"), "4194304");
	CHECK_STRING(shown("ipv4/ipfrag_low_thresh"), "3145728");
	CHECK_ERRNO(set("ipv4/ipfrag_high_thresh", "3145727"), EINVAL);
	CHECK_ERRNO(set("ipv4/ipfrag_low_thresh", "4194305"), EINVAL);
	CHECK_EQ(set("ipv4/ipfrag_low_thresh", "0"), 0);
	CHECK_EQ(set("ipv4/ipfrag_high_thresh", "18446744073709551615"), 0);
	CHECK_STRING(shown("ipv4/ipfrag_high_thresh"), "18446744073709551615");
	CHECK_STRING(shown("ipv6/ip6frag_low_thresh"), "3145728");
	CHECK_ERRNO(set("ipv6/ip6frag_low_thresh", "4194305"), EINVAL);
}

TEST(milliseconds_in_ticks)
{
	enter();
	/* One time by two names, in seconds and in milliseconds. */
	CHECK_EQ(set("ipv6/route/gc_min_interval_ms", "1500"), 0);
	CHECK_STRING(shown("ipv6/route/gc_min_interval"), "1");
	CHECK_EQ(set("ipv6/route/gc_min_interval", "7"), 0);
	CHECK_STRING(shown("ipv6/route/gc_min_interval_ms"), "7000");
	CHECK_ERRNO(set("ipv6/route/gc_min_interval_ms", "-1"), EINVAL);
	/* Of a long number the lower half counts. */
	CHECK_EQ(set("ipv6/route/gc_min_interval_ms", "4294967296"), 0);
	CHECK_STRING(shown("ipv6/route/gc_min_interval_ms"), "0");
	CHECK_ERRNO(set("ipv6/route/gc_min_interval_ms", "2147483648"), EINVAL);
}

TEST(ways_are_forgotten_by_a_number)
{
	enter();
	CHECK_EQ(set("ipv4/route/flush", "x"), 0);
	CHECK_EQ(set("ipv6/route/flush", "1"), 0);
	CHECK_ERRNO(set("ipv6/route/flush", "x"), EINVAL);
}

TEST(ports_in_a_list)
{
	enter();
	CHECK_EQ(set("ipv4/ip_local_reserved_ports", "0x10,8-010\n"), 0);
	CHECK_STRING(shown("ipv4/ip_local_reserved_ports"), "8,16");
	CHECK_ERRNO(set("ipv4/ip_local_reserved_ports", "1 2"), EINVAL);
	CHECK_ERRNO(set("ipv4/ip_local_reserved_ports", "65536"), EINVAL);
	CHECK_ERRNO(set("ipv4/ip_local_reserved_ports", "9-8"), EINVAL);
}

/* What is written behind the beginning is added; of a page a byte is for a NUL, and a number ends before. */
TEST(ports_in_several_writes)
{
	static char much[1 << 20];
	int fd;

	enter();
	fd = (int)MUST(open(NET "ipv4/ip_local_reserved_ports", O_WRONLY));
	CHECK_EQ(write(fd, "1,2", 3), 3);
	CHECK_EQ(write(fd, "\n3-4", 4), 4);
	CHECK_STRING(shown("ipv4/ip_local_reserved_ports"), "1-4");
	CHECK_ERRNO(write(fd, "7,x", 3), EINVAL);
	CHECK_STRING(shown("ipv4/ip_local_reserved_ports"), "1-4");
	CHECK_EQ(pwrite(fd, "9", 1, 1), 1);
	CHECK_STRING(shown("ipv4/ip_local_reserved_ports"), "1-4,9");
	for (size_t at = 0; at < sizeof(much); at += 2)
		memcpy(much + at, "5,", 2);
	CHECK_EQ(pwrite(fd, much, 4095, 0), 4095);
	CHECK_EQ(pwrite(fd, much, 4096, 0), 4094);
	CHECK_EQ(pwrite(fd, much, sizeof(much), 0), 4094);
	CHECK_STRING(shown("ipv4/ip_local_reserved_ports"), "5");
	/* A number or a range that may go on is left for the next write. */
	memset(much, '\n', 4090);
	memcpy(much + 4090, "10-20,", 6);
	CHECK_EQ(pwrite(fd, much, 4096, 0), 4090);
	memcpy(much + 4089, "10-20,", 7);
	CHECK_EQ(pwrite(fd, much, 4096, 0), 4095);
	close(fd);
}
