"""Stacks by tables that anybody may have written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from procession.trace.call_stack import Module
from procession.trace.unwind import FRAME_ORDER, BadTable, FrameRules, caller_of
from tests.trace.test_against_strace import STACKS, compiled

STACK = 0x7000_0000_0000


class Bytes:
    """A file's contents."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


@pytest.fixture(scope="module", params=["", "-static"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    target = tmp_path_factory.mktemp("stack") / "stacks"
    return Path(compiled(STACKS, target, *filter(None, [request.param]))).read_bytes()


def rules_of(module: Module) -> list[FrameRules]:
    """Those at the start of each function, where they make sense."""
    found: list[FrameRules] = []
    frames = module.frames
    for start in () if frames is None else list(frames.starts)[:400]:
        assert frames is not None
        try:
            found.append(frames.rules_at(frames.base + start))
        except BadTable:
            continue
    return found


def word(address: int) -> int:
    """A stack of return addresses."""
    if not STACK <= address < STACK + 4096:
        raise BadTable
    return 0x1234


def test_tables_of_a_program(program: bytes) -> None:
    module = Module(Bytes(program), len(program))
    assert module.frames is not None
    rules = rules_of(module)
    assert len(rules) == min(len(module.frames.starts), 400)
    registers = [STACK + 64] * len(FRAME_ORDER)
    assert [caller_of(each, registers, word) for each in rules].count(None) <= 2
    main = next(symbol for symbol in module.symbols if symbol.name == b"main")
    assert module.name_at(main.address + 3) == "main+0x3"
    assert module.name_at(main.address + main.size - 1) == f"main+{main.size - 1:#x}"


@pytest.mark.parametrize("seed", range(60))
def test_tables_that_make_no_sense(program: bytes, seed: int) -> None:
    chosen = random.Random(seed)
    data = bytearray(program)
    at = data.find(b"\x01zR")
    first = max(at - 4096, 0) if seed % 2 and at >= 0 else 0
    last = min(first + 16384, len(data)) if seed % 4 else 1024
    for _ in range(chosen.choice((3, 50, 2000))):
        data[chosen.randrange(first, last)] = chosen.randrange(256)
    length = len(data) if seed % 3 else chosen.randrange(len(data))
    module = Module(Bytes(bytes(data[:length])), length)
    registers = [STACK + 64] * len(FRAME_ORDER)
    for rules in rules_of(module):
        try:
            caller_of(rules, registers, word)
        except BadTable:
            continue
    for offset in range(0, length, 997):
        try:
            module.name_at(module.address_of(offset))
        except BadTable:
            continue
