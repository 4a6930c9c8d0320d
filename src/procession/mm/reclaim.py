"""Page reclaim: when frames run out, pages of files that can be read again are let go."""

from __future__ import annotations

from itertools import islice

from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, STALE_TRANSLATIONS, PhysicalMemory
from procession.mm.address_space import MemoryDescriptor
from procession.mm.page_cache import PageCache
from procession.mm.vma import LOCKED

_ROUNDS = 2
"""How often each page is looked at: one in use loses its ACCESSED bit first and its frame next time."""

Mapper = tuple[MemoryDescriptor, int, bool]
"""An address space, how many pages further a page of the cache is mapped there, and whether it's locked."""
Parts = dict[tuple[int, int], list[Mapper]]
"""Who maps the pages from one index up to another: mostly the same segments of a program, many times."""
Mappings = dict[PageCache, Parts]


class PageReclaimer:
    """Takes the oldest pages that haven't been accessed since they were last looked at (the clock algorithm).

    Whoever maps them faults again when it needs them. Written pages stay: there is no swap, and files are
    kept in memory. Nothing that is mapped by a locked area goes either. The counts are of pages, since the
    machine started (/proc/vmstat). Linux: mm/vmscan.c, shrink_folio_list.
    """

    __slots__ = ("reclaimed_count", "scanned_count")

    def __init__(self) -> None:
        self.scanned_count = 0
        self.reclaimed_count = 0

    def reclaim(self, memory: PhysicalMemory, wanted: int) -> int:
        """Free about `wanted` frames, fewer if there are no more; how many it were.

        Changes no page tables' frames, and no entry but those of page caches: allocations may happen amid
        any other work on an address space.
        """
        queue = memory.reclaimable
        wanted = min(wanted, memory.spare_frames)
        mappings: Mappings | None = None
        freed = 0
        left = _ROUNDS * len(queue)
        while queue and left > 0 and freed < wanted:
            for frame, (cache, index) in list(islice(queue.items(), min(left, 2 * wanted))):
                assert isinstance(cache, PageCache)
                left -= 1
                self.scanned_count += 1
                del queue[frame]
                is_free = memory.references[frame] == 1
                if is_free and cache.area_count:
                    if mappings is None:
                        mappings = _mappings(memory)
                    is_free = _unmap(memory, mappings.get(cache, {}), index, frame)
                if not is_free:
                    queue[frame] = cache, index
                    continue
                cache.evict(index)
                freed += 1
                if freed == wanted:
                    break
        self.reclaimed_count += freed
        return freed


def _mappings(memory: PhysicalMemory) -> Mappings:
    """Who maps which part of which page cache."""
    found: Mappings = {}
    for space in memory.address_spaces:
        assert isinstance(space, MemoryDescriptor)
        for area in space.areas:
            if area.pages is not None:
                part = area.page_offset, area.page_offset + (area.size >> PAGE_SHIFT)
                mapper = space, (area.start >> PAGE_SHIFT) - area.page_offset, area.flags & LOCKED != 0
                found.setdefault(area.pages, {}).setdefault(part, []).append(mapper)
    return found


def _unmap(memory: PhysicalMemory, parts: Parts, index: int, frame: int) -> bool:
    """Take page `index`, in `frame`, from all who map it, unless it's locked or was accessed lately.

    Returns whether nobody maps it any more. Linux: mm/rmap.c, folio_referenced, try_to_unmap.
    """
    words = memory.words
    places: list[tuple[MemoryDescriptor, int]] = []
    was_accessed = False
    for (first, past), mappers in parts.items():
        if not first <= index < past:
            continue
        for space, distance, is_locked in mappers:
            page = index + distance
            leaf = space.leaves.get(page >> 9)
            if leaf is None:
                continue
            place = (leaf << 9) + (page & 511)
            entry = words[place]
            if not entry & pte.CACHED or (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT != frame:
                continue
            if is_locked:
                return False
            if entry & pte.ACCESSED:
                was_accessed = True
                words[place] = entry & ~pte.ACCESSED
            places.append((space, place))
    if places:
        memory.stale |= STALE_TRANSLATIONS
    if was_accessed:
        return False
    # A table may be shared, and each of its owners counts what is in it.
    for space, place in places:
        space.resident_pages -= 1
        words[place] = 0
    return True
