"""Checks group stops: who stops, who is told, and what SIGCONT undoes."""

from __future__ import annotations

import pytest

from procession.kernel.signal.generation import send_group_signal
from procession.kernel.signal.handlers import SA_NOCLDSTOP, SA_NOCLDWAIT, SignalAction
from procession.kernel.signal.info import SI_USER, SigInfo
from procession.kernel.signal.parent import (
    CLD_CONTINUED,
    CLD_DUMPED,
    CLD_EXITED,
    CLD_KILLED,
    CLD_STOPPED,
    notify_parent,
)
from procession.kernel.task import SIGNAL_STOP_CONTINUED, SIGNAL_STOP_STOPPED, Task
from tests.kernel.signal_fakes import Machine

HANDLER = SignalAction(0x1234, 0x04000000, 0x5678, 0)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def shell(machine: Machine) -> Task:
    """A session's leader that handles SIGCHLD."""
    shell = machine.process(5)
    shell.parent = machine.init
    shell.group.handlers.actions[17] = HANDLER
    return shell


@pytest.fixture
def task(machine: Machine, shell: Task) -> Task:
    return machine.process(10, shell)


def send(machine: Machine, task: Task, signo: int) -> None:
    send_group_signal(machine.kernel, task.group, SigInfo(signo, SI_USER))


def child_info(shell: Task) -> SigInfo | None:
    """The SIGCHLD that the shell has got."""
    pending = shell.group.shared_pending
    return pending.take(17) if pending.holds(17) else None


class TestStop:
    @pytest.mark.parametrize("signo", [19])
    def test_stops_and_tells_the_parent(self, machine: Machine, shell: Task, task: Task, signo: int) -> None:
        send(machine, task, signo)
        machine.resume(task)
        assert task.state.name == "STOPPED"
        assert task.group.flags == SIGNAL_STOP_STOPPED
        assert task.group.stop_code == signo
        info = child_info(shell)
        assert info is not None
        assert (info.code, info.sender, info.status) == (CLD_STOPPED, task.group.pid, signo)

    def test_parent_is_told_when_the_last_thread_has_stopped(
        self, machine: Machine, shell: Task, task: Task
    ) -> None:
        other = machine.thread(task, 11)
        machine.sleep(other)
        send(machine, task, 19)
        machine.resume(task)
        assert task.state.name == "STOPPED"
        assert not task.group.flags & SIGNAL_STOP_STOPPED
        assert child_info(shell) is None
        assert other.state.name == "RUNNABLE"
        machine.resume(other)
        assert other.state.name == "STOPPED"
        assert task.group.flags & SIGNAL_STOP_STOPPED
        assert child_info(shell) is not None

    def test_handler_prevents_a_stop(self, machine: Machine, task: Task) -> None:
        task.group.handlers.actions[20] = HANDLER
        send(machine, task, 20)
        machine.resume(task)
        assert task.state.name == "RUNNING"
        assert task.registers.general[16] == 0x1234

    @pytest.mark.parametrize("signo", [20, 21, 22])
    def test_terminal_stops_nothing_in_an_orphaned_group(
        self, machine: Machine, shell: Task, task: Task, signo: int
    ) -> None:
        # The job is in the shell's own group, whose leader's parent is in another session.
        send(machine, task, signo)
        machine.resume(task)
        assert task.state.name == "RUNNING"
        assert task.group.flags == 0

    def test_nocldstop_is_not_told(self, machine: Machine, shell: Task, task: Task) -> None:
        shell.group.handlers.actions[17] = HANDLER._replace(flags=HANDLER.flags | SA_NOCLDSTOP)
        send(machine, task, 19)
        machine.resume(task)
        assert child_info(shell) is None
        assert task.group.stop_code == 19


