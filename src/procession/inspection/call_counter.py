"""Counts a machine's system calls, for those who want to know: nobody else pays for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.hardware.engine import TrapHandler


class CallCounter:
    """Stands between an engine and the kernel's entries; `count` grows by each system call."""

    __slots__ = ("count", "traps")

    def __init__(self, traps: TrapHandler) -> None:
        self.traps = traps
        self.count = 0

    @property
    def kernel_work_ns(self) -> int:
        """See `TrapHandler`."""
        return self.traps.kernel_work_ns

    def system_call(self) -> None:
        """See `TrapHandler`."""
        self.count += 1
        self.traps.system_call()

    def page_fault(self, address: int, error_code: int) -> None:
        """See `TrapHandler`."""
        self.traps.page_fault(address, error_code)

    def processor_exception(self, vector: int, error_code: int) -> None:
        """See `TrapHandler`."""
        self.traps.processor_exception(vector, error_code)
