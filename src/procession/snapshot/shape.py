"""What an object of each kind holds: how its contents are read, compared and put back."""

from __future__ import annotations

from array import array
from collections import deque
from enum import Enum
from mmap import mmap
from struct import Struct
from typing import Any

from procession.kernel.state_hash import fields_of, outside_of

Contents = tuple[Any, ...]
"""What an object held at one moment. It is never changed, and keeps alive what it names."""

__all__ = ["UNSET", "Contents", "NotPlain", "Shape", "outside_of", "shape_of"]
_ATOMS = (int, str, bytes, float, type(None), type, Enum, Struct, memoryview, mmap)


class Unset:
    """Stands for an attribute that wasn't there."""

    __slots__ = ()


UNSET = Unset()


class Shape:
    """A kind of object that can change. `contents` are what it refers to, in an order of its own."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        """What `value` holds now."""
        raise NotImplementedError

    def write(self, value: Any, contents: Contents) -> None:
        """Let `value` hold `contents` again."""
        raise NotImplementedError


class ListShape(Shape):
    """A list."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return tuple(value)

    def write(self, value: Any, contents: Contents) -> None:
        value[:] = contents


class DequeShape(Shape):
    """A deque."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return tuple(value)

    def write(self, value: Any, contents: Contents) -> None:
        value.clear()
        value.extend(contents)


class DictShape(Shape):
    """A dict: its keys in their order, then the values."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return (*value, *value.values())

    def write(self, value: Any, contents: Contents) -> None:
        middle = len(contents) >> 1
        value.clear()
        value.update(zip(contents[:middle], contents[middle:], strict=True))


class SetShape(Shape):
    """A set, of numbers and strings alone: their order is nobody's business."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return tuple(value)

    def write(self, value: Any, contents: Contents) -> None:
        value.clear()
        value.update(contents)


class BytesShape(Shape):
    """A bytearray."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return (bytes(value),)

    def write(self, value: Any, contents: Contents) -> None:
        value[:] = contents[0]


class ArrayShape(Shape):
    """An array of numbers."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return (value.tobytes(),)

    def write(self, value: Any, contents: Contents) -> None:
        del value[:]
        value.frombytes(contents[0])


class InstanceShape(Shape):
    """An object of one of the package's own classes: its attributes, by `fields`."""

    __slots__ = ("fields",)

    def __init__(self, kind: type) -> None:
        self.fields = fields_of(kind)

    def read(self, value: Any) -> Contents:
        return tuple([getattr(value, name, UNSET) for name in self.fields])

    def write(self, value: Any, contents: Contents) -> None:
        for name, item in zip(self.fields, contents, strict=True):
            if getattr(value, name, UNSET) is not item:
                if item is UNSET:
                    delattr(value, name)
                else:
                    setattr(value, name, item)


class NotPlain(TypeError):
    """Something in the state isn't plain data."""


_SHAPES: dict[type, Shape | None] = {}
_CONTAINERS: tuple[tuple[type, Shape], ...] = (
    (list, ListShape()),
    (deque, DequeShape()),
    (dict, DictShape()),
    (set, SetShape()),
    (bytearray, BytesShape()),
    (array, ArrayShape()),
)


def shape_of(kind: type) -> Shape | None:
    """The shape of objects of `kind`; None for what never changes. Raises NotPlain."""
    try:
        return _SHAPES[kind]
    except KeyError:
        shape = _SHAPES[kind] = _find_shape(kind)
        return shape


def _find_shape(kind: type) -> Shape | None:
    if issubclass(kind, (*_ATOMS, tuple, frozenset)):
        return None
    for container, shape in _CONTAINERS:
        if issubclass(kind, container):
            return shape
    if kind.__module__.startswith("procession."):
        return InstanceShape(kind)
    raise NotPlain(f"a {kind.__module__}.{kind.__qualname__} isn't plain data")
