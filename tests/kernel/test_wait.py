"""Checks wait4 and waitid: for whom, in which state, how often, and what they tell."""

from __future__ import annotations

import pytest

from procession.abi.errno import EAGAIN, ECHILD, EFAULT, EINTR, EINVAL, ESRCH
from procession.hardware.registers import RSI
from procession.kernel.task import Task
from procession.kernel.time.costs import SEEN_THREAD_NS
from tests.kernel.conducted_machine import (
    ENDED,
    HANDLES,
    RESULTS,
    SLEEPS,
    STOPPED,
    ConductedMachine,
)

SIGKILL, SIGUSR1, SIGTERM, SIGCHLD, SIGCONT, SIGSTOP = 9, 10, 15, 17, 18, 19
SA_NOCLDSTOP, SA_SIGINFO, SA_RESTART = 1, 4, 0x1000_0000
WNOHANG, WUNTRACED, WEXITED, WCONTINUED, WNOWAIT = 1, 2, 4, 8, 0x01000000
WNOTHREAD, WALL, WCLONE = 0x20000000, 0x40000000, 0x80000000
PTRACE_SEIZE = 0x4206
P_ALL, P_PID, P_PGID, P_PIDFD = 0, 1, 2, 3
CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_STOPPED, CLD_CONTINUED = 1, 2, 3, 5, 6


@pytest.fixture
def parent(machine: ConductedMachine) -> Task:
    return machine.process()


@pytest.fixture
def child(machine: ConductedMachine, parent: Task) -> Task:
    return machine.fork(parent)


def waitid(machine: ConductedMachine, task: Task, kind: int, number: int, options: int) -> int | str:
    return machine.call(task, "waitid", kind, number, RESULTS, options, 0)


def found(machine: ConductedMachine, task: Task) -> tuple[int, ...]:
    """The signal, code, pid, uid and status of the siginfo that waitid gave."""
    signal, _, code = machine.numbers(task, "iii")
    return signal, code, *machine.numbers(task, "iii", RESULTS + 12 + 4)


