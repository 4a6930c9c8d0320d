"""Tests of futexes without a processor: who is woken, who owns a lock, and that nothing is left behind."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession import Machine
from procession.abi.errno import EAGAIN, EDEADLK, EINTR, EINVAL, EPERM, ESRCH, ETIMEDOUT, Errno
from procession.hardware.engines.scripted import Branch, Call, Step, Work
from procession.hardware.physical_memory import PAGE_SIZE
from procession.inspection.steering import has_ended
from procession.kernel.futex.pi import PiWaiter
from procession.kernel.futex.queue import FutexWaiter, futex_key
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from procession.mm.vma import PROT_READ, PROT_WRITE, SharedAnonymous, VirtualMemoryArea
from tests.of_a_kind import examples

CLONE, EXIT, EXIT_GROUP, YIELD, NANOSLEEP, TGKILL, FUTEX = 56, 60, 231, 24, 35, 234, 202
GETPID, GETPPID, SCHED_SETSCHEDULER, SCHED_FIFO = 39, 110, 144, 1
THREAD = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000
WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, LOCK_PI, UNLOCK_PI, TRYLOCK_PI = 0, 1, 3, 4, 5, 6, 7, 8
WAIT_BITSET, WAKE_BITSET, WAIT_REQUEUE_PI, CMP_REQUEUE_PI, LOCK_PI2 = 9, 10, 11, 12, 13
PRIVATE = 0x80
WORDS = ("@0x100", "@0x104", "@0x108")
NOTHING = 0
FOREVER = 0

SOON = "@0x200"
"""A timespec of one millisecond."""
LATER = "@0x210"
"""One of ten."""


def wait(word: str, timeout: str | int = FOREVER, value: int = 0) -> Call:
    return Call(FUTEX, word, WAIT | PRIVATE, value, timeout, NOTHING, NOTHING)


def wake(word: str, count: int = 1) -> Call:
    return Call(FUTEX, word, WAKE | PRIVATE, count, NOTHING, NOTHING, NOTHING)


def pause(timeout: str = SOON) -> Call:
    return Call(NANOSLEEP, timeout, NOTHING)


class Recorder:
    """Remembers what each system call returned to whom, and looks at the table after each."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.results: list[tuple[int, str, tuple[Any, ...], int]] = []

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """A call begins."""

    def system_call_returned(self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: Any) -> None:
        result = -outcome.number if isinstance(outcome, Errno) else outcome or 0
        self.results.append((task.tid, call.name, arguments, result))
        check_table(self.machine)

    def unknown_call(self, task: Task, number: int) -> None:
        raise AssertionError(f"there is no call {number}")

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """Something else has happened."""

    def futex_results(self, command: int) -> list[int]:
        """What the futex calls with `command` returned, in order."""
        return [
            result
            for _, name, arguments, result in self.results
            if name == "futex" and arguments[1] & ~PRIVATE == command
        ]


def check_table(machine: Machine) -> None:
    """Whoever is in the table waits there; whoever has a lock that others wait for lives."""
    table = machine.kernel.futexes
    for key, waiters in table.waiters.items():
        assert waiters
        assert [waiter.priority for waiter in waiters] == sorted(waiter.priority for waiter in waiters)
        for waiter in waiters:
            assert waiter.key == key
            assert not waiter.is_woken
            assert waiter.task.frame is not None or waiter.task.state is TaskState.RUNNING
            assert waiter.task.state < TaskState.ZOMBIE
    for key, state in table.locks.items():
        assert state.key == key
        assert not state.owner.is_exiting
        assert any(isinstance(w, PiWaiter) and w.state is state for w in table.waiters[key])


def machine_with(*threads: list[Step], seed: int = 0) -> tuple[Machine, Recorder]:
    """A machine that runs one process with these threads; the first one is the leader."""
    script: list[Step] = []
    for number in range(1, len(threads)):
        script += [Call(CLONE, THREAD, 0, 0, 0, 0), Branch(lambda result: result == 0, f"thread {number}")]
    script += [*threads[0], Call(EXIT, 0)]
    for number, steps in enumerate(threads[1:], 1):
        script += [f"thread {number}", *steps, Call(EXIT, 0)]
    machine = Machine(engine="scripted", seed=seed)
    task = machine.start_script(script)
    scratch = int.from_bytes(b"\x10\0\0", "big")
    for offset, priority in ((0x220, 10), (0x224, 20)):
        task.mm.write(scratch + offset, priority.to_bytes(4, "little"))
    for offset, nanoseconds in ((0x200, 1_000_000), (0x210, 10_000_000)):
        task.mm.write(scratch + offset, bytes(8) + nanoseconds.to_bytes(8, "little"))
    recorder = Recorder(machine)
    machine.on_system_call = recorder
    return machine, recorder


