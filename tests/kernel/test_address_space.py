"""Checks the edges of address spaces: where mappings end, stacks that grow, and changes that lack memory."""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack

import pytest

from procession.abi.errno import EFAULT, EINVAL, ENOMEM
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.task import Task
from procession.mm.fault import SIGBUS, handle_fault
from procession.mm.user_fault import AccessViolation
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines

PAGE = 4096
AREA = 0x4000_0000
SHARED, PRIVATE, FIXED, ANONYMOUS, GROWSDOWN = 1, 2, 0x10, 0x20, 0x100
READ, WRITE = 1, 2
MAYMOVE, DONTUNMAP = 1, 4
DONTNEED, DONTFORK, WIPEONFORK = 4, 10, 18
RLIMIT_STACK = 3


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines(memory=1 << 21)


def mmap(machine: ConductedMachine, task: Task, pages: int, flags: int = PRIVATE, address: int = AREA) -> int:
    rights = READ | WRITE
    return machine.expect(task, "mmap", address, pages * PAGE, rights, flags | FIXED | ANONYMOUS, -1, 0)


class TestSharedMemory:
    def test_ends_where_it_did_at_first(self, machine: ConductedMachine, task: Task) -> None:
        """mremap(2) adds addresses and no memory: Linux answers with SIGBUS there."""
        mmap(machine, task, 1, SHARED)
        grown = machine.expect(task, "mremap", AREA, PAGE, 2 * PAGE, MAYMOVE, 0)
        task.mm.write(grown, b"there")
        with pytest.raises(AccessViolation) as caught:
            handle_fault(task.mm, grown + PAGE, 0)
        assert caught.value.signal == SIGBUS
        with pytest.raises(EFAULT):
            task.mm.read(grown + PAGE, 1)

    def test_can_be_mapped_twice(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 2, SHARED)
        twin = machine.expect(task, "mremap", AREA, 0, 2 * PAGE, MAYMOVE, 0)
        task.mm.write(AREA, b"there")
        assert task.mm.read(twin, 5) == b"there"
        mmap(machine, task, 1, PRIVATE, AREA + 0x10_0000)
        assert machine.call(task, "mremap", AREA + 0x10_0000, 0, PAGE, MAYMOVE, 0) == -EINVAL.number

    def test_outlives_who_made_it(self, machine: ConductedMachine, task: Task) -> None:
        frames = machine.kernel.memory.used_frames
        child = machine.fork(task)
        mmap(machine, child, 1, SHARED)
        grandchild = machine.fork(child)
        child.mm.write(AREA, b"there")
        machine.exit(child)
        assert grandchild.mm.read(AREA, 5) == b"there"
        machine.exit(grandchild)
        assert machine.kernel.memory.used_frames == frames


class TestLongReads:
    def test_take_no_frames_for_what_was_never_written(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 20)
        task.mm.write(AREA + 3 * PAGE, b"there")
        free, resident = task.kernel.memory.free_frames, task.mm.resident_pages
        data = task.mm.read(AREA + 8, 20 * PAGE - 16)
        assert data.strip(b"\0") == b"there"
        assert data.index(b"there") == 3 * PAGE - 8
        assert len(data) == 20 * PAGE - 16
        assert task.kernel.memory.free_frames == free
        assert task.mm.resident_pages == resident

    def test_end_where_nothing_is_to_be_read(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 20)
        with pytest.raises(EFAULT):
            task.mm.read(AREA, 20 * PAGE + 1)
        machine.expect(task, "mprotect", AREA + 18 * PAGE, PAGE, 0)
        with pytest.raises(EFAULT):
            task.mm.read(AREA, 20 * PAGE)


