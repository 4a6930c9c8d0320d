"""A machine that was kept and put back goes on as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession.machine import Machine
from procession.recording.recorder import mark_of
from tests.of_a_kind import first_of

SCRIPT = "for i in 1 2 3; do (echo $i; /bin/echo x$i) & done; trap 'echo got' USR1; kill -USR1 $$; wait"
PIPELINE = "seq 300 | while read n; do echo $((n * n)); done | sort -r | head -n 3; exit 4"


def started(rootfs: Path, text: str, cpus: int = 1) -> Machine:
    """A machine in which a shell runs `text`; in a tree that stays as it is, as what is seen of it counts."""
    machine = Machine(memory=128 << 20, seed=5, cpus=cpus, rootfs=rootfs)
    machine.start(["/bin/sh", "-c", text])
    return machine


def ended(machine: Machine) -> tuple[object, ...]:
    """What comes of `machine` at the end of its program."""
    while machine.step_event() is not None:
        pass
    output = machine.take_output()
    return machine.state_hash(), output, machine.kernel.clock.now_ns, mark_of(machine)


@pytest.mark.parametrize("text", first_of(1, [SCRIPT, PIPELINE]))
@pytest.mark.parametrize("cpus", [pytest.param(1, marks=pytest.mark.heavy), 2])
def test_all_ways_lead_to_the_same_end(guest_root: Path, text: str, cpus: int) -> None:
    """To look at a machine, to go back in it, to fork it: nothing changes what comes of it."""
    expected = ended(started(guest_root, text, cpus=cpus))
    machine = started(guest_root, text, cpus=cpus)
    snapshots = [machine.snapshot()]
    hashes = [machine.state_hash()]
    while all(machine.step_system_call() for _ in range(20)):
        snapshots.append(machine.snapshot())
        hashes.append(machine.state_hash())
    assert len(snapshots) > 6
    for number in (len(snapshots) - 1, 0, len(snapshots) // 2):
        machine.restore(snapshots[number])
        assert machine.state_hash() == hashes[number]
        fork = machine.fork()
        assert ended(machine) == expected
        assert fork.state_hash() == hashes[number]
        assert ended(fork) == expected


@pytest.mark.heavy
def test_without_the_hosts_help_frames_are_compared(
    guest_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the host doesn't tell which pages were written to, all goes on as elsewhere."""
    expected = ended(started(guest_root, PIPELINE))
    monkeypatch.setattr("procession.snapshot.frames.written_pages", lambda mapping: None)
    machine = started(guest_root, PIPELINE)
    digests = []
    snapshots = []
    for _ in range(4):
        snapshots.append(machine.snapshot())
        digests.append(machine.state_digest())
        machine.step_event()
        machine.run_until(lambda machine: True)
        for _ in range(60):
            machine.step_system_call()
    for number in (1, 3, 0, 2):
        machine.restore(snapshots[number])
        assert machine.state_digest() == digests[number]
    assert ended(machine) == expected


def test_two_names_are_one_files_whichever_is_met_first_after_going_back(guest_root: Path) -> None:
    """What was met before the machine went back isn't known any more."""
    names: dict[int, list[str]] = {}
    for path in sorted((guest_root / "usr/bin").iterdir()):
        names.setdefault(path.lstat().st_ino, []).append(f"/usr/bin/{path.name}")
    first, second = next(paths for paths in names.values() if len(paths) > 1)[:2]
    text = f"read order; for name in $order; do [ -e $name ]; done; [ {first} -ef {second} ]; echo $?"
    machine = started(guest_root, text)
    assert machine.run_until(lambda machine: machine.input.is_wanted)
    snapshot = machine.snapshot()
    for order in (f"{first} {second}\n", f"{second} {first}\n", f"{first} {second}\n"):
        machine.restore(snapshot)
        for each in (machine, machine.fork()):
            each.feed_input(order.encode(), is_last=True)
            while each.step_event() is not None:
                pass
            assert each.take_output().stdout == b"0\n"


def test_a_fork_goes_its_own_way(guest_root: Path) -> None:
    """What is done to the one machine isn't done to the other."""
    machine = started(guest_root, "read line; echo got $line")
    assert machine.run_until(lambda machine: machine.input.is_wanted)
    fork = machine.fork()
    fork.feed_input(b"something\n", is_last=True)
    machine.feed_input(b"", is_last=True)
    assert ended(fork)[1] == (b"got something\n", b"")
    assert ended(machine)[1] == (b"got\n", b"")


def test_captured_output_goes_back_too(guest_root: Path) -> None:
    """What was written after a snapshot isn't in the output after its restoration."""
    machine = started(guest_root, "echo one; read line; echo two")
    assert machine.run_until(lambda machine: machine.input.is_wanted)
    snapshot = machine.snapshot()
    machine.feed_input(b"\n")
    ended(machine)
    machine.restore(snapshot)
    assert machine.take_output() == (b"one\n", b"")
    assert machine.inlet.actions == []
    machine.restore(snapshot)
    machine.feed_input(b"\n")
    assert ended(machine)[1] == (b"one\ntwo\n", b"")


def test_snapshots_of_another_machine_are_refused(guest_root: Path) -> None:
    """A snapshot belongs to its machine."""
    machine, other = started(guest_root, "true"), started(guest_root, "true")
    with pytest.raises(ValueError, match="another machine"):
        other.restore(machine.snapshot())
    machine.close()
    with pytest.raises(ValueError, match="closed"):
        machine.snapshot()


def test_no_snapshot_in_the_middle_of_a_slice(guest_root: Path) -> None:
    """An observer can't take one: the kernel is in the middle of something."""
    machine = started(guest_root, "true")
    failures: list[ValueError] = []

    class Watcher:
        def __getattr__(self, name: str) -> object:
            return self.take

        def take(self, *_: object) -> None:
            try:
                machine.snapshot()
            except ValueError as error:
                failures.append(error)

    machine.observe(Watcher())  # type: ignore[arg-type]
    machine.step()
    assert failures
    assert "middle of a slice" in str(failures[0])
