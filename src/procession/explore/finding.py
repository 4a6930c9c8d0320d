"""A schedule that fails: which oracle says so, and the choices that lead there."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple

Steps = tuple[tuple[int, tuple[int, ...]], ...]
"""A run as the options taken at its offers, each with those of the other choices in that step."""


class Finding(NamedTuple):
    """What an `oracle` found wrong at the end of a run, in words, and the steps of that run.

    `deviations` is how many of them aren't what happens by default: preemptions, early timers, and the like.
    """

    oracle: str
    problem: str
    steps: Steps
    deviations: int
    status: int
    stdout: bytes
    stderr: bytes


class Moment(NamedTuple):
    """How many of the schedules that begin as the failing one does, up to its step `step`, fail too."""

    step: int
    failing: int
    tried: int
    is_exact: bool
