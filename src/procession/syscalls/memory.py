"""System calls on the address space."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, cast

from procession.abi.errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EBUSY,
    EINVAL,
    ENODEV,
    ENOMEM,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
    Errno,
)
from procession.abi.file_mode import S_IFMT
from procession.abi.mmap_flags import (
    MAP_HUGE_SHIFT,
    MAP_TYPE,
    LockAll,
    MapFlag,
    MsyncFlag,
    Protection,
)
from procession.fs.file import MAXIMUM_SIZE, O_NOATIME, O_PATH
from procession.fs.inode import APPEND_ONLY, S_IFREG, S_IFSOCK
from procession.fs.mounts.id_map import through
from procession.fs.permission import may_see_cache
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import (
    MMAP_MINIMUM,
    PAGE_MASK,
    PAGE_SHIFT,
    PAGE_SIZE,
    OutOfFrames,
    PhysicalMemory,
)
from procession.kernel.memory_lock import check_lock_growth, check_locking
from procession.kernel.program.personality import READ_IMPLIES_EXEC, effective_protection
from procession.kernel.security.commoncap import check_mapping_address
from procession.kernel.task import Task
from procession.kernel.time.costs import SEEN_PAGE_NS
from procession.mm.address_space import MemoryDescriptor
from procession.mm.brk import set_brk
from procession.mm.fault import handle_fault
from procession.mm.fault_ahead import populate_ahead
from procession.mm.overcommit import check_commit, takes_no_reserve
from procession.mm.page_cache import write_back
from procession.mm.unmapped_area import ABOVE_4G, unmapped_area, unmapped_area_for_private
from procession.mm.user_fault import AccessViolation, protect_marked
from procession.mm.vma import (
    ACCOUNTED,
    COUNTED,
    DONT_DUMP,
    DROPPABLE,
    GROWS_DOWN,
    LOCKED,
    MAY_HAVE_GUARDS,
    NO_HUGE_PAGES,
    NO_RESERVE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    SEALED,
    WIPE_ON_FORK,
    SharedAnonymous,
    VirtualMemoryArea,
    future_lock,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import U64, Address, Fd, Flags, LongFlags, Size
from procession.syscalls.user_vector import check_user_range

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.mm.page_cache import PageCache

_NO_KEY: Final = -1
_KNOWN_TO_VALIDATE: Final = (
    int(
        MapFlag.MAP_SHARED_VALIDATE
        | (MapFlag.MAP_FIXED | MapFlag.MAP_ANONYMOUS | MapFlag.MAP_32BIT | MapFlag.MAP_ABOVE4G)
        | (MapFlag.MAP_GROWSDOWN | MapFlag.MAP_DENYWRITE | MapFlag.MAP_EXECUTABLE | MapFlag.MAP_LOCKED)
        | (MapFlag.MAP_NORESERVE | MapFlag.MAP_POPULATE | MapFlag.MAP_NONBLOCK | MapFlag.MAP_STACK)
        | MapFlag.MAP_HUGETLB
    )
    | (21 | 30) << MAP_HUGE_SHIFT
)
"""What MAP_SHARED_VALIDATE lets pass: not MAP_FIXED_NOREPLACE, but all bits in the sizes of huge pages, of
2 MiB and 1 GiB (Linux: include/linux/mman.h, LEGACY_MAP_MASK)."""

_UNSIGNED_64: Final = (1 << 64) - 1
_MCL_ONFAULT: Final = int(LockAll.MCL_ONFAULT)


def align(length: int) -> int:
    return (length + PAGE_MASK) & ~PAGE_MASK


@syscall(9)
def mmap(
    task: Task,
    address: Address,
    length: Size,
    protection: LongFlags[Protection],
    flags: LongFlags[MapFlag],
    fd: Fd,
    offset: U64,
) -> Address:
    """mmap(2). Linux: mm/mmap.c, do_mmap."""
    if offset & PAGE_MASK:
        raise EINVAL("an offset that isn't a multiple of the page size")
    file = None
    if not flags & MapFlag.MAP_ANONYMOUS:
        file = task.files.file(fd)
        if file.flags & O_PATH:
            raise EBADF("an O_PATH descriptor")
    if flags & MapFlag.MAP_HUGETLB:
        raise EINVAL("there are no huge pages")
    if length == 0:
        raise EINVAL("a length of 0")
    size = align(length)
    if size >= 1 << 47 or size == 0:
        raise ENOMEM("longer than the address space")
    mm = task.mm
    start = _place(task, address, size, flags)
    is_locked = bool(flags & MapFlag.MAP_LOCKED or mm.locks_future)
    if flags & MapFlag.MAP_LOCKED:
        check_locking(task)
    if is_locked or (file is not None and file.mapped_flags & LOCKED):
        check_lock_growth(task, size)
        # A child's isn't locked.
        mm.has_fork_advice = True
    rights = effective_protection(task, protection & (PROT_READ | PROT_WRITE | PROT_EXEC), file)
    area_flags = LOCKED | future_lock(mm.locks_future) if is_locked else 0
    if flags & MAP_TYPE == MapFlag.MAP_DROPPABLE and file is None:
        if flags & (MapFlag.MAP_LOCKED | MapFlag.MAP_GROWSDOWN):
            raise EINVAL("what may be dropped is neither locked nor a stack")
        area_flags |= DROPPABLE | NO_RESERVE | WIPE_ON_FORK | DONT_DUMP
        mm.has_fork_advice = True
    is_reserved = not (flags & MapFlag.MAP_NORESERVE and takes_no_reserve(mm.memory))
    if not is_reserved:
        area_flags |= NO_RESERVE
        mm.has_fork_advice = True
    if file is None:
        area = _anonymous_area(task.kernel.memory, start, size, rights, flags)
    else:
        area = _file_area(file, start, size, rights, flags, offset)
        area_flags |= file.mapped_flags
    if flags & MapFlag.MAP_STACK:
        # Linux: include/linux/mman.h, calc_vm_flag_bits.
        area_flags |= NO_HUGE_PAGES
    area.flags |= area_flags
    if area_flags & NO_RESERVE:
        area.flags &= ~ACCOUNTED
    if mm.denies(rights, rights):
        raise EACCES("writable and executable at once (PR_SET_MDWE)")
    mm.map(area, is_overcommitted=not is_reserved)
    if file is not None and not file.flags & O_NOATIME:
        # Linux: include/linux/fs.h, file_accessed.
        file.inode.touch_accessed(file.path.mount.flags)
    if (flags & MapFlag.MAP_POPULATE or (is_locked and not mm.locks_future & _MCL_ONFAULT)) and rights:
        is_private = flags & MAP_TYPE == MapFlag.MAP_PRIVATE
        populate(mm, start, start + size, is_write=bool(rights & PROT_WRITE) and is_private)
    return start


def _place(task: Task, address: int, size: int, flags: int) -> int:
    """Where a mapping goes that mmap(2) is asked for. Raises EINVAL, ENOMEM, EPERM, EEXIST."""
    mm = task.mm
    if flags & (MapFlag.MAP_FIXED | MapFlag.MAP_FIXED_NOREPLACE):
        if not address & PAGE_MASK:
            check_mapping_address(task, address)
        mm.check_fixed(address, size, must_be_free=bool(flags & MapFlag.MAP_FIXED_NOREPLACE))
        return address
    is_low = bool(flags & MapFlag.MAP_32BIT)
    floor = ABOVE_4G if flags & MapFlag.MAP_ABOVE4G else MMAP_MINIMUM
    hint = address & ~PAGE_MASK
    if not hint and flags & MapFlag.MAP_ANONYMOUS and flags & MAP_TYPE == MapFlag.MAP_PRIVATE:
        return unmapped_area_for_private(mm, size, floor=floor, is_low=is_low)
    if hint:
        # It may have been set to any number. Linux: mm/mmap.c, round_hint_to_min.
        lowest = mm.memory.lowest_address + PAGE_MASK & ~PAGE_MASK
        hint = max(hint, MMAP_MINIMUM, lowest)
    return unmapped_area(mm, size, hint, floor=floor, is_low=is_low)


def _anonymous_area(
    memory: PhysicalMemory, start: int, size: int, rights: int, flags: int
) -> VirtualMemoryArea:
    """What maps no file. Raises EINVAL."""
    kind = flags & MAP_TYPE
    if kind not in (MapFlag.MAP_SHARED, MapFlag.MAP_PRIVATE, MapFlag.MAP_DROPPABLE):
        raise EINVAL("neither MAP_SHARED nor MAP_PRIVATE")
    is_shared = kind == MapFlag.MAP_SHARED
    if is_shared and flags & MapFlag.MAP_GROWSDOWN:
        raise EINVAL("a shared mapping doesn't grow")
    return VirtualMemoryArea(
        start,
        start + size,
        rights,
        is_shared=is_shared,
        pages=SharedAnonymous(memory, size >> PAGE_SHIFT) if is_shared else None,
        flags=GROWS_DOWN if flags & MapFlag.MAP_GROWSDOWN else 0,
        name=b"/dev/zero (deleted)" if is_shared else b"",
    )


def _file_area(file: File, start: int, size: int, rights: int, flags: int, offset: int) -> VirtualMemoryArea:
    """What maps `file` from `offset` on. Raises EOVERFLOW, EOPNOTSUPP, EINVAL, EACCES, EPERM, ENODEV."""
    # Linux: mm/mmap.c, file_mmap_ok.
    if file.inode.mode & S_IFMT in (S_IFREG, S_IFSOCK):
        if offset + size > MAXIMUM_SIZE + 1 - PAGE_SIZE:
            raise EOVERFLOW
    elif offset >> PAGE_SHIFT > (_UNSIGNED_64 - size) >> PAGE_SHIFT:
        raise EOVERFLOW
    kind = flags & MAP_TYPE
    if kind == MapFlag.MAP_SHARED_VALIDATE and flags & ~_KNOWN_TO_VALIDATE:
        raise EOPNOTSUPP("a flag that this file can't honour")
    if kind not in (MapFlag.MAP_SHARED, MapFlag.MAP_PRIVATE, MapFlag.MAP_SHARED_VALIDATE):
        raise EINVAL("neither MAP_SHARED nor MAP_PRIVATE")
    is_shared = kind != MapFlag.MAP_PRIVATE
    if is_shared and rights & PROT_WRITE and not file.is_writable:
        raise EACCES("a shared writable mapping of a file that isn't open for writing")
    if is_shared and file.is_writable and file.inode.flags & APPEND_ONLY:
        raise EACCES("a shared mapping of a file that is only appended to")
    if not file.is_readable:
        raise EACCES("the file isn't open for reading")
    if rights & PROT_EXEC and file.path.mount.is_noexec:
        raise EPERM("on a mount without execution")
    may_write = file.check_mapping(is_shared=is_shared, is_writable=bool(rights & PROT_WRITE))
    pages = file.mappable()
    if file.maps_zeros and is_shared:
        pages = SharedAnonymous(file.inode.superblock.vfs.memory, size >> PAGE_SHIFT)
    elif pages is None and not file.maps_zeros:
        if flags & MapFlag.MAP_GROWSDOWN and file.inode.mode & S_IFMT == S_IFSOCK:
            # A socket refuses by itself, later. Linux: net/socket.c, sock_mmap.
            raise EINVAL("a file mapping doesn't grow")
        raise ENODEV("this kind of file can't be mapped")
    elif not file.inode.is_regular:
        file.check_mapped_range(offset, size)
    if flags & MapFlag.MAP_GROWSDOWN:
        raise EINVAL("a file mapping doesn't grow")
    return VirtualMemoryArea(
        start,
        start + size,
        rights,
        is_shared=is_shared,
        pages=pages,
        file=None if file.maps_zeros and is_shared else file,
        page_offset=0 if file.maps_zeros and is_shared else offset >> PAGE_SHIFT,
        may_write=may_write,
    )


def populate(mm: MemoryDescriptor, start: int, end: int, *, is_write: bool) -> bool:
    """Fault pages in, up to the first that can't be; whether there is none.

    Linux: mm/gup.c, __mm_populate.
    """
    address = start
    while address < end:
        try:
            handle_fault(mm, address, 2 if is_write else 0)
        except AccessViolation:
            return False
        mm.memory.note_filled()
        address += PAGE_SIZE + (populate_ahead(mm, address, end) << PAGE_SHIFT)
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
def mprotect(task: Task, address: Address, length: Size, protection: LongFlags[Protection]) -> int:
    """mprotect(2)."""
    return protect(task, address, length, protection, _NO_KEY)


def protect(task: Task, address: int, length: int, protection: int, key: int) -> int:
    """Change the protection of a range, `key` being -1 if it's to have none of its own.

    Raises EINVAL, ENOMEM, EACCES, EPERM. Linux: mm/mprotect.c, do_mprotect_pkey.
    """
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
    if key != _NO_KEY:
        raise EINVAL("no protection keys")
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
    data_left = mm.data_left() if protection & PROT_WRITE else None
    promised = counted = 0
    for area in areas:
        if area.start > position:
            # Linux has changed what comes before the hole by now.
            _apply_protection(mm, start, position, protection, counted)
            raise ENOMEM("a hole in the range")
        try:
            _check_protection(mm, area, protection)
            if protection & PROT_WRITE and not (area.protection & PROT_WRITE or area.is_shared):
                size = min(area.end, end) - max(area.start, start)
                if data_left is not None and not area.flags & GROWS_DOWN:
                    _check_data_limit(mm, size, data_left)
                    data_left -= size
                if not area.flags & (ACCOUNTED | NO_RESERVE):
                    check_commit(mm, size >> PAGE_SHIFT, promised)
                    promised += size >> PAGE_SHIFT
        except Errno:
            if position > start:
                _apply_protection(mm, start, position, protection, counted)
            raise
        position = area.end
        counted |= area.flags & COUNTED
    _apply_protection(mm, start, min(position, end), protection, counted)
    if position < end:
        raise ENOMEM("not mapped to the end")


def _check_protection(mm: MemoryDescriptor, area: VirtualMemoryArea, protection: int) -> None:
    """Raise EACCES or EPERM if `area` can't get `protection`."""
    if protection & PROT_WRITE and area.is_shared and not area.may_write:
        raise EACCES("the file isn't open for writing")
    file = cast("File | None", area.file)
    if protection & PROT_EXEC and file is not None and file.path.mount.is_noexec:
        # Linux takes VM_MAYEXEC from such a mapping when it's made; a mount's flags don't change here either.
        raise EACCES("on a mount without execution")
    if mm.denies(area.protection, protection):
        raise EACCES("executable only from the beginning (PR_SET_MDWE)")
    if area.flags & SEALED:
        raise EPERM("sealed memory")


