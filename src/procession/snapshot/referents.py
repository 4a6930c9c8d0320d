"""What a group of objects refers to, as one value to compare: how most of them are seen to be unchanged at
once.

The interpreter's collector knows what each object refers to and tells of thousands in one call, much faster
than their attributes are read one by one. Two such lists are the same if they hold the same addresses in the
same order, which is one comparison of bytes; the older list keeps alive what it names, so that no address
can have come to mean another object.
"""

from __future__ import annotations

import ctypes
import gc
from array import array
from typing import Any

_SEPARATOR = (object(),)
"""Between two objects, so that what one has lost another can't have got unseen."""
_ITEMS_AT = list.__basicsize__ - 16
_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)


def _addresses(items: list[Any]) -> bytes:
    """The addresses of all items, out of the list itself."""
    place = ctypes.c_void_p.from_address(id(items) + _ITEMS_AT).value
    return ctypes.string_at(place, len(items) * _POINTER_BYTES) if place else b""


def _addresses_by_id(items: list[Any]) -> bytes:
    return array("Q", map(id, items)).tobytes()


_SAMPLE: list[Any] = [_SEPARATOR, None, "", 1 << 70]
addresses = _addresses if _addresses(_SAMPLE) == _addresses_by_id(_SAMPLE) else _addresses_by_id


class Group:
    """Objects that aren't expected to change, by their `numbers`, of which `last` is the highest."""

    __slots__ = ("arguments", "held", "last", "numbers", "seen")

    def __init__(self, numbers: list[int], objects: list[Any]) -> None:
        self.numbers = numbers
        self.last = max(numbers)
        self.arguments: list[Any] = []
        for number in numbers:
            self.arguments += (objects[number], _SEPARATOR)
        self.held = gc.get_referents(*self.arguments)
        self.seen = addresses(self.held)

    @property
    def is_unchanged(self) -> bool:
        """Whether all of them refer to what they did."""
        return addresses(gc.get_referents(*self.arguments)) == self.seen
