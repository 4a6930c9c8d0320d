/* The vDSO: vdso(7), getauxval(3). Its functions are found as a program without a dynamic loader finds them. */
#include "seccomp_filter.h"

#include <asm/prctl.h>
#include <elf.h>
#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>

#define NS_PER_S 1000000000LL
#ifndef ARCH_MAP_VDSO_64
#define ARCH_MAP_VDSO_64 0x2003
#endif

struct image {
	const char *base;
	const Elf64_Sym *symbols;
	const char *strings;
	const Elf64_Half *versions;
	const Elf64_Verdef *definitions;
	size_t symbol_count;
};

/* How many symbols a table of DT_GNU_HASH speaks of. */
static size_t count_of_gnu_hash(const uint32_t *table)
{
	const uint32_t *buckets = table + 4 + table[2] * 2, *chains = buckets + table[0];
	uint32_t last = 0;

	for (uint32_t at = 0; at < table[0]; at++)
		if (buckets[at] > last)
			last = buckets[at];
	while (!(chains[last - table[1]] & 1))
		last++;
	return last + 1;
}

static struct image read_image(void)
{
	struct image found = {.base = (const char *)getauxval(AT_SYSINFO_EHDR)};
	const Elf64_Ehdr *header = (const void *)found.base;
	const Elf64_Phdr *segments;
	const Elf64_Dyn *entry = NULL;

	if (header == NULL)
		return found;
	segments = (const void *)(found.base + header->e_phoff);
	for (int at = 0; at < header->e_phnum; at++)
		if (segments[at].p_type == PT_DYNAMIC)
			entry = (const void *)(found.base + segments[at].p_offset);
	for (; entry->d_tag != DT_NULL; entry++) {
		const void *place = found.base + entry->d_un.d_ptr;

		if (entry->d_tag == DT_SYMTAB)
			found.symbols = place;
		else if (entry->d_tag == DT_STRTAB)
			found.strings = place;
		else if (entry->d_tag == DT_VERSYM)
			found.versions = place;
		else if (entry->d_tag == DT_VERDEF)
			found.definitions = place;
		else if (entry->d_tag == DT_GNU_HASH)
			found.symbol_count = count_of_gnu_hash(place);
		else if (entry->d_tag == DT_HASH && found.symbol_count == 0)
			found.symbol_count = ((const uint32_t *)place)[1];
	}
	return found;
}

static const char *version_of(const struct image *image, size_t symbol)
{
	const Elf64_Verdef *definition = image->definitions;

	while (definition->vd_ndx != (image->versions[symbol] & 0x7fff))
		definition = (const void *)((const char *)definition + definition->vd_next);
	return image->strings + ((const Elf64_Verdaux *)((const char *)definition + definition->vd_aux))->vda_name;
}

/* The function of that name, if its version is LINUX_2.6. */
static void *find(const struct image *image, const char *name)
{
	for (size_t at = 1; at < image->symbol_count; at++) {
		const Elf64_Sym *symbol = &image->symbols[at];

		if (strcmp(image->strings + symbol->st_name, name) == 0 && symbol->st_shndx != SHN_UNDEF &&
		    strcmp(version_of(image, at), "LINUX_2.6") == 0)
			return (void *)(image->base + symbol->st_value);
	}
	return NULL;
}

static int64_t in_ns(struct timespec time)
{
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}

TEST(the_image_is_a_shared_object)
{
	struct image image = read_image();
	const Elf64_Ehdr *header = (const void *)image.base;

	CHECK(header != NULL);
	CHECK(memcmp(header->e_ident, ELFMAG, SELFMAG) == 0);
	CHECK_EQ(header->e_type, ET_DYN);
	CHECK_EQ(header->e_machine, EM_X86_64);
	CHECK(image.symbols && image.strings && image.versions && image.definitions);
}

