"""eventfd(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag


class EventfdFlag(IntFlag):
    """eventfd2(2)."""

    EFD_SEMAPHORE = 1
    EFD_NONBLOCK = 0o4000
    EFD_CLOEXEC = 0o2000000
