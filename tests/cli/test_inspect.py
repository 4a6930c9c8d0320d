"""`procession inspect`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "procession"]
SCRIPT = "exec 5</etc/passwd; (sleep 5; exit 3) | cat & trap : USR1; wait; exit 4"


def procession(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def recording(guest_root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("inspect") / "run")
    command = ["bash", "-c", SCRIPT]
    assert procession("run", "--rootfs", str(guest_root), "--record", path, "--", *command).returncode == 4
    return path


def test_an_overview_in_the_middle_of_a_sleep(recording: str) -> None:
    shown = procession("inspect", "--at", "1s", recording).stdout
    assert "|  `- 5 sleep (INTERRUPTIBLE)" in shown
    assert "waits for bytes from pipe" in shown
    assert "pid:[4026531836] tasks 1, 2, 3, 4, 5" in shown
    assert float(shown.split()[1]) < 1


def test_a_task_in_full(recording: str) -> None:
    shown = procession("inspect", "--at", "1s", "--pid", "2", recording).stdout
    for text in (
        "SIGUSR1 at 0x",
        "children                 3 bash, 4 cat",
        "/etc/passwd [RegularFile, offset 0",
        "shared with 3 fd 5",
        "copy-on-write, with 3",
        "state                    INTERRUPTIBLE",
        "uid                      real 0, effective 0",
        "user:[4026531837]",
        "tracer                   none",
    ):
        assert text in shown
    forked = procession("inspect", "--at", "fork#2", "--pid", "3", recording).stdout
    assert "blocked                  all but SIGKILL, SIGSTOP\n" in forked
    beside = procession("inspect", "--at", "1s", "--pid", "2", "--as", "nt", recording).stdout
    assert "EPROCESS.UniqueProcessId" in beside


@pytest.mark.heavy
def test_who_traces_whom(guest_root: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "run")
    command = ["strace", "-o", "/dev/null", "sh", "-c", "exit 3"]
    assert procession("run", "--rootfs", str(guest_root), "--record", path, "--", *command).returncode == 3
    tree = procession("inspect", "--at", "exec", path).stdout
    child = next(line.split()[1] for line in tree.splitlines() if "- " in line and " sh (TRACED)" in line)
    traced = procession("inspect", "--at", "exec", "--pid", child, path).stdout
    assert "tracer                   2 strace, seized\n" in traced
    assert "PTRACE_O_TRACEEXEC" in traced
    assert f"stopped                  at an event in a call, message {child}\n" in traced
    assert "tracees                  none\n" in traced
    tracer = procession("inspect", "--at", "exec", "--pid", "2", "--as", "nt", path).stdout
    assert f"tracees                  {child} sh " in tracer


@pytest.mark.heavy
def test_a_zombie_that_nobody_reaps(guest_root: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "run")
    command = ["bash", "-c", "(exit 3) & exec sleep 5"]
    procession("run", "--rootfs", str(guest_root), "--record", path, "--", *command)
    zombie = procession("inspect", "--at", "1s", "--pid", "3", path).stdout
    assert "state                    ZOMBIE" in zombie
    assert "exit_code                0x300" in zombie
    assert "3 bash (ZOMBIE)" in procession("inspect", "--at", "1s", path).stdout


def test_the_end_of_a_machine_without_an_init(guest_root: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "run")
    command = ["sh", "-c", "sleep 100 & exit 3"]
    procession("run", "--pid1", "--rootfs", str(guest_root), "--record", path, "--", *command)
    shown = procession("inspect", path)
    assert shown.returncode == 0
    assert "\n2 sleep (INTERRUPTIBLE)\n" in shown.stdout


@pytest.mark.heavy
def test_pictures_of_who_talks_to_whom_and_lives_where(recording: str, tmp_path: Path) -> None:
    for name, parts in {
        "ipc=i.mmd": ("flowchart LR", 'p3 -- "fd 1" --> c'),
        "ipc=i.dot": ("digraph ipc {", "shape=ellipse"),
        "namespaces=n.mmd": ("flowchart TD", 'n4026531836["pid:[4026531836] tasks 1, 2, 3, 4, 5"]'),
        "namespaces=n.dot": ("digraph namespaces {", "n4026531837 -> n4026531836;"),
    }.items():
        what, _, file = name.partition("=")
        shown = procession("inspect", "--at", "1s", f"--export={what}={tmp_path / file}", recording)
        assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "")
        for part in parts:
            assert part in (tmp_path / file).read_text()
    assert "write ipc or namespaces" in procession("inspect", "--export", "x=y", recording).stderr


def test_a_reader_that_has_gone(recording: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*COMMAND, "inspect", recording]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, b"")


def test_the_first_fork_is_the_commands_own(recording: str) -> None:
    assert "`- 2 bash (RUNNING)\n   `- 3 bash (" in procession("inspect", "--at", "fork", recording).stdout
    assert (
        "comm                     cat"
        in procession("inspect", "--at", "exec", "--pid", "4", recording).stdout
    )


def test_what_is_different_later(recording: str) -> None:
    shown = procession("inspect", "--at", "fork", "--diff", "1s", "--pid", "2", recording).stdout
    assert "~ state: call                          user mode -> wait4" in shown
    assert "+ state: waits for" in shown


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--at", "frok"], "'frok' is no event, system call, signal or error; did you mean 'fork'?"),
        (["--at", "fork#0"], "what follows # is a number from 1 on"),
        (["--at", "fork#99"], "the run ended before fork#99"),
        (["--pid", "77"], "there is no task 77 at end"),
        (["--diff", "1s"], "--diff needs --pid"),
    ],
)
def test_mistakes_are_told_in_a_line(recording: str, options: list[str], reason: str) -> None:
    result = procession("inspect", *options, recording)
    assert result.returncode == 2
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1