def _check_data_limit(mm: MemoryDescriptor, size: int, left: int) -> None:
    """Raise ENOMEM if `size` bytes more would be data, and there are `left` below RLIMIT_DATA.

    Where RLIMIT_AS is passed already nothing is asked. Linux: mm/mprotect.c, mprotect_fixup.
    """
    if size <= left:
        return
    try:
        mm.check_limits(size, is_data=False)
    except ENOMEM:
        return
    raise ENOMEM("RLIMIT_DATA")


def _move_borders(mm: MemoryDescriptor, start: int, end: int, protection: int) -> int:
    """Change the rights of `start` to `end` up to what isn't given over: areas are counted, and a part of one
    goes to a neighbour that has these rights rather than be one more. Gives where the rest begins.

    Linux: mm/vma.c, vma_merge_existing_range.
    """
    mm.own_areas()
    lower, last = mm.find(start), mm.find(end - 1)
    assert lower is not None
    assert last is not None
    if lower.start < start and lower.end <= end and lower.protection != protection:
        upper = mm.find(lower.end)
        if upper is not None and upper.protection == protection and lower.can_be_followed_by(upper, 0):
            _give_pages(mm, start, lower.end, upper)
            start, border = lower.end, start
            mm.move_border(lower, upper, border)
    if last.start >= start and last.end > end and last.protection != protection:
        if start < last.start:
            _apply_protection(mm, start, last.start, protection)
            start = last.start
        previous = mm.find(start - 1)
        if (
            previous is not None
            and previous.protection == protection
            and previous.can_be_followed_by(last, 0)
        ):
            _give_pages(mm, start, end, previous)
            mm.move_border(previous, last, end)
            start = end
    return start


