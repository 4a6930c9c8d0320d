"""The engines by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from procession.hardware.engines.scripted import ScriptedEngine
from procession.hardware.engines.tiered import HotEngine, HotEngineUnavailable, TieredEngine

if TYPE_CHECKING:
    from procession.hardware.engine import Engine, TrapHandler
    from procession.hardware.engines.unicorn import UnicornEngine
    from procession.hardware.physical_memory import PhysicalMemory

ENGINES = ("auto", "unicorn", "native")
"""Those that a user may choose."""


def _new_emulator() -> UnicornEngine:
    """The emulator, not at work yet."""
    # A large program may end without having needed it.
    from procession.hardware.engines.unicorn import UnicornEngine

    return UnicornEngine()


def _make_hot_engine(memory: PhysicalMemory, traps: TrapHandler) -> HotEngine:
    """The native engine, at work. Raises HotEngineUnavailable."""
    # Few programs work so hard that they need it.
    from procession.hardware.engines.native.making import make_hot_engine

    return make_hot_engine(memory, traps)


def _refuse_hot_engine(memory: PhysicalMemory, traps: TrapHandler) -> NoReturn:
    raise HotEngineUnavailable("the recorded run had none")


def make_engine(name: str) -> Engine:
    """A new engine: one of `ENGINES`, "scripted", or "cold", which is "auto" where nothing gets hot.

    Raises ValueError if there's no such engine, or the host lacks what it needs.
    """
    if name == "auto":
        return TieredEngine(_new_emulator, _make_hot_engine)
    if name == "cold":
        return TieredEngine(_new_emulator, _refuse_hot_engine)
    if name == "unicorn":
        return _new_emulator()
    if name == "native":
        from procession.hardware.engines.native.availability import why_unavailable
        from procession.hardware.engines.native.making import new_native_engine

        reason = why_unavailable()
        if reason is not None:
            raise ValueError(f"the native engine can't be had: {reason}")
        return new_native_engine()
    if name == "scripted":
        return ScriptedEngine()
    raise ValueError(f"no engine is called {name!r}")
