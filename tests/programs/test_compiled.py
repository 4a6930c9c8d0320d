"""A compiled build runs programs as the sources do, to the byte: their output, their trace and all state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs.conftest import TIME_LIMIT_S
from tests.programs.program_script import DIRECTORY, ENVIRONMENT, SCRIPTS, ProgramScript

PROJECT = Path(__file__).resolve().parents[2]
COMPILED = PROJECT / "build" / "compiled"

NAMES = (
    "background_exits.bash",
    "files.bash",
    "fork_and_wait.perl",
    "internet.bash",
    "ipc_commands.bash",
    "jobs_and_kill.bash",
    "process_substitution.bash",
    "processes.bash",
    "shell.dash",
    "signals_and_options.bash",
    "socket_servers.python",
    "system_v.perl",
    "terminal_windows.python",
    "threads.python",
)
RUN = """
import io, json, sys
from procession import Machine, is_compiled
from procession.trace.strace import SystemCallTrace
settings = json.loads(sys.argv[1])
seen = []
for is_traced in (False, True):
    machine = Machine(**settings["machine"])
    output = io.StringIO()
    if is_traced:
        machine.on_system_call = trace = SystemCallTrace(output, ignored=machine.init.group)
    result = machine.run(settings["argv"], time_limit_s=settings["time_limit_s"])
    if is_traced:
        trace.close()
    seen += [result.status, result.stdout.hex(), result.stderr.hex(), output.getvalue(), machine.state_hash()]
    machine.close()
print(json.dumps([is_compiled(), seen]))
"""


@pytest.fixture(scope="module")
def compiled() -> Path:
    """Return the directory of a compiled build of these sources, made unless there is one."""
    subprocess.run([PROJECT / "scripts" / "setup", "--compiler", "--compiled"], cwd=PROJECT, check=True)
    return COMPILED


def run_elsewhere(place: Path, name: str, guest_root: Path) -> list[object]:
    """Run a script in another process with the package that is in `place`."""
    settings = {
        "machine": {"seed": 5, "rootfs": str(guest_root), "environment": ENVIRONMENT, "cwd": DIRECTORY},
        "argv": ProgramScript(SCRIPTS / name).argv,
        "time_limit_s": TIME_LIMIT_S,
    }
    result = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": str(place)},
        capture_output=True,
        check=True,
        text=True,
    )
    seen: list[object] = json.loads(result.stdout)
    return seen


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_compiled_build_runs_alike(name: str, compiled: Path, guest_root: Path) -> None:
    interpreted = run_elsewhere(PROJECT / "src", name, guest_root)
    assert interpreted[0] is False
    assert run_elsewhere(compiled, name, guest_root) == [True, interpreted[1]]