def _give_pages(mm: MemoryDescriptor, start: int, end: int, area: VirtualMemoryArea) -> None:
    """Pages get the rights of `area`, to which they will belong. Raises OutOfFrames."""
    if mm.tables.protect(start, end, area.entry_bits()):
        mm.memory.translations_changed(mm.tables.root, start, end)
    protect_marked(mm, start, end)


def _apply_protection(mm: MemoryDescriptor, start: int, end: int, protection: int, counted: int = 0) -> None:
    if counted:
        start = _move_borders(mm, start, end, protection)
        if start == end:
            return
    for area in mm.isolate_changing(start, end, lambda area: area.protection == protection, 0):
        if area.protection != protection:
            old_protection, area.protection = area.protection, protection
            if protection & PROT_EXEC and area.pages is not None:
                area.pages.note_executable_area()
            try:
                has_pages = mm.tables.protect(area.start, area.end, area.entry_bits())
                protect_marked(mm, area.start, area.end)
            except OutOfFrames:
                area.protection = old_protection
                mm.merge_around(start, end)
                raise
            if has_pages:
                mm.memory.translations_changed(mm.tables.root, area.start, area.end)
            # Linux: mm/mprotect.c, mprotect_fixup.
            if protection & PROT_WRITE and not area.is_shared and not area.flags & NO_RESERVE:
                area.flags |= ACCOUNTED
            elif (
                not protection & PROT_WRITE
                and area.pages is None
                # A guard is as good as a page. Linux: mm/madvise.c, madvise_guard_install.
                and not (has_pages or area.flags & MAY_HAVE_GUARDS)
            ):
                area.flags &= ~ACCOUNTED
    mm.merge_around(start, end)


