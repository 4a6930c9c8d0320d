"""Page faults: demand paging, copy-on-write, and the accesses that aren't allowed."""

from __future__ import annotations

from array import array
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from procession.abi.errno import Errno
from procession.abi.signals import BusCode, SegvCode, Signal
from procession.hardware import page_table as pte
from procession.hardware.engine import FAULT_FETCH, FAULT_USER, FAULT_WRITE
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, ZERO_FRAME
from procession.mm.page_cache import FileSystemFull
from procession.mm.stack import grow_stack
from procession.mm.user_fault import (
    GUARDED,
    POISONED,
    AccessViolation,
    is_read_alone,
    mark_of,
    reason_to_wait,
)
from procession.mm.vma import ANY_LOCK, GROWS_DOWN, NO_HUGE_PAGES, PROT_EXEC, PROT_WRITE, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.hardware.physical_memory import PhysicalMemory
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.page_cache import PageCache

SIGBUS: Final = int(Signal.SIGBUS)
SIGSEGV: Final = int(Signal.SIGSEGV)
SEGV_MAPERR: Final = int(SegvCode.SEGV_MAPERR)
SEGV_ACCERR: Final = int(SegvCode.SEGV_ACCERR)
BUS_ADRERR: Final = int(BusCode.BUS_ADRERR)

_NOT_COPIED: Final = pte.ADDRESS_MASK | pte.CACHED | pte.LAZY
"""What an entry's copy of a page doesn't have of the entry before."""
_AROUND: Final = 32
"""How many pages of a file are read at a fault, around the one that faulted, and mapped (in Linux,
read_ahead_kb; half of that is mapped, fault_around_bytes).
"""
_COPIED: Final = 16
"""How many of its data are copied."""
SPARE_SHIFT: Final = 3
"""Where less than one in 1 << that of the machine's frames is free, nobody gets one that isn't asked for."""
_FEW_SEGMENTS: Final = 8
_FEW_AREAS: Final = 32
"""So many a file has, and so many areas lie below one table; to look at more takes time."""
FOLIO_PAGES: Final = 16
"""How many pages of anonymous memory may be had at once, the first of which is a multiple of that."""
_LAST_OF_FOLIO: Final = FOLIO_PAGES - 1
MANY_IN_TABLE: Final = 4
"""If there are more pages in a leaf table, its 2 MiB, that aren't a file's, more of them will be used."""


class FaultKind(IntEnum):
    """What a fault was.

    MINOR: nothing had to be read. MAJOR: the page had to be read from where the file is kept. NEXT: a minor
    one, for new anonymous memory behind a page that is there or among many, and before one that isn't, or of
    a stack that grows, or a write to the page of zeros before another: `fault_ahead` may have more.
    DIRTIED: none that counts, a write to what was freed lazily, which Linux's processor notes by itself.
    """

    MINOR = 0
    MAJOR = 1
    NEXT = 2
    DIRTIED = 3


MINOR: Final[FaultKind] = FaultKind.MINOR
MAJOR: Final[FaultKind] = FaultKind.MAJOR
NEXT: Final[FaultKind] = FaultKind.NEXT
DIRTIED: Final[FaultKind] = FaultKind.DIRTIED


