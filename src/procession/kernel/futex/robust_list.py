"""Robust futexes: what a thread that ends makes of the locks in its list (get_robust_list(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.errno import EFAULT, EINVAL
from procession.abi.futex import FUTEX_TID_MASK, ROBUST_LIST_LIMIT, RobustListHead
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.futex.pi import OWNER_DIED, WAITERS, release_locks
from procession.kernel.futex.queue import WORD_BYTES, futex_wake, read_word, write_word
from procession.kernel.time.costs import FUTEX_WAITER_NS

if TYPE_CHECKING:
    from procession.kernel.task import Task

_IS_PI: Final = 1
"""The lowest bit of a pointer in the list: the entry is of a priority-inheriting lock."""
_ADDRESSES: Final = (1 << 64) - 1


def release_futexes(task: Task) -> None:
    """Tell whoever waits for a lock of `task`, which ends or leaves its address space.

    The list is the program's, and may be anything: a bad address ends the walk, and so does its length.
    Linux: kernel/futex/core.c, futex_cleanup.
    """
    head, task.robust_list = task.robust_list[0], (0, 0)
    if head:
        _end_owner_of_list(task, head)
    if task.kernel.futexes.locks:
        release_locks(task)


def _end_owner_of_list(task: Task, head: int) -> None:
    try:
        _walk(task, head)
    except (EFAULT, EINVAL, OutOfFrames):
        # What is left of the list stays as it is.
        return


def _walk(task: Task, head_address: int) -> None:
    """Raises EFAULT or EINVAL where the list is wrong. Linux: kernel/futex/core.c, exit_robust_list."""
    mm = task.mm
    head = RobustListHead.unpack(mm.read(head_address, RobustListHead.SIZE))
    offset = head.futex_offset
    pending = head.list_op_pending & ~_IS_PI
    link = head.list
    clock = task.kernel.clock
    for _ in range(ROBUST_LIST_LIMIT):
        clock.spend(FUTEX_WAITER_NS)
        entry = link & ~_IS_PI
        if entry == head_address:
            break
        # Changing the lock's word may change the link, so it's read before; that it can't be comes after.
        next_link: int | None
        try:
            next_link = mm.read_word(entry)
        except EFAULT:
            next_link = None
        # A lock that is being taken may be in the list already.
        if entry != pending:
            _end_owner(task, entry + offset & _ADDRESSES, is_pi=bool(link & _IS_PI), is_pending=False)
        if next_link is None:
            return
        link = next_link
    if pending:
        is_pi = bool(head.list_op_pending & _IS_PI)
        _end_owner(task, pending + offset & _ADDRESSES, is_pi=is_pi, is_pending=True)


def _end_owner(task: Task, address: int, *, is_pi: bool, is_pending: bool) -> None:
    """Mark a lock that `task` has as one whose owner has died, and wake who waits for it.

    Raises EINVAL, EFAULT. Linux: kernel/futex/core.c, handle_futex_death.
    """
    if address % WORD_BYTES:
        raise EINVAL("an unaligned lock")
    word = read_word(task, address)
    owner_id = word & FUTEX_TID_MASK
    if is_pending and not is_pi and not owner_id:
        # It may have released the lock and died before it could wake anybody.
        wake_at_end(task, address)
        return
    if owner_id != task.thread_pid.own_number:
        return
    write_word(task, address, word & WAITERS | OWNER_DIED)
    if not is_pi and word & WAITERS:
        wake_at_end(task, address)


def wake_at_end(task: Task, address: int) -> None:
    """Wake one waiter of the futex at `address`, if there is one, for a thread that ends."""
    try:
        futex_wake(task, address, 1, is_private=False)
    except (EFAULT, EINVAL):
        # Nobody can be told that the address is no good.
        return