TEST(the_functions_tell_the_time)
{
	struct image image = read_image();
	int (*get_time)(clockid_t, struct timespec *) = find(&image, "__vdso_clock_gettime");
	int (*get_resolution)(clockid_t, struct timespec *) = find(&image, "__vdso_clock_getres");
	int (*get_day)(struct timeval *, void *) = find(&image, "__vdso_gettimeofday");
	time_t (*get_seconds)(time_t *) = find(&image, "__vdso_time");
	long (*get_cpu)(unsigned *, unsigned *, void *) = find(&image, "__vdso_getcpu");
	struct timespec before, between, after;
	struct timeval day;
	unsigned cpu = 9999, node = 9999;
	time_t seconds = 0, same;

	CHECK(get_time && get_resolution && get_day && get_seconds && get_cpu);
	CHECK(find(&image, "clock_gettime") == (void *)get_time);
	CHECK(find(&image, "__vdso_nonesuch") == NULL);
	MUST(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &before));
	CHECK_EQ(get_time(CLOCK_MONOTONIC, &between), 0);
	MUST(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &after));
	CHECK(in_ns(before) <= in_ns(between) && in_ns(between) <= in_ns(after));
	CHECK_EQ(get_time(12345, &between), -EINVAL);
	CHECK_EQ(get_resolution(CLOCK_MONOTONIC, &between), 0);
	CHECK_EQ(between.tv_nsec, 1);
	CHECK_EQ(get_day(&day, NULL), 0);
	same = get_seconds(&seconds);
	CHECK(same == seconds && seconds - day.tv_sec <= 5);
	CHECK_EQ(get_cpu(&cpu, &node, NULL), 0);
	CHECK(cpu < 4096 && node == 0);
}

/* It is an area with a name of its own, which a child has too. */
TEST(the_area_has_a_name)
{
	struct image image = read_image();
	const char *base = image.base;
	char line[512], expected[64];
	FILE *maps = fopen("/proc/self/maps", "r");
	int found = 0;
	pid_t child;

	snprintf(expected, sizeof(expected), "%lx-", (unsigned long)base);
	while (fgets(line, sizeof(line), maps))
		if (strncmp(line, expected, strlen(expected)) == 0 && strstr(line, " r-xp 00000000 00:00 0 ") &&
		    strstr(line, " [vdso]\n"))
			found++;
	fclose(maps);
	CHECK_EQ(found, 1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int (*get_time)(clockid_t, struct timespec *) = find(&image, "__vdso_clock_gettime");
		struct timespec now;

		_exit(get_time(CLOCK_REALTIME, &now));
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* Where the vDSO is by /proc/self/maps, 0 for nowhere; with `unmaps` it and its data are unmapped. */
static unsigned long place_of_vdso(int unmaps)
{
	unsigned long start, end, found = 0, starts[8], ends[8];
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	int count = 0;

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx", &start, &end) != 2 || (!strstr(line, "[vdso]") && !strstr(line, "[vvar")))
			continue;
		if (strstr(line, "[vdso]"))
			found = start;
		starts[count] = start;
		ends[count++] = end;
	}
	fclose(maps);
	while (unmaps && count--)
		MUST(munmap((void *)starts[count], ends[count] - starts[count]));
	return found;
}

/* Who has unmapped it can have it again, where it's wanted, but never twice. */
TEST(it_can_be_mapped_once_more)
{
	struct image image = read_image();
	char *get_time = find(&image, "__vdso_clock_gettime");
	unsigned long wanted = 1UL << 45, place;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		struct timespec now = {0};
		long size;

		CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_MAP_VDSO_64, 0), EEXIST);
		CHECK_EQ(place_of_vdso(1), (unsigned long)image.base);
		CHECK_EQ(place_of_vdso(0), 0);
		size = syscall(SYS_arch_prctl, ARCH_MAP_VDSO_64, wanted);
		CHECK(size >= 4096 && size % 4096 == 0);
		place = place_of_vdso(0);
		CHECK(wanted <= place && place < wanted + 0x10000);
		CHECK_EQ(((int (*)(clockid_t, void *))(place + (get_time - image.base)))(CLOCK_REALTIME, &now), 0);
		CHECK(now.tv_sec > 1000000000);
		CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_MAP_VDSO_64, wanted), EEXIST);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static char clock_source[32];

