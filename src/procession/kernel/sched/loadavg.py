"""Load averages: how many tasks run or wait uninterruptibly, damped over 1, 5 and 15 minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.task_state import TaskState
from procession.kernel.time.clock import BOOT_NS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

LOAD_SHIFT = 11
"""The averages are in units of 1 / 2048 task (Linux: include/linux/sched/loadavg.h, FSHIFT)."""
ONE = 1 << LOAD_SHIFT
SAMPLE_NS = 5_004_000_000
"""Five seconds and a tick between samples (in Linux, LOAD_FREQ, with 250 ticks a second)."""
_DAMPING = (1884, 2014, 2037)
"""What stays of an average from one sample to the next: 1/exp(5 s/1 min), /5 min, /15 min, times ONE."""
_ACTIVE = (TaskState.RUNNING, TaskState.RUNNABLE, TaskState.UNINTERRUPTIBLE, TaskState.KILLABLE)


class LoadAverages:
    """The three averages, in units of 1 / ONE. They are right up to `next_sample_ns`."""

    __slots__ = ("averages", "next_sample_ns")

    def __init__(self) -> None:
        self.averages = [0, 0, 0]
        self.next_sample_ns = BOOT_NS + SAMPLE_NS

    def catch_up(self, kernel: Kernel, now_ns: int) -> None:
        """Take the samples that are due by now, all with the tasks that are active now.

        Linux: kernel/sched/loadavg.c, calc_global_load.
        """
        if now_ns < self.next_sample_ns:
            return
        count = (now_ns - self.next_sample_ns) // SAMPLE_NS + 1
        self.next_sample_ns += count * SAMPLE_NS
        active = ONE * sum(1 for task in kernel.tasks if task.state in _ACTIVE)
        self.averages = [
            damped(average, power(damping, count), active)
            for average, damping in zip(self.averages, _DAMPING, strict=True)
        ]


def damped(average: int, damping: int, active: int) -> int:
    """The average after a sample; rounded up if it grows. Linux: include/linux/sched/loadavg.h, calc_load."""
    total = average * damping + active * (ONE - damping)
    if active >= average:
        total += ONE - 1
    return total >> LOAD_SHIFT


def power(base: int, exponent: int) -> int:
    """`base` to the power of `exponent`, in fixed point. Linux: kernel/sched/loadavg.c, fixed_power_int."""
    result = ONE
    half = ONE >> 1
    while exponent:
        if exponent & 1:
            result = (result * base + half) >> LOAD_SHIFT
        exponent >>= 1
        base = (base * base + half) >> LOAD_SHIFT
    return result
