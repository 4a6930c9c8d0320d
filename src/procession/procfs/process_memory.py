"""The memory of a process in proc: maps, smaps, the strings that exec left, mem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from procession.abi.device_numbers import device_major, device_minor
from procession.abi.errno import EINVAL, EIO, ESRCH
from procession.abi.named_tuple import NamedTuple
from procession.abi.word import wrap_signed
from procession.fs.dentry import absolute_path
from procession.fs.file import SEEK_CUR, SEEK_SET, File, PositionedFile
from procession.fs.memfd import shared_memory_mount
from procession.fs.shared_anonymous import NAME, inode_of
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE
from procession.kernel.program.exec import ARG_MAXIMUM
from procession.kernel.security.ptrace_access import has_memory
from procession.kernel.time.costs import (
    SEEN_FRAME_NS,
    SHOWN_AREA_NS,
    SHOWN_PAGE_NS,
    USED_TABLE_NS,
    USED_TABLES,
)
from procession.mm.dump import DUMP_FILTER_BITS
from procession.mm.huge_pages import is_eligible
from procession.mm.peek import peek
from procession.mm.remote_access import read_forced, write_forced
from procession.mm.reverse_map import MapCounts
from procession.mm.vma import (
    ACCOUNTED,
    DONT_DUMP,
    DONT_EXPAND,
    DONT_FORK,
    DROPPABLE,
    GROWS_DOWN,
    HUGE_PAGES,
    LOCKED,
    LOCKED_ON_FAULT,
    MAY_HAVE_GUARDS,
    MERGEABLE,
    NO_HUGE_PAGES,
    NO_RESERVE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    RANDOM_READ,
    SEALED,
    SEQUENTIAL_READ,
    USER_HANDLES_MINOR,
    USER_HANDLES_MISSING,
    USER_HANDLES_WRITE,
    WIPE_ON_FORK,
    SharedAnonymous,
    VirtualMemoryArea,
)
from procession.mm.vsyscall import GATE
from procession.procfs.access import reader_root
from procession.procfs.parse_integer import INTEGER_SIZE, parse_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.kernel.time.clock import Clock
    from procession.mm.address_space import MemoryDescriptor
    from procession.procfs.file_system import ProcFileSystem

HEADER_WIDTH: Final = 72
"""How far the lines of maps are padded before a space and the name.

Linux: fs/proc/task_mmu.c, show_vma_header_prefix.
"""
MEM_CHUNK: Final = 1 << 20
_LAST_ADDRESS: Final = (1 << 64) - 1
UINT_MAX: Final = 0xFFFFFFFF
PAGE_KB: Final = PAGE_SIZE >> 10
PROPORTIONAL_SHIFT: Final = 12


ANONYMOUS, FILE, SHARED = range(3)
LAST_PAGE: Final = pte.USER_END >> PAGE_SHIFT


class ResidentPages(NamedTuple):
    """How many pages are resident of each kind: private memory, pages of files, shared memory."""

    anonymous: int
    file: int
    shared_memory: int


def seek_memory(file: File, offset: int, whence: int) -> int:
    """lseek(2) in what has no end. Raises EINVAL. Linux: fs/proc/base.c, mem_lseek."""
    if whence == SEEK_CUR:
        offset += file.position
    elif whence != SEEK_SET:
        raise EINVAL
    # Those of the upper half are negative, as what the call returns.
    file.position = offset = wrap_signed(offset, 64)
    return offset


def area_entries(
    mm: MemoryDescriptor, area: VirtualMemoryArea, begin: int = 0, end: int = LAST_PAGE
) -> list[tuple[int, int]]:
    """The resident pages of `area`, from `begin` to before `end`: their numbers and table entries. That of
    zeros is none.
    """
    found: list[tuple[int, int]] = []
    words = mm.words
    first, last = max(area.start >> PAGE_SHIFT, begin), min(area.end >> PAGE_SHIFT, end)
    for region in mm.tables.regions(first, last):
        pages = range(max(first, region << 9), min(last, (region + 1) << 9))
        base = (mm.leaves[region] << 9) - (region << 9)
        found += [(page, entry) for page in pages if (entry := words[base + page]) & pte.ADDRESS_MASK]
    return found


def is_anonymous(area: VirtualMemoryArea, page: int, entry: int) -> bool:
    """Whether the resident `page` is the process's own: no file's, or a copy of a file's page."""
    if area.pages is None:
        return True
    if area.is_shared:
        return False
    index = area.page_index(page << PAGE_SHIFT)
    return area.pages.frames.get(index) != (entry & pte.ADDRESS_MASK) >> PAGE_SHIFT


