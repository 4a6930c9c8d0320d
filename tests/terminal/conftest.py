"""Fixtures that put somebody at a terminal: Procession's on the host's, or the host's Linux itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.programs.native_linux import NativeLinux
from tests.terminal.dialogue import COLUMNS, ENVIRONMENT, ROWS
from tests.terminal.keyboard import Keyboard

Sit = Callable[..., Keyboard]


@pytest.fixture
def sit_at_procession(guest_root: Path) -> Iterator[Sit]:
    """Return a function that runs a program in Procession's terminal, with options before the command."""
    keyboards: list[Keyboard] = []

    def sit(*argv: str, options: tuple[str, ...] = ("-it",)) -> Keyboard:
        start = [sys.executable, "-m", "procession", "run", "--rootfs", str(guest_root), "--cwd", "/tmp"]
        for name, value in ENVIRONMENT.items():
            start += ["--env", f"{name}={value}"]
        keyboard = Keyboard([*start, *options, "--", *argv], os.environ, rows=ROWS, columns=COLUMNS)
        keyboards.append(keyboard)
        return keyboard.__enter__()

    yield sit
    for keyboard in keyboards:
        keyboard.__exit__(None, None, None)


@pytest.fixture(scope="session")
def native_terminal(guest_root: Path, tmp_path_factory: pytest.TempPathFactory) -> NativeLinux:
    """Return the host's Linux, with the same tree of programs; skip where it doesn't let us."""
    linux = NativeLinux(guest_root, tmp_path_factory.mktemp("native"))
    reason = linux.why_not()
    if reason:
        pytest.skip(f"programs can't be run natively here: {reason}")
    return linux
