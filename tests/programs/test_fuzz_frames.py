"""Signal frames that a program has changed raise nothing inside but signals of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession import Machine
from tests.guest.compile_c import Linkage, compile_program
from tests.of_a_kind import first_of
from tests.programs.test_fuzz_calls import last_number

SOURCE = Path(__file__).with_name("fuzz_frames.c")
TIME_LIMIT_S = 600
PROCESSES, FRAMES = 60, 100


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_program(SOURCE, Linkage.DYNAMIC)


def fuzz_frames(program: Path, seed: int, processes: int, frames: int) -> int:
    """Change frames as follows from `seed`; how many. What isn't the guest's own end raises here."""
    machine = Machine(seed=seed, memory=64 << 20, pids_max=40)
    try:
        result = machine.run(
            [str(program), str(seed), str(processes), str(frames)], time_limit_s=TIME_LIMIT_S
        )
    finally:
        machine.close()
    assert result.stdout or result.reason or result.signal, result
    return last_number(result.stdout)


@pytest.mark.parametrize("seed", first_of(1, range(3)))
def test_changed_frames(program: Path, seed: int) -> None:
    assert fuzz_frames(program, seed, PROCESSES, FRAMES) > PROCESSES


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first_seed", range(100, 200, 5))
def test_many_changed_frames(program: Path, first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 5):
        fuzz_frames(program, seed, 10 * PROCESSES, FRAMES)
