"""A failing schedule told as a story: who ran when, what each did, and where another took the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from procession.explore.footprint import CLOCK_TID
from procession.explore.source import SourceMap
from procession.explore.world import deviations_of
from procession.trace.strace import SystemCallTrace

if TYPE_CHECKING:
    from io import StringIO

    from procession.explore.finding import Finding, Moment
    from procession.explore.world import World

_MOST_LINES = 8
_HEAD = 4


class Turn(NamedTuple):
    """What one task did until another went on: its calls as strace prints them, signals and its end.

    `preempted` is what the task before was about to call, "" if it slept, ended or wasn't interrupted; `step`
    is the step of the run at which the turn began. `tid` is 0 for the clock: a timer was due.
    """

    tid: int
    command: str
    step: int
    preempted: str
    lines: tuple[str, ...]


class Story(NamedTuple):
    """The turns of a run, and what was wrong in the end."""

    turns: tuple[Turn, ...]
    oracle: str
    problem: str


class _Listener(SystemCallTrace):
    """Keeps the lines of the trace with who wrote them, instead of writing them."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        output: StringIO | None = None
        super().__init__(output)  # type: ignore[arg-type]
        self.lines: list[tuple[int, str]] = []

    def put(self, tid: int, text: str) -> None:
        """See `SystemCallTrace`."""
        self.lines.append((tid, text))


def tell_story(world: World, finding: Finding) -> Story:
    """Take the steps of `finding` again, and write down who did what."""
    listener = _Listener()
    turns: list[Turn] = []
    commands: dict[int, str] = {CLOCK_TID: "the clock"}
    world.begin()
    machine = world.machine
    source = SourceMap(machine)
    listener.ignored = None if machine.is_pid1 else machine.init.group
    machine.observe(listener)
    for step, (option, inner) in enumerate(finding.steps):
        offer = world.offer
        if offer is None:
            break
        for task in machine.kernel.tasks:
            commands[task.tid] = task.command_name.decode(errors="replace")
        preempted = ""
        if deviations_of(offer, option) and offer.goes_on:
            task = world.preferred
            place = source.place_of(task)
            preempted = world.pending_call + (f", at {place}" if place else "")
        taken = world.advance(option, inner)
        listener.write_unfinished()
        lines, listener.lines = listener.lines, []
        for number, segment in enumerate(taken.segments):
            mine = [text for tid, text in lines if tid == segment.tid]
            lines = [(tid, text) for tid, text in lines if tid != segment.tid]
            name = commands.get(segment.tid, "?")
            if turns and turns[-1].tid == segment.tid:
                last = turns[-1]
                turns[-1] = last._replace(lines=(*last.lines, *mine))
            else:
                turns.append(Turn(segment.tid, name, step, preempted if number == 0 else "", tuple(mine)))
    machine.unobserve(listener)
    return Story(tuple(turns), finding.oracle, finding.problem)


def story_text(story: Story) -> str:
    """The story for a reader, a paragraph for each turn."""
    lines = [f"{story.oracle}: {story.problem}", ""]
    for number, turn in enumerate(story.turns, 1):
        head = f"{number}. {turn.command} ({turn.tid})" if turn.tid else f"{number}. a timer is due"
        if turn.preempted:
            head += f" goes on before {turn.preempted}"
        lines.append(head)
        lines += [f"     {line}" for line in shortened(turn.lines)]
    return "\n".join(lines) + "\n"


def shortened(lines: tuple[str, ...]) -> list[str]:
    """The first and the last of many lines."""
    if len(lines) <= _MOST_LINES:
        return list(lines)
    tail = _MOST_LINES - _HEAD
    return [*lines[:_HEAD], f"... {len(lines) - _MOST_LINES} more", *lines[-tail:]]


def moments_text(moments: list[Moment], story: Story) -> str:
    """How the share of failing schedules grows along the way, and from which choice on all fail."""
    lines = ["   step  fail of those that begin so"]
    previous = (-1, -1)
    for moment in moments:
        if (moment.failing, moment.tried) == previous:
            continue
        previous = moment.failing, moment.tried
        share = moment.failing / max(moment.tried, 1)
        bar = "#" * round(share * 20)
        about = "" if moment.is_exact else " tried"
        lines.append(f"  {moment.step:5}  {share:4.0%} {bar:<20} {moment.failing} of {moment.tried}{about}")
    sealed = inevitable_at(moments)
    if sealed is not None:
        turn = next((turn for turn in reversed(story.turns) if turn.step < max(sealed, 1)), None)
        whose = f": {turn.command} ({turn.tid}) went on" if turn is not None else ""
        lines.append(f"  from step {sealed} on every schedule fails{whose}")
    return "\n".join(lines) + "\n"


def inevitable_at(moments: list[Moment]) -> int | None:
    """The first step from which on all that was tried failed; None if there's none."""
    sealed: int | None = None
    for moment in reversed(moments):
        if moment.failing < moment.tried:
            break
        sealed = moment.step
    return sealed
