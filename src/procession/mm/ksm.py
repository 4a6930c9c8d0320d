"""Merging of equal pages: which areas ask for it. Nothing is merged, as while /sys/kernel/mm/ksm/run is 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.mm.vma import DONT_EXPAND, DROPPABLE, MERGEABLE

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea


def can_be_merged(area: VirtualMemoryArea) -> bool:
    """Whether pages of the area may become others' too. Linux: mm/ksm.c, vma_ksm_compatible."""
    return not area.is_shared and not area.flags & (DROPPABLE | DONT_EXPAND)


def mark_all(mm: MemoryDescriptor) -> None:
    """All that can be merged asks for it. Linux: mm/ksm.c, ksm_add_vmas."""
    mm.own_areas()
    for area in mm.areas:
        if can_be_merged(area):
            area.flags |= MERGEABLE


def unmark_all(mm: MemoryDescriptor) -> None:
    """Nothing asks for it. Linux: mm/ksm.c, ksm_del_vmas."""
    mm.own_areas()
    for area in mm.areas:
        area.flags &= ~MERGEABLE
