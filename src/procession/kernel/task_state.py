"""The states of a task and the one table of legal transitions between them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

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


# To look a member up in its class takes ten times as long, before Python 3.12.
NEW: Final[TaskState] = TaskState.NEW
RUNNABLE: Final[TaskState] = TaskState.RUNNABLE
RUNNING: Final[TaskState] = TaskState.RUNNING
INTERRUPTIBLE: Final[TaskState] = TaskState.INTERRUPTIBLE
UNINTERRUPTIBLE: Final[TaskState] = TaskState.UNINTERRUPTIBLE
KILLABLE: Final[TaskState] = TaskState.KILLABLE
STOPPED: Final[TaskState] = TaskState.STOPPED
TRACED: Final[TaskState] = TaskState.TRACED
ZOMBIE: Final[TaskState] = TaskState.ZOMBIE
DEAD: Final[TaskState] = TaskState.DEAD

LETTERS: Final = {
    NEW: "R",
    RUNNABLE: "R",
    RUNNING: "R",
    INTERRUPTIBLE: "S",
    UNINTERRUPTIBLE: "D",
    KILLABLE: "D",
    STOPPED: "T",
    TRACED: "t",
    ZOMBIE: "Z",
    DEAD: "X",
}
"""What /proc/PID/stat shows."""

ENDED: Final = (ZOMBIE, DEAD)
"""It runs no more."""
_SLEEPING: Final = (INTERRUPTIBLE, UNINTERRUPTIBLE, KILLABLE)
_HALTED: Final = (STOPPED, TRACED)

LEGAL: Final[dict[TaskState, frozenset[TaskState]]] = {
    NEW: frozenset({RUNNABLE, STOPPED, TRACED}),
    RUNNABLE: frozenset({RUNNING}),
    RUNNING: frozenset({RUNNABLE, *_SLEEPING, *_HALTED, ZOMBIE}),
    INTERRUPTIBLE: frozenset({RUNNABLE}),
    UNINTERRUPTIBLE: frozenset({RUNNABLE}),
    KILLABLE: frozenset({RUNNABLE}),
    STOPPED: frozenset({RUNNABLE, TRACED}),
    TRACED: frozenset({RUNNABLE, STOPPED}),
    ZOMBIE: frozenset({DEAD}),
    DEAD: frozenset(),
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
