"""The first look at a machine: frames are kept without a copy, objects by tables."""

from __future__ import annotations

import gc
from itertools import chain

import pytest

from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from procession.machine import Machine
from procession.snapshot import survey
from procession.snapshot.frozen_memory import freeze
from procession.snapshot.keeper import StateKeeper
from procession.snapshot.record import RowRecord, columns_of
from procession.snapshot.shape import UNSET, shape_of
from procession.snapshot.table import ObjectTable, is_same
from procession.snapshot.written_pages import written_pages

LOOP = "for ((i = 0; i < 12; i++)); do while :; do read line </dev/null; done & done; wait"


def started() -> Machine:
    machine = Machine(seed=3, memory=64 << 20)
    machine.start(["bash", "-c", LOOP])
    for _ in range(1500):
        machine.step_system_call()
    return machine


def test_frozen_memory_stays_while_the_memory_goes_on() -> None:
    memory = PhysicalMemory(4 << 20)
    frames = [memory.allocate_with(b"%d" % number) for number in range(600)]
    frozen = freeze(memory)
    if frozen is None:
        pytest.skip("this host can't move the pages of a file and leave the mapping")
    assert memory.descriptor == -1
    for number, frame in enumerate(frames):
        assert memory.bytes[frame << PAGE_SHIFT : (frame + 1) << PAGE_SHIFT].rstrip(b"\0") == b"%d" % number
        if number % 2:
            memory.words[frame << PAGE_SHIFT - 3] = 0
    later = [memory.allocate_with(b"later") for _ in range(300)]
    for number, frame in enumerate(frames):
        assert frozen.page(frame) == (b"%d" % number).ljust(PAGE_SIZE, b"\0")
        now = memory.bytes[frame << PAGE_SHIFT : (frame + 1) << PAGE_SHIFT]
        assert now == (bytes(PAGE_SIZE) if number % 2 else frozen.page(frame))
    assert all(memory.bytes[frame << PAGE_SHIFT] == ord("l") for frame in later)
    tracker = written_pages(memory.bytes)
    if tracker is not None:
        tracker.take(1000)
        memory.bytes[frames[0] << PAGE_SHIFT] = 1
        memory.bytes[frames[1] << PAGE_SHIFT] = 1
        assert tracker.take(1000) == [frames[0], frames[1]]
        tracker.close()
    memory.close()
    assert frozen.page(frames[5]).startswith(b"5")


def test_frames_of_frozen_memory_are_zero_when_they_are_used_again() -> None:
    memory = PhysicalMemory(4 << 20)
    frames = [memory.allocate_with(b"old") for _ in range(900)]
    frozen = freeze(memory)
    for frame in frames:
        memory.release(frame)
    assert memory.hold(900)
    memory.give_held(900)
    for _ in range(900):
        frame = memory.allocate()
        assert memory.bytes[frame << PAGE_SHIFT : (frame + 1) << PAGE_SHIFT] == bytes(PAGE_SIZE)
    assert frozen is None or frozen.page(frames[0]).startswith(b"old")


def test_tables_tell_what_each_object_held(guest_root: str) -> None:
    machine = started()
    snapshot = machine.snapshot()
    table = snapshot.keeper.table
    records = list(chain.from_iterable(snapshot.records.leaves))
    assert sum(type(record) is RowRecord for record in records) > len(records) // 4
    held = [shape.read(value) for value, shape in zip(table.objects, table.shapes, strict=True)]
    for _ in range(700):
        machine.step_system_call()
    machine.snapshot()
    gc.collect()
    assert len(records) == len(held)
    for record, contents in zip(records, held, strict=True):
        assert is_same(record.contents, contents)
    machine.close()


def test_a_survey_finds_what_a_walk_finds(guest_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = started()
    by_tables = StateKeeper(machine.kernel, compares_frames=True)
    digest = by_tables.digest()
    monkeypatch.setattr(survey, "_FEW", 1 << 30)
    one_by_one = StateKeeper(machine.kernel, compares_frames=True)
    assert one_by_one.digest() == digest
    # The last two hold each other's parts of the walk and nothing else.
    assert {id(value) for value in by_tables.table.objects} == {
        id(value) for value in one_by_one.table.objects
    }
    machine.close()


class Pair:
    """Two attributes that are listed in an order that isn't that of the alphabet."""

    __slots__ = ("second", "first")

    def __init__(self, first: object, second: object) -> None:
        self.first, self.second = first, second


Pair.__module__ = "procession.somewhere"


def test_an_object_without_an_attribute_is_read_by_itself() -> None:
    pairs = [Pair(number, [number]) for number in range(20)]
    columns = columns_of(Pair, shape_of(Pair))  # type: ignore[arg-type]
    assert columns is not None
    assert len(columns.places) == 2
    whole = survey.Survey()
    whole.take_in([pairs])
    assert [record.contents for record in whole.records][1:21] == [(number, [number]) for number in range(20)]
    assert len(whole.groups) == 1
    del pairs[7].first
    partly = survey.Survey()
    partly.take_in([pairs])
    assert not partly.groups
    # UNSET stands for what isn't there.
    assert [value for value in partly.objects if value is not UNSET] == whole.objects


def test_many_new_objects_are_forgotten_when_nothing_has_them() -> None:
    root: list[object] = [[number] for number in range(700)]
    table = ObjectTable()
    table.look([root])
    kept = table.records.keep()
    for _ in range(2):
        root.append([[number] for number in range(700)])
        table.look([root])
        assert len(table.groups) > 4
        table.put_back(kept)
        table.truncate(kept.count)
        assert len(root) == 700
        assert len(table.objects) == len(table.shapes) == kept.count == 701
        assert all(group.last < kept.count for group in table.groups)
        assert max(table.hot) < kept.count