def run(*threads: list[Step], seed: int = 0) -> Recorder:
    """Run the threads to their end; nothing of a futex may be left then."""
    machine, recorder = machine_with(*threads, seed=seed)
    task = machine.command
    assert task is not None
    assert machine.run_until(lambda _: has_ended(task.group))
    assert not machine.kernel.futexes.waiters
    assert not machine.kernel.futexes.locks
    return recorder


def waiters(number: int) -> list[list[Step]]:
    """Threads that do nothing but wait."""
    return [[wait(WORDS[0])] for _ in range(number)]


def test_waiters_are_woken_in_their_order() -> None:
    recorder = run(
        [pause(), wake(WORDS[0]), pause(), wake(WORDS[0], 5)],
        *waiters(3),
    )
    assert recorder.futex_results(WAKE) == [1, 2]
    waited = [tid for tid, name, arguments, _ in recorder.results if name == "futex" and arguments[1] == 0x80]
    # Who of two that are woken at once runs first is open.
    assert len(waited) == 3
    assert waited[0] == min(waited)


def test_a_wait_for_another_value_fails_and_one_without_a_wake_times_out() -> None:
    recorder = run([wait(WORDS[0], value=1), wait(WORDS[0], SOON)])
    assert recorder.futex_results(WAIT) == [-EAGAIN.number, -ETIMEDOUT.number]


def test_a_wake_beats_the_deadline_that_comes_at_the_same_time() -> None:
    machine, recorder = machine_with([wait(WORDS[0], SOON)])
    while not machine.kernel.futexes.waiters:
        machine.step()
    (waiter,) = next(iter(machine.kernel.futexes.waiters.values()))
    deadline_ns = machine.kernel.timers.next_deadline_ns()
    assert deadline_ns is not None
    machine.kernel.clock.jump_to(deadline_ns)
    machine.kernel.timers.run_due()
    waiter.wake()
    machine.run_until(lambda running: bool(recorder.futex_results(WAIT)))
    assert recorder.futex_results(WAIT) == [0]


def test_requeued_waiters_wait_elsewhere() -> None:
    recorder = run(
        [
            pause(),
            Call(FUTEX, WORDS[0], REQUEUE | PRIVATE, 1, 1, WORDS[1], 0),
            wake(WORDS[0], 9),
            wake(WORDS[1], 9),
        ],
        *waiters(3),
    )
    assert recorder.futex_results(REQUEUE) == [2]
    assert recorder.futex_results(WAKE) == [1, 1]


def lock(command: int, word: str = WORDS[0], timeout: str | int = FOREVER) -> Call:
    return Call(FUTEX, word, command | PRIVATE, 0, timeout, NOTHING, NOTHING)


def test_a_lock_goes_from_hand_to_hand() -> None:
    worker: list[Step] = [pause(), lock(LOCK_PI), lock(UNLOCK_PI)]
    recorder = run([lock(LOCK_PI), pause(LATER), lock(TRYLOCK_PI), lock(UNLOCK_PI)], worker, worker, worker)
    assert recorder.futex_results(LOCK_PI) == [0] * 4
    assert recorder.futex_results(UNLOCK_PI) == [0] * 4
    assert recorder.futex_results(TRYLOCK_PI) == [-EDEADLK.number]


def test_an_owner_that_ends_leaves_its_lock_to_the_next() -> None:
    recorder = run([lock(LOCK_PI), pause(LATER)], [pause(), lock(LOCK_PI)], [pause(), lock(LOCK_PI)])
    assert recorder.futex_results(LOCK_PI) == [0] * 3


def test_threads_that_wait_for_each_other_are_told() -> None:
    recorder = run(
        [lock(LOCK_PI, WORDS[0]), pause(), lock(LOCK_PI, WORDS[1]), lock(UNLOCK_PI, WORDS[0])],
        [lock(LOCK_PI, WORDS[1]), pause(), lock(LOCK_PI, WORDS[0]), lock(UNLOCK_PI, WORDS[1])],
    )
    assert sorted(recorder.futex_results(LOCK_PI)) == [-EDEADLK.number, 0, 0, 0]


@pytest.mark.parametrize("kind", ["inheriting", "plain"])
def test_a_thread_of_middle_priority_cannot_keep_a_high_one_from_a_lock(kind: str) -> None:
    is_inheriting = kind == "inheriting"
    get, give = (lock(LOCK_PI), lock(UNLOCK_PI)) if is_inheriting else (wait(WORDS[0]), wake(WORDS[0]))
    first = [get] if is_inheriting else []
    recorder = run(
        [*first, pause(), Work(250_000), give],
        [Call(SCHED_SETSCHEDULER, 0, SCHED_FIFO, "@0x220"), pause(), Work(10_000_000), Call(GETPPID)],
        [Call(SCHED_SETSCHEDULER, 0, SCHED_FIFO, "@0x224"), pause(), get, Call(GETPID)],
    )
    order = [name for _, name, _, _ in recorder.results if name in ("getpid", "getppid")]
    assert order == (["getpid", "getppid"] if is_inheriting else ["getppid", "getpid"])


