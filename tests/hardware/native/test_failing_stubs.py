"""A stub that ends before it has begun is replaced unseen; where there's none to be had, that's an error of
the program.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from procession.hardware.engines.choice import make_engine
from procession.hardware.engines.native import stub
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.native.machine_code import StubUnavailable
from procession.hardware.engines.native.single_step import ATTENDED_UNITS
from procession.hardware.engines.native.stub import MAXIMUM_STUBS, Processor, Stub
from procession.hardware.engines.native.window import Window
from procession.hardware.engines.tiered import TieredEngine
from procession.hardware.processor_level import V3
from procession.hardware.registers import R11, RAX, RBX, RCX, RIP, RSI
from procession.hardware.translation import layout
from tests.hardware.processor_bench import CODE, DATA, SOME_UNITS, Bench, Trap, processor_bench

REASON = why_unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native engine on this host: {REASON}")
TRAP_FLAG = 0x100
DOUBLE_FAULT: Trap = ("exception", 8, 0)
INVALID_OPCODE: Trap = ("exception", 6, 0)
SENTINEL = 0x1122_3344_5566_7788
COUNTER = layout.CONTEXT + layout.COUNTER


@pytest.fixture
def native() -> Iterator[Bench]:
    with processor_bench(NativeEngine) as bench:
        yield bench


def engine_of(bench: Bench) -> NativeEngine:
    assert isinstance(bench.engine, NativeEngine)
    return bench.engine


def stub_of(bench: Bench) -> Stub:
    space = engine_of(bench).guest.space
    assert space is not None
    return space.stub


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("how", [None, signal.SIGKILL, signal.SIGRTMIN + 5])
def test_replaced_between_a_fault_and_its_instruction(
    native: Bench, monkeypatch: pytest.MonkeyPatch, how: int | None
) -> None:
    """What is done once is done once, and the register that lends itself to the counter is as it was."""
    original = Window.fill
    ended: list[int] = []

    def fill(window: Window, address: int, *, is_write: bool) -> int:
        outcome = original(window, address, is_write=is_write)
        if not ended:
            ended.append(window.stub.pid)
            if how is None:
                window.stub.end()
            else:
                os.kill(window.stub.pid, how)
        return outcome

    monkeypatch.setattr(Window, "fill", fill)
    # inc esi; inc ecx; mov [rbx], al; cmp ecx, 5; jnz, to the beginning; ud2
    native.load(bytes.fromhex("ffc6 ffc1 8803 83f905 75f5 0f0b"), {RBX: DATA, R11: SENTINEL})
    registers = native.run()
    assert native.traps == [INVALID_OPCODE]
    assert ended != [stub_of(native).pid]
    assert (registers.general[RCX], registers.general[RSI]) == (5, 5)
    assert registers.general[R11] == SENTINEL
    assert native.engine.budget_left() == SOME_UNITS - 4 - ATTENDED_UNITS


def test_replaced_while_stepping(native: Bench) -> None:
    """With the trap flag it's no other than without."""
    native.on_trap = lambda trap: False
    native.load(bytes.fromhex("ffc0") * 4, rflags=0x202 | TRAP_FLAG)
    native.run()
    killed = stub_of(native).pid
    os.kill(killed, signal.SIGKILL)
    registers = native.run()
    assert native.traps == [("exception", 1, 0)] * 2
    assert stub_of(native).pid != killed
    assert (registers.general[RAX], registers.general[RIP]) == (2, CODE + 4)
    assert registers.rflags & TRAP_FLAG


@pytest.mark.parametrize("rflags", [0x202, 0x202 | TRAP_FLAG])
def test_who_writes_to_the_counter_fails(native: Bench, rflags: int) -> None:
    """Step by step too: nobody gets more work than is left."""
    native.load(bytes.fromhex("488903 0f0b"), {RAX: 1 << 62, RBX: COUNTER}, rflags)
    native.run()
    assert native.traps == [DOUBLE_FAULT]
    assert native.engine.budget_left() == 0


def test_who_loops_by_that_fails(native: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stub, "_STUCK_AFTER_MS", 200)
    native.load(bytes.fromhex("488903 ebfe"), {RAX: 1 << 62, RBX: COUNTER})
    native.run()
    assert native.traps == [DOUBLE_FAULT]
    assert native.engine.budget_left() == 0
    assert isinstance(native.engine, NativeEngine)
    assert native.engine.last_failure == "the stub doesn't answer"


def test_no_stub_to_be_had(native: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program fails, not the machine; and no place for a stub is lost."""

    def refuse(*_: object) -> NoReturn:
        raise StubUnavailable("no process can be started")

    engine = engine_of(native)
    native.load(bytes.fromhex("0f0b"))
    with monkeypatch.context() as patch:
        patch.setattr(stub, "_spawn", refuse)
        for _ in range(MAXIMUM_STUBS + 1):
            native.use(native.new_space())
            native.run()
    assert native.traps == [DOUBLE_FAULT] * (MAXIMUM_STUBS + 1)
    assert engine.last_failure == "no process can be started"
    assert len(engine.processor.free_slots) == MAXIMUM_STUBS
    native.use(native.space)
    native.run()
    assert native.traps[-1] == INVALID_OPCODE


def test_what_the_machine_does_itself_counts(native: Bench) -> None:
    """Instructions that it attends to or has executed alone take it as long as many others."""
    # cpuid, four times; ud2
    native.load(bytes.fromhex("0fa2" * 4 + "0f0b"))
    native.run()
    assert native.engine.budget_left() == SOME_UNITS - 5 * ATTENDED_UNITS
    native.on_trap = lambda trap: trap[1] == 1
    native.load(bytes.fromhex("90" * 4 + "0f0b"), rflags=0x202 | TRAP_FLAG)
    native.run()
    assert native.engine.budget_left() == SOME_UNITS - 5 * ATTENDED_UNITS


def test_a_processor_that_nobody_closes() -> None:
    """Its descriptors go with it."""
    before = descriptors()
    processor = Processor()
    assert len(descriptors() - before) >= 3
    del processor
    gc.collect()
    assert not descriptors() - before


def test_a_promotion_starts_one_stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tried is what is used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    started: list[Stub] = []
    original = Stub.__init__

    def start(self: Stub, *arguments: object) -> None:
        started.append(self)
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Stub, "__init__", start)

    def make() -> TieredEngine:
        engine = make_engine("auto")
        assert isinstance(engine, TieredEngine)
        return engine

    with processor_bench(make) as bench:
        bench.engine.use_address_space(bench.space.root, V3)
        bench.load(bytes.fromhex("0f0b"))
        bench.run()
        assert bench.traps == [INVALID_OPCODE]
        assert isinstance(bench.engine, TieredEngine)
        assert bench.engine.hot is not None
        assert len(started) == 1
