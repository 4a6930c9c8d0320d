"""What the processor holds for one task, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.extended_state import INITIAL_STATE

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
R8, R9, R10, R11, R12, R13, R14, R15 = range(8, 16)
RIP = 16
WORD_MASK = (1 << 64) - 1
USER_CS, USER_DS = 0x33, 0x2B
"""The selectors of code and stack. Linux: arch/x86/include/asm/segment.h, __USER_CS, __USER_DS."""
CHANGEABLE_FLAGS = 0x244DD5
"""What of rflags popf and iretq change in user mode: ID AC NT OF DF TF SF ZF AF PF CF."""


def set_register(general: GeneralRegisters, register: int, value: int) -> None:
    """Put `value` into a register, modulo its width: the processor's sums wrap, and so do the kernel's.

    A test of the architecture sees to it that no register is set otherwise.
    """
    general[register] = value & WORD_MASK


ARGUMENT_REGISTERS = (RDI, RSI, RDX, R10, R8, R9)
"""Where a system call's arguments are, in their order."""
NAMES = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"),
)
"""In the order in which `Registers.general` holds them: the hardware's numbering, and rip."""
NUMBERS = {name: number for number, name in enumerate(NAMES)}


class Registers:
    """A task's registers while it isn't on the processor.

    `general` holds those of NAMES in that order, each an unsigned 64-bit int. `floating` is the state of
    x87, MMX, SSE and AVX: an area as XSAVE lays it out (`hardware.extended_state`), or no bytes for that of
    a fresh processor.
    """

    __slots__ = ("floating", "fs_base", "general", "gs_base", "rflags")

    def __init__(self) -> None:
        self.general: list[int] = [0] * len(NAMES)
        self.rflags = 0x202
        self.fs_base = 0
        self.gs_base = 0
        self.floating = b""

    def __repr__(self) -> str:
        named = (f"{name}={value:#x}" for name, value in zip(NAMES, self.general, strict=True) if value)
        return f"<Registers {' '.join(named)} rflags={self.rflags:#x} fs_base={self.fs_base:#x}>"

    @property
    def extended_state(self) -> bytes:
        """The XSAVE area."""
        return self.floating or INITIAL_STATE

    def copy(self) -> Registers:
        """Another set of registers with the same contents."""
        twin = Registers()
        twin.general = self.general.copy()
        twin.rflags = self.rflags
        twin.fs_base = self.fs_base
        twin.gs_base = self.gs_base
        twin.floating = self.floating
        return twin