def test_a_killed_process_leaves_nothing() -> None:
    recorder = run(
        [lock(LOCK_PI, WORDS[2]), pause(), Call(EXIT_GROUP, 3)],
        [wait(WORDS[0])],
        [wait(WORDS[1], LATER)],
        [lock(LOCK_PI, WORDS[2])],
        [Call(FUTEX, WORDS[0], WAIT_REQUEUE_PI | PRIVATE, 0, 0, WORDS[2], 0)],
    )
    assert 0 not in recorder.futex_results(WAIT)


def test_keys() -> None:
    machine, _ = machine_with([pause()])
    task = machine.command
    assert task is not None
    pages = SharedAnonymous(machine.memory, 8)
    for start in (0x200_0000, 0x300_0000):
        task.mm.map(
            VirtualMemoryArea(
                start,
                start + 2 * PAGE_SIZE,
                PROT_READ | PROT_WRITE,
                is_shared=True,
                pages=pages,
                page_offset=5,
            )
        )
    shared = futex_key(task, 0x200_1008, is_private=False)
    assert shared == (pages, 6 * PAGE_SIZE + 8, False)
    assert futex_key(task, 0x300_1008, is_private=False) == shared
    assert futex_key(task, 0x200_1008, is_private=True) == (task.mm, 0x200_1008, True)
    assert futex_key(task, 0x10_0000, is_private=False) == (task.mm, 0x10_0000, False)
    with pytest.raises(EINVAL):
        futex_key(task, 0x10_0002, is_private=True)


word = st.sampled_from(WORDS)
timeout = st.sampled_from([SOON, LATER])
count = st.integers(0, 3)
plain_step = st.one_of(
    st.builds(wait, word, timeout),
    st.builds(wake, word, count),
    st.builds(pause),
    st.just(Call(YIELD)),
)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.lists(plain_step, max_size=8), min_size=1, max_size=5), st.integers(0, 9))
def test_as_many_are_woken_as_wakes_say(threads: list[list[Step]], seed: int) -> None:
    recorder = run(*threads, seed=seed)
    waits = Counter(recorder.futex_results(WAIT))
    assert waits[0] == sum(recorder.futex_results(WAKE))
    assert set(waits) <= {0, -ETIMEDOUT.number}


def futex_step(
    command: int, first: str, second: str, value: int, second_value: int, timeout: str, last: int
) -> Call:
    timed = command in (WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2)
    return Call(FUTEX, first, command | PRIVATE, value, timeout if timed else second_value, second, last)


any_step = st.one_of(
    plain_step,
    st.builds(
        futex_step,
        st.integers(0, 13).filter(lambda command: command != 2),
        word,
        word,
        count,
        count,
        timeout,
        st.sampled_from([0, 1, 2, 3, 0x1000_0001, 0x4100_2000]),
    ),
    st.builds(lock, st.sampled_from([LOCK_PI, UNLOCK_PI, TRYLOCK_PI]), word, timeout),
    st.builds(
        lambda thread, signal: Call(TGKILL, 2, thread, signal), st.integers(2, 6), st.sampled_from([18, 28])
    ),
    st.just(Call(EXIT, 0)),
)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.lists(any_step, max_size=10), min_size=1, max_size=5), st.integers(0, 9))
def test_nothing_is_left_of_any_calls(threads: list[list[Step]], seed: int) -> None:
    recorder = run(*threads, seed=seed)
    allowed = {EAGAIN, EDEADLK, EINTR, EINVAL, EPERM, ESRCH, ETIMEDOUT}
    numbers = {-error.number for error in allowed} | {-38, -512, -513, -516}
    for _, name, arguments, result in recorder.results:
        if name == "futex":
            assert result >= 0 or result in numbers, (arguments, result)


def test_the_table_is_part_of_the_state() -> None:
    hashes = []
    for _ in range(2):
        machine, _ = machine_with(
            [pause()], [wait(WORDS[0], LATER)], [lock(LOCK_PI)], [pause(), lock(LOCK_PI)]
        )
        while not machine.kernel.futexes.waiters:
            machine.step()
        assert isinstance(next(iter(machine.kernel.futexes.waiters.values()))[0], FutexWaiter)
        machine.on_system_call = None
        hashes.append(machine.state_hash())
    assert hashes[0] == hashes[1]