/* Where the host's clock can't be read by programs, its functions make the call after all. */
static int reads_the_clock(void)
{
	int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY);

	if (fd < 0)
		return 1;
	MUST(read(fd, clock_source, sizeof(clock_source) - 1));
	close(fd);
	return strcmp(clock_source, "tsc\n") == 0 || strcmp(clock_source, "kvm-clock\n") == 0;
}

/* Filters don't hear of the functions, but for clocks that take the call. */
TEST(filters_hear_of_no_function)
{
	struct image image = read_image();
	int (*get_time)(clockid_t, struct timespec *) = find(&image, "__vdso_clock_gettime");
	int (*get_resolution)(clockid_t, struct timespec *) = find(&image, "__vdso_clock_getres");
	int (*get_day)(struct timeval *, void *) = find(&image, "__vdso_gettimeofday");
	time_t (*get_seconds)(time_t *) = find(&image, "__vdso_time");
	long (*get_cpu)(unsigned *, unsigned *, void *) = find(&image, "__vdso_getcpu");
	static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
					   CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI};
	int does_read = reads_the_clock();
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		struct timespec now;
		struct timeval day;
		unsigned cpu;

		no_new_privs();
		MUST(attach_for(0, SYS_clock_gettime, SECCOMP_RET_ERRNO | 77));
		MUST(attach_for(0, SYS_clock_getres, SECCOMP_RET_ERRNO | 78));
		MUST(attach_for(0, SYS_gettimeofday, SECCOMP_RET_ERRNO | 79));
		MUST(attach_for(0, SYS_time, SECCOMP_RET_ERRNO | 80));
		MUST(attach_for(0, SYS_getcpu, SECCOMP_RET_ERRNO | 81));
		for (size_t at = 0; at < LENGTH(clocks); at++) {
			CHECK(!does_read || get_time(clocks[at], &now) == 0);
			CHECK_EQ(get_resolution(clocks[at], &now), 0);
		}
		CHECK_EQ(get_time(CLOCK_PROCESS_CPUTIME_ID, &now), -77);
		CHECK_EQ(get_time(CLOCK_THREAD_CPUTIME_ID, &now), -77);
		CHECK_EQ(get_time(CLOCK_BOOTTIME_ALARM, &now), -77);
		CHECK_EQ(get_time(-1, &now), -77);
		CHECK_EQ(get_resolution(CLOCK_PROCESS_CPUTIME_ID, &now), -78);
		CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, &now), 77);
		CHECK(!does_read || get_day(&day, NULL) == 0);
		CHECK_ERRNO(syscall(SYS_gettimeofday, &day, NULL), 79);
		CHECK(get_seconds(NULL) > 0);
		CHECK_EQ(get_cpu(&cpu, NULL, NULL), 0);
		CHECK_ERRNO(syscall(SYS_getcpu, &cpu, NULL, NULL), 81);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static void ask_in_strict_mode(void)
{
	struct image image = read_image();
	int (*get_time)(clockid_t, struct timespec *) = find(&image, "__vdso_clock_gettime");
	struct timespec now;

	MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
	syscall(SYS_exit, get_time(CLOCK_MONOTONIC_COARSE, &now));
}

TEST(strict_mode_lets_the_functions_be)
{
	pid_t child;

	if (!reads_the_clock())
		return;
	child = (pid_t)MUST(fork());
	if (child == 0)
		ask_in_strict_mode();
	CHECK_EQ(wait_for(child), EXITED(0));
}

struct random_state_wanted {
	uint32_t size, protection, flags, reserved[13];
};

typedef ssize_t random_function(void *, size_t, unsigned, void *, size_t);

static struct random_state_wanted wanted_state;

