"""How long instructions take on the host's processor, in quarters of a nanosecond, as far as that matters.

A loop counts a unit for its jump, whatever is in it. Where a block takes much longer than that, the rest of
its time is counted too: that of many instructions in a row, and of the few that take as long as dozens of
others.
"""

from __future__ import annotations

from typing import Final

from procession.hardware.translation.decode import LOCK, REPEAT, Instruction
from procession.hardware.translation.opcodes import (
    THREE_BYTE_3A_TABLE,
    THREE_BYTE_38_TABLE,
    VEX_TABLE,
)

UNIT: Final = 48
"""What a unit of work may take: then a second of them takes three of the host's."""
PLAIN_PRICE: Final = 1
_FIRST_ESCAPE, _LAST_ESCAPE, _X87, _DIVISION_FIELDS, _DIVISION = 0xD8, 0xDF, 8, (6, 7), 18
_EXTENDED_GROUP, _EXCHANGE_GROUP = 0xAE, 0xC7
_PAUSE, _PAUSE_PRICE, _OTHER_REGISTER = 0x90, 90, 1
_EXCHANGES, _LOCKED = (0x86, 0x87), 24
_OF_THREE_BYTES: Final = {
    **dict.fromkeys((0x40, 0x41), 18),  # dpps, dppd
    0x42: 7,  # mpsadbw
    **dict.fromkeys((0x60, 0x61, 0x62, 0x63), 8),  # comparisons of strings
}

_IN_MEMORY: Final = {
    (0xD9, 4): 110,  # fldenv
    (0xD9, 6): 120,  # fnstenv
    (0xDD, 4): 140,  # frstor
    (0xDD, 6): 160,  # fnsave
    (0xDF, 4): 30,  # fbld
    (0xDF, 6): 170,  # fbstp
    (_EXTENDED_GROUP, 0): 80,  # fxsave
    (_EXTENDED_GROUP, 1): 200,  # fxrstor
    (_EXTENDED_GROUP, 4): 100,  # xsave
    (_EXTENDED_GROUP, 5): 200,  # xrstor
    (_EXTENDED_GROUP, 6): 300,  # clwb
    (_EXTENDED_GROUP, 7): 300,  # clflush
    (_EXCHANGE_GROUP, 1): 60,  # cmpxchg16b
}
_IN_REGISTERS: Final = {
    (0xD9, 0xFA): 25,  # fsqrt
    (0xDB, 0xE3): 100,  # fninit
    (0xDF, 0xE0): 20,  # fnstsw
    # f2xm1, fyl2x, fptan, fpatan, fprem1, fprem, fyl2xp1, fsincos, fsin, fcos
    **{(0xD9, byte): 140 for byte in (0xF0, 0xF1, 0xF2, 0xF3, 0xF5, 0xF8, 0xF9, 0xFB, 0xFE, 0xFF)},
    # lfence, mfence, whose lowest three bits don't matter
    **{(_EXTENDED_GROUP, byte): 25 for byte in range(0xE8, 0xF0)},
    **{(_EXTENDED_GROUP, byte): 80 for byte in range(0xF0, 0xF8)},
}
_OF_TWO_BYTES: Final = {
    0x02: 50,  # lar
    0x03: 50,  # lsl
    0x1C: 90,  # cldemote, or else nop
    0x51: 22,  # square roots
    **dict.fromkeys((0x2A, 0x2C, 0x2D, 0x58, 0x59, 0x5A, 0x5B, 0x5C, 0x5D, 0x5F, 0xAF, 0xC2, 0xF5), 6),
    0x5E: 15,  # divisions; others on floating-point numbers, imul and pmaddwd stand before
    0xF7: 20,  # maskmovdqu
}
_OF_ONE_BYTE: Final = {
    0x8E: 32,  # mov to a segment register
    0xC8: 15,  # enter
    0xF6: 8,  # products and divisions
    0xF7: 12,
    # cld and std, which take turns: one that changes nothing takes a twentieth of that
    **dict.fromkeys((0xFC, 0xFD), 120),
}
DEAR_OPCODES: Final = frozenset(
    [
        *range(_FIRST_ESCAPE, _LAST_ESCAPE + 1),
        *(_EXTENDED_GROUP, _EXCHANGE_GROUP, _PAUSE, *_EXCHANGES, *_OF_THREE_BYTES),
        *(*_OF_TWO_BYTES, *_OF_ONE_BYTE),
    ]
)
"""The opcodes, in any table, of what may have another price than most."""


def is_exchange(instruction: Instruction) -> bool:
    """Whether it would be a pause, but exchanges rax with r8."""
    return (
        instruction.opcode == _PAUSE
        and instruction.table == 0
        and instruction.prefixes & REPEAT != 0
        and instruction.rex & _OTHER_REGISTER != 0
    )


def price_of(instruction: Instruction) -> int:
    """How long it takes, if its opcode is among the dear ones or it's locked."""
    opcode, modrm, table = instruction.opcode, instruction.modrm, instruction.table
    price = PLAIN_PRICE
    if table == 0:
        if _FIRST_ESCAPE <= opcode <= _LAST_ESCAPE:
            field = modrm >> 3 & 7
            if not opcode & 1 and field in _DIVISION_FIELDS:
                return _DIVISION
            prices = _IN_MEMORY if instruction.has_memory else _IN_REGISTERS
            return prices.get((opcode, field if instruction.has_memory else modrm), _X87)
        price = _OF_ONE_BYTE.get(opcode, PLAIN_PRICE)
        if opcode == _PAUSE and instruction.prefixes & REPEAT and not is_exchange(instruction):
            price = _PAUSE_PRICE
        elif opcode in _EXCHANGES and instruction.has_memory:
            price = _LOCKED
    elif table < THREE_BYTE_38_TABLE or VEX_TABLE <= table < VEX_TABLE + 4:
        price = _OF_TWO_BYTES.get(opcode, PLAIN_PRICE)
        if opcode in (_EXTENDED_GROUP, _EXCHANGE_GROUP):
            prices = _IN_MEMORY if instruction.has_memory else _IN_REGISTERS
            price = prices.get((opcode, modrm >> 3 & 7 if instruction.has_memory else modrm), PLAIN_PRICE)
    elif THREE_BYTE_3A_TABLE <= table < VEX_TABLE:
        price = _OF_THREE_BYTES.get(opcode, PLAIN_PRICE)
    return max(price, _LOCKED) if instruction.prefixes & LOCK else price
