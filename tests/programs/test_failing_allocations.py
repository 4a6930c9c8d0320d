"""Runs the guest C programs while allocations fail at random: the kernel answers each, and loses nothing."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.fault_injection import FaultInjector
from tests.guest.compile_c import Linkage, compile_program
from tests.programs.memory_audit import audit

SOURCES = sorted((Path(__file__).parents[1] / "guest").glob("*.c"))
WALL_LIMIT_S = 20
QUICK = ("exec", "mapping", "secret_memory")


class RandomInjector(FaultInjector):
    """Refuses allocations again and again, after a random number of them; how many it were is `refused`."""

    __slots__ = ("choice", "mean", "refused")

    def __init__(self, seed: int) -> None:
        self.choice = random.Random(seed)
        self.mean = self.choice.choice((20, 200, 2000))
        self.refused = 0
        super().__init__()

    def refuse_at_random(self) -> None:
        """Let some allocation fail."""
        self.arm(1 + self.choice.randrange(2 * self.mean))

    def refuses(self, kind: str) -> bool:
        """As always; after a refusal the next one is due."""
        is_refused = super().refuses(kind)
        if is_refused:
            self.refused += 1
            self.refuse_at_random()
        return is_refused


def run_failing(source: Path, seed: int) -> int:
    """Run a program to its end, or for a while; how many allocations were refused."""
    injector = RandomInjector(seed)
    machine = Machine(seed=seed, fault_injector=injector)
    machine.start([str(compile_program(source, Linkage.DYNAMIC))])
    injector.refuse_at_random()
    start = time.monotonic()
    while machine.step() and time.monotonic() - start < WALL_LIMIT_S:
        pass
    problems = audit(machine)
    machine.close()
    assert problems == []
    return injector.refused


@pytest.mark.parametrize("name", QUICK)
def test_refusals_are_answered(name: str) -> None:
    source = SOURCES[0].with_name(f"{name}.c")
    assert sum(run_failing(source, seed) for seed in range(3)) > 0


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_refusals_are_answered_everywhere(source: Path) -> None:
    assert sum(run_failing(source, seed) for seed in range(20)) > 0
