"""Where instructions of x86-64 begin in a run of code, and which of them no engine here knows.

VEX, EVEX and XOP are the encodings of AVX and what came after it. Their first bytes mean something else
inside of other instructions, so that only who knows the lengths of all finds them. The functions of the x87,
as sines and logarithms, are found in the same way: engines don't compute them in all their bits. So are
XBEGIN and XABORT, by which transactions begin and are given up: no processor here has any.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from procession.abi.word import pack_array
from procession.hardware.registers import RIP, set_register

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters

LONGEST_INSTRUCTION: Final = 15
AVX_ISNT_EMULATED: Final = "AVX isn't emulated"

_X87_ESCAPE: Final = 0xD9
_X87_FUNCTIONS: Final = frozenset((0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF8, 0xF9, 0xFB, 0xFD, 0xFE, 0xFF))
_X87_FUNCTION: Final = re.compile(b"\xd9[\xf0-\xf5\xf8\xf9\xfb\xfd-\xff]")
_MOVES_OF_CONSTANTS: Final = (0xC6, 0xC7)
_TRANSACTION: Final = re.compile(b"[\xc6\xc7]\xf8")
"""XABORT and XBEGIN are the only other functions of these opcodes."""
_VEX3, _VEX2, _EVEX, _POP_OR_XOP = 0xC4, 0xC5, 0x62, 0x8F
_TWO_BYTES: Final = 0x0F
_THREE_BYTES: Final = 0x38
_THREE_BYTES_AND_OPERAND: Final = 0x3A
_OPERAND_SIZE: Final = 0x66
_ADDRESS_SIZE: Final = 0x67
PREFIXES: Final = frozenset(
    (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, _OPERAND_SIZE, _ADDRESS_SIZE, 0xF0, 0xF2, 0xF3)
)
_ANY_PREFIX: Final = pack_array("B", (*sorted(PREFIXES), *range(0x40, 0x50)))
_WIDE: Final = 0x8
"""The bit of a REX prefix that says that operands have 64 bits."""

_WORD_MASK: Final = (1 << 64) - 1
_LOWER_HALF: Final = (1 << 32) - 1
_RSP: Final = 4
_RBP: Final = 5
_REGISTERS: Final = 0xC0
_SEGMENTS_WITH_BASES: Final = (0x64, 0x65)
_PUSHES: Final = frozenset((*range(0x50, 0x58), 0x68, 0x6A, 0x9C, 0xC8, 0xE8, 0x0FA0, 0x0FA8))
_PUSHES_OF_GROUP: Final = (2, 6)
"""call and push, of FF."""
_LEAVE: Final = 0xC9
_GROUP: Final = 0xFF
_POPS: Final = frozenset((*range(0x58, 0x60), 0x8F, 0x9D, 0xC2, 0xC3, _LEAVE, 0x0FA1, 0x0FA9))
"""leave among them, which takes rbp for rsp."""
_RETURN_AND_TAKE, _RETURN = 0xC2, 0xC3
_CALL_OF_GROUP, _JUMP_OF_GROUP = 2, 4
_OTHER_TRANSFERS: Final = frozenset(
    (*range(0x70, 0x80), *range(0xCA, 0xCE), 0xCF, *range(0xE0, 0xE4), 0xE8, 0xE9, 0xEB, 0xF1, _GROUP)
)
_SYSTEM_CALL: Final = b"\x0f\x05"
_ANY_FIELD: Final = 0xFF
_MODIFYING: Final = {
    **dict.fromkeys((8 * row + wide for row in range(7) for wide in (0, 1)), _ANY_FIELD),
    **dict.fromkeys((0x86, 0x87, 0xC0, 0xC1, *range(0xD0, 0xD4)), _ANY_FIELD),
    **dict.fromkeys((0x80, 0x81, 0x83), 0x7F),
    **{0xF6: 0x0C, 0xF7: 0x0C, 0xFE: 3, 0xFF: 3},
    **dict.fromkeys((0x0FA4, 0x0FA5, 0x0FAB, 0x0FAC, 0x0FAD, 0x0FB0, 0x0FB1, 0x0FB3), _ANY_FIELD),
    **dict.fromkeys((0x0FBB, 0x0FC0, 0x0FC1), _ANY_FIELD),
    **{0x0FBA: 0xE0, 0x0FC7: 2},
}
"""Opcodes of what changes its operand in memory: bits for the numbers in ModRM's middle that say so."""
_OF_SYSTEM_REGISTERS: Final = range(0x0F20, 0x0F24)
_BIT_OPERATIONS: Final = (0x0FA3, 0x0FAB, 0x0FB3, 0x0FBB)

