"""Tests of the command line's options, messages and exit statuses, with a machine that only pretends."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from procession.abi.errno import EACCES, ENOENT, ENOEXEC
from procession.cli import main
from procession.cli.command_line import run_command_line
from procession.kernel.task_state import TaskState
from procession.kernel.time.clock import DEFAULT_EPOCH_NS
from procession.launch import DEFAULT_ENVIRONMENT


def ended(status: int = 0, signal: int = 0, reason: str = "") -> Callable[[PretendMachine], SimpleNamespace]:
    """A run that ends so."""
    return lambda machine: SimpleNamespace(status=status, signal=signal, reason=reason, note="")


def failing(error: BaseException) -> Callable[[PretendMachine], SimpleNamespace]:
    """A run that raises `error`."""

    def act(machine: PretendMachine) -> SimpleNamespace:
        raise error

    return act


class PretendMachine:
    """Stands for a machine: keeps what it was given and does what the test says."""

    made: PretendMachine
    act: ClassVar[Callable[[PretendMachine], SimpleNamespace]] = ended()

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.seed = settings["seed"]
        self.on_system_call: Any = None
        self.signals: list[str] = []
        self.run: dict[str, Any] = {}
        self.kernel = SimpleNamespace(current=None)
        self.init = SimpleNamespace(group=None)
        self.stream_failure = None
        self.why_slow = ""
        self.is_closed = False
        self.is_broken_off = False
        self.progress: Any = None
        self.inlet = SimpleNamespace(is_complete=False)
        PretendMachine.made = self

    def run_attached(self, argv: tuple[str, ...], **settings: Any) -> SimpleNamespace:
        """Do what the test says."""
        self.run = {"argv": argv, **settings}
        return type(self).act(self)

    def run_in_terminal(self, argv: tuple[str, ...], **settings: Any) -> SimpleNamespace:
        """Do what the test says."""
        self.run = {"argv": argv, "in": "terminal", **settings}
        return type(self).act(self)

    def forward_signal(self, name: str) -> None:
        """Keep the signal."""
        self.signals.append(name)

    def close(self) -> None:
        """Keep that it's done."""
        self.is_closed = True


@pytest.fixture(autouse=True)
def pretend_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("procession.machine")
    module.Machine = PretendMachine  # type: ignore[attr-defined]

    monkeypatch.setitem(sys.modules, "procession.machine", module)
    monkeypatch.setattr(PretendMachine, "act", ended())


def test_dates(capsys: pytest.CaptureFixture[str]) -> None:
    second_ns = 10**9
    for text, epoch_ns in (
        ("@0", 0),
        ("1970-01-02", 86400 * second_ns),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2024-02-29T12:00:00.5Z", 1_709_208_000_500_000_000),
    ):
        assert run_command_line(["run", "--date", text, "--", "true"]) == 0
        assert PretendMachine.made.settings["epoch_ns"] == epoch_ns
    before_ns = time.time_ns()
    assert run_command_line(["run", "--date", "now", "--", "true"]) == 0
    assert before_ns <= PretendMachine.made.settings["epoch_ns"] <= time.time_ns()
    for text in ("tomorrow", "1969-12-31", "@-1", "@99999999999", "@1e3", ""):
        assert run_command_line(["run", "--date", text, "--", "true"]) == 2
        assert capsys.readouterr().err.startswith("procession: invalid value for '--date': ")


