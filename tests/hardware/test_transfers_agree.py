"""Two engines on random calls, returns and indirect jumps: what they leave in registers, flags and memory."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator

import pytest

from procession.abi.word import pack_u32, pack_u64
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.unicorn import UnicornEngine
from procession.hardware.extended_state import INITIAL_STATE
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.registers import RIP, RSP, Registers
from tests.hardware.processor_bench import CODE, EXECUTE, READ, STACK, Bench, processor_bench
from tests.hardware.test_engines_agree import STATUS
from tests.of_a_kind import first_of

PLACES = (CODE, 0x5555_5600_0000, 0x7FFF_F7A0_0000, 0x1234_8765_4000)
"""Where code lies: below 2 GiB, near each of the native engine's views, and far from both."""
FUNCTIONS, SLOT, TABLE = 6, 448, 4032
"""How many functions there are beside the main one, how long each may be, and where their addresses are."""
BREAKPOINT = ("exception", 3, 0)
FREE = tuple(register for register in range(16) if register != RSP)


@pytest.fixture(scope="module")
def benches() -> Iterator[tuple[Bench, Bench]]:
    """A processor of each engine, with pages of code at all places."""
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    with processor_bench(UnicornEngine) as unicorn, processor_bench(NativeEngine) as native:
        for bench in (unicorn, native):
            for place in PLACES[1:]:
                bench.space.map(place, READ | EXECUTE)
        yield unicorn, native


class Program:
    """A main function, at a page's start, and others; each calls only those behind it, so that it ends."""

    def __init__(self, chance: random.Random, place: int) -> None:
        self.chance = chance
        self.place = place
        self.pops = [chance.choice((0, 0, 0, 16)) for _ in range(FUNCTIONS)]
        self.code = bytearray()
        for number in range(-1, FUNCTIONS):
            start = SLOT * (number + 1)
            self.code += bytes(start - len(self.code))
            self.function(number, start + SLOT - 64)
        self.code = self.code.ljust(TABLE, b"\xcc")
        for number in range(FUNCTIONS):
            self.code += pack_u64(self.address(number))

    def address(self, number: int) -> int:
        return self.place + SLOT * (number + 1)

    def function(self, number: int, end: int) -> None:
        """What comes in random order, and the return: of the main function a breakpoint."""
        chance = self.chance
        while len(self.code) < end and chance.random() < 0.93:
            kind = chance.random()
            if kind < 0.6 or (number == FUNCTIONS - 1 and kind < 0.8):
                self.compute()
            elif kind < 0.8:
                self.call(chance.randrange(number + 1, FUNCTIONS))
            else:
                self.jump()
        if number < 0:
            self.code += b"\xcc"
        elif self.pops[number]:
            self.code += b"\xc2" + bytes((self.pops[number], 0))
        else:
            self.code += chance.choice((b"\xc3", b"\xf3\xc3"))

    def compute(self) -> None:
        chance = self.chance
        one, other = chance.choice(FREE), chance.choice(FREE)
        both = bytes((0x48 | one >> 3 << 2 | other >> 3, 0xC0 | (one & 7) << 3 | other & 7))
        self.code += chance.choice(
            (
                # add, adc, sub, sbb, cmp; stc, clc, cmc
                *(both[:1] + bytes((opcode,)) + both[1:] for opcode in (0x01, 0x11, 0x29, 0x19, 0x39)),
                *(b"\xf9", b"\xf8", b"\xf5"),
                self.move(one, chance.getrandbits(64)),
                # push and pop
                bytes((0x40 | one >> 3, 0x50 | one & 7, 0x40 | other >> 3, 0x58 | other & 7)),
                # jc over an addition
                b"\x72\x03" + both[:1] + b"\x01" + both[1:],
            )
        )

    @staticmethod
    def move(register: int, value: int) -> bytes:
        return bytes((0x48 | register >> 3, 0xB8 | register & 7)) + pack_u64(value)

    def call(self, number: int) -> None:
        chance, code = self.chance, self.code
        if self.pops[number]:
            code += b"\x48\x8d\x64\x24\xf0"  # lea rsp, [rsp - 16]
        kind = chance.randrange(3)
        if kind == 0:
            target = SLOT * (number + 1)
            code += b"\xe8" + pack_u32(target - len(code) - 5)
        elif kind == 1:
            register = chance.choice(FREE)
            code += self.move(register, self.address(number))
            code += bytes((0x40 | register >> 3, 0xFF, 0xD0 | register & 7))
        else:
            code += b"\xff\x15" + pack_u32(TABLE + 8 * number - len(code) - 6)

    def jump(self) -> None:
        """Over a few bytes, by a register or the stack."""
        chance, code = self.chance, self.code
        register, gap = chance.choice(FREE), chance.randrange(12)
        if chance.random() < 0.5:
            transfer = bytes((0x40 | register >> 3, 0xFF, 0xE0 | register & 7))
        else:
            transfer = bytes((0x40 | register >> 3, 0x50 | register & 7)) + b"\xc3"
        target = self.place + len(code) + 10 + len(transfer) + gap
        code += self.move(register, target) + transfer + b"\xcc" * gap


def run(bench: Bench, place: int, code: bytes, registers: Registers, stack: bytes) -> tuple[object, ...]:
    bench.traps.clear()
    bench.space.write(place, code)
    bench.space.write(STACK, stack)
    bench.engine.forget_code([bench.space.frame(place)])
    bench.engine.load(registers)
    after = bench.run()
    return bench.traps[:], after.general, after.rflags & STATUS, bench.space.read(STACK, PAGE_SIZE)


def compare(benches: tuple[Bench, Bench], seed: int, count: int) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        place = chance.choice(PLACES)
        code = bytes(Program(chance, place).code)
        registers, stack = Registers(), chance.randbytes(PAGE_SIZE)
        registers.general[:16] = array("Q", [chance.getrandbits(64) for _ in range(16)])
        registers.general[RSP], registers.general[RIP] = STACK + PAGE_SIZE // 2, place
        registers.rflags = 0x202 | chance.getrandbits(12) & STATUS
        registers.floating = INITIAL_STATE
        emulated, native = (run(bench, place, code, registers, stack) for bench in benches)
        assert native == emulated
        assert native[0] == [BREAKPOINT]


@pytest.mark.parametrize("seed", first_of(1, range(3)))
def test_transfers(benches: tuple[Bench, Bench], seed: int) -> None:
    compare(benches, seed, 150)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_transfers(benches: tuple[Bench, Bench], seed: int) -> None:
    compare(benches, seed, 3000)
