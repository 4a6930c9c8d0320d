"""System calls on the address space."""

from __future__ import annotations

from procession.abi.errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOMEM,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
)
from procession.abi.mmap_flags import Advice, MapFlag, MremapFlag, MsyncFlag, Protection
from procession.fs.mount import MS_NOEXEC
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, STALE_TRANSLATIONS
from procession.kernel.task import Task
from procession.mm.address_space import MemoryDescriptor
from procession.mm.fault import AccessViolation, handle_fault
from procession.mm.page_cache import PageCache
from procession.mm.vma import (
    DONT_DUMP,
    DONT_FORK,
    GROWS_DOWN,
    LOCKED,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    WIPE_ON_FORK,
    SharedAnonymous,
    VirtualMemoryArea,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import U64, Address, Fd, Flags, Int, Size

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_TYPE = 1, 2, 3, 0xF
MAP_FIXED, MAP_ANONYMOUS, MAP_GROWSDOWN = 0x10, 0x20, 0x100
MAP_LOCKED, MAP_NORESERVE, MAP_POPULATE = 0x2000, 0x4000, 0x8000
MAP_HUGETLB, MAP_SYNC, MAP_FIXED_NOREPLACE = 0x40000, 0x80000, 0x100000
MAP_32BIT = 0x40
_KNOWN_TO_VALIDATE = 0x7FFF3 & ~MAP_HUGETLB | MAP_FIXED_NOREPLACE | MAP_HUGETLB | 0x20000 | 0x10000
PROT_GROWSDOWN, PROT_GROWSUP, PROT_SEM = 0x01000000, 0x02000000, 8
MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP = 1, 2, 4
MS_ASYNC, MS_INVALIDATE, MS_SYNC = 1, 2, 4
(MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED) = range(5)
MADV_FREE, MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK = 8, 9, 10, 11
MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE = 12, 13, 14, 15
MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK = 16, 17, 18, 19
MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTNEED_LOCKED = 20, 21, 22, 23, 24
_RLIMIT_MEMLOCK = 8
_CAP_IPC_LOCK = 14
_INFINITY = (1 << 64) - 1


def _align(length: int) -> int:
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
    if not flags & MAP_ANONYMOUS:
        file = task.files.file(fd)
        if not (file.is_readable or file.is_writable):
            raise EBADF("an O_PATH descriptor")
    elif flags & MAP_HUGETLB:
        raise EINVAL("there are no huge pages")
    if length == 0:
        raise EINVAL("a length of 0")
    size = _align(length)
    if size >= 1 << 47 or size == 0:
        raise ENOMEM("longer than the address space")
    if (offset >> PAGE_SHIFT) + (size >> PAGE_SHIFT) > 1 << 52:
        raise EOVERFLOW
    is_fixed = bool(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
    if not is_fixed:
        address = _align(address) if 0 < address < pte.USER_END else 0
    if flags & MAP_32BIT and not is_fixed:
        start = mm.find_gap(size, below=1 << 31)
    else:
        start = mm.place(address, size, is_fixed=is_fixed, must_be_free=bool(flags & MAP_FIXED_NOREPLACE))
    if flags & MAP_LOCKED:
        _check_lock_limit(task, size)
    kind = flags & MAP_TYPE
    rights = protection & (PROT_READ | PROT_WRITE | PROT_EXEC)
    area_flags = 0
    if flags & MAP_LOCKED:
        area_flags |= LOCKED
    if file is None:
        if kind not in (MAP_SHARED, MAP_PRIVATE):
            raise EINVAL("neither MAP_SHARED nor MAP_PRIVATE")
        if flags & MAP_GROWSDOWN:
            if kind == MAP_SHARED:
                raise EINVAL("a shared mapping doesn't grow")
            area_flags |= GROWS_DOWN
        pages: PageCache | None = SharedAnonymous(task.kernel.memory) if kind == MAP_SHARED else None
        area = VirtualMemoryArea(
            start,
            start + size,
            rights,
            is_shared=kind == MAP_SHARED,
            pages=pages,
            flags=area_flags,
            name=b"/dev/zero (deleted)" if pages is not None else b"",
        )
    else:
        if kind == MAP_SHARED_VALIDATE and flags & ~_KNOWN_TO_VALIDATE:
            raise EOPNOTSUPP("a flag that this file can't honour")
        if kind not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE):
            raise EINVAL("neither MAP_SHARED nor MAP_PRIVATE")
        is_shared = kind != MAP_PRIVATE
        if is_shared and rights & PROT_WRITE and not file.is_writable:
            raise EACCES("a shared writable mapping of a file that isn't open for writing")
        if not file.is_readable:
            raise EACCES("the file isn't open for reading")
        if rights & PROT_EXEC and file.path.mount.flags & MS_NOEXEC:
            raise EPERM("on a mount without execution")
        may_write = file.check_mapping(is_shared=is_shared, is_writable=bool(rights & PROT_WRITE))
        pages = file.mappable()
        if file.maps_zeros and is_shared:
            pages = SharedAnonymous(task.kernel.memory)
        elif pages is None and not file.maps_zeros:
            raise ENODEV("this kind of file can't be mapped")
        if flags & MAP_GROWSDOWN:
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
    mm.map(area, is_overcommitted=bool(flags & MAP_NORESERVE))
    if flags & (MAP_POPULATE | MAP_LOCKED) and rights:
        _populate(mm, start, start + size, is_write=bool(rights & PROT_WRITE) and kind == MAP_PRIVATE)
    return start


def _populate(mm: MemoryDescriptor, start: int, end: int, *, is_write: bool) -> None:
    """Fault pages in; what can't be isn't (Linux: mm/gup.c, __mm_populate)."""
    for address in range(start, end, PAGE_SIZE):
        try:
            handle_fault(mm, address, 2 if is_write else 0)
        except AccessViolation:
            return


@syscall(11)
def munmap(task: Task, address: Address, length: Size) -> int:
    """munmap(2)."""
    size = _align(length)
    if address & PAGE_MASK or size == 0 or address > pte.USER_END or size > pte.USER_END - address:
        raise EINVAL("no range of user pages")
    task.mm.unmap(address, address + size)
    return 0


@syscall(10)
def mprotect(task: Task, address: Address, length: Size, protection: Flags[Protection]) -> int:
    """mprotect(2). Linux: mm/mprotect.c, do_mprotect_pkey."""
    mm = task.mm
    grows = protection & (PROT_GROWSDOWN | PROT_GROWSUP)
    if grows == PROT_GROWSDOWN | PROT_GROWSUP:
        raise EINVAL("grows both ways")
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    if length == 0:
        return 0
    size = _align(length)
    end = address + size
    if size == 0 or end <= address or end > 1 << 64:
        raise ENOMEM("past the end of the address space")
    if protection & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | grows):
        raise EINVAL("unknown protection")
    rights = protection & (PROT_READ | PROT_WRITE | PROT_EXEC)
    if grows == PROT_GROWSUP:
        raise EINVAL("no area grows up here")
    if grows:
        area = mm.find(address) or next(iter(mm.areas_in(address, end)), None)
        if area is None or not area.flags & GROWS_DOWN:
            raise EINVAL("not a stack")
        address = area.start
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
            area.protection = protection
            if protection & PROT_EXEC and area.pages is not None:
                area.pages.note_executable_area()
            if mm.tables.protect(area.start, area.end, area.entry_bits()):
                mm.memory.stale |= STALE_TRANSLATIONS
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
    return task.mm.set_brk(address)


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
    if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP):
        raise EINVAL("unknown flags")
    if flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) and not flags & MREMAP_MAYMOVE:
        raise EINVAL("that moves, and may not")
    if flags & MREMAP_DONTUNMAP and old_length != new_length:
        raise EINVAL("MREMAP_DONTUNMAP doesn't resize")
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    old_size, new_size = _align(old_length), _align(new_length)
    if new_size == 0 or new_size >= 1 << 47:
        raise EINVAL("a new size of 0, or beyond the address space")
    if flags & MREMAP_FIXED:
        if new_address & PAGE_MASK or new_size > pte.USER_END or new_address > pte.USER_END - new_size:
            raise EINVAL("a new address that can't be")
        if address < new_address + new_size and new_address < address + old_size:
            raise EINVAL("old and new overlap")
    mm.own_areas()
    area = mm.find(address)
    if area is None:
        raise EFAULT("nothing is mapped there")
    if old_size == 0:
        if not area.is_shared:
            raise EINVAL("only shared mappings can be duplicated")
        old_size_checked = new_size
    else:
        old_size_checked = old_size
        if address + old_size > area.end:
            raise EFAULT("the range goes past its area")
    if flags & MREMAP_FIXED:
        mm.unmap(new_address, new_address + new_size)
    elif not flags & MREMAP_DONTUNMAP and old_size and new_size <= old_size:
        if new_size < old_size:
            mm.unmap(address + new_size, address + old_size)
        return address
    if flags & MREMAP_FIXED and old_size > new_size:
        mm.unmap(address + new_size, address + old_size)
        old_size = old_size_checked = new_size
    if new_size > old_size:
        mm.check_limits(new_size - old_size, area.is_data)
    can_grow_here = (
        not flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)
        and old_size
        and address + old_size == area.end
        and address + new_size <= pte.USER_END
        and not mm.areas_in(area.end, address + new_size)
    )
    if can_grow_here:
        area.end = address + new_size
        mm.merge_around(area.start, area.end)
        return address
    if not flags & MREMAP_MAYMOVE:
        raise ENOMEM("no room to grow in place")
    target = new_address if flags & MREMAP_FIXED else mm.find_gap(new_size, new_address)
    moved = area.copy(address, address + (old_size or old_size_checked))
    moved.end = target + new_size
    moved.start = target
    mm.insert(moved)
    if old_size:
        mm.tables.move(address, target, old_size)
        mm.memory.stale |= STALE_TRANSLATIONS
        if not flags & MREMAP_DONTUNMAP:
            resident = mm.resident_pages
            mm.unmap(address, address + old_size)
            mm.resident_pages = resident
    return target


