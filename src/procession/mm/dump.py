"""What of an address space a core holds: which areas, how much of each, and their pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.elf import ELFMAG
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, ZERO_FRAME
from procession.mm.peek import peek
from procession.mm.vma import DONT_DUMP, PROT_READ, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor

# The bits of `MemoryDescriptor.dump_filter` (core(5)).
DUMP_ANONYMOUS_PRIVATE = 1 << 0
DUMP_ANONYMOUS_SHARED = 1 << 1
DUMP_MAPPED_PRIVATE = 1 << 2
DUMP_MAPPED_SHARED = 1 << 3
DUMP_ELF_HEADERS = 1 << 4
DUMP_FILTER_BITS = 9
_EXECUTABLE = 0o111


def dump_size(mm: MemoryDescriptor, area: VirtualMemoryArea) -> int:
    """How many bytes of `area`, from its start, a core holds. Linux: fs/coredump.c, vma_dump_size."""
    wanted = mm.dump_filter
    if area.flags & DONT_DUMP:
        return 0
    if area.is_shared:
        is_anonymous = area.file is None or area.file.inode.link_count == 0
        return area.size if wanted & (DUMP_ANONYMOUS_SHARED if is_anonymous else DUMP_MAPPED_SHARED) else 0
    if wanted & DUMP_ANONYMOUS_PRIVATE and has_own_pages(mm, area):
        return area.size
    if area.file is None:
        return 0
    if wanted & DUMP_MAPPED_PRIVATE:
        return area.size
    if not wanted & DUMP_ELF_HEADERS or area.page_offset or not area.protection & PROT_READ:
        return 0
    # By its first page a debugger knows which build of a library this was.
    is_program = area.file.inode.mode & _EXECUTABLE or peek(mm, area.start, len(ELFMAG)) == ELFMAG
    return PAGE_SIZE if is_program else 0


def has_own_pages(mm: MemoryDescriptor, area: VirtualMemoryArea) -> bool:
    """Whether a page of the private `area` is no file's, or no longer (in Linux, vm_area_struct.anon_vma)."""
    counted = mm.memory.counted
    first, last = area.start >> PAGE_SHIFT, area.end >> PAGE_SHIFT
    for region in mm.tables.regions(first, last):
        leaf = mm.leaves[region]
        if counted[leaf]:
            start, end = first - (region << 9), last - (region << 9)
            if any(start <= index < end for index in counted[leaf]):
                return True
    return False


def pages_to_dump(mm: MemoryDescriptor, area: VirtualMemoryArea, length: int) -> tuple[list[int], int]:
    """Which pages within `length` bytes of `area` `dump_page` may have: the numbers of some, in order, and
    the number below which it may have all.
    """
    first = area.start >> PAGE_SHIFT
    last = first + (length >> PAGE_SHIFT)
    backed_end = first
    if area.pages is not None:
        backed_end = min(last, first + max(area.pages.backed_count - area.page_offset, 0))
    there = {*mm.tables.present_pages(backed_end, last), *area.cached_pages(backed_end, last)}
    return sorted(there), backed_end


def dump_page(mm: MemoryDescriptor, area: VirtualMemoryArea, address: int) -> bytes | None:
    """The page at `address` of `area`, whatever its protection; None where nothing was ever put.

    Linux: mm/gup.c, get_dump_page.
    """
    entry = mm.tables.entry(address >> PAGE_SHIFT)
    if entry & pte.PRESENT:
        base = entry & pte.ADDRESS_MASK
        if base == ZERO_FRAME << PAGE_SHIFT:
            return None
        return mm.bytes[base : base + PAGE_SIZE]
    pages = area.pages
    if pages is None:
        return None
    index = area.page_index(address)
    if area.file is not None and index << PAGE_SHIFT >= area.file.inode.size:
        return None
    if index not in pages.frames and pages.backing is None:
        return None
    return pages.read(index << PAGE_SHIFT, PAGE_SIZE)
