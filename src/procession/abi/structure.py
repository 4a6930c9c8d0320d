"""Structures as a C compiler lays them out: annotated fields, natural alignment, one precompiled format."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self, dataclass_transform

from procession.abi.word import Words

# What fields are annotated with. The type checker sees int, bytes or tuple[int, ...]; the layout is read from
# the annotation's text, as evaluating some hundreds of annotations would be felt at every start.
#
#     tv_sec: I64 = 0                                          long tv_sec
#     nodename: Annotated[bytes, 65] = b""                     char nodename[65], padded with NULs or cut
#     loads: Annotated[tuple[int, ...], U64, 3] = (0, 0, 0)    unsigned long loads[3]
#     it_value: Timespec = Timespec()                          a structure inside; each instance has its own
U8 = Annotated[int, "B"]
U16 = Annotated[int, "H"]
U32 = Annotated[int, "I"]
U64 = Annotated[int, "Q"]
I8 = Annotated[int, "b"]
I16 = Annotated[int, "h"]
I32 = Annotated[int, "i"]
I64 = Annotated[int, "q"]
Pointer = Annotated[int, "Q"]


class Kind:
    """What a field holds: a number, an array of ``count`` numbers, bytes, or another structure."""

    __slots__ = ("alignment", "count", "form", "size", "structure", "zero")

    def __init__(
        self,
        form: str,
        size: int,
        alignment: int,
        zero: object,
        count: int = 0,
        structure: type[Structure] | None = None,
    ) -> None:
        self.form = form
        self.size = size
        self.alignment = alignment
        self.zero = zero
        self.count = count
        self.structure = structure


_NUMBERS = {
    name: Kind(form, size, size, 0)
    for name, form, size in (
        ("U8", "B", 1),
        ("U16", "H", 2),
        ("U32", "I", 4),
        ("U64", "Q", 8),
        ("I8", "b", 1),
        ("I16", "h", 2),
        ("I32", "i", 4),
        ("I64", "q", 8),
        ("Pointer", "Q", 8),
    )
}
_BYTES = "Annotated[bytes, "
_ARRAY = "Annotated[tuple[int, ...], "


def kind_of(annotation: str, module: str) -> Kind:
    """The kind that an annotation of a structure in ``module`` stands for."""
    if number := _NUMBERS.get(annotation):
        return number
    if annotation.startswith(_BYTES):
        length = int(annotation[len(_BYTES) : -1])
        return Kind(f"{length}s", length, 1, b"")
    if annotation.startswith(_ARRAY):
        name, _, length_text = annotation[len(_ARRAY) : -1].partition(", ")
        element, count = _NUMBERS[name], int(length_text)
        return Kind(f"{count}{element.form}", element.size * count, element.alignment, (0,) * count, count)
    inner = sys.modules[module].__dict__.get(annotation)
    if not (isinstance(inner, type) and issubclass(inner, Structure)):
        raise TypeError(f"{annotation} isn't a kind of field")
    return Kind(inner._body, inner.SIZE, inner.ALIGNMENT, inner(), structure=inner)


def paths_of(layout: Sequence[tuple[str, Kind]]) -> Iterator[str]:
    """The dotted path of every value in the order of the format; "" for what attrgetter can't reach."""
    for field, kind in layout:
        if kind.count:
            yield ""
        elif kind.structure:
            yield from (inner and f"{field}.{inner}" for inner in paths_of(kind.structure._layout))
        else:
            yield field


