"""Tables of what x86-64's opcodes mean, made from the lists."""

from __future__ import annotations

from functools import cache
from typing import Final

from procession.hardware.registers import NUMBERS
from procession.hardware.translation.opcode_lists import (
    ONE_BYTE,
    THREE_BYTE_3A_BY_PREFIX,
    THREE_BYTE_38_BY_PREFIX,
    TWO_BYTE,
    TWO_BYTE_BY_PREFIX,
    VEX_0F_BY_PREFIX,
    VEX_3A_BY_PREFIX,
    VEX_38_BY_PREFIX,
)

# What an instruction is to a translator. What isn't PLAIN can't be copied as it is, or not without a thought.
PLAIN = 0
JUMP = 1
CALL = 2
CONDITIONAL = 3
LOOP = 4
"""loop, loope, loopne and jrcxz."""
JUMP_INDIRECT = 5
CALL_INDIRECT = 6
RETURN = 7
SYSCALL = 8
INTERRUPT = 9
"""int n; int3 and int1 too, with `immediate` 3 and 1."""
CPUID = 10
TIMESTAMP = 11
"""rdtsc and rdtscp."""
RANDOM = 12
"""rdrand and rdseed."""
EXTENDED_CONTROL = 13
"""xgetbv."""
DESCRIPTOR = 14
"""What tells of descriptor tables: sgdt, sidt, sldt, str, smsw, lar, lsl, verr, verw."""
BASE = 15
"""rdfsbase, rdgsbase, wrfsbase and wrgsbase."""
SEGMENT_LOAD = 16
"""What loads a segment register: mov, pop, lss, lfs, lgs."""
PRIVILEGED = 17
"""What raises a general protection fault in user mode."""
FAR = 18
"""Transfers between segments: jmp, call and ret."""
INTERRUPT_RETURN = 19
REPEATED_STRING = 20
PUSH_FLAGS = 21
POP_FLAGS = 22
FLOATING_STORE = 23
"""What stores where the last instruction of the x87 was: fnstenv, fnsave, fxsave."""
EXTENDED_SAVE = 24
EXTENDED_RESTORE = 25
APPROXIMATION = 26
"""rcpps, rsqrtps and their like, whose results depend on who made the processor."""
INVALID = 27
TRUNCATED = 28
"""The bytes end before the instruction does."""
SEGMENT_STORE = 29
"""What tells a segment register: mov and push."""

KIND_NAMES = (
    *("plain", "jump", "call", "conditional", "loop", "jump-indirect", "call-indirect", "return", "syscall"),
    *("interrupt", "cpuid", "timestamp", "random", "extended-control", "descriptor", "base", "segment-load"),
    *("privileged", "far", "interrupt-return", "repeated-string", "push-flags", "pop-flags"),
    *("floating-store", "extended-save", "extended-restore", "approximation", "invalid", "truncated"),
    "segment-store",
)

CARRY, PARITY, ADJUST, ZERO, SIGN, DIRECTION, OVERFLOW = 1, 4, 0x10, 0x40, 0x80, 0x400, 0x800
STATUS_FLAGS = CARRY | PARITY | ADJUST | ZERO | SIGN | OVERFLOW

# How flags are used: (read, written, left undefined), written and undefined only where that is certain.
_FLAG_LETTERS = {
    "c": CARRY, "p": PARITY, "a": ADJUST, "z": ZERO, "s": SIGN, "d": DIRECTION, "o": OVERFLOW, "-": 0,
}  # fmt: skip
_USES = {
    "none": "- - -",
    "arithmetic": "- cpazso -",
    "carrying": "c cpazso -",
    "logic": "- cpzso a",
    "increment": "- pazso -",
    "condition": "- - -",
    "product": "- co pazs",
    "quotient": "- - cpazso",
    "shift": "- - -",
    "shift-one": "- cpzso a",
    "shift-many": "- cpzs ao",
    "rotate-one": "- co -",
    "rotate-many": "- c o",
    "carry-rotate": "c - -",
    "carry-rotate-one": "c co -",
    "carry-rotate-many": "c c o",
    "double-shift-one": "- cpzso a",
    "double-shift-many": "- cpzs ao",
    "bit-test": "- c paso",
    "bit-scan": "- z cpaso",
    "bit-count": "- cz paso",
    "set-carry": "- c -",
    "complement": "c c -",
    "set-direction": "- d -",
    "store": "cpazs - -",
    "load": "- cpazs -",
    "read-all": "cpazsdo - -",
    "write-all": "- cpazsdo -",
    "string": "d - -",
    "string-compare": "d cpazso -",
    "zero": "- z -",
    "reads-zero": "z - -",
    "extract": "- czo pas",
    "lowest-bit": "- czso pa",
}
USE_NAMES: Final = tuple(_USES)


