"""mlock and its relatives: memory that stays resident, within RLIMIT_MEMLOCK."""

from __future__ import annotations

from procession.abi.errno import EINVAL, ENOMEM, ERESTARTSYS
from procession.abi.mmap_flags import MLOCK_ONFAULT, LockAll
from procession.fs.wait_queue import Sleep
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.kernel.cgroup.memory import high_delay_ns
from procession.kernel.memory_lock import check_lock_limit, check_locking, count_locked
from procession.kernel.task import MEMORY_HIGH, Task
from procession.mm.address_space import MemoryDescriptor
from procession.mm.remote_access import is_secret
from procession.mm.vma import (
    ANY_LOCK,
    DONT_EXPAND,
    DROPPABLE,
    LOCKED,
    LOCKED_ON_FAULT,
    PROT_WRITE,
    VirtualMemoryArea,
    future_lock,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.memory import align, populate
from procession.syscalls.parameters import Address, Flags, Int, Size

_MCL_CURRENT, _MCL_FUTURE = int(LockAll.MCL_CURRENT), int(LockAll.MCL_FUTURE)
_UNSIGNED_64 = (1 << 64) - 1
_PIECE = 64 << PAGE_SHIFT
"""So many bytes are brought in before it's looked whether the group has too much."""
_MCL_ONFAULT = int(LockAll.MCL_ONFAULT)


def bring_in(task: Task, area: VirtualMemoryArea, start: int, end: int) -> bool:
    """Fault in the pages of an area that is to be locked; whether all could be.

    Who gets above memory.high by that waits in the middle. Linux: mm/gup.c, populate_vma_page_range.
    """
    frame = task.frame
    if frame is not None and isinstance(frame.progress, int):
        # These are there already.
        start = min(max(start, frame.progress), end)
    is_write = bool(area.protection & PROT_WRITE and not area.is_shared)
    if not area.protection or is_secret(area):
        return False
    for piece in range(start, end, _PIECE):
        past = min(piece + _PIECE, end)
        if not populate(task.mm, piece, past, is_write=is_write):
            return False
        if task.work & MEMORY_HIGH:
            delay_ns = high_delay_ns(task.kernel, task)
            if delay_ns:
                raise Sleep(
                    deadline_ns=task.kernel.clock.now_ns + delay_ns,
                    progress=past,
                    interrupted=ERESTARTSYS,
                    is_interruptible=False,
                )
    return True


def _is_never_changed(area: VirtualMemoryArea) -> bool:
    """Whether its pages are the kernel's, may be dropped, or are secret: those are locked already."""
    return bool(area.flags & (DROPPABLE | DONT_EXPAND)) or is_secret(area)


def _set_locked(task: Task, address: int, length: int, *, is_locked: bool, is_on_fault: bool = False) -> None:
    """Linux: mm/mlock.c, do_mlock, apply_vma_lock_flags."""
    mm = task.mm
    if is_locked:
        check_locking(task)
    start = address & ~PAGE_MASK
    # A length that comes to nothing by the carry is one of nothing.
    end = start + (align(length + (address & PAGE_MASK)) & _UNSIGNED_64)
    if is_locked:
        locked = sum(
            min(area.end, end) - max(area.start, start)
            for area in mm.areas_in(start, end)
            if area.flags & LOCKED
        )
        check_lock_limit(task, count_locked(task) + end - start - locked)
    if end >= 1 << 64:
        raise EINVAL("past the end of the address space")
    if end == start:
        return
    mapped_end = _mapped_end(mm, start, end)
    if mapped_end > start:
        mm.has_fork_advice = True
        lock = 0 if not is_locked else ANY_LOCK if is_on_fault else LOCKED

        def stays(area: VirtualMemoryArea) -> bool:
            """It stays as it is. Linux: mm/mlock.c, mlock_fixup."""
            return area.flags & ANY_LOCK == lock or _is_never_changed(area)

        for area in mm.isolate_changing(start, mapped_end, stays, ANY_LOCK):
            if not stays(area):
                area.flags = area.flags & ~ANY_LOCK | lock
        mm.merge_around(start, mapped_end)
    if mapped_end < end:
        # What comes before the hole is locked all the same.
        raise ENOMEM("part of the range isn't mapped")
    if is_locked:
        for area in mm.areas_in(start, end):
            if area.flags & LOCKED_ON_FAULT:
                continue
            if not bring_in(task, area, max(start, area.start), min(end, area.end)):
                raise ENOMEM("pages that can't be accessed")


def _mapped_end(mm: MemoryDescriptor, start: int, end: int) -> int:
    """Where the first hole of a range is, `end` if there is none."""
    position = start
    for area in mm.areas_in(start, end):
        if area.start > position:
            break
        position = min(area.end, end)
    return position


@syscall(149)
def mlock(task: Task, address: Address, length: Size) -> int:
    """mlock(2)."""
    _set_locked(task, address, length, is_locked=True)
    return 0


@syscall(325)
def mlock2(task: Task, address: Address, length: Size, flags: Int) -> int:
    """mlock2(2)."""
    if flags & ~MLOCK_ONFAULT:
        raise EINVAL("unknown flags")
    _set_locked(task, address, length, is_locked=True, is_on_fault=bool(flags & MLOCK_ONFAULT))
    return 0


@syscall(150)
def munlock(task: Task, address: Address, length: Size) -> int:
    """munlock(2)."""
    _set_locked(task, address, length, is_locked=False)
    return 0


@syscall(151)
def mlockall(task: Task, flags: Flags[LockAll]) -> int:
    """mlockall(2). Linux: mm/mlock.c, apply_mlockall_flags."""
    if not flags or flags & ~(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) or flags == _MCL_ONFAULT:
        raise EINVAL("unknown flags")
    mm = task.mm
    check_locking(task)
    if flags & _MCL_CURRENT:
        check_lock_limit(task, mm.total_pages << PAGE_SHIFT)
    mm.locks_future = flags if flags & _MCL_FUTURE else 0
    mm.has_fork_advice = True
    if flags & _MCL_CURRENT:
        mm.own_areas()
        for area in list(mm.areas):
            if _is_never_changed(area):
                continue
            area.flags = area.flags & ~ANY_LOCK | future_lock(flags)
            if not flags & _MCL_ONFAULT:
                bring_in(task, area, area.start, area.end)
        mm.merge_around(0, USER_END)
    return 0


@syscall(152)
def munlockall(task: Task) -> int:
    """munlockall(2)."""
    task.mm.own_areas()
    task.mm.locks_future = 0
    for area in task.mm.areas:
        if not _is_never_changed(area):
            area.flags &= ~ANY_LOCK
    task.mm.merge_around(0, USER_END)
    return 0
