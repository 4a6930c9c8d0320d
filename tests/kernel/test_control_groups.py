"""Checks what control groups keep of their tasks, and that they may be nested as deeply as one likes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.kernel.cgroup.attach import move_task
from procession.kernel.cgroup.cpuset import processors_of
from procession.kernel.cgroup.group import Cgroup, Controller
from procession.kernel.cgroup.hierarchy import control_subtree
from procession.kernel.task import Task
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines

CPUSET, PIDS, MEMORY = int(Controller.CPUSET), int(Controller.PIDS), int(Controller.MEMORY)
DEEP = 1_500


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines()


@pytest.fixture
def task(machine: ConductedMachine) -> Task:
    return machine.process()


def make(machine: ConductedMachine, parent: Cgroup, name: bytes) -> Cgroup:
    kernel = machine.kernel
    return kernel.cgroups.make(kernel, parent, name, 1000)


def enable(machine: ConductedMachine, group: Cgroup, controller: int) -> None:
    control_subtree(machine.kernel, group, controller, 0)


def disable(machine: ConductedMachine, group: Cgroup, controller: int) -> None:
    control_subtree(machine.kernel, group, 0, controller)


class TestNesting:
    def test_processors_are_found_below_many_groups(self, machine: ConductedMachine, task: Task) -> None:
        group = machine.kernel.cgroups.root
        for _ in range(DEEP):
            enable(machine, group, CPUSET)
            group = make(machine, group, b"a")
        move_task(task, group)
        assert processors_of(group) == machine.kernel.scheduler.all_processors
        assert group.level == DEEP

    def test_a_controller_comes_to_many_groups_below(self, machine: ConductedMachine, task: Task) -> None:
        root = group = machine.kernel.cgroups.root
        for _ in range(DEEP):
            group = make(machine, group, b"a")
        move_task(task, group)
        enable(machine, root, PIDS)
        own = root.children[b"a"].pids
        assert own is not None
        assert group.pids is own
        assert own.count == 1
        disable(machine, root, PIDS)
        assert group.pids is None
