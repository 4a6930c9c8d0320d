"""pidfd_open(2), pidfd_send_signal(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, U32, U64, Structure


class PidfdSelf(IntEnum):
    """What is taken in place of a pidfd for the caller."""

    PIDFD_SELF_THREAD = -10000
    PIDFD_SELF_THREAD_GROUP = -10001


class PidfdFlag(IntFlag):
    """pidfd_open(2)."""

    PIDFD_NONBLOCK = 0o4000
    PIDFD_THREAD = 0o200


class PidfdSignalFlag(IntFlag):
    """pidfd_send_signal(2)."""

    PIDFD_SIGNAL_THREAD = 1
    PIDFD_SIGNAL_THREAD_GROUP = 2
    PIDFD_SIGNAL_PROCESS_GROUP = 4


class PidfdInfoFlag(IntFlag):
    """What a struct pidfd_info tells, or is asked for."""

    PIDFD_INFO_PID = 1
    PIDFD_INFO_CREDS = 2
    PIDFD_INFO_CGROUPID = 4
    PIDFD_INFO_EXIT = 8
    PIDFD_INFO_COREDUMP = 16


class PidfdCoredump(IntFlag):
    """Whether a core would be written if the process died, and whose it would be."""

    PIDFD_COREDUMP_SKIP = 2
    PIDFD_COREDUMP_USER = 4
    PIDFD_COREDUMP_ROOT = 8


class PidfdInfo(Structure):
    """PIDFD_GET_INFO's struct pidfd_info."""

    mask: U64 = 0
    cgroupid: U64 = 0
    pid: U32 = 0
    tgid: U32 = 0
    ppid: U32 = 0
    ruid: U32 = 0
    rgid: U32 = 0
    euid: U32 = 0
    egid: U32 = 0
    suid: U32 = 0
    sgid: U32 = 0
    fsuid: U32 = 0
    fsgid: U32 = 0
    exit_code: I32 = 0
    coredump_mask: U32 = 0
    coredump_signal: U32 = 0


PIDFD_GET_INFO, PIDFD_INFO_SIZE_VER0 = 11, 64
"""The number of that request, whose size is the caller's, and how much each has of the structure."""


class PidfdIoctl(IntEnum):
    """ioctl_pidfd(2): descriptors for the namespaces of a process."""

    PIDFD_GET_CGROUP_NAMESPACE = 0xFF01
    PIDFD_GET_IPC_NAMESPACE = 0xFF02
    PIDFD_GET_MNT_NAMESPACE = 0xFF03
    PIDFD_GET_NET_NAMESPACE = 0xFF04
    PIDFD_GET_PID_NAMESPACE = 0xFF05
    PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE = 0xFF06
    PIDFD_GET_TIME_NAMESPACE = 0xFF07
    PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE = 0xFF08
    PIDFD_GET_USER_NAMESPACE = 0xFF09
    PIDFD_GET_UTS_NAMESPACE = 0xFF0A
