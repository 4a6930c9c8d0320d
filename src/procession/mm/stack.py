"""Stacks, which grow downwards to where they are touched."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from procession.abi.errno import ENOMEM
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.mm.address_space import RLIMIT_STACK
from procession.mm.gap_index import MMAP_MINIMUM
from procession.mm.vma import GROWS_DOWN, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor

_GUARD_GAP_PAGES = 256
"""What is kept free below a stack that grows (stack_guard_gap)."""


def grow_stack(mm: MemoryDescriptor, address: int) -> VirtualMemoryArea | None:
    """Extend a stack down to `address` if one lies above it and may grow. Linux: mm/mmap.c, expand_stack."""
    index = bisect_right(mm.starts, address)
    if index >= len(mm.areas):
        return None
    area = mm.areas[index]
    if not area.flags & GROWS_DOWN:
        return None
    start = address & ~PAGE_MASK
    if area.end - start > mm.limits.soft[RLIMIT_STACK]:
        return None
    gap_floor = mm.areas[index - 1].end if index else MMAP_MINIMUM
    if start < gap_floor + (_GUARD_GAP_PAGES << PAGE_SHIFT) and index and mm.areas[index - 1].protection:
        return None
    if start < gap_floor:
        return None
    try:
        mm.check_limits(area.start - start, False)
    except ENOMEM:
        return None
    mm.own_areas()
    area = mm.areas[index]
    area.page_offset -= (area.start - start) >> PAGE_SHIFT
    mm.area_list.total_bytes += area.start - start
    area.start = start
    mm.note_reserved(start, area.end)
    mm.starts[index] = start
    if mm.area_list.gaps is not None:
        mm.area_list.gaps.note_gap(mm.areas, index)
    return area
