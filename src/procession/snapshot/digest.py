"""The incremental digest of a machine's state: it costs what has changed, and a walk along the references.

It tells apart what `kernel.state_hash` tells apart, and nothing else: objects are named by the order in
which a walk from the kernel first meets them, breadth first, so that neither addresses nor what is garbage
shows in it. Each object's own text is made anew when it has changed only; the walk goes over ready-made
tuples of numbers.
"""

from __future__ import annotations

import marshal
from array import array
from enum import Enum
from itertools import islice, repeat
from typing import Any

from procession.abi.blake2 import blake2b
from procession.snapshot.record import Record
from procession.snapshot.shape import UNSET, SetShape, is_layout, shape_of
from procession.snapshot.table import ObjectTable

_MARSHAL_VERSION = 2
"""The last one without references, whose text doesn't depend on who else holds a value."""
_TEXT_BYTES = 16
_REMEMBERED_WALKS = 256


class StateDigest:
    """Makes digests of one table's objects.

    `texts` and `links` are of each object, by its number: a digest of what it holds itself, and the numbers
    of what it refers to. `structure` is the sum of their `terms`, each of which stands for one object's
    links. The walk depends on that alone, and `walks` are those that were made lately, by it and the roots:
    the objects in their order, and the links along it as bytes. Whoever searches comes to few structures,
    again and again.
    """

    __slots__ = ("links", "structure", "table", "terms", "texts", "walks")

    def __init__(self, table: ObjectTable) -> None:
        self.table = table
        self.texts: list[bytes] = []
        self.links: list[tuple[int, ...]] = []
        self.terms: list[int] = []
        self.structure = 0
        self.walks: dict[tuple[int, ...], tuple[list[int], bytes]] = {}

    def digest(self, roots: list[Any], rest: bytes) -> bytes:
        """The digest of all that `roots` lead to, and of `rest`, as the table saw it last: 16 bytes."""
        table, texts, links, terms = self.table, self.texts, self.links, self.terms
        if not table.has_digest:
            table.begin_digest()
        missing = len(table.objects) - len(texts)
        if missing > 0:
            texts += [b""] * missing
            links += [()] * missing
            terms += [0] * missing
        elif missing < 0:
            self.structure -= sum(terms[missing:])
            del texts[missing:], links[missing:], terms[missing:]
        records = table.records
        for number in table.changed:
            record = records[number]
            if not record.text:
                _describe(table, number, record)
            texts[number] = record.text
            links[number] = record.links
            self.structure += record.term - terms[number]
            terms[number] = record.term
        table.changed.clear()
        order, walk = self.walk(roots)
        text = blake2b(b"".join(map(texts.__getitem__, order)), digest_size=_TEXT_BYTES)
        text.update(walk)
        text.update(rest)
        return text.digest()

    def walk(self, roots: list[Any]) -> tuple[list[int], bytes]:
        """The numbers of the objects in the order in which they're met, and the places of their links."""
        numbers = [self.table.numbers[id(root)] for root in roots]
        key = (self.structure, *numbers)
        found = self.walks.get(key)
        if found is None:
            if len(self.walks) >= _REMEMBERED_WALKS:
                self.walks.clear()
            found = self.walks[key] = self._walk(numbers)
        return found

    def _walk(self, roots: list[int]) -> tuple[list[int], bytes]:
        links = self.links.__getitem__
        met: dict[int, None] = dict.fromkeys(roots)
        level = list(met)
        followed: list[int] = []
        while level:
            before = len(met)
            ahead: list[int] = []
            for each in map(links, level):
                ahead += each
            followed += ahead
            met.update(zip(ahead, repeat(None)))
            # From the end: those before it are many.
            level = list(islice(reversed(met), len(met) - before))
            level.reverse()
        order = list(met)
        places = dict(zip(order, range(len(order)), strict=True))
        return order, array("I", list(map(places.__getitem__, followed))).tobytes()


def _describe(table: ObjectTable, number: int, record: Record) -> None:
    """Make the text and the links of what an object held."""
    value, shape = table.objects[number], table.shapes[number]
    kind = type(value)
    parts: list[Any] = [kind.__qualname__]
    links: list[int] = []
    numbers = table.numbers
    for item in record.contents:
        # What `_add` does with nearly all of them.
        if type(item) in _PLAIN:
            parts.append(item)
        elif type(item) in _LINKED:
            parts.append(_LINK_MARK)
            links.append(numbers[id(item)])
        else:
            _add(parts, links, item, numbers)
    if isinstance(shape, SetShape):
        # Only sets of numbers and strings are in the state: their order must not matter.
        parts[1:] = sorted(parts[1:], key=repr)
    text = marshal.dumps(tuple(parts), _MARSHAL_VERSION)
    record.links = tuple(links)
    term = blake2b(array("I", (number, *links)), digest_size=_TEXT_BYTES).digest()
    record.term = int.from_bytes(term, "little")
    record.text = blake2b(text, digest_size=_TEXT_BYTES).digest()


def _add(parts: list[Any], links: list[int], item: Any, numbers: dict[int, int]) -> None:
    kind = type(item)
    if kind in _PLAIN:
        parts.append(item)
    elif item is UNSET:
        parts.append(_UNSET_MARK)
    elif isinstance(item, int):
        # True, 1 and a named 1 are one: compiled modules keep attributes that are ints as plain ints.
        parts.append(int(item))
    elif isinstance(item, tuple):
        parts += (_TUPLE_MARK, kind.__name__, len(item))
        for part in item:
            _add(parts, links, part, numbers)
    elif isinstance(item, frozenset):
        parts += (_SET_MARK, *sorted(map(repr, item)))
    elif isinstance(item, type):
        parts += (_TYPE_MARK, f"{item.__module__}.{item.__qualname__}")
    elif is_layout(item):
        # The layout of a pointer argument of a call that sleeps.
        parts += (_TYPE_MARK, item.format)
    elif isinstance(item, (str, bytes, Enum)):
        parts.append(repr(item))
    elif shape_of(kind) is None:
        parts.append(_VIEW_MARK)
    else:
        _LINKED.add(kind)
        parts.append(_LINK_MARK)
        links.append(numbers[id(item)])


_PLAIN = frozenset((int, bytes, str, float, type(None)))
_LINKED: set[type] = set()
"""The kinds of objects that have been linked to."""
# No other value in the state is a complex number.
_LINK_MARK, _TUPLE_MARK, _SET_MARK, _TYPE_MARK, _VIEW_MARK, _UNSET_MARK = (complex(0, n) for n in range(1, 7))
