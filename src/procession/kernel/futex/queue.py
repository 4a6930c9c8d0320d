"""Futexes: words in user memory on which threads wait until another thread wakes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NoReturn

from procession.abi.errno import (
    EAGAIN,
    EFAULT,
    EINVAL,
    ERESTART_RESTARTBLOCK,
    ERESTARTSYS,
    ETIMEDOUT,
    Errno,
)
from procession.abi.word import pack_u32
from procession.fs.wait_queue import Abandonable, Sleep, WaitQueue
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.kernel.sched.priority import LARGEST_REAL_TIME_PRIORITY, REAL_TIME, SCHED_DEADLINE
from procession.kernel.time.costs import FUTEX_WAITER_NS

if TYPE_CHECKING:
    from procession.kernel.futex.pi import PiState
    from procession.kernel.task import RestartBlock, Task
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.page_cache import PageCache

FutexKey = tuple["MemoryDescriptor | PageCache", int, bool]
"""What a futex is, whatever address it's mapped at: an address of one address space, or an offset into the
pages of a file or of shared memory. The last element tells FUTEX_PRIVATE_FLAG's futexes from the others."""

WORD_BYTES = 4
MATCH_ANY = 0xFFFF_FFFF
"""FUTEX_BITSET_MATCH_ANY."""
FAIR_PRIORITY = LARGEST_REAL_TIME_PRIORITY + 1


class Deadline:
    """When a wait is over: `time_ns` of the monotonic clock, or of CLOCK_REALTIME with `is_wall_time`."""

    __slots__ = ("is_wall_time", "time_ns")

    def __init__(self, time_ns: int, *, is_wall_time: bool = False) -> None:
        self.time_ns = time_ns
        self.is_wall_time = is_wall_time


class FutexWait(Abandonable):
    """A call that waits on a futex, or on several: its progress while it sleeps.

    `restart` is how it goes on after a signal without a handler, None when it starts from the beginning.
    """

    __slots__ = ("deadline", "restart", "task")

    def __init__(self, task: Task, deadline: Deadline | None, restart: RestartBlock | None = None) -> None:
        self.task = task
        self.deadline = deadline
        self.restart = restart

    def go_on(self) -> int:
        """Look whether the wait is over, else sleep on: run at the start, and whenever the thread was woken.

        Having been chosen by a waker counts for more than the deadline, and that for more than a signal.
        Raises ETIMEDOUT, Sleep, and what else the call may end with.
        """
        raise NotImplementedError

    def sleep(self, interrupted: type[Errno]) -> NoReturn:
        """Sleep until the deadline at most; `interrupted` is what a signal makes of the call.

        Raises Sleep, or ETIMEDOUT, the wait being given up.
        """
        task, deadline = self.task, self.deadline
        if deadline is None:
            raise Sleep(progress=self, interrupted=interrupted)
        clock = task.kernel.clock
        queues: tuple[WaitQueue, ...] = ()
        deadline_ns = deadline.time_ns
        if deadline.is_wall_time:
            deadline_ns -= clock.realtime_offset_ns
            queues = (clock.set_queue,)
        if clock.now_ns >= deadline_ns:
            self.abandon()
            raise ETIMEDOUT
        if self.restart is not None and task.has_pending_signal:
            task.restart_block = self.restart
        raise Sleep(*queues, deadline_ns=deadline_ns, progress=self, interrupted=interrupted)


class FutexWaiter(FutexWait):
    """A thread that waits on one futex (Linux: kernel/futex/futex.h, struct futex_q).

    `bitset` says which wakes it hears; `is_woken` that somebody has chosen it: it's in no list any more,
    whatever else happens. `is_for_lock` tells the waiters that have to do with priority-inheriting locks,
    which are woken by nothing but the lock's owner.
    """

    __slots__ = ("bitset", "is_woken", "key", "priority")

    is_for_lock: ClassVar[bool] = False

    def __init__(
        self,
        task: Task,
        key: FutexKey,
        deadline: Deadline | None = None,
        restart: RestartBlock | None = None,
        bitset: int = MATCH_ANY,
    ) -> None:
        super().__init__(task, deadline, restart)
        self.key = key
        self.bitset = bitset
        self.is_woken = False
        self.priority = wake_priority(task)

    def abandon(self) -> None:
        """Leave the futex: a signal or the deadline has ended the wait."""
        self.task.kernel.futexes.remove(self)

    def wake(self) -> None:
        """Choose this waiter: its call returns."""
        self.task.kernel.futexes.remove(self)
        self.is_woken = True
        self.task.wake()

    def go_on(self) -> int:
        """Linux: kernel/futex/waitwake.c, __futex_wait."""
        if self.is_woken:
            return 0
        return self.sleep(ERESTARTSYS if self.restart is None else ERESTART_RESTARTBLOCK)


