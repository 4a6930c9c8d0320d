"""All that shows a run is tried on programs of every kind: it shows them whole, and changes nothing."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest

from procession.recording.file import read_recording
from procession.recording.travel import ReplayedSteps, travel
from procession.snapshot.keeper import StateKeeper
from tests.conftest import find_tree
from tests.guest.compile_c import Linkage, compile_program

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

PROJECT = Path(__file__).resolve().parents[2]
GRAPHS = "fork,exec,exit,wait,signal,fault,switch,futex,unshare,setns"
GROUPS = (
    *("identity", "state", "scheduling", "memory", "files", "signals"),
    *("credentials", "namespaces", "ptrace", "accounting"),
)
CARELESS = """
#include <unistd.h>
int main(void) { for (int i = 0; i < 5; i++) if (fork() == 0) _exit(i); sleep(2); return 0; }
"""
NAIVE = "trap 'echo terminated; exit 143' TERM; (sleep 1; kill $$) & sleep 100 & wait; echo not reached"
POOL = """import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool: print(sum(pool.map(abs, range(-9, 9))))"""
NGINX = """mkdir -p /tmp/www /var/lib/nginx /var/log/nginx; echo hello >/tmp/www/index.html
cat >/tmp/c <<X
worker_processes 2; pid /tmp/p; error_log /tmp/e; events { worker_connections 32; }
http { access_log off; server { listen 127.0.0.1:8080; root /tmp/www; } }
X
nginx -c /tmp/c; curl -s http://127.0.0.1:8080/; kill -QUIT $(cat /tmp/p)
while [ -e /tmp/p ]; do sleep 0.1; done"""


class Case(NamedTuple):
    """A program, the tree that has it, and options of the machine."""

    tree: str
    command: tuple[str, ...]
    options: tuple[str, ...] = ()


CASES = {
    "pipeline": Case("programs", ("bash", "-c", "ls / | sort -r | head -2 | rev")),
    "careless": Case("programs", ("/careless",)),
    "tini": Case("containers", ("tini", "--", "bash", "-c", NAIVE), ("--pid1",)),
    "naive": Case("programs", ("sh", "-c", NAIVE), ("--pid1",)),
    "nested": Case(
        "programs", ("unshare", "-p", "--fork", "--mount-proc", "bash", "-c", "ps -e; (exit 3); echo $$ $?")
    ),
    "pool": Case("programs", ("python3", "-c", POOL)),
    "nginx": Case("servers", ("bash", "-c", NGINX)),
    "strace": Case("programs", ("strace", "-f", "-o", "/dev/null", "bash", "-c", "(exit 3); echo $?")),
    "gdb": Case(
        "development",
        (
            "gdb",
            "-batch",
            "-nx",
            "-ex",
            "break main",
            "-ex",
            "run",
            "-ex",
            "info registers rip",
            "-ex",
            "kill",
            "/careless",
        ),
    ),
}
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=CASES, ids=lambda name: name)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def procession(case: Case, tmp_path: Path) -> Command:
    """Runs the command with a verb and options on the case's program."""
    root = tmp_path / "tree"
    root.mkdir()
    programs = find_tree(case.tree)
    subprocess.run(["cp", "-a", f"{programs}/.", root], check=True)
    source = tmp_path / "careless.c"
    source.write_text(CARELESS)
    (root / "careless").write_bytes(compile_program(source, Linkage.STATIC).read_bytes())
    (root / "careless").chmod(0o755)

    def run(verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "procession",
                verb,
                "--rootfs",
                root,
                *case.options,
                *options,
                "--",
                *case.command,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode != 70, result.stderr
        return result

    return run


def test_everything_shows_the_run_and_changes_nothing(procession: Command, tmp_path: Path) -> None:
    plain = procession("run")
    graphs, events = tmp_path / "graphs", tmp_path / "events"
    tree, states, table, tracks = (tmp_path / name for name in ("t.dot", "s.mmd", "e.sqlite", "p.pftrace"))
    traced = procession("trace", "--graph", GRAPHS, "--no-host-time", "-o", str(graphs))
    assert (traced.returncode, traced.stdout) == (plain.returncode, plain.stdout)
    text = graphs.read_text()
    for symbol in ("do_exit", "handle_mm_fault", "context_switch", "copy_process", "do_notify_parent"):
        assert symbol in text, symbol
    told = procession("trace", "--json", "-o", str(events))
    assert (told.returncode, told.stdout) == (plain.returncode, plain.stdout)
    schema = json.loads((PROJECT / "docs" / "event.schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    lines = events.read_text().splitlines()
    kinds = {json.loads(line)["event"] for line in lines}
    assert {"cloned", "executed", "exited", "switched", "state_changed", "system_call_entered"} <= kinds
    for line in lines[:: max(len(lines) // 500, 1)]:
        validator.validate(json.loads(line))
    exports = [f"processes={tree}", f"states={states}", f"events={table}", f"perfetto={tracks}"]
    shown = procession("trace", "--states", "-o", os.devnull, *(f"--export={export}" for export in exports))
    assert (shown.returncode, shown.stdout) == (plain.returncode, plain.stdout)
    assert tree.read_text().startswith("digraph")
    assert "RUNNING" in states.read_text()
    assert tracks.stat().st_size > 0
    with sqlite3.connect(table) as connection:
        [[count]] = connection.execute("SELECT count(*) FROM cloned")
    assert count == sum(json.loads(line)["event"] == "cloned" for line in lines)


def test_it_can_be_recorded_replayed_and_looked_at(procession: Command, tmp_path: Path) -> None:
    recording = tmp_path / "run.rec"
    plain = procession("run")
    recorded = procession("run", "--record", str(recording))
    assert (recorded.returncode, recorded.stdout) == (plain.returncode, plain.stdout)

    def look(verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "procession", verb, *arguments, recording],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    repeated = look("replay")
    assert (repeated.returncode, repeated.stdout) == (plain.returncode, plain.stdout), repeated.stderr
    for moment in ("fork", "exit", "end"):
        overview = look("inspect", "--at", moment)
        assert overview.returncode == 0, overview.stderr
        assert "pid namespaces" in overview.stdout
    for form in ("linux", "nt"):
        task = look("inspect", "--at", "fork", "--pid", "1", "--as", form)
        assert task.returncode == 0, task.stderr
        groups = [line for line in task.stdout.splitlines() if not line.startswith(" ")]
        assert tuple(groups) == GROUPS


def test_one_can_go_back_in_it(procession: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.rec"
    recorded = procession("run", "--record", str(path))
    recording = read_recording(path)
    history = travel(recording)
    assert isinstance(history.driver, ReplayedSteps)
    machine = history.driver.machine
    places = []
    for condition in ("exec", "fork", "exit", "SIGCHLD"):
        history.go_to(0)
        if history.run_to(condition) is not None:
            fresh = StateKeeper(machine.kernel, compares_frames=True)
            digest = machine.state_digest()
            assert fresh.digest() == digest
            fresh.close()
            places.append((history.here(), history.count, history.event, digest, machine.state_hash()))
    assert len(places) >= 2
    history.run_to_end()
    end = history.count, machine.state_hash()
    for number, (here, count, event, digest, state_hash) in enumerate(reversed(places)):
        history.return_to(here)
        assert (history.count, history.event) == (count, event)
        assert (machine.state_digest(), machine.state_hash()) == (digest, state_hash)
        if number < 2:
            history.run_to_end()
            assert (history.count, machine.state_hash()) == end
    for kind in ("event", "call", "switch", "state"):
        history.go_to(end[0])
        assert history.back(kind) is not None
        assert history.count < end[0]
    script = ["until exit", "checkpoint", "back", "back call", "back-to exec", "print 1", "restart 1"]
    script += ["back 3", "restart 1", "until end", "output"]
    told = subprocess.run(
        [sys.executable, "-m", "procession", "debug", path],
        input="\n".join(script) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    parts = [part.partition("\n") for part in told.stdout.split("(procession) ")[1:]]
    assert [part[0] for part in parts] == script
    shown = [part[2] for part in parts]
    assert shown[6] == shown[8]
    assert shown[6].split()[0] == shown[0].split()[0]
    assert recorded.stdout in shown[10]