def handle_fault(mm: MemoryDescriptor, address: int, error_code: int) -> FaultKind:
    """Make the access to `address` possible; `error_code` holds FAULT_WRITE, FAULT_FETCH
    and, if it's the program itself that makes it, FAULT_USER.

    Returns MINOR, MAJOR, NEXT or DIRTIED. Raises AccessViolation, OutOfFrames.
    Linux: arch/x86/mm/fault.c, do_user_addr_fault; mm/memory.c, handle_mm_fault.
    """
    area = mm.find(address)
    if area is None:
        area = grow_stack(mm, address) if 0 <= address < pte.USER_END else None
        if area is None:
            raise AccessViolation(SIGSEGV, SEGV_MAPERR)
    protection = area.protection
    is_write = error_code & FAULT_WRITE != 0
    if is_write:
        if not protection & PROT_WRITE:
            raise AccessViolation(SIGSEGV, SEGV_ACCERR)
    elif not protection or (error_code & FAULT_FETCH and not protection & PROT_EXEC):
        raise AccessViolation(SIGSEGV, SEGV_ACCERR)
    page = address >> PAGE_SHIFT
    if (area.user_faults is not None or mm.page_marks is not None) and _fault_user(
        mm, area, address, error_code
    ):
        return MINOR
    if page >> 9 not in mm.leaves and area.pages is not None and area.page_index(address) > area.last_index:
        # No table is made for it. Linux: mm/memory.c, do_fault.
        raise AccessViolation(SIGBUS, BUS_ADRERR)
    leaf = mm.tables.own_leaf(page >> 9)
    slot = (leaf << 9) + (page & 511)
    words = mm.words
    entry = words[slot]
    if entry:
        if is_write and not entry & pte.WRITABLE:
            if not area.anonymous_id and not area.is_shared:
                mm.prepare_anonymous(area)
            _break_sharing(mm, slot, entry, address)
            if entry & pte.SHARED and area.file is not None:
                area.file.inode.touch_modified()
            if entry & pte.LAZY:
                return MINOR if (words[slot] ^ entry) & pte.ADDRESS_MASK else DIRTIED
            if entry & pte.CACHED and not entry & pte.SHARED:
                mm.memory.counted[leaf][page & 511] = None
                if (
                    not entry & pte.ADDRESS_MASK
                    and page & _LAST_OF_FOLIO != _LAST_OF_FOLIO
                    and is_zero(words[slot + 1])
                    and not area.flags & (GROWS_DOWN | NO_HUGE_PAGES)
                ):
                    return NEXT
            elif area.pages is not None and area.pages.is_executed and entry & pte.SHARED:
                words[slot] &= ~pte.NO_EXECUTE
                mm.memory.executable.add((entry & pte.ADDRESS_MASK) >> PAGE_SHIFT)
        return MINOR
    pages = area.pages
    if pages is None:
        if not is_write and mm.memory.has_zero_page:
            words[slot] = zero_entry(mm, area, leaf)
            is_next = page & _LAST_OF_FOLIO != _LAST_OF_FOLIO and not words[slot + 1] and words[slot - 1]
            return NEXT if is_next and not area.flags & (GROWS_DOWN | NO_HUGE_PAGES) else MINOR
        if not area.anonymous_id and protection & PROT_WRITE:
            # At a read too: no later write to this page would be noticed.
            mm.prepare_anonymous(area)
        words[slot] = new_entry(mm, mm.memory.allocate(), area.entry_bits())
        counted = mm.memory.counted[leaf]
        counted[page & 511] = None
        if area.flags & (GROWS_DOWN | NO_HUGE_PAGES):
            if area.flags & NO_HUGE_PAGES or not page & _LAST_OF_FOLIO or words[slot - 1]:
                return MINOR
            return NEXT
        if (
            page & _LAST_OF_FOLIO != _LAST_OF_FOLIO
            and not words[slot + 1]
            and (words[slot - 1] or len(counted) > MANY_IN_TABLE)
        ):
            return NEXT
        return MINOR
    index = area.page_index(address)
    if index > area.last_index:
        raise AccessViolation(SIGBUS, BUS_ADRERR)
    is_major = pages.backing is not None and index not in pages.frames and pages.backing.has_page(index)
    try:
        if area.is_shared and (is_write or not is_major):
            bits = area.entry_bits() | pte.CACHED
            if pages.is_executed and bits & pte.WRITABLE:
                bits &= ~pte.NO_EXECUTE
            frame = pages.frame(index)
            file = area.file
            if is_write:
                pages.note_written(frame)
                if file is not None:
                    # Linux: mm/memory.c, fault_dirty_shared_page.
                    file.inode.touch_modified()
            elif frame in mm.memory.reclaimable or (file is not None and file.inode.is_written_back):
                # The first write must be noticed. Linux: mm/vma.c, vma_wants_writenotify.
                bits &= ~pte.WRITABLE
            words[slot] = new_entry(mm, frame, bits)
        elif pages.is_executed and area.file is not None:
            if protection & PROT_WRITE and mm.memory.payer is None:
                _bring_in(mm.memory, pages, _near(area, page), index)
            if is_write:
                _copy_page(mm, area, page, leaf)
            _map_segments(mm, area, page, leaf)
            if not words[slot]:
                _map_around(mm, area, page, leaf)
        elif is_write:
            _copy_page(mm, area, page, leaf)
        else:
            _map_around(mm, area, page, leaf)
    except (Errno, FileSystemFull) as error:
        # The file can't be read, or has no room for the page. Linux: include/linux/mm.h, vmf_error.
        raise AccessViolation(SIGBUS, BUS_ADRERR) from error
    return MAJOR if is_major else MINOR


