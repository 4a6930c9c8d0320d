"""Checks whom a signal reaches, what it does at once, and who may send it."""

from __future__ import annotations

import pytest

from procession.abi.errno import EAGAIN, EINVAL, EPERM, ESRCH
from procession.abi.signals import SignalCode
from procession.kernel.rlimit import RLIMIT_SIGPENDING
from procession.kernel.security.capability import CAP_FULL_SET, CAP_KILL
from procession.kernel.signal.generation import force_signal, send_group_signal, send_signal
from procession.kernel.signal.handlers import SignalAction
from procession.kernel.signal.info import SI_KERNEL, SI_USER, SigInfo
from procession.kernel.signal.kill import sender_info, signal_everybody, signal_process, signal_thread_by_id
from procession.kernel.signal.mask import set_blocked
from procession.kernel.signal.set import mask_of
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.task import SIGNAL_GROUP_EXIT, SIGNAL_STOP_STOPPED, SIGNAL_UNKILLABLE, CallFrame, Task
from tests.kernel.signal_fakes import Machine

HANDLER = SignalAction(0x1234, 0x04000000, 0x5678, 0)

SI_QUEUE = int(SignalCode.SI_QUEUE)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def task(machine: Machine) -> Task:
    return machine.process(10, machine.init)


def handle(task: Task, *signals: int) -> None:
    for signo in signals:
        task.group.handlers.actions[signo] = HANDLER


class TestIgnoring:
    def test_default_ignored_signal_leaves_nothing(self, machine: Machine, task: Task) -> None:
        assert send_group_signal(machine.kernel, task.group, SigInfo(17, SI_USER))
        assert task.group.shared_pending.mask == 0
        assert not task.has_pending_signal

    def test_ignored_signal_leaves_nothing(self, machine: Machine, task: Task) -> None:
        task.group.handlers.actions[15] = SignalAction(1)
        send_group_signal(machine.kernel, task.group, SigInfo(15, SI_USER))
        assert task.group.shared_pending.mask == 0

    def test_blocked_signal_is_kept_though_ignored(self, machine: Machine, task: Task) -> None:
        set_blocked(task, mask_of(17))
        send_group_signal(machine.kernel, task.group, SigInfo(17, SI_USER))
        assert task.group.shared_pending.mask == mask_of(17)
        assert not task.has_pending_signal

    def test_standard_signal_coalesces(self, machine: Machine, task: Task) -> None:
        handle(task, 10)
        for sender in (machine.init, task):
            send_signal(machine.kernel, task, SigInfo(10, SI_USER, sender=sender.group.pid))
        assert task.pending.take(10).sender is machine.init.group.pid
        assert task.pending.mask == 0


class TestInit:
    @pytest.mark.parametrize("signo", [9, 19, 15])
    def test_machine_init_survives(self, machine: Machine, signo: int) -> None:
        machine.init.group.flags |= SIGNAL_UNKILLABLE
        send_group_signal(machine.kernel, machine.init.group, SigInfo(signo, SI_KERNEL))
        assert not machine.init.has_pending_signal
        assert not machine.init.group.is_exiting

    def test_what_it_handles_reaches_it(self, machine: Machine) -> None:
        machine.init.group.flags |= SIGNAL_UNKILLABLE
        handle(machine.init, 15)
        send_group_signal(machine.kernel, machine.init.group, SigInfo(15, SI_USER))
        assert machine.init.has_pending_signal

    def test_namespace_init_dies_of_the_kernels_kill_only(self, machine: Machine, task: Task) -> None:
        task.group.flags |= SIGNAL_UNKILLABLE
        send_group_signal(machine.kernel, task.group, SigInfo(9, SI_USER))
        assert not task.group.is_exiting
        send_group_signal(machine.kernel, task.group, SigInfo(9, SI_KERNEL))
        assert task.group.is_exiting

    def test_its_own_fault_kills_it(self, machine: Machine) -> None:
        machine.init.group.flags |= SIGNAL_UNKILLABLE
        force_signal(machine.kernel, machine.init, SigInfo(11, 1, address=8))
        assert not machine.init.group.flags & SIGNAL_UNKILLABLE
        assert machine.init.pending.holds(11)


