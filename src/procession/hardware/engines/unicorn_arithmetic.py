"""Arithmetic of the x87 on the Unicorn engine: machine code that does it on the host's x87.

The library's functions give the same numbers, but don't say that one was rounded up (C1) or that an operand
was denormal, show exceptions from the next block on only, round constants to nearest, and give other integers
for what is too large. The code here does the operation under the guest's control word, with all exceptions
masked, and puts what it raised into the guest's status; of unmasked ones it leaves the library's mark, as the
library does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.engines.unicorn_machine_code import (
    BUSY,
    ERROR_SUMMARY,
    EXCEPTIONS,
    MASKS,
    d8,
    d32,
    q,
)
from procession.hardware.engines.unicorn_stack import (
    CHANGES_OF_ST0,
    MOVES,
    PUSHING_LOADS,
    SIMPLE_CONSTANTS,
    STORES_OF_ST0,
    StackCode,
)

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_state import StateLayout

_C1, _CONDITIONS = 0x200, 0x4700
_RAISED = 0x7F
"""The exceptions and the fault of the stack."""
_BINARY = {"fadd": "dec1", "fmul": "dec9", "fsub": "dee9", "fsubr": "dee1", "fdiv": "def9", "fdivr": "def1"}
"""Of two numbers on the stack, the first operand loaded first."""
_UNARY = {"fsqrt": "d9fa", "frndint": "d9fc"}
_COMPARISONS = {"fcom_ST0_FT0": "ded9", "fucom_ST0_FT0": "dae9"}
_FLAG_COMPARISONS = {"fcomi_ST0_FT0": "dbf1", "fucomi_ST0_FT0": "dbe9"}
_CONSTANTS = {"fldl2t": "d9e9", "fldl2e": "d9ea", "fldpi": "d9eb", "fldlg2": "d9ec", "fldln2": "d9ed"}
_STORES = {
    "fsts": "d95c24e8", "fstl": "dd5c24e8", "fist": "df5c24e8", "fistl": "db5c24e8", "fistll": "df7c24e8",
    "fistt": "df4c24e8", "fisttl": "db4c24e8", "fisttll": "dd4c24e8",
}  # fmt: skip
"""What pops a number to [rsp - 24], where the result is taken from."""
_LOADS = {"flds": "897424e8 d94424e8", "fldl": "48897424e8 dd4424e8"}
"""mov [rsp - 24], the second argument; fld from there."""
_TAKE, _TAKE_WORD = bytes.fromhex("488b4424e8"), bytes.fromhex("480fbf4424e8")
"""mov rax, [rsp - 24]; movsx rax, word [rsp - 24]."""
_USUAL_CONTROL = bytes.fromhex("7f03")
_NOTE_STATUS = bytes.fromhex("dd7c24f0")
"""fnstsw [rsp - 16]."""

CONSTANTS = tuple([f"{name}_ST0" for name in _CONSTANTS])
SIMPLE = (
    *(*CHANGES_OF_ST0, *SIMPLE_CONSTANTS, "fmov_STN_ST0", "fmov_ST0_STN", "fmov_FT0_STN", "fldz_FT0"),
    "ffree_STN",
)
"""What neither rounds nor takes long."""
_TURNS = {"fincstp": "83c001", "fdecstp": "83e801"}
"""add and sub of eax, 1."""
STACK_TURNS = tuple(_TURNS)
_CONTROL_BITS, _CONTROL_ONE = 0x1F3F, 0x40
"""The bits of the control word that there are, and the one that's always set."""
ARITHMETIC = (
    *(f"{name}_{operands}" for name in _BINARY for operands in ("ST0_FT0", "STN_ST0")),
    *(*_UNARY, *_COMPARISONS, *_FLAG_COMPARISONS, *CONSTANTS, *_TURNS, *MOVES, *CHANGES_OF_ST0),
    *(*SIMPLE_CONSTANTS, *STORES_OF_ST0, *PUSHING_LOADS[2:], "fldcw", "fxam_ST0", "ffree_STN"),
    *(f"{name}_{operand}" for name in _LOADS for operand in ("FT0", "ST0")),
    *(f"{name}_ST0" for name in _STORES),
)
"""The library's functions by their names."""


