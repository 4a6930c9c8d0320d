"""Checkpoints of a run in their order: how far apart they are, and which are dropped when there are many.

Whoever goes back runs again from the last one before, so they are as far apart as that may take: by the
work of the processor, by events, each of which is told to somebody, and where a program changes much of its
memory, by the pages that have to be kept. When there are too many, or they hold too many pages, the run's
past gets coarse where it's long ago.
"""

from __future__ import annotations

from typing import TypeVar

from procession.snapshot.keeper import Snapshot

EVENT_COST_NS = 12_000
"""What it takes to run on by one event, about, and to tell of it."""
_WORK_COST = 3
"""What a nanosecond of the processor's work takes outside, about."""
_COST_PER_PAGE_NS = 8_000
"""So much lies between two checkpoints for each page that has changed: to keep one takes a fifth of that."""
_MOST_CHECKPOINTS = 256
_FEWEST_CHECKPOINTS = 2
_MOST_PAGES = 1 << 17


def cost_ns(event_count: int, work_ns: int) -> int:
    """What it takes to run to where so many events and so much work are behind, about; it only grows."""
    return event_count * EVENT_COST_NS + work_ns * _WORK_COST


class Checkpoint:
    """A moment to which one can go back, at `cost_ns`. `page_count` is how many pages it has that the one
    before it hasn't."""

    __slots__ = ("cost_ns", "page_count", "snapshot")

    def __init__(self, cost_ns: int, snapshot: Snapshot) -> None:
        self.cost_ns = cost_ns
        self.snapshot = snapshot
        self.page_count = 0


Kept = TypeVar("Kept", bound=Checkpoint)


def next_after(checkpoint: Checkpoint, interval_ns: int) -> int:
    """The cost at which the next one is due."""
    return checkpoint.cost_ns + max(interval_ns, checkpoint.page_count * _COST_PER_PAGE_NS)


def insert(checkpoints: list[Kept], place: int, made: Kept) -> None:
    """Put one more among them."""
    checkpoints.insert(place, made)
    count_pages(checkpoints, place)
    count_pages(checkpoints, place + 1)


def count_pages(checkpoints: list[Kept], place: int) -> None:
    """There is another one before that at `place`, if that is there."""
    if 0 < place < len(checkpoints):
        frames, before = checkpoints[place].snapshot.frames, checkpoints[place - 1].snapshot.frames
        checkpoints[place].page_count = frames.pages_since(before)


def thin_out(checkpoints: list[Kept], here_ns: int, frame_count: int) -> None:
    """Drop some if there are too many, or if they hold more pages than a machine of `frame_count` frames has.

    `here_ns` is the cost of where the machine is. The one goes whose absence matters least: the longer ago,
    from there, the further apart they may be. The first stays, for it's the beginning, and so does the last.
    """
    most_pages = min(frame_count, _MOST_PAGES)
    page_count = sum(known.page_count for known in checkpoints)
    while len(checkpoints) > _FEWEST_CHECKPOINTS and (
        len(checkpoints) > _MOST_CHECKPOINTS or page_count > most_pages
    ):
        place = min(
            range(1, len(checkpoints) - 1), key=lambda place: _gap_without(checkpoints, place, here_ns)
        )
        page_count -= checkpoints[place].page_count + checkpoints[place + 1].page_count
        del checkpoints[place]
        count_pages(checkpoints, place)
        page_count += checkpoints[place].page_count


def _gap_without(checkpoints: list[Kept], place: int, here_ns: int) -> float:
    """How long a way there would be without the one at `place`, as a part of the way back to there."""
    start, end = checkpoints[place - 1].cost_ns, checkpoints[place + 1].cost_ns
    return (end - start) / (abs(here_ns - start) + 1)
