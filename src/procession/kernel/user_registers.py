"""A task's registers as tracers and debuggers see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENODEV
from procession.abi.ptrace import UserRegsStruct
from procession.abi.signal_frame import Fpstate
from procession.abi.word import pack_array
from procession.hardware.extended_state import FXSAVE_BYTES
from procession.hardware.processor_level import LEVELS
from procession.hardware.registers import NUMBERS, SEGMENT_NUMBERS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

SETTABLE_FLAGS = 0x54DD5
"""What of the flags is the program's (Linux: arch/x86/kernel/ptrace.c, FLAG_MASK)."""
_NO_CALL = (1 << 64) - 1
_WORD_BYTES = 8
_COMPONENTS_OFFSET = Fpstate.OFFSETS["sw_reserved"]


def user_registers(task: Task) -> UserRegsStruct:
    """What PTRACE_GETREGS gives for `task`; `orig_rax` is the number of the call that it is in, or -1.

    Linux: arch/x86/kernel/ptrace.c, genregs_get.
    """
    registers = task.kernel.registers_of(task)
    general = registers.general
    return UserRegsStruct(
        **{name: general[number] for name, number in NUMBERS.items()},
        **{name: registers.selector(name) for name in SEGMENT_NUMBERS},
        orig_rax=task.call_in_progress & _NO_CALL,
        eflags=registers.rflags,
        fs_base=registers.fs_base,
        gs_base=registers.gs_base,
    )


def floating_registers(kernel: Kernel, task: Task) -> bytes:
    """The 512 bytes of FXSAVE. Linux: arch/x86/kernel/fpu/regset.c, xfpregs_get."""
    return kernel.registers_of(task).extended_state[:FXSAVE_BYTES]


def extended_registers(kernel: Kernel, task: Task) -> bytes:
    """The XSAVE area of `task`; where FXSAVE leaves place it says which components there are. Raises ENODEV.

    Linux: arch/x86/kernel/fpu/regset.c, xstateregs_get.
    """
    components = state_components(task)
    image = bytearray(kernel.registers_of(task).extended_state)
    image[_COMPONENTS_OFFSET : _COMPONENTS_OFFSET + _WORD_BYTES] = pack_array("Q", (components,))
    return bytes(image)


def state_components(task: Task) -> int:
    """The components of XSAVE's area that the program of `task` can have found. Raises ENODEV."""
    components = LEVELS[task.mm.processor_level].components
    if not components:
        raise ENODEV("the processor has no XSAVE")
    return components