def _fault_user(mm: MemoryDescriptor, area: VirtualMemoryArea, address: int, error_code: int) -> bool:
    """A fault where the program handles some itself: it waits for that, or the fault has been resolved, or
    is for the kernel to handle. Raises AccessViolation.

    Linux: mm/memory.c, handle_pte_marker; fs/userfaultfd.c, handle_userfault.
    """
    page = address >> PAGE_SHIFT
    is_write = error_code & FAULT_WRITE != 0
    marks = mark_of(mm, page)
    if marks & GUARDED:
        raise AccessViolation(SIGSEGV, SEGV_MAPERR)
    if marks & POISONED and not mm.tables.entry(page):
        # Broken memory would say BUS_MCEERR_AR, but what knows of that is configured out
        # (CONFIG_MEMORY_FAILURE).
        raise AccessViolation(SIGBUS, BUS_ADRERR)
    if area.user_faults is not None:
        reason = reason_to_wait(mm, area, address, is_write=is_write)
        if reason:
            if area.pages is None:
                # Others see that there is a table for it. Linux: mm/memory.c, do_anonymous_page.
                mm.tables.own_leaf(page >> 9)
            area.user_faults.wait(address, reason, is_write=is_write, is_user=error_code & FAULT_USER != 0)
    if is_write or not is_read_alone(mm, area, address):
        return False
    pages = area.pages
    leaf = mm.tables.own_leaf(page >> 9)
    bits = area.entry_bits() & ~pte.WRITABLE
    if pages is None:
        if mm.memory.has_zero_page:
            entry = zero_entry(mm, area, leaf)
        else:
            if not area.anonymous_id:
                mm.prepare_anonymous(area)
            entry = new_entry(mm, mm.memory.allocate(), bits)
            mm.memory.counted[leaf][page & 511] = None
    else:
        index = area.page_index(address)
        if index > area.last_index:
            raise AccessViolation(SIGBUS, BUS_ADRERR)
        try:
            entry = new_entry(mm, pages.frame(index), bits | pte.CACHED)
        except (Errno, FileSystemFull) as error:
            raise AccessViolation(SIGBUS, BUS_ADRERR) from error
    mm.words[(leaf << 9) + (page & 511)] = entry
    return True


def new_entry(mm: MemoryDescriptor, frame: int, bits: int) -> int:
    """The entry for `frame`, counted as resident."""
    mm.resident_pages = resident_pages = mm.resident_pages + 1
    if resident_pages > mm.peak_resident_pages:
        mm.peak_resident_pages = resident_pages
    if not bits & pte.NO_EXECUTE:
        mm.memory.executable.add(frame)
    return frame << PAGE_SHIFT | bits


def zero_entry(mm: MemoryDescriptor, area: VirtualMemoryArea, leaf: int) -> int:
    """The entry, in the table `leaf`, for a page of private memory that has only been read: the page of
    zeros, which counts as nobody's and is copied when it's written to.

    Linux: mm/memory.c, do_anonymous_page; include/linux/pgtable.h, my_zero_pfn.
    """
    memory = mm.memory
    memory.zero_tables.add(leaf)
    bits = area.entry_bits()
    if not bits & pte.NO_EXECUTE:
        memory.executable.add(ZERO_FRAME)
    return ZERO_FRAME << PAGE_SHIFT | bits & ~pte.WRITABLE | pte.CACHED


def is_zero(entry: int) -> bool:
    """Whether an entry is for the page of zeros."""
    return entry != 0 and not entry & pte.ADDRESS_MASK


