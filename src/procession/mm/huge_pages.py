"""Transparent huge pages: which areas may have 64 KiB of anonymous memory at once (`fault_ahead`).

There are no pages of 2 MiB: what Linux says of them in smaps and sysfs is 0 here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.hardware.huge_pages import HugePages
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.mm.address_space import HUGE_PAGES_DISABLED, ONLY_ADVISED_HUGE_PAGES
from procession.mm.fault import FOLIO_PAGES
from procession.mm.vma import HUGE_PAGES, NO_HUGE_PAGES, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor

_MADVISE: Final = int(HugePages.MADVISE)
_ALWAYS: Final = int(HugePages.ALWAYS)
_INHERIT: Final = int(HugePages.INHERIT)


def may_have_folios(mm: MemoryDescriptor, area: VirtualMemoryArea) -> bool:
    """Whether the program and the machine's settings allow it.

    Linux: include/linux/huge_mm.h, vma_thp_disabled, thp_vma_allowable_orders.
    """
    flags, inherited = area.flags, mm.inherited_flags
    if flags & NO_HUGE_PAGES or inherited & HUGE_PAGES_DISABLED:
        return False
    if inherited & ONLY_ADVISED_HUGE_PAGES and not flags & HUGE_PAGES:
        return False
    setting = mm.memory.folios
    if setting == _INHERIT:
        setting = mm.memory.huge_pages
    return setting == _ALWAYS or (setting == _MADVISE and flags & HUGE_PAGES != 0)


def fits(area: VirtualMemoryArea, page: int, folio_pages: int) -> bool:
    """Whether the folio that page number `page` would be in lies in the area as a whole.

    Linux: include/linux/huge_mm.h, thp_vma_suitable_order.
    """
    first = page & -folio_pages
    return area.start >> PAGE_SHIFT <= first and first + folio_pages <= area.end >> PAGE_SHIFT


def is_eligible(mm: MemoryDescriptor, area: VirtualMemoryArea) -> bool:
    """THPeligible of smaps. Linux: mm/huge_memory.c, __thp_vma_allowable_orders."""
    if not area.is_anonymous or not may_have_folios(mm, area):
        return False
    return fits(area, (area.end >> PAGE_SHIFT) - FOLIO_PAGES, FOLIO_PAGES)
