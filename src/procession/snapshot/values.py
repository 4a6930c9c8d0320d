"""Values of the state as bytes and back: numbers, texts, tuples, and references to objects by number.

What is read isn't trusted. Any bytes give values of these kinds, of no more than the bytes' own size, or
BadSnapshot.
"""

from __future__ import annotations

import re
from enum import Enum
from mmap import mmap
from typing import Any

from procession.abi.word import Words
from procession.snapshot.registry import UnknownClass, class_named, name_of_class
from procession.snapshot.shape import UNSET, is_layout, layout, shape_of

_NONE, _TRUE, _FALSE, _UNSET, _NATURAL, _NEGATIVE, _BIG, _FLOAT = range(8)
_BYTES, _TEXT, _TUPLE, _NAMED_TUPLE, _SET, _NUMBER_OF, _MEMBER, _TYPE = range(8, 16)
_LAYOUT, _MAPPING, _VIEW, _REFERENCE = range(16, 20)
_DEEPEST = 64
_DIGITS = re.compile(rb"-?[0-9a-f]{1,8192}")
_FORMAT = re.compile(r"[<>=@!]?(?:[0-9]{0,5}[xcbB?hHiIlLqQnNefdspP])*")


class BadSnapshot(Exception):
    """A file isn't a snapshot, or one that this version can't read."""


class ValueWriter:
    """Collects values in `data`. `numbers` are those of the objects, by id; `classes` are the names used."""

    __slots__ = ("classes", "data", "numbers")

    def __init__(self, numbers: dict[int, int]) -> None:
        self.data = bytearray()
        self.numbers = numbers
        self.classes: dict[str, int] = {}

    def natural(self, number: int) -> None:
        """A number from 0 on, seven bits to a byte."""
        while number > 0x7F:
            self.data.append(number & 0x7F | 0x80)
            number >>= 7
        self.data.append(number)

    def block(self, data: bytes) -> None:
        """Bytes, after their number."""
        self.natural(len(data))
        self.data += data

    def kind(self, kind: type) -> None:
        """A class. Raises UnknownClass."""
        name = name_of_class(kind)
        self.natural(self.classes.setdefault(name, len(self.classes)))

    def value(self, value: Any) -> None:
        """Any value of the state. Raises UnknownClass, BadSnapshot for what can't be written."""
        kind, data = type(value), self.data
        if value is None or kind is bool:
            data.append(_NONE if value is None else _TRUE if value else _FALSE)
        elif value is UNSET:
            data.append(_UNSET)
        elif kind is int:
            self._number(value)
        elif kind is bytes or kind is str:
            data.append(_BYTES if kind is bytes else _TEXT)
            self.block(value if kind is bytes else value.encode("utf-8", "surrogatepass"))
        elif kind is float:
            data.append(_FLOAT)
            self.block(value.hex().encode())
        elif isinstance(value, tuple):
            data.append(_TUPLE if kind is tuple else _NAMED_TUPLE)
            if kind is not tuple:
                self.kind(kind)
            self.natural(len(value))
            for item in value:
                self.value(item)
        elif isinstance(value, frozenset):
            data.append(_SET)
            self.natural(len(value))
            for item in sorted(value, key=repr):
                self.value(item)
        elif isinstance(value, int):
            data.append(_NUMBER_OF)
            self.kind(kind)
            self._number(int(value))
        elif isinstance(value, Enum):
            data.append(_MEMBER)
            self.kind(kind)
            self.value(value.name)
        elif isinstance(value, type):
            data.append(_TYPE)
            self.kind(value)
        elif is_layout(value):
            data.append(_LAYOUT)
            self.value(isinstance(value, Words))
            self.value(value.format)
        elif isinstance(value, mmap):
            data.append(_MAPPING)
        elif isinstance(value, memoryview):
            data.append(_VIEW)
        elif shape_of(kind) is not None:
            number = self.numbers.get(id(value))
            if number is None:
                raise BadSnapshot(f"a {kind.__qualname__} isn't of the state that was kept")
            data.append(_REFERENCE)
            self.natural(number)
        else:
            raise BadSnapshot(f"a {kind.__qualname__} can't be written down")

    def _number(self, number: int) -> None:
        magnitude = abs(number)
        if magnitude >> 64:
            self.data.append(_BIG)
            self.block(f"{number:x}".encode())
        else:
            self.data.append(_NEGATIVE if number < 0 else _NATURAL)
            self.natural(magnitude)