class TestContinue:
    def stopped(self, machine: Machine, shell: Task, task: Task) -> None:
        send(machine, task, 19)
        machine.resume(task)
        assert child_info(shell) is not None

    def test_goes_on_and_tells_the_parent(self, machine: Machine, shell: Task, task: Task) -> None:
        self.stopped(machine, shell, task)
        send(machine, task, 18)
        assert task.state.name == "RUNNABLE"
        assert task.group.flags & SIGNAL_STOP_CONTINUED
        assert not task.group.flags & SIGNAL_STOP_STOPPED
        assert task.group.stop_code == 0
        assert child_info(shell) is None
        machine.resume(task)
        assert task.state.name == "RUNNING"
        assert not task.has_pending_signal
        info = child_info(shell)
        assert info is not None
        assert (info.code, info.status) == (CLD_CONTINUED, 18)
        assert task.group.flags == SIGNAL_STOP_CONTINUED

    def test_handler_runs_after_it(self, machine: Machine, shell: Task, task: Task) -> None:
        self.stopped(machine, shell, task)
        task.group.handlers.actions[18] = HANDLER
        send(machine, task, 18)
        machine.resume(task)
        assert task.registers.general[16] == 0x1234

    def test_unfinished_stop_counts_as_one(self, machine: Machine, shell: Task, task: Task) -> None:
        other = machine.thread(task, 11)
        send(machine, task, 19)
        machine.resume(task)
        send(machine, task, 18)
        machine.resume(task)
        info = child_info(shell)
        assert info is not None
        assert info.code == CLD_STOPPED
        machine.resume(other)
        assert other.state.name == "RUNNING"

    def test_stop_and_continue_drop_each_other(self, machine: Machine, task: Task) -> None:
        task.blocked = 1 << 17 | 1 << 19
        send(machine, task, 20)
        assert task.group.shared_pending.holds(20)
        send(machine, task, 18)
        assert task.group.shared_pending.mask == 1 << 17
        send(machine, task, 20)
        assert task.group.shared_pending.mask == 1 << 19

    def test_not_stopped_is_not_continued(self, machine: Machine, shell: Task, task: Task) -> None:
        send(machine, task, 18)
        machine.resume(task)
        assert child_info(shell) is None
        assert task.group.flags == 0


class TestEnd:
    @pytest.mark.parametrize(
        ("code", "reason", "status"),
        [(0, CLD_EXITED, 0), (7 << 8, CLD_EXITED, 7), (15, CLD_KILLED, 15), (11 | 0x80, CLD_DUMPED, 11)],
    )
    def test_says_how(
        self, machine: Machine, shell: Task, task: Task, code: int, reason: int, status: int
    ) -> None:
        task.exit_code = code
        task.times.user_ns = 123_000_000
        assert not notify_parent(machine.kernel, task, 17)
        info = child_info(shell)
        assert info is not None
        assert (info.code, info.status, info.sender, info.utime) == (reason, status, task.group.pid, 12)

    def test_nobody_waits_when_it_is_ignored(self, machine: Machine, shell: Task, task: Task) -> None:
        shell.group.handlers.actions[17] = SignalAction(1)
        assert notify_parent(machine.kernel, task, 17)
        assert child_info(shell) is None

    def test_nocldwait_is_told_still(self, machine: Machine, shell: Task, task: Task) -> None:
        shell.group.handlers.actions[17] = HANDLER._replace(flags=HANDLER.flags | SA_NOCLDWAIT)
        assert notify_parent(machine.kernel, task, 17)
        assert child_info(shell) is not None

    def test_other_signals(self, machine: Machine, shell: Task, task: Task) -> None:
        shell.group.handlers.actions[10] = HANDLER
        shell.group.handlers.actions[17] = SignalAction(1)
        assert not notify_parent(machine.kernel, task, 10)
        info = shell.group.shared_pending.take(10)
        assert (info.signo, info.code) == (10, CLD_EXITED)
        assert not notify_parent(machine.kernel, task, 0)
        assert not shell.group.shared_pending.mask
