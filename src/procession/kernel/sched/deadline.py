"""Tasks of SCHED_DEADLINE: what they reserve of the processors, and their deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.kernel.sched.priority import SCHED_DEADLINE
from procession.kernel.sched.run_queue import CLASS_DEADLINE, class_of
from procession.kernel.task import NEED_RESCHED
from procession.kernel.task_state import TaskState
from procession.kernel.time.queue import TIMER_ACTIONS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, Timer

_SERVER_RUNTIME_NS, _SERVER_PERIOD_NS = 50_000_000, 1_000_000_000
_BANDWIDTH_SHIFT = 20
"""What may be reserved of each processor, in parts of 1 << 20."""


def has_bandwidth_for(task: Task, runtime_ns: int, period_ns: int) -> bool:
    """Whether a reservation for `task` fits beside the others': of what real-time tasks may have at most.

    Linux: kernel/sched/deadline.c, sched_dl_overflow.
    """
    kernel = task.kernel
    rules = kernel.scheduler.rules
    wanted = reserved_bandwidth(kernel, but=task) + _bandwidth_of(runtime_ns, period_ns)
    return can_be_reserved(kernel, wanted, rules.realtime_runtime_ns, rules.realtime_period_ns)


def reserved_bandwidth(kernel: Kernel, but: Task | None = None) -> int:
    """How much of the processors is reserved, in units of 1 << 20: by tasks, and on each for those that have
    no reservation (Linux: kernel/sched/fair.c, fair_server_init).
    """
    servers = _bandwidth_of(_SERVER_RUNTIME_NS, _SERVER_PERIOD_NS) * len(kernel.scheduler.processors)
    return servers + sum(
        _bandwidth_of(other.entity.runtime_ns, other.entity.period_ns)
        for other in kernel.tasks
        if other.policy == SCHED_DEADLINE and other is not but and other.state < TaskState.ZOMBIE
    )


def can_be_reserved(kernel: Kernel, bandwidth: int, runtime_ns: int, period_ns: int) -> bool:
    """Whether so much may be, where real-time tasks have `runtime_ns` of each `period_ns`.

    Linux: kernel/sched/deadline.c, sched_dl_global_validate.
    """
    if runtime_ns < 0:
        return True
    return bandwidth <= _bandwidth_of(runtime_ns, period_ns) * len(kernel.scheduler.processors)


def _bandwidth_of(runtime_ns: int, period_ns: int) -> int:
    """The part of a processor that a reservation takes, in units of 1 << 20. Linux: kernel/sched/core.c,
    to_ratio.
    """
    return (runtime_ns << _BANDWIDTH_SHIFT) // period_ns if period_ns else 0


def renew_deadline(task: Task) -> bool:
    """Give a task that wakes a deadline; False if it has used up the present one's time.

    Linux: kernel/sched/deadline.c, update_dl_entity.
    """
    entity = task.entity
    now_ns = task.kernel.clock.now_ns
    overflows = (
        entity.budget_left_ns * entity.relative_deadline_ns
        > (entity.deadline_ns - now_ns) * entity.runtime_ns
    )
    if entity.deadline_ns <= now_ns or overflows:
        entity.deadline_ns = now_ns + entity.relative_deadline_ns
        entity.budget_left_ns = entity.runtime_ns
    if entity.budget_left_ns <= 0:
        throttle(task)
        return False
    return True


def throttle(task: Task) -> None:
    """Let `task` wait for its next period. Linux: kernel/sched/deadline.c, start_dl_timer."""
    entity, kernel = task.entity, task.kernel
    entity.is_throttled = True
    next_period_ns = entity.deadline_ns - entity.relative_deadline_ns + entity.period_ns
    kernel.timers.add(max(next_period_ns, kernel.clock.now_ns + 1), "deadline", task)


def _replenish(kernel: Kernel, timer: Timer) -> None:
    """A throttled task's next period begins. Linux: kernel/sched/deadline.c, dl_task_timer."""
    task: Task = timer.target
    entity = task.entity
    if not entity.is_throttled or task.state is not TaskState.RUNNABLE:
        return
    entity.is_throttled = False
    entity.deadline_ns = max(entity.deadline_ns + entity.period_ns, kernel.clock.now_ns + 1)
    entity.budget_left_ns = entity.runtime_ns
    run_queue = kernel.scheduler.processors[entity.processor]
    run_queue.add(task)
    running = kernel.current
    if running is not None and class_of(running) != CLASS_DEADLINE:
        running.work |= NEED_RESCHED


TIMER_ACTIONS["deadline"] = _replenish
