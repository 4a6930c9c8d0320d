"""Checks the policies of memory that a file's pages have: what is replaced, and what one of many costs."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from procession.hardware.kernel_memory import AREA
from procession.mm.page_cache import PageCache
from tests.fs.growth import CONSTANT, growth
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines

PAGES = 40
MANY = 20_000


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines(memory=1 << 28)


@pytest.mark.parametrize("seed", range(20))
def test_each_page_has_what_it_was_last_given(machine: ConductedMachine, seed: int) -> None:
    chance = random.Random(seed)
    account = machine.kernel.memory.account
    before = account.kinds[AREA]
    cache, model = PageCache(machine.kernel.memory), [0] * PAGES
    for _ in range(100):
        first = chance.randrange(PAGES)
        past = chance.randrange(first + 1, PAGES + 1)
        policy = chance.choice((0, 1, 2, 3))
        cache.set_policy(first, past, policy)
        model[first:past] = [policy] * (past - first)
        policies = cache.policies
        found = [policies.at(page) if policies else 0 for page in range(PAGES)]
        assert found == model
    cache.release()
    assert account.kinds[AREA] == before


def test_one_of_many_costs_no_more(machine: ConductedMachine) -> None:
    cache = PageCache(machine.kernel.memory)
    assert growth(lambda number: cache.set_policy(2 * number, 2 * number + 1, 1), MANY) < CONSTANT
    assert cache.policies is not None
    assert cache.policies.at(MANY) == 1
    assert not cache.policies.at(MANY + 1)
    cache.release()
