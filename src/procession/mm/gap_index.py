"""Where an address space with many areas has room: bounds on the gaps in each part of it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from procession.hardware.physical_memory import MMAP_MINIMUM

if TYPE_CHECKING:
    from procession.hardware.physical_memory import PhysicalMemory
    from procession.mm.area_sequence import AreaSequence
    from procession.mm.vma import VirtualMemoryArea

FEWEST_AREAS: Final = 512
"""With fewer areas to look at, an index doesn't pay."""
_AREAS_OF_PART: Final = 128
_PARTS_OF_GROUP: Final = 32
_FEWEST_OF_PART: Final = 16
"""No more parts are made for want of whole ones than for so many areas each."""
_AREAS_AS_A_CHANGE: Final = 32
"""So many areas are looked at in the time of one changed entry."""
_SEARCH_AS_CHANGES: Final = 64
"""As long as changing so many entries takes a search that has to begin anew."""


class GapIndex:
    """Parts of an address space, of a hundred areas or two, and bounds on how long the gaps in them are.

    Part `n` has the areas that start at `borders[n]` or above, up to the next border, and the gaps right
    below each of them. A gap that gets shorter leaves a bound too high, until the part is next searched;
    one that gets longer, or lies below another area now, must be told of by `note_gap`. `group_bounds` has
    bounds for so many parts each, in the same way. Linux has the longest gap in each node of its maple tree.

    Where a new mapping went is where the next one of the kind goes: of the part `last_part` only the area at
    `last_start` and those below it need be looked at for gaps longer than `last_longest`.
    """

    __slots__ = ("borders", "bounds", "group_bounds", "last_longest", "last_part", "last_start")

    def __init__(self, areas: AreaSequence) -> None:
        every = list(areas)
        self.borders = [0, *(area.start for area in every[_AREAS_OF_PART::_AREAS_OF_PART])]
        gaps = [every[0].start - MMAP_MINIMUM, *(above.start - below.end for below, above in pairwise(every))]
        self.bounds = [
            max(gaps[first : first + _AREAS_OF_PART]) for first in range(0, len(gaps), _AREAS_OF_PART)
        ]
        self.group_bounds: list[int] = []
        self.last_part, self.last_start, self.last_longest = -1, 0, 0
        self._group()

    def lowest(self, areas: AreaSequence, length: int, floor: int, memory: PhysicalMemory) -> int:
        """The lowest start of `length` bytes from `floor` on that no area has, perhaps above all of them.
        What it takes to look at many is told `memory`.
        """
        borders, bounds = self.borders, self.bounds
        position = areas.count_to(floor)
        if position:
            floor = max(floor, areas.at(position - 1).end)
        part = bisect_right(borders, floor) - 1
        looked = 0
        while part < len(borders):
            end = self._end(areas, part)
            if bounds[part] >= length:
                is_whole = position == areas.count_below(borders[part])
                row: list[VirtualMemoryArea] = areas.between(position, end)
                found, floor, longest = _search_up(row, length, floor)
                looked += found
                if found < len(row):
                    if is_whole and found > _AREAS_OF_PART:
                        # What lies below is a part of its own, which needn't be searched again.
                        self._insert_part(part + 1, row[found].start, bounds[part])
                        bounds[part] = longest
                    break
                if is_whole:
                    bounds[part] = longest
            elif end > position:
                floor = areas.at(end - 1).end
            position = end
            part += 1
        memory.note_changed(looked // _AREAS_AS_A_CHANGE)
        return floor

    def highest(self, areas: AreaSequence, length: int, ceiling: int, memory: PhysicalMemory) -> int:
        """The highest start of `length` free bytes below `ceiling`, 0 if there is none above MMAP_MINIMUM.
        Where a stack's guard is in the way it's looked for below that, which takes time.
        """
        while True:
            position = areas.count_below(ceiling) - 1
            position, end = self._highest(areas, length, ceiling, position)
            if position < 0 and end - length < MMAP_MINIMUM:
                return 0
            guarded = areas.at(position + 1).free_end if position + 1 < len(areas) else end
            if guarded >= end:
                return end - length
            ceiling = guarded
            memory.note_changed(_SEARCH_AS_CHANGES)

    def _highest(self, areas: AreaSequence, length: int, ceiling: int, position: int) -> tuple[int, int]:
        """Above which area the highest gap of `length` bytes is, -1 for the one below all of them, and where
        that gap ends. From area `position` down, above which is room up to `ceiling`.
        """
        if position < 0:
            return -1, ceiling
        highest = areas.at(position)
        if ceiling - highest.end >= length:
            return position, ceiling
        borders, bounds = self.borders, self.bounds
        part = bisect_right(borders, highest.start) - 1
        is_whole = position + 1 == self._end(areas, part)
        while True:
            if bounds[part] >= length:
                first = areas.count_below(borders[part])
                top, seen = position, 0
                if is_whole and part == self.last_part and self.last_longest < length:
                    # Those below may be gone.
                    top = max(areas.count_to(self.last_start), first) - 1
                    seen = self.last_longest
                found, longest = _search(areas, first, top, length, seen)
                if found >= 0:
                    end = areas.at(found).start
                    if is_whole:
                        self.last_part, self.last_start, self.last_longest = part, end, longest
                        if position - found > _AREAS_OF_PART:
                            # What lies above is a part of its own, which needn't be searched again.
                            self._insert_part(part + 1, areas.at(found + 1).start, longest)
                    return found - 1, end
                if not is_whole and len(borders) < len(areas) // _FEWEST_OF_PART:
                    # Nor what lies below where such searches begin.
                    self._insert_part(part + 1, areas.at(position + 1).start, bounds[part])
                    is_whole = True
                if is_whole:
                    bounds[part] = longest
                    if position - first > 2 * _AREAS_OF_PART:
                        self._insert_part(part + 1, areas.at((first + position) // 2).start, longest)
            part = self._part_below(part, length)
            if part < 0:
                return -1, min(ceiling, areas.firsts[0])
            position = self._end(areas, part) - 1
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
        self.last_part = -1
        self.borders.insert(part, border)
        self.bounds.insert(part, bound)
        self._group()

    def _group(self) -> None:
        bounds = self.bounds
        self.group_bounds[:] = [
            max(bounds[first : first + _PARTS_OF_GROUP]) for first in range(0, len(bounds), _PARTS_OF_GROUP)
        ]

    def _end(self, areas: AreaSequence, part: int) -> int:
        """Behind the last area of a part."""
        borders = self.borders
        return areas.count_below(borders[part + 1]) if part + 1 < len(borders) else len(areas)

    def note_gap(self, areas: AreaSequence, position: int) -> None:
        """There is another gap below the area at `position`: one is new, has moved, or something is gone."""
        if position < len(areas):
            area = areas.at(position)
            part = bisect_right(self.borders, area.start) - 1
            gap = area.start - (areas.at(position - 1).end if position else MMAP_MINIMUM)
            self.bounds[part] = max(self.bounds[part], gap)
            group = part // _PARTS_OF_GROUP
            self.group_bounds[group] = max(self.group_bounds[group], gap)
            if area.start > self.last_start:
                self.last_longest = max(self.last_longest, gap)


def _search_up(row: list[VirtualMemoryArea], length: int, floor: int) -> tuple[int, int, int]:
    """Which of `row` has `length` free bytes below it, above `floor` or the one before, its length if none
    has; where they begin; and the longest gap of those that were looked at before.
    """
    longest = 0
    for index, area in enumerate(row):
        if floor + length <= area.free_end:
            return index, floor, longest
        longest = max(longest, area.start - floor)
        floor = area.end
    return len(row), floor, longest


def _search(areas: AreaSequence, first: int, last: int, length: int, longest: int) -> tuple[int, int]:
    """From area `last` down to `first`: which has `length` free bytes below it, -1 if none has.

    With it the longest gap of those that were looked at before, or `longest` if that is longer.
    """
    floor = areas.at(first - 1).end if first else MMAP_MINIMUM
    row: list[VirtualMemoryArea] = areas.between(first, last + 1)
    for index in range(len(row) - 1, -1, -1):
        gap = row[index].start - (row[index - 1].end if index else floor)
        if gap >= length:
            return first + index, longest
        longest = max(longest, gap)
    return -1, longest
