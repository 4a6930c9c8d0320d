"""Instructions with another memory operand than they had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.translation.assembler import WORD_MASK, signed_32
from procession.hardware.translation.decode import ADDRESS_SIZE, GS, REX_PREFIX, VEX, Instruction
from procession.hardware.translation.opcodes import THREE_BYTE_38_TABLE, TWO_BYTE_TABLE

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters

NO_SEGMENT = b"\x3e"
"""A prefix of a segment without a base: none, but as long as one."""
_SHORT_PREFIX, _VEX3 = b"\x67", 0xC4
_ABSOLUTE = b"\x04\x25"
_BASE_AND_INDEX = 3
_VEX3_BYTES = 3
_VEX_BASE_AND_INDEX = 0x60
_SPARE = (0, 1, 2, 3, 6, 7)
"""Registers that an instruction may lend: those that no prefix is needed for, without rsp and rbp."""


def spare_registers(instruction: Instruction) -> list[int]:
    """The registers below r8 that the instruction doesn't use."""
    used = instruction.registers
    return [register for register in _SPARE if not used >> register & 1]


def operand_end(instruction: Instruction, raw: bytes) -> int:
    """Where in `raw` the memory operand ends that begins with the ModRM byte."""
    position = instruction.opcode_offset + 1
    modrm = raw[position]
    mode, base = modrm >> 6, modrm & 7
    position += 1
    if base == 4:
        base = raw[position] & 7
        position += 1
    if mode == 1:
        return position + 1
    if mode == 2 or base == 5:
        return position + 4
    return position


def effective_address(
    instruction: Instruction, raw: bytes, general: GeneralRegisters, behind: int, base: int
) -> int:
    """Which address the memory operand names: `behind` is where the next instruction is, `base` is added."""
    modrm, rex = instruction.modrm, instruction.rex
    mode, register = modrm >> 6, modrm & 7
    end = operand_end(instruction, raw)
    length = (0, 1, 4)[mode]
    address = 0
    if register == 4:
        sib = raw[instruction.opcode_offset + 2]
        index = sib >> 3 & 7 | (rex & 2) << 2
        if index != 4:
            address += general[index] << (sib >> 6)
        register = sib & 7
        if register == 5 and mode == 0:
            length = 4
        else:
            address += general[register | (rex & 1) << 3]
    elif register == 5 and mode == 0:
        length = 4
        address += behind
    else:
        address += general[register | (rex & 1) << 3]
    address += int.from_bytes(raw[end - length : end], "little", signed=True)
    if instruction.prefixes & ADDRESS_SIZE:
        address &= 0xFFFF_FFFF
    return address + base & WORD_MASK


def operand_at(register: int) -> bytes:
    """ModRM and what follows it for [register], one of those that are spare."""
    return b"%c" % register


def operand_at_sum(first: int, second: int) -> bytes:
    """The same for [first + second]."""
    return b"\x04%c" % (second << 3 | first)


def absolute_operand(address: int) -> bytes:
    """The same for an address below 2^31."""
    return _ABSOLUTE + signed_32(address)


def prefixes_end(instruction: Instruction, raw: bytes) -> int:
    """Where the prefixes end; behind them are escapes before the opcode, or the bytes of VEX, which may hold
    anything.
    """
    start = instruction.opcode_offset
    if not instruction.prefixes & VEX:
        return start
    return start - 3 if start >= 3 and raw[start - 3] == _VEX3 else start - 2


def without_segments(head: bytes) -> bytes:
    """Prefixes without fs and gs; as long, as REX counts right before an opcode alone."""
    return head.replace(b"\x65", NO_SEGMENT).replace(b"\x64", NO_SEGMENT)


def with_operand(instruction: Instruction, raw: bytes, operand: bytes) -> bytes:
    """The instruction `raw` with `operand` for its memory operand; if it was at gs, without that, and with an
    address of 64 bits.
    """
    start = instruction.opcode_offset
    head = bytearray(raw[: start + 1])
    end = prefixes_end(instruction, raw)
    if instruction.prefixes & VEX:
        if start - end == _VEX3_BYTES:
            head[start - 2] |= _VEX_BASE_AND_INDEX
    elif instruction.prefixes & REX_PREFIX:
        table = instruction.table
        escapes = 0 if table < TWO_BYTE_TABLE else 1 if table < THREE_BYTE_38_TABLE else 2
        head[start - escapes - 1] &= ~_BASE_AND_INDEX & 0xFF
    if instruction.prefixes & GS:
        plain = without_segments(bytes(head[:end]))
        head[:end] = plain.replace(_SHORT_PREFIX, NO_SEGMENT)
    modrm = instruction.modrm & 0x38 | operand[0]
    return bytes(head) + b"%c" % modrm + operand[1:] + raw[operand_end(instruction, raw) :]
