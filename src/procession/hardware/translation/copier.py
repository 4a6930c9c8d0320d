"""Instructions that are copied from the guest's code, with a memory operand that works where they are then.

The restorations in a block's marks: 0, none; 1 + n, register n is in SCRATCH; SAVED, rcx is in SAVED_RCX;
RETURNING, so it is, and rsp is that of behind the return; THREE, rax, rdx and rcx are in SCRATCH;
TWO | n << 3 | m, registers n and m are there.
"""

from __future__ import annotations

from typing import Final

from procession.hardware.translation import layout
from procession.hardware.translation.assembler import (
    RAX,
    RCX,
    RDI,
    RDX,
    fetch,
    set_register,
    signed_32,
    store,
)
from procession.hardware.translation.decode import (
    ADDRESS_SIZE,
    FS,
    GS,
    LONGEST_INSTRUCTION,
    OPERAND_SIZE,
    WIDE,
    Instruction,
)
from procession.hardware.translation.emitter import NEAR, SIGNED_END, Emitter
from procession.hardware.translation.opcodes import FLOATING_STORE, TWO_BYTE_TABLE, VEX_TABLE
from procession.hardware.translation.operand import (
    NO_SEGMENT,
    absolute_operand,
    operand_at,
    operand_at_sum,
    operand_end,
    prefixes_end,
    spare_registers,
    with_operand,
    without_segments,
)

SAVED: Final = 0x20
THREE: Final = 0x21
RETURNING: Final = 0x22
TWO: Final = 0x40
WORDS: Final = 1 << 64
SHORT_WORDS: Final = 1 << 32
"""How many numbers a register holds."""
_LEA, _LOAD = 0x8D, 0x8B
ACCESSES_AT_GS: Final = (*range(0xA0, 0xA8), 0xAC, 0xAD, 0xD7)
"""What has an operand in memory without a ModRM byte to which a segment's base is added: moves by an address
of its own, string instructions that read, and xlat. The machine does them."""
_ADDRESS_SIZE_PREFIX, _SUM_BYTES = b"\x67", 2
_PURE_LOADS: Final = (0xB6, 0xB7, 0xBE, 0xBF)
_AT_FS, _SHORT_POINTERS = b"\x64", 6
"""Where the pointers begin in the x87's state of 16 bits."""
_MASKED_MOVE: Final = 0xF7
_MASKED_MOVE_TABLES: Final = (TWO_BYTE_TABLE, TWO_BYTE_TABLE + 1, VEX_TABLE + 1)


