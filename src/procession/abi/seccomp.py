"""seccomp(2): modes, what a filter answers, and the supervisor's side."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, I64, U16, U32, U64, Structure


class SeccompMode(IntEnum):
    """PR_SET_SECCOMP, and the Seccomp line of /proc/PID/status."""

    SECCOMP_MODE_DISABLED = 0
    SECCOMP_MODE_STRICT = 1
    SECCOMP_MODE_FILTER = 2


class SeccompOperation(IntEnum):
    """seccomp(2)."""

    SECCOMP_SET_MODE_STRICT = 0
    SECCOMP_SET_MODE_FILTER = 1
    SECCOMP_GET_ACTION_AVAIL = 2
    SECCOMP_GET_NOTIF_SIZES = 3


class SeccompFilterFlag(IntFlag):
    """SECCOMP_SET_MODE_FILTER."""

    SECCOMP_FILTER_FLAG_TSYNC = 1
    SECCOMP_FILTER_FLAG_LOG = 2
    SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
    SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
    SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 0x10
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 0x20


class SeccompAction(IntEnum):
    """The upper half of a filter's answer. The smallest, read as a signed number, of all filters' wins."""

    SECCOMP_RET_KILL_PROCESS = 0x80000000
    SECCOMP_RET_KILL_THREAD = 0
    SECCOMP_RET_TRAP = 0x30000
    SECCOMP_RET_ERRNO = 0x50000
    SECCOMP_RET_USER_NOTIF = 0x7FC00000
    SECCOMP_RET_TRACE = 0x7FF00000
    SECCOMP_RET_LOG = 0x7FFC0000
    SECCOMP_RET_ALLOW = 0x7FFF0000


SECCOMP_RET_ACTION_FULL = 0xFFFF0000
SECCOMP_RET_DATA = 0xFFFF

# struct seccomp_data's arch.
AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003


class SeccompIoctl(IntEnum):
    """The requests of a listener."""

    SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
    SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101
    SECCOMP_IOCTL_NOTIF_ID_VALID = 0x40082102
    SECCOMP_IOCTL_NOTIF_ADDFD = 0x40182103
    SECCOMP_IOCTL_NOTIF_SET_FLAGS = 0x40082104


class SeccompNotifFlag(IntFlag):
    """struct seccomp_notif_resp's flags."""

    SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1


class SeccompAddfdFlag(IntFlag):
    """struct seccomp_notif_addfd's flags."""

    SECCOMP_ADDFD_FLAG_SETFD = 1
    SECCOMP_ADDFD_FLAG_SEND = 2


class SeccompListenerFlag(IntFlag):
    """SECCOMP_IOCTL_NOTIF_SET_FLAGS."""

    SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP = 1


class SeccompData(Structure):
    """struct seccomp_data: what a filter sees of a call."""

    nr: I32 = 0
    arch: U32 = 0
    instruction_pointer: U64 = 0
    args: Annotated[tuple[int, ...], U64, 6] = (0, 0, 0, 0, 0, 0)


class SeccompNotifSizes(Structure):
    """struct seccomp_notif_sizes."""

    seccomp_notif: U16 = 0
    seccomp_notif_resp: U16 = 0
    seccomp_data: U16 = 0


class SeccompNotif(Structure):
    """struct seccomp_notif."""

    id: U64 = 0
    pid: U32 = 0
    flags: U32 = 0
    data: SeccompData = SeccompData()


class SeccompNotifResp(Structure):
    """struct seccomp_notif_resp."""

    id: U64 = 0
    val: I64 = 0
    error: I32 = 0
    flags: U32 = 0


class SeccompNotifAddfd(Structure):
    """struct seccomp_notif_addfd."""

    id: U64 = 0
    flags: U32 = 0
    srcfd: U32 = 0
    newfd: U32 = 0
    newfd_flags: U32 = 0
