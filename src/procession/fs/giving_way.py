"""Letting others run in the middle of a call that does one thing after the other (in Linux, cond_resched)."""

from __future__ import annotations

from typing import Protocol

from procession.abi.errno import ERESTARTSYS
from procession.fs.wait_queue import Sleep

_LONG_NS = 10_000_000
"""How long a call works before it lets others run: as long as a slice, or so."""


class WorkClock(Protocol):
    """The virtual clock."""

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the machine started."""

    @property
    def kernel_work_ns(self) -> int:
        """How long the kernel has worked."""


def give_way(clock: WorkClock, began_ns: int, progress: object, interrupted: int | None = None) -> None:
    """Sleep for no time, if the call has worked for long since the clock's `kernel_work_ns` was `began_ns`.

    It goes on with `progress` in its frame. Only a fatal signal ends it in between, or with
    `interrupted` any, and that is what it returns then.
    """
    if clock.kernel_work_ns - began_ns >= _LONG_NS:
        raise Sleep(
            deadline_ns=clock.now_ns,
            progress=progress,
            interrupted=ERESTARTSYS if interrupted is None else interrupted,
            is_interruptible=interrupted is not None,
        )