class Copier(Emitter):
    """Puts instructions into a unit that do there what they did where they were."""

    __slots__ = ()

    def _copy(self, instruction: Instruction, raw: bytes, pc: int) -> int:
        """Copy an instruction, with a memory operand that works here; which registers were borrowed, or
        -1.
        """
        out = self.out
        if instruction.kind == FLOATING_STORE:
            return self._copy_floating_store(instruction, raw, pc)
        if instruction.prefixes & GS:
            return self._copy_with_gs(instruction, raw, pc)
        if not instruction.displacement:
            out += raw
            return 0
        address = (pc + self.target) % WORDS
        if instruction.prefixes & ADDRESS_SIZE:
            address &= 0xFFFF_FFFF
        here = self.view + self.origin + len(out) + len(raw)
        if -NEAR < address - here < NEAR and not instruction.prefixes & ADDRESS_SIZE:
            place = instruction.displacement
            out += raw[:place] + signed_32(address - here) + raw[place + 4 :]
            return 0
        if address < SIGNED_END and len(raw) < 15:
            out += with_operand(instruction, raw, absolute_operand(address))
            return 0
        return self._copy_far(instruction, raw, address)

    def _copy_floating_store(self, instruction: Instruction, raw: bytes, pc: int) -> int:
        """fnstenv, fnsave and fxsave: where the last instruction of the x87 was is the host's affair."""
        second, register = spare_registers(instruction)[-2:]
        out = self.out
        out += store(register, layout.SCRATCH) + store(second, layout.SCRATCH + 8)
        self._take_address(instruction, raw, pc, register, second)
        out += with_operand(instruction, raw, operand_at(register))
        if instruction.table == TWO_BYTE_TABLE:
            offsets: tuple[int, ...] = (8, 16)
        elif instruction.prefixes & OPERAND_SIZE and not instruction.rex & WIDE:
            offsets = (_SHORT_POINTERS,)
        else:
            offsets = (12, 20)
        segment = _AT_FS if instruction.prefixes & FS else b""
        for offset in offsets:
            # mov qword [register + offset], 0
            out += segment + b"\x48\xc7%c%c\0\0\0\0" % (0x40 | register, offset)
        out += fetch(register, layout.SCRATCH) + fetch(second, layout.SCRATCH + 8)
        return TWO | register << 3 | second

    def _take_address(
        self, instruction: Instruction, raw: bytes, pc: int, register: int, second: int
    ) -> None:
        """`register` becomes where the memory operand is, but for the base of fs; at gs `second` is lost."""
        out = self.out
        is_short = instruction.prefixes & ADDRESS_SIZE
        if instruction.displacement:
            address = pc + self.target
            out += set_register(register, address % (SHORT_WORDS if is_short else WORDS))
        else:
            operand = raw[instruction.opcode_offset + 1 : operand_end(instruction, raw)]
            out += _ADDRESS_SIZE_PREFIX if is_short else b""
            # lea register, operand
            out += b"%c\x8d%c" % (0x48 | instruction.rex & 3, operand[0] & 0xC7 | register << 3) + operand[1:]
        if instruction.prefixes & GS:
            out += fetch(second, layout.GS_BASE)
            # lea register, [register + second]
            out += b"\x48\x8d%c%c" % (0x04 | register << 3, second << 3 | register)

    def _copy_far(self, instruction: Instruction, raw: bytes, address: int) -> int:
        """The operand's address is in a register first."""
        out = self.out
        table, opcode = instruction.table, instruction.opcode
        is_wide = instruction.rex & WIDE
        register = instruction.modrm >> 3 & 7
        if table == 0 and opcode == _LEA:
            number = register | (instruction.rex & 4) << 1
            if is_wide:
                out += set_register(number, address)
                return 0
            if not instruction.prefixes & OPERAND_SIZE:
                out += set_register(number, address & 0xFFFF_FFFF)
                return 0
        is_pure = (
            ((table == 0 and opcode in (_LOAD, 0x63)) or (table == TWO_BYTE_TABLE and opcode in _PURE_LOADS))
            and not instruction.rex & 4
            and register not in (4, 5)
            and (is_wide or not instruction.prefixes & OPERAND_SIZE)
            and not instruction.prefixes & FS
        )
        if is_pure:
            borrowed = register
        else:
            spare = spare_registers(instruction)
            if not spare:
                return -1
            borrowed = spare[-1]
        out += store(borrowed, layout.SCRATCH) + set_register(borrowed, address)
        out += with_operand(instruction, raw, operand_at(borrowed))
        if not is_pure:
            out += fetch(borrowed, layout.SCRATCH)
        return 1 + borrowed

    def _copy_with_gs(self, instruction: Instruction, raw: bytes, pc: int) -> int:
        """gs is the context's here: the guest's base is added."""
        out = self.out
        is_short = instruction.prefixes & ADDRESS_SIZE
        if instruction.modrm < 0 and instruction.table == 0 and instruction.opcode in ACCESSES_AT_GS:
            return -1
        address = (pc + self.target) % WORDS
        if instruction.opcode == _MASKED_MOVE and instruction.table in _MASKED_MOVE_TABLES:
            return self._copy_masked_move(instruction, raw)
        if not instruction.has_memory or (instruction.table == 0 and instruction.opcode == _LEA):
            if instruction.displacement:
                return self._copy_far(instruction, raw, address & 0xFFFF_FFFF if is_short else address)
            end = prefixes_end(instruction, raw)
            out += without_segments(raw[:end]) + raw[end:]
            return 0
        spare = spare_registers(instruction)
        operand = raw[instruction.opcode_offset + 1 : operand_end(instruction, raw)]
        if not spare or len(raw) - len(operand) + _SUM_BYTES > LONGEST_INSTRUCTION:
            return -1
        if len(spare) == 1:
            return self._copy_with_one_spare(instruction, raw, pc, spare[0])
        first, second = spare[-1], spare[-2]
        rex = 0x48 | instruction.rex & 3
        out += store(first, layout.SCRATCH) + store(second, layout.SCRATCH + 8)
        if instruction.displacement:
            out += set_register(first, address & 0xFFFF_FFFF if is_short else address)
        else:
            out += _ADDRESS_SIZE_PREFIX if is_short else b""
            out += b"%c\x8d%c" % (rex, operand[0] & 0xC7 | first << 3) + operand[1:]  # lea first, operand
        out += fetch(second, layout.GS_BASE)
        out += with_operand(instruction, raw, operand_at_sum(first, second))
        out += fetch(first, layout.SCRATCH) + fetch(second, layout.SCRATCH + 8)
        return TWO | first << 3 | second

    def _copy_with_one_spare(self, instruction: Instruction, raw: bytes, pc: int, register: int) -> int:
        """At gs, by an address in the one register that it doesn't use, as cmpxchg8b: another one is back
        before the access.
        """
        out, second = self.out, RCX if register == RAX else RAX
        out += store(register, layout.SCRATCH) + store(second, layout.SCRATCH + 8)
        self._take_address(instruction, raw, pc, register, second)
        out += fetch(second, layout.SCRATCH + 8)
        out += with_operand(instruction, raw, operand_at(register)) + fetch(register, layout.SCRATCH)
        return 1 + register

    def _copy_masked_move(self, instruction: Instruction, raw: bytes) -> int:
        """maskmovq and its like at gs: rdi says where."""
        out = self.out
        out += store(RDI, layout.SCRATCH) + store(RAX, layout.SCRATCH + 8) + fetch(RAX, layout.GS_BASE)
        out += b"\x89\xff" if instruction.prefixes & ADDRESS_SIZE else b""  # mov edi, edi
        out += b"\x48\x8d\x3c\x07"  # lea rdi, [rdi + rax]
        end = prefixes_end(instruction, raw)
        plain = without_segments(raw[:end]).replace(_ADDRESS_SIZE_PREFIX, NO_SEGMENT)
        out += plain + raw[end:]
        out += fetch(RDI, layout.SCRATCH) + fetch(RAX, layout.SCRATCH + 8)
        return TWO | RDI << 3 | RAX

    def _copy_extended(self, instruction: Instruction, raw: bytes, pc: int) -> None:
        """xsave and xrstor: only of what the guest's processor has."""
        out = self.out
        for place, register in enumerate((RAX, RDX, RCX)):
            out += store(register, layout.SCRATCH + 8 * place)
        self._take_address(instruction, raw, pc, RCX, RDX)
        out += set_register(RDX, 7)
        out += b"\xc4\xe2\x7a\xf5\xc2"  # pext eax, eax, edx
        out += set_register(RDX, 0)
        out += with_operand(instruction, raw, operand_at(RCX))
        for place, register in enumerate((RAX, RDX, RCX)):
            out += fetch(register, layout.SCRATCH + 8 * place)


def is_harmless(instruction: Instruction) -> bool:
    """Whether what asks for a descriptor tells the same everywhere: lar, verr and verw do."""
    return instruction.opcode == 2 or (instruction.opcode == 0 and instruction.modrm >> 3 & 7 in (4, 5))
