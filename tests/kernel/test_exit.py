"""Checks the end of tasks: what is given back, who gets the children, and who is told."""

from __future__ import annotations

import pytest

from procession.abi.errno import ECHILD, ESRCH
from procession.hardware.registers import RSI
from procession.kernel.session import is_session_leader
from procession.kernel.signal.handlers import IGNORE_ACTION
from procession.kernel.task import Task
from tests.kernel.conducted_machine import (
    ENDED,
    HANDLES,
    RESULTS,
    SLEEPS,
    STOPPED,
    ConductedMachine,
)
from tests.kernel.process_ids import groups_by_id, sessions_by_id, tasks_by_id

SIGHUP, SIGKILL, SIGUSR1, SIGTERM, SIGCHLD, SIGCONT, SIGSTOP = 1, 9, 10, 15, 17, 18, 19
SA_NOCLDWAIT, SA_SIGINFO = 2, 4
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


@pytest.fixture
def parent(machine: ConductedMachine) -> Task:
    return machine.process()


class TestZombie:
    def test_keeps_its_place_and_nothing_else(self, machine: ConductedMachine, parent: Task) -> None:
        frames = machine.kernel.memory.used_frames
        child = machine.fork(parent)
        machine.exit(child, 7)
        assert child.state.name == "ZOMBIE"
        assert machine.zombies == [child.tid]
        assert machine.kernel.memory.used_frames == frames
        assert not len(child.mm.areas)
        assert parent.files.file(0).reference_count == 1
        assert child.group in parent.group.process_group.members
        # It can be signalled, to no effect.
        assert machine.call(parent, "kill", child.tid, SIGKILL) == 0
        assert machine.call(parent, "kill", child.tid, 0) == 0
        assert machine.reap(parent) == (child.tid, 7 << 8)
        assert child.state.name == "DEAD"
        assert machine.call(parent, "kill", child.tid, 0) == -ESRCH.number
        assert child.group not in parent.group.process_group.members

    @pytest.mark.parametrize(
        ("code", "status"), [(0, 0), (255, 0xFF00), (256, 0), (-1, 0xFF00), (300, 0x2C00)]
    )
    def test_the_low_byte_of_the_code_counts(
        self, machine: ConductedMachine, parent: Task, code: int, status: int
    ) -> None:
        machine.exit(machine.fork(parent), code)
        assert machine.reap(parent)[1] == status

    def test_killed(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        machine.expect(parent, "kill", child.tid, SIGKILL)
        assert machine.reap(parent) == (child.tid, SIGKILL)

    def test_killed_while_it_sleeps(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        assert machine.call(child, "pause") == SLEEPS
        machine.expect(parent, "kill", child.tid, SIGTERM)
        assert machine.outcome(child) == ENDED
        assert machine.reap(parent) == (child.tid, SIGTERM)
        assert machine.kernel.timers.armed_count == 0

    @pytest.mark.heavy
    def test_a_thousand_of_them(self, machine: ConductedMachine, parent: Task) -> None:
        children = []
        for code in range(1000):
            child = machine.fork(parent)
            children.append((child.tid, (code & 0xFF) << 8))
            machine.exit(child, code)
        assert machine.zombies == [tid for tid, _ in children]
        assert [machine.reap(parent) for _ in children] == children
        assert machine.zombies == []
        assert machine.wait(parent) == -ECHILD.number


class TestIgnoredEnd:
    def test_ignored_children_are_reaped_at_once(self, machine: ConductedMachine, parent: Task) -> None:
        machine.ignore(parent, SIGCHLD)
        child = machine.fork(parent)
        machine.exit(child)
        assert child.state.name == "DEAD"
        assert child.tid not in tasks_by_id(machine.kernel)
        assert machine.wait(parent) == -ECHILD.number

    def test_a_waiting_parent_waits_for_all_of_them(self, machine: ConductedMachine, parent: Task) -> None:
        machine.ignore(parent, SIGCHLD)
        first, second = machine.fork(parent), machine.fork(parent)
        assert machine.wait(parent) == SLEEPS
        machine.exit(first)
        assert machine.outcome(parent) == SLEEPS
        machine.exit(second)
        assert machine.outcome(parent) == -ECHILD.number

    def test_without_waiting_the_parent_is_told_still(self, machine: ConductedMachine, parent: Task) -> None:
        machine.handle(parent, SIGCHLD, SA_NOCLDWAIT)
        child = machine.fork(parent)
        machine.exit(child)
        assert child.state.name == "DEAD"
        assert machine.outcome(parent) == HANDLES

    def test_zombies_of_before_stay(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        machine.exit(child)
        machine.ignore(parent, SIGCHLD)
        assert machine.reap(parent) == (child.tid, 0)

    def test_other_exit_signals_are_ignored_otherwise(self, machine: ConductedMachine, parent: Task) -> None:
        machine.ignore(parent, SIGUSR1)
        child = machine.task(machine.expect(parent, "clone", SIGUSR1))
        machine.exit(child)
        assert child.state.name == "ZOMBIE"
        assert machine.wait(parent) == -ECHILD.number
        assert machine.wait(parent, -1, 0x40000000) == child.tid

    def test_what_children_used_is_lost(self, machine: ConductedMachine, parent: Task) -> None:
        machine.ignore(parent, SIGCHLD)
        child = machine.fork(parent)
        child.times.user_ns = 5_000_000_000
        machine.exit(child)
        assert parent.group.children_times.user_ns == 0


class TestExitSignal:
    def test_parent_gets_the_signal_it_asked_for(self, machine: ConductedMachine, parent: Task) -> None:
        machine.handle(parent, SIGUSR1, SA_SIGINFO)
        child = machine.task(machine.expect(parent, "clone", SIGUSR1))
        machine.exit(child, 5)
        assert machine.outcome(parent) == HANDLES
        info = machine.register(parent, RSI)
        assert machine.numbers(parent, "iii", info) == (SIGUSR1, 0, 1)
        assert machine.numbers(parent, "iii", info + 16) == (child.tid, 0, 5)

    def test_none(self, machine: ConductedMachine, parent: Task) -> None:
        machine.handle(parent, SIGCHLD)
        child = machine.task(machine.expect(parent, "clone", 0))
        machine.exit(child)
        assert machine.outcome(parent) == child.tid
        assert child.state.name == "ZOMBIE"

    def test_becomes_sigchld_for_another_parent(self, machine: ConductedMachine, parent: Task) -> None:
        middle = machine.fork(parent)
        child = machine.task(machine.expect(middle, "clone", SIGUSR1))
        machine.exit(middle)
        assert child.exit_signal == SIGCHLD
        machine.exit(child)
        assert machine.reap_orphans() == [child.tid]


class TestOrphans:
    def test_go_to_init(self, machine: ConductedMachine, parent: Task) -> None:
        middle = machine.fork(parent)
        living, dead = machine.fork(middle), machine.fork(middle)
        machine.exit(dead)
        machine.exit(middle)
        assert machine.call(living, "getppid") == 1
        assert dead.parent is machine.init
        assert machine.zombies == [middle.tid, dead.tid]
        assert machine.reap_orphans() == [dead.tid]
        machine.exit(living)
        assert machine.reap_orphans() == [living.tid]
        assert machine.reap(parent) == (middle.tid, 0)

    def test_wake_init_when_it_waits(self, machine: ConductedMachine, parent: Task) -> None:
        middle = machine.fork(parent)
        child = machine.fork(middle)
        machine.exit(child)
        assert machine.call(machine.init, "wait4", -1, 0, 0, 0) == SLEEPS
        machine.exit(middle)
        assert machine.outcome(machine.init) == child.tid

    def test_dead_ones_are_reaped_at_once_if_init_ignores_them(
        self, machine: ConductedMachine, parent: Task
    ) -> None:
        machine.init.group.handlers.actions[SIGCHLD] = IGNORE_ACTION
        middle = machine.fork(parent)
        child = machine.fork(middle)
        machine.exit(child)
        machine.exit(middle)
        assert child.state.name == "DEAD"

    def test_go_to_another_thread_first(self, machine: ConductedMachine, parent: Task) -> None:
        thread = machine.thread(parent)
        child = machine.fork(thread)
        assert child.parent is thread
        machine.call(thread, "exit", 0)
        assert child.parent is parent
        machine.exit(child)
        assert machine.reap(parent) == (child.tid, 0)

    def test_go_to_a_thread_when_the_leader_ends(self, machine: ConductedMachine, parent: Task) -> None:
        thread = machine.thread(parent)
        child = machine.fork(parent)
        machine.call(parent, "exit", 0)
        assert child.parent is thread
        assert machine.call(child, "getppid") == parent.tgid
        machine.exit(child)
        assert machine.reap(thread) == (child.tid, 0)

    def test_go_to_the_nearest_subreaper(self, machine: ConductedMachine, parent: Task) -> None:
        machine.expect(parent, "prctl", PR_SET_CHILD_SUBREAPER, 1)
        near = machine.fork(parent)
        machine.expect(near, "prctl", PR_SET_CHILD_SUBREAPER, 1)
        shell = machine.fork(near)
        daemon = machine.fork(shell)
        machine.exit(shell)
        assert daemon.parent is near
        machine.exit(near)
        assert daemon.parent is parent
        assert shell.parent is parent
        machine.exit(daemon)
        assert sorted(machine.reap(parent)[0] for _ in range(3)) == [near.tid, shell.tid, daemon.tid]

    def test_a_subreaper_that_is_one_no_more(self, machine: ConductedMachine, parent: Task) -> None:
        machine.expect(parent, "prctl", PR_SET_CHILD_SUBREAPER, 1)
        shell = machine.fork(parent)
        first, second = machine.fork(shell), machine.fork(shell)
        deeper = machine.fork(first)
        machine.exit(first)
        assert deeper.parent is parent
        machine.expect(parent, "prctl", PR_SET_CHILD_SUBREAPER, 0)
        machine.exit(shell)
        assert second.parent is machine.init

    def test_a_subreaper_is_no_reaper_of_its_own_children(
        self, machine: ConductedMachine, parent: Task
    ) -> None:
        machine.expect(parent, "prctl", PR_SET_CHILD_SUBREAPER, 1)
        child = machine.fork(parent)
        machine.exit(parent)
        assert child.parent is machine.init

    def test_a_subreaper_in_whose_leaders_place_a_thread_lives(
        self, machine: ConductedMachine, parent: Task
    ) -> None:
        machine.expect(parent, "prctl", PR_SET_CHILD_SUBREAPER, 1)
        thread = machine.thread(parent)
        shell = machine.fork(thread)
        daemon = machine.fork(shell)
        machine.call(parent, "exit", 0)
        machine.exit(shell)
        assert daemon.parent is thread

    def test_are_in_their_order(self, machine: ConductedMachine, parent: Task) -> None:
        machine.expect(parent, "prctl", PR_SET_CHILD_SUBREAPER, 1)
        middle = machine.fork(parent)
        orphans = [machine.fork(middle) for _ in range(4)]
        own = machine.fork(parent)
        machine.exit(middle)
        assert list(parent.children) == [middle, own, *orphans]


class TestParentDeathSignal:
    def test_is_sent_when_the_parent_ends(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        machine.expect(child, "prctl", PR_SET_PDEATHSIG, SIGTERM)
        machine.exit(parent)
        assert machine.outcome(child) == ENDED
        assert child.exit_code == SIGTERM

    def test_comes_from_the_parent(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        machine.handle(child, SIGUSR1, SA_SIGINFO)
        machine.expect(child, "prctl", PR_SET_PDEATHSIG, SIGUSR1)
        machine.exit(parent)
        assert machine.outcome(child) == HANDLES
        info = machine.register(child, RSI)
        assert machine.numbers(child, "iii", info) == (SIGUSR1, 0, 0)
        assert machine.numbers(child, "ii", info + 16) == (parent.tid, 0)

    def test_is_sent_again_when_the_next_reaper_ends(self, machine: ConductedMachine, parent: Task) -> None:
        machine.expect(parent, "prctl", PR_SET_CHILD_SUBREAPER, 1)
        middle = machine.fork(parent)
        child = machine.fork(middle)
        machine.handle(child, SIGUSR1)
        machine.expect(child, "prctl", PR_SET_PDEATHSIG, SIGUSR1)
        machine.exit(middle)
        assert machine.outcome(child) == HANDLES
        machine.return_from_handler(child)
        machine.exit(parent)
        assert machine.outcome(child) == HANDLES

    def test_is_sent_when_the_thread_that_forked_ends(self, machine: ConductedMachine, parent: Task) -> None:
        thread = machine.thread(parent)
        child = machine.fork(thread)
        machine.expect(child, "prctl", PR_SET_PDEATHSIG, SIGTERM)
        machine.call(thread, "exit", 0)
        assert machine.outcome(child) == ENDED


class TestThreads:
    def test_a_thread_ends_alone(self, machine: ConductedMachine, parent: Task) -> None:
        thread = machine.thread(parent)
        assert machine.call(thread, "exit", 3) == ENDED
        assert thread.state.name == "DEAD"
        assert parent.group.threads == [parent]
        assert machine.call(parent, "getpid") == parent.tid

    def test_exit_group_ends_all(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        threads = [machine.thread(child) for _ in range(3)]
        assert machine.call(threads[0], "pause") == SLEEPS
        machine.exit(threads[1], 9)
        assert child.state.name == "ZOMBIE"
        assert all(thread.state.name == "DEAD" for thread in threads)
        assert machine.reap(parent) == (child.tid, 9 << 8)

    def test_a_leader_that_ends_first_is_no_zombie_to_its_parent(
        self, machine: ConductedMachine, parent: Task
    ) -> None:
        machine.handle(parent, SIGCHLD)
        child = machine.fork(parent)
        thread = machine.thread(child)
        machine.call(child, "exit", 1)
        assert child.state.name == "ZOMBIE"
        assert machine.wait(parent, -1, 1) == 0
        assert machine.outcome(parent) == 0
        machine.call(thread, "exit", 2)
        assert machine.outcome(parent) == HANDLES
        # The process's code is its last thread's.
        assert machine.reap(parent) == (child.tid, 2 << 8)

    def test_a_fatal_signal_to_one_ends_all(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        thread = machine.thread(child)
        machine.expect(parent, "tkill", thread.tid, SIGTERM)
        assert machine.reap(parent) == (child.tid, SIGTERM)
        assert thread.state.name == "DEAD"

    def test_the_first_code_stands(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        thread = machine.thread(child)
        assert machine.call(child, "vfork") == SLEEPS
        machine.exit(thread, 4)
        assert machine.reap(parent) == (child.tid, 4 << 8)


class TestOrphanedProcessGroups:
    def test_stopped_jobs_are_hung_up(self, machine: ConductedMachine, parent: Task) -> None:
        shell = machine.fork(parent)
        job = machine.fork(shell)
        machine.expect(shell, "setpgid", job.tid, job.tid)
        machine.expect(parent, "kill", job.tid, SIGSTOP)
        assert machine.outcome(job) == STOPPED
        machine.exit(shell)
        assert machine.outcome(job) == ENDED
        assert job.exit_code == SIGHUP

    def test_running_jobs_are_not(self, machine: ConductedMachine, parent: Task) -> None:
        shell = machine.fork(parent)
        job = machine.fork(shell)
        machine.expect(shell, "setpgid", job.tid, job.tid)
        machine.exit(shell)
        assert machine.call(job, "getppid") == 1

    def test_a_group_with_another_link_to_the_session_is_no_orphan(
        self, machine: ConductedMachine, parent: Task
    ) -> None:
        shell = machine.fork(parent)
        job = machine.fork(parent)
        machine.expect(parent, "setpgid", job.tid, job.tid)
        other = machine.fork(shell)
        machine.expect(shell, "setpgid", other.tid, job.tid)
        machine.expect(parent, "kill", other.tid, SIGSTOP)
        machine.exit(shell)
        assert machine.outcome(other) == STOPPED
        # When the last link goes, it is.
        machine.exit(job)
        assert machine.outcome(other) == ENDED

    def test_a_dead_childs_group_is_looked_at_too(self, machine: ConductedMachine, parent: Task) -> None:
        shell = machine.fork(parent)
        dead = machine.fork(shell)
        machine.expect(shell, "setpgid", dead.tid, dead.tid)
        deeper = machine.fork(dead)
        machine.exit(dead)
        machine.expect(parent, "kill", deeper.tid, SIGSTOP)
        assert machine.outcome(deeper) == STOPPED
        machine.exit(shell)
        assert machine.outcome(deeper) == ENDED

    def test_ids_stay_in_use_while_a_group_bears_them(self, machine: ConductedMachine, parent: Task) -> None:
        leader = machine.fork(parent)
        machine.expect(parent, "setpgid", leader.tid, leader.tid)
        member = machine.fork(leader)
        machine.exit(leader)
        machine.reap(parent)
        assert leader.tid in groups_by_id(machine.kernel)
        machine.kernel.init_pid_namespace.last = leader.tid - 1
        assert machine.fork(parent).tid == member.tid + 1
        assert machine.call(parent, "kill", -leader.tid, SIGTERM) == 0
        assert member.exit_code == SIGTERM
        machine.reap_orphans()
        assert leader.tid not in groups_by_id(machine.kernel)
        machine.kernel.init_pid_namespace.last = leader.tid - 1
        assert machine.fork(parent).tid == leader.tid


class TestSharedThings:
    def test_a_session_leaders_end(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        session = parent.group.process_group.session
        machine.exit(parent)
        assert session.leader is parent.group
        assert machine.reap_orphans() == [parent.tid]
        assert not is_session_leader(parent.group)
        assert machine.call(child, "getsid", 0) == parent.tid
        machine.exit(child)
        machine.reap_orphans()
        assert parent.tid not in sessions_by_id(machine.kernel)
        assert list(groups_by_id(machine.kernel)) == list(sessions_by_id(machine.kernel)) == [1]

    def test_times_of_the_reaped_are_summed(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        grandchild = machine.fork(child)
        grandchild.times.user_ns = 1_000_000_000
        grandchild.times.minor_faults = 10
        machine.exit(grandchild)
        assert parent.group.children_times.user_ns == 0
        machine.reap(child)
        thread = machine.thread(child)
        thread.times.user_ns = 3_000_000_000
        machine.call(thread, "exit", 0)
        machine.exit(child)
        machine.reap(parent)
        assert 4_000_000_000 <= parent.group.children_times.user_ns < 4_001_000_000
        machine.expect(parent, "getrusage", -1, RESULTS)
        assert machine.numbers(parent, "q") == (4,)
