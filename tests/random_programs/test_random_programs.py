"""Programs that make calls at random, by a seed, print inside what they print on Linux.

What Linux prints is recorded as a digest for each seed: what it prints mostly, as a loaded host is now and
then slower with its part of the work than a program waits. `python -m
tests.random_programs.test_random_programs` records them anew; where one differs, running the program for that
seed, on Linux and inside, shows how.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from procession import Machine
from tests.guest.compile_c import Linkage, compile_program
from tests.of_a_kind import IS_FULL

SOURCES = sorted(Path(__file__).parent.glob("*.c"))
SEEDS = 120
QUICK_SEEDS = 12
RUNS = 5
"""So often does a program run on Linux at most: on a busy host each time other parts of it are late."""

# Some set a priority, which nobody but root may raise: all begin with a guest's, not with that of the tests.
WITH_A_GUESTS_PRIORITY = ("sh", "-c", 'renice -n 0 -p $$ > /dev/null 2>&1; exec "$@"', "sh")

every_program = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def command(source: Path, seeds: int = SEEDS) -> list[str]:
    """The program, and how many seeds it shall use, from 0 on."""
    return [str(compile_program(source, Linkage.DYNAMIC)), "0", str(seeds)]


def digests(printed: bytes) -> list[str]:
    """For each seed, the seed and the beginning of a digest of what was printed."""
    parts = re.split(rb"^seed (\d+)\n", printed, flags=re.MULTILINE)[1:]
    return [
        f"{int(seed)} {hashlib.sha256(text).hexdigest()[:16]}"
        for seed, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def recorded(source: Path) -> Path:
    """Where the digests are."""
    return source.with_suffix(".digests")


def native_digests(source: Path) -> list[str]:
    """Of what the program prints on this host."""
    started = [*WITH_A_GUESTS_PRIORITY, *command(source)]
    return digests(subprocess.run(started, stdout=subprocess.PIPE, check=True).stdout)


@every_program
def test_random_program_in_procession(source: Path) -> None:
    seeds = SEEDS if IS_FULL else QUICK_SEEDS
    machine = Machine()
    try:
        result = machine.run(command(source, seeds))
    finally:
        machine.close()
    assert digests(result.stdout) == recorded(source).read_text().splitlines()[:seeds]


@pytest.mark.heavy
@every_program
def test_random_program_on_linux(source: Path) -> None:
    expected = recorded(source).read_text().splitlines()
    assert len(expected) == SEEDS
    others = set(expected)
    for _ in range(RUNS):
        others -= set(native_digests(source))
        if len(others) <= SEEDS // 20:
            return
    pytest.fail(f"none of {RUNS} runs printed what is recorded of: {sorted(others)}")


def record(source: Path) -> None:
    """Write what most of several runs print."""
    runs = [native_digests(source) for _ in range(RUNS)]
    most = [Counter(lines).most_common(1)[0][0] for lines in zip(*runs, strict=True)]
    recorded(source).write_text("".join(f"{line}\n" for line in most))


if __name__ == "__main__":
    for each in SOURCES:
        record(each)
