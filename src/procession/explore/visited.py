"""The states that a search with a bound has seen to, told apart by what led there: none is searched twice.

Two runs up to a choice that differ in the order of independent steps alone have come to one state. What
comes after it needn't be tried again, if it was with as many preemptions to spare (Musuvathi and Qadeer 2007,
Partial-order reduction for context-bounded state exploration). But what was done there may race with what the
present run did before, which wants its own alternatives (Yang, Chen, Gopalakrishnan and Kirby 2008, Efficient
stateful dynamic partial order reduction): so it's kept which races there were.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from procession.abi.named_tuple import NamedTuple

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


class VisitSharer(Protocol):
    """Who tells others of visits, and knows of theirs."""

    def tell(self, signature: int, visit: Visit) -> None:
        """Have the others know of a visit."""

    def exchange(self) -> Iterable[tuple[int, Visit]]:
        """What others have told since."""


class Visited:
    """The states that were searched with one bound, by the signatures of what led to them; with a `sharer`
    those too that others have searched."""

    __slots__ = ("sharer", "visits")

    def __init__(self, sharer: VisitSharer | None = None) -> None:
        self.visits: dict[int, tuple[Visit, ...]] = {}
        self.sharer = sharer

    def find(self, signature: int, runner: int | None, cost: int) -> Visit | None:
        """A visit of that state which saw all that is to be seen from it now; None if there was none."""
        for visit in self.visits.get(signature, ()):
            if visit.covers(runner, cost):
                return visit
        return None

    def exchange(self) -> None:
        """Learn of what others have searched."""
        if self.sharer is not None:
            for signature, visit in self.sharer.exchange():
                self._remember(signature, visit)

    def add(self, signature: int, visit: Visit) -> None:
        """All has been tried that there is to try in a state."""
        if self._remember(signature, visit) and self.sharer is not None:
            self.sharer.tell(signature, visit)

    def _remember(self, signature: int, visit: Visit) -> bool:
        known = self.visits.get(signature, ())
        if known or len(self.visits) < MOST_VISITED:
            left = tuple(each for each in known if not visit.covers(each.runner, each.cost))
            self.visits[signature] = (*left, visit)
            return True
        return False
