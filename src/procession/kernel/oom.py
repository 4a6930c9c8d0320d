"""Out of memory: one process is killed so that the others can go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.siginfo import SigInfo
from procession.kernel.signal_generation import send_group_signal
from procession.kernel.signal_wake import has_fatal_signal
from procession.kernel.task_state import TaskState, set_state

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_SIGKILL, _SI_KERNEL = 9, 0x80
_NEVER = -1000
_GONE = (TaskState.ZOMBIE, TaskState.DEAD)
_PAUSE_NS = 1_000_000
"""How long a task waits for the memory of the one that is killed (Linux: a jiffy)."""


def badness(task: Task, total_pages: int) -> int:
    """How much killing the process of `task` would help, adjusted by its oom_score_adj.

    Linux: mm/oom_kill.c, oom_badness.
    """
    tables = len(task.mm.tables.leaves) + len(task.mm.tables.middle) + len(task.mm.tables.upper) + 1
    return task.mm.resident_pages + tables + task.group.oom_score_adj * total_pages // 1000


def await_memory(kernel: Kernel, task: Task) -> None:
    """The running `task`, in no system call, needs a frame and there is none: it waits for a victim's end.

    Without the pause whoever faults again at once could keep the victim from running.
    Linux: mm/page_alloc.c, __alloc_pages_may_oom.
    """
    out_of_memory(kernel)
    if not has_fatal_signal(task):
        task.sleep_timer = kernel.timers.add(kernel.clock.now_ns + _PAUSE_NS, "wake", task)
        set_state(task, TaskState.KILLABLE)


def out_of_memory(kernel: Kernel) -> None:
    """Kill the process that holds most, or do nothing if one is dying already; init only if it is alone.

    Linux: mm/oom_kill.c, out_of_memory.
    """
    victim: Task | None = None
    worst = 0
    for candidate in kernel.tasks.values():
        group = candidate.group
        if not candidate.is_leader or candidate.state in _GONE or group is kernel.init:
            continue
        if group.is_exiting and group.core_dump is None:
            return
        if group.oom_score_adj == _NEVER:
            continue
        points = badness(candidate, kernel.memory.frame_count)
        # Of equals Linux takes the youngest.
        if victim is None or points >= worst:
            victim, worst = candidate, points
    if victim is None and kernel.init is not None:
        victim = kernel.init.leader
    if victim is not None:
        kernel.oom_kill_count += 1
        if kernel.observer is not None:
            kernel.observer.task_event(victim, "oom-kill")
        victim.group.flags &= ~8
        send_group_signal(kernel, victim.group, SigInfo(_SIGKILL, _SI_KERNEL))
