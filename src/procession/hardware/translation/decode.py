"""Decodes instructions of x86-64: their lengths, what they are, and what they use.

As much as a translator needs that copies most instructions as they are: which of them can't be copied, where
they jump, which displacement is relative to rip, which registers they name, and what they do to the flags.
"""

from __future__ import annotations

from typing import Final

from procession.hardware.translation.opcodes import (
    ADDRESS,
    CARRY,
    CONDITION_READS,
    CONDITION_USE,
    DOUBLE_SHIFT_USES,
    EXTENDED_CONTROL,
    FLOATING_MEMORY,
    FLOATING_REGISTERS,
    FLOATING_STORE,
    GROUPS,
    IMMEDIATE_MASK,
    IMPLICIT_SHIFT,
    INTERRUPT,
    INVALID,
    IS_FLOATING,
    IS_GROUP,
    KIND_NAMES,
    KIND_SHIFT,
    LOCKABLE,
    MEMORY_ONLY,
    MODRM,
    NO_USE,
    ONLY_L0,
    ONLY_L1,
    ONLY_W0,
    ONLY_W1,
    OPCODE_REGISTER,
    PARITY,
    PLAIN,
    PRIVILEGED,
    READS,
    REG_IS_BYTE,
    REG_IS_GENERAL,
    REGISTER_ONLY,
    REPEATED_STRING,
    RM_IS_BYTE,
    RM_IS_GENERAL,
    SHIFT_USE,
    SHIFT_USES,
    STATUS_FLAGS,
    STRING_COMPARE_USE,
    STRING_USE,
    TABLES,
    TARGET,
    TARGET_BYTE,
    THREE_BYTE_3A_TABLE,
    THREE_BYTE_38_TABLE,
    TIMESTAMP,
    TRUNCATED,
    TWO_BYTE_TABLE,
    UNDEFINES,
    USE_SHIFT,
    VECTOR_INDEX,
    VEX_TABLE,
    VVVV_IS_GENERAL,
    VVVV_IS_USED,
    WIDE_OPERAND,
    WRITES,
    ZERO,
    make_table,
)

LONGEST_INSTRUCTION: Final = 15

# Prefixes, as bits of `Instruction.prefixes`.
REX_PREFIX, OPERAND_SIZE, ADDRESS_SIZE, LOCK, REPEAT, REPEAT_NOT = 1, 2, 4, 8, 0x10, 0x20
FS, GS, OTHER_SEGMENT, VEX = 0x40, 0x80, 0x100, 0x200
WIDE: Final = 8
"""The bit of `rex` that says that operands have 64 bits."""


class Instruction:
    """One instruction of code. Offsets are in bytes from its beginning.

    `kind` is one of the numbers in `translation.opcodes`. `target` is the offset to which a direct transfer
    goes, or of the memory that is addressed relative to rip. `displacement` is where those four bytes are
    that are relative to rip, 0 if there are none. `immediate` is what an interrupt or a return has.

    `opcode` is the last byte of the opcode, at `opcode_offset`, `table` the one of `opcodes.TABLES` that it
    is looked up in, `modrm` what follows it or -1. `prefixes` are bits of this module; `rex` the low four
    bits of a REX prefix, or what a VEX prefix says of the same. `has_memory` is whether ModRM names memory.

    `registers` has a bit for each general register that is read or written. `flags_read`, `flags_written` and
    `flags_undefined` are bits of rflags; the latter two only what is so in any case. With `is_ordinary` it
    can be copied as it is, and takes as long as most.
    """

    __slots__ = (
        "displacement",
        "flags_read",
        "flags_undefined",
        "flags_written",
        "immediate",
        "has_memory",
        "is_ordinary",
        "kind",
        "length",
        "modrm",
        "opcode",
        "opcode_offset",
        "prefixes",
        "registers",
        "rex",
        "table",
        "target",
    )

    def __init__(self, kind: int, length: int) -> None:
        self.kind = kind
        self.length = length
        self.target = 0
        self.displacement = 0
        self.immediate = 0
        self.has_memory = False
        self.is_ordinary = False
        self.opcode = 0
        self.opcode_offset = 0
        self.table = 0
        self.modrm = -1
        self.prefixes = 0
        self.rex = 0
        self.registers = 0
        self.flags_read = 0
        self.flags_written = 0
        self.flags_undefined = 0

    def __repr__(self) -> str:
        return f"<Instruction {KIND_NAMES[self.kind]} {self.opcode:#x}, {self.length} bytes>"


