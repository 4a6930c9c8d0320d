"""`procession run -t` on the host's terminal: its modes, size, signals, end and time; what -i and -t mean."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import endless_call
from tests.of_a_kind import first_of, heavy
from tests.terminal.conftest import Sit
from tests.terminal.keyboard import Keyboard

WAITING = ("sh", "-c", "echo ready; exec cat")


def wait_until(condition: Callable[[], bool], patience_s: float = 20.0) -> bool:
    """Wait until `condition` holds; whether it did in time."""
    end_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True


def run(root: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `procession run` with pipes for streams."""
    start = [sys.executable, "-m", "procession", "run", "--rootfs", str(root)]
    return subprocess.run([*start, *arguments], input=stdin, capture_output=True, check=False)


def test_the_second_ctrl_c_ends_a_call_that_never_ends(guest_root: Path) -> None:
    """The first is told to wait: the call may end yet."""
    options = ("run", "--rootfs", str(guest_root), "-it", "--")
    command = [sys.executable, endless_call.__file__, *options, "busybox", "sync"]
    with Keyboard(command, os.environ) as keyboard:
        keyboard.wait_for("begun")
        keyboard.type("\x03")
        keyboard.wait_for("in the middle of a long system call; once more ends the machine\r\n")
        assert not keyboard.has_ended()
        keyboard.type("\x03")
        assert keyboard.wait_until_it_ends() == 128 + signal.SIGINT
        assert not keyboard.is_raw
    assert b"procession: SIGINT came in the middle of sync(2), which takes long" in keyboard.shown


