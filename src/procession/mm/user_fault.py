"""Faults that a program handles itself (userfaultfd(2)): which they are; and what is marked of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from procession.hardware import page_table as pte
from procession.hardware.kernel_memory import USER_FAULT, USER_FAULT_BYTES
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.mm.vma import USER_HANDLES_MINOR, USER_HANDLES_MISSING, USER_HANDLES_WRITE, WIPE_ON_FORK

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea

PROTECTED: Final = 1
"""The next write to the page is the program's to handle (_PAGE_UFFD_WP, PTE_MARKER_UFFD_WP)."""
POISONED: Final = 2
"""There is no page, and who looks for it gets SIGBUS (PTE_MARKER_POISONED)."""

GUARDED: Final = 4
"""There is no page, and who looks for it gets SIGSEGV (PTE_MARKER_GUARD, mm/guard.py)."""

ALL_MARKS: Final = PROTECTED | POISONED | GUARDED


class AccessViolation(Exception):
    """An access that isn't allowed: the signal and si_code that it deserves."""

    def __init__(self, signal: int, code: int) -> None:
        super().__init__(signal, code)
        self.signal = signal
        self.code = code


class UserFaultHandler(Protocol):
    """Who has registered for the faults of an area."""

    @property
    def lets_writes_pass(self) -> bool:
        """Whether the first write to a protected page only ends its protection."""

    def wait(self, address: int, reason: int, *, is_write: bool, is_user: bool) -> None:
        """Make the running task wait until the fault has been handled; never returns. Raises AccessViolation
        if it can't wait. `is_user` says that the program itself made the access, and not a call.
        """

    def write_later(self, mm: MemoryDescriptor, address: int, data: bytes) -> None:
        """Let the running task's call put `data`, within one page, before it returns. Raises AccessViolation
        if it can't wait, OutOfFrames.
        """

    def forked(self, child: MemoryDescriptor) -> UserFaultHandler | None:
        """Who handles the faults of a copy of the area in `child`, None for nobody. Raises OutOfFrames."""

    def unmapped(self, start: int, end: int) -> None:
        """What was mapped from `start` to `end` isn't any more."""

    def removed(self, start: int, end: int) -> bool:
        """The pages from `start` to `end` will be gone, by madvise(2); whether somebody is told before."""

    def moved(self, start: int, target: int, length: int) -> bool:
        """A part of an area is somewhere else now; whether its faults are still handled here."""


def reason_to_wait(mm: MemoryDescriptor, area: VirtualMemoryArea, address: int, *, is_write: bool) -> int:
    """Why an access to a registered `area` is the program's to handle: USER_HANDLES_*, 0 if it isn't.

    Linux: mm/memory.c, do_anonymous_page, do_wp_page; mm/shmem.c, shmem_get_folio_gfp.
    """
    page = address >> PAGE_SHIFT
    reason = 0
    if not mm.tables.entry(page):
        pages = area.pages
        if pages is None:
            reason = area.flags & USER_HANDLES_MISSING
        else:
            index = area.page_index(address)
            if index > area.last_index:
                return 0
            is_cached = index in pages.frames or (pages.backing is not None and pages.backing.has_page(index))
            reason = area.flags & (USER_HANDLES_MINOR if is_cached else USER_HANDLES_MISSING)
    if not reason and is_write:
        reason = _reason_of_mark(mm, area, page)
    return reason


def _reason_of_mark(mm: MemoryDescriptor, area: VirtualMemoryArea, page: int) -> int:
    """USER_HANDLES_WRITE if a write to the page isn't to pass, which ends its protection otherwise."""
    if not area.flags & USER_HANDLES_WRITE or not mark_of(mm, page) & PROTECTED:
        return 0
    if area.user_faults is not None and area.user_faults.lets_writes_pass:
        unmark(mm, page << PAGE_SHIFT, (page + 1) << PAGE_SHIFT)
        return 0
    return USER_HANDLES_WRITE