@syscall(28)
def madvise(task: Task, address: Address, length: Size, advice: Flags[Advice]) -> int:
    """madvise(2). Linux: mm/madvise.c, do_madvise."""
    mm = task.mm
    if advice not in _ADVICE:
        raise EINVAL("unknown advice")
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    size = _align(length)
    if length and not size:
        raise EINVAL("a length beyond the address space")
    end = address + size
    if end >= 1 << 64:
        raise EINVAL("past the end of the address space")
    if end == address:
        return 0
    areas = mm.areas_in(address, end)
    if advice in (MADV_POPULATE_READ, MADV_POPULATE_WRITE):
        _populate_strictly(mm, address, end, is_write=advice == MADV_POPULATE_WRITE)
        return 0
    has_hole = not mm.is_mapped(address, end)
    for area in areas:
        _check_advice(area, advice)
    if advice in _AREA_FLAGS:
        bits, is_set = _AREA_FLAGS[advice]
        for area in mm.isolate(address, end):
            area.flags = area.flags | bits if is_set else area.flags & ~bits
        if bits & (DONT_FORK | WIPE_ON_FORK) and is_set:
            mm.has_fork_advice = True
        mm.merge_around(address, end)
    elif advice in (MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE):
        for area in areas:
            mm.zap(max(area.start, address), min(area.end, end))
    elif advice == MADV_REMOVE:
        for area in areas:
            _punch(area, max(area.start, address), min(area.end, end))
    if has_hole:
        raise ENOMEM("part of the range isn't mapped")
    return 0


