"""What the kernel and the clock of a second machine refer to outside of the state: its engine and decider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.kernel.kernel import Kernel
from procession.kernel.time.clock import Clock

if TYPE_CHECKING:
    from procession.hardware.engine import Engine
    from procession.kernel.decider import Decider


def join_engine(value: Any, engine: Engine, decider: Decider) -> bool:
    """Give a new machine's kernel or clock what it refers to outside of the state; whether `value` is one."""
    if isinstance(value, Clock):
        value.meter = engine
        return True
    if not isinstance(value, Kernel):
        return False
    value.cpu, value.decider, value.call_work = engine, decider, 0
    # Nobody watches or steers it.
    value.observer = value.signal_gate = None
    return True