class FutexTable:
    """Who waits on which futex, in the order in which they'll be woken (in Linux, the hash buckets).

    `locks` are the priority-inheriting locks that somebody waits for. A futex without waiters isn't here.
    """

    __slots__ = ("locks", "waiters")

    def __init__(self) -> None:
        self.waiters: dict[FutexKey, list[FutexWaiter]] = {}
        self.locks: dict[FutexKey, PiState] = {}

    def add(self, waiter: FutexWaiter) -> None:
        """Put a waiter behind those of its priority. Linux: kernel/futex/core.c, __futex_queue."""
        waiters = self.waiters.get(waiter.key)
        if waiters is None:
            self.waiters[waiter.key] = [waiter]
            return
        place = len(waiters)
        # Nice values don't count: ordinary threads are woken in the order in which they came.
        while place and waiters[place - 1].priority > waiter.priority:
            place -= 1
        waiters.insert(place, waiter)

    def remove(self, waiter: FutexWaiter) -> None:
        """Take a waiter out, if it's in. Linux: kernel/futex/core.c, futex_unqueue."""
        waiters = self.waiters.get(waiter.key)
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self.waiters[waiter.key]


def wake_priority(task: Task) -> int:
    """-1 to 98 for a thread with a deadline or a real-time priority, the lower the sooner; 100 for others.

    Linux: kernel/futex/core.c, __futex_queue.
    """
    if task.policy in REAL_TIME:
        return LARGEST_REAL_TIME_PRIORITY - task.realtime_priority
    return -1 if task.policy == SCHED_DEADLINE else FAIR_PRIORITY


def futex_key(task: Task, address: int, *, is_private: bool, is_written: bool = False) -> FutexKey:
    """Which futex is at `address`; `is_written` if it's going to be written to.

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
    if pages is not None and pages.is_secret:
        raise EFAULT("only the program itself reaches it")
    entry = mm.tables.entry(address >> PAGE_SHIFT)
    if pages is not None and pages is task.kernel.vdso and entry & pte.CACHED:
        raise EFAULT("the page is no file's")
    if pages is not None and (area.is_shared or entry & pte.CACHED):
        return pages, area.page_index(address) << PAGE_SHIFT | address & PAGE_MASK, False
    # Linux looks the page up for writing first; without that right only a file's page will do, which others
    # may change.
    if not can_be_written:
        raise EFAULT("a private page that can't be written never changes")
    return mm, address, False


def read_word(task: Task, address: int) -> int:
    """The futex's value, unsigned. Raises EFAULT."""
    return int.from_bytes(task.mm.read(address, WORD_BYTES), "little")


def write_word(task: Task, address: int, value: int) -> None:
    """Replace the futex's value. Raises EFAULT."""
    task.mm.write(address, pack_u32(value))


def expect_value(task: Task, address: int, value: int) -> None:
    """Raise EAGAIN if the futex at `address` doesn't hold `value`, EFAULT."""
    found = read_word(task, address)
    if found != value:
        raise EAGAIN(f"the futex holds {found}, not {value}")


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
    expect_value(task, address, value)
    waiter = FutexWaiter(task, key, deadline, restart, bitset)
    task.kernel.futexes.add(waiter)
    return waiter.go_on()


def wake_waiters(table: FutexTable, key: FutexKey, count: int, bitset: int = MATCH_ANY) -> int:
    """Wake up to `count` waiters whose bitset has a bit in common with `bitset`, one at least; how many.

    Raises EINVAL when it meets a waiter for a lock. Linux: kernel/futex/waitwake.c, futex_wake.
    """
    waiters = table.waiters.get(key)
    if waiters is None:
        return 0
    woken = 0
    ordered = waiters.copy()
    if len(ordered) > count:
        ordered = ordered[0].task.kernel.scheduler.order_woken(ordered, count)
    for waiter in ordered:
        # Who was woken before it stays so, though the call fails.
        if waiter.is_for_lock:
            raise EINVAL("somebody waits there for a lock")
        if waiter.bitset & bitset:
            waiter.wake()
            woken += 1
            # Looked at after a waiter was woken: so 0 wakes one, on Linux too.
            if woken >= count:
                break
    return woken


def futex_wake(task: Task, address: int, count: int, *, is_private: bool, bitset: int = MATCH_ANY) -> int:
    """Wake waiters of the futex at `address`, as of `wake_waiters`.

    Raises EINVAL, EFAULT. Linux: kernel/futex/waitwake.c, futex_wake.
    """
    if not bitset:
        raise EINVAL("an empty bitset")
    key = futex_key(task, address, is_private=is_private)
    woken = wake_waiters(task.kernel.futexes, key, count, bitset)
    if woken > 1:
        task.kernel.clock.spend((woken - 1) * FUTEX_WAITER_NS)
    return woken
