"""madvise: what a program says of the use that it will make of its memory."""

from __future__ import annotations

from procession.abi.errno import EACCES, EFAULT, EINVAL, ENOMEM, EPERM
from procession.abi.mmap_flags import Advice
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from procession.kernel.task import Task
from procession.kernel.userfault.removal import remove_pages
from procession.mm.address_space import MemoryDescriptor
from procession.mm.fault import handle_fault
from procession.mm.fault_ahead import populate_ahead
from procession.mm.guard import install_guards, remove_guards
from procession.mm.ksm import can_be_merged
from procession.mm.reclaim import take_lazily_freed_of
from procession.mm.remote_access import is_secret
from procession.mm.user_fault import AccessViolation
from procession.mm.vma import (
    DONT_DUMP,
    DONT_EXPAND,
    DONT_FORK,
    DROPPABLE,
    HUGE_PAGES,
    LOCKED,
    MERGEABLE,
    NO_HUGE_PAGES,
    PROT_READ,
    PROT_WRITE,
    RANDOM_READ,
    SEALED,
    SEQUENTIAL_READ,
    WIPE_ON_FORK,
    VirtualMemoryArea,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.memory import align
from procession.syscalls.parameters import Address, Flags, Size


@syscall(28)
def madvise(task: Task, address: Address, length: Size, advice: Flags[Advice]) -> int:
    """madvise(2). Linux: mm/madvise.c, do_madvise."""
    advise(task, address, length, advice)
    return 0


def advise(task: Task, address: int, length: int, advice: Advice) -> None:
    """What madvise(2) does. Raises EINVAL, EACCES, EPERM, EFAULT, ENOMEM, OutOfFrames."""
    mm = task.mm
    if advice not in Advice or advice in _REFUSED:
        raise EINVAL("unknown advice")
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    size = align(length)
    if length and not size:
        raise EINVAL("a length beyond the address space")
    end = address + size
    if end >= 1 << 64:
        raise EINVAL("past the end of the address space")
    if end == address:
        return
    areas = mm.areas_in(address, end)
    looks = 1 if advice not in _AREA_FLAGS else _LOOKS_FOR_CHANGE
    mm.note_areas(looks * (len(areas) - 1) + 1)
    if advice in (Advice.MADV_POPULATE_READ, Advice.MADV_POPULATE_WRITE):
        populate_strictly(mm, address, end, is_write=advice == Advice.MADV_POPULATE_WRITE)
        return
    has_hole = not mm.is_mapped(address, end)
    try:
        # What comes before an area that can't follow the advice has followed it.
        for area in areas:
            _check_advice(area, advice)
            _follow(task, area, advice, max(area.start, address), min(area.end, end))
    finally:
        if advice in _AREA_FLAGS:
            mm.merge_around(address, end)
    if has_hole:
        raise ENOMEM("part of the range isn't mapped")


def _follow(task: Task, area: VirtualMemoryArea, advice: Advice, start: int, end: int) -> None:
    """Do what `advice` says for the part of `area` from `start` to `end`."""
    if advice in _AREA_FLAGS:
        bits, cleared = _AREA_FLAGS[advice]
        if area.flags & DROPPABLE and advice in (Advice.MADV_DODUMP, Advice.MADV_KEEPONFORK):
            raise EINVAL("memory that may be dropped is neither dumped nor inherited")
        if area.flags & DONT_EXPAND and advice == Advice.MADV_DODUMP:
            raise EINVAL("what a dump has of the kernel's pages it decides")
        if bits == MERGEABLE and not can_be_merged(area):
            # Linux: mm/ksm.c, ksm_madvise.
            return

        def stays(part: VirtualMemoryArea) -> bool:
            """It isn't even cut. Linux: mm/madvise.c, madvise_update_vma."""
            return part.flags & ~cleared | bits == part.flags

        if stays(area):
            return
        for part in task.mm.isolate_changing(start, end, stays, bits | cleared):
            part.flags = part.flags & ~cleared | bits
        if bits & (DONT_FORK | WIPE_ON_FORK):
            task.mm.has_fork_advice = True
    elif advice == Advice.MADV_FREE and not area.is_anonymous:
        # Who handles the faults there hears of it nevertheless. Linux: mm/madvise.c, madvise_dontneed_free.
        if area.user_faults is not None:
            area.user_faults.removed(start, end)
        raise EINVAL("only private anonymous memory can be freed lazily")
    elif advice in (Advice.MADV_DONTNEED, Advice.MADV_DONTNEED_LOCKED, Advice.MADV_FREE, Advice.MADV_REMOVE):
        remove_pages(
            *(task, area, start, end),
            is_hole=advice == Advice.MADV_REMOVE,
            is_lazy=advice == Advice.MADV_FREE,
        )
    elif advice == Advice.MADV_PAGEOUT and area.flags & DROPPABLE:
        # There is nothing to page out to, but these may go. Linux: mm/vmscan.c, shrink_folio_list.
        remove_pages(task, area, start, end)
    elif advice == Advice.MADV_PAGEOUT:
        # Nor to this, but what was freed lazily needs no place.
        take_lazily_freed_of(task.mm, start, end)
    elif advice == Advice.MADV_COLLAPSE:
        # Linux: mm/khugepaged.c, madvise_collapse.
        raise EINVAL("there are no pages of 2 MiB")
    elif advice == Advice.MADV_GUARD_INSTALL:
        install_guards(task.mm, area, start, end)
    elif advice == Advice.MADV_GUARD_REMOVE:
        remove_guards(task.mm, area, start, end)


_REFUSED = frozenset((Advice.MADV_HWPOISON, Advice.MADV_SOFT_OFFLINE))
"""They need broken memory, which is configured out: EINVAL."""

_DISCARDS = (
    *(Advice.MADV_FREE, Advice.MADV_DONTNEED, Advice.MADV_DONTNEED_LOCKED, Advice.MADV_REMOVE),
    *(Advice.MADV_DONTFORK, Advice.MADV_WIPEONFORK, Advice.MADV_GUARD_INSTALL),
)
_NOT_LOCKED = (Advice.MADV_DONTNEED, Advice.MADV_FREE, Advice.MADV_COLD, Advice.MADV_PAGEOUT)

_LOOKS_FOR_CHANGE = 4
"""What it takes to change an area beside the first, in looks at one: each may be parted or joined."""
_AREA_FLAGS = {
    Advice.MADV_NORMAL: (0, RANDOM_READ | SEQUENTIAL_READ),
    Advice.MADV_RANDOM: (RANDOM_READ, SEQUENTIAL_READ),
    Advice.MADV_SEQUENTIAL: (SEQUENTIAL_READ, RANDOM_READ),
    Advice.MADV_DONTFORK: (DONT_FORK, 0),
    Advice.MADV_DOFORK: (0, DONT_FORK),
    Advice.MADV_DONTDUMP: (DONT_DUMP, 0),
    Advice.MADV_DODUMP: (0, DONT_DUMP),
    Advice.MADV_WIPEONFORK: (WIPE_ON_FORK, 0),
    Advice.MADV_KEEPONFORK: (0, WIPE_ON_FORK),
    # Nothing makes huge pages or merges equal ones ("never" and "0" in /sys), but what was asked is shown.
    Advice.MADV_HUGEPAGE: (HUGE_PAGES, NO_HUGE_PAGES),
    Advice.MADV_NOHUGEPAGE: (NO_HUGE_PAGES, HUGE_PAGES),
    Advice.MADV_MERGEABLE: (MERGEABLE, 0),
    Advice.MADV_UNMERGEABLE: (0, MERGEABLE),
}
"""The flags of an area that advice sets, and those that it takes away."""


def _check_advice(area: VirtualMemoryArea, advice: int) -> None:
    """Raise EINVAL or EACCES for advice that makes no sense for an area, EPERM for what is sealed."""
    if advice in _DISCARDS and area.flags & SEALED and area.is_anonymous and not area.protection & PROT_WRITE:
        # Who may write there could do the same with zeros. Linux: mm/vma.h, can_modify_vma_madv.
        raise EPERM("sealed memory")
    if advice == Advice.MADV_WIPEONFORK and (area.file is not None or area.is_shared):
        raise EINVAL("only private anonymous memory can be wiped")
    if advice in _NOT_LOCKED and area.flags & LOCKED:
        raise EINVAL("locked pages")
    if advice == Advice.MADV_REMOVE:
        if area.flags & LOCKED or (area.file is None and not area.is_shared):
            raise EINVAL("nothing that can be removed from")
        if not area.is_shared or not area.may_write:
            raise EACCES("not a shared writable mapping")


def populate_strictly(mm: MemoryDescriptor, start: int, end: int, *, is_write: bool) -> None:
    address = start
    while address < end:
        area = mm.find(address)
        if area is None:
            raise ENOMEM("not mapped")
        if not area.protection & (PROT_WRITE if is_write else PROT_READ) or is_secret(area):
            raise EINVAL("an area without that right")
        try:
            handle_fault(mm, address, 2 if is_write else 0)
            mm.memory.note_filled()
        except AccessViolation:
            raise EFAULT("past the file's end") from None
        address += PAGE_SIZE + (populate_ahead(mm, address, end) << PAGE_SHIFT)
