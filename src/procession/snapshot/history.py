"""A run's past: forward and back in it, by events and by what holds of the kernel's objects.

Checkpoints are kept on the way. To go back is to restore the last one before, and to run again from there:
the run is the same, so what is looked for is found again at the same count of events. A machine stands still
at the end of a trap: where several events happened in it, they are behind it together.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from procession.inspection.event import Event, StateChanged, Switched, SystemCallReturned
from procession.inspection.recorder import EventRecorder
from procession.inspection.steering import has_ended
from procession.inspection.stop import Breakpoint
from procession.snapshot.checkpoints import EVENT_COST_NS, cost_ns, insert, next_after, thin_out
from procession.snapshot.checkpoints import Checkpoint as AnyCheckpoint
from procession.snapshot.origin import Origin

if TYPE_CHECKING:
    from procession.hardware.engine import Engine
    from procession.inspection.stop import Condition as EventCondition
    from procession.kernel.kernel import Kernel
    from procession.kernel.observer import Observer
    from procession.kernel.task import Task
    from procession.snapshot.keeper import Snapshot

Condition = str | type[Event]
StateCondition = Callable[[Any], bool]
"""A function of the machine."""

KINDS: dict[str, type[Event] | None] = {
    "event": None,
    "call": SystemCallReturned,
    "switch": Switched,
    "state": StateChanged,
}
"""What may be stepped by."""
EVENTS_PER_CHECKPOINT = 8192
"""How far checkpoints are apart, or as far as what takes as long."""
_CLOSE_CHECKPOINTS = 16
"""Where somebody goes back, so many are made between two: the next step back is near."""
_CLOSEST_NS = 512 * EVENT_COST_NS
_NOWHERE = _NEVER_NS = 1 << 62


class Machine(Protocol):
    """What a history asks of the machine whose it is."""

    kernel: Kernel
    engine: Engine
    command: Task | None
    shall_stop: bool
    is_in_slice: bool

    def observe(self, observer: Observer) -> None:
        """Tell `observer` what happens."""

    def unobserve(self, observer: Observer) -> None:
        """Tell it no more."""

    def run_on(self) -> bool:
        """Run on in the present slice, or in the next one."""

    def collect_output(self) -> None:
        """Take what was written."""

    def snapshot(self) -> Snapshot:
        """The state as it is now."""

    def restore(self, snapshot: Snapshot) -> None:
        """Be as it was then."""

    def objects_in_order(self) -> list[Any]:
        """The objects of the state, in an order that is the same for equal states."""


class Driver(Protocol):
    """Who runs a machine: by itself, or as it was recorded."""

    def advance(self) -> bool:
        """Run to where the machine shall stop, or for a while. False if the run has ended."""

    def keep(self) -> Any:
        """What goes along with a snapshot of the machine."""

    def put_back(self, kept: Any) -> None:
        """Be where `keep` gave that; the machine's snapshot has been restored."""


class Steps:
    """Runs a machine slice by slice, and lets time jump when nobody can run."""

    __slots__ = ("machine",)

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def advance(self) -> bool:
        """See `Driver`."""
        machine = self.machine
        if machine.command is not None and has_ended(machine.command.group) and not machine.is_in_slice:
            return False
        can_go_on = machine.run_on() or machine.shall_stop
        machine.collect_output()
        if can_go_on:
            return True
        return machine.kernel.reboot_command is None and machine.kernel.timers.jump_to_next()

    def keep(self) -> None:
        """See `Driver`."""

    def put_back(self, kept: None) -> None:
        """See `Driver`."""


class Checkpoint(AnyCheckpoint):
    """A moment to which one can go back: `count` events were behind it, the last of them `event`.

    `latest` are the counts at which the last event of each kind had come.
    """

    __slots__ = ("count", "driver", "event", "last_tid", "latest")

    def __init__(
        self,
        cost_ns: int,
        snapshot: Snapshot,
        count: int,
        driver: Any,
        event: Event | None,
        last_tid: int,
        latest: dict[type[Event], int],
    ) -> None:
        super().__init__(cost_ns, snapshot)
        self.latest = latest
        self.count = count
        self.driver = driver
        self.event = event
        self.last_tid = last_tid


