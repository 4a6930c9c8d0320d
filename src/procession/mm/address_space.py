"""An address space: its areas, its page tables, and the kernel's own access to user memory."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from procession.abi.errno import EEXIST, EFAULT, EINVAL, ENOMEM, EPERM
from procession.hardware import page_table as pte
from procession.hardware.kernel_memory import ADDRESS_SPACE, ADDRESS_SPACE_BYTES
from procession.hardware.physical_memory import (
    PAGE_MASK,
    PAGE_SHIFT,
    PAGE_SIZE,
    OutOfFrames,
    PhysicalMemory,
)
from procession.hardware.processor_level import V2
from procession.mm.area_list import AreaList
from procession.mm.area_map import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, AreaMap, MemoryLimits
from procession.mm.fault import DIRTIED, MAJOR, handle_fault
from procession.mm.ksm import can_be_merged
from procession.mm.overcommit import check_commit
from procession.mm.page_tables import PageTables
from procession.mm.ring_table import RingTable
from procession.mm.user_fault import (
    ALL_MARKS,
    GUARDED,
    AccessViolation,
    copy_marks,
    reason_to_wait,
    unmark,
)
from procession.mm.vma import (
    ACCOUNTED,
    ANY_LOCK,
    DONT_FORK,
    MERGEABLE,
    PROT_EXEC,
    PROT_WRITE,
    SEALED,
    USER_HANDLES,
    WIPE_ON_FORK,
    VirtualMemoryArea,
)

UNDUMPABLE, DUMPABLE, DUMPABLE_BY_ROOT = range(3)
"""Who may read a core of the process: nobody, for there is none; its user; root alone. Only a process that
is DUMPABLE may be inspected by its user (in Linux, SUID_DUMP_DISABLE, _USER and _ROOT)."""
DEFAULT_DUMP_FILTER: Final = 0x33
"""Private and shared memory without a file, and the headers of ELF files (core(5))."""

DENIES_WRITE_EXECUTE: Final = 1
"""Nothing is mapped writable and executable at once, and nothing becomes executable (PR_SET_MDWE)."""
DENIAL_ENDS_HERE: Final = 2
"""DENIES_WRITE_EXECUTE isn't inherited (PR_MDWE_NO_INHERIT)."""
HUGE_PAGES_DISABLED: Final = 4
"""PR_SET_THP_DISABLE: no area has folios (`mm.huge_pages`)."""
ONLY_ADVISED_HUGE_PAGES: Final = 16
"""The same, but for areas for which the program has asked for them (PR_THP_DISABLE_EXCEPT_ADVISED)."""
MERGES_ANY: Final = 8
"""PR_SET_MEMORY_MERGE: all that can be merged asks for it, what is mapped later too (`mm.ksm`)."""

_AREAS_AS_A_CHANGE: Final = 32
"""So many areas are looked at in the time of one changed entry."""
_READABLE: Final = pte.PRESENT | pte.USER
_WRITABLE: Final = pte.PRESENT | pte.USER | pte.WRITABLE


def flags_for_child(flags: int) -> int:
    """The `inherited_flags` after fork or exec. Linux: include/linux/mm_types.h, mmf_init_flags."""
    if flags & DENIAL_ENDS_HERE:
        flags &= ~(DENIES_WRITE_EXECUTE | DENIAL_ENDS_HERE)
    return flags


