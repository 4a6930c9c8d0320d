/* Mounts of a test's own. */
#ifndef OWN_MOUNTS_H
#define OWN_MOUNTS_H

#include "check.h"

#include <sched.h>
#include <sys/mount.h>

/* A scratch directory in a mount namespace of one's own, with a file system on it: the current directory. */
CHECK_API void enter_own_mounts(const char *type, const char *options)
{
	enter_scratch();
	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount("scratch", check_shared->scratch, type, 0, options));
	MUST(chdir(check_shared->scratch));
}

#endif
