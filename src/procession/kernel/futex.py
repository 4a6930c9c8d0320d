"""Futexes: words in user memory on which threads wait until another thread wakes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from procession.abi.errno import (
    EAGAIN,
    EFAULT,
    EINVAL,
    ERESTART_RESTARTBLOCK,
    ERESTARTSYS,
    ETIMEDOUT,
    Errno,
)
from procession.fs.wait_queue import Abandonable, Sleep, WaitQueue
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.kernel.priority import REAL_TIME
from procession.kernel.task import RestartBlock, Task

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.page_cache import PageCache

FutexKey = tuple["MemoryDescriptor | PageCache", int, bool]
"""What a futex is, whatever address it's mapped at: an address of one address space, or an offset into the
pages of a file or of shared memory. The last element tells FUTEX_PRIVATE_FLAG's futexes from the others."""

WORD_BYTES = 4
MATCH_ANY = 0xFFFF_FFFF
"""FUTEX_BITSET_MATCH_ANY."""
_FAIR_PRIORITY = 100


class Deadline:
    """When a wait is over: `time_ns` of the monotonic clock, or of CLOCK_REALTIME with `is_wall_time`."""

    __slots__ = ("is_wall_time", "time_ns")

    def __init__(self, time_ns: int, *, is_wall_time: bool = False) -> None:
        self.time_ns = time_ns
        self.is_wall_time = is_wall_time


class FutexWaiter(Abandonable):
    """A thread that waits on a futex (Linux: struct futex_q).

    Waiters of real-time threads come first, the others in their order. `bitset` says which wakes it hears;
    `is_woken` that somebody has chosen it, and that it's in no list any more. `restart` is how the call goes
    on after a signal without a handler, None when it starts again from the beginning.
    """

    __slots__ = ("bitset", "deadline", "is_woken", "key", "priority", "restart", "task")

    def __init__(
        self, task: Task, key: FutexKey, bitset: int, deadline: Deadline | None, restart: RestartBlock | None
    ) -> None:
        self.task = task
        self.key = key
        self.bitset = bitset
        self.deadline = deadline
        self.restart = restart
        self.is_woken = False
        self.priority = wake_priority(task)

    def abandon(self) -> None:
        """A signal has ended the wait."""
        self.task.kernel.futexes.remove(self)

    def wake(self) -> None:
        """Take it out, and let its call return."""
        self.task.kernel.futexes.remove(self)
        self.is_woken = True
        self.task.wake()

    def go_on(self) -> int:
        """Look whether the wait is over, sleep on otherwise; run when the thread has been woken.

        Being woken counts for more than the deadline, and that for more than a signal.
        Linux: kernel/futex/waitwake.c, __futex_wait.
        """
        if self.is_woken:
            return 0
        sleep_until(self, ERESTART_RESTARTBLOCK if self.restart is not None else ERESTARTSYS)

    def time_out(self) -> None:
        """The deadline has come."""
        self.task.kernel.futexes.remove(self)


class FutexTable:
    """Who waits on which futex, in the order in which they're woken (Linux: the hash buckets)."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        self.waiters: dict[FutexKey, list[FutexWaiter]] = {}

    def add(self, waiter: FutexWaiter) -> None:
        """Put a waiter behind those of its priority."""
        waiters = self.waiters.get(waiter.key)
        if waiters is None:
            self.waiters[waiter.key] = [waiter]
            return
        place = len(waiters)
        while place and waiters[place - 1].priority > waiter.priority:
            place -= 1
        waiters.insert(place, waiter)

    def remove(self, waiter: FutexWaiter) -> None:
        """Take a waiter out, if it's in."""
        waiters = self.waiters.get(waiter.key)
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self.waiters[waiter.key]


def wake_priority(task: Task) -> int:
    """0 to 99 for a real-time thread, the lower the sooner; the same for all others.

    Linux: kernel/futex/core.c, __futex_queue.
    """
    return 99 - task.realtime_priority if task.policy in REAL_TIME else _FAIR_PRIORITY


