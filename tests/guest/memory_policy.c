/* Policies of memory on nodes, of which there is one at least: mbind(2), get_mempolicy(2), move_pages(2). */
#include "fault.h"

#include <linux/mempolicy.h>

#define RW (PROT_READ | PROT_WRITE)
#define NODE_0 1UL

static long set_policy(int mode, unsigned long nodes)
{
	return syscall(SYS_set_mempolicy, mode, &nodes, 64);
}

static long bind_pages(void *memory, size_t length, int mode, unsigned long nodes, unsigned int flags)
{
	return syscall(SYS_mbind, memory, length, mode, &nodes, 64, flags);
}

static int mode_of(void *address, int flags)
{
	int mode = -1;

	return syscall(SYS_get_mempolicy, &mode, NULL, 0, address, flags) == -1 ? -errno : mode;
}

static unsigned long nodes_of(void *address, int flags)
{
	unsigned long nodes[16] = {0};

	MUST(syscall(SYS_get_mempolicy, NULL, nodes, 1024, address, flags));
	return nodes[0];
}

TEST(the_policy_of_a_thread)
{
	int status;
	pid_t child;

	CHECK_EQ(mode_of(NULL, 0), MPOL_DEFAULT);
	CHECK_EQ(nodes_of(NULL, 0), 0);
	CHECK_EQ(nodes_of(NULL, MPOL_F_MEMS_ALLOWED) & NODE_0, NODE_0);
	CHECK_OK(set_policy(MPOL_BIND, NODE_0));
	CHECK_EQ(mode_of(NULL, 0), MPOL_BIND);
	CHECK_EQ(nodes_of(NULL, 0), NODE_0);
	CHECK_EQ(mode_of(NULL, MPOL_F_NODE), -EINVAL);
	CHECK_OK(set_policy(MPOL_INTERLEAVE, NODE_0));
	CHECK_EQ(mode_of(NULL, MPOL_F_NODE), 0);
	child = (pid_t)MUST(fork());
	if (child == 0)
		_exit(mode_of(NULL, 0) == MPOL_INTERLEAVE ? 0 : 1);
	status = wait_for(child);
	CHECK_EQ(status, EXITED(0));
	CHECK_OK(set_policy(MPOL_PREFERRED, 0));
	CHECK_EQ(mode_of(NULL, 0), MPOL_LOCAL);
	CHECK_OK(set_policy(MPOL_BIND | MPOL_F_STATIC_NODES, NODE_0));
	CHECK_EQ(mode_of(NULL, 0), MPOL_BIND | MPOL_F_STATIC_NODES);
	CHECK_OK(set_policy(MPOL_DEFAULT, 0));
	CHECK_EQ(mode_of(NULL, 0), MPOL_DEFAULT);
}

TEST(policies_that_make_no_sense)
{
	unsigned long nodes = NODE_0;

	CHECK_ERRNO(set_policy(MPOL_DEFAULT, NODE_0), EINVAL);
	CHECK_ERRNO(set_policy(MPOL_BIND, 0), EINVAL);
	CHECK_ERRNO(set_policy(MPOL_LOCAL, NODE_0), EINVAL);
	CHECK_ERRNO(set_policy(MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, NODE_0), EINVAL);
	CHECK_ERRNO(set_policy(99, NODE_0), EINVAL);
	CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 1), EINVAL);
	CHECK_OK(syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 2));
	CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 99999), EINVAL);
	CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, bad_address(), 64), EFAULT);
	CHECK_ERRNO(syscall(SYS_get_mempolicy, NULL, &nodes, 0, NULL, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_get_mempolicy, NULL, NULL, 0, &nodes, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_get_mempolicy, bad_address(), NULL, 0, NULL, 0), EFAULT);
	CHECK_EQ(mode_of(bad_address(), MPOL_F_ADDR), -EFAULT);
}

/* More nodes than there can be: whole words are looked at, from the last on, before the others are. */
TEST(masks_of_too_many_nodes)
{
	char *memory = map_pages(3);
	unsigned long *words = (unsigned long *)(void *)memory;

	words[0] = NODE_0;
	CHECK_OK(syscall(SYS_set_mempolicy, MPOL_BIND, words, 1026));
	words[16] = 2;
	CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, words, 1026), EINVAL);
	CHECK_OK(syscall(SYS_set_mempolicy, MPOL_BIND, words, 1025));
	words[16] = 0;
	words[15] = 1UL << 63;
	CHECK_OK(syscall(SYS_set_mempolicy, MPOL_BIND, words, 1024));
	words = (unsigned long *)(void *)(memory + PAGE) - 20;
	MUST(munmap(memory, PAGE));
	words[100] = 0;
	CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, words, 65 * 100), EFAULT);
	words[100] = 1;
	CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, words, 65 * 100), EINVAL);
}

