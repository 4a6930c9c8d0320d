"""Every guest test program may be kept and put back at any step: it comes to the same end, to the byte."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from procession.machine import Machine
from procession.snapshot.keeper import StateKeeper
from tests.guest.compile_c import Linkage, compile_program

SOURCES = sorted((Path(__file__).parents[1] / "guest").glob("*.c"))
QUICK = {"fork"}
SNAPSHOTS = 8
LONGEST_STEPS = 40_000

End = tuple[str, bytes, bytes]


def started(source: Path, rootfs: Path) -> Machine:
    """The program at its beginning, among files that nobody changes meanwhile."""
    machine = Machine(seed=1, rootfs=rootfs)
    machine.write_file("/program", compile_program(source, Linkage.STATIC).read_bytes(), mode=0o755)
    machine.start(["/program"])
    machine.inlet.end_input()
    return machine


def run_to_end(machine: Machine, at_step: Callable[[int], None] | None = None) -> tuple[End, int]:
    """Run to the end of the command; how many steps it took, `at_step` called before each."""
    steps = 0
    while not machine._command_has_ended():
        if at_step is not None:
            at_step(steps)
        assert machine.step(), "everybody sleeps"
        machine.collect_output()
        steps += 1
        assert steps < LONGEST_STEPS
    output = machine.take_output()
    return (machine.state_hash(), output.stdout, output.stderr), steps


def is_heavy(source: Path) -> pytest.MarkDecorator | tuple[()]:
    return () if source.stem in QUICK else pytest.mark.heavy


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "source",
    [pytest.param(source, marks=is_heavy(source), id=source.stem) for source in SOURCES],
)
def test_snapshots_change_nothing(source: Path, guest_root: Path) -> None:
    """At some steps the state is kept, its digest compared with that of a keeper that has seen nothing
    before; then it is put back in any order, and goes on to the same end."""
    expected, count = run_to_end(started(source, guest_root))
    chance = random.Random(source.stem)
    chosen = {0, *chance.sample(range(count), min(SNAPSHOTS, count))}
    machine = started(source, guest_root)
    kept = {}

    def keep(step: int) -> None:
        if step in chosen:
            kept[step] = machine.snapshot(), machine.state_digest(), machine.state_hash()
            assert kept[step][1] == StateKeeper(machine.kernel, compares_frames=True).digest()

    assert run_to_end(machine, keep) == (expected, count)
    order = sorted(chosen)
    chance.shuffle(order)
    for number, step in enumerate(order):
        snapshot, digest, state_hash = kept[step]
        machine.restore(snapshot)
        assert machine.state_digest() == digest
        assert machine.state_hash() == state_hash
        if number < 3:
            assert run_to_end(machine) == (expected, count - step)
