"""Stacks, which grow downwards to where they are touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENOMEM
from procession.hardware.physical_memory import MMAP_MINIMUM, PAGE_MASK, PAGE_SHIFT
from procession.mm.area_map import RLIMIT_STACK
from procession.mm.overcommit import check_commit
from procession.mm.vma import GROWS_DOWN, STACK_GUARD_GAP, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor


def grow_stack(mm: MemoryDescriptor, address: int) -> VirtualMemoryArea | None:
    """Extend a stack down to `address` if one lies above it and may grow. Linux: mm/mmap.c, expand_stack."""
    areas = mm.areas
    index = areas.count_to(address)
    if index >= len(areas):
        return None
    area = areas.at(index)
    if not area.flags & GROWS_DOWN:
        return None
    start = address & ~PAGE_MASK
    if area.end - start > mm.limits.soft[RLIMIT_STACK]:
        return None
    below = areas.at(index - 1) if index else None
    gap_floor = below.end if below is not None else max(MMAP_MINIMUM, mm.memory.lowest_address)
    needs_gap = below is not None and below.protection and not below.flags & GROWS_DOWN
    if needs_gap and start < gap_floor + STACK_GUARD_GAP:
        return None
    if start < gap_floor:
        return None
    try:
        mm.check_limits(area.start - start, False)
        check_commit(mm, area.start - start >> PAGE_SHIFT)
    except ENOMEM:
        return None
    mm.own_areas()
    area = mm.areas.at(index)
    area.page_offset -= (area.start - start) >> PAGE_SHIFT
    mm.area_list.total_bytes += area.start - start
    area.start = start
    mm.note_reserved(start, area.end)
    mm.areas.set_start(index, start)
    if mm.area_list.gaps is not None:
        mm.area_list.gaps.note_gap(mm.areas, index)
    return area