def is_read_alone(mm: MemoryDescriptor, area: VirtualMemoryArea, address: int) -> bool:
    """Whether the page, if it isn't there, is mapped alone and without the right to write, for who reads it:
    it's marked, or its neighbours in the file are the program's to map.

    Linux: include/linux/userfaultfd_k.h, uffd_disable_fault_around.
    """
    page = address >> PAGE_SHIFT
    if mm.tables.entry(page):
        return False
    if mark_of(mm, page) & PROTECTED:
        return True
    has_neighbours = area.pages is not None and not area.is_shared
    return has_neighbours and bool(area.flags & (USER_HANDLES_MINOR | USER_HANDLES_WRITE))


def mark_of(mm: MemoryDescriptor, page: int) -> int:
    """What is marked of a page, by its number."""
    return 0 if mm.page_marks is None else mm.page_marks.get(page, 0)


def mark(mm: MemoryDescriptor, pages: list[int] | range, bits: int) -> None:
    """Mark pages, by their numbers. Raises OutOfFrames, nothing changed."""
    mm.memory.account.charge(USER_FAULT, len(pages) * USER_FAULT_BYTES)
    marks = mm.page_marks
    if marks is None:
        marks = mm.page_marks = {}
    count = len(marks)
    for page in pages:
        marks[page] = marks.get(page, 0) | bits
    mm.memory.account.uncharge(USER_FAULT, (len(pages) - (len(marks) - count)) * USER_FAULT_BYTES)
    mm.has_fork_advice = True


def unmark(mm: MemoryDescriptor, start: int, end: int, bits: int = PROTECTED) -> None:
    """Take marks from the pages from byte `start` to `end`."""
    marks = mm.page_marks
    if not marks:
        return
    count = len(marks)
    for page in marked_pages(mm, start, end):
        marks[page] &= ~bits
        if not marks[page]:
            del marks[page]
    mm.memory.account.uncharge(USER_FAULT, (count - len(marks)) * USER_FAULT_BYTES)
    if not marks:
        mm.page_marks = None


def marked_pages(mm: MemoryDescriptor, start: int, end: int) -> list[int]:
    """The marked pages among those from byte `start` to `end`, in order."""
    marks = mm.page_marks
    if not marks:
        return []
    first, last = start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT
    if last - first < len(marks):
        return [page for page in range(first, last + 1) if page in marks]
    return sorted(page for page in marks if first <= page <= last)


def move_marks(mm: MemoryDescriptor, start: int, length: int, target: int, *, keeps_protection: bool) -> None:
    """Pages have moved (mremap(2)): their marks go along, but for protection that nobody handles there."""
    marks = mm.page_marks
    if not marks:
        return
    moved = [(page, marks[page]) for page in marked_pages(mm, start, start + length)]
    for page, bits in moved:
        kept = bits if keeps_protection else bits & ~PROTECTED
        del marks[page]
        if kept:
            marks[page + ((target - start) >> PAGE_SHIFT)] = kept
        else:
            mm.memory.account.uncharge(USER_FAULT, USER_FAULT_BYTES)
    if not marks:
        mm.page_marks = None


def copy_marks(mm: MemoryDescriptor, child: MemoryDescriptor) -> None:
    """A child has what its areas can have of the marks. Raises OutOfFrames.

    Linux: include/linux/userfaultfd_k.h, userfaultfd_wp.
    """
    for page, bits in (mm.page_marks or {}).items():
        area = child.find(page << PAGE_SHIFT)
        if area is not None:
            if area.flags & WIPE_ON_FORK:
                continue
            kept = bits & (POISONED | GUARDED | (PROTECTED if area.flags & USER_HANDLES_WRITE else 0))
            if kept:
                mark(child, [page], kept)


def protect_marked(mm: MemoryDescriptor, start: int, end: int) -> None:
    """Marked pages from byte `start` to `end` that are there lose the right to be written. Raises
    OutOfFrames.
    """
    for page in marked_pages(mm, start, end):
        if mark_of(mm, page) & PROTECTED and mm.tables.entry(page):
            mm.words[(mm.tables.own_leaf(page >> 9) << 9) + (page & 511)] &= ~pte.WRITABLE
