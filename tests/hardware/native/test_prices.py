"""What takes longer than a jump is counted, and the same whatever the stub has mapped already."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.registers import RAX, RCX, RDI, RSI
from tests.hardware.processor_bench import DATA, READ, WRITE, Bench, processor_bench

REASON = why_unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native engine on this host: {REASON}")
FLAGS = 0x8D7
"""All that say how something ended."""
SYSTEM_CALL = b"\x0f\x05"
PAGES, UNITS = 96, 100_000
FAR = 0x90_0000


@pytest.fixture
def native() -> Iterator[Bench]:
    with processor_bench(NativeEngine) as bench:
        for page in range(PAGES):
            bench.space.map(FAR + page * PAGE_SIZE, READ | WRITE)
        yield bench


def units_of(native: Bench, code: bytes, values: dict[int, int] | None = None, rflags: int = 0x202) -> int:
    native.traps.clear()
    native.load(code + SYSTEM_CALL, values, rflags)
    native.run(UNITS)
    assert [trap[0] for trap in native.traps] == ["call"]
    return UNITS - native.engine.budget_left()


@pytest.mark.parametrize(
    ("code", "units"),
    [(b"\xf3\xaa", 96 * 64), (b"\xf3\xa4", 96 * 64), (b"\xf3\xac", 96 * 256), (b"\xf2\xae", 96 * 256)],
)
def test_repetitions(native: Bench, code: bytes, units: int) -> None:
    """Those before a fault count too, at which the stub's window is filled."""
    values = {RCX: PAGES * PAGE_SIZE, RDI: FAR, RSI: FAR, RAX: 77 if code[0] == 0xF2 else 0}
    found = [units_of(native, code, values) for _ in range(2)]
    native.engine.flush_space(native.space.root)
    native.engine.flush_pages(native.space.root, [FAR + page * PAGE_SIZE for page in range(0, PAGES, 3)])
    found.append(units_of(native, code, values))
    assert found == [units] * 3


def test_a_search_counts_what_it_has_looked_at(native: Bench) -> None:
    native.space.write(FAR + 63, b"\x01")
    values = {RCX: (1 << 64) - 1, RDI: FAR, RAX: 1}
    assert units_of(native, b"\xf2\xae", values) == 4


def test_long_blocks_and_dear_instructions(native: Bench) -> None:
    assert units_of(native, b"\x90" * 40) == 0
    assert units_of(native, b"\x90" * 640) == 10
    # fsqrt, fxrstor, and a division in a loop of ten.
    assert units_of(native, b"\xd9\xfa" * 64) >= 32
    assert units_of(native, b"\x0f\xae\x07" + b"\x0f\xae\x0f" * 10, {RDI: DATA}) >= 40
    loop = b"\xb9\x0a\0\0\0" + b"\xd8\xf8" * 8 + b"\xff\xc9\x75\xec"
    assert units_of(native, loop) == 9 + 10 * 3


def test_what_is_counted_spends_the_budget(native: Bench) -> None:
    native.load(b"\xd9\xfa" * 64 + b"\xe9" + (-133).to_bytes(4, "little", signed=True))
    native.run(1000)
    assert native.engine.budget_left() == 0
    assert not native.traps


@pytest.mark.parametrize("flags", [0x202, 0x202 | FLAGS])
def test_counting_leaves_flags_and_registers(native: Bench, flags: int) -> None:
    values = {number: 0x1000 + number for number in range(16) if number != 4}
    native.load(b"\xd9\xfa" * 64 + b"\x0f\x84\0\0\0\0\xcc", values, flags)
    registers = native.run(UNITS)
    assert [trap[:2] for trap in native.traps] == [("exception", 3)]
    assert registers.rflags & FLAGS == flags & FLAGS
    assert all(registers.general[number] == value for number, value in values.items())