class TestStack:
    def test_grows_to_its_limit(self, machine: ConductedMachine, task: Task) -> None:
        machine.expect(task, "setrlimit", RLIMIT_STACK, pack("<QQ", 16 * PAGE, 16 * PAGE))
        mmap(machine, task, 1, PRIVATE | GROWSDOWN)
        task.mm.write(AREA - 15 * PAGE, b"low")
        assert task.mm.find(AREA) is task.mm.find(AREA - 15 * PAGE)
        with pytest.raises(EFAULT):
            task.mm.write(AREA - 16 * PAGE, b"too low")

    def test_keeps_off_what_is_below(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 1, PRIVATE | GROWSDOWN)
        mmap(machine, task, 1, PRIVATE, AREA - 400 * PAGE)
        task.mm.write(AREA - 140 * PAGE, b"low")
        with pytest.raises(EFAULT):
            task.mm.write(AREA - 200 * PAGE, b"in the guard gap")

    def test_grows_in_a_child_alone(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 1, PRIVATE | GROWSDOWN)
        child = machine.fork(task)
        child.mm.write(AREA - 3 * PAGE, b"low")
        assert task.mm.find(AREA - 3 * PAGE) is None


class TestAdvice:
    def test_before_an_area_that_cannot_follow_it_has_been_followed(
        self, machine: ConductedMachine, task: Task
    ) -> None:
        mmap(machine, task, 1)
        mmap(machine, task, 1, SHARED, AREA + PAGE)
        task.mm.write(AREA, b"secret")
        assert machine.call(task, "madvise", AREA, 2 * PAGE, WIPEONFORK) == -EINVAL.number
        assert machine.fork(task).mm.read(AREA, 6) == bytes(6)

    def test_skips_holes_and_tells(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 1)
        mmap(machine, task, 1, PRIVATE, AREA + 2 * PAGE)
        task.mm.write(AREA + 2 * PAGE, b"there")
        assert machine.call(task, "madvise", AREA, 3 * PAGE, DONTNEED) == -ENOMEM.number
        assert task.mm.read(AREA + 2 * PAGE, 5) == bytes(5)

    def test_a_fork_that_cannot_follow_it_is_no_fork(self, machine: ConductedMachine, task: Task) -> None:
        mmap(machine, task, 4)
        for page in range(4):
            task.mm.write(AREA + page * PAGE, b"there")
        machine.expect(task, "madvise", AREA, PAGE, DONTFORK)
        memory = machine.kernel.memory
        tables = 1 + len(task.mm.tables.upper) + len(task.mm.tables.middle)
        taken = [memory.allocate() for _ in range(memory.free_frames - tables)]
        assert machine.call(task, "fork") == -ENOMEM.number
        assert memory.free_frames == tables
        assert len(memory.address_spaces) == 2
        assert task.mm.read(AREA, 5) == b"there"
        for frame in taken:
            memory.release(frame)
        assert machine.fork(task).mm.find(AREA) is None


class TestWithoutMemory:
    @pytest.fixture
    def sharer(self, machine: ConductedMachine, task: Task) -> Task:
        """A child that shares the parent's tables; then no frame is left."""
        mmap(machine, task, 4)
        for page in range(4):
            task.mm.write(AREA + page * PAGE, b"there")
        child = machine.fork(task)
        child.mm.own_areas()
        memory = machine.kernel.memory
        for _ in range(memory.free_frames):
            memory.allocate()
        return child

    def test_rights_are_as_they_were(self, sharer: Task) -> None:
        from procession.syscalls.memory import mprotect

        areas = [(area.start, area.end, area.protection) for area in sharer.mm.areas]
        with pytest.raises(OutOfFrames):
            mprotect(sharer, AREA + PAGE, PAGE, READ)  # type: ignore[arg-type]
        assert [(area.start, area.end, area.protection) for area in sharer.mm.areas] == areas

    def test_nothing_is_moved(self, sharer: Task) -> None:
        from procession.syscalls.memory_remap import mremap

        areas = [(area.start, area.end) for area in sharer.mm.areas]
        with pytest.raises(OutOfFrames):
            mremap(sharer, AREA, 2 * PAGE, 2 * PAGE, MAYMOVE | DONTUNMAP, 0)  # type: ignore[arg-type]
        assert [(area.start, area.end) for area in sharer.mm.areas] == areas
        assert sharer.mm.read(AREA, 5) == b"there"

    def test_nothing_is_unmapped(self, sharer: Task) -> None:
        areas = [(area.start, area.end) for area in sharer.mm.areas]
        with pytest.raises(OutOfFrames):
            sharer.mm.unmap(AREA, AREA + PAGE)
        assert [(area.start, area.end) for area in sharer.mm.areas] == areas
        assert sharer.mm.read(AREA, 5) == b"there"