def test_options_reach_the_machine() -> None:
    arguments = ["run", "--rootfs", "/tree", "--seed", "5", "--pid1", "--env", "A=1=2", "--cwd", "/srv"]
    arguments += ["--user", "a:b", "--hostname", "h", "--cpus", "4", "--pids-max", "9"]
    arguments += [
        "--memory",
        "256M",
        "--time-limit",
        "1.5",
        "--wall-limit",
        "20",
        "--",
        "ls",
        "-l",
        "--version",
    ]
    assert run_command_line(arguments) == 0
    machine = PretendMachine.made
    assert machine.settings == {
        "seed": 5,
        "engine": "auto",
        "rootfs": "/tree",
        "memory": 256 << 20,
        "environment": {
            "PATH": DEFAULT_ENVIRONMENT["PATH"],
            "A": "1=2",
        },
        "cwd": "/srv",
        "user": "a:b",
        "hostname": "h",
        "cpus": 4,
        "pids_max": 9,
        "image": None,
        "entrypoint": None,
        "source": None,
        "epoch_ns": DEFAULT_EPOCH_NS,
    }
    assert machine.run == {
        "argv": ("ls", "-l", "--version"),
        "pid1": True,
        "time_limit_s": 1.5,
        "wall_limit_s": 20.0,
        "is_paced": False,
    }
    assert machine.on_system_call is None


def test_real_time_is_the_hosts() -> None:
    before_ns = time.time_ns()
    assert run_command_line(["run", "--realtime", "--", "x"]) == 0
    machine = PretendMachine.made
    assert before_ns <= machine.settings["epoch_ns"] <= time.time_ns()
    assert machine.run["is_paced"]


def test_a_terminal_is_of_the_callers_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "vt220")
    assert run_command_line(["run", "-t", "--", "x"]) == 0
    machine = PretendMachine.made
    assert machine.settings["environment"] == {**DEFAULT_ENVIRONMENT, "TERM": "vt220"}
    assert machine.run == {
        "argv": ("x",),
        "pid1": False,
        "time_limit_s": None,
        "wall_limit_s": None,
        "has_keyboard": False,
        "in": "terminal",
    }
    run_command_line(["run", "-t", "--env", "TERM=dumb", "--", "x"])
    assert PretendMachine.made.settings["environment"]["TERM"] == "dumb"
    monkeypatch.delenv("TERM")
    run_command_line(["run", "-t", "--", "x"])
    assert PretendMachine.made.settings["environment"]["TERM"] == "xterm"


def test_interactive_changes_nothing_without_a_terminal() -> None:
    assert run_command_line(["run", "-i", "--", "x"]) == 0
    assert "in" not in PretendMachine.made.run


def test_the_command_starts_at_the_first_word_that_is_no_option() -> None:
    assert run_command_line(["run", "--seed", "3", "--trace", "ls", "--trace", "-x"]) == 0
    assert PretendMachine.made.run["argv"] == ("ls", "--trace", "-x")
    assert PretendMachine.made.on_system_call is not None


def test_arguments_that_are_no_text_pass_unchanged() -> None:
    run_command_line(["run", "--", "echo", os.fsdecode(b"\xff\xfe")])
    assert PretendMachine.made.run["argv"][1] == os.fsdecode(b"\xff\xfe")


def test_an_env_without_value_passes_the_callers_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "value")
    monkeypatch.delenv("ABSENT", raising=False)
    run_command_line(["run", "--env", "HERE", "--env", "ABSENT", "--", "x"])
    environment = PretendMachine.made.settings["environment"]
    assert environment["HERE"] == "value"
    assert "ABSENT" not in environment


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "missing argument"),
        (["run", "--"], "missing argument"),
        (["run", "--nothing", "--", "x"], "--nothing"),
        (["run", "--seed", "x", "--", "y"], "--seed"),
        (["run", "--memory", "12Q", "--", "y"], "isn't a size such as 256M or 1G"),
        (["run", "--memory", "1K", "--", "y"], "between 16M and 1024G"),
        (["run", "--memory", "9" * 5000, "--", "y"], "between 16M and 1024G"),
        (["run", "--time-limit", "0", "--", "y"], "--time-limit"),
        (["run", "--cpus", "0", "--", "y"], "--cpus"),
        (["run", "--pids-max", "1", "--", "y"], "--pids-max"),
        (["run", "--cpus", "65", "--", "y"], "--cpus"),
        (["run", "--env", "=x", "--", "y"], "a variable needs a name"),
        (["run", "--trace=/nowhere/file", "--", "y"], "can't write the trace to /nowhere/file"),
        (["run", "-it", "--", "y"], "-i and -t together need a terminal as standard input"),
        (["dance"], "dance"),
        ([], "missing command: `procession --help` lists them"),
    ],
)
def test_a_mistake_in_the_use_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("procession: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize(
    ("act", "status", "message"),
    [
        (ended(3), 3, ""),
        (ended(signal=15), 143, "procession: killed by SIGTERM\n"),
        (ended(signal=34), 162, "procession: killed by SIGRT_2\n"),
        (ended(signal=13), 141, ""),
        (ended(125, reason="every task sleeps"), 125, "procession: every task sleeps\n"),
        (failing(ENOENT()), 127, "procession: prog: command not found\n"),
        (failing(EACCES("no x bit")), 126, "procession: prog: Permission denied: no x bit\n"),
        (failing(ENOEXEC()), 126, "procession: prog: Exec format error\n"),
    ],
)
def test_the_exit_status_is_the_programs(
    act: Any, status: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PretendMachine, "act", act)
    assert run_command_line(["run", "--", "prog"]) == status
    assert capsys.readouterr().err == message


