/* Memory that can be executed because it can be read: personality(2), READ_IMPLIES_EXEC. */
#include "fault.h"

#include <sys/personality.h>
#include <sys/shm.h>

/* A function that only returns. */
static void put_code(char *memory)
{
	memory[0] = (char)0xc3;
}

static char *map_as(int protection)
{
	char *memory = mmap(NULL, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	return memory;
}

TEST(mappings)
{
	char *before = map_as(PROT_READ | PROT_WRITE), *after, *file_memory;
	int fd;

	put_code(before);
	CHECK_EQ(touch(before, EXECUTE), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_ACCERR);
	MUST(personality(READ_IMPLIES_EXEC));
	CHECK_EQ(touch(before, EXECUTE), SIGSEGV);
	after = map_as(PROT_READ | PROT_WRITE);
	put_code(after);
	CHECK_EQ(touch(after, EXECUTE), 0);
	CHECK_EQ(touch(map_as(PROT_NONE), EXECUTE), SIGSEGV);
	enter_scratch();
	fd = (int)MUST(open("code", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	MUST(pwrite(fd, "\xc3", 1, 0));
	file_memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK_EQ(touch(file_memory, EXECUTE), 0);
	MUST(personality(0));
	CHECK_EQ(touch(after, EXECUTE), 0);
	after = map_as(PROT_READ | PROT_WRITE);
	put_code(after);
	CHECK_EQ(touch(after, EXECUTE), SIGSEGV);
}

TEST(mprotect_too)
{
	char *memory = map_as(PROT_READ | PROT_WRITE);

	put_code(memory);
	MUST(personality(READ_IMPLIES_EXEC));
	CHECK_EQ(touch(memory, EXECUTE), SIGSEGV);
	MUST(mprotect(memory, PAGE, PROT_READ));
	CHECK_EQ(touch(memory, EXECUTE), 0);
	CHECK_EQ(touch(memory, WRITE), SIGSEGV);
	MUST(mprotect(memory, PAGE, PROT_NONE));
	CHECK_EQ(touch(memory, EXECUTE), SIGSEGV);
}

TEST(the_heap_too)
{
	char *end = sbrk(0), *page;

	end += -(uintptr_t)end & (PAGE - 1);
	MUST(brk(end));
	MUST(brk(end + PAGE));
	put_code(end);
	CHECK_EQ(touch(end, EXECUTE), SIGSEGV);
	MUST(personality(READ_IMPLIES_EXEC));
	page = end + PAGE;
	MUST(brk(page + PAGE));
	put_code(page);
	CHECK_EQ(touch(page, EXECUTE), 0);
	CHECK_EQ(touch(end, EXECUTE), SIGSEGV);
}

TEST(shared_memory_too)
{
	int id = (int)MUST(shmget(IPC_PRIVATE, PAGE, 0700));
	char *memory = shmat(id, NULL, 0), *again;

	put_code(memory);
	CHECK_EQ(touch(memory, EXECUTE), SIGSEGV);
	MUST(personality(READ_IMPLIES_EXEC));
	again = shmat(id, NULL, 0);
	CHECK_EQ(touch(again, EXECUTE), 0);
	MUST(shmctl(id, IPC_RMID, NULL));
}

ROLE(show_personality)
{
	return personality(0xffffffff) & READ_IMPLIES_EXEC ? 1 : 0;
}

TEST(exec_takes_it_away)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		MUST(personality(READ_IMPLIES_EXEC));
		execl(check_self, check_self, "show_personality", NULL);
		_exit(98);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

ROLE(read_null)
{
	static volatile char *volatile null;
	unsigned char is_resident;

	if (mincore((void *)null, PAGE, &is_resident) == -1)
		return errno == ENOMEM ? 2 : 3;
	return *null;
}

static int role_with(int flags, int is_ordinary)
{
	char *argv[] = {check_self, "read_null", NULL};
	/* Not everybody may find the program by its path. */
	int program = (int)MUST(open(check_self, O_PATH | O_CLOEXEC));
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		if (is_ordinary)
			drop_root();
		MUST(personality((unsigned long)flags));
		fexecve(program, argv, environ);
		_exit(98);
	}
	return wait_for(child);
}

/* As on System V there may be a page of zeros at address 0, if a program is let have one so low. */
TEST(a_page_of_zeros)
{
	char *low = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	CHECK_EQ(role_with(0, 0), EXITED(2));
	CHECK_EQ(role_with(MMAP_PAGE_ZERO, 0), EXITED(low == MAP_FAILED ? 2 : 0));
	CHECK_EQ(role_with(MMAP_PAGE_ZERO, 1), EXITED(2));
}
