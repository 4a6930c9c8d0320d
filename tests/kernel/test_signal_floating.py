"""Checks that floating-point state survives the way through an engine and a signal frame's area."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.hardware.engines.unicorn import UnicornEngine
from procession.hardware.extended_state import (
    AVX,
    FXSAVE_BYTES,
    INITIAL_STATE,
    SSE,
    X87,
    XSAVE_BYTES,
    UnloadableState,
    canonical,
    restored,
    with_fxsave_area,
)
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.registers import Registers


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


AREAS = st.builds(
    area,
    st.integers(0, 0xFFF).map(lambda control: control | 0x40),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFF),
    st.integers(0, 0xFFFF),
    st.binary(min_size=80, max_size=80),
    st.binary(min_size=256, max_size=256),
)


def test_fresh_state_is_that_of_finit() -> None:
    assert Registers().extended_state[:FXSAVE_BYTES] == area(0x37F, 0, 0, 0x1F80, bytes(80), bytes(256))


@given(AREAS, st.binary(min_size=256, max_size=256), st.booleans())
def test_what_is_loaded_is_saved(
    engine: UnicornEngine, image: bytes, upper: bytes, is_remembered: bool
) -> None:
    registers = Registers()
    registers.floating = canonical(image + bytes(64) + upper)
    engine.load(registers)
    if not is_remembered:
        engine.known.clear()
        # What it was loaded as isn't known to it any more: the state is taken from the processor.
        engine.settled = b""
    saved = Registers()
    engine.save(saved)
    assert saved.floating == registers.floating
    assert saved.floating[:FXSAVE_BYTES] == image


@given(AREAS, st.binary(min_size=256, max_size=256))
def test_an_fxsave_area_leaves_avx_alone(image: bytes, upper: bytes) -> None:
    before = canonical(INITIAL_STATE[:576] + upper)
    after = canonical(with_fxsave_area(before, image))
    assert after == image + before[FXSAVE_BYTES:]


@given(AREAS, st.binary(min_size=256, max_size=256), st.integers(0, 7), st.integers(0, 7))
def test_only_what_is_asked_for_and_there_is_restored(
    image: bytes, upper: bytes, components: int, present: int
) -> None:
    stored = image + struct.pack("<Q56x", present) + upper
    state = canonical(restored(stored, components))
    both = components & present
    assert state[32:160] == (image if both & X87 else INITIAL_STATE)[32:160]
    assert state[160:416] == (image if both & SSE else INITIAL_STATE)[160:416]
    assert state[576:] == (upper if both & AVX else bytes(256))
    assert state[24:28] == (image if components & (SSE | AVX) else INITIAL_STATE)[24:28]
    assert len(state) == XSAVE_BYTES


@pytest.mark.parametrize("change", [(24, 0xFF0000), (512, 8), (512, 1 << 63), (520, 1 << 63), (528, 1)])
def test_what_no_processor_loads_is_refused(change: tuple[int, int]) -> None:
    offset, bits = change
    image = bytearray(INITIAL_STATE)
    word = int.from_bytes(image[offset : offset + 8], "little") | bits
    image[offset : offset + 8] = word.to_bytes(8, "little")
    with pytest.raises(UnloadableState):
        restored(bytes(image), X87 | SSE | AVX)


def test_reserved_bits_of_mxcsr_are_refused() -> None:
    with pytest.raises(UnloadableState):
        with_fxsave_area(INITIAL_STATE, area(0x37F, 0, 0, 0xFFFFFFFF, bytes(80), bytes(256)))