@syscall(12)
def brk(task: Task, address: Address) -> Address:
    """brk(2), the raw call: where the heap ends afterwards."""
    mm = task.mm
    old = mm.brk
    if mm.locks_future and address > old:
        try:
            check_lock_growth(task, align(address) - align(old))
        except EAGAIN:
            return old
    new = set_brk(mm, address, effective_protection(task, PROT_READ | PROT_WRITE))
    if mm.locks_future and new > old and not mm.locks_future & _MCL_ONFAULT:
        populate(mm, align(old), align(new), is_write=True)
    return new


@syscall(462)
def mseal(task: Task, address: Address, length: Size, flags: Size) -> int:
    """mseal(2). Linux: mm/mseal.c, do_mseal."""
    if flags or address & PAGE_MASK:
        raise EINVAL("there are no flags, or not page-aligned")
    size = align(length) & _UNSIGNED_64
    if length and not size:
        raise EINVAL("a length beyond the address space")
    end = address + size
    if end > _UNSIGNED_64:
        raise EINVAL("past the end of the address space")
    if end == address:
        return 0
    mm = task.mm
    if not mm.is_mapped(address, end):
        raise ENOMEM("part of the range isn't mapped")
    for area in mm.isolate_changing(address, end, lambda area: bool(area.flags & SEALED), SEALED):
        area.flags |= SEALED
    mm.merge_around(address, end)
    return 0