def futex_key(task: Task, address: int, *, is_private: bool, is_written: bool = False) -> FutexKey:
    """Which futex is at `address`; `is_written` if it will be written to.

    Raises EINVAL for an unaligned address; EFAULT outside user space and, unless `is_private`, where nothing
    is mapped. Linux: kernel/futex/core.c, get_futex_key.
    """
    if address % WORD_BYTES:
        raise EINVAL(f"the futex at {address:#x} isn't aligned")
    if address >= pte.USER_END:
        raise EFAULT(f"{address:#x} is no user address")
    mm = task.mm
    if is_private:
        return mm, address, True
    can_be_written = True
    try:
        mm.probe_write(address, WORD_BYTES)
    except EFAULT:
        if is_written:
            raise
        mm.read(address, WORD_BYTES)
        can_be_written = False
    area = mm.find(address)
    if area is None:
        raise EFAULT(f"nothing is mapped at {address:#x}")
    pages = area.pages
    if pages is not None and (area.is_shared or mm.tables.entry(address >> PAGE_SHIFT) & pte.CACHED):
        return pages, area.page_index(address) << PAGE_SHIFT | address & PAGE_MASK, False
    if not can_be_written:
        raise EFAULT("a private page that can't be written never changes")
    return mm, address, False


def read_word(task: Task, address: int) -> int:
    """The futex's value. Raises EFAULT."""
    return int.from_bytes(task.mm.read(address, WORD_BYTES), "little")


def sleep_until(waiter: FutexWaiter, interrupted: type[Errno]) -> NoReturn:
    """Sleep to the waiter's deadline or until it's woken; `interrupted` is for a signal.

    Always raises: ETIMEDOUT, or Sleep.
    """
    task, deadline = waiter.task, waiter.deadline
    clock = task.kernel.clock
    if task.has_pending_signal and waiter.restart is not None:
        task.restart_block = waiter.restart
    if deadline is None:
        raise Sleep(progress=waiter, interrupted=interrupted)
    queues: tuple[WaitQueue, ...] = ()
    deadline_ns = deadline.time_ns
    if deadline.is_wall_time:
        deadline_ns -= clock.realtime_offset_ns
        queues = (clock.set_queue,)
    if clock.now_ns >= deadline_ns:
        waiter.time_out()
        raise ETIMEDOUT
    raise Sleep(*queues, deadline_ns=deadline_ns, progress=waiter, interrupted=interrupted)


def futex_wait(
    task: Task,
    address: int,
    value: int,
    *,
    is_private: bool,
    bitset: int = MATCH_ANY,
    deadline: Deadline | None = None,
    restart: RestartBlock | None = None,
) -> int:
    """Wait on the futex at `address` if it holds `value`.

    Raises EINVAL, EFAULT, EAGAIN when it holds something else, ETIMEDOUT, and Sleep.
    Linux: kernel/futex/waitwake.c, futex_wait.
    """
    if not bitset:
        raise EINVAL("an empty bitset")
    key = futex_key(task, address, is_private=is_private)
    found = read_word(task, address)
    if found != value:
        raise EAGAIN(f"the futex holds {found}, not {value}")
    waiter = FutexWaiter(task, key, bitset, deadline, restart)
    task.kernel.futexes.add(waiter)
    return waiter.go_on()


def wake_waiters(table: FutexTable, key: FutexKey, count: int, bitset: int = MATCH_ANY) -> int:
    """Wake up to `count` waiters whose bitset has a bit in common with `bitset`, one at least; how many.

    Raises EINVAL. Linux: kernel/futex/waitwake.c, futex_wake.
    """
    waiters = table.waiters.get(key)
    if waiters is None:
        return 0
    woken = 0
    for waiter in waiters.copy():
        if waiter.bitset & bitset:
            waiter.wake()
            woken += 1
            if woken >= count:
                break
    return woken


def futex_wake(task: Task, address: int, count: int, *, is_private: bool, bitset: int = MATCH_ANY) -> int:
    """Wake up to `count` waiters of the futex at `address`, as of `wake_waiters`.

    Raises EINVAL, EFAULT. Linux: kernel/futex/waitwake.c, futex_wake.
    """
    if not bitset:
        raise EINVAL("an empty bitset")
    key = futex_key(task, address, is_private=is_private)
    return wake_waiters(task.kernel.futexes, key, count, bitset)
