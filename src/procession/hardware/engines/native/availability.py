"""Whether this host can have the native engine, which a stub that is started and ended tells."""

from __future__ import annotations

from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.native.host_processor import what_host_lacks
from procession.hardware.engines.native.machine_code import StubUnavailable
from procession.hardware.physical_memory import PhysicalMemory


def why_unavailable() -> str | None:
    """Why this host can't have the native engine, a stub tried; None if it can."""
    reason = what_host_lacks()
    if reason is not None:
        return reason
    memory = None
    try:
        memory = PhysicalMemory(1 << 20)
        engine = NativeEngine()
        try:
            engine.attach(memory, _Nobody())
            engine.prepare()
        finally:
            engine.close()
    except (StubUnavailable, OSError) as error:
        return str(error)
    finally:
        if memory is not None:
            memory.close()
    return None


class _Nobody:
    """Takes no traps."""

    kernel_work_ns = 0

    def system_call(self) -> None:
        """Nothing."""

    def page_fault(self, address: int, error_code: int) -> None:
        """Nothing."""

    def processor_exception(self, vector: int, error_code: int) -> None:
        """Nothing."""
