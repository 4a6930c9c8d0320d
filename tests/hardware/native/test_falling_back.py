"""What the native engine can't run goes on on the other one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from procession import Machine
from procession.hardware.engines import tiered
from procession.hardware.engines.native import stub
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.machine_code import StubUnavailable
from procession.hardware.engines.native.stub import Stub, StubError
from procession.hardware.engines.tiered import TieredEngine
from tests.guest.compile_c import FLAGS
from tests.of_a_kind import first_of

REASON = why_unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native engine on this host: {REASON}")
LOOP = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo $i"


@pytest.fixture(autouse=True)
def promoted_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tiered, "PROMOTION_UNITS", 2_000)


@pytest.mark.parametrize("when", first_of(1, ["works first", ""]))
def test_addresses_that_are_the_engines(when: str, c_compiler: list[str], tmp_path: Path) -> None:
    """A program that maps them, before it works hard or after, reads what it wrote, and its children do."""
    program = tmp_path / "program"
    source = Path(__file__).with_name("reserved.c")
    subprocess.run([*c_compiler, *FLAGS, "-o", program, source], check=True)
    command = [str(program), when] if when else [str(program)]
    emulated = Machine(engine="unicorn").run(command)
    machine = Machine(engine="auto")
    result = machine.run(command)
    assert (result.status, result.stderr) == (0, b"")
    assert result.stdout == emulated.stdout
    assert b"taken" not in result.stdout
    assert isinstance(machine.engine, TieredEngine)
    assert (machine.engine.hot is not None) == bool(when)


@pytest.mark.parametrize(
    "error", first_of(1, [StubUnavailable("no more processes"), StubError("no", has_begun=False)])
)
def test_a_host_that_has_no_more_stubs(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it refuses after the first one, the program goes on."""
    started: list[Stub] = []
    original = Stub.__init__

    def start(self: Stub, *arguments: object) -> None:
        if started and isinstance(error, StubUnavailable):
            raise error
        started.append(self)
        original(self, *arguments)  # type: ignore[arg-type]

    def refuse(self: Stub, resume: int) -> NoReturn:
        self.end()
        raise error

    monkeypatch.setattr(Stub, "__init__", start)
    if isinstance(error, StubError):
        monkeypatch.setattr(Stub, "hand_over", refuse)
    machine = Machine(engine="auto")
    result = machine.run(["/bin/sh", "-c", f"({LOOP}); {LOOP}"])
    assert (result.status, result.stdout, result.stderr) == (0, b"3000\n3000\n", b"")
    assert started
    assert isinstance(machine.engine, TieredEngine)
    assert machine.engine.hot is not None


def test_no_executable_mappings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there's no native engine at all, everything runs, and why is told."""

    def refuse(*_: object) -> NoReturn:
        raise StubUnavailable("executable mappings aren't allowed: Permission denied")

    monkeypatch.setattr(stub, "map_hand_over", refuse)
    machine = Machine(engine="auto")
    result = machine.run(["/bin/sh", "-c", LOOP])
    assert (result.status, result.stdout) == (0, b"3000\n")
    assert machine.why_slow == "executable mappings aren't allowed: Permission denied"
