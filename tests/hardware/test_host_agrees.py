"""Instructions of all kinds inside and on the host, from the same state: signals, frames, memory and
all registers come to the same.

What runs, here as natively, is a program (host_states.c) that is told of instructions and states. So what the
kernel makes of exceptions is compared too. The processor is the one that the native engine shows: what it
hasn't got is an invalid opcode, whatever the host has.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.extended_state import AVX, INITIAL_STATE, MXCSR_OFFSET, SSE, X87, XSAVE_BYTES
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.registers import RCX, RSP, TRAP_FLAG
from procession.hardware.translation import opcodes
from procession.hardware.translation.decode import (
    ADDRESS_SIZE,
    FS,
    GS,
    LOCK,
    OPERAND_SIZE,
    Instruction,
    decode,
)
from procession.hardware.translation.operand import effective_address
from tests.guest.compile_c import Linkage, compile_program
from tests.hardware.test_sse_agrees import random_vector
from tests.hardware.test_x87_agrees import random_state
from tests.hardware.translation.test_decode import random_instruction
from tests.of_a_kind import first_of

SOURCE = Path(__file__).with_name("host_states.c")
CODE, DATA, STACK, SLOT_BYTES, USUAL_PLACE = 0x1000_0000, 0x2000_0000, 0x3000_0000, 512, 256
CASE = struct.Struct(f"<24sII16QQQ{XSAVE_BYTES}s")
OUTCOME = struct.Struct(f"<iiQ23q3QIIII{XSAVE_BYTES}s")
GENERAL = (8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 3, 2, 0, 1, 4)
"""The general registers in a frame's order."""
NAMES = (
    *("signal", "code", "address", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp"),
    *(
        "rbx",
        "rdx",
        "rax",
        "rcx",
        "rsp",
        "rip",
        "flags",
        "segments",
        "error",
        "trap",
        "mask",
        "cr2",
        "fs",
        "gs",
    ),
    *("digest", "changed"),
)
STATUS = opcodes.STATUS_FLAGS | opcodes.DIRECTION
SHIFTS, DOUBLE_SHIFTS = (0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3), (0xA4, 0xA5, 0xAC, 0xAD)
PAGE_FAULT, BY_BRANCH = 14, (opcodes.RETURN, opcodes.JUMP_INDIRECT, opcodes.CALL_INDIRECT)
OF_THE_HOST = (opcodes.TIMESTAMP, opcodes.CPUID, opcodes.RANDOM, opcodes.BASE, opcodes.EXTENDED_CONTROL)
"""What tells of the host, or isn't there unless CPUID says so."""
NEVER = (opcodes.INVALID, opcodes.TRUNCATED)
SYSENTER, CALL_32, LOCK_PREFIX, LINE_BYTES, LONGEST_LOCKED = 0x34, b"\xcd\x80", 0xF0, 64, 16
STRINGS = (*range(0x6C, 0x70), *range(0xA4, 0xA8), *range(0xAA, 0xB0))
OF_MMX = (*range(0x60, 0x80), *range(0xD0, 0x100), 0x2A, 0x2C, 0x2D, 0xC4, 0xC5)
OF_SYSTEM = (
    *("0fae", "0fae", "0fc7", "0f00", "0f01", "0f02", "0f03", "8e", "8c", "9c", "9d", "cf", "ff", "cb", "ca"),
    *(
        "0fa0",
        "0fa1",
        "0fa8",
        "0fa9",
        "0fb2",
        "0fb4",
        "0fb5",
        "cc",
        "f1",
        "cd",
        "0f0b",
        "0fb9",
        "0fff",
        "0f05",
    ),
    *(
        "0f1e",
        "0f18",
        "0f0d",
        "c6",
        "c7",
        "0fc3",
        "0fe7",
        "0ff7",
        "0f2b",
        "c8",
        "c9",
        "8f",
        "0f77",
        "9b",
        "0f20",
    ),
    *(
        "0f22",
        "0f21",
        "0f23",
        "f4",
        "0f30",
        "0f32",
        "0f33",
        "e4",
        "ee",
        "06",
        "60",
        "82",
        "9a",
        "d6",
        "ea",
        "fa",
    ),
    *("0f38f0", "0f38f1"),
)


class Case:
    """One instruction and the state that it begins in; `place` is where it is in its slot."""

    __slots__ = ("code", "flags", "general", "image", "instruction", "place", "seed")

    def __init__(self, chance: random.Random, code: bytes, number: int) -> None:
        code += bytes(15)
        self.instruction = decode(code, 0)
        self.code = code[: 15 if self.instruction.kind in NEVER else self.instruction.length]
        self.place = USUAL_PLACE
        if number % 8 == 7 and chance.random() < 0.5:
            # In two pages.
            self.place = SLOT_BYTES - chance.randrange(1, 15)
        self.general = [random_register(chance) for _ in range(16)]
        if chance.random() < 0.8:
            self.general[RCX] = chance.choice((0, 1, 2, chance.randrange(70), chance.randrange(2000)))
        self.general[RSP] = STACK + PAGE_SIZE + 8 * chance.randrange(-200, 200)
        if chance.random() < 0.1:
            self.general[RSP] = STACK + chance.choice((0, 4, 8, 2 * PAGE_SIZE, 2 * PAGE_SIZE - 4))
        self.flags = 0x202 | chance.getrandbits(12) & STATUS | (TRAP_FLAG if chance.random() < 0.1 else 0)
        self.seed = chance.getrandbits(64) | 1
        self.image = random_image(chance)

    def pack(self) -> bytes:
        general = (self.general[number] for number in GENERAL)
        return CASE.pack(self.code, len(self.code), self.place, *general, self.flags, self.seed, self.image)


def random_register(chance: random.Random) -> int:
    """An address in the middle of the data, or near an end of it, or a number."""
    kind = chance.random()
    if kind < 0.45:
        return DATA + PAGE_SIZE + chance.choice((1, 16)) * chance.randrange(-64, 64)
    if kind < 0.6:
        return DATA + chance.choice((0, 2, 3)) * PAGE_SIZE - chance.randrange(70)
    if kind < 0.65:
        return STACK + PAGE_SIZE + 8 * chance.randrange(-200, 200)
    return chance.getrandbits(chance.choice((3, 6, 8, 16, 32, 64, 64, 64)))


def random_image(chance: random.Random) -> bytes:
    """A state of x87, SSE and AVX, of which some parts are as they began."""
    image = bytearray(random_state(chance, has_empty=True) if chance.random() < 0.5 else INITIAL_STATE)
    image[160:416] = b"".join(random_vector(chance) for _ in range(16))
    image[576:832] = b"".join(random_vector(chance) for _ in range(16))
    mxcsr = chance.getrandbits(2) << 13 | chance.choice((0, chance.getrandbits(6), 0x8000, 0x40))
    mxcsr |= 0x1F80 if chance.random() < 0.7 else chance.getrandbits(6) << 7
    image[MXCSR_OFFSET : MXCSR_OFFSET + 4] = mxcsr.to_bytes(4, "little")
    present = chance.choice((X87 | SSE, chance.randrange(8), *[X87 | SSE | AVX] * 8))
    image[512:520] = present.to_bytes(8, "little")
    return bytes(image)


def random_prefixes(chance: random.Random) -> bytes:
    """Few and often none, REX perhaps at the end."""
    prefixes = bytes(
        chance.choice((0x66, 0xF2, 0xF3, 0x67, 0x64, 0x65, 0x2E, 0x3E, 0x66, 0xF2, 0xF3))
        for _ in range(chance.choice((0, 0, 0, 0, 1, 1, 2)))
    )
    return prefixes + (bytes((0x40 | chance.getrandbits(4),)) if chance.random() < 0.5 else b"")


def random_operands(chance: random.Random) -> bytes:
    """ModRM, what follows it, and an immediate."""
    mode, base = chance.choice((0, 0, 1, 2, 3, 3)), chance.getrandbits(3)
    operands = bytes((mode << 6 | chance.getrandbits(3) << 3 | base,))
    if mode < 3 and base == 4:
        operands += chance.randbytes(1)
    if mode == 0 and base == 5:
        operands += (DATA - CODE + chance.randrange(PAGE_SIZE)).to_bytes(4, "little")
    elif mode == 1:
        operands += chance.randbytes(1)
    elif mode == 2:
        operands += chance.randrange(-300, 300).to_bytes(4, "little", signed=True)
    return operands + chance.choice(
        (chance.randbytes(8), bytes((chance.randrange(8),)) + chance.randbytes(7))
    )


def legacy(chance: random.Random) -> bytes:
    opcode = chance.choice((b"", b"", b"\x0f", b"\x0f", b"\x0f\x38", b"\x0f\x3a")) + chance.randbytes(1)
    return random_prefixes(chance) + opcode + random_operands(chance)


def vex(chance: random.Random) -> bytes:
    vvvv = chance.choice((0xF, 0xF, chance.getrandbits(4)))
    table = chance.choice((1, 2, 3, 1, 2, 3, chance.getrandbits(5)))
    third = chance.choice((0, 0, 0x80)) | vvvv << 3 | chance.getrandbits(3)
    head = bytes((0xC4, chance.getrandbits(3) << 5 | table, third))
    prefix = bytes((chance.choice((0x67, 0x64, 0x65, 0x66, 0x48)),)) if chance.random() < 0.1 else b""
    return prefix + head + chance.randbytes(1) + random_operands(chance)


def x87(chance: random.Random) -> bytes:
    opcode = bytes((chance.randrange(0xD8, 0xE0),))
    return random_prefixes(chance) + opcode + random_operands(chance)


def mmx(chance: random.Random) -> bytes:
    return random_prefixes(chance) + bytes((0x0F, chance.choice(OF_MMX))) + random_operands(chance)


def strings(chance: random.Random) -> bytes:
    repeated = chance.choice((b"", b"\xf3", b"\xf2", b"\x67\xf3"))
    return repeated + random_prefixes(chance) + bytes((chance.choice(STRINGS),))


def system(chance: random.Random) -> bytes:
    return random_prefixes(chance) + bytes.fromhex(chance.choice(OF_SYSTEM)) + random_operands(chance)


_LOAD_RIGHTS = 2
KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    *(legacy, vex, x87, mmx, strings, system, random_instruction),
)


