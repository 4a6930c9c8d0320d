"""Checks that tasks change their states along the table of legal transitions; the machine stops if not."""

from __future__ import annotations

import pytest

from procession.hardware.engines.scripted import Call, Work
from procession.kernel.task import Task
from procession.kernel.task_state import LEGAL, LETTERS, IllegalTransition, TaskState, set_state
from procession.machine import Machine
from tests.kernel.conducted_machine import ROOT, SLEEPS, ConductedMachine

EVERY_PAIR = [(before, after) for before in TaskState for after in TaskState]


class TestTable:
    def test_every_state_is_there(self) -> None:
        assert set(LEGAL) == set(LETTERS) == set(TaskState)

    @pytest.mark.parametrize(("before", "after"), EVERY_PAIR, ids=lambda state: state.name)
    def test_legal_or_refused(self, task: Task, before: TaskState, after: TaskState) -> None:
        task.state = before
        if after in LEGAL[before]:
            set_state(task, after)
            assert task.state is after
        else:
            with pytest.raises(IllegalTransition, match=f"{before.name} to {after.name}"):
                set_state(task, after)
            assert task.state is before

    def test_every_state_but_the_last_leads_to_the_end(self) -> None:
        for state in TaskState:
            reached, waiting = {state}, [state]
            while waiting:
                for following in LEGAL[waiting.pop()] - reached:
                    reached.add(following)
                    waiting.append(following)
            assert TaskState.DEAD in reached

    def test_nobody_comes_back(self) -> None:
        assert LEGAL[TaskState.DEAD] == frozenset()
        assert LEGAL[TaskState.ZOMBIE] == {TaskState.DEAD}
        assert all(TaskState.NEW not in following for following in LEGAL.values())

    def test_only_who_runs_can_sleep_or_end(self) -> None:
        for state, following in LEGAL.items():
            if following & {TaskState.INTERRUPTIBLE, TaskState.KILLABLE, TaskState.ZOMBIE}:
                assert state is TaskState.RUNNING


class TestLives:
    def test_a_new_task_waits_for_its_first_turn(self, machine: ConductedMachine, task: Task) -> None:
        assert machine.fork(task).state is TaskState.RUNNABLE

    def test_waking_who_does_not_sleep_changes_nothing(self, machine: ConductedMachine, task: Task) -> None:
        child = machine.fork(task)
        child.wake()
        assert child.state.name == "RUNNABLE"
        assert machine.kernel.scheduler.processors[0].count == 3
        machine.exit(child)
        child.wake()
        assert child.state.name == "ZOMBIE"
        machine.reap(task)
        child.wake()
        assert child.state.name == "DEAD"

    def test_a_sleeper_is_on_its_queue_and_leaves_it(self, machine: ConductedMachine, task: Task) -> None:
        child = machine.fork(task)
        assert machine.wait(task) == SLEEPS
        assert list(task.group.wait_queue.waiters) == [task]
        machine.exit(child)
        assert not task.group.wait_queue.waiters
        assert task.queues == ()


class TestMachineStops:
    def test_and_says_who_and_where(self) -> None:
        machine = Machine(engine="scripted", rootfs=ROOT, memory=1 << 24)
        task = machine.start_script([Work(10), Call(62, 1, 0), Call(231, 0)])
        # What a bug would do.
        task.state = TaskState.STOPPED
        with pytest.raises(IllegalTransition, match=r"task 2 \(b'script'\): STOPPED to RUNNING in user mode"):
            machine.run_until(lambda machine: False)
        machine.close()
