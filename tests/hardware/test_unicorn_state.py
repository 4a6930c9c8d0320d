"""How the emulator's state is found in the host's memory."""

from __future__ import annotations

import ctypes
import mmap
import struct
from itertools import pairwise

import pytest

from procession.hardware.engines import unicorn_state
from procession.hardware.engines.unicorn_state import OwnMemory

PATTERN = bytes(range(1, 129))


def test_memory_that_is_gone_by_then_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been given back since the mappings were listed; the process lives on."""
    held, gone = (
        mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE),
        mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE),
    )
    view, lost = ctypes.c_char.from_buffer(held), ctypes.c_char.from_buffer(gone)
    address, lost_address = ctypes.addressof(view), ctypes.addressof(lost)
    held[64:192] = gone[64:192] = PATTERN
    processor = ctypes.create_string_buffer(struct.pack("<2Q", lost_address, address), 8192)
    handle = ctypes.c_void_p(ctypes.addressof(processor))
    listed = unicorn_state._writable_regions()
    del lost
    gone.close()
    monkeypatch.setattr(unicorn_state, "_writable_regions", lambda: listed)
    assert unicorn_state._find_pattern(handle, PATTERN) == {address + 64: address}
    with OwnMemory() as memory:
        assert memory.read(lost_address, 16) == b""
    del view
    held.close()


def test_a_second_processor_is_looked_at_where_the_first_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What doesn't have the pattern there, or points nowhere, isn't taken for it."""
    monkeypatch.setattr(unicorn_state, "_places", {})

    def processor(word: int) -> tuple[ctypes.c_void_p, object]:
        own = ctypes.create_string_buffer(struct.pack("<2Q", 0, word), 8192)
        return ctypes.c_void_p(ctypes.addressof(own)), own

    states = [ctypes.create_string_buffer(b"x" * gap + PATTERN, 4096) for gap in (64, 64, 72)]
    addresses = [ctypes.addressof(state) for state in states]
    (first, _a), (second, _b), (other, _c), (nowhere, _d) = map(processor, (*addresses, 2**64 - 8))
    assert unicorn_state._find_again(first, PATTERN) == {}
    unicorn_state._keep_place(first, addresses[0] + 64, addresses[0])
    assert unicorn_state._find_again(second, PATTERN) == {addresses[1] + 64: addresses[1]}
    assert unicorn_state._find_again(other, PATTERN) == {}
    assert unicorn_state._find_again(nowhere, PATTERN) == {}


def test_mappings_side_by_side_are_one() -> None:
    """A library's data and what follows it are two, as is the heap of a child, across which objects lie."""
    listed = unicorn_state._writable_regions()
    assert all(first[1] < second[0] for first, second in pairwise(listed))