def _break_sharing(mm: MemoryDescriptor, slot: int, entry: int, address: int) -> None:
    """A write to a read-only page of a writable area (Linux: mm/memory.c, do_wp_page)."""
    memory = mm.memory
    frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
    is_cached = entry & pte.CACHED
    if entry & pte.SHARED or (not is_cached and memory.references[frame] == 1):
        mm.words[slot] = entry & ~pte.LAZY | pte.WRITABLE
        if is_cached:
            memory.reclaimable.pop(frame, None)
        return
    if frame == ZERO_FRAME:
        copy = memory.allocate()
        mm.words[slot] = new_entry(mm, copy, (entry & ~_NOT_COPIED) | pte.WRITABLE)
    else:
        copy = memory.allocate_copy(frame)
        mm.words[slot] = copy << PAGE_SHIFT | (entry & ~_NOT_COPIED) | pte.WRITABLE
    if not entry & pte.NO_EXECUTE:
        memory.executable.add(copy)
        # The engine finds translated code by its address first: it must look at the frame again.
        memory.translations_changed(mm.tables.root, address & ~PAGE_MASK, (address | PAGE_MASK) + 1)
    if not is_cached:
        memory.release(frame)


def _end_page(area: VirtualMemoryArea) -> int:
    """The number of the page past the last one of the area that its file reaches."""
    last = area.end >> PAGE_SHIFT
    if area.file is None:
        return last
    size = (area.file.inode.size + PAGE_MASK) >> PAGE_SHIFT
    return min(last, (area.start >> PAGE_SHIFT) + size - area.page_offset)


def _near(area: VirtualMemoryArea, page: int) -> range:
    """Which pages of the file are brought in at a fault at `page` of the area: those around it."""
    start = area.start >> PAGE_SHIFT
    offset = area.page_offset - start
    first = page & -_AROUND
    return range(max(first, start) + offset, min(first + _AROUND, _end_page(area)) + offset)


def _copy_page(mm: MemoryDescriptor, area: VirtualMemoryArea, page: int, leaf: int) -> None:
    """Have a copy of a file's page, which had no entry, to write to."""
    assert area.pages is not None
    if not area.anonymous_id:
        mm.prepare_anonymous(area)
    memory = mm.memory
    copy = memory.allocate_copy(area.pages.frame(area.page_index(page << PAGE_SHIFT)))
    mm.words[(leaf << 9) + (page & 511)] = new_entry(mm, copy, area.entry_bits())
    memory.counted[leaf][page & 511] = None


def _map_around(mm: MemoryDescriptor, area: VirtualMemoryArea, page: int, leaf: int) -> None:
    """Map a file's pages around `page`, read-only: they belong to the page cache.

    Some pages around it are brought in; and where nothing is mapped yet in this leaf table, every page of
    the area that is in memory already is mapped with it, since that costs no more.
    """
    pages = area.pages
    assert pages is not None
    first, last = area.start >> PAGE_SHIFT, _end_page(area)
    offset = area.page_offset - first
    near = _near(area, page)
    near_first, near_last = near.start - offset, near.stop - offset
    bits = area.entry_bits() & ~pte.WRITABLE | pte.CACHED
    first, last = max(first, page & -pte.ENTRIES), min(last, (page & -pte.ENTRIES) + pte.ENTRIES)
    memory = mm.memory
    slot = leaf << 9
    start, end = slot + (first & 511), slot + (first & 511) + last - first
    if mm.page_marks is not None:
        # What is marked stays as it is.
        _bring_in(memory, pages, near, page + offset)
        count = _map_absent(mm, slot, page, page + 1, offset, area, bits)
    elif memory.are_zero(start, end):
        _bring_in(memory, pages, near, page + offset)
        run = pages.entry_run(first + offset, last - first, bits)
        memory.bytes[start << 3 : end << 3] = run.entries
        count = run.present_count
    else:
        _bring_in(memory, pages, near, page + offset)
        count = _map_absent(mm, slot, near_first, near_last, offset, area, bits)
    mm.resident_pages = resident_pages = mm.resident_pages + count
    if resident_pages > mm.peak_resident_pages:
        mm.peak_resident_pages = resident_pages


