"""Fills a stub's tables of jumps with what was kept of a page, before any of that is missed.

Which of it the tables have makes no difference to what is counted. It's done in machine code: a page has
dozens of places that lead to it, and a program some hundred pages.
"""

from __future__ import annotations

import ctypes
from typing import Final

from procession.hardware.engines.native.machine_code import address_of, map_code
from procession.hardware.translation import layout
from procession.hardware.translation.assembler import CARRY, RDX, ZERO, Assembler, signed_32
from procession.hardware.translation.kept_code import KeptPage

_MAILBOX_BYTES = 128
_FROM, _LEADS, _STANZAS, _PADS, _LINK_TABLE, _FIRST_TABLE, _RETURN_TABLE, _EMPTY, _RETURN_BITS = range(9)
"""The words of the mailbox: where a page's words are, how many each kind has, in their order there, where the
stub's tables are, what the first table has where it leads nowhere, and the bits of an address that say which
place it has in that of returns.
"""
_LINK_MASK: Final = layout.MAXIMUM_LINKS - 1


class TableFiller:
    """Machine code that fills tables. `words` are those that `base` is the address of; `orders` says whose
    tables were filled last.
    """

    __slots__ = ("base", "call", "code", "mailbox", "orders", "words")

    def __init__(self, empty: int, return_bits: int) -> None:
        """`empty` is what the first table has where it leads nowhere, `return_bits` say which place a return
        has in its table.

        Raises StubUnavailable.
        """
        self.code, self.mailbox = map_code(_assemble(), _MAILBOX_BYTES)
        self.call = ctypes.PYFUNCTYPE(ctypes.c_int)(address_of(self.code) + _MAILBOX_BYTES)
        self.mailbox[_EMPTY], self.mailbox[_RETURN_BITS] = empty, return_bits
        self.base = self.orders = 0
        self.words: memoryview[int] | None = None

    def fill(self, kept: KeptPage, orders: int) -> int:
        """Let the tables of the stub whose orders are at the address `orders` lead to a page; how many jumps
        didn't find their place free in the first table.
        """
        mailbox, words = self.mailbox, kept.words
        if words is not self.words:
            self.words = words
            self.base = ctypes.addressof(ctypes.c_char.from_buffer(words))
        if orders != self.orders:
            self.orders = orders
            mailbox[_LINK_TABLE] = orders + layout.LINKS - layout.ORDERS
            mailbox[_FIRST_TABLE] = orders + layout.FIRST_TABLE - layout.ORDERS
            mailbox[_RETURN_TABLE] = orders + layout.RETURN_TABLE - layout.ORDERS
        mailbox[_FROM] = self.base + 8 * kept.first
        mailbox[_LEADS], mailbox[_STANZAS], mailbox[_PADS] = kept.counts[:3]
        taken: int = self.call()
        return taken


def _assemble() -> Assembler:
    code = Assembler()
    code.address(RDX, "mailbox")

    def begin(kind: int, table: int) -> None:
        # rsi has the keys, r8 what belongs to them, rcx how many there are, rdi the table.
        code.put(b"\x48\x8b\x4a%c" % (8 * kind), "4c 8d 04 ce", b"\x48\x8b\x7a%c" % (8 * table))
        code.label(f"next {kind}")
        code.put("48 83 e9 01")  # sub rcx, 1
        code.branch(CARRY, f"end {kind}")

    def end(kind: int) -> None:
        code.jump(f"next {kind}")
        code.label(f"end {kind}")
        code.put(b"\x48\x8b\x4a%c" % (8 * kind), "49 8d 34 c8")  # mov rcx, count; lea rsi, [r8 + rcx * 8]

    code.put("48 8b 32", "4c 8b 52 38", "45 31 db")  # mov rsi, [rdx]; mov r10, [rdx + 56]; xor r11d, r11d
    begin(_LEADS, _LINK_TABLE)
    code.put("8b 04 ce", "25", signed_32(_LINK_MASK))  # mov eax, [rsi + rcx * 8]; and eax, ...
    code.put("4d 8b 0c c8", "4c 89 0c c7")  # mov r9, [r8 + rcx * 8]; mov [rdi + rax * 8], r9
    end(_LEADS)
    begin(_STANZAS, _FIRST_TABLE)
    code.put("0f b7 04 ce", "4d 8b 0c c8")  # movzx eax, word [rsi + rcx * 8]; mov r9, [r8 + rcx * 8]
    code.put("4c 39 14 c7")  # cmp [rdi + rax * 8], r10
    code.branch(ZERO ^ 1, "taken")
    code.put("4c 89 0c c7")  # mov [rdi + rax * 8], r9
    code.jump(f"next {_STANZAS}")
    code.label("taken")
    code.put("41 ff c3")  # inc r11d
    end(_STANZAS)
    code.put(b"\x4c\x8b\x52%c" % (8 * _RETURN_BITS))  # mov r10, [rdx + ...]
    begin(_PADS, _RETURN_TABLE)
    code.put("48 8b 04 ce", "c4 c2 fa f5 c2")  # mov rax, [rsi + rcx * 8]; pext rax, rax, r10
    code.put("4d 8b 0c c8", "48 83 3c c7 00")  # mov r9, [r8 + rcx * 8]; cmp qword [rdi + rax * 8], 0
    code.branch(ZERO ^ 1, f"next {_PADS}")
    code.put("4c 89 0c c7")  # mov [rdi + rax * 8], r9
    end(_PADS)
    code.put("44 89 d8", "c3")  # mov eax, r11d
    return code
