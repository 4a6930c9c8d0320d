"""Files of a process about its single pages: pagemap, clear_refs, numa_maps; and map_files."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from procession.abi.errno import EINVAL, ENOENT, EPERM, ERANGE, ESRCH
from procession.abi.word import pack_array
from procession.fs.dentry import absolute_path
from procession.fs.file import File, PositionedFile
from procession.fs.inode import S_IFLNK, DirectoryEntry, Inode
from procession.fs.mounts.context import parse_number
from procession.fs.permission import CAP_SYS_ADMIN
from procession.fs.shared_anonymous import path_of
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, STALE_TRANSLATIONS, ZERO_FRAME
from procession.kernel.security.ptrace_access import has_memory
from procession.kernel.time.costs import SEEN_FRAME_NS, SHOWN_PAGE_NS
from procession.mm.policy import policy_text
from procession.mm.reverse_map import MapCounts
from procession.mm.user_fault import GUARDED, PROTECTED, mark_of, marked_pages
from procession.mm.vma import GROWS_DOWN, SharedAnonymous
from procession.procfs.access import may_inspect, reader_root, require_inspection
from procession.procfs.inode import FixedPositionFile, ProcDirectory
from procession.procfs.magic_link import MagicLink, name_to_read
from procession.procfs.page_scan import PAGEMAP_SCAN, scan_pages
from procession.procfs.parse_integer import INT_MAX, NUMBER_SIZE
from procession.procfs.process_memory import LAST_PAGE, area_entries, is_anonymous, seek_memory
from procession.procfs.zones import FIRST_PFN

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea
    from procession.procfs.file_system import ProcFileSystem

_ENTRY_BYTES = 8
_CHUNK_ENTRIES = 1 << 15
_EXCLUSIVE, _PROTECTED, _GUARDED = 1 << 56, 1 << 57, 1 << 58
_OF_FILE, _SWAPPED, _PRESENT = 1 << 61, 1 << 62, 1 << 63
_SWAP_AREA_BITS, _MARKERS = 5, 31
"""Where a page is swapped to: a number of an area, that of none for marks (SWP_PTE_MARKER), and a place."""
_FIRST_KIND, _SOFT_DIRTY, _PEAK = 1, 4, 5
"""What may be written to clear_refs: from which pages the mark of use is taken, and two other things."""
_OF_ANONYMOUS, _OF_FILES = 2, 3


class PageMapFile(PositionedFile):
    """An open /proc/PID/pagemap: 64 bits for each page. Linux: fs/proc/task_mmu.c, pagemap_read."""

    __slots__ = ("mm", "shows_frames")

    can_poll = False
    is_copied_whole: ClassVar[bool] = True
    takes_read_flags = False
    has_write: ClassVar[bool] = False

    def __init__(self, path: Path, flags: int, subject: Subject, mm: MemoryDescriptor) -> None:
        super().__init__(path, flags, subject)
        self.mm = mm
        self.shows_frames = subject.has_capability(CAP_SYS_ADMIN)

    def read_at(self, offset: int, length: int) -> bytes:
        if offset % _ENTRY_BYTES or length % _ENTRY_BYTES:
            raise EINVAL("no whole entries")
        first = offset // _ENTRY_BYTES
        count = min(length // _ENTRY_BYTES, _CHUNK_ENTRIES, max(LAST_PAGE - first, 0))
        mm = self.mm
        if mm.reference_count <= 0 or not count:
            return b""
        system = cast("ProcFileSystem", self.inode.superblock)
        entries = [0] * count
        map_counts = MapCounts(mm.memory)
        # The page of zeros is nobody's: no more is said of it, as vm_normal_page finds none there.
        of_zeros = _PRESENT | self._pfn(ZERO_FRAME)
        for page in mm.tables.present_pages(first, first + count):
            entries[page - first] = of_zeros
        for area in mm.areas_in(first << PAGE_SHIFT, first + count << PAGE_SHIFT):
            found = area_entries(mm, area, first, first + count)
            for (page, entry), sharers in zip(found, map_counts.of(mm, area, found), strict=True):
                entries[page - first] = self._entry(area, page, entry, sharers)
        for page in marked_pages(mm, first << PAGE_SHIFT, first + count << PAGE_SHIFT):
            entries[page - first] = self._marked(entries[page - first], mark_of(mm, page))
        system.kernel.clock.spend(count * SHOWN_PAGE_NS + map_counts.seen_count * SEEN_FRAME_NS)
        return pack_array("Q", entries)

    def _entry(self, area: VirtualMemoryArea, page: int, entry: int, sharers: int) -> int:
        """Linux: fs/proc/task_mmu.c, pte_to_pagemap_entry."""
        frame = (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT
        shown = _PRESENT | (0 if is_anonymous(area, page, entry) else _OF_FILE)
        if sharers <= 1:
            shown |= _EXCLUSIVE
        return shown | self._pfn(frame)

    def _pfn(self, frame: int) -> int:
        return FIRST_PFN + frame if self.shows_frames else 0

    def _marked(self, shown: int, marks: int) -> int:
        """What is marked without being there has an entry like those of swapped pages."""
        if not shown:
            shown = _SWAPPED | (_MARKERS | marks << _SWAP_AREA_BITS if self.shows_frames else 0)
        return shown | (_PROTECTED if marks & PROTECTED else 0) | (_GUARDED if marks & GUARDED else 0)

    def seek(self, offset: int, whence: int) -> int:
        return seek_memory(self, offset, whence)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: fs/proc/task_mmu.c, do_pagemap_cmd."""
        if request != PAGEMAP_SCAN:
            raise EINVAL
        count, seen_count = scan_pages(self.mm, argument, memory)
        system = cast("ProcFileSystem", self.inode.superblock)
        system.kernel.clock.spend(seen_count * SEEN_FRAME_NS)
        return count


