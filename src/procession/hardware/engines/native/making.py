"""Making the native engine: as a machine's only one, or as the hot one of two."""

from __future__ import annotations

from procession.hardware.engine import TrapHandler
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.native.host_processor import what_host_lacks
from procession.hardware.engines.native.machine_code import StubUnavailable
from procession.hardware.engines.tiered import HotEngine, HotEngineUnavailable
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.translation.code_keeper import CodeKeeper, default_directory


def new_native_engine() -> NativeEngine:
    """The native engine, not at work yet, with the code that is kept for the user."""
    return NativeEngine(CodeKeeper(default_directory()))


def make_hot_engine(memory: PhysicalMemory, traps: TrapHandler) -> HotEngine:
    """The native engine, at work. Raises HotEngineUnavailable."""
    reason = what_host_lacks()
    if reason is not None:
        raise HotEngineUnavailable(reason)
    engine = new_native_engine()
    try:
        engine.attach(memory, traps)
        engine.prepare()
    except StubUnavailable as error:
        engine.close()
        raise HotEngineUnavailable(str(error)) from None
    return engine
