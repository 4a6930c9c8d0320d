"""Machine code from its parts: the few instructions that are made, not copied."""

from __future__ import annotations

from functools import cache

from procession.abi.word import pack_u32, pack_u64

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)
OVERFLOW, CARRY, ZERO, SIGN, NOT_GREATER = 0, 2, 4, 8, 14
"""Conditions of jumps; with 1 added each is its opposite."""

WORD_MASK = (1 << 64) - 1
signed_32, unsigned_64 = pack_u32, pack_u64


@cache
def store(register: int, offset: int) -> bytes:
    """mov gs:[offset], register"""
    return b"\x65%c\x89%c%%" % (0x48 | register >> 3 << 2, 4 | (register & 7) << 3) + signed_32(offset)


@cache
def fetch(register: int, offset: int) -> bytes:
    """mov register, gs:[offset]"""
    return b"\x65%c\x8b%c%%" % (0x48 | register >> 3 << 2, 4 | (register & 7) << 3) + signed_32(offset)


def store_constant(offset: int, value: int) -> bytes:
    """mov qword gs:[offset], value (sign-extended from 32 bits)"""
    return b"\x65\x48\xc7\x04\x25" + signed_32(offset) + signed_32(value)


def set_register(register: int, value: int) -> bytes:
    """mov register, value: the shortest form; the flags stay as they are."""
    value &= WORD_MASK
    if value < 1 << 32:
        prefix = b"\x41" if register >= R8 else b""
        return prefix + b"%c" % (0xB8 | register & 7) + signed_32(value)
    if value >= (1 << 64) - (1 << 31):
        return b"%c\xc7%c" % (0x48 | register >> 3, 0xC0 | register & 7) + signed_32(value - (1 << 64))
    return b"%c%c" % (0x48 | register >> 3, 0xB8 | register & 7) + unsigned_64(value)


class Assembler:
    """Code with labels. `base` is where its first byte will be executed."""

    __slots__ = ("base", "code", "fixups", "labels")

    def __init__(self, base: int = 0) -> None:
        self.base = base
        self.code = bytearray()
        self.labels: dict[str, int] = {}
        self.fixups: list[tuple[int, str, int]] = []

    def put(self, *parts: bytes | str) -> None:
        """Add machine code, in hexadecimal where it's text."""
        for part in parts:
            self.code += bytes.fromhex(part) if isinstance(part, str) else part

    def label(self, name: str) -> None:
        """What comes next is called `name`."""
        self.labels[name] = len(self.code)

    def jump(self, name: str) -> None:
        """jmp name"""
        self.put(b"\xe9")
        self._displacement(name)

    def branch(self, condition: int, name: str) -> None:
        """jcc name"""
        self.put(b"\x0f%c" % (0x80 | condition))
        self._displacement(name)

    def address(self, register: int, name: str) -> None:
        """lea register, [rip + name]"""
        self.put(b"%c\x8d%c" % (0x48 | register >> 3 << 2, 5 | (register & 7) << 3))
        self._displacement(name)

    def _displacement(self, name: str) -> None:
        self.fixups.append((len(self.code), name, len(self.code) + 4))
        self.code += bytes(4)

    def finish(self) -> bytes:
        """The code, with the labels put in. Raises KeyError for one that isn't there."""
        for place, name, origin in self.fixups:
            self.code[place : place + 4] = signed_32(self.labels[name] - origin)
        self.fixups.clear()
        return bytes(self.code)
