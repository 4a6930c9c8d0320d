"""Where a stub can write to frames: all those pages are dropped when one has code."""

from __future__ import annotations

import pytest

from procession.hardware import page_table as pte
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.native.writable_pages import WritablePages
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE
from procession.hardware.registers import RAX, RBX, RCX, RDX
from tests.hardware.processor_bench import CALL, DATA, EXECUTE, READ, WRITE, processor_bench

ALIASES = 3


class Window:
    """What a window has mapped, and what is known of it."""

    def __init__(self) -> None:
        self.leaves: dict[int, dict[int, int]] = {}
        self.known = WritablePages(self.leaves)

    def map(self, page: int, frame: int, length: int = 1) -> None:
        if length == 1:
            self.known.note(frame, page)
        else:
            self.known.note_run(frame, page, length)
        for number in range(length):
            leaf = self.leaves.setdefault(page + number >> 9, {})
            leaf[page + number] = frame + number << PAGE_SHIFT | pte.WRITABLE

    def unmap(self, page: int) -> None:
        del self.leaves[page >> 9][page]


def test_all_pages_of_a_frame_are_known() -> None:
    window = Window()
    window.map(510, 20, 4)
    window.map(4000, 21)
    window.map(90, 21)
    window.unmap(4000)
    assert window.known.frames_among({19, 20, 21, 24}) == {20, 21}
    assert window.known.take(21) == [90, 511]
    assert window.known.take(20) == [510]
    assert not window.known.frames_among({20, 21})
    assert window.known.frames_among([22, 23]) == {22, 23}


def test_what_was_is_not_kept() -> None:
    """A frame that is always mapped at two pages, at other ones each time."""
    window = Window()
    for page in range(10_000):
        window.map(page, 7)
        if page > 1:
            window.unmap(page - 2)
    assert len(window.known.others[7]) < 16
    assert window.known.take(7) == [9_998, 9_999]
    assert not window.known.others


@pytest.mark.parametrize("alias", range(ALIASES))
def test_a_write_by_any_of_them_is_noticed(alias: int) -> None:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    with processor_bench(NativeEngine) as bench:
        places = [DATA + PAGE_SIZE * (2 + 600 * number) for number in range(ALIASES)]
        # mov eax, 1; ret
        frame = bench.space.map(places[0], READ | WRITE | EXECUTE, bytes.fromhex("b801000000c3"))
        for place in places[1:]:
            bench.space.point(place, READ | WRITE | EXECUTE, frame)
        written = b"".join(b"\xc6\x04\x25" + (place + 100).to_bytes(4, "little") + b"\0" for place in places)
        # All are written to; call rbx; mov edx, eax; inc byte [rcx + 1]; call rbx; add eax, edx
        code = written + bytes.fromhex("ffd3 89c2 fe4101 ffd3 01d0" + CALL)
        trap, _ = bench.run_code(code.hex(), {RBX: places[0], RCX: places[alias], RAX: 0, RDX: 0})
        assert trap == ("call", 1 + 2, 0)
