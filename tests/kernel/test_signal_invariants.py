"""Checks after any sequence of sends, masks and deliveries that nobody sleeps over a signal for him."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.signals import SignalCode
from procession.kernel.rlimit import RLIMIT_SIGPENDING
from procession.kernel.signal.generation import send_group_signal, send_signal
from procession.kernel.signal.handlers import SignalAction
from procession.kernel.signal.info import SI_USER, SigInfo
from procession.kernel.signal.mask import set_blocked
from procession.kernel.signal.set import UNBLOCKABLE, mask_of
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.task import SIGNAL_STOP_STOPPED, Task
from procession.kernel.task_state import TaskState
from procession.syscalls.signal import rt_sigreturn
from tests.kernel.signal_fakes import Machine
from tests.of_a_kind import examples

HANDLER = SignalAction(0x401000, 0x04000000, 0x402000, 0)
# No deadly one among them, so that the process lives on.
SIGNALS = st.sampled_from([1, 2, 10, 12, 18, 19, 20, 34, 40])
HANDLED = (1, 2, 10, 12, 34, 40)
THREADS = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("to process"), SIGNALS),
    st.tuples(st.just("to thread"), SIGNALS, THREADS),
    st.tuples(st.just("block"), st.sets(SIGNALS).map(lambda signals: mask_of(*signals)), THREADS),
    st.tuples(st.just("unblock"), st.just(0), THREADS),
    st.tuples(st.just("sleep"), st.just(0), THREADS),
    st.tuples(st.just("run"), st.just(0), THREADS),
    st.tuples(st.just("return"), st.just(0), THREADS),
)

SI_QUEUE = int(SignalCode.SI_QUEUE)


def is_awake(task: Task) -> bool:
    return task.state in (TaskState.RUNNING, TaskState.RUNNABLE)


def check(machine: Machine, threads: list[Task]) -> None:
    group = threads[0].group
    shared = group.shared_pending.mask
    for task in threads:
        assert not task.blocked & UNBLOCKABLE
        if task.pending.mask & ~task.blocked:
            assert task.has_pending_signal
        if task.has_pending_signal and task.state is not TaskState.STOPPED:
            assert is_awake(task)
        assert not has_fatal_signal(task)
    ready = [task for task in threads if task.state is not TaskState.STOPPED]
    for bit in (1 << number for number in range(64)):
        takers = [task for task in ready if not task.blocked & bit]
        if shared & bit and takers:
            assert any(task.has_pending_signal for task in takers)
    pendings = [group.shared_pending, *(task.pending for task in threads)]
    queued = [info for pending in pendings for queue in pending.queues.values() for info in queue]
    assert threads[0].credentials.count_of(RLIMIT_SIGPENDING) == len(queued)
    for pending in pendings:
        for signo, queue in pending.queues.items():
            assert queue
            assert pending.holds(signo)
            assert signo >= 32 or len(queue) == 1
    if group.flags & SIGNAL_STOP_STOPPED:
        assert group.stop_count == 0


@settings(max_examples=examples(150))
@given(st.lists(STEPS, min_size=20, max_size=60))
def test_nothing_is_slept_over(steps: list[tuple[str, int] | tuple[str, int, int]]) -> None:
    machine = Machine()
    main = machine.process(10, machine.init)
    threads = [main, machine.thread(main, 11), machine.thread(main, 12)]
    depth = [0, 0, 0]
    for signo in HANDLED:
        main.group.handlers.actions[signo] = HANDLER
    for step in steps:
        kind, value = step[0], step[1]
        index = step[2] if len(step) == 3 else 0
        task = threads[index]
        if kind == "to process":
            send_group_signal(machine.kernel, main.group, SigInfo(value, SI_USER))
        elif kind == "to thread":
            send_signal(machine.kernel, task, SigInfo(value, SI_QUEUE))
        elif kind in ("block", "unblock"):
            # Only a thread that runs can change its mask.
            if task.state is TaskState.RUNNING:
                set_blocked(task, value)
        elif kind == "sleep":
            if task.state is TaskState.RUNNING and not task.has_pending_signal:
                machine.sleep(task)
        elif kind == "run":
            before = task.registers.general[4]
            machine.resume(task)
            depth[index] += task.registers.general[4] != before
        elif depth[index] and task.state is TaskState.RUNNING and not task.has_pending_signal:
            task.registers.general[4] += 8
            rt_sigreturn(task)
            depth[index] = 0
        check(machine, threads)
        if value == 18 and kind.startswith("to"):
            assert all(task.state is not TaskState.STOPPED for task in threads)
