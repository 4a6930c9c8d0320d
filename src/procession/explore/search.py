"""Searching depth first: every schedule with at most so many preemptions, none twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.explore.footprint import CLOCK_TID, Footprint, footprint_text
from procession.explore.oracle import ENDLESS
from procession.explore.trace import Race, Trace
from procession.explore.visited import PastRace, Visit, Visited
from procession.explore.world import Checkpoint, deviations_of

if TYPE_CHECKING:
    from procession.explore.footprint import Segment
    from procession.explore.world import Offer, World
    from procession.kernel.decider import NamedChoice


class Reduction(Enum):
    """Which schedules are left out: none, or those that differ from another in nothing that matters; and,
    with a bound, those too that come to a state from which all was tried before."""

    NONE = "none"
    PARTIAL_ORDER = "partial-order"
    STATES = "states"


class Node:
    """A choice on the way to where the search is now.

    `wanted` are the tasks that shall be tried, `done` those that were, with what their first segment touched.
    `sleeping` are tasks whose turn now leads to what was seen already. `variants` are the options of the
    other choices in a step that are still to be tried, each with the task that steps. `cost` is how many
    deviations from the default led here, of which a bound allows so many. `signature` stands for what led
    here, and `races` are those of what was done from here on with it: the position of the step that races,
    the task that does, and whether it's but with the turn which that step is of.
    """

    __slots__ = (
        "checkpoint",
        "cost",
        "done",
        "length",
        "offer",
        "races",
        "signature",
        "sleeping",
        "variants",
        "wanted",
    )

    def __init__(
        self,
        checkpoint: Checkpoint,
        offer: Offer,
        length: int,
        cost: int,
        sleeping: dict[int, Footprint],
        signature: int,
    ) -> None:
        self.checkpoint = checkpoint
        self.offer = offer
        self.length = length
        self.cost = cost
        self.sleeping = sleeping
        self.wanted: dict[int, None] = {}
        self.done: dict[int, Footprint] = {}
        self.variants: list[tuple[int, tuple[int, ...]]] = []
        self.signature = signature
        self.races: set[tuple[int, int, bool]] = set()

    @property
    def runner(self) -> int | None:
        """Who goes on unless it's preempted, None where nobody would be."""
        return self.offer.tids[0] if self.offer.goes_on else None

    def cost_of(self, tid: int) -> int:
        """How many deviations it is to let `tid` go on: preempting who runs, or letting a timer be early."""
        return deviations_of(self.offer, self.offer.tids.index(tid))


Sleeping = tuple[tuple[int, str], ...]
"""Who needn't be tried at a choice, each with the text of what its step touches."""


class OpenNode(NamedTuple):
    """A choice with something to try: the steps to it, which options were tried, and which are to be."""

    path: tuple[tuple[int, tuple[int, ...]], ...]
    done: tuple[int, ...]
    branches: tuple[tuple[int, tuple[int, ...]], ...]
    sleeping: Sleeping


class Coverage(NamedTuple):
    """What a search has seen.

    `schedules` is how many runs there were, `distinct` how many of them differ in more than the order of what
    is independent, `redundant` how many were given up as they'd equal another, `steps` all that were taken.
    `left` says how many alternatives were left out for the bound, `cut_off` how many of the runs were ended
    as they took too many steps or too long, `is_exhausted` that there were no others.
    """

    bound: int | None
    schedules: int
    distinct: int
    redundant: int
    steps: int
    left: int
    cut_off: int
    is_exhausted: bool

    @property
    def is_complete(self) -> bool:
        """Whether there is no schedule that wasn't seen to its end, or is equal to one that was."""
        return self.is_exhausted and not self.left and not self.cut_off


_NOTHING = Footprint()
Visitor = Callable[["World"], bool]
"""Told of each run that has ended; whether the search goes on."""


