"""Runs by chance, and what they promise."""

from __future__ import annotations

import pytest

from procession.explore.explorer import Explorer
from procession.explore.sampling import Chance, PrioritySampler
from procession.explore.statement import statement
from procession.explore.world import Offer
from tests.explore.races import compiled, program


class Corridor:
    """A world in which two tasks can always go on, for so many steps; `taken` are the options."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.taken: list[int] = []

    def begin(self) -> None:
        self.taken = []

    @property
    def offer(self) -> Offer | None:
        return Offer((1, 2), False) if len(self.taken) < self.length else None

    def advance(self, option: int) -> None:
        self.taken.append(option)


def run(sampler: PrioritySampler, corridor: Corridor) -> None:
    assert sampler.run(corridor, lambda: True)  # type: ignore[arg-type]


def test_nothing_is_promised_by_runs_that_could_not_change_priorities_late_enough() -> None:
    sampler = PrioritySampler(1, depth=2)
    run(sampler, Corridor(9))
    assert sampler.chance == Chance(2, 0, 2, 16)
    assert sampler.chance.missed == 1
    for _ in range(3):
        run(sampler, Corridor(12))
    assert sampler.chance == Chance(2, 3, 2, 16)
    assert sampler.chance.missed == pytest.approx((1 - 1 / 32) ** 3)
    run(sampler, Corridor(17))
    assert sampler.chance == Chance(2, 0, 2, 32)


def test_a_bug_of_depth_two_is_found_as_often_as_is_promised() -> None:
    # It is there if the second goes on from one place to the end, and not before.
    length, place, runs = 16, 11, 4000
    sampler = PrioritySampler(7, depth=2)
    sampler.expect(length)
    found = 0
    for _ in range(runs):
        corridor = Corridor(length)
        run(sampler, corridor)
        found += corridor.taken == [0] * place + [1] * (length - place)
    assert found / runs >= 1 - sampler.chance.missed ** (1 / runs) - 0.005
    assert sampler.chance == Chance(2, runs, 2, length)


def test_the_statement_says_of_which_schedules_it_is_true() -> None:
    explorer = Explorer(program(compiled("shell_lab"), "safe"))
    report = explorer.sample(5, depth=2)
    explorer.world.close()
    assert report.chance is not None
    chance = report.chance
    assert chance.steps >= len(explorer.world.steps)
    if chance.runs:
        assert (
            f"in schedules of at most {chance.tasks} tasks and {chance.steps} steps is missed"
            in statement(report)
        )
