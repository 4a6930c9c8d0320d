"""The cpu controller: what share of the processors a control group gets, and how much at the most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.sched.run_queue import CLASS_FAIR, IDLE_WEIGHT, class_of, competes, weight_of
from procession.kernel.task import NEED_RESCHED
from procession.kernel.task_state import TaskState
from procession.kernel.time.queue import TIMER_ACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, Timer

DEFAULT_WEIGHT = 1024
DEFAULT_PERIOD_NS = 100_000_000


class CpuShare:
    """A group's part of the processors.

    Linux: kernel/sched/sched.h, struct task_group, struct cfs_bandwidth.

    `weight` is as a task's of nice 0 counts 1024; an idle group has the least of all. With a `quota_ns` its
    fair tasks run so long in each period, on all processors together, and up to `burst_ns` more that they
    haven't used before. `left_ns` is what is left of that, a debt if it's negative. When it's used up the
    group is throttled: its tasks are `parked`, runnable but in no queue, until the next period.

    A period begins when the group first runs; `timer` ends it, and there is none while the group is idle.
    """

    __slots__ = (
        "burst_ns",
        "burst_time_ns",
        "bursts",
        "group",
        "has_run",
        "is_idle",
        "is_throttled",
        "kernel",
        "left_ns",
        "parent",
        "parked",
        "period_ns",
        "periods",
        "quota_ns",
        "throttled_at_ns",
        "throttled_ns",
        "throttled_periods",
        "timer",
        "top_ns",
        "weight",
    )

    def __init__(self, kernel: Kernel, group: Cgroup, parent: CpuShare | None) -> None:
        self.kernel = kernel
        self.group = group
        self.parent = parent
        self.weight = DEFAULT_WEIGHT
        self.is_idle = False
        self.quota_ns: int | None = None
        self.period_ns = DEFAULT_PERIOD_NS
        self.burst_ns = 0
        self.left_ns = self.top_ns = 0
        self.timer: Timer | None = None
        self.has_run = False
        self.is_throttled = False
        self.parked: dict[Task, None] = {}
        self.periods = 0
        self.throttled_periods = 0
        self.throttled_ns = 0
        self.throttled_at_ns = 0
        self.bursts = 0
        self.burst_time_ns = 0

    def chain(self) -> Iterator[CpuShare]:
        """This and those of the groups above."""
        share: CpuShare | None = self
        while share is not None:
            yield share
            share = share.parent

    # Weights

    @property
    def effective_weight(self) -> int:
        """What it counts beside other groups and tasks."""
        return IDLE_WEIGHT if self.is_idle else self.weight

    def load(self) -> int:
        """The weight of all that runs or waits to run in it: its own tasks, and groups below as wholes.

        In Linux, the load of the group's run queues.
        """
        own = 0
        below: dict[CpuShare, None] = {}
        for group in self.group.subtree():
            share = group.cpu
            if share is self:
                own += sum(weight_of(task) for task in group.tasks if competes(task))
            elif share is not None and any(map(competes, group.tasks)):
                while share.parent is not self:
                    assert share.parent is not None
                    share = share.parent
                below[share] = None
        return own + sum(share.effective_weight for share in below)

    # Bandwidth. Linux: kernel/sched/fair.c

    def limit(self, quota_ns: int | None, period_ns: int, burst_ns: int) -> None:
        """Let it have so much of each period, from now on; None for all.

        Linux: kernel/sched/core.c, tg_set_cfs_bandwidth.
        """
        self.quota_ns = quota_ns
        self.period_ns = period_ns
        self.burst_ns = burst_ns
        self._cancel()
        self._refill(starts=True)
        if self.is_throttled:
            self._unthrottle()

    def spend(self, work_ns: int) -> None:
        """Its tasks have run for `work_ns`. Linux: kernel/sched/fair.c, account_cfs_rq_runtime."""
        if self.quota_ns is None:
            return
        if self.timer is None:
            self._refill(starts=True)
            self._arm()
        self.has_run = True
        self.left_ns -= work_ns
        if self.left_ns <= 0 and not self.is_throttled:
            self._throttle()

    def _arm(self) -> None:
        self.timer = self.kernel.timers.add(self.kernel.clock.now_ns + self.period_ns, "bandwidth", self)

    def _cancel(self) -> None:
        if self.timer is not None:
            self.kernel.timers.cancel(self.timer)
            self.timer = None

    def _refill(self, *, starts: bool = False) -> None:
        """Linux: kernel/sched/fair.c, __refill_cfs_bandwidth_runtime."""
        quota_ns = self.quota_ns
        if quota_ns is None:
            return
        if starts:
            self.left_ns = self.top_ns = quota_ns
            return
        extra_ns = self.top_ns - quota_ns - self.left_ns
        if self.burst_ns and extra_ns > 0:
            self.burst_time_ns += extra_ns
            self.bursts += 1
        self.left_ns = self.top_ns = min(self.left_ns + quota_ns, quota_ns + self.burst_ns)

    def end_period(self) -> None:
        """Linux: kernel/sched/fair.c, do_sched_cfs_period_timer."""
        self.timer = None
        self.periods += 1
        if self.is_throttled:
            self.throttled_periods += 1
        elif not self.has_run:
            # Nobody has run: the next period begins when somebody does.
            return
        self.has_run = False
        self._refill()
        self._arm()
        if self.is_throttled and self.left_ns > 0:
            self._unthrottle()

    def _throttle(self) -> None:
        """Linux: kernel/sched/fair.c, throttle_cfs_rq."""
        self.is_throttled = True
        self.throttled_at_ns = self.kernel.clock.now_ns
        processors = self.kernel.scheduler.processors
        for group in self.group.subtree():
            for task in group.tasks:
                if task.state is TaskState.RUNNING:
                    task.work |= NEED_RESCHED
                elif task.entity.ticket and class_of(task) == CLASS_FAIR:
                    processors[task.entity.processor].remove(task)
                    self.park(task)

    def _unthrottle(self) -> None:
        """Linux: kernel/sched/fair.c, unthrottle_cfs_rq."""
        self.is_throttled = False
        self.throttled_ns += self.kernel.clock.now_ns - self.throttled_at_ns
        parked, self.parked = self.parked, {}
        for task in parked:
            task.entity.parked_in = None
            self.kernel.scheduler.requeue(task)

    def park(self, task: Task) -> None:
        """`task` waits for the end of the period."""
        self.parked[task] = None
        task.entity.parked_in = self

    def stop(self) -> None:
        """The group is gone, or has no share of its own any more."""
        self.quota_ns = None
        self._cancel()
        if self.is_throttled:
            self._unthrottle()

    # What the scheduler asks, of the share that a task is in

    def runtime_ns(self, task: Task, work_ns: int) -> int:
        """By how much the virtual runtime of `task`, of this group, grows while it runs for `work_ns`.

        As if it were alone, with the part of the group's weight that its own weight is of all in the group;
        so up the hierarchy. (In Linux each group is queued as one: the shares come out the same.)
        """
        share_ns, weight = work_ns * DEFAULT_WEIGHT, weight_of(task)
        for share in self.chain():
            share_ns *= max(share.load(), 1)
            weight *= share.effective_weight
        return share_ns // weight

    def spend_all(self, work_ns: int) -> None:
        """A fair task of this group has run for `work_ns`, here and in the groups above."""
        for share in self.chain():
            share.spend(work_ns)

    def parks(self, task: Task) -> bool:
        """Whether `task`, which is about to wait for a processor, has to wait for a period's end instead."""
        if class_of(task) == CLASS_FAIR:
            for share in self.chain():
                if share.is_throttled:
                    share.park(task)
                    return True
        return False

    def is_used_up_for(self, task: Task) -> bool:
        """Whether the running `task` must stop, as there is nothing left for it in this period."""
        return class_of(task) == CLASS_FAIR and any(share.is_throttled for share in self.chain())

    def slice_left_ns(self) -> int | None:
        """How long a task of the group can run until a quota is used up; None if there is none."""
        left = [
            share.quota_ns if share.timer is None else share.left_ns
            for share in self.chain()
            if share.quota_ns is not None
        ]
        return max(min(left), 1) if left else None

    @property
    def total_throttled_ns(self) -> int:
        """How long it has been throttled, up to now."""
        now_ns = self.kernel.clock.now_ns
        return self.throttled_ns + (now_ns - self.throttled_at_ns if self.is_throttled else 0)


def _end_period(kernel: Kernel, timer: Timer) -> None:
    share: CpuShare = timer.target
    share.end_period()


TIMER_ACTIONS["bandwidth"] = _end_period
