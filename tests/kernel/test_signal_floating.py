"""Checks that floating-point state survives the way through a signal frame's FXSAVE area."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.hardware.engines.unicorn import UnicornEngine
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.registers import Registers

RESERVED = slice(416, 512)


@pytest.fixture(scope="module")
def engine() -> Iterator[UnicornEngine]:
    engine = UnicornEngine()
    traps: Any = None
    memory = PhysicalMemory(1 << 20)
    engine.attach(memory, traps)
    yield engine
    engine.close()


def area(control: int, status: int, tags: int, mxcsr: int, x87: bytes, xmm: bytes) -> bytes:
    """An FXSAVE area; `x87` has 80 bytes, `xmm` 256."""
    registers = b"".join(x87[10 * index : 10 * index + 10] + bytes(6) for index in range(8))
    header = struct.pack("<HHBx18xII", control, status, tags, mxcsr, 0xFFFF)
    return (header + registers + xmm).ljust(512, b"\0")


def test_fresh_state_is_that_of_finit(engine: UnicornEngine) -> None:
    assert engine.fxsave(Registers()) == area(0x37F, 0, 0, 0x1F80, bytes(80), bytes(256))


@given(
    st.integers(0, 0xFFF),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFF),
    st.integers(0, 0xFFFF),
    st.binary(min_size=80, max_size=80),
    st.binary(min_size=256, max_size=256),
)
def test_what_is_loaded_is_saved(
    engine: UnicornEngine, control: int, status: int, tags: int, mxcsr: int, x87: bytes, xmm: bytes
) -> None:
    control |= 0x40
    image = area(control, status, tags, mxcsr, x87, xmm)
    registers = Registers()
    before = bytes(engine.state)
    engine.fxrstor(registers, image)
    assert bytes(engine.state) == before
    assert engine.fxsave(registers) == image
    registers.floating = b"\xff" * len(registers.floating)
    engine.fxrstor(registers, image)
    assert engine.fxsave(registers) == image


def test_reserved_bits_are_cleared(engine: UnicornEngine) -> None:
    registers = Registers()
    engine.fxrstor(registers, area(0x37F, 0, 0, 0xFFFFFFFF, bytes(80), bytes(256)))
    assert struct.unpack_from("<I", engine.fxsave(registers), 24) == (0xFFFF,)
