"""Going forward and back in the run of a machine that keeps its history."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession.inspection.event import Cloned, Event, SystemCallReturned
from procession.machine import Machine
from procession.snapshot import origin
from procession.snapshot.checkpoints import EVENT_COST_NS
from procession.snapshot.history import Checkpoint, History

SCRIPT = "for i in 1 2 3; do (echo $i; /bin/echo x$i) & done; wait; exec 5</etc/passwd; read x <&5; echo done"


def started(rootfs: Path, interval: int = 300) -> tuple[Machine, History]:
    machine = Machine(seed=3, rootfs=rootfs, memory=64 << 20)
    machine.start(["bash", "-c", SCRIPT])
    history = machine.keep_history()
    history.interval_ns = interval * EVENT_COST_NS
    return machine, history


@pytest.mark.parametrize("interval", [100, pytest.param(10_000, marks=pytest.mark.heavy)])
def test_every_place_is_found_again(guest_root: Path, interval: int) -> None:
    """Back step by step over the last places, and forward over the same ones: the states are the same."""
    machine, history = started(guest_root, interval)
    history.run_to_end()
    end = history.count, machine.state_digest()
    places = [(*end, history.event)]
    for _ in range(15):
        assert machine.step_back() is not None
        places.append((history.count, machine.state_digest(), history.event))
    assert [place[0] for place in places] == sorted((place[0] for place in places), reverse=True)
    for place in places[-2::-1]:
        history.step()
        assert (history.count, machine.state_digest(), history.event) == place
    history.go_to(0)
    history.run_to_end()
    assert (history.count, machine.state_digest()) == end
    assert machine.take_output().stdout.endswith(b"done\n")


def test_a_history_changes_nothing(guest_root: Path) -> None:
    machine, history = started(guest_root)
    history.run_to_end()
    plain = Machine(seed=3, rootfs=guest_root, memory=64 << 20)
    plain.start(["bash", "-c", SCRIPT])
    while not plain._command_has_ended():
        plain.step()
        plain.collect_output()
    assert machine.state_hash() == plain.state_hash()


@pytest.mark.heavy
def test_events_are_met_in_reverse(guest_root: Path) -> None:
    machine, history = started(guest_root)
    forward: list[Event] = []
    while (event := history.run_to(Cloned)) is not None:
        forward.append(event)
        count = history.count
    backward = 0
    while machine.back_to("clone"):
        assert history.count <= count
        count = history.count
        backward += 1
    assert (len(forward), backward) == (3, 3)
    assert not machine.back_to("clone")
    assert history.count == count


@pytest.mark.heavy
def test_what_has_no_such_event_is_not_run_again(guest_root: Path) -> None:
    """The last clone lies many checkpoints behind: one is restored to look for it, and one to be there."""
    machine = Machine(seed=3, rootfs=guest_root, memory=64 << 20)
    machine.start(["bash", "-c", "(exit 3) & wait; for ((i = 0; i < 300; i++)); do kill -0 $$; done"])
    history = machine.keep_history()
    history.interval_ns = 100 * EVENT_COST_NS
    assert history.run_to(Cloned) is not None
    cloned = history.count
    history.run_to_end()
    assert len(history.checkpoints) > 5
    restored: list[int] = []
    restore = history._restore

    def counted(checkpoint: Checkpoint) -> None:
        restored.append(checkpoint.count)
        restore(checkpoint)

    history._restore = counted  # type: ignore[method-assign]
    assert machine.back_to(Cloned)
    assert history.count == cloned
    assert len(restored) == 2
    assert not machine.back_to("oom")
    assert (history.count, len(restored)) == (cloned, 3)


def test_the_origins_of_objects(guest_root: Path) -> None:
    machine, history = started(guest_root)
    task = machine.command
    assert task is not None
    assert history.run_until(lambda machine: 5 in task.files.files and task.state.name == "RUNNING")
    history.step("call")
    assert machine.back_to(origin.installed(task, 5))
    assert isinstance(history.event, SystemCallReturned)
    assert history.event.name == "dup2"
    machine.step_back("call")
    assert 5 not in machine.command.files.files  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="no descriptor 5"):
        origin.opened(machine.command, 5)  # type: ignore[arg-type]


def test_a_function_of_the_machine(guest_root: Path) -> None:
    """Back to where it has become true for the last time."""
    machine, history = started(guest_root)
    history.run_to_end()
    assert machine.back_to(lambda machine: len(machine.kernel.tasks) == 5)
    assert len(machine.kernel.tasks) == 5
    machine.step_back()
    assert len(machine.kernel.tasks) != 5
    assert not machine.back_to(lambda machine: len(machine.kernel.tasks) == 99)


def test_without_a_history_there_is_no_way_back(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root, memory=64 << 20)
    with pytest.raises(ValueError, match="start a program first"):
        machine.keep_history()
    machine.start(["true"])
    with pytest.raises(ValueError, match="no history"):
        machine.step_back()
