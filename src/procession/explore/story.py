"""A failing schedule told as a story: who ran when, what each did, and where another took the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.explore.footprint import CLOCK_TID
from procession.explore.source import SourceMap
from procession.explore.world import deviations_of
from procession.syscalls.permitted import CHOSEN_TO_FAIL, FAULTS
from procession.trace.strace import SystemCallTrace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import StringIO

    from procession.explore.finding import Finding, Moment
    from procession.explore.footprint import Segment
    from procession.explore.world import SearchDecider, World

_MOST_LINES = 8
_HEAD = 4
_OF_MEMORY = frozenset(
    (
        *("brk", "mmap", "munmap", "mprotect", "madvise", "arch_prctl", "set_tid_address", "set_robust_list"),
        *("rseq", "prlimit64", "getrandom", "pread64", "access", "uname", "sysinfo"),
    )
)
_OF_ITSELF = frozenset(
    (
        *("rt_sigprocmask", "rt_sigreturn", "rt_sigaction", "sigaltstack", "getpid", "getppid", "gettid"),
        *(
            "getuid",
            "geteuid",
            "getgid",
            "getegid",
            "getpgrp",
            "getpgid",
            "fstat",
            "close",
            "fcntl",
            "dup2",
            "dup",
        ),
        *("lseek", "ioctl", "getcwd", "umask", "clock_gettime", "fadvise64"),
    )
)
"""Calls that say little of what others see, such as those of the dynamic linker: the first to be left out."""


_CHOSEN_TO_BE_SHORT = "it was chosen to be short"


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
    """Keeps the lines of the trace with who wrote them, instead of writing them.

    Of what was chosen, `decider` knows, the transfers that were made short are marked: of errors the trace
    says it.
    """

    __slots__ = ("decider", "lines", "seen")

    def __init__(self, decider: SearchDecider) -> None:
        output: StringIO | None = None
        super().__init__(output)  # type: ignore[arg-type]
        self.lines: list[tuple[int, str]] = []
        self.decider = decider
        self.seen = len(decider.asked)

    def put(self, tid: int, text: str) -> None:
        """See `SystemCallTrace`."""
        asked = self.decider.asked
        is_chosen = any(choice.kind == FAULTS and choice.option for choice in asked[self.seen :])
        if is_chosen and CHOSEN_TO_FAIL not in text:
            text += f" /* {_CHOSEN_TO_BE_SHORT} */"
        self.seen = len(asked)
        self.lines.append((tid, text))


def tell_story(world: World, finding: Finding) -> Story:
    """Take the steps of `finding` again, and write down who did what."""
    turns: list[Turn] = []
    commands: dict[int, str] = {CLOCK_TID: "the clock"}
    world.begin()
    machine = world.machine
    listener = _Listener(world.decider)
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
        for task in machine.kernel.tasks:
            commands.setdefault(task.tid, task.command_name.decode(errors="replace"))
        listener.write_unfinished()
        lines, listener.lines = listener.lines, []
        for number, segment in enumerate(taken.segments):
            mine, lines = _lines_of(segment.tid, lines, taken.segments[number + 1 :])
            name = commands.get(segment.tid, "?")
            if turns and turns[-1].tid == segment.tid:
                last = turns[-1]
                turns[-1] = last._replace(lines=(*last.lines, *mine))
            else:
                turns.append(Turn(segment.tid, name, step, preempted if number == 0 else "", tuple(mine)))
    machine.unobserve(listener)
    # In the last one a task may have been about to call, when the run was over.
    if turns and not turns[-1].lines and not turns[-1].preempted:
        turns.pop()
    return Story(tuple(turns), finding.oracle, finding.problem)


def _lines_of(
    tid: int, lines: list[tuple[int, str]], later: Sequence[Segment]
) -> tuple[list[str], list[tuple[int, str]]]:
    """Of the lines of a step those of a segment of `tid`, and the rest."""
    # A task that goes on later in the step has written up to where another's lines begin.
    if any(segment.tid == tid for segment in later):
        end = next((number for number, (other, _) in enumerate(lines) if other != tid), len(lines))
        return [text for _, text in lines[:end]], lines[end:]
    return [text for other, text in lines if other == tid], [line for line in lines if line[0] != tid]


def story_text(story: Story) -> str:
    """The story for a reader, a paragraph for each turn."""
    lines = [f"{story.oracle}: {story.problem}", ""]
    if not story.turns:
        lines.append("Nothing was to be chosen: only one task could go on, all the time.")
    for number, turn in enumerate(story.turns, 1):
        head = f"{number}. {turn.command} ({turn.tid})" if turn.tid else f"{number}. a timer is due"
        if turn.preempted:
            head += f" goes on before {turn.preempted}"
        lines.append(head)
        lines += [f"     {line}" for line in shortened(turn.lines)]
    return "\n".join(lines) + "\n"


def shortened(lines: tuple[str, ...]) -> list[str]:
    """Of many lines those that matter most to others, and of many of these the first and the last.

    A call that was chosen to fail is always there.
    """
    chosen = [number for number, line in enumerate(lines) if _is_chosen(line)]
    kept = list(range(len(lines)))
    for quiet in (_OF_MEMORY, _OF_ITSELF):
        if len(kept) > _MOST_LINES:
            kept = [number for number in kept if _call_of(lines[number]) not in quiet]
    if len(kept) > _MOST_LINES:
        kept = [*kept[:_HEAD], *kept[_HEAD - _MOST_LINES :]]
    kept = sorted({*kept, *chosen})
    shown: list[str] = []
    following = 0
    for number in [*kept, len(lines)]:
        if number > following:
            shown.append(f"... {number - following} more")
        if number < len(lines):
            shown.append(lines[number])
        following = number + 1
    return shown


def _is_chosen(line: str) -> bool:
    return CHOSEN_TO_FAIL in line or _CHOSEN_TO_BE_SHORT in line


def _call_of(line: str) -> str:
    """The name of the call that a line of the trace is about, "" for a signal or an end."""
    text = line.removeprefix("<... ")
    end = text.find("(") if text is line else text.find(" ")
    return text[:end] if end > 0 and text[:end].isidentifier() else ""


def moments_text(moments: list[Moment], story: Story) -> str:
    """How the share of failing schedules grows along the way, and from which choice on all fail."""
    if not story.turns:
        return ""
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
