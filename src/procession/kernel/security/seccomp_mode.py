"""Entering a mode of seccomp: what seccomp(2) and PR_SET_SECCOMP share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, Errno
from procession.abi.seccomp import SeccompFilterFlag
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.process_flags import TIF_NOTSC
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.security.seccomp import (
    MODE_FILTER,
    MODE_STRICT,
    NEW_LISTENER,
    TSYNC,
    TSYNC_ESRCH,
    WAIT_KILLABLE_RECV,
    attach_filter,
    check_listener,
    check_mode,
    prepare_filter,
    set_mode,
)
from procession.kernel.security.seccomp_listener import ListenerFile

if TYPE_CHECKING:
    from procession.kernel.task import Task

_ALL_FLAGS = sum(map(int, SeccompFilterFlag))


def set_strict_mode(task: Task) -> None:
    """From now on read, write, rt_sigreturn and exit, and not even rdtsc. Raises EINVAL.

    Linux: kernel/seccomp.c, seccomp_set_mode_strict.
    """
    check_mode(task, MODE_STRICT)
    task.flags |= TIF_NOTSC
    set_mode(task.kernel, task, MODE_STRICT)


def set_filter_mode(task: Task, address: int, flags: int) -> int:
    """Attach the filter whose struct sock_fprog is at `address`.

    The result is 0, the descriptor of a new listener, or the id of a thread that can't have the same filters.
    Raises EINVAL, EFAULT, EACCES, EMFILE, EBUSY, ENOMEM, ESRCH; then nothing has changed.
    Linux: kernel/seccomp.c, seccomp_set_mode_filter.
    """
    if flags & ~_ALL_FLAGS:
        raise EINVAL("unknown flags")
    if flags & TSYNC and flags & NEW_LISTENER and not flags & TSYNC_ESRCH:
        raise EINVAL("the result can't be both a thread and a descriptor")
    if flags & WAIT_KILLABLE_RECV and not flags & NEW_LISTENER:
        raise EINVAL("nobody would receive anything")
    kernel = task.kernel
    new = prepare_filter(task, address, flags)
    listener_fd: int | None = None
    try:
        if flags & NEW_LISTENER:
            limit = task.group.limits.soft[RLIMIT_NOFILE]
            task.files.lowest_free(0, limit)
            listener_fd = task.files.install(ListenerFile(kernel, new, task), close_on_exec=True, limit=limit)
        check_mode(task, MODE_FILTER)
        check_listener(task, new)
        result = attach_filter(kernel, task, new, flags)
    except (Errno, OutOfFrames):
        if listener_fd is not None:
            task.files.close(listener_fd)
        new.discard()
        raise
    if task.seccomp_filter is not new:
        new.discard()
    return result if listener_fd is None else listener_fd
