"""Checks address spaces of a hundred thousand areas: where mappings go, and what one of them costs."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

import procession.mm.unmapped_area
from procession.hardware.physical_memory import MMAP_MINIMUM
from procession.kernel.memory_lock import count_locked
from procession.kernel.task import Task
from procession.kernel.time.costs import SEEN_SOCKET_NS
from procession.mm.address_space import MemoryDescriptor
from procession.mm.area_sequence import LONGEST_ROW, AreaSequence
from procession.mm.gap_index import FEWEST_AREAS
from procession.mm.unmapped_area import unmapped_area
from procession.mm.vma import GROWS_DOWN, VirtualMemoryArea
from tests.fs.growth import CONSTANT, growth
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines
from tests.of_a_kind import IS_FULL, first_of

PAGE = 4096
READ, READ_WRITE = 1, 3
# What is linear is a hundred times as slow with a hundred times as many.
AREAS = 100_000
WORDS = 0x4000_0000


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines(memory=1 << 28)


@pytest.fixture
def mm(machine: ConductedMachine) -> MemoryDescriptor:
    task: Task = machine.process()
    machine.kernel.memory.maximum_areas = AREAS + 1000
    return task.mm


def map_pages(mm: MemoryDescriptor, count: int, number: int) -> int:
    """Map pages somewhere, with other rights than the neighbours have; their address."""
    start = unmapped_area(mm, count * PAGE)
    mm.map(VirtualMemoryArea(start, start + count * PAGE, READ if number & 1 else READ_WRITE))
    return start


def highest_gap(mm: MemoryDescriptor, length: int) -> int:
    """What unmapped_area must say, by looking at every area; 0 for no room below the mmap base."""
    ceiling = mm.mmap_base
    for area in reversed(mm.areas):
        if area.start < ceiling:
            if ceiling - area.end >= length:
                return ceiling - length
            ceiling = area.start
    return ceiling - length if ceiling - length >= MMAP_MINIMUM else 0


def test_counting_what_is_locked_takes_time(machine: ConductedMachine) -> None:
    """A caller who may lock only so much, and has many areas."""
    task = machine.process()
    clock = machine.kernel.clock
    costs_ns: list[int] = []
    for _ in range(2):
        before_ns = clock.kernel_work_ns
        assert count_locked(task) == 0
        costs_ns.append(clock.kernel_work_ns - before_ns)
        for number in range(1_000):
            map_pages(task.mm, 1, number)
    assert costs_ns[1] - costs_ns[0] == 1_000 * SEEN_SOCKET_NS


@pytest.mark.heavy
def test_the_cost_of_one_of_many(mm: MemoryDescriptor) -> None:
    starts = [map_pages(mm, 1, number) for number in range(2 * FEWEST_AREAS)]
    left = AREAS - len(starts)
    assert growth(lambda n: starts.append(map_pages(mm, 1, n)), left, sample=1000) < CONSTANT
    assert len(mm.areas) >= AREAS
    # The holes of one page don't stand in the way of what is longer, nor does the search for one.
    for start in starts[1000:-1000:2]:
        mm.unmap(start, start + PAGE)
    few = unmapped_area(mm, PAGE)
    assert few == highest_gap(mm, PAGE)

    def map_and_unmap(number: int) -> None:
        start = map_pages(mm, 2, number)
        mm.unmap(start, start + 2 * PAGE)

    map_and_unmap(0)
    assert growth(map_and_unmap, 2000, sample=1000) < CONSTANT
    assert growth(lambda n: mm.unmap(starts[-1 - 2 * n], starts[-1 - 2 * n] + PAGE), 10_000) < CONSTANT


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_the_list_that_they_stand_for(mm: MemoryDescriptor, seed: int) -> None:
    """Each change at random places leaves what the same change of a list leaves."""
    chance = random.Random(seed)
    areas, model = AreaSequence([]), list[VirtualMemoryArea]()
    for _ in range(600):
        action = chance.randrange(8)
        if action < 5 or not model:
            # A run of new ones, somewhere: rows become longer than they may be.
            position = chance.randrange(len(model) + 1)
            low = model[position - 1].end if position else 0
            high = model[position].start if position < len(model) else low + (PAGE << 20)
            count = min(chance.randrange(1, 200), (high - low) // (2 * PAGE))
            for number in range(count):
                start = low + (2 * number + 1) * PAGE
                area = VirtualMemoryArea(start, start + PAGE, READ)
                areas.insert(position + number, area)
                model.insert(position + number, area)
        elif action < 7:
            first = chance.randrange(len(model))
            count = min(chance.choice((1, 1, 5, 3000)), len(model) - first)
            areas.delete(first, count)
            del model[first : first + count]
        else:
            position = chance.randrange(len(model))
            floor = model[position - 1].end if position else 0
            if model[position].start > floor:
                model[position].start -= PAGE
                areas.set_start(position, model[position].start)
        assert len(areas) == len(model)
        assert max(len(row) for row in areas.rows) <= LONGEST_ROW
        assert len(areas.rows) == 1 or all(areas.rows)
        assert areas.firsts == [starts[0] if starts else 0 for starts in areas.starts]
        for _ in range(5 if model else 0):
            position = chance.randrange(len(model))
            area, address = model[position], chance.randrange(model[-1].end + PAGE)
            assert areas.at(position) is area
            assert areas.find(area.start) is area
            assert areas.count_to(area.start) == position + 1
            assert areas.count_below(area.start) == position
            assert areas.count_to(address) == sum(each.start <= address for each in model)
            if not position % 10:
                assert list(areas.since(address)) == [each for each in model if each.end > address]
            last = chance.randrange(position, len(model) + 1)
            assert areas.between(position, last) == model[position:last]
    assert list(areas) == model
    assert list(reversed(areas)) == model[::-1]
    assert AreaSequence(list(model)).starts[0][:5] == [area.start for area in model[:5]]


@pytest.mark.parametrize("grows_up", [False, True])
@pytest.mark.parametrize("seed", first_of(1, range(2)))
def test_mappings_go_where_they_would_without_an_index(
    mm: MemoryDescriptor, seed: int, grows_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upwards and downwards, with stacks between that keep a gap below them."""
    chance = random.Random(seed)
    mm.grows_up = grows_up
    starts = [map_pages(mm, chance.randrange(1, 4), number) for number in range(3 * FEWEST_AREAS)]
    for number in range(1500 if IS_FULL else 600):
        length = chance.choice((1, 1, 2, 3, 5, 40, 250)) * PAGE
        found = unmapped_area(mm, length)
        with monkeypatch.context() as patch:
            patch.setattr(procession.mm.unmapped_area, "FEWEST_AREAS", mm.areas.length + 1)
            assert found == unmapped_area(mm, length)
        if not grows_up and number < 300:
            assert found == highest_gap(mm, length)
        if chance.randrange(2):
            flags = GROWS_DOWN if number >= 300 and not chance.randrange(8) else 0
            mm.map(VirtualMemoryArea(found, found + length, READ if number & 1 else READ_WRITE, flags=flags))
            starts.append(found)
        if chance.randrange(2):
            start = chance.choice(starts)
            mm.unmap(start, start + chance.randrange(1, 9) * PAGE)
        if not chance.randrange(20):
            low = MMAP_MINIMUM + chance.randrange(1000) * PAGE
            if not mm.areas_in(low, low + PAGE):
                mm.map(VirtualMemoryArea(low, low + PAGE, READ))
        assert mm.total_pages == sum(area.size for area in mm.areas) // PAGE


def test_nobody_waits_for_who_asks_of_many_pages(machine: ConductedMachine) -> None:
    """Memory can be mapped over and over, so that what move_pages(2) is asked has no end."""
    task = machine.process()
    file = machine.expect(task, "memfd_create", b"words\0", 0)
    machine.expect(task, "ftruncate", file, PAGE)
    count = 20 * PAGE // 8
    for page in range(20):
        machine.expect(task, "mmap", WORDS + page * PAGE, PAGE, READ_WRITE, 0x11, file, 0)
    started_ns, switches = machine.kernel.clock.now_ns, task.times.voluntary_switches
    machine.expect(task, "move_pages", 0, count, WORDS, 0, WORDS, 0)
    assert task.times.voluntary_switches == switches + 2
    assert machine.kernel.clock.now_ns - started_ns > 10_000_000
