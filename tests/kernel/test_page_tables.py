"""Checks page tables that are shared, copied, moved and given up, with and without frames to do it with."""

from __future__ import annotations

import pytest

from procession.abi.errno import EFAULT
from procession.hardware.kernel_memory import ADDRESS_SPACE_BYTES
from procession.hardware.physical_memory import OutOfFrames, PhysicalMemory
from procession.kernel.rlimit import Limits
from procession.mm.address_space import MemoryDescriptor
from procession.mm.vma import PROT_READ, PROT_WRITE, VirtualMemoryArea
from tests.properties.page_walk import census, translate

BORDER = 0x4000_0000
"""Where one leaf table ends and the next begins."""
PAGE = 4096


@pytest.fixture
def memory() -> PhysicalMemory:
    return PhysicalMemory(1 << 20)


@pytest.fixture
def space(memory: PhysicalMemory) -> MemoryDescriptor:
    """Sixteen pages on both sides of the border, each with its number in it."""
    space = MemoryDescriptor(memory, Limits())
    space.map(VirtualMemoryArea(BORDER - 8 * PAGE, BORDER + 8 * PAGE, PROT_READ | PROT_WRITE))
    for page in range(-8, 8):
        space.write(BORDER + page * PAGE, b"%4d" % page)
    return space


def pages(space: MemoryDescriptor) -> list[int | None]:
    """The numbers in the pages; None where there is no page."""
    return [
        int(space.read(BORDER + page * PAGE, 4)) if space.tables.entry((BORDER >> 12) + page) else None
        for page in range(-8, 8)
    ]


def take_all_but(memory: PhysicalMemory, count: int) -> list[int]:
    return [memory.allocate() for _ in range(memory.free_frames - count)]


def check(memory: PhysicalMemory, taken: list[int]) -> None:
    for frame in taken:
        memory.release(frame)
    assert census(memory, []) == []


EVERY_PAGE: list[int | None] = list(range(-8, 8))


class TestFork:
    def test_shares_tables_until_one_writes(self, memory: PhysicalMemory, space: MemoryDescriptor) -> None:
        child = space.fork()
        assert child.tables.leaves == space.tables.leaves
        for each in (space, child):
            found = translate(memory, each.tables.root, BORDER >> 12)
            assert found is not None
            assert not found.is_writable
        child.write(BORDER, b"mine")
        assert child.tables.leaves[BORDER >> 21] != space.tables.leaves[BORDER >> 21]
        assert child.tables.leaves[(BORDER >> 21) - 1] == space.tables.leaves[(BORDER >> 21) - 1]
        assert space.read(BORDER, 4) == b"   0"
        check(memory, [])

    def test_the_last_sharer_writes_without_copying(
        self, memory: PhysicalMemory, space: MemoryDescriptor
    ) -> None:
        space.fork().put()
        used = memory.used_frames
        space.write(BORDER, b"mine")
        assert memory.used_frames == used
        check(memory, [])

    @pytest.mark.parametrize("left", range(6))
    def test_needs_frames_or_changes_nothing(
        self, memory: PhysicalMemory, space: MemoryDescriptor, left: int
    ) -> None:
        taken = take_all_but(memory, left)
        account = memory.account
        needed = 1 + len(space.tables.upper) + len(space.tables.middle)
        # The descriptor itself is charged in whole frames.
        left_bytes = account.held_bytes - account.used_bytes
        needed += left_bytes // 4096 - (left_bytes - ADDRESS_SPACE_BYTES) // 4096
        if left < needed:
            with pytest.raises(OutOfFrames):
                space.fork()
            assert memory.free_frames == left
        else:
            space.fork().put()
        assert pages(space) == EVERY_PAGE
        check(memory, taken)


