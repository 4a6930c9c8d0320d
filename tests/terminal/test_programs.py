"""Programs that have the whole terminal: an editor, a multiplexer, a monitor, Python's prompt."""

from __future__ import annotations

import time

import pytest

from tests.terminal.conftest import Sit
from tests.terminal.keyboard import Keyboard

CTRL_A, CTRL_B, CTRL_Z, ESCAPE = "\x01", "\x02", "\x1a", "\x1b"


@pytest.fixture
def shell(sit_at_procession: Sit) -> Keyboard:
    """A shell that waits for a command."""
    keyboard = sit_at_procession("bash", "--norc")
    keyboard.wait_for(r"\$ $")
    return keyboard


@pytest.mark.heavy
def test_an_editor(shell: Keyboard) -> None:
    shell.type("vim.tiny /tmp/text\r")
    shell.wait_for(r"\[New\]")
    shell.type(f"ihello there{ESCAPE}")
    shell.wait_for("hello there")
    shell.type("yyp:wq\r")
    shell.wait_for(r"written.*\$ $")
    shell.type("cat /tmp/text; stty -a | grep -o ' icanon'\r")
    shell.wait_for("hello there\r\nhello there\r\n icanon\r\n")


@pytest.mark.heavy
def test_an_editor_is_stopped_and_goes_on(shell: Keyboard) -> None:
    shell.type("vim.tiny /tmp/text\r")
    shell.wait_for(r"\[New\]")
    shell.type(f"ihello{ESCAPE}")
    shell.wait_for("hello")
    time.sleep(0.3)
    shell.type(CTRL_Z)
    shell.wait_for(r"Stopped +vim.tiny /tmp/text\r\n.*\$ $")
    shell.type("stty -a | grep -o ' icanon'; jobs\r")
    shell.wait_for(r" icanon\r\n.*Stopped +vim.tiny /tmp/text\r\n.*\$ $")
    shell.type("fg\r")
    shell.wait_for("hello")
    shell.resize(30, 90)
    time.sleep(0.5)
    shell.type("A there" + ESCAPE)
    shell.wait_for("there")
    shell.type(":set columns? lines?\r")
    shell.wait_for("columns=90.*lines=30")
    shell.type("\r:wq\r")
    shell.wait_for(r"written.*\$ $")
    shell.type("cat /tmp/text; stty size\r")
    shell.wait_for("hello there\r\n30 90\r\n")


@pytest.mark.heavy
def test_a_pager_searches(shell: Keyboard) -> None:
    shell.type("seq -f 'line %g' 1000 > /tmp/lines; less /tmp/lines\r")
    shell.wait_for(r"line 23\r\n")
    shell.type("/line 500\r")
    shell.wait_for(r"line 500.*line 522")
    shell.type("?line 17\r")
    # What was found is highlighted.
    shell.wait_for("line 17[^\\n]*9\r\n")
    shell.type("n")
    shell.wait_for("line 17[^\\n]*8\r\n")
    shell.type(CTRL_Z)
    shell.wait_for(r"Stopped +less /tmp/lines\r\n.*\$ $")
    shell.type("fg\r")
    shell.wait_for("line 17[^\\n]*8\r\n")
    shell.type("q")
    shell.wait_for(r"\$ $")
    shell.type("stty -a | grep -o ' icanon'\r")
    shell.wait_for(" icanon\r\n")


def press(keyboard: Keyboard, *keys: str) -> None:
    """Press keys one by one: those that follow each other at once would be taken for text that was pasted."""
    for key in keys:
        time.sleep(0.3)
        keyboard.type(key)


@pytest.mark.heavy
def test_a_multiplexer_with_two_windows(shell: Keyboard) -> None:
    shell.type("tmux -f /dev/null new-session bash --norc\r")
    shell.wait_for("0:bash")
    press(shell, "PS1='o''ne> '\r")
    shell.wait_for("one> ")
    press(shell, CTRL_B, "c")
    shell.wait_for("1:sh")
    press(shell, "PS1='t''wo> '\r")
    shell.wait_for("two> ")
    press(shell, "tty\r")
    shell.wait_for("/dev/pts/2")
    press(shell, CTRL_B, "p")
    shell.wait_for("one> ")
    press(shell, "tty; sleep 1000\r")
    shell.wait_for("/dev/pts/1")
    press(shell, CTRL_Z)
    shell.wait_for("Stopped")
    press(shell, CTRL_B, "n")
    shell.wait_for("two> ")
    press(shell, CTRL_B, "d")
    shell.wait_for(r"\[detached \(from session 0\)\]\r\n.*\$ $")
    shell.resize(30, 90)
    shell.type("tmux attach\r")
    shell.wait_for("two> ")
    press(shell, "stty size\r")
    shell.wait_for("29 90")
    press(shell, "exit\r")
    shell.wait_for("Stopped.*one> ")
    # The other window's job is hung up with its shell.
    press(shell, "exit\r")
    shell.wait_for("There are stopped jobs")
    press(shell, "exit\r")
    shell.wait_for(r"\[exited\].*\$ $")
    shell.type("ps -o args= -C sleep,tmux,bash; echo end\r")
    shell.wait_for(r"\rbash --norc\r\nend\r\n")


@pytest.mark.heavy
def test_another_multiplexer_with_two_windows(shell: Keyboard) -> None:
    shell.type("PS1='in: ' screen -e ^Aa -s /bin/sh; PS1='$ '\r")
    shell.wait_for("in: ")
    shell.type("tty; echo o''ne\r")
    shell.wait_for("/dev/pts/1.*one.*in: ")
    press(shell, CTRL_A, "c")
    shell.wait_for("in: ")
    shell.type("tty; echo t''wo\r")
    shell.wait_for("/dev/pts/2.*two.*in: ")
    press(shell, CTRL_A, "p")
    shell.wait_for("one.*in: ")
    press(shell, CTRL_A, "S")
    time.sleep(0.5)
    shell.type("stty size\r")
    shell.wait_for("11 80")
    press(shell, CTRL_A, "\t", CTRL_A, "1")
    shell.wait_for("0 sh.*1 sh")
    press(shell, CTRL_A, "d")
    shell.wait_for(r"\[detached from .*\]\r\n.*\$ $")
    shell.type("screen -ls | grep -c Detached; screen -r\r")
    shell.wait_for("1\r\n.*two.*in: ")
    press(shell, "exit\r")
    shell.wait_for("one.*in: ")
    press(shell, "exit\r")
    shell.wait_for(r"\[screen is terminating\]\r\n.*\$ $")
    shell.type("stty -a | grep -o ' icanon'; ps -o args= -C screen,sh; echo end\r")
    shell.wait_for(" icanon\r\nend\r\n")


@pytest.mark.heavy
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


@pytest.mark.heavy
def test_a_monitor(shell: Keyboard) -> None:
    shell.type("top -d 1\r")
    for _ in range(3):
        shell.wait_for(r"top - \d+:\d+:\d+ ")
    shell.type("q")
    shell.wait_for(r"\$ $")


@pytest.mark.heavy
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
