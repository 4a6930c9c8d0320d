"""Walks page tables as the processor does, from the root's frame on, and counts who holds which frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from procession.mm.address_space import MemoryDescriptor
from procession.mm.page_cache import PageCache


class Translation(NamedTuple):
    """What the processor finds for a page: the frame, and whether it may write and execute there."""

    frame: int
    is_writable: bool
    is_executable: bool
    entry: int


def tables_of(memory: PhysicalMemory, root: int) -> Iterator[tuple[int, int, int, bool]]:
    """The table in frame `root` and those below it: level (3 to 0), frame, first page, whether writable."""
    waiting = [(3, root, 0, True)]
    while waiting:
        level, frame, page, is_writable = waiting.pop()
        yield level, frame, page, is_writable
        if level:
            for index, entry in enumerate(memory.words[frame << 9 : (frame + 1) << 9].tolist()):
                if entry & pte.PRESENT:
                    below = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
                    first = page + (index << 9 * level)
                    waiting.append((level - 1, below, first, is_writable and bool(entry & pte.WRITABLE)))


def translate(memory: PhysicalMemory, root: int, page: int) -> Translation | None:
    """What page number `page` leads to in user mode, None if that is a fault."""
    frame, is_writable, entry = root, True, 0
    for level in (3, 2, 1, 0):
        entry = memory.words[(frame << 9) + (page >> 9 * level & 511)]
        if not entry & pte.PRESENT or not entry & pte.USER:
            return None
        is_writable = is_writable and bool(entry & pte.WRITABLE)
        frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
    return Translation(frame, is_writable, not entry & pte.NO_EXECUTE, entry)


def census(memory: PhysicalMemory, caches: Iterable[PageCache]) -> list[str]:
    """What is wrong with the frames: every reference must have a holder, and nobody may write to what others
    hold. `caches` are the page caches that hold frames."""
    problems: list[str] = []
    holders: Counter[int] = Counter()
    cached: set[int] = set()
    for cache in caches:
        held = [*cache.frames.values(), *cache.orphans]
        holders.update(held)
        cached.update(held)
        if cache.orphans and not cache.area_count:
            problems.append("a page cache keeps what nobody maps any more")
    leaves: dict[int, int] = {}
    written_through: Counter[int] = Counter()
    for space in memory.address_spaces:
        assert isinstance(space, MemoryDescriptor)
        for level, frame, page, is_writable in tables_of(memory, space.tables.root):
            holders[frame] += 1
            if level == 0:
                leaves[frame] = page
                written_through[frame] += is_writable
    for leaf, page in leaves.items():
        entries = memory.words[leaf << 9 : (leaf + 1) << 9].tolist()
        counted = {index for index, entry in enumerate(entries) if entry and not entry & pte.CACHED}
        if counted != set(memory.counted[leaf]):
            problems.append(
                f"the table of page {page:#x} counts {set(memory.counted[leaf]) ^ counted} wrongly"
            )
        if holders[leaf] > 1 and written_through[leaf]:
            problems.append(f"the table of page {page:#x} is shared, and one owner may write through it")
        for index in counted:
            holders[(entries[index] & pte.ADDRESS_MASK) >> PAGE_SHIFT] += 1
        for index, entry in enumerate(entries):
            if entry and not entry & pte.ADDRESS_MASK:
                if leaf not in memory.zero_tables or entry & pte.WRITABLE or not entry & pte.CACHED:
                    problems.append(f"page {page + index:#x} isn't the page of zeros as it should be")
            elif entry & pte.CACHED and (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT not in cached:
                problems.append(f"page {page + index:#x} maps a frame that its cache has dropped")
            if entry & pte.CACHED and entry & pte.WRITABLE and not entry & pte.SHARED:
                problems.append(f"page {page + index:#x} lets a private mapping write to a file")
    for leaf, page in leaves.items():
        for index, entry in enumerate(memory.words[leaf << 9 : (leaf + 1) << 9].tolist()):
            frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
            if entry & pte.WRITABLE and not entry & pte.CACHED and holders[frame] > 1:
                problems.append(f"page {page + index:#x} may write to frame {frame}, which others hold")
    if any(memory.bytes[:PAGE_SIZE]):
        problems.append("the page of zeros isn't zeros")
    if not memory.zero_tables <= set(leaves):
        problems.append("tables that aren't there have the page of zeros")
    if set(memory.counted) != set(leaves):
        problems.append(f"tables are kept that aren't there: {set(memory.counted) ^ set(leaves)}")
    free = [*memory.free, *memory.free_executable]
    if len(set(free)) != len(free) or any(holders[frame] for frame in free):
        problems.append("a frame is free twice, or free and held")
    for frame in range(1, memory.next_fresh):
        if memory.references[frame] != holders[frame]:
            problems.append(
                f"frame {frame} has {holders[frame]} holders and counts {memory.references[frame]}"
            )
    return problems
