"""What the guest's processor says of itself, and the instructions that a stub doesn't execute itself.

It's the same whatever the host has: x86-64-v3 with AES and PCLMULQDQ, and nothing beside that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.abi.word import pack_u16, pack_u64
from procession.hardware.processor_level import LEVELS, V2, V3
from procession.hardware.registers import (
    CHANGEABLE_FLAGS,
    DATA_SEGMENTS,
    PRIVILEGE_BITS,
    RAX,
    RBX,
    RCX,
    RDI,
    RDX,
    RIP,
    RSI,
    RSP,
    SEGMENT_NUMBERS,
    USER_CS,
    USER_DESCRIPTORS,
    USER_DS,
    WORD_MASK,
    set_register,
)
from procession.hardware.translation.copier import ACCESSES_AT_GS
from procession.hardware.translation.decode import (
    ADDRESS_SIZE,
    GS,
    OPERAND_SIZE,
    REPEAT,
    REPEAT_NOT,
    WIDE,
    Instruction,
)
from procession.hardware.translation.opcodes import (
    CPUID,
    DESCRIPTOR,
    EXTENDED_CONTROL,
    FAR,
    INTERRUPT,
    INTERRUPT_RETURN,
    POP_FLAGS,
    PRIVILEGED,
    SEGMENT_LOAD,
    SEGMENT_STORE,
    STATUS_FLAGS,
    TIMESTAMP,
)
from procession.hardware.translation.operand import effective_address

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters

INVALID_OPCODE, GENERAL_PROTECTION = 6, 13
_CALLABLE = (3, 4)
"""What programs may raise by `int n`: breakpoint and overflow."""
_GATE_ERROR = 2
_INT1 = 0xF1
_SMSW_FIELD, _TASK_SEGMENT, _CONTROL_REGISTER = 4, 0x40, 0x8005_0033
_LOAD_LIMIT, _ZERO_FLAG, _DIRECTION_FLAG = 3, 0x40, 0x400
_MOVS, _CMPS, _LODS, _XLAT, _TO_MEMORY = 0xA4, 0xA6, 0xAC, 0xD7, 2
_DESCRIPTOR_TABLE, _INTERRUPT_TABLE = 0xFFFF_FFFF_FFFE_0000, 0xFFFF_FFFF_FFFF_0000

_PUSHED = {0xA0: SEGMENT_NUMBERS["fs"], 0xA8: SEGMENT_NUMBERS["gs"]}
_PLACE_OF_SEGMENT = {SEGMENT_NUMBERS[name]: place for place, name in enumerate(DATA_SEGMENTS)}
_FIXED_SELECTORS = {SEGMENT_NUMBERS["cs"]: USER_CS, SEGMENT_NUMBERS["ss"]: USER_DS}

_MAKER = (0x756E_6547, 0x6C65_746E, 0x4965_6E69)
"""GenuineIntel, in ebx, edx, ecx."""
_FEATURES = (0x3ED8_3203, LEVELS[V3].capabilities)
_MORE_FEATURES = 1 << 3 | 1 << 5 | 1 << 8 | 1 << 9
_BRAND = b"Procession x86-64-v3".ljust(48, b"\0")


def _brand(part: int) -> tuple[int, int, int, int]:
    words = [int.from_bytes(_BRAND[16 * part + 4 * place :][:4], "little") for place in range(4)]
    return words[0], words[1], words[2], words[3]


_LEAVES: dict[tuple[int, int], tuple[int, int, int, int]] = {
    (0, -1): (LEVELS[V3].maximum_leaf, *_MAKER),
    (1, -1): (0x0003_06C3, 0x0001_0800, *_FEATURES),
    (2, -1): (1, 0, 0x4D, 0x002C_307D),
    (4, 0): (0x121, 0x01C0_003F, 0x3F, 1),
    (4, 1): (0x122, 0x01C0_003F, 0x3F, 1),
    (4, 2): (0x143, 0x03C0_003F, 0xFFF, 1),
    (4, 3): (0x163, 0x03C0_003F, 0x3FFF, 6),
    (7, 0): (0, _MORE_FEATURES, 0, 0),
    (0xD, 0): (7, 832, 832, 0),
    (0xD, 2): (256, 576, 0, 0),
    (0x8000_0000, -1): (0x8000_0008, 0, 0, 0),
    (0x8000_0001, -1): (0, 0, 1 | 1 << 5, 1 << 11 | 1 << 20 | 1 << 27 | 1 << 29),
    (0x8000_0002, -1): _brand(0),
    (0x8000_0003, -1): _brand(1),
    (0x8000_0004, -1): _brand(2),
    (0x8000_0006, -1): (0, 0, 0x0100_6040, 0),
    (0x8000_0008, -1): (0x3028, 0, 0, 0),
}
"""Of x86-64-v3, by leaf, and by subleaf where that counts: eax, ebx, ecx, edx. What isn't here is zero."""
_LEAVES_OF_V2: dict[tuple[int, int], tuple[int, int, int, int]] = {
    (0, -1): (LEVELS[V2].maximum_leaf, *_MAKER),
    (1, -1): (0x0001_06A3, 0x800, 0x8098_2201, LEVELS[V2].capabilities),
    (2, -1): (1, 0, 0, 0x002C_307D),
    (4, 0): (0x121, 0x01C0_003F, 0x3F, 1),
    (4, 1): (0x122, 0x01C0_003F, 0x3F, 1),
    (4, 2): (0x143, 0x03C0_003F, 0xFFF, 1),
    (5, -1): (0, 0, 3, 0),
    (0x8000_0000, -1): (0x8000_0008, 0x756E_6547, 0x6C65_746E, 0x4965_6E69),
    (0x8000_0001, -1): (0x0001_06A3, 0, 1, 0x2010_0800),
    (0x8000_0002, -1): (0x6574_6E49, 0x6F43_206C, 0x6920_6572, 0x7839_2037),
    (0x8000_0003, -1): (0x4E28_2078, 0x6C61_6865, 0x4320_6D65, 0x7373_616C),
    (0x8000_0004, -1): (0x726F_4320, 0x3769_2065, 0x29, 0),
    (0x8000_0005, -1): (0x01FF_01FF, 0x01FF_01FF, 0x4002_0140, 0x4002_0140),
    (0x8000_0006, -1): (0, 0x4200_4200, 0x0200_8140, 0),
    (0x8000_0008, -1): (0x3028, 0, 0, 0),
}
"""What the other engine says, on which a program began that is told it."""


