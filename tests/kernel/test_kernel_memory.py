"""Checks the account of what the kernel's objects take: it shares the frames with the programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.abi.errno import EAGAIN, ENOMEM
from procession.hardware.kernel_memory import IPC, KIND_NAMES, SIGNAL_BYTES, WATCH, WATCH_BYTES
from procession.hardware.physical_memory import OutOfFrames, PhysicalMemory
from procession.machine import Machine
from tests.kernel.conducted_machine import ConductedMachine, conducted_machines

MEMORY = 1 << 20
FRAMES = MEMORY >> 12
F_NOTIFY, DN_CREATE = 1026, 4


@pytest.fixture
def memory() -> PhysicalMemory:
    return PhysicalMemory(MEMORY)


@pytest.fixture
def machine() -> Iterator[ConductedMachine]:
    yield from conducted_machines(memory=4 << 20)


def test_what_is_charged_is_no_longer_free(memory: PhysicalMemory) -> None:
    free = memory.free_frames
    memory.account.charge(IPC, 100 << 12)
    assert memory.free_frames == free - 100
    assert memory.account.kinds[KIND_NAMES.index("ipc")] == 100 << 12
    memory.account.uncharge(IPC, 100 << 12)
    assert memory.free_frames == free
    assert memory.account.used_bytes == 0


def test_charges_and_frames_come_out_of_one_pool(memory: PhysicalMemory) -> None:
    with pytest.raises(OutOfFrames):
        memory.account.charge(IPC, MEMORY)
    assert memory.is_exhausted
    assert memory.account.used_bytes == 0
    memory.account.charge(IPC, (FRAMES - 11) << 12)
    frames = [memory.allocate() for _ in range(10)]
    with pytest.raises(OutOfFrames):
        memory.allocate()
    with pytest.raises(OutOfFrames):
        memory.account.charge(IPC, 4096)
    memory.account.uncharge(IPC, 4096)
    assert memory.allocate() not in frames


def test_used_frames_can_be_held_and_used_again(memory: PhysicalMemory) -> None:
    frames = [memory.allocate_with(b"old") for _ in range(memory.free_frames)]
    for frame in frames:
        memory.release(frame)
    memory.account.charge(IPC, 200 << 12)
    left = [memory.allocate() for _ in range(memory.free_frames)]
    assert len(left) == FRAMES - 1 - 200
    memory.account.uncharge(IPC, 200 << 12)
    again = [memory.allocate() for _ in range(memory.free_frames)]
    assert sorted(left + again) == sorted(frames)
    assert all(memory.are_zero(frame << 9, (frame + 1) << 9) for frame in again)


def test_asking_kills_nobody(memory: PhysicalMemory) -> None:
    assert not memory.account.can_charge(MEMORY)
    assert not memory.is_exhausted
    assert memory.account.can_charge(MEMORY >> 1)
    memory.account.charge(IPC, MEMORY >> 1)


def test_what_cannot_be_refused_shows_at_the_next_charge(memory: PhysicalMemory) -> None:
    memory.account.charge_always(IPC, 2 * MEMORY)
    with pytest.raises(OutOfFrames):
        memory.account.charge(IPC, 1)
    memory.account.uncharge(IPC, 2 * MEMORY)
    memory.account.charge(IPC, 1)


class TestAnswers:
    def fill(self, machine: ConductedMachine, left: int) -> None:
        """Leave room for objects of `left` bytes."""
        memory = machine.kernel.memory
        memory.account.charge(IPC, (memory.free_frames - 1) << 12)
        room = memory.account.held_bytes - memory.account.used_bytes + (memory.unheld_frames << 12)
        memory.account.charge(IPC, room - left)

    def test_a_signal(self, machine: ConductedMachine) -> None:
        task = machine.process()
        task.blocked = 1 << 39
        queued = (40).to_bytes(4, "little") + bytes(4) + (-1).to_bytes(4, "little", signed=True) + bytes(116)
        assert machine.call(task, "rt_sigqueueinfo", task.tgid, 40, queued) == 0
        self.fill(machine, SIGNAL_BYTES)
        assert machine.call(task, "rt_sigqueueinfo", task.tgid, 40, queued) == 0
        assert machine.call(task, "rt_sigqueueinfo", task.tgid, 40, queued) == -EAGAIN.number
        assert machine.kernel.oom_kill_count == 0

    def test_a_fork(self, machine: ConductedMachine) -> None:
        task = machine.process()
        self.fill(machine, 4096)
        assert machine.call(task, "fork") == -ENOMEM.number
        assert machine.kernel.oom_kill_count == 0


class TestWatches:
    """Of what happens in a directory (F_NOTIFY)."""

    def test_end_with_the_descriptor(self, machine: ConductedMachine) -> None:
        task = machine.process()
        kinds = machine.kernel.memory.account.kinds
        before = kinds[WATCH]
        directory = machine.expect(task, "open", b".\0", 0)
        for _ in range(3):
            copy = machine.expect(task, "dup", directory)
            machine.expect(task, "fcntl", copy, F_NOTIFY, DN_CREATE)
            assert kinds[WATCH] == before + WATCH_BYTES
            machine.expect(task, "close", copy)
            assert kinds[WATCH] == before

    def test_end_with_the_process(self, machine: ConductedMachine) -> None:
        task = machine.process()
        kinds = machine.kernel.memory.account.kinds
        before = kinds[WATCH]
        directory = machine.expect(task, "open", b".\0", 0)
        for _ in range(3):
            child = machine.fork(task)
            machine.expect(child, "fcntl", directory, F_NOTIFY, DN_CREATE)
            assert kinds[WATCH] == before + WATCH_BYTES
            machine.exit(child)
            assert kinds[WATCH] == before


def test_output_has_a_limit() -> None:
    machine = Machine()
    result = machine.run(["/bin/sh", "-c", "while :; do echo 0123456789; done"], output_limit_bytes=100_000)
    assert (result.status, result.reason) == (124, "the output limit of 100000 bytes is reached")
    assert 100_000 < len(result.stdout) < 2_000_000
    machine.close()
