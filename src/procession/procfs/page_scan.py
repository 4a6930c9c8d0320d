"""The scan of /proc/PID/pagemap: which pages are of a kind, and those protected from being written again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT, EINVAL, ENOMEM, EPERM
from procession.abi.page_scan import PageCategory, PageMapIoctl, PageRegion, PageScanFlag, PmScanArg
from procession.abi.word import pack_u64
from procession.hardware.page_table import ADDRESS_MASK, USER_END
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, OutOfFrames
from procession.mm.user_fault import GUARDED, PROTECTED, mark, mark_of, marked_pages, protect_marked
from procession.mm.vma import USER_HANDLES_WRITE
from procession.procfs.process_memory import is_anonymous

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea

PAGEMAP_SCAN = int(PageMapIoctl.PAGEMAP_SCAN)
_ALLOWED = int(PageCategory.PAGE_IS_WPALLOWED)
_WRITTEN = int(PageCategory.PAGE_IS_WRITTEN)
_FILE = int(PageCategory.PAGE_IS_FILE)
_PRESENT = int(PageCategory.PAGE_IS_PRESENT)
_OF_ZEROS = int(PageCategory.PAGE_IS_PFNZERO)
_SWAPPED = int(PageCategory.PAGE_IS_SWAPPED)
_GUARD = int(PageCategory.PAGE_IS_GUARD)
_CATEGORIES = (1 << 9) - 1
_PROTECTS = int(PageScanFlag.PM_SCAN_WP_MATCHING)
_EXPECTS_ASYNC = int(PageScanFlag.PM_SCAN_CHECK_WPASYNC)
_WALK_END = PmScanArg.OFFSETS["walk_end"]
_MOST_PAGES = 1 << 64
_TABLE_PAGES = 512


def scan_pages(mm: MemoryDescriptor, address: int, memory: UserMemory) -> tuple[int, int]:
    """PAGEMAP_SCAN of `mm`, as the struct pm_scan_arg at `address` says.

    The result is how many ranges were found, and how many pages were looked at. Raises EFAULT, EINVAL, EPERM,
    ENOMEM. Linux: fs/proc/task_mmu.c, do_pagemap_scan.
    """
    wanted = _checked(memory.read(address, PmScanArg.SIZE))
    scan = PageScan(mm, wanted)
    refused = None
    try:
        scan.run()
    except (EPERM, ENOMEM) as error:
        refused = error
    if scan.regions:
        memory.write(wanted.vec, b"".join(PageRegion(*region).pack() for region in scan.regions))
    memory.write(address + _WALK_END, pack_u64(scan.walk_end))
    if refused is not None:
        raise refused
    return len(scan.regions), scan.seen_count


def _checked(data: bytes) -> PmScanArg:
    """Linux: fs/proc/task_mmu.c, pagemap_scan_get_args."""
    wanted = PmScanArg.unpack(data)
    if wanted.size != PmScanArg.SIZE:
        raise EINVAL("another struct pm_scan_arg")
    if wanted.flags & ~(_PROTECTS | _EXPECTS_ASYNC):
        raise EINVAL("unknown flags")
    masks = wanted.category_inverted | wanted.category_mask | wanted.category_anyof_mask | wanted.return_mask
    if masks & ~_CATEGORIES:
        raise EINVAL("unknown categories")
    if wanted.start & PAGE_MASK:
        raise EINVAL("not page-aligned")
    if not _is_user_range(wanted.start, wanted.end - wanted.start):
        raise EFAULT("past the end of user space")
    if not wanted.vec and wanted.vec_len:
        raise EINVAL("nowhere to put what is found")
    if wanted.vec and not _is_user_range(wanted.vec, wanted.vec_len * PageRegion.SIZE):
        raise EFAULT("past the end of user space")
    return wanted


def _is_user_range(start: int, length: int) -> bool:
    """Linux: arch/x86/include/asm/uaccess_64.h, __access_ok."""
    return length >= 0 and start + length <= USER_END


class PageScan:
    """One scan. `regions` are ranges that have been found: start, end and categories."""

    __slots__ = ("end", "found_count", "mm", "regions", "seen_count", "walk_end", "wanted")

    def __init__(self, mm: MemoryDescriptor, wanted: PmScanArg) -> None:
        self.mm = mm
        self.wanted = wanted
        self.end = wanted.end + PAGE_MASK & ~PAGE_MASK
        self.walk_end = self.end
        self.regions: list[tuple[int, int, int]] = []
        self.found_count = 0
        self.seen_count = 0

    def run(self) -> None:
        """Walk over the areas until enough has been found. Raises EPERM, ENOMEM."""
        wanted = self.wanted
        for area in self.mm.areas_in(wanted.start, self.end):
            handler = area.user_faults
            is_async = (
                handler is not None and handler.lets_writes_pass and bool(area.flags & USER_HANDLES_WRITE)
            )
            # Linux: fs/proc/task_mmu.c, pagemap_scan_test_walk.
            if not is_async and wanted.flags & _EXPECTS_ASYNC:
                raise EPERM("an area whose first writes don't just end the protection")
            category = _ALLOWED if is_async else 0
            required = wanted.category_mask & _ALLOWED
            if (not is_async and wanted.flags & _PROTECTS) or (
                (category ^ wanted.category_inverted) & required != required
            ):
                continue
            if self._walk(area, category, max(area.start, wanted.start), min(area.end, self.end)):
                return

    def _walk(self, area: VirtualMemoryArea, category: int, start: int, end: int) -> bool:
        """Look at an area's pages from `start` to `end`; whether enough has been found."""
        first, last = start >> PAGE_SHIFT, end >> PAGE_SHIFT
        at = first
        # In Linux what is marked has an entry, and so a table.
        regions = {page // _TABLE_PAGES for page in marked_pages(self.mm, start, end)}
        regions.update(self.mm.tables.regions(first, last))
        for region in sorted(regions):
            begin = max(region * _TABLE_PAGES, first)
            if at < begin and self._pass_hole(area, category, at, begin):
                return True
            at = min((region + 1) * _TABLE_PAGES, last)
            if self._look_at_table(area, category, begin, at):
                return True
        return at < last and self._pass_hole(area, category, at, last)

    def _pass_hole(self, area: VirtualMemoryArea, category: int, first: int, last: int) -> bool:
        """Pages without a table. Linux: fs/proc/task_mmu.c, pagemap_scan_pte_hole."""
        if area.flags & USER_HANDLES_WRITE:
            # As where there is a table: that Linux skipped them was a mistake, mended in 2026.
            category |= _WRITTEN
        if not self._is_wanted(category):
            return False
        end, is_enough = self._put(category, first, last)
        if self.wanted.flags & _PROTECTS:
            self._protect(range(first, end))
        return is_enough

    def _look_at_table(self, area: VirtualMemoryArea, category: int, first: int, last: int) -> bool:
        """Pages with a table. Linux: fs/proc/task_mmu.c, pagemap_scan_pmd_entry."""
        wanted, mm = self.wanted, self.mm
        protects = bool(wanted.flags & _PROTECTS)
        leaf = mm.leaves.get(first // _TABLE_PAGES)
        base = 0 if leaf is None else (leaf << 9) - (first // _TABLE_PAGES) * _TABLE_PAGES
        protected: list[int] = []
        is_enough = False
        self.seen_count += last - first
        for page in range(first, last):
            entry = 0 if leaf is None else mm.words[base + page]
            is_protected = bool(mark_of(mm, page) & PROTECTED)
            if protects and not wanted.vec:
                # Who wants nothing to be told has all protected, of whatever kind.
                if not is_protected:
                    protected.append(page)
                continue
            categories = category | self._category(area, page, entry)
            if not self._is_wanted(categories):
                continue
            end, is_enough = self._put(categories, page, page + 1)
            if end == page:
                break
            if protects and categories & _WRITTEN:
                protected.append(page)
            if is_enough:
                break
        if protected:
            self._protect(protected)
        return is_enough

    def _category(self, area: VirtualMemoryArea, page: int, entry: int) -> int:
        """Linux: fs/proc/task_mmu.c, pagemap_page_category."""
        marks = mark_of(self.mm, page)
        written = 0 if marks & PROTECTED else _WRITTEN
        if entry and not entry & ADDRESS_MASK:
            return _PRESENT | written | _OF_ZEROS
        if entry:
            return _PRESENT | written | (0 if is_anonymous(area, page, entry) else _FILE)
        if not marks:
            # What has never been there counts as written, if there is a table for its entry.
            return written
        # What is marked without being there has an entry like those of swapped pages.
        return _SWAPPED | written | (_GUARD if marks & GUARDED else 0)

    def _is_wanted(self, categories: int) -> bool:
        """Linux: fs/proc/task_mmu.c, pagemap_scan_is_interesting_page."""
        wanted = self.wanted
        categories ^= wanted.category_inverted
        if categories & wanted.category_mask != wanted.category_mask:
            return False
        return not wanted.category_anyof_mask or bool(categories & wanted.category_anyof_mask)

    def _put(self, categories: int, first: int, last: int) -> tuple[int, bool]:
        """Note that pages were found: up to which one, and whether that's enough.

        Linux: fs/proc/task_mmu.c, pagemap_scan_output, pagemap_scan_push_range.
        """
        wanted, regions = self.wanted, self.regions
        if not wanted.vec_len:
            return last, False
        end = min(last, first + (wanted.max_pages or _MOST_PAGES) - self.found_count)
        is_enough = end < last
        told = categories & wanted.return_mask
        start_byte, end_byte = first << PAGE_SHIFT, end << PAGE_SHIFT
        if regions and regions[-1][1] == start_byte and regions[-1][2] == told:
            regions[-1] = (regions[-1][0], end_byte, told)
        elif end == first:
            # As many pages as were asked for: this one is where the next scan goes on.
            pass
        elif len(regions) < wanted.vec_len:
            regions.append((start_byte, end_byte, told))
        else:
            end, is_enough = first, True
        self.found_count += end - first
        if is_enough:
            self.walk_end = end << PAGE_SHIFT
        return end, is_enough

    def _protect(self, pages: list[int] | range) -> None:
        """Linux: fs/proc/task_mmu.c, make_uffd_wp_pte."""
        if not pages:
            return
        mm = self.mm
        start, end = pages[0] << PAGE_SHIFT, (pages[-1] << PAGE_SHIFT) + PAGE_SIZE
        try:
            mark(mm, pages, PROTECTED)
            protect_marked(mm, start, end)
        except OutOfFrames:
            raise ENOMEM from None
        mm.memory.translations_changed(mm.tables.root, start, end)
