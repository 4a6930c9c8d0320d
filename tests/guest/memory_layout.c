/* Where a program says that its parts are: PR_SET_MM of prctl(2). */
#include "check.h"

#include <linux/prctl.h>
#include <sys/auxv.h>

static struct prctl_mm_map layout;

/* The fields of /proc/self/stat from the state on: field N is field[N]. */
static void read_fields(unsigned long long *field)
{
	static char text[4096];
	int fd = (int)MUST(open("/proc/self/stat", O_RDONLY)), number = 3;
	ssize_t length = (ssize_t)MUST(read(fd, text, sizeof(text) - 1));
	char *word;

	close(fd);
	text[length] = '\0';
	word = strrchr(text, ')') + 1;
	for (; word != NULL && number <= 52; word = strchr(word + 1, ' '))
		field[number++] = strtoull(word + 1, NULL, 10);
}

static void read_layout(void)
{
	unsigned long long field[53];

	read_fields(field);
	layout = (struct prctl_mm_map){
		.start_code = field[26], .end_code = field[27], .start_stack = field[28],
		.start_data = field[45], .end_data = field[46], .start_brk = field[47],
		.brk = (unsigned long)sbrk(0), .arg_start = field[48], .arg_end = field[49],
		.env_start = field[50], .env_end = field[51], .exe_fd = (unsigned)-1,
	};
}

static long set_layout(size_t size)
{
	return syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &layout, size, 0);
}

TEST(size)
{
	unsigned size = 0;

	CHECK_OK(syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0));
	CHECK_EQ(size, sizeof(layout));
	CHECK_ERRNO(syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP_SIZE, bad_address(), 0, 0), EFAULT);
}

TEST(the_whole_layout)
{
	static const char wanted[] = "another\0name";
	/* Only anonymous memory is shown as arguments. */
	char *arguments = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long long field[53];
	char text[64];
	int fd;

	memcpy(arguments, wanted, sizeof(wanted));
	read_layout();
	CHECK_OK(set_layout(sizeof(layout)));
	layout.arg_start = (unsigned long)arguments;
	layout.arg_end = layout.arg_start + sizeof(wanted);
	layout.start_code += 16;
	CHECK_OK(set_layout(sizeof(layout)));
	read_fields(field);
	CHECK_EQ(field[26], layout.start_code);
	CHECK_EQ(field[48], layout.arg_start);
	CHECK_EQ(field[49], layout.arg_end);
	fd = (int)MUST(open("/proc/self/cmdline", O_RDONLY));
	CHECK_EQ(read(fd, text, sizeof(text)), sizeof(wanted));
	CHECK(memcmp(text, wanted, sizeof(wanted)) == 0);
}

/* As long as the address space: whoever reads them gets what fits into the buffer, at once. */
TEST(strings_without_an_end)
{
	const size_t size = 1UL << 40;
	char *area = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	static const char zeros[256];
	char text[256];
	int fd;

	CHECK(area != MAP_FAILED);
	read_layout();
	layout.arg_start = layout.env_start = (unsigned long)area;
	layout.arg_end = layout.env_end = layout.arg_start + size;
	CHECK_OK(set_layout(sizeof(layout)));
	fd = (int)MUST(open("/proc/self/cmdline", O_RDONLY));
	CHECK_EQ(read(fd, text, sizeof(text)), sizeof(text));
	CHECK(memcmp(text, zeros, sizeof(text)) == 0);
	close(fd);
	fd = (int)MUST(open("/proc/self/environ", O_RDONLY));
	CHECK_EQ(read(fd, text, sizeof(text)), sizeof(text));
	CHECK(memcmp(text, zeros, sizeof(text)) == 0);
	close(fd);
}

TEST(another_program_takes_an_open_file)
{
	int fd = (int)MUST(open("/proc/self/exe", O_PATH));

	read_layout();
	layout.exe_fd = (unsigned)fd;
	CHECK_ERRNO(set_layout(sizeof(layout)), geteuid() == 0 ? EBADF : EPERM);
	layout.exe_fd = 900;
	CHECK_ERRNO(set_layout(sizeof(layout)), geteuid() == 0 ? EBADF : EPERM);
}

TEST(auxiliary_vector)
{
	unsigned long vector[6] = { AT_PAGESZ, 4096, AT_UID, 77, AT_NULL, 0 }, read_back[6];
	int fd;

	read_layout();
	layout.auxv = (void *)vector;
	layout.auxv_size = sizeof(vector);
	CHECK_OK(set_layout(sizeof(layout)));
	fd = (int)MUST(open("/proc/self/auxv", O_RDONLY));
	CHECK(read(fd, read_back, sizeof(read_back)) >= (ssize_t)sizeof(vector) - 16);
	CHECK_EQ(read_back[2], AT_UID);
	CHECK_EQ(read_back[3], 77);
	layout.auxv = NULL;
	CHECK_ERRNO(set_layout(sizeof(layout)), EINVAL);
	layout.auxv = (void *)vector;
	layout.auxv_size = 4096;
	CHECK_ERRNO(set_layout(sizeof(layout)), EINVAL);
}

TEST(refused)
{
	read_layout();
	CHECK_ERRNO(set_layout(sizeof(layout) - 8), EINVAL);
	layout.end_code = layout.start_code;
	CHECK_ERRNO(set_layout(sizeof(layout)), EINVAL);
	read_layout();
	layout.arg_end = layout.arg_start - 1;
	CHECK_ERRNO(set_layout(sizeof(layout)), EINVAL);
	read_layout();
	layout.start_stack = ~0UL;
	CHECK_ERRNO(set_layout(sizeof(layout)), EINVAL);
	read_layout();
	layout.env_start = 0;
	CHECK_ERRNO(set_layout(sizeof(layout)), EINVAL);
	CHECK_ERRNO(syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, bad_address(), sizeof(layout), 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &layout, sizeof(layout), 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_START_CODE, 65536, 1, 0), EINVAL);
	if (getuid() == 0)
		MUST(setresuid(1000, 1000, 1000));
	CHECK_ERRNO(syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_START_CODE, 65536, 0, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_EXE_FILE, 0, 0, 0), EPERM);
	read_layout();
	layout.exe_fd = 0;
	CHECK_ERRNO(set_layout(sizeof(layout)), EPERM);
}
