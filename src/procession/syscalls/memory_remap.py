"""System calls that change where memory is mapped: mremap(2), remap_file_pages(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from procession.abi.errno import EFAULT, EINVAL, ENOMEM, EOVERFLOW, EPERM
from procession.abi.mmap_flags import MapFlag, MremapFlag
from procession.abi.named_tuple import NamedTuple
from procession.fs.aio import RingPages
from procession.fs.file import MAXIMUM_SIZE
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.kernel.ipc.shm import Attachment
from procession.kernel.memory_lock import check_lock_growth
from procession.kernel.security.commoncap import check_mapping_address
from procession.mm.overcommit import check_commit
from procession.mm.unmapped_area import unmapped_area, unmapped_area_for_private
from procession.mm.user_fault import move_marks
from procession.mm.vma import (
    ACCOUNTED,
    ALL_BUT_POLICY,
    ANY_LOCK,
    DONT_EXPAND,
    LOCKED,
    LOCKED_ON_FAULT,
    PROT_WRITE,
    SEALED,
    USER_HANDLES,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.memory import align, populate
from procession.syscalls.parameters import Address, Flags, LongFlags, Size

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.ring_table import EventRing
    from procession.mm.vma import VirtualMemoryArea

_UNSIGNED_64 = (1 << 64) - 1
_MAYMOVE, _FIXED, _DONTUNMAP = (
    int(MremapFlag.MREMAP_MAYMOVE),
    int(MremapFlag.MREMAP_FIXED),
    int(MremapFlag.MREMAP_DONTUNMAP),
)
_ELSEWHERE = _FIXED | _DONTUNMAP


class _Remap(NamedTuple):
    """What mremap(2) is asked for; sizes are whole pages (Linux: mm/mremap.c, struct vma_remap_struct)."""

    address: int
    old_size: int
    new_size: int
    flags: int
    new_address: int

    @property
    def is_in_place(self) -> bool:
        """Whether the mapping may stay where it is."""
        return not self.flags & _ELSEWHERE


@syscall(25)
def mremap(
    task: Task,
    address: Address,
    old_length: Size,
    new_length: Size,
    flags: LongFlags[MremapFlag],
    new_address: Address,
) -> Address:
    """mremap(2). Linux: mm/mremap.c, do_mremap."""
    mm = task.mm
    old_size, new_size = align(old_length) & _UNSIGNED_64, align(new_length) & _UNSIGNED_64
    asked = _Remap(address, old_size, new_size, flags, new_address)
    if flags & _DONTUNMAP and old_size != new_size:
        raise EINVAL("MREMAP_DONTUNMAP doesn't resize")
    _check_parameters(asked)
    mm.own_areas()
    if flags & _FIXED and old_size == new_size:
        return _move_areas(task, asked)
    return _remap(task, asked)


def _move_areas(task: Task, asked: _Remap) -> int:
    """Move all that is mapped in a range as it lies there, with its gaps but for one at the beginning.

    What has been moved before an error stays so. Linux: mm/mremap.c, remap_move, vma_multi_allowed.
    """
    mm, start, end = task.mm, asked.address, asked.address + asked.old_size
    areas = mm.areas_in(start, end)
    if not areas or areas[0].start > start:
        raise EFAULT("nothing is mapped there")
    mm.note_areas(len(areas))
    spans = [(max(area.start, start), min(area.end, end), area.user_faults is not None) for area in areas]
    for first, last, is_handled in spans:
        if is_handled and (first > start or last < end):
            raise EFAULT("a program handles its faults: it's moved alone or not at all")
        size = last - first
        _remap(task, _Remap(first, size, size, asked.flags, asked.new_address + first - start))
    return asked.new_address


def _remap(task: Task, asked: _Remap) -> int:
    """Do it to one area; gives where it is then."""
    mm = task.mm
    address, old_size, new_size, flags, new_address = asked
    mm.area_list.check_room()
    area = _area_to_remap(mm, asked)
    if flags & _FIXED:
        mm.unmap(new_address, new_address + new_size)
        check_mapping_address(task, new_address)
        if mm.find(address) is None:
            raise EFAULT("nothing is mapped there any more")
    if new_size < old_size and address + old_size > pte.USER_END:
        raise EINVAL("no range of user pages")
    if asked.is_in_place and old_size and new_size <= old_size:
        if new_size < old_size:
            mm.unmap(address + new_size, address + old_size)
        return address
    is_growing = new_size > old_size
    is_locked = area.flags & LOCKED
    if is_growing:
        if is_locked:
            check_lock_growth(task, new_size - old_size)
        mm.check_limits(new_size - old_size, area.is_data)
        if area.flags & ACCOUNTED:
            check_commit(mm, new_size - old_size >> PAGE_SHIFT)
    if _can_grow_in_place(mm, area, asked):
        _grow_in_place(mm, area, address + new_size)
        target = address
    elif flags & _MAYMOVE:
        target = _move(mm, area, asked)
    else:
        raise ENOMEM("no room to grow in place")
    if is_locked and is_growing:
        _populate_growth(mm, target + old_size, target + new_size)
    return target


def _check_parameters(asked: _Remap) -> None:
    """Raises EINVAL. Linux: mm/mremap.c, check_mremap_params."""
    address, old_size, new_size, flags, new_address = asked
    if flags & ~(_MAYMOVE | _ELSEWHERE):
        raise EINVAL("unknown flags")
    if not asked.is_in_place and not flags & _MAYMOVE:
        raise EINVAL("that moves, and may not")
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    if new_size == 0 or new_size >= 1 << 47:
        raise EINVAL("a new size of 0, or beyond the address space")
    if not asked.is_in_place:
        if new_address & PAGE_MASK or new_size > pte.USER_END or new_address > pte.USER_END - new_size:
            raise EINVAL("a new address that can't be")
        if address < new_address + new_size and new_address < (address + old_size) & _UNSIGNED_64:
            raise EINVAL("old and new overlap")


def _area_to_remap(mm: MemoryDescriptor, asked: _Remap) -> VirtualMemoryArea:
    """Raises EFAULT, EPERM, EINVAL. Linux: mm/mremap.c, check_prep_vma."""
    address, old_size, new_size = asked.address, asked.old_size, asked.new_size
    area = mm.find(address)
    if area is None:
        raise EFAULT("nothing is mapped there")
    if area.flags & SEALED:
        raise EPERM("sealed memory")
    if old_size == 0 and not area.is_shared:
        # Once dosemu mapped shared memory twice like this; Linux has kept it.
        raise EINVAL("only shared mappings can be duplicated")
    if area.flags & DONT_EXPAND:
        if asked.flags & _DONTUNMAP:
            raise EINVAL("one mapping of this is enough")
        if new_size > old_size:
            raise EFAULT("it doesn't grow")
    if not old_size:
        return area
    if address + min(old_size, new_size) > area.end and not (asked.is_in_place and new_size <= old_size):
        # What is given up may be of other areas.
        raise EFAULT("the range goes past its area")
    return area


def _can_grow_in_place(mm: MemoryDescriptor, area: VirtualMemoryArea, asked: _Remap) -> bool:
    """Linux: mm/mremap.c, vma_expandable."""
    end = asked.address + asked.new_size
    return bool(
        asked.is_in_place
        and asked.old_size
        and asked.address + asked.old_size == area.end
        and end <= pte.USER_END
        and not mm.areas_in(area.end, end)
    )


def _grow_in_place(mm: MemoryDescriptor, area: VirtualMemoryArea, end: int) -> None:
    """Linux: mm/mremap.c, expand_vma_in_place."""
    mm.area_list.total_bytes += end - area.end
    area.end = end
    mm.note_reserved(area.start, area.end)
    mm.merge_around(area.start, area.end)


def _move(mm: MemoryDescriptor, area: VirtualMemoryArea, asked: _Remap) -> int:
    """Move part of `area`, or map it once more; gives the new address. Linux: mm/mremap.c, move_vma.

    What there is more than the new size goes, whether or not that can be moved, but who handles faults hears
    of it after the move.
    """
    end = asked.address + asked.old_size
    moves_all = not asked.flags & _FIXED or asked.old_size <= asked.new_size
    kept_end = end if moves_all else asked.address + asked.new_size
    try:
        target = _copy_to_target(mm, area, asked._replace(old_size=kept_end - asked.address))
    finally:
        if kept_end < end:
            mm.unmap(kept_end, end)
    if asked.old_size and not asked.flags & _DONTUNMAP:
        resident = mm.resident_pages
        mm.unmap(asked.address, kept_end)
        mm.resident_pages = resident
    return target


def _copy_to_target(mm: MemoryDescriptor, area: VirtualMemoryArea, asked: _Remap) -> int:
    """Have the pages of the old place at a new one, whose address it gives; the old one is still mapped.

    Linux: mm/mremap.c, copy_vma_and_data.
    """
    address, old_size, new_size, flags, new_address = asked
    if flags & _FIXED:
        target = new_address
    elif flags & _DONTUNMAP and new_address:
        target = unmapped_area(mm, new_size, new_address)
    elif area.pages is not None:
        target = unmapped_area(mm, new_size)
    else:
        target = unmapped_area_for_private(mm, new_size)
    ring = _ring_of(mm, area.pages) if isinstance(area.pages, RingPages) else None
    pages = mm.tables.prepare_move(address, target, old_size) if old_size else []
    moved = area.copy(address, address + (old_size or new_size))
    moved.end = target + new_size
    moved.start = target
    if area.is_anonymous:
        if area.anonymous_id:
            moved.displacement += (address - target) >> PAGE_SHIFT
        else:
            # Nothing tells yet where its pages were first. Linux: mm/vma.c, copy_vma.
            moved.page_offset, moved.displacement = target >> PAGE_SHIFT, 0
    if moved.user_faults is not None and not moved.user_faults.moved(address, target, old_size):
        moved.user_faults = None
        moved.flags &= ~USER_HANDLES
    if flags & _DONTUNMAP and area.flags & ANY_LOCK:
        # All of the area, as Linux does (dontunmap_complete).
        area.flags &= ~ANY_LOCK
        mm.merge_around(area.start, area.end)
    mm.insert(moved)
    if flags & _DONTUNMAP and (area.start, area.end) == (address, address + old_size):
        # All that it had of its own is elsewhere now. Linux: mm/mremap.c, move_vma.
        area.anonymous_id = 0
    if old_size:
        mm.tables.move(pages, target - address)
        is_handled = moved.user_faults is not None
        move_marks(mm, address, old_size, target, keeps_protection=is_handled)
        mm.memory.space_changed(mm.tables.root)
    if ring is not None:
        ring.address = target
    return target


def _ring_of(mm: MemoryDescriptor, pages: RingPages) -> EventRing:
    """The context whose ring is mapped: the ring's address is its own. Raises EINVAL if it's another's.

    Linux: fs/aio.c, aio_ring_mremap.
    """
    context = None if mm.aio_contexts is None else mm.aio_contexts.numbered.get(pages.number)
    if context is not None and context.pages is pages:
        return context
    raise EINVAL("the ring of another process, or of a context that has ended")


def _populate_growth(mm: MemoryDescriptor, start: int, end: int) -> None:
    """What a locked mapping has grown by is locked in memory too, unless it is so at a fault only."""
    area = mm.find(start)
    # A program's own faults are left to the next access: the mapping has moved, the call can't be made anew.
    left_for_later = LOCKED_ON_FAULT | USER_HANDLES
    if area is not None and area.protection and not area.flags & left_for_later:
        is_private_writable = bool(area.protection & PROT_WRITE) and not area.is_shared
        populate(mm, start, end, is_write=is_private_writable)


def _counts_as_shared(area: VirtualMemoryArea) -> bool:
    """Whether it has more than its file's pages in common with others: Linux takes VM_SHARED from what maps a
    file that isn't open for writing, but not from what a seal keeps from it. Linux: mm/mmap.c, do_mmap.
    """
    # What mm knows of an open file is less than what it is.
    file = cast("File | None", area.file)
    return area.is_shared and (area.may_write or (file is not None and file.is_writable))


def _hold(area: VirtualMemoryArea) -> None:
    """Keep what it maps, as an open file does: who holds a segment's isn't one more area."""
    if area.pages is not None:
        area.pages.acquire_area()
    if isinstance(area.file, Attachment):
        area.file.hold()
    elif area.file is not None:
        area.file.acquire()


def _let_go(area: VirtualMemoryArea) -> None:
    """Give that up."""
    if area.pages is not None:
        area.pages.release_area()
    if isinstance(area.file, Attachment):
        area.file.let_go()
    elif area.file is not None:
        area.file.put()


@syscall(216)
def remap_file_pages(
    task: Task, address: Address, length: Size, protection: Size, page_offset: Size, flags: Flags[MapFlag]
) -> int:
    """remap_file_pages(2): mmap(2) in other words, as on Linux since 4.0.

    Linux: mm/mmap.c, SYSCALL_DEFINE5(remap_file_pages).
    """
    if protection:
        raise EINVAL("the protection stays")
    start = address & ~PAGE_MASK
    size = length & ~PAGE_MASK
    end = start + size
    if end & _UNSIGNED_64 <= start:
        raise EINVAL("no range of pages")
    if page_offset + (size >> PAGE_SHIFT) > _UNSIGNED_64:
        raise EINVAL("past the end of what a file can be")
    mm = task.mm
    area = mm.find(start)
    if area is None or not _counts_as_shared(area) or area.pages is None:
        raise EINVAL("not a shared mapping that can be written to")
    for other in mm.areas_in(start, end):
        is_alike = (
            other.pages is area.pages
            and other.file is area.file
            and other.protection == area.protection
            and _counts_as_shared(other)
            and other.may_write == area.may_write
        )
        # Linux's policies of memory aren't among its flags.
        if not is_alike or (other.flags ^ area.flags) & ALL_BUT_POLICY:
            raise EINVAL("not one mapping all through")
    if not mm.is_mapped(start, end):
        raise EINVAL("part of the range isn't mapped")
    if page_offset > (MAXIMUM_SIZE - size) >> PAGE_SHIFT:
        # Linux: mm/mmap.c, file_mmap_ok.
        raise EOVERFLOW
    remapped = area.twin(start, end)
    remapped.page_offset = page_offset
    _hold(remapped)
    try:
        mm.map(remapped)
    finally:
        _let_go(remapped)
    populate(mm, start, end, is_write=False)
    return 0