# What follows an opcode.
_NOTHING, _BYTE, _WORD, _OPERAND, _WORD_AND_BYTE, _ADDRESS, _WIDE_OPERAND = range(7)
_BYTE_OF_GROUP, _OPERAND_OF_GROUP = 7, 8
_MODRM: Final = 0x10
_FIRST_TWO: Final = 0x20
"""In tables for machine code: only the first two functions of a group have the operand."""
_NO_TRANSACTION: Final = 0x40
"""In tables for machine code: it's what is sought if its ModRM byte is that of XABORT and XBEGIN."""


def _one_byte_opcodes() -> tuple[int, ...]:
    forms = [_NOTHING] * 256
    for row in range(0, 0x40, 8):
        forms[row : row + 6] = (_MODRM, _MODRM, _MODRM, _MODRM, _BYTE, _OPERAND)
    forms[0x63] = _MODRM
    forms[0x68:0x6C] = (_OPERAND, _MODRM | _OPERAND, _BYTE, _MODRM | _BYTE)
    forms[0x70:0x80] = [_BYTE] * 16
    forms[0x80:0x84] = (_MODRM | _BYTE, _MODRM | _OPERAND, _NOTHING, _MODRM | _BYTE)
    forms[0x84:0x90] = [_MODRM] * 12
    forms[0xA0:0xA4] = [_ADDRESS] * 4
    forms[0xA8:0xAA] = (_BYTE, _OPERAND)
    forms[0xB0:0xC0] = [_BYTE] * 8 + [_WIDE_OPERAND] * 8
    forms[0xC0:0xC3] = (_MODRM | _BYTE, _MODRM | _BYTE, _WORD)
    forms[0xC6:0xC9] = (_MODRM | _BYTE, _MODRM | _OPERAND, _WORD_AND_BYTE)
    forms[0xCA] = _WORD
    forms[0xCD] = _BYTE
    forms[0xD0:0xD4] = [_MODRM] * 4
    forms[0xD8:0xE0] = [_MODRM] * 8
    forms[0xE0:0xE8] = [_BYTE] * 8
    forms[0xE8:0xEC] = (_OPERAND, _OPERAND, _NOTHING, _BYTE)
    forms[0xF6:0xF8] = (_MODRM | _BYTE_OF_GROUP, _MODRM | _OPERAND_OF_GROUP)
    forms[0xFE:0x100] = (_MODRM, _MODRM)
    return tuple(forms)


def _two_byte_opcodes() -> tuple[int, ...]:
    forms = [_MODRM] * 256
    for first, last in ((0x04, 0x0C), (0x0E, 0x0E), (0x30, 0x37), (0x77, 0x77), (0xA0, 0xA2), (0xA8, 0xAA)):
        forms[first : last + 1] = [_NOTHING] * (last + 1 - first)
    forms[0xC8:0xD0] = [_NOTHING] * 8
    forms[0x80:0x90] = [_OPERAND] * 16
    for opcode in (0x0F, 0x70, 0x71, 0x72, 0x73, 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6):
        forms[opcode] = _MODRM | _BYTE
    return tuple(forms)


_ONE_BYTE_OPCODES: Final = _one_byte_opcodes()
_TWO_BYTE_OPCODES: Final = _two_byte_opcodes()


def _shapes() -> tuple[int, ...]:
    """For each opcode 1 and the length of its operand, with _MODRM; 0 for what isn't that simple."""
    lengths = {_NOTHING: 0, _BYTE: 1, _WORD: 2, _OPERAND: 4, _WORD_AND_BYTE: 3}
    shapes = [0] * 256
    for opcode, form in enumerate(_ONE_BYTE_OPCODES):
        if form & ~_MODRM in lengths:
            shapes[opcode] = (form & _MODRM) | (1 + lengths[form & ~_MODRM])
    for opcode in (*PREFIXES, *range(0x40, 0x50), _X87_ESCAPE, _TWO_BYTES, _VEX2, _VEX3, _EVEX, _POP_OR_XOP):
        shapes[opcode] = 0
    for opcode in _MOVES_OF_CONSTANTS:
        shapes[opcode] = 0
    return tuple(shapes)


_FIXED_LENGTHS: Final = {_NOTHING: 0, _BYTE: 1, _WORD: 2, _WORD_AND_BYTE: 3}


def prefix_bytes(code: bytes) -> int:
    """How many prefixes the instruction at the start of `code` has, REX among them."""
    position = 0
    while position < len(code) and (code[position] in PREFIXES or 0x40 <= code[position] < 0x50):
        position += 1
    return position


