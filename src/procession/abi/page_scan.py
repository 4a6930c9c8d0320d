"""PAGEMAP_SCAN: looking for pages of some kind in a process's memory (linux/fs.h)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U64, Structure


class PageMapIoctl(IntEnum):
    """The requests of /proc/PID/pagemap."""

    PAGEMAP_SCAN = 0xC0606610


class PageCategory(IntFlag):
    """What a page is."""

    PAGE_IS_WPALLOWED = 1 << 0
    PAGE_IS_WRITTEN = 1 << 1
    PAGE_IS_FILE = 1 << 2
    PAGE_IS_PRESENT = 1 << 3
    PAGE_IS_SWAPPED = 1 << 4
    PAGE_IS_PFNZERO = 1 << 5
    PAGE_IS_HUGE = 1 << 6
    PAGE_IS_SOFT_DIRTY = 1 << 7
    PAGE_IS_GUARD = 1 << 8


class PageScanFlag(IntFlag):
    """What else is done."""

    PM_SCAN_WP_MATCHING = 1 << 0
    PM_SCAN_CHECK_WPASYNC = 1 << 1


class PmScanArg(Structure):
    """struct pm_scan_arg."""

    size: U64 = 0
    flags: U64 = 0
    start: U64 = 0
    end: U64 = 0
    walk_end: U64 = 0
    vec: U64 = 0
    vec_len: U64 = 0
    max_pages: U64 = 0
    category_inverted: U64 = 0
    category_mask: U64 = 0
    category_anyof_mask: U64 = 0
    return_mask: U64 = 0


class PageRegion(Structure):
    """struct page_region."""

    start: U64 = 0
    end: U64 = 0
    categories: U64 = 0
