"""The x87 of both engines, instruction by instruction: from the same random state each comes to the same."""

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
from tests.hardware.processor_bench import CODE, DATA, STACK, Bench, processor_bench
from tests.of_a_kind import first_of

RBX, OFFSET = 3, 512
STATUS_FLAGS = 0x8D5
EXPONENTS = (0, 0, 1, 0x3FFF, 0x3FFE, 0x4000, 0x4010, 0x401E, 0x403D, 0x403F, 0x4041, 0x7FFE, 0x7FFF, 0x7FFF)
SIGNIFICANDS = (
    0,
    1,
    1 << 63,
    1 << 62,
    (1 << 64) - 1,
    3 << 62,
    1 << 63 | 1,
    1 << 63 | 1 << 62 | 5,
    1 << 63 | 0x7FF,
)
SUMMARY_AND_BUSY = 0x8080
FWAIT = b"\x9b"

NOT_COMPARED = {
    # Those that load and keep the environment or the whole state: they tell where the last instruction was.
    *((0xD9, 4), (0xD9, 6), (0xDD, 4), (0xDD, 6)),
    # Invalid opcodes.
    *((0xD9, 1), (0xDB, 4), (0xDB, 6), (0xDD, 5)),
}
MEMORY = [
    bytes((opcode, 0x03 | operation << 3))
    for opcode in range(0xD8, 0xE0)
    for operation in range(8)
    if (opcode, operation) not in NOT_COMPARED
]
"""With an operand at rbx."""
FUNCTIONS = {0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF8, 0xF9, 0xFB, 0xFD, 0xFE, 0xFF}
"""Of 0xD9: those whose last bits are the maker's; tests/guest/x87.c has them."""
DEEPEST_FULL = 4
"""Where not all registers are random, st0 to this one are full, so that there's room to load."""
REGISTERS = [
    bytes((opcode, modrm))
    for opcode in range(0xD8, 0xE0)
    for modrm in range(0xC0, 0x100)
    if not (opcode == 0xD9 and modrm in FUNCTIONS)
]
CONDITIONAL_MOVES = [code for code in REGISTERS if code[0] in (0xDA, 0xDB) and code[1] < 0xE0]
AMONG_ANY = [code for code in REGISTERS if not (code[0] == 0xD9 and 0xD8 <= code[1] < 0xE0)]
"""Without an undocumented fstp, which takes an empty register for any other."""
AMONG_FULL = [
    code for code in REGISTERS if (code[0] == 0xD9 and code[1] >= 0xE0) or code[1] & 7 <= DEEPEST_FULL
]


@pytest.fixture(scope="module")
def benches() -> Iterator[tuple[Bench, Bench]]:
    """A processor of each engine."""
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    with processor_bench(UnicornEngine) as unicorn, processor_bench(NativeEngine) as native:
        yield unicorn, native


def random_number(chance: random.Random) -> bytes:
    """A number of 80 bits, rather an odd one."""
    kind = chance.random()
    if kind < 0.3:
        significand = chance.choice(SIGNIFICANDS)
    elif kind < 0.5:
        significand = chance.getrandbits(20) << 44 | 1 << 63
    else:
        significand = chance.getrandbits(64) | 1 << 63
    if chance.random() < 0.5:
        exponent = chance.choice(EXPONENTS)
    elif chance.random() < 0.7:
        exponent = 0x3FFF + chance.randrange(-70, 70)
    else:
        exponent = chance.getrandbits(15)
    return significand.to_bytes(8, "little") + (exponent | chance.getrandbits(1) << 15).to_bytes(2, "little")


def random_state(chance: random.Random, *, has_empty: bool) -> bytes:
    """An image of FXSAVE and what follows."""
    image = bytearray(INITIAL_STATE)
    masks = 0x3F if chance.random() < 0.5 else chance.getrandbits(6) | chance.getrandbits(6)
    control = 0x40 | masks | chance.choice((0, 2, 3, 3)) << 8 | chance.getrandbits(2) << 10
    status = chance.getrandbits(3) << 11 | chance.getrandbits(16) & 0x4700 | chance.getrandbits(6)
    top = status >> 11 & 7
    if status & ~masks & 0x3F:
        if chance.random() < 0.1:
            status |= SUMMARY_AND_BUSY
        else:
            status &= ~0x3F | masks
    if has_empty:
        full = chance.getrandbits(8) | chance.getrandbits(8)
    else:
        full = sum(1 << (top + place & 7) for place in range(DEEPEST_FULL + 1))
    image[0:2], image[2:4], image[4] = control.to_bytes(2, "little"), status.to_bytes(2, "little"), full
    for number in range(8):
        image[32 + 16 * number : 42 + 16 * number] = random_number(chance)
    return bytes(image)


