"""Which bytes of memory an instruction is about to read or write, by its encoding and the registers.

So watchpoints work on every engine: none has debug registers, and nobody sees afterwards what was read, or
written where the same was before. Not told is what gathers access, whose addresses are in vector registers,
and what far calls and returns do with the stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.hardware.registers import RAX, RBP, RBX, RCX, RDI, RIP, RSI, RSP, WORD_MASK
from procession.hardware.translation.decode import (
    ADDRESS_SIZE,
    FS,
    GS,
    OPERAND_SIZE,
    REPEAT,
    REPEAT_NOT,
    WIDE,
    Instruction,
    decode,
)
from procession.hardware.translation.opcodes import (
    FAR,
    INTERRUPT_RETURN,
    INVALID,
    THREE_BYTE_38_TABLE,
    TRUNCATED,
    TWO_BYTE_TABLE,
    VEX_TABLE,
)
from procession.hardware.translation.operand import effective_address
from procession.hardware.translation.operand_size import operand_size
from procession.hardware.translation.operand_write import writes_operand

if TYPE_CHECKING:
    from procession.hardware.registers import Registers

Access = tuple[int, int, bool]
"""An address, how many bytes from there on, and whether they are written."""

_NOT_KNOWN: Final = frozenset((INVALID, TRUNCATED, FAR, INTERRUPT_RETURN))
_LOW_HALF, _WORD = 0xFFFF_FFFF, 8
_STRINGS: Final = {
    # Opcode without its lowest bit -> whether it accesses [rsi], and [rdi], and writes there.
    0xA4: (True, True, True),
    0xA6: (True, True, False),
    0xAA: (False, True, True),
    0xAC: (True, False, False),
    0xAE: (False, True, False),
}
_GROUP, _CALL_FIELD, _PUSH_FIELD, _POP_TO_MEMORY = 0xFF, 2, 6, 0x8F
_MOVES_OF_RAX: Final = range(0xA0, 0xA4)
_FIRST_STORE_OF_RAX: Final = 0xA2
_PUSHES: Final = frozenset((*range(0x50, 0x58), 0x68, 0x6A, 0x9C))
_POPS: Final = frozenset((*range(0x58, 0x60), _POP_TO_MEMORY, 0x9D))
_TWO_BYTE_PUSHES, _TWO_BYTE_POPS = (0xA0, 0xA8), (0xA1, 0xA9)
_RETURNS, _CALL, _ENTER, _LEAVE, _LOOK_UP = (0xC2, 0xC3), 0xE8, 0xC8, 0xC9, 0xD7
_BIT_TESTS: Final = frozenset((0xA3, 0xAB, 0xB3, 0xBB))
_MASKED_MOVE = 0xF7
_GATHERS, _GATHER_TABLE = range(0x90, 0x94), VEX_TABLE + 5


def accesses(code: bytes, registers: Registers) -> list[Access]:
    """What the instruction at the beginning of `code` is about to access, with these registers.

    rip is where it is. Of a repeated instruction it's one round.
    """
    instruction = decode(code, 0)
    found: list[Access] = []
    if instruction.kind in _NOT_KNOWN:
        return found
    table = instruction.table
    if instruction.has_memory and not (table == _GATHER_TABLE and instruction.opcode in _GATHERS):
        _add_operand(found, instruction, code, registers)
    if table == 0:
        _add_implicit(found, instruction, code, registers)
    elif table < THREE_BYTE_38_TABLE or VEX_TABLE <= table < VEX_TABLE + 4:
        _add_implicit_of_two_bytes(found, instruction, registers)
    return found


def _segment_base(instruction: Instruction, registers: Registers) -> int:
    if instruction.prefixes & FS:
        return registers.fs_base
    return registers.gs_base if instruction.prefixes & GS else 0


def _width(instruction: Instruction) -> int:
    """How many bytes the operand size says."""
    if instruction.rex & WIDE:
        return _WORD
    return 2 if instruction.prefixes & OPERAND_SIZE else 4


def _width_in_stack(instruction: Instruction) -> int:
    return 2 if instruction.prefixes & OPERAND_SIZE and not instruction.rex & WIDE else _WORD


def _add_operand(found: list[Access], instruction: Instruction, code: bytes, registers: Registers) -> None:
    size = operand_size(instruction, code)
    if not size:
        return
    general = registers.general
    behind = general[RIP] + instruction.length
    address = effective_address(instruction, code, general, behind, _segment_base(instruction, registers))
    if instruction.opcode in _BIT_TESTS and TWO_BYTE_TABLE <= instruction.table < THREE_BYTE_38_TABLE:
        # The register says which bit, of all that lie before and behind the address.
        bits = size * 8
        number = general[instruction.modrm >> 3 & 7 | (instruction.rex & 4) << 1] & (1 << bits) - 1
        number -= (number >> bits - 1) << bits
        address = address + number // bits * size & WORD_MASK
    elif (
        instruction.table == 0
        and instruction.opcode == _POP_TO_MEMORY
        and _is_based_on_stack(instruction, code)
    ):
        # The address is that after the pop.
        address = address + size & WORD_MASK
    found.append((address, size, writes_operand(instruction)))


def _is_based_on_stack(instruction: Instruction, code: bytes) -> bool:
    """Whether rsp is the base of the operand's address."""
    at = instruction.opcode_offset + 1
    return code[at] & 7 == RSP and code[at + 1] & 7 == RSP and not instruction.rex & 1