def cpuid(leaf: int, subleaf: int, level: int) -> tuple[int, int, int, int]:
    """What a processor of `level` says in eax, ebx, ecx, edx."""
    leaves = _LEAVES if level >= V3 else _LEAVES_OF_V2
    found = leaves.get((leaf, -1)) or leaves.get((leaf, subleaf))
    return found or (0, 0, 0, 0)


class Attendant:
    """Does what an instruction does that isn't executed on the host.

    `read` gives bytes of the guest's memory at an address, `write` puts them there, and `segment_base` is
    what an instruction's segment adds to an address; whatever they raise ends the attempt. The flags are
    handed in and back. `level` is the processor that the program has found, `selectors` are those of its
    DATA_SEGMENTS.
    """

    __slots__ = ("flags", "general", "level", "read", "segment_base", "selectors", "write")

    def __init__(
        self,
        general: GeneralRegisters,
        read: Callable[[int, int], bytes],
        write: Callable[[int, bytes], None],
        segment_base: Callable[[Instruction], int],
    ) -> None:
        self.general = general
        self.read = read
        self.write = write
        self.segment_base = segment_base
        self.level = V3
        self.flags = 0
        self.selectors = 0

    def attend(self, instruction: Instruction, code: bytes) -> tuple[int, int]:
        """Do it. The vector and error code to raise; (-1, 0) if it's done, and rip is behind it."""
        general, kind = self.general, instruction.kind
        behind = (general[RIP] + instruction.length) & WORD_MASK
        if kind == INTERRUPT:
            vector = instruction.immediate
            if instruction.opcode == _INT1:
                return INVALID_OPCODE, 0
            if vector not in _CALLABLE:
                return GENERAL_PROTECTION, vector * 8 + _GATE_ERROR
            general[RIP] = behind
            return vector, 0
        if kind in (PRIVILEGED, TIMESTAMP, SEGMENT_LOAD, FAR, INTERRUPT_RETURN):
            # Some of them the kernel does then.
            return GENERAL_PROTECTION, 0
        if instruction.prefixes & GS and instruction.table == 0 and instruction.opcode in ACCESSES_AT_GS:
            general[RIP] = self._access_at_gs(instruction, code, behind)
            return -1, 0
        if kind == CPUID:
            found = cpuid(general[RAX] & 0xFFFF_FFFF, general[RCX] & 0xFFFF_FFFF, self.level)
            general[RAX], general[RBX], general[RCX], general[RDX] = found
        elif kind == EXTENDED_CONTROL:
            if self.level < V3:
                return INVALID_OPCODE, 0
            if general[RCX] & 0xFFFF_FFFF:
                return GENERAL_PROTECTION, 0
            general[RAX], general[RDX] = 7, 0
        elif kind == POP_FLAGS:
            size = 2 if instruction.prefixes & OPERAND_SIZE and not instruction.rex & WIDE else 8
            value = int.from_bytes(self.read(general[RSP], size), "little")
            mask = CHANGEABLE_FLAGS & (0xFFFF if size == 2 else WORD_MASK)
            self.flags = self.flags & ~mask | value & mask
            general[RSP] = (general[RSP] + size) & WORD_MASK
        elif kind == SEGMENT_STORE:
            self._store_segment(instruction, code, behind)
        elif kind == DESCRIPTOR:
            self._show_descriptor(instruction, code, behind)
        else:
            return INVALID_OPCODE, 0
        general[RIP] = behind
        return -1, 0

    def _access_at_gs(self, instruction: Instruction, code: bytes, behind: int) -> int:
        """One of ACCESSES_AT_GS, of a repeated one a round; where to go on."""
        general, opcode, prefixes = self.general, instruction.opcode, instruction.prefixes
        mask = 0xFFFF_FFFF if prefixes & ADDRESS_SIZE else WORD_MASK
        base = self.segment_base(instruction)
        wide = 8 if instruction.rex & WIDE else 2 if prefixes & OPERAND_SIZE else 4
        size = wide if opcode & 1 and opcode != _XLAT else 1
        if opcode == _XLAT:
            address = general[RBX] + (general[RAX] & 0xFF) & mask
            self._set_accumulator(self.read(base + address & WORD_MASK, 1))
            return behind
        if opcode < _MOVS:
            start = instruction.opcode_offset + 1
            address = int.from_bytes(code[start : start + (4 if prefixes & ADDRESS_SIZE else 8)], "little")
            if opcode & _TO_MEMORY:
                self.write(base + address & WORD_MASK, pack_u64(general[RAX])[:size])
            else:
                self._set_accumulator(self.read(base + address & WORD_MASK, size))
            return behind
        is_repeated = prefixes & (REPEAT | REPEAT_NOT)
        left = general[RCX] & mask
        if is_repeated and not left:
            return behind
        source, target = general[RSI] & mask, general[RDI] & mask
        step = -size if self.flags & _DIRECTION_FLAG else size
        is_compared = _CMPS <= opcode < _LODS
        # If neither is there, that is said of the second.
        second = self.read(target, size) if is_compared else b""
        data = self.read(base + source & WORD_MASK, size)
        if opcode >= _LODS:
            self._set_accumulator(data)
        else:
            if is_compared:
                self._compare(data, second)
            else:
                self.write(target, data)
            set_register(general, RDI, target + step & mask)
        set_register(general, RSI, source + step & mask)
        if not is_repeated:
            return behind
        set_register(general, RCX, left - 1)
        is_ended = is_compared and (self.flags & _ZERO_FLAG == 0) == (prefixes & REPEAT != 0)
        return behind if left == 1 or is_ended else general[RIP]

    def _set_accumulator(self, data: bytes) -> None:
        """Put what was read into al, ax, eax or rax."""
        kept = b"" if len(data) == 4 else pack_u64(self.general[RAX])[len(data) :]
        set_register(self.general, RAX, int.from_bytes(data + kept, "little"))

    def _compare(self, one: bytes, other: bytes) -> None:
        """Set the flags as for the difference of two numbers."""
        first, second, sign = int.from_bytes(one, "little"), int.from_bytes(other, "little"), 8 * len(one) - 1
        difference = first - second & (2 << sign) - 1
        odd = (difference & 0xFF).bit_count() & 1
        overflow = ((first ^ second) & (first ^ difference)) >> sign & 1
        self.flags = (
            self.flags & ~STATUS_FLAGS
            | (first < second)
            | (not odd) << 2
            | (first ^ second ^ difference) & 0x10
            | (not difference) << 6
            | (difference >> sign) << 7
            | overflow << 11
        )

    def _show_descriptor(self, instruction: Instruction, code: bytes, behind: int) -> None:
        """sgdt, sidt, sldt, str and smsw: what the kernel says in the processor's stead. And lsl.

        Linux: arch/x86/kernel/umip.c, emulate_umip_insn.
        """
        if instruction.opcode == _LOAD_LIMIT:
            self._load_limit(instruction, code, behind)
            return
        field = instruction.modrm >> 3 & 7
        if instruction.opcode == 0:
            value, size = (0, _TASK_SEGMENT)[field & 1], 2
        elif field == _SMSW_FIELD:
            value, size = _CONTROL_REGISTER, 2
        else:
            value, size = (_DESCRIPTOR_TABLE, _INTERRUPT_TABLE)[field & 1] << 16, 10
        if instruction.has_memory:
            data = pack_u64(value) + pack_u16(value >> 64) if size == 10 else pack_u16(value)
            self.write(self._place(instruction, code, behind), data)
        else:
            self._set_operand(instruction, value)

    def _load_limit(self, instruction: Instruction, code: bytes, behind: int) -> None:
        """lsl: the host's processor would tell its own number."""
        if instruction.has_memory:
            selector = int.from_bytes(self.read(self._place(instruction, code, behind), 2), "little")
        else:
            selector = self.general[instruction.modrm & 7 | (instruction.rex & 1) << 3] & 0xFFFF
        descriptor = USER_DESCRIPTORS.get(selector | PRIVILEGE_BITS)
        self.flags &= ~_ZERO_FLAG
        if descriptor is not None:
            self.flags |= _ZERO_FLAG
            number = instruction.modrm >> 3 & 7 | (instruction.rex & 4) << 1
            self._set_register(number, instruction, descriptor[1])

    def _store_segment(self, instruction: Instruction, code: bytes, behind: int) -> None:
        """mov from a segment register, push fs and push gs."""
        is_push = instruction.table != 0
        number = _PUSHED[instruction.opcode] if is_push else instruction.modrm >> 3 & 7
        place = _PLACE_OF_SEGMENT.get(number)
        selector = _FIXED_SELECTORS[number] if place is None else self.selectors >> 16 * place & 0xFFFF
        if is_push:
            size = 2 if instruction.prefixes & OPERAND_SIZE and not instruction.rex & WIDE else 8
            top = (self.general[RSP] - size) & WORD_MASK
            self.write(top, pack_u64(selector)[:size])
            self.general[RSP] = top
        elif instruction.has_memory:
            self.write(self._place(instruction, code, behind), pack_u16(selector))
        else:
            self._set_operand(instruction, selector)

    def _place(self, instruction: Instruction, code: bytes, behind: int) -> int:
        base = self.segment_base(instruction)
        return effective_address(instruction, code, self.general, behind, base)

    def _set_operand(self, instruction: Instruction, value: int) -> None:
        """Put it into the register that ModRM names as its operand."""
        self._set_register(instruction.modrm & 7 | (instruction.rex & 1) << 3, instruction, value)

    def _set_register(self, number: int, instruction: Instruction, value: int) -> None:
        """Put it into a register, as wide as the instruction's operand is."""
        if instruction.rex & WIDE:
            kept = 0
        elif instruction.prefixes & OPERAND_SIZE:
            kept, value = self.general[number] & ~0xFFFF, value & 0xFFFF
        else:
            kept, value = 0, value & 0xFFFF_FFFF
        self.general[number] = (kept | value) & WORD_MASK
