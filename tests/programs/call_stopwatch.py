"""How long the host's processor is at each entry of the kernel, for who looks for calls that take long."""

from __future__ import annotations

import time
from collections.abc import Callable

from procession import Machine
from procession.abi.syscall_numbers import name_of
from procession.hardware.registers import RAX
from procession.syscalls.dispatch import Traps

_ARGUMENTS = (7, 6, 2, 10, 8, 9)


class CallStopwatch:
    """Stands between a machine's engine and its kernel; `slow` says what took more than `limit_s` seconds."""

    def __init__(self, machine: Machine, limit_s: float) -> None:
        self.traps: Traps = machine.traps
        self.limit_s = limit_s
        self.slow: list[str] = []
        machine.engine.tell(self)

    @property
    def kernel_work_ns(self) -> int:
        return self.traps.kernel_work_ns

    def system_call(self) -> None:
        general = self.traps.cpu.general
        number, arguments = general[RAX] & 0xFFFF_FFFF, [general[index] for index in _ARGUMENTS]
        seconds = self.time(self.traps.system_call)
        if seconds > self.limit_s:
            self.note(f"{name_of(number)}({', '.join(map(hex, arguments))})", seconds)

    def page_fault(self, address: int, error_code: int) -> None:
        seconds = self.time(lambda: self.traps.page_fault(address, error_code))
        if seconds > self.limit_s:
            self.note(f"a fault at {address:#x}", seconds)

    def processor_exception(self, vector: int, error_code: int) -> None:
        seconds = self.time(lambda: self.traps.processor_exception(vector, error_code))
        if seconds > self.limit_s:
            self.note(f"exception {vector}", seconds)

    def time(self, entry: Callable[[], None]) -> float:
        start = time.thread_time()
        entry()
        return time.thread_time() - start

    def note(self, what: str, seconds: float) -> None:
        self.slow.append(f"{seconds:.1f} s: {what}")
