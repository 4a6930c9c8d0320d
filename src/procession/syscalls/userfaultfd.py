"""userfaultfd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.abi.userfaultfd import UserfaultfdFlag
from procession.fs.file import O_CLOEXEC, O_NONBLOCK
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.security.capability import CAP_SYS_PTRACE
from procession.kernel.userfault.context import UserFaultContext
from procession.kernel.userfault.file import UserFaultFile
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Flags

if TYPE_CHECKING:
    from procession.kernel.task import Task

_USER_MODE_ONLY = int(UserfaultfdFlag.UFFD_USER_MODE_ONLY)


@syscall(323)
def userfaultfd(task: Task, flags: Flags[UserfaultfdFlag]) -> int:
    """userfaultfd(2). Linux: fs/userfaultfd.c, SYSCALL_DEFINE1(userfaultfd)."""
    kernel = task.kernel
    is_user_mode_only = bool(flags & _USER_MODE_ONLY)
    if (
        not is_user_mode_only
        and not kernel.allows_unprivileged_userfaultfd
        and not task.credentials.has_capability(CAP_SYS_PTRACE)
    ):
        raise EPERM("faults of the kernel's own are for CAP_SYS_PTRACE")
    if flags & ~(_USER_MODE_ONLY | O_CLOEXEC | O_NONBLOCK):
        raise EINVAL
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    task.files.lowest_free(0, limit)
    context = UserFaultContext(kernel, task.mm, is_user_mode_only=is_user_mode_only)
    file = UserFaultFile(context, flags & O_NONBLOCK, task.credentials)
    return task.files.install(file, close_on_exec=bool(flags & O_CLOEXEC), limit=limit)
