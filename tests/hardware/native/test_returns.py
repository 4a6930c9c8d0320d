"""Returns in translated code: their places in a table, whether the processor gathers bits quickly or not."""

from __future__ import annotations

import ctypes
import errno
import random
from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.native.host_processor import extracts_bits_slowly
from procession.hardware.engines.native.table_filler import TableFiller
from procession.hardware.translation import code_cache, layout
from procession.hardware.translation.assembler import Assembler
from procession.hardware.translation.kept_code import KeptPage
from procession.hardware.translation.runtime import assemble_runtime
from tests.hardware.processor_bench import processor_bench

BOTH_BITS = (layout.RETURN_BITS, layout.FEWER_RETURN_BITS)
CALLS = """
f() { if (($1 > 1)); then f $(($1 - 1)); f $(($1 - 2)); fi; n=$((n + 1)); }
f 9; echo $n
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


def test_the_runtime_is_the_same_but_for_that() -> None:
    first, second = (assemble_runtime(bits) for bits in BOTH_BITS)
    assert first.finish() != second.finish()
    assert first.labels == second.labels


def test_both_run_the_same(guest_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runs: list[object] = []
    for is_slow in (False, True, False, True):
        monkeypatch.setattr(code_cache, "extracts_bits_slowly", lambda is_slow=is_slow: is_slow)
        machine = Machine(rootfs=guest_root, engine="native", seed=1)
        result = machine.run(["bash", "-c", CALLS])
        runs.append((result.stdout, machine.kernel.clock.now_ns, machine.state_hash()))
        machine.close()
    assert runs == [runs[0]] * 4
    assert result.stdout == b"109\n"


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


def test_whether_this_processor_is_slow_is_known() -> None:
    assert extracts_bits_slowly() in (False, True)
    code = Assembler()
    code.label("bits")
    code.extract_bits_of_rcx("bits")
    assert code.finish() == bytes.fromhex("c4 e2 f2 f5 0d f7ffffff")