class History:
    """The past of `machine`, since this was made. `count` is how many events are behind it, `event` the last
    one, `latest` the counts at which the last one of each kind has come.

    While it's kept, whoever runs the machine adds to it; what is done to the machine by hand (bytes fed,
    objects changed) isn't done again after going back before it.
    """

    def __init__(self, machine: Machine, driver: Driver, *, interval: int = EVENTS_PER_CHECKPOINT) -> None:
        self.machine = machine
        self.driver = driver
        self.interval_ns = interval * EVENT_COST_NS
        self.count = 0
        self.event: Event | None = None
        self.latest: dict[type[Event], int] = {}
        self.checkpoints: list[Checkpoint] = []
        self._is_wanted: Callable[[Event, int], bool] = _never
        self._is_met = False
        self._found: Event | None = None
        self._checkpoint_at = _NOWHERE
        # After going back, what comes of a machine that is driven by hand may be something else.
        self.is_certain = not isinstance(driver, Steps)
        self.recorder = EventRecorder(machine.kernel, self._take)
        machine.observe(self.recorder)
        self._add_checkpoint()

    def close(self) -> None:
        """Forget the past."""
        self.machine.unobserve(self.recorder)
        self.checkpoints.clear()

    def _take(self, event: Event) -> None:
        self.count += 1
        self.event = event
        self.latest[type(event)] = self.count
        if self._is_wanted(event, self.count):
            if not self._is_met:
                self._is_met, self._found = True, event
        elif self.count < self._checkpoint_at:
            return
        self.machine.shall_stop = True
        self.machine.engine.stop()

    # Checkpoints

    def note(self) -> None:
        """The machine stands still: keep a checkpoint if the last one is far enough."""
        if self._cost_ns >= next_after(self.checkpoints[-1], self.interval_ns):
            self._add_checkpoint()

    @property
    def _cost_ns(self) -> int:
        return cost_ns(self.count, self.machine.kernel.clock.work_ns)

    def here(self) -> Checkpoint:
        """The present moment, for `return_to`."""
        driver, last_tid, latest = self.driver.keep(), self.recorder.last_tid, self.latest.copy()
        snapshot = self.machine.snapshot()
        return Checkpoint(self._cost_ns, snapshot, self.count, driver, self.event, last_tid, latest)

    def return_to(self, checkpoint: Checkpoint) -> None:
        """Be at a moment that `here` gave, earlier or later. Raises ValueError but for a recorded run."""
        if not self.is_certain:
            raise ValueError("only a recorded run is the same run each time")
        self._restore(checkpoint)

    def _add_checkpoint(self) -> None:
        here = self.here()
        place = bisect_left(self.checkpoints, here.cost_ns, key=_cost_of)
        if place < len(self.checkpoints) and self.checkpoints[place].cost_ns == here.cost_ns:
            return
        insert(self.checkpoints, place, here)
        thin_out(self.checkpoints, here.cost_ns, self.machine.kernel.memory.frame_count)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.machine.restore(checkpoint.snapshot)
        self.driver.put_back(checkpoint.driver)
        self.count, self.event = checkpoint.count, checkpoint.event
        self.latest = checkpoint.latest.copy()
        self.recorder.last_tid = checkpoint.last_tid

    def _last_before(self, count: int) -> Checkpoint:
        """The last checkpoint with fewer than `count` events behind it, or the first."""
        return self.checkpoints[max(bisect_left(self.checkpoints, count, key=_count_of) - 1, 0)]

    # Forward

    def _run(self, is_wanted: Callable[[Event, int], bool], interval_ns: int = 0) -> bool:
        """Run until an event is wanted, and to the end of its trap. False if the run has ended first."""
        self._is_wanted, self._is_met = is_wanted, False
        machine, interval_ns = self.machine, interval_ns or self.interval_ns
        try:
            while not self._is_met:
                machine.shall_stop = False
                here_ns = self._cost_ns
                last = self.checkpoints[bisect_right(self.checkpoints, here_ns, key=_cost_of) - 1]
                due_ns = next_after(last, interval_ns)
                # Work makes it due before that many events, it's looked for at the ends of slices.
                self._checkpoint_at = self.count + max((due_ns - here_ns) // EVENT_COST_NS, 1)
                if not self.driver.advance() and not self._is_met:
                    return False
                if self._cost_ns >= due_ns:
                    self._add_checkpoint()
        finally:
            machine.shall_stop = False
            self._is_wanted, self._checkpoint_at = _never, _NOWHERE
        return True

    def step(self, kind: str = "event", tid: int | None = None) -> Event | None:
        """Run to the next event of a kind, of task `tid` if given; None if the run has ended first."""
        wanted = KINDS[kind]
        found = self._run(
            lambda event, _count: (wanted is None or type(event) is wanted) and tid in (None, event.tid)
        )
        return self._found if found else None

    def run_to(self, condition: EventCondition, tid: int | None = None) -> Event | None:
        """Run to the next event that fits, as `Machine.stop_at` takes it; None if the run has ended first."""
        breakpoint_ = Breakpoint(condition, tid)
        return self._found if self._run(lambda event, _count: breakpoint_.matches(event)) else None

    def run_until(self, holds: StateCondition) -> bool:
        """Run until `holds(machine)`, looked at at each event; False if it never did."""
        if holds(self.machine):
            return True
        while self._run(lambda _event, _count: holds(self.machine)):
            if holds(self.machine):
                return True
        return holds(self.machine)

    def run_to_time(self, time_ns: int) -> bool:
        """Run to the first event at `time_ns` or later; False if the run has ended first."""
        return self._run(lambda event, _count: event.time_ns >= time_ns)

    def run_to_end(self) -> None:
        """Run to the end."""
        self._run(_never)

    # Anywhere

    def go_to(self, count: int) -> bool:
        """Be where `count` events are behind, or the first place after that; False if the run ends before."""
        if count < self.count:
            self._restore(self._last_before(count + 1))
            self._forget_later()
        if self.count >= count:
            return True
        return self._run(lambda _event, now: now >= count)

    # Back

    def back(self, kind: str = "event") -> Event | None:
        """Go back to the last event of `kind` before the present one; None if there is none.

        To the beginning itself leads a step by event only.
        """
        wanted = KINDS[kind]
        found = self._back_to_event(lambda event: wanted is None or type(event) is wanted, wanted)
        if found is None and wanted is None:
            self._restore(self.checkpoints[0])
        self._forget_later()
        return found

    def back_to(self, condition: Condition | StateCondition | Origin, tid: int | None = None) -> bool:
        """See `Machine.back_to`."""
        if isinstance(condition, str | type):
            breakpoint_ = Breakpoint(condition, tid)
            found = self._back_to_event(breakpoint_.matches, breakpoint_.kind) is not None
        elif isinstance(condition, Origin):
            found = self._back_to_origin(condition)
        else:
            found = self._back_to_state(condition)
        self._forget_later()
        return found

    def _forget_later(self) -> None:
        if not self.is_certain:
            del self.checkpoints[bisect_right(self.checkpoints, self._cost_ns, key=_cost_of) :]

    def _back_to_event(self, fits: Callable[[Event], bool], kind: type[Event] | None = None) -> Event | None:
        """Go to the last place before this one in front of which an event fits, which is given out.

        Stay here if there is none. If only events of one `kind` fit, nothing is run again that has none.
        """
        here = self.here()
        bound = here.count
        latest = bound if kind is None else here.latest.get(kind, 0)
        is_near = True
        for start in self._checkpoints_before(here.count):
            if latest > start.count:
                finder = _Finder(fits)
                self._scan(start, bound, finder, keeps=is_near)
                while finder.found:
                    count, event = finder.found.pop()
                    if self._go_before(count, here.count):
                        return event
                is_near = False
                latest = start.count if kind is None else start.latest.get(kind, 0)
            bound = start.count
        self._restore(here)
        return None

    def _back_to_state(self, holds: StateCondition) -> bool:
        """Go to where `holds` has become true for the last time before this place."""
        machine = self.machine
        here = self.here()
        bound = here.count
        for start in self._checkpoints_before(here.count):
            self._restore(start)
            held = holds(machine)
            became: list[int] = []

            def watch(_event: Event, count: int, became: list[int] = became) -> None:
                nonlocal held
                before, held = held, holds(machine)
                if held and not before:
                    became.append(count)

            self._scan(start, bound, watch, keeps=bound == here.count)
            while became:
                if self._go_before(became.pop(), here.count) and holds(machine):
                    return True
            bound = start.count
            if bound == self.checkpoints[0].count:
                self._restore(start)
                if holds(machine):
                    return True
        self._restore(here)
        return False

    def _back_to_origin(self, origin: Origin) -> bool:
        """Go to where `origin` has become true for the last time before this place.

        Within one run from a checkpoint on its objects stay the same ones, and are known at each place on
        the way; from one run to another they're named by their places in the state.
        """
        machine = self.machine
        here = bound = self.here()
        objects = origin.objects
        for start in self._checkpoints_before(here.count):
            places = self._places(start, bound.count, _part_of(bound.count - start.count))
            objects = self._standing_for(objects, bound, places[-1])
            for number in range(len(places) - 2, -1, -1):
                self._restore(places[number])
                if not origin.holds(machine, *objects):
                    return self._find_origin(origin, objects, places[number], places[number + 1], here.count)
            bound = places[0]
        # It was so from the beginning.
        self._restore(bound)
        return bound.count < here.count

    def _find_origin(
        self, origin: Origin, objects: tuple[Any, ...], start: Checkpoint, end: Checkpoint, here: int
    ) -> bool:
        """Go to the first place after `start`, where it isn't so, from which on it is up to `end`."""
        interval = end.count - start.count
        while interval > 1:
            interval = _part_of(interval)
            places = self._places(start, end.count, interval)
            objects = self._standing_for(objects, end, places[-1])
            number = len(places) - 1
            while number > 1:
                self._restore(places[number - 1])
                if not origin.holds(self.machine, *objects):
                    break
                number -= 1
            start, end = places[number - 1], places[number]
        self._restore(end)
        return self.count <= here

    def _places(self, start: Checkpoint, end: int, interval: int) -> list[Checkpoint]:
        """Run from `start` until `end` events are behind; places on the way, `interval` events apart."""
        self._restore(start)
        places = [self.here()]
        while self.count < end:
            self._run_past(min(self.count + interval, end))
            places.append(self.here())
        return places

    def _run_past(self, wanted: int) -> None:
        self._run(lambda _event, count: count >= wanted)

    def _standing_for(self, objects: tuple[Any, ...], before: Checkpoint, now: Checkpoint) -> tuple[Any, ...]:
        """The objects of the state `now` that stand for those of `before`, which is the same state."""
        self._restore(before)
        order = {id(known): number for number, known in enumerate(self.machine.objects_in_order())}
        numbers = [order[id(known)] for known in objects]
        self._restore(now)
        found = self.machine.objects_in_order()
        return tuple([found[number] for number in numbers])

    def _checkpoints_before(self, count: int) -> list[Checkpoint]:
        """Those with fewer events behind them, the last first; of several with the same events the last."""
        earlier = self.checkpoints[: bisect_left(self.checkpoints, count, key=_count_of)]
        return list({known.count: known for known in earlier}.values())[::-1]

    def _scan(
        self, start: Checkpoint, end: int, look: Callable[[Event, int], object], *, keeps: bool
    ) -> None:
        """Run from `start` until `end` events are behind, and give each to `look`.

        With `keeps` checkpoints are kept on the way, for what is looked for is near, and so is the next.
        """
        self._restore(start)

        def is_end(event: Event, count: int) -> bool:
            if count <= end:
                look(event, count)
            return count >= end

        self._run(is_end, self._close_interval_ns(start) if keeps else _NEVER_NS)

    def _go_before(self, count: int, here: int) -> bool:
        """Go to the last place at or after event `count` that is before `here`; False if there is none."""
        start = self._last_before(count)
        interval_ns = self._close_interval_ns(start)
        self._restore(start)
        if self.count < count:
            self._run(lambda _event, now: now >= count, interval_ns)
        return self.count < here

    def _close_interval_ns(self, start: Checkpoint) -> int:
        """How close checkpoints are to be from `start` to the next one, where somebody goes back."""
        checkpoints = self.checkpoints
        place = bisect_right(checkpoints, start.cost_ns, key=_cost_of)
        end_ns = checkpoints[place].cost_ns if place < len(checkpoints) else self._cost_ns
        return max((end_ns - start.cost_ns) // _CLOSE_CHECKPOINTS, _CLOSEST_NS)


class _Finder:
    """Notes at which counts events fit."""

    __slots__ = ("fits", "found")

    def __init__(self, fits: Callable[[Event], bool]) -> None:
        self.fits = fits
        self.found: list[tuple[int, Event]] = []

    def __call__(self, event: Event, count: int) -> None:
        if self.fits(event):
            self.found.append((count, event))


def _count_of(checkpoint: Checkpoint) -> int:
    return checkpoint.count


def _cost_of(checkpoint: Checkpoint) -> int:
    return checkpoint.cost_ns


def _part_of(interval: int) -> int:
    """How many events apart places are that divide so many."""
    return max(interval // _CLOSE_CHECKPOINTS, 1)


def _never(_event: Event, _count: int) -> bool:
    return False