def modifies_operand(code: bytes) -> bool:
    """Whether the instruction at the start of `code` reads an operand in memory and writes to it."""
    position = prefix_bytes(code)
    number, operand = int.from_bytes(code[position : position + 1], "big"), code[position + 1 : position + 2]
    if number == _TWO_BYTES:
        number, operand = (
            int.from_bytes(code[position : position + 2], "big"),
            code[position + 2 : position + 3],
        )
    if not operand or operand[0] >= _REGISTERS:
        return False
    return _MODIFYING.get(number, 0) >> (operand[0] >> 3 & 7) & 1 != 0


def is_vector_extension(code: bytes) -> bool:
    """Whether the instruction at the start of `code` has a VEX, EVEX or XOP encoding."""
    position = prefix_bytes(code)
    return position < len(code) and _is_vector_opcode(code, position)


def is_transaction(code: bytes) -> bool:
    """Whether the instruction at the start of `code` is XBEGIN or XABORT."""
    position = prefix_bytes(code)
    return _TRANSACTION.match(code, position) is not None


def x87_function_at(code: bytes) -> tuple[int, int]:
    """Which x87 function is at the start of `code`, by its second byte, and the length; 0 for none."""
    position = prefix_bytes(code)
    if code[position : position + 1] == b"\xd9" and position + 1 < len(code):
        operation = code[position + 1]
        if operation in _X87_FUNCTIONS:
            return operation, position + 2
    return 0, 0


def _is_vector_opcode(code: bytes, position: int) -> bool:
    opcode = code[position]
    if opcode == _POP_OR_XOP:
        # As `pop` the field for a register is 0.
        return position + 1 < len(code) and code[position + 1] & 0x38 != 0
    return opcode in (_VEX2, _VEX3, _EVEX)


def find_unknown_instruction(code: bytes) -> int:
    """Where in straight-line `code` the first instruction begins that no engine executes; or -1.

    That is one with a VEX, EVEX or XOP encoding, one of transactions, or an x87 function. The offset is that
    of its prefixes, if it has any.
    """
    position = 0
    last = max(code.rfind(_VEX2), code.rfind(_VEX3), code.rfind(_EVEX), code.rfind(_POP_OR_XOP))
    for pattern in (_X87_FUNCTION, _TRANSACTION):
        for found in pattern.finditer(code):
            last = max(last, found.start())
    while position <= last:
        # The shapes that most instructions have, without a call.
        operands = position + 1
        opcode = code[position]
        if opcode & 0xF0 == 0x40 and operands < last:
            opcode = code[operands]
            operands += 1
        shape = _SHAPES[opcode]
        if shape & _MODRM:
            length = _SIMPLE_MODRM_LENGTHS[code[operands]] if operands <= last else 0
            if length:
                position = operands + length + (shape & ~_MODRM) - 1
                continue
        elif shape:
            position = operands + shape - 1
            continue
        length = instruction_length(code, position)
        if not length:
            return position
        position += length
    return -1


def instruction_length(code: bytes, start: int) -> int:
    """The length in bytes of the instruction at `start`, 0 if it's one that no engine executes.

    What isn't wholly in `code` may be taken for longer than that.
    """
    position, end = start, min(len(code), start + LONGEST_INSTRUCTION)
    operand_bytes, address_bytes, is_wide = 4, 8, False
    while position < end:
        opcode = code[position]
        if opcode & 0xF0 == 0x40:
            is_wide = opcode & _WIDE != 0
        elif opcode in PREFIXES:
            # A REX prefix counts only right before the opcode.
            is_wide = False
            if opcode == _OPERAND_SIZE:
                operand_bytes = 2
            elif opcode == _ADDRESS_SIZE:
                address_bytes = 4
        else:
            break
        position += 1
    else:
        return max(end - start, 1)
    if _is_vector_opcode(code, position):
        return 0
    position += 1
    if opcode == _X87_ESCAPE and position < len(code) and code[position] in _X87_FUNCTIONS:
        return 0
    if opcode in _MOVES_OF_CONSTANTS and code[position : position + 1] == b"\xf8":
        return 0
    form = _ONE_BYTE_OPCODES[opcode]
    if opcode == _TWO_BYTES and position < end:
        second = code[position]
        position += 1
        form = _TWO_BYTE_OPCODES[second]
        if second in (_THREE_BYTES, _THREE_BYTES_AND_OPERAND):
            position += 1
            form = _MODRM if second == _THREE_BYTES else _MODRM | _BYTE
    field = 0
    if form & _MODRM:
        if position >= end:
            return end - start
        modrm = code[position]
        field = modrm >> 3 & 7
        position += _modrm_length(modrm, code[position + 1] if position + 1 < len(code) else 0)
    return (
        position
        - start
        + _operand_length(form & ~_MODRM, field, 8 if is_wide else operand_bytes, address_bytes)
    )


