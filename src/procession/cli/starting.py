"""How a command starts quickly: it makes no search for garbage while it makes none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY_OBJECTS = 20_000
"""Made since the last search: then the next one."""


@contextmanager
def starting() -> Iterator[None]:
    """The kernel's modules are imported here, and its machine made: classes and objects that stay.

    Python's collector would go through them some hundred times, a sixth of what that takes, and a few times
    more while a program runs. Then it looks at more new objects at once: what a machine makes mostly stays.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(MANY_OBJECTS)
        gc.enable()
