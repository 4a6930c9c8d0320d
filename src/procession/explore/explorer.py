"""The whole exploration of a program: one search after the other, or runs by chance, and a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.explore.division import PIECE_S, Piece, Task
from procession.explore.finding import Finding, Moment
from procession.explore.ledger import IN_MEMORY, Ledger, identity_of
from procession.explore.minimise import minimise
from procession.explore.oracle import (
    DEFAULT_ORACLES,
    ENDLESS,
    LOOK_AT_STACKS,
    ORACLES,
    Expectation,
    Oracle,
    looks_at_descriptors,
    problems,
)
from procession.explore.sampling import DEFAULT_DEPTH, Chance, PrioritySampler, UniformSampler
from procession.explore.search import Coverage, Reduction, Search
from procession.explore.world import World
from procession.interrupt import NotedInterrupt
from procession.recording.schedule import TIMER

if TYPE_CHECKING:
    from procession.explore.crew import Crew
    from procession.explore.program import Program

DEFAULT_PREEMPTIONS = 2
INTERRUPTION = "interrupted"
_MOMENT_SCHEDULES, _MOMENT_STEPS = 64, 1000
_SHARE, _LARGEST_HANDFUL = 8, 32
"""Which part of the open pieces is handed out at once, and how many at most."""
_ORDERED_OUTPUT = ("output",)
"""The oracles for which the order matters in which tasks write to standard output."""
_MOST_MOMENTS = 24
_NAME_BYTES = 16


class Limits(NamedTuple):
    """Where an exploration ends by itself: after so many schedules, or seconds of the caller's time."""

    schedules: int | None = None
    seconds: float | None = None


class Report(NamedTuple):
    """What an exploration has found, and what it has seen.

    `coverages` are of the searches, one for each bound; `chance` is what runs by priorities promise,
    `samples` how many runs by chance there were, and `samples_cut_off` how many of these were ended as they
    took too many steps or too long. `is_complete` says that there is no schedule at all, of those that differ
    in what is branched over, that wasn't seen to its end, or is equal to one that was; `reason_to_end` why it
    ended before that, "" if it did all that it was to do. `has_unwatched_memory` says that tasks share memory
    and were interrupted at calls alone, `has_reduced_timers` that timers might be early in a search with a
    bound that left schedules out.
    """

    findings: tuple[Finding, ...]
    coverages: tuple[Coverage, ...]
    chance: Chance | None
    samples: int
    samples_cut_off: int
    is_complete: bool
    reason_to_end: str
    seconds: float
    steps: int
    first_status: int
    first_stdout: bytes
    has_unwatched_memory: bool
    has_reduced_timers: bool

    @property
    def schedules(self) -> int:
        """How many runs there were."""
        return sum(coverage.schedules for coverage in self.coverages) + self.samples


class Progress(NamedTuple):
    """How far an exploration is."""

    bound: int | None
    schedules: int
    steps: int
    frontier: int
    findings: int
    seconds: float


