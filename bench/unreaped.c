/* COUNT children none of which is waited for until the last one is a zombie. */
#include "bench.h"

int main(int argc, char **argv)
{
	long count = count_of(argc, argv);
	siginfo_t info;
	pid_t last = 0;

	for (long left = count; left > 0; left--) {
		last = (pid_t)must(fork());
		if (last == 0)
			_exit(0);
	}
	if (last != 0)
		must(waitid(P_PID, (id_t)last, &info, WEXITED | WNOWAIT));
	for (long left = count; left > 0; left--)
		must(wait(NULL));
	return 0;
}
