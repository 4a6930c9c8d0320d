"""Random sequences of system calls answer as on Linux: as recorded from 6.18, and as on this host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.comparison import (
    RECORDED_PROTECTION,
    compare,
    differing,
    run_inside,
    why_not_natively,
)
from tests.differential.families import FAMILIES, make_scripts
from tests.differential.script import Operation
from tests.of_a_kind import IS_FULL

RECORDED = 40
FEWER = {
    **dict.fromkeys(
        (
            "events",
            "futexes",
            "ipc",
            "keys",
            "locks",
            "pidfds",
            "restrictions",
            "settings",
            "terminals",
            "timers",
            "traces",
        ),
        16,
    ),
    "identities": 5,
    "schedules": 12,
}
"""How many scripts are recorded of families in which several processes take part."""
MOST_BY_DEFAULT = 8
"""How many of a family's the default check runs."""
LENGTH = 40
HEAVY = range(1000, 3000)
HEAVY_LENGTH = 60
HEAVY_TIMEOUT_S = 600
LEAST_CALLS_OF_ONE = 37


def recorded_file(family: str) -> Path:
    """Where the outcomes of the family's scripts are."""
    return Path(__file__).parent / "recorded" / f"{family}.txt"


def recorded_scripts(family: str) -> list[list[Operation]]:
    """The scripts whose outcomes on Linux are recorded."""
    return make_scripts(family, range(FEWER.get(family, RECORDED)), LENGTH)


@pytest.mark.parametrize("family", FAMILIES)
def test_as_recorded(family: str) -> None:
    """A few scripts, whatever Linux this runs on. `python -m tests.differential.record` records them anew."""
    scripts = recorded_scripts(family)
    outcomes = recorded_file(family).read_text().split("\n\n")[:-1]
    native = [outcome.split("\n") for outcome in outcomes]
    assert sum(map(len, native)) >= LEAST_CALLS_OF_ONE * len(scripts)
    if not IS_FULL:
        # The first ones: where a script runs is named by its number.
        count = min(len(scripts) // 2, MOST_BY_DEFAULT)
        scripts, native = scripts[:count], native[:count]
    found = compare(scripts, native, run_inside(scripts, RECORDED_PROTECTION))
    assert not found, f"{len(found)} scripts differ\n{found[0]}"


@pytest.mark.heavy
@pytest.mark.timeout(HEAVY_TIMEOUT_S)
@pytest.mark.parametrize("family", FAMILIES)
def test_as_on_this_host(family: str) -> None:
    """Many scripts, where the host's Linux is one to compare with."""
    reason = why_not_natively()
    if reason:
        pytest.skip(reason)
    found = differing(make_scripts(family, HEAVY, HEAVY_LENGTH))
    # What came of two scripts once may have hung on the host's load.
    found = differing([difference.script for difference in found]) if found else []
    assert not found, f"{len(found)} scripts differ\n{found[0]}"
