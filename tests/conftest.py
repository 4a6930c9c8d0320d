"""Fixtures for what tests need from outside: a C compiler and a tree of Debian programs."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from procession.cli.starting import MANY_OBJECTS
from tests.guest.compile_c import find_compiler
from tests.of_a_kind import IS_FULL, examples
from tests.quick_start import QuickPopen

HEAVY_TIMEOUT_S = 600
PROJECT = Path(__file__).resolve().parent.parent

# Machines that run these tests differ in speed, and a run must not depend on the one before it.
settings.register_profile(
    "procession", database=None, deadline=None, derandomize=True, max_examples=examples(100)
)
settings.load_profile("procession")

if not IS_FULL:
    # It would also try numbers from the sources of all that is imported: other ones in each process, by the
    # tests that ran there before, and it takes seconds to find them.
    providers._get_local_constants = providers.Constants  # type: ignore[attr-defined]

# A shell without job control lets what it starts in the background ignore these, and nohup the last; programs
# inherit that.
for number, action in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, action)

# What the host's programs say, and in which order they list names, is the same for every developer.
os.environ["LC_ALL"] = "C"

if not IS_FULL:
    subprocess.Popen = QuickPopen  # type: ignore[misc]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give heavy tests longer, if they don't say how long: some take a minute, and others load the host.

    What waits for the host, as for its networks to be made and to go, comes first: others compute meanwhile,
    and nobody waits for it at the end.
    """
    items.sort(key=lambda item: item.name.partition("[")[0] != "test_native")
    for item in items:
        if item.get_closest_marker("heavy") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(HEAVY_TIMEOUT_S))


def pytest_collection_finish() -> None:
    """Have Python's collector look at new objects only, many at once, as for a command (cli/starting.py)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(MANY_OBJECTS)


@pytest.fixture(scope="session")
def c_compiler() -> list[str]:
    """Return the command that compiles C, to which arguments like `-o FILE SOURCE` are added."""
    try:
        return list(find_compiler())
    except FileNotFoundError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def guest_root() -> Path:
    """Return the root of a tree of Debian programs for guests, which no test may change."""
    return find_tree("programs")


@pytest.fixture(scope="session")
def development_root() -> Path:
    """Return the root of a larger tree, with compilers and load generators too, for heavy tests."""
    return find_tree("development")


@pytest.fixture(scope="session")
def servers_root() -> Path:
    """Return the root of a tree with servers and their clients, for heavy tests."""
    return find_tree("servers")


@pytest.fixture(scope="session")
def containers_root() -> Path:
    """Return the root of a tree with container runtimes and sandboxes, for heavy tests."""
    return find_tree("containers")


@pytest.fixture(scope="session")
def tools_root() -> Path:
    """Return the root of a tree with what people look at processes with, for heavy tests."""
    return find_tree("tools")


def find_tree(name: str) -> Path:
    """Return the root of the tree that `scripts/guest-root` builds under this name."""
    command = [sys.executable, str(PROJECT / "scripts" / "guest-root"), "--tree", name]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.fail(result.stderr.strip(), pytrace=False)
    return Path(result.stdout.strip())
