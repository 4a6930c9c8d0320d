"""Schedules by chance, for programs with too many to try all: by priorities (PCT), or uniformly."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.explore.world import World

DEFAULT_DEPTH = 3


class Chance(NamedTuple):
    """What runs by priorities promise: a bug of `depth`, in schedules of at most `tasks` tasks and `steps`
    steps, is missed by all of `runs` with `missed` probability at most.

    No run had more tasks or steps. `runs` are those that might change priorities at any of so many steps: of
    the ones before, which weren't known to be so long, nothing is promised.
    """

    depth: int
    runs: int
    tasks: int
    steps: int

    @property
    def missed(self) -> float:
        """(1 - 1 / (n * k^(d-1)))^runs, of Burckhardt, Kothari, Musuvathi and Nagarakatte 2010."""
        least = 1 / (max(self.tasks, 1) * max(self.steps, 1) ** (self.depth - 1))
        return float((1 - least) ** self.runs)


class PrioritySampler:
    """Probabilistic concurrency testing: the task with the highest priority goes on.

    Tasks get priorities by chance when they are first seen; at `depth` - 1 steps chosen before the run, the
    one that would go on gets the lowest of all. They are chosen among as many steps as any run before had,
    rounded up to a power of two: so few runs are longer than was thought.
    """

    def __init__(self, seed: int, depth: int = DEFAULT_DEPTH) -> None:
        self.random = Random(seed)
        self.depth = depth
        self.most_tasks = 1
        self.range = 1
        self.runs = 0

    def run(self, world: World, alive: Callable[[], bool]) -> bool:
        """One run; whether it came to its end."""
        chance = self.random
        world.begin()
        changes = {chance.randrange(self.range): -place for place in range(1, self.depth)}
        priorities: dict[int, float] = {}
        step = 0
        while world.offer is not None:
            if not alive():
                return False
            for tid in world.offer.tids:
                priorities.setdefault(tid, chance.random())
            tid = max(world.offer.tids, key=priorities.__getitem__)
            if step in changes:
                priorities[tid] = changes[step]
                tid = max(world.offer.tids, key=priorities.__getitem__)
            world.advance(world.offer.tids.index(tid))
            step += 1
        self.most_tasks = max(self.most_tasks, len(priorities))
        self.runs += 1
        self.expect(step)
        return True

    def expect(self, steps: int) -> None:
        """There is a run of so many steps."""
        if steps > self.range:
            self.range = 1 << (steps - 1).bit_length()
            if self.depth > 1:
                self.runs = 0

    @property
    def chance(self) -> Chance:
        """What the runs so far promise."""
        return Chance(self.depth, self.runs, self.most_tasks, self.range)


class UniformSampler:
    """Every option of every choice is as likely."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.runs = 0

    def run(self, world: World, alive: Callable[[], bool]) -> bool:
        """One run; whether it came to its end."""
        world.begin()
        while world.offer is not None:
            if not alive():
                return False
            world.advance(self.random.randrange(len(world.offer.tids)))
        self.runs += 1
        return True
