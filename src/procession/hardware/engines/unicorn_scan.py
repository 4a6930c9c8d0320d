"""Machine code that looks through each block that the library has translated, for what it may have mistaken.

Those are instructions with a VEX or XOP encoding, XBEGIN and XABORT, and the x87's functions; EVEX and what
VEX reserves the library refuses by itself. One block in five has a byte with which such an instruction could
begin, and nearly always it belongs to another one: so the code goes from instruction to instruction up to the
last such byte, as far as all on the way have forms of which a table tells the length. Only if one hasn't, or
one is what is sought, it's for Python to look.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

from procession.hardware.engines.unicorn_machine_code import Assembly, d8, d32, q
from procession.hardware.instruction import LENGTH_TABLES
from procession.hardware.page_table import ADDRESS_MASK

_CODE: Final = 1024
"""Where the code begins, behind the tables."""
_BLOCK_SIZE: Final = 10
"""Where a block's size is in what the library tells of it; its address is at the start."""
_SEGMENTS: Final = (0x64, 0x2E, 0x3E)
"""The prefixes of segments that compilers write: of a thread's own data, of long nops, of jumps without a
landing place."""


class BlockScan:
    """The code and its tables, in memory of their own: `keeper`. `address` is where to call it."""

    __slots__ = ("address", "keeper")

    def __init__(self, cr3_address: int, memory_address: int, callback_address: int) -> None:
        """Called as (uc, block translated, block before, data) it calls back if the block is suspicious.

        The callback gets (uc, block translated, where its code is in the host's memory, 0 if it isn't all
        there). The block is found by way of the page tables, whose root is told at `cr3_address`, in the
        machine's memory at `memory_address`.
        """
        self.keeper = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.keeper))
        self.address = start + _CODE
        code = Assembly()
        _find_block(code, cr3_address, memory_address)
        look_through(code, start)
        code.label("ask")
        code.add("4c89c2")  # mov rdx, r8
        code.label("call")
        code.add("48b8", q(callback_address), b"\xff\xe0")  # mov rax, callback; jmp rax
        code.label("scattered")
        code.add("31d2")  # xor edx, edx
        code.jump("e9", "call")  # jmp call
        code.label("return")
        code.add("c3")  # ret
        image = LENGTH_TABLES + code.finish()
        self.keeper[: len(image)] = image


def _find_block(code: Assembly, cr3_address: int, memory_address: int) -> None:
    """r8 and r9 become where the block at rsi begins and ends in the host's memory."""
    code.add("4c8b06")  # mov r8, [rsi]; the block's address
    code.add("440fb74e", d8(_BLOCK_SIZE))  # movzx r9d, word [its size]
    code.add("48b8", q(cr3_address), b"\x48\x8b\x00")  # mov rax, cr3's address; mov rax, [rax]
    code.add("49ba", q(memory_address))  # mov r10, the frames' address
    code.add("49bb", q(ADDRESS_MASK))  # mov r11, ADDRESS_MASK
    for shift in (39, 30, 21, 12):
        code.add("4c21d8 4c89c1 48c1e9", d8(shift))  # and rax, r11; mov rcx, r8; shr rcx, shift
        code.add("81e1ff010000 4c01d0")  # and ecx, 511; add rax, r10
        code.add("488b04c8 a801")  # mov rax, [rax + rcx * 8]; test al, PRESENT
        code.jump("84", "scattered")  # jz scattered
    code.add("4c21d8 4489c1 81e1ff0f0000")  # and rax, r11; mov ecx, r8d; and ecx, 4095
    code.add("4801c8 4c01d0 4401c9")  # add rax, rcx; add rax, r10; add ecx, r9d
    code.add("81f900100000")  # cmp ecx, 4096
    code.jump("87", "scattered")  # ja scattered
    code.add("4989c0 4901c1")  # mov r8, rax; add r9, rax


