"""What the scheduler keeps of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from procession.kernel.cgroup.cpu import CpuShare

EVERY_PROCESSOR: Final = -1
"""A mask of processors that leaves out none."""
ROUND_ROBIN_SLICE_NS: Final = 100_000_000
"""kernel.sched_rr_timeslice_ms."""
BASE_SLICE_NS: Final = 3_000_000
"""How long a fair task runs while others wait. Linux's slices are shorter, but end with a tick."""


class SchedulingEntity:
    """What the scheduler keeps of a task (Linux: include/linux/sched.h, struct sched_entity,
    sched_rt_entity, sched_dl_entity).

    It may be on the processors of the mask `allowed`: those that it asked for, `wanted`, as far as its
    control group has them.

    `virtual_runtime_ns` is the time that it ran, divided by its weight. `ticket` is its place in a queue, 0
    when it's in none: an entry with another ticket is void. `moved_ns` is when it came to its processor from
    another, `move_count` how often it has. It was let run `run_count` times, last at `run_since_ns`, and
    waited for that `waited_ns` in all, the last time from `waits_since_ns` on. `parked_in` is the share of a
    control group that is used up, for which it waits runnable and in no queue. `inherited_priority` is the
    highest real-time priority of those who wait for a lock of the task, 0 for none. `slice_ns` is how long a
    turn of it is among fair tasks if it has asked (sched_setattr(2)), else 0, `slice_left_ns` what is left
    of one of SCHED_RR, `realtime_ns` how long it has run by a real-time policy since it last slept
    (RLIMIT_RTTIME). `told_nice` is the nice value that came with SCHED_IDLE, which is told and isn't the
    task's, None for none.
    The rest is SCHED_DEADLINE's: what it asked for, what is left of it, and until when.
    """

    __slots__ = (
        "allowed",
        "budget_left_ns",
        "deadline_flags",
        "deadline_ns",
        "inherited_priority",
        "is_throttled",
        "move_count",
        "moved_ns",
        "parked_in",
        "period_ns",
        "processor",
        "realtime_ns",
        "relative_deadline_ns",
        "run_count",
        "run_since_ns",
        "runtime_ns",
        "slice_left_ns",
        "slice_ns",
        "ticket",
        "told_nice",
        "virtual_runtime_ns",
        "waited_ns",
        "waits_since_ns",
        "wanted",
    )

    def __init__(self) -> None:
        self.processor = 0
        self.deadline_flags = 0
        self.allowed = self.wanted = EVERY_PROCESSOR
        self.moved_ns = 0
        self.move_count = 0
        self.run_count = 0
        self.run_since_ns = 0
        self.waited_ns = 0
        self.waits_since_ns = 0
        self.virtual_runtime_ns = 0
        self.ticket = 0
        self.inherited_priority = 0
        self.slice_left_ns = ROUND_ROBIN_SLICE_NS
        self.slice_ns = 0
        self.realtime_ns = 0
        self.runtime_ns = 0
        self.relative_deadline_ns = 0
        self.period_ns = 0
        self.budget_left_ns = 0
        self.deadline_ns = 0
        self.is_throttled = False
        self.parked_in: CpuShare | None = None
        self.told_nice: int | None = None

    def copy_for_child(self) -> SchedulingEntity:
        """A new task's: it may run where its parent may."""
        twin = SchedulingEntity()
        twin.processor = self.processor
        twin.allowed = self.allowed
        twin.wanted = self.wanted
        twin.virtual_runtime_ns = self.virtual_runtime_ns
        twin.slice_ns = self.slice_ns
        return twin