@syscall(26)
def msync(task: Task, address: Address, length: Size, flags: Flags[MsyncFlag]) -> int:
    """msync(2): memory is the file, but its pages are clean then.

    Linux: mm/msync.c, SYSCALL_DEFINE3(msync).
    """
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
    if flags & MsyncFlag.MS_SYNC:
        unsynced: dict[PageCache, int] = {}
        for area in task.mm.areas_in(address, end):
            if area.is_shared and area.file is not None:
                file = cast("File", area.file)
                pages = file.pages_to_sync()
                if pages is not None:
                    unsynced[pages] = file.inode.size
        write_back(unsynced)
    if has_hole:
        raise ENOMEM("part of the range isn't mapped")
    return 0


def _tells_of_pages(task: Task, area: VirtualMemoryArea) -> bool:
    """Whether mincore(2) tells which pages are there: of others' files it says that all are."""
    file = cast("File | None", area.file)
    return file is None or may_see_cache(through(file.path.mount, task.credentials), file.inode)


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
        area_end = min(area.end, end)
        is_told = _tells_of_pages(task, area)
        cached = area.cached_pages(address >> PAGE_SHIFT, area_end >> PAGE_SHIFT) if is_told else []
        while address < area_end:
            # As many at once as one page of the caller's can tell.
            last = min(area_end, address + (PAGE_SIZE << PAGE_SHIFT))
            first, past = address >> PAGE_SHIFT, last >> PAGE_SHIFT
            present = bytearray(past - first) if is_told else bytearray(b"\x01" * (past - first))
            for page in mm.tables.present_pages(first, past):
                present[page - first] = 1
            for page in cached[bisect_left(cached, first) : bisect_left(cached, past)]:
                present[page - first] = 1
            task.kernel.clock.spend(len(present) * SEEN_PAGE_NS)
            mm.write(vector, bytes(present))
            vector += len(present)
            address = last
    return 0
