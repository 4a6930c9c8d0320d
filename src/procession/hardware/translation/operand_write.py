"""Whether an instruction writes to the operand in memory that its ModRM byte names."""

from __future__ import annotations

from typing import Final

from procession.hardware.translation.decode import Instruction
from procession.hardware.translation.opcodes import (
    THREE_BYTE_3A_TABLE,
    THREE_BYTE_38_TABLE,
    TWO_BYTE_TABLE,
    VEX_TABLE,
)

_NONE, _P66, _F3, _F2 = range(4)
"""The mandatory prefix, which says which of four tables an opcode is of."""
_COMPARE: Final = 7
_VEX_38_TABLE, _VEX_3A_TABLE = VEX_TABLE + 4, VEX_TABLE + 8

# Opcodes whose destination is the operand.
_ONE_BYTE: Final = frozenset(
    (
        # add, or, adc, sbb, and, sub, xor; cmp only reads.
        *(row * 8 + is_wide for row in range(_COMPARE) for is_wide in (0, 1)),
        *(0x86, 0x87, 0x88, 0x89, 0x8C, 0x8F),
        *(0xC0, 0xC1, 0xC6, 0xC7, 0xD0, 0xD1, 0xD2, 0xD3),
    )
)
_TWO_BYTE_WITH_ANY_PREFIX: Final = frozenset(
    (
        # setcc; shld, shrd; bts, btr, btc; cmpxchg, which writes what was there if it differs; xadd.
        *range(0x90, 0xA0),
        *(0xA4, 0xA5, 0xAC, 0xAD, 0xAB, 0xB3, 0xBB, 0xB0, 0xB1, 0xC0, 0xC1),
    )
)
_TWO_BYTE: Final = (
    frozenset((0x11, 0x13, 0x17, 0x29, 0x2B, 0x7E, 0x7F, 0xC3, 0xE7)),
    frozenset((0x11, 0x13, 0x17, 0x29, 0x2B, 0x7E, 0x7F, 0xD6, 0xE7)),
    frozenset((0x11, 0x7F)),
    frozenset((0x11,)),
)
_THREE_BYTE: Final = {
    THREE_BYTE_38_TABLE + _NONE: frozenset((0xF1,)),
    THREE_BYTE_38_TABLE + _P66: frozenset((0xF1,)),
    THREE_BYTE_3A_TABLE + _P66: frozenset((0x14, 0x15, 0x16, 0x17)),
    _VEX_38_TABLE + _P66: frozenset((0x2E, 0x2F, 0x8E)),
    _VEX_3A_TABLE + _P66: frozenset((0x14, 0x15, 0x16, 0x17, 0x19, 0x1D, 0x39)),
}

# Groups: opcode -> the middle fields of ModRM that say a destination.
_ONE_BYTE_GROUPS: Final = {
    **dict.fromkeys((0x80, 0x81, 0x83), range(_COMPARE)),
    0xD9: (2, 3, 6, 7),
    0xDB: (1, 2, 3, 7),
    0xDD: (1, 2, 3, 6, 7),
    0xDF: (1, 2, 3, 6, 7),
    **dict.fromkeys((0xF6, 0xF7), (2, 3)),
    **dict.fromkeys((0xFE, 0xFF), (0, 1)),
}
_TWO_BYTE_GROUPS: Final = {
    # fxsave, stmxcsr, xsave, xsaveopt; bts, btr, btc; cmpxchg8b and 16b, xsavec.
    0xAE: (0, 3, 4, 6),
    0xBA: (5, 6, 7),
    0xC7: (1, 4),
}


def writes_operand(instruction: Instruction) -> bool:
    """Whether its operand in memory is where a result goes; it has one."""
    table, opcode, field = instruction.table, instruction.opcode, instruction.modrm >> 3 & 7
    if table == 0:
        return opcode in _ONE_BYTE or field in _ONE_BYTE_GROUPS.get(opcode, ())
    if table < THREE_BYTE_38_TABLE:
        return (
            opcode in _TWO_BYTE_WITH_ANY_PREFIX
            or opcode in _TWO_BYTE[table - TWO_BYTE_TABLE]
            or field in _TWO_BYTE_GROUPS.get(opcode, ())
        )
    if VEX_TABLE <= table < _VEX_38_TABLE:
        return opcode in _TWO_BYTE[table - VEX_TABLE] or (opcode == 0xAE and field == 3)
    return opcode in _THREE_BYTE.get(table, ())
