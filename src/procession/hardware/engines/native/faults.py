"""Exceptions that the guest's instructions raise on the host's processor: page faults, most of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.hardware.engine import FAULT_PROTECTION, FAULT_USER, FAULT_WRITE
from procession.hardware.engines.native.guest_memory import Inaccessible
from procession.hardware.engines.native.place import find_place
from procession.hardware.engines.native.returns import return_to_nobody, return_without
from procession.hardware.engines.native.single_step import write_code
from procession.hardware.engines.native.window import CODE_WRITTEN, DENIED, is_reserved
from procession.hardware.instruction import instruction_length, take_branch_back
from procession.hardware.registers import RIP, RSP, WORD_MASK
from procession.hardware.translation import layout
from procession.hardware.translation.copier import RETURNING

if TYPE_CHECKING:
    from procession.hardware.engines.native.engine import NativeEngine
    from procession.hardware.engines.native.space import Space

_PAGE_FAULT: Final = 14
_LONGEST_CALL: Final = 10
"""With a REX prefix and one of a segment or an address' size."""
_FS_BASE, _GS_BASE = layout.FS_BASE >> 3, layout.GS_BASE >> 3
_FAULT_ADDRESS: Final = layout.FAULT_ADDRESS >> 3
_FAULT_RIP: Final = layout.FAULT_RIP >> 3
_FAULT_ERROR: Final = layout.FAULT_ERROR >> 3
_FAULT_VECTOR: Final = layout.FAULT_VECTOR >> 3


def faulted(engine: NativeEngine, space: Space) -> int:
    """An instruction raised an exception on the host; where to go on, 0 to look."""
    words, general, cache = engine.words, engine.general, engine.store.cache
    address, error, vector = words[_FAULT_ADDRESS], words[_FAULT_ERROR], words[_FAULT_VECTOR]
    rip = words[_FAULT_RIP]
    place = cache.places.get(rip) or find_place(cache, rip)
    if place is not None and place.restoration == RETURNING:
        return return_without(engine, space)
    if place is None and not rip:
        return return_to_nobody(engine, space)
    if place is None:
        engine.stub_failed("the stub failed outside of the guest's code")
        return 0
    pc = place.pc
    if vector != _PAGE_FAULT:
        engine.restore(place)
        general[RIP] = pc
        if place.restoration:
            vector = engine.guest.vector_of(vector & 0xFF, error, general)
        engine.traps.processor_exception(vector & 0xFF, error & 0xFFFF)
        return 0
    is_write = error & FAULT_WRITE != 0
    window = space.window
    outcome = window.fill(address, is_write=is_write)
    is_there = window.walk.entry != 0
    has_all = not place.restoration and place.counter_register < 0
    if not has_all:
        engine.restore(place)
    general[RIP] = pc
    if outcome == DENIED:
        if is_there and is_reserved(address):
            engine.give_up_at(address)
            return 0
        generation, switches = cache.generation, engine.switches
        present = FAULT_PROTECTION if is_there else 0
        engine.traps.page_fault(address, FAULT_USER | error & FAULT_WRITE | present)
        if (
            engine.is_stopping
            or general[RIP] != pc
            or generation != cache.generation
            or switches != engine.switches
            or engine.counter[0] <= 0
            or engine.transfers[0] <= 0
        ):
            return 0
        outcome = window.fill_again(address, is_write=is_write)
        if outcome == DENIED:
            if is_reserved(address):
                engine.give_up_at(address)
            return 0
    if outcome == CODE_WRITTEN:
        write_code(engine, space, address)
        return 0
    return place.start if has_all else engine.go_on_at(place)


def take_call_back(engine: NativeEngine) -> None:
    """It may have been a call that led to where nothing can be: what it pushed tells which."""
    general, words = engine.general, engine.words

    def read(address: int) -> int:
        try:
            return int.from_bytes(engine.guest.read(address, 8), "little")
        except Inaccessible:
            return -1

    behind = read(general[RSP])
    for length in range(_LONGEST_CALL, 1, -1):
        start = behind - length & WORD_MASK
        try:
            code = engine.guest.read(start, length)
        except Inaccessible:
            continue
        if instruction_length(code, 0) == length and take_branch_back(
            code, start, general, (words[_FS_BASE], words[_GS_BASE]), read
        ):
            return
