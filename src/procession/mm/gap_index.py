"""Where an address space with many areas has room: bounds on the gaps in each part of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.mm.vma import VirtualMemoryArea

FEWEST_AREAS = 512
"""With fewer areas to look at, an index doesn't pay."""
_AREAS_OF_PART = 128
_PARTS_OF_GROUP = 32
MMAP_MINIMUM = 0x10000
"""The lowest address that mmap gives (vm.mmap_min_addr)."""


class GapIndex:
    """Parts of an address space, of a hundred areas or two, and bounds on how long the gaps in them are.

    Part `n` has the areas that start at `borders[n]` or above, up to the next border, and the gaps right
    below each of them. A gap that gets shorter leaves a bound too high, until the part is next searched;
    one that gets longer, or lies below another area now, must be told of by `note_gap`. `group_bounds` has
    bounds for so many parts each, in the same way. Linux has the longest gap in each node of its maple tree.
    """

    __slots__ = ("borders", "bounds", "group_bounds")

    def __init__(self, areas: list[VirtualMemoryArea], starts: list[int]) -> None:
        self.borders = [0, *starts[_AREAS_OF_PART::_AREAS_OF_PART]]
        self.bounds: list[int] = []
        for first in range(0, len(starts), _AREAS_OF_PART):
            last = min(first + _AREAS_OF_PART, len(starts))
            self.bounds.append(max(_gap_below(areas, position) for position in range(first, last)))
        self.group_bounds: list[int] = []
        self._group()

    def find(self, areas: list[VirtualMemoryArea], starts: list[int], length: int, ceiling: int) -> int:
        """The highest start of `length` free bytes between areas below `ceiling`, 0 if there is none."""
        position = bisect_left(starts, ceiling) - 1
        if position < 0:
            return 0
        if ceiling - areas[position].end >= length:
            return ceiling - length
        borders, bounds = self.borders, self.bounds
        part = bisect_right(borders, starts[position]) - 1
        is_whole = position + 1 == self._end(starts, part)
        while True:
            if bounds[part] >= length:
                first = bisect_left(starts, borders[part])
                found, longest = _search(areas, first, position, length)
                if not is_whole:
                    longest = max(longest, bounds[part])
                if found >= 0:
                    if position - found > _AREAS_OF_PART:
                        # What lies above is a part of its own, which needn't be searched again.
                        self._insert_part(part + 1, starts[found + 1], longest)
                    return areas[found].start - length
                bounds[part] = longest
                if position - first > 2 * _AREAS_OF_PART:
                    self._insert_part(part + 1, starts[(first + position) // 2], longest)
            part = self._part_below(part, length)
            if part < 0:
                return 0
            position = self._end(starts, part) - 1
            is_whole = True

    def _part_below(self, part: int, length: int) -> int:
        """The highest part below `part` that may have a gap of `length` bytes, -1 if there is none."""
        bounds, group_bounds = self.bounds, self.group_bounds
        part -= 1
        while part >= 0:
            first = part - part % _PARTS_OF_GROUP
            if group_bounds[part // _PARTS_OF_GROUP] >= length:
                for candidate in range(part, first - 1, -1):
                    if bounds[candidate] >= length:
                        return candidate
                group_bounds[first // _PARTS_OF_GROUP] = max(bounds[first : first + _PARTS_OF_GROUP])
            part = first - 1
        return -1

    def _insert_part(self, part: int, border: int, bound: int) -> None:
        """The part before `part` is two: the upper one begins at `border`."""
        self.borders.insert(part, border)
        self.bounds.insert(part, bound)
        self._group()

    def _group(self) -> None:
        bounds = self.bounds
        self.group_bounds[:] = [
            max(bounds[first : first + _PARTS_OF_GROUP]) for first in range(0, len(bounds), _PARTS_OF_GROUP)
        ]

    def _end(self, starts: list[int], part: int) -> int:
        """Behind the last area of a part."""
        borders = self.borders
        return bisect_left(starts, borders[part + 1]) if part + 1 < len(borders) else len(starts)

    def note_gap(self, areas: list[VirtualMemoryArea], position: int) -> None:
        """There is another gap below the area at `position`: one is new, has moved, or something is gone."""
        if position < len(areas):
            part = bisect_right(self.borders, areas[position].start) - 1
            gap = _gap_below(areas, position)
            self.bounds[part] = max(self.bounds[part], gap)
            group = part // _PARTS_OF_GROUP
            self.group_bounds[group] = max(self.group_bounds[group], gap)


def _gap_below(areas: list[VirtualMemoryArea], position: int) -> int:
    """How many bytes are free between an area and the one below, or the lowest address that is given."""
    floor = areas[position - 1].end if position else MMAP_MINIMUM
    return areas[position].start - floor


def _search(areas: list[VirtualMemoryArea], first: int, last: int, length: int) -> tuple[int, int]:
    """From area `last` down to `first`: which has `length` free bytes below it, -1 if none has.

    With it the longest gap of those that were looked at before.
    """
    longest = 0
    for position in range(last, first - 1, -1):
        gap = _gap_below(areas, position)
        if gap >= length:
            return position, longest
        longest = max(longest, gap)
    return -1, longest
