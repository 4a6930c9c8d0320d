"""Looking for a signal and then sleeping: on some schedules pause(2) loses it, on none sigsuspend(2)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from procession import Machine, Result
from procession.kernel.waits.graph import EVERY_TASK_SLEEPS
from tests.of_a_kind import IS_FULL

SOURCE = Path(__file__).with_name("wait_for_signal.c")
SEEDS = range(12 if IS_FULL else 4)


@pytest.fixture(scope="module")
def waiter(c_compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled."""
    program = tmp_path_factory.mktemp("races") / "wait_for_signal"
    subprocess.run([*c_compiler, "-O1", "-o", program, SOURCE], check=True)
    return program


def run_on_every_schedule(program: Path, way: str) -> list[Result]:
    results = []
    for seed in SEEDS:
        machine = Machine(seed=seed)
        results.append(machine.run([str(program), way]))
        machine.close()
    return results


@pytest.mark.heavy
def test_pause_loses_a_signal_on_some_schedules(waiter: Path) -> None:
    results = run_on_every_schedule(waiter, "pause")
    lost = [result for result in results if result.reason]
    assert 0 < len(lost) < len(results)
    assert all(result.reason.startswith(EVERY_TASK_SLEEPS) for result in lost)
    assert all(result.status == 0 for result in results if not result.reason)


def test_sigsuspend_loses_none(waiter: Path) -> None:
    results = run_on_every_schedule(waiter, "sigsuspend")
    assert {(result.status, result.reason) for result in results} == {(0, "")}
