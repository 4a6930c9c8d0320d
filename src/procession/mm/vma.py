"""Virtual memory areas: ranges of an address space with one set of rights and one origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from procession.abi.mmap_flags import LockAll, Protection
from procession.hardware import page_table as pte
from procession.hardware.kernel_memory import INODE, INODE_BYTES
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PhysicalMemory
from procession.mm.page_cache import PageCache

if TYPE_CHECKING:
    from procession.mm.user_fault import UserFaultHandler

PROT_READ: Final = int(Protection.PROT_READ)
PROT_WRITE: Final = int(Protection.PROT_WRITE)
PROT_EXEC: Final = int(Protection.PROT_EXEC)

DONT_FORK: Final = 1
WIPE_ON_FORK: Final = 2
GROWS_DOWN: Final = 4
DONT_DUMP: Final = 8
LOCKED: Final = 16
COUNTED: Final = 32
"""What is mapped counts the areas that map it, so this one stays apart from its neighbours."""
RANDOM_READ: Final = 64
SEQUENTIAL_READ: Final = 128
LOCKED_ON_FAULT: Final = 256
NO_RESERVE: Final = 512
HUGE_PAGES: Final = 1024
NO_HUGE_PAGES: Final = 2048
MERGEABLE: Final = 4096
SEALED: Final = 8192
"""Neither its place nor its rights change any more (mseal(2))."""
USER_HANDLES_MISSING: Final = 16384
"""The program handles accesses to pages that aren't there (userfaultfd(2); in Linux, VM_UFFD_MISSING)."""
USER_HANDLES_WRITE: Final = 32768
"""It handles writes to those that it has protected (VM_UFFD_WP)."""
USER_HANDLES_MINOR: Final = 65536
"""It handles accesses to what is in memory but not mapped (VM_UFFD_MINOR)."""
USER_HANDLES: Final = USER_HANDLES_MISSING | USER_HANDLES_WRITE | USER_HANDLES_MINOR
DROPPABLE: Final = 131072
"""Its pages may go when memory is short (in Linux, VM_DROPPABLE)."""
DONT_EXPAND: Final = 262144
"""mremap(2) makes it neither longer nor two (in Linux, VM_DONTEXPAND)."""
ACCOUNTED: Final = 524288
"""Memory was set aside for what may be written here, as it once could be (in Linux, VM_ACCOUNT)."""
MAY_HAVE_GUARDS: Final = 1048576
"""Pages here were guarded once, or are (in Linux, VM_MAYBE_GUARD)."""
POLICY_SHIFT: Final = 21
"""Where in the flags the policy of its memory is, as mm/policy.py writes it; 0 for none."""
ALL_BUT_POLICY: Final = (1 << POLICY_SHIFT) - 1
STACK_GUARD_GAP: Final = 1 << 20
"""How many bytes are kept free below a stack that grows (in Linux, stack_guard_gap)."""
ANY_LOCK: Final = LOCKED | LOCKED_ON_FAULT
STICKY: Final = MAY_HAVE_GUARDS
"""What two areas may differ in and become one nevertheless, which has it then (in Linux, VM_STICKY)."""

_MCL_ONFAULT: Final = int(LockAll.MCL_ONFAULT)


def future_lock(mcl_flags: int) -> int:
    """The flags of an area that is mapped after mlockall(2) with these MCL_* (in Linux, mm->def_flags)."""
    if not mcl_flags:
        return 0
    return ANY_LOCK if mcl_flags & _MCL_ONFAULT else LOCKED


def _entry_bits(protection: int) -> int:
    bits = pte.PRESENT | pte.ACCESSED
    if protection:
        bits |= pte.USER
    if protection & PROT_WRITE:
        bits |= pte.WRITABLE
    if not protection & PROT_EXEC:
        bits |= pte.NO_EXECUTE
    return bits


_RIGHTS: Final = PROT_READ | PROT_WRITE | PROT_EXEC
_ENTRY_BITS: Final = [_entry_bits(protection) for protection in range(_RIGHTS + 1)]


class MappedInode(Protocol):
    """What an area must know of the file that it maps."""

    @property
    def size(self) -> int:
        """The file's length in bytes."""

    @property
    def mode(self) -> int:
        """Its type and permission bits."""

    @property
    def link_count(self) -> int:
        """How many names it has."""

    @property
    def writer_count(self) -> int:
        """How often it's open for writing, less than 0 if it mayn't be."""

    @property
    def is_written_back(self) -> bool:
        """Whether it's kept elsewhere than in memory, so that its pages are clean at times."""

    def touch_modified(self) -> None:
        """The contents have changed now."""


