"""The x87's stack on the Unicorn engine: machine code that sees empty registers, and full ones on a push.

The library's functions don't look at the tags. The code here takes the place of those that move numbers:
where it meets a fault of the stack it says so in the status, and puts the indefinite number in the place of
the result; or if that exception isn't masked, ends the instruction there. What kind of operand that beside
st0 is and what came of a push is noted behind the library's operand, where there is nothing: what is done
with them is another function's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.word import pack_u16
from procession.hardware.engines.unicorn_machine_code import (
    BUSY,
    ENDED,
    ERROR_SUMMARY,
    Assembly,
    d32,
    q,
)

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_state import StateLayout

_C1, _INVALID_BY_STACK = 0x200, 0x41
_INDEFINITE = 0xC000_0000_0000_0000
_NOTE_OF_OPERAND, _NOTE_OF_PUSH = 12, 13
_FAILED, _MADE_ROOM = 1, 2
EMPTY, FROM_WORD, FROM_LONG_WORD = 1, 2, 3
"""Kinds of operands beside 0, a number of 80 bits: an empty register's, and what has come from memory as 32
and as 64 bits and is still that."""
PUSHING_LOADS = ("flds_ST0", "fldl_ST0", "fildl_ST0", "fildll_ST0", "fldt_ST0", "fbld_ST0")
STORES_OF_ST0 = ("fstt_ST0",)
CHANGES_OF_ST0 = ("fchs_ST0", "fabs_ST0")
SIMPLE_CONSTANTS = ("fld1_ST0", "fldz_ST0")
MOVES = ("fpush", "fmov_ST0_STN", "fmov_STN_ST0", "fmov_FT0_STN", "fxchg_ST0_STN", "fildl_FT0", "fldz_FT0")


class StackCode:
    """Makes the code for processors whose state is laid out as `layout` says; rdi is where that is.

    `raising` is the library's function that leaves translated code, see `Assembly.leave`.
    """

    __slots__ = (
        "control",
        "operand",
        "operand_end",
        "operand_kind",
        "push",
        "raising",
        "register_ends",
        "registers",
        "status",
        "tags",
        "top",
    )

    def __init__(self, layout: StateLayout, raising: int) -> None:
        self.raising = raising
        self.control, self.status = d32(layout.x87_control), d32(layout.x87_status)
        self.top, self.tags = d32(layout.x87_top), d32(layout.x87_tags)
        self.registers, self.register_ends = d32(layout.x87_registers), d32(layout.x87_registers + 8)
        self.operand, self.operand_end = d32(layout.x87_operand), d32(layout.x87_operand + 8)
        self.operand_kind = d32(layout.x87_operand + _NOTE_OF_OPERAND)
        self.push = d32(layout.x87_operand + _NOTE_OF_PUSH)

    # Parts

    def _fault(self, code: Assembly, condition: int = 0, *, has_pushed: bool = False) -> None:
        """Tell of a fault of the stack in the status.

        If it isn't masked that is the instruction's end, and what it has pushed is taken back.
        """
        unmasked, told = f"unmasked {len(code.code)}", f"told {len(code.code)}"
        self._clear_c1(code)
        code.add("f687", self.control, b"\1")  # test byte [control], 1
        code.jump("84", unmasked)  # jz unmasked
        code.add("66818f", self.status, pack_u16(_INVALID_BY_STACK | condition))  # or word [status], ...
        code.jump("e9", told)
        code.label(unmasked)
        if has_pushed:
            # mov edx, [top]; inc edx; and edx, 7; mov [top], edx
            code.add("8b97", self.top, bytes.fromhex("ffc2 83e207 8997"), self.top)
        summary = ERROR_SUMMARY | BUSY
        code.add("66818f", self.status, pack_u16(_INVALID_BY_STACK | condition | summary))
        code.leave(ENDED, self.raising)
        code.label(told)

    def _clear_c1(self, code: Assembly) -> None:
        code.add("6681a7", self.status, pack_u16(0xFFFF & ~_C1))  # and word [status], not C1

    def _find_top(self, code: Assembly) -> None:
        code.add("8b87", self.top, b"\x83\xe0\x07")  # mov eax, [top]; and eax, 7

    def _find_other(self, code: Assembly) -> None:
        # mov ecx, [top]; add ecx, esi; and ecx, 7
        code.add("8b8f", self.top, bytes.fromhex("01f1 83e107"))

    def _compare_top(self, code: Assembly) -> None:
        code.add("80bc07", self.tags, b"\0")  # cmp byte [tags + rax], 0

    def _fill_top(self, code: Assembly) -> None:
        code.add("c68407", self.tags, b"\0")  # mov byte [tags + rax], 0

    def _put_indefinite(self, code: Assembly) -> None:
        """Into the register number eax."""
        code.add("c1e004 48b9", q(_INDEFINITE))  # shl eax, 4; mov rcx, ...
        code.add("48898c07", self.registers)  # mov [registers + rax], rcx
        code.add("66c78407", self.register_ends, b"\xff\xff")  # mov word [registers + rax + 8], 0xffff

    def _copy(self, code: Assembly) -> None:
        """From the register number ecx to that of eax."""
        code.add("c1e004 c1e104")  # shl eax, 4; shl ecx, 4
        code.add("488b940f", self.registers)  # mov rdx, [registers + rcx]
        code.add("48899407", self.registers)  # mov [registers + rax], rdx
        code.add("0fb7940f", self.register_ends)  # movzx edx, word [registers + rcx + 8]
        code.add("66899407", self.register_ends)  # mov [registers + rax + 8], dx

    def _go_on(self, code: Assembly, function: int) -> None:
        code.add("48b8", q(function), b"\xff\xe0")  # mov rax, the function; jmp rax

    # What goes before other code

    def pushing(self) -> bytes:
        """What a load that pushes begins with: it ends there if there's no room."""
        code = Assembly()
        code.add("8b87", self.top, bytes.fromhex("83e801 83e007"))  # mov eax, [top]; sub eax, 1; and eax, 7
        self._compare_top(code)
        code.jump("85", "room")  # jne room
        self._fault(code, _C1)
        code.add("8987", self.top)  # mov [top], eax
        self._put_indefinite(code)
        code.add("c3")
        code.label("room")
        return code.finish()

    def pushed(self) -> bytes:
        """What begins a function that puts a number where a push has made room, unless it hasn't."""
        code = Assembly()
        self._find_top(code)
        # cmp byte [push], _FAILED; mov byte [push], 0
        code.add("80bf", self.push, bytes((_FAILED,)) + b"\xc6\x87", self.push, b"\0")
        code.jump("85", "room")  # jne room
        self._fault(code, _C1, has_pushed=True)
        self._fill_top(code)
        self._put_indefinite(code)
        code.add("c3")
        code.label("room")
        self._fill_top(code)
        return code.finish()

    def other_is_there(self) -> bytes:
        """What says that the operand beside st0 isn't an empty register's."""
        return bytes.fromhex("c687") + self.operand_kind + b"\0"  # mov byte [kind of operand], 0

    def stored(self) -> bytes:
        """What a store of st0 begins with: of an empty one it's the indefinite number's."""
        code = Assembly()
        self._find_top(code)
        self._compare_top(code)
        code.jump("84", "full")  # je full
        self._fault(code)
        self._put_indefinite(code)
        code.jump("e9", "store")
        code.label("full")
        self._clear_c1(code)
        code.label("store")
        return code.finish()

    def changed(self) -> bytes:
        """What a change of st0 begins with: it ends there if that's empty."""
        code = Assembly()
        self._find_top(code)
        self._compare_top(code)
        code.jump("84", "full")  # je full
        self._fault(code)
        self._fill_top(code)
        self._put_indefinite(code)
        code.add("c3")
        code.label("full")
        self._clear_c1(code)
        return code.finish()

    # Whole functions, by their names in MOVES

    def of(self, name: str, function: int) -> bytes:
        """The code for a function of MOVES, which is at `function` in the library."""
        code = Assembly()
        if name == "fpush":
            self._push(code)
        elif name == "fmov_ST0_STN":
            self._take(code)
        elif name == "fmov_STN_ST0":
            self._give(code)
        elif name == "fmov_FT0_STN":
            self._take_other(code)
        elif name == "fxchg_ST0_STN":
            self._exchange(code, function)
        else:
            code.code += self.other_is_there()
            if name == "fildl_FT0":
                code.add("897424e8 db4424e8 dbbf", self.operand)  # mov [rsp - 24], esi; fild of it; fstp
            else:
                code.add("48c787", self.operand, bytes(4))  # mov qword [operand], 0
                code.add("66c787", self.operand_end, bytes(2))  # mov word [operand + 8], 0
            code.add("c3")
        return code.finish()

    def _push(self, code: Assembly) -> None:
        code.add("8b87", self.top, bytes.fromhex("83e801 83e007"))  # mov eax, [top]; sub eax, 1; and eax, 7
        self._compare_top(code)
        code.jump("85", "room")  # jne room
        code.add("c687", self.push, bytes((_FAILED,)))  # mov byte [push], _FAILED
        code.jump("e9", "push")
        code.label("room")
        code.add("c687", self.push, bytes((_MADE_ROOM,)))  # mov byte [push], _MADE_ROOM
        self._clear_c1(code)
        code.label("push")
        code.add("8987", self.top, b"\xc3")  # mov [top], eax; ret

    def _take(self, code: Assembly) -> None:
        """st(n) to st0, which a push has made, and may be the same; without one it's a conditional move."""
        self._find_top(code)
        self._find_other(code)
        code.add("0fb6940f", self.tags)  # movzx edx, byte [tags + rcx]
        code.add("80bf", self.push, b"\0")  # cmp byte [push], 0
        code.jump("85", "pushed")  # jne pushed
        code.add("0a9407", self.tags)  # or dl, [tags + rax]
        code.label("pushed")
        code.add("84d2")  # test dl, dl
        code.jump("84", "full")  # jz full
        code.add("80bf", self.push, b"\0")  # cmp byte [push], 0
        code.jump("84", "no push")  # je no push
        code.add("c687", self.push, b"\0")  # mov byte [push], 0
        self._fault(code, has_pushed=True)
        code.jump("e9", "indefinite")
        code.label("no push")
        self._fault(code)
        code.label("indefinite")
        self._fill_top(code)
        self._put_indefinite(code)
        code.add("c3")
        code.label("full")
        # cmp byte [push], _FAILED; mov byte [push], 0
        code.add("80bf", self.push, bytes((_FAILED,)) + b"\xc6\x87", self.push, b"\0")
        code.jump("84", "no room")  # je no room
        self._fill_top(code)
        self._copy(code)
        code.add("c3")
        code.label("no room")
        self._fault(code, _C1, has_pushed=True)
        code.jump("e9", "indefinite")

    def _give(self, code: Assembly) -> None:
        """st0 to st(n)."""
        self._find_top(code)
        code.add("89c1 01f0 83e007")  # mov ecx, eax; add eax, esi; and eax, 7
        code.add("0fb6940f", self.tags)  # movzx edx, byte [tags + rcx]
        code.add("84d2")  # test dl, dl
        code.jump("84", "full")  # jz full
        self._fault(code)
        self._fill_top(code)
        self._put_indefinite(code)
        code.add("c3")
        code.label("full")
        self._clear_c1(code)
        self._fill_top(code)
        self._copy(code)
        code.add("c3")

    def _take_other(self, code: Assembly) -> None:
        """st(n) to the operand beside st0, with its tag."""
        self._find_other(code)
        code.add("0fb6840f", self.tags)  # movzx eax, byte [tags + rcx]
        code.add("8887", self.operand_kind, b"\xc1\xe1\x04")  # mov [kind of operand], al; shl ecx, 4
        code.add("488b940f", self.registers)  # mov rdx, [registers + rcx]
        code.add("488997", self.operand)  # mov [operand], rdx
        code.add("0fb7940f", self.register_ends)  # movzx edx, word [registers + rcx + 8]
        code.add("668997", self.operand_end, b"\xc3")  # mov [operand + 8], dx; ret

    def _exchange(self, code: Assembly, function: int) -> None:
        self._find_top(code)
        self._find_other(code)
        code.add("0fb69407", self.tags)  # movzx edx, byte [tags + rax]
        code.add("0a940f", self.tags, b"\x84\xd2")  # or dl, [tags + rcx]; test dl, dl
        code.jump("84", "full")  # jz full
        self._fault(code)
        code.add("89ca")  # mov edx, ecx: _put_indefinite takes rcx
        self._compare_top(code)
        code.jump("84", "other")  # je other
        self._fill_top(code)
        self._put_indefinite(code)
        code.label("other")
        code.add("89d0")  # mov eax, edx
        self._compare_top(code)
        code.jump("84", "exchange")  # je exchange
        self._fill_top(code)
        self._put_indefinite(code)
        code.jump("e9", "exchange")
        code.label("full")
        self._clear_c1(code)
        code.label("exchange")
        self._go_on(code, function)
