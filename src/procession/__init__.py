"""Linux's process subsystem as a Python program that runs real x86-64 programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.machine import Machine, Result

__all__ = ["Machine", "Result"]


def __getattr__(name: str) -> object:
    """`Machine` and `Result`, imported when they're first asked for: the command line starts without them."""
    if name in __all__:
        from procession import machine

        return getattr(machine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