class TestThreads:
    def test_main_thread_comes_first_without_a_choice(self, machine: Machine, task: Task) -> None:
        other = machine.thread(task, 11)
        handle(task, 10)
        send_group_signal(machine.kernel, task.group, SigInfo(10, SI_USER))
        assert task.has_pending_signal
        assert not other.has_pending_signal
        assert machine.choices.asked == []

    def test_only_candidate_without_a_choice(self, machine: Machine, task: Task) -> None:
        other = machine.thread(task, 11)
        handle(task, 10)
        set_blocked(task, mask_of(10))
        send_group_signal(machine.kernel, task.group, SigInfo(10, SI_USER))
        assert other.has_pending_signal
        assert machine.choices.asked == []

    def test_choice_among_the_others(self, machine: Machine, task: Task) -> None:
        others = [machine.thread(task, tid) for tid in (11, 12, 13)]
        handle(task, 10)
        set_blocked(task, mask_of(10))
        set_blocked(others[1], mask_of(10))
        send_group_signal(machine.kernel, task.group, SigInfo(10, SI_USER))
        assert machine.choices.asked == [("signal", 2)]
        assert [thread.has_pending_signal for thread in others] == [False, False, True]

    def test_nobody_is_told_when_all_block(self, machine: Machine, task: Task) -> None:
        other = machine.thread(task, 11)
        handle(task, 10)
        for thread in (task, other):
            set_blocked(thread, mask_of(10))
        send_group_signal(machine.kernel, task.group, SigInfo(10, SI_USER))
        assert not task.has_pending_signal
        assert not other.has_pending_signal
        set_blocked(other, 0)
        assert other.has_pending_signal

    def test_blocking_hands_the_signal_to_another_thread(self, machine: Machine, task: Task) -> None:
        other = machine.thread(task, 11)
        machine.sleep(other)
        handle(task, 10)
        send_group_signal(machine.kernel, task.group, SigInfo(10, SI_USER))
        set_blocked(task, mask_of(10))
        assert not task.has_pending_signal
        assert other.has_pending_signal
        assert other.state.name == "RUNNABLE"

    def test_sleeper_is_woken(self, machine: Machine, task: Task) -> None:
        handle(task, 10)
        machine.sleep(task)
        send_signal(machine.kernel, task, SigInfo(10, SI_USER))
        assert task.state.name == "RUNNABLE"

    def test_fatal_signal_ends_all_threads_at_once(self, machine: Machine, task: Task) -> None:
        other = machine.thread(task, 11)
        machine.sleep(other)
        send_group_signal(machine.kernel, task.group, SigInfo(15, SI_USER))
        assert task.group.flags == SIGNAL_GROUP_EXIT
        assert task.group.exit_code == 15
        assert has_fatal_signal(task)
        assert has_fatal_signal(other)
        assert other.state.name == "RUNNABLE"

    def test_kill_wakes_a_stopped_thread(self, machine: Machine, task: Task) -> None:
        send_group_signal(machine.kernel, task.group, SigInfo(19, SI_USER))
        machine.resume(task)
        assert task.state.name == "STOPPED"
        send_group_signal(machine.kernel, task.group, SigInfo(15, SI_USER))
        assert task.state.name == "STOPPED"
        assert task.group.flags == SIGNAL_STOP_STOPPED
        send_group_signal(machine.kernel, task.group, SigInfo(9, SI_USER))
        assert task.group.flags == SIGNAL_GROUP_EXIT
        assert task.state.name == "RUNNABLE"

    def test_sigtimedwait_gets_what_it_blocks(self, machine: Machine, task: Task) -> None:
        set_blocked(task, mask_of(17))
        frame = CallFrame(128, ())
        frame.progress = mask_of(17)
        task.frame = frame
        machine.sleep(task)
        send_group_signal(machine.kernel, task.group, SigInfo(17, SI_USER))
        assert task.state.name == "RUNNABLE"
        assert not task.has_pending_signal
        assert task.group.shared_pending.holds(17)


class TestForced:
    def test_blocked_fault_resets_the_handler(self, machine: Machine, task: Task) -> None:
        handle(task, 11)
        set_blocked(task, mask_of(11, 12))
        force_signal(machine.kernel, task, SigInfo(11, 1))
        assert task.group.handlers.actions[11].handler == 0
        assert task.blocked == mask_of(12)
        assert task.has_pending_signal

    def test_ignored_fault_resets_the_handler(self, machine: Machine, task: Task) -> None:
        task.group.handlers.actions[11] = SignalAction(1)
        force_signal(machine.kernel, task, SigInfo(11, 1))
        assert task.group.handlers.actions[11].handler == 0

    def test_handler_stays_otherwise(self, machine: Machine, task: Task) -> None:
        handle(task, 11)
        force_signal(machine.kernel, task, SigInfo(11, 1))
        assert task.group.handlers.actions[11] == HANDLER