def _map_segments(mm: MemoryDescriptor, area: VirtualMemoryArea, page: int, leaf: int) -> None:
    """Map what is in memory of the segments of the executed file that `area` has one of, as far as they are
    in this leaf table and have no entries yet: who uses one segment uses the others. A few pages of writable
    data are copied at once, as nearly all of them are written to when the file is linked.
    """
    if area.is_shared or mm.page_marks is not None:
        return
    pages, memory = area.pages, mm.memory
    assert pages is not None
    assert area.file is not None
    size = (area.file.inode.size + PAGE_MASK) >> PAGE_SHIFT
    begin = page & -pte.ENTRIES
    end = begin + pte.ENTRIES
    slot = leaf << 9
    base = slot - begin
    # What is written to the file shows in pages that are read alone, and no more in copies.
    may_copy = (
        area.file.inode.writer_count <= 0
        and memory.payer is None
        and memory.unheld_frames > memory.frame_count >> SPARE_SHIFT
    )
    areas = mm.areas_in(begin << PAGE_SHIFT, end << PAGE_SHIFT)
    if len(areas) > _FEW_AREAS:
        memory.note_changed(len(areas) >> 2)
    segments = count = copied = 0
    for other in areas:
        if (
            other.pages is not pages
            or other.is_shared
            or not other.protection
            or other.flags & ANY_LOCK
            or other.user_faults is not None
        ):
            continue
        segments += 1
        start = other.start >> PAGE_SHIFT
        offset = other.page_offset - start
        first = max(start, begin)
        last = min(other.end >> PAGE_SHIFT, size - offset, end)
        bits = other.entry_bits()
        if bits & pte.WRITABLE and bits & pte.NO_EXECUTE and may_copy:
            if last - first > _COPIED:
                if other is not area:
                    continue
                first = max(first, page & -_COPIED)
                last = min(last, (page & -_COPIED) + _COPIED)
            copied += _copy_absent(mm, leaf, range(first, last), offset, other)
            continue
        bits = bits & ~pte.WRITABLE | pte.CACHED
        if first < last and memory.are_zero(base + first, base + last):
            run = pages.entry_run(first + offset, last - first, bits)
            memory.bytes[base + first << 3 : base + last << 3] = run.entries
            count += run.present_count
        elif last - first <= _COPIED:
            count += _map_absent(mm, slot, first, last, offset, other, bits)
    if segments > _FEW_SEGMENTS:
        mm.note_areas(segments)
    if copied > _COPIED:
        memory.note_filled(copied)
    mm.resident_pages = resident_pages = mm.resident_pages + count + copied
    if resident_pages > mm.peak_resident_pages:
        mm.peak_resident_pages = resident_pages


def _copy_absent(mm: MemoryDescriptor, leaf: int, wanted: range, offset: int, area: VirtualMemoryArea) -> int:
    """Have copies of those of the `wanted` pages of a private area that have no entry, as far as what they're
    copied from is in memory; how many there were.
    """
    assert area.pages is not None
    words, cached, unwritten = mm.words, area.pages.frames, area.pages.unwritten
    memory, bits = mm.memory, area.entry_bits()
    counted = memory.counted[leaf]
    count = 0
    for page in wanted:
        place = (leaf << 9) + (page & 511)
        frame = cached.get(page + offset)
        if words[place] or frame is None or page + offset in unwritten:
            continue
        words[place] = memory.allocate_copy(frame) << PAGE_SHIFT | bits
        counted[page & 511] = None
        count += 1
    return count


def _bring_in(memory: PhysicalMemory, pages: PageCache, near: range, index: int) -> None:
    """Have page `index` of a file in memory, and those of the pages `near` it that are kept elsewhere."""
    cached = pages.frames
    if index in pages.unwritten:
        pages.frame(index)
    if all(map(cached.__contains__, near)):
        return
    if pages.backing is not None and memory.free_frames > _AROUND:
        pages.bring_in(near)
    else:
        # Those around it are holes that would be filled, or would take the place of others that are in use.
        pages.frame(index)


def _map_absent(
    mm: MemoryDescriptor, slot: int, first: int, last: int, offset: int, area: VirtualMemoryArea, bits: int
) -> int:
    """Map those of the pages from `first` to `last` that have no entry; how many there were."""
    assert area.pages is not None
    words, frame_of, unwritten = mm.words, area.pages.frames.get, area.pages.unwritten
    place = slot + (first & 511)
    if first < last and mm.memory.are_zero(place, place + last - first):
        entries = area.pages.entries(first + offset, last - first, bits)
        words[place : place + last - first] = array("Q", entries)
        return len(entries) - entries.count(0)
    mapped: list[int] = []
    for number, entry in enumerate(words[place : place + last - first].tolist()):
        if not entry:
            frame = frame_of(first + offset + number)
            if frame is not None and first + offset + number not in unwritten:
                words[place + number] = frame << PAGE_SHIFT | bits
                mapped.append(frame)
    if not bits & pte.NO_EXECUTE:
        mm.memory.executable.update(mapped)
    return len(mapped)
