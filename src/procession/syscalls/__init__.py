"""The system calls: importing the families fills the table."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules


@cache
def load_all() -> None:
    """Import every module of this package: each family declares its calls."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
