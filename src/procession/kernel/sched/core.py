"""The scheduler: who runs next and for how long, and how a task sleeps and wakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.duration import NS_PER_US
from procession.kernel.observer import CAUSE_QUEUE, WAKE
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_CPU, RLIMIT_RTTIME
from procession.kernel.sched.deadline import renew_deadline, throttle
from procession.kernel.sched.entity import BASE_SLICE_NS
from procession.kernel.sched.many_queues import FEW_QUEUES, charge_wait, uncharge_wait
from procession.kernel.sched.priority import SCHED_DEADLINE, SCHED_FIFO, SCHED_NORMAL, SCHED_RR
from procession.kernel.sched.rules import SchedulingRules
from procession.kernel.sched.run_queue import (
    CLASS_FAIR,
    CLASS_REALTIME,
    MINIMUM_TURN_NS,
    NICE_0_WEIGHT,
    RunQueue,
    class_of,
    priority_of,
    weight_of,
)
from procession.kernel.task import NEED_RESCHED, CallFrame, Task
from procession.kernel.task_state import (
    INTERRUPTIBLE,
    KILLABLE,
    RUNNABLE,
    RUNNING,
    TRACED,
    UNINTERRUPTIBLE,
    set_state,
)
from procession.kernel.time.costs import SWITCH_NS, TIMER_NS
from procession.kernel.timers.interval import cpu_time_left_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession.fs.wait_queue import Sleep
    from procession.kernel.futex.queue import FutexWaiter
    from procession.kernel.kernel import Kernel

TIME_SLICE_NS: Final = BASE_SLICE_NS
TURN_NS: Final = 1_000_000
"""How far the work of one processor may go before that of another."""
BALANCE_NS: Final = 12_000_000
"""How often a processor compares its load with the others'."""
_SLICE_OF_ONE_NS: Final = 700_000
_SLICE_VARIANTS: Final = 8
_LEAST_SLICE_NS: Final = 1_000_000
_ON_QUEUE: Final = (RUNNABLE, RUNNING)