def is_left_out(case: Case) -> bool:
    """Whether a case isn't for the host, or comes to what is known to differ (docs/design.md)."""
    instruction, code = case.instruction, case.code
    kind, table, opcode = instruction.kind, instruction.table, instruction.opcode
    if kind in OF_THE_HOST or kind in BY_BRANCH or kind == opcodes.FLOATING_STORE or CALL_32 in code:
        return True
    if table in range(opcodes.TWO_BYTE_TABLE, opcodes.THREE_BYTE_38_TABLE) and opcode == SYSENTER:
        return True
    if kind == opcodes.SEGMENT_STORE or (kind == opcodes.DESCRIPTOR and opcode < _LOAD_RIGHTS):
        # A host's kernel returns with other null selectors, and does the second its own way.
        return True
    if kind == opcodes.REPEATED_STRING and (case.flags & TRAP_FLAG or instruction.prefixes & GS):
        return True
    if instruction.prefixes & GS and instruction.prefixes & ADDRESS_SIZE and table and opcode & 0xC7 == 0x83:
        # Where a bit is, the native engine computes in 64 bits then.
        return True
    if kind in (opcodes.JUMP, opcodes.CONDITIONAL, opcodes.LOOP, opcodes.CALL) and (
        0 <= instruction.target < instruction.length
    ):
        return True
    return may_cross_lines(case) or (not is_of_intel() and is_makers_own(instruction))


