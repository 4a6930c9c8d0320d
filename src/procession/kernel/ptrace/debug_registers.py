"""The debug registers of a tracee: kept and checked, but no engine has breakpoints to set by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EIO, ENOSPC
from procession.hardware.page_table import USER_END

if TYPE_CHECKING:
    from procession.kernel.task import Task

_DR6_RESERVED = 0xFFFF0FF0
_ENABLE_BITS = 0xFF
_LENGTHS = {0: 1, 1: 2, 2: 8, 3: 4}
_EXECUTE = 0


def debug_register(task: Task, number: int) -> int:
    """Linux: arch/x86/kernel/ptrace.c, ptrace_get_debugreg."""
    tracing = task.ptrace
    assert tracing is not None
    value = tracing.debug_registers[number]
    return value ^ _DR6_RESERVED if number == 6 else value


def set_debug_register(task: Task, number: int, value: int) -> None:
    """Raises EIO, EINVAL; ENOSPC for what would need a breakpoint of the processor.

    Linux: arch/x86/kernel/ptrace.c, ptrace_set_debugreg.
    """
    tracing = task.ptrace
    assert tracing is not None
    values = tracing.debug_registers
    if number < 4:
        if value >= USER_END:
            raise EINVAL("no address of a program")
        values[number] = value
    elif number == 6:
        values[6] = value ^ _DR6_RESERVED
    elif number == 7:
        if value & _ENABLE_BITS:
            # Linux: kernel/events/hw_breakpoint.c, __reserve_bp_slot: there are no slots.
            raise ENOSPC("the engine has no breakpoints of its own")
        values[7] = value
    else:
        raise EIO("there is no such debug register")
