"""The one door through which all chance goes: choices and random bytes, from a seed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final, Protocol

from procession.abi.named_tuple import NamedTuple
from procession.abi.word import pack_bits

_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF
_LANES, _LANE_BITS = 64, 128
"""A lane holds what two words give when they are multiplied."""
_ONE_EACH: Final = sum(1 << lane * _LANE_BITS for lane in range(_LANES))
_WORDS: Final = _WORD * _ONE_EACH
_STEP: Final = 0x9E3779B97F4A7C15
_STEPS: Final = sum(((lane + 1) * _STEP & _WORD) << lane * _LANE_BITS for lane in range(_LANES))


class Decider(Protocol):
    """Who decides what Linux leaves open."""

    def choose(self, kind: str, count: int) -> int:
        """One of `count` options, 0 to count-1, of a decision named `kind` ("time-slice" ...)."""

    def random_bytes(self, length: int) -> bytes:
        """What the kernel's random source gives next."""


class SeededDecider:
    """Decisions and random bytes that follow from a seed alone (splitmix64).

    Words are made many at a time, each in a lane of its own of one large int: Python then takes a dozen steps
    for all of them together instead of for each. `ahead` are the words that are made, of which the first
    `taken` are used up; `state` is what the last of them was made of.
    """

    __slots__ = ("ahead", "state", "taken")

    def __init__(self, seed: int) -> None:
        self.state = seed & _WORD
        self.ahead: array[int] = array("Q")
        self.taken = 0

    def _next(self) -> int:
        if self.taken >= len(self.ahead):
            self._go_ahead()
        taken = self.taken
        self.taken = taken + 1
        return self.ahead[taken]

    def _go_ahead(self) -> None:
        """Make as many words as are made at once."""
        lanes = (self.state * _ONE_EACH + _STEPS) & _WORDS
        self.state = lanes >> (_LANES - 1) * _LANE_BITS
        lanes = ((lanes ^ lanes >> 30) & _WORDS) * 0xBF58476D1CE4E5B9 & _WORDS
        lanes = ((lanes ^ lanes >> 27) & _WORDS) * 0x94D049BB133111EB & _WORDS
        lanes ^= lanes >> 31
        self.ahead = array("Q", pack_bits(lanes, _LANES * _LANE_BITS // 8))[::2]
        self.taken = 0

    def choose(self, kind: str, count: int) -> int:
        """One of `count` options, each as likely; no draw when there is only one."""
        del kind  # a recording names its choices; a seed needs no names
        return self._next() % count if count > 1 else 0

    def random_bytes(self, length: int) -> bytes:
        """The next `length` bytes: those of whole words, the last one's rest is left out."""
        parts: list[bytes] = []
        missing = -(-length // 8)
        while missing > 0:
            if self.taken >= len(self.ahead):
                self._go_ahead()
            part = self.ahead[self.taken : self.taken + missing]
            self.taken += len(part)
            missing -= len(part)
            parts.append(part.tobytes())
        return b"".join(parts)[:length]


class NamedChoice(NamedTuple):
    """What was decided once: `option` of `among`, 0 being what happens by default."""

    kind: str
    among: int
    option: int


class ScheduleLeft(Exception):
    """What is asked isn't what was asked when the choices were written down."""


class ScheduledDecider(SeededDecider):
    """Decides as is written down, by default where nothing is; random bytes are by the seed."""

    __slots__ = ("choices", "kinds", "position")

    def __init__(self, seed: int, kinds: Iterable[str], choices: Iterable[NamedChoice] = ()) -> None:
        super().__init__(seed)
        self.kinds = frozenset(kinds)
        self.choices = tuple(choices)
        self.position = 0

    def choose(self, kind: str, count: int) -> int:
        """The next choice. Raises ScheduleLeft if it's one of another kind, or among others."""
        if count < 2 or kind not in self.kinds:
            return 0
        position = self.position
        self.position = position + 1
        if position >= len(self.choices):
            return 0
        choice = self.choices[position]
        if (choice.kind, choice.among) != (kind, count) or not 0 <= choice.option < count:
            raise ScheduleLeft(f"choice {position} is {kind} of {count}, not {choice.kind} of {choice.among}")
        return choice.option
