"""Exceptions of the processor, and the signals that they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.signals import BusCode, FpeCode, IllCode, TrapCode
from procession.abi.word import Words
from procession.hardware.instruction import (
    LONGEST_INSTRUCTION,
    is_vector_extension,
    prefix_bytes,
)
from procession.hardware.processor_level import V3
from procession.hardware.registers import RIP, SELECTOR_ERROR, USER_CS, USER_DS, set_register
from procession.kernel.ptrace.debug_registers import debug_trap
from procession.kernel.signal.generation import force_signal
from procession.kernel.signal.info import SI_KERNEL, SigInfo
from procession.kernel.signal.set import SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP
from procession.kernel.task import OTHER_SEGMENTS
from procession.mm.peek import peek

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

DIVIDE_ERROR: Final = 0
DEBUG: Final = 1
BREAKPOINT: Final = 3
INVALID_OPCODE: Final = 6
SEGMENT_NOT_PRESENT: Final = 11
STACK_SEGMENT: Final = 12
GENERAL_PROTECTION: Final = 13
PAGE_FAULT: Final = 14
X87_ERROR, ALIGNMENT_CHECK, SIMD_ERROR = 16, 17, 19
FAULTS: Final = frozenset((0, 5, 6, 10, 11, 12, 13, 14, 16, 17, 19))
"""What is raised before the instruction has had an effect."""
RESUME_FLAG: Final = 1 << 16

_ICEBP, _LOCK = b"\xf1", 0xF0
_CONTROL_AND_STATUS, _MXCSR, _MXCSR_OFFSET, _MASK_SHIFT = Words("<HH"), Words("<I"), 24, 7
# Which exceptions a status word shows, in the order in which Linux looks at them, and their codes.
_FLOATING_CODES: Final = (
    (0x01, int(FpeCode.FPE_FLTINV)),
    (0x04, int(FpeCode.FPE_FLTDIV)),
    (0x08, int(FpeCode.FPE_FLTOVF)),
    (0x12, int(FpeCode.FPE_FLTUND)),
    (0x20, int(FpeCode.FPE_FLTRES)),
)
_FPE_INTDIV: Final = int(FpeCode.FPE_INTDIV)
_TRAP_BRKPT, _TRAP_TRACE = int(TrapCode.TRAP_BRKPT), int(TrapCode.TRAP_TRACE)
_ILL_ILLOPN, _BUS_ADRALN = int(IllCode.ILL_ILLOPN), int(BusCode.BUS_ADRALN)


def raise_exception(kernel: Kernel, task: Task, vector: int, error_code: int) -> None:
    """Send the running `task` the signal for exception `vector`. Linux: arch/x86/kernel/traps.c.

    Nothing is sent where only the kernel wanted to know, and for a floating-point exception of which the
    status words don't tell.
    """
    registers = kernel.cpu.general
    icebp_bytes = _icebp_bytes(task, registers[RIP]) if vector == INVALID_OPCODE else 0
    if icebp_bytes:
        # The engines know no such instruction. It's a trap: it has been executed.
        set_register(registers, RIP, registers[RIP] + icebp_bytes)
        vector = DEBUG
    address = registers[RIP]
    task.last_trap = (vector, error_code, task.last_trap[2])
    if vector == DIVIDE_ERROR:
        info = SigInfo(SIGFPE, _FPE_INTDIV, address=address)
    elif vector == DEBUG:
        code = _TRAP_BRKPT if icebp_bytes else _TRAP_TRACE
        if not icebp_bytes and (task.ptrace is not None or task.debug_registers is not None):
            code = debug_trap(kernel, task)
            if not code:
                return
        info = SigInfo(SIGTRAP, code, address=address)
    elif vector == BREAKPOINT:
        info = SigInfo(SIGTRAP, SI_KERNEL)
    elif vector == INVALID_OPCODE:
        info = SigInfo(SIGILL, _ILL_ILLOPN, address=address)
        mm = task.mm
        if mm.processor_level < V3 and is_vector_extension(peek(mm, address, LONGEST_INSTRUCTION)):
            if kernel.cpu.offers(V3):
                # The program hasn't asked what there is: from now on it has what it needs.
                mm.processor_level = V3
                kernel.cpu.use_address_space(mm.tables.root, V3)
                return
            task.group.has_met_avx = True
    elif vector in (X87_ERROR, SIMD_ERROR):
        code = floating_code(kernel.registers_of(task).extended_state, vector)
        if not code:
            return
        info = SigInfo(SIGFPE, code, address=address)
    elif vector == ALIGNMENT_CHECK:
        info = SigInfo(SIGBUS, _BUS_ADRALN)
    elif vector in (SEGMENT_NOT_PRESENT, STACK_SEGMENT):
        info = SigInfo(SIGBUS, SI_KERNEL)
    else:
        info = SigInfo(SIGSEGV, SI_KERNEL)
    if vector in FAULTS:
        set_resume_flag(kernel, task)
    force_signal(kernel, task, info)


_IN_LOCAL_TABLE: Final = 4
"""The bit of a selector that stands for the task's own table of segments, of which it has none."""


def load_segments(kernel: Kernel, task: Task) -> None:
    """Send SIGSEGV to a task that is to go on with a code or stack segment that it can't have.

    For as long as it has one: a handler doesn't, but returns to it. Linux: arch/x86/kernel/traps.c,
    fixup_bad_iret.
    """
    registers = task.registers
    if registers.stack_segment & _IN_LOCAL_TABLE:
        # Linux goes by a stack of its own there, on which the error code gets lost (exc_double_fault).
        selector = 0
    elif registers.code_segment != USER_CS:
        selector = registers.code_segment
    elif registers.stack_segment != USER_DS:
        selector = registers.stack_segment
    else:
        task.work &= ~OTHER_SEGMENTS
        return
    task.last_trap = (GENERAL_PROTECTION, selector & SELECTOR_ERROR, task.last_trap[2])
    force_signal(kernel, task, SigInfo(SIGSEGV, SI_KERNEL))


def set_resume_flag(kernel: Kernel, task: Task) -> None:
    """Do as the processor at a fault: the saved rflags say that debug faults have been seen to (RF)."""
    kernel.registers_of(task).rflags |= RESUME_FLAG


def floating_code(image: bytes, vector: int) -> int:
    """The si_code for the exception that an FXSAVE area tells of, 0 if it tells of none that isn't masked.

    Linux: arch/x86/kernel/fpu/core.c, fpu__exception_code.
    """
    if vector == X87_ERROR:
        control, status = _CONTROL_AND_STATUS.unpack_from(image)
        raised = status & ~control
    else:
        [mxcsr] = _MXCSR.unpack_from(image, _MXCSR_OFFSET)
        raised = mxcsr & ~(mxcsr >> _MASK_SHIFT)
    return next((code for bits, code in _FLOATING_CODES if raised & bits), 0)


def _icebp_bytes(task: Task, address: int) -> int:
    """How long the int1 at `address` is with its prefixes, 0 if there is none."""
    code = peek(task.mm, address, LONGEST_INSTRUCTION)
    place = prefix_bytes(code)
    return place + 1 if code[place : place + 1] == _ICEBP and _LOCK not in code[:place] else 0