def is_stack_fault(code: bytes, general: GeneralRegisters) -> bool:
    """Whether the instruction at the start of `code` can't reach what it has in the stack's segment.

    That is what is pushed and popped, and an operand in memory at rsp or rbp and something: where such an
    address isn't canonical, the processor raises another exception than elsewhere.
    """
    position, rex, is_elsewhere, is_short = 0, 0, False, False
    while position < len(code) and (code[position] in PREFIXES or code[position] & 0xF0 == 0x40):
        rex = code[position] if code[position] & 0xF0 == 0x40 else 0
        # Nor has a short address one that can't be.
        is_elsewhere |= code[position] in _SEGMENTS_WITH_BASES or code[position] == _ADDRESS_SIZE
        is_short |= code[position] == _OPERAND_SIZE
        position += 1
    if position >= len(code):
        return False
    opcode, position = code[position], position + 1
    form = _ONE_BYTE_OPCODES[opcode]
    if opcode == _TWO_BYTES and position < len(code):
        second, position = code[position], position + 1
        opcode, form = opcode << 8 | second, _TWO_BYTE_OPCODES[second]
        if second in (_THREE_BYTES, _THREE_BYTES_AND_OPERAND):
            position, form = position + 1, _MODRM
    modrm = code[position] if form & _MODRM and position < len(code) else _REGISTERS
    if opcode in _OF_SYSTEM_REGISTERS:
        # It names registers, whatever it looks like.
        return False
    if opcode in _PUSHES or (opcode == _GROUP and modrm >> 3 & 7 in _PUSHES_OF_GROUP):
        if not is_canonical(general[_RSP] - 8):
            return True
    elif opcode in _POPS and not is_canonical(general[_RBP if opcode == _LEAVE else _RSP]):
        return True
    if modrm >= _REGISTERS or is_elsewhere:
        return False
    base, address, position = modrm & 7, 0, position + 1
    if base == _RSP and position < len(code):
        sib, position = code[position], position + 1
        base = sib & 7
        index = sib >> 3 & 7 | (rex & 2) << 2
        if index != _RSP:
            address = general[index] << (sib >> 6)
    if base not in (_RSP, _RBP) or rex & 1 or (base == _RBP and modrm < 0x40):
        return False
    size = 0 if modrm < 0x40 else 1 if modrm < 0x80 else 4
    offset = int.from_bytes(code[position : position + size], "little", signed=True) if size else 0
    if opcode in _BIT_OPERATIONS:
        # The bit may be far from there.
        bit = general[modrm >> 3 & 7 | (rex & 4) << 1]
        width = 64 if rex & _WIDE else 16 if is_short else 32
        sign = 1 << width - 1
        bit = ((bit & (2 * sign - 1)) ^ sign) - sign
        offset += bit // width * (width // 8)
    return not is_canonical(address + general[base] + offset)


def take_branch_back(
    code: bytes, start: int, general: GeneralRegisters, bases: tuple[int, int], read: Callable[[int], int]
) -> bool:
    """Whether straight-line `code` at `start` ends in an indirect near branch that has led to where rip is.

    Then rip and rsp become what they were before: where a branch leads to an address that isn't canonical, it
    is what faults. What a call has pushed stays in memory, as it does with processors. `bases` are those of
    fs and gs, and `read` tells the quadword at an address, or -1.
    """
    position = 0
    while position < len(code):
        length = instruction_length(code, position)
        instruction = code[position : position + length]
        rest = instruction.lstrip(_ANY_PREFIX)
        if not rest or len(instruction) < length:
            break
        head, opcode = instruction[: -len(rest)], rest[0]
        function = rest[1] >> 3 & 7 if opcode == _GROUP else 0
        stack = general[_RSP]
        if opcode in (_RETURN, _RETURN_AND_TAKE):
            stack -= 8 + int.from_bytes(rest[1:], "little")
            target = read(stack & _WORD_MASK)
        elif function in (_CALL_OF_GROUP, _JUMP_OF_GROUP):
            stack += 8 if function == _CALL_OF_GROUP else 0
            registers = [stack if number == _RSP else general[number] for number in range(16)]
            target = _branch_target(head, rest[1:], registers, start + position + length, bases, read)
        elif opcode in _OTHER_TRANSFERS or rest.startswith(_SYSTEM_CALL):
            break
        else:
            position += length
            continue
        if target != general[RIP]:
            break
        set_register(general, _RSP, stack)
        set_register(general, RIP, start + position)
        return True
    return False