def _flags_of_uses(column: int) -> tuple[int, ...]:
    return tuple(sum(_FLAG_LETTERS[letter] for letter in text.split()[column]) for text in _USES.values())


READS: Final = _flags_of_uses(0)
WRITES: Final = _flags_of_uses(1)
UNDEFINES: Final = _flags_of_uses(2)
NO_USE = 0
CONDITION_USE: Final = USE_NAMES.index("condition")
SHIFT_USE: Final = USE_NAMES.index("shift")
STRING_USE: Final = USE_NAMES.index("string")
STRING_COMPARE_USE: Final = USE_NAMES.index("string-compare")
# For each register field of the shift group: the use if the count is 1, if it's more, if it isn't known.
SHIFT_USES: Final = tuple(
    tuple(USE_NAMES.index(name) for name in names)
    for names in (
        *(("rotate-one", "rotate-many", "none"),) * 2,
        *(("carry-rotate-one", "carry-rotate-many", "carry-rotate"),) * 2,
        *(("shift-one", "shift-many", "none"),) * 4,
    )
)
DOUBLE_SHIFT_USES: Final = (USE_NAMES.index("double-shift-one"), USE_NAMES.index("double-shift-many"), NO_USE)
# What each condition reads: o, c, z, c|z, s, p, s^o, z|(s^o), each followed by its opposite.
CONDITION_READS: Final = tuple(
    flags
    for flags in (
        *(OVERFLOW, CARRY, ZERO, CARRY | ZERO, SIGN, PARITY, SIGN | OVERFLOW, ZERO | SIGN | OVERFLOW),
    )
    for _ in range(2)
)

# The fields of an entry: the kind of immediate, bits, and numbers above them.
IMMEDIATE_MASK = 0xF
NO_IMMEDIATE, BYTE, WORD, OPERAND, WIDE_OPERAND = 0, 1, 2, 3, 4
WORD_AND_BYTE, ADDRESS, TARGET_BYTE, TARGET = 5, 6, 7, 8
MODRM, MEMORY_ONLY, REGISTER_ONLY = 1 << 4, 1 << 5, 1 << 6
REG_IS_GENERAL, RM_IS_GENERAL, VVVV_IS_GENERAL, VVVV_IS_USED = 1 << 7, 1 << 8, 1 << 9, 1 << 10
OPCODE_REGISTER = 1 << 11
REG_IS_BYTE, RM_IS_BYTE, LOCKABLE, VECTOR_INDEX, IS_GROUP = 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16
ONLY_W0, ONLY_W1, ONLY_L0, ONLY_L1 = 1 << 17, 1 << 18, 1 << 19, 1 << 20
IS_FLOATING = 1 << 21
KIND_SHIFT, USE_SHIFT, IMPLICIT_SHIFT = 24, 30, 38
"""The kind has 6 bits, the use of flags 8, the registers that it always uses 16."""
VALID = 1 << 22

_IMMEDIATES = {
    "Ib": BYTE, "L": BYTE, "Iw": WORD, "Iz": OPERAND, "Iv": WIDE_OPERAND, "Iwb": WORD_AND_BYTE,
    "O": ADDRESS, "Jb": TARGET_BYTE, "Jz": TARGET,
}  # fmt: skip
_OPERANDS = {
    "E": MODRM | RM_IS_GENERAL,
    "Eb": MODRM | RM_IS_GENERAL | RM_IS_BYTE,
    "M": MODRM | MEMORY_ONLY,
    "R": MODRM | RM_IS_GENERAL | REGISTER_ONLY,
    "G": MODRM | REG_IS_GENERAL,
    "Gb": MODRM | REG_IS_GENERAL | REG_IS_BYTE,
    "Z": OPCODE_REGISTER,
    "Zb": OPCODE_REGISTER | REG_IS_BYTE,
    "V": MODRM,
    "W": MODRM,
    "U": MODRM | REGISTER_ONLY,
    "X": MODRM | MEMORY_ONLY | VECTOR_INDEX,
    "H": VVVV_IS_USED,
    "B": VVVV_IS_USED | VVVV_IS_GENERAL,
    "lock": LOCKABLE,
    "W0": ONLY_W0,
    "W1": ONLY_W1,
    "L0": ONLY_L0,
    "L1": ONLY_L1,
    "float": MODRM | IS_FLOATING,
}  # fmt: skip
_ARITHMETIC = (
    *("arithmetic", "logic", "carrying", "carrying", "logic", "arithmetic", "logic", "arithmetic"),
)
_COMPARE = 7
_FIRST_FORMS = ("Eb Gb", "E G", "Gb Eb", "G E", "Ib +rax", "Iz +rax")