/* The function for random bytes, once it has told what state it wants. */
static random_function *find_random(void)
{
	struct image image = read_image();
	random_function *draw = (random_function *)find(&image, "__vdso_getrandom");

	MUST(draw ? 0 : -1);
	memset(&wanted_state, 0xff, sizeof(wanted_state));
	CHECK_EQ(draw(NULL, 0, 0, &wanted_state, -1), 0);
	return draw;
}

static char *new_random_state(int flags)
{
	void *state = mmap(NULL, 8192, (int)wanted_state.protection, flags, -1, 0);

	MUST(state == MAP_FAILED ? -1 : 0);
	return state;
}

TEST(random_bytes_come_from_a_state)
{
	struct image image = read_image();
	random_function *draw = find_random();
	static unsigned char bytes[300000], others[300000];
	size_t size = wanted_state.size, zeros = 0;
	char *state;

	CHECK(find(&image, "getrandom") == (void *)draw);
	CHECK_EQ(size, 144);
	CHECK_EQ(wanted_state.protection, PROT_READ | PROT_WRITE);
	CHECK_EQ(wanted_state.flags, 0x8 /* MAP_DROPPABLE */ | MAP_ANONYMOUS);
	for (size_t at = 0; at < LENGTH(wanted_state.reserved); at++)
		CHECK_EQ(wanted_state.reserved[at], 0);
	state = new_random_state((int)wanted_state.flags);
	for (size_t length = 0; length < 300; length++) {
		memset(bytes, 0, 400);
		CHECK_EQ(draw(bytes, length, 0, state, size), (ssize_t)length);
		CHECK(memcmp(bytes + length, others, 100) == 0);
		CHECK(length < 12 || memmem(state, size, bytes, length < 40 ? length : 40) == NULL);
	}
	CHECK_EQ(draw(bytes, sizeof(bytes), GRND_NONBLOCK, state, size), (ssize_t)sizeof(bytes));
	CHECK_EQ(draw(others, sizeof(others), GRND_INSECURE, state, size), (ssize_t)sizeof(others));
	CHECK(memcmp(bytes, others, sizeof(bytes)) != 0);
	CHECK(memcmp(bytes, bytes + 128, 128) != 0);
	for (size_t at = 0; at < sizeof(bytes); at++)
		zeros += bytes[at] == 0;
	CHECK(sizeof(bytes) / 320 < zeros && zeros < sizeof(bytes) / 200);
}

TEST(random_bytes_have_errors_too)
{
	random_function *draw = find_random();
	size_t size = wanted_state.size;
	char *state = new_random_state((int)wanted_state.flags), bytes[64];

	CHECK_EQ(draw(bytes, 16, 8, state, size), -EINVAL);
	CHECK_EQ(draw(bytes, 16, GRND_RANDOM | GRND_INSECURE, state, size - 1), -EINVAL);
	CHECK_EQ(draw(bytes, 16, 0, state + 4096 - size + 1, size), -EFAULT);
	CHECK_EQ(draw(bytes, 16, 0, state + 4096 - size, size), 16);
	CHECK_EQ(draw(bytes, 16, 0, NULL, size - 1), 16);
	CHECK_EQ(draw(bytes, 0, 0, NULL, 0), 0);
	CHECK_EQ(draw((void *)8, 16, 0, NULL, 0), -EFAULT);
	CHECK_EQ(draw((void *)8, 0, 0, state, size), 0);
}