def _branch_target(
    head: bytes,
    operand: bytes,
    general: list[int],
    end: int,
    bases: tuple[int, int],
    read: Callable[[int], int],
) -> int:
    """What an indirect branch's operand says, with the prefixes in `head`; `end` is behind the branch."""
    rex = head[-1] if head and head[-1] & 0xF0 == 0x40 else 0
    modrm, place, address = operand[0], 1, 0
    base = modrm & 7
    if modrm >= _REGISTERS:
        return general[base | (rex & 1) << 3]
    if base == _RSP:
        sib, place = operand[1], 2
        base = sib & 7
        index = sib >> 3 & 7 | (rex & 2) << 2
        if index != _RSP:
            address = general[index] << (sib >> 6)
    size = (0, 1, 4)[modrm >> 6]
    if base == _RBP and modrm < 0x40:
        size = 4
        if place == 1:
            address = end
    else:
        address += general[base | (rex & 1) << 3]
    address += int.from_bytes(operand[place : place + size], "little", signed=True)
    if _ADDRESS_SIZE in head:
        address &= _LOWER_HALF
    for prefix in head:
        if prefix in _SEGMENTS_WITH_BASES:
            address += bases[prefix & 1]
    return read(address & _WORD_MASK)


def is_canonical(address: int) -> bool:
    """Whether the upper bits of an address of 64 are all as the highest of the others."""
    return (address + (1 << 47) & _WORD_MASK) >> 48 == 0


def _modrm_length(modrm: int, following: int) -> int:
    """How many bytes a ModRM byte takes with its SIB byte, which is `following` then, and displacement."""
    mode, register = modrm >> 6, modrm & 7
    if mode == 3:
        return 1
    length = 1
    if register == 4:
        length += 1
        register = following & 7
    if mode == 0:
        return length + 4 if register == 5 else length
    return length + (1 if mode == 1 else 4)


def _operand_length(form: int, field: int, operand_bytes: int, address_bytes: int) -> int:
    """How many bytes of an operand follow; `field` is the ModRM byte's."""
    if form == _ADDRESS:
        return address_bytes
    if form == _WIDE_OPERAND:
        return operand_bytes
    if form == _BYTE_OF_GROUP:
        return 1 if field < 2 else 0
    if form == _OPERAND or (form == _OPERAND_OF_GROUP and field < 2):
        return min(operand_bytes, 4)
    return _FIXED_LENGTHS.get(form, 0)


_SHAPES: Final = _shapes()
# The length of each ModRM byte with what follows, 0 where that depends on a SIB byte.
_SIMPLE_MODRM_LENGTHS: Final = tuple(
    0 if modrm & 0xC7 == 4 else _modrm_length(modrm, 0) for modrm in range(256)
)


def _length_tables() -> bytes:
    lengths = {_NOTHING: 0, _BYTE: 1, _WORD: 2, _OPERAND: 4, _WORD_AND_BYTE: 3}
    plain = list(_SHAPES)
    plain[0xB8:0xC0] = [1 + 4] * 8
    with_rex = list(_SHAPES)
    for table in (plain, with_rex):
        table[0xC6:0xC8] = (_MODRM | _NO_TRANSACTION | 1 + 1, _MODRM | _NO_TRANSACTION | 1 + 4)
        table[0xF6:0xF8] = (_MODRM | _FIRST_TWO | 1 + 1, _MODRM | _FIRST_TWO | 1 + 4)
    two_bytes = [
        form & _MODRM | 1 + lengths[form & ~_MODRM] if form & ~_MODRM in lengths else 0
        for form in _TWO_BYTE_OPCODES
    ]
    for opcode in (_THREE_BYTES, _THREE_BYTES_AND_OPERAND):
        two_bytes[opcode] = 0
    return pack_array("B", (*plain, *with_rex, *two_bytes, *_SIMPLE_MODRM_LENGTHS))


LENGTH_TABLES: Final = _length_tables()
"""For machine code, 256 bytes each. By the opcode, without a REX prefix, with one, and behind 0F: 1 and the
length of the operand, 0x10 if a ModRM byte is in front of it, 0x20 if only its first two functions have the
operand, and 0x40 if a ModRM byte of F8 makes it one of transactions; 0 for prefixes, for what no engine
executes, and where that isn't all. Then by the ModRM byte its length with what belongs to it, 0 if a SIB byte
does.
"""