def test_the_terminal_is_raw_while_the_guest_has_it(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession(*WAITING)
    keyboard.wait_for("ready\r\n")
    assert keyboard.is_raw
    keyboard.type("\x03")
    assert keyboard.wait_until_it_ends() == 130
    assert keyboard.modes_now() == keyboard.modes
    assert keyboard.shown.endswith(b"^Cprocession: killed by SIGINT\r\n")


@pytest.mark.parametrize("argv", [("true",), ("no-such-program",), heavy((("/etc/passwd",),))])
def test_the_terminal_is_restored_at_the_end(sit_at_procession: Sit, argv: tuple[str, ...]) -> None:
    keyboard = sit_at_procession(*argv)
    keyboard.wait_until_it_ends()
    assert keyboard.modes_now() == keyboard.modes
    if argv != ("true",):
        assert keyboard.shown.startswith(b"procession: " + argv[0].encode())


def test_the_terminal_is_restored_when_the_guest_is_killed(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession("sh", "-c", "stty raw -echo; echo ready; kill -KILL $$")
    keyboard.wait_for("ready\n")
    assert keyboard.wait_until_it_ends() == 128 + 9
    assert keyboard.modes_now() == keyboard.modes
    assert keyboard.shown.endswith(b"procession: killed by SIGKILL\r\n")


WITH_A_BUG = """
from procession.cli import main
from procession.kernel.sched.core import Scheduler

def fail(scheduler):
    raise RuntimeError("this is no errno")

Scheduler.yield_current = fail
main()
"""


def test_the_terminal_is_restored_after_a_bug_of_the_kernel(guest_root: Path, tmp_path: Path) -> None:
    script = "import os, sys; print('ready', flush=True); sys.stdin.readline(); os.sched_yield()"
    start = [sys.executable, "-c", WITH_A_BUG, "run", "--rootfs", str(guest_root), "-it", "--"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with Keyboard([*start, "python3", "-S", "-c", script], environment) as keyboard:
        keyboard.wait_for("ready\r\n")
        assert keyboard.is_raw
        keyboard.type("\r")
        assert keyboard.wait_until_it_ends() == 70
        assert keyboard.modes_now() == keyboard.modes
        assert b"a bug in Procession's kernel" in keyboard.shown
        assert all(line.endswith(b"\r") for line in keyboard.shown.split(b"\n")[:-1])
    (recording,) = tmp_path.glob("procession-bug-*.recording")
    assert f"`procession replay {recording}` reproduces it".encode() in keyboard.shown


@pytest.mark.parametrize("number", first_of(1, [signal.SIGTERM, signal.SIGHUP]))
def test_a_signal_to_end_hangs_the_guests_terminal_up(sit_at_procession: Sit, number: signal.Signals) -> None:
    keyboard = sit_at_procession(*WAITING)
    keyboard.wait_for("ready\r\n")
    os.kill(keyboard.pid, number)
    assert keyboard.wait_until_it_ends() == 129
    assert keyboard.modes_now() == keyboard.modes


@pytest.mark.heavy
def test_who_ignores_the_hang_up_has_a_little_time(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession("sh", "-c", "trap '' HUP; echo ready; while :; do sleep 0.1; done")
    keyboard.wait_for("ready\r\n")
    before_s = time.monotonic()
    os.kill(keyboard.pid, signal.SIGTERM)
    assert keyboard.wait_until_it_ends() == 125
    assert 2 < time.monotonic() - before_s < 15
    assert keyboard.shown.endswith(b"procession: the terminal was hung up\r\n")


@pytest.mark.parametrize("number", first_of(1, [signal.SIGKILL, signal.SIGSEGV]))
def test_the_terminal_is_restored_when_nobody_can_catch_the_end(
    sit_at_procession: Sit, number: signal.Signals
) -> None:
    keyboard = sit_at_procession(*WAITING)
    keyboard.wait_for("ready\r\n")
    assert keyboard.is_raw
    os.kill(keyboard.pid, number)
    assert keyboard.wait_until_it_ends() == -number
    assert wait_until(lambda: keyboard.modes_now() == keyboard.modes)


@pytest.mark.heavy
def test_the_terminal_is_the_shells_while_procession_is_stopped(guest_root: Path) -> None:
    command = f"{sys.executable} -m procession run --rootfs {guest_root} -it -- sh -c 'echo ready; exec cat'"
    # A shell that reads no commands, but has jobs.
    script = f"set -m; {command}; echo stopped; read line; fg > /dev/null; echo ended $?"
    with Keyboard(["bash", "-c", script], os.environ) as keyboard:
        keyboard.wait_for("ready\r\n")
        assert keyboard.is_raw
        job = os.tcgetpgrp(keyboard.master)
        os.killpg(job, signal.SIGTSTP)
        keyboard.wait_for("stopped\r\n")
        assert keyboard.modes_now() == keyboard.modes
        keyboard.type("\r")
        assert wait_until(lambda: keyboard.is_raw)
        keyboard.type("still\r")
        keyboard.wait_for("still\r\nstill\r\n")
        keyboard.type("\x04")
        keyboard.wait_for("ended 0\r\n")
        assert keyboard.modes_now() == keyboard.modes


def test_signals_from_the_host_reach_the_foreground(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession("sh", "-c", "trap 'echo caught; exit 4' INT; echo ready; read line")
    keyboard.wait_for("ready\r\n")
    os.kill(keyboard.pid, signal.SIGINT)
    keyboard.wait_for("caught\r\n")
    assert keyboard.wait_until_it_ends() == 4


def test_the_window_is_as_large_as_the_hosts(sit_at_procession: Sit) -> None:
    script = "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done"
    keyboard = sit_at_procession("bash", "-c", script)
    keyboard.wait_for("24 80\r\nready\r\n")
    keyboard.resize(40, 132)
    keyboard.wait_for("40 132\r\n")


@pytest.mark.heavy
def test_the_terminal_goes_away_with_its_window(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession("bash", "-c", "trap 'exit 9' HUP; echo ready; while :; do sleep 0.05; done")
    keyboard.wait_for("ready\r\n")
    keyboard.close_window()
    assert keyboard.wait_until_it_ends() == 9


@pytest.mark.heavy
def test_time_is_the_hosts_in_a_terminal(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession("sh", "-c", "date +%s; sleep 1; date +%s; sleep 0.5; read -r line; date +%s")
    first = int(keyboard.wait_for(r"(\d+)\r\n"))
    before_s = time.monotonic()
    assert abs(first - time.time()) < 30
    second = int(keyboard.wait_for(r"(\d+)\r\n"))
    assert 0.8 < time.monotonic() - before_s < 10
    assert 1 <= second - first <= 2
    time.sleep(2)
    keyboard.type("\r")
    keyboard.wait_for("\r\n")
    assert int(keyboard.wait_for(r"(\d+)\r\n")) - second >= 2
    assert keyboard.wait_until_it_ends() == 0


@pytest.mark.heavy
def test_timers_fire_while_the_guest_waits_for_a_key(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession("bash", "-c", "read -t 0.5 line; echo $?; read -t 20 line; echo $? $line")
    keyboard.wait_for("142\r\n")
    keyboard.type("typed\r")
    before_s = time.monotonic()
    keyboard.wait_for("0 typed\r\n")
    assert time.monotonic() - before_s < 10


def test_real_time_on_request(guest_root: Path) -> None:
    before_s = time.monotonic()
    result = run(guest_root, "--realtime", "--", "sh", "-c", "date +%s; sleep 1; date +%s")
    assert time.monotonic() - before_s >= 1
    first, second = map(int, result.stdout.split())
    assert abs(first - time.time()) < 30
    assert 1 <= second - first <= 2
    before_s = time.monotonic()
    assert run(guest_root, "--", "sleep", "1000").returncode == 0
    assert time.monotonic() - before_s < 60


@pytest.mark.heavy
def test_real_time_with_slow_input(guest_root: Path) -> None:
    reader, writer = os.pipe()
    start = [sys.executable, "-m", "procession", "run", "--rootfs", str(guest_root), "--realtime"]
    script = "read -t 0.3 line; echo $?; read -t 30 line; echo $? $line"
    with subprocess.Popen(
        [*start, "--", "bash", "-c", script], stdin=reader, stdout=subprocess.PIPE
    ) as process:
        os.close(reader)
        assert process.stdout is not None
        assert process.stdout.readline() == b"142\n"
        os.write(writer, b"late\n")
        assert process.stdout.readline() == b"0 late\n"
        os.close(writer)
        assert process.wait() == 0


def test_a_terminal_without_a_keyboard(guest_root: Path) -> None:
    script = "tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; read -t 0.2 line; echo $?"
    result = run(guest_root, "-t", "--", "bash", "-c", script, stdin=b"never read\n")
    assert result.stdout == b"/dev/pts/0\r\nthree\r\n142\r\n"
    assert result.returncode == 0


def test_without_a_terminal_nothing_is_one(sit_at_procession: Sit) -> None:
    script = "[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo none; cat /dev/tty; read line; echo got $line"
    keyboard = sit_at_procession("bash", "-c", script, options=("-i",))
    keyboard.wait_for("none\r\n.*No such device or address\r\n")
    assert not keyboard.is_raw
    keyboard.type("something\r")
    keyboard.wait_for("something\r\n.*got something\r\n")
    assert keyboard.wait_until_it_ends() == 0


def test_the_terminal_is_its_users(sit_at_procession: Sit) -> None:
    script = "ls -ln /dev/pts/0 /dev/console; echo through > /dev/tty; echo again > /dev/stdout; id -u"
    keyboard = sit_at_procession("bash", "-c", script, options=("-it", "--user", "nobody"))
    keyboard.wait_for(r"crw--w---- 1 65534 5 136, 0 [^\r]* /dev/console\r\n")
    keyboard.wait_for(r"crw--w---- 1 65534 5 136, 0 [^\r]* /dev/pts/0\r\n")
    keyboard.wait_for("through\r\nagain\r\n65534\r\n")
    assert keyboard.wait_until_it_ends() == 0


def test_the_first_process_may_have_the_terminal(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession(
        "bash", "-c", "ps -o pid=,tpgid=,tty= -p $$; cat; exit 6", options=("-it", "--pid1")
    )
    keyboard.wait_for(r" 1 +1 +pts/0\r\n")
    keyboard.type("\x04")
    assert keyboard.wait_until_it_ends() == 6


@pytest.mark.heavy
def test_the_first_process_takes_only_signals_that_it_handles(sit_at_procession: Sit) -> None:
    script = "kill -TERM 1; kill -KILL 1; kill -STOP 1; echo alive; exec cat"
    keyboard = sit_at_procession("sh", "-c", script, options=("-it", "--pid1"))
    keyboard.wait_for("alive\r\n")
    keyboard.type("\x03\x1a\x1ctyped\r")
    keyboard.wait_for("typed\r\ntyped\r\n")
    keyboard.type("\x04")
    assert keyboard.wait_until_it_ends() == 0


def test_much_is_shown_in_order(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession("seq", "30000")
    assert keyboard.wait_until_it_ends() == 0
    assert keyboard.shown == b"".join(b"%d\r\n" % number for number in range(1, 30001))


@pytest.mark.heavy
def test_much_is_typed_in_order(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession("sh", "-c", "stty raw -echo; echo ready; head -c 30000 | md5sum")
    keyboard.wait_for("ready\n")
    text = "".join(f"{number} " for number in range(7000))[:30000]
    for start in range(0, len(text), 1000):
        keyboard.type(text[start : start + 1000])
    expected = subprocess.run(["md5sum"], input=text.encode(), capture_output=True, check=True).stdout
    keyboard.wait_for(re.escape(expected.decode().split()[0]))


@pytest.mark.heavy
def test_the_trace_in_a_raw_terminal_begins_its_lines_at_the_left(sit_at_procession: Sit) -> None:
    keyboard = sit_at_procession("true", options=("-it", "--trace"))
    assert keyboard.wait_until_it_ends() == 0
    lines = keyboard.shown.split(b"\n")
    assert len(lines) > 10
    assert all(line.endswith(b"\r") for line in lines[:-1])


@pytest.mark.heavy
def test_the_terminal_is_of_the_hosts_kind(guest_root: Path) -> None:
    start = [sys.executable, "-m", "procession", "run", "--rootfs", str(guest_root), "-it", "--"]
    with Keyboard([*start, "sh", "-c", "echo $TERM"], {**os.environ, "TERM": "vt220"}) as keyboard:
        keyboard.wait_for("vt220\r\n")
