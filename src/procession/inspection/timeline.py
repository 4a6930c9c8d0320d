"""The life of each task as its states, why it came to each, and how long it stayed there."""

from __future__ import annotations

from collections.abc import Iterable

from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import Signal
from procession.inspection.event import (
    Cloned,
    Event,
    Executed,
    Exited,
    Reaped,
    SignalDelivered,
    SignalGenerated,
    StateChanged,
    Superseded,
    Switched,
    Woken,
)
from procession.kernel.task_state import TaskState

_SLEEPING = (TaskState.INTERRUPTIBLE, TaskState.UNINTERRUPTIBLE, TaskState.KILLABLE)
_HALTED = (TaskState.STOPPED, TaskState.TRACED)

RUNNABLE_TO_RUNNING = "runnable to running"
ZOMBIE_TO_REAPED = "zombie to reaped"
GENERATED_TO_DELIVERED = "signal generated to delivered"


class Span(NamedTuple):
    """A stay in `state` from `start_ns` to `end_ns`, -1 while it lasts.

    `cause` says why the task came there, in words: the call that sleeps, what woke it, its exit status.
    `waker_tid` is the task whose doing it was, 0 for nobody's.
    """

    state: TaskState
    start_ns: int
    end_ns: int
    cause: str
    waker_tid: int


class Edge(NamedTuple):
    """All transitions of one kind: how many there were, and how long the tasks had been in the state left."""

    before: TaskState
    after: TaskState
    times: int
    total_ns: int


class Latency(NamedTuple):
    """How long something took, which `kind` names, of task `tid`, from `start_ns` on."""

    kind: str
    tid: int
    start_ns: int
    length_ns: int


class LatencySummary(NamedTuple):
    """How long something took that happened so many `times`, in nanoseconds."""

    times: int
    least_ns: int
    median_ns: int
    most_ns: int
    total_ns: int


class Life:
    """One task: `name` is its program's, `spans` are its states in order, `parent_tid` who made it."""

    __slots__ = ("events", "latencies", "name", "parent_tid", "pid", "spans", "tid")

    def __init__(self, tid: int, pid: int) -> None:
        self.tid = tid
        self.pid = pid
        self.name = ""
        self.parent_tid = 0
        self.spans: list[Span] = []
        self.events: list[Event] = []
        self.latencies: list[Latency] = []

    def summary(self, kind: str) -> LatencySummary | None:
        """What its latencies of one kind come to; None if there were none."""
        return _summary(latency for latency in self.latencies if latency.kind == kind)


