"""The states that a search with a bound has seen to, told apart by what led there: none is searched twice.

Two runs up to a choice that differ in the order of independent steps alone have come to one state. What
comes after it needn't be tried again, if it was with as many preemptions to spare (Musuvathi and Qadeer 2007,
Partial-order reduction for context-bounded state exploration). But what was done there may race with what the
present run did before, which wants its own alternatives (Yang, Chen, Gopalakrishnan and Kirby 2008, Efficient
stateful dynamic partial order reduction): so it's kept which races there were.
"""

from __future__ import annotations

from typing import NamedTuple

MOST_VISITED = 1 << 20
"""So many states are remembered at most: more are searched as often as they're come to."""


class PastRace(NamedTuple):
    """What `tid` does after a state races with a step before it: the `nth` of the task `other`.

    With `is_block` it races with what `other` went on to do without a break, so that it may come before the
    whole of that turn, but not in front of this step.
    """

    other: int
    nth: int
    tid: int
    is_block: bool


class Visit(NamedTuple):
    """A state was searched with `cost` deviations behind it, while `runner` ran; None where nobody was
    interrupted."""

    runner: int | None
    cost: int
    races: tuple[PastRace, ...]

    def covers(self, runner: int | None, cost: int) -> bool:
        """Whether it was searched as far as it would be now.

        Whatever task goes on, it cost one deviation more at most than it does when another was running.
        """
        return self.cost + (self.runner is not None and self.runner != runner) <= cost


class Visited:
    """The states that were searched with one bound, by the signatures of what led to them."""

    __slots__ = ("visits",)

    def __init__(self) -> None:
        self.visits: dict[int, tuple[Visit, ...]] = {}

    def find(self, signature: int, runner: int | None, cost: int) -> Visit | None:
        """A visit of that state which saw all that is to be seen from it now; None if there was none."""
        for visit in self.visits.get(signature, ()):
            if visit.covers(runner, cost):
                return visit
        return None

    def add(self, signature: int, visit: Visit) -> None:
        """All has been tried that there is to try in a state."""
        known = self.visits.get(signature, ())
        if known or len(self.visits) < MOST_VISITED:
            left = tuple(each for each in known if not visit.covers(each.runner, each.cost))
            self.visits[signature] = (*left, visit)
