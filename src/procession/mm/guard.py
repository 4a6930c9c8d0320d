"""Guard regions: pages that nobody may touch, without an area of their own (MADV_GUARD_INSTALL)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.mm.user_fault import ALL_MARKS, GUARDED, mark, mark_of, marked_pages, unmark
from procession.mm.vma import ANY_LOCK, DONT_EXPAND, MAY_HAVE_GUARDS

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea


def install_guards(mm: MemoryDescriptor, area: VirtualMemoryArea, start: int, end: int) -> None:
    """Throw away the pages of `area` from `start` to `end`; who touches them gets SIGSEGV from then on.

    Raises EINVAL, OutOfFrames. Linux: mm/madvise.c, madvise_guard_install.
    """
    _check(area, refused=DONT_EXPAND | ANY_LOCK)
    pages = range(start >> PAGE_SHIFT, end >> PAGE_SHIFT)
    mm.zap(start, end, dropped_marks=ALL_MARKS)
    mark(mm, pages, GUARDED)
    mm.memory.note_changed(len(pages))
    if not area.flags & MAY_HAVE_GUARDS:
        mm.own_areas()
        own = mm.find(start)
        assert own is not None
        own.flags |= MAY_HAVE_GUARDS


def remove_guards(mm: MemoryDescriptor, area: VirtualMemoryArea, start: int, end: int) -> None:
    """Let the pages be touched again: they have what untouched pages have.

    Raises EINVAL. Linux: mm/madvise.c, madvise_guard_remove.
    """
    _check(area, refused=DONT_EXPAND)
    marked = marked_pages(mm, start, end)
    mm.memory.note_changed(len(marked))
    for page in marked:
        if mark_of(mm, page) & GUARDED:
            unmark(mm, page << PAGE_SHIFT, (page + 1) << PAGE_SHIFT, ALL_MARKS)


def _check(area: VirtualMemoryArea, *, refused: int) -> None:
    """Raise EINVAL for an area that can't be guarded. Linux: mm/madvise.c, is_valid_guard_vma."""
    if area.flags & refused:
        raise EINVAL("pages that are locked, or none that could be thrown away")
