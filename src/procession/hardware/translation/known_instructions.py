"""Instructions that were met before, found by the bytes that tell what they are.

Most of a program's instructions differ from others in an immediate or a displacement alone. So each form is
decoded once, and found by its prefixes, opcode, ModRM and SIB bytes. Which forms are known makes no
difference to what an instruction is.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from procession.abi.word import Words
from procession.hardware.translation.decode import (
    GS,
    LOCK,
    LONGEST_INSTRUCTION,
    Instruction,
    decode,
)
from procession.hardware.translation.opcodes import (
    CALL,
    CONDITIONAL,
    JUMP,
    PLAIN,
    TWO_BYTE_TABLE,
)
from procession.hardware.translation.price import PLAIN_PRICE, is_exchange, price_of

_SIGNED_32: Final = Words("<i")
_Form: TypeAlias = "Instruction | dict[int, _Form]"

_MOST_FORMS: Final = 1 << 15
"""When there are so many, as no compiler makes, all are forgotten: their number is the guest's to choose."""
_FIRST_BYTES: Final = 2
_TRANSFERS: Final = (CONDITIONAL, JUMP, CALL)
_SHIFTS_BY_IMMEDIATE: Final = (0xC0, 0xC1)
_DOUBLE_SHIFTS_BY_IMMEDIATE: Final = (0xA4, 0xAC)
_REGISTER = 0xC0
_SIB = 4


class KnownInstructions:
    """`of_one_byte` has what its first byte tells, `forms` what its first two do; where these don't tell it
    yet, by the next ones. `count` says how many there are.
    """

    __slots__ = ("count", "forms", "of_one_byte")

    def __init__(self) -> None:
        self.of_one_byte: list[Instruction | None] = [None] * 256
        self.forms: dict[bytes, _Form] = {}
        self.count = 0

    def find(self, code: bytes, start: int) -> Instruction:
        """What `decode` answers, but for `target`, which `target_of` tells. Others have the same object."""
        if len(code) - start <= LONGEST_INSTRUCTION:
            return decode(code, start)
        short = self.of_one_byte[code[start]]
        if short is not None:
            return short
        found = self.forms.get(code[start : start + _FIRST_BYTES])
        if isinstance(found, Instruction):
            return found
        position = start + _FIRST_BYTES
        while isinstance(found, dict):
            found = found.get(code[position])
            position += 1
        return self._decode(code, start) if found is None else found

    def _decode(self, code: bytes, start: int) -> Instruction:
        """Decode what isn't known, and know it from now on if that can be."""
        instruction = decode(code, start)
        modrm, kind = instruction.modrm, instruction.kind
        length = instruction.opcode_offset + 1
        if kind in _TRANSFERS:
            instruction.target = 0
        elif kind == PLAIN:
            if modrm >= 0:
                length += 1
                if modrm < _REGISTER and modrm & 7 == _SIB:
                    length += 1
            if instruction.displacement:
                instruction.target = 0
            else:
                instruction.is_ordinary = (
                    not instruction.prefixes & (GS | LOCK)
                    and price_of(instruction) == PLAIN_PRICE
                    and not is_exchange(instruction)
                )
            if _depends_on_immediate(instruction):
                if modrm < _REGISTER:
                    # There may be a displacement between.
                    return instruction
                length += 1
        else:
            return instruction
        if length == 1:
            self.of_one_byte[instruction.opcode] = instruction
        else:
            self._know(code[start : start + length], instruction)
        return instruction

    def _know(self, form: bytes, instruction: Instruction) -> None:
        if self.count >= _MOST_FORMS:
            self.forms.clear()
            self.count = 0
        self.count += 1
        first, rest = form[:_FIRST_BYTES], form[_FIRST_BYTES:]
        if not rest:
            self.forms[first] = instruction
            return
        node = self.forms.setdefault(first, {})
        for byte in rest[:-1]:
            assert isinstance(node, dict)
            node = node.setdefault(byte, {})
        assert isinstance(node, dict)
        node[rest[-1]] = instruction


def target_of(instruction: Instruction, code: bytes, start: int) -> int:
    """Its `target`, as `decode` has it, if it begins at `start`."""
    place, length = instruction.displacement, instruction.length
    if instruction.kind in _TRANSFERS:
        opcode = instruction.opcode
        if opcode & 0xF0 == 0x70 or opcode == 0xEB:
            byte = code[start + length - 1]
            return length + byte - ((byte & 0x80) << 1)
        place = length - 4
    elif not place:
        return instruction.target
    found: int = _SIGNED_32.unpack_from(code, start + place)[0]
    return length + found


def _depends_on_immediate(instruction: Instruction) -> bool:
    """Whether what it does to the flags follows from its immediate."""
    opcode, table = instruction.opcode, instruction.table
    if table == 0:
        return opcode in _SHIFTS_BY_IMMEDIATE
    return TWO_BYTE_TABLE <= table < TWO_BYTE_TABLE + 4 and opcode in _DOUBLE_SHIFTS_BY_IMMEDIATE
