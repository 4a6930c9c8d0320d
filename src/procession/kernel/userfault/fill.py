"""What a userfaultfd puts where something was missing, or protects: UFFDIO_COPY and its kin.

Linux: mm/userfaultfd.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from procession.abi.errno import EAGAIN, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, Errno
from procession.abi.userfaultfd import UffdFeature, UffdMoveMode
from procession.fs.overlay import Overlay
from procession.fs.ramfs import Ramfs
from procession.fs.tmpfs import Tmpfs
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, OutOfFrames
from procession.kernel.userfault.context import UserFaultContext
from procession.mm.fault import new_entry, zero_entry
from procession.mm.user_fault import (
    ALL_MARKS,
    GUARDED,
    POISONED,
    PROTECTED,
    mark,
    mark_of,
    marked_pages,
    protect_marked,
    unmark,
)
from procession.mm.vma import ANY_LOCK, PROT_WRITE, USER_HANDLES_WRITE

if TYPE_CHECKING:
    from procession.fs.file import File, UserMemory
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea

COPY, ZERO, CONTINUE, POISON = range(4)
"""How a page is filled."""

_WP_UNPOPULATED = int(UffdFeature.UFFD_FEATURE_WP_UNPOPULATED)
_ALLOW_HOLES = int(UffdMoveMode.UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES)


def is_shared_memory(area: VirtualMemoryArea) -> bool:
    """Whether it maps memory that processes can share: anonymous, or a file of a tmpfs.

    Linux: mm/shmem.c, vma_is_shmem.
    """
    if area.file is None:
        return area.is_shared
    if area.pages is None or area.pages.is_secret:
        # Of a device there is nothing but zeros.
        return False
    # What mm knows of an open file is less than what it is.
    superblock = cast("File", area.file).inode.superblock
    return isinstance(superblock, Tmpfs) and not isinstance(superblock, (Overlay, Ramfs))


def fill(
    context: UserFaultContext,
    start: int,
    length: int,
    kind: int,
    *,
    protects: bool,
    source: int = 0,
    memory: UserMemory | None = None,
) -> int:
    """Fill the pages of `length` bytes from `start`; how many bytes could be, at least a page's.

    COPY takes them from `source` in `memory`, the caller's. Raises ENOENT, EAGAIN, EINVAL, EEXIST, EFAULT,
    ENOMEM. Linux: mm/userfaultfd.c, mfill_atomic.
    """
    mm = context.mm
    area = mm.find(start)
    if area is None or start + length > area.end or area.user_faults is None:
        raise ENOENT("no registered area that holds all of it")
    if context.events:
        raise EAGAIN("the mappings are changing")
    if protects and not area.flags & USER_HANDLES_WRITE:
        raise EINVAL("writes to the area aren't the program's to handle")
    is_shared_memory_area = is_shared_memory(area)
    if not area.is_anonymous and not is_shared_memory_area:
        raise EINVAL("neither anonymous nor shared memory")
    if kind == CONTINUE and not is_shared_memory_area:
        raise EINVAL("only shared memory has pages that aren't mapped")
    done = 0
    try:
        while done < length:
            data = memory.read(source + done, PAGE_SIZE) if kind == COPY and memory is not None else b""
            _fill_page(mm, area, start + done, kind, data, protects=protects)
            mm.memory.note_filled()
            done += PAGE_SIZE
    except Errno:
        if not done:
            raise
    except OutOfFrames:
        if not done:
            raise ENOMEM from None
    return done


def _fill_page(
    mm: MemoryDescriptor, area: VirtualMemoryArea, address: int, kind: int, data: bytes, *, protects: bool
) -> None:
    """Fill one page. Raises EEXIST, EFAULT, EINVAL, OutOfFrames.

    Linux: mm/userfaultfd.c, mfill_atomic_pte.
    """
    page = address >> PAGE_SHIFT
    pages, index = area.pages, area.page_index(address)
    if index > area.last_index and pages is not None:
        # Only what looks for a page asks the file system first (Linux: mm/shmem.c, shmem_get_folio_gfp).
        raise EINVAL if kind == CONTINUE else EFAULT("past the end of what is mapped")
    if kind == CONTINUE and pages is not None and index not in pages.frames:
        raise EFAULT("no page that could be mapped")
    # What fills a page doesn't look at marks, but for those that leave no page of their own.
    is_marked = mark_of(mm, page) and (kind == POISON or (kind == ZERO and not area.is_shared))
    if mm.tables.entry(page) or is_marked:
        raise EEXIST("there is a page")
    if kind == POISON:
        mark(mm, [page], POISONED)
        return
    if kind != CONTINUE and area.is_shared and pages is not None and index in pages.frames:
        raise EEXIST("the file has a page there")
    leaf = mm.tables.own_leaf(page >> 9)
    if protects and not mark_of(mm, page) & PROTECTED:
        mark(mm, [page], PROTECTED)
    bits = area.entry_bits()
    if kind == CONTINUE and pages is not None:
        bits |= pte.CACHED
        if not area.is_shared:
            bits &= ~pte.WRITABLE
        entry = new_entry(mm, pages.frame(index), bits)
    elif area.is_shared and pages is not None:
        frame = pages.frame(index)
        if data:
            pages.write(index << PAGE_SHIFT, data)
        entry = new_entry(mm, frame, bits | pte.CACHED)
    elif kind == ZERO and pages is None and mm.memory.has_zero_page:
        if not area.anonymous_id:
            mm.prepare_anonymous(area)
        entry = zero_entry(mm, area, leaf)
    else:
        if not area.anonymous_id:
            mm.prepare_anonymous(area)
        entry = new_entry(mm, mm.memory.allocate_with(data), bits)
        mm.memory.counted[leaf][page & 511] = None
    mm.words[(leaf << 9) + (page & 511)] = entry & ~pte.WRITABLE if protects else entry
    unmark(mm, address, address + PAGE_SIZE, ALL_MARKS & ~PROTECTED if protects else ALL_MARKS)


def write_protect(context: UserFaultContext, start: int, length: int, *, protects: bool) -> None:
    """Protect pages from being written, or let them be. Raises ENOENT, EAGAIN, ENOMEM.

    Linux: mm/userfaultfd.c, mwriteprotect_range.
    """
    mm = context.mm
    if context.events:
        raise EAGAIN("the mappings are changing")
    areas = mm.areas_in(start, start + length)
    if not areas:
        raise ENOENT("nothing is mapped there")
    for area in areas:
        if not area.flags & USER_HANDLES_WRITE:
            raise ENOENT("writes to an area aren't the program's to handle")
        first, end = max(area.start, start), min(area.end, start + length)
        if not protects:
            unmark(mm, first, end)
            continue
        try:
            # What isn't there is marked too, if the page table of such an area has room for that on Linux, as
            # who handles its faults has said. That needn't be who protects.
            handler = area.user_faults
            assert isinstance(handler, UserFaultContext)
            pages: list[int] | range = range(first >> PAGE_SHIFT, end >> PAGE_SHIFT)
            if area.pages is None and not handler.has(_WP_UNPOPULATED):
                pages = mm.tables.present_pages(first >> PAGE_SHIFT, end >> PAGE_SHIFT)
            elif mm.page_marks is not None:
                # Nobody can write where there is a signal instead of a page (Linux: mm/mprotect.c,
                # change_pte_range).
                pages = [page for page in pages if not mark_of(mm, page) & (POISONED | GUARDED)]
            mark(mm, pages, PROTECTED)
            protect_marked(mm, first, end)
        except OutOfFrames:
            raise ENOMEM from None
        # A page's mark and its entry.
        mm.memory.note_changed(2 * (end - first >> PAGE_SHIFT))
        mm.memory.translations_changed(mm.tables.root, first, end)


def move_pages(context: UserFaultContext, target: int, source: int, length: int, mode: int) -> int:
    """Move private pages from `source` to `target`, where there are none; how many bytes could be.

    Raises ENOENT, EAGAIN, EINVAL, EEXIST, EBUSY, ENOMEM. Linux: mm/userfaultfd.c, move_pages.
    """
    mm = context.mm
    to, origin = mm.find(target), mm.find(source)
    if to is None or origin is None:
        raise ENOENT("nothing is mapped there")
    if context.events:
        raise EAGAIN("the mappings are changing")
    if to.is_shared or origin.is_shared or source + length > origin.end or target + length > to.end:
        raise EINVAL("not private, or not one area")
    if (
        to.protection != origin.protection
        or not origin.protection & PROT_WRITE
        or (to.flags ^ origin.flags) & ANY_LOCK
        or to.user_faults is not context
        or not to.is_anonymous
        or not origin.is_anonymous
    ):
        raise EINVAL("areas between which nothing can be moved")
    allows_holes = bool(mode & _ALLOW_HOLES)
    pages = _not_holes(mm, target, source, length) if allows_holes else range(length >> PAGE_SHIFT)
    done = 0
    try:
        for page in pages:
            done = page << PAGE_SHIFT
            _move_page(mm, source + done, target + done, allows_holes=allows_holes)
        done = length
    except Errno:
        if not done:
            raise
    except OutOfFrames:
        if not done:
            raise ENOMEM from None
    finally:
        mm.memory.translations_changed(mm.tables.root, source, source + length)
    return done


def _not_holes(mm: MemoryDescriptor, target: int, source: int, length: int) -> list[int]:
    """Which pages of a move aren't just holes, of which large areas have many: their places in it."""
    present, first, to = mm.tables.present_pages, source >> PAGE_SHIFT, target >> PAGE_SHIFT
    count = length >> PAGE_SHIFT
    places = {page - first for page in present(first, first + count)}
    places.update(page - to for page in present(to, to + count))
    places.update(page - to for page in marked_pages(mm, target, target + length))
    return sorted(places)


def _move_page(mm: MemoryDescriptor, source: int, target: int, *, allows_holes: bool) -> None:
    """Raises EEXIST, ENOENT, EBUSY, OutOfFrames. Linux: mm/userfaultfd.c, move_pages_pte."""
    page, to = source >> PAGE_SHIFT, target >> PAGE_SHIFT
    if mm.tables.entry(to) or mark_of(mm, to):
        raise EEXIST("there is a page")
    entry = mm.tables.entry(page)
    if not entry:
        if not allows_holes:
            raise ENOENT("no page to move")
        return
    mm.tables.own_leaf(page >> 9)
    mm.tables.own_leaf(to >> 9)
    if mm.memory.references[(entry & pte.ADDRESS_MASK) >> PAGE_SHIFT] > 1:
        raise EBUSY("somebody else has the page too")
    mm.tables.move([page], target - source)
    unmark(mm, source, source + PAGE_SIZE)
