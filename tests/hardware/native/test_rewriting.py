"""Code does the same wherever it lies, however often the processor comes back, and step by step."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.registers import R11, RCX, RIP, RSP, Registers
from procession.hardware.translation.decode import ADDRESS_SIZE, FS, GS, Instruction, decode
from procession.hardware.translation.opcodes import PLAIN
from procession.hardware.translation.price import UNIT, price_of
from tests.hardware.processor_bench import EXECUTE, READ, STACK, WRITE, Bench, processor_bench
from tests.of_a_kind import first_of

REASON = why_unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native engine on this host: {REASON}")
PLACES = (0x7FFF_F700_0000, 0x1234_0000, 0x1000_0000_0000)
"""Near the code cache; where addresses are short; and where neither is so."""
OPERAND = 0x1200
"""How far behind an instruction's beginning its operand is."""
LEA, BIT_TESTS = 0x8D, (0xA3, 0xAB, 0xB3, 0xBB)
SYSTEM_CALL = b"\x0f\x05"
DEBUG, TRAP_FLAG = ("exception", 1, 0), 0x100


@pytest.fixture(scope="module")
def native() -> Iterator[Bench]:
    with processor_bench(NativeEngine) as bench:
        for place in PLACES:
            bench.space.map(place, READ | EXECUTE)
            bench.space.map(place + PAGE_SIZE, READ | WRITE)
        yield bench


def random_code(chance: random.Random) -> bytes:
    """An instruction's likely beginning, then anything."""
    prefix = chance.choice((b"", b"", b"", b"\x66", b"\xf2", b"\xf3", b"\xf0"))
    rex = bytes((chance.randrange(0x40, 0x50),)) if chance.random() < 0.6 else b""
    escape = chance.choice((b"", b"", b"\x0f", b"\x0f", b"\x0f\x38", b"\x0f\x3a"))
    if chance.random() < 0.25:
        prefix, rex = b"", b""
        vex = chance.choice((2, 3))
        payload = bytes((chance.randrange(256) & 0xE0 | chance.randrange(1, 4), chance.randrange(256)))
        escape = b"\xc5" + payload[1:] if vex == 2 else b"\xc4" + payload
    modrm = chance.randrange(8) << 3 | 5
    return prefix + rex + escape + bytes((chance.randrange(256), modrm)) + chance.randbytes(12)


def relative_instruction(chance: random.Random) -> bytes:
    """An instruction whose memory is OPERAND bytes behind its beginning, relative to rip."""
    while True:
        code = random_code(chance)
        found = decode(code, 0)
        if (found.table == 0 and found.opcode == LEA) or (found.table and found.opcode in BIT_TESTS):
            # They show the address, or touch memory far from it.
            continue
        if found.kind == PLAIN and found.displacement and not found.prefixes & (FS | GS | ADDRESS_SIZE):
            place = found.displacement
            distance = (OPERAND - found.length).to_bytes(4, "little")
            return code[:place] + distance + code[place + 4 : found.length]


def values_of(chance: random.Random) -> dict[int, int]:
    values = {register: chance.randrange(1 << 64) >> chance.choice((0, 32, 56)) for register in range(16)}
    values[RSP] = STACK + PAGE_SIZE // 2
    return values


def seen(bench: Bench, place: int, registers: Registers) -> tuple[object, ...]:
    """What there is to compare, with addresses counted from the code's beginning."""
    general = list(registers.general)
    general[RIP] -= place
    general[RCX] = 0
    [trap] = bench.traps
    kind, first, second = trap
    if kind == "fault":
        first = 0
    data = bench.space.read(place + PAGE_SIZE, PAGE_SIZE)
    return kind, first, second, general, registers.rflags, registers.extended_state, data


def describe(code: bytes) -> str:
    found: Instruction = decode(code, 0)
    return f"{code.hex()} (table {found.table}, opcode {found.opcode:#x}, registers {found.registers:#x})"


@pytest.mark.parametrize("seed", first_of(8, range(20)))
def test_memory_relative_to_rip(native: Bench, seed: int) -> None:
    """An instruction does the same at each place."""
    chance = random.Random(seed)
    for _ in range(60):
        code = relative_instruction(chance)
        values, data = values_of(chance), chance.randbytes(PAGE_SIZE)
        outcomes: list[tuple[object, ...]] = []
        for place in PLACES:
            native.space.write(place, (code + SYSTEM_CALL).ljust(64, b"\xcc"))
            native.engine.forget_code([native.space.frame(place)])
            native.space.write(place + PAGE_SIZE, data)
            native.traps.clear()
            native.load(b"", values | {RIP: place})
            outcomes.append(seen(native, place, native.run()))
        assert outcomes[1] == outcomes[0], describe(code)
        assert outcomes[2] == outcomes[0], describe(code)


def loop_body(chance: random.Random) -> bytes:
    """Instructions that leave ecx and the stack alone, and don't touch memory."""
    body = b""
    for _ in range(chance.randrange(1, 8)):
        while True:
            code = random_code(chance)
            code = (
                code[: decode(code, 0).opcode_offset + 1]
                + bytes((chance.randrange(0xC0, 0x100),))
                + code[-8:]
            )
            found = decode(code, 0)
            if found.kind == PLAIN and not found.has_memory and not found.registers & (1 << RCX | 1 << RSP):
                body += code[: found.length]
                break
    return body


def units_of_loop(body: bytes) -> int:
    """What 40 times the body count, with two instructions behind it, the first of them with one before."""
    price, position = 0, 0
    while position < len(body):
        instruction = decode(body, position)
        price += price_of(instruction)
        position += instruction.length
    return 39 + (price + 3) // UNIT + 39 * ((price + 2) // UNIT)


@pytest.mark.parametrize("seed", first_of(8, range(20)))
def test_loops(native: Bench, seed: int) -> None:
    """A loop ends with the same registers in one go, in slices, and instruction by instruction."""
    chance = random.Random(seed)
    for _ in range(8):
        body = loop_body(chance)
        # mov ecx, 40; the body; dec ecx; jnz, to the body
        code = (
            b"\xb9\x28\0\0\0"
            + body
            + b"\xff\xc9\x0f\x85"
            + (-len(body) - 8).to_bytes(4, "little", signed=True)
        )
        values = values_of(chance)
        outcomes: list[tuple[object, ...]] = []
        for slice_units, flags in ((1000, 0x202), (7, 0x202), (1, 0x202), (100_000, 0x202 | TRAP_FLAG)):
            native.traps.clear()
            native.on_trap = lambda trap: trap == DEBUG
            native.load(code + SYSTEM_CALL, values, flags)
            left = 0
            for _ in range(2000):
                registers = native.run(slice_units)
                left = native.engine.budget_left()
                if any(trap != DEBUG for trap in native.traps):
                    break
            native.on_trap = lambda trap: False
            found = [trap for trap in native.traps if trap != DEBUG]
            # The call itself has spoilt these two.
            registers.general[RCX] = registers.general[R11] = 0
            state = registers.rflags & ~TRAP_FLAG, registers.general
            outcomes.append((found, state, registers.extended_state))
            if slice_units == 1000 and found == [("call", registers.general[0], 0)]:
                assert 1000 - left == units_of_loop(body), body.hex()
        assert [outcome == outcomes[0] for outcome in outcomes] == [True] * 4, body.hex()
