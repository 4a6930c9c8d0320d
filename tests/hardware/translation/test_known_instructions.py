"""Instructions that are found by their form, against what the decoder says of each."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from procession.hardware.translation import known_instructions
from procession.hardware.translation.decode import Instruction, decode
from procession.hardware.translation.known_instructions import KnownInstructions, target_of
from procession.hardware.translation.opcodes import INVALID
from tests.hardware.translation.test_decode import TAIL, executable_sections, random_instruction

FIELDS = [name for name in Instruction.__slots__ if name not in ("is_ordinary", "target")]


def _assert_same(known: KnownInstructions, code: bytes, start: int) -> Instruction:
    found, expected = known.find(code, start), decode(code, start)
    for field in FIELDS:
        assert getattr(found, field) == getattr(expected, field), (field, code[start : start + 16].hex())
    if expected.kind != INVALID:
        assert target_of(found, code, start) == expected.target, code[start : start + 16].hex()
    return found


def test_random_instructions() -> None:
    chance, known = random.Random(6), KnownInstructions()
    for _ in range(20_000):
        code = random_instruction(chance)
        _assert_same(known, code, 0)
        # Again with another immediate and displacement, from which it may not be told apart.
        _assert_same(known, code[:4] + TAIL, 0)
    assert known.count > 1000


def test_all_the_code_of_a_library(guest_root: Path) -> None:
    known = KnownInstructions()
    path = next(guest_root.rglob("libz.so.1.*"))
    for section in executable_sections(path):
        offset = 0
        while offset < len(section):
            offset += max(_assert_same(known, section, offset).length, 1)
    assert 100 < known.count < 5000


@pytest.mark.heavy
def test_many_forms_are_forgotten() -> None:
    known = KnownInstructions()
    most = known_instructions._MOST_FORMS
    for first in range(8):
        for second in range(256):
            for third in range(0, 256, 8):
                if known.count >= most:
                    break
                _assert_same(known, bytes((0x66, 0x48 + first, second, third)) + TAIL, 0)
    chance = random.Random(8)
    while known.count < most:
        known.find(chance.choice((b"", b"\x66", b"\x64\x66")) + chance.randbytes(24), 0)
    while known.count >= most:
        _assert_same(known, random_instruction(chance), 0)
    assert known.count == len(known.forms) == 1


def test_what_is_ordinary() -> None:
    known = KnownInstructions()
    ordinary = {code: known.find(bytes.fromhex(code) + TAIL, 0).is_ordinary for code in _ORDINARY}
    assert ordinary == _ORDINARY


_ORDINARY = {
    "4889d8": True,  # mov rax, rbx
    "58": True,  # pop rax
    "c1e005": True,  # shl eax, 5
    "65488b0425": False,  # mov rax, gs:[...]
    "488b05": False,  # mov rax, [rip + ...]
    "f0480108": False,  # lock add [rax], rcx
    "48f7f1": False,  # div rcx
    "0fafc1": False,  # imul eax, ecx
    "f390": False,  # pause
    "f34190": False,  # xchg r8, rax
    "e8": False,  # call
    "0f05": False,  # syscall
}
