"""userfaultfd(2), and the device that gives the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM
from procession.abi.userfaultfd import UffdIoctl, UserfaultfdFlag
from procession.fs.file import O_CLOEXEC, O_NONBLOCK
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.security.capability import CAP_SYS_PTRACE
from procession.kernel.userfault.context import UserFaultContext
from procession.kernel.userfault.file import UserFaultFile
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Flags

if TYPE_CHECKING:
    from procession.kernel.task import Task

_NEW = int(UffdIoctl.USERFAULTFD_IOC_NEW)
_USER_MODE_ONLY = int(UserfaultfdFlag.UFFD_USER_MODE_ONLY)


@syscall(323)
def userfaultfd(task: Task, flags: Flags[UserfaultfdFlag]) -> int:
    """userfaultfd(2). Linux: fs/userfaultfd.c, SYSCALL_DEFINE1(userfaultfd)."""
    if (
        not flags & _USER_MODE_ONLY
        and not task.kernel.allows_unprivileged_userfaultfd
        and not task.credentials.capable(CAP_SYS_PTRACE)
    ):
        raise EPERM("faults of the kernel's own are for CAP_SYS_PTRACE")
    return new_userfaultfd(task, flags)


def control_device(task: Task, request: int, argument: int) -> int:
    """ioctl(2) of /dev/userfaultfd: a new descriptor. Its owner and mode say who may, not capabilities.

    Raises EINVAL, EMFILE. Linux: fs/userfaultfd.c, userfaultfd_dev_ioctl.
    """
    if request != _NEW:
        raise EINVAL
    return new_userfaultfd(task, argument & 0xFFFFFFFF)


def new_userfaultfd(task: Task, flags: int) -> int:
    """A descriptor for the caller's memory. Raises EINVAL, EMFILE.

    Linux: fs/userfaultfd.c, new_userfaultfd.
    """
    if flags & ~(_USER_MODE_ONLY | O_CLOEXEC | O_NONBLOCK):
        raise EINVAL
    kernel = task.kernel
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    task.files.lowest_free(0, limit)
    context = UserFaultContext(kernel, task.mm, flags)
    file = UserFaultFile(context, flags & O_NONBLOCK, task.credentials)
    return task.files.install(file, close_on_exec=bool(flags & O_CLOEXEC), limit=limit)
