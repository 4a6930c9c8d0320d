"""The one door through which all chance goes: choices and random bytes, from a seed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from procession.abi.named_tuple import NamedTuple
from procession.abi.word import pack_u64

_WORD = 0xFFFF_FFFF_FFFF_FFFF


class Decider(Protocol):
    """Who decides what Linux leaves open."""

    def choose(self, kind: str, count: int) -> int:
        """One of `count` options, 0 to count-1, of a decision named `kind` ("time-slice" ...)."""

    def random_bytes(self, length: int) -> bytes:
        """What the kernel's random source gives next."""


class SeededDecider:
    """Decisions and random bytes that follow from a seed alone (splitmix64)."""

    __slots__ = ("state",)

    def __init__(self, seed: int) -> None:
        self.state = seed & _WORD

    def _next(self) -> int:
        self.state = word = (self.state + 0x9E3779B97F4A7C15) & _WORD
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
        word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
        return word ^ word >> 31

    def choose(self, kind: str, count: int) -> int:
        """One of `count` options, each as likely; no draw when there is only one."""
        del kind  # a recording names its choices; a seed needs no names
        return self._next() % count if count > 1 else 0

    def random_bytes(self, length: int) -> bytes:
        """The next `length` bytes."""
        words = -(-length // 8)
        return b"".join(pack_u64(self._next()) for _ in range(words))[:length]


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
