"""Programs that unmask floating-point exceptions, among others that don't."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.engines.unicorn import UnicornEngine
from tests.guest.compile_c import Linkage, compile_program
from tests.of_a_kind import first_of

PROGRAM = Path(__file__).parents[1] / "guest" / "floating_exception.c"
SUCCESS = b" passed, 0 failed"
MANY = "for ((n = 0; n < 600; n++)); do /bin/true | /bin/true; done"


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_program(PROGRAM, Linkage.DYNAMIC)


def run(command: str, **settings: int) -> tuple[Machine, list[bytes]]:
    """The machine after the command, and what it printed."""
    machine = Machine(environment={"PATH": "/usr/bin:/bin"}, **settings)  # type: ignore[arg-type]
    result = machine.run(["/bin/bash", "-c", command])
    machine.close()
    assert result.reason == ""
    return machine, result.stdout.splitlines()


def is_watching(machine: Machine) -> bool:
    """Whether each instruction is looked at, which is slow."""
    assert isinstance(machine.engine, UnicornEngine)
    return machine.engine.exceptions.hook is not None


@pytest.mark.heavy
def test_instructions_are_watched_only_while_it_is_needed(program: Path) -> None:
    machine, _ = run("true")
    assert not is_watching(machine)
    machine, lines = run(f"{program} flags; {program} unmasked_by_sse | tail -1")
    assert lines[-1].endswith(SUCCESS)
    assert is_watching(machine)
    machine, lines = run(f"{program} unmasked_by_sse > /dev/null; {MANY}")
    assert not is_watching(machine)
    machine, lines = run(
        f"{program} unmasked_by_sse > /dev/null; {MANY}; {program} unmasked_by_sse | tail -1"
    )
    assert [line.endswith(SUCCESS) for line in lines] == [True]


@pytest.mark.parametrize("seed", first_of(1, range(3)))
def test_many_at_once(program: Path, seed: int) -> None:
    names = ("unmasked_by_sse", "unmasked_on_x87", "flags", "many_switches_while_unmasked")
    jobs = " ".join(f"{program} {name} > {name} &" for name in names)
    _, lines = run(f"cd $(mktemp -d); {jobs} wait; tail -qn1 *", seed=seed)
    assert [line.endswith(SUCCESS) for line in lines] == [True] * len(names)


@pytest.mark.heavy
def test_the_same_seed_gives_the_same_run(program: Path) -> None:
    first, _ = run(f"{program} > /dev/null", seed=5, cpus=2)
    second, _ = run(f"{program} > /dev/null", seed=5, cpus=2)
    assert first.kernel.clock.now_ns == second.kernel.clock.now_ns
