/* The attributes of sched_setattr(2), and the calls that take and give them. */
#ifndef SCHEDULING_H
#define SCHEDULING_H

#include "check.h"

#define ATTRIBUTES_V0 48

struct attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime;
	uint64_t deadline;
	uint64_t period;
	uint8_t more[8192];
};

CHECK_API long set_attributes(pid_t pid, const void *attributes, unsigned flags)
{
	return syscall(SYS_sched_setattr, pid, attributes, flags);
}

CHECK_API long get_attributes(pid_t pid, void *attributes, unsigned size, unsigned flags)
{
	return syscall(SYS_sched_getattr, pid, attributes, size, flags);
}

#endif
