"""Waking a thread because a signal is pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.observer import CAUSE_SIGNAL
from procession.kernel.signal.set import KILL_BIT
from procession.kernel.task import SIGNAL_PENDING
from procession.kernel.task_state import INTERRUPTIBLE, KILLABLE, STOPPED, TRACED

if TYPE_CHECKING:
    from procession.kernel.task import Task

_KILL_WAKES = (INTERRUPTIBLE, KILLABLE, STOPPED, TRACED)


def has_fatal_signal(task: Task) -> bool:
    """Whether SIGKILL waits for this thread (Linux: include/linux/sched/signal.h, fatal_signal_pending)."""
    return bool(task.work & SIGNAL_PENDING and task.pending.mask & KILL_BIT)


def wake_for_signal(task: Task, *, is_fatal: bool) -> None:
    """Say that a signal is pending, and end a sleep that it ends.

    Linux: include/linux/sched/signal.h, signal_wake_up.
    """
    task.work |= SIGNAL_PENDING
    state = task.state
    if state is INTERRUPTIBLE or (is_fatal and state in _KILL_WAKES):
        task.kernel.scheduler.wake(task, CAUSE_SIGNAL)
