"""Fixtures for what tests need from outside: a C compiler and a tree of Debian programs."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

PROJECT = Path(__file__).resolve().parent.parent

# Machines that run these tests differ in speed, and a run must not depend on the one before it.
settings.register_profile("procession", database=None, deadline=None, derandomize=True)
settings.load_profile("procession")


@pytest.fixture(scope="session")
def c_compiler() -> list[str]:
    """Return the command that compiles C, to which arguments like `-o FILE SOURCE` are added.

    `scripts/setup --compiler` installs the second one only where gcc doesn't work.
    """
    if importlib.util.find_spec("ziglang") is not None:
        # The sanitizer that is on by default would trap what C programs of the kernel's kind do.
        return [sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=undefined"]
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.fail("there is no C compiler: run scripts/setup --compiler", pytrace=False)
    return [gcc]


@pytest.fixture(scope="session")
def guest_root() -> Path:
    """Return the root of a tree of Debian programs for guests, which no test may change."""
    command = [sys.executable, str(PROJECT / "scripts" / "guest-root")]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.fail(result.stderr.strip(), pytrace=False)
    return Path(result.stdout.strip())