def _prefix_bits() -> tuple[int, ...]:
    bits = [0] * 256
    bits[0x40:0x50] = [REX_PREFIX] * 16
    bits[0x66], bits[0x67], bits[0xF0], bits[0xF3], bits[0xF2] = (
        *(OPERAND_SIZE, ADDRESS_SIZE, LOCK),
        *(REPEAT, REPEAT_NOT),
    )
    bits[0x64], bits[0x65] = FS, GS
    bits[0x26] = bits[0x2E] = bits[0x36] = bits[0x3E] = OTHER_SEGMENT
    return tuple(bits)


_PREFIX_BITS: Final = _prefix_bits()
_PADDING: Final = bytes(32)
_VEX3, _VEX2 = 0xC4, 0xC5
_TWO_BYTES, _THREE_BYTES_38, _THREE_BYTES_3A = 0x0F, 0x38, 0x3A
_INT3, _INT1 = 0xCC, 0xF1
_SYSTEM_REGISTERS: Final = 0x20
"""The first of four moves of control and debug registers: of those above 7 there's one alone, cr8."""
_RAX_BIT, _RCX_BIT, _RSP, _RBP = 1, 2, 4, 5
_FIXED_LENGTHS: Final = (0, 1, 2, 0, 0, 3, 0, 1, 4)
"""By kind of immediate; 0 for those whose length depends on prefixes."""
_MODE_FUNCTIONS: Final = {0xD0: EXTENDED_CONTROL, 0xD1: PRIVILEGED, 0xF8: PRIVILEGED, 0xF9: TIMESTAMP}
"""Kinds by the ModRM byte of 0F 01 where that names a register, but for what stands in the table."""
_XGETBV, _XSETBV, _RDTSCP = 0xD0, 0xD1, 0xF9
_RESULTS_OF_MODE_FUNCTIONS: Final = {_XGETBV: 0b111, _RDTSCP: 0b111}
_THROUGH_CARRY: Final = (2, 3)
"""The middle fields of ModRM that mean rcl and rcr."""
# fcmov: below, equal, below or equal, unordered.
_FLOATING_MOVES: Final = (CARRY, ZERO, CARRY | ZERO, PARITY)


def decode(code: bytes, start: int) -> Instruction:
    """The instruction that begins at `start`; of kind TRUNCATED if `code` ends before it does."""
    available = len(code) - start
    if available < LONGEST_INSTRUCTION + 1:
        code = code[start:] + _PADDING
        start = 0
    instruction = _decode(code, start)
    if instruction.length > available:
        return Instruction(TRUNCATED, available)
    if instruction.length > LONGEST_INSTRUCTION:
        # A general protection fault, as if it were privileged.
        return Instruction(PRIVILEGED, LONGEST_INSTRUCTION)
    return instruction


