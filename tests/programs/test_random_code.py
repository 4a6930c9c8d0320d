"""Bytes at random, executed as code, end the process that does it and touch no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession import Machine
from tests.guest.compile_c import Linkage, compile_program
from tests.of_a_kind import first_of

SOURCE = Path(__file__).with_name("random_code.c")
COUNT = 40


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_program(SOURCE, Linkage.DYNAMIC)


def execute(program: Path, seed: int, count: int) -> None:
    """Run the program: it must find all its processes ended, and the witness unharmed."""
    machine = Machine(seed=seed, memory=64 << 20, pids_max=50)
    try:
        result = machine.run([str(program), str(seed), str(count)], time_limit_s=1000)
    finally:
        machine.close()
    *ends, witness = result.stdout.decode().split()
    assert (witness, result.status, result.reason) == ("witness", 0, "")
    assert sum(int(end.partition(":")[2]) for end in ends) == count


@pytest.mark.parametrize("seed", first_of(1, range(3)))
def test_random_code(program: Path, seed: int) -> None:
    execute(program, seed, COUNT)


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first_seed", range(100, 160, 5))
def test_much_random_code(program: Path, first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 5):
        execute(program, seed, 5 * COUNT)