def random_memory(chance: random.Random) -> bytes:
    """What an operand in memory is: of each of its kinds some odd ones."""
    kind = chance.randrange(5)
    if kind == 0:
        return random_number(chance)
    if kind == 1:
        return chance.choice((0, 1, 0x7F800000, 0x7FC00000, 0x7F800001, 0x80000000, 0x00400000)).to_bytes(
            10, "little"
        )
    if kind == 2:
        exponent = chance.choice((0, 0x7FF, 0x3FF, 0x400))
        return (exponent << 52 | chance.choice((0, 1, 1 << 51, chance.getrandbits(52)))).to_bytes(
            10, "little"
        )
    if kind == 3:
        return bytes(chance.randrange(10) | chance.randrange(10) << 4 for _ in range(9)) + chance.choice(
            (b"\0", b"\x80")
        )
    return chance.randbytes(10)


def state_after(bench: Bench, code: bytes, registers: Registers, data: bytes) -> tuple[object, ...]:
    bench.traps.clear()
    bench.load(code)
    bench.space.write(DATA, data)
    bench.engine.load(registers)
    after = bench.run(1000)
    image = after.floating
    numbers = [image[32 + 16 * number : 42 + 16 * number] for number in range(8)]
    # What an empty register has is nobody's to see.
    top = image[3] >> 3 & 7
    seen = [number if image[4] >> ((top + place) & 7) & 1 else b"" for place, number in enumerate(numbers)]
    return (
        bench.traps[0] if bench.traps else None,
        after.general,
        after.rflags & STATUS_FLAGS,
        image[0:2],
        image[2:4],
        image[4],
        seen,
        bench.space.read(DATA, PAGE_SIZE),
    )


def is_known(code: bytes, before: bytes, emulated: tuple[object, ...]) -> bool:
    """Whether the emulator is known to do otherwise here: a move whose condition isn't met doesn't look at
    registers.
    """
    return code in CONDITIONAL_MOVES and emulated[_STATUS] == before[2:4]


def differing_parts(emulated: tuple[object, ...], native: tuple[object, ...]) -> list[str]:
    return [name for name, one, other in zip(PARTS, emulated, native, strict=True) if one != other]


_STATUS = 4
PARTS = ("trap", "general", "flags", "control", "status", "tags", "numbers", "data")


def compare(benches: tuple[Bench, Bench], seed: int, count: int, *, has_empty: bool = False) -> list[str]:
    """What differs of `count` instructions."""
    chance = random.Random(seed)
    differing: list[str] = []
    for _ in range(count):
        code = chance.choice(MEMORY if chance.random() < 0.4 else AMONG_ANY if has_empty else AMONG_FULL)
        registers = Registers()
        registers.general[RSP], registers.general[RIP] = STACK + PAGE_SIZE // 2, CODE
        registers.general[RBX] = DATA + OFFSET
        registers.rflags = 0x202 | chance.getrandbits(12) & STATUS_FLAGS
        registers.floating = random_state(chance, has_empty=has_empty)
        data = bytes(OFFSET) + random_memory(chance)
        emulated, native = (state_after(bench, code + FWAIT, registers, data) for bench in benches)
        if emulated != native and not is_known(code, registers.floating, emulated):
            differing.append(
                f"{code.hex()} {differing_parts(emulated, native)} from {registers.floating[:5].hex()}"
            )
    return differing


@pytest.mark.parametrize("has_empty", [False, True], ids=["full", "empty"])
@pytest.mark.parametrize("seed", first_of(1, range(3)))
def test_instructions(benches: tuple[Bench, Bench], seed: int, has_empty: bool) -> None:
    differing = compare(benches, seed, 2000, has_empty=has_empty)
    assert not differing, f"{len(differing)}: " + "\n".join(differing[:20])


@pytest.mark.heavy
@pytest.mark.parametrize("has_empty", [False, True], ids=["full", "empty"])
@pytest.mark.parametrize("seed", range(100, 105))
def test_many_instructions(benches: tuple[Bench, Bench], seed: int, has_empty: bool) -> None:
    differing = compare(benches, seed, 20_000, has_empty=has_empty)
    assert not differing, f"{len(differing)}: " + "\n".join(differing[:20])
