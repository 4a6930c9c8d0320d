"""Checks that who touches one segment of an executed file finds the others mapped, and its data copied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.hardware import page_table as pte
from procession.kernel.task import Task
from procession.mm.fault import handle_fault
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines

PAGE = 4096
BASE = 0x4000_0000
TEXT, DATA, CONSTANTS = 0, 4, 10
"""Where the segments begin, in pages."""
FILE_PAGES = 16
SHARED, PRIVATE, FIXED = 1, 2, 0x10
READ, WRITE, EXECUTE = 1, 2, 4
IN_USE, WRITING = 0, 2


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines(memory=1 << 21)


@pytest.fixture
def file(machine: ConductedMachine, task: Task) -> int:
    """A file all of whose pages are in memory."""
    number = machine.expect(task, "memfd_create", b"program\0", 0)
    machine.expect(task, "ftruncate", number, FILE_PAGES * PAGE)
    for page in range(FILE_PAGES):
        machine.expect(task, "pwrite64", number, b"%04d" % page, 4, page * PAGE)
    return number


def load(
    machine: ConductedMachine, task: Task, file: int, *, text: int = READ | EXECUTE, data_pages: int = 4
) -> None:
    """Map the segments as a loader does."""
    for start, pages, rights in (
        (TEXT, 2, text),
        (DATA, data_pages, READ | WRITE),
        (CONSTANTS, 3, READ),
    ):
        machine.expect(
            *(task, "mmap", BASE + start * PAGE, pages * PAGE, rights, PRIVATE | FIXED, file, start * PAGE)
        )


def entries(task: Task, first: int, count: int) -> list[int]:
    return [task.mm.tables.entry((BASE >> 12) + page) for page in range(first, first + count)]


class TestSegments:
    @pytest.mark.parametrize(("touched", "how"), [(TEXT, IN_USE), (CONSTANTS, IN_USE), (DATA, WRITING)])
    def test_are_all_there_after_the_first_fault(
        self, machine: ConductedMachine, task: Task, file: int, touched: int, how: int
    ) -> None:
        load(machine, task, file)
        before = task.mm.resident_pages
        handle_fault(task.mm, BASE + touched * PAGE, how)
        assert task.mm.resident_pages == before + 9
        assert all(entry & pte.CACHED and not entry & pte.WRITABLE for entry in entries(task, TEXT, 2))
        assert all(entry & pte.CACHED and not entry & pte.WRITABLE for entry in entries(task, CONSTANTS, 3))
        assert all(entry & pte.WRITABLE and not entry & pte.CACHED for entry in entries(task, DATA, 4))
        task.mm.write(BASE + (DATA + 1) * PAGE, b"mine")
        assert task.mm.read(BASE + (DATA + 2) * PAGE, 4) == b"%04d" % (DATA + 2)
        machine.expect(task, "pread64", file, BASE + DATA * PAGE, 4, (DATA + 1) * PAGE)
        assert task.mm.read(BASE + DATA * PAGE, 4) == b"%04d" % (DATA + 1), "the file is as it was"

    def test_give_their_copies_back(self, machine: ConductedMachine, task: Task, file: int) -> None:
        load(machine, task, file)
        handle_fault(task.mm, BASE, IN_USE)
        used = machine.kernel.memory.used_frames
        machine.expect(task, "munmap", BASE, 16 * PAGE)
        assert machine.kernel.memory.used_frames <= used - 4

    @pytest.mark.parametrize("how", [IN_USE, WRITING])
    def test_have_copies_of_64_kib_of_much_data_where_it_is_used(
        self, machine: ConductedMachine, task: Task, how: int
    ) -> None:
        number = machine.expect(task, "memfd_create", b"program\0", 0)
        for page in range(41):
            machine.expect(task, "pwrite64", number, b"%04d" % page, 4, page * PAGE)
        machine.expect(task, "mmap", BASE, PAGE, READ | EXECUTE, PRIVATE | FIXED, number, 0)
        machine.expect(task, "mmap", BASE + PAGE, 40 * PAGE, READ | WRITE, PRIVATE | FIXED, number, PAGE)
        handle_fault(task.mm, BASE, IN_USE)
        assert not any(entries(task, 1, 40))
        handle_fault(task.mm, BASE + 20 * PAGE, how)
        copied = [bool(entry & pte.WRITABLE) for entry in entries(task, 1, 40)]
        assert copied == [16 <= page < 32 for page in range(1, 41)]
        assert task.mm.read(BASE + 31 * PAGE, 4) == b"0031"

    def test_are_not_copied_where_memory_is_short(
        self, machine: ConductedMachine, task: Task, file: int
    ) -> None:
        load(machine, task, file)
        memory = machine.kernel.memory
        held = memory.allocate_several(memory.unheld_frames - (memory.frame_count >> 3))
        handle_fault(task.mm, BASE, IN_USE)
        assert all(entry & pte.CACHED and not entry & pte.WRITABLE for entry in entries(task, DATA, 4))
        task.mm.write(BASE + DATA * PAGE, b"mine")
        assert entries(task, DATA, 1)[0] & pte.WRITABLE
        for frame in held:
            memory.release(frame)

    def test_of_a_file_that_nobody_executes_stay_apart(
        self, machine: ConductedMachine, task: Task, file: int
    ) -> None:
        load(machine, task, file, text=READ)
        handle_fault(task.mm, BASE, IN_USE)
        assert not any(entries(task, DATA, 4))
        assert not any(entries(task, CONSTANTS, 3))

    def test_that_are_closed_shared_or_locked_stay_apart(
        self, machine: ConductedMachine, task: Task, file: int
    ) -> None:
        load(machine, task, file)
        machine.expect(task, "mprotect", BASE + CONSTANTS * PAGE, 3 * PAGE, 0)
        machine.expect(task, "mmap", BASE + DATA * PAGE, PAGE, READ | WRITE, SHARED | FIXED, file, 0)
        machine.expect(task, "mlock2", BASE + (DATA + 1) * PAGE, PAGE, 1)
        handle_fault(task.mm, BASE, IN_USE)
        assert not any(entries(task, CONSTANTS, 3))
        assert not any(entries(task, DATA, 2))
        assert all(entries(task, DATA + 2, 2))

    def test_end_with_the_file(self, machine: ConductedMachine, task: Task, file: int) -> None:
        load(machine, task, file)
        machine.expect(task, "ftruncate", file, (DATA + 1) * PAGE)
        handle_fault(task.mm, BASE, IN_USE)
        assert entries(task, DATA, 1)[0]
        assert not any(entries(task, DATA + 1, 3))
        assert not any(entries(task, CONSTANTS, 3))


def test_few_ways_of_mapping_a_file_are_remembered(machine: ConductedMachine, task: Task, file: int) -> None:
    """Else the host's memory would grow with each new one, of which a program has as many as it likes."""
    ways = [(first, end) for first in range(FILE_PAGES) for end in range(first + 1, FILE_PAGES + 1)]
    remembered = 0
    for first, end in ways:
        machine.expect(*(task, "mmap", BASE, (end - first) * PAGE, READ, PRIVATE | FIXED, file, first * PAGE))
        handle_fault(task.mm, BASE, IN_USE)
        assert task.mm.read(BASE, 4) == b"%04d" % first
        area = task.mm.find(BASE)
        assert area is not None
        assert area.pages is not None
        remembered = max(remembered, len(area.pages.entry_runs))
        machine.expect(task, "munmap", BASE, (end - first) * PAGE)
    assert remembered < len(ways) // 2
