"""Who can talk to whom through what, who waits for whom, and which tasks will wait for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.kernel.task_state import TaskState
from procession.kernel.waits.channels import Channel, ChannelMap
from procession.kernel.waits.reasons import Wait, waits_of

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

EVERY_TASK_SLEEPS = "every task sleeps, and nothing can wake any of them"
_MOST_LINES = 40
_MOST_IN_CYCLE = 500
"""Among how many tasks a circle is looked for."""
_CAN_RUN = (TaskState.RUNNABLE, TaskState.RUNNING, TaskState.NEW)


class IpcGraph(NamedTuple):
    """The channels between the processes of a machine, and the waits of its tasks, at one moment.

    `deadlocked` are the ids of tasks that only each other could wake, so that none ever will be. `cycle` is
    a way among them on which each waits for the next, and the last for the first; empty if there is none.
    """

    channels: tuple[Channel, ...]
    waits: tuple[Wait, ...]
    deadlocked: tuple[int, ...]
    cycle: tuple[int, ...]

    def explain(self) -> str:
        """What the deadlocked tasks wait for, a line for each, and the circle; "" if there are none."""
        deadlocked = frozenset(self.deadlocked)
        lines = [str(wait) for wait in self.waits if wait.tid in deadlocked]
        if len(lines) > _MOST_LINES:
            lines[_MOST_LINES:] = [f"and {len(lines) - _MOST_LINES} more"]
        if self.cycle:
            names = {wait.tid: f"{wait.tid} ({wait.name})" for wait in self.waits}
            if len(self.cycle) == 1:
                lines.append(f"{names[self.cycle[0]]} waits for itself")
            else:
                circle = [*self.cycle[1:], self.cycle[0]]
                lines.append(
                    f"{names[self.cycle[0]]} waits for "
                    + ", which waits for ".join(names[tid] for tid in circle)
                )
        return "\n".join(lines)

    def __str__(self) -> str:
        lines = [*map(str, self.channels), *map(str, self.waits)]
        return "\n".join(lines)


def ipc_graph(kernel: Kernel) -> IpcGraph:
    """The graph as it is now; nothing is changed by looking."""
    channels = ChannelMap(kernel)
    waits = waits_of(channels)
    deadlocked = find_deadlocked(kernel, waits)
    return IpcGraph(
        tuple(channels.channels.values()), tuple(waits), deadlocked, find_cycle(waits, deadlocked)
    )


def find_deadlocked(kernel: Kernel, waits: list[Wait]) -> tuple[int, ...]:
    """The tasks that wait for nobody but each other.

    When nobody can run and no timer is armed, these are all; otherwise those whose wakers are known and all
    among them: who isn't is left out, and then who waits for him, until nobody is left out any more.
    """
    if not any(task.state in _CAN_RUN for task in kernel.tasks) and (
        kernel.timers.next_deadline_ns() is None
    ):
        return tuple(wait.tid for wait in waits if not is_idle_init(kernel, wait))
    left = {wait.tid: wait for wait in waits if not wait.is_open and not wait.has_deadline}
    while True:
        leaving = [tid for tid, wait in left.items() if any(waker not in left for waker in wait.wakers)]
        if not leaving:
            return tuple(left)
        for tid in leaving:
            del left[tid]


def is_idle_init(kernel: Kernel, wait: Wait) -> bool:
    """Whether this is the machine's init waiting for orphans, which is all that it does."""
    return kernel.init is not None and wait.pid == kernel.init.pid.global_number and wait.name == "init"


def find_cycle(waits: list[Wait], among: tuple[int, ...]) -> tuple[int, ...]:
    """A shortest way from a task to itself, each step to one that could wake it; () if there is none.

    One through others tells more than that a task could wake itself, as who inherited both ends of a pipe.
    """
    nodes = frozenset(among[:_MOST_IN_CYCLE])
    wakers = {wait.tid: [tid for tid in wait.wakers if tid in nodes] for wait in waits if wait.tid in nodes}
    best: tuple[int, ...] = ()
    for start in wakers:
        paths: list[tuple[int, ...]] = [(start,)]
        seen = {start}
        for path in paths:
            if best and len(path) >= len(best):
                break
            if len(path) > 1 and start in wakers[path[-1]]:
                best = path
                break
            for tid in wakers[path[-1]]:
                if tid not in seen:
                    seen.add(tid)
                    paths.append((*path, tid))
        if len(best) == 2:
            break
    return best or next(((tid,) for tid, others in wakers.items() if tid in others), ())
