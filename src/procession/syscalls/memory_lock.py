"""mlock and its relatives: memory that stays resident, within RLIMIT_MEMLOCK."""

from __future__ import annotations

from procession.abi.errno import EAGAIN, EINVAL, ENOMEM
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.kernel.memory_lock import check_lock_limit
from procession.kernel.task import Task
from procession.mm.vma import LOCKED, PROT_WRITE
from procession.syscalls.declaration import syscall
from procession.syscalls.memory import align, populate
from procession.syscalls.parameters import Address, Int, Size


def _set_locked(task: Task, address: int, length: int, *, is_locked: bool) -> None:
    mm = task.mm
    start = address & ~PAGE_MASK
    end = align(address + length)
    if end < start or end > 1 << 64:
        raise EINVAL("past the end of the address space")
    if end == start:
        return
    if is_locked:
        try:
            check_lock_limit(task, end - start)
        except EAGAIN:
            raise ENOMEM("RLIMIT_MEMLOCK") from None
    if not mm.is_mapped(start, end):
        raise ENOMEM("part of the range isn't mapped")
    for area in mm.isolate(start, end):
        area.flags = area.flags | LOCKED if is_locked else area.flags & ~LOCKED
        if is_locked and area.protection:
            populate(
                mm, area.start, area.end, is_write=bool(area.protection & PROT_WRITE and not area.is_shared)
            )
    mm.merge_around(start, end)


@syscall(149)
def mlock(task: Task, address: Address, length: Size) -> int:
    """mlock(2)."""
    _set_locked(task, address, length, is_locked=True)
    return 0


@syscall(325)
def mlock2(task: Task, address: Address, length: Size, flags: Int) -> int:
    """mlock2(2); pages are locked when they come in either way."""
    if flags & ~1:
        raise EINVAL("unknown flags")
    _set_locked(task, address, length, is_locked=True)
    return 0


@syscall(150)
def munlock(task: Task, address: Address, length: Size) -> int:
    """munlock(2)."""
    _set_locked(task, address, length, is_locked=False)
    return 0


@syscall(151)
def mlockall(task: Task, flags: Int) -> int:
    """mlockall(2) for what is mapped now; MCL_FUTURE is refused as without the capability."""
    if not flags or flags & ~7 or flags == 4:
        raise EINVAL("unknown flags")
    mm = task.mm
    total = mm.total_pages << PAGE_SHIFT
    try:
        check_lock_limit(task, total)
    except EAGAIN:
        raise ENOMEM("RLIMIT_MEMLOCK") from None
    if flags & 2:
        raise ENOMEM("locking what isn't mapped yet")
    mm.own_areas()
    for area in mm.areas:
        area.flags |= LOCKED
    return 0


@syscall(152)
def munlockall(task: Task) -> int:
    """munlockall(2)."""
    task.mm.own_areas()
    for area in task.mm.areas:
        area.flags &= ~LOCKED
    return 0