class Scheduler:
    """Fair, real-time and deadline scheduling on one or more virtual processors (in Linux, kernel/sched).

    There is one engine, so the processors take turns, and while several are busy virtual time goes on
    accordingly more slowly. The turn is that of the processor whose work is furthest behind; it goes on,
    whichever tasks of it sleep and wake, until it's ahead of another's by `TURN_NS`. One that was idle is as
    far as the one that wakes it, and goes first: `turn_given_to`.

    What Linux leaves open is chosen by name: "next-task" who of those that have had equally little goes
    first, "processor" where a task is put of processors that are equally idle, "turn" whose turn it is of
    those equally far, "time-slice" by how much, up to an eighth, a slice or turn is shorter. So seeds lead
    to different interleavings.
    """

    __slots__ = ("base_slice_ns", "kernel", "processors", "rules", "switch_count", "turn", "turn_given_to")

    def __init__(self, kernel: Kernel, processor_count: int = 1) -> None:
        self.kernel = kernel
        self.rules = SchedulingRules()
        self.processors = [RunQueue(number, self.rules) for number in range(processor_count)]
        # Linux: kernel/sched/fair.c, get_update_sysctl_factor.
        self.base_slice_ns = _SLICE_OF_ONE_NS * min(processor_count, 8).bit_length()
        """The slice that is told of tasks that have asked for none (sched_base_slice_ns)."""
        self.turn = 0
        self.turn_given_to: RunQueue | None = None
        self.switch_count = 0

    # The life of a task here

    def start(self, task: Task) -> None:
        """Let a new task run (Linux: kernel/sched/core.c, wake_up_new_task)."""
        set_state(task, RUNNABLE)
        queue = self._place(task)
        if class_of(task) == CLASS_FAIR:
            # It starts where its parent is, and not behind: two that only ever send each other messages would
            # keep that distance, and the one before would take the processor at every message.
            runtime_ns = max(task.entity.virtual_runtime_ns, queue.minimum_runtime_ns)
            parent = self.kernel.current
            if parent is not None and parent.entity.processor == queue.number:
                ran_ns = self.kernel.uncharged_ns * NICE_0_WEIGHT // weight_of(parent)
                runtime_ns = max(runtime_ns, parent.entity.virtual_runtime_ns + ran_ns)
            task.entity.virtual_runtime_ns = runtime_ns
        self._add(queue, task)
        if queue.count == 1 and len(self.processors) > 1:
            self._give_turn(queue, task)

    def sleep(self, task: Task, sleep: Sleep, frame: CallFrame | None) -> None:
        """Put the running task to sleep until a queue is woken or the deadline has come: in the system call
        of `frame`, or in none, or behind it.
        """
        if frame is not None:
            frame.deadline_ns = sleep.deadline_ns
            frame.progress = sleep.progress
            frame.interrupted = sleep.interrupted
            task.frame = frame
        task.queues = sleep.queues
        if len(sleep.queues) > FEW_QUEUES:
            charge_wait(self.kernel.memory.account, len(sleep.queues))
        for queue in sleep.queues:
            queue.waiters[task] = None
        if sleep.deadline_ns is not None:
            self.kernel.clock.spend(TIMER_NS)
            task.sleep_timer = self.kernel.timers.add(sleep.deadline_ns, "wake", task)
        self.processors[task.entity.processor].last = None
        if sleep.is_interruptible:
            set_state(task, INTERRUPTIBLE)
        else:
            set_state(task, KILLABLE if sleep.is_killable else UNINTERRUPTIBLE)
        task.times.voluntary_switches += 1

    def wake(self, task: Task, cause: str = CAUSE_QUEUE) -> None:
        """Make a sleeping or stopped task runnable; nothing happens to any other.

        Linux: kernel/sched/core.c, try_to_wake_up.
        """
        if INTERRUPTIBLE <= task.state <= TRACED:
            observer = self.kernel.observer
            if observer is not None:
                observer.task_event(task, WAKE, cause)
            if task.queues:
                if len(task.queues) > FEW_QUEUES:
                    uncharge_wait(self.kernel.memory.account, len(task.queues))
                for queue in task.queues:
                    queue.waiters.pop(task, None)
                task.queues = ()
            if task.sleep_timer is not None:
                self.kernel.timers.cancel(task.sleep_timer)
                task.sleep_timer = None
            set_state(task, RUNNABLE)
            task.entity.realtime_ns = 0
            self._enqueue_woken(task)

    def _enqueue_woken(self, task: Task) -> None:
        kernel = self.kernel
        if task.policy == SCHED_DEADLINE and not renew_deadline(task):
            return
        run_queue = self._place(task)
        self._add(run_queue, task, has_slept=True)
        running = kernel.current
        if running is not None and running.state is RUNNING and running.entity.processor == run_queue.number:
            runtime_ns = running.entity.virtual_runtime_ns + kernel.uncharged_ns
            if run_queue.shall_preempt(task, running, runtime_ns, kernel.clock):
                running.work |= NEED_RESCHED
        elif len(self.processors) > 1:
            self._give_turn(run_queue, task)

    def _give_turn(self, run_queue: RunQueue, task: Task) -> None:
        """End the running task's turn if `task` would run at once on its own processor, beside it.

        It does where it finds nobody else, or preempts who ran there last. Otherwise whoever wakes others
        would be a whole slice ahead of them each time.
        """
        running = self.kernel.current
        if running is None or running.state is not RUNNING or running.entity.processor == run_queue.number:
            return
        last = run_queue.last
        if run_queue.count == 1 or (
            last is not None
            and last.state is RUNNABLE
            and last.entity.ticket
            and last.entity.processor == run_queue.number
            and run_queue.shall_preempt(task, last, last.entity.virtual_runtime_ns, self.kernel.clock)
        ):
            running.work |= NEED_RESCHED
            self.turn_given_to = run_queue

    def yield_current(self) -> None:
        """The running task lets the others run first (sched_yield(2))."""
        current = self.kernel.current
        if current is None:
            return
        entity = current.entity
        run_queue = self.processors[entity.processor]
        if current.policy == SCHED_DEADLINE:
            entity.budget_left_ns = 0
        elif class_of(current) == CLASS_FAIR and run_queue.fair:
            # It goes behind everybody who waits now.
            last_ns = entity.virtual_runtime_ns
            for runtime_ns, ticket, task in run_queue.fair:
                if runtime_ns > last_ns and task.entity.ticket == ticket:
                    last_ns = runtime_ns
            entity.virtual_runtime_ns = last_ns
        current.has_yielded = True
        current.work |= NEED_RESCHED

    def preempt(self, task: Task) -> None:
        """The running task waits for its next turn."""
        set_state(task, RUNNABLE)
        entity = task.entity
        run_queue = self.processors[entity.processor]
        if not entity.allowed >> run_queue.number & 1:
            run_queue = self._place(task)
        if task.has_yielded:
            run_queue.yielded = task
        at_head = False
        if task.policy == SCHED_NORMAL and not entity.inherited_priority:
            pass
        elif task.policy == SCHED_RR:
            at_head = entity.slice_left_ns > 0 and not task.has_yielded
            if not at_head:
                entity.slice_left_ns = self.rules.round_robin_ns
        elif task.policy == SCHED_DEADLINE:
            if entity.budget_left_ns <= 0:
                throttle(task)
                return
        elif task.policy == SCHED_FIFO or entity.inherited_priority:
            at_head = not task.has_yielded
        task.has_yielded = False
        self._add(run_queue, task, at_head=at_head)

    def change(self, task: Task) -> None:
        """The policy, priority or processors of `task` have changed: it may have to wait elsewhere."""
        entity = task.entity
        parked_in = entity.parked_in
        if task.state is RUNNABLE and (entity.ticket or entity.is_throttled or parked_in is not None):
            self.processors[entity.processor].remove(task)
            entity.is_throttled = False
            if parked_in is not None:
                del parked_in.parked[task]
                entity.parked_in = None
            self._enqueue_woken(task)
        elif task.state is RUNNING:
            task.work |= NEED_RESCHED

    def requeue(self, task: Task) -> None:
        """A task that was parked waits for a processor again."""
        self._enqueue_woken(task)

    # Whose turn it is

    def pick(self) -> Task | None:
        """Take the next task and make it the running one; None if nobody is runnable."""
        kernel = self.kernel
        processors = self.processors
        now_ns = kernel.clock.now_ns
        run_queue = processors[0] if len(processors) == 1 else self._whose_turn(now_ns)
        task = run_queue.take(kernel, now_ns)
        return None if task is None else self._run_next(task, run_queue, now_ns)

    def _run_next(self, task: Task, run_queue: RunQueue, now_ns: int) -> Task:
        """Make `task`, which was taken from `run_queue`, the running one."""
        last = run_queue.last
        if last is not task:
            if last is not None and last.state is RUNNABLE:
                last.times.involuntary_switches += 1
            run_queue.last = task
            self.switch_count += 1
            # Whoever gets the processor begins a slice: none needs to be cut for this.
            self.kernel.clock.kernel_work_ns += SWITCH_NS
        entity = task.entity
        entity.run_count += 1
        entity.waited_ns += now_ns - entity.waits_since_ns
        entity.run_since_ns = now_ns
        set_state(task, RUNNING)
        return task

    def _whose_turn(self, now_ns: int) -> RunQueue:
        """The processor whose work is furthest behind, of those that have something to do."""
        processors = self.processors
        for queue in processors:
            if not queue.count:
                self._pull(queue)
        busy = [queue for queue in processors if queue.count]
        if not busy:
            # From here all begin together again.
            furthest_ns = max(queue.work_ns for queue in processors)
            for queue in processors:
                queue.work_ns = furthest_ns
            return processors[self.turn]
        least_ns = min(queue.work_ns for queue in busy)
        behind = [queue for queue in busy if queue.work_ns - least_ns <= SWITCH_NS]
        given_to, self.turn_given_to = self.turn_given_to, None
        if given_to is not None and given_to in behind:
            chosen = given_to
        else:
            chosen = behind[self.kernel.choose("turn", len(behind)) if len(behind) > 1 else 0]
        if now_ns >= chosen.balance_at_ns:
            chosen.balance_at_ns = now_ns + BALANCE_NS
            self._balance(chosen, now_ns)
        self.turn = chosen.number
        return chosen

    @property
    def busy_count(self) -> int:
        """How many processors have something to do, the one that takes its turn included."""
        processors = self.processors
        if len(processors) == 1:
            return 1
        return 1 + sum(1 for queue in processors if queue.count and queue.number != self.turn)

    @property
    def has_waiting(self) -> bool:
        """Whether somebody waits for a processor."""
        return any(queue.count for queue in self.processors)

    def shall_switch(self, task: Task) -> bool:
        """Whether the running `task`, which is to let others run, has any, or has to go elsewhere itself."""
        processors = self.processors
        if processors[0].count or task.policy == SCHED_DEADLINE:
            return True
        share = task.cgroup.cpu
        if share is not None and share.is_used_up_for(task):
            return True
        if len(processors) == 1:
            return False
        if any(queue.count for queue in processors):
            return True
        return not task.entity.allowed >> task.entity.processor & 1

    @property
    def offers_faults(self) -> bool:
        """Whether it's chosen for each system call if it fails in a way that Linux permits."""
        return False

    def order_woken(self, waiters: list[FutexWaiter], count: int) -> list[FutexWaiter]:
        """The waiters of a futex in the order in which `count` of them are woken: as they came."""
        del count
        return waiters

    def puts_back(self, task: Task) -> bool:
        """Whether the running `task`, in front of a system call, shall wait until it's chosen to make it.

        Asked for tasks with CALL_EXPLORED alone.
        """
        del task
        return False

    def must_give_way(self, task: Task) -> bool:
        """Whether the slice of the running `task`, which is over and charged, ends its turn."""
        processors = self.processors
        entity = task.entity
        run_queue = processors[entity.processor]
        if len(processors) > 1 and any(
            queue.count and queue.work_ns < run_queue.work_ns
            for queue in processors
            if queue is not run_queue
        ):
            return True
        if task.policy == SCHED_DEADLINE and entity.budget_left_ns <= 0:
            return True
        share = task.cgroup.cpu
        if share is not None and share.is_used_up_for(task):
            return True
        if not run_queue.count:
            return False
        now_ns = self.kernel.clock.now_ns
        kind = class_of(task)
        if kind == CLASS_FAIR:
            return True
        if task.policy == SCHED_RR and entity.slice_left_ns <= 0:
            return True
        return run_queue.is_better_than(task, now_ns)

    def timer_has_interrupted(self) -> None:
        """The timer of the processor whose turn it is says that something is due, or a slice over.

        Linux: arch/x86/kernel/apic/apic.c, local_apic_timer_interrupt.
        """
        self.processors[self.turn].interrupt_count += 1

    def slice_ns(self, task: Task, at_least_ns: int = 1) -> int:
        """How long the next slice of `task` is, in time of its processor, cut at the next timer.

        It isn't cut below `at_least_ns`, so that much later the timer may be.
        """
        kernel = self.kernel
        entity = task.entity
        processors = self.processors
        run_queue = processors[entity.processor]
        # Most are fair: they needn't be asked.
        is_normal = task.policy == SCHED_NORMAL and not entity.inherited_priority
        kind = CLASS_FAIR if is_normal else class_of(task)
        if kind == CLASS_FAIR:
            length_ns = entity.slice_ns or BASE_SLICE_NS
        elif kind == CLASS_REALTIME:
            length_ns = self._realtime_slice_ns(task)
        else:
            length_ns = max(entity.budget_left_ns, 1)
        others: Sequence[RunQueue] = ()
        if len(processors) > 1:
            others = [queue for queue in processors if queue.count and queue is not run_queue]
        if others or (kind == CLASS_FAIR and run_queue.count):
            variant = kernel.decider.choose("time-slice", _SLICE_VARIANTS)
            if kind == CLASS_FAIR:
                length_ns -= variant * length_ns // (8 * _SLICE_VARIANTS)
            if others:
                turn_ns = TURN_NS - variant * TURN_NS // (8 * _SLICE_VARIANTS)
                ahead_ns = run_queue.work_ns - min(queue.work_ns for queue in others)
                length_ns = min(length_ns, max(turn_ns - ahead_ns, 1))
        share = task.cgroup.cpu
        if share is not None and kind == CLASS_FAIR:
            quota_ns = share.slice_left_ns()
            if quota_ns is not None:
                length_ns = min(length_ns, quota_ns)
        group = task.group
        if group.itimers or group.limits.soft[RLIMIT_CPU] != RLIM_INFINITY:
            left_ns = cpu_time_left_ns(kernel, group)
            if left_ns is not None:
                length_ns = min(length_ns, max(left_ns, 1))
        if kernel.timers.heap:
            deadline_ns = kernel.timers.next_deadline_ns()
            if deadline_ns is not None:
                left_ns = (deadline_ns - kernel.clock.now_ns) * (len(others) + 1)
                length_ns = min(length_ns, max(left_ns, at_least_ns))
        return length_ns

    def _realtime_slice_ns(self, task: Task) -> int:
        entity = task.entity
        rules = self.rules
        length_ns = rules.realtime_period_ns
        if task.policy == SCHED_RR:
            if entity.slice_left_ns <= 0:
                # Nobody else of its priority waits: it has another. Linux: kernel/sched/rt.c, task_tick_rt.
                entity.slice_left_ns = rules.round_robin_ns
            length_ns = entity.slice_left_ns
        if rules.limits_realtime:
            runtime_ns, period_ns = rules.realtime_runtime_ns, rules.realtime_period_ns
            # Linux looks at ticks alone, however little is had or left.
            length_ns = min(length_ns, max(min(runtime_ns, period_ns - runtime_ns), _LEAST_SLICE_NS))
        limit_us = task.group.limits.soft[RLIMIT_RTTIME]
        if limit_us != RLIM_INFINITY:
            length_ns = min(length_ns, max(limit_us * NS_PER_US - entity.realtime_ns, 1))
        return length_ns

    def start_turn(self, task: Task) -> None:
        """`task` has just been switched to: let it have a slice in which it comes on, from now."""
        busy_count = 1 if len(self.processors) == 1 else self.busy_count
        self.kernel.clock.start_slice(self.slice_ns(task, MINIMUM_TURN_NS), busy_count)

    def start_slice(self, task: Task) -> None:
        """Let the running `task` have another slice, from now."""
        self.kernel.clock.start_slice(self.slice_ns(task), self.busy_count)

    # Processors

    @property
    def all_processors(self) -> int:
        """The mask of those that there are."""
        return (1 << len(self.processors)) - 1

    def _add(self, queue: RunQueue, task: Task, *, has_slept: bool = False, at_head: bool = False) -> None:
        """Let `task` wait for the processor of `queue`, or for a period of its control group."""
        share = task.cgroup.cpu
        if share is not None and share.parks(task):
            return
        entity = task.entity
        entity.waits_since_ns = now_ns = self.kernel.clock.now_ns
        if len(self.processors) > 1:
            kernel = self.kernel
            running = kernel.current
            if not queue.count and (running is None or running.entity.processor != queue.number):
                # It was idle: what it does now comes after what whoever wakes the task has done.
                queue.work_ns = max(queue.work_ns, self._reached_ns(running))
            if entity.processor != queue.number:
                entity.moved_ns = now_ns
                entity.move_count += 1
        queue.add(task, has_slept=has_slept, at_head=at_head)

    def _reached_ns(self, running: Task | None) -> int:
        """How far the processor that has its turn has come; without one, the busy one furthest behind."""
        if running is not None:
            return self.processors[running.entity.processor].work_ns + self.kernel.uncharged_ns
        busy = [queue.work_ns for queue in self.processors if queue.count]
        return min(busy) if busy else max(queue.work_ns for queue in self.processors)

    def _place(self, task: Task) -> RunQueue:
        """The processor where `task` shall wait: its last one if that is as idle as any, else the idlest.

        Linux: kernel/sched/fair.c, select_task_rq_fair; kernel/sched/rt.c, select_task_rq_rt.
        """
        processors = self.processors
        if len(processors) == 1:
            return processors[0]
        entity = task.entity
        running = self.kernel.current
        if running is not None and running.state is not RUNNING:
            running = None
        best: list[RunQueue] = []
        best_load = (0, 0)
        for queue in processors:
            if not entity.allowed >> queue.number & 1:
                continue
            is_running_here = running is not None and running.entity.processor == queue.number
            load = (self._would_wait(queue, task, running), queue.count + is_running_here)
            if not best or load < best_load:
                best, best_load = [queue], load
            elif load == best_load:
                best.append(queue)
        own = processors[entity.processor]
        if not best or own in best:
            return own
        return best[self.kernel.choose("processor", len(best)) if len(best) > 1 else 0]

    def _would_wait(self, queue: RunQueue, task: Task, running: Task | None) -> int:
        """1 if a task that a real-time one doesn't preempt has that processor; 0 for fair tasks."""
        kind = class_of(task)
        if kind == CLASS_FAIR:
            return 0
        holder = running if running is not None and running.entity.processor == queue.number else queue.last
        if holder is None or holder.state not in _ON_QUEUE or holder.entity.processor != queue.number:
            return 0
        return int(class_of(holder) >= kind and priority_of(holder) >= priority_of(task))

    def _move(self, task: Task, donor: RunQueue, receiver: RunQueue) -> None:
        """Let `task` wait for another processor than it does."""
        donor.remove(task)
        entity = task.entity
        entity.waited_ns += self.kernel.clock.now_ns - entity.waits_since_ns
        entity.virtual_runtime_ns += receiver.minimum_runtime_ns - donor.minimum_runtime_ns
        self._add(receiver, task)

    def _pull(self, idle: RunQueue) -> None:
        """Bring an idle processor a task that waits for another.

        Linux: kernel/sched/fair.c, sched_balance_newidle.
        """
        if self._pull_realtime(idle):
            return
        for donor in sorted(self.processors, key=_count_of, reverse=True):
            if donor.count < 2:
                return
            movable = [
                task
                for task in donor.waiting_fair()
                if task is not donor.last and task.entity.allowed >> idle.number & 1
            ]
            if movable:
                self._move(max(movable, key=_runtime_of), donor, idle)
                return

    def _pull_realtime(self, queue: RunQueue) -> bool:
        """Bring a processor a real-time task that waits in vain for another.

        Linux: kernel/sched/rt.c, pull_rt_task.
        """
        for donor in self.processors:
            if donor is queue or not donor.realtime_mask:
                continue
            for task in donor.waiting_realtime():
                if task.entity.allowed >> queue.number & 1:
                    self._move(task, donor, queue)
                    return True
        return False

    def _balance(self, queue: RunQueue, now_ns: int) -> None:
        """Bring a processor that has less to do than another one of the other's tasks.

        Where one is too many on either side, who hasn't moved for longest does, so that all get the same.
        Linux: kernel/sched/fair.c, sched_balance_rq.
        """
        if queue.best_class(now_ns) != CLASS_FAIR or self._pull_realtime(queue):
            return
        load = queue.load()
        donors = [(donor.load(), -donor.number, donor) for donor in self.processors if donor is not queue]
        for donor_load, _, donor in sorted(donors, key=_load_of, reverse=True):
            movable = [
                task
                for task in donor.waiting_fair()
                if task.entity.allowed >> queue.number & 1 and weight_of(task) <= donor_load - load
            ]
            if movable:
                self._move(min(movable, key=_moved_at), donor, queue)
                return


def _count_of(queue: RunQueue) -> int:
    return queue.count


def _load_of(entry: tuple[int, int, RunQueue]) -> tuple[int, int]:
    return entry[0], entry[1]


def _runtime_of(task: Task) -> tuple[int, int]:
    return task.entity.virtual_runtime_ns, task.entity.ticket


def _moved_at(task: Task) -> tuple[int, int]:
    return task.entity.moved_ns, task.entity.ticket
