"""pidfd_open(2), pidfd_send_signal(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag


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
