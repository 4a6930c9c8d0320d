"""Accesses to one word of memory between which nothing puts an order, at least one of them a write.

An order is put by locked instructions on one word, by ending and cloning, and by the kernel: whoever makes a
system call comes after all who have made one before. That is more order than there is, but then another
schedule has less of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

Word = tuple[object, ...]
VectorClock = dict[int, int]


class Access(NamedTuple):
    """Task `tid` accesses `words` by the instruction at an address; `is_locked` if no other comes between."""

    tid: int
    words: tuple[Word, ...]
    is_write: bool
    is_locked: bool
    instruction: int

    @property
    def verb(self) -> str:
        """What it does, in a word."""
        return "writes" if self.is_write else "reads"


Happening = Access | int
"""An access, or the id of a task that goes through the kernel."""


def first_race(happenings: Sequence[Happening]) -> tuple[Access, Access] | None:
    """Two accesses without an order between them, as they came after each other; None if there are none.

    What a locked instruction ever accesses is there to make an order: it's no race, whatever accesses it.
    """
    locked = {
        word for each in happenings if isinstance(each, Access) and each.is_locked for word in each.words
    }
    clocks: dict[int, VectorClock] = {}
    kernel: VectorClock = {}
    released: dict[Word, VectorClock] = {}
    writes: dict[Word, tuple[int, Access]] = {}
    reads: dict[Word, dict[int, tuple[int, Access]]] = {}
    for each in happenings:
        tid = each if isinstance(each, int) else each.tid
        clock = clocks.setdefault(tid, {tid: 1})
        if isinstance(each, int):
            _meet(clock, tid, kernel)
            continue
        for word in each.words:
            if word in locked:
                _meet(clock, tid, released.setdefault(word, {}))
                continue
            for count, other in _rivals(word, each, writes, reads):
                if other.tid != tid and clock.get(other.tid, 0) < count:
                    return other, each
            if each.is_write:
                writes[word] = clock[tid], each
                reads.pop(word, None)
            else:
                reads.setdefault(word, {})[tid] = clock[tid], each
    return None


def _rivals(
    word: Word,
    access: Access,
    writes: dict[Word, tuple[int, Access]],
    reads: dict[Word, dict[int, tuple[int, Access]]],
) -> Iterator[tuple[int, Access]]:
    if word in writes:
        yield writes[word]
    if access.is_write and word in reads:
        yield from reads[word].values()


def _meet(clock: VectorClock, tid: int, common: VectorClock) -> None:
    """Who has `clock` comes after all that `common` knows of, and before all who meet it later."""
    for other, count in common.items():
        if clock.get(other, 0) < count:
            clock[other] = count
    common.update(clock)
    clock[tid] += 1