@cache
def is_of_intel() -> bool:
    """Whether the host's processor is of the make that programs find inside."""
    return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")


def is_makers_own(instruction: Instruction) -> bool:
    """Whether AMD's processors do it otherwise than Intel's.

    They cut the target of a direct transfer with an operand-size prefix to 16 bits and tell int1 as a fault.
    They read all that a far return pops before they look at its selector, and pop whole words into segment
    registers; a far pointer's offset has 32 bits with REX.W too. Of two faults of xsave or xrstor they raise
    the other one first.
    """
    kind = instruction.kind
    if kind in (opcodes.JUMP, opcodes.CONDITIONAL, opcodes.LOOP, opcodes.CALL):
        return instruction.prefixes & OPERAND_SIZE != 0
    if kind == opcodes.INTERRUPT:
        return instruction.immediate == 1
    return kind in (
        *(opcodes.FAR, opcodes.SEGMENT_LOAD),
        *(opcodes.EXTENDED_SAVE, opcodes.EXTENDED_RESTORE),
    )


def may_cross_lines(case: Case) -> bool:
    """Whether it locks what may be in two lines of the cache, for which hosts punish programs."""
    instruction, code = case.instruction, case.code
    if instruction.kind in NEVER:
        return LOCK_PREFIX in code
    is_exchange = instruction.table == 0 and instruction.opcode in (0x86, 0x87)
    if not instruction.has_memory or not (instruction.prefixes & LOCK or is_exchange):
        return False
    if instruction.prefixes & (FS | GS | ADDRESS_SIZE) or (instruction.table and instruction.opcode < 0xB0):
        return True
    address = effective_address(instruction, code, case.general, CODE + len(code), 0)
    return address % LINE_BYTES + LONGEST_LOCKED > LINE_BYTES or instruction.opcode in (0xB3, 0xBB)


