"""Linux's process subsystem as a Python program that runs real x86-64 programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.command_run import Result
    from procession.machine import Machine

__all__ = ["Machine", "Result", "is_compiled"]


def is_compiled() -> bool:
    """Whether this is a build whose kernel mypyc has compiled; docs/compiled.md tells how to make one."""
    from importlib.util import find_spec

    spec = find_spec("procession.syscalls.dispatch")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")


def __getattr__(name: str) -> object:
    """`Machine` and `Result`, imported when they're first asked for: the command line starts without them."""
    if name in {"Machine", "Result"}:
        from procession import command_run, machine

        return getattr(machine if name == "Machine" else command_run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
