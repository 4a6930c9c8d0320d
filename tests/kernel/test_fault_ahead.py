"""Checks that anonymous memory touched page after page is had several pages at once, and no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.hardware.huge_pages import HugePages
from procession.kernel.task import Task
from procession.mm.fault import NEXT, handle_fault
from procession.mm.fault_ahead import fault_ahead, populate_ahead
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines

PAGE = 4096
AREA = 0x4000_0000
SHARED, PRIVATE, FIXED, ANONYMOUS, GROWS_DOWN = 1, 2, 0x10, 0x20, 0x100
READ, WRITE, EXECUTE = 1, 2, 4
HUGE_PAGES, NO_HUGE_PAGES, SET_THP_DISABLE = 14, 15, 41
FOLIOS = [
    (HugePages.ALWAYS, HugePages.NEVER, 2),
    (HugePages.MADVISE, HugePages.NEVER, 1),
    (HugePages.NEVER, HugePages.ALWAYS, 0),
    (HugePages.INHERIT, HugePages.ALWAYS, 2),
    (HugePages.INHERIT, HugePages.MADVISE, 1),
    (HugePages.INHERIT, HugePages.NEVER, 0),
]
"""What the settings are of 64 KiB and of all sizes; how many of an area and one that is advised get them."""
MADV_DONTDUMP, MADV_POPULATE_READ, MADV_POPULATE_WRITE = 16, 22, 23


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines(memory=1 << 21)


def mmap(
    machine: ConductedMachine, task: Task, pages: int, flags: int = PRIVATE, rights: int = READ | WRITE
) -> None:
    machine.expect(task, "mmap", AREA, pages * PAGE, rights, flags | FIXED | ANONYMOUS, -1, 0)


def touch(task: Task, page: int) -> int:
    """Fault as the program's own access does; how many pages were had besides."""
    address = AREA + page * PAGE
    return fault_ahead(task.mm, address) if handle_fault(task.mm, address, 2) == NEXT else 0


class TestPageAfterPage:
    def test_is_had_up_to_the_end_of_64_kib(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 40)
        assert [touch(task, page) for page in range(4)] == [0, 0, 0, 0]
        before = task.mm.resident_pages
        assert touch(task, 4) == 11
        assert task.mm.resident_pages == before + 12
        assert touch(task, 16) == 15
        assert [touch(task, page) for page in (32, 36)] == [3, 3], "64 KiB are more than the area has left"
        assert task.mm.read(AREA + 5 * PAGE, PAGE) == bytes(PAGE)
        used = machine.kernel.memory.used_frames
        machine.expect(task, "munmap", AREA, 40 * PAGE)
        assert machine.kernel.memory.used_frames <= used - 40

    def test_is_zeros_where_frames_were_used_before(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 32)
        for page in range(32):
            task.mm.write(AREA + page * PAGE, b"\xff" * PAGE)
        mmap(machine, task, 32)
        assert [touch(task, page) for page in range(5)] == [0, 0, 0, 0, 11]
        assert task.mm.read(AREA, 16 * PAGE) == bytes(16 * PAGE)

    def test_ends_with_the_area(self, machine: ConductedMachine, task: Task) -> None:
        """Frames that were used before are free here, and none of them may go."""
        mmap(machine, task, 32)
        for page in range(32):
            task.mm.write(AREA + page * PAGE, b"there")
        mmap(machine, task, 5)
        free = machine.kernel.memory.unheld_frames
        assert [touch(task, page) for page in range(5)] == [3, 0, 0, 0, 0], "many are there behind it"
        machine.expect(task, "munmap", AREA, 32 * PAGE)
        assert machine.kernel.memory.unheld_frames >= free

    def test_ends_at_what_is_there(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 16)
        task.mm.write(AREA + 7 * PAGE, b"there")
        assert [touch(task, page) for page in range(5)] == [0, 0, 0, 0, 2]
        assert task.mm.read(AREA + 7 * PAGE, 5) == b"there"


