"""Checks that a restartable sequence which was interrupted is left once, though memory lacks meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from procession.abi.rseq import RseqCs
from procession.abi.word import pack_u32, pack_u64
from procession.hardware.physical_memory import OutOfFrames
from procession.hardware.registers import RAX, RIP, RSP
from procession.kernel.rseq import RseqArea, handle_event
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.handlers import SA_RESTORER, SignalAction
from procession.kernel.signal.info import SigInfo
from procession.kernel.task import RSEQ_EVENT, Task
from procession.kernel.task_state import TaskState, set_state
from tests.kernel.signal_fakes import MEMORY_BASE, STACK_TOP, Machine

SECTION, LENGTH, SIGNATURE = 0x400000, 0x20, 0x53053053
AREA, DESCRIPTION, ABORT = MEMORY_BASE + 0x100, MEMORY_BASE + 0x200, MEMORY_BASE + 0x300
HANDLER = 0x500000
Refusal = Callable[[int], bool]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def task(machine: Machine) -> Task:
    """In the middle of a sequence, with a handler for signal 10."""
    task = machine.process(10, machine.init)
    task.rseq = RseqArea(AREA, 32, SIGNATURE)
    task.mm.write(DESCRIPTION, RseqCs(0, 0, SECTION, LENGTH, ABORT).pack())
    task.mm.write(AREA + 8, pack_u64(DESCRIPTION))
    task.mm.write(ABORT - 4, pack_u32(SIGNATURE))
    task.registers.general[RIP] = SECTION + 4
    task.registers.general[RSP] = STACK_TOP
    task.group.handlers.actions[10] = SignalAction(HANDLER, SA_RESTORER, 0x402000, 0)
    return task


def refuse_once(monkeypatch: pytest.MonkeyPatch, task: Task, refusal: Refusal) -> None:
    """Let the first write to an address of which `refusal` is true lack a frame."""
    write = type(task.mm).write
    refused: list[int] = []

    def refusing(memory: object, address: int, data: bytes) -> None:
        if not refused and refusal(address):
            refused.append(address)
            raise OutOfFrames
        write(memory, address, data)  # type: ignore[arg-type]

    monkeypatch.setattr(type(task.mm), "write", refusing)


def go_on(machine: Machine, task: Task) -> None:
    """The pause for memory is over."""
    assert task.state is TaskState.KILLABLE
    set_state(task, TaskState.RUNNABLE)
    set_state(task, TaskState.RUNNING)
    machine.resume(task)


@pytest.mark.parametrize(
    ("refusal", "is_left"),
    [
        pytest.param(lambda address: address == AREA + 8, False, id="no frame for the section's pointer"),
        pytest.param(lambda address: address == AREA, True, id="no frame for the processor's number"),
        pytest.param(lambda address: address > STACK_TOP - 0x1000, True, id="no frame for the stack"),
    ],
)
def test_a_handler_is_entered_from_the_abort_handler(
    machine: Machine, task: Task, monkeypatch: pytest.MonkeyPatch, refusal: Refusal, is_left: bool
) -> None:
    general = task.registers.general
    refuse_once(monkeypatch, task, refusal)
    send_signal(machine.kernel, task, SigInfo(10))
    machine.resume(task)
    assert general[RIP] == (ABORT if is_left else SECTION + 4)
    go_on(machine, task)
    assert general[RIP] == HANDLER
    assert task.mm.read(AREA + 8, 8) == bytes(8)
    # Where the handler returns to.
    assert pack_u64(ABORT) in task.mm.read(general[RSP], 0x100)


def test_a_call_that_the_sequence_made_is_not_restarted_twice(
    machine: Machine, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    general = task.registers.general
    general[RAX] = (1 << 64) - 513
    task.call_number = 39
    refuse_once(monkeypatch, task, lambda address: address > STACK_TOP - 0x1000)
    send_signal(machine.kernel, task, SigInfo(10))
    machine.resume(task)
    go_on(machine, task)
    frame = task.mm.read(general[RSP], 0x100)
    assert pack_u64(ABORT) in frame
    assert pack_u64(ABORT - 2) not in frame


@pytest.mark.parametrize("address", [AREA, AREA + 8])
def test_nobody_is_killed_for_a_want_of_frames(
    machine: Machine, task: Task, monkeypatch: pytest.MonkeyPatch, address: int
) -> None:
    refuse_once(monkeypatch, task, lambda written: written == address)
    task.work |= RSEQ_EVENT
    with pytest.raises(OutOfFrames):
        handle_event(machine.kernel, task)
    assert task.work & RSEQ_EVENT
    assert not task.pending.mask
    handle_event(machine.kernel, task)
    assert not task.work & RSEQ_EVENT
    assert task.registers.general[RIP] == ABORT
