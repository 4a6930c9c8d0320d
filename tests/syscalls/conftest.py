"""A task that makes system calls from Python: registers are decoded, handlers run, no program is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from procession.fs.wait_queue import Sleep
from procession.hardware.registers import ARGUMENT_REGISTERS
from procession.kernel.clone import CloneArguments, copy_process
from procession.kernel.session import start_session
from procession.kernel.signal.handlers import SignalAction
from procession.kernel.task import CallFrame, Task
from procession.machine import Machine
from procession.mm.vma import PROT_READ, PROT_WRITE, VirtualMemoryArea
from procession.syscalls.declaration import TABLE

BASE = 0x100000
PAGES = 64
END = BASE + PAGES * 4096


class Caller:
    """A task with 256 KiB of memory at BASE; nothing is mapped from END on.

    A call is made by its name. Bytes among the arguments are put into memory, one after the other, and
    their addresses passed. What sleeps raises Sleep, and `again` runs it once more, as when it's woken.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.kernel = machine.kernel
        self.task = copy_process(self.kernel, machine.init, CloneArguments(0, 17))
        start_session(self.task)
        self.kernel.current = self.task
        self.task.mm.map(VirtualMemoryArea(BASE, END, PROT_READ | PROT_WRITE))
        self.next_address = BASE

    def put(self, data: bytes) -> int:
        """Lay `data` out in memory; its address."""
        address = self.next_address
        self.next_address += (len(data) + 15) & ~15
        self.task.mm.write(address, data)
        return address

    def space(self, length: int) -> int:
        """The address of `length` zeros."""
        return self.put(bytes(length))

    def read(self, address: int, length: int) -> bytes:
        return self.task.mm.read(address, length)

    def number(self, address: int, size: int = 4) -> int:
        """The signed number in memory."""
        return int.from_bytes(self.read(address, size), "little", signed=True)

    def __call__(self, name: str, *arguments: int | bytes) -> int:
        call = next(call for call in TABLE if call is not None and call.name == name)
        registers = [0] * 17
        for register, argument in zip(ARGUMENT_REGISTERS, arguments, strict=False):
            value = self.put(argument) if isinstance(argument, bytes) else argument
            registers[register] = value & (1 << 64) - 1
        decode = call.decode
        return self._run(CallFrame(call.number, decode(self.task, registers)), None)

    def _run(self, frame: CallFrame, present: CallFrame | None) -> int:
        call = TABLE[frame.number]
        assert call is not None
        self.task.frame = present
        try:
            result: int | None = call.handler(self.task, *frame.arguments)
        except Sleep as sleep:
            frame.deadline_ns, frame.progress = sleep.deadline_ns, sleep.progress
            frame.interrupted = sleep.interrupted
            self.slept = frame
            raise
        finally:
            self.task.frame = None
        return result or 0

    def again(self) -> int:
        """The call that slept looks again."""
        return self._run(self.slept, self.slept)

    def handle(self, number: int) -> None:
        """Give signal `number` a handler, so that it doesn't end the process."""
        self.task.group.handlers.actions[number] = SignalAction(0x1000, 0, 0, 0)

    def pass_time(self, duration_ns: int) -> None:
        """The clock goes on."""
        self.kernel.clock.slice_start_ns += duration_ns

    def pipe(self, flags: int = 0) -> tuple[int, int]:
        """The descriptors of a new pipe."""
        address = self.space(8)
        self("pipe2", address, flags)
        return self.number(address), self.number(address + 4)

    @property
    def pending(self) -> set[int]:
        """The numbers of the signals that wait for the task."""
        mask = self.task.pending.mask | self.task.group.shared_pending.mask
        return {number for number in range(1, 65) if mask >> (number - 1) & 1}


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Caller]:
    for name in ("proc", "sys", "dev", "mnt", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_bytes(bytes(range(256)) * 20)
    tmp_path.chmod(0o755)
    machine = Machine(rootfs=tmp_path, memory=32 << 20, engine="scripted")
    yield Caller(machine)
    machine.close()


def other_task(call: Caller) -> Task:
    """A child of the caller."""
    return copy_process(call.kernel, call.task, CloneArguments(0, 17))
