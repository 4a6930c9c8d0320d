"""pidfd_open(2), pidfd_send_signal(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag


class PidfdFlag(IntFlag):
    """pidfd_open(2)."""

    PIDFD_NONBLOCK = 0o4000
    PIDFD_THREAD = 0o200


class PidfdSignalFlag(IntFlag):
    """pidfd_send_signal(2)."""

    PIDFD_SIGNAL_THREAD = 1
    PIDFD_SIGNAL_THREAD_GROUP = 2
    PIDFD_SIGNAL_PROCESS_GROUP = 4
