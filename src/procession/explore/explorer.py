"""The whole exploration of a program: one search after the other, or runs by chance, and a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from procession.explore.finding import Finding, Moment, Steps
from procession.explore.minimise import minimise
from procession.explore.oracle import DEFAULT_ORACLES, ORACLES, Expectation, Oracle
from procession.explore.sampling import DEFAULT_DEPTH, Chance, PrioritySampler, UniformSampler
from procession.explore.search import Coverage, Reduction, Search
from procession.explore.world import World

if TYPE_CHECKING:
    from procession.explore.program import Program

DEFAULT_PREEMPTIONS = 2
_MOMENT_SCHEDULES = 64
_ORDERED_OUTPUT = ("output",)
"""The oracles for which the order matters in which tasks write to standard output."""
_MOST_MOMENTS = 24


class Limits(NamedTuple):
    """Where an exploration ends by itself: after so many schedules, or seconds of the caller's time."""

    schedules: int | None = None
    seconds: float | None = None


class Report(NamedTuple):
    """What an exploration has found, and what it has seen.

    `coverages` are of the searches, one for each bound; `chance` is what runs by priorities promise,
    `samples` how many runs by chance there were. `is_complete` says that there is no schedule at all that
    wasn't seen, or is equal to one that was; `reason_to_end` why it ended before that, "" if it did all that
    it was to do.
    """

    findings: tuple[Finding, ...]
    coverages: tuple[Coverage, ...]
    chance: Chance | None
    samples: int
    is_complete: bool
    reason_to_end: str
    seconds: float
    steps: int
    first_status: int
    first_stdout: bytes

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
        reduction: Reduction = Reduction.PARTIAL_ORDER,
        limits: Limits | None = None,
        finds_all: bool = False,
        world: World | None = None,
        tell: Callable[[Progress], object] | None = None,
    ) -> None:
        self.program = program
        self.oracles = [ORACLES[oracle] if isinstance(oracle, str) else oracle for oracle in oracles]
        self.preemptions = preemptions
        self.expected = expected or Expectation()
        self.reduction = reduction
        self.limits = limits or Limits()
        self.finds_all = finds_all
        names = {oracle.name for oracle in self.oracles}
        self.world = world or World(program, orders_output=not names.isdisjoint(_ORDERED_OUTPUT))
        self.tell = tell
        self.findings: dict[tuple[str, str], Finding] = {}
        self.coverages: list[Coverage] = []
        self.chance: Chance | None = None
        self.samples = 0
        self.search: Search | None = None
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
            self.reason_to_end = "interrupted"
        if self.search is not None:
            self._leave_search()
        return self.report

    def sample(self, runs: int, *, seed: int = 0, depth: int | None = DEFAULT_DEPTH) -> Report:
        """Run by chance: by priorities for bugs of `depth`, uniformly if that's None."""
        by_priority = None if depth is None else PrioritySampler(seed, depth)
        sampler: PrioritySampler | UniformSampler = by_priority or UniformSampler(seed)
        try:
            if self._first_run():
                for _ in range(runs):
                    if not sampler.run(self.world, self._may_go_on):
                        break
                    self.samples += 1
                    if not self._visit(self.world):
                        break
        except KeyboardInterrupt:
            self.reason_to_end = "interrupted"
        self.chance = None if by_priority is None else by_priority.chance
        return self.report

    def _first_run(self) -> bool:
        """The run that is all default; what it gives is what's expected where nothing was said."""
        world = self.world
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
            )
        return True

    def _search_all(self) -> None:
        bounds: list[int | None] = (
            [0, 1, 2, None] if self.preemptions is None else [*range(self.preemptions + 1)]
        )
        for bound in bounds:
            self.search = search = Search(
                self.world, self._visit, bound=bound, reduction=self.reduction, alive=self._alive
            )
            search.run()
            self._leave_search()
            if not search.is_exhausted:
                return
            if not search.left:
                self.is_complete = True
                return

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
        if limits.seconds is not None and self.seconds > limits.seconds:
            self.reason_to_end = f"the limit of {limits.seconds:g} s"
        elif limits.schedules is not None and self.progress.schedules >= limits.schedules:
            self.reason_to_end = f"the limit of {limits.schedules} schedules"
        return not self.reason_to_end

    # Judging

    def judge(self, world: World) -> list[Finding]:
        """What the oracles find wrong with the run that `world` has ended."""
        run = world.run
        steps: Steps = tuple(world.steps)
        found = []
        for oracle in self.oracles:
            problem = oracle.check(run, self.expected)
            if problem:
                found.append(
                    Finding(oracle.name, problem, steps, world.deviations, run.status, run.stdout, run.stderr)
                )
        return found

    def _visit(self, world: World) -> bool:
        found = self.judge(world)
        if found:
            # One schedule is one finding, whatever else is wrong with it.
            problem = "; ".join(finding.problem for finding in found)
            self.findings.setdefault((found[0].oracle, problem), found[0]._replace(problem=problem))
        return self.finds_all or not self.findings

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
                failing += any(other.oracle == finding.oracle for other in self.judge(world))
                return tried < _MOMENT_SCHEDULES

            search = Search(
                self.world,
                visit,
                bound=max(finding.deviations, 1),
                reduction=self.reduction,
                prefix=finding.steps[:place],
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
            return Progress(None, schedules, self.world.step_count, 0, len(self.findings), self.seconds)
        return Progress(
            search.bound,
            schedules + search.schedules,
            self.world.step_count,
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
            self.is_complete,
            self.reason_to_end,
            self.seconds,
            self.world.step_count,
            self.first_status,
            self.first_stdout,
        )
