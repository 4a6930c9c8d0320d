"""/proc/kpagecount, kpageflags and kpagecgroup: for each page frame of the machine by how many entries it's
mapped, what it is used for, and which control group it's charged to."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from procession.abi.errno import EINVAL, EIO
from procession.abi.page_flags import KernelPageFlag
from procession.abi.word import pack_array
from procession.fs.file import File, PositionedFile
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, ZERO_FRAME
from procession.kernel.cgroup.memory import MemoryCounter
from procession.kernel.time.costs import SEEN_FRAME_NS, SHOWN_PAGE_NS
from procession.mm.vma import ANY_LOCK
from procession.procfs.inode import refuse_mapping
from procession.procfs.process_memory import area_entries, is_anonymous, seek_memory
from procession.procfs.zones import FIRST_PFN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.page_cache import PageCache

_ENTRY_BYTES = 8
_MOST_ENTRIES = 8192
"""So many frames are shown by one read: who asks for more gets these."""
_FREE = 1 << KernelPageFlag.KPF_BUDDY
_OF_OBJECTS = 1 << KernelPageFlag.KPF_SLAB
_TABLE = 1 << KernelPageFlag.KPF_PGTABLE
_USED = 1 << KernelPageFlag.KPF_UPTODATE | 1 << KernelPageFlag.KPF_LRU
_MAPPED = 1 << KernelPageFlag.KPF_MMAP
_IN_MEMORY = 1 << KernelPageFlag.KPF_SWAPBACKED
_ANONYMOUS = 1 << KernelPageFlag.KPF_ANON | _IN_MEMORY
_RESERVED = 1 << 32
"""KPF_RESERVED, which Linux tells its own developers alone, as KPF_MLOCKED."""
_ZERO_PAGE = 1 << KernelPageFlag.KPF_ZERO_PAGE
_LOCKED = 1 << KernelPageFlag.KPF_UNEVICTABLE | 1 << 33


def open_page_counts(kernel: Kernel, path: Path, flags: int, subject: Subject) -> File:
    """Open /proc/kpagecount."""
    return PageCountFile(path, flags, subject, kernel)


def open_page_flags(kernel: Kernel, path: Path, flags: int, subject: Subject) -> File:
    """Open /proc/kpageflags."""
    return PageFlagFile(path, flags, subject, kernel)


def open_page_groups(kernel: Kernel, path: Path, flags: int, subject: Subject) -> File:
    """Open /proc/kpagecgroup."""
    return PageGroupFile(path, flags, subject, kernel)


class FramesFile(PositionedFile):
    """An open file that has 64 bits for each frame; `of_reserved` is what those below FIRST_PFN have."""

    __slots__ = ("kernel",)

    takes_read_flags: ClassVar[bool] = False
    of_reserved: ClassVar[int] = 0

    def __init__(self, path: Path, flags: int, subject: Subject, kernel: Kernel) -> None:
        super().__init__(path, flags, subject)
        self.kernel = kernel

    def mappable(self) -> PageCache | None:
        return refuse_mapping()

    def check_message(self, length: int) -> None:
        raise EIO("there is nothing to write")

    def write(self, data: bytes) -> int:
        raise EIO("there is nothing to write")

    def write_at(self, offset: int, data: bytes) -> int:
        raise EIO("there is nothing to write")

    def read_at(self, offset: int, length: int) -> bytes:
        if offset % _ENTRY_BYTES or length % _ENTRY_BYTES:
            raise EINVAL("no whole entries")
        first = offset // _ENTRY_BYTES
        end = FIRST_PFN + self.kernel.memory.frame_count
        count = min(length // _ENTRY_BYTES, _MOST_ENTRIES, max(end - first, 0))
        if not count:
            return b""
        self.kernel.clock.spend(count * SHOWN_PAGE_NS)
        frames = range(max(first - FIRST_PFN, 0), first - FIRST_PFN + count)
        before = [self.of_reserved] * (count - len(frames))
        return pack_array("Q", [*before, *(self.entries(frames) if frames else ())])

    def entries(self, frames: range) -> Iterable[int]:
        """What is shown for `frames`, of which there are some."""
        raise NotImplementedError

    def seek(self, offset: int, whence: int) -> int:
        return seek_memory(self, offset, whence)


class PageCountFile(FramesFile):
    """An open /proc/kpagecount: how many entries of page tables map each frame.

    Linux: fs/proc/page.c, kpagecount_read.
    """

    __slots__ = ()

    def entries(self, frames: range) -> Iterable[int]:
        memory = self.kernel.memory
        counts = [0] * len(frames)
        sharers: dict[int, int] = {}
        for mm in address_spaces(self.kernel):
            for leaf in mm.leaves.values():
                sharers[leaf] = sharers.get(leaf, 0) + 1
        self.kernel.clock.spend(len(sharers) * pte.ENTRIES * SEEN_FRAME_NS)
        for leaf, count in sharers.items():
            base = leaf * pte.ENTRIES
            for entry in memory.words[base : base + pte.ENTRIES].tolist():
                if entry & pte.PRESENT:
                    frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
                    if frame in frames and frame != ZERO_FRAME:
                        counts[frame - frames.start] += count
        return counts


class PageFlagFile(FramesFile):
    """An open /proc/kpageflags: KPF_* of each frame. What the kernel doesn't keep track of isn't said: which
    pages are active or were referenced. Linux: fs/proc/page.c, stable_page_flags.
    """

    __slots__ = ()

    of_reserved: ClassVar[int] = _RESERVED

    def entries(self, frames: range) -> Iterable[int]:
        memory = self.kernel.memory
        references = memory.references
        found = [_USED if references[frame] else _FREE for frame in frames]
        for frame in (*memory.held, *range(max(memory.fresh_end, frames.start), frames.stop)):
            if frame in frames:
                found[frame - frames.start] = _OF_OBJECTS
        if not frames.start:
            found[ZERO_FRAME] = _RESERVED | _ZERO_PAGE
        seen: set[int] = set()
        page_count = 0
        for mm in address_spaces(self.kernel):
            tables = mm.tables
            leaves = mm.leaves.values()
            for frame in (tables.root, *tables.upper.values(), *tables.middle.values(), *leaves):
                if frame in frames:
                    found[frame - frames.start] = _TABLE
            if not seen.issuperset(leaves):
                page_count += _note_mapped(mm, frames, found, seen)
                seen.update(leaves)
        self.kernel.clock.spend(page_count * SHOWN_PAGE_NS)
        return found


def _note_mapped(mm: MemoryDescriptor, frames: range, found: list[int], seen: set[int]) -> int:
    """Add to the flags `found` of `frames` what the tables of `mm` say, but for those `seen` already.

    The result is how many pages were looked at, and areas without any that weren't seen.
    """
    page_count = 0
    for area in mm.areas:
        regions = mm.tables.regions(area.start >> PAGE_SHIFT, area.end >> PAGE_SHIFT)
        if seen.issuperset(mm.leaves[region] for region in regions):
            # As of most areas of a process that was forked from one that has been looked at.
            page_count += 1
            continue
        is_in_memory = area.pages is None or area.pages.backing is None
        locked = _LOCKED if area.flags & ANY_LOCK else 0
        entries = area_entries(mm, area)
        page_count += len(entries)
        for page, entry in entries:
            frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
            if frame not in frames or mm.leaves[page >> 9] in seen:
                continue
            flags = _MAPPED | locked
            if is_anonymous(area, page, entry):
                flags |= _ANONYMOUS
            elif is_in_memory:
                flags |= _IN_MEMORY
            found[frame - frames.start] |= flags
    return page_count


def address_spaces(kernel: Kernel) -> Iterable[MemoryDescriptor]:
    """All that there are."""
    spaces = kernel.memory.address_spaces
    kernel.clock.spend(len(spaces) * SHOWN_PAGE_NS)
    return cast("Iterable[MemoryDescriptor]", list(spaces))


class PageGroupFile(FramesFile):
    """An open /proc/kpagecgroup: the number of the group's directory, 0 where the frame isn't in use.

    Linux: fs/proc/page.c, kpagecgroup_read.
    """

    __slots__ = ()

    def entries(self, frames: range) -> Iterable[int]:
        return [self._number(frame) for frame in frames]

    def _number(self, frame: int) -> int:
        """Linux: mm/memcontrol.c, page_cgroup_ino."""
        memory = self.kernel.memory
        if not memory.references[frame]:
            return 0
        owner = memory.owners.get(frame)
        if not isinstance(owner, MemoryCounter):
            return self.kernel.cgroups.root.number
        for group in owner.group.ancestors():
            if not group.is_dead:
                return group.number
        return 0