TEST(the_policy_of_memory)
{
	char *memory = map_pages(6);

	CHECK_EQ(mode_of(memory, MPOL_F_ADDR), MPOL_DEFAULT);
	CHECK_OK(bind_pages(memory + PAGE, 2 * PAGE, MPOL_BIND, NODE_0, 0));
	CHECK_EQ(mode_of(memory, MPOL_F_ADDR), MPOL_DEFAULT);
	CHECK_EQ(mode_of(memory + PAGE, MPOL_F_ADDR), MPOL_BIND);
	CHECK_EQ(mode_of(memory + 2 * PAGE, MPOL_F_ADDR), MPOL_BIND);
	CHECK_EQ(mode_of(memory + 3 * PAGE, MPOL_F_ADDR), MPOL_DEFAULT);
	CHECK_EQ(nodes_of(memory + PAGE, MPOL_F_ADDR), NODE_0);
	CHECK(mode_of(memory + PAGE, MPOL_F_ADDR | MPOL_F_NODE) >= 0);
	MUST(munmap(memory + 4 * PAGE, PAGE));
	CHECK_ERRNO(bind_pages(memory + 3 * PAGE, 3 * PAGE, MPOL_BIND, NODE_0, 0), EFAULT);
	CHECK_ERRNO(bind_pages(memory + 4 * PAGE, PAGE, MPOL_BIND, NODE_0, 0), EFAULT);
	CHECK_OK(bind_pages(memory, 6 * PAGE, MPOL_DEFAULT, 0, 0));
	CHECK_EQ(mode_of(memory + PAGE, MPOL_F_ADDR), MPOL_DEFAULT);
	CHECK_ERRNO(bind_pages(memory + 1, PAGE, MPOL_BIND, NODE_0, 0), EINVAL);
	CHECK_ERRNO(bind_pages(memory, PAGE, MPOL_BIND, NODE_0, 8), EINVAL);
	CHECK_OK(bind_pages(memory, 0, MPOL_BIND, NODE_0, 0));
	CHECK_OK(bind_pages(memory, PAGE, MPOL_BIND, NODE_0, MPOL_MF_STRICT | MPOL_MF_MOVE));
}

TEST(strict_where_there_are_pages)
{
	char *memory = map_pages(2);

	MUST(munmap(memory, 2 * PAGE));
	memory = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	/* Nodes counted from the first that is allowed: there is one where the second is meant too. */
	CHECK_OK(bind_pages(memory, 2 * PAGE, MPOL_BIND | MPOL_F_RELATIVE_NODES, 2, MPOL_MF_STRICT));
	memory[PAGE] = 1;
	CHECK_ERRNO(bind_pages(memory, 2 * PAGE, MPOL_PREFERRED | MPOL_F_RELATIVE_NODES, 2, MPOL_MF_STRICT), EIO);
	CHECK_EQ(mode_of(memory, MPOL_F_ADDR), MPOL_BIND | MPOL_F_RELATIVE_NODES);
	CHECK_OK(bind_pages(memory, PAGE, MPOL_PREFERRED | MPOL_F_RELATIVE_NODES, 2, MPOL_MF_STRICT));
	CHECK_OK(bind_pages(memory, 2 * PAGE, MPOL_BIND | MPOL_F_RELATIVE_NODES, 3, MPOL_MF_STRICT));
	CHECK_OK(bind_pages(memory, 2 * PAGE, MPOL_BIND | MPOL_F_RELATIVE_NODES, 2, MPOL_MF_STRICT | MPOL_MF_MOVE));
	CHECK_OK(bind_pages(memory, 2 * PAGE, MPOL_BIND | MPOL_F_RELATIVE_NODES, 2, 0));
	CHECK_OK(bind_pages(memory, 2 * PAGE, MPOL_DEFAULT, 0, MPOL_MF_STRICT));
}