def resident_entries(mm: MemoryDescriptor) -> Iterator[tuple[int, list[int]]]:
    """The table entries of the resident pages, area by area, with their kind: ANONYMOUS, FILE, SHARED."""
    for area in mm.areas:
        entries = area_entries(mm, area)
        if area.pages is None:
            yield ANONYMOUS, [entry for _, entry in entries]
        elif type(area.pages) is SharedAnonymous:
            yield SHARED, [entry for _, entry in entries]
        else:
            # The pages of tmpfs, which have nothing behind them, are shared memory.
            of_file = SHARED if area.pages.backing is None else FILE
            private = [is_anonymous(area, page, entry) for page, entry in entries]
            yield ANONYMOUS, [entry for (_, entry), own in zip(entries, private, strict=True) if own]
            yield of_file, [entry for (_, entry), own in zip(entries, private, strict=True) if not own]


def resident_pages(clock: Clock, mm: MemoryDescriptor) -> ResidentPages:
    """The resident pages of `mm` by kind: as many as `resident_entries` has, but without its lists."""
    more = mm.areas.length + len(mm.leaves) - USED_TABLES
    if more > 0:
        clock.spend(more * USED_TABLE_NS)
    counts = [0, 0, 0]
    words, leaves = mm.words, mm.leaves
    for area in mm.areas:
        pages = area.pages
        frames = None if pages is None or area.is_shared else pages.frames
        first, last = area.start >> PAGE_SHIFT, area.end >> PAGE_SHIFT
        resident = of_file = 0
        for region in mm.tables.regions(first, last):
            start, end = max(first, region << 9), min(last, (region + 1) << 9)
            base = (leaves[region] << 9) - (region << 9)
            entries = words[base + start : base + end].tolist()
            resident += len(entries) - entries.count(0)
            resident -= mm.tables.zeros_in(region, start & 511, end - (region << 9))
            if frames is not None:
                of_file += _shared_with_file(entries, frames, area.page_offset + start - first)
        if pages is None:
            counts[ANONYMOUS] += resident
        elif type(pages) is SharedAnonymous:
            counts[SHARED] += resident
        else:
            if frames is None:
                of_file = resident
            counts[ANONYMOUS] += resident - of_file
            counts[SHARED if pages.backing is None else FILE] += of_file
    return ResidentPages(*counts)


def _shared_with_file(entries: list[int], frames: dict[int, int], index: int) -> int:
    """How many of `entries`, from page `index` of a file on, lead to the frames that the file has."""
    frame_of, mask = frames.get, pte.ADDRESS_MASK
    return len(
        [
            entry
            for page, entry in enumerate(entries, index)
            if entry and frame_of(page) == (entry & mask) >> PAGE_SHIFT
        ]
    )


def area_place(area: VirtualMemoryArea, root: Path) -> tuple[int, int, int, bytes]:
    """What an area maps: the device, the inode's number, the offset in bytes, and its name below `root`.

    Linux: fs/proc/task_mmu.c, get_vma_name.
    """
    device = number = offset = 0
    name = area.name
    # What mm knows of an open file is less than what it is.
    file = cast("File | None", area.file)
    if file is not None:
        device, number = file.inode.superblock.device, file.inode.number
        offset = area.page_offset << PAGE_SHIFT
        name = absolute_path(file.path, root)
    elif type(area.pages) is SharedAnonymous:
        vfs = root.mount.superblock.vfs
        device, number = shared_memory_mount(vfs).superblock.device, inode_of(vfs, area.pages).number
        name = area.name or NAME
        offset = area.page_offset << PAGE_SHIFT
    return device, number, offset, name


def area_header(area: VirtualMemoryArea, root: Path) -> bytes:
    """The line of `area` in maps. Linux: fs/proc/task_mmu.c, show_map_vma."""
    protection = area.protection
    rights = b"%s%s%s%s" % (
        b"r" if protection & PROT_READ else b"-",
        b"w" if protection & PROT_WRITE else b"-",
        b"x" if protection & PROT_EXEC else b"-",
        b"s" if area.is_shared else b"p",
    )
    device, number, offset, name = area_place(area, root)
    name = name.replace(b"\n", b"\\012")
    line = b"%08x-%08x %s %08x %02x:%02x %d " % (
        area.start,
        area.end,
        rights,
        offset,
        device_major(device),
        device_minor(device),
        number,
    )
    if name:
        line = line.ljust(HEADER_WIDTH) + b" " + name
    return line + b"\n"


