"""Measures snapshots, digests and steps back: `python -m bench.snapshots [--events N]`."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from procession.machine import Machine

TWO_PROCESSES = "while :; do kill -0 $$; read x </proc/uptime; done"
HUNDRED = "for ((i = 0; i < 100; i++)); do bash -c 'while :; do read line </dev/null; done' & done; wait"
MANY_EVENTS = "while :; do read line </dev/null; done"
REPETITIONS = 60


class Figure(NamedTuple):
    """What was measured: medians in seconds, and what they should be at the most."""

    title: str
    seconds: float
    limit: float

    def __str__(self) -> str:
        verdict = "ok" if self.seconds <= self.limit else "over"
        return (
            f"{self.title:<66} {self.seconds * 1e3:9.3f} ms   at most {self.limit * 1e3:7.1f} ms  {verdict}"
        )


def timed(action: Callable[[], object]) -> float:
    """How long `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def started(command: list[str], memory: int = 256 << 20) -> Machine:
    """A machine with a program in it that hasn't run yet."""
    machine = Machine(seed=1, memory=memory)
    machine.start(command)
    return machine


def two_processes() -> list[Figure]:
    """What each costs after one system call, in a machine with two small shells."""
    machine = started(["sh", "-c", f"({TWO_PROCESSES}) & {TWO_PROCESSES}"], 64 << 20)
    for _ in range(500):
        machine.step_system_call()
    kept = [machine.snapshot()]
    snapshots, digests, restores = [], [], []
    for number in range(REPETITIONS + 40):
        machine.step_system_call()
        snapshots.append(timed(lambda: kept.append(machine.snapshot())))
        machine.restore(kept[number])
        machine.step_system_call()
        digests.append(timed(machine.state_digest))
        restores.append(timed(lambda number=number: machine.restore(kept[number + 1])))  # type: ignore[misc]
    return [
        Figure(
            "two small processes: snapshot after a system call", statistics.median(snapshots[40:]), 0.3e-3
        ),
        Figure("two small processes: restore after a system call", statistics.median(restores[40:]), 0.3e-3),
        Figure("two small processes: digest after a system call", statistics.median(digests[40:]), 0.5e-3),
    ]


def hundred_processes() -> list[Figure]:
    """The same with a hundred bashes, each of which has executed its program, and more having changed."""
    machine = started(["bash", "-c", HUNDRED], 1 << 30)
    machine.run_until(lambda machine: len(machine.kernel.tasks) > 101)
    for _ in range(40_000):
        machine.step_system_call()
    assert len({task.mm for task in machine.kernel.tasks}) > 100
    first = timed(machine.snapshot)
    kept = machine.snapshot()
    machine.state_digest()
    for _ in range(400):
        machine.step_system_call()
    first_restore = timed(lambda: machine.restore(kept))
    snapshots, digests, restores = [], [], []
    for _ in range(10):
        for _ in range(400):
            machine.step_system_call()
        snapshots.append(timed(machine.snapshot))
        digests.append(timed(machine.state_digest))
        restores.append(timed(lambda: machine.restore(kept)))
    return [
        Figure("a hundred bashes: the first snapshot", first, 20e-3),
        Figure("a hundred bashes: the first restore, after 400 system calls", first_restore, 20e-3),
        Figure("a hundred bashes: snapshot after 400 system calls", statistics.median(snapshots), 20e-3),
        Figure("a hundred bashes: restore after 400 system calls", statistics.median(restores), 20e-3),
        Figure("a hundred bashes: digest after 400 system calls", statistics.median(digests), 20e-3),
    ]


def steps_back(count: int) -> list[Figure]:
    """Steps back at the end of a run of `count` events."""
    machine = started(["bash", "-c", MANY_EVENTS], 64 << 20)
    history = machine.keep_history()
    history.go_to(count)
    first = timed(machine.step_back)
    others = [timed(machine.step_back) for _ in range(5)]
    return [
        Figure(f"after {history.count:,} events: the first step back", first, 1.0),
        Figure(f"after {history.count:,} events: the next one", statistics.median(others), 1.0),
    ]


def main() -> int:
    """Print the table; 1 if anything is over its limit."""
    parser = argparse.ArgumentParser(prog="python -m bench.snapshots", description=__doc__)
    parser.add_argument(
        "--events", type=int, default=1_000_000, metavar="N", help="how long a run to go back in"
    )
    options = parser.parse_args()
    figures: list[Figure] = []
    for measure in (two_processes, hundred_processes, lambda: steps_back(options.events)):
        for figure in measure():
            figures.append(figure)
            print(figure, flush=True)
    return int(any(figure.seconds > figure.limit for figure in figures))


if __name__ == "__main__":
    # For `python bench/snapshots.py`, which doesn't look for packages in the project's directory.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
