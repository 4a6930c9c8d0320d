"""mmap(2) and its relatives: protection, mapping, advice, memfd_create(2)."""

from __future__ import annotations

from typing import Final

from procession.abi.enumeration import IntEnum, IntFlag


class Protection(IntFlag):
    """prot of mmap(2) and mprotect(2)."""

    PROT_NONE = 0
    PROT_READ = 1
    PROT_WRITE = 2
    PROT_EXEC = 4
    PROT_SEM = 8
    PROT_GROWSDOWN = 0x1000000
    PROT_GROWSUP = 0x2000000


class MapFlag(IntFlag):
    """flags of mmap(2). The lowest four bits are the type of the mapping: mask them with MAP_TYPE."""

    MAP_SHARED = 1
    MAP_PRIVATE = 2
    MAP_SHARED_VALIDATE = 3
    MAP_DROPPABLE = 8
    MAP_FIXED = 0x10
    MAP_ANONYMOUS = 0x20
    MAP_32BIT = 0x40
    MAP_ABOVE4G = 0x80
    MAP_GROWSDOWN = 0x100
    MAP_DENYWRITE = 0x800
    MAP_EXECUTABLE = 0x1000
    MAP_LOCKED = 0x2000
    MAP_NORESERVE = 0x4000
    MAP_POPULATE = 0x8000
    MAP_NONBLOCK = 0x10000
    MAP_STACK = 0x20000
    MAP_HUGETLB = 0x40000
    MAP_SYNC = 0x80000
    MAP_FIXED_NOREPLACE = 0x100000
    MAP_UNINITIALIZED = 0x4000000


MAP_TYPE: Final = 0xF

MAP_HUGE_SHIFT: Final = 26

MAP_HUGE_MASK: Final = 0x3F


class LockAll(IntFlag):
    """flags of mlockall(2)."""

    MCL_CURRENT = 1
    MCL_FUTURE = 2
    MCL_ONFAULT = 4


MLOCK_ONFAULT: Final = 1
"""The flag of mlock2(2)."""


class Advice(IntEnum):
    """madvise(2)."""

    MADV_NORMAL = 0
    MADV_RANDOM = 1
    MADV_SEQUENTIAL = 2
    MADV_WILLNEED = 3
    MADV_DONTNEED = 4
    MADV_FREE = 8
    MADV_REMOVE = 9
    MADV_DONTFORK = 10
    MADV_DOFORK = 11
    MADV_MERGEABLE = 12
    MADV_UNMERGEABLE = 13
    MADV_HUGEPAGE = 14
    MADV_NOHUGEPAGE = 15
    MADV_DONTDUMP = 16
    MADV_DODUMP = 17
    MADV_WIPEONFORK = 18
    MADV_KEEPONFORK = 19
    MADV_COLD = 20
    MADV_PAGEOUT = 21
    MADV_POPULATE_READ = 22
    MADV_POPULATE_WRITE = 23
    MADV_DONTNEED_LOCKED = 24
    MADV_COLLAPSE = 25
    MADV_HWPOISON = 100
    MADV_SOFT_OFFLINE = 101
    MADV_GUARD_INSTALL = 102
    MADV_GUARD_REMOVE = 103


class MremapFlag(IntFlag):
    """mremap(2)."""

    MREMAP_MAYMOVE = 1
    MREMAP_FIXED = 2
    MREMAP_DONTUNMAP = 4


class MsyncFlag(IntFlag):
    """msync(2)."""

    MS_ASYNC = 1
    MS_INVALIDATE = 2
    MS_SYNC = 4


class MlockallFlag(IntFlag):
    """mlockall(2)."""

    MCL_CURRENT = 1
    MCL_FUTURE = 2
    MCL_ONFAULT = 4


class MlockFlag(IntFlag):
    """mlock2(2)."""

    MLOCK_ONFAULT = 1


class MemfdFlag(IntFlag):
    """memfd_create(2)."""

    MFD_CLOEXEC = 1
    MFD_ALLOW_SEALING = 2
    MFD_HUGETLB = 4
    MFD_NOEXEC_SEAL = 8
    MFD_EXEC = 0x10


class PkeyRight(IntFlag):
    """pkey_alloc(2)."""

    PKEY_DISABLE_ACCESS = 1
    PKEY_DISABLE_WRITE = 2
