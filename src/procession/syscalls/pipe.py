"""pipe and pipe2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT, EINVAL, EMFILE, ENOPKG
from procession.abi.open_flags import OpenFlag
from procession.abi.structure import I32
from procession.abi.word import Words
from procession.fs.file import O_CLOEXEC, O_DIRECT, O_EXCL, O_NONBLOCK
from procession.fs.pipe import create_pipe
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Flags, Out

if TYPE_CHECKING:
    from procession.kernel.task import Task

_O_NOTIFICATION_PIPE = O_EXCL
_PAIR = Words("<ii")


@syscall(22)
def pipe(task: Task, descriptors: Out[I32]) -> int:
    """pipe(2). Linux: fs/pipe.c, SYSCALL_DEFINE1(pipe)."""
    return _pipe(task, descriptors.address, 0)


@syscall(293)
def pipe2(task: Task, descriptors: Out[I32], flags: Flags[OpenFlag]) -> int:
    """pipe2(2). Linux: fs/pipe.c, do_pipe2; without CONFIG_WATCH_QUEUE, watch_queue_init says ENOPKG."""
    if flags & ~(O_CLOEXEC | O_DIRECT | O_NONBLOCK | _O_NOTIFICATION_PIPE):
        raise EINVAL
    if flags & _O_NOTIFICATION_PIPE:
        raise ENOPKG
    return _pipe(task, descriptors.address, flags)


def _pipe(task: Task, address: int, flags: int) -> int:
    reader, writer = create_pipe(task.kernel.vfs, flags, task.credentials)
    files = task.files
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    close_on_exec = bool(flags & O_CLOEXEC)
    try:
        read_fd = files.install(reader, close_on_exec=close_on_exec, limit=limit)
    except EMFILE:
        writer.release_if_unheld()
        raise
    try:
        write_fd = files.install(writer, close_on_exec=close_on_exec, limit=limit)
    except EMFILE:
        files.close(read_fd)
        raise
    try:
        task.mm.write(address, _PAIR.pack(read_fd, write_fd))
    except EFAULT:
        files.close(read_fd)
        files.close(write_fd)
        raise
    return 0