class MemoryDescriptor(AreaMap):
    """One address space (Linux: include/linux/mm_types.h, struct mm_struct).

    `reference_count` counts the tasks that run in it. `resident_pages` is its RSS and `peak_resident_pages`
    the most that it was; `peak_total_pages` is the most that all areas were before one of them was removed.
    The `*_start` and `*_end` attributes say where exec put things (PR_SET_MM's).
    `dumpable` is what PR_GET_DUMPABLE gives: UNDUMPABLE, DUMPABLE or DUMPABLE_BY_ROOT; `owner` the user
    namespace in which the program was executed, None for the machine's first; `dump_filter` which
    areas a core holds (/proc/PID/coredump_filter). `barrier_registrations` are the commands of membarrier(2)
    that registered for barriers; `inherited_flags` what outlives exec, see `flags_for_child`.
    `locks_future` are the flags of mlockall(2) for what will be mapped, 0 if it isn't locked.
    `aio_contexts` are those of io_setup(2).
    `has_fork_advice` is set once fork must look at every area: some aren't to be there in a child, or are
    counted. `page_marks` are what userfaultfd(2) has said of single pages, by their numbers, None for nothing
    (`mm.user_fault`); `has_user_faults` is set once any area's faults were a program's to handle.
    `processor_level` is the processor that the program has found (`hardware.processor_level`).
    `has_used_key` says whether pkey_alloc(2) has tried the only key there is.
    """

    __slots__ = (
        "aio_contexts",
        "arguments_end",
        "arguments_start",
        "auxiliary_vector",
        "barrier_registrations",
        "brk",
        "bytes",
        "code_end",
        "code_start",
        "data_end",
        "data_start",
        "dump_filter",
        "dumpable",
        "environment_end",
        "environment_start",
        "executable",
        "has_fork_advice",
        "has_used_key",
        "has_user_faults",
        "heap_start",
        "inherited_flags",
        "leaves",
        "locks_future",
        "owner",
        "page_marks",
        "processor_level",
        "peak_resident_pages",
        "peak_total_pages",
        "reference_count",
        "resident_pages",
        "stack_start",
        "words",
    )

    def __init__(
        self, memory: PhysicalMemory, limits: MemoryLimits, parent: PageTables | None = None
    ) -> None:
        account = memory.account
        account.charge(ADDRESS_SPACE, ADDRESS_SPACE_BYTES)
        try:
            tables = PageTables(memory) if parent is None else parent.fork()
        except OutOfFrames:
            account.uncharge(ADDRESS_SPACE, ADDRESS_SPACE_BYTES)
            raise
        super().__init__(memory, limits, tables)
        self.leaves = tables.leaves
        self.words = memory.words
        self.bytes = memory.bytes
        self.reference_count = 1
        self.resident_pages = 0
        self.peak_resident_pages = 0
        self.peak_total_pages = 0
        self.locks_future = 0
        self.heap_start = self.brk = 0
        self.stack_start = 0
        self.code_start = self.code_end = self.data_start = self.data_end = 0
        self.arguments_start = self.arguments_end = 0
        self.environment_start = self.environment_end = 0
        self.auxiliary_vector = b""
        self.executable: object = None
        self.owner: object = None
        self.processor_level = V2
        self.has_fork_advice = False
        self.has_used_key = False
        self.has_user_faults = False
        self.page_marks: dict[int, int] | None = None
        memory.address_spaces[self] = None
        self.dumpable = DUMPABLE
        self.dump_filter = DEFAULT_DUMP_FILTER
        self.barrier_registrations = 0
        self.inherited_flags = 0
        self.aio_contexts: RingTable | None = None

    @property
    def is_dumpable(self) -> bool:
        """Whether the process's own user may look into it.

        Linux: include/linux/sched/coredump.h, get_dumpable.
        """
        return self.dumpable == DUMPABLE

    @property
    def area_count(self) -> int:
        """How many areas there are (in Linux, mm_struct.map_count)."""
        return self.areas.length

    # Sharing and ending

    def acquire(self) -> MemoryDescriptor:
        """One more task runs here (CLONE_VM)."""
        self.reference_count += 1
        return self

    def put(self) -> None:
        """A task leaves; the last one frees everything. Linux: kernel/fork.c, mmput."""
        self.reference_count -= 1
        if self.reference_count == 0:
            if self.aio_contexts is not None:
                for context in list(self.aio_contexts.numbered.values()):
                    context.release()
                self.aio_contexts = None
            del self.memory.address_spaces[self]
            self.memory.space_ended(self.tables.root)
            self.tables.release()
            if self.page_marks is not None:
                unmark(self, 0, pte.USER_END, ALL_MARKS)
            self.area_list.put()
            self.use_areas(AreaList(self.memory.account, []))
            self.memory.account.uncharge(ADDRESS_SPACE, ADDRESS_SPACE_BYTES)
            self.resident_pages = 0
            put = getattr(self.executable, "put", None)
            if put is not None:
                put()
            self.executable = None

    def __repr__(self) -> str:
        return f"<MemoryDescriptor, {len(self.areas)} areas, {self.resident_pages} pages resident>"

    def fork(self) -> MemoryDescriptor:
        """A copy for a child. Raises OutOfFrames, nothing changed. Linux: kernel/fork.c, dup_mmap."""
        child = MemoryDescriptor(self.memory, self.limits, self.tables)
        child.arguments_end = self.arguments_end
        child.arguments_start = self.arguments_start
        child.auxiliary_vector = self.auxiliary_vector
        child.barrier_registrations = self.barrier_registrations
        child.brk = self.brk
        child.code_end = self.code_end
        child.code_start = self.code_start
        child.data_end = self.data_end
        child.data_start = self.data_start
        child.dump_filter = self.dump_filter
        child.dumpable = self.dumpable
        child.environment_end = self.environment_end
        child.environment_start = self.environment_start
        child.executable = self.executable
        child.processor_level = self.processor_level
        child.has_fork_advice = self.has_fork_advice
        child.has_used_key = self.has_used_key
        child.has_user_faults = self.has_user_faults
        child.heap_start = self.heap_start
        child.mmap_base, child.grows_up = self.mmap_base, self.grows_up
        child.owner = self.owner
        child.resident_pages = self.resident_pages
        child.stack_start = self.stack_start
        acquire = getattr(self.executable, "acquire", None)
        if acquire is not None:
            acquire()
        child.peak_resident_pages = self.resident_pages
        child.inherited_flags = flags_for_child(self.inherited_flags)
        child.inherit(self)
        if self.area_list.reaches_reserved:
            self.memory.space_reaches_reserved(child.tables.root)
        self.memory.space_changed(self.tables.root)
        if self.has_fork_advice:
            try:
                child._follow_fork_advice()
                copy_marks(self, child)
            except OutOfFrames:
                child.put()
                raise
        return child

    def _follow_fork_advice(self) -> None:
        """A new child drops what MADV_DONTFORK and MADV_WIPEONFORK say, and locks nothing; its faults are the
        kernel's, but where who handles them wants to hear of children.
        """
        self.own_areas()
        for area in list(self.areas):
            if area.flags & DONT_FORK:
                # It was never there: a seal doesn't keep it.
                area.flags &= ~SEALED
                self.unmap(area.start, area.end)
            elif area.flags & WIPE_ON_FORK:
                self.zap(area.start, area.end)
            area.flags &= ~ANY_LOCK
            if area.user_faults is not None:
                area.user_faults = area.user_faults.forked(self)
                if area.user_faults is None:
                    area.flags &= ~USER_HANDLES

    def denies(self, old_protection: int, new_protection: int) -> bool:
        """Whether PR_SET_MDWE forbids that memory gets `new_protection`.

        Linux: include/linux/mman.h, map_deny_write_exec.
        """
        if not self.inherited_flags & DENIES_WRITE_EXECUTE or not new_protection & PROT_EXEC:
            return False
        return bool(new_protection & PROT_WRITE) or not old_protection & PROT_EXEC

    def unmap(self, start: int, end: int) -> None:
        """Remove whatever is mapped from `start` to `end`. Linux: mm/vma.c, do_vmi_align_munmap.

        Raises OutOfFrames, EPERM for sealed memory and, for too many areas, ENOMEM; then all is mapped still.
        """
        found = self.areas_in(start, end)
        if found:
            self._take_out(found, start, end)

    def _take_out(self, found: list[VirtualMemoryArea], start: int, end: int) -> None:
        """As `unmap`, of what is `found` there."""
        for area in found:
            if area.flags & SEALED:
                raise EPERM("sealed memory")
        if self.areas.length >= self.memory.maximum_areas and found[0].start < start and found[0].end > end:
            # Only a hole in the middle of one area leaves more than before.
            raise ENOMEM("too many areas")
        self.area_list.check_room()
        if self.area_list.owner_count > 1 or self.inherits_areas:
            self.own_areas()
            found = self.areas_in(start, end)
        self.zap(start, end, dropped_marks=ALL_MARKS)
        self.peak_total_pages = max(self.peak_total_pages, self.total_pages)
        doomed = self.cut(found, start, end)
        self.tables.drop_empty(start, end, self.areas_in)
        if self.has_user_faults:
            for handler in dict.fromkeys(area.user_faults for area in found):
                if handler is not None:
                    handler.unmapped(start, end)
        for area in doomed:
            area.release()

    def zap(self, start: int, end: int, *, dropped_marks: int = ALL_MARKS & ~GUARDED) -> None:
        """Drop the pages that are mapped from `start` to `end`, and of their marks those named; the areas
        stay.
        """
        count, resident = self.tables.zap(start, end)
        if self.page_marks is not None:
            unmark(self, start, end, dropped_marks)
        if count:
            self.resident_pages -= resident
            self.memory.translations_changed(self.tables.root, start, end)

    def unmap_pages(self, pages: object, first_index: int) -> None:
        """Drop what is mapped of the page cache `pages` from page `first_index` on, private copies too.

        The areas stay: the next access faults. Linux: mm/memory.c, unmap_mapping_range.
        """
        self._note_search()
        for area in self.areas:
            if area.pages is pages:
                index = max(first_index, area.page_offset)
                start = area.start + ((index - area.page_offset) << PAGE_SHIFT)
                if start < area.end:
                    self.zap(start, area.end)

    def unmap_cached(self, pages: object, first: int, past: int) -> None:
        """Drop what is mapped of the page cache `pages` from page `first` to before `past`, but no copies.

        Raises OutOfFrames. Linux: mm/memory.c, unmap_mapping_range.
        """
        self._note_search()
        for area in self.areas:
            if area.pages is pages:
                start = max(area.start, area.start + ((first - area.page_offset) << PAGE_SHIFT))
                end = min(area.end, area.start + ((past - area.page_offset) << PAGE_SHIFT))
                if start < end:
                    count = self.tables.zap_cached(start, end)
                    if count:
                        self.resident_pages -= count
                        self.memory.translations_changed(self.tables.root, start, end)

    def _note_search(self) -> None:
        """Every area is looked at, where Linux has a tree of those that map a file."""
        self.memory.note_changed(1 + len(self.areas) // _AREAS_AS_A_CHANGE)

    def forget_shared_pages(self, pages: object) -> None:
        """Drop the entries of shared writable areas of `pages`: the next access makes them anew.

        Where a program would be asked about that access, the next write is enough.
        """
        for area in self.areas:
            if area.pages is not pages or not area.is_shared or not area.protection & PROT_WRITE:
                continue
            if area.user_faults is None:
                self.zap(area.start, area.end)
            elif self.tables.protect(area.start, area.end, area.entry_bits() & ~pte.WRITABLE):
                self.memory.translations_changed(self.tables.root, area.start, area.end)

    def protect_shared_pages(self, caches: Container[object]) -> None:
        """Let the next write to each page of a shared area of one of `caches` fault."""
        for area in self.areas:
            if area.is_shared and area.protection & PROT_WRITE and area.pages in caches:
                bits = area.entry_bits() & ~pte.WRITABLE
                if self.tables.protect(area.start, area.end, bits):
                    self.memory.translations_changed(self.tables.root, area.start, area.end)

    def map(self, area: VirtualMemoryArea, *, is_overcommitted: bool = False) -> VirtualMemoryArea:
        """Put `area` in, replacing what it overlaps; it takes its own references.

        Raises ENOMEM for the limits, for too many areas, and for private writable memory larger than the
        machine's unless `is_overcommitted` (MAP_NORESERVE). Linux: mm/vma.c, mmap_region.
        """
        start, end = area.start, area.end
        overlapped = promised = 0
        found = self.areas_in(start, end)
        for old in found:
            size = min(old.end, end) - max(old.start, start)
            overlapped += size
            if old.flags & ACCOUNTED:
                promised += size
        is_data = area.is_data
        soft = self.limits.soft
        if soft[RLIMIT_AS] != RLIM_INFINITY or soft[RLIMIT_DATA] != RLIM_INFINITY:
            self.check_limits(end - start, is_data, overlapped)
        if self.areas.length > self.memory.maximum_areas:
            # One more than the sysctl says, as on Linux.
            raise ENOMEM("too many areas")
        if is_data and not is_overcommitted and end - start != promised:
            check_commit(self, end - start - promised >> PAGE_SHIFT)
        if self.area_list.owner_count > 1 or self.inherits_areas:
            self.own_areas()
            found = self.areas_in(start, end)
        if found:
            # That looks whether there's room.
            self._take_out(found, start, end)
        else:
            self.area_list.check_room()
        area.acquire()
        if self.inherited_flags & MERGES_ANY and can_be_merged(area):
            area.flags |= MERGEABLE
        return self.insert(area)

    def map_row(self, areas: list[VirtualMemoryArea]) -> bool:
        """As `map` of each of these, which follow one another where there is nothing.

        Returns False, nothing done, where they have to be looked at one by one. Raises ENOMEM, OutOfFrames.
        """
        soft = self.limits.soft
        if (
            soft[RLIMIT_AS] != RLIM_INFINITY
            or soft[RLIMIT_DATA] != RLIM_INFINITY
            or self.areas.length + len(areas) > self.memory.maximum_areas
            or self.inherited_flags & MERGES_ANY
        ):
            return False
        for area in areas:
            if area.is_data:
                check_commit(self, area.size >> PAGE_SHIFT)
        self.area_list.check_room(len(areas))
        if not self.insert_row(areas):
            return False
        for area in areas:
            area.acquire()
        return True

    def check_fixed(self, address: int, length: int, *, must_be_free: bool = False) -> None:
        """Whether a new mapping may be at `address`. Raises EINVAL, ENOMEM, EEXIST.

        Linux: mm/mmap.c, __get_unmapped_area.
        """
        if length > pte.USER_END or address > pte.USER_END - length:
            raise ENOMEM("past the end of user space")
        if address & PAGE_MASK:
            raise EINVAL("a fixed address that isn't page-aligned")
        if must_be_free and self.areas_in(address, address + length):
            raise EEXIST("something is mapped there")

    # The kernel's access to user memory

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes at `address`. Raises EFAULT."""
        offset = address & PAGE_MASK
        if offset + length <= PAGE_SIZE:
            leaf = self.leaves.get(address >> 21)
            if leaf is not None:
                entry = self.words[(leaf << 9) + (address >> 12 & 511)]
                if entry & _READABLE == _READABLE:
                    base = (entry & pte.ADDRESS_MASK) + offset
                    return self.bytes[base : base + length]
        return self._read_pages(address, length)

    def _read_pages(self, address: int, length: int) -> bytes:
        parts: list[bytes] = []
        while length > 0:
            count = min(length, PAGE_SIZE - (address & PAGE_MASK))
            base = self._resolve(address, is_write=False)
            parts.append(self.bytes[base : base + count])
            address += count
            length -= count
        return b"".join(parts)

    def write(self, address: int, data: bytes) -> None:
        """Put `data` at `address`. Raises EFAULT, having written a prefix of whole pages."""
        offset = address & PAGE_MASK
        length = len(data)
        if offset + length <= PAGE_SIZE:
            leaf = self.leaves.get(address >> 21)
            if leaf is not None:
                memory = self.memory
                entry = self.words[(leaf << 9) + (address >> 12 & 511)]
                if entry & _WRITABLE == _WRITABLE and memory.references[leaf] == 1 and entry >> 63:
                    base = (entry & pte.ADDRESS_MASK) + offset
                    self.bytes[base : base + length] = data
                    if base >> 12 in memory.executable:
                        memory.code_changed(base >> PAGE_SHIFT)
                    return
        done = 0
        memory = self.memory
        while done < length:
            count = min(length - done, PAGE_SIZE - (address & PAGE_MASK))
            if self.has_user_faults and self._writes_later(address, data[done : done + count]):
                address += count
                done += count
                continue
            base = self._resolve(address, is_write=True)
            self.bytes[base : base + count] = data[done : done + count]
            if base >> PAGE_SHIFT in memory.executable:
                memory.code_changed(base >> PAGE_SHIFT)
            address += count
            done += count

    def _writes_later(self, address: int, data: bytes) -> bool:
        """Whether `data`, within one page, is written once the program has handled the fault: a call can't be
        made again that has got the bytes already. Raises EFAULT.
        """
        area = self.find(address)
        if area is None or area.user_faults is None or not area.protection & PROT_WRITE:
            return False
        if not reason_to_wait(self, area, address, is_write=True):
            return False
        try:
            area.user_faults.write_later(self, address, data)
        except AccessViolation:
            raise EFAULT(f"{address:#x} can't be written now") from None
        return True

    def read_cstring(self, address: int, limit: int) -> bytes | None:
        """The bytes before the NUL at `address`; None if `limit` bytes hold none. Raises EFAULT."""
        parts: list[bytes] = []
        while limit > 0:
            leaf = self.leaves.get(address >> 21)
            entry = 0 if leaf is None else self.words[(leaf << 9) + (address >> 12 & 511)]
            if entry & _READABLE == _READABLE:
                base = entry & pte.ADDRESS_MASK | address & PAGE_MASK
            else:
                base = self._resolve(address, is_write=False)
            count = min(limit, PAGE_SIZE - (address & PAGE_MASK))
            end = self.bytes.find(b"\0", base, base + count)
            if end >= 0:
                if not parts:
                    return self.bytes[base:end]
                parts.append(self.bytes[base:end])
                return b"".join(parts)
            parts.append(self.bytes[base : base + count])
            address += count
            limit -= count
        return None

    def probe_write(self, address: int, length: int) -> None:
        """Make sure that `length` bytes at `address` can be written, before something is consumed.

        Raises EFAULT.
        """
        end = address + length
        while address < end:
            self._resolve(address, is_write=True)
            address = (address | PAGE_MASK) + 1

    def read_word(self, address: int) -> int:
        """The unsigned 64-bit word at `address`. Raises EFAULT."""
        return int.from_bytes(self.read(address, 8), "little")

    def _resolve(self, address: int, *, is_write: bool) -> int:
        """The physical address of `address`, faulted in. Raises EFAULT."""
        if not 0 <= address < pte.USER_END:
            raise EFAULT(f"{address:#x} is no user address")
        needed = _WRITABLE if is_write else _READABLE
        entry = self.tables.entry(address >> PAGE_SHIFT)
        if entry & needed != needed or (is_write and self.memory.references[self.leaves[address >> 21]] > 1):
            try:
                kind = handle_fault(self, address, 2 if is_write else 0)
            except AccessViolation:
                raise EFAULT(f"{address:#x} can't be {'written' if is_write else 'read'}") from None
            counts = self.memory.fault_counts
            if counts is not None and kind != DIRTIED:
                if kind == MAJOR:
                    counts.major_faults += 1
                else:
                    counts.minor_faults += 1
            if is_write:
                # What the processor has cached for this page may be the frame that was copied from.
                page = address & ~PAGE_MASK
                self.memory.translations_changed(self.tables.root, page, page + PAGE_SIZE)
            self.memory.note_filled()
            entry = self.tables.entry(address >> PAGE_SHIFT)
        return (entry & pte.ADDRESS_MASK) | (address & PAGE_MASK)