class MappedFile(Protocol):
    """An open file, as a mapping holds it."""

    @property
    def inode(self) -> MappedInode:
        """The file itself."""

    def acquire(self) -> None:
        """Take a reference."""

    def put(self) -> None:
        """Give it back."""


class SharedAnonymous(PageCache):
    """The pages of a MAP_SHARED|MAP_ANONYMOUS mapping: no file, gone with the last area that maps them.

    There are `page_count` of them, as many as the mapping had first: mremap(2) adds addresses, not pages.
    Who opens them in /proc/PID/map_files may change that: then it's the size of `inode`, the file that they
    are seen as there, None until somebody looks; it's charged from the first area on.
    """

    __slots__ = ("inode", "page_count")

    def __init__(self, memory: PhysicalMemory, page_count: int) -> None:
        super().__init__(memory)
        self.page_count = page_count
        self.inode: MappedInode | None = None

    @property
    def last_index(self) -> int:
        """The index of the last page that can be accessed."""
        if self.inode is None:
            return self.page_count - 1
        return ((self.inode.size + PAGE_MASK) >> PAGE_SHIFT) - 1

    def acquire_area(self) -> None:
        if self.area_count == 0:
            # It can't fail, nor has it to: the area itself was charged, and each has one at most.
            self.memory.account.charge_always(INODE, INODE_BYTES)
        super().acquire_area()

    def release_area(self) -> None:
        super().release_area()
        if self.area_count == 0:
            self.release()
            self.memory.account.uncharge(INODE, INODE_BYTES)


