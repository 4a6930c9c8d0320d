/* Touches memory and says which fault that raised. */
#ifndef FAULT_H
#define FAULT_H

#include "check.h"

#include <setjmp.h>

#define PAGE 4096UL

enum touch { READ, WRITE, EXECUTE };

static sigjmp_buf fault_return;
static volatile int fault_code;
static void *volatile fault_address;

static void fault_handler(int signal, siginfo_t *info, void *context)
{
	(void)context;
	fault_code = info->si_code;
	fault_address = info->si_addr;
	siglongjmp(fault_return, signal);
}

/* Returns 0 when the byte can be touched, else the signal; then fault_code and fault_address are set. */
CHECK_API int touch(const volatile void *address, enum touch how)
{
	struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old[2];
	volatile char *byte = (volatile char *)address;
	int signal;

	MUST(sigaction(SIGSEGV, &action, &old[0]));
	MUST(sigaction(SIGBUS, &action, &old[1]));
	fault_code = 0;
	fault_address = NULL;
	signal = sigsetjmp(fault_return, 1);
	if (signal == 0) {
		if (how == READ)
			(void)*byte;
		else if (how == WRITE)
			*byte = *byte;
		else
			((void (*)(void))(uintptr_t)byte)();
	}
	MUST(sigaction(SIGSEGV, &old[0], NULL));
	MUST(sigaction(SIGBUS, &old[1], NULL));
	return signal;
}

/* Anonymous private memory for reading and writing. */
CHECK_API char *map_pages(size_t pages)
{
	void *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(memory == MAP_FAILED ? -1 : 0);
	return memory;
}

/* An address at which `pages` pages are free. */
CHECK_API char *free_range(size_t pages)
{
	char *memory = map_pages(pages);

	MUST(munmap(memory, pages * PAGE));
	return memory;
}

CHECK_API int is_zero(const char *memory, size_t length)
{
	for (size_t at = 0; at < length; at++) {
		if (memory[at] != 0)
			return 0;
	}
	return 1;
}

#endif
