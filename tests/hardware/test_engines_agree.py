"""Two engines, instruction by instruction: from the same random state each comes to the same one."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.unicorn import UnicornEngine
from procession.hardware.extended_state import INITIAL_STATE
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.registers import RIP, RSP, Registers
from procession.hardware.translation import opcodes
from procession.hardware.translation.decode import (
    ADDRESS_SIZE,
    FS,
    GS,
    LOCK,
    OTHER_SEGMENT,
    REPEAT,
    VEX,
    Instruction,
    decode,
)
from procession.hardware.translation.operand import effective_address
from tests.hardware.processor_bench import CODE, DATA, STACK, Bench, processor_bench
from tests.hardware.translation.test_decode import random_instruction
from tests.of_a_kind import first_of

STATUS = opcodes.STATUS_FLAGS | opcodes.DIRECTION
X87 = range(0xD8, 0xE0)
INVALID_OPCODE = 6
KINDS = (opcodes.PLAIN, opcodes.REPEATED_STRING, opcodes.PUSH_FLAGS)


@pytest.fixture(scope="module")
def benches() -> Iterator[tuple[Bench, Bench]]:
    """A processor of each engine."""
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    with processor_bench(UnicornEngine) as unicorn, processor_bench(NativeEngine) as native:
        yield unicorn, native


def is_comparable(code: bytes, instruction: Instruction) -> bool:
    """Whether both engines are to do the same.

    Not with the x87 and MMX, whose images differ, nor with what x86-64-v3 has alone, nor with what the
    emulator is known not to do as processors do: see the names below.
    """
    table, opcode, prefixes = instruction.table, instruction.opcode, instruction.prefixes
    if instruction.kind not in KINDS or prefixes & VEX:
        return False
    if prefixes & GS and prefixes & ADDRESS_SIZE and table and opcode in (_BIT_TEST, *_BITS_BY_REGISTER):
        # Where the bit is, the native engine computes in 64 bits then.
        return False
    if prefixes & (GS | FS) and prefixes & OTHER_SEGMENT:
        # The emulator takes the last segment of all, where processors ignore those without a base.
        return False
    if instruction.kind == opcodes.REPEATED_STRING and prefixes & ADDRESS_SIZE:
        # At a fault in the first round, processors have cut rsi and rdi off already.
        return False
    head = code[: instruction.opcode_offset]
    mandatory = sum(head.count(byte) for byte in b"\x66\xf2\xf3")
    if mandatory > 1:
        # Which of several counts.
        return False
    if table == 0:
        if opcode in (0xF6, 0xF7):
            if instruction.modrm & 0x38 == _NEG and head.count(0xF0) > 1:
                # Of several locks, with any of which the emulator's neg sets the flags wrong, one goes.
                return False
            return instruction.modrm & 0x38 != _TEST_AGAIN
        return opcode not in (*X87, *_ODD) and (opcode not in _FLAGS_OF_AH or not head)
    if table < opcodes.THREE_BYTE_38_TABLE:
        is_new = opcode in _BIT_COUNTS and prefixes & REPEAT
        is_mmx = not mandatory and (0x60 <= opcode < 0x80 or opcode >= 0xD0 or opcode in _WITH_MMX)
        return not is_new and not is_mmx and opcode not in _ODD_OF_TWO_BYTES
    if not mandatory:
        return False
    if table < opcodes.THREE_BYTE_3A_TABLE:
        return opcode < _AES and opcode not in _HORIZONTAL
    return opcode not in (0x44, 0xDF)


_UNITS = 1_000_000
"""Enough for a string instruction that the machine does round by round."""
_WITH_MMX, _BIT_COUNTS = (0x2A, 0x2C, 0x2D, 0xC4, 0xC5), (0xB8, 0xBC, 0xBD)
_ODD = (0x9B, 0xC8, 0xA6, 0xA7, 0xC6, 0xC7)
"""fwait; enter with its levels; cmps, whose operands are read in another order; mov with needless bits."""
_TEST_AGAIN, _NEG = 0x08, 0x18
"""The second encoding of test."""
_BIT_TEST, _BITS_BY_REGISTER = 0xA3, (0xAB, 0xB3, 0xBB)
"""bts, btr and btc: the bit may be anywhere."""
_LINE_BYTES, _LONGEST_LOCKED = 64, 16
_FLAGS_OF_AH = (0x9E, 0x9F)
"""After a REX prefix these take spl for ah."""
_ODD_OF_TWO_BYTES = (0xA4, 0xA5, 0xAC, 0xAD, 0xAE, 0xB0, 0xB1, 0xF7)
"""Double shifts of words, and relative to rip; clflush; cmpxchg, which leaves the upper half;
maskmovdqu, which faults at its first byte or the next."""
_HORIZONTAL, _AES = (1, 2, 3, 5, 6, 7), 0xDB
"""phadd and phsub of a register and itself."""


def load(bench: Bench, code: bytes, registers: Registers, data: bytes) -> None:
    bench.traps.clear()
    bench.load(code)
    for address in (DATA, STACK):
        bench.space.write(address, data)
    bench.engine.load(registers)


def state_after(
    bench: Bench, code: bytes, registers: Registers, data: bytes, undefined: int
) -> tuple[object, ...]:
    load(bench, code, registers, data)
    after = bench.run(_UNITS)
    trap = bench.traps[0] if bench.traps else None
    # Those that a fault finds may be those before it.
    flags = 0 if trap is not None and trap[0] == "fault" else after.rflags & STATUS & ~undefined
    return (
        trap,
        after.general,
        flags,
        after.floating[160:416],
        bench.space.read(DATA, PAGE_SIZE),
        bench.space.read(STACK, PAGE_SIZE),
    )


def random_registers(chance: random.Random) -> Registers:
    registers = Registers()
    for register in range(16):
        kind = chance.random()
        if kind < 0.6:
            registers.general[register] = DATA + 512 + chance.randrange(0, PAGE_SIZE - 1024)
        elif kind < 0.8:
            registers.general[register] = chance.getrandbits(64)
        else:
            registers.general[register] = chance.getrandbits(6)
    registers.general[1] = chance.randrange(70)
    registers.general[RSP] = STACK + 1024 + 8 * chance.randrange(200)
    registers.general[RIP] = CODE
    registers.gs_base = 8 * chance.randrange(64)
    registers.rflags = 0x202 | chance.getrandbits(12) & STATUS
    image = bytearray(INITIAL_STATE)
    image[160:416] = chance.randbytes(256)
    registers.floating = bytes(image)
    return registers


def undefined_flags(instruction: Instruction) -> int:
    """The flags that may be anything afterwards."""
    if instruction.table == 0 and instruction.opcode & 0xFC == 0xD0 and instruction.opcode & 2:
        return STATUS
    if instruction.table and instruction.opcode in (0xA4, 0xA5, 0xAC, 0xAD):
        # Double shifts by more than a word's length leave everything undefined.
        return STATUS
    if instruction.table == 0 and instruction.opcode in (0xC0, 0xC1):
        return instruction.flags_undefined | opcodes.OVERFLOW
    return instruction.flags_undefined


def is_known(instruction: Instruction, emulated: tuple[object, ...]) -> bool:
    """Whether the emulator is known to do otherwise than a processor here: it takes reserved hints and
    predicates for invalid.
    """
    is_reserved = instruction.opcode in (*range(0x18, 0x20), 0xC2)
    return is_reserved and emulated[0] == ("exception", INVALID_OPCODE, 0)


def may_cross_lines(instruction: Instruction, code: bytes, registers: Registers) -> bool:
    """Whether a locked access may reach into a second line of the cache, for which hosts punish programs:
    Linux lets such a one wait for milliseconds, and a stub for seconds if there are many.
    """
    if not instruction.has_memory:
        return False
    if instruction.table and instruction.opcode in _BITS_BY_REGISTER:
        return True
    address = effective_address(instruction, code, registers.general, CODE + len(code), 0)
    return address % _LINE_BYTES + _LONGEST_LOCKED > _LINE_BYTES


def compare(benches: tuple[Bench, Bench], seed: int, count: int) -> list[str]:
    """What differs of `count` instructions."""
    chance = random.Random(seed)
    differing: list[str] = []
    done = 0
    while done < count:
        code = random_instruction(chance)
        instruction = decode(code, 0)
        if not is_comparable(code, instruction):
            continue
        code = code[: instruction.length]
        registers, data = random_registers(chance), chance.randbytes(PAGE_SIZE)
        if instruction.prefixes & LOCK and may_cross_lines(instruction, code, registers):
            continue
        done += 1
        undefined = undefined_flags(instruction)
        emulated, native = (state_after(bench, code, registers, data, undefined) for bench in benches)
        if emulated != native and not is_known(instruction, emulated):
            parts = ("trap", "general", "flags", "vectors", "data", "stack")
            where = [name for name, one, other in zip(parts, emulated, native, strict=True) if one != other]
            differing.append(f"{code.hex()} {where} {emulated[0]} {native[0]}")
    return differing


@pytest.mark.parametrize("seed", first_of(1, range(3)))
def test_instructions(benches: tuple[Bench, Bench], seed: int) -> None:
    differing = compare(benches, seed, 1000)
    assert not differing, f"{len(differing)}: " + "\n".join(differing[:20])


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_instructions(benches: tuple[Bench, Bench], seed: int) -> None:
    differing = compare(benches, seed, 10_000)
    assert not differing, f"{len(differing)}: " + "\n".join(differing[:20])
