"""The engines by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from procession.hardware.engines.scripted import ScriptedEngine
from procession.hardware.engines.tiered import HotEngine, HotEngineUnavailable, TieredEngine
from procession.hardware.engines.unicorn import UnicornEngine

if TYPE_CHECKING:
    from procession.hardware.engine import Engine, TrapHandler
    from procession.hardware.engines.native.engine import NativeEngine
    from procession.hardware.physical_memory import PhysicalMemory

ENGINES = ("auto", "unicorn", "native")
"""Those that a user may choose."""


def _new_native_engine() -> NativeEngine:
    """The native engine, not at work yet. Raises HotEngineUnavailable."""
    # Few programs work so hard that they need it.
    from procession.hardware.engines.native.engine import NativeEngine
    from procession.hardware.engines.native.host_processor import what_host_lacks
    from procession.hardware.translation.code_keeper import CodeKeeper, default_directory

    reason = what_host_lacks()
    if reason is not None:
        raise HotEngineUnavailable(reason)
    return NativeEngine(CodeKeeper(default_directory()))


def _make_hot_engine(memory: PhysicalMemory, traps: TrapHandler) -> HotEngine:
    """The native engine, at work. Raises HotEngineUnavailable."""
    from procession.hardware.engines.native.machine_code import StubUnavailable

    engine = _new_native_engine()
    try:
        engine.attach(memory, traps)
        engine.prepare()
    except StubUnavailable as error:
        engine.close()
        raise HotEngineUnavailable(str(error)) from None
    return engine


def _refuse_hot_engine(memory: PhysicalMemory, traps: TrapHandler) -> NoReturn:
    raise HotEngineUnavailable("the recorded run had none")


def make_engine(name: str) -> Engine:
    """A new engine: one of `ENGINES`, "scripted", or "cold", which is "auto" where nothing gets hot.

    Raises ValueError if there's no such engine, or the host lacks what it needs.
    """
    if name == "auto":
        return TieredEngine(UnicornEngine(), _make_hot_engine)
    if name == "cold":
        return TieredEngine(UnicornEngine(), _refuse_hot_engine)
    if name == "unicorn":
        return UnicornEngine()
    if name == "native":
        from procession.hardware.engines.native.availability import why_unavailable

        reason = why_unavailable()
        if reason is not None:
            raise ValueError(f"the native engine can't be had: {reason}")
        return _new_native_engine()
    if name == "scripted":
        return ScriptedEngine()
    raise ValueError(f"no engine is called {name!r}")