class TestUnmapping:
    @pytest.mark.parametrize(("first", "past"), [(-8, 8), (-3, 3), (0, 4), (-4, 0), (0, 8), (2, 3)])
    def test_a_part_of_shared_tables(
        self, memory: PhysicalMemory, space: MemoryDescriptor, first: int, past: int
    ) -> None:
        """What one loses the other keeps, at the very border of a table too."""
        child = space.fork()
        space.unmap(BORDER + first * PAGE, BORDER + past * PAGE)
        assert pages(child) == EVERY_PAGE
        assert pages(space) == [page if not first <= page < past else None for page in range(-8, 8)]
        assert space.resident_pages == 16 - (past - first)
        assert child.resident_pages == 16
        check(memory, [])
        child.put()
        check(memory, [])

    @pytest.mark.parametrize("left", [0, 1])
    def test_without_frames_changes_nothing(
        self, memory: PhysicalMemory, space: MemoryDescriptor, left: int
    ) -> None:
        child = space.fork()
        taken = take_all_but(memory, left)
        areas = [(area.start, area.end) for area in space.areas]
        with pytest.raises(OutOfFrames):
            space.unmap(BORDER - 3 * PAGE, BORDER + 3 * PAGE)
        assert [(area.start, area.end) for area in space.areas] == areas
        assert pages(space) == pages(child) == EVERY_PAGE
        check(memory, taken)

    def test_whole_tables_need_no_frames(self, memory: PhysicalMemory, space: MemoryDescriptor) -> None:
        space.fork()
        taken = take_all_but(memory, 0)
        space.unmap(BORDER - (1 << 21), BORDER + (1 << 21))
        assert not len(space.areas)
        check(memory, taken)


class TestMoving:
    @pytest.mark.parametrize("is_shared", [False, True])
    def test_over_the_border(self, memory: PhysicalMemory, space: MemoryDescriptor, is_shared: bool) -> None:
        child = space.fork() if is_shared else None
        target = BORDER + (1 << 30) - 3 * PAGE
        moved = space.tables.prepare_move(BORDER - 8 * PAGE, target, 16 * PAGE)
        assert moved == list(range((BORDER >> 12) - 8, (BORDER >> 12) + 8))
        space.tables.move(moved, target - (BORDER - 8 * PAGE))
        assert pages(space) == [None] * 16
        for page in range(16):
            entry = space.tables.entry((target >> 12) + page)
            frame = (entry & 0x000F_FFFF_FFFF_F000) >> 12
            assert memory.bytes[frame << 12 : (frame << 12) + 4] == b"%4d" % (page - 8)
        if child is not None:
            assert pages(child) == EVERY_PAGE
        check(memory, [])

    def test_far_apart_takes_no_longer(self, memory: PhysicalMemory, space: MemoryDescriptor) -> None:
        # Looking at each page of 64 TiB would take hours.
        assert len(space.tables.prepare_move(0, 1 << 46, 1 << 46)) == 16
        check(memory, [])

    def test_without_frames_changes_nothing(self, memory: PhysicalMemory, space: MemoryDescriptor) -> None:
        child = space.fork()
        for left in range(5):
            taken = take_all_but(memory, left)
            with pytest.raises(OutOfFrames):
                space.tables.prepare_move(BORDER - 8 * PAGE, BORDER + (1 << 39), 16 * PAGE)
            for frame in taken:
                memory.release(frame)
            assert pages(space) == pages(child) == EVERY_PAGE
            assert census(memory, []) == []
            space.put()
            space = child.fork()


class TestEnd:
    def test_gives_everything_back(self, memory: PhysicalMemory, space: MemoryDescriptor) -> None:
        child = space.fork()
        grandchild = child.fork()
        grandchild.write(BORDER, b"mine")
        child.put()
        space.put()
        assert grandchild.read(BORDER - PAGE, 4) == b"  -1"
        grandchild.put()
        assert memory.used_frames == 0
        assert not memory.counted
        assert not memory.address_spaces

    def test_a_dead_space_shows_nothing(self, memory: PhysicalMemory, space: MemoryDescriptor) -> None:
        """Its frames may be another's by now."""
        space.put()
        with pytest.raises(EFAULT):
            space.read(BORDER, 4)
