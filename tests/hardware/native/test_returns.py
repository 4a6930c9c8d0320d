"""Returns in translated code: their places in a table, whether the processor gathers bits quickly or not."""

from __future__ import annotations

import ctypes
import errno
import random
from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.engines.native import host_processor
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.native.host_processor import extracts_bits_slowly
from procession.hardware.engines.native.table_filler import TableFiller
from procession.hardware.registers import RDX
from procession.hardware.translation import layout
from procession.hardware.translation.kept_code import FIRST_CODE, KeptPage
from tests.hardware.processor_bench import CODE, processor_bench

BOTH_BITS = (layout.RETURN_BITS, layout.FEWER_RETURN_BITS)
PUTS_BACK = bytes.fromhex("48 89 4c 24 f8")
"""What is behind each call: mov [rsp - 8], rcx"""
CALLS = """
f() { if (($1 > 1)); then f $(($1 - 1)); f $(($1 - 2)); fi; n=$((n + 1)); }
f 6; echo $n
"""


@pytest.mark.parametrize("bits", BOTH_BITS)
def test_a_place_is_made_of_some_bits(bits: int) -> None:
    chance = random.Random(6)
    for _ in range(1000):
        pc = chance.getrandbits(64)
        chosen = [pc >> number & 1 for number in range(64) if bits >> number & 1]
        place = layout.return_place(pc, bits)
        assert place == sum(bit << number for number, bit in enumerate(chosen))
        assert place < layout.RETURN_PLACES


@pytest.mark.parametrize("bits", BOTH_BITS)
def test_kept_places_are_filled_if_they_are_free(bits: int) -> None:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    pcs = sorted(random.Random(7).sample(range(0x7FFF_0000_0000, 0x7FFF_0000_1000), 40))
    words = (ctypes.c_uint64 * 80)(*pcs, *range(1, 41))
    orders = ctypes.create_string_buffer(layout.ORDERS_BYTES)
    page = KeptPage(memoryview(words).cast("B").cast("Q"), 0, (0, 0, 40, 0, 0, 0, 0))
    assert TableFiller(0, bits).fill(page, ctypes.addressof(orders)) == 0
    start = layout.RETURN_TABLE - layout.ORDERS
    table = memoryview(orders).cast("B")[start : start + 8 * layout.RETURN_PLACES].cast("Q")
    # The last one is the first to come.
    expected = {layout.return_place(pc, bits): pad for pad, pc in enumerate(pcs, 1)}
    assert {place: table[place] for place in expected} == expected
    assert sum(map(bool, table)) == len(expected)


@pytest.mark.heavy
def test_both_run_the_same(guest_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runs: list[object] = []
    for is_slow in (False, True, False, True):
        monkeypatch.setattr(host_processor, "extracts_bits_slowly", lambda is_slow=is_slow: is_slow)
        machine = Machine(rootfs=guest_root, engine="native", seed=1)
        result = machine.run(["bash", "-c", CALLS])
        runs.append((result.stdout, machine.kernel.clock.now_ns, machine.state_hash()))
        machine.close()
    assert runs == [runs[0]] * 4
    assert result.stdout == b"25\n"


class Refusing:
    """Memory of a host that takes no advice."""

    def madvise(self, *arguments: int) -> None:
        raise OSError(errno.EOPNOTSUPP, f"no {arguments}")


def test_a_host_that_punches_no_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    with processor_bench(NativeEngine) as bench:
        bench.run_code("c3", {})
        assert isinstance(bench.engine, NativeEngine)
        space, processor = bench.engine.guest.space, bench.engine.processor
        assert space is not None
        returns = space.stub.tables[-1]
        for memory in (processor.memory, Refusing()):
            returns[5] = returns[layout.RETURN_PLACES - 1] = 7
            monkeypatch.setattr(processor, "memory", memory)
            space.stub.fill_tables(space.empty[:3])
            assert not any(returns)
            assert {*space.stub.tables[0]} == {space.empty[0]}
        monkeypatch.undo()


def test_a_call_that_two_blocks_have_is_translated_once() -> None:
    """The host's processor expects its return at one place: from a second one none would come there."""
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    # The loop is entered in the middle of a block, and begins one: mov ecx, 3; call f; dec ecx; jnz, to the
    # call; mov eax, ecx; syscall; f: ret. So is the other one, whose calls are indirect: call rdx.
    for code, behind in (
        ("b903000000 e80a000000 ffc9 75f7 89c8 0f05 9090 9090 c3", 10),
        ("b903000000 90 ffd2 90 90 ffc9 75f7 89c8 0f05 9090 9090 c3", 8),
    ):
        length = len(bytes.fromhex(code))
        with processor_bench(NativeEngine) as bench:
            trap, _ = bench.run_code(code, {RDX: CODE + length - 1})
            assert trap == ("call", 0, 0)
            assert isinstance(bench.engine, NativeEngine)
            space, cache = bench.engine.guest.space, bench.engine.store.cache
            assert space is not None
            pad = cache.pages[bench.space.frame(CODE)].pads[CODE + behind]
            assert bytes(cache.view[FIRST_CODE : cache.position]).count(PUTS_BACK) == 1
            place = layout.return_place(CODE + behind, cache.return_bits)
            assert space.stub.tables[-1][place] == pad


def test_whether_this_processor_is_slow_is_known() -> None:
    assert extracts_bits_slowly() in (False, True)
    assert host_processor.return_bits() == BOTH_BITS[extracts_bits_slowly()]
