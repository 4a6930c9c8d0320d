"""What a group of objects refers to, as one value to compare: how most of them are seen to be unchanged at
once.

The interpreter's collector knows what each object refers to and tells of thousands in one call, much faster
than their attributes are read one by one. Two such lists are the same if they hold the same addresses in the
same order, which is one comparison of bytes; the older list keeps alive what it names, so that no address
can have come to mean another object.

Of objects of compiled classes the collector doesn't tell what they keep as numbers of C. But these lie beside
the addresses in the object itself, so that its bytes are compared: where they are the same, so is all that it
holds.
"""

from __future__ import annotations

import ctypes
import gc
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from procession.snapshot.shape import Shape

GROUP_SIZE = 256
_SEPARATOR = (object(),)
"""Between two objects, so that what one has lost another can't have got unseen."""
_ITEMS_AT = list.__basicsize__ - 16
_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)
_HEADER_BYTES = object.__basicsize__


def _addresses(items: list[Any]) -> bytes:
    """The addresses of all items, out of the list itself."""
    place = ctypes.c_void_p.from_address(id(items) + _ITEMS_AT).value
    return ctypes.string_at(place, len(items) * _POINTER_BYTES) if place else b""


def _addresses_by_id(items: list[Any]) -> bytes:
    return array("Q", map(id, items)).tobytes()


_SAMPLE: list[Any] = [_SEPARATOR, None, "", 1 << 70]
addresses = _addresses if _addresses(_SAMPLE) == _addresses_by_id(_SAMPLE) else _addresses_by_id


def _separated(values: list[Any]) -> list[Any]:
    """The arguments to ask the collector about `values`, each told apart from the next."""
    arguments = [_SEPARATOR] * (2 * len(values))
    arguments[::2] = values
    return arguments


def referents_of(values: list[Any]) -> list[Any]:
    """What each of `values` refers to, as the collector tells it, and one thing more after each."""
    return gc.get_referents(*_separated(values))


class Group:
    """Objects that aren't expected to change, by their `numbers`, of which `last` is the highest.

    `raw` are the bytes of those of compiled classes, where they lie, and `arguments` the others.
    """

    __slots__ = ("arguments", "bytes_seen", "held", "last", "numbers", "raw", "seen")

    def __init__(self, numbers: list[int], objects: list[Any], shapes: list[Shape]) -> None:
        self.raw: list[ctypes.Array[ctypes.c_char]] = []
        compiled: list[Any] = []
        values: list[Any] = []
        for number in numbers:
            value = objects[number]
            if shapes[number].is_compiled:
                compiled.append(value)
                self.raw.append(_bytes_of(value))
            else:
                values.append(value)
        self._keep(numbers, values, referents_of(values), compiled)

    @staticmethod
    def of_rows(numbers: list[int], values: list[Any], held: list[Any]) -> Group:
        """A group of objects of one class that isn't compiled, with what `referents_of` told of them."""
        group = Group.__new__(Group)
        group.raw = []
        group._keep(numbers, values, held, [])
        return group

    def _keep(self, numbers: list[int], values: list[Any], held: list[Any], compiled: list[Any]) -> None:
        self.numbers = numbers
        self.last = max(numbers)
        self.arguments = _separated(values)
        self.seen = addresses(held)
        self.bytes_seen = b"".join(self.raw)
        self.held = held, compiled, gc.get_referents(*compiled)

    @property
    def is_unchanged(self) -> bool:
        """Whether all of them refer to what they did."""
        return (
            addresses(gc.get_referents(*self.arguments)) == self.seen
            and b"".join(self.raw) == self.bytes_seen
        )


def _bytes_of(value: Any) -> ctypes.Array[ctypes.c_char]:
    """What an object without a dictionary of attributes holds, as it lies in memory behind its header."""
    length = type(value).__basicsize__ - _HEADER_BYTES
    return (ctypes.c_char * length).from_address(id(value) + _HEADER_BYTES)
