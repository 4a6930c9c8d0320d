"""The run queue of one virtual processor: who waits for it, in the order of the scheduling classes."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from procession.kernel.sched.entity import BASE_SLICE_NS
from procession.kernel.sched.priority import (
    LARGEST_REAL_TIME_PRIORITY,
    SCHED_BATCH,
    SCHED_DEADLINE,
    SCHED_FIFO,
    SCHED_IDLE,
    SCHED_NORMAL,
    SCHED_RR,
)
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.kernel.kernel import Kernel
    from procession.kernel.sched.rules import SchedulingRules
    from procession.kernel.task import Task
    from procession.kernel.time.clock import Clock

WAKEUP_GRANULARITY_NS: Final = 100_000
"""How much further the running task must be than one that wakes, to be preempted by it: Linux's switches are
cheap enough for nothing at all."""
MINIMUM_TURN_NS: Final = 10_000
"""What a task has of the processor before a timer takes it away, as long as a switch takes. Else sleepers
that wake as fast as tasks can be switched would keep all others from coming on: their turns would be switches
alone. Linux's are so cheap that a thousand sleepers don't."""
NEXT_TASK_WINDOW_NS: Final = WAKEUP_GRANULARITY_NS
"""Of fair tasks whose virtual runtimes are so close any may be next: what decides it on Linux is noise."""
NICE_0_WEIGHT: Final = 1024
IDLE_WEIGHT: Final = 3

WEIGHTS: Final = (
    *(88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916),
    *(9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991, 1586, 1277),
    *(1024, 820, 655, 526, 423, 335, 272, 215, 172, 137),
    *(110, 87, 70, 56, 45, 36, 29, 23, 18, 15),
)
"""By nice value + 20: each step is a tenth of the processor (sched_prio_to_weight)."""

_PROCESSOR_BITS: Final = 16
_ON_QUEUE: Final = (TaskState.RUNNABLE, TaskState.RUNNING)

CLASS_DEADLINE: Final = 2
CLASS_REALTIME: Final = 1
CLASS_FAIR: Final = 0


def class_of(task: Task) -> int:
    """The scheduling class of `task`: a higher one always goes first."""
    policy = task.policy
    if policy == SCHED_NORMAL:
        return CLASS_REALTIME if task.entity.inherited_priority else CLASS_FAIR
    if policy in (SCHED_FIFO, SCHED_RR):
        return CLASS_REALTIME
    if policy == SCHED_DEADLINE:
        return CLASS_DEADLINE
    return CLASS_REALTIME if task.entity.inherited_priority else CLASS_FAIR


def priority_of(task: Task) -> int:
    """The real-time priority of `task`, its own or what it inherits; 0 if it's neither.

    A task with a deadline stands above all of them.
    """
    if task.policy == SCHED_DEADLINE:
        return LARGEST_REAL_TIME_PRIORITY + 1
    return max(task.realtime_priority, task.entity.inherited_priority)


def weight_of(task: Task) -> int:
    """The share of a fair task, 1024 for nice 0."""
    return IDLE_WEIGHT if task.policy == SCHED_IDLE else WEIGHTS[task.nice + 20]


def competes(task: Task) -> bool:
    """Whether `task` is fair, and runs or waits to run without waiting for a period of a control group."""
    return task.state in _ON_QUEUE and task.entity.parked_in is None and class_of(task) == CLASS_FAIR


class RunQueue:
    """The runnable tasks of a virtual processor, without the one that runs (Linux: kernel/sched/sched.h,
    struct rq).

    Of several processors each has its turn on the one engine: whose turn it isn't has its running task wait
    here too. `work_ns` is how far this processor's work has come beside that of others, `balance_at_ns` when
    it next looks at their loads, `interrupt_count` how often its timer has interrupted it, `user_ns` and
    `system_ns` what it has spent in programs and in the kernel. `last` is who had
    the processor last, None once that one sleeps; `yielded` who has asked for others to go first.

    `fair` is a heap by virtual runtime, `realtime` holds a deque for each priority with bits in
    `realtime_mask`, `deadlines` is a heap by deadline. `count` says how many wait. `rules` are everybody's.
    """

    __slots__ = (
        "balance_at_ns",
        "count",
        "deadlines",
        "fair",
        "interrupt_count",
        "last",
        "minimum_runtime_ns",
        "number",
        "realtime",
        "realtime_mask",
        "realtime_period_ns",
        "realtime_used_ns",
        "rules",
        "system_ns",
        "tickets",
        "user_ns",
        "work_ns",
        "yielded",
    )

    def __init__(self, number: int, rules: SchedulingRules) -> None:
        self.number = number
        self.rules = rules
        self.count = 0
        self.last: Task | None = None
        self.fair: list[tuple[int, int, Task]] = []
        self.realtime: dict[int, deque[tuple[int, Task]]] = {}
        self.realtime_mask = 0
        self.deadlines: list[tuple[int, int, Task]] = []
        self.minimum_runtime_ns = 0
        self.realtime_period_ns = 0
        self.realtime_used_ns = 0
        self.tickets = number + 1
        self.work_ns = 0
        self.balance_at_ns = 0
        self.interrupt_count = 0
        self.user_ns = self.system_ns = 0
        self.yielded: Task | None = None

    def add(self, task: Task, *, has_slept: bool = False, at_head: bool = False) -> None:
        """Let `task` wait here. One that has slept doesn't keep all the credit that it gained by it."""
        entity = task.entity
        entity.processor = self.number
        # No two queues give the same ticket: a task may leave a void entry in one and wait in another.
        self.tickets = ticket = self.tickets + (1 << _PROCESSOR_BITS)
        entity.ticket = ticket
        self.count += 1
        # Most are fair: they needn't be asked.
        is_normal = task.policy == SCHED_NORMAL and not entity.inherited_priority
        kind = CLASS_FAIR if is_normal else class_of(task)
        if kind == CLASS_FAIR:
            runtime_ns = entity.virtual_runtime_ns
            if has_slept and runtime_ns < self.minimum_runtime_ns - BASE_SLICE_NS:
                entity.virtual_runtime_ns = runtime_ns = self.minimum_runtime_ns - BASE_SLICE_NS
            heappush(self.fair, (runtime_ns, ticket, task))
        elif kind == CLASS_REALTIME:
            priority = priority_of(task)
            queue = self.realtime.setdefault(priority, deque())
            if at_head:
                queue.appendleft((ticket, task))
            else:
                queue.append((ticket, task))
            self.realtime_mask |= 1 << priority
        else:
            heappush(self.deadlines, (entity.deadline_ns, ticket, task))

    def remove(self, task: Task) -> None:
        """Take `task` out, wherever it waits; what it leaves behind is void."""
        if task.entity.ticket:
            task.entity.ticket = 0
            self.count -= 1

    def best_class(self, now_ns: int) -> int:
        """The class of the task that `take` would give; -1 if there is none."""
        if not self.deadlines and not self.realtime_mask:
            return CLASS_FAIR if self._top_fair() is not None else -1
        if self._top_deadline() is not None:
            return CLASS_DEADLINE
        if self._top_priority() and not self._is_throttled(now_ns):
            return CLASS_REALTIME
        if self._top_fair() is not None:
            return CLASS_FAIR
        return CLASS_REALTIME if self._top_priority() else -1

    def take(self, kernel: Kernel, now_ns: int) -> Task | None:
        """Take out the task that shall run next. Linux: kernel/sched/core.c, pick_next_task."""
        count = self.count
        if not count:
            return None
        heap = self.fair
        if self.deadlines or self.realtime_mask:
            kind = self.best_class(now_ns)
        else:
            # The most common case, quickly.
            kind = CLASS_FAIR
            while heap[0][2].entity.ticket != heap[0][1]:
                heappop(heap)
        if kind == CLASS_FAIR:
            first_ns = heap[0][0]
            if first_ns > self.minimum_runtime_ns:
                self.minimum_runtime_ns = first_ns
            task = heappop(heap)[2] if count == 1 else self._take_fair(kernel)
        elif kind == CLASS_REALTIME:
            priority = self._top_priority()
            _, task = self.realtime[priority].popleft()
        else:
            _, _, task = heappop(self.deadlines)
        task.entity.ticket = 0
        self.count = count - 1
        self.yielded = None
        return task

    def first_of(self, kind: int) -> Task:
        """Who is first of those with a deadline or a real-time priority, of whom there are some."""
        if kind == CLASS_DEADLINE:
            return self.deadlines[0][2]
        return self.realtime[self._top_priority()][0][1]

    def _take_fair(self, kernel: Kernel) -> Task:
        """The fair task of several that has had least, or one of the next two if they have had hardly more.

        Its entry may stay in the heap, void. Linux: kernel/sched/fair.c, pick_next_task_fair.
        """
        heap = self.fair
        runtime_ns, _, first = heap[0]
        if self.count == 2 and self.yielded is not None and first is not self.yielded:
            heappop(heap)
            return first
        limit_ns = runtime_ns + NEXT_TASK_WINDOW_NS * NICE_0_WEIGHT // weight_of(first)
        near = [
            task
            for other_ns, ticket, task in heap[:3]
            if other_ns <= limit_ns
            and task.entity.ticket == ticket
            and task is not self.yielded
            and task.policy == first.policy
        ]
        chosen = near[kernel.choose("next-task", len(near)) if len(near) > 1 else 0] if near else first
        if chosen is first:
            heappop(heap)
        return chosen

    def is_better_than(self, task: Task, now_ns: int) -> bool:
        """Whether somebody here goes before the running `task`, of a higher class or its own.

        Within SCHED_FIFO and SCHED_RR a higher priority does, within deadlines an earlier one; a fair task
        gives way at the end of its slice and not before.
        """
        if not self.count:
            return False
        mine, best = class_of(task), self.best_class(now_ns)
        if mine != best:
            return best > mine or (mine == CLASS_REALTIME and self._is_throttled(now_ns))
        if mine == CLASS_REALTIME:
            return self._top_priority() > priority_of(task)
        if mine == CLASS_DEADLINE:
            top = self._top_deadline()
            return top is not None and top < task.entity.deadline_ns
        return False

    def shall_preempt(self, woken: Task, running: Task, running_runtime_ns: int, clock: Clock) -> bool:
        """Whether `woken`, which has just come here, takes the processor from `running`.

        Linux: kernel/sched/fair.c, check_preempt_wakeup_fair.
        """
        if class_of(woken) == CLASS_FAIR == class_of(running):
            granularity_ns = WAKEUP_GRANULARITY_NS
            if woken.policy != SCHED_NORMAL or running.policy != SCHED_NORMAL:
                if running.policy == SCHED_IDLE != woken.policy:
                    return True
                if woken.policy in (SCHED_BATCH, SCHED_IDLE):
                    return False
            if woken.nice:
                granularity_ns = granularity_ns * NICE_0_WEIGHT // weight_of(woken)
            return running_runtime_ns - woken.entity.virtual_runtime_ns > granularity_ns
        return self.is_better_than(running, clock.now_ns)

    def account(self, task: Task, work_ns: int, clock: Clock) -> None:
        """`task` has run for `work_ns`. In Linux, update_curr, update_min_vruntime and their like."""
        entity = task.entity
        is_normal = task.policy == SCHED_NORMAL and not entity.inherited_priority
        kind = CLASS_FAIR if is_normal else class_of(task)
        if kind == CLASS_FAIR:
            share = task.cgroup.cpu
            least_ns = entity.virtual_runtime_ns
            if share is not None:
                least_ns += share.runtime_ns(task, work_ns)
                share.spend_all(work_ns)
            elif self.rules.groups_sessions and task.group.autogroup is not None:
                least_ns += task.group.autogroup.runtime_ns(task, work_ns)
            elif task.nice or task.policy == SCHED_IDLE:
                least_ns += work_ns * NICE_0_WEIGHT // weight_of(task)
            else:
                least_ns += work_ns
            entity.virtual_runtime_ns = least_ns
            # One that runs alone never waits here: whoever comes is to start from where it is by now.
            heap = self.fair
            while heap:
                first_ns, ticket, first = heap[0]
                if first.entity.ticket == ticket:
                    if first_ns < least_ns:
                        least_ns = first_ns
                    break
                heappop(heap)
            if least_ns > self.minimum_runtime_ns:
                self.minimum_runtime_ns = least_ns
        elif kind == CLASS_REALTIME:
            entity.slice_left_ns -= work_ns
            entity.realtime_ns += work_ns
            self._is_throttled(clock.now_ns)
            self.realtime_used_ns += work_ns
        else:
            entity.budget_left_ns -= work_ns

    def load(self) -> int:
        """The weight of the fair tasks that wait here, each processor's running one among them.

        Linux: kernel/sched/fair.c, cpu_load.
        """
        return sum(weight_of(task) for task in self.waiting_fair())

    def waiting(self) -> Iterator[Task]:
        """All who wait here, in no order."""
        for heap in (self.fair, self.deadlines):
            for _, ticket, task in heap:
                if task.entity.ticket == ticket:
                    yield task
        for queue in self.realtime.values():
            for ticket, task in queue:
                if task.entity.ticket == ticket:
                    yield task

    def waiting_fair(self) -> list[Task]:
        """The fair tasks that wait here, in no order; the one whose turn it last was is among them."""
        return [task for _, ticket, task in self.fair if task.entity.ticket == ticket]

    def waiting_realtime(self) -> list[Task]:
        """The real-time tasks that can't run here now, as others go before them; the first ones first."""
        found: list[Task] = []
        for priority in sorted(self.realtime, reverse=True):
            found += [task for ticket, task in self.realtime[priority] if task.entity.ticket == ticket]
        return found if self._top_deadline() is not None else found[1:]

    def _is_throttled(self, now_ns: int) -> bool:
        """Whether the real-time tasks have had their part of this period."""
        rules = self.rules
        if not rules.limits_realtime:
            return False
        period_ns = now_ns - now_ns % rules.realtime_period_ns
        if period_ns != self.realtime_period_ns:
            self.realtime_period_ns = period_ns
            self.realtime_used_ns = 0
        return self.realtime_used_ns >= rules.realtime_runtime_ns and self._top_fair() is not None

    def _top_fair(self) -> int | None:
        heap = self.fair
        while heap and heap[0][2].entity.ticket != heap[0][1]:
            heappop(heap)
        return heap[0][0] if heap else None

    def _top_deadline(self) -> int | None:
        heap = self.deadlines
        while heap and heap[0][2].entity.ticket != heap[0][1]:
            heappop(heap)
        return heap[0][0] if heap else None

    def _top_priority(self) -> int:
        """The highest real-time priority that waits, 0 if none does."""
        while self.realtime_mask:
            priority = self.realtime_mask.bit_length() - 1
            queue = self.realtime[priority]
            while queue and queue[0][1].entity.ticket != queue[0][0]:
                queue.popleft()
            if queue:
                return priority
            self.realtime_mask ^= 1 << priority
        return 0