class StructureType(type):
    """The class of structures: computes offsets and the format when a structure is defined."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[Any, ...],
        namespace: dict[str, Any],
        *,
        size: int = 0,
        alignment: int = 1,
        is_packed: bool = False,
    ) -> StructureType:
        layout: list[tuple[str, Kind]] = []
        defaults: list[object] = []
        offsets: dict[str, int] = {}
        body, offset = "", 0
        for base in bases:
            # A base is like an anonymous first member: what follows starts after its tail padding.
            layout += base._layout
            defaults += base._defaults
            offsets |= base.OFFSETS
            body, offset = base._body, base.SIZE
            alignment = max(alignment, base.ALIGNMENT)
        own = []
        for field, annotation in namespace.get("__annotations__", {}).items():
            if annotation.startswith("ClassVar"):
                continue
            kind = kind_of(annotation, namespace["__module__"])
            if not is_packed:
                alignment = max(alignment, kind.alignment)
                if padding := -offset % kind.alignment:
                    body += f"{padding}x"
                    offset += padding
            own.append(field)
            layout.append((field, kind))
            # A class attribute and a slot can't share a name.
            defaults.append(namespace.pop(field, kind.zero))
            offsets[field] = offset
            body += kind.form
            offset += kind.size
        total = max(size, offset + -offset % alignment)
        if padding := total - offset:
            body += f"{padding}x"
        namespace |= {
            "__slots__": tuple(own),
            "SIZE": total,
            "ALIGNMENT": alignment,
            "OFFSETS": offsets,
            "FIELDS": tuple(offsets),
            "STRUCT": Words("<" + body),
            "_body": body,
            "_layout": tuple(layout),
            "_defaults": tuple(defaults),
            "_is_plain": not any(kind.count or kind.structure for _, kind in layout),
        }
        paths = list(paths_of(layout))
        if len(paths) > 1 and "" not in paths:
            namespace["_leaves"] = attrgetter(*paths)
        elif bases:
            # That of a base would leave out what is its own.
            namespace["_leaves"] = Structure.__dict__["_leaves"]
        return super().__new__(mcls, name, bases, namespace)


@dataclass_transform(eq_default=True)
class Structure(metaclass=StructureType):
    """
    A C structure: subclasses annotate fields, each with its default, and get a constructor and their bytes.

    Class keywords: ``size`` is the least size in bytes (a union's variant), ``alignment`` the least alignment
    in bytes, ``is_packed`` stands for ``__attribute__((packed))``. A base's fields come first.
    """

    SIZE: ClassVar[int]
    ALIGNMENT: ClassVar[int]
    OFFSETS: ClassVar[dict[str, int]]
    FIELDS: ClassVar[tuple[str, ...]]
    STRUCT: ClassVar[Words]
    _body: ClassVar[str]
    _layout: ClassVar[tuple[tuple[str, Kind], ...]]
    _defaults: ClassVar[tuple[object, ...]]
    _is_plain: ClassVar[bool]

    def __init__(self, *values: Any, **named: Any) -> None:
        given = len(values)
        if given > len(self.FIELDS):
            raise TypeError(f"{type(self).__name__} has {len(self.FIELDS)} fields, not {given}")
        for field, value in zip(self.FIELDS, values, strict=False):
            setattr(self, field, value)
        for field, value in named.items():
            setattr(self, field, value)
        if given + len(named) < len(self.FIELDS):
            for field, default in zip(self.FIELDS[given:], self._defaults[given:], strict=True):
                if field not in named:
                    setattr(self, field, type(default)() if isinstance(default, Structure) else default)

    # StructureType puts an attrgetter in its place where that can do; it doesn't bind: call it on the class.
    def _leaves(self) -> Sequence[Any]:
        leaves: list[Any] = []
        for field, kind in self._layout:
            value = getattr(self, field)
            if kind.count:
                leaves += value
            elif kind.structure:
                leaves += type(value)._leaves(value)
            else:
                leaves.append(value)
        return leaves

    def pack(self) -> bytes:
        """The structure's bytes, SIZE of them; a number is taken modulo its field's width, as in C."""
        return self.STRUCT.pack(*type(self)._leaves(self))

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Self:
        """From exactly SIZE bytes."""
        return cls._build(cls.STRUCT.unpack(data))

    @classmethod
    def unpack_from(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> Self:
        """From the SIZE bytes of ``data`` at ``offset``."""
        return cls._build(cls.STRUCT.unpack_from(data, offset))

    @classmethod
    def unpack_array(cls, data: bytes | bytearray | memoryview) -> list[Self]:
        """From an array of structures: the length of ``data`` is a multiple of SIZE."""
        return [cls._build(leaves) for leaves in cls.STRUCT.iter_unpack(data)]

    @classmethod
    def _build(cls, leaves: tuple[Any, ...]) -> Self:
        if not cls._is_plain:
            return cls._gather(iter(leaves))
        self = cls.__new__(cls)
        for field, value in zip(cls.FIELDS, leaves, strict=True):
            setattr(self, field, value)
        return self

    @classmethod
    def _gather(cls, leaves: Iterator[Any]) -> Self:
        self = cls.__new__(cls)
        for field, kind in cls._layout:
            if kind.count:
                setattr(self, field, tuple(islice(leaves, kind.count)))
            elif kind.structure:
                setattr(self, field, kind.structure._gather(leaves))
            else:
                setattr(self, field, next(leaves))
        return self

    # Two structures are equal when their bytes are: b"Linux" and b"Linux" padded with NULs are one name.
    def __eq__(self, other: object) -> bool:
        return self.pack() == other.pack() if type(other) is type(self) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={getattr(self, field)!r}" for field in self.FIELDS)
        return f"{type(self).__name__}({fields})"