_ADVICE = frozenset(
    {
        *(MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_REMOVE),
        *(MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK),
        *(MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTNEED_LOCKED),
    }
)
"""The others need same-page merging or huge pages, which are configured out: EINVAL."""

_AREA_FLAGS = {
    MADV_DONTFORK: (DONT_FORK, True),
    MADV_DOFORK: (DONT_FORK, False),
    MADV_DONTDUMP: (DONT_DUMP, True),
    MADV_DODUMP: (DONT_DUMP, False),
    MADV_WIPEONFORK: (WIPE_ON_FORK, True),
    MADV_KEEPONFORK: (WIPE_ON_FORK, False),
}


def _check_advice(area: VirtualMemoryArea, advice: int) -> None:
    """Raise EINVAL or EACCES for advice that makes no sense for an area."""
    if advice == MADV_WIPEONFORK and (area.file is not None or area.is_shared):
        raise EINVAL("only private anonymous memory can be wiped")
    if advice == MADV_FREE and (area.file is not None or area.is_shared):
        raise EINVAL("only private anonymous memory can be freed lazily")
    if advice in (MADV_DONTNEED, MADV_FREE) and area.flags & LOCKED:
        raise EINVAL("locked pages")
    if advice == MADV_REMOVE:
        if area.flags & LOCKED or area.pages is None:
            raise EINVAL("nothing that can be removed from")
        if not area.is_shared or not area.may_write:
            raise EACCES("not a shared writable mapping")


def _populate_strictly(mm: MemoryDescriptor, start: int, end: int, *, is_write: bool) -> None:
    for address in range(start, end, PAGE_SIZE):
        area = mm.find(address)
        if area is None:
            raise ENOMEM("not mapped")
        if not area.protection & (PROT_WRITE if is_write else PROT_READ | PROT_WRITE | PROT_EXEC):
            raise EINVAL("an area without that right")
        try:
            handle_fault(mm, address, 2 if is_write else 0)
        except AccessViolation:
            raise EFAULT("past the file's end") from None


def _punch(area: VirtualMemoryArea, start: int, end: int) -> None:
    """Zero a range of a shared mapping's pages (MADV_REMOVE)."""
    assert area.pages is not None
    first = area.page_index(start)
    for index in range(first, first + ((end - start) >> PAGE_SHIFT)):
        if index in area.pages.frames or area.pages.backing is not None:
            area.pages.write(index << PAGE_SHIFT, bytes(PAGE_SIZE))


