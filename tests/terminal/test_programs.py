"""Programs that have the whole terminal: an editor, a multiplexer, a monitor, Python's prompt."""

from __future__ import annotations

import time

import pytest

from tests.terminal.conftest import Sit
from tests.terminal.keyboard import Keyboard

CTRL_B, ESCAPE = "\x02", "\x1b"


@pytest.fixture
def shell(sit_at_procession: Sit) -> Keyboard:
    """A shell that waits for a command."""
    keyboard = sit_at_procession("bash", "--norc")
    keyboard.wait_for(r"\$ $")
    return keyboard


def test_an_editor(shell: Keyboard) -> None:
    shell.type("vim.tiny /tmp/text\r")
    shell.wait_for(r"\[New\]")
    shell.type(f"ihello there{ESCAPE}")
    shell.wait_for("hello there")
    shell.type("yyp:wq\r")
    shell.wait_for(r"written.*\$ $")
    shell.type("cat /tmp/text; stty -a | grep -o ' icanon'\r")
    shell.wait_for("hello there\r\nhello there\r\n icanon\r\n")


def test_a_multiplexer(shell: Keyboard) -> None:
    shell.type("tmux -f /dev/null new-session bash --norc\r")
    shell.wait_for(r"0:bash")
    shell.type("tty\r")
    shell.wait_for(r"/dev/pts/1")
    # Keys that follow each other at once would be taken for text that was pasted.
    for key in (CTRL_B, "%"):
        time.sleep(0.3)
        shell.type(key)
    shell.wait_for(r"\$ ")
    shell.type("stty size\r")
    shell.wait_for("23 39")
    shell.type("exit\r")
    time.sleep(0.5)
    shell.type("exit\r")
    shell.wait_for(r"\[exited\]")


def test_a_monitor(shell: Keyboard) -> None:
    shell.type("top -d 1\r")
    for _ in range(3):
        shell.wait_for(r"top - \d+:\d+:\d+ ")
    shell.type("q")
    shell.wait_for(r"\$ $")


def test_pythons_prompt(shell: Keyboard) -> None:
    shell.type("python3 -q\r")
    shell.wait_for(">>> ")
    shell.type("40+3\x7f2\r")
    shell.wait_for("\r\n?42\r\n|42\r\n")
    shell.type("import time; time.sleep(1000)\r")
    shell.wait_for(r"1000\).*\n")
    time.sleep(0.3)
    shell.type("\x03")
    shell.wait_for("KeyboardInterrupt.*>>> ")
    shell.type("\x04")
    shell.wait_for(r"\$ $")
