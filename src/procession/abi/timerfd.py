"""timerfd_create(2), timerfd_settime(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag


class TimerfdFlag(IntFlag):
    """timerfd_create(2)."""

    TFD_NONBLOCK = 0o4000
    TFD_CLOEXEC = 0o2000000


class TimerfdSettimeFlag(IntFlag):
    """timerfd_settime(2)."""

    TFD_TIMER_ABSTIME = 1
    TFD_TIMER_CANCEL_ON_SET = 2
