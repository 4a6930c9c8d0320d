"""PROCMAP_QUERY of /proc/PID/maps: one area of a process's memory, by an address in it or before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from procession.abi.device_numbers import device_major, device_minor
from procession.abi.errno import E2BIG, EINVAL, ENAMETOOLONG, ENOENT, ENOTTY, ESRCH
from procession.abi.limits import PATH_MAX
from procession.abi.procmap import ProcmapFlag, ProcmapIoctl, ProcmapQuery
from procession.hardware.physical_memory import PAGE_SIZE
from procession.mm.vma import PROT_EXEC, PROT_READ, PROT_WRITE, SharedAnonymous
from procession.procfs.build_id import build_id_of
from procession.procfs.inode import SequenceFile
from procession.procfs.process_memory import area_place

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File, UserMemory
    from procession.fs.permission import Subject
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea
    from procession.procfs.inode import Source

_QUERY = int(ProcmapIoctl.PROCMAP_QUERY)
_SHARED = int(ProcmapFlag.PROCMAP_QUERY_VMA_SHARED)
_OR_NEXT = int(ProcmapFlag.PROCMAP_QUERY_COVERING_OR_NEXT_VMA)
_OF_FILE = int(ProcmapFlag.PROCMAP_QUERY_FILE_BACKED_VMA)
_RIGHTS = PROT_READ | PROT_WRITE | PROT_EXEC
"""They have the same numbers here."""
_KNOWN = _RIGHTS | _SHARED | _OR_NEXT | _OF_FILE
_SMALLEST = ProcmapQuery.OFFSETS["vma_start"]


class MapsFile(SequenceFile):
    """An open /proc/PID/maps; `mm` is None if the process had no memory."""

    __slots__ = ("mm", "seen_root")

    def __init__(
        self,
        path: Path,
        flags: int,
        subject: Subject,
        source: Source,
        mm: MemoryDescriptor | None,
        seen_root: Path,
    ) -> None:
        super().__init__(path, flags, subject, source)
        self.mm = mm
        self.seen_root = seen_root

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: fs/proc/task_mmu.c, procfs_procmap_ioctl."""
        if request != _QUERY:
            raise ENOTTY
        answer_query(self.mm, self.seen_root, argument, memory)
        return 0


def answer_query(mm: MemoryDescriptor | None, root: Path, argument: int, memory: UserMemory) -> None:
    """Fill the struct procmap_query at `argument`. Raises EFAULT, E2BIG, EINVAL, ESRCH, ENOENT, ENAMETOOLONG.

    Linux: fs/proc/task_mmu.c, do_procmap_query.
    """
    size = int.from_bytes(memory.read(argument, 8), "little")
    if size > PAGE_SIZE:
        raise E2BIG
    if size < _SMALLEST:
        raise EINVAL("no room for the question")
    data = memory.read(argument, size)
    if any(data[ProcmapQuery.SIZE :]):
        raise E2BIG
    query = ProcmapQuery.unpack(data[: ProcmapQuery.SIZE].ljust(ProcmapQuery.SIZE, b"\0"))
    if query.query_flags & ~_KNOWN:
        raise EINVAL("unknown flags")
    if bool(query.vma_name_size) != bool(query.vma_name_addr):
        raise EINVAL("a place for a name without a size, or a size without a place")
    if bool(query.build_id_size) != bool(query.build_id_addr):
        raise EINVAL("a place for a build id without a size, or a size without a place")
    if mm is None or mm.reference_count <= 0:
        raise ESRCH
    area = _matching(mm, query.query_addr, query.query_flags)
    query.vma_start, query.vma_end = area.start, area.end
    query.vma_flags = area.protection & _RIGHTS | (_SHARED if area.is_shared else 0)
    query.vma_page_size = PAGE_SIZE
    device, query.inode, query.vma_offset, name = area_place(area, root)
    query.dev_major, query.dev_minor = device_major(device), device_minor(device)
    if query.build_id_size:
        file = cast("File | None", area.file)
        build_id = b"" if file is None else build_id_of(file.inode)
        if len(build_id) > query.build_id_size:
            raise ENAMETOOLONG
        query.build_id_size = len(build_id)
        memory.write(query.build_id_addr, build_id)
    if query.vma_name_size:
        text = name + b"\0" if name else b""
        if len(text) > min(query.vma_name_size, PATH_MAX):
            raise ENAMETOOLONG
        query.vma_name_size = len(text)
        memory.write(query.vma_name_addr, text)
    memory.write(argument, query.pack()[:size])


def _is_of_file(area: VirtualMemoryArea) -> bool:
    """Whether it maps a file, as shared memory without a name does."""
    return area.file is not None or type(area.pages) is SharedAnonymous


def _matching(mm: MemoryDescriptor, address: int, flags: int) -> VirtualMemoryArea:
    """The area that is asked for. Raises ENOENT. Linux: fs/proc/task_mmu.c, query_matching_vma."""
    rights = flags & _RIGHTS
    for area in mm.areas.since(address):
        is_meant = (
            area.protection & rights == rights
            and (area.is_shared or not flags & _SHARED)
            and (not flags & _OF_FILE or _is_of_file(area))
        )
        if is_meant and (flags & _OR_NEXT or area.start <= address):
            return area
        if not flags & _OR_NEXT:
            break
    raise ENOENT("no such area")
