"""Namespaces: unshare and setns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.clone_flags import CloneFlag
from procession.abi.errno import EBADF
from procession.fs.file import O_PATH
from procession.kernel import clone
from procession.kernel.namespaces.enter import set_namespaces
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Fd, Flags, LongFlags

if TYPE_CHECKING:
    from procession.kernel.task import Task


@syscall(272)
def unshare(task: Task, flags: LongFlags[CloneFlag]) -> int:
    """unshare(2)."""
    clone.unshare(task, flags)
    return 0


@syscall(308)
def setns(task: Task, fd: Fd, flags: Flags[CloneFlag]) -> int:
    """setns(2). Linux: kernel/nsproxy.c, SYSCALL_DEFINE2(setns)."""
    file = task.files.files.get(fd)
    if file is None or file.flags & O_PATH:
        raise EBADF
    set_namespaces(task, file, flags)
    return 0
