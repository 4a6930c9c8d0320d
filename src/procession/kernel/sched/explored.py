"""The scheduler of a machine whose schedules are searched: it asks who runs next wherever that may matter."""

from __future__ import annotations

from heapq import heapify
from typing import TYPE_CHECKING, ClassVar, Protocol

from procession.hardware.registers import RIP, set_register
from procession.kernel.sched.core import Scheduler
from procession.kernel.sched.run_queue import CLASS_FAIR, class_of
from procession.kernel.task import CALL_EXPLORED, NEED_RESCHED
from procession.kernel.task_state import ENDED, TaskState

if TYPE_CHECKING:
    from procession.kernel.futex.queue import FutexWaiter
    from procession.kernel.kernel import Kernel
    from procession.kernel.sched.run_queue import RunQueue
    from procession.kernel.task import Task, ThreadGroup

NEXT_TASK, WAKE_ORDER = "next-task", "wake-order"
PAUSE = -1
"""What a decider answers that doesn't know yet who runs next: nobody does, until it's asked again."""
_SYSCALL_LENGTH = 2
_SMALL = 32


class AccessGate(Protocol):
    """Who knows of accesses to memory; `is_wanted` once it has been told to begin, for good."""

    is_wanted: bool

    def begin(self) -> None:
        """There is memory that tasks share: have the scheduler ask after accesses from now on."""


