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


SECOND_MACHINES = """
import json, sys
from pathlib import Path
from procession import Machine, is_compiled
settings, saved, own = json.loads(sys.argv[1]), *map(Path, sys.argv[2:4])
def ended(machine):
    while machine.step_event() is not None:
        pass
    result = machine.take_output(), machine.kernel.clock.now_ns, machine.state_hash()
    machine.close()
    return repr(result)
seen = []
machine = Machine(**settings["machine"])
machine.start(settings["argv"])
for count in (1, 100, 700, 2000):
    for _ in range(count):
        machine.step_system_call()
    machine.save(own / str(count))
    forked, loaded = machine.fork(), Machine.load(own / str(count))
    others = Machine.load(saved / str(count)) if saved.exists() else machine.fork()
    states = {each.state_hash() for each in (machine, forked, loaded, others)}
    assert len(states) == 1, count
    ends = {ended(each) for each in (forked, loaded, others)}
    assert len(ends) == 1, count
    seen += [*states, *ends]
seen.append(ended(machine))
print(json.dumps([is_compiled(), seen]))
"""


@pytest.fixture(scope="module")
def compiled() -> Path:
    """Return the directory of a compiled build of these sources, made unless there is one."""
    subprocess.run([PROJECT / "scripts" / "setup", "--compiler", "--compiled"], cwd=PROJECT, check=True)
    return COMPILED


def run_elsewhere(
    place: Path, name: str, guest_root: Path, program: str = RUN, *arguments: str, engine: str = "unicorn"
) -> list[object]:
    """Run a script in another process with the package that is in `place`, as `program` does it."""
    machine = {"seed": 5, "rootfs": str(guest_root), "environment": ENVIRONMENT, "cwd": DIRECTORY}
    settings = {
        "machine": machine | {"engine": engine},
        "argv": ProgramScript(SCRIPTS / name).argv,
        "time_limit_s": TIME_LIMIT_S,
    }
    result = subprocess.run(
        [sys.executable, "-c", program, json.dumps(settings), *arguments],
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


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["shell.dash", "threads.python"])
def test_native_code_and_what_is_kept_of_it(
    name: str, compiled: Path, guest_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each build's first run has nothing kept, the others what the same translator's last one has left."""
    interpreted = PROJECT / "src"
    runs: list[object] = []
    for place in (interpreted, compiled):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place.name))
        runs += [run_elsewhere(place, name, guest_root, engine="native")[1] for _ in range(2)]
        assert any((tmp_path / place.name).rglob("translations"))
    assert all(run == runs[0] for run in runs)


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name", ["shell.dash", "signals_and_options.bash", "system_v.perl", "threads.python"]
)
def test_machines_of_a_compiled_build_are_forked_saved_and_loaded(
    name: str, compiled: Path, guest_root: Path, tmp_path: Path
) -> None:
    """Each build goes on from the state of the other."""
    saved, own = tmp_path / "interpreted", tmp_path / "compiled"
    own.mkdir()
    before = tmp_path / "none"
    saved.mkdir()
    interpreted = run_elsewhere(PROJECT / "src", name, guest_root, SECOND_MACHINES, str(before), str(saved))
    assert interpreted[0] is False
    found = run_elsewhere(compiled, name, guest_root, SECOND_MACHINES, str(saved), str(own))
    assert found == [True, interpreted[1]]
    # And back.
    again = run_elsewhere(PROJECT / "src", name, guest_root, SECOND_MACHINES, str(own), str(saved))
    assert again == interpreted