def test_a_path_that_is_absent_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PretendMachine, "act", failing(ENOENT()))
    assert run_command_line(["run", "--", "/no/prog"]) == 127
    assert capsys.readouterr().err == "procession: /no/prog: No such file or directory\n"


def test_signals_of_the_host_are_forwarded_while_the_guest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(machine: PretendMachine) -> SimpleNamespace:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        return ended()(machine)

    monkeypatch.setattr(PretendMachine, "act", act)
    before = signal.getsignal(signal.SIGINT)
    assert run_command_line(["run", "--", "x"]) == 0
    assert PretendMachine.made.signals == ["SIGINT", "SIGTERM", "SIGHUP"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_bug_of_the_kernel_is_reported_with_task_call_and_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def act(machine: PretendMachine) -> SimpleNamespace:
        machine.kernel.current = SimpleNamespace(
            tid=7, command_name=b"bash", state=TaskState.RUNNING, call_name="wait4"
        )
        raise KeyError("lost")

    monkeypatch.setattr(PretendMachine, "act", act)
    assert run_command_line(["run", "--seed", "9", "--", "x"]) == 70
    report = capsys.readouterr().err
    assert report.startswith("procession: a bug in Procession's kernel")
    for line in ("  task:  7 (bash), RUNNING", "  call:  wait4", "  seed:  9", "  error: KeyError: 'lost'"):
        assert line in report.splitlines()
    assert "  it couldn't be recorded" in report
    assert not list(tmp_path.iterdir())


def test_the_trace_goes_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(machine: PretendMachine) -> SimpleNamespace:
        machine.on_system_call.task_event(SimpleNamespace(tid=2, group=0, exit_code=3 << 8), "exit")
        return ended(3)(machine)

    monkeypatch.setattr(PretendMachine, "act", act)
    assert run_command_line(["run", f"--trace={tmp_path}/log", "--", "x"]) == 3
    assert (tmp_path / "log").read_text() == "+++ exited with 3 +++\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["--version"]) == 0
    assert capsys.readouterr().out == f"procession {version('procession')}\n"


def test_syscalls_lists_every_call_of_linux(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["syscalls", "--json"]) == 0
    calls = json.loads(capsys.readouterr().out)
    assert [call["number"] for call in calls][:336] == [*range(336)]
    assert calls[0]["name"] == "read"
    for call in calls:
        assert call["is_built"] == (call["answer"] is None)
        assert (call["module"] is not None) or call["answer"] == "ENOSYS"
    assert run_command_line(["syscalls"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(calls)


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = [sys.executable, "-m", "procession", "syscalls"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_an_interrupt_before_the_guest_runs_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PretendMachine, "act", failing(KeyboardInterrupt()))
    monkeypatch.setattr(sys, "argv", ["procession", "run", "--", "x"])
    monkeypatch.setattr(atexit, "register", lambda function: None)
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 130
    assert capsys.readouterr().err == ""