class TestLimit:
    def test_real_time_signal_over_the_limit_fails(self, machine: Machine, task: Task) -> None:
        handle(task, 40, 41, 10)
        task.group.limits.soft[RLIMIT_SIGPENDING] = 2
        results = [send_signal(machine.kernel, task, SigInfo(40, SI_QUEUE)) for _ in range(3)]
        assert results == [True, True, False]
        with pytest.raises(EAGAIN):
            signal_process(machine.init, task, SigInfo(40, SI_QUEUE))
        # kill(2) never fails so: a real-time signal loses its info, a standard one has a place of its own.
        assert send_signal(machine.kernel, task, SigInfo(41, SI_USER))
        assert task.pending.holds(41)
        assert 41 not in task.pending.queues
        assert send_signal(machine.kernel, task, SigInfo(10, SI_USER))
        assert 10 in task.pending.queues

    def test_user_is_charged_once_for_each(self, machine: Machine, task: Task) -> None:
        handle(task, 40)
        mine = task.credentials
        for _ in range(2):
            send_signal(machine.kernel, task, SigInfo(40, SI_QUEUE))
        assert mine.count_of(RLIMIT_SIGPENDING) == 2
        task.pending.clear()
        assert mine.count_of(RLIMIT_SIGPENDING) == 0


class TestPermission:
    def test_by_user_ids(self, machine: Machine) -> None:
        root = machine.credentials
        sender = machine.process(20, credentials=root.for_user(1000, 1000))
        same = machine.process(21, credentials=root.for_user(1000, 1000))
        other = machine.process(22, credentials=root.for_user(1001, 1001))
        set_user_id = machine.process(23, credentials=root.for_user(1000, 1000).replace(euid=0, suid=0))
        info = sender_info(sender, 0, SI_USER)
        signal_process(sender, same, info)
        signal_process(sender, set_user_id, info)
        with pytest.raises(EPERM):
            signal_process(sender, other, info)
        sender.credentials = sender.credentials.replace(cap_effective=1 << CAP_KILL)
        signal_process(sender, other, info)
        sender.credentials = sender.credentials.replace(cap_effective=CAP_FULL_SET & ~(1 << CAP_KILL))
        with pytest.raises(EPERM):
            signal_process(sender, other, info)

    def test_continue_within_the_session(self, machine: Machine) -> None:
        root = machine.credentials
        sender = machine.process(20, credentials=root.for_user(1000, 1000))
        job = machine.process(21, parent=sender, credentials=root.for_user(1001, 1001))
        signal_process(sender, job, sender_info(sender, 18, SI_USER))
        with pytest.raises(EPERM):
            signal_process(sender, job, sender_info(sender, 15, SI_USER))

    def test_numbers_and_threads(self, machine: Machine, task: Task) -> None:
        with pytest.raises(EINVAL):
            signal_process(machine.init, task, sender_info(machine.init, 65, SI_USER))
        with pytest.raises(ESRCH):
            signal_thread_by_id(machine.init, 9, 10, sender_info(machine.init, 0, SI_USER))
        with pytest.raises(ESRCH):
            signal_thread_by_id(machine.init, 0, 99, sender_info(machine.init, 0, SI_USER))
        signal_thread_by_id(machine.init, 10, 10, sender_info(machine.init, 0, SI_USER))

    def test_everybody(self, machine: Machine) -> None:
        root = machine.credentials
        sender = machine.process(20, credentials=root.for_user(1000, 1000))
        same = machine.process(21, credentials=root.for_user(1000, 1000))
        other = machine.process(22, credentials=root.for_user(1001, 1001))
        signal_everybody(sender, sender_info(sender, 15, SI_USER))
        assert same.group.is_exiting
        assert not other.group.is_exiting
        assert not sender.group.is_exiting
        assert not machine.init.group.is_exiting

    def test_nobody(self, machine: Machine) -> None:
        with pytest.raises(ESRCH):
            signal_everybody(machine.init, sender_info(machine.init, 15, SI_USER))
