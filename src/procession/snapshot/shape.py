"""What an object of each kind holds: how its contents are read, compared and put back."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from enum import Enum
from itertools import compress
from mmap import mmap
from operator import attrgetter, is_, is_not
from struct import Struct
from struct import error as StructError
from typing import Any

from procession.abi.word import Words
from procession.kernel.state_hash import fields_of, outside_of
from procession.snapshot.compiled_objects import empty_object, is_compiled_class

_FEW_FIELDS = 2
Contents = tuple[Any, ...]
"""What an object held at one moment. It is never changed, and keeps alive what it names."""

__all__ = ["ATOMS", "UNSET", "Contents", "NotPlain", "Shape", "outside_of", "shape_of"]
ATOMS: frozenset[type] = frozenset((int, bool, bytes, str, float, type(None)))
"""The commonest classes of what never changes."""
_ATOMS = (int, str, bytes, float, type(None), type, Enum, Struct, memoryview, mmap)


class Unset:
    """Stands for an attribute that wasn't there."""

    __slots__ = ()


UNSET = Unset()


class Partial(tuple[Any, ...]):
    """The contents of an object of which not all attributes are there: UNSET stands for those."""

    __slots__ = ()


class Shape:
    """A kind of object that can change. `contents` are what it refers to, in an order of its own.

    `reader` does what `read` does, faster where that can be; it raises AttributeError where it can't.
    `is_compiled` is set for objects of compiled classes; `is_seen_in_group` if a group tells of all that any
    object of the kind holds.
    """

    __slots__ = ("is_compiled", "is_seen_in_group", "reader")

    def __init__(self, reader: Callable[[Any], Contents] | None = None) -> None:
        self.reader: Callable[[Any], Contents] = self.read if reader is None else reader
        self.is_compiled = False
        self.is_seen_in_group = True

    def read(self, value: Any) -> Contents:
        """What `value` holds now."""
        raise NotImplementedError

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        """Let `value`, which holds `now`, hold `then`."""
        raise NotImplementedError

    def warm(self) -> None:
        """From now on objects of this shape are read and written often."""

    def put_back(self, value: Any, then: Contents) -> None:
        """Let `value` hold `then`, which was read of it, whatever it holds now.

        What's equal and isn't the same may be written or not: neither does harm.
        """
        now = self.read(value)
        if len(now) != len(then) or not all(map(is_, now, then)):
            self.write(value, now, then)


class ListShape(Shape):
    """A list."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(tuple)

    def read(self, value: Any) -> Contents:
        return tuple(value)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        value[:] = then

    def put_back(self, value: Any, then: Contents) -> None:
        # To write is cheaper than to look.
        value[:] = then


class DequeShape(Shape):
    """A deque."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(tuple)

    def read(self, value: Any) -> Contents:
        return tuple(value)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        value.clear()
        value.extend(then)


class DictShape(Shape):
    """A dict: its keys in their order, then the values."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.is_seen_in_group = False

    def read(self, value: Any) -> Contents:
        return (*value, *value.values())

    def put_back(self, value: Any, then: Contents) -> None:
        if then:
            super().put_back(value, then)
        else:
            value.clear()

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        middle = len(then) >> 1
        value.clear()
        value.update(zip(then[:middle], then[middle:], strict=True))


class SetShape(Shape):
    """A set, of numbers and strings alone: their order is nobody's business."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(tuple)

    def read(self, value: Any) -> Contents:
        return tuple(value)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        value.clear()
        value.update(then)


class BytesShape(Shape):
    """A bytearray."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.is_seen_in_group = False

    def read(self, value: Any) -> Contents:
        return (bytes(value),)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        value[:] = then[0]


class ArrayShape(Shape):
    """An array of numbers."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.is_seen_in_group = False

    def read(self, value: Any) -> Contents:
        return (value.tobytes(),)

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        del value[:]
        value.frombytes(then[0])


class InstanceShape(Shape):
    """An object of one of the package's own classes: its attributes, by `fields`.

    `writer` lets an object hold contents that aren't partial; None where each attribute is set by itself.
    """

    __slots__ = ("fields", "is_warm", "writer")

    def __init__(self, kind: type) -> None:
        self.fields = fields_of(kind)
        self.writer: Callable[[Any, Contents], None] | None = None
        has_few = len(self.fields) < _FEW_FIELDS
        super().__init__(self._read_each if has_few else attrgetter(*self.fields))
        self.is_compiled = is_compiled_class(kind)
        self.is_seen_in_group = not self.is_compiled or not kind.__dictoffset__
        self.is_warm = has_few or self.is_compiled

    def warm(self) -> None:
        if not self.is_warm:
            self.is_warm = True
            self.reader, self.writer = _access_to(self.fields)

    def read(self, value: Any) -> Contents:
        try:
            return self.reader(value)
        except AttributeError:
            return self._read_each(value)

    def _read_each(self, value: Any) -> Contents:
        contents = tuple([getattr(value, name, UNSET) for name in self.fields])
        return Partial(contents) if any(item is UNSET for item in contents) else contents

    def write(self, value: Any, now: Contents, then: Contents) -> None:
        # C code finds what differs.
        for name, old in compress(zip(self.fields, then, strict=True), map(is_not, now, then)):
            if old is UNSET:
                self._unset(value, name)
            else:
                setattr(value, name, old)

    def put_back(self, value: Any, then: Contents) -> None:
        if self.writer is None or type(then) is Partial:
            self.write(value, self.read(value), then)
        else:
            # To write all is cheaper than to look.
            self.writer(value, then)

    def _unset(self, value: Any, name: str) -> None:
        """Take an attribute away; a compiled class doesn't let go of one, and nobody asks for it yet."""
        if not self.is_compiled:
            delattr(value, name)


def _access_to(
    fields: tuple[str, ...],
) -> tuple[Callable[[Any], Contents], Callable[[Any, Contents], None]]:
    """Functions that read and write all of `fields`: the interpreter knows soon where each lies.

    That's three times as fast as to ask for them by name, but to make them takes as long as to ask some
    hundred times.
    """
    attributes = ", ".join(f"value.{name}" for name in fields)
    made: dict[str, Any] = {}
    exec(f"def read(value): return ({attributes},)\ndef write(value, then): ({attributes},) = then", made)
    return made["read"], made["write"]


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


def is_seen_in_group(value: Any, shape: Shape) -> bool:
    """Whether a group tells of all that `value` holds.

    The interpreter's collector knows nothing of bytes, and of the keys of a dict that are all strings; and
    the bytes of an object are all that it holds if it has no dictionary of attributes.
    """
    return shape.is_seen_in_group or (isinstance(shape, DictShape) and str not in map(type, value))
