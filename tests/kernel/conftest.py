"""The machine that most tests of the kernel alone conduct, and a process in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.kernel.task import Task
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines()


@pytest.fixture
def task(machine: ConductedMachine) -> Task:
    """A process of `machine`, which a file of tests may replace by another."""
    return machine.process()
