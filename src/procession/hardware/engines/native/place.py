"""Which of the guest's instructions it was that faulted in translated code."""

from __future__ import annotations

from procession.hardware.translation import layout
from procession.hardware.translation.code_cache import CodeCache, Place

_MOST_PLACES = 4096


def find_place(cache: CodeCache, rip: int) -> Place | None:
    """The guest's instruction that was executed at `rip` on the host; None if there's none."""
    known = cache.places.get(rip)
    if known is None:
        known = _seek_place(cache, rip)
        if known is not None:
            if len(cache.places) >= _MOST_PLACES:
                cache.places.clear()
            cache.places[rip] = known
    return known


def forget_places(cache: CodeCache, count: int) -> None:
    """Forget all places but the first `count`, as many as there were before code that is dropped again."""
    places = cache.places
    if len(places) < count:
        # They have been forgotten since, and there are others.
        places.clear()
    while len(places) > count:
        places.popitem()


def _seek_place(cache: CodeCache, rip: int) -> Place | None:
    for view in layout.VIEWS:
        offset = rip - view
        if 0 <= offset < layout.CACHE_BYTES:
            break
    else:
        return None
    block = cache.block_at(offset)
    if block is None:
        return None
    start, pc = block.start, block.pc
    marks = bytes(block.marks)
    for position in range(0, len(marks), 3):
        end = start + marks[position + 1]
        if start <= offset < end:
            return Place(view + start, pc, marks[position + 2], block.counter_register)
        start = end
        pc += marks[position]
    return None
