"""userfaultfd(2), ioctl_userfaultfd(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I64, U64, Structure
from procession.abi.word import Words

UFFD_API = 0xAA


class UserfaultfdFlag(IntFlag):
    """userfaultfd(2)."""

    UFFD_USER_MODE_ONLY = 1
    O_NONBLOCK = 0o4000
    O_CLOEXEC = 0o2000000


class UffdIoctl(IntEnum):
    """The requests of such a file."""

    USERFAULTFD_IOC_NEW = 0xAA00
    UFFDIO_API = 0xC018AA3F
    UFFDIO_REGISTER = 0xC020AA00
    UFFDIO_UNREGISTER = 0x8010AA01
    UFFDIO_WAKE = 0x8010AA02
    UFFDIO_COPY = 0xC028AA03
    UFFDIO_ZEROPAGE = 0xC020AA04
    UFFDIO_MOVE = 0xC028AA05
    UFFDIO_WRITEPROTECT = 0xC018AA06
    UFFDIO_CONTINUE = 0xC020AA07
    UFFDIO_POISON = 0xC020AA08


class UffdFeature(IntFlag):
    """struct uffdio_api's features."""

    UFFD_FEATURE_PAGEFAULT_FLAG_WP = 1 << 0
    UFFD_FEATURE_EVENT_FORK = 1 << 1
    UFFD_FEATURE_EVENT_REMAP = 1 << 2
    UFFD_FEATURE_EVENT_REMOVE = 1 << 3
    UFFD_FEATURE_MISSING_HUGETLBFS = 1 << 4
    UFFD_FEATURE_MISSING_SHMEM = 1 << 5
    UFFD_FEATURE_EVENT_UNMAP = 1 << 6
    UFFD_FEATURE_SIGBUS = 1 << 7
    UFFD_FEATURE_THREAD_ID = 1 << 8
    UFFD_FEATURE_MINOR_HUGETLBFS = 1 << 9
    UFFD_FEATURE_MINOR_SHMEM = 1 << 10
    UFFD_FEATURE_EXACT_ADDRESS = 1 << 11
    UFFD_FEATURE_WP_HUGETLBFS_SHMEM = 1 << 12
    UFFD_FEATURE_WP_UNPOPULATED = 1 << 13
    UFFD_FEATURE_POISON = 1 << 14
    UFFD_FEATURE_WP_ASYNC = 1 << 15
    UFFD_FEATURE_MOVE = 1 << 16


class UffdRegisterMode(IntFlag):
    """struct uffdio_register's mode: which faults are the program's."""

    UFFDIO_REGISTER_MODE_MISSING = 1
    UFFDIO_REGISTER_MODE_WP = 2
    UFFDIO_REGISTER_MODE_MINOR = 4


class UffdCopyMode(IntFlag):
    """struct uffdio_copy's mode."""

    UFFDIO_COPY_MODE_DONTWAKE = 1
    UFFDIO_COPY_MODE_WP = 2


class UffdZeropageMode(IntFlag):
    """struct uffdio_zeropage's mode."""

    UFFDIO_ZEROPAGE_MODE_DONTWAKE = 1


class UffdWriteprotectMode(IntFlag):
    """struct uffdio_writeprotect's mode."""

    UFFDIO_WRITEPROTECT_MODE_WP = 1
    UFFDIO_WRITEPROTECT_MODE_DONTWAKE = 2


class UffdContinueMode(IntFlag):
    """struct uffdio_continue's mode."""

    UFFDIO_CONTINUE_MODE_DONTWAKE = 1
    UFFDIO_CONTINUE_MODE_WP = 2


class UffdPoisonMode(IntFlag):
    """struct uffdio_poison's mode."""

    UFFDIO_POISON_MODE_DONTWAKE = 1


class UffdMoveMode(IntFlag):
    """struct uffdio_move's mode."""

    UFFDIO_MOVE_MODE_DONTWAKE = 1
    UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES = 2


class UffdEvent(IntEnum):
    """struct uffd_msg's event."""

    UFFD_EVENT_PAGEFAULT = 0x12
    UFFD_EVENT_FORK = 0x13
    UFFD_EVENT_REMAP = 0x14
    UFFD_EVENT_REMOVE = 0x15
    UFFD_EVENT_UNMAP = 0x16


class UffdPagefaultFlag(IntFlag):
    """What struct uffd_msg says of a fault."""

    UFFD_PAGEFAULT_FLAG_WRITE = 1
    UFFD_PAGEFAULT_FLAG_WP = 2
    UFFD_PAGEFAULT_FLAG_MINOR = 4


UFFD_MSG = Words("<B7xQQQ")
"""struct uffd_msg, which is packed: an event, and up to three words about it."""


class UffdioApi(Structure):
    """struct uffdio_api."""

    api: U64 = 0
    features: U64 = 0
    ioctls: U64 = 0


class UffdioRange(Structure):
    """struct uffdio_range."""

    start: U64 = 0
    len: U64 = 0


class UffdioRegister(Structure):
    """struct uffdio_register."""

    range: UffdioRange = UffdioRange()
    mode: U64 = 0
    ioctls: U64 = 0


class UffdioCopy(Structure):
    """struct uffdio_copy; struct uffdio_move is laid out as this."""

    dst: U64 = 0
    src: U64 = 0
    len: U64 = 0
    mode: U64 = 0
    copy: I64 = 0


class UffdioZeropage(Structure):
    """struct uffdio_zeropage; those of continue and poison are laid out as this."""

    range: UffdioRange = UffdioRange()
    mode: U64 = 0
    zeropage: I64 = 0


class UffdioWriteprotect(Structure):
    """struct uffdio_writeprotect."""

    range: UffdioRange = UffdioRange()
    mode: U64 = 0
