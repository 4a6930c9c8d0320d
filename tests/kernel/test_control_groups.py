"""Checks what control groups keep of their tasks, and that they may be nested as deeply as one likes."""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack

import pytest

from procession.kernel.cgroup.attach import move_task
from procession.kernel.cgroup.cpuset import processors_of
from procession.kernel.cgroup.group import Cgroup, Controller
from procession.kernel.cgroup.hierarchy import control_subtree
from procession.kernel.cgroup.memory import task_bytes
from procession.kernel.clone import CLONE_INTO_CGROUP
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


def make_directory(machine: ConductedMachine, task: Task, name: bytes) -> Cgroup:
    machine.expect(task, "mkdir", b"/g/" + name + b"\0", 0o755)
    group = machine.kernel.cgroups.root
    for part in name.split(b"/"):
        group = group.children[part]
    return group


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


class TestMemory:
    """With cgroup2 mounted at /g, and the memory controller given to all groups."""

    @pytest.fixture
    def above(self, machine: ConductedMachine, task: Task) -> Cgroup:
        machine.expect(task, "mkdir", b"/g\0", 0o755)
        machine.expect(task, "mount", b"none\0", b"/g\0", b"cgroup2\0", 0, 0)
        enable(machine, machine.kernel.cgroups.root, MEMORY)
        return make_directory(machine, task, b"above")

    def test_a_child_made_in_another_group_is_charged_there(
        self, machine: ConductedMachine, task: Task, above: Cgroup
    ) -> None:
        other = make_directory(machine, task, b"other")
        number = machine.expect(task, "open", b"/g/other\0", 0o200000)
        move_task(task, above)
        assert above.memory is not None
        assert other.memory is not None
        arguments = pack("<11Q", CLONE_INTO_CGROUP, 0, 0, 0, 17, 0, 0, 0, 0, 0, number)
        usages = []
        for _ in range(2):
            child = machine.task(machine.expect(task, "clone3", arguments, len(arguments)))
            assert child.cgroup is other
            assert other.memory.kernel_usage > task_bytes(child)
            machine.exit(child)
            machine.reap(task)
            assert (other.memory.usage, other.memory.kernel_usage) == (0, 0)
            usages.append((above.memory.usage, above.memory.kernel_usage))
        # The first time, files of the group are looked up.
        assert usages[0] == usages[1]

    def test_what_was_charged_above_is_given_back_there(
        self, machine: ConductedMachine, task: Task, above: Cgroup
    ) -> None:
        below = make_directory(machine, task, b"above/below")
        move_task(task, below)
        assert above.memory is not None
        first = machine.fork(task)
        for _ in range(3):
            before = above.memory.kernel_usage
            child = machine.fork(task)
            enable(machine, above, MEMORY)
            own = below.memory
            assert own is not None
            assert own is not above.memory
            assert own.kernel_usage == task_bytes(task) + task_bytes(first) + task_bytes(child)
            move_task(child, above)
            assert own.kernel_usage == task_bytes(task) + task_bytes(first)
            machine.exit(child)
            machine.reap(task)
            assert own.kernel_usage == task_bytes(task) + task_bytes(first)
            assert above.memory.kernel_usage == before
            disable(machine, above, MEMORY)
