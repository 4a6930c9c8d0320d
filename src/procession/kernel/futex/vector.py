"""Waiting on several futexes at once: futex_waitv(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ERESTARTSYS
from procession.abi.named_tuple import NamedTuple
from procession.kernel.futex.queue import Deadline, FutexWait, FutexWaiter, expect_value, futex_key
from procession.kernel.time.costs import FUTEX_WAITER_NS

if TYPE_CHECKING:
    from procession.kernel.task import Task


class ExpectedWord(NamedTuple):
    """One of the futexes: where it is, what it must hold, and whether it's private."""

    address: int
    value: int
    is_private: bool


_WORKS = 3
"""A futex of several is looked up, waited for and left."""


class VectorWait(FutexWait):
    """A thread that waits on all futexes of a vector (Linux: kernel/futex/futex.h, struct futex_vector)."""

    __slots__ = ("members",)

    def __init__(self, task: Task, deadline: Deadline | None) -> None:
        super().__init__(task, deadline)
        self.members: list[FutexWaiter] = []

    def abandon(self) -> None:
        for member in self.members:
            if not member.is_woken:
                member.abandon()

    def go_on(self) -> int:
        """The index of the last futex that was woken. Linux: kernel/futex/waitwake.c, futex_wait_multiple."""
        woken = [index for index, member in enumerate(self.members) if member.is_woken]
        if woken:
            self.abandon()
            return woken[-1]
        return self.sleep(ERESTARTSYS)


def futex_wait_multiple(task: Task, words: list[ExpectedWord], deadline: Deadline | None) -> int:
    """Wait until one of the futexes is woken; its index.

    Raises EINVAL, EFAULT, EAGAIN when one doesn't hold what it should, ETIMEDOUT, Sleep.
    Linux: kernel/futex/waitwake.c, futex_wait_multiple_setup.
    """
    task.kernel.clock.spend((len(words) - 1) * _WORKS * FUTEX_WAITER_NS)
    keys = [futex_key(task, word.address, is_private=word.is_private) for word in words]
    for word in words:
        expect_value(task, word.address, word.value)
    wait = VectorWait(task, deadline)
    wait.members = [FutexWaiter(task, key) for key in keys]
    for member in wait.members:
        task.kernel.futexes.add(member)
    return wait.go_on()
