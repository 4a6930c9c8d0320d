"""All objects of a machine's state that can change, and what they held when they were looked at last."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from itertools import compress
from operator import is_not
from typing import Any

from procession.snapshot.record import Record
from procession.snapshot.referents import GROUP_SIZE, Group
from procession.snapshot.shape import ATOMS, Contents, Shape, is_seen_in_group, shape_of
from procession.snapshot.shared_list import LEAF_SIZE, KeptList, SharedList
from procession.snapshot.survey import Survey

_MANY_NEW = 512
"""So many at once are no news: they go where nothing is expected to change."""
_COOLING_INTERVAL = 32
_LEAF_BITS = LEAF_SIZE.bit_length() - 1
_LEAF_MASK = LEAF_SIZE - 1
_COOL_AGE = 16


class ObjectTable:
    """Knows the objects by numbers that they keep, in the order in which they were found.

    Those that have changed lately are `hot`, each with how often it was looked at since, and are compared one
    by one; the others are in `groups`, compared as wholes. `changed` are those that the digest hasn't seen,
    once there is one; of these, `absent` are no part of the state that was put back last, and may name what
    is forgotten. `gone`
    are the numbers of all that aren't, but for those that were `met` again since: whatever lies outside the
    state may have led back to them.
    """

    __slots__ = (
        "absent",
        "changed",
        "gone",
        "group_of",
        "groups",
        "has_digest",
        "hot",
        "looks",
        "met",
        "numbers",
        "objects",
        "records",
        "shapes",
    )

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.shapes: list[Shape] = []
        self.records: SharedList[Record] = SharedList()
        self.numbers: dict[int, int] = {}
        self.hot: dict[int, int] = {}
        self.groups: dict[Group, None] = {}
        self.group_of: dict[int, Group] = {}
        self.has_digest = False
        self.changed: set[int] = set()
        self.absent: set[int] = set()
        self.gone = range(0)
        self.met: set[int] = set()
        self.looks = 0

    def begin_digest(self) -> None:
        """From now on there's a digest, which hasn't seen anything."""
        self.has_digest = True
        self.absent = set(self.gone) - self.met
        self.changed = set(range(len(self.objects))) - self.absent

    def look(self, roots: Iterable[Any]) -> None:
        """Find out what has changed, and what is new. Raises NotPlain."""
        objects, shapes, records, hot = self.objects, self.shapes, self.records, self.hot
        leaves = records.leaves
        self._heat_changed()
        waiting: list[Any] = []
        numbers = self.numbers
        gone, met, has_digest = self.gone, self.met, self.has_digest
        for root in roots:
            number = numbers.get(id(root), -1)
            if number < 0 or number in gone:
                waiting.append(root)
        for number, age in hot.items():
            if number in gone and number not in met:
                continue
            value, shape = objects[number], shapes[number]
            try:
                now = shape.reader(value)
            except AttributeError:
                now = shape.read(value)
            then = leaves[number >> _LEAF_BITS][number & _LEAF_MASK].contents
            if is_same(now, then):
                hot[number] = age + 1
                continue
            hot[number] = 0
            records[number] = Record(now)
            if has_digest:
                self.changed.add(number)
            waiting += compress(now, map(is_not, now, then)) if len(now) == len(then) else now
        if not objects:
            self._survey(waiting)
        elif waiting:
            self._add_all(waiting)
        self.looks += 1
        if not self.looks % _COOLING_INTERVAL:
            self._cool()

    def _heat_changed(self) -> None:
        """Move what has changed to where it's expected to change."""
        for group in [group for group in self.groups if not group.is_unchanged]:
            changed = [
                number
                for number in group.numbers
                if not is_same(self.shapes[number].read(self.objects[number]), self.records[number].contents)
            ]
            self._heat(group, changed)

    def _heat(self, group: Group, numbers: Iterable[int]) -> None:
        leaving = set(numbers)
        rest = [number for number in group.numbers if number not in leaving]
        del self.groups[group]
        self._make_hot(leaving)
        for number in leaving:
            del self.group_of[number]
        if rest:
            self._make_group(rest)

    def _make_hot(self, numbers: Iterable[int]) -> None:
        hot, shapes = self.hot, self.shapes
        for number in numbers:
            hot[number] = 0
            shapes[number].warm()

    def _make_group(self, numbers: list[int]) -> None:
        self._take_group(Group(numbers, self.objects, self.shapes))

    def _take_group(self, group: Group) -> None:
        self.groups[group] = None
        self.group_of.update(dict.fromkeys(group.numbers, group))

    def _survey(self, roots: list[Any]) -> None:
        """Take in all that `roots` lead to, as nothing is known."""
        survey = Survey()
        is_collecting = gc.isenabled()
        # None of these many new objects is garbage.
        gc.disable()
        try:
            survey.take_in(roots)
        finally:
            if is_collecting:
                gc.enable()
        self.objects, self.shapes, self.numbers = survey.objects, survey.shapes, survey.numbers
        self.records.extend(survey.records)
        if self.has_digest:
            self.changed.update(range(len(self.objects)))
        if len(self.objects) <= _MANY_NEW:
            self._make_hot(range(len(self.objects)))
            return
        for group in survey.groups:
            self._take_group(group)
        self._group(survey.rest)

    def _add_all(self, waiting: list[Any]) -> None:
        """Take in the objects among `waiting` that aren't known, and all that they lead to."""
        numbers, objects, shapes = self.numbers, self.objects, self.shapes
        first = len(objects)
        records: list[Record] = []
        tuples: set[int] = set()
        gone = self.gone
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if kind in ATOMS:
                continue
            number = numbers.get(id(value))
            if number is not None:
                if number in gone and number not in self.met:
                    waiting += self._meet_again(number)
                continue
            shape = shape_of(kind)
            if shape is None:
                if isinstance(value, (tuple, frozenset)) and id(value) not in tuples:
                    tuples.add(id(value))
                    waiting += value
                continue
            contents = shape.read(value)
            numbers[id(value)] = len(objects)
            objects.append(value)
            shapes.append(shape)
            records.append(Record(contents))
            waiting += [item for item in contents if type(item) not in ATOMS]
        self.records.extend(records)
        added = range(first, len(objects))
        if self.has_digest:
            self.changed.update(added)
        if len(added) > _MANY_NEW:
            self._group(added)
        else:
            self._make_hot(added)

    def _meet_again(self, number: int) -> Contents:
        """What had gone is of the state again, and holds whatever it does now."""
        contents = self.shapes[number].read(self.objects[number])
        self.met.add(number)
        if self.has_digest:
            self.changed.add(number)
        self.records[number] = Record(contents)
        group = self.group_of.get(number)
        if group is not None:
            self._heat(group, (number,))
        return contents

    def _group(self, numbers: Iterable[int]) -> None:
        """Put those of `numbers` into groups of which all that changes is seen there."""
        objects, shapes = self.objects, self.shapes
        cold: list[int] = []
        hot: list[int] = []
        for number in numbers:
            shape = shapes[number]
            if shape.is_seen_in_group or is_seen_in_group(objects[number], shape):
                cold.append(number)
            else:
                hot.append(number)
        self._make_hot(hot)
        for at in range(0, len(cold), GROUP_SIZE):
            self._make_group(cold[at : at + GROUP_SIZE])

    def _cool(self) -> None:
        """Put what hasn't changed for a while into groups, together with what is left of small ones."""
        cool = [number for number, age in self.hot.items() if age >= _COOL_AGE]
        if len(cool) < _COOL_AGE:
            return
        for number in cool:
            del self.hot[number]
        # Those that have lost some of theirs are filled up.
        for group in [group for group in self.groups if len(group.numbers) < GROUP_SIZE]:
            del self.groups[group]
            cool += group.numbers
        self._group(sorted(cool))

    def put_back(self, kept: KeptList[Record]) -> None:
        """Let the objects that there were then hold what they held."""
        objects, shapes, records, hot = self.objects, self.shapes, self.records, self.hot
        self._heat_changed()
        count, leaves = kept.count, kept.leaves
        for number in hot:
            if number < count:
                then_contents = leaves[number >> _LEAF_BITS][number & _LEAF_MASK].contents
                shapes[number].put_back(objects[number], then_contents)
        heated: dict[Group, list[int]] = {}
        has_digest = self.has_digest
        for number, now_record, then in records.differing(kept):
            if has_digest:
                self.changed.add(number)
            group = self.group_of.get(number)
            if group is not None:
                shapes[number].write(objects[number], now_record.contents, then.contents)
                heated.setdefault(group, []).append(number)
        for group, changed in heated.items():
            self._heat(group, changed)
        records.put_back(kept)
        if has_digest:
            unseen = self.changed | self.absent
            self.changed = {number for number in unseen if number < count}
            self.absent = unseen - self.changed
        self.gone = range(count, len(objects))
        self.met.clear()

    def truncate(self, count: int) -> None:
        """Forget all objects but the first `count`, to which nothing leads."""
        if count >= len(self.objects):
            return
        for group in [group for group in self.groups if group.last >= count]:
            self._heat(group, [number for number in group.numbers if number >= count])
        for value in self.objects[count:]:
            del self.numbers[id(value)]
        del self.objects[count:]
        del self.shapes[count:]
        self.records.truncate(count)
        self.hot = {number: age for number, age in self.hot.items() if number < count}
        self.changed = {number for number in self.changed if number < count}
        self.absent = {number for number in self.absent if number < count}
        self.gone = range(self.gone.start, min(self.gone.stop, count))
        self.met = {number for number in self.met if number < count}


def is_same(now: Contents, then: Contents) -> bool:
    """Whether both name the same objects; equal numbers are the same."""
    if len(now) != len(then):
        return False
    # What differs is found by C code.
    for item, old in compress(zip(now, then, strict=True), map(is_not, now, then)):
        if not _is_equal(item, old):
            return False
    return True


def _is_equal(item: Any, old: Any) -> bool:
    """Whether both are the same value, of which it doesn't matter that it's two objects.

    What a compiled class holds as numbers of C is made an object of Python's at each look, tuples of them
    too.
    """
    if type(item) is not type(old):
        return False
    if type(item) is tuple:
        return is_same(item, old)
    return type(item) in _VALUES and bool(item == old)


_VALUES = frozenset((int, bytes, str, float))
