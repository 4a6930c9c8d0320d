"""Tests of `procession run` with real programs: streams, statuses, signals, the trace, its price at start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from procession import Machine
from tests.of_a_kind import heavy

START_LIMIT = 2.0
"""The processor time of a whole `procession run -- /bin/true`, as a multiple of what YARDSTICK takes.

It's 1.5 to 1.7, idle and on a busy machine. Where that takes 0.15 s, the limit is 0.3 s.
"""
YARDSTICK = """
import asyncio, concurrent.futures, ctypes, difflib, doctest, email.mime.text, http.client, logging.config
import multiprocessing.pool, pdb, pydoc, tarfile, unittest.mock, urllib.request, xml.dom.minidom, zipfile
"""
START_CALLS = 100_000
"""Calls of Python's functions in the same command."""
START_MODULES = 461
"""The package's modules that it imports."""
_COUNT = """
import os, sys
from collections import Counter
events = Counter()
sys.setprofile(lambda frame, event, argument: events.update([event]))
from procession.cli import main
end = os._exit
def report(status):
    sys.setprofile(None)
    modules = sum(name.startswith("procession.") for name in sys.modules)
    print(status, events["call"], modules, file=sys.stderr)
    end(status)
os._exit = report
main()
"""


class Command:
    """Runs `procession run` on a tree of Debian programs."""

    def __init__(self, root: Path) -> None:
        self.start = [sys.executable, "-m", "procession", "run", "--rootfs", str(root)]

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run to the end; `arguments` are options, `--` and a command."""
        return subprocess.run([*self.start, *arguments], input=stdin, capture_output=True, check=False)

    def popen(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start, with pipes for all streams."""
        return subprocess.Popen(
            [*self.start, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


@pytest.fixture
def command(guest_root: Path) -> Command:
    return Command(guest_root)


def test_streams_and_status_are_the_programs(command: Command) -> None:
    result = command.run("--", "sh", "-c", "cat; echo error >&2; exit 7", stdin=b"to be copied\n")
    assert (result.returncode, result.stdout, result.stderr) == (7, b"to be copied\n", b"error\n")


def test_no_timeout_wins_over_input_that_is_there(command: Command) -> None:
    result = command.run("--", "timeout", "20", "cat", stdin=b"to be copied\n")
    assert (result.returncode, result.stdout) == (0, b"to be copied\n")
    assert command.run("--", "timeout", "20", "cat").returncode == 0
    with command.popen("--", "timeout", "20", "cat") as process:
        # Nothing comes, and the clock jumps: to wait would be --realtime.
        assert process.wait() == 124


def test_the_end_of_the_null_device_is_seen_without_waiting(command: Command) -> None:
    look = [*command.start, "--", "bash", "-c", "read -t 0; echo $?; dd iflag=nonblock status=none; echo $?"]
    result = subprocess.run(look, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (result.stdout, result.stderr) == (b"0\n0\n", b"")


def test_a_signal_that_kills_is_named(command: Command) -> None:
    result = command.run("--", "sh", "-c", "kill -TERM $$")
    assert (result.returncode, result.stderr) == (143, b"procession: killed by SIGTERM\n")


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("no-such-program", 127, b"procession: no-such-program: command not found\n"),
        ("/no/such/program", 127, b"procession: /no/such/program: No such file or directory\n"),
        ("/etc/passwd", 126, b"procession: /etc/passwd: Permission denied\n"),
        ("/etc", 126, b"procession: /etc: Permission denied: not a regular file\n"),
    ],
)
def test_what_cannot_be_executed_is_one_line(
    command: Command, name: str, status: int, message: bytes
) -> None:
    result = command.run("--", name)
    assert (result.returncode, result.stdout, result.stderr) == (status, b"", message)


def test_a_tree_that_is_absent_is_one_line() -> None:
    result = Command(Path("/no/such/tree")).run("--", "true")
    assert result.returncode == 2
    assert re.fullmatch(rb"procession: .*/no/such/tree.*\n", result.stderr)


def test_the_environment_is_fixed_but_for_what_is_given(command: Command) -> None:
    result = command.run(
        "--env", "B=1", "--env", "A=x y", "--cwd", "/usr", "--", "sh", "-c", 'pwd; echo "$A$B$HOME"'
    )
    assert result.stdout == b"/usr\nx y1/root\n"


def test_the_command_is_pid_1_only_if_asked(command: Command) -> None:
    assert command.run("--", "sh", "-c", "echo $$ $PPID").stdout == b"2 1\n"
    assert command.run("--pid1", "--", "sh", "-c", "echo $$ $PPID").stdout == b"1 0\n"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_of_the_host_reach_the_guest(command: Command, number: int, status: int) -> None:
    with command.popen("--", "sh", "-c", "echo ready; read line") as process:
        stdout, stderr = outputs(process)
        assert stdout.readline() == b"ready\n"
        process.send_signal(number)
        name = signal.Signals(number).name.encode()
        assert stderr.read() == b"procession: killed by %s\n" % name
        assert process.wait() == status


def test_a_guest_that_never_calls_the_kernel_gets_signals_too(command: Command) -> None:
    with command.popen("--", "sh", "-c", "echo ready; while :; do :; done") as process:
        stdout, _ = outputs(process)
        assert stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130


def test_the_guest_may_handle_the_hosts_signal(command: Command) -> None:
    with command.popen("--", "sh", "-c", "trap 'echo caught; exit 5' INT; echo ready; read line") as process:
        stdout, _ = outputs(process)
        assert stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert stdout.read() == b"caught\n"
        assert process.wait() == 5


def outputs(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """The pipes that `process` writes to."""
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdout, process.stderr


def test_a_reader_that_goes_away_ends_the_guest_by_sigpipe(command: Command) -> None:
    with command.popen("--", "sh", "-c", "while :; do echo y; done") as process:
        stdout, stderr = outputs(process)
        assert stdout.readline() == b"y\n"
        stdout.close()
        assert stderr.read() == b""
        assert process.wait() == 141


def test_what_sleeps_for_ever_is_ended_with_a_reason(command: Command) -> None:
    result = command.run("--", "sh", "-c", "kill -STOP $$")
    assert result.returncode == 125
    assert result.stderr == (
        b"procession: every task sleeps, and nothing can wake any of them\n"
        b"process 2 (sh) in user mode waits for SIGCONT: it's stopped\n"
    )
    result = command.run("--time-limit", "5", "--", "sleep", "1000")
    assert result.returncode == 124
    assert result.stderr.startswith(b"procession: the time limit of 5.0 s")


def test_a_trace_shows_the_calls_of_all_processes(command: Command, tmp_path: Path) -> None:
    result = command.run(f"--trace={tmp_path}/log", "--", "sh", "-c", "(exit 3); echo done")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"done\n", b"")
    lines = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(
        r'execve\("\S+/sh", \["sh", "-c", "\(exit 3\); echo done"\], 0x\w+ /\* 2 vars \*/\) = 0', lines[0]
    )
    text = "\n".join(lines)
    assert "{WIFEXITED(s) && WEXITSTATUS(s) == 3}" in text
    assert "+++ exited with 3 +++" in text
    assert re.search(r'write\(1, "done\\n", 5\) += 5$', text, re.MULTILINE)
    assert lines[-1] == "+++ exited with 0 +++"


def test_a_trace_changes_nothing_that_the_guest_sees(command: Command, tmp_path: Path) -> None:
    script = "cat /proc/self/stat /proc/self/status /proc/uptime; cat /proc/sys/kernel/random/uuid"
    plain = command.run("--", "sh", "-c", script)
    traced = command.run(f"--trace={tmp_path}/log", "--", "sh", "-c", script)
    assert plain.stdout == traced.stdout
    assert len(plain.stdout) > 1000


def test_starting_takes_few_calls_and_modules(guest_root: Path) -> None:
    """The same on each machine, however busy, unlike its time."""
    start = [sys.executable, "-c", _COUNT, "run", "--rootfs", str(guest_root), "--", "/bin/true"]
    shown = subprocess.run(start, capture_output=True, text=True, check=False)
    status, calls, modules = map(int, shown.stderr.split())
    assert status == shown.returncode == 0
    assert START_CALLS / 2 < calls <= START_CALLS
    assert START_MODULES / 2 < modules <= START_MODULES


@pytest.mark.heavy
def test_starting_is_quick(command: Command, tmp_path: Path) -> None:
    """Beside imports of the standard library, which a slow or busy machine makes slower as well."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def processor_time_s(command: list[str]) -> float:
        process = subprocess.Popen(command, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_utime + usage.ru_stime

    commands = [*command.start, "--", "/bin/true"], [sys.executable, "-c", YARDSTICK]
    # The first run of each compiles.
    times = [[processor_time_s(command) for command in commands] for _ in range(7)][1:]
    start_s, yardstick_s = map(min, zip(*times, strict=True))
    assert start_s <= START_LIMIT * yardstick_s, times


def test_a_user_by_name_is_the_guests(command: Command) -> None:
    shown = (
        'id; echo "$HOME"; echo again >/dev/stdout; grep CapEff /proc/self/status; echo 2>&1 >/etc/x; exit 4'
    )
    result = command.run("--user", "games", "--", "bash", "-c", shown)
    assert (result.returncode, result.stdout.decode().splitlines()) == (
        4,
        [
            "uid=5(games) gid=60(games) groups=60(games)",
            "/usr/games",
            "again",
            "CapEff:\t0000000000000000",
            "bash: line 1: /etc/x: Permission denied",
        ],
    )


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("games:adm", b"5 4 4 /usr/games\n"),
        heavy(("5", b"5 60 60 /usr/games\n")),
        heavy(("4321", b"4321 0 0 /\n")),
        ("4321:1234", b"4321 1234 1234 /\n"),
        ("root", b"0 0 0 /root\n"),
    ],
)
def test_a_user_may_be_a_number_and_have_a_group(command: Command, user: str, ids: bytes) -> None:
    program = 'echo "$(id -u) $(id -g) $(id -G) $HOME"'
    assert command.run("--user", user, "--pid1", "--", "bash", "-c", program).stdout == ids


def test_a_user_has_the_groups_that_list_it(command: Command, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("broken line\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n")
    (tmp_path / "etc/group").write_text("ann:x:1000:\nvideo:x:44:bob,ann\naudio:x:29:ann\nnone:x:50:anna\n")
    machine = Machine(rootfs=tmp_path, user="ann", engine="scripted", environment={})
    assert machine.login == (1000, 1000, (29, 44), "/home/ann")
    assert machine.environment == {"HOME": "/home/ann"}
    assert Machine(rootfs=tmp_path, user="ann:29", engine="scripted").login == (1000, 29, (), "/home/ann")


def test_home_may_be_set_for_a_user(command: Command) -> None:
    result = command.run("--user", "games", "--env", "HOME=/h", "--", "sh", "-c", 'echo "$HOME"')
    assert result.stdout == b"/h\n"


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nobody-at-all", b"no user is called 'nobody-at-all' in /etc/passwd"),
        ("root:no-such-group", b"no group is called 'no-such-group' in /etc/group"),
        ("4294967295", b"no user is called '4294967295' in /etc/passwd"),
        (":adm", b"':adm' isn't a user, or a user and a group with a colon between"),
    ],
)
def test_an_unknown_user_is_one_line(command: Command, user: str, message: bytes) -> None:
    result = command.run("--user", user, "--", "true")
    assert (result.returncode, result.stdout, result.stderr) == (2, b"", b"procession: " + message + b"\n")


def test_the_machine_has_a_name_and_processors(command: Command) -> None:
    program = "hostname; cat /proc/sys/kernel/hostname; nproc; grep -c ^processor /proc/cpuinfo"
    result = command.run("--hostname", "box.example", "--cpus", "3", "--", "sh", "-c", program)
    assert result.stdout == b"box.example\nbox.example\n3\n3\n"


def test_no_more_than_so_many_tasks(command: Command) -> None:
    program = "for n in 1 2 3 4 5; do echo $n; sleep 9 & done"
    result = command.run("--pids-max", "4", "--", "dash", "-c", program)
    assert (result.returncode, result.stdout, result.stderr) == (2, b"1\n2\n3\n", b"dash: 0: Cannot fork\n")


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_that_no_machine_can_have_is_one_line(command: Command, name: str) -> None:
    result = command.run("--hostname", name, "--", "true")
    assert (result.returncode, result.stderr) == (
        2,
        f"procession: a host name has 1 to 64 bytes, not {len(name)}\n".encode(),
    )
