"""`procession trace`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from procession.trace.filter import calls_named

SCRIPT = "(exit 3) & wait $!; cat /nothing; exit 4"


def trace(guest_root: Path, *options: str, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "procession", "trace", "--rootfs", str(guest_root), *options]
    return subprocess.run(
        [*command, "--", "bash", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_options_it_is_as_strace_prints(guest_root: Path) -> None:
    result = trace(guest_root)
    assert result.returncode == 4
    assert 'execve("/usr/bin/bash"' in result.stderr
    assert "+++ exited with 4 +++" in result.stderr


def test_what_is_shown_can_be_chosen(guest_root: Path) -> None:
    result = trace(guest_root, "-e", "openat", "--outcome", "ENOENT", "--path", "/nothing")
    shown = [line for line in result.stderr.splitlines() if "(" in line]
    assert len(shown) == 1
    assert "/nothing" in shown[0]


def test_a_path_is_any_bytes(guest_root: Path) -> None:
    result = trace(guest_root, "--path", os.fsdecode(b"/\xff"), script="cat $'/\\xff/name' /nothing")
    assert "/\\377/name" in result.stderr.partition("cat:")[0]
    assert '"/nothing"' not in result.stderr


def test_calls_are_named_as_strace_wants_them(guest_root: Path) -> None:
    named = trace(guest_root, "-e", "trace=openat,execve").stderr
    assert named.startswith("execve(")
    assert "openat(" in named
    assert "brk(" not in named
    without = trace(guest_root, "-e", "trace=!openat,execve").stderr
    assert "brk(" in without
    assert "openat(" not in without
    assert "execve(" not in without


def test_lines_can_say_more(guest_root: Path) -> None:
    plain = ("--time", "-T", "-y", "-e", "openat,write,close,execve")
    lines = trace(guest_root, *plain, script="exec 5< /etc; exec 5<&-").stderr
    time = r"\d\d:\d\d:\d\d\.\d{6}"
    opened = rf'^{time} openat\(AT_FDCWD</\S*>, "/etc", O_RDONLY\) += 3</etc> <0\.\d{{6}}>$'
    assert re.match(rf"{time} execve\(\"/", lines)
    assert re.search(opened, lines, re.MULTILINE)
    assert re.search(rf"^{time} close\(5</etc>\) += 0 <0\.\d{{6}}>$", lines, re.MULTILINE)


def test_calls_can_be_counted(guest_root: Path) -> None:
    lines = trace(guest_root, "-c", "-e", "openat,exit_group,close", script="exec 5< /nowhere").stderr
    table = lines[lines.index("% time") :].splitlines()
    names = {line.split()[-1] for line in table[2:]}
    assert {"openat", "close", "total"} <= names
    (opens,) = (line.split() for line in table if line.endswith(" openat"))
    assert int(opens[3]) > int(opens[4]) > 0
    assert trace(guest_root, "-c", "--json").returncode == 2


def test_a_graph_shows_the_kernels_functions(guest_root: Path) -> None:
    result = trace(guest_root, "--graph", "fork,wait")
    assert "bash[2] clone = 3" in result.stderr
    assert "kernel/fork.c, copy_process" in result.stderr
    assert "kernel/exit.c, wait_task_zombie" in result.stderr
    shallow = trace(guest_root, "--graph", "fork,wait", "--depth", "1")
    assert len(shallow.stderr) < len(result.stderr)


def test_a_graph_as_json(guest_root: Path) -> None:
    result = trace(guest_root, "--graph", "fork", "--json", script="(exit 3); exit 4")
    (tree,) = map(json.loads, result.stderr.splitlines())
    assert tree["call"] == "clone"
    assert tree["outcome"] == "3"


def test_events_as_json(guest_root: Path, tmp_path: Path) -> None:
    output = tmp_path / "events"
    result = trace(guest_root, "--json", "-o", str(output), "--pid", "3")
    assert result.returncode == 4
    events = [json.loads(line) for line in output.read_text().splitlines()]
    assert {event["pid"] for event in events} == {3}
    assert {"cloned", "exited", "reaped"} <= {event["event"] for event in events}


def test_chosen_calls_as_json(guest_root: Path, tmp_path: Path) -> None:
    output = tmp_path / "events"
    trace(guest_root, "--json", "-o", str(output), "-e", "%process")
    events = [json.loads(line) for line in output.read_text().splitlines()]
    assert {event["event"] for event in events} == {"system_call_entered", "system_call_returned"}
    assert "wait4" in {event["name"] for event in events} <= calls_named(("%process",))


def test_states_and_exports(guest_root: Path, tmp_path: Path) -> None:
    exports = {
        "perfetto": "run.pftrace",
        "events": "run.sqlite",
        "states": "states.mmd",
        "processes": "processes.dot",
    }
    options = [f"--export={what}={tmp_path / name}" for what, name in exports.items()]
    result = trace(guest_root, "--states", *options)
    assert "ZOMBIE          exit status 3" in result.stderr
    _, _, latencies = result.stderr.partition("zombie to reaped:")
    assert re.search(r"\n +1    3 bash: \d+\.\d us at least", latencies)
    assert all((tmp_path / name).stat().st_size for name in exports.values())


def test_a_database_that_cant_be_written_is_told(guest_root: Path, tmp_path: Path) -> None:
    # What SQLite writes beside it first.
    (tmp_path / "events.sqlite-journal").mkdir()
    result = trace(guest_root, f"--export=events={tmp_path}/events.sqlite")
    assert result.returncode == 4
    assert f"--export events={tmp_path}/events.sqlite: unable to open database file\n" in result.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--graph", "frok"], "'frok' is no system call"),
        (["-e", "opne"], "'opne' is no system call"),
        (["--outcome", "ENOWAY"], "'ENOWAY' is no outcome"),
        (["--export", "perfetto"], "--export perfetto: write one of"),
        (["--export", "states=x.png"], "a file that ends in .mmd or .dot"),
        (["--graph", "fork", "--states"], "--graph doesn't go together"),
        (["-o", "/nowhere/file"], "can't write the trace to /nowhere/file: No such file or directory"),
    ],
)
def test_mistakes_are_told_in_a_line(guest_root: Path, options: list[str], reason: str) -> None:
    result = trace(guest_root, *options)
    assert result.returncode == 2
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_file_that_is_full_is_told(guest_root: Path) -> None:
    result = trace(guest_root, "-o", "/dev/full", "--json")
    assert result.returncode == 4
    assert "the trace is incomplete: No space left on device" in result.stderr