def _decode(code: bytes, start: int) -> Instruction:
    """The same with 16 bytes to look at; where they make no instruction, `length` is what was looked at."""
    position = start
    prefixes = rex = 0
    opcode = code[position]
    bits = _PREFIX_BITS[opcode]
    while bits:
        if bits == REX_PREFIX:
            rex = opcode
        else:
            # REX counts only right before the opcode; of the repetitions and of the segments the last counts.
            rex = 0
            if bits & (REPEAT | REPEAT_NOT):
                prefixes &= ~(REPEAT | REPEAT_NOT)
            elif bits & (FS | GS):
                prefixes &= ~(FS | GS)
            prefixes |= bits
        position += 1
        if position - start >= LONGEST_INSTRUCTION:
            return Instruction(INVALID, LONGEST_INSTRUCTION + 1)
        opcode = code[position]
        bits = _PREFIX_BITS[opcode]
    mandatory = 0
    if prefixes:
        if prefixes & REPEAT:
            mandatory = 2
        elif prefixes & REPEAT_NOT:
            mandatory = 3
        elif prefixes & OPERAND_SIZE:
            mandatory = 1
    table = vvvv = 0
    is_long_vector = False
    if opcode == _TWO_BYTES:
        position += 1
        opcode = code[position]
        if opcode == _THREE_BYTES_38:
            table = THREE_BYTE_38_TABLE + mandatory
            position += 1
            opcode = code[position]
        elif opcode == _THREE_BYTES_3A:
            table = THREE_BYTE_3A_TABLE + mandatory
            position += 1
            opcode = code[position]
        else:
            table = TWO_BYTE_TABLE + mandatory
    elif opcode in (_VEX2, _VEX3):
        if rex or prefixes & (OPERAND_SIZE | REPEAT | REPEAT_NOT | LOCK):
            return Instruction(INVALID, position + 1 - start)
        payload = code[position + 1]
        if opcode == _VEX2:
            rex = (payload ^ 0x80) >> 5 & 4
            position += 2
            table = VEX_TABLE
        else:
            rex = (payload ^ 0xE0) >> 5
            number = (payload & 0x1F) - 1
            if not 0 <= number <= 2:
                return Instruction(INVALID, position + 2 - start)
            payload = code[position + 2]
            rex |= payload >> 4 & WIDE
            position += 3
            table = VEX_TABLE + number * 4
        # VEX numbers the prefixes 66, F3, F2 as the tables do.
        table += payload & 3
        is_long_vector = payload & 4 != 0
        vvvv = payload >> 3 & 0xF ^ 0xF
        prefixes |= VEX
        opcode = code[position]
    if rex and not prefixes & VEX:
        prefixes |= REX_PREFIX
    entry = (TABLES[table] or make_table(table))[opcode]
    instruction = Instruction(PLAIN, position + 1 - start)
    instruction.opcode = opcode
    instruction.opcode_offset = position - start
    instruction.table = table
    instruction.prefixes = prefixes
    instruction.rex = rex & 0xF
    position += 1
    if not entry:
        instruction.kind = INVALID
        return instruction
    modrm = -1
    registers = 0
    if entry & MODRM:
        modrm = code[position]
        instruction.modrm = modrm
        field = modrm >> 3 & 7
        is_register = modrm >= 0xC0
        if entry & IS_GROUP:
            entry = GROUPS[(entry >> KIND_SHIFT) + (field | 8 if is_register else field)]
            if opcode == 1 and is_register and modrm in _MODE_FUNCTIONS:
                if prefixes & LOCK or (mandatory and modrm in (_XGETBV, _XSETBV)):
                    return _invalid(instruction, position + 1 - start)
                instruction.kind = _MODE_FUNCTIONS[modrm]
                instruction.registers = _RESULTS_OF_MODE_FUNCTIONS.get(modrm, 0)
                instruction.length = position + 1 - start
                return instruction
            if not entry or (opcode & 0xFC == _SYSTEM_REGISTERS and rex & 4 and (opcode & 1 or field)):
                return _invalid(instruction, position + 1 - start)
        position += 1
        if entry & REG_IS_GENERAL:
            number = field | (rex & 4) << 1
            if entry & REG_IS_BYTE and number & 4 and not rex:
                number -= 4
            registers |= 1 << number
        if is_register:
            if entry & MEMORY_ONLY:
                return _invalid(instruction, position - start)
            if entry & RM_IS_GENERAL:
                number = modrm & 7 | (rex & 1) << 3
                if entry & RM_IS_BYTE and number & 4 and not rex:
                    number -= 4
                registers |= 1 << number
        else:
            if entry & REGISTER_ONLY:
                return _invalid(instruction, position - start)
            instruction.has_memory = True
            base = modrm & 7
            mode = modrm >> 6
            if base == _RSP:
                sib = code[position]
                position += 1
                index = sib >> 3 & 7 | (rex & 2) << 2
                if entry & VECTOR_INDEX:
                    vector = field | (rex & 4) << 1
                    if vector in (index, vvvv) or index == vvvv:
                        # A gather's result, mask and indices must be three.
                        return _invalid(instruction, position - start)
                elif index != _RSP:
                    registers |= 1 << index
                base = sib & 7
                if base == _RBP and mode == 0:
                    position += 4
                else:
                    registers |= 1 << (base | (rex & 1) << 3)
            elif entry & VECTOR_INDEX:
                return _invalid(instruction, position - start)
            elif base == _RBP and mode == 0:
                instruction.displacement = position - start
                position += 4
            else:
                registers |= 1 << (base | (rex & 1) << 3)
            if mode == 1:
                position += 1
            elif mode == 2:
                position += 4
    if prefixes & LOCK and not (entry & LOCKABLE and instruction.has_memory):
        return _invalid(instruction, position - start)
    if prefixes & VEX:
        if (
            (vvvv and not entry & VVVV_IS_USED)
            or (entry & ONLY_W0 and rex & WIDE)
            or (entry & ONLY_W1 and not rex & WIDE)
            or (entry & ONLY_L0 and is_long_vector)
            or (entry & ONLY_L1 and not is_long_vector)
        ):
            return _invalid(instruction, position - start)
        if entry & VVVV_IS_GENERAL:
            registers |= 1 << vvvv
    if entry & OPCODE_REGISTER:
        number = opcode & 7 | (rex & 1) << 3
        if entry & REG_IS_BYTE and number & 4 and not rex:
            number -= 4
        registers |= 1 << number
    kind = entry >> KIND_SHIFT & 0x3F
    use = entry >> USE_SHIFT & 0xFF
    form = entry & IMMEDIATE_MASK
    if form:
        size = _FIXED_LENGTHS[form]
        if not size:
            if form == ADDRESS:
                size = 4 if prefixes & ADDRESS_SIZE else 8
            elif form == WIDE_OPERAND and rex & WIDE:
                size = 8
            else:
                size = 2 if prefixes & OPERAND_SIZE and not rex & WIDE else 4
        if kind == PLAIN:
            if use == SHIFT_USE:
                instruction.immediate = code[position]
        elif form in (TARGET_BYTE, TARGET):
            instruction.target = int.from_bytes(code[position : position + size], "little", signed=True)
        else:
            instruction.immediate = int.from_bytes(code[position : position + size], "little")
        position += size
    length = position - start
    instruction.length = length
    instruction.kind = kind
    if form in (TARGET_BYTE, TARGET):
        instruction.target += length
    elif instruction.displacement:
        at = start + instruction.displacement
        instruction.target = length + int.from_bytes(code[at : at + 4], "little", signed=True)
    registers |= entry >> IMPLICIT_SHIFT
    instruction.registers = registers
    if use != NO_USE:
        if use == CONDITION_USE:
            instruction.flags_read = CONDITION_READS[opcode & 0xF]
            return instruction
        if use == SHIFT_USE:
            use = _shift_use(instruction)
        elif use in (STRING_USE, STRING_COMPARE_USE) and prefixes & (REPEAT | REPEAT_NOT):
            instruction.kind = REPEATED_STRING
            instruction.registers = registers | _RCX_BIT
            # With a count of 0 it compares nothing.
            use = STRING_USE
        instruction.flags_read = READS[use]
        instruction.flags_written = WRITES[use]
        instruction.flags_undefined = UNDEFINES[use]
    elif entry & IS_FLOATING:
        _decode_floating(instruction)
    elif kind == INTERRUPT and opcode in (_INT3, _INT1):
        instruction.immediate = 3 if opcode == _INT3 else 1
    return instruction


