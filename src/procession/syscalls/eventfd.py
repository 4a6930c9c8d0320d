"""eventfd and eventfd2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.eventfd import EventfdFlag
from procession.fs.eventfd import EventFile
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Flags, UInt

if TYPE_CHECKING:
    from procession.kernel.task import Task

_EFD_SEMAPHORE = int(EventfdFlag.EFD_SEMAPHORE)
_EFD_CLOEXEC = int(EventfdFlag.EFD_CLOEXEC)
_EFD_NONBLOCK = int(EventfdFlag.EFD_NONBLOCK)


@syscall(284)
def eventfd(task: Task, count: UInt) -> int:
    """eventfd(2). Linux: fs/eventfd.c, SYSCALL_DEFINE1(eventfd)."""
    return _eventfd(task, count, 0)


@syscall(290)
def eventfd2(task: Task, count: UInt, flags: Flags[EventfdFlag]) -> int:
    """eventfd(2) with flags. Linux: fs/eventfd.c, do_eventfd."""
    if flags & ~(_EFD_SEMAPHORE | _EFD_CLOEXEC | _EFD_NONBLOCK):
        raise EINVAL
    return _eventfd(task, count, flags)


def _eventfd(task: Task, count: int, flags: int) -> int:
    file = EventFile(
        task.kernel.vfs,
        count,
        flags & _EFD_NONBLOCK,
        task.credentials,
        is_semaphore=bool(flags & _EFD_SEMAPHORE),
    )
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    return task.files.install(file, close_on_exec=bool(flags & _EFD_CLOEXEC), limit=limit)
