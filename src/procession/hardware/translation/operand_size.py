"""How many bytes of memory the operand has that an instruction's ModRM byte names."""

from __future__ import annotations

from typing import Final

from procession.hardware.translation.decode import OPERAND_SIZE, VEX, WIDE, Instruction
from procession.hardware.translation.opcodes import (
    EXTENDED_RESTORE,
    EXTENDED_SAVE,
    TWO_BYTE_TABLE,
    VEX_TABLE,
)

EXTENDED_STATE_SIZE = 832
"""What XSAVE writes where there are x87, SSE and AVX."""
_LONG = 4
"""The bit of the last byte of a VEX prefix that says that vectors have 256 bits."""

# Sizes that depend on a prefix.
_OPERAND, _WORD_OR_WIDE, _FAR, _POINTER, _DOUBLE_OR_SHORT = -1, -2, -3, -4, -11
"""2, 4 or 8 bytes; 4 or 8; a far pointer; what goes to the stack; and 2 or 4."""
_PACKED, _HALF, _SCALAR, _MMX, _QUARTER, _EIGHTH = -5, -6, -7, -8, -9, -10
"""A whole vector register, its half, a float or double; an MMX register or a whole one; parts of it."""

_X87: Final = (
    (4,) * 8,
    (4, 0, 4, 4, 28, 2, 28, 2),
    (4,) * 8,
    (4, 4, 4, 4, 0, 10, 0, 10),
    (8,) * 8,
    (8, 8, 8, 8, 108, 0, 108, 2),
    (2,) * 8,
    (2, 2, 2, 2, 10, 8, 10, 8),
)
"""By the low bits of the opcode, then by the middle field of ModRM."""
_X87_16_BIT: Final = {28: 14, 108: 94}


def _one_byte() -> tuple[int, ...]:
    sizes = [0] * 256
    for row in range(0, 0x40, 8):
        sizes[row : row + 4] = (1, _OPERAND, 1, _OPERAND)
    sizes[0x63] = _DOUBLE_OR_SHORT
    sizes[0x69] = sizes[0x6B] = _OPERAND
    sizes[0x80:0x90] = (1, _OPERAND, 1, _OPERAND, *(1, _OPERAND) * 4, 2, 0, 2, _POINTER)
    for opcode in (0xC0, 0xC6, 0xD0, 0xD2, 0xF6, 0xFE):
        sizes[opcode : opcode + 2] = (1, _OPERAND)
    return tuple(sizes)


def _two_byte() -> tuple[int, ...]:
    sizes = [_MMX] * 256
    sizes[0x00:0x04] = (2, 10, 2, 2)
    sizes[0x10:0x18] = (_SCALAR, _SCALAR, 8, 8, _PACKED, _PACKED, 8, 8)
    sizes[0x0D] = 0
    sizes[0x18:0x20] = [0] * 8
    sizes[0x28:0x30] = (_PACKED, _PACKED, 8, _PACKED, 8, 8, _SCALAR, _SCALAR)
    sizes[0x40:0x50] = [_OPERAND] * 16
    sizes[0x51:0x60] = [_SCALAR] * 15
    sizes[0x5B] = _PACKED
    sizes[0x6E] = sizes[0x7E] = _WORD_OR_WIDE
    sizes[0x7C:0x7E] = (_PACKED, _PACKED)
    sizes[0x90:0xA0] = [1] * 16
    sizes[0xA0:0xC0] = [_OPERAND] * 32
    sizes[0xB0] = 1
    sizes[0xB2] = sizes[0xB4] = sizes[0xB5] = _FAR
    sizes[0xB6], sizes[0xB7], sizes[0xBE], sizes[0xBF] = 1, 2, 1, 2
    sizes[0xC0:0xC8] = (1, _OPERAND, _SCALAR, _WORD_OR_WIDE, 2, 0, _PACKED, 8)
    sizes[0xD0] = _PACKED
    return tuple(sizes)


def _three_byte_38() -> tuple[int, ...]:
    sizes = [_MMX] * 256
    sizes[0x13] = _HALF
    sizes[0x18:0x1B] = (4, 8, 16)
    for row in (0x20, 0x30):
        sizes[row : row + 6] = (_HALF, _QUARTER, _EIGHTH, _HALF, _QUARTER, _HALF)
    sizes[0x58:0x5B] = (4, 8, 16)
    sizes[0x78:0x7A] = (1, 2)
    sizes[0x90:0x94] = [_WORD_OR_WIDE] * 4
    for row in (0x90, 0xA0, 0xB0):
        # Multiplications with an addition: the scalar ones stand between the packed ones.
        sizes[row + 9 : row + 16 : 2] = [_WORD_OR_WIDE] * 4
    sizes[0xF0:0xF2] = (_OPERAND, _OPERAND)
    sizes[0xF2:0xF8] = [_WORD_OR_WIDE] * 6
    return tuple(sizes)


def _three_byte_3a() -> tuple[int, ...]:
    sizes = [_MMX] * 256
    sizes[0x0A:0x0C] = (4, 8)
    sizes[0x14:0x1A] = (1, 2, _WORD_OR_WIDE, 4, 16, 16)
    sizes[0x1D] = _HALF
    sizes[0x20:0x23] = (1, 4, _WORD_OR_WIDE)
    sizes[0x38:0x3A] = (16, 16)
    sizes[0xF0] = _WORD_OR_WIDE
    return tuple(sizes)


