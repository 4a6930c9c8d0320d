"""What madvise(2) throws away: at once, or when who handles the faults there has been told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EPERM
from procession.abi.open_flags import FallocateFlag
from procession.fs.file import File
from procession.fs.file_events import note_modification
from procession.fs.inode import APPEND_ONLY, IMMUTABLE
from procession.hardware.kernel_memory import USER_FAULT, USER_FAULT_EVENT_BYTES
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.kernel.task import Unfinished
from procession.kernel.userfault.unfinished import finish_later
from procession.mm.user_fault import POISONED, PROTECTED, unmark

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import MappedFile, VirtualMemoryArea

_HOLE = int(FallocateFlag.FALLOC_FL_PUNCH_HOLE | FallocateFlag.FALLOC_FL_KEEP_SIZE)


class PendingRemoval(Unfinished):
    """Pages that go before the call returns, from `start` to `end_address`.

    `is_hole` says that their file loses them too, `is_lazy` that they go when memory is short.
    """

    __slots__ = ("end_address", "is_hole", "is_lazy", "mm", "start")

    def __init__(self, mm: MemoryDescriptor, start: int, end: int, *, is_hole: bool, is_lazy: bool) -> None:
        self.size = USER_FAULT_EVENT_BYTES
        mm.memory.account.charge(USER_FAULT, self.size)
        self.mm = mm
        self.start = start
        self.end_address = end
        self.is_hole = is_hole
        self.is_lazy = is_lazy

    def finish(self) -> None:
        """Remove what is mapped there by now. Linux: mm/madvise.c, madvise_dontneed_free."""
        mm = self.mm
        if not mm.reference_count:
            return
        for area in mm.areas_in(self.start, self.end_address):
            start, end = max(area.start, self.start), min(area.end, self.end_address)
            _remove(mm, area, start, end, is_hole=self.is_hole, is_lazy=self.is_lazy)

    def end(self) -> None:
        self.mm.memory.account.uncharge(USER_FAULT, self.size)


def remove_pages(
    task: Task, area: VirtualMemoryArea, start: int, end: int, *, is_hole: bool = False, is_lazy: bool = False
) -> None:
    """Throw away the pages of `area` from `start` to `end`; with `is_hole` from its file, too, and if it
    `is_lazy` only when memory is short.

    Who is to hear of it hears first, and may look at them until it has read of it.
    Raises OutOfFrames, EPERM, EOPNOTSUPP.
    Linux: mm/madvise.c, madvise_dontneed_free, madvise_remove; fs/userfaultfd.c, userfaultfd_remove.
    """
    handler = area.user_faults
    if handler is not None and handler.removed(start, end):
        finish_later(task, PendingRemoval(task.mm, start, end, is_hole=is_hole, is_lazy=is_lazy))
    else:
        _remove(task.mm, area, start, end, is_hole=is_hole, is_lazy=is_lazy)


def _remove(
    mm: MemoryDescriptor, area: VirtualMemoryArea, start: int, end: int, *, is_hole: bool, is_lazy: bool
) -> None:
    if is_lazy:
        if mm.page_marks is not None:
            unmark(mm, start, end, POISONED)
        if mm.tables.free_lazily(start, end):
            mm.memory.translations_changed(mm.tables.root, start, end)
    elif not is_hole:
        mm.zap(start, end, dropped_marks=POISONED if area.pages is not None else POISONED | PROTECTED)
    else:
        first = area.page_index(start) << PAGE_SHIFT
        if area.file is not None:
            _punch_hole(area.file, first, end - start)
        elif area.pages is not None:
            area.pages.zero(first, first + end - start)


def _punch_hole(file: MappedFile, offset: int, length: int) -> None:
    """What fallocate(2) does, with what it refuses: what a seal, say, keeps from being changed.

    Raises EPERM, EOPNOTSUPP. Linux: mm/madvise.c, madvise_remove.
    """
    assert isinstance(file, File)
    if file.inode.flags & (IMMUTABLE | APPEND_ONLY):
        raise EPERM("the file is immutable, or only appended to")
    file.allocate(_HOLE, offset, length)
    note_modification(file)
