"""Dialogues: what somebody types into a program in a terminal, and what the terminal showed on Linux.

A dialogue's file has lines of these kinds:

    $ COMMAND       what is run, once, at the beginning
    > TEXT          type TEXT and the return key; ^X is a control character, \\ at the end means no return
    < REGEX         wait until the terminal shows that
    @ ROWS COLUMNS  give the window another size
    # TEXT          nothing
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.terminal.keyboard import Keyboard

DIALOGUES = Path(__file__).resolve().parent / "dialogues"
ROWS, COLUMNS = 24, 80
ENVIRONMENT = {
    "HOME": "/root",
    "INPUTRC": "/dev/null",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "PS1": "$ ",
    "PYTHONDONTWRITEBYTECODE": "1",
    "SHELL": "/bin/sh",
    "TERM": "xterm",
}
_CARET = re.compile(r"\^([@-_?])")
# A job's process id, which isn't the same everywhere.
_JOB_ID = re.compile(r"(\[\d+\][+-]?) +\d+")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One dialogue, and the file that holds what Linux shows."""

    path: Path

    @property
    def recorded(self) -> Path:
        """What was shown on Linux, as `record_dialogues.py` wrote it."""
        return self.path.with_suffix(".out")

    def lines(self) -> list[tuple[str, str]]:
        """The dialogue's steps: the kind of each and its text."""
        steps = []
        for line in self.path.read_text().splitlines():
            kind, _, text = line.partition(" ")
            if kind not in "$><@#":
                raise ValueError(f"{self.path.name}: {line!r}")
            if kind and kind != "#":
                steps.append((kind, text))
        return steps

    @property
    def argv(self) -> list[str]:
        """The command that is run."""
        kind, text = self.lines()[0]
        if kind != "$":
            raise ValueError(f"{self.path.name} doesn't begin with a command")
        return shlex.split(text)

    def hold(self, keyboard: Keyboard) -> str:
        """Type and wait as the dialogue says; what the terminal showed, and how the program ended."""
        for kind, text in self.lines()[1:]:
            if kind == ">":
                keyboard.type(keys(text))
            elif kind == "<":
                keyboard.wait_for(text)
            else:
                rows, columns = text.split()
                keyboard.resize(int(rows), int(columns))
        status = keyboard.wait_until_it_ends()
        shown = keyboard.shown.decode("utf-8", "backslashreplace")
        return f"{normalized(shown)}--- status {status}\n"


def keys(text: str) -> str:
    """What is typed for the text of a line."""
    text = text.removesuffix("\\") if text.endswith("\\") else text + "\r"
    return _CARET.sub(lambda match: chr(ord(match[1]) ^ 0x40), text)


def normalized(shown: str) -> str:
    """The text with what differs from run to run replaced, one line of the file for each shown."""
    return _JOB_ID.sub(r"\1 PID", shown).replace("\r\n", "\n").replace("\r", "\\r").replace("\x1b", "\\e")


def all_dialogues() -> list[Dialogue]:
    """Every dialogue, sorted by name."""
    return [Dialogue(path) for path in sorted(DIALOGUES.glob("*.dialogue"))]