def show_maps(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/maps. Linux: fs/proc/task_mmu.c, show_map."""
    if not has_memory(task):
        return b""
    root = reader_root(system, task)
    return b"".join(area_header(area, root) for area in task.mm.areas) + area_header(GATE, root)


class AreaUse(NamedTuple):
    """What smaps says of one area, in kB; the proportional sizes, which share pages, in kB / 4096."""

    shared_clean: int
    shared_dirty: int
    private_clean: int
    private_dirty: int
    anonymous: int
    proportional_anonymous: int
    proportional_file: int
    proportional_shared_memory: int
    proportional_dirty: int
    referenced: int
    lazily_freed: int

    @property
    def resident(self) -> int:
        """All pages, in kB."""
        return self.shared_clean + self.shared_dirty + self.private_clean + self.private_dirty

    @property
    def proportional(self) -> int:
        """All pages by share, in kB."""
        return (
            self.proportional_anonymous + self.proportional_file + self.proportional_shared_memory
        ) >> PROPORTIONAL_SHIFT


_SIZES: Final = b"Size:           %8d kB\nKernelPageSize: %8d kB\nMMUPageSize:    %8d kB\n"
_GATE_FLAGS: Final = b"VmFlags: ex \n"
_NOTHING_USED: Final = AreaUse._make([0] * len(AreaUse._fields))


def area_use(map_counts: MapCounts, mm: MemoryDescriptor, area: VirtualMemoryArea) -> AreaUse:
    """Count the pages of `area`. A page is dirty when no file has it as it is."""
    is_memory = area.pages is None or (area.file is None or not area.file.inode.is_written_back)
    anonymous = proportional_dirty = referenced = lazily_freed = 0
    counts = [0, 0, 0, 0]
    proportional = [0, 0, 0]
    entries = area_entries(mm, area)
    for (page, entry), sharers in zip(entries, map_counts.of(mm, area, entries), strict=True):
        is_own = is_anonymous(area, page, entry)
        is_dirty = (is_own or is_memory) and not entry & pte.LAZY
        share = (PAGE_KB << PROPORTIONAL_SHIFT) // sharers
        counts[(0 if sharers > 1 else 2) + is_dirty] += PAGE_KB
        proportional[0 if is_own else 2 if is_memory else 1] += share
        if is_own:
            anonymous += PAGE_KB
            if entry & pte.LAZY:
                lazily_freed += PAGE_KB
        if entry & pte.ACCESSED:
            referenced += PAGE_KB
        if is_dirty:
            proportional_dirty += share
    return AreaUse._make((*counts, anonymous, *proportional, proportional_dirty, referenced, lazily_freed))


def area_uses(clock: Clock, mm: MemoryDescriptor) -> list[AreaUse]:
    """Count the pages of each area, which takes time."""
    map_counts = MapCounts(mm.memory)
    uses = [area_use(map_counts, mm, area) for area in mm.areas]
    page_count = sum(use.resident for use in uses) // PAGE_KB
    clock.spend(page_count * SHOWN_PAGE_NS + map_counts.seen_count * SEEN_FRAME_NS)
    return uses


def use_lines(use: AreaUse, locked: int) -> bytes:
    """The counts that smaps and smaps_rollup share. Linux: fs/proc/task_mmu.c, __show_smap."""
    rows = (
        (b"Rss:            ", use.resident),
        (b"Pss:            ", use.proportional),
        (b"Pss_Dirty:      ", use.proportional_dirty >> PROPORTIONAL_SHIFT),
        (b"Shared_Clean:   ", use.shared_clean),
        (b"Shared_Dirty:   ", use.shared_dirty),
        (b"Private_Clean:  ", use.private_clean),
        (b"Private_Dirty:  ", use.private_dirty),
        (b"Referenced:     ", use.referenced),
        (b"Anonymous:      ", use.anonymous),
        (b"KSM:            ", 0),
        (b"LazyFree:       ", use.lazily_freed),
        (b"AnonHugePages:  ", 0),
        (b"ShmemPmdMapped: ", 0),
        (b"FilePmdMapped:  ", 0),
        (b"Shared_Hugetlb: ", 0),
        (b"Private_Hugetlb:", 0),
        (b"Swap:           ", 0),
        (b"SwapPss:        ", 0),
        (b"Locked:         ", locked),
    )
    return b"".join(b"%s%8d kB\n" % row for row in rows)


def flag_line(area: VirtualMemoryArea) -> bytes:
    """The VmFlags line. Linux: fs/proc/task_mmu.c, show_smap_vma_flags."""
    protection, flags = area.protection, area.flags
    # What mm knows of an open file is less than what it is.
    file = cast("File | None", area.file)
    names = [
        name
        for name, is_set in (
            (b"rd", protection & PROT_READ),
            (b"wr", protection & PROT_WRITE),
            (b"ex", protection & PROT_EXEC),
            # Nothing but reading is shared of a file that isn't open for writing (Linux: mm/mmap.c, do_mmap).
            (b"sh", area.is_shared and (area.may_write or (file is not None and file.is_writable))),
            (b"mr", True),
            (b"mw", area.may_write),
            (b"me", file is None or not file.path.mount.is_noexec),
            (b"ms", area.is_shared),
            (b"gd", flags & GROWS_DOWN),
            (b"gu", flags & MAY_HAVE_GUARDS),
            (b"lo", flags & LOCKED),
            (b"sr", flags & SEQUENTIAL_READ),
            (b"rr", flags & RANDOM_READ),
            (b"dc", flags & DONT_FORK),
            (b"de", flags & DONT_EXPAND),
            (b"lf", flags & LOCKED_ON_FAULT),
            (b"ac", flags & ACCOUNTED),
            (b"nr", flags & NO_RESERVE),
            (b"wf", flags & WIPE_ON_FORK),
            (b"dd", flags & DONT_DUMP),
            (b"hg", flags & HUGE_PAGES),
            (b"nh", flags & NO_HUGE_PAGES),
            (b"mg", flags & MERGEABLE),
            (b"um", flags & USER_HANDLES_MISSING),
            (b"uw", flags & USER_HANDLES_WRITE),
            (b"ui", flags & USER_HANDLES_MINOR),
            (b"dp", flags & DROPPABLE),
            (b"sl", flags & SEALED),
        )
        if is_set
    ]
    return b"VmFlags: " + b"".join(name + b" " for name in names) + b"\n"


def show_smaps(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/smaps."""
    if not has_memory(task):
        return b""
    mm, root = task.mm, reader_root(system, task)
    parts: list[bytes] = []
    for area, use in zip(mm.areas, area_uses(system.kernel.clock, mm), strict=True):
        locked = use.resident if area.flags & LOCKED else 0
        parts += (
            area_header(area, root),
            _SIZES % (area.size >> 10, 4, 4),
            use_lines(use, locked),
            b"THPeligible:    %8d\n" % is_eligible(mm, area),
            flag_line(area),
        )
    parts += (
        area_header(GATE, root),
        _SIZES % (GATE.size >> 10, 4, 4),
        use_lines(_NOTHING_USED, 0),
        b"THPeligible:    %8d\n" % 0,
        _GATE_FLAGS,
    )
    return b"".join(parts)


def show_smaps_rollup(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/smaps_rollup. Raises ESRCH. Linux: fs/proc/task_mmu.c, show_smaps_rollup."""
    if not has_memory(task):
        raise ESRCH(f"process {task.tid} has no memory any more")
    mm, clock = task.mm, system.kernel.clock
    uses = area_uses(clock, mm)
    total = AreaUse._make(map(sum, zip(*uses, strict=True))) if uses else _NOTHING_USED
    clock.spend(len(uses) * SHOWN_AREA_NS)
    locked = sum(use.resident for use, area in zip(uses, mm.areas, strict=True) if area.flags & LOCKED)
    before, after = use_lines(total, locked).split(b"Shared_Clean:", 1)
    by_kind = (
        (b"Pss_Anon:       ", total.proportional_anonymous >> PROPORTIONAL_SHIFT),
        (b"Pss_File:       ", total.proportional_file >> PROPORTIONAL_SHIFT),
        (b"Pss_Shmem:      ", total.proportional_shared_memory >> PROPORTIONAL_SHIFT),
    )
    start, end = (mm.areas[0].start, mm.areas[-1].end) if uses else (0, 0)
    header = b"%08x-%08x ---p 00000000 00:00 0 " % (start, end)
    return b"".join(
        (
            header.ljust(HEADER_WIDTH) + b" [rollup]\n",
            before,
            *(b"%s%8d kB\n" % row for row in by_kind),
            b"Shared_Clean:" + after,
        )
    )


def show_command_line(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/cmdline: the arguments, each ended by NUL, or what the program has made of them.

    A program may overwrite its arguments to show a title: if the last byte is no longer NUL, the title goes
    on into the environment, up to the first NUL. PR_SET_MM can put them anywhere and at any length: no more
    is shown than exec can leave. Linux: fs/proc/base.c, get_mm_cmdline.
    """
    if not has_memory(task):
        return b""
    mm = task.mm
    start, end = mm.arguments_start, mm.arguments_end
    if start >= end:
        return b""
    arguments = peek(mm, start, min(end - start, ARG_MAXIMUM))
    if not arguments or len(arguments) < end - start or arguments[-1] == 0:
        return arguments
    if mm.environment_start == end:
        arguments += peek(mm, end, min(mm.environment_end - end, MEM_CHUNK))
    title, _, _ = arguments.partition(b"\0")
    return title


class OfOpenedProgram:
    """A file about the program that the process ran when it was opened, even when that's gone."""

    __slots__ = ("mm",)

    def __init__(self, mm: MemoryDescriptor) -> None:
        self.mm = mm

    def show(self, subject: Subject) -> bytes:
        """What there is to read."""
        raise NotImplementedError

    def store(self, data: bytes, subject: Subject) -> None:
        """Nothing can be written."""
        raise EINVAL


class AuxiliaryVector(OfOpenedProgram):
    """/proc/PID/auxv, as exec left it or PR_SET_MM has set it. Linux: fs/proc/base.c, auxv_read."""

    __slots__ = ()

    def show(self, subject: Subject) -> bytes:
        return self.mm.auxiliary_vector


class Environment(OfOpenedProgram):
    """/proc/PID/environ, where exec left it or PR_SET_MM has put it; of that, as much as exec can leave.

    Linux: fs/proc/base.c, environ_read.
    """

    __slots__ = ()

    def show(self, subject: Subject) -> bytes:
        mm = self.mm
        if mm.reference_count <= 0:
            return b""
        start = mm.environment_start
        return peek(mm, start, min(mm.environment_end - start, ARG_MAXIMUM))


def show_dump_filter(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/coredump_filter. Linux: fs/proc/base.c, proc_coredump_filter_read."""
    return b"%08x\n" % task.mm.dump_filter if has_memory(task) else b""


def store_dump_filter(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Say which areas a core holds. Raises EINVAL, ESRCH.

    Linux: fs/proc/base.c, proc_coredump_filter_write.
    """
    value = parse_within(data[:INTEGER_SIZE], 0, UINT_MAX)
    if not has_memory(task):
        raise ESRCH
    task.mm.dump_filter = value & ((1 << DUMP_FILTER_BITS) - 1)


class MemoryFile(PositionedFile):
    """An open /proc/PID/mem: positions are addresses. Linux: fs/proc/base.c, mem_rw."""

    __slots__ = ("mm",)

    can_poll = False
    is_copied_whole = True
    takes_read_flags = False
    takes_write_flags = False
    has_unsigned_offsets = True

    def fetched_at_once(self, length: int) -> int | None:
        return length

    def __init__(self, path: Path, flags: int, subject: Subject, mm: MemoryDescriptor | None) -> None:
        super().__init__(path, flags, subject)
        # Linux too holds the structure but not the pages: a process that has ended reads as empty.
        self.mm = mm

    def read_at(self, offset: int, length: int) -> bytes:
        mm = self.mm
        if mm is None or mm.reference_count <= 0 or not length:
            return b""
        data = read_forced(mm, offset & _LAST_ADDRESS, min(length, MEM_CHUNK))
        if not data:
            raise EIO(f"nothing readable at {offset:#x}")
        return data

    def write(self, data: bytes) -> int:
        count = self.write_at(self.position, data)
        self.position += count
        return count

    def write_at(self, offset: int, data: bytes) -> int:
        mm = self.mm
        if mm is None or mm.reference_count <= 0 or not data:
            return 0
        count = write_forced(mm, offset & _LAST_ADDRESS, data)
        if not count:
            raise EIO(f"nothing writable at {offset:#x}")
        return count

    def seek(self, offset: int, whence: int) -> int:
        return seek_memory(self, offset, whence)