def _add_implicit(found: list[Access], instruction: Instruction, code: bytes, registers: Registers) -> None:
    """What is accessed beside the operand of ModRM."""
    opcode, prefixes, general = instruction.opcode, instruction.prefixes, registers.general
    in_stack = _width_in_stack(instruction)
    field = instruction.modrm >> 3 & 7
    mask = _LOW_HALF if prefixes & ADDRESS_SIZE else WORD_MASK
    if opcode in _PUSHES or (opcode == _GROUP and field == _PUSH_FIELD):
        found.append((general[RSP] - in_stack & WORD_MASK, in_stack, True))
    elif opcode in _POPS:
        found.append((general[RSP], in_stack, False))
    elif opcode in (_CALL, _ENTER) or (opcode == _GROUP and field == _CALL_FIELD):
        found.append((general[RSP] - _WORD & WORD_MASK, _WORD, True))
    elif opcode in _RETURNS:
        found.append((general[RSP], _WORD, False))
    elif opcode == _LEAVE:
        found.append((general[RBP], in_stack, False))
    elif opcode == _LOOK_UP:
        address = general[RBX] + (general[RAX] & 0xFF) & mask
        found.append((address + _segment_base(instruction, registers) & WORD_MASK, 1, False))
    elif opcode in _MOVES_OF_RAX:
        start = instruction.opcode_offset + 1
        address = int.from_bytes(code[start : instruction.length], "little")
        size = _width(instruction) if opcode & 1 else 1
        is_store = opcode >= _FIRST_STORE_OF_RAX
        found.append((address + _segment_base(instruction, registers) & WORD_MASK, size, is_store))
    elif opcode & ~1 in _STRINGS:
        if prefixes & (REPEAT | REPEAT_NOT) and not general[RCX] & mask:
            return
        has_source, has_target, is_store = _STRINGS[opcode & ~1]
        size = _width(instruction) if opcode & 1 else 1
        if has_source:
            address = (general[RSI] & mask) + _segment_base(instruction, registers)
            found.append((address & WORD_MASK, size, False))
        if has_target:
            found.append((general[RDI] & mask, size, is_store))


def _add_implicit_of_two_bytes(found: list[Access], instruction: Instruction, registers: Registers) -> None:
    opcode, general = instruction.opcode, registers.general
    in_stack = _width_in_stack(instruction)
    if opcode in _TWO_BYTE_PUSHES:
        found.append((general[RSP] - in_stack & WORD_MASK, in_stack, True))
    elif opcode in _TWO_BYTE_POPS:
        found.append((general[RSP], in_stack, False))
    elif opcode == _MASKED_MOVE and instruction.modrm >= 0xC0:
        size = 8 if instruction.table == TWO_BYTE_TABLE else 16
        mask = _LOW_HALF if instruction.prefixes & ADDRESS_SIZE else WORD_MASK
        address = (general[RDI] & mask) + _segment_base(instruction, registers)
        found.append((address & WORD_MASK, size, True))
