"""Pressure: how long tasks were held up for want of a processor or of memory (Linux: kernel/sched/psi.c).

Nothing is counted, and nothing paid, until somebody opens a file of pressure; from then on its group is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.wait_queue import WaitQueue
from procession.hardware.kernel_memory import CGROUP, PRESSURE_BYTES, WATCH, WATCH_BYTES
from procession.kernel.sched.loadavg import LOAD_SHIFT, ONE, damped, power
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.kernel.sched.run_queue import RunQueue
    from procession.kernel.task import Task

IO, MEMORY, CPU = range(3)
"""What is missed, in Linux's order."""
RESOURCE_NAMES = (b"io", b"memory", b"cpu")
SOME, FULL = range(2)
"""Whether some tasks are held up, or all that could do something."""
PERIOD_NS = 2_004_000_000
"""How often averages are taken: two seconds and a tick (in Linux, psi_period)."""
_DAMPING = (1677, 1981, 2034)
"""What stays of an average from one period to the next: 1/exp(2 s/10 s), /60 s, /300 s, times ONE."""
_LOOKS_PER_WINDOW = 10
"""How often triggers are looked at (in Linux, UPDATES_PER_WINDOW)."""
_NEVER_NS = 1 << 63


class Stall:
    """One line of a file of pressure: the time, and its part of the last 10, 60 and 300 seconds.

    `total_ns` is counted up to `until_ns`, which may be ahead: a task sleeps until then. The averages are
    percents in units of 1 / ONE.
    """

    __slots__ = ("averaged_ns", "averages", "last_ns", "next_ns", "total_ns", "until_ns")

    def __init__(self, now_ns: int) -> None:
        self.total_ns = 0
        self.until_ns = now_ns
        self.averages = [0, 0, 0]
        self.averaged_ns = 0
        self.last_ns = now_ns
        self.next_ns = now_ns + PERIOD_NS

    def add(self, start_ns: int, end_ns: int) -> None:
        """Somebody is held up from one time to another; what was counted already isn't again."""
        start_ns = max(start_ns, self.until_ns)
        if end_ns > start_ns:
            self.total_ns += end_ns - start_ns
            self.until_ns = end_ns

    def total_at(self, now_ns: int, more_ns: int = 0) -> int:
        """The time up to now, and `more_ns` that is counted elsewhere."""
        return self.total_ns - max(self.until_ns - now_ns, 0) + more_ns

    def catch_up(self, now_ns: int, total_ns: int) -> None:
        """Take the averages that are due. Linux: kernel/sched/psi.c, update_averages."""
        if now_ns < self.next_ns:
            return
        missed = (now_ns - self.next_ns) // PERIOD_NS
        self.next_ns += (1 + missed) * PERIOD_NS
        period_ns = now_ns - (self.last_ns + missed * PERIOD_NS)
        self.last_ns = now_ns
        sample_ns = min(max(total_ns - self.averaged_ns, 0), period_ns)
        self.averaged_ns += sample_ns
        percent = sample_ns * 100 // max(period_ns, 1) * ONE
        self.averages = [
            damped(damped(average, power(damping, missed), 0) if missed else average, damping, percent)
            for average, damping in zip(self.averages, _DAMPING, strict=True)
        ]

    def line(self, name: bytes, total_ns: int) -> bytes:
        """Linux: kernel/sched/psi.c, psi_show."""
        shown = [(each >> LOAD_SHIFT, (each & ONE - 1) * 100 >> LOAD_SHIFT) for each in self.averages]
        averages = b" ".join(
            b"avg%d=%d.%02d" % (seconds, *each) for seconds, each in zip((10, 60, 300), shown, strict=True)
        )
        return b"%s %s total=%d\n" % (name, averages, total_ns // 1000)


class PressureTrigger:
    """Tells who polls when a stall has grown by `threshold_ns` within `window_ns`.

    The window that `begin_ns` begins follows one in which the stall grew by `last_growth_ns`. `is_due` says
    that it has grown enough, `has_happened` that who polls may hear of it: once in a window.
    Linux: include/linux/psi_types.h, struct psi_trigger.
    """

    __slots__ = (
        "begin_ns",
        "begin_total_ns",
        "has_happened",
        "is_due",
        "last_growth_ns",
        "line",
        "pressure",
        "queue",
        "resource",
        "seen_total_ns",
        "silent_until_ns",
        "threshold_ns",
        "window_ns",
    )

    def __init__(
        self, pressure: PressureGroup, resource: int, line: int, threshold_ns: int, window_ns: int
    ) -> None:
        self.pressure = pressure
        self.resource = resource
        self.line = line
        self.threshold_ns = threshold_ns
        self.window_ns = window_ns
        self.begin_ns = pressure.kernel.clock.now_ns
        self.begin_total_ns = self.seen_total_ns = pressure.total_ns(resource, line)
        self.last_growth_ns = 0
        self.silent_until_ns = 0
        self.is_due = self.has_happened = False
        self.queue = WaitQueue()

    def look(self, now_ns: int) -> None:
        """See what has grown. Linux: kernel/sched/psi.c, update_triggers."""
        total_ns = self.pressure.total_ns(self.resource, self.line)
        if total_ns != self.seen_total_ns:
            self.seen_total_ns = total_ns
            self.is_due = self._growth_ns(now_ns, total_ns) >= self.threshold_ns or self.is_due
        if self.is_due and now_ns >= self.silent_until_ns:
            self.is_due = False
            self.has_happened = True
            self.silent_until_ns = now_ns + self.window_ns
            self.queue.wake_all()

    def _growth_ns(self, now_ns: int, total_ns: int) -> int:
        """By how much it has grown in the last `window_ns`. Linux: kernel/sched/psi.c, window_update."""
        elapsed_ns = now_ns - self.begin_ns
        growth_ns = total_ns - self.begin_total_ns
        if elapsed_ns > self.window_ns:
            self.begin_ns, self.begin_total_ns, self.last_growth_ns = now_ns, total_ns, growth_ns
            return growth_ns
        # As if it had grown evenly in the window before.
        return growth_ns + self.last_growth_ns * (self.window_ns - elapsed_ns) // self.window_ns

    def take(self) -> bool:
        """Whether it has happened since this was last asked."""
        has_happened, self.has_happened = self.has_happened, False
        return has_happened

    def remove(self) -> None:
        """Nobody is to be told any more. Linux: kernel/sched/psi.c, psi_trigger_destroy."""
        self.pressure.triggers.remove(self)
        self.pressure.kernel.memory.account.uncharge(WATCH, WATCH_BYTES)


class PressureGroup:
    """The pressure on the tasks of a control group and those below; of the root, on all.

    Linux: include/linux/psi_types.h, struct psi_group. `stalls` are lines by resource.
    """

    __slots__ = ("group", "kernel", "stalls", "triggers")

    def __init__(self, kernel: Kernel, group: Cgroup) -> None:
        now_ns = kernel.clock.now_ns
        self.kernel = kernel
        self.group = group
        self.stalls = [[Stall(now_ns), Stall(now_ns)] for _ in RESOURCE_NAMES]
        self.triggers: list[PressureTrigger] = []

    def total_ns(self, resource: int, line: int) -> int:
        """How long tasks have been held up: by cpu.max too, all of them then."""
        throttled_ns = 0
        share = self.group.cpu
        if resource == CPU and share is not None and share.group is self.group:
            throttled_ns = share.total_throttled_ns
        return self.stalls[resource][line].total_at(self.kernel.clock.now_ns, throttled_ns)

    def show(self, resource: int) -> bytes:
        """What a file of pressure says. Linux: kernel/sched/psi.c, psi_show."""
        now_ns = self.kernel.clock.now_ns
        text = b""
        for line, name in enumerate((b"some", b"full")):
            stall, total_ns = self.stalls[resource][line], self.total_ns(resource, line)
            stall.catch_up(now_ns, total_ns)
            text += stall.line(name, total_ns)
        return text

    def add_trigger(self, resource: int, line: int, threshold_ns: int, window_ns: int) -> PressureTrigger:
        """One more that is told. Raises OutOfFrames."""
        self.kernel.memory.account.charge(WATCH, WATCH_BYTES)
        trigger = PressureTrigger(self, resource, line, threshold_ns, window_ns)
        self.triggers.append(trigger)
        tracker = self.kernel.pressure
        assert tracker is not None
        tracker.next_look_ns = min(tracker.next_look_ns, trigger.begin_ns + window_ns // _LOOKS_PER_WINDOW)
        return trigger


class PressureTracker:
    """The groups whose pressure somebody has asked for, and when their triggers are looked at again."""

    __slots__ = ("groups", "next_look_ns")

    def __init__(self) -> None:
        self.groups: dict[Cgroup, PressureGroup] = {}
        self.next_look_ns = _NEVER_NS

    def of(self, kernel: Kernel, group: Cgroup) -> PressureGroup:
        """The pressure on a group, counted from now on if it wasn't before. Raises OutOfFrames."""
        found = self.groups.get(group)
        if found is None:
            kernel.memory.account.charge(CGROUP, PRESSURE_BYTES)
            found = self.groups[group] = PressureGroup(kernel, group)
        return found

    def forget(self, kernel: Kernel, group: Cgroup) -> None:
        """`group` is removed."""
        if self.groups.pop(group, None) is not None:
            kernel.memory.account.uncharge(CGROUP, PRESSURE_BYTES)

    def has_run(self, kernel: Kernel, task: Task, elapsed_ns: int) -> None:
        """`task` has had its processor for so long, and others waited for it.

        Linux: kernel/sched/psi.c, psi_task_switch.
        """
        now_ns = kernel.clock.now_ns
        held_up = self._held_up(kernel.scheduler.processors[task.entity.processor], task)
        start_ns = now_ns - elapsed_ns // max(kernel.scheduler.busy_count, 1)
        for group, pressure in self.groups.items():
            if group in held_up:
                some, full = pressure.stalls[CPU]
                some.add(start_ns, now_ns)
                # Of the whole machine not all are ever held up: one of them runs.
                if not task.cgroup.is_below(group):
                    full.add(start_ns, now_ns)
        if now_ns >= self.next_look_ns:
            self._look(now_ns)

    def _look(self, now_ns: int) -> None:
        """Let all triggers see what has grown. Linux: kernel/sched/psi.c, psi_rtpoll_work."""
        shortest_ns = _NEVER_NS
        for pressure in self.groups.values():
            for trigger in pressure.triggers:
                trigger.look(now_ns)
                shortest_ns = min(shortest_ns, trigger.window_ns)
        self.next_look_ns = min(now_ns + shortest_ns // _LOOKS_PER_WINDOW, _NEVER_NS)

    def _held_up(self, run_queue: RunQueue, task: Task) -> dict[Cgroup, None]:
        """The groups of which others than `task` wait there, in themselves or below: all of those counted."""
        found: dict[Cgroup, None] = {}
        missing = len(self.groups)
        for waiting in run_queue.waiting():
            group: Cgroup | None = None if waiting is task else waiting.cgroup
            while group is not None and group not in found:
                found[group] = None
                if group in self.groups:
                    missing -= 1
                group = group.parent
            if not missing:
                break
        return found

    def waits_for_memory(self, task: Task, until_ns: int) -> None:
        """`task` sleeps until then, as its group has too much. Linux: kernel/sched/psi.c,
        psi_memstall_enter."""
        now_ns = task.kernel.clock.now_ns
        for group, pressure in self.groups.items():
            if task.cgroup.is_below(group):
                some, full = pressure.stalls[MEMORY]
                some.add(now_ns, until_ns)
                others = (each for below in group.subtree() for each in below.tasks if each is not task)
                if not any(each.state in (TaskState.RUNNABLE, TaskState.RUNNING) for each in others):
                    full.add(now_ns, until_ns)
        if now_ns >= self.next_look_ns:
            self._look(now_ns)
