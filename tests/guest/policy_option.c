/* mpol=, the policy of a tmpfs's memory: tmpfs(5). */
#include "own_mounts.h"

#include <linux/mempolicy.h>

static char line[512];

/* The options of the current directory's file system, as /proc/self/mountinfo has them. */
static const char *shown(void)
{
	FILE *file = fopen("/proc/self/mountinfo", "r");
	char *found = NULL;

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, check_shared->scratch))
			found = strstr(line, " - tmpfs scratch ") + strlen(" - tmpfs scratch ");
	if (file)
		fclose(file);
	if (found)
		found[strcspn(found, "\n")] = 0;
	return found;
}

static int mount_with(const char *options)
{
	if (mount("scratch", check_shared->scratch, "tmpfs", 0, options) < 0)
		return -1;
	MUST(chdir(check_shared->scratch));
	return 0;
}

TEST(what_is_shown)
{
	static const char *const texts[][2] = {
		{"mpol=default", "rw"},
		{"mpol=local", "rw,mpol=local"},
		{"mpol=prefer", "rw,mpol=local"},
		{"mpol=prefer:0", "rw,mpol=prefer:0"},
		{"mpol=bind:0", "rw,mpol=bind:0"},
		{"mpol=bind:0,0", "rw,mpol=bind:0"},
		{"mpol=interleave", "rw,mpol=interleave:0"},
		{"mpol=interleave:0", "rw,mpol=interleave:0"},
		{"mpol=interleave=static", "rw,mpol=interleave=static:0"},
		{"mpol=weighted interleave:0", "rw,mpol=weighted interleave:0"},
		{"mpol=prefer (many):0", "rw,mpol=prefer (many):0"},
		{"mpol=prefer=static:0", "rw,mpol=prefer=static:0"},
		{"mpol=bind=static:0", "rw,mpol=bind=static:0"},
		{"mpol=bind=relative:0", "rw,mpol=bind=relative:0"},
		{"size=1m,mpol=bind:0", "rw,size=1024k,mpol=bind:0"},
	};

	enter_own_mounts("tmpfs", NULL);
	for (size_t at = 0; at < LENGTH(texts); at++) {
		CHECK_EQ(mount_with(texts[at][0]), 0);
		CHECK_STRING(shown(), texts[at][1]);
		MUST(chdir("/"));
		MUST(umount(check_shared->scratch));
	}
}

TEST(what_is_refused)
{
	static const char *const texts[] = {"mpol", "mpol=", "mpol=bind", "mpol=foo", "mpol=preferred:0", "mpol=local:0",
		"mpol=default:0", "mpol=bind=foo:0", "mpol=bind=:0", "mpol=bind:", "mpol=prefer:0-0", "mpol=prefer:",
		"mpol=bind:1023", "mpol=bind:x", "mpol=prefer=static", "mpol=local=static", "mpol=bind:9999999"};

	enter_own_mounts("tmpfs", NULL);
	for (size_t at = 0; at < LENGTH(texts); at++)
		CHECK_ERRNO(mount_with(texts[at]), EINVAL);
}

TEST(files_have_it)
{
	unsigned long nodes = 0;
	int mode = -1, file;
	char *memory;

	enter_own_mounts("tmpfs", "mpol=bind:0");
	file = (int)MUST(open("file", O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(file, 8192));
	memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK_EQ(syscall(SYS_get_mempolicy, &mode, &nodes, 64, memory + 4096, MPOL_F_ADDR), 0);
	CHECK_EQ(mode, MPOL_BIND);
	CHECK_EQ(nodes, 1);
	MUST(mount(NULL, check_shared->scratch, NULL, MS_REMOUNT, "mpol=interleave"));
	CHECK_STRING(shown(), "rw,mpol=interleave:0");
	/* Those that there are keep theirs. */
	CHECK_EQ(syscall(SYS_get_mempolicy, &mode, &nodes, 64, memory, MPOL_F_ADDR), 0);
	CHECK_EQ(mode, MPOL_BIND);
	file = (int)MUST(open("other", O_RDWR | O_CREAT, 0600));
	MUST(ftruncate(file, 8192));
	memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK_EQ(syscall(SYS_get_mempolicy, &mode, &nodes, 64, memory, MPOL_F_ADDR), 0);
	CHECK_EQ(mode, MPOL_INTERLEAVE);
	/* An option that says nothing changes nothing. */
	MUST(mount(NULL, check_shared->scratch, NULL, MS_REMOUNT, "mpol=default"));
	CHECK_STRING(shown(), "rw,mpol=interleave:0");
}
