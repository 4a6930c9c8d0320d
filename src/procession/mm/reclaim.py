"""Page reclaim: when frames run out, pages of files that can be read again are let go."""

from __future__ import annotations

from itertools import islice

from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, FrameOwner, PhysicalMemory
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

    def reclaim(self, memory: PhysicalMemory, wanted: int, owner: FrameOwner | None = None) -> int:
        """Free about `wanted` frames, of `owner` or of all, fewer if there are no more; how many it were.

        Changes no page tables' frames, and no entry but those of page caches: allocations may happen amid
        any other work on an address space.
        """
        if owner is not None:
            return self._reclaim_of(memory, wanted, owner)
        return self._reclaim_all(
            memory, min(wanted, memory.spare_frames), spares_protected=bool(memory.owners)
        )

    def _reclaim_all(self, memory: PhysicalMemory, wanted: int, *, spares_protected: bool) -> int:
        """Go round the queue; what a group may keep is taken only if there is nothing else."""
        queue = memory.reclaimable
        mappings: Mappings = {}
        freed = 0
        left = _ROUNDS * len(queue)
        while queue and left > 0 and freed < wanted:
            for frame, (cache, index) in list(islice(queue.items(), min(left, 2 * wanted))):
                left -= 1
                owner = memory.owners.get(frame) if spares_protected else None
                if owner is not None and owner.is_protected:
                    del queue[frame]
                    queue[frame] = cache, index
                    continue
                freed += self._reclaim_frame(memory, frame, mappings)
                if freed == wanted:
                    break
        if not freed and wanted and spares_protected:
            return self._reclaim_all(memory, wanted, spares_protected=False)
        self.reclaimed_count += freed
        return freed

    def _reclaim_of(self, memory: PhysicalMemory, wanted: int, owner: FrameOwner) -> int:
        """As `reclaim`, of the frames that `owner` has taken, or who is below it."""
        owners = memory.owners
        # There are few owners, and many frames of each.
        members = {each for each in set(owners.values()) if each.is_below(owner)}
        owned = [frame for frame in memory.reclaimable if owners.get(frame) in members]
        # Without the last ones its programs would only fault, and nobody would be killed for want of memory.
        wanted = min(wanted, len(owned) - owner.working_set)
        mappings: Mappings = {}
        freed = 0
        for _ in range(_ROUNDS):
            for frame in owned:
                if freed >= wanted:
                    break
                if frame in memory.reclaimable:
                    freed += self._reclaim_frame(memory, frame, mappings)
        self.reclaimed_count += freed
        return freed

    def _reclaim_frame(self, memory: PhysicalMemory, frame: int, mappings: Mappings) -> int:
        """Free one frame of a page cache unless it's in use, and move it to the queue's end if it is; 1 or 0.

        `mappings` are found when they are first needed.
        """
        queue = memory.reclaimable
        cache, index = queue.pop(frame)
        assert isinstance(cache, PageCache)
        self.scanned_count += 1
        is_free = memory.references[frame] == 1
        if is_free and cache.area_count:
            if not mappings:
                mappings.update(_mappings(memory))
            is_free = _unmap(memory, mappings.get(cache, {}), index, frame)
        if not is_free:
            queue[frame] = cache, index
            return 0
        cache.evict(index)
        return 1


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
    for space, _ in places:
        memory.space_changed(space.tables.root)
    if was_accessed:
        return False
    # A table may be shared, and each of its owners counts what is in it.
    for space, place in places:
        space.resident_pages -= 1
        words[place] = 0
    return True
