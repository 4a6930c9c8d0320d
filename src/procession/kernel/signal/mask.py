"""The signals that a thread blocks, and whether one that it doesn't block is pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.signal.set import UNBLOCKABLE
from procession.kernel.signal.stop import PENDING_MASK, TRAP_FREEZE
from procession.kernel.signal.wake import wake_for_signal
from procession.kernel.task import RESTORE_MASK, SIGNAL_PENDING

if TYPE_CHECKING:
    from procession.kernel.task import Task

_RT_SIGTIMEDWAIT = 128


def recalculate_pending(task: Task) -> None:
    """Set or clear SIGNAL_PENDING in `task.work`. Linux: kernel/signal.c, recalc_sigpending."""
    if ((task.pending.mask | task.group.shared_pending.mask) & ~task.blocked) or task.job_control & (
        PENDING_MASK | TRAP_FREEZE
    ):
        task.work |= SIGNAL_PENDING
    else:
        task.work &= ~SIGNAL_PENDING


def awaited_signals(task: Task) -> int:
    """The mask of signals for which the thread sleeps in rt_sigtimedwait(2), else 0.

    They wake it though it blocks them. Those that it doesn't block are ignored or deadly as ever (in Linux,
    task_struct.real_blocked holds what it blocks).
    """
    frame = task.frame
    if frame is None or frame.number != _RT_SIGTIMEDWAIT:
        return 0
    awaited: int = frame.progress
    return awaited


def set_blocked(task: Task, mask: int) -> None:
    """Make `mask` the signals that the thread blocks, SIGKILL and SIGSTOP never.

    Linux: kernel/signal.c, set_current_blocked.
    """
    mask &= ~UNBLOCKABLE
    if mask == task.blocked:
        return
    if task.work & SIGNAL_PENDING and len(task.group.threads) > 1:
        retarget_shared_pending(task, mask & ~task.blocked)
    task.blocked = mask
    recalculate_pending(task)


def retarget_shared_pending(task: Task, signals: int) -> None:
    """Make other threads look at the process's pending signals in the mask `signals`.

    The thread was told of them, but won't take them. Linux: kernel/signal.c, retarget_shared_pending.
    """
    left = task.group.shared_pending.mask & signals
    for thread in task.group.threads:
        if not left:
            return
        if thread is task or thread.is_exiting or not left & ~thread.blocked:
            continue
        left &= thread.blocked
        if not thread.work & SIGNAL_PENDING:
            wake_for_signal(thread, is_fatal=False)


def set_temporary_mask(task: Task, mask: int) -> None:
    """Block `mask` until the present system call ends: for pselect, ppoll, epoll_pwait and sigsuspend.

    A handler calls it each time that it runs, before it looks, and needn't restore anything: when the call
    ends with a result, the old mask is back before a signal is delivered; when a signal interrupted it, the
    signal's handler runs first. Linux: kernel/signal.c, set_user_sigmask; include/linux/sched/signal.h,
    restore_saved_sigmask_unless.
    """
    if not task.work & RESTORE_MASK:
        task.saved_mask = task.blocked
        task.work |= RESTORE_MASK
    set_blocked(task, mask)


def restore_saved_mask(task: Task) -> None:
    """Block again what was blocked before set_temporary_mask.

    Linux: include/linux/sched/signal.h, restore_saved_sigmask.
    """
    if task.work & RESTORE_MASK:
        task.work &= ~RESTORE_MASK
        mask = task.saved_mask
        task.saved_mask = None
        if mask is not None:
            set_blocked(task, mask)
