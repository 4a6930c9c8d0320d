"""The classes whose objects a snapshot's file may name: the package's own plain data, and no others."""

from __future__ import annotations

import importlib
import re
from functools import cache

_LAYERS = ("abi", "fs", "hardware", "kernel", "mm", "net", "procfs", "syscalls")
_MODULE = re.compile(rf"procession\.(?:inlet|(?:{'|'.join(_LAYERS)})(?:\.[a-z][a-z0-9_]*)+)")
_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9_]*")
_NOT_STATE = re.compile(
    # What reaches the host, or the processor itself.
    r"procession\.(?:fs\.(?:host_source|image_tree)|hardware\.(?:engines|fault_injection)|syscalls\.dispatch)\b"
)


_MEMORY = "procession.hardware.physical_memory:PhysicalMemory"
"""It is there before the others are made. What else gives something back at its end isn't the state's."""


class UnknownClass(ValueError):
    """A file names a class that isn't one of the state's."""


@cache
def class_named(name: str) -> type:
    """The class `MODULE:NAME`. Raises UnknownClass."""
    module_name, _, class_name = name.partition(":")
    if not _MODULE.fullmatch(module_name) or _NOT_STATE.match(module_name) or not _NAME.fullmatch(class_name):
        raise UnknownClass(f"{name!r} is no class of a machine's state")
    try:
        found = vars(importlib.import_module(module_name)).get(class_name)
    except ImportError:
        found = None
    has_end = hasattr(found, "__del__") and name != _MEMORY
    if not isinstance(found, type) or found.__module__ != module_name or has_end:
        raise UnknownClass(f"{name!r} is no class of a machine's state")
    return found


def name_of_class(kind: type) -> str:
    """The name by which `class_named` finds `kind`. Raises UnknownClass if it doesn't."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    if class_named(name) is not kind:
        raise UnknownClass(f"{name!r} can't be found by its name")
    return name
