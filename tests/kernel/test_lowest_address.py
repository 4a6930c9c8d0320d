"""From which address on something is mapped: vm.mmap_min_addr, which is the whole machine's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.abi.errno import EINVAL, EPERM
from procession.fs import opening
from procession.fs.file import O_RDONLY, O_WRONLY
from procession.kernel.security.capability import CAP_SYS_RAWIO
from procession.kernel.task import Task
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines

PAGE = 4096
GIGABYTE = 1 << 30
PRIVATE, FIXED, ANONYMOUS = 2, 0x10, 0x20
USUAL = 0x10000


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines(memory=1 << 24)


@pytest.fixture
def task(machine: ConductedMachine) -> Task:
    return machine.process()


def mmap(machine: ConductedMachine, task: Task, address: int, flags: int = 0, pages: int = 1) -> object:
    return machine.call(task, "mmap", address, pages * PAGE, 1, PRIVATE | ANONYMOUS | flags, -1, 0)


def set_lowest(task: Task, text: bytes) -> None:
    path = b"/proc/sys/vm/mmap_min_addr"
    file = opening.open(task.fs, task.credentials, path, None, O_WRONLY)
    task.kernel.current = task
    try:
        file.write(text)
    finally:
        task.kernel.current = None
        file.release_if_unheld()
    shown = opening.open(task.fs, task.credentials, path, None, O_RDONLY)
    assert shown.read(99) == text + b"\n"
    shown.release_if_unheld()


def lose_rights(task: Task) -> None:
    held = task.credentials.cap_effective & ~(1 << CAP_SYS_RAWIO)
    task.credentials = task.credentials.replace(cap_effective=held)


def test_a_mapping_begins_with_a_page_whatever_was_set(machine: ConductedMachine, task: Task) -> None:
    set_lowest(task, b"%d" % (USUAL + 1))
    assert mmap(machine, task, PAGE) == USUAL + PAGE
    set_lowest(task, b"%d" % ((1 << 64) - 1))
    found = mmap(machine, task, PAGE)
    assert isinstance(found, int)
    assert found > 0
    assert found % PAGE == 0


def test_who_lacks_the_right_maps_nothing_below(machine: ConductedMachine, task: Task) -> None:
    assert mmap(machine, task, USUAL - PAGE, FIXED) == USUAL - PAGE
    assert machine.call(task, "munmap", USUAL - PAGE, PAGE) == 0
    lose_rights(task)
    assert mmap(machine, task, USUAL - PAGE, FIXED) == -EPERM.number
    assert mmap(machine, task, PAGE) == USUAL
    with pytest.raises(EPERM):
        set_lowest(task, b"0")


def test_it_may_be_lower(machine: ConductedMachine, task: Task) -> None:
    set_lowest(task, b"4096")
    lose_rights(task)
    assert mmap(machine, task, PAGE, FIXED) == PAGE
    assert mmap(machine, task, 0, FIXED) == -EPERM.number
    # What isn't asked for stays where it is for the security modules' sake.
    assert mmap(machine, task, 2 * PAGE) == USUAL


def test_it_may_be_higher(machine: ConductedMachine, task: Task) -> None:
    set_lowest(task, b"%d" % GIGABYTE)
    lose_rights(task)
    assert mmap(machine, task, GIGABYTE - PAGE, FIXED) == -EPERM.number
    assert mmap(machine, task, PAGE) == GIGABYTE
    start = mmap(machine, task, 0)
    assert isinstance(start, int)
    assert start > GIGABYTE
    assert machine.call(task, "mremap", GIGABYTE, PAGE, PAGE, 3, PAGE) == -EPERM.number


def test_what_is_no_address_is_refused(machine: ConductedMachine, task: Task) -> None:
    for wrong in (b"-1", b"low", b"18446744073709551616"):
        with pytest.raises(EINVAL):
            set_lowest(task, wrong)