TEST(strict_before_a_hole)
{
	char *memory = map_pages(4);

	MUST(munmap(memory, 4 * PAGE));
	memory = mmap(memory, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	MUST(memory == MAP_FAILED ? -1 : 0);
	MUST(mprotect(memory + PAGE, 2 * PAGE, PROT_READ));
	/* The hole is behind the second area: what is in the first is looked at before. */
	CHECK_ERRNO(bind_pages(memory, 4 * PAGE, MPOL_PREFERRED, 0, MPOL_MF_STRICT), EFAULT);
	memory[0] = 1;
	CHECK_ERRNO(bind_pages(memory, 4 * PAGE, MPOL_PREFERRED, 0, MPOL_MF_STRICT), EIO);
	CHECK_ERRNO(bind_pages(memory + PAGE, 3 * PAGE, MPOL_PREFERRED, 0, MPOL_MF_STRICT), EFAULT);
}

static char *pages_with(int protection)
{
	char *memory = mmap(NULL, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	return memory;
}

TEST(nodes_of_what_cannot_be_read)
{
	const int rights[] = {PROT_NONE, PROT_WRITE, PROT_EXEC};
	char *memory;

	CHECK_EQ(mode_of(pages_with(PROT_READ), MPOL_F_ADDR | MPOL_F_NODE), 0);
	for (size_t at = 0; at < LENGTH(rights); at++) {
		CHECK_EQ(mode_of(pages_with(rights[at]), MPOL_F_ADDR | MPOL_F_NODE), -EFAULT);
		CHECK_EQ(mode_of(pages_with(rights[at]), MPOL_F_ADDR), MPOL_DEFAULT);
	}
	/* What is there the processor reads. */
	memory = pages_with(PROT_WRITE);
	memory[0] = 1;
	CHECK_EQ(mode_of(memory, MPOL_F_ADDR | MPOL_F_NODE), 0);
	MUST(mprotect(memory, PAGE, PROT_NONE));
	CHECK_EQ(mode_of(memory, MPOL_F_ADDR | MPOL_F_NODE), -EFAULT);
}

TEST(homes)
{
	char *memory = map_pages(2);

	CHECK_ERRNO(syscall(SYS_set_mempolicy_home_node, memory, PAGE, 0, 0), ENOENT);
	MUST(bind_pages(memory, PAGE, MPOL_BIND, NODE_0, 0));
	CHECK_OK(syscall(SYS_set_mempolicy_home_node, memory, 2 * PAGE, 0, 0));
	MUST(bind_pages(memory, PAGE, MPOL_INTERLEAVE, NODE_0, 0));
	CHECK_ERRNO(syscall(SYS_set_mempolicy_home_node, memory, PAGE, 0, 0), EOPNOTSUPP);
	CHECK_ERRNO(syscall(SYS_set_mempolicy_home_node, memory, PAGE, 0, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_set_mempolicy_home_node, memory, PAGE, 9999, 0), EINVAL);
}

TEST(pages_that_are_asked_for)
{
	char *memory = map_pages(3);
	void *pages[3] = {memory, memory + PAGE, memory + 2 * PAGE};
	int status[3] = {7, 7, 7}, nodes[3] = {0, 0, 0};
	unsigned long mask = NODE_0;

	memory[0] = 1;
	MUST(munmap(memory + 2 * PAGE, PAGE));
	CHECK_OK(syscall(SYS_move_pages, 0, 3UL, pages, NULL, status, 0));
	CHECK(status[0] >= 0);
	CHECK_EQ(status[1], -ENOENT);
	CHECK_EQ(status[2], -EFAULT);
	CHECK_OK(syscall(SYS_move_pages, 0, 1UL, pages, nodes, status, MPOL_MF_MOVE));
	CHECK_EQ(status[0], 0);
	/* What was only read is a page that nobody has. */
	CHECK_EQ(((volatile char *)memory)[PAGE], 0);
	CHECK_OK(syscall(SYS_move_pages, 0, 2UL, pages, NULL, status, 0));
	CHECK_EQ(status[0], 0);
	CHECK_EQ(status[1], -EFAULT);
	nodes[0] = -1;
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1UL, pages, nodes, status, MPOL_MF_MOVE), ENODEV);
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1UL, pages, NULL, status, MPOL_MF_STRICT), EINVAL);
	CHECK_ERRNO(syscall(SYS_move_pages, INT_MAX, 1UL, pages, NULL, status, 0), ESRCH);
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1UL, bad_address(), NULL, status, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1UL, pages, NULL, bad_address(), 0), EFAULT);
	CHECK_OK(syscall(SYS_migrate_pages, 0, 64UL, &mask, &mask));
	CHECK_ERRNO(syscall(SYS_migrate_pages, INT_MAX, 64UL, &mask, &mask), ESRCH);
	CHECK_ERRNO(syscall(SYS_migrate_pages, 0, 64UL, bad_address(), &mask), EFAULT);
	mask = 0;
	CHECK_ERRNO(syscall(SYS_migrate_pages, 0, 64UL, &mask, &mask), EINVAL);
}

