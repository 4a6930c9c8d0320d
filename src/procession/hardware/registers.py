"""What the processor holds for one task, as plain data."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from procession.hardware.extended_state import INITIAL_STATE

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters

RAX: Final = 0
RCX: Final = 1
RDX: Final = 2
RBX: Final = 3
RSP: Final = 4
RBP: Final = 5
RSI: Final = 6
RDI: Final = 7
R8, R9, R10, R11, R12, R13, R14, R15 = range(8, 16)
RIP: Final = 16
WORD_MASK: Final = (1 << 64) - 1
USER_CS, USER_DS = 0x33, 0x2B
"""The selectors of code and stack. Linux: arch/x86/include/asm/segment.h, __USER_CS, __USER_DS."""
LAST_NULL_SELECTOR: Final = 3
PRIVILEGE_BITS: Final = 3
"""The lowest bits of a selector say for which privilege level it is, user mode's being 3."""
SELECTOR_ERROR: Final = 0xFFFC
"""What of a selector is in the error code of a fault that it raises."""
USER_DESCRIPTORS: Final = {
    USER_CS: (0xAFFB00, 0xFFFF_FFFF),
    0x23: (0xCFFB00, 0xFFFF_FFFF),
    USER_DS: (0xCFF300, 0xFFFF_FFFF),
    0x7B: (0x40F500, 0),
}
"""The segments that user mode has for data, with what lar and lsl tell of them: beside its own that of 32-bit
code and the one whose limit is the number of the processor, which is the first here. Linux:
arch/x86/include/asm/segment.h, __USER32_CS, __CPUNODE_SEG.
"""
WRITABLE_DATA, CODE_OR_WRITABLE = 0x200, 0xA00
"""What lar tells of what verw lets pass: the second's bits are the first's."""
SEGMENT_NUMBERS: Final = {"es": 0, "cs": 1, "ss": 2, "ds": 3, "fs": 4, "gs": 5}
"""The processor's numbers of the segment registers."""
DATA_SEGMENTS: Final = ("es", "ds", "fs", "gs")
"""Those that 64-bit code doesn't need, in the order in which `Registers.selectors` has them, 16 bits each."""
TRAP_FLAG: Final = 0x100
"""TF of rflags: each instruction ends in a debug exception."""
CHANGEABLE_FLAGS: Final = 0x244DD5
"""What of rflags popf and iretq change in user mode: ID AC NT OF DF TF SF ZF AF PF CF."""


def set_register(general: GeneralRegisters, register: int, value: int) -> None:
    """Put `value` into a register, modulo its width: the processor's sums wrap, and so do the kernel's.

    A test of the architecture sees to it that no register is set otherwise.
    """
    general[register] = value & WORD_MASK


ARGUMENT_REGISTERS: Final = (RDI, RSI, RDX, R10, R8, R9)
"""Where a system call's arguments are, in their order."""
NAMES: Final = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"),
)
"""In the order in which `Registers.general` holds them: the hardware's numbering, and rip."""
NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}
_ZEROS: Final = array("Q", bytes(8 * len(NAMES)))


def is_loadable(selector: int) -> bool:
    """Whether a program's es, ds, fs or gs can have it: none at all, or a segment that is there."""
    return selector <= LAST_NULL_SELECTOR or selector | PRIVILEGE_BITS in USER_DESCRIPTORS


def loaded_selectors(selectors: int) -> int:
    """What the processor has in es, ds, fs and gs when it's to load these: 0 instead of what it can't."""
    parts = [selectors >> 16 * place & 0xFFFF for place in range(len(DATA_SEGMENTS))]
    return sum([part << 16 * place for place, part in enumerate(parts) if is_loadable(part)])


class Registers:
    """A task's registers while it isn't on the processor.

    `general` holds those of NAMES in that order, each an unsigned 64-bit int: an array, which an engine fills
    and takes over as a whole, as a switch of tasks does both. `floating` is the state of
    x87, MMX, SSE and AVX: an area as XSAVE lays it out (`hardware.extended_state`), or no bytes for that of
    a fresh processor. `selectors` are those of DATA_SEGMENTS; what isn't loadable is until it's loaded.
    `code_segment` and `stack_segment` are what to return to user mode with: an engine runs with USER_CS and
    USER_DS alone, and knows nothing of them.
    """

    __slots__ = (
        "code_segment",
        "floating",
        "fs_base",
        "general",
        "gs_base",
        "rflags",
        "selectors",
        "stack_segment",
    )

    def __init__(self) -> None:
        self.general: array[int] = _ZEROS[:]
        self.rflags = 0x202
        self.fs_base = 0
        self.gs_base = 0
        self.floating = b""
        self.selectors = 0
        self.code_segment = USER_CS
        self.stack_segment = USER_DS

    def __repr__(self) -> str:
        named = (f"{name}={value:#x}" for name, value in zip(NAMES, self.general, strict=True) if value)
        return f"<Registers {' '.join(named)} rflags={self.rflags:#x} fs_base={self.fs_base:#x}>"

    def selector(self, name: str) -> int:
        """What the segment register `name` holds."""
        if name == "cs":
            return self.code_segment
        if name == "ss":
            return self.stack_segment
        return self.selectors >> 16 * DATA_SEGMENTS.index(name) & 0xFFFF

    def set_selector(self, name: str, selector: int) -> None:
        """Have the segment register `name` hold `selector`."""
        if name == "cs":
            self.code_segment = selector
        elif name == "ss":
            self.stack_segment = selector
        else:
            shift = 16 * DATA_SEGMENTS.index(name)
            self.selectors = self.selectors & ~(0xFFFF << shift) | selector << shift

    @property
    def extended_state(self) -> bytes:
        """The XSAVE area."""
        return self.floating or INITIAL_STATE

    def copy(self) -> Registers:
        """Another set of registers with the same contents."""
        twin = Registers()
        twin.general = self.general[:]
        twin.rflags = self.rflags
        twin.fs_base = self.fs_base
        twin.gs_base = self.gs_base
        twin.floating = self.floating
        twin.selectors = self.selectors
        twin.code_segment = self.code_segment
        twin.stack_segment = self.stack_segment
        return twin
