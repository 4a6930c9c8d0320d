"""Takes in a whole graph of objects, many of one class at once: a machine's first look at itself.

What the interpreter's collector tells of 256 objects of a class is a table with a row for each: so new
objects are looked for by columns, and that table is also what they are compared with later (`referents.py`).
The contents of one are made of its row when somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, repeat
from typing import Any

from procession.snapshot.record import Columns, Record, RowRecord, Rows, columns_of
from procession.snapshot.referents import GROUP_SIZE, Group, referents_of
from procession.snapshot.shape import ATOMS, Shape, shape_of

_FEW = 8
"""So few objects of a class are read one by one."""


class Survey:
    """The objects that some lead to, in the order in which they're found, each with its shape and record.

    `numbers` has their places by their addresses, `groups` are those of whole tables, `rest` the numbers of
    the other objects.
    """

    __slots__ = ("atoms", "groups", "numbers", "objects", "records", "rest", "shapes", "tuples")

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.shapes: list[Shape] = []
        self.records: list[Record] = []
        self.numbers: dict[int, int] = {}
        self.groups: list[Group] = []
        self.rest: list[int] = []
        self.atoms: set[type] = set(ATOMS)
        self.tuples: dict[int, Any] = {}

    def take_in(self, roots: Iterable[Any]) -> None:
        """Find all that `roots` lead to. Raises NotPlain."""
        level = self._unknown(list(roots))
        while level:
            # Each is known before any of them is looked into.
            found: list[Any] = []
            for kind, values in level.items():
                shape = shape_of(kind)
                assert shape is not None
                first = len(self.objects)
                self.numbers.update(zip(map(id, values), range(first, first + len(values)), strict=True))
                self.objects += values
                self.shapes += [shape] * len(values)
                self._look_into(values, shape, first, found)
            level = self._unknown(found)

    def _unknown(self, found: list[Any]) -> dict[type, list[Any]]:
        """The objects among `found` and in tuples there that can change and aren't known, by their class."""
        numbers, atoms, tuples = self.numbers, self.atoms, self.tuples
        level: dict[type, list[Any]] = {}
        while found:
            inside: list[Any] = []
            # Most are referred to by many.
            unique = dict(zip(map(id, found), found, strict=True))
            for key, value in [item for item in unique.items() if item[0] not in numbers]:
                kind = type(value)
                if kind in level:
                    level[kind].append(value)
                elif kind in atoms:
                    continue
                elif shape_of(kind) is not None:
                    level[kind] = [value]
                elif not issubclass(kind, (tuple, frozenset)):
                    atoms.add(kind)
                    continue
                else:
                    if key not in tuples:
                        tuples[key] = value
                        inside += value
                    continue
                # It has no number yet, but is no news any more.
                numbers[key] = -1
            found = inside
        return level

    def _look_into(self, values: list[Any], shape: Shape, first: int, found: list[Any]) -> None:
        """Make the records of `values`, of one class and numbered from `first`; add what they refer to."""
        columns = columns_of(type(values[0]), shape) if len(values) >= _FEW else None
        if columns is None:
            self._read_each(values, shape, first, found)
            return
        for at in range(0, len(values), GROUP_SIZE):
            self._read_rows(values[at : at + GROUP_SIZE], shape, columns, first + at, found)

    def _read_rows(
        self, values: list[Any], shape: Shape, columns: Columns, first: int, found: list[Any]
    ) -> None:
        held = referents_of(values)
        width = columns.width
        if len(held) != len(values) * width:
            # Not all have all attributes.
            self._read_each(values, shape, first, found)
            return
        for place in columns.places:
            self._add_unlike_atoms(held[place::width], found)
        self.groups.append(Group.of_rows(list(range(first, first + len(values))), values, held))
        self.records += map(RowRecord, repeat(Rows(held, columns)), range(len(values)))

    def _read_each(self, values: list[Any], shape: Shape, first: int, found: list[Any]) -> None:
        try:
            contents = list(map(shape.reader, values))
        except AttributeError:
            contents = list(map(shape.read, values))
        self.records += map(Record, contents)
        self.rest += range(first, first + len(values))
        self._add_unlike_atoms(list(chain.from_iterable(contents)), found)

    def _add_unlike_atoms(self, values: list[Any], found: list[Any]) -> None:
        kinds = set(map(type, values))
        if kinds <= self.atoms:
            return
        atoms = self.atoms
        if kinds.isdisjoint(atoms):
            found += values
        else:
            found += [value for value in values if type(value) not in atoms]
