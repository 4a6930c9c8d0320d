"""The states of a task and the one table of legal transitions between them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from procession.kernel.observer import STATE

if TYPE_CHECKING:
    from procession.kernel.task import Task


class TaskState(IntEnum):
    """Where a task is in its life (Linux: fs/proc/array.c, task_state_array)."""

    NEW = 0
    RUNNABLE = 1
    RUNNING = 2
    INTERRUPTIBLE = 3
    UNINTERRUPTIBLE = 4
    KILLABLE = 5
    STOPPED = 6
    TRACED = 7
    ZOMBIE = 8
    DEAD = 9


LETTERS = {
    TaskState.NEW: "R",
    TaskState.RUNNABLE: "R",
    TaskState.RUNNING: "R",
    TaskState.INTERRUPTIBLE: "S",
    TaskState.UNINTERRUPTIBLE: "D",
    TaskState.KILLABLE: "D",
    TaskState.STOPPED: "T",
    TaskState.TRACED: "t",
    TaskState.ZOMBIE: "Z",
    TaskState.DEAD: "X",
}
"""What /proc/PID/stat shows."""

ENDED = (TaskState.ZOMBIE, TaskState.DEAD)
"""It runs no more."""
_SLEEPING = (TaskState.INTERRUPTIBLE, TaskState.UNINTERRUPTIBLE, TaskState.KILLABLE)
_HALTED = (TaskState.STOPPED, TaskState.TRACED)

LEGAL: dict[TaskState, frozenset[TaskState]] = {
    TaskState.NEW: frozenset({TaskState.RUNNABLE, TaskState.STOPPED, TaskState.TRACED}),
    TaskState.RUNNABLE: frozenset({TaskState.RUNNING}),
    TaskState.RUNNING: frozenset({TaskState.RUNNABLE, *_SLEEPING, *_HALTED, TaskState.ZOMBIE}),
    TaskState.INTERRUPTIBLE: frozenset({TaskState.RUNNABLE}),
    TaskState.UNINTERRUPTIBLE: frozenset({TaskState.RUNNABLE}),
    TaskState.KILLABLE: frozenset({TaskState.RUNNABLE}),
    TaskState.STOPPED: frozenset({TaskState.RUNNABLE, TaskState.TRACED}),
    TaskState.TRACED: frozenset({TaskState.RUNNABLE, TaskState.STOPPED}),
    TaskState.ZOMBIE: frozenset({TaskState.DEAD}),
    TaskState.DEAD: frozenset(),
}


class IllegalTransition(Exception):
    """A bug of the kernel: the machine stops."""


def set_state(task: Task, state: TaskState) -> None:
    """Move `task` to `state`, the only way in which a task's state changes. Raises IllegalTransition."""
    if state not in LEGAL[task.state]:
        raise IllegalTransition(
            f"task {task.tid} ({task.command_name!r}): {task.state.name} to {state.name} in {task.call_name}"
        )
    before = task.state
    task.state = state
    observer = task.kernel.observer
    if observer is not None:
        observer.task_event(task, STATE, before)
