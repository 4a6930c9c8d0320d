"""The tutorial's commands print what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.quick_start import words_for_shells

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str]]:
    """Each command of the tutorial and what stands below it."""
    found: list[tuple[str, str]] = []
    for language, text in BLOCK.findall(TUTORIAL.read_text()):
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append((command, output))
    return found


@pytest.fixture
def environment(guest_root: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which `procession run` takes its programs from the tree of Debian's."""
    shim = tmp_path / "procession"
    shim.write_text(
        f'#!/bin/sh\nshift\nexec {shlex.join(words_for_shells())} run --rootfs "{guest_root}" "$@"\n'
    )
    shim.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("command", "output"), examples(), ids=[str(number) for number in range(len(examples()))]
)
def test_a_command_prints_what_the_tutorial_says(
    command: str, output: str, environment: dict[str, str]
) -> None:
    result = subprocess.run(
        ["sh", "-c", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.stdout == output


def test_the_python_of_the_tutorial_holds(guest_root: Path) -> None:
    blocks = [text for language, text in BLOCK.findall(TUTORIAL.read_text()) if language == "python"]
    assert len(blocks) == 1
    source = blocks[0].replace("Machine(", f"Machine(rootfs={str(guest_root)!r}, ")
    exec(compile(source, str(TUTORIAL), "exec"), {})
