"""Random modes, typing and printing on pseudo-terminals: what comes out of both ends is what Linux lets out.

What Linux prints is recorded as digests: what it prints mostly, as it's now and then slower to hand on what
was typed than the program waits. `python -m tests.terminal.test_random_typing` records them anew; where one
differs, running `random_typing.c` for that seed, on Linux and inside, shows how.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from procession import Machine
from tests.guest.compile_c import Linkage, compile_program

SOURCE = Path(__file__).with_name("random_typing.c")
DIGESTS = Path(__file__).with_name("random_typing.digests")
SEEDS = 120


def command() -> list[str]:
    """The program, and which seeds it shall use."""
    return [str(compile_program(SOURCE, Linkage.DYNAMIC)), "0", str(SEEDS)]


def digests(printed: bytes) -> str:
    """A line for each seed: the seed and the beginning of a digest of what was printed."""
    parts = re.split(rb"^seed (\d+)\n", printed, flags=re.MULTILINE)[1:]
    return "".join(
        f"{int(seed)} {hashlib.sha256(text).hexdigest()[:16]}\n"
        for seed, text in zip(parts[::2], parts[1::2], strict=True)
    )


def print_natively() -> bytes:
    """What the program prints on this host."""
    return subprocess.run(command(), stdout=subprocess.PIPE, check=True).stdout


def test_typing_in_procession() -> None:
    machine = Machine()
    try:
        result = machine.run(command())
    finally:
        machine.close()
    assert digests(result.stdout) == DIGESTS.read_text()


@pytest.mark.heavy
def test_typing_on_linux() -> None:
    recorded = DIGESTS.read_text().splitlines()
    others = set(digests(print_natively()).splitlines()) - set(recorded)
    assert len(recorded) == SEEDS
    assert len(others) <= SEEDS // 20


def record() -> None:
    """Write what most of several runs print."""
    runs = [digests(print_natively()).splitlines() for _ in range(5)]
    most = [Counter(lines).most_common(1)[0][0] for lines in zip(*runs, strict=True)]
    DIGESTS.write_text("".join(f"{line}\n" for line in most))


if __name__ == "__main__":
    record()