class ValueReader:
    """Reads what a ValueWriter wrote. References are to `objects`; `mapping` and `view` are the memory's."""

    __slots__ = ("classes", "data", "mapping", "objects", "position", "view")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.classes: list[type] = []
        self.objects: list[Any] = []
        self.mapping: Any = None
        self.view: Any = None

    def natural(self) -> int:
        """See `ValueWriter`. Raises BadSnapshot, as the others do."""
        number = shift = 0
        data = self.data
        while True:
            if self.position >= len(data) or shift > 63:
                raise BadSnapshot("it's cut off, or a number in it isn't readable")
            byte = data[self.position]
            self.position += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def count(self) -> int:
        """How many things follow, each of which takes a byte at least."""
        count = self.natural()
        if count > len(self.data) - self.position:
            raise BadSnapshot("it's cut off")
        return count

    def block(self) -> bytes:
        """See `ValueWriter`."""
        length = self.count()
        self.position += length
        return self.data[self.position - length : self.position]

    def kind(self) -> type:
        """See `ValueWriter`."""
        number = self.natural()
        if number >= len(self.classes):
            raise BadSnapshot("a class in it has no name")
        return self.classes[number]

    def text(self) -> str:
        """A text that `ValueWriter.block` wrote."""
        try:
            return self.block().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise BadSnapshot("a text in it isn't readable") from None

    def value(self, depth: int = 0) -> Any:
        """See `ValueWriter`."""
        if self.position >= len(self.data) or depth > _DEEPEST:
            raise BadSnapshot("it's cut off, or too deep")
        tag = self.data[self.position]
        self.position += 1
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag == _REFERENCE:
            number = self.natural()
            if number >= len(self.objects):
                raise BadSnapshot("a reference in it leads nowhere")
            return self.objects[number]
        if tag in (_NATURAL, _NEGATIVE):
            return self.natural() if tag == _NATURAL else -self.natural()
        if tag == _BYTES:
            return self.block()
        if tag == _TEXT:
            return self.text()
        if tag == _TUPLE:
            return tuple([self.value(depth + 1) for _ in range(self.count())])
        return self._rare_value(tag, depth)

    def _rare_value(self, tag: int, depth: int) -> Any:
        if tag == _NAMED_TUPLE:
            kind = self.kind()
            items = [self.value(depth + 1) for _ in range(self.count())]
            if not issubclass(kind, tuple) or len(getattr(kind, "_fields", ())) != len(items):
                raise BadSnapshot(f"{kind.__qualname__} is no tuple of {len(items)}")
            return tuple.__new__(kind, items)
        if tag == _SET:
            items = [self.value(depth + 1) for _ in range(self.count())]
            if not all(isinstance(item, int | str | bytes) for item in items):
                raise BadSnapshot("a set in it holds something else than numbers and texts")
            return frozenset(items)
        if tag == _BIG:
            digits = self.block()
            if not _DIGITS.fullmatch(digits):
                raise BadSnapshot("a number in it isn't readable")
            return int(digits, 16)
        if tag == _FLOAT:
            try:
                return float.fromhex(self.text())
            except (ValueError, OverflowError):
                raise BadSnapshot("a number in it isn't readable") from None
        if tag in (_NUMBER_OF, _MEMBER):
            return self._member(tag)
        if tag == _TYPE:
            return self.kind()
        if tag == _LAYOUT:
            wraps, form = self.value(depth + 1), self.value(depth + 1)
            if not isinstance(form, str) or not _FORMAT.fullmatch(form):
                raise BadSnapshot("a layout in it isn't readable")
            try:
                return layout(form, wraps=bool(wraps))
            except ValueError:
                raise BadSnapshot("a layout in it isn't one") from None
        if tag == _MAPPING:
            return self.mapping
        if tag == _VIEW:
            return self.view
        raise BadSnapshot("a value in it is of no known kind")

    def _member(self, tag: int) -> Any:
        kind = self.kind()
        value = self.value(_DEEPEST)
        try:
            if tag == _NUMBER_OF and issubclass(kind, int) and isinstance(value, int):
                return kind(value)
            if tag == _MEMBER and issubclass(kind, Enum) and isinstance(value, str):
                return kind[value]
        except (KeyError, TypeError, ValueError, OverflowError):
            pass
        raise BadSnapshot(f"{value!r} is no {kind.__qualname__}")

    def classes_named(self, names: list[str]) -> None:
        """Find the classes. Raises BadSnapshot."""
        try:
            self.classes = [class_named(name) for name in names]
        except UnknownClass as error:
            raise BadSnapshot(str(error)) from None


_CONSTANTS = {_NONE: None, _TRUE: True, _FALSE: False, _UNSET: UNSET}
