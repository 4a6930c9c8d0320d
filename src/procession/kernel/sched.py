"""The scheduler: who runs next and for how long, and how a task sleeps and wakes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from procession.kernel.task import NEED_RESCHED, CallFrame, Task
from procession.kernel.task_state import TaskState, set_state

if TYPE_CHECKING:
    from procession.fs.wait_queue import Sleep
    from procession.kernel.kernel import Kernel

TIME_SLICE_NS = 3_000_000
"""sched_base_slice_ns of a machine with one processor."""
_SLICE_VARIANTS = 8


class Scheduler:
    """Round robin over the runnable tasks (Linux: kernel/sched/core.c).

    A task that is woken goes to the end of the queue, as does one whose slice is over. A slice's length
    varies by up to an eighth, chosen by the decider, so that seeds lead to different interleavings.
    """

    __slots__ = ("kernel", "queue", "switch_count")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.queue: deque[Task] = deque()
        self.switch_count = 0

    def start(self, task: Task) -> None:
        """Let a new task run (Linux: wake_up_new_task)."""
        set_state(task, TaskState.RUNNABLE)
        self.queue.append(task)

    def sleep(self, task: Task, sleep: Sleep, frame: CallFrame) -> None:
        """Put the running task to sleep in a system call until a queue is woken or the deadline has come."""
        frame.deadline_ns = sleep.deadline_ns
        frame.progress = sleep.progress
        frame.interrupted = sleep.interrupted
        task.frame = frame
        task.queues = sleep.queues
        for queue in sleep.queues:
            queue.waiters[task] = None
        if sleep.deadline_ns is not None:
            task.sleep_timer = self.kernel.timers.add(sleep.deadline_ns, "wake", task)
        set_state(task, TaskState.INTERRUPTIBLE if sleep.is_interruptible else TaskState.KILLABLE)
        task.times.voluntary_switches += 1

    def wake(self, task: Task) -> None:
        """Make a sleeping or stopped task runnable; nothing happens to any other (Linux: try_to_wake_up)."""
        if TaskState.INTERRUPTIBLE <= task.state <= TaskState.TRACED:
            if task.queues:
                for queue in task.queues:
                    queue.waiters.pop(task, None)
                task.queues = ()
            if task.sleep_timer is not None:
                self.kernel.timers.cancel(task.sleep_timer)
                task.sleep_timer = None
            set_state(task, TaskState.RUNNABLE)
            self.queue.append(task)

    def yield_current(self) -> None:
        """The running task lets the others run first (sched_yield(2))."""
        current = self.kernel.current
        if current is not None:
            current.work |= NEED_RESCHED

    def preempt(self, task: Task) -> None:
        """The running task's slice is over: it goes to the end of the queue."""
        set_state(task, TaskState.RUNNABLE)
        self.queue.append(task)

    def pick(self) -> Task | None:
        """Take the next task off the queue and make it the running one; None if nobody is runnable."""
        if not self.queue:
            return None
        task = self.queue.popleft()
        set_state(task, TaskState.RUNNING)
        self.switch_count += 1
        return task

    def slice_ns(self) -> int:
        """How long the next slice is, cut at the next timer."""
        kernel = self.kernel
        length_ns = TIME_SLICE_NS
        if self.queue:
            variant = kernel.choose("time-slice", _SLICE_VARIANTS)
            length_ns -= variant * TIME_SLICE_NS // (8 * _SLICE_VARIANTS)
        deadline_ns = kernel.timers.next_deadline_ns()
        if deadline_ns is not None:
            length_ns = min(length_ns, max(deadline_ns - kernel.clock.now_ns, 1))
        return length_ns