class VirtualMemoryArea:
    """Addresses `start` up to `end`, page-aligned (Linux: include/linux/mm_types.h, struct vm_area_struct).

    `protection` is of PROT_* bits, `is_shared` tells MAP_SHARED from MAP_PRIVATE, `flags` are this
    module's. `pages` holds what is mapped, from page index `page_offset` on; None for private anonymous
    memory, which that of /dev/zero is too. `file` is the open file if there is one; `name` what
    /proc/PID/maps shows otherwise. `user_faults` is who handles those of its faults that USER_HANDLES in the
    flags say.

    `anonymous_id` names what its own pages belong to, 0 while it has had none: areas of two such aren't one
    again. It's less than 0 where the pages were a parent's before (in Linux, `anon_vma`). `displacement` is
    by how many pages it has been moved since, to lower addresses.
    """

    __slots__ = (
        "anonymous_id",
        "displacement",
        "end",
        "file",
        "flags",
        "is_shared",
        "may_write",
        "name",
        "page_offset",
        "pages",
        "protection",
        "start",
        "user_faults",
    )

    def __init__(
        self,
        start: int,
        end: int,
        protection: int,
        *,
        is_shared: bool = False,
        pages: PageCache | None = None,
        file: MappedFile | None = None,
        page_offset: int = 0,
        flags: int = 0,
        may_write: bool = True,
        name: bytes = b"",
    ) -> None:
        self.start = start
        self.end = end
        self.protection = protection
        self.is_shared = is_shared
        self.pages = pages
        self.file = file
        self.page_offset = page_offset
        # Linux: mm/mmap.c, accountable_mapping.
        is_accounted = protection & PROT_WRITE and not is_shared and not flags & NO_RESERVE
        self.flags = flags | ACCOUNTED if is_accounted else flags
        self.may_write = may_write
        self.name = name
        self.anonymous_id = self.displacement = 0
        self.user_faults: UserFaultHandler | None = None

    def __repr__(self) -> str:
        rights = "".join(
            letter if self.protection & right else "-"
            for letter, right in (("r", PROT_READ), ("w", PROT_WRITE), ("x", PROT_EXEC))
        )
        what = f" {self.name.decode(errors='replace')}" if self.name else " of a file" if self.file else ""
        return f"<area {self.start:#x}-{self.end:#x} {rights}{'s' if self.is_shared else 'p'}{what}>"

    @property
    def size(self) -> int:
        """The length in bytes."""
        return self.end - self.start

    @property
    def free_end(self) -> int:
        """Where what lies below ends at the latest: a stack is to grow. Linux: include/linux/mm.h,
        vm_start_gap."""
        return self.start - STACK_GUARD_GAP if self.flags & GROWS_DOWN else self.start

    @property
    def is_data(self) -> bool:
        """Whether it counts for RLIMIT_DATA: private and writable, and not the stack."""
        return self.protection & PROT_WRITE != 0 and not self.is_shared and not self.flags & GROWS_DOWN

    @property
    def is_anonymous(self) -> bool:
        """Whether it's private memory without a file's contents.

        Linux: include/linux/mm.h, vma_is_anonymous.
        """
        return self.pages is None and not self.is_shared

    def policy_at(self, address: int) -> int:
        """The policy of the memory at `address`, 0 for none. Linux: mm/mempolicy.c, __get_vma_policy."""
        shared = self.shared_memory
        if shared is None:
            return self.flags >> POLICY_SHIFT
        return 0 if shared.policies is None else shared.policies.at(self.page_index(address))

    @property
    def shared_memory(self) -> PageCache | None:
        """The pages of memory that it maps, which have policies of their own; None for others.

        Linux: mm/shmem.c, shmem_vm_ops.
        """
        if self.pages is None or (self.file is not None and self.file.inode.is_written_back):
            return None
        return self.pages

    def page_index(self, address: int) -> int:
        """The index in `pages` of the page at `address`."""
        return self.page_offset + ((address - self.start) >> PAGE_SHIFT)

    def cached_pages(self, first: int, last: int) -> list[int]:
        """The numbers, in order, of the pages from `first` to before `last` that the page cache has."""
        if self.pages is None:
            return []
        distance = self.page_offset - (self.start >> PAGE_SHIFT)
        cached = self.pages.cached_between(first + distance, last + distance)
        return [index - distance for index in cached if self.pages.has_data(index)]

    @property
    def last_index(self) -> int:
        """The index of the last page that can be accessed: what is mapped may be shorter than the area."""
        if isinstance(self.pages, SharedAnonymous):
            return self.pages.last_index
        if self.file is not None:
            return ((self.file.inode.size + PAGE_MASK) >> PAGE_SHIFT) - 1
        return self.page_index(self.end) - 1

    def entry_bits(self) -> int:
        """The page table bits of a page here, the write bit included if the area is writable."""
        bits = _ENTRY_BITS[self.protection & _RIGHTS]
        return bits | pte.SHARED if self.is_shared else bits

    def copy(self, start: int, end: int) -> VirtualMemoryArea:
        """An area like this one for part of its range or a copy of its range; holds references of its own."""
        twin = self.twin(start, end)
        twin.acquire()
        return twin

    def twin(self, start: int, end: int) -> VirtualMemoryArea:
        """As `copy`, without references yet."""
        twin = VirtualMemoryArea(
            start,
            end,
            self.protection,
            is_shared=self.is_shared,
            pages=self.pages,
            file=self.file,
            page_offset=self.page_offset + ((start - self.start) >> PAGE_SHIFT),
            flags=self.flags,
            may_write=self.may_write,
            name=self.name,
        )
        twin.anonymous_id, twin.displacement = self.anonymous_id, self.displacement
        twin.user_faults = self.user_faults
        return twin

    def acquire(self) -> None:
        """Take references to what is mapped. Raises EINVAL for a segment that is gone."""
        if self.file is not None:
            self.file.acquire()
        if self.pages is not None:
            self.pages.acquire_area()
            if self.protection & PROT_EXEC:
                self.pages.note_executable_area()

    def release(self) -> None:
        """Give them back."""
        if self.pages is not None:
            self.pages.release_area()
        if self.file is not None:
            self.file.put()

    def take_in(self, other: VirtualMemoryArea) -> None:
        """Be one area with `other`, which can follow; its references are given back. Linux: mm/vma.c,
        vma_merge_existing_range.
        """
        self.end = other.end
        self.flags |= other.flags
        self.anonymous_id = self.anonymous_id or other.anonymous_id
        other.release()

    def can_be_followed_by(
        self, other: VirtualMemoryArea, apart: int = COUNTED, differing: int = STICKY
    ) -> bool:
        """Whether `other`, which starts where this ends and has the same rights, could be one area with it.

        Areas with a flag of `apart` stay two; they may differ in those of `differing`.
        Linux: mm/vma.c, is_mergeable_vma, is_mergeable_anon_vma, can_vma_merge_after.
        """
        own, others = self.anonymous_id, other.anonymous_id
        return (
            self.end == other.start
            and not self.flags & apart
            and not (self.flags ^ other.flags) & ~differing
            and self.is_shared == other.is_shared
            and self.pages is other.pages
            and self.file is other.file
            and self.may_write == other.may_write
            and self.name == other.name
            and self.user_faults is other.user_faults
            and (own == others or (not (own and others) and own + others > 0))
            and self.displacement == other.displacement
            and (
                (self.pages is None and self.file is None)
                or other.page_offset == self.page_index(other.start)
            )
        )
