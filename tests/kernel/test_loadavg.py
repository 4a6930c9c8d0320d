"""Load averages: how they rise and fall on the virtual clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from procession import Machine
from procession.kernel.sched.loadavg import ONE, SAMPLE_NS, LoadAverages, power
from procession.kernel.task_state import TaskState
from procession.kernel.time.clock import BOOT_NS


def kernel_with(*states: TaskState) -> Any:
    """A kernel whose tasks are in these states."""
    return SimpleNamespace(tasks=[SimpleNamespace(state=state) for state in states])


BUSY = kernel_with(TaskState.RUNNING, TaskState.INTERRUPTIBLE)
IDLE = kernel_with(TaskState.INTERRUPTIBLE, TaskState.STOPPED, TaskState.ZOMBIE)


def loads_after(kernel: Any, samples: int) -> list[float]:
    """The averages when `kernel` has been like this for so many samples."""
    load = LoadAverages()
    for count in range(samples):
        load.catch_up(kernel, BOOT_NS + (count + 1) * SAMPLE_NS)
    return [round(average / ONE, 2) for average in load.averages]


def test_one_running_task() -> None:
    # What Linux shows for a spinning task: 1 - 1/e after the time of the average.
    assert loads_after(BUSY, 12)[0] == pytest.approx(0.63, abs=0.03)
    assert loads_after(BUSY, 60)[1] == pytest.approx(0.63, abs=0.03)
    assert loads_after(BUSY, 180)[2] == pytest.approx(0.63, abs=0.03)
    assert loads_after(BUSY, 1000)[0] == 1.0


def test_who_counts() -> None:
    waiting = kernel_with(TaskState.RUNNABLE, TaskState.KILLABLE, TaskState.UNINTERRUPTIBLE)
    assert loads_after(waiting, 1000)[0] == 3.0
    assert loads_after(IDLE, 1000) == [0.0, 0.0, 0.0]


def test_nothing_happens_between_samples() -> None:
    load = LoadAverages()
    load.catch_up(BUSY, BOOT_NS + SAMPLE_NS - 1)
    assert load.averages == [0, 0, 0]
    load.catch_up(BUSY, BOOT_NS + SAMPLE_NS)
    once = load.averages
    load.catch_up(BUSY, BOOT_NS + 2 * SAMPLE_NS - 1)
    assert load.averages == once != [0, 0, 0]


def test_many_samples_at_once_are_about_the_same_as_one_by_one() -> None:
    slow, fast = LoadAverages(), LoadAverages()
    for load in (slow, fast):
        for count in range(100):
            load.catch_up(BUSY, BOOT_NS + (count + 1) * SAMPLE_NS)
    for count in range(100, 130):
        slow.catch_up(IDLE, BOOT_NS + (count + 1) * SAMPLE_NS)
    fast.catch_up(IDLE, BOOT_NS + 130 * SAMPLE_NS)
    assert fast.next_sample_ns == slow.next_sample_ns
    for one, other in zip(slow.averages, fast.averages, strict=True):
        assert one == pytest.approx(other, abs=40)
    fast.catch_up(IDLE, BOOT_NS + 10**9 * SAMPLE_NS)
    assert fast.averages == [0, 0, 0]


def test_fixed_point_powers() -> None:
    assert power(1884, 0) == ONE
    assert power(1884, 1) == 1884
    assert power(ONE, 1000) == ONE


def test_a_machine_that_sleeps_has_no_load() -> None:
    machine = Machine()
    try:
        result = machine.run(["/bin/sh", "-c", "sleep 3600; cat /proc/loadavg"])
    finally:
        machine.close()
    assert result.stdout.startswith(b"0.00 0.00 0.00 1/3 ")
    assert machine.kernel.load.next_sample_ns > 3600 * 10**9
