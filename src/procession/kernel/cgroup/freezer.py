"""The freezer: the tasks of a control group halt, wherever they are, and go on as if nothing had been."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.observer import CAUSE_CONTINUE
from procession.kernel.signal.mask import recalculate_pending
from procession.kernel.signal.stop import FROZEN, TRAP_FREEZE
from procession.kernel.signal.wake import wake_for_signal
from procession.kernel.task import SIGNAL_PENDING
from procession.kernel.task_state import TaskState, set_state

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.task import Task

_HALTED = (TaskState.STOPPED, TaskState.TRACED)


def set_freeze(group: Cgroup, *, freeze: bool) -> None:
    """What is written to cgroup.freeze. Linux: kernel/cgroup/freezer.c, cgroup_freeze."""
    if group.wants_freeze == freeze:
        return
    group.wants_freeze = freeze
    is_applied = False
    for each in group.subtree():
        is_freezing = each.wants_freeze or (each.parent is not None and each.parent.is_freezing)
        if is_freezing != each.is_freezing:
            each.is_freezing = is_freezing
            is_applied = True
            for task in list(each.tasks):
                freeze_task(task, freeze=is_freezing)
    for each in reversed(list(group.subtree())):
        update_frozen(each)
    if not is_applied:
        # A group above decides: who waits for a change is told that there's nothing to wait for.
        group.events.notify()


def freeze_task(task: Task, *, freeze: bool) -> None:
    """Make one task halt when it next leaves the kernel, or go on.

    Linux: kernel/cgroup/freezer.c, cgroup_freeze_task.
    """
    if freeze:
        task.job_control |= TRAP_FREEZE
        wake_for_signal(task, is_fatal=False)
        return
    task.job_control &= ~TRAP_FREEZE
    if task.job_control & FROZEN:
        task.work |= SIGNAL_PENDING
        task.kernel.scheduler.wake(task, CAUSE_CONTINUE)
    else:
        recalculate_pending(task)


def enter_frozen(task: Task) -> None:
    """The running task halts until its group goes on, or it's killed.

    It isn't SIGNAL_PENDING meanwhile, so that a signal that comes can wake it, to end it or to be left
    waiting. Whoever wakes it sets that again: it looks for signals before anything else.
    Linux: kernel/signal.c, do_freezer_trap.
    """
    task.job_control |= FROZEN
    task.work &= ~SIGNAL_PENDING
    set_state(task, TaskState.INTERRUPTIBLE)
    task.times.voluntary_switches += 1
    update_frozen(task.cgroup)


def leave_frozen(task: Task) -> None:
    """The task runs again. Linux: kernel/cgroup/freezer.c, cgroup_leave_frozen."""
    task.job_control &= ~FROZEN
    if not task.job_control & TRAP_FREEZE:
        update_frozen(task.cgroup)


def _is_halted(task: Task) -> bool:
    """Whether the task can't do anything until its group goes on.

    A parent that waits for its child by vfork(2) counts, as it can't be woken.
    """
    return bool(
        task.job_control & FROZEN
        or task.state in _HALTED
        or (task.state is TaskState.KILLABLE and task.frame is not None and _waits_for_vfork(task))
    )


def _waits_for_vfork(task: Task) -> bool:
    """Linux: kernel/fork.c, wait_for_vfork_done."""
    return any(child.vfork_queue in task.queues for child in task.children if child.vfork_queue is not None)


def update_frozen(group: Cgroup) -> None:
    """See whether all of `group` is frozen by now, and the groups above.

    Linux: kernel/cgroup/freezer.c, cgroup_update_frozen.
    """
    each: Cgroup | None = group
    while each is not None:
        is_frozen = (
            each.is_freezing
            and all(map(_is_halted, each.tasks))
            and all(child.is_frozen for child in each.children.values())
        )
        if is_frozen == each.is_frozen:
            return
        each.is_frozen = is_frozen
        each.events.notify()
        each = each.parent
