"""A tracee's signals as its tracer sees and changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.siginfo import SI_MAX_SIZE
from procession.kernel.signal.mask import recalculate_pending
from procession.kernel.signal.set import UNBLOCKABLE
from procession.kernel.task import RESTORE_MASK, SIGNAL_PENDING

if TYPE_CHECKING:
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task

_SHARED = 1


def stop_info(tracer: Task, task: Task) -> bytes:
    """The siginfo of the stop. Raises EINVAL if it has none. Linux: kernel/ptrace.c, ptrace_getsiginfo."""
    stop = task.trace_stop
    if stop is None or stop.info is None:
        raise EINVAL("the stop isn't for a signal")
    return stop.info.pack(task.pid_namespace)


def set_stop_info(task: Task, info: SigInfo) -> None:
    """Raises EINVAL. Linux: kernel/ptrace.c, ptrace_setsiginfo."""
    stop = task.trace_stop
    if stop is None or stop.info is None:
        raise EINVAL("the stop isn't for a signal")
    stop.info = info


def pending_infos(task: Task, start: int, flags: int, count: int) -> list[bytes]:
    """Up to `count` of the queued signals, from the `start`th on. Raises EINVAL.

    Linux: kernel/ptrace.c, ptrace_peek_siginfo.
    """
    if flags & ~_SHARED:
        raise EINVAL("unknown flags")
    if count < 0:
        raise EINVAL("fewer than none")
    pending = task.group.shared_pending if flags & _SHARED else task.pending
    return [info.pack(task.pid_namespace) for info in pending.in_order()[start : start + count]]


def mask_of(task: Task) -> int:
    """What the stopped `task` blocks, but for the present system call. Linux: kernel/ptrace.c,
    ptrace_request."""
    saved = task.saved_mask
    return saved if saved is not None and task.work & RESTORE_MASK else task.blocked


def set_mask(task: Task, mask: int) -> None:
    """Make `mask` what the stopped `task` blocks. Linux: kernel/ptrace.c, ptrace_request."""
    task.blocked = mask & ~UNBLOCKABLE
    task.work &= ~RESTORE_MASK
    task.saved_mask = None
    recalculate_pending(task)
    task.work |= SIGNAL_PENDING


INFO_BYTES = SI_MAX_SIZE
