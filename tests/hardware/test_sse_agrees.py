"""SSE's arithmetic of both engines, instruction by instruction: numbers, flags and MXCSR come to the same."""

from __future__ import annotations

import random

import pytest

from procession.hardware.extended_state import INITIAL_STATE, MXCSR_OFFSET
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.registers import RIP, RSP, Registers
from tests.hardware.processor_bench import CODE, STACK, Bench
from tests.hardware.test_x87_agrees import STATUS_FLAGS, benches
from tests.of_a_kind import first_of

__all__ = ["benches"]

XMM, FLUSH, DENORMALS_ARE_ZEROS, ALL_MASKS = 160, 0x8000, 0x40, 0x1F80
SIMD_ERROR, MASKS_SHIFT, TOO_LARGE_OR_TINY, INEXACT = ("exception", 19, 0), 7, 0x18, 0x20
USUAL = [
    bytes((*prefix, 0x0F, opcode))
    for prefix in (b"", b"\x66", b"\xf2", b"\xf3")
    for opcode in (0x51, 0x58, 0x59, 0x5C, 0x5D, 0x5E, 0x5F)
]
"""sqrt, add, mul, sub, min, div and max, of each kind of operands."""
COMPARISONS = [
    *(bytes((*prefix, 0x0F, 0xC2)) for prefix in (b"", b"\x66", b"\xf2", b"\xf3")),
    *(bytes((prefix, 0x0F, opcode)) for prefix in (0x66, 0xF2) for opcode in (0x7C, 0x7D, 0xD0)),
]
"""By a predicate that follows; and horizontal ones, and those that add and subtract."""
_LONG, _BY_PREDICATE = (0x2A, 0x2C, 0x2D), 0xC2
CONVERSIONS = [
    *(bytes((0x0F, opcode)) for opcode in (0x5A, 0x5B, 0x2E, 0x2F)),
    *(bytes((0x66, 0x0F, opcode)) for opcode in (0x5A, 0x5B, 0xE6, 0x2E, 0x2F)),
    *(bytes((0xF2, 0x0F, opcode)) for opcode in (0x5A, 0xE6, *_LONG)),
    *(bytes((0xF3, 0x0F, opcode)) for opcode in (0x5A, 0x5B, 0xE6, *_LONG)),
    *(bytes((prefix, 0x48, 0x0F, opcode)) for prefix in (0xF2, 0xF3) for opcode in _LONG),
]
"""And comparisons that set flags."""
SINGLES = (
    *(0, 0x8000_0000, 1, 0x7F7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0001, 0x7F80_0001, 0x0040_0000),
    *(0x0080_0000, 0x3F80_0000, 0x4F00_0000, 0x5F00_0000),
)
DOUBLES = (
    *(0, 1 << 63, 1, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48 | 1, 0x7FF0 << 48 | 1),
    *(1 << 51, 1 << 52, 0x3FF << 52, 0x41E << 52, 0x43E << 52),
)


def random_single(chance: random.Random) -> int:
    kind = chance.random()
    if kind < 0.3:
        return chance.choice(SINGLES)
    if kind < 0.5:
        return chance.getrandbits(32)
    return chance.getrandbits(1) << 31 | (127 + chance.randrange(-30, 30)) << 23 | chance.getrandbits(23)


def random_double(chance: random.Random) -> int:
    kind = chance.random()
    if kind < 0.3:
        return chance.choice(DOUBLES)
    if kind < 0.5:
        return chance.getrandbits(64)
    return chance.getrandbits(1) << 63 | (1023 + chance.randrange(-100, 100)) << 52 | chance.getrandbits(52)


def random_vector(chance: random.Random) -> bytes:
    """Four numbers of 32 bits or two of 64."""
    if chance.random() < 0.5:
        return b"".join(random_single(chance).to_bytes(4, "little") for _ in range(4))
    return b"".join(random_double(chance).to_bytes(8, "little") for _ in range(2))


def state_after(bench: Bench, code: bytes, registers: Registers) -> tuple[object, ...]:
    bench.traps.clear()
    bench.load(code)
    bench.engine.load(registers)
    after = bench.run(1000)
    mxcsr = int.from_bytes(after.floating[MXCSR_OFFSET : MXCSR_OFFSET + 4], "little")
    if SIMD_ERROR in bench.traps and mxcsr & ~(mxcsr >> MASKS_SHIFT) & TOO_LARGE_OR_TINY:
        # The processor tells whether it's inexact beside that, the emulator what it would be if masked.
        mxcsr &= ~INEXACT
    return bench.traps, after.general, after.rflags & STATUS_FLAGS, after.floating[XMM : XMM + 128], mxcsr


def compare(benches: tuple[Bench, Bench], seed: int, count: int) -> list[str]:
    """What differs of `count` instructions."""
    chance = random.Random(seed)
    differing: list[str] = []
    for _ in range(count):
        code = chance.choice(chance.choice((USUAL, USUAL, CONVERSIONS, COMPARISONS)))
        code += bytes((0xC0 | chance.getrandbits(6),))
        if code[-2] == _BY_PREDICATE:
            code += bytes((chance.randrange(8),))
        registers = Registers()
        for number in range(8):
            registers.general[number] = chance.getrandbits(64)
        registers.general[RSP], registers.general[RIP] = STACK + PAGE_SIZE // 2, CODE
        registers.rflags = 0x202
        image = bytearray(INITIAL_STATE)
        mxcsr = chance.getrandbits(2) << 13 | chance.getrandbits(6) | chance.choice((0, FLUSH))
        mxcsr |= chance.choice((0, DENORMALS_ARE_ZEROS))
        mxcsr |= ALL_MASKS if chance.random() < 0.5 else chance.getrandbits(6) << 7
        image[MXCSR_OFFSET : MXCSR_OFFSET + 4] = mxcsr.to_bytes(4, "little")
        for number in range(8):
            image[XMM + 16 * number : XMM + 16 * number + 16] = random_vector(chance)
        registers.floating = bytes(image)
        emulated, native = (state_after(bench, code, registers) for bench in benches)
        if emulated != native:
            parts = ("traps", "general", "flags", "vectors", "mxcsr")
            where = [name for name, one, other in zip(parts, emulated, native, strict=True) if one != other]
            differing.append(f"{code.hex()} {where} with {mxcsr:#x}")
    return differing


@pytest.mark.parametrize("seed", first_of(1, range(3)))
def test_instructions(benches: tuple[Bench, Bench], seed: int) -> None:
    differing = compare(benches, seed, 2000)
    assert not differing, f"{len(differing)}: " + "\n".join(differing[:20])


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(100, 103))
def test_many_instructions(benches: tuple[Bench, Bench], seed: int) -> None:
    differing = compare(benches, seed, 20_000)
    assert not differing, f"{len(differing)}: " + "\n".join(differing[:20])