class ExploredScheduler(Scheduler):
    """A scheduler that asks for the next task in front of each system call, after one has woken somebody, and
    whenever a task sleeps or ends.

    The running task goes on by default; otherwise it's the turn of who has waited longest. Whoever was woken
    takes the processor from nobody by itself, and the fair tasks' shares don't count, so that a schedule is
    what was chosen and nothing else. A task that makes a call while others could run is put back in front of
    it (`at_call` says where), and makes it when it's chosen: `admitted` is who was, and where.

    With `accesses`, it's asked after accesses to memory that tasks share, too: who knows of these is told to
    begin once there is such memory.

    `offered` are those among whom it's being asked, the default first, None standing for the next timer: with
    `offers_timers`, one may be due before anybody goes on, as on a machine that is busy elsewhere.

    A run is over when `command` has ended, the first process that isn't the machine's own init: nobody goes
    on after that, and `offered` are those who could.
    """

    __slots__ = (
        "accesses",
        "admitted",
        "at_call",
        "command",
        "has_faults",
        "offered",
        "offers_timers",
        "preferred",
    )

    OUTSIDE_STATE: ClassVar = ("accesses", "offered")

    def __init__(
        self,
        kernel: Kernel,
        processor_count: int = 1,
        *,
        offers_timers: bool = False,
        has_faults: bool = False,
    ) -> None:
        super().__init__(kernel, processor_count)
        self.offered: tuple[Task | None, ...] = ()
        self.offers_timers = offers_timers
        self.has_faults = has_faults
        self.accesses: AccessGate | None = None
        self.preferred: Task | None = None
        self.admitted: tuple[Task, int] | None = None
        self.at_call: dict[Task, int] = {}
        self.command: ThreadGroup | None = None

    def start(self, task: Task) -> None:
        """See `Scheduler`; from its first call on the task is asked about."""
        kernel = self.kernel
        if self.command is None and not self._is_reaper(task):
            self.command = task.group
        kernel.add_call_work(task, CALL_EXPLORED)
        super().start(task)
        self._let_choose()

    @property
    def offers_faults(self) -> bool:
        """See `Scheduler`."""
        return self.has_faults

    def order_woken(self, waiters: list[FutexWaiter], count: int) -> list[FutexWaiter]:
        """See `Scheduler`; each of those that are woken is chosen, where not all are."""
        left = list(waiters)
        if len(left) <= count or any(waiter.is_for_lock for waiter in left):
            return left
        ordered: list[FutexWaiter] = []
        while left and len(ordered) < count:
            ordered.append(left.pop(self.kernel.choose(WAKE_ORDER, len(left)) if len(left) > 1 else 0))
        return ordered + left

    def puts_back(self, task: Task) -> bool:
        """Whether the running `task`, in front of a system call, shall wait until it's chosen to make it."""
        kernel = self.kernel
        address = kernel.cpu.general[RIP]
        if self.admitted is not None:
            admitted, self.admitted = self.admitted, None
            if admitted == (task, address):
                return False
        if self._is_reaper(task) or not (self.has_waiting or self._may_offer_timer()):
            return False
        registers = kernel.registers_of(task)
        set_register(registers.general, RIP, registers.general[RIP] - _SYSCALL_LENGTH)
        kernel.registers_changed(task)
        self.at_call[task] = address
        self.preferred = task
        task.work |= NEED_RESCHED
        return True

    def offer_after_access(self, task: Task) -> bool:
        """Whether the running `task`, after an access to memory that others share, shall wait until it's
        chosen."""
        if self._is_reaper(task) or not (self.has_waiting or self._may_offer_timer()):
            return False
        self.preferred = task
        task.work |= NEED_RESCHED
        return True

    def shall_switch(self, task: Task) -> bool:
        """See `Scheduler`."""
        return self.preferred is task or super().shall_switch(task)

    def pick(self) -> Task | None:
        """Ask who is next, and make that one the running task; None if nobody can run, or it isn't known yet.

        Linux: kernel/sched/core.c, pick_next_task.
        """
        while True:
            waiting = self._waiting()
            if self._is_over:
                self.offered = self._with_timer([task for task in waiting if not self._is_reaper(task)])
                return None
            if not waiting:
                return None
            preferred = self.preferred
            if preferred in waiting:
                waiting.remove(preferred)
                waiting.insert(0, preferred)
            else:
                self.preferred = None
            reaper = next(filter(self._is_reaper, waiting), None)
            if reaper is not None:
                self.offered = (reaper,)
            else:
                self.offered = self._with_timer(waiting)
            answer = 0
            if len(self.offered) > 1:
                answer = self.kernel.choose(NEXT_TASK, len(self.offered))
                if answer < 0:
                    return None
            chosen = self.offered[answer]
            if chosen is not None:
                break
            self.kernel.timers.jump_to_next()
        if reaper is None:
            self.preferred = None
        accesses = self.accesses
        if accesses is not None and not accesses.is_wanted and _shares_memory(chosen):
            accesses.begin()
        address = self.at_call.pop(chosen, None)
        self.admitted = None if address is None else (chosen, address)
        queue = self.processors[chosen.entity.processor]
        queue.remove(chosen)
        queue.yielded = None
        return self._run_next(chosen, queue, self.kernel.clock.now_ns)

    def _is_reaper(self, task: Task) -> bool:
        """Whether `task` is the machine's own init, which is quick: nobody is chosen before it."""
        return task.group is self.kernel.init and not task.has_executed

    @property
    def _is_over(self) -> bool:
        command = self.command
        return command is not None and len(command.threads) == 1 and command.leader.state in ENDED

    def _with_timer(self, tasks: list[Task]) -> tuple[Task | None, ...]:
        return (*tasks, None) if self._may_offer_timer() else tuple(tasks)

    def _may_offer_timer(self) -> bool:
        return self.offers_timers and self.kernel.timers.next_deadline_ns() is not None

    def _waiting(self) -> list[Task]:
        """Who can run: those of the highest class that anybody has, who has waited longest first."""
        found: list[Task] = []
        now_ns = self.kernel.clock.now_ns
        best = max(queue.best_class(now_ns) for queue in self.processors)
        if best < CLASS_FAIR:
            return []
        for queue in self.processors:
            if best == CLASS_FAIR:
                found += queue.waiting_fair()
                _drop_void(queue)
            elif queue.best_class(now_ns) == best:
                found.append(queue.first_of(best))
        return sorted(found, key=_ticket_of)

    def _enqueue_woken(self, task: Task) -> None:
        if class_of(task) != CLASS_FAIR:
            super()._enqueue_woken(task)
        else:
            self._add(self._place(task), task, has_slept=True)
            self._let_choose()

    def _let_choose(self) -> None:
        """The running task has made another runnable: it is asked who goes on before user mode."""
        running = self.kernel.current
        if running is not None and running.state is TaskState.RUNNING and not self._is_reaper(running):
            running.work |= NEED_RESCHED
            self.preferred = running


def _shares_memory(task: Task) -> bool:
    """Whether others see what `task` writes; not the parent, while it waits for a child of vfork(2)."""
    mm = task.mm
    users = mm.reference_count - (task.vfork_queue is not None)
    return users > 1 or any(area.is_shared for area in mm.areas)


def _ticket_of(task: Task) -> int:
    return task.entity.ticket


def _drop_void(queue: RunQueue) -> None:
    """Forget the entries of who was taken out, which nobody comes across otherwise."""
    heap = queue.fair
    if len(heap) > _SMALL and len(heap) > 2 * queue.count:
        queue.fair = [entry for entry in heap if entry[2].entity.ticket == entry[1]]
        heapify(queue.fair)