@cache
def _entry(text: str) -> int:
    """The entry that `text` describes; 0 for a dash."""
    if text == "-":
        return 0
    entry, kind, use, implicit = VALID, PLAIN, NO_USE, 0
    for word in text.split():
        if word in _OPERANDS:
            entry |= _OPERANDS[word]
        elif word in _IMMEDIATES:
            entry |= _IMMEDIATES[word]
        elif word[0] == "+":
            implicit |= 1 << NUMBERS[word[1:]]
        elif word in KIND_NAMES:
            kind = KIND_NAMES.index(word)
        else:
            use = USE_NAMES.index(word)
    return entry | kind << KIND_SHIFT | use << USE_SHIFT | implicit << IMPLICIT_SHIFT


def _fill(table: list[int], text: str) -> None:
    """Put what a list says into the table of its opcodes."""
    for line in text.replace("\\\n", "").splitlines():
        if not line:
            continue
        span, _, rest = line.partition(" ")
        first, _, last = span.partition("-")
        if "{" in rest or "|" in rest:
            forms = [form.strip() for form in rest.strip("{ }").split(";")]
            entry = VALID | MODRM | IS_GROUP | len(GROUPS) << KIND_SHIFT
            if len(forms) == 1:
                forms *= 8
            for side in (0, -1):
                GROUPS.extend(_entry(form.split("|")[side].strip()) for form in forms)
        else:
            entry = _entry(rest)
        for opcode in range(int(first, 16), int(last or first, 16) + 1):
            table[opcode] = entry


_LISTS: Final[tuple[tuple[str, ...], ...]] = (
    (ONE_BYTE,),
    *((TWO_BYTE, text) for text in TWO_BYTE_BY_PREFIX),
    *((text,) for text in (*THREE_BYTE_38_BY_PREFIX, *THREE_BYTE_3A_BY_PREFIX)),
    *((text,) for text in (*VEX_0F_BY_PREFIX, *VEX_38_BY_PREFIX, *VEX_3A_BY_PREFIX)),
)
"""What says what is in each table."""
TABLES: Final[list[list[int]]] = [[] for _ in _LISTS]
"""Entries by opcode, empty until they're made: most programs take few tables.

The first table is that of opcodes of one byte. Then come, four by the mandatory prefix, 0F, 0F 38, 0F 3A and
these three again as VEX encodes them.
"""
TWO_BYTE_TABLE, THREE_BYTE_38_TABLE, THREE_BYTE_3A_TABLE, VEX_TABLE = 1, 5, 9, 13

GROUPS: Final[list[int]] = []
"""Entries of groups: eight for memory, eight for registers."""


def make_table(number: int) -> list[int]:
    """The entries of table `number`, which is asked for the first time."""
    table = [0] * 256
    if number == 0:
        for row, use in enumerate(_ARITHMETIC):
            for column, form in enumerate(_FIRST_FORMS):
                lock = " lock" if column < 2 and row != _COMPARE else ""
                table[row * 8 + column] = _entry(f"{form} {use}{lock}")
    for text in _LISTS[number]:
        _fill(table, text)
    TABLES[number] = table
    return table


# What the x87 has: in memory, a bit for each middle field of ModRM; in registers, a bit for each ModRM byte.
FLOATING_MEMORY = (0xFF, 0xFD, 0xFF, 0xAF, 0xFF, 0xDF, 0xFF, 0xFF)


def _bits(*spans: tuple[int, int]) -> int:
    return sum(1 << byte - 0xC0 for first, last in spans for byte in range(first, last + 1))


FLOATING_REGISTERS: Final = (
    _bits((0xC0, 0xFF)),
    _bits((0xC0, 0xD0), (0xD8, 0xE1), (0xE4, 0xE5), (0xE8, 0xEE), (0xF0, 0xFF)),
    _bits((0xC0, 0xDF), (0xE9, 0xE9)),
    _bits((0xC0, 0xE4), (0xE8, 0xF7)),
    _bits((0xC0, 0xFF)),
    _bits((0xC0, 0xEF)),
    _bits((0xC0, 0xD7), (0xD9, 0xD9), (0xE0, 0xFF)),
    _bits((0xC0, 0xE0), (0xE8, 0xF7)),
)