/* Nobody hears of it but when a key is needed: at first, and when the memory of the state was dropped. */
TEST(filters_hear_when_a_key_is_needed)
{
	random_function *draw = find_random();
	size_t size = wanted_state.size;
	char *state = new_random_state((int)wanted_state.flags), bytes[512];
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		char *fresh = new_random_state((int)wanted_state.flags);

		CHECK_EQ(draw(bytes, 16, 0, state, size), 16);
		no_new_privs();
		MUST(attach_for(0, SYS_getrandom, SECCOMP_RET_ERRNO | 77));
		CHECK_EQ(draw(bytes, sizeof(bytes), 0, state, size), (ssize_t)sizeof(bytes));
		CHECK_EQ(draw(bytes, 16, 0, state, size - 1), -77);
		CHECK_EQ(draw(bytes, 16, 8, state, size), -77);
		CHECK_EQ(draw(bytes, 16, 0, fresh, size), -77);
		CHECK_EQ(draw(bytes, 16, 0, state, size), 16);
		MUST(madvise(state, 4096, MADV_DONTNEED));
		CHECK_EQ(draw(bytes, 16, 0, state, size), -77);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

/* A child has none of its parent's memory that may be dropped; of other memory it makes what the parent makes. */
TEST(a_child_draws_other_bytes)
{
	random_function *draw = find_random();
	size_t size = wanted_state.size;
	char *states[] = {new_random_state((int)wanted_state.flags), new_random_state(MAP_PRIVATE | MAP_ANONYMOUS)};
	char *seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), bytes[64];
	pid_t child;

	CHECK_EQ(draw(bytes, 1, 0, states[0], size), 1);
	CHECK_EQ(draw(bytes, 1, 0, states[1], size), 1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_EQ(draw(seen, 64, 0, states[0], size), 64);
		CHECK_EQ(draw(seen + 64, 64, 0, states[1], size), 64);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(draw(bytes, 64, 0, states[0], size), 64);
	CHECK(memcmp(bytes, seen, 64) != 0);
	CHECK_EQ(draw(bytes, 64, 0, states[1], size), 64);
	CHECK(memcmp(bytes, seen + 64, 64) == 0);
}

static random_function *drawing;
static char *state_at_work;
static ssize_t drawn_meanwhile;

static void draw_again(int number)
{
	static char bytes[16];
	static volatile sig_atomic_t count;

	(void)number;
	if (count++ > 0)
		_exit(99);
	drawn_meanwhile = drawing(bytes, 16, 0, state_at_work, wanted_state.size);
	_exit(drawn_meanwhile == 16 ? 42 : 98);
}

/* The function writes as the program does: where it can't, there is a signal, and its handler may draw too. */
TEST(random_bytes_fault_where_they_cant_go)
{
	char *wall = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t child;

	drawing = find_random();
	state_at_work = new_random_state((int)wanted_state.flags);
	MUST(mprotect(wall + 4096, 4096, PROT_NONE));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		signal(SIGSEGV, draw_again);
		drawing(wall + 4090, 100, 0, state_at_work, wanted_state.size);
		_exit(97);
	}
	CHECK_EQ(wait_for(child), EXITED(42));
}

/* Its pages are the kernel's, which grow no further, are dumped as it likes and have no guards. */
TEST(its_pages_are_the_kernels)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long first = 0, end = 0;
	char line[512], *start;
	size_t length;

	while (fgets(line, sizeof(line), maps))
		if (strstr(line, " [vdso]\n"))
			sscanf(line, "%lx-%lx", &first, &end);
	fclose(maps);
	start = (char *)first;
	length = end - first;
	CHECK_ERRNO(madvise(start, length, MADV_REMOVE), EINVAL);
	CHECK_ERRNO(madvise(start, length, MADV_DODUMP), EINVAL);
	CHECK_ERRNO(madvise(start, length, 102), EINVAL);
	CHECK_ERRNO(madvise(start, length, 103), EINVAL);
	CHECK(mremap(start, length, length + 4096, 0) == MAP_FAILED && errno == EFAULT);
	CHECK(mremap(start, length, length + 4096, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	/* Nor is there a futex on it that others would share. */
	CHECK_ERRNO(syscall(SYS_futex, start, FUTEX_WAIT, 0, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_futex, start, FUTEX_WAKE, 1), EFAULT);
	CHECK_EQ(syscall(SYS_futex, start, FUTEX_WAKE_PRIVATE, 1), 0);
	CHECK_ERRNO(syscall(SYS_futex, start, FUTEX_WAIT_PRIVATE, 0, NULL), EAGAIN);
}
