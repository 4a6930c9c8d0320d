"""What an object of the state held at one moment: contents of its own, or a row of a table of many."""

from __future__ import annotations

import gc
from operator import itemgetter
from types import MemberDescriptorType
from typing import Any

from procession.snapshot.shape import Contents, InstanceShape, Shape, new_object


class Record:
    """What an object held. `text`, `links` and `term` are what the digest makes of that, once it asks."""

    __slots__ = ("contents", "links", "term", "text")

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.text = b""
        self.links: tuple[int, ...] = ()
        self.term = 0


class Columns:
    """How the collector tells of an object of one class: `width` items, with what comes between two objects.

    `places` are those of the attributes of the state, in the order in which a shape reads them.
    """

    __slots__ = ("in_order", "places", "width")

    def __init__(self, width: int, places: list[int]) -> None:
        self.width = width
        self.places = places
        self.in_order = itemgetter(*places)


class Rows:
    """What the collector told of many objects of one class."""

    __slots__ = ("columns", "held")

    def __init__(self, held: list[Any], columns: Columns) -> None:
        self.held = held
        self.columns = columns

    def contents(self, row: int) -> Contents:
        """What object number `row` of them held."""
        columns = self.columns
        start = row * columns.width
        contents: Contents = columns.in_order(self.held[start : start + columns.width])
        return contents


class RowRecord(Record):
    """What an object held, of which a table has row number `row`: its contents are made when they're asked
    for first."""

    __slots__ = ("row", "rows")

    def __init__(self, rows: Rows, row: int) -> None:
        self.rows: Rows | None = rows
        self.row = row
        self.text = b""
        self.links = ()
        self.term = 0

    def __getattr__(self, name: str) -> Contents:
        # Only what isn't there is asked for here.
        if name != "contents" or self.rows is None:
            raise AttributeError(name)
        contents = self.contents = self.rows.contents(self.row)
        self.rows = None
        return contents


_COLUMNS: dict[type, Columns | None] = {}


def columns_of(kind: type, shape: Shape) -> Columns | None:
    """How the collector tells of objects of `kind`; None if that isn't the same for all of them."""
    try:
        return _COLUMNS[kind]
    except KeyError:
        columns = _COLUMNS[kind] = _find_columns(kind, shape)
        return columns


def _find_columns(kind: type, shape: Shape) -> Columns | None:
    if not isinstance(shape, InstanceShape) or shape.is_compiled or len(shape.fields) < _FEWEST_FIELDS:
        return None
    if kind.__dictoffset__ or hasattr(kind, "__del__"):
        return None
    members = {
        name: member
        for base in kind.__mro__
        for name, member in base.__dict__.items()
        if isinstance(member, MemberDescriptorType)
    }
    # Found out by one that has something of its own in each attribute.
    sample = new_object(kind)
    marks: dict[int, str] = {}
    kept: list[object] = []
    for name, member in members.items():
        mark = object()
        member.__set__(sample, mark)
        kept.append(mark)
        marks[id(mark)] = name
    held = gc.get_referents(sample)
    names = [marks.get(id(item)) for item in held]
    if len(held) != len(members) + 1 or not set(shape.fields) <= set(names):
        return None
    return Columns(len(held) + 1, [names.index(name) for name in shape.fields])


_FEWEST_FIELDS = 2
