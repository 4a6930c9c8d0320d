"""System calls with any structures raise nothing inside but errnos and signals."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from procession import Machine
from procession.syscalls.declaration import SystemCall
from tests.guest.compile_c import Linkage, compile_program
from tests.of_a_kind import IS_FULL, first_of
from tests.programs.call_stopwatch import CallStopwatch
from tests.programs.call_text import all_calls, call_text, descriptions

SOURCE = Path(__file__).with_name("fuzz_calls.c")
TIME_LIMIT_S = 60
"""A process that has made itself a real-time one may run for ever."""
WALL_LIMIT_S = 120
"""And one whose timer of some nanoseconds has a handler does nothing else, on Linux too: that ends it between
two calls. A call that takes the machine for good isn't ended by this, and whoever waits for it sees that."""
PROCESSES, CALLS = 20, 1500
LONGEST_CALL_S = 2.0
"""How long a call may take on the host's processor where it may have to fill most of a machine of 32 MiB."""


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_program(SOURCE, Linkage.DYNAMIC)


def chosen_calls(seed: int) -> list[SystemCall]:
    """All calls, or some of them, which then come together more often."""
    calls = all_calls()
    choice = random.Random(seed)
    return choice.sample(calls, choice.choice((5, 20, 60))) if seed % 3 else calls


def fuzz_calls(program: Path, seed: int, processes: int, calls: int, *, is_large: bool = False) -> int:
    """Make calls that follow from `seed`; how many. Whatever isn't the guest's own end raises here.

    With `is_large` numbers and objects are large, but the machine is small, which bounds what calls may take.
    """
    machine = Machine(seed=seed, memory=(32 if is_large else 64) << 20, pids_max=40, cpus=1 + seed % 2)
    stopwatch = CallStopwatch(machine, LONGEST_CALL_S) if is_large else None
    try:
        result = machine.run(
            [str(program), str(seed), str(processes), str(calls), *(["large"] if is_large else [])],
            stdin=descriptions(chosen_calls(seed)),
            time_limit_s=TIME_LIMIT_S,
            wall_limit_s=WALL_LIMIT_S,
        )
    finally:
        machine.close()
    assert stopwatch is None or not stopwatch.slow, stopwatch.slow
    # Whoever counts may be killed, or its memory used up by the others.
    assert result.stdout or result.reason or result.signal or result.status, result
    return last_number(result.stdout)


def last_number(output: bytes) -> int:
    """What the program says at its end, after what others may have written over its descriptors."""
    found = re.search(rb"(\d+)\n\Z", output)
    return int(found[1]) if found is not None else 0


@pytest.mark.parametrize("seed", first_of(1, range(12)))
def test_fuzzed_calls(program: Path, seed: int) -> None:
    fuzz_calls(program, seed, PROCESSES, CALLS if IS_FULL else CALLS // 2)


@pytest.mark.parametrize("seed", first_of(1, [3, 6, 8]))
def test_large_numbers(program: Path, seed: int) -> None:
    fuzz_calls(program, seed, PROCESSES // 4, CALLS // 5, is_large=True)


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first_seed", range(1000, 1400, 10))
def test_many_fuzzed_calls(program: Path, first_seed: int) -> None:
    made = sum(fuzz_calls(program, seed, PROCESSES, 4 * CALLS) for seed in range(first_seed, first_seed + 10))
    assert made > 10 * CALLS


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first_seed", range(2000, 2100, 5))
def test_many_large_numbers(program: Path, first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 5):
        fuzz_calls(program, seed, PROCESSES, CALLS // 3, is_large=True)


def test_every_structure_is_described() -> None:
    described = {call.name: call_text(call) for call in all_calls()}
    assert described["clone3"] == "435 t8,8,8,8,8,8,8,8,8,8,8 z8,58"
    assert described["nanosleep"] == "35 t8,8 t8,8"
    assert described["poll"] == "7 T4,2,2 n n"
    assert described["lseek"].startswith("8 d n e0,1,2")
    for call in all_calls():
        for parameter, word in zip(call.parameters, described[call.name].split()[1:], strict=True):
            assert (parameter.pointer is not None) == (word[0] in "tT")
