"""A change is seen wherever it happens, and only what has changed is kept anew."""

from __future__ import annotations

from array import array
from collections import deque
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.hardware.physical_memory import PhysicalMemory
from procession.kernel.kernel import Kernel
from procession.machine import Machine
from procession.snapshot.referents import Group
from procession.snapshot.shape import InstanceShape, shape_of
from procession.snapshot.shared_list import KeptList, SharedList
from procession.snapshot.table import ObjectTable


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 300)), max_size=60))
def test_a_shared_list_is_what_it_was(steps: list[tuple[int, int]]) -> None:
    """Against plain lists, whatever is done in whatever order; items that came later stay."""
    shared: SharedList[object] = SharedList()
    plain: list[object] = []
    kept: list[tuple[KeptList[object], list[object]]] = []
    for what, number in steps:
        if what == 0:
            more: list[object] = [object() for _ in range(number)]
            shared.extend(more)
            plain += more
        elif what == 1 and plain:
            plain[number % len(plain)] = shared[number % len(plain)] = object()
        elif what == 2:
            kept.append((shared.keep(), plain.copy()))
        elif what == 3 and kept:
            known, then = kept[number % len(kept)]
            differing = {index: (now, old) for index, now, old in shared.differing(known)}
            both = min(len(then), len(plain))
            assert differing == {
                index: (plain[index], then[index]) for index in range(both) if plain[index] is not then[index]
            }
            shared.put_back(known)
            plain[: len(then)] = then
        elif what == 4:
            shared.truncate(number)
            del plain[number:]
        assert shared.count == len(plain)
        assert [shared[index] for index in range(shared.count)] == plain
        for known, then in kept:
            assert [item for leaf in known.leaves for item in leaf][: known.count] == then


class Compiled:
    """Stands for a class that mypyc has compiled: what it holds is seen by the bytes of its objects."""

    __slots__ = ("first", "second")
    __mypyc_attrs__ = ("first", "second")

    def __init__(self, first: object, second: object) -> None:
        self.first, self.second = first, second


def test_objects_of_compiled_classes_are_compared_by_their_bytes() -> None:
    shape = InstanceShape(Compiled)
    value, other = Compiled(1 << 70, [2]), Compiled("x", None)
    group = Group([0, 1], [value, other], [shape, shape])
    assert (len(group.raw), group.arguments) == (2, [])
    seen = [group.is_unchanged]
    then = value.second
    value.second = [2]
    seen.append(group.is_unchanged)
    value.second = then
    seen.append(group.is_unchanged)
    del other.first
    seen.append(group.is_unchanged)
    assert seen == [True, False, True, False]


@pytest.mark.parametrize("size", [0, 600])
@pytest.mark.parametrize("is_root", [False, True])
def test_what_had_gone_and_is_met_again_is_looked_at(size: int, is_root: bool) -> None:
    """Something outside the state may hold it still; alone or among many, which are compared as one."""
    table = ObjectTable()
    root: list[Any] = []
    other: list[Any] = [1, [2], [[0] for _ in range(size)]]
    table.look([root])
    before = table.records.keep()
    if not is_root:
        root.append(other)
    table.look([root, other] if is_root else [root])
    after = table.records.keep()
    table.put_back(before)
    assert root == []
    other[0] = 7
    other[1].append([3])
    if not is_root:
        root.append(other)
    table.look([root, other] if is_root else [root])
    for _ in range(2):
        held = {id(value): table.records[number].contents for number, value in enumerate(table.objects)}
        assert held[id(other)][0] == other[0]
        assert held[id(other[1])] == tuple(other[1])
        assert held[id(root)] == tuple(root)
        if other[0] == 7:
            assert held[id(other[1][1])] == (3,)
        # From there on it's looked at as all others are.
        other[0] += 1
        table.look([root])
    table.put_back(after)
    assert (other[0], other[1], root) == (1, [2], [] if is_root else [other])
    assert held


def changed(value: Any) -> bool:
    """Change `value` in the smallest way; whether there was one."""
    if isinstance(value, list | deque):
        if value and isinstance(value, deque):
            value.rotate(1)
            value.append(0)
        else:
            value.append(0)
    elif isinstance(value, dict):
        value["another" if any(type(key) is str for key in value) else -77] = None
    elif isinstance(value, set):
        value.add(-77)
    elif isinstance(value, bytearray | array):
        value.append(1)
    else:
        shape = shape_of(type(value))
        assert isinstance(shape, InstanceShape)
        for name in shape.fields:
            known = getattr(value, name, None)
            if isinstance(known, int) and not isinstance(value, Kernel | PhysicalMemory):
                setattr(value, name, not known if isinstance(known, bool) else known + 1)
                return True
        return False
    return True


def test_every_objects_change_is_seen_and_taken_back(guest_root: Path) -> None:
    """Of those that have changed lately, and of those that haven't for long."""
    machine = Machine(seed=1, rootfs=guest_root, memory=64 << 20)
    machine.start(["sh", "-c", "read a; (read b) & wait"])
    assert machine.run_until(lambda machine: machine.input.is_wanted)
    snapshot, first = machine.snapshot(), machine.state_digest()
    for _ in range(70):
        # Now what doesn't change is looked at in groups.
        assert machine.state_digest() == first
    objects = machine.objects_in_order()
    count = 0
    for value in objects:
        if changed(value):
            count += 1
            assert machine.state_digest() != first, value
            machine.restore(snapshot)
            assert machine.state_digest() == first, value
    assert count > 300


def test_what_is_no_part_of_a_state_is_not_looked_at(guest_root: Path) -> None:
    """An object of a later snapshot may have got others since, which nobody has any more."""
    machine = Machine(seed=1, rootfs=guest_root, memory=64 << 20)
    machine.start(["sh", "-c", "(kill -0 $$; sleep 1) & wait"])
    first, digest = machine.snapshot(), machine.state_digest()
    machine.stop_at("fork")
    assert machine.run_to_stop() is not None
    second, later = machine.snapshot(), machine.state_digest()
    child = max(machine.kernel.tasks, key=lambda task: task.tid)
    for _ in range(3):
        child.registers = child.registers.copy()
        machine.snapshot()
        for snapshot, expected in ((first, digest), (second, later), (first, digest)):
            machine.restore(snapshot)
            assert machine.state_digest() == expected
        machine.restore(second)


def test_snapshots_share_what_is_the_same(guest_root: Path) -> None:
    machine = Machine(seed=1, rootfs=guest_root, memory=64 << 20)
    machine.start(["sh", "-c", "while :; do kill -0 $$; read a </etc/hostname; done"])
    for _ in range(300):
        machine.step_system_call()
    first = machine.snapshot()
    for _ in range(20):
        machine.step_system_call()
    second = machine.snapshot()
    for old, new, most in (
        (first.frames.pages, second.frames.pages, 30),
        (first.records, second.records, 60),
    ):
        pairs = zip(chain.from_iterable(old.leaves), chain.from_iterable(new.leaves), strict=False)
        assert 0 < sum(one is not other for one, other in pairs) < most < old.count