@syscall(26)
def msync(task: Task, address: Address, length: Size, flags: Flags[MsyncFlag]) -> int:
    """msync(2): memory is the file, so there is nothing to write; the errors are Linux's."""
    if flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) or address & PAGE_MASK:
        raise EINVAL("unknown flags, or not page-aligned")
    if flags & MS_ASYNC and flags & MS_SYNC:
        raise EINVAL("both MS_ASYNC and MS_SYNC")
    end = address + _align(length)
    if end > 1 << 64:
        raise ENOMEM("past the end of the address space")
    if end == address:
        return 0
    if not task.mm.is_mapped(address, end):
        raise ENOMEM("part of the range isn't mapped")
    return 0


@syscall(27)
def mincore(task: Task, address: Address, length: Size, vector: Address) -> int:
    """mincore(2)."""
    mm = task.mm
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    size = _align(length)
    if address > pte.USER_END or size > pte.USER_END - address:
        raise ENOMEM("past the end of user space")
    mm.probe_write(vector, size >> PAGE_SHIFT)
    if not mm.is_mapped(address, address + size):
        raise ENOMEM("part of the range isn't mapped")
    present = bytearray()
    for page in range(address >> PAGE_SHIFT, (address + size) >> PAGE_SHIFT):
        area = mm.find(page << PAGE_SHIFT)
        assert area is not None
        cached = area.pages is not None and area.page_index(page << PAGE_SHIFT) in area.pages.frames
        present.append(1 if cached or mm.tables.entry(page) else 0)
    mm.write(vector, bytes(present))
    return 0


def _check_lock_limit(task: Task, size: int) -> None:
    """Raise EAGAIN or EPERM. Linux: mm/mlock.c, can_do_mlock, mlock_future_ok."""
    if task.credentials.has_capability(_CAP_IPC_LOCK):
        return
    limit = task.group.limits.soft[_RLIMIT_MEMLOCK]
    if limit == 0:
        raise EPERM("RLIMIT_MEMLOCK is 0")
    if limit != _INFINITY and _locked_bytes(task.mm) + size > limit:
        raise EAGAIN("RLIMIT_MEMLOCK")


def _locked_bytes(mm: MemoryDescriptor) -> int:
    return sum(area.size for area in mm.areas if area.flags & LOCKED)


def _set_locked(task: Task, address: int, length: int, *, is_locked: bool) -> None:
    mm = task.mm
    start = address & ~PAGE_MASK
    end = _align(address + length)
    if end < start or end > 1 << 64:
        raise EINVAL("past the end of the address space")
    if end == start:
        return
    if is_locked:
        try:
            _check_lock_limit(task, end - start)
        except EAGAIN:
            raise ENOMEM("RLIMIT_MEMLOCK") from None
    if not mm.is_mapped(start, end):
        raise ENOMEM("part of the range isn't mapped")
    for area in mm.isolate(start, end):
        area.flags = area.flags | LOCKED if is_locked else area.flags & ~LOCKED
        if is_locked and area.protection:
            _populate(
                mm, area.start, area.end, is_write=bool(area.protection & PROT_WRITE and not area.is_shared)
            )
    mm.merge_around(start, end)


@syscall(149)
def mlock(task: Task, address: Address, length: Size) -> int:
    """mlock(2)."""
    _set_locked(task, address, length, is_locked=True)
    return 0


@syscall(325)
def mlock2(task: Task, address: Address, length: Size, flags: Int) -> int:
    """mlock2(2); pages are locked when they come in either way."""
    if flags & ~1:
        raise EINVAL("unknown flags")
    _set_locked(task, address, length, is_locked=True)
    return 0


@syscall(150)
def munlock(task: Task, address: Address, length: Size) -> int:
    """munlock(2)."""
    _set_locked(task, address, length, is_locked=False)
    return 0


@syscall(151)
def mlockall(task: Task, flags: Int) -> int:
    """mlockall(2) for what is mapped now; MCL_FUTURE is refused as without the capability."""
    if not flags or flags & ~7 or flags == 4:
        raise EINVAL("unknown flags")
    mm = task.mm
    total = mm.total_pages << PAGE_SHIFT
    try:
        _check_lock_limit(task, total)
    except EAGAIN:
        raise ENOMEM("RLIMIT_MEMLOCK") from None
    if flags & 2:
        raise ENOMEM("locking what isn't mapped yet")
    mm.own_areas()
    for area in mm.areas:
        area.flags |= LOCKED
    return 0


@syscall(152)
def munlockall(task: Task) -> int:
    """munlockall(2)."""
    task.mm.own_areas()
    for area in task.mm.areas:
        area.flags &= ~LOCKED
    return 0
