"""Objects of compiled classes that hold nothing yet, as `object.__new__` makes those of interpreted ones.

The `__new__` of a class that mypyc has compiled calls its `__init__`. What comes before that, to allocate the
object and to mark its attributes as not there, is a function of its own in each such class. The build's
library calls it where a class has a `__new__` in its sources: mypyc: lib-rt/generic_ops.c, CPy_SetupObject.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

_LIBRARY = "procession__mypyc"
"""The module that holds all the compiled code."""
_SETUP_METHOD = "__internal_mypyc_setup"


class NotMade(TypeError):
    """An object can't be made without what its class does when it is."""


def is_compiled_class(kind: type) -> bool:
    """Whether mypyc has made `kind` a class of C."""
    return hasattr(kind, "__mypyc_attrs__")


def empty_object(kind: type) -> Any:
    """An object of the compiled class `kind`, all of whose attributes aren't there yet.

    Compiled code reads an attribute that `__init__` always sets without looking whether it's there: who makes
    an object has to give it each of them. Raises NotMade.
    """
    # The search in C goes on in the bases, whose objects would be too small.
    if _SETUP_METHOD not in vars(kind):
        raise NotMade(f"a {kind.__qualname__} can't be made empty")
    return _setup()(kind)


@cache
def _setup() -> Callable[[type], Any]:
    try:
        library = ctypes.PyDLL(importlib.import_module(_LIBRARY).__file__)
        function = library.CPy_SetupObject
    except (ImportError, OSError, AttributeError) as error:
        raise NotMade(f"this compiled build makes no empty objects: {error}") from None
    function.argtypes = [ctypes.py_object]
    function.restype = ctypes.py_object
    return function
