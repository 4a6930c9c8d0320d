"""The system calls: importing the families fills the table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

FIRST_FAMILIES = (
    *("arch", "directory", "fcntl", "futex", "identity", "ioctl", "kill", "limits", "link", "memory"),
    *("open_close", "pipe", "process", "random", "read_write", "session", "signal", "stat", "system", "time"),
)
"""Those of which most programs make calls."""
_NEXT_FAMILIES = ("attributes", "poll", "prctl", "memory_advice", "transfer", "epoll", "xattr", "socket")
"""Those of which many do."""


@cache
def load_first() -> None:
    """Import the families that most programs need. The table finds all others when they're asked for."""
    for name in FIRST_FAMILIES:
        import_module(f"{__name__}.{name}")


def load_by_turns() -> Iterator[str]:
    """Import every module of this package, one after the other; their names."""
    others = (module.name for module in iter_modules(__path__))
    for name in (*FIRST_FAMILIES, *_NEXT_FAMILIES, *others):
        import_module(f"{__name__}.{name}")
        yield name


@cache
def load_all() -> None:
    """Import every module of this package: each family declares its calls."""
    for _ in load_by_turns():
        pass
