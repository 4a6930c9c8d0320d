"""The emulator is opened when something is to run on it, which may be late."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import pytest

from procession.hardware.engines.choice import make_engine
from procession.hardware.engines.tiered import TieredEngine
from procession.hardware.engines.unicorn import UnicornEngine
from procession.hardware.extended_state import INITIAL_STATE
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.registers import RAX, RIP, Registers
from tests.hardware.processor_bench import Bench, processor_bench


class NoTraps:
    """Entries that nothing comes to."""

    kernel_work_ns = 0

    def system_call(self) -> None:
        raise AssertionError

    def page_fault(self, address: int, error_code: int) -> None:
        raise AssertionError

    def processor_exception(self, vector: int, error_code: int) -> None:
        raise AssertionError


def test_memory_that_is_all_handed_out_stays_as_it_is() -> None:
    memory = PhysicalMemory(1 << 20)
    for number in range(memory.free_frames):
        memory.allocate_with(bytes([number % 255 + 1]) * 4096)
    held = bytes(memory.bytes)
    engine = UnicornEngine()
    engine.attach(memory, NoTraps())
    assert bytes(memory.bytes) == held
    assert memory.free_frames == 0
    engine.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with processor_bench(lambda: make_engine("auto")) as bench:
        yield bench


def test_what_was_live_before_is_live_afterwards(bench: Bench) -> None:
    engine = bench.engine
    assert isinstance(engine, TieredEngine)
    registers = Registers()
    registers.general = array("Q", range(100, 117))
    registers.rflags = 0x202 | 0x40
    registers.fs_base, registers.gs_base = 0x1000, 0x2000
    registers.selectors = 0x2B << 16
    floating = bytearray(INITIAL_STATE)
    floating[160:176] = b"sixteen bytes..."
    registers.floating = bytes(floating)
    engine.load(registers)
    engine.set_budget(12345)
    before, after = Registers(), Registers()
    engine.save(before)
    was_open = engine.is_open
    # What it keeps, only the emulator can say.
    engine.keep()
    assert (was_open, engine.is_open) == (False, True)
    engine.save(after)
    for found in (before, after):
        assert found.general == registers.general
        assert (found.rflags, found.fs_base, found.gs_base) == (0x242, 0x1000, 0x2000)
        assert found.selectors == 0x2B << 16
        assert found.extended_state == registers.floating
    assert engine.budget_left() == 12345
    assert (engine.general[RAX], engine.general[RIP]) == (100, 116)
