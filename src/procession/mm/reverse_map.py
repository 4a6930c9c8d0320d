"""The reverse map: who maps a page of a file, and by how many entries of page tables a page is mapped."""

from __future__ import annotations

from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, PhysicalMemory
from procession.mm.address_space import MemoryDescriptor
from procession.mm.page_cache import PageCache
from procession.mm.vma import LOCKED, VirtualMemoryArea

Mapper = tuple[MemoryDescriptor, int, bool]
"""An address space, how many pages further a page of the cache is mapped there, and whether it's locked."""
Parts = dict[tuple[int, int], list[Mapper]]
"""Who maps the pages from one index up to another: mostly the same segments of a program, many times."""
Mappings = dict[PageCache, Parts]


def find_mappings(memory: PhysicalMemory) -> Mappings:
    """Who maps which part of which page cache, found by looking at all areas that there are."""
    found: Mappings = {}
    for space in memory.address_spaces:
        assert isinstance(space, MemoryDescriptor)
        for area in space.areas:
            if area.pages is not None:
                part = area.page_offset, area.page_offset + (area.size >> PAGE_SHIFT)
                mapper = space, (area.start >> PAGE_SHIFT) - area.page_offset, area.flags & LOCKED != 0
                found.setdefault(area.pages, {}).setdefault(part, []).append(mapper)
    return found


class MapCounts:
    """By how many entries pages are mapped, as long as nothing changes.

    Linux: include/linux/mm.h, folio_mapcount.

    Entries that lead to a page cache's frames hold no references: who has such entries is looked for, once
    for each cache, whose pages are in `of_caches`. All others are counted by the frames. `seen_count` is how
    many areas and entries have been looked at for that.
    """

    __slots__ = ("found", "memory", "of_caches", "seen_count")

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.found: Mappings | None = None
        self.of_caches: dict[PageCache, dict[int, int]] = {}
        self.seen_count = 0

    def of(self, mm: MemoryDescriptor, area: VirtualMemoryArea, entries: list[tuple[int, int]]) -> list[int]:
        """The counts of resident pages of `area` of `mm`, whose numbers and `entries` are given."""
        references = self.memory.references
        counts: list[int] = []
        for page, entry in entries:
            if entry & pte.CACHED and area.pages is not None:
                counts.append(self._of_cache(area.pages).get(area.page_index(page << PAGE_SHIFT), 1))
            else:
                # A leaf table stands for all who share it.
                frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
                counts.append(max(references[frame] + references[mm.leaves[page >> 9]] - 1, 1))
        return counts

    def _of_cache(self, pages: PageCache) -> dict[int, int]:
        """The counts of a page cache's pages, by their indexes."""
        counts = self.of_caches.get(pages)
        if counts is None:
            counts = self.of_caches[pages] = {}
            words = self.memory.words
            for (word, first, length), count in self._places_of(pages).items():
                self.seen_count += length
                for index, entry in enumerate(words[word : word + length].tolist(), first):
                    if entry & pte.CACHED:
                        counts[index] = counts.get(index, 0) + count
        return counts

    def _places_of(self, pages: PageCache) -> dict[tuple[int, int, int], int]:
        """Where in memory the entries for these pages are: the first word, the page that it's for, and their
        number; and how many share each such place.
        """
        if self.found is None:
            self.found = find_mappings(self.memory)
            self.seen_count += sum(
                len(mappers) for parts in self.found.values() for mappers in parts.values()
            )
        places: dict[tuple[int, int, int], int] = {}
        for (begin, end), mappers in self.found.get(pages, {}).items():
            for space, distance, _ in mappers:
                for region in space.tables.regions(begin + distance, end + distance):
                    at = max(region * pte.ENTRIES, begin + distance)
                    to = min((region + 1) * pte.ENTRIES, end + distance)
                    word = space.leaves[region] * pte.ENTRIES + at % pte.ENTRIES
                    place = word, at - distance, to - at
                    places[place] = places.get(place, 0) + 1
        return places
