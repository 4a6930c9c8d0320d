"""Timers on the virtual clock, and what is done when one is due."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

from procession.kernel.observer import CAUSE_TIMER
from procession.kernel.task import Timer
from procession.kernel.time.costs import ORDINARY_NS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

TIMER_ACTIONS: dict[str, Callable[[Kernel, Timer], None]] = {}
"""What to do when a timer of a kind is due; each kind's module puts its own in. A timer names its kind
instead of holding a function, so that a machine's state stays plain data."""

_SMALL = 64


class TimerQueue:
    """Timers by deadline, those with the same deadline in the order in which they were added."""

    __slots__ = ("armed_count", "heap", "kernel", "sequence")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.heap: list[tuple[int, int, Timer]] = []
        self.sequence = 0
        self.armed_count = 0

    def add(self, deadline_ns: int, kind: str, target: Any) -> Timer:
        """Arm a timer for `deadline_ns` of the monotonic clock."""
        timer = Timer(deadline_ns, kind, target)
        self.sequence += 1
        heappush(self.heap, (deadline_ns, self.sequence, timer))
        self.armed_count += 1
        self.kernel.clock.shorten_slice(deadline_ns)
        return timer

    def fire_if_soon(self, timer: Timer) -> None:
        """Do what is due before the system call is back that has just armed `timer`, if that is.

        The processor is interrupted in the call then, so a signal is there when it ends.
        Linux: kernel/time/hrtimer.c, hrtimer_start_range_ns.
        """
        clock = self.kernel.clock
        left_ns = timer.deadline_ns - clock.now_ns
        if left_ns <= ORDINARY_NS:
            if left_ns > 0:
                clock.spend(left_ns * clock.busy_count)
            self.run_due()

    def cancel(self, timer: Timer) -> None:
        """Disarm a timer; nothing happens if it has fired."""
        if timer.is_armed:
            timer.is_armed = False
            self.armed_count -= 1
            if len(self.heap) > _SMALL and self.armed_count * 2 < len(self.heap):
                self.heap = [item for item in self.heap if item[2].is_armed]
                heapify(self.heap)

    def next_deadline_ns(self) -> int | None:
        """When the next timer is due."""
        heap = self.heap
        while heap and not heap[0][2].is_armed:
            heappop(heap)
        return heap[0][0] if heap else None

    def jump_to_next(self) -> bool:
        """Nobody can run: let time go on to the next timer, and do what is due. False if there is none."""
        deadline_ns = self.next_deadline_ns()
        if deadline_ns is None:
            return False
        self.kernel.clock.jump_to(deadline_ns)
        self.run_due()
        return True

    def run_due(self) -> None:
        """Do what is due by now."""
        kernel = self.kernel
        now_ns = kernel.clock.now_ns
        if now_ns >= kernel.load.next_sample_ns:
            kernel.load.catch_up(kernel, now_ns)
        has_fired = False
        while True:
            deadline_ns = self.next_deadline_ns()
            if deadline_ns is None or deadline_ns > now_ns:
                return
            if not has_fired:
                # All that is due now has one interrupt.
                has_fired = True
                kernel.scheduler.timer_has_interrupted()
            timer = heappop(self.heap)[2]
            timer.is_armed = False
            self.armed_count -= 1
            TIMER_ACTIONS[timer.kind](kernel, timer)


def _wake_sleeper(kernel: Kernel, timer: Timer) -> None:
    kernel.scheduler.wake(timer.target, CAUSE_TIMER)


TIMER_ACTIONS["wake"] = _wake_sleeper