class Explorer:
    """Explores the schedules of `program`.

    `preemptions` is the largest bound, None for no bound in the end; `expected` what every run is to give.
    Without `finds_all` it ends with the first finding. `tell` is called now and then, and `stop` ends it.
    """

    def __init__(
        self,
        program: Program,
        *,
        oracles: Sequence[Oracle | str] = DEFAULT_ORACLES,
        preemptions: int | None = DEFAULT_PREEMPTIONS,
        expected: Expectation | None = None,
        reduction: Reduction = Reduction.STATES,
        limits: Limits | None = None,
        finds_all: bool = False,
        world: World | None = None,
        tell: Callable[[Progress], object] | None = None,
    ) -> None:
        self.program = program
        self.given_oracles = tuple(oracles)
        self.oracles = [ORACLES[oracle] if isinstance(oracle, str) else oracle for oracle in oracles]
        self.preemptions = preemptions
        self.expected = expected or Expectation()
        self.reduction = reduction
        self.limits = limits or Limits()
        self.finds_all = finds_all
        names = {oracle.name for oracle in self.oracles}
        self.world = world or World(
            program,
            orders_output=not names.isdisjoint(_ORDERED_OUTPUT),
            looks_at_stacks=not names.isdisjoint(LOOK_AT_STACKS),
            looks_at_descriptors=looks_at_descriptors(self.oracles),
        )
        self.tell = tell
        self.findings: dict[tuple[str, str], Finding] = {}
        self.coverages: list[Coverage] = []
        self.chance: Chance | None = None
        self.samples = 0
        self.samples_cut_off = 0
        self.search: Search | None = None
        self.divided: Coverage | None = None
        self.interrupt = NotedInterrupt()
        self.divided_steps = 0
        self.has_unwatched_memory = False
        self.frontier = 0
        self.is_complete = False
        self.reason_to_end = ""
        self.started_s = time.monotonic()
        self.first_status = 0
        self.first_stdout = b""

    # Running

    def run(self) -> Report:
        """Search with no preemption, then with one, two ... up to the bound. Raises what `Machine` does."""
        try:
            if self._first_run():
                self._search_all()
        except KeyboardInterrupt:
            self.reason_to_end = INTERRUPTION
        if self.search is not None:
            self._leave_search()
        return self.report

    def run_divided(self, crew: Crew, state_file: str = IN_MEMORY, piece_s: float = PIECE_S) -> Report:
        """As `run`, in pieces that `crew` does, with the state of the search in an SQLite file.

        Raises OtherSearch, sqlite3.Error, WorkersDie.
        """
        task = Task(
            self.program,
            tuple(self.given_oracles),
            self.expected,
            0,
            self.reduction,
            self.finds_all,
            self.world.orders_output,
            piece_s,
            search=token_hex(_NAME_BYTES),
        )
        try:
            crew.prepare(task)
            self._first_run()
            self.interrupt.begin()
            try:
                self._divide_all(task._replace(expected=self.expected), crew, state_file)
            finally:
                self.interrupt.end()
        except KeyboardInterrupt:
            self.reason_to_end = INTERRUPTION
        return self.report

    def _divide_all(self, task: Task, crew: Crew, state_file: str) -> None:
        """Search with one bound after the other. Raises OtherSearch, sqlite3.Error, WorkersDie."""
        # Nobody else sees what is kept in memory: the files needn't be read for that.
        what = "" if state_file == IN_MEMORY else identity_of(task, self.world.machine)
        ledger = Ledger(what, state_file)
        try:
            for bound in self._bounds:
                try:
                    if ledger.begin(bound):
                        self._divide(task._replace(bound=bound), ledger, crew)
                except KeyboardInterrupt:
                    self.reason_to_end = INTERRUPTION
                coverage = ledger.coverage(bound)
                self.coverages.append(coverage)
                for finding in ledger.findings:
                    self.add(finding)
                if not coverage.is_exhausted or (self.findings and not self.finds_all):
                    break
                if not coverage.left:
                    self.is_complete = coverage.is_complete
                    break
                if self.reason_to_end:
                    break
            self.has_unwatched_memory = ledger.has_unwatched_memory
        finally:
            ledger.close()

    def _divide(self, task: Task, ledger: Ledger, crew: Crew) -> None:
        """Have all open pieces done, until there are none or the search ends for another reason."""
        bound = task.bound
        waiting = sorted(ledger.open_pieces(bound), key=_depth_of, reverse=True)
        handed_out = 0
        while waiting or handed_out:
            while waiting and crew.room > 0:
                # The shallowest are the largest, and go alone while there are few.
                count = min(max(len(waiting) // _SHARE, 1), _LARGEST_HANDFUL)
                handful = [waiting.pop() for _ in range(count)]
                crew.hand_out(task, handful)
                handed_out += count
            crew.ask_for_work(not waiting and crew.room > 0)
            for piece, result in crew.collect():
                handed_out -= 1
                if result is None:
                    waiting.append(piece)
                    continue
                waiting += ledger.enter(bound, piece, result)
                self.divided = ledger.coverage(bound)
                self.divided_steps += result.steps
                self.frontier = len(waiting) + handed_out
                for finding in result.findings:
                    self.add(finding)
            waiting.sort(key=_depth_of, reverse=True)
            if (self.findings and not self.finds_all) or not self._may_go_on():
                return
        ledger.finish(bound)

    def sample(self, runs: int, *, seed: int = 0, depth: int | None = DEFAULT_DEPTH) -> Report:
        """Run by chance: by priorities for bugs of `depth`, uniformly if that's None."""
        by_priority = None if depth is None else PrioritySampler(seed, depth)
        sampler: PrioritySampler | UniformSampler = by_priority or UniformSampler(seed)
        try:
            if self._first_run():
                if by_priority is not None:
                    by_priority.expect(len(self.world.steps))
                for _ in range(runs):
                    if not sampler.run(self.world, self._may_go_on):
                        break
                    self.samples += 1
                    self.samples_cut_off += self.world.ending == ENDLESS
                    if not self._visit(self.world):
                        break
        except KeyboardInterrupt:
            self.reason_to_end = INTERRUPTION
        self.chance = None if by_priority is None else by_priority.chance
        return self.report

    def _first_run(self) -> bool:
        """The run that is all default; what it gives is what's expected where nothing was said."""
        world = self.world
        world.warm_up()
        world.begin()
        while world.offer is not None:
            world.advance(0)
        run = world.run
        self.first_status, self.first_stdout = run.status, run.stdout
        if run.ending == "exited":
            expected = self.expected
            self.expected = Expectation(
                run.status if expected.status is None else expected.status,
                run.stdout if expected.stdout is None else expected.stdout,
                expected.status is None,
                expected.stdout is None,
            )
        return True

    def _search_all(self) -> None:
        for bound in self._bounds:
            self.search = search = Search(
                self.world, self._visit, bound=bound, reduction=self.reduction, alive=self._alive
            )
            search.run()
            self._leave_search()
            if not search.is_exhausted:
                return
            if not search.left:
                self.is_complete = search.coverage.is_complete
                return

    @property
    def _bounds(self) -> list[int | None]:
        return [0, 1, 2, None] if self.preemptions is None else [*range(self.preemptions + 1)]

    def _leave_search(self) -> None:
        if self.search is not None:
            self.coverages.append(self.search.coverage)
            self.search = None

    def _alive(self, _search: Search) -> bool:
        return self._may_go_on()

    def _may_go_on(self) -> bool:
        if self.tell is not None:
            self.tell(self.progress)
        limits = self.limits
        if self.interrupt.is_noted:
            self.reason_to_end = INTERRUPTION
        elif limits.seconds is not None and self.seconds > limits.seconds:
            self.reason_to_end = f"the limit of {limits.seconds:g} s"
        elif limits.schedules is not None and self.progress.schedules >= limits.schedules:
            self.reason_to_end = f"the limit of {limits.schedules} schedules"
        return not self.reason_to_end

    # Judging

    def judge(self, world: World) -> Finding | None:
        """What the oracles find wrong with the run that `world` has ended."""
        return problems(self.oracles, world, self.expected)

    def _visit(self, world: World) -> bool:
        finding = self.judge(world)
        if finding is not None:
            self.add(finding)
        return self.finds_all or not self.findings

    def add(self, finding: Finding) -> None:
        """Keep a finding, unless one like it is known with no more deviations."""
        known = self.findings.get((finding.oracle, finding.problem))
        if known is None or known.deviations > finding.deviations:
            self.findings[finding.oracle, finding.problem] = finding

    def minimised(self, finding: Finding) -> Finding:
        """The simplest schedule with the same failure that trying finds."""
        return minimise(self.world, finding, self.judge)

    def moments(self, finding: Finding) -> list[Moment]:
        """From each choice on the way, how many schedules fail: the later ones all do."""
        found: list[Moment] = []
        count = len(finding.steps)
        places = sorted({*range(0, count + 1, max(count // _MOST_MOMENTS, 1)), count})
        for place in places:
            failing = tried = 0

            def visit(world: World) -> bool:
                nonlocal failing, tried
                tried += 1
                other = self.judge(world)
                failing += other is not None and other.oracle == finding.oracle
                return tried < _MOMENT_SCHEDULES

            search = Search(
                self.world,
                visit,
                bound=max(finding.deviations, 1),
                reduction=self.reduction,
                prefix=finding.steps[:place],
                alive=lambda search: not search.schedules or search.steps < _MOMENT_STEPS,
            )
            search.run()
            found.append(Moment(place, failing, tried, search.is_exhausted))
        return found

    # Telling

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self.started_s

    @property
    def progress(self) -> Progress:
        """How far it is."""
        search = self.search
        schedules = sum(coverage.schedules for coverage in self.coverages) + self.samples
        if search is None:
            divided = self.divided
            return Progress(
                None if divided is None else divided.bound,
                schedules + (0 if divided is None else divided.schedules),
                self.world.new_count + self.divided_steps,
                self.frontier,
                len(self.findings),
                self.seconds,
            )
        return Progress(
            search.bound,
            schedules + search.schedules,
            self.world.new_count,
            search.frontier,
            len(self.findings),
            self.seconds,
        )

    @property
    def report(self) -> Report:
        """What is known."""
        return Report(
            tuple(self.findings.values()),
            tuple(self.coverages),
            self.chance,
            self.samples,
            self.samples_cut_off,
            self.is_complete,
            self.reason_to_end,
            self.seconds,
            self.world.new_count + self.divided_steps,
            self.first_status,
            self.first_stdout,
            self.has_unwatched_memory or (self.world.is_begun and self.world.has_unwatched_memory),
            TIMER in self.program.kinds
            and self.reduction is not Reduction.NONE
            and any(coverage.bound is not None for coverage in self.coverages),
        )


def _depth_of(piece: Piece) -> int:
    return len(piece.steps)