class TestAmongMany:
    """Where more than four pages of a leaf table's 2 MiB are there, 16 KiB are had at once."""

    @pytest.fixture(autouse=True)
    def many(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 400)
        for page in range(0, 8, 2):
            assert touch(task, page) == 0

    def test_four_pages_are_had_at_once(self, task: Task) -> None:
        assert touch(task, 40) == 3
        assert touch(task, 102) == 1, "up to where the next four begin"
        assert touch(task, 107) == 0

    def test_none_is_that_is_there_or_where_the_area_has_less(
        self, machine: ConductedMachine, task: Task
    ) -> None:
        task.mm.write(AREA + 42 * PAGE, b"there")
        assert touch(task, 40) == 1
        machine.expect(task, "munmap", AREA + 202 * PAGE, PAGE)
        assert touch(task, 200) == 0
        assert task.mm.read(AREA + 42 * PAGE, 5) == b"there"

    def test_who_wants_no_huge_pages_gets_one(self, machine: ConductedMachine, task: Task) -> None:
        machine.expect(task, "madvise", AREA, 400 * PAGE, NO_HUGE_PAGES)
        assert touch(task, 40) == 0

    def test_page_after_page_64_kib_are(self, task: Task) -> None:
        assert [touch(task, page) for page in (44, 48)] == [3, 15]


class TestStack:
    def test_page_before_page_is_had_down_to_the_start_of_64_kib(
        self, machine: ConductedMachine, task: Task
    ) -> None:
        mmap(machine, task, 40, PRIVATE | GROWS_DOWN)
        assert [touch(task, page) for page in range(39, 34, -1)] == [0, 0, 0, 0, 3]
        assert [touch(task, page) for page in (31, 15)] == [15, 15]
        assert task.mm.read(AREA, PAGE) == bytes(PAGE)

    def test_none_is_had_that_is_there_or_before_the_area(
        self, machine: ConductedMachine, task: Task
    ) -> None:
        machine.expect(
            *(task, "mmap", AREA + 6 * PAGE, 10 * PAGE, READ | WRITE),
            *(PRIVATE | FIXED | ANONYMOUS | GROWS_DOWN, -1, 0),
        )
        task.mm.write(AREA + 7 * PAGE, b"there")
        assert [touch(task, page) for page in range(15, 10, -1)] == [0, 0, 0, 0, 3]
        assert task.mm.read(AREA + 7 * PAGE, 5) == b"there"

    def test_page_after_page_is_not(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 32, PRIVATE | GROWS_DOWN)
        assert not any(touch(task, page) for page in range(16))

    def test_who_wants_no_huge_pages_gets_one(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 40, PRIVATE | GROWS_DOWN)
        machine.expect(task, "prctl", SET_THP_DISABLE, 1, 0, 0, 0)
        assert not any(touch(task, page) for page in range(39, 30, -1))


