"""Tests of what `procession run` says at a terminal while a run goes on."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.terminal.keyboard import Keyboard

COMMAND = [sys.executable, "-m", "procession", "run", "--rootfs"]
LINE = r"procession: [0-9.,]+ s in the machine, [0-9.,]+ s outside, [0-9]+ tasks(, [0-9,]+ calls/s)?"
BUSY = ["sh", "-c", "while :; do sleep 0.05; done"]
"""It does something again and again, and leaves the processor to the tests beside it."""


class AtTerminal:
    """A command whose streams are a terminal."""

    def __init__(self, *arguments: str) -> None:
        self.keyboard = Keyboard(arguments, os.environ)
        self.pid, self.terminal = self.keyboard.pid, self.keyboard.master
        self.shown = ""

    def wait_for(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        """Read until `pattern` is shown."""
        end_s = time.monotonic() + seconds
        while (found := re.search(pattern, self.shown)) is None:
            assert time.monotonic() < end_s, self.shown
            self.read(0.2)
        return found

    def read(self, seconds: float) -> None:
        """Take what is shown within `seconds`."""
        if select.select([self.terminal], [], [], seconds)[0]:
            self.shown += os.read(self.terminal, 65536).decode()

    def end(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        self.keyboard.close_window()


@pytest.mark.heavy
def test_a_long_run_shows_life_where_it_may(guest_root: Path) -> None:
    start_s = time.monotonic()
    silent = AtTerminal(*COMMAND, str(guest_root), "--no-progress", "--realtime", "--", *BUSY)
    process = AtTerminal(*COMMAND, str(guest_root), "--realtime", "--", *BUSY)
    found = process.wait_for(LINE)
    assert found[1] is not None
    assert time.monotonic() - start_s > 2
    assert process.shown[: found.start()] == "\r\x1b[K"
    process.wait_for(LINE + r".*" + LINE)
    process.end()
    silent.read(0)
    assert silent.shown == ""
    silent.end()


def test_a_file_gets_lines_if_they_are_asked_for(guest_root: Path) -> None:
    silent, telling = (
        subprocess.Popen(
            [*COMMAND, str(guest_root), *option, "--realtime", "--", *BUSY],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for option in ((), ("--progress",))
    )
    with silent, telling:
        assert silent.stderr is not None
        assert telling.stderr is not None
        assert re.fullmatch(rf"{LINE}\n", telling.stderr.readline())
        # The other has run for as long.
        for process in (silent, telling):
            process.terminate()
        assert re.fullmatch(rf"({LINE}\n)*procession: killed by SIGTERM\n", telling.stderr.read())
        assert silent.stderr.read() in ("", "procession: killed by SIGTERM\n")


def test_a_shell_at_a_terminal_tells_how_to_get_a_prompt(guest_root: Path) -> None:
    process = AtTerminal(*COMMAND, str(guest_root), "--", "bash")
    process.wait_for(r"bash reads what is typed here.*`procession run -it -- bash`")
    os.write(process.terminal, b"echo $((6 * 7))\n")
    process.wait_for(r"\n42\r\n")
    process.end()
    process = AtTerminal(*COMMAND, str(guest_root), "--", "sh", "-c", "read x; echo got $x")
    os.write(process.terminal, b"line\n")
    process.wait_for(r"got line")
    assert "typed here" not in process.shown
    process.end()


def test_sigusr1_prints_the_processes(guest_root: Path) -> None:
    process = AtTerminal(
        *COMMAND, str(guest_root), "--no-progress", "--", "sh", "-c", "cat & echo ready; read x <&0"
    )
    process.wait_for("ready")
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGUSR1)
    process.wait_for(LINE)
    process.wait_for(r"PID   TID  PPID S     TIME COMMAND\r\n")
    process.wait_for(r" 1     1     0 S .* init  wait4: waits for")
    process.wait_for(r" 2     2     1 S .* sh  read\(0\): waits for input from outside the machine\r\n")
    process.end()


def test_who_asks_too_early_ends_nothing(guest_root: Path) -> None:
    """The handler is there before the machine is."""
    arguments = [*COMMAND, str(guest_root), "--", "sh", "-c", "echo whole"]
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    status = Path(f"/proc/{process.pid}/status")
    handles = re.compile(r"^SigCgt:\t([0-9a-f]+)$", re.MULTILINE)
    while (found := handles.search(status.read_text())) is not None:
        if int(found[1], 16) >> (signal.SIGUSR1 - 1) & 1:
            break
        assert process.poll() is None
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGUSR1)
    output, _ = process.communicate()
    assert (process.returncode, output) == (0, b"whole\n")


def test_the_table_comes_in_a_terminal_too(guest_root: Path) -> None:
    process = AtTerminal(*COMMAND, str(guest_root), "-it", "--", "sh", "-c", "echo ready; sleep 100")
    process.wait_for("ready")
    os.kill(process.pid, signal.SIGUSR1)
    process.wait_for(r"COMMAND\r\n")
    process.wait_for(r"sleep  clock_nanosleep: waits for a timer, due in [0-9.]+ s\r\n")
    process.end()