def _invalid(instruction: Instruction, length: int) -> Instruction:
    instruction.kind = INVALID
    instruction.length = length
    return instruction


def _shift_use(instruction: Instruction) -> int:
    """How a shift or rotation uses the flags, as far as its count is known."""
    opcode = instruction.opcode
    field = instruction.modrm >> 3 & 7
    uses = SHIFT_USES[field] if instruction.table == 0 else DOUBLE_SHIFT_USES
    if opcode & 0xFE == 0xD2:
        return uses[2]
    is_wide = instruction.rex & WIDE and (opcode & 1 or instruction.table)
    count = 1 if opcode & 0xFE == 0xD0 else instruction.immediate & (0x3F if is_wide else 0x1F)
    if instruction.table == 0 and field in _THROUGH_CARRY:
        # They turn as many bits as the operand has, and the carry.
        if not opcode & 1:
            count %= 9
        elif instruction.prefixes & OPERAND_SIZE and not instruction.rex & WIDE:
            count %= 17
    if count == 0:
        return NO_USE
    return uses[0 if count == 1 else 1]


def _decode_floating(instruction: Instruction) -> None:
    """What the x87's instructions are besides PLAIN, and what they use besides memory."""
    which, modrm = instruction.opcode & 7, instruction.modrm
    if modrm < 0xC0:
        field = modrm >> 3 & 7
        if not FLOATING_MEMORY[which] >> field & 1:
            instruction.kind = INVALID
        elif field == 6 and which in (1, 5):
            instruction.kind = FLOATING_STORE
    elif not FLOATING_REGISTERS[which] >> (modrm - 0xC0) & 1:
        instruction.kind = INVALID
    elif which in (2, 3) and modrm < 0xE0:
        instruction.flags_read = _FLOATING_MOVES[modrm >> 3 & 3]
    elif which in (3, 7) and 0xE8 <= modrm < 0xF8:
        instruction.flags_written = STATUS_FLAGS
    elif which == 7 and modrm == 0xE0:
        instruction.registers |= _RAX_BIT
