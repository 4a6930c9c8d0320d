"""Checks process ids: their cycle, what keeps one in use, and what happens when there are none."""

from __future__ import annotations

import pytest

from procession.abi.errno import EAGAIN
from procession.kernel.namespaces.pid import RESERVED_PIDS
from procession.kernel.task import Task
from tests.kernel.conducted_machine import SLEEPS, ConductedMachine
from tests.kernel.process_ids import tasks_by_id


@pytest.fixture
def parent(machine: ConductedMachine) -> Task:
    return machine.process()


def end(machine: ConductedMachine, parent: Task, child: Task) -> None:
    machine.exit(child)
    machine.reap(parent, child.tid)


class TestCycle:
    def test_ids_grow(self, machine: ConductedMachine, parent: Task) -> None:
        ids = []
        for _ in range(5):
            child = machine.fork(parent)
            ids.append(child.tid)
            end(machine, parent, child)
        assert ids == [3, 4, 5, 6, 7]

    def test_threads_take_ids_too(self, machine: ConductedMachine, parent: Task) -> None:
        assert machine.thread(parent).tid == 3
        assert machine.fork(parent).tid == 4

    def test_begins_again_above_the_reserved_ones(self, machine: ConductedMachine, parent: Task) -> None:
        machine.kernel.init_pid_namespace.last = machine.kernel.init_pid_namespace.pid_max - 2
        assert machine.fork(parent).tid == machine.kernel.init_pid_namespace.pid_max - 1
        assert machine.fork(parent).tid == RESERVED_PIDS
        assert machine.fork(parent).tid == RESERVED_PIDS + 1

    def test_whatever_is_in_use_is_left_out(self, machine: ConductedMachine, parent: Task) -> None:
        pids = machine.kernel.init_pid_namespace
        pids.last = 399
        zombie, leader, session, thread_owner = (machine.fork(parent) for _ in range(4))
        machine.exit(zombie)
        machine.expect(leader, "setpgid", 0, 0)
        machine.fork(leader)  # 404, in group 401
        end(machine, parent, leader)
        machine.expect(session, "setsid")
        machine.expect(machine.fork(session), "setpgid", 0, 0)  # 405, in session 402
        end(machine, parent, session)
        machine.thread(thread_owner)  # 406
        assert set(range(400, 407)) - set(tasks_by_id(machine.kernel)) == {401, 402}
        pids.last = 398
        assert [machine.fork(parent).tid for _ in range(2)] == [399, 407]

    def test_a_failed_fork_takes_none(self, machine: ConductedMachine, parent: Task) -> None:
        memory = machine.kernel.memory
        frames = [memory.allocate() for _ in range(memory.free_frames)]
        assert machine.call(parent, "fork") == -12
        for frame in frames:
            memory.release(frame)
        assert machine.fork(parent).tid == parent.tid + 1

    def test_a_smaller_maximum_counts_at_once(self, machine: ConductedMachine, parent: Task) -> None:
        machine.kernel.init_pid_namespace.last = 5000
        machine.kernel.init_pid_namespace.pid_max = 1000
        assert machine.fork(parent).tid == RESERVED_PIDS


class TestExhaustion:
    @pytest.fixture(autouse=True)
    def few_ids(self, machine: ConductedMachine, parent: Task) -> None:
        machine.kernel.init_pid_namespace.pid_max = RESERVED_PIDS + 20
        assert parent.tid < RESERVED_PIDS
        machine.kernel.init_pid_namespace.last = RESERVED_PIDS - 1

    def test_by_zombies(self, machine: ConductedMachine, parent: Task) -> None:
        children = [machine.fork(parent) for _ in range(20)]
        for child in children:
            machine.exit(child)
        assert machine.call(parent, "fork") == -EAGAIN.number
        assert machine.call(parent, "vfork") == -EAGAIN.number
        assert machine.call(parent, "clone", 0x10900, 0x100000) == -EAGAIN.number
        # The machine and its programs go on.
        assert machine.call(parent, "getpid") == parent.tid
        assert machine.reap(parent, children[7].tid) == (children[7].tid, 0)
        assert machine.fork(parent).tid == children[7].tid
        assert machine.call(parent, "fork") == -EAGAIN.number
        assert {machine.reap(parent)[0] for _ in range(19)} == {child.tid for child in children} - {307}
        assert machine.expect(parent, "fork") >= RESERVED_PIDS

    def test_by_orphans_that_init_does_not_reap(self, machine: ConductedMachine, parent: Task) -> None:
        for _ in range(10):
            middle = machine.fork(parent)
            machine.exit(machine.fork(middle))
            end(machine, parent, middle)
        for _ in range(10):
            machine.fork(parent)
        assert machine.call(parent, "fork") == -EAGAIN.number
        assert len(machine.reap_orphans()) == 10
        assert machine.expect(parent, "fork") >= RESERVED_PIDS

    def test_by_process_groups_without_a_leader(self, machine: ConductedMachine, parent: Task) -> None:
        for _ in range(10):
            leader = machine.fork(parent)
            machine.expect(leader, "setpgid", 0, 0)
            member = machine.fork(leader)
            end(machine, parent, leader)
            assert machine.call(member, "pause") == SLEEPS
        assert machine.call(parent, "fork") == -EAGAIN.number
        machine.expect(parent, "kill", member.tid, 9)
        machine.reap_orphans()
        assert {machine.fork(parent).tid, machine.fork(parent).tid} == {member.tid, member.tid - 1}
        assert machine.call(parent, "fork") == -EAGAIN.number