def look_through(code: Assembly, tables: int) -> None:
    """Go on at "return" if no instruction between r8 and r9 is sought, at "ask" if one may be. `tables` is
    where LENGTH_TABLES are.
    """
    _find_last(code)
    code.add("49bb", q(tables), b"\x4c\x89\xc0")  # mov r11, tables; mov rax, r8
    code.label("instruction")
    code.add("4c39d0")  # cmp rax, r10
    code.jump("87", "return")  # ja return
    code.add("0fb608 488d5001 4531c9")  # movzx ecx, byte [rax]; lea rdx, [rax + 1]; xor r9d, r9d
    code.label("prefixes")
    for prefix in _SEGMENTS:
        code.add("81f9", d32(prefix))  # cmp ecx, prefix
        code.jump("84", "prefix")  # je prefix
    code.add("83f966")  # cmp ecx, 0x66
    code.jump("84", "operand size")  # je operand size
    code.add("89c8 83c801 3df3000000")  # mov eax, ecx; or eax, 1; cmp eax, 0xf3
    code.jump("85", "no prefix")  # jne no prefix
    code.label("prefix")
    _next_byte(code)
    code.jump("e9", "prefixes")
    code.label("operand size")
    code.add("41b901000000")  # mov r9d, 1
    code.jump("e9", "prefix")
    code.label("no prefix")
    code.add("89c8 25f0000000 83f840")  # mov eax, ecx; and eax, 0xf0; cmp eax, 0x40
    code.jump("85", "no rex")  # jne no rex
    _next_byte(code)
    code.add("81c900010000")  # or ecx, 1 << 8; the second table
    code.label("no rex")
    code.add("0fb6c1 83f80f")  # movzx eax, cl; cmp eax, 0x0f
    code.jump("85", "opcode")  # jne opcode
    _next_byte(code)
    code.add("81c900020000")  # or ecx, 2 << 8; the third one
    code.label("opcode")
    code.add("410fb60c0b 85c9")  # movzx ecx, byte [r11 + rcx]; test ecx, ecx
    code.jump("84", "ask")  # jz ask
    code.add("4585c9")  # test r9d, r9d
    code.jump("84", "sized")  # jz sized
    code.add("89c8 83e00f 83f805")  # mov eax, ecx; and eax, 15; cmp eax, 5: four bytes may be two
    code.jump("83", "ask")  # jae ask
    code.label("sized")
    code.add("f6c110")  # test cl, 0x10: whether a ModRM byte follows
    code.jump("84", "operand")  # jz operand
    code.add("4c39d2")  # cmp rdx, r10
    code.jump("87", "ask")  # ja ask
    code.add("0fb602 f6c140")  # movzx eax, byte [rdx]; test cl, 0x40
    code.jump("84", "no move")  # jz no move
    code.add("3df8000000")  # cmp eax, 0xf8
    code.jump("84", "ask")  # je ask
    code.label("no move")
    code.add("f6c120")  # test cl, 0x20
    code.jump("84", "no group")  # jz no group
    code.add("a830")  # test al, 0x30: the upper two bits of the function
    code.jump("84", "no group")  # jz no group
    code.add("b901000000")  # mov ecx, 1
    code.label("no group")
    code.add("83e10f 410fb6840300030000 85c0")  # and ecx, 15; movzx eax, [r11 + rax + 3 << 8]; test ...
    code.jump("84", "sib")  # jz sib
    code.add("4801c2")  # add rdx, rax
    code.label("operand")
    code.add("488d440aff")  # lea rax, [rdx + rcx - 1]
    code.jump("e9", "instruction")
    code.label("sib")
    code.add("4c39d2")  # cmp rdx, r10
    code.jump("83", "ask")  # jae ask
    code.add("0fb602 3d80000000")  # movzx eax, byte [rdx]; cmp eax, 0x80
    code.jump("83", "four")  # jae four
    code.add("83f840")  # cmp eax, 0x40
    code.jump("83", "one")  # jae one
    code.add("0fb64201 83e007 83f805")  # movzx eax, byte [rdx + 1]; and eax, 7; cmp eax, 5
    code.jump("84", "four")  # je four
    for label, length in (("none", 2), ("one", 3), ("four", 6)):
        code.label(label)
        code.add("4883c2", d8(length))  # add rdx, length: of the displacement and two bytes
        code.jump("e9", "operand")


def _next_byte(code: Assembly) -> None:
    """ecx becomes the next byte, at rdx, which goes on; up to the last suspicious one."""
    code.add("4c39d2")  # cmp rdx, r10
    code.jump("87", "ask")  # ja ask
    code.add("0fb60a 48ffc2")  # movzx ecx, byte [rdx]; inc rdx


def _find_last(code: Assembly) -> None:
    """r10 becomes where the last byte is with which an instruction that is sought could begin."""
    code.add("4d89ca")  # mov r10, r9
    code.label("before")
    code.add("4d39c2")  # cmp r10, r8
    code.jump("86", "return")  # jbe return
    code.add("49ffca 410fb60a 498d5201")  # dec r10; movzx ecx, byte [r10]; lea rdx, [r10 + 1]
    for opcode, label in ((0xC5, "last"), (0xC4, "vex"), (0x8F, "xop")):
        code.add("81f9", d32(opcode))  # cmp ecx, opcode
        code.jump("84", label)  # je label
    code.add("89c8 83c801 3dc7000000")  # mov eax, ecx; or eax, 1; cmp eax, 0xc7
    code.jump("84", "move")  # je move
    code.add("81f9d9000000")  # cmp ecx, 0xd9
    code.jump("85", "before")  # jne before
    code.add("4c39ca")  # cmp rdx, r9
    code.jump("83", "before")  # jae before
    code.add("803af0")  # cmp byte [rdx], 0xf0
    code.jump("82", "before")  # jb before
    code.jump("e9", "last")
    code.label("move")
    code.add("4c39ca")  # cmp rdx, r9
    code.jump("83", "before")  # jae before
    code.add("803af8")  # cmp byte [rdx], 0xf8
    code.jump("85", "before")  # jne before
    code.jump("e9", "last")
    code.label("vex")
    code.add("4c39ca")
    code.jump("83", "last")
    # Which table of opcodes: the library refuses all but 1 to 3.
    code.add("0fb612 83e21f ffca 83fa03")  # movzx edx, byte [rdx]; and edx, 31; dec edx; cmp edx, 3
    code.jump("83", "before")  # jae before
    code.jump("e9", "last")
    code.label("xop")
    code.add("4c39ca")
    code.jump("83", "last")
    code.add("f60238")  # test byte [rdx], 0x38: as `pop` the field for a register is 0
    code.jump("84", "before")  # jz before
    code.label("last")
