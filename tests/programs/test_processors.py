"""Several virtual processors: who is where, how fast wake-ups are, and whether all get the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession import Machine
from tests.guest.compile_c import Linkage, compile_program
from tests.guest.test_guest import expect_success, outcome_of
from tests.of_a_kind import first_of, heavy

GUEST = Path(__file__).parents[1] / "guest"
HERE = Path(__file__).parent
NATIVE_ROUND_TRIP_NS = 8_000
MOST_TIMES_LINUX = 10
"""What `kernel/time/costs.py` keeps to. Who waits for a slice takes hundreds of times as long."""


def run(source: Path, *arguments: str, cpus: int, seed: int = 1) -> str:
    """What the program prints on a machine of so many processors."""
    program = compile_program(source, Linkage.STATIC)
    result = Machine(seed=seed, cpus=cpus).run([str(program), *arguments], time_limit_s=60)
    assert result.status == 0, result
    return result.stdout.decode()


@pytest.mark.parametrize("cpus", [2, pytest.param(4, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", first_of(1, ["scheduling", "processors", "realtime_limit"]))
def test_the_assertions_hold_on_several(c_compiler: list[str], name: str, cpus: int) -> None:
    program = compile_program(GUEST / f"{name}.c", Linkage.STATIC)
    expect_success(outcome_of(Machine(seed=1, cpus=cpus).run([str(program)])))


@pytest.mark.parametrize("cpus", [heavy(1), 2, heavy(4)])
def test_a_ping_pong_beside_a_spinner(c_compiler: list[str], cpus: int) -> None:
    round_trip_ns = int(run(HERE / "ping_pong.c", "1000", cpus=cpus))
    assert round_trip_ns < MOST_TIMES_LINUX * NATIVE_ROUND_TRIP_NS


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("cpus", "spinners"),
    first_of(1, [(2, 3), (1, 3), (3, 7), (4, 2)]),
)
def test_spinners_get_the_same(c_compiler: list[str], cpus: int, spinners: int) -> None:
    shares = [float(line) for line in run(HERE / "spinners.c", str(spinners), "500", cpus=cpus).split()]
    assert len(shares) == spinners
    fair = min(cpus / spinners, 1)
    assert all(0.9 * fair < share < 1.1 * fair for share in shares), shares


@pytest.mark.heavy
def test_seeds_decide_where_the_work_is_not_on_the_first_processor(c_compiler: list[str]) -> None:
    orders = {run(HERE / "spinners.c", "2", "20", "1", cpus=2, seed=seed) for seed in range(4)}
    assert len(orders) > 1
