/* What a program may try against the stub that it runs in: `hostile CASE`. Each ends this process alone. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CACHE 0x7ffff8000000
#define LOW_CACHE 0x555550000000
#define CONTEXT 0x7ffffc000000
#define ORDERS (CONTEXT + 0x10000)
#define COUNTER (CONTEXT + 0xc0)
#define TAKEN (CONTEXT + 0x118)

#define AT(address) (*(volatile uint64_t *)(address))

static void attempt(int number, uint64_t seed)
{
	volatile uint64_t idle, *places[] = {&idle, &AT(COUNTER)};

	switch (number) {
	case 0: memset((void *)CONTEXT, 0xff, 0x10000); break;
	case 1: memset((void *)CONTEXT, 0, 0x10000); break;
	case 2: AT(ORDERS) = 1; break;
	case 3: AT(CACHE) = 1; break;
	case 4: AT(LOW_CACHE) = 1; break;
	case 5: ((void (*)(void))(CACHE))(); break;
	case 6: ((void (*)(void))(CACHE + 0x1000))(); break;
	case 7: AT(COUNTER) = UINT64_MAX >> 1; break;
	case 8: AT(COUNTER) = 0; break;
	case 9: AT(COUNTER) = UINT64_MAX; break;
	case 10: AT(TAKEN) = *(volatile uint32_t *)ORDERS; break;
	case 11:
		for (uint32_t place = 0;; place++)
			AT(TAKEN) = *(volatile uint32_t *)ORDERS + 1;
	case 12:
		for (int count = 0; count < 100000; count++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			((volatile uint8_t *)CONTEXT)[seed >> 48] = seed >> 40;
		}
		break;
	case 13: __asm__ volatile("mov %0, %%rsp; push %%rax; ud2" ::"r"(CONTEXT + 0x3000)); break;
	case 14: __asm__ volatile("mov %0, %%rsp; mov 0, %%eax" ::"r"(CONTEXT + 0x2010)); break;
	case 15: __asm__ volatile("mov %0, %%rsp; mov 0, %%eax" ::"r"(CONTEXT + 0xc000)); break;
	case 16:
		/* Once there is nothing left of the loop for which its code would be left. */
		for (uint64_t count = 0;; count++)
			*places[count >> 16 != 0] = UINT64_MAX >> 1;
	case 17:
		for (uint64_t place = CONTEXT + 16; place < CONTEXT + 0x400; place += 4) {
			if (fork() == 0) {
				__asm__ volatile("mov %%rsp, %%rbx; lea 1f(%%rip), %%rax; mov %0, %%rsp;"
				                 "push %%rax; ret; 1: mov %%rbx, %%rsp" ::"r"(place)
				                 : "rax", "rbx", "memory");
				_exit(0);
			}
			wait(NULL);
		}
		break;
	}
}

int main(int argc, char **argv)
{
	int status;
	pid_t child = fork();

	if (argc < 2)
		return 2;
	if (child == 0) {
		alarm(1);
		attempt(atoi(argv[1]), argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
		_exit(0);
	}
	waitpid(child, &status, 0);
	printf("%s\n", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exited");
	return 0;
}
