"""Where kernel objects came to be what they are: what `Machine.back_to` can look for beside events.

Each names an object as it is now, and says of any moment whether it's so already. Going back to where that
has become true leads to the end of the trap in which it happened. Run again from before its making, an object
is another one of Python's: so an `Origin` is given those that stand for its own in the run that is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from procession.abi.named_tuple import NamedTuple
from procession.hardware.page_table import ADDRESS_MASK
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.snapshot.history import Machine

_LAST_SIGNAL = 64


class Origin(NamedTuple):
    """What is looked for: `holds(machine, *objects)`, of these objects or of those that stand for them."""

    objects: tuple[Any, ...]
    holds: Callable[..., bool]


def opened(task: Task, fd: int) -> Origin:
    """Where the open file behind descriptor `fd` was opened, by whatever task and as whatever number.

    Raises ValueError if there is none.
    """

    def is_open(machine: Machine, file: object) -> bool:
        return any(known is file for each in machine.kernel.tasks for known in each.files.files.values())

    return Origin((_file(task, fd),), is_open)


def installed(task: Task, fd: int) -> Origin:
    """Where descriptor `fd` of `task` came to be that open file. Raises ValueError if there is none."""

    def is_there(machine: Machine, task: Task, file: object) -> bool:
        return task in machine.kernel.tasks and task.files.files.get(fd) is file

    return Origin((task, _file(task, fd)), is_there)


def mapped(task: Task, address: int) -> Origin:
    """Where the page at `address` got the frame that it has: it was read in, made, or copied when written to.

    Raises ValueError if no page is present there.
    """
    page = address >> PAGE_SHIFT
    entry = task.mm.tables.entry(page)
    frame = entry & ADDRESS_MASK
    if not entry:
        raise ValueError(f"no page of task {task.tid} is present at {address:#x}")

    def is_mapped(machine: Machine, task: Task) -> bool:
        there = task.mm.tables.entry(page) if task in machine.kernel.tasks else 0
        return there != 0 and there & ADDRESS_MASK == frame

    return Origin((task,), is_mapped)


def sent(task: Task, signal: int) -> Origin:
    """Where the signal `signal`, which `task` has pending, was sent. Raises ValueError if it hasn't."""

    if not 0 < signal <= _LAST_SIGNAL or not _has_pending(task, signal):
        raise ValueError(f"task {task.tid} has no signal {signal} pending")

    def is_pending(machine: Machine, task: Task) -> bool:
        return task in machine.kernel.tasks and _has_pending(task, signal)

    return Origin((task,), is_pending)


def ended(task: Task) -> Origin:
    """Where `task` has become a zombie. Raises ValueError if it isn't one."""
    if task.state < TaskState.ZOMBIE:
        raise ValueError(f"task {task.tid} hasn't ended")

    def has_ended(machine: Machine, task: Task) -> bool:
        return task in machine.kernel.tasks and task.state >= TaskState.ZOMBIE

    return Origin((task,), has_ended)


def made(task: Task) -> Origin:
    """Where `task` was made."""
    return Origin((task,), lambda machine, task: task in machine.kernel.tasks)


def _has_pending(task: Task, signal: int) -> bool:
    return task.pending.holds(signal) or task.group.shared_pending.holds(signal)


def _file(task: Task, fd: int) -> object:
    file = task.files.files.get(fd)
    if file is None:
        raise ValueError(f"task {task.tid} has no descriptor {fd}")
    return file
