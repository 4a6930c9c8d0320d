"""What the pages of the docs show holds: their command lines are understood, their Python runs."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

from procession import Machine
from procession.cli.command_line import procession
from procession.syscalls import parameters

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|\$ |; |\(|/)(?=procession [a-z])", re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
RUN_PAGES = ("README.md", "docs/time-travel.md", "docs/debugging-the-kernel.md")


def first_command(text: str) -> tuple[str, ...]:
    """The words up to where the shell would see the end of a command."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split = " \t", True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("();<>|&\n"):
            break
        words.append(word)
    return tuple(words)


def commands() -> list[tuple[str, tuple[str, ...]]]:
    """Each command of Procession's in a page, after the page's name."""
    return sorted(
        {
            (page.name, first_command(block[match.end() :]))
            for page in PAGES
            for block in BLOCK.findall(page.read_text().replace("\\\n", " "))
            for match in COMMAND.finditer(block)
        }
    )


def test_pages_have_command_lines() -> None:
    assert len(commands()) > 80
    assert {"README.md", "explore.md", "containers.md", "03-fork-and-exec.md"} <= {
        page for page, _ in commands()
    }


@pytest.mark.parametrize(("page", "words"), commands())
def test_a_command_line_of_a_page_is_understood(page: str, words: tuple[str, ...]) -> None:
    """Nothing is run: there is that command, and it has these options."""
    verb = words[1]
    procession.commands[verb].make_context(verb, list(words[2:])).close()


@pytest.mark.parametrize("name", RUN_PAGES)
def test_the_python_of_a_page_runs_and_prints_what_stands_below(
    name: str, guest_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = PYTHON.findall((PROJECT / name).read_text())
    assert blocks
    names = {"Machine": functools.partial(Machine, rootfs=guest_root)}
    for code, expected in blocks:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(code.replace("from procession import Machine\n", ""), names)
        if expected:
            assert shown.getvalue() == expected


def test_every_kind_of_argument_is_described() -> None:
    page = (PROJECT / "docs" / "adding-a-system-call.md").read_text()
    described = {
        name
        for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)", row)
    }
    kinds = {
        name
        for name, value in vars(parameters).items()
        if any(isinstance(part, parameters.Kind) for part in get_args(value)[1:])
    }
    assert len(kinds) > 20
    assert described == kinds | {kind.__name__ for kind in parameters.POINTER_CLASSES}
