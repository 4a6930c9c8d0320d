/* Filters of system calls, in few words. */
#ifndef SECCOMP_FILTER_H
#define SECCOMP_FILTER_H

#include "check.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#define NUMBER offsetof(struct seccomp_data, nr)
#define ARCHITECTURE offsetof(struct seccomp_data, arch)
#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + 8 * (n))
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define IF_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define RETURN(answer) BPF_STMT(BPF_RET | BPF_K, (answer))

CHECK_API long seccomp(unsigned int operation, unsigned int flags, const void *argument)
{
	return syscall(SYS_seccomp, operation, flags, argument);
}

CHECK_API void no_new_privs(void)
{
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

CHECK_API long attach_program(struct sock_filter *program, size_t length, unsigned int flags)
{
	struct sock_fprog header = {(unsigned short)length, program};

	return seccomp(SECCOMP_SET_MODE_FILTER, flags, &header);
}

#define ATTACH(flags, ...) \
	({ \
		struct sock_filter program_[] = {__VA_ARGS__}; \
		attach_program(program_, LENGTH(program_), (flags)); \
	})

/* A filter that answers `answer` to one call and allows all others. */
CHECK_API long attach_for(unsigned int flags, long number, unsigned int answer)
{
	return ATTACH(flags, LOAD(NUMBER), IF_EQUAL((unsigned int)number, 0, 1), RETURN(answer),
		      RETURN(SECCOMP_RET_ALLOW));
}

CHECK_API void status_line(const char *name, char *value, size_t size)
{
	char line[256];
	FILE *status = fopen("/proc/thread-self/status", "re");
	size_t length = strlen(name);

	value[0] = '\0';
	while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			snprintf(value, size, "%.*s", (int)strcspn(line + length + 2, "\n"), line + length + 2);
	}
	if (status != NULL)
		fclose(status);
}

#endif
