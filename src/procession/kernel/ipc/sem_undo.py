"""What semop(2) with SEM_UNDO takes back when a process ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.kernel.ipc.sem import SemaphoreSet
    from procession.kernel.task import Task


UNDO_BYTES = 8
"""An adjustment: a place in a list."""


class SemaphoreUndo:
    """What is to be added to the semaphores of one set (Linux: ipc/sem.c, struct sem_undo).

    `adjustments` has a number for each semaphore.
    """

    __slots__ = ("adjustments", "owner", "semaphores")

    def __init__(self, owner: UndoList, semaphores: SemaphoreSet) -> None:
        self.owner = owner
        self.semaphores = semaphores
        self.adjustments = [0] * len(semaphores.values)


class UndoList:
    """The undos of one process, or of all tasks that share them (CLONE_SYSVSEM).

    `reference_count` counts those tasks. Linux: ipc/sem.c, struct sem_undo_list.
    """

    __slots__ = ("reference_count", "undos")

    def __init__(self) -> None:
        self.reference_count = 1
        self.undos: dict[SemaphoreSet, SemaphoreUndo] = {}


def undo_for(task: Task, semaphores: SemaphoreSet) -> SemaphoreUndo:
    """The undo of `task` for a set, made at first use. Raises ENOMEM. Linux: ipc/sem.c, find_alloc_undo."""
    owner = undo_list_of(task)
    undo = owner.undos.get(semaphores)
    if undo is None:
        semaphores.charge(UNDO_BYTES * len(semaphores.values))
        undo = owner.undos[semaphores] = SemaphoreUndo(owner, semaphores)
        semaphores.undos.append(undo)
    return undo


def undo_list_of(task: Task) -> UndoList:
    """The list of `task`, made at first use. Linux: ipc/sem.c, get_undo_list."""
    owner = task.semaphore_undo
    if owner is None:
        owner = task.semaphore_undo = UndoList()
    return owner


def share_undos(parent: Task, child: Task) -> None:
    """The new task `child` has the same list (CLONE_SYSVSEM). Linux: ipc/sem.c, copy_semundo."""
    owner = undo_list_of(parent)
    owner.reference_count += 1
    child.semaphore_undo = owner


def leave_undos(task: Task) -> None:
    """`task` ends, or stops sharing; the last one undoes, newest set first. Linux: ipc/sem.c, exit_sem."""
    owner, task.semaphore_undo = task.semaphore_undo, None
    if owner is None:
        return
    owner.reference_count -= 1
    if owner.reference_count:
        return
    for undo in reversed(list(owner.undos.values())):
        undo.semaphores.undo(task, undo)
