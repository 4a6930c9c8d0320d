"""What memory instructions access, against iced-x86: every opcode, and random instructions."""

from __future__ import annotations

import random
from array import array
from typing import Any

import iced_x86 as iced
import pytest
from iced_x86 import Mnemonic, OpAccess, Register

from procession.hardware.registers import NUMBERS, RIP, WORD_MASK, Registers
from procession.hardware.translation import opcodes
from procession.hardware.translation.decode import decode
from procession.hardware.translation.memory_access import accesses
from tests.hardware.translation.reference import kind_of
from tests.hardware.translation.test_decode import (
    LONG_MODE_PREFIXES,
    MAPS,
    MODRMS,
    PREFIXES,
    TAIL,
    random_instruction,
)
from tests.of_a_kind import some_of

KINDS = frozenset(
    (
        *(opcodes.PLAIN, opcodes.CALL, opcodes.CALL_INDIRECT, opcodes.JUMP_INDIRECT, opcodes.RETURN),
        *(opcodes.REPEATED_STRING, opcodes.PUSH_FLAGS, opcodes.POP_FLAGS, opcodes.FLOATING_STORE),
        opcodes.APPROXIMATION,
    )
)
"""Of those that any program executes, all but what saves and restores extended state, of no fixed size."""
GENERAL = {getattr(Register, name.upper()): number for name, number in NUMBERS.items() if name != "rip"}
FACTORY = iced.InstructionInfoFactory()
COUNTED = frozenset((Register.NONE, Register.RIP, Register.EIP))
"""No base, and those that the displacement has in it already."""
SEGMENTS = frozenset((Register.FS, Register.GS))
NO_ACCESS = (OpAccess.NONE, OpAccess.NO_MEM_ACCESS)
UNTOLD = frozenset(
    getattr(Mnemonic, name)
    for name in (
        *("VGATHERDPS", "VGATHERDPD", "VGATHERQPS", "VGATHERQPD", "VPGATHERDD", "VPGATHERDQ", "VPGATHERQD"),
        *("VPGATHERQQ", "CLFLUSH", "ENTER", "BT", "BTS", "BTR", "BTC", "FXRSTOR", "FXSAVE"),
    )
)
"""Gathers; what iced-x86 counts as an access of a line; levels of frames; bits beyond the operand."""


def value_of(register: Any, registers: Registers) -> int:
    """What a register of iced-x86's holds."""
    if register in SEGMENTS:
        return registers.fs_base if register == Register.FS else registers.gs_base
    number = GENERAL.get(iced.RegisterExt.full_register(register))
    if number is None:
        return 0
    value = registers.general[number]
    if register == Register.AL:
        return value & 0xFF
    return value if iced.RegisterExt.size(register) == 8 else value & 0xFFFF_FFFF


def expected(code: bytes, registers: Registers) -> set[tuple[int, int, bool]] | None:
    """The accesses by iced-x86; None if it's nothing that a program executes."""
    decoder = iced.Decoder(64, code[:15], ip=registers.general[RIP])
    instruction = decoder.decode()
    if instruction.is_invalid or instruction.mnemonic in UNTOLD or kind_of(instruction) not in KINDS:
        return None
    found: set[tuple[int, int, bool]] = set()
    used: Any
    for used in FACTORY.info(instruction).used_memory():
        if used.access in NO_ACCESS:
            continue
        address = used.displacement
        if used.base not in COUNTED:
            address += value_of(used.base, registers)
        if used.index != Register.NONE:
            address += value_of(used.index, registers) * used.scale
        if used.address_size == iced.CodeSize.CODE32:
            address &= 0xFFFF_FFFF
        if used.segment in SEGMENTS:
            address += value_of(used.segment, registers)
        is_write = used.access not in (OpAccess.READ, OpAccess.COND_READ)
        found.add((address & WORD_MASK, iced.MemorySizeExt.size(used.memory_size), is_write))
    return found


def random_registers(chance: random.Random) -> Registers:
    registers = Registers()
    registers.general[:16] = array("Q", [chance.getrandbits(47) for _ in range(16)])
    registers.general[RIP] = chance.getrandbits(46)
    registers.fs_base, registers.gs_base = chance.getrandbits(40), chance.getrandbits(40)
    return registers


def assert_same(cases: list[bytes]) -> None:
    """Both say the same of each case that is an instruction, and most aren't passed over."""
    chance = random.Random(3)
    differing, tried = [], 0
    for code in cases:
        registers = random_registers(chance)
        want = expected(code, registers)
        if want is None or decode(code, 0).kind == opcodes.INVALID:
            continue
        tried += 1
        got = set(accesses(code, registers))
        if decode(code, 0).kind == opcodes.REPEATED_STRING:
            # iced-x86 knows of no size: they go on from there.
            got = {(address, 0, is_write) for address, _, is_write in got}
        if got != want:
            text = f"{iced.Decoder(64, code[:15]).decode()} {code.hex()}: {got} want {want}"
            differing.append(text)
    assert not differing, f"{len(differing)} of {tried}: " + "\n".join(differing[:40])
    assert tried > 500


@pytest.mark.parametrize("opcode_map", MAPS, ids=bytes.hex)
def test_every_opcode_with_each_prefix(opcode_map: bytes) -> None:
    assert_same(
        [
            prefix + opcode_map + bytes((opcode, modrm)) + TAIL
            for prefix in PREFIXES
            for opcode in range(256)
            for modrm in MODRMS
        ]
    )


def test_every_opcode_of_avx() -> None:
    cases = [
        prefix + bytes((opcode, modrm)) + TAIL
        for prefix in LONG_MODE_PREFIXES
        for opcode in range(256)
        for modrm in (0x04, 0x05, 0xC1)
    ]
    assert_same(some_of(cases))


def test_everything_of_the_x87() -> None:
    assert_same([bytes((opcode, modrm)) + TAIL for opcode in range(0xD8, 0xE0) for modrm in range(256)])


def test_random_instructions() -> None:
    chance = random.Random(21)
    assert_same([random_instruction(chance) for _ in range(20_000)])
