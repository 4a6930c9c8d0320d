/* Restartable sequences: rseq(2), and what membarrier(2) has for them. */
#include "fault.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/rseq.h>

#define SIGNATURE 0x53053053U

static struct rseq *area_of_thread(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

TEST(the_c_library_registers)
{
	struct rseq *area = area_of_thread();

	CHECK(__rseq_size != 0);
	CHECK_EQ(area->cpu_id, sched_getcpu());
	CHECK_EQ(area->cpu_id_start, area->cpu_id);
	CHECK(getauxval(27) >= 20);
	CHECK_EQ(getauxval(28), 32);
	CHECK_ERRNO(syscall(SYS_rseq, area, 32, 0, SIGNATURE), EBUSY);
	CHECK_ERRNO(syscall(SYS_rseq, area, 32, 0, 1), EPERM);
	CHECK_ERRNO(syscall(SYS_rseq, area, 64, 0, SIGNATURE), EINVAL);
	CHECK_ERRNO(syscall(SYS_rseq, area + 1, 32, 0, SIGNATURE), EINVAL);
	CHECK_ERRNO(syscall(SYS_rseq, area, 32, 2, SIGNATURE), EINVAL);
}

TEST(registered_and_given_up)
{
	struct rseq *area = area_of_thread();
	static struct rseq other __attribute__((aligned(32)));

	CHECK_ERRNO(syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, 1), EPERM);
	CHECK_ERRNO(syscall(SYS_rseq, &other, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE), EINVAL);
	CHECK_OK(syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE));
	CHECK_EQ((int)area->cpu_id, -1);
	CHECK_ERRNO(syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE), EINVAL);
	CHECK_ERRNO(syscall(SYS_rseq, (char *)&other + 8, 32, 0, SIGNATURE), EINVAL);
	CHECK_ERRNO(syscall(SYS_rseq, &other, 31, 0, SIGNATURE), EINVAL);
	CHECK_ERRNO(syscall(SYS_rseq, -4096L, 32, 0, SIGNATURE), EFAULT);
	other.cpu_id = -1;
	CHECK_OK(syscall(SYS_rseq, &other, 32, 0, SIGNATURE));
	CHECK_EQ(other.cpu_id, sched_getcpu());
}

TEST(a_child_has_it_too)
{
	struct rseq *area = area_of_thread();
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		CHECK_ERRNO(syscall(SYS_rseq, area, 32, 0, SIGNATURE), EBUSY);
		CHECK_EQ(area->cpu_id, sched_getcpu());
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
}

static volatile int handled;

static void leave(int signal)
{
	(void)signal;
	handled = 1;
}

/* Spins in a critical section until a signal comes: 1 if the abort handler was reached. */
static int spin_in_section(struct rseq *area)
{
	int result;

	__asm__ volatile(".pushsection .data\n\t.balign 32\n3:\t.long 0, 0\n\t.quad 1f, 2f - 1f, 4f\n\t.popsection\n\t"
			 "leaq 3b(%%rip), %%rax\n\tmovq %%rax, 8(%[area])\n"
			 "1:\tcmpl $0, %[handled]\n\tje 1b\n2:\tmovl $0, %[result]\n\tjmp 5f\n\t"
			 ".byte 0x0f, 0xb9, 0x3d\n\t.long 0x53053053\n4:\tmovl $1, %[result]\n5:"
			 : [result] "=&r"(result)
			 : [area] "r"(area), [handled] "m"(handled)
			 : "rax", "memory", "cc");
	return result;
}

TEST(a_section_is_left_at_a_signal)
{
	struct rseq *area = area_of_thread();
	int left;

	handle(SIGALRM, leave, 0);
	ualarm(20000, 0);
	/* It may be left before, for another program. */
	for (left = 1; left && !handled;)
		left = spin_in_section(area);
	CHECK_EQ(left, 1);
	CHECK_EQ(area->rseq_cs, 0);
}

TEST(a_section_is_left_when_another_runs)
{
	struct rseq *area = area_of_thread();
	cpu_set_t one;
	pid_t child;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	MUST(sched_setaffinity(0, sizeof one, &one));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		for (;;)
			continue;
	}
	CHECK_EQ(spin_in_section(area), 1);
	CHECK_EQ(handled, 0);
	CHECK_EQ(area->rseq_cs, 0);
	MUST(kill(child, SIGKILL));
	CHECK_EQ(wait_for(child), KILLED(SIGKILL));
}

TEST(a_section_that_cannot_be)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		area_of_thread()->rseq_cs = 8;
		handle(SIGALRM, leave, 0);
		ualarm(1000, 0);
		while (!handled)
			continue;
		_exit(0);
	}
	CHECK_EQ(wait_for(child), KILLED(SIGSEGV));
}

TEST(barriers_for_sequences)
{
	long commands = MUST(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0));

	CHECK(commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
	CHECK_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0), EPERM);
	CHECK_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0));
	CHECK_EQ(syscall(SYS_membarrier, 512, 0, 0),
		 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	CHECK_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0));
	CHECK_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 0));
	CHECK_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_FLAG_CPU, 0), EINVAL);
}
