"""Checks the life cycle of processes against a model: families, threads, jobs, stops, ends and waits."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from procession.kernel.rlimit import RLIMIT_NPROC
from procession.kernel.signal.handlers import SA_NOCLDWAIT
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from tests.kernel.conducted_machine import ENDED, SLEEPS, ConductedMachine, Outcome
from tests.kernel.process_ids import groups_by_id, sessions_by_id, tasks_by_id
from tests.of_a_kind import examples
from tests.properties.life_model import (
    INIT,
    SIGCHLD,
    SIGCONT,
    SIGKILL,
    SIGSTOP,
    WALL,
    WCLONE,
    WCONTINUED,
    WNOHANG,
    WNOTHREAD,
    WUNTRACED,
    LifeModel,
    Process,
    Thread,
    Wait,
)

SIGURG = 23
CLONE_PARENT, PR_SET_CHILD_SUBREAPER = 0x8000, 36
MOST_TASKS = 14
picks = st.integers(0, 200)
codes = st.integers(0, 255)
wait_options = st.builds(
    lambda one, other, third: one | other | third,
    st.sampled_from([0, WNOHANG, WNOHANG]),
    st.sampled_from([0, WUNTRACED, WCONTINUED, WUNTRACED | WCONTINUED]),
    st.sampled_from([0, 0, 0, WALL, WCLONE, WNOTHREAD]),
)


class LifeCycle(RuleBasedStateMachine):
    """Tasks that fork, stop, wait and end as a test says; each step is made in the model too."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = ConductedMachine(memory=1 << 23)
        self.kernel = self.machine.kernel
        self.model = LifeModel()
        # Signals come from outside the families: from a process that the model doesn't know.
        self.sender = self.machine.process()
        self.frames_before = self.kernel.memory.used_frames
        self.start()

    @precondition(lambda self: len(self.model.threads) < MOST_TASKS)
    @rule()
    def start(self) -> None:
        """A process in a session of its own, init's child."""
        self.model.add_process(self.machine.process().tid, self.model.init)

    def free_thread(self, pick: int) -> Thread | None:
        """A thread that can make a call."""
        free = [
            thread
            for thread in self.model.threads.values()
            if not (thread.has_ended or thread.is_stopped or thread.wait)
        ]
        return free[pick % len(free)] if free else None

    def process(self, pick: int) -> Process | None:
        processes = list(self.model.processes.values())
        return processes[pick % len(processes)] if processes else None

    def task(self, thread: Thread) -> Task:
        return self.machine.task(thread.tid)

    def has_room(self) -> bool:
        return len(self.model.threads) < MOST_TASKS

    # Being made

    @precondition(has_room)
    @rule(pick=picks, exit_signal=st.sampled_from([SIGCHLD, SIGCHLD, 0, SIGURG]))
    def fork(self, pick: int, exit_signal: int) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            pid = self.machine.expect(self.task(thread), "clone", exit_signal)
            self.model.add_process(pid, thread, exit_signal)

    @precondition(has_room)
    @rule(pick=picks)
    def fork_a_sibling(self, pick: int) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            pid = self.machine.expect(self.task(thread), "clone", CLONE_PARENT | SIGCHLD)
            self.model.add_sibling(pid, thread)

    @precondition(has_room)
    @rule(pick=picks)
    def add_thread(self, pick: int) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            tid = self.machine.thread(self.task(thread)).tid
            self.model.add_thread(tid, thread.process)

    # Ends

    @rule(pick=picks, code=codes)
    def exit_group(self, pick: int, code: int) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            assert self.machine.call(self.task(thread), "exit_group", code) == ENDED
            self.model.end(thread, code << 8)
            self.model.settle()

    @rule(pick=picks, code=codes)
    def exit_thread(self, pick: int, code: int) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            assert self.machine.call(self.task(thread), "exit", code) == ENDED
            self.model.end_thread(thread, code << 8)
            self.model.settle()

    # Signals

    @rule(pick=picks, signal=st.sampled_from([SIGKILL, SIGSTOP, SIGSTOP, SIGCONT, SIGCONT]))
    def signal_a_process(self, pick: int, signal: int) -> None:
        process = self.process(pick)
        if process is not None:
            assert self.machine.call(self.sender, "kill", process.pid, signal) == 0
            self.send(process, signal)
            self.model.settle()

    @rule(pick=picks, signal=st.sampled_from([SIGKILL, SIGSTOP, SIGCONT, SIGCONT]))
    def signal_a_group(self, pick: int, signal: int) -> None:
        process = self.process(pick)
        if process is not None:
            assert self.machine.call(self.sender, "kill", -process.group, signal) == 0
            for member in self.model.members(process.group):
                self.send(member, signal)
            self.model.settle()

    def send(self, process: Process, signal: int) -> None:
        actions = {SIGKILL: self.model.kill, SIGSTOP: self.model.send_stop, SIGCONT: self.model.send_continue}
        actions[signal](process)

    @rule(pick=picks, way=st.sampled_from(["default", "ignore", "without waiting"]))
    def choose_what_sigchld_does(self, pick: int, way: str) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            flags = SA_NOCLDWAIT if way == "without waiting" else 0
            self.machine.ignore(self.task(thread), SIGCHLD, flags, handler=1 if way == "ignore" else 0)
            thread.process.ignores_children = way != "default"

    # Families and jobs

    @rule(pick=picks, is_one=st.booleans())
    def become_a_subreaper(self, pick: int, is_one: bool) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            self.machine.expect(self.task(thread), "prctl", PR_SET_CHILD_SUBREAPER, int(is_one))
            thread.process.is_subreaper = is_one

    @rule(pick=picks, whom=picks, group=picks)
    def set_process_group(self, pick: int, whom: int, group: int) -> None:
        thread = self.free_thread(pick)
        if thread is None:
            return
        children = [child.pid for each in thread.process.threads for child in each.children]
        # Mostly what a shell does: a group of its own for a child, or for itself.
        pids = [*children * 3, 0, *self.model.processes, 9999]
        pid = pids[whom % len(pids)]
        groups = [0, 0, 0, *(process.group for process in self.model.processes.values()), 9999]
        pgid = groups[group % len(groups)]
        outcome = self.machine.call(self.task(thread), "setpgid", pid, pgid)
        assert outcome == self.model.set_group(thread.process, pid, pgid)

    @precondition(has_room)
    @rule(pick=picks)
    def start_a_job(self, pick: int) -> None:
        """A shell's child in a group of its own, with a child that is stopped."""
        thread = self.free_thread(pick)
        if thread is None:
            return
        call, model = self.machine.expect, self.model
        job = model.add_process(call(self.task(thread), "clone", SIGCHLD), thread)
        call(self.task(job.leader), "setpgid", 0, 0)
        assert model.set_group(job, 0, 0) == 0
        member = model.add_process(call(self.task(job.leader), "clone", SIGCHLD), job.leader)
        call(self.sender, "kill", member.pid, SIGSTOP)
        model.send_stop(member)
        model.settle()

    @rule(pick=picks)
    def start_session(self, pick: int) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            outcome = self.machine.call(self.task(thread), "setsid")
            assert outcome == self.model.start_session(thread.process)

    # Waits

    @rule(pick=picks, whom=picks, options=wait_options)
    def wait(self, pick: int, whom: int, options: int) -> None:
        thread = self.free_thread(pick)
        if thread is None or any(other.wait for other in thread.process.threads):
            return
        choices = [-1, -1, -1, 0, *self.model.processes, *(-pid for pid in self.model.processes)]
        wait = Wait(choices[whom % len(choices)], options)
        outcome = self.machine.wait(self.task(thread), wait.pid, options)
        expected = self.model.wait(thread, wait)
        self.model.settle()
        self.check(thread, outcome, expected)

    def check(self, thread: Thread, outcome: Outcome, expected: int | None) -> None:
        assert outcome == (SLEEPS if expected is None else expected)
        if expected is not None and expected > 0:
            assert self.machine.numbers(self.task(thread), "i") == (self.model.results[thread.tid][1],)

    @rule()
    def init_reaps(self) -> None:
        known = [child.pid for child in self.model.init.children if child.is_zombie]
        assert self.machine.reap_orphans() == known
        for pid in known:
            self.model.reap(self.model.processes[pid])

    # What always holds

    @invariant()
    def tasks_are_the_models(self) -> None:
        assert list(tasks_by_id(self.kernel)) == [INIT, self.sender.tid, *self.model.threads]
        for tid, thread in self.model.threads.items():
            task = self.machine.task(tid)
            assert task.tgid == thread.process.pid
            assert [child.tgid for child in task.children] == [child.pid for child in thread.children]
            assert task.state in self.states_of(thread), (task, thread.__dict__)
            assert task.state is not TaskState.RUNNING
        assert [child.tgid for child in self.machine.init.children if child is not self.sender] == [
            child.pid for child in self.model.init.children
        ]

    @staticmethod
    def states_of(thread: Thread) -> set[TaskState]:
        if thread.has_ended:
            return {TaskState.ZOMBIE}
        if thread.is_stopped:
            return {TaskState.STOPPED}
        return {TaskState.INTERRUPTIBLE} if thread.wait is not None else {TaskState.RUNNABLE}

    @invariant()
    def processes_are_the_models(self) -> None:
        for process in self.model.processes.values():
            task = self.machine.task(process.pid)
            group = task.group
            assert [thread.tid for thread in group.threads] == [thread.tid for thread in process.threads]
            assert task.parent is not None
            assert process.parent is not None
            assert task.parent.tid == process.parent.tid
            assert task.exit_signal == process.exit_signal
            assert group.process_group.pid.own_number == process.group
            assert group.process_group.session.pid.own_number == process.session
            assert group.is_child_subreaper == process.is_subreaper
            if process.is_zombie:
                assert group.exit_code == process.code

    @invariant()
    def groups_and_sessions_are_the_models(self) -> None:
        outside = {INIT, self.sender.tid}
        groups = groups_by_id(self.kernel)
        assert set(groups) - outside == {process.group for process in self.model.processes.values()}
        assert set(sessions_by_id(self.kernel)) - outside == {
            process.session for process in self.model.processes.values()
        }
        for number, group in groups.items():
            if number not in outside:
                members = {member.pid.own_number for member in group.members}
                assert members == {process.pid for process in self.model.members(number)}
                assert group in group.session.groups
                assert sessions_by_id(self.kernel)[group.session.pid.own_number] is group.session

    @invariant()
    def books_are_kept(self) -> None:
        tasks = self.kernel.tasks
        assert self.machine.init.credentials.count_of(RLIMIT_NPROC) == len(tasks)
        queue = self.kernel.scheduler.processors[0]
        assert queue.count == sum(task.state is TaskState.RUNNABLE for task in tasks)
        for task in tasks:
            waits = task in task.group.wait_queue.waiters
            assert waits == (task.state is TaskState.INTERRUPTIBLE and task.frame is not None)
            assert set(task.zombies) == {child for child in task.children if child.has_ended_wholly}
        spaces = {task.mm for task in tasks if task.state is not TaskState.ZOMBIE}
        assert set(self.kernel.memory.address_spaces) == spaces

    def teardown(self) -> None:
        for process in list(self.model.processes.values()):
            self.machine.call(self.sender, "kill", process.pid, SIGKILL)
        self.machine.reap_orphans()
        assert list(tasks_by_id(self.kernel)) == [INIT, self.sender.tid]
        assert self.kernel.memory.used_frames == self.frames_before
        self.machine.close()
        super().teardown()


TestLifeCycle = LifeCycle.TestCase
TestLifeCycle.settings = settings(max_examples=examples(150), stateful_step_count=60)


class LongerLives(LifeCycle):
    """The same for longer."""


TestLongerLives = pytest.mark.timeout(900)(pytest.mark.heavy(LongerLives.TestCase))
TestLongerLives.settings = settings(max_examples=800, stateful_step_count=150)
