"""What sysctl(8) says of the scheduler: kernel.sched_rt_* and its kin."""

from __future__ import annotations

from procession.kernel.sched.entity import ROUND_ROBIN_SLICE_NS


class SchedulingRules:
    """Of each `realtime_period_ns` real-time tasks have `realtime_runtime_ns`, a negative one for all of it,
    where others wait; tasks of SCHED_RR take turns after `round_robin_ns`, `round_robin_ms` in whole ticks.
    Periods of reservations are from `shortest_period_ns` to `longest_period_ns`. With `groups_sessions`
    autogroups are heeded, of which `autogroup_count` have been made; who lacks rights may change one at
    `next_autogroup_change_ns`.
    """

    __slots__ = (
        "autogroup_count",
        "groups_sessions",
        "longest_period_ns",
        "next_autogroup_change_ns",
        "realtime_period_ns",
        "realtime_runtime_ns",
        "round_robin_ms",
        "round_robin_ns",
        "shortest_period_ns",
    )

    def __init__(self) -> None:
        self.realtime_period_ns, self.realtime_runtime_ns = 1_000_000_000, 950_000_000
        self.round_robin_ns = ROUND_ROBIN_SLICE_NS
        self.round_robin_ms = ROUND_ROBIN_SLICE_NS // 1_000_000
        self.shortest_period_ns, self.longest_period_ns = 100_000, (1 << 22) * 1000
        self.groups_sessions = False
        self.autogroup_count = self.next_autogroup_change_ns = 0

    @property
    def limits_realtime(self) -> bool:
        """Whether something is left for others."""
        return 0 <= self.realtime_runtime_ns < self.realtime_period_ns
