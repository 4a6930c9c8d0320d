"""Fixtures that run Debian's programs: in Procession, and on the host's Linux where that's possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from procession import Machine, Result
from tests.programs.native_linux import NativeLinux
from tests.programs.program_script import DIRECTORY, ENVIRONMENT

TIME_LIMIT_S = 3600.0

MakeMachine = Callable[..., Machine]
RunProgram = Callable[..., Result]
RunScript = Callable[..., Result]


@pytest.fixture
def make_machine(guest_root: Path) -> Iterator[MakeMachine]:
    """Return a function that makes a machine over the tree of Debian programs; it's closed afterwards."""
    machines: list[Machine] = []

    def make(**settings: object) -> Machine:
        defaults: dict[str, object] = {
            "rootfs": guest_root,
            "environment": ENVIRONMENT,
            "cwd": DIRECTORY,
        }
        machine = Machine(**(defaults | settings))  # type: ignore[arg-type]
        machines.append(machine)
        return machine

    yield make
    for machine in machines:
        machine.close()


@pytest.fixture
def run_program(make_machine: MakeMachine) -> RunProgram:
    """Return a function that runs a program in a machine of its own."""

    def run(argv: Sequence[str], *, stdin: bytes = b"", **settings: object) -> Result:
        return make_machine(**settings).run(argv, stdin=stdin, time_limit_s=TIME_LIMIT_S)

    return run


@pytest.fixture(scope="session")
def native_linux(guest_root: Path, tmp_path_factory: pytest.TempPathFactory) -> NativeLinux:
    """Return the host's Linux, with the same tree of programs; skip where it doesn't let us."""
    linux = NativeLinux(guest_root, tmp_path_factory.mktemp("native"))
    reason = linux.why_not()
    if reason:
        pytest.skip(f"programs can't be run natively here: {reason}")
    return linux


@pytest.fixture
def run_script(containers_root: Path) -> Iterator[RunScript]:
    """Return a function that runs a shell's script in the tree of containers, in a machine of its own."""
    machines: list[Machine] = []

    def run(script: str, *, pid1: bool = False, **settings: object) -> Result:
        machine = Machine(rootfs=containers_root, **settings)  # type: ignore[arg-type]
        machines.append(machine)
        return machine.run(["bash", "-c", script], pid1=pid1, time_limit_s=600)

    yield run
    for machine in machines:
        machine.close()
