"""How much memory is promised to programs: vm.overcommit_memory and what goes with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.abi.errno import ENOMEM
from procession.hardware.overcommit import Overcommit
from procession.kernel.task import Task
from procession.mm.overcommit import check_copy, commit_limit, committed_pages
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines

PAGE = 4096
AREA = 1 << 40
READ, WRITE = 1, 2
PRIVATE, FIXED, ANONYMOUS, NO_RESERVE, SHARED = 2, 0x10, 0x20, 0x4000, 1
CLONE_VM = 0x100


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines(memory=1 << 24)


@pytest.fixture
def task(machine: ConductedMachine) -> Task:
    return machine.process()


def mmap(
    machine: ConductedMachine, task: Task, pages: int, rights: int = READ | WRITE, flags: int = PRIVATE
) -> object:
    return machine.call(task, "mmap", AREA, pages * PAGE, rights, flags | FIXED | ANONYMOUS, -1, 0)


def promise(machine: ConductedMachine, pages: int) -> None:
    """From now on so many pages more may be promised, and no others: that stays below the limit."""
    memory = machine.kernel.memory
    rule = memory.commit_rule
    rule.mode, rule.reserve_kbytes = int(Overcommit.NEVER), 0
    rule.kbytes = (committed_pages(memory) + pages + 1) * 4


def test_a_guess_refuses_what_is_larger_than_the_machine(machine: ConductedMachine, task: Task) -> None:
    frames = machine.kernel.memory.frame_count
    assert mmap(machine, task, frames + 1) == -ENOMEM.number
    assert mmap(machine, task, frames + 1, flags=PRIVATE | NO_RESERVE) == AREA
    machine.kernel.memory.commit_rule.mode = int(Overcommit.ALWAYS)
    assert mmap(machine, task, frames * 8) == AREA


def test_what_is_promised_ends_at_the_limit(machine: ConductedMachine, task: Task) -> None:
    promise(machine, 100)
    assert mmap(machine, task, 101) == -ENOMEM.number
    assert mmap(machine, task, 101, flags=PRIVATE | NO_RESERVE) == -ENOMEM.number
    assert mmap(machine, task, 60) == AREA
    # What is replaced was promised, and isn't any more.
    assert mmap(machine, task, 100) == AREA
    assert mmap(machine, task, 1000, READ) == AREA
    assert machine.call(task, "mprotect", AREA, 101 * PAGE, READ | WRITE) == -ENOMEM.number
    assert machine.call(task, "mprotect", AREA, 80 * PAGE, READ | WRITE) == 0
    assert machine.call(task, "munmap", AREA + 80 * PAGE, 920 * PAGE) == 0
    assert machine.call(task, "mremap", AREA, 80 * PAGE, 101 * PAGE, 1, 0) == -ENOMEM.number
    assert machine.call(task, "mremap", AREA, 80 * PAGE, 99 * PAGE, 1, 0) == AREA
    assert committed_pages(machine.kernel.memory) == commit_limit(machine.kernel.memory) - 2


def test_a_child_is_promised_as_much(machine: ConductedMachine, task: Task) -> None:
    assert mmap(machine, task, 50) == AREA
    promise(machine, 40)
    with pytest.raises(ENOMEM):
        check_copy(task.mm)
    assert machine.call(task, "fork") == -ENOMEM.number
    promise(machine, 80)
    assert machine.fork(task).mm is not task.mm


def test_a_program_leaves_a_part_of_its_size(machine: ConductedMachine, task: Task) -> None:
    assert mmap(machine, task, 3200) == AREA
    promise(machine, 120)
    machine.kernel.memory.commit_rule.reserve_kbytes = 1 << 20
    assert machine.call(task, "mremap", AREA, 3200 * PAGE, 3230 * PAGE, 1, 0) == -ENOMEM.number
    assert machine.call(task, "mremap", AREA, 3200 * PAGE, 3210 * PAGE, 1, 0) == AREA


def test_something_is_kept_for_administrators(machine: ConductedMachine, task: Task) -> None:
    promise(machine, 100)
    machine.kernel.memory.commit_rule.administrators_kbytes = 40
    assert mmap(machine, task, 95) == AREA
    assert machine.call(task, "munmap", AREA, 95 * PAGE) == 0
    assert machine.call(task, "setresuid", 1000, 1000, 1000) == 0
    assert mmap(machine, task, 95) == -ENOMEM.number
    assert mmap(machine, task, 85) == AREA
