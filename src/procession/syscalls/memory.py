"""System calls on the address space."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from procession.abi.errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EBUSY,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOMEM,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
)
from procession.abi.mmap_flags import MAP_TYPE, LockAll, MapFlag, MremapFlag, MsyncFlag, Protection
from procession.fs.file import MAXIMUM_SIZE
from procession.fs.mounts.mount import MS_NOEXEC
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import (
    PAGE_MASK,
    PAGE_SHIFT,
    PAGE_SIZE,
    STALE_TRANSLATIONS,
    OutOfFrames,
)
from procession.kernel.memory_lock import check_lock_limit
from procession.kernel.program.personality import READ_IMPLIES_EXEC, effective_protection
from procession.kernel.task import Task
from procession.mm.address_space import MemoryDescriptor
from procession.mm.brk import set_brk
from procession.mm.fault import AccessViolation, handle_fault
from procession.mm.page_cache import PageCache
from procession.mm.vma import (
    ANY_LOCK,
    GROWS_DOWN,
    LOCKED,
    NO_RESERVE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    SharedAnonymous,
    VirtualMemoryArea,
    future_lock,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import U64, Address, Fd, Flags, Int, Size
from procession.syscalls.user_vector import check_user_range

if TYPE_CHECKING:
    from procession.fs.file import File

_KNOWN_TO_VALIDATE = 0x7FFF3 | MapFlag.MAP_HUGETLB | 0x7C000000
"""What MAP_SHARED_VALIDATE lets pass (Linux: include/linux/mman.h, LEGACY_MAP_MASK)."""

_UNSIGNED_64 = (1 << 64) - 1
_MCL_ONFAULT = int(LockAll.MCL_ONFAULT)


def align(length: int) -> int:
    return (length + PAGE_MASK) & ~PAGE_MASK


@syscall(9)
def mmap(
    task: Task,
    address: Address,
    length: Size,
    protection: Flags[Protection],
    flags: Flags[MapFlag],
    fd: Fd,
    offset: U64,
) -> Address:
    """mmap(2). Linux: mm/mmap.c, do_mmap."""
    mm = task.mm
    if offset & PAGE_MASK:
        raise EINVAL("an offset that isn't a multiple of the page size")
    file = None
    if not flags & MapFlag.MAP_ANONYMOUS:
        file = task.files.file(fd)
        if not (file.is_readable or file.is_writable):
            raise EBADF("an O_PATH descriptor")
    elif flags & MapFlag.MAP_HUGETLB:
        raise EINVAL("there are no huge pages")
    if length == 0:
        raise EINVAL("a length of 0")
    size = align(length)
    if size >= 1 << 47 or size == 0:
        raise ENOMEM("longer than the address space")
    is_fixed = bool(flags & (MapFlag.MAP_FIXED | MapFlag.MAP_FIXED_NOREPLACE))
    if not is_fixed:
        address = align(address) if 0 < address < pte.USER_END else 0
    if flags & MapFlag.MAP_32BIT and not is_fixed:
        start = mm.find_gap(size, below=1 << 31)
    else:
        start = mm.place(
            address, size, is_fixed=is_fixed, must_be_free=bool(flags & MapFlag.MAP_FIXED_NOREPLACE)
        )
    is_locked = bool(flags & MapFlag.MAP_LOCKED or mm.locks_future)
    if is_locked:
        check_lock_limit(task, size)
    kind = flags & MAP_TYPE
    rights = effective_protection(task, protection & (PROT_READ | PROT_WRITE | PROT_EXEC), file)
    area_flags = 0
    if is_locked:
        area_flags |= LOCKED | future_lock(mm.locks_future)
    if flags & MapFlag.MAP_NORESERVE:
        area_flags |= NO_RESERVE
        mm.has_fork_advice = True
    if file is None:
        if kind not in (MapFlag.MAP_SHARED, MapFlag.MAP_PRIVATE):
            raise EINVAL("neither MAP_SHARED nor MAP_PRIVATE")
        if flags & MapFlag.MAP_GROWSDOWN:
            if kind == MapFlag.MAP_SHARED:
                raise EINVAL("a shared mapping doesn't grow")
            area_flags |= GROWS_DOWN
        pages: PageCache | None = None
        if kind == MapFlag.MAP_SHARED:
            pages = SharedAnonymous(task.kernel.memory, size >> PAGE_SHIFT)
        area = VirtualMemoryArea(
            start,
            start + size,
            rights,
            is_shared=kind == MapFlag.MAP_SHARED,
            pages=pages,
            flags=area_flags,
            name=b"/dev/zero (deleted)" if pages is not None else b"",
        )
    else:
        # Linux: mm/mmap.c, file_mmap_ok.
        if file.inode.is_regular and offset + size > MAXIMUM_SIZE + 1 - PAGE_SIZE:
            raise EOVERFLOW
        if kind == MapFlag.MAP_SHARED_VALIDATE and flags & ~_KNOWN_TO_VALIDATE:
            raise EOPNOTSUPP("a flag that this file can't honour")
        if kind not in (MapFlag.MAP_SHARED, MapFlag.MAP_PRIVATE, MapFlag.MAP_SHARED_VALIDATE):
            raise EINVAL("neither MAP_SHARED nor MAP_PRIVATE")
        is_shared = kind != MapFlag.MAP_PRIVATE
        if is_shared and rights & PROT_WRITE and not file.is_writable:
            raise EACCES("a shared writable mapping of a file that isn't open for writing")
        if not file.is_readable:
            raise EACCES("the file isn't open for reading")
        if rights & PROT_EXEC and file.path.mount.flags & MS_NOEXEC:
            raise EPERM("on a mount without execution")
        may_write = file.check_mapping(is_shared=is_shared, is_writable=bool(rights & PROT_WRITE))
        pages = file.mappable()
        if file.maps_zeros and is_shared:
            pages = SharedAnonymous(task.kernel.memory, size >> PAGE_SHIFT)
        elif pages is None and not file.maps_zeros:
            raise ENODEV("this kind of file can't be mapped")
        if flags & MapFlag.MAP_GROWSDOWN:
            raise EINVAL("a file mapping doesn't grow")
        area = VirtualMemoryArea(
            start,
            start + size,
            rights,
            is_shared=is_shared,
            pages=pages,
            file=None if file.maps_zeros else file,
            page_offset=0 if file.maps_zeros else offset >> PAGE_SHIFT,
            flags=area_flags,
            name=b"/dev/zero" if file.maps_zeros else b"",
            may_write=may_write,
        )
    if mm.denies(rights, rights):
        raise EACCES("writable and executable at once (PR_SET_MDWE)")
    mm.map(area, is_overcommitted=bool(flags & MapFlag.MAP_NORESERVE))
    if (flags & MapFlag.MAP_POPULATE or (is_locked and not mm.locks_future & _MCL_ONFAULT)) and rights:
        populate(mm, start, start + size, is_write=bool(rights & PROT_WRITE) and kind == MapFlag.MAP_PRIVATE)
    return start


def populate(mm: MemoryDescriptor, start: int, end: int, *, is_write: bool) -> bool:
    """Fault pages in, up to the first that can't be; whether there is none.

    Linux: mm/gup.c, __mm_populate.
    """
    for address in range(start, end, PAGE_SIZE):
        try:
            handle_fault(mm, address, 2 if is_write else 0)
        except AccessViolation:
            return False
    return True


@syscall(11)
def munmap(task: Task, address: Address, length: Size) -> int:
    """munmap(2)."""
    size = align(length)
    if address & PAGE_MASK or size == 0 or address > pte.USER_END or size > pte.USER_END - address:
        raise EINVAL("no range of user pages")
    task.mm.unmap(address, address + size)
    return 0


@syscall(10)
def mprotect(task: Task, address: Address, length: Size, protection: Flags[Protection]) -> int:
    """mprotect(2). Linux: mm/mprotect.c, do_mprotect_pkey."""
    mm = task.mm
    grows = protection & (Protection.PROT_GROWSDOWN | Protection.PROT_GROWSUP)
    if grows == Protection.PROT_GROWSDOWN | Protection.PROT_GROWSUP:
        raise EINVAL("grows both ways")
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    if length == 0:
        return 0
    size = align(length)
    end = address + size
    if size == 0 or end <= address or end >= 1 << 64:
        raise ENOMEM("past the end of the address space")
    if protection & ~(PROT_READ | PROT_WRITE | PROT_EXEC | Protection.PROT_SEM | grows):
        raise EINVAL("unknown protection")
    rights = protection & (PROT_READ | PROT_WRITE | PROT_EXEC)
    if grows:
        area = next(iter(mm.areas_in(address, end)), None)
        if area is None or (grows == Protection.PROT_GROWSUP and area.start > address):
            raise ENOMEM("not mapped")
        if grows == Protection.PROT_GROWSUP or not area.flags & GROWS_DOWN:
            raise EINVAL("not a stack, or not one that grows so")
        address = area.start
    if task.personality & READ_IMPLIES_EXEC:
        # What mm knows of an open file is less than what it is.
        files = [cast("File | None", area.file) for area in mm.areas_in(address, end)]
        rights = min((effective_protection(task, rights, file) for file in files), default=rights)
    _change_protection(mm, address, end, rights)
    return 0


def _change_protection(mm: MemoryDescriptor, start: int, end: int, protection: int) -> None:
    areas = mm.areas_in(start, end)
    if not areas or areas[0].start > start:
        raise ENOMEM("not mapped")
    position = start
    for area in areas:
        if area.start > position:
            # Linux has changed what comes before the hole by now.
            _apply_protection(mm, start, position, protection)
            raise ENOMEM("a hole in the range")
        if protection & PROT_WRITE and area.is_shared and not area.may_write:
            if position > start:
                _apply_protection(mm, start, position, protection)
            raise EACCES("the file isn't open for writing")
        if mm.denies(area.protection, protection):
            if position > start:
                _apply_protection(mm, start, position, protection)
            raise EACCES("executable only from the beginning (PR_SET_MDWE)")
        position = area.end
    _apply_protection(mm, start, min(position, end), protection)
    if position < end:
        raise ENOMEM("not mapped to the end")


def _apply_protection(mm: MemoryDescriptor, start: int, end: int, protection: int) -> None:
    for area in mm.isolate(start, end):
        if area.protection != protection:
            old_protection, area.protection = area.protection, protection
            if protection & PROT_EXEC and area.pages is not None:
                area.pages.note_executable_area()
            try:
                has_pages = mm.tables.protect(area.start, area.end, area.entry_bits())
            except OutOfFrames:
                area.protection = old_protection
                mm.merge_around(start, end)
                raise
            if has_pages:
                mm.memory.translations_changed(area.start, area.end)
    mm.merge_around(start, end)


@syscall(329)
def pkey_mprotect(task: Task, address: Address, length: Size, protection: Flags[Protection], key: Int) -> int:
    """pkey_mprotect(2) on a processor without protection keys: only key -1 exists."""
    if key != -1:
        raise EINVAL("no protection keys")
    return mprotect(task, address, length, protection)


@syscall(12)
def brk(task: Task, address: Address) -> Address:
    """brk(2), the raw call: where the heap ends afterwards."""
    mm = task.mm
    old = mm.brk
    if mm.locks_future and address > old:
        try:
            check_lock_limit(task, align(address) - align(old))
        except (EAGAIN, EPERM):
            return old
    new = set_brk(mm, address, effective_protection(task, PROT_READ | PROT_WRITE))
    if mm.locks_future and new > old and not mm.locks_future & _MCL_ONFAULT:
        populate(mm, align(old), align(new), is_write=True)
    return new


@syscall(25)
def mremap(
    task: Task,
    address: Address,
    old_length: Size,
    new_length: Size,
    flags: Flags[MremapFlag],
    new_address: Address,
) -> Address:
    """mremap(2). Linux: mm/mremap.c."""
    mm = task.mm
    if flags & ~(MremapFlag.MREMAP_MAYMOVE | MremapFlag.MREMAP_FIXED | MremapFlag.MREMAP_DONTUNMAP):
        raise EINVAL("unknown flags")
    if (
        flags & (MremapFlag.MREMAP_FIXED | MremapFlag.MREMAP_DONTUNMAP)
        and not flags & MremapFlag.MREMAP_MAYMOVE
    ):
        raise EINVAL("that moves, and may not")
    if flags & MremapFlag.MREMAP_DONTUNMAP and old_length != new_length:
        raise EINVAL("MREMAP_DONTUNMAP doesn't resize")
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    old_size, new_size = align(old_length) & _UNSIGNED_64, align(new_length) & _UNSIGNED_64
    if new_size == 0 or new_size >= 1 << 47:
        raise EINVAL("a new size of 0, or beyond the address space")
    if flags & (MremapFlag.MREMAP_FIXED | MremapFlag.MREMAP_DONTUNMAP):
        if new_address & PAGE_MASK or new_size > pte.USER_END or new_address > pte.USER_END - new_size:
            raise EINVAL("a new address that can't be")
        if address < new_address + new_size and new_address < (address + old_size) & _UNSIGNED_64:
            raise EINVAL("old and new overlap")
    mm.own_areas()
    mm.area_list.check_room()
    area = mm.find(address)
    if area is None:
        raise EFAULT("nothing is mapped there")
    is_in_place = not flags & (MremapFlag.MREMAP_FIXED | MremapFlag.MREMAP_DONTUNMAP)
    if old_size == 0:
        if not area.is_shared:
            raise EINVAL("only shared mappings can be duplicated")
        old_size_checked = new_size
    else:
        old_size_checked = old_size
        # What is given up may be of other areas. Linux: mm/mremap.c, check_prep_vma.
        if address + min(old_size, new_size) > area.end and not (is_in_place and new_size <= old_size):
            raise EFAULT("the range goes past its area")
    if flags & MremapFlag.MREMAP_FIXED:
        mm.unmap(new_address, new_address + new_size)
        if mm.find(address) is None:
            raise EFAULT("nothing is mapped there any more")
    if new_size < old_size and address + old_size > pte.USER_END:
        raise EINVAL("no range of user pages")
    if is_in_place and old_size and new_size <= old_size:
        if new_size < old_size:
            mm.unmap(address + new_size, address + old_size)
        return address
    if flags & MremapFlag.MREMAP_FIXED and old_size > new_size:
        mm.unmap(address + new_size, address + old_size)
        old_size = old_size_checked = new_size
    if new_size > old_size:
        mm.check_limits(new_size - old_size, area.is_data)
    can_grow_here = (
        is_in_place
        and old_size
        and address + old_size == area.end
        and address + new_size <= pte.USER_END
        and not mm.areas_in(area.end, address + new_size)
    )
    if can_grow_here:
        mm.area_list.total_bytes += address + new_size - area.end
        area.end = address + new_size
        mm.merge_around(area.start, area.end)
        return address
    if not flags & MremapFlag.MREMAP_MAYMOVE:
        raise ENOMEM("no room to grow in place")
    target = new_address if flags & MremapFlag.MREMAP_FIXED else mm.find_gap(new_size, new_address)
    pages = mm.tables.prepare_move(address, target, old_size) if old_size else []
    moved = area.copy(address, address + (old_size or old_size_checked))
    moved.end = target + new_size
    moved.start = target
    if flags & MremapFlag.MREMAP_DONTUNMAP and area.flags & ANY_LOCK:
        # All of the area, as Linux does (dontunmap_complete).
        area.flags &= ~ANY_LOCK
        mm.merge_around(area.start, area.end)
    mm.insert(moved)
    if old_size:
        mm.tables.move(pages, target - address)
        mm.memory.stale |= STALE_TRANSLATIONS
        if not flags & MremapFlag.MREMAP_DONTUNMAP:
            resident = mm.resident_pages
            mm.unmap(address, address + old_size)
            mm.resident_pages = resident
    return target


@syscall(26)
def msync(task: Task, address: Address, length: Size, flags: Flags[MsyncFlag]) -> int:
    """msync(2): memory is the file, so there is nothing to write; the errors are Linux's."""
    if flags & ~(MsyncFlag.MS_ASYNC | MsyncFlag.MS_INVALIDATE | MsyncFlag.MS_SYNC) or address & PAGE_MASK:
        raise EINVAL("unknown flags, or not page-aligned")
    if flags & MsyncFlag.MS_ASYNC and flags & MsyncFlag.MS_SYNC:
        raise EINVAL("both MS_ASYNC and MS_SYNC")
    end = address + (align(length) & _UNSIGNED_64)
    if end >= 1 << 64:
        raise ENOMEM("past the end of the address space")
    if end == address:
        return 0
    has_hole = not task.mm.is_mapped(address, end)
    if has_hole and flags == MsyncFlag.MS_ASYNC:
        raise ENOMEM("part of the range isn't mapped")
    if flags & MsyncFlag.MS_INVALIDATE and any(
        area.flags & LOCKED for area in task.mm.areas_in(address, end)
    ):
        raise EBUSY("locked pages")
    if has_hole:
        raise ENOMEM("part of the range isn't mapped")
    return 0


@syscall(27)
def mincore(task: Task, address: Address, length: Size, vector: Address) -> int:
    """mincore(2). Linux: mm/mincore.c, SYSCALL_DEFINE3(mincore)."""
    mm = task.mm
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    size = align(length)
    if address > pte.USER_END or size > pte.USER_END - address:
        raise ENOMEM("past the end of user space")
    check_user_range(vector, size >> PAGE_SHIFT)
    end = address + size
    while address < end:
        area = mm.find(address)
        if area is None:
            raise ENOMEM("part of the range isn't mapped")
        # As many at once as one page of the caller's can tell.
        last = min(area.end, end, address + (PAGE_SIZE << PAGE_SHIFT))
        present = bytearray()
        for page in range(address >> PAGE_SHIFT, last >> PAGE_SHIFT):
            cached = area.pages is not None and area.page_index(page << PAGE_SHIFT) in area.pages.frames
            present.append(1 if cached or mm.tables.entry(page) else 0)
        mm.write(vector, bytes(present))
        vector += len(present)
        address = last
    return 0
