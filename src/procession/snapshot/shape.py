"""What an object of each kind holds: how its contents are read, compared and put back."""

from __future__ import annotations

from array import array
from collections import deque
from enum import Enum
from mmap import mmap
from operator import attrgetter
from struct import Struct
from struct import error as StructError
from typing import Any

from procession.abi.word import Words
from procession.kernel.state_hash import fields_of, outside_of
from procession.snapshot.compiled_objects import empty_object, is_compiled_class

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

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        """Let `value`, which holds `now`, hold `then`."""
        raise NotImplementedError


class ListShape(Shape):
    """A list."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return tuple(value)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        value[:] = then


class DequeShape(Shape):
    """A deque."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return tuple(value)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        value.clear()
        value.extend(then)


class DictShape(Shape):
    """A dict: its keys in their order, then the values."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return (*value, *value.values())

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        middle = len(then) >> 1
        value.clear()
        value.update(zip(then[:middle], then[middle:], strict=True))


class SetShape(Shape):
    """A set, of numbers and strings alone: their order is nobody's business."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return tuple(value)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        value.clear()
        value.update(then)


class BytesShape(Shape):
    """A bytearray."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return (bytes(value),)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        value[:] = then[0]


class ArrayShape(Shape):
    """An array of numbers."""

    __slots__ = ()

    def read(self, value: Any) -> Contents:
        return (value.tobytes(),)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        del value[:]
        value.frombytes(then[0])


class InstanceShape(Shape):
    """An object of one of the package's own classes: its attributes, by `fields`."""

    __slots__ = ("fields", "is_compiled", "read_all")

    def __init__(self, kind: type) -> None:
        self.fields = fields_of(kind)
        self.is_compiled = is_compiled_class(kind)
        self.read_all = attrgetter(*self.fields) if len(self.fields) > 1 else None

    def read(self, value: Any) -> Contents:
        if self.read_all is not None:
            try:
                contents: Contents = self.read_all(value)
            except AttributeError:
                pass
            else:
                return contents
        return tuple([getattr(value, name, UNSET) for name in self.fields])

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        for name, item, old in zip(self.fields, now, then, strict=True):
            if item is not old:
                if old is UNSET:
                    self._unset(value, name)
                else:
                    setattr(value, name, old)

    def _unset(self, value: Any, name: str) -> None:
        """Take an attribute away; a compiled class doesn't let go of one, and nobody asks for it yet."""
        if not self.is_compiled:
            delattr(value, name)


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


def new_object(kind: type) -> Any:
    """An object of `kind` that holds nothing yet. Raises NotMade."""
    if is_compiled_class(kind):
        return empty_object(kind)
    new: Any = kind.__new__
    return new(kind)


def is_layout(value: Any) -> bool:
    """Whether it says how bytes lie in memory."""
    return isinstance(value, Struct)


def layout(form: str, *, wraps: bool) -> Struct:
    """The layout of a format, whose numbers may be packed modulo their width.

    Raises ValueError if the format isn't one.
    """
    try:
        return Words(form) if wraps else Struct(form)
    except StructError as error:
        raise ValueError(str(error)) from None


def is_traced(value: Any, shape: Shape) -> bool:
    """Whether the interpreter's collector tells of all that `value` holds.

    It knows nothing of bytes, of the keys of a dict that are all strings, and of what compiled classes keep
    as numbers of C.
    """
    if isinstance(shape, InstanceShape):
        return not shape.is_compiled
    if isinstance(shape, DictShape):
        return not any(type(key) is str for key in value)
    return not isinstance(shape, BytesShape | ArrayShape)
