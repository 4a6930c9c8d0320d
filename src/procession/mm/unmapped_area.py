"""Where an address space has room for a mapping: near a hint, downwards from its base, or upwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.errno import ENOMEM
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import MMAP_MINIMUM
from procession.mm.gap_index import FEWEST_AREAS, GapIndex
from procession.mm.vma import GROWS_DOWN

if TYPE_CHECKING:
    from procession.mm.area_map import AreaMap

LEGACY_BASE: Final = 0x2AAA_AAAA_B000
"""Where mappings are placed upwards from: a third of the address space (in Linux, TASK_UNMAPPED_BASE)."""
ABOVE_4G: Final = 1 << 32
_LOW_BASE: Final = 1 << 30
_LOW_END: Final = 1 << 31
"""Where MAP_32BIT maps: in the second gigabyte, which old libraries took for all there was."""
_HUGE_PAGE_MASK: Final = (2 << 20) - 1


def unmapped_area(
    space: AreaMap, length: int, hint: int = 0, *, floor: int = MMAP_MINIMUM, is_low: bool = False
) -> int:
    """Where `length` bytes are free: at `hint`, an address of a page, if they are, else as the layout has it,
    not below `floor` and vm.mmap_min_addr, or in the second gigabyte if `is_low`. Below a stack its guard
    gap is kept free.

    Raises ENOMEM. Linux: arch/x86/kernel/sys_x86_64.c, arch_get_unmapped_area_topdown,
    arch_get_unmapped_area.
    """
    end = _LOW_END if is_low else pte.USER_END
    floor = max(floor, space.memory.lowest_address)
    if length > end:
        raise ENOMEM("longer than the address space")
    if hint and hint <= end - length and _is_free(space, hint, hint + length):
        return hint
    if is_low:
        return _lowest(space, length, _LOW_BASE, end)
    if not space.grows_up:
        start = _highest(space, length, space.mmap_base, floor)
        if start:
            return start
    return _lowest(space, length, LEGACY_BASE, end)


def unmapped_area_for_private(
    space: AreaMap, length: int, *, floor: int = MMAP_MINIMUM, is_low: bool = False
) -> int:
    """Where `length` bytes of private anonymous memory are free for which no place is wished: whole huge
    pages begin where one could. Raises ENOMEM.

    Linux: mm/huge_memory.c, __thp_get_unmapped_area.
    """
    if length & _HUGE_PAGE_MASK == 0:
        try:
            start = unmapped_area(space, length + _HUGE_PAGE_MASK + 1, floor=floor, is_low=is_low)
        except ENOMEM:
            pass
        else:
            if space.grows_up:
                return (start + _HUGE_PAGE_MASK) & ~_HUGE_PAGE_MASK
            # The upper end even of a gap that begins so by chance: what comes next goes below.
            return (start | _HUGE_PAGE_MASK) + 1
    return unmapped_area(space, length, floor=floor, is_low=is_low)


def _is_free(space: AreaMap, start: int, end: int) -> bool:
    """Whether nothing is mapped between, nor a stack so near above that it couldn't grow."""
    areas = space.areas
    position = areas.count_to(start)
    if position and areas.at(position - 1).end > start:
        return False
    if position == areas.length:
        return True
    return end <= areas.at(position).free_end


def _gaps(space: AreaMap) -> GapIndex | None:
    """The index of an address space with many areas."""
    if space.areas.length < FEWEST_AREAS:
        return None
    gaps = space.area_list.gaps
    if gaps is None:
        gaps = space.area_list.gaps = GapIndex(space.areas)
    return gaps


def _highest(space: AreaMap, length: int, ceiling: int, floor: int) -> int:
    """The highest start of `length` free bytes below `ceiling`, 0 if there is none.

    A gap below a stack that is long enough but for the guard ends the search for all that lies within the
    guard, be there other areas between, as Linux goes on below it. Linux: mm/mmap.c, unmapped_area_topdown.
    """
    gaps = _gaps(space)
    if gaps is not None:
        start = gaps.highest(space.areas, length, ceiling, space.memory)
        return start if start >= floor else 0
    rows = space.areas.rows
    limit = guarded = ceiling
    for area in reversed(rows[0] if len(rows) == 1 else list(space.areas)):
        if limit - length >= area.end:
            if guarded - length >= area.end:
                return guarded - length if guarded - length >= floor else 0
            ceiling = guarded
        limit = guarded = min(area.start, ceiling)
        if area.flags & GROWS_DOWN:
            guarded = min(area.free_end, ceiling)
    return guarded - length if guarded - length >= floor else 0


def _lowest(space: AreaMap, length: int, floor: int, end: int) -> int:
    """The lowest start of `length` free bytes from `floor` to `end`. Raises ENOMEM.

    Linux: mm/mmap.c, unmapped_area.
    """
    gaps = _gaps(space)
    if gaps is not None:
        floor = gaps.lowest(space.areas, length, floor, space.memory)
    else:
        for area in space.areas:
            if floor + length <= area.free_end:
                break
            floor = max(floor, area.end)
    if floor + length > end:
        raise ENOMEM("no gap of that length")
    return floor