TEST(more_pages_than_are_told_of_at_a_time)
{
	static int status[10000];
	char *memory = map_pages(1);
	void **pages = (void **)map_pages(21);

	memory[0] = 1;
	MUST(munmap((char *)pages + 20 * PAGE, PAGE));
	for (int i = 0; i < 10000; i++) {
		pages[i] = memory;
		status[i] = -1;
	}
	CHECK_OK(syscall(SYS_move_pages, 0, 10000UL, pages, NULL, status, 0));
	for (int i = 0; i < 10000; i++)
		if (status[i] < 0 || status[i] != status[0])
			CHECK_EQ(status[i], status[0]);
	/* There is no limit but that of the memory which the numbers lie in. */
	CHECK_ERRNO(syscall(SYS_move_pages, 0, 1UL << 60, pages, NULL, status, 0), EFAULT);
}

/* A policy that names no node finds pages misplaced, but for that of zeros and for those that aren't there. */
TEST(strict_about_no_node)
{
	char *private = mmap(NULL, 8192, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, 8192, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	volatile char *seen;

	CHECK_OK(bind_pages(private, 8192, MPOL_LOCAL, 0, MPOL_MF_STRICT));
	CHECK_OK(bind_pages(shared, 8192, MPOL_LOCAL, 0, MPOL_MF_STRICT));
	seen = private;
	CHECK_EQ(*seen, 0);
	CHECK_OK(bind_pages(private, 8192, MPOL_PREFERRED, 0, MPOL_MF_STRICT));
	*seen = 1;
	CHECK_ERRNO(bind_pages(private, 8192, MPOL_PREFERRED, 0, MPOL_MF_STRICT), EIO);
	CHECK_OK(bind_pages(private, 8192, MPOL_PREFERRED, 0, 0));
	CHECK_OK(bind_pages(private, 8192, MPOL_DEFAULT, 0, MPOL_MF_STRICT));
	seen = shared;
	CHECK_EQ(*seen, 0);
	CHECK_ERRNO(bind_pages(shared, 8192, MPOL_LOCAL, 0, MPOL_MF_STRICT), EIO);
	CHECK_OK(bind_pages(shared + 4096, 4096, MPOL_LOCAL, 0, MPOL_MF_STRICT));
}

static int mode_at(const void *address)
{
	int mode = -1;

	MUST(syscall(SYS_get_mempolicy, &mode, NULL, 0UL, address, (unsigned long)MPOL_F_ADDR));
	return mode;
}

/* In memory that is shared the pages have a policy, not who maps them. */
TEST(policies_of_shared_pages)
{
	int fd = (int)MUST(syscall(SYS_memfd_create, "file", 0));
	char *first, *second;
	pid_t child;

	MUST(ftruncate(fd, 8 * PAGE));
	first = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	second = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(bind_pages(first, 4 * PAGE, MPOL_BIND, NODE_0, 0));
	CHECK_EQ(mode_at(second), MPOL_BIND);
	CHECK_EQ(mode_at(second + 4 * PAGE), MPOL_DEFAULT);
	MUST(bind_pages(second + 2 * PAGE, 4 * PAGE, MPOL_PREFERRED, NODE_0, 0));
	CHECK_EQ(mode_at(first + PAGE), MPOL_BIND);
	CHECK_EQ(mode_at(first + 2 * PAGE), MPOL_PREFERRED);
	CHECK_EQ(mode_at(first + 5 * PAGE), MPOL_PREFERRED);
	CHECK_EQ(mode_at(first + 6 * PAGE), MPOL_DEFAULT);
	MUST(munmap(first, 8 * PAGE));
	MUST(munmap(second, 8 * PAGE));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		first = mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
		CHECK_EQ(mode_at(first), MPOL_BIND);
		/* Who asks for what his mapping has already changes nothing. */
		MUST(bind_pages(first, PAGE, MPOL_DEFAULT, 0, 0));
		CHECK_EQ(mode_at(first), MPOL_BIND);
		MUST(bind_pages(first, PAGE, MPOL_LOCAL, 0, 0));
		CHECK_EQ(mode_at(first), MPOL_LOCAL);
		MUST(bind_pages(first, PAGE, MPOL_DEFAULT, 0, 0));
		CHECK_EQ(mode_at(first), MPOL_DEFAULT);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}