class Timeline:
    """Takes the events of a machine in order, and tells the lives of its tasks.

    Ids are used again: a task whose id another had before has a life of its own. A signal's latency is known
    for those that were queued; of several alike the first that was sent is delivered first.
    """

    def __init__(self) -> None:
        self.lives: list[Life] = []
        self.latencies: list[Latency] = []
        self.end_ns = 0
        self._current: dict[int, Life] = {}
        self._woken: dict[int, Woken] = {}
        self._sent: dict[tuple[int, int], list[int]] = {}

    def take(self, event: Event) -> None:
        """The next event."""
        self.end_ns = max(self.end_ns, event.time_ns)
        life = self._life(event)
        if isinstance(event, StateChanged):
            self._change(life, event)
        elif isinstance(event, Woken):
            self._woken[event.tid] = event
        elif isinstance(event, Cloned):
            life.parent_tid = event.maker_tid
            maker = self._current.get(event.maker_tid)
            life.name = maker.name if maker is not None else ""
        elif isinstance(event, Executed):
            life.name = event.path.rpartition(b"/")[2].decode("utf-8", "replace")
        elif isinstance(event, Exited):
            # The kernel tells this when the task is a zombie already.
            last = life.spans[-1] if life.spans else None
            if last is not None and last.state is TaskState.ZOMBIE:
                life.spans[-1] = last._replace(cause=end_text(event.status))
        elif isinstance(event, SignalGenerated):
            if event.outcome == "queued":
                receiver = -event.pid if event.is_for_process else event.tid
                self._sent.setdefault((receiver, event.signal), []).append(event.time_ns)
        elif isinstance(event, SignalDelivered):
            self._delivered(event)
        elif isinstance(event, Superseded):
            self._current[event.tid] = life
        if not isinstance(event, Switched | StateChanged):
            life.events.append(event)
        if isinstance(event, Reaped):
            self._current.pop(event.tid, None)

    def take_all(self, events: Iterable[Event]) -> Timeline:
        """All of `events`; gives itself."""
        for event in events:
            self.take(event)
        return self

    def edges(self) -> list[Edge]:
        """The transitions that happened, by the states that they lead from and to."""
        found: dict[tuple[TaskState, TaskState], tuple[int, int]] = {}
        for life in self.lives:
            for left, reached in zip(life.spans, life.spans[1:], strict=False):
                count, total_ns = found.get((left.state, reached.state), (0, 0))
                found[left.state, reached.state] = count + 1, total_ns + left.end_ns - left.start_ns
        return [Edge(*states, *counted) for states, counted in sorted(found.items())]

    def summary(self, kind: str, tid: int | None = None) -> LatencySummary | None:
        """What the latencies of one kind come to, of one task or in all; None if there were none."""
        return _summary(
            latency
            for latency in self.latencies
            if latency.kind == kind and (tid is None or latency.tid == tid)
        )

    def _life(self, event: Event) -> Life:
        life = self._current.get(event.tid)
        if life is None or (isinstance(event, Cloned) and life.spans):
            life = self._current[event.tid] = Life(event.tid, event.pid)
            self.lives.append(life)
        return life

    def _change(self, life: Life, event: StateChanged) -> None:
        now_ns, spans = event.time_ns, life.spans
        if spans:
            spans[-1] = spans[-1]._replace(end_ns=now_ns)
        elif event.before is not TaskState.NEW:
            # It was there before anybody looked.
            spans.append(Span(event.before, now_ns, now_ns, "", 0))
        cause, waker_tid = self._cause(event)
        spans.append(Span(event.after, now_ns, -1, cause, waker_tid))
        if event.after is TaskState.RUNNING and event.before is TaskState.RUNNABLE:
            self._note(life, RUNNABLE_TO_RUNNING, event, spans[-2].start_ns)
        elif event.after is TaskState.DEAD and event.before is TaskState.ZOMBIE:
            self._note(life, ZOMBIE_TO_REAPED, event, spans[-2].start_ns)

    def _note(self, life: Life, kind: str, event: Event, start_ns: int) -> None:
        latency = Latency(kind, event.tid, start_ns, event.time_ns - start_ns)
        self.latencies.append(latency)
        life.latencies.append(latency)

    def _cause(self, event: StateChanged) -> tuple[str, int]:
        """Why `event` happened, and whose doing it was."""
        before, after = event.before, event.after
        if after in _SLEEPING:
            return f"sleeps in {event.call}" if event.call else "sleeps", 0
        if after is TaskState.ZOMBIE:
            return "ended", 0
        if after is TaskState.DEAD:
            return "reaped", 0
        if after in _HALTED:
            return "stopped" if after is TaskState.STOPPED else "traced", 0
        if before is TaskState.NEW:
            return "made", 0
        if before in _SLEEPING or before in _HALTED:
            woken = self._woken.pop(event.tid, None)
            if woken is not None:
                return f"woken by {woken.cause}", woken.waker_tid
            return "woken", 0
        return ("chosen to run", 0) if after is TaskState.RUNNING else ("gave way", 0)

    def _delivered(self, event: SignalDelivered) -> None:
        for receiver in (event.tid, -event.pid):
            times = self._sent.get((receiver, event.signal))
            if times:
                self._note(self._life(event), GENERATED_TO_DELIVERED, event, times.pop(0))
                return


def signal_text(signal: int) -> str:
    """The name of a signal, or its number where it has none."""
    try:
        return Signal(signal).name
    except ValueError:
        return f"signal {signal}"


def end_text(status: int) -> str:
    """How a task ended, by its wait status: `exit status 3`, `killed by SIGTERM`."""
    signal = status & 0x7F
    return f"killed by {signal_text(signal)}" if signal else f"exit status {status >> 8}"


def _summary(latencies: Iterable[Latency]) -> LatencySummary | None:
    lengths = sorted(latency.length_ns for latency in latencies)
    if not lengths:
        return None
    return LatencySummary(len(lengths), lengths[0], lengths[len(lengths) // 2], lengths[-1], sum(lengths))
