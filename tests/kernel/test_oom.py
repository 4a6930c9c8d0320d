"""Checks who is killed when memory is used up, and that the others go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.abi.errno import ENOMEM
from procession.ending import reason_of_guest, status_for
from procession.hardware.engines.scripted import SCRATCH_ADDRESS
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.oom import await_memory, badness, out_of_memory
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState, set_state
from procession.kernel.time.costs import SEEN_FRAME_NS
from tests.kernel.conducted_machine import ENDED, SLEEPS, ConductedMachine, conducted_machines

SIGKILL = 9
CLONE_VM, SIGCHLD = 0x100, 17
AREA = 0x4000_0000
MADV_FREE = 8


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines(memory=1 << 20)


def process(machine: ConductedMachine, pages: int = 0) -> Task:
    """A process that holds so many pages."""
    task = machine.process()
    if pages:
        machine.expect(task, "mmap", AREA, pages * 4096, 3, 0x32, -1, 0)
        for page in range(pages):
            task.mm.write(AREA + page * 4096, b"x")
    return task


def exhaust(machine: ConductedMachine) -> None:
    """Ask for one frame more than there are."""
    memory = machine.kernel.memory
    for _ in range(memory.free_frames):
        memory.allocate()
    with pytest.raises(OutOfFrames):
        memory.allocate()


def kill_one(machine: ConductedMachine) -> None:
    out_of_memory(machine.kernel)
    machine.settle()


class TestLazilyFreed:
    def test_pages_are_taken_before_anybody_is_killed(self, machine: ConductedMachine) -> None:
        lazy, other = process(machine, 20), process(machine, 40)
        machine.expect(lazy, "madvise", AREA, 20 * 4096, MADV_FREE)
        lazy.mm.write(AREA + 3 * 4096, b"y")
        before = lazy.mm.resident_pages
        exhaust(machine)
        kill_one(machine)
        assert machine.kernel.oom_kill_count == 0
        assert machine.kernel.memory.free_frames == 19
        assert before - lazy.mm.resident_pages == 19
        assert lazy.mm.read(AREA + 3 * 4096, 1) == b"y"
        assert lazy.mm.read(AREA, 1) == b"\0"
        exhaust(machine)
        kill_one(machine)
        assert machine.outcome(other) == ENDED
        assert machine.outcome(lazy) != ENDED

    def test_looking_for_them_takes_time(self, machine: ConductedMachine) -> None:
        lazy = process(machine, 20)
        machine.expect(lazy, "madvise", AREA, 4096, MADV_FREE)
        exhaust(machine)
        before_ns = machine.kernel.clock.kernel_work_ns
        kill_one(machine)
        assert machine.kernel.clock.kernel_work_ns - before_ns >= 20 * SEEN_FRAME_NS

    def test_pages_in_shared_tables_are_taken_from_all(self, machine: ConductedMachine) -> None:
        parent = process(machine, 20)
        machine.expect(parent, "madvise", AREA, 20 * 4096, MADV_FREE)
        child = machine.fork(parent)
        before = parent.mm.resident_pages, child.mm.resident_pages
        exhaust(machine)
        kill_one(machine)
        assert machine.kernel.memory.free_frames == 20
        assert (parent.mm.resident_pages, child.mm.resident_pages) == (before[0] - 20, before[1] - 20)
        assert child.mm.read(AREA, 1) == b"\0"

    def test_locked_pages_stay(self, machine: ConductedMachine) -> None:
        task = process(machine, 20)
        machine.expect(task, "madvise", AREA, 20 * 4096, MADV_FREE)
        machine.expect(task, "mlock", AREA, 20 * 4096)
        exhaust(machine)
        kill_one(machine)
        assert machine.kernel.oom_kill_count == 1


class TestVictim:
    def test_is_who_holds_most(self, machine: ConductedMachine) -> None:
        tasks = [process(machine, pages) for pages in (5, 30, 10)]
        exhaust(machine)
        kill_one(machine)
        assert [machine.outcome(task) == ENDED for task in tasks] == [False, True, False]
        assert tasks[1].exit_code == SIGKILL
        assert machine.kernel.oom_kill_count == 1

    def test_is_adjusted(self, machine: ConductedMachine) -> None:
        large, small, never = process(machine, 30), process(machine, 5), process(machine, 60)
        small.group.oom_score_adj = 500
        never.group.oom_score_adj = -1000
        assert badness(small, 1000) > badness(large, 1000)
        exhaust(machine)
        kill_one(machine)
        assert machine.outcome(small) == ENDED
        assert machine.outcome(never) != ENDED

    def test_is_who_asks_if_that_is_wanted(self, machine: ConductedMachine) -> None:
        kernel = machine.kernel
        large, asking = process(machine, 30), process(machine, 5)
        kernel.oom_kill_allocating_task = 1
        exhaust(machine)
        kernel.current = asking
        out_of_memory(kernel)
        kernel.current = None
        machine.settle()
        assert machine.outcome(asking) == ENDED
        assert machine.outcome(large) != ENDED

    def test_is_never_init_while_there_is_another(self, machine: ConductedMachine) -> None:
        machine.init.mm.resident_pages += 1000
        task = process(machine)
        exhaust(machine)
        kill_one(machine)
        assert machine.outcome(task) == ENDED
        assert machine.outcome(machine.init) != ENDED

    def test_may_have_lost_its_leader(self, machine: ConductedMachine) -> None:
        large, other = process(machine, 40), process(machine, 10)
        thread = machine.thread(large)
        machine.call(large, "exit", 0)
        exhaust(machine)
        kill_one(machine)
        assert thread.state.name == "DEAD"
        assert machine.outcome(other) != ENDED

    def test_takes_those_along_that_share_its_memory(self, machine: ConductedMachine) -> None:
        large, other = process(machine, 40), process(machine, 10)
        sharer = machine.task(machine.expect(large, "clone", CLONE_VM | SIGCHLD))
        exhaust(machine)
        kill_one(machine)
        assert (machine.outcome(large), machine.outcome(sharer)) == (ENDED, ENDED)
        assert machine.outcome(other) != ENDED
        assert machine.kernel.oom_kill_count == 1

    def test_in_vfork_takes_its_child_along(self, machine: ConductedMachine) -> None:
        large = process(machine, 40)
        assert machine.call(large, "vfork") == SLEEPS
        (child,) = large.children
        exhaust(machine)
        kill_one(machine)
        assert (machine.outcome(large), machine.outcome(child)) == (ENDED, ENDED)

    def test_one_at_a_time(self, machine: ConductedMachine) -> None:
        tasks = [process(machine, pages) for pages in (20, 10)]
        exhaust(machine)
        out_of_memory(machine.kernel)
        machine.kernel.memory.is_exhausted = True
        out_of_memory(machine.kernel)
        machine.settle()
        assert [machine.outcome(task) == ENDED for task in tasks] == [True, False]

    def test_nobody_for_an_allocation_that_was_refused_otherwise(self, machine: ConductedMachine) -> None:
        task = process(machine, 5)
        kill_one(machine)
        assert machine.outcome(task) != ENDED
        assert machine.kernel.oom_kill_count == 0


class TestPanic:
    @pytest.mark.parametrize(("timeout_s", "command"), [(0, 0xCDEF0123), (10, 0x01234567)])
    def test_stops_the_machine_instead(self, machine: ConductedMachine, timeout_s: int, command: int) -> None:
        kernel = machine.kernel
        task = process(machine, 5)
        kernel.panic_on_oom, kernel.panic_timeout_s = 1, timeout_s
        exhaust(machine)
        out_of_memory(kernel)
        assert machine.outcome(task) != ENDED
        assert kernel.reboot_command == command
        assert kernel.vfs.log.records[-1].text == (
            b"Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled"
        )
        reason = reason_of_guest(kernel)
        assert reason.endswith("Out of memory: system-wide panic_on_oom is enabled")
        assert status_for(reason) == (133 if timeout_s else 125)


class TestOthers:
    def test_go_on_with_the_victims_memory(self, machine: ConductedMachine) -> None:
        process(machine, 40)
        task = process(machine, 1)
        assert task.mm.read(AREA, 1) == b"x"
        exhaust(machine)
        with pytest.raises(OutOfFrames):
            task.mm.write(SCRATCH_ADDRESS + 0x8000, b"more")
        kill_one(machine)
        task.mm.write(SCRATCH_ADDRESS + 0x8000, b"more")
        assert task.mm.read(SCRATCH_ADDRESS + 0x8000, 4) == b"more"

    def test_wait_until_there_is_memory(self, machine: ConductedMachine) -> None:
        kernel = machine.kernel
        large, task = process(machine, 40), process(machine, 1)
        exhaust(machine)
        set_state(task, TaskState.RUNNING)
        await_memory(kernel, task)
        assert kernel.oom_victim is large.group
        # Nothing comes of waking it sooner.
        for _ in range(5):
            assert task.state is TaskState.KILLABLE
            kernel.timers.jump_to_next()
        machine.settle()
        assert machine.outcome(large) == ENDED
        kernel.timers.jump_to_next()
        assert task.state is TaskState.RUNNABLE
        out_of_memory(kernel)
        assert kernel.oom_kill_count == 1

    def test_a_fork_that_lacks_memory_changes_nothing(self, machine: ConductedMachine) -> None:
        task = process(machine, 3)
        exhaust(machine)
        assert machine.call(task, "fork") == -ENOMEM.number
        assert list(task.children) == []
        assert task.mm.read(AREA, 1) == b"x"

    def test_an_end_needs_no_memory(self, machine: ConductedMachine) -> None:
        task = process(machine, 3)
        child = machine.fork(task)
        exhaust(machine)
        machine.exit(child)
        assert machine.kernel.memory.free_frames > 0
        assert machine.call(task, "wait4", child.tid, 0, 0, 0) == child.tid
