/* COUNT system calls of a process whose tracer looks at each as strace does: two stops, two questions. */
#include "bench.h"

#include <linux/ptrace.h>
#include <signal.h>

int main(int argc, char **argv)
{
	long count = count_of(argc, argv);
	struct ptrace_syscall_info info;
	pid_t child = (pid_t)must(fork());
	int status;

	if (child == 0) {
		must(syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0));
		raise(SIGSTOP);
		for (long left = count; left > 0; left--)
			syscall(SYS_getpid);
		_exit(0);
	}
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		syscall(SYS_ptrace, PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info);
		must(syscall(SYS_ptrace, PTRACE_SYSCALL, child, 0, 0));
	}
	return 0;
}
