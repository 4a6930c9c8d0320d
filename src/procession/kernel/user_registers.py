"""A task's registers as tracers and debuggers see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENODEV
from procession.abi.ptrace import UserRegsStruct
from procession.abi.signal_frame import Fpstate
from procession.abi.word import pack_array
from procession.hardware.extended_state import FXSAVE_BYTES
from procession.hardware.processor_level import LEVELS
from procession.hardware.registers import (
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RIP,
    RSI,
    RSP,
)

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

USER_CS, USER_DS = 0x33, 0x2B
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
        r15=general[R15],
        r14=general[R14],
        r13=general[R13],
        r12=general[R12],
        rbp=general[RBP],
        rbx=general[RBX],
        r11=general[R11],
        r10=general[R10],
        r9=general[R9],
        r8=general[R8],
        rax=general[RAX],
        rcx=general[RCX],
        rdx=general[RDX],
        rsi=general[RSI],
        rdi=general[RDI],
        orig_rax=task.call_in_progress & _NO_CALL,
        rip=general[RIP],
        cs=USER_CS,
        eflags=registers.rflags,
        rsp=general[RSP],
        ss=USER_DS,
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
