"""The decoder against iced-x86: every opcode, random instructions, and all the code of real programs."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from procession.hardware.translation import opcodes
from procession.hardware.translation.copier import is_harmless
from procession.hardware.translation.decode import REX_PREFIX, decode
from tests.hardware.translation.reference import difference
from tests.of_a_kind import some_of

PREFIXES = (
    b"",
    b"\x66",
    b"\xf3",
    b"\xf2",
    b"\x48",
    b"\x41",
    b"\x66\x48",
    b"\xf3\x48",
    b"\xf2\x41",
    b"\xf0",
    b"\x67",
)
MAPS = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
MODRMS = (0x00, 0x05, 0x0C, 0x14, 0x45, 0x84, 0xC0, 0xC4, 0xCF, 0xD0, 0xD9, 0xE1, 0xE9, 0xF8, 0xFF)
LONG_MODE_PREFIXES = tuple(
    bytes((0xC4, rex | number, w | vvvv << 3 | is_long << 2 | prefix))
    for rex in (0xE0, 0x40)
    for number in (1, 2, 3)
    for w in (0, 0x80)
    for vvvv in (0xF, 0x5)
    for is_long in (0, 1)
    for prefix in range(4)
)
TAIL = bytes.fromhex("24887766554433221199aabbccddeeff")


def _assert_same(cases: list[bytes]) -> None:
    differing = [text for text in map(difference, cases) if text]
    assert not differing, f"{len(differing)} of {len(cases)}: " + "; ".join(differing[:5])


@pytest.mark.parametrize("opcode_map", MAPS, ids=bytes.hex)
def test_every_opcode_with_each_prefix(opcode_map: bytes) -> None:
    cases = [
        prefix + opcode_map + bytes((opcode, modrm)) + TAIL
        for prefix in PREFIXES
        for opcode in range(256)
        for modrm in MODRMS
    ]
    _assert_same(some_of(cases))


def test_every_opcode_of_avx() -> None:
    cases = [
        prefix + bytes((opcode, modrm)) + TAIL
        for prefix in LONG_MODE_PREFIXES
        for opcode in range(256)
        for modrm in (0x04, 0x05, 0xC1, 0xDA, 0xF3)
    ]
    _assert_same(some_of(cases))


def test_everything_of_the_x87() -> None:
    _assert_same([bytes((opcode, modrm)) + TAIL for opcode in range(0xD8, 0xE0) for modrm in range(256)])


def random_instruction(chance: random.Random) -> bytes:
    """Bytes that are often an instruction: prefixes, one of the opcode maps, and what comes."""
    code = bytearray(chance.randbytes(24))
    which = chance.random()
    if which < 0.3:
        code[:1] = b"\x0f"
    elif which < 0.4:
        code[:1] = b"\xc5"
    elif which < 0.6:
        code[:1] = b"\xc4" + bytes((chance.choice((0xE1, 0xE2, 0xE3, 0x42, 0x83)),))
    elif which < 0.7:
        code[:1] = b"\x0f\x38"
    elif which < 0.8:
        code[:1] = b"\x0f\x3a"
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        code[:0] = bytes((chance.choice((0x66, 0xF2, 0xF3, 0x48, 0x41, 0x67, 0xF0, 0x64, 0x65, 0x2E, 0x40)),))
    return bytes(code)


def test_random_instructions() -> None:
    chance = random.Random(12)
    _assert_same(some_of([random_instruction(chance) for _ in range(100_000)]))


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(8))
def test_many_random_instructions(seed: int) -> None:
    chance = random.Random(1000 + seed)
    _assert_same([random_instruction(chance) for _ in range(1_000_000)])


def test_instructions_that_end_too_early() -> None:
    chance = random.Random(5)
    truncated = 0
    for _ in range(20_000):
        code = random_instruction(chance)
        whole = decode(code, 0)
        if whole.kind == opcodes.INVALID or (whole.kind == opcodes.PRIVILEGED and whole.length > 14):
            continue
        for length in range(1, whole.length):
            assert decode(code[:length], 0).kind == opcodes.TRUNCATED, code[: whole.length].hex()
            truncated += 1
    assert truncated > 10_000


def test_what_begins_in_the_middle_of_bytes() -> None:
    code = bytes.fromhex("90 4889c8 eb05 0f05")
    kinds = [(decode(code, at).kind, decode(code, at).length) for at in (0, 1, 4, 6)]
    assert kinds == [(opcodes.PLAIN, 1), (opcodes.PLAIN, 3), (opcodes.JUMP, 2), (opcodes.SYSCALL, 2)]
    assert decode(code, 4).target == 7


def test_rex_is_told_with_each_map_of_opcodes() -> None:
    for text in ("418b05", "410fdf35", "66410f380035", "66410f3a0f35"):
        code = bytes.fromhex(text) + bytes(8)
        assert decode(code, 0).prefixes & REX_PREFIX, text
        assert not decode(code.replace(b"\x41", b""), 0).prefixes & REX_PREFIX, text
    # A prefix before it makes it nothing, and VEX has no such prefix.
    assert not decode(bytes.fromhex("41660fdf35") + bytes(8), 0).prefixes & REX_PREFIX
    assert not decode(bytes.fromhex("c4c17c1008") + bytes(8), 0).prefixes & REX_PREFIX


def test_nothing_is_truncated() -> None:
    assert decode(b"", 0).kind == opcodes.TRUNCATED
    assert decode(b"\x90", 1).kind == opcodes.TRUNCATED


def executable_sections(path: Path) -> list[bytes]:
    """The contents of an ELF file's sections with code."""
    data = path.read_bytes()
    [table] = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections: list[bytes] = []
    for number in range(count):
        _, kind, flags, _, offset, length = struct.unpack_from("<IIQQQQ", data, table + number * size)
        if kind == 1 and flags & 4:
            sections.append(data[offset : offset + length])
    return sections


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "pattern",
    [
        "usr/bin/bash",
        "usr/lib/x86_64-linux-gnu/libc.so.6",
        "usr/lib/x86_64-linux-gnu/libcrypto.so.*",
        "usr/bin/python3.*",
        "usr/lib*/gcc/x86_64-linux-gnu/*/cc1",
    ],
)
def test_all_the_code_of_a_program(guest_root: Path, pattern: str) -> None:
    path = next((path for root in (guest_root, Path("/")) for path in root.glob(pattern)), None)
    if path is None:
        pytest.skip(f"no {pattern} in the guest's tree nor on this host")
    seen = 0
    differing: list[str] = []
    for code in executable_sections(path):
        position = 0
        while position < len(code):
            instruction = decode(code, position)
            text = difference(code, position)
            if text:
                differing.append(text)
            position += 1 if instruction.kind in (opcodes.INVALID, opcodes.TRUNCATED) else instruction.length
            seen += 1
    assert seen > 100_000
    assert not differing, f"{len(differing)} of {seen}: " + "; ".join(differing[:5])


def test_what_tells_of_the_host_is_not_left_to_it() -> None:
    """A limit may be the number of the processor on which the program happens to run."""
    lar, lsl = (decode(bytes.fromhex(code), 0) for code in ("0f02c1", "0f03c1"))
    assert is_harmless(lar)
    assert not is_harmless(lsl)
