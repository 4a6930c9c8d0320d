"""Out of memory: one process is killed so that the others can go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.signal import SigInfo, send_group_signal
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_SIGKILL, _SI_KERNEL = 9, 0x80
_NEVER = -1000
_GONE = (TaskState.ZOMBIE, TaskState.DEAD)


def badness(task: Task, total_pages: int) -> int:
    """How much killing the process of `task` would help, adjusted by its oom_score_adj.

    Linux: mm/oom_kill.c, oom_badness.
    """
    tables = len(task.mm.tables.leaves) + len(task.mm.tables.middle) + len(task.mm.tables.upper) + 1
    return task.mm.resident_pages + tables + task.group.oom_score_adj * total_pages // 1000


def out_of_memory(kernel: Kernel, task: Task) -> None:
    """Kill the process that holds most, or do nothing if one is dying already; init only if it is alone.

    Linux: mm/oom_kill.c, out_of_memory.
    """
    del task
    victim: Task | None = None
    worst = 0
    for candidate in kernel.tasks.values():
        group = candidate.group
        if not candidate.is_leader or candidate.state in _GONE or group is kernel.init:
            continue
        if group.is_exiting:
            return
        if group.oom_score_adj == _NEVER:
            continue
        points = badness(candidate, kernel.memory.frame_count)
        if victim is None or points > worst:
            victim, worst = candidate, points
    if victim is None and kernel.init is not None:
        victim = kernel.init.leader
    if victim is not None:
        kernel.oom_kill_count += 1
        if kernel.observer is not None:
            kernel.observer.task_event(victim, "oom-kill")
        victim.group.flags &= ~8
        send_group_signal(kernel, victim.group, SigInfo(_SIGKILL, _SI_KERNEL))
