"""Anonymous memory that is touched page after page: at a fault some pages behind it are had as well.

Linux has as many at once where 64 KiB of anonymous memory may be one folio; here it takes a few pages in a
row to be there already, so that what touches a page here and there has no more than that. Among many pages,
as an allocator has that parts its memory into pools, 16 KiB are had at once. A stack goes the other way.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from procession.hardware import page_table as pte
from procession.hardware.physical_memory import FEW_PAGES, PAGE_SHIFT
from procession.mm.fault import FOLIO_PAGES, MANY_IN_TABLE, SPARE_SHIFT, is_zero, zero_entry
from procession.mm.huge_pages import fits, may_have_folios
from procession.mm.vma import GROWS_DOWN, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor

_IN_A_ROW: Final = 4
"""How many pages right before the one that faulted have to be there."""
_SMALL_FOLIO_PAGES: Final = 4
"""How many are had at once where they aren't, but many of those around are."""


def fault_ahead(mm: MemoryDescriptor, address: int) -> int:
    """After a fault at `address` that was NEXT: have the pages behind it too, up to a folio's end, if the
    program seems to touch one after the other; those before it of a stack; how many.

    Linux: mm/memory.c, do_anonymous_page.
    """
    page = address >> PAGE_SHIFT
    index = page & 511
    count = FOLIO_PAGES - 1 - (page & FOLIO_PAGES - 1)
    leaf = mm.leaves.get(page >> 9)
    if leaf is None:
        return 0
    memory, words = mm.memory, mm.words
    slot = (leaf << 9) + index
    area = mm.find(address)
    if area is None:
        return 0
    is_stack = area.flags & GROWS_DOWN
    if is_stack:
        count = page & FOLIO_PAGES - 1
        if index + _IN_A_ROW >= pte.ENTRIES or not all(words[slot + 1 : slot + 1 + _IN_A_ROW]):
            return 0
    elif not count or words[slot + 1] & pte.ADDRESS_MASK:
        return 0
    else:
        # The page of zeros counts for who reads.
        counts = pte.ADDRESS_MASK if words[slot] & pte.ADDRESS_MASK else pte.PRESENT
        in_a_row = 0
        while in_a_row < min(_IN_A_ROW, index) and words[slot - in_a_row - 1] & counts:
            in_a_row += 1
        is_in_a_row = in_a_row == _IN_A_ROW and page - _IN_A_ROW >= area.start >> PAGE_SHIFT
        if not is_in_a_row or not fits(area, page, FOLIO_PAGES):
            if is_zero(words[slot]) or is_zero(words[slot + 1]):
                return 0
            if not is_in_a_row and len(memory.counted[leaf]) <= MANY_IN_TABLE:
                return 0
            if not fits(area, page, _SMALL_FOLIO_PAGES):
                return 0
            count = _SMALL_FOLIO_PAGES - 1 - (page & _SMALL_FOLIO_PAGES - 1)
    if (
        not count
        or area.pages is not None
        or area.user_faults is not None
        or mm.page_marks is not None
        or not may_have_folios(mm, area)
        or memory.payer is not None
        or memory.references[leaf] > 1
        or memory.unheld_frames < memory.frame_count >> SPARE_SHIFT
    ):
        return 0
    if not area.entry_bits() & pte.NO_EXECUTE:
        return 0
    if is_stack:
        first, lowest = page, max(page - count, area.start >> PAGE_SHIFT)
        while first > lowest and not words[slot - page + first - 1]:
            first -= 1
        return _fill(mm, area, leaf, first, page)
    if is_zero(words[slot]):
        return _fill_with_zeros(mm, area, leaf, page + 1, page + 1 + count)
    if words[slot + 1]:
        return _replace_zeros(mm, area, leaf, page + 1, page + 1 + count)
    return _fill(mm, area, leaf, page + 1, page + 1 + count)


def populate_ahead(mm: MemoryDescriptor, address: int, end: int) -> int:
    """At `address` is a page now, and those up to `end` are asked for too: have the ones behind it in the
    same leaf table at once, as far as they are as easily had; how many.

    Linux: mm/gup.c, __mm_populate.
    """
    page = address >> PAGE_SHIFT
    leaf = mm.leaves.get(page >> 9)
    memory = mm.memory
    area = mm.find(address)
    if (
        leaf is None
        or area is None
        or area.pages is not None
        or area.user_faults is not None
        or mm.page_marks is not None
        or memory.payer is not None
        or memory.references[leaf] > 1
        or not area.entry_bits() & pte.NO_EXECUTE
    ):
        return 0
    past = min(area.end, end) >> PAGE_SHIFT
    if is_zero(memory.words[(leaf << 9) + (page & 511)]):
        done = _fill_with_zeros(mm, area, leaf, page + 1, min(past, (page | pte.ENTRIES - 1) + 1))
        if done:
            memory.note_filled(done)
        return done
    spare = memory.unheld_frames - (memory.frame_count >> SPARE_SHIFT)
    done = _fill(mm, area, leaf, page + 1, min(past, (page | pte.ENTRIES - 1) + 1, page + 1 + spare))
    if done:
        memory.note_filled(done)
    return done


def _fill_with_zeros(mm: MemoryDescriptor, area: VirtualMemoryArea, leaf: int, first: int, past: int) -> int:
    """As `_fill`, for who reads: the page of zeros is at all of them."""
    words, slot = mm.words, (leaf << 9) + (first & 511)
    done = 0
    while first + done < past and not words[slot + done]:
        done += 1
    if done:
        words[slot : slot + done] = array("Q", [zero_entry(mm, area, leaf)]) * done
    return done


def _replace_zeros(mm: MemoryDescriptor, area: VirtualMemoryArea, leaf: int, first: int, past: int) -> int:
    """Give those pages frames that have the page of zeros, from number `first` to before `past`; how many."""
    words, slot = mm.words, (leaf << 9) + (first & 511)
    done = 0
    while first + done < past and is_zero(words[slot + done]):
        words[slot + done] = 0
        done += 1
    filled = _fill(mm, area, leaf, first, first + done)
    if filled < done:
        _fill_with_zeros(mm, area, leaf, first + filled, first + done)
    # What the processor has cached is the page of zeros: that is dropped page by page, and not with all else.
    for start in range(first, first + done, FEW_PAGES):
        end = min(start + FEW_PAGES, first + done)
        mm.memory.translations_changed(mm.tables.root, start << PAGE_SHIFT, end << PAGE_SHIFT)
    return filled


def _fill(mm: MemoryDescriptor, area: VirtualMemoryArea, leaf: int, first: int, past: int) -> int:
    """Have frames for the pages from number `first` to before `past`, all in the table `leaf`, up to one that
    is there; how many.
    """
    words, memory = mm.words, mm.memory
    index = first & 511
    slot = (leaf << 9) + index
    done = 0
    while first + done < past and not words[slot + done]:
        done += 1
    if not done:
        return 0
    bits = area.entry_bits()
    counted = memory.counted[leaf]
    frames = memory.allocate_several(done)
    for frame in frames:
        words[slot] = frame << PAGE_SHIFT | bits
        counted[index] = None
        slot += 1
        index += 1
    mm.resident_pages = resident_pages = mm.resident_pages + len(frames)
    if resident_pages > mm.peak_resident_pages:
        mm.peak_resident_pages = resident_pages
    return len(frames)
