"""Runs what a page of the docs shows: its files are written, its commands run, its pictures drawn.

In a page, a block of code whose first line says ```` ```c NAME ```` is the file NAME. In a block `console`,
a line that begins with `$ ` is a command and what follows its output. A comment `<!-- picture: COMMAND -->`
says which command prints the block below it. Files and commands of a page share one directory, /work of a
tree of Debian's programs, and the commands see that tree.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.quick_start import words_for_shells

BLOCK = re.compile(
    r"^(?:<!-- picture: (?P<picture>[^\n]*) -->\n)?"
    r"```(?P<language>\w+)(?: (?P<name>\S+))?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^\$ (?P<command>.*(?:\n> .*)*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
TIME = re.compile(r" *(?<![\w.])(?P<number>\d+(?:\.\d+)?) (?P<unit>ns|us|s)\b")
NS = {"ns": 1, "us": 1000, "s": 10**9}
SHIM = """#!/bin/sh
verb=$1; shift
case $verb in
run|trace) exec {start} "$verb" --rootfs "{root}" --cwd /work "$@" ;;
*) exec {start} "$verb" "$@" ;;
esac
"""


def times_apart(page: str) -> tuple[str, list[float]]:
    """`page` with a hash for each time, whatever its width; and the times, in nanoseconds."""
    times_ns = [float(time["number"]) * NS[time["unit"]] for time in TIME.finditer(page)]
    return TIME.sub(" #", page), times_ns


class Workplace:
    """A tree of programs that a page may change, with its directory /work and the commands' environment."""

    def __init__(self, root: Path, programs: Path, scratch: Path) -> None:
        # Copies, not links: how many links a file has is a part of a machine's state.
        if not (root / "usr").exists():
            subprocess.run(["cp", "-a", f"{programs}/.", root], check=True)
        self.root = root
        self.directory = root / "work"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        shim = scratch / "procession"
        shim.write_text(SHIM.format(start=shlex.join(words_for_shells()), root=root))
        shim.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{scratch}:{os.environ['PATH']}"}

    def run(self, command: str) -> str:
        """What a command prints on both streams."""
        result = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return result.stdout.decode("utf-8", "replace").replace("\r\n", "\n")

    def rendered(self, page: str) -> str:
        """`page` with the outputs and pictures that its commands give now."""

        def render(block: re.Match[str]) -> str:
            language, name, text = block["language"], block["name"], block["text"]
            if name is not None:
                (self.directory / name).write_text(text)
            elif block["picture"] is not None:
                text = self.run(block["picture"])
            elif language == "console":
                text = COMMAND.sub(self._answer, text)
            start = block.start("text") - block.start()
            end = block.end("text") - block.start()
            return block[0][:start] + text + block[0][end:]

        return BLOCK.sub(render, page)

    def _answer(self, part: re.Match[str]) -> str:
        command = part["command"]
        output = self.run(command.replace("\n> ", "\n"))
        if output and not output.endswith("\n"):
            output += "\n"
        return f"$ {command}\n{output}"