_ONE_BYTE, _TWO_BYTE, _THREE_38, _THREE_3A = _one_byte(), _two_byte(), _three_byte_38(), _three_byte_3a()
_NO_PREFIX, _PREFIX_66, _PREFIX_F3, _PREFIX_F2 = range(4)
_BY_PREFIX: Final = {
    # Opcode after 0F and mandatory prefix -> size, where the row's doesn't hold.
    (0x12, _PREFIX_F3): _PACKED,
    (0x16, _PREFIX_F3): _PACKED,
    (0x2A, _PREFIX_F3): _WORD_OR_WIDE,
    (0x2A, _PREFIX_F2): _WORD_OR_WIDE,
    (0x2C, _PREFIX_66): 16,
    (0x2D, _PREFIX_66): 16,
    (0x2C, _PREFIX_F3): 4,
    (0x2D, _PREFIX_F3): 4,
    (0x2E, _NO_PREFIX): 4,
    (0x2F, _NO_PREFIX): 4,
    (0x2E, _PREFIX_66): 8,
    (0x2F, _PREFIX_66): 8,
    (0x5A, _NO_PREFIX): _HALF,
    (0x60, _NO_PREFIX): 4,
    (0x61, _NO_PREFIX): 4,
    (0x62, _NO_PREFIX): 4,
    (0x7E, _PREFIX_F3): 8,
    (0xD6, _PREFIX_66): 8,
    (0xE6, _PREFIX_F3): _HALF,
}
_SHIFTS_BY_REGISTER: Final = frozenset((0xD1, 0xD2, 0xD3, 0xE1, 0xE2, 0xF1, 0xF2, 0xF3))
_STATE, _COMPARE_EIGHT, _DUPLICATION, _TABLE_REGISTERS = 0xAE, 0xC7, 0x12, 0x01


def operand_size(instruction: Instruction, raw: bytes) -> int:
    """How many bytes at the address of its memory operand the instruction reads or writes.

    0 for what names memory without looking there. Of a gather it's what one element at most has.
    """
    if not instruction.has_memory:
        return 0
    opcode, table, prefixes = instruction.opcode, instruction.table, instruction.prefixes
    is_wide = instruction.rex & WIDE != 0
    is_short = prefixes & OPERAND_SIZE != 0 and not is_wide
    length = 32 if prefixes & VEX and raw[instruction.opcode_offset - 1] & _LONG else 16
    field = instruction.modrm >> 3 & 7
    if table < TWO_BYTE_TABLE:
        if 0xD8 <= opcode <= 0xDF:
            size = _X87[opcode & 7][field]
            return _X87_16_BIT.get(size, size) if is_short else size
        size = _ONE_BYTE[opcode]
        if opcode == 0xFF and field >= 2:
            size = _FAR if field in (3, 5) else 8 if field in (2, 4) else _POINTER
        prefix = _NO_PREFIX
    else:
        number, prefix = divmod(table - (VEX_TABLE if table >= VEX_TABLE else TWO_BYTE_TABLE), 4)
        if number == 0:
            size = _two_byte_size(instruction, prefix, field, length)
        else:
            size = (_THREE_38 if number == 1 else _THREE_3A)[opcode]
            if number == 1 and opcode == 0xF0 and prefix == _PREFIX_F2:
                size = 1
    return _resolved(size, prefix, length, is_wide=is_wide, is_short=is_short)


def _two_byte_size(instruction: Instruction, prefix: int, field: int, length: int) -> int:
    """What `operand_size` says of opcodes after 0F, or one of the names that stand for it."""
    opcode = instruction.opcode
    if instruction.kind in (EXTENDED_SAVE, EXTENDED_RESTORE):
        return EXTENDED_STATE_SIZE
    if opcode == _STATE and prefix == _NO_PREFIX:
        return (512, 512, 4, 4, 0, 0, 0, 0)[field]
    if opcode == _STATE:
        return 0
    if opcode == _COMPARE_EIGHT:
        return (16 if instruction.rex & WIDE else 8) if field == 1 else 0
    if opcode == _TABLE_REGISTERS:
        return 2 if field in (4, 6) else 10 if field < 4 else 0
    if opcode == _DUPLICATION and prefix == _PREFIX_F2:
        return length if length > 16 else 8
    if opcode in _SHIFTS_BY_REGISTER and length > 16:
        return 16
    return _BY_PREFIX.get((opcode, prefix), _TWO_BYTE[opcode])


def _resolved(size: int, prefix: int, length: int, *, is_wide: bool, is_short: bool) -> int:
    if size >= 0:
        return size
    if size == _OPERAND:
        return 8 if is_wide else 2 if is_short else 4
    if size == _DOUBLE_OR_SHORT:
        return 2 if is_short else 4
    if size == _WORD_OR_WIDE:
        return 8 if is_wide else 4
    if size == _FAR:
        return 10 if is_wide else 4 if is_short else 6
    if size == _POINTER:
        return 2 if is_short else 8
    if size == _SCALAR and prefix in (_PREFIX_F3, _PREFIX_F2):
        return 4 if prefix == _PREFIX_F3 else 8
    if size == _MMX and prefix == _NO_PREFIX and length == 16:
        return 8
    if size in (_HALF, _QUARTER, _EIGHTH):
        return length >> (1, 0, 0, 2, 3)[_HALF - size]
    return length
