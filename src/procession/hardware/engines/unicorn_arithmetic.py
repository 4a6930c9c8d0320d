"""Arithmetic of the x87 on the Unicorn engine: machine code that does it on the host's x87.

The library's functions give the same numbers, but don't say that one was rounded up (C1) or that an operand
was denormal, show exceptions from the next block on only, round constants to nearest, and give other integers
for what is too large. The code here does the operation under the guest's control word, and puts what it
raised into the guest's status. The host's x87 tells of an exception at its next instruction that waits: none
comes before what was raised is cleared. So where the guest has exceptions unmasked they are for the operation
too, and it leaves what the processor leaves. Where that is nothing, translated code is left by a vector of
this engine's own (`unicorn_machine_code.ENDED`), and goes on behind the instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.word import pack_u16
from procession.hardware.engines.unicorn_machine_code import (
    BUSY,
    COMPARED,
    ENDED,
    ERROR_SUMMARY,
    MASKS,
    UNMASKING,
    Assembly,
    d8,
    d32,
    q,
)
from procession.hardware.engines.unicorn_stack import (
    CHANGES_OF_ST0,
    EMPTY,
    FROM_LONG_WORD,
    FROM_WORD,
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
_BINARY = {
    "fadd": ("dec1", 0), "fmul": ("dec9", 1), "fsub": ("dee9", 4), "fsubr": ("dee1", 5), "fdiv": ("def9", 6),
    "fdivr": ("def1", 7),
}  # fmt: skip
"""Of two numbers on the stack, the first operand loaded first; and the function of an operand in memory."""
_UNARY = {"fsqrt": "d9fa", "frndint": "d9fc"}
_COMPARISONS = {"fcom_ST0_FT0": "ded9", "fucom_ST0_FT0": "dae9"}
_COMPARISON_IN_MEMORY = 3
_FLAG_COMPARISONS = {"fcomi_ST0_FT0": "dbf1", "fucomi_ST0_FT0": "dbe9"}
_CONSTANTS = {"fldl2t": "d9e9", "fldl2e": "d9ea", "fldpi": "d9eb", "fldlg2": "d9ec", "fldln2": "d9ed"}
_STORES = {
    "fsts": "d95c24e8", "fstl": "dd5c24e8", "fist": "df5c24e8", "fistl": "db5c24e8", "fistll": "df7c24e8",
    "fistt": "df4c24e8", "fisttl": "db4c24e8", "fisttll": "dd4c24e8",
}  # fmt: skip
"""What pops a number to [rsp - 24], where the result is taken from."""
_LOADS = {"flds": "897424e8 d94424e8", "fldl": "48897424e8 dd4424e8"}
"""mov [rsp - 24], the second argument; fld from there."""
_NO_OPERATION, _NO_STORE, _NO_LOAD = 0x07, 0x1B, 0x01
"""What prevents a result where it isn't masked: of operations, of stores of a rounded number, of loads."""
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
    *(*SIMPLE_CONSTANTS, *STORES_OF_ST0, *PUSHING_LOADS[2:], "fldcw", "fxam_ST0", "fbst_ST0"),
    "ffree_STN",
    *(f"{name}_{operand}" for name in _LOADS for operand in ("FT0", "ST0")),
    *(f"{name}_ST0" for name in _STORES),
)
"""The library's functions by their names."""