class Search:
    """A depth-first search of the schedules of `world` with at most `bound` deviations; None for any number.

    `visit` is called with the world at the end of each run. `alive` is asked after each step whether to go
    on. Linux lets a task be preempted anywhere; here that is at system calls, which is where it can matter to
    others.

    With partial-order reduction a task is tried at a choice only if what it does later races with what was
    done there (Flanagan and Godefroid 2005), and without a bound only one of those is that lead to the other
    order (source sets, Abdulla and others 2014), and not where that equals what was seen (sleep sets,
    Godefroid 1996). With a bound, where a preemption would be needed, the task is tried at the beginning of
    the other's turn too (Coons, Musuvathi and McKinley 2013): then nothing within the bound is missed. States
    that were searched before with the bound are in `visited`, and aren't again.
    """

    def __init__(
        self,
        world: World,
        visit: Visitor,
        *,
        bound: int | None = None,
        reduction: Reduction = Reduction.STATES,
        sleeping: Mapping[int, Footprint] | None = None,
        prefix: Sequence[tuple[int, tuple[int, ...]]] = (),
        alive: Callable[[Search], bool] | None = None,
        visited: Visited | None = None,
    ) -> None:
        self.world = world
        self.visit = visit
        self.bound = bound
        self.reduction = reduction
        self.sleeps = bound is None and reduction is not Reduction.NONE
        self.visited: Visited | None = None
        if bound is not None and reduction is Reduction.STATES:
            self.visited = Visited() if visited is None else visited
        self.sleeping = dict(sleeping or {})
        self.prefix = tuple(prefix)
        self.alive = alive
        self.nodes: list[Node] = []
        self.trace = Trace()
        self.schedules = 0
        self.redundant = 0
        self.left = 0
        self.cut_off = 0
        self.signatures: set[int] = set()
        self.steps = 0
        self.is_exhausted = False
        self.root_count = 0
        self.wishes: dict[tuple[int, tuple[int, ...], tuple[int, ...]], None] = {}
        self._cost = 0

    @property
    def coverage(self) -> Coverage:
        """What has been seen so far."""
        return Coverage(
            self.bound,
            self.schedules,
            len(self.signatures),
            self.redundant,
            self.steps,
            self.left,
            self.cut_off,
            self.is_exhausted,
        )

    @property
    def frontier(self) -> int:
        """How many alternatives are known and not yet tried."""
        return sum(len(node.wanted) - len(node.done) + len(node.variants) for node in self.nodes)

    def run(self) -> None:
        """Search until all is seen, `visit` wants no more, or it's not `alive`."""
        self.world.begin(self.prefix)
        with self.world.machine.holding_interrupts():
            self._run()

    def _run(self) -> None:
        world = self.world
        self._note(world.first_segments, None)
        known = world.path.copy()
        for length, (option, inner) in enumerate(self.prefix):
            # What the world has come by before needn't be done again.
            offer = known[length][0] if length < len(known) else world.offer
            if offer is None:
                break
            self.nodes.append(self._new_node(offer, length))
            self._cost += deviations_of(offer, option) + sum(1 for other in inner if other)
            step = known[length][1] if length < len(known) else world.advance(option, inner)
            # Whoever gave this prefix hasn't taken its last step: what that races with is to be tried above.
            self.root_count = len(self.nodes)
            self._note(step.segments, len(self.nodes) - 1, options_of(step.inner))
        if self.nodes:
            option, inner = self.prefix[len(self.nodes) - 1]
            self.nodes[-1].sleeping = self.sleeping
            for variant in variants_of(step.inner, len(inner)):
                self.wishes[len(self.nodes) - 1, (self.nodes[-1].offer.tids[option],), variant] = None
        while True:
            if not self._run_on():
                return
            pending = self._next_pending()
            if pending is None:
                self.is_exhausted = True
                return
            node, tid, inner = pending
            self.trace.cut(node.length)
            world.back_to(node.checkpoint)
            self._step(node, tid, inner)

    def _run_on(self) -> bool:
        """Take default steps to the end of the run; whether the search goes on."""
        world = self.world
        if self.visited is not None:
            self.visited.exchange()
        while world.offer is not None:
            if self.alive is not None and not self.alive(self):
                return False
            node = self._new_node(world.offer, len(world.steps))
            if self._was_visited(node):
                self.redundant += 1
                return True
            tid = next((tid for tid in node.offer.tids if tid not in node.sleeping), None)
            if tid is None:
                self.redundant += 1
                return True
            self.nodes.append(node)
            if self.reduction is Reduction.NONE:
                node.wanted.update(dict.fromkeys(node.offer.tids))
            elif CLOCK_TID in node.offer.tids:
                # What comes of a timer doesn't follow from what is done in the steps beside it alone.
                node.wanted[CLOCK_TID] = None
            self._step(node, tid, ())
        self._try_before_end()
        self.schedules += 1
        self.cut_off += world.ending == ENDLESS
        self.signatures.add(self.trace.signature)
        return self.visit(world)

    def _new_node(self, offer: Offer, length: int) -> Node:
        """The choice after so many steps."""
        sleeping: dict[int, Footprint] = {}
        if self.nodes and self.sleeps:
            sleeping = self._sleeping_after(self.nodes[-1])
        trace = self.trace
        checkpoint = Checkpoint(length, offer)
        return Node(checkpoint, offer, len(trace.entries), self._cost, sleeping, trace.signature)

    def _was_visited(self, node: Node) -> bool:
        """Whether all that is to be tried at `node` was tried before; what races with that is seen to."""
        if self.visited is None:
            return False
        visit = self.visited.find(node.signature, node.runner, node.cost)
        if visit is None:
            return False
        for race in visit.races:
            self._reverse(self.trace.position_of(race.other, race.nth), race.tid, race.is_block)
        return True

    def _sleeping_after(self, parent: Node) -> dict[int, Footprint]:
        """Who is asleep, or was tried before, at `parent`, and isn't touched by what was done there now."""
        taken = [entry.segment for entry in self.trace.entries[parent.length :]]
        return {
            tid: footprint
            for tid, footprint in (*parent.sleeping.items(), *parent.done.items())
            if not any(tid == segment.tid or footprint.meets(segment.footprint) for segment in taken)
        }

    def _step(self, node: Node, tid: int, inner: tuple[int, ...]) -> None:
        """Let `tid` go on at `node`, where the world is."""
        node.wanted[tid] = None
        option = node.offer.tids.index(tid)
        step = self.world.advance(option, inner)
        self.steps += 1
        asked = step.inner
        self._cost = node.cost + node.cost_of(tid) + sum(1 for choice in asked if choice.option)
        for variant in variants_of(asked, len(inner)):
            self._want_variant(node, tid, variant)
        self._note(step.segments, len(self.nodes) - 1, options_of(asked))
        first = next((segment for segment in step.segments if segment.tid == tid), step.segments[0])
        known = node.done.get(tid)
        # The step's own footprint stays as it is: the world knows it too.
        node.done[tid] = first.footprint if known is None else first.footprint.joined(known)

    def _want_variant(self, node: Node, tid: int, inner: tuple[int, ...]) -> None:
        if self.is_beyond(node, tid, inner):
            self.left += 1
        else:
            node.variants.append((tid, inner))

    def _note(self, segments: list[Segment], node: int | None, options: tuple[int, ...] = ()) -> None:
        """Put what was done into the trace, and have tried in the other order what races."""
        for segment in segments:
            for race in self.trace.append(segment, node, options):
                if self.reduction is Reduction.NONE:
                    continue
                if self.bound is None:
                    self._try_initials(race)
                else:
                    self._reverse(race.position, race.tid, is_block=False)
            node, options = None, ()

    def _try_before_end(self) -> None:
        """The run has ended with its command: whoever could have gone on may also come before that."""
        trace = self.trace
        position = trace.end_position
        if position is None or self.reduction is Reduction.NONE:
            return
        end = trace.entries[position]
        for tid in self.world.unfinished:
            if trace.clocks.get(tid, {}).get(end.segment.tid, 0) >= end.nth:
                # It's the end that let it go on.
                continue
            if self.bound is None:
                self._try_before(position, tid)
            else:
                self._reverse(position, tid, is_block=False)

    def _reverse(self, position: int, tid: int, is_block: bool) -> None:
        """Have `tid` tried before the entry at `position`, but with `is_block`, and before the turn that it's
        of."""
        if not is_block:
            self._try_before(position, tid)
        self._try_before(self.trace.block_start(position), tid)
        if self.visited is not None and self.nodes:
            self._keep_race(self.nodes[-1], position, tid, is_block)

    def _keep_race(self, node: Node, position: int, tid: int, is_block: bool) -> None:
        """What was done from `node` on races with what led there, or with the turn in which it lies."""
        if position < node.length:
            node.races.add((position, tid, is_block))
        elif self.trace.block_start(position) < node.length:
            node.races.add((node.length - 1, tid, True))

    def _leave(self, node: Node) -> None:
        """All has been tried that there is to try at `node`, which is the last."""
        visited, trace = self.visited, self.trace
        self.nodes.pop()
        if visited is None:
            return
        if self.nodes:
            for position, tid, is_block in node.races:
                self._keep_race(self.nodes[-1], position, tid, is_block)
        races = [
            PastRace(trace.entries[position].segment.tid, trace.entries[position].nth, tid, is_block)
            for position, tid, is_block in node.races
        ]
        visited.add(node.signature, Visit(node.runner, node.cost, tuple(races)))

    def _try_initials(self, race: Race) -> None:
        """Have one of those tried with which the two of `race` come in the other order."""
        index = self.trace.entries[race.position].node
        if index is None:
            return
        node = self.nodes[index]
        initials = [tid for tid in self.trace.initials(race.position) if tid in node.offer.tids]
        if not initials:
            self._try_before(race.position, race.tid)
        elif index < self.root_count:
            self.wishes[index, tuple(initials), ()] = None
        elif not any(tid in node.wanted for tid in initials):
            tid = race.tid if race.tid in initials else initials[0]
            self._try_before(race.position, tid)

    def _try_before(self, position: int, tid: int) -> None:
        index = self.trace.entries[position].node
        if index is None:
            return
        node = self.nodes[index]
        tids = (tid,) if tid in node.offer.tids else node.offer.tids
        if index < self.root_count:
            self.wishes.update(dict.fromkeys((index, (wanted,), ()) for wanted in tids))
        else:
            node.wanted.update(dict.fromkeys(tids))

    def open_branches(self) -> list[OpenNode]:
        """What is still to be tried below the prefix, where the search has been stopped between two runs."""
        found: list[OpenNode] = []
        for node in self.nodes[self.root_count :]:
            path = tuple(self.world.steps[: node.checkpoint.length])
            branches: list[tuple[int, tuple[int, ...]]] = []
            for tid in node.wanted:
                if tid in node.done or tid in node.sleeping:
                    continue
                if self.is_beyond(node, tid):
                    self.left += 1
                else:
                    branches.append((node.offer.tids.index(tid), ()))
            branches += [(node.offer.tids.index(tid), inner) for tid, inner in node.variants]
            done = tuple(node.offer.tids.index(tid) for tid in node.done)
            asleep = {**node.sleeping, **node.done} if self.sleeps else {}
            sleeping = tuple((tid, footprint_text(footprint)) for tid, footprint in asleep.items())
            found.append(OpenNode(path, done, tuple(branches), sleeping))
        return found

    def is_beyond(self, node: Node, tid: int, inner: tuple[int, ...] = ()) -> bool:
        """Whether letting `tid` go on at `node` is more than the bound allows."""
        cost = node.cost + node.cost_of(tid) + sum(1 for option in inner if option)
        return self.bound is not None and cost > self.bound

    def _next_pending(self) -> tuple[Node, int, tuple[int, ...]] | None:
        """The deepest choice with something to try; what is above it is forgotten."""
        nodes = self.nodes
        while len(nodes) > self.root_count:
            node = nodes[-1]
            if node.variants:
                tid, inner = node.variants.pop()
                return node, tid, inner
            for tid in node.wanted:
                if tid in node.done or tid in node.sleeping:
                    continue
                if self.is_beyond(node, tid):
                    self.left += 1
                    node.sleeping[tid] = _NOTHING
                    continue
                return node, tid, ()
            self._leave(node)
        return None


def options_of(asked: Sequence[NamedChoice]) -> tuple[int, ...]:
    """What was chosen in a step but for who goes on."""
    return tuple(choice.option for choice in asked)


def variants_of(asked: Sequence[NamedChoice], known: int) -> Iterator[tuple[int, ...]]:
    """The options of a step's other choices that weren't taken, but might be, from the choice `known` on."""
    for position in range(known, len(asked)):
        before = tuple(choice.option for choice in asked[:position])
        for other in range(1, asked[position].among):
            yield (*before, other)
