"""The order that a run has by itself: which segments must come before which, and where two race."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.named_tuple import NamedTuple
from procession.explore.footprint import END

if TYPE_CHECKING:
    from procession.explore.footprint import Key, Segment

VectorClock = dict[int, int]
"""How many segments of each task come before, or are, this one."""
Undo = tuple[dict[Any, Any], object, object]
"""A table, a key in it, and what was there; None for nothing."""
_WORD = (1 << 64) - 1


class TraceEntry(NamedTuple):
    """One segment of a run: the `nth` of its task, with its clock, and the index of the node that chose it.

    `waker` is the position of who has woken the task for it, None if nobody had to. `undo` is what has to be
    put back when it's taken away again, `term` what it adds to the signature.
    """

    segment: Segment
    nth: int
    clock: VectorClock
    node: int | None
    waker: int | None
    undo: list[Undo]
    term: int


class Race(NamedTuple):
    """The entry at `position` and what `tid` did later could have come in the other order."""

    position: int
    tid: int


class Trace:
    """A run's segments with the order between them (happens-before), as a stack.

    `signature` is a number that is the same for runs that differ in the order of independent segments alone.
    """

    __slots__ = ("clocks", "entries", "positions", "readers", "signature", "updaters", "wakers", "writers")

    def __init__(self) -> None:
        self.entries: list[TraceEntry] = []
        self.clocks: dict[int, VectorClock] = {}
        self.writers: dict[Key, int] = {}
        self.readers: dict[Key, dict[int, int]] = {}
        self.updaters: dict[Key, dict[int, int]] = {}
        self.wakers: dict[int, int] = {}
        self.positions: dict[int, list[int]] = {}
        self.signature = 0

    def append(self, segment: Segment, node: int | None, options: tuple[int, ...] = ()) -> list[Race]:
        """Add a segment, with what was chosen in it; the races that it closes, each with an entry before."""
        tid, footprint = segment
        position = len(self.entries)
        clocks, writers, readers, updaters = self.clocks, self.writers, self.readers, self.updaters
        reads, updates, writes = footprint.reads, footprint.updates, footprint.writes
        known_clock = clocks.get(tid)
        undo: list[Undo] = [(clocks, tid, known_clock)]
        before = known_clock or {}
        nth = before.get(tid, 0) + 1
        clock = {**before, tid: nth}
        races: list[Race] = []
        rivals: set[int] = set()
        for keys, others in ((reads, (updaters,)), (updates, (readers,)), (writes, (updaters, readers))):
            for key in keys:
                writer = writers.get(key)
                if writer is not None:
                    rivals.add(writer)
                for other_tasks in others:
                    positions = other_tasks.get(key)
                    if positions is not None:
                        rivals.update(positions.values())
        for rival in sorted(rivals, reverse=True):
            entry = self.entries[rival]
            other = entry.segment.tid
            if other == tid:
                continue
            if before.get(other, 0) < entry.nth:
                races.append(Race(rival, tid))
                if entry.waker is not None:
                    # Who comes now might have woken it as well, and before the other did.
                    waker = self.entries[entry.waker]
                    if waker.segment.tid != tid and before.get(waker.segment.tid, 0) < waker.nth:
                        races.append(Race(entry.waker, tid))
            for name, count in entry.clock.items():
                if clock.get(name, 0) < count:
                    clock[name] = count
        for key in writes:
            undo.append((writers, key, writers.get(key)))
            writers[key] = position
            for table in (readers, updaters):
                known = table.pop(key, None)
                if known is not None:
                    undo.append((table, key, known))
        for key in reads:
            if key in writes:
                continue
            known = readers.get(key)
            undo.append((readers, key, known))
            readers[key] = {tid: position} if known is None else {**known, tid: position}
        for key in updates:
            known = updaters.get(key)
            undo.append((updaters, key, known))
            updaters[key] = {tid: position} if known is None else {**known, tid: position}
        clocks[tid] = clock
        for woken in footprint.enabled:
            if woken == tid:
                continue
            known_clock = clocks.get(woken)
            undo.append((clocks, woken, known_clock))
            clocks[woken] = joined(known_clock or {}, clock)
            undo.append((self.wakers, woken, self.wakers.get(woken)))
            self.wakers[woken] = position
        waker_position = self.wakers.pop(tid, None)
        undo.append((self.wakers, tid, waker_position))
        term = hash((tid, nth, tuple(sorted(clock.items())), options))
        self.signature = self.signature + term & _WORD
        self.positions.setdefault(tid, []).append(position)
        self.entries.append(TraceEntry(segment, nth, clock, node, waker_position, undo, term))
        return races

    @property
    def end_position(self) -> int | None:
        """Where the command has ended; None if it hasn't."""
        return self.writers.get(END)

    def position_of(self, tid: int, nth: int) -> int:
        """Where the `nth` segment of `tid` is."""
        return self.positions[tid][nth - 1]

    def cut(self, length: int) -> None:
        """Take away all entries from `length` on."""
        while len(self.entries) > length:
            entry = self.entries.pop()
            self.signature = self.signature - entry.term & _WORD
            self.positions[entry.segment.tid].pop()
            for table, key, value in reversed(entry.undo):
                if value is None:
                    table.pop(key, None)
                else:
                    table[key] = value

    def initials(self, position: int) -> list[int]:
        """The tasks one of which has to go on instead of the entry at `position`, for the last to come before
        it.

        Those that begin what has been done since without needing the entry, the last itself included
        (Abdulla, Aronis, Jonsson and Sagonas 2014, initials of notdep).
        """
        entries = self.entries
        reversed_one = entries[position]
        later: list[TraceEntry] = []
        found: dict[int, None] = {}
        seen: set[int] = set()
        last = len(entries) - 1
        for place in range(position + 1, last + 1):
            entry = entries[place]
            tid = entry.segment.tid
            if place != last and entry.clock.get(reversed_one.segment.tid, 0) >= reversed_one.nth:
                continue
            if tid not in seen:
                seen.add(tid)
                clock = entry.clock
                if not any(clock.get(other.segment.tid, 0) >= other.nth for other in later):
                    found[tid] = None
            later.append(entry)
        return list(found)

    def block_start(self, position: int) -> int:
        """Where the task that was at `position` began to run without another between."""
        entries = self.entries
        tid = entries[position].segment.tid
        while position and entries[position - 1].segment.tid == tid:
            position -= 1
        return position


def joined(first: VectorClock, second: VectorClock) -> VectorClock:
    """What has come before either."""
    result = dict(first)
    for tid, count in second.items():
        if result.get(tid, 0) < count:
            result[tid] = count
    return result
