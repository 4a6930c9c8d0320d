"""The digest is equal where the hash of the whole state is, and nowhere else."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from procession.machine import Machine
from procession.snapshot.keeper import StateKeeper
from tests.of_a_kind import first_of

PROGRAMS = [
    ["sh", "-c", "for i in 1 2; do (echo $i; sleep 0.0$i) & done; wait; kill -9 $$"],
    ["sh", "-c", "seq 40 | while read n; do echo $((n * n)); done | sort -r > /tmp/o; cat /tmp/o; rm /tmp/o"],
    [
        "bash",
        "-c",
        "trap 'echo t' USR1; kill -USR1 $$; exec 5<>/tmp/f; echo x >&5; read -t 0.1; pwd",
    ],
]


def states(argv: list[str], rootfs: Path, seed: int) -> list[tuple[str, bytes]]:
    """The hash and the digest of each state of a run, at every 58th event."""
    machine = Machine(seed=seed, rootfs=rootfs, memory=64 << 20)
    machine.start(argv)
    found = [(machine.state_hash(), machine.state_digest())]
    while all(machine.step_event() for _ in range(58)):
        found.append((machine.state_hash(), machine.state_digest()))
        if len(found) % 4 == 0:
            assert found[-1][1] == StateKeeper(machine.kernel, compares_frames=True).digest()
    return found


@pytest.mark.parametrize("argv", first_of(1, PROGRAMS), ids=["fork", "pipeline", "trap"])
def test_equal_digests_are_equal_states(argv: list[str], guest_root: Path) -> None:
    runs = [states(argv, guest_root, seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert len(runs[0]) > 5
    found = list(itertools.chain(*runs))
    assert len({state_hash for state_hash, _ in found}) == len({digest for _, digest in found})
    assert len(set(found)) == len({digest for _, digest in found})


def test_a_changed_byte_shows(guest_root: Path) -> None:
    """In a frame, in a list, in an attribute; and going back takes it back."""
    machine = Machine(seed=1, rootfs=guest_root, memory=64 << 20)
    task = machine.start(["sh"])
    snapshot, first = machine.snapshot(), machine.state_digest()
    frame = next(iter(task.mm.tables.leaves.values()))
    digests = {first}
    machine.memory.bytes[(frame << 12) + 4088] ^= 1
    digests.add(machine.state_digest())
    task.children[task] = None
    digests.add(machine.state_digest())
    task.group.limits.soft[3] += 1
    digests.add(machine.state_digest())
    task.command_name = b"other"
    digests.add(machine.state_digest())
    assert len(digests) == 5
    machine.restore(snapshot)
    assert machine.state_digest() == first


def test_what_is_the_same_by_another_way_is_the_same(guest_root: Path) -> None:
    """Which object it is doesn't count, only what it holds and who else leads to it."""
    machine = Machine(seed=1, rootfs=guest_root, memory=64 << 20)
    task = machine.start(["sh"])
    first = machine.state_digest()
    limits = task.group.limits
    limits.soft = list(limits.soft)
    assert machine.state_digest() == first
    limits.hard = limits.soft
    shared = machine.state_digest()
    limits.hard = list(limits.soft)
    assert machine.state_digest() != shared
