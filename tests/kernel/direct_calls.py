"""System calls made for a task without a processor: arguments in, the result or the errno out."""

from __future__ import annotations

from struct import calcsize, pack, unpack

from procession.hardware.registers import ARGUMENT_REGISTERS
from procession.kernel.task import Task
from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE
from tests.kernel.signal_fakes import MEMORY_BASE

_WORD = (1 << 64) - 1
SCRATCH = MEMORY_BASE + 0x100
"""Where a test puts what a call reads."""
RESULT = MEMORY_BASE + 0x800
"""Where a test has calls put what they give."""
BAD_ADDRESS = 8


def call(task: Task, name: str, *arguments: int) -> int:
    """What system call `name` returns to `task`; raises its Errno, and Sleep if it blocks."""
    load_all()
    declared = next(entry for entry in TABLE if entry is not None and entry.name == name)
    registers = [0] * 17
    for register, argument in zip(ARGUMENT_REGISTERS, arguments, strict=False):
        registers[register] = argument & _WORD
    entry = declared.entry
    return entry(task, registers) or 0


def put(task: Task, form: str, *values: int) -> int:
    """Put numbers into the task's scratch memory; their address."""
    task.mm.write(SCRATCH, pack("<" + form, *values))
    return SCRATCH


def result(task: Task, form: str) -> tuple[int, ...]:
    """The numbers that a call put at RESULT."""
    return unpack("<" + form, task.mm.read(RESULT, calcsize("<" + form)))