def make_cases(seed: int, count: int) -> list[Case]:
    chance = random.Random(seed)
    cases: list[Case] = []
    while len(cases) < count:
        case = Case(chance, chance.choice(KINDS)(chance), len(cases))
        if not is_left_out(case):
            cases.append(case)
    return cases


def undefined_flags(instruction: Instruction) -> int:
    undefined = instruction.flags_undefined
    if instruction.table == 0 and instruction.opcode in SHIFTS:
        undefined |= opcodes.OVERFLOW | opcodes.ADJUST
    elif instruction.table and instruction.opcode in DOUBLE_SHIFTS:
        undefined |= STATUS
    return undefined


def comparable(case: Case, outcome: bytes) -> dict[str, object]:
    """What an outcome tells that must be the same."""
    fields = OUTCOME.unpack(outcome)
    told: dict[str, object] = dict(zip(NAMES, fields, strict=False))
    image = bytearray(fields[-1])
    del told["mask"]
    told["flags"] = fields[20] & ~undefined_flags(case.instruction)
    if told["trap"] != PAGE_FAULT:
        del told["cr2"]
    # Where the x87's last instruction was.
    image[5:24] = bytes(19)
    if not image[512] & AVX:
        image[576:832] = bytes(256)
    for number in range(8):
        told[f"st{number}"] = image[32 + 16 * number : 42 + 16 * number].hex()
    for number in range(16):
        start = 16 * number
        told[f"ymm{number}"] = (image[160 + start : 176 + start] + image[576 + start : 592 + start]).hex()
    return told | {"x87": image[:5].hex(), "mxcsr": image[MXCSR_OFFSET : MXCSR_OFFSET + 4].hex()}


def refused(case: Case, number: int, told: dict[str, object]) -> bool:
    """Whether an instruction that there isn't was an invalid opcode where it stands."""
    return (told["trap"], told["rip"]) == (6, CODE + SLOT_BYTES * number + case.place)


def compare(seed: int, count: int) -> list[str]:
    """What differs of `count` cases on the native engine."""
    cases = make_cases(seed, count)
    told = b"".join(case.pack() for case in cases)
    program = str(compile_program(SOURCE, Linkage.DYNAMIC))
    native = subprocess.run([program], input=told, stdout=subprocess.PIPE, check=True).stdout
    with closing(Machine(engine="native")) as machine:
        inside = machine.run([program], stdin=told, output_limit_bytes=1 << 26)
    assert (inside.status, len(inside.stdout)) == (0, OUTCOME.size * count)
    differing: list[str] = []
    for number, case in enumerate(cases):
        start, end = number * OUTCOME.size, (number + 1) * OUTCOME.size
        here, there = (comparable(case, outcomes[start:end]) for outcomes in (inside.stdout, native))
        if case.instruction.kind in NEVER:
            if not refused(case, number, here):
                differing.append(f"{case.code.hex()} isn't refused")
        elif here != there:
            parts = [
                f"{name} {there[name]} {here.get(name)}" for name in there if there[name] != here.get(name)
            ]
            differing.append(f"{case.code.hex()} {case.flags:#x} {'; '.join(parts)[:300]}")
    return differing


@pytest.fixture(autouse=True)
def _needs_stubs() -> None:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.parametrize("seed", first_of(1, range(3)))
def test_instructions(seed: int) -> None:
    differing = compare(seed, 1000)
    assert not differing, f"{len(differing)}: " + "\n".join(differing[:20])


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_instructions(seed: int) -> None:
    differing = compare(seed, 8000)
    assert not differing, f"{len(differing)}: " + "\n".join(differing[:20])