class ArithmeticCode:
    """Makes the code for processors whose state is laid out as `layout` says; rdi is where that is.

    `raising` is the library's function that leaves translated code, see `Assembly.leave`; `storing` are those
    that store a quadword and a word in the guest's memory.
    """

    __slots__ = (
        "control",
        "flags",
        "load_other",
        "load_st0",
        "load_stn",
        "operand",
        "push",
        "raising",
        "stack",
        "status",
        "store_other",
        "store_st0",
        "store_stn",
        "storing",
        "tags",
        "take_top",
        "top",
        "watching",
    )

    def __init__(self, layout: StateLayout, raising: int, storing: tuple[int, int]) -> None:
        self.raising, self.storing = raising, storing
        self.control, self.status = d32(layout.x87_control), d32(layout.x87_status)
        self.flags, self.watching = d32(layout.flags_source), d32(layout.watching)
        registers = d32(layout.x87_registers)
        self.operand = other = d32(layout.x87_operand)
        self.top = top = d32(layout.x87_top)
        self.tags = tags = d32(layout.x87_tags)
        self.stack = StackCode(layout, raising)
        code = bytes.fromhex
        # mov eax, [top]; and eax, 7; mov r9d, eax; shl eax, 4
        self.take_top = code("8b87") + top + code("83e007 4189c1 c1e004")
        # lea eax, [rax - 16]; and eax, 0x70; mov r9d, eax; shr r9d, 4; mov [top], r9d
        self.push = code("8d40f0 83e070 4189c1 41c1e904 44898f") + top
        # Of an empty register none is loaded: the stack is turned, so that what follows finds one too.
        # cmp byte [tags + r9], 0; jne to fdecstp; fld; jmp past it; fdecstp
        self.load_st0 = code("4280bc0f") + tags + code("007509 dbac07") + registers + code("eb02 d9f6")
        # cmp byte [kind of operand], EMPTY; je to fdecstp; and so on
        self.load_other = code("80bf") + self.stack.operand_kind + bytes((EMPTY,)) + code("7408 dbaf") + other
        self.load_other += code("eb02 d9f6")
        # mov r8d, [top]; add r8d, esi; and r8d, 7; mov ecx, r8d; shl ecx, 4; cmp byte [tags + r8], 0; ...
        self.load_stn = code("448b87") + top + code("4101f0 4183e007 4489c1 c1e104 4280bc07") + tags
        self.load_stn += code("007509 dbac0f") + registers + code("eb02 d9f6")
        # fstp; mov byte [tags + r9 or r8], 0
        self.store_st0 = code("dbbc07") + registers + code("42c6840f") + tags + b"\0"
        self.store_stn = code("dbbc0f") + registers + code("42c68407") + tags + b"\0"
        self.store_other = code("dbbf") + other

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
        if name == "fbst_ST0":
            return self._store_decimal()
        affected, preventing, taking, store, compared = _C1, _NO_OPERATION, b"", b"", b""
        operation, _, operands = name.partition("_")
        # The status says of the operation, so it's noted before the store.
        if operands == "STN_ST0":
            body = self.load_stn + self.load_st0 + bytes.fromhex(_BINARY[operation][0])
            store = self.store_stn
        elif operation in _BINARY:
            body = self._of_two(*_BINARY[operation])
            store = self.store_st0
        elif name in _COMPARISONS:
            is_in_memory = name == "fcom_ST0_FT0"
            body = self._comparison(_COMPARISONS[name], can_be_in_memory=is_in_memory)
            affected = _CONDITIONS
        elif name in _FLAG_COMPARISONS:
            # lahf; movzx eax, ah; and eax, carry, parity and zero
            operating = bytes.fromhex(_FLAG_COMPARISONS[name] + "9f 0fb6c4 83e045")
            body = self.load_other + self.load_st0 + operating
            # mov [flags], rax: the others are cleared.
            compared = bytes.fromhex("488987") + self.flags
            # test byte [rsp - 16], the fault of the stack; jz past the next; and word [status], not C1
            compared += bytes.fromhex("f64424f040 7409 6681a7") + self.status + b"\xff\xfd"
            store = compared + bytes.fromhex("ddd8 ddd8")
            affected = 0
        elif operation in _CONSTANTS:
            before = stack.pushed()
            body = bytes.fromhex(_CONSTANTS[operation])
            store = self.store_st0
        elif operands == "FT0":
            return self._take_operand(operation)
        elif operation in _LOADS:
            # A denormal number is loaded whether it's told or not.
            body, preventing = bytes.fromhex(_LOADS[operation]), _NO_LOAD
            store = self.push + self.store_st0
        elif operation in _UNARY:
            body = self.load_st0 + bytes.fromhex(_UNARY[operation])
            store = self.store_st0
        else:
            body = self.load_st0 + bytes.fromhex(_STORES[operation])
            preventing = _NO_STORE
            taking = _TAKE_WORD if operation in ("fist", "fistt") else _TAKE
        return before + self._done(body + _NOTE_STATUS, affected, store, taking, preventing, compared)

    def _done(
        self, body: bytes, affected: int, store: bytes, taking: bytes, preventing: int, compared: bytes
    ) -> bytes:
        """The whole: `body` notes the status, `store` puts the result where it belongs.

        Where there is none what is `compared` is told all the same.
        """
        code = Assembly()
        # cmp word [control], the C library's, which is most programs' too
        code.add("6681bf", self.control, _USUAL_CONTROL)
        code.jump("85", "slow")  # jne slow
        # fnstsw ax; movzx ecx, word [status]; not ecx; and ecx, eax; test cl, _RAISED
        code.add("dfe0 0fb78f", self.status, bytes.fromhex("f7d1 21c1 f6c17f"))
        # What is left of operations before shows in the guest's status too.
        code.jump("85", "clear")  # jnz clear
        code.label("ready")
        code.add("", self.take_top, body, store)
        self._note(code, affected)
        # cmp word [control], the C library's; je kept; mov word [rsp - 8], the C library's; fldcw [rsp - 8]
        code.add("6681bf", self.control, _USUAL_CONTROL)
        code.jump("84", "kept")
        code.add("66c74424f8", _USUAL_CONTROL, bytes.fromhex("d96c24f8"))
        code.label("kept")
        code.add("", taking, b"\xc3")
        code.label("slow")
        # movzx eax, word [control]; mov ecx, eax; not ecx; test cl, MASKS
        code.add("0fb787", self.control, bytes.fromhex("89c1 f7d1 f6c1") + d8(MASKS))
        code.jump("85", "unmasked")  # jnz unmasked
        code.add("66894424f8 d96c24f8")  # mov [rsp - 8], ax; fldcw [rsp - 8]
        code.label("clear")
        code.add("dbe2")  # fnclex
        code.jump("e9", "ready")
        code.label("unmasked")
        code.add("dbe2 66894424f8 d96c24f8", self.take_top, body)
        # fnclex; mov word [rsp - 8], the C library's; fldcw [rsp - 8]
        code.add("dbe2 66c74424f8", _USUAL_CONTROL, bytes.fromhex("d96c24f8"))
        # test byte [rsp - 16], ERROR_SUMMARY
        code.add("f64424f080")
        code.jump("85", "raised")  # jnz raised
        code.add("", store)
        self._note(code, affected)
        code.add("", taking, b"\xc3")
        code.label("raised")
        # movzx edx, word [control]; not edx; and edx, those that prevent a result; test [rsp - 16], dl
        code.add("0fb797", self.control, bytes.fromhex("f7d2 83e2"), d8(preventing), b"\x84\x54\x24\xf0")
        code.jump("85", "nothing")  # jnz nothing
        code.add("", store)
        self._note(code, affected, summary=ERROR_SUMMARY | BUSY)
        code.add("dbe3", taking, b"\xc3")  # fninit, as what was stored may still be there
        code.label("nothing")
        code.add("", compared)
        self._note(code, affected, summary=ERROR_SUMMARY | BUSY)
        code.add("dbe3")  # fninit
        code.leave(COMPARED if compared else ENDED, self.raising)
        return code.finish()

    def _note(self, code: Assembly, affected: int, summary: int = 0) -> None:
        """Put the noted status' exceptions and `affected` conditions into the guest's, and `summary`."""
        # movzx edx, word [rsp - 16]; movzx ecx, word [status]; and ecx, not affected; and edx, ...
        code.add("0fb75424f0 0fb78f", self.status, b"\x81\xe1", d32(~affected))
        code.add("81e2", d32(_RAISED | affected), b"\x09\xd1")  # ...; or ecx, edx
        if summary:
            code.add("81c9", d32(summary))  # or ecx, summary
        code.add("66898f", self.status)  # mov [status], cx

    def _of_two(self, on_stack: str, function: int) -> bytes:
        """An operation of st0 and the operand beside it, as that is."""
        code, modrm = Assembly(), _AT_STATE | function << 3
        code.add("", self.load_st0)
        # movzx edx, byte [kind of operand]; cmp edx, FROM_WORD
        code.add("0fb697", self.stack.operand_kind, b"\x83\xfa" + d8(FROM_WORD))
        code.jump("84", "word")  # je word
        code.jump("87", "long word")  # ja long word
        code.add("", self.load_other, bytes.fromhex(on_stack))
        code.jump("e9", "done")
        code.label("word")
        code.add("", pack_u16(0xD8 | modrm << 8), self.operand)
        code.jump("e9", "done")
        code.label("long word")
        code.add("", pack_u16(0xDC | modrm << 8), self.operand)
        code.label("done")
        return code.finish()

    def _comparison(self, on_stack: str, *, can_be_in_memory: bool) -> bytes:
        plain = self.load_other + self.load_st0 + bytes.fromhex(on_stack)
        if not can_be_in_memory:
            return plain
        code = Assembly()
        code.add("0fb697", self.stack.operand_kind, b"\x83\xfa" + d8(FROM_WORD))
        code.jump("84", "word")  # je word
        code.jump("87", "long word")  # ja long word
        code.add("", plain)
        code.jump("e9", "done")
        for label, opcode in (("word", 0xD8), ("long word", 0xDC)):
            code.label(label)
            modrm = _AT_STATE | _COMPARISON_IN_MEMORY << 3
            code.add("", self.load_st0, pack_u16(opcode | modrm << 8), self.operand)
            if label == "word":
                code.jump("e9", "done")
        code.label("done")
        return code.finish()

    def _take_operand(self, load: str) -> bytes:
        """Keep an operand of 32 or 64 bits as it is: what it raises depends on st0 too."""
        code = Assembly()
        kind, move = (FROM_WORD, "89b7") if load == "flds" else (FROM_LONG_WORD, "4889b7")
        code.add(move, self.operand)  # mov [operand], esi or rsi
        code.add("c687", self.stack.operand_kind, d8(kind), b"\xc3")  # mov byte [kind of operand], ...; ret
        return code.finish()

    def _turn(self, adding: str) -> bytes:
        """Turn the stack by a register, and clear C1."""
        code = bytes.fromhex
        # mov eax, [top]; ...; and eax, 7; mov [top], eax; and word [status], not C1; ret
        turning = code("8b87") + self.top + code(adding) + code("83e007 8987") + self.top
        return turning + code("6681a7") + self.status + code("fffd c3")

    def _load_control(self, function: int) -> bytes:
        """Load the control word in esi without what isn't there, and tell whether anything waits by it.

        If it unmasks anything, instructions have to be watched first.
        """
        code = Assembly()
        code.add("81e6", d32(_CONTROL_BITS), b"\x83\xce" + d8(_CONTROL_ONE))  # and esi, ...; or esi, ...
        code.add("89f1 f7d1 f6c1", d8(MASKS))  # mov ecx, esi; not ecx; test cl, MASKS
        code.jump("84", "watched")  # jz watched
        code.add("80bf", self.watching, b"\0")  # cmp byte [watching], 0
        code.jump("85", "watched")  # jne watched
        code.leave(UNMASKING, self.raising)
        code.label("watched")
        # movzx eax, word [status]; and eax, not summary and busy; and ecx, eax; test cl, MASKS
        code.add("0fb787", self.status, b"\x25", d32(0xFFFF & ~(ERROR_SUMMARY | BUSY)))
        code.add("21c1 f6c1", d8(MASKS))
        code.jump("84", "nothing waits")  # jz nothing waits
        code.add("0d", d32(ERROR_SUMMARY | BUSY))  # or eax, summary and busy
        code.label("nothing waits")
        # mov [status], ax; mov rax, the function; jmp rax
        code.add("668987", self.status, b"\x48\xb8", q(function), b"\xff\xe0")
        return code.finish()

    def _store_decimal(self) -> bytes:
        """Store the decimal digits of st0 at rsi: nothing is told before they are stored.

        On the stack are the digits, the status at 16, a control word at 24, and rdi and rsi.
        """
        code = Assembly()
        code.add("4883ec38 48897c2420 4889742428")  # sub rsp, 56; mov [rsp + 32], rdi; mov [rsp + 40], rsi
        code.add("0fb787", self.control)  # movzx eax, word [control]
        code.add("dbe2 6689442418 d96c2418", self.take_top)  # fnclex; mov [rsp + 24], ax; fldcw [rsp + 24]
        # fbstp [rsp]; fnstsw [rsp + 16]; fnclex; mov word [rsp + 24], the C library's; fldcw [rsp + 24]
        code.add("", self.load_st0, bytes.fromhex("df3424 dd7c2410 dbe2 66c7442418"), _USUAL_CONTROL)
        code.add("d96c2418 0fb797", self.control)  # movzx edx, word [control]
        code.add("f7d2 83e2", d8(_NO_STORE), bytes.fromhex("84542410"))  # ...; test [rsp + 16], dl
        code.jump("85", "nothing")  # jnz nothing
        for function, loading in zip(self.storing, ("488b1424", "0fb7542408 4883c608"), strict=True):
            code.add("488b7c2420 488b742428")  # mov rdi, [rsp + 32]; mov rsi, [rsp + 40]
            # mov rdx, [rsp], or movzx edx, word [rsp + 8]; add rsi, 8; then mov rcx, [rsp + 56]
            code.add(loading + "488b4c2438 48b8", q(function), b"\xff\xd0")  # mov rax, function; call rax
        code.add("488b7c2420")  # mov rdi, [rsp + 32]
        self._tell_of_store(code)
        code.add("c3")
        code.label("nothing")
        code.add("dbe3")  # fninit
        self._tell_of_store(code)
        code.leave(ENDED, self.raising)
        return code.finish()

    def _tell_of_store(self, code: Assembly) -> None:
        """Put the status at rsp + 16 into the guest's, and give up what is on the stack."""
        # movzx edx, word [rsp + 16]; movzx ecx, word [status]; and ecx, not C1; and edx, exceptions and C1
        code.add("0fb7542410 0fb78f", self.status, b"\x81\xe1", d32(~_C1), b"\x81\xe2")
        code.add("", d32(_RAISED | _C1 | ERROR_SUMMARY | BUSY), b"\x09\xd1")  # ...; or ecx, edx
        code.add("66898f", self.status, bytes.fromhex("4883c438"))  # mov [status], cx; add rsp, 56

    def _examine(self, function: int) -> bytes:
        """Say what kind of number st0 is; of an empty register the library says it."""
        code = Assembly()
        # mov ecx, [top]; and ecx, 7; cmp byte [tags + rcx], 0
        code.add("8b8f", self.top, bytes.fromhex("83e107 80bc0f"), self.tags, b"\0")
        code.jump("84", "full")  # je full
        code.add("48b8", q(function), b"\xff\xe0")  # mov rax, the function; jmp rax
        code.label("full")
        code.add("", self.take_top, self.load_st0, bytes.fromhex("d9e5"), _NOTE_STATUS, b"\xdd\xd8")
        # movzx eax, word [rsp - 16]; movzx ecx, word [status]; and ecx, not conditions; and eax, conditions
        code.add("0fb74424f0 0fb78f", self.status, b"\x81\xe1", d32(~_CONDITIONS), b"\x25", d32(_CONDITIONS))
        code.add("09c1 66898f", self.status, b"\xc3")  # or ecx, eax; mov [status], cx; ret
        return code.finish()


_AT_STATE = 0x87
"""The ModRM byte of an operand at rdi and four bytes more."""