class ArithmeticCode:
    """Makes the code for processors whose state is laid out as `layout` says; rdi is where that is."""

    __slots__ = (
        "control",
        "finish",
        "flags",
        "load_other",
        "load_st0",
        "load_stn",
        "mark",
        "prepare",
        "push",
        "stack",
        "status",
        "store_other",
        "store_st0",
        "store_stn",
        "tags",
        "top",
    )

    def __init__(self, layout: StateLayout) -> None:
        self.control, self.status = d32(layout.x87_control), d32(layout.x87_status)
        self.mark = d32(layout.x87_mark)
        self.flags = d32(layout.flags_source)
        registers, other = d32(layout.x87_registers), d32(layout.x87_operand)
        self.top = top = d32(layout.x87_top)
        self.tags = d32(layout.x87_tags)
        self.stack = StackCode(layout)
        code = bytes.fromhex
        # movzx eax, word [control]; or al, MASKS; mov [rsp - 8], ax; fldcw [rsp - 8]; fnclex
        slow = code("0fb787") + self.control + code("0c3f 66894424f8 d96c24f8 dbe2")
        # cmp word [control], the C library's, which is most programs' too; jne the slow way
        quick = code("6681bf") + self.control + _USUAL_CONTROL + code("7512")
        # fnstsw ax; movzx ecx, word [status]; not ecx; and ecx, eax; test cl, _RAISED; jz past the slow way:
        # what is left of operations before shows in the guest's status too.
        quick += code("dfe0 0fb78f") + self.status + code("f7d1 21c1 f6c17f 74") + d8(len(slow))
        self.prepare = quick + slow
        # mov eax, [top]; and eax, 7; mov r9d, eax; shl eax, 4
        self.prepare += code("8b87") + top + code("83e007 4189c1 c1e004")
        # lea eax, [rax - 16]; and eax, 0x70; mov r9d, eax; shr r9d, 4; mov [top], r9d
        self.push = code("8d40f0 83e070 4189c1 41c1e904 44898f") + top
        tags = self.tags
        # Of an empty register none is loaded: the stack is turned, so that what follows finds one too.
        # cmp byte [tags + r9], 0; jne to fdecstp; fld; jmp past it; fdecstp
        self.load_st0 = code("4280bc0f") + tags + code("007509 dbac07") + registers + code("eb02 d9f6")
        # cmp byte [operand is empty], 0; and so on
        self.load_other = code("80bf") + self.stack.operand_is_empty + code("007508 dbaf") + other
        self.load_other += code("eb02 d9f6")
        # mov r8d, [top]; add r8d, esi; and r8d, 7; mov ecx, r8d; shl ecx, 4; cmp byte [tags + r8], 0; ...
        self.load_stn = code("448b87") + top + code("4101f0 4183e007 4489c1 c1e104 4280bc07") + tags
        self.load_stn += code("007509 dbac0f") + registers + code("eb02 d9f6")
        # fstp; mov byte [tags + r9 or r8], 0
        self.store_st0 = code("dbbc07") + registers + code("42c6840f") + tags + b"\0"
        self.store_stn = code("dbbc0f") + registers + code("42c68407") + tags + b"\0"
        self.store_other = code("dbbf") + other
        # mov word [rsp - 8], the C library's control word; fldcw [rsp - 8]
        restore = code("66c74424f8") + _USUAL_CONTROL + code("d96c24f8")
        self.finish = code("6681bf") + self.control + _USUAL_CONTROL + b"\x74" + d8(len(restore)) + restore

    def of(self, name: str, function: int) -> bytes:
        """The code for a function of ARITHMETIC, which is at `function` in the library."""
        stack = self.stack
        if name in MOVES:
            return stack.of(name, function)
        # mov rax, the function; jmp rax
        going_on = b"\x48\xb8" + q(function) + b"\xff\xe0"
        if name == "ffree_STN":
            return b"\x66\x81\xa7" + self.status + b"\xff\xfd" + going_on
        if name in CHANGES_OF_ST0:
            return stack.changed() + going_on
        if name in STORES_OF_ST0:
            return stack.stored() + going_on
        if name in SIMPLE_CONSTANTS:
            return stack.pushed() + going_on
        before = stack.pushing() if name in PUSHING_LOADS else b""
        if name in PUSHING_LOADS[2:]:
            return before + b"\x66\x81\xa7" + self.status + b"\xff\xfd" + going_on
        if name in _TURNS:
            return self._turn(_TURNS[name])
        if name == "fldcw":
            return self._load_control(function)
        if name == "fxam_ST0":
            return self._examine(function)
        affected, taking = _C1, b""
        operation, _, operands = name.partition("_")
        if operands == "STN_ST0":
            # The status says of the operation, so it's noted before the store.
            body = self.load_stn + self.load_st0 + bytes.fromhex(_BINARY[operation]) + _NOTE_STATUS
            body += self.store_stn
        elif operation in _BINARY:
            body = self.load_st0 + self.load_other + bytes.fromhex(_BINARY[operation]) + _NOTE_STATUS
            body += self.store_st0
        elif name in _COMPARISONS:
            body = self.load_other + self.load_st0 + bytes.fromhex(_COMPARISONS[name]) + _NOTE_STATUS
            affected = _CONDITIONS
        elif name in _FLAG_COMPARISONS:
            body = self.load_other + self.load_st0 + bytes.fromhex(_FLAG_COMPARISONS[name])
            # lahf; movzx eax, ah; and eax, carry, parity and zero; mov [flags], rax: the others are cleared.
            body += bytes.fromhex("9f 0fb6c4 83e045 488987") + self.flags
            # test byte [rsp - 16], the fault of the stack; jz past the next; and word [status], not C1
            body += (
                _NOTE_STATUS + bytes.fromhex("ddd8 ddd8 f64424f040 7409 6681a7") + self.status + b"\xff\xfd"
            )
            affected = 0
        elif operation in _CONSTANTS:
            before = stack.pushed()
            body = bytes.fromhex(_CONSTANTS[operation]) + _NOTE_STATUS + self.store_st0
        elif operands == "FT0":
            before = stack.other_is_there()
            body = bytes.fromhex(_LOADS[operation]) + _NOTE_STATUS + self.store_other
        elif operation in _LOADS:
            body = bytes.fromhex(_LOADS[operation]) + _NOTE_STATUS + self.push + self.store_st0
        elif operation in _UNARY:
            body = self.load_st0 + bytes.fromhex(_UNARY[operation]) + _NOTE_STATUS + self.store_st0
        else:
            body = self.load_st0 + bytes.fromhex(_STORES[operation]) + _NOTE_STATUS
            taking = _TAKE_WORD if operation in ("fist", "fistt") else _TAKE
        return before + self.prepare + body + self._note(affected) + self.finish + taking + b"\xc3"

    def _turn(self, adding: str) -> bytes:
        """Turn the stack by a register, and clear C1."""
        code = bytes.fromhex
        # mov eax, [top]; ...; and eax, 7; mov [top], eax; and word [status], not C1; ret
        turning = code("8b87") + self.top + code(adding) + code("83e007 8987") + self.top
        return turning + code("6681a7") + self.status + code("fffd c3")

    def _load_control(self, function: int) -> bytes:
        """Load the control word in esi without what isn't there, and tell whether anything waits by it."""
        code = bytes.fromhex
        # and esi, the bits; or esi, the one; movzx eax, word [status]; and eax, not summary and busy
        waits = code("81e6") + d32(_CONTROL_BITS) + code("83ce") + d8(_CONTROL_ONE)
        waits += code("0fb787") + self.status + code("25") + d32(0xFFFF & ~(ERROR_SUMMARY | BUSY))
        # mov ecx, esi; not ecx; and ecx, eax; test cl, MASKS; jz past the next
        waits += code("89f1 f7d1 21c1 f6c1") + d8(MASKS) + code("7405")
        # or eax, summary and busy; mov [status], ax; mov rax, the function; jmp rax
        waits += code("0d") + d32(ERROR_SUMMARY | BUSY) + code("668987") + self.status
        return waits + code("48b8") + q(function) + code("ffe0")

    def _examine(self, function: int) -> bytes:
        """Say what kind of number st0 is; of an empty register the library says it."""
        code = bytes.fromhex
        # mov ecx, [top]; and ecx, 7; cmp byte [tags + rcx], 0; je past the next; mov rax, ...; jmp rax
        known = (
            code("8b8f") + self.top + code("83e107 80bc0f") + self.tags + code("00 740c 48b8") + q(function)
        )
        body = self.load_st0 + code("d9e5") + _NOTE_STATUS + code("ddd8")
        return known + code("ffe0") + self.prepare + body + self._note(_CONDITIONS) + self.finish + b"\xc3"

    def _note(self, affected: int) -> bytes:
        """Put the noted status' exceptions and `affected` conditions into the guest's."""
        code = bytes.fromhex
        # movzx ecx, word [status]; and ecx, not affected; and eax, ...; or ecx, eax; mov [status], cx
        masked = code("0fb78f") + self.status + code("81e1") + d32(~affected)
        masked += code("25") + d32(_RAISED | affected) + code("09c1 66898f") + self.status
        # and eax, EXCEPTIONS; or [mark], al
        unmasked = code("83e0") + d8(EXCEPTIONS) + code("0887") + self.mark
        masked += code("eb") + d8(len(unmasked))
        # movzx eax, word [rsp - 16]; movzx ecx, word [control]; not ecx; and ecx, eax;
        # test cl, EXCEPTIONS; jnz
        looking = code("0fb74424f0 0fb78f") + self.control + code("f7d1 21c1 f6c1") + d8(EXCEPTIONS)
        return looking + code("75") + d8(len(masked)) + masked + unmasked
