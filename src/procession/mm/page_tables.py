"""The page tables of one address space, in page frames, as the processor walks them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, OutOfFrames, PhysicalMemory

if TYPE_CHECKING:
    from procession.mm.vma import VirtualMemoryArea

_FRAME_MASK: Final = pte.ADDRESS_MASK
_NOT_WRITABLE: Final = ~pte.WRITABLE & 0xFFFF_FFFF_FFFF_FFFF
_NOT_CLEAN: Final = pte.WRITABLE | pte.ACCESSED | pte.DIRTY
_KEEPS_READ_ONLY: Final = pte.CACHED | pte.LAZY
_SHARED_TABLE: Final = pte.TABLE & ~pte.WRITABLE


class PageTables:
    """Four levels of tables (in Linux, pgd, pud, pmd, pte).

    `leaves` maps `address >> 21` to the frame of the leaf table for those 2 MiB. A leaf table may be shared
    by several address spaces after fork: then its frame has several references and the entries that lead
    to it lack the write bit, so that the first write anywhere in its 2 MiB faults and unshares it. fork's
    cost is thus the number of tables and not of pages.

    A leaf's entry holds one reference to the frame that it maps, unless it is CACHED. `memory.counted` has,
    for each leaf table's frame, the indexes of the entries that do: unsharing and releasing a table looks at
    these alone, and only these may be writable in a private mapping. The page of zeros, which is no resident
    one, is CACHED too; `memory.zero_tables` are the tables that have had entries for it.
    """

    __slots__ = ("has_lazy", "leaves", "memory", "middle", "root", "upper")

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        # Whether any page was ever freed lazily here, or where this is copied from.
        self.has_lazy = False
        self.root = memory.allocate()
        self.leaves: dict[int, int] = {}
        self.middle: dict[int, int] = {}
        self.upper: dict[int, int] = {}

    def entry(self, page: int) -> int:
        """The leaf entry of page number `page`, 0 if there is none."""
        leaf = self.leaves.get(page >> 9)
        return 0 if leaf is None else self.memory.words[(leaf << 9) + (page & 511)]

    def regions(self, first: int, last: int) -> list[int]:
        """Which 2 MiB, in order, have tables of the pages from number `first` to before `last`.

        What is looked at goes by what is less, the tables or the range: a program maps 128 TiB at no cost.
        """
        low, high = first >> 9, (last + 511) >> 9
        if high - low > len(self.leaves):
            return sorted(region for region in self.leaves if low <= region < high)
        return [region for region in range(low, high) if region in self.leaves]

    def own_leaf(self, region: int) -> int:
        """The leaf table of `region` (address >> 21), present and this address space's alone.

        Raises OutOfFrames, nothing changed.
        """
        leaf = self.leaves.get(region)
        if leaf is None:
            return self._add_leaf(region)
        memory = self.memory
        if memory.references[leaf] > 1:
            return self._unshare_leaf(region, leaf)
        words, slot = memory.words, (self.middle[region >> 9] << 9) + (region & 511)
        entry = words[slot]
        if not entry & pte.WRITABLE:
            words[slot] = entry | pte.WRITABLE
        return leaf

    def _add_leaf(self, region: int) -> int:
        memory = self.memory
        words = memory.words
        middle = self.middle.get(region >> 9)
        if middle is None:
            upper = self.upper.get(region >> 18)
            if upper is None:
                upper = memory.allocate()
                self.upper[region >> 18] = upper
                words[(self.root << 9) + (region >> 18)] = upper << PAGE_SHIFT | pte.TABLE
            middle = memory.allocate()
            self.middle[region >> 9] = middle
            words[(upper << 9) + (region >> 9 & 511)] = middle << PAGE_SHIFT | pte.TABLE
        leaf = memory.allocate()
        memory.counted[leaf] = {}
        self.leaves[region] = leaf
        words[(middle << 9) + (region & 511)] = leaf << PAGE_SHIFT | pte.TABLE
        return leaf

    def _unshare_leaf(self, region: int, leaf: int) -> int:
        """Copy a shared leaf table; private pages become read-only in both, to be copied when written."""
        memory = self.memory
        copy = memory.allocate_copy(leaf)
        counted = memory.counted[leaf]
        memory.counted[copy] = counted.copy()
        if leaf in memory.zero_tables:
            memory.zero_tables.add(copy)
        words, references = memory.words, memory.references
        base, to = leaf << 9, copy << 9
        for index in counted:
            entry = words[base + index]
            words[base + index] = words[to + index] = entry & _NOT_WRITABLE
            references[(entry & _FRAME_MASK) >> PAGE_SHIFT] += 1
        references[leaf] -= 1
        self.leaves[region] = copy
        memory.words[(self.middle[region >> 9] << 9) + (region & 511)] = copy << PAGE_SHIFT | pte.TABLE
        return copy

    def fork(self) -> PageTables:
        """Tables for a child, with every leaf shared copy-on-write. Raises OutOfFrames, nothing changed.

        The caller drops cached translations: the parent's entries lost their write bits.
        """
        memory = self.memory
        child = PageTables(memory)
        words, references = memory.words, memory.references
        try:
            for key in self.upper:
                child.upper[key] = frame = memory.allocate()
                words[(child.root << 9) + key] = frame << PAGE_SHIFT | pte.TABLE
            for key in self.middle:
                child.middle[key] = frame = memory.allocate()
                words[(child.upper[key >> 9] << 9) + (key & 511)] = frame << PAGE_SHIFT | pte.TABLE
        except OutOfFrames:
            child.release()
            raise
        child.has_lazy = self.has_lazy
        child.leaves = self.leaves.copy()
        own_middle, new_middle = self.middle, child.middle
        for region, leaf in self.leaves.items():
            references[leaf] += 1
            entry = leaf << PAGE_SHIFT | _SHARED_TABLE
            index = region & 511
            words[(own_middle[region >> 9] << 9) + index] = entry
            words[(new_middle[region >> 9] << 9) + index] = entry
        return child

    def zap(self, start: int, end: int) -> tuple[int, int]:
        """Unmap the pages from byte `start` to `end`, page-aligned; how many there were, and how many of them
        were resident.

        Raises OutOfFrames, nothing changed, when a shared table must be copied and can't.
        """
        memory = self.memory
        page, last = start >> PAGE_SHIFT, end >> PAGE_SHIFT
        parts: list[tuple[int, int, int]] = []
        for region in self.regions(page, last):
            first, past = max(page - (region << 9), 0), min(last - (region << 9), 512)
            # Only the first and the last table can lose but a part of their entries.
            if past - first < 512:
                base = self.leaves[region] << 9
                if memory.are_zero(base + first, base + past):
                    continue
                self.own_leaf(region)
            parts.append((region, first, past))
        count = zeros = 0
        for region, first, past in parts:
            if past - first == 512:
                zeros += self.zeros_in(region, 0, pte.ENTRIES)
                count += self._drop_leaf(region)
                continue
            leaf = self.leaves[region]
            base = leaf << 9
            entries = memory.words[base + first : base + past].tolist()
            memory.bytes[(base + first) << 3 : (base + past) << 3] = bytes((past - first) << 3)
            counted = memory.counted[leaf]
            for index, entry in enumerate(entries, first):
                if entry:
                    count += 1
                    if not entry & pte.CACHED:
                        del counted[index]
                        memory.release((entry & _FRAME_MASK) >> PAGE_SHIFT)
                    elif not entry & _FRAME_MASK:
                        zeros += 1
        if count:
            memory.note_changed(count)
        return count, count - zeros

    def zeros_in(self, region: int, first: int, past: int) -> int:
        """How many entries from `first` to before `past` in a region's table are for the page of zeros."""
        leaf = self.leaves[region]
        if leaf not in self.memory.zero_tables:
            return 0
        entries = self.memory.words[(leaf << 9) + first : (leaf << 9) + past].tolist()
        return len([entry for entry in entries if entry and not entry & _FRAME_MASK])

    def free_lazily(self, start: int, end: int) -> int:
        """Let the program's own pages from byte `start` to `end` be taken when memory is short, unless they
        are written to before; how many there are. Raises OutOfFrames.

        Linux: mm/madvise.c, madvise_free_pte_range.
        """
        memory, words = self.memory, self.memory.words
        page, last = start >> PAGE_SHIFT, end >> PAGE_SHIFT
        count = 0
        freed: list[int] = []
        for region in self.regions(page, last):
            first, past = max(page, region << 9) & 511, min(last - (region << 9), 512)
            if memory.are_zero((self.leaves[region] << 9) + first, (self.leaves[region] << 9) + past):
                continue
            base = self.own_leaf(region) << 9
            for place in range(base + first, base + past):
                entry = words[place]
                if entry and not entry & pte.CACHED:
                    words[place] = entry & ~_NOT_CLEAN | pte.LAZY
                    count += 1
                    if not entry & pte.LAZY:
                        freed.append((entry & _FRAME_MASK) >> PAGE_SHIFT)
        self.has_lazy = self.has_lazy or count > 0
        if memory.reclaimer is not None:
            # Linux: mm/swap.c, lru_lazyfree.
            memory.reclaimer.lazily_freed_count += len(freed)
        for owner, number in Counter(filter(None, map(memory.owners.get, freed))).items():
            owner.note_lazy(number, 0)
        memory.note_changed(count)
        return count

    def drop_empty(
        self, start: int, end: int, areas_in: Callable[[int, int], Sequence[VirtualMemoryArea]]
    ) -> None:
        """Give up the tables at both ends of what was unmapped, if nothing is mapped there any more.

        Linux: mm/memory.c, free_pgtables.
        """
        for region in dict.fromkeys((start >> pte.LEAF_SHIFT, end - 1 >> pte.LEAF_SHIFT)):
            leaf = self.leaves.get(region)
            if (
                leaf is not None
                and self.memory.are_zero(leaf << 9, leaf + 1 << 9)
                and not areas_in(region << pte.LEAF_SHIFT, region + 1 << pte.LEAF_SHIFT)
            ):
                self._drop_leaf(region)

    def zap_cached(self, start: int, end: int) -> int:
        """Unmap those of the pages from byte `start` to `end` that are a page cache's, not copies of them.

        How many there were. Raises OutOfFrames as `zap` does.
        """
        words, page, last = self.memory.words, start >> PAGE_SHIFT, end >> PAGE_SHIFT
        count = 0
        for region in self.regions(page, last):
            first, past = max(page, region << 9) & 511, min(last - (region << 9), 512)
            base = self.leaves[region] << 9
            entries = words[base + first : base + past].tolist()
            cached = [index for index, entry in enumerate(entries, first) if entry & pte.CACHED]
            if cached:
                base = self.own_leaf(region) << 9
                for index in cached:
                    words[base + index] = 0
                count += len(cached)
        self.memory.note_changed(count)
        return count

    def _drop_leaf(self, region: int) -> int:
        memory = self.memory
        leaf = self.leaves.pop(region)
        memory.words[(self.middle[region >> 9] << 9) + (region & 511)] = 0
        count = pte.ENTRIES - memory.words[leaf << 9 : (leaf + 1) << 9].tolist().count(0)
        self._put_leaf(leaf)
        return count

    def _put_leaf(self, leaf: int) -> None:
        """Give up one reference to a leaf table; the last one takes the frames that it counts with it."""
        memory = self.memory
        if memory.references[leaf] > 1:
            memory.references[leaf] -= 1
            return
        words, base = memory.words, leaf << 9
        memory.release_all(
            [(words[base + index] & _FRAME_MASK) >> PAGE_SHIFT for index in memory.counted.pop(leaf)]
        )
        memory.zero_tables.discard(leaf)
        memory.release(leaf)

    def protect(self, start: int, end: int, bits: int) -> bool:
        """Give present pages from `start` to `end` the rights in `bits`, made by `entry_bits`.

        Returns whether there were any. Pages of private areas get the write bit only if nobody else holds
        their frame. Raises OutOfFrames, nothing changed.
        """
        memory = self.memory
        words, references = memory.words, memory.references
        page, last = start >> PAGE_SHIFT, end >> PAGE_SHIFT
        ranges: list[range] = []
        for region in self.regions(page, last):
            first = max(page, region << 9) & 511
            past = min(last - (region << 9), 512)
            leaf = self.leaves[region]
            if not memory.are_zero((leaf << 9) + first, (leaf << 9) + past):
                base = self.own_leaf(region) << 9
                ranges.append(range(base + first, base + past))
        for places in ranges:
            for place in places:
                entry = words[place]
                if entry:
                    frame = (entry & _FRAME_MASK) >> PAGE_SHIFT
                    new = entry & (_FRAME_MASK | pte.DIRTY | pte.CACHED | pte.LAZY) | bits
                    if not bits & pte.SHARED and (entry & _KEEPS_READ_ONLY or references[frame] > 1):
                        new &= _NOT_WRITABLE
                    elif new & pte.CACHED and frame in memory.reclaimable:
                        # The first write must be noticed.
                        new &= _NOT_WRITABLE
                    words[place] = new
                    if not bits & pte.NO_EXECUTE:
                        memory.executable.add(frame)
            memory.note_changed(len(places))
        return bool(ranges)

    def present_pages(self, first: int, last: int) -> list[int]:
        """The numbers of the pages from `first` up to `last` that are mapped, in order."""
        pages: list[int] = []
        for region in self.regions(first, last):
            base = self.leaves[region] << 9
            entries = self.memory.words[base : base + pte.ENTRIES].tolist()
            start = region << 9
            pages += [
                page for page in range(max(first, start), min(last, start + 512)) if entries[page - start]
            ]
        return pages

    def prepare_move(self, source: int, target: int, length: int) -> list[int]:
        """The pages that are present in `length` bytes from `source`: they can be moved to `target`.

        Raises OutOfFrames, nothing changed.
        """
        shift = (target - source) >> PAGE_SHIFT
        pages = self.present_pages(source >> PAGE_SHIFT, (source + length) >> PAGE_SHIFT)
        for region in dict.fromkeys(region for page in pages for region in (page >> 9, (page + shift) >> 9)):
            self.own_leaf(region)
        return pages

    def move(self, pages: list[int], distance: int) -> None:
        """Move the entries that prepare_move gave by `distance` bytes, to where there are none (mremap)."""
        words, counted, leaves = self.memory.words, self.memory.counted, self.leaves
        shift = distance >> PAGE_SHIFT
        self.memory.note_changed(len(pages))
        for page in pages:
            origin, to = leaves[page >> 9], leaves[(page + shift) >> 9]
            place = (origin << 9) + (page & 511)
            entry, words[place] = words[place], 0
            words[(to << 9) + (page + shift & 511)] = entry
            # What belongs to a page cache may have been reclaimed meanwhile.
            if not entry & pte.CACHED:
                if entry:
                    del counted[origin][page & 511]
                    counted[to][page + shift & 511] = None
            elif not entry & _FRAME_MASK:
                self.memory.zero_tables.add(to)

    def release(self) -> None:
        """Give everything back: the address space is gone."""
        memory = self.memory
        for leaf in self.leaves.values():
            self._put_leaf(leaf)
        memory.release_all((*self.middle.values(), *self.upper.values(), self.root))
        self.leaves.clear()
        self.middle.clear()
        self.upper.clear()
