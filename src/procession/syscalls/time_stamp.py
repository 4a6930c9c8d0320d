"""The time stamp counter, whose instructions trap: it tells virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.errno import Errno
from procession.hardware.registers import RAX, RCX, RDX, RIP, WORD_MASK, set_register
from procession.kernel.process_flags import TIF_NOTSC

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_RDTSC: Final = b"\x0f\x31"
_RDTSCP: Final = b"\x0f\x01\xf9"
_CYCLES_PER_NS: Final = 2
_MASK: Final = 0xFFFF_FFFF
"""Each register has a half of the counter."""


def emulate_time_stamp(kernel: Kernel, task: Task, address: int) -> bool:
    """rdtsc and rdtscp trap, so that time is virtual for them too; they fault after PR_SET_TSC."""
    if task.flags & TIF_NOTSC:
        return False
    try:
        code = task.mm.read(address, 2)
        length = 2
        if code == _RDTSCP[:2]:
            code = task.mm.read(address, 3)
            length = 3
    except Errno:
        return False
    if code not in (_RDTSC, _RDTSCP):
        return False
    cycles = kernel.clock.now_ns * _CYCLES_PER_NS
    registers = kernel.cpu.general
    registers[RAX] = cycles & _MASK
    registers[RDX] = cycles >> 32 & _MASK
    if length == 3:
        set_register(registers, RCX, 0)
    registers[RIP] = (address + length) & WORD_MASK
    return True
