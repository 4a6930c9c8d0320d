"""Page reclaim: when frames run out, pages of files that can be read again are let go."""

from __future__ import annotations

from itertools import islice

from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, PhysicalMemory
from procession.mm.address_space import MemoryDescriptor
from procession.mm.page_cache import PageCache
from procession.mm.reverse_map import Mappings, Parts, find_mappings
from procession.mm.vma import LOCKED

_ROUNDS = 2
"""How often each page is looked at: one in use loses its ACCESSED bit first and its frame next time."""


class GroupWork:
    """What is known while pages of one control group and those below are reclaimed.

    `mapped_budget` is how many pages that programs map may be taken yet: of these each group keeps some.
    """

    __slots__ = ("mapped_budget", "mappings", "scanned")

    def __init__(self, mapped_budget: int) -> None:
        self.mapped_budget = mapped_budget
        self.mappings: Mappings = {}
        self.scanned = 0


class PageReclaimer:
    """Takes the oldest pages that haven't been accessed since they were last looked at (the clock algorithm).

    Whoever maps them faults again when it needs them. Written pages stay: there is no swap, and files are
    kept in memory. Nothing that is mapped by a locked area goes either. The counts are of pages, since the
    machine started (/proc/vmstat). Linux: mm/vmscan.c, shrink_folio_list.
    """

    __slots__ = ("lazily_freed_count", "lazily_taken_count", "reclaimed_count", "scanned_count")

    def __init__(self) -> None:
        self.scanned_count = 0
        self.reclaimed_count = 0
        self.lazily_freed_count = 0
        self.lazily_taken_count = 0

    def reclaim(self, memory: PhysicalMemory, wanted: int) -> int:
        """Free about `wanted` frames of anybody's, fewer if there are no more; how many it were.

        Changes no page tables' frames, and no entry but those of page caches: allocations may happen amid
        any other work on an address space.
        """
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

    def shrink(self, memory: PhysicalMemory, queue: dict[int, object], count: int, work: GroupWork) -> int:
        """Look at the `count` oldest of a control group's pages of files, in `queue`; how many it has less.

        What can be read again is freed. What was written is on the disk then, which is in the machine's
        memory too: the frame stays and is nobody's. Linux: mm/vmscan.c, shrink_list.
        """
        less = 0
        for frame, pages in list(islice(queue.items(), count)):
            assert isinstance(pages, PageCache)
            work.scanned += 1
            is_mapped = pages.area_count > 0
            if frame not in memory.reclaimable:
                if not is_mapped:
                    memory.disown(frame)
                    less += 1
                    continue
            elif (not is_mapped or work.mapped_budget > 0) and self._reclaim_frame(
                memory, frame, work.mappings
            ):
                less += 1
                work.mapped_budget -= is_mapped
                continue
            queue[frame] = queue.pop(frame)
        self.reclaimed_count += less
        return less

    def drop_unmapped(self, memory: PhysicalMemory) -> None:
        """Free every page of a file that can be read again and that nobody maps.

        Linux: fs/drop_caches.c, drop_pagecache_sb.
        """
        memory.note_changed(len(memory.reclaimable))
        for frame, (cache, index) in list(memory.reclaimable.items()):
            assert isinstance(cache, PageCache)
            if memory.references[frame] == 1 and not cache.area_count:
                del memory.reclaimable[frame]
                cache.evict(index)

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
                mappings.update(find_mappings(memory))
            is_free = _unmap(memory, mappings.get(cache, {}), index, frame)
        if not is_free:
            queue[frame] = cache, index
            return 0
        cache.evict(index)
        return 1


def _lazy_spaces(memory: PhysicalMemory) -> list[MemoryDescriptor]:
    return [
        space
        for space in memory.address_spaces
        if isinstance(space, MemoryDescriptor) and space.tables.has_lazy
    ]


def pages_to_look_at(memory: PhysicalMemory) -> int:
    """Among how many pages `take_lazily_freed` searches."""
    return sum(space.resident_pages for space in _lazy_spaces(memory))


def take_lazily_freed(
    memory: PhysicalMemory, owners: frozenset[object] | None = None, most: int | None = None
) -> int:
    """Take the pages that programs have freed lazily and not written to since; how many entries are gone.

    With `owners` only those that were charged to one of them, `most` of them if given. Nothing of locked
    areas is taken, and not in the middle of work on an address space. In Linux, shrink_folio_list finds them
    among the pages of files.
    """
    taken: dict[int, int] = {}
    total = 0
    for space in _lazy_spaces(memory):
        before = space.resident_pages
        for region, leaf in space.tables.leaves.items():
            # A table may be shared, and each of its owners counts what is in it.
            if leaf not in taken:
                left = None if most is None else most - total
                taken[leaf] = count = _take_of_table(memory, space, region, owners, most=left)
                total += count
            space.resident_pages -= taken[leaf]
        if space.resident_pages != before:
            memory.space_changed(space.tables.root)
    count = sum(taken.values())
    memory.note_changed(count)
    return count


def take_lazily_freed_of(space: MemoryDescriptor, start: int, end: int) -> None:
    """As `take_lazily_freed`, from byte `start` to `end` of one address space (MADV_PAGEOUT).

    Raises OutOfFrames. In Linux, reclaim_pages.
    """
    tables = space.tables
    if not tables.has_lazy:
        return
    for region in tables.regions(start >> PAGE_SHIFT, end >> PAGE_SHIFT):
        tables.own_leaf(region)
        first, past = max(start >> PAGE_SHIFT, region << 9), min(end >> PAGE_SHIFT, region + 1 << 9)
        space.resident_pages -= _take_of_table(space.memory, space, region, None, range(first, past))
    space.memory.translations_changed(tables.root, start, end)


def _take_of_table(
    memory: PhysicalMemory,
    space: MemoryDescriptor,
    region: int,
    owners: frozenset[object] | None,
    pages: range | None = None,
    most: int | None = None,
) -> int:
    leaf = space.leaves[region]
    counted, words = memory.counted[leaf], memory.words
    count = 0
    for index in list(counted):
        if count == most:
            break
        entry = words[(leaf << 9) + index]
        page = (region << 9) + index
        if not entry & pte.LAZY or (pages is not None and page not in pages):
            continue
        frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
        area = space.find(page << PAGE_SHIFT)
        owner = memory.owners.get(frame)
        is_kept = owners is not None and owner not in owners
        if is_kept or area is None or area.flags & LOCKED:
            continue
        words[(leaf << 9) + index] = 0
        del counted[index]
        if owner is not None:
            owner.note_lazy(0, 1)
        memory.release(frame)
        count += 1
    if memory.reclaimer is not None:
        memory.reclaimer.lazily_taken_count += count
    return count


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