class TestOtherwise:
    def test_a_page_here_and_there_is_one(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 64)
        assert [touch(task, page) for page in (0, 2, 31, 29)] == [0] * 4

    def test_what_lies_before_the_area_is_not_of_it(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 16)
        assert [touch(task, page) for page in range(12, 16)] == [0, 0, 0, 0]
        rights = READ | WRITE
        machine.expect(task, "mmap", AREA + 16 * PAGE, 16 * PAGE, rights, PRIVATE | FIXED | ANONYMOUS, -1, 0)
        machine.expect(task, "madvise", AREA + 16 * PAGE, 16 * PAGE, MADV_DONTDUMP)
        handle_fault(task.mm, AREA + 16 * PAGE, WRITE)
        assert fault_ahead(task.mm, AREA + 16 * PAGE) == 3, "as among many"

    def test_what_is_only_read_has_the_page_of_zeros(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 32)
        before = task.mm.resident_pages
        kinds = [handle_fault(task.mm, AREA + page * PAGE, 0) for page in range(5)]
        assert kinds[-1] == NEXT
        assert fault_ahead(task.mm, AREA + 4 * PAGE) == 11
        assert task.mm.resident_pages == before
        kinds = [handle_fault(task.mm, AREA + page * PAGE, WRITE) for page in range(5)]
        assert kinds[-1] == NEXT
        assert fault_ahead(task.mm, AREA + 4 * PAGE) == 11
        assert task.mm.resident_pages == before + 16

    @pytest.mark.parametrize(("flags", "rights"), [(SHARED, READ | WRITE), (PRIVATE, READ | WRITE | EXECUTE)])
    def test_shared_memory_and_code_are_not(
        self, machine: ConductedMachine, task: Task, flags: int, rights: int
    ) -> None:
        mmap(machine, task, 16, flags, rights)
        assert [touch(task, page) for page in range(8)] == [0] * 8

    def test_who_wants_no_huge_pages_gets_none(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 16)
        machine.expect(task, "madvise", AREA, 16 * PAGE, NO_HUGE_PAGES)
        assert [touch(task, page) for page in range(8)] == [0] * 8
        mmap(machine, task, 16)
        machine.expect(task, "prctl", SET_THP_DISABLE, 1, 0, 0, 0)
        assert [touch(task, page) for page in range(8)] == [0] * 8

    @pytest.mark.parametrize(("setting", "of_all", "count"), FOLIOS)
    def test_the_settings_of_the_machine_say_who_gets_them(
        self, machine: ConductedMachine, task: Task, setting: int, of_all: int, count: int
    ) -> None:
        machine.kernel.memory.folios, machine.kernel.memory.huge_pages = setting, of_all
        got = 0
        for advice in (None, HUGE_PAGES):
            mmap(machine, task, 16)
            if advice is not None:
                machine.expect(task, "madvise", AREA, 16 * PAGE, advice)
            got += any(touch(task, page) for page in range(5))
        assert got == count

    def test_little_memory_is_for_who_asks(self, machine: ConductedMachine, task: Task) -> None:
        memory = machine.kernel.memory
        mmap(machine, task, 16)
        for page in range(4):
            touch(task, page)
        count = memory.unheld_frames - (memory.frame_count >> 3)
        assert count > 0
        assert memory.hold(count)
        assert touch(task, 4) == 0


class TestPopulating:
    def test_has_all_that_is_asked_for(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 60)
        resident, used = task.mm.resident_pages, machine.kernel.memory.used_frames
        machine.expect(task, "madvise", AREA + 3 * PAGE, 50 * PAGE, MADV_POPULATE_WRITE)
        assert task.mm.resident_pages == resident + 50
        assert machine.kernel.memory.used_frames - used <= 53, "the pages and their tables"
        present = [bool(task.mm.tables.entry((AREA >> 12) + page)) for page in range(60)]
        assert present == [3 <= page < 53 for page in range(60)]
        task.mm.write(AREA + 40 * PAGE, b"there")
        assert task.mm.read(AREA + 30 * PAGE, 20 * PAGE).strip(b"\0") == b"there"
        machine.expect(task, "munmap", AREA, 60 * PAGE)
        assert machine.kernel.memory.used_frames <= used + 3

    def test_leaves_what_is_there(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 20)
        task.mm.write(AREA + 7 * PAGE, b"there")
        machine.expect(task, "madvise", AREA, 20 * PAGE, MADV_POPULATE_READ)
        assert task.mm.read(AREA, 20 * PAGE).strip(b"\0") == b"there"

    def test_leaves_memory_to_others(self, machine: ConductedMachine, task: Task) -> None:
        """Pages that nobody can be made to give back are taken one at a time where there are few."""
        memory = machine.kernel.memory
        mmap(machine, task, 500)
        handle_fault(task.mm, AREA, 2)
        assert populate_ahead(task.mm, AREA, AREA + 500 * PAGE) > 0
        assert memory.unheld_frames >= memory.frame_count >> 3
        last = next(page for page in range(500) if not task.mm.tables.entry((AREA >> 12) + page))
        handle_fault(task.mm, AREA + last * PAGE, 2)
        assert populate_ahead(task.mm, AREA + last * PAGE, AREA + 500 * PAGE) == 0