class TestSelection:
    def test_nobody_to_wait_for(self, machine: ConductedMachine, parent: Task) -> None:
        assert machine.wait(parent) == -ECHILD.number
        assert machine.wait(parent, 1) == -ECHILD.number
        assert machine.wait(parent, parent.tid) == -ECHILD.number
        assert machine.wait(parent, -99, WNOHANG) == -ECHILD.number
        assert machine.wait(parent, -(1 << 31)) == -ESRCH.number

    def test_not_for_grandchildren(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        grandchild = machine.fork(child)
        machine.exit(grandchild)
        assert machine.wait(parent, grandchild.tid) == -ECHILD.number
        assert machine.wait(parent, -1, WNOHANG) == 0

    def test_by_id(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        other = machine.fork(parent)
        machine.exit(other, 1)
        assert machine.wait(parent, child.tid) == SLEEPS
        machine.exit(child, 2)
        assert machine.outcome(parent) == child.tid
        assert machine.numbers(parent, "i") == (2 << 8,)
        assert machine.reap(parent, other.tid) == (other.tid, 1 << 8)

    def test_by_process_group(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        other = machine.fork(parent)
        machine.expect(parent, "setpgid", other.tid, other.tid)
        machine.exit(other)
        assert machine.wait(parent, 0, WNOHANG) == 0
        assert machine.wait(parent, -parent.tid, WNOHANG) == 0
        assert machine.wait(parent, -other.tid) == other.tid
        assert machine.wait(parent, -other.tid) == -ECHILD.number
        machine.exit(child)
        assert machine.wait(parent, 0) == child.tid

    def test_in_the_order_of_their_making(self, machine: ConductedMachine, parent: Task) -> None:
        children = [machine.fork(parent) for _ in range(5)]
        for child in reversed(children):
            machine.exit(child)
        assert [machine.reap(parent)[0] for _ in children] == [child.tid for child in children]

    def test_clone_children(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        silent = machine.task(machine.expect(parent, "clone", 0))
        machine.exit(silent)
        machine.exit(child)
        assert machine.wait(parent, silent.tid) == -ECHILD.number
        assert machine.wait(parent, child.tid, WCLONE) == -ECHILD.number
        assert machine.wait(parent, -1, WCLONE) == silent.tid
        assert machine.wait(parent, -1, WCLONE) == -ECHILD.number
        assert machine.wait(parent, -1, WALL) == child.tid

    def test_children_of_other_threads(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        thread = machine.thread(parent)
        assert machine.wait(thread, -1, WNOTHREAD) == -ECHILD.number
        assert machine.wait(thread, child.tid, WNOTHREAD) == -ECHILD.number
        assert machine.wait(thread, child.tid) == SLEEPS
        machine.exit(child)
        assert machine.outcome(thread) == child.tid

    def test_own_children_first(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        thread = machine.thread(parent)
        own = machine.fork(thread)
        machine.exit(child)
        machine.exit(own)
        assert machine.wait(thread) == own.tid
        assert machine.wait(thread) == child.tid

    @pytest.mark.parametrize("options", [16, WEXITED, WNOWAIT])
    def test_options_that_wait4_lacks(self, machine: ConductedMachine, parent: Task, options: int) -> None:
        assert machine.wait(parent, -1, options) == -EINVAL.number


class TestWaiting:
    def test_sleeps_until_there_is_something(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        assert machine.wait(parent) == SLEEPS
        machine.expect(child, "getpid")
        assert machine.outcome(parent) == SLEEPS
        machine.exit(child, 3)
        assert machine.outcome(parent) == child.tid
        assert machine.numbers(parent, "i") == (3 << 8,)
        assert child.state.name == "DEAD"

    def test_two_threads_wait_for_one_child(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        thread = machine.thread(parent)
        assert machine.wait(parent) == SLEEPS
        assert machine.wait(thread) == SLEEPS
        machine.exit(child)
        outcomes = {machine.outcome(parent), machine.outcome(thread)}
        assert outcomes == {child.tid, -ECHILD.number}

    def test_a_handler_interrupts(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.handle(parent, SIGUSR1)
        assert machine.wait(parent) == SLEEPS
        machine.expect(child, "kill", parent.tid, SIGUSR1)
        assert machine.outcome(parent) == HANDLES
        assert machine.return_from_handler(parent) == -EINTR.number

    def test_and_may_restart(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.handle(parent, SIGUSR1, SA_RESTART)
        assert machine.wait(parent) == SLEEPS
        machine.expect(child, "kill", parent.tid, SIGUSR1)
        assert machine.outcome(parent) == HANDLES
        assert machine.return_from_handler(parent) == SLEEPS
        machine.exit(child)
        assert machine.outcome(parent) == child.tid

    def test_a_child_that_ends_in_the_handler(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        machine.handle(parent, SIGUSR1, SA_RESTART)
        assert machine.wait(parent) == SLEEPS
        machine.expect(child, "kill", parent.tid, SIGUSR1)
        machine.exit(child)
        assert machine.wait(parent) == child.tid
        assert machine.return_from_handler(parent) == -ECHILD.number

    def test_sigchld_comes_with_the_child(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        # A waiting parent takes the child and then the signal.
        machine.handle(parent, SIGCHLD)
        assert machine.wait(parent) == SLEEPS
        machine.exit(child)
        assert machine.outcome(parent) == HANDLES
        assert machine.return_from_handler(parent) == child.tid

    def test_stopped_waiter_goes_on_waiting(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        assert machine.wait(parent) == SLEEPS
        machine.expect(child, "kill", parent.tid, SIGSTOP)
        assert machine.outcome(parent) == STOPPED
        machine.expect(child, "kill", parent.tid, SIGCONT)
        assert machine.outcome(parent) == SLEEPS
        machine.exit(child)
        assert machine.outcome(parent) == child.tid

    def test_a_bad_address_comes_too_late(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.exit(child)
        assert machine.call(parent, "wait4", -1, 8, 0, 0) == -EFAULT.number
        assert machine.wait(parent) == -ECHILD.number


class TestStops:
    def test_only_who_asks_hears_of_them(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.expect(parent, "kill", child.tid, SIGSTOP)
        assert machine.wait(parent, -1, WNOHANG) == 0
        assert machine.wait(parent, -1, WNOHANG | WUNTRACED) == child.tid
        assert machine.numbers(parent, "i") == (SIGSTOP << 8 | 0x7F,)
        # Once.
        assert machine.wait(parent, -1, WNOHANG | WUNTRACED) == 0

    def test_continued(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.expect(parent, "kill", child.tid, SIGCONT)
        assert machine.wait(parent, -1, WNOHANG | WCONTINUED) == 0
        machine.expect(parent, "kill", child.tid, SIGSTOP)
        machine.expect(parent, "kill", child.tid, SIGCONT)
        assert machine.wait(parent, -1, WNOHANG | WUNTRACED) == 0
        assert machine.wait(parent, -1, WNOHANG | WCONTINUED) == child.tid
        assert machine.numbers(parent, "i") == (0xFFFF,)
        assert machine.wait(parent, -1, WNOHANG | WCONTINUED) == 0

    def test_wakes_a_waiter(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        other = machine.process()
        assert machine.wait(parent, -1, WUNTRACED) == SLEEPS
        machine.expect(other, "kill", child.tid, SIGSTOP)
        assert machine.outcome(parent) == child.tid
        assert machine.wait(parent, -1, WCONTINUED) == SLEEPS
        machine.expect(other, "kill", child.tid, SIGCONT)
        assert machine.outcome(parent) == child.tid

    def test_killed_while_stopped(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.expect(parent, "kill", child.tid, SIGSTOP)
        machine.expect(parent, "kill", child.tid, SIGTERM)
        assert machine.outcome(child) == STOPPED
        machine.expect(parent, "kill", child.tid, SIGKILL)
        assert machine.outcome(child) == ENDED
        assert machine.wait(parent, -1, WUNTRACED) == child.tid
        assert machine.numbers(parent, "i") == (SIGKILL,)

    def test_a_fatal_signal_waits_for_sigcont(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        machine.expect(parent, "kill", child.tid, SIGSTOP)
        machine.expect(parent, "kill", child.tid, SIGTERM)
        machine.expect(parent, "kill", child.tid, SIGCONT)
        assert machine.wait(parent, -1, WCONTINUED) == child.tid
        assert machine.numbers(parent, "i") == (SIGTERM,)

    def test_sigchld_tells_of_stops_unless_it_shall_not(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        machine.handle(parent, SIGCHLD, SA_SIGINFO)
        other = machine.process()
        machine.expect(other, "kill", child.tid, SIGSTOP)
        assert machine.outcome(parent) == HANDLES
        info = machine.register(parent, RSI)
        assert machine.numbers(parent, "iii", info) == (SIGCHLD, 0, CLD_STOPPED)
        assert machine.numbers(parent, "iii", info + 16) == (child.tid, 0, SIGSTOP)
        machine.return_from_handler(parent)
        machine.handle(parent, SIGCHLD, SA_NOCLDSTOP)
        machine.expect(other, "kill", child.tid, SIGCONT)
        assert machine.outcome(parent) == 0
        machine.exit(child)
        assert machine.outcome(parent) == HANDLES


class TestTime:
    """What a wait looks at takes time of the clock: with thousands it takes some of the host's."""

    @staticmethod
    def work_ns(machine: ConductedMachine, task: Task, kind: int, number: int, options: int) -> int:
        clock = machine.kernel.clock
        # The first call has a switch to the task, too.
        waitid(machine, task, kind, number, options | WNOHANG)
        before_ns = clock.kernel_work_ns
        assert waitid(machine, task, kind, number, options | WNOHANG) == 0
        return clock.kernel_work_ns - before_ns

    @pytest.mark.parametrize(("kind", "options"), [(P_PGID, WEXITED), (P_ALL, WEXITED | WUNTRACED)])
    def test_of_the_living(self, machine: ConductedMachine, parent: Task, kind: int, options: int) -> None:
        machine.fork(parent)
        one_ns = self.work_ns(machine, parent, kind, 0, options)
        for _ in range(10):
            machine.fork(parent)
        assert self.work_ns(machine, parent, kind, 0, options) == one_ns + 10 * SEEN_THREAD_NS

    def test_of_those_before_who_has_ended(self, machine: ConductedMachine, parent: Task) -> None:
        children = [machine.fork(parent) for _ in range(11)]
        for child in children[7:]:
            machine.exit(child)
        last_ns = self.work_ns(machine, parent, P_PID, children[-1].tid, WEXITED | WNOWAIT)
        first_ns = self.work_ns(machine, parent, P_ALL, 0, WEXITED | WNOWAIT)
        assert first_ns >= last_ns + 4 * SEEN_THREAD_NS
        for child in children[4:7]:
            machine.exit(child)
        first_ns = self.work_ns(machine, parent, P_ALL, 0, WEXITED | WNOWAIT)
        assert first_ns >= last_ns + 4 * SEEN_THREAD_NS
        assert machine.reap(parent) == (children[4].tid, 0)

    @pytest.mark.parametrize("options", [WEXITED, WEXITED | WALL])
    def test_of_tracees(self, machine: ConductedMachine, parent: Task, options: int) -> None:
        def trace() -> None:
            target = machine.process()
            machine.expect(parent, "ptrace", PTRACE_SEIZE, target.tid, 0, 0)

        trace()
        one_ns = self.work_ns(machine, parent, P_ALL, 0, options)
        for _ in range(10):
            trace()
        assert self.work_ns(machine, parent, P_ALL, 0, options) == one_ns + 10 * SEEN_THREAD_NS


class TestWaitid:
    def test_what_it_tells(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.expect(child, "setresuid", 1000, 1000, 1000)
        machine.exit(child, 5)
        assert waitid(machine, parent, P_ALL, 0, WEXITED) == 0
        assert found(machine, parent) == (SIGCHLD, CLD_EXITED, child.tid, 1000, 5)

    def test_killed(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.expect(parent, "kill", child.tid, SIGKILL)
        assert waitid(machine, parent, P_PID, child.tid, WEXITED) == 0
        assert found(machine, parent) == (SIGCHLD, CLD_KILLED, child.tid, 0, SIGKILL)

    def test_stopped_and_continued(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.expect(parent, "kill", child.tid, SIGSTOP)
        assert waitid(machine, parent, P_PID, child.tid, WUNTRACED) == 0
        assert found(machine, parent) == (SIGCHLD, CLD_STOPPED, child.tid, 0, SIGSTOP)
        machine.expect(parent, "kill", child.tid, SIGCONT)
        assert waitid(machine, parent, P_PID, child.tid, WCONTINUED) == 0
        assert found(machine, parent) == (SIGCHLD, CLD_CONTINUED, child.tid, 0, SIGCONT)

    def test_only_the_states_asked_for(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.exit(child)
        assert waitid(machine, parent, P_ALL, 0, WUNTRACED | WNOHANG) == -ECHILD.number
        assert found(machine, parent)[0] == 0
        assert machine.zombies == [child.tid]

    def test_nothing_yet(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        parent.mm.write(RESULTS, b"\xff" * 128)
        assert waitid(machine, parent, P_PID, child.tid, WEXITED | WNOHANG) == 0
        assert found(machine, parent) == (0, 0, 0, 0, 0)

    def test_without_taking(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.exit(child, 1)
        for _ in range(2):
            assert waitid(machine, parent, P_PID, child.tid, WEXITED | WNOWAIT) == 0
            assert found(machine, parent) == (SIGCHLD, CLD_EXITED, child.tid, 0, 1)
        assert machine.reap(parent) == (child.tid, 1 << 8)

    def test_stops_without_taking(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.expect(parent, "kill", child.tid, SIGSTOP)
        for _ in range(2):
            assert waitid(machine, parent, P_PID, child.tid, WUNTRACED | WNOWAIT) == 0
            assert found(machine, parent)[1] == CLD_STOPPED
        assert waitid(machine, parent, P_PID, child.tid, WUNTRACED | WNOHANG) == 0
        assert waitid(machine, parent, P_PID, child.tid, WUNTRACED | WNOHANG) == 0
        assert found(machine, parent)[0] == 0

    def test_by_process_group(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        machine.expect(parent, "setpgid", child.tid, child.tid)
        assert waitid(machine, parent, P_PGID, 0, WEXITED) == -ECHILD.number
        assert waitid(machine, parent, P_PGID, child.tid, WEXITED) == SLEEPS
        machine.exit(child)
        assert machine.outcome(parent) == 0

    def test_by_pidfd(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        fd = machine.expect(parent, "pidfd_open", child.tid, 0)
        assert waitid(machine, parent, P_PIDFD, fd, WEXITED) == SLEEPS
        machine.exit(child)
        assert machine.outcome(parent) == 0
        assert found(machine, parent)[2] == child.tid
        # The id may be given again: the descriptor means the child that is gone.
        machine.kernel.init_pid_namespace.last = child.tid - 1
        assert machine.fork(parent).tid == child.tid
        assert waitid(machine, parent, P_PIDFD, fd, WEXITED) == -ECHILD.number

    def test_by_a_pidfd_that_does_not_block(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        fd = machine.expect(parent, "pidfd_open", child.tid, 0o4000)
        assert waitid(machine, parent, P_PIDFD, fd, WEXITED) == -EAGAIN.number
        assert waitid(machine, parent, P_PIDFD, fd, WEXITED | WNOHANG) == 0
        machine.exit(child)
        assert waitid(machine, parent, P_PIDFD, fd, WEXITED) == 0

    @pytest.mark.parametrize(
        ("kind", "number", "options"),
        [
            (P_ALL, 0, 0),
            (P_ALL, 0, WNOHANG),
            (P_ALL, 0, WEXITED | 16),
            (P_PID, 0, WEXITED),
            (P_PID, -1, WEXITED),
            (P_PGID, -1, WEXITED),
            (4, 0, WEXITED),
        ],
    )
    def test_senseless_arguments(
        self, machine: ConductedMachine, parent: Task, kind: int, number: int, options: int
    ) -> None:
        assert waitid(machine, parent, kind, number, options) == -EINVAL.number
