"""System calls at random, by several processes at once, raise nothing inside but errnos and signals."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from procession import Machine
from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE
from procession.trace.strace import SystemCallTrace
from tests.guest.compile_c import Linkage, compile_program
from tests.of_a_kind import first_of

SOURCE = Path(__file__).with_name("random_calls.c")
CHILDREN, CALLS = 5, 300


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_program(SOURCE, Linkage.DYNAMIC)


def make_calls(program: Path, seed: int, call_count: int) -> None:
    """Run the program with calls that follow from `seed`; whatever isn't the guest's own end raises here."""
    load_all()
    choice = random.Random(seed)
    built = [number for number, call in enumerate(TABLE) if call is not None]
    numbers = choice.sample(built, choice.choice((8, 20, 60))) if seed % 3 else []
    machine = Machine(
        seed=seed, memory=64 << 20, pids_max=60, cpus=1 + seed % 3, user="nobody" if seed % 2 else None
    )
    if seed % 4 == 0:
        machine.on_system_call = SystemCallTrace(io.StringIO())
    try:
        # Whoever the guest is, it needn't be let into the checkout.
        machine.write_file("/tmp/random_calls", program.read_bytes(), mode=0o755)
        result = machine.run(
            ["/tmp/random_calls", str(seed), str(CHILDREN), str(call_count), *map(str, numbers)],
            time_limit_s=60,
        )
        # It sees its children end, unless one of them has killed it, or all of them sleep.
        assert result.stdout or result.reason or result.signal
    finally:
        machine.close()


@pytest.mark.parametrize("seed", first_of(3, range(8)))
def test_random_calls(program: Path, seed: int) -> None:
    make_calls(program, seed, CALLS)


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first_seed", range(100, 500, 10))
def test_many_random_calls(program: Path, first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 10):
        make_calls(program, seed, 5 * CALLS)
