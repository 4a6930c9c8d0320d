"""kcmp(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum
from procession.abi.structure import U32, Structure


class KcmpType(IntEnum):
    """What is compared."""

    KCMP_FILE = 0
    KCMP_VM = 1
    KCMP_FILES = 2
    KCMP_FS = 3
    KCMP_SIGHAND = 4
    KCMP_IO = 5
    KCMP_SYSVSEM = 6
    KCMP_EPOLL_TFD = 7


class KcmpEpollSlot(Structure):
    """struct kcmp_epoll_slot."""

    efd: U32 = 0
    tfd: U32 = 0
    toff: U32 = 0