class ClearRefsFile(FixedPositionFile):
    """An open /proc/PID/clear_refs, which is only written."""

    __slots__ = ()

    has_read: ClassVar[bool] = False


def store_clear_refs(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """/proc/PID/clear_refs: forget that pages were used (1: all, 2: the process's own, 3: of files), or the
    highest resident size (5). Nothing keeps track of soft-dirty pages (4), as without CONFIG_MEM_SOFT_DIRTY.

    Linux: fs/proc/task_mmu.c, clear_refs_write.
    """
    kind = parse_number(data[:NUMBER_SIZE].partition(b"\0")[0].strip(), 10)
    if kind is not None and kind > INT_MAX:
        raise ERANGE("too large a number")
    if kind is None or not _FIRST_KIND <= kind <= _PEAK:
        raise EINVAL("1 to 5")
    if not has_memory(task):
        raise ESRCH
    mm = task.mm
    if kind == _PEAK:
        mm.peak_resident_pages = mm.resident_pages
        return
    if kind == _SOFT_DIRTY:
        return
    mm.note_areas(mm.areas.length)
    for area in mm.areas:
        if (kind == _OF_ANONYMOUS and area.file is not None) or (kind == _OF_FILES and area.file is None):
            continue
        entries = area_entries(mm, area)
        mm.memory.note_changed(len(entries))
        for page, entry in entries:
            mm.words[(mm.leaves[page >> 9] << 9) + (page & 511)] = entry & ~pte.ACCESSED
    mm.memory.stale |= STALE_TRANSLATIONS


def show_nothing(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """A file that is for writing only. Linux: fs/proc/task_mmu.c, proc_clear_refs_operations."""
    raise EINVAL("for writing only")


def show_merging_pages(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/ksm_merging_pages: equal pages are never merged (`mm.ksm`).

    Linux: fs/proc/base.c, proc_pid_ksm_merging_pages.
    """
    return b"0\n" if has_memory(task) else b""


def show_merge_counts(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/ksm_stat. Linux: fs/proc/base.c, proc_pid_ksm_stat."""
    if not has_memory(task):
        return b""
    names = (b"ksm_rmap_items", b"ksm_zero_pages", b"ksm_merging_pages", b"ksm_process_profit")
    return b"".join(name + b" 0\n" for name in names)


def show_numa_maps(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/numa_maps. Linux: fs/proc/task_mmu.c, show_numa_map."""
    if not has_memory(task):
        return b""
    mm, root = task.mm, reader_root(system, task)
    lines: list[bytes] = []
    map_counts = MapCounts(mm.memory)
    for area in mm.areas:
        policy = area.policy_at(area.start) or task.memory_policy
        line = b"%08x %s" % (area.start, policy_text(policy))
        file = cast("File | None", area.file)
        if file is not None:
            line += b" file=" + absolute_path(file.path, root)
        elif area.name == b"[heap]":
            line += b" heap"
        elif area.flags & GROWS_DOWN:
            line += b" stack"
        counts, page_count = _page_counts(map_counts, mm, area)
        system.kernel.clock.spend(page_count * SHOWN_PAGE_NS)
        lines.append(line + counts + b"\n")
    system.kernel.clock.spend(map_counts.seen_count * SEEN_FRAME_NS)
    return b"".join(lines)


def _page_counts(map_counts: MapCounts, mm: MemoryDescriptor, area: VirtualMemoryArea) -> tuple[bytes, int]:
    """How many pages there are, of which kinds, and where; and their number."""
    entries = area_entries(mm, area)
    if not entries:
        return b"", 0
    own = sum(1 for page, entry in entries if is_anonymous(area, page, entry))
    is_memory = area.pages is None or area.pages.backing is None
    dirty = len(entries) if is_memory else own
    counts = b""
    if own:
        counts += b" anon=%d" % own
    if dirty:
        counts += b" dirty=%d" % dirty
    if len(entries) not in (own, dirty):
        counts += b" mapped=%d" % len(entries)
    most = max(map_counts.of(mm, area, entries))
    if most > 1:
        counts += b" mapmax=%d" % most
    return counts + b" N0=%d kernelpagesize_kB=4" % len(entries), len(entries)


class MappedFilesDirectory(ProcDirectory):
    """/proc/PID/map_files: a magic link for each mapping of a file. Linux: fs/proc/base.c."""

    __slots__ = ("task",)

    caches_lookups = False

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task) -> None:
        super().__init__(superblock, number, 0o500)
        self.task = task

    def needs_reference(self, name: bytes) -> bool:
        """Linux: fs/proc/base.c, map_files_d_revalidate."""
        return True

    def lookup(self, name: bytes) -> Inode:
        # Linux: fs/proc/base.c, proc_map_files_lookup.
        current = self.proc.kernel.current
        if current is not None and not may_inspect(current.credentials, self.task):
            raise ENOENT
        permissions = _permissions(_mapped_at(self.task, name))
        return MappedFileLink(self.proc, self.number, self.task, name, permissions)

    def list_entries(self) -> list[DirectoryEntry]:
        current = self.proc.kernel.current
        if current is not None:
            require_inspection(current.credentials, self.task)
        if not has_memory(self.task):
            return []
        return [
            DirectoryEntry(b"%x-%x" % (area.start, area.end), self.number, S_IFLNK >> 12)
            for area in self.task.mm.areas
            if _is_of_file(area)
        ]


def _is_of_file(area: VirtualMemoryArea) -> bool:
    """Whether it maps a file, as which shared anonymous memory counts."""
    return area.file is not None or isinstance(area.pages, SharedAnonymous)


def _mapped_at(task: Task, name: bytes) -> VirtualMemoryArea:
    """The mapping of a file that a name in map_files means. Raises ENOENT. Linux: fs/proc/base.c,
    dname_to_vma_addr.
    """
    first, _, _ = name.partition(b"-")
    if has_memory(task) and len(name) < 40:
        try:
            area = task.mm.find(int(first, 16))
        except ValueError:
            raise ENOENT from None
        if area is not None and _is_of_file(area) and name == b"%x-%x" % (area.start, area.end):
            return area
    raise ENOENT


def _permissions(area: VirtualMemoryArea) -> int:
    """How the file behind `area` is open, whatever the mapping allows: criu opens it so again.

    Linux: fs/proc/base.c, proc_map_files_instantiate.
    """
    file = cast("File | None", area.file)
    if file is None:
        return 0o600
    return (0o400 if file.is_readable else 0) | (0o200 if file.is_writable else 0)


class MappedFileLink(MagicLink):
    """A link in map_files."""

    __slots__ = ("name",)

    def __init__(
        self, superblock: ProcFileSystem, number: int, task: Task, name: bytes, permissions: int
    ) -> None:
        super().__init__(superblock, number, task, permissions)
        self.name = name
        self.size = 64

    def revalidate(self) -> bool:
        """Linux: fs/proc/base.c, map_files_d_revalidate."""
        current = self.proc.kernel.current
        if current is not None and not may_inspect(current.credentials, self.task):
            return False
        try:
            _mapped_at(self.task, self.name)
        except ENOENT:
            return False
        return True

    def target(self) -> Path:
        area = _mapped_at(self.task, self.name)
        pages = area.pages
        if area.file is None and isinstance(pages, SharedAnonymous):
            return path_of(self.proc.kernel.vfs, pages)
        return cast("File", area.file).path

    def follow_magic_link(self) -> Path:
        # Who may follow reaches files that the process itself couldn't open any more. Linux:
        # fs/proc/base.c, proc_map_files_get_link.
        kernel = self.proc.kernel
        current = kernel.current
        if current is not None and not current.credentials.may_checkpoint(kernel.vfs.init_user_namespace):
            raise EPERM("takes CAP_CHECKPOINT_RESTORE")
        return self.target()

    def readlink(self) -> bytes:
        return name_to_read(self.target(), reader_root(self.proc, self.task))
